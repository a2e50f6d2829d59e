package store

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// SigningKey is a key for access tokens.
type SigningKey struct {
	ID        string // the kid, unique
	Algorithm string // JWS "alg"
	Private   []byte // sealed PKCS #8
	CreatedAt time.Time
	ActiveAt  time.Time // signs from here until a later key does
	ExpiresAt time.Time // leaves the key set
}

// Message is a letter in the outbox, written together with the change that it belongs to.
type Message struct {
	ID        uuid.UUID
	Channel   string // "mail", "sms", …
	Body      []byte // sealed
	CreatedAt time.Time
	NextAt    time.Time // not to be claimed before
	Attempts  int
	Dead      bool // given up; kept for the operator
}

// Settlement ends a delivery attempt: the message was delivered and goes; or it is given up and stays as dead; or it
// may be claimed again at RetryAt.
type Settlement struct {
	ID        uuid.UUID
	Delivered bool
	Dead      bool
	RetryAt   time.Time
}

// OutboxState is how much there is in the outbox at an instant.
type OutboxState struct {
	Due     int // can be claimed
	Waiting int // can be claimed later: they are being delivered, or are to be tried again
	Dead    int // given up

	// DueSince is the earliest NextAt of those that are due; zero where none is.
	DueSince time.Time
}

// Event is an entry of the audit trail.
type Event struct {
	Seq       int64 // given by the store, increasing
	ID        uuid.UUID
	At        time.Time
	Type      string
	UserID    uuid.UUID
	SessionID uuid.UUID
	Address   string
	Detail    json.RawMessage
}

// EventQuery selects events. Zero values select everything.
type EventQuery struct {
	UserID uuid.UUID
	Type   string
	Before int64 // events with a smaller Seq; 0 starts at the newest
	Limit  int   // at most this many; at least 1
}
