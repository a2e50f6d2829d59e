package emailaddr

import (
	"errors"
	"fmt"
	"strings"
)

// ACL says which addresses may have an account. It compares canonical forms, so no spelling of an address has a verdict
// of its own. The zero ACL allows every address. It is immutable and safe for concurrent use.
type ACL struct {
	allowedEmails, allowedDomains, blockedEmails, blockedDomains map[string]struct{}
}

// CompileACL builds the lists. Domains are compared whole: example.com does not stand for sub.example.com.
//
// Every entry that is no address, or no domain that an address can have, is reported in one error, which names the list and
// the index.
func CompileACL(allowedEmails, allowedDomains, blockedEmails, blockedDomains []string) (*ACL, error) {
	var errs []error
	compile := func(list string, entries []string, canonical func(string) (string, error)) map[string]struct{} {
		set := make(map[string]struct{}, len(entries))
		for i, entry := range entries {
			form, err := canonical(entry)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s[%d] %q: %w", list, i, entry, err))
				continue
			}
			set[form] = struct{}{}
		}
		return set
	}
	email := func(s string) (string, error) {
		address, err := Parse(s)
		if strings.Contains(s, "*") {
			// An address by the grammar, and surely meant as a pattern that would never match.
			err = errors.New("wildcards are not supported; use the list of domains")
		}
		return address.Canonical, err
	}
	acl := &ACL{
		allowedEmails:  compile("allowedEmails", allowedEmails, email),
		allowedDomains: compile("allowedDomains", allowedDomains, canonicalDomain),
		blockedEmails:  compile("blockedEmails", blockedEmails, email),
		blockedDomains: compile("blockedDomains", blockedDomains, canonicalDomain),
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return acl, nil
}

// Empty reports whether nothing is on any list, so that every address is allowed.
func (l *ACL) Empty() bool {
	return len(l.allowedEmails)+len(l.allowedDomains)+len(l.blockedEmails)+len(l.blockedDomains) == 0
}

// Allows reports whether the lists allow an address. The first list that knows it decides: blocked addresses, allowed
// addresses, blocked domains, allowed domains. An address that none knows is allowed if nothing is on the allowed lists.
// The zero Address is never allowed.
func (l *ACL) Allows(a Address) bool {
	if a.Canonical == "" {
		return false
	}
	has := func(set map[string]struct{}, key string) bool {
		_, found := set[key]
		return found
	}
	switch {
	case has(l.blockedEmails, a.Canonical):
		return false
	case has(l.allowedEmails, a.Canonical):
		return true
	case has(l.blockedDomains, a.Domain):
		return false
	case has(l.allowedDomains, a.Domain):
		return true
	}
	return len(l.allowedEmails) == 0 && len(l.allowedDomains) == 0
}
