// The accounts at identity providers with which the user signs in: linking and unlinking them.

import { because } from '../api.js';
import { ago, attempt, element, tell } from '../dom.js';
import { describe } from '../errors.js';
import { configured, link, titleOf } from '../providers.js';
import { authorized, onChange } from '../session.js';
import { confirmed } from '../stepup.js';

export async function mount(section) {
  const message = section.querySelector('.message');

  onChange(async (session, before) => {
    if (session?.user.id === before?.user.id) return;
    show(section, []);
    message.textContent = '';
    if (!session || session.user.isAnonymous || (await configured).length === 0) return;
    try {
      show(section, (await authorized('GET', 'user/identities')).identities);
    } catch (error) {
      message.textContent = describe(error);
    }
  });

  const buttons = (await configured).map((provider) => {
    const button = element('button', { type: 'button', className: 'primary' }, `Link an account at the ${titleOf(provider)}`);
    button.addEventListener('click', () => attempt(button, message, () => because('sign-in-needed', link(provider), 'no-step-up')));
    return button;
  });
  section.querySelector('.buttons').replaceChildren(...buttons);
}

function show(section, identities) {
  section.querySelector('.list').replaceChildren(...identities.map((identity) => row(section, identity)));
  section.querySelector('.none').hidden = identities.length > 0;
}

function row(section, { provider, subject, email, createdAt, lastUsedAt }) {
  const message = section.querySelector('.message');
  const name = email ?? subject;
  const unlink = element('button', { type: 'button', className: 'danger', 'aria-label': `Unlink ${name}` }, 'Unlink');
  unlink.addEventListener('click', () =>
    attempt(unlink, message, async () => {
      const gone = confirmed('DELETE', `user/identities/${encodeURIComponent(provider)}?subject=${encodeURIComponent(subject)}`);
      await because('last-way-in', because('sign-in-needed', gone, 'no-step-up'));
      show(section, (await authorized('GET', 'user/identities')).identities);
      tell(`${name} has been unlinked. Nobody can sign in with it any more.`);
      section.querySelector('h2').focus();
    }),
  );
  return element(
    'li',
    {},
    element(
      'div',
      {},
      element('p', { className: 'list-title' }, element('span', {}, name)),
      element('p', { className: 'hint' }, `At the ${titleOf(provider)} · linked `, ago(createdAt), ' · used ', ago(lastUsedAt)),
    ),
    unlink,
  );
}
