package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

// PATConfig turns on personal access tokens.
type PATConfig struct {
	// MaxLifetime bounds the life of a new token. The default is 366 days, the maximum ten years.
	MaxLifetime time.Duration
	// MaxPerUser bounds the tokens of one user. The default is 50, the maximum 1000.
	MaxPerUser int
}

func (p *PATConfig) withDefaults(m *mistakes) *PATConfig {
	c := *p
	def(&c.MaxLifetime, 366*24*time.Hour)
	def(&c.MaxPerUser, 50)
	m.duration("PAT.MaxLifetime", c.MaxLifetime, time.Minute, 10*366*24*time.Hour)
	m.within("PAT.MaxPerUser", c.MaxPerUser, 1, 1000)
	return &c
}

const methodPAT = "pat"

// CreatePATParams is a personal access token to be.
type CreatePATParams struct {
	ExpiresAt time.Time
	Metadata  json.RawMessage // a JSON object, for the client: a name, say
	Scopes    []string        // what the token is for, in the service's own words: 1 to 64 of a-z, A-Z, 0-9 and "._:/-" each
}

// PAT is a personal access token that has just been made. It is never shown again.
type PAT struct {
	ID    uuid.UUID `json:"id"`
	Token string    `json:"personalAccessToken"` // a UUID in lower case
}

// Format keeps the token out of logs, whatever the verb.
func (t PAT) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "{pat %s %s}", t.ID, redacted) }

// LogValue is [PAT.Format] for package slog.
func (t PAT) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(t)) }

var patScope = regexp.MustCompile(`^[A-Za-z0-9._:/-]{1,64}$`)

// maxScopes bounds what an access token has to carry.
const maxScopes = 32

// CreatePAT makes a personal access token for the principal: a secret for programs, which signs in without anybody being
// there until it expires or is revoked. The owner of a verified address gets a letter. It is protected; see
// [Engine.Elevate]. It costs one round trip in a session of two factors, two in one of one factor or where Config.Elevation may
// demand a step-up, and two more for the letter.
//
// Errors: [ErrDisabledEndpoint] without Config.PAT; [ErrForbiddenAnonymous]; [ErrElevationRequired], also for a session that
// was itself opened with a personal access token; [ErrInvalidRequest] for an expiry in the past or later than
// Config.PAT.MaxLifetime from now, for metadata and scopes of the wrong form, and for more than Config.PAT.MaxPerUser;
// otherwise as at [Engine.User].
func (e *Engine) CreatePAT(ctx context.Context, principal *Principal, p CreatePATParams) (_ *PAT, err error) {
	defer e.begin(&ctx, "CreatePAT").end(&err)
	defer e.refusal(ctx, principal, "CreatePAT", &err)
	c := e.config.PAT
	if c == nil {
		return nil, ErrDisabledEndpoint
	}
	rule, err := e.protected(principal, anything)
	if err != nil {
		return nil, err
	}
	now := e.now()
	switch {
	case !p.ExpiresAt.After(now):
		return nil, ErrInvalidRequest.saying("expiresAt is not in the future")
	case p.ExpiresAt.After(now.Add(c.MaxLifetime)):
		return nil, ErrInvalidRequest.saying("expiresAt is later than a personal access token may live")
	case len(p.Scopes) > maxScopes:
		return nil, ErrInvalidRequest.saying(fmt.Sprintf("there are more than %d scopes", maxScopes))
	}
	for _, scope := range p.Scopes {
		if !patScope.MatchString(scope) {
			return nil, ErrInvalidRequest.saying("a scope is not 1 to 64 letters, digits and ._:/-")
		}
	}
	metadata, err := e.metadata(p.Metadata)
	if err != nil {
		return nil, err
	}
	if !e.shownTwo(principal) || e.config.Elevation.Mode != ElevationDisabled && !e.isElevated(principal) {
		a, checked, err := e.protectedAccount(ctx, principal, anything, 0)
		if err != nil {
			return nil, err
		}
		rule = checked
		rule.Epoch = a.Epoch // which the activation of a second factor moves on
	}
	made := &PAT{ID: uuid.New(), Token: uuid.NewString()}
	hash := e.box.MAC("pat", []byte(made.Token))
	u, err := e.store.ChangeUser(ctx, store.UserChange{
		UserID: principal.UserID, Now: now, If: rule, MaxPATs: c.MaxPerUser,
		PAT: &store.PAT{ID: made.ID, Hash: hash[:], Scopes: unique(p.Scopes), Metadata: metadata, CreatedAt: now, ExpiresAt: p.ExpiresAt},
	})
	if errors.Is(err, store.ErrUnmet{Condition: store.ConditionPATs}) {
		return nil, ErrInvalidRequest.saying("the user has too many personal access tokens").because(err)
	}
	if err != nil {
		return nil, unprotected(err)
	}
	e.emit(ctx, Event{Type: EventPATCreated, UserID: u.ID, SessionID: principal.SessionID, Detail: made.ID.String()})
	e.tell(ctx, "pat-created", u)
	return made, nil
}

// SignInPATParams is a personal access token.
type SignInPATParams struct {
	PersonalAccessToken string
}

// Format keeps the token out of logs, whatever the verb.
func (SignInPATParams) Format(f fmt.State, _ rune) { hide(f) }

