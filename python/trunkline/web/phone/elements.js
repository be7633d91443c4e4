/** The elements of `index.html` that the modules move. Fails at load, by name, if the page lacks one. */

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
function element(id, type) {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`index.html has no ${type.name} #${id}`);
  return found;
}

export const elements = {
  notice: element('notice', HTMLElement),
  version: element('version', HTMLElement),
  sessionStatus: element('session-status', HTMLElement),
  signOut: element('sign-out', HTMLButtonElement),

  signInForm: element('sign-in-form', HTMLFormElement),
  demoEntry: element('demo-entry', HTMLElement),
  useDemo: element('use-demo', HTMLButtonElement),
  login: element('login', HTMLInputElement),
  password: element('password', HTMLInputElement),
  domain: element('domain', HTMLInputElement),
  register: element('register', HTMLInputElement),
  moreSettings: element('more-settings', HTMLDetailsElement),
  authenticationName: element('authentication-name', HTMLInputElement),
  outboundProxy: element('outbound-proxy', HTMLInputElement),
  port: element('port', HTMLInputElement),
  processing: element('processing', HTMLInputElement),
  signInError: element('sign-in-error', HTMLElement),
  signIn: element('sign-in', HTMLButtonElement),
  cancelSignIn: element('cancel-sign-in', HTMLButtonElement),

  dialForm: element('dial-form', HTMLFormElement),
  dialField: element('dial-field', HTMLInputElement),
  erase: element('erase', HTMLButtonElement),
  pad: element('pad', HTMLElement),
  call: element('call', HTMLButtonElement),
  hangup: element('hangup', HTMLButtonElement),
  mute: element('mute', HTMLButtonElement),
  hold: element('hold', HTMLButtonElement),
  transfer: element('transfer', HTMLButtonElement),
  transferForm: element('transfer-form', HTMLFormElement),
  transferTarget: element('transfer-target', HTMLInputElement),
  consult: element('consult', HTMLButtonElement),
  otherCall: element('other-call', HTMLElement),
  otherParty: element('other-party', HTMLElement),
  swap: element('swap', HTMLButtonElement),
  join: element('join', HTMLButtonElement),
  transferNotice: element('transfer-notice', HTMLElement),
  transferText: element('transfer-text', HTMLElement),
  followTransfer: element('follow-transfer', HTMLButtonElement),
  stayTransfer: element('stay-transfer', HTMLButtonElement),
  callProblem: element('call-problem', HTMLElement),
  remoteInitial: element('remote-initial', HTMLElement),
  remoteParty: element('remote-party', HTMLElement),
  callStatus: element('call-status', HTMLElement),
  callTimer: element('call-timer', HTMLElement),
  digitsSent: element('digits-sent', HTMLElement),

  incoming: element('incoming', HTMLElement),
  incomingTitle: element('incoming-title', HTMLElement),
  incomingInitial: element('incoming-initial', HTMLElement),
  incomingCaller: element('incoming-caller', HTMLElement),
  incomingProblem: element('incoming-problem', HTMLElement),
  answer: element('answer', HTMLButtonElement),
  reject: element('reject', HTMLButtonElement),

  demoList: element('demo-list', HTMLElement),
  demoNumbers: element('demo-numbers', HTMLElement),
  remoteAudio: element('remote-audio', HTMLAudioElement),
};
