package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const root = ".."

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// requirements are what security.md has to answer, by the heading of its chapter: of the ASVS the chapters V6, V7, V9
// and V10 whole and from the others what a library like this decides; of WebAuthn every step.
var requirements = map[string]string{
	"OWASP ASVS 5.0": `
		6.1.1-3 6.2.1-12 6.3.1-8 6.4.1-6 6.5.1-8 6.6.1-4 6.7.1-2 6.8.1-4
		7.1.1-3 7.2.1-4 7.3.1-2 7.4.1-5 7.5.1-3 7.6.1-2
		9.1.1-3 9.2.1-4
		10.1.1-2 10.2.1-3 10.3.1-5 10.4.1-16 10.5.1-5 10.6.1-2 10.7.1-3
		1.2.2 1.3.6 1.3.7 1.3.9 1.3.11 1.5.3 2.3.1 2.3.3 2.3.4 2.4.1 3.3.1-4 3.4.2 3.4.4-6 3.5.1-3 4.1.3 8.2.2 8.2.3 8.3.2
		11.2.4 11.4.2 11.5.1 13.2.4 14.2.1 14.3.2 15.2.2 15.3.2-5 15.3.7 15.4.1-2 16.2.5 16.3.1-3 16.4.1 16.5.1-4`,
	"NIST SP 800-63B-4": `
		2.1.3 2.2.1 2.2.2 2.2.3 2.3.3 3.1.1.2 3.1.2.1 3.1.2.2 3.1.3.1 3.1.3.2 3.1.3.3 3.1.4.1 3.1.4.2 3.1.6.2 3.1.7
		3.2.2 3.2.5 3.2.7 3.2.8 3.2.9 3.2.12 4.1.2.1 4.2.1.1 4.2.1.2 4.2.2.2 4.2.3 4.4 4.5 4.6 5 5.1 5.1.1 5.1.2 5.2 B`,
	"RFC 9700":              "2.1 2.1.1-2 2.2.1-2 2.3 2.4 2.5 4.1 4.2 4.3 4.4 4.5 4.6 4.7 4.8 4.9 4.10 4.11 4.12 4.13 4.14 4.15 4.16 4.17",
	"RFC 8725":              "3.1 3.2 3.3 3.4 3.5 3.6 3.7 3.8 3.9 3.10 3.11 3.12",
	"RFC 6238":              "4.1 4.2 5.1 5.2 6 B",
	"RFC 4226":              "5.3 7.2 7.3 7.4 7.5",
	"WebAuthn Level 3 §7.1": "1-29",
	"WebAuthn Level 3 §7.2": "1-25",
}

// verdicts are the answers, and whether each has to name what shows it.
var verdicts = map[string]bool{"yes": true, "option": true, "service": false, "differs": false, "n/a": false, "gap": false}

// ids spells a list out, in which 6.1.1-3 is 6.1.1 6.1.2 6.1.3.
func ids(t *testing.T, list string) []string {
	t.Helper()
	var all []string
	for field := range strings.FieldsSeq(list) {
		from, to, several := strings.Cut(field, "-")
		if !several {
			all = append(all, field)
			continue
		}
		dot := strings.LastIndex(from, ".") + 1
		first, err := strconv.Atoi(from[dot:])
		last, err2 := strconv.Atoi(to)
		if err != nil || err2 != nil {
			t.Fatalf("list %q", field)
		}
		for n := first; n <= last; n++ {
			all = append(all, from[:dot]+strconv.Itoa(n))
		}
	}
	return all
}

// row is a line of a table that answers a requirement.
type row struct {
	ids            []string
	verdict, shown string
	line           int
}

// answers reads the tables under the chapters' headings.
func answers(text string) map[string][]row {
	found := map[string][]row{}
	chapter := ""
	for i, line := range strings.Split(text, "\n") {
		if heading, ok := strings.CutPrefix(line, "## "); ok {
			chapter = heading
		}
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "|--") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if cells[0] == "id" || cells[0] == "step" {
			continue
		}
		r := row{ids: strings.Split(cells[0], ", "), line: i + 1}
		if len(cells) == 4 {
			r.verdict, r.shown = cells[2], cells[3]
		}
		found[chapter] = append(found[chapter], r)
	}
	return found
}

func TestEveryRequirementHasAnAnswer(t *testing.T) {
	t.Parallel()
	found := answers(read(t, "security.md"))
	for chapter, list := range requirements {
		open := map[string]bool{}
		for _, id := range ids(t, list) {
			open[id] = true
		}
		known := maps.Clone(open)
		for _, r := range found[chapter] {
			for _, id := range r.ids {
				if !known[id] {
					t.Errorf("line %d: %q is no requirement of %s", r.line, id, chapter)
				}
				delete(open, id)
			}
			shows, ok := verdicts[r.verdict]
			switch {
			case !ok:
				t.Errorf("line %d: verdict %q", r.line, r.verdict)
			case shows && !named.MatchString(r.shown) && !strings.Contains(r.shown, "]("):
				t.Errorf("line %d: nothing shows that", r.line)
			case r.shown == "":
				t.Errorf("line %d: no reason", r.line)
			}
		}
		if len(open) > 0 {
			t.Errorf("%s: no answer to %s", chapter, strings.Join(slices.Sorted(maps.Keys(open)), ", "))
		}
	}
}

