package httpadapter_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/httpadapter"
	"github.com/ostiary/auth/store/memstore"
)

// bodies are requests with a body, each with a member that is text and a body that is good.
var bodies = []struct{ method, path, member, good string }{
	{"POST", "/signup/email-password", "email", credentials("new@example.com")},
	{"POST", "/signin/email-password", "email", credentials("ada@example.com")},
	{"POST", "/signin/anonymous", "displayName", `{"displayName":"A"}`},
	{"POST", "/token", "refreshToken", `{"refreshToken":"00000000-0000-4000-8000-000000000000"}`},
	{"POST", "/token/verify", "token", `{"token":"x"}`},
	{"POST", "/signout", "refreshToken", `{"refreshToken":"00000000-0000-4000-8000-000000000000"}`},
	{"POST", "/signin/passwordless/email", "email", `{"email":"ada@example.com"}`},
	{"POST", "/signin/otp/email", "email", `{"email":"ada@example.com"}`},
	{"POST", "/signin/otp/email/verify", "otp", `{"email":"ada@example.com","otp":"123456"}`},
	{"POST", "/user/deanonymize", "connection", `{"signInMethod":"passwordless","email":"new@example.com","connection":"x"}`},
	{"POST", "/signin/passwordless/sms", "phoneNumber", `{"phoneNumber":"+41791234567"}`},
	{"POST", "/signin/passwordless/sms/otp", "otp", `{"phoneNumber":"+41791234567","otp":"123456"}`},
	{"POST", "/user/deanonymize/sms", "phoneNumber", `{"phoneNumber":"+41791234567"}`},
	{"POST", "/user/deanonymize/sms/verify", "otp", `{"phoneNumber":"+41791234567","otp":"123456"}`},
	{"POST", "/user/phone-number/change", "newPhoneNumber", `{"newPhoneNumber":"+41791234567"}`},
	{"POST", "/user/phone-number/change/verify", "otp", `{"newPhoneNumber":"+41791234567","otp":"123456"}`},
	{"POST", "/user/email/change", "newEmail", `{"newEmail":"new@example.com"}`},
	{"POST", "/user/email/send-verification-email", "email", `{"email":"ada@example.com"}`},
	{"POST", "/user/password", "newPassword", `{"newPassword":"walnut-harbour-nine"}`},
	{"POST", "/user/password", "ticket", `{"newPassword":"walnut-harbour-nine","ticket":"passwordReset:x"}`},
	{"POST", "/user/password", "currentPassword", `{"newPassword":"walnut-harbour-nine","currentPassword":"x"}`},
	{"POST", "/user/password/reset", "email", `{"email":"ada@example.com"}`},
	{"POST", "/signup/webauthn", "email", `{"email":"new@example.com"}`},
	{"POST", "/signup/webauthn/verify", "nickname", `{"credential":{},"nickname":"x"}`},
	{"POST", "/signin/webauthn", "email", `{"email":"ada@example.com"}`},
	{"POST", "/signin/webauthn/verify", "email", `{"credential":{},"email":"ada@example.com"}`},
	{"POST", "/user/webauthn/add", "unknown", `{}`},
	{"POST", "/user/webauthn/verify", "nickname", `{"credential":{},"nickname":"x"}`},
	{"PATCH", "/user/webauthn/keys/2c35b6f3-c4b9-48e3-978a-d4d0f1d42e24", "nickname", `{"nickname":"x"}`},
	{"POST", "/signin/mfa/totp", "otp", `{"ticket":"mfaTotp:x","otp":"123456"}`},
	{"POST", "/signin/mfa/totp", "ticket", `{"ticket":"mfaTotp:x","otp":"123456"}`},
	{"POST", "/signin/mfa/recovery", "recoveryCode", `{"ticket":"mfaTotp:x","recoveryCode":"x"}`},
	{"POST", "/mfa/totp/generate", "code", `{"code":"123456"}`},
	{"POST", "/mfa/recovery-codes", "unknown", `{}`},
	{"POST", "/user/mfa", "code", `{"code":"123456","activeMfaType":"totp"}`},
	{"POST", "/user/mfa", "activeMfaType", `{"code":"123456","activeMfaType":"totp"}`},
	{"POST", "/user/mfa", "recoveryCode", `{"recoveryCode":"x"}`},
	{"POST", "/signin/idtoken", "idToken", `{"provider":"apple","idToken":"x"}`},
	{"POST", "/link/idtoken", "nonce", `{"provider":"apple","idToken":"x","nonce":"x"}`},
	{"POST", "/link/provider/apple", "redirectTo", `{"redirectTo":""}`},
	{"POST", "/token/provider/apple", "refreshToken", `{"refreshToken":"x"}`},
	{"POST", "/signin/pat", "personalAccessToken", `{"personalAccessToken":"00000000-0000-4000-8000-000000000000"}`},
	{"POST", "/pat", "expiresAt", `{"expiresAt":"2030-01-01T00:00:00Z"}`},
	{"POST", "/elevate/totp", "otp", `{"otp":"123456"}`},
	{"POST", "/elevate/otp/email/verify", "otp", `{"otp":"123456"}`},
	{"POST", "/elevate/otp/sms/verify", "otp", `{"otp":"123456"}`},
	{"POST", "/elevate/password", "password", `{"password":"x"}`},
	{"POST", "/elevate/webauthn", "email", `{"email":"ada@example.com"}`},
	{"POST", "/elevate/webauthn/verify", "email", `{"credential":{},"email":"ada@example.com"}`},
}

// UR-01, UR-10, UR-11, SU-03, SU-17, SI-08, E10, E11, W35: whatever is wrong with a body, on every route that has one.
func TestEveryRouteRefusesMalformedBodies(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{MaxBody: 4 << 10}, open, letters)
	session := h.engine.SignUp(t, "ada@example.com")
	before := len(h.engine.Events.All())
	const json = "application/json"
	for _, rt := range bodies {
		m := `"` + rt.member + `"`
		for _, c := range []struct {
			name, body, contentType, encoding string
			status                            int
			names                             string // what the message must name
		}{
			{"white space", " \n", json, "", 400, "the body"},
			{"half an object", `{` + m + `:`, json, "", 400, "the body"},
			{"text that is not JSON", "email=a", json, "", 400, "the body"},
			{"single quotes", `{'` + rt.member + `':'x'}`, json, "", 400, "the body"},
			{"a comment", `{/**/` + m + `:"x"}`, json, "", 400, "the body"},
			{"a byte order mark", "\ufeff" + rt.good, json, "", 400, "the body"},
			{"null", `null`, json, "", 400, "the body"},
			{"an array", `[` + rt.good + `]`, json, "", 400, "the body"},
			{"a string", `"x"`, json, "", 400, "the body"},
			{"a number", `1`, json, "", 400, "the body"},
			{"data after the object", rt.good + `{}`, json, "", 400, "the body"},
			{"a number for text", `{` + m + `:1}`, json, "", 400, rt.member},
			{"a boolean for text", `{` + m + `:true}`, json, "", 400, rt.member},
			{"an array for text", `{` + m + `:["x"]}`, json, "", 400, rt.member},
			{"an object for text", `{` + m + `:{"$ne":"x"}}`, json, "", 400, rt.member},
			{"a member given twice", `{` + m + `:"x",` + m + `:"y"}`, json, "", 400, rt.member},
			{"bad UTF-8", `{` + m + ":\"\xff\"}", json, "", 400, rt.member},
			{"half a surrogate pair", `{` + m + `:"\ud800"}`, json, "", 400, rt.member},
			{"U+0000", `{` + m + `:"a\u0000b"}`, json, "", 400, rt.member},
			{"deep nesting", `{"metadata":` + strings.Repeat(`{"a":`, 500) + `1` + strings.Repeat(`}`, 500) + `}`, json, "", 400, "metadata"},
			{"more than the limit", `{` + m + `:"` + strings.Repeat("x", 8<<10) + `"}`, json, "", 413, "the body"},
			{"no content type", rt.good, "", "", 415, "Content-Type"},
			{"plain text", rt.good, "text/plain", "", 415, "Content-Type"},
			{"plain text that says JSON", rt.good, "text/plain; application/json", "", 415, "Content-Type"},
			{"a form", rt.good, "application/x-www-form-urlencoded", "", 415, "Content-Type"},
			{"a form with files", rt.good, "multipart/form-data; boundary=x", "", 415, "Content-Type"},
			{"another charset", rt.good, "application/json; charset=utf-16", "", 415, "Content-Type"},
			{"a malformed content type", rt.good, "application/json; charset", "", 415, "Content-Type"},
			{"another JSON", rt.good, "application/problem+json", "", 415, "Content-Type"},
			{"a compressed body", zipped(rt.good), json, "gzip", 415, "Content-Encoding"},
			{"a body that says it is compressed", rt.good, json, "br", 415, "Content-Encoding"},
		} {
			t.Run(rt.path+" with "+c.name+" for "+rt.member, func(t *testing.T) {
				t.Parallel()
				r := httptest.NewRequest(rt.method, rt.path, strings.NewReader(c.body))
				for name, value := range map[string]string{"Content-Type": c.contentType, "Content-Encoding": c.encoding} {
					if value != "" {
						r.Header.Set(name, value)
					}
				}
				if rt.path == "/signout" && strings.HasPrefix(c.body, `{"metadata"`) {
					c.names = "metadata" // not a known member, and yet it must be JSON that others can read
				}
				if needsUser(rt.path) {
					r.Header.Set("Authorization", "Bearer "+session.AccessToken)
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				wantRefused(t, w, c.status, auth.CodeInvalidRequest)
				if !strings.Contains(w.Body.String(), c.names) {
					t.Errorf("body %s does not name %s", w.Body, c.names)
				}
				if accept := w.Header().Get("Accept-Encoding"); (c.encoding != "") != (accept == "identity") { // RFC 9110 §15.5.16
					t.Errorf("Accept-Encoding %q", accept)
				}
			})
		}
	}
	t.Cleanup(func() {
		if n := len(h.engine.Events.All()) - before; n != 0 { // NoEff
			t.Errorf("%d events, want none", n)
		}
	})
}

