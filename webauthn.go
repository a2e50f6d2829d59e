package auth

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/metadata"
	"github.com/google/uuid"

	"github.com/ostiary/auth/internal/ceremony"
	"github.com/ostiary/auth/internal/emailaddr"
	"github.com/ostiary/auth/internal/redirect"
	"github.com/ostiary/auth/store"
)

// WebAuthnConfig turns on passkeys and other security keys.
type WebAuthnConfig struct {
	// RPID is the relying party's id: the domain that credentials are bound to, for ever. It must be the host of every
	// page that uses them or a registrable parent of it. The default is the host of ClientURL.
	RPID string
	// RPName is what people are shown. The default is RPID.
	RPName string
	// Origins are the pages and apps that may use credentials, besides the origin of ClientURL: "https://app.example.com",
	// "android:apk-key-hash:…". They are compared as they stand (WebAuthn L3 §13.4.9). Web origins of another domain than
	// RPID are related origins; see [Engine.RelatedOrigins].
	Origins []string
	// TopOrigins are the pages that may embed one of Origins in a frame and use credentials there. The default is none:
	// what comes out of a frame of another origin is refused.
	TopOrigins []string

	// Timeout is how long a client is told to wait for its user. The default is one minute. See also
	// TicketsConfig.WebAuthn.
	Timeout time.Duration
	// UserVerification is asked for when a key is created and when it signs in. The default is
	// [UserVerificationPreferred]. A sign-in in which the authenticator verified its user counts as two factors.
	UserVerification UserVerification
	// ResidentKey says whether a new key is to be one that can sign in without an e-mail address: "preferred", "required" or
	// "discouraged". The default is "preferred".
	ResidentKey string
	// Attachment is "platform" or "cross-platform" if new keys must be of that kind. Empty, they are of either.
	Attachment string
	// Attestation is what is asked for when a key is created: "none", "indirect", "direct" or "enterprise". The default is
	// "none". Whatever is asked for, a statement that comes must be valid. Without Metadata it proves nothing about its maker,
	// and with "none" not even its format is kept.
	Attestation string
	// Hints tell a client which kinds of key to offer first: "security-key", "client-device", "hybrid".
	Hints []string
	// CreateExtensions are the client extension inputs when a key is created. The default is credProps alone, which asks
	// whether the key is discoverable.
	CreateExtensions map[string]any
	// GetExtensions are the client extension inputs when a key signs in or steps up. The default is none.
	GetExtensions map[string]any

	// AllowRollback accepts a signature counter that did not grow. The default refuses it: there may be two copies of the
	// key. Both emit [EventSignCountRollback] (WebAuthn L3 §7.2 step 22).
	AllowRollback bool
	// AllowedAAGUIDs, unless empty, are the only models of authenticator whose keys can be added; DeniedAAGUIDs are
	// those that cannot. Without attestation and Metadata an authenticator is free to name any model.
	AllowedAAGUIDs, DeniedAAGUIDs []uuid.UUID
	// Metadata, unless nil, is asked about the model of each authenticator (FIDO Metadata Service); see the providers of
	// github.com/go-webauthn/webauthn/metadata. It needs Attestation "direct".
	Metadata metadata.Provider
	// MaxPerUser bounds the keys of one user, at the moment when an addition begins. The default is 50.
	MaxPerUser int
}

// algorithms are the COSE algorithms of the keys that can be added, the most wanted first.
var algorithms = []int64{-7, -35, -36, -257, -258, -259, -37, -38, -39, -8}

