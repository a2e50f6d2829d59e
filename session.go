package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/internal/refreshtoken"
	"github.com/ostiary/auth/store"
)

// SessionsConfig says how long sessions live.
type SessionsConfig struct {
	// Idle is how long a session lives without being refreshed. The default is 30 days.
	Idle time.Duration
	// Absolute is how long a session lives at most. The default is 180 days; it is never less than Idle.
	Absolute time.Duration
	// Grace is how long a refresh token that has been rotated still answers, with the same successor: for parallel
	// tabs and lost answers. Later use is theft (RFC 9700 §4.14.2) and ends the session. The default is 10 seconds, the
	// maximum one minute.
	Grace time.Duration
	// MaxPerUser bounds the live sessions of one user: the least recently used end. Those that were opened with a personal
	// access token are counted apart, for each token. The default is 100.
	MaxPerUser int
	// CheckOnVerify makes [Engine.Authenticate] and [Engine.VerifyToken] ask the store whether the session still
	// lives, so that a revoked one ends at once and not with its access token. It costs one read per call.
	CheckOnVerify bool
}

func (c *SessionsConfig) withDefaults(m *mistakes) {
	def(&c.Idle, 30*24*time.Hour)
	if c.Absolute == 0 {
		c.Absolute = max(180*24*time.Hour, c.Idle)
	}
	def(&c.Grace, 10*time.Second)
	def(&c.MaxPerUser, 100)
	m.duration("Sessions.Idle", c.Idle, time.Second, 10*365*24*time.Hour)
	m.duration("Sessions.Absolute", c.Absolute, c.Idle, 10*365*24*time.Hour)
	m.duration("Sessions.Grace", c.Grace, time.Millisecond, time.Minute)
	m.atLeast("Sessions.MaxPerUser", c.MaxPerUser, 1)
}

// Session is a signed-in client, in the JSON form of the documented API.
type Session struct {
	AccessToken          string    `json:"accessToken"`          // a JWT
	AccessTokenExpiresIn int       `json:"accessTokenExpiresIn"` // seconds
	RefreshToken         string    `json:"refreshToken"`         // a UUID in lower case; good for one refresh
	RefreshTokenID       uuid.UUID `json:"refreshTokenId"`       // the session's id, the same over all rotations
	User                 *User     `json:"user"`
}

// Format keeps the tokens out of logs, whatever the verb.
func (s Session) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "{session %s %s}", s.RefreshTokenID, redacted)
}

// LogValue is [Session.Format] for package slog.
func (s Session) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(s)) }

// SignInResult is what a first factor earns: a session; or a demand for the second factor; or nothing yet, because a sign-up
// awaits the proof of its address.
type SignInResult struct {
	Session *Session      `json:"session,omitempty"`
	MFA     *MFAChallenge `json:"mfa,omitempty"`
	// Code is in place of both where the way in led over a redirect, for the client that began with a code challenge; see
	// [Engine.ExchangeCode].
	Code string `json:"-"`
}

// SessionDetails is what its owner may see of a session.
type SessionDetails struct {
	ID         uuid.UUID `json:"id"` // Session.RefreshTokenID
	CreatedAt  time.Time `json:"createdAt"`
	LastUsedAt time.Time `json:"lastUsedAt"` // when it was opened or last refreshed
	ExpiresAt  time.Time `json:"expiresAt"`  // unless it is refreshed before
	AMR        []string  `json:"amr"`        // how the user signed in (RFC 8176)
	UserAgent  string    `json:"userAgent"`  // what the client called itself
	Address    string    `json:"address"`    // where it was last seen
	Current    bool      `json:"current"`    // it is the one that asks
}

// entry is a user who has passed a first factor and wants to come in, with the write that the session will be part of.
// One of create and change is set.
type entry struct {
	user   store.User
	method string   // for events
	amr    []string // RFC 8176
	create *store.NewUser
	change *store.UserChange
	pat    *store.PAT // the token that is the first factor; the session ends with it

	challenge string // the code challenge of who is to get a code in place of a session; see [Engine.ExchangeCode]
	visit     *visit // to an identity provider, by a user who exists
}

