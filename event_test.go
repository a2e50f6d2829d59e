package auth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/captcha"
	"github.com/ostiary/auth/limit"
	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/storetest"
)

// scene is an engine that tells everything to everybody, and what must not be told of it.
type scene struct {
	*authtest.Engine
	t       *testing.T
	abroad  *abroad
	secrets *hoard
	printed bytes.Buffer // what a service prints by mistake: params, results and errors
	hooks   *receivers
	began   int // how many events there had been when what is looked at began
}

const (
	sceneSecret      = "canary-of-the-engine-0123456789abcdef"
	sceneNewPassword = "canary-password-of-tomorrow"
	sceneWrong       = "canary-password-of-nobody"
	adaAddress       = "ada.of-the-canaries@example.com"
	otherAddress     = "bob.of-the-canaries@example.com"
)

func newScene(t *testing.T, f eventFlow) *scene {
	t.Helper()
	var db store.Store = memstore.New()
	if f.store != nil {
		db = f.store()
	}
	s := &scene{t: t, secrets: &hoard{secrets: map[string]string{}}, hooks: &receivers{}, abroad: newAbroad(t, "openid", nil)}
	s.Engine = authtest.NewWithStore(t, db, everything, func(c *auth.Config) {
		c.Secret, c.WebAuthn.UserVerification = auth.Secret(sceneSecret), ""
		c.Providers = map[string]provider.Provider{"openid": watched{s.abroad.provider, s.say, s.secrets.keep}}
		c.HTTPClient = &http.Client{Transport: split{s.hooks, s.abroad.transport}}
		c.Webhooks = []auth.WebhookConfig{hookTo("all")}
		c.Events = auth.FanOut(c.Events, auth.LogEvents(c.Logger))
		s.say(*c, c)
		if f.amend != nil {
			f.amend(c)
		}
	})
	s.abroad.idp.SetNow(s.Clock.Now)
	s.say(s.Engine.Engine, struct{ E *auth.Engine }{s.Engine.Engine})
	s.secrets.keep("secret of the engine", sceneSecret)
	s.secrets.keep("secret of a webhook", string(hookSecret('k')[6:]), strings.Repeat("k", 32), "canary-of-the-url")
	s.secrets.keep("client secret", s.abroad.client.Secret)
	s.secrets.keep("password", authtest.Password, sceneNewPassword, sceneWrong)
	s.secrets.keep("address", adaAddress, otherAddress)
	s.secrets.keep("number", adaPhone, bobPhone)
	return s
}

// split sends webhooks to one and the rest to another.
type split struct{ hooks, rest http.RoundTripper }

func (s split) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host == "all.test" {
		return s.hooks.RoundTrip(r)
	}
	return s.rest.RoundTrip(r)
}

// say prints what a service may print by mistake, and logs errors as it does.
func (s *scene) say(values ...any) {
	for _, v := range values {
		if err, ok := v.(error); ok && s.Engine != nil {
			s.Logs.Logger().Error("a call failed", slog.Any("error", err))
			s.printed.WriteString(err.Error())
		}
		for _, text := range prints(v) {
			s.printed.WriteString(text + "\n")
		}
	}
}

// begin says that what happens from here on is looked at.
func (s *scene) begin() { s.began = len(s.Events.All()) }

// must takes what a call returned that had to succeed, and keeps its secrets.
func must[T any](s *scene) func(T, error) T {
	return func(v T, err error) T {
		s.t.Helper()
		if err != nil {
			s.t.Fatal(err)
		}
		if _, plain := any(v).([]string); !plain {
			s.say(v)
		}
		s.keep(v)
		return v
	}
}