// needsUser reports whether a route may look at the bearer before the body. Those of them that do not, do not mind one.
func needsUser(path string) bool {
	return slices.ContainsFunc([]string{"/user/", "/elevate/", "/mfa/", "/pat", "/link/", "/token/provider/"}, func(begins string) bool { return strings.HasPrefix(path, begins) })
}

// What is wrong with one route's body alone, and with what is not a body.
func TestRoutesRefuseMalformedRequests(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open, letters)
	session := h.engine.SignUp(t, "ada@example.com")
	good := "Bearer " + session.AccessToken
	const unauthenticated = auth.CodeUnauthenticated
	for _, c := range []struct {
		name, method, target, body string
		headers                    []string
		status                     int
		code                       auth.Code
		names                      string
	}{
		{"sign-up without a body", "POST", "/signup/email-password", "", nil, 400, auth.CodeInvalidRequest, "body is required"},
		{"sign-up with an empty object", "POST", "/signup/email-password", `{}`, nil, 400, auth.CodeInvalidRequest, "email is required"},
		{"sign-up without a password", "POST", "/signup/email-password", `{"email":"a@example.com"}`, nil, 400, auth.CodeInvalidRequest, "password is required"},
		{"sign-up with null for the password", "POST", "/signup/email-password", `{"email":"a@example.com","password":null}`, nil, 400, auth.CodeInvalidRequest, "password"},
		{"sign-up with another case of a member", "POST", "/signup/email-password", `{"Email":"a@example.com","password":"x"}`, nil, 400, auth.CodeInvalidRequest, "Email"},
		{"sign-up with a Unicode fold of a member", "POST", "/signup/email-password", `{"email":"a@example.com","pa\u017fsword":"x"}`, nil, 400, auth.CodeInvalidRequest, "known member"},
		{"sign-up with what is not an address", "POST", "/signup/email-password", `{"email":"a","password":"plum-tractor-eleven"}`, nil, 400, auth.CodeInvalidRequest, "email"},
		{"sign-up with a list of addresses", "POST", "/signup/email-password", `{"email":"a@example.com,b@example.com","password":"plum-tractor-eleven"}`, nil, 400, auth.CodeInvalidRequest, "email"},
		{"sign-up with an id of one's own", "POST", "/signup/email-password", `{"email":"a@example.com","password":"x","id":"1"}`, nil, 400, auth.CodeInvalidRequest, "id"},
		{"sign-up that says it is verified", "POST", "/signup/email-password", `{"email":"a@example.com","password":"x","emailVerified":true}`, nil, 400, auth.CodeInvalidRequest, "emailVerified"},
		{"sign-up with __proto__", "POST", "/signup/email-password", `{"email":"a@example.com","password":"x","__proto__":{}}`, nil, 400, auth.CodeInvalidRequest, "__proto__"},
		{"sign-up with roles among the options", "POST", "/signup/email-password", `{"email":"a@example.com","password":"x","options":{"roles":["admin"]}}`, nil, 400, auth.CodeInvalidRequest, "options.roles"},
		{"sign-up with text for the options", "POST", "/signup/email-password", `{"email":"a@example.com","password":"x","options":"x"}`, nil, 400, auth.CodeInvalidRequest, "options"},
		{"sign-up with text for the roles", "POST", "/signup/email-password", `{"email":"a@example.com","password":"x","options":{"allowedRoles":"me"}}`, nil, 400, auth.CodeInvalidRequest, "options.allowedRoles"},
		{"sign-up with null among the roles", "POST", "/signup/email-password", `{"email":"a@example.com","password":"x","options":{"allowedRoles":[null]}}`, nil, 400, auth.CodeInvalidRequest, "options.allowedRoles[0]"},
		{"sign-up with an array of metadata", "POST", "/signup/email-password", `{"email":"a@example.com","password":"x","options":{"metadata":[]}}`, nil, 400, auth.CodeInvalidRequest, "options.metadata"},
		{"sign-up with a key given twice in metadata", "POST", "/signup/email-password", `{"email":"a@example.com","password":"x","options":{"metadata":{"a":1,"a":2}}}`, nil, 400, auth.CodeInvalidRequest, "options.metadata.a"},
		{"sign-up with 5000 keys of metadata", "POST", "/signup/email-password", `{"email":"a@example.com","password":"x","options":{"metadata":{` + manyKeys(5000) + `}}}`, nil, 400, auth.CodeInvalidRequest, "too many"},
		{"sign-up with the role of an administrator", "POST", "/signup/email-password", `{"email":"a@example.com","password":"plum-tractor-eleven","options":{"allowedRoles":["admin"]}}`, nil, 400, auth.CodeRoleNotAllowed, ""},
		{"sign-up with a place to go that is not allowed", "POST", "/signup/email-password", `{"email":"a@example.com","password":"plum-tractor-eleven","options":{"redirectTo":"https://evil.test"}}`, nil, 400, auth.CodeRedirectNotAllowed, ""},
		{"sign-up with a short password", "POST", "/signup/email-password", `{"email":"a@example.com","password":"x"}`, nil, 400, auth.CodePasswordTooShort, ""},
		{"sign-up with a common password", "POST", "/signup/email-password", `{"email":"a@example.com","password":"password"}`, nil, 400, auth.CodePasswordBreached, ""},
		{"sign-up with an address that is taken", "POST", "/signup/email-password", credentials("ada@example.com"), nil, 409, auth.CodeEmailAlreadyInUse, ""},
		{"sign-in without a password", "POST", "/signin/email-password", `{"email":"ada@example.com"}`, nil, 400, auth.CodeInvalidRequest, "password is required"},
		{"sign-in with a wrong password", "POST", "/signin/email-password", `{"email":"ada@example.com","password":"wrong"}`, nil, 401, auth.CodeInvalidEmailPassword, ""},
		{"sign-in with an empty password", "POST", "/signin/email-password", `{"email":"ada@example.com","password":""}`, nil, 401, auth.CodeInvalidEmailPassword, ""},
		{"anonymous sign-in with roles", "POST", "/signin/anonymous", `{"roles":["admin"]}`, nil, 400, auth.CodeInvalidRequest, "roles"},
		{"anonymous sign-in with control characters", "POST", "/signin/anonymous", `{"displayName":"a\nb"}`, nil, 400, auth.CodeInvalidRequest, "displayName"},
		{"refresh without a body", "POST", "/token", "", nil, 400, auth.CodeInvalidRequest, "body is required"},
		{"refresh without a token", "POST", "/token", `{}`, nil, 400, auth.CodeInvalidRequest, "refreshToken is required"},
		{"refresh with null", "POST", "/token", `{"refreshToken":null}`, nil, 400, auth.CodeInvalidRequest, "refreshToken is required"},
		{"refresh with an unknown token", "POST", "/token", `{"refreshToken":"00000000-0000-4000-8000-000000000000"}`, nil, 401, auth.CodeInvalidRefreshToken, ""},
		{"refresh with a token in upper case", "POST", "/token", `{"refreshToken":` + text(strings.ToUpper(session.RefreshToken)) + `}`, nil, 401, auth.CodeInvalidRefreshToken, ""},
		{"refresh with a token as a URN", "POST", "/token", `{"refreshToken":` + text("urn:uuid:"+session.RefreshToken) + `}`, nil, 401, auth.CodeInvalidRefreshToken, ""},
		{"refresh with an access token", "POST", "/token", `{"refreshToken":` + text(session.AccessToken) + `}`, nil, 401, auth.CodeInvalidRefreshToken, ""},
		{"refresh with the token in the query", "POST", "/token?refreshToken=" + session.RefreshToken, `{}`, nil, 400, auth.CodeInvalidRequest, "refreshToken is required"},                         // RT-27
		{"refresh with the token in a cookie", "POST", "/token", `{}`, []string{"Cookie", "__Host-auth-refresh=" + session.RefreshToken}, 400, auth.CodeInvalidRequest, "refreshToken is required"}, // RT-27
		{"verify without a token", "POST", "/token/verify", "", nil, 401, unauthenticated, ""},
		{"verify with null for the token", "POST", "/token/verify", `{"token":null}`, nil, 401, unauthenticated, ""},
		{"verify with an empty token", "POST", "/token/verify", `{"token":""}`, nil, 400, auth.CodeInvalidRequest, ""},
		{"verify with a bad token", "POST", "/token/verify", `{"token":"x.y.z"}`, nil, 400, auth.CodeInvalidRequest, ""},
		{"verify with a refresh token", "POST", "/token/verify", `{"token":` + text(session.RefreshToken) + `}`, nil, 400, auth.CodeInvalidRequest, ""}, // RT-27
		{"verify with 10000 dots", "POST", "/token/verify", `{"token":"` + strings.Repeat(".", 10000) + `"}`, nil, 400, auth.CodeInvalidRequest, ""},    // JW-14
		{"sign-out without a body", "POST", "/signout", "", nil, 400, auth.CodeInvalidRequest, "body is required"},
		{"sign-out of nothing", "POST", "/signout", `{}`, nil, 400, auth.CodeInvalidRequest, "refreshToken is required"},
		{"sign-out everywhere without a bearer", "POST", "/signout", `{"all":true}`, nil, 401, unauthenticated, ""},                                                                    // RT-14
		{"sign-out everywhere with a refresh token for a bearer", "POST", "/signout", `{"all":true,"refreshToken":` + text(session.RefreshToken) + `}`, nil, 401, unauthenticated, ""}, // RT-14
		{"sign-out everywhere with a bad bearer", "POST", "/signout", `{"all":true}`, []string{"Authorization", good + "x"}, 401, unauthenticated, ""},                                 // JW-25
		{"sign-out with text for all", "POST", "/signout", `{"all":"true"}`, nil, 400, auth.CodeInvalidRequest, "all"},
		{"sign-out with a member in two cases", "POST", "/signout", `{"ALL":true}`, nil, 400, auth.CodeInvalidRequest, "refreshToken is required"},
		{"the user without a bearer", "GET", "/user", "", nil, 401, unauthenticated, ""},
		{"the sessions without a bearer", "GET", "/user/sessions", "", nil, 401, unauthenticated, ""},
		{"the end of a session without a bearer", "DELETE", "/user/sessions/" + session.RefreshTokenID.String(), "", nil, 401, unauthenticated, ""},
		{"the end of a session that is no id", "DELETE", "/user/sessions/x", "", []string{"Authorization", good}, 404, auth.CodeRouteNotFound, ""},                                                   // UR-09
		{"the end of a session in upper case", "DELETE", "/user/sessions/" + strings.ToUpper(session.RefreshTokenID.String()), "", []string{"Authorization", good}, 404, auth.CodeRouteNotFound, ""}, // UR-09
		{"the end of a session that is not there", "DELETE", "/user/sessions/2c35b6f3-c4b9-48e3-978a-d4d0f1d42e24", "", []string{"Authorization", good}, 404, auth.CodeRouteNotFound, ""},            // UR-09
		{"an access token in the query", "GET", "/user?access_token=" + session.AccessToken + "&token=" + session.AccessToken, "", nil, 401, unauthenticated, ""},                                    // LG-09
		{"an access token in a cookie", "GET", "/user", "", []string{"Cookie", "__Host-auth-access=" + session.AccessToken}, 401, unauthenticated, ""},                                               // RT-27
		{"an access token without a scheme", "GET", "/user", "", []string{"Authorization", session.AccessToken}, 401, unauthenticated, ""},
		{"a scheme without a token", "GET", "/user", "", []string{"Authorization", "Bearer"}, 401, unauthenticated, ""},
		{"a scheme and a blank", "GET", "/user", "", []string{"Authorization", "Bearer "}, 401, unauthenticated, ""},
		{"an empty Authorization", "GET", "/user", "", []string{"Authorization", ""}, 401, unauthenticated, ""},
		{"a token behind two blanks", "GET", "/user", "", []string{"Authorization", "Bearer  " + session.AccessToken}, 401, unauthenticated, ""},
		{"a token behind a tab", "GET", "/user", "", []string{"Authorization", "Bearer\t" + session.AccessToken}, 401, unauthenticated, ""},
		{"a token and more", "GET", "/user", "", []string{"Authorization", good + " x"}, 401, unauthenticated, ""},
		{"two tokens in one header", "GET", "/user", "", []string{"Authorization", good + ", " + good}, 401, unauthenticated, ""},
		{"two headers", "GET", "/user", "", []string{"Authorization", good, "Authorization", good}, 401, unauthenticated, ""},
		{"a bearer behind an empty header", "GET", "/user", "", []string{"Authorization", "", "Authorization", good}, 401, unauthenticated, ""},
		{"the scheme Basic", "GET", "/user", "", []string{"Authorization", "Basic " + session.AccessToken}, 401, unauthenticated, ""},
		{"a refresh token for a bearer", "GET", "/user", "", []string{"Authorization", "Bearer " + session.RefreshToken}, 401, unauthenticated, ""},   // RT-27
		{"a bearer of 100000 dots", "GET", "/user", "", []string{"Authorization", "Bearer " + strings.Repeat(".", 100000)}, 401, unauthenticated, ""}, // JW-14
		{"a passkey's sign-up without a body", "POST", "/signup/webauthn", "", nil, 400, auth.CodeInvalidRequest, "body is required"},
		{"a passkey's sign-up without an address", "POST", "/signup/webauthn", `{}`, nil, 400, auth.CodeInvalidRequest, "email is required"},
		{"a passkey's sign-up with what is not an address", "POST", "/signup/webauthn", `{"email":"a"}`, nil, 400, auth.CodeInvalidRequest, "email"},
		{"a passkey's sign-up with a nickname too early", "POST", "/signup/webauthn", `{"email":"a@example.com","options":{"nickname":"x"}}`, nil, 400, auth.CodeInvalidRequest, "options.nickname"},
		{"a passkey's sign-up with a role among the options", "POST", "/signup/webauthn", `{"email":"a@example.com","options":{"roles":["admin"]}}`, nil, 400, auth.CodeInvalidRequest, "options.roles"},
		{"a passkey's sign-up with the role of an administrator", "POST", "/signup/webauthn", `{"email":"a@example.com","options":{"allowedRoles":["admin"]}}`, nil, 400, auth.CodeRoleNotAllowed, ""},
		{"a passkey's sign-up with a place to go that is not allowed", "POST", "/signup/webauthn", `{"email":"a@example.com","options":{"redirectTo":"https://evil.test"}}`, nil, 400, auth.CodeRedirectNotAllowed, ""},
		{"the end of a passkey's sign-up without a body", "POST", "/signup/webauthn/verify", "", nil, 400, auth.CodeInvalidRequest, "body is required"},
		{"the end of a passkey's sign-up without a credential", "POST", "/signup/webauthn/verify", `{"nickname":"x"}`, nil, 400, auth.CodeInvalidRequest, "credential is required"},
		{"the end of a passkey's sign-up with the user's address", "POST", "/signup/webauthn/verify", `{"credential":{},"email":"a@example.com"}`, nil, 400, auth.CodeInvalidRequest, "email"},
		{"the end of a passkey's sign-up with a number for a nickname", "POST", "/signup/webauthn/verify", `{"credential":{},"options":{"nickname":1}}`, nil, 400, auth.CodeInvalidRequest, "options.nickname"},
		{"the end of a passkey's sign-up with a long nickname", "POST", "/signup/webauthn/verify", `{"credential":{},"nickname":"` + strings.Repeat("x", 65) + `"}`, nil, 400, auth.CodeInvalidRequest, "nickname"}, // WA-32
		{"the end of a passkey's sign-up with a nickname of two lines", "POST", "/signup/webauthn/verify", `{"credential":{},"options":{"nickname":"a\r\nb"}}`, nil, 400, auth.CodeInvalidRequest, "nickname"},      // WA-32
		{"the end of a passkey's sign-up with an empty credential", "POST", "/signup/webauthn/verify", `{"credential":{}}`, nil, 400, auth.CodeInvalidRequest, "could not be verified"},
		{"a passkey's sign-in with what is not an address", "POST", "/signin/webauthn", `{"email":"a"}`, nil, 400, auth.CodeInvalidRequest, "email"},
		{"a passkey's sign-in with a user's id", "POST", "/signin/webauthn", `{"userId":"1"}`, nil, 400, auth.CodeInvalidRequest, "userId"},
		{"the end of a passkey's sign-in without a body", "POST", "/signin/webauthn/verify", "", nil, 400, auth.CodeInvalidRequest, "body is required"},
		{"the end of a passkey's sign-in without a credential", "POST", "/signin/webauthn/verify", `{"email":"a@example.com"}`, nil, 400, auth.CodeInvalidRequest, "credential is required"},
		{"the end of a passkey's sign-in with a list for a credential", "POST", "/signin/webauthn/verify", `{"credential":[]}`, nil, 400, auth.CodeInvalidRequest, "credential must be an object"},
		{"a new key for somebody else", "POST", "/user/webauthn/add", `{"email":"a@example.com"}`, []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "email"},
		{"the end of a new key without a body", "POST", "/user/webauthn/verify", "", []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "body is required"},
		{"the end of a new key without a credential", "POST", "/user/webauthn/verify", `{}`, []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "credential is required"},
		{"a key's name without a body", "PATCH", "/user/webauthn/keys/2c35b6f3-c4b9-48e3-978a-d4d0f1d42e24", "", []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "body is required"},
		{"a key's name that is not given", "PATCH", "/user/webauthn/keys/2c35b6f3-c4b9-48e3-978a-d4d0f1d42e24", `{}`, []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "nickname is required"},
		{"a key's name that is null", "PATCH", "/user/webauthn/keys/2c35b6f3-c4b9-48e3-978a-d4d0f1d42e24", `{"nickname":null}`, []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "nickname is required"},
		{"a key's counter", "PATCH", "/user/webauthn/keys/2c35b6f3-c4b9-48e3-978a-d4d0f1d42e24", `{"nickname":"x","signCount":0}`, []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "signCount"},
		{"a step-up without a key", "POST", "/elevate/webauthn", "", []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "no security key"},
		{"the end of a step-up without a body", "POST", "/elevate/webauthn/verify", "", []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "body is required"}, // EL-07
		{"the end of a step-up without a credential", "POST", "/elevate/webauthn/verify", `{"email":"ada@example.com"}`, []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "credential is required"},
		{"a letter that signs in, without a body", "POST", "/signin/passwordless/email", "", nil, 400, auth.CodeInvalidRequest, "body is required"},
		{"a letter that signs in, to nobody", "POST", "/signin/passwordless/email", `{}`, nil, 400, auth.CodeInvalidRequest, "email is required"},
		{"a letter that signs in, to what is not an address", "POST", "/signin/passwordless/email", `{"email":"ada"}`, nil, 400, auth.CodeInvalidRequest, "email"},
		{"a letter that signs in, to two addresses", "POST", "/signin/passwordless/email", `{"email":"ada@example.com\r\nBcc: eve@example.com"}`, nil, 400, auth.CodeInvalidRequest, "email"}, // RD-32
		{"a letter that signs in, to a telephone", "POST", "/signin/passwordless/email", `{"phoneNumber":"+15550100"}`, nil, 400, auth.CodeInvalidRequest, "phoneNumber"},
		{"a letter that signs in, with a password", "POST", "/signin/passwordless/email", `{"email":"ada@example.com","password":"x"}`, nil, 400, auth.CodeInvalidRequest, "password"},
		{"a letter that signs in, as an administrator", "POST", "/signin/passwordless/email", `{"email":"new@example.com","options":{"allowedRoles":["admin"]}}`, nil, 400, auth.CodeRoleNotAllowed, ""},
		{"a letter that signs in, and leads elsewhere", "POST", "/signin/passwordless/email", `{"email":"ada@example.com","options":{"redirectTo":"https://evil.test"}}`, nil, 400, auth.CodeRedirectNotAllowed, ""},
		{"a letter with two lines for a place to go", "POST", "/signin/passwordless/email", `{"email":"ada@example.com","options":{"redirectTo":"https://app.test/?a=\r\nX: y"}}`, nil, 400, auth.CodeRedirectNotAllowed, ""}, // RD-32, W7
		{"a code to nobody", "POST", "/signin/otp/email", `{"options":{}}`, nil, 400, auth.CodeInvalidRequest, "email is required"},
		{"a code to what is not an address", "POST", "/signin/otp/email", `{"email":""}`, nil, 400, auth.CodeInvalidRequest, "email"},
		{"a code with another default role", "POST", "/signin/otp/email", `{"email":"new@example.com","options":{"defaultRole":"admin"}}`, nil, 400, auth.CodeDefaultRoleNotAllowed, ""},
		{"a sign-in by a code without a body", "POST", "/signin/otp/email/verify", "", nil, 400, auth.CodeInvalidRequest, "body is required"},
		{"a sign-in by a code without an address", "POST", "/signin/otp/email/verify", `{"otp":"123456"}`, nil, 400, auth.CodeInvalidRequest, "email is required"},
		{"a sign-in by a code without the code", "POST", "/signin/otp/email/verify", `{"email":"ada@example.com"}`, nil, 400, auth.CodeInvalidRequest, "otp is required"},
		{"a sign-in by a code that is a number", "POST", "/signin/otp/email/verify", `{"email":"ada@example.com","otp":123456}`, nil, 400, auth.CodeInvalidRequest, "otp must be a string"}, // EO-07
		{"a sign-in by a list of codes", "POST", "/signin/otp/email/verify", `{"email":"ada@example.com","otp":["123456"]}`, nil, 400, auth.CodeInvalidRequest, "otp must be a string"},     // EO-07
		{"a sign-in by a code with the options of a sign-up", "POST", "/signin/otp/email/verify", `{"email":"ada@example.com","otp":"123456","options":{}}`, nil, 400, auth.CodeInvalidRequest, "options"},
		{"a sign-in by a code that was not sent", "POST", "/signin/otp/email/verify", `{"email":"ada@example.com","otp":"123456"}`, nil, 401, auth.CodeInvalidTicket, ""},           // EO-10
		{"a sign-in by a code of nobody", "POST", "/signin/otp/email/verify", `{"email":"nobody@example.com","otp":"123456"}`, nil, 401, auth.CodeInvalidTicket, ""},                // EN-05
		{"a sign-in by a code, with the code in the query", "POST", "/signin/otp/email/verify?otp=123456", `{"email":"ada@example.com"}`, nil, 400, auth.CodeInvalidRequest, "otp"}, // LG-09
		{"a reset to nobody", "POST", "/user/password/reset", `{}`, nil, 400, auth.CodeInvalidRequest, "email is required"},
		{"a reset to what is not an address", "POST", "/user/password/reset", `{"email":"@"}`, nil, 400, auth.CodeInvalidRequest, "email"},
		{"a reset with the options of a sign-up", "POST", "/user/password/reset", `{"email":"ada@example.com","options":{"displayName":"x"}}`, nil, 400, auth.CodeInvalidRequest, "options.displayName"},
		{"a reset that leads elsewhere", "POST", "/user/password/reset", `{"email":"ada@example.com","options":{"redirectTo":"https://evil.test"}}`, nil, 400, auth.CodeRedirectNotAllowed, ""},
		{"a new password without a body", "POST", "/user/password", "", []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "body is required"},
		{"a new password that is not given", "POST", "/user/password", `{"ticket":"passwordReset:x"}`, nil, 400, auth.CodeInvalidRequest, "newPassword is required"},
		{"a new password that is null", "POST", "/user/password", `{"newPassword":null}`, []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "newPassword is required"},
		{"a new password under the old name", "POST", "/user/password", `{"password":"walnut-harbour-nine"}`, []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "password"},
		{"a new password of somebody else", "POST", "/user/password", `{"newPassword":"walnut-harbour-nine","email":"eve@example.com"}`, []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "email"}, // UR-03
		{"a new password with an empty ticket", "POST", "/user/password", `{"newPassword":"walnut-harbour-nine","ticket":""}`, []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "ticket"},          // TK-16
		{"a new password with an unknown ticket", "POST", "/user/password", `{"newPassword":"walnut-harbour-nine","ticket":"passwordReset:x"}`, []string{"Authorization", good}, 401, auth.CodeInvalidTicket, ""},
		{"a new password of nobody", "POST", "/user/password", `{"newPassword":"walnut-harbour-nine"}`, nil, 401, unauthenticated, ""},
		{"a new password with a bad bearer", "POST", "/user/password", `{"newPassword":"walnut-harbour-nine"}`, []string{"Authorization", good + "x"}, 401, unauthenticated, ""},
		{"a new password with the ticket in the query", "POST", "/user/password?ticket=passwordReset:x", `{"newPassword":"walnut-harbour-nine"}`, nil, 401, unauthenticated, ""}, // LG-09
		{"a new address without a bearer", "POST", "/user/email/change", `{"newEmail":"new@example.com"}`, nil, 401, unauthenticated, ""},
		{"a new address without a body", "POST", "/user/email/change", "", []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "body is required"},
		{"a new address that is not given", "POST", "/user/email/change", `{}`, []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "newEmail is required"},
		{"a new address that is none", "POST", "/user/email/change", `{"newEmail":"a@example.com,b@example.com"}`, []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "email"},         // EC-07
		{"a new address of two lines", "POST", "/user/email/change", `{"newEmail":"a@example.com\r\nBcc: b@example.com"}`, []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "email"}, // EC-07
		{"a new address that says it is verified", "POST", "/user/email/change", `{"newEmail":"new@example.com","emailVerified":true}`, []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "emailVerified"},
		{"a new address of another user", "POST", "/user/email/change", `{"newEmail":"new@example.com","userId":"x"}`, []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "userId"}, // UR-03
		{"a second letter to nobody", "POST", "/user/email/send-verification-email", `{"options":null}`, nil, 400, auth.CodeInvalidRequest, "email is required"},
		{"a second letter to an unknown address", "POST", "/user/email/send-verification-email", `{"email":"nobody@example.com"}`, nil, 401, auth.CodeInvalidEmailPassword, ""},
		{"a second letter that leads elsewhere", "POST", "/user/email/send-verification-email", `{"email":"ada@example.com","options":{"redirectTo":"//evil.test"}}`, nil, 400, auth.CodeRedirectNotAllowed, ""},
		{"a name for nobody", "POST", "/user/deanonymize", `{"signInMethod":"passwordless","email":"new@example.com"}`, nil, 401, unauthenticated, ""},
		{"a name without a body", "POST", "/user/deanonymize", "", []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "body is required"},
		{"a name without a method", "POST", "/user/deanonymize", `{"email":"new@example.com"}`, []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "signInMethod is required"},
		{"a name without an address", "POST", "/user/deanonymize", `{"signInMethod":"passwordless"}`, []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "email is required"},
		{"a name without the password that it needs", "POST", "/user/deanonymize", `{"signInMethod":"email-password","email":"new@example.com"}`, []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "password is required"}, // AN-12
		{"a name by a method that there is not", "POST", "/user/deanonymize", `{"signInMethod":"Passwordless","email":"new@example.com"}`, []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "signInMethod"},
		{"a name with a number for the connection", "POST", "/user/deanonymize", `{"signInMethod":"passwordless","email":"new@example.com","connection":1}`, []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "connection"},
		{"a name for who has one", "POST", "/user/deanonymize", `{"signInMethod":"passwordless","email":"new@example.com"}`, []string{"Authorization", good}, 400, auth.CodeUserNotAnonymous, ""}, // AN-14
		{"a link whose code challenge is none", "GET", "/verify?ticket=a&redirectTo=https://app.test&codeChallenge=a&codeChallenge=b", "", nil, 400, auth.CodeInvalidRequest, "codeChallenge"},
		{"a posted link that is JSON", "POST", "/verify", `{"ticket":"a","redirectTo":"https://app.test"}`, nil, 415, auth.CodeInvalidRequest, "Content-Type"},
		{"a posted link that is text", "POST", "/verify", "ticket=a&redirectTo=https://app.test", []string{"Content-Type", "text/plain"}, 415, auth.CodeInvalidRequest, "Content-Type"},
		{"a posted link of nothing", "POST", "/verify", "", []string{"Content-Type", "application/x-www-form-urlencoded"}, 400, auth.CodeInvalidRequest, "ticket"},
		{"a message to nobody", "POST", "/signin/passwordless/sms", `{}`, nil, 400, auth.CodeInvalidRequest, "phoneNumber is required"},
		{"a message to what is no number", "POST", "/signin/passwordless/sms", `{"phoneNumber":"ada@example.com"}`, nil, 400, auth.CodeInvalidRequest, "phone number"},
		{"a message with a redirect elsewhere", "POST", "/signin/passwordless/sms", `{"phoneNumber":"+41791234567","options":{"redirectTo":"//evil.test"}}`, nil, 400, auth.CodeRedirectNotAllowed, ""},
		{"a texted code that is a number", "POST", "/signin/passwordless/sms/otp", `{"phoneNumber":"+41791234567","otp":123456}`, nil, 400, auth.CodeInvalidRequest, "otp"},        // EO-07
		{"a texted code that is a list", "POST", "/signin/passwordless/sms/otp", `{"phoneNumber":"+41791234567","otp":["123456"]}`, nil, 400, auth.CodeInvalidRequest, "otp"},      // EO-07
		{"a texted code that nobody was sent", "POST", "/signin/passwordless/sms/otp", `{"phoneNumber":"+41791234567","otp":"123456"}`, nil, 400, auth.CodeInvalidRequest, "code"}, // EO-10
		{"a number for nobody", "POST", "/user/phone-number/change", `{"newPhoneNumber":"+41791234567"}`, nil, 401, unauthenticated, ""},
		{"a code for nobody's number", "POST", "/user/phone-number/change/verify", `{"newPhoneNumber":"+41791234567","otp":"123456"}`, nil, 401, unauthenticated, ""},
		{"a number that is not given", "POST", "/user/phone-number/change", `{"phoneNumber":"+41791234567"}`, []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "phoneNumber"},
		{"a number by which nobody becomes a user", "POST", "/user/deanonymize/sms", `{"phoneNumber":"+41791234567"}`, nil, 401, unauthenticated, ""},
		{"a code by which nobody becomes a user", "POST", "/user/deanonymize/sms/verify", `{"phoneNumber":"+41791234567","otp":"123456"}`, nil, 401, unauthenticated, ""},
		{"a number by which a user becomes one", "POST", "/user/deanonymize/sms", `{"phoneNumber":"+41791234567"}`, []string{"Authorization", good}, 400, auth.CodeUserNotAnonymous, ""},
		{"a number for the method that takes an address", "POST", "/user/deanonymize", `{"signInMethod":"passwordless-sms","email":"new@example.com"}`, []string{"Authorization", good}, 400, auth.CodeInvalidRequest, ""},
		{"a second factor without a body", "POST", "/signin/mfa/totp", "", nil, 400, auth.CodeInvalidRequest, "body is required"},
		{"a second factor without a ticket", "POST", "/signin/mfa/totp", `{"otp":"123456"}`, nil, 400, auth.CodeInvalidRequest, "ticket is required"},
		{"a second factor without a code", "POST", "/signin/mfa/totp", `{"ticket":"mfaTotp:x"}`, nil, 400, auth.CodeInvalidRequest, "otp is required"},
		{"a second factor with an empty code", "POST", "/signin/mfa/totp", `{"ticket":"mfaTotp:x","otp":""}`, nil, 400, auth.CodeInvalidRequest, "code"},
		{"a second factor that is a number", "POST", "/signin/mfa/totp", `{"ticket":"mfaTotp:x","otp":123456}`, nil, 400, auth.CodeInvalidRequest, "otp must be a string"},
		{"a second factor that is a list", "POST", "/signin/mfa/totp", `{"ticket":"mfaTotp:x","otp":["123456"]}`, nil, 400, auth.CodeInvalidRequest, "otp must be a string"},
		{"a second factor with a recovery code beside it", "POST", "/signin/mfa/totp", `{"ticket":"mfaTotp:x","otp":"123456","recoveryCode":"x"}`, nil, 400, auth.CodeInvalidRequest, "recoveryCode"},
		{"a second factor with another's ticket", "POST", "/signin/mfa/totp", `{"ticket":"passwordReset:x","otp":"123456"}`, nil, 400, auth.CodeInvalidRequest, "mfaTotp:"},
		{"a second factor with half a ticket", "POST", "/signin/mfa/totp", `{"ticket":"mfaTotp","otp":"123456"}`, nil, 400, auth.CodeInvalidRequest, "mfaTotp:"},
		{"a second factor with a blank before its ticket", "POST", "/signin/mfa/totp", `{"ticket":" mfaTotp:x","otp":"123456"}`, nil, 400, auth.CodeInvalidRequest, "mfaTotp:"},
		{"a second factor with an unknown ticket", "POST", "/signin/mfa/totp", `{"ticket":"mfaTotp:x","otp":"123456"}`, nil, 401, auth.CodeInvalidTicket, ""},
		{"a second factor in the query", "POST", "/signin/mfa/totp?otp=123456", `{"ticket":"mfaTotp:x"}`, nil, 400, auth.CodeInvalidRequest, "otp is required"}, // LG-09
		{"a recovery without a code", "POST", "/signin/mfa/recovery", `{"ticket":"mfaTotp:x","otp":"123456"}`, nil, 400, auth.CodeInvalidRequest, "otp"},
		{"a recovery with another's ticket", "POST", "/signin/mfa/recovery", `{"ticket":"verifyEmail:x","recoveryCode":"x"}`, nil, 400, auth.CodeInvalidRequest, "mfaTotp:"},
		{"a recovery with an unknown ticket", "POST", "/signin/mfa/recovery", `{"ticket":"mfaTotp:x","recoveryCode":"x"}`, nil, 401, auth.CodeInvalidTicket, ""},
		{"another second factor without a code", "POST", "/mfa/totp/generate", `{}`, []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "code is required"},
		{"another second factor without a body", "POST", "/mfa/totp/generate", "", []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "body is required"},
		{"recovery codes of one's own", "POST", "/mfa/recovery-codes", `{"recoveryCodes":["x"]}`, []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "recoveryCodes"},
		{"recovery codes without a second factor", "POST", "/mfa/recovery-codes", "", []string{"Authorization", good}, 401, auth.CodeDisabledMFATOTP, ""},
		{"a second factor turned on without a body", "POST", "/user/mfa", "", []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "body is required"},
		{"a second factor turned on without a code", "POST", "/user/mfa", `{"activeMfaType":"totp"}`, []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "code is required"},
		{"a second factor turned on with a recovery code", "POST", "/user/mfa", `{"activeMfaType":"totp","recoveryCode":"x"}`, []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "code is required"},
		{"a second factor turned off without a code", "POST", "/user/mfa", `{}`, []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "code is required"},
		{"a second factor turned off with null for one", "POST", "/user/mfa", `{"code":null,"activeMfaType":null,"recoveryCode":null}`, []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "code is required"},
		{"a second factor turned off that is not on", "POST", "/user/mfa", `{"code":"123456","activeMfaType":""}`, []string{"Authorization", good}, 401, auth.CodeDisabledMFATOTP, ""},
		{"a second factor turned on that was not made", "POST", "/user/mfa", `{"code":"123456","activeMfaType":"totp"}`, []string{"Authorization", good}, 400, auth.CodeNoTOTPSecret, ""},
		{"a second factor of another kind", "POST", "/user/mfa", `{"code":"123456","activeMfaType":"sms"}`, []string{"Authorization", good}, 400, auth.CodeMFATypeNotFound, ""},
		{"a second factor in another case", "POST", "/user/mfa", `{"code":"123456","activeMfaType":"TOTP"}`, []string{"Authorization", good}, 400, auth.CodeMFATypeNotFound, ""},
		{"a second factor of somebody else", "POST", "/user/mfa", `{"code":"123456","userId":"x"}`, []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "userId"}, // UR-03
		{"a token for nobody", "POST", "/signin/pat", `{}`, nil, 400, auth.CodeInvalidRequest, "personalAccessToken is required"},
		{"a token for nothing", "POST", "/signin/pat", `{"personalAccessToken":""}`, nil, 401, auth.CodeInvalidPAT, ""},
		{"a token that is unknown", "POST", "/signin/pat", `{"personalAccessToken":"00000000-0000-4000-8000-000000000000"}`, nil, 401, auth.CodeInvalidPAT, ""},
		{"a token in the query", "POST", "/signin/pat?personalAccessToken=00000000-0000-4000-8000-000000000000", `{}`, nil, 400, auth.CodeInvalidRequest, "personalAccessToken is required"}, // LG-09
		{"a new token without a body", "POST", "/pat", "", []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "body is required"},
		{"a new token for ever", "POST", "/pat", `{}`, []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "expiresAt is required"},
		{"a new token until null", "POST", "/pat", `{"expiresAt":null}`, []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "expiresAt is required"},
		{"a new token with a list of metadata", "POST", "/pat", `{"expiresAt":"2030-01-01T00:00:00Z","metadata":[]}`, []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "metadata"},
		{"a new token with text for its scopes", "POST", "/pat", `{"expiresAt":"2030-01-01T00:00:00Z","scopes":"read"}`, []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "scopes"},
		{"a new token with null among its scopes", "POST", "/pat", `{"expiresAt":"2030-01-01T00:00:00Z","scopes":[null]}`, []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "scopes[0]"},
		{"a new token of somebody else", "POST", "/pat", `{"expiresAt":"2030-01-01T00:00:00Z","userId":"x"}`, []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "userId"}, // UR-03
		{"a new token of one's own making", "POST", "/pat", `{"expiresAt":"2030-01-01T00:00:00Z","personalAccessToken":"x"}`, []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "personalAccessToken"},
		{"a token to revoke that is none", "DELETE", "/pat/x", "", []string{"Authorization", good}, 404, auth.CodeRouteNotFound, ""},
		{"a token to revoke in upper case", "DELETE", "/pat/2C35B6F3-C4B9-48E3-978A-D4D0F1D42E24", "", []string{"Authorization", good}, 404, auth.CodeRouteNotFound, ""},
		{"a token to revoke that is not there", "DELETE", "/pat/2c35b6f3-c4b9-48e3-978a-d4d0f1d42e24", "", []string{"Authorization", good}, 404, auth.CodeRouteNotFound, ""},
		{"a step-up by a code that is not given", "POST", "/elevate/totp", `{}`, []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "otp is required"},
		{"a step-up by a code that is a number", "POST", "/elevate/totp", `{"otp":123456}`, []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "otp must be a string"},
		{"a step-up by a code without a second factor", "POST", "/elevate/totp", `{"otp":"123456"}`, []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "cannot step up"},
		{"a step-up by a password that is not given", "POST", "/elevate/password", `{}`, []string{"Authorization", good}, 400, auth.CodeInvalidRequest, "password is required"},
		{"a step-up by a password where that is off", "POST", "/elevate/password", `{"password":"x"}`, []string{"Authorization", good}, 409, auth.CodeDisabledEndpoint, ""},
		{"a link without a ticket", "GET", "/verify?redirectTo=https://app.test", "", nil, 400, auth.CodeInvalidRequest, "ticket"},
		{"a link with two tickets", "GET", "/verify?ticket=a&ticket=b&redirectTo=https://app.test", "", nil, 400, auth.CodeInvalidRequest, "ticket"},
		{"a link without a place to go", "GET", "/verify?ticket=a", "", nil, 400, auth.CodeInvalidRequest, "redirectTo"},
		{"a link with two places to go", "GET", "/verify?ticket=a&redirectTo=https://app.test&redirectTo=https://app.test", "", nil, 400, auth.CodeInvalidRequest, "redirectTo"},
		{"a link with a place that is no URL", "GET", "/verify?ticket=a&redirectTo=%3A", "", nil, 400, auth.CodeInvalidRequest, "redirectTo"},
		{"a link of an unknown type", "GET", "/verify?ticket=a&redirectTo=https://app.test&type=x", "", nil, 400, auth.CodeInvalidRequest, "type"},
		{"a link with a malformed query", "GET", "/verify?ticket=%zz&redirectTo=https://app.test", "", nil, 400, auth.CodeInvalidRequest, "parameters are malformed"},
		{"a link with 20000 parameters", "GET", "/verify?ticket=a&redirectTo=https://app.test" + strings.Repeat("&a=b", 20000), "", nil, 400, auth.CodeInvalidRequest, "parameters are malformed"}, // TK-17
		{"an empty form", "POST", "/signin/anonymous", "", []string{"Content-Type", "text/plain;charset=UTF-8"}, 415, auth.CodeInvalidRequest, "Content-Type"},                                     // SU-17, LG-02
		{"a link that is loaded as an image", "GET", "/verify?ticket=a&redirectTo=https://app.test", "", []string{"Sec-Fetch-Dest", "image"}, 400, auth.CodeInvalidRequest, "prefetch"},
		{"a link that is only prefetched", "GET", "/verify?ticket=a&redirectTo=https://app.test", "", []string{"Sec-Purpose", "prefetch;prerender"}, 400, auth.CodeInvalidRequest, "prefetch"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := do(t, h, c.method, c.target, c.body, c.headers...)
			wantRefused(t, w, c.status, c.code)
			if !strings.Contains(w.Body.String(), c.names) {
				t.Errorf("body %s does not say %q", w.Body, c.names)
			}
		})
	}
	t.Cleanup(func() {
		// NoEff: whatever was tried, the session that it was tried on lives.
		if w := do(t, h, "GET", "/user/sessions", "", "Authorization", good); w.Code != http.StatusOK || strings.Count(w.Body.String(), `"id"`) != 1 {
			t.Errorf("the sessions afterwards: %d %s", w.Code, w.Body)
		}
	})
}

