// Package need looks for what a test needs from outside: a program, a server, a browser.
//
// Where it is missing the test is skipped with the reason, so that go test works on every machine. Where the environment
// says CI=true nothing may be missing, and the test fails instead: a check that silently did not run is worth nothing.
package need

import (
	"cmp"
	"os"
	"os/exec"
	"strconv"
	"testing"
)

// CI reports whether nothing may be missing.
func CI() bool {
	ci, _ := strconv.ParseBool(os.Getenv("CI"))
	return ci
}

// PostgresDSN is where tests and measurements find PostgreSQL: what AUTH_TEST_POSTGRES says, or else the database test of a
// server on this machine. Each makes schemas of its own in it and drops them.
func PostgresDSN() string {
	return cmp.Or(os.Getenv("AUTH_TEST_POSTGRES"), "postgres://postgres@127.0.0.1:5432/test")
}

// RedisURL is where tests find Redis: what AUTH_TEST_REDIS says, or else a server on this machine.
func RedisURL() string {
	return cmp.Or(os.Getenv("AUTH_TEST_REDIS"), "redis://127.0.0.1:6379")
}

// Program returns the path of the first of these programs that is installed.
func Program(t testing.TB, names ...string) string {
	t.Helper()
	var err error
	for _, name := range names {
		var path string
		if path, err = exec.LookPath(name); err == nil {
			return path
		}
	}
	Missing(t, err)
	return ""
}

// Missing ends a test that cannot run for want of something: as skipped, or under CI as failed.
func Missing(t testing.TB, why any) {
	t.Helper()
	if CI() {
		t.Fatalf("CI=true and the test cannot run: %v", why)
	}
	t.Skipf("the test cannot run: %v", why)
}
