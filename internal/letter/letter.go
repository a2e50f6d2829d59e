// Package letter makes letters and text messages from templates: in the language of their reader, with values that
// cannot become anything but values.
//
// A tree of templates has a folder for each locale, and in it one for each letter, with the files subject.txt, body.txt
// and body.html; a text message has body.txt alone. ${name} stands for a variable, and one that there is not for
// nothing. No other syntax means anything.
package letter

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/ostiary/auth/mail"
)

const (
	subjectFile = "subject.txt"
	textFile    = "body.txt"
	htmlFile    = "body.html"

	// english has every letter.
	english = "en"
)

// Set is a set of letters. It does not change and is safe for concurrent use.
type Set struct {
	defaultLocale string                        // "" for English
	kinds         map[string][]string           // the files of each letter, by its name
	letters       map[string]map[string]*letter // by canonical locale and name
}

// letter is one letter in one language.
type letter struct {
	sources map[string]string // by file; another tree may replace some of them
	subject text
	body    text
	html    *markup // nil for a text message
}

// Parse reads a tree that is complete: it has every letter in English, and in other locales no others. Its error joins one
// for each mistake, which begins with the path of the file.
func Parse(tree fs.FS) (*Set, error) {
	found, mistakes := read(tree)
	s := &Set{kinds: make(map[string][]string), letters: make(map[string]map[string]*letter)}
	for _, l := range found {
		if l.locale == english {
			s.kinds[l.name] = slices.Sorted(maps.Keys(l.files))
			if len(l.files) > 1 {
				s.kinds[l.name] = []string{htmlFile, textFile, subjectFile}
			}
		}
	}
	return s.with(found, mistakes)
}

// With returns the letters of s and of the service's own tree, whose files come first, each by itself. A letter is chosen
// in the locale that is asked for, or else in defaultLocale, or else in English. own may be nil; a tree without a single
// letter is a mistake. So is a file that is none of a letter, for nobody would ever see it; what begins with a dot is left
// alone. The error is as that of [Parse].
func (s *Set) With(defaultLocale string, own fs.FS) (*Set, error) {
	n := &Set{defaultLocale: canonical(defaultLocale), kinds: s.kinds, letters: make(map[string]map[string]*letter)}
	for locale, letters := range s.letters {
		n.letters[locale] = maps.Clone(letters)
	}
	if own == nil {
		return n, nil
	}
	found, mistakes := read(own)
	if len(found) == 0 && !errors.Is(errors.Join(mistakes...), fs.ErrNotExist) {
		mistakes = append(mistakes, errors.New("there is no letter in it: is it the right folder? It must hold one for each locale, such as en, "+
			"and these one for each letter, such as "+slices.Min(slices.Collect(maps.Keys(s.kinds)))))
	}
	return n.with(found, mistakes)
}

// with adds what was found in a tree.
func (s *Set) with(found []folder, mistakes []error) (*Set, error) {
	unknown := false
	for _, f := range found {
		kind, ok := s.kinds[f.name]
		if !ok {
			mistakes, unknown = append(mistakes, fmt.Errorf("%s: there is no letter of this name", f.path)), true
			continue
		}
		l := &letter{sources: make(map[string]string)}
		if before := s.letters[f.locale][f.name]; before != nil {
			maps.Copy(l.sources, before.sources)
		}
		for file, source := range f.files {
			if !slices.Contains(kind, file) {
				mistakes = append(mistakes, fmt.Errorf("%s: a text message has no such file, but only %s", path.Join(f.path, file), textFile))
			}
			l.sources[file] = source
		}
		for _, file := range kind {
			if _, ok := l.sources[file]; !ok && !f.refused[file] {
				mistakes = append(mistakes, fmt.Errorf("%s: is missing", path.Join(f.path, file)))
			}
		}
		for _, err := range l.compile() {
			mistakes = append(mistakes, fmt.Errorf("%s/%w", f.path, err))
		}
		if s.letters[f.locale] == nil {
			s.letters[f.locale] = make(map[string]*letter)
		}
		s.letters[f.locale][f.name] = l
	}
	if unknown {
		mistakes = append(mistakes, errors.New("the letters are called "+strings.Join(slices.Sorted(maps.Keys(s.kinds)), ", ")))
	}
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	return s, nil
}

// compile parses the sources. Its errors begin with the name of a file.
func (l *letter) compile() (mistakes []error) {
	compile := func(file string, f func(source string) error) {
		if source, ok := l.sources[file]; ok {
			if err := f(source); err != nil {
				mistakes = append(mistakes, fmt.Errorf("%s: %w", file, err))
			}
		}
	}
	compile(subjectFile, func(source string) (err error) {
		l.subject, err = parseSubject(source)
		return err
	})
	compile(textFile, func(source string) (err error) {
		l.body, err = parseText(source)
		return err
	})
	compile(htmlFile, func(source string) (err error) {
		l.html, err = parseMarkup(source)
		return err
	})
	return mistakes
}

// Mail makes a letter of the given name. A value is put in once, as it is, and what looks like a variable within it stays
// what it is; but line ends and what else controls how a text is laid out become blanks, so that nobody's value can add a
// paragraph. In HTML, a value is escaped for the place where it stands, and link, redirectTo, serverUrl and clientUrl, which
// must have been checked, may begin a URL of any scheme.
func (s *Set) Mail(name, locale string, variables map[string]string) (mail.Message, error) {
	l, err := s.find(name, locale)
	if err != nil {
		return mail.Message{}, err
	}
	if l.html == nil {
		return mail.Message{}, fmt.Errorf("%s is a text message and no letter", name)
	}
	m := mail.Message{Template: name, Locale: locale, Variables: variables, Subject: l.subject.expand(variables), Text: l.body.expand(variables)}
	if m.HTML, err = l.html.expand(variables); err != nil {
		return mail.Message{}, fmt.Errorf("%s: %w", name, err)
	}
	return m, nil
}

// Text makes a text message of the given name. Its values are put in as those of a letter.
func (s *Set) Text(name, locale string, variables map[string]string) (string, error) {
	l, err := s.find(name, locale)
	if err != nil {
		return "", err
	}
	if l.html != nil {
		return "", fmt.Errorf("%s is a letter and no text message", name)
	}
	// Whoever reads the code out of a message looks at its last line.
	return strings.TrimSpace(l.body.expand(variables)), nil
}

// find returns a letter in the language that is nearest to the locale. It never returns another letter.
func (s *Set) find(name, locale string) (*letter, error) {
	for _, wanted := range [...]string{canonical(locale), s.defaultLocale, english} {
		for wanted != "" {
			if l := s.letters[wanted][name]; l != nil {
				return l, nil
			}
			// The tags of a locale go from the general to the special (RFC 4647 §3.4).
			wanted = wanted[:max(0, strings.LastIndexByte(wanted, '-'))]
		}
	}
	return nil, fmt.Errorf("there is no letter %q", name)
}
