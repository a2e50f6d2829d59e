// Small things that several sections need.

import { describe } from './errors.js';

// element makes an element. Properties are set as such, data and aria-… as attributes; children are nodes or text, which is
// never read as HTML.
export function element(tag, { data = {}, ...properties } = {}, ...children) {
  const e = document.createElement(tag);
  Object.assign(e.dataset, data);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes('-')) e.setAttribute(name, value);
    else e[name] = value;
  }
  e.append(...children);
  return e;
}

// facts fills a <dl> with terms and descriptions; those without a description are left out.
export function facts(dl, entries) {
  dl.replaceChildren();
  for (const [term, ...description] of entries) {
    if (description[0] === undefined || description[0] === '') continue;
    dl.append(element('dt', {}, term), element('dd', {}, ...description));
  }
}

const notice = document.getElementById('notice');
let fading;

// tell says what has happened, to eyes and ears. What is good is out of the way after a while; what waits for the user, or is
// bad, stays until there is something else to tell.
export function tell(text, tone = 'good') {
  clearTimeout(fading);
  notice.dataset.tone = tone;
  notice.textContent = text;
  if (tone === 'good') fading = setTimeout(() => (notice.dataset.tone = 'past'), 12_000);
}

// tellOfLetter is tell where there is something to be found in the mailbox.
export function tellOfLetter(text) {
  tell(text);
  notice.append(' ', element('a', { href: '#mailbox' }, 'Go to the mailbox'));
}

// seen waits until the page is.
export function seen() {
  return new Promise((resume) => {
    if (document.visibilityState === 'visible') resume();
    else document.addEventListener('visibilitychange', resume, { once: true });
  });
}

// attempt runs an asynchronous action for a button: it cannot be pressed twice, and a failure stands in the section's
// message. It returns the error, if any.
export async function attempt(button, message, action) {
  if (button.disabled) return undefined;
  message.textContent = '';
  button.disabled = true;
  try {
    await action();
    return undefined;
  } catch (error) {
    message.textContent = describe(error);
    return error;
  } finally {
    button.disabled = false;
  }
}

// copyButton copies a text, and tells of it. There is none where the page comes over plain HTTP from another machine.
export function copyButton(text, told) {
  if (!navigator.clipboard) return '';
  const button = element('button', { type: 'button', className: 'secondary' }, 'Copy');
  button.addEventListener('click', () =>
    attempt(button, element('p'), async () => {
      await navigator.clipboard.writeText(text);
      tell(told);
    }),
  );
  return button;
}

const instant = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto' });

// time shows an instant, given as anything that Date takes.
export function time(value) {
  const date = new Date(value);
  return element('time', { dateTime: date.toISOString() }, instant.format(date));
}

// ago shows how long ago, or in how long, an instant is; the instant itself is its title.
export function ago(value) {
  const date = new Date(value);
  const seconds = (date - Date.now()) / 1000;
  const [unit, length] = [['day', 86400], ['hour', 3600], ['minute', 60]].find(([, l]) => Math.abs(seconds) >= l) ?? ['second', 1];
  // What has just happened is now, even where the clocks differ a little.
  const text = Math.abs(seconds) < 10 ? 'just now' : relative.format(Math.trunc(seconds / length), unit);
  return element('time', { dateTime: date.toISOString(), title: instant.format(date) }, text);
}
