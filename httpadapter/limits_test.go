package httpadapter_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/httpadapter"
	"github.com/ostiary/auth/limit"
)

// perMinute limits requests, and nothing else to what a test reaches.
func perMinute(requests int) func(*auth.Config) {
	return func(c *auth.Config) {
		c.Limits = auth.LimitsConfig{
			RequestsPerClient: limit.Rate{Burst: requests, Per: time.Minute},
			GuessesPerClient:  limit.Rate{Burst: 1_000_000, Per: time.Hour},
		}
	}
}

var (
	policyField = regexp.MustCompile(`^"([a-z-]{1,64})";q=([0-9]{1,15});w=([0-9]{1,15})$`)
	stateField  = regexp.MustCompile(`^"([a-z-]{1,64})";r=([0-9]{1,15});t=([0-9]{1,15})$`)
)

// rateLimit is what RateLimit-Policy and RateLimit say.
type rateLimit struct {
	name                             string
	quota, window, remaining, resets int
}

// rateLimitOf reads the two as structured fields (RFC 9651 §3.1): each a list of one string with two integers.
func rateLimitOf(t testing.TB, h http.Header) (r rateLimit) {
	t.Helper()
	policy, state := h.Values("RateLimit-Policy"), h.Values("RateLimit")
	if len(policy) == 0 && len(state) == 0 {
		return r
	}
	if len(policy) != 1 || len(state) != 1 {
		t.Errorf("RateLimit-Policy %q, RateLimit %q", policy, state)
		return r
	}
	p, s := policyField.FindStringSubmatch(policy[0]), stateField.FindStringSubmatch(state[0])
	if p == nil || s == nil || p[1] != s[1] {
		t.Errorf("RateLimit-Policy %q, RateLimit %q", policy, state)
		return r
	}
	r.name = p[1]
	for i, field := range []*int{&r.quota, &r.window, &r.remaining, &r.resets} {
		*field, _ = strconv.Atoi([]string{p[2], p[3], s[2], s[3]}[i])
	}
	return r
}

// RL-10, EN-10: what a client sees of a limit is documented, and the same whether there is an account and whether the password is right.
func TestTooManyRequests(t *testing.T) {
	t.Parallel()
	var answers []string
	for _, who := range []string{"ada@example.com", "nobody@example.com"} {
		for _, password := range []string{authtest.Password, "wrong"} {
			h := newFixture(t, httpadapter.Options{}, open, func(c *auth.Config) {
				c.Limits = auth.LimitsConfig{RequestsPerClient: limit.Rate{Burst: 1000, Per: time.Minute}}
			})
			h.engine.SignUp(t, "ada@example.com")
			for range 10 {
				wantRefused(t, do(t, h, "POST", "/signin/email-password", `{"email":`+text(who)+`,"password":"wrong"}`), 401, auth.CodeInvalidEmailPassword)
			}
			w := do(t, h, "POST", "/signin/email-password", `{"email":`+text(who)+`,"password":`+text(password)+`}`)
			wantRefused(t, w, 429, auth.CodeTooManyRequests)
			wantHeaders(t, w.Header(), "Retry-After", "360", "RateLimit-Policy", `"passwords-account";q=10;w=3600`, "RateLimit", `"passwords-account";r=0;t=360`)
			answers = append(answers, w.Body.String()+" "+headerText(w.Header()))
		}
	}
	for _, a := range answers {
		if a != answers[0] {
			t.Errorf("%s\nand\n%s", a, answers[0])
		}
	}
}

func headerText(h http.Header) string {
	var b strings.Builder
	_ = h.Write(&b)
	return b.String()
}

