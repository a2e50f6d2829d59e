package auth_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/internal/refreshtoken"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/storetest"
)

func refresh(t *testing.T, e *authtest.Engine, token string) (*auth.Session, error) {
	t.Helper()
	return e.Refresh(t.Context(), auth.RefreshParams{RefreshToken: token})
}

func mustRefresh(t *testing.T, e *authtest.Engine, token string) *auth.Session {
	t.Helper()
	s, err := refresh(t, e, token)
	if err != nil {
		t.Fatalf("refresh: %v", err)
	}
	return s
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
}

// atOnce runs f n times at the same moment.
func atOnce(n int, f func(i int)) {
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-start
			f(i)
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
}

func TestRefreshRotatesTheToken(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	first := e.SignUp(t, "ada@example.com")
	second := mustRefresh(t, e, first.RefreshToken)
	if second.RefreshToken == first.RefreshToken || second.AccessToken == first.AccessToken {
		t.Error("the tokens are those from before")
	}
	if second.RefreshTokenID != first.RefreshTokenID {
		t.Error("the session has another id")
	}
	if second.User.Email != "ada@example.com" || second.AccessTokenExpiresIn != 900 {
		t.Errorf("got user %q and lifetime %d", second.User.Email, second.AccessTokenExpiresIn)
	}
}

// RT-01, RT-02, W16: fifty parallel refreshes are one step, and all get the same answer.
func TestParallelRefreshesTakeOneStep(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	s := e.SignUp(t, "ada@example.com")
	tokens := make([]string, 50)
	atOnce(len(tokens), func(i int) {
		next, err := e.Refresh(context.Background(), auth.RefreshParams{RefreshToken: s.RefreshToken})
		if err != nil {
			t.Error(err)
			return
		}
		tokens[i] = next.RefreshToken
	})
	for _, token := range tokens {
		if token != tokens[0] {
			t.Fatalf("two successors: %v", tokens)
		}
	}
	a, err := e.Store.User(t.Context(), store.UserQuery{SessionID: s.RefreshTokenID, Now: e.Clock.Now()})
	if err != nil || a.Session.Generation != 1 {
		t.Errorf("generation %v, %v; want 1", a.Session, err)
	}
}

// The owner of a proven address hears that a session was ended as stolen: once, and whoever presents what afterwards.
func TestReuseIsToldToTheOwner(t *testing.T) {
	t.Parallel()
	for _, open := range []bool{false, true} {
		e := authtest.New(t, func(c *auth.Config) { c.Email.AllowUnverified = open })
		stolen := e.SignUp(t, "ada@example.com")
		before := len(e.Mailbox.All())
		current := mustRefresh(t, e, stolen.RefreshToken)
		e.Clock.Advance(11 * time.Second)
		for range 3 {
			for _, token := range []string{stolen.RefreshToken, current.RefreshToken} {
				_, err := refresh(t, e, token)
				wantErr(t, err, auth.ErrInvalidRefreshToken)
			}
		}
		letters := e.Mailbox.All()[before:]
		if open && len(letters) != 0 {
			t.Errorf("%d letters to an address that is not known to be the user's", len(letters))
		}
		if text := e.Logs.String(); strings.Contains(text, "tell the owner") {
			t.Errorf("the log says that something has failed:\n%s", text)
		}
		if !open && (len(letters) != 1 || letters[0].Template != "session-reuse" || letters[0].To != "ada@example.com") {
			t.Errorf("letters %v", letters)
		}
	}
}

// RT-03: an answer that was lost can be asked for again, for as long as the grace period lasts.
func TestALostAnswerCanBeAskedForAgain(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	s := e.SignUp(t, "ada@example.com")
	want := mustRefresh(t, e, s.RefreshToken)
	e.Clock.Advance(10 * time.Second)
	if got := mustRefresh(t, e, s.RefreshToken); got.RefreshToken != want.RefreshToken {
		t.Error("the retry got another successor")
	}
	if got := e.Events.Of(auth.EventRefreshTokenReused); len(got) != 0 {
		t.Errorf("a retry counts as theft: %v", got)
	}
}

// RT-01, RT-04, W16: whichever of the thief and the owner comes second ends the session for both, however many steps the
// first has taken meanwhile (RFC 9700 §4.14.2).
func TestReuseEndsTheSession(t *testing.T) {
	t.Parallel()
	for name, steps := range map[string]int{"the token before": 1, "the one before that": 2, "a much older one": 20} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := authtest.New(t)
			stolen := e.SignUp(t, "ada@example.com")
			other := e.SignIn(t, "ada@example.com")
			current := stolen
			for range steps {
				current = mustRefresh(t, e, current.RefreshToken)
			}
			e.Clock.Advance(11 * time.Second)
			_, err := refresh(t, e, stolen.RefreshToken)
			wantErr(t, err, auth.ErrInvalidRefreshToken)
			_, err = refresh(t, e, current.RefreshToken)
			wantErr(t, err, auth.ErrInvalidRefreshToken)

			events := e.Events.Of(auth.EventRefreshTokenReused)
			if len(events) != 1 || events[0].SessionID != stolen.RefreshTokenID || events[0].UserID != stolen.User.ID {
				t.Errorf("events: %+v", events)
			}
			mustRefresh(t, e, other.RefreshToken) // RT-05: another device is another family
		})
	}
}

