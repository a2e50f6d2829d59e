package letter_test

import (
	"io"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/net/html"

	"github.com/ostiary/auth/internal/letter"
)

// variable is what the expansion replaces, said in another way.
var variable = regexp.MustCompile(`\$\{[^}]*\}`)

// RD-35
func FuzzExpand(f *testing.F) {
	f.Add("a ${v} b", "x")
	f.Add("${${v}}${}", "${v}")
	f.Add("$${v}$", "\u2028${")
	f.Fuzz(func(t *testing.T, template, value string) {
		s, err := letter.Parse(tree(map[string]string{"en/a/subject.txt": "s", "en/a/body.txt": template, "en/a/body.html": "h"}))
		if err != nil {
			return // it is no text, or has no end
		}
		m, err := s.Mail("a", "en", map[string]string{"v": value})
		if err != nil {
			t.Fatal(err)
		}
		line := ""
		for _, r := range value {
			if unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Bidi_Control) {
				r = ' '
			}
			line += string(r)
		}
		want := variable.ReplaceAllStringFunc(strings.TrimPrefix(template, "\ufeff"), func(v string) string {
			if v == "${v}" {
				return line
			}
			return ""
		})
		if m.Text != want {
			t.Fatalf("got %q, want %q", m.Text, want)
		}
	})
}

// A template is refused, or makes a letter whatever the value is: with the same elements and attributes.
func FuzzHTML(f *testing.F) {
	f.Add(`<p title="${v}" class=${v}>${v}<a href="${link}?x=${link}">`, `"><b>-->`)
	f.Add(`<!--[if mso]><a href='${link}'>${v}</a><![endif]-->${v}`, `--><b>`)
	f.Add(`<!--[if !mso]><!--><b>${v}</b><!--<![endif]--><title>${v}</title>`, `</title><b>`)
	f.Add(`<style>p{color:${v}}</style><textarea>${v}</textarea>`, `</style><b>`)
	f.Add("<${v}", "x")
	f.Fuzz(func(t *testing.T, template, value string) {
		s, err := page(template)
		if err != nil {
			return
		}
		structureOf := func(value string) []string {
			m, err := s.Mail("page", "en", map[string]string{"v": value, "link": value})
			if err != nil {
				t.Fatal(err)
			}
			return structure(m.HTML)
		}
		if plain, got := structureOf("x"), structureOf(value); strings.Join(plain, " ") != strings.Join(got, " ") {
			t.Fatalf("%q makes of %q\n%q, and not\n%q", value, template, got, plain)
		}
	})
}

// structure are the elements of a text and the names of their attributes. What is in a comment is left out, but not the
// comment.
func structure(text string) (all []string) {
	z := html.NewTokenizer(strings.NewReader(text))
	for {
		kind := z.Next()
		if z.Err() == io.EOF {
			return all
		}
		if kind == html.TextToken {
			continue
		}
		token := z.Token()
		s := kind.String()
		if kind != html.CommentToken {
			s += token.Data
		}
		for _, a := range token.Attr {
			s += "," + a.Key
		}
		all = append(all, s)
	}
}
