package auth_test

import (
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/provider/oauth"
	"github.com/ostiary/auth/provider/oidc"
	"github.com/ostiary/auth/store"
)

// issuer is a provider whose id tokens apps hand in, and an engine that takes them: those for the app and its sister.
type issuer struct {
	*authtest.Engine
	name        string
	idp         *authtest.IdP
	app, sister authtest.IdPClient
}

// issuers are the providers that have id tokens for apps. They are made anew for each engine, with nothing fetched.
var issuers = map[string]func(audiences []string, idp *authtest.IdP) (provider.IDTokenVerifier, error){
	"apple": func(audiences []string, _ *authtest.IdP) (provider.IDTokenVerifier, error) {
		return oauth.AppleIDTokens(oauth.IDTokenConfig{Audiences: audiences})
	},
	"google": func(audiences []string, _ *authtest.IdP) (provider.IDTokenVerifier, error) {
		return oauth.GoogleIDTokens(oauth.IDTokenConfig{Audiences: audiences})
	},
	"openid": func(audiences []string, idp *authtest.IdP) (provider.IDTokenVerifier, error) {
		return oidc.New(oidc.Config{Issuer: idp.Issuer(), ClientID: audiences[0], Audiences: audiences[1:]})
	},
}

// engine replaces the engine by one over an empty store.
func (i *issuer) engine(t *testing.T, amend ...func(*auth.Config)) {
	t.Helper()
	verifier, err := issuers[i.name]([]string{i.app.ID, i.sister.ID}, i.idp)
	if err != nil {
		t.Fatal(err)
	}
	a := wellKnowns[i.name]
	known := func(c *auth.Config) {
		c.IDTokens = map[string]provider.IDTokenVerifier{i.name: verifier}
		c.HTTPClient = &http.Client{Transport: i.idp.Transport(c.HTTPClient.Transport, a.hosts...)}
	}
	i.Engine = authtest.New(t, append(amend, known)...)
	i.idp.SetNow(i.Clock.Now)
}

func newIssuer(t *testing.T, name string, amend ...func(*auth.Config)) *issuer {
	t.Helper()
	i := &issuer{name: name, idp: authtest.NewIdP(t)}
	a := wellKnowns[name]
	if a.issuer != "" {
		i.idp.SetIssuer(a.issuer)
	}
	for path, of := range a.paths {
		i.idp.Alias(path, of)
	}
	i.app, i.sister = i.idp.Client(authtest.IdPClient{ID: "app"}), i.idp.Client(authtest.IdPClient{ID: "sister"})
	i.engine(t, amend...)
	return i
}

func (i *issuer) signIn(t *testing.T, token, nonce string) (*auth.Session, error) {
	t.Helper()
	in, err := i.SignInIDToken(t.Context(), auth.SignInIDTokenParams{Provider: i.name, IDToken: token, Nonce: nonce})
	if in == nil || err != nil {
		return nil, err
	}
	return in.Session, nil
}

// token is one of an account of the app.
func (i *issuer) token(t *testing.T, who authtest.IdPAccount, lies ...func(*authtest.IDToken)) string {
	t.Helper()
	return i.idp.IDToken(t, who, lies...)
}

// refused expects that a token is worth nothing.
func (i *issuer) refused(t *testing.T, what, token, nonce string) {
	t.Helper()
	before := userCount(t, i.Store)
	s, err := i.signIn(t, token, nonce)
	if !errors.Is(err, auth.ErrInvalidRequest) || s != nil || userCount(t, i.Store) != before {
		t.Errorf("%s: %v", what, err)
	}
}

func (i *issuer) owner(t *testing.T, subject string) uuid.UUID {
	t.Helper()
	a, err := i.Store.User(t.Context(), store.UserQuery{Identity: store.IdentityKey{Provider: i.name, Subject: subject}, Now: i.Clock.Now()})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	return a.ID
}

func fromEveryIssuer(t *testing.T, test func(t *testing.T, i *issuer)) {
	t.Helper()
	for name := range issuers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newIssuer(t, name))
		})
	}
}

