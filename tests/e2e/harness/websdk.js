// A page as a user of @flashphoner/websdk writes it: one session, one call, every status noted in the order it came.
// Expects the SDK's own `Flashphoner` beside it, and #local and #remote in the page.
(() => {
  const { SESSION_STATUS, CALL_STATUS } = Flashphoner.constants;
  const state = { session: null, call: null, waiting: null, statuses: [], warnings: [] };
  const displays = () => ({
    localVideoDisplay: document.getElementById("local"),
    remoteVideoDisplay: document.getElementById("remote"),
  });
  // The tone of the tests is what noise reduction takes for noise.
  const constraints = {
    audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    video: false,
  };

  function follow(call) {
    state.call = call;
    for (const status of Object.values(CALL_STATUS)) {
      call.on(status, () => state.statuses.push(`call ${status}`));
    }
  }

  async function connect(urlServer, sipOptions) {
    await Flashphoner.init();
    state.session = Flashphoner.createSession({ urlServer, sipOptions });
    for (const status of Object.values(SESSION_STATUS)) {
      state.session.on(status, (argument) => {
        state.statuses.push(`session ${status}`);
        if (status === SESSION_STATUS.WARN) state.warnings.push(argument);
        if (status === SESSION_STATUS.INCOMING_CALL) follow(argument);
      });
    }
  }

  function call(callee) {
    follow(state.session.createCall({ callee, constraints, ...displays() }));
    state.call.call();
  }

  window.page = {
    connect,
    call,
    answer: () => state.call.answer({ constraints, ...displays() }),
    hangup: () => state.call.hangup(),
    sendDtmf: (digit) => state.call.sendDTMF(digit, "RFC2833"),
    hold: () => state.call.hold(),
    unhold: () => state.call.unhold(),
    transfer: (target) => state.call.transfer(target),
    consult: (callee) => {
      state.waiting = state.call;
      call(callee);
    },
    join: () => state.waiting.transfer(state.call.id()),
    caller: () => state.call.caller(),
    disconnect: () => state.session.disconnect(),
    statuses: () => state.statuses,
    warnings: () => state.warnings.map(({ apiMethod, status, info }) => ({ apiMethod, status, info })),
  };
})();
