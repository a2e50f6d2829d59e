// The methods for passkeys and step-up, on the whole client with its middleware. Node has no navigator.credentials: in its
// place is an authenticator of package authtest behind a small program, which takes the JSON of the options and answers with
// PublicKeyCredential.toJSON(). See authenticator.js.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createClient } from '@nhost/nhost-js';
import { FetchError } from '@nhost/nhost-js/fetch';
import { MemoryStorage } from '@nhost/nhost-js/session';
import { startAuthenticators } from '../authenticator.js';
import { someone, startServer } from '../server.js';

const origin = 'http://localhost:3000'; // of the server's AUTH_CLIENT_URL
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Checks that a call fails as documented, and returns the error as the client shows it. */
async function fails(call, status, error) {
  let shown;
  await assert.rejects(call, (e) => {
    shown = e;
    assert.ok(e instanceof FetchError, `${e} is no FetchError`);
    assert.equal(e.body?.error, error);
    assert.equal(e.status, status);
    assert.equal(e.body.status, status);
    assert.equal(e.message, e.body.message);
    return true;
  });
  return shown;
}

/** Checks that a text is base64url without padding and returns its bytes. */
function bytes(text) {
  assert.match(text, /^[A-Za-z0-9_-]+$/);
  const decoded = Buffer.from(text, 'base64url');
  assert.equal(decoded.toString('base64url'), text);
  return decoded;
}

const uuidOf = (handle) => bytes(handle).toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');

// What the types of the client allow.
const transports = ['usb', 'nfc', 'ble', 'smart-card', 'hybrid', 'internal'];
const requirements = ['required', 'preferred', 'discouraged'];

function isDescriptor(d) {
  assert.equal(d.type, 'public-key');
  assert.ok(bytes(d.id).length > 0);
  for (const t of d.transports ?? []) assert.ok(transports.includes(t), t);
}

/** Checks what the client's type PublicKeyCredentialCreationOptions promises. */
function isCreationOptions(options) {
  assert.deepEqual(options.rp, { id: 'localhost', name: 'localhost' });
  assert.equal(bytes(options.user.id).length, 16);
  assert.equal(typeof options.user.name, 'string');
  assert.equal(typeof options.user.displayName, 'string');
  assert.equal(bytes(options.challenge).length, 32);
  for (const p of options.pubKeyCredParams) {
    assert.equal(p.type, 'public-key');
    assert.ok(Number.isInteger(p.alg));
  }
  const algorithms = options.pubKeyCredParams.map((p) => p.alg);
  for (const alg of [-7, -8, -257]) assert.ok(algorithms.includes(alg), `${alg} is not in ${algorithms}`);
  assert.equal(options.timeout, 60_000);
  options.excludeCredentials?.forEach(isDescriptor);
  assert.equal(options.authenticatorSelection.requireResidentKey, false);
  assert.ok(requirements.includes(options.authenticatorSelection.residentKey));
  assert.ok(requirements.includes(options.authenticatorSelection.userVerification));
  assert.ok(['none', 'indirect', 'direct', 'enterprise'].includes(options.attestation));
}

/** Checks what the client's type PublicKeyCredentialRequestOptions promises. */
function isRequestOptions(options) {
  assert.equal(bytes(options.challenge).length, 32);
  assert.equal(options.timeout, 60_000);
  assert.equal(options.rpId, 'localhost');
  options.allowCredentials?.forEach(isDescriptor);
  assert.ok(requirements.includes(options.userVerification));
}

let authenticators;
before(async () => {
  authenticators = await startAuthenticators(origin);
});
after(() => authenticators?.stop());

