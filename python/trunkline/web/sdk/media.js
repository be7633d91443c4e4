/**
 * Microphone and peer connection. Owns how the browser is asked for both, and what its refusals mean; knows no frames.
 */

import { SdkError } from './reasons.js';

/**
 * What to do with the microphone's sound before it is sent.
 *
 * @typedef {object} MediaOptions
 * @property {boolean} [processing] echo cancellation, noise reduction and automatic level. Default true: right for
 *   speech. False for music, measuring tones, or a headset that does all this itself
 * @property {MediaStream} [stream] send this instead of the microphone; it stays the owner's to stop
 */

/** @type {Record<string, string>} name of a DOMException to our code */
const MICROPHONE_ERRORS = {
  NotAllowedError: 'microphone_denied',
  SecurityError: 'microphone_denied',
  NotFoundError: 'microphone_missing',
  OverconstrainedError: 'microphone_missing',
  NotReadableError: 'microphone_busy',
  AbortError: 'microphone_busy',
};

/** Whether this page may ask for the microphone at all: browsers allow it on HTTPS and on localhost. */
export function canUseMicrophone() {
  return Boolean(navigator.mediaDevices?.getUserMedia) && typeof RTCPeerConnection === 'function';
}

/**
 * Open the microphone, asking the person if the browser wants that.
 *
 * @param {MediaOptions} options
 * @returns {Promise<MediaStream>}
 * @throws {SdkError} with a `microphone_...` code, or `insecure_page`
 */
export async function openMicrophone({ processing = true, stream }) {
  if (stream) return stream;
  if (!canUseMicrophone()) throw new SdkError('insecure_page');
  try {
    return await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: processing, noiseSuppression: processing, autoGainControl: processing },
      video: false,
    });
  } catch (error) {
    const name = error instanceof DOMException ? error.name : '';
    throw new SdkError(MICROPHONE_ERRORS[name] ?? 'microphone_failed', { cause: error });
  }
}

/**
 * One peer connection with the microphone's track in it.
 *
 * It has no STUN or TURN server: the gateway's own candidates are in its description, and it learns ours from our
 * checks. So a description is complete as soon as it is set, and nobody waits for candidates to be gathered.
 */
export class MediaConnection {
  #connection = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
  #stream;
  #isOwner;
  #isAnswered = false;

  /**
   * @param {MediaStream} stream what to send
   * @param {object} options
   * @param {boolean} options.isOwner stop the stream's tracks on close
   * @param {(stream: MediaStream) => void} options.onStream the far side's audio is there
   * @param {() => void} options.onFailed ICE or DTLS came to nothing, or the path was lost for good
   */
  constructor(stream, { isOwner, onStream, onFailed }) {
    this.#stream = stream;
    this.#isOwner = isOwner;
    this.#connection.addEventListener('track', ({ track, streams }) => onStream(streams[0] ?? new MediaStream([track])));
    this.#connection.addEventListener('connectionstatechange', () => {
      if (this.#connection.connectionState === 'failed') onFailed();
    });
  }

  /** @returns {Promise<string>} SDP offer, already set as the local description */
  async createOffer() {
    this.#addTracks();
    await this.#connection.setLocalDescription(await this.#connection.createOffer());
    return this.#localSdp();
  }

  /**
   * @param {string} offer SDP
   * @returns {Promise<string>} SDP answer, already set as the local description
   */
  async createAnswer(offer) {
    await this.#connection.setRemoteDescription({ type: 'offer', sdp: offer });
    this.#addTracks();
    await this.#connection.setLocalDescription(await this.#connection.createAnswer());
    return this.#localSdp();
  }

  /**
   * Take the answer to our offer. A second one is ignored: the gateway may repeat with the final answer what it has
   * sent with early media, and the browser side of a call is never negotiated twice. (The connection's own state does
   * not tell: it stays at `have-local-offer` while the first answer is being applied.)
   *
   * @param {string} answer SDP
   */
  async acceptAnswer(answer) {
    if (this.#isAnswered) return;
    this.#isAnswered = true;
    await this.#connection.setRemoteDescription({ type: 'answer', sdp: answer });
  }

  /** Whether packets have arrived within the last seconds (the browser keeps their sources for ten). */
  get hasRemoteAudio() {
    return this.#connection.getReceivers().some((receiver) => receiver.getSynchronizationSources().length > 0);
  }

  /** @param {boolean} isMuted true sends silence */
  setMuted(isMuted) {
    for (const track of this.#stream.getAudioTracks()) track.enabled = !isMuted;
  }

  /** What the browser measures, as `RTCPeerConnection.getStats` gives it. */
  stats() {
    return this.#connection.getStats();
  }

  /** Close the connection and let go of the microphone. */
  close() {
    this.#connection.close();
    if (this.#isOwner) stopTracks(this.#stream);
  }

  #addTracks() {
    for (const track of this.#stream.getAudioTracks()) this.#connection.addTrack(track, this.#stream);
  }

  #localSdp() {
    return this.#connection.localDescription?.sdp ?? '';
  }
}

/** @param {MediaStream} stream */
export function stopTracks(stream) {
  for (const track of stream.getTracks()) track.stop();
}
