/**
 * The connection to the gateway: one WebSocket, one SIP account, any number of calls.
 *
 * Owns the socket, its liveness and its re-opening, the session's status, and which call a frame is for. Must not touch
 * media. Frames are those of `wire.js`.
 */

import { Call } from './call.js';
import { Emitter } from './emitter.js';
import { SdkError, registrationProblem, sessionProblem } from './reasons.js';
import { asRecord, connectionArgument, decodeFrame, encodeFrame, readCallInfo, readFailure, readTransferInfo } from './wire.js';

/** @import { CallLink } from './call.js' */
/** @import { MediaOptions } from './media.js' */
/** @import { SessionProblem } from './reasons.js' */
/** @import { Account, CallInfo, Frame, SessionStatus } from './wire.js' */

/**
 * @typedef {object} ClientOptions
 * @property {string | URL} url WebSocket address of the gateway: `ws:` or `wss:`
 * @property {Account | null} [account] SIP account; none for what the gateway itself can reach
 * @property {string} [appKey] default `defaultApp`
 * @property {object} [custom] handed to the gateway's hooks as it is
 * @property {boolean} [reconnect] open the socket again when it is lost. Default true
 * @property {Partial<Timing>} [timing]
 */

/**
 * @typedef {object} Timing
 * @property {number} openTimeoutMs to open the socket and be let in
 * @property {number} pingAfterMs of silence
 * @property {number} pongTimeoutMs of silence after that ping: the socket is dead
 * @property {number} firstRetryMs doubles with each failure
 * @property {number} lastRetryMs and stays at this
 */

/** @type {Timing} */
const DEFAULT_TIMING = {
  openTimeoutMs: 10_000,
  pingAfterMs: 20_000,
  pongTimeoutMs: 10_000,
  firstRetryMs: 1_000,
  lastRetryMs: 30_000,
};

/** WebSocket close code of a gateway that does not want us: asking again would change nothing (RFC 6455 7.4.1). */
const POLICY_VIOLATION = 1008;

/**
 * Events: `status` with the new status and, if something went wrong, what; `incoming` with a call that rings;
 * `warning` with a text of the gateway that belongs to no call.
 *
 * @extends {Emitter<{ status: [SessionStatus, SessionProblem | null], incoming: [Call], warning: [string] }>}
 */
export class Client extends Emitter {
  #options;
  #timing;
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {SessionStatus} */
  #status = 'DISCONNECTED';
  /** @type {string | null} */
  #authToken = null;
  #wasEstablished = false;
  #failedAttempts = 0;
  /** @type {Map<string, Call>} */
  #calls = new Map();
  /** @type {Map<string, Call>} by the id that a call goes on under if a transfer of its far side succeeds */
  #successors = new Map();
  /** @type {Map<string, string>} descriptions that came before the call they are for */
  #earlySdp = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} the one of opening, ping, pong and retry that is due next */
  #timer;

  /** @param {ClientOptions} options */
  constructor(options) {
    super();
    this.#options = options;
    this.#timing = { ...DEFAULT_TIMING, ...options.timing };
  }

  get status() {
    return this.#status;
  }

  /** Whether calls can be placed. */
  get isReady() {
    return this.#status === 'REGISTERED' || this.#status === 'ESTABLISHED' || this.#status === 'UNREGISTERED';
  }

