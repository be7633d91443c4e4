/**
 * Why something failed, in words for the person at the page. Owns every text of the SDK and the error class that carries
 * its codes. A text says what happened and, where that helps, what to do.
 */

/** @import { Failure } from './wire.js' */

/**
 * Why a call ended.
 *
 * @typedef {object} EndReason
 * @property {string | null} code stable: the gateway's reason, or one of ours (the second table below)
 * @property {number | null} sipStatus what the SIP side said, if it came to that
 * @property {string | null} info the gateway's own text
 * @property {'outgoing' | 'incoming'} direction
 * @property {boolean} wasRinging
 * @property {boolean} wasEstablished
 */

/**
 * Why a session is not what it should be.
 *
 * @typedef {object} SessionProblem
 * @property {string} code
 * @property {string} text for people
 * @property {number | null} sipStatus
 * @property {number | null} retryInMs when the next attempt starts; null if none will
 */

/** Something that the SDK was asked to do and cannot. `message` is the text for people, `code` the stable name. */
export class SdkError extends Error {
  /**
   * @param {string} code
   * @param {ErrorOptions} [options]
   */
  constructor(code, options) {
    super(LOCAL_TEXTS[code] ?? code, options);
    this.name = 'SdkError';
    this.code = code;
  }
}

/** @type {Record<string, string>} reasons that the gateway sends */
const GATEWAY_TEXTS = {
  normal: 'Call ended',
  terminated: 'Call ended by the operator',
  shutdown: 'Call ended: the gateway is shutting down',
  client_gone: 'Call ended',
  transferred: 'Call transferred',
  answered_elsewhere: 'Answered elsewhere',
  declined_here: 'Call declined',
  busy_here: 'Missed call',
  cancelled: 'Call cancelled',
  busy: 'Busy',
  declined: 'Declined',
  no_answer: 'No answer',
  not_found: 'Number not found',
  unavailable: 'Not available right now',
  gone: 'This number is no longer in service',
  address_incomplete: 'Number incomplete',
  forbidden: 'Not allowed to call this number',
  authentication_failed: 'Wrong login or password',
  redirected: 'The number has moved',
  rejected: 'Call rejected',
  server_error: 'The SIP server had an error',
  server_unreachable: 'SIP server not reachable',
  request_timeout: 'No response from the SIP server',
  no_common_codecs: 'No audio format in common with the other side',
  plain_media_refused: 'The other side does not encrypt its audio',
  bad_description: 'The audio set-up was not understood',
  no_route: 'No route to this number',
  capacity: 'All lines are in use; try again soon',
  ice_failed: 'No audio path to the gateway; a firewall may block it',
  dtls_failed: 'The encrypted audio connection failed',
  dtls_fingerprint: 'The encrypted audio connection was not trustworthy',
  no_media: 'Call ended: no audio ever arrived',
  media_inactive: 'Call ended: no audio arrived any more',
  media_failed: 'The audio connection failed',
  internal: 'The gateway had an error',
  call_not_found: 'The call was over already',
  invalid_call_state: 'The call was over already',
};

/** @type {Record<string, string>} reasons found in the browser */
const LOCAL_TEXTS = {
  connection_lost: 'Connection to the gateway lost',
  no_offer: 'The gateway did not complete the incoming call',
  microphone_denied: 'The browser may not use the microphone. Allow it next to the address bar, then try again.',
  microphone_missing: 'No microphone found. Plug one in, then try again.',
  microphone_busy: 'The microphone is in use by another program. Close that, then try again.',
  microphone_failed: 'The microphone could not be opened.',
  insecure_page: 'Browsers allow the microphone on HTTPS pages and on localhost only. Open this page there.',
  gateway_unreachable: 'Gateway not reachable',
  gateway_refused: 'The gateway refused the connection',
  wrong_state: 'That is not possible right now',
  bad_digits: 'Digits are 0 to 9, *, # and A to D',
};

