/** The dial pad and the keyboard: turns clicks and keys into digits and intents. Knows neither calls nor sessions. */

import { elements } from './elements.js';

const DIGITS = '0123456789*#';
const PRESSED_MS = 140;

/**
 * @typedef {object} PadHandlers
 * @property {(digit: string) => boolean} onDigit a key of the pad or of the keyboard; true if it was used up
 * @property {() => void} onEscape
 * @property {() => boolean} isDialing whether typed characters belong into the dial field
 */

/** @param {PadHandlers} handlers */
export function attachPad({ onDigit, onEscape, isDialing }) {
  elements.pad.addEventListener('click', (event) => {
    const button = event.target instanceof Element ? event.target.closest('button') : null;
    const digit = button?.dataset.digit;
    if (digit === undefined || onDigit(digit)) return;
    insert(digit);
    // Enter shall call what the mouse has dialed, not press the last digit again. (Keys click without a pointer.)
    if (event.pointerType === 'mouse') focusField();
  });

  document.addEventListener('keydown', (event) => {
    if (document.body.dataset.view !== 'phone' || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target === elements.transferTarget) return;
    if (event.key === 'Escape') {
      event.preventDefault();
      onEscape();
    } else if (event.key === 'Enter' && event.repeat) {
      // The Enter that placed the call, still held, must not press whatever has the focus now.
      event.preventDefault();
    } else if (event.key === 'Enter' && event.target === document.body && isDialing()) {
      elements.dialForm.requestSubmit();
    } else if (event.key.length === 1 && event.key !== ' ') {
      if (DIGITS.includes(event.key)) flash(event.key);
      if (!event.repeat && onDigit(event.key)) event.preventDefault();
      else if (isDialing() && event.target !== elements.dialField) focusField();
    } else if (event.key === 'Backspace' && isDialing() && event.target !== elements.dialField) {
      focusField();
    }
  });

  elements.erase.addEventListener('click', () => {
    elements.dialField.value = elements.dialField.value.slice(0, -1);
    changed();
  });
}

/**
 * Put a text at the end of the dial field.
 *
 * @param {string} text
 */
function insert(text) {
  elements.dialField.value += text;
  changed();
}

function changed() {
  elements.dialField.dispatchEvent(new Event('input', { bubbles: true }));
}

/** The key that is going down then types into the field. */
function focusField() {
  elements.dialField.focus();
  elements.dialField.setSelectionRange(elements.dialField.value.length, elements.dialField.value.length);
}

/** @param {string} digit */
function flash(digit) {
  const button = elements.pad.querySelector(`[data-digit="${digit}"]`);
  button?.classList.add('pressed');
  setTimeout(() => button?.classList.remove('pressed'), PRESSED_MS);
}
