// Package otelauth shows what an engine does to OpenTelemetry: a span for each call of the engine and of its store, and
// metrics. It uses the API of OpenTelemetry alone; which SDK and which exporter there are is the service's to say.
//
//	telemetry, err := otelauth.New(otelauth.Options{DBSystem: "postgresql"})
//	…
//	engine, err := telemetry.NewEngine(db, config) // in place of auth.New
//
// # Spans
//
// A method of the engine is a span of kind internal, named after it: "auth.SignInPassword". A call of the store is a span
// of kind client below it, "auth.store.ChangeUser", and what the driver of the database or a hook of the service begins with
// the context that they get is below that.
//
// A span has the status Error where something is broken: the store failed, a time ran out, the method panicked. A wrong
// password breaks nothing, and is an outcome.
//
// # Attributes
//
//	auth.operation       the method of the engine: "Refresh"
//	auth.outcome         "ok"; the code of an error, as "invalid-refresh-token"; "canceled" where the caller left; "other"
//	                     for a code that only a hook of the service knows
//	db.operation.name    the method of the store: "RotateSession". Its outcome is "ok", "not-found", "mismatch", "conflict",
//	                     "unmet" (a condition of the change), "refused" (by the hook UserCreated), "canceled" or "error"
//	error.type           with the status Error alone: "timeout", "panic" or "_OTHER"
//	auth.sign_in.method  the first factor: "password", "webauthn", "provider:github"
//	auth.limit.bucket    the name of a budget: "emails-address"
//	auth.event.type      the type of an [auth.Event]
//	auth.outbox.state    "due", "waiting" or "dead"
//	auth.realm           Options.Realm
//	db.system.name       Options.DBSystem; of spans and metrics of the store
//
// All of them come from small closed sets. Neither a span nor a metric has an id, an address of any kind, a secret, or the
// text of an error, which may quote a row: who signed in is for [auth.EventSink], and why the store failed for
// [auth.Config].Logger.
//
// # Metrics
//
//	auth.operation.duration     histogram, s         auth.operation, auth.outcome, error.type
//	auth.store.duration         histogram, s         db.operation.name, auth.outcome, error.type, db.system.name
//	auth.password.wait          histogram, s         auth.outcome
//	auth.sign_ins               counter, {sign_in}   auth.sign_in.method, auth.outcome
//	auth.refreshes              counter, {refresh}   auth.outcome
//	auth.refresh_token.reuses   counter, {reuse}
//	auth.limit.hits             counter, {hit}       auth.limit.bucket
//	auth.events                 counter, {event}     auth.event.type
//	auth.outbox.messages        gauge, {message}     auth.outbox.state
//	auth.outbox.delay           gauge, s
//
// Of sign-ins those count that came to be judged. One that asks for a second factor counts with the outcome
// "second-factor-asked", and again when that has been given. What is refused before, as a body that is no request, is in
// auth.operation.duration. With Config.ConcealErrors that has the codes that callers get, and auth.sign_ins the true ones.
package otelauth
