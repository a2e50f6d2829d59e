// Package sms says what a text message is and who can send one.
//
// There are two ways to prove that somebody reads the messages to a number. With a [Sender], the engine makes a code, keeps
// it, and has it delivered. With a [Verifier], a provider makes the code, delivers it and checks what the user types: the
// engine never knows it.
package sms

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ostiary/auth/internal/phone"
)

// Message is a text message to one number.
type Message struct {
	To   string // E.164: "+" and up to 15 digits
	Text string // what is delivered, the code included

	// Code and Locale say what Text was made from, such as "123456" and "en". They are for senders that keep the texts
	// elsewhere, such as a provider with templates of its own.
	Code   string
	Locale string
}

// Sender delivers text messages. Send returns nil when a provider has taken responsibility for the message. It must
// respect ctx and be safe for concurrent use; an error may be an [*Error].
//
// An error does not say that the message was not delivered, only that nobody knows. It is logged: it must not show the number
// or the text, as the error of an HTTP client does whose URL has them.
type Sender interface {
	Send(ctx context.Context, m Message) error
}

// Verifier proves numbers by codes of its own. It must respect ctx and be safe for concurrent use; errors may be an
// [*Error].
type Verifier interface {
	// Start sends a code to a number in E.164, in a language that is as near to locale as the provider has one. A code that
	// was sent before may be sent again.
	Start(ctx context.Context, to, locale string) error

	// Check reports whether code is the one that was sent to the number and has not been used. A right code is right once.
	// A code that is wrong, used, out of date, or for which too many others were tried, is false and no error.
	//
	// It says nothing of who asked for the code: the caller has to bind that to the number, and to limit the attempts.
	Check(ctx context.Context, to, code string) (bool, error)
}

// Error is a provider's failure to do what it was asked. It shows no number, no code, no credentials and nothing of what
// the provider wrote but its codes.
type Error struct {
	Provider string // such as "twilio"
	Status   int    // the HTTP status of the answer; 0 if there was none
	Code     string // the provider's own code for the failure; empty if it gave none
	Final    bool   // it is the number's fault, or the message's
	Err      error  // the cause where there is one, such as [context.DeadlineExceeded]
}

// Error implements error.
func (e *Error) Error() string {
	parts := []string{"sms: " + e.Provider}
	if e.Status != 0 {
		parts = append(parts, fmt.Sprintf("status %d", e.Status))
	}
	if e.Code != "" {
		parts = append(parts, "code "+e.Code)
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	return strings.Join(parts, ": ")
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Permanent reports whether the same message would fail again: it is Final.
func (e *Error) Permanent() bool { return e.Final }

// Errors of [Message.Check].
var (
	ErrNumber = errors.New("the number is not in the form of E.164")
	ErrText   = errors.New("there is no text, or too much of it")
)

// MaxText is the length of a text in bytes that every provider takes: ten parts in the longest encoding.
const MaxText = 1340

// Check returns [ErrNumber] or [ErrText] if no provider would take the message.
func (m Message) Check() error {
	if err := CheckNumber(m.To); err != nil {
		return err
	}
	if m.Text == "" || len(m.Text) > MaxText {
		return ErrText
	}
	return nil
}

// CheckNumber returns [ErrNumber] if number is not "+" and digits in the form of E.164, without separators.
func CheckNumber(number string) error {
	if canonical, err := phone.Parse(number); err != nil || canonical != number {
		return ErrNumber
	}
	return nil
}
