package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/internal/phone"
	"github.com/ostiary/auth/sms"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/storetest"
)

const (
	adaPhone = "+41791234567"
	bobPhone = "+41797654321"
)

// withProvider is an engine whose codes are made by itself, or else made and checked by a provider.
func withProvider(t *testing.T, provider bool, amend ...func(*auth.Config)) *authtest.Engine {
	t.Helper()
	phone := authtest.NewPhone()
	e := authtest.New(t, append([]func(*auth.Config){func(c *auth.Config) {
		if c.SMS.Sender = phone; provider {
			c.SMS = &auth.SMSConfig{Verifier: phone}
		}
	}}, amend...)...)
	e.Phone = phone
	return e
}

// texting is a proof of a number: how its code is asked for, and what the code does.
type texting struct {
	name   string
	send   func(e *authtest.Engine, p *auth.Principal, number string) error
	redeem func(e *authtest.Engine, p *auth.Principal, number, code string) error
	who    func(t *testing.T, e *authtest.Engine, name string) *auth.Principal
}

func textings() []texting {
	return []texting{
		{
			"a sign-in",
			func(e *authtest.Engine, _ *auth.Principal, number string) error {
				return e.SendSMSOTP(background, auth.SendSMSOTPParams{PhoneNumber: number})
			},
			func(e *authtest.Engine, _ *auth.Principal, number, code string) error {
				_, err := e.VerifySMSOTP(background, auth.VerifySMSOTPParams{PhoneNumber: number, OTP: code})
				return err
			},
			func(*testing.T, *authtest.Engine, string) *auth.Principal { return nil },
		},
		{
			"a change of number",
			func(e *authtest.Engine, p *auth.Principal, number string) error {
				return e.ChangePhone(background, p, auth.ChangePhoneParams{NewPhoneNumber: number})
			},
			func(e *authtest.Engine, p *auth.Principal, number, code string) error {
				return e.VerifyChangePhone(background, p, auth.VerifyChangePhoneParams{NewPhoneNumber: number, OTP: code})
			},
			func(t *testing.T, e *authtest.Engine, name string) *auth.Principal {
				return e.Principal(t, e.SignUp(t, name+"@example.com"))
			},
		},
		{
			"a guest who stays",
			func(e *authtest.Engine, p *auth.Principal, number string) error {
				return e.Deanonymize(background, p, auth.DeanonymizeParams{Method: auth.DeanonymizeBySMS, PhoneNumber: number})
			},
			func(e *authtest.Engine, p *auth.Principal, number, code string) error {
				_, err := e.VerifyDeanonymize(background, p, auth.VerifyDeanonymizeParams{PhoneNumber: number, OTP: code})
				return err
			},
			func(t *testing.T, e *authtest.Engine, _ string) *auth.Principal { return e.Principal(t, guest(t, e)) },
		},
	}
}

// code has a code sent to a number and returns it.
func (x texting) code(t *testing.T, e *authtest.Engine, p *auth.Principal, number string) string {
	t.Helper()
	if err := x.send(e, p, number); err != nil {
		t.Fatal(err)
	}
	return e.Phone.Last(t, number).Code
}

func signUpByPhone(t *testing.T, e *authtest.Engine, number string) *auth.Session {
	t.Helper()
	code := textings()[0].code(t, e, nil, number)
	in, err := e.VerifySMSOTP(t.Context(), auth.VerifySMSOTPParams{PhoneNumber: number, OTP: code})
	if err != nil {
		t.Fatal(err)
	}
	return in.Session
}

func otherCode(code string) string {
	if code == "000000" {
		return "000001"
	}
	return "000000"
}

func TestTextMessagesSignUpAndIn(t *testing.T) {
	t.Parallel()
	for _, provider := range []bool{false, true} {
		e := withProvider(t, provider)
		o := auth.SignUpOptions{Locale: "en", Metadata: json.RawMessage(`{"plan":"free"}`)}
		if err := e.SendSMSOTP(t.Context(), auth.SendSMSOTPParams{PhoneNumber: "+41 79 123 45 67", Options: o}); err != nil {
			t.Fatal(err)
		}
		text := e.Phone.Last(t, adaPhone)
		// The last line binds the code to the page's host, so that phones offer it there alone.
		if !provider && !strings.HasSuffix(strings.TrimSpace(text.Text), "\n\n@app.test #"+text.Code) || text.Locale != "en" {
			t.Errorf("text %+v", text)
		}
		in, err := e.VerifySMSOTP(t.Context(), auth.VerifySMSOTPParams{PhoneNumber: "+41-79-123-45-67", OTP: text.Code}) // SM-03
		if err != nil {
			t.Fatal(err)
		}
		if u := in.Session.User; u.PhoneNumber != adaPhone || !u.PhoneNumberVerified || u.DisplayName != adaPhone || u.Email != "" || string(u.Metadata) != `{"plan":"free"}` {
			t.Errorf("user %s", asJSON(u))
		}
		if p := e.Principal(t, in.Session); !cmp.Equal(p.AMR, []string{"sms"}) {
			t.Errorf("amr %v", p.AMR)
		}
		mustRefresh(t, e, in.Session.RefreshToken)
		if again := signUpByPhone(t, e, adaPhone); again.User.ID != in.Session.User.ID {
			t.Error("the second time is another user")
		}
		if created, proven := len(e.Events.Of(auth.EventUserCreated)), len(e.Events.Of(auth.EventPhoneVerified)); created != 1 || proven != 1 {
			t.Errorf("%d created, %d proven", created, proven)
		}
	}
}

