package authtest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
)

// A service has a table of profiles, and a row in it for every user.
type profileTable map[string]string

func (p profileTable) create(_ context.Context, u *auth.User) error {
	p[u.ID.String()] = "profile of " + u.DisplayName
	return nil
}

// Inside a test function, t is the test's own.
var t testing.TB = &exampleT{}

func Example() {
	profiles := profileTable{}
	e := authtest.New(t, func(c *auth.Config) {
		c.Hooks.UserCreated = profiles.create
	})

	session := e.SignUp(t, "ada@example.com")
	fmt.Println(profiles[session.User.ID.String()])
	// Output: profile of ada@example.com
}

// The clock stands still until the test moves it, so a session expires when the test says so.
func ExampleClock() {
	e := authtest.New(t, func(c *auth.Config) { c.Sessions.Idle = time.Hour })
	session := e.SignUp(t, "ada@example.com")

	e.Clock.Advance(time.Hour)
	_, err := e.Refresh(context.Background(), auth.RefreshParams{RefreshToken: session.RefreshToken})
	fmt.Println(errors.Is(err, auth.ErrInvalidRefreshToken))
	// Output: true
}

// A letter can be read as soon as the call that caused it has returned.
func ExampleMailbox() {
	e := authtest.New(t)
	ctx := context.Background()
	_, err := e.SignUpPassword(ctx, auth.SignUpPasswordParams{Email: "ada@example.com", Password: authtest.Password})
	if err != nil {
		fmt.Println(err)
	}

	letter := e.Mailbox.Last(t, "ada@example.com")
	in, err := e.VerifyTicket(ctx, auth.VerifyTicketParams{Ticket: letter.Ticket()})
	if err != nil {
		fmt.Println(err)
	}
	fmt.Println(letter.Template, in.Session.User.EmailVerified)
	// Output: email-verify true
}

// What the engine logged, at every level, can be searched for what should not be there.
func ExampleLogs() {
	e := authtest.New(t)
	session := e.SignUp(t, "ada@example.com")
	e.Logs.AssertAbsent(t, authtest.Password, session.AccessToken, session.RefreshToken)
	fmt.Println("no secret was logged")
	// Output: no secret was logged
}

// exampleT lets examples run outside of a test.
type exampleT struct{ testing.TB }

func (*exampleT) Helper()                           {}
func (*exampleT) Context() context.Context          { return context.Background() }
func (*exampleT) Errorf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (*exampleT) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
