// Runs before any script of the page: remembers peer connections and records what arrives on the latest one.
(() => {
  const peers = [];
  const Native = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Native {
    constructor(...parameters) {
      super(...parameters);
      peers.push(this);
    }
  };

  const RECORDER = `
    registerProcessor("recorder", class extends AudioWorkletProcessor {
      process([[channel]]) {
        // A source without data yet has no channel: that is silence, and the time still passes.
        this.port.postMessage(channel ? channel.slice() : new Float32Array(128));
        return true;
      }
    });`;

  const latest = () => peers.at(-1);

  async function start(rate) {
    const track = latest().getReceivers().map((receiver) => receiver.track).find((each) => each.kind === "audio");
    const context = new AudioContext({ sampleRate: rate });
    await context.audioWorklet.addModule(URL.createObjectURL(new Blob([RECORDER], { type: "text/javascript" })));
    const node = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0 });
    const chunks = [];
    node.port.onmessage = ({ data }) => chunks.push(data);
    const source = context.createMediaStreamSource(new MediaStream([track]));
    source.connect(node);
    window.__recording = { context, source, node, chunks };
  }

  async function stop() {
    const { context, source, node, chunks } = window.__recording;
    source.disconnect();
    node.port.onmessage = null;
    await context.close();
    delete window.__recording;
    const samples = new Int16Array(chunks.length * 128);
    chunks.forEach((chunk, index) => {
      chunk.forEach((value, offset) => {
        samples[index * 128 + offset] = Math.max(-32768, Math.min(32767, Math.round(value * 32768)));
      });
    });
    const bytes = new Uint8Array(samples.buffer);
    let text = "";
    for (let at = 0; at < bytes.length; at += 32768) {
      text += String.fromCharCode(...bytes.subarray(at, at + 32768));
    }
    return btoa(text);
  }

  async function stats() {
    return [...(await latest().getStats()).values()];
  }

  window.__e2e = { peers, start, stop, stats };
})();
