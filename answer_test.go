package auth_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/storetest"
)

// call is a call of a method of an engine that would succeed.
type call func(ctx context.Context, e *authtest.Engine) error

// only is the error of a method, and another if there is an answer beside it.
func only[T any](answer *T, err error) error {
	if err != nil && answer != nil {
		return fmt.Errorf("an answer beside the error %v", err)
	}
	return err
}

// calls are calls of every method that asks the store, each with what prepares it.
func calls() map[string]func(t *testing.T, v *visitor) call {
	const email = "ada@example.com"
	key := func() *authtest.Authenticator { return &authtest.Authenticator{} }
	// of is a call by a user who has everything.
	of := func(f func(ctx context.Context, e *authtest.Engine, u *equipped) error) func(t *testing.T, v *visitor) call {
		return func(t *testing.T, v *visitor) call {
			u := equip(t, v.Engine, "ada", adaPhone)
			return func(ctx context.Context, e *authtest.Engine) error { return f(ctx, e, u) }
		}
	}
	// with is a call by such a user for which something is made first.
	with := func(f func(t *testing.T, v *visitor, u *equipped) call) func(t *testing.T, v *visitor) call {
		return func(t *testing.T, v *visitor) call { return f(t, v, equip(t, v.Engine, "ada", adaPhone)) }
	}
	// none is a call by nobody in particular.
	none := func(f call) func(*testing.T, *visitor) call {
		return func(*testing.T, *visitor) call { return f }
	}
	text := func(v *visitor, t *testing.T, p *auth.Principal, which int, number string) string {
		return textings()[which].code(t, v.Engine, p, number)
	}
	visitAs := func(who provider.Profile, prepare func(t *testing.T, v *visitor) *auth.ProviderStart) func(t *testing.T, v *visitor) call {
		return func(t *testing.T, v *visitor) call {
			start := prepare(t, v)
			code := v.here.consent(start, who, nil)
			return func(ctx context.Context, e *authtest.Engine) error {
				r, err := e.FinishProvider(ctx, auth.FinishProviderParams{
					Provider: "here", Binding: start.Binding, Values: map[string][]string{"state": {start.State}, "code": {code}},
				})
				if err != nil && r != nil && (r.Session != nil || r.MFA != nil || r.Code != "" || r.Linked) { // where it leads may be known
					return fmt.Errorf("an answer beside the error %v", err)
				}
				return err
			}
		}
	}
	visit := func(prepare func(t *testing.T, v *visitor) *auth.ProviderStart) func(t *testing.T, v *visitor) call {
		return visitAs(person("1", email, true), prepare)
	}
	linked := func(t *testing.T, v *visitor) (*auth.Session, *auth.ProviderResult) {
		s := v.SignUp(t, email)
		r, err := v.visit(t, "here", person("1", email, true))
		if err != nil {
			t.Fatal(err)
		}
		return s, r
	}
	// keyless is a user who has no key, and so other ways to step up.
	keyless := func(t *testing.T, v *visitor) *equipped {
		t.Helper()
		u := &equipped{email: email, phone: adaPhone, session: v.SignUp(t, email)}
		u.principal = v.Principal(t, u.session)
		if err := textings()[1].redeem(v.Engine, u.principal, u.phone, text(v, t, u.principal, 1, u.phone)); err != nil {
			t.Fatal(err)
		}
		return u
	}
	elevating := func(method auth.ElevationMethod) func(t *testing.T, v *visitor) call {
		return func(t *testing.T, v *visitor) call {
			u := keyless(t, v)
			return func(ctx context.Context, e *authtest.Engine) error {
				return only(e.Elevate(ctx, u.principal, auth.ElevateParams{Method: method}))
			}
		}
	}
	elevated := func(method auth.ElevationMethod, answer func(t *testing.T, v *visitor, u *equipped, up *auth.Elevation) auth.VerifyElevationParams) func(t *testing.T, v *visitor) call {
		return func(t *testing.T, v *visitor) call {
			var u *equipped
			if method == auth.ElevateByWebAuthn {
				u = equip(t, v.Engine, "ada", adaPhone)
			} else {
				u = keyless(t, v)
			}
			up, err := v.Elevate(t.Context(), u.principal, auth.ElevateParams{Method: method})
			if err != nil {
				t.Fatal(err)
			}
			p := answer(t, v, u, up)
			p.Method = method
			return func(ctx context.Context, e *authtest.Engine) error {
				return only(e.VerifyElevation(ctx, u.principal, p))
			}
		}
	}
	challenged := func(t *testing.T, v *visitor, u *equipped) (secret, ticket string) {
		secret = v.EnrolTOTP(t, u.session)
		return secret, askedAgain(t, v.Engine, u.email)
	}
	return map[string]func(t *testing.T, v *visitor) call{
		"SignUpPassword": none(func(ctx context.Context, e *authtest.Engine) error {
			return only(e.SignUpPassword(ctx, auth.SignUpPasswordParams{Email: email, Password: authtest.Password}))
		}),
		"SignUpPassword, of a pending address": func(t *testing.T, v *visitor) call {
			pendingUser(t, v.Engine, email)
			return func(ctx context.Context, e *authtest.Engine) error {
				return only(e.SignUpPassword(ctx, auth.SignUpPasswordParams{Email: email, Password: newPassword}))
			}
		},
		"SignInPassword": of(func(ctx context.Context, e *authtest.Engine, u *equipped) error {
			return only(e.SignInPassword(ctx, auth.SignInPasswordParams{Email: u.email, Password: authtest.Password}))
		}),
		"SignUpWebAuthn": none(func(ctx context.Context, e *authtest.Engine) error {
			return only(e.SignUpWebAuthn(ctx, auth.SignUpWebAuthnParams{Email: email}))
		}),
		"VerifySignUpWebAuthn": func(t *testing.T, v *visitor) call {
			answer := key().Create(t, beginKeySignUp(t, v.Engine, email))
			return func(ctx context.Context, e *authtest.Engine) error {
				return only(e.VerifySignUpWebAuthn(ctx, auth.VerifySignUpWebAuthnParams{Credential: answer}))
			}
		},
		"VerifySignUpWebAuthn, of a pending address": func(t *testing.T, v *visitor) call {
			pendingUser(t, v.Engine, email)
			answer := key().Create(t, beginKeySignUp(t, v.Engine, email))
			return func(ctx context.Context, e *authtest.Engine) error {
				return only(e.VerifySignUpWebAuthn(ctx, auth.VerifySignUpWebAuthnParams{Credential: answer}))
			}
		},
		"SignInWebAuthn": of(func(ctx context.Context, e *authtest.Engine, u *equipped) error {
			return only(e.SignInWebAuthn(ctx, auth.SignInWebAuthnParams{Email: u.email}))
		}),
		"VerifySignInWebAuthn": with(func(t *testing.T, v *visitor, u *equipped) call {
			answer := u.pin.Get(t, beginKeySignIn(t, v.Engine, u.email))
			return func(ctx context.Context, e *authtest.Engine) error {
				return only(e.VerifySignInWebAuthn(ctx, auth.VerifySignInWebAuthnParams{Credential: answer}))
			}
		}),
		"AddSecurityKey": of(func(ctx context.Context, e *authtest.Engine, u *equipped) error {
			return only(e.AddSecurityKey(ctx, u.principal))
		}),
		"VerifyAddSecurityKey": with(func(t *testing.T, v *visitor, u *equipped) call {
			options, err := v.AddSecurityKey(t.Context(), u.principal)
			if err != nil {
				t.Fatal(err)
			}
			answer := key().Create(t, options)
			return func(ctx context.Context, e *authtest.Engine) error {
				return only(e.VerifyAddSecurityKey(ctx, u.principal, auth.VerifyAddSecurityKeyParams{Credential: answer}))
			}
		}),
		"ListSecurityKeys": of(func(ctx context.Context, e *authtest.Engine, u *equipped) error {
			return only(e.ListSecurityKeys(ctx, u.principal))
		}),
		"RenameSecurityKey": with(func(t *testing.T, v *visitor, u *equipped) call {
			id := addKey(t, v.Engine, u.principal, key()).ID
			return func(ctx context.Context, e *authtest.Engine) error {
				return only(e.RenameSecurityKey(ctx, u.principal, auth.RenameSecurityKeyParams{ID: id, Nickname: "Phone"}))
			}
		}),
		"RemoveSecurityKey": with(func(t *testing.T, v *visitor, u *equipped) call {
			id := addKey(t, v.Engine, u.principal, key()).ID
			return func(ctx context.Context, e *authtest.Engine) error {
				return only(e.RemoveSecurityKey(ctx, u.principal, auth.RemoveSecurityKeyParams{ID: id}))
			}
		}),
		"ElevationMethods": of(func(ctx context.Context, e *authtest.Engine, u *equipped) error {
			methods, err := e.ElevationMethods(ctx, u.principal)
			if err != nil && len(methods) > 0 {
				return errors.New("methods beside an error")
			}
			return err
		}),
		"Elevate": of(func(ctx context.Context, e *authtest.Engine, u *equipped) error {
			return only(e.Elevate(ctx, u.principal, auth.ElevateParams{}))
		}),
		"Elevate, with a letter":       elevating(auth.ElevateByEmailOTP),
		"Elevate, with a text message": elevating(auth.ElevateBySMSOTP),
		"VerifyElevation": elevated(auth.ElevateByWebAuthn, func(t *testing.T, _ *visitor, u *equipped, up *auth.Elevation) auth.VerifyElevationParams {
			return auth.VerifyElevationParams{Credential: u.pin.Get(t, up.WebAuthn)}
		}),
		"VerifyElevation, with a letter": elevated(auth.ElevateByEmailOTP, func(t *testing.T, v *visitor, u *equipped, _ *auth.Elevation) auth.VerifyElevationParams {
			return auth.VerifyElevationParams{OTP: v.Mailbox.Last(t, u.email).Ticket()}
		}),
		"VerifyElevation, with a text message": elevated(auth.ElevateBySMSOTP, func(t *testing.T, v *visitor, u *equipped, _ *auth.Elevation) auth.VerifyElevationParams {
			return auth.VerifyElevationParams{OTP: v.Phone.Last(t, u.phone).Code}
		}),
		"VerifyElevation, with a code of the app": with(func(t *testing.T, v *visitor, u *equipped) call {
			code := nextCode(t, v.Engine, v.EnrolTOTP(t, u.session))
			return func(ctx context.Context, e *authtest.Engine) error {
				return only(e.VerifyElevation(ctx, u.principal, auth.VerifyElevationParams{Method: auth.ElevateByTOTP, OTP: code}))
			}
		}),
		"VerifyElevation, with a password": elevated(auth.ElevateByPassword, func(*testing.T, *visitor, *equipped, *auth.Elevation) auth.VerifyElevationParams {
			return auth.VerifyElevationParams{Password: authtest.Password}
		}),
		"SignInAnonymous": none(func(ctx context.Context, e *authtest.Engine) error {
			return only(e.SignInAnonymous(ctx, auth.SignInAnonymousParams{}))
		}),
		"Deanonymize": func(t *testing.T, v *visitor) call {
			p := v.Principal(t, guest(t, v.Engine))
			return func(ctx context.Context, e *authtest.Engine) error {
				return e.Deanonymize(ctx, p, auth.DeanonymizeParams{Method: auth.DeanonymizeByPassword, Email: email, Password: authtest.Password})
			}
		},
		"Deanonymize, with a text message": func(t *testing.T, v *visitor) call {
			p := v.Principal(t, guest(t, v.Engine))
			return func(ctx context.Context, e *authtest.Engine) error {
				return e.Deanonymize(ctx, p, auth.DeanonymizeParams{Method: auth.DeanonymizeBySMS, PhoneNumber: adaPhone})
			}
		},
		"VerifyDeanonymize": func(t *testing.T, v *visitor) call {
			p := v.Principal(t, guest(t, v.Engine))
			code := text(v, t, p, 2, adaPhone)
			return func(ctx context.Context, e *authtest.Engine) error {
				return only(e.VerifyDeanonymize(ctx, p, auth.VerifyDeanonymizeParams{PhoneNumber: adaPhone, OTP: code}))
			}
		},
		"SendMagicLink": of(func(ctx context.Context, e *authtest.Engine, u *equipped) error {
			return e.SendMagicLink(ctx, auth.SendMagicLinkParams{Email: u.email})
		}),
		"SendMagicLink, to somebody new": none(func(ctx context.Context, e *authtest.Engine) error {
			return e.SendMagicLink(ctx, auth.SendMagicLinkParams{Email: email})
		}),
		"SendEmailOTP": of(func(ctx context.Context, e *authtest.Engine, u *equipped) error {
			return e.SendEmailOTP(ctx, auth.SendEmailOTPParams{Email: u.email})
		}),
		"VerifyEmailOTP": with(func(t *testing.T, v *visitor, u *equipped) call {
			if err := mailings[1].send(v.Engine, u.email, ""); err != nil {
				t.Fatal(err)
			}
			code := v.Mailbox.Last(t, u.email).Ticket()
			return func(ctx context.Context, e *authtest.Engine) error {
				return only(e.VerifyEmailOTP(ctx, auth.VerifyEmailOTPParams{Email: u.email, OTP: code}))
			}
		}),
		"VerifyTicket": with(func(t *testing.T, v *visitor, u *equipped) call {
			if err := mailings[0].send(v.Engine, u.email, ""); err != nil {
				t.Fatal(err)
			}
			ticket := v.Mailbox.Last(t, u.email).Ticket()
			return func(ctx context.Context, e *authtest.Engine) error {
				return only(e.VerifyTicket(ctx, auth.VerifyTicketParams{Ticket: ticket}))
			}
		}),
		"VerifyTicket, of a new address": with(func(t *testing.T, v *visitor, u *equipped) call {
			if err := v.ChangeEmail(t.Context(), u.principal, auth.ChangeEmailParams{NewEmail: "new@example.com"}); err != nil {
				t.Fatal(err)
			}
			ticket := v.Mailbox.Last(t, "new@example.com").Ticket()
			return func(ctx context.Context, e *authtest.Engine) error {
				return only(e.VerifyTicket(ctx, auth.VerifyTicketParams{Ticket: ticket}))
			}
		}),
		"VerifyTicket, for a code": with(func(t *testing.T, v *visitor, u *equipped) call {
			if err := mailings[0].send(v.Engine, u.email, ""); err != nil {
				t.Fatal(err)
			}
			p := auth.VerifyTicketParams{Ticket: v.Mailbox.Last(t, u.email).Ticket(), CodeChallenge: challengeFor(verifier)}
			return func(ctx context.Context, e *authtest.Engine) error { return only(e.VerifyTicket(ctx, p)) }
		}),
		"ExchangeCode": with(func(t *testing.T, v *visitor, u *equipped) call {
			if err := v.SendMagicLink(t.Context(), auth.SendMagicLinkParams{Email: u.email, CodeChallenge: challengeFor(verifier)}); err != nil {
				t.Fatal(err)
			}
			code := followLink(t, v.Engine, u.email).Code
			return func(ctx context.Context, e *authtest.Engine) error {
				return only(e.ExchangeCode(ctx, auth.ExchangeCodeParams{Code: code, CodeVerifier: verifier}))
			}
		}),
		"SendSMSOTP": of(func(ctx context.Context, e *authtest.Engine, u *equipped) error {
			return e.SendSMSOTP(ctx, auth.SendSMSOTPParams{PhoneNumber: u.phone})
		}),
		"VerifySMSOTP": with(func(t *testing.T, v *visitor, u *equipped) call {
			code := text(v, t, nil, 0, u.phone)
			return func(ctx context.Context, e *authtest.Engine) error {
				return only(e.VerifySMSOTP(ctx, auth.VerifySMSOTPParams{PhoneNumber: u.phone, OTP: code}))
			}
		}),
		"VerifySMSOTP, of somebody new": func(t *testing.T, v *visitor) call {
			code := text(v, t, nil, 0, adaPhone)
			return func(ctx context.Context, e *authtest.Engine) error {
				return only(e.VerifySMSOTP(ctx, auth.VerifySMSOTPParams{PhoneNumber: adaPhone, OTP: code}))
			}
		},
		"ChangePhone": of(func(ctx context.Context, e *authtest.Engine, u *equipped) error {
			return e.ChangePhone(ctx, u.principal, auth.ChangePhoneParams{NewPhoneNumber: "+41791234568"})
		}),
		"VerifyChangePhone": with(func(t *testing.T, v *visitor, u *equipped) call {
			code := text(v, t, u.principal, 1, "+41791234568")
			return func(ctx context.Context, e *authtest.Engine) error {
				return e.VerifyChangePhone(ctx, u.principal, auth.VerifyChangePhoneParams{NewPhoneNumber: "+41791234568", OTP: code})
			}
		}),
		"StartProvider": none(func(ctx context.Context, e *authtest.Engine) error {
			return only(e.StartProvider(ctx, auth.StartProviderParams{Provider: "here"}))
		}),
		"LinkProvider": of(func(ctx context.Context, e *authtest.Engine, u *equipped) error {
			return only(e.LinkProvider(ctx, u.principal, auth.LinkProviderParams{Provider: "here"}))
		}),
		"FinishProvider, of somebody new": visit(func(t *testing.T, v *visitor) *auth.ProviderStart {
			return v.start(t, "here", auth.SignUpOptions{})
		}),
		"FinishProvider, of somebody new, for a code": visit(func(t *testing.T, v *visitor) *auth.ProviderStart {
			start, err := v.StartProvider(t.Context(), auth.StartProviderParams{Provider: "here", CodeChallenge: challengeFor(verifier)})
			if err != nil {
				t.Fatal(err)
			}
			return start
		}),
		"FinishProvider, of somebody with the address": visit(func(t *testing.T, v *visitor) *auth.ProviderStart {
			v.SignUp(t, email)
			return v.start(t, "here", auth.SignUpOptions{})
		}),
		"FinishProvider, of somebody who signed up with the address": visit(func(t *testing.T, v *visitor) *auth.ProviderStart {
			pendingUser(t, v.Engine, email)
			return v.start(t, "here", auth.SignUpOptions{})
		}),
		"FinishProvider, in place of an abandoned sign-up": visitAs(person("1", email, false), func(t *testing.T, v *visitor) *auth.ProviderStart {
			pendingUser(t, v.Engine, email)
			v.Clock.Advance(8 * 24 * time.Hour)
			return v.start(t, "here", auth.SignUpOptions{})
		}),
		"FinishProvider, of somebody known": visit(func(t *testing.T, v *visitor) *auth.ProviderStart {
			linked(t, v)
			return v.start(t, "here", auth.SignUpOptions{})
		}),
		"FinishProvider, which links": visit(func(t *testing.T, v *visitor) *auth.ProviderStart {
			start, err := v.LinkProvider(t.Context(), v.Principal(t, v.SignUp(t, email)), auth.LinkProviderParams{Provider: "here"})
			if err != nil {
				t.Fatal(err)
			}
			return start
		}),
		"ProviderTokens": func(t *testing.T, v *visitor) call {
			_, r := linked(t, v)
			p := v.Principal(t, r.Session)
			return func(ctx context.Context, e *authtest.Engine) error { return only(e.ProviderTokens(ctx, p, "here")) }
		},
		"RefreshProviderTokens": of(func(ctx context.Context, e *authtest.Engine, u *equipped) error {
			return only(e.RefreshProviderTokens(ctx, u.principal, auth.RefreshProviderTokensParams{Provider: "here", RefreshToken: "x"}))
		}),
		"RefreshKeptProviderTokens": func(t *testing.T, v *visitor) call {
			s, _ := linked(t, v)
			return func(ctx context.Context, e *authtest.Engine) error {
				return e.RefreshKeptProviderTokens(ctx, s.User.ID, "here")
			}
		},
		"ListIdentities": func(t *testing.T, v *visitor) call {
			s, _ := linked(t, v)
			p := v.Principal(t, s)
			return func(ctx context.Context, e *authtest.Engine) error {
				_, err := e.ListIdentities(ctx, p)
				return err
			}
		},
		"Unlink": func(t *testing.T, v *visitor) call {
			s, _ := linked(t, v)
			p := v.Principal(t, s)
			return func(ctx context.Context, e *authtest.Engine) error {
				return e.Unlink(ctx, p, auth.UnlinkParams{Provider: "here", Subject: "1"})
			}
		},
		"SignInIDToken": none(func(ctx context.Context, e *authtest.Engine) error {
			return only(e.SignInIDToken(ctx, auth.SignInIDTokenParams{Provider: "here", IDToken: asJSON(person("1", email, true))}))
		}),
		"LinkIDToken": of(func(ctx context.Context, e *authtest.Engine, u *equipped) error {
			return e.LinkIDToken(ctx, u.principal, auth.LinkIDTokenParams{Provider: "here", IDToken: asJSON(person("1", u.email, true))})
		}),
		"GenerateTOTP": of(func(ctx context.Context, e *authtest.Engine, u *equipped) error {
			return only(e.GenerateTOTP(ctx, u.principal, auth.GenerateTOTPParams{}))
		}),
		"SetMFA": with(func(t *testing.T, v *visitor, u *equipped) call {
			made, err := v.GenerateTOTP(t.Context(), u.principal, auth.GenerateTOTPParams{})
			if err != nil {
				t.Fatal(err)
			}
			code := nextCode(t, v.Engine, made.Secret)
			return func(ctx context.Context, e *authtest.Engine) error {
				return e.SetMFA(ctx, u.principal, auth.SetMFAParams{Type: auth.MFATypeTOTP, Code: code})
			}
		}),
		"SetMFA, off": with(func(t *testing.T, v *visitor, u *equipped) call {
			code := nextCode(t, v.Engine, v.EnrolTOTP(t, u.session))
			return func(ctx context.Context, e *authtest.Engine) error {
				return e.SetMFA(ctx, u.principal, auth.SetMFAParams{Code: code})
			}
		}),
		"MFA": of(func(ctx context.Context, e *authtest.Engine, u *equipped) error { return only(e.MFA(ctx, u.principal)) }),
		"VerifyMFA": with(func(t *testing.T, v *visitor, u *equipped) call {
			secret, ticket := challenged(t, v, u)
			code := nextCode(t, v.Engine, secret)
			return func(ctx context.Context, e *authtest.Engine) error {
				return only(e.VerifyMFA(ctx, auth.VerifyMFAParams{Ticket: ticket, OTP: code}))
			}
		}),
		"GenerateRecoveryCodes": with(func(t *testing.T, v *visitor, u *equipped) call {
			code := nextCode(t, v.Engine, v.EnrolTOTP(t, u.session))
			return func(ctx context.Context, e *authtest.Engine) error {
				codes, err := e.GenerateRecoveryCodes(ctx, u.principal, auth.GenerateRecoveryCodesParams{Code: code})
				if err != nil && codes != nil {
					return errors.New("codes beside an error")
				}
				return err
			}
		}),
		"VerifyMFA, with a recovery code": with(func(t *testing.T, v *visitor, u *equipped) call {
			secret := v.EnrolTOTP(t, u.session)
			codes, err := v.GenerateRecoveryCodes(t.Context(), u.principal, auth.GenerateRecoveryCodesParams{Code: nextCode(t, v.Engine, secret)})
			if err != nil {
				t.Fatal(err)
			}
			ticket := askedAgain(t, v.Engine, u.email)
			return func(ctx context.Context, e *authtest.Engine) error {
				return only(e.VerifyMFA(ctx, auth.VerifyMFAParams{Ticket: ticket, RecoveryCode: codes[0]}))
			}
		}),
		"RemoveMFA": with(func(t *testing.T, v *visitor, u *equipped) call {
			v.EnrolTOTP(t, u.session)
			return func(ctx context.Context, e *authtest.Engine) error { return e.RemoveMFA(ctx, u.principal.UserID) }
		}),
		"CreatePAT": with(func(_ *testing.T, v *visitor, u *equipped) call {
			until := v.Clock.Now().Add(time.Hour)
			return func(ctx context.Context, e *authtest.Engine) error {
				return only(e.CreatePAT(ctx, u.principal, auth.CreatePATParams{ExpiresAt: until}))
			}
		}),
		"SignInPAT": of(func(ctx context.Context, e *authtest.Engine, u *equipped) error {
			return only(e.SignInPAT(ctx, auth.SignInPATParams{PersonalAccessToken: u.pat}))
		}),
		"ListPATs": of(func(ctx context.Context, e *authtest.Engine, u *equipped) error {
			_, err := e.ListPATs(ctx, u.principal)
			return err
		}),
		"RevokePAT": with(func(t *testing.T, v *visitor, u *equipped) call {
			id := createPAT(t, v.Engine, u.principal, time.Hour).ID
			return func(ctx context.Context, e *authtest.Engine) error { return e.RevokePAT(ctx, u.principal, id) }
		}),
		"Refresh": of(func(ctx context.Context, e *authtest.Engine, u *equipped) error {
			return only(e.Refresh(ctx, auth.RefreshParams{RefreshToken: u.session.RefreshToken}))
		}),
		"SignOut": of(func(ctx context.Context, e *authtest.Engine, u *equipped) error {
			return e.SignOut(ctx, nil, auth.SignOutParams{RefreshToken: u.session.RefreshToken})
		}),
		"SignOut, everywhere": of(func(ctx context.Context, e *authtest.Engine, u *equipped) error {
			return e.SignOut(ctx, u.principal, auth.SignOutParams{All: true})
		}),
		"ListSessions": of(func(ctx context.Context, e *authtest.Engine, u *equipped) error {
			_, err := e.ListSessions(ctx, u.principal)
			return err
		}),
		"RevokeSession": with(func(t *testing.T, v *visitor, u *equipped) call {
			id := v.SignIn(t, u.email).RefreshTokenID
			return func(ctx context.Context, e *authtest.Engine) error { return e.RevokeSession(ctx, u.principal, id) }
		}),
		"User": of(func(ctx context.Context, e *authtest.Engine, u *equipped) error {
			return only(e.User(ctx, u.principal))
		}),
		"SendPasswordReset": of(func(ctx context.Context, e *authtest.Engine, u *equipped) error {
			return e.SendPasswordReset(ctx, auth.SendPasswordResetParams{Email: u.email})
		}),
		"ChangePassword": of(func(ctx context.Context, e *authtest.Engine, u *equipped) error {
			return e.ChangePassword(ctx, u.principal, auth.ChangePasswordParams{NewPassword: newPassword, CurrentPassword: authtest.Password})
		}),
		"ChangePassword, with a ticket": with(func(t *testing.T, v *visitor, u *equipped) call {
			ticket := resetTicket(t, v.Engine, u.email)
			return func(ctx context.Context, e *authtest.Engine) error {
				return e.ChangePassword(ctx, nil, auth.ChangePasswordParams{Ticket: ticket, NewPassword: newPassword})
			}
		}),
		"RevokePassword": of(func(ctx context.Context, e *authtest.Engine, u *equipped) error {
			return e.RevokePassword(ctx, u.principal.UserID)
		}),
		"SendVerificationEmail": func(t *testing.T, v *visitor) call {
			pendingUser(t, v.Engine, email)
			return func(ctx context.Context, e *authtest.Engine) error {
				return e.SendVerificationEmail(ctx, auth.SendVerificationEmailParams{Email: email})
			}
		},
		"ChangeEmail": of(func(ctx context.Context, e *authtest.Engine, u *equipped) error {
			return e.ChangeEmail(ctx, u.principal, auth.ChangeEmailParams{NewEmail: "new@example.com"})
		}),
		"ChangeEmail, to an address that is taken": with(func(t *testing.T, v *visitor, u *equipped) call {
			v.SignUp(t, "new@example.com")
			return func(ctx context.Context, e *authtest.Engine) error {
				err := e.ChangeEmail(ctx, u.principal, auth.ChangeEmailParams{NewEmail: "new@example.com"})
				if errors.Is(err, auth.ErrEmailAlreadyInUse) { // which is an answer, where errors are told
					return nil
				}
				return err
			}
		}),
		"DeleteAccount": of(func(ctx context.Context, e *authtest.Engine, u *equipped) error {
			return e.DeleteAccount(ctx, u.principal)
		}),
		"DeleteAccount, of a guest": func(t *testing.T, v *visitor) call {
			p := v.Principal(t, guest(t, v.Engine))
			return func(ctx context.Context, e *authtest.Engine) error { return e.DeleteAccount(ctx, p) }
		},
		"DeleteUser": of(func(ctx context.Context, e *authtest.Engine, u *equipped) error {
			return e.DeleteUser(ctx, u.principal.UserID)
		}),
		"ExportAccount": of(func(ctx context.Context, e *authtest.Engine, u *equipped) error {
			return only(e.ExportAccount(ctx, u.principal))
		}),
		"FindUser": of(func(ctx context.Context, e *authtest.Engine, u *equipped) error {
			return only(e.FindUser(ctx, auth.UserBy{Email: u.email}))
		}),
		"ListUsers": of(func(ctx context.Context, e *authtest.Engine, _ *equipped) error {
			_, err := e.ListUsers(ctx, uuid.Nil, 10)
			return err
		}),
		"UpdateUser": of(func(ctx context.Context, e *authtest.Engine, u *equipped) error {
			disabled := true
			return only(e.UpdateUser(ctx, u.principal.UserID, auth.UserUpdate{Disabled: &disabled}))
		}),
		"UpdateUser, of roles": of(func(ctx context.Context, e *authtest.Engine, u *equipped) error {
			return only(e.UpdateUser(ctx, u.principal.UserID, auth.UserUpdate{Roles: []string{"user"}}))
		}),
		"ImportUser": none(func(ctx context.Context, e *authtest.Engine) error {
			return only(e.ImportUser(ctx, auth.ImportUserParams{Email: email}))
		}),
		"Outbox": none(func(ctx context.Context, e *authtest.Engine) error {
			_, err := e.Outbox(ctx)
			return err
		}),
		"Health": none(func(ctx context.Context, e *authtest.Engine) error { return e.Health(ctx) }),
	}
}

