package clientaddr_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/ostiary/auth/internal/clientaddr"
)

// The proxies of the tests.
var proxies = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("2001:db8:ffff::/48"),
	netip.MustParsePrefix("192.0.2.1/32"),
}

func resolver(t testing.TB, trusted []netip.Prefix, header clientaddr.Header) *clientaddr.Resolver {
	t.Helper()
	r, err := clientaddr.New(trusted, header)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// headers returns a header with lines under name.
func headers(name string, lines ...string) http.Header {
	h := http.Header{}
	for _, line := range lines {
		h.Add(name, line)
	}
	return h
}

// W22: without configuration, no header has a say.
func TestNobodyIsTrustedByDefault(t *testing.T) {
	t.Parallel()
	h := headers("X-Forwarded-For", "198.51.100.1")
	h.Set("Forwarded", "for=198.51.100.1")
	h.Set("X-Real-Ip", "198.51.100.1")
	h.Set("True-Client-Ip", "198.51.100.1")
	for name, r := range map[string]*clientaddr.Resolver{
		"nil":                         nil,
		"zero":                        {},
		"no proxies":                  resolver(t, nil, clientaddr.None),
		"a header but no proxies":     resolver(t, nil, clientaddr.XForwardedFor),
		"proxies but no header":       resolver(t, proxies, clientaddr.None),
		"another header, no proxies":  resolver(t, nil, clientaddr.Forwarded),
		"proxies other than the peer": resolver(t, []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")}, clientaddr.XForwardedFor),
	} {
		if got := r.From("10.0.0.1:4711", h); got != netip.MustParseAddr("10.0.0.1") {
			t.Errorf("%s: got %s", name, got)
		}
	}
}

func TestPeer(t *testing.T) {
	t.Parallel()
	r := resolver(t, proxies, clientaddr.XForwardedFor)
	h := headers("X-Forwarded-For", "198.51.100.1")
	for _, tc := range []struct{ name, remote, want string }{
		{"IPv4", "203.0.113.9:80", "203.0.113.9"},
		{"IPv4 without port", "203.0.113.9", "203.0.113.9"},
		{"IPv6", "[2001:db8::1]:80", "2001:db8::1"},
		{"IPv6 without port", "2001:db8::1", "2001:db8::1"},
		{"IPv6 in brackets without port", "[2001:db8::1]", "2001:db8::1"},
		{"IPv6 in another spelling", "[2001:0DB8:0::0001]:80", "2001:db8::1"},
		{"IPv6 with zone", "[fe80::1%eth0]:80", "fe80::1"},
		{"mapped IPv4", "[::ffff:203.0.113.9]:80", "203.0.113.9"},
		{"mapped IPv4 with zone", "[::ffff:203.0.113.9%eth0]:80", "203.0.113.9"},
		{"mapped trusted proxy", "[::ffff:10.0.0.1]:80", "198.51.100.1"},
		{"trusted proxy with zone", "[2001:db8:ffff::1%eth0]:80", "198.51.100.1"},
		{"nothing", "", "invalid IP"},
		{"a Unix domain socket", "@", "invalid IP"},
		{"a path", "/run/auth.sock", "invalid IP"},
		{"a name", "localhost:80", "invalid IP"},
		{"IPv4 with leading zeros", "010.0.0.1:80", "invalid IP"},
		{"IPv4 in brackets", "[10.0.0.1]:80", "invalid IP"},
		{"no closing bracket", "[2001:db8::1:80", "invalid IP"},
		{"text behind the bracket", "[2001:db8::1]80", "invalid IP"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := r.From(tc.remote, h).String(); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

// W22, RL-08: the client is the first address from the right that is no trusted proxy, and nothing left of it matters.
func TestXForwardedFor(t *testing.T) {
	t.Parallel()
	r := resolver(t, proxies, clientaddr.XForwardedFor)
	for _, tc := range []struct {
		name  string
		lines []string
		want  string
	}{
		{"no header", nil, "10.0.0.1"},
		{"one address", []string{"198.51.100.1"}, "198.51.100.1"},
		{"with port", []string{"198.51.100.1:4711"}, "198.51.100.1"},
		{"with the longest port", []string{"198.51.100.1:65535"}, "198.51.100.1"},
		{"IPv6", []string{"2001:db8::1"}, "2001:db8::1"},
		{"IPv6 that ends like a port", []string{"2001:db8::1:4711"}, "2001:db8::1:4711"},
		{"IPv6 in brackets", []string{"[2001:db8::1]"}, "2001:db8::1"},
		{"IPv6 with port", []string{"[2001:db8::1]:4711"}, "2001:db8::1"},
		{"IPv6 with zone", []string{"fe80::1%eth0"}, "fe80::1"},
		{"mapped IPv4", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		{"mapped IPv4 in hexadecimal", []string{"::ffff:c633:6401"}, "198.51.100.1"},
		{"blanks", []string{" \t198.51.100.1 \t"}, "198.51.100.1"},

		{"a chain of proxies", []string{"198.51.100.1, 10.0.0.3, 2001:db8:ffff::2,192.0.2.1"}, "198.51.100.1"},
		{"a chain over lines", []string{"198.51.100.1", "10.0.0.3, 10.0.0.2"}, "198.51.100.1"},
		{"only proxies", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"a mapped proxy", []string{"198.51.100.1, ::ffff:10.0.0.2"}, "198.51.100.1"},

		{"a made-up address before the client", []string{"203.0.113.66, 198.51.100.1"}, "198.51.100.1"},
		{"a made-up proxy before the client", []string{"203.0.113.66, 10.0.0.2, 198.51.100.1"}, "198.51.100.1"},
		{"a made-up line before the client's", []string{"203.0.113.66", "198.51.100.1"}, "198.51.100.1"},
		{"a made-up address before a chain", []string{"203.0.113.66, 198.51.100.1, 10.0.0.2"}, "198.51.100.1"},
		{"made-up loopback", []string{"127.0.0.1, 198.51.100.1"}, "198.51.100.1"},
		{"rubbish before the client", []string{"<script>, 198.51.100.1"}, "198.51.100.1"},
		{"an open quote before the client", []string{`"x, 198.51.100.1`}, "198.51.100.1"},
		{"an escape before the client", []string{`\, 198.51.100.1`}, "198.51.100.1"},
		{"a long element before the client", []string{strings.Repeat("x", 100000) + ", 198.51.100.1"}, "198.51.100.1"},
		{"many elements before the client", []string{strings.Repeat("1.2.3.4,", 100000) + "198.51.100.1"}, "198.51.100.1"},
		{"empty elements before the client", []string{",,, 198.51.100.1"}, "198.51.100.1"},

		{"a name", []string{"client.example.test"}, "10.0.0.1"},
		{"unknown", []string{"unknown"}, "10.0.0.1"},
		{"an empty header", []string{""}, "10.0.0.1"},
		{"a comma", []string{","}, "10.0.0.1"},
		{"an empty element behind the client", []string{"198.51.100.1,"}, "10.0.0.1"},
		{"an empty line behind the client", []string{"198.51.100.1", ""}, "10.0.0.1"},
		{"an empty element before a proxy", []string{"198.51.100.1", ",10.0.0.2"}, "10.0.0.2"},
		{"rubbish before a proxy", []string{"198.51.100.1, rubbish, 10.0.0.2"}, "10.0.0.2"},
		{"two addresses without comma", []string{"203.0.113.66 198.51.100.1"}, "10.0.0.1"},
		{"quotes", []string{`"198.51.100.1"`}, "10.0.0.1"},
		{"a comma in quotes", []string{`"203.0.113.66, 198.51.100.1"`}, "10.0.0.1"},
		{"a network", []string{"198.51.100.0/24"}, "10.0.0.1"},
		{"a number", []string{"3325256705"}, "10.0.0.1"},
		{"leading zeros", []string{"198.051.100.001"}, "10.0.0.1"},
		{"a wrong port", []string{"198.51.100.1:http"}, "10.0.0.1"},
		{"an empty port", []string{"198.51.100.1:"}, "10.0.0.1"},
		{"a long port", []string{"198.51.100.1:123456"}, "10.0.0.1"},
		{"an obfuscated port", []string{"198.51.100.1:_x"}, "10.0.0.1"},
		{"brackets around IPv4", []string{"[198.51.100.1]"}, "10.0.0.1"},
		{"a parameter of the other header", []string{"for=198.51.100.1"}, "10.0.0.1"},
		{"the longest element", []string{strings.Repeat(" ", 256-len("198.51.100.1")) + "198.51.100.1"}, "198.51.100.1"},
		{"a longer element", []string{strings.Repeat(" ", 257-len("198.51.100.1")) + "198.51.100.1"}, "10.0.0.1"},
		{"as many proxies as are followed", []string{"198.51.100.1" + strings.Repeat(", 10.0.0.2", 15)}, "198.51.100.1"},
		{"more proxies than are followed", []string{"198.51.100.1" + strings.Repeat(", 10.0.0.2", 16)}, "10.0.0.2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			h := headers("X-Forwarded-For", tc.lines...)
			h.Set("Forwarded", "for=203.0.113.67") // not configured, so not read
			if got := r.From("10.0.0.1:80", h).String(); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

// W22, RL-08
func TestForwarded(t *testing.T) {
	t.Parallel()
	r := resolver(t, proxies, clientaddr.Forwarded)
	for _, tc := range []struct {
		name  string
		lines []string
		want  string
	}{
		{"no header", nil, "10.0.0.1"},
		{"an address", []string{"for=198.51.100.1"}, "198.51.100.1"},
		{"in quotes", []string{`for="198.51.100.1"`}, "198.51.100.1"},
		{"with port", []string{`for="198.51.100.1:4711"`}, "198.51.100.1"},
		{"with port without quotes", []string{`for=198.51.100.1:4711`}, "198.51.100.1"},
		{"with obfuscated port", []string{`for="198.51.100.1:_p.o-r_t"`}, "198.51.100.1"},
		{"IPv6", []string{`for="[2001:db8::1]"`}, "2001:db8::1"},
		{"IPv6 with port", []string{`for="[2001:db8::1]:4711"`}, "2001:db8::1"},
		{"IPv6 without quotes", []string{`for=[2001:db8::1]`}, "2001:db8::1"},
		{"IPv6 with zone", []string{`for="[fe80::1%eth0]"`}, "fe80::1"},
		{"mapped IPv4", []string{`for="[::ffff:198.51.100.1]"`}, "198.51.100.1"},
		{"another case", []string{"FoR=198.51.100.1"}, "198.51.100.1"},
		{"all parameters", []string{`by="[2001:db8:ffff::2]:80";for=198.51.100.1;host="a.test:80";proto=https`}, "198.51.100.1"},
		{"blanks around semicolons", []string{"proto=https ; for=198.51.100.1 ; by=10.0.0.1"}, "198.51.100.1"},
		{"blanks behind a quote", []string{`for="198.51.100.1" ; proto=https`}, "198.51.100.1"},
		{"empty parameters", []string{";for=198.51.100.1;;"}, "198.51.100.1"},
		{"a parameter without a value", []string{"by=;for=198.51.100.1"}, "198.51.100.1"},
		{"a name of the first and the last character of a token", []string{"!~=x;for=198.51.100.1"}, "198.51.100.1"},
		{"a comma in quotes", []string{`for=198.51.100.1;host="a,b"`}, "198.51.100.1"},
		{"a semicolon in quotes", []string{`host="a;for=203.0.113.66";for=198.51.100.1`}, "198.51.100.1"},
		{"an address in quotes of another parameter", []string{`for=198.51.100.1;host=",for=203.0.113.66"`}, "198.51.100.1"},

		{"a chain of proxies", []string{`for=198.51.100.1, for=10.0.0.3;by=10.0.0.2, for="[2001:db8:ffff::2]"`}, "198.51.100.1"},
		{"a chain over lines", []string{"for=198.51.100.1", "for=10.0.0.3", "for=10.0.0.2"}, "198.51.100.1"},
		{"only proxies", []string{"for=10.0.0.3, for=10.0.0.2"}, "10.0.0.3"},

		{"a made-up address before the client", []string{"for=203.0.113.66, for=198.51.100.1"}, "198.51.100.1"},
		{"a made-up line before the client's", []string{"for=203.0.113.66", "for=198.51.100.1"}, "198.51.100.1"},
		{"an open quote before the client", []string{`for="x, for=198.51.100.1`}, "198.51.100.1"},
		{"an open quote before the client and its quotes", []string{`for="x, for="198.51.100.1"`}, "198.51.100.1"},
		{"an escape before the client", []string{`for="\", for=198.51.100.1`}, "198.51.100.1"},
		{"a long element before the client", []string{"for=" + strings.Repeat("x", 100000) + ", for=198.51.100.1"}, "198.51.100.1"},

		{"unknown", []string{"for=unknown"}, "10.0.0.1"},
		{"obfuscated", []string{"for=_hidden"}, "10.0.0.1"},
		{"obfuscated with port", []string{`for="_SEVKISEK:4711"`}, "10.0.0.1"},
		{"unknown before a proxy", []string{"for=198.51.100.1, for=unknown, for=10.0.0.2"}, "10.0.0.2"},
		{"no for", []string{"proto=https"}, "10.0.0.1"},
		{"an empty for", []string{"for="}, "10.0.0.1"},
		{"an empty for in quotes", []string{`for=""`}, "10.0.0.1"},
		{"a port that is none", []string{`for="198.51.100.1:http"`}, "10.0.0.1"},
		{"a parameter without equals sign", []string{"for=198.51.100.1;secure"}, "10.0.0.1"},
		{"a for that is no address and one that is", []string{"for=unknown;for=203.0.113.66"}, "10.0.0.1"},
		{"two for", []string{"for=203.0.113.66;for=198.51.100.1"}, "10.0.0.1"},
		{"two for in two cases", []string{"for=203.0.113.66;FOR=198.51.100.1"}, "10.0.0.1"},
		{"two equal for", []string{"for=198.51.100.1;for=198.51.100.1"}, "10.0.0.1"},
		{"IPv6 without brackets", []string{`for="2001:db8::1"`}, "10.0.0.1"},
		{"IPv6 without brackets and quotes", []string{`for=2001:db8::1`}, "10.0.0.1"},
		{"IPv4 in brackets", []string{`for="[198.51.100.1]"`}, "10.0.0.1"},
		{"an empty obfuscated port", []string{`for="198.51.100.1:_"`}, "10.0.0.1"},
		{"an escaped quote", []string{`host="a\",for=203.0.113.66;by=\"b";for=198.51.100.1`}, "10.0.0.1"},
		{"an escaped quote behind for", []string{`for=198.51.100.1;host="a\",for=203.0.113.66;by=\"b"`}, "10.0.0.1"},
		{"an escape in an address", []string{`for="198.51.100.\1"`}, "10.0.0.1"},
		{"no equals sign", []string{"for"}, "10.0.0.1"},
		{"a blank in a name", []string{"for =198.51.100.1"}, "10.0.0.1"},
		{"a name that is no token", []string{"a@b=c;for=198.51.100.1"}, "10.0.0.1"},
		{"a blank in another name", []string{"a b=c;for=198.51.100.1"}, "10.0.0.1"},
		{"a control character in a name", []string{"a\x1f=c;for=198.51.100.1"}, "10.0.0.1"},
		{"the last control character in a name", []string{"a\x7f=c;for=198.51.100.1"}, "10.0.0.1"},
		{"a letter beyond ASCII in a name", []string{"é=c;for=198.51.100.1"}, "10.0.0.1"},
		{"a quote in a name", []string{`a"=c;for=198.51.100.1`}, "10.0.0.1"},
		{"no name", []string{"=x;for=198.51.100.1"}, "10.0.0.1"},
		{"an open quote", []string{`for="198.51.100.1`}, "10.0.0.1"},
		{"text behind a quote", []string{`for="198.51.100.1"x`}, "10.0.0.1"},
		{"no semicolon behind a quote", []string{`for="198.51.100.1"by=x`}, "10.0.0.1"},
		{"a bare address", []string{"198.51.100.1"}, "10.0.0.1"},
		{"an empty element behind the client", []string{"for=198.51.100.1, "}, "10.0.0.1"},
		{"a long element", []string{"for=198.51.100.1;host=" + strings.Repeat("x", 300)}, "10.0.0.1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			h := headers("Forwarded", tc.lines...)
			h.Set("X-Forwarded-For", "203.0.113.67") // not configured, so not read
			if got := r.From("10.0.0.1:80", h).String(); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestHeaderIsNotChanged(t *testing.T) {
	t.Parallel()
	h := headers("X-Forwarded-For", "198.51.100.1, 10.0.0.3", "10.0.0.2")
	resolver(t, proxies, clientaddr.XForwardedFor).From("10.0.0.1:80", h)
	if got := strings.Join(h["X-Forwarded-For"], "|"); got != "198.51.100.1, 10.0.0.3|10.0.0.2" {
		t.Errorf("header is now %s", got)
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	prefix := netip.MustParsePrefix
	for _, tc := range []struct {
		name    string
		trusted []netip.Prefix
		header  clientaddr.Header
		want    []string // parts of the error
	}{
		{"nothing", nil, clientaddr.None, nil},
		{"single addresses", []netip.Prefix{prefix("10.0.0.1/32"), prefix("::1/128")}, clientaddr.XForwardedFor, nil},
		{"host bits", []netip.Prefix{prefix("10.0.0.1/8")}, clientaddr.Forwarded, nil},
		// W22: trusting everyone is trusting the client.
		{"all of IPv4", []netip.Prefix{prefix("0.0.0.0/0")}, clientaddr.XForwardedFor, []string{"0.0.0.0/0 takes in every"}},
		{"all of IPv6", []netip.Prefix{prefix("::/0")}, clientaddr.XForwardedFor, []string{"::/0 takes in every"}},
		{"all of mapped IPv4", []netip.Prefix{prefix("::ffff:0.0.0.0/96")}, clientaddr.XForwardedFor, []string{"/96 takes in every"}},
		{"a zero prefix", []netip.Prefix{{}}, clientaddr.XForwardedFor, []string{"not valid"}},
		{"as little as takes in some of IPv4", []netip.Prefix{prefix("0.0.0.0/1"), prefix("::ffff:0.0.0.0/97")}, clientaddr.XForwardedFor, nil},
		{"an unknown header", nil, clientaddr.Header(3), []string{"unknown header 3"}},
		{"a negative header", nil, clientaddr.Header(-1), []string{"unknown header -1"}},
		{
			"everything wrong",
			[]netip.Prefix{{}, prefix("::/0"), prefix("10.0.0.0/8"), prefix("0.0.0.0/0")},
			clientaddr.Header(7),
			[]string{"unknown header", "not valid", "::/0", "0.0.0.0/0"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r, err := clientaddr.New(tc.trusted, tc.header)
			if (err == nil) != (tc.want == nil) || (r == nil) == (err == nil) {
				t.Fatalf("got %v, %v", r, err)
			}
			for _, part := range tc.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q lacks %q", err, part)
				}
			}
		})
	}
}

func TestTrustedPrefixesAreNormalised(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{"10.1.2.3/8", "::ffff:10.0.0.0/104", "::ffff:10.0.0.1/128"} {
		r := resolver(t, []netip.Prefix{netip.MustParsePrefix(prefix)}, clientaddr.XForwardedFor)
		for _, remote := range []string{"10.0.0.1:80", "[::ffff:10.0.0.1]:80"} {
			if got := r.From(remote, headers("X-Forwarded-For", "198.51.100.1")).String(); got != "198.51.100.1" {
				t.Errorf("%s via %s: got %s", prefix, remote, got)
			}
		}
	}
	// These are of IPv6, and of as much of it as they say.
	for prefix, remote := range map[string]string{
		"2001:db8:ffff::1/128": "2001:db8:ffff::2", "2001:db8:ffff::/96": "2001:db8:ffff::1:0:0", "::ffff:0:0/95": "10.0.0.1",
	} {
		r := resolver(t, []netip.Prefix{netip.MustParsePrefix(prefix)}, clientaddr.XForwardedFor)
		if got := r.From(remote, headers("X-Forwarded-For", "198.51.100.1")).String(); got != remote {
			t.Errorf("%s takes in %s", prefix, remote)
		}
	}
}

// RL-08: addresses that one customer can change at will have one key, and so have all spellings of an address.
func TestKey(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ addr, want string }{
		{"198.51.100.1", "198.51.100.1/32"},
		{"::ffff:198.51.100.1", "198.51.100.1/32"},
		{"::ffff:c633:6401", "198.51.100.1/32"},
		{"2001:db8:1:2::1", "2001:db8:1:2::/64"},
		{"2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"},
		{"2001:0DB8:0001:0002:0:0:0:9", "2001:db8:1:2::/64"},
		{"2001:db8:1:3::1", "2001:db8:1:3::/64"},
		{"fe80::1%eth0", "fe80::/64"},
		{"::1", "::/64"},
	} {
		if got := clientaddr.Key(netip.MustParseAddr(tc.addr)).String(); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.addr, got, tc.want)
		}
	}
	if got := clientaddr.Key(netip.Addr{}); got != (netip.Prefix{}) {
		t.Errorf("zero address: got %s", got)
	}
}

func BenchmarkFrom(b *testing.B) {
	r := resolver(b, proxies, clientaddr.Forwarded)
	h := headers("Forwarded", `for=203.0.113.66, for=198.51.100.1;proto=https, for="[2001:db8:ffff::2]:80"`)
	b.ReportAllocs()
	for b.Loop() {
		r.From("10.0.0.1:80", h)
	}
}
