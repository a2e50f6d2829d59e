package docs

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	codeSpan = regexp.MustCompile("`([^` \n]+)`")
	// ofPackage is a name of a package or of a type, such as limit.Check and Engine.enter.
	ofPackage = regexp.MustCompile(`^\*?([A-Za-z]+)\.([A-Za-z]+)$`)
	aFile     = regexp.MustCompile(`(^|.)/|\.(go|md|yaml|lua|work)$`)
)

// packageSources are the Go files of the repository, by the names of their directories: those of the root by that of package auth.
func packageSources(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, path := range files(t, ".go") {
		name := filepath.Base(filepath.Dir(path))
		if filepath.Dir(path) == root {
			name = "auth"
		}
		found[name] += read(t, path)
	}
	return found
}

// declares reports whether Go source declares a name: as a method or a field of a type, if there is one.
func declares(source, of, name string) bool {
	if of == "" {
		return regexp.MustCompile(`(?m)^(func|type|var|const) ` + name + `\b|^\t` + name + `\b.* = `).MatchString(source)
	}
	_, fields, _ := strings.Cut(source, "\ntype "+of+" struct {\n")
	fields, _, _ = strings.Cut(fields, "\n}\n")
	return strings.Contains("\n"+fields, "\n\t"+name+" ") ||
		regexp.MustCompile(`(?m)^func \(\w+ \*?`+of+`\) `+name+`\(`).MatchString(source)
}

// What CONTRIBUTING.md names is there: files, names of packages and methods of types.
func TestWhatContributorsAreToldIsThere(t *testing.T) {
	t.Parallel()
	text := read(t, "../CONTRIBUTING.md")
	packages := packageSources(t)
	paths, names := 0, 0
	for _, span := range codeSpan.FindAllStringSubmatch(text, -1) {
		name := span[1]
		if strings.ContainsAny(name, "*({…=:@") || strings.HasPrefix(name, "/") {
			continue
		}
		if aFile.MatchString(name) {
			paths++
			if !anywhere(t, name) {
				t.Errorf("there is no file %s", name)
			}
			continue
		}
		parts := ofPackage.FindStringSubmatch(name)
		if parts == nil {
			continue
		}
		names++
		switch source, isPackage := packages[parts[1]]; {
		case isPackage && !declares(source, "", parts[2]):
			t.Errorf("there is no %s", name)
		case !isPackage && !declares(packages["auth"], parts[1], parts[2]) && !declares(packages["limit"], parts[1], parts[2]):
			t.Errorf("there is no %s", name)
		}
	}
	if paths < 30 || names < 10 {
		t.Errorf("%d files and %d names are looked for; the test looks in the wrong place", paths, names)
	}
}

// anywhere reports whether there is a file or a folder at a path of the repository, or below one of its folders, whose rows in
// the table of the layout leave the folder out.
func anywhere(t *testing.T, name string) bool {
	t.Helper()
	for _, pattern := range []string{name, filepath.Join("*", name)} {
		if found, err := filepath.Glob(filepath.Join(root, pattern)); err != nil {
			t.Fatal(err)
		} else if len(found) > 0 {
			return true
		}
	}
	return false
}
