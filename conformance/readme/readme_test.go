package readme

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	goBlock = regexp.MustCompile("(?s)```go\n(.*?)```")
	link    = regexp.MustCompile(`\]\(([^)#]+)[^)]*\)`)
	command = regexp.MustCompile(`go (?:run|test) (\./[a-z./]+)`)
)

// flat is a text without its indentation.
func flat(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimLeft(line, "\t")
	}
	return strings.Join(lines, "\n")
}

func TestTheCodeIsThatOfTheExample(t *testing.T) {
	t.Parallel()
	example := flat(read(t, "example_test.go"))
	blocks := goBlock.FindAllStringSubmatch(read(t, filepath.Join(root, "README.md")), -1)
	if len(blocks) == 0 {
		t.Fatal("README.md has no code")
	}
	for _, block := range blocks {
		if !strings.Contains(example, flat(block[1])) {
			t.Errorf("this code is not in the example, which compiles and runs:\n%s", block[1])
		}
	}
}

func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"} {
		for _, target := range link.FindAllStringSubmatch(read(t, filepath.Join(root, file)), -1) {
			if strings.HasPrefix(target[1], "https://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, target[1])); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
}

func TestCommandsNamePackagesThatExist(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"README.md", "CONTRIBUTING.md", "docs/status.md"} {
		for _, c := range command.FindAllStringSubmatch(read(t, filepath.Join(root, file)), -1) {
			list := exec.CommandContext(t.Context(), "go", "list", c[1])
			list.Dir = root
			if out, err := list.CombinedOutput(); err != nil {
				t.Errorf("%s: %s: %v\n%s", file, c[0], err, out)
			}
		}
	}
}
