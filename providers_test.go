package auth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/authtest/fakeidp"
	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/provider/oauth"
	"github.com/ostiary/auth/provider/oidc"
	"github.com/ostiary/auth/store"
)

// says is what a provider tells of an address.
type says int

const (
	nothing says = iota // it tells no address
	doubt               // it tells the address, and no proof of it
	proof               // it has seen a proof
)

// wellKnown is what a provider is like for those who come from it, and how an IdP plays it.
type wellKnown struct {
	make   func(c oauth.Config, idp *fakeidp.Provider) (provider.Provider, error)
	hosts  []string
	issuer string            // empty: it issues no id tokens
	paths  map[string]string // where its endpoints are, and which of the IdP's they are
	// profiles are its answers about an account, of which Extra has the members that a test changes.
	profiles map[string]func(fakeidp.Account) any

	number    bool   // ids are integers
	flag      string // the member that says that the address is verified; empty where nothing does
	set       any    // its value, if not true
	unset     says   // what it tells of an address without the flag
	claims    map[string]any
	version1  bool // OAuth 1.0a
	noPKCE    bool
	noRefresh bool
}

// told is what the provider tells of an address, with or without the flag.
func (w *wellKnown) told(flagged bool) says {
	if flagged && w.flag != "" {
		return proof
	}
	return w.unset
}

// document is a JSON object of parts; those of Extra come last, so that an account can have anything in its profile.
func document(a fakeidp.Account, parts ...map[string]any) map[string]any {
	all := map[string]any{}
	for _, part := range append(parts, a.Extra) {
		maps.Copy(all, part)
	}
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	return all
}

// profile is one with an id and, unless it has them elsewhere, an address under these names.
func profile(id, email string, more map[string]any) func(fakeidp.Account) any {
	return func(a fakeidp.Account) any {
		own := map[string]any{id: a.Subject}
		if strings.Trim(a.Subject, "0123456789") == "" {
			own[id] = json.Number(a.Subject)
		}
		if email != "" && a.Email != "" {
			own[email] = a.Email
		}
		return document(a, more, own)
	}
}

// addressList is a list of addresses, of which the account's own is neither the first nor the last.
func addressList(primary, verified string) func(fakeidp.Account) []any {
	return func(a fakeidp.Account) []any {
		list := []any{map[string]any{"email": "first-" + a.Subject + "@example.net", primary: false, verified: true}}
		if a.Email != "" {
			own := map[string]any{"email": a.Email, primary: true}
			if flag, ok := a.Extra[verified]; ok {
				own[verified] = flag
			}
			list = append(list, own)
		}
		return append(list, map[string]any{"email": "last-" + a.Subject + "@example.net", primary: false, verified: false})
	}
}

const (
	ourTenant   = "aaaaaaaa-0000-4000-8000-000000000001"
	theirTenant = "bbbbbbbb-0000-4000-8000-000000000002"
)

// simple is a constructor without more than a Config.
func simple(make func(oauth.Config) (provider.Provider, error)) func(oauth.Config, *fakeidp.Provider) (provider.Provider, error) {
	return func(c oauth.Config, _ *fakeidp.Provider) (provider.Provider, error) { return make(c) }
}

