package auth

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // Gravatar's address is defined as an MD5
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/ostiary/auth/internal/emailaddr"
	"github.com/ostiary/auth/internal/phone"
	"github.com/ostiary/auth/internal/strictjson"
	"github.com/ostiary/auth/store"
)

// RolesConfig says which roles users get.
type RolesConfig struct {
	// Default is the role of a user who asks for no other. The default is "user".
	Default string
	// Allowed are the roles that a user gets, and may ask for a part of, at sign-up. Default is always among them. The
	// default is "me".
	Allowed []string
}

// LocalesConfig says in which languages users are written to.
type LocalesConfig struct {
	Default string   // the language of a user who asks for no other that is allowed; default "en"
	Allowed []string // the languages that users may have: ISO 639 codes of two or three letters. Default is always among them
}

// GravatarConfig gives users without a picture one from gravatar.com. The URL holds the MD5 of the e-mail address, from
// which the address can be guessed by anyone who sees it.
type GravatarConfig struct {
	// Default is the picture of users who have none there: "blank", "identicon", "monsterid", "wavatar", "retro", "robohash", "mp" or
	// "404". The default is "blank".
	Default string
	// Rating is the strictest rating that every picture must meet: "g", "pg", "r" or "x". The default is "g".
	Rating string
}

func (c *RolesConfig) withDefaults(m *mistakes) {
	def(&c.Default, "user")
	if c.Allowed == nil {
		c.Allowed = []string{"me"}
	}
	m.each("Roles", c.Default, c.Allowed, isRole, "is empty or has blanks")
	c.Allowed = with(c.Allowed, c.Default)
}

func (c *LocalesConfig) withDefaults(m *mistakes) {
	def(&c.Default, "en")
	m.each("Locales", c.Default, c.Allowed, isLocale, "is not two or three lower-case letters")
	c.Allowed = with(c.Allowed, c.Default)
}

func (g *GravatarConfig) withDefaults(m *mistakes) *GravatarConfig {
	c := *g
	def(&c.Default, "blank")
	def(&c.Rating, "g")
	m.oneOf("Gravatar.Default", c.Default, "blank", "identicon", "monsterid", "wavatar", "retro", "robohash", "mp", "404")
	m.oneOf("Gravatar.Rating", c.Rating, "g", "pg", "r", "x")
	return &c
}

// each checks the default and every entry of a list.
func (m *mistakes) each(section, first string, list []string, ok func(string) bool, wrong string) {
	if !ok(first) {
		m.add(section+".Default", "%q %s", first, wrong)
	}
	for i, v := range list {
		if !ok(v) {
			m.add(fmt.Sprintf("%s.Allowed[%d]", section, i), "%q %s", v, wrong)
		}
	}
}

func isRole(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f })
}

func isLocale(s string) bool {
	return (len(s) == 2 || len(s) == 3) && !strings.ContainsFunc(s, func(r rune) bool { return r < 'a' || r > 'z' })
}

// User is an account as its owner sees it, in the JSON form of the documented API.
type User struct {
	ActiveMFAType       *string         `json:"activeMfaType"` // "totp", or nil
	AvatarURL           string          `json:"avatarUrl"`
	CreatedAt           time.Time       `json:"createdAt"`
	DefaultRole         string          `json:"defaultRole"`
	DisplayName         string          `json:"displayName"`
	Email               string          `json:"email,omitempty"` // as typed
	EmailVerified       bool            `json:"emailVerified"`
	ID                  uuid.UUID       `json:"id"`
	IsAnonymous         bool            `json:"isAnonymous"`
	Locale              string          `json:"locale"`
	Metadata            json.RawMessage `json:"metadata"` // a JSON object, or null
	PhoneNumber         string          `json:"phoneNumber,omitempty"`
	PhoneNumberVerified bool            `json:"phoneNumberVerified"`
	Roles               []string        `json:"roles"`

	// Disabled is for the service; it is not part of the documented form.
	Disabled bool `json:"-"`
}