// SM-01 (EO-01, EO-04, EO-06, EO-07, EO-10, EO-16), TK-02..TK-04: for every proof of a number, whoever makes the codes.
func TestTextedCodesWorkOnceInTimeAndAreHardToGuess(t *testing.T) {
	t.Parallel()
	for _, x := range textings() {
		for _, provider := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, by a provider %t", x.name, provider), func(t *testing.T) {
				t.Parallel()
				e := withProvider(t, provider)
				life := 5 * time.Minute
				if provider {
					life *= 2
				}
				number := func(n int) string { return fmt.Sprintf("+4179000000%d", n) }
				wrong := func(p *auth.Principal, number, code string) {
					t.Helper()
					if err := x.redeem(e, p, number, code); !errors.Is(err, auth.ErrInvalidRequest) {
						t.Errorf("%q: %v", code, err)
					}
				}
				p := x.who(t, e, "one")
				wrong(p, number(1), "123456") // nobody has asked for one
				code := x.code(t, e, p, number(1))
				for range 4 {
					wrong(p, number(1), otherCode(code))
				}
				for _, odd := range []string{"", " " + code, code + " ", code[:3] + " " + code[3:], "+" + code, code + "00000", code[3:], "null", "１２３４５６", "١٢٣٤٥٦", code + "\x00"} {
					wrong(p, number(1), odd) // none of these is a guess
				}
				if err := x.redeem(e, p, number(1), code); err != nil {
					t.Errorf("the fifth guess, right: %v", err)
				}
				wrong(p, number(1), code)

				p = x.who(t, e, "two")
				code = x.code(t, e, p, number(2))
				for range 5 {
					wrong(p, number(2), otherCode(code))
				}
				wrong(p, number(2), code)

				p = x.who(t, e, "three")
				code = x.code(t, e, p, number(3))
				parallel(50, func() { _ = x.redeem(e, p, number(3), otherCode(code)) })
				wrong(p, number(3), code)
				late := x.code(t, e, p, number(3))
				e.Clock.Advance(life)
				wrong(p, number(3), late)
				inTime := x.code(t, e, p, number(3))
				e.Clock.Advance(life - time.Microsecond)
				if err := x.redeem(e, p, number(3), inTime); err != nil {
					t.Errorf("in time: %v", err)
				}

				p = x.who(t, e, "four")
				first := x.code(t, e, p, number(4))
				second := x.code(t, e, p, number(4))
				if first != second {
					wrong(p, number(4), first)
				}
				wrong(p, number(5), second) // a code is that of its number
				var ok atomic.Int64
				atOnce(4, func(int) { // not more than there are tries
					if x.redeem(e, p, number(4), second) == nil {
						ok.Add(1)
					}
				})
				if n := ok.Load(); n > 1 || n == 0 && first == second {
					t.Errorf("%d of four at once", n)
				}
			})
		}
	}
}

// SM-01 (EO-06), ST-01: of fifty at once, on a desk with tries enough, one succeeds.
func TestOneOfFiftyTextedCodesSucceeds(t *testing.T) {
	t.Parallel()
	for _, x := range textings() {
		var ok atomic.Int64
		e := authtest.New(t, func(c *auth.Config) { c.SMS.Tries = 10 })
		p := x.who(t, e, "ada")
		code := x.code(t, e, p, adaPhone)
		parallel(50, func() {
			switch err := x.redeem(e, p, adaPhone, code); {
			case err == nil:
				ok.Add(1)
			case !errors.Is(err, auth.ErrInvalidRequest) && !errors.Is(err, auth.ErrUnauthenticated) && !errors.Is(err, auth.ErrUserNotAnonymous):
				t.Error(err)
			}
		})
		if n := ok.Load(); n != 1 {
			t.Errorf("%s: %d successes", x.name, n)
		}
	}
}

// TK-01: a code of one kind is worth nothing elsewhere, and is not used up there.
func TestTextedCodesAreWorthNothingElsewhere(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, letters)
	who := map[string]*auth.Principal{}
	codes := map[string]string{}
	for i, x := range textings() {
		who[x.name] = x.who(t, e, fmt.Sprintf("user%d", i))
		codes[x.name] = x.code(t, e, who[x.name], fmt.Sprintf("+4179000000%d", i))
	}
	for i, x := range textings() {
		number := fmt.Sprintf("+4179000000%d", i)
		for _, other := range textings() {
			if other.name == x.name {
				continue
			}
			if err := other.redeem(e, who[other.name], number, codes[x.name]); !errors.Is(err, auth.ErrInvalidRequest) {
				t.Errorf("the code of %s for %s: %v", x.name, other.name, err)
			}
		}
		if _, err := e.VerifyEmailOTP(t.Context(), auth.VerifyEmailOTPParams{Email: "user1@example.com", OTP: codes[x.name]}); !errors.Is(err, auth.ErrInvalidTicket) {
			t.Errorf("the code of %s for a letter: %v", x.name, err)
		}
	}
	// Nor is it anything to another session, nor to another user.
	mallory := e.Principal(t, e.SignUp(t, "mallory@example.com"))
	change := textings()[1]
	if err := change.redeem(e, mallory, "+41790000001", codes[change.name]); !errors.Is(err, auth.ErrInvalidRequest) {
		t.Errorf("another user's: %v", err)
	}
	for i, x := range textings() {
		if err := x.redeem(e, who[x.name], fmt.Sprintf("+4179000000%d", i), codes[x.name]); err != nil {
			t.Errorf("%s after all that: %v", x.name, err)
		}
	}
}

// SM-05: a gateway that fails leaves no code, tells nothing of itself, and the user can ask again.
func TestAGatewayThatFails(t *testing.T) {
	t.Parallel()
	for _, x := range textings() {
		for _, provider := range []bool{false, true} {
			e := withProvider(t, provider)
			p := x.who(t, e, "ada")
			e.Phone.Refuse(&sms.Error{Provider: "acme", Status: 500, Code: "boom"})
			err := x.send(e, p, adaPhone)
			if !errors.Is(err, auth.ErrCannotSendSMS) {
				t.Fatalf("%s: %v", x.name, err)
			}
			if said := (*auth.Error)(nil); !errors.As(err, &said) || strings.Contains(said.Message, "acme") {
				t.Errorf("%s: the client is told %q", x.name, said.Message)
			}
			if n := countMessages(t, e); n != 0 {
				t.Errorf("%s: %d messages wait", x.name, n)
			}
			e.Phone.Refuse(nil)
			if err := x.redeem(e, p, adaPhone, "123456"); !errors.Is(err, auth.ErrInvalidRequest) {
				t.Errorf("%s: %v", x.name, err)
			}
			if err := x.redeem(e, p, adaPhone, x.code(t, e, p, adaPhone)); err != nil {
				t.Errorf("%s afterwards: %v", x.name, err)
			}
			if p == nil { // the same for who is known by now
				e.Phone.Refuse(errors.New("down"))
				if err := x.send(e, p, adaPhone); !errors.Is(err, auth.ErrCannotSendSMS) {
					t.Errorf("%s of a user: %v", x.name, err)
				}
			}
		}
	}
}

