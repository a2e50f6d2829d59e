package httpadapter_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/httpadapter"
	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
)

// somewhere is a provider that is asked nothing over the network.
type somewhere struct {
	mu     sync.Mutex
	visits map[string]provider.Request // by state
	codes  map[string]consent
	fails  error // of Authorize and Refresh
	posts  bool
}

// consent is what a user of the provider has agreed to, or what goes wrong after that.
type consent struct {
	verifier          string
	who               provider.Profile
	exchange, profile error
}

func (s *somewhere) Authorize(_ context.Context, _ provider.Env, r provider.Request) (provider.Authorization, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range r.Params {
		if name != "organization" && name != "connection" {
			return provider.Authorization{}, fmt.Errorf("%w: %s", provider.ErrParams, name)
		}
	}
	if s.visits == nil {
		s.visits, s.codes = map[string]provider.Request{}, map[string]consent{}
	}
	s.visits[r.State] = r
	return provider.Authorization{URL: "https://idp.test/authorize?state=" + url.QueryEscape(r.State), FormPost: s.posts}, s.fails
}

func (s *somewhere) Exchange(_ context.Context, _ provider.Env, r provider.Return) (provider.Tokens, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, found := s.codes[r.Values.Get("code")]
	if !found || c.verifier != r.Verifier {
		return provider.Tokens{}, errors.New("invalid_grant")
	}
	return provider.Tokens{
		AccessToken: r.Values.Get("code"), RefreshToken: "theirs", ExpiresAt: time.Date(2035, 1, 1, 0, 0, 0, 0, time.UTC),
	}, c.exchange
}

func (s *somewhere) Profile(_ context.Context, _ provider.Env, _ provider.Return, t provider.Tokens) (provider.Profile, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.codes[t.AccessToken]
	return c.who, c.profile
}

func (s *somewhere) Refresh(_ context.Context, env provider.Env, refreshToken string) (provider.Tokens, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return provider.Tokens{AccessToken: "new by " + refreshToken, ExpiresAt: env.Now().Add(time.Hour)}, s.fails
}

// VerifyIDToken takes a profile as JSON for a token. Its name is the nonce.
func (s *somewhere) VerifyIDToken(_ context.Context, _ provider.Env, idToken, nonce string) (provider.Profile, error) {
	var p provider.Profile
	if err := json.Unmarshal([]byte(idToken), &p); err != nil || p.Name != nonce {
		return p, errors.New("not a token")
	}
	return p, nil
}

// agree is what happens at the provider. It returns what the browser brings back.
func (s *somewhere) agree(state string, c consent) url.Values {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.verifier = s.visits[state].Verifier
	code := fmt.Sprintf("code-%d", len(s.codes))
	s.codes[code] = c
	return url.Values{"state": {state}, "code": {code}}
}

func (s *somewhere) visit(state string) provider.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.visits[state]
}

// idToken is a token that [somewhere.VerifyIDToken] takes with the profile's name for a nonce.
func idToken(p provider.Profile) string {
	b, err := json.Marshal(p)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func person(subject, email string, verified bool) provider.Profile {
	return provider.Profile{Subject: subject, Email: email, EmailVerified: verified}
}

var ada = person("1", "ada@example.com", true)

// visitor is a handler with the providers here and there, and a browser.
type visitor struct {
	*fixture
	here, there *somewhere
	at          *url.URL
	jar         http.CookieJar
}

func newVisitor(t testing.TB, o httpadapter.Options, amend ...func(*auth.Config)) *visitor {
	t.Helper()
	return newVisitorWithStore(t, memstore.New(), o, amend...)
}

func newVisitorWithStore(t testing.TB, s store.Store, o httpadapter.Options, amend ...func(*auth.Config)) *visitor {
	t.Helper()
	v := &visitor{here: &somewhere{}, there: &somewhere{}}
	e := authtest.NewWithStore(t, s, append([]func(*auth.Config){v.configure}, amend...)...)
	if o.Logger == nil {
		o.Logger = e.Logs.Logger()
	}
	v.fixture = &fixture{Handler: newHandler(t, e.Engine, o), engine: e}
	var err error
	if v.at, err = url.Parse(e.ProviderRedirectURI("here")); err != nil {
		t.Fatal(err)
	}
	v.forgetAll(t)
	return v
}

func (v *visitor) configure(c *auth.Config) {
	c.Providers = map[string]provider.Provider{"here": v.here, "there": v.there}
	c.IDTokens = map[string]provider.IDTokenVerifier{"here": v.here, "there": v.there}
	c.AllowedRedirectURLs = []string{"https://other.test", "myapp://in"}
}

// forgetAll takes another browser.
func (v *visitor) forgetAll(t testing.TB) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	v.jar = jar
}

// send makes the browser send a request. A body that is no JSON object is a form.
func (v *visitor) send(t testing.TB, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	switch {
	case strings.HasPrefix(body, "{"):
		r.Header.Set("Content-Type", "application/json")
	case body != "":
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	for _, c := range v.jar.Cookies(v.at) {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	v.ServeHTTP(w, r)
	v.jar.SetCookies(v.at, w.Result().Cookies())
	return w
}

// names are the cookies that the browser has.
func (v *visitor) names() []string {
	var names []string
	for _, c := range v.jar.Cookies(v.at) {
		names = append(names, c.Name)
	}
	slices.Sort(names)
	return names
}

const start, callback = "/signin/provider/here", "/signin/provider/here/callback"

// begin leaves for the provider here, and returns the state. query begins with a question mark if it is not empty.
func (v *visitor) begin(t testing.TB, query string) string {
	t.Helper()
	return stateOf(t, v.send(t, "GET", start+query, ""))
}

// stateOf is the state with which a browser is sent to a provider.
func stateOf(t testing.TB, w *httptest.ResponseRecorder) string {
	t.Helper()
	to, err := url.Parse(w.Header().Get("Location"))
	if err != nil || w.Code != 302 || w.Body.Len() != 0 || to.Host != "idp.test" || to.Query().Get("state") == "" {
		t.Fatalf("%d to %q, %v: %s", w.Code, w.Header().Get("Location"), err, w.Body)
	}
	wantHeaders(t, w.Header(), "Cache-Control", "no-store", "Referrer-Policy", "no-referrer", "X-Content-Type-Options", "nosniff")
	return to.Query().Get("state")
}

// ways are how a browser comes back.
var ways = map[string]func(testing.TB, *visitor, url.Values) *httptest.ResponseRecorder{
	"with a query": func(t testing.TB, v *visitor, q url.Values) *httptest.ResponseRecorder {
		return v.send(t, "GET", callback+"?"+q.Encode(), "")
	},
	"with a form": func(t testing.TB, v *visitor, q url.Values) *httptest.ResponseRecorder {
		return v.send(t, "POST", callback, q.Encode(), "Origin", "https://idp.test", "Sec-Fetch-Site", "cross-site")
	},
}

// back brings the browser back with what the provider gave it.
func (v *visitor) back(t testing.TB, q url.Values) *httptest.ResponseRecorder {
	t.Helper()
	return ways["with a query"](t, v, q)
}

// visit is a whole one, with the query that it begins with.
func (v *visitor) visit(t testing.TB, query string, who provider.Profile) *httptest.ResponseRecorder {
	t.Helper()
	return v.back(t, v.here.agree(v.begin(t, query), consent{who: who}))
}

// session signs somebody in by a visit.
func (v *visitor) session(t testing.TB, who provider.Profile) *auth.Session {
	t.Helper()
	token := sentTo(t, v.visit(t, "", who), 302, authtest.ClientURL).Get("refreshToken")
	s := want200[auth.Session](t, do(t, v, "POST", "/token", `{"refreshToken":`+text(token)+`}`))
	return &s
}

// sentTo checks the place that a browser is sent to, whatever the parameters, and with what no redirect may leave to chance.
// It returns the parameters.
func sentTo(t testing.TB, w *httptest.ResponseRecorder, status int, place string) url.Values {
	t.Helper()
	u, err := url.Parse(w.Header().Get("Location"))
	if err != nil || w.Code != status || w.Body.Len() != 0 {
		t.Fatalf("%d to %q, %v: %s", w.Code, w.Header().Get("Location"), err, w.Body)
	}
	q := u.Query()
	u.RawQuery = ""
	if u.String() != place {
		t.Errorf("sent to %s, want %s", u, place)
	}
	wantHeaders(t, w.Header(), "Cache-Control", "no-store", "Referrer-Policy", "no-referrer", "X-Content-Type-Options", "nosniff")
	for name, values := range q {
		if len(values) != 1 {
			t.Errorf("parameter %s: %q", name, values)
		}
	}
	return q
}

// wantTold checks that a browser is sent somewhere with an error, and with other parameters in turn and no more.
func wantTold(t testing.TB, w *httptest.ResponseRecorder, status int, place string, err *auth.Error, more ...string) {
	t.Helper()
	want := url.Values{"error": {string(err.Code)}, "errorDescription": {err.Message}}
	for i := 0; i < len(more); i += 2 {
		want.Set(more[i], more[i+1])
	}
	got := sentTo(t, w, status, place)
	if err.Message == "" {
		want["errorDescription"] = got["errorDescription"]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("parameters (-want +got):\n%s", diff)
	}
}

// statusOf is that of a redirect: after a form another than after a query.
func statusOf(way string) int {
	if way == "with a form" {
		return 303
	}
	return 302
}

// LG-03, OA-01: the cookie of a visit is where no script and nobody on the way reaches it, for as long as the visit may last.
func TestTheCookieOfAVisit(t *testing.T) {
	t.Parallel()
	over := func(serverURL string) func(*auth.Config) {
		return func(c *auth.Config) { c.ServerURL, c.Email.AllowUnverified = serverURL, true }
	}
	for _, c := range []struct {
		name  string
		amend func(*auth.Config)
		posts bool
		life  time.Duration
		want  http.Cookie
	}{
		{
			name: "over https", amend: over("https://auth.test/v1"), life: 10 * time.Minute,
			want: http.Cookie{Name: "__Host-auth-provider-", Secure: true, SameSite: http.SameSiteLaxMode},
		},
		{
			name: "over https in other letters", amend: over("HTTPS://auth.test/v1"), life: 10 * time.Minute,
			want: http.Cookie{Name: "__Host-auth-provider-", Secure: true, SameSite: http.SameSiteLaxMode},
		},
		{
			name: "over https, and back with a form", amend: over("https://auth.test"), posts: true, life: 10 * time.Minute,
			want: http.Cookie{Name: "__Host-auth-provider-", Secure: true, SameSite: http.SameSiteNoneMode},
		},
		{
			name: "over http", amend: over("http://localhost:4000/v1"), life: 10 * time.Minute,
			want: http.Cookie{Name: "auth-provider-", SameSite: http.SameSiteLaxMode},
		},
		{
			name: "over http, and back with a form", amend: over("http://localhost:4000/v1"), posts: true, life: 10 * time.Minute,
			want: http.Cookie{Name: "auth-provider-", SameSite: http.SameSiteLaxMode},
		},
		{
			name: "for another time", amend: func(c *auth.Config) { c.Tickets.ProviderState = 90 * time.Second }, life: 90 * time.Second,
			want: http.Cookie{Name: "__Host-auth-provider-", Secure: true, SameSite: http.SameSiteLaxMode},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v := newVisitor(t, httpadapter.Options{}, c.amend)
			v.here.posts = c.posts
			w := v.send(t, "GET", start, "")
			state := stateOf(t, w)
			set := w.Result().Cookies()
			if len(set) != 1 || len(set[0].Value) < 26 || strings.Contains(w.Header().Get("Location"), set[0].Value) {
				t.Fatalf("cookies %v, sent to %s", set, w.Header().Get("Location"))
			}
			binding, got := set[0].Value, *set[0]
			got.Value, got.Raw = "", ""
			c.want.Name += state[:8]
			c.want.Path, c.want.HttpOnly, c.want.MaxAge = "/", true, int(c.life/time.Second)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("cookie (-want +got):\n%s", diff)
			}
			// It is taken back, with the attributes without which a browser would not.
			w = v.back(t, v.here.agree(state, consent{who: ada}))
			if q := sentTo(t, w, 302, authtest.ClientURL); !q.Has("refreshToken") {
				t.Errorf("sent to %v", q)
			}
			set = w.Result().Cookies()
			if len(set) != 1 {
				t.Fatalf("cookies %v", set)
			}
			if got := set[0]; got.Name != c.want.Name || got.Value != "" || got.MaxAge != -1 || got.Path != "/" || got.Secure != c.want.Secure || !got.HttpOnly {
				t.Errorf("cookie %+v", got)
			}
			if strings.Contains(w.Header().Get("Location"), binding) {
				t.Errorf("the binding is in %s", w.Header().Get("Location"))
			}
			v.engine.Logs.AssertAbsent(t, binding, state)
		})
	}
}

