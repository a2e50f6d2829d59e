package authtest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
)

func TestSignUpGivesAVerifiedUserASession(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	session := e.SignUp(t, "Ada@Example.com")
	if !session.User.EmailVerified || session.User.Email != "Ada@Example.com" {
		t.Errorf("user = %+v, want the verified owner of Ada@Example.com", session.User)
	}
	if p := e.Principal(t, session); p.UserID != session.User.ID {
		t.Errorf("principal is %s, want %s", p.UserID, session.User.ID)
	}
	again := e.SignIn(t, "ada@example.com")
	if again.User.ID != session.User.ID || again.RefreshTokenID == session.RefreshTokenID {
		t.Errorf("SignIn = %v, want another session of the user of %v", again, session)
	}
}

func TestSignUpNeedsNoLetterWhereAddressesAreNotVerified(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, func(c *auth.Config) { c.Email.AllowUnverified = true })
	session := e.SignUp(t, "ada@example.com")
	if session.User.EmailVerified {
		t.Error("the address is verified and nobody has proven it")
	}
	if n := len(e.Mailbox.All()); n > 0 {
		t.Errorf("%d letters were sent", n)
	}
}

func TestSignUpWaitsForALetterThatALoopDelivers(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- e.Run(ctx) }()
	e.SignUp(t, "ada@example.com")
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Run: %v", err)
	}
}

func TestTheClockDecidesWhatHasExpired(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	session := e.SignUp(t, "ada@example.com")
	life := time.Duration(session.AccessTokenExpiresIn) * time.Second
	e.Clock.Advance(life - time.Second)
	e.Principal(t, session)
	e.Clock.Advance(time.Second)
	if _, err := e.Authenticate(t.Context(), session.AccessToken); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("after its life of %v: %v, want %v", life, err, auth.ErrUnauthenticated)
	}
}

func TestEnginesOverOneStoreAreReplicas(t *testing.T) {
	t.Parallel()
	first := authtest.New(t)
	second := authtest.NewWithStore(t, first.Store, func(c *auth.Config) { c.Now = first.Clock.Now })
	session := first.SignUp(t, "ada@example.com")
	second.Principal(t, session)
	if _, err := second.Refresh(t.Context(), auth.RefreshParams{RefreshToken: session.RefreshToken}); err != nil {
		t.Errorf("a replica refuses the other's refresh token: %v", err)
	}
}

func TestOutboundRequestsFail(t *testing.T) {
	t.Parallel()
	var client *http.Client
	authtest.New(t, func(c *auth.Config) { client = c.HTTPClient })
	response, err := client.Get("http://127.0.0.1:1/")
	if err == nil {
		response.Body.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "outbound request to 127.0.0.1:1") {
		t.Errorf("err = %v, want one that names the host", err)
	}
}

func TestEventsAreRecorded(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	session := e.SignUp(t, "ada@example.com")
	created := e.Events.Of(auth.EventUserCreated)
	if len(created) != 1 || created[0].UserID != session.User.ID || !created[0].At.Equal(e.Clock.Now()) {
		t.Errorf("Of(%s) = %+v, want one of user %s", auth.EventUserCreated, created, session.User.ID)
	}
	two := e.Events.Of(auth.EventSignedIn, auth.EventUserCreated)
	if len(two) != 2 || len(e.Events.All()) < len(two) {
		t.Errorf("%d events of two types, %d of all", len(two), len(e.Events.All()))
	}
}

func TestLogsHaveNoSecretOfAWholeLife(t *testing.T) { // LG-10
	t.Parallel()
	e := authtest.New(t, func(c *auth.Config) {
		c.Events = auth.LogEvents(c.Logger)
	})
	session := e.SignUp(t, "ada@example.com")
	next, err := e.Refresh(t.Context(), auth.RefreshParams{RefreshToken: session.RefreshToken})
	if err != nil {
		t.Fatal(err)
	}
	e.Clock.Advance(time.Hour)
	if _, err := e.Refresh(t.Context(), auth.RefreshParams{RefreshToken: session.RefreshToken}); err == nil {
		t.Fatal("an old refresh token was accepted")
	}
	e.Mailbox.Refuse(errors.New("the mail server is down"))
	if _, err := e.SignUpPassword(t.Context(), auth.SignUpPasswordParams{Email: "b@example.com", Password: authtest.Password}); err != nil {
		t.Fatal(err)
	}
	log := e.Logs.String()
	for _, want := range []string{"refresh-token-reused", "the mail server is down"} {
		if !strings.Contains(log, want) {
			t.Errorf("the logs do not have %q:\n%s", want, log)
		}
	}
	e.Logs.AssertAbsent(t, authtest.Password, session.AccessToken, session.RefreshToken, next.AccessToken, next.RefreshToken,
		e.Mailbox.To("ada@example.com")[0].Ticket())
}

func TestMisconfigurationFailsTheTest(t *testing.T) {
	t.Parallel()
	failed := run(t, func(tb testing.TB) {
		authtest.New(tb, func(c *auth.Config) { c.ServerURL, c.Secret = "", nil })
	})
	for _, field := range []string{"ServerURL", "Secret"} {
		if !strings.Contains(failed, field) {
			t.Errorf("failure %q does not name %s", failed, field)
		}
	}
}

