package redirect

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const client = "http://localhost:3000"

func mustCompile(t testing.TB, clientURL string, allowed ...string) *Rules {
	t.Helper()
	rules, err := Compile(clientURL, allowed)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// allow says which targets one entry lets through, and how they are written then ("" for unchanged).
type allow struct {
	name     string
	entry    string
	accepted map[string]string
	refused  []string
}

func checkAll(t *testing.T, tests []allow) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			// The client URL is on a host of its own, so that a verdict is the entry's.
			rules := mustCompile(t, "https://client.invalid", tt.entry)
			for raw, want := range tt.accepted {
				if want == "" {
					want = raw
				}
				got, err := rules.Check(raw)
				if err != nil {
					t.Errorf("entry %q: Check(%q): %v", tt.entry, raw, err)
					continue
				}
				if got.String() != want {
					t.Errorf("entry %q: Check(%q) = %q, want %q", tt.entry, raw, got, want)
				}
			}
			for _, raw := range tt.refused {
				got, err := rules.Check(raw)
				if !errors.Is(err, ErrNotAllowed) {
					t.Errorf("entry %q: Check(%q) = %q, %v, want ErrNotAllowed", tt.entry, raw, got, err)
				}
				if got != (Target{}) {
					t.Errorf("entry %q: Check(%q) refused but returned %q", tt.entry, raw, got)
				}
			}
		})
	}
}

// The documented behaviour of allow-list entries. RD-01, RD-02, RD-03, RD-04, RD-05.
func TestCheckFollowsTheDocumentedEntryTable(t *testing.T) {
	t.Parallel()
	checkAll(t, []allow{
		{
			name:  "an origin allows itself and every path of it",
			entry: "http://localhost:3000",
			accepted: map[string]string{
				"http://localhost:3000": "", "http://localhost:3000/": "", "http://localhost:3000/a/b.html": "",
				"http://localhost:3000?a=b": "", "http://localhost:3000#f": "",
			},
			refused: []string{
				"https://localhost:3000", "http://localhost:4000", "http://localhost", "http://prefixlocalhost:3000",
				"http://localhost:30000", "http://localhost:3000.evil.test", "http://localhost:3000@evil.test",
			},
		},
		{
			name:  "a path allows itself and what is below it",
			entry: "https://acme.com/path",
			accepted: map[string]string{
				"https://acme.com/path": "", "https://acme.com:443/path": "", "https://acme.com/path/": "",
				"https://acme.com/path/x?q#f": "", "https://acme.com/path?q=1&r=2#f": "",
			},
			refused: []string{
				"https://acme.com/wrongpath", "https://acme.com/pathological", "https://acme.com", "https://acme.com/",
				"https://acme.com/Path", "https://acme.com/pat", "https://acme.com/x/path", "https://acme.com?/path",
				"https://acme.com#/path", "https://acme.com:80/path", "http://acme.com/path", "http://acme.com:443/path",
			},
		},
		{
			name:     "a star stands for one label",
			entry:    "https://*.acme.io",
			accepted: map[string]string{"https://a.acme.io": "", "https://a-b.acme.io": "", "https://a.acme.io:443/x": ""},
			refused: []string{
				"https://a.b.acme.io", "https://acme.io", "https://.acme.io", "https://a.acme.io.evil.test",
				"https://evil.test/.acme.io", "https://evil.test?.acme.io", "https://evil.test#.acme.io",
				"https://evil.test:443.acme.io", "https://a.acme.io:8443", "https://aacme.io", "https://a.acme.ioo",
				"https://evil.test/a.acme.io", "https://a.acme.io@evil.test", "https://-.acme.io",
			},
		},
		{
			name:     "a star stands for a part of a label",
			entry:    "https://*-sub.acme.io",
			accepted: map[string]string{"https://x-sub.acme.io": "", "https://x-y-sub.acme.io/p": ""},
			refused:  []string{"https://sub.acme.io", "https://-sub.acme.io", "https://x.y-sub.acme.io", "https://x-sub.evil.test"},
		},
		{
			name:     "an application's own scheme",
			entry:    "myapp://my.app",
			accepted: map[string]string{"myapp://my.app": "", "myapp://my.app/": "", "myapp://my.app/sub?x=1": ""},
			refused:  []string{"myapp://other.app", "myapp://", "myapp:my.app", "myapp:/my.app", "myapp:///my.app", "myapp2://my.app", "https://my.app"},
		},
		{
			name:     "an entry that ends in a slash",
			entry:    "https://d.com/",
			accepted: map[string]string{"https://d.com": "", "https://d.com/": "", "https://d.com/a/b": ""},
			refused:  []string{"https://d.com.evil.test"},
		},
		{
			name:     "an entry that ends in a star",
			entry:    "https://d.com/*",
			accepted: map[string]string{"https://d.com": "", "https://d.com/": "", "https://d.com/a/b": ""},
			refused:  []string{"https://d.com.evil.test"},
		},
		{
			name:     "an entry that ends in two stars",
			entry:    "https://d.com/**",
			accepted: map[string]string{"https://d.com": "", "https://d.com/": "", "https://d.com/a/b": ""},
			refused:  []string{"https://d.com.evil.test"},
		},
		{
			name:     "a host is compared whole",
			entry:    "http://simple.com",
			accepted: map[string]string{"http://simple.com": "", "http://simple.com:80/a": ""},
			refused:  []string{"https://simple.com.hijack.com", "http://simple.com.hijack.com", "http://simple.comhijack.com", "https://simple.comhijack.com", "not-a-url", "https://", "http://", "http://simple.co"},
		},
		{
			name:     "a question mark stands for one character of a label",
			entry:    "https://app?.acme.io",
			accepted: map[string]string{"https://app1.acme.io": ""},
			refused:  []string{"https://app.acme.io", "https://app12.acme.io", "https://app..acme.io", "https://app/.acme.io"},
		},
		{
			name:     "a set stands for one of its characters",
			entry:    "https://app[a-c1_].acme.io/v[!0-3]",
			accepted: map[string]string{"https://appb.acme.io/v4": "", "https://app1.acme.io/vx/y": "", "https://app_.acme.io/v9": ""},
			refused:  []string{"https://appd.acme.io/v4", "https://appb.acme.io/v3", "https://appb.acme.io/v", "https://appb.acme.io/v/", "https://appb.acme.io/v./", "https://app-.acme.io/v4"},
		},
		{
			name:     "a set at the beginning of a host",
			entry:    "https://[a-c].acme.io",
			accepted: map[string]string{"https://b.acme.io/x": ""},
			refused:  []string{"https://d.acme.io", "https://acme.io", "https://bb.acme.io"},
		},
		{
			name:     "a set and characters outside of ASCII",
			entry:    "https://acme.io/{[a-c],x[!a]}",
			accepted: map[string]string{"https://acme.io/b": "", "https://acme.io/xé": "https://acme.io/x%C3%A9"},
			refused:  []string{"https://acme.io/é", "https://acme.io/%C2%80", "https://acme.io/-", "https://acme.io/xa", "https://acme.io/x."},
		},
		{
			name:     "a question mark stands for one character of a path",
			entry:    "https://acme.io/v?",
			accepted: map[string]string{"https://acme.io/v1": "", "https://acme.io/v1/x?y=z": "", "https://acme.io/v=": ""},
			refused:  []string{"https://acme.io/v", "https://acme.io/v12", "https://acme.io/v?1", "https://acme.io/v/"},
		},
		{
			name:     "alternatives",
			entry:    "{http,https}://{www.,}acme.io/{a,b{1,2}}",
			accepted: map[string]string{"http://acme.io/a": "", "https://www.acme.io/b1/x": "", "https://acme.io/b2": ""},
			refused:  []string{"https://acme.io/b", "https://w.acme.io/a", "ftp://acme.io/a", "https://acme.io/a,b1"},
		},
		{
			name:     "wildcards inside a path",
			entry:    "https://acme.io/*/cb/**/end",
			accepted: map[string]string{"https://acme.io/t1/cb/x/end": "", "https://acme.io/t1/cb/x.y/z/end/below": ""},
			refused:  []string{"https://acme.io/t1/t2/cb/x/end", "https://acme.io/t.1/cb/x/end", "https://acme.io/t1/cb/end", "https://acme.io/t1/cb/x/ending"},
		},
		{
			name:     "a path that goes on with stars",
			entry:    "https://acme.io/app**",
			accepted: map[string]string{"https://acme.io/app": "", "https://acme.io/apple/x.y": ""},
			refused:  []string{"https://acme.io/ap", "https://acme.io/"},
		},
		{
			name:     "an explicit default port means the same as none",
			entry:    "https://acme.io:443",
			accepted: map[string]string{"https://acme.io": "", "https://acme.io:443/x": ""},
			refused:  []string{"https://acme.io:80", "http://acme.io:443"},
		},
	})
}

