// Builds examples/standalone and runs it for a test.
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const examples = fileURLToPath(new URL('../../examples', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'standalone-'));
const program = join(directory, 'standalone');

execFileSync('go', ['build', '-o', program, './standalone'], { cwd: examples, stdio: 'inherit' });
process.once('exit', () => rmSync(directory, { recursive: true, force: true }));

// manyClients are the limits of one client for tests that play many, all at one address.
const manyClients = Object.fromEntries(['GLOBAL', 'EMAIL', 'SMS', 'BRUTE_FORCE', 'SIGNUPS'].map((limit) => [`AUTH_RATE_LIMIT_${limit}_BURST`, '100000']));

/**
 * Starts a server on a free port and waits until it answers.
 *
 * @param {Record<string, string>} environment configuration beyond that of every test
 * @returns {Promise<{
 *   url: string,
 *   logged: <T>(find: (line: string, number: number) => T | undefined) => Promise<T>,
 *   letter: (to: string, template: string) => Promise<{link: string, ticket: string, locale: string, subject: string}>,
 *   textMessage: (to: string) => Promise<{code: string, locale: string, text: string}>,
 *   stop: () => Promise<void>,
 * }>}
 *   url has the API prefix; logged waits for a line of the log in which find finds something; letter waits, with
 *   AUTH_MAIL_LOG, for the earliest letter to an address, made of a template, that it has not returned before; textMessage
 *   does so, with AUTH_SMS_PROVIDER=dev, for text messages to a number
 */
export async function startServer(environment = {}) {
  const port = await freePort();
  const root = `http://127.0.0.1:${port}`;
  const url = root + (environment.AUTH_API_PREFIX ?? '');
  const child = spawn(program, [], {
    cwd: directory,
    env: {
      PATH: process.env.PATH,
      AUTH_LISTEN: `127.0.0.1:${port}`,
      AUTH_STORE: 'memory',
      AUTH_SECRET: 'a-secret-of-the-tests-that-everybody-can-read',
      AUTH_SERVER_URL: url,
      AUTH_CLIENT_URL: 'http://localhost:3000',
      AUTH_ANONYMOUS_USERS_ENABLED: 'true',
      AUTH_EMAIL_SIGNIN_EMAIL_VERIFIED_REQUIRED: 'false',
      AUTH_PASSWORD_MIN_LENGTH: '8',
      AUTH_LOCALE_ALLOWED_LOCALES: 'en,fr',
      ...manyClients,
      ...environment,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let log = '';
  const grown = new EventTarget();
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      log += text;
      grown.dispatchEvent(new Event('grown'));
    });
  }
  const ended = new Promise((resolve) => {
    child.once('close', (code, signal) => resolve(signal ?? code));
  });
  const read = new Set();
  const entry = (matches) => server.logged((line, number) => {
    const found = line.startsWith('{') ? JSON.parse(line) : {};
    if (read.has(number) || !matches(found)) return undefined;
    read.add(number);
    return found;
  });
  const server = {
    url,
    async logged(find) {
      const late = AbortSignal.timeout(10_000);
      for (;;) {
        for (const [number, line] of log.split('\n').slice(0, -1).entries()) {
          const found = find(line, number);
          if (found !== undefined) return found;
        }
        if (late.aborted) throw new Error(`the log does not have it:\n${log}`);
        await new Promise((resolve) => {
          grown.addEventListener('grown', resolve, { once: true });
          late.addEventListener('abort', resolve, { once: true });
        });
      }
    },
    letter: (to, template) => entry((e) => e.msg === 'letter' && e.to === to && e.template === template),
    textMessage: (to) => entry((e) => e.msg === 'text message' && e.to === to),
    async stop() {
      child.kill('SIGTERM');
      const outcome = await ended;
      if (outcome !== 0) throw new Error(`the server ended with ${outcome}:\n${log}`);
    },
  };
  const deadline = Date.now() + 20_000;
  for (;;) {
    const ready = await fetch(`${url}/healthz`).then((r) => r.ok, () => false);
    if (ready) return server;
    if (child.exitCode !== null || Date.now() > deadline) {
      child.kill('SIGKILL');
      throw new Error(`the server does not answer:\n${log}`);
    }
    await pause(20);
  }
}

async function freePort() {
  const server = createServer();
  await new Promise((resolve, reject) => {
    server.once('error', reject).listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

let count = 0;

/** A new user that no other test has. */
export function someone() {
  return { email: `someone-${process.pid}-${++count}@example.com`, password: 'a passphrase of the tests' };
}

/** A number that no other test of the program has. */
export function someNumber() {
  return `+4179${String(1_000_000 + ++count)}`;
}
