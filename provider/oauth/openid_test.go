package oauth_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/internal/idtoken/idtokentest"
	"github.com/ostiary/auth/internal/outbound"
	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/provider/oauth"
)

// issuing is a provider that issues id tokens. Its pages are at the places where the real one has them.
type issuing struct {
	web     *idtokentest.Web
	clock   *authtest.Clock
	key     *idtokentest.Key
	claims  map[string]any
	token   map[string]any // of the token endpoint, which adds an id token unless idToken is set
	profile string
}

const openIDVerifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"

func newIssuing(t testing.TB, tokenURL, jwksURL, profileURL string, claims map[string]any) *issuing {
	t.Helper()
	i := &issuing{web: idtokentest.NewWeb(), clock: authtest.NewClock(), key: idtokentest.NewKey(t, "RS256", "key-1")}
	now := i.clock.Now()
	i.claims = map[string]any{"aud": "client", "nonce": "the-nonce", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	maps.Copy(i.claims, claims)
	i.token = map[string]any{"access_token": "the-access-token", "token_type": "Bearer", "expires_in": 3600}
	i.web.JSON(jwksURL, idtokentest.Set(t, i.key.JWK()))
	i.web.Serve(tokenURL, func(w http.ResponseWriter, _ *http.Request) {
		answer := maps.Clone(i.token)
		if _, has := answer["id_token"]; !has {
			answer["id_token"] = i.key.Sign(t, i.claims)
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	})
	if profileURL != "" {
		i.web.Serve(profileURL, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer the-access-token" {
				w.WriteHeader(http.StatusUnauthorized)
			}
			_, _ = w.Write([]byte(i.profile))
		})
	}
	return i
}

func (i *issuing) env() provider.Env { return idtokentest.Env(i.web, i.clock) }

func openIDReturn() provider.Return {
	return provider.Return{
		Request: provider.Request{
			RedirectURI: "https://app.example/callback", State: "the-state", Verifier: openIDVerifier, Nonce: "the-nonce",
		},
		Values: url.Values{"code": {"the-code"}},
	}
}

// signIn goes from the code to the profile.

func (i *issuing) signIn(t testing.TB, p provider.Provider, change ...func(*provider.Return)) (provider.Profile, error) {
	t.Helper()
	b := openIDReturn()
	for _, f := range change {
		f(&b)
	}
	tokens, err := p.Exchange(t.Context(), i.env(), b)
	if err != nil {
		return provider.Profile{}, err
	}
	return p.Profile(t.Context(), i.env(), b, tokens)
}

// sent returns the one form that the token endpoint has got.

func (i *issuing) sent(t testing.TB, tokenURL string) url.Values {
	t.Helper()
	asked := i.web.Requests(tokenURL)
	if len(asked) != 1 {
		t.Fatalf("%d requests for tokens", len(asked))
	}
	return asked[0].PostForm
}

func registered() oauth.Config {
	return oauth.Config{ClientID: "client", ClientSecret: "client-secret"}
}