// W7, RD-07 to RD-13, RD-16, RD-20: a target has one reading, or none.
func TestCheckRefusesWhatBrowsersAndServersReadDifferently(t *testing.T) {
	t.Parallel()
	everyControl := []string{}
	for c := range 0x21 {
		everyControl = append(everyControl,
			"https://acme.io/a"+string(rune(c)), "https://acme.io/?a="+string(rune(c))+"b", "https://acme.io/#a"+string(rune(c))+"b",
			string(rune(c))+"https://acme.io/", "https://acme.io"+string(rune(c))+"/", "https:"+string(rune(c))+"//acme.io/")
	}
	checkAll(t, []allow{
		{
			name: "backslashes", entry: "https://acme.io", // RD-07
			refused: []string{
				`https:\\acme.io`, `https:/\acme.io`, `https://evil.test\@acme.io`, `https://acme.io\@evil.test`, `https://acme.io\.evil.test`,
				`https://acme.io/\evil.test`, `https://acme.io/a\..\b`, `https://acme.io/?\`, `https://acme.io/#\`, `\\acme.io`, `https://acme.io/%5cevil.test`, `https://acme.io/%5Cevil.test`,
			},
		},
		{
			name: "percent-encoded hosts, dots and slashes", entry: "https://acme.io/app", // RD-08
			refused: []string{
				"https://acme%2eio/app", "https://%61cme.io/app", "https://acme.io%2f@evil.test/app", "https://acme.io%00.evil.test/app",
				"https://acme.io%2eevil.test/app", "https://acme.io%23.evil.test/app", "https://a%63me.io/app", "https://acme.io%3a443/app",
				"https://acme.io/app/%2e%2e/admin", "https://acme.io/app/.%2E/admin", "https://acme.io/app/%2e/x", "https://acme.io/app%2f..%2fadmin",
				"https://acme.io/app/%2F/x", "https://acme.io/app/%252e%252e/admin", "https://acme.io/app/%25%32%65%25%32%65/admin",
				"https://acme.io/app/%252f", "https://acme.io/app/%25252e", "https://acme.io/app%2Fx", `https://acme.io/app%2fx"`,
			},
		},
		{
			name: "control characters and blanks anywhere", entry: "https://acme.io", // RD-09, W7
			refused: append(everyControl,
				"https://acme.io/\x7f", "https://acme.io/?\x7f", "https://acme.io/#\u0085", "https://acme.io/?\u00a0", "https://acme.io/?\u2028x",
				"\ufeffhttps://acme.io", "https://acme.io/\ufeff", "https://acme.io/?\ufeff", "https://acme.io/?\u200b", "https://acme.io/#\u202e",
				"https://acme.io/\u3000", "https://ac\u00adme.io/", "https://acme.io/?\xff", "https://acme.io/\xc3\x28", "https://acme.io/?\ufffd",
				"https://acme.io/%0d%0aSet-Cookie:x=1", "https://acme.io/%00", "https://acme.io/%0A", "https://acme.io/%09", "https://acme.io/%7f", "https://acme.io/%1B",
				"https://acme.io/?x=1\r\nBcc: all@evil.test",
			),
		},
		{
			name: "slash counts, empty hosts and opaque forms", entry: "https://acme.io", // RD-10
			refused: []string{
				"https:acme.io", "https:/acme.io", "https:///acme.io", "https:////acme.io", "https://", "https:///", "https://?acme.io",
				"https://#acme.io", "https:", "https", "://acme.io", ":https://acme.io", "https://:443", "https://:443/", "https://@", "https:acme.io://acme.io",
			},
		},
		{
			name: "relative and empty values", entry: "https://acme.io", // RD-11, RD-12
			refused: []string{
				"", "/", "/a", "a", ".", "..", "../a", "?a", "#a", "*", "acme.io", "acme.io:443", "www.acme.io", "null", "undefined",
				"//acme.io", "//evil.test", "///evil.test", "//acme.io@evil.test", "/%2f/evil.test", "/https://acme.io", "x/https://acme.io", "?https://acme.io",
			},
		},
		{
			name: "path tricks", entry: "https://acme.io/app", // RD-13
			refused: []string{
				"https://acme.io/app/..", "https://acme.io/app/../admin", "https://acme.io/app/./x", "https://acme.io/./app", "https://acme.io/x/../app",
				"https://acme.io//app", "https://acme.io/app//evil.test", "https://acme.io/app//", "https://acme.io/APP", "https://acme.io/apple",
				"https://acme.io/app;x", "https://acme.io/app%zz", "https://acme.io/app%", "https://acme.io/app%2",
			},
			accepted: map[string]string{"https://acme.io/app/...": "", "https://acme.io/app/.well-known": "", "https://acme.io/app/a..b": ""},
		},
		{
			name: "user information", entry: "https://acme.io",
			refused: []string{"https://user@acme.io", "https://user:pw@acme.io", "https://@acme.io", "https://:@acme.io", "https://acme.io@evil.test", "https://evil.test:@acme.io", "https://acme.io:443@evil.test", "https://a@b@acme.io"},
			accepted: map[string]string{
				"https://acme.io/@me": "", "https://acme.io?m=a@b.test": "",
			},
		},
		{
			name: "odd ports", entry: "https://acme.io:8443", // RD-03
			refused: []string{
				"https://acme.io:", "https://acme.io:08443", "https://acme.io:+8443", "https://acme.io:8443x", "https://acme.io:84430", "https://acme.io:0",
				"https://acme.io:73979", "https://acme.io:-1", "https://acme.io:8443:8443", "https://acme.io::8443", "https://acme.io:８４４３", "https://acme.io:%38443", "https://acme.io",
			},
		},
		{
			name: "dots around a host", entry: "https://acme.io", // RD-04
			refused: []string{"https://acme.io.", "https://.acme.io", "https://acme..io", "https://acme.io./", "https://acme.io.:443", "https://...", "https://acme,io", "https://acme.io;evil.test", "https://acme.io&evil.test", "https://acme.io!.evil.test", "https://acme.io*"},
		},
		{
			name: "hosts that Unicode folds into an allowed one", entry: "https://kms.acme.io",
			refused: []string{
				"https://\u212ams.acme.io", "https://km\u017f.acme.io", "https://kms\u3002acme.io", "https://kms\uff0eacme.io", "https://k\u00adms.acme.io",
				"https://ｋｍｓ.acme.io", "https://kms.acme.\u0130o", "https://kms.acme.io\uff0f.evil.test", "https://xn--kms-.acme.io", "https://кms.acme.io",
			},
		},
		{
			name: "IPv4 in other number forms", entry: "http://127.0.0.1:3000", // RD-16
			accepted: map[string]string{"http://127.0.0.1:3000/cb": ""},
			refused: []string{
				"http://2130706433:3000", "http://0x7f000001:3000", "http://0x7f.0.0.1:3000", "http://0177.0.0.1:3000", "http://127.1:3000", "http://127.0.0.01:3000",
				"http://127.0.0.1.:3000", "http://[::ffff:127.0.0.1]:3000", "http://localhost:3000", "http://１２７.0.0.1:3000", "http://127.0.0.2:3000",
			},
		},
		{
			name: "IPv6", entry: "http://[::1]:3000", // RD-16
			accepted: map[string]string{"http://[::1]:3000/cb": ""},
			refused: []string{
				"http://[0:0:0:0:0:0:0:1]:3000", "http://[::1%25eth0]:3000", "http://[::1%eth0]:3000", "http://[::2]:3000", "http://[::1]", "http://[::1]x:3000", "http://::1:3000",
				"http://[::ffff:127.0.0.1]:3000", "http://[::1]:3000@evil.test", "http://[::1].evil.test:3000", "http://[::1:3000", "http://[127.0.0.1]:3000", "http://a[::1]:3000",
			},
		},
		{
			name: "executable and local schemes", entry: "https://acme.io", // RD-20, RD-02
			refused: []string{
				"javascript:alert(1)", "javascript://acme.io/%0aalert(1)", "JavaScript://acme.io", "data:text/html,x", "data://acme.io/x", "vbscript://acme.io", "file:///etc/passwd",
				"file://acme.io/x", "blob:https://acme.io/x", "blob://acme.io", "about:blank", "view-source:https://acme.io", "intent://acme.io#Intent;end", "ftp://acme.io", "ws://acme.io", "wss://acme.io",
				"http://acme.io", "httpss://acme.io", "https+x://acme.io", "x-https://acme.io", "hTTp://acme.io", "url:https://acme.io", "feed:https://acme.io",
			},
		},
	})
}

