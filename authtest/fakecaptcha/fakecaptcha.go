// Package fakecaptcha is a service behind captchas that runs in the process, for the tests of a service.
package fakecaptcha

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

	"github.com/ostiary/auth/authtest/fakeidp"
)

// Service speaks the protocol siteverify, as Turnstile, hCaptcha and reCAPTCHA do, and a test solves its captchas at once.
//
//	service := fakecaptcha.New(t)
//	verifier, err := captcha.NewTurnstile(captcha.TurnstileConfig{Secret: service.Secret(), Endpoint: service.URL()})
//	…
//	ctx := auth.WithCaptcha(t.Context(), service.Solve(fakecaptcha.Solution{}))
//
// It calls an answer good once. It reads a request as the most lenient of the real ones does, which take a form or JSON, and of
// two members of a name the last one; and it has [TestSecret]. It is safe for concurrent use. Make one with [New].
type Service struct {
	server *httptest.Server
	secret string

	mu       sync.Mutex
	answers  map[string]*answer
	requests []url.Values
	faults   []fakeidp.Fault
}

// TestSecret is a secret with which every answer is good, as Turnstile has one for tests: whoever slips it into a
// request comes through.
const TestSecret = "1x0000000000000000000000000000000AA"

// Solution is a captcha that somebody has solved.
type Solution struct {
	Hostname string  // of the page; empty: "app.test", the host of authtest.ClientURL
	Action   string  // what the page has named; empty: nothing
	Score    float64 // how likely it was a person, as reCAPTCHA v3 says; 0: nothing is said
	SiteKey  string  // of the widget; it is compared with what a request demands, if it demands one
	Expired  bool    // it was too long ago
}

type answer struct {
	Solution
	used bool
}

// New returns a service that listens on loopback until the test ends.
func New(t testing.TB) *Service {
	t.Helper()
	c := &Service{secret: rand.Text(), answers: make(map[string]*answer)}
	c.server = httptest.NewServer(c)
	t.Cleanup(c.server.Close)
	return c
}

// URL is where requests go: the endpoint of a verifier.
func (c *Service) URL() string { return c.server.URL + "/siteverify" }

// Secret is what a verifier proves itself with.
func (c *Service) Secret() string { return c.secret }

// Solve solves a captcha and returns the answer, which is good once.
func (c *Service) Solve(s Solution) (token string) {
	if s.Hostname == "" {
		s.Hostname = "app.test"
	}
	token = "0." + rand.Text() + "_" + rand.Text()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers[token] = &answer{Solution: s}
	return token
}

// Requests returns the members of all requests, in the order of their arrival.
func (c *Service) Requests() []url.Values {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.requests)
}

// Break makes the service go wrong from now on, in place of what was wrong with it; without faults it is well again. It goes
// wrong in the ways of an identity provider, but for those that are about keys or callbacks, and by [FaultCodes].
//
//	service.Break(fakeidp.FaultStatus(http.StatusInternalServerError))
func (c *Service) Break(faults ...fakeidp.Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = slices.Clone(faults)
}

// FaultCodes makes an answer a failure with these codes, such as "internal-error".
func FaultCodes(codes ...string) fakeidp.Fault {
	return fakeidp.FaultHandler(func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { tellVerdict(w, failure(codes...)) })
	})
}

// ServeHTTP implements [http.Handler].
func (c *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	faults := c.faults
	c.mu.Unlock()
	var h http.Handler = http.HandlerFunc(c.siteverify)
	for _, f := range faults {
		h = f.Wrap(h)
	}
	h.ServeHTTP(w, r)
}

// siteverify is the honest endpoint.
func (c *Service) siteverify(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || r.URL.Path != "/siteverify" {
		http.NotFound(w, r)
		return
	}
	form, ok := request(r)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !ok {
		tellVerdict(w, failure("bad-request"))
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
		tellVerdict(w, failure("missing-input-secret"))
	case secret == TestSecret:
		tellVerdict(w, map[string]any{"success": true, "error-codes": []string{}, "hostname": "app.test"})
	case secret != c.secret:
		tellVerdict(w, failure("invalid-input-secret"))
	case token == "":
		tellVerdict(w, failure("missing-input-response"))
	case answer == nil:
		tellVerdict(w, failure("invalid-input-response"))
	case siteKey != "" && siteKey != answer.SiteKey:
		tellVerdict(w, failure("sitekey-secret-mismatch"))
	case answer.used || answer.Expired:
		tellVerdict(w, failure("timeout-or-duplicate"))
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

// request reads a form or JSON.
func request(r *http.Request) (url.Values, bool) {
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

func failure(codes ...string) map[string]any {
	return map[string]any{"success": false, "error-codes": append([]string{}, codes...)}
}

func tellVerdict(w http.ResponseWriter, verdict map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(verdict) // who does not read any more cannot be told
}
