package letters_test

import (
	"context"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/sms"
)

const (
	number    = "+41791234567"
	newNumber = "+41791234568"
)

// operator is a gateway that keeps what it is given as it is, whether or not anybody could deliver it.
type operator struct{ messages []sms.Message }

func (o *operator) Send(_ context.Context, m sms.Message) error {
	o.messages = append(o.messages, m)
	return nil
}

// textRoute is a request that causes a text message.
type textRoute struct {
	name, path string
	number     string   // the field that has it
	fields     []string // that are replaced, besides the number, host and agent
	who        func(*testing.T, *realm) *auth.Session
	// existing says that the user has been there before, with the hostile name that they have chosen.
	existing bool
}

func guest(t *testing.T, r *realm) *auth.Session {
	t.Helper()
	in, err := r.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{})
	if err != nil {
		t.Fatal(err)
	}
	return in.Session
}

var (
	texted     = map[string]string{"phoneNumber": number, "newPhoneNumber": newNumber}
	textFields = []string{"displayName", "locale", "metadata", "redirectTo"}
)

var textRoutes = []textRoute{
	{"code by text message", "/signin/passwordless/sms", "phoneNumber", textFields, nil, false},
	{"code by text message for somebody with a display name", "/signin/passwordless/sms", "phoneNumber", []string{"displayName", "metadata"}, nil, true},
	{"deanonymise by text message", "/user/deanonymize/sms", "phoneNumber", textFields, guest, false},
	{"change of number", "/user/phone-number/change", "newPhoneNumber", nil, func(t *testing.T, r *realm) *auth.Session {
		return r.SignUp(t, benign["email"])
	}, false},
}

// numberPlacings are the ways in which a hostile value stands in a number.
var numberPlacings = []func(string) string{
	alone, after(number), after("+"),
	func(v string) string { return v + number },
	func(v string) string { return number[:6] + v + number[6:] },
}

// run sends the request of a route with some values, and returns the status and the messages that it has caused.
func (rt textRoute) run(t *testing.T, d *desk, in map[string]string) (status int, messages []sms.Message) {
	t.Helper()
	o := &operator{}
	r := d.realm(t, func(c *auth.Config) {
		c.SMS.Sender = o
		c.Locales = auth.LocalesConfig{Default: "en", Allowed: []string{"en", "fr"}}
	})
	body := map[string]any{rt.number: in[rt.number]}
	if rt.number == "phoneNumber" {
		body["options"] = options(in)
	}
	if rt.existing {
		if res := r.send(t, "POST", rt.path, in, body, nil); res.StatusCode != http.StatusOK {
			return res.StatusCode, o.messages // there is no such user
		}
		o.messages = nil
		body["options"] = options(benign)
	}
	var s *auth.Session
	if rt.who != nil {
		s = rt.who(t, r)
	}
	return r.send(t, "POST", rt.path, in, body, s).StatusCode, o.messages
}

// shapeOf is a message with its code replaced by CODE.
func shapeOf(t *testing.T, m sms.Message) sms.Message {
	t.Helper()
	if !codes.MatchString(m.Code) || len(m.Code) != 6 || !strings.Contains(m.Text, m.Code) {
		t.Errorf("the code is %q in %q", m.Code, m.Text)
	}
	m.Text, m.Code = strings.ReplaceAll(m.Text, m.Code, "CODE"), "CODE"
	return m
}

// SM-09, RD-30: whatever stands in whatever field, a request is refused and causes no text message, or it causes the one that
// it causes with harmless values: to the same number and in the same words. A hostile number is refused.
func TestNoRequestMakesMoreOfATextMessage(t *testing.T) {
	t.Parallel()
	for _, rt := range textRoutes {
		t.Run(rt.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			good := maps.Clone(benign)
			maps.Copy(good, texted)
			status, control := rt.run(t, d, good)
			if status != http.StatusOK || len(control) != 1 || control[0].To != texted[rt.number] || control[0].Locale != "en" {
				t.Fatalf("the control has status %d and the messages %q", status, control)
			}
			want := shapeOf(t, control[0])
			accepted := 0
			for _, field := range append([]string{rt.number, "host", "agent"}, rt.fields...) {
				places := placings[field]
				switch {
				case field == rt.number:
					places = numberPlacings
				case places == nil:
					places = []func(string) string{alone}
				}
				for name, value := range hostile {
					for i, place := range places {
						in := maps.Clone(good)
						in[field] = place(value)
						status, messages := rt.run(t, d, in)
						switch {
						case status/100 == 4:
							if len(messages) != 0 {
								t.Errorf("status %d, and %d messages", status, len(messages))
							}
						case status != http.StatusOK || len(messages) != 1:
							t.Errorf("status %d, and %d messages", status, len(messages))
						case field == rt.number:
							t.Errorf("the number is accepted, and a message goes to %q", messages[0].To)
						default:
							accepted++
							if diff := cmp.Diff(want, shapeOf(t, messages[0])); diff != "" {
								t.Errorf("the message (-want +got):\n%s", diff)
							}
						}
						if t.Failed() {
							t.Fatalf("%s in %s (%d): %.200q", name, field, i, in[field])
						}
					}
				}
			}
			if accepted == 0 {
				t.Error("every hostile value was refused, so nothing was seen")
			}
		})
	}
}

// A locale is one of the list, or the default one (SM-09).
func TestATextMessageIsInALanguageOfTheList(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for locale, want := range map[string]string{"en": "en", "fr": "fr", "de": "en", "../fr": "en", "fr-CH; q=1": "en"} {
		in := maps.Clone(benign)
		maps.Copy(in, texted)
		in["locale"] = locale
		status, messages := textRoutes[0].run(t, d, in)
		if status != http.StatusOK || len(messages) != 1 || messages[0].Locale != want {
			t.Errorf("%q: status %d, messages %q", locale, status, messages)
		}
	}
}
