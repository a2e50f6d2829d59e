package auth

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"image/png"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/google/uuid"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"github.com/ostiary/auth/store"
)

// MFAConfig turns on the enrolment of a second factor: codes of an authenticator app (TOTP, RFC 6238).
type MFAConfig struct {
	// Issuer is what the app shows, at most 64 bytes. The default is the host of ClientURL.
	Issuer string
	// Policy says after which first factors the second is asked for. The default is [MFAAlways].
	Policy MFAPolicy
}

func (o *MFAConfig) withDefaults(m *mistakes, clientHost string) *MFAConfig {
	c := *o
	if len(c.Issuer) > 64 || strings.ContainsFunc(c.Issuer, unicode.IsControl) {
		m.add("MFA.Issuer", "must be at most 64 bytes, without control characters")
	}
	def(&c.Issuer, clientHost)
	def(&c.Policy, MFAAlways)
	m.oneOf("MFA.Policy", string(c.Policy), string(MFAAlways), string(MFAPasswords))
	return &c
}

// MFAPolicy says after which first factors a second one is asked for.
type MFAPolicy string

// The policies. In either case a passkey that has verified its user counts as two factors.
const (
	MFAAlways    MFAPolicy = "always"    // after every one
	MFAPasswords MFAPolicy = "passwords" // after a password alone, as documented: whoever reads the user's mail comes in without
)

// MFAChallenge is what a first factor earns of a user who has a second one: a ticket for [Engine.VerifyMFA].
type MFAChallenge struct {
	Ticket string `json:"ticket"`
}

// Format keeps the ticket out of logs, whatever the verb.
func (MFAChallenge) Format(f fmt.State, _ rune) { hide(f) }

// LogValue is [MFAChallenge.Format] for package slog.
func (MFAChallenge) LogValue() slog.Value { return slog.StringValue(redacted) }

const (
	amrOTP = "otp" // RFC 8176: one-time code
	amrMFA = "mfa" // RFC 8176: more than one factor
	amrPAT = "pat"

	// totpPeriod is a time step in seconds (RFC 6238 §4.1).
	totpPeriod = 30
	// codeTries is how many codes can be tried with one ticket.
	codeTries = 5
)

// mfaTicket is the first factor that a ticket stands for.
type mfaTicket struct {
	Method string   `json:"method"`
	AMR    []string `json:"amr"`
	Visit  *visit   `json:"visit,omitempty"`
}

// owesSecondFactor reports whether somebody who has passed a first factor is to be asked for the second. A passkey that
// has verified its user is two; a personal access token was made by its user for a program, which has no second one.
func (e *Engine) owesSecondFactor(in *entry) bool {
	if len(in.user.TOTPSecret) == 0 || slices.Contains(in.amr, amrMFA) || slices.Contains(in.amr, amrPAT) {
		return false
	}
	return e.config.MFA == nil || e.config.MFA.Policy == MFAAlways || in.method == methodPassword
}

// askSecondFactor gives a ticket for the second factor in place of a session.
func (e *Engine) askSecondFactor(ctx context.Context, in entry) (*SignInResult, error) {
	ticket, secret, err := e.issue(kindMFA, in.user.ID, e.life(kindMFA), mfaTicket{in.method, in.amr, in.visit})
	if err != nil {
		return nil, err
	}
	ticket.Tries, ticket.Slot = codeTries, ticket.ID.String() // one for each sign-in: a stranger's voids nobody's
	if err := e.giveTicket(ctx, in, ticket); err != nil {
		return nil, err
	}
	e.emit(ctx, Event{Type: EventSecondFactorAsked, UserID: in.user.ID, Method: in.method})
	return &SignInResult{MFA: &MFAChallenge{secret}}, nil
}

// VerifyMFAParams is a second factor: either a code of the authenticator app, or a recovery code.
type VerifyMFAParams struct {
	Ticket       string // MFAChallenge.Ticket
	OTP          string // six digits
	RecoveryCode string // in any case, with or without hyphens
}

