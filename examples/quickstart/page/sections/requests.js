// What the page has asked the server.

import { onExchange } from '../api.js';
import { element } from '../dom.js';

const kept = 20;

export function mount(section) {
  const log = section.querySelector('.log');
  onExchange(({ method, path, status, code, milliseconds }) => {
    const ok = status >= 200 && status < 300 && !code;
    const outcome = [status || 'no answer', code, `${milliseconds}\u00a0ms`].filter(Boolean).join(' · ');
    log.prepend(
      element('li', {}, element('span', {}, method), element('span', {}, path), element('span', { className: 'outcome', data: { ok: String(ok) } }, outcome)),
    );
    while (log.children.length > kept) log.lastChild.remove();
  });
}