// RL-16: whatever a request is, it counts as one and as nothing else; and every answer says what is left, unless it is for all.
func TestEveryRequestCountsOnce(t *testing.T) {
	t.Parallel()
	const burst = 1000
	var asked atomic.Int64
	h := newFixture(t, httpadapter.Options{AllowedOrigins: []string{"https://app.test"}}, open, perMinute(burst), func(c *auth.Config) {
		c.Limits.Limiter = limiterFunc(func(context.Context, ...limit.Take) (limit.Decision, error) {
			asked.Add(1)
			return limit.Decision{Allowed: true}, nil
		})
	})
	good := credentials("ada@example.com")
	left := burst
	for name, x := range map[string]struct {
		method, path, body string
		headers            []string
		status             int
	}{
		"GET":                      {"GET", "/healthz", "", nil, 200},
		"HEAD":                     {"HEAD", "/healthz", "", nil, 200},
		"HEAD of a link":           {"HEAD", "/verify?ticket=verifyEmail:x", "", nil, 200},
		"HEAD of what is a POST":   {"HEAD", "/signin/email-password", "", nil, 405},
		"a preflight":              {"OPTIONS", "/signin/email-password", "", []string{"Origin", "https://app.test", "Access-Control-Request-Method", "POST"}, 204},
		"a preflight of others":    {"OPTIONS", "/signin/email-password", "", []string{"Origin", "https://evil.test", "Access-Control-Request-Method", "POST"}, 405},
		"OPTIONS":                  {"OPTIONS", "/signin/email-password", "", nil, 405},
		"an unknown route":         {"GET", "/nowhere", "", nil, 404},
		"an unclean path":          {"POST", "/signin//email-password", good, nil, 404},
		"another method":           {"GET", "/signin/email-password", "", nil, 405},
		"too large":                {"POST", "/signin/email-password", `{"email":"` + strings.Repeat("a", 1<<17) + `"}`, nil, 413},
		"bad JSON":                 {"POST", "/signin/email-password", `{"email":`, nil, 400},
		"an unknown field":         {"POST", "/signin/email-password", `{"email":"a@b.test","password":"x","x":1}`, nil, 400},
		"no body":                  {"POST", "/signin/email-password", "", nil, 400},
		"no address":               {"POST", "/signin/email-password", `{"email":"x","password":"x"}`, nil, 400},
		"no token":                 {"GET", "/user", "", nil, 401},
		"a token that is none":     {"POST", "/signin/pat", `{"personalAccessToken":"x"}`, nil, 401},
		"a route that is off":      {"POST", "/signin/otp/email", `{"email":"a@b.test"}`, nil, 409},
		"the key set":              {"GET", "/.well-known/jwks.json", "", nil, 200},
		"a refresh":                {"POST", "/token", `{"refreshToken":` + text(uuid.NewString()) + `}`, nil, 401},
		"the description":          {"GET", "/openapi.yaml", "", nil, 200},
		"a ticket of no kind":      {"GET", "/verify?ticket=x", "", nil, 0},
		"a provider there is not":  {"GET", "/signin/provider/nowhere", "", nil, 0},
		"an admin without secrets": {"POST", "/user/provider/tokens", `{}`, []string{"X-Hasura-Admin-Secret", "x"}, 409},
	} {
		w := do(t, h, x.method, x.path, x.body, x.headers...)
		left--
		if x.status != 0 && w.Code != x.status {
			t.Errorf("%s: status %d, want %d; %s", name, w.Code, x.status, w.Body)
		}
		if strings.HasPrefix(w.Header().Get("Cache-Control"), "public") {
			// A cache shows it to everybody.
		} else if r := rateLimitOf(t, w.Header()); r.name != "requests-client" || r.quota != burst || r.window != 60 || r.remaining != left || r.resets < 1 {
			t.Errorf("%s: %+v, want %d left", name, r, left)
		}
		if n := asked.Swap(0); n != 0 {
			t.Errorf("%s: counts as %d other things", name, n)
		}
	}
}

// limiterFunc is a function that is a limiter.
type limiterFunc func(context.Context, ...limit.Take) (limit.Decision, error)

func (f limiterFunc) Take(ctx context.Context, takes ...limit.Take) (limit.Decision, error) {
	return f(ctx, takes...)
}

// RL-11: where guesses cannot be counted the answer is that of a service that is not there for now, and says nothing of why.
func TestWithoutALimiterTheServiceIsUnavailable(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open, perMinute(1000), func(c *auth.Config) {
		c.Limits.Limiter = limiterFunc(func(_ context.Context, takes ...limit.Take) (limit.Decision, error) {
			return limit.Unavailable(errors.New("dial canary:6379: connection refused"), takes...)
		})
	})
	for _, who := range []string{"ada@example.com", "nobody@example.com"} {
		w := do(t, h, "POST", "/signin/email-password", credentials(who))
		wantRefused(t, w, 503, auth.CodeInternal)
		if strings.Contains(w.Body.String(), "canary") {
			t.Errorf("body %s", w.Body)
		}
	}
}

