package auth_test

import (
	"errors"
	"fmt"
	"html"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
)

// newAddressMailings are those to an address that nobody has yet: of mover@example.com, who changes to it, and of an
// anonymous user.
var newAddressMailings = []mailing{
	{"a change of address", "email-confirm-change", "emailConfirmChange", func(e *authtest.Engine, email, redirectTo string) error {
		in, err := e.SignInPassword(background, auth.SignInPasswordParams{Email: "mover@example.com", Password: authtest.Password})
		if err != nil {
			return err
		}
		p, err := e.Authenticate(background, in.Session.AccessToken)
		if err != nil {
			return err
		}
		return e.ChangeEmail(background, p, auth.ChangeEmailParams{NewEmail: email, RedirectTo: redirectTo})
	}},
	{"an anonymous user's link", "signin-passwordless", "passwordlessEmail", func(e *authtest.Engine, email, redirectTo string) error {
		in, err := e.SignInAnonymous(background, auth.SignInAnonymousParams{})
		if err != nil {
			return err
		}
		p, err := e.Authenticate(background, in.Session.AccessToken)
		if err != nil {
			return err
		}
		return e.Deanonymize(background, p, auth.DeanonymizeParams{
			Method: auth.DeanonymizeByPasswordless, Email: email, Options: auth.SignUpOptions{RedirectTo: redirectTo},
		})
	}},
}

// PH-12, PW-05: a letter goes to the address as its user has given it, however it was spelled by who asked; and one that only looks
// like it is another.
func TestLettersGoToTheStoredAddress(t *testing.T) {
	t.Parallel()
	const stored = "Kim.Lovelace@exämple.com"
	same := []string{"kim.lovelace@exämple.com", "KIM.LOVELACE@xn--exmple-cua.COM", "Kim.Lovelace@xn--exmple-cua.com"}
	lookAlikes := []string{
		"\u212Aim.lovelace@exämple.com", // the sign for Kelvin
		"k\u0131m.lovelace@exämple.com", // without the dot
		"\uff4bim.lovelace@exämple.com", // full-width
		"kim.lov\u0435lace@exämple.com", // a Cyrillic letter
		"kimlovelace@exämple.com", "kim.lovelace+x@exämple.com", "kim.lovelace@example.com", "kim.lovelace@exämple.com.evil.test",
		"kim.lovelace@exa\u0308mple.com", // not in its normal form
	}
	for _, m := range mailings {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			e := authtest.New(t, letters)
			pendingUser(t, e, stored)
			to := e.Mailbox.All()[0].To
			if to != "Kim.Lovelace@xn--exmple-cua.com" {
				t.Fatalf("a letter to %s", to)
			}
			for _, email := range same {
				before := len(e.Mailbox.All())
				if err := m.send(e, email, ""); err != nil {
					t.Fatalf("%s: %v", email, err)
				}
				if sent := e.Mailbox.All()[before:]; len(sent) != 1 || sent[0].To != to || sent[0].Template != m.template {
					t.Errorf("%s: letters %+v", email, sent)
				}
			}
			for _, email := range lookAlikes {
				before := len(e.Mailbox.All())
				_ = m.send(e, email, "") // refused, or for somebody else
				for _, l := range e.Mailbox.All()[before:] {
					if l.To == to || l.Variables["email"] == stored {
						t.Errorf("%s: a letter to %s about %s", email, l.To, l.Variables["email"])
					}
				}
			}
		})
	}
}

