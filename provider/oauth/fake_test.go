package oauth_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/auth/internal/outbound"
	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/provider/oauth"
)

// What all the tests ask with. The verifier and its challenge are those of RFC 7636, Appendix B.
const (
	redirectURI  = "https://auth.example/signin/provider/any/callback"
	verifier     = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	challenge    = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	clientSecret = "the-client-secret"
	theCode      = "the-code"
	accessToken  = "the-access-token"
	refreshToken = "the-refresh-token"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func config() oauth.Config { return oauth.Config{ClientID: "client", ClientSecret: clientSecret} }

func request() provider.Request {
	return provider.Request{RedirectURI: redirectURI, State: "the-state", Verifier: verifier, Nonce: "the-nonce"}
}

func back() provider.Return {
	return provider.Return{Request: request(), Values: url.Values{"code": {theCode}, "state": {"the-state"}}}
}

func tokens() provider.Tokens {
	return provider.Tokens{AccessToken: accessToken, Secret: "the-token-secret"}
}

// asked is a request that a fake has seen.
type asked struct {
	method, url string
	header      http.Header
	form        url.Values
}

// fake stands for every host there is: what it answers goes by the whole URL, without the query.
type fake struct {
	server *httptest.Server
	answer func(asked) (status int, contentType, body string)

	mu   sync.Mutex
	seen []asked
}

func serve(t testing.TB, answer func(asked) (int, string, string)) *fake {
	t.Helper()
	f := &fake{answer: answer}
	f.server = httptest.NewServer(f)
	t.Cleanup(f.server.Close)
	return f
}

// answers serves a JSON document for each URL, and otherwise 404.
func answers(t testing.TB, documents map[string]string) *fake {
	t.Helper()
	return serve(t, func(a asked) (int, string, string) {
		plain, _, _ := strings.Cut(a.url, "?")
		if body, ok := documents[plain]; ok {
			return http.StatusOK, "application/json; charset=utf-8", body
		}
		return http.StatusNotFound, "application/json", `{"message": "Not Found"}`
	})
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	form, _ := url.ParseQuery(string(body))
	a := asked{r.Method, r.Header.Get("X-Meant"), r.Header, form}
	f.mu.Lock()
	f.seen = append(f.seen, a)
	f.mu.Unlock()
	status, contentType, answer := f.answer(a)
	if location, ok := strings.CutPrefix(answer, "Location: "); ok {
		w.Header().Set("Location", location)
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, answer)
}

func (f *fake) requests() []asked {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen
}

// RoundTrip sends to the fake whatever is meant for others.
func (f *fake) RoundTrip(r *http.Request) (*http.Response, error) {
	to, err := url.Parse(f.server.URL)
	if err != nil {
		return nil, err
	}
	sent := r.Clone(r.Context())
	sent.Header.Set("X-Meant", r.URL.String())
	sent.URL.Scheme, sent.URL.Host, sent.Host = to.Scheme, to.Host, ""
	return f.server.Client().Transport.RoundTrip(sent)
}

// env is the engine's: its client has the engine's bounds.
func (f *fake) env() provider.Env {
	return provider.Env{HTTP: outbound.Client(&http.Client{Transport: f}), Now: func() time.Time { return now }}
}
