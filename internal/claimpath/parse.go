package claimpath

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of a path. They bound the stack that following it takes.
const (
	maxPathBytes = 1024
	maxSteps     = 64
)

// parser reads one path. Every method leaves pos behind what it has read.
type parser struct {
	text string
	pos  int
	star bool // [*] was read
}

func parsePath(text string) (path, error) {
	switch {
	case text == "":
		return path{}, errors.New("is empty")
	case len(text) > maxPathBytes:
		return path{}, fmt.Errorf("is longer than %d bytes", maxPathBytes)
	case !utf8.ValidString(text):
		return path{}, errors.New("is not valid UTF-8")
	}
	p := parser{text: text}
	steps, err := p.steps()
	if err != nil {
		return path{}, fmt.Errorf("at byte %d: %w", p.pos, err)
	}

	picks := func(s step) bool { return s.kind == stepElement || s.kind == stepFilter }
	return path{
		steps: steps,
		shape: steps[len(steps)-1].kind == stepList && !p.star && !slices.ContainsFunc(steps, picks),
	}, nil
}

func (p *parser) steps() ([]step, error) {
	var steps []step
	for p.pos < len(p.text) {
		if len(steps) == maxSteps {
			return nil, fmt.Errorf("more than %d steps", maxSteps)
		}
		if p.take("[") {
			s, err := p.bracket()
			if err != nil {
				return nil, err
			}
			steps = append(steps, s)
			continue
		}
		if len(steps) > 0 && !p.take(".") {
			return nil, errors.New("expected . or [")
		}
		name, err := p.name()
		if err != nil {
			return nil, err
		}
		steps = append(steps, step{kind: stepMember, name: name})
	}
	return steps, nil
}

// bracket reads a step after its opening bracket.
func (p *parser) bracket() (step, error) {
	var s step
	switch c := p.peek(); {
	case c == ']':
		s.kind = stepEvery
		if p.pos+1 == len(p.text) {
			s.kind = stepList
		}
	case c == '*':
		p.pos++
		p.star = true
		s.kind = stepEvery
	case c == '?':
		p.pos++
		where, err := p.filter()
		if err != nil {
			return step{}, err
		}
		s.kind, s.where = stepFilter, where
	case c == '\'' || c == '"':
		name, err := p.quoted()
		if err != nil {
			return step{}, err
		}
		s.kind, s.name = stepMember, name
	case c == '-' || '0' <= c && c <= '9':
		index, err := p.index()
		if err != nil {
			return step{}, err
		}
		s.kind, s.index = stepElement, index
	default:
		return step{}, errors.New("expected ], *, ?, an index or a quoted name")
	}
	if !p.take("]") {
		return step{}, errors.New("expected ]")
	}
	return s, nil
}

// filter reads a filter after its question mark, with or without parentheses.
func (p *parser) filter() (condition, error) {
	var c condition
	p.blanks()
	parenthesised := p.take("(")
	p.blanks()
	if !p.take("@") {
		return condition{}, errors.New("expected @")
	}
	for p.take(".") {
		if len(c.names) == maxSteps {
			return condition{}, fmt.Errorf("more than %d steps", maxSteps)
		}
		name, err := p.name()
		if err != nil {
			return condition{}, err
		}
		c.names = append(c.names, name)
	}
	p.blanks()
	switch {
	case p.take("=="):
	case p.take("!="):
		c.negate = true
	default:
		return condition{}, errors.New("expected == or !=")
	}
	p.blanks()
	want, err := p.literal()
	if err != nil {
		return condition{}, err
	}
	c.want = want
	p.blanks()
	if parenthesised && !p.take(")") {
		return condition{}, errors.New("expected )")
	}
	p.blanks()
	return c, nil
}

// literal reads the right side of a comparison.
func (p *parser) literal() (any, error) {
	switch c := p.peek(); {
	case c == '\'' || c == '"':
		return p.quoted()
	case p.take("true"):
		return true, nil
	case p.take("false"):
		return false, nil
	case p.take("null"):
		return nil, nil
	}
	number := p.run("+-.eE0123456789")
	if !json.Valid([]byte(number)) {
		return nil, errors.New("expected a quoted string, a number, true, false or null")
	}
	return json.Number(number), nil
}

// name reads an unquoted member name.
func (p *parser) name() (string, error) {
	rest := p.text[p.pos:]
	end := strings.IndexFunc(rest, func(r rune) bool {
		return r <= ' ' || r == 0x7f || strings.ContainsRune(`.[](){}?*@$,:=!'"\`, r)
	})
	if end < 0 {
		end = len(rest)
	}
	if end == 0 {
		return "", errors.New("expected a member name")
	}
	p.pos += end
	return rest[:end], nil
}

// quoted reads a string in quotes of either kind.
func (p *parser) quoted() (string, error) {
	quote := p.text[p.pos]
	var b strings.Builder
	for i := p.pos + 1; i < len(p.text); i++ {
		c := p.text[i]
		switch {
		case c == quote:
			p.pos = i + 1
			return b.String(), nil
		case c == '\\':
			i++
			if i == len(p.text) || !strings.ContainsRune(`'"\`, rune(p.text[i])) {
				return "", errors.New(`only quotes and backslashes can follow a backslash`)
			}
			b.WriteByte(p.text[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", errors.New("string has no end")
}

func (p *parser) index() (int, error) {
	digits := p.run("-0123456789")
	index, err := strconv.ParseInt(digits, 10, 32)
	if err != nil {
		return 0, errors.New("expected an index")
	}
	return int(index), nil
}

// run reads the longest text made of the given characters.
func (p *parser) run(characters string) string {
	rest := p.text[p.pos:]
	trimmed := strings.TrimLeft(rest, characters)
	p.pos = len(p.text) - len(trimmed)
	return rest[:len(rest)-len(trimmed)]
}

func (p *parser) blanks() { p.run(" \t") }

// peek returns the next byte, 0 at the end.
func (p *parser) peek() byte {
	if p.pos == len(p.text) {
		return 0
	}
	return p.text[p.pos]
}

// take reads token if it is next.
func (p *parser) take(token string) bool {
	if !strings.HasPrefix(p.text[p.pos:], token) {
		return false
	}
	p.pos += len(token)
	return true
}
