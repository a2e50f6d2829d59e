package main

import (
	"context"
	"io"
	"log/slog"

	"github.com/ostiary/auth/mail"
)

// logSender writes letters into a log instead of sending them, one line of JSON each, with the link or the code that was
// meant for the recipient alone. It is for development, where nobody wants to run a mail server to try a sign-up.
type logSender struct{ log *slog.Logger }

func newLogSender(w io.Writer) mail.Sender {
	return logSender{slog.New(slog.NewJSONHandler(w, nil))}
}

// Send implements [mail.Sender].
func (s logSender) Send(ctx context.Context, m mail.Message) error {
	s.log.LogAttrs(ctx, slog.LevelInfo, "letter",
		slog.String("to", m.To),
		slog.String("template", m.Template),
		slog.String("locale", m.Locale),
		slog.String("subject", m.Subject),
		slog.String("link", m.Variables["link"]),
		slog.String("ticket", m.Variables["ticket"]),
	)
	return nil
}
