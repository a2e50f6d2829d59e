// Package authtest gives the tests of a service an authentication engine that they control: its clock stands still until a
// test moves it, its letters arrive in a [Mailbox] and its text messages on a [Phone], its events are in [Events], and what
// it logs is in [Logs].
//
//	func TestProfile(t *testing.T) {
//		e := authtest.New(t, func(c *auth.Config) {
//			c.Hooks.UserCreated = profiles.Create
//		})
//		session := e.SignUp(t, "ada@example.com")
//		…
//	}
//
// The engine is the real one over a [memstore.Store], with every rule in force: an address is verified, a password is
// hashed (cheaply), a session expires. Nothing leaves the process: outbound requests fail.
//
// An [Authenticator] plays the part of a person's passkeys. Package fakeidp plays that of a provider with which they sign in,
// and package fakecaptcha that of a service behind captchas.
package authtest

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/internal/emailaddr"
	"github.com/ostiary/auth/limit"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
)

// The URLs of an [Engine] unless its configuration is amended. Nobody answers there (RFC 6761 §6.4).
const (
	ServerURL = "https://auth.test/v1"
	ClientURL = "https://app.test"
)

// Password is the password of the users whom [Engine.SignUp] signs up.
const Password = "plum-tractor-eleven"

// Engine is an engine and what a test can see and move of it.
type Engine struct {
	*auth.Engine
	Store   store.Store
	Clock   *Clock
	Mailbox *Mailbox
	Phone   *Phone
	Events  *Events
	Logs    *Logs
}

// New returns an engine over an empty memory store. A configuration that [auth.New] refuses fails the test at once.
//
// Passwords, passkeys (of pages at [ClientURL]), text messages, second factors, personal access tokens and anonymous users
// are on and addresses are verified; nothing is limited. Each amend may change the configuration, in turn. One that replaces
// Now, Mail, SMS, Events or Logger takes that out of the Engine's view, unless it passes on to what was there before.
func New(t testing.TB, amend ...func(*auth.Config)) *Engine {
	t.Helper()
	return NewWithStore(t, memstore.New(), amend...)
}

// NewWithStore is [New] over a store of the test's choice. All engines of one process have the same secret: two over
// one store are replicas of each other, once the second is given the clock of the first.
func NewWithStore(t testing.TB, s store.Store, amend ...func(*auth.Config)) *Engine {
	t.Helper()
	e := &Engine{Store: s, Clock: NewClock(), Mailbox: NewMailbox(), Phone: NewPhone(), Events: &Events{}, Logs: NewLogs()}
	c := auth.Config{
		ServerURL: ServerURL,
		ClientURL: ClientURL,
		Secret:    secret(),
		// The least that Argon2id can do: tests have no use for its cost.
		Password:   &auth.PasswordConfig{Argon2: auth.Argon2{MemoryKiB: 8, Time: 1, Threads: 1}},
		WebAuthn:   &auth.WebAuthnConfig{},
		SMS:        &auth.SMSConfig{Sender: e.Phone},
		MFA:        &auth.MFAConfig{},
		PAT:        &auth.PATConfig{},
		Anonymous:  &auth.AnonymousConfig{},
		Limits:     unlimited,
		Mail:       e.Mailbox,
		Events:     e.Events,
		Now:        e.Clock.Now,
		Logger:     e.Logs.Logger(),
		HTTPClient: &http.Client{Transport: noNetwork{}},
	}
	for _, f := range amend {
		f(&c)
	}
	engine, err := auth.New(s, c)
	if err != nil {
		t.Fatalf("authtest: %v", err)
	}
	e.Engine = engine
	return e
}

// unlimited has no limits that a test could reach: budgets would not refill while the clock stands still.
var unlimited = auth.LimitsConfig{
	Off:                   true,
	GuessesPerAccount:     limit.Rate{Burst: 1_000_000, Per: time.Hour},
	GuessesPerAccountLong: limit.Rate{Burst: 1_000_000, Per: 24 * time.Hour},
}

// secret is the same for all engines of the process, and of no use to any other.
var secret = sync.OnceValue(func() auth.Secret {
	s := make(auth.Secret, 32)
	rand.Read(s) //nolint:errcheck // never fails; a broken source ends the program
	return s
})

// noNetwork keeps tests from depending on, or telling, anybody outside.
type noNetwork struct{}

func (noNetwork) RoundTrip(r *http.Request) (*http.Response, error) {
	return nil, errors.New("authtest: outbound request to " + r.URL.Host + "; give the engine an HTTPClient of the test's own")
}

// SignUp signs a user up with an address and [Password] and returns the session that they get: where addresses are
// verified, by following the link in the letter. Any failure fails the test at once.
func (e *Engine) SignUp(t testing.TB, email string) *auth.Session {
	t.Helper()
	before := len(e.Mailbox.All())
	in, err := e.SignUpPassword(t.Context(), auth.SignUpPasswordParams{Email: email, Password: Password})
	if err != nil {
		t.Fatalf("authtest: sign up %s: %v", email, err)
	}
	if in.Session != nil {
		return in.Session
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	letter, ok := e.Mailbox.letters.wait(ctx, func(i int, l Letter) bool {
		return i >= before && l.Template == "email-verify" && emailaddr.Same(l.To, email)
	})
	if !ok {
		t.Fatalf("authtest: sign up %s: no letter to verify the address has come", email)
	}
	verified, err := e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: letter.Ticket()})
	if err != nil {
		t.Fatalf("authtest: verify %s: %v", email, err)
	}
	return verified.Session
}

// SignIn signs a user whom [Engine.SignUp] signed up in again, with [Password]. Any failure fails the test at once.
func (e *Engine) SignIn(t testing.TB, email string) *auth.Session {
	t.Helper()
	in, err := e.SignInPassword(t.Context(), auth.SignInPasswordParams{Email: email, Password: Password})
	if err != nil {
		t.Fatalf("authtest: sign in %s: %v", email, err)
	}
	return in.Session
}

// Principal returns who a session speaks for: what a service's own functions take. A session whose access token is not
// good, or no longer, fails the test at once.
func (e *Engine) Principal(t testing.TB, s *auth.Session) *auth.Principal {
	t.Helper()
	p, err := e.Authenticate(t.Context(), s.AccessToken)
	if err != nil {
		t.Fatalf("authtest: %v", err)
	}
	return p
}
