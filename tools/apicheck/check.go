package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/exp/apidiff"
	"golang.org/x/mod/semver"
	"golang.org/x/tools/go/packages"
)

// repository is a working copy.
type repository struct {
	root      string
	changelog string
	temp      string            // where the worktrees are
	worktrees map[string]string // by commit
}

// module is one of its modules: the directory, "" for the root, and the releases that HEAD descends from, the lowest first.
type module struct {
	dir      string
	releases []string
	head     string // the release that HEAD is tagged as; empty if it is none
}

// check writes what it finds of each module to w, and returns how many have a change that is not allowed.
func check(root string, w io.Writer) (bad int, err error) {
	r := &repository{root: root, worktrees: map[string]string{}}
	defer func() { err = errors.Join(err, r.close()) }()
	text, err := os.ReadFile(filepath.Join(root, "CHANGELOG.md"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, err
	}
	r.changelog = string(text)
	modules, err := r.modules()
	if err != nil {
		return 0, err
	}
	for _, m := range modules {
		base := m.base()
		if base == "" {
			fmt.Fprintf(w, "%s: no release yet\n", m.name())
			continue
		}
		changes, err := r.incompatible(m, base)
		if err != nil {
			return bad, fmt.Errorf("%s since %s: %w", m.name(), base, err)
		}
		if len(changes) == 0 {
			fmt.Fprintf(w, "%s: compatible with %s\n", m.name(), base)
			continue
		}
		why := r.refusal(m, base)
		verdict := "allowed, and in CHANGELOG.md"
		if why != "" {
			verdict = "NOT ALLOWED: " + why
			bad++
		}
		fmt.Fprintf(w, "%s: %d incompatible changes since %s: %s\n", m.name(), len(changes), base, verdict)
		for _, c := range changes {
			fmt.Fprintf(w, "\t%s\n", c)
		}
	}
	return bad, nil
}

// git runs a command of git in the repository.
func (r *repository) git(args ...string) (string, error) {
	c := exec.Command("git", args...)
	c.Dir = r.root
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil {
		return "", fmt.Errorf("git %s: %w\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return stdout.String(), nil
}

// modules lists the modules, the root first.
func (r *repository) modules() ([]*module, error) {
	files, err := r.git("ls-files", "--", "go.mod", "*/go.mod")
	if err != nil {
		return nil, err
	}
	reachable, err := r.git("tag", "--merged", "HEAD")
	if err != nil {
		return nil, err
	}
	atHead, err := r.git("tag", "--points-at", "HEAD")
	if err != nil {
		return nil, err
	}
	var all []*module
	for file := range strings.FieldsSeq(files) {
		m := &module{dir: strings.TrimPrefix(path.Dir(file), ".")}
		m.releases = m.versions(reachable)
		if at := m.versions(atHead); len(at) > 0 {
			m.head = at[len(at)-1]
		}
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b *module) int { return cmp.Compare(a.dir, b.dir) })
	return all, nil
}

// versions are those tags among the given ones that are releases of the module, the lowest first.
func (m *module) versions(tags string) []string {
	var found []string
	for tag := range strings.FieldsSeq(tags) {
		version, ok := strings.CutPrefix(tag, m.prefix())
		if ok && semver.IsValid(version) && semver.Canonical(version) == version {
			found = append(found, version)
		}
	}
	semver.Sort(found)
	return found
}

// prefix is what the module's tags begin with.
func (m *module) prefix() string {
	if m.dir == "" {
		return ""
	}
	return m.dir + "/"
}

func (m *module) name() string { return cmp.Or(m.dir, "root module") }

// base is the release to compare with; empty if there is none.
func (m *module) base() string {
	for _, v := range slices.Backward(m.releases) {
		if m.head == "" || semver.Compare(v, m.head) < 0 {
			return v
		}
	}
	return ""
}

// refusal says why the next version may not have incompatible changes; empty if it may.
func (r *repository) refusal(m *module, base string) string {
	next := "Unreleased"
	switch {
	case semver.Major(base) != "v0":
		return "they need a new major version, which is another module path"
	case m.head != "" && semver.MajorMinor(m.head) == semver.MajorMinor(base):
		return m.head + " is a patch of " + base
	case m.head != "":
		next = strings.TrimPrefix(m.head, "v")
	}
	if !changed(r.changelog, next) {
		return "CHANGELOG.md has nothing below Changed or Removed in [" + next + "]"
	}
	return ""
}

var (
	versionHeading = regexp.MustCompile(`(?m)^## \[([^\]]+)\].*$`)
	changedHeading = regexp.MustCompile(`(?m)^### (?:Changed|Removed)\n+- `)
)

// changed reports whether a version in a changelog has an entry below Changed or Removed.
func changed(changelog, version string) bool {
	all := versionHeading.FindAllStringSubmatchIndex(changelog, -1)
	for i, at := range all {
		if changelog[at[2]:at[3]] != version {
			continue
		}
		end := len(changelog)
		if i+1 < len(all) {
			end = all[i+1][0]
		}
		return changedHeading.MatchString(changelog[at[1]:end])
	}
	return false
}

// worktree checks a tag out, beside the working copy, and returns the directory. Tags of one commit share it, and so what is
// compiled there.
func (r *repository) worktree(tag string) (string, error) {
	commit, err := r.git("rev-list", "--max-count=1", "refs/tags/"+tag)
	if err != nil {
		return "", err
	}
	commit = strings.TrimSpace(commit)
	if dir, ok := r.worktrees[commit]; ok {
		return dir, nil
	}
	if r.temp == "" {
		if r.temp, err = os.MkdirTemp("", "apicheck"); err != nil {
			return "", err
		}
	}
	dir := filepath.Join(r.temp, commit)
	if _, err := r.git("worktree", "add", "--quiet", "--detach", dir, commit); err != nil {
		return "", err
	}
	r.worktrees[commit] = dir
	return dir, nil
}

// close removes the worktrees.
func (r *repository) close() error {
	var failed []error
	for _, dir := range r.worktrees {
		_, err := r.git("worktree", "remove", "--force", dir)
		failed = append(failed, err)
	}
	if r.temp != "" {
		failed = append(failed, os.RemoveAll(r.temp))
	}
	return errors.Join(failed...)
}

// incompatible are the changes of the module since a release.
func (r *repository) incompatible(m *module, base string) (changes []string, err error) {
	old, err := r.worktree(m.prefix() + base)
	if err != nil {
		return nil, err
	}
	before, err := load(filepath.Join(old, filepath.FromSlash(m.dir)))
	if err != nil {
		return nil, err
	}
	after, err := load(filepath.Join(r.root, filepath.FromSlash(m.dir)))
	if err != nil {
		return nil, err
	}
	for _, c := range apidiff.ModuleChanges(before, after).Changes {
		if !c.Compatible {
			changes = append(changes, c.Message)
		}
	}
	slices.Sort(changes)
	return changes, nil
}

// load returns the packages of the module in a directory that have an API. A workspace around it stands in for what its modules
// require of each other.
func load(dir string) (*apidiff.Module, error) {
	loaded, err := packages.Load(&packages.Config{
		Mode: packages.NeedName | packages.NeedTypes | packages.NeedModule,
		Dir:  dir,
		Env:  append(os.Environ(), "GOWORK="),
	}, "./...")
	if err != nil {
		return nil, err
	}
	own, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	m := &apidiff.Module{}
	for _, p := range loaded {
		for _, e := range p.Errors {
			return nil, e
		}
		at, err := os.Stat(p.Module.Dir)
		if err != nil {
			return nil, err
		}
		if !os.SameFile(at, own) {
			continue // a module below this one
		}
		m.Path = p.Module.Path
		if p.Name != "main" && !slices.Contains(strings.Split(p.PkgPath, "/"), "internal") {
			m.Packages = append(m.Packages, p.Types)
		}
	}
	if m.Path == "" {
		return nil, fmt.Errorf("%s has no packages", dir)
	}
	return m, nil
}
