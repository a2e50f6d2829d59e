package auth

import (
	"cmp"
	"context"
	"encoding/base32"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/internal/emailaddr"
	"github.com/ostiary/auth/internal/passhash"
	"github.com/ostiary/auth/internal/phone"
	"github.com/ostiary/auth/store"
)

// ImportUserParams is a user who comes from elsewhere, with an address, a number or an account at an identity provider at
// least. The caller is trusted: what is said to be verified is.
type ImportUserParams struct {
	// ID is what the user is known by elsewhere, so that rows which refer to it stay true. Zero is a new one.
	ID uuid.UUID
	// CreatedAt is when the user came into being elsewhere. Zero is now.
	CreatedAt time.Time

	Email         string // empty for none
	EmailVerified bool
	Phone         string // in international form, see [UserBy]; empty for none
	PhoneVerified bool

	// PasswordHash is an Argon2id, Argon2i, scrypt or PBKDF2 hash in PHC format (passlib's and Django's forms of PBKDF2
	// included) or a bcrypt hash; empty for a user without a password. It is replaced by an Argon2id one at the next
	// sign-in.
	PasswordHash string
	// TOTPSecret is that of the user's authenticator app, in base32 with or without padding, of 10 to 64 bytes, for codes of
	// six digits and thirty seconds by HMAC-SHA-1 (RFC 6238); empty for a user without a second factor. Whoever has one is asked
	// for it at the next sign-in. There are no recovery codes until the user makes some.
	TOTPSecret string
	// Identities are the user's accounts at identity providers, with which they sign in.
	Identities []ImportIdentity

	// Options are those of a sign-up, except that any role and any display name will do, and RedirectTo is ignored.
	Options   SignUpOptions
	AvatarURL string // empty for that of Config.Gravatar
	Disabled  bool
}

// ImportIdentity is an account at an identity provider.
type ImportIdentity struct {
	Provider string // its name in Config.Providers or Config.IDTokens, where it need not be yet
	Subject  string // the provider's id of the account, exactly as the provider gives it
	Email    string // what the provider last reported, for show
}

// Format keeps the hash and the secret out of logs, whatever the verb.
func (ImportUserParams) Format(f fmt.State, _ rune) { hide(f) }

// LogValue is [ImportUserParams.Format] for package slog.
func (ImportUserParams) LogValue() slog.Value { return slog.StringValue(redacted) }

// ImportUser creates a user on the service's authority, without a session or a letter. Hooks run as for a sign-up. The user
// comes with all that p says, or not at all. It costs one round trip to the store, and one more for each identity but the first.
//
// Errors: [ErrInvalidRequest] for an address, a number, a hash, a secret, a role or an identity that cannot be used, the hash's
// cost being out of bounds included, and for an id or a number that another user has; [ErrEmailAlreadyInUse];
// [ErrProviderAccountLinked] for an identity that another user has; [ErrDefaultRoleNotAllowed].
func (e *Engine) ImportUser(ctx context.Context, p ImportUserParams) (_ *User, err error) {
	defer e.begin(&ctx, "ImportUser").end(&err)
	u, err := e.imported(p)
	if err != nil {
		return nil, err
	}
	identities, err := importedIdentities(p.Identities, u.CreatedAt)
	if err != nil {
		return nil, err
	}
	if u, err = e.signUp(ctx, u, "import"); err != nil {
		return nil, err
	}
	n := store.NewUser{User: u}
	if len(identities) != 0 {
		n.Identity = &identities[0]
	}
	if len(identities) > 1 { // a sign-up has one at most
		n.Within = func(ctx context.Context, u store.User) error {
			for i := 1; i < len(identities); i++ {
				more := store.UserChange{UserID: u.ID, Now: u.UpdatedAt, If: store.Conditions{Disabled: true}, Identity: &identities[i]}
				if _, err := e.store.ChangeUser(ctx, more); err != nil {
					return err
				}
			}
			return nil
		}
	}
	u, err = e.create(ctx, n, "import")
	switch {
	case errors.Is(err, store.ErrConflict{Field: store.FieldID}):
		return nil, ErrInvalidRequest.saying("there is a user with this id").because(err)
	case errors.Is(err, store.ErrConflict{Field: store.FieldPhone}):
		return nil, ErrInvalidRequest.saying("there is a user with this number").because(err)
	case errors.Is(err, store.ErrConflict{Field: store.FieldIdentity}):
		return nil, ErrProviderAccountLinked.because(err)
	case err != nil:
		return nil, taken(err)
	}
	return publicUser(&u), nil
}