// Format keeps all of it out of logs, whatever the verb.
func (VerifyMFAParams) Format(f fmt.State, _ rune) { hide(f) }

// LogValue is [VerifyMFAParams.Format] for package slog.
func (VerifyMFAParams) LogValue() slog.Value { return slog.StringValue(redacted) }

// VerifyMFA opens the session that the first factor would have opened, had there been no second one. A code of the
// authenticator app is good from thirty seconds before to thirty seconds after its time, and once: neither it nor an
// earlier one is accepted again (RFC 6238 §5.2). A recovery code is good once, and the owner of a verified address gets a
// letter. A ticket stands five codes, and the account as many as Config.Limits.GuessesPerAccount says, however many tickets
// there are; whoever knows the password can use these up. A recovery code is taken all the same, and then codes are, too. It
// costs two round trips, and one more for the letter.
//
// Whoever has a second factor is asked for it also where Config.MFA has been taken away, and can end it.
//
// Errors: [ErrInvalidRequest] unless there is one of OTP and RecoveryCode; [ErrInvalidTicket] for a ticket that is unknown,
// expired, used or has been tried too often, and [ErrDisabledEndpoint] in its place without Config.MFA; [ErrInvalidTOTP] for
// a wrong code; [ErrDisabledMFATOTP] if the user has no second factor any more; [ErrProviderAccountLinked] if the account at a
// provider that was the first factor has become another user's; [ErrTooManyRequests]; the account's state, as at
// [Engine.Refresh].
func (e *Engine) VerifyMFA(ctx context.Context, p VerifyMFAParams) (_ *SignInResult, err error) {
	defer e.begin(&ctx, "VerifyMFA").end(&err)
	if (p.OTP == "") == (p.RecoveryCode == "") {
		return nil, ErrInvalidRequest.saying("either a code or a recovery code is required")
	}
	var data mfaTicket
	t, u, err := e.check(ctx, kindMFA, p.Ticket, &data)
	e.refusedTicket(ctx, u.ID, kindMFA, err)
	if errors.Is(err, ErrInvalidTicket) && e.config.MFA == nil {
		err = ErrDisabledEndpoint
	}
	if err != nil {
		return nil, err
	}
	change := &store.UserChange{Redeem: t.ID}
	if err := e.second(ctx, &u, "sign-in", p.OTP, p.RecoveryCode, change); err != nil {
		e.emit(ctx, Event{Type: EventSignInFailed, UserID: u.ID, Method: data.Method, Code: codeOf(err)})
		return nil, err
	}
	told, err := e.recoveryNotice(ctx, &u, change)
	if err != nil {
		return nil, err
	}
	change.Messages = told.rows()
	in, err := e.enter(ctx, entry{user: u, method: data.Method, amr: unique(append(slices.Clone(data.AMR), amrOTP, amrMFA)), change: change, visit: data.Visit})
	if err != nil {
		err = linkedMeanwhile(spent(overtaken(wrongSecond(err))))
		if errors.Is(err, ErrInvalidTOTP) { // which somebody else has used at the same moment
			e.emit(ctx, Event{Type: EventSignInFailed, UserID: u.ID, Method: data.Method, Code: codeOf(err)})
		}
		e.refusedTicket(ctx, u.ID, kindMFA, err)
		return nil, err
	}
	if change.RecoveryCode != nil {
		e.emit(ctx, Event{Type: EventRecoveryCodeUsed, UserID: u.ID, SessionID: sessionOf(in)})
	}
	e.deliver(ctx, told...)
	return in, nil
}

