package letter

import (
	"errors"
	"strings"
	"unicode"
)

// maxSubject is the length of a subject before its values are put in, in characters.
const maxSubject = 200

// text is a template of plain text.
type text []piece

// piece is a literal text and, unless it is the last one, the variable that follows it.
type piece struct {
	literal, variable string
	last              bool
}

var errUnclosed = errors.New("has a ${ without a }")

// parseText splits a template at its variables.
func parseText(source string) (text, error) {
	var t text
	for {
		before, rest, ok := strings.Cut(source, "${")
		if !ok {
			return append(t, piece{literal: before, last: true}), nil
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			return nil, errUnclosed
		}
		t = append(t, piece{literal: before, variable: name})
		source = after
	}
}

func parseSubject(source string) (text, error) {
	source = strings.TrimSpace(source)
	switch {
	case strings.ContainsFunc(source, func(r rune) bool { return clean(string(r)) == " " && r != ' ' }):
		return nil, errors.New("is more than a line of text")
	case len([]rune(source)) > maxSubject:
		return nil, errors.New("is too long for a subject")
	}
	return parseText(source)
}

// expand puts the values in, in a single pass.
func (t text) expand(variables map[string]string) string {
	var b strings.Builder
	for _, p := range t {
		b.WriteString(p.literal)
		if !p.last {
			b.WriteString(clean(variables[p.variable]))
		}
	}
	return b.String()
}

// clean makes a value part of a line: what ends one, controls a device or turns the direction of a text becomes a blank,
// and what is not UTF-8 U+FFFD.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Bidi_Control, r) {
			return ' '
		}
		return r
	}, s)
}