// withDefaults completes w and compiles it. client is the checked ClientURL.
func (w *WebAuthnConfig) withDefaults(m *mistakes, client string) *ceremony.RelyingParty {
	page := origin(client)
	def(&w.RPID, page.Hostname())
	def(&w.RPName, w.RPID)
	w.Origins, w.TopOrigins = with(w.Origins, page.String()), slices.Clone(w.TopOrigins)
	def(&w.Timeout, time.Minute)
	m.duration("WebAuthn.Timeout", w.Timeout, time.Second, time.Hour)
	def(&w.UserVerification, UserVerificationPreferred)
	m.userVerification("WebAuthn.UserVerification", w.UserVerification)
	def(&w.ResidentKey, "preferred")
	m.oneOf("WebAuthn.ResidentKey", w.ResidentKey, "preferred", "required", "discouraged")
	if w.Attachment != "" {
		m.oneOf("WebAuthn.Attachment", w.Attachment, "platform", "cross-platform")
	}
	def(&w.Attestation, "none")
	m.oneOf("WebAuthn.Attestation", w.Attestation, "none", "indirect", "direct", "enterprise")
	if w.Metadata != nil && (w.Attestation == "none" || w.Attestation == "indirect") {
		m.add("WebAuthn.Metadata", "needs Attestation \"direct\" or \"enterprise\"")
	}
	if w.CreateExtensions == nil {
		w.CreateExtensions = map[string]any{"credProps": true}
	}
	w.Hints, w.AllowedAAGUIDs, w.DeniedAAGUIDs = slices.Clone(w.Hints), slices.Clone(w.AllowedAAGUIDs), slices.Clone(w.DeniedAAGUIDs)
	def(&w.MaxPerUser, 50)
	m.within("WebAuthn.MaxPerUser", w.MaxPerUser, 1, 1000)
	before := len(*m)
	if err := ceremony.CheckID(w.RPID); err != nil {
		m.add("WebAuthn.RPID", "%q: %w", w.RPID, err)
	}
	for i, o := range w.Origins {
		if err := ceremony.CheckOrigin(o); err != nil {
			m.add(fmt.Sprintf("WebAuthn.Origins[%d]", i), "%q %w", o, err)
		}
	}
	for i, o := range w.TopOrigins {
		if err := ceremony.CheckOrigin(o); err != nil || !isWebOrigin(o) {
			m.add(fmt.Sprintf("WebAuthn.TopOrigins[%d]", i), "%q is not the origin of a page", o)
		}
	}
	if len(*m) > before {
		return nil
	}
	rp, err := ceremony.New(ceremony.Config{
		ID: w.RPID, Origins: w.Origins, TopOrigins: w.TopOrigins,
		Algorithms: algorithms, Metadata: w.Metadata, KeepAttestation: w.Attestation != "none",
	})
	if err != nil {
		m.add("WebAuthn", "%w", err)
	}
	return rp
}

// extensions takes client extension inputs out of the hands of who configures them.
func (m *mistakes) extensions(field string, inputs *map[string]any) extensions {
	text, err := json.Marshal(*inputs)
	if err != nil {
		m.add(field, "%w", err)
	}
	*inputs = maps.Clone(*inputs)
	return text
}

func isWebOrigin(s string) bool {
	return strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://")
}

// origin is the origin of a page, in the one spelling that browsers use.
func origin(page string) *url.URL {
	rules, err := redirect.Compile(page, nil)
	if err != nil {
		return &url.URL{} // has been reported
	}
	u, err := url.Parse(rules.Default().String())
	if err != nil {
		return &url.URL{}
	}
	host := strings.ToLower(u.Host)
	if port := u.Port(); u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80" {
		host = strings.TrimSuffix(host, ":"+port)
	}
	return &url.URL{Scheme: u.Scheme, Host: host}
}

// UserVerification says whether an authenticator is to verify its user, by a PIN or a fingerprint, say, or whether a
// touch is enough.
type UserVerification string

// The values of UserVerification (WebAuthn L3 §5.8.6).
const (
	UserVerificationRequired    UserVerification = "required"
	UserVerificationPreferred   UserVerification = "preferred"
	UserVerificationDiscouraged UserVerification = "discouraged"
)

func (m *mistakes) userVerification(field string, v UserVerification) {
	m.oneOf(field, string(v), string(UserVerificationRequired), string(UserVerificationPreferred), string(UserVerificationDiscouraged))
}

const methodWebAuthn = "webauthn"

// amrOfKey says how somebody proved who they are with a security key (RFC 8176): by possession of a key and by being
// there; where the authenticator verified them besides, that is a second factor.
func amrOfKey(userVerified bool) []string {
	if userVerified {
		return []string{"pop", "user", "mfa"}
	}
	return []string{"pop", "user"}
}

// SignUpWebAuthnParams is a new user with a passkey.
type SignUpWebAuthnParams struct {
	Email   string
	Options SignUpOptions
}

// signUpKey is what a sign-up that has begun remembers.
type signUpKey struct {
	User    uuid.UUID     `json:"user"`
	Email   string        `json:"email"`
	Options SignUpOptions `json:"options"`
}