func wantAuthorization(t testing.TB, p provider.Provider, base string, form bool, params url.Values) {
	t.Helper()
	got, err := p.Authorize(t.Context(), provider.Env{}, openIDReturn().Request)
	if err != nil {
		t.Fatal(err)
	}
	want := url.Values{
		"client_id": {"client"}, "redirect_uri": {"https://app.example/callback"}, "response_type": {"code"},
		"state": {"the-state"}, "nonce": {"the-nonce"},
		"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"},
	}
	for name, values := range params {
		if want[name] = values; values == nil {
			delete(want, name)
		}
	}
	if diff := cmp.Diff(provider.Authorization{URL: base + "?" + want.Encode(), FormPost: form}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// wrongTokens are what makes an id token of the token endpoint wrong, one at a time (OA-16, ID-01, ID-03, ID-05, ID-06).

func wrongTokens(t testing.TB) map[string]func(*issuing) {
	stranger := idtokentest.NewKey(t, "RS256", "stranger")
	return map[string]func(*issuing){
		"forged": func(i *issuing) {
			i.token["id_token"] = stranger.SignHeader(t, map[string]any{"alg": "RS256", "kid": "key-1"}, i.claims)
		},
		"unsigned": func(i *issuing) {
			claims, _ := json.Marshal(i.claims)
			i.token["id_token"] = idtokentest.Encode([]byte(`{"alg":"none"}`)) + "." + idtokentest.Encode(claims) + "."
		},
		"of another issuer":     func(i *issuing) { i.claims["iss"] = "https://evil.example" },
		"for another client":    func(i *issuing) { i.claims["aud"] = "other" },
		"for another, too":      func(i *issuing) { i.claims["aud"], i.claims["azp"] = []string{"client", "other"}, "client" },
		"issued to another":     func(i *issuing) { i.claims["azp"] = "other" },
		"with another nonce":    func(i *issuing) { i.claims["nonce"] = "other" },
		"with the nonce hashed": func(i *issuing) { i.claims["nonce"] = fmt.Sprintf("%x", sha256.Sum256([]byte("the-nonce"))) },
		"without a nonce":       func(i *issuing) { delete(i.claims, "nonce") },
		"expired":               func(i *issuing) { i.claims["exp"] = i.clock.Now().Unix() },
		"of nobody":             func(i *issuing) { delete(i.claims, "sub") },
		"of a number":           func(i *issuing) { i.claims["sub"] = json.Number("9007199254740993") },
		"for encryption": func(i *issuing) {
			i.token["id_token"] = i.key.SignHeader(t, map[string]any{"alg": "RS256", "kid": "key-1", "typ": "at+jwt"}, i.claims)
		},
	}
}

// OA-16, OA-19, OA-27, ID-*
func TestIDTokensOfTheTokenEndpointAreChecked(t *testing.T) {
	t.Parallel()
	for name, change := range wrongTokens(t) {
		for provided, tt := range map[string]struct {
			issuing *issuing
			p       provider.Provider
		}{
			"apple": {newApple(t), apple(t)}, "google": {newGoogle(t), google(t)},
			"entraid": {newEntra(t), entra(t, "")}, "azuread": {newAzureAD(t), azureAD(t, "")},
		} {
			change(tt.issuing)
			if got, err := tt.issuing.signIn(t, tt.p); err == nil {
				t.Errorf("%s: a token that is %s: %+v", provided, name, got)
			}
		}
	}
	i := newGoogle(t)
	i.claims["sub"] = "110169484474386276335"
	if got, err := i.signIn(t, google(t)); err == nil {
		t.Errorf("the id token is about another account: %+v", got)
	}
}

// SS-03, SS-07
func TestProfilesThatCannotBeHad(t *testing.T) {
	t.Parallel()
	for name, page := range map[string]http.HandlerFunc{
		"an error": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = w.Write([]byte(`{"id":"1","sub":"1"}`))
		},
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://evil.example/", http.StatusTemporaryRedirect)
		},
		"a flood": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"id":"1","sub":"1","x":"` + strings.Repeat("x", 2<<20) + `"}`))
		},
	} {
		for at, x := range map[string]struct {
			issuing *issuing
			p       provider.Provider
		}{
			googleProfile: {newGoogle(t), google(t)}, linkedInProfile: {newLinkedIn(t), linkedIn(t)},
			entraProfile: {newEntra(t), entra(t, "")}, azureProfile: {newAzureAD(t), azureAD(t, "")},
		} {
			x.issuing.web.Serve(at, page)
			env := x.issuing.env()
			env.HTTP = outbound.Client(env.HTTP)
			got, err := x.p.Profile(t.Context(), env, openIDReturn(), provider.Tokens{AccessToken: "the-access-token"})
			if err == nil || len(err.Error()) > 300 {
				t.Errorf("%s at %s: %.300v, %.300v", name, at, got, err)
			}
			if n := len(x.issuing.web.Requests("")); n != 1 {
				t.Errorf("%s at %s: %d requests", name, at, n)
			}
		}
	}
}

// Every place of these providers can be another.
func TestOpenIDProvidersElsewhere(t *testing.T) {
	t.Parallel()
	const base = "https://idp.example"
	elsewhere := func(secret string) oauth.Config {
		c := oauth.Config{
			ClientID: "client", ClientSecret: secret, AuthorizationURL: base + "/authorize", TokenURL: base + "/token",
			ProfileURL: base + "/profile",
		}
		if secret == "" {
			c.ProfileURL = ""
		}
		return c
	}
	for name, make := range map[string]func() (provider.Provider, error){
		"apple": func() (provider.Provider, error) {
			c, _ := appleConfig(t)
			c.Config, c.Issuer, c.JWKSURL = elsewhere(""), base, base+"/keys"
			return oauth.Apple(c)
		},
		"google": func() (provider.Provider, error) {
			return oauth.Google(oauth.GoogleConfig{Config: elsewhere("s"), Issuer: base, JWKSURL: base + "/keys"})
		},
		"linkedin": func() (provider.Provider, error) { return oauth.LinkedIn(elsewhere("s")) },
		"entraid": func() (provider.Provider, error) {
			return oauth.Entra(oauth.EntraConfig{Config: elsewhere("s"), Issuer: base, JWKSURL: base + "/keys"})
		},
		"azuread": func() (provider.Provider, error) {
			return oauth.AzureAD(oauth.EntraConfig{Config: elsewhere("s"), Issuer: base, JWKSURL: base + "/keys"})
		},
	} {
		p, err := make()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		i := newIssuing(t, base+"/token", base+"/keys", base+"/profile", map[string]any{
			"iss": base, "sub": "1", "oid": "1", "tid": tenantA,
		})
		i.profile = `{"sub":"1"}`
		if got, err := i.signIn(t, p); err != nil || !strings.HasSuffix(got.Subject, "1") {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		got, err := p.Authorize(t.Context(), i.env(), openIDReturn().Request)
		if err != nil || !strings.HasPrefix(got.URL, base+"/authorize?") {
			t.Errorf("%s: %q, %v", name, got.URL, err)
		}
	}
}

// ID-04, ID-05, ID-06, ID-08
func TestIDTokensOfApps(t *testing.T) {
	t.Parallel()
	c := oauth.IDTokenConfig{Audiences: []string{"client", "android"}}
	for name, make := range map[string]struct {
		verifier func(oauth.IDTokenConfig) (provider.IDTokenVerifier, error)
		issuing  func(testing.TB) *issuing
	}{"apple": {oauth.AppleIDTokens, newApple}, "google": {oauth.GoogleIDTokens, newGoogle}} {
		v, err := make.verifier(c)
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			name   string
			change map[string]any
			nonce  string
			ok     bool
		}{
			{"as it is", nil, "the-nonce", true},
			{"for an app, issued to another of the service's", map[string]any{"azp": "android"}, "the-nonce", true},
			{"for two apps", map[string]any{"aud": []string{"client", "android"}, "azp": "android"}, "the-nonce", true},
			{"for another service", map[string]any{"aud": "other"}, "the-nonce", false},
			{"issued to another service", map[string]any{"azp": "other"}, "the-nonce", false},
			{"with the nonce hashed", map[string]any{"nonce": fmt.Sprintf("%x", sha256.Sum256([]byte("the-nonce")))}, "the-nonce", true},
			{"with a nonce that is not given", nil, "", false},
			{"with another nonce", nil, "other", false},
			{"without a nonce", map[string]any{"nonce": nil}, "", true},
			{"without the nonce that is given", map[string]any{"nonce": nil}, "the-nonce", false},
			{"of another issuer", map[string]any{"iss": "https://evil.example"}, "the-nonce", false},
			{"of a page that looks like the issuer", map[string]any{"iss": "http://accounts.google.com"}, "the-nonce", false},
			{"of the other name of the issuer", map[string]any{"iss": "accounts.google.com"}, "the-nonce", name == "google"},
		} {
			i := make.issuing(t)
			maps.Copy(i.claims, tt.change)
			maps.DeleteFunc(i.claims, func(_ string, v any) bool { return v == nil })
			got, err := v.VerifyIDToken(t.Context(), i.env(), i.key.Sign(t, i.claims), tt.nonce)
			if (err == nil) != tt.ok || tt.ok && got.Subject != i.claims["sub"] {
				t.Errorf("%s: %s: %+v, %v", name, tt.name, got, err)
			}
		}
		for wrong, config := range map[string]oauth.IDTokenConfig{
			"no audience":       {},
			"an empty audience": {Audiences: []string{"client", ""}},
			"JWKSURL":           {Audiences: []string{"client"}, JWKSURL: "http://idp.example"},
		} {
			if v, err := make.verifier(config); err == nil || v != nil {
				t.Errorf("%s: %s: %v", name, wrong, v)
			}
		}
		if s := fmt.Sprintf("%+v", v); s != "oauth."+name {
			t.Errorf("%s is printed as %q", name, s)
		}
	}
	v, err := oauth.GoogleIDTokens(oauth.IDTokenConfig{
		Audiences: []string{"client"}, Issuer: "https://idp.example", JWKSURL: "https://idp.example/keys",
	})
	if err != nil {
		t.Fatal(err)
	}
	i := newIssuing(t, "https://idp.example/token", "https://idp.example/keys", "", map[string]any{"iss": "https://idp.example", "sub": "1"})
	if _, err := v.VerifyIDToken(t.Context(), i.env(), i.key.Sign(t, i.claims), "the-nonce"); err != nil {
		t.Errorf("elsewhere: %v", err)
	}
}

// Nothing that these providers say of what went wrong has a secret in it.
func TestOpenIDErrorsHaveNoSecrets(t *testing.T) {
	t.Parallel()
	i := newApple(t)
	i.web.Serve(appleToken, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprintf(w, `{"error":"invalid_client","error_description":%q}`, r.PostForm.Encode())
	})
	_, err := i.signIn(t, apple(t))
	if err == nil || !strings.Contains(err.Error(), "invalid_client") {
		t.Fatal(err)
	}
	for _, s := range []string{"the-code", openIDVerifier, i.sent(t, appleToken).Get("client_secret")} {
		if strings.Contains(err.Error(), s) {
			t.Errorf("the error has %q in it", s)
		}
	}
}
