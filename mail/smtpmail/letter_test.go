package smtpmail_test

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ostiary/auth/internal/fakesmtp"
	"github.com/ostiary/auth/mail"
	"github.com/ostiary/auth/mail/smtpmail"
)

// parsed is a letter as its recipient reads it.
type parsed struct {
	header     netmail.Header
	text, html string
}

// parse reads a letter strictly.
func parse(t testing.TB, content string) parsed {
	t.Helper()
	for line := range strings.SplitSeq(strings.TrimSuffix(content, "\r\n"), "\r\n") {
		if len(line) > 998 {
			t.Errorf("a line of %d bytes", len(line))
		}
		for _, c := range []byte(line) {
			if c > '~' || c < ' ' && c != '\t' {
				t.Fatalf("line %q", line)
			}
		}
		if line != "" && strings.Trim(line, " \t") == "" {
			t.Errorf("a line of blanks, %q", content)
		}
	}
	m, err := netmail.ReadMessage(strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if v := m.Header["Mime-Version"]; !slices.Equal(v, []string{"1.0"}) {
		t.Errorf("MIME-Version %q", v)
	}
	p := parsed{header: m.Header}
	body := func(contentType, encoding string, r io.Reader) {
		media, params, err := mime.ParseMediaType(contentType)
		if err != nil || !strings.EqualFold(params["charset"], "utf-8") || encoding != "quoted-printable" {
			t.Fatalf("part %q, %q: %v", contentType, encoding, err)
		}
		b, err := io.ReadAll(quotedprintable.NewReader(r))
		if err != nil {
			t.Fatal(err)
		}
		into := map[string]*string{"text/plain": &p.text, "text/html": &p.html}[media]
		if into == nil || *into != "" {
			t.Fatalf("a part of type %s too many", media)
		}
		*into = string(b)
	}
	media, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	if media != "multipart/alternative" {
		body(m.Header.Get("Content-Type"), m.Header.Get("Content-Transfer-Encoding"), m.Body)
		return p
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return p
		}
		if err != nil {
			t.Fatal(err)
		}
		if p.html != "" {
			t.Error("HTML is not the last part")
		}
		body(part.Header.Get("Content-Type"), part.Header.Get("Content-Transfer-Encoding"), part)
	}
}

