package auth

import (
	"context"
	"crypto/subtle"
	"errors"
)

const methodAdmin = "admin-secret"

// AuthenticateAdmin verifies that a caller knows Config.AdminSecret, for methods that act on the service's authority, such as
// [Engine.RefreshKeptProviderTokens]. Wrong ones count as guesses of the client; see Config.Limits.GuessesPerClient. It costs
// no round trip to the store.
//
// Errors: [ErrUnauthenticated] for a wrong one; [ErrDisabledEndpoint] if none is configured; [ErrTooManyRequests].
func (e *Engine) AuthenticateAdmin(ctx context.Context, secret string) (err error) {
	defer e.begin(&ctx, "AuthenticateAdmin").end(&err)
	if len(e.config.AdminSecret) == 0 {
		return ErrDisabledEndpoint
	}
	presented, err := e.mayPresent(ctx)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare([]byte(secret), e.config.AdminSecret) != 1 {
		err = ErrUnauthenticated.because(errors.New("not the admin secret"))
		e.emit(ctx, Event{Type: EventSignInFailed, Method: methodAdmin, Code: CodeUnauthenticated})
	}
	presented(err)
	return err
}