// enter is the one door: every path that ends in a session goes through it, and nothing else opens one. It decides in
// this order: the account's state, whether the client gets a code to come back with, whether a second factor is owed, the
// service's hook, the access token, and then, in one atomic step with whatever the first factor brought about, the session.
//
// The token is signed before anything is written, so that a key or a claims hook that fails costs nobody a ticket.
func (e *Engine) enter(ctx context.Context, in entry) (*SignInResult, error) {
	if err := e.mayEnter(&in.user); err != nil {
		e.emit(ctx, Event{Type: EventSignInFailed, UserID: in.user.ID, Method: in.method, Code: codeOf(err)})
		return nil, err
	}
	if in.challenge != "" {
		return e.giveCode(ctx, in)
	}
	if e.owesSecondFactor(&in) {
		return e.askSecondFactor(ctx, in)
	}
	if h := e.config.Hooks.BeforeSession; h != nil {
		if err := hook("BeforeSession", func() error { return h(ctx, publicUser(&in.user), in.amr) }); err != nil {
			e.emit(ctx, Event{Type: EventSignInFailed, UserID: in.user.ID, Method: in.method, Code: codeOf(err)})
			return nil, err
		}
	}
	now := e.now()
	client := clientOf(ctx)
	row := store.Session{
		ID: refreshtoken.NewSessionID(), UserID: in.user.ID,
		CreatedAt: now, RotatedAt: now, AuthTime: now, AMR: in.amr,
		Client: client.label(), Address: client.address(),
		ExpiresAt: now.Add(e.config.Sessions.Idle), EndsAt: now.Add(e.config.Sessions.Absolute),
	}
	if in.pat != nil {
		row.PATID, row.Scopes, row.EndsAt = in.pat.ID, in.pat.Scopes, earlier(row.EndsAt, in.pat.ExpiresAt)
		row.ExpiresAt = earlier(row.ExpiresAt, row.EndsAt)
	}
	session, err := e.session(ctx, &in.user, &row, nil)
	if err != nil {
		return nil, err
	}
	var user store.User
	var told letters
	if in.create != nil {
		in.create.Session, in.create.User.LastSeenAt = &row, now
		user, err = e.create(ctx, *in.create, in.method)
	} else {
		c := *in.change
		c.UserID, c.Now, c.If.Epoch = in.user.ID, now, in.user.Epoch
		c.Session, c.MaxSessions = &row, e.config.Sessions.MaxPerUser
		if told, err = e.bring(ctx, in.visit, &in.user, &c); err != nil {
			return nil, err
		}
		user, err = e.store.ChangeUser(ctx, c)
	}
	if err != nil {
		return nil, err
	}
	e.brought(ctx, in.visit, &row, told)
	session.User = publicUser(&user)
	signedIn := Event{Type: EventSignedIn, UserID: user.ID, SessionID: row.ID, Method: in.method}
	if in.pat != nil {
		signedIn.Detail = in.pat.ID.String()
	}
	e.emit(ctx, signedIn)
	return &SignInResult{Session: session}, nil
}

