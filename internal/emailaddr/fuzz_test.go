package emailaddr_test

import (
	"strings"
	"testing"

	"github.com/ostiary/auth/internal/emailaddr"
)

// Whatever spelling an operator and a stranger choose, a blocked address or domain never comes in, an allowed one does, and a
// list of allowed domains keeps all others out.
func FuzzACL(f *testing.F) {
	for _, pair := range [][2]string{
		{"ada@example.com", "ADA@EXAMPLE.COM"},
		{"ada@bücher.example", "ada@xn--bcher-kva.example"},
		{"ada@example.com", "ada@sub.example.com"},
		{"ada@ｅxample.com", "ada@example.com"},
		{"a@example.com.", "a@example.com"},
		{"*@example.com", "a@example.com"},
		{"a@faß.de", "a@fass.de"},
		{" a@b.example", "a@b.example"},
	} {
		f.Add(pair[0], pair[1])
	}
	f.Fuzz(func(t *testing.T, entry, typed string) {
		a, err := emailaddr.Parse(typed)
		if err != nil {
			return
		}
		listed, err := emailaddr.Parse(entry)
		if err != nil {
			return
		}
		_, domain, _ := strings.Cut(entry, "@")
		same, near := a.Canonical == listed.Canonical, a.Domain == listed.Domain
		for _, c := range []struct {
			name                                             string
			allowed, allowedDomains, blocked, blockedDomains []string
			want                                             bool
		}{
			{"allowed", []string{entry}, nil, nil, nil, same},
			{"allowed domain", nil, []string{domain}, nil, nil, near},
			{"blocked", nil, nil, []string{entry}, nil, !same},
			{"blocked domain", nil, nil, nil, []string{domain}, !near},
			{"blocked, of an allowed domain", nil, []string{domain}, []string{entry}, nil, near && !same},
			{"allowed, of a blocked domain", []string{entry}, nil, nil, []string{domain}, same},
		} {
			list, err := emailaddr.CompileACL(c.allowed, c.allowedDomains, c.blocked, c.blockedDomains)
			if err != nil {
				if !strings.Contains(entry, "*") {
					t.Fatalf("%s: %q is an address and no entry: %v", c.name, entry, err)
				}
				continue
			}
			if got := list.Allows(a); got != c.want {
				t.Fatalf("%s: %q, and %q comes: %v", c.name, entry, typed, got)
			}
		}
	})
}
