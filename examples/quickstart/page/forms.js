// Forms: how they are sent, and what fields for passwords do.

import { attempt } from './dom.js';

// The field that an error is about, by the names that fields have here.
const culprits = {
  'current-password-wrong': 'currentPassword',
  'current-password-needed': 'currentPassword',
  'email-already-in-use': 'email',
  'invalid-email-password': 'password',
  'invalid-ticket': 'otp',
  'invalid-totp': 'code',
  'password-in-hibp-database': 'password',
  'password-too-short': 'password',
};

// onSubmit sends a form's fields, and the value of the button that was pressed, to action and shows what becomes of it. It
// calls failed with the error, if any, which may be about more than a field.
export function onSubmit(form, action, failed = () => {}) {
  const message = form.querySelector('.message');
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    for (const field of form.querySelectorAll('[aria-invalid]')) field.removeAttribute('aria-invalid');
    const button = event.submitter;
    const error = await attempt(button, message, () => action(Object.fromEntries(new FormData(form)), button.value));
    if (!error) {
      form.reset();
      form.dispatchEvent(new Event('input'));
      return;
    }
    const field = form.elements[culprits[error.code] ?? ''];
    field?.setAttribute('aria-invalid', 'true');
    (field ?? button).focus();
    failed(error);
  });
  for (const button of form.querySelectorAll('[data-reveal]')) reveal(button);
}

// rules shows, while a new password is typed, whether it keeps those that can be checked here. The server decides. address
// says what the password must not be.
export function rules(form, address) {
  const show = (name, met) => {
    const rule = form.querySelector(`[data-rule=${name}]`);
    if (met === undefined) delete rule.dataset.met;
    else rule.dataset.met = String(met);
  };
  form.addEventListener('input', () => {
    const password = form.elements.password.value.normalize('NFC');
    const email = address().trim().toLowerCase();
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
