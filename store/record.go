package store

import (
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
	Dead      bool // given up; kept until somebody removes it
}

// MessageClaim says which messages of the outbox somebody wants to deliver.
type MessageClaim struct {
	Now   time.Time // they are due at this time
	Until time.Time // they are hidden until then
	Limit int       // at most this many; at least 1

	Channel string   // of this channel; empty for any
	Except  []string // where Channel is empty, of none of these
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
	Seq       int64 // its number, unique; given by the engine
	ID        uuid.UUID
	At        time.Time
	Type      string
	UserID    uuid.UUID // who may not exist any more
	SessionID uuid.UUID
	Address   string
	Method    string
	Code      string
	Detail    string
	Link      []byte // what chains it to the event before; never empty
}

// Append adds events to the audit trail, and may take some from its beginning.
type Append struct {
	After   []byte  // the head that the trail must have: empty at first, later that of the last Append
	Head    []byte  // the head that it gets, which it has never had; the store does not look inside
	Events  []Event // in ascending order of their numbers, which are higher than those there are
	Through int64   // events with this number or a lower one go; 0: none
}

// EventQuery selects events. Zero values select everything.
type EventQuery struct {
	UserID uuid.UUID
	Type   string
	From   time.Time // events of this instant or later
	Before EventKey  // events that are listed after it; the zero key starts with the latest
	Limit  int       // at most this many; at least 1
}

// EventKey is the place of an event in a list, whether or not there is one with that time and number.
type EventKey struct {
	At  time.Time
	Seq int64
}
