package mail_test

import (
	"strings"
	"testing"

	"github.com/ostiary/auth/mail"
)

// RD-34, RD-35, W7: a value is put in once, as what it is, and escaped for where it stands.
func TestRenderEscapesByContext(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{
		"HTML":          `"><script>alert('x')</script>`,
		"a variable":    "${ticket}",
		"half of one":   "${",
		"a Go template": "{{.}}",
		"a format":      "%s%n",
		"a replacement": "$& $1",
		"line ends":     "a\r\nBcc: m@evil.test\u2028\u0085x",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, err := mail.Render("email-verify", "en", map[string]string{"link": value, "email": value, "ticket": "SECRET"})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(m.Text, value) {
				t.Errorf("the text does not have the value as it is: %q", m.Text)
			}
			if strings.ContainsAny(value, `<>"'&`) && strings.Contains(m.HTML, value) {
				t.Errorf("the HTML has the value unescaped: %q", m.HTML)
			}
			if strings.Contains(m.Text+m.HTML, "SECRET") {
				t.Error("a value was expanded a second time")
			}
			if strings.ContainsAny(m.Subject, "\r\n\u2028\u2029\u0085") {
				t.Errorf("subject %q", m.Subject)
			}
		})
	}
}

// E8, SU-14: another locale falls back to the same letter, and no name leads out of the templates.
func TestRenderFallsBackToTheSameLetter(t *testing.T) {
	t.Parallel()
	for _, template := range []string{
		"email-verify", "signup-attempt", "security-key-added", "security-key-removed", "signin-passwordless", "signin-otp", "password-reset",
		"email-confirm-change", "email-change-requested", "email-changed", "password-changed", "account-deleted",
	} {
		want, err := mail.Render(template, "en", nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, locale := range []string{"", "xx", "..", "../en", "en/../en", "/", "\x00"} {
			got, err := mail.Render(template, locale, nil)
			if err != nil || got.Subject != want.Subject || got.Text != want.Text || got.HTML != want.HTML {
				t.Errorf("%s in %q: %q, %v", template, locale, got.Subject, err)
			}
		}
	}
	for _, template := range []string{"", "none", "..", "../en/email-verify", "email-verify/.."} {
		if m, err := mail.Render(template, "en", nil); err == nil {
			t.Errorf("template %q: %q", template, m.Subject)
		}
	}
}

func FuzzRender(f *testing.F) {
	f.Add("en", "<b>${link}")
	f.Fuzz(func(t *testing.T, locale, value string) {
		m, err := mail.Render("email-verify", locale, map[string]string{"link": value})
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(m.Text, "${link}") && !strings.Contains(value, "${link}") {
			t.Fatal("a variable is left")
		}
		if strings.Count(m.HTML, "<") != strings.Count(mustRender(t), "<") {
			t.Fatalf("the value has made markup: %q", m.HTML)
		}
	})
}

func mustRender(t *testing.T) string {
	m, err := mail.Render("email-verify", "en", nil)
	if err != nil {
		t.Fatal(err)
	}
	return m.HTML
}
