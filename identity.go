package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ostiary/auth/internal/emailaddr"
	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/store"
)

// somebody has shown an account at a provider. What the provider says of it is checked here and nowhere else.
type somebody struct {
	key      store.IdentityKey
	address  *emailaddr.Address // nil where there is none that can be used
	verified bool               // by the provider
	name     string             // for display
	picture  string
	tokens   []byte // sealed; nil where none are kept
}

// maxSubject bounds the provider's id of an account, in characters (OpenID Connect Core §2).
const maxSubject = 255

// somebody reads a profile. It may be wrong in every part: what is not needed and no good is left out.
func (e *Engine) somebody(name string, p provider.Profile) (*somebody, error) {
	if p.Subject == "" || shorten(p.Subject, maxSubject) != p.Subject {
		return nil, ErrOAuthProfileFetchFailed.because(errors.New("the provider's id of the account is empty, too long or not text"))
	}
	s := &somebody{key: store.IdentityKey{Provider: name, Subject: p.Subject}, name: cleanName(p.Name), picture: cleanPicture(p.Picture)}
	s.name = cmp.Or(s.name, cleanName(p.Subject), name)
	if p.Email == "" {
		return s, nil
	}
	address, err := emailaddr.Parse(p.Email)
	switch {
	case err == nil && e.rules.acl.Allows(address):
		s.address, s.verified = &address, p.EmailVerified
	case !e.rules.acl.Empty():
		return nil, ErrInvalidEmailPassword.because(errors.New("the address at the provider is not admitted"))
	}
	return s, nil
}

// cleanName makes a display name of what a provider calls somebody: what [SignUpOptions] allow of it.
func cleanName(s string) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n == maxDisplayName {
			break
		}
		if displayName.MatchString(string(r)) {
			b.WriteRune(r)
			n++
		}
	}
	return strings.TrimSpace(b.String())
}

// cleanPicture accepts the address of a picture that a page can show.
func cleanPicture(s string) string {
	const most = 2048
	u, err := url.Parse(s)
	if err != nil || len(s) > most || !utf8.ValidString(s) || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return ""
	}
	return u.String()
}

// row is the identity as a user's.
func (s *somebody) row(now time.Time) *store.Identity {
	i := &store.Identity{Provider: s.key.Provider, Subject: s.key.Subject, CreatedAt: now, LastUsedAt: now, Tokens: s.tokens}
	if s.address != nil {
		i.Email = s.address.Typed
	}
	return i
}

// emailKey is the address to compare with, or nothing.
func (s *somebody) emailKey() string {
	if s.address == nil {
		return ""
	}
	return s.address.Canonical
}

// resolution is what becomes of somebody who has shown an account at a provider.
type resolution int

const (
	known     resolution = iota // they are a known user
	proves                      // the same, and prove the user's address by it for the first time
	sameOwner                   // they are a user by their address, which both sides have verified
	displaces                   // they are a user by their address, which nobody had verified before
	newcomes                    // they are nobody yet
	doubtful                    // they may not be who they seem to be
)

// resolve is the table of [Engine.FinishProvider]. a is the user with the account at the provider, or else the user with the
// address, or nil.
func (s *somebody) resolve(a *store.Account) resolution {
	switch {
	case a == nil:
		return newcomes
	case hasIdentity(a, s.key) && s.verified && !a.EmailVerified && a.EmailKey == s.emailKey():
		return proves
	case hasIdentity(a, s.key):
		return known
	case !s.verified:
		return doubtful
	case slices.ContainsFunc(a.Identities, func(i store.Identity) bool { return i.Provider == s.key.Provider }) && a.EmailVerified:
		return doubtful
	case a.EmailVerified:
		return sameOwner
	default:
		return displaces
	}
}

func hasIdentity(a *store.Account, key store.IdentityKey) bool {
	return indexOfIdentity(a.Identities, key) >= 0
}

func indexOfIdentity(identities []store.Identity, key store.IdentityKey) int {
	return slices.IndexFunc(identities, func(i store.Identity) bool { return i.Key() == key })
}