func TestCheckWritesTheParsedForm(t *testing.T) {
	t.Parallel()
	checkAll(t, []allow{
		{
			name: "scheme and host in lower case", entry: "https://Acme.IO/Path",
			accepted: map[string]string{"HTTPS://ACME.io/Path": "https://acme.io/Path", "https://aCME.io:443/Path#F": "https://acme.io:443/Path#F"},
		},
		{
			name: "a wildcard host in lower case", entry: "HTTPS://*-[A-C].Acme.IO",
			accepted: map[string]string{"https://X-A.acme.io": "https://x-a.acme.io", "https://x-b.acme.io": ""},
			refused:  []string{"https://x-d.acme.io"},
		},
		{
			name: "an internationalised host in ASCII", entry: "https://bücher.example",
			accepted: map[string]string{
				"https://bücher.example/x": "https://xn--bcher-kva.example/x", "https://XN--Bcher-KVA.example/x": "https://xn--bcher-kva.example/x",
			},
			refused: []string{"https://BÜCHER.example/x", "https://bu\u0308cher.example/x", "https://bücher.bücher.example", "https://bucher.example"},
		},
		{
			name: "an application's own scheme keeps the case of its host beside a wildcard", entry: "MyApp://*.OAuthCallback",
			accepted: map[string]string{"myapp://A.OAuthCallback/x": ""},
			refused:  []string{"myapp://A.oauthcallback"},
		},
		{
			name: "a wildcard next to an internationalised label", entry: "https://*.bücher.example",
			accepted: map[string]string{"https://a.bücher.example": "https://a.xn--bcher-kva.example", "https://ü.bücher.example": "https://xn--tda.xn--bcher-kva.example"},
		},
		{
			name: "the ASCII form of an internationalised entry", entry: "https://xn--bcher-kva.example",
			accepted: map[string]string{"https://bücher.example": "https://xn--bcher-kva.example"},
		},
		{
			name: "an application's own scheme keeps the case of its host", entry: "MyApp://OAuthCallback",
			accepted: map[string]string{"myapp://OAuthCallback/x": "", "MYAPP://OAuthCallback": "myapp://OAuthCallback"},
			refused:  []string{"myapp://oauthcallback"},
		},
		{
			name: "an IPv6 address in lower case", entry: "http://[2001:DB8::1]",
			accepted: map[string]string{"http://[2001:db8::1]/": "", "http://[2001:Db8::1]": "http://[2001:db8::1]"},
		},
		{
			// RD-18
			name: "query and fragment survive", entry: "https://acme.io",
			accepted: map[string]string{
				"https://acme.io/x?b=2&a=1&b=3#/route?x=%20y":       "",
				"https://acme.io?a[]=1&r=https://evil.test/..//%2e": "",
				"https://acme.io/?q=100%&x=a;b":                     "",
				"https://acme.io/?q=%0d%0a#%0d%0a":                  "",
				"https://acme.io/?":                                 "https://acme.io/",
				"https://acme.io/#":                                 "https://acme.io/",
			},
		},
		{
			name: "what may not stand in a URL is percent-encoded", entry: "https://acme.io",
			accepted: map[string]string{
				`https://acme.io/'a"<b>?c="<d>'` + "`{|}^é" + `#'e"<f>é`: "https://acme.io/%27a%22%3Cb%3E?c=%22%3Cd%3E%27%60%7B%7C%7D%5E%C3%A9#%27e%22%3Cf%3E%C3%A9",
				"https://acme.io/é/日本":                                   "https://acme.io/%C3%A9/%E6%97%A5%E6%9C%AC",
				"https://acme.io/a%20b%3Fc%23d%3Bé":                      "https://acme.io/a%20b%3Fc%23d;%C3%A9",
				"https://acme.io/a%3Bb":                                  "",
				"https://acme.io/it's?it's#it's":                         "https://acme.io/it%27s?it%27s#it%27s",
			},
		},
		{
			name: "a path is compared decoded", entry: "https://acme.io/a%20b/ü",
			accepted: map[string]string{"https://acme.io/a%20b/%C3%BC/x": "", "https://acme.io/%61%20b/ü": "https://acme.io/a%20b/%C3%BC"},
			refused:  []string{"https://acme.io/a+b/ü", "https://acme.io/a%20b/u"},
		},
	})
}

