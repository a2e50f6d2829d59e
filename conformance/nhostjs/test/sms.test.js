// Signing in by text message, on the whole client with its middleware. The text messages are those that the server writes
// into its log.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createClient } from '@nhost/nhost-js';
import { FetchError } from '@nhost/nhost-js/fetch';
import { MemoryStorage } from '@nhost/nhost-js/session';
import { someNumber, startServer } from '../server.js';

const sms = { AUTH_SMS_PASSWORDLESS_ENABLED: 'true', AUTH_SMS_PROVIDER: 'dev' };

const clientOf = (server) => createClient({ authUrl: server.url, storage: new MemoryStorage() });

/** Checks that a call fails as documented: status, code, and a message in the one body of all failures. */
async function fails(call, status, error) {
  let failure;
  await assert.rejects(call, (e) => {
    assert.ok(e instanceof FetchError, `${e} is no FetchError`);
    assert.equal(e.body?.error, error);
    assert.equal(e.status, status);
    assert.deepEqual(Object.keys(e.body).sort(), ['error', 'message', 'status']);
    assert.equal(e.body.status, status);
    assert.ok(e.message.length > 0);
    assert.equal(e.message, e.body.message);
    assert.equal(e.headers.get('cache-control'), 'no-store');
    failure = e;
    return true;
  });
  return failure;
}

/** Checks that a call answers that it is done, and no more. */
async function isOK(call) {
  const { status, body } = await call;
  assert.equal(status, 200);
  assert.equal(body, 'OK');
}

/** Another code than one. */
const wrong = (code) => `${(Number(code[0]) + 1) % 10}${code.slice(1)}`;

