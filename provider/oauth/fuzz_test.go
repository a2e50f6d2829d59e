package oauth_test

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/auth/provider"
)

// canned answers every request with the same document, or with another where the addresses are.
type canned struct{ profile, emails []byte }

func (c canned) RoundTrip(r *http.Request) (*http.Response, error) {
	body := c.profile
	if strings.HasSuffix(r.URL.Path, "/emails") {
		body = c.emails
	}
	return &http.Response{
		StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(body)), Request: r,
	}, nil
}

// Whatever a provider answers, it is an error or somebody.
func FuzzProfile(f *testing.F) {
	providers := map[string]provider.Provider{"twitter": madeTwitter(f)}
	for name, k := range all {
		providers[name] = made(f, k)
	}
	names := slices.Sorted(maps.Keys(providers))
	for _, a := range profiles {
		f.Add(uint8(slices.Index(names, a.provider)), []byte(a.profile), []byte(a.emails))
	}
	f.Add(uint8(slices.Index(names, "twitter")), []byte(`{"id_str": "1", "email": "a@example.com"}`), []byte(nil))
	f.Fuzz(func(t *testing.T, which uint8, profile, emails []byte) {
		name := names[int(which)%len(names)]
		env := provider.Env{HTTP: &http.Client{Transport: canned{profile, emails}}, Now: time.Now}
		p, err := providers[name].Profile(t.Context(), env, back(), tokens())
		switch {
		case err != nil && p != (provider.Profile{}):
			t.Errorf("%s: both an error and %+v", name, p)
		case err == nil && strings.TrimSpace(p.Subject) == "":
			t.Errorf("%s: nobody", name)
		case p.EmailVerified && p.Email == "":
			t.Errorf("%s: no address is verified", name)
		case p.EmailVerified && !slices.Contains([]string{"bitbucket", "discord", "github", "gitlab", "x"}, name):
			t.Errorf("%s verifies addresses", name)
		}
		if u, err := url.Parse(p.Picture); p.Picture != "" && (err != nil || u.Host == "") {
			t.Errorf("%s: the picture is %q", name, p.Picture)
		}
	})
}

// Whatever a token endpoint answers, it is an error or a token.
func FuzzTokens(f *testing.F) {
	p := made(f, all["github"])
	for _, seed := range []string{
		`{"access_token": "a", "expires_in": 3600, "refresh_token": "r"}`, `{"error": "invalid_grant"}`, `access_token=a&expires_in=1`, `null`,
	} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, body []byte, form bool) {
		env := provider.Env{HTTP: &http.Client{Transport: typed{canned{body, nil}, form}}, Now: func() time.Time { return now }}
		got, err := p.Exchange(t.Context(), env, back())
		switch {
		case (got.AccessToken == "") != (err != nil):
			t.Errorf("%v, token %v", err, got.AccessToken != "")
		case !got.ExpiresAt.IsZero() && !got.ExpiresAt.After(now):
			t.Errorf("dead at birth: %v", got.ExpiresAt)
		case err != nil && len(err.Error()) > 200:
			t.Errorf("a long error: %v", err)
		}
	})
}

// typed says that its answers are forms, or JSON.
type typed struct {
	canned
	form bool
}

func (c typed) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := c.canned.RoundTrip(r)
	if c.form {
		res.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return res, err
}

// Whatever a provider of OAuth 1.0a answers, the browser is sent there and nowhere else, with the token that it gave, and a
// token comes with its secret.
func FuzzOAuth1(f *testing.F) {
	p := madeTwitter(f)
	for _, body := range []string{
		"oauth_token=a&oauth_token_secret=b&oauth_callback_confirmed=true", "oauth_token=a&oauth_token_secret=b", "oauth_token=a%26b%3Dc%23&oauth_token_secret=b&oauth_callback_confirmed=true",
		"oauth_token=&oauth_token_secret=b&oauth_callback_confirmed=true", "oauth_token=a;b", "oauth_token=%zz", "", `{"oauth_token":"a"}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		env := provider.Env{HTTP: &http.Client{Transport: canned{body, nil}}, Now: func() time.Time { return now }}
		a, err := p.Authorize(t.Context(), env, request())
		if err != nil {
			if a != (provider.Authorization{}) {
				t.Fatalf("%q: both %v and %+v", body, err, a)
			}
			return
		}
		u, err := url.Parse(a.URL)
		said, _ := url.ParseQuery(string(body))
		if err != nil || u.Scheme != "https" || u.Host != "api.twitter.com" || said.Get("oauth_callback_confirmed") != "true" || u.Query().Get("oauth_token") != said.Get("oauth_token") || u.Fragment != "" {
			t.Fatalf("%q sends the browser to %q (%v)", body, a.URL, err)
		}
		q := back()
		q.Secret, q.Values = a.Secret, url.Values{"oauth_token": {said.Get("oauth_token")}, "oauth_verifier": {"v"}}
		if got, err := p.Exchange(t.Context(), env, q); err != nil || got.AccessToken == "" || got.Secret == "" {
			t.Fatalf("%q: tokens %t and %t, %v", body, got.AccessToken != "", got.Secret != "", err)
		}
		q.Values.Set("oauth_token", said.Get("oauth_token")+"x")
		if got, err := p.Exchange(t.Context(), env, q); err == nil {
			t.Fatalf("%q: tokens of another attempt: %v", body, got)
		}
	})
}