// wellKnowns are all providers of package oauth, with the addresses and the answers that they document, and one of package oidc.
var wellKnowns = map[string]*wellKnown{
	"apple": {
		make: makeApple, hosts: []string{"appleid.apple.com"}, issuer: "https://appleid.apple.com",
		paths: map[string]string{"/auth/authorize": fakeidp.Authorization, "/auth/token": fakeidp.Token, "/auth/keys": fakeidp.Keys},
		flag:  "email_verified", set: "true", unset: doubt,
	},
	"azuread": {
		make: func(c oauth.Config, _ *fakeidp.Provider) (provider.Provider, error) {
			return oauth.AzureAD(oauth.EntraConfig{Config: c})
		},
		hosts: []string{"login.microsoftonline.com"}, issuer: "https://sts.windows.net/" + ourTenant,
		paths: map[string]string{
			"/common/oauth2/authorize": fakeidp.Authorization, "/common/oauth2/token": fakeidp.Token,
			"/common/discovery/keys": fakeidp.Keys,
		},
		claims: map[string]any{"iss": "https://sts.windows.net/" + ourTenant + "/", "tid": ourTenant, "ver": "1.0"},
		flag:   "xms_edov", unset: doubt,
	},
	"bitbucket": {
		make: simple(oauth.Bitbucket), hosts: []string{"bitbucket.org", "api.bitbucket.org"},
		paths: map[string]string{"/site/oauth2/authorize": fakeidp.Authorization, "/site/oauth2/access_token": fakeidp.Token},
		profiles: map[string]func(fakeidp.Account) any{
			"/2.0/user": profile("uuid", "", map[string]any{"type": "user", "links": map[string]any{}}),
			"/2.0/user/emails": func(a fakeidp.Account) any {
				return map[string]any{"pagelen": 10, "values": addressList("is_primary", "is_confirmed")(a)}
			},
		},
		flag: "is_confirmed", unset: nothing,
	},
	"discord": {
		make: simple(oauth.Discord), hosts: []string{"discord.com"},
		paths:    map[string]string{"/api/oauth2/authorize": fakeidp.Authorization, "/api/oauth2/token": fakeidp.Token},
		profiles: map[string]func(fakeidp.Account) any{"/api/users/@me": profile("id", "email", map[string]any{"discriminator": "0"})},
		flag:     "verified", unset: doubt,
	},
	"entraid": {
		make: func(c oauth.Config, _ *fakeidp.Provider) (provider.Provider, error) {
			return oauth.Entra(oauth.EntraConfig{Config: c})
		},
		hosts: []string{"login.microsoftonline.com"}, issuer: "https://login.microsoftonline.com/" + ourTenant + "/v2.0",
		paths: map[string]string{
			"/common/oauth2/v2.0/authorize": fakeidp.Authorization, "/common/oauth2/v2.0/token": fakeidp.Token,
			"/common/discovery/v2.0/keys": fakeidp.Keys,
		},
		claims: map[string]any{"tid": ourTenant, "ver": "2.0"}, flag: "xms_edov", unset: doubt,
	},
	"facebook": {
		make: simple(oauth.Facebook), hosts: []string{"www.facebook.com", "graph.facebook.com"},
		paths:    map[string]string{"/v22.0/dialog/oauth": fakeidp.Authorization, "/v22.0/oauth/access_token": fakeidp.Token},
		profiles: map[string]func(fakeidp.Account) any{"/me": profile("id", "email", map[string]any{"verified": true})},
		unset:    doubt, noRefresh: true,
	},
	"github": {
		make: simple(oauth.GitHub), hosts: []string{"github.com", "api.github.com"},
		paths: map[string]string{"/login/oauth/authorize": fakeidp.Authorization, "/login/oauth/access_token": fakeidp.Token},
		profiles: map[string]func(fakeidp.Account) any{
			"/user":        profile("id", "", map[string]any{"login": "octocat", "email": "public@example.net", "site_admin": true}),
			"/user/emails": func(a fakeidp.Account) any { return addressList("primary", "verified")(a) },
		},
		number: true, flag: "verified", unset: nothing,
	},
	"gitlab": {
		make: simple(oauth.GitLab), hosts: []string{"gitlab.com"},
		paths:    map[string]string{"/oauth/authorize": fakeidp.Authorization, "/oauth/token": fakeidp.Token},
		profiles: map[string]func(fakeidp.Account) any{"/api/v4/user": profile("id", "email", map[string]any{"state": "active"})},
		number:   true, flag: "confirmed_at", set: "2012-05-23T09:05:22Z", unset: doubt,
	},
	"google": {
		make: func(c oauth.Config, _ *fakeidp.Provider) (provider.Provider, error) {
			return oauth.Google(oauth.GoogleConfig{Config: c})
		},
		hosts:  []string{"accounts.google.com", "oauth2.googleapis.com", "www.googleapis.com"},
		issuer: "https://accounts.google.com",
		paths:  map[string]string{"/o/oauth2/auth": fakeidp.Authorization, "/oauth2/v3/certs": fakeidp.Keys},
		profiles: map[string]func(fakeidp.Account) any{
			"/oauth2/v2/userinfo": profile("id", "email", map[string]any{"given_name": "A"}),
		},
		flag: "verified_email", unset: doubt,
	},
	"linkedin": {
		make: simple(oauth.LinkedIn), hosts: []string{"www.linkedin.com", "api.linkedin.com"},
		issuer:   "https://www.linkedin.com/oauth",
		paths:    map[string]string{"/oauth/v2/authorization": fakeidp.Authorization, "/oauth/v2/accessToken": fakeidp.Token},
		profiles: map[string]func(fakeidp.Account) any{"/v2/userinfo": profile("sub", "email", map[string]any{"locale": "en"})},
		flag:     "email_verified", unset: doubt, noPKCE: true,
	},
	"openid": {
		make: func(c oauth.Config, idp *fakeidp.Provider) (provider.Provider, error) {
			return oidc.New(oidc.Config{Issuer: idp.Issuer(), ClientID: c.ClientID, ClientSecret: c.ClientSecret})
		},
		flag: "email_verified", unset: doubt,
	},
	"spotify": {
		make: simple(oauth.Spotify), hosts: []string{"accounts.spotify.com", "api.spotify.com"},
		paths:    map[string]string{"/authorize": fakeidp.Authorization, "/api/token": fakeidp.Token},
		profiles: map[string]func(fakeidp.Account) any{"/v1/me": profile("id", "email", map[string]any{"email_verified": true})},
		unset:    doubt,
	},
	"strava": {
		make: simple(oauth.Strava), hosts: []string{"www.strava.com"},
		paths:    map[string]string{"/api/v3/oauth/authorize": fakeidp.Authorization, "/api/v3/oauth/token": fakeidp.Token},
		profiles: map[string]func(fakeidp.Account) any{"/api/v3/athlete": profile("id", "email", map[string]any{"email_verified": true})},
		number:   true, unset: nothing,
	},
	"twitch": {
		make: simple(oauth.Twitch), hosts: []string{"id.twitch.tv", "api.twitch.tv"},
		paths: map[string]string{"/oauth2/authorize": fakeidp.Authorization, "/oauth2/token": fakeidp.Token},
		profiles: map[string]func(fakeidp.Account) any{"/helix/users": func(a fakeidp.Account) any {
			return map[string]any{"data": []any{profile("id", "email", map[string]any{"email_verified": true})(a)}}
		}},
		unset: doubt,
	},
	"twitter": {
		make: func(c oauth.Config, _ *fakeidp.Provider) (provider.Provider, error) {
			return oauth.Twitter(oauth.TwitterConfig{Config: c})
		},
		hosts: []string{"api.twitter.com"},
		paths: map[string]string{
			"/oauth/request_token": fakeidp.RequestToken, "/oauth/authorize": fakeidp.AuthorizationV1,
			"/oauth/access_token": fakeidp.AccessToken,
		},
		profiles: map[string]func(fakeidp.Account) any{
			fakeidp.VerifyCredentials: profile("id_str", "email", map[string]any{"verified": true}),
		},
		unset: doubt, version1: true, noPKCE: true, noRefresh: true,
	},
	"windowslive": {
		make: simple(oauth.WindowsLive), hosts: []string{"login.live.com", "apis.live.net"},
		paths: map[string]string{"/oauth20_authorize.srf": fakeidp.Authorization, "/oauth20_token.srf": fakeidp.Token},
		profiles: map[string]func(fakeidp.Account) any{"/v5.0/me": func(a fakeidp.Account) any {
			emails := map[string]any{"verified": true}
			if a.Email != "" {
				emails["preferred"] = a.Email
			}
			return document(a, map[string]any{"id": a.Subject, "emails": emails})
		}},
		unset: doubt,
	},
	"workos": {
		make: func(c oauth.Config, _ *fakeidp.Provider) (provider.Provider, error) {
			return oauth.WorkOS(oauth.WorkOSConfig{Config: c, DefaultConnection: "conn_1"})
		},
		hosts: []string{"api.workos.com"},
		paths: map[string]string{"/sso/authorize": fakeidp.Authorization, "/sso/token": fakeidp.Token},
		profiles: map[string]func(fakeidp.Account) any{
			"/sso/profile": profile("id", "email", map[string]any{"role": map[string]any{"slug": "admin"}, "email_verified": true}),
		},
		unset: doubt, noRefresh: true,
	},
	"x": {
		make: simple(oauth.X), hosts: []string{"x.com", "api.x.com"},
		paths: map[string]string{"/i/oauth2/authorize": fakeidp.Authorization, "/2/oauth2/token": fakeidp.Token},
		profiles: map[string]func(fakeidp.Account) any{"/2/users/me": func(a fakeidp.Account) any {
			// There is no flag: an address that is confirmed stands here, and no other anywhere.
			confirmed := map[string]any{"confirmed_email": []any{a.Email}}
			switch flag, ok := a.Extra["confirmed"]; {
			case !ok, flag == false, a.Email == "":
				confirmed = nil
			case flag == true:
				confirmed["confirmed_email"] = a.Email
			}
			return map[string]any{"data": profile("id", "email", confirmed)(a)}
		}},
		flag: "confirmed", unset: nothing,
	},
}

