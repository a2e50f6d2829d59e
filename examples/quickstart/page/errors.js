// What to tell a person for each code that the API can answer with.

const texts = {
  __proto__: null,
  'cannot-send-sms': 'No text message could be sent to that number. Is it right?',
  'captcha-failed': 'The check that you are a person has failed. Please try again.',
  'default-role-must-be-in-allowed-roles': 'The default role must be one of the roles asked for.',
  'disabled-endpoint': 'This way of signing in is switched off on this server.',
  'disabled-mfa-totp': 'This account has no second factor.',
  'disabled-user': 'This account has been disabled.',
  'elevated-claim-required': 'Please confirm that it is you.',
  'email-already-in-use': 'There is an account with this address already. Sign in instead?',
  'email-already-verified': 'This address has been verified already.',
  'forbidden-anonymous': 'Guests cannot do this. Create an account first.',
  'internal-server-error': 'Something went wrong on the server. Please try again.',
  'invalid-email-password': 'The address or the password is wrong.',
  'invalid-otp': 'This code is wrong or has expired.',
  'invalid-pat': 'This personal access token is wrong or has expired.',
  'invalid-refresh-token': 'Your session has ended. Please sign in again.',
  'invalid-state': 'This sign-in was begun elsewhere or too long ago. Please begin again.',
  'invalid-ticket': 'This link or code is wrong, was used before, or has expired.',
  'invalid-totp': 'This code is wrong, or was used before: each is good once. Please wait for the next one. Is the clock of your device right?',
  'locale-not-allowed': 'This language is not available.',
  'method-not-allowed': 'The server does not take this kind of request.',
  'mfa-type-not-found': 'The server does not know this kind of second factor.',
  'no-totp-secret': 'No authenticator app has been set up for this account.',
  'oauth-profile-fetch-failed': 'The provider would not say who you are. Please try again.',
  'oauth-provider-error': 'The provider reported an error. Please try again.',
  'oauth-token-echange-failed': 'The provider did not accept the sign-in. Please try again.',
  'password-in-hibp-database': 'Attackers try this password first. Please choose another.',
  'password-too-short': 'This password is too short: at least 8 characters, please.',
  'provider-account-already-linked': 'This account at the provider is linked already, to yours or to that of another user.',
  'redirectTo-not-allowed': 'Letters cannot lead back to this address. Please open the page at the one that the server printed when it started.',
  'role-not-allowed': 'This role is not available.',
  'route-not-found': 'This does not exist, or no longer.',
  'signup-disabled': 'This server takes no new users.',
  'too-many-requests': 'Too many attempts. Please wait a moment and try again.',
  'totp-already-active': 'A second factor is on already.',
  'unauthenticated-user': 'Please sign in again.',
  'unverified-user': 'Please verify your address first: follow the link in the letter that we sent.',
  'user-not-anonymous': 'You have an account already.',

  // What the API calls an invalid request, where this page knows the reason:
  'no-step-up': 'This has to be confirmed with a passkey that can tell that it is you, by a PIN or a fingerprint, or with an authenticator app, and you have none yet. Please add one first.',
  'not-confirmed': 'Nothing was done: no code was given.',
  'asked-elsewhere': 'This link was asked for in another browser, or by somebody else. Please sign in here, or ask for a link of your own.',
  'current-password-wrong': 'The current password is wrong.',
  'current-password-needed': 'You signed in a while ago. Please give your current password, or sign out and in again.',
  'last-way-in': 'This is the only way into your account. Please add a passkey, or link another account, first.',
  'sign-in-needed': 'You signed in a while ago. Please sign out and in again, and then do this.',
  'sign-in-expired': 'This took too long, or there were too many wrong codes. Please sign in once more.',
  'provider-cancelled': 'Nothing was done: it was cancelled at the provider.',
  'passkey-refused': 'The server did not accept this passkey. It may have been removed from the account, or not have checked that it is you.',

  network: 'The server cannot be reached. Is it running?',
};

// Why a browser made or used no passkey: the names of DOMExceptions. For the most part it does not say more, because
// a page must not find out which passkeys somebody has.
const refusals = {
  AbortError: 'Something else was begun in the meantime. Please try again.',
  ConstraintError: 'This device cannot check that it is you, with a PIN or a fingerprint for example.',
  InvalidStateError: 'This device or key has a passkey for this account already.',
  NotAllowedError: 'Nothing was done: it was cancelled, or took too long, or none of your passkeys would do.',
  NotSupportedError: 'This device cannot make a passkey of a kind that the server takes.',
  SecurityError: 'Passkeys do not work at this address. Please open the page at the one that the server printed when it started.',
};

// describe says what an error means. For a request that was malformed, only the server knows what was wrong with it.
export function describe(error) {
  if (error instanceof DOMException) return refusals[error.name] ?? `The browser reports: ${error.message}`;
  if (error.code === 'invalid-request') return `The server could not use this: ${error.message}.`;
  return texts[error.code] ?? (error.code ? `The server says: ${error.message}` : error.message);
}
