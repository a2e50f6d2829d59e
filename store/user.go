package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// User is one account.
type User struct {
	ID         uuid.UUID
	CreatedAt  time.Time
	UpdatedAt  time.Time
	LastSeenAt time.Time // when a session was last opened; zero before the first

	Disabled  bool
	Anonymous bool

	Email         string // as typed; empty where there is none
	EmailKey      string // the form compared and unique; empty where there is none
	EmailVerified bool
	Phone         string // E.164, unique; empty where there is none
	PhoneVerified bool

	DisplayName string
	AvatarURL   string
	Locale      string
	DefaultRole string
	Roles       []string        // all that the user may take, the default one included; order is kept
	Metadata    json.RawMessage // a JSON object, or nil

	PasswordHash  string   // PHC or another self-describing format; empty where there is none
	TOTPSecret    []byte   // sealed; set means that the second factor is on
	TOTPPending   []byte   // sealed; generated and not yet confirmed
	TOTPStep      int64    // the last time step whose code was accepted
	RecoveryCodes [][]byte // hashes of those not yet used

	// Epoch starts at 1 and grows with every change that takes something away (by Drop, RemoveKey, RemovePAT or
	// RemoveIdentity, whether or not it was there) or sets Disabled, to whatever value; with no other. Whoever read the
	// user before and acts on it after can so be refused; see [Conditions].
	Epoch int64
}

// Identity is an account at an identity provider that belongs to a user. Provider and Subject together are unique.
type Identity struct {
	Provider   string
	Subject    string // the provider's id of the account, exactly as it came
	UserID     uuid.UUID
	Email      string // what the provider last reported, for show
	CreatedAt  time.Time
	LastUsedAt time.Time
	Tokens     []byte // sealed; nil where none are kept
}

// Key identifies the identity.
func (i *Identity) Key() IdentityKey { return IdentityKey{i.Provider, i.Subject} }

// SecurityKey is a WebAuthn credential record (WebAuthn Level 3, §4 "credential record").
type SecurityKey struct {
	ID                uuid.UUID
	UserID            uuid.UUID
	CredentialID      []byte // unique in the realm
	PublicKey         []byte // COSE_Key
	UserHandle        []byte // what the authenticator was told that the user is; empty: the 16 bytes of UserID
	SignCount         uint32
	BackupEligible    bool
	BackupState       bool
	UserVerified      bool // whether user verification was performed at registration or since
	Transports        []string
	AAGUID            uuid.UUID
	AttestationFormat string
	Attachment        string // "platform", "cross-platform" or empty
	Nickname          string
	CreatedAt         time.Time
	LastUsedAt        time.Time // zero until first used
}

// PAT is a personal access token.
type PAT struct {
	ID         uuid.UUID
	UserID     uuid.UUID
	Hash       []byte // 32 bytes, unique
	Scopes     []string
	Metadata   json.RawMessage
	CreatedAt  time.Time
	ExpiresAt  time.Time
	LastUsedAt time.Time // zero until first used
}

// UserQuery names one user by exactly one of its fields above With, or by Identity and EmailKey together: the user who has
// the identity or, where nobody has it, the one who has the address. Which of the two it was shows in the identities of
// the account, if With asks for them.
type UserQuery struct {
	ID           uuid.UUID
	EmailKey     string
	Phone        string
	Identity     IdentityKey
	CredentialID []byte
	PATHashes    [][]byte  // any of these; the token must be live
	SessionID    uuid.UUID // the session must be live

	With With
	Now  time.Time // decides what is live
}

// IdentityKey identifies an [Identity].
type IdentityKey struct{ Provider, Subject string }

// With is a set of lists to load along with a user.
type With uint8

// The lists that can be loaded. Each is sorted by time of creation, oldest first; sessions and tokens that have expired
// are left out.
const (
	WithIdentities With = 1 << iota
	WithSecurityKeys
	WithSessions
	WithPATs
)

// Account is a user and what was loaded along with it.
type Account struct {
	User
	Identities   []Identity
	SecurityKeys []SecurityKey
	Sessions     []Session
	PATs         []PAT

	Session *Session // the one asked for by SessionID
	PAT     *PAT     // the one asked for by PATHashes
}

// NewUser is what comes into being with a user. The records' UserID is taken from User.ID, which the caller chooses.
type NewUser struct {
	User        User // Epoch is set to 1 by the store
	Identity    *Identity
	SecurityKey *SecurityKey
	Session     *Session
	Ticket      *Ticket
	Messages    []Message
	Redeem      uuid.UUID // a ticket without a user, live at User.CreatedAt, that this sign-up uses up

	// Within, unless nil, is called after the writes and before they are committed. The context that it gets carries
	// the store's transaction where the store has one: calls of this store made with it, and the caller's own
	// statements, stand or fall with the sign-up. An error from it undoes everything.
	Within func(context.Context, User) error
}

