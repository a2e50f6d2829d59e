// The page: each capability is a section, see index.html.

import { ApiError } from './api.js';
import { tell } from './dom.js';
import { describe } from './errors.js';
import { onChange, restore } from './session.js';

import * as claims from './sections/claims.js';
import * as guest from './sections/guest.js';
import * as keys from './sections/keys.js';
import * as note from './sections/note.js';
import * as passkey from './sections/passkey.js';
import * as password from './sections/password.js';
import * as requests from './sections/requests.js';
import * as session from './sections/session.js';
import * as sessions from './sections/sessions.js';
import * as user from './sections/user.js';

const sections = { claims, guest, keys, note, passkey, password, requests, session, sessions, user };

for (const element of document.querySelectorAll('[data-section]')) {
  sections[element.dataset.section].mount(element);
}

const whoami = document.getElementById('whoami');

onChange((now, before, error) => {
  document.body.dataset.state = now ? 'signed-in' : 'signed-out';
  for (const element of document.querySelectorAll('[data-when]')) {
    const when = element.dataset.when;
    element.hidden = when !== 'always' && when !== (now ? 'signed-in' : 'signed-out');
  }
  whoami.textContent = now ? `Signed in as ${now.user.email ?? now.user.displayName}` : 'Not signed in';
  // Where the focus was may be gone: take it to where things go on.
  if (before !== undefined && Boolean(before) !== Boolean(now)) {
    document.querySelector(`[data-when="${now ? 'signed-in' : 'signed-out'}"] h2`).focus();
    tell(now ? 'You are signed in.' : 'You are signed out.');
  }
  if (error) tell(describe(error), 'bad');
});

async function begin() {
  try {
    await restore();
    tell('');
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (!error.temporary) return; // the session has ended, and everybody has been told
    tell(describe(error), 'bad');
    setTimeout(begin, 3000);
  }
}

begin();