// The paths and methods that are not the API's: never a redirect, never a body of ServeMux's.
func TestWhatIsNoRouteIsRefused(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{})
	mux := http.NewServeMux()
	h.Mount(mux, "/v1")
	for _, c := range []struct {
		method, target string
		status         int
		allow          string
	}{
		{"GET", "/", 404, ""},
		{"GET", "/users", 404, ""},
		{"GET", "/User", 404, ""},
		{"GET", "/user/", 404, ""},
		{"GET", "//user", 404, ""},
		{"GET", "/./user", 404, ""},
		{"GET", "/x/../user", 404, ""},
		{"GET", "/user/sessions/..", 404, ""},
		{"GET", "/%75ser", 404, ""},
		{"GET", "/user%2Fsessions", 404, ""},
		{"GET", "/user%00", 404, ""},
		{"GET", "/user;x=1", 404, ""},
		{"GET", "/user%20", 404, ""},
		{"POST", "/signin//email-password", 404, ""},
		{"POST", "/signin/email-password/", 404, ""},
		{"POST", "/signin/%2e%2e/token", 404, ""},
		{"DELETE", "/user/sessions/", 404, ""},
		{"DELETE", "/user/sessions/a/b", 404, ""},
		{"CONNECT", "/nowhere", 404, ""},
		{"PROPFIND", "/nowhere", 404, ""},
		{"GET", "/change-env", 404, ""}, // W42, LG-14
		{"GET", "/debug/pprof/", 404, ""},
		{"GET", "/signup/email-password", 405, "POST"},
		{"PUT", "/signin/email-password", 405, "POST"},
		{"HEAD", "/token", 405, "POST"},
		{"OPTIONS", "/token", 405, "POST"},
		{"POST", "/user", 405, "DELETE, GET, HEAD"},
		{"DELETE", "/user/sessions", 405, "GET, HEAD"},
		{"GET", "/user/sessions/2c35b6f3-c4b9-48e3-978a-d4d0f1d42e24", 405, "DELETE"},
		{"PUT", "/verify", 405, "GET, HEAD, POST"},
		{"GET", "/signin/passwordless/sms/otp", 405, "POST"},
		{"POST", "/user/phone-number", 404, ""},
		{"GET", "/signin/passwordless/email", 405, "POST"},
		{"POST", "/signin/passwordless", 404, ""},
		{"GET", "/signin/otp/email/verify", 405, "POST"},
		{"POST", "/signin/otp/email/", 404, ""},
		{"POST", "/signin/otp", 404, ""},
		{"GET", "/user/password", 405, "POST"},
		{"PUT", "/user/password", 405, "POST"},
		{"POST", "/user/password/", 404, ""},
		{"POST", "/user/Password", 404, ""},
		{"GET", "/user/password/reset", 405, "POST"},
		{"GET", "/user/email/change", 405, "POST"},
		{"POST", "/user/email", 404, ""},
		{"PUT", "/user/email/send-verification-email", 405, "POST"},
		{"GET", "/user/deanonymize", 405, "POST"},
		{"GET", "/signup/webauthn", 405, "POST"},
		{"POST", "/signup/webauthn/", 404, ""},
		{"POST", "/signup/webauthn/verify/x", 404, ""},
		{"POST", "/user/webauthn", 404, ""},
		{"POST", "/user/webauthn/keys", 405, "GET, HEAD"},
		{"GET", "/user/webauthn/keys/2c35b6f3-c4b9-48e3-978a-d4d0f1d42e24", 405, "DELETE, PATCH"},
		{"DELETE", "/user/webauthn/keys/", 404, ""},
		{"GET", "/elevate/webauthn", 405, "POST"},
		{"POST", "/elevate", 405, "GET, HEAD"},
		{"GET", "/elevate/totp", 405, "POST"},
		{"GET", "/elevate/password", 405, "POST"},
		{"POST", "/elevate/otp", 404, ""},
		{"GET", "/signin/mfa/totp", 405, "POST"},
		{"GET", "/signin/mfa/recovery", 405, "POST"},
		{"POST", "/signin/mfa", 404, ""},
		{"POST", "/mfa", 405, "GET, HEAD"},
		{"GET", "/mfa/totp", 404, ""},
		{"PUT", "/mfa/totp/generate", 405, "GET, HEAD, POST"},
		{"GET", "/mfa/recovery-codes", 405, "POST"},
		{"GET", "/user/mfa", 405, "POST"},
		{"GET", "/signin/pat", 405, "POST"},
		{"DELETE", "/pat", 405, "GET, HEAD, POST"},
		{"GET", "/pat/2c35b6f3-c4b9-48e3-978a-d4d0f1d42e24", 405, "DELETE"},
		{"DELETE", "/pat/", 404, ""},
		{"POST", "/.well-known/webauthn", 405, "GET, HEAD"},
		{"TRACE", "/healthz", 405, "GET, HEAD"},
		{"CONNECT", "/user", 405, "DELETE, GET, HEAD"},
		{"post", "/token", 405, "POST"},
	} {
		t.Run(c.method+" "+c.target, func(t *testing.T) {
			t.Parallel()
			code := auth.CodeRouteNotFound
			if c.status == http.StatusMethodNotAllowed {
				code = auth.CodeMethodNotAllowed
			}
			w := do(t, h, c.method, c.target, "")
			wantRefused(t, w, c.status, code)
			wantHeaders(t, w.Header(), "Allow", c.allow, "Location", "")

			// Under a prefix of someone else's mux too, as far as that mux lets it through.
			w = do(t, mux, c.method, "/v1"+c.target, "")
			if l := w.Header().Get("Location"); l != "" {
				if w.Code != http.StatusTemporaryRedirect || strings.Contains(l, "//") {
					t.Errorf("mounted: %d to %s", w.Code, l)
				}
				return
			}
			wantRefused(t, w, c.status, code)
		})
	}
}

