package openapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/limit"
	"github.com/ostiary/auth/store"
)

func (s *faultyStore) ChangeUser(ctx context.Context, c store.UserChange) (store.User, error) {
	if err := s.err(); err != nil {
		return store.User{}, err
	}
	return s.Store.ChangeUser(ctx, c)
}

// Configurations that make a route of second factors or tokens refuse, or not.
var (
	noFactors = setup{config: func(c *auth.Config) {
		c.MFA, c.PAT, c.Elevation.Methods = nil, nil, []auth.ElevationMethod{auth.ElevateByWebAuthn}
	}}
	byPassword = setup{config: func(c *auth.Config) {
		c.Elevation.Methods = []auth.ElevationMethod{
			auth.ElevateByWebAuthn, auth.ElevateByTOTP, auth.ElevateByPassword, auth.ElevateByEmailOTP, auth.ElevateBySMSOTP,
		}
	}}
	byCode = setup{config: func(c *auth.Config) {
		c.Elevation.Methods = []auth.ElevationMethod{auth.ElevateByEmailOTP, auth.ElevateBySMSOTP}
	}}
)

// enrolled is ada@example.com, signed in, with a second factor, and its secret.
func (r *realm) enrolled(t *testing.T) (*auth.Session, string) {
	t.Helper()
	s := r.signUp(t)
	r.seed = r.EnrolTOTP(t, s)
	return s, r.seed
}

// nextCode moves on to a time step whose code has not been used, and returns that code.
func (r *realm) nextCode(t *testing.T, secret string) string {
	t.Helper()
	r.Clock.Advance(30 * time.Second)
	return authtest.TOTPCode(t, secret, r.Clock.Now())
}

// asked signs ada@example.com in, who has a second factor, and returns the ticket.
func (r *realm) asked(t *testing.T) string {
	t.Helper()
	got := r.send(t, post("/signin/email-password", credentialsOf(email, authtest.Password)))
	check(t, got, 200, "")
	var in auth.SignInResult
	if err := json.Unmarshal(got.body, &in); err != nil || in.MFA == nil || in.Session != nil {
		t.Fatal(err, string(got.body))
	}
	return in.MFA.Ticket
}

// recoveryCode makes recovery codes and returns one.
func (r *realm) recoveryCode(t *testing.T, s *auth.Session) string {
	t.Helper()
	codes, err := r.GenerateRecoveryCodes(t.Context(), r.Principal(t, s), auth.GenerateRecoveryCodesParams{Code: r.nextCode(t, r.seed)})
	if err != nil {
		t.Fatal(err)
	}
	return codes[0]
}

// secret generates a secret and returns it.
func (r *realm) secret(t *testing.T, s *auth.Session) string {
	t.Helper()
	enrolment, err := r.GenerateTOTP(t.Context(), r.Principal(t, s), auth.GenerateTOTPParams{})
	if err != nil {
		t.Fatal(err)
	}
	return enrolment.Secret
}

