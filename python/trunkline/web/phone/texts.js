/** Words for what is going on. Why something failed is worded by the SDK (`sdk/reasons.js`). */

/** @import { CallStatus, SessionProblem, SessionStatus, Account } from '../sdk/index.js' */

/** @type {Partial<Record<CallStatus, string>>} */
const CALL_TEXTS = {
  NEW: 'Calling…',
  PENDING: 'Calling…',
  TRYING: 'Calling…',
  RING: 'Ringing…',
  RING_MEDIA: 'Ringing…',
  SESSION_PROGRESS: 'Ringing…',
  ESTABLISHED: 'In call',
  HOLD: 'On hold',
};

/**
 * @param {CallStatus} status not a final one
 * @param {'outgoing' | 'incoming'} direction
 */
export function callText(status, direction) {
  if (direction === 'incoming' && status === 'RING') return 'Incoming call';
  if (direction === 'incoming' && status === 'PENDING') return 'Answering…';
  return CALL_TEXTS[status] ?? '';
}

/**
 * @param {'hold' | 'unhold' | 'transfer'} method
 * @param {string} reason as the gateway says it
 */
export function refusalText(method, reason) {
  const what = { hold: 'Could not hold', unhold: 'Could not resume', transfer: 'Could not transfer' }[method];
  return reason === '' ? what : `${what}: ${reason}`;
}

/**
 * @param {string} target whom the far side wants us to talk to
 * @param {boolean} isAsked whether we are to decide
 */
export function incomingTransferText(target, isAsked) {
  const party = partyText(target);
  return isAsked ? `You are to be transferred to ${party}` : `You are being transferred to ${party}…`;
}

/**
 * @param {SessionStatus} status
 * @param {SessionProblem | null} problem
 * @param {Account} account
 */
export function sessionText(status, problem, account) {
  const name = `${account.login}@${account.domain}`;
  switch (status) {
    case 'PENDING':
    case 'CONNECTED':
      return 'Connecting…';
    case 'ESTABLISHED':
      return account.register === false ? name : 'Registering…';
    case 'REGISTERED':
      return name;
    case 'UNREGISTERED':
      return 'Not registered';
    case 'FAILED':
      return problem?.text ?? 'Failed';
    case 'DISCONNECTED':
      return problem?.retryInMs == null ? 'Disconnected' : `${problem.text}. Trying again…`;
  }
}

/**
 * A duration as a clock shows it: `0:07`, `12:34`, `1:02:03`.
 *
 * @param {number} ms
 */
export function durationText(ms) {
  const total = Math.floor(ms / 1000);
  const [hours, minutes, seconds] = [Math.floor(total / 3600), Math.floor(total / 60) % 60, total % 60];
  const tail = `${hours ? String(minutes).padStart(2, '0') : minutes}:${String(seconds).padStart(2, '0')}`;
  return hours ? `${hours}:${tail}` : tail;
}

/**
 * A SIP address as a person reads it: `sip:alice@example.org;transport=tcp` is `alice@example.org`.
 *
 * @param {string} address
 */
export function partyText(address) {
  return address.replace(/^<?sips?:/i, '').replace(/[;?>].*$/, '');
}

/** @param {string} name */
export function initial(name) {
  return /[\p{L}\p{N}]/u.exec(name)?.[0] ?? '#';
}
