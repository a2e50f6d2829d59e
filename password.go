package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ostiary/auth/internal/breach"
	"github.com/ostiary/auth/internal/commonpw"
	"github.com/ostiary/auth/internal/emailaddr"
	"github.com/ostiary/auth/internal/passhash"
	"github.com/ostiary/auth/internal/passnorm"
	"github.com/ostiary/auth/store"
)

// PasswordConfig turns on e-mail and password.
type PasswordConfig struct {
	// MinLength and MaxLength bound the length in Unicode code points, after normalisation. The defaults are 8 and
	// 128; MinLength below 8 is accepted and not advised (OWASP ASVS 5.0 6.2.1), and MaxLength is at least 64
	// (6.2.9) and at most 1024.
	MinLength, MaxLength int
	// AllowCommon turns off the built-in list of the most common passwords (OWASP ASVS 5.0 6.2.4).
	AllowCommon bool
	// ContextWords are passwords to refuse besides: the service's name, say (OWASP ASVS 5.0 6.2.11). The user's own
	// address always is.
	ContextWords []string
	// Breached, unless nil, is asked about every new password. If it fails, the password is accepted and an event of
	// type [EventBreachCheckFailed] emitted. See [HIBP].
	Breached BreachChecker

	// Argon2 sets the cost of new hashes. A hash of another kind or of lower cost is replaced when its user signs in.
	Argon2 Argon2
	// MaxHashes is how many passwords are hashed at once; each takes Argon2.MemoryKiB. Further ones wait, at most
	// MaxWaiting of them, and those beyond get [ErrTooManyRequests]. The defaults are GOMAXPROCS divided by Argon2.Threads
	// and 64 times MaxHashes.
	MaxHashes, MaxWaiting int

	// ChangeWithin is how long after they signed in a user may change their password without giving the current one
	// (OWASP ASVS 5.0 6.2.3). The default is 10 minutes. A step-up, and a link to reset it, will always do.
	ChangeWithin time.Duration
}

func (p *PasswordConfig) withDefaults(m *mistakes) *PasswordConfig {
	c := *p
	def(&c.MinLength, 8)
	def(&c.MaxLength, 128)
	m.within("Password.MinLength", c.MinLength, 1, c.MaxLength)
	m.within("Password.MaxLength", c.MaxLength, 64, 1024)
	def(&c.Argon2.MemoryKiB, 19*1024)
	def(&c.Argon2.Time, 2)
	def(&c.Argon2.Threads, 1)
	params := passhash.Params{MemoryKiB: c.Argon2.MemoryKiB, Time: c.Argon2.Time, Threads: c.Argon2.Threads}
	if err := params.Validate(); err != nil {
		m.add("Password.Argon2", "%w", err)
	}
	def(&c.ChangeWithin, 10*time.Minute)
	m.duration("Password.ChangeWithin", c.ChangeWithin, time.Second, 24*time.Hour)
	m.atLeast("Password.MaxHashes", c.MaxHashes, 0)
	m.atLeast("Password.MaxWaiting", c.MaxWaiting, 0)
	c.ContextWords = slices.Clone(c.ContextWords)
	return &c
}

// Argon2 are the cost parameters of Argon2id (RFC 9106).
type Argon2 struct {
	MemoryKiB uint32 // memory of one hash, in KiB; default 19456 (19 MiB)
	Time      uint32 // passes over the memory; default 2
	Threads   uint8  // lanes, which are computed in parallel; default 1
}

// BreachChecker knows passwords that have become public.
type BreachChecker interface {
	// Breached reports whether the password is known to attackers.
	Breached(ctx context.Context, password string) (bool, error)
}

const methodPassword = "password"

// amrPassword is RFC 8176's name for it.
var amrPassword = []string{"pwd"}

// SignUpPasswordParams is a new user with e-mail and password.
type SignUpPasswordParams struct {
	Email    string
	Password string
	Options  SignUpOptions
	// CodeChallenge asks for a code in place of a session in the redirect that follows the link; see
	// [Engine.ExchangeCode].
	CodeChallenge string
}

// Format keeps the password out of logs, whatever the verb.
func (p SignUpPasswordParams) Format(f fmt.State, _ rune) { hide(f) }

// LogValue is [SignUpPasswordParams.Format] for package slog.
func (p SignUpPasswordParams) LogValue() slog.Value { return slog.StringValue(redacted) }

