package auth_test

import (
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/authtest/fakeidp"
	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/provider/oauth"
	"github.com/ostiary/auth/provider/oidc"
)

// canary is a server that nobody is to talk to.
type canary struct {
	*httptest.Server
	calls atomic.Int64
}

// newCanary returns a canary. A request to it fails the test at its end.
func newCanary(t *testing.T) *canary {
	t.Helper()
	c := &canary{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c.calls.Add(1)
		_, _ = io.WriteString(w, "{}")
	}))
	t.Cleanup(func() {
		c.Close()
		if n := c.calls.Load(); n > 0 {
			t.Errorf("%d requests to somebody who was not meant", n)
		}
	})
	return c
}

// RoundTrip leads to the canary, whatever host is asked for. It is what an IdP's transport does with requests to others.
func (c *canary) RoundTrip(r *http.Request) (*http.Response, error) {
	to, err := url.Parse(c.URL)
	if err != nil {
		return nil, err
	}
	there := r.Clone(r.Context())
	there.URL.Scheme, there.URL.Host = to.Scheme, to.Host
	return http.DefaultTransport.RoundTrip(there)
}

// tampering changes what a provider is told of a visit when it ends.
type tampering struct {
	provider.Provider
	change func(*provider.Return)
}

func (p tampering) Exchange(ctx context.Context, env provider.Env, r provider.Return) (provider.Tokens, error) {
	p.change(&r)
	return p.Provider.Exchange(ctx, env, r)
}