func (s *scene) done(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// refused takes the error of a call that had to fail.
func (s *scene) refused(err, want error) {
	s.t.Helper()
	if !errors.Is(err, want) {
		s.t.Errorf("%v, want %v", err, want)
	}
	s.say(err)
}

// keep keeps the secrets of what a call has returned.
func (s *scene) keep(v any) {
	switch v := v.(type) {
	case *auth.Session:
		s.secrets.keep("session", v.RefreshToken, v.AccessToken, strings.Split(v.AccessToken, ".")[2])
	case *auth.SignInResult:
		if v.Session != nil {
			s.keep(v.Session)
		}
		if v.MFA != nil {
			s.secrets.keep("ticket of a second factor", v.MFA.Ticket)
		}
		s.secrets.keep("code", v.Code)
	case *auth.VerifiedTicket:
		s.keep(&auth.SignInResult{Session: v.Session, MFA: v.MFA, Code: v.Code})
	case *auth.ProviderResult:
		s.keep(&v.SignInResult)
	case *auth.ProviderStart:
		s.secrets.keep("state", v.State, v.Binding, v.URL)
	case *auth.ProviderTokens:
		s.secrets.keep("token of a provider", v.AccessToken, v.RefreshToken)
	case *auth.PAT:
		s.secrets.keep("personal access token", v.Token)
	case *auth.TOTPEnrolment:
		s.secrets.keep("TOTP secret", v.Secret, v.URI)
	case []string:
		for _, code := range v {
			s.secrets.keep("recovery code", code, strings.ReplaceAll(code, "-", ""))
		}
	}
}

// user signs a user up with the password of package authtest.
func (s *scene) user(email string) (*auth.Session, *auth.Principal) {
	s.t.Helper()
	session := s.SignUp(s.t, email)
	s.keep(session)
	return session, s.Principal(s.t, session)
}

// secret is what the last letter to an address has brought.
func (s *scene) secret(email string) string {
	s.t.Helper()
	secret := s.Mailbox.Last(s.t, email).Ticket()
	_, bare, _ := strings.Cut(secret, ":")
	s.secrets.keep("ticket", secret, bare)
	return secret
}

func (s *scene) text(number string) string {
	s.t.Helper()
	code := s.Phone.Last(s.t, number).Code
	s.secrets.keep("code", code)
	return code
}

func (s *scene) totp(secret string) string {
	code := nextCode(s.t, s.Engine, secret)
	s.secrets.keep("code of an app", code)
	return code
}

// enrolled gives a user a second factor, and returns its secret.
func (s *scene) enrolled(p *auth.Principal) string {
	s.t.Helper()
	made := must[*auth.TOTPEnrolment](s)(s.GenerateTOTP(s.t.Context(), p, auth.GenerateTOTPParams{}))
	s.done(s.SetMFA(s.t.Context(), p, auth.SetMFAParams{Type: auth.MFATypeTOTP, Code: s.totp(made.Secret)}))
	return made.Secret
}

func (s *scene) tourist() *tourist { return &tourist{s.Engine, s.abroad} }

// eventFlow is something that somebody does, and the events of it: all of them, in their order.
type eventFlow struct {
	name  string
	amend func(*auth.Config)
	store func() store.Store // in place of a memory store that works
	run   func(s *scene) []auth.Event
}

// over is the flow with something between the engine and its store.
func (f eventFlow) over(wrap func(store.Store) store.Store) eventFlow {
	inner := f.store
	f.store = func() store.Store {
		if inner == nil {
			return wrap(memstore.New())
		}
		return wrap(inner())
	}
	return f
}

const (
	viaPassword = "password"
	viaEmail    = "email"
	viaSMS      = "sms"
)

func ev(t auth.EventType, change ...func(*auth.Event)) auth.Event {
	e := auth.Event{Type: t}
	for _, f := range change {
		f(&e)
	}
	return e
}

func of(id uuid.UUID) func(*auth.Event)     { return func(e *auth.Event) { e.UserID = id } }
func by(method string) func(*auth.Event)    { return func(e *auth.Event) { e.Method = method } }
func because(c auth.Code) func(*auth.Event) { return func(e *auth.Event) { e.Code = c } }
func detail(text string) func(*auth.Event)  { return func(e *auth.Event) { e.Detail = text } }
func within(id uuid.UUID) func(*auth.Event) { return func(e *auth.Event) { e.SessionID = id } }
func acting(p *auth.Principal) func(*auth.Event) {
	return func(e *auth.Event) { e.UserID, e.SessionID = p.UserID, p.SessionID }
}

func in(s *auth.Session) func(*auth.Event) {
	return func(e *auth.Event) { e.UserID, e.SessionID = s.User.ID, s.RefreshTokenID }
}

// eventFlows are all ways to make something happen that an operator should see. Their events are those of event.go, each at least
// once.
var eventFlows = []eventFlow{
	{name: "a sign-up and its proof", run: func(s *scene) []auth.Event {
		p := auth.SignUpPasswordParams{Email: adaAddress, Password: authtest.Password}
		s.say(p, &p)
		must[*auth.SignInResult](s)(s.SignUpPassword(s.t.Context(), p))
		v := auth.VerifyTicketParams{Ticket: s.secret(adaAddress)}
		s.say(v, &v)
		r := must[*auth.VerifiedTicket](s)(s.VerifyTicket(s.t.Context(), v))
		id := r.Session.User.ID
		return []auth.Event{ev(auth.EventUserCreated, of(id), by(viaPassword)), ev(auth.EventSignedIn, in(r.Session), by(viaEmail)), ev(auth.EventEmailVerified, in(r.Session))}
	}},
	{name: "a sign-up with an address that is taken", run: func(s *scene) []auth.Event {
		_, p := s.user(adaAddress)
		s.begin()
		_, err := s.SignUpPassword(s.t.Context(), auth.SignUpPasswordParams{Email: adaAddress, Password: sceneNewPassword})
		s.refused(err, auth.ErrEmailAlreadyInUse)
		return []auth.Event{ev(auth.EventSignUpFailed, of(p.UserID), by(viaPassword), because(auth.CodeEmailAlreadyInUse))}
	}},
	{
		name: "a sign-up that a hook refuses",
		amend: func(c *auth.Config) {
			c.Hooks.BeforeSignUp = func(context.Context, *auth.SignUp) error { return auth.ErrSignUpDisabled }
		},
		run: func(s *scene) []auth.Event {
			_, err := s.SignUpPassword(s.t.Context(), auth.SignUpPasswordParams{Email: adaAddress, Password: authtest.Password})
			s.refused(err, auth.ErrSignUpDisabled)
			return []auth.Event{ev(auth.EventSignUpFailed, by(viaPassword), because(auth.CodeSignUpDisabled))}
		},
	},
	{name: "a sign-in, right and wrong", run: func(s *scene) []auth.Event {
		_, p := s.user(adaAddress)
		s.begin()
		for _, who := range []string{adaAddress, otherAddress} {
			params := auth.SignInPasswordParams{Email: who, Password: sceneWrong}
			s.say(params, &params)
			_, err := s.SignInPassword(s.t.Context(), params)
			s.refused(err, auth.ErrInvalidEmailPassword)
		}
		r := must[*auth.SignInResult](s)(s.SignInPassword(s.t.Context(), auth.SignInPasswordParams{Email: adaAddress, Password: authtest.Password}))
		return []auth.Event{
			ev(auth.EventSignInFailed, of(p.UserID), by(viaPassword), because(auth.CodeInvalidEmailPassword)),
			ev(auth.EventSignInFailed, by(viaPassword), because(auth.CodeInvalidEmailPassword)),
			ev(auth.EventSignedIn, in(r.Session), by(viaPassword)),
		}
	}},
	{name: "sessions end", run: func(s *scene) []auth.Event {
		first, p := s.user(adaAddress)
		second, third := s.SignIn(s.t, adaAddress), s.SignIn(s.t, adaAddress)
		s.begin()
		s.done(s.SignOut(s.t.Context(), nil, auth.SignOutParams{RefreshToken: second.RefreshToken}))
		s.done(s.RevokeSession(s.t.Context(), p, third.RefreshTokenID))
		next := must[*auth.Session](s)(s.Refresh(s.t.Context(), auth.RefreshParams{RefreshToken: first.RefreshToken}))
		_ = must[*auth.Session](s)(s.Refresh(s.t.Context(), auth.RefreshParams{RefreshToken: next.RefreshToken}))
		s.done(s.SignOut(s.t.Context(), p, auth.SignOutParams{All: true}))
		return []auth.Event{
			ev(auth.EventSignedOut, within(second.RefreshTokenID)),
			ev(auth.EventSessionRevoked, of(p.UserID), within(third.RefreshTokenID)),
			ev(auth.EventSignedOut, acting(p), detail("all")),
		}
	}},
	{name: "a refresh token that is used again", run: func(s *scene) []auth.Event {
		session, p := s.user(adaAddress)
		_ = must[*auth.Session](s)(s.Refresh(s.t.Context(), auth.RefreshParams{RefreshToken: session.RefreshToken}))
		s.Clock.Advance(time.Minute)
		s.begin()
		_, err := s.Refresh(s.t.Context(), auth.RefreshParams{RefreshToken: session.RefreshToken})
		s.refused(err, auth.ErrInvalidRefreshToken)
		return []auth.Event{ev(auth.EventRefreshTokenReused, acting(p), because(auth.CodeInvalidRefreshToken))}
	}},
	{name: "a password is reset", run: func(s *scene) []auth.Event {
		_, p := s.user(adaAddress)
		s.begin()
		s.done(s.SendPasswordReset(s.t.Context(), auth.SendPasswordResetParams{Email: adaAddress}))
		ticket := s.secret(adaAddress)
		s.done(s.SendPasswordReset(s.t.Context(), auth.SendPasswordResetParams{Email: otherAddress}))
		params := auth.ChangePasswordParams{Ticket: ticket, NewPassword: sceneNewPassword}
		s.say(params, &params)
		s.done(s.ChangePassword(s.t.Context(), nil, params))
		s.refused(s.ChangePassword(s.t.Context(), nil, params), auth.ErrInvalidTicket)
		return []auth.Event{
			ev(auth.EventPasswordResetAsked, of(p.UserID)), ev(auth.EventPasswordResetAsked),
			ev(auth.EventPasswordChanged, of(p.UserID), detail("reset")),
			ev(auth.EventTicketRefused, because(auth.CodeInvalidTicket), detail("passwordReset")),
		}
	}},
	{name: "a password that somebody else may know", run: func(s *scene) []auth.Event {
		_, p := s.user(adaAddress)
		s.begin()
		s.done(s.RevokePassword(s.t.Context(), p.UserID))
		s.secret(adaAddress)
		return []auth.Event{ev(auth.EventPasswordRevoked, of(p.UserID))}
	}},
	{name: "a role that is not one's own", run: func(s *scene) []auth.Event {
		_, p := s.user(adaAddress)
		s.begin()
		s.done(s.CheckRole(s.t.Context(), p, "me"))
		s.refused(s.CheckRole(s.t.Context(), p, "editor"), auth.ErrRoleNotAllowed)
		return []auth.Event{ev(auth.EventRefused, acting(p), because(auth.CodeRoleNotAllowed), detail("CheckRole"))}
	}},
	{name: "a password is reset by who has not proven their address", run: func(s *scene) []auth.Event {
		must[*auth.SignInResult](s)(s.SignUpPassword(s.t.Context(), auth.SignUpPasswordParams{Email: adaAddress, Password: authtest.Password}))
		s.done(s.SendPasswordReset(s.t.Context(), auth.SendPasswordResetParams{Email: adaAddress}))
		id := s.Events.Of(auth.EventUserCreated)[0].UserID
		s.begin()
		s.done(s.ChangePassword(s.t.Context(), nil, auth.ChangePasswordParams{Ticket: s.secret(adaAddress), NewPassword: sceneNewPassword}))
		return []auth.Event{ev(auth.EventPasswordChanged, of(id), detail("reset")), ev(auth.EventEmailVerified, of(id), detail("displaced"))}
	}},
	{name: "a password is changed", run: func(s *scene) []auth.Event {
		_, p := s.user(adaAddress)
		s.begin()
		s.refused(s.ChangePassword(s.t.Context(), p, auth.ChangePasswordParams{CurrentPassword: sceneWrong, NewPassword: sceneNewPassword}), auth.ErrInvalidEmailPassword)
		s.done(s.ChangePassword(s.t.Context(), p, auth.ChangePasswordParams{CurrentPassword: authtest.Password, NewPassword: sceneNewPassword}))
		return []auth.Event{
			ev(auth.EventSignInFailed, acting(p), by(viaPassword), because(auth.CodeInvalidEmailPassword)), ev(auth.EventPasswordChanged, acting(p)),
		}
	}},
	{name: "a link signs in, once", run: func(s *scene) []auth.Event {
		_, p := s.user(adaAddress)
		s.begin()
		s.done(s.SendMagicLink(s.t.Context(), auth.SendMagicLinkParams{Email: adaAddress}))
		params := auth.VerifyTicketParams{Ticket: s.secret(adaAddress)}
		v := must[*auth.VerifiedTicket](s)(s.VerifyTicket(s.t.Context(), params))
		_, err := s.VerifyTicket(s.t.Context(), params)
		s.refused(err, auth.ErrInvalidTicket)
		_, err = s.VerifyTicket(s.t.Context(), auth.VerifyTicketParams{Ticket: sceneWrong})
		s.refused(err, auth.ErrInvalidTicket)
		return []auth.Event{
			ev(auth.EventSignInAsked, of(p.UserID), by(viaEmail)), ev(auth.EventSignedIn, in(v.Session), by(viaEmail)),
			ev(auth.EventTicketRefused, because(auth.CodeInvalidTicket), detail("passwordlessEmail")),
			ev(auth.EventTicketRefused, because(auth.CodeInvalidTicket)),
		}
	}},
	{
		name: "a link is asked for where nobody signs up", amend: func(c *auth.Config) { c.SignUp.Disabled, c.ConcealErrors = true, true },
		run: func(s *scene) []auth.Event {
			s.done(s.SendMagicLink(s.t.Context(), auth.SendMagicLinkParams{Email: adaAddress}))
			return []auth.Event{ev(auth.EventSignInAsked, by(viaEmail))}
		},
	},
	{name: "a link signs up, and its code is exchanged", run: func(s *scene) []auth.Event {
		verifier := strings.Repeat("canary-verifier-", 3)
		s.secrets.keep("PKCE verifier", verifier)
		s.done(s.SendMagicLink(s.t.Context(), auth.SendMagicLinkParams{Email: adaAddress, CodeChallenge: challengeFor(verifier)}))
		v := must[*auth.VerifiedTicket](s)(s.VerifyTicket(s.t.Context(), auth.VerifyTicketParams{Ticket: s.secret(adaAddress)}))
		params := auth.ExchangeCodeParams{Code: v.Code, CodeVerifier: verifier}
		s.say(params, &params)
		r := must[*auth.SignInResult](s)(s.ExchangeCode(s.t.Context(), params))
		_, err := s.ExchangeCode(s.t.Context(), params)
		s.refused(err, auth.ErrInvalidRequest)
		id := r.Session.User.ID
		return []auth.Event{
			ev(auth.EventUserCreated, of(id), by(viaEmail)), ev(auth.EventEmailVerified, of(id), detail("displaced")),
			ev(auth.EventSignedIn, in(r.Session), by(viaEmail)), ev(auth.EventTicketRefused, because(auth.CodeInvalidTicket), detail("code")),
		}
	}},
	{name: "a code in a letter, wrong and right", run: func(s *scene) []auth.Event {
		_, p := s.user(adaAddress)
		s.begin()
		s.done(s.SendEmailOTP(s.t.Context(), auth.SendEmailOTPParams{Email: adaAddress}))
		code := s.secret(adaAddress)
		params := auth.VerifyEmailOTPParams{Email: adaAddress, OTP: otherCode(code)}
		s.say(params, &params)
		_, err := s.VerifyEmailOTP(s.t.Context(), params)
		s.refused(err, auth.ErrInvalidTicket)
		r := must[*auth.SignInResult](s)(s.VerifyEmailOTP(s.t.Context(), auth.VerifyEmailOTPParams{Email: adaAddress, OTP: code}))
		return []auth.Event{
			ev(auth.EventSignInAsked, of(p.UserID), by(viaEmail)),
			ev(auth.EventSignInFailed, by(viaEmail), because(auth.CodeInvalidTicket)), ev(auth.EventSignedIn, in(r.Session), by(viaEmail)),
		}
	}},
	{name: "a code in a text message, wrong and right", run: func(s *scene) []auth.Event {
		s.done(s.SendSMSOTP(s.t.Context(), auth.SendSMSOTPParams{PhoneNumber: adaPhone}))
		code := s.text(adaPhone)
		params := auth.VerifySMSOTPParams{PhoneNumber: adaPhone, OTP: otherCode(code)}
		s.say(params, &params)
		_, err := s.VerifySMSOTP(s.t.Context(), params)
		s.refused(err, auth.ErrInvalidRequest)
		r := must[*auth.SignInResult](s)(s.VerifySMSOTP(s.t.Context(), auth.VerifySMSOTPParams{PhoneNumber: adaPhone, OTP: code}))
		id := r.Session.User.ID
		return []auth.Event{
			ev(auth.EventUserCreated, of(id), by(viaSMS)), ev(auth.EventSignInFailed, by(viaSMS), because(auth.CodeInvalidRequest)),
			ev(auth.EventSignedIn, in(r.Session), by(viaSMS)), ev(auth.EventPhoneVerified, in(r.Session), detail("displaced")),
		}
	}},
	{name: "a verification is asked for", run: func(s *scene) []auth.Event {
		must[*auth.SignInResult](s)(s.SignUpPassword(s.t.Context(), auth.SignUpPasswordParams{Email: adaAddress, Password: authtest.Password}))
		s.begin()
		s.done(s.SendVerificationEmail(s.t.Context(), auth.SendVerificationEmailParams{Email: adaAddress}))
		s.secret(adaAddress)
		return []auth.Event{ev(auth.EventVerificationAsked, of(s.Events.Of(auth.EventUserCreated)[0].UserID))}
	}},
	{name: "the address changes", run: func(s *scene) []auth.Event {
		_, p := s.user(adaAddress)
		s.begin()
		s.done(s.ChangeEmail(s.t.Context(), p, auth.ChangeEmailParams{NewEmail: otherAddress}))
		must[*auth.VerifiedTicket](s)(s.VerifyTicket(s.t.Context(), auth.VerifyTicketParams{Ticket: s.secret(otherAddress)}))
		return []auth.Event{ev(auth.EventEmailChangeAsked, acting(p)), ev(auth.EventEmailChanged, of(p.UserID))}
	}},
	{name: "the number changes, and was nobody's proven one", run: func(s *scene) []auth.Event {
		_, p := s.user(adaAddress)
		s.done(s.SendSMSOTP(s.t.Context(), auth.SendSMSOTPParams{PhoneNumber: adaPhone}))
		holder := s.Events.Of(auth.EventUserCreated)[1].UserID
		s.begin()
		s.done(s.ChangePhone(s.t.Context(), p, auth.ChangePhoneParams{NewPhoneNumber: adaPhone}))
		code := s.text(adaPhone)
		params := auth.VerifyChangePhoneParams{NewPhoneNumber: adaPhone, OTP: otherCode(code)}
		s.say(params, &params)
		s.refused(s.VerifyChangePhone(s.t.Context(), p, params), auth.ErrInvalidRequest)
		params.OTP = code
		s.done(s.VerifyChangePhone(s.t.Context(), p, params))
		return []auth.Event{
			ev(auth.EventPhoneChangeAsked, acting(p)), ev(auth.EventTicketRefused, of(p.UserID), because(auth.CodeInvalidTicket), detail("phoneChange")),
			ev(auth.EventUserDeleted, of(holder), detail("taken")), ev(auth.EventPhoneChanged, acting(p)),
		}
	}},
	{name: "the number changes, and was in the account of somebody who has not proven it", run: func(s *scene) []auth.Event {
		_, p := s.user(adaAddress)
		_, holder := s.user(otherAddress)
		number := adaPhone
		_, err := s.Store.ChangeUser(s.t.Context(), store.UserChange{UserID: holder.UserID, Now: s.Clock.Now(), Set: store.UserSet{Phone: &number}})
		s.done(err)
		s.begin()
		s.done(s.ChangePhone(s.t.Context(), p, auth.ChangePhoneParams{NewPhoneNumber: adaPhone}))
		s.done(s.VerifyChangePhone(s.t.Context(), p, auth.VerifyChangePhoneParams{NewPhoneNumber: adaPhone, OTP: s.text(adaPhone)}))
		return []auth.Event{
			ev(auth.EventPhoneChangeAsked, acting(p)), ev(auth.EventPhoneChanged, of(holder.UserID), detail("taken")), ev(auth.EventPhoneChanged, acting(p)),
		}
	}},
	{name: "a guest becomes a user", run: func(s *scene) []auth.Event {
		guest := must[*auth.SignInResult](s)(s.SignInAnonymous(s.t.Context(), auth.SignInAnonymousParams{})).Session
		params := auth.DeanonymizeParams{Method: auth.DeanonymizeByPassword, Email: adaAddress, Password: authtest.Password}
		s.say(params, &params)
		s.done(s.Deanonymize(s.t.Context(), s.Principal(s.t, guest), params))
		s.secret(adaAddress)
		return []auth.Event{
			ev(auth.EventUserCreated, of(guest.User.ID), by("anonymous")), ev(auth.EventSignedIn, in(guest), by("anonymous")),
			ev(auth.EventDeanonymized, in(guest), by("email-password")),
		}
	}},
	{name: "a guest becomes a user by their number", run: func(s *scene) []auth.Event {
		guest := must[*auth.SignInResult](s)(s.SignInAnonymous(s.t.Context(), auth.SignInAnonymousParams{})).Session
		p := s.Principal(s.t, guest)
		s.begin()
		s.done(s.Deanonymize(s.t.Context(), p, auth.DeanonymizeParams{Method: auth.DeanonymizeBySMS, PhoneNumber: adaPhone}))
		params := auth.VerifyDeanonymizeParams{PhoneNumber: adaPhone, OTP: otherCode(s.text(adaPhone))}
		s.say(params, &params)
		_, err := s.VerifyDeanonymize(s.t.Context(), p, params)
		s.refused(err, auth.ErrInvalidRequest)
		params.OTP = s.text(adaPhone)
		r := must[*auth.SignInResult](s)(s.VerifyDeanonymize(s.t.Context(), p, params))
		how := by("passwordless-sms")
		return []auth.Event{
			ev(auth.EventPhoneChangeAsked, acting(p), how), ev(auth.EventTicketRefused, of(p.UserID), because(auth.CodeInvalidTicket), detail("deanonymize")),
			ev(auth.EventSignedIn, in(r.Session), by(viaSMS)), ev(auth.EventDeanonymized, acting(p), how),
		}
	}},
	{
		name:  "an operator has the wrong secret",
		amend: func(c *auth.Config) { c.AdminSecret = auth.Secret("canary-secret-of-the-operator-0123456789") },
		run: func(s *scene) []auth.Event {
			s.refused(s.AuthenticateAdmin(s.t.Context(), sceneWrong), auth.ErrUnauthenticated)
			return []auth.Event{ev(auth.EventSignInFailed, by("admin-secret"), because(auth.CodeUnauthenticated))}
		},
	},
	{name: "a user takes what is theirs, and goes", run: func(s *scene) []auth.Event {
		_, p := s.user(adaAddress)
		s.begin()
		_, err := s.ExportAccount(s.t.Context(), p)
		s.done(err)
		s.done(s.DeleteAccount(s.t.Context(), p))
		return []auth.Event{ev(auth.EventUserExported, acting(p)), ev(auth.EventUserDeleted, acting(p))}
	}},
	{name: "an operator changes a user", run: func(s *scene) []auth.Event {
		_, p := s.user(adaAddress)
		s.begin()
		yes, no := true, false
		for _, u := range []auth.UserUpdate{{Disabled: &yes}, {Disabled: &no}, {Roles: []string{"user", "admin"}}, {EmailVerified: &yes}} {
			_, err := s.UpdateUser(s.t.Context(), p.UserID, u)
			s.done(err)
			if u.Disabled == &yes {
				_, err := s.SignInPassword(s.t.Context(), auth.SignInPasswordParams{Email: adaAddress, Password: authtest.Password})
				s.refused(err, auth.ErrDisabledUser)
			}
		}
		updated := ev(auth.EventUserUpdated, of(p.UserID))
		return []auth.Event{
			updated, ev(auth.EventUserDisabled, of(p.UserID)), ev(auth.EventSignInFailed, of(p.UserID), by(viaPassword), because(auth.CodeDisabledUser)),
			updated, ev(auth.EventUserEnabled, of(p.UserID)),
			updated, ev(auth.EventRolesChanged, of(p.UserID)),
			updated, ev(auth.EventEmailVerified, of(p.UserID), detail("by the service")),
		}
	}},
	{name: "a second factor, from its beginning to its end", run: func(s *scene) []auth.Event {
		_, p := s.user(adaAddress)
		s.begin()
		ctx := s.t.Context()
		made := must[*auth.TOTPEnrolment](s)(s.GenerateTOTP(ctx, p, auth.GenerateTOTPParams{}))
		code := s.totp(made.Secret)
		params := auth.SetMFAParams{Type: auth.MFATypeTOTP, Code: otherCode(code)}
		s.say(params, &params)
		s.refused(s.SetMFA(ctx, p, params), auth.ErrInvalidTOTP)
		params.Code = code
		s.done(s.SetMFA(ctx, p, params))
		generate := auth.GenerateRecoveryCodesParams{Code: s.totp(made.Secret)}
		s.say(generate, &generate)
		codes := must[[]string](s)(s.GenerateRecoveryCodes(ctx, p, generate))
		begun := must[*auth.SignInResult](s)(s.SignInPassword(ctx, auth.SignInPasswordParams{Email: adaAddress, Password: authtest.Password}))
		verify := auth.VerifyMFAParams{Ticket: begun.MFA.Ticket, OTP: otherCode(s.totp(made.Secret))}
		s.say(verify, &verify)
		_, err := s.VerifyMFA(ctx, verify)
		s.refused(err, auth.ErrInvalidTOTP)
		verify = auth.VerifyMFAParams{Ticket: begun.MFA.Ticket, RecoveryCode: codes[0]}
		s.say(verify, &verify)
		r := must[*auth.SignInResult](s)(s.VerifyMFA(ctx, verify))
		_, err = s.VerifyMFA(ctx, verify)
		s.refused(err, auth.ErrInvalidTicket)
		q := s.Principal(s.t, r.Session)
		s.done(s.SetMFA(ctx, q, auth.SetMFAParams{RecoveryCode: codes[1]}))
		s.enrolled(q)
		s.done(s.RemoveMFA(ctx, p.UserID))
		return []auth.Event{
			ev(auth.EventMFAEnrolmentBegun, acting(p)), ev(auth.EventSecondFactorFailed, acting(p), because(auth.CodeInvalidTOTP), detail("SetMFA")),
			ev(auth.EventMFAEnabled, acting(p)), ev(auth.EventRecoveryCodesRenewed, acting(p)),
			ev(auth.EventSecondFactorAsked, of(p.UserID), by(viaPassword)),
			ev(auth.EventSignInFailed, of(p.UserID), by(viaPassword), because(auth.CodeInvalidTOTP)),
			ev(auth.EventSignedIn, acting(q), by(viaPassword)), ev(auth.EventRecoveryCodeUsed, acting(q)),
			ev(auth.EventTicketRefused, because(auth.CodeInvalidTicket), detail("mfaTotp")),
			ev(auth.EventMFADisabled, acting(q)), ev(auth.EventRecoveryCodeUsed, acting(q)),
			ev(auth.EventMFAEnrolmentBegun, acting(q)), ev(auth.EventMFAEnabled, acting(q)), ev(auth.EventMFADisabled, of(p.UserID), detail("by the service")),
		}
	}},
	{
		name: "a step-up, and what needs one",
		amend: func(c *auth.Config) {
			c.Elevation = auth.ElevationConfig{Mode: auth.ElevationRequired, Methods: []auth.ElevationMethod{auth.ElevateByPassword, auth.ElevateByEmailOTP}}
		},
		run: func(s *scene) []auth.Event {
			_, p := s.user(adaAddress)
			s.begin()
			ctx := s.t.Context()
			s.refused(s.ChangeEmail(ctx, p, auth.ChangeEmailParams{NewEmail: otherAddress}), auth.ErrElevationRequired)
			_, err := s.Elevate(ctx, p, auth.ElevateParams{Method: auth.ElevateByEmailOTP})
			s.done(err)
			params := auth.VerifyElevationParams{Method: auth.ElevateByEmailOTP, OTP: otherCode(s.secret(adaAddress))}
			s.say(params, &params)
			_, err = s.VerifyElevation(ctx, p, params)
			s.refused(err, auth.ErrInvalidRequest)
			params = auth.VerifyElevationParams{Method: auth.ElevateByPassword, Password: authtest.Password}
			s.say(params, &params)
			must[*auth.Session](s)(s.VerifyElevation(ctx, p, params))
			return []auth.Event{
				ev(auth.EventRefused, acting(p), because(auth.CodeElevationRequired), detail("ChangeEmail")),
				ev(auth.EventElevationAsked, acting(p), by("otp-email")),
				ev(auth.EventElevationFailed, acting(p), by("otp-email"), because(auth.CodeInvalidRequest)), ev(auth.EventElevated, acting(p), by(viaPassword)),
			}
		},
	},
	{
		name: "a step-up in each other way",
		amend: func(c *auth.Config) {
			c.Elevation.Methods = []auth.ElevationMethod{auth.ElevateByWebAuthn, auth.ElevateByTOTP, auth.ElevateByEmailOTP, auth.ElevateBySMSOTP}
		},
		run: func(s *scene) []auth.Event {
			ctx := s.t.Context()
			_, p := s.user(adaAddress)
			s.done(s.ChangePhone(ctx, p, auth.ChangePhoneParams{NewPhoneNumber: adaPhone}))
			s.done(s.VerifyChangePhone(ctx, p, auth.VerifyChangePhoneParams{NewPhoneNumber: adaPhone, OTP: s.text(adaPhone)}))
			s.begin()
			ask := func(m auth.ElevationMethod) {
				_, err := s.Elevate(ctx, p, auth.ElevateParams{Method: m})
				s.done(err)
			}
			end := func(params auth.VerifyElevationParams) {
				s.say(params, &params)
				must[*auth.Session](s)(s.VerifyElevation(ctx, p, params))
			}
			ask(auth.ElevateByEmailOTP)
			end(auth.VerifyElevationParams{Method: auth.ElevateByEmailOTP, OTP: s.secret(adaAddress)})
			ask(auth.ElevateBySMSOTP)
			end(auth.VerifyElevationParams{Method: auth.ElevateBySMSOTP, OTP: s.text(adaPhone)})
			key := &authtest.Authenticator{}
			id := detail(addKey(s.t, s.Engine, p, key).ID.String())
			up := func(counter uint32) error {
				begun := must[*auth.Elevation](s)(s.Elevate(ctx, p, auth.ElevateParams{}))
				s.secrets.keep("challenge", challengeOf(s.t, begun.WebAuthn))
				_, err := s.VerifyElevation(ctx, p, auth.VerifyElevationParams{
					Credential: key.Get(s.t, begun.WebAuthn, func(c *authtest.Ceremony) { c.Counter = counter }),
				})
				return err
			}
			s.done(up(9))
			s.refused(up(5), auth.ErrInvalidRequest)
			secret := s.enrolled(p)
			end(auth.VerifyElevationParams{Method: auth.ElevateByTOTP, OTP: s.totp(secret)})
			return []auth.Event{
				ev(auth.EventElevationAsked, acting(p), by("otp-email")), ev(auth.EventElevated, acting(p), by("otp-email")),
				ev(auth.EventElevationAsked, acting(p), by("otp-sms")), ev(auth.EventElevated, acting(p), by("otp-sms")),
				ev(auth.EventSecurityKeyAdded, acting(p), id), ev(auth.EventElevated, acting(p), by("webauthn"), id),
				ev(auth.EventSignCountRollback, of(p.UserID), by("webauthn"), because(auth.CodeInvalidRequest), id),
				ev(auth.EventElevationFailed, acting(p), by("webauthn"), because(auth.CodeInvalidRequest)),
				ev(auth.EventMFAEnrolmentBegun, acting(p)), ev(auth.EventMFAEnabled, acting(p)), ev(auth.EventElevated, acting(p), by("totp")),
			}
		},
	},
	{
		name: "sign-ups with passkeys, of which nobody hears whose an address is", amend: func(c *auth.Config) { c.ConcealErrors = true },
		run: func(s *scene) []auth.Event {
			_, p := s.user(otherAddress)
			s.begin()
			for _, email := range []string{adaAddress, adaAddress, otherAddress} {
				options := beginKeySignUp(s.t, s.Engine, email)
				s.secrets.keep("challenge", challengeOf(s.t, options), challengeOf(s.t, beginKeySignIn(s.t, s.Engine, email)))
				params := auth.VerifySignUpWebAuthnParams{Credential: (&authtest.Authenticator{}).Create(s.t, options)}
				must[*auth.SignInResult](s)(s.VerifySignUpWebAuthn(s.t.Context(), params))
			}
			id := of(s.Events.All()[s.began].UserID)
			return []auth.Event{
				ev(auth.EventUserCreated, id, by("webauthn")), ev(auth.EventUserUpdated, id, by("webauthn"), detail("a pending sign-up was replaced")),
				ev(auth.EventSignUpFailed, of(p.UserID), by("webauthn"), because(auth.CodeEmailAlreadyInUse)),
			}
		},
	},
	{name: "a security key, from its beginning to its end", run: func(s *scene) []auth.Event {
		_, p := s.user(adaAddress)
		s.begin()
		ctx, key := s.t.Context(), &authtest.Authenticator{}
		creation := must[*auth.CreationOptions](s)(s.AddSecurityKey(ctx, p))
		s.secrets.keep("challenge", challengeOf(s.t, creation))
		k := must[*auth.SecurityKey](s)(s.VerifyAddSecurityKey(ctx, p, auth.VerifyAddSecurityKeyParams{Credential: key.Create(s.t, creation)}))
		_, err := s.RenameSecurityKey(ctx, p, auth.RenameSecurityKeyParams{ID: k.ID, Nickname: "x"})
		s.done(err)
		options := beginKeySignIn(s.t, s.Engine, "")
		s.secrets.keep("challenge", challengeOf(s.t, options))
		s.say(options, *options)
		answer := key.Get(s.t, options, func(c *authtest.Ceremony) { c.Counter = 9 })
		r := must[*auth.SignInResult](s)(endKeySignIn(s.t, s.Engine, answer))
		_, err = endKeySignIn(s.t, s.Engine, answer)
		s.refused(err, auth.ErrInvalidRequest)
		_, err = endKeySignIn(s.t, s.Engine, key.Get(s.t, beginKeySignIn(s.t, s.Engine, ""), func(c *authtest.Ceremony) { c.Counter = 5 }))
		s.refused(err, auth.ErrInvalidRequest)
		up := must[*auth.Session](s)(s.VerifyElevation(ctx, p, auth.VerifyElevationParams{
			Credential: key.Get(s.t, beginElevation(s.t, s.Engine, p), func(c *authtest.Ceremony) { c.Counter = 10 }),
		}))
		q := s.Principal(s.t, up)
		_, err = s.RemoveSecurityKey(ctx, q, auth.RemoveSecurityKeyParams{ID: k.ID})
		s.done(err)
		id := detail(k.ID.String())
		return []auth.Event{
			ev(auth.EventSecurityKeyAdded, acting(p), id), ev(auth.EventSecurityKeyRenamed, acting(p), id), ev(auth.EventSignedIn, in(r.Session), by("webauthn")),
			ev(auth.EventTicketRefused, because(auth.CodeInvalidTicket), detail("webauthnSignIn")),
			ev(auth.EventSignCountRollback, of(p.UserID), by("webauthn"), because(auth.CodeInvalidRequest), id),
			ev(auth.EventSignInFailed, of(p.UserID), by("webauthn"), because(auth.CodeInvalidRequest)),
			ev(auth.EventElevated, acting(p), by("webauthn"), id), ev(auth.EventSecurityKeyRemoved, acting(p), id),
		}
	}},
	{name: "a personal access token, from its beginning to its end", run: func(s *scene) []auth.Event {
		_, p := s.user(adaAddress)
		s.begin()
		ctx := s.t.Context()
		pat := must[*auth.PAT](s)(s.CreatePAT(ctx, p, auth.CreatePATParams{ExpiresAt: s.Clock.Now().Add(time.Hour)}))
		params := auth.SignInPATParams{PersonalAccessToken: pat.Token}
		s.say(params, &params)
		r := must[*auth.SignInResult](s)(s.SignInPAT(ctx, params))
		q := s.Principal(s.t, r.Session)
		_, err := s.ListPATs(ctx, q)
		s.refused(err, auth.ErrElevationRequired)
		s.done(s.RevokePAT(ctx, p, pat.ID))
		_, err = s.SignInPAT(ctx, params)
		s.refused(err, auth.ErrInvalidPAT)
		id := detail(pat.ID.String())
		return []auth.Event{
			ev(auth.EventPATCreated, acting(p), id), ev(auth.EventSignedIn, acting(q), by("pat"), id),
			ev(auth.EventRefused, acting(q), because(auth.CodeElevationRequired), detail("ListPATs")),
			ev(auth.EventPATRevoked, acting(p), id), ev(auth.EventSignInFailed, by("pat"), because(auth.CodeInvalidPAT)),
		}
	}},
	{name: "an account at a provider, from its beginning to its end", run: func(s *scene) []auth.Event {
		ctx, v := s.t.Context(), s.tourist()
		ada, second := s.abroad.account(1, adaAddress, s.abroad.flagged()), s.abroad.account(2, otherAddress, s.abroad.flagged())
		start := must[*auth.ProviderStart](s)(s.StartProvider(ctx, auth.StartProviderParams{Provider: "openid"}))
		finish := auth.FinishProviderParams{Provider: "openid", Binding: start.Binding, Values: s.abroad.idp.Visit(s.t, start.URL, ada).Values()}
		s.secrets.keep("code of a provider", finish.Values.Get("code"))
		s.say(finish, &finish)
		r := must[*auth.ProviderResult](s)(s.FinishProvider(ctx, finish))
		_, err := s.FinishProvider(ctx, finish)
		s.refused(err, auth.ErrInvalidState)
		p := s.Principal(s.t, r.Session)
		tokens := must[*auth.ProviderTokens](s)(s.ProviderTokens(ctx, p, "openid"))
		renewal := auth.RefreshProviderTokensParams{Provider: "openid", RefreshToken: tokens.RefreshToken}
		s.say(renewal, &renewal)
		must[*auth.ProviderTokens](s)(s.RefreshProviderTokens(ctx, p, renewal))
		back := v.in(s.t, ada)
		s.done(s.RefreshKeptProviderTokens(ctx, p.UserID, "openid"))
		s.done(v.link(s.t, p, second))
		s.refused(v.link(s.t, p, second), auth.ErrProviderAccountLinked)
		s.done(s.Unlink(ctx, p, auth.UnlinkParams{Provider: "openid", Subject: s.abroad.subject(second)}))
		refusal, err := v.finish(s.t, v.start(s.t), url.Values{"state": {"x"}})
		s.say(refusal)
		s.refused(err, auth.ErrInvalidState)
		again := v.start(s.t)
		_, err = v.finish(s.t, again, url.Values{"state": {again.State}, "error": {"access_denied"}})
		s.refused(err, auth.ErrOAuthProviderError)
		by, at := by("provider:openid"), detail("openid")
		return []auth.Event{
			ev(auth.EventUserCreated, of(p.UserID), by), ev(auth.EventSignedIn, acting(p), by),
			ev(auth.EventTicketRefused, because(auth.CodeInvalidState), detail("providerState")),
			ev(auth.EventProviderTokensTaken, acting(p), at), ev(auth.EventProviderTokensRenewed, acting(p), at),
			ev(auth.EventSignedIn, in(back), by), ev(auth.EventProviderTokensRenewed, of(p.UserID), at),
			ev(auth.EventIdentityLinked, acting(p), at), ev(auth.EventIdentityLinkFailed, acting(p), at, because(auth.CodeProviderAccountLinked)),
			ev(auth.EventIdentityUnlinked, acting(p), at),
			ev(auth.EventTicketRefused, because(auth.CodeInvalidState), detail("providerState")),
			ev(auth.EventSignInFailed, by, because(auth.CodeOAuthProviderError)),
		}
	}},
	{name: "who has the address of a user at a provider", run: func(s *scene) []auth.Event {
		s.user(adaAddress)
		must[*auth.SignInResult](s)(s.SignUpPassword(s.t.Context(), auth.SignUpPasswordParams{Email: otherAddress, Password: authtest.Password}))
		s.begin()
		v, letters := s.tourist(), len(s.Mailbox.All())
		ada, bob := s.abroad.account(1, adaAddress, s.abroad.flagged()), s.abroad.account(2, otherAddress, s.abroad.flagged())
		linked, again, displacing := v.in(s.t, ada), v.in(s.t, ada), v.in(s.t, bob)
		if l := s.Mailbox.All()[letters:]; len(l) != 1 || l[0].Template != "identity-linked" || l[0].To != adaAddress {
			s.t.Errorf("%d letters have come", len(l))
		}
		by, at := by("provider:openid"), detail("openid")
		return []auth.Event{
			ev(auth.EventIdentityLinked, in(linked), at), ev(auth.EventSignedIn, in(linked), by), ev(auth.EventSignedIn, in(again), by),
			ev(auth.EventIdentityLinked, in(displacing), at), ev(auth.EventSignedIn, in(displacing), by),
			ev(auth.EventEmailVerified, in(displacing), detail("displaced")),
		}
	}},
	{name: "an address that a provider has not verified, until it has", amend: func(c *auth.Config) { c.Tickets.VerifyEmail = time.Hour }, run: func(s *scene) []auth.Event {
		v, unproven := s.tourist(), func(n int) error {
			_, err := s.tourist().visit(s.t, s.abroad.account(n, adaAddress, false))
			return err
		}
		s.done(unproven(1))
		id := of(s.Events.Of(auth.EventUserCreated)[0].UserID)
		s.refused(unproven(2), auth.ErrEmailAlreadyInUse)
		s.Clock.Advance(time.Hour)
		s.done(unproven(2))
		session := v.in(s.t, s.abroad.account(2, adaAddress, s.abroad.flagged()))
		by := by("provider:openid")
		return []auth.Event{
			ev(auth.EventUserCreated, id, by), ev(auth.EventSignUpFailed, id, by, because(auth.CodeEmailAlreadyInUse)),
			ev(auth.EventUserUpdated, id, by, detail("a pending sign-up was replaced")),
			ev(auth.EventSignedIn, in(session), by), ev(auth.EventEmailVerified, in(session), detail("displaced")),
		}
	}},
	{name: "an address that nobody verifies", amend: unverified, run: func(s *scene) []auth.Event {
		who, v := s.abroad.account(1, adaAddress, false), s.tourist()
		first, second := v.in(s.t, who), v.in(s.t, who)
		by := by("provider:openid")
		return []auth.Event{ev(auth.EventUserCreated, of(first.User.ID), by), ev(auth.EventSignedIn, in(first), by), ev(auth.EventSignedIn, in(second), by)}
	}},
	{
		name:  "an app brings id tokens",
		amend: func(c *auth.Config) { c.IDTokens = map[string]provider.IDTokenVerifier{"here": &somewhere{}} },
		run: func(s *scene) []auth.Event {
			ctx := s.t.Context()
			_, err := s.SignInIDToken(ctx, auth.SignInIDTokenParams{Provider: "here", IDToken: sceneWrong})
			s.refused(err, auth.ErrInvalidRequest)
			r := must[*auth.SignInResult](s)(s.SignInIDToken(ctx, auth.SignInIDTokenParams{Provider: "here", IDToken: asJSON(person("1", "", false))}))
			p := s.Principal(s.t, r.Session)
			s.done(s.LinkIDToken(ctx, p, auth.LinkIDTokenParams{Provider: "here", IDToken: asJSON(person("2", "", false))}))
			s.refused(s.LinkIDToken(ctx, p, auth.LinkIDTokenParams{Provider: "here", IDToken: sceneWrong}), auth.ErrInvalidRequest)
			s.refused(s.LinkIDToken(ctx, p, auth.LinkIDTokenParams{Provider: "openid", IDToken: asJSON(person("3", "", false))}), auth.ErrDisabledEndpoint)
			by, at := by("provider:here"), detail("here")
			return []auth.Event{
				ev(auth.EventSignInFailed, by, because(auth.CodeInvalidRequest)), ev(auth.EventUserCreated, of(p.UserID), by), ev(auth.EventSignedIn, acting(p), by),
				ev(auth.EventIdentityLinked, acting(p), at), ev(auth.EventIdentityLinkFailed, acting(p), at, because(auth.CodeInvalidRequest)),
			}
		},
	},
	{
		name: "more letters than there may be",
		amend: func(c *auth.Config) {
			c.Limits.Off, c.Limits.EmailsPerAddress = false, limit.Rate{Burst: 1, Per: time.Hour}
		},
		run: func(s *scene) []auth.Event {
			s.done(s.SendPasswordReset(s.t.Context(), auth.SendPasswordResetParams{Email: adaAddress}))
			s.refused(s.SendPasswordReset(s.t.Context(), auth.SendPasswordResetParams{Email: adaAddress}), auth.ErrTooManyRequests)
			return []auth.Event{ev(auth.EventPasswordResetAsked), ev(auth.EventLimited, because(auth.CodeTooManyRequests), detail("emails-address"))}
		},
	},
	{
		name:  "passwords cannot be checked",
		amend: func(c *auth.Config) { c.Password.Breached = unreachable{} },
		run: func(s *scene) []auth.Event {
			must[*auth.SignInResult](s)(s.SignUpPassword(s.t.Context(), auth.SignUpPasswordParams{Email: adaAddress, Password: authtest.Password}))
			created := s.Events.Of(auth.EventUserCreated)[0]
			return []auth.Event{ev(auth.EventBreachCheckFailed), ev(auth.EventUserCreated, of(created.UserID), by(viaPassword))}
		},
	},
	{name: "keys are replaced", run: func(s *scene) []auth.Event {
		s.secrets.keep("key", hmacSecret)
		s.done(s.SetKeys(auth.Keys{Active: auth.Key{ID: "mine", Algorithm: "HS256", Secret: auth.Secret(hmacSecret)}}))
		return []auth.Event{ev(auth.EventKeysReplaced, detail("mine"))}
	}},
	{
		name:  "keys rotate",
		amend: func(c *auth.Config) { c.AccessTokens.Rotate = &auth.RotationConfig{} },
		run: func(s *scene) []auth.Event {
			s.done(s.RotateKeys(s.t.Context(), auth.RotateKeysParams{}))
			first := s.Events.Of(auth.EventSigningKeyAdded)[0].Detail
			s.done(s.RotateKeys(s.t.Context(), auth.RotateKeysParams{Revoke: []string{first}}))
			second := s.Events.Of(auth.EventSigningKeyAdded)[1].Detail
			return []auth.Event{
				ev(auth.EventSigningKeyAdded, detail(first)), ev(auth.EventSigningKeyAdded, detail(second)), ev(auth.EventSigningKeyRevoked, detail(first)),
			}
		},
	},
	{
		name:  "a captcha is not passed",
		amend: func(c *auth.Config) { c.Captcha = &auth.CaptchaConfig{Verifier: refusing{}} },
		run: func(s *scene) []auth.Event {
			s.secrets.keep("answer to a captcha", captchaAnswer)
			p := auth.SignUpPasswordParams{Email: adaAddress, Password: authtest.Password}
			_, err := s.SignUpPassword(s.t.Context(), p)
			s.refused(err, auth.ErrCaptchaFailed)
			_, err = s.SignUpPassword(auth.WithCaptcha(s.t.Context(), captchaAnswer), p)
			s.refused(err, auth.ErrCaptchaFailed)
			failed := because(auth.CodeCaptchaFailed)
			return []auth.Event{
				ev(auth.EventCaptchaFailed, failed, detail(captcha.ReasonMissing)), ev(auth.EventCaptchaFailed, failed, detail("timeout-or-duplicate")),
			}
		},
	},
	{
		name:  "the audit trail cannot be written",
		amend: func(c *auth.Config) { c.Audit = &auth.AuditConfig{} },
		store: func() store.Store {
			return storetest.Break(memstore.New(), storetest.Fault{Method: "AppendEvents", Call: 1}, storetest.Fault{Method: "AppendEvents", Call: 2})
		},
		run: func(s *scene) []auth.Event {
			_, err := s.SignInPAT(s.t.Context(), auth.SignInPATParams{PersonalAccessToken: uuid.NewString()})
			s.refused(err, auth.ErrInvalidPAT)
			return []auth.Event{ev(auth.EventSignInFailed, by("pat"), because(auth.CodeInvalidPAT)), ev(auth.EventAuditLost, detail("1"))}
		},
	},
	{name: "text messages that are not taken", run: func(s *scene) []auth.Event {
		_, p := s.user(adaAddress)
		s.begin()
		for _, err := range []error{errors.New("not now"), permanent{}} {
			s.Phone.Refuse(err)
			s.refused(s.ChangePhone(s.t.Context(), p, auth.ChangePhoneParams{NewPhoneNumber: adaPhone}), auth.ErrCannotSendSMS)
		}
		asked, told := ev(auth.EventPhoneChangeAsked, acting(p)), ev(auth.EventMessageFailed, by(viaSMS), detail("the caller was told"))
		return []auth.Event{asked, told, asked, told}
	}},
	{name: "letters that are not taken", run: func(s *scene) []auth.Event {
		_, p := s.user(adaAddress)
		s.begin()
		for _, err := range []error{errors.New("not now"), permanent{}} {
			s.Mailbox.Refuse(err)
			s.done(s.SendPasswordReset(s.t.Context(), auth.SendPasswordResetParams{Email: adaAddress}))
		}
		asked := ev(auth.EventPasswordResetAsked, of(p.UserID))
		return []auth.Event{
			asked, ev(auth.EventMessageFailed, by("mail"), detail("will be tried again")), asked, ev(auth.EventMessageGivenUp, by("mail")),
		}
	}},
}

const captchaAnswer = "0.canary-answer-to-a-captcha"

// refusing is a captcha that nobody passes.
type refusing struct{}

func (refusing) Verify(context.Context, captcha.Response) error {
	return &captcha.Refusal{Service: "turnstile", Reasons: []string{"timeout-or-duplicate"}}
}

type unreachable struct{}

func (unreachable) Breached(context.Context, string) (bool, error) {
	return false, errors.New("unreachable")
}

type permanent struct{}

func (permanent) Error() string   { return "never" }
func (permanent) Permanent() bool { return true }

// LG-13, LG-10, LG-11, LG-20: every step of every flow emits its event once, with who, in which session, how and why; and no
// secret of it, no address and no number is in any of what is told: events, logs at every level, webhooks, errors, and what
// a service prints of what it gives and gets.
func TestFlowsEmitTheirEventsAndNoSecrets(t *testing.T) {
	t.Parallel()
	for _, f := range eventFlows {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, f)
			want := f.run(s)
			all := s.Events.All()
			if diff := cmp.Diff(want, all[s.began:], cmpopts.IgnoreFields(auth.Event{}, "ID", "At", "Client")); diff != "" {
				t.Error(diff)
			}
			ids := map[uuid.UUID]bool{}
			for _, e := range all {
				ids[e.ID] = true
			}
			if ids[uuid.Nil] || len(ids) != len(all) {
				t.Error("events have no ids of their own")
			}
			s.assertNothingTold(len(all))
		})
	}
}

