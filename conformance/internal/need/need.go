// Package need looks for what a test needs from outside: a program, a server, a browser.
//
// Where it is missing the test is skipped with the reason, so that go test works on every machine. Where the environment
// says CI=true nothing may be missing, and the test fails instead: a check that silently did not run is worth nothing.
package need

import (
	"os"
	"os/exec"
	"strconv"
	"testing"
)

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
	if ci, _ := strconv.ParseBool(os.Getenv("CI")); ci {
		t.Fatalf("CI=true and the test cannot run: %v", why)
	}
	t.Skipf("the test cannot run: %v", why)
}
