package clientaddr_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/ostiary/auth/internal/clientaddr"
)

// FuzzFrom: whatever a client sends, the address that the trusted proxy adds decides.
func FuzzFrom(f *testing.F) {
	for _, sent := range []string{
		"", "198.51.100.1", "10.0.0.2", "[2001:db8::1]:80, unknown", `for="[2001:db8::1]:4711";by=_x, for=unknown`, `for="`, `\`, `",`,
		"for=1.2.3.4;for=5.6.7.8", ",", "fe80::1%eth0", "::ffff:10.0.0.2",
	} {
		f.Add("10.0.0.1:80", sent)
	}
	f.Add("", "x")
	f.Add("[::1%lo]:1", "x")
	f.Fuzz(func(t *testing.T, remote, sent string) {
		const client = "203.0.113.9"
		for header, name := range map[clientaddr.Header]string{clientaddr.XForwardedFor: "X-Forwarded-For", clientaddr.Forwarded: "Forwarded"} {
			r := resolver(t, proxies, header)
			for _, got := range []netip.Addr{r.From(remote, nil), r.From(remote, headers(name, sent)), r.From("10.0.0.1:80", headers(name, sent))} {
				if got != got.Unmap().WithZone("") {
					t.Fatalf("%q from %q: %s is not normal", sent, remote, got)
				}
				if clientaddr.Key(got).IsValid() != got.IsValid() {
					t.Fatalf("key of %s", got)
				}
			}
			added := client
			if header == clientaddr.Forwarded {
				added = "for=" + client
			}
			for _, h := range [][]string{{sent, added}, {sent + "," + added}, {sent + ", " + strings.ToUpper(added) + " "}} {
				if got := r.From("10.0.0.1:80", headers(name, h...)).String(); got != client {
					t.Fatalf("%q: got %s", h, got)
				}
			}
			if got := r.From("203.0.113.10:80", headers(name, sent)).String(); got != "203.0.113.10" {
				t.Fatalf("untrusted peer sends %q: got %s", sent, got)
			}
		}
	})
}
