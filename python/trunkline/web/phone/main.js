/** Starts the page: what the gateway offers, then the sign-in, then the phone. */

import { canUseMicrophone, SdkError } from '../sdk/index.js';
import { elements } from './elements.js';
import { Phone } from './phone.js';
import { SignIn } from './sign_in.js';

/** @import { Demo } from './sign_in.js' */

/** @typedef {{ demo: Demo | null, version: string }} PageConfig */

const CONFIG_TIMEOUT_MS = 5_000;

const phone = new Phone();
const signIn = new SignIn((session) => phone.open(session));

if (!canUseMicrophone()) {
  elements.notice.textContent = new SdkError('insecure_page').message;
  elements.notice.hidden = false;
}

const config = await loadConfig();
elements.version.textContent = config?.version ?? '';
if (config?.demo) signIn.offerDemo(config.demo);

/** @returns {Promise<PageConfig | null>} null if the gateway does not say; the form works without it */
async function loadConfig() {
  try {
    const response = await fetch('config.json', { signal: AbortSignal.timeout(CONFIG_TIMEOUT_MS) });
    return response.ok ? await response.json() : null;
  } catch {
    return null;
  }
}