// second checks a second factor and adds to a change that it is used up. Guesses of codes count for the account, those at
// sign-in apart from those of who is signed in; a recovery code is too long to be guessed, and ends the count: nobody who
// guesses keeps the owner out.
func (e *Engine) second(ctx context.Context, u *store.User, where, code, recovery string, c *store.UserChange) error {
	if len(u.TOTPSecret) == 0 {
		return ErrDisabledMFATOTP
	}
	to := "totp " + where + " " + u.ID.String()
	if code == "" {
		if c.RecoveryCode = e.recoveryCode(u, recovery); c.RecoveryCode == nil {
			return ErrInvalidTOTP.because(errors.New("not a recovery code"))
		}
		e.forgive(ctx, to)
		return nil
	}
	guessed, err := e.mayGuess(ctx, to)
	if err != nil {
		return err
	}
	var renewed []byte
	c.TOTPStep, renewed, err = e.stepOf(u, u.TOTPSecret, code)
	if err == nil && c.TOTPStep <= u.TOTPStep {
		// The change would see to that, too, but whoever has a used one is not to end the count of their guesses by it.
		err = ErrInvalidTOTP.because(errors.New("not later than the last code"))
	}
	guessed(err)
	if renewed != nil && c.Set.TOTPSecret == nil {
		// What has been turned off or replaced since is not to come back by this.
		c.Set.TOTPSecret, c.If.Epoch = &renewed, u.Epoch
	}
	return err
}

// wrongSecond translates the store's word that a second factor has been used.
func wrongSecond(err error) error {
	for _, c := range []store.Condition{store.ConditionTOTPStep, store.ConditionRecoveryCode} {
		if errors.Is(err, store.ErrUnmet{Condition: c}) {
			return ErrInvalidTOTP.because(err)
		}
	}
	return err
}

// stepOf returns the time step whose code this is, of those that are near enough. That it is later than the last one is for the
// change to see to. If the secret is sealed under a previous one of the engine's, it also returns it sealed under the current one.
func (e *Engine) stepOf(u *store.User, sealed []byte, code string) (at int64, renewed []byte, err error) {
	secret, stale, err := e.box.OpenStale("totp", u.ID[:], sealed)
	if err != nil {
		return 0, nil, fmt.Errorf("open the TOTP secret: %w", err)
	}
	now := e.now()
	for step := now.Unix()/totpPeriod - 1; step <= now.Unix()/totpPeriod+1; step++ {
		want, err := codeAt(secret, step)
		if err != nil {
			return 0, nil, err
		}
		if subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 {
			if stale {
				renewed = e.box.Seal("totp", u.ID[:], secret)
			}
			return step, renewed, nil
		}
	}
	return 0, nil, ErrInvalidTOTP
}

// GenerateTOTPParams begins an enrolment.
type GenerateTOTPParams struct {
	// Code is a current one, for users who have a second factor already and have not signed in, or stepped up, with it just now.
	Code string
}

// TOTPEnrolment is a secret for an authenticator app, in three forms.
type TOTPEnrolment struct {
	ImageURL string `json:"imageUrl"`   // the URI as a QR code: a data URL of a PNG of 200 by 200 pixels
	Secret   string `json:"totpSecret"` // 32 bytes in base32, without padding
	URI      string `json:"totpUri"`    // otpauth://totp/…
}

// Format keeps the secret out of logs, whatever the verb.
func (TOTPEnrolment) Format(f fmt.State, _ rune) { hide(f) }

// LogValue is [TOTPEnrolment.Format] for package slog.
func (TOTPEnrolment) LogValue() slog.Value { return slog.StringValue(redacted) }

