package letters_test

import (
	"errors"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/http"
	netmail "net/mail"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/internal/fakesmtp"
)

// letter is a letter as its recipient has it.
type letter struct {
	to         string // of the envelope
	header     netmail.Header
	text, html string
}

// parse reads a letter, and fails the test if it is not one letter in one reading.
func parse(t *testing.T, l fakesmtp.Letter) letter {
	t.Helper()
	to, ok := strings.CutPrefix(l.To, "<")
	to, closed := strings.CutSuffix(to, ">")
	if !ok || !closed || strings.ContainsAny(to, "<> \t\r\n\",;") || strings.Count(to, "@") != 1 {
		t.Errorf("the envelope is to %q", l.To)
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(l.Content, "\r\n"), "\r\n") {
		if len(line) > 998 || strings.ContainsFunc(line, func(c rune) bool { return c > '~' || c < ' ' && c != '\t' }) {
			t.Errorf("line %.1000q", line)
		}
	}
	m, err := netmail.ReadMessage(strings.NewReader(l.Content))
	if err != nil {
		t.Fatal(err)
	}
	parsed := letter{to: to, header: m.Header}
	media, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || media != "multipart/alternative" {
		t.Fatalf("content type %s, %v", media, err)
	}
	var kinds []string
	parts := multipart.NewReader(m.Body, params["boundary"])
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		kind, params, err := mime.ParseMediaType(part.Header.Get("Content-Type"))
		if err != nil || !strings.EqualFold(params["charset"], "utf-8") || part.Header.Get("Content-Transfer-Encoding") != "quoted-printable" || len(part.Header) != 2 {
			t.Errorf("a part with the header %q, %v", part.Header, err)
		}
		content, err := io.ReadAll(quotedprintable.NewReader(part))
		if err != nil || !utf8.Valid(content) {
			t.Errorf("a body %q, %v", content, err)
		}
		kinds = append(kinds, kind)
		switch kind {
		case "text/plain":
			parsed.text = string(content)
		case "text/html":
			parsed.html = string(content)
		}
	}
	if !slices.Equal(kinds, []string{"text/plain", "text/html"}) {
		t.Errorf("the parts are %q", kinds)
	}
	if rest, err := io.ReadAll(m.Body); err != nil || strings.TrimSpace(string(rest)) != "" {
		t.Errorf("after the parts comes %q, %v", rest, err)
	}
	return parsed
}

