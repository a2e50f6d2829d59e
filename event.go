package auth

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
)

// EventType names what happened.
type EventType string

// Every event that an engine emits. Each says that the step has been done and committed, unless it says that something was
// refused. UserID and SessionID are set where they are known: SessionID is the session that acts or is opened, and zero for
// what the service itself does and for whoever is not signed in.
//
// What is not here: a plain [Engine.Refresh], for there are too many; sessions that end because their user has more than
// Config.Sessions.MaxPerUser; and what [Engine.Run] removes because its time has come.
const (
	// Users.
	EventUserCreated  EventType = "user-created" // Method says how: "import" by the service
	EventUserUpdated  EventType = "user-updated" // by the service, or a sign-up in place of one that nobody had proven: see Detail
	EventUserDisabled EventType = "user-disabled"
	EventUserEnabled  EventType = "user-enabled"
	EventRolesChanged EventType = "roles-changed" // by the service, as are the two before; each besides user-updated
	EventDeanonymized EventType = "deanonymized"  // Method is the DeanonymizeMethod
	EventUserDeleted  EventType = "user-deleted"
	EventUserExported EventType = "user-exported"  // somebody has got all that is kept of them
	EventSignUpFailed EventType = "sign-up-failed" // by a hook, or because the address is that of UserID: Code says which

	// Coming in and going.
	EventSignInAsked        EventType = "sign-in-asked"        // for a link or a code, by Method; without a UserID nobody gets any. New users are created instead
	EventSignedIn           EventType = "signed-in"            // Detail is the id of the personal access token that did
	EventSignInFailed       EventType = "sign-in-failed"       // Code says why; UserID is set where the account is known, which it is not of a wrong code of a letter or text message
	EventSecondFactorAsked  EventType = "second-factor-asked"  // after the first one; Method says which that was
	EventTicketRefused      EventType = "ticket-refused"       // a link, code or challenge that is wrong, used or over; Detail is its kind
	EventRefreshTokenReused EventType = "refresh-token-reused" // theft, or a client that lost its place; the session has ended
	EventSignedOut          EventType = "signed-out"           // Detail "all": every session of the user
	EventSessionRevoked     EventType = "session-revoked"      // SessionID is the one that has ended
	EventPATCreated         EventType = "pat-created"          // Detail is its id, as in the next
	EventPATRevoked         EventType = "pat-revoked"

	// What an account has. Of a first proof of an address or a number, Detail "displaced" says that it took away every
	// other way in that was set before, if there was one.
	EventVerificationAsked     EventType = "verification-asked" // of an address, by link; without a UserID nobody gets any
	EventEmailVerified         EventType = "email-verified"     // Detail "by the service", or "displaced"
	EventEmailChangeAsked      EventType = "email-change-asked"
	EventEmailChanged          EventType = "email-changed"
	EventPhoneChangeAsked      EventType = "phone-change-asked"
	EventPhoneVerified         EventType = "phone-verified"       // at a sign-in; Detail "displaced"
	EventPhoneChanged          EventType = "phone-changed"        // Detail "taken": it had not been proven, and somebody else has
	EventPasswordResetAsked    EventType = "password-reset-asked" // without a UserID nobody gets a link
	EventPasswordChanged       EventType = "password-changed"     // Detail "reset": by a link
	EventPasswordRevoked       EventType = "password-revoked"     // by the service; the user may have been sent a link
	EventIdentityLinked        EventType = "identity-linked"      // Detail is the provider, as in the next four
	EventIdentityLinkFailed    EventType = "identity-link-failed"
	EventIdentityUnlinked      EventType = "identity-unlinked"
	EventProviderTokensTaken   EventType = "provider-tokens-taken" // by the user's client
	EventProviderTokensRenewed EventType = "provider-tokens-renewed"
	EventSecurityKeyAdded      EventType = "security-key-added" // Detail is the id of the security key, as in the next three
	EventSecurityKeyRenamed    EventType = "security-key-renamed"
	EventSecurityKeyRemoved    EventType = "security-key-removed"
	EventSignCountRollback     EventType = "sign-count-rollback" // a security key may have been copied

	// Second factors and stepping up.
	EventMFAEnrolmentBegun    EventType = "mfa-enrolment-begun" // somebody has got a new secret for an authenticator app
	EventMFAEnabled           EventType = "mfa-enabled"
	EventMFADisabled          EventType = "mfa-disabled"         // Detail "by the service"
	EventSecondFactorFailed   EventType = "second-factor-failed" // a wrong code of somebody signed in; Detail is the Engine's method
	EventRecoveryCodesRenewed EventType = "recovery-codes-renewed"
	EventRecoveryCodeUsed     EventType = "recovery-code-used"
	EventElevationAsked       EventType = "elevation-asked" // for a code, by Method
	EventElevated             EventType = "elevated"        // Detail is the id of the security key that was used
	EventElevationFailed      EventType = "elevation-failed"
	EventRefused              EventType = "refused" // somebody signed in may not do this, or not without a step-up or a role; Detail is the Engine's method

	// The engine itself.
	EventLimited           EventType = "limited"             // Detail names the budget that is exhausted; once a minute for whom it is
	EventCaptchaFailed     EventType = "captcha-failed"      // Detail are the codes that say why, where there are any
	EventBreachCheckFailed EventType = "breach-check-failed" // a password was accepted without having been checked
	EventSigningKeyAdded   EventType = "signing-key-added"   // for access tokens; Detail is its "kid", as in the next
	EventSigningKeyRevoked EventType = "signing-key-revoked" // by [Engine.RotateKeys]
	EventKeysReplaced      EventType = "keys-replaced"       // by SetKeys; Detail is the id of the key that signs now, if it has one
	EventMessageFailed     EventType = "message-failed"      // Method is the channel: mail, sms, or webhook and the name of an endpoint; Detail says whether it will be tried again, or the caller was told
	EventMessageGivenUp    EventType = "message-given-up"    // Method as before
	EventAuditLost         EventType = "audit-lost"          // Detail is how many events could not be written to the audit trail
	EventAuditPurged       EventType = "audit-purged"        // in the trail alone: events up to the number in Detail have been removed
)

