// Links in letters and visits to identity providers that lead back to this page, and what they bring.
//
// What stands in a URL is seen by others: by the history, by extensions, by whoever looks at the screen. So a link that this
// page has asked for brings a code that is worth nothing without a secret of this browser, the verifier (PKCE, RFC 7636).
// That keeps strangers out in the other direction, too: nobody can have this browser follow a link of theirs and so be
// signed in as somebody else.

import { ApiError, call } from './api.js';

// The verifiers of the links that were asked for, by a name that comes back with the link. They are in localStorage because
// a link is likely to be opened in another tab.
const storageKey = 'quickstart.verifiers';
const kept = 10;

const verifiers = () => new Map(JSON.parse(localStorage.getItem(storageKey) ?? '[]'));
const keep = (all) => localStorage.setItem(storageKey, JSON.stringify([...all].slice(-kept)));
const forget = (name) => keep(new Map([...verifiers()].filter(([other]) => other !== name)));

// ask returns what a request for a link, or a visit, says about where that leads: { redirectTo, codeChallenge }.
export async function ask() {
  const name = random(16);
  const verifier = random(32);
  keep(verifiers().set(name, verifier));
  const redirectTo = new URL('./', document.baseURI);
  redirectTo.searchParams.set('link', name);
  return { redirectTo: redirectTo.href, codeChallenge: await challenge(verifier) };
}

// challenge is the base64url of the SHA-256. There is none where the page comes over plain HTTP from another machine, and
// browsers have no cryptography for it: the link brings a refresh token then.
async function challenge(verifier) {
  if (!globalThis.crypto.subtle) return undefined;
  return base64url(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier)));
}

const random = (length) => base64url(crypto.getRandomValues(new Uint8Array(length)));

function base64url(bytes) {
  const binary = String.fromCharCode(...new Uint8Array(bytes));
  return btoa(binary).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

// The visit to a provider on which this tab is, as { state, purpose }. It is in sessionStorage because it ends in the tab in
// which it began.
const visitKey = 'quickstart.visit';

// depart remembers for what this tab is about to visit a provider, signIn or link, and returns the state that is to come
// back with it (RFC 6749 §10.12).
export function depart(purpose) {
  const state = random(16);
  sessionStorage.setItem(visitKey, JSON.stringify({ state, purpose }));
  return state;
}

// returned ends the visit with the state, and returns its purpose, if this tab is on it.
function returned(state) {
  const visit = JSON.parse(sessionStorage.getItem(visitKey) ?? '{}');
  if (visit.state !== state) return undefined;
  sessionStorage.removeItem(visitKey);
  return visit.purpose;
}

// What has come with the address of the page is taken out of it, and so out of the history, before anything else is done.
const address = new URL(location.href);
const brought = {};
const parameters = [
  'code', 'error', 'errorDescription', 'link', 'mfaTicket', 'provider_error', 'provider_error_description', 'provider_error_url',
  'provider_state', 'refreshToken', 'state', 'type',
];
for (const name of parameters) {
  brought[name] = address.searchParams.get(name);
  address.searchParams.delete(name);
}
history.replaceState(null, '', address);

// arrive takes up what a link or a visit has brought, and returns { type, visit, answer }: which kind of link it was,
// verifyEmail, passwordlessEmail, passwordReset, emailConfirmChange, or null for none; the purpose of the visit, if it was
// one; and what the API would have answered a sign-in with, if it was that. It fails with what has failed.
export async function arrive() {
  const { code, error, errorDescription, link, mfaTicket, refreshToken, state, type } = brought;
  const visit = state ? returned(state) : undefined;
  if (error) {
    if (visit) forget(link);
    throw new ApiError(400, brought.provider_error === 'access_denied' ? 'provider-cancelled' : error, errorDescription ?? error);
  }
  if (state && !visit) throw new ApiError(400, 'invalid-state', 'This tab has begun no such visit.');
  if (!code && !mfaTicket && !refreshToken) return { type, visit };
  const codeVerifier = verifiers().get(link);
  if (!codeVerifier) throw new ApiError(400, 'asked-elsewhere', 'This browser has asked for no such link.');
  forget(link);
  if (code) return { type, visit, answer: await call('POST', 'token/exchange', { body: { code, codeVerifier } }) };
  if (mfaTicket) return { type, visit, answer: { mfa: { ticket: mfaTicket } } };
  return { type, visit, answer: { session: await call('POST', 'token', { body: { refreshToken } }) } };
}
