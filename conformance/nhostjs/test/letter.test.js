// The methods for links and codes that come by letter, on the whole client with its middleware. The letters are those that
// the server writes into its log.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { createClient } from '@nhost/nhost-js';
import { generatePKCEPair } from '@nhost/nhost-js/auth';
import { FetchError } from '@nhost/nhost-js/fetch';
import { MemoryStorage } from '@nhost/nhost-js/session';
import { someone, startServer } from '../server.js';

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const home = 'http://localhost:3000'; // AUTH_CLIENT_URL
const newPassword = 'another passphrase of the tests';

const letters = {
  AUTH_MAIL_LOG: 'true',
  AUTH_EMAIL_SIGNIN_EMAIL_VERIFIED_REQUIRED: 'true',
  AUTH_EMAIL_PASSWORDLESS_ENABLED: 'true',
  AUTH_OTP_EMAIL_ENABLED: 'true',
};

const clientOf = (server) => createClient({ authUrl: server.url, storage: new MemoryStorage() });

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
    assert.equal(e.headers.get('cache-control'), 'no-store');
    return true;
  });
}

/** Checks that a call answers that it is done, and no more. */
async function isOK(call) {
  const { status, body } = await call;
  assert.equal(status, 200);
  assert.equal(body, 'OK');
}

/** Follows a link as a browser does, and returns where it is sent. */
async function follow(link) {
  const response = await fetch(link, { redirect: 'manual' });
  assert.equal(response.status, 302, await response.text());
  return new URL(response.headers.get('location'));
}

/** Follows a link that is refused, and checks that the place it leads to is told why. */
async function followRefused(link, place, error) {
  const { href, searchParams } = await follow(link);
  assert.equal(href.split('?')[0].replace(/\/$/, ''), place);
  assert.equal(searchParams.get('error'), error);
  assert.ok(searchParams.get('errorDescription').length > 0);
  for (const name of ['refreshToken', 'code', 'type']) assert.equal(searchParams.get(name), null);
}

/** Another code than one. */
const wrong = (code) => `${(Number(code[0]) + 1) % 10}${code.slice(1)}`;