// imported is the user that p describes.
func (e *Engine) imported(p ImportUserParams) (store.User, error) {
	var address emailaddr.Address
	var number string
	var err error
	if p.Email != "" {
		if address, err = emailaddr.Parse(p.Email); err != nil {
			return store.User{}, ErrInvalidRequest.saying("email is not an address").because(err)
		}
	}
	if p.Phone != "" {
		if number, err = phone.Parse(p.Phone); err != nil {
			return store.User{}, ErrInvalidRequest.saying("phone is not a number in international form").because(err)
		}
	}
	if p.Email == "" && p.Phone == "" && len(p.Identities) == 0 {
		return store.User{}, ErrInvalidRequest.saying("an address, a number or an identity is required")
	}
	if p.PasswordHash != "" {
		if err := passhash.Validate(p.PasswordHash); err != nil {
			return store.User{}, ErrInvalidRequest.saying("the password hash cannot be used").because(err)
		}
	}

	o := p.Options
	u, err := e.newUser(SignUpOptions{Locale: o.Locale, Metadata: o.Metadata}, cmp.Or(o.DisplayName, address.Typed, number))
	if err != nil {
		return u, err
	}
	if o.AllowedRoles != nil {
		if slices.ContainsFunc(o.AllowedRoles, func(role string) bool { return !isRole(role) }) {
			return u, ErrInvalidRequest.saying("a role is empty or has blanks")
		}
		u.Roles = unique(o.AllowedRoles)
	}
	u.DefaultRole = cmp.Or(o.DefaultRole, u.DefaultRole)
	if !slices.Contains(u.Roles, u.DefaultRole) {
		return u, ErrDefaultRoleNotAllowed
	}
	u.LastSeenAt = u.UpdatedAt // they have been seen elsewhere
	if p.ID != uuid.Nil {
		u.ID = p.ID
	}
	if !p.CreatedAt.IsZero() {
		if u.CreatedAt = p.CreatedAt.UTC().Truncate(time.Microsecond); u.CreatedAt.After(u.UpdatedAt) {
			return u, ErrInvalidRequest.saying("the user is from the future")
		}
	}
	if p.TOTPSecret != "" {
		secret, err := totpSecret(p.TOTPSecret)
		if err != nil {
			return u, ErrInvalidRequest.saying("the TOTP secret cannot be used").because(err)
		}
		u.TOTPSecret = e.box.Seal("totp", u.ID[:], secret)
	}
	u.Email, u.EmailKey, u.EmailVerified = address.Typed, address.Canonical, p.EmailVerified && p.Email != ""
	u.Phone, u.PhoneVerified = number, p.PhoneVerified && p.Phone != ""
	u.AvatarURL, u.PasswordHash, u.Disabled = p.AvatarURL, p.PasswordHash, p.Disabled
	if u.AvatarURL == "" && p.Email != "" {
		u.AvatarURL = e.gravatar(address)
	}
	return u, nil
}

// totpSecret reads a secret as apps and servers write it. The error never repeats it.
func totpSecret(text string) ([]byte, error) {
	text = strings.ToUpper(strings.TrimRight(strings.ReplaceAll(text, " ", ""), "="))
	secret, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(text)
	if err != nil {
		return nil, errors.New("not base32")
	}
	if len(secret) < 10 || len(secret) > 64 {
		return nil, fmt.Errorf("%d bytes", len(secret))
	}
	return secret, nil
}

// importedIdentities checks the identities of a user.
func importedIdentities(list []ImportIdentity, at time.Time) ([]store.Identity, error) {
	var rows []store.Identity
	for _, i := range list {
		wrong := ErrInvalidRequest.saying("an identity cannot be used")
		switch {
		case !providerName.MatchString(i.Provider):
			return nil, wrong.because(fmt.Errorf("%q is not the name of a provider", i.Provider))
		case i.Subject == "" || shorten(i.Subject, maxSubject) != i.Subject:
			return nil, wrong.because(errors.New("the provider's id of the account is empty, too long or not text"))
		case slices.ContainsFunc(rows, func(row store.Identity) bool {
			return row.Key() == store.IdentityKey{Provider: i.Provider, Subject: i.Subject}
		}):
			return nil, wrong.because(errors.New("it is there twice"))
		}
		rows = append(rows, store.Identity{Provider: i.Provider, Subject: i.Subject, Email: i.Email, CreatedAt: at, LastUsedAt: at})
	}
	return rows, nil
}