// RT-06, RT-07
func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	t.Run("when they are idle for too long", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t)
		s := e.SignUp(t, "ada@example.com")
		e.Clock.Advance(30*24*time.Hour - time.Second)
		s = mustRefresh(t, e, s.RefreshToken)
		e.Clock.Advance(30 * 24 * time.Hour)
		_, err := refresh(t, e, s.RefreshToken)
		wantErr(t, err, auth.ErrInvalidRefreshToken)
		// RT-26: setting the clock back does not revive it.
		e.Clock.Advance(-24 * time.Hour)
		_, err = refresh(t, e, s.RefreshToken)
		wantErr(t, err, auth.ErrInvalidRefreshToken)
	})
	t.Run("when they have lasted for too long", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t)
		s := e.SignUp(t, "ada@example.com")
		for range 179 {
			e.Clock.Advance(24 * time.Hour)
			s = mustRefresh(t, e, s.RefreshToken)
		}
		e.Clock.Advance(24 * time.Hour)
		_, err := refresh(t, e, s.RefreshToken)
		wantErr(t, err, auth.ErrInvalidRefreshToken)
	})
}

// RT-26: a clock that is set back does not bring a rotated token back.
func TestAClockSetBackBringsNoTokenBack(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	s := e.SignUp(t, "ada@example.com")
	mustRefresh(t, e, s.RefreshToken)
	e.Clock.Advance(-10 * time.Minute)
	_, err := refresh(t, e, s.RefreshToken)
	wantErr(t, err, auth.ErrInvalidRefreshToken)
}

// RT-09, RT-10, RT-27, PA-02: only the very token, in its one spelling, is a refresh token.
func TestOnlyTheTokenItselfIsAccepted(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	s := e.SignUp(t, "ada@example.com")
	token := s.RefreshToken
	flip := func(i int) string {
		b := []byte(token)
		if b[i] == '0' {
			b[i] = '1'
		} else {
			b[i] = '0'
		}
		return string(b)
	}
	for name, other := range map[string]string{
		"nothing":              "",
		"the session's id":     s.RefreshTokenID.String(),
		"the access token":     s.AccessToken,
		"cut":                  token[:35],
		"extended":             token + "0",
		"another version":      flip(14),
		"another last digit":   flip(35),
		"another first digit":  flip(0),
		"only the first half":  token[:8] + "-0000-0000-0000-000000000000",
		"upper case":           strings.ToUpper(token),
		"a URN":                "urn:uuid:" + token,
		"in braces":            "{" + token + "}",
		"without dashes":       strings.ReplaceAll(token, "-", ""),
		"with a blank":         " " + token,
		"with a line end":      token + "\n",
		"a random UUID":        uuid.NewString(),
		"the zero UUID":        uuid.Nil.String(),
		"a very long one":      strings.Repeat("a", 1<<20),
		"with a NUL":           token[:35] + "\x00",
		"with full-width text": strings.ReplaceAll(token, "-", "－"),
	} {
		if other == token {
			continue // the token has no letter to write in upper case
		}
		t.Run(name, func(t *testing.T) {
			_, err := refresh(t, e, other)
			wantErr(t, err, auth.ErrInvalidRefreshToken)
		})
	}
	mustRefresh(t, e, token)
}

// RT-08, RT-13
func TestSignOutEndsOneSession(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	first := e.SignUp(t, "ada@example.com")
	other := e.SignIn(t, "ada@example.com")
	second := mustRefresh(t, e, first.RefreshToken)
	third := mustRefresh(t, e, second.RefreshToken)
	if err := e.SignOut(t.Context(), nil, auth.SignOutParams{RefreshToken: second.RefreshToken}); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*auth.Session{first, second, third} {
		_, err := refresh(t, e, s.RefreshToken)
		wantErr(t, err, auth.ErrInvalidRefreshToken)
	}
	mustRefresh(t, e, other.RefreshToken)
	if err := e.SignOut(t.Context(), nil, auth.SignOutParams{RefreshToken: second.RefreshToken}); err != nil {
		t.Errorf("signing out again: %v", err)
	}
	wantErr(t, e.SignOut(t.Context(), nil, auth.SignOutParams{}), auth.ErrInvalidRequest)
}

