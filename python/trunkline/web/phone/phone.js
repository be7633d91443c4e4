/**
 * The phone itself: one session, one call in the foreground and at most one that waits. Owns which calls those are and
 * what the person sees of them; protocol and media are the SDK's.
 */

import { describeEnd, SdkError } from '../sdk/index.js';
import { elements } from './elements.js';
import { attachFunctions, showFunctions, showIncomingTransfer } from './functions.js';
import { attachPad } from './pad.js';
import { Sounds } from './sounds.js';
import { callText, durationText, initial, partyText, refusalText, sessionText } from './texts.js';

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
  /** @type {Call | null} the one that waits while another is in the foreground */
  #other = null;
  /** @type {Call | null} one that rings while another is in the foreground */
  #knocking = null;
  /** @type {WeakMap<Call, MediaStream>} */
  #streams = new WeakMap();
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
    elements.reject.addEventListener('click', () => (this.#knocking ?? this.#call)?.hangup());
    attachFunctions({
      current: () => this.#call,
      other: () => this.#other,
      onConsult: (callee) => this.#consult(callee),
      onSwap: () => this.#swap(),
    });
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

  /** @param {string} callee somebody to talk to while the current call waits */
  #consult(callee) {
    const call = this.#call;
    if (this.#session === null || call === null || this.#other !== null) return;
    const { client, processing } = this.#session;
    try {
      const second = client.call(callee, { processing });
      if (!call.isHeld) call.hold();
      this.#other = call;
      this.#follow(second);
    } catch (error) {
      elements.callProblem.textContent = error instanceof SdkError ? error.message : 'Call failed';
    }
  }

  #swap() {
    const [call, other] = [this.#call, this.#other];
    if (call === null || other === null) return;
    if (call.establishedAt === null) return; // not before it is answered: there is nothing to hold
    if (!call.isHeld) call.hold();
    if (other.isHeld) other.unhold();
    this.#other = call;
    this.#bringForward(other);
  }

  /** @param {Call} call */
  #handleIncoming(call) {
    const isFree = this.#call === null;
    if (!isFree && (this.#other !== null || this.#knocking !== null || this.#call?.establishedAt === null)) {
      call.hangup(); // no room for another one: the caller hears that we are busy
      return;
    }
    if (isFree) {
      this.#follow(call);
    } else {
      this.#knocking = call;
      call.on('ended', () => this.#stopKnocking(call));
      call.on('status', (status) => {
        if (status === 'ESTABLISHED') this.#stopKnocking(call);
      });
      elements.incomingTitle.textContent = callText('RING', 'incoming');
      this.#sounds.key('5');
    }
    const caller = call.displayName || partyText(call.remoteParty) || 'Unknown caller';
    document.title = `${caller} is calling`;
    elements.incomingCaller.textContent = caller;
    elements.incomingInitial.textContent = initial(caller);
    elements.incomingProblem.textContent = '';
    this.#showIncoming(true);
    elements.answer.focus();
  }

  /** @param {Call} call that rings no more */
  #stopKnocking(call) {
    if (this.#knocking !== call) return;
    this.#knocking = null;
    this.#leaveIncoming();
  }

  async #answer() {
    const call = this.#knocking ?? this.#call;
    if (call === null || this.#session === null) return;
    elements.incomingProblem.textContent = '';
    elements.answer.disabled = true;
    try {
      await call.answer({ processing: this.#session.processing });
      if (call === this.#knocking) this.#takeKnocking(call);
    } catch (error) {
      elements.incomingProblem.textContent = error instanceof SdkError ? error.message : 'The call could not be answered';
    } finally {
      elements.answer.disabled = false;
    }
  }

  /** @param {Call} call that rang during another and is being answered */
  #takeKnocking(call) {
    this.#stopKnocking(call);
    const current = this.#call;
    if (current !== null) {
      if (!current.isHeld) current.hold();
      this.#other = current;
    }
    if (!call.isEnded) this.#follow(call);
  }

  /**
   * Make this the phone's call.
   *
   * @param {Call} call
   */
  #follow(call) {
    call.on('status', (status) => {
      if (call === this.#call && !call.isEnded) this.#showCall(status);
      else showFunctions(this.#call, this.#other);
    });
    call.on('media', (stream) => {
      this.#streams.set(call, stream);
      if (call === this.#call) elements.remoteAudio.srcObject = stream;
    });
    call.on('refused', (method, text) => {
      elements.callProblem.textContent = refusalText(method, text);
    });
    call.on('transfer', (transfer) => {
      if (call === this.#call) showIncomingTransfer(transfer);
    });
    call.on('party', () => {
      showIncomingTransfer(null);
      this.#showParty();
    });
    call.on('ended', (reason) => this.#handleEnded(call, reason));
    this.#bringForward(call);
    if (call.direction === 'outgoing') elements.remoteParty.focus();
  }

  /**
   * Show this call and let it be heard.
   *
   * @param {Call} call
   */
  #bringForward(call) {
    this.#call = call;
    elements.remoteAudio.srcObject = this.#streams.get(call) ?? null;
    elements.callProblem.textContent = '';
    showIncomingTransfer(null);
    this.#showParty();
    elements.digitsSent.textContent = '';
    elements.callTimer.textContent = '';
    this.#setMuted(call.isMuted);
    this.#setEnabled(false);
    this.#showCall(call.status);
    if (call.establishedAt !== null) this.#startTimer(call);
  }

  #showParty() {
    const party = partyText(this.#call?.remoteParty ?? '');
    elements.remoteParty.textContent = party;
    elements.remoteInitial.textContent = initial(party);
    elements.otherParty.textContent = partyText(this.#other?.remoteParty ?? '');
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
    showFunctions(call, this.#other);
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
    if (call === this.#other) {
      this.#other = null;
      showFunctions(this.#call, null);
      return;
    }
    if (call !== this.#call) return;
    clearInterval(this.#timer);
    this.#sounds.stop();
    if (this.#other !== null) {
      const other = this.#other;
      this.#other = null;
      this.#bringForward(other);
      return;
    }
    this.#call = null;
    this.#leaveIncoming();
    showFunctions(null, null);
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
