// Step-up: what cannot be undone is done by somebody who has just shown, with a passkey, that they are there.

import { because } from './api.js';
import { tell } from './dom.js';
import { authorized, exchange } from './session.js';
import { use } from './webauthn.js';

// confirmed is authorized for what may be protected. If the server says that it is, the user confirms with a passkey, and
// the request is sent once more. What the user has confirmed holds for a while.
export async function confirmed(method, path, options) {
  try {
    return await authorized(method, path, options);
  } catch (error) {
    if (error.code !== 'elevated-claim-required') throw error;
  }
  await stepUp();
  return authorized(method, path, options);
}

async function stepUp() {
  tell('Please confirm with your passkey that it is you.');
  try {
    const begin = (...request) => because('no-passkey', authorized(...request));
    const credential = await use('elevate/webauthn', { send: begin });
    await because('passkey-refused', exchange('POST', 'elevate/webauthn/verify', { body: { credential } }));
  } finally {
    tell('');
  }
}
