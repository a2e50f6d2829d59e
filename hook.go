package auth

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
)

// Hooks are functions of the service that the engine calls on the way. A hook that returns an error fails the call,
// with nothing half done: an [*Error] is returned to the caller as it is, any other error becomes [ErrInternal]. A hook
// that panics has failed. A hook gets the context of the call and should heed it.
type Hooks struct {
	// BeforeSignUp is called on every path that creates a user, before anything is written. It may refuse by returning
	// an error, and it may amend what it is given, within what the user was given: it can take roles away and add
	// none.
	BeforeSignUp func(context.Context, *SignUp) error

	// UserCreated is called on every path that creates a user, in the transaction that creates it where the store has
	// one: the context carries it (see pgstore.WithTx), so rows that the service writes with it come and go with the
	// user. An error leaves no user, no session and no letter.
	UserCreated func(context.Context, *User) error

	// BeforeSession is called before any session is opened, with the user and the methods that let them in. It may
	// refuse by returning an error.
	BeforeSession func(ctx context.Context, u *User, amr []string) error

	// Claims returns further claims for an access token, at each sign-in, refresh and step-up. Names get the prefix
	// "x-hasura-" unless they have it; values are encoded as custom claims are. Claims that the engine itself sets
	// cannot be replaced.
	Claims func(context.Context, *User) (map[string]any, error)
}

// SignUp is a user about to be created. BeforeSignUp may change the fields of the second group.
type SignUp struct {
	Method    string // "password", "anonymous", …
	Email     string // empty where there is none
	Phone     string
	Anonymous bool

	DisplayName string
	AvatarURL   string
	Locale      string
	DefaultRole string
	Roles       []string
	Metadata    []byte // a JSON object, or nil
}

// guard calls f and turns a panic into an error, so that a fault in the service's code is a failed call. What was
// panicked with may hold anything: only its type is kept, and the text where it is the runtime's own.
func guard(f func() error) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case runtime.Error:
			err = fmt.Errorf("panic: %w\n%s", r, debug.Stack())
		default:
			err = fmt.Errorf("panic with a value of type %T\n%s", r, debug.Stack())
		}
	}()
	return f()
}

// hook calls one of the service's functions.
func hook(name string, f func() error) error {
	if err := guard(f); err != nil {
		return fmt.Errorf("hook %s: %w", name, err)
	}
	return nil
}
