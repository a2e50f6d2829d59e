package authtest

import (
	"crypto/rand"
	"encoding/json"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"
)

// Captcha is a service behind captchas that runs in the process: it speaks the protocol siteverify, as Turnstile, hCaptcha and
// reCAPTCHA do, and a test solves its captchas at once.
//
//	service := authtest.NewCaptcha(t)
//	verifier, err := captcha.NewTurnstile(captcha.TurnstileConfig{Secret: captcha.Secret(service.Secret()), Endpoint: service.URL()})
//	…
//	ctx := auth.WithCaptcha(t.Context(), service.Solve(authtest.CaptchaSolution{}))
//
// It calls an answer good once. It reads a request as the most lenient of the real ones does, which take a form or JSON, and of
// two members of a name the last one; and it has [CaptchaTestSecret]. It is safe for concurrent use. Make one
// with [NewCaptcha].
type Captcha struct {
	server *httptest.Server
	secret string

	mu       sync.Mutex
	answers  map[string]*captchaAnswer
	requests []url.Values
	faults   []IdPFault
}

// CaptchaTestSecret is a secret with which every answer is good, as Turnstile has one for tests: whoever slips it into a
// request comes through.
const CaptchaTestSecret = "1x0000000000000000000000000000000AA"

// CaptchaSolution is a captcha that somebody has solved.
type CaptchaSolution struct {
	Hostname string  // of the page; empty: "app.test", the host of [ClientURL]
	Action   string  // what the page has named; empty: nothing
	Score    float64 // how likely it was a person, as reCAPTCHA v3 says; 0: nothing is said
	SiteKey  string  // of the widget; it is compared with what a request demands, if it demands one
	Expired  bool    // it was too long ago
}

type captchaAnswer struct {
	CaptchaSolution
	used bool
}

// NewCaptcha returns a service that listens on loopback until the test ends.
func NewCaptcha(t testing.TB) *Captcha {
	t.Helper()
	c := &Captcha{secret: rand.Text(), answers: make(map[string]*captchaAnswer)}
	c.server = httptest.NewServer(c)
	t.Cleanup(c.server.Close)
	return c
}

// URL is where requests go: the endpoint of a verifier.
func (c *Captcha) URL() string { return c.server.URL + "/siteverify" }

// Secret is what a verifier proves itself with.
func (c *Captcha) Secret() string { return c.secret }

// Solve solves a captcha and returns the answer, which is good once.
func (c *Captcha) Solve(s CaptchaSolution) (token string) {
	if s.Hostname == "" {
		s.Hostname = "app.test"
	}
	token = "0." + rand.Text() + "_" + rand.Text()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers[token] = &captchaAnswer{CaptchaSolution: s}
	return token
}

// Requests returns the members of all requests, in the order of their arrival.
func (c *Captcha) Requests() []url.Values {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.requests)
}

// Break makes the service go wrong from now on, in place of what was wrong with it; without faults it is well again. Faults of
// an [IdP] that are about keys or callbacks have no meaning here.
//
//	service.Break(authtest.FaultStatus(http.StatusInternalServerError))
func (c *Captcha) Break(faults ...IdPFault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = slices.Clone(faults)
}

// FaultEndless makes an answer one that does not end, until whoever has asked hangs up.
func FaultEndless() IdPFault {
	return instead(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		blanks := make([]byte, 64<<10)
		for i := range blanks {
			blanks[i] = ' '
		}
		for {
			if _, err := w.Write(blanks); err != nil {
				return
			}
		}
	})
}

// FaultCodes makes an answer a failure with these codes, such as "internal-error".
func FaultCodes(codes ...string) IdPFault {
	return instead(func(w http.ResponseWriter, _ *http.Request) { tellVerdict(w, captchaFailure(codes...)) })
}

// ServeHTTP implements [http.Handler].
func (c *Captcha) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	faults := c.faults
	c.mu.Unlock()
	var h http.Handler = http.HandlerFunc(c.siteverify)
	for _, f := range faults {
		if f.wrap != nil {
			h = f.wrap(nil, h)
		}
	}
	h.ServeHTTP(w, r)
}

// siteverify is the honest endpoint.
func (c *Captcha) siteverify(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || r.URL.Path != "/siteverify" {
		http.NotFound(w, r)
		return
	}
	form, ok := captchaRequest(r)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !ok {
		tellVerdict(w, captchaFailure("bad-request"))
		return
	}
	c.requests = append(c.requests, maps.Clone(form))
	last := func(name string) string {
		if all := form[name]; len(all) > 0 {
			return all[len(all)-1]
		}
		return ""
	}
	secret, token, siteKey := last("secret"), last("response"), last("sitekey")
	answer := c.answers[token]
	switch {
	case secret == "":
		tellVerdict(w, captchaFailure("missing-input-secret"))
	case secret == CaptchaTestSecret:
		tellVerdict(w, map[string]any{"success": true, "error-codes": []string{}, "hostname": "app.test"})
	case secret != c.secret:
		tellVerdict(w, captchaFailure("invalid-input-secret"))
	case token == "":
		tellVerdict(w, captchaFailure("missing-input-response"))
	case answer == nil:
		tellVerdict(w, captchaFailure("invalid-input-response"))
	case siteKey != "" && siteKey != answer.SiteKey:
		tellVerdict(w, captchaFailure("sitekey-secret-mismatch"))
	case answer.used || answer.Expired:
		tellVerdict(w, captchaFailure("timeout-or-duplicate"))
	default:
		answer.used = true
		verdict := map[string]any{
			"success": true, "error-codes": []string{}, "challenge_ts": time.Now().UTC().Format(time.RFC3339),
			"hostname": answer.Hostname, "action": answer.Action, "cdata": "",
		}
		if answer.Score != 0 {
			verdict["score"] = answer.Score
		}
		tellVerdict(w, verdict)
	}
}

// captchaRequest reads a form or JSON.
func captchaRequest(r *http.Request) (url.Values, bool) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return nil, false
	}
	switch mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); mediaType {
	case "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(body))
		return form, err == nil
	case "application/json":
		var object map[string]string
		if json.Unmarshal(body, &object) != nil {
			return nil, false
		}
		form := url.Values{}
		for name, value := range object {
			form.Set(name, value)
		}
		return form, true
	}
	return nil, false
}

func captchaFailure(codes ...string) map[string]any {
	return map[string]any{"success": false, "error-codes": append([]string{}, codes...)}
}

func tellVerdict(w http.ResponseWriter, verdict map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(verdict) // who does not read any more cannot be told
}
