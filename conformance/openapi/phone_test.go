package openapi_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/sms"
)

const (
	number      = "+41791234567"
	otherNumber = "+41791234568"
)

// texted is a body with a phone number, and more members.
func texted(more string) string { return `{"phoneNumber":"` + number + `"` + more + `}` }

// textedCode is the body that proves the number with a code.
func textedCode(otp string) string { return texted(`,"otp":"` + otp + `"`) }

// changed is a body with a new phone number, and more members.
func changed(more string) string { return `{"newPhoneNumber":"` + number + `"` + more + `}` }

// text asks for a text message to a number and returns the code in it.
func (r *realm) text(t *testing.T, ask request, to string) (code string) {
	t.Helper()
	check(t, r.send(t, ask), 200, "")
	return r.Phone.Last(t, to).Code
}

// withNumber signs the holder of the number in.
func (r *realm) withNumber(t *testing.T) *auth.Session {
	t.Helper()
	if err := r.SendSMSOTP(t.Context(), auth.SendSMSOTPParams{PhoneNumber: number}); err != nil {
		t.Fatal(err)
	}
	in, err := r.VerifySMSOTP(t.Context(), auth.VerifySMSOTPParams{PhoneNumber: number, OTP: r.Phone.Last(t, number).Code})
	if err != nil {
		t.Fatal(err)
	}
	return in.Session
}

// Configurations that make a route of text messages refuse.
var (
	noTexts      = setup{config: func(c *auth.Config) { c.SMS = nil }}
	existingOnly = setup{config: func(c *auth.Config) { c.SMS.ExistingUsersOnly = true }}
	// The provider makes the codes and checks them.
	foreignCodes = setup{config: func(c *auth.Config) { c.SMS.Verifier, c.SMS.Sender = c.SMS.Sender.(sms.Verifier), nil }}
)

// cut is a request that causes a text message where the gateway takes none.
func cut(by func(*testing.T, *realm) request) func(*testing.T, *realm) request {
	return func(t *testing.T, r *realm) request {
		q := by(t, r)
		r.Phone.Refuse(errors.New("the gateway is on fire"))
		return q
	}
}

// proof is how a number is proven: a request that has a code sent, and the body and the path of the one that brings it.
type proof struct {
	who       func(*testing.T, *realm) *auth.Session // nil: a stranger
	ask, path string
	body      func(more string) string
}

func (p proof) request(s *auth.Session, path, more string) request {
	q := post(path, p.body(more))
	if s != nil {
		q = q.as(s)
	}
	return q
}

// proves is a request that brings what is made of the code that was sent, after something has happened meanwhile.
func (p proof) proves(made func(code string) string, meanwhile func(t *testing.T, r *realm, s *auth.Session, bring request)) func(*testing.T, *realm) request {
	return func(t *testing.T, r *realm) request {
		var s *auth.Session
		if p.who != nil {
			s = p.who(t, r)
		}
		code := r.text(t, p.request(s, p.ask, ""), number)
		bring := p.request(s, p.path, `,"otp":"`+made(code)+`"`)
		if meanwhile != nil {
			meanwhile(t, r, s, bring)
		}
		return bring
	}
}

var (
	signIn  = proof{nil, "/signin/passwordless/sms", "/signin/passwordless/sms/otp", texted}
	convert = proof{func(t *testing.T, r *realm) *auth.Session { return r.guest(t) }, "/user/deanonymize/sms", "/user/deanonymize/sms/verify", texted}
	change  = proof{func(t *testing.T, r *realm) *auth.Session { return r.signUp(t) }, "/user/phone-number/change", "/user/phone-number/change/verify", changed}
)

func asSent(code string) string { return code }

// Things that happen between a code and its use.

func used(t *testing.T, r *realm, _ *auth.Session, bring request) {
	t.Helper()
	check(t, r.send(t, bring), 200, "")
}

func expired(_ *testing.T, r *realm, _ *auth.Session, _ request) { r.Clock.Advance(5 * time.Minute) }

func guessedAt(t *testing.T, r *realm, _ *auth.Session, bring request) {
	t.Helper()
	code := r.Phone.Last(t, number).Code
	wrong := bring
	wrong.body = strings.ReplaceAll(bring.body, `"`+code+`"`, `"`+wrongCode(code)+`"`)
	for range 5 {
		check(t, r.send(t, wrong), 400, auth.CodeInvalidRequest)
	}
}

