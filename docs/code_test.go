package docs

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// documented are the documents whose code and commands are checked.
func documented(t *testing.T) []string {
	t.Helper()
	return append(guides(t), "../README.md", "../CONTRIBUTING.md", "../examples/README.md")
}

// files are the paths of the repository's own files with a suffix.
func files(t *testing.T, suffix string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".git", "node_modules", "testdata"}, d.Name()):
			return fs.SkipDir
		case strings.HasSuffix(path, suffix):
			found = append(found, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// sources are the files of the repository with a suffix, each without its indentation.
func sources(t *testing.T, suffix string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, path := range files(t, suffix) {
		found[path] = flat(read(t, path))
	}
	return found
}

// flat is a text without indentation and with blanks only where words need them: gofmt aligns comments by their neighbours,
// which a guide may leave out.
func flat(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.Join(strings.Fields(line), " ")
	}
	return strings.Join(lines, "\n")
}

// quotes reports whether the source has the parts of a block one after the other, in this order. A part is what stands between
// lines that say "…".
func quotes(source, block string) bool {
	for part := range strings.SplitSeq("\n"+flat(block), "\n…\n") {
		part = "\n" + strings.Trim(part, "\n") + "\n"
		_, rest, ok := strings.Cut("\n"+source, part)
		if !ok {
			return false
		}
		source = rest
	}
	return true
}

var (
	fenced = regexp.MustCompile("(?ms)^( *)```([a-z]*)\n(.*?)^ *```")
	// quoted are the languages of blocks that must be parts of files which are compiled or run.
	quoted = map[string]string{"go": ".go", "js": ".js"}
)

func TestCodeIsThatOfFilesThatAreCompiled(t *testing.T) {
	t.Parallel()
	all := map[string]map[string]string{}
	for language, suffix := range quoted {
		all[language] = sources(t, suffix)
	}
	checked := 0
	for _, document := range documented(t) {
		for _, block := range fenced.FindAllStringSubmatch(read(t, document), -1) {
			language, code := block[2], block[3]
			if all[language] == nil {
				continue
			}
			checked++
			in := func(source string) bool { return quotes(source, code) }
			if !slices.ContainsFunc(slices.Collect(maps.Values(all[language])), in) {
				t.Errorf("%s: no %s file has this:\n%s", document, quoted[language], code)
			}
		}
	}
	if checked < 30 {
		t.Errorf("%d blocks were found", checked)
	}
}

func TestQuotes(t *testing.T) {
	t.Parallel()
	source := flat("package a\n\nfunc f() {\n\tone() // first\n\ttwo()\n\n\tthree()\n}\n")
	for block, want := range map[string]bool{
		"one() // first\ntwo()\n":            true,
		"\tone()   // first\n\ttwo()\n":      true,
		"one()\ntwo()\n":                     false, // not the whole line
		"two()\none() // first\n":            false,
		"one() // first\n…\nthree()\n":       true,
		"one() // first\nthree()\n":          false,
		"three()\n…\none() // first\n":       false,
		"one() // first\n\t…\n\n\nthree()":   true,
		"one() // first\n// …\nthree()\n":    false,
		"func f() {\n…\n}\n":                 true,
		"four()\n":                           false,
		"one() // first\ntwo()\n\nthree()\n": true,
	} {
		if got := quotes(source, block); got != want {
			t.Errorf("%q: %v, want %v", block, got, want)
		}
	}
}

var (
	// command is one in a shell block or a span of code, up to what ends it.
	command  = regexp.MustCompile("\\bgo (run|test|vet|build)((?: +(?:'[^'\n]*'|[^ `|&;#()\n]+))*)")
	argument = regexp.MustCompile(`'([^']*)'|[^ ]+`)
)

// TestCommandsNameWhatExists is about packages, and about tests where -run names them.
func TestCommandsNameWhatExists(t *testing.T) {
	t.Parallel()
	checked := 0
	for _, document := range documented(t) {
		for _, c := range command.FindAllStringSubmatch(read(t, document), -1) {
			var dirs []string
			pattern, next := "", false
			for _, a := range argument.FindAllStringSubmatch(c[2], -1) {
				word := a[0]
				if a[1] != "" {
					word = a[1]
				}
				switch {
				case next:
					pattern, next = word, false
				case word == "-run":
					next = true
				case word == "." || strings.HasPrefix(word, "./"):
					dirs = append(dirs, directories(t, document, c[0], word)...)
				}
			}
			checked += len(dirs)
			if pattern == "" || pattern == "^$" || len(dirs) == 0 {
				continue
			}
			first, _, _ := strings.Cut(strings.ReplaceAll(pattern, "$/", "/"), "/")
			of, err := regexp.Compile(first)
			if err != nil {
				t.Errorf("%s: %s: %v", document, c[0], err)
				continue
			}
			found := false
			for _, dir := range dirs {
				for name := range tests(t, dir) {
					found = found || of.MatchString(name)
				}
			}
			if !found {
				t.Errorf("%s: %s: there is no such test", document, c[0])
			}
		}
	}
	if checked < 50 {
		t.Errorf("%d packages were found", checked)
	}
}

// directories are those of the packages that an argument of the command names, and there is one.
func directories(t *testing.T, document, command, argument string) []string {
	t.Helper()
	top, below := strings.CutSuffix(argument, "/...")
	top = filepath.Join(root, top)
	var found []string
	if !below {
		if own, _ := filepath.Glob(filepath.Join(top, "*.go")); len(own) > 0 {
			found = append(found, top)
		}
	} else if _, err := os.Stat(top); err == nil {
		for _, path := range files(t, ".go") {
			if dir := filepath.Dir(path); (dir == top || strings.HasPrefix(dir, top+string(filepath.Separator))) && !slices.Contains(found, dir) {
				found = append(found, dir)
			}
		}
	}
	if len(found) == 0 {
		t.Errorf("%s: %s: there is no package %s", document, command, argument)
	}
	return found
}