// The requests that only a connection can make.
func TestMalformedRequestsOnTheWire(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{MaxBody: 2 << 10})
	server := httptest.NewUnstartedServer(h)
	server.Config = httpadapter.NewServer("", h)
	server.Start()
	t.Cleanup(server.Close)
	chunk := "400\r\n" + strings.Repeat("x", 0x400) + "\r\n"
	post := "POST /signin/anonymous HTTP/1.1\r\nHost: x\r\n"
	typed := post + "Content-Type: application/json\r\n"
	for _, c := range []struct {
		name, request string
		status        int
		code          auth.Code
	}{
		{"a chunked body without end", typed + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat(chunk, 10), 413, auth.CodeInvalidRequest}, // UR-11
		{"a length that is too large, without the body", typed + "Content-Length: 99999999999\r\n\r\n", 413, auth.CodeInvalidRequest},
		{"chunks that are malformed", typed + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, auth.CodeInvalidRequest},
		{"a chunked body without a type", post + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 415, auth.CodeInvalidRequest},
		{"two types", typed + "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", 415, auth.CodeInvalidRequest},
		{"a path without a slash", "OPTIONS * HTTP/1.1\r\nHost: x\r\nX-Test: 1\r\n\r\n", 200, ""},
		{"a URL for a path", "GET http://x//user HTTP/1.1\r\nHost: x\r\n\r\n", 404, auth.CodeRouteNotFound},
		{"500 headers", "GET /user HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X-A: b\r\n", 500) + "\r\n", 401, auth.CodeUnauthenticated},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			response, body := raw(t, server, c.request)
			if c.code == "" {
				// net/http answers "*" itself; it never reaches a handler.
				if response.StatusCode != c.status {
					t.Errorf("status %d, want %d", response.StatusCode, c.status)
				}
				return
			}
			wantFailure(t, response.StatusCode, response.Header, body, c.status, c.code)
		})
	}
	t.Run("more header than fits is refused before any of it is read", func(t *testing.T) { // JW-14, LG-17
		t.Parallel()
		response, _ := raw(t, server, "GET /user HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+strings.Repeat(".", 100_000)+"\r\n\r\n")
		if response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("status %d, want 431", response.StatusCode)
		}
	})
	t.Run("an empty chunked body is no body", func(t *testing.T) {
		t.Parallel()
		response, body := raw(t, server, post+"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
		if response.StatusCode != http.StatusOK || !strings.Contains(body, `"session"`) {
			t.Errorf("%d %s", response.StatusCode, body)
		}
	})
	t.Run("a body is not cut short by a form's content type", func(t *testing.T) {
		t.Parallel()
		response, body := raw(t, server, post+"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 15\r\n\r\ndisplayName=Eve")
		wantFailure(t, response.StatusCode, response.Header, body, 415, auth.CodeInvalidRequest)
	})
}

