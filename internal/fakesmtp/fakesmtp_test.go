package fakesmtp_test

import (
	"crypto/tls"
	"fmt"
	"net/smtp"
	"strings"
	"testing"

	"github.com/ostiary/auth/internal/fakesmtp"
)

// The standard library's client finds the server in order: what smtpmail is tested against is not made for it alone.
func TestStandardClientDeliversALetter(t *testing.T) {
	t.Parallel()
	const password = "open sesame"
	for _, implicit := range []bool{false, true} {
		for name, auth := range map[string]smtp.Auth{
			"PLAIN":    smtp.PlainAuth("", "ada", password, "127.0.0.1"),
			"CRAM-MD5": smtp.CRAMMD5Auth("ada", password),
		} {
			t.Run(fmt.Sprintf("%s, implicit TLS %v", name, implicit), func(t *testing.T) {
				t.Parallel()
				s := fakesmtp.Start(t, fakesmtp.Options{Implicit: implicit, User: "ada", Password: password})
				config := &tls.Config{RootCAs: s.Pool, ServerName: s.Host}
				c, err := dial(s, config, implicit)
				if err != nil {
					t.Fatal(err)
				}
				steps := []func() error{
					func() error { return c.Auth(auth) },
					func() error { return c.Mail("eve@example.test") },
					func() error { return c.Rcpt("bob@example.test") },
				}
				for i, step := range steps {
					if err := step(); err != nil {
						t.Fatalf("step %d: %v", i, err)
					}
				}
				w, err := c.Data()
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprint(w, "Subject: x\r\n\r\n.a dot\r\n..\r\n")
				if err := w.Close(); err != nil {
					t.Fatal(err)
				}
				if err := c.Quit(); err != nil {
					t.Fatal(err)
				}
				letters := s.Letters()
				if len(letters) != 1 || letters[0].Content != "Subject: x\r\n\r\n.a dot\r\n..\r\n" || letters[0].User != "ada" ||
					!letters[0].TLS || !strings.HasPrefix(letters[0].To, "<bob@example.test>") {
					t.Fatalf("letters %+v", letters)
				}
				if strings.Contains(s.Clear(), "AUTH") {
					t.Error("AUTH was sent in the clear")
				}
			})
		}
	}
}

func dial(s *fakesmtp.Server, config *tls.Config, implicit bool) (*smtp.Client, error) {
	address := fmt.Sprintf("%s:%d", s.Host, s.Port)
	if implicit {
		conn, err := tls.Dial("tcp", address, config)
		if err != nil {
			return nil, err
		}
		return smtp.NewClient(conn, s.Host)
	}
	c, err := smtp.Dial(address)
	if err != nil {
		return nil, err
	}
	return c, c.StartTLS(config)
}

func TestWrongPasswordIsRefused(t *testing.T) {
	t.Parallel()
	s := fakesmtp.Start(t, fakesmtp.Options{User: "ada", Password: "open sesame"})
	c, err := dial(s, &tls.Config{RootCAs: s.Pool, ServerName: s.Host}, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Auth(smtp.CRAMMD5Auth("ada", "open barley")); err == nil {
		t.Error("a wrong password was accepted")
	}
}