// SignUpWebAuthn begins a sign-up with a passkey: it returns the options for creating one. Nothing is written but the
// challenge, and the answer is the same whether or not the address has an account. It costs one round trip.
//
// Errors: [ErrDisabledEndpoint] without Config.WebAuthn; [ErrSignUpDisabled]; [ErrInvalidRequest];
// [ErrInvalidEmailPassword] if the access lists refuse the address; [ErrRoleNotAllowed], [ErrDefaultRoleNotAllowed],
// [ErrRedirectNotAllowed]; [ErrCaptchaFailed] with Config.Captcha; [ErrTooManyRequests].
func (e *Engine) SignUpWebAuthn(ctx context.Context, p SignUpWebAuthnParams) (_ *CreationOptions, err error) {
	defer e.begin(&ctx, "SignUpWebAuthn").end(&err)
	if e.config.WebAuthn == nil {
		return nil, ErrDisabledEndpoint
	}
	if e.config.SignUp.Disabled {
		return nil, ErrSignUpDisabled
	}
	address, err := e.admit(p.Email)
	if err != nil {
		return nil, err
	}
	if _, err := e.RedirectTo(p.Options.RedirectTo); err != nil {
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
	u.Email = address.Typed
	begun := signUpKey{u.ID, address.Typed, p.Options}
	begun.Options.AllowedRoles, begun.Options.Metadata = unique(p.Options.AllowedRoles), u.Metadata
	if p.Options.Locale != "" {
		begun.Options.Locale = u.Locale
	}
	challenge, err := e.challenge(ctx, kindSignUpKey, uuid.NewString(), uuid.Nil, begun)
	if err != nil {
		return nil, err
	}
	return e.creationOptions(challenge, &u, nil), nil
}

// VerifySignUpWebAuthnParams ends a sign-up with a passkey.
type VerifySignUpWebAuthnParams struct {
	Credential json.RawMessage // what navigator.credentials.create came back with: PublicKeyCredential.toJSON()
	Options    SignUpOptions   // what is set replaces what the sign-up began with
	Nickname   string          // of the key, at most 64 characters
	// CodeChallenge asks for a code in place of a session in the redirect that follows the link; see
	// [Engine.ExchangeCode].
	CodeChallenge string
}

// VerifySignUpWebAuthn ends a sign-up with a passkey and creates the user. Where addresses are verified
// (Config.Email.AllowUnverified is unset) the result has no session: a letter with a link is on its way. Until the
// address is verified, a later sign-up with it takes the place of this one, as at [Engine.SignUpPassword]: whoever signed
// up before and follows the newest letter proves the address for the later key. It costs two round trips, and one more
// for the letter; with Config.ConcealErrors two more.
//
// A challenge that has been presented is used up, whatever comes of it.
//
// Errors: those of [Engine.SignUpWebAuthn]; [ErrInvalidRequest] for a credential that is not an answer to a challenge of
// such a sign-up, or that WebAuthn L3 §7.1 or the configuration refuse, or that is registered already;
// [ErrEmailAlreadyInUse]; [ErrDisabledUser] if Config.SignUp.DisableNewUsers is set, although the user was created.
func (e *Engine) VerifySignUpWebAuthn(ctx context.Context, p VerifySignUpWebAuthnParams) (_ *SignInResult, err error) {
	defer e.begin(&ctx, "VerifySignUpWebAuthn").end(&err)
	if e.config.WebAuthn == nil {
		return nil, ErrDisabledEndpoint
	}
	if e.config.SignUp.Disabled {
		return nil, ErrSignUpDisabled
	}
	if err := errors.Join(checkNickname(p.Nickname), checkChallenge(p.CodeChallenge)); err != nil {
		return nil, err
	}
	answer, err := ceremony.ParseRegistration(p.Credential)
	if err != nil {
		return nil, errCredential.because(err)
	}
	var begun signUpKey
	ticket, _, err := e.presented(ctx, kindSignUpKey, answer.Challenge(), &begun)
	if err != nil {
		return nil, err
	}
	options := begun.Options.or(p.Options)
	address, err := e.admit(begun.Email)
	if err != nil {
		return nil, err
	}
	redirectTo, err := e.RedirectTo(options.RedirectTo)
	if err != nil {
		return nil, err
	}
	u, err := e.newUser(options, address.Typed)
	if err != nil {
		return nil, err
	}
	u.ID = begun.User
	u.Email, u.EmailKey, u.AvatarURL = address.Typed, address.Canonical, e.gravatar(address)
	key, err := e.newKey(answer, u.ID, u.ID[:], p.Nickname)
	if err != nil {
		return nil, err
	}
	if err := e.mayWriteOnSignUp(ctx, address.Canonical); err != nil {
		return nil, err
	}
	if u, err = e.signUp(ctx, u, methodWebAuthn); err != nil {
		return nil, err
	}
	var a *store.Account
	if e.config.ConcealErrors {
		// Whatever there is, the same look-ups and one write: and whoever holds a registered key learns nothing with it.
		if a, err = e.alreadyThere(ctx, key, u.EmailKey); err != nil {
			return nil, err
		}
	}
	n := newcomer{
		user:       store.NewUser{User: u, SecurityKey: key, Redeem: ticket},
		method:     methodWebAuthn,
		amr:        amrOfKey(key.UserVerified),
		redirectTo: redirectTo,
		challenge:  p.CodeChallenge,
	}
	if a != nil && !u.Disabled && !e.config.Email.AllowUnverified {
		return e.signUpKeyAgain(ctx, n, a)
	}
	in, err := e.enrol(ctx, n, func(ctx context.Context, n newcomer) (*SignInResult, error) {
		a, err := e.alreadyThere(ctx, n.user.SecurityKey, n.user.User.EmailKey)
		switch {
		case err != nil:
			return nil, err
		case a == nil:
			return nil, ErrEmailAlreadyInUse.because(errors.New("it was taken, and is free again"))
		}
		return e.signUpKeyAgain(ctx, n, a)
	})
	return in, refused(err)
}

// alreadyThere looks for what a sign-up with a key may collide with: the key, which is an error, and then the address.
func (e *Engine) alreadyThere(ctx context.Context, key *store.SecurityKey, emailKey string) (*store.Account, error) {
	_, err := e.store.User(ctx, store.UserQuery{CredentialID: key.CredentialID, Now: e.now()})
	if err == nil {
		return nil, errKeyTaken
	}
	if !errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("find security key: %w", err)
	}
	a, err := e.store.User(ctx, store.UserQuery{EmailKey: emailKey, Now: e.now()})
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find pending sign-up: %w", err)
	}
	return &a, nil
}

