// What the client sees of limits: the one error body, and when to come back.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createClient } from '@nhost/nhost-js';
import { FetchError } from '@nhost/nhost-js/fetch';
import { MemoryStorage } from '@nhost/nhost-js/session';
import { someone, startServer } from '../server.js';

describe('limits', () => {
  let server;
  before(async () => {
    server = await startServer({ AUTH_RATE_LIMIT_SIGNUPS_BURST: '2', AUTH_RATE_LIMIT_SIGNUPS_INTERVAL: '1h', AUTH_RATE_LIMIT_BRUTE_FORCE_BURST: '3' });
  });
  after(() => server?.stop());

  const refuses = (call, policy) => assert.rejects(call, (e) => {
    assert.ok(e instanceof FetchError, `${e} is no FetchError`);
    assert.deepEqual(e.body, { status: 429, error: 'too-many-requests', message: 'Too many requests' });
    assert.match(e.headers.get('retry-after'), /^[1-9][0-9]*$/);
    assert.equal(e.headers.get('ratelimit-policy'), policy);
    assert.match(e.headers.get('ratelimit'), /^"[a-z-]+";r=0;t=[1-9][0-9]*$/);
    return true;
  });

  test('one client signs so many users up and guesses so often, whoever they are, and its users go on', async () => {
    const nhost = createClient({ authUrl: server.url, storage: new MemoryStorage() });
    const user = someone();
    await nhost.auth.signUpEmailPassword(user);
    await nhost.auth.signUpEmailPassword(someone());
    await refuses(nhost.auth.signUpEmailPassword(someone()), '"signups-client";q=2;w=3600');
    for (let i = 0; i < 3; i++) {
      await assert.rejects(nhost.auth.signInEmailPassword({ ...someone(), password: 'not the password' }), (e) => e.status === 401);
    }
    await refuses(nhost.auth.signInEmailPassword(user), '"guesses-client";q=3;w=300');
    assert.equal((await nhost.auth.verifyToken()).body, 'OK');
    assert.ok(await nhost.refreshSession(0));
  });
});
