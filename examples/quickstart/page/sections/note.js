// The service's own part: a note, which its owner erases only after a step-up.

import { attempt, tell } from '../dom.js';
import { describe } from '../errors.js';
import { authorized, onChange } from '../session.js';
import { confirmed } from '../stepup.js';

export function mount(section) {
  const form = section.querySelector('form');
  const erase = section.querySelector('[data-do=erase]');
  const message = section.querySelector('.message');
  const show = ({ text }) => {
    form.elements.text.value = text;
  };

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    attempt(event.submitter, message, async () => {
      show(await authorized('PUT', '../note', { body: { text: form.elements.text.value } }));
      tell('The note has been saved.');
    });
  });
  erase.addEventListener('click', () =>
    attempt(erase, message, async () => {
      show(await confirmed('DELETE', '../note'));
      tell('The note has been erased.');
    }),
  );

  onChange(async (session, before) => {
    if (session?.user.id === before?.user.id) return;
    form.reset();
    message.textContent = '';
    if (!session) return;
    try {
      show(await authorized('GET', '../note'));
    } catch (error) {
      message.textContent = describe(error);
    }
  });
}
