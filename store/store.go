// Package store is the contract between the authentication engine and a database.
//
// A [Store] offers use cases, not tables. Each method is atomic by itself: it happens whole or not at all, whatever
// fails and whoever else calls at the same moment. Each can be done in one round trip to a database, so a sign-in costs
// two and a refresh one. No transaction object crosses this boundary; a store that has transactions may take the
// caller's from the context (see pgstore.WithTx).
//
// The records hold no secret in clear: passwords are hashes, tickets are keyed hashes, everything else that must be
// read back arrives sealed. A store never looks inside a sealed field.
//
// # Time
//
// The engine has one clock and passes its reading to every call, in UTC with at most microsecond resolution. A store
// compares with that reading and never with a clock of its own. A thing is live while now is before its end: at the
// very instant of ExpiresAt it has expired.
//
// # Empty values
//
// A nil slice and an empty one mean the same, also in a field that is sealed or JSON: a store may give back either. In
// [UserSet] they differ, because there nil leaves a field as it is.
//
// # Errors
//
// Besides the errors named at each method, all of which are matched with [errors.Is], any error means that the store
// failed and that nothing is known to have happened. A method whose context is already done returns the context's error
// and does nothing.
//
// # Writing a store
//
// Implement [Store] and run storetest.Run against it: the suite checks every sentence of these comments, concurrency
// included.
package store

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
)

// Store keeps the records of one realm. All methods are safe for concurrent use by many processes.
type Store interface {
	// CreateUser adds a user and everything in n that belongs to it.
	//
	// If n.Redeem is set and that ticket is gone, a user's, or expired at n.User.CreatedAt, it returns
	// [ErrUnmet]{ConditionTicket}. If an e-mail key, phone, identity, credential id or id is taken it returns
	// [ErrConflict] with that field; the ticket is looked at first. If n.Within returns an error, CreateUser returns
	// that error. In each case nothing is left behind.
	CreateUser(ctx context.Context, n NewUser) (User, error)

	// User finds the one user that q describes, disabled ones included, with the lists that q asks for. It returns
	// [ErrNotFound] where there is none.
	User(ctx context.Context, q UserQuery) (Account, error)

	// Users lists users in ascending order of id, those after the given one, at most limit. An empty page is the end.
	Users(ctx context.Context, after uuid.UUID, limit int) ([]User, error)

	// ChangeUser does everything that c says to one user, or nothing, and returns the user as it is afterwards.
	// Changes of one user happen one after the other.
	//
	// It returns [ErrNotFound] where there is no such user, [ErrUnmet] with the first condition that does not hold (in
	// the order in which [Condition] lists them), and [ErrConflict] like CreateUser. Conditions come before conflicts, so
	// that whoever does not meet them learns nothing about other users.
	ChangeUser(ctx context.Context, c UserChange) (User, error)

	// DeleteUser removes a user and all that belongs to it, and writes the messages, or does nothing; the events of the
	// user stay. It is one of the changes of the user, which happen one after the other.
	//
	// It returns [ErrNotFound] where there is no such user, [ErrUnmet] with the first condition that does not hold, and
	// [ErrConflict] where the id of a message is taken.
	DeleteUser(ctx context.Context, d UserDeletion) error

	// RotateSession presents a refresh token, as the session and generation that it decodes to, and says what becomes
	// of it; see [Outcome] for the rules. Of any number of simultaneous presentations of the current generation exactly
	// one has the outcome Rotated. It returns [ErrNotFound] where none of the candidates is a live session; an expired
	// one is removed, so that a clock set back does not revive it.
	RotateSession(ctx context.Context, r SessionRotation) (RotatedSession, error)

	// UnrotateSession takes back the rotation that had this answer, because it cannot be given on: if the session is
	// still at r.Session.Generation it becomes again what r.Before says, so that a refusal neither lengthens its life nor
	// reopens the grace period of an older token. Otherwise nothing happens, and that is no error.
	UnrotateSession(ctx context.Context, r RotatedSession) error

	// EndSessions removes the sessions with these ids and returns how many there were. If owner is not the zero UUID,
	// sessions of other users are not touched.
	EndSessions(ctx context.Context, owner uuid.UUID, ids ...uuid.UUID) (int, error)

	// PutTicket stores a ticket. An earlier one of the same kind and slot is replaced, whoever's it was. It returns
	// [ErrNotFound] where the ticket has a user who does not exist.
	PutTicket(ctx context.Context, t Ticket) error

	// TakeTicket removes a live ticket and returns it: of any number of simultaneous calls one succeeds. The others,
	// and everyone who asks for an unknown, expired or exhausted one, get [ErrNotFound]. A wrong secret finds nothing,
	// changes nothing and costs no try: what can be guessed is for CheckTicket.
	TakeTicket(ctx context.Context, q TicketQuery) (Ticket, error)

	// CheckTicket reads a live ticket together with its user and leaves it in place, to be redeemed by the ChangeUser
	// that gives it its effect. If the ticket has a try budget, each call takes one try, atomically and whether or not
	// the secret is right, so that n simultaneous guesses cost n tries. The ticket returned has the tries that are left.
	// Where the owner has several live tickets of the kind, the secret is presented to each: it may be that of any, and
	// each loses a try. A ticket of nobody comes with the zero User.
	//
	// It returns [ErrNotFound] where there is no such live ticket or no try was left, and [ErrMismatch] where the
	// ticket was found by its user and the secret is another.
	CheckTicket(ctx context.Context, q TicketQuery) (Ticket, User, error)

	// SigningKeys lists the signing keys that have not expired at now, oldest first.
	SigningKeys(ctx context.Context, now time.Time) ([]SigningKey, error)

	// AddSigningKey stores a key unless one created after the instant since is there already; it reports whether it
	// did. Replicas that rotate at the same moment so make one key. It returns [ErrConflict]{FieldID} where its id is taken.
	AddSigningKey(ctx context.Context, k SigningKey, since time.Time) (bool, error)

	// ExpireSigningKey has a signing key expire at the given instant, unless it does so earlier already: a life is never
	// made longer. It returns [ErrNotFound] where there is no such key.
	ExpireSigningKey(ctx context.Context, id string, at time.Time) error

	// PutMessages adds messages to the outbox: all of them, or none. It returns [ErrConflict] where the id of one is taken.
	PutMessages(ctx context.Context, messages []Message) error

	// ClaimMessages takes messages of the outbox that are due, oldest first, counts an attempt for each and hides them
	// until c.Until: whoever claims one has until then to settle it. No message is claimed twice at once. What waits in
	// other channels neither keeps a message from being claimed nor makes that slower.
	ClaimMessages(ctx context.Context, c MessageClaim) ([]Message, error)

	// SettleMessage ends a delivery attempt. A message that is gone already is no error.
	SettleMessage(ctx context.Context, s Settlement) error

	// Outbox counts the messages of the outbox. It reads no message, and costs the more the more there are.
	Outbox(ctx context.Context, now time.Time) (OutboxState, error)

	// AppendEvents does to the audit trail what a says, all of it or nothing: only if the trail still has the head a.After, so
	// that of any number of simultaneous calls with one After one does. It returns the head that the trail then has, and
	// whether that is by this call; whoever came too late knows where to go on. It returns [ErrConflict]{FieldID} where a
	// number is taken.
	AppendEvents(ctx context.Context, a Append) (head []byte, appended bool, err error)

	// Events lists events, the latest first: by their time, and those of one instant by their number.
	Events(ctx context.Context, q EventQuery) ([]Event, error)

	// Trail reads the audit trail as it was at one moment: its head, and the events numbered from or higher, in ascending
	// order and at most limit.
	Trail(ctx context.Context, from int64, limit int) (head []byte, events []Event, err error)

	// Purge removes what has ended, at most p.Limit rows, and returns how many. Callers repeat it until fewer than
	// p.Limit are removed.
	Purge(ctx context.Context, p Purge) (int, error)

	// Joined reports whether calls made with ctx are part of a transaction that is not the store's to commit: the
	// caller's own, or one of a NewUser.Within that is running. What depends on the commit must then wait for it. It
	// asks nothing of the database.
	Joined(ctx context.Context) bool

	// Ping reports whether the store can be reached.
	Ping(ctx context.Context) error
}