// EventTypes returns every type of event, in no order that means anything.
func EventTypes() []EventType { return slices.Clone(eventTypes) }

var eventTypes = []EventType{
	EventUserCreated,
	EventUserUpdated,
	EventUserDisabled,
	EventUserEnabled,
	EventRolesChanged,
	EventDeanonymized,
	EventUserDeleted,
	EventUserExported,
	EventSignUpFailed,
	EventSignInAsked,
	EventSignedIn,
	EventSignInFailed,
	EventSecondFactorAsked,
	EventTicketRefused,
	EventRefreshTokenReused,
	EventSignedOut,
	EventSessionRevoked,
	EventPATCreated,
	EventPATRevoked,
	EventVerificationAsked,
	EventEmailVerified,
	EventEmailChangeAsked,
	EventEmailChanged,
	EventPhoneChangeAsked,
	EventPhoneVerified,
	EventPhoneChanged,
	EventPasswordResetAsked,
	EventPasswordChanged,
	EventPasswordRevoked,
	EventIdentityLinked,
	EventIdentityLinkFailed,
	EventIdentityUnlinked,
	EventProviderTokensTaken,
	EventProviderTokensRenewed,
	EventSecurityKeyAdded,
	EventSecurityKeyRenamed,
	EventSecurityKeyRemoved,
	EventSignCountRollback,
	EventMFAEnrolmentBegun,
	EventMFAEnabled,
	EventMFADisabled,
	EventSecondFactorFailed,
	EventRecoveryCodesRenewed,
	EventRecoveryCodeUsed,
	EventElevationAsked,
	EventElevated,
	EventElevationFailed,
	EventRefused,
	EventLimited,
	EventCaptchaFailed,
	EventBreachCheckFailed,
	EventSigningKeyAdded,
	EventSigningKeyRevoked,
	EventKeysReplaced,
	EventMessageFailed,
	EventMessageGivenUp,
	EventAuditLost,
	EventAuditPurged,
}

// Event is one security-relevant step: who, what, from where, and with what outcome. It never carries a secret, and of
// personal data only the client's address.
type Event struct {
	ID        uuid.UUID // of this event, the same for every sink
	Type      EventType
	At        time.Time
	UserID    uuid.UUID // zero where nobody is known
	SessionID uuid.UUID // zero where there is none
	Client    Client
	Method    string // the factor, such as "password"; empty where none was involved. Of messages, the channel
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
		if e.Code != "" || slices.Contains(warnings, e.Type) {
			level = slog.LevelWarn
		}
		if !l.Enabled(ctx, level) {
			return
		}
		l.LogAttrs(ctx, level, string(e.Type), e.attrs()...)
	})
}

// warnings are the events that an operator should look at, although they have no Code.
var warnings = []EventType{EventSignCountRollback, EventMessageGivenUp, EventBreachCheckFailed, EventAuditLost}

// attrs is what there is to log of an event besides its type.
func (e *Event) attrs() []slog.Attr {
	attrs := make([]slog.Attr, 0, 8)
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
	return attrs
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
	ev.ID, ev.At = uuid.New(), e.now()
	ev.Client = clientOf(ctx)
	ctx = context.WithoutCancel(ctx)
	for _, s := range e.sinks {
		if err := guard(func() error { s.Emit(ctx, ev); return nil }); err != nil {
			e.config.Logger.ErrorContext(ctx, "event sink failed", slog.String("event", string(ev.Type)), slog.Any("error", err))
		}
	}
}

// refusal emits that a principal has been refused something. Each method that acts for one defers it.
func (e *Engine) refusal(ctx context.Context, p *Principal, method string, err *error) {
	ev := Event{Type: EventRefused, Detail: method}
	switch {
	case p == nil:
		return
	case errors.Is(*err, ErrInvalidTOTP):
		ev.Type = EventSecondFactorFailed
	case !errors.Is(*err, ErrElevationRequired) && !errors.Is(*err, ErrForbiddenAnonymous) && !errors.Is(*err, ErrRoleNotAllowed):
		return
	}
	ev.UserID, ev.SessionID, ev.Code = p.UserID, p.SessionID, codeOf(*err)
	e.emit(ctx, ev)
}

// refusedTicket emits that a one-time secret of a kind is not good, if that is the error.
func (e *Engine) refusedTicket(ctx context.Context, userID uuid.UUID, kind string, err error) {
	for _, known := range []error{ErrInvalidTicket, ErrInvalidState} {
		if errors.Is(err, known) {
			e.emit(ctx, Event{Type: EventTicketRefused, UserID: userID, Code: codeOf(known), Detail: kind})
		}
	}
}