  /** Calls that have not ended. */
  get calls() {
    return [...this.#calls.values()];
  }

  /** Open the connection, or try again at once while waiting for the next attempt. Does nothing when it is open. */
  connect() {
    if (this.#socket !== null) return;
    clearTimeout(this.#timer);
    const socket = new WebSocket(this.#options.url);
    this.#socket = socket;
    socket.addEventListener('open', () => this.#handleOpen(socket));
    socket.addEventListener('message', (event) => this.#handleMessage(socket, event));
    socket.addEventListener('close', (event) => this.#handleClose(socket, event.code));
    this.#timer = setTimeout(() => this.#abandon(socket), this.#timing.openTimeoutMs);
    this.#setStatus('PENDING', null);
  }

  /** End every call and the connection; the gateway takes the registration back. */
  disconnect() {
    clearTimeout(this.#timer);
    for (const call of this.calls) call.hangup();
    const socket = this.#socket;
    this.#forgetSocket();
    this.#authToken = null;
    this.#wasEstablished = false;
    this.#failedAttempts = 0;
    socket?.close(1000);
    this.#setStatus('DISCONNECTED', null);
  }

  /**
   * Call somebody.
   *
   * @param {string} callee number, user or SIP address
   * @param {MediaOptions} [media]
   * @returns {Call} on its way: the microphone is opened next. Listen to its events
   * @throws {SdkError} `wrong_state` if there is no session
   */
  call(callee, media = {}) {
    if (!this.isReady) throw new SdkError('wrong_state');
    const account = this.#options.account;
    const call = this.#addCall(crypto.randomUUID(), 'outgoing', {
      caller: account?.login ?? '',
      callee,
      displayName: account?.displayName ?? account?.login ?? '',
    });
    void call.start(media);
    return call;
  }

  /**
   * @param {string} id
   * @param {'outgoing' | 'incoming'} direction
   * @param {{ caller: string, callee: string, displayName: string }} parties
   */
  #addCall(id, direction, parties) {
    /** @type {CallLink} */
    const link = {
      send: (message, argument) => this.#send(message, argument),
      onEnded: (ended) => void this.#calls.delete(ended.id),
    };
    const call = new Call({ id, direction, ...parties }, link);
    this.#calls.set(id, call);
    return call;
  }

  /** @param {WebSocket} socket */
  #handleOpen(socket) {
    if (socket !== this.#socket) return;
    this.#setStatus('CONNECTED', null);
    this.#send(
      'connection',
      connectionArgument({
        appKey: this.#options.appKey ?? 'defaultApp',
        authToken: this.#authToken,
        account: this.#options.account ?? null,
        custom: this.#options.custom ?? null,
      }),
    );
  }

  /**
   * @param {WebSocket} socket
   * @param {MessageEvent<unknown>} event
   */
  #handleMessage(socket, event) {
    if (socket !== this.#socket) return;
    const frame = decodeFrame(event.data);
    if (frame === null) return;
    this.#dispatch(frame);
    if (socket === this.#socket && this.#status !== 'CONNECTED') this.#watch(socket);
  }

  /** @param {Frame} frame */
  #dispatch({ message, data }) {
    const argument = data[0];
    switch (message) {
      case 'ping':
        this.#send('pong', null);
        break;
      case 'getUserData': {
        const token = asRecord(argument).authToken;
        this.#authToken = typeof token === 'string' ? token : null;
        this.#wasEstablished = true;
        this.#failedAttempts = 0;
        this.#setStatus('ESTABLISHED', null);
        break;
      }
      case 'registered':
        this.#setStatus('REGISTERED', null);
        break;
      case 'setRemoteSDP':
        this.#handleRemoteSdp(argument, data[1]);
        break;
      case 'notifyIncomingCall':
        this.#handleIncomingCall(argument);
        break;
      case 'notifyTransferEvent': {
        const transfer = readTransferInfo(argument);
        if (transfer?.isIncoming) this.#calls.get(transfer.callId)?.handleTransfer(transfer);
        break;
      }
      case 'fail':
        this.#handleFail(argument);
        break;
      case 'notifyTryingResponse':
      case 'ring':
      case 'talk':
      case 'hold':
      case 'finish': {
        const info = readCallInfo(argument);
        if (info) this.#succeed(message, info);
        if (info) this.#calls.get(info.callId)?.handleFrame(message, info);
        if (info && message === 'finish') this.#earlySdp.delete(info.callId);
        break;
      }
      default: // `pong`, and what newer gateways may add: it has shown that the socket lives
    }
  }

  /**
   * @param {unknown} callId
   * @param {unknown} sdp
   */
  #handleRemoteSdp(callId, sdp) {
    if (typeof callId !== 'string' || typeof sdp !== 'string' || sdp === '') return;
    const call = this.#calls.get(callId);
    if (call) call.handleRemoteSdp(sdp);
    else this.#earlySdp.set(callId, sdp);
  }

  /** @param {unknown} argument */
  #handleIncomingCall(argument) {
    const info = readCallInfo(argument);
    if (info === null || this.#calls.has(info.callId)) return;
    const parent = info.parentCallId === null ? undefined : this.#calls.get(info.parentCallId);
    if (parent !== undefined) {
      this.#successors.set(info.callId, parent);
      return;
    }
    const call = this.#addCall(info.callId, 'incoming', {
      caller: info.caller ?? '',
      callee: info.callee ?? '',
      displayName: info.visibleName ?? '',
    });
    const sdp = this.#earlySdp.get(info.callId);
    this.#earlySdp.clear();
    if (sdp !== undefined) call.handleRemoteSdp(sdp);
    this.emit('incoming', call);
  }

  /**
   * Have a call go on as its successor once that is answered; forget a successor that came to nothing.
   *
   * @param {string} message
   * @param {CallInfo} info
   */
  #succeed(message, info) {
    const call = this.#successors.get(info.callId);
    if (call === undefined) return;
    if (message === 'finish') this.#successors.delete(info.callId);
    if (message !== 'talk') return;
    this.#successors.delete(info.callId);
    if (call.isEnded) return;
    this.#calls.delete(call.id);
    call.goOnAs(info);
    this.#calls.set(call.id, call);
  }

