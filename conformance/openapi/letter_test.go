package openapi_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/httpadapter"
)

// concealedAndClosed is where a letter to a stranger would tell the most.
var concealedAndClosed = setup{config: func(c *auth.Config) {
	c.ConcealErrors, c.SignUp.Disabled, c.Email.BlockedAddresses = true, true, []string{stranger}
}}

// confirmed is where a page asks before a link is followed.
var confirmed = setup{options: httpadapter.Options{ConfirmLinks: true}}

// asked is a body that asks for a letter with one of the options of a sign-up.
func asked(option string) string { return `{"email":"` + email + `","options":{` + option + `}}` }

// named is a body with which a guest becomes a user, with more members.
func named(more string) string {
	return `{"signInMethod":"email-password","email":"` + email + `"` + more + `}`
}

const good = `,"password":"` + authtest.Password + `"`

// byGuest is a request of a user without a name.
func byGuest(q request) func(*testing.T, *realm) request {
	return func(t *testing.T, r *realm) request { return q.as(r.guest(t)) }
}

// byUser is a request of ada@example.com.
func byUser(q request) func(*testing.T, *realm) request {
	return func(t *testing.T, r *realm) request { return q.as(r.signUp(t)) }
}

// byDisabled is a request of a user who has been disabled since they signed in.
func byDisabled(q request) func(*testing.T, *realm) request {
	return func(t *testing.T, r *realm) request { return q.as(r.disabled(t)) }
}

// bySignedOut is a request of a user whose session has ended before their access token has.
func bySignedOut(q request) func(*testing.T, *realm) request {
	return func(t *testing.T, r *realm) request {
		s := r.signUp(t)
		check(t, r.send(t, post("/signout", `{"refreshToken":"`+s.RefreshToken+`"}`)), 200, "")
		return q.as(s)
	}
}

// otpFor is the body that signs in with a code.
func otpFor(otp string) string { return `{"email":"` + email + `","otp":"` + otp + `"}` }

// wrongCode is another code than one.
func wrongCode(code string) string { return string('0'+(code[0]-'0'+1)%10) + code[1:] }