// RT-14, PA-03
func TestSignOutEverywhere(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	a1, b := e.SignUp(t, "ada@example.com"), e.SignUp(t, "bob@example.com")
	a2 := e.SignIn(t, "ada@example.com")
	ada := e.Principal(t, a1)
	pat := store.PAT{ID: uuid.New(), Hash: make([]byte, 32), CreatedAt: e.Clock.Now(), ExpiresAt: e.Clock.Now().Add(time.Hour)}
	if _, err := e.Store.ChangeUser(t.Context(), store.UserChange{UserID: ada.UserID, Now: e.Clock.Now(), PAT: &pat}); err != nil {
		t.Fatal(err)
	}
	pats := func() int {
		a, err := e.Store.User(t.Context(), store.UserQuery{ID: ada.UserID, With: store.WithPATs, Now: e.Clock.Now()})
		if err != nil {
			t.Fatal(err)
		}
		return len(a.PATs)
	}

	wantErr(t, e.SignOut(t.Context(), nil, auth.SignOutParams{All: true}), auth.ErrUnauthenticated)
	wantErr(t, e.SignOut(t.Context(), nil, auth.SignOutParams{All: true, RefreshToken: b.RefreshToken}), auth.ErrUnauthenticated)
	// Somebody else's token in the body changes nothing about whose sessions end.
	if err := e.SignOut(t.Context(), ada, auth.SignOutParams{All: true, RefreshToken: b.RefreshToken}); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*auth.Session{a1, a2} {
		_, err := refresh(t, e, s.RefreshToken)
		wantErr(t, err, auth.ErrInvalidRefreshToken)
	}
	mustRefresh(t, e, b.RefreshToken)
	if pats() != 1 {
		t.Error("personal access tokens ended without having been asked for")
	}
	// The session that asks has ended: its access token alone ends nothing more.
	wantErr(t, e.SignOut(t.Context(), ada, auth.SignOutParams{All: true, PATs: true}), auth.ErrUnauthenticated)
	ada = e.Principal(t, e.SignIn(t, "ada@example.com"))
	if err := e.SignOut(t.Context(), ada, auth.SignOutParams{All: true, PATs: true}); err != nil {
		t.Fatal(err)
	}
	if pats() != 0 {
		t.Error("personal access tokens are left")
	}
}

// RT-15, ST-06
func TestNoRefreshSurvivesSigningOutEverywhere(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	s := e.SignUp(t, "ada@example.com")
	ada := e.Principal(t, s)
	tokens := make([]string, 50)
	atOnce(len(tokens), func(i int) {
		if i == 25 {
			if err := e.SignOut(context.Background(), ada, auth.SignOutParams{All: true}); err != nil {
				t.Error(err)
			}
			return
		}
		if next, err := e.Refresh(context.Background(), auth.RefreshParams{RefreshToken: s.RefreshToken}); err == nil {
			tokens[i] = next.RefreshToken
		}
	})
	for _, token := range tokens {
		if _, err := refresh(t, e, token); err == nil {
			t.Fatal("a session has survived")
		}
	}
}

