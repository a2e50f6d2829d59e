package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"sync"
)

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// What can become of a mutant.
const (
	killed     = "killed"
	survived   = "survived"    // every test that reaches it passes
	notCovered = "not covered" // no test reaches it, or none to which it makes a difference
)

// A verdict is what became of a mutant of a function with a certain source.
type verdict struct {
	Hash   string
	Result string
	By     string `json:",omitempty"` // the test that failed, or "timeout"
}

// A trace is what a test has shown when it ran alone, without a mutant.
type trace struct {
	Seconds float64
	Reached []int
}

// A testName is a test, an example or a fuzz target with its corpus.
type testName struct{ Pkg, Name string }

// A record is a line of the state file. A later one replaces an earlier one of the same subject.
type record struct {
	Key     *key      `json:",omitempty"`
	Verdict *verdict  `json:",omitempty"`
	Sources string    `json:",omitempty"` // of the mutated package and of the tests: a trace holds until one of them changes
	Test    *testName `json:",omitempty"`
	Trace   *trace    `json:",omitempty"`
}

// A traceKey says of which test, and of which state of the sources, a trace is.
type traceKey struct {
	sources string
	test    testName
}

// A state remembers verdicts and traces in a file, so that a run goes on where another stopped.
type state struct {
	mu       sync.Mutex
	file     *os.File // nil to remember nothing
	verdicts map[key]verdict
	traces   map[traceKey]trace
}

func openState(name string) (*state, error) {
	s := &state{verdicts: map[key]verdict{}, traces: map[traceKey]trace{}}
	if name == "" {
		return s, nil
	}
	old, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	whole := bytes.LastIndexByte(old, '\n') + 1 // what follows was cut off by the end of a run
	for d := json.NewDecoder(bytes.NewReader(old[:whole])); ; {
		var r record
		if err := d.Decode(&r); err == io.EOF {
			break
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		s.take(r)
	}
	if s.file, err = os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o666); err != nil {
		return nil, err
	}
	if err = s.file.Truncate(int64(whole)); err == nil {
		_, err = s.file.Seek(0, io.SeekEnd)
	}
	return s, err
}

func (s *state) take(r record) {
	switch {
	case r.Key != nil && r.Verdict != nil:
		s.verdicts[*r.Key] = *r.Verdict
	case r.Test != nil && r.Trace != nil:
		s.traces[traceKey{r.Sources, *r.Test}] = *r.Trace
	}
}

func (s *state) add(r record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.take(r)
	if s.file == nil {
		return nil
	}
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = s.file.Write(append(line, '\n'))
	return err
}

func (s *state) verdict(m mutant) (verdict, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.verdicts[m.key]
	return v, ok && v.Hash == m.hash
}

func (s *state) trace(k traceKey) (trace, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.traces[k]
	return t, ok
}

// An explanation is why mutants may survive.
type explanation struct {
	key    string         // as it stands in the file
	match  *regexp.Regexp // nil if the key is that of one mutant
	reason string
}

// of reports whether a mutant is meant.
func (e *explanation) of(k key) bool {
	if e.match != nil {
		return e.match.MatchString(k.String())
	}
	return e.key == k.String()
}

// explanations reads the file of the mutants that may survive. An entry is a line with a key, as it is printed, or with a
// regular expression between slashes, and the reason in the indented lines below. Empty lines and those that begin with #
// are left out.
func explanations(name string) ([]*explanation, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var all []*explanation
	seen := map[string]bool{}
	for n, line := range strings.Split(string(b), "\n") {
		text := strings.TrimSpace(line)
		switch {
		case text == "" || line[0] == '#':
		case line[0] == ' ' || line[0] == '\t':
			if len(all) == 0 {
				return nil, fmt.Errorf("%s:%d: a reason of nothing", name, n+1)
			}
			last := all[len(all)-1]
			last.reason = strings.TrimSpace(last.reason + " " + text)
		case seen[text]:
			return nil, fmt.Errorf("%s:%d: %s: explained twice", name, n+1, text)
		default:
			seen[text] = true
			e := &explanation{key: text}
			if len(text) > 2 && text[0] == '/' && text[len(text)-1] == '/' {
				if e.match, err = regexp.Compile(text[1 : len(text)-1]); err != nil {
					return nil, fmt.Errorf("%s:%d: %w", name, n+1, err)
				}
			}
			all = append(all, e)
		}
	}
	for _, e := range all {
		if e.reason == "" {
			return nil, fmt.Errorf("%s: %s: no reason", name, e.key)
		}
	}
	return all, nil
}
