package smtpmail

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"github.com/wneessen/go-mail/smtp"
)

// preference is the order in which AuthAuto chooses.
var preference = []AuthMethod{AuthSCRAMSHA256, AuthSCRAMSHA1, AuthPlain, AuthLogin, AuthCRAMMD5}

// showsPassword reports whether a method sends the password itself.
func showsPassword(m AuthMethod) bool { return m == AuthPlain || m == AuthLogin }

func (c *session) authenticate(ctx context.Context, config *Config) *Error {
	_, list := c.client.Extension("AUTH")
	var offered []AuthMethod
	for name := range strings.FieldsSeq(strings.ToUpper(list)) {
		offered = append(offered, AuthMethod(name))
	}
	clear := config.TLS == NoTLS && !isLocal(config.Host)
	i := slices.IndexFunc(preference, func(m AuthMethod) bool {
		return (config.Auth == AuthAuto || config.Auth == m) && slices.Contains(offered, m) && !(clear && showsPassword(m))
	})
	if i < 0 {
		return &Error{Stage: stageAuth, cause: errNoAuth}
	}
	var method smtp.Auth
	switch preference[i] {
	case AuthSCRAMSHA256:
		method = &scram{Auth: smtp.ScramSHA256Auth(config.Username, config.Password)}
	case AuthSCRAMSHA1:
		method = &scram{Auth: smtp.ScramSHA1Auth(config.Username, config.Password)}
	case AuthPlain:
		method = smtp.PlainAuth("", config.Username, config.Password, config.Host, false)
	case AuthLogin:
		method = smtp.LoginAuth(config.Username, config.Password, config.Host, false)
	case AuthCRAMMD5:
		method = smtp.CRAMMD5Auth(config.Username, config.Password)
	}
	return c.step(ctx, stageAuth, func() error { return mute(c.client.Auth(method)) })
}

// mute leaves of an error of an authentication what is known to be harmless. The text of others may quote the server,
// and what a server says may repeat what it was told.
func mute(err error) error {
	var (
		reply   *textproto.Error
		network net.Error
	)
	switch {
	case err == nil, errors.As(err, &reply), errors.As(err, &network), errors.Is(err, io.EOF),
		errors.Is(err, errTooLong), errors.Is(err, errUnproven):
		return err
	default:
		return errExchange
	}
}

// The number of iterations that a SCRAM server may ask for. Fewer make the password easy to guess for whoever listens
// (RFC 7677 §4); more than a second of work serves nobody.
const (
	minIterations = 4096
	maxIterations = 2_000_000
)

// scram holds a SCRAM exchange to its order and its server to its proof. The wrapped mechanism computes and compares.
type scram struct {
	smtp.Auth
	step int
}

// Next implements [smtp.Auth]. The server sends: nothing; nonce, salt and iterations; its proof; and that all is well.
func (a *scram) Next(fromServer []byte, more bool) ([]byte, error) {
	step := a.step
	a.step++
	switch {
	case step == 0 && more && len(fromServer) == 0:
	case step == 1 && more && bytes.HasPrefix(fromServer, []byte("r=")):
		if n := iterations(fromServer); n < minIterations || n > maxIterations {
			return nil, errExchange
		}
	case step == 2 && more && bytes.HasPrefix(fromServer, []byte("v=")):
	case step == 3 && !more:
		return nil, nil
	case !more:
		// Whoever has intercepted the connection could say that all is well.
		return nil, errUnproven
	default:
		return nil, errExchange
	}
	return a.Auth.Next(fromServer, more)
}

// iterations returns the iteration count of a server-first-message (RFC 5802 §7), or 0.
func iterations(message []byte) int {
	fields := strings.Split(string(message), ",")
	if len(fields) < 3 || !strings.HasPrefix(fields[2], "i=") {
		return 0
	}
	n, err := strconv.Atoi(fields[2][2:])
	if err != nil {
		return 0
	}
	return n
}