func TestListSessions(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	s := e.SignUp(t, "ada@example.com")
	e.SignUp(t, "bob@example.com")
	e.Clock.Advance(time.Minute)
	ctx := auth.WithClient(t.Context(), auth.Client{Address: netip.MustParseAddr("192.0.2.7"), UserAgent: "Browser\x1b[31m\n1.0" + strings.Repeat("x", 300)})
	in, err := e.SignInPassword(ctx, auth.SignInPasswordParams{Email: "ada@example.com", Password: authtest.Password})
	if err != nil {
		t.Fatal(err)
	}
	e.Clock.Advance(time.Minute)
	s = mustRefresh(t, e, s.RefreshToken)
	got, err := e.ListSessions(t.Context(), e.Principal(t, s))
	if err != nil {
		t.Fatal(err)
	}
	now := e.Clock.Now()
	want := []auth.SessionDetails{
		{
			ID: s.RefreshTokenID, CreatedAt: now.Add(-2 * time.Minute), LastUsedAt: now,
			ExpiresAt: now.Add(30 * 24 * time.Hour), AMR: []string{"email"}, Current: true,
		},
		{
			ID: in.Session.RefreshTokenID, CreatedAt: now.Add(-time.Minute), LastUsedAt: now.Add(-time.Minute),
			ExpiresAt: now.Add(30*24*time.Hour - time.Minute), AMR: []string{"pwd"},
			// LG-12: what a client calls itself is one short line.
			UserAgent: "Browser[31m1.0" + strings.Repeat("x", 256-len("Browser[31m1.0")), Address: "192.0.2.7",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// UR-09
func TestRevokeSessionIsForItsOwner(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	a, b := e.SignUp(t, "ada@example.com"), e.SignUp(t, "bob@example.com")
	ada, bob := e.Principal(t, a), e.Principal(t, b)
	wantErr(t, e.RevokeSession(t.Context(), ada, b.RefreshTokenID), auth.ErrNotFound)
	wantErr(t, e.RevokeSession(t.Context(), ada, uuid.New()), auth.ErrNotFound)
	b = mustRefresh(t, e, b.RefreshToken)
	if err := e.RevokeSession(t.Context(), bob, b.RefreshTokenID); err != nil {
		t.Fatal(err)
	}
	_, err := refresh(t, e, b.RefreshToken)
	wantErr(t, err, auth.ErrInvalidRefreshToken)
	if got := e.Events.Of(auth.EventSessionRevoked); len(got) != 1 || got[0].UserID != bob.UserID {
		t.Errorf("events: %+v", got)
	}
}

// RT-18, W13: disabled is said first, whatever else is true of the user.
func TestDisabledUsersGetNothing(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(*testing.T, *authtest.Engine) *auth.Session{
		"with an address": func(t *testing.T, e *authtest.Engine) *auth.Session { return e.SignUp(t, "ada@example.com") },
		"without an address": func(t *testing.T, e *authtest.Engine) *auth.Session {
			in, err := e.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{})
			if err != nil {
				t.Fatal(err)
			}
			return in.Session
		},
		"with an address that is no longer verified": func(t *testing.T, e *authtest.Engine) *auth.Session {
			s := e.SignUp(t, "ada@example.com")
			no := false
			if _, err := e.UpdateUser(t.Context(), s.User.ID, auth.UserUpdate{EmailVerified: &no}); err != nil {
				t.Fatal(err)
			}
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := authtest.New(t)
			s := prepare(t, e)
			principal := e.Principal(t, s)
			yes, no := true, false
			if _, err := e.UpdateUser(t.Context(), s.User.ID, auth.UserUpdate{Disabled: &yes}); err != nil {
				t.Fatal(err)
			}
			_, err := refresh(t, e, s.RefreshToken)
			wantErr(t, err, auth.ErrDisabledUser)
			_, err = e.User(t.Context(), principal)
			wantErr(t, err, auth.ErrDisabledUser)
			if _, err := e.UpdateUser(t.Context(), s.User.ID, auth.UserUpdate{Disabled: &no}); err != nil {
				t.Fatal(err)
			}
			_, err = refresh(t, e, s.RefreshToken) // the sessions from before are gone
			wantErr(t, err, auth.ErrInvalidRefreshToken)
		})
	}
}

// RT-16, RT-19, SU-12, RT-23, RT-24, W26: what a refresh reads is the present, and one that is refused or fails leaves the token good.
func TestARefusedRefreshLeavesTheTokenGood(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	t.Run("when the address is not verified any more", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t)
		s := e.SignUp(t, "ada@example.com")
		if _, err := e.UpdateUser(t.Context(), s.User.ID, auth.UserUpdate{EmailVerified: &no}); err != nil {
			t.Fatal(err)
		}
		_, err := refresh(t, e, s.RefreshToken)
		wantErr(t, err, auth.ErrUnverifiedUser)
		e.Clock.Advance(time.Hour)
		if _, err := e.UpdateUser(t.Context(), s.User.ID, auth.UserUpdate{EmailVerified: &yes}); err != nil {
			t.Fatal(err)
		}
		mustRefresh(t, e, s.RefreshToken)
	})
	t.Run("when the claims hook fails", func(t *testing.T) {
		t.Parallel()
		fail := false
		e := authtest.New(t, func(c *auth.Config) {
			c.Hooks.Claims = func(context.Context, *auth.User) (map[string]any, error) {
				if fail {
					panic("no claims today")
				}
				return map[string]any{"plan": "free"}, nil
			}
		})
		s := e.SignUp(t, "ada@example.com")
		fail = true
		_, err := refresh(t, e, s.RefreshToken)
		wantErr(t, err, auth.ErrInternal)
		fail = false
		e.Clock.Advance(time.Hour)
		if got := e.Principal(t, mustRefresh(t, e, s.RefreshToken)).Claims["x-hasura-plan"]; got != "free" {
			t.Errorf("claim is %q", got)
		}
	})
	t.Run("when the address is not admitted any more", func(t *testing.T) {
		t.Parallel()
		s := memstore.New()
		open := authtest.NewWithStore(t, s)
		session := open.SignUp(t, "ada@evil.example")
		shut := authtest.NewWithStore(t, s, func(c *auth.Config) { c.Email.BlockedDomains = []string{"EVIL.example"} })
		_, err := refresh(t, shut, session.RefreshToken)
		wantErr(t, err, auth.ErrInvalidEmailPassword)
		_, err = shut.SignInPassword(t.Context(), auth.SignInPasswordParams{Email: "Ada@Evil.Example", Password: authtest.Password})
		wantErr(t, err, auth.ErrInvalidEmailPassword)
		mustRefresh(t, open, session.RefreshToken)
	})
	t.Run("when the store fails", func(t *testing.T) {
		t.Parallel()
		s := memstore.New()
		e := authtest.NewWithStore(t, s)
		session := e.SignUp(t, "ada@example.com")
		for _, after := range []bool{false, true} {
			broken := authtest.NewWithStore(t, storetest.Break(s, storetest.Fault{Method: "RotateSession", After: after}))
			_, err := refresh(t, broken, session.RefreshToken)
			wantErr(t, err, auth.ErrInternal)
			mustRefresh(t, e, session.RefreshToken)
		}
	})
	t.Run("and what changed meanwhile shows", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t)
		s := e.SignUp(t, "ada@example.com")
		editor := "editor"
		_, err := e.UpdateUser(t.Context(), s.User.ID, auth.UserUpdate{DefaultRole: &editor, Roles: []string{"editor"}})
		if err != nil {
			t.Fatal(err)
		}
		p := e.Principal(t, mustRefresh(t, e, s.RefreshToken))
		if p.DefaultRole != "editor" || p.HasRole("user") || !p.HasRole("editor") {
			t.Errorf("roles %v, default %q", p.Roles, p.DefaultRole)
		}
	})
}