// ML-11: a letter to somebody who has not asked for it says nothing that a stranger has chosen.
func TestLettersCarryNoAdvertisements(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, letters)
	o := auth.SignUpOptions{DisplayName: "Cheap pills, see pills.test"}
	for name, send := range map[string]func(email string) error{
		"SignUpPassword": func(email string) error {
			_, err := signUp(t, e, email, authtest.Password, o)
			return err
		},
		"SendMagicLink": func(email string) error {
			return e.SendMagicLink(t.Context(), auth.SendMagicLinkParams{Email: email, Options: o})
		},
		"SendEmailOTP": func(email string) error {
			return e.SendEmailOTP(t.Context(), auth.SendEmailOTPParams{Email: email, Options: o})
		},
		"Deanonymize": func(email string) error {
			return e.Deanonymize(t.Context(), e.Principal(t, guest(t, e)), auth.DeanonymizeParams{
				Method: auth.DeanonymizeByPasswordless, Email: email, Options: o,
			})
		},
		"VerifySignUpWebAuthn": func(email string) error {
			_, err := e.VerifySignUpWebAuthn(t.Context(), auth.VerifySignUpWebAuthnParams{
				Credential: (&authtest.Authenticator{}).Create(t, beginKeySignUp(t, e, email)), Options: o,
			})
			return err
		},
	} {
		email := strings.ToLower(name) + "@example.com"
		if err := send(email); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if l := e.Mailbox.Last(t, email); strings.Contains(strings.ToLower(l.Subject+l.Text+l.HTML), "pills") {
			t.Errorf("%s: %s", name, l.Text)
		}
	}
	for _, name := range []string{"https://pills.test", "<b>pills</b>", "pills\r\n.test", "a/b", "${link}"} {
		err := e.SendMagicLink(t.Context(), auth.SendMagicLinkParams{Email: "x@example.com", Options: auth.SignUpOptions{DisplayName: name}})
		wantErr(t, err, auth.ErrInvalidRequest)
	}
}

// ML-12: a link stands in the text and in the HTML, where it is escaped, and no other host does.
func TestLinksInLettersAreEscaped(t *testing.T) {
	t.Parallel()
	href := regexp.MustCompile(`href="([^"]*)"`)
	anywhere := regexp.MustCompile(`[a-z]+://[^\s"'<>&?]+`)
	for _, m := range append(append([]mailing{}, mailings...), newAddressMailings...) {
		if m.kind == "emailOTP" {
			continue // has no link
		}
		e := authtest.New(t, letters)
		e.SignUp(t, "mover@example.com")
		email := "new@example.com"
		if m.kind == "verifyEmail" || m.kind == "passwordReset" {
			pendingUser(t, e, email)
		}
		if err := m.send(e, email, `https://app.test/in?a="><img>&b='&lt;`); err != nil {
			t.Fatalf("%s: %v", m.name, err)
		}
		l := e.Mailbox.Last(t, email)
		if !strings.Contains(l.Text, l.Link()) || strings.ContainsAny(l.Link(), " \"'<>") {
			t.Errorf("%s: text %q does not have the link %q", m.name, l.Text, l.Link())
		}
		found := href.FindAllStringSubmatch(l.HTML, -1)
		if len(found) == 0 || strings.Contains(l.HTML, "<img") {
			t.Errorf("%s: %s", m.name, l.HTML)
		}
		for _, f := range found {
			if html.UnescapeString(f[1]) != l.Link() || html.EscapeString(l.Link()) != f[1] {
				t.Errorf("%s: href %q for the link %q", m.name, f[1], l.Link())
			}
		}
		for _, u := range anywhere.FindAllString(l.Text+" "+l.HTML, -1) {
			if !strings.HasPrefix(u, authtest.ServerURL+"/") {
				t.Errorf("%s: %s", m.name, u)
			}
		}
	}
}

// RD-38, E8: a letter to a user who exists is written in their locale, whatever the stranger who asks for it says.
func TestLettersAreInTheLocaleOfTheirReader(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, letters, func(c *auth.Config) { c.Locales.Allowed = []string{"cs", "fr"} })
	if _, err := signUp(t, e, "ada@example.com", authtest.Password, auth.SignUpOptions{Locale: "cs"}); err != nil {
		t.Fatal(err)
	}
	o := auth.SignUpOptions{Locale: "fr", DisplayName: "Eve"}
	for template, send := range map[string]func() error{
		"signin-passwordless": func() error {
			return e.SendMagicLink(t.Context(), auth.SendMagicLinkParams{Email: "ada@example.com", Options: o})
		},
		"signin-otp": func() error {
			return e.SendEmailOTP(t.Context(), auth.SendEmailOTPParams{Email: "ada@example.com", Options: o})
		},
		"password-reset": func() error {
			return e.SendPasswordReset(t.Context(), auth.SendPasswordResetParams{Email: "ada@example.com"})
		},
		"email-verify": func() error {
			return e.SendVerificationEmail(t.Context(), auth.SendVerificationEmailParams{Email: "ada@example.com"})
		},
	} {
		if err := send(); err != nil {
			t.Fatal(err)
		}
		l := e.Mailbox.Last(t, "ada@example.com")
		if l.Variables["locale"] != "cs" || l.Template != template || l.Variables["displayName"] == "Eve" {
			t.Errorf("%s: letter %s in %s to %s", template, l.Template, l.Variables["locale"], l.Variables["displayName"])
		}
	}
}

