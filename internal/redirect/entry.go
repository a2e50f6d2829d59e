package redirect

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// entry is one compiled pattern. Scheme and port are literal.
type entry struct {
	scheme string
	host   glob
	port   string
	path   glob
}

func (e *entry) match(at location) bool {
	return e.scheme == at.scheme && e.port == at.port && e.host.match(at.host) && e.path.match(at.path)
}

// literalEntry allows a location and everything below it.
func literalEntry(at location) entry {
	return entry{
		scheme: at.scheme,
		host:   glob{prefix: at.host},
		port:   at.port,
		path:   glob{prefix: strings.TrimSuffix(at.path, "/"), below: true},
	}
}

// compileEntry returns the patterns of an entry, one for each choice of alternatives.
func compileEntry(text string) ([]entry, error) {
	switch {
	case text == "":
		return nil, errEmpty
	case len(text) > MaxLength:
		return nil, errLong
	case !visible(text):
		return nil, errCharacter
	case strings.Contains(text, "#"):
		return nil, errors.New("fragments are not compared")
	}
	texts, err := expand(text)
	if err != nil {
		return nil, err
	}
	entries := make([]entry, len(texts))
	for i, text := range texts {
		if entries[i], err = compilePattern(text); err != nil {
			return nil, err
		}
	}
	return entries, nil
}

func compilePattern(text string) (entry, error) {
	scheme, authority, path, err := splitAuthority(text, "/")
	if err != nil {
		return entry{}, err
	}
	e := entry{scheme: strings.ToLower(scheme)}
	if err := checkScheme(e.scheme); err != nil {
		return entry{}, err
	}
	host, port, err := splitPort(authority)
	if err != nil {
		return entry{}, err
	}
	if e.port = port; port == "" {
		e.port = defaultPort(e.scheme)
	}
	if e.host, err = compileHost(e.scheme, host); err != nil {
		return entry{}, err
	}
	if e.path, err = compilePath(path); err != nil {
		return entry{}, err
	}
	return e, nil
}

// checkScheme refuses the schemes of which a URL is itself a program or a document, or reaches the local machine. No entry can
// allow them.
func checkScheme(scheme string) error {
	switch scheme {
	case "javascript", "vbscript", "livescript", "mocha", "jscript", "data", "blob", "filesystem", "file", "about",
		"view-source", "jar", "mhtml", "intent", "content", "chrome", "resource", "res", "shell", "ms-its":
		return fmt.Errorf("scheme %s: can run code or read local data", scheme)
	}
	return nil
}

// compileHost compiles a host whose wildcards stay under one registrable domain.
func compileHost(scheme, host string) (glob, error) {
	if strings.Contains(host, ":") || !strings.ContainsAny(host, "*?[]") { // brackets with a colon are those of an address
		name, err := hostOf(scheme, host)
		return glob{prefix: name}, err
	}
	if strings.Contains(host, "**") {
		return glob{}, errors.New("a wildcard in a host stays inside one label")
	}
	labels := strings.Split(host, ".")
	fixed := len(labels) // index of the first of the labels after the last wildcard, of which there is one
	for !strings.ContainsAny(labels[fixed-1], "*?[]") {
		fixed--
	}
	for i, label := range labels {
		if isASCII(label) {
			continue
		}
		ascii, err := hostOf(scheme, label)
		if err != nil {
			return glob{}, err
		}
		labels[i] = ascii
	}
	under := lowerASCII(strings.Join(labels[fixed:], "."))
	// The last label is a name: with a number there, the host is an IPv4 address to browsers.
	if last := under[strings.LastIndexByte(under, '.')+1:]; last == "" || last[0] < 'a' {
		return glob{}, errors.New("a wildcard needs a domain name to its right")
	}
	// Whoever registers a name under a public suffix would match.
	if suffix, icann := publicsuffix.PublicSuffix(under); icann && suffix == under {
		return glob{}, fmt.Errorf("a wildcard directly under the public suffix %s", suffix)
	}
	pattern := strings.Join(labels, ".")
	if defaultPort(scheme) != "" {
		pattern = lowerASCII(pattern)
	}
	g, err := compileGlob(pattern)
	if err != nil {
		return glob{}, err
	}
	if _, err := hostOf(scheme, g.sample()); err != nil {
		return glob{}, err
	}
	return g, nil
}

// compilePath compiles a path that stands for itself and everything below it.
func compilePath(path string) (glob, error) {
	for _, suffix := range []string{"/**", "/*", "/"} {
		if trimmed, found := strings.CutSuffix(path, suffix); found {
			path = trimmed
			break
		}
	}
	if strings.HasSuffix(path, "/") {
		return glob{}, errPath // an empty segment
	}
	if _, after, _ := strings.Cut(path, "?"); strings.Contains(after, "=") {
		return glob{}, errors.New("queries are not compared")
	}
	// A target's path is compared decoded, so the entry's is decoded too. An encoded wildcard would turn into a real one.
	plain, err := url.PathUnescape(path)
	if err != nil {
		return glob{}, errPath
	}
	for _, c := range []string{"*", "?", "[", "]"} {
		if strings.Count(plain, c) != strings.Count(path, c) {
			return glob{}, errPath
		}
	}
	g, err := compileGlob(plain)
	if err != nil {
		return glob{}, err
	}
	if !plainPath(g.sample(), path) {
		return glob{}, errPath
	}
	g.below = true
	return g, nil
}

// maxAlternatives bounds what one entry expands to; nested braces multiply.
const maxAlternatives = 64

// expand writes an entry out without its {a,b} alternatives.
func expand(text string) ([]string, error) {
	open := strings.IndexByte(text, '{')
	if open < 0 {
		if strings.Contains(text, "}") {
			return nil, errors.New("} without {")
		}
		return []string{text}, nil
	}
	var (
		choices []string
		depth   int
		start   = open + 1
		end     int // behind the last brace, once that is found
	)
	for i := open; i < len(text) && end == 0; i++ {
		switch c := text[i]; {
		case c == '{':
			depth++
		case c == '}':
			depth--
			if depth == 0 {
				choices, end = append(choices, text[start:i]), i+1
			}
		case c == ',' && depth == 1:
			choices, start = append(choices, text[start:i]), i+1
		}
	}
	if end == 0 {
		return nil, errors.New("{ without }")
	}
	var out []string
	for _, choice := range choices {
		more, err := expand(text[:open] + choice + text[end:])
		if err != nil {
			return nil, err
		}
		if out = append(out, more...); len(out) > maxAlternatives {
			return nil, fmt.Errorf("more than %d alternatives", maxAlternatives)
		}
	}
	return out, nil
}