// RT-03, RT-07: a refresh that is refused leaves the session as it was. It opens no grace period for a token that was rotated long
// ago, and it does not make an idle session live longer.
func TestARefusedRefreshLeavesNoTrace(t *testing.T) {
	t.Parallel()
	fail := false
	e := authtest.New(t, func(c *auth.Config) {
		c.Hooks.Claims = func(context.Context, *auth.User) (map[string]any, error) {
			if fail {
				return nil, errors.New("no claims today")
			}
			return nil, nil
		}
	})
	stolen := e.SignUp(t, "ada@example.com")
	owner := mustRefresh(t, e, stolen.RefreshToken)
	e.Clock.Advance(30 * time.Minute)
	fail = true
	_, err := refresh(t, e, owner.RefreshToken)
	wantErr(t, err, auth.ErrInternal)
	fail = false
	e.Clock.Advance(time.Second)
	_, err = refresh(t, e, stolen.RefreshToken)
	wantErr(t, err, auth.ErrInvalidRefreshToken)
	if n := len(e.Events.Of(auth.EventRefreshTokenReused)); n != 1 {
		t.Errorf("%d events", n)
	}

	idle := e.SignIn(t, "ada@example.com")
	fail = true
	for range 3 {
		e.Clock.Advance(14 * 24 * time.Hour)
		_, _ = refresh(t, e, idle.RefreshToken)
	}
	fail = false
	_, err = refresh(t, e, idle.RefreshToken)
	wantErr(t, err, auth.ErrInvalidRefreshToken)
}

// RT-21, WA-30: what one engine did, every other over the same store knows at once.
func TestReplicasBehaveAsOne(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	one := authtest.NewWithStore(t, s)
	two := authtest.NewWithStore(t, s)
	session := one.SignUp(t, "ada@example.com")
	next := mustRefresh(t, two, session.RefreshToken)
	if got := mustRefresh(t, one, session.RefreshToken); got.RefreshToken != next.RefreshToken {
		t.Error("the replicas disagree on the successor")
	}
	if err := one.SignOut(t.Context(), nil, auth.SignOutParams{RefreshToken: next.RefreshToken}); err != nil {
		t.Fatal(err)
	}
	_, err := refresh(t, two, next.RefreshToken)
	wantErr(t, err, auth.ErrInvalidRefreshToken)
}

// A new secret signs nobody out, and the old one can go when its sessions have.
func TestTheSecretCanBeReplaced(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	oldSecret := auth.Secret(strings.Repeat("o", 32))
	newSecret := auth.Secret(strings.Repeat("n", 32))
	before := authtest.NewWithStore(t, s, func(c *auth.Config) { c.Secret = oldSecret })
	session := before.SignUp(t, "ada@example.com")
	during := authtest.NewWithStore(t, s, func(c *auth.Config) {
		c.Secret, c.PreviousSecrets = newSecret, []auth.Secret{oldSecret}
	})
	if _, err := during.Authenticate(t.Context(), session.AccessToken); err != nil {
		t.Errorf("an access token from before: %v", err)
	}
	next := mustRefresh(t, during, session.RefreshToken)
	after := authtest.NewWithStore(t, s, func(c *auth.Config) { c.Secret = newSecret })
	_, err := refresh(t, after, session.RefreshToken)
	wantErr(t, err, auth.ErrInvalidRefreshToken)
	_, err = after.Authenticate(t.Context(), session.AccessToken)
	wantErr(t, err, auth.ErrUnauthenticated)
	mustRefresh(t, after, next.RefreshToken)
}

