// The letters that the server would have sent. This is for development: see mailbox.go.

import { copyButton, element, seen } from '../dom.js';

const url = new URL('dev/mailbox', document.baseURI);
const pause = 1000; // milliseconds between looks
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' });

export function mount(section) {
  const shown = new Map(); // elements by the id of their letter
  watch((letters) => show(section, shown, letters), section.querySelector('.message'));
}

// watch looks for letters for as long as the page is open. It asks again and again where a stream of events would do: that
// needs no connection that stays, and nobody to notice when it does not.
async function watch(show, message) {
  for (let failures = 0; ; ) {
    await seen();
    try {
      const response = await fetch(url, { cache: 'no-store', credentials: 'omit', redirect: 'error' });
      const answer = await response.json();
      if (response.status === 403) {
        message.textContent = 'Letters are shown only in a browser on the machine where the server runs, and in its terminal.';
        return;
      }
      show(answer.letters);
      failures = 0;
    } catch {
      failures += 1; // the rest of the page says so when it matters
    }
    await new Promise((next) => setTimeout(next, failures ? Math.min(30, 2 ** failures) * 1000 : pause));
  }
}

// show adds the letters that have come, and opens the last one; those that the server has dropped go.
function show(section, shown, letters) {
  const list = section.querySelector('.letters');
  const fresh = letters.filter(({ id }) => !shown.has(id));
  for (const letter of fresh.toReversed()) {
    const row = view(letter);
    shown.set(letter.id, row);
    list.prepend(row);
  }
  for (const [id, row] of shown) {
    if (letters.some((letter) => letter.id === id)) continue;
    shown.delete(id);
    row.remove();
  }
  if (fresh.length === 0) return;
  [...list.children].forEach((row, i) => (row.firstChild.open = i === 0));
  for (const count of document.querySelectorAll('.letter-count')) count.textContent = letters.length;
  section.querySelector('.none').hidden = true;
}

function view({ id, at, to, subject, text, link, code, hasHtml }) {
  const what = subject || 'Text message';
  return element(
    'li',
    { data: { to } },
    element(
      'details',
      {},
      element('summary', {}, element('span', { className: 'letter-subject' }, what), element('span', { className: 'hint' }, `To ${to} · ${clock.format(new Date(at))}`)),
      element('p', { className: 'letter-text' }, text),
      link ? element('a', { className: 'button primary', href: link, rel: 'noreferrer' }, 'Follow the link') : '',
      code ? element('p', { className: 'letter-code' }, element('code', {}, code), copyButton(code, 'The code has been copied.')) : '',
      hasHtml ? asHTML(`${url}/${id}`, what) : '',
    ),
  );
}

// asHTML shows a letter as a mail program would, once somebody wants to see it, in a frame in which nothing runs.
function asHTML(src, title) {
  const details = element('details', { className: 'letter-html' }, element('summary', {}, 'As HTML'));
  details.addEventListener('toggle', () => details.append(frame(src, title)), { once: true });
  return details;
}

function frame(src, title) {
  const f = element('iframe', { title: `The letter “${title}”` });
  f.sandbox = 'allow-top-navigation-by-user-activation';
  f.referrerPolicy = 'no-referrer';
  f.src = src;
  return f;
}