func TestFailuresFailTheTest(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	session := e.SignUp(t, "ada@example.com")
	e.Logs.Logger().Info("oops", "token", "hunter2", "quoted", "a\"b\nc", "bytes", struct{ B []byte }{[]byte("hunter3")})
	for name, tt := range map[string]struct {
		call func(testing.TB)
		want string
	}{
		"signing up a taken address": {
			func(tb testing.TB) { e.SignUp(tb, "ada@example.com") }, "email-already-in-use",
		},
		"signing up where the letter is refused": {
			func(tb testing.TB) {
				ctx, giveUp := context.WithCancel(t.Context())
				broken := authtest.New(tb, func(c *auth.Config) {
					c.Events = auth.EventFunc(func(_ context.Context, ev auth.Event) {
						if ev.Type == auth.EventMessageFailed {
							giveUp()
						}
					})
				})
				broken.Mailbox.Refuse(errors.New("down"))
				broken.SignUp(inContext{tb, ctx}, "ada@example.com")
			}, "no letter to verify the address has come",
		},
		"signing in a stranger": {
			func(tb testing.TB) { e.SignIn(tb, "eve@example.com") }, "invalid-email-password",
		},
		"a principal of a forged session": {
			func(tb testing.TB) { e.Principal(tb, &auth.Session{AccessToken: session.AccessToken + "x"}) }, "unauthenticated-user",
		},
		"the last letter to a stranger": {
			func(tb testing.TB) { e.Mailbox.Last(tb, "eve@example.com") }, "no letter to eve@example.com",
		},
		"the next letter where no further comes": {
			func(tb testing.TB) {
				done, cancel := context.WithCancel(t.Context())
				cancel()
				e.Mailbox.Next(inContext{tb, done}, "eve@example.com")
			}, "no further letter to eve@example.com",
		},
		"a secret in the logs":        {func(tb testing.TB) { e.Logs.AssertAbsent(tb, "absent", "hunter2") }, "secret 1 is in the logs"},
		"a secret that needs quoting": {func(tb testing.TB) { e.Logs.AssertAbsent(tb, "a\"b\nc") }, "secret 0 is in the logs"},
		"a secret logged as bytes":    {func(tb testing.TB) { e.Logs.AssertAbsent(tb, "hunter3") }, "secret 0 is in the logs"},
		"a secret that is empty":      {func(tb testing.TB) { e.Logs.AssertAbsent(tb, "") }, "is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if failed := run(t, tt.call); !strings.Contains(failed, tt.want) {
				t.Errorf("the test failed with %q, want %q", failed, tt.want)
			}
		})
	}
}

func TestMailboxFindsLettersByAddress(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, func(c *auth.Config) { c.ConcealErrors = true })
	for range 2 { // the second time, the owner is told
		_, err := e.SignUpPassword(t.Context(), auth.SignUpPasswordParams{Email: "Ada@example.com", Password: authtest.Password})
		if err != nil {
			t.Fatal(err)
		}
	}
	e.SignUp(t, "bob@example.com")

	var templates []string
	for _, l := range e.Mailbox.To("ADA@EXAMPLE.COM") {
		templates = append(templates, l.Template)
	}
	if diff := cmp.Diff([]string{"email-verify", "signup-attempt"}, templates); diff != "" {
		t.Errorf("letters to Ada (-want +got):\n%s", diff)
	}
	if n := len(e.Mailbox.All()); n != 3 {
		t.Errorf("%d letters in all, want 3", n)
	}
	if l := e.Mailbox.Last(t, "ada@example.com"); l.Template != "signup-attempt" || l.Ticket() != "" {
		t.Errorf("Last = %s with ticket %q, want the second letter, which has none", l.Template, l.Ticket())
	}
	first := e.Mailbox.Next(t, "ada@example.com")
	if first.Template != "email-verify" || !strings.Contains(first.Text, first.Link()) || !strings.HasPrefix(first.Link(), authtest.ServerURL) {
		t.Errorf("Next = %s with link %q, want the first letter and the link in it", first.Template, first.Link())
	}
	if second := e.Mailbox.Next(t, "ada@example.com"); second.Template != "signup-attempt" {
		t.Errorf("the second Next = %s, want the second letter", second.Template)
	}
}

// inContext is a test with a context of its own.
type inContext struct {
	testing.TB
	ctx context.Context
}

func (c inContext) Context() context.Context { return c.ctx }

// run calls f with a test that fails for itself alone, and returns how it did.
func run(t *testing.T, f func(testing.TB)) string {
	t.Helper()
	inner := &failing{TB: t}
	done := make(chan struct{})
	go func() { // Fatalf ends a goroutine
		defer close(done)
		f(inner)
	}()
	<-done
	return inner.failures.String()
}

type failing struct {
	testing.TB
	failures strings.Builder
}

func (f *failing) Errorf(format string, args ...any) { fmt.Fprintf(&f.failures, format+"\n", args...) }

func (f *failing) Fatalf(format string, args ...any) {
	f.Errorf(format, args...)
	runtime.Goexit()
}