// RD-23: every method that takes a place to go gives one verdict, and what was checked is what stands in the link.
func TestOneVerdictOnRedirects(t *testing.T) {
	t.Parallel()
	allow := func(c *auth.Config) { c.AllowedRedirectURLs = []string{"https://*.other.test", "myapp://in"} }
	for _, m := range append(append([]mailing{}, mailings...), newAddressMailings...) {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			e := authtest.New(t, letters, allow)
			e.SignUp(t, "mover@example.com")
			for i, wish := range []string{
				"", "https://app.test", "https://app.test/", "https://app.test/a b?c=é#d", "https://APP.test/x", "https://app.test:443/x",
				"https://a.other.test/?q", "myapp://in/x", "https://app.test/a/../b", "https://app.test/?a=\"<'&b=%0d%0a",
				"https://evil.test", "https://a.b.other.test", "https://other.test", "http://app.test", "//app.test", "/", "x", "app.test",
				"https://app.test.evil.test", "https://app.test@evil.test", "https://app.test\\@evil.test", "javascript:alert(1)",
				"https://app.test/\r\nX: y", "https://app.test/?a=\r\nX: y", " https://app.test", "https://app.test/\x00",
			} {
				email := fmt.Sprintf("user%d@example.com", i)
				if m.kind == "verifyEmail" || m.kind == "passwordReset" {
					pendingUser(t, e, email)
				}
				want, verdict := e.RedirectTo(wish)
				before := len(e.Mailbox.To(email))
				err := m.send(e, email, wish)
				if verdict != nil {
					if !errors.Is(err, auth.ErrRedirectNotAllowed) || len(e.Mailbox.To(email)) != before {
						t.Errorf("%q: %v", wish, err)
					}
					continue
				}
				if err != nil {
					t.Errorf("%q: %v", wish, err)
					continue
				}
				l := e.Mailbox.Last(t, email)
				if l.Variables["redirectTo"] != want {
					t.Errorf("%q: the letter has %q, want %q", wish, l.Variables["redirectTo"], want)
				}
				if m.kind == "emailOTP" {
					continue // has no link
				}
				u, err := url.Parse(l.Link())
				if err != nil || u.Query().Get("redirectTo") != want {
					t.Errorf("%q: link %s, %v", wish, l.Link(), err)
				}
				v, err := e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: l.Ticket(), RedirectTo: u.Query().Get("redirectTo")})
				if err != nil || v.RedirectTo != want {
					t.Errorf("%q: %v", wish, err)
				} else if m.kind == "emailConfirmChange" { // back, for the next one
					back := e.Principal(t, e.SignIn(t, email))
					ticket := changeEmail(t, e, back, "mover@example.com")
					if _, err := e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: ticket}); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}
}

// RD-24: a link that was sent leads only where it may when it is followed, and is good still.
func TestALinkLeadsOnlyWhereItStillMay(t *testing.T) {
	t.Parallel()
	for _, m := range append(append([]mailing{}, mailings...), newAddressMailings...) {
		if m.kind == "emailOTP" {
			continue // has no link
		}
		e := authtest.New(t, letters, func(c *auth.Config) { c.AllowedRedirectURLs = []string{"https://other.test"} })
		e.SignUp(t, "mover@example.com")
		email := "new@example.com"
		if m.kind == "verifyEmail" || m.kind == "passwordReset" {
			pendingUser(t, e, email)
		}
		if err := m.send(e, email, "https://other.test/x"); err != nil {
			t.Fatalf("%s: %v", m.name, err)
		}
		ticket := e.Mailbox.Last(t, email).Ticket()
		_, err := replica(t, e, letters).VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: ticket, RedirectTo: "https://other.test/x"})
		if !errors.Is(err, auth.ErrRedirectNotAllowed) {
			t.Errorf("%s: %v", m.name, err)
		}
		v, err := e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: ticket, RedirectTo: "https://other.test/x"})
		if err != nil || v.RedirectTo != "https://other.test/x" {
			t.Errorf("%s: %v", m.name, err)
		}
	}
}
