package ceremony

import (
	"errors"
	"strings"

	"github.com/go-webauthn/webauthn/protocol"
)

// refusal is an error of the library with all that it has to say to an operator. Its text can repeat parts of the answer, in
// printable ASCII and at a bounded length.
type refusal struct {
	text  string
	cause error
}

func (r *refusal) Error() string { return r.text }
func (r *refusal) Unwrap() error { return r.cause }

// refusedBy wraps an error of the library. A *protocol.Error tells little by itself: it has details and further information
// beside its text.
func refusedBy(err error) error {
	var parts []string
	var e *protocol.Error
	if errors.As(err, &e) {
		parts = []string{e.Type, e.Details, e.DevInfo}
		if e.Err != nil {
			parts = append(parts, e.Err.Error())
		}
	} else {
		parts = []string{err.Error()}
	}
	var text []string
	for _, part := range parts {
		if part != "" {
			text = append(text, printable(part))
		}
	}
	return &refusal{text: "ceremony: " + strings.Join(text, ": "), cause: err}
}

// printable returns text for a log: its first 400 bytes, anything but printable ASCII replaced.
func printable(text string) string {
	const most = 400
	text, rest := text[:min(len(text), most)], text[min(len(text), most):]
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
	if rest != "" {
		text += "..."
	}
	return text
}
