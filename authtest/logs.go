package authtest

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Logs remembers what was logged, at every level, for tests that look for what should not be there. Make one with
// [NewLogs]. It is safe for concurrent use.
type Logs struct {
	// Each record is written by both of the standard handlers, because they show different things of a value: one its
	// JSON, the other what fmt prints.
	buffer  *buffer
	handler slog.Handler
}

// NewLogs returns empty logs.
func NewLogs() *Logs {
	b := &buffer{}
	all := &slog.HandlerOptions{Level: slog.Level(-1 << 10)}
	return &Logs{b, slog.NewMultiHandler(slog.NewJSONHandler(b, all), slog.NewTextHandler(b, all))}
}

// Logger returns a logger that writes to the logs.
func (l *Logs) Logger() *slog.Logger { return slog.New(l.handler) }

// String returns all that was logged, each record once as a line of JSON and once as a line of text.
func (l *Logs) String() string { return l.buffer.String() }

// AssertAbsent fails the test for each of the secrets that is in the logs, as it is or as a logger might show it:
// quoted, or as bytes (see [Shows]). It shows the line. An empty secret, which a test that lost its secret would look for, fails the test too.
func (l *Logs) AssertAbsent(t testing.TB, secrets ...string) {
	t.Helper()
	logged := l.String()
	for i, secret := range secrets {
		if secret == "" {
			t.Errorf("authtest: secret %d to look for in the logs is empty", i)
			continue
		}
		for _, form := range spellings(secret) {
			if at := strings.Index(logged, form); at >= 0 {
				start := strings.LastIndexByte(logged[:at], '\n') + 1
				line, _, _ := strings.Cut(logged[start:], "\n")
				t.Errorf("authtest: secret %d is in the logs: %s", i, line)
				break
			}
		}
	}
}

// Shows reports whether there is a secret in a text: as it is, quoted, escaped for a URL, in hexadecimal, as a list of bytes, or in
// base64 of either alphabet, also as a part of something longer. It is false for an empty secret.
func Shows(text, secret string) bool {
	if secret == "" {
		return false
	}
	return slices.ContainsFunc(spellings(secret), func(form string) bool { return strings.Contains(text, form) })
}

// spellings are the forms in which a string, or the bytes of one, may be written.
func spellings(s string) []string {
	quoted := strconv.Quote(s)
	numbers := fmt.Sprint([]byte(s))
	forms := []string{
		s,
		quoted[1 : len(quoted)-1],
		hex.EncodeToString([]byte(s)),
		strings.ToUpper(hex.EncodeToString([]byte(s))),
		numbers[1 : len(numbers)-1],
		url.QueryEscape(s),
		url.PathEscape(s),
	}
	for _, alphabet := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		forms = append(forms, alphabet.EncodeToString([]byte(s)))
		// Within something longer it may begin at the second or third byte of a group, whose first characters are then others',
		// as are the last.
		for before := range 3 {
			whole := alphabet.EncodeToString(append(make([]byte, before), s...))
			from, to := (before*8+5)/6, (before+len(s))*8/6
			if part := whole[from:to]; len(part) >= 8 {
				forms = append(forms, part)
			}
		}
	}
	for _, escapeHTML := range []bool{false, true} {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(escapeHTML)
		if e.Encode(s) == nil {
			forms = append(forms, strings.TrimSuffix(b.String()[1:], "\"\n"))
		}
	}
	return forms
}

// buffer is a [bytes.Buffer] that several may use.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
