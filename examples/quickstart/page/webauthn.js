// Passkeys: the ceremonies of WebAuthn, between the API and the browser.
//
// Options and credentials travel in the JSON forms of WebAuthn Level 3 (PublicKeyCredentialCreationOptionsJSON and its
// like). Browsers that know these forms translate them; for the others there is a translation at the end of this file.

import { call } from './api.js';

// supported says whether there can be passkeys: not in old browsers, nor where the page comes over plain HTTP from another
// machine.
export const supported = () => typeof PublicKeyCredential !== 'undefined';

// offerable says whether the browser can suggest passkeys where it fills in forms.
export async function offerable() {
  return supported() && Boolean(await PublicKeyCredential.isConditionalMediationAvailable?.());
}

// register has the user make a passkey and returns what the server answers to it. The options are those that POST begin
// answers with, and the passkey goes to POST verify, as { credential } beside what else is in and. send is call, or what is
// called like it.
export async function register(begin, verify, { body = {}, and = {}, send = call } = {}) {
  const options = await send('POST', begin, { body });
  const credential = toJSON(await alone((signal) => navigator.credentials.create({ publicKey: creationOptions(options), signal })));
  try {
    return await send('POST', verify, { body: { ...and, credential } });
  } catch (error) {
    // Nobody will ever take it.
    if (!error.temporary) announce({ unknownCredential: { rpId: options.rp.id, credentialId: credential.id } });
    throw error;
  }
}

// use has the user sign with a passkey and returns what is to be sent on, as { credential }. The options are those that
// POST begin answers with.
//
// In the background, the browser does not ask the user: it suggests their passkeys in fields whose autocomplete says
// webauthn, and use waits. When the options are about to expire it fails with a TimeoutError.
export async function use(begin, { body = {}, send = call, background = false } = {}) {
  const mediation = background ? 'conditional' : undefined;
  const credential = await alone(async (signal, end) => {
    const options = await send('POST', begin, { body });
    const expiry = background && setTimeout(() => end(new DOMException('The options expire', 'TimeoutError')), 0.8 * options.timeout);
    try {
      return await navigator.credentials.get({ publicKey: requestOptions(options), mediation, signal });
    } finally {
      clearTimeout(expiry);
    }
  }, background);
  return toJSON(credential);
}

// cancel ends what waits for the user.
export function cancel() {
  running?.end();
}

// announce tells whoever keeps the user's passkeys which of them are of use, and how the user is called now. The argument
// is what the API calls signals. It is a courtesy, and never fails: some browsers cannot pass it on.
export async function announce({ allAcceptedCredentials, currentUserDetails, unknownCredential }) {
  if (!supported()) return;
  const signals = [
    ['signalAllAcceptedCredentials', allAcceptedCredentials],
    ['signalCurrentUserDetails', currentUserDetails],
    ['signalUnknownCredential', unknownCredential],
  ].filter(([name, argument]) => argument && PublicKeyCredential[name]);
  while (running) await running.done;
  for (const [name, argument] of signals) {
    await alone(() => PublicKeyCredential[name](argument), true).catch(() => {});
  }
}

let running; // { background, end, done }: what the browser is busy with

// alone runs what the browser does only one of at a time. What waits for the user ends for the next one, with an AbortError;
// but nothing that begins in the background ends what the user is being asked.
async function alone(task, background = false) {
  const before = running;
  if (background && before && !before.background) throw new DOMException('The user is being asked', 'AbortError');
  const controller = new AbortController();
  const end = (reason) => controller.abort(reason);
  const outcome = (async () => {
    before?.end();
    await before?.done; // what announces cannot be ended, and some browsers take a moment for the rest
    controller.signal.throwIfAborted();
    return task(controller.signal, end);
  })();
  const mine = { background, end, done: outcome.catch(() => {}) };
  running = mine;
  try {
    return await outcome;
  } catch (error) {
    throw controller.signal.aborted ? controller.signal.reason : error; // not all browsers pass the reason on
  } finally {
    if (running === mine) running = undefined;
  }
}

function creationOptions(json) {
  if (PublicKeyCredential.parseCreationOptionsFromJSON) return PublicKeyCredential.parseCreationOptionsFromJSON(json);
  return {
    ...json,
    challenge: decode(json.challenge),
    user: { ...json.user, id: decode(json.user.id) },
    excludeCredentials: json.excludeCredentials?.map((c) => ({ ...c, id: decode(c.id) })),
  };
}

function requestOptions(json) {
  if (PublicKeyCredential.parseRequestOptionsFromJSON) return PublicKeyCredential.parseRequestOptionsFromJSON(json);
  return {
    ...json,
    challenge: decode(json.challenge),
    allowCredentials: json.allowCredentials?.map((c) => ({ ...c, id: decode(c.id) })),
  };
}

function toJSON(credential) {
  if (credential.toJSON) return credential.toJSON();
  const { id, type, response, authenticatorAttachment } = credential;
  const { clientDataJSON, attestationObject, authenticatorData, signature, userHandle } = response;
  return {
    id,
    rawId: id,
    type,
    authenticatorAttachment: authenticatorAttachment ?? undefined,
    clientExtensionResults: credential.getClientExtensionResults(),
    response: {
      clientDataJSON: encode(clientDataJSON),
      // Of a new passkey:
      attestationObject: encode(attestationObject),
      transports: response.getTransports?.(),
      // Of one that has been used:
      authenticatorData: attestationObject ? undefined : encode(authenticatorData),
      signature: encode(signature),
      userHandle: encode(userHandle),
    },
  };
}

// decode and encode are base64url without padding.

function decode(text) {
  const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
  return Uint8Array.from(binary, (c) => c.charCodeAt(0));
}

function encode(buffer) {
  if (!buffer) return undefined;
  const binary = String.fromCharCode(...new Uint8Array(buffer));
  return btoa(binary).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}
