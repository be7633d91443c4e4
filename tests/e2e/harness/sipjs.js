// A page as a user of SIP.js writes it: its own SimpleUser, every event noted in the order it came.
// Expects `SIP` beside it.
(() => {
  const state = { user: null, statuses: [], failures: [] };
  const note = (status) => state.statuses.push(status);
  const refused = ({ message }) =>
    state.failures.push({ cause: "", status: message.statusCode, reason: message.reasonPhrase });

  async function connect(url, { uri, password, name }) {
    const login = uri.replace(/^sip:/, "").split("@")[0];
    const remote = new Audio();
    state.user = new SIP.Web.SimpleUser(url, {
      aor: uri,
      media: {
        // The tone of the tests is what noise reduction takes for noise.
        constraints: {
          audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
          video: false,
        },
        remote: { audio: remote },
      },
      userAgentOptions: {
        authorizationUsername: login,
        authorizationPassword: password,
        displayName: name,
        sessionDescriptionHandlerFactoryOptions: { peerConnectionConfiguration: { iceServers: [] } },
      },
      delegate: {
        onServerConnect: () => note("agent connected"),
        onServerDisconnect: () => note("agent disconnected"),
        onRegistered: () => note("agent registered"),
        onUnregistered: () => note("agent unregistered"),
        onCallReceived: () => note("call incoming"),
        onCallAnswered: () => note("call confirmed"),
        onCallHangup: () => note("call ended"),
        onCallHold: (held) => note(held ? "call hold local" : "call unhold local"),
        onMessageReceived: (text) => note(`text ${text}`),
        onCallDTMFReceived: (tone) => note(`call digit ${tone}`),
      },
    });
    await state.user.connect();
    await state.user.register({
      requestDelegate: {
        onReject: (response) => {
          refused(response);
          note("agent refused");
        },
      },
    });
  }

  window.page = {
    connect,
    call: (target) =>
      state.user.call(target, undefined, {
        requestDelegate: {
          onProgress: ({ message }) => note(`call progress remote ${message.statusCode}`),
          onReject: (response) => {
            refused(response);
            note("call failed");
          },
        },
      }),
    answer: () => state.user.answer(),
    hangup: () => state.user.hangup(),
    hold: () => state.user.hold(),
    unhold: () => state.user.unhold(),
    sendInfo: (digit) => state.user.sendDTMF(digit),
    text: (target, body) =>
      state.user.message(target, body).then(
        () => note("text sent"),
        () => note("text refused"),
      ),
    unregister: () => state.user.unregister(),
    stop: () => state.user.disconnect(),
    statuses: () => state.statuses,
    failures: () => state.failures,
  };
})();