// W41, RD-25: mistakes in the configuration are found at start, all of them.
func TestCompileRefusesClientURLs(t *testing.T) {
	t.Parallel()
	for _, clientURL := range []string{
		"", " ", "/", "*", "**", "/**", "//app.test", "app.test", "app.test:3000", "javascript:alert(1)", "javascript://app.test", "data://x", "https://", "https:///x",
		"https://*", "https://*.app.test", "https://app.test/*", "https://app.test/{a,b}", "https://app.test/[a]", "https://u:p@app.test", "https://app.test\r\n", "https://app.test/../x",
		"https://app.test:0", "https://app.test.", "file:///srv/www", "https://app.test/" + strings.Repeat("a", MaxLength), "ftp", "intent://x",
	} {
		if _, err := Compile(clientURL, nil); err == nil {
			t.Errorf("client URL %q was taken", clientURL)
		}
	}
}

func TestCompileRefusesEntries(t *testing.T) {
	t.Parallel()
	for _, entry := range []string{
		"", " ", "*", "**", "/**", "/*", "/", "a", "app.test", "//app.test", "//*", "*://app.test", "http*://app.test", "h[t]tp://app.test", "?ttp://app.test", "://app.test",
		"https:app.test", "https:/app.test", "https://", "https:///", "https:///app", "https:///**", "https://:443", "https://?",
		"https://*", "https://**", "https://*/", "https://*/*", "https://*.*", "https://*.com", "https://*.co.uk", "https://*.io/x", "https://*acme.com", "https://acme*.com", "https://[a-z]cme.com",
		"https://acme?.com", "https://acme.*", "https://acme.co*", "https://acme.c?m", "https://**.acme.com", "https://acme.com*", "https://acme.com**", "https://a**.acme.com", "https://*.",
		"https://*.acme.com.", "https://*..acme.com", "https://-*.acme.com", "https://*%2e.acme.com", "https://*,.acme.com", "https://*.xn--p1ai", "https://*.рф", "https://{*,a}.com",
		"https://acme.com:*", "https://acme.com:80*", "https://acme.com:?0", "https://acme.com:[0-9]", "https://acme.com:", "https://acme.com:0", "https://acme.com:080", "https://acme.com:65536", "https://acme.com:x",
		"http://127.0.0.*", "http://*.0.0.1", "http://192.168.*.10:3000", "http://*.0x7f", "http://[::*]", "http://[::1", "http://[fe80::1%25en0]", "http://*.[::1]", "http://[127.0.0.1]",
		"https://user@acme.com", "https://user:pw@acme.com", "https://@acme.com", "https://*@acme.com", "https://acme.com%2eevil.test", "https://acme.com.", "https://.acme.com", "https://acme..com", "https://a_b!.test",
		"javascript:*", "javascript://*", "javascript://acme.com", "JAVASCRIPT://acme.com", "data://acme.com", "vbscript://acme.com", "file://acme.com", "file:///**", "blob://acme.com", "intent://acme.com", "about://blank", "view-source://acme.com", "filesystem://acme.com",
		"{https,javascript}://acme.com",
		"https://acme.com/***", "https://acme.com//", "https://acme.com//x", "https://acme.com/..", "https://acme.com/../x", "https://acme.com/./x", "https://acme.com/%2e%2e/x", "https://acme.com/a%2fb", "https://acme.com/a%5cb",
		"https://acme.com/%2a", "https://acme.com/%3f", "https://acme.com/%5bab%5d", "https://acme.com/[a%5d]", "https://acme.com/%252e", "https://acme.com/%zz", "https://acme.com/%", "https://acme.com/%0a", "https://acme.com/%ff*",
		"https://acme.com/?next=1", "https://acme.com/x?next=*", "https://acme.com/#/x", "https://acme.com#", "https://acme.com/[", "https://acme.com/[]", "https://acme.com/[!]", "https://acme.com/[^a]", "https://acme.com/[z-a]", "https://acme.com/[A-z]", "https://acme.com/[--z]", "https://acme.com/[a-Z]", "https://acme.com/x//**", "https://acme.com/[a/b]",
		"https://acme.com/]", "https://acme.com/*]", "https://acme.com/{a", "https://acme.com/a}", "https://acme.com/{a,{b}", "https://acme.com/\\*", "https://acme.com/a b", "https://acme.com/\n", "https://acme.com\u200b", "https://acme.com/\xff",
		"https://\u212a.acme.com", "https://*.BÜCHER.example", "https://*ü.acme.com", "https://acme.com/" + strings.Repeat("a", MaxLength), "https://acme.com/*" + strings.Repeat("a", 300),
		"https://acme.com/" + strings.Repeat("{a,b}", 7), "https://acme.com/" + strings.Repeat("{a,b}", 200), strings.Repeat("{", 1000), strings.Repeat("{,", 500) + strings.Repeat("}", 500),
	} {
		if _, err := Compile(client, []string{entry}); err == nil {
			t.Errorf("entry %q was taken", entry)
		}
	}
}