// pat makes a personal access token.
func (r *realm) pat(t *testing.T, s *auth.Session) *auth.PAT {
	t.Helper()
	made, err := r.CreatePAT(t.Context(), r.Principal(t, s), auth.CreatePATParams{ExpiresAt: r.Clock.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func withOTP(ticket, otp string) string { return `{"ticket":"` + ticket + `","otp":"` + otp + `"}` }

func withRecovery(ticket, code string) string {
	return `{"ticket":"` + ticket + `","recoveryCode":"` + code + `"}`
}

func set(activeMFAType, code string) string {
	return `{"activeMfaType":"` + activeMFAType + `","code":"` + code + `"}`
}

func withPAT(token string) string { return `{"personalAccessToken":"` + token + `"}` }

// until makes a token that expires within a month of now by any clock of a test, with further members.
func until(more string) string {
	return `{"expiresAt":"` + time.Now().Add(30*24*time.Hour).UTC().Format(time.RFC3339) + `"` + more + `}`
}

const (
	noTicket  = "mfaTotp:2c35b6f3-c4b9-48e3-978a-d4d0f1d42e24"
	nobodyPAT = "2c35b6f3-c4b9-48e3-978a-d4d0f1d42e24"
	noCode    = "000000"
)

// byToken is a request in a session of a personal access token.
func byToken(q request) func(*testing.T, *realm) request {
	return func(t *testing.T, r *realm) request {
		in, err := r.SignInPAT(t.Context(), auth.SignInPATParams{PersonalAccessToken: r.pat(t, r.signUp(t)).Token})
		if err != nil {
			t.Fatal(err)
		}
		return q.as(in.Session)
	}
}

// factorCalls are those of second factors, personal access tokens and the ways to step up.
var factorCalls = []call{
	{"a code signs in after the password", setup{}, func(t *testing.T, r *realm) request {
		_, secret := r.enrolled(t)
		return post("/signin/mfa/totp", withOTP(r.asked(t), r.nextCode(t, secret)))
	}, 200, ""},
	{"a link of who has a second factor brings a ticket", setup{}, func(t *testing.T, r *realm) request {
		_, secret := r.enrolled(t)
		link, _ := r.letter(t, email, post("/signin/passwordless/email", to(email)))
		got := r.send(t, get(link))
		check(t, got, 302, "")
		u, err := url.Parse(got.header.Get("Location"))
		if err != nil || u.Query().Has("refreshToken") {
			t.Fatal(u, err)
		}
		return post("/signin/mfa/totp", withOTP(u.Query().Get("mfaTicket"), r.nextCode(t, secret)))
	}, 200, ""},
	{"a code of a link is traded for a ticket", setup{}, func(t *testing.T, r *realm) request {
		r.enrolled(t)
		return post("/token/exchange", r.exchange(t, codeVerifier))
	}, 200, ""},
	{"a code in a letter is traded for a ticket", setup{}, func(t *testing.T, r *realm) request {
		r.enrolled(t)
		_, code := r.letter(t, email, post("/signin/otp/email", to(email)))
		return post("/signin/otp/email/verify", otpFor(code))
	}, 200, ""},
	{"another ticket is no ticket of a second factor", setup{}, of(post("/signin/mfa/totp", withOTP("verifyEmail:x", noCode))), 400, auth.CodeInvalidRequest},
	{"a second factor is text", setup{}, of(post("/signin/mfa/totp", `{"ticket":"`+noTicket+`","otp":123456}`)), 400, auth.CodeInvalidRequest},
	{"an unknown ticket needs no second factor", setup{}, of(post("/signin/mfa/totp", withOTP(noTicket, noCode))), 401, auth.CodeInvalidTicket},
	{"a wrong code does not sign in", setup{}, func(t *testing.T, r *realm) request {
		r.enrolled(t)
		return post("/signin/mfa/totp", withOTP(r.asked(t), noCode))
	}, 401, auth.CodeInvalidTOTP},
	{"a code of a disabled user does not sign in", setup{}, func(t *testing.T, r *realm) request {
		s, secret := r.enrolled(t)
		ticket := r.asked(t)
		r.disable(t, s)
		return post("/signin/mfa/totp", withOTP(ticket, r.nextCode(t, secret)))
	}, 401, auth.CodeDisabledUser},
	{"second factors may be off", noFactors, of(post("/signin/mfa/totp", withOTP(noTicket, noCode))), 409, auth.CodeDisabledEndpoint},

	{"a recovery code signs in", setup{}, func(t *testing.T, r *realm) request {
		s, _ := r.enrolled(t)
		return post("/signin/mfa/recovery", withRecovery(r.asked(t), strings.ToUpper(r.recoveryCode(t, s))))
	}, 200, ""},
	{"a recovery needs a code", setup{}, of(post("/signin/mfa/recovery", `{"ticket":"`+noTicket+`"}`)), 400, auth.CodeInvalidRequest},
	{"a wrong recovery code does not sign in", setup{}, func(t *testing.T, r *realm) request {
		r.enrolled(t)
		return post("/signin/mfa/recovery", withRecovery(r.asked(t), "aaaa-aaaa-aaaa-aaaa"))
	}, 401, auth.CodeInvalidTOTP},
	{"recovery may be off", noFactors, of(post("/signin/mfa/recovery", withRecovery(noTicket, "x"))), 409, auth.CodeDisabledEndpoint},

	{"a token signs in", setup{}, func(t *testing.T, r *realm) request {
		return post("/signin/pat", withPAT(r.pat(t, r.signUp(t)).Token))
	}, 200, ""},
	{"a token signs in past a second factor", setup{}, func(t *testing.T, r *realm) request {
		s := r.signUp(t)
		made := r.pat(t, s)
		r.EnrolTOTP(t, s)
		return post("/signin/pat", withPAT(made.Token))
	}, 200, ""},
	{"signing in with a token needs one", setup{}, of(post("/signin/pat", `{}`)), 400, auth.CodeInvalidRequest},
	{"an unknown token does not sign in", setup{}, of(post("/signin/pat", withPAT(nobodyPAT))), 401, auth.CodeInvalidPAT},
	{"a token of a disabled user does not sign in", setup{}, func(t *testing.T, r *realm) request {
		s := r.signUp(t)
		token := r.pat(t, s).Token
		r.disable(t, s)
		return post("/signin/pat", withPAT(token))
	}, 401, auth.CodeDisabledUser},
	{"tokens may be off", noFactors, of(post("/signin/pat", withPAT(nobodyPAT))), 409, auth.CodeDisabledEndpoint},

	{"a user has no second factor", setup{}, byUser(get("/mfa")), 200, ""},
	{"a user has a second factor", setup{}, func(t *testing.T, r *realm) request {
		s, _ := r.enrolled(t)
		r.recoveryCode(t, s)
		return get("/mfa").as(s)
	}, 200, ""},
	{"a guest has no second factor", setup{}, byGuest(get("/mfa")), 200, ""},
	{"the user with a second factor is returned", setup{}, func(t *testing.T, r *realm) request {
		s, _ := r.enrolled(t)
		return get("/user").as(s)
	}, 200, ""},
	{"nobody has no second factor", setup{}, of(get("/mfa")), 401, auth.CodeUnauthenticated},
	{"a disabled user has no second factor, without a word where errors are concealed", concealed, byDisabled(get("/mfa")), 400, auth.CodeInvalidRequest},

	{"a second factor is made", setup{}, byUser(get("/mfa/totp/generate")), 200, ""},
	{"a second factor is made for nobody", setup{}, of(get("/mfa/totp/generate")), 401, auth.CodeUnauthenticated},
	{"a second factor is made for no guest", setup{}, byGuest(get("/mfa/totp/generate")), 403, auth.CodeForbiddenAnonymous},
	{"another second factor is not made without the first", setup{}, func(t *testing.T, r *realm) request {
		s, _ := r.enrolled(t)
		return get("/mfa/totp/generate").as(s)
	}, 403, auth.CodeElevationRequired},
	{"a second factor is not made where they are off", noFactors, byUser(get("/mfa/totp/generate")), 409, auth.CodeDisabledEndpoint},
	{"a second factor is not made for a disabled user, without a word where errors are concealed", concealed, byDisabled(get("/mfa/totp/generate")), 400, auth.CodeInvalidRequest},

	{"another second factor is made with a code", setup{}, func(t *testing.T, r *realm) request {
		s, secret := r.enrolled(t)
		return post("/mfa/totp/generate", `{"code":"`+r.nextCode(t, secret)+`"}`).as(s)
	}, 200, ""},
	{"another second factor needs a code", setup{}, byUser(post("/mfa/totp/generate", `{}`)), 400, auth.CodeInvalidRequest},
	{"another second factor is not made with a wrong code", setup{}, func(t *testing.T, r *realm) request {
		s, _ := r.enrolled(t)
		return post("/mfa/totp/generate", `{"code":"`+noCode+`"}`).as(s)
	}, 401, auth.CodeInvalidTOTP},
	{"another second factor is made for no guest", setup{}, byGuest(post("/mfa/totp/generate", `{"code":"`+noCode+`"}`)), 403, auth.CodeForbiddenAnonymous},
	{"another second factor is not made where they are off", noFactors, byUser(post("/mfa/totp/generate", `{"code":"`+noCode+`"}`)), 409, auth.CodeDisabledEndpoint},

	{"a look at the enrolment of a second factor begins none", setup{}, byUser(head("/mfa/totp/generate")), 200, ""},
	{"recovery codes are made", setup{}, func(t *testing.T, r *realm) request {
		s, secret := r.enrolled(t)
		return post("/mfa/recovery-codes", `{"code":"`+r.nextCode(t, secret)+`"}`).as(s)
	}, 200, ""},
	{"recovery codes are made without a code after a sign-in with one", setup{}, func(t *testing.T, r *realm) request {
		_, secret := r.enrolled(t)
		in, err := r.VerifyMFA(t.Context(), auth.VerifyMFAParams{Ticket: r.asked(t), OTP: r.nextCode(t, secret)})
		if err != nil {
			t.Fatal(err)
		}
		return post("/mfa/recovery-codes", "").as(in.Session)
	}, 200, ""},
	{"recovery codes need a code", setup{}, func(t *testing.T, r *realm) request {
		s, _ := r.enrolled(t)
		return post("/mfa/recovery-codes", "").as(s)
	}, 403, auth.CodeElevationRequired},
	{"recovery codes are not made with a wrong code", setup{}, func(t *testing.T, r *realm) request {
		s, _ := r.enrolled(t)
		return post("/mfa/recovery-codes", `{"code":"`+noCode+`"}`).as(s)
	}, 401, auth.CodeInvalidTOTP},
	{"recovery codes are not chosen", setup{}, byUser(post("/mfa/recovery-codes", `{"codes":["x"]}`)), 400, auth.CodeInvalidRequest},
	{"recovery codes are made for nobody", setup{}, of(post("/mfa/recovery-codes", "")), 401, auth.CodeUnauthenticated},
	{"recovery codes are of no use without a second factor", setup{}, byUser(post("/mfa/recovery-codes", "{}")), 401, auth.CodeDisabledMFATOTP},
	{"recovery codes are made for no guest", setup{}, byGuest(post("/mfa/recovery-codes", "")), 403, auth.CodeForbiddenAnonymous},
	{"recovery codes are made soon after a sign-in", setup{}, func(t *testing.T, r *realm) request {
		s, _ := r.enrolled(t)
		r.Clock.Advance(11 * time.Minute)
		return post("/mfa/recovery-codes", "").as(s)
	}, 403, auth.CodeElevationRequired},

	{"a second factor is turned on", setup{}, func(t *testing.T, r *realm) request {
		s := r.signUp(t)
		return post("/user/mfa", set("totp", r.nextCode(t, r.secret(t, s)))).as(s)
	}, 200, ""},
	{"a second factor is turned off", setup{}, func(t *testing.T, r *realm) request {
		s, secret := r.enrolled(t)
		return post("/user/mfa", set("", r.nextCode(t, secret))).as(s)
	}, 200, ""},
	{"a second factor is turned off in few words", setup{}, func(t *testing.T, r *realm) request {
		s, secret := r.enrolled(t)
		return post("/user/mfa", `{"code":"`+r.nextCode(t, secret)+`","activeMfaType":null,"recoveryCode":null}`).as(s)
	}, 200, ""},
	{"a second factor is turned off with a recovery code", setup{}, func(t *testing.T, r *realm) request {
		s, _ := r.enrolled(t)
		return post("/user/mfa", `{"recoveryCode":"`+r.recoveryCode(t, s)+`"}`).as(s)
	}, 200, ""},
	{"a second factor is not turned on without a code", setup{}, byUser(post("/user/mfa", `{"activeMfaType":"totp"}`)), 400, auth.CodeInvalidRequest},
	{"a second factor is not turned on before it is made", setup{}, byUser(post("/user/mfa", set("totp", noCode))), 400, auth.CodeNoTOTPSecret},
	{"a second factor is not turned on twice", setup{}, func(t *testing.T, r *realm) request {
		s, secret := r.enrolled(t)
		return post("/user/mfa", set("totp", r.nextCode(t, secret))).as(s)
	}, 400, auth.CodeTOTPAlreadyActive},
	{"there is no other second factor", setup{}, byUser(post("/user/mfa", set("sms", noCode))), 400, auth.CodeMFATypeNotFound},
	{"a second factor that is not on is not turned off", setup{}, byUser(post("/user/mfa", set("", noCode))), 401, auth.CodeDisabledMFATOTP},
	{"a second factor is not turned on with a wrong code", setup{}, func(t *testing.T, r *realm) request {
		s := r.signUp(t)
		r.secret(t, s)
		return post("/user/mfa", set("totp", noCode)).as(s)
	}, 401, auth.CodeInvalidTOTP},
	{"nobody turns on a second factor", setup{}, of(post("/user/mfa", set("totp", noCode))), 401, auth.CodeUnauthenticated},
	{"a guest turns on no second factor", setup{}, byGuest(post("/user/mfa", set("totp", noCode))), 403, auth.CodeForbiddenAnonymous},
	{"a second factor is turned on soon after a sign-in", setup{}, func(t *testing.T, r *realm) request {
		s := r.signUp(t)
		secret := r.secret(t, s)
		r.Clock.Advance(11 * time.Minute)
		return post("/user/mfa", set("totp", r.nextCode(t, secret))).as(s)
	}, 403, auth.CodeElevationRequired},
	{"a second factor is not turned on where they are off", noFactors, byUser(post("/user/mfa", set("totp", noCode))), 409, auth.CodeDisabledEndpoint},

	{"a token is made", setup{}, byUser(post("/pat", until(""))), 200, ""},
	{"a token is made with all that it can have", setup{}, byUser(post("/pat", until(`,"metadata":{"name":"ci"},"scopes":["read","repo:write"]`))), 200, ""},
	{"a token is made with nothing at length", setup{}, byUser(post("/pat", until(`,"metadata":null,"scopes":null`))), 200, ""},
	{"a token expires", setup{}, byUser(post("/pat", `{}`)), 400, auth.CodeInvalidRequest},
	{"a token expires in the future", setup{}, byUser(post("/pat", `{"expiresAt":"2001-01-01T00:00:00Z"}`)), 400, auth.CodeInvalidRequest},
	{"a token expires at an instant", setup{}, byUser(post("/pat", `{"expiresAt":"2030-01-01"}`)), 400, auth.CodeInvalidRequest},
	{"a token expires before long", setup{}, byUser(post("/pat", `{"expiresAt":"9999-01-01T00:00:00Z"}`)), 400, auth.CodeInvalidRequest},
	{"a token is made for nobody", setup{}, of(post("/pat", until(""))), 401, auth.CodeUnauthenticated},
	{"a token is made for no guest", setup{}, byGuest(post("/pat", until(""))), 403, auth.CodeForbiddenAnonymous},
	{"a token needs a step-up to be made", stepUpRequired, byUser(post("/pat", until(""))), 403, auth.CodeElevationRequired},
	{"a token makes no token", setup{}, byToken(post("/pat", until(""))), 403, auth.CodeElevationRequired},
	{"a token may ask who its user is", setup{}, byToken(get("/user")), 200, ""},
	{"a token lists no tokens", setup{}, byToken(get("/pat")), 403, auth.CodeElevationRequired},
	{"a token revokes no token", setup{}, byToken(del("/pat/" + nobodyPAT)), 403, auth.CodeElevationRequired},
	{"a token lists no sessions", setup{}, byToken(get("/user/sessions")), 403, auth.CodeElevationRequired},
	{"a token ends no session", setup{}, byToken(del("/user/sessions/" + nobodyPAT)), 403, auth.CodeElevationRequired},
	{"a token does not sign out everywhere", setup{}, byToken(post("/signout", `{"all":true}`)), 403, auth.CodeElevationRequired},
	{"a token exports nothing", setup{}, byToken(get("/user/export")), 403, auth.CodeElevationRequired},
	{"a token lists no keys", setup{}, byToken(get("/user/webauthn/keys")), 403, auth.CodeElevationRequired},
	{"a token does not ask for a second factor", setup{}, byToken(get("/mfa")), 403, auth.CodeElevationRequired},
	{"a token proves no number", setup{}, byToken(post("/user/phone-number/change/verify", changed(`,"otp":"123456"`))), 403, auth.CodeElevationRequired},
	{"a token is not made where they are off", noFactors, byUser(post("/pat", until(""))), 409, auth.CodeDisabledEndpoint},

	{"tokens are listed", setup{}, func(t *testing.T, r *realm) request {
		s := r.signUp(t)
		check(t, r.send(t, post("/pat", until(`,"metadata":{"name":"ci"},"scopes":["read"]`)).as(s)), 200, "")
		check(t, r.send(t, post("/signin/pat", withPAT(r.pat(t, s).Token))), 200, "")
		return get("/pat").as(s)
	}, 200, ""},
	{"tokens are exported", setup{}, func(t *testing.T, r *realm) request {
		s := r.signUp(t)
		r.pat(t, s)
		return get("/user/export").as(s)
	}, 200, ""},
	{"nobody has no tokens", setup{}, of(get("/pat")), 401, auth.CodeUnauthenticated},
	{"a disabled user has no tokens, without a word where errors are concealed", concealed, byDisabled(get("/pat")), 400, auth.CodeInvalidRequest},

	{"a token is revoked", setup{}, func(t *testing.T, r *realm) request {
		s := r.signUp(t)
		return del("/pat/" + r.pat(t, s).ID.String()).as(s)
	}, 200, ""},
	{"nobody revokes no token", setup{}, of(del("/pat/" + nobodyPAT)), 401, auth.CodeUnauthenticated},
	{"a disabled user revokes no token, without a word where errors are concealed", concealed, byDisabled(del("/pat/" + nobodyPAT)), 400, auth.CodeInvalidRequest},
	{"another's token is not found", setup{}, func(t *testing.T, r *realm) request {
		return del("/pat/" + r.pat(t, r.SignUp(t, stranger)).ID.String()).as(r.signUp(t))
	}, 404, auth.CodeRouteNotFound},

	{"a user can step up in no way", setup{}, byUser(get("/elevate")), 200, ""},
	{"a user can step up in several ways", byPassword, func(t *testing.T, r *realm) request {
		s, _, _ := r.user(t)
		r.EnrolTOTP(t, s)
		return get("/elevate").as(s)
	}, 200, ""},
	{"a user can step up by a password", byPassword, byUser(get("/elevate")), 200, ""},
	{"nobody can step up", setup{}, of(get("/elevate")), 401, auth.CodeUnauthenticated},
	{"a guest cannot step up", setup{}, byGuest(get("/elevate")), 403, auth.CodeForbiddenAnonymous},
	{"a disabled user cannot step up, without a word where errors are concealed", concealed, byDisabled(get("/elevate")), 400, auth.CodeInvalidRequest},

	{"a code steps up", setup{}, func(t *testing.T, r *realm) request {
		s, secret := r.enrolled(t)
		return post("/elevate/totp", `{"otp":"`+r.nextCode(t, secret)+`"}`).as(s)
	}, 200, ""},
	{"a code does not step up without a second factor", setup{}, byUser(post("/elevate/totp", `{"otp":"`+noCode+`"}`)), 400, auth.CodeInvalidRequest},
	{"a wrong code does not step up", setup{}, func(t *testing.T, r *realm) request {
		s, _ := r.enrolled(t)
		return post("/elevate/totp", `{"otp":"`+noCode+`"}`).as(s)
	}, 401, auth.CodeInvalidTOTP},
	{"nobody steps up by a code", setup{}, of(post("/elevate/totp", `{"otp":"`+noCode+`"}`)), 401, auth.CodeUnauthenticated},
	{"a guest does not step up by a code", setup{}, byGuest(post("/elevate/totp", `{"otp":"`+noCode+`"}`)), 403, auth.CodeForbiddenAnonymous},
	{"stepping up by a code may be off", noFactors, byUser(post("/elevate/totp", `{"otp":"`+noCode+`"}`)), 409, auth.CodeDisabledEndpoint},

	{"a code is sent to step up with, by letter", byCode, byUser(post("/elevate/otp/email", "")), 200, ""},
	{"a code is sent to step up with, by text message", byCode, func(t *testing.T, r *realm) request {
		return post("/elevate/otp/sms", "{}").as(r.withNumber(t))
	}, 200, ""},
	{"a code to step up with needs an empty body", byCode, byUser(post("/elevate/otp/email", `{"to":"eve@example.com"}`)), 400, auth.CodeInvalidRequest},
	{"a code to step up with needs a number", byCode, byUser(post("/elevate/otp/sms", "")), 400, auth.CodeInvalidRequest},
	{"nobody is sent a code by letter", byCode, of(post("/elevate/otp/email", "")), 401, auth.CodeUnauthenticated},
	{"nobody is sent a code by text message", byCode, of(post("/elevate/otp/sms", "")), 401, auth.CodeUnauthenticated},
	{"a guest is sent no code by letter", byCode, byGuest(post("/elevate/otp/email", "")), 403, auth.CodeForbiddenAnonymous},
	{"a guest is sent no code by text message", byCode, byGuest(post("/elevate/otp/sms", "")), 403, auth.CodeForbiddenAnonymous},
	{"stepping up by letter may be off", setup{}, byUser(post("/elevate/otp/email", "")), 409, auth.CodeDisabledEndpoint},
	{"stepping up by text message may be off", setup{}, byUser(post("/elevate/otp/sms", "")), 409, auth.CodeDisabledEndpoint},
	{"a code by letter steps up", byCode, func(t *testing.T, r *realm) request {
		s := r.signUp(t)
		check(t, r.send(t, post("/elevate/otp/email", "").as(s)), 200, "")
		return post("/elevate/otp/email/verify", `{"otp":"`+r.Mailbox.Last(t, email).Ticket()+`"}`).as(s)
	}, 200, ""},
	{"a code by text message steps up", byCode, func(t *testing.T, r *realm) request {
		s := r.withNumber(t)
		check(t, r.send(t, post("/elevate/otp/sms", "").as(s)), 200, "")
		messages := r.Phone.All()
		return post("/elevate/otp/sms/verify", `{"otp":"`+messages[len(messages)-1].Code+`"}`).as(s)
	}, 200, ""},
	{"a wrong code by letter does not step up", byCode, byUser(post("/elevate/otp/email/verify", `{"otp":"`+noCode+`"}`)), 400, auth.CodeInvalidRequest},
	{"a wrong code by text message does not step up", byCode, func(t *testing.T, r *realm) request {
		return post("/elevate/otp/sms/verify", `{"otp":"`+noCode+`"}`).as(r.withNumber(t))
	}, 400, auth.CodeInvalidRequest},
	{"nobody steps up by a code in a letter", byCode, of(post("/elevate/otp/email/verify", `{"otp":"`+noCode+`"}`)), 401, auth.CodeUnauthenticated},
	{"nobody steps up by a code in a text message", byCode, of(post("/elevate/otp/sms/verify", `{"otp":"`+noCode+`"}`)), 401, auth.CodeUnauthenticated},
	{"a guest does not step up by a code in a letter", byCode, byGuest(post("/elevate/otp/email/verify", `{"otp":"`+noCode+`"}`)), 403, auth.CodeForbiddenAnonymous},
	{"a guest does not step up by a code in a text message", byCode, byGuest(post("/elevate/otp/sms/verify", `{"otp":"`+noCode+`"}`)), 403, auth.CodeForbiddenAnonymous},
	{"a code in a letter may be off", setup{}, byUser(post("/elevate/otp/email/verify", `{"otp":"`+noCode+`"}`)), 409, auth.CodeDisabledEndpoint},
	{"a code in a text message may be off", setup{}, byUser(post("/elevate/otp/sms/verify", `{"otp":"`+noCode+`"}`)), 409, auth.CodeDisabledEndpoint},

	{"a password steps up", byPassword, byUser(post("/elevate/password", `{"password":"`+authtest.Password+`"}`)), 200, ""},
	{"a password does not step up who has a key", byPassword, func(t *testing.T, r *realm) request {
		s, _, _ := r.user(t)
		return post("/elevate/password", `{"password":"`+authtest.Password+`"}`).as(s)
	}, 400, auth.CodeInvalidRequest},
	{"a wrong password does not step up", byPassword, byUser(post("/elevate/password", `{"password":"wrong"}`)), 401, auth.CodeInvalidEmailPassword},
	{"nobody steps up by a password", byPassword, of(post("/elevate/password", `{"password":"x"}`)), 401, auth.CodeUnauthenticated},
	{"a guest does not step up by a password", byPassword, byGuest(post("/elevate/password", `{"password":"x"}`)), 403, auth.CodeForbiddenAnonymous},
	{"stepping up by a password may be off", setup{}, byUser(post("/elevate/password", `{"password":"x"}`)), 409, auth.CodeDisabledEndpoint},
}

// unsafeFactorRoutes are those of unsafeRoutes that are about second factors, tokens and the ways to step up.
func unsafeFactorRoutes(s *auth.Session) []request {
	return []request{
		post("/signin/mfa/totp", withOTP(noTicket, noCode)),
		post("/signin/mfa/recovery", withRecovery(noTicket, "x")),
		post("/signin/pat", withPAT(nobodyPAT)),
		post("/mfa/totp/generate", `{"code":"`+noCode+`"}`).as(s),
		post("/mfa/recovery-codes", `{}`).as(s),
		post("/user/mfa", set("totp", noCode)).as(s),
		post("/pat", until("")).as(s),
		del("/pat/" + nobodyPAT).as(s),
		post("/elevate/totp", `{"otp":"`+noCode+`"}`).as(s),
		post("/elevate/password", `{"password":"x"}`).as(s),
		post("/elevate/otp/email", `{}`).as(s),
		post("/elevate/otp/sms", `{}`).as(s),
		post("/elevate/otp/email/verify", `{"otp":"`+noCode+`"}`).as(s),
		post("/elevate/otp/sms/verify", `{"otp":"`+noCode+`"}`).as(s),
	}
}

// refusesBodies sends each route a body of another type, and one that is too large.
func (r *realm) refusesBodies(t *testing.T, routes []request) {
	t.Helper()
	for _, q := range routes {
		if q.body == "" {
			continue
		}
		check(t, r.send(t, q.with("Content-Type", "text/plain")), 415, auth.CodeInvalidRequest)
		q.body = `{"x":"` + strings.Repeat("x", 64<<10) + `"}`
		check(t, r.send(t, q), 413, auth.CodeInvalidRequest)
	}
}

// factorAnswers are the answers that more than one route gives, from those that are about second factors, tokens and the ways to
// step up.
func factorAnswers(t *testing.T, newRealm func(*testing.T, setup) *realm) {
	t.Run("a body that is too large or of another type is refused", func(t *testing.T) {
		t.Parallel()
		r := newRealm(t, byPassword)
		r.refusesBodies(t, unsafeFactorRoutes(r.signUp(t)))
	})
	t.Run("with cookies another site is refused", func(t *testing.T) {
		t.Parallel()
		r := newRealm(t, cookieMode)
		s := r.signUp(t)
		for _, q := range append(unsafeFactorRoutes(s), get("/mfa/totp/generate").as(s)) {
			check(t, r.send(t, q.with("Origin", "https://evil.example")), 403, auth.CodeInvalidRequest)
		}
	})
	t.Run("with cookies no tokens are in the body", func(t *testing.T) {
		t.Parallel()
		r := newRealm(t, cookieMode)
		s := r.signUp(t)
		token := r.pat(t, s).Token
		secret := r.EnrolTOTP(t, s)
		r.seed = secret
		recovery := r.recoveryCode(t, s)
		for _, q := range []func() request{
			func() request { return post("/signin/mfa/totp", withOTP(r.asked(t), r.nextCode(t, secret))) },
			func() request { return post("/elevate/totp", `{"otp":"`+r.nextCode(t, secret)+`"}`) },
			func() request { return post("/signin/mfa/recovery", withRecovery(r.asked(t), recovery)) },
			func() request { return post("/signin/pat", withPAT(token)) },
		} {
			got := r.send(t, q())
			check(t, got, 200, "")
			var body auth.SignInResult
			if err := json.Unmarshal(got.body, &body); err != nil || body.Session == nil || body.Session.AccessToken+body.Session.RefreshToken != "" {
				t.Errorf("%v %s", err, got.body)
			}
			check(t, r.send(t, get("/user")), 200, "")
		}
	})
	t.Run("too many guesses are refused", func(t *testing.T) {
		t.Parallel()
		r := newRealm(t, setup{config: func(c *auth.Config) {
			byPassword.config(c)
			c.Limits.GuessesPerAccount = limit.Rate{Burst: 1, Per: time.Hour}
		}})
		s, _ := r.enrolled(t)
		ticket, other := r.asked(t), r.SignUp(t, stranger)
		for _, first := range []request{
			post("/signin/mfa/totp", withOTP(ticket, noCode)), post("/user/mfa", set("", noCode)).as(s), post("/elevate/totp", `{"otp":"`+noCode+`"}`).as(s),
		} { // each has guesses of its own
			check(t, r.send(t, first), 401, auth.CodeInvalidTOTP)
		}
		check(t, r.send(t, post("/elevate/password", `{"password":"wrong"}`).as(other)), 401, auth.CodeInvalidEmailPassword)
		for _, q := range []request{
			post("/signin/mfa/totp", withOTP(ticket, noCode)),
			post("/mfa/totp/generate", `{"code":"`+noCode+`"}`).as(s),
			post("/mfa/recovery-codes", `{"code":"`+noCode+`"}`).as(s),
			post("/user/mfa", set("", noCode)).as(s),
			post("/elevate/totp", `{"otp":"`+noCode+`"}`).as(s),
			post("/elevate/password", `{"password":"`+authtest.Password+`"}`).as(other),
		} {
			check(t, r.send(t, q), 429, auth.CodeTooManyRequests)
		}
	})
	t.Run("too many codes to step up with, and guesses at them, are refused", func(t *testing.T) {
		t.Parallel()
		once := limit.Rate{Burst: 1, Per: time.Hour}
		limited := newRealm(t, setup{config: func(c *auth.Config) {
			byCode.config(c)
			c.Limits = auth.LimitsConfig{GuessesPerAccount: once, EmailsPerAddress: once, SMSPerNumber: once}
		}})
		withAddress, withNumber := limited.signUp(t), limited.withNumber(t)
		for _, q := range []request{
			post("/elevate/otp/email", "").as(withAddress), post("/elevate/otp/email/verify", `{"otp":"`+noCode+`"}`).as(withAddress),
			post("/elevate/otp/sms", "").as(withNumber), post("/elevate/otp/sms/verify", `{"otp":"`+noCode+`"}`).as(withNumber),
		} {
			limited.send(t, q)
			check(t, limited.send(t, q), 429, auth.CodeTooManyRequests)
		}
	})
	t.Run("too many sign-ins with a token are refused", func(t *testing.T) {
		t.Parallel()
		r := newRealm(t, setup{config: func(c *auth.Config) {
			c.Hooks.BeforeSession = func(_ context.Context, _ *auth.User, amr []string) error { // a service's own limit
				if len(amr) == 1 && amr[0] == "pat" {
					return auth.ErrTooManyRequests
				}
				return nil
			}
		}})
		token := r.pat(t, r.signUp(t)).Token
		check(t, r.send(t, post("/signin/pat", withPAT(token))), 429, auth.CodeTooManyRequests)
	})
	for status, fault := range map[int]error{500: errors.New("the disk is full"), 503: context.DeadlineExceeded} {
		t.Run("a fault of the store is answered with "+http.StatusText(status), func(t *testing.T) {
			t.Parallel()
			r := newRealm(t, byPassword)
			s := r.signUp(t)
			r.store.fail(fault)
			for _, q := range append(unsafeFactorRoutes(s), get("/mfa").as(s), get("/mfa/totp/generate").as(s), get("/pat").as(s), get("/elevate").as(s)) {
				check(t, r.send(t, q), status, auth.CodeInternal)
			}
			if log := r.Logs.String(); log != "" {
				t.Errorf("the engine logs what it returns: %s", log)
			}
		})
	}
}
