/**
 * What a person does with a call beside hanging up: hold, transfer, and the second call. Owns those buttons and the
 * transfer form; which calls there are is the phone's.
 */

import { elements } from './elements.js';
import { incomingTransferText, partyText } from './texts.js';

/** @import { Call, TransferInfo } from '../sdk/index.js' */

/**
 * @typedef {object} FunctionHandlers
 * @property {() => Call | null} current the call in the foreground
 * @property {() => Call | null} other the one that waits
 * @property {(callee: string) => void} onConsult call somebody while the current call waits
 * @property {() => void} onSwap
 */

/** @param {FunctionHandlers} handlers */
export function attachFunctions({ current, other, onConsult, onSwap }) {
  elements.hold.addEventListener('click', () => {
    const call = current();
    elements.callProblem.textContent = '';
    if (call?.isHeld) call.unhold();
    else call?.hold();
  });
  elements.transfer.addEventListener('click', () => showTransfer(elements.transferForm.hidden !== false));
  elements.transferForm.addEventListener('submit', (event) => {
    event.preventDefault();
    const target = elements.transferTarget.value.trim();
    if (target === '') return;
    elements.callProblem.textContent = '';
    current()?.transfer(target);
    showTransfer(false);
  });
  elements.transferTarget.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') showTransfer(false);
  });
  elements.consult.addEventListener('click', () => {
    const target = elements.transferTarget.value.trim();
    if (target === '') return;
    showTransfer(false);
    onConsult(target);
  });
  elements.followTransfer.addEventListener('click', () => {
    elements.transferNotice.hidden = true;
    current()?.acceptTransfer();
  });
  elements.stayTransfer.addEventListener('click', () => {
    elements.transferNotice.hidden = true;
    current()?.rejectTransfer();
  });
  elements.swap.addEventListener('click', onSwap);
  elements.join.addEventListener('click', () => {
    const [call, waiting] = [current(), other()];
    elements.callProblem.textContent = '';
    // The one that waits is sent: it is on hold already and hears music until it has arrived.
    if (call && waiting) waiting.transfer(call);
  });
}

/**
 * Show what can be done with the current call.
 *
 * @param {Call | null} call
 * @param {Call | null} other
 */
export function showFunctions(call, other) {
  const isUp = call !== null && call.establishedAt !== null && !call.isEnded;
  elements.hold.disabled = !isUp;
  elements.transfer.disabled = !isUp;
  elements.consult.disabled = other !== null;
  elements.hold.setAttribute('aria-pressed', String(isUp && call.isHeld));
  elements.hold.textContent = isUp && call.isHeld ? 'Resume' : 'Hold';
  if (!isUp) showTransfer(false);
  elements.otherCall.hidden = other === null;
  elements.otherParty.textContent = other === null ? '' : partyText(other.remoteParty);
  elements.join.disabled = !isUp;
}

/**
 * Show how a transfer fares that the far side of the current call has asked for.
 *
 * @param {TransferInfo | null} transfer null if there is none
 */
export function showIncomingTransfer(transfer) {
  const isOpen = transfer !== null && (transfer.status === 'PENDING' || transfer.status === 'PROCESSING');
  const mayAnswer = transfer?.status === 'PENDING' && transfer.needsAnswer;
  elements.transferNotice.hidden = !isOpen;
  elements.followTransfer.hidden = !mayAnswer;
  elements.stayTransfer.hidden = !isOpen;
  if (isOpen) elements.transferText.textContent = incomingTransferText(transfer.target, mayAnswer);
  else if (transfer?.status === 'FAILED') elements.callProblem.textContent = 'The transfer did not succeed';
}

/** @param {boolean} isShown */
function showTransfer(isShown) {
  elements.transferForm.hidden = !isShown;
  elements.transfer.setAttribute('aria-expanded', String(isShown));
  elements.transferTarget.value = '';
  if (isShown) elements.transferTarget.focus();
}