func TestCompileTakesWildcardsUnderNamesTheOperatorOwns(t *testing.T) {
	t.Parallel()
	for _, entry := range []string{
		"https://*.acme.com", "https://*.1password.com", "http://*.localhost:3000", "https://app-*-team.vercel.app", "https://*.acme.co.uk", "https://*.*.acme.com", "https://*.corp.internal",
		"https://*.test", "https://{a,b}.com", "exp://192.168.0.7:8081", "com.acme.app://callback", "https://acme.com/" + strings.Repeat("{a,b}", 6),
	} {
		if _, err := Compile(client, []string{entry}); err != nil {
			t.Errorf("%v", err)
		}
	}
}

func TestCompileReportsEveryMistakeWithItsIndex(t *testing.T) {
	t.Parallel()
	_, err := Compile("", []string{"https://ok.test", "*", "https://also.ok.test", "", "https://u:hunter2@acme.test"})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"client URL", `allowed[1] "*"`, `allowed[3] ""`, "allowed[4]"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not name %s:\n%v", want, err)
		}
	}
	for _, not := range []string{"allowed[0]", "allowed[2]", "hunter2"} {
		if strings.Contains(err.Error(), not) {
			t.Errorf("error contains %s:\n%v", not, err)
		}
	}
}

func TestCheckErrorsDoNotRepeatTheInput(t *testing.T) {
	t.Parallel()
	rules := mustCompile(t, client)
	for _, raw := range []string{"https://secret.test", "secret", "http://localhost:3000/secret%zz", "http://secret@localhost:3000", "http://localhost:3000/secret/.."} {
		if _, err := rules.Check(raw); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("Check(%q): %v", raw, err)
		}
	}
}

