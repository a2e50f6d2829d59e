package httpadapter

import (
	"context"
	"net/http"
	"path"
	"slices"
	"strings"
)

// route is one line of the API. Its handler returns an error instead of writing one.
type route struct {
	method, path string
	serve        func(*Handler, http.ResponseWriter, *http.Request) error
}

// routes is the API. GET stands for HEAD as well, unless HEAD has a line of its own.
var routes = []route{
	{"POST", "/signup/email-password", (*Handler).signUpPassword},
	{"POST", "/signup/webauthn", (*Handler).signUpWebAuthn},
	{"POST", "/signup/webauthn/verify", (*Handler).verifySignUpWebAuthn},
	{"POST", "/signin/email-password", (*Handler).signInPassword},
	{"POST", "/signin/webauthn", (*Handler).signInWebAuthn},
	{"POST", "/signin/webauthn/verify", (*Handler).verifySignInWebAuthn},
	{"POST", "/signin/anonymous", (*Handler).signInAnonymous},
	{"POST", "/signin/passwordless/email", (*Handler).sendMagicLink},
	{"POST", "/signin/passwordless/sms", (*Handler).sendSMSOTP},
	{"POST", "/signin/passwordless/sms/otp", (*Handler).verifySMSOTP},
	{"POST", "/signin/otp/email", (*Handler).sendEmailOTP},
	{"POST", "/signin/otp/email/verify", (*Handler).verifyEmailOTP},
	{"POST", "/signin/mfa/totp", (*Handler).verifyMFATOTP},
	{"POST", "/signin/mfa/recovery", (*Handler).verifyMFARecovery},
	{"POST", "/signin/pat", (*Handler).signInPAT},
	{"POST", "/signin/idtoken", (*Handler).signInIDToken},
	{"GET", "/signin/provider/{provider}", (*Handler).startProvider},
	{"HEAD", "/signin/provider/{provider}", (*Handler).previewTicket},
	{"GET", "/signin/provider/{provider}/callback", (*Handler).finishProvider},
	{"HEAD", "/signin/provider/{provider}/callback", (*Handler).previewTicket},
	{"POST", "/signin/provider/{provider}/callback", (*Handler).finishPostedProvider},
	{"GET", "/signin/provider/{provider}/callback/tokens", (*Handler).providerTokens},
	{"HEAD", "/signin/provider/{provider}/callback/tokens", (*Handler).previewTicket},

	{"POST", "/link/idtoken", (*Handler).linkIDToken},
	{"POST", "/link/provider/{provider}", (*Handler).linkProvider},

	{"POST", "/token", (*Handler).refresh},
	{"POST", "/token/verify", (*Handler).verifyToken},
	{"POST", "/token/exchange", (*Handler).exchangeCode},
	{"POST", "/token/provider/{provider}", (*Handler).refreshProviderTokens},
	{"POST", "/signout", (*Handler).signOut},

	{"GET", "/user", (*Handler).user},
	{"DELETE", "/user", (*Handler).deleteUser},
	{"GET", "/user/export", (*Handler).exportUser},
	{"GET", "/user/sessions", (*Handler).listSessions},
	{"DELETE", "/user/sessions/{id}", (*Handler).revokeSession},
	{"GET", "/user/identities", (*Handler).listIdentities},
	{"DELETE", "/user/identities/{provider}", (*Handler).unlink},
	{"POST", "/user/provider/tokens", (*Handler).refreshKeptProviderTokens},

	{"POST", "/user/deanonymize", (*Handler).deanonymize},
	{"POST", "/user/deanonymize/sms", (*Handler).deanonymizeBySMS},
	{"POST", "/user/deanonymize/sms/verify", (*Handler).verifyDeanonymize},
	{"POST", "/user/phone-number/change", (*Handler).changePhone},
	{"POST", "/user/phone-number/change/verify", (*Handler).verifyChangePhone},
	{"POST", "/user/email/change", (*Handler).changeEmail},
	{"POST", "/user/email/send-verification-email", (*Handler).sendVerificationEmail},
	{"POST", "/user/password", (*Handler).changePassword},
	{"POST", "/user/password/reset", (*Handler).sendPasswordReset},

	{"POST", "/user/webauthn/add", (*Handler).addSecurityKey},
	{"POST", "/user/webauthn/verify", (*Handler).verifyAddSecurityKey},
	{"GET", "/user/webauthn/keys", (*Handler).listSecurityKeys},
	{"PATCH", "/user/webauthn/keys/{id}", (*Handler).renameSecurityKey},
	{"DELETE", "/user/webauthn/keys/{id}", (*Handler).removeSecurityKey},

	{"GET", "/mfa", (*Handler).mfa},
	{"HEAD", "/mfa/totp/generate", (*Handler).previewTicket},
	{"GET", "/mfa/totp/generate", (*Handler).generateTOTP},
	{"POST", "/mfa/totp/generate", (*Handler).replaceTOTP},
	{"POST", "/mfa/recovery-codes", (*Handler).generateRecoveryCodes},
	{"POST", "/user/mfa", (*Handler).setMFA},

	{"POST", "/pat", (*Handler).createPAT},
	{"GET", "/pat", (*Handler).listPATs},
	{"DELETE", "/pat/{id}", (*Handler).revokePAT},

	{"GET", "/elevate", (*Handler).elevationMethods},
	{"POST", "/elevate/totp", (*Handler).elevateTOTP},
	{"POST", "/elevate/otp/email", (*Handler).sendElevationEmailOTP},
	{"POST", "/elevate/otp/email/verify", (*Handler).elevateEmailOTP},
	{"POST", "/elevate/otp/sms", (*Handler).sendElevationSMSOTP},
	{"POST", "/elevate/otp/sms/verify", (*Handler).elevateSMSOTP},
	{"POST", "/elevate/password", (*Handler).elevatePassword},
	{"POST", "/elevate/webauthn", (*Handler).elevateWebAuthn},
	{"POST", "/elevate/webauthn/verify", (*Handler).verifyElevateWebAuthn},

	{"GET", "/verify", (*Handler).verifyTicket},
	{"HEAD", "/verify", (*Handler).previewTicket},
	{"POST", "/verify", (*Handler).verifyPostedTicket},

	{"GET", "/.well-known/jwks.json", (*Handler).keySet},
	{"GET", "/.well-known/webauthn", (*Handler).relatedOrigins},
	{"GET", "/version", (*Handler).version},
	{"GET", "/healthz", (*Handler).health},
	{"GET", "/openapi.yaml", (*Handler).openAPI},
}