// RT-25: the sessions of one user are bounded; the least recently used end.
func TestSessionsPerUserAreBounded(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, func(c *auth.Config) { c.Sessions.MaxPerUser = 3 })
	var sessions []*auth.Session
	sessions = append(sessions, e.SignUp(t, "ada@example.com"))
	for range 4 {
		e.Clock.Advance(time.Minute)
		sessions = append(sessions, e.SignIn(t, "ada@example.com"))
	}
	for i, s := range sessions {
		_, err := refresh(t, e, s.RefreshToken)
		if ended := err != nil; ended != (i < 2) {
			t.Errorf("session %d: %v", i, err)
		}
	}
}

// RT-11, EL-06: with CheckOnVerify a revoked session is over at once; without it, its access token lives out its time.
func TestCheckOnVerifyMakesRevocationImmediate(t *testing.T) {
	t.Parallel()
	for name, check := range map[string]bool{"on": true, "off": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := authtest.New(t, func(c *auth.Config) { c.Sessions.CheckOnVerify = check })
			s := e.SignUp(t, "ada@example.com")
			principal := e.Principal(t, s)
			if principal == nil || principal.UserID != s.User.ID {
				t.Fatalf("principal %+v", principal)
			}
			other := e.SignIn(t, "ada@example.com")
			if err := e.SignOut(t.Context(), nil, auth.SignOutParams{RefreshToken: s.RefreshToken}); err != nil {
				t.Fatal(err)
			}
			// Whatever the configuration, methods that act for a user ask whether the session lives.
			_, err := e.User(t.Context(), principal)
			wantErr(t, err, auth.ErrUnauthenticated)
			_, err = e.ListSessions(t.Context(), principal)
			wantErr(t, err, auth.ErrUnauthenticated)
			wantErr(t, e.RevokeSession(t.Context(), principal, other.RefreshTokenID), auth.ErrUnauthenticated)
			mustRefresh(t, e, other.RefreshToken)
			_, err = e.Authenticate(t.Context(), s.AccessToken)
			if refused := errors.Is(err, auth.ErrUnauthenticated); refused != check {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A store that fails is a failure of the service: a client that is told 401 forgets its session.
func TestCheckOnVerifyTellsAFaultFromARefusal(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	session := authtest.NewWithStore(t, s).SignUp(t, "ada@example.com")
	e := authtest.NewWithStore(t, storetest.Break(s, storetest.Fault{Method: "User"}), func(c *auth.Config) { c.Sessions.CheckOnVerify = true })
	_, err := e.Authenticate(t.Context(), session.AccessToken)
	wantErr(t, err, auth.ErrInternal)
	wantErr(t, e.VerifyToken(t.Context(), auth.VerifyTokenParams{Token: session.AccessToken}), auth.ErrInternal)
}

// With CheckOnVerify a token is good only if it names a session that lives, of a user who may come in.
func TestCheckOnVerifyWantsASessionAndItsUser(t *testing.T) {
	t.Parallel()
	lenient := authtest.New(t, unverified, hs256)
	in, err := signUp(t, lenient, "ada@example.com", authtest.Password, auth.SignUpOptions{})
	if err != nil {
		t.Fatal(err)
	}
	claims := jwt.MapClaims{}
	if _, err := jwt.ParseWithClaims(in.Session.AccessToken, claims, func(*jwt.Token) (any, error) { return []byte(hmacSecret), nil }); err != nil {
		t.Fatal(err)
	}
	delete(claims, "sid")
	nameless, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(hmacSecret))
	if err != nil {
		t.Fatal(err)
	}
	check := func(c *auth.Config) { c.Sessions.CheckOnVerify = true }
	for name, tt := range map[string]struct {
		e     *authtest.Engine
		token string
		want  error
	}{
		"a token":                               {replica(t, lenient, unverified, hs256, check), in.Session.AccessToken, nil},
		"without a session":                     {replica(t, lenient, unverified, hs256, check), nameless, auth.ErrUnauthenticated},
		"without a session, which nobody wants": {lenient, nameless, nil},
		"of who has not proven their address":   {replica(t, lenient, hs256, check), in.Session.AccessToken, auth.ErrUnauthenticated},
	} {
		p, err := tt.e.Authenticate(t.Context(), tt.token)
		if !errors.Is(err, tt.want) || (p == nil) != (tt.want != nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// LG-12: what a client calls itself is shown as one line of text, of 256 bytes at most.
func TestWhatAClientCallsItself(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	e.SignUp(t, "ada@example.com")
	long := strings.Repeat("x", 256)
	for agent, want := range map[string]string{
		" a~b\x1fc\x7fd":    " a~bcd",
		"a\uFFFDb\xff\xfec": "abc",
		long:                long,
		long + "y":          long,
		long[1:] + "é":      long[1:],
		long[2:] + "é":      long[2:] + "é",
	} {
		ctx := auth.WithClient(t.Context(), auth.Client{UserAgent: agent})
		in, err := e.SignInPassword(ctx, auth.SignInPasswordParams{Email: "ada@example.com", Password: authtest.Password})
		if err != nil {
			t.Fatal(err)
		}
		list, err := e.ListSessions(t.Context(), e.Principal(t, in.Session))
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(list, func(s auth.SessionDetails) bool { return s.Current })
		if i < 0 || list[i].UserAgent != want {
			t.Errorf("%q is shown as %q", agent, list[i].UserAgent)
		}
	}
}

// A session ends with its last token, and not with a failure of the service at every attempt.
func TestTheLastTokenOfASession(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	s := e.SignUp(t, "ada@example.com")
	for generation, want := range map[uint32]error{refreshtoken.MaxGeneration - 1: nil, refreshtoken.MaxGeneration: auth.ErrInvalidRefreshToken} {
		token, err := auth.RefreshToken(e.Engine, s.RefreshTokenID, generation)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := refresh(t, e, token); !errors.Is(err, want) {
			t.Errorf("generation %d: %v", generation, err)
		}
	}
}

// A principal is who its session belongs to, or nobody.
func TestAPrincipalOfAnothersSessionIsNobody(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	ada, bob := e.SignUp(t, "ada@example.com"), e.SignUp(t, "bob@example.com")
	_, err := e.User(t.Context(), &auth.Principal{UserID: ada.User.ID, SessionID: bob.RefreshTokenID})
	wantErr(t, err, auth.ErrUnauthenticated)
}

// LG-10
func TestASessionDoesNotPrintItsTokens(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	s := e.SignUp(t, "ada@example.com")
	for _, text := range prints(s) {
		if strings.Contains(text, s.RefreshToken) || strings.Contains(text, s.AccessToken) || !strings.Contains(text, s.RefreshTokenID.String()) {
			t.Errorf("%q", text)
		}
	}
}

// LG-13: whom the service's hook keeps out has tried to sign in.
func TestWhoTheHookKeepsOutIsRecorded(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	s := e.SignUp(t, "ada@example.com")
	closed := replica(t, e, func(c *auth.Config) {
		c.Hooks.BeforeSession = func(context.Context, *auth.User, []string) error { return errors.New("closed") }
	})
	if _, err := signIn(t, closed, "ada@example.com", authtest.Password); err == nil {
		t.Fatal("in")
	}
	events := closed.Events.Of(auth.EventSignInFailed)
	if len(events) != 1 || events[0].UserID != s.User.ID || events[0].Method != "password" || events[0].Code == "" {
		t.Errorf("%+v", events)
	}
}

// Sessions of a disabled user can be ended, by who still holds a token.
func TestADisabledUserMaySignOutEverywhere(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	s, yes := e.SignUp(t, "ada@example.com"), true
	p := e.Principal(t, s)
	if _, err := e.UpdateUser(t.Context(), s.User.ID, auth.UserUpdate{Disabled: &yes}); err != nil {
		t.Fatal(err)
	}
	if err := e.SignOut(t.Context(), p, auth.SignOutParams{All: true}); err != nil {
		t.Error(err)
	}
}

// A session ends once, however often its token comes to sign out.
func TestASignOutIsRecordedOnce(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	s := e.SignUp(t, "ada@example.com")
	for range 2 {
		if err := e.SignOut(t.Context(), nil, auth.SignOutParams{RefreshToken: s.RefreshToken}); err != nil {
			t.Fatal(err)
		}
	}
	if events := e.Events.Of(auth.EventSignedOut); len(events) != 1 || events[0].SessionID != s.RefreshTokenID {
		t.Errorf("%+v", events)
	}
}

// A session shows where it was last seen, which a refresh moves on.
func TestARefreshTellsWhereTheSessionIs(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	s := e.SignUp(t, "ada@example.com")
	ctx := auth.WithClient(t.Context(), auth.Client{Address: netip.MustParseAddr("192.0.2.7")})
	next, err := e.Refresh(ctx, auth.RefreshParams{RefreshToken: s.RefreshToken})
	if err != nil {
		t.Fatal(err)
	}
	list, err := e.ListSessions(t.Context(), e.Principal(t, next))
	if err != nil || len(list) != 1 || list[0].Address != "192.0.2.7" {
		t.Errorf("%s, %v", asJSON(list), err)
	}
}

func TestWhoIsDeletedIsSignedOut(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	p := e.Principal(t, e.SignUp(t, "ada@example.com"))
	if err := e.DeleteUser(t.Context(), p.UserID); err != nil {
		t.Fatal(err)
	}
	if err := e.SignOut(t.Context(), p, auth.SignOutParams{All: true}); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Error(err)
	}
}

// RT-03, ST-16: a retry that reaches a replica whose clock is behind that of the one that rotated is a retry, and no theft; one that
// is as late by its own clock as the clocks may be apart is not.
func TestARetryAtAReplicaThatIsBehind(t *testing.T) {
	t.Parallel()
	for behind, reused := range map[time.Duration]bool{time.Second: false, time.Minute: false, time.Minute + time.Second: true} {
		e := authtest.New(t)
		other := replica(t, e, func(c *auth.Config) { c.Now = func() time.Time { return e.Clock.Now().Add(-behind) } })
		e.Clock.Advance(time.Hour)
		s := e.SignUp(t, "ada@example.com")
		next := mustRefresh(t, e, s.RefreshToken)
		again, err := refresh(t, other, s.RefreshToken)
		switch {
		case reused && !errors.Is(err, auth.ErrInvalidRefreshToken):
			t.Errorf("%v behind: %v", behind, err)
		case !reused && (err != nil || again.RefreshToken != next.RefreshToken):
			t.Errorf("%v behind: %v", behind, err)
		}
	}
}

// A rotation that cannot be taken back is told of, and no other.
func TestARotationThatCannotBeTakenBack(t *testing.T) {
	t.Parallel()
	for _, works := range []bool{false, true} {
		s := memstore.New()
		session := authtest.NewWithStore(t, s).SignUp(t, "ada@example.com")
		var faults []storetest.Fault
		if !works {
			faults = append(faults, storetest.Fault{Method: "UnrotateSession"})
		}
		e := authtest.NewWithStore(t, storetest.Break(s, faults...), func(c *auth.Config) {
			c.Hooks.Claims = func(context.Context, *auth.User) (map[string]any, error) { return nil, errors.New("no claims today") }
		})
		_, err := refresh(t, e, session.RefreshToken)
		wantErr(t, err, auth.ErrInternal)
		if said := strings.Contains(e.Logs.String(), "take back rotation"); said == works {
			t.Errorf("works %t: the log says %q", works, e.Logs)
		}
	}
}

// Who has no address, or where no letters are sent, is not written to; nor is a letter kept for them.
func TestReuseIsToldToNobodyWithoutAnAddress(t *testing.T) {
	t.Parallel()
	yes := true
	for name, c := range map[string]struct {
		amend  func(*auth.Config)
		signUp func(t *testing.T, e *authtest.Engine) *auth.Session
	}{
		"without letters": {func(c *auth.Config) { c.Mail, c.Email.AllowUnverified = nil, true }, func(t *testing.T, e *authtest.Engine) *auth.Session {
			return e.SignUp(t, "ada@example.com")
		}},
		"without an address": {func(*auth.Config) {}, func(t *testing.T, e *authtest.Engine) *auth.Session { return signUpByPhone(t, e, adaPhone) }},
	} {
		e := authtest.New(t)
		s := c.signUp(t, e)
		if _, err := e.Store.ChangeUser(t.Context(), store.UserChange{UserID: s.User.ID, Now: e.Clock.Now(), Set: store.UserSet{EmailVerified: &yes}}); err != nil {
			t.Fatal(err)
		}
		waiting := countMessages(t, e)
		r := replica(t, e, c.amend)
		mustRefresh(t, r, s.RefreshToken)
		e.Clock.Advance(time.Minute)
		_, err := refresh(t, r, s.RefreshToken)
		wantErr(t, err, auth.ErrInvalidRefreshToken)
		if n := countMessages(t, e); n != waiting || strings.Contains(r.Logs.String(), "tell the owner") {
			t.Errorf("%s: %d letters wait, and the log says %q", name, n-waiting, r.Logs)
		}
	}
}

// The user whom a session comes with is the one who it was opened for, at that moment.
func TestASessionShowsItsUserAsTheyAre(t *testing.T) {
	t.Parallel()
	e := interruptible(t)
	id := e.SignUp(t, "ada@example.com").User.ID
	name := "Ada L."
	e.arm(func() {
		if _, err := e.UpdateUser(background, id, auth.UserUpdate{DisplayName: &name}); err != nil {
			t.Error(err)
		}
	})
	if s := e.SignIn(t, "ada@example.com"); s.User.DisplayName != name {
		t.Errorf("%s", asJSON(s.User))
	}
}
