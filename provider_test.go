package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/limit"
	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/storetest"
)

// somewhere is a provider that is asked nothing over the network. It checks what a strict one does: a code is good once, and
// with the verifier of the visit that it was given to.
type somewhere struct {
	mu     sync.Mutex
	visits map[string]provider.Request // by state
	codes  map[string]consent
	fails  error // of Authorize and Refresh
	posts  bool
	suffix string // of access tokens
}

type consent struct {
	verifier string
	profile  provider.Profile
	err      error // of Profile
}

func (s *somewhere) Authorize(_ context.Context, _ provider.Env, r provider.Request) (provider.Authorization, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails != nil {
		return provider.Authorization{}, s.fails
	}
	for name := range r.Params {
		if name != "organization" {
			return provider.Authorization{}, fmt.Errorf("%w: %s", provider.ErrParams, name)
		}
	}
	if s.visits == nil {
		s.visits, s.codes = map[string]provider.Request{}, map[string]consent{}
	}
	s.visits[r.State] = r
	return provider.Authorization{URL: "https://idp.test/authorize?state=" + url.QueryEscape(r.State), FormPost: s.posts, Secret: "kept for " + r.State}, nil
}

func (s *somewhere) Exchange(_ context.Context, _ provider.Env, r provider.Return) (provider.Tokens, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	code := r.Values.Get("code")
	c, found := s.codes[code]
	delete(s.codes, code)
	if !found || c.verifier != r.Verifier || r.Secret != "kept for "+r.State || r.RedirectURI != s.visits[r.State].RedirectURI {
		return provider.Tokens{}, errors.New("invalid_grant")
	}
	s.codes["token "+code+s.suffix] = c
	return provider.Tokens{AccessToken: "token " + code + s.suffix, RefreshToken: "refresh " + code, ExpiresAt: time.Date(2035, 1, 1, 0, 0, 0, 0, time.UTC)}, nil
}

func (s *somewhere) Profile(_ context.Context, _ provider.Env, _ provider.Return, t provider.Tokens) (provider.Profile, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.codes[t.AccessToken]
	return c.profile, c.err
}

func (s *somewhere) Refresh(_ context.Context, env provider.Env, refreshToken string) (provider.Tokens, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails != nil || refreshToken == "nothing" {
		return provider.Tokens{}, s.fails
	}
	return provider.Tokens{AccessToken: "new by " + refreshToken, ExpiresAt: env.Now().Add(time.Hour)}, nil
}

// VerifyIDToken takes a profile as JSON for a token. Its name is the nonce.
func (s *somewhere) VerifyIDToken(_ context.Context, _ provider.Env, idToken, nonce string) (provider.Profile, error) {
	var p provider.Profile
	if err := json.Unmarshal([]byte(idToken), &p); err != nil || p.Name != nonce {
		return p, errors.New("not a token")
	}
	return p, nil
}

// consent is what happens at the provider: its user agrees, and the browser gets a code.
func (s *somewhere) consent(start *auth.ProviderStart, p provider.Profile, err error) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	code := fmt.Sprintf("code %d", len(s.codes))
	s.codes[code] = consent{s.visits[start.State].Verifier, p, err}
	return code
}

// withSomewhere configures two providers, here and there, and their id tokens.
func withSomewhere(here, there *somewhere) func(*auth.Config) {
	return func(c *auth.Config) {
		c.Providers = map[string]provider.Provider{"here": here, "there": there}
		c.IDTokens = map[string]provider.IDTokenVerifier{"here": here, "there": there}
	}
}

// visitor is an engine with two providers.
type visitor struct {
	*authtest.Engine
	here, there *somewhere
}

func newVisitor(t *testing.T, amend ...func(*auth.Config)) *visitor {
	t.Helper()
	return newVisitorWithStore(t, memstore.New(), amend...)
}

func newVisitorWithStore(t *testing.T, s store.Store, amend ...func(*auth.Config)) *visitor {
	t.Helper()
	v := &visitor{here: &somewhere{}, there: &somewhere{}}
	v.Engine = authtest.NewWithStore(t, s, append([]func(*auth.Config){withSomewhere(v.here, v.there)}, amend...)...)
	return v
}

// replica is another engine of the same service, with a store that may be another view of the same data.
func (v *visitor) replica(t *testing.T, s store.Store, amend ...func(*auth.Config)) *authtest.Engine {
	t.Helper()
	return authtest.NewWithStore(t, s, append(slices.Clone(amend), withSomewhere(v.here, v.there), func(c *auth.Config) {
		c.Mail, c.Now = v.Mailbox, v.Clock.Now
		if c.SMS != nil {
			c.SMS.Sender = v.Phone
		}
	})...)
}

func (v *visitor) start(t *testing.T, name string, o auth.SignUpOptions) *auth.ProviderStart {
	t.Helper()
	start, err := v.StartProvider(t.Context(), auth.StartProviderParams{Provider: name, Options: o})
	if err != nil {
		t.Fatal(err)
	}
	return start
}

func (v *visitor) provider(name string) *somewhere {
	if name == "there" {
		return v.there
	}
	return v.here
}

func (v *visitor) finish(t *testing.T, name string, start *auth.ProviderStart, p provider.Profile) (*auth.ProviderResult, error) {
	t.Helper()
	code := v.provider(name).consent(start, p, nil)
	return v.FinishProvider(t.Context(), auth.FinishProviderParams{
		Provider: name, Binding: start.Binding, Values: url.Values{"state": {start.State}, "code": {code}},
	})
}

// visit is a whole visit.
func (v *visitor) visit(t *testing.T, name string, p provider.Profile) (*auth.ProviderResult, error) {
	t.Helper()
	return v.finish(t, name, v.start(t, name, auth.SignUpOptions{}), p)
}

// linkTo links an account to a user's.
func (v *visitor) linkTo(t *testing.T, who *auth.Principal, name string, p provider.Profile) error {
	t.Helper()
	start, err := v.LinkProvider(t.Context(), who, auth.LinkProviderParams{Provider: name})
	if err != nil {
		return err
	}
	r, err := v.finish(t, name, start, p)
	if err == nil && (!r.Linked || r.Session != nil) {
		t.Errorf("linked: %v, with a session: %v", r.Linked, r.Session != nil)
	}
	return err
}

// person is an account at a provider with an address.
func person(subject, email string, verified bool) provider.Profile {
	return provider.Profile{Subject: subject, Email: email, EmailVerified: verified}
}