// ID-01, ID-03, SS-04: nobody makes a token but the provider, and nothing that stands in one is fetched.
func TestForgedIDTokens(t *testing.T) {
	t.Parallel()
	for name := range issuers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCanary(t)
			i := newIssuer(t, name, func(config *auth.Config) { config.HTTPClient = &http.Client{Transport: c} })
			who := i.idp.Account(authtest.IdPAccount{Subject: "id-1", Picture: c.URL + "/me.png"})
			attacker := authtest.NewIdP(t)
			attacker.Client(authtest.IdPClient{ID: "app"})
			theirs := func(lies ...func(*authtest.IDToken)) string { return attacker.IDToken(t, who, lies...) }
			header := func(name string, value any) func(*authtest.IDToken) {
				return func(token *authtest.IDToken) { token.Header[name] = value }
			}
			good := i.token(t, who)
			parts := strings.Split(good, ".")
			payload, err := base64.RawURLEncoding.DecodeString(parts[1])
			if err != nil {
				t.Fatal(err)
			}
			altered := base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(payload), `"id-1"`, `"id-2"`, 1)))
			// The secret of an HMAC is the public key, in each of the forms in which it is published.
			confused := func(secret func(*rsa.PublicKey) []byte) func(*authtest.IDToken) {
				return func(token *authtest.IDToken) {
					token.Header["alg"], token.Key = "HS256", secret(&token.Key.(*rsa.PrivateKey).PublicKey)
				}
			}
			pkix := func(key *rsa.PublicKey) []byte {
				der, err := x509.MarshalPKIXPublicKey(key)
				if err != nil {
					t.Error(err)
				}
				return der
			}
			own := authtest.IDTokenClaim("iss", i.idp.Issuer())
			for what, token := range map[string]string{
				"nothing": "", "text": "token", "two parts": parts[0] + "." + parts[1], "no signature": parts[0] + "." + parts[1] + ".",
				"altered claims": parts[0] + "." + altered + "." + parts[2], "another signature": parts[0] + "." + parts[1] + "." + strings.Split(theirs(), ".")[2],
				"a blank": good + " ", "as JSON": `{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`,
				"alg none": i.token(t, who, authtest.LieAlgNone), "alg none with a signature": i.token(t, who, authtest.LieAlgNone) + parts[2],
				"alg None":   i.token(t, who, authtest.LieAlgNone, header("alg", "None")),
				"no alg":     i.token(t, who, header("alg", nil)),
				"HS256, PEM": i.token(t, who, authtest.LieSignedWithPublicKey),
				"HS256, DER": i.token(t, who, confused(pkix)),
				"HS256, n":   i.token(t, who, confused(func(key *rsa.PublicKey) []byte { return key.N.Bytes() })),
				"HS256, PKCS1": i.token(t, who, confused(func(key *rsa.PublicKey) []byte {
					return pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(key)})
				})),
				"HS256, empty": i.token(t, who, func(token *authtest.IDToken) { token.Header["alg"], token.Key = "HS256", []byte{} }),
				// ID-02: every IdP calls its first key "1".
				"another's key of the same name":   theirs(own),
				"another's key without a name":     theirs(own, header("kid", "")),
				"another's key and issuer":         theirs(),
				"another's key, brought with it":   theirs(own, header("jwk", map[string]string{"kty": "RSA", "n": "AQAB", "e": "AQAB"})),
				"another's key, elsewhere":         theirs(own, header("jku", c.URL+"/jwks"), header("kid", "2")),
				"another's certificate, elsewhere": theirs(own, header("x5u", c.URL+"/cert"), header("x5c", []string{"AAAA"})),
				"a kid that is a URL":              theirs(own, header("kid", c.URL+"/jwks")),
				"a kid that is a path":             theirs(own, header("kid", "../../../../dev/null")),
				"a kid that is a query":            theirs(own, header("kid", "1' OR '1'='1")),
				"a kid that is a list":             theirs(own, header("kid", []string{"1"})),
				"an unknown kid":                   i.token(t, who, authtest.LieUnknownKeyName),
				"an issuer that is a URL":          theirs(authtest.IDTokenClaim("iss", c.URL)),
				"a critical extension":             i.token(t, who, header("crit", []string{"b64"}), header("b64", false)),
				"an access token":                  i.token(t, who, header("typ", "at+jwt")),
				"a logout token":                   i.token(t, who, header("typ", "logout+jwt")),
				"expired":                          i.token(t, who, authtest.LieExpired),
				"of the future":                    i.token(t, who, authtest.LieNotYetIssued),
				"without end":                      i.token(t, who, authtest.IDTokenWithout("exp")),
				"not said when":                    i.token(t, who, authtest.IDTokenWithout("iat")),
				"too long":                         i.token(t, who, authtest.IDTokenClaim("x", strings.Repeat("x", 16<<10))),
				"another issuer":                   i.token(t, who, authtest.LieOtherIssuer),
				"the issuer with a slash":          i.token(t, who, authtest.IDTokenClaim("iss", i.idp.Issuer()+"/")),
				"two issuers":                      i.token(t, who, authtest.IDTokenClaim("iss", []string{i.idp.Issuer(), "https://evil.example"})),
				"claims elsewhere":                 theirs(own, authtest.IDTokenClaim("_claim_sources", map[string]any{"a": map[string]string{"endpoint": c.URL}})),
			} {
				i.refused(t, what, token, "")
			}
			if n := len(attacker.Requests()); n > 0 {
				t.Errorf("%d requests to the issuer of a forged token", n)
			}
			s, err := i.signIn(t, good, "")
			if err != nil || s.User.AvatarURL != "" { // http, which no page shows
				t.Errorf("the good one: %v", err)
			}
			want := []string{authtest.IdPKeys}
			if name == "openid" {
				want = []string{authtest.IdPDiscovery, authtest.IdPKeys}
			}
			if asked := len(i.idp.Requests()); asked != len(i.idp.Requests(want...)) || asked > 3 {
				t.Errorf("%d requests to the provider", asked)
			}
		})
	}
}

