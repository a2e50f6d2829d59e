package letter

import (
	"errors"
	"fmt"
	"html/template"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// urls are the variables that the engine makes, or has checked. Where one begins a URL, its scheme may be any, such as an
// app's own; elsewhere, in a query say, it is escaped as every other.
var urls = []string{"link", "redirectTo", "serverUrl", "clientUrl"}

// markup is a template of HTML. html/template does the escaping, for it knows which context a place is.
type markup struct {
	template *template.Template
	slots    []slot
}

// slot is a place in markup: a variable, or else a part of a conditional comment.
type slot struct {
	variable string
	beginURL bool
	comment  template.HTML
}

// What the template's own actions stand between. No source has a control character.
const leftDelim, rightDelim = "\x01{", "}\x01"

// parseMarkup compiles a template and tries it.
func parseMarkup(source string) (*markup, error) {
	m := &markup{}
	var b strings.Builder
	add := func(s slot) {
		b.WriteString(leftDelim + "index . " + strconv.Itoa(len(m.slots)) + rightDelim)
		m.slots = append(m.slots, s)
	}
	parts, err := splitConditionals(source)
	if err != nil {
		return nil, err
	}
	for _, part := range parts {
		pieces, err := parseText(part.text)
		if err != nil {
			return nil, err
		}
		for _, p := range pieces {
			b.WriteString(p.literal)
			if !p.last {
				add(slot{variable: p.variable})
			}
		}
		if part.comment != "" {
			// html/template drops comments, but not what is said to be safe.
			add(slot{comment: template.HTML(part.comment)})
		}
	}
	if m.template, err = template.New("html").Delims(leftDelim, rightDelim).Parse(b.String()); err != nil {
		return nil, err
	}
	return m, m.try(source)
}

// refusal is what html/template writes in place of a value that cannot be made safe where it stands.
const refusal = "ZgotmplZ"

// try runs the template, finds out which variables begin a URL, and looks for what would be lost.
func (m *markup) try(source string) error {
	for i := range m.slots {
		s := &m.slots[i]
		// What is wrong with the template is wrong with every execution of it: the last one will tell.
		alone := func(value any) string {
			out, _ := m.execute(func(at int) any {
				if at == i {
					return value
				}
				return ""
			})
			return out
		}
		if slices.Contains(urls, s.variable) {
			// A value that is no URL of the web is refused where it begins one, and nowhere else.
			s.beginURL = strings.Contains(alone("app:x"), refusal)
		}
		if s.comment == "" {
			like := "onclick" // which is no more than a word, except as the name of an attribute
			if slices.Contains(urls, s.variable) {
				like = "https://example.com/x"
			}
			if strings.Contains(alone(s.value(like)), refusal) {
				return fmt.Errorf("has ${%s} where no value is safe", s.variable)
			}
		}
	}
	out, err := m.expand(nil)
	if err != nil {
		return explain(err)
	}
	rest := out
	for _, s := range m.slots {
		var ok bool
		if _, rest, ok = strings.Cut(rest, string(s.comment)); !ok {
			return fmt.Errorf("has %s where there can be no comment", s.comment)
		}
	}
	if strings.Count(out, "&lt;") > strings.Count(source, "&lt;") {
		return errors.New("has a < that begins no tag: write &lt;")
	}
	return nil
}

// explain makes an error of html/template fit for who has written the template, and not this package.
func explain(err error) error {
	if known, ok := errors.AsType[*template.Error](err); ok {
		return errors.New(known.Description)
	}
	return err
}

// value is what a variable's value is to html/template.
func (s *slot) value(v string) any {
	switch v = clean(v); {
	case s.comment != "":
		return s.comment
	case s.beginURL:
		return template.URL(v)
	default:
		return v
	}
}

// expand puts the values in, each escaped for its place.
func (m *markup) expand(variables map[string]string) (string, error) {
	return m.execute(func(i int) any { return m.slots[i].value(variables[m.slots[i].variable]) })
}

func (m *markup) execute(value func(slot int) any) (string, error) {
	values := make([]any, len(m.slots))
	for i := range values {
		values[i] = value(i)
	}
	var b strings.Builder
	err := m.template.Execute(&b, values)
	return b.String(), err
}

// conditional are the parts of conditional comments, which Outlook obeys and for which there is no other way to tell it
// anything. What other programs take for one comment is between hidden and endHidden.
var conditional = regexp.MustCompile(`(?i)^(?:` +
	`(?P<shown><!--\[if[^\]<>$]*\]>(?:<!(?:--\s*)?)?-->)` +
	`|(?P<hidden><!--\[if[^\]<>$]*\]>)` +
	`|(?P<bare><!\[if[^\]<>$]*\]>)` +
	`|(?P<endShown><!--\s*<!\[endif\]-->)` +
	`|(?P<endBare><!\[endif\]>)` +
	`|(?P<endHidden><!\[endif\]-->))`)

// ends says which part ends what another began.
var ends = map[string]string{"endShown": "shown", "endBare": "bare", "endHidden": "hidden"}

// beforeEnd is a variable whose value could make an end of a comment out of what follows: html/template lets hyphens be,
// and escapes only a > of the value's own.
var beforeEnd = regexp.MustCompile(`(\$\{[^}]*\})[-!]*>`)

// section is a text and the part of a conditional comment that follows it, if any.
type section struct{ text, comment string }

// splitConditionals splits a source at the parts of its conditional comments.
func splitConditionals(source string) ([]section, error) {
	var sections []section
	open, from := "", 0
	for at := 0; ; {
		i := strings.Index(source[at:], "<!")
		if i < 0 {
			break
		}
		at += i
		match := conditional.FindStringSubmatch(source[at:])
		if match == nil {
			at += len("<!")
			continue
		}
		var kind string
		for i, name := range conditional.SubexpNames() { // first the whole, which has none
			if match[i] != "" {
				kind = name
			}
		}
		s := section{source[from:at], match[0]}
		at += len(match[0])
		if ends[kind] != open {
			return nil, fmt.Errorf("has %s, which does not belong to what comes before it", s.comment)
		}
		if kind == "endHidden" {
			switch exposed := beforeEnd.FindStringSubmatch(s.text); {
			case strings.Contains(s.text, "<!--") || strings.Contains(s.text, "-->") || strings.Contains(s.text, "--!>"):
				return nil, errors.New("has a comment within a conditional comment, which would end it")
			case exposed != nil:
				return nil, fmt.Errorf("has %s right before a > in a conditional comment, which it could end: put quotes around it", exposed[1])
			}
		}
		if open = kind; ends[kind] != "" {
			open = ""
		}
		sections, from = append(sections, s), at
	}
	if open != "" {
		return nil, errors.New("has a conditional comment without an end")
	}
	return append(sections, section{text: source[from:]}), nil
}
