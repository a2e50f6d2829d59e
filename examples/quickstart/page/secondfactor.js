// The second factor: a code of the authenticator app or, in its place, a recovery code. For a step-up, a passkey will do as
// well.

import { ApiError, because, call } from './api.js';
import { attempt } from './dom.js';
import { onSubmit } from './forms.js';
import { enter, onChange } from './session.js';

const dialog = document.getElementById('second');
const [code, recovery] = dialog.querySelectorAll('form');
const button = (name) => dialog.querySelector(`[data-do=${name}]`);

let asking; // { ways, end }: what the user is being asked

// admit takes up what a sign-in was answered with: a session or, for who has a second factor, a ticket that is worth a
// session to who gives a code as well.
export async function admit({ session, mfa }) {
  if (session) {
    enter(session);
    return;
  }
  const verify = async (kind, given) => {
    const answer = call('POST', `signin/mfa/${kind}`, { body: { ticket: mfa.ticket, ...given } });
    enter((await because('sign-in-expired', answer, 'invalid-ticket')).session);
  };
  await ask('Your second factor, please', {
    code: (otp) => verify('totp', { otp }),
    recovery: (recoveryCode) => verify('recovery', { recoveryCode }),
  });
}

// ask has the user confirm in one of the ways, functions that are given what the user types: code, recovery, and passkey,
// which is given nothing. It asks again for as long as another code may do, and fails with what makes that useless, or if
// the user gives up.
export function ask(title, ways) {
  asking?.end(givenUp());
  dialog.querySelector('h2').textContent = title;
  button('recovery').hidden = !ways.recovery;
  button('passkey').hidden = !ways.passkey;
  return new Promise((resolve, reject) => {
    asking = {
      ways,
      end: (error) => {
        asking = undefined;
        dialog.close();
        clear();
        if (error) reject(error);
        else resolve();
      },
    };
    turn(code);
    dialog.showModal();
    code.elements.code.focus();
  });
}

function clear() {
  for (const form of [code, recovery]) {
    form.reset();
    form.elements.code.removeAttribute('aria-invalid');
    form.querySelector('.message').textContent = '';
  }
}

const givenUp = () => new ApiError(401, 'not-confirmed', 'The user has given up.');

// turn shows one of the forms, and has it filled in.
function turn(form) {
  code.hidden = form !== code;
  recovery.hidden = form !== recovery;
  form.elements.code.focus();
}

const useless = (error) => error.code !== 'invalid-totp' && !error.temporary;

// confirm ends what is being asked when a way has been gone to its end.
async function confirm(way, typed) {
  const asked = asking;
  await asked.ways[way](typed);
  if (asking === asked) asked.end();
}

onSubmit(code, (fields) => confirm('code', fields.code.replaceAll(/\s/g, '')), (error) => useless(error) && asking?.end(error));
onSubmit(recovery, (fields) => confirm('recovery', fields.code), (error) => useless(error) && asking?.end(error));
button('passkey').addEventListener('click', ({ target }) => attempt(target, code.querySelector('.message'), () => confirm('passkey')));
button('recovery').addEventListener('click', () => turn(recovery));
button('code').addEventListener('click', () => turn(code));
for (const cancel of dialog.querySelectorAll('[data-do=cancel]')) cancel.addEventListener('click', () => asking?.end(givenUp()));
dialog.addEventListener('close', () => !dialog.open && asking?.end(givenUp())); // by the Escape key

// Whoever is signed in now, here or in another tab, is not asked what somebody else was. The dialog goes before others move
// the focus, which it would keep.
onChange((session, before) => {
  if (session?.user.id !== before?.user.id) asking?.end(session ? undefined : givenUp());
});
