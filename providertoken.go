package auth

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/store"
)

// ProviderTokens are what a provider gave for an account: they open the provider's own API. The JSON form is the documented
// one.
type ProviderTokens struct {
	AccessToken  string    `json:"accessToken"`
	ExpiresIn    int       `json:"expiresIn"` // seconds; 0 where the provider does not say
	ExpiresAt    time.Time `json:"expiresAt"` // the zero time where the provider does not say
	RefreshToken string    `json:"refreshToken,omitempty"`
}

// Format keeps the tokens out of logs, whatever the verb.
func (ProviderTokens) Format(f fmt.State, _ rune) { hide(f) }

// LogValue is [ProviderTokens.Format] for package slog.
func (ProviderTokens) LogValue() slog.Value { return slog.StringValue(redacted) }

// keptTokens are a provider's tokens as they are sealed into an identity.
type keptTokens struct {
	AccessToken  string    `json:"a"`
	RefreshToken string    `json:"r,omitempty"`
	ExpiresAt    time.Time `json:"e,omitzero"`
}

func (e *Engine) providerTokens(k keptTokens) *ProviderTokens {
	return &ProviderTokens{
		AccessToken: k.AccessToken, RefreshToken: k.RefreshToken,
		ExpiresAt: k.ExpiresAt.UTC(), ExpiresIn: max(0, int(k.ExpiresAt.Sub(e.now())/time.Second)),
	}
}

// maxTokens bounds what is kept, in bytes. Whoever has tokens that are longer does without.
const maxTokens = 32 << 10

// sealTokens seals what a provider gave, for the identity that it is about; nil if nothing is to be kept.
func (e *Engine) sealTokens(key store.IdentityKey, t provider.Tokens) ([]byte, error) {
	if e.config.ForgetProviderTokens || t.AccessToken == "" || len(t.AccessToken)+len(t.RefreshToken) > maxTokens {
		return nil, nil
	}
	plain, err := json.Marshal(keptTokens{t.AccessToken, t.RefreshToken, t.ExpiresAt})
	if err != nil {
		return nil, fmt.Errorf("provider tokens: %w", err)
	}
	return e.box.Seal(purposeTokens, tokensOf(key), plain), nil
}

func (e *Engine) openTokens(i *store.Identity) (keptTokens, error) {
	plain, err := e.box.Open(purposeTokens, tokensOf(i.Key()), i.Tokens)
	if err != nil {
		return keptTokens{}, fmt.Errorf("open provider tokens: %w", err)
	}
	var k keptTokens
	return k, json.Unmarshal(plain, &k)
}

const purposeTokens = "provider tokens"

// tokensOf binds sealed tokens to their identity. No provider's name has a zero byte.
func tokensOf(key store.IdentityKey) []byte { return []byte(key.Provider + "\x00" + key.Subject) }

// ProviderTokens hands out what a provider gave when the principal last came in, or linked an account, by [Engine.FinishProvider]:
// once, and they are forgotten. Where the principal has several accounts at the provider they are those of the one last used.
// It costs two round trips.
//
// Errors: [ErrDisabledEndpoint] if there is no such provider, or nothing is kept; [ErrForbiddenAnonymous];
// [ErrInvalidRequest] if there are none, or they have been handed out; [ErrElevationRequired] in a session of a personal
// access token; otherwise as at [Engine.User].
func (e *Engine) ProviderTokens(ctx context.Context, principal *Principal, name string) (_ *ProviderTokens, err error) {
	defer e.begin(&ctx, "ProviderTokens").end(&err)
	defer e.refusal(ctx, principal, "ProviderTokens", &err)
	if e.config.Providers[name] == nil || e.config.ForgetProviderTokens {
		return nil, ErrDisabledEndpoint
	}
	if err := regular(principal); err != nil {
		return nil, err
	}
	a, err := e.account(ctx, principal, store.WithIdentities)
	if err != nil {
		return nil, err
	}
	none := ErrInvalidRequest.saying("there are no tokens of this provider")
	i := lastTokens(&a, name)
	if i == nil {
		return nil, none
	}
	kept, err := e.openTokens(i)
	if err != nil {
		return nil, none.because(err) // sealed under a secret that is gone
	}
	_, err = e.store.ChangeUser(ctx, store.UserChange{
		UserID: a.ID, Now: e.now(), If: store.Conditions{Session: principal.SessionID},
		TakeTokens: &store.IdentityTokens{Key: i.Key(), Tokens: i.Tokens},
	})
	if errors.Is(err, store.ErrUnmet{Condition: store.ConditionTokens}) {
		return nil, none.because(err)
	}
	if err != nil {
		return nil, unprotected(err)
	}
	e.emit(ctx, Event{Type: EventProviderTokensTaken, UserID: a.ID, SessionID: principal.SessionID, Detail: name})
	return e.providerTokens(kept), nil
}

// lastTokens is the identity last used, of those of a provider that have tokens; nil where none has.
func lastTokens(a *store.Account, name string) *store.Identity {
	var last *store.Identity
	for n := range a.Identities {
		i := &a.Identities[n]
		if i.Provider == name && len(i.Tokens) != 0 && (last == nil || i.LastUsedAt.After(last.LastUsedAt)) {
			last = i
		}
	}
	return last
}