// signUpKeyAgain is a sign-up with an address that has an account: see signUpAgain, of which it differs in that a new
// key is always another proof than the one before.
func (e *Engine) signUpKeyAgain(ctx context.Context, n newcomer, a *store.Account) (*SignInResult, error) {
	if !pending(&a.User) {
		return e.signUpTaken(ctx, a.User, methodWebAuthn)
	}
	in, err := e.replaceSignUp(ctx, a.User, n)
	return in, refused(err)
}

// or returns o with what is set in later replaced.
func (o SignUpOptions) or(later SignUpOptions) SignUpOptions {
	if later.AllowedRoles != nil {
		o.AllowedRoles = later.AllowedRoles
	}
	if later.Metadata != nil {
		o.Metadata = later.Metadata
	}
	for _, f := range []struct{ to, from *string }{
		{&o.DefaultRole, &later.DefaultRole},
		{&o.DisplayName, &later.DisplayName},
		{&o.Locale, &later.Locale},
		{&o.RedirectTo, &later.RedirectTo},
	} {
		if *f.from != "" {
			*f.to = *f.from
		}
	}
	return o
}

// SignInWebAuthnParams says who wants to sign in with a security key.
type SignInWebAuthnParams struct {
	// Email names the user, for keys that do not know theirs. Without it, any discoverable credential (passkey) will do.
	Email string
}

// signInKey is what a sign-in that has begun remembers.
type signInKey struct {
	Named bool        `json:"named"` // an address was given: only its user's keys will do
	Keys  []uuid.UUID `json:"keys"`  // those offered; nil for any
}

