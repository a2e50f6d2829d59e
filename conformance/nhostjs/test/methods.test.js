// Each method of the auth client whose route exists, without middleware: what is sent and returned is what is seen.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createAPIClient } from '@nhost/nhost-js/auth';
import { FetchError } from '@nhost/nhost-js/fetch';
import { someone, startServer } from '../server.js';

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const bearer = (session) => ({ headers: { Authorization: `Bearer ${session.accessToken}` } });
const decode = (part) => JSON.parse(Buffer.from(part, 'base64url').toString());

/** Checks that a call fails as documented: status, code, and a message in the one body of all failures. */
async function fails(call, status, error) {
  await assert.rejects(call, (e) => {
    assert.ok(e instanceof FetchError, `${e} is no FetchError`);
    assert.equal(e.body?.error, error);
    assert.equal(e.status, status);
    assert.deepEqual(Object.keys(e.body).sort(), ['error', 'message', 'status']);
    assert.equal(e.body.status, status);
    assert.ok(e.message.length > 0);
    assert.equal(e.message, e.body.message);
    return true;
  });
}

for (const prefix of ['', '/v1']) {
  describe(`the auth client, ${prefix ? `with the API prefix ${prefix}` : 'without an API prefix'}`, () => {
    let server;
    let auth;
    before(async () => {
      server = await startServer({ AUTH_API_PREFIX: prefix });
      auth = createAPIClient(server.url);
    });
    after(() => server?.stop());

    /** @returns the session of a new user */
    const signUp = async (user = someone(), options = undefined) => {
      const { body } = await auth.signUpEmailPassword({ ...user, ...(options && { options }) });
      assert.ok(body.session, 'a sign-up without verification has a session');
      return body.session;
    };

    test('healthCheckGet answers OK', async () => {
      const { status, body } = await auth.healthCheckGet();
      assert.equal(status, 200);
      assert.equal(body, 'OK');
    });

    test('healthCheckHead answers without a body', async () => {
      const { status } = await auth.healthCheckHead();
      assert.equal(status, 200);
    });

    test('getVersion has a version, which may be empty', async () => {
      const { body } = await auth.getVersion();
      assert.deepEqual(Object.keys(body), ['version']);
      assert.equal(typeof body.version, 'string');
    });

    test('getJWKs has the key that signed an access token', async () => {
      const session = await signUp();
      const { kid, alg } = decode(session.accessToken.split('.')[0]);
      const { body } = await auth.getJWKs();
      const key = body.keys.find((k) => k.kid === kid);
      assert.ok(key, `no key ${kid} in ${JSON.stringify(body)}`);
      assert.equal(key.alg, alg);
      assert.equal(key.use, 'sig');
      assert.ok(!('d' in key), 'the private half is published');
    });

    test('signUpEmailPassword returns a session with the user', async () => {
      const user = someone();
      const session = await signUp(user);
      assert.deepEqual(
        Object.keys(session).sort(),
        ['accessToken', 'accessTokenExpiresIn', 'refreshToken', 'refreshTokenId', 'user'],
      );
      assert.equal(session.accessTokenExpiresIn, 900);
      assert.match(session.refreshToken, uuid);
      assert.match(session.refreshTokenId, uuid);
      assert.match(session.user.id, uuid);
      assert.equal(session.user.email, user.email);
      assert.equal(session.user.displayName, user.email);
      assert.equal(session.user.emailVerified, false);
      assert.equal(session.user.isAnonymous, false);
      assert.equal(session.user.defaultRole, 'user');
      assert.equal(session.user.locale, 'en');
      assert.deepEqual([...session.user.roles].sort(), ['me', 'user']);
      assert.ok(Math.abs(Date.now() - Date.parse(session.user.createdAt)) < 60_000);
    });

    test('signUpEmailPassword heeds its options', async () => {
      const session = await signUp(someone(), {
        allowedRoles: ['me'],
        defaultRole: 'me',
        displayName: 'Ada Lovelace',
        locale: 'fr',
        metadata: { firstName: 'Ada', born: 1815 },
        redirectTo: 'http://localhost:3000/welcome',
      });
      const { user } = session;
      assert.equal(user.defaultRole, 'me');
      assert.deepEqual(user.roles, ['me']);
      assert.equal(user.displayName, 'Ada Lovelace');
      assert.equal(user.locale, 'fr');
      assert.deepEqual(user.metadata, { firstName: 'Ada', born: 1815 });
      const claims = decode(session.accessToken.split('.')[1])['https://hasura.io/jwt/claims'];
      assert.equal(claims['x-hasura-default-role'], 'me');
      assert.deepEqual(claims['x-hasura-allowed-roles'], ['me']);
      assert.equal(claims['x-hasura-user-id'], user.id);
      assert.equal(claims['x-hasura-user-is-anonymous'], 'false');
    });

    test('signUpEmailPassword refuses what it must', async () => {
      const user = someone();
      await signUp(user);
      await fails(auth.signUpEmailPassword(user), 409, 'email-already-in-use');
      await fails(auth.signUpEmailPassword({ ...user, email: user.email.toUpperCase() }), 409, 'email-already-in-use');
      await fails(auth.signUpEmailPassword({ ...someone(), password: 'short' }), 400, 'password-too-short');
      await fails(auth.signUpEmailPassword({ ...someone(), email: 'not an address' }), 400, 'invalid-request');
      await fails(auth.signUpEmailPassword({ email: user.email }), 400, 'invalid-request');
      await fails(auth.signUpEmailPassword({ ...someone(), extra: true }), 400, 'invalid-request');
      const option = (options) => auth.signUpEmailPassword({ ...someone(), options });
      await fails(option({ allowedRoles: ['admin'] }), 400, 'role-not-allowed');
      await fails(option({ defaultRole: 'admin' }), 400, 'default-role-must-be-in-allowed-roles');
      await fails(option({ redirectTo: 'https://elsewhere.example' }), 400, 'redirectTo-not-allowed');
      await fails(option({ displayName: 'x'.repeat(33) }), 400, 'invalid-request');
      await fails(option({ metadata: 'no object' }), 400, 'invalid-request');
    });

    test('signInEmailPassword opens another session of the same user', async () => {
      const user = someone();
      const first = await signUp(user);
      const { body } = await auth.signInEmailPassword(user);
      assert.equal(body.session.user.id, first.user.id);
      assert.notEqual(body.session.refreshTokenId, first.refreshTokenId);
      assert.equal(body.mfa, undefined);
    });

    test('signInEmailPassword answers alike for a wrong password and an unknown address', async () => {
      const user = someone();
      await signUp(user);
      await fails(auth.signInEmailPassword({ ...user, password: 'not the passphrase' }), 401, 'invalid-email-password');
      await fails(auth.signInEmailPassword(someone()), 401, 'invalid-email-password');
    });

    test('signInAnonymous needs no body', async () => {
      const { body } = await auth.signInAnonymous();
      const { user } = body.session;
      assert.equal(user.isAnonymous, true);
      assert.equal(user.displayName, 'Anonymous User');
      assert.equal(user.defaultRole, 'anonymous');
      assert.deepEqual(user.roles, ['anonymous']);
      assert.equal(user.email, undefined);
      const claims = decode(body.session.accessToken.split('.')[1])['https://hasura.io/jwt/claims'];
      assert.equal(claims['x-hasura-user-is-anonymous'], 'true');
    });

    test('signInAnonymous heeds its body', async () => {
      const { body } = await auth.signInAnonymous({ displayName: 'Guest 7', locale: 'fr', metadata: { from: 'here' } });
      assert.equal(body.session.user.displayName, 'Guest 7');
      assert.equal(body.session.user.locale, 'fr');
      assert.deepEqual(body.session.user.metadata, { from: 'here' });
    });

    test('an anonymous user can refresh and read themself', async () => {
      const { body } = await auth.signInAnonymous();
      const refreshed = await auth.refreshToken({ refreshToken: body.session.refreshToken });
      const { body: user } = await auth.getUser(bearer(refreshed.body));
      assert.equal(user.id, body.session.user.id);
    });

    test('refreshToken rotates the token and keeps the session', async () => {
      const first = await signUp();
      const { body: second } = await auth.refreshToken({ refreshToken: first.refreshToken });
      assert.notEqual(second.refreshToken, first.refreshToken);
      assert.notEqual(second.accessToken, first.accessToken);
      assert.equal(second.refreshTokenId, first.refreshTokenId);
      assert.equal(second.user.id, first.user.id);
    });

    test('fifty parallel refreshes all succeed with one result', async () => {
      const { refreshToken } = await signUp();
      const answers = await Promise.all(Array.from({ length: 50 }, () => auth.refreshToken({ refreshToken })));
      assert.equal(new Set(answers.map((a) => a.body.refreshToken)).size, 1);
    });

    test('refreshToken refuses what it must', async () => {
      await fails(
        auth.refreshToken({ refreshToken: '2c35b6f3-c4b9-48e3-978a-d4d0f1d42e24' }), 401, 'invalid-refresh-token',
      );
      await fails(auth.refreshToken({}), 400, 'invalid-request');
    });

    test('a token from before the last rotation ends the session', async () => {
      const first = await signUp();
      const second = await auth.refreshToken({ refreshToken: first.refreshToken });
      const third = await auth.refreshToken({ refreshToken: second.body.refreshToken });
      await fails(auth.refreshToken({ refreshToken: first.refreshToken }), 401, 'invalid-refresh-token');
      await fails(auth.refreshToken({ refreshToken: third.body.refreshToken }), 401, 'invalid-refresh-token');
    });

    test('verifyToken takes the token from the body or the header', async () => {
      const session = await signUp();
      assert.equal((await auth.verifyToken({ token: session.accessToken })).body, 'OK');
      assert.equal((await auth.verifyToken({ token: `Bearer ${session.accessToken}` })).body, 'OK');
      assert.equal((await auth.verifyToken(undefined, bearer(session))).body, 'OK');
      assert.equal((await auth.verifyToken({}, bearer(session))).body, 'OK');
    });

    test('verifyToken refuses a token with a bit changed, and none', async () => {
      const session = await signUp();
      const [header, payload, signature] = session.accessToken.split('.');
      const other = `${header}.${payload}.${signature[0] === 'A' ? 'B' : 'A'}${signature.slice(1)}`;
      await fails(auth.verifyToken({ token: other }), 400, 'invalid-request');
      await fails(auth.verifyToken({ token: session.refreshToken }), 400, 'invalid-request');
      await fails(auth.verifyToken(undefined, bearer({ accessToken: other })), 401, 'unauthenticated-user');
      await fails(auth.verifyToken(), 401, 'unauthenticated-user');
      await fails(auth.verifyToken({}), 401, 'unauthenticated-user');
    });

    test('getUser returns the user of the bearer token', async () => {
      const session = await signUp();
      const { body } = await auth.getUser(bearer(session));
      assert.deepEqual(body, session.user);
      assert.ok('activeMfaType' in body && 'metadata' in body, 'members that are always present are missing');
    });

    test('getUser refuses a missing and a bad bearer token', async () => {
      await fails(auth.getUser(), 401, 'unauthenticated-user');
      await fails(auth.getUser(bearer({ accessToken: 'nonsense' })), 401, 'unauthenticated-user');
      const session = await signUp();
      await fails(auth.getUser(bearer({ accessToken: session.refreshToken })), 401, 'unauthenticated-user');
    });

    test('signOut ends the one session', async () => {
      const user = someone();
      const first = await signUp(user);
      const { body } = await auth.signInEmailPassword(user);
      assert.equal((await auth.signOut({ refreshToken: first.refreshToken })).body, 'OK');
      await fails(auth.refreshToken({ refreshToken: first.refreshToken }), 401, 'invalid-refresh-token');
      await auth.refreshToken({ refreshToken: body.session.refreshToken });
    });

    test('signOut of a session that has ended is no error', async () => {
      const { refreshToken } = await signUp();
      await auth.signOut({ refreshToken });
      assert.equal((await auth.signOut({ refreshToken })).body, 'OK');
    });

    test('signOut of all ends every session', async () => {
      const user = someone();
      const first = await signUp(user);
      const { body } = await auth.signInEmailPassword(user);
      assert.equal((await auth.signOut({ all: true }, bearer(first))).body, 'OK');
      for (const { refreshToken } of [first, body.session]) {
        await fails(auth.refreshToken({ refreshToken }), 401, 'invalid-refresh-token');
      }
    });

    test('signOut refuses what it must', async () => {
      const { refreshToken } = await signUp();
      await fails(auth.signOut({}), 400, 'invalid-request');
      await fails(auth.signOut({ all: true }), 401, 'unauthenticated-user');
      await auth.refreshToken({ refreshToken });
    });

    test('an unknown route has the body of every failure', async () => {
      await fails(createAPIClient(`${server.url}/nowhere`).getVersion(), 404, 'route-not-found');
    });
  });
}