// enterBySomebody lets somebody in who has shown an account at a provider.
func (e *Engine) enterBySomebody(ctx context.Context, s *somebody, o SignUpOptions, challenge string) (*SignInResult, error) {
	for range 3 { // they, or their address, may become known between the look and what follows: by a second click, say
		q := store.UserQuery{Identity: s.key, EmailKey: s.emailKey(), With: store.WithIdentities, Now: e.now()}
		a, err := e.store.User(ctx, q)
		found := &a
		if errors.Is(err, store.ErrNotFound) {
			found = nil
		} else if err != nil {
			return nil, fmt.Errorf("find user: %w", err)
		}
		var in *SignInResult
		switch what := s.resolve(found); what {
		case newcomes:
			in, err = e.signUpSomebody(ctx, s, o, challenge)
		case doubtful:
			in, err = e.doubt(ctx, s, found, o, challenge)
		default:
			in, err = e.enterAs(ctx, s, found, what, challenge)
		}
		if !changedMeanwhile(err) {
			return in, overtaken(err)
		}
	}
	return nil, ErrInternal.because(errors.New("the account changed whenever it had been looked at"))
}

// changedMeanwhile reports whether what was decided on is not so any more.
func changedMeanwhile(err error) bool {
	return errors.Is(err, store.ErrConflict{Field: store.FieldIdentity}) || errors.Is(err, store.ErrConflict{Field: store.FieldEmail}) ||
		errors.Is(err, store.ErrUnmet{Condition: store.ConditionEpoch}) || errors.Is(err, store.ErrNotFound)
}

// enterAs lets somebody in as a user who exists.
func (e *Engine) enterAs(ctx context.Context, s *somebody, a *store.Account, what resolution, challenge string) (*SignInResult, error) {
	u, change := a.User, &store.UserChange{}
	switch what {
	case displaces, proves:
		e.proven(&u, kindState, change)
		u.EmailVerified = true
	case sameOwner:
		if len(a.Identities) >= maxIdentities {
			return nil, errTooManyIdentities
		}
	}
	in, err := e.enter(ctx, entry{
		user: u, method: methodOf(s.key.Provider), amr: amrProvider, change: change, challenge: challenge,
		visit: &visit{Identity: *s.row(e.now()), Link: what == sameOwner || what == displaces, Tell: what == sameOwner},
	})
	if err != nil {
		return nil, err
	}
	if !a.EmailVerified && u.EmailVerified {
		e.emit(ctx, Event{Type: EventEmailVerified, UserID: u.ID, SessionID: sessionOf(in), Detail: displaced})
	}
	return in, nil
}

// visit is what an account at a provider brings into a session: it is written together with the session, after a second
// factor and the exchange of a code, and not before.
type visit struct {
	Identity store.Identity `json:"identity"`
	Link     bool           `json:"link,omitempty"` // it is new to the user
	Tell     bool           `json:"tell,omitempty"` // and they get a letter
}

// bring adds a visit to the change that opens the session.
func (e *Engine) bring(ctx context.Context, v *visit, u *store.User, c *store.UserChange) (letters, error) {
	if v == nil {
		return nil, nil
	}
	c.Identity = &v.Identity
	if !v.Tell {
		return nil, nil
	}
	told, err := e.linkNotice(ctx, u, v.Identity.Provider)
	c.Messages = append(slices.Clone(c.Messages), told.rows()...)
	return told, err
}

// brought tells what a visit has brought.
func (e *Engine) brought(ctx context.Context, v *visit, session *store.Session, told letters) {
	if v == nil || !v.Link {
		return
	}
	e.emit(ctx, Event{Type: EventIdentityLinked, UserID: session.UserID, SessionID: session.ID, Detail: v.Identity.Provider})
	e.deliver(ctx, told...)
}

// linkedMeanwhile translates the store's word that an account at a provider has become another user's.
func linkedMeanwhile(err error) error {
	if errors.Is(err, store.ErrConflict{Field: store.FieldIdentity}) {
		return ErrProviderAccountLinked.because(err)
	}
	return err
}