// SignUpPassword creates a user who signs in with e-mail and password. Where addresses are verified
// (Config.Email.AllowUnverified is unset) the result has no session: a letter with a link is on its way, and following
// it signs the user in. It costs one round trip, and one more for the letter; with Config.ConcealErrors one more.
//
// Until the address is verified, signing up with it again and another password replaces the first attempt with all that
// belongs to it and voids its link, at the price of a few more round trips. With the same password nothing changes.
//
// Errors: [ErrDisabledEndpoint] without Config.Password; [ErrSignUpDisabled]; [ErrInvalidRequest] for an address,
// display name, metadata or password of the wrong form; [ErrInvalidEmailPassword] if the access lists refuse the
// address; [ErrPasswordTooShort] and [ErrPasswordBreached], the latter also for a password that is among the most common
// ones or is the address itself; [ErrRoleNotAllowed], [ErrDefaultRoleNotAllowed], [ErrRedirectNotAllowed];
// [ErrEmailAlreadyInUse]; [ErrDisabledUser] if Config.SignUp.DisableNewUsers is set, although the user was created;
// [ErrCaptchaFailed] with Config.Captcha; [ErrTooManyRequests] if the client signs up too often, too many passwords are being
// hashed, or too many letters go to the address.
func (e *Engine) SignUpPassword(ctx context.Context, p SignUpPasswordParams) (_ *SignInResult, err error) {
	defer e.begin(&ctx, "SignUpPassword").end(&err)
	if e.hasher == nil {
		return nil, ErrDisabledEndpoint
	}
	if e.config.SignUp.Disabled {
		return nil, ErrSignUpDisabled
	}
	if err := checkChallenge(p.CodeChallenge); err != nil {
		return nil, err
	}
	address, err := e.admit(p.Email)
	if err != nil {
		return nil, err
	}
	password, err := e.normalPassword(p.Password, address.Canonical)
	if err != nil {
		return nil, err
	}
	redirectTo, err := e.RedirectTo(p.Options.RedirectTo)
	if err != nil {
		return nil, err
	}
	u, err := e.newUser(p.Options, address.Typed)
	if err != nil {
		return nil, err
	}
	if err := e.captcha(ctx, signingUp); err != nil {
		return nil, err
	}
	if err := e.mayJoin(ctx); err != nil {
		return nil, err
	}
	if err := e.unbreached(ctx, password); err != nil {
		return nil, err
	}
	if err := e.mayWriteOnSignUp(ctx, address.Canonical); err != nil {
		return nil, err
	}
	u.Email, u.EmailKey, u.AvatarURL = address.Typed, address.Canonical, e.gravatar(address)
	if u, err = e.signUp(ctx, u, methodPassword); err != nil {
		return nil, err
	}
	if u.PasswordHash, err = e.hash(ctx, password); err != nil {
		return nil, err
	}

	n := newcomer{user: store.NewUser{User: u}, method: methodPassword, amr: amrPassword, redirectTo: redirectTo, challenge: p.CodeChallenge}
	again := func(ctx context.Context, n newcomer) (*SignInResult, error) { return e.signUpAgain(ctx, n, password) }
	if e.config.ConcealErrors && !u.Disabled && !e.config.Email.AllowUnverified {
		// Whatever there is, the same look-up and one write.
		in, err := again(ctx, n)
		if !errors.Is(err, store.ErrNotFound) {
			return in, err
		}
	}
	return e.enrol(ctx, n, again)
}

// signUpAgain is a sign-up with an address that has an account.
//
// If nobody has verified the address yet, whoever signed up with it first has no claim to it: the later sign-up takes its
// place, with its own password and link, and the earlier link is void. So a stranger cannot lie in wait with a password of
// theirs for the owner to verify it. The same password again is the same person, who has their letter already.
func (e *Engine) signUpAgain(ctx context.Context, n newcomer, password string) (*SignInResult, error) {
	a, err := e.store.User(ctx, store.UserQuery{EmailKey: n.user.User.EmailKey, Now: e.now()})
	if err != nil {
		return nil, fmt.Errorf("find pending sign-up: %w", err)
	}
	replaceable := pending(&a.User)
	if replaceable {
		_, err := e.checkPassword(ctx, a.PasswordHash, password)
		if err != nil && !errors.Is(err, ErrInvalidEmailPassword) {
			return nil, err
		}
		replaceable = err != nil
	}
	if replaceable {
		return e.replaceSignUp(ctx, a.User, n)
	}
	return e.signUpTaken(ctx, a.User, n.method)
}

// pending reports whether an account is no more than a sign-up whose address nobody has proven: a later one may take its
// place. An account that somebody has come in with is theirs, however they did.
func pending(u *store.User) bool { return !u.EmailVerified && !u.Disabled && u.LastSeenAt.IsZero() }