// everyWay is everything, with all ways to step up.
func everyWay(c *auth.Config) {
	everything(c)
	c.Elevation.Methods = []auth.ElevationMethod{
		auth.ElevateByWebAuthn, auth.ElevateByTOTP, auth.ElevateByPassword, auth.ElevateByEmailOTP, auth.ElevateBySMSOTP,
	}
}

// openAndConcealing are everyWay, with errors as they come and concealed.
var openAndConcealing = map[string][]func(*auth.Config){
	"as it comes": {everyWay},
	"concealing":  {everyWay, func(c *auth.Config) { c.ConcealErrors = true }},
}

// ST-01, ST-08, ST-09: whichever question the store does not answer, whoever called is told of a failure of the service, and is
// given nothing: what cannot be known is neither the best that it could be, nor somebody's mistake.
func TestNoAnswerComesOfAFault(t *testing.T) {
	t.Parallel()
	for config, amend := range openAndConcealing {
		for name, prepare := range calls() {
			t.Run(config+", "+name, func(t *testing.T) {
				t.Parallel()
				counter := storetest.Count(memstore.New())
				counted := newVisitorWithStore(t, counter, amend...)
				c := prepare(t, counted)
				counter.Reset()
				if err := c(t.Context(), counted.Engine); err != nil {
					t.Fatal(err)
				}
				for method, times := range counter.Calls() {
					for n := range times {
						if slices.Contains(afterwards, method) || slices.Contains(afterwards, fmt.Sprintf("%s: %s, %d", name, method, n+1)) {
							continue
						}
						v := newVisitor(t, amend...)
						c := prepare(t, v)
						broken := storetest.Break(v.Store, storetest.Fault{Method: method, Call: n + 1})
						err := c(t.Context(), v.replica(t, broken, amend...))
						if broken.Fired() == 0 {
							t.Fatalf("%s, %d: no fault has happened", method, n+1)
						}
						if !errors.Is(err, auth.ErrInternal) || !errors.Is(err, storetest.ErrFault) {
							t.Errorf("%s, %d: %v", method, n+1, err)
						}
					}
				}
			})
		}
	}
}

