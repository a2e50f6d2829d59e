// Links in letters that lead back to this page, and what they bring.
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

// ask returns what a request for a link says about where that leads: { redirectTo, codeChallenge }.
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

// What has come with the address of the page is taken out of it, and so out of the history, before anything else is done.
const address = new URL(location.href);
const brought = {};
for (const name of ['code', 'error', 'errorDescription', 'link', 'mfaTicket', 'refreshToken', 'type']) {
  brought[name] = address.searchParams.get(name);
  address.searchParams.delete(name);
}
history.replaceState(null, '', address);

// arrive takes up what a link has brought, and returns { type, answer }: which kind of link it was, verifyEmail,
// passwordlessEmail, passwordReset, emailConfirmChange, or null for none; and what the API would have answered a sign-in
// with, if the link is one. It fails with what has failed.
export async function arrive() {
  const { code, error, errorDescription, link, mfaTicket, refreshToken, type } = brought;
  if (error) throw new ApiError(400, error, errorDescription ?? error);
  if (!code && !mfaTicket && !refreshToken) return { type };
  const all = verifiers();
  const codeVerifier = all.get(link);
  if (!codeVerifier) throw new ApiError(400, 'asked-elsewhere', 'This browser has asked for no such link.');
  all.delete(link);
  keep(all);
  if (code) return { type, answer: await call('POST', 'token/exchange', { body: { code, codeVerifier } }) };
  if (mfaTicket) return { type, answer: { mfa: { ticket: mfaTicket } } };
  return { type, answer: { session: await call('POST', 'token', { body: { refreshToken } }) } };
}
