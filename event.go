package auth

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
)

// EventType names what happened.
type EventType string

// Every event that an engine emits.
const (
	EventUserCreated          EventType = "user-created"
	EventUserUpdated          EventType = "user-updated"
	EventDeanonymized         EventType = "deanonymized"
	EventUserDeleted          EventType = "user-deleted"
	EventSignedIn             EventType = "signed-in"
	EventSignInFailed         EventType = "sign-in-failed" // Code says why; UserID is set where the account is known
	EventSignedOut            EventType = "signed-out"     // Detail "all": every session of the user
	EventSessionRevoked       EventType = "session-revoked"
	EventRefreshTokenReused   EventType = "refresh-token-reused" // theft, or a client that lost its place; the session has ended
	EventEmailVerified        EventType = "email-verified"
	EventEmailChanged         EventType = "email-changed"
	EventPhoneVerified        EventType = "phone-verified"
	EventPhoneChanged         EventType = "phone-changed"
	EventPasswordChanged      EventType = "password-changed"    // Detail "reset": by a link
	EventSecondFactorAsked    EventType = "second-factor-asked" // after the first one; Method says which that was
	EventMFAEnabled           EventType = "mfa-enabled"
	EventMFADisabled          EventType = "mfa-disabled"
	EventRecoveryCodesRenewed EventType = "recovery-codes-renewed"
	EventElevated             EventType = "elevated" // Detail is the id of the security key, as in the next five
	EventElevationFailed      EventType = "elevation-failed"
	EventSecurityKeyAdded     EventType = "security-key-added"
	EventSecurityKeyRenamed   EventType = "security-key-renamed"
	EventSecurityKeyRemoved   EventType = "security-key-removed"
	EventSignCountRollback    EventType = "sign-count-rollback" // a security key may have been copied
	EventPATCreated           EventType = "pat-created"         // Detail is its id, as in the next
	EventPATRevoked           EventType = "pat-revoked"
	EventIdentityLinked       EventType = "identity-linked" // Detail is the provider, as in the next
	EventIdentityUnlinked     EventType = "identity-unlinked"
	EventBreachCheckFailed    EventType = "breach-check-failed" // a password was accepted without having been checked
	EventLimited              EventType = "limited"             // Detail names the budget that was exceeded
	EventMessageFailed        EventType = "message-failed"      // Detail says whether it will be tried again, or the caller was told
	EventMessageGivenUp       EventType = "message-given-up"
	EventSigningKeyAdded      EventType = "signing-key-added"   // for access tokens; Detail is its "kid", as in the next
	EventSigningKeyRevoked    EventType = "signing-key-revoked" // by [Engine.RotateKeys]
)

// Event is one security-relevant step: who, what, from where, and with what outcome. It never carries a secret, and of
// personal data only the client's address.
type Event struct {
	Type      EventType
	At        time.Time
	UserID    uuid.UUID // zero where nobody is known
	SessionID uuid.UUID // zero where there is none
	Client    Client
	Method    string // the first factor, such as "password"; empty where none was involved
	Code      Code   // the failure; empty on success
	Detail    string
}

// EventSink receives events. Emit is called after the step has been committed, on the goroutine of the call: it must be
// quick, and it cannot fail the step.
type EventSink interface {
	Emit(ctx context.Context, e Event)
}

// EventFunc is a function that is an [EventSink].
type EventFunc func(context.Context, Event)

// Emit calls f.
func (f EventFunc) Emit(ctx context.Context, e Event) { f(ctx, e) }

// LogEvents returns a sink that writes events to a logger: failures and theft at level Warn, the rest at Info.
func LogEvents(l *slog.Logger) EventSink {
	return EventFunc(func(ctx context.Context, e Event) {
		level := slog.LevelInfo
		if e.Code != "" || e.Type == EventRefreshTokenReused || e.Type == EventSignCountRollback || e.Type == EventMessageGivenUp {
			level = slog.LevelWarn
		}
		if !l.Enabled(ctx, level) {
			return
		}
		attrs := make([]slog.Attr, 0, 7)
		for _, a := range []slog.Attr{
			slog.String("address", e.Client.address()),
			slog.String("method", e.Method),
			slog.String("code", string(e.Code)),
			slog.String("detail", e.Detail),
		} {
			if a.Value.String() != "" {
				attrs = append(attrs, a)
			}
		}
		if e.UserID != uuid.Nil {
			attrs = append(attrs, slog.String("user", e.UserID.String()))
		}
		if e.SessionID != uuid.Nil {
			attrs = append(attrs, slog.String("session", e.SessionID.String()))
		}
		l.LogAttrs(ctx, level, string(e.Type), attrs...)
	})
}

// FanOut returns a sink that hands every event to each of several, in their order. In [Config.Events], one that panics does
// not keep it from the others.
func FanOut(sinks ...EventSink) EventSink { return fanOut(slices.Clone(sinks)) }

type fanOut []EventSink

func (f fanOut) Emit(ctx context.Context, ev Event) {
	for _, s := range f {
		s.Emit(ctx, ev)
	}
}

// single returns the sinks behind s, each by itself.
func single(s EventSink) []EventSink {
	several, ok := s.(fanOut)
	if !ok {
		return []EventSink{s}
	}
	var all []EventSink
	for _, s := range several {
		all = append(all, single(s)...)
	}
	return all
}

// emit completes an event and hands it on. A sink that panics does not take the request with it.
func (e *Engine) emit(ctx context.Context, ev Event) {
	ev.At = e.now()
	ev.Client = clientOf(ctx)
	ctx = context.WithoutCancel(ctx)
	for _, s := range e.sinks {
		if err := guard(func() error { s.Emit(ctx, ev); return nil }); err != nil {
			e.config.Logger.ErrorContext(ctx, "event sink failed", slog.String("event", string(ev.Type)), slog.Any("error", err))
		}
	}
}
