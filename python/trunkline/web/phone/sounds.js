/**
 * Tones made by the page itself: the ring of an incoming call, ringback, and key tones. Owns one AudioContext; loads no
 * file. Browsers keep it silent until the person has touched the page, which signing in does.
 */

/** ITU-T Q.23: low and high frequency in Hz of each key. */
const KEY_TONES = new Map(
  Array.from('123A456B789C*0#D', (digit, index) => {
    const row = [697, 770, 852, 941][Math.floor(index / 4)];
    const column = [1209, 1336, 1477, 1633][index % 4];
    return /** @type {const} */ ([digit, [row, column]]);
  }),
);

const KEY_TONE_S = 0.11;
/** Notes of the ring: start in seconds, frequency in Hz. */
const RING_NOTES = [[0, 659], [0.16, 831], [0.32, 988], [0.9, 659], [1.06, 831], [1.22, 988]];
const RING_EVERY_MS = 3_000;
/** ITU-T E.180, as most of Europe rings: one second of 425 Hz out of five. */
const RINGBACK_HZ = 425;
const RINGBACK_S = 1;
const RINGBACK_EVERY_MS = 5_000;
/** Early media may be a moment behind the ringing status; ringback waits to see whether there is any. */
const RINGBACK_DELAY_MS = 400;

export class Sounds {
  /** @type {AudioContext | null} */
  #context = null;
  /** @type {{ gain: GainNode, timer: ReturnType<typeof setInterval> | undefined } | null} what repeats until `stop` */
  #repeating = null;

  /** Make sound possible; call it while handling a click or a key. */
  unlock() {
    this.#context ??= new AudioContext();
    if (this.#context.state === 'suspended') void this.#context.resume();
  }

  /** Ring for an incoming call until `stop`. */
  ring() {
    this.#repeat(0, RING_EVERY_MS, (output, now) => {
      for (const [start, frequencyHz] of RING_NOTES) {
        this.#note(output, { frequencyHz, start: now + start, duration: 0.55, level: 0.22, isBell: true });
      }
    });
  }

  /**
   * Play ringback until `stop`.
   *
   * @param {() => boolean} isSilenced asked before each ring: true while the far side is to be heard itself
   */
  ringback(isSilenced) {
    this.#repeat(RINGBACK_DELAY_MS, RINGBACK_EVERY_MS, (output, now) => {
      if (isSilenced()) return;
      this.#note(output, { frequencyHz: RINGBACK_HZ, start: now, duration: RINGBACK_S, level: 0.07, isBell: false });
    });
  }

  /** End the ring or the ringback at once. */
  stop() {
    if (this.#repeating === null) return;
    clearInterval(this.#repeating.timer);
    this.#repeating.gain.disconnect();
    this.#repeating = null;
  }

  /**
   * Tell the person that a key went down. What the far side hears does not come from here.
   *
   * @param {string} digit
   */
  key(digit) {
    const frequencies = KEY_TONES.get(digit);
    if (this.#context === null || frequencies === undefined) return;
    const start = this.#context.currentTime;
    for (const frequencyHz of frequencies) {
      this.#note(this.#context.destination, { frequencyHz, start, duration: KEY_TONE_S, level: 0.04, isBell: false });
    }
  }

  /**
   * @param {number} delayMs before the first round
   * @param {number} everyMs
   * @param {(output: AudioNode, now: number) => void} play one round
   */
  #repeat(delayMs, everyMs, play) {
    this.stop();
    const context = this.#context;
    if (context === null) return;
    const gain = context.createGain();
    gain.connect(context.destination);
    const repeating = { gain, timer: setTimeout(start, delayMs) };
    this.#repeating = repeating;

    function start() {
      const round = () => play(gain, /** @type {AudioContext} */ (context).currentTime);
      round();
      repeating.timer = setInterval(round, everyMs);
    }
  }

  /**
   * @param {AudioNode} output
   * @param {{ frequencyHz: number, start: number, duration: number, level: number, isBell: boolean }} note
   *   start: on the context's clock; duration: seconds; level: 0 to 1; isBell: fades out instead of holding its level
   */
  #note(output, { frequencyHz, start, duration, level, isBell }) {
    const context = /** @type {AudioContext} */ (this.#context);
    const end = start + duration;
    const envelope = context.createGain();
    envelope.gain.setValueAtTime(0, start);
    envelope.gain.linearRampToValueAtTime(level, start + 0.01);
    if (!isBell) envelope.gain.setValueAtTime(level, end - 0.02);
    if (isBell) envelope.gain.exponentialRampToValueAtTime(0.0005, end - 0.005);
    envelope.gain.linearRampToValueAtTime(0, end);
    const oscillator = context.createOscillator();
    oscillator.frequency.value = frequencyHz;
    oscillator.connect(envelope).connect(output);
    oscillator.start(start);
    oscillator.stop(end);
  }
}