// SignInWebAuthn begins a sign-in with a security key: it returns the options for using one. For an address without an
// account, or without a key, they name keys that nobody has, always the same ones for as long as the oldest of the
// configured secrets stays, so that the answer tells nothing. It costs one round trip, and two with an address.
//
// Errors: [ErrDisabledEndpoint] without Config.WebAuthn; [ErrInvalidRequest] if Email is not an address;
// [ErrTooManyRequests].
func (e *Engine) SignInWebAuthn(ctx context.Context, p SignInWebAuthnParams) (_ *RequestOptions, err error) {
	defer e.begin(&ctx, "SignInWebAuthn").end(&err)
	if e.config.WebAuthn == nil {
		return nil, ErrDisabledEndpoint
	}
	var begun signInKey
	var offered []CredentialDescriptor
	address, err := emailaddr.Parse(p.Email)
	if err != nil && p.Email != "" {
		return nil, ErrInvalidRequest.saying("email is not an address").because(err)
	}
	if err := e.mayBegin(ctx); err != nil {
		return nil, err
	}
	if p.Email != "" {
		a, err := e.store.User(ctx, store.UserQuery{EmailKey: address.Canonical, With: store.WithSecurityKeys, Now: e.now()})
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, fmt.Errorf("find user: %w", err)
		}
		if e.config.ConcealErrors && !a.EmailVerified && (a.Disabled || !e.config.Email.AllowUnverified) {
			// Whoever has signed up with somebody's address would see by their own key that it was free.
			a = store.Account{}
		}
		begun = signInKey{Named: true, Keys: keyIDs(a.SecurityKeys)}
		offered = descriptors(a.SecurityKeys)
		if len(offered) == 0 {
			offered = e.decoys(address.Canonical)
		}
	}
	challenge, err := e.challenge(ctx, kindSignInKey, uuid.NewString(), uuid.Nil, begun)
	if err != nil {
		return nil, err
	}
	return e.requestOptions(challenge, offered, e.config.WebAuthn.UserVerification), nil
}

// VerifySignInWebAuthnParams ends a sign-in with a security key.
type VerifySignInWebAuthnParams struct {
	Credential json.RawMessage // what navigator.credentials.get came back with: PublicKeyCredential.toJSON()
	Email      string          // not needed; if set, it must be the user's
}

// VerifySignInWebAuthn ends a sign-in with a security key and opens a session for the key's user. It costs three round
// trips. The challenge is used up, whatever comes of it.
//
// Errors: [ErrDisabledEndpoint] without Config.WebAuthn; [ErrInvalidRequest], always the same, for a credential that is
// not an answer to a challenge of such a sign-in, or that is not known here, or that WebAuthn L3 §7.2 or the
// configuration refuse; after that the account's state: [ErrDisabledUser], [ErrUnverifiedUser],
// [ErrInvalidEmailPassword] if the access lists do not admit the address. With Config.ConcealErrors the state is not told
// either, not even by another message. And [ErrTooManyRequests], before any of it.
func (e *Engine) VerifySignInWebAuthn(ctx context.Context, p VerifySignInWebAuthnParams) (_ *SignInResult, err error) {
	defer e.begin(&ctx, "VerifySignInWebAuthn").end(&err)
	if e.config.WebAuthn == nil {
		return nil, ErrDisabledEndpoint
	}
	emailKey := ""
	if p.Email != "" {
		address, err := emailaddr.Parse(p.Email)
		if err != nil {
			return nil, ErrInvalidRequest.saying("email is not an address").because(err)
		}
		emailKey = address.Canonical
	}
	answer, err := ceremony.ParseAssertion(p.Credential)
	if err != nil {
		return nil, errCredential.because(err)
	}
	presented, err := e.mayPresent(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { presented(err) }()
	var begun signInKey
	ticket, _, err := e.presented(ctx, kindSignInKey, answer.Challenge(), &begun)
	if err != nil {
		return nil, err
	}
	a, err := e.store.User(ctx, store.UserQuery{CredentialID: answer.CredentialID(), With: store.WithSecurityKeys, Now: e.now()})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("find security key: %w", err)
	}
	use, err := e.assert(ctx, &a, answer, begun.Keys, e.config.WebAuthn.UserVerification)
	switch {
	case err != nil:
	case emailKey != "" && emailKey != a.EmailKey:
		err = errCredential.because(errors.New("another user's e-mail address"))
	case !begun.Named && len(answer.UserHandle()) == 0:
		err = errCredential.because(errors.New("no user handle, and nobody was asked for"))
	}
	if err != nil {
		e.emit(ctx, Event{Type: EventSignInFailed, UserID: a.ID, Method: methodWebAuthn, Code: codeOf(err)})
		return nil, err
	}
	in, err := e.enter(ctx, entry{
		user: a.User, method: methodWebAuthn, amr: amrOfKey(use.UserVerified),
		change: &store.UserChange{Redeem: ticket, UseKey: use},
	})
	err = refused(err)
	if known := (*Error)(nil); e.config.ConcealErrors && errors.As(err, &known) && known.conceal {
		err = errCredential.because(concealed{err})
	}
	return in, err
}