for (const prefix of ['', '/v1']) {
  describe(`letters, ${prefix ? `with the API prefix ${prefix}` : 'without an API prefix'}`, () => {
    let server;
    before(async () => {
      server = await startServer({ ...letters, AUTH_API_PREFIX: prefix });
    });
    after(() => server?.stop());

    const client = () => clientOf(server);

    /** Signs a new or an old user in by a code. */
    const signInByCode = async (nhost, email) => {
      await isOK(nhost.auth.signInOTPEmail({ email }));
      const { ticket: otp } = await server.letter(email, 'signin-otp');
      const { body } = await nhost.auth.verifySignInOTPEmail({ email, otp });
      return body.session;
    };

    /** Signs a new user up with a password and follows the link in their letter. */
    const signUp = async (user = someone()) => {
      const nhost = client();
      await nhost.auth.signUpEmailPassword(user);
      const location = await follow((await server.letter(user.email, 'email-verify')).link);
      await nhost.auth.refreshToken({ refreshToken: location.searchParams.get('refreshToken') });
      return { ...user, nhost };
    };

    test('signInPasswordlessEmail sends a link that signs a new user up, and later in', async () => {
      const { email } = someone();
      const nhost = client();
      await isOK(nhost.auth.signInPasswordlessEmail({
        email,
        options: {
          allowedRoles: ['me'], defaultRole: 'me', displayName: 'Ada Lovelace', locale: 'fr', metadata: { born: 1815 },
          redirectTo: `${home}/in?tab=1`,
        },
      }));
      assert.equal(nhost.getUserSession(), null);
      const { link, locale } = await server.letter(email, 'signin-passwordless');
      assert.equal(locale, 'fr');
      assert.ok(link.startsWith(`${server.url}/verify?`), link);
      assert.equal(new URL(link).searchParams.get('type'), 'signinPasswordless');

      const location = await follow(link);
      assert.equal(location.origin + location.pathname, `${home}/in`);
      assert.deepEqual([...location.searchParams.keys()].sort(), ['refreshToken', 'tab', 'type']);
      assert.equal(location.searchParams.get('type'), 'passwordlessEmail');
      assert.match(location.searchParams.get('refreshToken'), uuid);
      const { body } = await nhost.auth.refreshToken({ refreshToken: location.searchParams.get('refreshToken') });
      assert.equal(body.user.email, email);
      assert.equal(body.user.emailVerified, true);
      assert.equal(body.user.displayName, 'Ada Lovelace');
      assert.deepEqual(body.user.roles, ['me']);
      assert.deepEqual(body.user.metadata, { born: 1815 });
      assert.equal(nhost.getUserSession().user.id, body.user.id);
      await followRefused(link, `${home}/in`, 'invalid-ticket'); // once

      await isOK(client().auth.signInPasswordlessEmail({ email, options: { displayName: 'Somebody else' } }));
      const again = await follow((await server.letter(email, 'signin-passwordless')).link);
      const { body: second } = await client().auth.refreshToken({ refreshToken: again.searchParams.get('refreshToken') });
      assert.equal(second.user.id, body.user.id);
      assert.equal(second.user.displayName, 'Ada Lovelace');
    });

    test('signInPasswordlessEmail refuses what it must', async () => {
      const { email } = someone();
      const { auth } = client();
      await fails(auth.signInPasswordlessEmail({ email: 'not an address' }), 400, 'invalid-request');
      await fails(auth.signInPasswordlessEmail({}), 400, 'invalid-request');
      await fails(auth.signInPasswordlessEmail({ email, extra: true }), 400, 'invalid-request');
      await fails(auth.signInPasswordlessEmail({ email, codeChallenge: 'x' }), 400, 'invalid-request');
      const option = (options) => auth.signInPasswordlessEmail({ email, options });
      await fails(option({ allowedRoles: ['admin'] }), 400, 'role-not-allowed');
      await fails(option({ defaultRole: 'admin' }), 400, 'default-role-must-be-in-allowed-roles');
      await fails(option({ redirectTo: 'https://elsewhere.example' }), 400, 'redirectTo-not-allowed');
      await fails(option({ displayName: 'x'.repeat(33) }), 400, 'invalid-request');
      await fails(option({ metadata: 'no object' }), 400, 'invalid-request');
    });

    test('a later link voids the one before, and a link whose place was changed to another is good still', async () => {
      const { email } = someone();
      const { auth } = client();
      await isOK(auth.signInPasswordlessEmail({ email }));
      const first = (await server.letter(email, 'signin-passwordless')).link;
      await isOK(auth.signInPasswordlessEmail({ email }));
      const second = new URL((await server.letter(email, 'signin-passwordless')).link);
      await followRefused(first, home, 'invalid-ticket');
      const place = second.searchParams.get('redirectTo');
      second.searchParams.set('redirectTo', 'https://elsewhere.example/?error=none');
      await followRefused(second, home, 'redirectTo-not-allowed');
      second.searchParams.set('redirectTo', place);
      assert.match((await follow(second)).searchParams.get('refreshToken'), uuid);
    });

    test('verifyTicketURL is the link that any letter has', async () => {
      const { email } = someone();
      const { auth } = client();
      await isOK(auth.signInPasswordlessEmail({ email, options: { redirectTo: `${home}/in?a=1&b=é` } }));
      const { link, ticket } = await server.letter(email, 'signin-passwordless');
      const { redirectTo, type } = Object.fromEntries(new URL(link).searchParams);
      const url = auth.verifyTicketURL({ ticket, redirectTo, type });
      assert.deepEqual(
        Object.fromEntries(new URL(url).searchParams), Object.fromEntries(new URL(link).searchParams),
      );
      await followRefused(auth.verifyTicketURL({ ticket: 'passwordlessEmail:x', redirectTo }), `${home}/in`, 'invalid-ticket');
      assert.match((await follow(url)).searchParams.get('refreshToken'), uuid);

      for (const params of [undefined, { ticket }, { redirectTo }, { ticket, redirectTo, type: 'passwordlessEmail' }]) {
        const response = await fetch(auth.verifyTicketURL(params), { redirect: 'manual' });
        assert.equal(response.status, 400);
        assert.equal((await response.json()).error, 'invalid-request');
      }
    });

    test('signInOTPEmail sends a code, and verifySignInOTPEmail signs in with it', async () => {
      const { email } = someone();
      const nhost = client();
      await isOK(nhost.auth.signInOTPEmail({ email, options: { displayName: 'Ada', locale: 'fr' } }));
      const { link, ticket: otp, locale } = await server.letter(email, 'signin-otp');
      assert.equal(link, '');
      assert.equal(locale, 'fr');
      assert.match(otp, /^[0-9]{6}$/);
      const { body } = await nhost.auth.verifySignInOTPEmail({ email, otp });
      assert.deepEqual(Object.keys(body), ['session']);
      assert.equal(body.session.user.email, email);
      assert.equal(body.session.user.emailVerified, true);
      assert.equal(body.session.user.displayName, 'Ada');
      assert.equal(nhost.getUserSession().refreshToken, body.session.refreshToken);
      await fails(nhost.auth.verifySignInOTPEmail({ email, otp }), 401, 'invalid-ticket'); // once
      assert.equal((await signInByCode(client(), email)).user.id, body.session.user.id);
    });

    test('signInOTPEmail refuses what it must', async () => {
      const { email } = someone();
      const { auth } = client();
      await fails(auth.signInOTPEmail({ email: 'not an address' }), 400, 'invalid-request');
      await fails(auth.signInOTPEmail({ email, options: { allowedRoles: ['admin'] } }), 400, 'role-not-allowed');
      await fails(
        auth.signInOTPEmail({ email, options: { defaultRole: 'admin' } }), 400, 'default-role-must-be-in-allowed-roles',
      );
      await fails(
        auth.signInOTPEmail({ email, options: { redirectTo: 'https://elsewhere.example' } }), 400, 'redirectTo-not-allowed',
      );
    });

    test('verifySignInOTPEmail takes five guesses', async () => {
      const { email } = someone();
      const { auth } = client();
      await isOK(auth.signInOTPEmail({ email }));
      const { ticket: otp } = await server.letter(email, 'signin-otp');
      await fails(auth.verifySignInOTPEmail({ email, otp: Number(otp) }), 400, 'invalid-request');
      await fails(auth.verifySignInOTPEmail({ email }), 400, 'invalid-request');
      await fails(auth.verifySignInOTPEmail({ email: 'not an address', otp }), 400, 'invalid-request');
      for (let guess = 0; guess < 5; guess++) {
        await fails(auth.verifySignInOTPEmail({ email, otp: wrong(otp) }), 401, 'invalid-ticket');
      }
      await fails(auth.verifySignInOTPEmail({ email, otp }), 401, 'invalid-ticket');
      await fails(auth.verifySignInOTPEmail({ email: someone().email, otp }), 401, 'invalid-ticket');
      await signInByCode(client(), email); // another code has tries of its own
    });

    test('sendVerificationEmail sends another link, which voids the one before', async () => {
      const user = someone();
      const nhost = client();
      await nhost.auth.signUpEmailPassword(user);
      const first = (await server.letter(user.email, 'email-verify')).link;
      await isOK(nhost.auth.sendVerificationEmail({ email: user.email, options: { redirectTo: `${home}/welcome` } }));
      const second = (await server.letter(user.email, 'email-verify')).link;
      await followRefused(first, home, 'invalid-ticket');
      const location = await follow(second);
      assert.equal(location.origin + location.pathname, `${home}/welcome`);
      assert.equal(location.searchParams.get('type'), 'verifyEmail');
      const { body } = await nhost.auth.refreshToken({ refreshToken: location.searchParams.get('refreshToken') });
      assert.equal(body.user.emailVerified, true);
      assert.equal((await nhost.auth.signInEmailPassword(user)).body.session.user.id, body.user.id);

      await fails(nhost.auth.sendVerificationEmail({ email: user.email }), 400, 'email-already-verified');
    });

    test('sendVerificationEmail refuses what it must', async () => {
      const { email } = someone();
      const { auth } = client();
      await fails(auth.sendVerificationEmail({ email }), 401, 'invalid-email-password');
      await fails(auth.sendVerificationEmail({ email: 'not an address' }), 400, 'invalid-request');
      await fails(auth.sendVerificationEmail({ email, options: { locale: 'fr' } }), 400, 'invalid-request');
      await fails(
        auth.sendVerificationEmail({ email, options: { redirectTo: 'https://elsewhere.example' } }), 400, 'redirectTo-not-allowed',
      );
    });

    test('sendPasswordResetEmail sends a link whose ticket changeUserPassword takes', async () => {
      const { nhost, ...user } = await signUp();
      const other = client();
      await other.auth.signInEmailPassword(user);
      await isOK(nhost.auth.sendPasswordResetEmail({ email: user.email, options: { redirectTo: `${home}/reset` } }));
      const { link, ticket } = await server.letter(user.email, 'password-reset');
      assert.equal(new URL(link).searchParams.get('type'), 'passwordReset');
      assert.match(ticket, /^passwordReset:/);

      const page = client(); // nobody is signed in there
      await fails(page.auth.changeUserPassword({ newPassword: 'short', ticket }), 400, 'password-too-short');
      await fails(page.auth.changeUserPassword({ newPassword: 'password123', ticket }), 400, 'password-in-hibp-database');
      await fails(page.auth.changeUserPassword({ newPassword, ticket: '' }), 400, 'invalid-request');
      await fails(page.auth.changeUserPassword({ newPassword, ticket: 'passwordReset:x' }), 401, 'invalid-ticket');
      await isOK(page.auth.changeUserPassword({ newPassword, ticket }));
      assert.equal(page.getUserSession(), null);
      await fails(page.auth.changeUserPassword({ newPassword, ticket }), 401, 'invalid-ticket'); // once
      await followRefused(link, `${home}/reset`, 'invalid-ticket');
      await server.letter(user.email, 'password-changed');

      await fails(page.auth.signInEmailPassword(user), 401, 'invalid-email-password');
      await page.auth.signInEmailPassword({ ...user, password: newPassword });
      for (const ended of [nhost, other]) {
        const { refreshToken } = ended.getUserSession();
        await fails(ended.auth.refreshToken({ refreshToken }), 401, 'invalid-refresh-token');
      }
    });

    test('the link to reset a password signs in, and changeUserPassword then needs no ticket', async () => {
      const { nhost: old, ...user } = await signUp();
      const nhost = client();
      await isOK(nhost.auth.sendPasswordResetEmail({ email: user.email }));
      const location = await follow((await server.letter(user.email, 'password-reset')).link);
      assert.equal(location.searchParams.get('type'), 'passwordReset');
      await nhost.auth.refreshToken({ refreshToken: location.searchParams.get('refreshToken') });
      await isOK(nhost.auth.changeUserPassword({ newPassword }));
      assert.ok(await nhost.refreshSession(0), 'the own session stays');
      await fails(
        old.auth.refreshToken({ refreshToken: old.getUserSession().refreshToken }), 401, 'invalid-refresh-token',
      );
      await client().auth.signInEmailPassword({ ...user, password: newPassword });
    });

    test('sendPasswordResetEmail answers alike for everybody, and refuses what it must', async () => {
      const { email } = someone();
      const { auth } = client();
      await isOK(auth.sendPasswordResetEmail({ email }));
      await fails(auth.sendPasswordResetEmail({ email: 'not an address' }), 400, 'invalid-request');
      await fails(auth.sendPasswordResetEmail({ email, options: { metadata: {} } }), 400, 'invalid-request');
      await fails(
        auth.sendPasswordResetEmail({ email, options: { redirectTo: 'https://elsewhere.example' } }), 400, 'redirectTo-not-allowed',
      );
    });

    test('changeUserPassword changes that of who is signed in', async () => {
      const { nhost, ...user } = await signUp();
      await fails(nhost.auth.changeUserPassword({ newPassword: 'short' }), 400, 'password-too-short');
      await fails(nhost.auth.changeUserPassword({}), 400, 'invalid-request');
      await fails(
        nhost.auth.changeUserPassword({ newPassword, currentPassword: 'not the passphrase' }), 401, 'invalid-email-password',
      );
      await isOK(nhost.auth.changeUserPassword({ newPassword, currentPassword: user.password }));
      assert.ok(await nhost.refreshSession(0));
      await fails(client().auth.signInEmailPassword(user), 401, 'invalid-email-password');
      await client().auth.signInEmailPassword({ ...user, password: newPassword });

      await fails(client().auth.changeUserPassword({ newPassword }), 401, 'unauthenticated-user');
      const anonymous = client();
      await anonymous.auth.signInAnonymous();
      await fails(anonymous.auth.changeUserPassword({ newPassword }), 403, 'forbidden-anonymous');
    });

    test('changeUserEmail sends a link that changes the address and signs nobody in', async () => {
      const { nhost, ...user } = await signUp();
      const { email: newEmail } = someone();
      // The client may send a challenge. Following the link brings nothing that it could protect.
      const { challenge: codeChallenge } = await generatePKCEPair();
      await isOK(nhost.auth.changeUserEmail({ newEmail, options: { redirectTo: `${home}/me` }, codeChallenge }));
      assert.equal((await nhost.auth.getUser()).body.email, user.email);
      await server.letter(user.email, 'email-change-requested');
      const { link } = await server.letter(newEmail, 'email-confirm-change');
      assert.equal(new URL(link).searchParams.get('type'), 'emailConfirmChange');
      const location = await follow(link);
      assert.equal(location.href, `${home}/me?type=emailConfirmChange`);
      const { body } = await nhost.auth.getUser();
      assert.equal(body.email, newEmail);
      assert.equal(body.emailVerified, true);
      await server.letter(user.email, 'email-changed');
      await client().auth.signInEmailPassword({ ...user, email: newEmail });
      await fails(client().auth.signInEmailPassword(user), 401, 'invalid-email-password');
      await followRefused(link, `${home}/me`, 'invalid-ticket');
    });

    test('changeUserEmail refuses what it must', async () => {
      const { nhost, email } = await signUp();
      const { email: taken } = await signUp();
      const { email: newEmail } = someone();
      await fails(nhost.auth.changeUserEmail({ newEmail: taken }), 409, 'email-already-in-use');
      await fails(nhost.auth.changeUserEmail({ newEmail: email.toUpperCase() }), 400, 'invalid-request');
      await fails(nhost.auth.changeUserEmail({ newEmail: 'not an address' }), 400, 'invalid-request');
      await fails(nhost.auth.changeUserEmail({}), 400, 'invalid-request');
      await fails(
        nhost.auth.changeUserEmail({ newEmail, options: { redirectTo: 'https://elsewhere.example' } }), 400, 'redirectTo-not-allowed',
      );
      await fails(client().auth.changeUserEmail({ newEmail }), 401, 'unauthenticated-user');
      const anonymous = client();
      await anonymous.auth.signInAnonymous();
      await fails(anonymous.auth.changeUserEmail({ newEmail }), 403, 'forbidden-anonymous');
    });

    test('of two who want one address the first to follow their link has it', async () => {
      const [ada, eve] = [await signUp(), await signUp()];
      const { email: newEmail } = someone();
      await isOK(ada.nhost.auth.changeUserEmail({ newEmail }));
      const { link: hers } = await server.letter(newEmail, 'email-confirm-change');
      await isOK(eve.nhost.auth.changeUserEmail({ newEmail }));
      const { link: other } = await server.letter(newEmail, 'email-confirm-change');
      await follow(hers);
      await followRefused(other, home, 'email-already-in-use');
      assert.equal((await ada.nhost.auth.getUser()).body.email, newEmail);
      assert.equal((await eve.nhost.auth.getUser()).body.email, eve.email);
    });

    for (const [signInMethod, template, kind, more] of [
      ['passwordless', 'signin-passwordless', 'passwordlessEmail', {}],
      ['email-password', 'email-verify', 'verifyEmail', { password: newPassword }],
    ]) {
      test(`deanonymizeUser by ${signInMethod} keeps the user and ends the anonymous session`, async () => {
        const { email } = someone();
        const nhost = client();
        const { body: guest } = await nhost.auth.signInAnonymous({ metadata: { cart: 1 } });
        const before = nhost.getUserSession();
        await isOK(nhost.auth.deanonymizeUser({
          signInMethod, email, ...more,
          options: { displayName: 'Ada', allowedRoles: ['user', 'me'], defaultRole: 'me', redirectTo: `${home}/in` },
        }));
        await fails(nhost.auth.refreshToken({ refreshToken: before.refreshToken }), 401, 'invalid-refresh-token');
        await fails(nhost.auth.deanonymizeUser({ signInMethod, email, ...more }), 401, 'unauthenticated-user');

        const location = await follow((await server.letter(email, template)).link);
        assert.equal(location.origin + location.pathname, `${home}/in`);
        assert.equal(location.searchParams.get('type'), kind);
        const { body } = await nhost.auth.refreshToken({ refreshToken: location.searchParams.get('refreshToken') });
        assert.equal(body.user.id, guest.session.user.id);
        assert.equal(body.user.isAnonymous, false);
        assert.equal(body.user.email, email);
        assert.equal(body.user.displayName, 'Ada');
        assert.equal(body.user.defaultRole, 'me');
        assert.deepEqual(body.user.metadata, { cart: 1 });
        await fails(
          nhost.auth.deanonymizeUser({ signInMethod, email: someone().email, ...more }), 400, 'user-not-anonymous',
        );
      });
    }

    test('deanonymizeUser refuses what it must, and the user stays anonymous', async () => {
      const { email: taken } = await signUp();
      const { email } = someone();
      const nhost = client();
      await nhost.auth.signInAnonymous();
      const good = { signInMethod: 'email-password', email, password: newPassword };
      const { auth } = nhost;
      await fails(auth.deanonymizeUser({ ...good, password: undefined }), 400, 'invalid-request');
      await fails(auth.deanonymizeUser({ ...good, password: 'short' }), 400, 'password-too-short');
      await fails(auth.deanonymizeUser({ ...good, password: 'password123' }), 400, 'password-in-hibp-database');
      await fails(auth.deanonymizeUser({ ...good, signInMethod: 'webauthn' }), 400, 'invalid-request');
      await fails(auth.deanonymizeUser({ ...good, email: 'not an address' }), 400, 'invalid-request');
      await fails(auth.deanonymizeUser({ ...good, email: taken }), 409, 'email-already-in-use');
      await fails(auth.deanonymizeUser({ ...good, options: { allowedRoles: ['admin'] } }), 400, 'role-not-allowed');
      await fails(
        auth.deanonymizeUser({ ...good, options: { defaultRole: 'admin' } }), 400, 'default-role-must-be-in-allowed-roles',
      );
      await fails(
        auth.deanonymizeUser({ ...good, options: { redirectTo: 'https://elsewhere.example' } }), 400, 'redirectTo-not-allowed',
      );
      await fails(client().auth.deanonymizeUser(good), 401, 'unauthenticated-user');
      assert.ok(await nhost.refreshSession(0));
      assert.equal((await auth.getUser()).body.isAnonymous, true);
    });

    test('with a code challenge a link brings a code, which tokenExchange trades for the session', async () => {
      // What each method that takes a challenge is called with, and the letter that it brings.
      const asks = {
        signUpEmailPassword: ['email-verify', 'verifyEmail', (nhost, { email, password }, codeChallenge) =>
          nhost.auth.signUpEmailPassword({ email, password, codeChallenge })],
        signInPasswordlessEmail: ['signin-passwordless', 'passwordlessEmail', (nhost, { email }, codeChallenge) =>
          nhost.auth.signInPasswordlessEmail({ email, codeChallenge })],
        sendVerificationEmail: ['email-verify', 'verifyEmail', async (nhost, user, codeChallenge) => {
          await nhost.auth.signUpEmailPassword(user);
          await server.letter(user.email, 'email-verify');
          return nhost.auth.sendVerificationEmail({ email: user.email, codeChallenge });
        }],
        sendPasswordResetEmail: ['password-reset', 'passwordReset', async (nhost, user, codeChallenge) => {
          await signUp(user);
          return nhost.auth.sendPasswordResetEmail({ email: user.email, codeChallenge });
        }],
        deanonymizeUser: ['signin-passwordless', 'passwordlessEmail', async (nhost, { email }, codeChallenge) => {
          await nhost.auth.signInAnonymous();
          return nhost.auth.deanonymizeUser({ signInMethod: 'passwordless', email, codeChallenge });
        }],
      };
      for (const [method, [template, kind, ask]] of Object.entries(asks)) {
        const user = someone();
        const nhost = client();
        const { verifier, challenge } = await generatePKCEPair();
        assert.equal(createHash('sha256').update(verifier).digest('base64url'), challenge);
        await ask(nhost, user, challenge);
        const location = await follow((await server.letter(user.email, template)).link);
        assert.deepEqual([...location.searchParams.keys()].sort(), ['code', 'type'], method);
        assert.equal(location.searchParams.get('type'), kind);
        const code = location.searchParams.get('code');

        const { body } = await nhost.auth.tokenExchange({ code, codeVerifier: verifier });
        assert.equal(body.session.user.email, user.email, method);
        assert.equal(body.session.user.emailVerified, true);
        assert.equal(nhost.getUserSession().refreshToken, body.session.refreshToken);
        await fails(nhost.auth.tokenExchange({ code, codeVerifier: verifier }), 400, 'invalid-request'); // once
      }
    });

    test('tokenExchange refuses what it must, and a code has one try', async () => {
      const { email } = someone();
      const { auth } = client();
      const [{ verifier, challenge }, other] = [await generatePKCEPair(), await generatePKCEPair()];
      await isOK(auth.signInPasswordlessEmail({ email, codeChallenge: challenge }));
      const { searchParams } = await follow((await server.letter(email, 'signin-passwordless')).link);
      const code = searchParams.get('code');
      await fails(auth.tokenExchange({ code }), 400, 'invalid-request');
      await fails(auth.tokenExchange({ code: 'code:x', codeVerifier: verifier }), 400, 'invalid-request');
      await fails(auth.tokenExchange({ code, codeVerifier: other.verifier }), 400, 'invalid-request');
      await fails(auth.tokenExchange({ code, codeVerifier: verifier }), 400, 'invalid-request');
    });
  });
}

