// The session of this browser, shared by its tabs.
//
// The access token lives in memory: it is handed from tab to tab and never stored. The refresh token is in localStorage, so
// that a reload does not sign the user out. The trade-off: a script that an attacker manages to run in this origin can read
// it and take the session away with it, where an HttpOnly cookie would only let the script act while the page is open. What
// keeps such scripts out is the page's Content-Security-Policy; what limits the damage is that a refresh token works once,
// and that its second use ends the session. A site that renders on its server should use the adapter's cookie mode instead.

import { ApiError, call } from './api.js';

const storageKey = 'quickstart.refreshToken';
const tabs = new BroadcastChannel('quickstart.session');

// state.session is what the API calls a session, without its refresh token, and expiresAt, when its access token expires by
// this browser's clock. It is null for nobody, and undefined until that is known.
const state = { session: undefined, expiresAt: 0 };
const listeners = new Set();

export const current = () => state.session;
export const expiresAt = () => state.expiresAt;

// onChange calls listener with the session after every change, with the one before, and with the error that has ended it, if
// one has.
export function onChange(listener) {
  listeners.add(listener);
}

function become(session, expires, error) {
  const before = state.session;
  state.session = session;
  state.expiresAt = expires;
  schedule();
  for (const listener of listeners) listener(session, before, error);
}

// enter takes up a session that the API has just answered with.
export function enter({ refreshToken, ...session }) {
  // First of all: once it is lost, so is the session.
  localStorage.setItem(storageKey, refreshToken);
  const expires = Date.now() + session.accessTokenExpiresIn * 1000;
  become(session, expires);
  tabs.postMessage({ session, expires });
}

// leave forgets the session, in all tabs: it has ended.
export function leave(error) {
  localStorage.removeItem(storageKey);
  become(null, 0, error);
  tabs.postMessage({ session: null, expires: 0, error: error && { code: error.code, message: error.message } });
}

tabs.addEventListener('message', ({ data }) => become(data.session, data.expires, data.error));

// Somebody has cleared the storage.
window.addEventListener('storage', (event) => {
  if ((event.key === storageKey || event.key === null) && !localStorage.getItem(storageKey) && state.session) become(null, 0);
});

// alone runs f while no other tab runs one. Where there are no locks, which is where the page comes over plain HTTP from
// another machine, two tabs may refresh at once: the server gives both the same answer.
function alone(f) {
  return navigator.locks ? navigator.locks.request(storageKey, f) : f();
}

// refresh trades the refresh token for the next session. It fails with an ApiError that is temporary, in which case the
// session is as it was; any other failure ends the session.
export async function refresh() {
  const asked = localStorage.getItem(storageKey);
  await alone(async () => {
    const refreshToken = localStorage.getItem(storageKey);
    if (!refreshToken) {
      if (state.session !== null) become(null, 0);
      return;
    }
    // Another tab has refreshed while this one waited for its turn, and tells in a moment.
    if (refreshToken !== asked) return;
    // Meanwhile somebody may have signed out or in: what the answer is about is then no longer this browser's session.
    const overtaken = () => localStorage.getItem(storageKey) !== refreshToken;
    try {
      const session = await call('POST', 'token', { body: { refreshToken } });
      if (!overtaken()) enter(session);
    } catch (error) {
      if (error instanceof ApiError && !error.temporary && !overtaken()) leave(error);
      throw error;
    }
  });
}

// restore finds out whether there is a session from before.
export async function restore() {
  if (localStorage.getItem(storageKey)) return refresh();
  become(null, 0);
}

// authorized is call with the access token, which is refreshed first if it has expired.
export async function authorized(method, path, options = {}) {
  if (Date.now() >= state.expiresAt - 5000) await refresh();
  const send = () => call(method, path, { ...options, accessToken: state.session?.accessToken });
  try {
    return await send();
  } catch (error) {
    if (error.code !== 'unauthenticated-user') throw error;
    await refresh(); // the clocks may differ, or the server may have new keys
    return send();
  }
}

// exchange is authorized for what answers with this session and another access token, which it takes up. No tab refreshes
// in the meantime: of two refresh tokens, the older one would end the session.
export function exchange(method, path, options) {
  return alone(async () => {
    const { session } = await call(method, path, { ...options, accessToken: state.session?.accessToken });
    enter(session);
  });
}

// signOut ends this session, or all sessions of the user.
export async function signOut({ everywhere = false } = {}) {
  if (everywhere) {
    await authorized('POST', 'signout', { body: { all: true } });
  } else {
    await alone(() => call('POST', 'signout', { body: { refreshToken: localStorage.getItem(storageKey) } }));
  }
  leave();
}

let timer;
let failures = 0;

// schedule sees to it that the session is refreshed a minute before its access token expires, or when a fifth of the
// token's life is left if that is later. All tabs have the same plan: the first one carries it out.
function schedule() {
  clearTimeout(timer);
  failures = 0;
  if (!state.session) return;
  const ahead = Math.min(60, state.session.accessTokenExpiresIn / 5) * 1000;
  timer = setTimeout(refreshDue, Math.max(0, state.expiresAt - ahead - Date.now()));
}

async function refreshDue() {
  try {
    await refresh();
  } catch (error) {
    if (!error.temporary) return; // refresh has ended the session
    // Soon, at first: if only the answer was lost, the server repeats it for ten seconds.
    clearTimeout(timer);
    timer = setTimeout(refreshDue, Math.min(30, 2 ** failures) * 1000);
    failures += 1;
  }
}

// Timers stand still while the computer sleeps.
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible' && state.session) schedule();
});