// appleKey is what the service has of Apple.
var appleKey = sync.OnceValue(func() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
})

func makeApple(c oauth.Config, _ *fakeidp.Provider) (provider.Provider, error) {
	der, err := x509.MarshalPKCS8PrivateKey(appleKey())
	if err != nil {
		return nil, err
	}
	c.ClientSecret = ""
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return oauth.Apple(oauth.AppleConfig{Config: c, TeamID: "TEAM123456", KeyID: "KEY1234567", PrivateKey: string(text)})
}

// abroad is one of the well-known providers. Its engines come one after another: it goes with the clock of the last.
type abroad struct {
	*wellKnown
	name      string
	idp       *fakeidp.Provider
	client    fakeidp.Client
	provider  provider.Provider
	transport http.RoundTripper
}

// newAbroad returns the provider called name. What is meant for others goes to next; nil fails it.
func newAbroad(t *testing.T, name string, next http.RoundTripper) *abroad {
	t.Helper()
	a := &abroad{wellKnown: wellKnowns[name], name: name, idp: fakeidp.New(t)}
	if a.issuer != "" {
		a.idp.SetIssuer(a.issuer)
	}
	for path, of := range a.paths {
		a.idp.Alias(path, of)
	}
	for path, answer := range a.profiles {
		a.idp.Profile(path, answer)
	}
	client := fakeidp.Client{
		ID: "client-of-" + name, RequirePKCE: !a.noPKCE, NoRefreshToken: a.noRefresh,
		RedirectURIs: []string{authtest.ServerURL + "/signin/provider/" + name + "/callback"},
	}
	if name == "apple" {
		client.Apple = &fakeidp.Apple{TeamID: "TEAM123456", KeyID: "KEY1234567", PublicKey: &appleKey().PublicKey}
	}
	a.client = a.idp.Client(client)
	p, err := a.make(oauth.Config{ClientID: a.client.ID, ClientSecret: a.client.Secret}, a.idp)
	if err != nil {
		t.Fatal(err)
	}
	a.provider, a.transport = p, a.idp.Transport(next, a.hosts...)
	return a
}