// Visits that a browser makes at once do not disturb each other. OA-37.
func TestABrowserMakesSeveralVisits(t *testing.T) {
	t.Parallel()
	v := newVisitor(t, httpadapter.Options{})
	var states []string
	for range 16 {
		states = append(states, v.begin(t, ""))
	}
	if names := v.names(); len(names) != 16 {
		t.Fatalf("cookies %v", names)
	}
	for _, i := range []int{7, 0, 15} {
		if q := sentTo(t, v.back(t, v.here.agree(states[i], consent{who: ada})), 302, authtest.ClientURL); !q.Has("refreshToken") {
			t.Errorf("visit %d ends with %v", i, q)
		}
	}
	if names := v.names(); len(names) != 13 {
		t.Errorf("cookies %v", names)
	}
}

// LG-17: a browser that never comes back is not given cookies without end, and its last visit is good. Other cookies stay.
func TestUnfinishedVisitsAreForgotten(t *testing.T) {
	t.Parallel()
	for _, serverURL := range []string{"https://auth.test", "http://localhost:4000"} {
		v := newVisitor(t, httpadapter.Options{}, func(c *auth.Config) { c.ServerURL = serverURL })
		v.jar.SetCookies(v.at, []*http.Cookie{{Name: "session", Value: "x", Path: "/"}, {Name: "authprovider", Value: "x", Path: "/"}})
		var states []string
		for range 17 {
			states = append(states, v.begin(t, ""))
		}
		if names := v.names(); len(names) != 3 || !slices.Contains(names, "session") || !slices.Contains(names, "authprovider") {
			t.Errorf("%s: cookies %v", serverURL, names)
		}
		w := v.back(t, v.here.agree(states[0], consent{who: ada}))
		wantTold(t, w, 302, authtest.ClientURL, auth.ErrInvalidState, "provider_state", states[0])
		if q := sentTo(t, v.back(t, v.here.agree(states[16], consent{who: ada})), 302, authtest.ClientURL); !q.Has("refreshToken") {
			t.Errorf("%s: the last visit ends with %v", serverURL, q)
		}
	}
}

// OA-01, OA-08, W19: a visit ends in the browser in which it began. A cookie that somebody planted is none.
func TestAVisitOfAnotherBrowser(t *testing.T) {
	t.Parallel()
	for way, back := range ways {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			v := newVisitor(t, httpadapter.Options{})
			state := v.begin(t, "?redirectTo=https://other.test&state=mine")
			cookies := v.jar.Cookies(v.at)
			name, binding := cookies[0].Name, cookies[0].Value
			q := v.here.agree(state, consent{who: ada})
			other := newVisitor(t, httpadapter.Options{})
			for what, planted := range map[string]string{
				"none":                         "",
				"of another visit":             name + "=" + strings.Repeat("A", 26),
				"without the prefix":           strings.TrimPrefix(name, "__Host-") + "=" + binding,
				"under another state":          "__Host-auth-provider-AAAAAAAA=" + binding,
				"with a twin":                  name + "=" + binding + "; " + name + "=" + binding,
				"with a twin that is another":  name + "=" + strings.Repeat("A", 26) + "; " + name + "=" + binding,
				"that is empty":                name + "=",
				"with a part of another place": name + "=" + state + ":" + binding,
			} {
				v.jar = other.jar
				r := httptest.NewRequest("GET", callback+"?"+q.Encode(), nil)
				if way == "with a form" {
					r = httptest.NewRequest("POST", callback, strings.NewReader(q.Encode()))
					r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				}
				r.Header.Set("Cookie", planted)
				w := httptest.NewRecorder()
				v.ServeHTTP(w, r)
				// The place that the visit was to lead to is not known, nor is the client's own state.
				t.Run(what, func(t *testing.T) {
					wantTold(t, w, statusOf(way), authtest.ClientURL, auth.ErrInvalidState, "provider_state", state)
				})
			}
			// None of that was of any use, and the browser that began comes in.
			v.forgetAll(t)
			v.jar.SetCookies(v.at, []*http.Cookie{{Name: name, Value: binding, Path: "/", Secure: true}})
			if q := sentTo(t, back(t, v, q), statusOf(way), "https://other.test"); !q.Has("refreshToken") || q.Get("state") != "mine" {
				t.Errorf("sent to %v", q)
			}
			// OA-07: once.
			v.jar.SetCookies(v.at, []*http.Cookie{{Name: name, Value: binding, Path: "/", Secure: true}})
			wantTold(t, back(t, v, q), statusOf(way), authtest.ClientURL, auth.ErrInvalidState, "provider_state", state)
		})
	}
	t.Run("at another provider", func(t *testing.T) {
		t.Parallel()
		v := newVisitor(t, httpadapter.Options{})
		state := v.begin(t, "")
		w := v.send(t, "GET", "/signin/provider/there/callback?"+v.here.agree(state, consent{who: ada}).Encode(), "")
		wantTold(t, w, 302, authtest.ClientURL, auth.ErrInvalidState, "provider_state", state)
	})
}

