package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

// SecurityKey is a WebAuthn credential as its owner sees it.
type SecurityKey struct {
	ID             uuid.UUID  `json:"id"` // of the record; see CredentialID
	Nickname       string     `json:"nickname,omitempty"`
	CredentialID   string     `json:"credentialId"` // base64url without padding
	CreatedAt      time.Time  `json:"createdAt"`
	LastUsedAt     *time.Time `json:"lastUsedAt"`   // nil until it has been used
	Transports     []string   `json:"transports"`   // how a client reaches it (WebAuthn L3 §5.8.4)
	Attachment     string     `json:"attachment"`   // "platform", "cross-platform" or empty
	AAGUID         uuid.UUID  `json:"aaguid"`       // the model of its authenticator, zero if it does not say
	UserVerified   bool       `json:"userVerified"` // it has verified its user, at creation or since
	BackupEligible bool       `json:"backupEligible"`
	BackedUp       bool       `json:"backedUp"` // it is kept in more than one place: a synchronised passkey
}

func publicKey(k *store.SecurityKey) *SecurityKey {
	p := &SecurityKey{
		ID: k.ID, Nickname: k.Nickname, CredentialID: base64.RawURLEncoding.EncodeToString(k.CredentialID),
		CreatedAt: k.CreatedAt, Transports: append([]string{}, k.Transports...), Attachment: k.Attachment, AAGUID: k.AAGUID,
		UserVerified: k.UserVerified, BackupEligible: k.BackupEligible, BackedUp: k.BackupState,
	}
	if !k.LastUsedAt.IsZero() {
		p.LastUsedAt = &k.LastUsedAt
	}
	return p
}

// SecurityKeys are a user's keys, the oldest first, and what a client may tell the authenticators about them.
type SecurityKeys struct {
	Keys    []SecurityKey `json:"keys"`
	Signals Signals       `json:"signals"`
}

// Signals are arguments for the functions of the same names of PublicKeyCredential (WebAuthn L3 §5.1.10.4), by which a
// client tells the authenticators which passkeys are of use: signalAllAcceptedCredentials, signalCurrentUserDetails and
// signalUnknownCredential.
type Signals struct {
	AllAcceptedCredentials AllAcceptedCredentials `json:"allAcceptedCredentials"`
	CurrentUserDetails     CurrentUserDetails     `json:"currentUserDetails"`
	UnknownCredential      *UnknownCredential     `json:"unknownCredential,omitempty"` // after a removal
}

// AllAcceptedCredentials lists every credential of a user.
type AllAcceptedCredentials struct {
	RPID                     string   `json:"rpId"`
	UserID                   string   `json:"userId"`                   // the user handle, base64url
	AllAcceptedCredentialIDs []string `json:"allAcceptedCredentialIds"` // base64url
}

// CurrentUserDetails says how a user is called now.
type CurrentUserDetails struct {
	RPID        string `json:"rpId"`
	UserID      string `json:"userId"`
	Name        string `json:"name"`
	DisplayName string `json:"displayName"`
}

// UnknownCredential is a credential that is no longer accepted.
type UnknownCredential struct {
	RPID         string `json:"rpId"`
	CredentialID string `json:"credentialId"`
}

func (e *Engine) securityKeys(u *store.User, keys []store.SecurityKey) *SecurityKeys {
	rp, user := e.config.WebAuthn.RPID, userEntity(u, keys)
	list := &SecurityKeys{
		Keys: make([]SecurityKey, len(keys)),
		Signals: Signals{
			AllAcceptedCredentials: AllAcceptedCredentials{RPID: rp, UserID: user.ID, AllAcceptedCredentialIDs: []string{}},
			CurrentUserDetails:     CurrentUserDetails{RPID: rp, UserID: user.ID, Name: user.Name, DisplayName: user.DisplayName},
		},
	}
	for i := range keys {
		list.Keys[i] = *publicKey(&keys[i])
		all := &list.Signals.AllAcceptedCredentials.AllAcceptedCredentialIDs
		*all = append(*all, list.Keys[i].CredentialID)
	}
	return list
}