for (const prefix of ['', '/v1']) {
  describe(`text messages, ${prefix ? `with the API prefix ${prefix}` : 'without an API prefix'}`, () => {
    let server;
    before(async () => {
      server = await startServer({ ...sms, AUTH_API_PREFIX: prefix });
    });
    after(() => server?.stop());

    const client = () => clientOf(server);

    /** Signs a new or an old user in. */
    const signIn = async (nhost, phoneNumber, options = undefined) => {
      await isOK(nhost.auth.signInPasswordlessSms({ phoneNumber, ...(options && { options }) }));
      const { code: otp } = await server.textMessage(phoneNumber);
      const { status, body } = await nhost.auth.verifySignInPasswordlessSms({ phoneNumber, otp });
      assert.equal(status, 200);
      assert.deepEqual(Object.keys(body), ['session']);
      return body.session;
    };

    test('signInPasswordlessSms sends a code that signs a new user up, and later in', async () => {
      const phoneNumber = someNumber();
      const nhost = client();
      const session = await signIn(nhost, phoneNumber, {
        allowedRoles: ['me'], defaultRole: 'me', displayName: 'Ada Lovelace', locale: 'fr', metadata: { born: 1815 },
        redirectTo: 'http://localhost:3000/in',
      });
      assert.equal(session.user.phoneNumber, phoneNumber);
      assert.equal(session.user.phoneNumberVerified, true);
      assert.equal(session.user.displayName, 'Ada Lovelace');
      assert.equal(session.user.locale, 'fr');
      assert.equal(session.user.isAnonymous, false);
      assert.deepEqual(session.user.roles, ['me']);
      assert.deepEqual(session.user.metadata, { born: 1815 });
      assert.equal(nhost.getUserSession().refreshToken, session.refreshToken);
      assert.equal((await nhost.auth.getUser()).body.id, session.user.id);
      assert.equal((await nhost.refreshSession(0)).user.id, session.user.id);

      const again = await signIn(client(), phoneNumber, { displayName: 'Somebody else' });
      assert.equal(again.user.id, session.user.id);
      assert.equal(again.user.displayName, 'Ada Lovelace');
    });

    test('the text message has the code, in the language of the user', async () => {
      const phoneNumber = someNumber();
      await isOK(client().auth.signInPasswordlessSms({ phoneNumber, options: { locale: 'fr' } }));
      const { code, locale, text } = await server.textMessage(phoneNumber);
      assert.match(code, /^[0-9]{6}$/);
      assert.equal(locale, 'fr');
      assert.ok(text.includes(code), text);
    });

    test('a number has one spelling', async () => {
      const phoneNumber = someNumber();
      const { user } = await signIn(client(), phoneNumber);
      const spelt = `${phoneNumber.slice(0, 3)} (${phoneNumber.slice(3, 5)}) ${phoneNumber.slice(5, 8)}-${phoneNumber.slice(8)}`;
      const { auth } = client();
      await isOK(auth.signInPasswordlessSms({ phoneNumber: spelt }));
      const { code: otp } = await server.textMessage(phoneNumber);
      const { body } = await auth.verifySignInPasswordlessSms({ phoneNumber: spelt, otp });
      assert.equal(body.session.user.id, user.id);
    });

    test('signInPasswordlessSms refuses what it must', async () => {
      const phoneNumber = someNumber();
      const { auth } = client();
      await fails(auth.signInPasswordlessSms({}), 400, 'invalid-request');
      await fails(auth.signInPasswordlessSms({ phoneNumber: 'call me' }), 400, 'invalid-request');
      await fails(auth.signInPasswordlessSms({ phoneNumber: '0791234567' }), 400, 'invalid-request');
      await fails(auth.signInPasswordlessSms({ phoneNumber, extra: true }), 400, 'invalid-request');
      const option = (options) => auth.signInPasswordlessSms({ phoneNumber, options });
      await fails(option({ allowedRoles: ['admin'] }), 400, 'role-not-allowed');
      await fails(option({ defaultRole: 'admin' }), 400, 'default-role-must-be-in-allowed-roles');
      await fails(option({ redirectTo: 'https://elsewhere.example' }), 400, 'redirectTo-not-allowed');
    });

    test('verifySignInPasswordlessSms refuses what it must, and a code is good once', async () => {
      const phoneNumber = someNumber();
      const nhost = client();
      const { auth } = nhost;
      await isOK(auth.signInPasswordlessSms({ phoneNumber }));
      const { code: otp } = await server.textMessage(phoneNumber);
      await fails(auth.verifySignInPasswordlessSms({ phoneNumber }), 400, 'invalid-request');
      await fails(auth.verifySignInPasswordlessSms({ phoneNumber, otp: 'x' }), 400, 'invalid-request');
      await fails(auth.verifySignInPasswordlessSms({ phoneNumber, otp: wrong(otp) }), 400, 'invalid-request');
      await fails(auth.verifySignInPasswordlessSms({ phoneNumber: someNumber(), otp }), 400, 'invalid-request');
      assert.equal(nhost.getUserSession(), null);
      await auth.verifySignInPasswordlessSms({ phoneNumber, otp });
      await fails(auth.verifySignInPasswordlessSms({ phoneNumber, otp }), 400, 'invalid-request');
      assert.ok(nhost.getUserSession()); // a failure takes nothing away
    });

    test('a few wrong codes void the right one, and a new one replaces it', async () => {
      const phoneNumber = someNumber();
      const { auth } = client();
      await isOK(auth.signInPasswordlessSms({ phoneNumber }));
      const { code: otp } = await server.textMessage(phoneNumber);
      for (let i = 0; i < 5; i++) {
        await fails(auth.verifySignInPasswordlessSms({ phoneNumber, otp: wrong(otp) }), 400, 'invalid-request');
      }
      await fails(auth.verifySignInPasswordlessSms({ phoneNumber, otp }), 400, 'invalid-request');
      await signIn(client(), phoneNumber);
    });

    test('a number gets only so many text messages, and the client is told when to come back', async () => {
      const phoneNumber = someNumber();
      const { auth } = client();
      for (let i = 0; i < 5; i++) await isOK(auth.signInPasswordlessSms({ phoneNumber }));
      const { headers } = await fails(auth.signInPasswordlessSms({ phoneNumber }), 429, 'too-many-requests');
      assert.match(headers.get('retry-after'), /^[1-9][0-9]*$/);
      await isOK(auth.signInPasswordlessSms({ phoneNumber: someNumber() }));
    });

    test('a number has only so many guesses, however many codes are sent', async () => {
      const phoneNumber = someNumber();
      const { auth } = client();
      for (let i = 0; i < 10; i++) {
        await fails(auth.verifySignInPasswordlessSms({ phoneNumber, otp: '000000' }), 400, 'invalid-request');
      }
      await isOK(auth.signInPasswordlessSms({ phoneNumber }));
      const { code: otp } = await server.textMessage(phoneNumber);
      const { headers } = await fails(auth.verifySignInPasswordlessSms({ phoneNumber, otp }), 429, 'too-many-requests');
      assert.match(headers.get('retry-after'), /^[1-9][0-9]*$/);
    });
  });
}