// The table of FinishProvider, by a visit and by an id token. PH-01, PH-04, OA-06, OA-28, OA-29, OA-32, ID-11, ID-12, W3, W4, E4.
func TestWhoSomebodyIs(t *testing.T) {
	t.Parallel()
	const address = "v@example.com"
	pending := func(t *testing.T, v *visitor) uuid.UUID { // somebody signed up with a password, and nobody verified the address
		if _, err := signUp(t, v.Engine, address, authtest.Password, auth.SignUpOptions{}); err != nil {
			t.Fatal(err)
		}
		u, err := v.FindUser(t.Context(), auth.UserBy{Email: address})
		if err != nil {
			t.Fatal(err)
		}
		return u.ID
	}
	proven := func(t *testing.T, v *visitor) uuid.UUID { return v.SignUp(t, address).User.ID }
	linked := func(t *testing.T, v *visitor) uuid.UUID {
		s := v.SignUp(t, address)
		if err := v.linkTo(t, v.Principal(t, s), "here", person("1", "else@example.com", true)); err != nil {
			t.Fatal(err)
		}
		return s.User.ID
	}
	signedUp := func(t *testing.T, v *visitor) uuid.UUID { // by a visit, with the address that nobody verified
		if _, err := v.visit(t, "here", person("1", address, false)); err != nil {
			t.Fatal(err)
		}
		u, err := v.FindUser(t.Context(), auth.UserBy{Email: address})
		if err != nil {
			t.Fatal(err)
		}
		return u.ID
	}
	disabled := func(before func(*testing.T, *visitor) uuid.UUID) func(*testing.T, *visitor) uuid.UUID {
		return func(t *testing.T, v *visitor) uuid.UUID {
			id, yes := before(t, v), true
			if _, err := v.UpdateUser(t.Context(), id, auth.UserUpdate{Disabled: &yes}); err != nil {
				t.Fatal(err)
			}
			return id
		}
	}
	nobody := func(*testing.T, *visitor) uuid.UUID { return uuid.Nil }
	noSignUp := func(c *auth.Config) { c.SignUp.Disabled = true }
	for _, c := range []struct {
		name    string
		before  func(*testing.T, *visitor) uuid.UUID
		amend   func(*auth.Config)
		who     provider.Profile
		same    bool // they are the user from before
		session bool
		code    error
		linked  bool // afterwards the account at the provider is somebody's
	}{
		{name: "known, the address is no matter", before: linked, who: person("1", "third@example.com", false), same: true, session: true, linked: true},
		{name: "known without an address", before: linked, who: person("1", "", false), same: true, session: true, linked: true},
		{name: "known with the address of nobody", before: linked, who: person("1", "v2@example.com", true), same: true, session: true, linked: true},
		{name: "known and disabled", before: disabled(linked), who: person("1", address, true), code: auth.ErrDisabledUser, same: true, linked: true},
		{name: "known while sign-ups are off", before: linked, amend: noSignUp, who: person("1", "", false), same: true, session: true, linked: true},
		{name: "verified on both sides", before: proven, who: person("2", address, true), same: true, session: true, linked: true},
		{name: "verified on both sides, in another spelling", before: proven, who: person("2", "V@EXAMPLE.com", true), same: true, session: true, linked: true},
		{name: "verified on both sides and disabled", before: disabled(proven), who: person("2", address, true), code: auth.ErrDisabledUser},
		{name: "verified here alone", before: proven, who: person("2", address, false), code: auth.ErrEmailAlreadyInUse},
		{name: "verified here alone and disabled", before: disabled(proven), who: person("2", address, false), code: auth.ErrEmailAlreadyInUse},
		{name: "verified there alone", before: pending, who: person("2", address, true), same: true, session: true, linked: true},
		{name: "verified there alone and disabled", before: disabled(pending), who: person("2", address, true), code: auth.ErrDisabledUser},
		{name: "verified nowhere", before: pending, who: person("2", address, false), code: auth.ErrEmailAlreadyInUse},
		{name: "another account of the same provider, of which none is verified here", before: signedUp, who: person("2", address, true), same: true, session: true, linked: true},
		{name: "another account of the same provider", before: linked, who: person("2", address, true), code: auth.ErrEmailAlreadyInUse},
		{name: "nobody, verified there", before: nobody, who: person("2", address, true), session: true, linked: true},
		{name: "nobody, not verified there", before: nobody, who: person("2", address, false), linked: true},
		{name: "nobody, not verified there, and no need", before: nobody, amend: unverified, who: person("2", address, false), session: true, linked: true},
		{name: "nobody without an address", before: nobody, who: person("2", "", false), session: true, linked: true},
		{name: "nobody without an address that is one", before: nobody, who: person("2", "a@b@example.com", true), session: true, linked: true},
		{name: "nobody while sign-ups are off", before: nobody, amend: noSignUp, who: person("2", address, true), code: auth.ErrSignUpDisabled},
		{
			name: "nobody while new users are disabled", before: nobody, amend: func(c *auth.Config) { c.SignUp.DisableNewUsers = true },
			who: person("2", address, true), code: auth.ErrDisabledUser, linked: true,
		},
		{
			name: "an address that is not admitted", before: nobody, amend: func(c *auth.Config) { c.Email.BlockedDomains = []string{"EXAMPLE.com"} },
			who: person("2", address, true), code: auth.ErrInvalidEmailPassword,
		},
		{
			name: "an address that is not admitted and not verified", before: nobody, amend: func(c *auth.Config) { c.Email.BlockedDomains = []string{"EXAMPLE.com"} },
			who: person("2", address, false), code: auth.ErrInvalidEmailPassword,
		},
		{
			name: "known, with an address that is not admitted", before: linked, amend: func(c *auth.Config) { c.Email.BlockedDomains = []string{"evil.example"} },
			who: person("1", "v@evil.example", true), same: true, linked: true, code: auth.ErrInvalidEmailPassword,
		},
	} {
		for _, way := range []string{"visit", "id token"} {
			t.Run(c.name+" by "+way, func(t *testing.T) {
				t.Parallel()
				s := memstore.New()
				id := c.before(t, newVisitorWithStore(t, s))
				var amend []func(*auth.Config)
				if c.amend != nil {
					amend = append(amend, c.amend)
				}
				v := newVisitorWithStore(t, s, amend...)
				var in auth.SignInResult
				if way == "visit" {
					r, err := v.visit(t, "here", c.who)
					if !errors.Is(err, c.code) {
						t.Fatalf("%v, want %v", err, c.code)
					}
					in = r.SignInResult
				} else {
					r, err := v.SignInIDToken(t.Context(), auth.SignInIDTokenParams{Provider: "here", IDToken: asJSON(c.who)})
					if !errors.Is(err, c.code) {
						t.Fatalf("%v, want %v", err, c.code)
					}
					if r != nil {
						in = *r
					}
				}
				if (in.Session != nil) != c.session || in.MFA != nil || in.Code != "" {
					t.Fatalf("%+v", in)
				}
				if c.session && c.same && in.Session.User.ID != id {
					t.Errorf("they are %s, and were %s", in.Session.User.ID, id)
				}
				a, err := s.User(t.Context(), store.UserQuery{Identity: store.IdentityKey{Provider: "here", Subject: c.who.Subject}, Now: v.Clock.Now()})
				if (err == nil) != c.linked || c.linked && c.same && a.ID != id {
					t.Errorf("linked to %s: %v", a.ID, err)
				}
			})
		}
	}
}

// PH-01, PH-03, PH-11, W4: who first proves an address has the account, and nothing that was there before lets anybody in.
func TestAProviderDisplacesWhoeverWaitedAtAnAddress(t *testing.T) {
	t.Parallel()
	v := newVisitor(t, unverified)
	mallory := v.SignUp(t, "v@example.com")
	who := v.Principal(t, mallory)
	if err := v.linkTo(t, who, "there", person("mallory", "", false)); err != nil {
		t.Fatal(err)
	}
	pat := createPAT(t, v.Engine, who, time.Hour)
	key := &authtest.Authenticator{}
	addKey(t, v.Engine, v.Principal(t, v.SignIn(t, "v@example.com")), key)

	r, err := v.visit(t, "here", person("1", "v@example.com", true))
	if err != nil || r.Session.User.ID != mallory.User.ID || !r.Session.User.EmailVerified {
		t.Fatalf("%v, %v", r.Session, err)
	}
	if _, err := v.SignInPassword(t.Context(), auth.SignInPasswordParams{Email: "v@example.com", Password: authtest.Password}); !errors.Is(err, auth.ErrInvalidEmailPassword) {
		t.Errorf("the password: %v", err)
	}
	if _, err := refresh(t, v.Engine, mallory.RefreshToken); !errors.Is(err, auth.ErrInvalidRefreshToken) {
		t.Errorf("the session: %v", err)
	}
	if _, err := signInPAT(t, v.Engine, pat.Token); !errors.Is(err, auth.ErrInvalidPAT) {
		t.Errorf("the token: %v", err)
	}
	if in, err := endKeySignIn(t, v.Engine, key.Get(t, beginKeySignIn(t, v.Engine, ""))); err == nil {
		t.Errorf("the key: %v", in)
	}
	if in, err := v.visit(t, "there", person("mallory", "", false)); err != nil || in.Session.User.ID == mallory.User.ID {
		t.Errorf("the other identity: %v, %v", in.Session, err)
	}
	list, err := v.ListIdentities(t.Context(), v.Principal(t, r.Session))
	if err != nil || len(list) != 1 || list[0].Provider != "here" {
		t.Errorf("%v, %v", list, err)
	}
}

// Who could not prove their address, and comes back when the provider has seen a proof of it.
func TestAProviderVerifiesTheAddressOfAnAccountThatIsKnown(t *testing.T) {
	t.Parallel()
	v := newVisitor(t)
	r, err := v.visit(t, "here", person("1", "v@example.com", false))
	if err != nil || r.Session != nil {
		t.Fatalf("%v, %v", r.Session, err)
	}
	link := v.Mailbox.Last(t, "v@example.com")
	if link.Template != "email-verify" {
		t.Errorf("letter %s", link.Template)
	}
	if _, err := v.visit(t, "here", person("1", "v@example.com", false)); !errors.Is(err, auth.ErrUnverifiedUser) {
		t.Errorf("not yet: %v", err)
	}
	if _, err := v.visit(t, "here", person("1", "else@example.com", true)); !errors.Is(err, auth.ErrUnverifiedUser) {
		t.Errorf("another address: %v", err)
	}
	if r, err = v.visit(t, "here", person("1", "v@example.com", true)); err != nil || !r.Session.User.EmailVerified {
		t.Fatalf("%v, %v", r.Session, err)
	}
	if r, err = v.visit(t, "here", person("1", "v@example.com", true)); err != nil || r.Session == nil {
		t.Errorf("and again: %v, %v", r.Session, err)
	}
	if _, err := v.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: link.Ticket()}); !errors.Is(err, auth.ErrInvalidTicket) {
		t.Errorf("the link from before: %v", err)
	}
	if n := len(v.Events.Of(auth.EventEmailVerified)); n != 1 {
		t.Errorf("%d events", n)
	}
}

