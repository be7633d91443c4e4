// A page as a user of JsSIP writes it: one user agent, one call at a time, every event noted in the order it came.
// Expects `JsSIP` beside it.
(() => {
  const state = { agent: null, call: null, waiting: null, statuses: [], failures: [] };
  const note = (status) => state.statuses.push(status);
  // The tone of the tests is what noise reduction takes for noise.
  const mediaConstraints = {
    audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    video: false,
  };

  function hear(connection) {
    connection.addEventListener("track", ({ track }) => {
      const audio = new Audio();
      audio.srcObject = new MediaStream([track]);
      audio.play();
    });
  }

  function follow(call) {
    state.call = call;
    call.on("progress", ({ originator, response }) => note(`call progress ${originator} ${response?.status_code ?? ""}`));
    call.on("accepted", () => note("call accepted"));
    call.on("confirmed", () => note("call confirmed"));
    call.on("hold", ({ originator }) => note(`call hold ${originator}`));
    call.on("unhold", ({ originator }) => note(`call unhold ${originator}`));
    call.on("newDTMF", ({ originator, dtmf }) => originator === "remote" && note(`call digit ${dtmf.tone}`));
    call.on("ended", ({ cause }) => note(`call ended ${cause}`));
    call.on("failed", ({ cause, message }) => {
      state.failures.push({ cause, status: message?.status_code ?? 0, reason: message?.reason_phrase ?? "" });
      note("call failed");
    });
    if (call.connection) hear(call.connection);
    else call.on("peerconnection", ({ peerconnection }) => hear(peerconnection));
  }

  function connect(url, { uri, password, name, instance }) {
    state.agent = new JsSIP.UA({
      sockets: [new JsSIP.WebSocketInterface(url)],
      uri,
      password,
      display_name: name,
      instance_id: instance,
      register: true,
      connection_recovery_min_interval: 1,
      connection_recovery_max_interval: 2,
    });
    for (const event of ["connected", "disconnected", "registered", "unregistered"]) {
      state.agent.on(event, () => note(`agent ${event}`));
    }
    state.agent.on("registrationFailed", ({ cause, response }) => {
      state.failures.push({ cause, status: response?.status_code ?? 0, reason: response?.reason_phrase ?? "" });
      note("agent refused");
    });
    state.agent.on("newRTCSession", ({ originator, session, request }) => {
      if (originator === "local") return;
      state.caller = request.from.uri.user;
      follow(session);
      note("call incoming");
    });
    state.agent.on("newMessage", ({ originator, message, request }) => {
      if (originator === "remote") note(`text ${request.from.uri.user}: ${message._request.body}`);
    });
    state.agent.start();
  }

  window.page = {
    connect,
    call: (target) => {
      const call = state.agent.call(target, { mediaConstraints, pcConfig: { iceServers: [] } });
      follow(call);
    },
    answer: () => state.call.answer({ mediaConstraints, pcConfig: { iceServers: [] } }),
    hangup: () => state.call.terminate(),
    hold: () => state.call.hold(),
    unhold: () => state.call.unhold(),
    sendInfo: (digit) => state.call.sendDTMF(digit, { transportType: "INFO" }),
    sendEvent: (digit) => state.call.sendDTMF(digit, { transportType: "RFC2833" }),
    refer: (target) => state.call.refer(target),
    consult: (target) => {
      state.waiting = state.call;
      window.page.call(target);
    },
    join: () => state.waiting.refer(state.call.remote_identity.uri, { replaces: state.call }),
    text: (target, body) =>
      state.agent.sendMessage(target, body, {
        eventHandlers: {
          succeeded: () => note("text taken"),
          failed: ({ cause, response }) => note(`text refused ${response?.status_code ?? cause}`),
        },
      }),
    unregister: () => state.agent.unregister(),
    breakConnection: () => state.agent._transport.socket._ws.close(4000),
    stop: () => state.agent.stop(),
    caller: () => state.caller,
    statuses: () => state.statuses,
    failures: () => state.failures,
  };
})();