// ID-02: a thousand tokens that name unknown keys make no thousand requests, and the good keys stay.
func TestUnknownKeysOfIDTokens(t *testing.T) {
	t.Parallel()
	fromEveryIssuer(t, func(t *testing.T, i *issuer) {
		who := i.idp.Account(authtest.IdPAccount{Subject: "id-1"})
		parts := strings.SplitN(i.token(t, who), ".", 2)
		for n := range 1000 {
			name := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"alg":"RS256","kid":"unknown-%d"}`, n))
			if _, err := i.signIn(t, name+"."+parts[1], ""); !errors.Is(err, auth.ErrInvalidRequest) {
				t.Fatalf("time %d: %v", n, err)
			}
		}
		if n := len(i.idp.Requests(authtest.IdPKeys)); n > 2 {
			t.Errorf("%d requests for keys", n)
		}
		if _, err := i.signIn(t, parts[0]+"."+parts[1], ""); err != nil {
			t.Error(err)
		}
		// A new key is one of the provider's as soon as it may be asked again, and an old one is none.
		old := i.token(t, who)
		if err := i.idp.RotateKey(authtest.RS256); err != nil {
			t.Fatal(err)
		}
		i.idp.DropOldKeys()
		i.Clock.Advance(time.Minute)
		if _, err := i.signIn(t, i.token(t, who), ""); err != nil {
			t.Errorf("the new key: %v", err)
		}
		i.refused(t, "the old key", old, "")
	})
}

// ID-04: Google has two names, and nobody else has either.
func TestNamesOfGoogle(t *testing.T) {
	t.Parallel()
	google, apple := newIssuer(t, "google"), newIssuer(t, "apple")
	for _, iss := range []string{"https://accounts.google.com", "accounts.google.com"} {
		who := google.idp.Account(authtest.IdPAccount{Subject: "of " + iss})
		if _, err := google.signIn(t, google.token(t, who, authtest.IDTokenClaim("iss", iss)), ""); err != nil {
			t.Errorf("%s: %v", iss, err)
		}
		apple.refused(t, iss, apple.token(t, who, authtest.IDTokenClaim("iss", iss)), "")
	}
	for _, iss := range []string{"http://accounts.google.com", "https://accounts.google.com/", "https://accounts.google.com.evil.example", "https://appleid.apple.com"} {
		google.refused(t, iss, google.token(t, authtest.IdPAccount{Subject: "id-1"}, authtest.IDTokenClaim("iss", iss)), "")
	}
}

// ID-05, ID-06, W28: a token is for one of the service's apps and for nobody else.
func TestAudiencesOfIDTokens(t *testing.T) {
	t.Parallel()
	fromEveryIssuer(t, func(t *testing.T, i *issuer) {
		who := i.idp.Account(authtest.IdPAccount{Subject: "id-1"})
		claims := func(aud, azp any) string {
			lies := []func(*authtest.IDToken){authtest.IDTokenClaim("aud", aud)}
			if azp != nil {
				lies = append(lies, authtest.IDTokenClaim("azp", azp))
			}
			return i.token(t, who, lies...)
		}
		for what, token := range map[string]string{
			"the app":                      claims("app", nil),
			"a list of the app":            claims([]string{"app"}, nil),
			"the sister":                   claims("sister", nil),
			"both, issued to one":          i.token(t, who, authtest.IDTokenFor(i.app, i.sister)),
			"the app, issued to a sister":  claims("app", "sister"),
			"the app, issued to the app":   claims("app", "app"),
			"both, issued to the other":    i.token(t, who, authtest.IDTokenFor(i.sister, i.app)),
			"the app, as it was all along": i.token(t, who),
		} {
			if _, err := i.signIn(t, token, ""); err != nil {
				t.Errorf("for %s: %v", what, err)
			}
		}
		for what, token := range map[string]string{
			"another": claims("other", nil), "nobody": claims(nil, nil), "an empty one": claims("", nil), "an empty list": claims([]string{}, nil),
			"a number": claims(1, nil), "a list with a number": claims([]any{"app", 1}, nil), "an object": claims(map[string]any{"app": true}, nil),
			"another case": claims("APP", nil), "the app and another": claims([]string{"app", "other"}, "app"), "both, issued to nobody": claims([]string{"app", "sister"}, nil),
			"the app, issued to another": claims("app", "other"), "the app, issued to an empty one": claims("app", ""), "the app, issued to a number": claims("app", 1),
			"the app, issued to a list": claims("app", []string{"app"}), "no one": i.token(t, who, authtest.IDTokenWithout("aud")),
			"a prefix": claims("ap", nil), "the app and itself": claims("app other", nil),
		} {
			i.refused(t, "for "+what, token, "")
		}
		if _, err := issuers[i.name]([]string{""}, i.idp); err == nil {
			t.Error("it can be made for nobody in particular")
		}
	})
	for _, audiences := range [][]string{nil, {}, {""}, {"app", ""}} {
		if _, err := oauth.GoogleIDTokens(oauth.IDTokenConfig{Audiences: audiences}); err == nil {
			t.Errorf("google is made for %q", audiences)
		}
		if _, err := oauth.AppleIDTokens(oauth.IDTokenConfig{Audiences: audiences}); err == nil {
			t.Errorf("apple is made for %q", audiences)
		}
	}
}

// ID-08, W28: a nonce that is given is in the token, and one that is in the token is given; and then the token is good once.
func TestNoncesOfIDTokens(t *testing.T) {
	t.Parallel()
	fromEveryIssuer(t, func(t *testing.T, i *issuer) {
		who := i.idp.Account(authtest.IdPAccount{Subject: "id-1"})
		sum := sha256.Sum256([]byte("nonce"))
		hashed := hex.EncodeToString(sum[:])
		with := func(nonce any) string { return i.token(t, who, authtest.IDTokenClaim("nonce", nonce)) }
		for what, c := range map[string]struct {
			token, given string
			good         bool
		}{
			"none at all": {i.token(t, who), "", true}, "the same": {with("nonce"), "nonce", true}, "hashed in the token": {with(hashed), "nonce", true},
			"given alone": {i.token(t, who), "nonce", false}, "in the token alone": {with("nonce"), "", false}, "empty in the token": {with(""), "", false},
			"another": {with("other"), "nonce", false}, "hashed in capitals": {with(strings.ToUpper(hashed)), "nonce", false},
			"the hash given": {with("nonce"), hashed, false}, "a list": {with([]string{"nonce"}), "nonce", false}, "a number": {with(1), "1", false},
			"true": {with(true), "true", false}, "null": {with(nil), "", false}, "an object": {with(map[string]any{}), "", false},
			"too long": {with(strings.Repeat("n", 2000)), strings.Repeat("n", 2000), false},
		} {
			if !c.good {
				i.refused(t, what, c.token, c.given)
				continue
			}
			if _, err := i.signIn(t, c.token, c.given); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			if c.given == "" {
				continue
			}
			i.refused(t, what+", once more", c.token, c.given)
			for part, spelling := range respelt(c.token) {
				i.refused(t, what+", once more, with another spelling of its "+part, spelling, c.given)
			}
		}
	})
}

// respelt is a token whose parts say the same in other letters: the last one of base64 has bits that count for nothing.
func respelt(token string) map[string]string {
	parts := strings.Split(token, ".")
	spellings := map[string]string{}
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for n, part := range []string{"header", "claims", "signature"} {
		if free := map[int]int{2: 15, 3: 3}[len(parts[n])%4]; free != 0 {
			last := len(parts[n]) - 1
			other := slices.Clone(parts)
			other[n] = parts[n][:last] + string(letters[strings.IndexByte(letters, parts[n][last])^1])
			spellings[part] = strings.Join(other, ".")
		}
	}
	return spellings
}

// ID-09: who somebody is, is exactly what the token says, and what is no subject is nobody.
func TestSubjectsOfIDTokens(t *testing.T) {
	t.Parallel()
	fromEveryIssuer(t, func(t *testing.T, i *issuer) {
		for what, sub := range map[string]any{
			"a number": 12345, "null": nil, "empty": "", "blank": " ", "a list": []string{"id-1"}, "too long": strings.Repeat("x", 256), "true": true,
			"of two lines": "id-1\r\nid-2", "with a NUL": "id-1\x00", "an object": map[string]any{},
		} {
			i.refused(t, "a subject that is "+what, i.token(t, authtest.IdPAccount{Subject: "id-1"}, authtest.IDTokenClaim("sub", sub)), "")
		}
		i.refused(t, "no subject", i.token(t, authtest.IdPAccount{Subject: "id-1"}, authtest.LieNoSubject), "")
		seen := map[uuid.UUID]bool{}
		for _, sub := range []string{"abc", "ABC", "Abc", "12345", "012345", "1e5", "abc/", strings.Repeat("x", 255)} {
			s, err := i.signIn(t, i.token(t, authtest.IdPAccount{Subject: sub}), "")
			if err != nil || seen[s.User.ID] || i.owner(t, sub) != s.User.ID {
				t.Fatalf("%s: %v", sub, err)
			}
			seen[s.User.ID] = true
		}
	})
	// The same subject at two providers is two people.
	google, apple := newIssuer(t, "google"), newIssuer(t, "apple")
	e := authtest.New(t, func(c *auth.Config) {
		c.IDTokens = map[string]provider.IDTokenVerifier{}
		for _, i := range []*issuer{google, apple} {
			verifier, err := issuers[i.name]([]string{"app"}, i.idp)
			if err != nil {
				t.Fatal(err)
			}
			c.IDTokens[i.name] = verifier
			c.HTTPClient = &http.Client{Transport: i.idp.Transport(c.HTTPClient.Transport, wellKnowns[i.name].hosts...)}
		}
	})
	google.Engine, apple.Engine = e, e
	google.idp.SetNow(e.Clock.Now)
	apple.idp.SetNow(e.Clock.Now)
	one, err := google.signIn(t, google.token(t, authtest.IdPAccount{Subject: "id-1"}), "")
	if err != nil {
		t.Fatal(err)
	}
	two, err := apple.signIn(t, apple.token(t, authtest.IdPAccount{Subject: "id-1"}), "")
	if err != nil || one.User.ID == two.User.ID {
		t.Errorf("they are one: %v", err)
	}
	google.refused(t, "a token of another provider", apple.token(t, authtest.IdPAccount{Subject: "id-1"}), "")
}

// ID-10, ID-11, W3, PH-01, PH-04: an address in a token proves nothing unless the provider says that it does.
func TestAddressesOfIDTokens(t *testing.T) {
	t.Parallel()
	fromEveryIssuer(t, func(t *testing.T, i *issuer) {
		const address = "v@example.com"
		for what, flag := range map[string]any{"true": true, "in words": "true", "false": false, "no": "false", "0": 0, "1": 1, "null": nil, "a list": []bool{true}, "an object": map[string]any{"a": 1}, "in capitals": "TRUE"} {
			proven := flag == true || flag == "true" && i.name == "apple"
			for _, verified := range []bool{true, false} {
				i.engine(t)
				if verified {
					i.SignUp(t, address)
				} else if _, err := signUp(t, i.Engine, address, authtest.Password, auth.SignUpOptions{}); err != nil {
					t.Fatal(err)
				}
				u, err := i.FindUser(t.Context(), auth.UserBy{Email: address})
				if err != nil {
					t.Fatal(err)
				}
				s, err := i.signIn(t, i.token(t, authtest.IdPAccount{Subject: "id-1", Email: address}, authtest.IDTokenClaim("email_verified", flag)), "")
				switch {
				case proven && (err != nil || s.User.ID != u.ID || !s.User.EmailVerified || i.owner(t, "id-1") != u.ID):
					t.Errorf("%s: %v", what, err)
				case !proven && (!errors.Is(err, auth.ErrEmailAlreadyInUse) || s != nil || i.owner(t, "id-1") != uuid.Nil):
					t.Errorf("%s: %v", what, err)
				}
				if _, err := signIn(t, i.Engine, address, authtest.Password); !verified && proven && !errors.Is(err, auth.ErrInvalidEmailPassword) {
					t.Errorf("%s: the password from before: %v", what, err)
				}
			}
		}
		i.engine(t, func(c *auth.Config) { c.Email.BlockedDomains = []string{"blocked.example"} })
		for what, c := range map[string]struct {
			email   any
			refused bool
		}{
			"a list": {[]string{address}, false}, "empty": {"", false}, "null": {nil, false}, "two at signs": {"a@b@example.com", true}, "two lines": {"v@example.com\r\nx: y", true},
		} {
			s, err := i.signIn(t, i.token(t, authtest.IdPAccount{Subject: "with " + what}, authtest.IDTokenClaim("email", c.email), authtest.IDTokenClaim("email_verified", true)), "")
			if c.refused && !errors.Is(err, auth.ErrInvalidEmailPassword) || !c.refused && (err != nil || s.User.Email != "" || s.User.EmailVerified) {
				t.Errorf("an address that is %s: %v", what, err)
			}
		}
		blocked := authtest.IdPAccount{Subject: "id-9", Email: "v@blocked.example", EmailVerified: true}
		if s, err := i.signIn(t, i.token(t, blocked), ""); !errors.Is(err, auth.ErrInvalidEmailPassword) || s != nil || i.owner(t, "id-9") != uuid.Nil {
			t.Errorf("an address that is not admitted: %v", err)
		}
	})
}

// ID-12, ID-13, PH-14, OA-28: the subject decides; an address is taken from nobody, and given to nobody.
func TestSubjectsDecideAndNotAddresses(t *testing.T) {
	t.Parallel()
	fromEveryIssuer(t, func(t *testing.T, i *issuer) {
		a, b := i.SignUp(t, "a@example.com"), i.SignUp(t, "b@example.com")
		ada, bob := i.Principal(t, a), i.Principal(t, b)
		with := func(subject, email string) string {
			return i.token(t, authtest.IdPAccount{Subject: subject, Email: email, EmailVerified: true})
		}
		link := func(p *auth.Principal, token string) error {
			return i.LinkIDToken(t.Context(), p, auth.LinkIDTokenParams{Provider: i.name, IDToken: token})
		}
		if err := link(ada, with("id-1", "b@example.com")); err != nil {
			t.Fatal(err)
		}
		for _, email := range []string{"b@example.com", "a@example.com", "c@example.com", ""} {
			s, err := i.signIn(t, with("id-1", email), "")
			if err != nil || s.User.ID != a.User.ID || s.User.Email != "a@example.com" {
				t.Errorf("with %q: %v", email, err)
			}
		}
		if s, err := i.signIn(t, with("id-2", "a@example.com"), ""); !errors.Is(err, auth.ErrEmailAlreadyInUse) || s != nil {
			t.Errorf("a second account with the same address: %v", err)
		}
		if err := link(bob, with("id-1", "b@example.com")); !errors.Is(err, auth.ErrProviderAccountLinked) {
			t.Errorf("another's: %v", err)
		}
		if err := link(i.Principal(t, guest(t, i.Engine)), with("id-3", "")); !errors.Is(err, auth.ErrForbiddenAnonymous) {
			t.Errorf("a guest: %v", err)
		}
		i.refusedLink(t, bob, "forged", i.token(t, authtest.IdPAccount{Subject: "id-4"}, authtest.LieWrongKey))
		i.refusedLink(t, bob, "for another", i.token(t, authtest.IdPAccount{Subject: "id-4"}, authtest.LieWrongAudience))
		i.refusedLink(t, bob, "with a nonce", i.token(t, authtest.IdPAccount{Subject: "id-4"}, authtest.LieWrongNonce))
		for email, s := range map[string]*auth.Session{"a@example.com": a, "b@example.com": b} {
			if u, err := i.FindUser(t.Context(), auth.UserBy{Email: email}); err != nil || u.ID != s.User.ID {
				t.Errorf("%s: %v", email, err)
			}
		}
		i.Clock.Advance(11 * time.Minute)
		old := i.Principal(t, mustRefresh(t, i.Engine, b.RefreshToken))
		if err := link(old, with("id-5", "")); !errors.Is(err, auth.ErrElevationRequired) || i.owner(t, "id-5") != uuid.Nil {
			t.Errorf("an old session: %v", err)
		}
	})
}

func (i *issuer) refusedLink(t *testing.T, p *auth.Principal, what, token string) {
	t.Helper()
	err := i.LinkIDToken(t.Context(), p, auth.LinkIDTokenParams{Provider: i.name, IDToken: token})
	if !errors.Is(err, auth.ErrInvalidRequest) || i.owner(t, "id-4") != uuid.Nil {
		t.Errorf("a token that is %s: %v", what, err)
	}
}

// ID-14, SS-03, SS-07: keys that cannot be had sign nothing, and those that were good stay good while they cannot be had again.
func TestKeysOfIDTokensThatCannotBeHad(t *testing.T) {
	t.Parallel()
	for name := range issuers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCanary(t)
			i := newIssuer(t, name, func(config *auth.Config) { config.HTTPClient = &http.Client{Transport: c} })
			who := i.idp.Account(authtest.IdPAccount{Subject: "id-1"})
			through := func(config *auth.Config) { config.HTTPClient = &http.Client{Transport: c} }
			set := func(keys string) authtest.IdPFault { return authtest.FaultBody(200, "application/json", keys) }
			faults := map[string]authtest.IdPFault{
				"down": authtest.FaultDown(), "500": authtest.FaultStatus(500), "404": authtest.FaultStatus(404), "a page": authtest.FaultHTML(),
				"cut short": authtest.FaultGarbage(), "too much": authtest.FaultHuge(), "no keys": set(`{"keys":[]}`), "no set": set(`{}`), "null": set(`null`),
				"a list": set(`[]`), "private keys": authtest.FaultPrivateKeys(), "elsewhere": authtest.FaultRedirect(c.URL + "/jwks"),
				"link-local": authtest.FaultRedirect("http://169.254.169.254/latest/meta-data/"),
				"endless": authtest.FaultHandler(func(http.Handler) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { endless(w) })
				}),
				"a bomb": authtest.FaultHandler(func(http.Handler) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { bomb(w) })
				}),
			}
			for what, fault := range faults {
				i.engine(t, through)
				i.idp.Break(authtest.IdPKeys, fault)
				i.refused(t, what, i.token(t, who), "")
				i.idp.Mend()
				// Nobody asks again for ten seconds, and then it is found.
				i.refused(t, what+", still", i.token(t, who), "")
				i.Clock.Advance(10 * time.Second)
				if _, err := i.signIn(t, i.token(t, who), ""); err != nil {
					t.Errorf("%s, no longer: %v", what, err)
				}
				i.idp.Break(authtest.IdPKeys, fault)
				i.Clock.Advance(20 * time.Hour)
				if _, err := i.signIn(t, i.token(t, who), ""); err != nil {
					t.Errorf("%s, and the keys were good: %v", what, err)
				}
				i.Clock.Advance(5 * time.Hour)
				i.refused(t, what+", and the keys are old", i.token(t, who), "")
				i.idp.Mend()
			}
			// Of two keys of one name the right one signs.
			i.engine(t, through)
			i.idp.Break(authtest.IdPKeys, authtest.FaultDuplicateKeys())
			if _, err := i.signIn(t, i.token(t, who), ""); err != nil {
				t.Errorf("two keys of one name: %v", err)
			}
			i.refused(t, "two keys of one name, and neither", i.token(t, who, authtest.LieWrongKey), "")
			i.idp.Mend()
			// Whoever waits gives up, and whoever comes later does not wait for them.
			i.engine(t, through)
			release := make(chan struct{})
			ctx, cancel := context.WithCancel(t.Context())
			i.idp.Break(authtest.IdPKeys, authtest.FaultHandler(func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					cancel()
					<-release
					next.ServeHTTP(w, r)
				})
			}))
			_, err := i.SignInIDToken(ctx, auth.SignInIDTokenParams{Provider: name, IDToken: i.token(t, who)})
			if !errors.Is(err, auth.ErrInvalidRequest) {
				t.Errorf("a silent server: %v", err)
			}
			close(release)
			if _, err := i.signIn(t, i.token(t, who), ""); err != nil {
				t.Errorf("a server that was silent: %v", err)
			}
			i.idp.Mend()
			// The last: a key that is too short is none.
			i.engine(t, through)
			if err := i.idp.RotateToWeakKey(); err != nil {
				t.Fatal(err)
			}
			i.refused(t, "a key of 1024 bits", i.token(t, who), "")
		})
	}
}

// ID-16, OA-29, OA-31, OA-32: the rules hold for who comes by a token.
func TestRulesHoldForIDTokens(t *testing.T) {
	t.Parallel()
	fromEveryIssuer(t, func(t *testing.T, i *issuer) {
		who := authtest.IdPAccount{Subject: "id-1"}
		s, err := i.signIn(t, i.token(t, who), "")
		if err != nil {
			t.Fatal(err)
		}
		i.EnrolTOTP(t, s)
		in, err := i.SignInIDToken(t.Context(), auth.SignInIDTokenParams{Provider: i.name, IDToken: i.token(t, who)})
		if err != nil || in.Session != nil || in.MFA == nil {
			t.Errorf("no second factor: %v", err)
		}
		yes := true
		if _, err := i.UpdateUser(t.Context(), s.User.ID, auth.UserUpdate{Disabled: &yes}); err != nil {
			t.Fatal(err)
		}
		if s, err := i.signIn(t, i.token(t, who), ""); !errors.Is(err, auth.ErrDisabledUser) || s != nil {
			t.Errorf("who is disabled: %v", err)
		}
		in, err = i.SignInIDToken(t.Context(), auth.SignInIDTokenParams{
			Provider: i.name, IDToken: i.token(t, authtest.IdPAccount{Subject: "id-2"}), Options: auth.SignUpOptions{AllowedRoles: []string{"admin"}},
		})
		if !errors.Is(err, auth.ErrRoleNotAllowed) || in != nil || i.owner(t, "id-2") != uuid.Nil {
			t.Errorf("a role of operators: %v", err)
		}
		roles := i.token(t, authtest.IdPAccount{Subject: "id-3"}, authtest.IDTokenClaim("roles", []string{"admin"}),
			authtest.IDTokenClaim("https://hasura.io/jwt/claims", json.RawMessage(`{"x-hasura-default-role":"admin"}`)))
		if s, err := i.signIn(t, roles, ""); err != nil || s.User.DefaultRole != "user" || slices.Contains(s.User.Roles, "admin") {
			t.Errorf("roles in the token: %v", err)
		}
		i.engine(t, func(c *auth.Config) { c.SignUp.Disabled = true })
		if s, err := i.signIn(t, i.token(t, who), ""); !errors.Is(err, auth.ErrSignUpDisabled) || s != nil {
			t.Errorf("sign-ups are off: %v", err)
		}
	})
}

// LG-13: a token that cannot be linked is recorded, as whose attempt and why.
func TestAnIDTokenThatIsNotLinkedIsRecorded(t *testing.T) {
	t.Parallel()
	fromEveryIssuer(t, func(t *testing.T, i *issuer) {
		p := i.Principal(t, i.SignUp(t, "ada@example.com"))
		wantErr(t, i.LinkIDToken(t.Context(), p, auth.LinkIDTokenParams{Provider: i.name, IDToken: "no token"}), auth.ErrInvalidRequest)
		events := i.Events.Of(auth.EventIdentityLinkFailed)
		if len(events) != 1 || events[0].UserID != p.UserID || events[0].SessionID != p.SessionID || events[0].Detail != i.name ||
			events[0].Code != auth.CodeInvalidRequest {
			t.Errorf("%+v", events)
		}
	})
}
