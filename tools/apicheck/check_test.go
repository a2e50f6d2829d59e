package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// world is a repository to be thrown away.
type world struct {
	*testing.T
	dir string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t, t.TempDir()}
	w.git("init", "--quiet", "--initial-branch=main")
	w.write(map[string]string{
		"go.mod":                 "module example.test/m\n\ngo 1.26\n",
		"m.go":                   "package m\n\nfunc Kept() {}\n\nfunc Gone() {}\n",
		"sub/go.mod":             "module example.test/m/sub\n\ngo 1.26\n",
		"sub/sub.go":             "package sub\n\ntype T struct{ A int }\n",
		"internal/hidden/h.go":   "package hidden\n\nfunc Gone() {}\n",
		"cmd/program/main.go":    "package main\n\nfunc Gone() {}\n\nfunc main() {}\n",
		"open/internal/hid/h.go": "package hid\n\nfunc Gone() {}\n",
		"CHANGELOG.md":           changelog("### Added\n\n- Everything.\n"),
	})
	w.commit()
	return w
}

func changelog(unreleased string) string {
	return "# Changelog\n\n## [Unreleased]\n\n" + unreleased + "\n## [0.0.1] - 2026-01-01\n\n### Changed\n\n- What was before.\n"
}

func (w *world) git(args ...string) {
	w.Helper()
	c := exec.CommandContext(w.Context(), "git", append([]string{"-c", "user.name=t", "-c", "user.email=t@example.test", "-c", "tag.gpgSign=false", "-c", "commit.gpgSign=false"}, args...)...)
	c.Dir = w.dir
	if out, err := c.CombinedOutput(); err != nil {
		w.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (w *world) write(files map[string]string) {
	w.Helper()
	for name, text := range files {
		name = filepath.Join(w.dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			w.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			w.Fatal(err)
		}
	}
}

func (w *world) commit() {
	w.Helper()
	w.git("add", "--all")
	w.git("commit", "--quiet", "--allow-empty", "--message", "Change")
}

const (
	smaller = "package m\n\nfunc Kept() {}\n"
	larger  = "package m\n\nfunc Kept() {}\n\nfunc Gone() {}\n\nfunc New() {}\n"
)

func TestWhatAnImporterWouldStumbleOverIsFound(t *testing.T) {
	t.Parallel()
	removed := changelog("### Removed\n\n- `Gone`.\n")
	for name, tt := range map[string]struct {
		tags  []string          // of the first commit
		files map[string]string // of the second
		then  []string          // tags of the second
		bad   int
		says  string
	}{
		"without a release":                            {nil, map[string]string{"m.go": smaller}, nil, 0, "root module: no release yet\n"},
		"nothing has changed":                          {[]string{"v0.1.0"}, nil, nil, 0, "root module: compatible with v0.1.0\n"},
		"something is new":                             {[]string{"v0.1.0"}, map[string]string{"m.go": larger}, nil, 0, "root module: compatible with v0.1.0\n"},
		"something is gone":                            {[]string{"v0.1.0"}, map[string]string{"m.go": smaller}, nil, 1, "Gone: removed"},
		"a package is gone":                            {[]string{"v0.1.0"}, map[string]string{"m.go": "package main\n\nfunc main() {}\n"}, nil, 1, "package example.test/m: removed"},
		"a signature is another":                       {[]string{"v0.1.0"}, map[string]string{"m.go": "package m\n\nfunc Kept(int) {}\n\nfunc Gone() {}\n"}, nil, 1, "Kept: changed"},
		"something is gone, and the changelog says so": {[]string{"v0.1.0"}, map[string]string{"m.go": smaller, "CHANGELOG.md": removed}, nil, 0, "allowed, and in CHANGELOG.md"},
		"the changelog has a heading alone":            {[]string{"v0.1.0"}, map[string]string{"m.go": smaller, "CHANGELOG.md": changelog("### Changed\n")}, nil, 1, "nothing below Changed or Removed in [Unreleased]"},
		"from v1 on no changelog allows it":            {[]string{"v1.0.0"}, map[string]string{"m.go": smaller, "CHANGELOG.md": removed}, nil, 1, "they need a new major version"},
		"internal packages and programs do not count": {[]string{"v1.0.0"}, map[string]string{
			"internal/hidden/h.go": "package hidden\n", "open/internal/hid/h.go": "package hid\n", "cmd/program/main.go": "package main\n\nfunc main() {}\n",
		}, nil, 0, "root module: compatible with v1.0.0\n"},
		"a module has tags of its own":       {[]string{"sub/v0.1.0"}, map[string]string{"m.go": smaller, "sub/sub.go": "package sub\n\ntype T struct{}\n"}, nil, 1, "root module: no release yet\nsub: 1 incompatible"},
		"and none of the root's":             {[]string{"v0.1.0"}, map[string]string{"sub/sub.go": "package sub\n\ntype T struct{}\n"}, nil, 0, "sub: no release yet\n"},
		"the highest counts":                 {[]string{"v0.9.0", "v0.10.0", "nonsense", "v0.11"}, map[string]string{"m.go": smaller}, nil, 1, "since v0.10.0"},
		"a release that is a patch":          {[]string{"v0.1.0"}, map[string]string{"m.go": smaller, "CHANGELOG.md": removed}, []string{"v0.1.1"}, 1, "v0.1.1 is a patch of v0.1.0"},
		"a release whose changelog says":     {[]string{"v0.1.0"}, map[string]string{"m.go": smaller, "CHANGELOG.md": strings.ReplaceAll(removed, "Unreleased", "0.2.0")}, []string{"v0.2.0"}, 0, "since v0.1.0: allowed"},
		"a release whose changelog does not": {[]string{"v0.1.0"}, map[string]string{"m.go": smaller, "CHANGELOG.md": removed}, []string{"v0.2.0"}, 1, "nothing below Changed or Removed in [0.2.0]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for _, tag := range tt.tags {
				w.git("tag", tag)
			}
			w.write(tt.files)
			w.commit()
			for _, tag := range tt.then {
				w.git("tag", tag)
			}
			var out bytes.Buffer
			bad, err := check(w.dir, &out)
			if err != nil {
				t.Fatal(err)
			}
			if bad != tt.bad || !strings.Contains(out.String(), tt.says) {
				t.Errorf("%d modules, want %d and %q:\n%s", bad, tt.bad, tt.says, &out)
			}
		})
	}
}

