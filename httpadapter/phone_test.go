package httpadapter_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/httpadapter"
	"github.com/ostiary/auth/limit"
)

const number = "+41791234567"

// texted is the body with the code of the latest message to the number.
func (f *fixture) texted(t testing.TB, member string) string {
	t.Helper()
	return `{"` + member + `":"` + number + `","otp":` + text(f.engine.Phone.Last(t, number).Code) + `}`
}

func TestATextMessageSignsUpAndIn(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{})
	wantOK(t, do(t, h, "POST", "/signin/passwordless/sms", `{"phoneNumber":"+41 79 123 45 67","options":{"displayName":"Ada","locale":"en",`+
		`"metadata":{"plan":"x"},"allowedRoles":["user","me"],"defaultRole":"me","redirectTo":"https://app.test/in"}}`))
	body := h.texted(t, "phoneNumber")
	in := want200[object](t, do(t, h, "POST", "/signin/passwordless/sms/otp", body))
	if diff := cmp.Diff([]string{"session"}, members(in)); diff != "" {
		t.Fatalf("answer (-want +got):\n%s", diff)
	}
	user := in["session"].(object)["user"].(object)
	for name, want := range map[string]any{
		"phoneNumber": number, "phoneNumberVerified": true, "displayName": "Ada", "defaultRole": "me", "metadata": object{"plan": "x"},
		"roles": []any{"user", "me"}, "emailVerified": false, "isAnonymous": false,
	} {
		if diff := cmp.Diff(want, user[name]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if _, given := user["email"]; given {
		t.Errorf("user %v has an address", user)
	}
	wantRefused(t, do(t, h, "POST", "/signin/passwordless/sms/otp", body), 400, auth.CodeInvalidRequest)

	h.engine.Phone.Refuse(errors.New("the gateway's own words"))
	wantRefused(t, do(t, h, "POST", "/signin/passwordless/sms", `{"phoneNumber":"`+number+`"}`), 400, auth.CodeCannotSendSMS) // SM-05
}

func TestAPhoneNumberChanges(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{})
	s := h.engine.SignUp(t, "ada@example.com")
	wantOK(t, do(t, h, "POST", "/user/phone-number/change", `{"newPhoneNumber":"`+number+`"}`, bearer(s)...))
	if got := want200[auth.User](t, do(t, h, "GET", "/user", "", bearer(s)...)); got.PhoneNumber != "" {
		t.Errorf("number %s before the proof", got.PhoneNumber)
	}
	wantOK(t, do(t, h, "POST", "/user/phone-number/change/verify", h.texted(t, "newPhoneNumber"), bearer(s)...))
	if got := want200[auth.User](t, do(t, h, "GET", "/user", "", bearer(s)...)); got.PhoneNumber != number || !got.PhoneNumberVerified {
		t.Errorf("number %s after it", got.PhoneNumber)
	}
}

func TestAnAnonymousUserBecomesARegularOneByTextMessage(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{})
	guest := h.guest(t)
	wantOK(t, do(t, h, "POST", "/user/deanonymize/sms", `{"phoneNumber":"`+number+`","options":{"displayName":"Ada"}}`, bearer(guest)...))
	in := want200[auth.SignInResult](t, do(t, h, "POST", "/user/deanonymize/sms/verify", h.texted(t, "phoneNumber"), bearer(guest)...))
	if u := in.Session.User; u.ID != guest.User.ID || u.IsAnonymous || u.PhoneNumber != number || u.DisplayName != "Ada" {
		t.Errorf("user %+v", u)
	}
	wantRefused(t, h.refresh(t, guest), 401, auth.CodeInvalidRefreshToken)
	want200[auth.Session](t, h.refresh(t, in.Session))
}

func TestALimitSaysWhenToComeBack(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, func(c *auth.Config) {
		c.Limits = auth.LimitsConfig{SMSPerNumber: limit.Rate{Burst: 1, Per: 90 * time.Second}}
	})
	wantOK(t, do(t, h, "POST", "/signin/passwordless/sms", `{"phoneNumber":"`+number+`"}`))
	h.engine.Clock.Advance(100 * time.Millisecond)
	w := do(t, h, "POST", "/signin/passwordless/sms", `{"phoneNumber":"`+number+`"}`)
	wantRefused(t, w, 429, auth.CodeTooManyRequests)
	wantHeaders(t, w.Header(), "Retry-After", "90") // rounded up: who comes back then does not come too early
}
