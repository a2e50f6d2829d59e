package oauth_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/provider/oauth"
)

const (
	requestTokenURL = "https://api.twitter.com/oauth/request_token"
	accessTokenURL  = "https://api.twitter.com/oauth/access_token"
	credentialsURL  = "https://api.twitter.com/1.1/account/verify_credentials.json"
)

func madeTwitter(t testing.TB) provider.Provider {
	t.Helper()
	p, err := oauth.Twitter(oauth.TwitterConfig{Config: config()})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var parameter = regexp.MustCompile(`^([a-z_]+)="([^"]*)"$`)

// signed returns the protocol parameters of a request, whose signature must be right by the secret of its token.
func signed(t testing.TB, a asked, tokenSecret string) map[string]string {
	t.Helper()
	list, ok := strings.CutPrefix(a.header.Get("Authorization"), "OAuth ")
	if !ok {
		t.Errorf("%s: Authorization %q", a.url, a.header.Get("Authorization"))
	}
	got := map[string]string{}
	for pair := range strings.SplitSeq(list, ", ") {
		m := parameter.FindStringSubmatch(pair)
		if m == nil {
			t.Errorf("%s: %q", a.url, pair)
			continue
		}
		value, err := url.PathUnescape(m[2])
		if err != nil {
			t.Error(err)
		}
		got[m[1]] = value
	}
	seconds, err := strconv.ParseInt(got["oauth_timestamp"], 10, 64)
	if err != nil {
		t.Error(err)
	}
	more := map[string]string{}
	for _, name := range []string{"oauth_callback", "oauth_verifier"} {
		if value, ok := got[name]; ok {
			more[name] = value
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), a.method, a.url, nil)
	if err != nil {
		t.Error(err)
		return got
	}
	oauth.Sign(req, "client", clientSecret, got["oauth_token"], tokenSecret, time.Unix(seconds, 0), got["oauth_nonce"], more)
	if req.Header.Get("Authorization") != a.header.Get("Authorization") {
		t.Errorf("%s: not signed by %s", a.url, tokenSecret)
	}
	return got
}

// serveTwitter gives each who asks a request token of its own: for the state s, "request-s" with the secret "secret-s", and for
// that "access-s". It takes nothing that is not signed by the secret that belongs to it.
func serveTwitter(t testing.TB) *fake {
	t.Helper()
	return serve(t, func(a asked) (int, string, string) {
		const form = "text/html;charset=utf-8" // as Twitter has it
		switch plain, _, _ := strings.Cut(a.url, "?"); plain {
		case requestTokenURL:
			callback, err := url.Parse(signed(t, a, "")["oauth_callback"])
			if err != nil {
				t.Error(err)
				return 400, form, ""
			}
			state := callback.Query().Get("state")
			return 200, form, "oauth_token=request-" + state + "&oauth_token_secret=secret-" + state + "&oauth_callback_confirmed=true"
		case accessTokenURL:
			_, state, _ := strings.Cut(a.header.Get("Authorization"), `oauth_token="request-`)
			state, _, _ = strings.Cut(state, `"`)
			if got := signed(t, a, "secret-"+state); got["oauth_verifier"] != "verifier-"+state {
				return 401, form, "no"
			}
			return 200, form, "oauth_token=access-" + state + "&oauth_token_secret=access-secret-" + state + "&user_id=1&screen_name=x"
		case credentialsURL:
			_, state, _ := strings.Cut(a.header.Get("Authorization"), `oauth_token="access-`)
			state, _, _ = strings.Cut(state, `"`)
			signed(t, a, "access-secret-"+state)
			return 200, "application/json", `{"id": 1, "id_str": "` + state + `", "name": "X", "screen_name": "x", "verified": true,
				"email": "x@example.com", "profile_image_url_https": "https://pbs.twimg.com/1.jpg"}`
		}
		return 404, form, ""
	})
}

// begun is a flow at a fake Twitter until the browser comes back.
func begun(t testing.TB, p provider.Provider, env provider.Env, state string) (provider.Authorization, provider.Return) {
	t.Helper()
	q := request()
	q.State = state
	a, err := p.Authorize(t.Context(), env, q)
	if err != nil {
		t.Error(err)
	}
	return a, provider.Return{Request: q, Secret: a.Secret, Values: url.Values{
		"state": {state}, "oauth_token": {"request-" + state}, "oauth_verifier": {"verifier-" + state},
	}}
}

func TestTwitterFlow(t *testing.T) {
	t.Parallel()
	p, f := madeTwitter(t), serveTwitter(t)
	a, b := begun(t, p, f.env(), "s")
	if a.URL != "https://api.twitter.com/oauth/authorize?oauth_token=request-s" || a.FormPost || strings.Contains(a.URL, "secret") {
		t.Errorf("%+v", a)
	}
	got, err := p.Exchange(t.Context(), f.env(), b)
	if err != nil || (got != provider.Tokens{AccessToken: "access-s", Secret: "access-secret-s"}) {
		t.Fatalf("other tokens, %v", err)
	}
	who, err := p.Profile(t.Context(), f.env(), b, got)
	// W3: "verified" is a badge, and says nothing of the address.
	want := provider.Profile{Subject: "s", Email: "x@example.com", Name: "X", Picture: "https://pbs.twimg.com/1.jpg"}
	if diff := cmp.Diff(want, who); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	if _, err := p.Refresh(t.Context(), f.env(), refreshToken); !errors.Is(err, provider.ErrNoRefresh) {
		t.Error(err)
	}

	seen := f.requests()
	var urls []string
	nonces := map[string]bool{}
	for i, a := range seen {
		urls = append(urls, a.method+" "+a.url)
		params := signed(t, a, []string{"", "secret-s", "access-secret-s"}[i])
		nonces[params["oauth_nonce"]] = true
		if params["oauth_timestamp"] != strconv.FormatInt(now.Unix(), 10) || params["oauth_consumer_key"] != "client" {
			t.Errorf("%v", params)
		}
		if len(a.form) > 0 {
			t.Errorf("a body: %v", a.form)
		}
	}
	if diff := cmp.Diff([]string{"POST " + requestTokenURL, "POST " + accessTokenURL, "GET " + credentialsURL + "?include_email=true"}, urls); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if len(nonces) != 3 {
		t.Error("a nonce was used again")
	}
	if got := signed(t, seen[0], "")["oauth_callback"]; got != redirectURI+"?state=s" {
		t.Errorf("the callback is %s", got)
	}
}

// W20, OA-37, OA-41: many at once, and each is sent off with its own request token and comes back as itself.
func TestTwitterFlowsDoNotMix(t *testing.T) {
	t.Parallel()
	p, f := madeTwitter(t), serveTwitter(t)
	var wait sync.WaitGroup
	for n := range 50 {
		wait.Go(func() {
			state := fmt.Sprint("s", n)
			a, b := begun(t, p, f.env(), state)
			if to, err := url.Parse(a.URL); err != nil || len(to.Query()) != 1 || to.Query().Get("oauth_token") != "request-"+state {
				t.Errorf("%s is sent to %s", state, a.URL)
			}
			got, err := p.Exchange(t.Context(), f.env(), b)
			if err != nil {
				t.Error(err)
				return
			}
			if who, err := p.Profile(t.Context(), f.env(), b, got); err != nil || who.Subject != state {
				t.Errorf("%s is %q, %v", state, who.Subject, err)
			}
		})
	}
	wait.Wait()
}

// OA-41
func TestTwitterReturnIsThatOfTheRequestToken(t *testing.T) {
	t.Parallel()
	p, f := madeTwitter(t), serveTwitter(t)
	_, other := begun(t, p, f.env(), "other")
	for what, change := range map[string]func(*provider.Return){
		"the token of another flow":  func(b *provider.Return) { b.Values.Set("oauth_token", "request-other") },
		"all that another has":       func(b *provider.Return) { b.Values = other.Values },
		"the secret of another flow": func(b *provider.Return) { b.Secret = other.Secret },
		"no token":                   func(b *provider.Return) { b.Values.Del("oauth_token") },
		"an empty token":             func(b *provider.Return) { b.Values.Set("oauth_token", "") },
		"no verifier":                func(b *provider.Return) { b.Values.Del("oauth_verifier") },
		"an empty verifier":          func(b *provider.Return) { b.Values.Set("oauth_verifier", "") },
		"who said no":                func(b *provider.Return) { b.Values = url.Values{"denied": {"request-s"}} },
		"no secret":                  func(b *provider.Return) { b.Secret = "" },
		"no secret and no token":     func(b *provider.Return) { b.Secret, b.Values = "", url.Values{"oauth_verifier": {"v"}} },
		"half a secret":              func(b *provider.Return) { b.Secret = "token=request-s" },
		"no secret that is one":      func(b *provider.Return) { b.Secret = "%zz" },
	} {
		_, b := begun(t, p, f.env(), "s")
		change(&b)
		before := len(f.requests())
		if got, err := p.Exchange(t.Context(), f.env(), b); err == nil || len(f.requests()) != before {
			t.Errorf("%s: %v, %d requests", what, got, len(f.requests())-before)
		}
	}
}

func TestTwitterRequestsThatAreNotMade(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(*provider.Request){
		"no state":               func(q *provider.Request) { q.State = "" },
		"no redirect URI":        func(q *provider.Request) { q.RedirectURI = "" },
		"a redirect that is not": func(q *provider.Request) { q.RedirectURI = "https://\x00" },
		"a parameter":            func(q *provider.Request) { q.Params = url.Values{"force_login": {"true"}} },
	} {
		f := serveTwitter(t)
		q := request()
		change(&q)
		a, err := madeTwitter(t).Authorize(t.Context(), f.env(), q)
		if err == nil || len(f.requests()) > 0 || errors.Is(err, provider.ErrParams) != (q.Params != nil) {
			t.Errorf("%s: %v, %v", what, a, err)
		}
	}
	if _, err := madeTwitter(t).Authorize(t.Context(), provider.Env{}, request()); err == nil {
		t.Error("asked without a client")
	}
}

// OA-41, SS-03, SS-07: no token is made up, and no secret gets out.
func TestTwitterFails(t *testing.T) {
	t.Parallel()
	const good = "oauth_token=t&oauth_token_secret=the-request-secret"
	for what, tt := range map[string]struct {
		status int
		body   string
		start  bool // it is a failure only at the start
	}{
		"not confirmed":         {200, good, true},
		"confirmed by another":  {200, good + "&oauth_callback_confirmed=True", true},
		"refused":               {200, good + "&oauth_callback_confirmed=false", true},
		"no token":              {200, "oauth_token_secret=the-request-secret&oauth_callback_confirmed=true", false},
		"no secret":             {200, "oauth_token=t&oauth_callback_confirmed=true", false},
		"empty":                 {200, "", false},
		"broken":                {200, good + "&oauth_callback_confirmed=true&%zz", false},
		"a page":                {200, "<html>" + leaks, false},
		"unauthorised":          {401, `{"errors": [{"code": 32, "message": "` + leaks + `"}]}`, false},
		"an error with a token": {500, good + "&oauth_callback_confirmed=true", false},
		"a redirect":            {307, "Location: https://evil.test/", false},
	} {
		f := serve(t, func(asked) (int, string, string) { return tt.status, "text/html", tt.body })
		a, err := madeTwitter(t).Authorize(t.Context(), f.env(), request())
		if err == nil || a != (provider.Authorization{}) || !strings.HasPrefix(err.Error(), "oauth: twitter: authorize: ") {
			t.Errorf("%s: authorize: %v", what, err)
		}
		if err != nil {
			withoutSecrets(t, err)
		}
		if tt.start {
			continue
		}
		b := back()
		b.Secret, b.Values = "secret=the-request-secret&token=t", url.Values{"oauth_token": {"t"}, "oauth_verifier": {theCode}}
		got, err := madeTwitter(t).Exchange(t.Context(), f.env(), b)
		if err == nil || got != (provider.Tokens{}) || !strings.HasPrefix(err.Error(), "oauth: twitter: exchange the verifier: ") {
			t.Errorf("%s: exchange: %v", what, err)
		}
		if err != nil {
			withoutSecrets(t, err)
		}
		if seen := f.requests(); len(seen) != 2 {
			t.Errorf("%s: %d requests", what, len(seen))
		}
	}
}

// W3, OA-19, OA-22, OA-27
func TestTwitterProfiles(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]provider.Profile{
		`{"id_str": "9007199254740993", "id": 9007199254740992}`:                                            {Subject: "9007199254740993"},
		`{"id_str": "1", "email": "a@example.com", "verified": true, "email_verified": true}`:               {Subject: "1", Email: "a@example.com"},
		`{"id_str": "1", "email": ["a@example.com"], "name": 1, "profile_image_url_https": "javascript:x"}`: {Subject: "1"},
		`{"id": 1}`:         {},
		`{"id_str": 1}`:     {},
		`{"id_str": ""}`:    {},
		`{"id_str": null}`:  {},
		`{"ID_STR": "1"}`:   {},
		`[{"id_str": "1"}]`: {},
		`null`:              {},
		`<html>` + leaks:    {},
		``:                  {},
	} {
		f := answers(t, map[string]string{credentialsURL: body})
		got, err := madeTwitter(t).Profile(t.Context(), f.env(), back(), tokens())
		if got != want || (err == nil) != (want.Subject != "") {
			t.Errorf("%s: %+v, %v", body, got, err)
		}
		if err != nil {
			withoutSecrets(t, err)
		}
	}
	f := serve(t, func(asked) (int, string, string) { return 401, "application/json", leaks })
	if _, err := madeTwitter(t).Profile(t.Context(), f.env(), back(), tokens()); err == nil {
		t.Error("a profile with status 401")
	} else {
		withoutSecrets(t, err)
	}
}