// ListSecurityKeys returns the principal's security keys. It costs one round trip.
//
// Errors: [ErrDisabledEndpoint] without Config.WebAuthn; [ErrElevationRequired] for a session of a personal access token;
// otherwise as at [Engine.User].
func (e *Engine) ListSecurityKeys(ctx context.Context, principal *Principal) (_ *SecurityKeys, err error) {
	defer e.begin(&ctx, "ListSecurityKeys").end(&err)
	defer e.refusal(ctx, principal, "ListSecurityKeys", &err)
	if e.config.WebAuthn == nil {
		return nil, ErrDisabledEndpoint
	}
	a, err := e.ownAccount(ctx, principal, store.WithSecurityKeys)
	if err != nil {
		return nil, err
	}
	return e.securityKeys(&a.User, a.SecurityKeys), nil
}

// RenameSecurityKeyParams gives a security key another name.
type RenameSecurityKeyParams struct {
	ID       uuid.UUID // SecurityKey.ID
	Nickname string    // at most 64 characters; empty for none
}

// RenameSecurityKey renames one of the principal's security keys and returns them all. It costs two round trips.
//
// Errors: [ErrDisabledEndpoint] without Config.WebAuthn; [ErrNotFound] if the principal has no such key, whoever else
// may; [ErrInvalidRequest] for the name; [ErrElevationRequired] for a session of a personal access token; otherwise as at
// [Engine.User].
func (e *Engine) RenameSecurityKey(ctx context.Context, principal *Principal, p RenameSecurityKeyParams) (_ *SecurityKeys, err error) {
	defer e.begin(&ctx, "RenameSecurityKey").end(&err)
	defer e.refusal(ctx, principal, "RenameSecurityKey", &err)
	if e.config.WebAuthn == nil {
		return nil, ErrDisabledEndpoint
	}
	if err := checkNickname(p.Nickname); err != nil {
		return nil, err
	}
	a, err := e.ownAccount(ctx, principal, store.WithSecurityKeys)
	if err != nil {
		return nil, err
	}
	i := indexOfKey(a.SecurityKeys, p.ID)
	if i < 0 {
		return nil, ErrNotFound
	}
	_, err = e.store.ChangeUser(ctx, store.UserChange{
		UserID: a.ID, Now: e.now(),
		If:        store.Conditions{Session: principal.SessionID, SecurityKey: p.ID},
		RenameKey: &store.KeyName{ID: p.ID, Nickname: p.Nickname},
	})
	if errors.Is(err, store.ErrUnmet{Condition: store.ConditionSecurityKey}) {
		return nil, ErrNotFound.because(err)
	}
	if err != nil {
		return nil, unprotected(err)
	}
	a.SecurityKeys[i].Nickname = p.Nickname
	e.emit(ctx, Event{Type: EventSecurityKeyRenamed, UserID: a.ID, SessionID: principal.SessionID, Detail: p.ID.String()})
	return e.securityKeys(&a.User, a.SecurityKeys), nil
}

// RemoveSecurityKeyParams names a security key to remove.
type RemoveSecurityKeyParams struct {
	ID uuid.UUID // SecurityKey.ID
	// SignOutOthers ends the user's other sessions, which a lost key may have opened (OWASP ASVS 5.0 7.4.3).
	SignOutOthers bool
}