// countMessages is how many messages lie in the outbox.
func countMessages(t *testing.T, e *authtest.Engine) int {
	t.Helper()
	due, err := e.Store.ClaimMessages(t.Context(), store.MessageClaim{Now: e.Clock.Now().Add(1000 * time.Hour), Until: e.Clock.Now().Add(2000 * time.Hour), Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	return len(due)
}

// The code of a message that was not delivered is not in the store either: no ticket can be redeemed by whoever guesses.
func TestACodeThatWasNotSentIsVoid(t *testing.T) {
	t.Parallel()
	var sent string
	e := authtest.New(t, func(c *auth.Config) {
		c.SMS.Sender = senderFunc(func(_ context.Context, m sms.Message) error {
			sent = m.Code
			return errors.New("no answer") // although the message may be on its way
		})
	})
	for _, x := range textings() {
		p := x.who(t, e, "ada")
		if err := x.send(e, p, adaPhone); !errors.Is(err, auth.ErrCannotSendSMS) {
			t.Fatal(err)
		}
		if err := x.redeem(e, p, adaPhone, sent); !errors.Is(err, auth.ErrInvalidRequest) {
			t.Errorf("%s: %v", x.name, err)
		}
	}
}

type senderFunc func(context.Context, sms.Message) error

func (f senderFunc) Send(ctx context.Context, m sms.Message) error { return f(ctx, m) }

// A loop delivers what a call could not: after a crash, or where errors are concealed. It delivers no code that has expired.
func TestALoopDeliversTextMessages(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, func(c *auth.Config) { c.ConcealErrors = true })
	x := textings()[0]
	e.Phone.Refuse(errors.New("down"))
	for _, number := range []string{adaPhone, bobPhone} {
		if err := x.send(e, nil, number); err != nil {
			t.Fatalf("concealed: %v", err)
		}
		if number == adaPhone {
			e.Clock.Advance(4 * time.Minute)
		}
	}
	e.Phone.Refuse(nil)
	e.Clock.Advance(2 * time.Minute) // Ada's code has expired, Bob's has not
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- e.Run(ctx) }()
	text := e.Phone.Next(t, bobPhone)
	if err := x.redeem(e, nil, bobPhone, text.Code); err != nil {
		t.Error(err)
	}
	// With a loop, a call that conceals leaves the sending to it, whoever asks.
	if err := x.send(e, nil, bobPhone); err != nil {
		t.Fatal(err)
	}
	if err := x.redeem(e, nil, bobPhone, e.Phone.Next(t, bobPhone).Code); err != nil {
		t.Error(err)
	}
	stop()
	<-done
	if late := e.Phone.To(adaPhone); len(late) != 0 {
		t.Errorf("a code that has expired was sent: %v", late)
	}
	if n := len(e.Events.Of(auth.EventMessageGivenUp)); n != 1 {
		t.Errorf("%d messages given up", n)
	}
}

// SM-06, SM-08: who is told what, and who gets a message.
func TestWhatIsToldToWhoAsksForACode(t *testing.T) {
	t.Parallel()
	yes := true
	for _, concealed := range []bool{false, true} {
		conceal := func(c *auth.Config) { c.ConcealErrors = concealed }
		e := authtest.New(t, conceal)
		closed := replica(t, e, conceal, func(c *auth.Config) { c.SignUp.Disabled = true })
		existing := replica(t, e, conceal, func(c *auth.Config) { c.SMS.ExistingUsersOnly = true })
		signUpByPhone(t, e, adaPhone)
		bob := signUpByPhone(t, e, bobPhone)
		code := textings()[0].code(t, e, nil, bobPhone)
		if _, err := e.UpdateUser(t.Context(), bob.User.ID, auth.UserUpdate{Disabled: &yes}); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			number  string
			e       *authtest.Engine
			message bool
			want    error // unless concealed
		}{
			{adaPhone, e, true, nil},
			{adaPhone, closed, true, nil},
			{bobPhone, e, false, nil},
			{"+41790000001", e, true, nil},
			{"+41790000002", closed, false, auth.ErrSignUpDisabled},
			{"+41790000002", existing, false, auth.ErrSignUpDisabled},
		} {
			before := len(c.e.Phone.All())
			err := c.e.SendSMSOTP(t.Context(), auth.SendSMSOTPParams{PhoneNumber: c.number})
			want := c.want
			if concealed {
				want = nil
			}
			if !errors.Is(err, want) || want == nil && err != nil {
				t.Errorf("concealed %t, %s: %v, not %v", concealed, c.number, err, want)
			}
			if got := len(c.e.Phone.All()) > before; got != c.message {
				t.Errorf("concealed %t, %s: message %t", concealed, c.number, got)
			}
		}
		// SM-08: the code from before does not help, and the state is told to who has it alone.
		want := auth.ErrDisabledUser
		if concealed {
			want = auth.ErrInvalidRequest
		}
		if err := textings()[0].redeem(e, nil, bobPhone, code); !errors.Is(err, want) {
			t.Errorf("concealed %t: %v", concealed, err)
		}
		if _, err := refresh(t, e, bob.RefreshToken); !errors.Is(err, want) {
			t.Errorf("concealed %t: %v", concealed, err)
		}
		if err := textings()[0].redeem(e, nil, bobPhone, otherCode(code)); errors.Is(err, auth.ErrDisabledUser) {
			t.Errorf("concealed %t: a wrong code tells that the user is disabled", concealed)
		}
	}
	off := authtest.New(t, func(c *auth.Config) { c.SMS = nil })
	for _, x := range textings() {
		p := x.who(t, off, "ada")
		if err := x.send(off, p, adaPhone); !errors.Is(err, auth.ErrDisabledEndpoint) {
			t.Errorf("%s where it is off: %v", x.name, err)
		}
		if err := x.redeem(off, p, adaPhone, "123456"); !errors.Is(err, auth.ErrDisabledEndpoint) {
			t.Errorf("the code of %s where it is off: %v", x.name, err)
		}
	}
}

