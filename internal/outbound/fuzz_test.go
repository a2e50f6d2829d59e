package outbound_test

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/ostiary/auth/internal/outbound"
)

// An endpoint that is taken is another host's by https, or this very host's, and never an address where a cloud keeps the
// credentials of machines, in whatever way it is written.
func FuzzCheckURL(f *testing.F) {
	for _, s := range []string{
		"https://idp.example/token", "http://127.0.0.1:8080", "http://localhost", "http://[::1]:1/x", "http://localhost.evil.test", "http://127.0.0.1.evil.test", "https://169.254.169.254/", "https://[fe80::1%25eth0]/",
		"https://[::ffff:169.254.169.254]/", "https://[fe80::1]", "https://0.0.0.0", "https://user@idp.example", "https://idp.example#x", "https:idp.example", "https:///x", "//idp.example", "ftp://idp.example", "HTTPS://idp.example", "https://224.0.0.1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if outbound.CheckURL(s) != nil {
			return
		}
		u, err := url.Parse(s)
		if err != nil || u.Host == "" || u.User != nil || u.Opaque != "" || u.Fragment != "" || strings.Contains(s, "#") {
			t.Fatalf("%q is taken: %v", s, err)
		}
		ip, err := netip.ParseAddr(u.Hostname())
		isIP := err == nil
		local := u.Hostname() == "localhost" || isIP && ip.Unmap().IsLoopback()
		if u.Scheme != "https" && (u.Scheme != "http" || !local) {
			t.Fatalf("%q is taken", s)
		}
		if ip = ip.Unmap(); isIP && (ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified()) {
			t.Fatalf("%q is taken", s)
		}
	})
}
