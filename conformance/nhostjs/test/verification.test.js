// Where addresses are verified, which is the default: a sign-up has no session until the link in the letter was followed.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createClient } from '@nhost/nhost-js';
import { FetchError } from '@nhost/nhost-js/fetch';
import { MemoryStorage } from '@nhost/nhost-js/session';
import { startAuthenticators } from '../authenticator.js';
import { someone, startServer } from '../server.js';

const code = (status, error) => (e) => e instanceof FetchError && e.status === status && e.body.error === error;

let authenticators;
before(async () => {
  authenticators = await startAuthenticators('http://localhost:3000');
});
after(() => authenticators?.stop());

for (const prefix of ['', '/v1']) {
  describe(`verifying an address, ${prefix ? `with the API prefix ${prefix}` : 'without an API prefix'}`, () => {
    let server;
    before(async () => {
      server = await startServer({
        AUTH_API_PREFIX: prefix,
        AUTH_EMAIL_SIGNIN_EMAIL_VERIFIED_REQUIRED: 'true',
        AUTH_MAIL_LOG: 'true',
        AUTH_WEBAUTHN_ENABLED: 'true',
      });
    });
    after(() => server?.stop());

    const client = () => createClient({ authUrl: server.url, storage: new MemoryStorage() });

    /** Waits for the letter to an address and returns the link in it. */
    const letter = async (to) => (await server.letter(to, 'email-verify')).link;

    test('a sign-up has an empty body and stores no session', async () => {
      const nhost = client();
      const { status, body } = await nhost.auth.signUpEmailPassword(someone());
      assert.equal(status, 200);
      assert.deepEqual(body, {});
      assert.equal(nhost.getUserSession(), null);
    });

    test('signing in is refused, and only who has the password is told why', async () => {
      const nhost = client();
      const user = someone();
      await nhost.auth.signUpEmailPassword(user);
      await assert.rejects(nhost.auth.signInEmailPassword(user), code(401, 'unverified-user'));
      await assert.rejects(
        nhost.auth.signInEmailPassword({ ...user, password: 'not the passphrase' }),
        code(401, 'invalid-email-password'),
      );
    });

    test('the link in the letter leads to the client with a token that refreshes', async () => {
      const nhost = client();
      const user = someone();
      await nhost.auth.signUpEmailPassword({ ...user, options: { redirectTo: 'http://localhost:3000/welcome' } });
      const link = await letter(user.email);
      assert.ok(link.startsWith(`${server.url}/verify?`), link);

      const response = await fetch(link, { redirect: 'manual' });
      assert.equal(response.status, 302);
      const location = new URL(response.headers.get('location'));
      assert.equal(location.origin + location.pathname, 'http://localhost:3000/welcome');
      assert.equal(location.searchParams.get('type'), 'verifyEmail');

      const { body: session } = await nhost.auth.refreshToken({ refreshToken: location.searchParams.get('refreshToken') });
      assert.equal(session.user.email, user.email);
      assert.equal(session.user.emailVerified, true);
      assert.equal(nhost.getUserSession().user.id, session.user.id);
      assert.equal((await nhost.auth.signInEmailPassword(user)).body.session.user.id, session.user.id);
    });

    test('verifyTicketURL is the link that the letter has', async () => {
      const nhost = client();
      const user = someone();
      await nhost.auth.signUpEmailPassword(user);
      const { searchParams } = new URL(await letter(user.email));
      const url = nhost.auth.verifyTicketURL({
        ticket: searchParams.get('ticket'),
        redirectTo: searchParams.get('redirectTo'),
        type: searchParams.get('type'),
      });
      const { status, headers } = await fetch(url, { redirect: 'manual' });
      assert.equal(status, 302);
      assert.equal(new URL(headers.get('location')).searchParams.get('error'), null);
    });

    test('a link works once', async () => {
      const nhost = client();
      const user = someone();
      await nhost.auth.signUpEmailPassword(user);
      const link = await letter(user.email);
      await fetch(link, { redirect: 'manual' });
      const { headers } = await fetch(link, { redirect: 'manual' });
      assert.equal(new URL(headers.get('location')).searchParams.get('error'), 'invalid-ticket');
    });

    test('a sign-up with a passkey has an empty body, and the passkey signs in once the link was followed', async () => {
      const nhost = client();
      const { email } = someone();
      const passkey = authenticators.plugIn();
      const signUp = await nhost.auth.signUpWebauthn({ email });
      const { body } = await nhost.auth.verifySignUpWebauthn({ credential: await passkey.create(signUp.body) });
      assert.deepEqual(body, {});
      assert.equal(nhost.getUserSession(), null);

      const signIn = async () => {
        const { body: options } = await nhost.auth.signInWebauthn();
        return nhost.auth.verifySignInWebauthn({ credential: await passkey.get(options) });
      };
      await assert.rejects(signIn(), code(401, 'unverified-user'));
      await fetch(await letter(email), { redirect: 'manual' });
      await signIn();
      assert.equal(nhost.getUserSession().user.emailVerified, true);
    });

    test('an anonymous user needs no address', async () => {
      const nhost = client();
      await nhost.auth.signInAnonymous();
      assert.ok(await nhost.refreshSession(0));
      assert.equal((await nhost.auth.getUser()).body.isAnonymous, true);
    });
  });
}