func publicUser(u *store.User) *User {
	p := &User{
		AvatarURL:           u.AvatarURL,
		CreatedAt:           u.CreatedAt,
		DefaultRole:         u.DefaultRole,
		DisplayName:         u.DisplayName,
		Email:               u.Email,
		EmailVerified:       u.EmailVerified,
		ID:                  u.ID,
		IsAnonymous:         u.Anonymous,
		Locale:              u.Locale,
		Metadata:            u.Metadata,
		PhoneNumber:         u.Phone,
		PhoneNumberVerified: u.PhoneVerified,
		Roles:               u.Roles,
		Disabled:            u.Disabled,
	}
	if len(u.TOTPSecret) != 0 {
		p.ActiveMFAType = &totp
	}
	return p
}

var totp = "totp"

// SignUpOptions are what a client may say about the user whom it signs up. The zero value asks for nothing.
type SignUpOptions struct {
	AllowedRoles []string        // a part of Config.Roles.Allowed, which is the default; nil is not the same as empty
	DefaultRole  string          // must be in AllowedRoles
	DisplayName  string          // at most 32 characters: letters, digits, symbols, and " ,.'-"
	Locale       string          // a locale that is not allowed falls back to the default one
	Metadata     json.RawMessage // a JSON object
	RedirectTo   string          // where links in messages lead
}

var displayName = regexp.MustCompile(`^[\p{L}\p{N}\p{S} ,.'-]+$`)

// maxDisplayName is the documented bound, in characters.
const maxDisplayName = 32

func isDisplayName(s string) bool {
	return utf8.RuneCountInString(s) <= maxDisplayName && displayName.MatchString(s)
}

// newUser makes the user that o asks for. fallbackName is taken as it is.
func (e *Engine) newUser(o SignUpOptions, fallbackName string) (store.User, error) {
	now := e.now()
	u := store.User{
		ID: uuid.New(), CreatedAt: now, UpdatedAt: now,
		DisplayName: fallbackName,
		Locale:      e.locale(o.Locale),
		DefaultRole: e.config.Roles.Default,
		Roles:       e.config.Roles.Allowed,
		Disabled:    e.config.SignUp.DisableNewUsers,
	}
	if o.AllowedRoles != nil {
		for _, role := range o.AllowedRoles {
			if !slices.Contains(e.config.Roles.Allowed, role) {
				return u, ErrRoleNotAllowed
			}
		}
		u.Roles = unique(o.AllowedRoles)
	}
	if o.DefaultRole != "" {
		u.DefaultRole = o.DefaultRole
	}
	if !slices.Contains(u.Roles, u.DefaultRole) {
		return u, ErrDefaultRoleNotAllowed
	}
	if o.DisplayName != "" {
		if !isDisplayName(o.DisplayName) {
			return u, ErrInvalidRequest.saying("options.displayName must be at most 32 letters, digits, symbols, spaces or ,.'-")
		}
		u.DisplayName = o.DisplayName
	}
	var err error
	u.Metadata, err = e.metadata(o.Metadata)
	return u, err
}

