package auth

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

// DeleteAccount removes the principal's account and all that belongs to it, for good, on the principal's own wish. The
// owner of a verified address gets a last letter. It is protected; see [Engine.Elevate]. Without a step-up it also needs
// a sign-in within the last ten minutes. A service that keeps rows of its own for a user learns of it by
// [EventUserDeleted], or has its database remove them together with the user's row. It costs two round trips, and one
// more for the letter.
//
// Errors: [ErrElevationRequired]; otherwise as at [Engine.User]. Anonymous users can be deleted, too.
func (e *Engine) DeleteAccount(ctx context.Context, principal *Principal) (err error) {
	defer e.begin(&ctx, "DeleteAccount").end(&err)
	defer e.refusal(ctx, principal, "DeleteAccount", &err)
	a, err := e.account(ctx, principal, store.WithSecurityKeys)
	if err != nil {
		return err
	}
	rule := store.Conditions{Session: principal.SessionID, Anonymous: true}
	if !a.Anonymous {
		if rule, err = e.mayDo(&a, principal, anything); err != nil {
			return err
		}
		if !e.justThere(&a, principal) {
			return errNotJustThere
		}
	}
	// Of what happened since the look, a recovery of the account by its owner is not to be undone.
	rule.Epoch = a.Epoch
	err = e.delete(ctx, &a.User, rule)
	if errors.Is(err, ErrUserNotAnonymous) { // since a moment ago
		return errNotJustThere.because(err)
	}
	return err
}

// DeleteUser removes an account and all that belongs to it, for good, on the service's authority: the caller is trusted.
// The owner of a verified address gets a last letter.
//
// Errors: [ErrNotFound].
func (e *Engine) DeleteUser(ctx context.Context, id uuid.UUID) (err error) {
	defer e.begin(&ctx, "DeleteUser").end(&err)
	a, err := e.find(ctx, store.UserQuery{ID: id})
	if err != nil {
		return err
	}
	err = e.delete(ctx, &a.User, store.Conditions{Disabled: true})
	if errors.Is(err, ErrUnauthenticated) { // deleted by somebody else a moment ago
		return ErrNotFound.because(err)
	}
	return err
}

func (e *Engine) delete(ctx context.Context, u *store.User, rule store.Conditions) error {
	told, err := e.notice(ctx, "account-deleted", u)
	if err != nil {
		return err
	}
	err = e.store.DeleteUser(ctx, store.UserDeletion{UserID: u.ID, Now: e.now(), If: rule, Messages: told.rows()})
	if err != nil {
		return unprotected(err)
	}
	e.emit(ctx, Event{Type: EventUserDeleted, UserID: u.ID, SessionID: rule.Session})
	e.deliver(ctx, told...)
	return nil
}

// AccountData is all that is kept of a user, as far as it is theirs to have (GDPR article 15 and 20): no secret, and no
// hash of one.
type AccountData struct {
	User                 *User            `json:"user"`
	Sessions             []SessionDetails `json:"sessions"`
	SecurityKeys         []SecurityKey    `json:"securityKeys"`
	Identities           []Identity       `json:"identities"`
	PersonalAccessTokens []PATDetails     `json:"personalAccessTokens"`
	HasPassword          bool             `json:"hasPassword"`
	LastSeenAt           time.Time        `json:"lastSeenAt"`
}

// PATDetails is what its owner may see of a personal access token.
type PATDetails struct {
	ID         uuid.UUID       `json:"id"`
	Scopes     []string        `json:"scopes"`
	Metadata   json.RawMessage `json:"metadata"`
	CreatedAt  time.Time       `json:"createdAt"`
	ExpiresAt  time.Time       `json:"expiresAt"`
	LastUsedAt time.Time       `json:"lastUsedAt"` // zero until first used
}

// ExportAccount returns what is kept of the principal. It costs one round trip.
//
// Errors: [ErrElevationRequired] for a session of a personal access token; otherwise as at [Engine.User].
func (e *Engine) ExportAccount(ctx context.Context, principal *Principal) (_ *AccountData, err error) {
	defer e.begin(&ctx, "ExportAccount").end(&err)
	defer e.refusal(ctx, principal, "ExportAccount", &err)
	a, err := e.ownAccount(ctx, principal, store.WithSessions|store.WithSecurityKeys|store.WithIdentities|store.WithPATs)
	if err != nil {
		return nil, err
	}
	d := &AccountData{
		User: publicUser(&a.User), HasPassword: a.PasswordHash != "", LastSeenAt: a.LastSeenAt,
		Sessions:             sessionDetails(a.Sessions, principal.SessionID),
		SecurityKeys:         make([]SecurityKey, len(a.SecurityKeys)),
		Identities:           publicIdentities(a.Identities),
		PersonalAccessTokens: patDetails(a.PATs),
	}
	for i := range a.SecurityKeys {
		d.SecurityKeys[i] = *publicKey(&a.SecurityKeys[i])
	}
	e.emit(ctx, Event{Type: EventUserExported, UserID: a.ID, SessionID: principal.SessionID})
	return d, nil
}
