// Taking one's data along, and deleting the account.

import { because } from '../api.js';
import { attempt, tell } from '../dom.js';
import { authorized, leave, onChange } from '../session.js';
import { confirmed } from '../stepup.js';
import { announce, supported } from '../webauthn.js';

export function mount(section) {
  const message = section.querySelector('.message');
  const [dump, question] = [section.querySelector('.export'), section.querySelector('dialog')];
  const button = (name) => section.querySelector(`[data-do=${name}]`);

  button('export').addEventListener('click', () =>
    attempt(button('export'), message, async () => {
      dump.textContent = JSON.stringify(await authorized('GET', 'user/export'), null, 2);
      dump.hidden = false;
      dump.focus();
    }),
  );

  button('delete').addEventListener('click', () => question.showModal());
  button('keep').addEventListener('click', () => question.close());
  button('delete-for-good').addEventListener('click', () => {
    question.close();
    attempt(button('delete'), message, async () => {
      const passkeys = supported() && (await authorized('GET', 'user/webauthn/keys')).signals.allAcceptedCredentials;
      await because('sign-in-needed', confirmed('DELETE', 'user'), 'no-step-up');
      // Whoever keeps the passkeys of the account can forget them.
      if (passkeys) await announce({ allAcceptedCredentials: { ...passkeys, allAcceptedCredentialIds: [] } });
      leave();
      tell('Your account has been deleted, with all that belonged to it.');
    });
  });

  onChange((session, before) => {
    if (session?.user.id === before?.user.id) return;
    message.textContent = '';
    dump.textContent = '';
    dump.hidden = true;
    question.close();
  });
}