// RefreshProviderTokensParams is a refresh token of a provider, as ProviderTokens.RefreshToken.
type RefreshProviderTokensParams struct {
	Provider     string
	RefreshToken string
}

// Format keeps the token out of logs, whatever the verb.
func (RefreshProviderTokensParams) Format(f fmt.State, _ rune) { hide(f) }

// LogValue is [RefreshProviderTokensParams.Format] for package slog.
func (RefreshProviderTokensParams) LogValue() slog.Value { return slog.StringValue(redacted) }

// RefreshProviderTokens trades a provider's refresh token for new tokens, with the client secret that only the service has.
// Nothing is kept. It costs one round trip, and what the provider needs.
//
// Errors: [ErrDisabledEndpoint]; [ErrForbiddenAnonymous]; [ErrOAuthProviderError] if the provider refuses, cannot be reached or
// has no refresh tokens; [ErrElevationRequired] in a session of a personal access token; otherwise as at [Engine.User].
func (e *Engine) RefreshProviderTokens(ctx context.Context, principal *Principal, p RefreshProviderTokensParams) (_ *ProviderTokens, err error) {
	defer e.begin(&ctx, "RefreshProviderTokens").end(&err)
	defer e.refusal(ctx, principal, "RefreshProviderTokens", &err)
	if e.config.Providers[p.Provider] == nil {
		return nil, ErrDisabledEndpoint
	}
	if p.RefreshToken == "" {
		return nil, ErrInvalidRequest.saying("refreshToken is required")
	}
	if err := regular(principal); err != nil {
		return nil, err
	}
	if _, err := e.account(ctx, principal, 0); err != nil {
		return nil, err
	}
	t, err := e.renew(ctx, p.Provider, p.RefreshToken)
	if err != nil {
		return nil, err
	}
	e.emit(ctx, Event{Type: EventProviderTokensRenewed, UserID: principal.UserID, SessionID: principal.SessionID, Detail: p.Provider})
	return e.providerTokens(keptTokens{t.AccessToken, t.RefreshToken, t.ExpiresAt}), nil
}

// RefreshKeptProviderTokens replaces what is kept of a provider for a user by new tokens, on the service's authority: the caller
// is trusted. The user has not been asked; [Engine.ProviderTokens] hands out the new ones. It costs two round trips, and what
// the provider needs.
//
// Errors: [ErrDisabledEndpoint]; [ErrNotFound] if there is no such user; [ErrInvalidRequest] if nothing is kept that can be
// refreshed; [ErrOAuthProviderError].
func (e *Engine) RefreshKeptProviderTokens(ctx context.Context, userID uuid.UUID, name string) (err error) {
	defer e.begin(&ctx, "RefreshKeptProviderTokens").end(&err)
	if e.config.Providers[name] == nil || e.config.ForgetProviderTokens {
		return ErrDisabledEndpoint
	}
	a, err := e.find(ctx, store.UserQuery{ID: userID, With: store.WithIdentities})
	if err != nil {
		return err
	}
	none := ErrInvalidRequest.saying("there are no tokens of this provider")
	i := lastTokens(&a, name)
	if i == nil {
		return none
	}
	kept, err := e.openTokens(i)
	if err != nil {
		return none.because(err)
	}
	if kept.RefreshToken == "" {
		return ErrInvalidRequest.saying("the provider gave no refresh token")
	}
	t, err := e.renew(ctx, name, kept.RefreshToken)
	if err != nil {
		return err
	}
	sealed, err := e.sealTokens(i.Key(), t)
	if err != nil {
		return err
	}
	_, err = e.store.ChangeUser(ctx, store.UserChange{
		UserID: a.ID, Now: e.now(), If: store.Conditions{Disabled: true},
		TakeTokens: &store.IdentityTokens{Key: i.Key(), Tokens: i.Tokens},
		PutTokens:  &store.IdentityTokens{Key: i.Key(), Tokens: sealed},
	})
	switch {
	case errors.Is(err, store.ErrUnmet{Condition: store.ConditionTokens}):
		return nil // the user has come in again meanwhile, and there are newer ones; or has got theirs
	case errors.Is(err, store.ErrNotFound):
		return ErrNotFound.because(err)
	case err != nil:
		return err
	}
	e.emit(ctx, Event{Type: EventProviderTokensRenewed, UserID: a.ID, Detail: name})
	return nil
}

// renew asks a provider for new tokens.
func (e *Engine) renew(ctx context.Context, name, refreshToken string) (t provider.Tokens, err error) {
	err = e.askProvider(ctx, func(ctx context.Context, env provider.Env) (err error) {
		t, err = e.config.Providers[name].Refresh(ctx, env, refreshToken)
		return err
	})
	if err == nil && t.AccessToken == "" {
		err = errors.New("no access token")
	}
	if err != nil {
		e.tellOperator(ctx, name, err)
		return t, ErrOAuthProviderError.because(err)
	}
	t.RefreshToken = cmp.Or(t.RefreshToken, refreshToken)
	return t, nil
}
