// Package mail says what a letter is and who can send one.
package mail

import (
	"context"
	"errors"
)

// Message is a letter to one recipient.
type Message struct {
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
type Sender interface {
	Send(ctx context.Context, m Message) error
}

// IsPermanent reports whether err says that sending the same again is pointless: whether an error in its chain has a
// method Permanent() bool that returns true.
func IsPermanent(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}