// A client that has no requests left gets no answer to anything, and comes back when it was told to.
func TestAClientWithoutRequestsLeft(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open, perMinute(3))
	session := h.engine.SignUp(t, "ada@example.com")
	for range 3 {
		want200[object](t, do(t, h, "GET", "/user", "", bearer(session)...))
	}
	for _, path := range []string{"/user", "/healthz", "/nowhere", "/openapi.yaml"} {
		w := do(t, h, "GET", path, "", bearer(session)...)
		wantRefused(t, w, 429, auth.CodeTooManyRequests)
		wantHeaders(t, w.Header(), "Retry-After", "20", "RateLimit-Policy", `"requests-client";q=3;w=60`, "RateLimit", `"requests-client";r=0;t=20`)
	}
	w := do(t, h, "HEAD", "/healthz", "")
	if w.Code != 429 || w.Header().Get("Retry-After") != "20" {
		t.Errorf("HEAD: %d %v", w.Code, w.Header())
	}
	h.engine.Clock.Advance(500 * time.Millisecond) // what is left of a second counts as one, or they would come too early
	wantHeaders(t, do(t, h, "GET", "/user", "").Header(), "Retry-After", "20", "RateLimit", `"requests-client";r=0;t=20`)
	h.engine.Clock.Advance(19500 * time.Millisecond)
	want200[object](t, do(t, h, "GET", "/user", "", bearer(session)...))
}

// Nothing of a request is looked at for a client that has none left, but whether it is a preflight: a page that is refused a
// preflight never sees the 429, nor when to come back.
func TestARequestThatIsOneTooManyIsNotLookedAt(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{Cookies: &httpadapter.CookieOptions{}, AllowedOrigins: []string{"https://app.test"}}, open, perMinute(1))
	do(t, h, "GET", "/healthz", "")
	for name, x := range map[string]struct {
		method, path string
		headers      []string
		status       int
	}{
		"a preflight":             {"OPTIONS", "/user", []string{"Origin", "https://app.test", "Access-Control-Request-Method", "GET"}, 204},
		"a preflight of others":   {"OPTIONS", "/user", []string{"Origin", "https://evil.test", "Access-Control-Request-Method", "GET"}, 429},
		"a form of another site":  {"POST", "/signout", []string{"Origin", "https://evil.test", "Sec-Fetch-Site", "cross-site"}, 429},
		"an unclean path":         {"GET", "//user", nil, 429},
		"a path in two spellings": {"GET", "/us%65r", nil, 429},
		"no route":                {"GET", "/nowhere", nil, 429},
	} {
		w := do(t, h, x.method, x.path, "", x.headers...)
		if r := rateLimitOf(t, w.Header()); w.Code != x.status || r.name != "requests-client" || r.remaining != 0 {
			t.Errorf("%s: status %d, want %d; %+v", name, w.Code, x.status, r)
		}
	}
}

// A refusal that does not say when to come back is answered with the least that HTTP can say: 0 would be at once.
func TestARefusalWithoutATimeNamesASecond(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open, func(c *auth.Config) {
		c.Limits = auth.LimitsConfig{Limiter: limiterFunc(func(context.Context, ...limit.Take) (limit.Decision, error) { return limit.Decision{}, nil })}
	})
	w := do(t, h, "POST", "/signin/email-password", credentials("ada@example.com"))
	wantRefused(t, w, 429, auth.CodeTooManyRequests)
	wantHeaders(t, w.Header(), "Retry-After", "1")
}

// Where limits are off no header tells of one.
func TestWithoutLimitsThereAreNoHeaders(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open)
	for range 300 {
		w := do(t, h, "GET", "/version", "")
		if r := rateLimitOf(t, w.Header()); w.Code != 200 || r != (rateLimit{}) {
			t.Fatalf("%d %+v", w.Code, r)
		}
	}
}

