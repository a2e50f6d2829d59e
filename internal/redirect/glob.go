package redirect

import (
	"errors"
	"math/bits"
	"strings"
	"unicode/utf8"
)

// glob is a compiled pattern: a literal prefix, and from the first wildcard on a list of tokens that is run as a
// nondeterministic automaton. A match takes at most len(tail) steps for each character of the input, whatever the pattern.
type glob struct {
	prefix string
	tail   []token // empty, or begins with a wildcard
	below  bool    // what continues with "/" matches too
}

type tokenKind uint8

const (
	literal    tokenKind = iota // the character r
	any1                        // ?
	set                         // [abc]
	complement                  // [!abc]
	run                         // *
	deepRun                     // **
)

type token struct {
	kind  tokenKind
	r     rune
	chars [2]uint64 // the ASCII characters of a set
}

// maxTokens is the length of a tail; with the final state, the states of a match fill the words of states exactly.
const maxTokens = 255

type states [(maxTokens + 1) / 64]uint64

func (s *states) has(i int) bool { return s[i/64]>>(i%64)&1 == 1 }

func separator(r rune) bool { return r == '.' || r == '/' }

// compileGlob compiles a pattern without alternatives.
func compileGlob(pattern string) (glob, error) {
	if strings.ContainsRune(pattern, utf8.RuneError) {
		return glob{}, errors.New("not UTF-8") // U+FFFD would match any malformed byte
	}
	first := strings.IndexAny(pattern, "*?[]")
	if first < 0 {
		return glob{prefix: pattern}, nil
	}
	g := glob{prefix: pattern[:first]}
	for rest := pattern[first:]; rest != ""; {
		var t token
		switch {
		case strings.HasPrefix(rest, "***"):
			return glob{}, errors.New("more than two stars in a row")
		case strings.HasPrefix(rest, "**"):
			t.kind, rest = deepRun, rest[2:]
		case rest[0] == '*':
			t.kind, rest = run, rest[1:]
		case rest[0] == '?':
			t.kind, rest = any1, rest[1:]
		case rest[0] == '[':
			body, after, found := strings.Cut(rest[1:], "]")
			if !found {
				return glob{}, errors.New("[ without ]")
			}
			var err error
			if t, err = compileSet(body); err != nil {
				return glob{}, err
			}
			rest = after
		case rest[0] == ']':
			return glob{}, errors.New("] without [")
		default:
			r, size := utf8.DecodeRuneInString(rest)
			t.r, rest = r, rest[size:]
		}
		if g.tail = append(g.tail, t); len(g.tail) > maxTokens {
			return glob{}, errors.New("pattern too long")
		}
	}
	return g, nil
}

// compileSet compiles the inside of [...]: ASCII letters, digits, hyphens, underscores, and ranges like a-z, A-F or 0-9.
func compileSet(body string) (token, error) {
	t := token{kind: set}
	if after, found := strings.CutPrefix(body, "!"); found {
		t.kind, body = complement, after
	}
	if body == "" {
		return token{}, errors.New("empty set")
	}
	for i := 0; i < len(body); i++ {
		low, high := body[i], body[i]
		if i+2 < len(body) && body[i+1] == '-' {
			high = body[i+2]
			i += 2
		}
		if class(low) == 0 || class(low) != class(high) || low > high {
			return token{}, errors.New("a set holds letters, digits, hyphens, underscores and ranges like a-z")
		}
		for c := low; c <= high; c++ {
			t.chars[c/64] |= 1 << (c % 64)
		}
	}
	return t, nil
}

// class returns a representative of the characters that c can form a range with, or 0 where c cannot be in a set.
func class(c byte) byte {
	switch {
	case 'a' <= c && c <= 'z':
		return 'a'
	case 'A' <= c && c <= 'Z':
		return 'A'
	case '0' <= c && c <= '9':
		return '0'
	case c == '-', c == '_':
		return c
	}
	return 0
}

// accepts reports whether the token consumes r.
func (t *token) accepts(r rune) bool {
	switch t.kind {
	case literal:
		return r == t.r
	case deepRun:
		return true
	case set, complement:
		member := int(r/64) < len(t.chars) && t.chars[r/64]>>(r%64)&1 == 1
		return !separator(r) && member == (t.kind == set)
	default:
		return !separator(r)
	}
}

func (t *token) repeats() bool { return t.kind == run || t.kind == deepRun }

func (g *glob) match(s string) bool {
	rest, found := strings.CutPrefix(s, g.prefix)
	if !found {
		return false
	}
	var now states
	g.enter(&now, 0)
	for _, r := range rest {
		if g.below && r == '/' && now.has(len(g.tail)) {
			return true
		}
		var next states
		for word, live := range now {
			for ; live != 0; live &= live - 1 {
				i := word*64 + bits.TrailingZeros64(live)
				if i == len(g.tail) || !g.tail[i].accepts(r) {
					continue
				}
				if g.tail[i].repeats() {
					g.enter(&next, i)
				} else {
					g.enter(&next, i+1)
				}
			}
		}
		if next == (states{}) {
			return false
		}
		now = next
	}
	return now.has(len(g.tail))
}

// enter adds state i, and those behind runs that may be empty.
func (g *glob) enter(s *states, i int) {
	for {
		s[i/64] |= 1 << (i % 64)
		if i == len(g.tail) || !g.tail[i].repeats() {
			return
		}
		i++
	}
}

// sample returns a text that has the pattern's shape, with one letter for each wildcard, so that the rules for hosts and paths
// can be asked about the rest of it.
func (g *glob) sample() string {
	var b strings.Builder
	b.WriteString(g.prefix)
	for i := range g.tail {
		if g.tail[i].kind == literal {
			b.WriteRune(g.tail[i].r)
		} else {
			b.WriteByte('a')
		}
	}
	return b.String()
}
