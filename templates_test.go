package auth_test

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/store/memstore"
)

func templates(files map[string]string) func(*auth.Config) {
	tree := fstest.MapFS{}
	for name, text := range files {
		tree[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return func(c *auth.Config) { c.Templates = tree }
}

// RD-38: a letter is written in the language of the user to whom it goes, or else in that of the service, and never becomes
// another letter. The service's own texts come first.
func TestALetterIsInTheLanguageOfItsReader(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, letters, templates(map[string]string{
		"en/email-verify/subject.txt": "Own ${clientHost}", "de/signin-otp/subject.txt": "Code",
		"de/signin-otp/body.txt": "${ticket} ${email} ${displayName} ${locale} ${serverUrl} ${clientUrl} ${clientHost} ${redirectTo} ${newEmail} ${link}|", "de/signin-otp/body.html": "${ticket}",
	}), func(c *auth.Config) {
		c.Locales = auth.LocalesConfig{Default: "cs", Allowed: []string{"de", "en", "fr", "pl"}}
	})
	for locale, w := range map[string]struct{ verify, code string }{
		"":   {"Ověřte svou e-mailovou adresu", "Váš kód k přihlášení"},
		"en": {"Own app.test", "Your code to sign in"},
		"fr": {"Confirmez votre adresse e-mail", "Votre code de connexion"},
		"de": {"Ověřte svou e-mailovou adresu", "Code"},
		"pl": {"Ověřte svou e-mailovou adresu", "Váš kód k přihlášení"},
	} {
		email := "user-" + locale + "@example.com"
		if _, err := signUp(t, e, email, authtest.Password, auth.SignUpOptions{Locale: locale, DisplayName: "Ada"}); err != nil {
			t.Fatal(err)
		}
		if l := e.Mailbox.Last(t, email); l.Template != "email-verify" || l.Subject != w.verify {
			t.Errorf("%q: %s, %q", locale, l.Template, l.Subject)
		}
		// Who asks for a letter has no say in its language.
		if err := e.SendEmailOTP(t.Context(), auth.SendEmailOTPParams{Email: email, Options: auth.SignUpOptions{Locale: "fr"}}); err != nil {
			t.Fatal(err)
		}
		l := e.Mailbox.Last(t, email)
		if l.Template != "signin-otp" || l.Subject != w.code {
			t.Errorf("%q: %s, %q", locale, l.Template, l.Subject)
		}
		if want := l.Ticket() + " " + email + " Ada de https://auth.test/v1 https://app.test app.test https://app.test  |"; locale == "de" && l.Text != want {
			t.Errorf("text %q, want %q", l.Text, want)
		}
	}
}

// The host of an app's own URL is what stands in its place.
func TestALetterNamesTheHostOfTheClient(t *testing.T) {
	t.Parallel()
	for client, host := range map[string]string{"https://App.Example.com:8443/x": "app.example.com", "myapp://home/x": "home"} {
		e := authtest.New(t, letters, func(c *auth.Config) {
			c.ClientURL, c.WebAuthn = client, nil
		})
		if _, err := signUp(t, e, "ada@example.com", authtest.Password, auth.SignUpOptions{}); err != nil {
			t.Fatal(err)
		}
		if got := e.Mailbox.Last(t, "ada@example.com").Variables["clientHost"]; got != host {
			t.Errorf("%s: host %q", client, got)
		}
	}
}

func TestNewReportsEveryTemplateThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	c := validConfig()
	c.Roles.Default = " "
	templates(map[string]string{"de/email-verify/body.txt": "x", "en/email-verfy/body.txt": "x", "en/signin-otp/body.html": "<a href='${link}>"})(&c)
	_, err := auth.New(memstore.New(), c)
	var mistake *auth.ConfigError
	if !errors.As(err, &mistake) {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Roles.Default", "Templates: ", "de/email-verify/body.html: is missing", "de/email-verify/subject.txt: is missing",
		"en/email-verfy: there is no letter", "en/signin-otp/body.html: ends in",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
}
