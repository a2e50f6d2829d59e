package oauth_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth/internal/outbound"
	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/provider/oauth"
)

// known is what is documented of a provider that speaks OAuth 2.0.
type known struct {
	make      func(oauth.Config) (provider.Provider, error)
	authorize string // where the browser goes, and the parameters that are its own
	token     string
	inHeader  bool // the client authenticates with HTTP Basic
	noRefresh bool
	profile   string // where the profile is, with its query
	header    string // a header that the profile wants
	body      string // a profile whose id is %s, as JSON
	emails    string // where the addresses are, if elsewhere
	idOf      func(n int) string
}

func number(n int) string { return fmt.Sprint(1000 + n) }
func text(n int) string   { return fmt.Sprintf(`"id-%d"`, n) }

func workOS(c oauth.Config) (provider.Provider, error) {
	return oauth.WorkOS(oauth.WorkOSConfig{Config: c, DefaultConnection: "conn_1"})
}

var all = map[string]known{
	"bitbucket": {
		oauth.Bitbucket, "https://bitbucket.org/site/oauth2/authorize?scope=account",
		"https://bitbucket.org/site/oauth2/access_token", true, false,
		"https://api.bitbucket.org/2.0/user", "", `{"uuid": %s}`, "https://api.bitbucket.org/2.0/user/emails", text,
	},
	"discord": {
		oauth.Discord, "https://discord.com/api/oauth2/authorize?scope=identify+email",
		"https://discord.com/api/oauth2/token", true, false,
		"https://discord.com/api/users/@me", "", `{"id": %s}`, "", text,
	},
	"facebook": {
		oauth.Facebook, "https://www.facebook.com/v22.0/dialog/oauth?scope=email",
		"https://graph.facebook.com/v22.0/oauth/access_token", false, true,
		"https://graph.facebook.com/me?fields=id%2Cname%2Cemail%2Cpicture", "", `{"id": %s}`, "", text,
	},
	"github": {
		oauth.GitHub, "https://github.com/login/oauth/authorize?scope=user%3Aemail",
		"https://github.com/login/oauth/access_token", false, false,
		"https://api.github.com/user", "", `{"id": %s}`, "https://api.github.com/user/emails", number,
	},
	"gitlab": {
		oauth.GitLab, "https://gitlab.com/oauth/authorize?scope=read_user", "https://gitlab.com/oauth/token", false, false,
		"https://gitlab.com/api/v4/user", "", `{"id": %s}`, "", number,
	},
	"spotify": {
		oauth.Spotify, "https://accounts.spotify.com/authorize?scope=user-read-email+user-read-private",
		"https://accounts.spotify.com/api/token", true, false,
		"https://api.spotify.com/v1/me", "", `{"id": %s}`, "", text,
	},
	"strava": {
		oauth.Strava, "https://www.strava.com/api/v3/oauth/authorize?approval_prompt=force&scope=profile%3Aread_all",
		"https://www.strava.com/api/v3/oauth/token", false, false,
		"https://www.strava.com/api/v3/athlete", "", `{"id": %s}`, "", number,
	},
	"twitch": {
		oauth.Twitch, "https://id.twitch.tv/oauth2/authorize?scope=user%3Aread%3Aemail",
		"https://id.twitch.tv/oauth2/token", false, false,
		"https://api.twitch.tv/helix/users", "Client-Id", `{"data": [{"id": %s}]}`, "", text,
	},
	"windowslive": {
		oauth.WindowsLive, "https://login.live.com/oauth20_authorize.srf?scope=wl.basic+wl.emails",
		"https://login.live.com/oauth20_token.srf", false, false,
		"https://apis.live.net/v5.0/me", "", `{"id": %s}`, "", text,
	},
	"workos": {
		workOS, "https://api.workos.com/sso/authorize?connection=conn_1",
		"https://api.workos.com/sso/token", false, true,
		"https://api.workos.com/sso/profile", "", `{"id": %s}`, "", text,
	},
	"x": {
		oauth.X, "https://x.com/i/oauth2/authorize?scope=tweet.read+users.read+users.email",
		"https://api.x.com/2/oauth2/token", true, false,
		"https://api.x.com/2/users/me?user.fields=confirmed_email%2Cprofile_image_url", "", `{"data": {"id": %s}}`, "", text,
	},
}