// afterwards is what the store is asked when all is done: the answer does not depend on it.
var afterwards = []string{"SettleMessage", "CreatePAT: ChangeUser, 2"} // the latter keeps a letter

// rewritten is a store in which somebody has changed what lies in the tickets.
type rewritten struct {
	store.Store
	met atomic.Bool
}

func (s *rewritten) alter(t *store.Ticket) {
	if len(t.Data) > 0 {
		s.met.Store(true)
		t.Data = slices.Clone(t.Data)
		t.Data[len(t.Data)-1] ^= 1
	}
}

func (s *rewritten) TakeTicket(ctx context.Context, q store.TicketQuery) (store.Ticket, error) {
	t, err := s.Store.TakeTicket(ctx, q)
	s.alter(&t)
	return t, err
}

func (s *rewritten) CheckTicket(ctx context.Context, q store.TicketQuery) (store.Ticket, store.User, error) {
	t, u, err := s.Store.CheckTicket(ctx, q)
	s.alter(&t)
	return t, u, err
}

// TK-07: the same where a ticket does not hold what was put into it.
func TestNoAnswerComesOfAnAlteredTicket(t *testing.T) {
	t.Parallel()
	var met atomic.Int64
	t.Run("calls", func(t *testing.T) {
		for name, prepare := range calls() {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				v := newVisitor(t, everyWay)
				c, s := prepare(t, v), &rewritten{Store: v.Store}
				err := c(t.Context(), v.replica(t, s, everyWay))
				if !s.met.Load() {
					if err != nil {
						t.Error(err)
					}
					return
				}
				met.Add(1)
				if !errors.Is(err, auth.ErrInternal) {
					t.Error(err)
				}
			})
		}
	})
	if met.Load() < 15 {
		t.Errorf("%d calls look at a ticket", met.Load())
	}
	// What was put into it by another version may be something else altogether.
	e := authtest.New(t)
	s := e.SignUp(t, "ada@example.com")
	e.EnrolTOTP(t, s)
	ticket, text, err := auth.Issue(e.Engine, "mfaTotp", s.User.ID, "no object")
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Store.PutTicket(t.Context(), *ticket); err != nil {
		t.Fatal(err)
	}
	wantErr(t, verifyMFA(e, text, "123456"), auth.ErrInternal)
	if _, _, err := auth.Issue(e.Engine, "mfaTotp", s.User.ID, func() {}); err == nil {
		t.Error("a ticket that holds nothing")
	}
}