// assertNothingTold looks for the secrets of a scene in all that it has told.
func (s *scene) assertNothingTold(events int) {
	s.t.Helper()
	for _, l := range s.Mailbox.All() {
		s.secrets.keep("ticket", l.Ticket(), l.Link())
	}
	for _, m := range s.Phone.All() {
		s.secrets.keep("code", m.Code)
	}
	ctx, stop := context.WithCancel(s.t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	deadline := time.Now().Add(20 * time.Second)
	sent := 0 // the webhooks of all events but those about letters that this loop may send
	for sent < events && time.Now().Before(deadline) {
		sent = len(s.hooks.to("all"))
	}
	stop()
	<-done
	if sent < events {
		s.t.Errorf("%d webhooks for %d events", sent, events)
	}
	said, err := json.Marshal(s.Events.All())
	if err != nil {
		s.t.Fatal(err)
	}
	s.secrets.absent(s.t, "the events", fmt.Sprintf("%s\n%+v\n%#v", said, s.Events.All(), s.Events.All()))
	s.secrets.absent(s.t, "the logs", s.Logs.String())
	for _, c := range s.hooks.to("all") {
		s.secrets.absent(s.t, "a webhook", c.body+fmt.Sprint(c.header))
	}
	// What a caller gives and gets may hold an address: it is the secrets that no printing may show.
	s.secrets.forget("address", "number")
	s.secrets.absent(s.t, "what is printed", s.printed.String())
}

// Every event has a name that nobody else has, is in the list of all, and is one that the flows above emit.
func TestEveryEventIsEmitted(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "event.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var declared []auth.EventType
	for _, d := range file.Decls {
		group, ok := d.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST {
			continue
		}
		for _, spec := range group.Specs {
			v := spec.(*ast.ValueSpec)
			if kind, ok := v.Type.(*ast.Ident); ok && kind.Name == "EventType" {
				declared = append(declared, auth.EventType(strings.Trim(v.Values[0].(*ast.BasicLit).Value, `"`)))
			}
		}
	}
	if len(declared) < 40 {
		t.Fatalf("only %d events are declared; the test looks in the wrong place", len(declared))
	}
	if diff := cmp.Diff(declared, auth.EventTypes()); diff != "" {
		t.Error(diff)
	}
	emitted := map[auth.EventType]bool{}
	for _, f := range eventFlows {
		s := newScene(t, f)
		for _, e := range f.run(s) {
			emitted[e.Type] = true
		}
	}
	emitted[auth.EventAuditPurged] = true // in the trail alone: see TestEventsThatAreTooOldAreRemoved
	for i, name := range declared {
		if slices.Contains(declared[:i], name) || !emitted[name] {
			t.Errorf("%s is there twice, or no flow emits it", name)
		}
	}
}

// LG-13: each method that refuses who is signed in, for want of a step-up or a role or because they are a guest, tells of it: whom,
// in which session, what and why; once.
func TestEveryMethodTellsWhomItRefuses(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	lenient := authtest.New(t, everything)
	e := replica(t, lenient, everything, withSomewhere(&somewhere{}, &somewhere{}), func(c *auth.Config) { c.Elevation.Mode = auth.ElevationRequired })
	ada := e.Principal(t, lenient.SignUp(t, adaAddress))
	pat, err := lenient.CreatePAT(ctx, ada, auth.CreatePATParams{ExpiresAt: e.Clock.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	in, err := e.SignInPAT(ctx, auth.SignInPATParams{PersonalAccessToken: pat.Token})
	if err != nil {
		t.Fatal(err)
	}
	token := e.Principal(t, in.Session)

	// What a method looks at before it looks at who asks.
	params := map[string]any{
		"ChangeEmail":           auth.ChangeEmailParams{NewEmail: otherAddress},
		"ChangePassword":        auth.ChangePasswordParams{NewPassword: sceneNewPassword},
		"ChangePhone":           auth.ChangePhoneParams{NewPhoneNumber: adaPhone},
		"LinkIDToken":           auth.LinkIDTokenParams{Provider: "here"},
		"LinkProvider":          auth.LinkProviderParams{Provider: "here"},
		"ProviderTokens":        "here",
		"RefreshProviderTokens": auth.RefreshProviderTokensParams{Provider: "here", RefreshToken: "x"},
		"SignOut":               auth.SignOutParams{All: true},
	}
	for m := range reflect.TypeFor[*auth.Engine]().Methods() {
		if m.Type.NumIn() < 3 || m.Type.In(2) != reflect.TypeFor[*auth.Principal]() {
			continue
		}
		switch m.Name {
		case "User", "Deanonymize", "VerifyDeanonymize":
			continue // they ask for no step-up, and are for guests, too
		}
		refused := 0
		for name, p := range map[string]*auth.Principal{"a token": token, "a guest": e.Principal(t, guest(t, e)), "a user": ada} {
			if name == "a user" && m.Name == "SignOut" {
				continue // they may, and the token's session would end
			}
			args := []reflect.Value{reflect.ValueOf(e.Engine), reflect.ValueOf(ctx), reflect.ValueOf(p)}
			for i := len(args); i < m.Type.NumIn(); i++ {
				arg := reflect.Zero(m.Type.In(i))
				if given, ok := params[m.Name]; ok {
					arg = reflect.ValueOf(given)
				}
				args = append(args, arg)
			}
			before := len(e.Events.Of(auth.EventRefused))
			out := m.Func.Call(args)
			err, _ := out[len(out)-1].Interface().(error)
			var want []auth.Event
			for code, known := range map[auth.Code]error{auth.CodeElevationRequired: auth.ErrElevationRequired, auth.CodeForbiddenAnonymous: auth.ErrForbiddenAnonymous, auth.CodeRoleNotAllowed: auth.ErrRoleNotAllowed} {
				if errors.Is(err, known) {
					want = append(want, ev(auth.EventRefused, acting(p), because(code), detail(m.Name)))
				}
			}
			refused += len(want)
			got := e.Events.Of(auth.EventRefused)[before:]
			if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(auth.Event{}, "ID", "At", "Client"), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s by %s, %v: %s", m.Name, name, err, diff)
			}
		}
		if refused == 0 {
			t.Errorf("%s refuses nobody", m.Name)
		}
	}
}
