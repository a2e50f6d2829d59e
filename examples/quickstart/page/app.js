// The page: each capability is a section, see index.html.

import { ApiError } from './api.js';
import { tell, tellOfLetter } from './dom.js';
import { describe } from './errors.js';
import { arrive } from './links.js';
import { admit } from './secondfactor.js';
import { current, onChange, restore } from './session.js';

import * as account from './sections/account.js';
import * as address from './sections/address.js';
import * as claims from './sections/claims.js';
import * as guest from './sections/guest.js';
import * as identities from './sections/identities.js';
import * as keep from './sections/keep.js';
import * as keys from './sections/keys.js';
import * as letter from './sections/letter.js';
import * as mailbox from './sections/mailbox.js';
import * as mfa from './sections/mfa.js';
import * as newpassword from './sections/newpassword.js';
import * as note from './sections/note.js';
import * as passkey from './sections/passkey.js';
import * as password from './sections/password.js';
import * as provider from './sections/provider.js';
import * as requests from './sections/requests.js';
import * as session from './sections/session.js';
import * as sessions from './sections/sessions.js';
import * as tokens from './sections/tokens.js';
import * as user from './sections/user.js';

const sections = {
  account, address, claims, guest, identities, keep, keys, letter, mailbox, mfa, newpassword, note, passkey, password, provider, requests,
  session, sessions, tokens, user,
};

for (const element of document.querySelectorAll('[data-section]')) {
  sections[element.dataset.section].mount(element);
}

const whoami = document.getElementById('whoami');

onChange((now, before, error) => {
  document.body.dataset.state = now ? 'signed-in' : 'signed-out';
  const shown = now ? ['always', 'signed-in', now.user.isAnonymous ? 'guest' : 'regular'] : ['always', 'signed-out'];
  for (const element of document.querySelectorAll('[data-when]')) {
    element.hidden = !shown.includes(element.dataset.when);
  }
  whoami.textContent = now ? `Signed in as ${now.user.email ?? now.user.displayName}` : 'Not signed in';
  // Where the focus was may be gone: take it to where things go on.
  if (before !== undefined && Boolean(before) !== Boolean(now)) {
    document.querySelector(`[data-when="${now ? 'signed-in' : 'signed-out'}"] h2`).focus();
    tell(now ? 'You are signed in.' : 'You are signed out.');
  }
  if (error) tell(describe(error), 'bad');
});

// What to say of a link that somebody has followed.
const followed = new Map([
  ['verifyEmail', () => tell('Your address is verified, and you are signed in.')],
  ['passwordlessEmail', () => tell('The link has signed you in.')],
  ['passwordReset', () => newpassword.demand()],
  ['emailConfirmChange', () => tell(current() ? `Your address is ${current().user.email} now.` : 'The new address is confirmed. Sign in with it from now on.')],
]);

// What to say of a visit to a provider.
const visited = new Map([
  ['signIn', (answer) => (answer ? tell('The provider has signed you in.') : tellOfLetter('Nearly done: follow the link in the letter to your address.'))],
  ['link', () => tell('The account is linked. You can sign in with it from now on.')],
]);

async function begin() {
  try {
    const { type, visit, answer } = await arrive();
    // Where a second factor is asked for, somebody may be signed in until it is given.
    if (answer?.session) await admit(answer);
    else await resume();
    if (answer?.mfa) await admit(answer);
    followed.get(type)?.();
    visited.get(visit)?.(answer);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (current() === undefined) await resume();
    tell(describe(error), 'bad');
  }
}

// resume takes up the session from before, however long that takes.
async function resume() {
  for (;;) {
    try {
      await restore();
      tell('');
      return;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (!error.temporary) return; // the session has ended, and everybody has been told
      tell(describe(error), 'bad');
      await new Promise((next) => setTimeout(next, 3000));
    }
  }
}

begin();