// The same number of round trips and the same event, whoever is asked for, and if the store fails, whoever asks is told.
func TestAskingForATextMessageTakesTheSameTrips(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	counter := storetest.Count(e.Store)
	concealing := func(c *auth.Config) {
		c.Now, c.ConcealErrors, c.SignUp.Disabled = e.Clock.Now, true, true
	}
	counted := authtest.NewWithStore(t, counter, concealing)
	const disabled, unproven = "+41790000001", "+41790000002"
	signUpByPhone(t, e, adaPhone)
	yes, number := true, unproven
	if _, err := e.UpdateUser(t.Context(), signUpByPhone(t, e, disabled).User.ID, auth.UserUpdate{Disabled: &yes}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Store.ChangeUser(t.Context(), store.UserChange{
		UserID: e.SignUp(t, "ada@example.com").User.ID, Now: e.Clock.Now(), Set: store.UserSet{Phone: &number},
	}); err != nil {
		t.Fatal(err)
	}
	for _, number := range []string{adaPhone, bobPhone, disabled, unproven} {
		counter.Reset()
		events := len(counted.Events.All())
		if err := counted.SendSMSOTP(t.Context(), auth.SendSMSOTPParams{PhoneNumber: number}); err != nil {
			t.Fatal(err)
		}
		if trips := counter.Trips() - counter.Calls()["SettleMessage"]; trips != 2 {
			t.Errorf("%s: %d trips %v", number, trips, counter.Calls())
		}
		got := counted.Events.All()[events:]
		if len(got) != 1 || got[0].Type != auth.EventSignInAsked || got[0].Method != viaSMS || (got[0].UserID != uuid.Nil) != (number == adaPhone) {
			t.Errorf("%s: %+v", number, got)
		}
		if n := len(counted.Phone.To(number)); n != map[bool]int{true: 1}[number == adaPhone] {
			t.Errorf("%s: %d messages", number, n)
		}
		for trip := range 2 {
			broken := authtest.NewWithStore(t, storetest.Break(e.Store, storetest.Fault{Call: trip + 1}), concealing)
			if err := broken.SendSMSOTP(t.Context(), auth.SendSMSOTPParams{PhoneNumber: number}); !errors.Is(err, auth.ErrInternal) {
				t.Errorf("%s, whose trip %d fails: %v", number, trip+1, err)
			}
		}
	}
}

func TestPhoneNumbersThatAreNone(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, func(c *auth.Config) {
		c.SMS.ParsePhone = func(s string) (string, error) {
			switch s {
			case "panic":
				panic("at the service's")
			case "wrong":
				return "079 123 45 67", nil
			case strings.Repeat("1", 64), strings.Repeat("1", 65): // the latter is not even asked about
				return adaPhone, nil
			}
			return phone.Parse(s)
		}
	})
	for _, x := range textings() {
		p := x.who(t, e, "ada")
		for _, bad := range []string{"", "0791234567", "+41 79", "+41791234567\r\n", "tel:+41791234567", "panic", strings.Repeat("1", 65)} {
			if err := x.send(e, p, bad); !errors.Is(err, auth.ErrInvalidRequest) {
				t.Errorf("%s to %.20q: %v", x.name, bad, err)
			}
			if err := x.redeem(e, p, bad, "123456"); !errors.Is(err, auth.ErrInvalidRequest) {
				t.Errorf("the code of %s to %.20q: %v", x.name, bad, err)
			}
		}
		for _, err := range []error{x.send(e, p, "wrong"), x.redeem(e, p, "wrong", "123456")} {
			if !errors.Is(err, auth.ErrInternal) { // a service's parser that does not return E.164
				t.Errorf("%s: %v", x.name, err)
			}
		}
	}
	if n := len(e.Phone.All()); n != 0 {
		t.Errorf("%d messages", n)
	}
	if err := textings()[0].send(e, nil, strings.Repeat("1", 64)); err != nil || len(e.Phone.To(adaPhone)) != 1 {
		t.Errorf("as long as a number may be typed: %v", err)
	}
}

// What is not of the form that providers send is not shown to them.
func TestCodesThatNoProviderSends(t *testing.T) {
	t.Parallel()
	var asked []string
	e := withProvider(t, true)
	e = replica(t, e, func(c *auth.Config) {
		c.SMS = &auth.SMSConfig{Verifier: checkFunc{e.Phone, func(code string) (bool, error) {
			asked = append(asked, code)
			return true, nil
		}}}
	})
	for code, good := range map[string]bool{
		"": false, "123": false, "1234": true, "0123456789": true, "01234567890": false, "12 4": false, "12345a": false, "a2345": false, "/123": false, "123:": false,
	} {
		number := fmt.Sprintf("+4179%07d", len(asked))
		if err := e.SendSMSOTP(t.Context(), auth.SendSMSOTPParams{PhoneNumber: number}); err != nil {
			t.Fatal(err)
		}
		before := len(asked)
		err := textings()[0].redeem(e, nil, number, code)
		if good != (err == nil) || !good && !errors.Is(err, auth.ErrInvalidRequest) || good != (len(asked) > before) {
			t.Errorf("%q: %v, and the provider was asked %v", code, err, asked)
		}
	}
	// Nor is a code for a number at which nobody waits for one.
	before := len(asked)
	if err := textings()[0].redeem(e, nil, adaPhone, "123456"); !errors.Is(err, auth.ErrInvalidRequest) || len(asked) != before {
		t.Errorf("nobody's: %v, and the provider was asked %v", err, asked)
	}
}

// checkFunc is a provider that checks codes in a way of its own.
type checkFunc struct {
	sms.Verifier
	check func(code string) (bool, error)
}

func (f checkFunc) Check(_ context.Context, _, code string) (bool, error) { return f.check(code) }