// as serves a request of a peer.
func as(t testing.TB, h http.Handler, remote string, header http.Header) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest("GET", "/version", nil)
	r.RemoteAddr = remote
	for name, values := range header {
		r.Header[http.CanonicalHeaderKey(name)] = values
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// spoofs are headers by which clients pretend to be somebody else: each makes one up from a number.
func spoofs() map[string]func(n int) http.Header {
	all := map[string]func(n int) http.Header{}
	v4 := func(n int) string { return netip.AddrFrom4([4]byte{203, 0, 113, byte(n)}).String() }
	for _, name := range []string{"X-Forwarded-For", "X-Real-IP", "CF-Connecting-IP", "X-Client-IP", "True-Client-IP", "X-Cluster-Client-IP", "Fastly-Client-IP", "X-Originating-IP", "X-Remote-IP", "X-Remote-Addr", "Client-IP", "X-ProxyUser-Ip", "Via"} {
		for form, text := range map[string]func(n int) string{
			"":               v4,
			" in a list":     func(n int) string { return "198.51.100.1, " + v4(n) + ", 10.0.0.1" },
			" with a port":   func(n int) string { return v4(n) + ":" + strconv.Itoa(1000+n) },
			" in IPv6":       func(n int) string { return "2001:db8:" + strconv.Itoa(n) + "::1" },
			" in brackets":   func(n int) string { return "[2001:db8:" + strconv.Itoa(n) + "::1]:443" },
			" mapped":        func(n int) string { return "::ffff:" + v4(n) },
			" as one's own":  func(int) string { return "127.0.0.1" },
			" with nonsense": func(n int) string { return strings.Repeat(",", n) + "unknown, _hidden, \x7f" },
		} {
			all[name+form] = func(n int) http.Header { return http.Header{name: {text(n)}} }
		}
		all[name+" twice"] = func(n int) http.Header { return http.Header{name: {v4(n), v4(n + 100)}} }
	}
	all["Forwarded"] = func(n int) http.Header { return http.Header{"Forwarded": {"for=" + v4(n)}} }
	all["Forwarded in IPv6"] = func(n int) http.Header {
		return http.Header{"Forwarded": {`for="[2001:db8:` + strconv.Itoa(n) + `::1]:4711";by=10.0.0.1`}}
	}
	all["all of them"] = func(n int) http.Header {
		h := http.Header{}
		for _, name := range []string{"X-Forwarded-For", "X-Real-IP", "CF-Connecting-IP", "True-Client-IP"} {
			h[name] = []string{v4(n)}
		}
		h["Forwarded"] = []string{"for=" + v4(n)}
		return h
	}
	return all
}

// RL-08, W22: whatever a client says of its address, it is the one that it has.
func TestSpoofedAddressesChangeNothing(t *testing.T) {
	t.Parallel()
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for name, o := range map[string]httpadapter.Options{
		"without proxies":         {},
		"past the proxies":        {TrustedProxies: proxies},
		"past those of RFC 7239":  {TrustedProxies: proxies, ProxyHeader: "Forwarded"},
		"past those of all hosts": {TrustedProxies: append(proxies, netip.MustParsePrefix("fd00::/8"))},
	} {
		for spoof, header := range spoofs() {
			h := newFixture(t, o, perMinute(5))
			for n := range 8 {
				// Another port each time, and another spelling.
				remote := []string{"198.51.100.7:" + strconv.Itoa(2000+n), "[::ffff:198.51.100.7]:" + strconv.Itoa(3000+n)}[n%2]
				w := as(t, h, remote, header(n))
				if (w.Code == 429) != (n >= 5) {
					t.Errorf("%s, %s: request %d: %d", name, spoof, n+1, w.Code)
				}
			}
			if w := as(t, h, "198.51.100.8:2000", header(1)); w.Code != 200 {
				t.Errorf("%s, %s: somebody else: %d", name, spoof, w.Code)
			}
		}
	}
}

// W22: behind a trusted proxy it is the right-most address that is no proxy's. What stands left of it was said by the client.
func TestTheRightMostAddressCounts(t *testing.T) {
	t.Parallel()
	o := httpadapter.Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	const client = "203.0.113.9"
	for spoof, header := range spoofs() {
		h := newFixture(t, o, perMinute(5))
		for n := range 8 {
			said := header(n)
			added := said.Clone()
			added["X-Forwarded-For"] = append(added["X-Forwarded-For"], client)
			switch n % 3 {
			case 1: // a proxy that joins lines
				added["X-Forwarded-For"] = []string{strings.Join(added["X-Forwarded-For"], ", ")}
			case 2: // two of them
				added["X-Forwarded-For"] = append(added["X-Forwarded-For"], "10.7.7.7")
			}
			w := as(t, h, "10.0.0.1:80", added)
			if (w.Code == 429) != (n >= 5) {
				t.Errorf("%s: request %d: %d", spoof, n+1, w.Code)
			}
		}
		if w := as(t, h, "10.0.0.1:80", http.Header{"X-Forwarded-For": {"203.0.113.10"}}); w.Code != 200 {
			t.Errorf("%s: somebody else: %d", spoof, w.Code)
		}
	}
	// Of the header that is not configured nothing is read, whoever sends it.
	h := newFixture(t, o, perMinute(5))
	for n := range 8 {
		w := as(t, h, "10.0.0.1:80", http.Header{"X-Forwarded-For": {client}, "Forwarded": {"for=198.51.100." + strconv.Itoa(n)}})
		if (w.Code == 429) != (n >= 5) {
			t.Errorf("both headers: request %d: %d", n+1, w.Code)
		}
	}
}

// What a proxy says that nobody can read stands for nobody: all of that counts as the proxy's.
func TestWhatCannotBeReadCountsAsTheProxys(t *testing.T) {
	t.Parallel()
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, x := range []struct {
		header string
		values []string
	}{
		{"X-Forwarded-For", []string{"", ",", "unknown", "_hidden", "203.0.113.1,", "203.0.113.1 203.0.113.2", "203.0.113.256", "203.0.113.1:port", "[2001:db8::1", "2001:db8::1]", "localhost", "203.0.113.1;203.0.113.2", "\x00", "010.1.1.1", "1", strings.Repeat("9", 5000)}},
		{"Forwarded", []string{"", "for=", "for=unknown", "for=_hidden", `for="_SEVKISEK:4711"`, "203.0.113.1", "for=203.0.113.1;for=203.0.113.2", `for="203.0.113.1`, "for=2001:db8::1", "by=203.0.113.1", `for="[203.0.113.1]"`}},
	} {
		h := newFixture(t, httpadapter.Options{TrustedProxies: proxies, ProxyHeader: x.header}, perMinute(len(x.values)))
		for i, value := range x.values {
			if w := as(t, h, "10.0.0.1:80", http.Header{x.header: {value}}); w.Code != 200 {
				t.Errorf("%s %q: %d", x.header, value, w.Code)
			}
			if left := rateLimitOf(t, as(t, h, "10.0.0.2:80", nil).Header()).remaining; i == 0 && left != len(x.values)-1 {
				t.Errorf("another proxy: %d left", left)
			}
		}
		for _, value := range x.values {
			if w := as(t, h, "10.0.0.1:80", http.Header{x.header: {value}}); w.Code != 429 {
				t.Errorf("%s %q is somebody else: %d", x.header, value, w.Code)
			}
		}
	}
}

// W22: an operator who has forgotten to configure the proxy is told so, once, and in words that give nothing away.
func TestAForgottenProxyIsTold(t *testing.T) {
	t.Parallel()
	secrets := []string{"203.0.113.77", "canary-token", "canary-ticket"}
	header := http.Header{"X-Forwarded-For": {secrets[0]}, "Authorization": {"Bearer " + secrets[1]}, "Cookie": {"x=" + secrets[2]}}
	for name, x := range map[string]struct {
		options httpadapter.Options
		remote  string
		header  http.Header
		want    int
	}{
		"a private address":          {httpadapter.Options{}, "10.0.0.1:80", header, 1},
		"a private IPv6 address":     {httpadapter.Options{}, "[fd00::1]:80", header, 1},
		"the same machine":           {httpadapter.Options{}, "127.0.0.1:80", http.Header{"Forwarded": {"for=" + secrets[0]}}, 1},
		"another proxy":              {httpadapter.Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}}, "10.0.1.1:80", header, 1},
		"one that says nothing":      {httpadapter.Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}}, "10.0.0.1:80", http.Header{"Forwarded": {"for=" + secrets[0]}}, 1},
		"one that is configured":     {httpadapter.Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}}, "10.0.0.1:80", header, 0},
		"a client that makes one up": {httpadapter.Options{}, "198.51.100.1:80", header, 0},
		"no proxy":                   {httpadapter.Options{}, "10.0.0.1:80", nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			engine := authtest.New(t)
			x.options.Logger = engine.Logs.Logger()
			h := newHandler(t, engine.Engine, x.options)
			var all sync.WaitGroup
			for range 50 {
				all.Go(func() { as(t, h, x.remote, x.header) })
			}
			all.Wait()
			logged := engine.Logs.String()
			lines := 0
			for line := range strings.Lines(logged) {
				if strings.HasPrefix(line, "{") && strings.Contains(line, "TrustedProxies") {
					lines++
				}
			}
			if lines != x.want {
				t.Errorf("told %d times, want %d:\n%s", lines, x.want, logged)
			}
			engine.Logs.AssertAbsent(t, secrets...)
		})
	}
}

