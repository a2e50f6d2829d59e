// Package mail says what a letter is and who can send one.
package mail

import (
	"context"
	"embed"
	"errors"
	"io/fs"
	"regexp"
)

//go:generate go run ./internal/lettergen
//go:embed templates
var templates embed.FS

// Templates returns the built-in texts of letters and text messages, for those who want to start from them: a folder for
// each locale (bg, cs, en, es and fr), and in it one for each letter. A copy of it, or of a part, that has been changed is
// what auth.Config.Templates takes.
func Templates() fs.FS {
	tree, err := fs.Sub(templates, "templates")
	if err != nil {
		panic(err) // the path is a constant
	}
	return tree
}

// Message is a letter to one recipient.
type Message struct {
	// ID is unique to the letter and the same for every attempt to send it, so that a recipient who gets it twice, because
	// the answer to the first attempt was lost, can tell. It is no secret. It consists of up to 100 letters, digits and
	// characters of "-._~", which stand for themselves in a URL, with no full stop at either end or next to another. Where it
	// is empty, each attempt gets an ID of its own.
	ID string

	To string // one address, without a display name

	// Template and Locale say which letter this is, such as "email-verify" and "en"; Variables what it is made from.
	// They are for senders that keep the texts elsewhere, such as a provider with templates of its own.
	Template  string
	Locale    string
	Variables map[string]string

	Subject string // one line
	Text    string // the letter as plain text, always present
	HTML    string // the same letter as HTML; empty where there is none
}

// Sender delivers letters. Send returns nil when somebody else has taken responsibility for the letter: a server has
// accepted it. It must respect ctx and be safe for concurrent use; an error is retried, unless it [IsPermanent].
// It is logged, and must show neither the address nor anything of the letter.
type Sender interface {
	Send(ctx context.Context, m Message) error
}

// IsID reports whether s can be the ID of a [Message]: senders put it into a header as it is.
func IsID(s string) bool { return len(s) <= 100 && messageID.MatchString(s) }

var messageID = regexp.MustCompile(`^[A-Za-z0-9_~-]+(\.[A-Za-z0-9_~-]+)*$`)

// IsPermanent reports whether err says that sending the same again is pointless: whether an error in its chain has a
// method Permanent() bool that returns true.
func IsPermanent(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}
