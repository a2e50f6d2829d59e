// Builds the program in authenticator, which has the authenticators of package authtest, and runs it for a test.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'authenticator-'));
const program = join(directory, 'authenticator');

execFileSync('go', ['build', '-o', program, './authenticator'], { cwd: here, stdio: 'inherit' });
process.once('exit', () => rmSync(directory, { recursive: true, force: true }));

/**
 * Starts the program, for a browser that shows a page of an origin.
 *
 * @param {string} origin
 * @returns {Promise<{plugIn: (kind?: 'passkey' | 'security-key') => Authenticator, stop: () => Promise<void>}>}
 *   plugIn returns an authenticator that holds nothing yet
 */
export async function startAuthenticators(origin) {
  const child = spawn(program, [origin], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(child, 'close');
  const [url] = await Promise.race([
    once(createInterface({ input: child.stdout }), 'line'),
    ended.then(([code, signal]) => {
      throw new Error(`the authenticators ended with ${signal ?? code}`);
    }),
  ]);
  let count = 0;
  return {
    plugIn: (kind = 'passkey') => new Authenticator(`${url}/${kind}/${++count}`),
    async stop() {
      child.stdin.end();
      await ended;
    },
  };
}

/** An authenticator with a browser in front of it. Both have the JSON forms of what they take and return. */
class Authenticator {
  constructor(url) {
    this.url = url;
  }

  /** navigator.credentials.create */
  create(options) {
    return this.#ask('create', options);
  }

  /** navigator.credentials.get */
  get(options) {
    return this.#ask('get', options);
  }

  async #ask(what, options) {
    const response = await fetch(`${this.url}/${what}`, { method: 'POST', body: JSON.stringify(options) });
    const body = await response.json();
    if (!response.ok) throw new DOMException(body.message, body.name);
    return body;
  }
}