// What is said at the start reaches the engine and the provider.
func TestWhatAVisitBeginsWith(t *testing.T) {
	t.Parallel()
	v := newVisitor(t, httpadapter.Options{}, func(c *auth.Config) { c.Locales.Allowed = []string{"en", "de"} })
	query := "?" + url.Values{
		"allowedRoles": {"user,me"}, "defaultRole": {"me"}, "displayName": {"Ada L."}, "locale": {"de"},
		"metadata": {`{"a":[1,null]}`}, "redirectTo": {"https://other.test/in?x=1#y"}, "state": {"a b&c"}, "unknown": {"x"},
	}.Encode()
	q := sentTo(t, v.visit(t, query, ada), 302, "https://other.test/in#y")
	if q.Get("state") != "a b&c" || q.Get("x") != "1" || len(q) != 3 {
		t.Errorf("parameters %v", q)
	}
	u := want200[auth.Session](t, do(t, v, "POST", "/token", `{"refreshToken":`+text(q.Get("refreshToken"))+`}`)).User
	roles := slices.Sorted(slices.Values(u.Roles))
	if !cmp.Equal(roles, []string{"me", "user"}) || u.DefaultRole != "me" || u.DisplayName != "Ada L." || u.Locale != "de" || string(u.Metadata) != `{"a":[1,null]}` {
		t.Errorf("user %+v", u)
	}
	for query, want := range map[string]url.Values{
		"":                             {},
		`?providerSpecificParams={}`:   {},
		`?providerSpecificParams=`:     {},
		`?organization=&connection=`:   {},
		`?organization=o&connection=c`: {"organization": {"o"}, "connection": {"c"}},
		`?providerSpecificParams={"organization":"o","connection":""}`:     {"organization": {"o"}, "connection": {""}},
		`?providerSpecificParams={"organization":"o"}&organization=p`:      {"organization": {"p"}},
		`?providerSpecificParams={"organization":"o"}&connection=c&x=y`:    {"organization": {"o"}, "connection": {"c"}},
		`?providerSpecificParams=` + url.QueryEscape(`{"connection":"ü"}`): {"connection": {"ü"}},
	} {
		state := v.begin(t, strings.ReplaceAll(query, `"`, "%22"))
		if got := v.here.visit(state).Params; !cmp.Equal(got, want) {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
	if uri := v.here.visit(v.begin(t, "")).RedirectURI; uri != authtest.ServerURL+callback {
		t.Errorf("redirect URI %s", uri)
	}
}

// OA-35, RD-01: what is malformed, or must not be told where it would be, is told to whoever asked.
func TestAStartThatIsMalformed(t *testing.T) {
	t.Parallel()
	v := newVisitor(t, httpadapter.Options{})
	for name, c := range map[string]struct {
		path string
		code auth.Code
	}{
		"an unknown provider":               {"/signin/provider/nowhere", auth.CodeInvalidRequest},
		"another case":                      {"/signin/provider/HERE", auth.CodeInvalidRequest},
		"a place that is not allowed":       {start + "?redirectTo=https://evil.test", auth.CodeRedirectNotAllowed},
		"a place without a scheme":          {start + "?redirectTo=//evil.test", auth.CodeRedirectNotAllowed},
		"a script":                          {start + "?redirectTo=javascript:alert(1)", auth.CodeRedirectNotAllowed},
		"a place that is no URL":            {start + "?redirectTo=%3A", auth.CodeInvalidRequest},
		"a place with a line end":           {start + "?redirectTo=https://other.test/%0d%0aX:y", auth.CodeInvalidRequest},
		"two places":                        {start + "?redirectTo=https://other.test&redirectTo=https://app.test", auth.CodeInvalidRequest},
		"two states":                        {start + "?state=a&state=a", auth.CodeInvalidRequest},
		"two of a name that nobody knows":   {start + "?x=a&x=a", auth.CodeInvalidRequest},
		"two tokens":                        {start + "?connect=a&connect=b", auth.CodeInvalidRequest},
		"half an escape":                    {start + "?state=%zz", auth.CodeInvalidRequest},
		"a semicolon":                       {start + "?state=a;b=c", auth.CodeInvalidRequest},
		"a state without end":               {start + "?state=" + strings.Repeat("x", 1025), auth.CodeInvalidRequest},
		"metadata that are an array":        {start + "?metadata=[]", auth.CodeInvalidRequest},
		"metadata that are no JSON":         {start + "?metadata={", auth.CodeInvalidRequest},
		"metadata with a name twice":        {start + "?metadata=" + url.QueryEscape(`{"a":1,"a":2}`), auth.CodeInvalidRequest},
		"params that are an array":          {start + "?providerSpecificParams=[]", auth.CodeInvalidRequest},
		"params that are no JSON":           {start + "?providerSpecificParams=organization", auth.CodeInvalidRequest},
		"params with a number":              {start + "?providerSpecificParams=" + url.QueryEscape(`{"organization":1}`), auth.CodeInvalidRequest},
		"params with null":                  {start + "?providerSpecificParams=" + url.QueryEscape(`{"organization":null}`), auth.CodeInvalidRequest},
		"params with a list":                {start + "?providerSpecificParams=" + url.QueryEscape(`{"organization":["a"]}`), auth.CodeInvalidRequest},
		"params with a name twice":          {start + "?providerSpecificParams=" + url.QueryEscape(`{"organization":"a","organization":"b"}`), auth.CodeInvalidRequest},
		"an unknown provider at the end":    {"/signin/provider/nowhere/callback?state=x", auth.CodeInvalidRequest},
		"no state at the end":               {callback, auth.CodeInvalidRequest},
		"an empty state at the end":         {callback + "?state=&code=x", auth.CodeInvalidRequest},
		"an error without a state":          {callback + "?error=access_denied", auth.CodeInvalidRequest}, // OA-13
		"half an escape at the end":         {callback + "?state=x&code=%zz", auth.CodeInvalidRequest},
		"a semicolon at the end":            {callback + "?state=x;code=y", auth.CodeInvalidRequest},
		"an unknown provider of tokens":     {"/signin/provider/nowhere/callback/tokens", auth.CodeInvalidRequest},
		"another provider in another place": {start + "?provider=there&provider=here", auth.CodeInvalidRequest},
	} {
		t.Run(name, func(t *testing.T) {
			w := v.send(t, "GET", c.path, "")
			wantRefused(t, w, 400, c.code)
			wantHeaders(t, w.Header(), "Location", "", "Set-Cookie", "")
			if strings.Contains(w.Body.String(), "evil") || w.Body.Len() > 300 { // LG-06
				t.Errorf("body %s", w.Body)
			}
		})
	}
	for _, name := range []string{"<script>", strings.Repeat("x", 33)} {
		name = url.QueryEscape(name)
		w := v.send(t, "GET", start+"?"+name+"=1&"+name+"=2", "")
		wantRefused(t, w, 400, auth.CodeInvalidRequest)
		if strings.Contains(w.Body.String(), "script") || strings.Contains(w.Body.String(), "xx") {
			t.Errorf("body %s", w.Body)
		}
	}
}

// OA-35, OA-38: other failures of a start are told at the place that the visit was to lead to.
func TestAStartThatFails(t *testing.T) {
	t.Parallel()
	text := func(err *auth.Error, message string) *auth.Error { e := *err; e.Message = message; return &e }
	for name, c := range map[string]struct {
		provider, query string
		amend           func(*auth.Config)
		fails           error
		want            *auth.Error
	}{
		"a provider that is not configured":   {provider: "github", want: auth.ErrDisabledEndpoint},
		"a role of operators":                 {query: "&allowedRoles=admin", want: auth.ErrRoleNotAllowed},
		"a role without a name":               {query: "&allowedRoles=user,", want: auth.ErrRoleNotAllowed},
		"a role without a word, if concealed": {query: "&allowedRoles=admin", amend: func(c *auth.Config) { c.ConcealErrors = true }, want: auth.ErrInvalidRequest},
		"a default role that is none":         {query: "&defaultRole=admin", want: auth.ErrDefaultRoleNotAllowed},
		"a name that is HTML":                 {query: "&displayName=%3Ca+href=%22x%22%3E", want: text(auth.ErrInvalidRequest, "")},
		"metadata without end":                {query: "&metadata=" + url.QueryEscape(`{"a":"`+strings.Repeat("x", 64<<10)+`"}`), want: text(auth.ErrInvalidRequest, "")},
		"a challenge that is none":            {query: "&codeChallenge=x", want: text(auth.ErrInvalidRequest, "")},
		"a parameter that is not known":       {query: "&providerSpecificParams=%7B%22x%22:%22y%22%7D", want: text(auth.ErrInvalidRequest, "the provider does not know these parameters")},
		"parameters without end":              {query: "&organization=" + strings.Repeat("x", 2000), want: text(auth.ErrInvalidRequest, "the parameters for the provider are too long")},
		"a provider that is down":             {fails: errors.New("down: client_secret=hush"), want: auth.ErrInternal},
		"a provider that takes long":          {fails: context.DeadlineExceeded, want: auth.ErrInternal},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var amend []func(*auth.Config)
			if c.amend != nil {
				amend = append(amend, c.amend)
			}
			v := newVisitor(t, httpadapter.Options{}, amend...)
			v.here.fails = c.fails
			path := start
			if c.provider != "" {
				path = "/signin/provider/" + c.provider
			}
			place := url.QueryEscape("https://other.test/in?a=b&error=mine&provider_error=x&provider_error_url=y&refreshToken=z#f")
			w := v.send(t, "GET", path+"?state=s&redirectTo="+place+c.query, "")
			wantTold(t, w, 302, "https://other.test/in#f", c.want, "state", "s", "a", "b")
			wantHeaders(t, w.Header(), "Set-Cookie", "")
			if logged := v.engine.Logs.String(); (logged != "") != (c.fails != nil) || strings.Contains(logged, "other.test") {
				t.Errorf("log %s", logged)
			}
			// W6: the next redirect is clean.
			v.here.fails = nil
			if q := sentTo(t, v.visit(t, "", ada), 302, authtest.ClientURL); len(q) != 1 || !q.Has("refreshToken") {
				t.Errorf("afterwards %v", q)
			}
		})
	}
	t.Run("as documented to the letter", func(t *testing.T) {
		t.Parallel()
		v := newVisitor(t, httpadapter.Options{})
		w := v.send(t, "GET", "/signin/provider/apple", "")
		wantLocation(t, w, authtest.ClientURL+"?error=disabled-endpoint&errorDescription=This+endpoint+is+disabled")
	})
}

// poisoned is an allowed place whose parameters speak in our name, and clean is what is left of it.
const (
	poisoned = "https://other.test/in?a=b&refreshToken=x&refreshToken=y&mfaTicket=x&code=x&error=x&errorDescription=x&type=x" +
		"&provider_error=x&provider_error_description=x&provider_error_url=x&provider_st%61te=x#frag"
	clean = "https://other.test/in#frag"
)

// OA-31, OA-33, OA-36: what a visit ends with, as documented and no more.
func TestHowAVisitEnds(t *testing.T) {
	t.Parallel()
	for way, back := range ways {
		for name, c := range map[string]struct {
			before func(*testing.T, *visitor)
			query  string
			who    provider.Profile
			brings string // a parameter
		}{
			"with a session":            {who: ada, brings: "refreshToken"},
			"with a code":               {who: ada, query: "&codeChallenge=" + codeChallenge, brings: "code"},
			"without an address":        {who: person("2", "", false), brings: "refreshToken"},
			"with a letter on its way":  {who: person("2", "new@example.com", false)},
			"with a ticket":             {before: enrolled, who: ada, brings: "mfaTicket"},
			"with a code of two proofs": {before: enrolled, who: ada, query: "&codeChallenge=" + codeChallenge, brings: "code"},
		} {
			t.Run(name+" "+way, func(t *testing.T) {
				t.Parallel()
				v := newVisitor(t, httpadapter.Options{})
				if c.before != nil {
					c.before(t, v)
				}
				state := v.begin(t, "?state=s&redirectTo="+url.QueryEscape(poisoned)+c.query)
				w := back(t, v, v.here.agree(state, consent{who: c.who}))
				q := sentTo(t, w, statusOf(way), clean)
				names := slices.Sorted(maps.Keys(q))
				want := []string{"a", "state"}
				if c.brings != "" {
					want = append(want, c.brings)
					slices.Sort(want)
				}
				if diff := cmp.Diff(want, names); diff != "" || q.Get("state") != "s" || q.Get("a") != "b" || c.brings != "" && len(q.Get(c.brings)) < 26 {
					t.Errorf("parameters %v", q)
				}
				switch c.brings {
				case "refreshToken":
					want200[auth.Session](t, do(t, v, "POST", "/token", `{"refreshToken":`+text(q.Get("refreshToken"))+`}`))
				case "code":
					in := want200[auth.SignInResult](t, do(t, v, "POST", "/token/exchange", `{"code":`+text(q.Get("code"))+`,"codeVerifier":"`+codeVerifier+`"}`))
					if (in.MFA != nil) != (c.before != nil) {
						t.Errorf("%+v", in)
					}
				case "mfaTicket":
					w := do(t, v, "POST", "/signin/mfa/totp", `{"ticket":`+text(q.Get("mfaTicket"))+`,"otp":"000000"}`)
					wantRefused(t, w, 401, auth.CodeInvalidTOTP)
				default:
					if l := v.engine.Mailbox.Last(t, c.who.Email); l.Template != "email-verify" {
						t.Errorf("letter %s", l.Template)
					}
				}
			})
		}
	}
}