func (p parsed) decoded(t testing.TB, name string) string {
	t.Helper()
	decoder := new(mime.WordDecoder)
	for word := range strings.FieldsSeq(p.header.Get(name)) {
		// RFC 2047 §5: each encoded word stands for whole characters.
		if s, err := decoder.Decode(word); err == nil && !utf8.ValidString(s) {
			t.Errorf("%s has half a character: %q", name, word)
		}
	}
	s, err := decoder.DecodeHeader(p.header.Get(name))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func composer(t testing.TB, change func(*smtpmail.Config)) *smtpmail.Sender {
	t.Helper()
	c := smtpmail.Config{Host: "smtp.example.com", From: "Ostiary <noreply@example.org>"}
	if change != nil {
		change(&c)
	}
	s, err := smtpmail.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func compose(t testing.TB, s *smtpmail.Sender, m mail.Message) parsed {
	t.Helper()
	_, content, err := s.Compose(m)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(content))
}

// E17: MIME-Version, Message-ID and Date are there, subjects are encoded, and there is a text besides the HTML.
func TestLetterHasAllThatALetterNeeds(t *testing.T) {
	t.Parallel()
	before := time.Now().Truncate(time.Second)
	s, m := composer(t, nil), letter()
	m.Subject = "Bestätigen Sie Ihre E-Mail-Adresse"
	m.Text += "Grüße\n.\n..\nFrom here\n"
	p := compose(t, s, m)
	for name, want := range map[string]string{
		"From": `"Ostiary" <noreply@example.org>`, "To": "<ada@example.com>", "Auto-Submitted": "auto-generated",
	} {
		if got := p.header[name]; !slices.Equal(got, []string{want}) {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got := p.decoded(t, "Subject"); got != m.Subject {
		t.Errorf("subject %q", got)
	}
	date, err := p.header.Date()
	if err != nil || date.Before(before) || date.After(time.Now().Add(time.Second)) {
		t.Errorf("date %q", p.header.Get("Date"))
	}
	id := regexp.MustCompile(`^<[A-Z2-7]{26}@example\.org>$`)
	if got := p.header["Message-Id"]; len(got) != 1 || !id.MatchString(got[0]) {
		t.Errorf("message id %q", got)
	}
	if again := compose(t, s, m); again.header.Get("Message-Id") == p.header.Get("Message-Id") {
		t.Error("two letters have one id")
	}
	if want := strings.ReplaceAll(m.Text, "\n", "\r\n"); p.text != want {
		t.Errorf("text %q", p.text)
	}
	if p.html != m.HTML {
		t.Errorf("HTML %q", p.html)
	}
	want := []string{
		"Auto-Submitted", "Content-Type", "Date", "From", "Message-Id", "Mime-Version", "Subject", "To",
	}
	if got := slices.Sorted(maps.Keys(p.header)); !slices.Equal(got, want) {
		t.Errorf("headers %q", got)
	}
}

// A letter that has an ID has the same Message-ID each time, in the domain of the sender.
func TestMessageIDIsThatOfTheLetter(t *testing.T) {
	t.Parallel()
	s := composer(t, func(c *smtpmail.Config) { c.From = "Вратарь <noreply@пример.рф>" })
	for _, id := range []string{"2f1c9a4e-77b0-4c55-9f0e-0b7c8a3d1e11", "a", "A.b_c~d-1", strings.Repeat("x", 100)} {
		m := letter()
		m.ID = id
		for range 2 {
			if got := compose(t, s, m).header["Message-Id"]; !slices.Equal(got, []string{"<" + id + "@xn--e1afmkfd.xn--p1ai>"}) {
				t.Errorf("%s: %q", id, got)
			}
		}
	}
}

// RD-32: an ID that would be more than an ID is refused for good, before a server hears of it.
func TestIDsThatAreNone(t *testing.T) {
	t.Parallel()
	s := composer(t, nil)
	ids := []string{
		" ", "a b", "a@b", "a>", "<a", "a>\r\nBcc: <eve@evil.test", "a\n", "a\r", "a\x00", "a\u0085", "a\u2028", ".a", "a.", "a..b", "a/b", "a%0D",
		`"a"`, "(a)", "é", "a\xff", strings.Repeat("x", 101),
	}
	for _, value := range hostile {
		ids = append(ids, value)
	}
	for _, id := range ids {
		m := letter()
		m.ID = id
		_, _, err := s.Compose(m)
		var e *smtpmail.Error
		if !errors.As(err, &e) || e.Stage != "letter" || !e.Permanent() {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestLetterWithOneBody(t *testing.T) {
	t.Parallel()
	s := composer(t, nil)
	for name, change := range map[string]func(*mail.Message){
		"text alone": func(m *mail.Message) { m.HTML = "" },
		"HTML alone": func(m *mail.Message) { m.Text = "" },
	} {
		m := letter()
		change(&m)
		p := compose(t, s, m)
		if want := strings.ReplaceAll(m.Text, "\n", "\r\n"); p.text != want || p.html != m.HTML {
			t.Errorf("%s: %q, %q", name, p.text, p.html)
		}
	}
}

// The letter arrives as it was composed: dots at the beginnings of lines, long lines and foreign scripts included.
func TestLetterArrivesAsItIs(t *testing.T) {
	t.Parallel()
	s := start(t, fakesmtp.Options{})
	m := letter()
	m.Text = ".\r\n..\n.x\rDATA\n" + strings.Repeat("длинная строка ", 1000) + "\n.\n" + strings.Repeat("x", 5000)
	m.HTML = "<p>.\r\n.\r\nQUIT\r\n</p>"
	if err := newSender(t, config(s)).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	got := s.Letters()
	if len(got) != 1 {
		t.Fatalf("%d letters", len(got))
	}
	p := parse(t, got[0].Content)
	lines := strings.NewReplacer("\r\n", "\r\n", "\n", "\r\n", "\r", "\r\n")
	if p.text != lines.Replace(m.Text) {
		t.Errorf("text %q", p.text)
	}
	if p.html != m.HTML {
		t.Errorf("HTML %q", p.html)
	}
}

// hostile are values that try to be more than values.
var hostile = map[string]string{
	"a header":               "x\r\nBcc: eve@evil.test",
	"a header by LF":         "x\nBcc: eve@evil.test",
	"a header by CR":         "x\rBcc: eve@evil.test",
	"a body":                 "x\r\n\r\n<h1>Send money</h1>\r\n",
	"an end of the letter":   "x\r\n.\r\nMAIL FROM:<eve@evil.test>\r\n",
	"NEL":                    "x\u0085Bcc: eve@evil.test",
	"line separators":        "x\u2028Bcc: eve@evil.test\u2029y",
	"vertical tabs":          "x\v\fBcc: eve@evil.test",
	"NUL":                    "x\x00y\x00\r\nBcc: eve@evil.test",
	"a fold":                 "x\r\n Bcc: eve@evil.test",
	"blanks to fold at":      "x" + strings.Repeat(" ", 500) + "Bcc: eve@evil.test",
	"tabs to fold at":        "x" + strings.Repeat("\t", 500) + "y",
	"words to fold at":       strings.Repeat(strings.Repeat("y", 75)+"  ", 50),
	"an encoded word":        "=?utf-8?q?x=0D=0ABcc:_eve@evil.test?=",
	"half an encoded word":   "=?utf-8?q?",
	"a boundary":             "--x\r\nContent-Type: text/html\r\n\r\n",
	"a very long word":       strings.Repeat("x", 10_000),
	"a very long text":       strings.Repeat("Ünï ", 2_500),
	"non-ASCII":              "Žluťoučký kůň 馬 🐎",
	"bytes that are no text": "x\xff\xfe\x80y\xc3",
	"quotes and commas":      `"Lovelace, Ada" <eve@evil.test>, (comment) \"`,
	"nothing but line ends":  "\r\n\r\n",
	"separators at the end":  "x\u2028\u2028\r\n",
}

// W7, RD-32, RD-33: whatever the values are, it is one letter with the headers of any letter, each once, to one
// recipient, with two bodies.
func TestNoValueAddsToALetter(t *testing.T) {
	t.Parallel()
	s := composer(t, func(c *smtpmail.Config) {
		c.Headers = []string{
			"X-Client-Url", "X-Display-Name", "X-Email", "X-Email-Template", "X-Link", "X-Locale", "X-New-Email", "X-Redirect-To", "X-Server-Url", "X-Ticket",
		}
	})
	control := letter()
	control.Variables["newEmail"] = "ada@example.net"
	want := compose(t, s, control)
	for name, value := range hostile {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := control
			m.Subject, m.Template, m.Locale, m.Text, m.HTML = "Hello "+value, value, value, "Hello "+value, "Hello "+value
			m.Variables = map[string]string{}
			for k := range control.Variables {
				m.Variables[k] = value
			}
			recipient, content, err := s.Compose(m)
			if err != nil {
				t.Fatal(err)
			}
			if recipient != "<ada@example.com>" {
				t.Errorf("recipient %q", recipient)
			}
			p := parse(t, string(content))
			for header, values := range p.header {
				if len(values) != 1 || len(want.header[header]) != 1 {
					t.Errorf("header %s: %q", header, values)
				}
			}
			visible := strings.TrimFunc(strings.ToValidUTF8(value, "x"), func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }) != ""
			if visible && len(p.header) != len(want.header) {
				t.Errorf("%d headers, want %d", len(p.header), len(want.header))
			}
			for _, header := range []string{"Subject", "X-Display-Name", "X-Redirect-To", "X-Ticket"} {
				got := p.decoded(t, header)
				if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool {
					return unicode.IsControl(r) || r == '\u2028' || r == '\u2029'
				}) {
					t.Errorf("%s is read as %q", header, got)
				}
			}
			if subject := p.decoded(t, "Subject"); utf8.RuneCountInString(subject) > 250 || !strings.HasPrefix(subject, "Hello") {
				t.Errorf("subject %q", subject)
			}
			if !strings.HasPrefix(p.text, "Hello") || !strings.HasPrefix(p.html, "Hello") || strings.Contains(p.text, "\x00") {
				t.Errorf("bodies %q, %q", p.text, p.html)
			}
		})
	}
}

// What a program reads in a header is what the letter says.
func TestHeadersSayWhatTheLetterSays(t *testing.T) {
	t.Parallel()
	m := letter()
	m.Variables["redirectTo"] = "https://app.example.com/" + strings.Repeat("very/", 150)
	name := "Žofie, =?x?= " + strings.Repeat("馬é x", 50)
	m.Variables["displayName"] = name
	for test, tt := range map[string]struct {
		headers []string
		want    map[string]string
	}{
		"none": {nil, map[string]string{}},
		"documented": {smtpmail.DocumentedHeaders(), map[string]string{
			"X-Email-Template": m.Template, "X-Link": m.Variables["link"], "X-Redirect-To": m.Variables["redirectTo"], "X-Ticket": ticket,
		}},
		"others, of which one has no value": {[]string{"X-Display-Name", "X-Email", "X-New-Email", "X-Locale", "X-Server-Url", "X-Client-Url"}, map[string]string{
			"X-Display-Name": name, "X-Email": "ada@example.com", "X-Locale": "en",
			"X-Server-Url": "https://auth.example.com", "X-Client-Url": "https://app.example.com",
		}},
	} {
		s := composer(t, func(c *smtpmail.Config) {
			c.Headers = tt.headers
			c.ExtraHeaders = map[string]string{"X-SMTPAPI": `{"category": "auth"}`, "Reply-To": "help@example.org"}
		})
		p := compose(t, s, m)
		got := map[string]string{}
		for header := range p.header {
			if strings.HasPrefix(header, "X-") && header != "X-Smtpapi" {
				got[header] = p.decoded(t, header)
			}
		}
		if !maps.Equal(got, tt.want) {
			t.Errorf("%s: %q", test, got)
		}
		if p.header.Get("X-Smtpapi") != `{"category": "auth"}` || p.header.Get("Reply-To") != "help@example.org" {
			t.Errorf("%s: extra headers %q", test, p.header)
		}
	}
}

// A URL that a header can hold is there as it is, for programs that decode nothing.
func TestLinkIsNotEncoded(t *testing.T) {
	t.Parallel()
	s := composer(t, func(c *smtpmail.Config) { c.Headers = smtpmail.DocumentedHeaders() })
	m := letter()
	if got := compose(t, s, m).header.Get("X-Link"); got != m.Variables["link"] {
		t.Errorf("link %q", got)
	}
}

func TestSenderNames(t *testing.T) {
	t.Parallel()
	for from, want := range map[string]netmail.Address{
		"noreply@example.org":                         {Address: "noreply@example.org"},
		"<noreply@example.org>":                       {Address: "noreply@example.org"},
		"Ostiary <noreply@example.org>":               {Name: "Ostiary", Address: "noreply@example.org"},
		`"Ostiary, Inc." <noreply@example.org>`:       {Name: "Ostiary, Inc.", Address: "noreply@example.org"},
		`"The \"Gate\" (West)" <noreply@example.org>`: {Name: `The "Gate" (West)`, Address: "noreply@example.org"},
		"Türhüter, GmbH <noreply@example.org>":        {},
		`"Türhüter, GmbH" <noreply@example.org>`:      {Name: "Türhüter, GmbH", Address: "noreply@example.org"},
		"Вратарь <noreply@пример.рф>":                 {Name: "Вратарь", Address: "noreply@xn--e1afmkfd.xn--p1ai"},
		"=?utf-8?q?T=C3=BCr?= <noreply@example.org>":  {Name: "Tür", Address: "noreply@example.org"},
	} {
		s, err := smtpmail.New(smtpmail.Config{Host: "smtp.example.com", From: from})
		if want.Address == "" {
			if err == nil {
				t.Errorf("%s was accepted", from)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", from, err)
			continue
		}
		p := compose(t, s, letter())
		got, err := p.header.AddressList("From")
		if err != nil || len(got) != 1 || *got[0] != want {
			t.Errorf("%s: %v, %v", from, p.header["From"], err)
		}
	}
}

// RD-36: a recipient is one address or refused for good, before a server hears of it.
func TestRecipients(t *testing.T) {
	t.Parallel()
	s := start(t, fakesmtp.Options{})
	sender := newSender(t, config(s))
	for _, to := range []string{
		"", "ada", "ada@", "@example.com", "<ada@example.com>", "Ada <ada@example.com>", "ada@example.com, eve@evil.test",
		"ada@example.com eve@evil.test", "<ada@example.com> SIZE=1", "ada@example.com>\r\nRCPT TO:<eve@evil.test", "ada@example.com\r\n",
		"ada@example.com\x00", `"ada> ORCPT=eve@evil.test"@example.com`, `"ada lovelace"@example.com`, "ada@[127.0.0.1]", "дмитрий@example.com",
		"ada@exa\u2028mple.com", strings.Repeat("a", 65) + "@example.com", "ada@" + strings.Repeat("a.", 130) + "com",
	} {
		m := letter()
		m.To = to
		err := sender.Send(t.Context(), m)
		var e *smtpmail.Error
		if !errors.As(err, &e) || e.Stage != "letter" || !e.Permanent() {
			t.Errorf("%q: %v", to, err)
		}
		if len(to) > 3 && strings.Contains(err.Error(), to) {
			t.Errorf("the error shows the recipient: %v", err)
		}
	}
	m := letter()
	m.Text, m.HTML = "", ""
	if err := sender.Send(t.Context(), m); err == nil {
		t.Error("an empty letter was sent")
	}
	if s.Conns() != 0 {
		t.Fatalf("%d connections", s.Conns())
	}
	for to, want := range map[string]string{
		"Ada.Lovelace+tag@Example.COM": "<Ada.Lovelace+tag@example.com>",
		"ada@bücher.example":           "<ada@xn--bcher-kva.example>",
		"o'hara&sons@example.com":      "<o'hara&sons@example.com>",
	} {
		m := letter()
		m.To = to
		if err := sender.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		letters := s.Letters()
		last := letters[len(letters)-1]
		if last.To != want || parse(t, last.Content).header.Get("To") != want {
			t.Errorf("%s: envelope %q, header %q", to, last.To, parse(t, last.Content).header.Get("To"))
		}
	}
}

func FuzzLetter(f *testing.F) {
	for _, value := range hostile {
		f.Add(value, value)
	}
	s := composer(f, func(c *smtpmail.Config) { c.Headers = smtpmail.DocumentedHeaders() })
	f.Fuzz(func(t *testing.T, value, to string) {
		m := letter()
		m.Subject, m.Text, m.HTML = value, "T"+value, "H"+value
		m.Variables["link"] = value
		_, content, err := s.Compose(m)
		if err != nil {
			t.Fatal(err)
		}
		p := parse(t, string(content))
		for name, values := range p.header {
			if len(values) != 1 {
				t.Errorf("header %s: %q", name, values)
			}
		}
		if !strings.HasPrefix(p.text, "T") || !strings.HasPrefix(p.html, "H") {
			t.Errorf("bodies %q, %q", p.text, p.html)
		}
		m.To = to
		if recipient, _, err := s.Compose(m); err == nil && bytes.ContainsAny([]byte(recipient[1:len(recipient)-1]), "<> \t\r\n\"") {
			t.Errorf("recipient %q", recipient)
		}
	})
}
