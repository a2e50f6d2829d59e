package captcha_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/authtest/fakecaptcha"
	"github.com/ostiary/auth/authtest/fakeidp"
	"github.com/ostiary/auth/captcha"
)

const siteKey = "10000000-ffff-ffff-ffff-000000000001"

// verifiers are one of each kind, over one service.
func verifiers(t *testing.T, service *fakecaptcha.Service) map[string]captcha.Verifier {
	t.Helper()
	secret := service.Secret()
	hostnames := []string{"App.test"}
	v := map[string]captcha.Verifier{}
	for name, made := range map[string]func() (*captcha.Service, error){
		"turnstile": func() (*captcha.Service, error) {
			return captcha.NewTurnstile(captcha.TurnstileConfig{Secret: secret, Hostnames: hostnames, Action: "signup", Endpoint: service.URL()})
		},
		"hcaptcha": func() (*captcha.Service, error) {
			return captcha.NewHCaptcha(captcha.HCaptchaConfig{Secret: secret, Hostnames: hostnames, SiteKey: siteKey, Endpoint: service.URL()})
		},
		"recaptcha": func() (*captcha.Service, error) {
			return captcha.NewReCAPTCHA(captcha.ReCAPTCHAConfig{Secret: secret, Hostnames: hostnames, Action: "signup", Endpoint: service.URL()})
		},
	} {
		s, err := made()
		if err != nil {
			t.Fatal(err)
		}
		v[name] = s
	}
	return v
}

// solved is what all of them take.
var solved = fakecaptcha.Solution{Action: "signup", Score: 0.5, SiteKey: siteKey}

func verify(t *testing.T, v captcha.Verifier, token string) error {
	t.Helper()
	return v.Verify(t.Context(), captcha.Response{Token: token})
}

// reasons are those of a refusal, or nil if err is none.
func reasons(err error) []string {
	refusal, ok := errors.AsType[*captcha.Refusal](err)
	if !ok || !errors.Is(err, captcha.ErrRefused) {
		return nil
	}
	return refusal.Reasons
}

// RL-14: an answer is good once, for one page and one purpose, and if it is likely enough that of a person.
func TestAnAnswerIsGoodOnceAndForOneThing(t *testing.T) {
	t.Parallel()
	service := fakecaptcha.New(t)
	for name, v := range verifiers(t, service) {
		token := service.Solve(solved)
		if err := verify(t, v, token); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		shouted := solved
		shouted.Hostname = "APP.test"
		if err := verify(t, v, service.Solve(shouted)); err != nil {
			t.Errorf("%s: the same host in capitals: %v", name, err)
		}
		for _, c := range []struct {
			what, token, reason string
		}{
			{"a used one", token, "timeout-or-duplicate"},
			{"none", "", captcha.ReasonMissing},
			{"one that nobody has given", "0.abc", captcha.ReasonInvalid},
			{"an expired one", service.Solve(fakecaptcha.Solution{Action: "signup", SiteKey: siteKey, Expired: true}), "timeout-or-duplicate"},
			{"one for another page", service.Solve(fakecaptcha.Solution{Action: "signup", SiteKey: siteKey, Hostname: "app.test.evil.example"}), captcha.ReasonHostname},
			{"one for another action", service.Solve(fakecaptcha.Solution{Action: "Signup", Score: 1}), captcha.ReasonAction},
			{"one for no action", service.Solve(fakecaptcha.Solution{Score: 1}), captcha.ReasonAction},
			{"one of a program", service.Solve(fakecaptcha.Solution{Action: "signup", Score: 0.4999}), captcha.ReasonScore},
			{"one of another site", service.Solve(fakecaptcha.Solution{SiteKey: "20000000-ffff-ffff-ffff-000000000002"}), "sitekey-secret-mismatch"},
		} {
			if c.reason == captcha.ReasonAction && name == "hcaptcha" || c.reason == captcha.ReasonScore && name != "recaptcha" ||
				c.reason == "sitekey-secret-mismatch" && name != "hcaptcha" {
				continue // which it does not have
			}
			err := verify(t, v, c.token)
			if diff := cmp.Diff([]string{c.reason}, reasons(err)); diff != "" {
				t.Errorf("%s: %s: %v\n%s", name, c.what, err, diff)
			}
			if c.token != "" && strings.Contains(fmt.Sprint(err), c.token) {
				t.Errorf("%s: %s: the error repeats the answer: %v", name, c.what, err)
			}
		}
	}
}