// GenerateTOTP begins to give the principal a second factor: a new secret for their authenticator app. Nothing changes until
// [Engine.SetMFA] is given a code of it; until then a second factor that there is stays what it was. A later enrolment takes
// the place of an earlier one. It is protected; see [Engine.Elevate]. Whoever has a second factor needs a current code of it,
// or to have signed in, or stepped up, with it just now. It costs two round trips.
//
// Errors: [ErrDisabledEndpoint] without Config.MFA; [ErrForbiddenAnonymous]; [ErrElevationRequired]; [ErrInvalidTOTP];
// [ErrTooManyRequests]; otherwise as at [Engine.User].
func (e *Engine) GenerateTOTP(ctx context.Context, principal *Principal, p GenerateTOTPParams) (_ *TOTPEnrolment, err error) {
	defer e.begin(&ctx, "GenerateTOTP").end(&err)
	defer e.refusal(ctx, principal, "GenerateTOTP", &err)
	if e.config.MFA == nil {
		return nil, ErrDisabledEndpoint
	}
	a, rule, err := e.protectedAccount(ctx, principal, enrolling, 0)
	if err != nil {
		return nil, err
	}
	rule.Epoch = a.Epoch // which an activation moves on
	change := store.UserChange{UserID: a.ID, Now: e.now(), If: rule}
	if err := e.secondUnlessShown(ctx, &a, principal, p.Code, &change); err != nil {
		return nil, err
	}
	secret := make([]byte, 32)
	rand.Read(secret) //nolint:errcheck // never fails; a broken source ends the program
	enrolment, err := e.enrolment(&a.User, secret)
	if err != nil {
		return nil, err
	}
	sealed := e.box.Seal("totp", a.ID[:], secret)
	change.Set.TOTPPending = &sealed
	if _, err := e.store.ChangeUser(ctx, change); err != nil {
		return nil, unprotected(wrongSecond(err))
	}
	e.emit(ctx, Event{Type: EventMFAEnrolmentBegun, UserID: a.ID, SessionID: principal.SessionID})
	return enrolment, nil
}

// secondUnlessShown demands a code of who has a second factor, and has not shown it just now.
func (e *Engine) secondUnlessShown(ctx context.Context, a *store.Account, p *Principal, code string, c *store.UserChange) error {
	switch {
	case len(a.TOTPSecret) == 0, e.shownBoth(a, p):
		return nil
	case code == "":
		return ErrElevationRequired.saying("A current code, or to have signed in with one just now, is required")
	}
	return e.second(ctx, &a.User, "change", code, "", c)
}

// enrolment shows a secret to its user.
func (e *Engine) enrolment(u *store.User, secret []byte) (*TOTPEnrolment, error) {
	issuer, account := e.config.MFA.Issuer, u.ID.String()
	for _, name := range []string{u.Email, u.Phone, u.DisplayName} {
		if name != "" {
			account = name
			break
		}
	}
	text := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(secret)
	escape := func(s string) string { return strings.ReplaceAll(url.PathEscape(s), ":", "%3A") }
	uri := "otpauth://totp/" + escape(issuer) + ":" + escape(account) + "?" + strings.ReplaceAll(url.Values{
		"algorithm": {"SHA1"}, "digits": {"6"}, "issuer": {issuer}, "period": {strconv.Itoa(totpPeriod)}, "secret": {text},
	}.Encode(), "+", "%20") // apps take a plus for a plus
	key, err := otp.NewKeyFromURL(uri)
	if err != nil {
		return nil, fmt.Errorf("TOTP enrolment: %w", err)
	}
	picture, err := key.Image(200, 200)
	if err != nil {
		return nil, fmt.Errorf("TOTP enrolment: QR code: %w", err)
	}
	var image bytes.Buffer
	if err := png.Encode(&image, picture); err != nil {
		return nil, fmt.Errorf("TOTP enrolment: QR code: %w", err)
	}
	return &TOTPEnrolment{
		ImageURL: "data:image/png;base64," + base64.StdEncoding.EncodeToString(image.Bytes()),
		Secret:   text, URI: uri,
	}, nil
}

// MFATypeTOTP is the one kind of second factor.
const MFATypeTOTP = "totp"

// SetMFAParams turns the second factor on or off.
type SetMFAParams struct {
	Type string // MFATypeTOTP to turn it on, empty to turn it off
	Code string // of the secret that is turned on, or off
	// RecoveryCode in place of Code turns it off.
	RecoveryCode string
}