// giveTicket gives a first factor its effect, and a ticket in place of a session.
func (e *Engine) giveTicket(ctx context.Context, in entry, ticket *store.Ticket) error {
	if in.create != nil {
		in.create.Ticket = ticket
		_, err := e.create(ctx, *in.create, in.method)
		return err
	}
	c := *in.change
	c.UserID, c.Now, c.If.Epoch, c.Ticket = in.user.ID, e.now(), in.user.Epoch, ticket
	_, err := e.store.ChangeUser(ctx, c)
	return err
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// mayEnter holds the rules of account state, for every way in and for every refresh. Disabled comes first: nothing
// that is said of a disabled user may hide that they are.
func (e *Engine) mayEnter(u *store.User) error {
	switch {
	case u.Disabled:
		return ErrDisabledUser
	case u.EmailKey != "" && !e.admits(u.EmailKey):
		return ErrInvalidEmailPassword.because(errors.New("the address is not admitted"))
	case u.EmailKey != "" && !u.EmailVerified && !e.config.Email.AllowUnverified:
		return ErrUnverifiedUser
	}
	return nil
}

// session makes the client's side of a session row, with an elevated access token if there was a step-up.
func (e *Engine) session(ctx context.Context, u *store.User, row *store.Session, up *stepUp) (*Session, error) {
	now := e.now()
	expires := earlier(now.Add(e.config.AccessTokens.Lifetime), row.EndsAt) // that of a personal access token may be near
	access, err := e.sign(ctx, u, row, up, now, expires)
	if err != nil {
		return nil, err
	}
	refresh, err := e.tokens.Encode(row.ID, row.Generation)
	if err != nil {
		return nil, fmt.Errorf("refresh token: %w", err)
	}
	return &Session{
		AccessToken:          access,
		AccessTokenExpiresIn: int(expires.Sub(now) / time.Second),
		RefreshToken:         refresh,
		RefreshTokenID:       row.ID,
		User:                 publicUser(u),
	}, nil
}

// RefreshParams is a refresh token to trade for the next session.
type RefreshParams struct {
	RefreshToken string
}

// Refresh rotates a refresh token: it returns a new access token and a new refresh token, and the one presented has had
// its turn. Roles, claims and account state are read afresh; a step-up is not carried over. It costs one round trip.
//
// Presented again within Config.Sessions.Grace, a token returns the same successor, so that parallel refreshes and
// retries all succeed with one result. Presented later it can only have been stolen, or copied: the session ends, for
// the thief and the owner alike, and an event is emitted (RFC 9700 §4.14.2). That holds for every earlier token of the
// session, however old. The owner of a verified address gets a letter.
//
// Errors: [ErrInvalidRefreshToken], and the account's state: [ErrDisabledUser], [ErrUnverifiedUser],
// [ErrInvalidEmailPassword] if the access lists no longer admit the address. After any of the latter, and after a
// failure of the signing key or the claims hook, the token presented is still good.
func (e *Engine) Refresh(ctx context.Context, p RefreshParams) (_ *Session, err error) {
	defer e.begin(&ctx, "Refresh").end(&err)
	var candidates []store.SessionGeneration
	for _, c := range e.tokens.Decode(p.RefreshToken) {
		if c.Generation == refreshtoken.MaxGeneration {
			continue // a session ends with its last token, after 16 million rotations
		}
		candidates = append(candidates, store.SessionGeneration{ID: c.Session, Generation: c.Generation})
	}
	if len(candidates) == 0 {
		return nil, ErrInvalidRefreshToken
	}
	r, err := e.store.RotateSession(ctx, store.SessionRotation{
		Candidates: candidates,
		Now:        e.now(),
		Idle:       e.config.Sessions.Idle,
		Grace:      e.config.Sessions.Grace,
		Skew:       clockSkew,
		Address:    clientOf(ctx).address(),
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, ErrInvalidRefreshToken
	case err != nil:
		return nil, fmt.Errorf("rotate session: %w", err)
	case r.Outcome == store.UserDisabled:
		return nil, ErrDisabledUser
	case r.Outcome == store.Reused:
		e.emit(ctx, Event{Type: EventRefreshTokenReused, UserID: r.User.ID, SessionID: r.Session.ID, Code: CodeInvalidRefreshToken})
		e.tell(ctx, "session-reuse", r.User)
		return nil, ErrInvalidRefreshToken.because(errors.New("the token had been rotated; its session has ended"))
	}
	if err = e.mayEnter(&r.User); err == nil {
		var session *Session
		if session, err = e.session(ctx, &r.User, &r.Session, nil); err == nil {
			return session, nil
		}
	}
	if r.Outcome == store.Rotated {
		e.unrotate(ctx, r)
	}
	return nil, err
}

// tell writes to the owner of a proven address what has happened. Who gets the answer may be a thief: it does not depend on
// this.
func (e *Engine) tell(ctx context.Context, template string, u store.User) {
	if e.config.Mail == nil || !u.EmailVerified || u.EmailKey == "" {
		return
	}
	if err := e.tellOwner(context.WithoutCancel(ctx), template, u); err != nil {
		e.config.Logger.ErrorContext(ctx, "tell the owner", slog.String("letter", template), slog.Any("error", err))
	}
}

// clockSkew is how far apart the clocks of two replicas may be.
const clockSkew = time.Minute

// unrotate takes back a rotation whose answer cannot be given, so that the client's token stays good. If that fails
// too, the client is left with the grace period. The client may be gone; this must happen nevertheless.
func (e *Engine) unrotate(ctx context.Context, r store.RotatedSession) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := e.store.UnrotateSession(ctx, r); err != nil {
		e.config.Logger.ErrorContext(ctx, "take back rotation", slog.Any("error", err), slog.String("session", r.Session.ID.String()))
	}
}

// SignOutParams says which sessions end.
type SignOutParams struct {
	// RefreshToken names the session to end: any token of it, current or not. Not needed with All.
	RefreshToken string
	// All ends every session of the principal.
	All bool
	// PATs, with All, revokes the principal's personal access tokens as well.
	PATs bool
}

// SignOut ends one session, given one of its refresh tokens, or all sessions of the principal. The principal may be nil
// unless All is set. A token of a session that has ended already is no error.
//
// Errors: [ErrInvalidRequest] if neither All nor a token is given; [ErrUnauthenticated] if All is set without a
// principal, or the principal's session has ended; [ErrElevationRequired] if All is set in a session of a personal access
// token.
func (e *Engine) SignOut(ctx context.Context, principal *Principal, p SignOutParams) (err error) {
	defer e.begin(&ctx, "SignOut").end(&err)
	defer e.refusal(ctx, principal, "SignOut", &err)
	if p.All {
		return e.signOutAll(ctx, principal, p.PATs)
	}
	if p.RefreshToken == "" {
		return ErrInvalidRequest.saying("refreshToken is required")
	}
	for _, c := range e.tokens.Decode(p.RefreshToken) {
		n, err := e.store.EndSessions(ctx, uuid.Nil, c.Session)
		if err != nil {
			return fmt.Errorf("end session: %w", err)
		}
		if n > 0 {
			e.emit(ctx, Event{Type: EventSignedOut, SessionID: c.Session})
		}
	}
	return nil
}

func (e *Engine) signOutAll(ctx context.Context, principal *Principal, pats bool) error {
	if err := inPerson(principal); err != nil {
		return err
	}
	_, err := e.store.ChangeUser(ctx, store.UserChange{
		UserID: principal.UserID,
		Now:    e.now(),
		If:     store.Conditions{Session: principal.SessionID, Disabled: true},
		Drop:   store.Drop{Sessions: true, PATs: pats, Tickets: []string{kindCode, kindMFA}}, // which would open another
	})
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrUnmet{Condition: store.ConditionSession}) {
		return ErrUnauthenticated.because(err)
	}
	if err != nil {
		return fmt.Errorf("end sessions: %w", err)
	}
	e.emit(ctx, Event{Type: EventSignedOut, UserID: principal.UserID, SessionID: principal.SessionID, Detail: "all"})
	return nil
}