// tourist is an engine that knows one of the well-known providers.
type tourist struct {
	*authtest.Engine
	*abroad
}

// engine returns an engine over an empty store.
func (a *abroad) engine(t *testing.T, amend ...func(*auth.Config)) *tourist {
	t.Helper()
	known := func(c *auth.Config) {
		c.Providers = map[string]provider.Provider{a.name: a.provider}
		c.HTTPClient = &http.Client{Transport: a.transport}
	}
	e := authtest.New(t, append([]func(*auth.Config){known}, amend...)...)
	a.idp.SetNow(e.Clock.Now)
	return &tourist{e, a}
}

// account makes an account at the provider: the n-th, with an address whose flag is as given; nil leaves it out.
func (a *abroad) account(n int, email string, flag any) fakeidp.Account {
	who := fakeidp.Account{Subject: fmt.Sprintf("id-%d", n), Email: email, Extra: maps.Clone(a.claims)}
	if a.number {
		who.Subject = fmt.Sprint(1000 + n)
	}
	if who.Extra == nil {
		who.Extra = map[string]any{}
	}
	if a.name == "azuread" { // where the subject is another one
		who.Extra["oid"] = "oid of " + who.Subject
	}
	if a.flag != "" {
		who.Extra[a.flag] = flag
	}
	if flag == nil {
		delete(who.Extra, a.flag)
	}
	return a.idp.Account(who)
}

// flagged is the value with which the provider says that an address is verified.
func (w *wellKnown) flagged() any {
	if w.set != nil {
		return w.set
	}
	return true
}

// subject is the id by which an account is known.
func (a *abroad) subject(who fakeidp.Account) string {
	switch a.name {
	case "azuread":
		return ourTenant + "/oid of " + who.Subject
	case "entraid":
		return ourTenant + "/" + who.Subject
	}
	return who.Subject
}

func (v *tourist) start(t *testing.T) *auth.ProviderStart {
	t.Helper()
	start, err := v.StartProvider(t.Context(), auth.StartProviderParams{Provider: v.name})
	if err != nil {
		t.Fatal(err)
	}
	return start
}

// finish ends a visit with what the browser has brought.
func (v *tourist) finish(t *testing.T, start *auth.ProviderStart, values url.Values) (*auth.ProviderResult, error) {
	t.Helper()
	return v.FinishProvider(t.Context(), auth.FinishProviderParams{Provider: v.name, Binding: start.Binding, Values: values})
}

// visit is a whole visit of somebody.
func (v *tourist) visit(t *testing.T, who fakeidp.Account) (*auth.ProviderResult, error) {
	t.Helper()
	start := v.start(t)
	return v.finish(t, start, v.idp.Visit(t, start.URL, who).Values())
}

// in is a visit that ends in a session.
func (v *tourist) in(t *testing.T, who fakeidp.Account) *auth.Session {
	t.Helper()
	r, err := v.visit(t, who)
	if err != nil || r.Session == nil {
		t.Fatalf("%s: %s does not come in: %v", v.name, who.Subject, err)
	}
	return r.Session
}