var (
	// ErrNotFound says that the thing asked for does not exist, or is no longer live.
	ErrNotFound = errors.New("store: not found")

	// ErrMismatch says that a ticket exists and that its secret is not the one presented.
	ErrMismatch = errors.New("store: wrong secret")
)

// A Field names what must be unique.
type Field string

// The unique fields of a realm.
const (
	FieldID         Field = "id"         // of a user, or of a record added with or to one; number of an event
	FieldEmail      Field = "email"      // User.EmailKey
	FieldPhone      Field = "phone"      // User.Phone
	FieldIdentity   Field = "identity"   // Identity.Provider and Subject
	FieldCredential Field = "credential" // SecurityKey.CredentialID
)

// ErrConflict says that another record has the same value in a unique field. Match it with
// errors.Is(err, store.ErrConflict{Field: store.FieldEmail}).
type ErrConflict struct{ Field Field }

func (e ErrConflict) Error() string { return "store: " + string(e.Field) + " is taken" }

// A Condition is something that must hold for a change to happen.
type Condition string

// The conditions of a [UserChange] and a [UserDeletion], in the order in which a store checks them.
const (
	ConditionEnabled        Condition = "enabled"          // the user is not disabled
	ConditionSession        Condition = "session"          // If.Session is live and the user's
	ConditionTicket         Condition = "ticket"           // Redeem is live and the user's, or nobody's
	ConditionEpoch          Condition = "epoch"            // nothing was revoked since the user was read
	ConditionAnonymous      Condition = "anonymous"        // the user is anonymous
	ConditionNoSecurityKeys Condition = "no-security-keys" // the user has no security key
	ConditionSecurityKey    Condition = "security-key"     // If.SecurityKey is the user's
	ConditionNoTOTP         Condition = "no-totp"          // the user has no second factor
	ConditionTOTPStep       Condition = "totp-step"        // the step is later than the last accepted one
	ConditionRecoveryCode   Condition = "recovery-code"    // the code is one of those left
	ConditionSignCount      Condition = "sign-count"       // the key's counter is the one that was read
	ConditionTokens         Condition = "tokens"           // the identity's are those that TakeTokens takes
	ConditionPATs           Condition = "pats"             // the user has fewer live tokens than MaxPATs
)

// ErrUnmet says that a condition did not hold and that therefore nothing was done. Match it with
// errors.Is(err, store.ErrUnmet{Condition: store.ConditionEpoch}).
type ErrUnmet struct{ Condition Condition }

func (e ErrUnmet) Error() string { return "store: condition " + string(e.Condition) + " does not hold" }

// Purge says what may go. Expired sessions, tickets, personal access tokens and signing keys always may. What goes along
// with a row, as the sessions of a token and all that belongs to a user do, is not counted.
type Purge struct {
	Now   time.Time
	Limit int // rows, at least 1

	// AnonymousBefore, unless zero, also removes anonymous users who were last seen before it.
	AnonymousBefore time.Time
}