// PH-01, W4: the first proof of a number leaves nobody else a way in. A number that nobody has proven is no way into an
// account whose address somebody has.
func TestTheFirstProofOfANumber(t *testing.T) {
	t.Parallel()
	none, number := false, adaPhone
	e := authtest.New(t, unverified)
	key := &authtest.Authenticator{}
	mallory := withKey(t, e, "m@example.com", key)
	_, err := e.Store.ChangeUser(t.Context(), store.UserChange{
		UserID: mallory.User.ID, Now: e.Clock.Now(), Set: store.UserSet{Phone: &number, PhoneVerified: &none},
		Identity: &store.Identity{Provider: "github", Subject: "1", CreatedAt: e.Clock.Now()},
		PAT:      &store.PAT{ID: uuid.New(), Hash: make([]byte, 32), CreatedAt: e.Clock.Now(), ExpiresAt: e.Clock.Now().Add(time.Hour)},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := signUpByPhone(t, e, adaPhone)
	if s.User.ID != mallory.User.ID || s.User.Email != "" {
		t.Errorf("user %s", asJSON(s.User))
	}
	if _, err := signIn(t, e, "m@example.com", authtest.Password); !errors.Is(err, auth.ErrInvalidEmailPassword) {
		t.Errorf("the password: %v", err)
	}
	if _, err := refresh(t, e, mallory.RefreshToken); !errors.Is(err, auth.ErrInvalidRefreshToken) {
		t.Errorf("the session: %v", err)
	}
	if _, err := endKeySignIn(t, e, key.Get(t, beginKeySignIn(t, e, ""))); !errors.Is(err, auth.ErrInvalidRequest) {
		t.Errorf("the key: %v", err)
	}
	a, err := e.Store.User(t.Context(), store.UserQuery{ID: s.User.ID, Now: e.Clock.Now(), With: store.WithIdentities | store.WithPATs | store.WithSecurityKeys})
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Identities)+len(a.PATs)+len(a.SecurityKeys) != 0 || a.PasswordHash != "" || a.EmailVerified {
		t.Errorf("left: %s", asJSON(a))
	}

	// What is dropped asks nobody for anything: neither for a proof of the address, nor for a second factor, nor in a hook.
	var seen []*auth.User
	strict := authtest.New(t, func(c *auth.Config) {
		c.Hooks.BeforeSession = func(_ context.Context, u *auth.User, _ []string) error {
			seen = append(seen, u)
			return nil
		}
	})
	pendingUser(t, strict, "m@example.com")
	pending, err := strict.FindUser(t.Context(), auth.UserBy{Email: "m@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	factor := []byte("seed")
	_, err = strict.Store.ChangeUser(t.Context(), store.UserChange{
		UserID: pending.ID, Now: strict.Clock.Now(), Set: store.UserSet{Phone: &number, PhoneVerified: &none, TOTPSecret: &factor},
	})
	if err != nil {
		t.Fatal(err)
	}
	if s := signUpByPhone(t, strict, adaPhone); s == nil || s.User.ID != pending.ID || s.User.Email != "" {
		t.Errorf("session %s", asJSON(s))
	}
	if len(seen) != 1 || seen[0].Email != "" || !seen[0].PhoneNumberVerified {
		t.Errorf("the hook has seen %s", asJSON(seen))
	}

	owner := e.SignUp(t, "owner@example.com")
	yes, other := true, bobPhone
	if _, err := e.Store.ChangeUser(t.Context(), store.UserChange{UserID: owner.User.ID, Now: e.Clock.Now(), Set: store.UserSet{Phone: &other, EmailVerified: &yes}}); err != nil {
		t.Fatal(err)
	}
	if err := e.SendSMSOTP(t.Context(), auth.SendSMSOTPParams{PhoneNumber: bobPhone}); err != nil {
		t.Fatal(err)
	}
	if len(e.Phone.To(bobPhone)) != 0 {
		t.Error("a code went to a number that nobody has proven")
	}
	// Nor is a code that is older than the proof of the address.
	if _, err := e.Store.ChangeUser(t.Context(), store.UserChange{UserID: owner.User.ID, Now: e.Clock.Now(), Set: store.UserSet{EmailVerified: &none}}); err != nil {
		t.Fatal(err)
	}
	code := textings()[0].code(t, e, nil, bobPhone)
	if _, err := e.Store.ChangeUser(t.Context(), store.UserChange{UserID: owner.User.ID, Now: e.Clock.Now(), Set: store.UserSet{EmailVerified: &yes}}); err != nil {
		t.Fatal(err)
	}
	if err := textings()[0].redeem(e, nil, bobPhone, code); !errors.Is(err, auth.ErrInvalidRequest) {
		t.Errorf("a code from before: %v", err)
	}
	e.SignIn(t, "owner@example.com")
}

// ML-07, EO-17, SM-09: options of a stranger change nothing of a user who exists, and stand in no message.
func TestOptionsDoNotChangeAUserWithANumber(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, func(c *auth.Config) { c.Locales.Allowed = []string{"cs"} })
	s := signUpByPhone(t, e, adaPhone)
	o := auth.SignUpOptions{DisplayName: "Mallory Evil", Locale: "cs", Metadata: json.RawMessage(`{"a":1}`), AllowedRoles: []string{"user"}}
	if err := e.SendSMSOTP(t.Context(), auth.SendSMSOTPParams{PhoneNumber: adaPhone, Options: o}); err != nil {
		t.Fatal(err)
	}
	got, err := e.User(t.Context(), e.Principal(t, s))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s.User, got); diff != "" {
		t.Error(diff)
	}
	if text := e.Phone.Last(t, adaPhone); text.Locale != "en" || strings.Contains(text.Text, "Mallory") {
		t.Errorf("%+v", text)
	}
	if err := e.SendSMSOTP(t.Context(), auth.SendSMSOTPParams{PhoneNumber: bobPhone, Options: o}); err != nil {
		t.Fatal(err)
	}
	if text := e.Phone.Last(t, bobPhone); text.Locale != "cs" || strings.Contains(text.Text, "Mallory") {
		t.Errorf("%+v", text)
	}
	for want, o := range map[error]auth.SignUpOptions{
		auth.ErrRoleNotAllowed:        {AllowedRoles: []string{"admin"}},
		auth.ErrDefaultRoleNotAllowed: {DefaultRole: "admin"},
		auth.ErrRedirectNotAllowed:    {RedirectTo: "https://evil.test"},
		auth.ErrInvalidRequest:        {Metadata: json.RawMessage(`[]`)},
	} {
		if err := e.SendSMSOTP(t.Context(), auth.SendSMSOTPParams{PhoneNumber: "+41790000009", Options: o}); !errors.Is(err, want) {
			t.Errorf("%v, not %v", err, want)
		}
	}
}

func TestChangePhone(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	s := e.SignUp(t, "ada@example.com")
	p := e.Principal(t, s)
	change := textings()[1]
	if err := change.redeem(e, p, adaPhone, change.code(t, e, p, adaPhone)); err != nil {
		t.Fatal(err)
	}
	u, err := e.User(t.Context(), p)
	if err != nil || u.PhoneNumber != adaPhone || !u.PhoneNumberVerified {
		t.Errorf("%s, %v", asJSON(u), err)
	}
	if l := e.Mailbox.Last(t, "ada@example.com"); l.Template != "phone-changed" { // PW-19
		t.Errorf("letter %s", l.Template)
	}
	if n := len(e.Events.Of(auth.EventPhoneChanged)); n != 1 {
		t.Errorf("%d events", n)
	}
	if in := signUpByPhone(t, e, adaPhone); in.User.ID != s.User.ID {
		t.Error("the number is not a way in")
	}
	if err := change.send(e, p, adaPhone); !errors.Is(err, auth.ErrInvalidRequest) {
		t.Errorf("to the same: %v", err)
	}

	// What went to the old number is void, and that number is free again.
	old := textings()[0].code(t, e, nil, adaPhone)
	if err := change.redeem(e, p, bobPhone, change.code(t, e, p, bobPhone)); err != nil {
		t.Fatal(err)
	}
	for _, number := range []string{adaPhone, bobPhone} {
		if err := textings()[0].redeem(e, nil, number, old); !errors.Is(err, auth.ErrInvalidRequest) {
			t.Errorf("the code to the old number, with %s: %v", number, err)
		}
	}
	if in := signUpByPhone(t, e, adaPhone); in.User.ID == s.User.ID {
		t.Error("the old number is still a way in")
	}

	// A number is told to be another's only to who has proven it, and is not taken from them.
	before := len(e.Phone.All())
	if err := change.send(e, p, adaPhone); err != nil || len(e.Phone.All()) == before {
		t.Errorf("another's number: %v", err)
	}
	if err := change.redeem(e, p, adaPhone, e.Phone.Last(t, adaPhone).Code); !errors.Is(err, auth.ErrInvalidRequest) {
		t.Errorf("another's number: %v", err)
	}

	if n := len(e.Events.Of(auth.EventSignInFailed)); n != 2 { // the two codes to the old number; a change is no sign-in
		t.Errorf("%d failed sign-ins", n)
	}
	if err := change.redeem(e, p, "+41790000002", otherCode(change.code(t, e, p, "+41790000002"))); !errors.Is(err, auth.ErrInvalidRequest) {
		t.Errorf("a wrong code: %v", err)
	}
	if n := len(e.Events.Of(auth.EventSignInFailed)); n != 2 {
		t.Errorf("%d failed sign-ins", n)
	}

	// A number that the user has and nobody has proven can be proven.
	no, unproven := false, "+41790000003"
	if _, err := e.Store.ChangeUser(t.Context(), store.UserChange{UserID: s.User.ID, Now: e.Clock.Now(), Set: store.UserSet{Phone: &unproven, PhoneVerified: &no}}); err != nil {
		t.Fatal(err)
	}
	e.Mailbox.Refuse(errors.New("down"))
	if err := change.redeem(e, p, unproven, change.code(t, e, p, unproven)); err != nil {
		t.Errorf("a number that was not proven: %v", err)
	}
	e.Mailbox.Refuse(nil)
	if n := countMessages(t, e); n != 1 {
		t.Errorf("%d letters wait for a loop", n)
	}

	// It is the session that asks which confirms, and lives.
	code := change.code(t, e, p, "+41790000001")
	if err := e.SignOut(t.Context(), p, auth.SignOutParams{All: true}); err != nil {
		t.Fatal(err)
	}
	if err := change.redeem(e, p, "+41790000001", code); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("after sign-out: %v", err)
	}
	yes, again := true, e.SignIn(t, "ada@example.com")
	p = e.Principal(t, again)
	code = change.code(t, e, p, "+41790000001")
	if _, err := e.UpdateUser(t.Context(), again.User.ID, auth.UserUpdate{Disabled: &yes}); err != nil {
		t.Fatal(err)
	}
	if err := change.redeem(e, p, "+41790000001", code); !errors.Is(err, auth.ErrDisabledUser) {
		t.Errorf("a disabled user: %v", err)
	}
	g := e.Principal(t, guest(t, e))
	if err := change.send(e, g, adaPhone); !errors.Is(err, auth.ErrForbiddenAnonymous) {
		t.Errorf("a guest: %v", err)
	}
	if err := change.redeem(e, g, adaPhone, "123456"); !errors.Is(err, auth.ErrForbiddenAnonymous) {
		t.Errorf("a guest: %v", err)
	}
	for _, x := range textings()[1:] {
		if err := x.send(e, nil, adaPhone); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("%s by nobody: %v", x.name, err)
		}
		if err := x.redeem(e, nil, adaPhone, "123456"); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("%s by nobody: %v", x.name, err)
		}
	}
}

