package redirect

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// FuzzCheck holds a second, independent reading of the rules (net/url and a list of origins) against Check.
func FuzzCheck(f *testing.F) {
	rules := mustCompile(f, client, "https://acme.io/app", "https://*.acme.io:8443", "https://bücher.example", "myapp://my.app", "http://[::1]:3000")
	origins := []struct {
		scheme, port string
		host         *regexp.Regexp
		path         string
	}{
		{"http", "3000", regexp.MustCompile(`^localhost$`), ""},
		{"https", "443", regexp.MustCompile(`^acme\.io$`), "/app"},
		{"https", "8443", regexp.MustCompile(`^[a-z0-9_-]+\.acme\.io$`), ""},
		{"https", "443", regexp.MustCompile(`^xn--bcher-kva\.example$`), ""},
		{"myapp", "", regexp.MustCompile(`^my\.app$`), ""},
		{"http", "3000", regexp.MustCompile(`^::1$`), ""},
	}
	for _, seed := range []string{
		client, client + "/", "https://acme.io/app/x?y#z", "https://a.acme.io:8443/", "https://bücher.example", "myapp://my.app/sub", "http://[::1]:3000",
		"https://acme.io:443/app", `https://acme.io\@evil.test/app`, "https://acme.io/app/%2e%2e/x", "https://user@acme.io/app", "https://acme.io/app\r\nX: y", "javascript:alert(1)",
		"//evil.test", "https://acme.io.evil.test/app", "https://a.b.acme.io:8443", "https://acme.io/app#\u202e", "https:///acme.io/app", "https://ACME.io/app?'\"<>", "https://xn--bcher-kva.example/%C3%BC",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		target, err := rules.Check(raw)
		if err != nil {
			if target != (Target{}) {
				t.Fatalf("refused %q but returned %q", raw, target)
			}
			return
		}
		for _, out := range []string{target.String(), With(target.String(), url.Values{"refreshToken": {raw}})} {
			for _, r := range out {
				if r > unicode.MaxASCII || r <= ' ' || r == 0x7f || strings.ContainsRune("\\\"<>'`", r) {
					t.Fatalf("%q became %q with %q in it", raw, out, r)
				}
			}
			u, err := url.Parse(out)
			if err != nil {
				t.Fatalf("%q became %q: %v", raw, out, err)
			}
			if u.User != nil || u.Opaque != "" {
				t.Fatalf("%q became %q", raw, out)
			}
			port := u.Port()
			if port == "" {
				port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
			}
			found := false
			for _, o := range origins {
				found = found || u.Scheme == o.scheme && port == o.port && o.host.MatchString(u.Hostname()) &&
					(u.Path == o.path || strings.HasPrefix(u.Path, o.path+"/"))
			}
			if !found {
				t.Fatalf("%q became %q, which no entry allows", raw, out)
			}
			// Resolving is what a browser does with a Location header; it must change nothing.
			if base, _ := url.Parse("https://auth.test/v1/verify"); u.Path != "" && base.ResolveReference(u).Path != u.Path {
				t.Fatalf("%q became %q, which resolves to another path", raw, out)
			}
		}
		again, err := rules.Check(target.String())
		if err != nil {
			t.Fatalf("%q became %q, which is refused: %v", raw, target, err)
		}
		if again != target {
			t.Fatalf("%q became %q, which becomes %q", raw, target, again)
		}
	})
}

// FuzzCompile looks for entries that crash the compiler or open the door to a foreign host.
func FuzzCompile(f *testing.F) {
	for _, seed := range []string{
		"https://*.acme.io", "https://acme.io/[a-z]*/{a,b}/**", "*", "https://*", "https://[::1]:3000/?", "{http,https}://a", "https://acme.io/***", "https://[", "https://*.ü.test", "https://?*.a.b:8", "https://a*}{",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 200 {
			return
		}
		rules, err := Compile(client, []string{text})
		if err != nil {
			return
		}
		// No wildcard reaches a top-level domain, so a host that the entry does not spell out is never allowed.
		for _, raw := range []string{"https://zq7-evil.com/", "http://zq7-evil.co.uk/", "https://203.0.113.77/"} {
			u, _ := url.Parse(raw)
			if _, err := rules.Check(raw); err == nil && !strings.ContainsAny(text, "{") && !strings.Contains(strings.ToLower(text), u.Host) {
				t.Fatalf("entry %q allows %q", text, raw)
			}
		}
	})
}

// FuzzGlob compares the automaton with a regular expression made from the same pattern.
func FuzzGlob(f *testing.F) {
	for _, seed := range [][2]string{
		{"*.acme.io", "a.acme.io"}, {"a*b**c?d", "axxb/y.zcqd"}, {"**a*a/**", "b.a/a/c"}, {"[a-c][!d]x", "bex"}, {"*", ""}, {"é*é", "éxé"}, {"*/a", "b/a/c"}, {"a**", "a/b"}, {"[!--]", "-"}, {"[---a]", "a"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern) > 40 || len(text) > 60 || strings.ContainsRune(text, '\ufffd') {
			return
		}
		g, err := compileGlob(pattern)
		if err != nil {
			return
		}
		for _, below := range []bool{false, true} {
			g.below = below
			if got, want := g.match(text), reference(pattern, below).MatchString(text); got != want {
				t.Fatalf("pattern %q, below %v, text %q: match = %v, want %v", pattern, below, text, got, want)
			}
		}
	})
}

func reference(pattern string, below bool) *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	for rest := pattern; rest != ""; {
		switch {
		case strings.HasPrefix(rest, "**"):
			b.WriteString(`.*`)
			rest = rest[2:]
		case rest[0] == '*':
			b.WriteString(`[^./]*`)
			rest = rest[1:]
		case rest[0] == '?':
			b.WriteString(`[^./]`)
			rest = rest[1:]
		case rest[0] == '[':
			body, after, _ := strings.Cut(rest[1:], "]")
			negated, found := strings.CutPrefix(body, "!")
			if found {
				b.WriteString(`[^./` + setOf(negated) + `]`)
			} else {
				b.WriteString(`[` + setOf(body) + `]`)
			}
			rest = after
		default:
			r := []rune(rest)[0]
			b.WriteString(regexp.QuoteMeta(string(r)))
			rest = rest[len(string(r)):]
		}
	}
	if below {
		b.WriteString(`(/.*)?`)
	}
	b.WriteString(`\z`)
	return regexp.MustCompile(b.String())
}

// setOf writes the inside of a set for package regexp, in which a hyphen that is itself must be escaped.
func setOf(body string) string {
	quote := func(c byte) string { return strings.ReplaceAll(string(c), "-", `\-`) }
	var b strings.Builder
	for i := 0; i < len(body); i++ {
		b.WriteString(quote(body[i]))
		if i+2 < len(body) && body[i+1] == '-' {
			b.WriteString("-" + quote(body[i+2]))
			i += 2
		}
	}
	return b.String()
}
