package openapi_test

import (
	"testing"
	"time"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/limit"
)

var once = limit.Rate{Burst: 1, Per: time.Hour}

// Where one of each is enough.
var (
	oneLetter = setup{config: func(c *auth.Config) { c.Limits = auth.LimitsConfig{EmailsPerAddress: once} }}
	oneText   = setup{config: func(c *auth.Config) { c.Limits = auth.LimitsConfig{SMSPerNumber: once} }}
	oneGuess  = setup{config: func(c *auth.Config) { c.Limits = auth.LimitsConfig{GuessesPerAccount: once} }}
	// In the long run.
	oneGuessEver = setup{config: func(c *auth.Config) { c.Limits = auth.LimitsConfig{GuessesPerAccountLong: once} }}
)

// again is a request that has been made before, and was answered then with a status.
func again(status int, by func(*testing.T, *realm) request) func(*testing.T, *realm) request {
	return func(t *testing.T, r *realm) request {
		q := by(t, r)
		check(t, r.send(t, q), status, "")
		return q
	}
}

// limitCalls are what happens once too often.
var limitCalls = []call{
	{"a second letter of a sign-up is refused", oneLetter, func(t *testing.T, r *realm) request {
		r.letter(t, email, post("/signin/passwordless/email", to(email)))
		return post("/signup/email-password", credentialsOf(email, another))
	}, 429, auth.CodeTooManyRequests},
	{"a second link to sign in is refused", oneLetter, again(200, of(post("/signin/passwordless/email", to(email)))), 429, auth.CodeTooManyRequests},
	{"a second link to sign in is refused where errors are concealed", setup{config: func(c *auth.Config) {
		c.ConcealErrors, c.SignUp.Disabled, c.Limits = true, true, auth.LimitsConfig{EmailsPerAddress: once}
	}}, again(200, of(post("/signin/passwordless/email", to(stranger)))), 429, auth.CodeTooManyRequests},
	{"a second code by letter is refused", oneLetter, again(200, of(post("/signin/otp/email", to(email)))), 429, auth.CodeTooManyRequests},
	{"a second letter to a guest is refused", oneLetter, func(t *testing.T, r *realm) request {
		r.letter(t, email, post("/signin/passwordless/email", to(email)))
		return post("/user/deanonymize", `{"signInMethod":"passwordless","email":"`+email+`"}`).as(r.guest(t))
	}, 429, auth.CodeTooManyRequests},
	{"a second letter to a new address is refused", oneLetter, again(200, byUser(post("/user/email/change", `{"newEmail":"`+stranger+`"}`))), 429, auth.CodeTooManyRequests},
	{"a second letter of a sign-up is refused when asked for", oneLetter, func(t *testing.T, r *realm) request {
		r.link(t)
		return post("/user/email/send-verification-email", to(email))
	}, 429, auth.CodeTooManyRequests},
	{"a second link to set a password is refused", oneLetter, again(200, of(post("/user/password/reset", to(stranger)))), 429, auth.CodeTooManyRequests},

	{"a second text message is refused", oneText, again(200, of(post("/signin/passwordless/sms", texted("")))), 429, auth.CodeTooManyRequests},
	{"a second text message to a guest is refused", oneText, again(200, byGuest(post("/user/deanonymize/sms", texted("")))), 429, auth.CodeTooManyRequests},
	{"a second text message to a new number is refused", oneText, again(200, byUser(post("/user/phone-number/change", changed("")))), 429, auth.CodeTooManyRequests},

	{"a second guess at a code is refused", oneGuess, again(401, of(post("/signin/otp/email/verify", otpFor("123456")))), 429, auth.CodeTooManyRequests},
	{"a second guess at a texted code is refused", oneGuess, again(400, of(post("/signin/passwordless/sms/otp", textedCode("123456")))), 429, auth.CodeTooManyRequests},
	{"a second guess at a texted code is refused in the long run", oneGuessEver, func(t *testing.T, r *realm) request {
		check(t, r.send(t, post("/signin/passwordless/sms", texted(""))), 200, "")
		wrong := "000000"
		if messages := r.Phone.All(); messages[len(messages)-1].Code == wrong {
			wrong = "000001"
		}
		guess := post("/signin/passwordless/sms/otp", textedCode(wrong))
		check(t, r.send(t, guess), 400, auth.CodeInvalidRequest)
		return guess
	}, 429, auth.CodeTooManyRequests},
	{"a second guess of a guest is refused", oneGuess, again(400, byGuest(post("/user/deanonymize/sms/verify", textedCode("123456")))), 429, auth.CodeTooManyRequests},
	{"a second guess at a new number's code is refused", oneGuess, again(400, byUser(post("/user/phone-number/change/verify", changed(`,"otp":"123456"`)))), 429, auth.CodeTooManyRequests},
	{"a right code is no guess", oneGuess, signIn.proves(asSent, func(t *testing.T, r *realm, _ *auth.Session, _ request) {
		r.withNumber(t)
		check(t, r.send(t, post("/signin/passwordless/sms", texted(""))), 200, "")
	}), 400, auth.CodeInvalidRequest},
}