func TestAReleaseOfAnotherBranchDoesNotCount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.git("switch", "--quiet", "--create", "other")
	w.write(map[string]string{"m.go": larger})
	w.commit()
	w.git("tag", "v0.1.0")
	w.git("switch", "--quiet", "main")
	var out bytes.Buffer
	if bad, err := check(w.dir, &out); bad != 0 || err != nil || !strings.HasPrefix(out.String(), "root module: no release yet\n") {
		t.Errorf("%d, %v:\n%s", bad, err, &out)
	}
}

// Modules of one repository require each other in versions that may be nowhere but here.
func TestAWorkspaceStandsInForWhatIsNotPublished(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write(map[string]string{
		"go.work":    "go 1.26\n\nuse (\n\t.\n\t./sub\n)\n",
		"sub/go.mod": "module example.test/m/sub\n\ngo 1.26\n\nrequire example.test/m v0.1.0\n",
		"sub/sub.go": "package sub\n\nimport \"example.test/m\"\n\nfunc F() { m.Kept() }\n",
	})
	w.commit()
	w.git("tag", "v0.1.0")
	w.git("tag", "sub/v0.1.0")
	w.write(map[string]string{"sub/sub.go": "package sub\n"})
	w.commit()
	var out bytes.Buffer
	bad, err := check(w.dir, &out)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "root module: compatible with v0.1.0\nsub: 1 incompatible") || bad != 1 {
		t.Errorf("%d:\n%s", bad, &out)
	}
	list, err := exec.CommandContext(t.Context(), "git", "-C", w.dir, "worktree", "list").Output()
	if err != nil || strings.Count(string(list), "\n") != 1 {
		t.Errorf("worktrees are left behind: %v\n%s", err, list)
	}
}