// names are the names of the headers, each as often as it is there.
func (l letter) names() []string {
	var names []string
	for name, values := range l.header {
		for range values {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// decoded is a header as a mail program shows it.
func (l letter) decoded(t *testing.T, name string) string {
	t.Helper()
	s, err := new(mime.WordDecoder).DecodeHeader(l.header.Get(name))
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
	return s
}

// element is what a browser finds of the letter's structure.
type element struct {
	Type       html.TokenType
	Tag        string
	Attributes string // names, with the values of those that do not hold a link
}

// structure returns the elements of the HTML, where its links lead, and its text.
func (l letter) structure() (elements []element, links []string, text string) {
	z := html.NewTokenizer(strings.NewReader(l.html))
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			return elements, links, text
		}
		token := z.Token()
		if kind == html.TextToken {
			text += token.Data
			continue
		}
		e := element{Type: kind, Tag: token.Data}
		for _, a := range token.Attr {
			e.Attributes += a.Key + " "
			if a.Key == "href" {
				links = append(links, a.Val)
			} else {
				e.Attributes += a.Val + " "
			}
		}
		elements = append(elements, e)
	}
}

var (
	urls  = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s]*`)
	codes = regexp.MustCompile(`\b[0-9]{6}\b`)
)

// shape is a text with what differs from letter to letter replaced by what it is: a link by LINK, the addresses by TO and
// NEW, a code by CODE. Anything that was put in where the template did not ask for it remains.
func (l letter) shape(t *testing.T, text string) string {
	t.Helper()
	if link := l.decoded(t, "X-Link"); link != "" {
		text = strings.ReplaceAll(text, link, "LINK")
	}
	if code := l.header.Get("X-Ticket"); codes.MatchString(code) {
		text = strings.ReplaceAll(text, code, "CODE")
	}
	if newEmail := l.decoded(t, "X-New-Email"); newEmail != "" {
		text = strings.ReplaceAll(text, newEmail, "NEW")
	}
	return strings.ReplaceAll(text, l.decoded(t, "X-Email"), "TO")
}

// forbidden reports whether a character may end a line or turn one around.
func forbidden(c rune) bool {
	return unicode.IsControl(c) || c == '\u2028' || c == '\u2029' || c >= '\u202a' && c <= '\u202e' || c >= '\u2066' && c <= '\u2069'
}

// check compares what came of a request in which one field was hostile with the control, and returns 1 if it was accepted.
func (o outcome) check(t *testing.T, control outcome, field, value string) int {
	t.Helper()
	if o.status/100 == 4 {
		if len(o.letters) != 0 {
			t.Errorf("status %d, and %d letters", o.status, len(o.letters))
		}
		return 0
	}
	if o.status != control.status {
		t.Errorf("status %d, body %.300s", o.status, o.body)
	}
	if len(o.letters) == 0 && field == "email" {
		return 1 // an address of nobody, of whom it must not be told
	}
	if len(o.letters) != len(control.letters) {
		t.Fatalf("%d letters, want %d", len(o.letters), len(control.letters))
	}
	for i, l := range o.letters {
		want := control.letters[i]
		if l.to != want.to && field != "email" && field != "newEmail" {
			t.Errorf("letter %d is to %s", i, l.to)
		}
		if to, err := l.header.AddressList("To"); err != nil || len(to) != 1 || to[0].Address != l.to || to[0].Name != "" {
			t.Errorf("letter %d says that it is to %q, %v", i, l.header["To"], err)
		}
		l.compare(t, want)
		name := want.decoded(t, "X-Display-Name")
		if field == "displayName" && name == benign[field] {
			name = value
		}
		if got := l.decoded(t, "X-Display-Name"); got != name && field != "email" {
			t.Errorf("the display name is %q, want %q", got, name)
		}
		if link := l.decoded(t, "X-Link"); link != "" {
			o.follow(t, link, l.decoded(t, "X-Redirect-To"))
		}
	}
	return 1
}

// compare checks that a letter is the control but for the values in it.
func (l letter) compare(t *testing.T, control letter) {
	t.Helper()
	if diff := cmp.Diff(control.names(), l.names()); diff != "" {
		t.Errorf("headers: %s", diff)
	}
	for _, name := range []string{"From", "Auto-Submitted", "Mime-Version", "X-Email-Template", "X-Server-Url", "X-Client-Url"} {
		if got, want := l.header.Get(name), control.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for name := range l.header {
		if value := l.decoded(t, name); strings.ContainsFunc(value, func(c rune) bool {
			return unicode.IsControl(c) || c == '\u2028' || c == '\u2029'
		}) {
			t.Errorf("%s is read as %q", name, value)
		}
	}
	if got, want := l.shape(t, l.decoded(t, "Subject")), control.shape(t, control.decoded(t, "Subject")); got != want {
		t.Errorf("subject %q, want %q", got, want)
	}
	if got, want := l.shape(t, l.text), control.shape(t, control.text); got != want {
		t.Errorf("text %q, want %q", got, want)
	}
	elements, links, text := l.structure()
	wantElements, wantLinks, wantText := control.structure()
	if diff := cmp.Diff(wantElements, elements); diff != "" {
		t.Errorf("HTML: %s", diff)
	}
	if got, want := l.shape(t, text), control.shape(t, wantText); got != want {
		t.Errorf("HTML says %q, want %q", got, want)
	}
	if len(links) != len(wantLinks) {
		t.Fatalf("links %q, want %q", links, wantLinks)
	}
	for i, link := range links {
		if want := wantLinks[i]; link != want && (link != l.decoded(t, "X-Link") || !strings.HasPrefix(want, authtest.ServerURL)) {
			t.Errorf("link %q, want one like %q", link, want)
		}
	}
	if strings.ContainsFunc(l.text+text, func(c rune) bool { return c != '\r' && c != '\n' && forbidden(c) }) {
		t.Errorf("the text has control characters: %q", l.text)
	}
	if got, want := len(urls.FindAllString(l.text, -1)), len(urls.FindAllString(control.text, -1)); got != want {
		t.Errorf("%d URLs in the text, want %d", got, want)
	}
}

// follow checks that a link is one of the configured server, has the documented parameters and no others, each once, and
// that what follows leads to the client.
func (o outcome) follow(t *testing.T, link, redirectTo string) {
	t.Helper()
	rest, ours := strings.CutPrefix(link, authtest.ServerURL+"/verify?")
	if !ours || strings.ContainsFunc(link, func(c rune) bool { return c <= ' ' || c > '~' }) || strings.ContainsAny(link, `"'<>\{}`) {
		t.Fatalf("link %q", link)
	}
	query, err := url.ParseQuery(rest)
	if err != nil || !slices.Equal(slices.Sorted(maps.Keys(query)), []string{"redirectTo", "ticket", "type"}) {
		t.Fatalf("link %q: %v", link, err)
	}
	for name, values := range query {
		if len(values) != 1 || strings.ContainsFunc(values[0], func(c rune) bool { return c <= ' ' || c > '~' }) {
			t.Errorf("link with %s %q", name, values)
		}
	}
	if query.Get("redirectTo") != redirectTo || strings.Contains(redirectTo, query.Get("ticket")) {
		t.Errorf("link %q, and redirectTo is %q", link, redirectTo)
	}
	res := o.realm.send(t, "GET", "/verify?"+rest, map[string]string{"host": "auth.test", "agent": "Mozilla/5.0"}, nil, nil)
	if res.StatusCode != http.StatusFound {
		t.Errorf("following the link: %d", res.StatusCode)
		return
	}
	checkLocation(t, res)
}