// EC-16: of two users who prove one number at once, one has it.
func TestTwoUsersProveOneNumber(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	change := textings()[1]
	var ps []*auth.Principal
	var codes []string
	for i := range 20 {
		p := e.Principal(t, e.SignUp(t, fmt.Sprintf("user%d@example.com", i)))
		ps, codes = append(ps, p), append(codes, change.code(t, e, p, adaPhone))
	}
	var ok atomic.Int64
	atOnce(len(ps), func(i int) {
		switch err := change.redeem(e, ps[i], adaPhone, codes[i]); {
		case err == nil:
			ok.Add(1)
		case !errors.Is(err, auth.ErrInvalidRequest):
			t.Error(err)
		}
	})
	if ok.Load() != 1 {
		t.Errorf("%d have it", ok.Load())
	}
}

// AN-04, AN-07, AN-09, AN-13, AN-14: a guest becomes a regular user with a number once that is proven, and not before.
func TestDeanonymizeBySMS(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	s := guest(t, e)
	p := e.Principal(t, s)
	o := auth.SignUpOptions{DisplayName: "Ada", Metadata: json.RawMessage(`{"a":1}`)}
	ask := func(o auth.SignUpOptions) error {
		return e.Deanonymize(background, p, auth.DeanonymizeParams{Method: auth.DeanonymizeBySMS, PhoneNumber: adaPhone, Options: o})
	}
	for want, o := range map[error]auth.SignUpOptions{
		auth.ErrRoleNotAllowed:     {AllowedRoles: []string{"admin"}},
		auth.ErrRedirectNotAllowed: {RedirectTo: "https://evil.test"},
	} {
		if err := ask(o); !errors.Is(err, want) {
			t.Errorf("%v, not %v", err, want)
		}
	}
	if err := ask(o); err != nil {
		t.Fatal(err)
	}
	if u, err := e.User(t.Context(), p); err != nil || !u.IsAnonymous || u.PhoneNumber != "" || u.DisplayName == "Ada" {
		t.Errorf("before the proof: %s, %v", asJSON(u), err)
	}
	mustRefresh(t, e, s.RefreshToken)
	err := textings()[2].redeem(e, p, "12", "123456") // which is no guess at anything
	if refused := e.Events.Of(auth.EventTicketRefused); !errors.Is(err, auth.ErrInvalidRequest) || len(refused) != 0 {
		t.Errorf("a number that is none: %v, %v", err, refused)
	}
	in, err := e.VerifyDeanonymize(t.Context(), p, auth.VerifyDeanonymizeParams{PhoneNumber: adaPhone, OTP: e.Phone.Last(t, adaPhone).Code})
	if err != nil {
		t.Fatal(err)
	}
	if u := in.Session.User; u.ID != s.User.ID || u.IsAnonymous || u.PhoneNumber != adaPhone || !u.PhoneNumberVerified ||
		u.DisplayName != "Ada" || u.DefaultRole != "user" || string(u.Metadata) != `{"a":1}` {
		t.Errorf("%s", asJSON(u))
	}
	if now := e.Principal(t, in.Session); now.Anonymous || now.DefaultRole != "user" || !cmp.Equal(now.AMR, []string{"sms"}) {
		t.Errorf("%+v", now)
	}
	if stored, err := e.User(t.Context(), e.Principal(t, in.Session)); err != nil || !cmp.Equal(stored, in.Session.User) {
		t.Errorf("%v\n%s", err, cmp.Diff(stored, in.Session.User))
	}
	if _, err := refresh(t, e, s.RefreshToken); !errors.Is(err, auth.ErrInvalidRefreshToken) {
		t.Errorf("the guest's session: %v", err)
	}
	if n := len(e.Events.Of(auth.EventDeanonymized)); n != 1 {
		t.Errorf("%d events", n)
	}
	regular := e.Principal(t, in.Session)
	err = e.Deanonymize(t.Context(), regular, auth.DeanonymizeParams{Method: auth.DeanonymizeBySMS, PhoneNumber: bobPhone})
	if !errors.Is(err, auth.ErrUserNotAnonymous) {
		t.Errorf("a regular user: %v", err)
	}

	// Another's number stays theirs.
	other := e.Principal(t, guest(t, e))
	x := textings()[2]
	if err := x.redeem(e, other, adaPhone, x.code(t, e, other, adaPhone)); !errors.Is(err, auth.ErrInvalidRequest) {
		t.Errorf("another's number: %v", err)
	}
	if u, err := e.User(t.Context(), other); err != nil || !u.IsAnonymous {
		t.Errorf("%s, %v", asJSON(u), err)
	}
	// Nor does a code count of a session that has ended, or of a guest who has become a user otherwise.
	code := x.code(t, e, other, bobPhone)
	if err := e.SignOut(t.Context(), other, auth.SignOutParams{All: true}); err != nil {
		t.Fatal(err)
	}
	if err := x.redeem(e, other, bobPhone, code); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("after sign-out: %v", err)
	}
	open := authtest.New(t, unverified)
	other = open.Principal(t, guest(t, open))
	code = x.code(t, open, other, bobPhone)
	err = open.Deanonymize(t.Context(), other, auth.DeanonymizeParams{Method: auth.DeanonymizeByPassword, Email: "bob@example.com", Password: authtest.Password})
	if err != nil {
		t.Fatal(err)
	}
	if err := x.redeem(open, other, bobPhone, code); !errors.Is(err, auth.ErrUserNotAnonymous) {
		t.Errorf("after a password: %v", err)
	}
	other = e.Principal(t, guest(t, e))
	closed := replica(t, e, func(c *auth.Config) { c.SignUp.Disabled = true })
	if err := x.send(closed, other, bobPhone); !errors.Is(err, auth.ErrSignUpDisabled) {
		t.Errorf("%v", err)
	}
}