// What is not demanded is not asked for, and what an answer need not have it need not have.
func TestWhatIsNotDemanded(t *testing.T) {
	t.Parallel()
	service := fakecaptcha.New(t)
	secret := service.Secret()
	lax, err := captcha.NewTurnstile(captcha.TurnstileConfig{Secret: secret, Endpoint: service.URL()})
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(t, lax, service.Solve(fakecaptcha.Solution{Hostname: "other.test", Action: "other", Score: 0.1})); err != nil {
		t.Error(err)
	}
	v2, err := captcha.NewReCAPTCHA(captcha.ReCAPTCHAConfig{Secret: secret, Endpoint: service.URL()})
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(t, v2, service.Solve(fakecaptcha.Solution{})); err != nil {
		t.Errorf("an answer without a score: %v", err)
	}
	if err := verify(t, v2, service.Solve(fakecaptcha.Solution{Score: 0.1})); reasons(err) == nil {
		t.Errorf("the answer of a program, by default: %v", err)
	}
	v3, err := captcha.NewReCAPTCHA(captcha.ReCAPTCHAConfig{Secret: secret, Endpoint: service.URL(), MinScore: 0.9})
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(t, v3, service.Solve(fakecaptcha.Solution{Score: 0.9})); err != nil {
		t.Error(err)
	}
	if err := verify(t, v3, service.Solve(fakecaptcha.Solution{Score: 0.89})); reasons(err) == nil {
		t.Errorf("a score below the least: %v", err)
	}
	if err := verify(t, v3, service.Solve(fakecaptcha.Solution{})); err == nil || errors.Is(err, captcha.ErrRefused) {
		t.Errorf("an answer without a score: %v, want a fault", err)
	}
}

// W21, RL-14: an answer cannot add to the request, whatever is in it.
func TestAnAnswerStaysAnAnswer(t *testing.T) {
	t.Parallel()
	service := fakecaptcha.New(t)
	for name, v := range verifiers(t, service) {
		for _, token := range []string{
			`x","secret":"` + fakecaptcha.TestSecret,
			`x","secret":"` + fakecaptcha.TestSecret + `","y":"`,
			`"},{"secret":"` + fakecaptcha.TestSecret + `"`,
			`x&secret=` + fakecaptcha.TestSecret,
			`x&response=y`,
			`x%26secret%3d` + fakecaptcha.TestSecret,
			`x;secret=` + fakecaptcha.TestSecret,
			`x\u0022,\u0022secret\u0022:\u0022` + fakecaptcha.TestSecret,
			`x+y`, `x#y`, `%`, `=`, `&`,
		} {
			before := len(service.Requests())
			if err := verify(t, v, token); !slices.Equal(reasons(err), []string{captcha.ReasonInvalid}) {
				t.Errorf("%s: %s: %v", name, token, err)
			}
			want := url.Values{"secret": {service.Secret()}, "response": {token}}
			if name == "hcaptcha" {
				want.Set("sitekey", siteKey)
			}
			if diff := cmp.Diff([]url.Values{want}, service.Requests()[before:]); diff != "" {
				t.Errorf("%s: the request (-want +got):\n%s", name, diff)
			}
		}
	}
}

// What cannot be an answer is refused here, and what can goes to the service.
func TestWhatCannotBeAnAnswerIsNotSent(t *testing.T) {
	t.Parallel()
	service := fakecaptcha.New(t)
	bounds := map[string]int{"turnstile": 2048, "hcaptcha": 8192, "recaptcha": 8192}
	for name, v := range verifiers(t, service) {
		for _, token := range []string{
			"", " ", "a b", "a, b", "a\r\nsecret: b", "a\x00", "a\x7f", "é", "\xff", strings.Repeat("a", bounds[name]+1), strings.Repeat("a", 1<<20),
		} {
			if err := verify(t, v, token); len(reasons(err)) != 1 {
				t.Errorf("%s: %.20q: %v", name, token, err)
			}
		}
		if n := len(service.Requests()); n != 0 {
			t.Fatalf("%s: %d requests", name, n)
		}
	}
	for name, v := range verifiers(t, service) {
		before := len(service.Requests())
		if err := verify(t, v, strings.Repeat("a", bounds[name])); len(reasons(err)) != 1 || len(service.Requests()) != before+1 {
			t.Errorf("%s: %v, %d requests", name, err, len(service.Requests())-before)
		}
	}
}