// metadata checks that m is a JSON object of bounded size, and compacts it.
func (e *Engine) metadata(m json.RawMessage) (json.RawMessage, error) {
	if len(m) == 0 || string(m) == "null" {
		return nil, nil
	}
	if len(m) > e.config.SignUp.MaxMetadata {
		return nil, ErrInvalidRequest.saying(fmt.Sprintf("metadata must be at most %d bytes", e.config.SignUp.MaxMetadata))
	}
	if err := strictjson.Members(m, nil); err != nil {
		return nil, ErrInvalidRequest.saying("metadata must be an unmistakable JSON object").because(err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, m); err != nil {
		return nil, ErrInvalidRequest.saying("metadata must be a JSON object").because(err)
	}
	return compact.Bytes(), nil
}

// locale returns the wanted locale if it is an allowed one, and otherwise the default: a wish that cannot be met is no
// error (documented behaviour).
func (e *Engine) locale(want string) string {
	if slices.Contains(e.config.Locales.Allowed, want) {
		return want
	}
	return e.config.Locales.Default
}

// admits applies the access lists to a canonical address.
func (e *Engine) admits(emailKey string) bool {
	if e.rules.acl.Empty() {
		return true
	}
	a, err := emailaddr.Parse(emailKey)
	return err == nil && e.rules.acl.Allows(a)
}

// admit parses an address and applies the access lists.
func (e *Engine) admit(email string) (emailaddr.Address, error) {
	a, err := emailaddr.Parse(email)
	if err != nil {
		return a, ErrInvalidRequest.saying("email is not an address").because(err)
	}
	if !e.rules.acl.Allows(a) {
		return a, ErrInvalidEmailPassword.because(errors.New("the address is not admitted"))
	}
	return a, nil
}

func (e *Engine) gravatar(a emailaddr.Address) string {
	g := e.config.Gravatar
	if g == nil {
		return ""
	}
	sum := md5.Sum([]byte(a.Canonical)) //nolint:gosec // as above
	return "https://www.gravatar.com/avatar/" + hex.EncodeToString(sum[:]) +
		"?d=" + url.QueryEscape(g.Default) + "&r=" + url.QueryEscape(g.Rating)
}

// signUp passes a user about to be created through the service's hook and returns them as amended.
func (e *Engine) signUp(ctx context.Context, u store.User, method string) (store.User, error) {
	h := e.config.Hooks.BeforeSignUp
	if h == nil {
		return u, nil
	}
	s := &SignUp{
		Method: method, Email: u.Email, Phone: u.Phone, Anonymous: u.Anonymous,
		DisplayName: u.DisplayName, AvatarURL: u.AvatarURL, Locale: u.Locale,
		DefaultRole: u.DefaultRole, Roles: slices.Clone(u.Roles), Metadata: u.Metadata,
	}
	if err := hook("BeforeSignUp", func() error { return h(ctx, s) }); err != nil {
		e.emit(ctx, Event{Type: EventSignUpFailed, Method: method, Code: codeOf(err)})
		return u, err
	}
	// A hook can narrow what a user gets and never widen it.
	for _, role := range s.Roles {
		if !slices.Contains(u.Roles, role) {
			return u, fmt.Errorf("hook BeforeSignUp: %w", ErrRoleNotAllowed)
		}
	}
	if !slices.Contains(s.Roles, s.DefaultRole) {
		return u, fmt.Errorf("hook BeforeSignUp: %w", ErrDefaultRoleNotAllowed)
	}
	if s.DisplayName != u.DisplayName && !isDisplayName(s.DisplayName) {
		return u, fmt.Errorf("hook BeforeSignUp: display name: %w", ErrInvalidRequest)
	}
	var err error
	u.DisplayName, u.AvatarURL, u.Locale = s.DisplayName, s.AvatarURL, e.locale(s.Locale)
	u.DefaultRole, u.Roles = s.DefaultRole, s.Roles
	u.Metadata, err = e.metadata(s.Metadata)
	return u, err
}

// create writes a new user, with the service's hook inside, and tells.
func (e *Engine) create(ctx context.Context, n store.NewUser, method string) (store.User, error) {
	if h, first := e.config.Hooks.UserCreated, n.Within; h != nil {
		n.Within = func(ctx context.Context, u store.User) error {
			if first != nil {
				if err := first(ctx, u); err != nil {
					return err
				}
			}
			return hook("UserCreated", func() error { return h(ctx, publicUser(&u)) })
		}
	}
	u, err := e.store.CreateUser(ctx, n)
	if err != nil {
		return u, err
	}
	e.emit(ctx, Event{Type: EventUserCreated, UserID: u.ID, Method: method})
	return u, nil
}

// User returns the principal's account, read from the store.
//
// Errors: [ErrUnauthenticated] if the account or the principal's session is gone; otherwise the account's state, as at
// [Engine.Refresh].
func (e *Engine) User(ctx context.Context, principal *Principal) (_ *User, err error) {
	defer e.begin(&ctx, "User").end(&err)
	a, err := e.account(ctx, principal, 0)
	if err != nil {
		return nil, err
	}
	return publicUser(&a.User), nil
}

// account reads the account of a principal whose session lives and who may come in. A principal whose token names no
// session is taken at their word.
func (e *Engine) account(ctx context.Context, principal *Principal, with store.With) (store.Account, error) {
	if principal == nil {
		return store.Account{}, ErrUnauthenticated
	}
	q := store.UserQuery{SessionID: principal.SessionID, With: with, Now: e.now()}
	if principal.SessionID == uuid.Nil {
		q.ID = principal.UserID
	}
	a, err := e.store.User(ctx, q)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return a, ErrUnauthenticated.because(err)
	case err != nil:
		return a, fmt.Errorf("find user: %w", err)
	case a.ID != principal.UserID:
		return a, ErrUnauthenticated
	}
	return a, e.mayEnter(&a.User)
}

