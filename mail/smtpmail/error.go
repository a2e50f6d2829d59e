package smtpmail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/textproto"
	"os"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The stages of an attempt, in their order.
const (
	stageLetter    = "letter"    // the letter itself: nothing was sent
	stageConnect   = "connect"   // up to the server's greeting
	stageHello     = "hello"     // EHLO
	stageTLS       = "tls"       // the handshake, or STARTTLS
	stageAuth      = "auth"      // AUTH
	stageSender    = "sender"    // MAIL FROM
	stageRecipient = "recipient" // RCPT TO
	stageContent   = "content"   // DATA, and the letter
)

// Error is why a letter was not delivered. No error of this package shows the password, the recipient or anything of the
// letter: Reply is left empty at the stages at which a server could repeat credentials or the letter.
type Error struct {
	// Stage is how far the attempt came: "letter" (the letter itself; nothing was sent), "connect" (up to the server's greeting),
	// "hello" (EHLO), "tls" (the handshake, or STARTTLS), "auth" (AUTH), "sender" (MAIL FROM), "recipient" (RCPT TO) or "content"
	// (DATA, and the letter).
	Stage  string
	Code   int    // the reply code, RFC 5321 §4.2; 0 if there was no reply
	Status string // the enhanced status code, RFC 3463, such as "5.1.1"; empty if the reply had none
	Reply  string // what the server said before the letter was sent, on one line, without addresses and of bounded length
	cause  error
	sent   bool // the server may have the letter
}

// Error implements error.
func (e *Error) Error() string {
	parts := []string{"smtpmail: " + e.Stage}
	if e.Code != 0 {
		parts = append(parts, strings.TrimSpace(fmt.Sprintf("the server said %d %s", e.Code, e.Status)))
	}
	if e.Reply != "" {
		parts = append(parts, e.Reply)
	}
	if e.cause != nil {
		parts = append(parts, e.cause.Error())
	}
	return strings.Join(parts, ": ")
}

// Unwrap returns the cause where it is not a reply: among others [context.DeadlineExceeded] and [context.Canceled] where
// the context ended the attempt, and errors of package crypto/tls and net.
func (e *Error) Unwrap() error { return e.cause }

// Permanent reports whether the same letter would be refused again: it cannot be sent by this package at all, or the
// server has refused its recipient or its content for good with a reply 55z (RFC 5321 §4.2.1). A refusal by policy,
// status 5.7.z, is not permanent, and neither is one at any other stage: both are about the server that sends, whose
// operator can mend it.
func (e *Error) Permanent() bool {
	switch e.Stage {
	case stageLetter:
		return true
	case stageRecipient, stageContent:
		return e.Code/10 == 55 && !strings.HasPrefix(e.Status, "5.7.")
	default:
		return false
	}
}

// isBroken reports whether the connection is of no more use: there was no reply, or none that belongs there, or the server
// has taken its leave.
func (e *Error) isBroken() bool { return e.Code < 400 || e.Code == 421 }

// Causes of an Error that are found here and not by the server.
var (
	errNoSMTP      = errors.New("the server does not speak SMTP")
	errTooLong     = errors.New("the server's reply is too long")
	errUnasked     = errors.New("the server spoke out of turn")
	errNoTLS       = errors.New("the server does not offer STARTTLS")
	errNoAuth      = errors.New("the server does not offer the authentication method")
	errExchange    = errors.New("the server did not follow the authentication method")
	errUnproven    = errors.New("the server did not prove that it knows the password")
	errClosed      = errors.New("the sender is closed")
	errNoRecipient = errors.New("the recipient is not an address in ASCII, or in an internationalised domain")
	errNoContent   = errors.New("there is neither a text nor an HTML body")
	errNoID        = errors.New("the ID is not one of letters, digits and -._~")
)

// failed makes an Error of what a step of the protocol returned.
func failed(ctx context.Context, stage string, err error) *Error {
	e := &Error{Stage: stage}
	var (
		reply    *textproto.Error
		protocol textproto.ProtocolError
	)
	switch {
	case errors.As(err, &reply):
		e.Code = reply.Code
		e.Status = status.FindString(reply.Msg)
		if stage != stageAuth && stage != stageContent {
			e.Reply = presentable(strings.TrimPrefix(reply.Msg, e.Status))
		}
	case ctx.Err() != nil:
		e.cause = context.Cause(ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		e.cause = context.DeadlineExceeded // the connection's deadline is that of the context, and may be the first to pass
	case errors.As(err, &protocol):
		e.cause = errNoSMTP
	case errors.Is(err, io.EOF):
		e.cause = io.ErrUnexpectedEOF
	default:
		e.cause = err
	}
	return e
}

var status = regexp.MustCompile(`^[245]\.[0-9]{1,3}\.[0-9]{1,3}\b`)

const maxReplyShown = 200

// presentable makes a reply fit for a log: one line, short, and nobody's address in it.
func presentable(reply string) string {
	words := strings.FieldsFunc(strings.ToValidUTF8(reply, "\ufffd"), func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r)
	})
	for i, w := range words {
		if strings.Contains(w, "@") {
			words[i] = "<address>"
		}
	}
	s := strings.Join(words, " ")
	if len(s) > maxReplyShown {
		cut := maxReplyShown
		for !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "…"
	}
	return s
}