func TestTwitterConfig(t *testing.T) {
	t.Parallel()
	for field, change := range map[string]func(*oauth.TwitterConfig){
		"RequestTokenURL": func(c *oauth.TwitterConfig) { c.RequestTokenURL = "http://id.example" },
		"Scopes":          func(c *oauth.TwitterConfig) { c.Scopes = []string{"users.read"} },
		"ClientSecret":    func(c *oauth.TwitterConfig) { c.ClientSecret = "" },
	} {
		c := oauth.TwitterConfig{Config: config()}
		change(&c)
		if p, err := oauth.Twitter(c); err == nil || p != nil || !strings.Contains(err.Error(), "oauth: twitter: "+field+" ") {
			t.Errorf("%s: %v", field, err)
		}
	}
	c := oauth.TwitterConfig{Config: config(), RequestTokenURL: "https://id.example/r"}
	c.AuthorizationURL = "https://id.example/a?lang=en"
	p, err := oauth.Twitter(c)
	if err != nil {
		t.Fatal(err)
	}
	f := serve(t, func(asked) (int, string, string) {
		return 200, "text/plain", "oauth_token=a+b&oauth_token_secret=s&oauth_callback_confirmed=true"
	})
	q := request()
	q.RedirectURI += "?x=y"
	a, err := p.Authorize(t.Context(), f.env(), q)
	if err != nil || a.URL != "https://id.example/a?lang=en&oauth_token=a+b" {
		t.Errorf("%s, %v", a.URL, err)
	}
	seen := f.requests()
	if got := signed(t, seen[0], "")["oauth_callback"]; seen[0].url != c.RequestTokenURL || got != redirectURI+"?state=the-state&x=y" {
		t.Errorf("%s, %s", seen[0].url, got)
	}
}