// UserBy names an account: exactly one field is set.
type UserBy struct {
	ID    uuid.UUID
	Email string // in any spelling
	Phone string // in international form: "+" and digits, visual separators allowed
}

// FindUser returns any account, for the service: the caller is trusted and no state is checked.
//
// Errors: [ErrNotFound]; [ErrInvalidRequest] if Email is not an address or Phone not a number.
func (e *Engine) FindUser(ctx context.Context, by UserBy) (_ *User, err error) {
	defer e.begin(&ctx, "FindUser").end(&err)
	q := store.UserQuery{ID: by.ID}
	if by.Phone != "" {
		if q.Phone, err = phone.Parse(by.Phone); err != nil {
			return nil, ErrInvalidRequest.saying("phone is not a number in international form").because(err)
		}
	}
	if by.Email != "" {
		a, err := emailaddr.Parse(by.Email)
		if err != nil {
			return nil, ErrInvalidRequest.saying("email is not an address").because(err)
		}
		q.EmailKey = a.Canonical
	}
	a, err := e.find(ctx, q)
	if err != nil {
		return nil, err
	}
	return publicUser(&a.User), nil
}

// find reads any account, for what happens on the service's authority.
func (e *Engine) find(ctx context.Context, q store.UserQuery) (store.Account, error) {
	q.Now = e.now()
	a, err := e.store.User(ctx, q)
	if errors.Is(err, store.ErrNotFound) {
		return a, ErrNotFound.because(err)
	}
	if err != nil {
		return a, fmt.Errorf("find user: %w", err)
	}
	return a, nil
}

// ListUsers returns accounts in the order of their ids, for the service: at most limit, those after the given one. Begin
// with the zero UUID and end with an empty page.
func (e *Engine) ListUsers(ctx context.Context, after uuid.UUID, limit int) (_ []User, err error) {
	defer e.begin(&ctx, "ListUsers").end(&err)
	if limit < 1 {
		return nil, ErrInvalidRequest.saying("limit must be at least 1")
	}
	page, err := e.store.Users(ctx, after, limit)
	if err != nil {
		return nil, err
	}
	users := make([]User, len(page))
	for i := range page {
		users[i] = *publicUser(&page[i])
	}
	return users, nil
}

// UserUpdate is what a service may change of an account. Nil leaves a field as it is.
//
// EmailVerified false says that nobody has shown the address to be theirs. The next proof of it counts as the first, with all
// that [Engine.VerifyTicket] says of that: if it is not by the verification link, which [Engine.SendVerificationEmail] sends,
// every way in that was set before goes, the second factor included, and whoever reads the mailbox has the account. To keep
// somebody out, disable them.
type UserUpdate struct {
	DisplayName   *string
	AvatarURL     *string
	Locale        *string // must be allowed
	DefaultRole   *string // must be among the user's roles after the change
	Roles         []string
	Metadata      json.RawMessage // a JSON object; "{}" empties it
	EmailVerified *bool
	Disabled      *bool
}

