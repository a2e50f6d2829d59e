package durability_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/store"
)

// crowd is how many do the same at the same moment.
const crowd = 50

// atOnce calls f at the same moment in as many goroutines and returns what came of it.
func atOnce(f func(i int) error) []error {
	outcomes := make([]error, crowd)
	start := make(chan struct{})
	var ready, done sync.WaitGroup
	ready.Add(crowd)
	for i := range crowd {
		done.Go(func() {
			ready.Done()
			<-start
			outcomes[i] = f(i)
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
	return outcomes
}

// gathering is a store in which those who attempt the same all look before any of them changes anything, once it is called to
// order: without it, the first is often done before the second has begun.
type gathering struct {
	store.Store
	called  atomic.Bool
	looked  atomic.Int64
	settled chan struct{} // closed when all have looked
}

// wait is called after a look. The first look of each attempt waits for those of all others.
func (g *gathering) wait(ctx context.Context) {
	if !g.called.Load() {
		return
	}
	switch n := g.looked.Add(1); {
	case n < crowd:
		select {
		case <-g.settled:
		case <-ctx.Done():
		}
	case n == crowd:
		close(g.settled)
	}
}

func (g *gathering) User(ctx context.Context, q store.UserQuery) (store.Account, error) {
	defer g.wait(ctx)
	return g.Store.User(ctx, q)
}

func (g *gathering) CheckTicket(ctx context.Context, q store.TicketQuery) (store.Ticket, store.User, error) {
	defer g.wait(ctx)
	return g.Store.CheckTicket(ctx, q)
}

func (g *gathering) TakeTicket(ctx context.Context, q store.TicketQuery) (store.Ticket, error) {
	g.wait(ctx) // this look is the change
	return g.Store.TakeTicket(ctx, q)
}

// contest is something that may succeed once, and that many attempt.
type contest struct {
	name string
	lost error // what the others are told
	// prepare makes what the attempts need, and returns the attempt.
	prepare func(t *testing.T, e *authtest.Engine) func(ctx context.Context, i int) error
	// sessions is how many sessions the winner has opened, beyond those that were there before.
	sessions int
	// unverified says that addresses need not be verified, so that no session ends for a letter.
	unverified bool
}

// codeVerifier is that of every link that is asked for with a code challenge.
var codeVerifier = strings.Repeat("v", 43)

func codeChallenge() string {
	sum := sha256.Sum256([]byte(codeVerifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// asked returns the secret of the letter that a call has brought.
func asked(t *testing.T, e *authtest.Engine, address string, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return e.Mailbox.Last(t, address).Ticket()
}

const adasNumber = "+41791234567"

// texted returns the code of the text message that a call has brought to Ada's number.
func texted(t *testing.T, e *authtest.Engine, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return e.Phone.Last(t, adasNumber).Code
}

// follows attempts to follow a link.
func follows(e *authtest.Engine, ticket string) func(context.Context, int) error {
	return func(ctx context.Context, _ int) error {
		_, err := e.VerifyTicket(ctx, auth.VerifyTicketParams{Ticket: ticket})
		return err
	}
}

// guests signs anonymous users in, one for each attempt.
func guests(t *testing.T, e *authtest.Engine) []*auth.Principal {
	t.Helper()
	principals := make([]*auth.Principal, crowd)
	for i := range principals {
		in, err := e.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{})
		if err != nil {
			t.Fatal(err)
		}
		principals[i] = e.Principal(t, in.Session)
	}
	return principals
}

var contests = []contest{
	{"the link that verifies an address", auth.ErrInvalidTicket, func(t *testing.T, e *authtest.Engine) func(context.Context, int) error {
		return follows(e, asked(t, e, ada, signsUp(t.Context(), e, made{})))
	}, 1, false},
	{"a link that signs in", auth.ErrInvalidTicket, func(t *testing.T, e *authtest.Engine) func(context.Context, int) error {
		return follows(e, asked(t, e, ada, e.SendMagicLink(t.Context(), auth.SendMagicLinkParams{Email: ada})))
	}, 1, false},
	{"a link that brings a code", auth.ErrInvalidTicket, func(t *testing.T, e *authtest.Engine) func(context.Context, int) error {
		return follows(e, asked(t, e, ada, e.SendMagicLink(t.Context(), auth.SendMagicLinkParams{Email: ada, CodeChallenge: codeChallenge()})))
	}, 0, false},
	{"the code that a link brings", auth.ErrInvalidRequest, func(t *testing.T, e *authtest.Engine) func(context.Context, int) error {
		ticket := asked(t, e, ada, e.SendMagicLink(t.Context(), auth.SendMagicLinkParams{Email: ada, CodeChallenge: codeChallenge()}))
		v, err := e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: ticket})
		if err != nil {
			t.Fatal(err)
		}
		return func(ctx context.Context, _ int) error {
			_, err := e.ExchangeCode(ctx, auth.ExchangeCodeParams{Code: v.Code, CodeVerifier: codeVerifier})
			return err
		}
	}, 1, false},
	{"a link to reset a password", auth.ErrInvalidTicket, func(t *testing.T, e *authtest.Engine) func(context.Context, int) error {
		member(t, e)
		return follows(e, asked(t, e, ada, e.SendPasswordReset(t.Context(), auth.SendPasswordResetParams{Email: ada})))
	}, 1, false},
	{"the ticket of a link to reset a password", auth.ErrInvalidTicket, func(t *testing.T, e *authtest.Engine) func(context.Context, int) error {
		if err := signsUp(t.Context(), e, made{}); err != nil {
			t.Fatal(err)
		}
		ticket := asked(t, e, ada, e.SendPasswordReset(t.Context(), auth.SendPasswordResetParams{Email: ada}))
		return func(ctx context.Context, i int) error {
			return e.ChangePassword(ctx, nil, auth.ChangePasswordParams{Ticket: ticket, NewPassword: fmt.Sprintf("quiet-otter-%d", i)})
		}
	}, 0, false},
	{"a link that confirms an address", auth.ErrInvalidTicket, func(t *testing.T, e *authtest.Engine) func(context.Context, int) error {
		m := member(t, e)
		return follows(e, asked(t, e, "new@example.com", e.ChangeEmail(t.Context(), m.principal, auth.ChangeEmailParams{NewEmail: "new@example.com"})))
	}, 0, false},
	// EO-06: the right code, too, takes a try each time. Of those that had one, one wins.
	{"a code", auth.ErrInvalidTicket, func(t *testing.T, e *authtest.Engine) func(context.Context, int) error {
		code := asked(t, e, ada, e.SendEmailOTP(t.Context(), auth.SendEmailOTPParams{Email: ada}))
		return func(ctx context.Context, _ int) error {
			_, err := e.VerifyEmailOTP(ctx, auth.VerifyEmailOTPParams{Email: ada, OTP: code})
			return err
		}
	}, 1, false},
	{"the answer to a challenge", auth.ErrInvalidRequest, func(t *testing.T, e *authtest.Engine) func(context.Context, int) error {
		m := member(t, e)
		key := &authtest.Authenticator{}
		creation, err := e.AddSecurityKey(t.Context(), m.principal)
		if err != nil {
			t.Fatal(err)
		}
		added := auth.VerifyAddSecurityKeyParams{Credential: key.Create(t, creation)}
		if _, err := e.VerifyAddSecurityKey(t.Context(), m.principal, added); err != nil {
			t.Fatal(err)
		}
		options, err := e.SignInWebAuthn(t.Context(), auth.SignInWebAuthnParams{})
		if err != nil {
			t.Fatal(err)
		}
		answer := key.Get(t, options)
		return func(ctx context.Context, _ int) error {
			_, err := e.VerifySignInWebAuthn(ctx, auth.VerifySignInWebAuthnParams{Credential: answer})
			return err
		}
	}, 1, false},

	// EC-16
	{"an address that many users confirm", auth.ErrEmailAlreadyInUse, func(t *testing.T, e *authtest.Engine) func(context.Context, int) error {
		tickets := make([]string, crowd)
		for i := range tickets {
			p := e.Principal(t, e.SignUp(t, fmt.Sprintf("user%d@example.com", i)))
			tickets[i] = asked(t, e, "wanted@example.com", e.ChangeEmail(t.Context(), p, auth.ChangeEmailParams{NewEmail: "wanted@example.com"}))
		}
		return func(ctx context.Context, i int) error {
			_, err := e.VerifyTicket(ctx, auth.VerifyTicketParams{Ticket: tickets[i]})
			return err
		}
	}, 0, false},
	// SM-01: EO-06 with a phone number.
	{"a texted code that signs up and in", auth.ErrInvalidRequest, func(t *testing.T, e *authtest.Engine) func(context.Context, int) error {
		code := texted(t, e, e.SendSMSOTP(t.Context(), auth.SendSMSOTPParams{PhoneNumber: adasNumber}))
		return func(ctx context.Context, _ int) error {
			_, err := e.VerifySMSOTP(ctx, auth.VerifySMSOTPParams{PhoneNumber: adasNumber, OTP: code})
			return err
		}
	}, 1, false},
	{"a texted code that signs in", auth.ErrInvalidRequest, func(t *testing.T, e *authtest.Engine) func(context.Context, int) error {
		ask := func() auth.VerifySMSOTPParams {
			code := texted(t, e, e.SendSMSOTP(t.Context(), auth.SendSMSOTPParams{PhoneNumber: adasNumber}))
			return auth.VerifySMSOTPParams{PhoneNumber: adasNumber, OTP: code}
		}
		if _, err := e.VerifySMSOTP(t.Context(), ask()); err != nil {
			t.Fatal(err)
		}
		proof := ask()
		return func(ctx context.Context, _ int) error {
			_, err := e.VerifySMSOTP(ctx, proof)
			return err
		}
	}, 1, false},
	{"a texted code that changes a number", auth.ErrInvalidRequest, func(t *testing.T, e *authtest.Engine) func(context.Context, int) error {
		m := member(t, e)
		code := texted(t, e, e.ChangePhone(t.Context(), m.principal, auth.ChangePhoneParams{NewPhoneNumber: adasNumber}))
		return func(ctx context.Context, _ int) error {
			return e.VerifyChangePhone(ctx, m.principal, auth.VerifyChangePhoneParams{NewPhoneNumber: adasNumber, OTP: code})
		}
	}, 0, false},
	// The sessions of the guest end, and the winner's is opened.
	{"a texted code that makes a guest a user", auth.ErrInvalidRequest, func(t *testing.T, e *authtest.Engine) func(context.Context, int) error {
		in, err := e.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{})
		if err != nil {
			t.Fatal(err)
		}
		p := e.Principal(t, in.Session)
		code := texted(t, e, e.Deanonymize(t.Context(), p, auth.DeanonymizeParams{Method: auth.DeanonymizeBySMS, PhoneNumber: adasNumber}))
		return func(ctx context.Context, _ int) error {
			_, err := e.VerifyDeanonymize(ctx, p, auth.VerifyDeanonymizeParams{PhoneNumber: adasNumber, OTP: code})
			if errors.Is(err, auth.ErrUnauthenticated) {
				return auth.ErrInvalidRequest // the right code, and the session that it was asked for with has ended meanwhile
			}
			return err
		}
	}, 0, false},
	{"a number that many users prove", auth.ErrInvalidRequest, func(t *testing.T, e *authtest.Engine) func(context.Context, int) error {
		principals, codes := make([]*auth.Principal, crowd), make([]string, crowd)
		for i := range principals {
			principals[i] = e.Principal(t, e.SignUp(t, fmt.Sprintf("user%d@example.com", i)))
			codes[i] = texted(t, e, e.ChangePhone(t.Context(), principals[i], auth.ChangePhoneParams{NewPhoneNumber: adasNumber}))
		}
		return func(ctx context.Context, i int) error {
			return e.VerifyChangePhone(ctx, principals[i], auth.VerifyChangePhoneParams{NewPhoneNumber: adasNumber, OTP: codes[i]})
		}
	}, 0, false},

	// AN-07
	{"the conversion of an anonymous user", auth.ErrUserNotAnonymous, func(t *testing.T, e *authtest.Engine) func(context.Context, int) error {
		p := guests(t, e)[0]
		return func(ctx context.Context, i int) error {
			return e.Deanonymize(ctx, p, auth.DeanonymizeParams{
				Method: auth.DeanonymizeByPassword, Email: fmt.Sprintf("guest%d@example.com", i), Password: authtest.Password,
			})
		}
	}, 0, true},
	{"an address that many anonymous users want", auth.ErrEmailAlreadyInUse, func(t *testing.T, e *authtest.Engine) func(context.Context, int) error {
		all := guests(t, e)
		return func(ctx context.Context, i int) error {
			return e.Deanonymize(ctx, all[i], auth.DeanonymizeParams{
				Method: auth.DeanonymizeByPassword, Email: ada, Password: authtest.Password,
			})
		}
	}, 0, true},
}

// stores are the places of every store, for tests in which nothing dies.
var stores = map[string]func(*testing.T) place{
	"memory": func(*testing.T) place { return place{} }, "SQLite": quickPlace, "PostgreSQL": postgresPlace,
}

// TK-03, ML-04, EO-06, SM-01, PW-03, EC-16, AN-07, OA-06, OA-07, OA-28, OA-39, W15: what is good once is good once in every store, however many try at the same
// moment, and all the others are told that it is not.
func TestWhatIsGoodOnceIsGoodOnceInEveryStore(t *testing.T) {
	t.Parallel()
	for name, newPlace := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, closeStore, err := newPlace(t).open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer closeStore()
			for _, c := range slices.Concat(contests, providerContests) {
				t.Run(c.name, func(t *testing.T) {
					defer empty(t, s)
					together := &gathering{Store: s, settled: make(chan struct{})}
					e := authtest.NewWithStore(t, together, withElsewhere, func(config *auth.Config) {
						config.MagicLink, config.EmailOTP = &auth.MagicLinkConfig{}, &auth.EmailOTPConfig{}
						config.Email.AllowUnverified = c.unverified
					})
					attempt := c.prepare(t, e)
					before := sessions(t, s, e)
					together.called.Store(true)
					won := 0
					for _, err := range atOnce(func(i int) error { return attempt(t.Context(), i) }) {
						switch {
						case err == nil:
							won++
						case !errors.Is(err, c.lost):
							t.Errorf("an attempt was told of %v, want %v", err, c.lost)
						}
					}
					if won != 1 {
						t.Errorf("%d of %d attempts succeeded, want 1", won, crowd)
					}
					if opened := sessions(t, s, e) - before; opened != c.sessions {
						t.Errorf("%d sessions were opened, want %d", opened, c.sessions)
					}
				})
			}
		})
	}
}

// sessions counts those of all users.
func sessions(t *testing.T, s store.Store, e *authtest.Engine) int {
	t.Helper()
	n := 0
	for _, u := range users(t, s) {
		a, err := s.User(t.Context(), store.UserQuery{ID: u.ID, With: store.WithSessions, Now: e.Clock.Now()})
		if err != nil {
			t.Fatal(err)
		}
		n += len(a.Sessions)
	}
	return n
}