// link links an account to a user's.
func (v *tourist) link(t *testing.T, p *auth.Principal, who fakeidp.Account) error {
	t.Helper()
	start, err := v.LinkProvider(t.Context(), p, auth.LinkProviderParams{Provider: v.name})
	if err != nil {
		return err
	}
	r, err := v.finish(t, start, v.idp.Visit(t, start.URL, who).Values())
	if r.Linked != (err == nil) || r.Session != nil {
		t.Errorf("%s: linked: %v, with a session: %v, %v", v.name, r.Linked, r.Session != nil, err)
	}
	return err
}

// owner is the user with an account at the provider, or nobody.
func (v *tourist) owner(t *testing.T, who fakeidp.Account) uuid.UUID {
	t.Helper()
	return v.ownerOf(t, v.abroad.subject(who))
}

func (v *tourist) ownerOf(t *testing.T, subject string) uuid.UUID {
	t.Helper()
	a, err := v.Store.User(t.Context(), store.UserQuery{Identity: store.IdentityKey{Provider: v.name, Subject: subject}, Now: v.Clock.Now()})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	return a.ID
}

// everywhere runs a test with each of the well-known providers for which it is meant.
func everywhere(t *testing.T, meant func(*wellKnown) bool, test func(t *testing.T, a *abroad)) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(wellKnowns)) {
		if meant != nil && !meant(wellKnowns[name]) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newAbroad(t, name, nil))
		})
	}
}

// OA-15, OA-27, OA-40, W40: who comes from a provider is one user however often they come, and two accounts are two users. An account
// that is linked lets its user in, and no more once it is unlinked.
func TestPeopleOfEveryProvider(t *testing.T) {
	t.Parallel()
	everywhere(t, nil, func(t *testing.T, a *abroad) {
		v := a.engine(t)
		one, two, three := a.account(1, "", nil), a.account(2, "", nil), a.account(3, "", nil)
		first, other := v.in(t, one), v.in(t, two)
		again := v.in(t, one)
		if first.User.ID != again.User.ID || first.User.ID == other.User.ID {
			t.Errorf("they are %s, %s and again %s", first.User.ID, other.User.ID, again.User.ID)
		}
		if v.owner(t, one) != first.User.ID || v.owner(t, two) != other.User.ID {
			t.Errorf("their ids are not %s and %s", a.subject(one), a.subject(two))
		}
		if first.User.Email != "" || first.User.EmailVerified {
			t.Errorf("there is an address: %q", first.User.Email)
		}

		ada := v.SignUp(t, "ada@example.com")
		p := v.Principal(t, ada)
		if err := v.link(t, p, three); err != nil {
			t.Fatal(err)
		}
		if err := v.link(t, p, one); !errors.Is(err, auth.ErrProviderAccountLinked) {
			t.Errorf("somebody else's: %v", err)
		}
		if in := v.in(t, three); in.User.ID != ada.User.ID {
			t.Errorf("what is linked lets in %s", in.User.ID)
		}
		if l := v.Mailbox.Last(t, "ada@example.com"); l.Template != "identity-linked" {
			t.Errorf("letter %s", l.Template)
		}
		if err := v.Unlink(t.Context(), p, auth.UnlinkParams{Provider: a.name, Subject: a.subject(three)}); err != nil {
			t.Fatal(err)
		}
		if in := v.in(t, three); in.User.ID == ada.User.ID {
			t.Error("what is unlinked lets in")
		}
	})
}

// W3, W4, PH-01, PH-04, OA-20 to OA-24, ID-11: what a provider says of an address decides, and nothing that only looks like it.
func TestAddressesOfEveryProvider(t *testing.T) {
	t.Parallel()
	for _, name := range slices.Sorted(maps.Keys(wellKnowns)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAbroad(t, name, nil)
			flags := map[string]any{"set": a.flagged(), "not set": false, "absent": nil, "by number": 1, "a list": []any{true}, "an object": map[string]any{"a": true}}
			switch name {
			case "gitlab": // whose flag is a text
				flags["true"] = true
			case "apple": // for whom a text is one, and true
				flags["in capitals"], flags["no"] = "TRUE", "false"
			case "x": // whose flag is that there is one
			default:
				flags["in words"] = "true"
			}
			for flag, value := range flags {
				want := a.told(flag == "set")
				t.Run(flag, func(t *testing.T) {
					t.Run("and the address is nobody's", func(t *testing.T) { a.newcomer(t, value, want) })
					t.Run("and the address is a user's", func(t *testing.T) { a.sameAddress(t, value, want, true) })
					t.Run("and the address is one that a user claims", func(t *testing.T) { a.sameAddress(t, value, want, false) })
				})
			}
			if name == "apple" {
				t.Run("set, by true", func(t *testing.T) { a.newcomer(t, true, proof) })
			}
		})
	}
}