// enrolled makes ada a user with a second factor.
func enrolled(t *testing.T, v *visitor) {
	t.Helper()
	v.engine.EnrolTOTP(t, v.engine.SignUp(t, ada.Email))
}

// Every failure is told as documented, at the place that the visit was to lead to, and leaves no trace (W6).
func TestHowAVisitFails(t *testing.T) {
	t.Parallel()
	code := func(c consent) func(*visitor, string) url.Values {
		return func(v *visitor, state string) url.Values { return v.here.agree(state, c) }
	}
	says := func(more url.Values) func(*visitor, string) url.Values {
		return func(_ *visitor, state string) url.Values {
			q := maps.Clone(more)
			q.Set("state", state)
			return q
		}
	}
	long := strings.Repeat("<b>\r\n\x00", 100_000)
	for way, back := range ways {
		for name, c := range map[string]struct {
			amend  func(*auth.Config)
			before func(*testing.T, *visitor)
			brings func(*visitor, string) url.Values
			want   *auth.Error
			more   []string
		}{
			"the provider refuses": { // OA-13, OA-43
				brings: says(url.Values{"error": {"access_denied"}, "error_description": {"no <b>"}, "error_uri": {"https://idp.test/?a=b&c"}, "code": {"x"}}),
				want:   auth.ErrOAuthProviderError,
				more:   []string{"provider_error", "access_denied", "provider_error_description", "no <b>", "provider_error_url", "https://idp.test/?a=b&c"},
			},
			"the provider refuses in a word": {
				brings: says(url.Values{"error": {"x"}}), want: auth.ErrOAuthProviderError,
				more: []string{"provider_error", "x", "provider_error_description", "", "provider_error_url", ""},
			},
			"there is no code":         {brings: says(url.Values{}), want: auth.ErrOAuthTokenExchangeFailed}, // OA-11
			"the code is not good":     {brings: says(url.Values{"code": {"x"}}), want: auth.ErrOAuthTokenExchangeFailed},
			"the code is given twice":  {brings: says(url.Values{"code": {"x", "y"}}), want: &auth.Error{Code: auth.CodeInvalidRequest, Message: "a parameter is given more than once"}},
			"the provider is unwell":   {brings: code(consent{exchange: errors.New("500")}), want: auth.ErrOAuthTokenExchangeFailed},
			"there is no profile":      {brings: code(consent{profile: errors.New("500")}), want: auth.ErrOAuthProfileFetchFailed},
			"the profile has no id":    {brings: code(consent{who: person("", "ada@example.com", true)}), want: auth.ErrOAuthProfileFetchFailed}, // OA-27
			"the address is not shown": {before: known, brings: code(consent{who: person("2", ada.Email, false)}), want: auth.ErrEmailAlreadyInUse},
			"sign-ups are off":         {amend: func(c *auth.Config) { c.SignUp.Disabled = true }, brings: code(consent{who: ada}), want: auth.ErrSignUpDisabled}, // OA-32
			"new users are disabled":   {amend: func(c *auth.Config) { c.SignUp.DisableNewUsers = true }, brings: code(consent{who: ada}), want: auth.ErrDisabledUser},
			"the user is disabled": { // OA-29
				before: func(t *testing.T, v *visitor) { v.disable(t, v.engine.SignUp(t, ada.Email)) },
				brings: code(consent{who: ada}), want: auth.ErrDisabledUser,
			},
			"the user is disabled, and errors are concealed": {
				amend:  func(c *auth.Config) { c.ConcealErrors = true },
				before: func(t *testing.T, v *visitor) { v.disable(t, v.engine.SignUp(t, ada.Email)) },
				brings: code(consent{who: ada}), want: auth.ErrInvalidRequest,
			},
			"the address is not verified": {
				before: func(t *testing.T, v *visitor) { v.visit(t, "", person("2", "new@example.com", false)) },
				brings: code(consent{who: person("2", "new@example.com", false)}), want: auth.ErrUnverifiedUser,
			},
			"the address is not admitted": {
				amend:  func(c *auth.Config) { c.Email.BlockedDomains = []string{"example.com"} },
				brings: code(consent{who: ada}), want: auth.ErrInvalidEmailPassword,
			},
			"the service has had enough": {
				amend: func(c *auth.Config) {
					c.Hooks.BeforeSession = func(context.Context, *auth.User, []string) error { return auth.ErrTooManyRequests }
				},
				brings: code(consent{who: ada}), want: auth.ErrTooManyRequests,
			},
			"something breaks": {
				amend: func(c *auth.Config) {
					c.Hooks.BeforeSession = func(context.Context, *auth.User, []string) error { return errors.New("the hook is broken") }
				},
				brings: code(consent{who: ada}), want: auth.ErrInternal,
			},
			"something takes long": {
				amend: func(c *auth.Config) {
					c.Hooks.BeforeSession = func(context.Context, *auth.User, []string) error { return context.DeadlineExceeded }
				},
				brings: code(consent{who: ada}), want: auth.ErrInternal,
			},
		} {
			t.Run(name+" "+way, func(t *testing.T) {
				t.Parallel()
				var amend []func(*auth.Config)
				if c.amend != nil {
					amend = append(amend, c.amend)
				}
				v := newVisitor(t, httpadapter.Options{}, amend...)
				if c.before != nil {
					c.before(t, v)
				}
				state := v.begin(t, "?state=s&redirectTo="+url.QueryEscape(poisoned))
				binding := v.jar.Cookies(v.at)[0].Value
				q := c.brings(v, state)
				w := back(t, v, q)
				wantTold(t, w, statusOf(way), clean, c.want, append(c.more, "state", "s", "a", "b")...)
				if names := v.names(); len(names) != 0 {
					t.Errorf("cookies %v", names)
				}
				if logged := v.engine.Logs.String(); strings.Contains(logged, "request failed") != (c.want == auth.ErrInternal) {
					t.Errorf("log %s", logged)
				}
				v.engine.Logs.AssertAbsent(t, state, binding)
				// W6: no trace in what comes next.
				next := v.back(t, url.Values{"state": {"x"}})
				wantTold(t, next, 302, authtest.ClientURL, auth.ErrInvalidState, "provider_state", "x")
			})
		}
	}
	t.Run("with a provider's novel", func(t *testing.T) { // OA-13, LG-12
		t.Parallel()
		v := newVisitor(t, httpadapter.Options{MaxBody: 16 << 20})
		q := url.Values{"error": {long}, "error_description": {long}, "error_uri": {long}}
		q.Set("state", v.begin(t, ""))
		got := sentTo(t, ways["with a form"](t, v, q), 303, authtest.ClientURL)
		for _, name := range []string{"provider_error", "provider_error_description", "provider_error_url"} {
			if text := got.Get(name); len(text) != 256 || strings.ContainsAny(text, "\r\n\x00") {
				t.Errorf("%s has %d bytes: %q", name, len(text), text)
			}
		}
	})
	t.Run("with a state of any kind", func(t *testing.T) { // OA-09, OA-13
		t.Parallel()
		v := newVisitor(t, httpadapter.Options{MaxBody: 16 << 20})
		expired := v.begin(t, "?redirectTo=https://other.test")
		q := v.here.agree(expired, consent{who: ada})
		v.engine.Clock.Advance(10 * time.Minute)
		wantTold(t, v.back(t, q), 302, authtest.ClientURL, auth.ErrInvalidState, "provider_state", expired)
		for state, repeated := range map[string]string{
			"x": "x", "a b&c=d": "a b&c=d", "<script>": "<script>", "short": "short", strings.Repeat("é", 200): strings.Repeat("é", 128),
			strings.Repeat("x", 257): strings.Repeat("x", 256), strings.Repeat("x", 255) + "é": strings.Repeat("x", 255), long: long[:256],
		} {
			for way, back := range ways {
				if way == "with a form" || len(state) < 1000 {
					wantTold(t, back(t, v, url.Values{"state": {state}}), statusOf(way), authtest.ClientURL, auth.ErrInvalidState, "provider_state", repeated)
				}
			}
		}
	})
	t.Run("where the provider is off by now", func(t *testing.T) { // OA-38
		t.Parallel()
		on := newVisitor(t, httpadapter.Options{})
		w := on.send(t, "GET", "/signin/provider/here?redirectTo=https://other.test&state=s", "")
		q := on.here.agree(stateOf(t, w), consent{who: ada})
		off := newVisitorWithStore(t, on.engine.Store, httpadapter.Options{}, func(c *auth.Config) { c.Now = on.engine.Clock.Now; delete(c.Providers, "here") })
		off.jar = on.jar
		wantRefused(t, off.back(t, q), 400, auth.CodeInvalidRequest) // no route any more; a documented name is one

		narrow := newVisitorWithStore(t, on.engine.Store, httpadapter.Options{}, func(c *auth.Config) { c.Now, c.AllowedRedirectURLs = on.engine.Clock.Now, nil })
		narrow.jar = on.jar
		wantTold(t, narrow.back(t, q), 302, authtest.ClientURL, auth.ErrRedirectNotAllowed, "state", "s") // OA-14
	})
}

// known makes ada a user.
func known(t *testing.T, v *visitor) {
	t.Helper()
	v.engine.SignUp(t, ada.Email)
}

// OA-38: a provider of a documented name that has been turned off since says so where the visit was to lead to.
func TestAVisitToADocumentedProviderThatIsOffByNow(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	on := newVisitorWithStore(t, s, httpadapter.Options{}, func(c *auth.Config) { c.Providers["github"] = c.Providers["here"] })
	state := stateOf(t, on.send(t, "GET", "/signin/provider/github?state=s&redirectTo="+url.QueryEscape(poisoned), ""))
	off := newVisitorWithStore(t, s, httpadapter.Options{}, func(c *auth.Config) { c.Now = on.engine.Clock.Now })
	off.jar = on.jar
	w := off.send(t, "GET", "/signin/provider/github/callback?code=x&state="+state, "")
	wantTold(t, w, 302, clean, auth.ErrDisabledEndpoint, "state", "s", "a", "b")
}