// RT-24, ST-08: the same where an access token cannot be made, at each that a call would make.
func TestNoAnswerComesWithoutAnAccessToken(t *testing.T) {
	t.Parallel()
	for name, prepare := range calls() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			try := func(fails int) (made int, err error) {
				v := newVisitor(t, everyWay)
				c := prepare(t, v)
				return made, c(t.Context(), v.replica(t, v.Store, everyWay, func(c *auth.Config) {
					c.Hooks.Claims = func(context.Context, *auth.User) (map[string]any, error) {
						if made++; made == fails {
							return nil, errors.New("no claims today")
						}
						return nil, nil
					}
				}))
			}
			made, err := try(0)
			if err != nil {
				t.Fatal(err)
			}
			for n := range made {
				if _, err := try(n + 1); !errors.Is(err, auth.ErrInternal) {
					t.Errorf("token %d: %v", n+1, err)
				}
			}
		})
	}
}

// ST-06: a call that owes a user a letter does nothing if that cannot be written.
func TestNothingHappensWithoutItsLetter(t *testing.T) {
	t.Parallel()
	accounts := func(t *testing.T, e *authtest.Engine) (list []store.Account) {
		befall(t.Context(), t, e, func(_ context.Context, e *authtest.Engine, a *store.Account) error {
			all := store.WithIdentities | store.WithSecurityKeys | store.WithSessions | store.WithPATs
			full, err := e.Store.User(t.Context(), store.UserQuery{ID: a.ID, Now: e.Clock.Now(), With: all})
			list = append(list, full)
			return err
		})
		return list
	}
	for name, prepare := range calls() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newVisitor(t, everyWay)
			c, sent, users := prepare(t, v), len(v.Mailbox.All()), accounts(t, v.Engine)
			if err := c(t.Context(), v.replica(t, v.Store, everyWay)); err != nil {
				t.Fatal(err)
			}
			owed := false
			for _, l := range v.Mailbox.All()[sent:] {
				if strings.HasSuffix(name, "of a pending address") {
					break // the letter goes to the address as it has been typed now
				}
				owed = owed || slices.ContainsFunc(users, func(a store.Account) bool { return a.Email == l.To })
			}
			v = newVisitor(t, everyWay)
			c = prepare(t, v)
			befall(t.Context(), t, v.Engine, func(ctx context.Context, e *authtest.Engine, a *store.Account) error {
				if a.EmailKey == "" {
					return nil
				}
				_, err := e.Store.ChangeUser(ctx, store.UserChange{
					UserID: a.ID, Now: e.Clock.Now(), Set: store.UserSet{Email: &store.Email{Typed: "nowhere", Key: a.EmailKey}},
				})
				return err
			})
			before := accounts(t, v.Engine)
			e := v.replica(t, v.Store, everyWay)
			err := c(t.Context(), e)
			switch {
			case name == "FinishProvider, in place of an abandoned sign-up": // which it is no more once it has been changed
				if !errors.Is(err, auth.ErrEmailAlreadyInUse) {
					t.Error(err)
				}
			case name == "CreatePAT": // which tells of it afterwards
				if err != nil || !strings.Contains(e.Logs.String(), "tell the owner") {
					t.Errorf("%v", err)
				}
			case !owed:
				if err != nil {
					t.Error(err)
				}
			case !errors.Is(err, auth.ErrInternal):
				t.Error(err)
			default:
				if diff := cmp.Diff(before, accounts(t, v.Engine)); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}
