package letter

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxFile is the size of a file in bytes. Common mail programs cut a letter off far earlier.
const maxFile = 256 << 10

// folder is one letter in a tree: its files, and which of them cannot be used.
type folder struct {
	path         string
	locale, name string // locale in its canonical spelling
	files        map[string]string
	refused      map[string]bool
}

// localeName is a language tag (RFC 5646 §2.1), roughly; an underscore is as good as a hyphen.
var localeName = regexp.MustCompile(`^[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*$`)

// canonical is the spelling in which locales are compared.
func canonical(locale string) string { return strings.ReplaceAll(strings.ToLower(locale), "_", "-") }

// read returns the letters of a tree and every mistake in it. Links are followed, where the tree follows them: what an
// orchestrator mounts consists of them.
func read(tree fs.FS) (found []folder, mistakes []error) {
	wrong := func(at string, err error) {
		// The path is said already.
		if p := (*fs.PathError)(nil); errors.As(err, &p) {
			err = p.Err
		}
		if at != "." {
			err = fmt.Errorf("%s: %w", at, err)
		}
		mistakes = append(mistakes, err)
	}
	entries := func(dir string) (names []string) {
		all, err := fs.ReadDir(tree, dir)
		if err != nil {
			wrong(dir, err)
		}
		for _, e := range all {
			if !strings.HasPrefix(e.Name(), ".") {
				names = append(names, e.Name())
			}
		}
		return names
	}
	isFolder := func(at, what string) bool {
		switch about, err := fs.Stat(tree, at); {
		case err != nil:
			wrong(at, err)
			return false
		case !about.IsDir():
			wrong(at, errors.New("is not the folder of a "+what))
			return false
		}
		return true
	}
	spelled := make(map[string]string)
	for _, locale := range entries(".") {
		if !isFolder(locale, "locale") {
			continue
		}
		if !localeName.MatchString(locale) {
			wrong(locale, errors.New("is not the name of a locale such as en or pt-BR"))
			continue
		}
		if other, ok := spelled[canonical(locale)]; ok {
			wrong(locale, fmt.Errorf("is the same locale as %s", other))
			continue
		}
		spelled[canonical(locale)] = locale
		for _, name := range entries(locale) {
			l := folder{
				path: path.Join(locale, name), locale: canonical(locale), name: name,
				files: make(map[string]string), refused: make(map[string]bool),
			}
			if !isFolder(l.path, "letter") {
				continue
			}
			for _, file := range entries(l.path) {
				at := path.Join(l.path, file)
				if file != subjectFile && file != textFile && file != htmlFile {
					wrong(at, fmt.Errorf("is none of %s, %s and %s", subjectFile, textFile, htmlFile))
					continue
				}
				if source, err := readFile(tree, at); err != nil {
					wrong(at, err)
					l.refused[file] = true
				} else {
					l.files[file] = source
				}
			}
			if len(l.files)+len(l.refused) == 0 {
				wrong(l.path, errors.New("has no file of a letter"))
				continue
			}
			found = append(found, l)
		}
	}
	return found, mistakes
}

// readFile returns a text that can be used.
func readFile(tree fs.FS, at string) (string, error) {
	// Before it is opened: to open a pipe is to wait for its other end.
	switch about, err := fs.Stat(tree, at); {
	case err != nil:
		return "", err
	case !about.Mode().IsRegular():
		return "", errors.New("is not a file")
	}
	f, err := tree.Open(at)
	if err != nil {
		return "", err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return "", err
	}
	source := strings.TrimPrefix(string(raw), "\ufeff") // which some editors put before everything
	switch {
	case len(raw) > maxFile:
		return "", fmt.Errorf("is larger than %d KiB", maxFile>>10)
	case !utf8.ValidString(source):
		return "", errors.New("is not UTF-8")
	case strings.TrimSpace(source) == "":
		return "", errors.New("is empty")
	case strings.ContainsFunc(source, func(r rune) bool { return unicode.IsControl(r) && !strings.ContainsRune("\t\r\n", r) }):
		return "", errors.New("has a control character")
	}
	return source, nil
}
