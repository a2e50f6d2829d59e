package mail_test

import (
	"io"
	"io/fs"
	"maps"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"github.com/ostiary/auth/internal/letter"
	"github.com/ostiary/auth/mail"
)

var locales = []string{"bg", "cs", "en", "es", "fr"}

// expected are the letters and the variables of each. No letter has a name, or anything else that a stranger or a thief can
// choose, except for the addresses that it is about (ML-11, SM-09).
var expected = map[string][]string{
	"account-deleted":         {"clientHost", "email"},
	"email-change-requested":  {"clientHost", "clientUrl", "email"},
	"email-changed":           {"clientHost", "clientUrl", "email"},
	"email-confirm-change":    {"clientHost", "email", "link", "newEmail"},
	"email-verify":            {"clientHost", "email", "link"},
	"identity-linked":         {"clientHost", "clientUrl", "email", "provider"},
	"identity-unlinked":       {"clientHost", "clientUrl", "email", "provider"},
	"mfa-disabled":            {"clientHost", "clientUrl", "email"},
	"mfa-enabled":             {"clientHost", "clientUrl", "email"},
	"password-changed":        {"clientHost", "clientUrl", "email"},
	"password-reset":          {"clientHost", "email", "link"},
	"pat-created":             {"clientHost", "clientUrl", "email"},
	"phone-change-sms":        {"clientHost", "code"},
	"phone-changed":           {"clientHost", "clientUrl", "email"},
	"recovery-code-used":      {"clientHost", "clientUrl", "email", "left"},
	"recovery-codes-renewed":  {"clientHost", "clientUrl", "email"},
	"security-key-added":      {"clientHost", "clientUrl", "email"},
	"security-key-removed":    {"clientHost", "clientUrl", "email"},
	"session-reuse":           {"clientHost", "clientUrl", "email"},
	"signin-otp":              {"clientHost", "email", "ticket"},
	"elevate-otp":             {"clientHost", "email", "ticket"},
	"signin-passwordless":     {"clientHost", "email", "link"},
	"signin-passwordless-sms": {"clientHost", "code"},
	"elevate-otp-sms":         {"clientHost", "code"},
	"signup-attempt":          {"clientHost", "clientUrl", "email"},
}

var variable = regexp.MustCompile(`\$\{([^}]*)\}`)