// AddSecurityKey begins the addition of a security key to the principal's account: it returns the options for creating
// one. It is protected as [Engine.Elevate] says, except for users who could not step up: those without a key, and, within
// ten minutes of their sign-in, those none of whose keys has ever verified its user where a step-up demands that. It costs
// two round trips.
//
// Errors: [ErrDisabledEndpoint] without Config.WebAuthn; [ErrForbiddenAnonymous]; [ErrElevationRequired];
// [ErrInvalidRequest] if the user has Config.WebAuthn.MaxPerUser keys; otherwise as at [Engine.User].
func (e *Engine) AddSecurityKey(ctx context.Context, principal *Principal) (_ *CreationOptions, err error) {
	defer e.begin(&ctx, "AddSecurityKey").end(&err)
	defer e.refusal(ctx, principal, "AddSecurityKey", &err)
	if e.config.WebAuthn == nil {
		return nil, ErrDisabledEndpoint
	}
	if err := regular(principal); err != nil {
		return nil, err
	}
	a, err := e.account(ctx, principal, store.WithSecurityKeys)
	if err != nil {
		return nil, err
	}
	begun := boundTo{Session: principal.SessionID, Handle: handleOf(&a.User, a.SecurityKeys)}
	within := e.config.Elevation.FirstKeyWithin
	if within != 0 && len(a.SecurityKeys) == 0 && e.sinceSignIn(&a, principal) > within {
		return nil, ErrElevationRequired
	}
	if _, err := e.mayDo(&a, principal, addingKey); err != nil {
		if begun.Unable = e.cannotStepUp(&a, principal); !begun.Unable {
			return nil, err
		}
	}
	if len(a.SecurityKeys) >= e.config.WebAuthn.MaxPerUser {
		return nil, ErrInvalidRequest.saying(fmt.Sprintf("a user may have at most %d security keys", e.config.WebAuthn.MaxPerUser))
	}
	challenge, err := e.challenge(ctx, kindAddKey, slotOf(principal), principal.UserID, begun)
	if err != nil {
		return nil, err
	}
	return e.creationOptions(challenge, &a.User, a.SecurityKeys), nil
}

// VerifyAddSecurityKeyParams ends the addition of a security key.
type VerifyAddSecurityKeyParams struct {
	Credential json.RawMessage // what navigator.credentials.create came back with: PublicKeyCredential.toJSON()
	Nickname   string          // of the key, at most 64 characters
}

// VerifyAddSecurityKey ends the addition of a security key that the same session began. It is protected like the
// beginning. The owner of a verified address gets a letter. It costs two round trips, and one more for the letter. The
// challenge is used up, whatever comes of it.
//
// Errors: [ErrDisabledEndpoint] without Config.WebAuthn; [ErrForbiddenAnonymous]; [ErrElevationRequired];
// [ErrUnauthenticated]; [ErrInvalidRequest] for a credential that is not an answer to a challenge of this session, or
// that WebAuthn L3 §7.1 or the configuration refuse, or that is registered already, for this user or another; the
// account's state, as at [Engine.User].
func (e *Engine) VerifyAddSecurityKey(ctx context.Context, principal *Principal, p VerifyAddSecurityKeyParams) (_ *SecurityKey, err error) {
	defer e.begin(&ctx, "VerifyAddSecurityKey").end(&err)
	defer e.refusal(ctx, principal, "VerifyAddSecurityKey", &err)
	if e.config.WebAuthn == nil {
		return nil, ErrDisabledEndpoint
	}
	if err := regular(principal); err != nil {
		return nil, err
	}
	if err := checkNickname(p.Nickname); err != nil {
		return nil, err
	}
	answer, err := ceremony.ParseRegistration(p.Credential)
	if err != nil {
		return nil, errCredential.because(err)
	}
	var begun boundTo
	ticket, u, err := e.presented(ctx, kindAddKey, answer.Challenge(), &begun)
	if err != nil {
		return nil, err
	}
	if u.ID != principal.UserID || begun.Session != principal.SessionID {
		return nil, errCredential.because(errors.New("the challenge is another session's"))
	}
	if err := e.mayEnter(&u); err != nil {
		return nil, err
	}
	// A second factor may have come since the beginning.
	if err := e.mayWithSecond(&store.Account{User: u}, principal); err != nil {
		return nil, err
	}
	key, err := e.newKey(answer, u.ID, begun.Handle, p.Nickname)
	if err != nil {
		return nil, err
	}
	told, err := e.notice(ctx, "security-key-added", &u)
	if err != nil {
		return nil, err
	}
	what := addingKey
	if begun.Unable {
		what = addingFirstUseful
	}
	err = e.changeProtected(ctx, principal, what, store.UserChange{
		UserID: u.ID, Now: e.now(), Redeem: ticket, SecurityKey: key, Messages: told.rows(),
	})
	if err != nil {
		return nil, refused(err)
	}
	e.emit(ctx, Event{Type: EventSecurityKeyAdded, UserID: u.ID, SessionID: principal.SessionID, Detail: key.ID.String()})
	e.deliver(ctx, told...)
	return publicKey(key), nil
}

