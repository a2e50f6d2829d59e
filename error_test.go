package auth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/storetest"
)

// What a log says of an error: its code and message, and why, if that is known.
func TestWhatALogSaysOfAnError(t *testing.T) {
	t.Parallel()
	e := authtest.NewWithStore(t, storetest.Break(memstore.New(), storetest.Fault{Method: "Ping"}))
	for name, tt := range map[string]struct {
		err  error
		want map[string]any
	}{
		"without a cause": {auth.ErrInvalidTicket, map[string]any{"code": "invalid-ticket", "message": "Invalid ticket"}},
		"with a cause": {e.Health(t.Context()), map[string]any{
			"code": "internal-server-error", "message": "Internal server error", "cause": storetest.ErrFault.Error(),
		}},
	} {
		var b bytes.Buffer
		slog.New(slog.NewJSONHandler(&b, nil)).Error("", slog.Any("error", tt.err))
		var line struct {
			Error map[string]any `json:"error"`
		}
		if err := json.Unmarshal(b.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, line.Error); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// EN-01: a concealed error is to the caller what it is to the client; the operator reads more.
func TestAConcealedErrorMatchesNothingElse(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, func(c *auth.Config) { c.ConcealErrors = true })
	_, err := signIn(t, e, "ada@example.com", authtest.Password)
	wantErr(t, err, auth.ErrInvalidRequest)
	if errors.Is(err, auth.ErrInvalidEmailPassword) {
		t.Error("a caller can tell what the client is not told")
	}
	if text := err.Error(); text != "invalid-request: The request payload is incorrect: invalid-email-password: Incorrect email or password" {
		t.Errorf("the log says %s", text)
	}
}

// Every error of a method is an [*auth.Error] itself, whatever it comes out of, and whoever watches.
func TestEveryErrorOfAMethodIsOneOfTheEngine(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancel(auth.WithClient(t.Context(), auth.Client{Address: netip.MustParseAddr("192.0.2.1")}))
	cancel()
	for name, o := range map[string]auth.Observer{"unobserved": nil, "observed": &watch{}} {
		e := authtest.NewWithStore(t, storetest.Break(memstore.New(), storetest.Fault{Method: "Ping"}), func(c *auth.Config) {
			c.Observer, c.Limits = o, auth.LimitsConfig{}
			c.Hooks.BeforeSignUp = func(context.Context, *auth.SignUp) error { return fmt.Errorf("on a Sunday: %w", errForbidden) }
		})
		_, hook := e.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{})
		_, limits := e.Admit(ended)
		for of, tt := range map[string]struct{ got, want error }{
			"a hook": {hook, errForbidden}, "the store": {e.Health(t.Context()), auth.ErrInternal}, "a limit": {limits, auth.ErrInternal},
		} {
			known, ok := tt.got.(*auth.Error) //nolint:errorlint // it must be one, and not only wrap one
			if !ok || !errors.Is(known, tt.want) || known.Message != tt.want.(*auth.Error).Message {
				t.Errorf("%s, of %s: %#v", name, of, tt.got)
			}
		}
		if w, ok := o.(*watch); ok {
			if diff := cmp.Diff([]string{"SignInAnonymous " + string(errForbidden.Code), "Health internal-server-error"}, w.ended); diff != "" {
				t.Error(diff)
			}
		}
	}
}
