package store

import (
	"time"

	"github.com/google/uuid"
)

// Ticket is a one-time secret: a link, a code, a challenge, an OAuth state. Its kind is part of every look-up, so a
// secret of one kind is worth nothing anywhere else.
type Ticket struct {
	ID   uuid.UUID
	Kind string
	// Slot is where it lies: a later ticket of the same kind and slot replaces it. The user's id where a user has one of
	// a kind, something unique where there may be many.
	Slot   string
	UserID uuid.UUID // zero where it belongs to nobody; removed with its user
	Hash   []byte    // 32 bytes: a keyed hash of the secret
	Data   []byte    // sealed
	// Tries is how many more presentations it stands; 0 is none, negative is any number. To redeem a ticket, which
	// follows its presentation, takes none.
	Tries     int
	CreatedAt time.Time
	ExpiresAt time.Time
}

// TicketQuery looks for a ticket by its kind and, either, its secret alone, or its owner, who is given by exactly one of
// UserID, EmailKey and Phone, and then its secret.
type TicketQuery struct {
	Kind   string
	Hashes [][]byte // any of these: one for each secret of the engine

	UserID   uuid.UUID
	EmailKey string
	Phone    string

	Now time.Time
}