// TK-07, EO-15: what the store keeps of a code is worth nothing, and no number stands in a ticket or a message in clear.
func TestTheStoreKeepsNoTextedCode(t *testing.T) {
	t.Parallel()
	var tickets []store.Ticket
	e := authtest.New(t)
	recording := recorder{Store: e.Store, seen: func(ts ...*store.Ticket) {
		for _, ticket := range ts {
			if ticket != nil {
				tickets = append(tickets, *ticket)
			}
		}
	}}
	e = authtest.NewWithStore(t, recording)
	for _, x := range textings() {
		code := x.code(t, e, x.who(t, e, "ada"), adaPhone)
		kept := tickets[len(tickets)-1]
		if text := asJSON(kept) + string(kept.Hash) + string(kept.Data); strings.Contains(text, code) || strings.Contains(text, adaPhone[1:]) {
			t.Errorf("%s: the store has it in clear", x.name)
		}
	}
}

func TestSMSConfig(t *testing.T) {
	t.Parallel()
	phone := authtest.NewPhone()
	for name, c := range map[string]auth.SMSConfig{
		"neither":        {},
		"both":           {Sender: phone, Verifier: phone},
		"too many tries": {Sender: phone, Tries: 11},
	} {
		config := validConfig()
		config.SMS = &c
		if _, err := auth.New(nil, config); err == nil || !strings.Contains(err.Error(), "SMS") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whether or not a loop runs, who asks hears of a failure; where errors are concealed they do not even wait for the gateway.
func TestALoopDoesNotChangeWhatIsToldOfACode(t *testing.T) {
	t.Parallel()
	for _, concealed := range []bool{false, true} {
		called, release, looping := make(chan struct{}), make(chan struct{}), make(chan struct{}, 10)
		store := storetest.Break(memstore.New(), storetest.Fault{Method: "ClaimMessages", Do: func(context.Context) {
			select {
			case looping <- struct{}{}:
			default:
			}
		}})
		e := authtest.NewWithStore(t, store, func(c *auth.Config) {
			c.ConcealErrors = concealed
			c.SMS.Sender = senderFunc(func(context.Context, sms.Message) error {
				close(called)
				<-release
				return &sms.Error{Provider: "acme", Final: true}
			})
		})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- e.Run(ctx) }()
		<-looping
		told := make(chan error)
		go func() { told <- e.SendSMSOTP(ctx, auth.SendSMSOTPParams{PhoneNumber: adaPhone}) }()
		if concealed {
			if err := <-told; err != nil { // although the gateway has not answered
				t.Errorf("concealed: %v", err)
			}
			<-called
			close(release)
		} else {
			<-called
			close(release)
			if err := <-told; !errors.Is(err, auth.ErrCannotSendSMS) {
				t.Errorf("%v", err)
			}
		}
		stop()
		<-done
	}
}

// A code that belongs to a transaction of the service's leaves when that is committed, and not at all if it is not.
func TestACodeInATransaction(t *testing.T) {
	t.Parallel()
	var e *authtest.Engine
	e = authtest.New(t, unverified, func(c *auth.Config) {
		c.Hooks.UserCreated = func(ctx context.Context, u *auth.User) error {
			if u.Email == "" {
				return nil
			}
			if err := e.SendSMSOTP(ctx, auth.SendSMSOTPParams{PhoneNumber: adaPhone}); err != nil {
				return err
			}
			return errors.New("the service's own fault")
		}
	})
	signUpByPhone(t, e, adaPhone)
	before := len(e.Phone.All())
	if _, err := signUp(t, e, "ada@example.com", authtest.Password, auth.SignUpOptions{}); !errors.Is(err, auth.ErrInternal) {
		t.Fatalf("%v", err)
	}
	if got := len(e.Phone.All()); got != before || countMessages(t, e) != 0 {
		t.Errorf("%d messages were sent", got-before)
	}
}

// A message that was written for a sender is not for a provider that makes codes of its own, and the other way about.
func TestCodesOfAnotherKindOfSender(t *testing.T) {
	t.Parallel()
	for _, provider := range []bool{false, true} {
		e := withProvider(t, provider)
		use := func(provider, concealed bool) func(*auth.Config) {
			return func(c *auth.Config) {
				c.ConcealErrors = concealed
				if c.SMS = (&auth.SMSConfig{Sender: e.Phone}); provider {
					c.SMS = &auth.SMSConfig{Verifier: e.Phone}
				}
			}
		}
		writing, reading := replica(t, e, use(provider, true)), replica(t, e, use(!provider, true))
		e.Phone.Refuse(errors.New("down"))
		if err := textings()[0].send(writing, nil, adaPhone); err != nil {
			t.Fatal(err)
		}
		e.Phone.Refuse(nil)
		e.Clock.Advance(2 * time.Minute)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- reading.Run(ctx) }()
		for len(reading.Events.Of(auth.EventMessageGivenUp)) == 0 {
			runtime.Gosched()
		}
		stop()
		<-done
		if n := len(e.Phone.All()); n != 0 {
			t.Errorf("%d messages", n)
		}
	}
}