// LG-10: a fault of the store is told to the browser, without its cause, and logged, without what the browser brought.
func TestAFaultOfTheStoreDuringAVisit(t *testing.T) {
	t.Parallel()
	s := &readOnly{Store: memstore.New()}
	v := newVisitorWithStore(t, s, httpadapter.Options{})
	known(t, v)
	state := v.begin(t, "?redirectTo=https://other.test&state=s")
	binding := v.jar.Cookies(v.at)[0].Value
	q := v.here.agree(state, consent{who: ada})
	s.full.Store(true)
	wantTold(t, v.back(t, q), 302, "https://other.test", auth.ErrInternal, "state", "s")
	if logged := v.engine.Logs.String(); !strings.Contains(logged, "the disk is full") || !strings.Contains(logged, "GET /signin/provider/{provider}/callback") || !strings.Contains(logged, `"status":500`) {
		t.Errorf("log %s", logged)
	}
	v.engine.Logs.AssertAbsent(t, state, binding, q.Get("code"), "theirs", "other.test")
}

// OA-36, E11: a form that cannot be read is an error, and no empty answer.
func TestAFormThatCannotBeRead(t *testing.T) {
	t.Parallel()
	v := newVisitor(t, httpadapter.Options{MaxBody: 4 << 10})
	state := v.begin(t, "")
	form := v.here.agree(state, consent{who: ada}).Encode()
	for name, c := range map[string]struct {
		contentType, body string
		status            int
	}{
		"no form":               {"application/x-www-form-urlencoded", "", 400},
		"no state":              {"application/x-www-form-urlencoded", "code=x", 400},
		"an empty state":        {"application/x-www-form-urlencoded", "state=&code=x", 400},
		"half an escape":        {"application/x-www-form-urlencoded", "state=x&code=%zz", 400},
		"a semicolon":           {"application/x-www-form-urlencoded", "state=x;code=y", 400},
		"a form without end":    {"application/x-www-form-urlencoded", form + "&x=" + strings.Repeat("x", 8<<10), 413},
		"no type":               {"", form, 415},
		"JSON":                  {"application/json", `{"state":"x"}`, 415},
		"plain text":            {"text/plain", form, 415},
		"files":                 {"multipart/form-data; boundary=x", form, 415},
		"another charset":       {"application/x-www-form-urlencoded; charset=utf-16", form, 415},
		"a parameter in a type": {"application/x-www-form-urlencoded; x=y", form, 415},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("POST", callback+"?"+form, strings.NewReader(c.body)) // the query is not read
			if c.contentType != "" {
				r.Header.Set("Content-Type", c.contentType)
			}
			for _, cookie := range v.jar.Cookies(v.at) {
				r.AddCookie(cookie)
			}
			w := httptest.NewRecorder()
			v.ServeHTTP(w, r)
			wantRefused(t, w, c.status, auth.CodeInvalidRequest)
			wantHeaders(t, w.Header(), "Location", "", "Set-Cookie", "")
		})
	}
	// The visit is good still.
	r := httptest.NewRequest("POST", callback, strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8")
	r.AddCookie(v.jar.Cookies(v.at)[0])
	w := httptest.NewRecorder()
	v.ServeHTTP(w, r)
	if q := sentTo(t, w, 303, authtest.ClientURL); !q.Has("refreshToken") {
		t.Errorf("sent to %v", q)
	}
}

// TK-09, OA-36: a look begins nothing, ends nothing and hands out nothing.
func TestALookAtAVisit(t *testing.T) {
	t.Parallel()
	v := newVisitor(t, httpadapter.Options{})
	session := v.session(t, ada)
	state := v.begin(t, "")
	q := v.here.agree(state, consent{who: ada})
	visits := len(v.here.visits)
	for _, target := range []string{start, callback + "?" + q.Encode(), callback + "/tokens"} {
		w := v.send(t, "HEAD", target, "", bearer(session)...)
		if w.Code != 200 || w.Body.Len() != 0 {
			t.Errorf("HEAD %s: %d %s", target, w.Code, w.Body)
		}
		wantHeaders(t, w.Header(), "Location", "", "Set-Cookie", "", "Cache-Control", "no-store", "Referrer-Policy", "no-referrer")
		wantRefused(t, v.send(t, "OPTIONS", target, ""), 405, auth.CodeMethodNotAllowed)
		wantRefused(t, v.send(t, "PUT", target, ""), 405, auth.CodeMethodNotAllowed)
	}
	wantRefused(t, v.send(t, "POST", start, "x=y"), 405, auth.CodeMethodNotAllowed)
	if len(v.here.visits) != visits {
		t.Error("a look has begun a visit")
	}
	if q := sentTo(t, v.back(t, q), 302, authtest.ClientURL); !q.Has("refreshToken") {
		t.Errorf("sent to %v", q)
	}
	want200[object](t, v.send(t, "GET", callback+"/tokens", "", bearer(session)...))
}

// OA-03, OA-04, OA-05, LG-09, W18: the documented parameter connect, with whatever token, which goes no further.
func TestConnect(t *testing.T) {
	t.Parallel()
	const place = "https://other.test/in?error=mine#f"
	query := func(token string) string {
		return "?" + url.Values{"redirectTo": {place}, "state": {"s"}, "connect": {token}}.Encode()
	}
	t.Run("links", func(t *testing.T) {
		t.Parallel()
		v := newVisitor(t, httpadapter.Options{})
		session := v.engine.SignUp(t, "eve@example.com")
		w := v.send(t, "GET", start+query(session.AccessToken), "")
		state := stateOf(t, w)
		for name, values := range w.Header() {
			if strings.Contains(strings.Join(values, " "), session.AccessToken) {
				t.Errorf("the token is in %s", name)
			}
		}
		w = v.back(t, v.here.agree(state, consent{who: ada}))
		sentTo(t, w, 302, "https://other.test/in#f")
		wantHeaders(t, w.Header(), "Location", "https://other.test/in?error=mine&state=s#f") // as it was, and the state
		v.engine.Logs.AssertAbsent(t, session.AccessToken)
		if in := v.session(t, ada); in.User.ID != session.User.ID {
			t.Errorf("%s comes in", in.User.Email)
		}
		w = v.send(t, "GET", start+"?connect="+session.AccessToken, "")
		w = v.back(t, v.here.agree(stateOf(t, w), consent{who: person("2", "", false)}))
		wantHeaders(t, w.Header(), "Location", authtest.ClientURL)
		// OA-06.
		other := v.engine.SignUp(t, "bob@example.com")
		state = v.begin(t, query(other.AccessToken))
		wantTold(t, v.back(t, v.here.agree(state, consent{who: ada})), 302, "https://other.test/in#f", auth.ErrProviderAccountLinked, "state", "s")
		// The session in which it began has ended.
		state = v.begin(t, query(other.AccessToken))
		wantOK(t, do(t, v, "POST", "/signout", `{"refreshToken":`+text(other.RefreshToken)+`}`))
		wantTold(t, v.back(t, v.here.agree(state, consent{who: person("3", "", false)})), 302, "https://other.test/in#f", auth.ErrUnauthenticated, "state", "s")
	})
	t.Run("is refused where it is off", func(t *testing.T) { // W18
		t.Parallel()
		v := newVisitor(t, httpadapter.Options{RefuseConnect: true})
		session := v.engine.SignUp(t, "eve@example.com")
		wantTold(t, v.send(t, "GET", start+query(session.AccessToken), ""), 302, "https://other.test/in#f", auth.ErrInvalidRequest, "state", "s")
		v.begin(t, "") // and nothing else is
	})
	stranger := newFixture(t, httpadapter.Options{}, open, func(c *auth.Config) { c.Secret = slices.Repeat(auth.Secret{3, 1, 4, 1}, 8) })
	for name, c := range map[string]struct {
		amend func(*auth.Config)
		token func(*testing.T, *visitor) string
		want  *auth.Error
	}{
		"empty": {token: func(*testing.T, *visitor) string { return "" }, want: auth.ErrInvalidRequest},
		"none":  {token: func(*testing.T, *visitor) string { return "x.y.z" }, want: auth.ErrInvalidRequest},
		"a refresh token": {
			token: func(t *testing.T, v *visitor) string { return v.engine.SignUp(t, "eve@example.com").RefreshToken }, want: auth.ErrInvalidRequest,
		},
		"of another engine": {
			token: func(t *testing.T, _ *visitor) string { return stranger.engine.SignUp(t, "eve@example.com").AccessToken }, want: auth.ErrInvalidRequest,
		},
		"expired": {token: func(t *testing.T, v *visitor) string {
			s := v.engine.SignUp(t, "eve@example.com")
			v.engine.Clock.Advance(16 * time.Minute)
			return s.AccessToken
		}, want: auth.ErrInvalidRequest},
		"of a session that has ended": {token: func(t *testing.T, v *visitor) string {
			s := v.engine.SignUp(t, "eve@example.com")
			wantOK(t, do(t, v, "POST", "/signout", `{"refreshToken":`+text(s.RefreshToken)+`}`))
			return s.AccessToken
		}, want: auth.ErrInvalidRequest},
		"of a guest": {token: func(t *testing.T, v *visitor) string { return v.guest(t).AccessToken }, want: auth.ErrForbiddenAnonymous},
		"of a disabled user": {token: func(t *testing.T, v *visitor) string {
			s := v.engine.SignUp(t, "eve@example.com")
			v.disable(t, s)
			return s.AccessToken
		}, want: auth.ErrDisabledUser},
		"without a step-up": {
			amend: mode(auth.ElevationRequired),
			token: func(t *testing.T, v *visitor) string { return v.engine.SignUp(t, "eve@example.com").AccessToken }, want: auth.ErrElevationRequired,
		},
		"of who signed in long ago": {token: func(t *testing.T, v *visitor) string {
			s := v.engine.SignUp(t, "eve@example.com")
			v.engine.Clock.Advance(11 * time.Minute)
			return s.AccessToken
		}, want: auth.ErrElevationRequired},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var amend []func(*auth.Config)
			if c.amend != nil {
				amend = append(amend, c.amend)
			}
			v := newVisitor(t, httpadapter.Options{}, amend...)
			token := c.token(t, v)
			w := v.send(t, "GET", start+query(token), "")
			wantTold(t, w, 302, "https://other.test/in#f", &auth.Error{Code: c.want.Code}, "state", "s")
			wantHeaders(t, w.Header(), "Set-Cookie", "")
			if len(v.here.visits) != 0 {
				t.Error("the browser has left")
			}
			if token != "" {
				v.engine.Logs.AssertAbsent(t, token)
				if strings.Contains(fmt.Sprint(w.Header()), token) {
					t.Errorf("the token is in %v", w.Header())
				}
			}
		})
	}
	t.Run("with a step-up", func(t *testing.T) {
		t.Parallel()
		v := newVisitor(t, httpadapter.Options{}, open, mode(auth.ElevationRequired))
		phone := v.page(&authtest.Authenticator{})
		up := phone.elevated(t, want200[auth.SignInResult](t, phone.signUp(t, "eve@example.com", "")).Session)
		v.begin(t, query(up.AccessToken))
	})
}