// SignInPasswordParams is an attempt to sign in.
type SignInPasswordParams struct {
	Email    string
	Password string
}

// Format keeps the password out of logs, whatever the verb.
func (p SignInPasswordParams) Format(f fmt.State, _ rune) { hide(f) }

// LogValue is [SignInPasswordParams.Format] for package slog.
func (p SignInPasswordParams) LogValue() slog.Value { return slog.StringValue(redacted) }

// SignInPassword opens a session for a user's e-mail and password. It costs one hash, whether or not there is such a
// user, and two round trips. A hash of an older kind or cost is replaced on the way.
//
// Errors: [ErrDisabledEndpoint] without Config.Password; [ErrInvalidRequest] if Email is not an address;
// [ErrInvalidEmailPassword] for an unknown user and a wrong password alike; only with the right password, the account's
// state: [ErrDisabledUser], [ErrUnverifiedUser]; [ErrCaptchaFailed] with Config.Captcha.SignIn; [ErrTooManyRequests] if too
// many wrong ones came from the client or for the address, right or wrong, or if too many passwords are being hashed.
func (e *Engine) SignInPassword(ctx context.Context, p SignInPasswordParams) (_ *SignInResult, err error) {
	defer e.begin(&ctx, "SignInPassword").end(&err)
	if e.hasher == nil {
		return nil, ErrDisabledEndpoint
	}
	address, err := emailaddr.Parse(p.Email)
	if err != nil {
		return nil, ErrInvalidRequest.saying("email is not an address").because(err)
	}
	if err := e.captcha(ctx, signingInByPassword); err != nil {
		return nil, err
	}
	tried, err := e.mayTryPassword(ctx, address.Canonical)
	if err != nil {
		return nil, err
	}
	a, err := e.store.User(ctx, store.UserQuery{EmailKey: address.Canonical, Now: e.now()})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		tried(err)
		return nil, fmt.Errorf("find user: %w", err)
	}
	stale, err := e.checkPassword(ctx, a.PasswordHash, p.Password)
	if err != nil {
		tried(err)
		if errors.Is(err, ErrInvalidEmailPassword) {
			e.emit(ctx, Event{Type: EventSignInFailed, UserID: a.ID, Method: methodPassword, Code: CodeInvalidEmailPassword})
		}
		return nil, err
	}
	change := &store.UserChange{}
	if stale {
		if h, err := e.rehash(ctx, p.Password); err == nil {
			change.Set.PasswordHash = &h
		}
	}
	in := entry{user: a.User, method: methodPassword, amr: amrPassword, change: change}
	result, err := e.enter(ctx, in)
	if errors.Is(err, store.ErrUnmet{Condition: store.ConditionEpoch}) {
		// Something was revoked while the password was being checked. If the password itself is still the one that
		// was right, the sign-in comes after the revocation and stands.
		now, lookErr := e.find(ctx, store.UserQuery{ID: a.ID})
		if lookErr == nil && now.PasswordHash == a.PasswordHash {
			in.user = now.User
			result, err = e.enter(ctx, in)
		}
	}
	err = overtaken(err)
	if !e.config.ConcealErrors || !errors.Is(err, ErrDisabledUser) && !errors.Is(err, ErrUnverifiedUser) {
		tried(nil) // else it is answered like a wrong one, and the budget is not to tell
	}
	return result, err
}

// overtaken translates the store's word that the account changed between the first factor and the session.
func overtaken(err error) error {
	switch {
	case errors.Is(err, store.ErrUnmet{Condition: store.ConditionEnabled}):
		return ErrDisabledUser.because(err)
	case errors.Is(err, store.ErrUnmet{Condition: store.ConditionEpoch}), errors.Is(err, store.ErrNotFound):
		return ErrInvalidEmailPassword.because(err)
	}
	return err
}

// longestCharacter is how many bytes there may be for each character of a password: a syllable of Hangul is one, and some
// keyboards send its three letters, of three bytes each.
const longestCharacter = 9

// newPassword applies the rules for a password that a user chooses, whose address has the given key, and returns its normal
// form. The same rules hold wherever one is chosen.
func (e *Engine) newPassword(ctx context.Context, password, emailKey string) (string, error) {
	normal, err := e.normalPassword(password, emailKey)
	if err != nil {
		return "", err
	}
	return normal, e.unbreached(ctx, normal)
}

