/**
 * The phone itself: one session, at most one call at a time. Owns which call that is and what the person sees of it;
 * protocol and media are the SDK's.
 */

import { describeEnd, SdkError } from '../sdk/index.js';
import { elements } from './elements.js';
import { attachPad } from './pad.js';
import { Sounds } from './sounds.js';
import { callText, durationText, initial, partyText, sessionText } from './texts.js';

/** @import { Call, CallStatus, EndReason } from '../sdk/index.js' */
/** @import { SignedIn } from './sign_in.js' */

const TITLE = document.title;
const TIMER_MS = 250;
const DTMF = /^[0-9*#]$/;

export class Phone {
  #sounds = new Sounds();
  /** @type {SignedIn | null} */
  #session = null;
  /** @type {Call | null} */
  #call = null;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;

  constructor() {
    attachPad({
      onDigit: (digit) => this.#handleDigit(digit),
      onEscape: () => this.#handleEscape(),
      isDialing: () => this.#call === null,
    });
    elements.dialForm.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#dial(elements.dialField.value.trim());
    });
    elements.dialField.addEventListener('input', () => {
      elements.erase.hidden = elements.dialField.value === '';
      this.#showStatus('NEW', '');
    });
    elements.hangup.addEventListener('click', () => this.#call?.hangup());
    elements.reject.addEventListener('click', () => this.#call?.hangup());
    elements.answer.addEventListener('click', () => void this.#answer());
    elements.mute.addEventListener('click', () => this.#setMuted(!this.#call?.isMuted));
    elements.signOut.addEventListener('click', () => this.#signOut());
    document.addEventListener('pointerdown', () => this.#sounds.unlock());
    document.addEventListener('keydown', () => this.#sounds.unlock());
    window.addEventListener('online', () => this.#session?.client.connect());
  }

  /**
   * Show the phone for a session that stands.
   *
   * @param {SignedIn} session
   */
  open(session) {
    const { client, account, demo } = session;
    this.#session = session;
    const show = () => {
      elements.sessionStatus.textContent = sessionText(client.status, null, account);
      elements.sessionStatus.dataset.status = client.status;
      elements.call.disabled = !client.isReady;
    };
    show();
    client.on('status', (_, problem) => {
      if (this.#session !== session) return;
      show();
      elements.sessionStatus.textContent = sessionText(client.status, problem, account);
    });
    client.on('incoming', (call) => this.#handleIncoming(call));
    this.#listNumbers(demo?.numbers ?? []);
    this.#showStatus('NEW', '');
    elements.callTimer.textContent = '';
    elements.dialField.value = '';
    elements.erase.hidden = true;
    document.body.dataset.view = 'phone';
    this.#focusDialing();
  }

  #signOut() {
    const session = this.#session;
    this.#session = null;
    session?.client.disconnect();
    document.body.dataset.view = 'sign-in';
    elements.login.focus();
  }

  /** @param {{ number: string, title: string }[]} numbers */
  #listNumbers(numbers) {
    elements.demoList.hidden = numbers.length === 0;
    elements.demoNumbers.replaceChildren(
      ...numbers.map(({ number, title }) => {
        const button = document.createElement('button');
        button.type = 'button';
        button.dataset.number = number;
        const name = document.createElement('strong');
        name.textContent = number;
        const description = document.createElement('span');
        description.textContent = title;
        button.append(name, description);
        button.addEventListener('click', () => {
          elements.dialField.value = number;
          elements.erase.hidden = false;
          this.#dial(number);
        });
        const item = document.createElement('li');
        item.append(button);
        return item;
      }),
    );
  }

  /** @param {string} callee */
  #dial(callee) {
    if (this.#session === null || this.#call !== null) return;
    if (callee === '') {
      this.#showStatus('NEW', 'Type a number first');
      elements.dialField.focus();
      return;
    }
    try {
      const { client, processing } = this.#session;
      this.#follow(client.call(callee, { processing }));
    } catch (error) {
      this.#showStatus('FAILED', error instanceof SdkError ? error.message : 'Call failed');
    }
  }

  /** @param {Call} call */
  #handleIncoming(call) {
    if (this.#call !== null) {
      call.hangup(); // one call at a time: the caller hears that we are busy
      return;
    }
    this.#follow(call);
    const caller = call.displayName || partyText(call.remoteParty) || 'Unknown caller';
    document.title = `${caller} is calling`;
    elements.incomingCaller.textContent = caller;
    elements.incomingInitial.textContent = initial(caller);
    elements.incomingProblem.textContent = '';
    this.#showIncoming(true);
    elements.answer.focus();
  }

  async #answer() {
    const call = this.#call;
    if (call === null || this.#session === null) return;
    elements.incomingProblem.textContent = '';
    elements.answer.disabled = true;
    try {
      await call.answer({ processing: this.#session.processing });
    } catch (error) {
      elements.incomingProblem.textContent = error instanceof SdkError ? error.message : 'The call could not be answered';
    } finally {
      elements.answer.disabled = false;
    }
  }

  /**
   * Make this the phone's call.
   *
   * @param {Call} call
   */
  #follow(call) {
    this.#call = call;
    const party = partyText(call.remoteParty);
    elements.remoteParty.textContent = party;
    elements.remoteInitial.textContent = initial(party);
    elements.digitsSent.textContent = '';
    elements.callTimer.textContent = '';
    this.#setMuted(false);
    this.#setEnabled(false);
    this.#showCall(call.status);
    call.on('status', (status) => {
      if (!call.isEnded) this.#showCall(status);
    });
    call.on('media', (stream) => {
      elements.remoteAudio.srcObject = stream;
    });
    call.on('ended', (reason) => this.#handleEnded(call, reason));
    if (call.direction === 'outgoing') elements.remoteParty.focus();
  }

  /** @param {CallStatus} status not a final one */
  #showCall(status) {
    const call = /** @type {Call} */ (this.#call);
    const isRinging = status === 'RING' || status === 'RING_MEDIA' || status === 'SESSION_PROGRESS';
    if (call.direction === 'outgoing') {
      document.body.dataset.call = call.establishedAt === null ? 'outgoing' : 'established';
      if (!isRinging) this.#sounds.stop();
      else if (status === 'RING') this.#sounds.ringback(() => call.hasRemoteAudio);
    } else {
      // `RING` comes back after `PENDING` if the microphone does not open.
      document.body.dataset.call = call.establishedAt === null ? 'incoming' : 'established';
      if (status === 'RING') this.#sounds.ring();
      else this.#sounds.stop();
      if (call.establishedAt !== null) this.#leaveIncoming();
      elements.incomingTitle.textContent = callText(status, call.direction);
    }
    this.#showStatus(status, callText(status, call.direction));
    if (status === 'ESTABLISHED') this.#startTimer(call);
  }

  /** @param {boolean} isShown */
  #showIncoming(isShown) {
    elements.incoming.hidden = !isShown;
    for (const sibling of elements.incoming.parentElement?.children ?? []) {
      if (sibling instanceof HTMLElement && sibling !== elements.incoming) sibling.inert = isShown;
    }
  }

  #leaveIncoming() {
    if (elements.incoming.hidden) return;
    document.title = TITLE;
    this.#showIncoming(false);
    elements.remoteParty.focus();
  }

  /** @param {Call} call */
  #startTimer(call) {
    clearInterval(this.#timer);
    const show = () => {
      elements.callTimer.textContent = durationText(performance.now() - (call.establishedAt ?? 0));
    };
    show();
    this.#timer = setInterval(show, TIMER_MS);
  }

  /**
   * @param {Call} call
   * @param {EndReason} reason
   */
  #handleEnded(call, reason) {
    if (call !== this.#call) return;
    this.#call = null;
    clearInterval(this.#timer);
    this.#sounds.stop();
    this.#leaveIncoming();
    elements.remoteAudio.srcObject = null;
    this.#setEnabled(true);
    document.body.dataset.call = 'idle';
    const isUnanswered = call.direction === 'incoming' && !reason.wasEstablished;
    const whose = isUnanswered ? ` (${elements.incomingCaller.textContent})` : '';
    this.#showStatus(call.status, describeEnd(reason) + whose, reason);
    this.#focusDialing();
  }

  /**
   * @param {CallStatus} status
   * @param {string} text
   * @param {EndReason | null} [reason] of a call that ended
   */
  #showStatus(status, text, reason = null) {
    const { callStatus } = elements;
    callStatus.textContent = text;
    callStatus.dataset.status = status;
    callStatus.dataset.reason = reason?.code ?? '';
    callStatus.dataset.sipStatus = String(reason?.sipStatus ?? '');
    if (text === '') elements.callTimer.textContent = '';
  }

  /** @param {boolean} isMuted */
  #setMuted(isMuted) {
    this.#call?.setMuted(isMuted);
    elements.mute.setAttribute('aria-pressed', String(isMuted));
    elements.mute.textContent = isMuted ? 'Muted' : 'Mute';
  }

  /** @param {boolean} isEnabled whether another call can be placed */
  #setEnabled(isEnabled) {
    for (const button of elements.demoNumbers.querySelectorAll('button')) button.disabled = !isEnabled;
  }

  /**
   * @param {string} digit
   * @returns {boolean} true if it went to a call; else it belongs into the dial field
   */
  #handleDigit(digit) {
    if (this.#call === null) {
      this.#sounds.key(digit);
      return false;
    }
    if (this.#call.status !== 'ESTABLISHED' || !DTMF.test(digit)) return true;
    this.#sounds.key(digit);
    this.#call.sendDtmf(digit);
    elements.digitsSent.textContent += digit;
    return true;
  }

  #handleEscape() {
    if (this.#call !== null) {
      this.#call.hangup();
    } else if (elements.dialField.value !== '') {
      elements.dialField.value = '';
      elements.dialField.dispatchEvent(new Event('input'));
    }
  }

  /** With a mouse, back to the field; on a touch screen that would push the keyboard over the pad. */
  #focusDialing() {
    (matchMedia('(pointer: coarse)').matches ? elements.call : elements.dialField).focus();
  }
}
