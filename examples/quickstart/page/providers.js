// Identity providers, with whose accounts people sign in here. A visit there leads back to this page: see links.js.

import { base, call } from './api.js';
import { ask, depart } from './links.js';
import { confirmed } from './stepup.js';

// configured is a promise of the names of the providers. If there are none, nothing on the page speaks of them: in style.css,
// see data-needs.
export const configured = call('GET', '../dev/providers').then(
  ({ providers }) => {
    if (providers.length > 0) document.body.dataset.providers = providers.join(' ');
    return providers;
  },
  () => [], // the rest of the page says so when it matters
);

const titles = { __proto__: null, dev: 'development provider' };

export const titleOf = (provider) => titles[provider] ?? provider;

const path = (provider) => `provider/${encodeURIComponent(provider)}`;

// signIn sends the browser to a provider, from which it comes back with what signs in, or up.
export async function signIn(provider) {
  const { redirectTo, codeChallenge } = await ask();
  const url = new URL(`signin/${path(provider)}`, base);
  url.search = new URLSearchParams({ redirectTo, state: depart('signIn'), ...(codeChallenge && { codeChallenge }) });
  location.assign(url);
}

// link sends the browser to a provider, for an account there that the user wants to sign in with from now on.
export async function link(provider) {
  const body = { redirectTo: new URL('./', document.baseURI).href, state: depart('link') };
  const { url } = await confirmed('POST', `link/${path(provider)}`, { body, cookies: true });
  location.assign(url);
}