// RL-14, SS-03, SS-07: a service that does not say that an answer is good has not said so. Nobody gets through, the fault is
// not the client's, and nobody else hears of the secret.
func TestAServiceInTroubleLetsNobodyThrough(t *testing.T) {
	t.Parallel()
	service := fakecaptcha.New(t)
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		elsewhere.Add(1)
		_, _ = io.WriteString(w, `{"success":true}`)
	}))
	defer other.Close()
	success := `{"success":true,"hostname":"app.test","action":"signup","score":1}`
	faults := map[string]fakeidp.Fault{
		"down":             fakeidp.FaultDown(),
		"endless":          fakeidp.FaultEndless(),
		"too long":         fakeidp.FaultHuge(),
		"a page":           fakeidp.FaultHTML(),
		"cut":              fakeidp.FaultGarbage(),
		"moved":            fakeidp.FaultRedirect(other.URL),
		"moved within":     fakeidp.FaultRedirect("/siteverify"),
		"nothing":          fakeidp.FaultBody(200, "application/json", ""),
		"null":             fakeidp.FaultBody(200, "application/json", "null"),
		"true":             fakeidp.FaultBody(200, "application/json", "true"),
		"an array":         fakeidp.FaultBody(200, "application/json", "["+success+"]"),
		"an empty object":  fakeidp.FaultBody(200, "application/json", "{}"),
		"two values":       fakeidp.FaultBody(200, "application/json", success+success),
		"two successes":    fakeidp.FaultBody(200, "application/json", `{"success":false,`+success[1:]),
		"another case":     fakeidp.FaultBody(200, "application/json", strings.Replace(success, "success", "Success", 1)),
		"a text":           fakeidp.FaultBody(200, "application/json", strings.Replace(success, "true", `"true"`, 1)),
		"a number":         fakeidp.FaultBody(200, "application/json", strings.Replace(success, "true", "1", 1)),
		"no word":          fakeidp.FaultBody(200, "application/json", strings.Replace(success, "true", "null", 1)),
		"a strange host":   fakeidp.FaultBody(200, "application/json", strings.Replace(success, `"app.test"`, `["app.test"]`, 1)),
		"a strange score":  fakeidp.FaultBody(200, "application/json", strings.Replace(success, `:1}`, `:"1"}`, 1)),
		"internal-error":   fakecaptcha.FaultCodes("internal-error"),
		"wrong secret":     fakecaptcha.FaultCodes("invalid-input-secret"),
		"no secret":        fakecaptcha.FaultCodes("missing-input-secret"),
		"bad request":      fakecaptcha.FaultCodes("bad-request"),
		"one of each":      fakecaptcha.FaultCodes("invalid-input-response", "invalid-input-secret"),
		"what is new":      fakecaptcha.FaultCodes("over-quota"),
		"what is no code":  fakecaptcha.FaultCodes("the-secret is " + service.Secret()),
		"codes of no kind": fakeidp.FaultBody(200, "application/json", `{"success":false,"error-codes":"invalid-input-response"}`),
	}
	for _, status := range []int{201, 204, 302, 400, 401, 403, 404, 429, 500, 502, 503} {
		faults[fmt.Sprint("status ", status)] = fakeidp.FaultBody(status, "application/json", success)
	}
	for name, v := range verifiers(t, service) {
		for what, fault := range faults {
			token := service.Solve(solved)
			service.Break(fault)
			err := verify(t, v, token)
			service.Break()
			if err == nil || errors.Is(err, captcha.ErrRefused) {
				t.Errorf("%s: %s: %v", name, what, err)
			}
			if text := fmt.Sprintf("%v %+v", err, err); strings.Contains(text, token) || strings.Contains(text, service.Secret()) || strings.Contains(text, "siteverify?") {
				t.Errorf("%s: %s: the error tells secrets: %v", name, what, err)
			}
		}
		if err := verify(t, v, service.Solve(solved)); err != nil {
			t.Errorf("%s, afterwards: %v", name, err)
		}
	}
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("%d requests to another server", n)
	}
}