// newcomer comes with an address that is nobody's.
func (a *abroad) newcomer(t *testing.T, flag any, want says) {
	v := a.engine(t)
	who := a.account(1, "v@example.com", flag)
	if flag == nil {
		a.idp.LieOnce(fakeidp.Without("email_verified"))
	}
	r, err := v.visit(t, who)
	if err != nil {
		t.Fatal(err)
	}
	letters := v.Mailbox.All()
	if want == doubt { // somebody may have typed it in
		if r.Session != nil || len(letters) != 1 || letters[0].Template != "email-verify" || letters[0].To != "v@example.com" {
			t.Fatalf("a session: %v, and %d letters", r.Session != nil, len(letters))
		}
		in, err := v.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: letters[0].Ticket()})
		if err != nil {
			t.Fatal(err)
		}
		if again := v.in(t, who); again.User.ID != in.Session.User.ID || !again.User.EmailVerified {
			t.Errorf("who has followed the link is %s, and then %s", in.Session.User.ID, again.User.ID)
		}
		return
	}
	if r.Session == nil || len(letters) != 0 {
		t.Fatalf("a session: %v, and %d letters", r.Session != nil, len(letters))
	}
	if u := r.Session.User; u.EmailVerified != (want == proof) || u.Email != map[bool]string{true: "v@example.com"}[want == proof] {
		t.Errorf("the address is %q, verified: %v", u.Email, u.EmailVerified)
	}
}

// sameAddress comes with the address of a user, who has verified it or not.
func (a *abroad) sameAddress(t *testing.T, flag any, want says, verified bool) {
	v := a.engine(t)
	var victim uuid.UUID
	if verified {
		victim = v.SignUp(t, "v@example.com").User.ID
	} else {
		if _, err := signUp(t, v.Engine, "v@example.com", authtest.Password, auth.SignUpOptions{}); err != nil {
			t.Fatal(err)
		}
		u, err := v.FindUser(t.Context(), auth.UserBy{Email: "v@example.com"})
		if err != nil {
			t.Fatal(err)
		}
		victim = u.ID
	}
	who := a.account(1, "v@example.com", flag)
	if flag == nil {
		a.idp.LieOnce(fakeidp.Without("email_verified"))
	}
	r, err := v.visit(t, who)
	switch want {
	case doubt:
		if !errors.Is(err, auth.ErrEmailAlreadyInUse) || r.Session != nil || v.owner(t, who) != uuid.Nil {
			t.Errorf("a session: %v, linked to %s, %v", r.Session != nil, v.owner(t, who), err)
		}
	case nothing:
		if err != nil || r.Session.User.ID == victim || r.Session.User.Email != "" || v.owner(t, who) == victim {
			t.Errorf("%v, linked to %s, %v", r.Session, v.owner(t, who), err)
		}
	case proof:
		if err != nil || r.Session.User.ID != victim || !r.Session.User.EmailVerified || v.owner(t, who) != victim {
			t.Fatalf("%v, linked to %s, %v", r.Session, v.owner(t, who), err)
		}
	}
	// The password from before is good, unless it was nobody's and the owner of the address has come.
	_, err = signIn(t, v.Engine, "v@example.com", authtest.Password)
	switch {
	case verified && err != nil:
		t.Errorf("the password: %v", err)
	case !verified && want == proof && !errors.Is(err, auth.ErrInvalidEmailPassword):
		t.Errorf("the password from before: %v", err)
	case !verified && want != proof && !errors.Is(err, auth.ErrUnverifiedUser):
		t.Errorf("the password of who waits: %v", err)
	}
}

