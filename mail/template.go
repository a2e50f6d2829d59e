package mail

import (
	"embed"
	"fmt"
	"html"
	"io/fs"
	"path"
	"strings"
)

//go:embed templates
var templates embed.FS

// fallbackLocale has every letter.
const fallbackLocale = "en"

// Render makes a letter from the built-in templates, in the given locale or else in English. Each template has a
// subject, a text and an HTML body, in which ${name} stands for a variable and an unknown one for nothing. A value is
// put in once, as it is: what looks like a variable within a value stays what it is. In HTML it is escaped; in a
// subject, line ends become blanks.
func Render(name, locale string, variables map[string]string) (Message, error) {
	if !isSegment(name) {
		return Message{}, fmt.Errorf("mail: no template is called %q", name)
	}
	dir := path.Join("templates", locale, name)
	if _, err := fs.Stat(templates, dir); err != nil || !isSegment(locale) {
		dir = path.Join("templates", fallbackLocale, name)
	}
	m := Message{Template: name, Locale: locale, Variables: variables}
	for _, part := range []struct {
		file   string
		into   *string
		escape func(string) string
	}{
		{"subject.txt", &m.Subject, oneLine},
		{"body.txt", &m.Text, func(s string) string { return s }},
		{"body.html", &m.HTML, html.EscapeString},
	} {
		text, err := fs.ReadFile(templates, path.Join(dir, part.file))
		if err != nil {
			return Message{}, fmt.Errorf("mail: template %s: %w", name, err)
		}
		*part.into = expand(string(text), variables, part.escape)
	}
	m.Subject = strings.TrimSpace(m.Subject)
	return m, nil
}

// isSegment keeps names from leading anywhere but to an entry of a folder.
func isSegment(s string) bool { return fs.ValidPath(s) && s != "." && !strings.Contains(s, "/") }

// expand replaces each ${name} in a single pass.
func expand(text string, variables map[string]string, escape func(string) string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(text, "${")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			b.WriteString("${" + rest)
			return b.String()
		}
		b.WriteString(escape(variables[name]))
		text = after
	}
}

// oneLine makes a value safe for a header.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\u0085' || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s)
}