// Wrong admin secrets are guesses like others, and right ones are none.
func TestAdminSecretsAreGuessed(t *testing.T) {
	t.Parallel()
	const header, secret = "X-Hasura-Admin-Secret", "plum-tractor-eleven-harbour"
	h := newFixture(t, httpadapter.Options{}, open, perMinute(1000), func(c *auth.Config) {
		c.AdminSecret = auth.Secret(secret)
		c.Limits.GuessesPerClient = limit.Rate{Burst: 10, Per: 5 * time.Minute}
	})
	body := `{"providerId":"here","userId":` + text(uuid.NewString()) + `}`
	send := func(secret string) *httptest.ResponseRecorder {
		return do(t, h, "POST", "/user/provider/tokens", body, header, secret)
	}
	for range 20 {
		wantRefused(t, send(secret), 409, auth.CodeDisabledEndpoint) // there is no such provider
	}
	for range 10 {
		wantRefused(t, send("x"+secret[1:]), 401, "invalid-admin-secret")
	}
	for _, s := range []string{"another", secret} {
		w := send(s)
		wantRefused(t, w, 429, auth.CodeTooManyRequests)
		wantHeaders(t, w.Header(), "Retry-After", "30", "RateLimit", `"guesses-client";r=0;t=30`)
	}
	failed := h.engine.Events.Of(auth.EventSignInFailed)
	if len(failed) != 10 || failed[0].Method != "admin-secret" {
		t.Errorf("%+v", failed)
	}
	wantRefused(t, do(t, h, "POST", "/signin/email-password", credentials("ada@example.com")), 429, auth.CodeTooManyRequests)
	h.engine.Clock.Advance(30 * time.Second)
	wantRefused(t, send(secret), 409, auth.CodeDisabledEndpoint)
	h.engine.Logs.AssertAbsent(t, secret)
}

