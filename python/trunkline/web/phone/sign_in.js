/**
 * The sign-in card: the form and the demo account. Owns what the form remembers (never the password) and the way from a
 * filled form to a session that stands.
 */

import { Client } from '../sdk/index.js';
import { elements } from './elements.js';

/** @import { Account } from '../sdk/index.js' */

/**
 * @typedef {object} Demo
 * @property {string} login
 * @property {string} [authenticationName]
 * @property {string} password
 * @property {string} domain
 * @property {string} [outboundProxy]
 * @property {number} [port]
 * @property {{ number: string, title: string }[]} numbers
 */

/**
 * A session that stands, and what the phone has to know of it.
 *
 * @typedef {object} SignedIn
 * @property {Client} client
 * @property {Account} account
 * @property {boolean} processing whether the microphone's sound may be processed
 * @property {Demo | null} demo set if it is the demo account
 */

const STORAGE_KEY = 'trunkline-account';

export class SignIn {
  /** @type {Client | null} being signed in */
  #client = null;
  #onSignedIn;

  /** @param {(session: SignedIn) => void} onSignedIn */
  constructor(onSignedIn) {
    this.#onSignedIn = onSignedIn;
    elements.signInForm.addEventListener('submit', (event) => {
      event.preventDefault();
      remember();
      this.#start(readForm(), null);
    });
    elements.cancelSignIn.addEventListener('click', () => this.#stop(''));
    recall();
  }

  /**
   * Offer the demo account.
   *
   * @param {Demo} demo
   */
  offerDemo(demo) {
    elements.demoEntry.hidden = false;
    elements.useDemo.addEventListener('click', () => {
      const { numbers: _, ...account } = demo;
      this.#start({ ...account, register: true }, demo);
    });
  }

  /**
   * @param {Account} account
   * @param {Demo | null} demo
   */
  #start(account, demo) {
    if (this.#client !== null) return;
    // Next to the page's folder, so that it also works behind a proxy that puts us under a path.
    const url = new URL('../ws', document.baseURI);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    const client = new Client({ url, account });
    this.#client = client;
    this.#setBusy(true);
    const stopListening = client.on('status', (status, problem) => {
      if (status === 'FAILED' || status === 'DISCONNECTED') {
        this.#stop(problem?.text ?? '');
      } else if (status === 'REGISTERED' || (status === 'ESTABLISHED' && account.register === false)) {
        stopListening();
        this.#client = null;
        this.#setBusy(false);
        elements.password.value = '';
        this.#onSignedIn({ client, account, processing: elements.processing.checked, demo });
      }
    });
    client.connect();
  }

  /** @param {string} error */
  #stop(error) {
    const client = this.#client;
    if (client === null) return;
    this.#client = null;
    client.disconnect();
    this.#setBusy(false);
    elements.signInError.textContent = error;
  }

  /** @param {boolean} isBusy */
  #setBusy(isBusy) {
    elements.signInError.textContent = '';
    elements.signIn.textContent = isBusy ? 'Signing in…' : 'Sign in';
    elements.signIn.disabled = isBusy;
    elements.useDemo.disabled = isBusy;
    elements.cancelSignIn.hidden = !isBusy;
  }
}

/** @returns {Account} */
function readForm() {
  const { login, password, domain, register, authenticationName, outboundProxy, port } = elements;
  return {
    login: login.value.trim(),
    password: password.value,
    domain: domain.value.trim(),
    register: register.checked,
    ...(authenticationName.value.trim() && { authenticationName: authenticationName.value.trim() }),
    ...(outboundProxy.value.trim() && { outboundProxy: outboundProxy.value.trim() }),
    ...(port.value && { port: port.valueAsNumber }),
  };
}

function remember() {
  const { password: _, ...account } = readForm();
  try {
    localStorage.setItem(STORAGE_KEY, JSON.stringify(account));
  } catch {
    // Storage may be forbidden or full; then the form starts empty next time.
  }
}

function recall() {
  /** @type {Partial<Account>} */
  let account;
  try {
    account = JSON.parse(localStorage.getItem(STORAGE_KEY) ?? '{}') ?? {};
  } catch {
    return;
  }
  elements.login.value = account.login ?? '';
  elements.domain.value = account.domain ?? '';
  elements.register.checked = account.register ?? true;
  elements.authenticationName.value = account.authenticationName ?? '';
  elements.outboundProxy.value = account.outboundProxy ?? '';
  elements.port.value = String(account.port ?? '');
  elements.moreSettings.open = Boolean(account.authenticationName || account.outboundProxy || account.port);
}
