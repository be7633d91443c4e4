/**
 * Trunkline's browser SDK: calls over SIP from a web page.
 *
 *     import { Client, describeEnd } from '/sdk/index.js';
 *
 *     const client = new Client({
 *       url: 'wss://gateway.example/',
 *       account: { login: 'alice', password: '...', domain: 'sip.example' },
 *     });
 *     client.on('status', (status, problem) => {
 *       if (status === 'REGISTERED') {
 *         const call = client.call('1000');
 *         call.on('media', (stream) => { audioElement.srcObject = stream; });
 *         call.on('ended', (reason) => console.log(describeEnd(reason)));
 *       }
 *     });
 *     client.on('incoming', (call) => call.answer());
 *     client.connect();
 *
 * Plain ES modules; no build step.
 */

export { Call } from './call.js';
export { Client } from './client.js';
export { canUseMicrophone } from './media.js';
export { SdkError, describeEnd } from './reasons.js';

/** @typedef {import('./client.js').ClientOptions} ClientOptions */
/** @typedef {import('./media.js').MediaOptions} MediaOptions */
/** @typedef {import('./reasons.js').EndReason} EndReason */
/** @typedef {import('./reasons.js').SessionProblem} SessionProblem */
/** @typedef {import('./wire.js').Account} Account */
/** @typedef {import('./wire.js').CallStatus} CallStatus */
/** @typedef {import('./wire.js').SessionStatus} SessionStatus */
/** @typedef {import('./wire.js').TransferInfo} TransferInfo */
