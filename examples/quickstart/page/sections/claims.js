// What the access token says.

import { element, time } from '../dom.js';
import { onChange } from '../session.js';

const meanings = {
  sub: 'whom the token speaks for: the id of the user',
  iss: 'who issued it',
  aud: 'for whom it is meant',
  iat: 'since when',
  exp: 'until when',
  jti: 'the id of this token',
  sid: 'the id of the session',
  auth_time: 'when the user last proved who they are',
  amr: 'how they did (RFC 8176)',
  acr: 'how much that is worth (NIST SP 800-63B): aal2 is two factors',
  elevated_by: 'the passkey with which the user has stepped up',
  'x-hasura-user-id': 'the user',
  'x-hasura-default-role': 'the role to act in unless another is asked for',
  'x-hasura-allowed-roles': 'the roles that may be asked for',
  'x-hasura-user-is-anonymous': 'whether the user is a guest',
  'x-hasura-auth-elevated': 'set for a while after the user has stepped up',
};

const instants = ['iat', 'exp', 'nbf', 'auth_time'];

export function mount(section) {
  onChange((session) => {
    section.querySelector('.token').textContent = session?.accessToken ?? '';
    section.querySelector('.claims').replaceChildren(...(session ? rows(decode(session.accessToken)) : []));
  });
}

// decode returns the payload of a JWT (RFC 7519 §3).
function decode(token) {
  const base64 = token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/');
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  return JSON.parse(new TextDecoder().decode(bytes));
}

function rows(claims) {
  return Object.entries(claims).flatMap(([name, value]) => {
    // The role claims stand together under a name that is a URL.
    if (value !== null && typeof value === 'object' && !Array.isArray(value)) return rows(value);
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    const description = element('dd', {}, element('span', { className: 'value' }, text));
    if (instants.includes(name)) description.append(time(value * 1000));
    return [element('div', {}, element('dt', {}, name), description, element('dd', { className: 'meaning' }, meanings[name] ?? ''))];
  });
}