// doubt answers somebody whose address is a user's, which does not show that they are that user. Where a new user would only
// get a letter, and errors are concealed, they see no difference.
func (e *Engine) doubt(ctx context.Context, s *somebody, a *store.Account, o SignUpOptions, challenge string) (*SignInResult, error) {
	byLetter := !s.verified && !e.config.Email.AllowUnverified
	if byLetter && e.abandoned(&a.User) {
		return e.signUpSomebody(ctx, s, o, challenge)
	}
	method := methodOf(s.key.Provider)
	failed := Event{Type: EventSignUpFailed, UserID: a.ID, Method: method, Code: CodeEmailAlreadyInUse}
	if !byLetter || !e.config.ConcealErrors || e.config.SignUp.Disabled || e.config.SignUp.DisableNewUsers {
		e.emit(ctx, failed)
		return nil, ErrEmailAlreadyInUse.because(errors.New("an address alone does not show that this is its user"))
	}
	if err := e.mayWriteOnSignUp(ctx, s.emailKey()); err != nil {
		return nil, err
	}
	if a.EmailVerified {
		return e.signUpTaken(ctx, a.User, method)
	}
	if err := e.pretend(ctx, failed); err != nil {
		return nil, err
	}
	return &SignInResult{}, nil
}

// signUpSomebody signs somebody up, in the place of a sign-up that has been abandoned if there is one. Where their letter is to
// lead has been checked.
func (e *Engine) signUpSomebody(ctx context.Context, s *somebody, o SignUpOptions, challenge string) (*SignInResult, error) {
	if e.config.SignUp.Disabled {
		return nil, ErrSignUpDisabled
	}
	if c := &e.config.Email; s.address == nil && len(c.AllowedAddresses)+len(c.AllowedDomains) > 0 {
		return nil, ErrInvalidEmailPassword.because(errors.New("there is no address to be on the lists"))
	}
	u, err := e.newUser(o, s.name)
	if err != nil {
		return nil, err
	}
	if s.address != nil {
		u.Email, u.EmailKey, u.EmailVerified = s.address.Typed, s.address.Canonical, s.verified
		u.AvatarURL = e.gravatar(*s.address)
	}
	if s.picture != "" {
		u.AvatarURL = s.picture
	}
	if err := e.mayJoin(ctx); err != nil {
		return nil, err
	}
	method := methodOf(s.key.Provider)
	if u, err = e.signUp(ctx, u, method); err != nil {
		return nil, err
	}
	n := newcomer{
		user: store.NewUser{User: u, Identity: s.row(u.CreatedAt)}, method: method, redirectTo: o.RedirectTo, challenge: challenge,
	}
	if u.Disabled || s.address != nil && !s.verified && !e.config.Email.AllowUnverified {
		if err := e.mayWriteOnSignUp(ctx, u.EmailKey); err != nil {
			return nil, err
		}
		return e.enrol(ctx, n, e.replaceAbandoned)
	}
	return e.enter(ctx, entry{user: u, method: method, amr: amrProvider, create: &n.user, challenge: challenge})
}

// abandoned reports whether a user is nothing but a sign-up that nobody has proven in the time that there was for it.
func (e *Engine) abandoned(u *store.User) bool {
	return pending(u) && !e.now().Before(u.UpdatedAt.Add(e.config.Tickets.VerifyEmail))
}

// replaceAbandoned puts a sign-up in the place of one that has been abandoned; of any other address it says that it is taken.
func (e *Engine) replaceAbandoned(ctx context.Context, n newcomer) (*SignInResult, error) {
	a, err := e.store.User(ctx, store.UserQuery{EmailKey: n.user.User.EmailKey, Now: e.now()})
	if err != nil {
		return nil, err
	}
	if !e.abandoned(&a.User) {
		return nil, ErrEmailAlreadyInUse // taken a moment ago
	}
	return e.replaceSignUp(ctx, a.User, n)
}

// finishLink links somebody to the user who began to, in the session in which they did, if the rule still holds by which they
// might: whoever has become safer since is.
func (e *Engine) finishLink(ctx context.Context, a *attempt, s *somebody) error {
	account, err := e.account(ctx, &Principal{UserID: a.UserID, SessionID: a.SessionID}, store.WithIdentities)
	if err != nil {
		return err
	}
	return e.link(ctx, &account, a.If, s)
}

// maxIdentities bounds the accounts at providers of one user.
const maxIdentities = 50

var errTooManyIdentities = ErrInvalidRequest.saying(fmt.Sprintf("there are %d accounts at providers already", maxIdentities))