// Codes that are about the answer are the client's, be there none.
func TestRefusals(t *testing.T) {
	t.Parallel()
	service := fakecaptcha.New(t)
	for name, v := range verifiers(t, service) {
		for _, codes := range [][]string{
			{},
			{"missing-input-response"},
			{"invalid-input-response", "timeout-or-duplicate"},
			{"expired-input-response"},
			{"already-seen-response"},
			{"invalid-or-already-seen-response"},
			{"browser-error"},
			{"not-using-dummy-passcode"},
		} {
			service.Break(fakecaptcha.FaultCodes(codes...))
			err := verify(t, v, "0.abc")
			refusal, ok := errors.AsType[*captcha.Refusal](err)
			if !ok || refusal.Service != name || !slices.Equal(refusal.Reasons, codes) {
				t.Errorf("%s: %v: %v", name, codes, err)
			}
		}
	}
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// SS-07, W35: a person does not wait longer than ten seconds, nor than they want to.
func TestASlowServiceIsGivenUp(t *testing.T) {
	t.Parallel()
	silent := &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	})}
	for _, c := range []struct {
		patience, want time.Duration
	}{{time.Hour, 10 * time.Second}, {3 * time.Second, 3 * time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			v, err := captcha.NewTurnstile(captcha.TurnstileConfig{Secret: "secret", HTTPClient: silent})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), c.patience)
			defer cancel()
			began := time.Now()
			err = v.Verify(ctx, captcha.Response{Token: "0.abc"})
			if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, captcha.ErrRefused) || took != c.want {
				t.Errorf("%v after %v", err, took)
			}
		})
	}
}

// The address goes where it is given, in its plainest form.
func TestTheAddressIsSentIfItIsGiven(t *testing.T) {
	t.Parallel()
	service := fakecaptcha.New(t)
	v := verifiers(t, service)["turnstile"]
	for address, want := range map[string][]string{
		"":                  nil,
		"192.0.2.7":         {"192.0.2.7"},
		"::ffff:192.0.2.7":  {"192.0.2.7"},
		"2001:db8::1":       {"2001:db8::1"},
		"fe80::1%eth0&x=\"": {"fe80::1"},
	} {
		r := captcha.Response{Token: service.Solve(solved)}
		if address != "" {
			r.Address = netip.MustParseAddr(address)
		}
		if err := v.Verify(t.Context(), r); err != nil {
			t.Errorf("%s: %v", address, err)
		}
		all := service.Requests()
		if got := all[len(all)-1]["remoteip"]; !slices.Equal(got, want) {
			t.Errorf("%s: %q", address, got)
		}
	}
}

