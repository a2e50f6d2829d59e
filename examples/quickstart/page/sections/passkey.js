// Creating an account and signing in with a passkey.

import { because, call } from '../api.js';
import { attempt, seen, tellOfLetter } from '../dom.js';
import { describe } from '../errors.js';
import { ask } from '../links.js';
import { admit } from '../secondfactor.js';
import { current, enter, onChange } from '../session.js';
import { cancel, offerable, register, supported, use } from '../webauthn.js';

export function mount(section) {
  const form = section.querySelector('form');
  const field = form.elements.email;
  const message = section.querySelector('.message');
  const suggest = () => offer(message);

  const actions = {
    // A passkey knows whose it is. A security key that keeps none is asked for by the address of its owner.
    signin: async (email) => signIn(await use('signin/webauthn', { body: email ? { email } : {} })),
    signup: async (email) => {
      if (!email) throw new Error('Which address is the account for?');
      const { redirectTo, codeChallenge } = await ask();
      const { session } = await register('signup/webauthn', 'signup/webauthn/verify', {
        body: { email, options: { redirectTo } },
        and: { codeChallenge },
      });
      if (session) enter(session);
      else tellOfLetter(`Nearly done: follow the link in the letter to ${email}.`);
    },
  };
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    field.removeAttribute('aria-invalid');
    const button = event.submitter;
    const error = await attempt(button, message, () => actions[button.value](field.value));
    if (!error) {
      form.reset();
      return;
    }
    // What took the place of this one takes care of the rest.
    if (error.name === 'AbortError') return;
    const missing = button.value === 'signup' && !field.value;
    if (missing) field.setAttribute('aria-invalid', 'true');
    (missing ? field : button).focus();
    suggest();
  });

  if (!supported()) {
    for (const button of form.querySelectorAll('button')) button.disabled = true;
    message.textContent = 'This browser has no passkeys, or not at an address without HTTPS.';
  }
  onChange((session, before) => {
    if (!session) suggest();
    else if (!before) cancel(); // and not what a session that is refreshed has begun
  });
}

async function signIn(credential) {
  await admit(await because('passkey-refused', call('POST', 'signin/webauthn/verify', { body: { credential } })));
}

// offer lets the browser suggest passkeys wherever an address is asked for, until somebody is signed in or presses a button.
async function offer(message) {
  if (!(await offerable())) return;
  for (let failures = 0; current() === null; ) {
    await seen();
    let credential;
    try {
      credential = await use('signin/webauthn', { background: true });
      await signIn(credential);
      return;
    } catch (error) {
      if (error.name === 'AbortError') return;
      if (error.name === 'TimeoutError') continue;
      // Of what fails unasked the user hears nothing.
      if (credential) message.textContent = describe(error);
    }
    await new Promise((resume) => setTimeout(resume, Math.min(60, 2 ** failures) * 1000));
    failures += 1;
  }
}
