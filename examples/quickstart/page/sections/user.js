// Who is signed in.

import { element, facts, time } from '../dom.js';
import { onChange } from '../session.js';

export function mount(section) {
  onChange((session) => {
    if (session) show(section, session.user);
  });
}

function show(section, user) {
  section.querySelector('.avatar').textContent = [...user.displayName][0]?.toUpperCase() ?? '?';
  section.querySelector('.person-name').textContent = user.displayName;
  section.querySelector('.person-email').replaceChildren(...address(user));
  facts(section.querySelector('.facts'), [
    ['Id', element('code', {}, user.id)],
    ['Roles', ...user.roles.flatMap((role) => [tag(role === user.defaultRole ? `${role} (default)` : role), ' '])],
    ['Locale', user.locale],
    ['Phone', user.phoneNumber],
    ['Created', time(user.createdAt)],
  ]);
}

function address(user) {
  if (user.isAnonymous) return [tag('guest')];
  if (!user.email) return [];
  const state = user.emailVerified ? tag('verified', 'good') : tag('not verified');
  return user.email === user.displayName ? [state] : [user.email, ' ', state];
}

const tag = (text, tone = '') => element('span', { className: 'tag', data: { tone } }, text);