/** @type {Record<number, string>} for a failure whose reason we do not know (RFC 3261 section 21, RFC 4412, RFC 5079) */
const SIP_TEXTS = {
  401: 'Wrong login or password',
  402: 'Payment required',
  403: 'Not allowed to call this number',
  404: 'Number not found',
  406: 'No audio format in common with the other side',
  407: 'Wrong login or password',
  408: 'No answer',
  410: 'This number is no longer in service',
  415: 'No audio format in common with the other side',
  433: 'Anonymous calls are not accepted',
  480: 'Not available right now',
  484: 'Number incomplete',
  486: 'Busy',
  487: 'Call cancelled',
  488: 'No audio format in common with the other side',
  503: 'The SIP server takes no calls right now',
  504: 'No response from the SIP server',
  600: 'Busy',
  603: 'Declined',
  604: 'Number not found',
  606: 'No audio format in common with the other side',
};

/** @type {Record<string, string>} a failed registration, by the gateway's reason */
const REGISTRATION_TEXTS = {
  authentication_failed: 'Wrong login or password',
  forbidden: 'Wrong login or password',
  not_found: 'The SIP server does not know this login',
  server_unreachable: 'SIP server not reachable',
  request_timeout: 'SIP server not reachable',
};

/** @type {Record<number, string>} a failed registration, by the SIP server's status */
const REGISTRATION_STATUS = {
  401: 'authentication_failed',
  403: 'forbidden',
  404: 'not_found',
  407: 'authentication_failed',
  408: 'server_unreachable',
  503: 'server_unreachable',
  504: 'server_unreachable',
};

/**
 * Why a call ended, in a few words.
 *
 * @param {EndReason} reason
 * @returns {string}
 */
export function describeEnd(reason) {
  const { code, sipStatus, direction, wasRinging, wasEstablished } = reason;
  if (direction === 'incoming' && !wasEstablished && (code === null || code === 'normal' || code === 'cancelled')) {
    return 'Missed call';
  }
  // A proxy that gave up waiting for the callee says 408 as well; once it rang, that is what it means.
  if (code === 'request_timeout' && wasRinging) return 'No answer';
  return (
    (code !== null && (GATEWAY_TEXTS[code] ?? LOCAL_TEXTS[code])) ||
    (sipStatus !== null && (SIP_TEXTS[sipStatus] ?? describeClass(sipStatus))) ||
    reason.info ||
    (wasEstablished ? 'Call ended' : 'Call failed')
  );
}

/**
 * Why a session failed or was refused.
 *
 * @param {string} code one of our own
 * @param {number | null} [retryInMs]
 * @returns {SessionProblem}
 */
export function sessionProblem(code, retryInMs = null) {
  return { code, text: LOCAL_TEXTS[code] ?? code, sipStatus: null, retryInMs };
}

/**
 * Why the SIP server did not register us.
 *
 * @param {Failure} failure
 * @returns {SessionProblem}
 */
export function registrationProblem({ reason, sipStatus, info }) {
  const code = reason ?? (sipStatus !== null && REGISTRATION_STATUS[sipStatus]) ?? 'registration_failed';
  const known = code && (REGISTRATION_TEXTS[code] ?? GATEWAY_TEXTS[code]);
  const suffix = sipStatus === null ? '' : ` (SIP ${sipStatus})`;
  return {
    code: code || 'registration_failed',
    text: known || info || `The SIP server refused the login${suffix}`,
    sipStatus,
    retryInMs: null,
  };
}

/** @param {number} sipStatus */
function describeClass(sipStatus) {
  if (sipStatus < 300) return null;
  if (sipStatus < 400) return `The number has moved (SIP ${sipStatus})`;
  if (sipStatus < 500) return `Call rejected (SIP ${sipStatus})`;
  if (sipStatus < 600) return `The SIP server had an error (SIP ${sipStatus})`;
  return `Call rejected everywhere (SIP ${sipStatus})`;
}
