// Package httpadapter serves an [auth.Engine] over HTTP: the routes of the documented API on any router of the service's,
// and middleware for the service's own routes.
//
//	h, err := httpadapter.New(engine, httpadapter.Options{})
//	…
//	mux := http.NewServeMux()
//	h.Mount(mux, "/v1")                                  // POST /v1/signup/email-password, …
//	mux.Handle("GET /notes", h.RequireUser(listNotes))   // the service's own
//	mux.Handle("DELETE /notes", h.RequireRole("editor")(deleteNotes))
//	mux.Handle("POST /notes/share", h.RequireElevation(5*time.Minute)(shareNotes))
//
// A [Handler] is an [http.Handler] whose routes begin at the root, so other routers mount it as they mount any: with
// chi, r.Handle("/v1/*", http.StripPrefix("/v1", h)).
//
// Browsers look for /.well-known/webauthn at the root of the host that is the relying party id, and nowhere else. Where
// passkeys are used on pages of several domains (see [auth.WebAuthnConfig]) and the routes have a prefix, it must be served
// there too:
//
//	mux.Handle("/.well-known/webauthn", h)
//
// The adapter decodes requests and encodes answers. It holds no rule: who may do what is for the engine to decide, and
// holds for callers that never see HTTP. GET /openapi.yaml describes every route, request and response.
//
// # Requests
//
// A body is one JSON object with Content-Type application/json. Member names match exactly; unknown and repeated ones
// are refused, and so are compressed bodies and those over [Options.MaxBody]. A member that is null counts as absent.
//
// A bearer token comes in one Authorization header, and nowhere else: never in the query or a form.
//
// The answer to a captcha, of whichever service, comes in one header x-cf-turnstile-response; see [auth.CaptchaConfig].
//
// # Failures
//
// Every failure, whichever layer finds it, has one body:
//
//	{"status":401,"error":"invalid-email-password","message":"Incorrect email or password"}
//
// where error is an [auth.Code]. A path that is not exactly that of a route (a trailing slash, an empty or encoded
// segment) gets 404 and never a redirect. Every 401 and every 403 elevated-claim-required has a WWW-Authenticate challenge
// (RFC 6750 §3, RFC 9470 §3), every 405 an Allow header, every 429 a Retry-After in seconds.
//
// # Responses
//
// All responses say nosniff, no-referrer and, by their content security policy, that nobody may frame them, and all but the key set, the related origins and openapi.yaml say no-store.
package httpadapter
