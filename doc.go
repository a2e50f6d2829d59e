// Package auth is an authentication engine that a Go service imports.
//
// The service owns its process, its router, its database and its user interface. The [Engine] owns identity: users and
// their credentials, sessions, tokens. It works over any [store.Store], knows nothing of HTTP, and holds every rule
// itself, so that a caller who never touches the HTTP adapter is as safe as one who does.
//
//	engine, err := auth.New(memstore.New(), auth.Config{
//		ServerURL: "https://api.example.com/v1",
//		ClientURL: "https://example.com",
//		Secret:    secret, // at least 32 random bytes
//		Password:  &auth.PasswordConfig{},
//		Mail:      sender,
//	})
//
// A capability whose section of [Config] is nil is off. Package httpadapter mounts the documented routes on any
// http.ServeMux; package authtest gives a service's own tests an engine, a clock and a mailbox.
//
// # Signing in
//
// [Engine.SignUpPassword], [Engine.SignInPassword], [Engine.SignInAnonymous] and, for passkeys,
// [Engine.VerifySignUpWebAuthn] and [Engine.VerifySignInWebAuthn] return a [SignInResult]. The
// [Session] in it has an access token, a JWT for the service's APIs that [Engine.Authenticate] turns into a
// [Principal], and a refresh token that [Engine.Refresh] trades for the next of both. Services without an engine verify access
// tokens with package verify. Config.AccessTokens.Rotate has the keys that sign them replaced on a schedule.
//
// # Letters and text messages
//
// [Engine.SendMagicLink], [Engine.SendEmailOTP] and [Engine.SendSMSOTP] send a link or a code that signs its reader in, and
// up; [Engine.VerifyTicket], [Engine.VerifyEmailOTP] and [Engine.VerifySMSOTP] redeem it. The same links and codes verify an
// address, reset a password, change an address or a number, and turn an anonymous user into a regular one. A message is
// written with the change that it belongs to and delivered by [Engine.Run], which a service starts; see there.
//
// A user can have a second factor: [Engine.GenerateTOTP] and [Engine.SetMFA] give them one. A first factor then earns an
// [MFAChallenge] in place of a session, whatever it was, and [Engine.VerifyMFA] the session.
//
// # Identity providers
//
// With Config.Providers, [Engine.StartProvider] sends a browser to a provider, and [Engine.FinishProvider] takes it back: whose
// account that is, and whether, is decided there alone. With Config.IDTokens, [Engine.SignInIDToken] takes what an app got by
// itself. [Engine.LinkProvider] and [Engine.LinkIDToken] give a user who is signed in a further way in.
//
// # Stepping up
//
// What cannot be undone can demand that its user prove once more that they are there. [Engine.Elevate] and
// [Engine.VerifyElevation] lead to an access token that says so; the engine's own methods ask for it as
// Config.Elevation says, and a service's through [Engine.CheckElevation].
//
// # Limits and captchas
//
// Config.Limits is on unless it says otherwise: it bounds requests, letters, text messages, guesses and sign-ups, for each client that
// [WithClient] has named and for each account, and [ErrTooManyRequests] says when to come back. Package limit counts.
//
// With Config.Captcha, strangers need the answer to a captcha to sign up, and where else it says: [WithCaptcha] hands it in.
// Package captcha asks the well-known services.
//
// # Events
//
// Every step that an operator should know of is an [Event], from [EventUserCreated] to [EventMessageGivenUp]. When it has been
// done, its event goes to Config.Events, and to other servers by Config.Webhooks, signed; package webhook receives them. With
// Config.Audit events also become the audit trail, rows that nobody can alter unseen: see [AuditConfig], [Engine.AuditTrail]
// and [Engine.VerifyAuditTrail].
//
// # Watching
//
// Config.Observer sees calls, and [Engine.Outbox] says whether messages leave. The module github.com/ostiary/auth/otelauth makes
// traces and metrics of these and of events.
//
// # Errors
//
// Every error is an [*Error] whose code is the documented one: match with errors.Is(err, auth.ErrInvalidTicket). What
// caused it is for the operator's log and never for the client.
package auth