var (
	// code is anything that names a test; named is what a name has to look like, with a case that is not run by itself.
	code  = regexp.MustCompile("`(?:\\./[^` ]* )?(?:Test|Fuzz)[^`]*`(?: \\(\\*[^*]*\\*\\))?")
	named = regexp.MustCompile("`(?:(\\./[a-z0-9/]+) )?((?:Test|Fuzz)[A-Z][A-Za-z0-9]*)(?:/([^`/]+))?`(?: \\(\\*([^*]+)\\*\\))?")
)

// testFunc is a function that go test runs: the strings in its file, and what it names its subtests.
type testFunc struct {
	strings  map[string]bool
	names    map[string]bool // of t.Run("name", …)
	prefixes map[string]bool // of t.Run("prefix"+name, …), and "" of t.Run(name, …)
}

// runs reports whether the function has a subtest, as far as that can be told without running it.
func (f testFunc) runs(subtest string) bool {
	if f.names[subtest] {
		return true
	}
	for prefix := range f.prefixes {
		if name, ok := strings.CutPrefix(subtest, prefix); ok && f.strings[name] {
			return true
		}
	}
	return false
}

// literal is the text of a string literal, as it is in the name of a subtest.
func literal(n ast.Node) (string, bool) {
	lit, ok := n.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(lit.Value)
	return strings.ReplaceAll(text, " ", "_"), err == nil
}

// tests are the functions that go test runs in a directory.
func tests(t *testing.T, dir string) map[string]testFunc {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]testFunc{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		inFile := map[string]bool{}
		ast.Inspect(file, func(n ast.Node) bool {
			if text, ok := literal(n); ok {
				inFile[text] = true
			}
			return true
		})
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv != nil || f.Type.Results != nil || len(f.Type.Params.List) != 1 {
				continue
			}
			star, ok := f.Type.Params.List[0].Type.(*ast.StarExpr)
			if !ok {
				continue
			}
			if sel, ok := star.X.(*ast.SelectorExpr); !ok || sel.Sel.Name != "T" && sel.Sel.Name != "F" {
				continue
			}
			test := testFunc{inFile, map[string]bool{}, map[string]bool{}}
			ast.Inspect(f.Body, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok || len(call.Args) != 2 {
					return true
				}
				if sel, ok := call.Fun.(*ast.SelectorExpr); !ok || sel.Sel.Name != "Run" {
					return true
				}
				name, constant := literal(call.Args[0])
				sum, added := call.Args[0].(*ast.BinaryExpr)
				switch {
				case constant:
					test.names[name] = true
				case added:
					if prefix, ok := literal(sum.X); ok {
						test.prefixes[prefix] = true
					}
				default:
					test.prefixes[""] = true
				}
				return true
			})
			found[f.Name.Name] = test
		}
	}
	return found
}

// guides are the documents of this directory.
func guides(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob("*.md")
	if err != nil || len(names) < 7 {
		t.Fatalf("%d guides, %v", len(names), err)
	}
	return names
}

func TestTheTestsThatAreNamedExist(t *testing.T) {
	t.Parallel()
	for _, document := range append(guides(t), "../CONTRIBUTING.md") {
		known := map[string]map[string]testFunc{}
		for _, span := range code.FindAllString(read(t, document), -1) {
			name := named.FindStringSubmatch(span)
			if name == nil || name[0] != span {
				t.Errorf("%s: %s is not how a test is named", document, span)
				continue
			}
			dir := filepath.Join(root, name[1])
			if known[dir] == nil {
				known[dir] = tests(t, dir)
			}
			test, ok := known[dir][name[2]]
			switch {
			case !ok:
				t.Errorf("%s: %s: there is no such test", document, span)
			case name[3] != "" && !test.runs(name[3]):
				t.Errorf("%s: %s: there is no such subtest", document, span)
			case name[4] != "" && !test.strings[strings.ReplaceAll(name[4], " ", "_")]:
				t.Errorf("%s: %s: there is no such case", document, span)
			}
		}
		if document == "security.md" && len(known) < 10 {
			t.Errorf("%s names tests of %d packages only", document, len(known))
		}
	}
}

var (
	anchored     = regexp.MustCompile(`\]\(([^)#]*)#?([^)]*)\)`)
	notInAnchors = regexp.MustCompile(`[^a-z0-9 -]`)
)

func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	documents := append(guides(t), "../README.md", "../CHANGELOG.md", "../CONTRIBUTING.md", "../SECURITY.md", "../examples/README.md",
		"../examples/standalone/README.md")
	for _, document := range documents {
		for _, target := range anchored.FindAllStringSubmatch(read(t, document), -1) {
			name, anchor := target[1], target[2]
			if strings.HasPrefix(name, "https://") {
				continue
			}
			path := document
			if name != "" {
				path = filepath.Join(filepath.Dir(document), name)
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s: %v", document, err)
				continue
			}
			if anchor != "" && !hasHeading(read(t, path), anchor) {
				t.Errorf("%s: %s has no heading %q", document, path, anchor)
			}
		}
	}
}

// hasHeading reports whether a heading of the text has the anchor.
func hasHeading(text, anchor string) bool {
	for line := range strings.Lines(text) {
		heading := strings.TrimLeft(line, "#")
		if heading == line {
			continue
		}
		plain := notInAnchors.ReplaceAllString(strings.ToLower(strings.TrimSpace(heading)), "")
		if strings.ReplaceAll(plain, " ", "-") == anchor {
			return true
		}
	}
	return false
}