describe('letters, with a password that needs no verification', () => {
  let server;
  before(async () => {
    server = await startServer({ ...letters, AUTH_EMAIL_SIGNIN_EMAIL_VERIFIED_REQUIRED: 'false' });
  });
  after(() => server?.stop());

  test('deanonymizeUser by email-password keeps the session', async () => {
    const user = someone();
    const nhost = clientOf(server);
    const { body: guest } = await nhost.auth.signInAnonymous();
    await isOK(nhost.auth.deanonymizeUser({ signInMethod: 'email-password', ...user }));
    const session = await nhost.refreshSession(0);
    assert.equal(session.user.id, guest.session.user.id);
    assert.equal(session.user.isAnonymous, false);
    assert.equal(session.user.email, user.email);
    await clientOf(server).auth.signInEmailPassword(user);
  });

  test('who proves the address by a letter is the only one left in', async () => {
    const user = someone();
    const mallory = clientOf(server);
    await mallory.auth.signUpEmailPassword(user);
    const owner = clientOf(server);
    await isOK(owner.auth.signInOTPEmail({ email: user.email }));
    const { ticket: otp } = await server.letter(user.email, 'signin-otp');
    await owner.auth.verifySignInOTPEmail({ email: user.email, otp });
    await fails(mallory.auth.signInEmailPassword(user), 401, 'invalid-email-password');
    const { refreshToken } = mallory.getUserSession();
    await fails(mallory.auth.refreshToken({ refreshToken }), 401, 'invalid-refresh-token');
  });
});

