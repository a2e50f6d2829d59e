// Builds the program in provider, which is the identity provider of package authtest, and runs it for a test.
import { execFileSync, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'provider-'));
const program = join(directory, 'provider');

execFileSync('go', ['build', '-o', program, './provider'], { cwd: here, stdio: 'inherit' });
process.once('exit', () => rmSync(directory, { recursive: true, force: true }));

/**
 * Starts the program.
 *
 * @returns {Promise<Provider & {stop: () => Promise<void>}>}
 */
export async function startProvider() {
  const child = spawn(program, [], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(child, 'close');
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const line = () =>
    Promise.race([
      lines.next().then(({ value }) => value),
      ended.then(([code, signal]) => {
        throw new Error(`the provider ended with ${signal ?? code}`);
      }),
    ]);
  return Object.assign(new Provider(await line(), await line()), {
    async stop() {
      child.stdin.end();
      await ended;
    },
  });
}

/** An identity provider, which has no clients and accounts at first. */
class Provider {
  #controls;

  constructor(url, controls) {
    this.url = url;
    this.#controls = controls;
  }

  /** Registers a client: see Client of package fakeidp. */
  client(client) {
    return this.#keep('clients', client);
  }

  /** Makes an account: see Account of package fakeidp. */
  account(account) {
    return this.#keep('accounts', account);
  }

  /**
   * Gets an id token as an app on a device does.
   *
   * @param client one without a secret, that has a redirect URI
   */
  async idToken(client, account, nonce) {
    const verifier = randomBytes(32).toString('base64url');
    const request = {
      response_type: 'code', client_id: client.ID, redirect_uri: client.RedirectURIs[0], scope: 'openid email profile',
      code_challenge: createHash('sha256').update(verifier).digest('base64url'), code_challenge_method: 'S256', ...(nonce && { nonce }),
    };
    const { to } = await new Browser().choose(`${this.url}/authorize?${new URLSearchParams(request)}`, account);
    const grant = {
      grant_type: 'authorization_code', code: to.searchParams.get('code'), client_id: client.ID, redirect_uri: client.RedirectURIs[0],
      code_verifier: verifier,
    };
    const response = await fetch(`${this.url}/token`, { method: 'POST', body: new URLSearchParams(grant) });
    if (!response.ok) throw new Error(`the provider answers ${response.status} ${await response.text()}`);
    return (await response.json()).id_token;
  }

  async #keep(what, one) {
    const response = await fetch(`${this.#controls}/${what}`, { method: 'POST', body: JSON.stringify(one) });
    if (!response.ok) throw new Error(await response.text());
    return response.json();
  }
}

/** A browser, as far as visits to providers need one: it has cookies, and goes one step at a time. */
export class Browser {
  #cookies = new Map(); // by the host and the name

  /** Opens a URL and returns where it leads. */
  async open(url, init = {}) {
    const { host } = new URL(url);
    const own = [...this.#cookies.values()].filter((c) => c.host === host).map(({ name, value }) => `${name}=${value}`);
    const response = await fetch(url, { ...init, redirect: 'manual', headers: own.length > 0 ? { Cookie: own.join('; ') } : {} });
    for (const header of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(header);
      if (/; *Max-Age=0/i.test(header)) this.#cookies.delete(`${host} ${name}`);
      else this.#cookies.set(`${host} ${name}`, { host, name, value });
    }
    const location = response.headers.get('Location');
    return { status: response.status, to: location && new URL(location, url), body: await response.text() };
  }

  /** How many cookies it has. */
  get cookies() {
    return this.#cookies.size;
  }

  /** Chooses an account on the page of the provider at a URL, or none, and returns where that leads. */
  choose(url, account) {
    return this.open(url, { method: 'POST', body: new URLSearchParams(account ? { account: account.Subject } : { cancel: '1' }) });
  }

  /**
   * Goes to the provider, chooses an account there, or none, and comes back.
   *
   * @param {string} url as signInProviderURL returns it
   * @returns {Promise<URL>} where the browser ends
   */
  async visit(url, account) {
    const { to: there } = await this.open(url);
    const { to: callback } = await this.choose(there, account);
    return (await this.open(callback)).to;
  }
}
