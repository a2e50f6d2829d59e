// The session of this browser: how long its access token is good, and ways to end it.

import { attempt, element, facts, tell } from '../dom.js';
import { current, expiresAt, onChange, refresh, signOut } from '../session.js';

export function mount(section) {
  const message = section.querySelector('.message');
  const actions = {
    refresh: async () => {
      await refresh();
      tell('The session has a new access token and a new refresh token.');
    },
    signout: () => signOut(),
    'signout-all': () => signOut({ everywhere: true }),
  };
  for (const button of section.querySelectorAll('[data-do]')) {
    button.addEventListener('click', () => attempt(button, message, actions[button.dataset.do]));
  }

  onChange((session) => {
    if (!session) return;
    message.textContent = '';
    facts(section.querySelector('.facts'), [['Session id', element('code', {}, session.refreshTokenId)]]);
    countDown(section);
  });
  setInterval(() => countDown(section), 1000);
}

function countDown(section) {
  const session = current();
  if (!session) return;
  const seconds = Math.max(0, Math.round((expiresAt() - Date.now()) / 1000));
  const two = (n) => String(n).padStart(2, '0');
  section.querySelector('.timer').textContent =
    seconds > 0 ? `${Math.floor(seconds / 60)}:${two(seconds % 60)}` : 'expired';
  section.querySelector('progress').value = seconds / session.accessTokenExpiresIn;
}
