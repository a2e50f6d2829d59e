// The methods for second factors and personal access tokens, on the whole client with its middleware. The authenticator app is
// the few lines of RFC 6238 below.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { createClient } from '@nhost/nhost-js';
import { FetchError } from '@nhost/nhost-js/fetch';
import { MemoryStorage } from '@nhost/nhost-js/session';
import { someone, startServer } from '../server.js';

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Checks that a call fails as documented. */
async function fails(call, status, error) {
  await assert.rejects(call, (e) => {
    assert.ok(e instanceof FetchError, `${e} is no FetchError`);
    assert.equal(e.body?.error, error);
    assert.equal(e.status, status);
    assert.equal(e.body.status, status);
    assert.equal(e.message, e.body.message);
    return true;
  });
}

/** An authenticator app. A code is good once, so that it shows that of each time step once: at most two in a row are near enough. */
class App {
  constructor(secret) {
    const bits = [...secret].map((c) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(c).toString(2).padStart(5, '0')).join('');
    this.key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
    this.step = Math.floor(Date.now() / 30_000);
  }

  code() {
    const counter = Buffer.alloc(8);
    counter.writeBigUInt64BE(BigInt(this.step++));
    const mac = createHmac('sha1', this.key).update(counter).digest();
    const number = mac.readUInt32BE(mac.at(-1) & 0xf) & 0x7fffffff;
    return String(number % 1_000_000).padStart(6, '0');
  }
}

/** Another code than one. */
const wrong = (code) => String((Number(code[0]) + 1) % 10) + code.slice(1);

