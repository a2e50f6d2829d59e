// Creating an account and signing in with e-mail and password, and having a forgotten password set anew.

import { call } from '../api.js';
import { tellOfLetter } from '../dom.js';
import { onSubmit, rules } from '../forms.js';
import { ask } from '../links.js';
import { admit } from '../secondfactor.js';
import { enter } from '../session.js';

export function mount(section) {
  tabs(section);

  const signup = section.querySelector('#signup');
  rules(signup, () => signup.elements.email.value);
  onSubmit(signup, async ({ email, password, displayName }) => {
    const { redirectTo, codeChallenge } = await ask();
    const options = { redirectTo, displayName: displayName || undefined };
    const { session } = await call('POST', 'signup/email-password', { body: { email, password, options, codeChallenge } });
    if (session) enter(session);
    else tellOfLetter(`Nearly done: follow the link in the letter to ${email}.`);
  });

  const signin = section.querySelector('#signin');
  const again = signin.querySelector('[value=again]');
  const actions = {
    signin: async ({ email, password }) => admit(await call('POST', 'signin/email-password', { body: { email, password } })),
    // Whether there is such an account is not told.
    forgotten: async ({ email }) => {
      await send('user/password/reset', email);
      tellOfLetter(`If there is an account of ${email}, a letter with a link to set a new password is on its way.`);
    },
    again: async ({ email }) => {
      await send('user/email/send-verification-email', email);
      tellOfLetter(`The link is on its way to ${email} once more.`);
    },
  };
  onSubmit(
    signin,
    (fields, action) => {
      again.hidden = true;
      return actions[action](fields);
    },
    (error) => {
      again.hidden = error.code !== 'unverified-user';
    },
  );
  for (const button of signin.querySelectorAll('[formnovalidate]')) {
    button.addEventListener('click', (event) => {
      if (!signin.elements.email.reportValidity()) event.preventDefault(); // of the form, these need the address alone
    });
  }
}

// send asks for a letter with a link.
async function send(path, email) {
  const { redirectTo, codeChallenge } = await ask();
  await call('POST', path, { body: { email, options: { redirectTo }, codeChallenge } });
}

// tabs are those of the WAI-ARIA pattern: one is in the tab order, and arrows lead from one to the next.
function tabs(section) {
  const all = [...section.querySelectorAll('[role=tab]')];
  const select = (tab) => {
    for (const t of all) {
      t.setAttribute('aria-selected', String(t === tab));
      t.tabIndex = t === tab ? 0 : -1;
      section.querySelector(`#${t.getAttribute('aria-controls')}`).hidden = t !== tab;
    }
  };
  all.forEach((tab, i) => {
    tab.addEventListener('click', () => select(tab));
    tab.addEventListener('keydown', ({ key }) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
      if (!step) return;
      const next = all[(i + step + all.length) % all.length];
      select(next);
      next.focus();
    });
  });
}
