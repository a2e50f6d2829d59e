package sms

import (
	"context"
	"io"
	"log/slog"
)

// Log is a [Sender] that writes messages into a log instead of sending them, one line of JSON each, with the number and
// the code. It is for development: anybody who reads the log can sign in as anybody. Make one with [NewLog].
type Log struct{ log *slog.Logger }

// NewLog returns a Log that writes to w, one line at a time.
func NewLog(w io.Writer) *Log { return &Log{slog.New(slog.NewJSONHandler(w, nil))} }

// Send implements [Sender].
func (l *Log) Send(ctx context.Context, m Message) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := m.Check(); err != nil {
		return &Error{Provider: "log", Final: true, Err: err}
	}
	l.log.LogAttrs(ctx, slog.LevelInfo, "text message",
		slog.String("to", m.To),
		slog.String("code", m.Code),
		slog.String("locale", m.Locale),
		slog.String("text", m.Text),
	)
	return nil
}