// UpdateUser changes an account on the service's authority: the caller is trusted. New roles and metadata show in the
// next access token.
//
// Disabling a user stops every refresh and every sign-in at once, with [ErrDisabledUser]; access tokens live on until
// they expire, unless Config.Sessions.CheckOnVerify is set. Enabling again ends all sessions from before, and voids links and codes.
//
// It costs one round trip, and two where roles change.
//
// Errors: [ErrNotFound]; [ErrLocaleNotAllowed]; [ErrDefaultRoleNotAllowed]; [ErrInvalidRequest] for metadata that is no
// object and for a role that is empty or has blanks.
func (e *Engine) UpdateUser(ctx context.Context, id uuid.UUID, p UserUpdate) (_ *User, err error) {
	defer e.begin(&ctx, "UpdateUser").end(&err)
	if p.Locale != nil && !slices.Contains(e.config.Locales.Allowed, *p.Locale) {
		return nil, ErrLocaleNotAllowed
	}
	if slices.ContainsFunc(p.Roles, func(role string) bool { return !isRole(role) }) {
		return nil, ErrInvalidRequest.saying("a role is empty or has blanks")
	}
	metadata, err := e.metadata(p.Metadata)
	if err != nil {
		return nil, err
	}
	change := store.UserChange{
		UserID: id, Now: e.now(), If: store.Conditions{Disabled: true},
		Set: store.UserSet{
			DisplayName: p.DisplayName, AvatarURL: p.AvatarURL, Locale: p.Locale,
			DefaultRole: p.DefaultRole, Roles: unique(p.Roles), Metadata: metadata,
			EmailVerified: p.EmailVerified, Disabled: p.Disabled,
		},
	}
	if p.Disabled != nil && !*p.Disabled {
		change.Drop = store.Drop{Sessions: true, AllTickets: true}
	}
	if p.EmailVerified != nil && *p.EmailVerified {
		// As in proven: a sign-up that would replace this one comes too late.
		change.Drop.Tickets = []string{kindVerifyEmail}
	}
	if p.Roles != nil || p.DefaultRole != nil {
		if err := e.checkRoles(ctx, &change); err != nil {
			return nil, err
		}
	}
	u, err := e.store.ChangeUser(ctx, change)
	if errors.Is(err, store.ErrNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("change user: %w", err)
	}
	e.emit(ctx, Event{Type: EventUserUpdated, UserID: id})
	if p.Disabled != nil {
		what := EventUserEnabled
		if *p.Disabled {
			what = EventUserDisabled
		}
		e.emit(ctx, Event{Type: what, UserID: id})
	}
	if p.Roles != nil || p.DefaultRole != nil {
		e.emit(ctx, Event{Type: EventRolesChanged, UserID: id})
	}
	if p.EmailVerified != nil && *p.EmailVerified {
		e.emit(ctx, Event{Type: EventEmailVerified, UserID: id, Detail: byTheService})
	}
	return publicUser(&u), nil
}

// checkRoles sees to it that the default role stays among the user's roles.
func (e *Engine) checkRoles(ctx context.Context, c *store.UserChange) error {
	a, err := e.find(ctx, store.UserQuery{ID: c.UserID})
	if err != nil {
		return err
	}
	role, roles := a.DefaultRole, a.Roles
	if c.Set.DefaultRole != nil {
		role = *c.Set.DefaultRole
	}
	if c.Set.Roles != nil {
		roles = c.Set.Roles
	}
	if !slices.Contains(roles, role) {
		return ErrDefaultRoleNotAllowed
	}
	return nil
}

// unique returns list without repetitions, in its order; nil is nil.
func unique(list []string) []string {
	if list == nil {
		return nil
	}
	out := make([]string, 0, len(list))
	for _, s := range list {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