describe('text messages without limits', () => {
  let server;
  before(async () => {
    server = await startServer({ ...sms, AUTH_RATE_LIMIT_ENABLE: 'false' });
  });
  after(() => server?.stop());

  test('a number gets as many as are asked for', async () => {
    const phoneNumber = someNumber();
    const { auth } = clientOf(server);
    for (let i = 0; i < 20; i++) {
      await isOK(auth.signInPasswordlessSms({ phoneNumber }));
      await fails(auth.verifySignInPasswordlessSms({ phoneNumber, otp: 'x' }), 400, 'invalid-request');
    }
  });
});

describe('text messages to one country', () => {
  let server;
  before(async () => {
    server = await startServer({ ...sms, AUTH_SMS_DEFAULT_COUNTRY: 'CH', AUTH_SMS_COUNTRIES: 'CH' });
  });
  after(() => server?.stop());

  test('a number may be written as it is dialled there, and others are refused', async () => {
    const { auth } = clientOf(server);
    await isOK(auth.signInPasswordlessSms({ phoneNumber: '079 123 45 67' }));
    const { code: otp } = await server.textMessage('+41791234567');
    const { body } = await auth.verifySignInPasswordlessSms({ phoneNumber: '0791234567', otp });
    assert.equal(body.session.user.phoneNumber, '+41791234567');
    await fails(auth.signInPasswordlessSms({ phoneNumber: '+33612345678' }), 400, 'invalid-request');
  });
});

describe('text messages, where new users are not wanted', () => {
  const refuses = async (environment, status, error) => {
    const server = await startServer({ ...sms, ...environment });
    try {
      await fails(clientOf(server).auth.signInPasswordlessSms({ phoneNumber: someNumber() }), status, error);
    } finally {
      await server.stop();
    }
  };

  test('because sign-ups are off', () => refuses({ AUTH_DISABLE_SIGNUP: 'true' }, 403, 'signup-disabled'));
  test('before somebody has looked at them', () => refuses({ AUTH_DISABLE_NEW_USERS: 'true' }, 401, 'disabled-user'));
});

describe('text messages, where errors are concealed', () => {
  let server;
  before(async () => {
    server = await startServer({ ...sms, AUTH_CONCEAL_ERRORS: 'true', AUTH_DISABLE_SIGNUP: 'true' });
  });
  after(() => server?.stop());

  test('whoever asks for one is told nothing', async () => {
    const { auth } = clientOf(server);
    const phoneNumber = someNumber();
    await isOK(auth.signInPasswordlessSms({ phoneNumber }));
    await fails(auth.verifySignInPasswordlessSms({ phoneNumber, otp: '123456' }), 400, 'invalid-request');
  });
});

describe('without text messages', () => {
  let server;
  before(async () => {
    server = await startServer();
  });
  after(() => server?.stop());

  test('each method says that they are disabled', async () => {
    const { auth } = clientOf(server);
    const phoneNumber = someNumber();
    await fails(auth.signInPasswordlessSms({ phoneNumber }), 409, 'disabled-endpoint');
    await fails(auth.verifySignInPasswordlessSms({ phoneNumber, otp: '123456' }), 409, 'disabled-endpoint');
  });
});