// Who reads the message has the entry before their eyes, and no other way to learn what is wrong with it.
func TestCompileErrorsSayWhy(t *testing.T) {
	t.Parallel()
	const noName = "a wildcard needs a domain name to its right"
	for entry, want := range map[string]string{
		"":                                           errEmpty.Error(),
		strings.Repeat("\\", MaxLength):              errCharacter.Error(),
		strings.Repeat("\\", MaxLength+1):            errLong.Error(),
		"https://acme.io/#x":                         "fragments are not compared",
		"acme.io":                                    errRelative.Error(),
		"https://a@acme.io":                          errUserinfo.Error(),
		"javascript://acme.io":                       "scheme javascript: can run code or read local data",
		"https://acme.io:x":                          errPort.Error(),
		"https://acme_.io.":                          errHost.Error(),
		"https://[::1]x":                             errPort.Error(),
		"https://**.acme.io":                         "a wildcard in a host stays inside one label",
		"https://*.BÜCHER":                           errHost.Error(),
		"https://*.`a":                               noName,
		"https://*":                                  noName,
		"https://*.co.uk":                            "a wildcard directly under the public suffix co.uk",
		"https://[a.acme.io":                         "[ without ]",
		"https://[^a].acme.io":                       "a set holds letters, digits, hyphens, underscores and ranges like a-z",
		"https://*.acme!.io":                         errHost.Error(),
		"https://acme.io//":                          errPath.Error(),
		"https://acme.io/?a=b":                       "queries are not compared",
		"https://acme.io/%zz":                        errPath.Error(),
		"https://acme.io/%2a":                        errPath.Error(),
		"https://acme.io/***":                        "more than two stars in a row",
		"https://acme.io/[a":                         "[ without ]",
		"https://acme.io/a]":                         "] without [",
		"https://acme.io/[]":                         "empty set",
		"https://acme.io/%ff*":                       "not UTF-8",
		"https://acme.io/*/..":                       errPath.Error(),
		"https://acme.io/{a":                         "{ without }",
		"https://acme.io/a}":                         "} without {",
		"https://acme.io/{a,{b,c]}}":                 "] without [",
		"https://acme.io/" + choices(65):             "more than 64 alternatives",
		"https://acme.io/*" + literals(255):          "pattern too long",
		"https://acme.io/{x,*" + literals(300) + "}": "pattern too long",
	} {
		if _, err := Compile(client, []string{entry}); err == nil || !strings.HasSuffix(err.Error(), ": "+want) {
			t.Errorf("entry %q: %v, want %s", entry, err, want)
		}
	}
	for clientURL, want := range map[string]string{
		"":                      errEmpty.Error(),
		"https://app.test/*":    "wildcards do not belong in a client URL",
		"javascript://app.test": "scheme javascript: can run code or read local data",
	} {
		if _, err := Compile(clientURL, nil); err == nil || !strings.HasSuffix(err.Error(), ": "+want) {
			t.Errorf("client URL %q: %v, want %s", clientURL, err, want)
		}
	}
}

// choices returns an alternative of n, each with the length of two characters, and literals n characters of a path.
func choices(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = string([]byte{'a' + byte(i/26), 'a' + byte(i%26)})
	}
	return "{" + strings.Join(all, ",") + "}"
}

func literals(n int) string { return strings.Repeat("a", n) }

func TestEntriesAreTakenUpToTheirLimits(t *testing.T) {
	t.Parallel()
	for entry, raw := range map[string]string{
		"https://acme.io/" + literals(MaxLength-len("https://acme.io/")): "", // as long as no target is
		"https://acme.io/" + choices(64):                                 "https://acme.io/cl",
		"https://acme.io/*" + literals(254):                              "https://acme.io/bb" + literals(254) + "/x",
	} {
		rules, err := Compile(client, []string{entry})
		if err != nil {
			t.Error(err)
			continue
		}
		if _, err := rules.Check(raw); raw != "" && err != nil {
			t.Errorf("Check(%q): %v", raw, err)
		}
	}
}