// Format keeps the codes out of logs, whatever the verb.
func (SetMFAParams) Format(f fmt.State, _ rune) { hide(f) }

// LogValue is [SetMFAParams.Format] for package slog.
func (SetMFAParams) LogValue() slog.Value { return slog.StringValue(redacted) }

// SetMFA turns the principal's second factor on, with a code of the secret that [Engine.GenerateTOTP] made, or off, with a
// code or a recovery code. Where there is one already, the new one takes its place, and its recovery codes are void; see
// [Engine.GenerateRecoveryCodes]. A code counts only in a later time step than that of the last one that was accepted, of
// whatever secret. The owner of a verified address gets a letter. It is protected, see [Engine.Elevate], and
// needs a step-up or a sign-in within the last ten minutes. Sessions go on, and so does what has stepped up by a code, for the
// life of its access token: whoever turns it off because the app is in other hands had better sign out everywhere as well. It
// costs two round trips, and one more for the letter.
//
// Errors: [ErrDisabledEndpoint] if it is to be turned on without Config.MFA; [ErrMFATypeNotFound]; [ErrInvalidRequest] for
// a recovery code where there is a code as well; [ErrForbiddenAnonymous];
// [ErrElevationRequired]; [ErrTOTPAlreadyActive] and [ErrNoTOTPSecret] if no enrolment has begun; [ErrDisabledMFATOTP] if it
// is to be turned off and is not on; [ErrInvalidTOTP]; [ErrTooManyRequests]; otherwise as at [Engine.User].
func (e *Engine) SetMFA(ctx context.Context, principal *Principal, p SetMFAParams) (err error) {
	defer e.begin(&ctx, "SetMFA").end(&err)
	defer e.refusal(ctx, principal, "SetMFA", &err)
	switch {
	case p.Type != "" && p.Type != MFATypeTOTP:
		return ErrMFATypeNotFound
	case p.Type != "" && e.config.MFA == nil:
		return ErrDisabledEndpoint
	case p.Code != "" && p.RecoveryCode != "", p.Type != "" && p.RecoveryCode != "":
		return ErrInvalidRequest.saying("a recovery code turns the second factor off, in place of a code")
	}
	a, rule, err := e.protectedAccount(ctx, principal, enrolling, 0)
	if err != nil {
		return err
	}
	if !e.justThere(&a, principal) {
		return errNotJustThere
	}
	// Of what happened since the look, a recovery of the account by its owner is not to be undone.
	rule.Epoch = a.Epoch
	change := store.UserChange{UserID: a.ID, Now: e.now(), If: rule}
	none, noCodes := []byte(nil), [][]byte{}
	change.Set.TOTPPending, change.Set.RecoveryCodes = &none, &noCodes
	event, letter := EventMFAEnabled, "mfa-enabled"
	if p.Type == MFATypeTOTP {
		err = e.activate(ctx, &a.User, p.Code, &change)
	} else {
		event, letter = EventMFADisabled, "mfa-disabled"
		change.Set.TOTPSecret, change.Drop.Tickets = &none, []string{kindMFA}
		err = e.second(ctx, &a.User, "change", p.Code, p.RecoveryCode, &change)
	}
	if err != nil {
		return err
	}
	told, err := e.notice(ctx, letter, &a.User)
	if err != nil {
		return err
	}
	change.Messages = told.rows()
	if _, err := e.store.ChangeUser(ctx, change); err != nil {
		return unprotected(wrongSecond(err))
	}
	e.emit(ctx, Event{Type: event, UserID: a.ID, SessionID: principal.SessionID})
	if change.RecoveryCode != nil {
		e.emit(ctx, Event{Type: EventRecoveryCodeUsed, UserID: a.ID, SessionID: principal.SessionID})
	}
	e.deliver(ctx, told...)
	return nil
}

