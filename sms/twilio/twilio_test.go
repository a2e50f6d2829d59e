package twilio_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth/sms"
	"github.com/ostiary/auth/sms/twilio"
)

const (
	accountSID = "AC0123456789abcdef0123456789abcdef"
	keySID     = "SK0123456789abcdef0123456789abcdef"
	messages   = "MG0123456789abcdef0123456789abcdef"
	verify     = "VA0123456789abcdef0123456789abcdef"
	token      = "plum-tractor-eleven"
	number     = "+41791234567"
)

func message() sms.Message {
	return sms.Message{To: number, Text: "Your code is 123456 & nothing else: é.", Code: "123456", Locale: "en"}
}

// request is what Twilio was asked.
type request struct {
	Path, User, Password string
	Form                 url.Values
}

// fake is Twilio, as far as it is needed: it answers every request in the same way.
func fake(t *testing.T, status int, answer string) (base string, requests func() []request) {
	t.Helper()
	var got []request
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if r.Method != "POST" || r.ParseForm() != nil || r.URL.RawQuery != "" {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		got = append(got, request{r.URL.Path, user, password, r.PostForm})
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(s.Close)
	return s.URL, func() []request { return got }
}

func newSender(t *testing.T, c twilio.Config) *twilio.Sender {
	t.Helper()
	s, err := twilio.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newVerifier(t *testing.T, base string) *twilio.Verifier {
	t.Helper()
	v, err := twilio.NewVerifier(twilio.Config{AccountSID: accountSID, Token: token, Service: verify, BaseURL: base})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

const queued = `{"sid": "SM0123456789abcdef0123456789abcdef", "status": "queued", "error_code": null, "error_message": null, "to": "` + number + `"}`

func TestSendAsksForAMessage(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		config twilio.Config
		want   request
	}{
		"from a messaging service": {
			twilio.Config{AccountSID: accountSID, Token: token, Service: messages},
			request{User: accountSID, Form: url.Values{"MessagingServiceSid": {messages}}},
		},
		"from a number, with an API key": {
			twilio.Config{AccountSID: accountSID, KeySID: keySID, Token: token, From: "+12025550123"},
			request{User: keySID, Form: url.Values{"From": {"+12025550123"}}},
		},
		"from a name": {
			twilio.Config{AccountSID: accountSID, Token: token, From: "Ostiary 1"},
			request{User: accountSID, Form: url.Values{"From": {"Ostiary 1"}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base, requests := fake(t, http.StatusCreated, queued)
			tt.config.BaseURL = base
			if err := newSender(t, tt.config).Send(t.Context(), message()); err != nil {
				t.Fatal(err)
			}
			tt.want.Path, tt.want.Password = "/2010-04-01/Accounts/"+accountSID+"/Messages.json", token
			tt.want.Form.Set("To", number)
			tt.want.Form.Set("Body", message().Text)
			if diff := cmp.Diff([]request{tt.want}, requests()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// SM-05: a failure in any form is an error that says what it is in Twilio's codes and in none of Twilio's words.
func TestSendFails(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status int
		answer string
		code   string
		final  bool
	}{
		"a number that is none":  {400, `{"code": 21211, "message": "The 'To' number ` + number + ` is not valid", "status": 400}`, "21211", true},
		"an unsubscribed number": {400, `{"code": 21610, "message": "x", "more_info": "https://x", "status": 400}`, "21610", true},
		"a landline":             {400, `{"code": 21614, "status": 400}`, "21614", true},
		"a country that is off":  {400, `{"code": 21408, "status": 400}`, "21408", false},
		"a wrong token":          {401, `{"code": 20003, "message": "` + token + `", "status": 401}`, "20003", false},
		"too many requests":      {429, `{"code": 20429, "status": 429}`, "20429", false},
		"a fault of Twilio's":    {500, `{"code": 20500, "status": 500}`, "20500", false},
		"HTML":                   {502, "<html>" + number + "</html>", "", false},
		"HTML that looks well":   {200, "<html>" + number + "</html>", "", false},
		"another's JSON":         {200, `{"ok": true}`, "", false},
		"nothing":                {201, "", "", false},
		"a redirect":             {302, queued, "", false},
		"what is half JSON":      {201, `{"sid": "SM1", "status": "queued", "code": "none"}`, "", false},
		"a failed message":       {201, `{"sid": "SM1", "status": "failed", "error_code": 30007}`, "30007", false},
		"an undelivered message": {201, `{"sid": "SM1", "status": "undelivered", "error_code": null}`, "", false},
		"a code and no status":   {201, `{"sid": "SM1", "status": "queued", "error_code": 21610}`, "21610", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base, _ := fake(t, tt.status, tt.answer)
			err := newSender(t, twilio.Config{AccountSID: accountSID, Token: token, Service: messages, BaseURL: base}).Send(t.Context(), message())
			var e *sms.Error
			if !errors.As(err, &e) {
				t.Fatalf("error %v", err)
			}
			if e.Provider != "twilio" || e.Status != tt.status || e.Code != tt.code || e.Permanent() != tt.final {
				t.Errorf("%+v", e)
			}
			for _, secret := range []string{number, "123456", token, "html", accountSID} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error shows %q: %v", secret, err)
				}
			}
		})
	}
}

func TestNothingIsSentToNobody(t *testing.T) {
	t.Parallel()
	base, requests := fake(t, http.StatusCreated, queued)
	s := newSender(t, twilio.Config{AccountSID: accountSID, Token: token, Service: messages, BaseURL: base})
	v := newVerifier(t, base)
	m := message()
	m.To = "whatsapp:" + number
	errs := []error{s.Send(t.Context(), m), v.Start(t.Context(), m.To, "en"), s.Send(t.Context(), sms.Message{To: number})}
	_, err := v.Check(t.Context(), m.To, "123456")
	for _, err := range append(errs, err) {
		var e *sms.Error
		if !errors.As(err, &e) || !e.Permanent() {
			t.Errorf("error %v", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Send(ctx, message()); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if got := requests(); len(got) != 0 {
		t.Errorf("requests %v", got)
	}
}

// verification is Twilio's account of a verification.
func verification(status string, change func(map[string]any)) string {
	v := map[string]any{
		"sid": "VE0123456789abcdef0123456789abcdef", "service_sid": verify, "account_sid": accountSID,
		"to": number, "channel": "sms", "status": status, "valid": status == "approved",
	}
	if change != nil {
		change(v)
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func TestStartAsksForACode(t *testing.T) {
	t.Parallel()
	for locale, want := range map[string]url.Values{
		"en":    {"To": {number}, "Channel": {"sms"}, "Locale": {"en"}},
		"pt-BR": {"To": {number}, "Channel": {"sms"}, "Locale": {"pt-BR"}},
		"xx":    {"To": {number}, "Channel": {"sms"}},
		"":      {"To": {number}, "Channel": {"sms"}},
	} {
		base, requests := fake(t, http.StatusCreated, verification("pending", nil))
		if err := newVerifier(t, base).Start(t.Context(), number, locale); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]request{{"/v2/Services/" + verify + "/Verifications", accountSID, token, want}}, requests()); diff != "" {
			t.Errorf("%q: %s", locale, diff)
		}
	}
}

func TestStartFails(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status int
		answer string
		final  bool
	}{
		"a landline":           {400, `{"code": 60205, "status": 400}`, true},
		"too many codes":       {429, `{"code": 60203, "status": 429}`, false},
		"no such service":      {404, `{"code": 20404, "status": 404}`, false},
		"a canceled one":       {201, verification("canceled", nil), false},
		"another number's":     {201, verification("pending", func(v map[string]any) { v["to"] = "+41791234568" }), false},
		"a proxy's own answer": {200, "<html></html>", false},
	} {
		base, _ := fake(t, tt.status, tt.answer)
		var e *sms.Error
		if err := newVerifier(t, base).Start(t.Context(), number, "en"); !errors.As(err, &e) || e.Permanent() != tt.final {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// SM-07: only an approved verification of this number, by this service, is a success.
func TestCheck(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status int
		answer string
		want   bool
		fails  bool
	}{
		"approved":              {200, verification("approved", nil), true, false},
		"pending":               {200, verification("pending", nil), false, false},
		"pending, and valid":    {200, verification("pending", func(v map[string]any) { v["valid"] = true }), false, false},
		"canceled":              {200, verification("canceled", nil), false, false},
		"of another number":     {200, verification("approved", func(v map[string]any) { v["to"] = "+41791234568" }), false, true},
		"of no number":          {200, verification("approved", func(v map[string]any) { delete(v, "to") }), false, true},
		"of another service":    {200, verification("approved", func(v map[string]any) { v["service_sid"] = strings.Replace(verify, "0", "1", 1) }), false, true},
		"of another account":    {200, verification("approved", func(v map[string]any) { v["account_sid"] = "AC" }), false, true},
		"approved, in capitals": {200, verification("APPROVED", nil), false, false},
		"used or out of date":   {404, `{"code": 20404, "message": "not found", "status": 404}`, false, false},
		"somebody else's 404":   {404, "<html>not found</html>", false, true},
		"too many attempts":     {429, `{"code": 60202, "status": 429}`, false, false},
		"too many requests":     {429, `{"code": 20429, "status": 429}`, false, true},
		"approved, by an error": {500, verification("approved", nil), false, true},
		"a redirect":            {302, verification("approved", nil), false, true},
		"HTML":                  {200, "<html>approved</html>", false, true},
		"nothing":               {200, "", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base, requests := fake(t, tt.status, tt.answer)
			got, err := newVerifier(t, base).Check(t.Context(), number, "123456")
			if got != tt.want || (err != nil) != tt.fails {
				t.Errorf("%v, %v", got, err)
			}
			want := []request{{"/v2/Services/" + verify + "/VerificationCheck", accountSID, token, url.Values{"To": {number}, "Code": {"123456"}}}}
			if diff := cmp.Diff(want, requests()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhatIsNoCodeIsNotAskedFor(t *testing.T) {
	t.Parallel()
	base, requests := fake(t, 200, verification("approved", nil))
	v := newVerifier(t, base)
	for _, typed := range []string{"", "123", "12345678901", "12 3456", "123456\n", "１２３４５６", "abcdef", "123456&To=x"} {
		if ok, err := v.Check(t.Context(), number, typed); ok || err != nil {
			t.Errorf("%q: %v, %v", typed, ok, err)
		}
	}
	if got := requests(); len(got) != 0 {
		t.Errorf("requests %v", got)
	}
}

// E9: neither API is taken for the other because of what a setting looks like.
func TestMistakesAreToldAtOnce(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		config   twilio.Config
		sender   []string
		verifier []string
	}{
		"nothing": {
			twilio.Config{},
			[]string{"AccountSID", "Token", "one of Service and From"},
			[]string{"AccountSID", "Token", "Service must be VA"},
		},
		"a service that verifies": {twilio.Config{AccountSID: accountSID, Token: token, Service: verify}, []string{"use NewVerifier"}, nil},
		"a service that sends":    {twilio.Config{AccountSID: accountSID, Token: token, Service: messages}, nil, []string{"use New"}},
		"a service as account": {
			twilio.Config{AccountSID: verify, Token: token, Service: messages},
			[]string{"AccountSID"},
			[]string{"AccountSID", "use New"},
		},
		"a service and a number": {
			twilio.Config{AccountSID: accountSID, Token: token, Service: messages, From: "+12025550123"},
			[]string{"not both"},
			[]string{"use New", "From is not"},
		},
		"a sender that is none": {
			twilio.Config{AccountSID: accountSID, Token: token, From: "Ostiary & Sons"},
			[]string{"From must"},
			[]string{"Service must be VA", "From is not"},
		},
		"the rest": {
			twilio.Config{AccountSID: accountSID, KeySID: "x", Token: token, Service: messages, Timeout: -1, BaseURL: "http://evil.test"},
			[]string{"KeySID", "Timeout", "BaseURL"},
			[]string{"KeySID", "Timeout", "BaseURL", "use New"},
		},
	} {
		_, sender := twilio.New(tt.config)
		_, verifier := twilio.NewVerifier(tt.config)
		for _, c := range []struct {
			err  error
			want []string
		}{{sender, tt.sender}, {verifier, tt.verifier}} {
			if (c.err != nil) != (c.want != nil) {
				t.Errorf("%s: %v", name, c.err)
				continue
			}
			if c.err == nil {
				continue
			}
			lines := strings.Split(c.err.Error(), "\n")
			if len(lines) != len(c.want) {
				t.Errorf("%s: %q", name, lines)
				continue
			}
			for i, want := range c.want {
				if !strings.Contains(lines[i], want) || strings.Contains(lines[i], token) {
					t.Errorf("%s: %q is not about %q", name, lines[i], want)
				}
			}
		}
	}
}

func TestTokenIsNotPrinted(t *testing.T) {
	t.Parallel()
	c := twilio.Config{AccountSID: accountSID, Token: token, Service: messages}
	s, v := newSender(t, c), newVerifier(t, "")
	type service struct {
		Sender   *twilio.Sender
		Verifier *twilio.Verifier
		Config   twilio.Config
		sender   *twilio.Sender
	}
	var b strings.Builder
	for _, x := range []any{c, &c, s, v, service{s, v, c, s}, &service{s, v, c, s}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&b, verb+"\n", x)
		}
		slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "v", x)
		slog.New(slog.NewTextHandler(&b, nil)).Info("x", "v", x)
	}
	for _, shown := range []string{token, fmt.Sprintf("%x", token), strings.Trim(fmt.Sprint([]byte(token)), "[]")} {
		if strings.Contains(b.String(), shown) {
			t.Errorf("shows %s", shown)
		}
	}
}

// roundTrip is a transport.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A code is right, or a message sent, only if Twilio says so about this number and this account; no error repeats its words.
func FuzzAnswer(f *testing.F) {
	const about = `"to":"` + number + `","service_sid":"` + verify + `","account_sid":"` + accountSID + `"`
	for _, answer := range []string{
		queued, `{"status":"approved",` + about + `}`, `{"status":"pending",` + about + `}`, `{"status":"approved","to":"+41790000000","service_sid":"` + verify + `","account_sid":"` + accountSID + `"}`,
		`{"status":404,"code":20404}`, `{"status":"approved"}`, `{"status":true,` + about + `}`, `{"status":["approved"],` + about + `}`, `{"error_code":21211,"sid":"SM1"}`, `{"code":60202}`, `[]`, ``, `null`,
	} {
		for _, status := range []int{200, 201, 404, 429, 500} {
			f.Add(status, answer)
		}
	}
	f.Fuzz(func(t *testing.T, status int, answer string) {
		client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(answer)), Request: r}, nil
		})}
		v, err := twilio.NewVerifier(twilio.Config{AccountSID: accountSID, Token: token, Service: verify, HTTPClient: client})
		if err != nil {
			t.Fatal(err)
		}
		s := newSender(t, twilio.Config{AccountSID: accountSID, Token: token, Service: messages, HTTPClient: client})
		said := func(words ...string) bool {
			if status < 200 || status > 299 || !json.Valid([]byte(answer)) {
				return false
			}
			for _, w := range words {
				if !strings.Contains(answer, w) && !strings.Contains(answer, `\u`) { // which may be any of them
					return false
				}
			}
			return true
		}
		good, err := v.Check(t.Context(), number, "123456")
		switch {
		case good && (err != nil || !said("approved", number, verify, accountSID)):
			t.Fatalf("%d %q: the code is right (%v)", status, answer, err)
		case v.Start(t.Context(), number, "en") == nil && !said("pending", number, verify, accountSID):
			t.Fatalf("%d %q: a verification has begun", status, answer)
		case s.Send(t.Context(), message()) == nil && !said("sid"):
			t.Fatalf("%d %q: the message is sent", status, answer)
		}
		if err != nil && (len(err.Error()) > 200 || strings.Contains(err.Error(), token)) {
			t.Fatalf("%d %q: %v", status, answer, err)
		}
	})
}
