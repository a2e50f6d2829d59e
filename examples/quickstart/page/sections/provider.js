// Signing in, and up, with an account at an identity provider.

import { attempt, element } from '../dom.js';
import { configured, signIn, titleOf } from '../providers.js';

export async function mount(section) {
  const message = section.querySelector('.message');
  const buttons = (await configured).map((provider) => {
    const button = element('button', { type: 'button', className: 'primary' }, `Sign in with the ${titleOf(provider)}`);
    button.addEventListener('click', () => attempt(button, message, () => signIn(provider)));
    return button;
  });
  section.querySelector('.buttons').replaceChildren(...buttons);
}