// raw sends the bytes of a request.
func raw(t *testing.T, server *httptest.Server, request string) (*http.Response, string) {
	t.Helper()
	c, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	go io.WriteString(c, request) //nolint:errcheck // the server may stop reading
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

func zipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, s); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.String()
}

func manyKeys(n int) string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = `"` + strconv.Itoa(i) + `":1`
	}
	return strings.Join(keys, ",")
}

// FuzzRequest: whatever a stranger sends, the answer is never a fault of ours, and every failure has the one body.
func FuzzRequest(f *testing.F) {
	s := memstore.New()
	session := authtest.NewWithStore(f, s, open).SignUp(f, "ada@example.com")
	e := authtest.NewWithStore(f, s, open, letters, func(c *auth.Config) { c.SignUp.Disabled = true })
	h := newHandler(f, e.Engine, httpadapter.Options{MaxBody: 4 << 10, AllowedOrigins: []string{"https://app.test"}})
	const signedIn = "as ada@example.com" // for the access token, which is another one each time
	for _, rt := range bodies {
		f.Add(rt.method, rt.path, "", "application/json", "", rt.good)
		f.Add(rt.method, rt.path, "", "application/json", signedIn, rt.good)
	}
	f.Add("GET", "/user/webauthn/keys", "", "", signedIn, "")
	for _, path := range []string{"/mfa", "/mfa/totp/generate", "/pat", "/elevate"} {
		f.Add("GET", path, "", "", signedIn, "")
	}
	f.Add("DELETE", "/pat/2c35b6f3-c4b9-48e3-978a-d4d0f1d42e24", "", "", signedIn, "")
	f.Add("DELETE", "/user/webauthn/keys/2c35b6f3-c4b9-48e3-978a-d4d0f1d42e24", "signOutOthers=true", "", signedIn, "")
	f.Add("GET", "/.well-known/webauthn", "", "", "", "")
	f.Add("GET", "/user", "", "", "Bearer x", "")
	for _, l := range links {
		f.Add("GET", "/verify", "ticket="+l.kind+":x&redirectTo=https://app.test/a?b=c%23d&type="+l.linkType, "", "", "")
	}
	f.Add("GET", "/verify", "ticket=verifyEmail:x&redirectTo=https://app.test/a?b=c%23d&type=emailVerify", "", "", "")
	f.Add("GET", "/.well-known/jwks.json", "", "", "", "")
	f.Add("DELETE", "/user/sessions/x", "", "", "Basic x", "")
	f.Add("OPTIONS", "//%2e", ";", "application/json; charset=\"utf-8\"", "", "{}")
	f.Fuzz(func(t *testing.T, method, path, query, contentType, authorization, body string) {
		r, err := http.NewRequest(method, "http://x", strings.NewReader(body))
		if err != nil {
			return // not a method
		}
		u, err := r.URL.Parse(path)
		if err != nil {
			return
		}
		r.URL, r.URL.RawQuery, r.RequestURI = u, query, path
		r.RemoteAddr = "192.0.2.1:1"
		if authorization == signedIn {
			authorization = "Bearer " + session.AccessToken
		}
		r.Header["Content-Type"], r.Header["Authorization"] = []string{contentType}, []string{authorization}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		switch {
		case w.Code >= 500 || w.Code == http.StatusMovedPermanently || w.Code == http.StatusTemporaryRedirect:
			t.Fatalf("status %d: %s", w.Code, w.Body)
		case w.Code >= 400:
			if !strings.HasPrefix(w.Body.String(), fmt.Sprintf(`{"status":%d,"error":"`, w.Code)) {
				t.Fatalf("status %d with the body %q", w.Code, w.Body)
			}
		case w.Code == http.StatusFound:
			if l := w.Header().Get("Location"); !strings.HasPrefix(l, authtest.ClientURL) {
				t.Fatalf("redirects to %q", l)
			}
		}
	})
}
