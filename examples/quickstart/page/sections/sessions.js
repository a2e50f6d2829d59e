// All sessions of the user, on whichever device.

import { ago, attempt, element, tell } from '../dom.js';
import { describe } from '../errors.js';
import { authorized, onChange } from '../session.js';

export function mount(section) {
  const message = section.querySelector('.message');
  const reload = section.querySelector('[data-do=reload]');
  const load = async () => show(section, (await authorized('GET', 'user/sessions')).sessions);

  reload.addEventListener('click', () => attempt(reload, message, load));
  onChange(async (session) => {
    if (!session) {
      section.querySelector('.list').replaceChildren();
      return;
    }
    try {
      await load();
    } catch (error) {
      message.textContent = describe(error);
    }
  });
}

function show(section, sessions) {
  const message = section.querySelector('.message');
  // The one of this browser first, then those used last.
  sessions.sort((a, b) => b.current - a.current || b.lastUsedAt.localeCompare(a.lastUsedAt));
  message.textContent = '';
  section.querySelector('.list').replaceChildren(
    ...sessions.map((s) => {
      const title = element('p', { className: 'list-title' }, element('span', { title: s.userAgent }, client(s.userAgent)));
      const row = element(
        'li',
        {},
        element(
          'div',
          {},
          title,
          element('p', { className: 'hint' }, 'Used ', ago(s.lastUsedAt), ' · opened ', ago(s.createdAt), ` · from ${s.address || 'an unknown address'}`, how(s.amr)),
        ),
      );
      if (s.current) {
        title.append(element('span', { className: 'tag', data: { tone: 'good' } }, 'this browser'));
        return row;
      }
      const button = element('button', { type: 'button', className: 'danger', 'aria-label': `Revoke ${client(s.userAgent)}` }, 'Revoke');
      button.addEventListener('click', () =>
        attempt(button, message, async () => {
          await authorized('DELETE', `user/sessions/${s.id}`);
          row.remove();
          tell('That session has ended.');
          section.querySelector('h2').focus();
        }),
      );
      row.append(button);
      return row;
    }),
  );
}

// client says in two words what a User-Agent header is about.
function client(userAgent) {
  const first = (names) => names.find(([pattern]) => userAgent.includes(pattern))?.[1];
  const browser = first([['Edg/', 'Edge'], ['OPR/', 'Opera'], ['Firefox/', 'Firefox'], ['Chrome/', 'Chrome'], ['Safari/', 'Safari']]);
  const system = first([['Android', 'Android'], ['iPhone', 'iPhone'], ['iPad', 'iPad'], ['Windows', 'Windows'], ['Mac OS', 'macOS'], ['Linux', 'Linux']]);
  if (browser) return system ? `${browser} on ${system}` : browser;
  return userAgent.split(' ')[0] || 'Unknown client';
}

// What the methods of RFC 8176 are called. That somebody was there, and proved two things at once, goes without saying.
const names = { pwd: 'password', email: 'e-mail', otp: 'one-time code', pop: 'passkey', oauth: 'identity provider', pat: 'access token', user: '', mfa: '' };

function how(amr) {
  const methods = amr.map((method) => names[method] ?? method).filter(Boolean);
  return methods.length > 0 ? ` · by ${methods.join(', ')}` : '';
}
