package store

import (
	"time"

	"github.com/google/uuid"
)

// Session is one signed-in client of a user: a family of refresh tokens. No token nor hash of one is stored: a token
// decodes, with the engine's secret, to the session's id and a generation.
type Session struct {
	ID         uuid.UUID
	UserID     uuid.UUID
	Generation uint32    // of the current refresh token
	CreatedAt  time.Time // when it was opened
	RotatedAt  time.Time // when the current generation began, which is when the session was last used
	AuthTime   time.Time // when the user last proved who they are
	AMR        []string  // how, RFC 8176
	Client     string    // what the client calls itself
	Address    string    // where it was last seen
	PATID      uuid.UUID // the token that it was opened with; it ends with that token
	Scopes     []string  // what that token lets it do, order is kept; nil where there are none; no rotation changes them
	ExpiresAt  time.Time // moves on with every rotation
	EndsAt     time.Time // never moves; ExpiresAt is never later
}

// SessionGeneration is what a refresh token decodes to.
type SessionGeneration struct {
	ID         uuid.UUID
	Generation uint32
}

// SessionRotation presents a refresh token.
type SessionRotation struct {
	// Candidates is what the token may stand for: one for each secret of the engine. At most one can exist.
	Candidates []SessionGeneration
	Now        time.Time
	Idle       time.Duration // ExpiresAt becomes Now plus this, or EndsAt if that is earlier
	Grace      time.Duration // how long the generation before the current one is still answered
	Skew       time.Duration // how far Now may lie before RotatedAt because another replica's clock is ahead
	Address    string        // if not empty, replaces the session's
}

// Outcome says what became of a presented refresh token, with p the presented generation and c the session's.
type Outcome int

const (
	// Rotated: p ≥ c. The session is now at p+1. (p > c happens after a database lost its last writes: the token is
	// genuine, and its owner should not be locked out.)
	Rotated Outcome = iota + 1
	// Repeated: p = c-1, and Now is no more than Grace after and Skew before RotatedAt. Nothing has changed.
	Repeated
	// Reused: any other p < c. The session has been removed.
	Reused
	// UserDisabled: the user is disabled, whatever p. Nothing has changed.
	UserDisabled
)

// RotatedSession is the answer to a presented refresh token: the session as it is now (as it was, if Reused) and its
// user.
type RotatedSession struct {
	Outcome Outcome
	Session Session
	User    User
	Before  SessionState // as it was before it was Rotated; zero for any other outcome
}

// SessionState is what a rotation changes of a session.
type SessionState struct {
	Generation uint32
	RotatedAt  time.Time
	ExpiresAt  time.Time
	Address    string
}
