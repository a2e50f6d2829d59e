// Another e-mail address.

import { tellOfLetter } from '../dom.js';
import { onSubmit } from '../forms.js';
import { confirmed } from '../stepup.js';

export function mount(section) {
  onSubmit(section.querySelector('form'), async ({ email }) => {
    await confirmed('POST', 'user/email/change', { body: { newEmail: email } });
    tellOfLetter(`Follow the link in the letter to ${email}. Until then your address stays as it is.`);
  });
}
