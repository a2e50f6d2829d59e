package emailaddr

import (
	"strings"
	"testing"
)

// W33, SU-11: lists are about mailboxes, not about spellings.
func TestACLDecidesInOrder(t *testing.T) {
	t.Parallel()
	type lists struct{ allowedEmails, allowedDomains, blockedEmails, blockedDomains []string }
	for _, tt := range []struct {
		name    string
		lists   lists
		allowed []string
		refused []string
	}{
		{
			"no lists allow everyone",
			lists{},
			[]string{"a@corp.test", "b@evil.test"},
			nil,
		},
		{
			"a blocked address is blocked in every spelling",
			lists{blockedEmails: []string{"Mallory@Evil.test"}},
			[]string{"alice@evil.test"},
			[]string{"mallory@evil.test", "MALLORY@EVIL.TEST", "Mallory@Evil.test"},
		},
		{
			"a blocked domain is blocked in every spelling",
			lists{blockedDomains: []string{"EVIL.test", "bücher.example"}},
			[]string{"a@corp.test", "a@sub.evil.test", "a@notevil.test"},
			[]string{"x@EVIL.test", "x@evil.TEST", "x@xn--bcher-kva.example", "x@XN--BCHER-KVA.example", "x@bücher.example"},
		},
		{
			"an allowed domain shuts the others out",
			lists{allowedDomains: []string{"corp.test"}},
			[]string{"a@corp.test", "A@CORP.test"},
			[]string{"a@evil.test", "a@sub.corp.test", "a@corp.test.evil.test"},
		},
		{
			"an allowed address shuts the others out",
			lists{allowedEmails: []string{"a@corp.test"}},
			[]string{"A@corp.test"},
			[]string{"b@corp.test"},
		},
		{
			"either allow list admits",
			lists{allowedEmails: []string{"a@other.test"}, allowedDomains: []string{"corp.test"}},
			[]string{"a@other.test", "x@corp.test"},
			[]string{"b@other.test"},
		},
		{
			"a blocked address beats an allowed one",
			lists{allowedEmails: []string{"a@corp.test"}, blockedEmails: []string{"a@corp.test"}},
			nil,
			[]string{"a@corp.test"},
		},
		{
			"a blocked address beats an allowed domain",
			lists{allowedDomains: []string{"corp.test"}, blockedEmails: []string{"a@corp.test"}},
			[]string{"b@corp.test"},
			[]string{"a@corp.test"},
		},
		{
			"an allowed address beats a blocked domain",
			lists{allowedEmails: []string{"a@evil.test"}, blockedDomains: []string{"evil.test"}},
			[]string{"a@evil.test"},
			[]string{"b@evil.test", "c@corp.test"},
		},
		{
			"a blocked domain beats an allowed one",
			lists{allowedDomains: []string{"evil.test"}, blockedDomains: []string{"evil.test"}},
			nil,
			[]string{"a@evil.test", "a@corp.test"},
		},
		{
			"block lists alone leave the rest in",
			lists{blockedEmails: []string{"a@evil.test"}, blockedDomains: []string{"spam.test"}},
			[]string{"b@evil.test", "a@corp.test"},
			[]string{"a@evil.test", "a@spam.test"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			acl, err := CompileACL(tt.lists.allowedEmails, tt.lists.allowedDomains, tt.lists.blockedEmails, tt.lists.blockedDomains)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := acl.Empty(), tt.name == "no lists allow everyone"; got != want {
				t.Errorf("Empty() = %v", got)
			}
			for want, list := range map[bool][]string{true: tt.allowed, false: tt.refused} {
				for _, s := range list {
					address, err := Parse(s)
					if err != nil {
						t.Fatal(err)
					}
					if got := acl.Allows(address); got != want {
						t.Errorf("Allows(%s) = %v, want %v", s, got, want)
					}
				}
			}
		})
	}
}

func TestACLNeverAllowsNoAddress(t *testing.T) {
	t.Parallel()
	acl, err := CompileACL(nil, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if acl.Allows(Address{}) || new(ACL).Allows(Address{}) {
		t.Error("the zero Address is allowed")
	}
}

func TestZeroACLAllowsEveryAddress(t *testing.T) {
	t.Parallel()
	address, err := Parse("a@corp.test")
	if err != nil {
		t.Fatal(err)
	}
	if !new(ACL).Allows(address) {
		t.Error("refused")
	}
}

func TestCompileACLReportsEveryMistake(t *testing.T) {
	t.Parallel()
	_, err := CompileACL(
		[]string{"ok@corp.test", "not an address"},
		[]string{"@corp.test", "corp.test"},
		[]string{"", "*@evil.test"},
		[]string{"*.evil.test", "evil", "xn--example-.test", "ＥＶＩＬ.test"},
	)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`allowedEmails[1] "not an address": emailaddr: not an acceptable address: no @`, "allowedDomains[0]", "blockedEmails[0]", "blockedEmails[1]", "blockedDomains[0]", "blockedDomains[1]", "blockedDomains[2]", "blockedDomains[3]",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not name %s:\n%v", want, err)
		}
	}
	for _, not := range []string{"allowedEmails[0]", "allowedDomains[1]"} {
		if strings.Contains(err.Error(), not) {
			t.Errorf("error names %s:\n%v", not, err)
		}
	}
}
