/**
 * Events with typed names and arguments. Owns the listeners of one object and nothing else.
 *
 * A listener that throws must not stop the protocol: its error is reported as unhandled and the next listener runs.
 */

/**
 * @template {Record<string, unknown[]>} Events event name to the arguments of its listeners
 */
export class Emitter {
  /** @type {Map<keyof Events, Set<(...args: any[]) => void>>} */
  #listeners = new Map();

  /**
   * Call `listener` whenever `event` happens.
   *
   * @template {keyof Events} Name
   * @param {Name} event
   * @param {(...args: Events[Name]) => void} listener
   * @returns {() => void} takes the listener away again
   */
  on(event, listener) {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  /**
   * @template {keyof Events} Name
   * @param {Name} event
   * @param {Events[Name]} args
   * @protected
   */
  emit(event, ...args) {
    for (const listener of [...(this.#listeners.get(event) ?? [])]) {
      try {
        listener(...args);
      } catch (error) {
        reportError(error);
      }
    }
  }
}