// link makes an account at a provider a user's.
func (e *Engine) link(ctx context.Context, a *store.Account, rule store.Conditions, s *somebody) error {
	if hasIdentity(a, s.key) {
		return ErrProviderAccountLinked
	}
	if len(a.Identities) >= maxIdentities {
		return errTooManyIdentities
	}
	told, err := e.linkNotice(ctx, &a.User, s.key.Provider)
	if err != nil {
		return err
	}
	rule.Epoch = a.Epoch
	now := e.now()
	_, err = e.store.ChangeUser(ctx, store.UserChange{UserID: a.ID, Now: now, If: rule, Identity: s.row(now), Messages: told.rows()})
	if err != nil {
		return unprotected(linkedMeanwhile(err))
	}
	e.emit(ctx, Event{Type: EventIdentityLinked, UserID: a.ID, SessionID: rule.Session, Detail: s.key.Provider})
	e.deliver(ctx, told...)
	return nil
}

func (e *Engine) linkNotice(ctx context.Context, u *store.User, name string) (letters, error) {
	return e.noticeWith(ctx, "identity-linked", u, map[string]string{"provider": name})
}

// Identity is an account at a provider as its owner sees it.
type Identity struct {
	Provider   string    `json:"provider"`
	Subject    string    `json:"subject"`         // the provider's id of the account
	Email      string    `json:"email,omitempty"` // what the provider last reported
	CreatedAt  time.Time `json:"createdAt"`
	LastUsedAt time.Time `json:"lastUsedAt"`
}

func publicIdentities(list []store.Identity) []Identity {
	out := make([]Identity, len(list))
	for i, id := range list {
		out[i] = Identity{id.Provider, id.Subject, id.Email, id.CreatedAt, id.LastUsedAt}
	}
	return out
}

// ListIdentities returns the accounts at providers that are linked to the principal's, the oldest first. It costs one round
// trip.
//
// Errors: [ErrElevationRequired] in a session of a personal access token; otherwise as at [Engine.User].
func (e *Engine) ListIdentities(ctx context.Context, principal *Principal) (_ []Identity, err error) {
	defer e.begin(&ctx, "ListIdentities").end(&err)
	defer e.refusal(ctx, principal, "ListIdentities", &err)
	a, err := e.ownAccount(ctx, principal, store.WithIdentities)
	if err != nil {
		return nil, err
	}
	return publicIdentities(a.Identities), nil
}

// UnlinkParams names an account at a provider.
type UnlinkParams struct{ Provider, Subject string }

// Unlink ends that the principal comes in with an account at a provider. The last way in cannot be unlinked. It is protected,
// see [Engine.Elevate], and needs a step-up or a sign-in within the last ten minutes. The owner of a verified address gets a
// letter. It costs two round trips, and one more for the letter.
//
// Sessions go on; see [Engine.SignOut]. Whoever comes with the same account and the user's own verified address is linked to
// it again.
//
// Errors: [ErrForbiddenAnonymous]; [ErrElevationRequired]; [ErrNotFound] if the principal has no such identity, whoever else
// may; [ErrInvalidRequest] for the last way in; otherwise as at [Engine.User].
func (e *Engine) Unlink(ctx context.Context, principal *Principal, p UnlinkParams) (err error) {
	defer e.begin(&ctx, "Unlink").end(&err)
	defer e.refusal(ctx, principal, "Unlink", &err)
	a, rule, err := e.freshAccount(ctx, principal, store.WithIdentities)
	if err != nil {
		return err
	}
	key := store.IdentityKey(p)
	i := indexOfIdentity(a.Identities, key)
	if i < 0 {
		return ErrNotFound
	}
	left := a
	left.Identities = slices.Delete(slices.Clone(a.Identities), i, i+1)
	if !e.canSignIn(&left) {
		return ErrInvalidRequest.saying("this is the only way to sign in: add another before it is removed")
	}
	told, err := e.noticeWith(ctx, "identity-unlinked", &a.User, map[string]string{"provider": p.Provider})
	if err != nil {
		return err
	}
	rule.Epoch = a.Epoch // two of the last two at once would leave none
	_, err = e.store.ChangeUser(ctx, store.UserChange{
		UserID: a.ID, Now: e.now(), If: rule, RemoveIdentity: key, Messages: told.rows(),
	})
	if err != nil {
		return unprotected(err)
	}
	e.emit(ctx, Event{Type: EventIdentityUnlinked, UserID: a.ID, SessionID: principal.SessionID, Detail: p.Provider})
	e.deliver(ctx, told...)
	return nil
}

// opens reports whether somebody can come in with an identity: its provider is configured.
func (e *Engine) opens(i store.Identity) bool {
	return e.config.Providers[i.Provider] != nil || e.config.IDTokens[i.Provider] != nil
}