// variables returns the names in a file, each once.
func variables(t *testing.T, file string) []string {
	t.Helper()
	text, err := fs.ReadFile(mail.Templates(), file)
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, m := range variable.FindAllStringSubmatch(string(text), -1) {
		names[m[1]] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// ML-11, SM-09: every language has the same letters, and a letter says the same in every form and language.
func TestEveryLocaleHasTheSameLetters(t *testing.T) {
	t.Parallel()
	if got, err := fs.ReadDir(mail.Templates(), "."); err != nil || len(got) != len(locales) {
		t.Errorf("%d locales, %v", len(got), err)
	}
	for _, locale := range locales {
		names := make(map[string]bool)
		letters, err := fs.ReadDir(mail.Templates(), locale)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range letters {
			names[l.Name()] = true
			dir := path.Join(locale, l.Name())
			files := []string{"body.txt"}
			if !strings.HasSuffix(l.Name(), "-sms") {
				files = append(files, "body.html")
				if v := variables(t, path.Join(dir, "subject.txt")); len(v) > 0 {
					t.Errorf("the subject of %s has %q", dir, v)
				}
			}
			for _, file := range files {
				if diff := cmp.Diff(expected[l.Name()], variables(t, path.Join(dir, file))); diff != "" {
					t.Errorf("%s/%s has other variables (-want +got):\n%s", dir, file, diff)
				}
			}
		}
		if diff := cmp.Diff(slices.Sorted(maps.Keys(expected)), slices.Sorted(maps.Keys(names))); diff != "" {
			t.Errorf("%s has other letters (-want +got):\n%s", locale, diff)
		}
	}
}

// ML-12: a letter is in the language that it says it is in, leads to one host only, fetches nothing, and has a plain text
// with the same link or code.
func TestALetterLeadsToOneHost(t *testing.T) {
	t.Parallel()
	set, err := letter.Parse(mail.Templates())
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{
		"link": "https://auth.test/v1/verify?redirectTo=https%3A%2F%2Fapp.test&ticket=a%22b&type=emailVerify", "clientUrl": "https://auth.test/",
		"email": "ada@example.com", "newEmail": "ada@example.org", "ticket": "123456", "left": "3", "provider": "github", "clientHost": "auth.test",
		"displayName": "EVIL", "redirectTo": "EVIL", "locale": "EVIL", "serverUrl": "EVIL",
	}
	subjects := make(map[string]string)
	for _, locale := range locales {
		for name, used := range expected {
			if strings.HasSuffix(name, "-sms") {
				continue
			}
			m, err := set.Mail(name, locale, values)
			if err != nil {
				t.Fatal(err)
			}
			at := locale + "/" + name
			if before := subjects[m.Subject]; before != "" || m.Subject == "" {
				t.Errorf("%s has the subject of %s: %q", at, before, m.Subject)
			}
			subjects[m.Subject] = at
			lang, title, links := read(t, m.HTML)
			if lang != locale || title != m.Subject {
				t.Errorf("%s: lang %q, title %q", at, lang, title)
			}
			want := 0
			for _, v := range used {
				if v == "link" || v == "clientUrl" {
					want++
				}
				if !strings.Contains(m.Text, values[v]) {
					t.Errorf("the text of %s does not have %s", at, v)
				}
			}
			if len(links) != want {
				t.Errorf("%s has %d links: %q", at, len(links), links)
			}
			for _, l := range links {
				if u, err := url.Parse(l); err != nil || u.Host != "auth.test" || l != values["link"] && l != values["clientUrl"] {
					t.Errorf("%s leads to %q, %v", at, l, err)
				}
			}
			if strings.Contains(m.Subject+m.Text+m.HTML, "EVIL") || strings.Contains(m.Text+m.HTML, "${") {
				t.Errorf("%s shows what it should not:\n%s", at, m.Text)
			}
		}
	}
}

// read returns the language and the title of a page, and where it leads.
func read(t *testing.T, page string) (lang, title string, links []string) {
	t.Helper()
	for z := html.NewTokenizer(strings.NewReader(page)); ; {
		kind := z.Next()
		if z.Err() == io.EOF {
			return lang, title, links
		}
		token := z.Token()
		if kind == html.StartTagToken && token.Data == "title" {
			z.Next()
			title = z.Token().Data
		}
		for _, a := range token.Attr {
			switch a.Key {
			case "lang":
				lang = a.Val
			case "href":
				links = append(links, a.Val)
			case "src", "srcset", "background", "action":
				t.Errorf("<%s %s=%q> fetches something", token.Data, a.Key, a.Val)
			}
		}
	}
}

// gsm7 is the basic character set of text messages (3GPP TS 23.038 §6.2.1), without the letters of Greek.
const gsm7 = "@£$¥èéùìòÇ\nØø\rÅåÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"

// SM-09: a text message is one part long, says nothing that a stranger can choose, and ends in the line by which a browser
// knows the site that may have the code.
func TestATextMessageIsShortAndBoundToItsSite(t *testing.T) {
	t.Parallel()
	set, err := letter.Parse(mail.Templates())
	if err != nil {
		t.Fatal(err)
	}
	for _, locale := range locales {
		for _, name := range []string{"signin-passwordless-sms", "phone-change-sms"} {
			text, err := set.Text(name, locale, map[string]string{"code": "123456", "clientHost": "app.example.com", "displayName": "EVIL", "locale": "EVIL"})
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(text, "\n")
			if len(lines) != 3 || lines[1] != "" || lines[2] != "@app.example.com #123456" || !strings.Contains(lines[0], "123456") || strings.Contains(text, "EVIL") {
				t.Errorf("%s/%s: %q", locale, name, text)
			}
			// Cyrillic takes two bytes a letter, of which a part has 140.
			length, most := len(utf16.Encode([]rune(text))), 70
			if locale != "bg" {
				most = 160
				if i := strings.IndexFunc(text, func(r rune) bool { return !strings.ContainsRune(gsm7, r) }); i >= 0 {
					t.Errorf("%s/%s has a character that makes it twice as long: %q", locale, name, text[i:])
				}
			}
			if length > most {
				t.Errorf("%s/%s has %d characters", locale, name, length)
			}
		}
	}
}
