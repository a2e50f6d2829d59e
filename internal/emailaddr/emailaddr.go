// Package emailaddr reads mail addresses and decides which of them are the same.
//
// An address has two forms. The typed form is what its owner wrote; mail is addressed with it. The canonical form is what is
// compared, stored as a key and held against access lists: the local part in ASCII lower case and the domain as ASCII
// (RFC 5890 A-labels) in lower case. Two addresses are the same if and only if their canonical forms are equal. RFC 5321 §2.4
// lets a host distinguish case in local parts; none of consequence does, and treating the two as different accounts invites
// look-alikes. Nothing else is folded: dots and "+tags" are the host's business.
//
// The grammar is the part of RFC 5321 that every mail host takes: a dot-atom of ASCII (RFC 5322 §3.2.3) at a domain name of two
// labels or more. Quoted local parts, comments, address literals, display names, lists and surrounding blanks are refused, and
// so are local parts outside of ASCII (RFC 6531): their case and normalisation rules belong to the receiving host and
// cannot be canonicalised from outside. A local part that looks like an encoded word is refused as well: an address holds none
// (RFC 2047 §5), but there are mail programs that decode one there, and so write to another address than the one checked here.
//
// An internationalised domain is accepted only in the one spelling that UTS #46 mapping leaves alone. Mapping turns the Kelvin
// sign into "k", full-width letters into plain ones and an ideographic full stop into a dot, and drops soft hyphens; an address
// that looks like another one and is not, or that changes its domain when it is canonicalised, is refused and never folded.
package emailaddr

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"golang.org/x/net/idna"
)

// Limits in bytes: RFC 5321 §4.5.3.1.1, and §4.5.3.1.3 less the angle brackets of a path. They hold for both forms.
const (
	MaxLocal = 64
	MaxTotal = 254
)

// ErrSyntax is wrapped by every error of [Parse]. The error text does not repeat the address.
var ErrSyntax = errors.New("emailaddr: not an acceptable address")

// Address is an address that Parse accepted. The zero Address is none.
type Address struct {
	Typed     string // as written, for display and for writing to
	Canonical string // as compared: ASCII, lower case
	Domain    string // the part of Canonical after the "@"
}

// Mailbox returns the address for an SMTP envelope or a header without SMTPUTF8: the local part as typed, because its case is
// the receiving host's business, and the domain in ASCII.
func (a Address) Mailbox() string {
	local, _, _ := strings.Cut(a.Typed, "@")
	return local + "@" + a.Domain
}

// Same reports whether two addresses are the same. What [Parse] refuses is the same as its own spelling only.
func Same(a, b string) bool {
	x, err := Parse(a)
	if err != nil {
		return a == b
	}
	y, _ := Parse(b) // or none, and the same as none of the others
	return x.Canonical == y.Canonical
}

// Parse reads one address. The error wraps [ErrSyntax].
//
// It takes time linear in the length of s, and no time if s is longer than [MaxTotal].
func Parse(s string) (Address, error) {
	if len(s) > MaxTotal {
		return Address{}, fmt.Errorf("%w: longer than %d bytes", ErrSyntax, MaxTotal)
	}
	local, domain, found := strings.Cut(s, "@")
	if !found {
		return Address{}, fmt.Errorf("%w: no @", ErrSyntax)
	}
	if len(local) > MaxLocal {
		return Address{}, fmt.Errorf("%w: local part longer than %d bytes", ErrSyntax, MaxLocal)
	}
	if !isDotAtom(local) || hasEncodedWord(local) {
		return Address{}, fmt.Errorf("%w: local part", ErrSyntax)
	}
	ascii, err := canonicalDomain(domain)
	if err != nil {
		return Address{}, err
	}
	canonical := lowerASCII(local) + "@" + ascii
	if len(canonical) > MaxTotal {
		return Address{}, fmt.Errorf("%w: longer than %d bytes", ErrSyntax, MaxTotal)
	}
	return Address{Typed: s, Canonical: canonical, Domain: ascii}, nil
}

// atext are the characters of an atom (RFC 5322 §3.2.3).
const atext = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-/=?^_`{|}~"

// isDotAtom implements dot-atom-text of RFC 5322 §3.2.3.
func isDotAtom(s string) bool {
	afterDot := true
	for i := range len(s) {
		c := s[i]
		switch {
		case strings.IndexByte(atext, c) >= 0:
			afterDot = false
		case c == '.' && !afterDot:
			afterDot = true
		default:
			return false
		}
	}
	return !afterDot
}

// hasEncodedWord reports whether something in s could be taken for an encoded word (RFC 2047 §2).
func hasEncodedWord(s string) bool {
	_, rest, _ := strings.Cut(s, "=?")
	return strings.Contains(rest, "?=")
}

// profile is the look-up side of IDNA2008 with UTS #46 non-transitional mapping and every check on: letters, digits and hyphens
// only (STD3), label and name lengths, hyphen positions, joiners, bidirectional rule.
var profile = idna.New(idna.MapForLookup(), idna.StrictDomainName(true), idna.BidiRule(), idna.VerifyDNSLength(true), idna.Transitional(false))

// canonicalDomain returns a domain in lower-case ASCII.
func canonicalDomain(domain string) (string, error) {
	lower := lowerASCII(domain)
	ascii, err1 := profile.ToASCII(lower)
	plain, err2 := profile.ToUnicode(ascii)
	again, err3 := profile.ToASCII(plain)
	if errors.Join(err1, err2, err3) != nil {
		return "", fmt.Errorf("%w: domain", ErrSyntax)
	}
	// The ASCII form is a key, so it must be the only one of its Unicode form (there are decoders that take "xn--example-" for
	// "example"), and what was typed must be one of the two.
	if again != ascii || lower != ascii && lower != plain {
		return "", fmt.Errorf("%w: domain is not in its normal form", ErrSyntax)
	}
	if !isName(plain) {
		return "", fmt.Errorf("%w: domain holds symbols", ErrSyntax)
	}
	// A top-level domain starts with a letter, which an IP address does not. What else the profile leaves, digits and hyphens,
	// comes before the letters.
	dot := strings.LastIndexByte(ascii, '.')
	if dot < 0 || dot+1 == len(ascii) || ascii[dot+1] < 'a' {
		return "", fmt.Errorf("%w: domain has no top-level domain", ErrSyntax)
	}
	return ascii, nil
}

// isName reports whether a domain is made of letters, marks and digits: the classes that IDNA2008 permits in names (RFC 5892
// §2.1), which UTS #46 widens by symbols such as a fraction slash or a one-dot leader. Of the exceptions of RFC 5892 §2.6, only
// the ideographic zero and the middle dot between two l's are taken.
func isName(domain string) bool {
	var before rune
	for i, r := range domain {
		switch {
		case unicode.IsLetter(r), unicode.IsMark(r), unicode.IsDigit(r), r == '-', r == '.', r == '\u3007':
		case r == '\u200c', r == '\u200d': // their context is checked by the profile
		case before == 'l' && strings.HasPrefix(domain[i:], "\u00b7l"):
		default:
			return false
		}
		before = r
	}
	return true
}

// lowerASCII maps A-Z and nothing else. strings.ToLower maps U+0130 to "i" and U+212A to "k", which turns one address into
// another.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