for (const prefix of ['', '/v1']) {
  describe(`second factors and tokens, ${prefix ? `with the API prefix ${prefix}` : 'without an API prefix'}`, () => {
    let server;
    before(async () => {
      server = await startServer({ AUTH_API_PREFIX: prefix, AUTH_MFA_ENABLED: 'true', AUTH_MFA_TOTP_ISSUER: 'My App' });
    });
    after(() => server?.stop());

    const client = () => createClient({ authUrl: server.url, storage: new MemoryStorage() });

    /** @returns a client with the session of a new user */
    async function signUp(user = someone()) {
      const nhost = client();
      await nhost.auth.signUpEmailPassword(user);
      return { nhost, user };
    }

    /** @returns the same, of a user who has a second factor */
    async function enrol() {
      const { nhost, user } = await signUp();
      const { body } = await nhost.auth.changeUserMfa();
      const app = new App(body.totpSecret);
      const turnedOn = await nhost.auth.verifyChangeUserMfa({ code: app.code(), activeMfaType: 'totp' });
      assert.equal(turnedOn.body, 'OK');
      return { nhost, user, app };
    }

    test('changeUserMfa returns a picture and a secret', async () => {
      const { nhost, user } = await signUp();
      const { status, body } = await nhost.auth.changeUserMfa();
      assert.equal(status, 200);
      assert.deepEqual(Object.keys(body).sort(), ['imageUrl', 'totpSecret', 'totpUri']);
      assert.match(body.totpSecret, /^[A-Z2-7]{52}$/);
      const png = Buffer.from(body.imageUrl.replace(/^data:image\/png;base64,/, ''), 'base64');
      assert.equal(png.subarray(1, 4).toString(), 'PNG');
      assert.deepEqual([png.readUInt32BE(16), png.readUInt32BE(20)], [200, 200]);
      const uri = new URL(body.totpUri);
      assert.equal(uri.protocol + '//' + uri.host + decodeURIComponent(uri.pathname), `otpauth://totp/My App:${user.email}`);
      assert.equal(uri.searchParams.get('secret'), body.totpSecret);
      assert.equal(uri.searchParams.get('issuer'), 'My App');
    });

    test('verifyChangeUserMfa turns the second factor on', async () => {
      const { nhost } = await enrol();
      assert.equal((await nhost.auth.getUser()).body.activeMfaType, 'totp');
    });

    test('verifyChangeUserMfa turns it off', async () => {
      const { nhost, user, app } = await enrol();
      assert.equal((await nhost.auth.verifyChangeUserMfa({ code: app.code(), activeMfaType: '' })).body, 'OK');
      assert.equal((await nhost.auth.getUser()).body.activeMfaType, null);
      const { body } = await client().auth.signInEmailPassword(user);
      assert.equal(body.session.user.id, nhost.getUserSession().user.id);
    });

    test('verifyChangeUserMfa refuses what it must', async () => {
      const { nhost } = await signUp();
      await fails(nhost.auth.verifyChangeUserMfa({ code: '123456', activeMfaType: 'totp' }), 400, 'no-totp-secret');
      await fails(nhost.auth.verifyChangeUserMfa({ code: '123456', activeMfaType: '' }), 401, 'disabled-mfa-totp');
      await fails(nhost.auth.verifyChangeUserMfa({ activeMfaType: 'totp' }), 400, 'invalid-request');
      const { body } = await nhost.auth.changeUserMfa();
      const code = new App(body.totpSecret).code();
      await fails(nhost.auth.verifyChangeUserMfa({ code: wrong(code), activeMfaType: 'totp' }), 401, 'invalid-totp');
      assert.equal((await nhost.auth.getUser()).body.activeMfaType, null);
      await fails(client().auth.verifyChangeUserMfa({ code, activeMfaType: 'totp' }), 401, 'unauthenticated-user');
      await fails(client().auth.changeUserMfa(), 401, 'unauthenticated-user');
    });

    test('verifySignInMfaTotp ends a sign-in and stores the session', async () => {
      const { user, app } = await enrol();
      const nhost = client();
      const { body } = await nhost.auth.signInEmailPassword(user);
      assert.deepEqual(Object.keys(body), ['mfa']);
      assert.deepEqual(Object.keys(body.mfa), ['ticket']);
      assert.match(body.mfa.ticket, /^mfaTotp:/);
      assert.equal(nhost.getUserSession(), null);

      const code = app.code();
      await fails(nhost.auth.verifySignInMfaTotp({ ticket: body.mfa.ticket, otp: wrong(code) }), 401, 'invalid-totp');
      const signedIn = await nhost.auth.verifySignInMfaTotp({ ticket: body.mfa.ticket, otp: code });
      assert.equal(signedIn.body.mfa, undefined);
      assert.equal(signedIn.body.session.user.activeMfaType, 'totp');
      assert.equal(nhost.getUserSession().refreshToken, signedIn.body.session.refreshToken);
      assert.equal((await nhost.auth.getUser()).body.email, user.email);

      const again = await client().auth.signInEmailPassword(user);
      await fails(nhost.auth.verifySignInMfaTotp({ ticket: again.body.mfa.ticket, otp: code }), 401, 'invalid-totp');
    });

    test('verifySignInMfaTotp refuses what it must', async () => {
      const ticket = 'mfaTotp:2c35b6f3-c4b9-48e3-978a-d4d0f1d42e24';
      await fails(client().auth.verifySignInMfaTotp({ ticket, otp: '123456' }), 401, 'invalid-ticket');
      await fails(client().auth.verifySignInMfaTotp({ ticket: 'x', otp: '123456' }), 400, 'invalid-request');
      await fails(client().auth.verifySignInMfaTotp({ ticket }), 400, 'invalid-request');
    });

    const tomorrow = () => new Date(Date.now() + 24 * 3600_000).toISOString();

    test('createPAT makes a token with which signInPAT signs in, past a second factor', async () => {
      const { nhost: enrolled, user, app } = await enrol();
      await fails(enrolled.auth.createPAT({ expiresAt: tomorrow() }), 403, 'elevated-claim-required'); // a session of one factor
      const nhost = client();
      const { body: asked } = await nhost.auth.signInEmailPassword(user);
      await nhost.auth.verifySignInMfaTotp({ ticket: asked.mfa.ticket, otp: app.code() });
      const { status, body } = await nhost.auth.createPAT({ expiresAt: tomorrow(), metadata: { name: 'ci' } });
      assert.equal(status, 200);
      assert.deepEqual(Object.keys(body).sort(), ['id', 'personalAccessToken']);
      assert.match(body.id, uuid);
      assert.match(body.personalAccessToken, uuid);

      const program = client();
      for (const _ of [1, 2]) {
        const { body: signedIn } = await program.auth.signInPAT({ personalAccessToken: body.personalAccessToken });
        assert.equal(signedIn.session.user.email, user.email);
        assert.equal(program.getUserSession().refreshToken, signedIn.session.refreshToken);
      }
      assert.equal((await program.auth.getUser()).body.email, user.email);
      await program.refreshSession(0);
      await fails(program.auth.createPAT({ expiresAt: tomorrow() }), 403, 'elevated-claim-required');
    });

    test('createPAT and signInPAT refuse what they must', async () => {
      const { nhost } = await signUp();
      await fails(nhost.auth.createPAT({}), 400, 'invalid-request');
      await fails(nhost.auth.createPAT({ expiresAt: '2001-01-01T00:00:00Z' }), 400, 'invalid-request');
      await fails(nhost.auth.createPAT({ expiresAt: 'tomorrow' }), 400, 'invalid-request');
      await fails(client().auth.createPAT({ expiresAt: tomorrow() }), 401, 'unauthenticated-user');
      const anonymous = client();
      await anonymous.auth.signInAnonymous();
      await fails(anonymous.auth.createPAT({ expiresAt: tomorrow() }), 403, 'forbidden-anonymous');
      await fails(anonymous.auth.changeUserMfa(), 403, 'forbidden-anonymous');
      const personalAccessToken = '2c35b6f3-c4b9-48e3-978a-d4d0f1d42e24';
      await fails(client().auth.signInPAT({ personalAccessToken }), 401, 'invalid-pat');
      await fails(client().auth.signInPAT({}), 400, 'invalid-request');
    });
  });
}

describe('without second factors', () => {
  let server;
  before(async () => {
    server = await startServer();
  });
  after(() => server?.stop());

  test('each method says that they are disabled', async () => {
    const nhost = createClient({ authUrl: server.url, storage: new MemoryStorage() });
    await nhost.auth.signUpEmailPassword(someone());
    await fails(nhost.auth.changeUserMfa(), 409, 'disabled-endpoint');
    await fails(nhost.auth.verifyChangeUserMfa({ code: '123456', activeMfaType: 'totp' }), 409, 'disabled-endpoint');
    const ticket = 'mfaTotp:2c35b6f3-c4b9-48e3-978a-d4d0f1d42e24';
    await fails(nhost.auth.verifySignInMfaTotp({ ticket, otp: '123456' }), 409, 'disabled-endpoint');
  });
});