// W18: linking begins with a bearer token and without a token in a URL.
func TestLinkingAProvider(t *testing.T) {
	t.Parallel()
	v := newVisitor(t, httpadapter.Options{})
	session := v.engine.SignUp(t, "eve@example.com")
	const link = "/link/provider/here"
	for name, c := range map[string]struct{ body, want string }{
		"without a body": {"", authtest.ClientURL},
		"with nothing":   {`{"redirectTo":null,"state":null,"providerSpecificParams":null}`, authtest.ClientURL},
		"with all": {
			`{"redirectTo":"https://other.test/in?error=mine#f","state":"a b","providerSpecificParams":{"organization":"o"}}`,
			"https://other.test/in?error=mine&state=a+b#f",
		},
	} {
		w := v.send(t, "POST", link, c.body, bearer(session)...)
		body := want200[struct {
			URL string `json:"url"`
		}](t, w)
		to, err := url.Parse(body.URL)
		if err != nil || to.Host != "idp.test" {
			t.Fatalf("%s: %s", name, body.URL)
		}
		cookies := w.Result().Cookies()
		if len(cookies) != 1 || !cookies[0].Secure || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteLaxMode || !strings.HasPrefix(cookies[0].Name, "__Host-auth-provider-") {
			t.Fatalf("%s: cookies %v", name, cookies)
		}
		if strings.Contains(w.Body.String(), cookies[0].Value) || strings.Contains(w.Body.String(), session.AccessToken) {
			t.Errorf("%s: body %s", name, w.Body)
		}
		state := to.Query().Get("state")
		if name == "with all" && v.here.visit(state).Params.Get("organization") != "o" {
			t.Errorf("%s: params %v", name, v.here.visit(state).Params)
		}
		w = v.back(t, v.here.agree(state, consent{who: person(name, "", false)}))
		wantHeaders(t, w.Header(), "Location", c.want)
	}
	guest := v.guest(t)
	for name, c := range map[string]struct {
		path, body string
		headers    []string
		status     int
		code       auth.Code
	}{
		"nobody":                     {link, `{}`, nil, 401, auth.CodeUnauthenticated},
		"a token in the URL":         {link + "?connect=" + session.AccessToken, `{}`, nil, 401, auth.CodeUnauthenticated},
		"a guest":                    {link, `{}`, bearer(guest), 403, auth.CodeForbiddenAnonymous},
		"an unknown provider":        {"/link/provider/nowhere", `{}`, bearer(session), 400, auth.CodeInvalidRequest},
		"one that is not configured": {"/link/provider/google", `{}`, bearer(session), 409, auth.CodeDisabledEndpoint},
		"a place that is not":        {link, `{"redirectTo":"https://evil.test"}`, bearer(session), 400, auth.CodeRedirectNotAllowed},
		"a state without end":        {link, `{"state":"` + strings.Repeat("x", 1025) + `"}`, bearer(session), 400, auth.CodeInvalidRequest},
		"a number for a parameter":   {link, `{"providerSpecificParams":{"organization":1}}`, bearer(session), 400, auth.CodeInvalidRequest},
		"a parameter of none":        {link, `{"providerSpecificParams":{"x":"y"}}`, bearer(session), 400, auth.CodeInvalidRequest},
		"text for the parameters":    {link, `{"providerSpecificParams":"x"}`, bearer(session), 400, auth.CodeInvalidRequest},
		"options":                    {link, `{"options":{}}`, bearer(session), 400, auth.CodeInvalidRequest},
	} {
		t.Run(name, func(t *testing.T) {
			w := v.send(t, "POST", c.path, c.body, c.headers...)
			wantRefused(t, w, c.status, c.code)
			wantHeaders(t, w.Header(), "Set-Cookie", "")
		})
	}
	v.engine.Clock.Advance(11 * time.Minute)
	w := v.send(t, "POST", link, "", bearer(session)...)
	wantRefused(t, w, 403, auth.CodeElevationRequired)
	if c := w.Header().Get("WWW-Authenticate"); !strings.HasPrefix(c, `Bearer error="insufficient_user_authentication"`) {
		t.Errorf("challenge %s", c)
	}
}

// LG-01: a page of a listed origin may let the browser keep the cookie of a link, there alone, and never where every origin is
// let in.
func TestLinkingFromAnotherOrigin(t *testing.T) {
	t.Parallel()
	const origin = "https://spa.test"
	for _, c := range []struct {
		name           string
		allowed        []string
		mount          string
		path           string
		allow, cookies string
	}{
		{"a listed one", []string{origin}, "", "/link/provider/here", origin, "true"},
		{"a listed one, under a prefix", []string{origin}, "/v1", "/v1/link/provider/here", origin, "true"},
		{"a listed one, at another route", []string{origin}, "", "/link/idtoken", origin, ""},
		{"a listed one, at the callback", []string{origin}, "", "/signin/provider/link/callback", origin, ""},
		{"a listed one, at what looks alike", []string{origin}, "", "/user/link/provider/here", origin, ""},
		{"a listed one, under a prefix that looks alike", []string{origin}, "/link/provider/v1", "/link/provider/v1/user", origin, ""},
		{"every one", []string{"*"}, "", "/link/provider/here", "*", ""},
		{"every one and a listed one", []string{"*", origin}, "", "/link/provider/here", "*", ""},
		{"another one", []string{"https://else.test"}, "", "/link/provider/here", "", ""},
		{"none", nil, "", "/link/provider/here", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v := newVisitor(t, httpadapter.Options{AllowedOrigins: c.allowed})
			mux := http.NewServeMux()
			v.Mount(mux, c.mount)
			w := do(t, mux, "OPTIONS", c.path, "", "Origin", origin, "Access-Control-Request-Method", "POST")
			wantHeaders(t, w.Header(), "Access-Control-Allow-Origin", c.allow, "Access-Control-Allow-Credentials", c.cookies)
			w = do(t, mux, "POST", c.path, "", append(bearer(v.engine.SignUp(t, "eve@example.com")), "Origin", origin)...)
			wantHeaders(t, w.Header(), "Access-Control-Allow-Origin", c.allow, "Access-Control-Allow-Credentials", c.cookies)
		})
	}
}

// In cookie mode the tokens are in cookies alone, and the one form that another site's page may post is that of a visit.
func TestAVisitSignsInWithCookies(t *testing.T) {
	t.Parallel()
	here := &somewhere{posts: true}
	s := newSite(t, httpadapter.Options{}, func(c *auth.Config) { c.Providers = map[string]provider.Provider{"here": here} })
	begin := func(more string) url.Values {
		response, _ := s.visit(t, "GET", "/auth"+start+"?redirectTo="+url.QueryEscape(authtest.ClientURL+"/in")+more, "")
		to, err := response.Location()
		if err != nil || to.Host != "idp.test" {
			t.Fatal(response.Status, err)
		}
		return here.agree(to.Query().Get("state"), consent{who: ada})
	}
	cross := []string{"Content-Type", "application/x-www-form-urlencoded", "Origin", "https://idp.test", "Sec-Fetch-Site", "cross-site"}
	post := func(path, form string) (*http.Response, string) { return s.visit(t, "POST", path, form, cross...) }

	response, body := post("/auth"+callback, begin("&state=s").Encode())
	if location := response.Header.Get("Location"); response.StatusCode != 303 || location != authtest.ClientURL+"/in?state=s" || body != "" {
		t.Fatalf("%d to %s: %s", response.StatusCode, location, body)
	}
	if got := slices.Sorted(maps.Keys(s.cookies(t))); !cmp.Equal(got, []string{accessCookie, refreshCookie}) {
		t.Errorf("cookies %v", got)
	}
	response, body = s.visit(t, "GET", "/page", "")
	wantPage(t, response, body)

	before := s.cookies(t)
	form := begin("").Encode()
	for _, path := range []string{
		start, callback + "/tokens", callback + "/", callback + "/x", "/signin/provider/callback", "/signin/provider/here/x/callback", "/x" + callback, "/x/provider/here/callback", "/signin/x/here/callback",
		"/link/provider/callback", "/user/provider/callback", "/token", "/signout", "/signin/anonymous", "/link/provider/here", "/signin/idtoken", "/callback",
		"/signin/provider/here/callback%2f..%2f..%2ftoken",
	} {
		response, body := post("/auth"+path, form)
		if response.StatusCode != 403 {
			t.Errorf("POST %s: %d", path, response.StatusCode)
			continue
		}
		wantFailure(t, response.StatusCode, response.Header, body, 403, auth.CodeInvalidRequest)
	}
	for _, method := range []string{"PUT", "PATCH", "DELETE"} {
		response, body := s.visit(t, method, "/auth"+callback, form, cross...)
		wantFailure(t, response.StatusCode, response.Header, body, 403, auth.CodeInvalidRequest)
	}
	if after := s.cookies(t); after[accessCookie] != before[accessCookie] || after[refreshCookie] != before[refreshCookie] {
		t.Error("the session has changed")
	}
	// LG-02: the tokens of the provider are handed out once, and to no other site's picture.
	for _, site := range []string{"cross-site", "same-site"} {
		response, body := s.visit(t, "GET", "/auth"+callback+"/tokens", "", "Sec-Fetch-Site", site)
		wantFailure(t, response.StatusCode, response.Header, body, 403, auth.CodeInvalidRequest)
	}
	if response, body = s.visit(t, "GET", "/auth"+callback+"/tokens", "", "Sec-Fetch-Site", "same-origin"); response.StatusCode != 200 {
		t.Errorf("tokens: %d %s", response.StatusCode, body)
	}
	// The user links an account without a bearer token, and stays who they are.
	if response, body = s.visit(t, "POST", "/auth/link/provider/here", ""); response.StatusCode != 200 {
		t.Fatalf("link: %d %s", response.StatusCode, body)
	}
	var to struct{ URL string }
	if err := json.Unmarshal([]byte(body), &to); err != nil {
		t.Fatal(err)
	}
	_, state, _ := strings.Cut(to.URL, "state=")
	response, _ = post("/auth"+callback, here.agree(state, consent{who: person("2", "", false)}).Encode())
	if location := response.Header.Get("Location"); location != authtest.ClientURL {
		t.Errorf("linked, to %s", location)
	}
	if response, body = s.visit(t, "GET", "/auth/user/identities", ""); strings.Count(body, `"subject"`) != 2 {
		t.Errorf("identities: %d %s", response.StatusCode, body)
	}
}