func disabled(t *testing.T, r *realm, s *auth.Session, _ request) {
	t.Helper()
	if s != nil {
		r.disable(t, s)
		return
	}
	u, err := r.FindUser(t.Context(), auth.UserBy{Phone: number})
	if err != nil {
		t.Fatal(err)
	}
	r.disable(t, &auth.Session{User: u})
}

func signedOut(t *testing.T, r *realm, s *auth.Session, _ request) {
	t.Helper()
	check(t, r.send(t, post("/signout", `{"refreshToken":"`+s.RefreshToken+`"}`)), 200, "")
}

func taken(t *testing.T, r *realm, _ *auth.Session, _ request) {
	t.Helper()
	r.withNumber(t)
}

// allOptions are those of a sign-up, and nullOptions say the same as none.
const (
	allOptions = `,"options":{"allowedRoles":["me"],"defaultRole":"me","displayName":"Ada","locale":"en","metadata":{"a":[1,null]},"redirectTo":"` +
		authtest.ClientURL + `/in"}`
	nullOptions = `,"options":{"allowedRoles":null,"defaultRole":null,"displayName":null,"locale":null,"metadata":null,"redirectTo":null}`
)

// phoneCalls are the answers to what comes by text message: each code that the engine documents of each route.
var phoneCalls = []call{
	{"a code is texted to a new user", setup{}, of(post("/signin/passwordless/sms", texted(""))), 200, ""},
	{"a code is texted with all options", setup{}, of(post("/signin/passwordless/sms", texted(allOptions))), 200, ""},
	{"a code is texted without options at length", setup{}, of(post("/signin/passwordless/sms", texted(nullOptions))), 200, ""},
	{"a code is texted to a number as people write it", setup{}, of(post("/signin/passwordless/sms", `{"phoneNumber":"+41 79 123 45 67","options":null}`)), 200, ""},
	{"a code is texted to a user", setup{}, func(t *testing.T, r *realm) request {
		r.withNumber(t)
		return post("/signin/passwordless/sms", texted(""))
	}, 200, ""},
	{"a code is texted by a provider", foreignCodes, of(post("/signin/passwordless/sms", texted(""))), 200, ""},
	{"a texted code is not told to be for a disabled user", setup{}, func(t *testing.T, r *realm) request {
		r.disable(t, r.withNumber(t))
		return post("/signin/passwordless/sms", texted(""))
	}, 200, ""},
	{"a texted code needs a body", setup{}, of(post("/signin/passwordless/sms", "")), 400, auth.CodeInvalidRequest},
	{"a texted code needs a number", setup{}, of(post("/signin/passwordless/sms", `{}`)), 400, auth.CodeInvalidRequest},
	{"a texted code needs a number that is one", setup{}, of(post("/signin/passwordless/sms", `{"phoneNumber":"call me"}`)), 400, auth.CodeInvalidRequest},
	{"a texted code needs a number that is text", setup{}, of(post("/signin/passwordless/sms", `{"phoneNumber":41791234567}`)), 400, auth.CodeInvalidRequest},
	{"a texted code with a long name is refused", setup{}, of(post("/signin/passwordless/sms", texted(`,"options":{"displayName":"`+strings.Repeat("x", 33)+`"}`))), 400, auth.CodeInvalidRequest},
	{"a texted code with another role is refused", setup{}, of(post("/signin/passwordless/sms", texted(`,"options":{"allowedRoles":["admin"]}`))), 400, auth.CodeRoleNotAllowed},
	{"a texted code with another default role is refused", setup{}, of(post("/signin/passwordless/sms", texted(`,"options":{"defaultRole":"admin"}`))), 400, auth.CodeDefaultRoleNotAllowed},
	{"a texted code that leads elsewhere is refused", setup{}, of(post("/signin/passwordless/sms", texted(`,"options":{"redirectTo":"https://evil.example"}`))), 400, auth.CodeRedirectNotAllowed},
	{"a text message that cannot be sent is told of", setup{}, cut(of(post("/signin/passwordless/sms", texted("")))), 400, auth.CodeCannotSendSMS},
	{"a text message that a provider cannot send is told of", foreignCodes, cut(of(post("/signin/passwordless/sms", texted("")))), 400, auth.CodeCannotSendSMS},
	{"a text message that cannot be sent is not told of where errors are concealed", concealed, cut(of(post("/signin/passwordless/sms", texted("")))), 200, ""},
	{"a texted code for a new user may be refused", disabledSignUps, of(post("/signin/passwordless/sms", texted(""))), 401, auth.CodeDisabledUser},
	{"a texted code signs nobody up where that is disabled", noSignUps, of(post("/signin/passwordless/sms", texted(""))), 403, auth.CodeSignUpDisabled},
	{"a texted code signs nobody up where it is for users who exist", existingOnly, of(post("/signin/passwordless/sms", texted(""))), 403, auth.CodeSignUpDisabled},
	{"a texted code tells nothing where errors are concealed", concealedAndClosed, of(post("/signin/passwordless/sms", texted(""))), 200, ""},
	{"text messages may be off", noTexts, of(post("/signin/passwordless/sms", texted(""))), 409, auth.CodeDisabledEndpoint},

	{"a texted code signs in", setup{}, signIn.proves(asSent, nil), 200, ""},
	{"a provider's code signs in", foreignCodes, signIn.proves(asSent, nil), 200, ""},
	{"a texted code needs itself", setup{}, of(post("/signin/passwordless/sms/otp", texted(""))), 400, auth.CodeInvalidRequest},
	{"a texted code is not a number", setup{}, of(post("/signin/passwordless/sms/otp", texted(`,"otp":123456`))), 400, auth.CodeInvalidRequest},
	{"a texted code signs nobody in without a number", setup{}, of(post("/signin/passwordless/sms/otp", `{"phoneNumber":"x","otp":"123456"}`)), 400, auth.CodeInvalidRequest},
	{"a texted code signs nobody in of whom nothing is known", setup{}, of(post("/signin/passwordless/sms/otp", textedCode("123456"))), 400, auth.CodeInvalidRequest},
	{"a wrong texted code is refused", setup{}, signIn.proves(wrongCode, nil), 400, auth.CodeInvalidRequest},
	{"a provider's code that is wrong is refused", foreignCodes, signIn.proves(wrongCode, nil), 400, auth.CodeInvalidRequest},
	{"a texted code signs in once", setup{}, signIn.proves(asSent, used), 400, auth.CodeInvalidRequest},
	{"a texted code is void after a while", setup{}, signIn.proves(asSent, expired), 400, auth.CodeInvalidRequest},
	{"a texted code is void after wrong ones", setup{}, signIn.proves(asSent, guessedAt), 400, auth.CodeInvalidRequest},
	{"a texted code of a disabled user signs nobody in", setup{}, signIn.proves(asSent, disabled), 401, auth.CodeDisabledUser},
	{"a texted code of a disabled user says nothing where errors are concealed", concealed, signIn.proves(asSent, disabled), 400, auth.CodeInvalidRequest},
	{"a texted code signs nobody in where they are off", noTexts, of(post("/signin/passwordless/sms/otp", textedCode("123456"))), 409, auth.CodeDisabledEndpoint},

	{"a guest has a code texted", setup{}, byGuest(post("/user/deanonymize/sms", texted(""))), 200, ""},
	{"a guest has a code texted with all options", setup{}, byGuest(post("/user/deanonymize/sms", texted(allOptions))), 200, ""},
	{"a guest has a code texted without options at length", setup{}, byGuest(post("/user/deanonymize/sms", texted(nullOptions))), 200, ""},
	{"a guest has a code texted to a number that is one", setup{}, byGuest(post("/user/deanonymize/sms", `{"phoneNumber":"call me"}`)), 400, auth.CodeInvalidRequest},
	{"a guest has no code texted by another route", setup{}, byGuest(post("/user/deanonymize", `{"signInMethod":"passwordless-sms","email":"`+email+`"}`)), 400, auth.CodeInvalidRequest},
	{"a guest becomes no administrator by a texted code", setup{}, byGuest(post("/user/deanonymize/sms", texted(`,"options":{"allowedRoles":["admin"]}`))), 400, auth.CodeRoleNotAllowed},
	{"a guest becomes no administrator by default by a texted code", setup{}, byGuest(post("/user/deanonymize/sms", texted(`,"options":{"defaultRole":"admin"}`))), 400, auth.CodeDefaultRoleNotAllowed},
	{"a guest is not led elsewhere by a texted code", setup{}, byGuest(post("/user/deanonymize/sms", texted(`,"options":{"redirectTo":"https://evil.example"}`))), 400, auth.CodeRedirectNotAllowed},
	{"a user has no code texted to become one", setup{}, byUser(post("/user/deanonymize/sms", texted(""))), 400, auth.CodeUserNotAnonymous},
	{"a guest is told of a text message that cannot be sent", setup{}, cut(byGuest(post("/user/deanonymize/sms", texted("")))), 400, auth.CodeCannotSendSMS},
	{"nobody has a code texted to become a user", setup{}, of(post("/user/deanonymize/sms", texted(""))), 401, auth.CodeUnauthenticated},
	{"a guest who has signed out has no code texted", setup{}, func(t *testing.T, r *realm) request {
		s := r.guest(t)
		signedOut(t, r, s, request{})
		return post("/user/deanonymize/sms", texted("")).as(s)
	}, 401, auth.CodeUnauthenticated},
	{"a guest who is disabled has no code texted", setup{}, func(t *testing.T, r *realm) request {
		s := r.guest(t)
		r.disable(t, s)
		return post("/user/deanonymize/sms", texted("")).as(s)
	}, 401, auth.CodeDisabledUser},
	{"a guest has no code texted where the service wants none", setup{config: func(c *auth.Config) {
		c.Hooks.BeforeSignUp = func(_ context.Context, s *auth.SignUp) error {
			if s.Method == "anonymous" && s.Phone != "" {
				return auth.ErrSignUpDisabled
			}
			return nil
		}
	}}, byGuest(post("/user/deanonymize/sms", texted(""))), 403, auth.CodeSignUpDisabled},
	{"a guest has no code texted where they are off", noTexts, byGuest(post("/user/deanonymize/sms", texted(""))), 409, auth.CodeDisabledEndpoint},

	{"a guest becomes a user by a texted code", setup{}, convert.proves(asSent, nil), 200, ""},
	{"a guest becomes a user by a provider's code", foreignCodes, convert.proves(asSent, nil), 200, ""},
	{"a guest becomes no user by a wrong texted code", setup{}, convert.proves(wrongCode, nil), 400, auth.CodeInvalidRequest},
	{"a guest becomes no user by a texted code of long ago", setup{}, convert.proves(asSent, expired), 400, auth.CodeInvalidRequest},
	{"a guest becomes no user by a texted code after wrong ones", setup{}, convert.proves(asSent, guessedAt), 400, auth.CodeInvalidRequest},
	{"a guest becomes no user by what is no number", setup{}, byGuest(post("/user/deanonymize/sms/verify", `{"phoneNumber":"x","otp":"123456"}`)), 400, auth.CodeInvalidRequest},
	{"a guest becomes no user by a code to sign in", setup{}, func(t *testing.T, r *realm) request {
		s := r.guest(t)
		return post("/user/deanonymize/sms/verify", textedCode(r.text(t, post("/signin/passwordless/sms", texted("")), number))).as(s)
	}, 400, auth.CodeInvalidRequest},
	{"a guest becomes no user with a number that was taken meanwhile", setup{}, convert.proves(asSent, taken), 400, auth.CodeInvalidRequest},
	{"nobody becomes a user by a texted code", setup{}, of(post("/user/deanonymize/sms/verify", textedCode("123456"))), 401, auth.CodeUnauthenticated},
	{"a guest who is disabled becomes no user by a texted code", setup{}, convert.proves(asSent, disabled), 401, auth.CodeDisabledUser},
	{"a guest who has signed out becomes no user by a texted code", setup{}, convert.proves(asSent, signedOut), 401, auth.CodeUnauthenticated},
	{"a guest becomes no user by a texted code where they are off", noTexts, byGuest(post("/user/deanonymize/sms/verify", textedCode("123456"))), 409, auth.CodeDisabledEndpoint},

	{"a number is changed by a texted code", setup{}, byUser(post("/user/phone-number/change", changed(""))), 200, ""},
	{"a number is changed to one that is", setup{}, byUser(post("/user/phone-number/change", `{"newPhoneNumber":"call me"}`)), 400, auth.CodeInvalidRequest},
	{"a number is changed to something", setup{}, byUser(post("/user/phone-number/change", `{"newPhoneNumber":null}`)), 400, auth.CodeInvalidRequest},
	{"a number is changed to another", setup{}, func(t *testing.T, r *realm) request {
		return post("/user/phone-number/change", changed("")).as(r.withNumber(t))
	}, 400, auth.CodeInvalidRequest},
	{"a number is not changed where no text message can be sent", setup{}, cut(byUser(post("/user/phone-number/change", changed("")))), 400, auth.CodeCannotSendSMS},
	{"nobody changes a number", setup{}, of(post("/user/phone-number/change", changed(""))), 401, auth.CodeUnauthenticated},
	{"a disabled user changes no number", setup{}, byDisabled(post("/user/phone-number/change", changed(""))), 401, auth.CodeDisabledUser},
	{"who has signed out changes no number", setup{}, bySignedOut(post("/user/phone-number/change", changed(""))), 401, auth.CodeUnauthenticated},
	{"a guest changes no number", setup{}, byGuest(post("/user/phone-number/change", changed(""))), 403, auth.CodeForbiddenAnonymous},
	{"a guest changes no number, without a word where errors are concealed", concealed, byGuest(post("/user/phone-number/change", changed(""))), 400, auth.CodeInvalidRequest},
	{"a number needs a step-up to be changed", stepUpRequired, byUser(post("/user/phone-number/change", changed(""))), 403, auth.CodeElevationRequired},
	{"a number is not changed where text messages are off", noTexts, byUser(post("/user/phone-number/change", changed(""))), 409, auth.CodeDisabledEndpoint},

	{"a texted code changes a number", setup{}, change.proves(asSent, nil), 200, ""},
	{"a provider's code changes a number", foreignCodes, change.proves(asSent, nil), 200, ""},
	{"a texted code changes a number with itself", setup{}, byUser(post("/user/phone-number/change/verify", changed(""))), 400, auth.CodeInvalidRequest},
	{"a texted code changes a number to one that is", setup{}, byUser(post("/user/phone-number/change/verify", `{"newPhoneNumber":"x","otp":"123456"}`)), 400, auth.CodeInvalidRequest},
	{"a wrong texted code changes no number", setup{}, change.proves(wrongCode, nil), 400, auth.CodeInvalidRequest},
	{"a texted code changes a number once", setup{}, change.proves(asSent, used), 400, auth.CodeInvalidRequest},
	{"a texted code of long ago changes no number", setup{}, change.proves(asSent, expired), 400, auth.CodeInvalidRequest},
	{"a texted code changes no number after wrong ones", setup{}, change.proves(asSent, guessedAt), 400, auth.CodeInvalidRequest},
	{"a texted code changes the number that it went to", setup{}, change.proves(asSent, func(t *testing.T, r *realm, s *auth.Session, bring request) {
		bring.body = strings.ReplaceAll(bring.body, number, otherNumber)
		check(t, r.send(t, bring), 400, auth.CodeInvalidRequest)
	}), 200, ""},
	{"a number that was taken meanwhile is nobody else's", setup{}, change.proves(asSent, taken), 400, auth.CodeInvalidRequest},
	{"nobody has changed a number", setup{}, of(post("/user/phone-number/change/verify", changed(`,"otp":"123456"`))), 401, auth.CodeUnauthenticated},
	{"a disabled user has changed no number", setup{}, change.proves(asSent, disabled), 401, auth.CodeDisabledUser},
	{"who has signed out has changed no number", setup{}, change.proves(asSent, signedOut), 401, auth.CodeUnauthenticated},
	{"a guest has changed no number", setup{}, byGuest(post("/user/phone-number/change/verify", changed(`,"otp":"123456"`))), 403, auth.CodeForbiddenAnonymous},
	{"a number has not changed where text messages are off", noTexts, byUser(post("/user/phone-number/change/verify", changed(`,"otp":"123456"`))), 409, auth.CodeDisabledEndpoint},
}
