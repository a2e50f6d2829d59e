// Package passnorm brings a password into the one form in which it is measured,
// compared and hashed, so that the same password typed on two keyboards is the
// same string.
package passnorm

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"
	"golang.org/x/text/unicode/norm"
)

var (
	// ErrEmpty reports a password without any character.
	ErrEmpty = errors.New("passnorm: empty password")

	// ErrCharacters reports a password with bytes or characters that no
	// password may have. Its text never contains any of them.
	ErrCharacters = errors.New("passnorm: password with characters that are not allowed")
)

// Normalize applies the OpaqueString profile of PRECIS (RFC 8265 §4.2) to
// password: white space outside ASCII becomes a blank, and the result is in
// Unicode Normalization Form C (NIST SP 800-63B-4 §3.1.1.2). Nothing is
// trimmed, cut or case-folded (OWASP ASVS 5.0 6.2.8). A password of printable
// ASCII characters is returned as it is.
//
// Normalize must be applied whenever a password is set and whenever one is
// checked; applying it twice changes nothing. It takes time in proportion to
// the length, so that a caller should bound the bytes first. Lengths in
// characters are to be counted in the code points of the result.
//
// The error is [ErrEmpty], or it wraps [ErrCharacters]: for control characters
// (with NUL, tab and line breaks), invalid UTF-8, code points that are
// unassigned, private or invisible, and for a few that the profile takes only
// in context.
//
// In two points this is not the bare profile:
//
//   - U+FFFD is refused. It is what a decoder leaves in the place of bytes that
//     it could not read: different passwords would become one.
//   - The variation selectors U+FE0E and U+FE0F are accepted after a symbol or
//     the digit of a keycap, the joiner U+200D and the tag characters after a
//     symbol, a selector, or one another. The profile takes them for invisible
//     characters, but they are how keyboards spell many emoji, and every
//     character that a keyboard offers should be usable.
func Normalize(password string) (string, error) {
	if password == "" {
		return "", ErrEmpty
	}
	// The profile's implementation replaces what is not UTF-8 by U+FFFD and
	// accepts that. ContainsRune finds both.
	if strings.ContainsRune(password, utf8.RuneError) {
		return "", fmt.Errorf("%w: not valid UTF-8", ErrCharacters)
	}

	result := norm.NFC.String(strings.Map(mapSpace, password))
	// The profile maps and normalises in the same way, and is left with nothing
	// to do but to check.
	if _, err := precis.OpaqueString.String(withoutEmojiParts(result)); err != nil {
		return "", fmt.Errorf("%w: %w", ErrCharacters, err)
	}
	return result, nil
}

func mapSpace(r rune) rune {
	if unicode.Is(unicode.Zs, r) {
		return ' '
	}
	return r
}

// withoutEmojiParts returns s without the characters that select, join or
// modify emoji (Unicode Technical Standard #51, ED-9a to ED-17), as far as they
// stand where an emoji is.
func withoutEmojiParts(s string) string {
	var prev rune
	return strings.Map(func(r rune) rune {
		before := prev
		prev = r
		if isPresentation(r) && (unicode.IsSymbol(before) || isEmojiOutsideSymbols(before)) ||
			isJoinerOrTag(r) && (unicode.IsSymbol(before) || isPresentation(before) || isJoinerOrTag(before)) {
			return -1
		}
		return r
	}, s)
}

// isPresentation reports whether r is the variation selector for text or emoji
// presentation.
func isPresentation(r rune) bool { return r == '\ufe0e' || r == '\ufe0f' }

// isJoinerOrTag reports whether r is the zero width joiner or a tag.
func isJoinerOrTag(r rune) bool { return r == '\u200d' || r >= '\U000e0020' && r <= '\U000e007f' }

// isEmojiOutsideSymbols reports whether r begins an emoji without being of a
// symbol category: keycaps and three punctuation marks.
func isEmojiOutsideSymbols(r rune) bool {
	return r >= '0' && r <= '9' || strings.ContainsRune("#*\u203c\u2049\u3030", r)
}
