/**
 * One call: its status, its media and its frames. Owns the peer connection; must not know the socket, only `send`.
 *
 *     outgoing   NEW > PENDING (microphone, offer) > `call` > TRYING > RING ... > ESTABLISHED > FINISH
 *     incoming   RING > answer(): PENDING (microphone, answer) > `answer` > ESTABLISHED > FINISH
 *
 * BUSY and FAILED are the other two ends. A call that ended stays ended: whatever arrives later is ignored.
 */

import { Emitter } from './emitter.js';
import { MediaConnection, openMicrophone, stopTracks } from './media.js';
import { SdkError } from './reasons.js';
import { FINAL_STATUSES } from './wire.js';

/** @import { MediaOptions } from './media.js' */
/** @import { EndReason } from './reasons.js' */
/** @import { CallInfo, CallStatus, TransferInfo } from './wire.js' */

/** How long to wait for the offer of an incoming call, which the gateway sends along with the ring. */
const OFFER_TIMEOUT_MS = 10_000;

/**
 * What a call needs from its client.
 *
 * @typedef {object} CallLink
 * @property {(message: string, argument: object) => boolean} send false if the socket is not open
 * @property {(call: Call) => void} onEnded
 */

/**
 * @typedef {object} CallParties
 * @property {string} id
 * @property {'outgoing' | 'incoming'} direction
 * @property {string} caller
 * @property {string} callee
 * @property {string} displayName of the caller; may be empty
 */

/**
 * Events: `status` on each change, with the new status; `media` with the far side's audio; `refused` when the far side
 * would not be held, resumed or transferred, with what was asked and a text; `transfer` when the far side transfers us,
 * with how that fares; `party` when somebody else is there in its place; `ended` once, with the reason.
 *
 * @extends {Emitter<{
 *   status: [CallStatus], media: [MediaStream], refused: ['hold' | 'unhold' | 'transfer', string],
 *   transfer: [TransferInfo], party: [], ended: [EndReason]
 * }>}
 */
export class Call extends Emitter {
  #link;
  /** @type {CallStatus} */
  #status = 'NEW';
  /** @type {EndReason | null} */
  #endReason = null;
  /** @type {MediaConnection | null} */
  #media = null;
  /** Whether the gateway knows of this call, and so has to be told of its end. */
  #isKnown = false;
  #isMuted = false;
  #isHeld = false;
  #wasRinging = false;
  /** @type {PromiseWithResolver<string>} */
  #remoteOffer = promiseWithResolver();

  /**
   * Calls are made by a client: `client.call(...)`, or its `incoming` event.
   *
   * @param {CallParties} parties
   * @param {CallLink} link
   */
  constructor(parties, link) {
    super();
    this.#link = link;
    this.id = parties.id;
    this.direction = parties.direction;
    this.caller = parties.caller;
    this.callee = parties.callee;
    this.displayName = parties.displayName;
    /** @type {number | null} `performance.now()` when the call was established */
    this.establishedAt = null;
    if (parties.direction === 'incoming') {
      this.#isKnown = true;
      this.#setStatus('RING');
    }
  }

  get status() {
    return this.#status;
  }

  /** Why the call ended; null until it has. */
  get endReason() {
    return this.#endReason;
  }

  get isEnded() {
    return this.#endReason !== null;
  }

  get isMuted() {
    return this.#isMuted;
  }

  /** Whether we have put the far side on hold. The status is HOLD too while it holds us. */
  get isHeld() {
    return this.#isHeld;
  }

  /** Whether the far side's audio is arriving right now: before the answer that is early media, a tone or an announcement. */
  get hasRemoteAudio() {
    return this.#media?.hasRemoteAudio ?? false;
  }

  /** The other party's number or address. */
  get remoteParty() {
    return this.direction === 'incoming' ? this.caller : this.callee;
  }

