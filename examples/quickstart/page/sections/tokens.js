// Personal access tokens: making, listing and revoking them.

import { ago, attempt, copyButton, element, tell, time } from '../dom.js';
import { describe } from '../errors.js';
import { onSubmit } from '../forms.js';
import { authorized, onChange } from '../session.js';
import { confirmed } from '../stepup.js';

const day = 24 * 60 * 60 * 1000;

export function mount(section) {
  const message = section.querySelector('.message');
  const form = section.querySelector('form');
  const load = async () => show(section, (await authorized('GET', 'pat')).personalAccessTokens);

  onSubmit(form, async ({ name, days }) => {
    const body = { expiresAt: new Date(Date.now() + days * day).toISOString(), metadata: { name } };
    const { id, personalAccessToken } = await confirmed('POST', 'pat', { body });
    hand(section, personalAccessToken, id);
    await load();
    tell('The token has been made. Copy it now.');
  });

  onChange(async (session, before) => {
    if (session?.user.id === before?.user.id) return;
    hand(section, '');
    show(section, []);
    form.reset();
    for (const told of section.querySelectorAll('.message')) told.textContent = '';
    if (!session || session.user.isAnonymous) return;
    try {
      await load();
    } catch (error) {
      message.textContent = describe(error);
    }
  });
}

// hand shows a token, this once.
function hand(section, token, id = '') {
  const made = section.querySelector('.made');
  made.hidden = !token;
  made.dataset.id = id;
  made.querySelector('.secret').replaceChildren(
    ...(token ? [element('code', {}, token), copyButton(token, 'The token has been copied.')] : []),
  );
}

function show(section, tokens) {
  section.querySelector('.list').replaceChildren(...tokens.map((token) => row(section, token)));
}

function row(section, { id, metadata, createdAt, expiresAt, lastUsedAt }) {
  const message = section.querySelector('.message');
  const name = String(metadata?.name ?? 'Token without a name');
  const used = new Date(lastUsedAt) < new Date(createdAt) ? ['not used yet'] : ['used ', ago(lastUsedAt)]; // the year 1 says never
  const revoke = element('button', { type: 'button', className: 'danger', 'aria-label': `Revoke ${name}` }, 'Revoke');
  const line = element(
    'li',
    {},
    element(
      'div',
      {},
      element('p', { className: 'list-title' }, element('span', {}, name)),
      element('p', { className: 'hint' }, 'Expires ', time(expiresAt), ' · made ', ago(createdAt), ' · ', ...used),
    ),
    revoke,
  );
  revoke.addEventListener('click', () =>
    attempt(revoke, message, async () => {
      await authorized('DELETE', `pat/${id}`);
      line.remove();
      if (section.querySelector('.made').dataset.id === id) hand(section, '');
      tell(`${name} has been revoked, and what was signed in with it.`);
      section.querySelector('h2').focus();
    }),
  );
  return line;
}