describe('letters, where new users are not wanted', () => {
  const refuses = async (environment, email, status, error) => {
    const server = await startServer({ ...letters, ...environment });
    try {
      const { auth } = clientOf(server);
      await fails(auth.signInPasswordlessEmail({ email }), status, error);
      await fails(auth.signInOTPEmail({ email: `x${email}` }), status, error);
    } finally {
      await server.stop();
    }
  };

  test('because sign-ups are off', () => refuses({ AUTH_DISABLE_SIGNUP: 'true' }, someone().email, 403, 'signup-disabled'));
  test('before somebody has looked at them', () =>
    refuses({ AUTH_DISABLE_NEW_USERS: 'true' }, someone().email, 401, 'disabled-user'));
  test('because of their address', () =>
    refuses({ AUTH_ACCESS_CONTROL_BLOCKED_EMAIL_DOMAINS: 'blocked.example' }, 'ada@blocked.example', 401, 'invalid-email-password'));
});

describe('letters, where errors are concealed', () => {
  let server;
  before(async () => {
    server = await startServer({
      ...letters, AUTH_CONCEAL_ERRORS: 'true', AUTH_DISABLE_SIGNUP: 'true',
      AUTH_ACCESS_CONTROL_BLOCKED_EMAIL_DOMAINS: 'blocked.example',
    });
  });
  after(() => server?.stop());

  test('whoever asks for one is told nothing', async () => {
    const { auth } = clientOf(server);
    for (const email of [someone().email, 'ada@blocked.example']) {
      await isOK(auth.signInPasswordlessEmail({ email }));
      await isOK(auth.signInOTPEmail({ email }));
      await isOK(auth.sendVerificationEmail({ email }));
      await isOK(auth.sendPasswordResetEmail({ email }));
      await fails(auth.verifySignInOTPEmail({ email, otp: '123456' }), 400, 'invalid-request');
    }
    await fails(auth.changeUserPassword({ newPassword, ticket: 'passwordReset:x' }), 400, 'invalid-request');
    await followRefused(auth.verifyTicketURL({ ticket: 'passwordReset:x', redirectTo: home }), home, 'invalid-request');
  });
});