// Whether a step-up is demanded of users with a key or of everybody, a first key needs none, whatever the prefix (W30).
for (const [prefix, mode] of [['', 'recommended'], ['/v1', 'required']]) {
  const where = prefix ? `with the API prefix ${prefix}` : 'without an API prefix';
  describe(`passkeys, ${where}, step-up ${mode}`, () => {
    let server;
    before(async () => {
      server = await startServer({
        AUTH_API_PREFIX: prefix,
        AUTH_WEBAUTHN_ENABLED: 'true',
        AUTH_REQUIRE_ELEVATED_CLAIM: mode,
      });
    });
    after(() => server?.stop());

    const client = () => createClient({ authUrl: server.url, storage: new MemoryStorage() });
    const claims = (nhost) => nhost.getUserSession().decodedToken['https://hasura.io/jwt/claims'];

    /** @returns a client with the session of a new user, and the passkey that they signed up with */
    async function signUp(email = someone().email) {
      const nhost = client();
      const passkey = authenticators.plugIn();
      const { body: options } = await nhost.auth.signUpWebauthn({ email });
      const { body } = await nhost.auth.verifySignUpWebauthn({ credential: await passkey.create(options) });
      return { nhost, passkey, email, user: body.session.user };
    }

    /** Steps up. The client keeps what sign-ins return; what a step-up returns is for its caller to keep. */
    async function stepUp({ nhost, passkey }) {
      const { body: options } = await nhost.auth.elevateWebauthn();
      const { body } = await nhost.auth.verifyElevateWebauthn({ credential: await passkey.get(options) });
      nhost.sessionStorage.set(body.session);
      return { options, session: body.session };
    }

    async function addKey(nhost, key, nickname) {
      const { body: options } = await nhost.auth.addSecurityKey();
      const { body } = await nhost.auth.verifyAddSecurityKey({ credential: await key.create(options), nickname });
      return { options, added: body };
    }

    test('signUpWebauthn returns the options that its type promises', async () => {
      const { email } = someone();
      const { status, body: options } = await client().auth.signUpWebauthn({ email });
      assert.equal(status, 200);
      isCreationOptions(options);
      assert.equal(options.user.name, email);
      assert.equal(options.user.displayName, email);
      assert.equal(options.excludeCredentials, undefined);
    });

    test('verifySignUpWebauthn creates the user and stores the session', async () => {
      const { email } = someone();
      const nhost = client();
      const passkey = authenticators.plugIn();
      const { body: options } = await nhost.auth.signUpWebauthn({ email, options: { displayName: 'Ada', locale: 'fr' } });
      assert.equal(nhost.getUserSession(), null);
      const credential = await passkey.create(options);
      const { body } = await nhost.auth.verifySignUpWebauthn({
        credential,
        nickname: 'my phone',
        options: { metadata: { born: 1815 } },
      });
      const { user } = body.session;
      assert.equal(user.id, uuidOf(options.user.id));
      assert.equal(user.email, email);
      assert.equal(user.displayName, 'Ada');
      assert.equal(user.locale, 'fr');
      assert.deepEqual(user.metadata, { born: 1815 });
      const stored = nhost.getUserSession();
      assert.equal(stored.refreshToken, body.session.refreshToken);
      assert.equal(stored.decodedToken.sub, user.id);
      assert.ok(!('x-hasura-auth-elevated' in claims(nhost)), 'a sign-up is no step-up');
      assert.equal((await nhost.auth.getUser()).body.id, user.id);
    });

    test('signUpWebauthn and its verification refuse what they must', async () => {
      const { nhost, email } = await signUp();
      await fails(nhost.auth.signUpWebauthn({ email: 'not an address' }), 400, 'invalid-request');
      await fails(nhost.auth.signUpWebauthn({}), 400, 'invalid-request');
      await fails(nhost.auth.verifySignUpWebauthn({}), 400, 'invalid-request');
      const key = authenticators.plugIn();
      const { body: options } = await nhost.auth.signUpWebauthn({ email });
      const credential = await key.create(options);
      await fails(nhost.auth.verifySignUpWebauthn({ credential }), 409, 'email-already-in-use');
      await fails(nhost.auth.verifySignUpWebauthn({ credential }), 400, 'invalid-request');
    });

    test('signInWebauthn with an address names the keys, and its verification stores a session', async () => {
      const { passkey, email, user, nhost: first } = await signUp();
      const nhost = client();
      const { body: options } = await nhost.auth.signInWebauthn({ email });
      isRequestOptions(options);
      assert.equal(options.allowCredentials.length, 1);
      const credential = await passkey.get(options);
      assert.equal(credential.id, options.allowCredentials[0].id);
      const { body } = await nhost.auth.verifySignInWebauthn({ email, credential });
      assert.equal(body.session.user.id, user.id);
      assert.equal(body.mfa, undefined);
      assert.equal(nhost.getUserSession().refreshToken, body.session.refreshToken);
      assert.notEqual(body.session.refreshTokenId, first.getUserSession().refreshTokenId);
      assert.ok(!('x-hasura-auth-elevated' in claims(nhost)), 'a sign-in is no step-up');
    });

    test('signInWebauthn without an address leaves the choice to the authenticator', async () => {
      const { passkey, user } = await signUp();
      for (const body of [undefined, {}]) {
        const nhost = client();
        const { body: options } = await nhost.auth.signInWebauthn(body);
        isRequestOptions(options);
        assert.equal(options.allowCredentials, undefined);
        await nhost.auth.verifySignInWebauthn({ credential: await passkey.get(options) });
        assert.equal(nhost.getUserSession().user.id, user.id);
      }
    });

    test('signInWebauthn says of an unknown address no less than of a known one', async () => {
      const { email } = someone();
      const { body: options } = await client().auth.signInWebauthn({ email });
      isRequestOptions(options);
      assert.ok(options.allowCredentials.length > 0);
      const { body: again } = await client().auth.signInWebauthn({ email });
      assert.deepEqual(again.allowCredentials, options.allowCredentials);
    });

    test('an answer counts once', async () => {
      const { passkey } = await signUp();
      const nhost = client();
      const { body: options } = await nhost.auth.signInWebauthn();
      const credential = await passkey.get(options);
      await nhost.auth.verifySignInWebauthn({ credential });
      await fails(client().auth.verifySignInWebauthn({ credential }), 400, 'invalid-request');
    });

    test('addSecurityKey gives a user with a password their first key without a step-up', async () => {
      const nhost = client();
      const { body } = await nhost.auth.signUpEmailPassword(someone());
      const { options, added } = await addKey(nhost, authenticators.plugIn(), 'my key');
      isCreationOptions(options);
      assert.equal(uuidOf(options.user.id), body.session.user.id);
      assert.equal(options.excludeCredentials, undefined);
      assert.deepEqual(Object.keys(added).sort(), ['id', 'nickname']);
      assert.match(added.id, uuid);
      assert.equal(added.nickname, 'my key');
    });

    test('a key that keeps no passkeys signs in with an address, and without one is not found', async () => {
      const nhost = client();
      const user = someone();
      await nhost.auth.signUpEmailPassword(user);
      const key = authenticators.plugIn('security-key');
      const { added } = await addKey(nhost, key);
      assert.deepEqual(Object.keys(added), ['id']);

      const other = client();
      const { body: named } = await other.auth.signInWebauthn({ email: user.email });
      await other.auth.verifySignInWebauthn({ credential: await key.get(named) });
      assert.equal(other.getUserSession().user.id, nhost.getUserSession().user.id);
      const { body: unnamed } = await other.auth.signInWebauthn();
      await assert.rejects(key.get(unnamed), { name: 'NotAllowedError' });
    });

    test('a second key needs a step-up, and the client shows that', async () => {
      const { nhost, passkey } = await signUp();
      const refused = await fails(nhost.auth.addSecurityKey(), 403, 'elevated-claim-required');
      assert.deepEqual(Object.keys(refused.body).sort(), ['error', 'message', 'status']);
      assert.match(refused.headers.get('www-authenticate'), /^Bearer error="insufficient_user_authentication"/);

      await stepUp({ nhost, passkey });
      const second = authenticators.plugIn('security-key');
      const { options, added } = await addKey(nhost, second, 'second');
      isCreationOptions(options);
      assert.equal(options.excludeCredentials.length, 1);
      await assert.rejects(passkey.create(options), { name: 'InvalidStateError' });
      assert.equal(added.nickname, 'second');

      const { body: both } = await client().auth.signInWebauthn({ email: nhost.getUserSession().user.email });
      assert.equal(both.allowCredentials.length, 2);
    });

    test('a step-up is in the session of the client until it is refreshed', async () => {
      const { nhost, passkey, user } = await signUp();
      const plain = nhost.getUserSession();
      const { options, session } = await stepUp({ nhost, passkey });
      isRequestOptions(options);
      assert.equal(options.allowCredentials.length, 1);
      assert.equal(options.userVerification, 'required');

      const elevated = nhost.getUserSession();
      assert.equal(elevated.accessToken, session.accessToken);
      assert.notEqual(elevated.accessToken, plain.accessToken);
      assert.equal(claims(nhost)['x-hasura-auth-elevated'], user.id);
      assert.equal(elevated.refreshTokenId, plain.refreshTokenId, 'a step-up opened a second session');
      assert.equal((await nhost.auth.getUser()).body.id, user.id);

      await nhost.refreshSession(0);
      assert.equal(nhost.getUserSession().refreshTokenId, plain.refreshTokenId);
      assert.ok(!('x-hasura-auth-elevated' in claims(nhost)), 'the step-up outlived a refresh');
      await fails(nhost.auth.addSecurityKey(), 403, 'elevated-claim-required');
    });

    test('the client does not keep a step-up by itself', async () => {
      const { nhost, passkey } = await signUp();
      const before = nhost.getUserSession();
      const { body: options } = await nhost.auth.elevateWebauthn();
      await nhost.auth.verifyElevateWebauthn({ credential: await passkey.get(options) });
      assert.equal(nhost.getUserSession().accessToken, before.accessToken);
    });

    test('elevateWebauthn refuses what it must', async () => {
      await fails(client().auth.elevateWebauthn(), 401, 'unauthenticated-user');
      const without = client();
      await without.auth.signUpEmailPassword(someone());
      await fails(without.auth.elevateWebauthn(), 400, 'invalid-request');
      const anonymous = client();
      await anonymous.auth.signInAnonymous();
      await fails(anonymous.auth.elevateWebauthn(), 403, 'forbidden-anonymous');

      const [ada, eve] = [await signUp(), await signUp()];
      const { body: options } = await ada.nhost.auth.elevateWebauthn();
      const credential = await ada.passkey.get(options);
      await fails(eve.nhost.auth.verifyElevateWebauthn({ credential }), 400, 'invalid-request');
      await fails(ada.nhost.auth.verifyElevateWebauthn({ credential }), 400, 'invalid-request');
    });
  });
}

describe('without passkeys', () => {
  let server;
  before(async () => {
    server = await startServer();
  });
  after(() => server?.stop());

  test('each method says that they are disabled', async () => {
    const nhost = createClient({ authUrl: server.url, storage: new MemoryStorage() });
    const { email } = someone();
    await nhost.auth.signUpEmailPassword(someone());
    await fails(nhost.auth.signUpWebauthn({ email }), 409, 'disabled-endpoint');
    await fails(nhost.auth.verifySignUpWebauthn({ credential: {} }), 409, 'disabled-endpoint');
    await fails(nhost.auth.signInWebauthn({ email }), 409, 'disabled-endpoint');
    await fails(nhost.auth.verifySignInWebauthn({ credential: {} }), 409, 'disabled-endpoint');
    await fails(nhost.auth.addSecurityKey(), 409, 'disabled-endpoint');
    await fails(nhost.auth.verifyAddSecurityKey({ credential: {} }), 409, 'disabled-endpoint');
    await fails(nhost.auth.elevateWebauthn(), 409, 'disabled-endpoint');
    await fails(nhost.auth.verifyElevateWebauthn({ credential: {} }), 409, 'disabled-endpoint');
  });
});
