// Signing in, and up, by what comes in a letter: a link, or a code.

import { call } from '../api.js';
import { tellOfLetter } from '../dom.js';
import { onSubmit } from '../forms.js';
import { ask } from '../links.js';
import { admit } from '../secondfactor.js';
import { onChange } from '../session.js';

export function mount(section) {
  const [request, answer] = section.querySelectorAll('form');
  let email; // to which a code has gone

  // turn shows one of the forms, and has it filled in.
  const turn = (form, focus = true) => {
    request.hidden = form !== request;
    answer.hidden = form !== answer;
    if (focus) form.querySelector('input').focus();
  };

  const actions = {
    link: async (to) => {
      const { redirectTo, codeChallenge } = await ask();
      await call('POST', 'signin/passwordless/email', { body: { email: to, options: { redirectTo }, codeChallenge } });
      tellOfLetter(`A link is on its way to ${to}.`);
    },
    code: async (to) => {
      await call('POST', 'signin/otp/email', { body: { email: to } });
      email = to;
      section.querySelector('.letter-to').textContent = to;
      turn(answer);
      tellOfLetter(`A code is on its way to ${to}.`);
    },
  };
  onSubmit(request, (fields, action) => actions[action](fields.email));
  onSubmit(answer, async ({ otp }) => {
    await admit(await call('POST', 'signin/otp/email/verify', { body: { email, otp: otp.replaceAll(/\s/g, '') } }));
  });
  answer.querySelector('[data-do=back]').addEventListener('click', () => turn(request));

  onChange((session) => {
    if (!session) return;
    answer.reset();
    answer.querySelector('.message').textContent = '';
    turn(request, false);
  });
}