// Of many who hand in one answer at once, one is let through, and nothing that they share breaks.
func TestOneAnswerAtOnce(t *testing.T) {
	t.Parallel()
	service := fakecaptcha.New(t)
	v := verifiers(t, service)["turnstile"]
	token := service.Solve(solved)
	var through atomic.Int64
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			switch err := v.Verify(t.Context(), captcha.Response{Token: token}); {
			case err == nil:
				through.Add(1)
			case !errors.Is(err, captcha.ErrRefused):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := through.Load(); n != 1 {
		t.Errorf("%d came through", n)
	}
}

// SS-01, ST-15: nothing that would be unsafe starts, and every mistake is named.
func TestMistakes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*captcha.ReCAPTCHAConfig)
		field  string
	}{
		"no secret":                {func(c *captcha.ReCAPTCHAConfig) { c.Secret = "" }, "Secret"},
		"a secret with a line end": {func(c *captcha.ReCAPTCHAConfig) { c.Secret = "canary\n" }, "Secret"},
		"a negative score":         {func(c *captcha.ReCAPTCHAConfig) { c.MinScore = -0.1 }, "MinScore"},
		"too much of a score":      {func(c *captcha.ReCAPTCHAConfig) { c.MinScore = 1.1 }, "MinScore"},
		"no number":                {func(c *captcha.ReCAPTCHAConfig) { c.MinScore = math.NaN() }, "MinScore"},
		"an action with a blank":   {func(c *captcha.ReCAPTCHAConfig) { c.Action = "sign up" }, "Action"},
		"an empty host":            {func(c *captcha.ReCAPTCHAConfig) { c.Hostnames = []string{"app.test", ""} }, "Hostnames[1]"},
		"an origin":                {func(c *captcha.ReCAPTCHAConfig) { c.Hostnames = []string{"https://app.test"} }, "Hostnames[0]"},
		"a host with a port":       {func(c *captcha.ReCAPTCHAConfig) { c.Hostnames = []string{"app.test:443"} }, "Hostnames[0]"},
		"any host":                 {func(c *captcha.ReCAPTCHAConfig) { c.Hostnames = []string{"*.app.test"} }, "Hostnames[0]"},
		"a host that is not ASCII": {func(c *captcha.ReCAPTCHAConfig) { c.Hostnames = []string{"äpp.test"} }, "Hostnames[0]"},
		"plain http":               {func(c *captcha.ReCAPTCHAConfig) { c.Endpoint = "http://captcha.example/siteverify" }, "Endpoint"},
		"a file":                   {func(c *captcha.ReCAPTCHAConfig) { c.Endpoint = "file:///etc/passwd" }, "Endpoint"},
		"the cloud's own":          {func(c *captcha.ReCAPTCHAConfig) { c.Endpoint = "https://169.254.169.254/siteverify" }, "Endpoint"},
		"a user":                   {func(c *captcha.ReCAPTCHAConfig) { c.Endpoint = "https://me@captcha.example/" }, "Endpoint"},
		"a query":                  {func(c *captcha.ReCAPTCHAConfig) { c.Endpoint = "https://captcha.example/?k=v" }, "Endpoint"},
		"an empty query":           {func(c *captcha.ReCAPTCHAConfig) { c.Endpoint = "https://captcha.example/?" }, "Endpoint"},
		"a fragment":               {func(c *captcha.ReCAPTCHAConfig) { c.Endpoint = "https://captcha.example/#x" }, "Endpoint"},
	} {
		config := captcha.ReCAPTCHAConfig{Secret: "canary"}
		c.change(&config)
		v, err := captcha.NewReCAPTCHA(config)
		if err == nil || v != nil || !strings.Contains(err.Error(), c.field) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := captcha.NewReCAPTCHA(captcha.ReCAPTCHAConfig{MinScore: 2, Endpoint: "x", Hostnames: []string{""}, Action: " "})
	for _, field := range []string{"Secret", "MinScore", "Endpoint", "Hostnames", "Action"} {
		if !strings.Contains(fmt.Sprint(err), field) {
			t.Errorf("%s is missing in: %v", field, err)
		}
	}
	_, err = captcha.NewHCaptcha(captcha.HCaptchaConfig{SiteKey: "a b"})
	if !strings.Contains(fmt.Sprint(err), "SiteKey") || !strings.Contains(fmt.Sprint(err), "Secret") {
		t.Error(err)
	}
	if _, err := captcha.NewTurnstile(captcha.TurnstileConfig{}); !strings.Contains(fmt.Sprint(err), "turnstile: Secret") {
		t.Error(err)
	}
	for name, made := range map[string]func() (*captcha.Service, error){
		"turnstile": func() (*captcha.Service, error) { return captcha.NewTurnstile(captcha.TurnstileConfig{Secret: "s"}) },
		"hcaptcha":  func() (*captcha.Service, error) { return captcha.NewHCaptcha(captcha.HCaptchaConfig{Secret: "s"}) },
		"recaptcha": func() (*captcha.Service, error) { return captcha.NewReCAPTCHA(captcha.ReCAPTCHAConfig{Secret: "s"}) },
	} {
		if _, err := made(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The requests go where each of the services is, over TLS and without cookies.
func TestWhereTheServicesAre(t *testing.T) {
	t.Parallel()
	var asked []string
	client := &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
		asked = append(asked, r.Method+" "+r.URL.String()+" "+r.Header.Get("Content-Type")+r.Header.Get("Cookie"))
		return nil, errors.New("no network")
	})}
	turnstile, err1 := captcha.NewTurnstile(captcha.TurnstileConfig{Secret: "s", HTTPClient: client})
	hcaptcha, err2 := captcha.NewHCaptcha(captcha.HCaptchaConfig{Secret: "s", HTTPClient: client})
	recaptcha, err3 := captcha.NewReCAPTCHA(captcha.ReCAPTCHAConfig{Secret: "s", HTTPClient: client})
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	for _, v := range []captcha.Verifier{turnstile, hcaptcha, recaptcha} {
		if err := verify(t, v, "0.abc"); err == nil {
			t.Error("no fault")
		}
	}
	const form = " application/x-www-form-urlencoded"
	want := []string{
		"POST https://challenges.cloudflare.com/turnstile/v0/siteverify" + form,
		"POST https://api.hcaptcha.com/siteverify" + form,
		"POST https://www.google.com/recaptcha/api/siteverify" + form,
	}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Error(diff)
	}
}