// activate adds to a change that the pending secret becomes the user's.
func (e *Engine) activate(ctx context.Context, u *store.User, code string, c *store.UserChange) error {
	if len(u.TOTPPending) == 0 {
		if len(u.TOTPSecret) > 0 {
			return ErrTOTPAlreadyActive
		}
		return ErrNoTOTPSecret
	}
	guessed, err := e.mayGuess(ctx, "totp enrolment "+u.ID.String())
	if err != nil {
		return err
	}
	secret := u.TOTPPending
	var renewed []byte
	c.TOTPStep, renewed, err = e.stepOf(u, secret, code)
	if guessed(err); err != nil {
		return err
	}
	if renewed != nil {
		secret = renewed
	}
	c.Set.TOTPSecret = &secret
	c.Drop.Tickets = []string{kindMFA} // which tells whoever has looked before that they come too late
	return nil
}

// MFAStatus is what its owner may know of a second factor.
type MFAStatus struct {
	TOTP          bool `json:"totp"`          // it is on
	RecoveryCodes int  `json:"recoveryCodes"` // how many are left
}

// MFA returns whether the principal has a second factor, and how many recovery codes they have left. It costs one round trip.
//
// Errors: [ErrElevationRequired] for a session of a personal access token; otherwise as at [Engine.User].
func (e *Engine) MFA(ctx context.Context, principal *Principal) (_ *MFAStatus, err error) {
	defer e.begin(&ctx, "MFA").end(&err)
	defer e.refusal(ctx, principal, "MFA", &err)
	a, err := e.ownAccount(ctx, principal, 0)
	if err != nil {
		return nil, err
	}
	if len(a.TOTPSecret) == 0 {
		return &MFAStatus{}, nil // codes that may be left of the last one are worth nothing
	}
	return &MFAStatus{TOTP: true, RecoveryCodes: len(a.RecoveryCodes)}, nil
}

const (
	recoveryCodes    = 10
	recoveryCodeSize = 10 // bytes: 16 characters
)

// GenerateRecoveryCodesParams is a proof of the second factor.
type GenerateRecoveryCodesParams struct {
	// Code is a current one, for users who have not signed in, or stepped up, with one just now.
	Code string
}

// Format keeps the code out of logs, whatever the verb.
func (GenerateRecoveryCodesParams) Format(f fmt.State, _ rune) { hide(f) }

// LogValue is [GenerateRecoveryCodesParams.Format] for package slog.
func (GenerateRecoveryCodesParams) LogValue() slog.Value { return slog.StringValue(redacted) }

// GenerateRecoveryCodes makes ten codes, each of which is good once in place of a code of the authenticator app, for users who
// have lost that. They are returned and never shown again; those from before are void. The owner of a verified address gets a
// letter. It is protected, see [Engine.Elevate], and needs a step-up or a sign-in within the last ten minutes; and a current code,
// unless that was shown then. It costs two round trips, and one more for the letter.
//
// Errors: [ErrForbiddenAnonymous]; [ErrElevationRequired]; [ErrDisabledMFATOTP] if the user has no second factor;
// [ErrInvalidTOTP]; [ErrTooManyRequests]; otherwise as at [Engine.User].
func (e *Engine) GenerateRecoveryCodes(ctx context.Context, principal *Principal, p GenerateRecoveryCodesParams) (_ []string, err error) {
	defer e.begin(&ctx, "GenerateRecoveryCodes").end(&err)
	defer e.refusal(ctx, principal, "GenerateRecoveryCodes", &err)
	a, rule, err := e.protectedAccount(ctx, principal, enrolling, 0)
	if err != nil {
		return nil, err
	}
	if len(a.TOTPSecret) == 0 {
		return nil, ErrDisabledMFATOTP
	}
	if !e.justThere(&a, principal) {
		return nil, errNotJustThere
	}
	codes, hashes := make([]string, recoveryCodes), make([][]byte, recoveryCodes)
	for i := range codes {
		var random [recoveryCodeSize]byte
		rand.Read(random[:]) //nolint:errcheck // never fails; a broken source ends the program
		text := strings.ToLower(base32.StdEncoding.EncodeToString(random[:]))
		codes[i] = text[:4] + "-" + text[4:8] + "-" + text[8:12] + "-" + text[12:]
		hash := e.box.MAC("recovery code", a.ID[:], []byte(text))
		hashes[i] = hash[:]
	}
	told, err := e.notice(ctx, "recovery-codes-renewed", &a.User)
	if err != nil {
		return nil, err
	}
	rule.Epoch = a.Epoch
	change := store.UserChange{UserID: a.ID, Now: e.now(), If: rule, Set: store.UserSet{RecoveryCodes: &hashes}, Messages: told.rows()}
	if err := e.secondUnlessShown(ctx, &a, principal, p.Code, &change); err != nil {
		return nil, err
	}
	if _, err = e.store.ChangeUser(ctx, change); err != nil {
		return nil, unprotected(wrongSecond(err))
	}
	e.emit(ctx, Event{Type: EventRecoveryCodesRenewed, UserID: a.ID, SessionID: principal.SessionID})
	e.deliver(ctx, told...)
	return codes, nil
}

