// Package ceremony parses and verifies what browsers and authenticators answer in the two ceremonies of WebAuthn: the
// registration of a new credential (WebAuthn L3 §7.1) and an assertion made with a known one (§7.2). It knows neither users
// nor policy nor storage: what to expect comes in as an [Expectation], what was found goes out as a [Credential] or a [Use].
//
// The cryptography, the attestation formats and most of the steps are those of github.com/go-webauthn/webauthn. This package
// adds what that library leaves to its caller, and does the parsing itself, so that there is one reading of an answer: the
// bytes that were checked here are the values that are verified there.
//
// # Registration, §7.1
//
//	create the options, call the client                     engine
//	parse the answer                                        here: strict JSON, strict base64url, bounded sizes
//	decode and parse clientDataJSON                         here: strict JSON; a byte order mark is refused, not skipped
//	type is webauthn.create                                 library
//	challenge is the one issued                             engine: it looks Challenge() up; here: 32 bytes, one spelling
//	origin is expected                                      here: byte for byte; the library compares once more, leniently
//	crossOrigin, topOrigin are expected                     here: byte for byte, see Config.TopOrigins
//	hash of the clientDataJSON received                     library
//	decode the attestation object                           here: exactly fmt, authData, attStmt; library: authenticator data
//	rpIdHash                                                library
//	UP is set                                               library; conditional creation, which may lack it, is not offered
//	UV is set if required                                   library
//	BS only with BE                                         library
//	BE and BS suit the policy                               engine: Credential.BackupEligible, .BackupState
//	algorithm was offered                                   here and library
//	the key is one of that algorithm                        here: type, curve, point, size, no other members
//	extension outputs                                       here: see below; library: form of the authenticator's
//	attestation format is known                             here and library
//	attestation statement is valid                          library, if Config.KeepAttestation or a self attestation;
//	                                                        here: size and form, always
//	trust anchors, trustworthiness                          library with Config.Metadata, otherwise not assessed
//	credential id has at most 1023 bytes                    here and library
//	id, rawId and attested credential id are equal          here and library
//	credential id is not registered yet                     engine: unique in the store
//	store the credential record                             engine
//
// # Assertion, §7.2
//
//	create the options, call the client                     engine
//	parse the answer                                        here, as above
//	id is among allowCredentials                            engine
//	the user owns the credential, userHandle agrees         engine: look-up by CredentialID(); library: userHandle, if there
//	                                                        is one, equals Expectation.UserHandle
//	userHandle is there if no user was known                engine: UserHandle()
//	decode and parse clientDataJSON                         here, as above
//	type is webauthn.get                                    library
//	challenge, origin, crossOrigin, topOrigin               as above
//	rpIdHash                                                library; appid never changes it
//	UP is set, UV is set if required                        library
//	BS only with BE                                         library
//	BE is that of the credential record                     library
//	BE and BS suit the policy                               engine
//	extension outputs                                       as above
//	hash of the clientDataJSON received                     library
//	signature, with the algorithm of the stored key         library; ECDSA signatures in DER only
//	signature counter                                       here: Use.SignCount, Use.Rollback; what follows is the engine's
//	attestation in an assertion                             ignored
//	status of the authenticator model (FIDO MDS)            library with Config.Metadata, see there
//	update the credential record                            engine: Use
//
// # Extensions
//
// Client extension outputs are not signed, and nothing here depends on one. Clients send some unasked (password managers are
// known for credProps) and some in forms of their own: they are ignored, all of them. That includes appid, an output of which
// would otherwise change which rpIdHash is expected.
//
// Authenticator extension outputs are signed. They must be one CBOR map, and be there exactly if the flag ED says so. Those
// that were not requested are ignored (authenticators send credProtect because browsers ask for it on their own).
package ceremony
