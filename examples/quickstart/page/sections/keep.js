// A guest becomes a regular user, with the same id.

import { tellOfLetter } from '../dom.js';
import { onSubmit, rules } from '../forms.js';
import { ask } from '../links.js';
import { authorized, leave } from '../session.js';

export function mount(section) {
  const form = section.querySelector('form');
  rules(form, () => form.elements.email.value);
  onSubmit(form, async ({ email, password }) => {
    const { redirectTo, codeChallenge } = await ask();
    const way = password ? { signInMethod: 'email-password', password } : { signInMethod: 'passwordless' };
    await authorized('POST', 'user/deanonymize', { body: { ...way, email, options: { redirectTo }, codeChallenge } });
    // Whoever follows the link is the user from now on: the session of the guest has ended.
    leave();
    tellOfLetter(`Nearly done: follow the link in the letter to ${email}, and you are back.`);
  });
}