// The cookies of a realm are not taken for those of a visit.
func TestNoRealmIsCalledLikeAVisit(t *testing.T) {
	t.Parallel()
	for name, good := range map[string]bool{"auth": true, "auth-provide": true, "auth-providers": true, "auth-provider": false, "auth-provider-x": false} {
		_, err := httpadapter.New(authtest.New(t).Engine, httpadapter.Options{Cookies: &httpadapter.CookieOptions{Name: name}})
		var mistake *httpadapter.OptionError
		if (err == nil) != good || err != nil && (!errors.As(err, &mistake) || mistake.Field != "Cookies.Name") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSigningInWithAnIDToken(t *testing.T) {
	t.Parallel()
	v := newVisitor(t, httpadapter.Options{})
	body := func(name, token, more string) string {
		return `{"provider":` + text(name) + `,"idToken":` + text(token) + more + `}`
	}
	in := want200[auth.SignInResult](t, do(t, v, "POST", "/signin/idtoken", body("here", idToken(ada), `,"nonce":null,"options":{"displayName":"Ada"}`)))
	if in.Session == nil || in.Session.User.Email != ada.Email || in.Session.User.DisplayName != "Ada" {
		t.Errorf("%+v", in)
	}
	v.engine.EnrolTOTP(t, in.Session)
	if in := want200[auth.SignInResult](t, do(t, v, "POST", "/signin/idtoken", body("here", idToken(ada), ""))); in.Session != nil || in.MFA == nil { // ID-16
		t.Errorf("%+v", in)
	}
	fresh := provider.Profile{Subject: "2", Name: "n"}
	want200[auth.SignInResult](t, do(t, v, "POST", "/signin/idtoken", body("here", idToken(fresh), `,"nonce":"n"`)))
	for name, c := range map[string]struct {
		body   string
		status int
		code   auth.Code
	}{
		"the same once more":         {body("here", idToken(fresh), `,"nonce":"n"`), 400, auth.CodeInvalidRequest}, // ID-08
		"without its nonce":          {body("here", idToken(fresh), ""), 400, auth.CodeInvalidRequest},
		"with another nonce":         {body("here", idToken(ada), `,"nonce":"n"`), 400, auth.CodeInvalidRequest},
		"an unknown provider":        {body("nowhere", idToken(ada), ""), 400, auth.CodeInvalidRequest},
		"a provider of visits alone": {body("github", idToken(ada), ""), 400, auth.CodeInvalidRequest},
		"apple, which is off":        {body("apple", idToken(ada), ""), 409, auth.CodeDisabledEndpoint},
		"google, which is off":       {body("google", idToken(ada), ""), 409, auth.CodeDisabledEndpoint},
		"no token":                   {`{"provider":"here"}`, 400, auth.CodeInvalidRequest},
		"no provider":                {`{"idToken":"x"}`, 400, auth.CodeInvalidRequest},
		"what is no token":           {body("here", "x", ""), 400, auth.CodeInvalidRequest},
		"the role of an operator":    {body("here", idToken(person("3", "", false)), `,"options":{"allowedRoles":["admin"]}`), 400, auth.CodeRoleNotAllowed},
		"an address that is taken":   {body("there", idToken(person("9", ada.Email, false)), ""), 409, auth.CodeEmailAlreadyInUse}, // ID-11
		"an address not yet shown":   {body("here", idToken(person("4", "", false)), `,"options":{"redirectTo":"https://evil.test"}`), 400, auth.CodeRedirectNotAllowed},
	} {
		t.Run(name, func(t *testing.T) {
			w := do(t, v, "POST", "/signin/idtoken", c.body)
			wantRefused(t, w, c.status, c.code)
		})
	}
}

func TestLinkingAnIDToken(t *testing.T) { // ID-13
	t.Parallel()
	v := newVisitor(t, httpadapter.Options{})
	eve, bob := v.engine.SignUp(t, "eve@example.com"), v.engine.SignUp(t, "bob@example.com")
	link := func(s *auth.Session, name, token, more string) *httptest.ResponseRecorder {
		return do(t, v, "POST", "/link/idtoken", `{"provider":`+text(name)+`,"idToken":`+text(token)+more+`}`, bearer(s)...)
	}
	named := provider.Profile{Subject: "1", Email: bob.User.Email, EmailVerified: true, Name: "n"}
	wantOK(t, link(eve, "here", idToken(named), `,"nonce":"n"`))
	if u := want200[auth.User](t, do(t, v, "GET", "/user", "", bearer(eve)...)); u.Email != "eve@example.com" {
		t.Errorf("the address is %s", u.Email)
	}
	wantRefused(t, link(eve, "here", idToken(person("1", "", false)), ""), 400, auth.CodeProviderAccountLinked)
	wantRefused(t, link(bob, "here", idToken(person("1", "", false)), ""), 400, auth.CodeProviderAccountLinked)
	wantRefused(t, link(bob, "here", "x", ""), 400, auth.CodeInvalidRequest)
	wantRefused(t, link(bob, "nowhere", "x", ""), 400, auth.CodeInvalidRequest)
	wantRefused(t, link(bob, "apple", "x", ""), 409, auth.CodeDisabledEndpoint)
	wantRefused(t, link(bob, "here", idToken(person("2", "", false)), `,"options":{}`), 400, auth.CodeInvalidRequest)
	wantRefused(t, link(v.guest(t), "here", idToken(person("2", "", false)), ""), 403, auth.CodeForbiddenAnonymous)
	wantRefused(t, do(t, v, "POST", "/link/idtoken", `{"provider":"here","idToken":"x"}`), 401, auth.CodeUnauthenticated)
	v.engine.Clock.Advance(11 * time.Minute)
	wantRefused(t, link(bob, "here", idToken(person("2", "", false)), ""), 403, auth.CodeElevationRequired)
}

// An account at a provider is unlinked by the provider's id of it, which can be any text.
func TestIdentities(t *testing.T) {
	t.Parallel()
	v := newVisitor(t, httpadapter.Options{})
	eve, bob := v.engine.SignUp(t, "eve@example.com"), v.engine.SignUp(t, "bob@example.com")
	subjects := []string{"1", "a/b?c=d&e#f", "../x", "a b", "%41", "ü", "+"}
	for _, subject := range subjects {
		v.engine.Clock.Advance(time.Second)
		if err := v.engine.LinkIDToken(t.Context(), v.engine.Principal(t, eve), auth.LinkIDTokenParams{Provider: "here", IDToken: idToken(person(subject, "e@example.com", false))}); err != nil {
			t.Fatal(err)
		}
	}
	list := func(s *auth.Session) []auth.Identity {
		return want200[map[string][]auth.Identity](t, do(t, v, "GET", "/user/identities", "", bearer(s)...))["identities"]
	}
	for i, got := range list(eve) {
		if got.Provider != "here" || got.Subject != subjects[i] || got.Email != "e@example.com" || got.CreatedAt.IsZero() || got.LastUsedAt.IsZero() {
			t.Errorf("%d: %+v", i, got)
		}
	}
	if w := do(t, v, "GET", "/user/identities", "", bearer(bob)...); strings.TrimSpace(w.Body.String()) != `{"identities":[]}` {
		t.Errorf("bob's: %s", w.Body)
	}
	unlink := func(s *auth.Session, name, query string) *httptest.ResponseRecorder {
		return do(t, v, "DELETE", "/user/identities/"+name+query, "", bearer(s)...)
	}
	wantRefused(t, unlink(bob, "here", "?subject=1"), 404, auth.CodeRouteNotFound)
	wantRefused(t, unlink(eve, "there", "?subject=1"), 404, auth.CodeRouteNotFound)
	wantRefused(t, unlink(eve, "nowhere", "?subject=1"), 404, auth.CodeRouteNotFound)
	wantRefused(t, unlink(eve, "here", "?subject=2"), 404, auth.CodeRouteNotFound)
	wantRefused(t, unlink(eve, "here", "?subject="), 404, auth.CodeRouteNotFound)
	wantRefused(t, unlink(eve, "here", ""), 400, auth.CodeInvalidRequest)
	wantRefused(t, unlink(eve, "here", "?subject=1&subject=1"), 400, auth.CodeInvalidRequest)
	wantRefused(t, unlink(eve, "here", "?subject=%zz"), 400, auth.CodeInvalidRequest)
	wantRefused(t, do(t, v, "DELETE", "/user/identities/here?subject=1", ""), 401, auth.CodeUnauthenticated)
	wantRefused(t, do(t, v, "GET", "/user/identities", ""), 401, auth.CodeUnauthenticated)
	wantRefused(t, unlink(v.guest(t), "here", "?subject=1"), 403, auth.CodeForbiddenAnonymous)
	for i, subject := range subjects {
		wantOK(t, unlink(eve, "here", "?subject="+url.QueryEscape(subject)))
		if n := len(list(eve)); n != len(subjects)-i-1 {
			t.Errorf("%d are left after %q", n, subject)
		}
	}
	v.engine.Clock.Advance(11 * time.Minute)
	wantRefused(t, unlink(eve, "here", "?subject=1"), 403, auth.CodeElevationRequired)
}

// OA-39: tokens of a provider are handed out once, and new ones for what the user has of it.
func TestTokensOfAProvider(t *testing.T) {
	t.Parallel()
	v := newVisitor(t, httpadapter.Options{})
	session := v.session(t, ada)
	get := func(s *auth.Session, name string) *httptest.ResponseRecorder {
		return do(t, v, "GET", "/signin/provider/"+name+"/callback/tokens", "", bearer(s)...)
	}
	expires := time.Date(2035, 1, 1, 0, 0, 0, 0, time.UTC)
	want := object{
		"accessToken": "code-0", "refreshToken": "theirs", "expiresAt": "2035-01-01T00:00:00Z",
		"expiresIn": float64(expires.Sub(v.engine.Clock.Now()) / time.Second),
	}
	if diff := cmp.Diff(want, want200[object](t, get(session, "here"))); diff != "" {
		t.Errorf("tokens (-want +got):\n%s", diff)
	}
	wantRefused(t, get(session, "here"), 400, auth.CodeInvalidRequest)
	wantRefused(t, get(session, "there"), 400, auth.CodeInvalidRequest)
	wantRefused(t, get(session, "twitter"), 409, auth.CodeDisabledEndpoint)
	wantRefused(t, get(session, "nowhere"), 400, auth.CodeInvalidRequest)
	wantRefused(t, get(v.guest(t), "here"), 403, auth.CodeForbiddenAnonymous)
	wantRefused(t, do(t, v, "GET", callback+"/tokens", ""), 401, auth.CodeUnauthenticated)

	refresh := func(s *auth.Session, name, body string) *httptest.ResponseRecorder {
		return do(t, v, "POST", "/token/provider/"+name, body, bearer(s)...)
	}
	const mine = `{"refreshToken":"mine"}`
	want = object{
		"accessToken": "new by mine", "refreshToken": "mine", "expiresIn": float64(3600),
		"expiresAt": v.engine.Clock.Now().Add(time.Hour).UTC().Format(time.RFC3339Nano),
	}
	if diff := cmp.Diff(want, want200[object](t, refresh(session, "here", mine))); diff != "" {
		t.Errorf("new tokens (-want +got):\n%s", diff)
	}
	wantRefused(t, refresh(session, "here", `{}`), 400, auth.CodeInvalidRequest)
	wantRefused(t, refresh(session, "here", `{"refreshToken":""}`), 400, auth.CodeInvalidRequest)
	wantRefused(t, refresh(session, "nowhere", mine), 400, auth.CodeInvalidRequest)
	wantRefused(t, refresh(session, "twitter", mine), 409, auth.CodeDisabledEndpoint)
	wantRefused(t, refresh(v.guest(t), "here", mine), 403, auth.CodeForbiddenAnonymous)
	wantRefused(t, do(t, v, "POST", "/token/provider/here", mine), 401, auth.CodeUnauthenticated)
	v.here.fails = errors.New("invalid_grant: hush")
	w := refresh(session, "here", mine)
	wantRefused(t, w, 400, auth.CodeOAuthProviderError)
	if strings.Contains(w.Body.String(), "hush") {
		t.Errorf("body %s", w.Body)
	}
	forgetful := newVisitor(t, httpadapter.Options{}, func(c *auth.Config) { c.ForgetProviderTokens = true })
	wantRefused(t, do(t, forgetful, "GET", callback+"/tokens", "", bearer(forgetful.session(t, ada))...), 409, auth.CodeDisabledEndpoint)
}

// The service's own back end has a secret, and nobody else gets past it.
func TestRefreshingTheTokensThatAreKept(t *testing.T) {
	t.Parallel()
	const header, secret = "X-Hasura-Admin-Secret", "plum-tractor-eleven-harbour"
	configured := auth.Secret(secret)
	v := newVisitor(t, httpadapter.Options{}, func(c *auth.Config) { c.AdminSecret = configured })
	clear(configured) // the engine has its own
	session := v.session(t, ada)
	body := func(name string, id uuid.UUID) string {
		return `{"providerId":` + text(name) + `,"userId":"` + id.String() + `"}`
	}
	good := body("here", session.User.ID)
	send := func(body string, headers ...string) *httptest.ResponseRecorder {
		return do(t, v, "POST", "/user/provider/tokens", body, headers...)
	}
	for name, headers := range map[string][]string{
		"none": nil, "empty": {header, ""}, "another": {header, "x"}, "a part": {header, secret[1:]}, "more": {header, secret + "x"},
		"another case": {header, strings.ToUpper(secret)}, "twice": {header, secret, header, secret}, "with another": {header, "x", header, secret},
		"of a user": bearer(session), "as a bearer token": {"Authorization", "Bearer " + secret}, "zeros": {header, strings.Repeat("\x00", len(secret))},
	} {
		t.Run(name, func(t *testing.T) {
			w := send(good, headers...)
			wantRefused(t, w, 401, "invalid-admin-secret")
			if !strings.Contains(w.Body.String(), `"Invalid admin secret"`) {
				t.Errorf("body %s", w.Body)
			}
		})
	}
	wantRefused(t, send(`{`), 401, "invalid-admin-secret") // whatever the body
	wantOK(t, send(good, header, secret))
	if got := want200[object](t, do(t, v, "GET", callback+"/tokens", "", bearer(session)...)); got["accessToken"] != "new by theirs" || got["refreshToken"] != "theirs" {
		t.Errorf("tokens %v", got)
	}
	wantRefused(t, send(good, header, secret), 400, auth.CodeInvalidRequest) // they have been handed out
	wantRefused(t, send(body("here", uuid.New()), header, secret), 404, auth.CodeRouteNotFound)
	wantRefused(t, send(body("nowhere", session.User.ID), header, secret), 409, auth.CodeDisabledEndpoint)
	for _, bad := range []string{`{}`, `{"providerId":"here"}`, `{"userId":"` + session.User.ID.String() + `"}`, `{"providerId":"here","userId":"x"}`, `{"providerId":"here","userId":1}`} {
		wantRefused(t, send(bad, header, secret), 400, auth.CodeInvalidRequest)
	}
	v.engine.Logs.AssertAbsent(t, secret)
	for _, unset := range []auth.Secret{nil, {}} {
		off := newVisitor(t, httpadapter.Options{}, func(c *auth.Config) { c.AdminSecret = unset })
		for _, headers := range [][]string{nil, {header, ""}, {header, secret}} {
			wantRefused(t, do(t, off, "POST", "/user/provider/tokens", good, headers...), 409, auth.CodeDisabledEndpoint)
		}
	}
}

// FuzzStartProvider: whatever stands in the query, a start ends with an error body, at the provider or at an allowed place.
func FuzzStartProvider(f *testing.F) {
	for _, query := range []string{
		"", "redirectTo=https://other.test/in?a=b%23c&state=s", "redirectTo=//evil.test", "redirectTo=https://other.test%00", "connect=x&redirectTo=myapp://in",
		"allowedRoles=user,me&defaultRole=me&displayName=A&locale=en&metadata={%22a%22:1}", "providerSpecificParams={%22organization%22:%22o%22}&connection=c",
		"codeChallenge=" + codeChallenge, "state=a&state=b", "a;b", "%zz", "allowedRoles=,,", "redirectTo=https://app.test/?error=x&provider_error=y",
	} {
		f.Add(query)
	}
	v := newVisitor(f, httpadapter.Options{})
	f.Fuzz(func(t *testing.T, query string) {
		wantAllowed(t, v, v.raw(t, "GET", start, query, "", nil), 302)
	})
}

// FuzzFinishProvider: whatever a browser brings back, in a query or a form, it is told with an error body or at an allowed
// place.
func FuzzFinishProvider(f *testing.F) {
	for _, encoded := range []string{
		"", "state=STATE&code=x", "state=STATE&error=access_denied&error_description=%3Cb%3E&error_uri=%0d%0a", "state=STATE&state=STATE", "state=STATE&code=a&code=b",
		"state=", "state=x", "state=%ff%fe&code=x", "a;b", "%zz", "state=STATE:x", "state=AAAAAAAA", "error=x", "state=STATE&user={%22email%22:%22a%22}",
	} {
		f.Add(encoded, "https://other.test/in?error=x#y")
		f.Add(encoded, "myapp://in?provider_error=a&a%&=")
	}
	v := newVisitor(f, httpadapter.Options{})
	f.Fuzz(func(t *testing.T, encoded, redirectTo string) {
		if _, err := v.engine.RedirectTo(redirectTo); err != nil {
			redirectTo = ""
		}
		for method, status := range map[string]int{"GET": 302, "POST": 303} {
			w := v.raw(t, "GET", start, "redirectTo="+url.QueryEscape(redirectTo), "", nil)
			if w.Code != 302 {
				return // an allowed place that is no URL to net/url
			}
			brought := strings.ReplaceAll(encoded, "STATE", stateOf(t, w))
			query, form := brought, ""
			if method == "POST" {
				query, form = "", brought
			}
			wantAllowed(t, v, v.raw(t, method, callback, query, form, w.Result().Cookies()), status)
		}
	})
}

// raw is a request whose query need not be one.
func (v *visitor) raw(t testing.TB, method, path, query, form string, cookies []*http.Cookie) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(form))
	r.URL.RawQuery = query
	if method == "POST" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, c := range cookies {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	v.ServeHTTP(w, r)
	return w
}

// wantAllowed checks that a browser is sent to the provider or to a place that is allowed, or else told of a mistake of its own.
func wantAllowed(t testing.TB, v *visitor, w *httptest.ResponseRecorder, status int) {
	t.Helper()
	location := w.Header().Get("Location")
	if w.Code >= 400 && w.Code < 500 {
		if w.Body.Len() == 0 || location != "" {
			t.Fatalf("%d to %q: %q", w.Code, location, w.Body)
		}
		return
	}
	if w.Code != status || w.Body.Len() != 0 || strings.ContainsFunc(location, func(r rune) bool { return r <= ' ' || r > '~' }) {
		t.Fatalf("%d to %q: %q", w.Code, location, w.Body)
	}
	place, _, _ := strings.Cut(location, "?") // our parameters may make it longer than a wish can be
	if _, err := v.engine.RedirectTo(place); err != nil && place != "https://idp.test/authorize" {
		t.Fatalf("sent to %q: %v", location, err)
	}
}
