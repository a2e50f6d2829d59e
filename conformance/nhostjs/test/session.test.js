// The whole client with its middleware: it keeps the session, attaches the token and refreshes before the token expires.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createClient, createServerClient } from '@nhost/nhost-js';
import { MemoryStorage } from '@nhost/nhost-js/session';
import { someone, startServer } from '../server.js';

for (const prefix of ['', '/v1']) {
  describe(`the session of the client, ${prefix ? `with the API prefix ${prefix}` : 'without an API prefix'}`, () => {
    let server;
    before(async () => {
      server = await startServer({ AUTH_API_PREFIX: prefix });
    });
    after(() => server?.stop());

    const client = () => createClient({ authUrl: server.url, storage: new MemoryStorage() });

    test('signing up stores the session and signing out removes it', async () => {
      const nhost = client();
      const changes = [];
      nhost.sessionStorage.onChange((session) => changes.push(session?.refreshTokenId ?? null));
      const { body } = await nhost.auth.signUpEmailPassword(someone());
      const stored = nhost.getUserSession();
      assert.equal(stored.refreshToken, body.session.refreshToken);
      assert.equal(stored.decodedToken.sub, body.session.user.id);
      assert.equal(stored.decodedToken['https://hasura.io/jwt/claims']['x-hasura-user-id'], body.session.user.id);
      assert.ok(stored.decodedToken.exp > Date.now());

      await nhost.auth.signOut({ refreshToken: stored.refreshToken });
      assert.equal(nhost.getUserSession(), null);
      assert.deepEqual(changes, [body.session.refreshTokenId, null]);
    });

    test('signing in stores the session', async () => {
      const user = someone();
      await client().auth.signUpEmailPassword(user);
      const nhost = client();
      const { body } = await nhost.auth.signInEmailPassword(user);
      assert.equal(nhost.getUserSession().refreshTokenId, body.session.refreshTokenId);
    });

    test('an anonymous session is stored', async () => {
      const nhost = client();
      await nhost.auth.signInAnonymous();
      assert.equal(nhost.getUserSession().user.isAnonymous, true);
    });

    test('the token is attached to what needs one', async () => {
      const nhost = client();
      const { body } = await nhost.auth.signUpEmailPassword(someone());
      assert.equal((await nhost.auth.getUser()).body.id, body.session.user.id);
      assert.equal((await nhost.auth.verifyToken()).body, 'OK');
      assert.equal((await nhost.auth.signOut({ all: true })).body, 'OK');
      assert.equal(nhost.getUserSession(), null);
    });

    test('refreshSession replaces the session in the store', async () => {
      const nhost = client();
      await nhost.auth.signUpEmailPassword(someone());
      const before = nhost.getUserSession();
      const after = await nhost.refreshSession(0);
      assert.notEqual(after.refreshToken, before.refreshToken);
      assert.equal(nhost.getUserSession().refreshToken, after.refreshToken);
      assert.equal((await nhost.auth.getUser()).body.id, before.user.id);
    });

    test('a session that needs no refresh is left alone', async () => {
      const nhost = client();
      await nhost.auth.signUpEmailPassword(someone());
      const before = nhost.getUserSession();
      assert.equal((await nhost.refreshSession(60)).refreshToken, before.refreshToken);
    });

    test('two clients that refresh one session at the same time both keep it', async () => {
      const nhost = client();
      await nhost.auth.signUpEmailPassword(someone());
      const other = client();
      other.sessionStorage.set(nhost.getUserSession());
      const [one, two] = await Promise.all([nhost.refreshSession(0), other.refreshSession(0)]);
      assert.equal(one.refreshToken, two.refreshToken);
      assert.ok(await nhost.refreshSession(0));
    });

    test('a client on a server attaches the token and never refreshes by itself', async () => {
      const nhost = createServerClient({ authUrl: server.url, storage: new MemoryStorage() });
      await nhost.auth.signUpEmailPassword(someone());
      const { refreshToken } = nhost.getUserSession();
      await nhost.auth.getUser();
      assert.equal(nhost.getUserSession().refreshToken, refreshToken);
    });
  });
}

// The client knows its own refresh by a path that ends in /v1/token: refreshing by itself needs that prefix.
describe('refreshing before the access token expires', () => {
  let server;
  before(async () => {
    // Within the client's margin of 60 seconds from the start: each call refreshes first.
    server = await startServer({ AUTH_API_PREFIX: '/v1', AUTH_ACCESS_TOKEN_EXPIRES_IN: '30' });
  });
  after(() => server?.stop());

  test('a call refreshes first', async () => {
    const nhost = createClient({ authUrl: server.url, storage: new MemoryStorage() });
    const { body } = await nhost.auth.signUpEmailPassword(someone());
    assert.equal(body.session.accessTokenExpiresIn, 30);
    const { body: user } = await nhost.auth.getUser();
    assert.equal(user.id, body.session.user.id);
    assert.notEqual(nhost.getUserSession().refreshToken, body.session.refreshToken);
    assert.equal(nhost.getUserSession().refreshTokenId, body.session.refreshTokenId);
  });

  test('many calls at once all succeed', async () => {
    const nhost = createClient({ authUrl: server.url, storage: new MemoryStorage() });
    const { body } = await nhost.auth.signUpEmailPassword(someone());
    const answers = await Promise.all(Array.from({ length: 20 }, () => nhost.auth.getUser()));
    assert.deepEqual(new Set(answers.map((a) => a.body.id)), new Set([body.session.user.id]));
    assert.ok(await nhost.refreshSession(0));
  });

  test('a session that was ended elsewhere is dropped', async () => {
    const nhost = createClient({ authUrl: server.url, storage: new MemoryStorage() });
    await nhost.auth.signUpEmailPassword(someone());
    const session = nhost.getUserSession();
    await fetch(`${server.url}/signout`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ refreshToken: session.refreshToken }),
    });
    const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const expired = [part({ alg: 'none' }), part({ sub: session.user.id, exp: 1 }), ''].join('.');
    nhost.sessionStorage.set({ ...session, accessToken: expired });
    assert.equal(await nhost.refreshSession(), null);
    assert.equal(nhost.getUserSession(), null);
  });
});