// OA-29, OA-31, OA-32, W9, E4: whose account is closed does not come in by a provider, a second factor is asked for after every one,
// and where nobody may sign up nobody does.
func TestRulesHoldAtEveryProvider(t *testing.T) {
	t.Parallel()
	everywhere(t, nil, func(t *testing.T, a *abroad) {
		who := a.account(1, "", nil)
		v := a.engine(t)
		yes := true
		id := v.in(t, who).User.ID
		if _, err := v.UpdateUser(t.Context(), id, auth.UserUpdate{Disabled: &yes}); err != nil {
			t.Fatal(err)
		}
		if r, err := v.visit(t, who); !errors.Is(err, auth.ErrDisabledUser) || r.Session != nil || v.owner(t, who) != id {
			t.Errorf("who is disabled: %v", err)
		}
		if u, err := v.FindUser(t.Context(), auth.UserBy{ID: id}); err != nil || !u.Disabled {
			t.Errorf("they are enabled: %v", err)
		}

		v = a.engine(t)
		v.EnrolTOTP(t, v.in(t, who))
		if r, err := v.visit(t, who); err != nil || r.Session != nil || r.MFA == nil {
			t.Errorf("no second factor: %v", err)
		}

		v = a.engine(t, func(c *auth.Config) { c.SignUp.Disabled = true })
		if r, err := v.visit(t, who); !errors.Is(err, auth.ErrSignUpDisabled) || r.Session != nil || userCount(t, v.Store) != 0 {
			t.Errorf("sign-ups are off: %v", err)
		}
		v = a.engine(t, func(c *auth.Config) { c.SignUp.DisableNewUsers = true })
		for range 2 {
			if r, err := v.visit(t, who); !errors.Is(err, auth.ErrDisabledUser) || r.Session != nil {
				t.Errorf("new users are disabled: %v", err)
			}
		}

		if a.told(true) == nothing {
			return
		}
		v = a.engine(t, func(c *auth.Config) { c.Email.BlockedDomains = []string{"example.com"} })
		blocked := a.account(2, "v@example.com", a.flagged())
		if r, err := v.visit(t, blocked); !errors.Is(err, auth.ErrInvalidEmailPassword) || r.Session != nil || userCount(t, v.Store) != 0 {
			t.Errorf("an address that is not admitted: %v", err)
		}
		ada := v.Principal(t, v.SignUp(t, "ada@example.net"))
		if err := v.link(t, ada, blocked); !errors.Is(err, auth.ErrInvalidEmailPassword) || v.owner(t, blocked) != uuid.Nil {
			t.Errorf("an address that is not admitted, when linking: %v", err)
		}
		changed := a.account(3, "", nil)
		v.in(t, changed)
		if r, err := v.visit(t, a.account(3, "v@example.com", a.flagged())); !errors.Is(err, auth.ErrInvalidEmailPassword) || r.Session != nil {
			t.Errorf("an address that is not admitted, when known: %v", err)
		}
	})
}

// OA-13, OA-27, OA-43, W40: an account without an id is nobody, and a provider that fails lets nobody in.
func TestEveryProviderMayFail(t *testing.T) {
	t.Parallel()
	everywhere(t, nil, func(t *testing.T, a *abroad) {
		v := a.engine(t)
		who := a.account(1, "v@example.com", a.flagged())
		start := v.start(t)
		callback := a.idp.Cancel(t, start.URL)
		if r, err := v.finish(t, start, callback.Values()); !errors.Is(err, auth.ErrOAuthProviderError) || r.Session != nil || r.Refusal == nil || r.Refusal.Error != "access_denied" {
			t.Errorf("who cancels: %v, %v", r.Refusal, err)
		}

		token, ends := fakeidp.Token, slices.Sorted(maps.Keys(a.profiles))
		if a.version1 {
			token = fakeidp.AccessToken
		}
		for what, fault := range map[string]fakeidp.Fault{
			"down": fakeidp.FaultDown(), "500": fakeidp.FaultStatus(500), "401": fakeidp.FaultStatus(401), "a page": fakeidp.FaultHTML(),
			"cut short": fakeidp.FaultGarbage(), "too much": fakeidp.FaultHuge(), "a refusal with 200": fakeidp.FaultTokenError("invalid_grant", "no"),
			"nothing": fakeidp.FaultBody(200, "application/json", ""), "an empty object": fakeidp.FaultBody(200, "application/json", "{}"),
			"null": fakeidp.FaultBody(200, "application/json", "null"), "a list": fakeidp.FaultBody(200, "application/json", "[]"),
			"what is right, with 404": fakeidp.FaultHandler(func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					answer := httptest.NewRecorder()
					next.ServeHTTP(answer, r)
					maps.Copy(w.Header(), answer.Header())
					w.WriteHeader(http.StatusNotFound)
					_, _ = answer.Body.WriteTo(w)
				})
			}),
		} {
			a.idp.Break(token, fault)
			if r, err := v.visit(t, who); !errors.Is(err, auth.ErrOAuthTokenExchangeFailed) || r.Session != nil {
				t.Errorf("the token endpoint: %s: %v", what, err)
			}
			a.idp.Mend()
			for _, path := range ends {
				if what == "a list" && path == "/user/emails" {
					continue // it is one
				}
				a.idp.Break(path, fault)
				if r, err := v.visit(t, who); !errors.Is(err, auth.ErrOAuthProfileFetchFailed) || r.Session != nil {
					t.Errorf("%s: %s: %v", path, what, err)
				}
				a.idp.Mend()
			}
		}
		if n := userCount(t, v.Store); n != 0 {
			t.Errorf("%d users by now", n)
		}

		id := "id"
		switch a.name {
		case "bitbucket":
			id = "uuid"
		case "twitter":
			id = "id_str"
		case "azuread":
			id = "oid"
		case "apple", "entraid", "linkedin", "openid":
			id = "sub"
		}
		for what, value := range map[string]any{
			"missing": nil, "empty": "", "0": 0, "a list": []any{"1"}, "true": true, "an object": map[string]any{"id": "1"},
			"the other kind": map[bool]any{true: "1001", false: 1001}[a.number], "a fraction": 1.5, "blank": "  ",
		} {
			nobody := a.account(9, "v@example.com", a.flagged())
			nobody.Extra[id] = value
			a.idp.Account(nobody)
			if r, err := v.visit(t, nobody); !errors.Is(err, auth.ErrOAuthProfileFetchFailed) || r.Session != nil {
				t.Errorf("an id that is %s: %v", what, err)
			}
		}
		if n := userCount(t, v.Store); n != 0 {
			t.Errorf("%d users without an id", n)
		}
		v.in(t, a.account(2, "", nil))
	})
}

