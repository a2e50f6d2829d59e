// Creating an account and signing in with e-mail and password.

import { call } from '../api.js';
import { attempt, tell } from '../dom.js';
import { enter } from '../session.js';

// The field that an error is about.
const culprits = {
  'email-already-in-use': 'email',
  'invalid-email-password': 'password',
  'password-in-hibp-database': 'password',
  'password-too-short': 'password',
};

export function mount(section) {
  tabs(section);
  rules(section);
  for (const button of section.querySelectorAll('[data-reveal]')) reveal(button);

  form(section.querySelector('#signup'), async ({ email, password, displayName }) => {
    const options = displayName ? { displayName } : {};
    const { session } = await call('POST', 'signup/email-password', { body: { email, password, options } });
    if (session) enter(session);
    else tell(`Nearly done: follow the link in the letter to ${email}.`);
  });
  form(section.querySelector('#signin'), async ({ email, password }) => {
    const { session } = await call('POST', 'signin/email-password', { body: { email, password } });
    enter(session);
  });
}

// form sends a form's fields to action and shows what becomes of it.
function form(form, action) {
  const message = form.querySelector('.message');
  const button = form.querySelector('.primary');
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    for (const field of form.querySelectorAll('[aria-invalid]')) field.removeAttribute('aria-invalid');
    const error = await attempt(button, message, () => action(Object.fromEntries(new FormData(form))));
    if (!error) {
      form.reset();
      form.dispatchEvent(new Event('input'));
      return;
    }
    const field = form.elements[culprits[error.code] ?? ''];
    field?.setAttribute('aria-invalid', 'true');
    (field ?? button).focus();
  });
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

// rules shows, while a password is typed, whether it keeps those that can be checked here. The server decides.
function rules(section) {
  const form = section.querySelector('#signup');
  const show = (name, met) => {
    const rule = form.querySelector(`[data-rule=${name}]`);
    if (met === undefined) delete rule.dataset.met;
    else rule.dataset.met = String(met);
  };
  form.addEventListener('input', () => {
    const password = form.elements.password.value.normalize('NFC');
    const email = form.elements.email.value.trim().toLowerCase();
    const characters = [...password].length; // code points, as the server counts
    const typed = characters > 0;
    // While somebody is still typing, too short is no mistake yet.
    show('length', typed && characters >= 8 ? characters <= 128 : undefined);
    show('address', typed && email ? ![email, email.split('@')[0]].includes(password.toLowerCase()) : undefined);
  });
}

// reveal lets a button show and hide what is typed into a password field.
function reveal(button) {
  const field = document.getElementById(button.dataset.reveal);
  const set = (shown) => {
    field.type = shown ? 'text' : 'password';
    button.setAttribute('aria-pressed', String(shown));
    button.setAttribute('aria-label', shown ? 'Hide password' : 'Show password');
    button.textContent = shown ? 'Hide' : 'Show';
  };
  set(false);
  button.addEventListener('click', () => set(field.type === 'password'));
  // A password manager should see a password field when the form is sent, and so should whoever looks over a shoulder.
  field.form.addEventListener('submit', () => set(false), { capture: true });
}