// LogValue is [SignInPATParams.Format] for package slog.
func (SignInPATParams) LogValue() slog.Value { return slog.StringValue(redacted) }

// SignInPAT opens a session with a personal access token. No second factor is asked for: who has one must have shown it to make
// a token. One that was made before its user had a second factor stays good; [Engine.RevokePAT] ends it.
// The session ends with the token, when that expires or is revoked, and its access tokens expire no later. The token stays good.
// Sessions of one token count for Config.Sessions.MaxPerUser among themselves, and end no others. It costs two round trips.
//
// Such a session is a program's, for the service's own routes. Of the account it can see what [Engine.User] returns, and
// [Engine.SignOut] ends it by its refresh token. Every other method that acts for a principal refuses it with
// [ErrElevationRequired], in every mode: it neither changes nor lists what the account has, nor exports, signs out everywhere,
// revokes, makes further tokens or steps up. (What turns a guest into a user refuses it as it does every user.)
//
// Errors: [ErrDisabledEndpoint] without Config.PAT; [ErrInvalidPAT]; [ErrTooManyRequests]; the account's state, as at
// [Engine.Refresh].
func (e *Engine) SignInPAT(ctx context.Context, p SignInPATParams) (_ *SignInResult, err error) {
	defer e.begin(&ctx, "SignInPAT").end(&err)
	if e.config.PAT == nil {
		return nil, ErrDisabledEndpoint
	}
	if id, _ := uuid.Parse(p.PersonalAccessToken); id.String() != p.PersonalAccessToken {
		return nil, ErrInvalidPAT.because(errors.New("not the form of one"))
	}
	presented, err := e.mayPresent(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { presented(err) }()
	in, err := e.enterByPAT(ctx, p.PersonalAccessToken)
	if errors.Is(err, store.ErrUnmet{Condition: store.ConditionEpoch}) {
		// Something was revoked a moment ago. If it was not this token, the sign-in comes after that and stands.
		in, err = e.enterByPAT(ctx, p.PersonalAccessToken)
	}
	if errors.Is(err, store.ErrUnmet{Condition: store.ConditionEpoch}) || errors.Is(err, store.ErrNotFound) {
		return nil, ErrInvalidPAT.because(err)
	}
	return in, overtaken(err)
}

// enterByPAT lets in whoever has a personal access token.
func (e *Engine) enterByPAT(ctx context.Context, token string) (*SignInResult, error) {
	a, err := e.store.User(ctx, store.UserQuery{PATHashes: hashes(e.box.MACs("pat", []byte(token))), Now: e.now()})
	switch {
	case errors.Is(err, store.ErrNotFound):
		e.emit(ctx, Event{Type: EventSignInFailed, Method: methodPAT, Code: CodeInvalidPAT})
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("find personal access token: %w", err)
	case a.PAT == nil:
		return nil, errors.New("the store found a user by a token and did not return it")
	}
	return e.enter(ctx, entry{user: a.User, method: methodPAT, amr: []string{amrPAT}, pat: a.PAT, change: &store.UserChange{UsePAT: a.PAT.ID}})
}

// ListPATs returns the personal access tokens of the principal that have not expired, the oldest first. It costs one round
// trip.
//
// Errors: [ErrElevationRequired] for a session of a personal access token; otherwise as at [Engine.User].
func (e *Engine) ListPATs(ctx context.Context, principal *Principal) (_ []PATDetails, err error) {
	defer e.begin(&ctx, "ListPATs").end(&err)
	defer e.refusal(ctx, principal, "ListPATs", &err)
	a, err := e.ownAccount(ctx, principal, store.WithPATs)
	if err != nil {
		return nil, err
	}
	return patDetails(a.PATs), nil
}

func patDetails(tokens []store.PAT) []PATDetails {
	list := make([]PATDetails, len(tokens))
	for i, p := range tokens {
		list[i] = PATDetails{p.ID, append([]string{}, p.Scopes...), p.Metadata, p.CreatedAt, p.ExpiresAt, p.LastUsedAt}
	}
	return list
}

// RevokePAT ends one of the principal's personal access tokens and the sessions that were opened with it. It costs two round
// trips.
//
// Errors: [ErrNotFound] if the principal has no such token, whoever else may; [ErrElevationRequired] for a session of a
// personal access token; otherwise as at [Engine.User].
func (e *Engine) RevokePAT(ctx context.Context, principal *Principal, id uuid.UUID) (err error) {
	defer e.begin(&ctx, "RevokePAT").end(&err)
	defer e.refusal(ctx, principal, "RevokePAT", &err)
	a, err := e.ownAccount(ctx, principal, store.WithPATs)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(a.PATs, func(p store.PAT) bool { return p.ID == id }) {
		return ErrNotFound
	}
	_, err = e.store.ChangeUser(ctx, store.UserChange{
		UserID: a.ID, Now: e.now(), If: store.Conditions{Session: principal.SessionID}, RemovePAT: id,
	})
	if err != nil {
		return unprotected(err)
	}
	e.emit(ctx, Event{Type: EventPATRevoked, UserID: a.ID, SessionID: principal.SessionID, Detail: id.String()})
	return nil
}