// normalPassword is the part of newPassword that needs nobody else.
func (e *Engine) normalPassword(password, emailKey string) (string, error) {
	c := e.config.Password
	if len(password) > longestCharacter*c.MaxLength {
		return "", tooLong(c.MaxLength)
	}
	normal, err := passnorm.Normalize(password)
	if errors.Is(err, passnorm.ErrEmpty) {
		return "", ErrPasswordTooShort
	}
	if err != nil {
		return "", ErrInvalidRequest.saying("password has characters that cannot be typed").because(err)
	}
	switch n := utf8.RuneCountInString(normal); {
	case n < c.MinLength:
		return "", ErrPasswordTooShort
	case n > c.MaxLength:
		return "", tooLong(c.MaxLength)
	}
	local, _, _ := strings.Cut(emailKey, "@")
	if commonpw.MatchesContext(normal, append([]string{emailKey, local}, c.ContextWords...)...) {
		return "", ErrPasswordBreached.saying("Password is a name that an attacker would try first")
	}
	if !c.AllowCommon && commonpw.Contains(normal) {
		return "", ErrPasswordBreached.saying("Password is one of the most common ones")
	}
	return normal, nil
}

// unbreached is the rest of newPassword: it asks, where somebody is configured, whether attackers know the password.
func (e *Engine) unbreached(ctx context.Context, normal string) error {
	checker := e.config.Password.Breached
	if checker == nil {
		return nil
	}
	var breached bool
	err := guard(func() (err error) { breached, err = checker.Breached(ctx, normal); return err })
	if err != nil {
		e.emit(ctx, Event{Type: EventBreachCheckFailed})
		e.config.Logger.WarnContext(ctx, "breach check failed; password accepted", slog.Any("error", err))
		return nil
	}
	if breached {
		return ErrPasswordBreached
	}
	return nil
}

func tooLong(limit int) error {
	return ErrInvalidRequest.saying(fmt.Sprintf("password must be at most %d characters", limit))
}

func (e *Engine) hash(ctx context.Context, normal string) (string, error) {
	h, err := e.hasher.Hash(ctx, normal)
	return h, busy(err)
}

// rehash makes a current hash of a password that was right. It is a courtesy: the sign-in goes on without it.
func (e *Engine) rehash(ctx context.Context, password string) (string, error) {
	normal, err := passnorm.Normalize(password)
	if err != nil {
		return "", err
	}
	return e.hasher.Hash(ctx, normal)
}

// checkPassword compares a password with a user's hash and says whether the hash should be replaced. Where there is no
// hash, because there is no such user or they have no password, it costs as much and fails.
func (e *Engine) checkPassword(ctx context.Context, hash, password string) (stale bool, err error) {
	normal := ""
	if len(password) <= longestCharacter*e.config.Password.MaxLength {
		normal, _ = passnorm.Normalize(password)
	}
	if normal == "" {
		hash = "" // no user can have chosen it
	}
	if hash == "" {
		if err := busy(e.hasher.VerifyNothing(ctx, normal)); err != nil {
			return false, err
		}
		return false, ErrInvalidEmailPassword
	}
	ok, stale, err := e.hasher.Verify(ctx, hash, normal)
	if err == nil && !ok && !strings.HasPrefix(hash, "$argon2id$") {
		// A cheap hash from elsewhere must not tell by its speed that there is an account. (A dear one does, until its
		// user has signed in.)
		err = e.hasher.VerifyNothing(ctx, normal)
	}
	switch {
	case errors.Is(err, passhash.ErrUnsupported):
		e.config.Logger.ErrorContext(ctx, "a stored password hash cannot be used", slog.Any("error", err))
		return false, ErrInvalidEmailPassword
	case err != nil:
		return false, busy(err)
	case !ok:
		return false, ErrInvalidEmailPassword
	}
	return stale, nil
}

func busy(err error) error {
	if errors.Is(err, passhash.ErrBusy) {
		return ErrTooManyRequests.because(err)
	}
	return err
}

// HIBP returns a [BreachChecker] that asks the range API of Have I Been Pwned with the given client, or with one of its
// own if that is nil. Five hexadecimal digits of the password's SHA-1 leave the process, nothing else. A lookup takes at
// most a second.
func HIBP(client *http.Client) BreachChecker {
	c, err := breach.New(breach.Options{HTTPClient: client})
	return hibp{c, err}
}

type hibp struct {
	client *breach.Client
	err    error
}

func (h hibp) Breached(ctx context.Context, password string) (bool, error) {
	if h.err != nil {
		return false, h.err
	}
	n, err := h.client.Pwned(ctx, password)
	return n > 0, err
}