// A value in an error message is shown whole if it is short, and never if it may hold a password.
func TestCompileErrorsShowWhereAnEntryBegins(t *testing.T) {
	t.Parallel()
	for entry, want := range map[string]string{
		strings.Repeat("x", 100):     `"` + strings.Repeat("x", 100) + `"`,
		strings.Repeat("x", 101):     `"` + strings.Repeat("x", 100) + `..."`,
		strings.Repeat("x", 5000):    `"` + strings.Repeat("x", 100) + `..."`,
		"x\r\n":                      `"x\r\n"`,
		"https://u:secret@acme.test": "(value with an @ not shown)",
	} {
		if _, err := Compile(client, []string{entry}); err == nil || !strings.HasPrefix(err.Error(), "redirect: allowed[0] "+want+": ") {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// What each byte may be, by every one of them.
func TestEveryByteIsWhatItsPlaceAllows(t *testing.T) {
	t.Parallel()
	const lower, upper, digits = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789"
	var ascii, printable string
	for c := range byte(0x80) {
		ascii += string(rune(c))
		if c > ' ' && c != 0x7f {
			printable += string(rune(c))
		}
	}
	without := func(all, some string) string {
		return strings.Map(func(r rune) rune {
			if strings.ContainsRune(some, r) {
				return -1
			}
			return r
		}, all)
	}
	for _, tt := range []struct {
		place string
		takes func(c string) bool
		want  string
	}{
		{"a scheme, first", isScheme, lower + upper},
		{"a scheme, second", func(c string) bool { return isScheme("a" + c) }, lower + upper + digits + "+-."},
		{"a scheme, third", func(c string) bool { return isScheme("ab" + c) }, lower + upper + digits + "+-."},
		{"a label, outside", isLabel, lower + upper + digits + "_"},
		{"a label, inside", func(c string) bool { return isLabel("a" + c + "a") }, lower + upper + digits + "-_"},
		{"a set", func(c string) bool { _, err := compileSet(c); return err == nil }, lower + upper + digits + "-_"},
		{"the end of a range from a", func(c string) bool { _, err := compileSet("a-" + c); return err == nil }, lower},
		{"the end of a range from A", func(c string) bool { _, err := compileSet("A-" + c); return err == nil }, upper},
		{"the end of a range from 0", func(c string) bool { _, err := compileSet("0-" + c); return err == nil }, digits},
		{"the end of a range to z", func(c string) bool { _, err := compileSet("a" + c + "-z"); return err == nil }, lower},
		{"a URL", visible, without(printable, `\`)},
		{"a path", func(c string) bool { return plainPath("/"+c, "") }, without(printable+" ", `\/.`) + bytesFrom(0x80)},
		{"a URL as it is", func(c string) bool { return escape(c) == c }, without(ascii, "\"'<>^`{|}\x7f")},
		{"ASCII", isASCII, ascii},
		{"an escape", func(c string) bool { return isHex(c[0]) }, digits + "abcdefABCDEF"},
		{"upper case", func(c string) bool { return lowerASCII(c) != c && isASCII(c) }, upper},
	} {
		for c := range 0x100 {
			s := string([]byte{byte(c)})
			if got, want := tt.takes(s), strings.Contains(tt.want, s); got != want {
				t.Errorf("%s: %q: %v, want %v", tt.place, s, got, want)
			}
		}
	}
}

// bytesFrom returns the bytes from c on.
func bytesFrom(c int) string {
	var all []byte
	for ; c < 0x100; c++ {
		all = append(all, byte(c))
	}
	return string(all)
}

// RD-08: what decodes to an escape decodes a second time elsewhere; what only looks like the beginning of one does not.
func TestAPathHasOneLayerOfEncoding(t *testing.T) {
	t.Parallel()
	rules := mustCompile(t, client)
	for path, ok := range map[string]bool{
		"%25": true, "a%25": true, "%251": true, "%25%34": true, "%25z1": true, "%251z": true, "%25%251": true,
		"%2541": false, "a%252e": false, "%25aF": false, "%25%34%31": false, "%25%2541": false, "%25z%2500b": false,
	} {
		if _, err := rules.Check(client + "/" + path); (err == nil) != ok {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// Every byte that a query can encode is read and written again as it is.
func TestParametersSurviveTheirEncoding(t *testing.T) {
	t.Parallel()
	for c := range 0x100 {
		for _, format := range []string{"%%%02x", "%%%02X"} {
			code := fmt.Sprintf(format, c)
			if got, want := unescapeQuery("a"+code+"b"), "a"+string([]byte{byte(c)})+"b"; got != want {
				t.Errorf("%s is read as %q", code, got)
			}
		}
	}
	for encoded, want := range map[string]string{
		"%41": "A", "a+b": "a b", "%": "%", "%4": "%4", "%4g": "%4g", "%g4": "%g4", "%%41": "%A", "%4%41": "%4A", "%2B+%2b": "+ +", "é%": "é%",
	} {
		if got := unescapeQuery(encoded); got != want {
			t.Errorf("%q is read as %q, want %q", encoded, got, want)
		}
	}
}

func TestCheckErrorsSayWhy(t *testing.T) {
	t.Parallel()
	rules := mustCompile(t, client)
	for raw, want := range map[string]error{
		"":                                     errEmpty,
		"/a":                                   errRelative,
		"localhost":                            errRelative,
		"http:///a@b":                          errHost,
		"http://:0":                            errPort,
		"//localhost:3000":                     errRelative,
		"javascript:alert(1)":                  errRelative,
		"http://localhost:3000/\r\n":           errCharacter,
		"http://localhost:3000\x7f":            errCharacter,
		"http://localhost:3000@evil.test":      errUserinfo,
		"http://":                              errHost,
		"http://local%68ost:3000":              errHost,
		"http://localhost:03000":               errPort,
		"http://localhost:3000/..":             errPath,
		"http://localhost:3000/%zz":            errSyntax,
		"https://localhost:3000":               errNoRule,
		"http://localhost:3000.evil.test":      errPort,
		"http://evil.test/http://localhost":    errPath,
		"http://evil.test?http://localhost":    errNoRule,
		"http://localhost:3000#/a?b=\u2028":    errCharacter,
		"http://localhost:3000/a%2Fb?c=d%2Fe#": errPath,
	} {
		if _, err := rules.Check(raw); !errors.Is(err, want) || !errors.Is(err, ErrNotAllowed) {
			t.Errorf("Check(%q): %v, want %v", raw, err, want)
		}
	}
}

func TestHostOfRefusesWhatIsNoHost(t *testing.T) {
	t.Parallel()
	label := strings.Repeat("a", 63)
	long := strings.Join([]string{label, label, label, strings.Repeat("a", 61)}, ".")
	for _, host := range []string{label, long, "a", "_a-b", "[::1]", "[::ffff:1.2.3.4]", "1.2.3.4"} {
		if got, err := hostOf("https", host); err != nil || got != host {
			t.Errorf("hostOf(%q) = %q, %v", host, got, err)
		}
	}
	for _, host := range []string{
		"BÜCHER", "ü-", "-ü", "ü..a", "xn--a.ü", "\u0301ü", "ü\u200da", "\u00fc\u0627", strings.Repeat("ü", 63), "\xfc", "\x80",
		"", ".", label + "a", long + "a", "a.", "a..b", "-a", "a-", "a b", "a%41", "a:b", "a/b", "[127.0.0.1]", "[::1", "::1", "[]", "[::1]]", "[[::1]", "[fe80::1%en0]", "[::1].a",
	} {
		if got, err := hostOf("https", host); err == nil {
			t.Errorf("hostOf(%q) = %q", host, got)
		}
	}
}

func TestClientURLIsAnEntryAndTheDefault(t *testing.T) {
	t.Parallel()
	rules := mustCompile(t, "https://App.test/base/?tenant=1#/home")
	if got, want := rules.Default().String(), "https://app.test/base/?tenant=1#/home"; got != want {
		t.Errorf("Default() = %q, want %q", got, want)
	}
	for _, raw := range []string{"https://app.test/base", "https://app.test/base/x"} {
		if _, err := rules.Check(raw); err != nil {
			t.Error(err)
		}
	}
	for _, raw := range []string{"https://app.test/", "https://app.test/basement"} {
		if _, err := rules.Check(raw); err == nil {
			t.Errorf("Check(%q) passed", raw)
		}
	}
}

func TestWithSetsParameters(t *testing.T) {
	t.Parallel()
	rules := mustCompile(t, client, "https://app.test")
	for _, tt := range []struct {
		name, target string
		params       url.Values
		want         string
	}{
		{
			"no slash is put after an origin", client,
			url.Values{"errorDescription": {"Invalid state"}, "error": {"invalid-state"}},
			"http://localhost:3000?error=invalid-state&errorDescription=Invalid+state",
		},
		{
			"descriptions are encoded", client,
			url.Values{"errorDescription": {`The value of "options.redirectTo" is not allowed.`}, "error": {"redirectTo-not-allowed"}},
			"http://localhost:3000?error=redirectTo-not-allowed&errorDescription=The+value+of+%22options.redirectTo%22+is+not+allowed.",
		},
		{
			"empty values are kept", client,
			url.Values{"error": {"oauth-provider-error"}, "provider_error": {""}},
			"http://localhost:3000?error=oauth-provider-error&provider_error=",
		},
		{
			// RD-18: a target cannot bring its own token or type.
			"parameters of the same name are replaced, all of them", "https://app.test/x?type=a&refreshToken=evil&z=1&refreshToken=evil2&refresh%54oken=evil3#f",
			url.Values{"refreshToken": {"good"}, "type": {"verifyEmail"}},
			"https://app.test/x?refreshToken=good&type=verifyEmail&z=1#f",
		},
		{
			"odd parameters survive", "https://app.test/?a;b=100%&c=%zz&d&=e&&f=g+h&f=1%20%",
			url.Values{"k": {"v"}},
			"https://app.test/?=e&a%3Bb=100%25&c=%25zz&d=&f=g+h&f=1+%25&k=v",
		},
		{"hostile values are encoded", client, url.Values{"provider_error": {"\r\nSet-Cookie: a=b&x=y#z"}}, "http://localhost:3000?provider_error=%0D%0ASet-Cookie%3A+a%3Db%26x%3Dy%23z"},
		{"a parameter without values is removed", "https://app.test/?b=1&a=2", url.Values{"a": nil}, "https://app.test/?b=1"},
		{"the last parameter removed leaves no question mark", "https://app.test/?a=2#f", url.Values{"a": nil}, "https://app.test/#f"},
		{"nothing to set", "https://app.test/?b=1&a=2", nil, "https://app.test/?a=2&b=1"},
		{"no query at all", "https://app.test/", nil, "https://app.test/"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			target, err := rules.Check(tt.target)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, With(target.String(), tt.params)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// W6: an error redirect of one request leaves nothing behind for the next.
func TestDefaultIsNeverChanged(t *testing.T) {
	t.Parallel()
	rules := mustCompile(t, "http://localhost:3000?a=1")
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			got := With(rules.Default().String(), url.Values{"error": {"x"}, "a": {"2"}})
			if want := "http://localhost:3000?a=2&error=x"; got != want {
				t.Errorf("With = %q, want %q", got, want)
			}
		})
	}
	wg.Wait()
	if got, want := rules.Default().String(), "http://localhost:3000?a=1"; got != want {
		t.Errorf("Default() = %q, want %q", got, want)
	}
}

// RD-22: size is looked at first, and a long target costs no more than its length.
func TestCheckIsBoundedByLength(t *testing.T) {
	t.Parallel()
	rules := mustCompile(t, client, "https://acme.io/**a*a*a*a*a*a*a*a*b")
	fits := client + "/" + strings.Repeat("a", MaxLength-len(client)-len("/?#"))
	for _, fits := range []string{fits, fits[:len(fits)-2] + "?a#b"} {
		if _, err := rules.Check(fits); err != nil {
			t.Errorf("%d bytes: %v", len(fits), err)
		}
	}
	if _, err := rules.Check(strings.Repeat("\\", MaxLength)); !errors.Is(err, errCharacter) {
		t.Errorf("%d backslashes: %v", MaxLength, err)
	}
	for name, raw := range map[string]string{
		"100 KB of host":                      "http://" + strings.Repeat("é.", 50_000),
		"one byte more":                       fits + "a",
		"too long once it is percent-encoded": client + "/?" + strings.Repeat("é", MaxLength/4),
		"one backslash too many":              strings.Repeat("\\", MaxLength+1),
		"100 KB":                              client + "/" + strings.Repeat("a", 100_000),
		"20,000 pairs":                        client + "?" + strings.Repeat("a=b&", 20_000),
		"100 KB of dots":                      client + strings.Repeat(".", 100_000),
	} {
		if _, err := rules.Check(raw); !errors.Is(err, ErrNotAllowed) || !errors.Is(err, errLong) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Would take longer than the universe has if the matcher tried one choice after the other.
	if _, err := rules.Check("https://acme.io/" + strings.Repeat("a", 2000)); !errors.Is(err, ErrNotAllowed) {
		t.Error("the pattern ends in b, the target does not")
	}
}

func BenchmarkCheck(b *testing.B) {
	entries := []string{
		"https://acme.com/path", "https://*.acme.io", "https://*-sub.acme.io/app", "myapp://my.app", "https://d.com/*",
		"https://app-*-team.vercel.app", "http://127.0.0.1:8080", "https://acme.io/t/*/cb/**/end",
	}
	rules := mustCompile(b, client, entries...)
	for name, raw := range map[string]string{
		"client":   "http://localhost:3000/welcome?a=b#f",
		"wildcard": "https://preview-7.acme.io/a/b?c=d",
		"glob":     "https://acme.io/t/tenant-1/cb/a/b/c/end",
		"idn":      "https://bücher.acme.io/",
		"refused":  "https://evil.test/a/b?c=d",
		"longest":  "https://acme.io/t/t/cb/" + strings.Repeat("end/", 500),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = rules.Check(raw)
			}
		})
	}
}

// What keeps a URL from being a client URL is said alone as it is among other mistakes, and does not repeat it.
func TestCheckURL(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"https://app.test", "http://localhost:3000/v1"} {
		if err := CheckURL(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "canary", "https://canary.test:99999", "https://canary@app.test", "https://app.test/canary/..", "https://app.test/canary*", "javascript://canary"} {
		_, all := Compile(bad, nil)
		err := CheckURL(bad)
		if err == nil || all == nil || !strings.HasSuffix(all.Error(), err.Error()) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v, and among others %v", bad, err, all)
		}
	}
}
