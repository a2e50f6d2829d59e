// Anonymous users.

import { call } from '../api.js';
import { attempt } from '../dom.js';
import { enter } from '../session.js';

export function mount(section) {
  const button = section.querySelector('button');
  const message = section.querySelector('.message');
  button.addEventListener('click', () =>
    attempt(button, message, async () => {
      const { session } = await call('POST', 'signin/anonymous');
      enter(session);
    }),
  );
}