describe('letters, where a step-up is required', () => {
  let server;
  before(async () => {
    server = await startServer({ ...letters, AUTH_WEBAUTHN_ENABLED: 'true', AUTH_REQUIRE_ELEVATED_CLAIM: 'required' });
  });
  after(() => server?.stop());

  test('who is signed in changes nothing without one, and a ticket needs none', async () => {
    const { email } = someone();
    const nhost = clientOf(server);
    await isOK(nhost.auth.signInOTPEmail({ email }));
    const { ticket: otp } = await server.letter(email, 'signin-otp');
    await nhost.auth.verifySignInOTPEmail({ email, otp });
    await fails(nhost.auth.changeUserEmail({ newEmail: someone().email }), 403, 'elevated-claim-required');
    await fails(nhost.auth.changeUserPassword({ newPassword }), 403, 'elevated-claim-required');
    await isOK(nhost.auth.sendPasswordResetEmail({ email }));
    const { ticket } = await server.letter(email, 'password-reset');
    await isOK(nhost.auth.changeUserPassword({ newPassword, ticket }));
  });
});

describe('without letters', () => {
  let server;
  before(async () => {
    server = await startServer();
  });
  after(() => server?.stop());

  test('each method says that they are disabled', async () => {
    const nhost = clientOf(server);
    const { email } = someone();
    await nhost.auth.signUpEmailPassword(someone());
    const { auth } = nhost;
    await fails(auth.signInPasswordlessEmail({ email }), 409, 'disabled-endpoint');
    await fails(auth.signInOTPEmail({ email }), 409, 'disabled-endpoint');
    await fails(auth.verifySignInOTPEmail({ email, otp: '123456' }), 409, 'disabled-endpoint');
    await fails(auth.sendVerificationEmail({ email }), 409, 'disabled-endpoint');
    await fails(auth.sendPasswordResetEmail({ email }), 409, 'disabled-endpoint');
    await fails(auth.changeUserEmail({ newEmail: email }), 409, 'disabled-endpoint');
    await followRefused(auth.verifyTicketURL({ ticket: 'passwordlessEmail:x', redirectTo: home }), home, 'disabled-endpoint');
    const anonymous = clientOf(server);
    await anonymous.auth.signInAnonymous();
    await fails(anonymous.auth.deanonymizeUser({ signInMethod: 'passwordless', email }), 409, 'disabled-endpoint');
  });
});
