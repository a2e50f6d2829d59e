// Package nhostjs has the tests that drive examples/standalone with the published JavaScript client, unchanged. They are
// written in JavaScript: npm ci && npm test. Here they run as a test of this module.
package nhostjs

import (
	"os"
	"os/exec"
	"testing"

	"github.com/ostiary/auth/internal/need"
)

func TestThePublishedClientWorks(t *testing.T) {
	node, npm := need.Program(t, "node"), need.Program(t, "npm")
	if _, err := os.Stat("node_modules/@nhost/nhost-js"); err != nil {
		if out, err := exec.CommandContext(t.Context(), npm, "ci").CombinedOutput(); err != nil {
			need.Missing(t, "npm ci: "+err.Error()+"\n"+string(out))
		}
	}
	tests := exec.CommandContext(t.Context(), node, "--test")
	out, err := tests.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