// letterCalls are the failures of what comes by letter: each code that the engine documents of each route.
var letterCalls = []call{
	{"a link to sign in with another default role is refused", setup{}, of(post("/signin/passwordless/email", asked(`"defaultRole":"admin"`))), 400, auth.CodeDefaultRoleNotAllowed},
	{"a link to sign in with a long name is refused", setup{}, of(post("/signin/passwordless/email", asked(`"displayName":"`+strings.Repeat("x", 33)+`"`))), 400, auth.CodeInvalidRequest},
	{"a link to sign in needs a challenge that is one", setup{}, of(post("/signin/passwordless/email", `{"email":"`+email+`","codeChallenge":"x"}`)), 400, auth.CodeInvalidRequest},
	{"a link to sign in tells nothing of an address that is not admitted where errors are concealed", concealedAndClosed, of(post("/signin/passwordless/email", to(stranger))), 200, ""},

	{"a code with another role is refused", setup{}, of(post("/signin/otp/email", asked(`"allowedRoles":["admin"]`))), 400, auth.CodeRoleNotAllowed},
	{"a code with another default role is refused", setup{}, of(post("/signin/otp/email", asked(`"defaultRole":"admin"`))), 400, auth.CodeDefaultRoleNotAllowed},
	{"a code that leads elsewhere is refused", setup{}, of(post("/signin/otp/email", asked(`"redirectTo":"https://evil.example"`))), 400, auth.CodeRedirectNotAllowed},
	{"a code to a new user may be refused", disabledSignUps, of(post("/signin/otp/email", to(email))), 401, auth.CodeDisabledUser},
	{"a code is not told to be for a disabled user", setup{}, func(t *testing.T, r *realm) request {
		r.disabled(t)
		return post("/signin/otp/email", to(email))
	}, 200, ""},
	{"a code tells nothing where errors are concealed", concealedAndClosed, of(post("/signin/otp/email", to(stranger))), 200, ""},
	{"a code signs nobody in without an address", setup{}, of(post("/signin/otp/email/verify", `{"email":"ada","otp":"123456"}`)), 400, auth.CodeInvalidRequest},
	{"a code signs in once", setup{}, func(t *testing.T, r *realm) request {
		_, code := r.letter(t, email, post("/signin/otp/email", to(email)))
		check(t, r.send(t, post("/signin/otp/email/verify", otpFor(code))), 200, "")
		return post("/signin/otp/email/verify", otpFor(code))
	}, 401, auth.CodeInvalidTicket},
	{"a code is void after wrong ones", setup{}, func(t *testing.T, r *realm) request {
		_, code := r.letter(t, email, post("/signin/otp/email", to(email)))
		for range 5 {
			check(t, r.send(t, post("/signin/otp/email/verify", otpFor(wrongCode(code)))), 401, auth.CodeInvalidTicket)
		}
		return post("/signin/otp/email/verify", otpFor(code))
	}, 401, auth.CodeInvalidTicket},
	{"a code is void after a while", setup{}, func(t *testing.T, r *realm) request {
		_, code := r.letter(t, email, post("/signin/otp/email", to(email)))
		r.Clock.Advance(10 * time.Minute)
		return post("/signin/otp/email/verify", otpFor(code))
	}, 401, auth.CodeInvalidTicket},
	{"a code of a disabled user signs nobody in", setup{}, func(t *testing.T, r *realm) request {
		s := r.signUp(t)
		_, code := r.letter(t, email, post("/signin/otp/email", to(email)))
		r.disable(t, s)
		return post("/signin/otp/email/verify", otpFor(code))
	}, 401, auth.CodeDisabledUser},

	{"a code of a link is traded once", setup{}, func(t *testing.T, r *realm) request {
		body := r.exchange(t, codeVerifier)
		check(t, r.send(t, post("/token/exchange", body)), 200, "")
		return post("/token/exchange", body)
	}, 400, auth.CodeInvalidRequest},
	{"a code of a link is void after a while", setup{}, func(t *testing.T, r *realm) request {
		body := r.exchange(t, codeVerifier)
		r.Clock.Advance(5 * time.Minute)
		return post("/token/exchange", body)
	}, 400, auth.CodeInvalidRequest},
	{"a code of a link has a verifier", setup{}, of(post("/token/exchange", `{"code":"code:x"}`)), 400, auth.CodeInvalidRequest},

	{"a guest becomes no user by another method", setup{}, byGuest(post("/user/deanonymize", `{"signInMethod":"webauthn","email":"`+email+`"}`)), 400, auth.CodeInvalidRequest},
	{"a guest becomes no user without an address", setup{}, byGuest(post("/user/deanonymize", `{"signInMethod":"passwordless","email":"ada"}`)), 400, auth.CodeInvalidRequest},
	{"a guest becomes no user by a short password", setup{}, byGuest(post("/user/deanonymize", named(`,"password":"short"`))), 400, auth.CodePasswordTooShort},
	{"a guest becomes no user by a common password", setup{}, byGuest(post("/user/deanonymize", named(`,"password":"password123"`))), 400, auth.CodePasswordBreached},
	{"a guest becomes no administrator", setup{}, byGuest(post("/user/deanonymize", named(good+`,"options":{"allowedRoles":["admin"]}`))), 400, auth.CodeRoleNotAllowed},
	{"a guest becomes no administrator by default", setup{}, byGuest(post("/user/deanonymize", named(good+`,"options":{"defaultRole":"admin"}`))), 400, auth.CodeDefaultRoleNotAllowed},
	{"a guest is not led elsewhere", setup{}, byGuest(post("/user/deanonymize", named(good+`,"options":{"redirectTo":"https://evil.example"}`))), 400, auth.CodeRedirectNotAllowed},
	{"a guest who is disabled becomes no user", setup{}, func(t *testing.T, r *realm) request {
		s := r.guest(t)
		r.disable(t, s)
		return post("/user/deanonymize", named(good)).as(s)
	}, 401, auth.CodeDisabledUser},
	{"a guest who has signed out becomes no user", setup{}, func(t *testing.T, r *realm) request {
		s := r.guest(t)
		check(t, r.send(t, post("/signout", `{"refreshToken":"`+s.RefreshToken+`"}`)), 200, "")
		return post("/user/deanonymize", named(good)).as(s)
	}, 401, auth.CodeUnauthenticated},
	{"a guest becomes no user where the service wants none", setup{config: func(c *auth.Config) {
		c.Hooks.BeforeSignUp = func(_ context.Context, s *auth.SignUp) error {
			if s.Email != "" && s.Method == "anonymous" {
				return auth.ErrSignUpDisabled
			}
			return nil
		}
	}}, byGuest(post("/user/deanonymize", named(good))), 403, auth.CodeSignUpDisabled},
	{"a guest with a taken address becomes no user, without a word where errors are concealed", concealed, func(t *testing.T, r *realm) request {
		r.signUp(t)
		return post("/user/deanonymize", named(good)).as(r.guest(t))
	}, 400, auth.CodeInvalidRequest},
	{"a user is no guest, which is no secret", concealed, byUser(post("/user/deanonymize", named(good))), 400, auth.CodeUserNotAnonymous},

	{"an address is changed to one that is", setup{}, byUser(post("/user/email/change", `{"newEmail":"eve"}`)), 400, auth.CodeInvalidRequest},
	{"an address is not changed to be led elsewhere", setup{}, byUser(post("/user/email/change", `{"newEmail":"`+stranger+`","options":{"redirectTo":"https://evil.example"}}`)), 400, auth.CodeRedirectNotAllowed},
	{"a disabled user changes no address", setup{}, byDisabled(post("/user/email/change", `{"newEmail":"`+stranger+`"}`)), 401, auth.CodeDisabledUser},
	{"who has signed out changes no address", setup{}, bySignedOut(post("/user/email/change", `{"newEmail":"`+stranger+`"}`)), 401, auth.CodeUnauthenticated},
	{"an address is changed to a taken one without a word where errors are concealed", concealed, func(t *testing.T, r *realm) request {
		r.SignUp(t, stranger)
		return post("/user/email/change", `{"newEmail":"`+stranger+`"}`).as(r.signUp(t))
	}, 200, ""},
	{"a guest changes no address, without a word where errors are concealed", concealed, byGuest(post("/user/email/change", `{"newEmail":"`+email+`"}`)), 400, auth.CodeInvalidRequest},

	{"the letter of a sign-up is not sent to what is no address", setup{}, of(post("/user/email/send-verification-email", to("ada"))), 400, auth.CodeInvalidRequest},
	{"the letter of a sign-up does not lead elsewhere", setup{}, of(post("/user/email/send-verification-email", asked(`"redirectTo":"https://evil.example"`))), 400, auth.CodeRedirectNotAllowed},
	{"the letter of a sign-up needs a challenge that is one", setup{}, of(post("/user/email/send-verification-email", `{"email":"`+email+`","codeChallenge":"x"}`)), 400, auth.CodeInvalidRequest},
	{"the letter of a sign-up is not sent to an address that is not admitted", notAdmitted, of(post("/user/email/send-verification-email", to(stranger))), 401, auth.CodeInvalidEmailPassword},
	{"the letter of a sign-up is not told to be for a disabled user", setup{}, func(t *testing.T, r *realm) request {
		r.disabled(t)
		return post("/user/email/send-verification-email", to(email))
	}, 200, ""},

	{"a link to set a password needs a challenge that is one", setup{}, of(post("/user/password/reset", `{"email":"`+email+`","codeChallenge":"x"}`)), 400, auth.CodeInvalidRequest},
	{"a link to set a password is not told to be for an address that is not admitted", notAdmitted, of(post("/user/password/reset", to(stranger))), 200, ""},
	{"a link to set a password is not told to be for a disabled user", setup{}, func(t *testing.T, r *realm) request {
		r.disabled(t)
		return post("/user/password/reset", to(email))
	}, 200, ""},
	{"a link to set a password is not sent where no letter can be", noLetters, of(post("/user/password/reset", to(email))), 409, auth.CodeDisabledEndpoint},

	{"a new password is given", setup{}, byUser(post("/user/password", `{}`)), 400, auth.CodeInvalidRequest},
	{"a new password that is short is refused", setup{}, byUser(post("/user/password", `{"newPassword":"short"}`)), 400, auth.CodePasswordTooShort},
	{"a new password with a bad token is refused", setup{}, of(post("/user/password", `{"newPassword":"`+another+`"}`).with("Authorization", "Bearer nonsense")), 401, auth.CodeUnauthenticated},
	{"who has signed out changes no password", setup{}, bySignedOut(post("/user/password", `{"newPassword":"`+another+`"}`)), 401, auth.CodeUnauthenticated},
	{"a disabled user changes no password", setup{}, byDisabled(post("/user/password", `{"newPassword":"`+another+`"}`)), 401, auth.CodeDisabledUser},
	{"a disabled user sets no password by a ticket", setup{}, func(t *testing.T, r *realm) request {
		s := r.signUp(t)
		_, ticket := r.letter(t, email, post("/user/password/reset", to(email)))
		r.disable(t, s)
		return post("/user/password", `{"newPassword":"`+another+`","ticket":"`+ticket+`"}`)
	}, 401, auth.CodeDisabledUser},
	{"a password is set by a ticket once", setup{}, func(t *testing.T, r *realm) request {
		r.signUp(t)
		_, ticket := r.letter(t, email, post("/user/password/reset", to(email)))
		body := `{"newPassword":"` + another + `","ticket":"` + ticket + `"}`
		check(t, r.send(t, post("/user/password", body)), 200, "")
		return post("/user/password", body)
	}, 401, auth.CodeInvalidTicket},
	{"an unknown ticket sets no password, without a word where errors are concealed", concealed, of(post("/user/password", `{"newPassword":"`+another+`","ticket":"passwordReset:x"}`)), 400, auth.CodeInvalidRequest},
	{"a guest changes no password, without a word where errors are concealed", concealed, byGuest(post("/user/password", `{"newPassword":"`+another+`"}`)), 400, auth.CodeInvalidRequest},

	{"a link of what is off leads home with that", setup{config: func(c *auth.Config) { c.MagicLink = nil }}, of(get("/verify?ticket=passwordlessEmail:x&redirectTo=")), 302, auth.CodeDisabledEndpoint},
	{"a link to nowhere is broken", setup{}, of(get("/verify?ticket=verifyEmail:x")), 400, auth.CodeInvalidRequest},
	{"a link to what is no URL is broken", setup{}, of(get("/verify?ticket=verifyEmail:x&redirectTo=%3A")), 400, auth.CodeInvalidRequest},
	{"a link with two tickets is broken", setup{}, of(get("/verify?ticket=verifyEmail:x&ticket=verifyEmail:y&redirectTo=")), 400, auth.CodeInvalidRequest},
	{"a link of another type is broken", setup{}, of(get("/verify?ticket=verifyEmail:x&redirectTo=&type=x")), 400, auth.CodeInvalidRequest},
	{"a link of a disabled user leads home with that", setup{}, func(t *testing.T, r *realm) request {
		s := r.signUp(t)
		link, _ := r.letter(t, email, post("/user/password/reset", to(email)))
		r.disable(t, s)
		return get(link)
	}, 302, auth.CodeDisabledUser},
	{"a link is followed for a code", setup{}, func(t *testing.T, r *realm) request {
		return get(r.link(t) + "&codeChallenge=" + codeChallenge)
	}, 302, ""},
	{"a link is followed for a code with a challenge that is one", setup{}, func(t *testing.T, r *realm) request {
		return get(r.link(t) + "&codeChallenge=x")
	}, 302, auth.CodeInvalidRequest},
	{"a link with two challenges is broken", setup{}, of(get("/verify?ticket=verifyEmail:x&redirectTo=&codeChallenge=&codeChallenge=")), 400, auth.CodeInvalidRequest},

	{"a link is confirmed", confirmed, func(t *testing.T, r *realm) request { return get(r.link(t)) }, 200, ""},
	{"a link is confirmed for a code", confirmed, func(t *testing.T, r *realm) request { return get(r.link(t) + "&codeChallenge=" + codeChallenge) }, 200, ""},
	{"a link that is void is confirmed like any other", confirmed, of(get("/verify?ticket=verifyEmail:x&redirectTo=")), 200, ""},
	{"a link that leads elsewhere is not confirmed", confirmed, of(get("/verify?ticket=verifyEmail:x&redirectTo=https://evil.example")), 302, auth.CodeRedirectNotAllowed},
	{"a link without a ticket is not confirmed", confirmed, of(get("/verify?redirectTo=")), 400, auth.CodeInvalidRequest},
	{"a prefetch is not asked to confirm", confirmed, func(t *testing.T, r *realm) request {
		return get(r.link(t)).with("Sec-Purpose", "prefetch")
	}, 400, auth.CodeInvalidRequest},
	{"a confirmed link signs in", confirmed, func(t *testing.T, r *realm) request { return submit(r.link(t)) }, 303, ""},
	{"a confirmed link signs in for a code", confirmed, func(t *testing.T, r *realm) request { return submit(r.link(t) + "&codeChallenge=" + codeChallenge) }, 303, ""},
	{"a link is posted where nobody is asked", setup{}, func(t *testing.T, r *realm) request { return submit(r.link(t)) }, 303, ""},
	{"a confirmed link is good once", confirmed, func(t *testing.T, r *realm) request {
		link := r.link(t)
		check(t, r.send(t, submit(link)), 303, "")
		return submit(link)
	}, 303, auth.CodeInvalidTicket},
	{"a confirmed link that leads elsewhere leads home", confirmed, of(submit("/verify?ticket=verifyEmail:x&redirectTo=https://evil.example")), 303, auth.CodeRedirectNotAllowed},
	{"a confirmed link has a ticket", confirmed, of(submit("/verify?redirectTo=")), 400, auth.CodeInvalidRequest},
	{"a confirmed link with two tickets is broken", confirmed, of(submit("/verify?ticket=verifyEmail:x&ticket=verifyEmail:y&redirectTo=")), 400, auth.CodeInvalidRequest},
	{"a confirmed link is no JSON", confirmed, of(post("/verify", `{"ticket":"verifyEmail:x","redirectTo":""}`)), 415, auth.CodeInvalidRequest},

	{"a link that is void leads home without a word where errors are concealed", concealed, of(get("/verify?ticket=verifyEmail:x&redirectTo=")), 302, auth.CodeInvalidRequest},
}