// recoveryCode returns the hash of a recovery code that the user has left, or nil.
func (e *Engine) recoveryCode(u *store.User, typed string) []byte {
	text := strings.ToLower(strings.NewReplacer("-", "", " ", "").Replace(typed))
	if len(text) != recoveryCodeSize*8/5 {
		return nil
	}
	for _, sum := range e.box.MACs("recovery code", u.ID[:], []byte(text)) {
		for _, hash := range u.RecoveryCodes {
			if subtle.ConstantTimeCompare(sum[:], hash) == 1 {
				return hash
			}
		}
	}
	return nil
}

// recoveryNotice tells a user of whom a recovery code is used, and how many are left.
func (e *Engine) recoveryNotice(ctx context.Context, u *store.User, c *store.UserChange) (letters, error) {
	if c.RecoveryCode == nil {
		return nil, nil
	}
	return e.noticeWith(ctx, "recovery-code-used", u, map[string]string{"left": strconv.Itoa(len(u.RecoveryCodes) - 1)})
}

// RemoveMFA takes a user's second factor away, on the service's authority: the caller is trusted, and has made sure that it is
// the owner who has lost it. All sessions end, and the owner of a verified address gets a letter.
//
// Errors: [ErrNotFound]; [ErrDisabledMFATOTP] if the user has none.
func (e *Engine) RemoveMFA(ctx context.Context, id uuid.UUID) (err error) {
	defer e.begin(&ctx, "RemoveMFA").end(&err)
	a, err := e.find(ctx, store.UserQuery{ID: id})
	if err != nil {
		return err
	}
	if len(a.TOTPSecret) == 0 {
		return ErrDisabledMFATOTP
	}
	told, err := e.notice(ctx, "mfa-disabled", &a.User)
	if err != nil {
		return err
	}
	none, noCodes := []byte(nil), [][]byte{}
	_, err = e.store.ChangeUser(ctx, store.UserChange{
		UserID: id, Now: e.now(), If: store.Conditions{Disabled: true},
		Set:      store.UserSet{TOTPSecret: &none, TOTPPending: &none, RecoveryCodes: &noCodes},
		Drop:     store.Drop{Sessions: true, Tickets: []string{kindMFA}},
		Messages: told.rows(),
	})
	if errors.Is(err, store.ErrNotFound) {
		return ErrNotFound.because(err)
	}
	if err != nil {
		return fmt.Errorf("remove the second factor: %w", err)
	}
	e.emit(ctx, Event{Type: EventMFADisabled, UserID: id, Detail: byTheService})
	e.deliver(ctx, told...)
	return nil
}

// codeAt is the code of a time step: six digits, by SHA-1.
func codeAt(secret []byte, step int64) (string, error) {
	return hotp.GenerateCode(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(secret), uint64(step))
}