// OA-01, OA-07, OA-08, OA-09, OA-11, OA-15, W18, W19.
func TestAVisitEndsInTheBrowserThatBeganItAndOnce(t *testing.T) {
	t.Parallel()
	v := newVisitor(t)
	ada := person("ada", "ada@example.com", true)
	end := func(name string, start *auth.ProviderStart, values url.Values, binding string) error {
		_, err := v.FinishProvider(t.Context(), auth.FinishProviderParams{Provider: name, Values: values, Binding: binding})
		return err
	}
	start := v.start(t, "here", auth.SignUpOptions{})
	other := v.start(t, "here", auth.SignUpOptions{})
	elsewhere := v.start(t, "there", auth.SignUpOptions{})
	good := url.Values{"state": {start.State}, "code": {v.here.consent(start, ada, nil)}}
	for name, err := range map[string]error{
		"without the browser's cookie":             end("here", start, good, ""),
		"in another browser":                       end("here", start, good, other.Binding),
		"with the state of another browser":        end("here", start, url.Values{"state": {other.State}, "code": good["code"]}, start.Binding),
		"at another provider":                      end("there", start, good, start.Binding),
		"of another provider":                      end("here", elsewhere, url.Values{"state": {elsewhere.State}, "code": {"x"}}, elsewhere.Binding),
		"with a state that nobody gave out":        end("here", start, url.Values{"state": {"x"}, "code": good["code"]}, start.Binding),
		"without a state":                          end("here", start, url.Values{"code": good["code"]}, start.Binding),
		"with two states":                          end("here", start, url.Values{"state": {start.State, other.State}, "code": good["code"]}, start.Binding),
		"with the state of two that make the same": end("here", start, url.Values{"state": {start.State + ":" + start.Binding}, "code": good["code"]}, ""),
		"with parts that are put elsewhere":        end("here:"+start.State, start, url.Values{"state": {start.Binding}, "code": good["code"]}, ""),
	} {
		if !errors.Is(err, auth.ErrInvalidState) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := end("here", start, good, start.Binding); err != nil {
		t.Errorf("after all that: %v", err)
	}
	if err := end("here", start, good, start.Binding); !errors.Is(err, auth.ErrInvalidState) {
		t.Errorf("once more: %v", err)
	}
	// The code of one visit is nothing to another: the verifier is not its own.
	code := v.here.consent(other, person("mallory", "", false), nil)
	mine := v.start(t, "here", auth.SignUpOptions{})
	if err := end("here", mine, url.Values{"state": {mine.State}, "code": {code}}, mine.Binding); !errors.Is(err, auth.ErrOAuthTokenExchangeFailed) {
		t.Errorf("an injected code: %v", err)
	}
	for name, values := range map[string]url.Values{
		"no code":    {},
		"empty code": {"code": {""}},
	} {
		begun := v.start(t, "here", auth.SignUpOptions{})
		values.Set("state", begun.State)
		if err := end("here", begun, values, begun.Binding); !errors.Is(err, auth.ErrOAuthTokenExchangeFailed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	begun := v.start(t, "here", auth.SignUpOptions{})
	if err := end("here", begun, url.Values{"state": {begun.State}, "code": {v.here.consent(begun, ada, nil), "x"}}, begun.Binding); !errors.Is(err, auth.ErrInvalidRequest) {
		t.Errorf("two codes: %v", err)
	}
	late := v.start(t, "here", auth.SignUpOptions{})
	v.Clock.Advance(10*time.Minute - time.Microsecond)
	if _, err := v.finish(t, "here", late, ada); err != nil {
		t.Errorf("at the last moment: %v", err)
	}
	late = v.start(t, "here", auth.SignUpOptions{})
	v.Clock.Advance(10 * time.Minute)
	if _, err := v.finish(t, "here", late, ada); !errors.Is(err, auth.ErrInvalidState) {
		t.Errorf("too late: %v", err)
	}
}

// OA-07: of fifty ends of one visit one succeeds.
func TestOneOfFiftyEndsOfAVisitSucceeds(t *testing.T) {
	t.Parallel()
	v := newVisitor(t)
	start := v.start(t, "here", auth.SignUpOptions{})
	code := v.here.consent(start, person("1", "ada@example.com", true), nil)
	var ok atomic.Int64
	atOnce(50, func(int) {
		_, err := v.FinishProvider(background, auth.FinishProviderParams{
			Provider: "here", Binding: start.Binding, Values: url.Values{"state": {start.State}, "code": {code}},
		})
		if err == nil {
			ok.Add(1)
		} else if !errors.Is(err, auth.ErrInvalidState) {
			t.Error(err)
		}
	})
	if ok.Load() != 1 {
		t.Errorf("%d succeeded", ok.Load())
	}
}

// Fifty visits of one person who is nobody yet make one user, and fifty of fifty people fifty. OA-37.
func TestFirstVisitsAtTheSameMoment(t *testing.T) {
	t.Parallel()
	for _, people := range []int{1, 50} {
		v := newVisitor(t)
		var ids sync.Map
		starts := make([]*auth.ProviderStart, 50)
		for i := range starts {
			starts[i] = v.start(t, "here", auth.SignUpOptions{})
		}
		atOnce(50, func(i int) {
			name := fmt.Sprintf("p%d", i%people)
			r, err := v.finish(t, "here", starts[i], person(name, name+"@example.com", true))
			if err != nil {
				t.Error(err)
				return
			}
			if r.Session.User.Email != name+"@example.com" {
				t.Errorf("%s came in as %s", name, r.Session.User.Email)
			}
			ids.Store(r.Session.User.ID, true)
		})
		n := 0
		ids.Range(func(any, any) bool { n++; return true })
		if n != people {
			t.Errorf("%d people are %d users", people, n)
		}
	}
}

// What was decided on an account that has changed since is decided again.
func TestTheAccountChangesWhileSomebodyComesIn(t *testing.T) {
	t.Parallel()
	var method atomic.Pointer[string]
	var first atomic.Pointer[func()]
	do := func(name string) storetest.Fault {
		return storetest.Fault{Method: name, Do: func(context.Context) {
			if m := method.Load(); m == nil || *m != name {
				return
			}
			if f := first.Swap(nil); f != nil {
				(*f)()
			}
		}}
	}
	v := newVisitorWithStore(t, storetest.Break(memstore.New(), do("CreateUser"), do("ChangeUser")))
	before := func(name string, f func()) {
		method.Store(&name)
		first.Store(&f)
	}
	must := func(r *auth.ProviderResult, err error) *auth.Session {
		t.Helper()
		if err != nil || r.Session == nil {
			t.Fatalf("%+v, %v", r, err)
		}
		return r.Session
	}
	ada := person("1", "ada@example.com", true)
	var other *auth.Session
	before("CreateUser", func() { other = must(v.visit(t, "here", ada)) })
	if s := must(v.visit(t, "here", ada)); s.User.ID != other.User.ID {
		t.Error("one person has become two users")
	}
	nameless := person("0", "", false)
	before("CreateUser", func() { other = must(v.visit(t, "here", nameless)) })
	if s := must(v.visit(t, "here", nameless)); s.User.ID != other.User.ID {
		t.Error("one person without an address has become two users")
	}
	// A sign-up comes between: its address is nobody's for the taking.
	before("CreateUser", func() { pendingUser(t, v.Engine, "squat@example.com") })
	if r, err := v.visit(t, "here", person("squat", "squat@example.com", false)); !errors.Is(err, auth.ErrEmailAlreadyInUse) {
		t.Errorf("a sign-up of a moment ago: %v, %v", r.Session, err)
	}
	bob := person("2", "bob@example.com", true)
	before("CreateUser", func() { other = must(v.visit(t, "there", bob)) })
	if s := must(v.visit(t, "here", bob)); s.User.ID != other.User.ID {
		t.Error("one address has become two users")
	}
	// The account at the provider is unlinked from one user and becomes another's.
	p := v.Principal(t, other)
	before("ChangeUser", func() {
		if err := v.Unlink(t.Context(), p, auth.UnlinkParams{Provider: "here", Subject: "2"}); err != nil {
			t.Error(err)
		}
	})
	if s := must(v.visit(t, "here", person("2", "", false))); s.User.ID == other.User.ID {
		t.Error("an account that has just been unlinked opens the user's")
	}
	before("ChangeUser", func() {
		if err := v.DeleteUser(t.Context(), other.User.ID); err != nil {
			t.Error(err)
		}
	})
	if s := must(v.visit(t, "there", bob)); s.User.ID == other.User.ID {
		t.Error("somebody came into an account that is gone")
	}
	// While an account is being linked its session ends, or its owner takes it back.
	link := func(first func(p *auth.Principal, s *auth.Session)) error {
		s := must(v.visit(t, "here", ada))
		p := v.Principal(t, s)
		start, err := v.LinkProvider(t.Context(), p, auth.LinkProviderParams{Provider: "there"})
		if err != nil {
			t.Fatal(err)
		}
		before("ChangeUser", func() { first(p, s) })
		_, err = v.finish(t, "there", start, person("mallory", "", false))
		return err
	}
	err := link(func(_ *auth.Principal, s *auth.Session) {
		if err := v.SignOut(t.Context(), nil, auth.SignOutParams{RefreshToken: s.RefreshToken}); err != nil {
			t.Error(err)
		}
	})
	if !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("signed out: %v", err)
	}
	err = link(func(p *auth.Principal, _ *auth.Session) {
		key := v.Principal(t, must(v.visit(t, "here", ada)))
		if err := v.RevokePAT(t.Context(), key, createPAT(t, v.Engine, key, time.Hour).ID); err != nil {
			t.Error(err)
		}
	})
	if !errors.Is(err, auth.ErrInvalidRequest) {
		t.Errorf("something was taken away: %v", err)
	}
	s := must(v.visit(t, "here", ada))
	before("ChangeUser", func() {
		if err := v.SignOut(t.Context(), nil, auth.SignOutParams{RefreshToken: s.RefreshToken}); err != nil {
			t.Error(err)
		}
	})
	if _, err := v.ProviderTokens(t.Context(), v.Principal(t, s), "here"); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("tokens for who has signed out: %v", err)
	}
	// Two ways in are unlinked at once: one stays.
	p = v.Principal(t, must(v.visit(t, "here", person("3", "", false))))
	if err := v.linkTo(t, p, "there", person("3", "", false)); err != nil {
		t.Fatal(err)
	}
	before("ChangeUser", func() {
		if err := v.Unlink(t.Context(), p, auth.UnlinkParams{Provider: "here", Subject: "3"}); err != nil {
			t.Error(err)
		}
	})
	if err := v.Unlink(t.Context(), p, auth.UnlinkParams{Provider: "there", Subject: "3"}); !errors.Is(err, auth.ErrInvalidRequest) {
		t.Errorf("the last way in: %v", err)
	}
}

// OA-35: what is wrong is said before the browser leaves.
func TestStartProviderRefuses(t *testing.T) {
	t.Parallel()
	v := newVisitor(t)
	for name, c := range map[string]struct {
		p    auth.StartProviderParams
		want error
	}{
		"no such provider":        {auth.StartProviderParams{Provider: "nowhere"}, auth.ErrDisabledEndpoint},
		"an open redirect":        {auth.StartProviderParams{Provider: "here", Options: auth.SignUpOptions{RedirectTo: "https://evil.example"}}, auth.ErrRedirectNotAllowed},
		"a role of operators":     {auth.StartProviderParams{Provider: "here", Options: auth.SignUpOptions{AllowedRoles: []string{"admin"}}}, auth.ErrRoleNotAllowed},
		"a default role of none":  {auth.StartProviderParams{Provider: "here", Options: auth.SignUpOptions{DefaultRole: "admin"}}, auth.ErrDefaultRoleNotAllowed},
		"metadata of 1 MiB":       {auth.StartProviderParams{Provider: "here", Options: auth.SignUpOptions{Metadata: json.RawMessage(`{"a":"` + strings.Repeat("x", 1<<20) + `"}`)}}, auth.ErrInvalidRequest},
		"metadata that is none":   {auth.StartProviderParams{Provider: "here", Options: auth.SignUpOptions{Metadata: json.RawMessage(`[]`)}}, auth.ErrInvalidRequest},
		"a name of HTML":          {auth.StartProviderParams{Provider: "here", Options: auth.SignUpOptions{DisplayName: "<a href=\"x\">"}}, auth.ErrInvalidRequest},
		"a challenge that is not": {auth.StartProviderParams{Provider: "here", CodeChallenge: "x"}, auth.ErrInvalidRequest},
		"a state without end":     {auth.StartProviderParams{Provider: "here", State: strings.Repeat("x", 1025)}, auth.ErrInvalidRequest},
		"unknown parameters":      {auth.StartProviderParams{Provider: "here", Params: url.Values{"prompt": {"none"}}}, auth.ErrInvalidRequest},
		"parameters without end":  {auth.StartProviderParams{Provider: "here", Params: url.Values{"organization": {strings.Repeat("x", 1025-len("organization="))}}}, auth.ErrInvalidRequest},
	} {
		if _, err := v.StartProvider(t.Context(), c.p); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	start, err := v.StartProvider(t.Context(), auth.StartProviderParams{
		Provider: "here", State: strings.Repeat("x", 1024), Params: url.Values{"organization": {strings.Repeat("x", 1024-len("organization="))}},
	})
	if err != nil || start.Life != 10*time.Minute {
		t.Errorf("as long as may be: %v", err)
	}
	v.here.fails = errors.New("the provider is down")
	if _, err := v.StartProvider(t.Context(), auth.StartProviderParams{Provider: "here"}); !errors.Is(err, auth.ErrInternal) {
		t.Errorf("down: %v", err)
	}
}

// OA-13, OA-14, OA-38, OA-43: an error leads somewhere that is allowed, and the provider's text is bounded.
func TestAVisitThatFails(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	app := func(c *auth.Config) { c.AllowedRedirectURLs = []string{"https://other.test"} }
	v := newVisitorWithStore(t, s, app)
	begin := func() *auth.ProviderStart {
		start, err := v.StartProvider(t.Context(), auth.StartProviderParams{
			Provider: "here", State: "the client's", Options: auth.SignUpOptions{RedirectTo: "https://other.test/after?x=1#y"},
		})
		if err != nil {
			t.Fatal(err)
		}
		return start
	}
	finish := func(e *auth.Engine, start *auth.ProviderStart, values url.Values) (*auth.ProviderResult, error) {
		values.Set("state", start.State)
		return e.FinishProvider(t.Context(), auth.FinishProviderParams{Provider: "here", Binding: start.Binding, Values: values})
	}
	long := strings.Repeat("<b>\r\n\x00", 10_000)
	r, err := finish(v.Engine.Engine, begin(), url.Values{"error": {"access_denied"}, "error_description": {long}, "code": {"x"}})
	if !errors.Is(err, auth.ErrOAuthProviderError) || r.RedirectTo != "https://other.test/after?x=1#y" || r.State != "the client's" {
		t.Errorf("%v, %s, %s", err, r.RedirectTo, r.State)
	}
	if r.Refusal.Error != "access_denied" || len(r.Refusal.Description) != 256 || strings.ContainsAny(r.Refusal.Description, "\r\n\x00") || r.Refusal.URI != "" {
		t.Errorf("%+v", r.Refusal)
	}
	start := begin()
	code := v.here.consent(start, person("", "x@example.com", true), nil)
	if r, err = finish(v.Engine.Engine, start, url.Values{"code": {code}}); !errors.Is(err, auth.ErrOAuthProfileFetchFailed) || r.RedirectTo != "https://other.test/after?x=1#y" {
		t.Errorf("no id: %v, %s", err, r.RedirectTo) // OA-27, W40
	}
	start = begin()
	code = v.here.consent(start, provider.Profile{}, errors.New("500"))
	if _, err = finish(v.Engine.Engine, start, url.Values{"code": {code}}); !errors.Is(err, auth.ErrOAuthProfileFetchFailed) {
		t.Errorf("no profile: %v", err)
	}
	start = begin()
	narrow := newVisitorWithStore(t, s, withSomewhere(v.here, v.there))
	if r, err = finish(narrow.Engine.Engine, start, url.Values{"code": {"x"}}); !errors.Is(err, auth.ErrRedirectNotAllowed) || r.RedirectTo != authtest.ClientURL {
		t.Errorf("no more allowed: %v, %s", err, r.RedirectTo)
	}
	start = begin()
	without := authtest.NewWithStore(t, s, app)
	if r, err = finish(without.Engine, start, url.Values{"code": {"x"}}); !errors.Is(err, auth.ErrDisabledEndpoint) || r.RedirectTo != "https://other.test/after?x=1#y" {
		t.Errorf("off by now: %v, %s", err, r.RedirectTo)
	}
	r, err = v.FinishProvider(t.Context(), auth.FinishProviderParams{Provider: "here", Values: url.Values{"state": {"x"}}})
	if !errors.Is(err, auth.ErrInvalidState) || r == nil || r.RedirectTo != authtest.ClientURL {
		t.Errorf("%v, %+v", err, r)
	}
	panics := newVisitorWithStore(t, s, app, func(c *auth.Config) { c.Providers["here"] = nil; c.Providers["here"] = broken{} })
	if _, err := panics.StartProvider(t.Context(), auth.StartProviderParams{Provider: "here"}); !errors.Is(err, auth.ErrInternal) {
		t.Errorf("a panic: %v", err)
	}
}

// broken is a provider with a mistake.
type broken struct{ provider.Provider }

// OA-25, OA-23: what a profile brings is bounded, and no role comes with it.
func TestProfilesAreBounded(t *testing.T) {
	t.Parallel()
	v := newVisitor(t)
	huge := strings.Repeat("<script>\r\n", 100_000)
	r, err := v.visit(t, "here", provider.Profile{Subject: "1", Name: huge, Picture: "https://x.test/" + huge, Email: huge, EmailVerified: true})
	if err != nil {
		t.Fatal(err)
	}
	if u := r.Session.User; len(u.DisplayName) > 32 || u.AvatarURL != "" || u.Email != "" || u.EmailVerified {
		t.Errorf("%s", asJSON(u))
	}
	for picture, kept := range map[string]bool{
		"https://x.test/a.png": true, "http://x.test/a.png": false, "javascript:alert(1)": false, "https://a@x.test/": false, "//x.test": false, "data:image/png,x": false,
	} {
		r, err := v.visit(t, "here", provider.Profile{Subject: picture, Picture: picture})
		if err != nil || (r.Session.User.AvatarURL == picture) != kept {
			t.Errorf("%s: %v, %v", picture, r.Session, err)
		}
		if name := r.Session.User.DisplayName; name == "" || len(name) > 32 || strings.ContainsAny(name, ":/@(") {
			t.Errorf("without a name: %q", name)
		}
	}
	for subject, name := range map[string]string{"000123-ab.cd": "000123-ab.cd", "<\u202e\u2028>": "<>", "::": "here", strings.Repeat("9", 200): strings.Repeat("9", 32)} {
		if r, err := v.visit(t, "here", provider.Profile{Subject: subject}); err != nil || r.Session.User.DisplayName != name {
			t.Errorf("%q is called %v, %v", subject, r.Session, err)
		}
	}
	if r, err := v.visit(t, "here", provider.Profile{Subject: "odd", Picture: "https://x.test/?\xff"}); err != nil || r.Session.User.AvatarURL != "" {
		t.Errorf("a picture that is not UTF-8: %v, %v", r.Session, err)
	}
	for name, subject := range map[string]string{"long": strings.Repeat("x", 256), "with control characters": "a\x00b", "not UTF-8": "\xff", "no more UTF-8": "a\ufffdb"} {
		if _, err := v.visit(t, "here", provider.Profile{Subject: subject}); !errors.Is(err, auth.ErrOAuthProfileFetchFailed) {
			t.Errorf("an id that is %s: %v", name, err)
		}
	}
	named, err := v.StartProvider(t.Context(), auth.StartProviderParams{Provider: "here", Options: auth.SignUpOptions{
		DisplayName: "Chosen", Metadata: json.RawMessage(`{"a": 1}`), AllowedRoles: []string{"user"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	r, err = v.finish(t, "here", named, provider.Profile{Subject: "n", Name: "Given"})
	if err != nil || r.Session.User.DisplayName != "Chosen" || string(r.Session.User.Metadata) != `{"a":1}` || !cmp.Equal(r.Session.User.Roles, []string{"user"}) {
		t.Errorf("%v, %v", r.Session, err)
	}
	// OA-35: options are for who is new.
	again, err := v.StartProvider(t.Context(), auth.StartProviderParams{Provider: "here", Options: auth.SignUpOptions{DisplayName: "Changed", Metadata: json.RawMessage(`{}`)}})
	if err != nil {
		t.Fatal(err)
	}
	if r, err = v.finish(t, "here", again, provider.Profile{Subject: "n"}); err != nil || r.Session.User.DisplayName != "Chosen" || string(r.Session.User.Metadata) != `{"a":1}` {
		t.Errorf("%v, %v", r.Session, err)
	}
}

// OA-04, OA-05, OA-06, ID-13, W18.
func TestLinking(t *testing.T) {
	t.Parallel()
	v := newVisitor(t)
	session := v.SignUp(t, "ada@example.com")
	ada := v.Principal(t, session)
	bob := v.Principal(t, v.SignUp(t, "bob@example.com"))
	if err := v.linkTo(t, ada, "here", person("1", "bob@example.com", true)); err != nil {
		t.Fatal(err)
	}
	if l := v.Mailbox.Last(t, "ada@example.com"); l.Template != "identity-linked" {
		t.Errorf("letter %s", l.Template)
	}
	if u, err := v.User(t.Context(), ada); err != nil || u.Email != "ada@example.com" {
		t.Errorf("%+v, %v", u, err)
	}
	if r, err := v.visit(t, "here", person("1", "bob@example.com", true)); err != nil || r.Session.User.ID != ada.UserID {
		t.Errorf("PH-14: %v, %v", r.Session, err)
	}
	byToken := func(p *auth.Principal, profile provider.Profile) error {
		return v.LinkIDToken(t.Context(), p, auth.LinkIDTokenParams{Provider: "here", IDToken: asJSON(profile)})
	}
	for name, err := range map[string]error{
		"another's, by a visit":     v.linkTo(t, bob, "here", person("1", "", false)),
		"another's, by an id token": byToken(bob, person("1", "", false)),
		"one's own, by a visit":     v.linkTo(t, ada, "here", person("1", "", false)),
		"one's own, by an id token": byToken(ada, person("1", "", false)),
	} {
		if !errors.Is(err, auth.ErrProviderAccountLinked) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := byToken(ada, person("2", "", false)); err != nil {
		t.Errorf("a second one: %v", err)
	}
	anonymous := v.Principal(t, guest(t, v.Engine))
	for name, err := range map[string]error{"by a visit": v.linkTo(t, anonymous, "here", person("3", "", false)), "by an id token": byToken(anonymous, person("3", "", false))} {
		if !errors.Is(err, auth.ErrForbiddenAnonymous) {
			t.Errorf("a guest, %s: %v", name, err)
		}
	}
	for name, err := range map[string]error{"by a visit": v.linkTo(t, nil, "here", person("3", "", false)), "by an id token": byToken(nil, person("3", "", false))} {
		if !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("nobody, %s: %v", name, err)
		}
	}
	// The session in which it began ends in between.
	start, err := v.LinkProvider(t.Context(), ada, auth.LinkProviderParams{Provider: "here"})
	if err != nil {
		t.Fatal(err)
	}
	over, err := v.LinkProvider(t.Context(), ada, auth.LinkProviderParams{Provider: "here"})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.SignOut(t.Context(), ada, auth.SignOutParams{RefreshToken: session.RefreshToken}); err != nil {
		t.Fatal(err)
	}
	if r, err := v.finish(t, "here", start, person("4", "", false)); !errors.Is(err, auth.ErrUnauthenticated) || r.Session != nil {
		t.Errorf("%v, %v", r.Session, err)
	}
	if r, err := v.finish(t, "here", over, person("1", "", false)); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("what is linked already: %v, %v", r.Session, err)
	}
	// An old session is no sign-in.
	old := v.Principal(t, v.SignIn(t, "ada@example.com"))
	v.Clock.Advance(11 * time.Minute)
	for name, err := range map[string]error{
		"by a visit": v.linkTo(t, old, "here", person("5", "", false)), "by an id token": byToken(old, person("5", "", false)),
		"unlink": v.Unlink(t.Context(), old, auth.UnlinkParams{Provider: "here", Subject: "2"}),
	} {
		if !errors.Is(err, auth.ErrElevationRequired) {
			t.Errorf("an old session, %s: %v", name, err)
		}
	}
	strict := newVisitorWithStore(t, v.Store, func(c *auth.Config) { c.Elevation.Mode, c.Now = auth.ElevationRequired, v.Clock.Now })
	fresh := strict.Principal(t, strict.SignIn(t, "ada@example.com"))
	if _, err := strict.LinkProvider(t.Context(), fresh, auth.LinkProviderParams{Provider: "here"}); !errors.Is(err, auth.ErrElevationRequired) {
		t.Errorf("OA-05: %v", err)
	}
	if n := len(v.Events.Of(auth.EventIdentityLinked)); n != 2 {
		t.Errorf("%d events", n)
	}
}

// A link that began before its user became safer does not end: with a second factor, or a key to step up with.
func TestALinkKeepsItsRule(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		mode  auth.ElevationMode
		safer func(*testing.T, *visitor, *auth.Session)
	}{
		"a second factor": {auth.ElevationDisabled, func(t *testing.T, v *visitor, s *auth.Session) { v.EnrolTOTP(t, s) }},
		"a key": {auth.ElevationRecommended, func(t *testing.T, v *visitor, s *auth.Session) {
			addKey(t, v.Engine, v.Principal(t, s), &authtest.Authenticator{})
		}},
	} {
		v := newVisitor(t, func(config *auth.Config) { config.Elevation.Mode = c.mode })
		s := v.SignUp(t, "ada@example.com")
		start, err := v.LinkProvider(t.Context(), v.Principal(t, s), auth.LinkProviderParams{Provider: "here"})
		if err != nil {
			t.Fatal(err)
		}
		c.safer(t, v, v.SignIn(t, "ada@example.com"))
		if r, err := v.finish(t, "here", start, person("mallory", "", false)); !errors.Is(err, auth.ErrElevationRequired) || r.Linked {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestIdentitiesAreBounded(t *testing.T) {
	t.Parallel()
	v := newVisitor(t)
	ada := v.Principal(t, v.SignUp(t, "ada@example.com"))
	bob := v.Principal(t, v.SignUp(t, "bob@example.com"))
	link := func(p *auth.Principal, subject string) error {
		return v.LinkIDToken(t.Context(), p, auth.LinkIDTokenParams{Provider: "here", IDToken: asJSON(person(subject, "", false))})
	}
	for i := range 49 {
		for name, p := range map[string]*auth.Principal{"ada's ": ada, "bob's ": bob} {
			if err := link(p, name+fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	// The fiftieth is the last, whichever way it comes.
	if r, err := v.visit(t, "there", person("1", "ada@example.com", true)); err != nil || r.Session.User.ID != ada.UserID {
		t.Errorf("by an address: %v, %v", r.Session, err)
	}
	if err := link(bob, "bob's last"); err != nil {
		t.Errorf("by a link: %v", err)
	}
	if r, err := v.visit(t, "there", person("2", "bob@example.com", true)); !errors.Is(err, auth.ErrInvalidRequest) {
		t.Errorf("one more by an address: %v, %v", r.Session, err)
	}
	if err := link(ada, "one more"); !errors.Is(err, auth.ErrInvalidRequest) {
		t.Errorf("one more by a link: %v", err)
	}
}

// OA-32: where only some addresses are admitted, who has none, or what is none, is not.
func TestListsHoldForWhoHasNoAddress(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		amend   func(*auth.Config)
		refused map[string]bool
	}{
		"an allow-list": {func(c *auth.Config) { c.Email.AllowedDomains = []string{"corp.example"} }, map[string]bool{
			"": true, "m@evil.example": true, "m@evil.example ": true, "<m@corp.example>": true, "m@@corp.example": true, "m@corp.example": false,
		}},
		"a block-list": {func(c *auth.Config) { c.Email.BlockedDomains = []string{"evil.example"} }, map[string]bool{
			"": false, "m@evil.example": true, "m@evil.example ": true, "m@@evil.example": true, "m@corp.example": false,
		}},
		"none": {func(*auth.Config) {}, map[string]bool{"": false, "m@@evil.example": false}},
	} {
		for email, refused := range c.refused {
			r, err := newVisitor(t, c.amend).visit(t, "here", person("1", email, true))
			if errors.Is(err, auth.ErrInvalidEmailPassword) != refused || (r.Session == nil) != refused {
				t.Errorf("%s, %q: %v, %v", name, email, r.Session, err)
			}
		}
	}
}

// LG-13: a visit that fails after the provider has sent its user back is recorded, whatever fails.
func TestAVisitThatFailsIsRecorded(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		who   provider.Profile
		fails error  // of the profile
		other string // in place of the code
		want  *auth.Error
	}{
		"the code is another":      {person("1", "", false), nil, "nobody's", auth.ErrOAuthTokenExchangeFailed},
		"there is no profile":      {person("1", "", false), errors.New("404"), "", auth.ErrOAuthProfileFetchFailed},
		"the id is none":           {person("a\x00b", "", false), nil, "", auth.ErrOAuthProfileFetchFailed},
		"the account is of nobody": {person("", "", false), nil, "", auth.ErrOAuthProfileFetchFailed},
	} {
		v := newVisitor(t)
		start := v.start(t, "here", auth.SignUpOptions{})
		code := v.here.consent(start, tt.who, tt.fails)
		if tt.other != "" {
			code = tt.other
		}
		_, err := v.FinishProvider(t.Context(), auth.FinishProviderParams{
			Provider: "here", Binding: start.Binding, Values: url.Values{"state": {start.State}, "code": {code}},
		})
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
		if events := v.Events.Of(auth.EventSignInFailed); len(events) != 1 || events[0].Code != tt.want.Code || !strings.Contains(events[0].Method, "here") {
			t.Errorf("%s: %+v", name, events)
		}
	}
}

// EN-01: nor are there more letters to the owner of an address than to who has none, and whether one is sent does not show.
func TestADoubtfulAddressGetsNoMoreLettersThanTheBudget(t *testing.T) {
	t.Parallel()
	v := newVisitor(t, func(c *auth.Config) {
		c.ConcealErrors = true
		c.Limits = auth.LimitsConfig{EmailsPerAddress: limit.Rate{Burst: 2, Per: time.Hour}}
	})
	v.SignUp(t, "ada@example.com")
	if _, err := signUp(t, v.Engine, "pending@example.com", authtest.Password, auth.SignUpOptions{}); err != nil {
		t.Fatal(err)
	}
	v.Clock.Advance(time.Hour)
	for i, email := range []string{"ada@example.com", "pending@example.com"} {
		for n := range 3 {
			_, err := v.visit(t, "here", person(fmt.Sprint(i, n), email, false))
			if (n == 2) != errors.Is(err, auth.ErrTooManyRequests) || n < 2 && err != nil {
				t.Errorf("%s, visit %d: %v", email, n+1, err)
			}
		}
	}
}

// PH-10: a sign-up that nobody proves keeps nobody from an address for longer than its link lives.
func TestASquatExpires(t *testing.T) {
	t.Parallel()
	v := newVisitor(t)
	if _, err := v.visit(t, "there", person("mallory", "v@example.com", false)); err != nil {
		t.Fatal(err)
	}
	v.Clock.Advance(7*24*time.Hour - time.Microsecond)
	if _, err := v.visit(t, "here", person("v", "v@example.com", false)); !errors.Is(err, auth.ErrEmailAlreadyInUse) {
		t.Errorf("within its time: %v", err)
	}
	v.Clock.Advance(time.Microsecond)
	if r, err := v.visit(t, "here", person("v", "v@example.com", false)); err != nil || r.Session != nil {
		t.Fatalf("%v, %v", r.Session, err)
	}
	in, err := v.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: v.Mailbox.Last(t, "v@example.com").Ticket()})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := v.visit(t, "here", person("v", "", false)); err != nil || r.Session.User.ID != in.Session.User.ID {
		t.Errorf("who has come: %v, %v", r.Session, err)
	}
	if r, err := v.visit(t, "there", person("mallory", "", false)); err != nil || r.Session.User.ID == in.Session.User.ID {
		t.Errorf("who had waited: %v, %v", r.Session, err)
	}
}

// The link that takes an account to another user at the same moment has one winner.
func TestOneOfFiftyLinksSucceeds(t *testing.T) {
	t.Parallel()
	v := newVisitor(t)
	var who []*auth.Principal
	for i := range 50 {
		who = append(who, v.Principal(t, v.SignUp(t, fmt.Sprintf("u%d@example.com", i))))
	}
	var ok atomic.Int64
	atOnce(50, func(i int) {
		err := v.LinkIDToken(background, who[i], auth.LinkIDTokenParams{Provider: "here", IDToken: asJSON(person("1", "", false))})
		if err == nil {
			ok.Add(1)
		} else if !errors.Is(err, auth.ErrProviderAccountLinked) && !errors.Is(err, auth.ErrInvalidRequest) {
			t.Error(err)
		}
	})
	if ok.Load() != 1 {
		t.Errorf("%d succeeded", ok.Load())
	}
}

func TestUnlink(t *testing.T) {
	t.Parallel()
	v := newVisitor(t, func(c *auth.Config) { c.Password, c.MagicLink, c.EmailOTP, c.SMS = nil, nil, nil, nil })
	r, err := v.visit(t, "here", person("1", "ada@example.com", true))
	if err != nil {
		t.Fatal(err)
	}
	ada := v.Principal(t, r.Session)
	last := auth.UnlinkParams{Provider: "here", Subject: "1"}
	if err := v.Unlink(t.Context(), ada, last); !errors.Is(err, auth.ErrInvalidRequest) {
		t.Errorf("the last way in: %v", err)
	}
	if err := v.linkTo(t, ada, "there", person("1", "", false)); err != nil {
		t.Fatal(err)
	}
	for _, p := range []auth.UnlinkParams{{"here", "2"}, {"nowhere", "1"}, {}} {
		if err := v.Unlink(t.Context(), ada, p); !errors.Is(err, auth.ErrNotFound) {
			t.Errorf("%v: %v", p, err)
		}
	}
	// A provider that is off is no way in.
	off := newVisitorWithStore(t, v.Store, func(c *auth.Config) {
		c.Now, c.Password, c.SMS = v.Clock.Now, nil, nil
		delete(c.Providers, "there")
		delete(c.IDTokens, "there")
	})
	if err := off.Unlink(t.Context(), ada, last); !errors.Is(err, auth.ErrInvalidRequest) {
		t.Errorf("the last that opens: %v", err)
	}
	// One that is on is, whether browsers go there or apps bring its id tokens.
	half := newVisitorWithStore(t, v.Store, func(c *auth.Config) {
		c.Now, c.Password, c.MagicLink, c.EmailOTP, c.SMS = v.Clock.Now, nil, nil, nil, nil
		delete(c.Providers, "here")
		delete(c.IDTokens, "there")
	})
	if err := half.Unlink(t.Context(), ada, last); err != nil {
		t.Errorf("while browsers can go to the other: %v", err)
	}
	if err := v.linkTo(t, ada, "here", person("1", "", false)); err != nil {
		t.Fatal(err)
	}
	if err := half.Unlink(t.Context(), ada, auth.UnlinkParams{Provider: "there", Subject: "1"}); err != nil {
		t.Errorf("while apps can bring tokens of the other: %v", err)
	}
	if err := v.linkTo(t, ada, "there", person("1", "", false)); err != nil {
		t.Fatal(err)
	}
	// Two of the last two at once leave one.
	var ok atomic.Int64
	atOnce(50, func(i int) {
		p := last
		if i%2 == 1 {
			p.Provider = "there"
		}
		if err := v.Unlink(background, ada, p); err == nil {
			ok.Add(1)
		} else if !errors.Is(err, auth.ErrInvalidRequest) && !errors.Is(err, auth.ErrNotFound) {
			t.Error(err)
		}
	})
	list, err := v.ListIdentities(t.Context(), ada)
	if ok.Load() != 1 || len(list) != 1 || err != nil {
		t.Errorf("%d succeeded, %v left, %v", ok.Load(), list, err)
	}
	if l := v.Mailbox.Last(t, "ada@example.com"); l.Template != "identity-unlinked" {
		t.Errorf("letter %s", l.Template)
	}
	if n := len(v.Events.Of(auth.EventIdentityUnlinked)); n != 1 {
		t.Errorf("%d events", n)
	}
}

// OA-31, W9: a second factor is asked for, and a code challenge is answered by a code.
func TestSecondFactorsAndCodesAfterAVisit(t *testing.T) {
	t.Parallel()
	v := newVisitor(t)
	session := v.SignUp(t, "ada@example.com")
	secret := v.EnrolTOTP(t, session)
	linked := func() int {
		a, err := v.Store.User(t.Context(), store.UserQuery{ID: session.User.ID, With: store.WithIdentities, Now: v.Clock.Now()})
		if err != nil {
			t.Fatal(err)
		}
		return len(a.Identities)
	}
	r, err := v.visit(t, "here", person("1", "ada@example.com", true))
	if err != nil || r.Session != nil || r.MFA == nil {
		t.Fatalf("%v, %v", r.Session, err)
	}
	// The second factor is part of what links an account by its address: one who does not have it has changed nothing.
	if n, l := linked(), v.Mailbox.Last(t, "ada@example.com"); n != 0 || l.Template == "identity-linked" || len(v.Events.Of(auth.EventIdentityLinked)) != 0 {
		t.Errorf("%d linked, letter %s", n, l.Template)
	}
	in, err := v.VerifyMFA(t.Context(), auth.VerifyMFAParams{Ticket: r.MFA.Ticket, OTP: nextCode(t, v.Engine, secret)})
	if err != nil || !cmp.Equal(v.Principal(t, in.Session).AMR, []string{"oauth", "otp", "mfa"}) {
		t.Errorf("%v", err)
	}
	if n, l := linked(), v.Mailbox.Last(t, "ada@example.com"); n != 1 || l.Template != "identity-linked" || len(v.Events.Of(auth.EventIdentityLinked)) != 1 {
		t.Errorf("%d linked, letter %s", n, l.Template)
	}
	// A code first, and then the second factor.
	start, err := v.StartProvider(t.Context(), auth.StartProviderParams{Provider: "there", CodeChallenge: challengeFor(verifier)})
	if err != nil {
		t.Fatal(err)
	}
	if r, err = v.finish(t, "there", start, person("1", "ada@example.com", true)); err != nil || r.Code == "" || linked() != 1 {
		t.Fatalf("%v, %d linked", err, linked())
	}
	if in, err = v.ExchangeCode(t.Context(), auth.ExchangeCodeParams{Code: r.Code, CodeVerifier: verifier}); err != nil || in.MFA == nil || linked() != 1 {
		t.Fatalf("%v, %d linked", err, linked())
	}
	// It has become another's meanwhile.
	if err := v.linkTo(t, v.Principal(t, v.SignUp(t, "bob@example.com")), "there", person("1", "", false)); err != nil {
		t.Fatal(err)
	}
	if _, err := v.VerifyMFA(t.Context(), auth.VerifyMFAParams{Ticket: in.MFA.Ticket, OTP: nextCode(t, v.Engine, secret)}); !errors.Is(err, auth.ErrProviderAccountLinked) {
		t.Errorf("another's: %v", err)
	}
	for _, p := range []provider.Profile{person("1", "ada@example.com", true), person("2", "new@example.com", true)} {
		start, err := v.StartProvider(t.Context(), auth.StartProviderParams{Provider: "here", CodeChallenge: challengeFor(verifier)})
		if err != nil {
			t.Fatal(err)
		}
		r, err = v.finish(t, "here", start, p)
		if err != nil || r.Session != nil || r.MFA != nil || r.Code == "" {
			t.Fatalf("%v, %v", r.Session, err)
		}
		if _, err := v.ExchangeCode(t.Context(), auth.ExchangeCodeParams{Code: r.Code, CodeVerifier: strings.Repeat("x", 43)}); !errors.Is(err, auth.ErrInvalidRequest) {
			t.Errorf("another verifier: %v", err)
		}
		start, err = v.StartProvider(t.Context(), auth.StartProviderParams{Provider: "here", CodeChallenge: challengeFor(verifier)})
		if err != nil {
			t.Fatal(err)
		}
		if r, err = v.finish(t, "here", start, p); err != nil {
			t.Fatal(err)
		}
		in, err := v.ExchangeCode(t.Context(), auth.ExchangeCodeParams{Code: r.Code, CodeVerifier: verifier})
		if err != nil || (in.MFA != nil) != (p.Subject == "1") || (in.Session != nil) != (p.Subject == "2") {
			t.Errorf("%v, %v", in, err)
		}
	}
}

// OA-39: tokens are sealed, bound to the identity that they are of, and handed out once.
func TestProviderTokens(t *testing.T) {
	t.Parallel()
	v := newVisitor(t)
	r, err := v.visit(t, "here", person("1", "ada@example.com", true))
	if err != nil {
		t.Fatal(err)
	}
	ada := v.Principal(t, r.Session)
	a, err := v.Store.User(t.Context(), store.UserQuery{ID: ada.UserID, With: store.WithIdentities, Now: v.Clock.Now()})
	if err != nil || len(a.Identities) != 1 || len(a.Identities[0].Tokens) == 0 || strings.Contains(string(a.Identities[0].Tokens), "token") {
		t.Fatalf("%v, %v", a.Identities, err)
	}
	var ok atomic.Int64
	atOnce(50, func(int) {
		tokens, err := v.ProviderTokens(background, ada, "here")
		if err != nil {
			if !errors.Is(err, auth.ErrInvalidRequest) {
				t.Error(err)
			}
			return
		}
		ok.Add(1)
		want := &auth.ProviderTokens{
			AccessToken: "token code 0", RefreshToken: "refresh code 0", ExpiresAt: time.Date(2035, 1, 1, 0, 0, 0, 0, time.UTC),
			ExpiresIn: int(time.Date(2035, 1, 1, 0, 0, 0, 0, time.UTC).Sub(v.Clock.Now()) / time.Second),
		}
		if !cmp.Equal(tokens, want) {
			t.Error(cmp.Diff(tokens, want))
		}
		for _, printed := range prints(*tokens) {
			if strings.Contains(printed, "code 0") {
				t.Errorf("it prints: %s", printed)
			}
		}
	})
	if ok.Load() != 1 {
		t.Errorf("handed out %d times", ok.Load())
	}
	if _, err := v.ProviderTokens(t.Context(), ada, "there"); !errors.Is(err, auth.ErrInvalidRequest) {
		t.Errorf("of another provider: %v", err)
	}
	if err := v.RefreshKeptProviderTokens(t.Context(), ada.UserID, "here"); !errors.Is(err, auth.ErrInvalidRequest) {
		t.Errorf("nothing kept: %v", err)
	}
	if _, err := v.visit(t, "here", person("1", "", false)); err != nil {
		t.Fatal(err)
	}
	if err := v.RefreshKeptProviderTokens(t.Context(), ada.UserID, "here"); err != nil {
		t.Fatal(err)
	}
	if events := v.Events.Of(auth.EventProviderTokensRenewed); len(events) != 1 || events[0].UserID != ada.UserID || events[0].Detail != "here" {
		t.Errorf("%+v", events)
	}
	tokens, err := v.ProviderTokens(t.Context(), ada, "here")
	if err != nil || !strings.HasPrefix(tokens.AccessToken, "new by refresh code") || tokens.ExpiresIn != 3600 || !strings.HasPrefix(tokens.RefreshToken, "refresh code") {
		t.Errorf("%s, %v", asJSON(tokens), err)
	}
	renewed, err := v.RefreshProviderTokens(t.Context(), ada, auth.RefreshProviderTokensParams{Provider: "here", RefreshToken: "mine"})
	if err != nil || renewed.AccessToken != "new by mine" || renewed.RefreshToken != "mine" {
		t.Errorf("%s, %v", asJSON(renewed), err)
	}
	v.here.fails = errors.New("invalid_grant: a secret of theirs")
	if _, err := v.RefreshProviderTokens(t.Context(), ada, auth.RefreshProviderTokensParams{Provider: "here", RefreshToken: "mine"}); !errors.Is(err, auth.ErrOAuthProviderError) {
		t.Errorf("refused: %v", err)
	}
	v.here.fails = nil
	if _, err := v.RefreshProviderTokens(t.Context(), ada, auth.RefreshProviderTokensParams{Provider: "here", RefreshToken: "nothing"}); !errors.Is(err, auth.ErrOAuthProviderError) {
		t.Errorf("an answer without a token: %v", err)
	}
	// Of two accounts it is the one last used.
	if err := v.linkTo(t, ada, "here", person("second", "", false)); err != nil {
		t.Fatal(err)
	}
	v.Clock.Advance(time.Second)
	last := v.start(t, "here", auth.SignUpOptions{})
	code := v.here.consent(last, person("1", "", false), nil)
	if _, err := v.FinishProvider(t.Context(), auth.FinishProviderParams{
		Provider: "here", Binding: last.Binding, Values: url.Values{"state": {last.State}, "code": {code}},
	}); err != nil {
		t.Fatal(err)
	}
	if tokens, err = v.ProviderTokens(t.Context(), ada, "here"); err != nil || tokens.AccessToken != "token "+code {
		t.Errorf("%s, %v", asJSON(tokens), err)
	}
	byPAT, err := signInPAT(t, v.Engine, createPAT(t, v.Engine, ada, time.Hour).Token)
	if err != nil {
		t.Fatal(err)
	}
	pat := v.Principal(t, byPAT)
	for name, p := range map[string]*auth.Principal{"a personal access token": pat, "a guest": v.Principal(t, guest(t, v.Engine)), "nobody": nil} {
		if _, err := v.ProviderTokens(t.Context(), p, "here"); err == nil {
			t.Errorf("%s gets tokens", name)
		}
		if _, err := v.RefreshProviderTokens(t.Context(), p, auth.RefreshProviderTokensParams{Provider: "here", RefreshToken: "x"}); err == nil {
			t.Errorf("%s gets tokens refreshed", name)
		}
	}
	if err := v.RefreshKeptProviderTokens(t.Context(), uuid.New(), "here"); !errors.Is(err, auth.ErrNotFound) {
		t.Errorf("nobody: %v", err)
	}
	// What is too long to be kept is not, and keeps nobody out.
	if _, err := v.visit(t, "here", person("long", "", false)); err != nil {
		t.Fatal(err)
	}
	v.here.suffix = strings.Repeat("x", 32<<10)
	long, err := v.visit(t, "here", person("long", "", false))
	if err != nil {
		t.Fatal(err)
	}
	v.here.suffix = ""
	if _, err := v.ProviderTokens(t.Context(), v.Principal(t, long.Session), "here"); !errors.Is(err, auth.ErrInvalidRequest) {
		t.Errorf("tokens without end: %v", err)
	}
	// Tokens that have been put elsewhere in the store are nobody's.
	other, err := v.visit(t, "here", person("2", "", false))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.visit(t, "here", person("1", "", false)); err != nil {
		t.Fatal(err)
	}
	a, err = v.Store.User(t.Context(), store.UserQuery{ID: ada.UserID, With: store.WithIdentities, Now: v.Clock.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Store.ChangeUser(t.Context(), store.UserChange{UserID: other.Session.User.ID, Now: v.Clock.Now(), PutTokens: &store.IdentityTokens{
		Key: store.IdentityKey{Provider: "here", Subject: "2"}, Tokens: a.Identities[0].Tokens,
	}}); err != nil {
		t.Fatal(err)
	}
	if _, err := v.ProviderTokens(t.Context(), v.Principal(t, other.Session), "here"); !errors.Is(err, auth.ErrInvalidRequest) {
		t.Errorf("another identity's: %v", err)
	}
	forgetful := newVisitorWithStore(t, v.Store, func(c *auth.Config) { c.ForgetProviderTokens, c.Now = true, v.Clock.Now })
	if _, err := forgetful.visit(t, "here", person("1", "", false)); err != nil {
		t.Fatal(err)
	}
	a, err = v.Store.User(t.Context(), store.UserQuery{ID: ada.UserID, With: store.WithIdentities, Now: v.Clock.Now()})
	if err != nil || a.Identities[0].Tokens != nil {
		t.Errorf("%v, %v", a.Identities, err)
	}
	if _, err := forgetful.ProviderTokens(t.Context(), ada, "here"); !errors.Is(err, auth.ErrDisabledEndpoint) {
		t.Errorf("forgotten: %v", err)
	}
}

// ID-08: a token with a nonce signs in once, whoever presents it how often.
func TestAnIDTokenWithANonceIsGoodOnce(t *testing.T) {
	t.Parallel()
	v := newVisitor(t)
	token := asJSON(provider.Profile{Subject: "1", Name: "nonce"})
	var ok atomic.Int64
	atOnce(50, func(int) {
		_, err := v.SignInIDToken(background, auth.SignInIDTokenParams{Provider: "here", IDToken: token, Nonce: "nonce"})
		if err == nil {
			ok.Add(1)
		} else if !errors.Is(err, auth.ErrInvalidRequest) {
			t.Error(err)
		}
	})
	if ok.Load() != 1 {
		t.Errorf("%d succeeded", ok.Load())
	}
	v.Clock.Advance(47 * time.Hour)
	if _, err := v.SignInIDToken(t.Context(), auth.SignInIDTokenParams{Provider: "here", IDToken: token, Nonce: "nonce"}); !errors.Is(err, auth.ErrInvalidRequest) {
		t.Errorf("later: %v", err)
	}
	// One that lives for longer than it is remembered would be good again.
	lives := func(d time.Duration) error {
		token := fmt.Sprintf(`{"Subject": "1", "Name": "nonce", "exp": %d}`, v.Clock.Now().Add(d).Unix())
		_, err := v.SignInIDToken(t.Context(), auth.SignInIDTokenParams{Provider: "here", IDToken: token, Nonce: "nonce"})
		return err
	}
	if err := lives(48 * time.Hour); err != nil {
		t.Errorf("two days: %v", err)
	}
	if err := lives(48*time.Hour + time.Second); !errors.Is(err, auth.ErrInvalidRequest) {
		t.Errorf("more than two days: %v", err)
	}
	// ID-09: the same id at two providers is two accounts.
	if in, err := v.SignInIDToken(t.Context(), auth.SignInIDTokenParams{Provider: "there", IDToken: token, Nonce: "nonce"}); err != nil {
		t.Errorf("elsewhere: %v, %v", in, err)
	}
	for name, c := range map[string]struct {
		p    auth.SignInIDTokenParams
		want error
	}{
		"no such provider":    {auth.SignInIDTokenParams{Provider: "nowhere", IDToken: token}, auth.ErrDisabledEndpoint},
		"not a token":         {auth.SignInIDTokenParams{Provider: "here", IDToken: "x"}, auth.ErrInvalidRequest},
		"too long":            {auth.SignInIDTokenParams{Provider: "here", IDToken: asJSON(provider.Profile{Subject: "long", Picture: strings.Repeat("x", 16<<10)})}, auth.ErrInvalidRequest},
		"a nonce left out":    {auth.SignInIDTokenParams{Provider: "here", IDToken: token}, auth.ErrInvalidRequest},
		"no id":               {auth.SignInIDTokenParams{Provider: "here", IDToken: asJSON(provider.Profile{})}, auth.ErrInvalidRequest},
		"a role of operators": {auth.SignInIDTokenParams{Provider: "here", IDToken: token, Options: auth.SignUpOptions{AllowedRoles: []string{"admin"}}}, auth.ErrRoleNotAllowed}, // ID-16
		"an open redirect":    {auth.SignInIDTokenParams{Provider: "here", IDToken: token, Options: auth.SignUpOptions{RedirectTo: "https://evil.example"}}, auth.ErrRedirectNotAllowed},
	} {
		if _, err := v.SignInIDToken(t.Context(), c.p); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	down := newVisitor(t, func(c *auth.Config) { c.Limits.Limiter = noLimiter{} })
	if _, err := down.SignInIDToken(t.Context(), auth.SignInIDTokenParams{Provider: "here", IDToken: token, Nonce: "nonce"}); !errors.Is(err, auth.ErrInternal) {
		t.Errorf("nobody knows whether it has been used: %v", err)
	}
}

// noLimiter cannot count.
type noLimiter struct{}

func (noLimiter) Take(context.Context, ...limit.Take) (limit.Decision, error) {
	return limit.Decision{}, limit.ErrUnavailable
}

// A letter for each sign-up with an address that the provider has not verified: within the budget of that address.
func TestAProviderSendsNoMoreLettersThanTheBudget(t *testing.T) {
	t.Parallel()
	v := newVisitor(t, func(c *auth.Config) {
		c.Limits = auth.LimitsConfig{EmailsPerAddress: limit.Rate{Burst: 1, Per: time.Hour}}
	})
	if _, err := v.visit(t, "here", person("1", "v@example.com", false)); err != nil {
		t.Fatal(err)
	}
	u, err := v.FindUser(t.Context(), auth.UserBy{Email: "v@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.DeleteUser(t.Context(), u.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := v.visit(t, "here", person("2", "v@example.com", false)); !errors.Is(err, auth.ErrTooManyRequests) {
		t.Errorf("%v", err)
	}
}

func TestProviderRoundTrips(t *testing.T) {
	t.Parallel()
	counter := storetest.Count(memstore.New())
	v := newVisitorWithStore(t, counter)
	ada := v.Principal(t, v.SignUp(t, "ada@example.com"))
	begin := func() *auth.ProviderStart { return v.start(t, "here", auth.SignUpOptions{}) }
	first, byAddress, known := begin(), begin(), begin()
	linking, err := v.LinkProvider(t.Context(), ada, auth.LinkProviderParams{Provider: "there"})
	if err != nil {
		t.Fatal(err)
	}
	end := func(name string, start *auth.ProviderStart, p provider.Profile) func() error {
		return func() error { _, err := v.finish(t, name, start, p); return err }
	}
	for _, flow := range []struct {
		name  string
		trips int
		run   func() error
	}{
		{"StartProvider", 1, func() error {
			_, err := v.StartProvider(t.Context(), auth.StartProviderParams{Provider: "here"})
			return err
		}},
		{"LinkProvider", 2, func() error {
			_, err := v.LinkProvider(t.Context(), ada, auth.LinkProviderParams{Provider: "here"})
			return err
		}},
		{"FinishProvider, a sign-up", 3, end("here", first, person("1", "new@example.com", true))},
		{"FinishProvider, known", 3, end("here", known, person("1", "new@example.com", true))},
		{"FinishProvider, by address, with a letter", 4, end("here", byAddress, person("2", "ada@example.com", true))},
		{"FinishProvider, a link, with a letter", 4, end("there", linking, person("1", "", false))},
		{"SignInIDToken", 2, func() error {
			_, err := v.SignInIDToken(t.Context(), auth.SignInIDTokenParams{Provider: "here", IDToken: asJSON(person("1", "", false))})
			return err
		}},
		{"LinkIDToken with a letter", 3, func() error {
			return v.LinkIDToken(t.Context(), ada, auth.LinkIDTokenParams{Provider: "here", IDToken: asJSON(person("9", "", false))})
		}},
		{"ListIdentities", 1, func() error { _, err := v.ListIdentities(t.Context(), ada); return err }},
		{"ProviderTokens", 2, func() error { _, err := v.ProviderTokens(t.Context(), ada, "here"); return err }},
		{"Unlink with a letter", 3, func() error {
			return v.Unlink(t.Context(), ada, auth.UnlinkParams{Provider: "here", Subject: "9"})
		}},
	} {
		before := counter.Trips()
		if err := flow.run(); err != nil {
			t.Errorf("%s: %v", flow.name, err)
		}
		if n := counter.Trips() - before; n != flow.trips {
			t.Errorf("%s takes %d round trips, want %d", flow.name, n, flow.trips)
		}
	}
}

func TestProviderNames(t *testing.T) {
	t.Parallel()
	v := newVisitor(t)
	if !cmp.Equal(v.Providers(), []string{"here", "there"}) || !cmp.Equal(v.IDTokenProviders(), []string{"here", "there"}) {
		t.Errorf("%v, %v", v.Providers(), v.IDTokenProviders())
	}
	for _, name := range []string{"", "A", "a:b", "a/b", "-a", "a b", strings.Repeat("a", 33), "ü"} {
		_, err := auth.New(memstore.New(), auth.Config{
			ServerURL: authtest.ServerURL, ClientURL: authtest.ClientURL, Secret: slices.Repeat(auth.Secret{7, 9, 1, 3}, 8),
			Email: auth.EmailConfig{AllowUnverified: true}, Providers: map[string]provider.Provider{name: &somewhere{}},
		})
		var mistake *auth.ConfigError
		if !errors.As(err, &mistake) || mistake.Field != "Providers" {
			t.Errorf("%q: %v", name, err)
		}
	}
	for field, amend := range map[string]func(*auth.Config){
		`Providers["here"]`: func(c *auth.Config) { c.Providers = map[string]provider.Provider{"here": nil} },
		`IDTokens["here"]`:  func(c *auth.Config) { c.IDTokens = map[string]provider.IDTokenVerifier{"here": nil} },
	} {
		c := validConfig()
		amend(&c)
		_, err := auth.New(memstore.New(), c)
		var mistake *auth.ConfigError
		if !errors.As(err, &mistake) || mistake.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// Whose account is gone when what they began is to be remembered is signed in no more.
func TestTheAccountIsGoneWhenSomethingBegins(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]func(e *authtest.Engine, p *auth.Principal) error{
		"a link": func(e *authtest.Engine, p *auth.Principal) error {
			return only(e.LinkProvider(background, p, auth.LinkProviderParams{Provider: "here"}))
		},
		"a key": func(e *authtest.Engine, p *auth.Principal) error { return only(e.AddSecurityKey(background, p)) },
	} {
		v := newVisitor(t)
		p := v.Principal(t, v.SignUp(t, "ada@example.com"))
		e := v.replica(t, storetest.Break(v.Store, storetest.Fault{Method: "PutTicket", Do: func(context.Context) {
			if err := v.DeleteUser(background, p.UserID); err != nil {
				t.Error(err)
			}
		}}))
		if err := begin(e, p); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// spoilt is a store in which what was remembered of visits is no more what it was.
type spoilt struct{ store.Store }

func (s spoilt) TakeTicket(ctx context.Context, q store.TicketQuery) (store.Ticket, error) {
	t, err := s.Store.TakeTicket(ctx, q)
	t.Data = []byte("anything")
	return t, err
}

// A visit of which nobody knows any more how it began does not end.
func TestAVisitThatCannotBeRemembered(t *testing.T) {
	t.Parallel()
	v := newVisitorWithStore(t, spoilt{memstore.New()})
	if r, err := v.visit(t, "here", person("1", "", false)); !errors.Is(err, auth.ErrInternal) || r.Session != nil || userCount(t, v.Store) != 0 {
		t.Errorf("%v, %v", r.Session, err)
	}
}

// A code in the redirect of who comes for the first time is worth a session, too.
func TestTheCodeOfANewcomerIsTraded(t *testing.T) {
	t.Parallel()
	v := newVisitor(t)
	start, err := v.StartProvider(t.Context(), auth.StartProviderParams{Provider: "here", CodeChallenge: challengeFor(verifier)})
	if err != nil {
		t.Fatal(err)
	}
	r, err := v.finish(t, "here", start, person("1", "ada@example.com", true))
	if err != nil || r.Code == "" || r.Session != nil {
		t.Fatalf("%+v, %v", r, err)
	}
	in, err := v.ExchangeCode(t.Context(), auth.ExchangeCodeParams{Code: r.Code, CodeVerifier: verifier})
	if err != nil || in.Session == nil || in.Session.User.Email != "ada@example.com" {
		t.Errorf("%+v, %v", in, err)
	}
}

// A visit that links an account leads where it was asked to, with what the client wants to see again, and to providers that there are.
func TestAVisitThatLinksLeadsWhereAsked(t *testing.T) {
	t.Parallel()
	v := newVisitor(t)
	p := v.Principal(t, v.SignUp(t, "ada@example.com"))
	start, err := v.LinkProvider(t.Context(), p, auth.LinkProviderParams{Provider: "here", RedirectTo: authtest.ClientURL + "/settings", State: "tab 2"})
	if err != nil {
		t.Fatal(err)
	}
	r, err := v.finish(t, "here", start, person("1", "ada@example.com", true))
	if err != nil || !r.Linked || r.RedirectTo != authtest.ClientURL+"/settings" || r.State != "tab 2" {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := v.LinkProvider(t.Context(), p, auth.LinkProviderParams{Provider: "nowhere"}); !errors.Is(err, auth.ErrDisabledEndpoint) {
		t.Error(err)
	}
}
