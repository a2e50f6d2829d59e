// Passkeys with nothing but fetch and navigator.credentials, as docs/clients.md shows them. guide_test.go runs it.

const auth = '/v1'; // where the routes are: the path of ServerURL, or all of it from another origin

async function post(path, body, accessToken) {
  const headers = { 'Content-Type': 'application/json' };
  if (accessToken) headers.Authorization = `Bearer ${accessToken}`;
  const response = await fetch(auth + path, { method: 'POST', headers, body: JSON.stringify(body) });
  const answer = await response.json();
  if (!response.ok) throw Object.assign(new Error(answer.message), { code: answer.error, status: answer.status });
  return answer;
}

async function signUp(email) {
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(await post('/signup/webauthn', { email }));
  const credential = await navigator.credentials.create({ publicKey });
  return post('/signup/webauthn/verify', { credential: credential.toJSON() });
}

async function signIn() {
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(await post('/signin/webauthn', {}));
  const credential = await navigator.credentials.get({ publicKey });
  return post('/signin/webauthn/verify', { credential: credential.toJSON() });
}

async function stepUp(accessToken) {
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(await post('/elevate/webauthn', {}, accessToken));
  const credential = await navigator.credentials.get({ publicKey });
  return post('/elevate/webauthn/verify', { credential: credential.toJSON() }, accessToken);
}

// eraseNotes asks for what needs a step-up, and has the user step up if they have not.
async function eraseNotes(accessToken) {
  const erase = (token) => fetch('/note', { method: 'DELETE', headers: { Authorization: `Bearer ${token}` } });
  const refused = await erase(accessToken);
  if (refused.status !== 403 || (await refused.json()).error !== 'elevated-claim-required') return refused;
  const { session } = await stepUp(accessToken);
  return erase(session.accessToken); // keep the session in place of the one before: its refresh token is the next one
}