// OA-39: what a provider gave is handed out once and can be renewed where the provider renews it.
func TestTokensOfEveryProvider(t *testing.T) {
	t.Parallel()
	everywhere(t, nil, func(t *testing.T, a *abroad) {
		v := a.engine(t)
		who := a.account(1, "", nil)
		p := v.Principal(t, v.in(t, who))
		if a.noRefresh {
			if err := v.RefreshKeptProviderTokens(t.Context(), p.UserID, a.name); !errors.Is(err, auth.ErrInvalidRequest) {
				t.Errorf("renewed: %v", err)
			}
			if _, err := v.RefreshProviderTokens(t.Context(), p, auth.RefreshProviderTokensParams{Provider: a.name, RefreshToken: "x"}); !errors.Is(err, auth.ErrOAuthProviderError) {
				t.Errorf("renewed: %v", err)
			}
		}
		first, err := v.ProviderTokens(t.Context(), p, a.name)
		if err != nil {
			t.Fatal(err)
		}
		if first.AccessToken == "" || (first.RefreshToken == "") != a.noRefresh || (first.ExpiresIn == 3600) == a.version1 {
			t.Errorf("an access token: %v, a refresh token: %v, for %d s", first.AccessToken != "", first.RefreshToken != "", first.ExpiresIn)
		}
		if _, err := v.ProviderTokens(t.Context(), p, a.name); !errors.Is(err, auth.ErrInvalidRequest) {
			t.Errorf("twice: %v", err)
		}
		if a.noRefresh {
			return
		}
		refresh := func(token string) (*auth.ProviderTokens, error) {
			return v.RefreshProviderTokens(t.Context(), p, auth.RefreshProviderTokensParams{Provider: a.name, RefreshToken: token})
		}
		second, err := refresh(first.RefreshToken)
		if err != nil || second.AccessToken == first.AccessToken || second.RefreshToken == first.RefreshToken || second.ExpiresIn != 3600 {
			t.Fatalf("renewed: %v", err)
		}
		if _, err := refresh(first.RefreshToken); !errors.Is(err, auth.ErrOAuthProviderError) {
			t.Errorf("an old one: %v", err)
		}
		v.in(t, who)
		if err := v.RefreshKeptProviderTokens(t.Context(), p.UserID, a.name); err != nil {
			t.Fatal(err)
		}
		kept, err := v.ProviderTokens(t.Context(), p, a.name)
		if err != nil || kept.RefreshToken == "" {
			t.Fatal(err)
		}
		if _, err := refresh(kept.RefreshToken); err != nil {
			t.Errorf("what was kept: %v", err)
		}
		v.in(t, who)
		a.idp.RevokeTokens(who)
		if err := v.RefreshKeptProviderTokens(t.Context(), p.UserID, a.name); !errors.Is(err, auth.ErrOAuthProviderError) {
			t.Errorf("who has taken the consent back: %v", err)
		}
		a.idp.Break(fakeidp.Token, fakeidp.FaultAnswer(func(answer map[string]any) { delete(answer, "access_token") }))
		if err := v.RefreshKeptProviderTokens(t.Context(), p.UserID, a.name); !errors.Is(err, auth.ErrOAuthProviderError) {
			t.Errorf("nothing in it: %v", err)
		}
		a.idp.Mend()
	})
}
