// The client as docs/clients.md shows it.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createClient } from '@nhost/nhost-js';
import { someone, startServer } from '../server.js';

let server;
before(async () => {
  server = await startServer({ AUTH_API_PREFIX: '/v1' });
});
after(() => server?.stop());

test('the client of the guide signs up, and calls with its token', async () => {
  const authUrl = server.url;
  const { email, password } = someone();

  const nhost = createClient({ authUrl });
  const { body } = await nhost.auth.signUpEmailPassword({ email, password });

  assert.equal(body.session.user.email, email);
  assert.equal((await nhost.auth.getUser()).body.id, body.session.user.id);
});