  /** @param {unknown} argument */
  #handleFail(argument) {
    const info = readCallInfo(argument);
    const call = info && this.#calls.get(info.callId);
    const failure = readFailure(argument);
    const method = asRecord(argument).apiMethod;
    if (call && method === 'CallStatusEvent') {
      call.handleFrame('fail', info);
    } else if (call && (method === 'hold' || method === 'unhold' || method === 'transfer')) {
      call.handleRefusal(method, failure.info ?? failure.reason ?? '');
    } else if (method === 'RegistrationStatusEvent') {
      this.#setStatus('FAILED', registrationProblem(failure));
    } else if (method === 'ConnectionStatusEvent') {
      this.#setStatus('FAILED', { ...sessionProblem('gateway_refused'), ...(failure.info && { text: failure.info }) });
    } else {
      this.emit('warning', failure.info ?? failure.reason ?? 'Unknown problem');
    }
  }

  /**
   * @param {WebSocket} socket
   * @param {number} code of RFC 6455 section 7.4
   */
  #handleClose(socket, code) {
    if (socket !== this.#socket) return;
    clearTimeout(this.#timer);
    this.#forgetSocket();
    for (const call of this.calls) call.handleConnectionLost();
    if (code === POLICY_VIOLATION) {
      this.#setStatus('FAILED', sessionProblem('gateway_refused'));
    } else if (!this.#wasEstablished) {
      // Never let in since `connect()`: the address or the network is wrong, and the person is waiting for word.
      this.#setStatus('FAILED', sessionProblem('gateway_unreachable'));
    } else if (this.#options.reconnect === false) {
      this.#setStatus('DISCONNECTED', sessionProblem('connection_lost'));
    } else {
      const delayMs = this.#retryDelayMs();
      this.#failedAttempts += 1;
      this.#timer = setTimeout(() => this.connect(), delayMs);
      this.#setStatus('DISCONNECTED', sessionProblem('connection_lost', delayMs));
    }
  }

  /** Doubles up to the limit; up to a quarter is taken off at random, so that a restart is not met by all pages at once. */
  #retryDelayMs() {
    const { firstRetryMs, lastRetryMs } = this.#timing;
    const delayMs = Math.min(firstRetryMs * 2 ** this.#failedAttempts, lastRetryMs);
    return Math.round(delayMs * (1 - Math.random() / 4));
  }

  /**
   * Start over to wait for silence: ping after a while, give the socket up if even that brings no frame.
   *
   * @param {WebSocket} socket
   */
  #watch(socket) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#send('ping', null);
      this.#timer = setTimeout(() => this.#abandon(socket), this.#timing.pongTimeoutMs);
    }, this.#timing.pingAfterMs);
  }

  /**
   * A socket whose peer is gone may take minutes to close: do not wait for it.
   *
   * @param {WebSocket} socket
   */
  #abandon(socket) {
    this.#handleClose(socket, 1006);
    socket.close();
  }

  #forgetSocket() {
    this.#socket = null;
    this.#earlySdp.clear();
    this.#successors.clear();
  }

  /**
   * @param {string} message
   * @param {object | null} argument
   * @returns {boolean}
   */
  #send(message, argument) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(encodeFrame(message, argument));
    return true;
  }

  /**
   * @param {SessionStatus} status
   * @param {SessionProblem | null} problem
   */
  #setStatus(status, problem) {
    if (this.#status === status && problem === null) return;
    this.#status = status;
    this.emit('status', status, problem);
  }
}