  /**
   * Open the microphone and send the offer. Failures end the call; they are not thrown.
   *
   * @param {MediaOptions} options
   * @internal called by the client
   */
  async start(options) {
    this.#setStatus('PENDING');
    try {
      const media = await this.#openMedia(options);
      if (media === null) return;
      const sdp = await media.createOffer();
      if (this.isEnded) return;
      this.#isKnown = this.#link.send('call', {
        callId: this.id,
        incoming: false,
        hasAudio: true,
        hasVideo: false,
        status: this.#status,
        mediaProvider: 'WebRTC',
        sdp,
        sipSDP: [],
        caller: this.caller,
        callee: this.callee,
        visibleName: this.displayName,
        custom: {},
      });
      if (!this.#isKnown) throw new SdkError('connection_lost');
    } catch (error) {
      this.#endLocally('FAILED', codeOf(error));
    }
  }

  /**
   * Answer an incoming call.
   *
   * @param {MediaOptions} [options]
   * @returns {Promise<void>} when the answer is on its way; `status` becomes ESTABLISHED when the caller has it
   * @throws {SdkError} `wrong_state`, or a `microphone_...` code: then the call rings on and may be answered again
   */
  async answer(options = {}) {
    if (this.direction !== 'incoming' || this.#status !== 'RING') throw new SdkError('wrong_state');
    this.#setStatus('PENDING');
    try {
      const offer = await withTimeout(this.#remoteOffer.promise, OFFER_TIMEOUT_MS);
      const media = await this.#openMedia(options);
      if (media === null) return;
      const sdp = await media.createAnswer(offer);
      if (this.isEnded) return;
      const isSent = this.#link.send('answer', {
        callId: this.id,
        incoming: true,
        hasAudio: true,
        hasVideo: false,
        status: this.#status,
        mediaProvider: 'WebRTC',
        sdp,
        sipSDP: [],
        caller: this.caller,
        callee: this.callee,
        visibleName: this.displayName,
        custom: {},
      });
      if (!isSent) throw new SdkError('connection_lost');
    } catch (error) {
      if (this.isEnded) return;
      const code = codeOf(error);
      if (code.startsWith('microphone_') || code === 'insecure_page') {
        this.#setStatus('RING');
        throw error;
      }
      this.#hangupWith('FAILED', code);
    }
  }

  /** End the call, give up calling, or reject an incoming one: whichever fits. Harmless when it has ended. */
  hangup() {
    if (this.establishedAt !== null) this.#hangupWith('FINISH', 'normal');
    else this.#hangupWith('FINISH', this.direction === 'incoming' ? 'declined_here' : 'cancelled');
  }

  /**
   * Send digits to the far side.
   *
   * @param {string} digits of `0123456789*#ABCD`
   * @param {'RFC2833' | 'INFO' | 'INFO_RELAY'} [type] how the SIP side carries them
   * @throws {SdkError} `wrong_state` unless the call is established, `bad_digits`
   */
  sendDtmf(digits, type = 'RFC2833') {
    if (!/^[0-9*#A-D]+$/i.test(digits)) throw new SdkError('bad_digits');
    if (this.#status !== 'ESTABLISHED') throw new SdkError('wrong_state');
    this.#link.send('sendDtmf', { callId: this.id, dtmf: digits.toUpperCase(), type });
  }

  /**
   * Put the far side on hold: it hears music. The status becomes HOLD when it has agreed.
   *
   * @throws {SdkError} `wrong_state` unless the call is established
   */
  hold() {
    this.#request('hold', {});
  }

  /**
   * Talk again. The status becomes ESTABLISHED when the far side has agreed.
   *
   * @throws {SdkError} `wrong_state` unless the call is established
   */
  unhold() {
    this.#request('unhold', {});
  }

  /**
   * Send the far side to somebody else. The call ends when it has arrived there; until then it stays as it is.
   *
   * @param {string | Call} target number, user or SIP address; or another call of ours, whose far side takes over
   * @throws {SdkError} `wrong_state` unless the call is established
   */
  transfer(target) {
    this.#request('transfer', target instanceof Call ? { targetCallId: target.id } : { target });
  }

  /**
   * Let the far side transfer us, where the gateway asks for our leave (`transfer` with `needsAnswer`).
   *
   * @throws {SdkError} `wrong_state` unless the call is established
   */
  acceptTransfer() {
    this.#request('acceptTransfer', {});
  }

  /**
   * Do not let it, or give up a transfer that is under way.
   *
   * @throws {SdkError} `wrong_state` unless the call is established
   */
  rejectTransfer() {
    this.#request('rejectTransfer', {});
  }

  /**
   * @param {'hold' | 'unhold' | 'transfer' | 'acceptTransfer' | 'rejectTransfer'} message
   * @param {object} fields
   */
  #request(message, fields) {
    if (this.isEnded || this.establishedAt === null) throw new SdkError('wrong_state');
    this.#link.send(message, { callId: this.id, ...fields });
  }

  /** @param {boolean} isMuted true: the far side hears silence. Local; may be set before the call is up */
  setMuted(isMuted) {
    this.#isMuted = isMuted;
    this.#media?.setMuted(isMuted);
  }

  /** @returns {Promise<RTCStatsReport | null>} measurements of the browser's leg; null before it has media */
  async stats() {
    return this.#media?.stats() ?? null;
  }

  /**
   * A call frame came for this call.
   *
   * @param {string} message
   * @param {CallInfo} info
   * @internal called by the client
   */
  handleFrame(message, info) {
    if (this.isEnded) return;
    if (info.heldBy !== null) this.#isHeld = info.heldBy.includes(this.direction === 'outgoing' ? 'a' : 'b');
    else this.#isHeld = message === 'hold';
    const status = info.status ?? STATUS_OF_MESSAGE[message] ?? null;
    if (message === 'finish' || message === 'fail' || (status !== null && FINAL_STATUSES.includes(status))) {
      const final = status !== null && FINAL_STATUSES.includes(status) ? status : 'FAILED';
      const { reason, sipStatus, info: text } = info.failure;
      this.#end(final, { code: reason ?? (final === 'BUSY' ? 'busy' : null), sipStatus, info: text });
    } else if (status === 'ESTABLISHED' || status === 'HOLD' || (status !== null && this.direction === 'outgoing')) {
      // An incoming call rings from its birth: a `ring` frame that comes after `answer()` must not take that back.
      this.#setStatus(status);
    }
  }

  /**
   * The gateway's description came: the answer of an outgoing call, the offer of an incoming one.
   *
   * @param {string} sdp
   * @internal called by the client
   */
  handleRemoteSdp(sdp) {
    if (this.direction === 'incoming') {
      this.#remoteOffer.resolve(sdp);
    } else {
      this.#media?.acceptAnswer(sdp).catch(() => this.#hangupWith('FAILED', 'bad_description'));
    }
  }

  /**
   * Something that we asked for was not done; the call goes on.
   *
   * @param {'hold' | 'unhold' | 'transfer'} method
   * @param {string} text
   * @internal called by the client
   */
  handleRefusal(method, text) {
    if (!this.isEnded) this.emit('refused', method, text);
  }

  /**
   * The far side transfers us.
   *
   * @param {TransferInfo} transfer
   * @internal called by the client
   */
  handleTransfer(transfer) {
    if (!this.isEnded) this.emit('transfer', transfer);
  }

  /**
   * Somebody else is there now. To the gateway this is another call, which we made; our media goes on.
   *
   * @param {CallInfo} info
   * @internal called by the client
   */
  goOnAs(info) {
    this.id = info.callId;
    this.direction = 'outgoing';
    this.caller = info.caller ?? '';
    this.callee = info.callee ?? '';
    this.emit('party');
  }

  /**
   * The socket is gone, and with it the gateway's side of this call.
   *
   * @internal called by the client
   */
  handleConnectionLost() {
    this.#endLocally('FAILED', 'connection_lost');
  }

  /**
   * @param {MediaOptions} options
   * @returns {Promise<MediaConnection | null>} null if the call ended while the microphone was being opened
   */
  async #openMedia(options) {
    const stream = await openMicrophone(options);
    const isOwner = stream !== options.stream;
    if (this.isEnded) {
      if (isOwner) stopTracks(stream);
      return null;
    }
    this.#media = new MediaConnection(stream, {
      isOwner,
      onStream: (remote) => this.emit('media', remote),
      onFailed: () => this.#hangupWith('FAILED', 'media_failed'),
    });
    this.#media.setMuted(this.#isMuted);
    return this.#media;
  }

  /** @param {CallStatus} status */
  #setStatus(status) {
    if (this.#status === status) return;
    this.#status = status;
    if (status === 'ESTABLISHED') this.establishedAt ??= performance.now();
    if (status === 'RING' || status === 'RING_MEDIA' || status === 'SESSION_PROGRESS') this.#wasRinging = true;
    this.emit('status', status);
  }

  /**
   * @param {CallStatus} status
   * @param {string} code
   */
  #hangupWith(status, code) {
    if (this.isEnded) return;
    if (this.#isKnown) this.#link.send('hangup', { callId: this.id });
    this.#endLocally(status, code);
  }

  /**
   * @param {CallStatus} status
   * @param {string} code
   */
  #endLocally(status, code) {
    this.#end(status, { code, sipStatus: null, info: null });
  }

  /**
   * @param {CallStatus} status
   * @param {Pick<EndReason, 'code' | 'sipStatus' | 'info'>} cause
   */
  #end(status, cause) {
    if (this.isEnded) return;
    const reason = {
      ...cause,
      direction: this.direction,
      wasRinging: this.#wasRinging,
      wasEstablished: this.establishedAt !== null,
    };
    this.#endReason = reason;
    this.#media?.close();
    this.#link.onEnded(this);
    this.#setStatus(status);
    this.emit('ended', reason);
  }
}

/** @type {Record<string, CallStatus>} what a frame means when its call object carries no status */
const STATUS_OF_MESSAGE = {
  notifyTryingResponse: 'TRYING',
  ring: 'RING',
  talk: 'ESTABLISHED',
  hold: 'HOLD',
  finish: 'FINISH',
};

/** @param {unknown} error */
function codeOf(error) {
  return error instanceof SdkError ? error.code : 'bad_description';
}

/**
 * @template T
 * @typedef {{ promise: Promise<T>, resolve: (value: T) => void }} PromiseWithResolver
 */

/**
 * @template T
 * @returns {PromiseWithResolver<T>}
 */
function promiseWithResolver() {
  /** @type {(value: T) => void} */
  let resolve = () => {};
  const promise = new Promise((/** @type {(value: T) => void} */ fulfil) => {
    resolve = fulfil;
  });
  return { promise, resolve };
}

/**
 * @template T
 * @param {Promise<T>} promise
 * @param {number} timeoutMs
 * @returns {Promise<T>}
 */
function withTimeout(promise, timeoutMs) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new SdkError('no_offer')), timeoutMs);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