// Who asked may be gone: the message is sent, and noted as sent.
func TestACodeIsSentToWhoHasHungUp(t *testing.T) {
	t.Parallel()
	ctx, hangUp := context.WithCancel(t.Context())
	e := authtest.New(t, func(c *auth.Config) {
		c.SMS.Sender = senderFunc(func(ctx context.Context, _ sms.Message) error {
			hangUp()
			return ctx.Err()
		})
	})
	if err := e.SendSMSOTP(ctx, auth.SendSMSOTPParams{PhoneNumber: adaPhone}); err != nil {
		t.Error(err)
	}
	if n := countMessages(t, e); n != 0 {
		t.Errorf("%d messages will be sent again", n)
	}
}

// A proven number is a way in, so that the last key may go.
func TestTheLastKeyOfAUserWithANumber(t *testing.T) {
	t.Parallel()
	no, yes, number := false, true, adaPhone
	for name, c := range map[string]struct {
		verified *bool
		sms      bool
		want     error
	}{
		"a proven number":          {&yes, true, nil},
		"a number that is not":     {&no, true, auth.ErrInvalidRequest},
		"a number where it is off": {&yes, false, auth.ErrInvalidRequest},
	} {
		e := authtest.New(t, unverified, func(c *auth.Config) { c.Mail = nil })
		s := withKey(t, e, "ada@example.com", &authtest.Authenticator{})
		none := ""
		_, err := e.Store.ChangeUser(t.Context(), store.UserChange{UserID: s.User.ID, Now: e.Clock.Now(), Set: store.UserSet{
			Phone: &number, PhoneVerified: c.verified, PasswordHash: &none,
		}})
		if err != nil {
			t.Fatal(err)
		}
		if !c.sms {
			e = replica(t, e, unverified, func(c *auth.Config) { c.Mail, c.SMS = nil, nil })
		}
		keys, err := e.ListSecurityKeys(t.Context(), e.Principal(t, s))
		if err != nil {
			t.Fatal(err)
		}
		_, err = e.RemoveSecurityKey(t.Context(), e.Principal(t, s), auth.RemoveSecurityKeyParams{ID: keys.Keys[0].ID})
		if !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TK-01: a code that has opened a session opens no other, also for who has proven the number long ago.
func TestATextedCodeOfAKnownNumberIsGoodOnce(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	signUpByPhone(t, e, adaPhone)
	sign := textings()[0]
	code := sign.code(t, e, nil, adaPhone)
	if err := sign.redeem(e, nil, adaPhone, code); err != nil {
		t.Fatal(err)
	}
	if err := sign.redeem(e, nil, adaPhone, code); !errors.Is(err, auth.ErrInvalidRequest) {
		t.Errorf("again: %v", err)
	}
}

// What the provider that made a code says is wrong opens nothing.
func TestACodeThatItsProviderRefusesOpensNothing(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	id := signUpByPhone(t, e, adaPhone).User.ID
	e = replica(t, e, func(c *auth.Config) { c.SMS.Sender, c.SMS.Verifier = nil, e.Phone })
	if err := textings()[0].send(e, nil, adaPhone); err != nil {
		t.Fatal(err)
	}
	code := "000000"
	for range 3 {
		in, err := e.VerifySMSOTP(t.Context(), auth.VerifySMSOTPParams{PhoneNumber: adaPhone, OTP: code})
		if in != nil || !errors.Is(err, auth.ErrInvalidRequest) {
			t.Errorf("%s: %v, %v", code, in, err)
		}
		code = "999999"
	}
	if events := e.Events.Of(auth.EventSignInFailed); len(events) != 3 || events[0].UserID != id { // whose number it is, is known
		t.Errorf("%+v", events)
	}
}

// Who is disabled is sent nothing to come in with, and whoever asks is not told.
func TestADisabledUserIsSentNothing(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, letters)
	u, yes := equip(t, e, "ada", adaPhone), true
	if _, err := e.UpdateUser(t.Context(), u.principal.UserID, auth.UserUpdate{Disabled: &yes}); err != nil {
		t.Fatal(err)
	}
	letters, texts := len(e.Mailbox.All()), len(e.Phone.All())
	for _, m := range mailings[:3] {
		if err := m.send(e, u.email, ""); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
	}
	if err := textings()[0].send(e, nil, u.phone); err != nil {
		t.Error(err)
	}
	if len(e.Mailbox.All()) != letters || len(e.Phone.All()) != texts {
		t.Errorf("%d letters and %d text messages", len(e.Mailbox.All())-letters, len(e.Phone.All())-texts)
	}
}
