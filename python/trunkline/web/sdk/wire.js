/**
 * The frames on the WebSocket: `{"message": NAME, "data": [ARGUMENT, ...]}` in JSON, in the names and fields of
 * Flashphoner's Web Call Server (its Web SDK 2 speaks the same wire). Owns their shapes, reading and writing; keeps no state.
 */

/**
 * Where a session stands. PENDING: socket opening. CONNECTED: socket open. ESTABLISHED: the gateway took the account.
 * REGISTERED: the SIP server did too. FAILED: refused, see the problem given with it. DISCONNECTED: no socket.
 *
 * @typedef {'PENDING' | 'CONNECTED' | 'ESTABLISHED' | 'REGISTERED' | 'UNREGISTERED' | 'FAILED' | 'DISCONNECTED'} SessionStatus
 */

/**
 * Where a call stands. NEW and PENDING are local (media being prepared); BUSY, FINISH and FAILED are final.
 * RING_MEDIA and SESSION_PROGRESS: ringing, with the far side's own audio already to be heard.
 *
 * @typedef {'NEW' | 'PENDING' | 'TRYING' | 'RING' | 'RING_MEDIA' | 'SESSION_PROGRESS' | 'ESTABLISHED' | 'HOLD' | 'BUSY' | 'FINISH' | 'FAILED'} CallStatus
 */

/** @type {readonly CallStatus[]} */
export const CALL_STATUSES = [
  'NEW', 'PENDING', 'TRYING', 'RING', 'RING_MEDIA', 'SESSION_PROGRESS', 'ESTABLISHED', 'HOLD', 'BUSY', 'FINISH', 'FAILED',
];

/** @type {readonly CallStatus[]} */
export const FINAL_STATUSES = ['BUSY', 'FINISH', 'FAILED'];

/**
 * A SIP account as a person enters it.
 *
 * @typedef {object} Account
 * @property {string} login user part of the address of record
 * @property {string} domain SIP domain, a name or an IP address
 * @property {string} [password]
 * @property {string} [authenticationName] if it differs from the login
 * @property {string} [outboundProxy] where requests go, if not to the domain
 * @property {number} [port] of the domain or the proxy
 * @property {string} [displayName] shown to the called party
 * @property {boolean} [register] false: place calls only, receive none. Default true
 */

/**
 * How a call or a session failed, as the gateway told it.
 *
 * @typedef {object} Failure
 * @property {string | null} reason stable code of the gateway
 * @property {number | null} sipStatus final status of the SIP side
 * @property {string | null} info free text
 */

/**
 * A call as the gateway describes it. Fields that are missing or of the wrong type come out as null.
 *
 * @typedef {object} CallInfo
 * @property {string} callId
 * @property {CallStatus | null} status
 * @property {string | null} caller
 * @property {string | null} callee
 * @property {string | null} visibleName display name of the caller
 * @property {string | null} parentCallId the call that this one goes on with, after its far side has transferred us
 * @property {readonly string[] | null} heldBy sides that hold the other: `a` the caller, `b` the callee
 * @property {Failure} failure
 */

/** @typedef {{ message: string, data: unknown[] }} Frame */

/**
 * Read a frame.
 *
 * @param {unknown} text as it came from the socket
 * @returns {Frame | null} null if it is not a frame; the caller drops it
 */
export function decodeFrame(text) {
  if (typeof text !== 'string') return null;
  try {
    const frame = JSON.parse(text);
    if (typeof frame?.message !== 'string') return null;
    return { message: frame.message, data: Array.isArray(frame.data) ? frame.data : [] };
  } catch {
    return null;
  }
}

/**
 * Write a frame. Client frames carry exactly one argument.
 *
 * @param {string} message
 * @param {object | null} argument
 */
export function encodeFrame(message, argument) {
  return JSON.stringify({ message, data: [argument] });
}

/**
 * The argument of `connection`: who we are and which SIP account to use. Empty fields are left out.
 *
 * @param {{ appKey: string, authToken: string | null, account: Account | null, custom: object | null }} session
 */
export function connectionArgument({ appKey, authToken, account, custom }) {
  return {
    appKey,
    mediaProviders: ['WebRTC'],
    keepAlive: false,
    authToken: authToken ?? undefined,
    clientVersion: '2.0',
    clientOSVersion: navigator.appVersion,
    clientBrowserVersion: navigator.userAgent,
    custom: custom ?? undefined,
    ...(account && {
      sipLogin: account.login,
      sipAuthenticationName: account.authenticationName || undefined,
      sipPassword: account.password,
      sipDomain: account.domain,
      sipOutboundProxy: account.outboundProxy || undefined,
      sipPort: account.port,
      sipVisibleName: account.displayName || undefined,
      sipRegisterRequired: account.register !== false,
    }),
  };
}

/**
 * Read the call object that comes with most call frames.
 *
 * @param {unknown} argument
 * @returns {CallInfo | null} null if it names no call
 */
export function readCallInfo(argument) {
  const fields = asRecord(argument);
  const callId = text(fields.callId) ?? text(fields.id);
  if (callId === null) return null;
  return {
    callId,
    status: CALL_STATUSES.find((status) => status === fields.status) ?? null,
    caller: text(fields.caller),
    callee: text(fields.callee),
    visibleName: text(fields.visibleName),
    parentCallId: text(fields.parentCallId),
    heldBy: Array.isArray(fields.heldBy) ? fields.heldBy.filter((side) => typeof side === 'string') : null,
    failure: readFailure(argument),
  };
}

/**
 * How a transfer fares. isIncoming: the far side wants to transfer us. needsAnswer: it waits for our leave.
 *
 * @typedef {object} TransferInfo
 * @property {string} callId
 * @property {'PENDING' | 'PROCESSING' | 'COMPLETED' | 'FAILED'} status
 * @property {boolean} isIncoming
 * @property {string} target
 * @property {boolean} needsAnswer
 */

/**
 * Read the argument of `notifyTransferEvent`.
 *
 * @param {unknown} argument
 * @returns {TransferInfo | null} null if it names no call, or a status that we do not know
 */
export function readTransferInfo(argument) {
  const fields = asRecord(argument);
  const callId = text(fields.callId);
  const status = TRANSFER_STATUSES.find((known) => known === fields.status);
  if (callId === null || status === undefined) return null;
  return {
    callId,
    status,
    isIncoming: fields.incoming === true,
    target: text(fields.target) ?? '',
    needsAnswer: fields.needsAnswer === true,
  };
}

/** @type {readonly TransferInfo['status'][]} */
const TRANSFER_STATUSES = ['PENDING', 'PROCESSING', 'COMPLETED', 'FAILED'];

/**
 * @param {unknown} argument of `finish` or `fail`
 * @returns {Failure}
 */
export function readFailure(argument) {
  const fields = asRecord(argument);
  const sipStatus = Number(fields.sipStatus);
  return {
    reason: text(fields.reason),
    sipStatus: Number.isInteger(sipStatus) && sipStatus >= 100 && sipStatus < 700 ? sipStatus : null,
    info: text(fields.info),
  };
}

/**
 * @param {unknown} value
 * @returns {Record<string, unknown>} empty if the value is not an object
 */
export function asRecord(value) {
  return typeof value === 'object' && value !== null ? /** @type {Record<string, unknown>} */ (value) : {};
}

/** @param {unknown} value */
function text(value) {
  return typeof value === 'string' && value !== '' ? value : null;
}