// ListSessions returns the live sessions of the principal, the oldest first.
//
// Errors: [ErrElevationRequired] for a session of a personal access token; otherwise as at [Engine.User].
func (e *Engine) ListSessions(ctx context.Context, principal *Principal) (_ []SessionDetails, err error) {
	defer e.begin(&ctx, "ListSessions").end(&err)
	defer e.refusal(ctx, principal, "ListSessions", &err)
	a, err := e.ownAccount(ctx, principal, store.WithSessions)
	if err != nil {
		return nil, err
	}
	return sessionDetails(a.Sessions, principal.SessionID), nil
}

func sessionDetails(sessions []store.Session, current uuid.UUID) []SessionDetails {
	list := make([]SessionDetails, len(sessions))
	for i, s := range sessions {
		list[i] = SessionDetails{
			ID: s.ID, CreatedAt: s.CreatedAt, LastUsedAt: s.RotatedAt, ExpiresAt: s.ExpiresAt,
			AMR: append([]string{}, s.AMR...), UserAgent: s.Client, Address: s.Address,
			Current: s.ID == current,
		}
	}
	return list
}

// RevokeSession ends one of the principal's sessions.
//
// Errors: [ErrNotFound] if the principal has no such session, whoever else may; [ErrElevationRequired] for a session of a
// personal access token, which [Engine.SignOut] ends; otherwise as at [Engine.User].
func (e *Engine) RevokeSession(ctx context.Context, principal *Principal, id uuid.UUID) (err error) {
	defer e.begin(&ctx, "RevokeSession").end(&err)
	defer e.refusal(ctx, principal, "RevokeSession", &err)
	if _, err := e.ownAccount(ctx, principal, 0); err != nil {
		return err
	}
	n, err := e.store.EndSessions(ctx, principal.UserID, id)
	if err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	if n == 0 {
		return ErrNotFound
	}
	e.emit(ctx, Event{Type: EventSessionRevoked, UserID: principal.UserID, SessionID: id})
	return nil
}

func codeOf(err error) Code {
	var known *Error
	if errors.As(err, &known) {
		return known.Code
	}
	return CodeInternal
}
