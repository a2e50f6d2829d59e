package smtpmail

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	netmail "net/mail"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	gomail "github.com/wneessen/go-mail"

	"github.com/ostiary/auth/internal/emailaddr"
	"github.com/ostiary/auth/mail"
)

const (
	// maxSubject is the length of a subject in characters. A longer one is cut: nobody's mail program shows so much.
	maxSubject = 250
	// maxWord is the length of a word that may stand in a header as it is. A line has at most 998 bytes (RFC 5322
	// §2.1.1), and is only folded between words.
	maxWord = 900
)

// variableHeaders are the headers that [Config].Headers may ask for, and what of a letter each repeats.
var variableHeaders = map[string]func(mail.Message) string{
	"X-Client-Url":     variable("clientUrl"),
	"X-Display-Name":   variable("displayName"),
	"X-Email":          variable("email"),
	"X-Email-Template": func(m mail.Message) string { return m.Template },
	"X-Link":           variable("link"),
	"X-Locale":         func(m mail.Message) string { return m.Locale },
	"X-New-Email":      variable("newEmail"),
	"X-Redirect-To":    variable("redirectTo"),
	"X-Server-Url":     variable("serverUrl"),
	"X-Ticket":         variable("ticket"),
}

func variable(name string) func(mail.Message) string {
	return func(m mail.Message) string { return m.Variables[name] }
}

// DocumentedHeaders returns the headers of the documented API for [Config].Headers: X-Email-Template, X-Link,
// X-Redirect-To and X-Ticket.
func DocumentedHeaders() []string {
	return []string{"X-Email-Template", "X-Link", "X-Redirect-To", "X-Ticket"}
}

// compose returns the recipient, as it stands in an envelope, and the letter in the format of RFC 5322.
func (s *Sender) compose(m mail.Message) (recipient string, content []byte, err error) {
	to, err := emailaddr.Parse(m.To)
	if err != nil {
		return "", nil, &Error{Stage: stageLetter, cause: errNoRecipient}
	}
	if m.Text == "" && m.HTML == "" {
		return "", nil, &Error{Stage: stageLetter, cause: errNoContent}
	}
	if m.ID != "" && !mail.IsID(m.ID) {
		return "", nil, &Error{Stage: stageLetter, cause: errNoID}
	}
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent()) // UTF-8, quoted-printable
	msg.FromMailAddress(&s.from)
	msg.ToMailAddress(&netmail.Address{Address: to.Mailbox()})
	set := func(name, value string) {
		if value = headerText(value); value != "" {
			msg.SetGenHeader(gomail.Header(name), value)
		}
	}
	set("Subject", shorten(oneLine(m.Subject)))
	msg.SetDateWithValue(time.Now().UTC())
	// In the domain of the sender and not of the host, whose name is nobody's business.
	msg.SetMessageIDWithValue(cmp.Or(m.ID, rand.Text()) + "@" + s.domain)
	// RFC 3834 §5: no absence notes, please.
	set("Auto-Submitted", "auto-generated")
	for _, name := range s.config.Headers {
		set(name, variableHeaders[name](m))
	}
	for name, value := range s.config.ExtraHeaders {
		set(name, value)
	}
	if m.Text != "" {
		msg.SetBodyString(gomail.TypeTextPlain, bodyText(m.Text))
	}
	if m.HTML != "" {
		// The last alternative is the best one (RFC 2046 §5.1.4).
		msg.AddAlternativeString(gomail.TypeTextHTML, bodyText(m.HTML))
	}
	var b bytes.Buffer
	if _, err := msg.WriteTo(&b); err != nil {
		return "", nil, &Error{Stage: stageLetter, cause: err}
	}
	return "<" + to.Mailbox() + ">", b.Bytes(), nil
}

// bodyText leaves out what no body may have: NUL (RFC 2046 §4.1.2) and bytes that are no UTF-8.
func bodyText(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\x00", "")
}

// oneLine makes one line of any value: line ends of every kind, NUL and other control characters become blanks, and
// several blanks become one. Nothing that is not a word is left to fold a header at.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "\ufffd"), func(r rune) bool {
		return r == ' ' || unicode.IsControl(r) || r == '\u2028' || r == '\u2029'
	}), " ")
}

func shorten(s string) string {
	if utf8.RuneCountInString(s) <= maxSubject {
		return s
	}
	return string([]rune(s)[:maxSubject-1]) + "…"
}

// headerText returns a value as it stands in an unstructured header: itself, or as encoded words (RFC 2047) if it has
// characters or words that cannot stand there, or what would be taken for an encoded word.
func headerText(s string) string {
	s = oneLine(s)
	if isPlain(s) && !strings.Contains(s, "=?") {
		return s
	}
	const (
		open, shut = "=?utf-8?B?", "?="
		chunk      = (75 - len(open) - len(shut)) / 4 * 3 // an encoded word has at most 75 characters
	)
	var words []string
	for s != "" {
		n := min(len(s), chunk)
		for n < len(s) && !utf8.RuneStart(s[n]) { // characters are not split, RFC 2047 §5
			n--
		}
		words = append(words, open+base64.StdEncoding.EncodeToString([]byte(s[:n]))+shut)
		s = s[n:]
	}
	return strings.Join(words, " ")
}

// isPlain reports whether a value consists of printable ASCII and of words that fit in a line.
func isPlain(s string) bool {
	word := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == ' ':
			word = 0
		case c > ' ' && c <= '~' && word < maxWord:
			word++
		default:
			return false
		}
	}
	return true
}

// parseFrom reads the sender's mailbox. The domain is in ASCII, in the address that is returned too.
func parseFrom(s string) (from netmail.Address, domain string, err error) {
	parsed, err := netmail.ParseAddress(s)
	if err != nil {
		return from, "", fmt.Errorf("is not an address such as %q", "Example <noreply@example.com>")
	}
	a, err := emailaddr.Parse(parsed.Address)
	if err != nil {
		return from, "", fmt.Errorf("is not an address in ASCII, or in an internationalised domain: %w", err)
	}
	const maxName = 100
	if parsed.Name != oneLine(parsed.Name) || utf8.RuneCountInString(parsed.Name) > maxName {
		return from, "", fmt.Errorf("has a name with control characters or blanks in a row, or longer than %d characters", maxName)
	}
	return netmail.Address{Name: parsed.Name, Address: a.Mailbox()}, a.Domain, nil
}

var headerName = regexp.MustCompile(`^[A-Za-z0-9-]{1,70}$`)

// checkExtraHeader says what is wrong with a fixed header, or nothing.
func checkExtraHeader(name, value string) string {
	if !headerName.MatchString(name) {
		return "is not a header name of letters, digits and hyphens"
	}
	lower := strings.ToLower(name)
	for _, own := range []string{
		"auto-submitted", "bcc", "cc", "date", "from", "message-id", "mime-version", "received", "return-path", "sender",
		"subject", "to",
	} {
		if lower == own {
			return "is not for the configuration to set"
		}
	}
	for _, family := range []string{"content-", "resent-"} {
		if strings.HasPrefix(lower, family) {
			return "is not for the configuration to set"
		}
	}
	for own := range variableHeaders {
		if strings.EqualFold(name, own) {
			return "repeats a letter; see Headers"
		}
	}
	if value == "" || !isPlain(value) || value != oneLine(value) {
		return "must be one line of printable ASCII without several blanks in a row, and no word of it longer than 900"
	}
	return ""
}