// addresses are none, in the form of each of the providers that keep them elsewhere.
var addresses = map[string]string{"bitbucket": `{"values": []}`, "github": `[]`}

// documents are what a provider has for an account with this id, as JSON.
func (k known) documents(name, id string) map[string]string {
	plain, _, _ := strings.Cut(k.profile, "?")
	d := map[string]string{plain: fmt.Sprintf(k.body, id)}
	if k.emails != "" {
		d[k.emails] = addresses[name]
	}
	return d
}

func made(t testing.TB, k known) provider.Provider {
	t.Helper()
	p, err := k.make(config())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// OA-15
func TestBrowserIsSentWithStateAndChallenge(t *testing.T) {
	t.Parallel()
	for name, k := range all {
		want, err := url.Parse(k.authorize)
		if err != nil {
			t.Fatal(err)
		}
		q := want.Query()
		q.Set("client_id", "client")
		q.Set("response_type", "code")
		q.Set("redirect_uri", redirectURI)
		q.Set("state", "the-state")
		q.Set("code_challenge", challenge)
		q.Set("code_challenge_method", "S256")
		want.RawQuery = q.Encode()
		got, err := made(t, k).Authorize(t.Context(), provider.Env{}, request())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(provider.Authorization{URL: want.String()}, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
}

// OA-15, OA-11: nobody goes without what protects the flow, there or back.
func TestRequestWithoutItsProtectionIsRefused(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(*provider.Return){
		"no verifier":           func(b *provider.Return) { b.Verifier = "" },
		"a short verifier":      func(b *provider.Return) { b.Verifier = verifier[:42] },
		"a verifier with blank": func(b *provider.Return) { b.Verifier = " " + verifier },
		"no state":              func(b *provider.Return) { b.State = "" },
		"no redirect URI":       func(b *provider.Return) { b.RedirectURI = "" },
		"unknown parameter":     func(b *provider.Return) { b.Params = url.Values{"prompt": {"none"}} },
		"own parameter":         func(b *provider.Return) { b.Params = url.Values{"redirect_uri": {"https://evil.test"}} },
	} {
		for name, k := range all {
			b := back()
			change(&b)
			_, err := made(t, k).Authorize(t.Context(), provider.Env{}, b.Request)
			if err == nil || (b.Params != nil) != errors.Is(err, provider.ErrParams) {
				t.Errorf("%s: authorize with %s: %v", name, what, err)
			}
			f := answers(t, map[string]string{k.token: `{"access_token": "a"}`})
			if got, err := made(t, k).Exchange(t.Context(), f.env(), b); err == nil || len(f.requests()) > 0 {
				t.Errorf("%s: exchange with %s: %v, %d requests", name, what, got, len(f.requests()))
			}
		}
	}
	for name, k := range all {
		b := back()
		b.Values.Set("code", "")
		f := answers(t, map[string]string{k.token: `{"access_token": "a"}`})
		if got, err := made(t, k).Exchange(t.Context(), f.env(), b); err == nil || len(f.requests()) > 0 {
			t.Errorf("%s: exchange without a code: %v", name, got)
		}
	}
}

// The code goes out once, with the verifier and the redirect URI, to the token endpoint and nowhere else.
func TestCodeIsExchangedOnce(t *testing.T) {
	t.Parallel()
	for name, k := range all {
		f := answers(t, map[string]string{k.token: `{"access_token": "` + accessToken + `", "token_type": "bearer",
			"expires_in": 3600, "refresh_token": "` + refreshToken + `", "id_token": "h.p.s", "scope": ["a", "b"]}`})
		got, err := made(t, k).Exchange(t.Context(), f.env(), back())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if (got != provider.Tokens{
			AccessToken: accessToken, RefreshToken: refreshToken, ExpiresAt: now.Add(time.Hour), IDToken: "h.p.s",
		}) {
			t.Errorf("%s: other tokens", name)
		}
		checkTokenRequest(t, name, k, f, url.Values{
			"grant_type": {"authorization_code"}, "code": {theCode}, "redirect_uri": {redirectURI}, "code_verifier": {verifier},
		})
	}
}

// checkTokenRequest checks the one request that f has seen.
func checkTokenRequest(t *testing.T, name string, k known, f *fake, want url.Values) {
	t.Helper()
	seen := f.requests()
	if len(seen) != 1 {
		t.Errorf("%s: %d requests", name, len(seen))
		return
	}
	basic := ""
	if k.inHeader {
		basic = "Basic " + base64.StdEncoding.EncodeToString([]byte("client:"+clientSecret))
	} else {
		want.Set("client_id", "client")
		want.Set("client_secret", clientSecret)
	}
	a := seen[0]
	if a.method != http.MethodPost || a.url != k.token || a.header.Get("Authorization") != basic {
		t.Errorf("%s: %s %s, Authorization %q", name, a.method, a.url, a.header.Get("Authorization"))
	}
	if diff := cmp.Diff(want, a.form); diff != "" {
		t.Errorf("%s: form (-want +got)\n%s", name, diff)
	}
}

func TestRefreshGivesNewTokens(t *testing.T) {
	t.Parallel()
	for name, k := range all {
		for what, tt := range map[string]struct{ body, want string }{
			"a new refresh token": {`{"access_token": "new", "expires_in": 60, "refresh_token": "next"}`, "next"},
			"none":                {`{"access_token": "new", "expires_in": 60}`, refreshToken},
		} {
			f := answers(t, map[string]string{k.token: tt.body})
			got, err := made(t, k).Refresh(t.Context(), f.env(), refreshToken)
			if k.noRefresh {
				if !errors.Is(err, provider.ErrNoRefresh) || len(f.requests()) > 0 {
					t.Errorf("%s: %v", name, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: %s: %v", name, what, err)
				continue
			}
			if (got != provider.Tokens{AccessToken: "new", RefreshToken: tt.want, ExpiresAt: now.Add(time.Minute)}) {
				t.Errorf("%s: %s: other tokens", name, what)
			}
			checkTokenRequest(t, name, k, f, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refreshToken}})
		}
		if _, err := made(t, k).Refresh(t.Context(), answers(t, nil).env(), ""); err == nil {
			t.Errorf("%s: refreshed with nothing", name)
		}
	}
}

func TestTokensMayComeAsForm(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]provider.Tokens{
		"access_token=a&token_type=bearer&scope=user%3Aemail": {AccessToken: "a"},
		"access_token=a&expires_in=28800&refresh_token=r":     {AccessToken: "a", RefreshToken: "r", ExpiresAt: now.Add(8 * time.Hour)},
		"access_token=a&expires_in=x":                         {AccessToken: "a"},
		"access_token=a&expires_in=-5":                        {AccessToken: "a"},
		"access_token=a&expires_in=99999999999999":            {AccessToken: "a", ExpiresAt: now.Add(math.MaxInt32 * time.Second)},
	} {
		f := serve(t, func(asked) (int, string, string) {
			return 200, "application/x-www-form-urlencoded; charset=utf-8", body
		})
		if got, err := made(t, all["github"]).Exchange(t.Context(), f.env(), back()); err != nil || got != want {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// The engine's clock counts, and not the machine's.
func TestExpiryIsWhatTheProviderSays(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]time.Time{
		`3600`: now.Add(time.Hour), `"3600"`: now.Add(time.Hour), `0`: {}, `-1`: {}, `null`: {},
		`99999999999999`: now.Add(math.MaxInt32 * time.Second),
	} {
		f := answers(t, map[string]string{all["gitlab"].token: `{"access_token": "a", "expires_in": ` + in + `}`})
		if got, err := made(t, all["gitlab"]).Exchange(t.Context(), f.env(), back()); err != nil || !got.ExpiresAt.Equal(want) {
			t.Errorf("%s: %v, %v", in, got.ExpiresAt, err)
		}
	}
}

// leaks is what a provider that repeats everything would put into its answers.
const leaks = theCode + " " + verifier + " " + clientSecret + " " + accessToken + " " + refreshToken

// SS-03, SS-07, LG: whatever goes wrong at the token endpoint is an error, and no secret is in it.
func TestTokenEndpointFails(t *testing.T) {
	t.Parallel()
	huge := `{"access_token": "` + strings.Repeat("a", outbound.MaxBody) + `"}`
	for what, tt := range map[string]struct {
		status            int
		contentType, body string
		want              string // in the error
	}{
		"a code that was used":       {400, "application/json", `{"error": "invalid_grant", "error_description": "` + leaks + `"}`, "status 400: invalid_grant"},
		"an error with 200":          {200, "application/json", `{"error": "bad_verification_code", "error_description": "` + leaks + `"}`, "status 200: bad_verification_code"},
		"a form with an error":       {200, "application/x-www-form-urlencoded", "error=bad_verification_code&access_token=" + accessToken, "bad_verification_code"},
		"both an error and a token":  {200, "application/json", `{"error": "x", "access_token": "` + accessToken + `"}`, "status 200: x"},
		"an error that is no code":   {400, "application/json", `{"error": "` + leaks + `"}`, "status 400"},
		"an error that is an object": {400, "application/json", `{"error": {"message": "` + leaks + `", "code": 100}}`, "status 400"},
		"the same with 200":          {200, "application/json", `{"error": {"message": "` + leaks + `"}}`, "not one of RFC 6749"},
		"an error of the server":     {500, "text/html", "<html>" + leaks, "status 500"},
		"a page":                     {200, "text/html", "<html>" + leaks, "not one of RFC 6749"},
		"text":                       {200, "text/plain", leaks, "not one of RFC 6749"},
		"nothing":                    {200, "application/json", "", "not one of RFC 6749"},
		"null":                       {200, "application/json", "null", "not one of RFC 6749"},
		"an array":                   {200, "application/json", `["` + leaks + `"]`, "not one of RFC 6749"},
		"no token":                   {200, "application/json", `{"token_type": "bearer"}`, "not one of RFC 6749"},
		"an empty token":             {200, "application/json", `{"access_token": "", "refresh_token": "` + refreshToken + `"}`, "not one of RFC 6749"},
		"a token that is a number":   {200, "application/json", `{"access_token": 1}`, "not one of RFC 6749"},
		"a life that is a text":      {200, "application/json", `{"access_token": "a", "expires_in": "` + leaks + `"}`, "not one of RFC 6749"},
		"too much":                   {200, "application/json", huge, "not one of RFC 6749"},
		"a redirect elsewhere":       {307, "text/plain", "Location: https://evil.test/token", "redirect refused"},
		"a redirect to itself":       {302, "text/plain", "Location: ?x=y", "redirect refused"},
	} {
		for name, k := range all {
			f := serve(t, func(asked) (int, string, string) { return tt.status, tt.contentType, tt.body })
			p := made(t, k)
			got, err := p.Exchange(t.Context(), f.env(), back())
			check := func(doing string) {
				t.Helper()
				if err == nil || got != (provider.Tokens{}) {
					t.Errorf("%s: %s: %s: tokens", name, what, doing)
					return
				}
				if !strings.HasPrefix(err.Error(), "oauth: "+name+": "+doing+": ") || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%s: %s: %v", name, what, err)
				}
				withoutSecrets(t, err)
				if seen := f.requests(); len(seen) != 1 {
					t.Errorf("%s: %s: %d requests", name, what, len(seen))
				}
			}
			check("exchange the code")
			if !k.noRefresh {
				f = serve(t, func(asked) (int, string, string) { return tt.status, tt.contentType, tt.body })
				got, err = p.Refresh(t.Context(), f.env(), refreshToken)
				check("refresh")
			}
		}
	}
}

func withoutSecrets(t *testing.T, err error) {
	t.Helper()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		for _, secret := range append(strings.Fields(leaks), "the-token-secret", "the-request-secret", "://") {
			if printed := fmt.Sprintf(verb, err); strings.Contains(printed, secret) {
				t.Errorf("the error has %s: %s", secret, printed)
			}
		}
	}
}

func TestEndOfContextIsSaid(t *testing.T) {
	t.Parallel()
	reason := errors.New("enough")
	for name, k := range all {
		f := answers(t, map[string]string{k.token: `{"access_token": "a"}`})
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(reason)
		if _, err := made(t, k).Exchange(ctx, f.env(), back()); !errors.Is(err, reason) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The engine is broken if it gives no client: the default one of package http has no bounds.
func TestNobodyIsAskedWithoutClient(t *testing.T) {
	t.Parallel()
	providers := map[string]provider.Provider{"twitter": madeTwitter(t)}
	for name, k := range all {
		providers[name] = made(t, k)
	}
	for name, p := range providers {
		b := back()
		b.Secret, b.Values = "secret=s&token=t", url.Values{"code": {theCode}, "oauth_token": {"t"}, "oauth_verifier": {"v"}}
		for _, env := range []provider.Env{{}, {Now: time.Now}, {HTTP: &http.Client{Transport: forbidden{t}}}} {
			if _, err := p.Exchange(t.Context(), env, b); err == nil {
				t.Errorf("%s: exchanged", name)
			}
			if _, err := p.Profile(t.Context(), env, b, tokens()); err == nil {
				t.Errorf("%s: got a profile", name)
			}
		}
	}
}

type forbidden struct{ t *testing.T }

func (f forbidden) RoundTrip(r *http.Request) (*http.Response, error) {
	f.t.Errorf("a request to %s", r.URL.Host)
	return nil, errors.New("no")
}

// Every profile is asked for with the access token, and with nothing else that is secret.
func TestProfileIsAskedForWithTheAccessToken(t *testing.T) {
	t.Parallel()
	for name, k := range all {
		f := answers(t, k.documents(name, k.idOf(1)))
		got, err := made(t, k).Profile(t.Context(), f.env(), back(), tokens())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if want := strings.Trim(k.idOf(1), `"`); got.Subject != want || got.Email != "" || got.EmailVerified {
			t.Errorf("%s: %+v", name, got)
		}
		want := []string{k.profile}
		if k.emails != "" {
			want = append(want, k.emails)
		}
		var urls []string
		for _, a := range f.requests() {
			urls = append(urls, a.url)
			if a.method != http.MethodGet || a.header.Get("Authorization") != "Bearer "+accessToken ||
				a.header.Get("Accept") != "application/json" || a.header.Get("User-Agent") != "ostiary-auth" {
				t.Errorf("%s: %s %v", name, a.method, a.header)
			}
			if k.header != "" && a.header.Get(k.header) != "client" {
				t.Errorf("%s: %s is %q", name, k.header, a.header.Get(k.header))
			}
		}
		if diff := cmp.Diff(want, urls); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
		if _, err := made(t, k).Profile(t.Context(), f.env(), back(), provider.Tokens{}); err == nil || len(f.requests()) != len(urls) {
			t.Errorf("%s: asked without a token", name)
		}
	}
}

// W40, OA-19, OA-27: an id is exactly what it was, and what is no id is nobody.
func TestIDsAreExact(t *testing.T) {
	t.Parallel()
	numbers := map[string]string{
		`1`: "1", `9007199254740993`: "9007199254740993", `18446744073709551615`: "18446744073709551615", // above 2^53
		`9007199254740992`: "9007199254740992", `1234567`: "1234567", // which a float would print as 1.234567e+06
		`0`: "", `-1`: "", `-0`: "", `1.5`: "", `1.0`: "", `1e3`: "", `18446744073709551616`: "", `"1"`: "", `null`: "", `true`: "",
		`[1]`: "", `{}`: "", `""`: "",
	}
	texts := map[string]string{
		`"1"`: "1", `"9007199254740993"`: "9007199254740993", `"{5c8f-1}"`: "{5c8f-1}", `"Ünï"`: "Ünï", `"A"`: "A",
		`""`: "", `" "`: "", `1`: "", `0`: "", `null`: "", `true`: "", `["1"]`: "", `{}`: "", "\"\xff\"": "", `"\ud800"`: "",
	}
	for name, k := range all {
		ids := texts
		if k.idOf(1) == number(1) {
			ids = numbers
		}
		for id, want := range ids {
			f := answers(t, k.documents(name, id))
			got, err := made(t, k).Profile(t.Context(), f.env(), back(), tokens())
			if got.Subject != want || (err == nil) != (want != "") {
				t.Errorf("%s: %s is %q, %v", name, id, got.Subject, err)
			}
		}
		// OA-27: an id in a member of nearly the same name is none.
		for _, member := range []string{`"ID"`, `"Id"`, `"UUID"`, `"user_id"`} {
			d := k.documents(name, k.idOf(1))
			for at, body := range d {
				d[at] = strings.NewReplacer(`"id"`, member, `"uuid"`, member).Replace(body)
			}
			if got, err := made(t, k).Profile(t.Context(), answers(t, d).env(), back(), tokens()); err == nil {
				t.Errorf("%s: the id of %s: %+v", name, member, got)
			}
		}
	}
}

// OA-27, OA-40
func TestTwoAccountsAreTwo(t *testing.T) {
	t.Parallel()
	for name, k := range all {
		seen := map[string]bool{}
		for n := range 2 {
			got, err := made(t, k).Profile(t.Context(), answers(t, k.documents(name, k.idOf(n))).env(), back(), tokens())
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			seen[got.Subject] = true
		}
		if len(seen) != 2 {
			t.Errorf("%s: %v", name, seen)
		}
	}
}

// SS-03, SS-07, OA-19: whatever goes wrong where a profile is, or its addresses, is an error.
func TestProfileFails(t *testing.T) {
	t.Parallel()
	huge := `{"id": 1, "uuid": "1", "data": [], "x": "` + strings.Repeat("a", outbound.MaxBody) + `"}`
	for what, tt := range map[string]struct {
		status int
		body   string
		want   string // in the error
	}{
		"an error of the server": {500, leaks, "status 500"},
		"a token that is dead":   {401, `{"message": "` + leaks + `"}`, "status 401"},
		"nothing with 204":       {204, "", "status 204"},
		"created":                {201, `{"id": 1, "uuid": "1"}`, "status 201"},
		"a page":                 {200, "<html>" + leaks, "not JSON"},
		"nothing":                {200, "", "not JSON"},
		"null":                   {200, "null", "not a JSON"},
		"a text":                 {200, `"` + leaks + `"`, "not a JSON"},
		"two documents":          {200, `{"id": 1} {"id": 2}`, "one JSON value"},
		"a document cut short":   {200, `{"id": 1, "uuid": "1"`, "not JSON"},
		"deep":                   {200, strings.Repeat(`{"id":`, 20000), "not JSON"},
		"too much":               {200, huge, "too large"},
		"a redirect elsewhere":   {302, "Location: https://evil.test/user", "redirect refused"},
		"a redirect to http":     {302, "Location: http://api.github.com/user", "redirect refused"},
	} {
		for name, k := range all {
			for _, at := range []string{k.profile, k.emails} {
				if at == "" {
					continue
				}
				documents := k.documents(name, k.idOf(1))
				f := serve(t, func(a asked) (int, string, string) {
					if a.url == at {
						return tt.status, "application/json", tt.body
					}
					return 200, "application/json", documents[a.url]
				})
				got, err := made(t, k).Profile(t.Context(), f.env(), back(), tokens())
				if err == nil || got != (provider.Profile{}) {
					t.Errorf("%s: %s: %+v", name, what, got)
					continue
				}
				if !strings.HasPrefix(err.Error(), "oauth: "+name+": fetch the profile: ") ||
					!strings.Contains(err.Error(), tt.want) && !(at == k.emails && strings.Contains(err.Error(), "not a JSON")) {
					t.Errorf("%s: %s: %v", name, what, err)
				}
				withoutSecrets(t, err)
				for _, a := range f.requests() {
					if strings.Contains(a.url, "evil.test") {
						t.Errorf("%s: %s: followed", name, what)
					}
				}
			}
		}
	}
}

// SS-07: the engine's client has bounds, and without them it would not be endless either.
func TestProfileIsBoundedByItself(t *testing.T) {
	t.Parallel()
	body := &endless{left: 64 << 20}
	env := provider.Env{HTTP: &http.Client{Transport: body}, Now: func() time.Time { return now }}
	if got, err := made(t, all["gitlab"]).Profile(t.Context(), env, back(), tokens()); err == nil || !errors.Is(err, outbound.ErrTooLarge) {
		t.Errorf("%+v, %v", got, err)
	}
	if read := 64<<20 - body.left; read > outbound.MaxBody+1 {
		t.Errorf("%d bytes were read", read)
	}
}

// endless is an answer that is too long for anybody.
type endless struct{ left int }

func (e *endless) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Body: io.NopCloser(e), Request: r}, nil
}

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := min(len(p), e.left)
	e.left -= n
	return copy(p[:n], strings.Repeat(" ", n)), nil
}

// OA-37
func TestFlowsDoNotMix(t *testing.T) {
	t.Parallel()
	k := all["x"]
	p := made(t, k)
	f := serve(t, func(a asked) (int, string, string) {
		return 200, "application/json", `{"access_token": "for ` + a.form.Get("code") + a.form.Get("code_verifier") + `"}`
	})
	var wait sync.WaitGroup
	for n := range 200 {
		wait.Go(func() {
			b := back()
			b.State, b.Verifier = fmt.Sprint("state-", n), fmt.Sprintf("%043d", n)
			b.Values = url.Values{"code": {fmt.Sprint("code-", n)}}
			a, err := p.Authorize(t.Context(), f.env(), b.Request)
			if err != nil || !strings.Contains(a.URL, url.QueryEscape(b.State)) {
				t.Errorf("%d: %v, %v", n, a, err)
			}
			got, err := p.Exchange(t.Context(), f.env(), b)
			if err != nil || got.AccessToken != "for "+b.Values.Get("code")+b.Verifier {
				t.Errorf("%d: %v", n, err)
			}
		})
	}
	wait.Wait()
}

func TestMistakesInConfigAreNamed(t *testing.T) {
	t.Parallel()
	twitter := func(c oauth.Config) (provider.Provider, error) { return oauth.Twitter(oauth.TwitterConfig{Config: c}) }
	makers := map[string]func(oauth.Config) (provider.Provider, error){"twitter": twitter}
	for name, k := range all {
		makers[name] = k.make
	}
	// SS-01
	for what, tt := range map[string]struct {
		change func(*oauth.Config)
		wrong  []string
	}{
		"nothing":              {func(c *oauth.Config) { *c = oauth.Config{} }, []string{"ClientID", "ClientSecret"}},
		"no id":                {func(c *oauth.Config) { c.ClientID = "" }, []string{"ClientID"}},
		"no secret":            {func(c *oauth.Config) { c.ClientSecret = "" }, []string{"ClientSecret"}},
		"http":                 {func(c *oauth.Config) { c.TokenURL = "http://id.example/token" }, []string{"TokenURL"}},
		"file":                 {func(c *oauth.Config) { c.ProfileURL = "file:///etc/passwd" }, []string{"ProfileURL"}},
		"relative":             {func(c *oauth.Config) { c.AuthorizationURL = "/authorize" }, []string{"AuthorizationURL"}},
		"with user":            {func(c *oauth.Config) { c.TokenURL = "https://a:b@id.example" }, []string{"TokenURL"}},
		"the cloud's metadata": {func(c *oauth.Config) { c.TokenURL = "https://169.254.169.254/" }, []string{"TokenURL"}},
		"with fragment":        {func(c *oauth.Config) { c.ProfileURL = "https://id.example/#x" }, []string{"ProfileURL"}},
		"loopback":             {func(c *oauth.Config) { c.TokenURL, c.ProfileURL = "http://127.0.0.1:1/t", "http://localhost:1/p" }, nil},
	} {
		for name, make := range makers {
			c := config()
			tt.change(&c)
			p, err := make(c)
			if (err == nil) != (tt.wrong == nil) || (p == nil) != (err != nil) {
				t.Errorf("%s: %s: %v", name, what, err)
				continue
			}
			if err == nil {
				continue
			}
			for _, field := range []string{"ClientID", "ClientSecret", "AuthorizationURL", "TokenURL", "ProfileURL"} {
				if named := strings.Contains(err.Error(), "oauth: "+name+": "+field+" "); named != slices.Contains(tt.wrong, field) {
					t.Errorf("%s: %s: %v", name, what, err)
				}
			}
		}
	}
}

func TestScopesAreThoseGiven(t *testing.T) {
	t.Parallel()
	for name, k := range all {
		c := config()
		c.Scopes = []string{"", "a", " ", "b"}
		given := slices.Clone(c.Scopes)
		p, err := k.make(c)
		if err != nil {
			t.Fatal(err)
		}
		a, err := p.Authorize(t.Context(), provider.Env{}, request())
		if err != nil {
			t.Fatal(err)
		}
		want := "scope=a+b&"
		if name == "strava" {
			want = "scope=a%2Cb&"
		}
		if !strings.Contains(a.URL, want) || !slices.Equal(c.Scopes, given) {
			t.Errorf("%s: %s", name, a.URL)
		}
	}
}

// A GitHub of one's own has its addresses below its profile, and answers to no other.
func TestURLsCanBeOthers(t *testing.T) {
	t.Parallel()
	c := config()
	c.AuthorizationURL, c.TokenURL = "https://git.example/login?tenant=1", "https://git.example/token"
	c.ProfileURL = "https://git.example/api/v3/user"
	p, err := oauth.GitHub(c)
	if err != nil {
		t.Fatal(err)
	}
	a, err := p.Authorize(t.Context(), provider.Env{}, request())
	if err != nil || !strings.HasPrefix(a.URL, "https://git.example/login?tenant=1&client_id=client&") {
		t.Errorf("%s, %v", a.URL, err)
	}
	f := answers(t, map[string]string{
		"https://git.example/token":              `{"access_token": "a"}`,
		"https://git.example/api/v3/user":        `{"id": 1}`,
		"https://git.example/api/v3/user/emails": `[{"email": "a@example.com", "primary": true, "verified": true}]`,
	})
	got, err := p.Exchange(t.Context(), f.env(), back())
	if err != nil {
		t.Fatal(err)
	}
	who, err := p.Profile(t.Context(), f.env(), back(), got)
	if diff := cmp.Diff(provider.Profile{Subject: "1", Email: "a@example.com", EmailVerified: true}, who); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
}

// LG: neither a provider nor its config shows a secret, however it is printed.
func TestSecretsAreNotPrinted(t *testing.T) {
	t.Parallel()
	values := map[string]any{
		"Config": config(), "*Config": func() any { c := config(); return &c }(),
		"WorkOSConfig": oauth.WorkOSConfig{Config: config()}, "TwitterConfig": oauth.TwitterConfig{Config: config()},
		"twitter": madeTwitter(t),
	}
	for name, k := range all {
		values[name] = made(t, k)
	}
	for name, v := range values {
		var log strings.Builder
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "v", v)
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", v)
		asJSON, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		printed := log.String() + string(asJSON)
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			printed += fmt.Sprintf(verb, v)
		}
		if strings.Contains(printed, clientSecret) || strings.Contains(printed, fmt.Sprintf("%x", clientSecret)) {
			t.Errorf("%s: %s", name, printed)
		}
	}
}
