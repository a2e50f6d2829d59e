// Signing in with identity providers, and what they say in tokens.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createClient } from '@nhost/nhost-js';
import { createAPIClient, generatePKCEPair } from '@nhost/nhost-js/auth';
import { FetchError } from '@nhost/nhost-js/fetch';
import { MemoryStorage } from '@nhost/nhost-js/session';
import { Browser, startProvider } from '../provider.js';
import { someone, startServer } from '../server.js';

const code = (status, error) => (e) => e instanceof FetchError && e.status === status && e.body.error === error;
const bearer = (session) => ({ headers: { Authorization: `Bearer ${session.accessToken}` } });
const asked = (url) => Object.fromEntries(new URL(url).searchParams);
const welcome = 'http://localhost:3000/welcome';

let provider;
before(async () => {
  provider = await startProvider();
});
after(() => provider?.stop());

for (const prefix of ['', '/v1']) {
  describe(`signing in with a provider, ${prefix ? `with the API prefix ${prefix}` : 'without an API prefix'}`, () => {
    let server;
    let app;
    before(async () => {
      // github is played by what GitHub has, google by OpenID Connect, and workos takes wishes.
      const played = (name, profile) => ({
        [`AUTH_PROVIDER_${name}_ENABLED`]: 'true',
        [`AUTH_PROVIDER_${name}_CLIENT_ID`]: `${name}${prefix}`,
        [`AUTH_PROVIDER_${name}_CLIENT_SECRET`]: 'a secret of the tests',
        [`AUTH_PROVIDER_${name}_AUTHORIZATION_URL`]: `${provider.url}/authorize`,
        [`AUTH_PROVIDER_${name}_TOKEN_URL`]: `${provider.url}/token`,
        [`AUTH_PROVIDER_${name}_USER_PROFILE_URL`]: `${provider.url}${profile}`,
      });
      server = await startServer({
        AUTH_API_PREFIX: prefix,
        AUTH_MAIL_LOG: 'true',
        AUTH_EMAIL_SIGNIN_EMAIL_VERIFIED_REQUIRED: 'true',
        AUTH_USER_DEFAULT_ALLOWED_ROLES: 'user,me,editor',
        ...played('GITHUB', '/user'),
        ...played('GOOGLE', '/userinfo'),
        ...played('WORKOS', '/sso/profile'),
        AUTH_PROVIDER_GOOGLE_AUDIENCE: `app${prefix}`,
        AUTH_PROVIDER_GOOGLE_ISSUER: provider.url,
        AUTH_PROVIDER_GOOGLE_JWKS_URL: `${provider.url}/jwks`,
      });
      for (const name of ['github', 'google', 'workos']) {
        await provider.client({
          ID: `${name.toUpperCase()}${prefix}`, Secret: 'a secret of the tests', RedirectURIs: [`${server.url}/signin/provider/${name}/callback`],
        });
      }
      app = await provider.client({ ID: `app${prefix}`, Public: true, RedirectURIs: ['http://localhost/app'] });
    });
    after(() => server?.stop());

    const client = () => createClient({ authUrl: server.url, storage: new MemoryStorage() });

    let count = 0;
    /** Makes an account at the provider that no other test has. */
    const account = (more = {}) => {
      const { email } = someone();
      return provider.account({ Subject: String(1_000_000 * (prefix.length + 1) + ++count), Name: 'Ada Lovelace', Email: email, EmailVerified: true, ...more });
    };

    /** Signs in by a visit. @returns the session, and who it is of */
    const enter = async (who, name = 'github', nhost = client()) => {
      const to = await new Browser().visit(nhost.auth.signInProviderURL(name), who);
      const { body } = await nhost.auth.refreshToken({ refreshToken: to.searchParams.get('refreshToken') });
      return body;
    };

    test('signInProviderURL leads to the provider and back with a refresh token', async () => {
      const nhost = client();
      const browser = new Browser();
      const who = await account();
      const to = await browser.visit(nhost.auth.signInProviderURL('github'), who);
      assert.equal(to.origin + to.pathname, 'http://localhost:3000/');
      assert.deepEqual(Object.keys(asked(to)), ['refreshToken']);
      assert.equal(browser.cookies, 0, 'the cookie of the visit stays');

      const { body: session } = await nhost.auth.refreshToken({ refreshToken: asked(to).refreshToken });
      assert.equal(session.user.email, who.Email);
      assert.equal(session.user.emailVerified, true);
      assert.equal(session.user.displayName, 'Ada Lovelace');
      assert.equal(nhost.getUserSession().user.id, session.user.id);
      assert.equal((await nhost.auth.getUser()).body.id, session.user.id);

      assert.equal((await enter(who)).user.id, session.user.id, 'who comes again is somebody else');
    });

    test('signInProviderURL takes every option', async () => {
      const nhost = client();
      const options = {
        allowedRoles: ['user', 'editor'],
        defaultRole: 'editor',
        displayName: 'The Countess',
        locale: 'fr',
        metadata: { plan: 'pro', 'likes & dislikes': ['ä', { deep: true }] },
        redirectTo: `${welcome}?from=provider`,
        state: 'opaque & ours=ä',
      };
      const to = await new Browser().visit(nhost.auth.signInProviderURL('github', options), await account());
      assert.equal(to.origin + to.pathname, welcome);
      const { refreshToken, ...others } = asked(to);
      assert.deepEqual(others, { from: 'provider', state: options.state });
      const { user } = (await nhost.auth.refreshToken({ refreshToken })).body;
      assert.deepEqual([...user.roles].sort(), ['editor', 'user']);
      assert.equal(user.defaultRole, 'editor');
      assert.equal(user.displayName, 'The Countess');
      assert.equal(user.locale, 'fr');
      assert.deepEqual(user.metadata, options.metadata);
    });

    test('options that are not allowed do not lead to the provider', async () => {
      const auth = createAPIClient(server.url);
      const { to } = await new Browser().open(auth.signInProviderURL('github', { allowedRoles: ['admin'], redirectTo: welcome, state: 'ours' }));
      assert.equal(to.origin + to.pathname, welcome);
      assert.equal(asked(to).error, 'role-not-allowed');
      assert.equal(asked(to).state, 'ours');
      const { status, body } = await new Browser().open(auth.signInProviderURL('github', { redirectTo: 'https://evil.example' }));
      assert.equal(status, 400);
      assert.equal(JSON.parse(body).error, 'redirectTo-not-allowed');
    });

    test('providerSpecificParams come to the provider that knows them', async () => {
      const auth = createAPIClient(server.url);
      const browser = new Browser();
      for (const providerSpecificParams of [{ organization: 'org_1' }, { connection: 'conn & 1' }]) {
        const { to } = await browser.open(auth.signInProviderURL('workos', { providerSpecificParams, state: 'ours' }));
        assert.ok(to.href.startsWith(`${provider.url}/authorize?`), to.href);
        const { organization, connection, state } = asked(to);
        assert.deepEqual({ organization, connection }, { organization: undefined, connection: undefined, ...providerSpecificParams });
        assert.notEqual(state, 'ours', 'the provider is told of the state of the client');
      }
      const { to } = await browser.open(auth.signInProviderURL('github', { providerSpecificParams: { organization: 'org_1' } }));
      assert.equal(asked(to).error, 'invalid-request');
    });

    test('a code challenge brings a code, which tokenExchange trades once', async () => {
      const nhost = client();
      const { verifier, challenge } = await generatePKCEPair();
      const other = await generatePKCEPair();
      const who = await account();
      const visit = () => new Browser().visit(nhost.auth.signInProviderURL('google', { codeChallenge: challenge, redirectTo: welcome }), who);
      const to = await visit();
      assert.deepEqual(Object.keys(asked(to)), ['code']);
      const { body } = await nhost.auth.tokenExchange({ code: asked(to).code, codeVerifier: verifier });
      assert.equal(body.session.user.email, who.Email);
      await assert.rejects(nhost.auth.tokenExchange({ code: asked(to).code, codeVerifier: verifier }), FetchError);
      await assert.rejects(nhost.auth.tokenExchange({ code: asked(await visit()).code, codeVerifier: other.verifier }), FetchError);
    });

    test('an address that the provider does not vouch for awaits the link in the letter', async () => {
      const nhost = client();
      const who = await account({ EmailVerified: false });
      const to = await new Browser().visit(nhost.auth.signInProviderURL('google', { redirectTo: welcome, state: 'ours' }), who);
      assert.equal(to.href, `${welcome}?state=ours`);
      const { link } = await server.letter(who.Email, 'email-verify');
      const verified = await new Browser().open(link);
      const { body } = await nhost.auth.refreshToken({ refreshToken: asked(verified.to).refreshToken });
      assert.equal(body.user.email, who.Email);
      assert.equal(body.user.emailVerified, true);
    });

    test('an account is linked with connect, and signs in from then on', async () => {
      const nhost = client();
      const [first, second] = [await account(), await account({ EmailVerified: false })];
      const session = await enter(first, 'github', nhost);
      const url = nhost.auth.signInProviderURL('google', { connect: session.accessToken, redirectTo: `${welcome}?kept=1`, state: 'ours' });
      assert.equal((await new Browser().visit(url, second)).href, `${welcome}?kept=1&state=ours`);
      assert.equal((await enter(second, 'google')).user.id, session.user.id);

      const stranger = await enter(await account());
      const to = await new Browser().visit(nhost.auth.signInProviderURL('google', { connect: stranger.accessToken, redirectTo: welcome }), second);
      assert.equal(asked(to).error, 'provider-account-already-linked');
      const refused = await new Browser().open(nhost.auth.signInProviderURL('google', { connect: 'no token', redirectTo: welcome }));
      assert.equal(asked(refused.to).error, 'invalid-request');
    });

    test('getProviderTokens hands out what the provider gave once, and refreshProviderToken renews it', async () => {
      const auth = createAPIClient(server.url);
      const session = await enter(await account(), 'google');
      const { body: tokens } = await auth.getProviderTokens('google', bearer(session));
      assert.deepEqual(Object.keys(tokens).sort(), ['accessToken', 'expiresAt', 'expiresIn', 'refreshToken']);
      assert.ok(tokens.expiresIn > 0 && Math.abs(Date.parse(tokens.expiresAt) - Date.now() - tokens.expiresIn * 1000) < 60_000, JSON.stringify(tokens));
      const opens = async ({ accessToken }) => {
        const response = await fetch(`${provider.url}/userinfo`, bearer({ accessToken }));
        return response.ok && (await response.json()).email === session.user.email;
      };
      assert.ok(await opens(tokens), 'the token is not good at the provider');
      await assert.rejects(auth.getProviderTokens('google', bearer(session)), code(400, 'invalid-request'));
      await assert.rejects(auth.getProviderTokens('github', bearer(session)), code(400, 'invalid-request'));
      await assert.rejects(auth.getProviderTokens('google'), code(401, 'unauthenticated-user'));

      const { body: next } = await auth.refreshProviderToken('google', { refreshToken: tokens.refreshToken }, bearer(session));
      assert.notEqual(next.accessToken, tokens.accessToken);
      assert.ok(await opens(next), 'the new token is not good at the provider');
      await assert.rejects(auth.refreshProviderToken('google', { refreshToken: 'another' }, bearer(session)), (e) => e.body.error === 'oauth-provider-error');
      await assert.rejects(auth.refreshProviderToken('google', { refreshToken: next.refreshToken }), code(401, 'unauthenticated-user'));
    });

    test('signInIdToken signs up and in', async () => {
      const nhost = client();
      const who = await account();
      const idToken = await provider.idToken(app, who);
      const { body } = await nhost.auth.signInIdToken({ provider: 'google', idToken, options: { locale: 'fr', metadata: { from: 'an app' } } });
      assert.equal(body.session.user.email, who.Email);
      assert.equal(body.session.user.locale, 'fr');
      assert.deepEqual(body.session.user.metadata, { from: 'an app' });
      assert.equal(nhost.getUserSession().user.id, body.session.user.id);
      assert.equal((await enter(who, 'google')).user.id, body.session.user.id, 'a visit of the same account is somebody else');
    });

    test('signInIdToken holds the nonce against the token', async () => {
      const auth = createAPIClient(server.url);
      const who = await account();
      const nonce = 'a nonce of the app';
      const hashed = Buffer.from(await crypto.subtle.digest('SHA-256', Buffer.from(nonce))).toString('hex');
      const idToken = () => provider.idToken(app, who, hashed);
      const { body } = await auth.signInIdToken({ provider: 'google', idToken: await idToken(), nonce });
      assert.equal(body.session.user.email, who.Email);
      await assert.rejects(auth.signInIdToken({ provider: 'google', idToken: await idToken(), nonce: 'another' }), code(400, 'invalid-request'));
      await assert.rejects(auth.signInIdToken({ provider: 'google', idToken: await idToken() }), code(400, 'invalid-request'));
    });

    test('signInIdToken refuses what is no token of the provider for the app', async () => {
      const auth = createAPIClient(server.url);
      const idToken = await provider.idToken(app, await account());
      const [header, claims, signature] = idToken.split('.');
      const forged = [header, Buffer.from(JSON.stringify({ ...JSON.parse(Buffer.from(claims, 'base64url')), sub: '1' })).toString('base64url'), signature].join('.');
      const elsewhere = await provider.client({ ID: `elsewhere${prefix}`, Public: true, RedirectURIs: ['http://localhost/elsewhere'] });
      for (const bad of ['no token', forged, await provider.idToken(elsewhere, await account())]) {
        await assert.rejects(auth.signInIdToken({ provider: 'google', idToken: bad }), code(400, 'invalid-request'));
      }
      await assert.rejects(auth.signInIdToken({ provider: 'apple', idToken }), code(409, 'disabled-endpoint'));
    });

    test('linkIdToken links an account, which is one user’s', async () => {
      const auth = createAPIClient(server.url);
      const [session, stranger] = [await enter(await account()), await enter(await account())];
      const who = await account({ EmailVerified: false });
      const idToken = () => provider.idToken(app, who);
      assert.equal((await auth.linkIdToken({ provider: 'google', idToken: await idToken() }, bearer(session))).body, 'OK');
      assert.equal((await enter(who, 'google')).user.id, session.user.id);
      const again = async (as) => auth.linkIdToken({ provider: 'google', idToken: await idToken() }, bearer(as));
      await assert.rejects(again(stranger), code(400, 'provider-account-already-linked'));
      await assert.rejects(again({ accessToken: 'no token' }), code(401, 'unauthenticated-user'));
    });

    test('a provider that is off, and one that there is not', async () => {
      const auth = createAPIClient(server.url);
      const { status, to } = await new Browser().open(auth.signInProviderURL('discord', { redirectTo: welcome, state: 'ours' }));
      assert.equal(status, 302);
      assert.equal(to.origin + to.pathname, welcome);
      assert.deepEqual(asked(to), { error: 'disabled-endpoint', errorDescription: 'This endpoint is disabled', state: 'ours' });
      assert.equal((await new Browser().open(auth.signInProviderURL('nobody'))).status, 400);
    });

    test('a provider that refuses is told of at the client', async () => {
      const auth = createAPIClient(server.url);
      const to = await new Browser().visit(auth.signInProviderURL('google', { redirectTo: welcome, state: 'ours' }));
      assert.equal(to.origin + to.pathname, welcome);
      const { provider_error_description: description, ...others } = asked(to);
      assert.ok(description.length > 0);
      assert.deepEqual(others, {
        error: 'oauth-provider-error', errorDescription: 'Provider returned an error', provider_error: 'access_denied', provider_error_url: '', state: 'ours',
      });
    });

    // OA-01
    test('a visit ends in the browser in which it began', async () => {
      const auth = createAPIClient(server.url);
      const [began, other] = [new Browser(), new Browser()];
      const { to: there } = await began.open(auth.signInProviderURL('github', { redirectTo: welcome, state: 'ours' }));
      const { to: callback } = await began.choose(there, await account());
      const refused = await other.open(callback);
      assert.equal(refused.to.origin + refused.to.pathname, 'http://localhost:3000/');
      assert.deepEqual(asked(refused.to), { error: 'invalid-state', errorDescription: 'Invalid state', provider_state: callback.searchParams.get('state') });
      const { refreshToken } = asked((await began.open(callback)).to);
      assert.ok(refreshToken, 'the browser in which it began comes to nothing');
    });
  });
}
