// The passkeys of the user: adding, naming and removing them.

import { ago, attempt, element, tell } from '../dom.js';
import { describe } from '../errors.js';
import { authorized, onChange } from '../session.js';
import { confirmed } from '../stepup.js';
import { announce, register, supported } from '../webauthn.js';

export function mount(section) {
  const message = section.querySelector('.message');
  const form = section.querySelector('form');
  const reload = section.querySelector('[data-do=reload]');
  const load = async () => show(section, await authorized('GET', 'user/webauthn/keys'));

  reload.addEventListener('click', () => attempt(reload, message, load));
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const nickname = form.elements.nickname.value || undefined;
    const error = await attempt(event.submitter, message, async () => {
      await register('user/webauthn/add', 'user/webauthn/verify', { and: { nickname }, send: confirmed });
      await load();
      tell('The passkey has been added. You can sign in with it from now on.');
    });
    if (!error) form.reset();
  });
  form.querySelector('button').disabled = !supported();

  onChange(async (session, before) => {
    if (session?.user.id === before?.user.id) return;
    section.querySelector('.list').replaceChildren();
    message.textContent = '';
    if (!session) return;
    try {
      await load();
    } catch (error) {
      message.textContent = describe(error);
    }
  });
}

// show lists the keys of an answer, and passes on what it says to those who keep them.
function show(section, { keys, signals }) {
  section.querySelector('.list').replaceChildren(...keys.map((key) => row(section, key)));
  announce(signals);
}

function row(section, key) {
  const message = section.querySelector('.message');
  const name = key.nickname || kind(key);
  const title = element('p', { className: 'list-title' }, element('span', {}, name));
  if (key.backedUp) title.append(element('span', { className: 'tag' }, 'synchronised'));
  const used = key.lastUsedAt ? ['used ', ago(key.lastUsedAt)] : ['not used yet'];
  const hint = element('p', { className: 'hint' }, key.nickname ? `${kind(key)} · ` : '', 'Added ', ago(key.createdAt), ' · ', ...used);

  const rename = element('button', { type: 'button', className: 'secondary', 'aria-label': `Rename ${name}` }, 'Rename');
  const remove = element('button', { type: 'button', className: 'danger', 'aria-label': `Remove ${name}` }, 'Remove');
  const line = element('li', {}, element('div', {}, title, hint), element('div', { className: 'buttons' }, rename, remove));

  rename.addEventListener('click', () => {
    const editor = renaming(section, key, () => {
      editor.replaceWith(line);
      rename.focus();
    });
    line.replaceWith(editor);
    editor.querySelector('input').select();
  });
  remove.addEventListener('click', () =>
    attempt(remove, message, async () => {
      show(section, await confirmed('DELETE', `user/webauthn/keys/${key.id}`));
      tell(`${name} has been removed. Nobody can sign in with it any more.`);
      section.querySelector('h2').focus();
    }),
  );
  return line;
}

// renaming is what stands in the place of a key while it gets another name.
function renaming(section, key, cancel) {
  const message = section.querySelector('.message');
  const input = element('input', { name: 'nickname', value: key.nickname ?? '', maxLength: 64, autocomplete: 'off' });
  const save = element('button', { className: 'primary' }, 'Save');
  const back = element('button', { type: 'button', className: 'secondary' }, 'Cancel');
  const form = element(
    'form',
    { className: 'inline' },
    element('label', {}, 'Name of this passkey', input),
    element('div', { className: 'buttons' }, save, back),
  );
  back.addEventListener('click', cancel);
  form.addEventListener('keydown', ({ key }) => key === 'Escape' && cancel());
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    attempt(save, message, async () => {
      show(section, await authorized('PATCH', `user/webauthn/keys/${key.id}`, { body: { nickname: input.value } }));
      tell('The passkey has a new name.');
      section.querySelector('h2').focus();
    });
  });
  return element('li', {}, form);
}

// kind says what holds a key, as far as it is known.
function kind({ attachment, transports }) {
  if (attachment === 'platform') return 'Passkey of a device';
  if (transports.includes('hybrid')) return 'Passkey of a phone';
  return attachment === 'cross-platform' ? 'Security key' : 'Passkey';
}