// RelatedOrigins returns the web origins that may use this relying party's credentials, for the document
// /.well-known/webauthn that browsers fetch from Config.WebAuthn.RPID when a page of another domain asks for one
// (WebAuthn L3 §5.11). It is empty without Config.WebAuthn.
func (e *Engine) RelatedOrigins() []string {
	origins := []string{}
	if e.config.WebAuthn != nil {
		for _, o := range e.config.WebAuthn.Origins {
			if isWebOrigin(o) {
				origins = append(origins, o)
			}
		}
	}
	return origins
}

// boundTo is what a ceremony of a signed-in user remembers.
type boundTo struct {
	Session uuid.UUID           `json:"session"`
	Keys    []store.SecurityKey `json:"keys,omitempty"`   // those offered
	Handle  []byte              `json:"handle,omitempty"` // that the new key is told
	Unable  bool                `json:"unable,omitempty"` // to step up: see cannotStepUp
}

// slotOf keeps one ceremony of a kind for each session.
func slotOf(p *Principal) string { return p.UserID.String() + " " + p.SessionID.String() }

// What may be wrong with an answer is nothing that the client could mend, and much of it nothing that a stranger should
// learn: one message for all.
var (
	errCredential = ErrInvalidRequest.saying("the credential could not be verified")
	errKeyTaken   = ErrInvalidRequest.saying("this security key is registered already")
)

// refused translates what a store may say to the last step of a ceremony.
func refused(err error) error {
	if known := (*Error)(nil); errors.As(err, &known) {
		return err
	}
	if errors.Is(err, store.ErrConflict{Field: store.FieldCredential}) {
		return errKeyTaken.because(err)
	}
	if errors.Is(err, store.ErrUnmet{Condition: store.ConditionEnabled}) {
		return ErrDisabledUser.because(err)
	}
	for _, c := range []store.Condition{store.ConditionTicket, store.ConditionEpoch, store.ConditionSignCount} {
		if errors.Is(err, store.ErrUnmet{Condition: c}) {
			return errCredential.because(err)
		}
	}
	if errors.Is(err, store.ErrNotFound) {
		return errCredential.because(err)
	}
	return err
}

// challenge begins a ceremony: it stores a ticket whose secret is the challenge.
func (e *Engine) challenge(ctx context.Context, kind, slot string, userID uuid.UUID, data any) (string, error) {
	var random [32]byte
	rand.Read(random[:]) //nolint:errcheck // never fails; a broken source ends the program
	text := base64.RawURLEncoding.EncodeToString(random[:])
	t, err := e.newTicket(kind, slot, userID, kind+":"+text, e.config.Tickets.WebAuthn, data)
	if err != nil {
		return "", err
	}
	t.Tries = 1 // whoever presents it has had their try, whatever comes of it
	err = e.store.PutTicket(ctx, *t)
	if errors.Is(err, store.ErrNotFound) {
		return "", ErrUnauthenticated.because(err)
	}
	if err != nil {
		return "", fmt.Errorf("store challenge: %w", err)
	}
	return text, nil
}

// presented uses up the challenge of a ceremony and returns its ticket, to be redeemed by what the ceremony brings about,
// and its user, if it has one.
func (e *Engine) presented(ctx context.Context, kind, challenge string, data any) (uuid.UUID, store.User, error) {
	t, u, err := e.check(ctx, kind, kind+":"+challenge, data)
	if errors.Is(err, ErrInvalidTicket) {
		e.refusedTicket(ctx, uuid.Nil, kind, err)
		return t.ID, u, errCredential.because(err)
	}
	return t.ID, u, err
}