// allowed lists the methods of a path.
func allowed(routePath string) []string {
	var methods []string
	for _, rt := range routes {
		if rt.path != routePath {
			continue
		}
		methods = append(methods, rt.method)
		if rt.method == "GET" {
			methods = append(methods, "HEAD")
		}
	}
	slices.Sort(methods)
	return slices.Compact(methods)
}

// router serves the routes below a prefix.
func (h *Handler) router(prefix string) http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, serve func(http.ResponseWriter, *http.Request) error) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := serve(w, r); err != nil {
				h.fail(w, r, err)
			}
		})
	}
	seen := map[string]bool{}
	for _, rt := range routes {
		handle(rt.method+" "+prefix+rt.path, func(w http.ResponseWriter, r *http.Request) error { return rt.serve(h, w, r) })
		if seen[rt.path] {
			continue
		}
		seen[rt.path] = true
		allow := strings.Join(allowed(rt.path), ", ")
		handle(prefix+rt.path, func(w http.ResponseWriter, _ *http.Request) error {
			w.Header().Set("Allow", allow)
			return errMethodNotAllowed
		})
	}
	handle("/", func(http.ResponseWriter, *http.Request) error { return errRouteNotFound })

	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setHeaders(w.Header())
		local := strings.TrimPrefix(r.URL.Path, prefix)
		ctx, cancel := context.WithTimeout(h.withClient(r), h.timeout)
		defer cancel()
		decision, limited := h.engine.Admit(ctx)
		setRateLimit(w.Header(), decision)
		if h.cors.preflight(w, r, strings.HasPrefix(local, "/link/provider/")) {
			return
		}
		r = r.WithContext(ctx)
		h.attempt(w, r, func() error {
			if limited != nil {
				return limited
			}
			if err := h.cookies.check(r); err != nil && !isProviderForm(r.Method, local) {
				return err
			}
			if r.URL.RawPath != "" || !isPlain(r.URL.Path) {
				return errRouteNotFound // ServeMux would redirect, or take one spelling for another
			}
			mux.ServeHTTP(w, r)
			return nil
		})
	})
}

// isProviderForm reports whether a request is the form of a provider's page: see [Handler.finishPostedProvider].
func isProviderForm(method, local string) bool {
	matched, err := path.Match("/signin/provider/*/callback", local)
	return method == http.MethodPost && matched && err == nil
}

// isPlain reports whether p is an absolute path in its one spelling: without empty and dot segments and without a slash
// at its end.
func isPlain(p string) bool { return strings.HasPrefix(p, "/") && path.Clean(p) == p }