// The vectors are those of X's documentation ("Creating a signature") and of RFC 5849 §3.4.1.
func TestSignature(t *testing.T) {
	t.Parallel()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://api.twitter.com/1.1/statuses/update.json?include_entities=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	oauth.Sign(req, "xvz1evFS4wEEPTGEFPHBog", "kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw",
		"370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb", "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE",
		time.Unix(1318622958, 0), "kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg",
		map[string]string{"status": "Hello Ladies + Gentlemen, a signed OAuth request!"})
	if got := req.Header.Get("Authorization"); !strings.Contains(got, `oauth_signature="`+url.QueryEscape("hCtSmYh+iHYCEqBWrE7C7hYmtUk=")+`"`) {
		t.Error(got)
	}

	req, err = http.NewRequestWithContext(t.Context(), http.MethodPost, "http://EXAMPLE.COM:80/request?b5=%3D%253D&a3=a&c%40=&a2=r%20b", nil)
	if err != nil {
		t.Fatal(err)
	}
	const want = "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da%26b5%3D%253D%25253D%26c%2540%3D%26c2%3D" +
		"%26oauth_consumer_key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a%26oauth_signature_method%3DHMAC-SHA1" +
		"%26oauth_timestamp%3D137131201%26oauth_token%3Dkkk9d7dh3k39sjv7"
	got := oauth.BaseString(req, map[string]string{
		"a3": "2 q", "c2": "", "oauth_consumer_key": "9djdj82h48djs9d2", "oauth_token": "kkk9d7dh3k39sjv7",
		"oauth_signature_method": "HMAC-SHA1", "oauth_timestamp": "137131201", "oauth_nonce": "7d8f3e4a",
	})
	if got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	for from, to := range map[string]string{
		"https://x.test:443": "GET&https%3A%2F%2Fx.test%2F&", "https://x.test:80/": "GET&https%3A%2F%2Fx.test%3A80%2F&",
		"https://x.test/%7Ea%2Fb": "GET&https%3A%2F%2Fx.test%2F%257Ea%252Fb&",
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, from, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := oauth.BaseString(req, nil); got != to {
			t.Errorf("%s: %s", from, got)
		}
	}
}