// newKey verifies a new credential and makes its record.
func (e *Engine) newKey(answer *ceremony.Registration, userID uuid.UUID, handle []byte, nickname string) (*store.SecurityKey, error) {
	c := e.config.WebAuthn
	made, err := e.rules.passkeys.Register(answer, ceremony.Expectation{
		UserVerification: c.UserVerification == UserVerificationRequired,
		UserHandle:       handle,
	})
	if err != nil {
		return nil, errCredential.because(err)
	}
	if e.isDecoy(made.ID) { // which no authenticator makes: somebody wants to know whether it is one
		return nil, errKeyTaken
	}
	if len(c.AllowedAAGUIDs) > 0 && !slices.Contains(c.AllowedAAGUIDs, made.AAGUID) || slices.Contains(c.DeniedAAGUIDs, made.AAGUID) {
		return nil, ErrInvalidRequest.saying("security keys of this model are not accepted")
	}
	return &store.SecurityKey{
		ID: uuid.New(), UserID: userID,
		CredentialID: made.ID, PublicKey: made.PublicKey, UserHandle: handle,
		SignCount: made.SignCount, BackupEligible: made.BackupEligible, BackupState: made.BackupState, UserVerified: made.UserVerified,
		Transports: made.Transports, AAGUID: made.AAGUID, AttestationFormat: made.AttestationFormat, Attachment: made.Attachment,
		Nickname: nickname, CreatedAt: e.now(),
	}, nil
}

// assert verifies that the account's owner has used one of the keys offered. An account without the key, and one that is
// none, take as long as a wrong signature.
func (e *Engine) assert(ctx context.Context, a *store.Account, answer *ceremony.Assertion, offered []uuid.UUID, uv UserVerification) (*store.KeyUse, error) {
	c := e.config.WebAuthn
	want := ceremony.Expectation{
		UserVerification: uv == UserVerificationRequired,
	}
	key, err := keyOf(a, answer, offered)
	if err != nil {
		e.rules.passkeys.Decoy(answer, want)
		return nil, errCredential.because(err)
	}
	want.UserHandle = answer.UserHandle()
	use, err := e.rules.passkeys.Assert(answer, ceremony.Credential{
		ID: key.CredentialID, PublicKey: key.PublicKey, SignCount: key.SignCount,
		BackupEligible: key.BackupEligible, BackupState: key.BackupState,
		AAGUID: key.AAGUID, AttestationFormat: key.AttestationFormat,
	}, want)
	if err != nil {
		return nil, errCredential.because(err)
	}
	if use.Rollback {
		e.emit(ctx, Event{Type: EventSignCountRollback, UserID: a.ID, Method: methodWebAuthn, Code: CodeInvalidRequest, Detail: key.ID.String()})
		if !c.AllowRollback {
			return nil, errCredential.because(errors.New("the signature counter did not grow: there may be a copy of the key"))
		}
	}
	return &store.KeyUse{
		ID: key.ID, WasSignCount: key.SignCount, SignCount: use.SignCount,
		BackupState: use.BackupState, UserVerified: use.UserVerified,
	}, nil
}

// keyOf finds the key that was used among those of the account (WebAuthn L3 §7.2 steps 5 to 7).
func keyOf(a *store.Account, answer *ceremony.Assertion, offered []uuid.UUID) (*store.SecurityKey, error) {
	id := answer.CredentialID()
	i := slices.IndexFunc(a.SecurityKeys, func(k store.SecurityKey) bool { return bytes.Equal(k.CredentialID, id) })
	if i < 0 {
		return nil, errors.New("no such key")
	}
	key := &a.SecurityKeys[i]
	if offered != nil && !slices.Contains(offered, key.ID) {
		return nil, errors.New("not one of the keys that were offered")
	}
	if h := answer.UserHandle(); len(h) > 0 && !isHandle(h, key) {
		return nil, errors.New("another user's handle")
	}
	return key, nil
}

// isHandle reports whether h is the handle that the key was made with, in one of the forms that servers and clients of the
// documented API have made of it: the bytes of the user's id; the id's text; what base64url makes of that text; and the
// base64url of the bytes as text.
func isHandle(h []byte, key *store.SecurityKey) bool {
	handle := key.UserHandle
	if len(handle) == 0 {
		handle = key.UserID[:]
	}
	if bytes.Equal(h, handle) || string(h) == base64.RawURLEncoding.EncodeToString(handle) {
		return true
	}
	id, err := uuid.FromBytes(handle)
	return err == nil && (string(h) == id.String() || base64.RawURLEncoding.EncodeToString(h) == id.String())
}
