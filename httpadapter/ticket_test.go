package httpadapter_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/ostiary/auth/httpadapter"
)

// FuzzWithParams: whatever stands in an accepted URL, the parameters of a redirect arrive once and as sent, and nothing
// else of the URL changes.
func FuzzWithParams(f *testing.F) {
	for _, target := range []string{
		"https://app.test", "https://app.test/", "https://app.test/a?b=c", "https://app.test?x=1&x=2#frag",
		"https://app.test/?refreshToken=x&type=y", "https://app.test/?%72efreshToken=x&a%&=&&b", "myapp://in?error=1#a?b=c",
	} {
		f.Add(target, "value & more")
	}
	engine := newFixture(f, httpadapter.Options{}).engine
	f.Fuzz(func(t *testing.T, wish, value string) {
		target, err := engine.RedirectTo(wish)
		if err != nil {
			return
		}
		got := httpadapter.WithParams(target, url.Values{"refreshToken": {value}})
		before, err1 := url.Parse(target)
		after, err2 := url.Parse(got)
		if err1 != nil || err2 != nil {
			t.Fatalf("%q and %q: %v, %v", target, got, err1, err2)
		}
		q := after.Query()
		if len(q["refreshToken"]) != 1 || q.Get("refreshToken") != value || q.Has("type") || q.Has("error") || q.Has("errorDescription") {
			t.Fatalf("%q becomes %q", target, got)
		}
		for name, values := range before.Query() {
			switch name {
			case "refreshToken", "type", "error", "errorDescription":
			default:
				if strings.Join(values, "\x00") != strings.Join(q[name], "\x00") {
					t.Fatalf("%q becomes %q: %s is %q", target, got, name, q[name])
				}
			}
		}
		before.RawQuery, after.RawQuery, before.ForceQuery, after.ForceQuery = "", "", false, false
		if before.String() != after.String() {
			t.Fatalf("%q becomes %q", target, got)
		}
	})
}