// altered returns a URL with other parameters; the empty value takes one out.
func altered(t *testing.T, from string, params map[string]string) string {
	t.Helper()
	u, err := url.Parse(from)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	for name, value := range params {
		q.Set(name, value)
		if value == "" {
			q.Del(name)
		}
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// parameter is one of the query of a URL.
func parameter(t *testing.T, from, name string) string {
	t.Helper()
	u, err := url.Parse(from)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get(name)
}

// OA-15, W19: a code is good with the verifier of its own visit, and nobody goes on without one.
func TestACodeIsGoodWithItsVerifierAlone(t *testing.T) {
	t.Parallel()
	everywhere(t, func(w *wellKnown) bool { return !w.version1 }, func(t *testing.T, a *abroad) {
		who := a.account(1, "", nil)
		for what, change := range map[string]func(*provider.Return){
			"no verifier":      func(r *provider.Return) { r.Verifier = "" },
			"a short verifier": func(r *provider.Return) { r.Verifier = r.Verifier[:42] },
			"another verifier": func(r *provider.Return) { r.Verifier = strings.Repeat("v", 43) },
		} {
			v := a.engine(t, func(c *auth.Config) { c.Providers[a.name] = tampering{a.provider, change} })
			sent := len(a.idp.Requests(fakeidp.Token))
			r, err := v.visit(t, who)
			if a.noPKCE && what == "another verifier" {
				continue // which it never sees
			}
			if !errors.Is(err, auth.ErrOAuthTokenExchangeFailed) || r.Session != nil {
				t.Errorf("%s: %v", what, err)
			}
			if n := len(a.idp.Requests(fakeidp.Token)) - sent; what != "another verifier" && n != 0 {
				t.Errorf("%s: the code was sent all the same", what)
			}
		}
		if a.noPKCE {
			return
		}

		v := a.engine(t)
		for what, params := range map[string]map[string]string{
			"without a challenge":      {"code_challenge": "", "code_challenge_method": ""},
			"with a plain challenge":   {"code_challenge_method": "plain"},
			"with no kind of method":   {"code_challenge_method": ""},
			"with a challenge cut off": {"code_challenge": "x"},
		} {
			start := v.start(t)
			r, err := v.finish(t, start, a.idp.Visit(t, altered(t, start.URL, params), who).Values())
			if !errors.Is(err, auth.ErrOAuthProviderError) || r.Session != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		// Where the provider does not insist on a challenge: somebody took it away, or put in their own.
		lax := a.client
		lax.RequirePKCE = false
		a.idp.Client(lax)
		for what, params := range map[string]map[string]string{
			"with the challenge taken away": {"code_challenge": "", "code_challenge_method": ""},
			"with another challenge":        {"code_challenge": challengeFor(verifier)},
		} {
			start := v.start(t)
			r, err := v.finish(t, start, a.idp.Visit(t, altered(t, start.URL, params), who).Values())
			if !errors.Is(err, auth.ErrOAuthTokenExchangeFailed) || r.Session != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		// RFC 9700 §4.5: the code of one visit in another.
		mallorys, mine := v.start(t), v.start(t)
		values := a.idp.Visit(t, mallorys.URL, who).Values()
		values.Set("state", mine.State)
		if r, err := v.finish(t, mine, values); !errors.Is(err, auth.ErrOAuthTokenExchangeFailed) || r.Session != nil {
			t.Errorf("an injected code: %v", err)
		}
		if n := userCount(t, v.Store); n != 0 {
			t.Errorf("%d users by now", n)
		}

		seen := map[string]bool{}
		for range 3 {
			start := v.start(t)
			challenge := parameter(t, start.URL, "code_challenge")
			if _, err := v.finish(t, start, a.idp.Visit(t, start.URL, who).Values()); err != nil {
				t.Fatal(err)
			}
			asked := a.idp.Requests(fakeidp.Token)
			sum := sha256.Sum256([]byte(asked[len(asked)-1].Form.Get("code_verifier")))
			if base64.RawURLEncoding.EncodeToString(sum[:]) != challenge || seen[challenge] || parameter(t, start.URL, "code_challenge_method") != "S256" {
				t.Errorf("the challenge is %s, which was seen before: %v", challenge, seen[challenge])
			}
			seen[challenge] = true
		}
	})
}

// hasIDTokens is whether who comes from a provider is known by an id token.
func hasIDTokens(w *wellKnown) bool {
	return slices.Contains([]*wellKnown{
		wellKnowns["apple"], wellKnowns["azuread"], wellKnowns["entraid"], wellKnowns["google"], wellKnowns["openid"],
	}, w)
}

// OA-16, OA-30, ID-01, ID-03, ID-05, ID-06, ID-09, W19: the id token of the token endpoint is of this provider, for this client, this
// visit and this access token, or nobody comes in.
func TestTheIDTokenIsOfThisVisit(t *testing.T) {
	t.Parallel()
	everywhere(t, hasIDTokens, func(t *testing.T, a *abroad) {
		c := newCanary(t)
		v := a.engine(t)
		who := a.account(1, "v@example.com", a.flagged())
		var last string // the id token that was issued last
		record := fakeidp.FaultAnswer(func(answer map[string]any) { last, _ = answer["id_token"].(string) })
		set := func(name string, value any) func(*fakeidp.IDToken) {
			return func(token *fakeidp.IDToken) { token.Header[name] = value }
		}
		lies := map[string][]func(*fakeidp.IDToken){
			"no nonce": {fakeidp.LieNoNonce}, "another nonce": {fakeidp.LieWrongNonce}, "a list of nonces": {fakeidp.Claim("nonce", []string{"x"})},
			"an empty nonce": {fakeidp.Claim("nonce", "")},
			"another hash":   {fakeidp.LieWrongHash}, "another issuer": {fakeidp.LieOtherIssuer}, "no issuer": {fakeidp.Without("iss")},
			"another client": {fakeidp.LieWrongAudience}, "another client, too": {fakeidp.LieExtraAudience}, "no client": {fakeidp.Without("aud")},
			"issued to another": {fakeidp.LieWrongAZP}, "expired": {fakeidp.LieExpired}, "without end": {fakeidp.Without("exp")},
			"of the future": {fakeidp.LieNotYetIssued}, "alg none": {fakeidp.LieAlgNone}, "HS256": {fakeidp.LieSignedWithPublicKey},
			"another key": {fakeidp.LieWrongKey}, "an unknown key": {fakeidp.LieUnknownKeyName}, "of nobody": {fakeidp.LieNoSubject, fakeidp.Without("oid")},
			"of a number": {fakeidp.LieNumericSubject, fakeidp.Claim("oid", 1)},
			"a key elsewhere": {
				set("jku", c.URL+"/jwks"), set("x5u", c.URL+"/cert"), set("kid", c.URL), fakeidp.LieWrongKey,
				fakeidp.Claim("iss", c.URL),
			}, // SS-04
			"an access token": {set("typ", "at+jwt")},
		}
		for what, lie := range lies {
			a.idp.LieOnce(lie...)
			if r, err := v.visit(t, who); !errors.Is(err, auth.ErrOAuthProfileFetchFailed) || r.Session != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		a.idp.Break(fakeidp.Token, record)
		start := v.start(t)
		a.idp.Visit(t, start.URL, who)
		if r, err := v.visit(t, a.account(2, "", nil)); err != nil || r.Session == nil || last == "" {
			t.Fatalf("an honest one: %v", err)
		}
		a.idp.Mend()
		for what, token := range map[string]any{"of an earlier visit": last, "none of it": "", "a number": 1} {
			a.idp.Break(fakeidp.Token, fakeidp.FaultAnswer(func(answer map[string]any) { answer["id_token"] = token }))
			r, err := v.visit(t, who)
			a.idp.Mend()
			// Google and Microsoft have a profile as well, which is asked if there is no id token.
			if token != last && slices.Contains([]string{"google", "azuread", "entraid"}, a.name) {
				continue
			}
			want := auth.ErrOAuthProfileFetchFailed
			if token != last && a.name == "openid" {
				want = auth.ErrOAuthTokenExchangeFailed
			}
			if !errors.Is(err, want) || r.Session != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		if want := map[bool]int{true: 2, false: 1}[a.name == "google"]; userCount(t, v.Store) != want {
			t.Errorf("%d users by now, want %d", userCount(t, v.Store), want)
		}
	})
}

// OA-17, RFC 9207 §2.4: a code that another provider made is sent to nobody.
func TestACallbackOfAnotherIssuer(t *testing.T) {
	t.Parallel()
	everywhere(t, func(w *wellKnown) bool { return w == wellKnowns["google"] || w == wellKnowns["openid"] }, func(t *testing.T, a *abroad) {
		v := a.engine(t)
		who := a.account(1, "", nil)
		for what, iss := range map[string]string{
			"another": "https://evil.example", "with a slash": a.idp.Issuer() + "/", "in capitals": strings.ToUpper(a.idp.Issuer()), "empty": "",
			"none": "none",
		} {
			a.idp.BreakOnce(fakeidp.Authorization, fakeidp.FaultCallback(func(values url.Values) {
				values.Set("iss", iss)
				if iss == "none" {
					values.Del("iss")
				}
			}))
			sent := len(a.idp.Requests(fakeidp.Token))
			r, err := v.visit(t, who)
			if iss == "none" && a.name == "google" { // which does not promise it
				if err != nil {
					t.Errorf("%s: %v", what, err)
				}
				continue
			}
			if !errors.Is(err, auth.ErrOAuthTokenExchangeFailed) || r.Session != nil || len(a.idp.Requests(fakeidp.Token)) != sent {
				t.Errorf("%s: %v, and the code was sent: %v", what, err, len(a.idp.Requests(fakeidp.Token)) != sent)
			}
		}
		v.in(t, who)
	})
}

// OA-19: userinfo is about the subject of the id token, and ids are exact.
func TestProfilesAreOfWhoCame(t *testing.T) {
	t.Parallel()
	a := newAbroad(t, "openid", nil)
	v := a.engine(t)
	who := a.account(1, "v@example.com", true)
	a.idp.Lie(fakeidp.Without("email", "email_verified"))
	for what, fault := range map[string]fakeidp.Fault{
		"another subject": fakeidp.FaultOtherSubject(),
		"no subject":      fakeidp.FaultAnswer(func(answer map[string]any) { delete(answer, "sub") }),
		"a number":        fakeidp.FaultAnswer(func(answer map[string]any) { answer["sub"] = 1 }),
		"a list":          fakeidp.FaultBody(200, "application/json", `[{"sub":"id-1"}]`),
		"null":            fakeidp.FaultBody(200, "application/json", `null`),
		"twice":           fakeidp.FaultBody(200, "application/json", `{"sub":"id-1","sub":"id-2","email":"v@example.com","email_verified":true}`),
	} {
		a.idp.BreakOnce(fakeidp.Userinfo, fault)
		if r, err := v.visit(t, who); !errors.Is(err, auth.ErrOAuthProfileFetchFailed) || r.Session != nil {
			t.Errorf("userinfo of %s: %v", what, err)
		}
	}
	if in := v.in(t, who); in.User.Email != "v@example.com" || !in.User.EmailVerified {
		t.Errorf("the address of userinfo: %q", in.User.Email)
	}

	google := newAbroad(t, "google", nil)
	v = google.engine(t)
	other := google.account(1, "v@example.com", true)
	other.Extra["id"] = "id-2"
	google.idp.Account(other)
	if r, err := v.visit(t, other); !errors.Is(err, auth.ErrOAuthProfileFetchFailed) || r.Session != nil {
		t.Errorf("the profile and the id token are about two people: %v", err)
	}

	for _, name := range []string{"github", "gitlab", "strava"} {
		a := newAbroad(t, name, nil)
		v := a.engine(t)
		seen := map[string]bool{}
		for _, id := range []string{"9007199254740992", "9007199254740993", "18446744073709551615", "1"} {
			who := a.idp.Account(fakeidp.Account{Subject: id})
			seen[v.in(t, who).User.ID.String()] = true
			if v.ownerOf(t, id).String() == "" || v.ownerOf(t, id) != v.in(t, who).User.ID {
				t.Errorf("%s: %s is %s", name, id, v.ownerOf(t, id))
			}
		}
		if len(seen) != 4 {
			t.Errorf("%s: %d users", name, len(seen))
		}
		for _, id := range []string{"0", "-1", "1.0", "1e3", "18446744073709551616"} {
			nobody := a.account(9, "", nil)
			nobody.Extra["id"] = json.RawMessage(id)
			a.idp.Account(nobody)
			if r, err := v.visit(t, nobody); !errors.Is(err, auth.ErrOAuthProfileFetchFailed) || r.Session != nil {
				t.Errorf("%s: the id %s: %v", name, id, err)
			}
		}
	}
}

// OA-23: what is no address is none, verified or not, and two without one are two.
func TestAddressesThatAreNone(t *testing.T) {
	t.Parallel()
	a := newAbroad(t, "discord", nil)
	v := a.engine(t)
	victim := v.SignUp(t, "v@example.com").User.ID
	sent := len(v.Mailbox.All())
	n := 0
	for what, email := range map[string]any{
		"nothing": "", "null": nil, "a list": []string{"v@example.com"}, "an object": map[string]any{"v@example.com": true}, "two at signs": "v@example.com@x.test",
		"a line break": "v@example.com\r\nBcc: m@x.test", "two addresses": "v@example.com, m@x.test", "a name": "V <v@example.com>",
		"a NUL": "v@example.com\x00@x.test", "without an end": strings.Repeat("v", 2000) + "@example.com", "an address of itself": "@", "a number": 1,
	} {
		for range 2 {
			n++
			who := a.account(n, "", true)
			who.Extra["email"] = email
			a.idp.Account(who)
			r, err := v.visit(t, who)
			if err != nil || r.Session == nil || r.Session.User.ID == victim || r.Session.User.Email != "" || r.Session.User.EmailVerified {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
	if got := userCount(t, v.Store); got != n+1 {
		t.Errorf("%d users, want %d", got, n+1)
	}
	if got := len(v.Mailbox.All()) - sent; got != 0 {
		t.Errorf("%d letters", got)
	}
}

// OA-24, W3: names for signing in and addresses for show prove nothing, and an account of a tenant is none of another's.
func TestAddressesThatProveNothing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, member string
		want         error // nil: it is no address
	}{
		{"azuread", "upn", auth.ErrEmailAlreadyInUse},
		{"azuread", "preferred_username", auth.ErrEmailAlreadyInUse},
		{"azuread", "unique_name", nil},
		{"entraid", "upn", nil},
		{"entraid", "preferred_username", nil},
		{"github", "email", nil},
		{"gitlab", "public_email", nil},
		{"gitlab", "commit_email", nil},
		{"x", "email", nil},
		{"strava", "email", nil},
	} {
		t.Run(tt.name+" "+tt.member, func(t *testing.T) {
			t.Parallel()
			a := newAbroad(t, tt.name, nil)
			v := a.engine(t)
			victim := v.SignUp(t, "v@example.com").User.ID
			who := a.account(1, "", a.flagged())
			who.Extra[tt.member] = "v@example.com"
			a.idp.Account(who)
			r, err := v.visit(t, who)
			if !errors.Is(err, tt.want) || v.owner(t, who) == victim || r.Session != nil && (r.Session.User.ID == victim || r.Session.User.Email != "") {
				t.Errorf("%v, and they are %s", err, v.owner(t, who))
			}
		})
	}
	for _, name := range []string{"azuread", "entraid"} {
		t.Run(name+" tenants", func(t *testing.T) {
			t.Parallel()
			a := newAbroad(t, name, nil)
			v := a.engine(t)
			here := v.in(t, a.account(1, "", nil))
			there := a.account(1, "", nil)
			there.Extra["tid"] = theirTenant
			ours, _ := there.Extra["iss"].(string)
			there.Extra["iss"] = strings.Replace(cmp.Or(ours, a.issuer), ourTenant, theirTenant, 1)
			a.idp.Account(there)
			if in := v.in(t, there); in.User.ID == here.User.ID {
				t.Error("an account of another tenant comes in")
			}
			for what, tid := range map[string]any{"the issuer of another": ourTenant, "none": nil, "a list": []string{theirTenant}} {
				there.Extra["tid"] = tid
				a.idp.Account(there)
				if r, err := v.visit(t, there); !errors.Is(err, auth.ErrOAuthProfileFetchFailed) || r.Session != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}

// OA-25: what a profile brings is bounded, and no role or anything else of the service's comes with it.
func TestProfilesBringNothingButAName(t *testing.T) {
	t.Parallel()
	everywhere(t, func(w *wellKnown) bool {
		return w == wellKnowns["discord"] || w == wellKnowns["openid"] || w == wellKnowns["google"] || w == wellKnowns["workos"]
	}, func(t *testing.T, a *abroad) {
		v := a.engine(t)
		who := a.account(1, "", nil)
		html := "<script>alert(1)</script>\r\nBcc: v@example.com"
		maps.Copy(who.Extra, map[string]any{
			"roles": []string{"admin"}, "role": "admin", "allowedRoles": []string{"admin"}, "defaultRole": "admin", "groups": []string{"admin"}, "isAnonymous": true,
			"https://hasura.io/jwt/claims": map[string]any{"x-hasura-default-role": "admin", "x-hasura-allowed-roles": []string{"admin"}}, "metadata": map[string]any{"a": 1},
			"name": html, "global_name": html, "first_name": html, "picture": "javascript:alert(1)", "avatar": "../../x", "phone_number": "+41791234567", "phone_number_verified": true,
		})
		a.idp.Account(who)
		u := v.in(t, who).User
		if u.DefaultRole != "user" || !slices.Equal(u.Roles, []string{"me", "user"}) || len(u.Metadata) > 0 || u.PhoneNumber != "" || u.IsAnonymous {
			t.Errorf("%s", asJSON(u))
		}
		if strings.ContainsAny(u.DisplayName, "()/:@\r\n") || len(u.DisplayName) > 32 || u.AvatarURL != "" && !strings.HasPrefix(u.AvatarURL, "https://cdn.discordapp.com/avatars/") {
			t.Errorf("%q, %q", u.DisplayName, u.AvatarURL)
		}
		for member, size := range map[string]int{"name": 40 << 10, "global_name": 40 << 10, "first_name": 40 << 10} {
			long := a.account(2, "", nil)
			long.Extra[member] = strings.Repeat("a", size)
			a.idp.Account(long)
			if r, err := v.visit(t, long); err == nil && len(r.Session.User.DisplayName) > 32 {
				t.Errorf("%s: a name of %d bytes", member, len(r.Session.User.DisplayName))
			}
		}
		huge := a.account(3, "", nil)
		huge.Extra["email"] = strings.Repeat("a", 1<<20) + "@example.com"
		a.idp.Account(huge)
		if r, err := v.visit(t, huge); err == nil || r.Session != nil {
			t.Errorf("an answer of more than 1 MiB: %v", err)
		}
	})
}

// OA-30, OA-22, W27: who comes from Apple is who the id token of the token endpoint says. The browser's form is good for a name.
func TestAppleBelievesNoBrowser(t *testing.T) {
	t.Parallel()
	a := newAbroad(t, "apple", nil)
	v := a.engine(t)
	victim := v.SignUp(t, "v@example.com")
	victims := a.account(7, "v@example.com", "true")
	if err := v.link(t, v.Principal(t, victim), victims); err != nil {
		t.Fatal(err)
	}
	mallory := a.account(8, "m@example.com", "true")
	mallory.Name = "Mallory Miller"
	a.idp.Account(mallory)
	begin := func() (*auth.ProviderStart, url.Values) {
		start := v.start(t)
		if !start.FormPost {
			t.Error("the browser is not said to come back with a form")
		}
		return start, a.idp.Visit(t, start.URL, mallory).Values()
	}
	start, form := begin()
	if form.Get("user") == "" || form.Get("id_token") != "" {
		t.Errorf("the form is %v", form)
	}
	form.Set("user", `{"name":{"firstName":"Ada","lastName":"Lovelace"},"email":"v@example.com","sub":"id-7","email_verified":true}`)
	form.Set("id_token", a.idp.IDToken(t, victims, fakeidp.Claim("nonce", parameter(t, start.URL, "nonce"))))
	r, err := v.finish(t, start, form)
	if err != nil {
		t.Fatal(err)
	}
	if u := r.Session.User; u.ID == victim.User.ID || u.Email != "m@example.com" || !u.EmailVerified || u.DisplayName != "Ada Lovelace" {
		t.Errorf("who comes is %s", asJSON(u))
	}
	for what, user := range map[string]string{
		"a name that is long": `{"name":{"firstName":"` + strings.Repeat("a", 3000) + `"}}`, "no JSON": `{`, "a list": `[]`,
		"no end": strings.Repeat("[", 100_000), "null": `null`, "HTML": `{"name":{"firstName":"<b>"}}`,
	} {
		start, form := begin()
		form.Set("user", user)
		if again, err := v.finish(t, start, form); err != nil || again.Session.User.ID != r.Session.User.ID || again.Session.User.DisplayName != "Ada Lovelace" {
			t.Errorf("%s: %v", what, err)
		}
	}
	// An id token that somebody else's code has got.
	var stolen string
	a.idp.Break(fakeidp.Token, fakeidp.FaultAnswer(func(answer map[string]any) { stolen, _ = answer["id_token"].(string) }))
	v.in(t, victims)
	a.idp.Mend()
	a.idp.BreakOnce(fakeidp.Token, fakeidp.FaultAnswer(func(answer map[string]any) { answer["id_token"] = stolen }))
	if r, err := v.visit(t, mallory); !errors.Is(err, auth.ErrOAuthProfileFetchFailed) || r.Session != nil {
		t.Errorf("the id token of another code: %v", err)
	}
	a.idp.LieOnce(func(token *fakeidp.IDToken) { token.Claims["sub"] = victims.Subject }, fakeidp.LieWrongKey)
	if r, err := v.visit(t, mallory); !errors.Is(err, auth.ErrOAuthProfileFetchFailed) || r.Session != nil {
		t.Errorf("an id token that Apple has not signed: %v", err)
	}
}

// OA-37, W20: two hundred at the same moment, at five providers, and each comes in as themselves.
func TestVisitsDoNotMix(t *testing.T) {
	t.Parallel()
	names := []string{"twitter", "github", "google", "openid", "x"}
	at := together(t, names)
	e := at["x"].Engine
	who := make([]fakeidp.Account, 200)
	for i := range who {
		who[i] = at[names[i%5]].account(i, "", nil)
	}
	var mu sync.Mutex
	states, users := map[string]int{}, map[string]int{}
	atOnce(len(who), func(i int) {
		v := at[names[i%5]]
		start, err := e.StartProvider(background, auth.StartProviderParams{Provider: v.name, State: fmt.Sprint("mine ", i)})
		if err != nil {
			t.Error(err)
			return
		}
		values := v.idp.Visit(t, start.URL, who[i]).Values()
		if values.Get("state") != start.State {
			t.Errorf("%d: another's state came back", i)
		}
		r, err := e.FinishProvider(background, auth.FinishProviderParams{Provider: v.name, Binding: start.Binding, Values: values})
		if err != nil || r.Session == nil {
			t.Errorf("%d at %s: %v", i, v.name, err)
			return
		}
		if r.State != fmt.Sprint("mine ", i) || v.owner(t, who[i]) != r.Session.User.ID {
			t.Errorf("%d at %s comes in with %q as %s", i, v.name, r.State, r.Session.User.ID)
		}
		mu.Lock()
		defer mu.Unlock()
		states[start.State]++
		users[r.Session.User.ID.String()]++
	})
	if len(states) != len(who) || len(users) != len(who) {
		t.Errorf("%d states and %d users of %d", len(states), len(users), len(who))
	}
}

// OA-41, W20: a request token belongs to one visit, and a verifier to one request token.
func TestTwitterRequestTokens(t *testing.T) {
	t.Parallel()
	a := newAbroad(t, "twitter", nil)
	v := a.engine(t)
	one, two := a.account(1, "", nil), a.account(2, "", nil)
	for what, tt := range map[string]struct {
		change func(mine, theirs url.Values)
		want   error
	}{
		"the token of another visit": {func(mine, theirs url.Values) { mine.Set("oauth_token", theirs.Get("oauth_token")) }, auth.ErrOAuthTokenExchangeFailed},
		"the token and the verifier of another": {func(mine, theirs url.Values) {
			mine["oauth_token"], mine["oauth_verifier"] = theirs["oauth_token"], theirs["oauth_verifier"]
		}, auth.ErrOAuthTokenExchangeFailed},
		"the verifier of another visit": {func(mine, theirs url.Values) { mine.Set("oauth_verifier", theirs.Get("oauth_verifier")) }, auth.ErrOAuthTokenExchangeFailed},
		"no token":                      {func(mine, _ url.Values) { mine.Del("oauth_token") }, auth.ErrOAuthTokenExchangeFailed},
		"no verifier":                   {func(mine, _ url.Values) { mine.Del("oauth_verifier") }, auth.ErrOAuthTokenExchangeFailed},
		"a verifier twice":              {func(mine, theirs url.Values) { mine.Add("oauth_verifier", theirs.Get("oauth_verifier")) }, auth.ErrInvalidRequest},
		"the same verifier twice":       {func(mine, _ url.Values) { mine.Add("oauth_verifier", mine.Get("oauth_verifier")) }, auth.ErrInvalidRequest},
		"a token twice":                 {func(mine, theirs url.Values) { mine.Add("oauth_token", theirs.Get("oauth_token")) }, auth.ErrInvalidRequest},
		"the state of another visit":    {func(mine, theirs url.Values) { mine.Set("state", theirs.Get("state")) }, auth.ErrInvalidState},
		"no state":                      {func(mine, _ url.Values) { mine.Del("state") }, auth.ErrInvalidState},
		"all of another visit, in another browser": {func(mine, theirs url.Values) { clear(mine); maps.Copy(mine, theirs) }, auth.ErrInvalidState},
	} {
		mine, theirs := v.start(t), v.start(t)
		values, others := a.idp.Visit(t, mine.URL, one).Values(), a.idp.Visit(t, theirs.URL, two).Values()
		tt.change(values, others)
		if r, err := v.finish(t, mine, values); !errors.Is(err, tt.want) || r.Session != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, amend := range map[string]func(url.Values){
		"not confirmed": func(answer url.Values) { answer.Del("oauth_callback_confirmed") },
		"refused":       func(answer url.Values) { answer.Set("oauth_callback_confirmed", "false") },
		"no secret":     func(answer url.Values) { answer.Del("oauth_token_secret") },
		"no token":      func(answer url.Values) { answer.Del("oauth_token") },
	} {
		a.idp.BreakOnce(fakeidp.RequestToken, fakeidp.FaultForm(amend))
		if start, err := v.StartProvider(t.Context(), auth.StartProviderParams{Provider: "twitter"}); !errors.Is(err, auth.ErrInternal) || start != nil {
			t.Errorf("a request token that is %s: %v", what, err)
		}
	}
	start := v.start(t)
	values := a.idp.Visit(t, start.URL, one).Values()
	for i, want := range []error{nil, auth.ErrInvalidState} {
		if _, err := v.finish(t, start, values); !errors.Is(err, want) {
			t.Errorf("time %d: %v", i, err)
		}
	}
	if n := userCount(t, v.Store); n != 1 {
		t.Errorf("%d users", n)
	}
}

// endpoints are what the engine asks of a provider while somebody comes from it, and what comes of it if one fails.
func (a *abroad) endpoints() map[string]error {
	ends := map[string]error{fakeidp.Token: auth.ErrOAuthTokenExchangeFailed}
	switch {
	case a.version1:
		ends = map[string]error{fakeidp.RequestToken: auth.ErrInternal, fakeidp.AccessToken: auth.ErrOAuthTokenExchangeFailed}
	case a.name == "openid":
		ends[fakeidp.Discovery], ends[fakeidp.Userinfo] = auth.ErrInternal, auth.ErrOAuthProfileFetchFailed
	}
	if hasIDTokens(a.wellKnown) {
		ends[fakeidp.Keys] = auth.ErrOAuthProfileFetchFailed
	}
	for path := range a.profiles {
		ends[path] = auth.ErrOAuthProfileFetchFailed
	}
	return ends
}

// fails expects that nobody comes in while an endpoint has a fault: with a provider that has not been asked for anything yet.
func (a *abroad) fails(t *testing.T, path string, want error, fault func(cancel context.CancelFunc) fakeidp.Fault) {
	t.Helper()
	fresh, err := a.make(oauth.Config{ClientID: a.client.ID, ClientSecret: a.client.Secret}, a.idp)
	if err != nil {
		t.Fatal(err)
	}
	v := a.engine(t, func(c *auth.Config) { c.Providers[a.name] = fresh })
	who := a.account(1, "", nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	a.idp.Lie(fakeidp.Without("email")) // so that userinfo is asked
	a.idp.Break(path, fault(cancel))
	defer a.idp.Mend()
	start, err := v.StartProvider(ctx, auth.StartProviderParams{Provider: a.name})
	if err != nil {
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
		return
	}
	callback := a.idp.Visit(t, start.URL, who)
	r, err := v.FinishProvider(ctx, auth.FinishProviderParams{Provider: a.name, Binding: start.Binding, Values: callback.Values()})
	if !errors.Is(err, want) || r.Session != nil || userCount(t, v.Store) != 0 {
		t.Errorf("%s: %v, want %v", path, err, want)
	}
}

// SS-03: whoever is sent elsewhere does not go there, with or without what it carries.
func TestNoEndpointSendsTheEngineElsewhere(t *testing.T) {
	t.Parallel()
	for name := range wellKnowns {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCanary(t)
			a := newAbroad(t, name, c)
			for path, want := range a.endpoints() {
				for _, to := range []string{c.URL + path, "https://evil.example/", "http://169.254.169.254/latest/meta-data/", "//evil.example", "file:///etc/passwd"} {
					a.fails(t, path, want, func(context.CancelFunc) fakeidp.Fault { return fakeidp.FaultRedirect(to) })
				}
			}
		})
	}
}

// endless is an answer that does not end.
func endless(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	spaces := []byte(strings.Repeat(" ", 64<<10))
	for {
		if _, err := w.Write(spaces); err != nil {
			return
		}
	}
}

// bomb is an answer that is small on its way.
func bomb(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Encoding", "gzip")
	z := gzip.NewWriter(w)
	spaces := make([]byte, 64<<10)
	for range 512 {
		if _, err := z.Write(spaces); err != nil {
			return
		}
	}
	_ = z.Close()
}

// SS-07, ID-14: an answer that does not end, or that never comes, ends the visit and nothing else.
func TestNoEndpointHoldsTheEngineUp(t *testing.T) {
	t.Parallel()
	instead := func(answer func(http.ResponseWriter)) func(context.CancelFunc) fakeidp.Fault {
		return func(context.CancelFunc) fakeidp.Fault {
			return fakeidp.FaultHandler(func(http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w) })
			})
		}
	}
	// Whoever waits gives up while the provider is silent.
	silent := func(cancel context.CancelFunc) fakeidp.Fault {
		return fakeidp.FaultHandler(func(http.Handler) http.Handler {
			return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				cancel()
				<-r.Context().Done()
			})
		})
	}
	for _, name := range []string{"apple", "github", "google", "openid", "twitter"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAbroad(t, name, nil)
			for path, want := range a.endpoints() {
				a.fails(t, path, want, instead(endless))
				a.fails(t, path, want, instead(bomb))
				a.fails(t, path, want, silent)
			}
		})
	}
}

// SS-08: a provider whose certificate is nobody's, or that speaks something old, is told nothing.
func TestTLSErrorsAreNotSkipped(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(*httptest.Server){
		"a certificate of nobody's": func(*httptest.Server) {},
		"TLS 1.1": func(s *httptest.Server) {
			s.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int64
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) }))
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			change(s)
			s.StartTLS()
			t.Cleanup(s.Close)
			openid, err := oidc.New(oidc.Config{Issuer: s.URL, ClientID: "client", ClientSecret: "secret"})
			if err != nil {
				t.Fatal(err)
			}
			github, err := oauth.GitHub(oauth.Config{ClientID: "client", ClientSecret: "secret", TokenURL: s.URL + "/token", ProfileURL: s.URL})
			if err != nil {
				t.Fatal(err)
			}
			twitter, err := oauth.Twitter(oauth.TwitterConfig{Config: oauth.Config{ClientID: "client", ClientSecret: "secret"}, RequestTokenURL: s.URL})
			if err != nil {
				t.Fatal(err)
			}
			e := authtest.New(t, func(c *auth.Config) {
				c.Providers = map[string]provider.Provider{"openid": openid, "github": github, "twitter": twitter}
				c.HTTPClient = nil // the engine's own
			})
			for _, name := range []string{"openid", "twitter"} {
				if _, err := e.StartProvider(t.Context(), auth.StartProviderParams{Provider: name}); !errors.Is(err, auth.ErrInternal) {
					t.Errorf("%s: %v", name, err)
				}
			}
			start, err := e.StartProvider(t.Context(), auth.StartProviderParams{Provider: "github"})
			if err != nil {
				t.Fatal(err)
			}
			_, err = e.FinishProvider(t.Context(), auth.FinishProviderParams{
				Provider: "github", Binding: start.Binding, Values: url.Values{"state": {start.State}, "code": {"code"}},
			})
			if !errors.Is(err, auth.ErrOAuthTokenExchangeFailed) || !strings.Contains(err.Error(), "tls") {
				t.Errorf("github: %v", err)
			}
			if n := calls.Load(); n != 0 {
				t.Errorf("%d requests", n)
			}
		})
	}
}
