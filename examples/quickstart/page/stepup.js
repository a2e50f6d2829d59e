// Step-up: what cannot be undone is done by somebody who has just shown, with a passkey or a code of their authenticator
// app, that they are there.

import { ApiError, because } from './api.js';
import { tell } from './dom.js';
import { ask } from './secondfactor.js';
import { authorized, exchange } from './session.js';
import { cancel, supported, use } from './webauthn.js';

// confirmed is authorized for what may be protected. If the server says that it is, the user confirms that it is them, and
// the request is sent once more. What the user has confirmed holds for a while.
export const confirmed = (method, path, options) => withStepUp(() => authorized(method, path, options));

// withStepUp does what may be protected, as confirmed does: once more, from the beginning, if a step-up is needed first.
export async function withStepUp(action) {
  try {
    return await action();
  } catch (error) {
    if (error.code !== 'elevated-claim-required') throw error;
  }
  await stepUp();
  return action();
}

async function stepUp() {
  const { methods } = await authorized('GET', 'elevate');
  const byPasskey = methods.includes('webauthn') && supported();
  if (methods.includes('totp')) {
    await ask('Please confirm that it is you', { code: withCode, passkey: byPasskey && withPasskey }).finally(cancel);
  } else if (byPasskey) {
    tell('Please confirm with your passkey that it is you.', 'wait');
    await withPasskey().finally(() => tell(''));
  } else {
    throw new ApiError(403, 'no-step-up', 'There is no way to step up.');
  }
}

const withCode = (otp) => exchange('POST', 'elevate/totp', { body: { otp } });

async function withPasskey() {
  const credential = await use('elevate/webauthn', { send: authorized });
  await because('passkey-refused', exchange('POST', 'elevate/webauthn/verify', { body: { credential } }));
}
