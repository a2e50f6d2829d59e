// Package phone reads phone numbers in international form (ITU-T E.164).
//
// It knows the shape of a number and no numbering plan: whether a number is assigned, mobile or expensive is for somebody else
// to say. A national number, without "+" and country code, has no meaning of its own and is refused, not guessed.
package phone

import (
	"errors"
	"fmt"
	"strings"
)

// A number has MinDigits to MaxDigits digits, country code included. E.164 §6.1 sets the upper bound; the lower one is below
// the shortest numbers that take messages and above service numbers.
const (
	MinDigits = 8
	MaxDigits = 15
)

// maxLength bounds the written form. MaxDigits digits with a separator after each come to less.
const maxLength = 32

// separators may stand between digits.
const separators = " -.()"

// ErrSyntax is wrapped by every error of [Parse]. The error text does not repeat the number.
var ErrSyntax = errors.New("phone: not an international phone number")

// Parse returns the canonical form of a number: "+" and digits, the one spelling that is stored, compared and dialled. s begins
// with "+" and holds ASCII digits; spaces, hyphens, dots and parentheses between them are dropped, and it ends in a digit. The
// first digit is not 0, as no country code begins with one, and there is no trunk prefix "(0)". Everything else is refused,
// digits of other scripts too. The error wraps [ErrSyntax].
func Parse(s string) (string, error) {
	if len(s) > maxLength {
		return "", fmt.Errorf("%w: longer than %d bytes", ErrSyntax, maxLength)
	}
	if s == "" || s[0] != '+' {
		return "", fmt.Errorf("%w: no leading +", ErrSyntax)
	}
	if strings.IndexByte(separators, s[len(s)-1]) >= 0 {
		return "", fmt.Errorf("%w: does not end in a digit", ErrSyntax)
	}
	if strings.Contains(s, "(0)") {
		// "+41 (0)79": a 0 that is dialled at home only. Keeping it would be somebody else's number.
		return "", fmt.Errorf("%w: trunk prefix", ErrSyntax)
	}
	number := make([]byte, 1, 1+MaxDigits)
	number[0] = '+'
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case strings.IndexByte("0123456789", c) >= 0:
			if len(number) > MaxDigits {
				return "", fmt.Errorf("%w: more than %d digits", ErrSyntax, MaxDigits)
			}
			number = append(number, c)
		case strings.IndexByte(separators, c) >= 0:
		default:
			return "", fmt.Errorf("%w: unexpected character", ErrSyntax)
		}
	}
	if len(number) <= MinDigits {
		return "", fmt.Errorf("%w: fewer than %d digits", ErrSyntax, MinDigits)
	}
	if number[1] == '0' {
		return "", fmt.Errorf("%w: country code begins with 0", ErrSyntax)
	}
	return string(number), nil
}