// LG-10: what holds a secret or an answer can be printed.
func TestNothingPrintsItsSecrets(t *testing.T) {
	t.Parallel()
	const secret = "canary-of-a-secret"
	c := captcha.TurnstileConfig{Secret: secret}
	v, err := captcha.NewTurnstile(c)
	if err != nil {
		t.Fatal(err)
	}
	logs := authtest.NewLogs()
	for _, x := range []any{
		c, &c, v,
		struct{ v *captcha.Service }{v},
		struct{ V captcha.Verifier }{v},
		captcha.HCaptchaConfig{Secret: secret},
		captcha.ReCAPTCHAConfig{Secret: secret},
		captcha.Response{Token: secret},
		&captcha.Response{Token: secret},
	} {
		text := fmt.Sprintf("%v %+v %#v %s %q %x", x, x, x, x, x, x)
		if b, err := json.Marshal(x); err == nil {
			text += string(b)
		}
		if strings.Contains(text, secret) || strings.Contains(text, "63616e617279") {
			t.Errorf("%T: %s", x, text)
		}
		logs.Logger().Info("x", slog.Any("x", x))
	}
	logs.AssertAbsent(t, secret)
}

// Whatever a service answers, nobody gets through but by the one word for it.
func FuzzAnswers(f *testing.F) {
	for _, s := range []string{
		`{"success":true}`, `{"success":false,"error-codes":["invalid-input-response"]}`, `{"success":true,"success":false}`,
		`{"Success":true}`, `{"success":"true"}`, ` {"success" : true , "score":0.1}`, `{"success":true,"hostname":null}`, `[]`, ``,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		client := &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{}, Request: r}, nil
		})}
		v, err := captcha.NewTurnstile(captcha.TurnstileConfig{Secret: "s", HTTPClient: client})
		if err != nil {
			t.Fatal(err)
		}
		if v.Verify(t.Context(), captcha.Response{Token: "0.abc"}) != nil {
			return
		}
		var said map[string]any
		if json.Unmarshal([]byte(body), &said) != nil || said["success"] != true {
			t.Errorf("%q let somebody through", body)
		}
	})
}

// Whatever a service says, nobody comes through who is not a success here, for this action, and with the score.
func FuzzScoredAnswers(f *testing.F) {
	for _, s := range []string{
		`{"success":true,"hostname":"app.test","action":"signup","score":0.9}`, `{"success":true,"hostname":"app.test","action":"signup","score":0.1}`,
		`{"success":true,"hostname":"APP.test","action":"signup","score":1e400}`, `{"success":true,"hostname":"app.test.evil.test","action":"signup","score":1}`,
		`{"success":true,"hostname":"app.test","action":"Signup","score":1}`, `{"success":true,"hostname":"app.test","action":"signup","score":"1"}`,
		`{"success":true,"hostname":"app.test","action":"signup","score":-0.0}`, `{"success":true,"hostname":"app.test","action":"signup"}`,
		`{"success":true,"score":0,"score":1,"hostname":"app.test","action":"signup"}`, `{"success":true,"Score":1,"hostname":"app.test","action":"signup"}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		client := &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{}, Request: r}, nil
		})}
		v, err := captcha.NewReCAPTCHA(captcha.ReCAPTCHAConfig{
			Secret: "s", HTTPClient: client, Hostnames: []string{"app.test"}, Action: "signup", MinScore: 0.5,
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Verify(t.Context(), captcha.Response{Token: "abc"}); err != nil {
			if len(err.Error()) > 2000 && len(body) < 1000 {
				t.Errorf("%q: a long error: %v", body, err)
			}
			return
		}
		var said map[string]any
		if json.Unmarshal([]byte(body), &said) != nil {
			t.Fatalf("%q let somebody through", body)
		}
		score, _ := said["score"].(float64)
		host, _ := said["hostname"].(string)
		if said["success"] != true || !strings.EqualFold(host, "app.test") || said["action"] != "signup" || score < 0.5 {
			t.Errorf("%q let somebody through", body)
		}
	})
}