// UserChange is one step in the life of a user. Parts left at their zero value do nothing. The records' UserID is taken
// from UserID. A key, token or identity to be renamed, used, set or removed that is not the user's is not touched, and that
// is no error, except as UseKey and TakeTokens say.
type UserChange struct {
	UserID uuid.UUID
	Now    time.Time // becomes UpdatedAt if Set changes anything, LastSeenAt if Session is set

	// If must hold, or nothing happens.
	If Conditions
	// Redeem removes this ticket, which must be live and belong to this user or to nobody.
	Redeem uuid.UUID
	// TOTPStep becomes the last accepted step; it must be greater than the one before.
	TOTPStep int64
	// RecoveryCode is removed from the user's; it must be among them.
	RecoveryCode []byte
	// UseKey notes the use of a security key of the user; one that is gone does not meet [ConditionSignCount].
	UseKey *KeyUse
	// TakeTokens takes the tokens of an identity away, so that of any number who have read them one may use them. The
	// identity must be the user's and its Tokens exactly these, which are not empty; or else [ConditionTokens] is not met.
	// It happens before Drop and all below, so that in one change Identity and PutTokens set the tokens anew, and
	// Drop.Identities and RemoveIdentity remove the identity all the same.
	TakeTokens *IdentityTokens

	Set UserSet
	// Drop ends and removes. It happens before the additions below, which it does not touch.
	Drop Drop

	// Session is opened. If that makes more than MaxSessions live ones (0: no limit), those of the others that were
	// least recently used end. Counted, and ended, are those with the same PATID, or like it with none.
	Session     *Session
	MaxSessions int
	// Ticket is issued, in place of an earlier one of the same kind and slot.
	Ticket      *Ticket
	Messages    []Message
	Identity    *Identity // added, or its Email, LastUsedAt and Tokens updated if it is already this user's
	SecurityKey *SecurityKey
	// PAT is added. A user who has MaxPATs live ones already (0: no limit) does not meet [ConditionPATs], even if the
	// change takes some of them away. Without PAT there is no such condition.
	PAT     *PAT
	MaxPATs int
	UsePAT  uuid.UUID // its LastUsedAt becomes Now

	// PutTokens sets the tokens of an identity of the user, be it one that the change adds, and nothing else of it.
	PutTokens      *IdentityTokens
	RenameKey      *KeyName
	RemoveKey      uuid.UUID
	RemovePAT      uuid.UUID
	RemoveIdentity IdentityKey
}

// UserDeletion is the end of a user.
type UserDeletion struct {
	UserID uuid.UUID
	Now    time.Time // decides what is live

	// If must hold, or nothing happens.
	If Conditions
	// Messages are the last letters to the owner.
	Messages []Message
}

// Conditions guard a change or a deletion against what happened since the user was read. They are about the user as it
// is before: what the change itself adds or takes away makes no difference to them. A user must also be enabled, unless
// Disabled allows otherwise.
type Conditions struct {
	Disabled       bool      // the user may be disabled
	Session        uuid.UUID // this session of the user is live
	Epoch          int64     // User.Epoch is this; 0 is any
	Anonymous      bool      // the user is anonymous
	NoSecurityKeys bool      // the user has none
	SecurityKey    uuid.UUID // the user has this security key
	NoTOTP         bool      // the user has no TOTPSecret
}

// UserSet are new values of a user's fields. Nil leaves a field as it is.
type UserSet struct {
	Email         *Email
	EmailVerified *bool
	Phone         *string
	PhoneVerified *bool
	Disabled      *bool
	Anonymous     *bool
	DisplayName   *string
	AvatarURL     *string
	Locale        *string
	DefaultRole   *string
	Roles         []string
	Metadata      json.RawMessage
	PasswordHash  *string
	TOTPSecret    *[]byte
	TOTPPending   *[]byte
	RecoveryCodes *[][]byte
}

// Email is an address in its two forms, see [User].
type Email struct{ Typed, Key string }

// Drop is what a change takes away from a user.
type Drop struct {
	Sessions     bool      // all of them
	KeepSession  uuid.UUID // but not this one
	PATs         bool      // and the sessions opened with them
	SecurityKeys bool
	Identities   bool
	Tickets      []string // all of these kinds
	AllTickets   bool
}

// KeyUse is one successful assertion.
type KeyUse struct {
	ID           uuid.UUID
	WasSignCount uint32 // what the record said when the assertion was checked; still must
	SignCount    uint32
	BackupState  bool
	UserVerified bool // true is kept once seen
}

// IdentityTokens are the sealed tokens of an [Identity].
type IdentityTokens struct {
	Key    IdentityKey
	Tokens []byte
}

// KeyName renames a security key.
type KeyName struct {
	ID       uuid.UUID
	Nickname string
}