// RemoveSecurityKey removes one of the principal's security keys and returns those that are left. It is protected; see
// [Engine.Elevate]. A step-up with the key that is removed ends with it. The owner of a verified address gets a letter.
// It costs two round trips, and one more for the letter.
//
// Errors: [ErrDisabledEndpoint] without Config.WebAuthn; [ErrForbiddenAnonymous]; [ErrElevationRequired]; [ErrNotFound]
// if the principal has no such key, whoever else may; [ErrInvalidRequest] if the user could not sign in without it;
// otherwise as at [Engine.User].
func (e *Engine) RemoveSecurityKey(ctx context.Context, principal *Principal, p RemoveSecurityKeyParams) (_ *SecurityKeys, err error) {
	defer e.begin(&ctx, "RemoveSecurityKey").end(&err)
	defer e.refusal(ctx, principal, "RemoveSecurityKey", &err)
	if e.config.WebAuthn == nil {
		return nil, ErrDisabledEndpoint
	}
	a, rule, err := e.protectedAccount(ctx, principal, anything, store.WithIdentities)
	if err != nil {
		return nil, err
	}
	i := indexOfKey(a.SecurityKeys, p.ID)
	if i < 0 {
		return nil, ErrNotFound
	}
	removed := a.SecurityKeys[i]
	a.SecurityKeys = slices.Delete(a.SecurityKeys, i, i+1)
	if !e.canSignIn(&a) {
		return nil, ErrInvalidRequest.saying("this is the only way to sign in that is left")
	}
	rule.Epoch = a.Epoch // every removal moves it on: of two at once, one looks again
	change := store.UserChange{UserID: a.ID, Now: e.now(), If: rule, RemoveKey: p.ID}
	if p.SignOutOthers {
		change.Drop = store.Drop{Sessions: true, KeepSession: principal.SessionID}
	}
	told, err := e.notice(ctx, "security-key-removed", &a.User)
	if err != nil {
		return nil, err
	}
	change.Messages = told.rows()
	if _, err := e.store.ChangeUser(ctx, change); err != nil {
		return nil, unprotected(err)
	}
	e.emit(ctx, Event{Type: EventSecurityKeyRemoved, UserID: a.ID, SessionID: principal.SessionID, Detail: p.ID.String()})
	e.deliver(ctx, told...)
	left := e.securityKeys(&a.User, a.SecurityKeys)
	left.Signals.UnknownCredential = &UnknownCredential{
		RPID: e.config.WebAuthn.RPID, CredentialID: base64.RawURLEncoding.EncodeToString(removed.CredentialID),
	}
	return left, nil
}

// canSignIn reports whether the account has a way in that the configuration leaves open: a key, an identity, a password, or
// a proven address or number to which a link or a code can go.
func (e *Engine) canSignIn(a *store.Account) bool {
	able := func(k store.SecurityKey) bool {
		return k.UserVerified || e.config.WebAuthn.UserVerification != UserVerificationRequired
	}
	byLetter := e.config.MagicLink != nil || e.config.EmailOTP != nil || e.hasher != nil && e.config.Mail != nil
	return slices.ContainsFunc(a.SecurityKeys, able) || slices.ContainsFunc(a.Identities, e.opens) ||
		e.hasher != nil && a.PasswordHash != "" || a.EmailVerified && byLetter || a.PhoneVerified && e.config.SMS != nil
}

func indexOfKey(keys []store.SecurityKey, id uuid.UUID) int {
	return slices.IndexFunc(keys, func(k store.SecurityKey) bool { return k.ID == id })
}

const maxNickname = 64

// checkNickname accepts what can be shown on one line.
func checkNickname(s string) error {
	if utf8.RuneCountInString(s) > maxNickname {
		return ErrInvalidRequest.saying(fmt.Sprintf("nickname must be at most %d characters", maxNickname))
	}
	for _, r := range s {
		switch {
		case r == utf8.RuneError:
		case unicode.IsPrint(r), unicode.Is(unicode.Zs, r):
			continue
		case r == '\u200C', r == '\u200D', r >= '\U000E0020' && r <= '\U000E007F': // joiners and tags: Persian, emoji
			continue
		}
		return ErrInvalidRequest.saying("nickname must not have control characters")
	}
	return nil
}