// RL-13: of fifty requests over as many connections exactly as many pass as the budget has.
func TestOfManyConnectionsAsManyRequestsPassAsThereAre(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open, perMinute(30))
	server := httptest.NewServer(h)
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	var passed, refused atomic.Int64
	seen := make([]atomic.Bool, 31)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			resp, err := client.Get(server.URL + "/version")
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			switch resp.StatusCode {
			case 200:
				passed.Add(1)
				if r := rateLimitOf(t, resp.Header); r.remaining > 30 || seen[r.remaining].Swap(true) {
					t.Errorf("two requests left %d", r.remaining)
				}
			case 429:
				refused.Add(1)
				if resp.Header.Get("Retry-After") != "2" {
					t.Errorf("Retry-After %q", resp.Header.Get("Retry-After"))
				}
			default:
				t.Error(resp.Status)
			}
		})
	}
	all.Wait()
	if passed.Load() != 30 || refused.Load() != 20 {
		t.Errorf("%d passed and %d were refused, want 30 and 20", passed.Load(), refused.Load())
	}
}

// RL-19: of the refresh tokens that a client makes up, a hundred a minute are looked at.
func TestRandomRefreshTokensOfOneClient(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open, perMinute(100))
	looked := 0
	for range 2_000 {
		switch w := do(t, h, "POST", "/token", `{"refreshToken":`+text(uuid.NewString())+`}`); w.Code {
		case 401:
			looked++
		case 429:
		default:
			t.Fatal(w.Code)
		}
	}
	if looked != 100 {
		t.Errorf("%d were looked at, want 100", looked)
	}
}

// LG-04: what a cache may show to everybody says nothing of one client.
func TestWhatCachesKeepIsNobodysLimit(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, perMinute(10))
	for _, target := range []string{"/.well-known/jwks.json", "/openapi.yaml"} {
		w := do(t, h, "GET", target, "")
		if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Cache-Control"), "public") {
			t.Fatalf("%s: %d %v", target, w.Code, w.Header())
		}
		wantHeaders(t, w.Header(), "RateLimit", "", "RateLimit-Policy", "")
		again := do(t, h, "GET", target, "", "If-None-Match", w.Header().Get("ETag"))
		if again.Code != 304 {
			t.Errorf("%s: %d", target, again.Code)
		}
		wantHeaders(t, again.Header(), "RateLimit", "", "RateLimit-Policy", "")
	}
	if w := do(t, h, "GET", "/version", ""); w.Header().Get("RateLimit") == "" {
		t.Error("what is one client's does not say how much is left")
	}
}
