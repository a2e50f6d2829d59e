// Choosing another password: any time, or because the old one was forgotten.

import { because } from '../api.js';
import { tell } from '../dom.js';
import { onSubmit, rules } from '../forms.js';
import { current, onChange, refresh } from '../session.js';
import { confirmed } from '../stepup.js';

let section;

export function mount(element) {
  section = element;
  const form = section.querySelector('form');
  rules(form, () => current()?.user.email ?? '');
  onSubmit(form, async ({ currentPassword, password }) => {
    const body = { newPassword: password, currentPassword: currentPassword || undefined };
    const change = because('current-password-needed', confirmed('POST', 'user/password', { body }), 'no-step-up');
    await because('current-password-wrong', change, 'invalid-email-password');
    demanded(false);
    await refresh();
    tell('You have a new password. All other sessions have ended.');
  });
  onChange((session, before) => {
    if (session?.user.id !== before?.user.id) demanded(false);
    form.elements.username.value = session?.user.email ?? ''; // for password managers
  });
}

// demand asks somebody who has followed the link in a letter for a new password. They do not know the current one, and do
// not need it: they have just signed in.
export function demand() {
  if (!current()) return;
  demanded(true);
  section.querySelector('#newpassword-password').focus();
  tell('The link has signed you in. Please choose a new password.', 'wait');
}

function demanded(yes) {
  section.dataset.demanded = String(yes);
  section.querySelector('h2').textContent = yes ? 'Choose a new password' : 'Password';
  section.querySelector('.current').hidden = yes;
}
