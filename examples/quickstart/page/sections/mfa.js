// The second factor of the user: setting it up, with another app as well, its recovery codes, and turning it off.

import { because } from '../api.js';
import { attempt, copyButton, element, tell } from '../dom.js';
import { describe } from '../errors.js';
import { onSubmit } from '../forms.js';
import { ask } from '../secondfactor.js';
import { authorized, onChange } from '../session.js';
import { confirmed, withStepUp } from '../stepup.js';

export function mount(section) {
  const message = section.querySelector('.message');
  const enrol = section.querySelector('form');
  const load = async () => show(section, await authorized('GET', 'mfa'));
  const signedInNow = (action) => because('sign-in-needed', withStepUp(action), 'no-step-up');
  const set = (body) => authorized('POST', 'user/mfa', { body });
  const begin = async () => {
    offer(section, await signedInNow(() => authorized('GET', 'mfa/totp/generate')));
    enrol.elements.code.focus();
  };
  let replacing = false;

  const actions = {
    begin: async () => {
      replacing = false;
      await begin();
    },
    // Until there is a code of the other app, the one before is the one that counts.
    replace: async () => {
      replacing = true;
      await begin();
    },
    stop: async () => {
      enrol.reset();
      await load();
    },
    codes: async () => {
      const { recoveryCodes } = await confirmed('POST', 'mfa/recovery-codes');
      await load();
      list(section, recoveryCodes);
      tell('These are your recovery codes. Those from before are void.');
    },
    // Whoever has lost the app turns it off with a recovery code.
    off: async () => {
      const off = { activeMfaType: '' };
      await signedInNow(() =>
        ask('Turn the second factor off', {
          code: (code) => set({ ...off, code }),
          recovery: (recoveryCode) => set({ ...off, recoveryCode }),
        }),
      );
      await load();
      tell('The second factor is off.');
      section.querySelector('h2').focus();
    },
  };
  for (const [name, action] of Object.entries(actions)) {
    const button = section.querySelector(`[data-do=${name}]`);
    button.addEventListener('click', () => attempt(button, message, action));
  }
  onSubmit(enrol, async (fields) => {
    const code = fields.code.replaceAll(/\s/g, '');
    await signedInNow(() => set({ code, activeMfaType: 'totp' }));
    await load();
    tell(
      replacing
        ? 'The other app is the one that counts now. The recovery codes from before are void: make new ones.'
        : 'The second factor is on. Make recovery codes for the day when you have lost your device.',
    );
    section.querySelector('h2').focus();
  });

  onChange(async (session, before) => {
    if (session?.user.id === before?.user.id) return;
    show(section, { totp: false, recoveryCodes: 0 });
    turn(section, 'unknown');
    enrol.reset();
    for (const told of section.querySelectorAll('.message')) told.textContent = '';
    if (!session || session.user.isAnonymous) return;
    try {
      await load();
    } catch (error) {
      message.textContent = describe(error);
    }
  });
}

// show shows what there is, and nothing of a secret any more.
function show(section, { totp, recoveryCodes }) {
  turn(section, totp ? 'on' : 'off');
  section.querySelector('.qr').removeAttribute('src');
  section.querySelector('[data-do=app]').removeAttribute('href');
  section.querySelector('#mfa-secret').textContent = '';
  list(section, []);
  section.querySelector('.left').textContent =
    recoveryCodes === 1 ? 'One recovery code is left.' : `${recoveryCodes || 'No'} recovery codes are left.`;
}

// offer shows a secret that is to be put into an app.
function offer(section, { imageUrl, totpSecret, totpUri }) {
  section.querySelector('.qr').src = imageUrl;
  section.querySelector('[data-do=app]').href = totpUri;
  const secret = section.querySelector('#mfa-secret');
  secret.textContent = totpSecret;
  secret.parentElement.replaceChildren(secret, copyButton(totpSecret, 'The secret has been copied.'));
  turn(section, 'enrolling');
}

function list(section, codes) {
  const shown = section.querySelector('.codes');
  shown.hidden = codes.length === 0;
  shown.querySelector('ul').replaceChildren(...codes.map((code) => element('li', {}, element('code', {}, code))));
  shown.querySelector('button')?.remove();
  if (codes.length > 0) shown.append(copyButton(codes.join('\n'), 'The recovery codes have been copied.'));
}

function turn(section, state) {
  for (const part of section.querySelectorAll('[data-mfa]')) part.hidden = part.dataset.mfa !== state;
}
