package main

import (
	"io"
	"strings"

	"github.com/ostiary/auth/mail"
	"github.com/ostiary/auth/mail/postmark"
	"github.com/ostiary/auth/mail/smtpmail"
)

// mailSender is what the environment says of mail: nil if it says nothing.
func mailSender(e *environment, w io.Writer) mail.Sender {
	host := e.text("AUTH_SMTP_HOST", "")
	c := smtpmail.Config{
		Host: host, Username: e.text("AUTH_SMTP_USER", ""), Password: e.text("AUTH_SMTP_PASS", ""), From: e.text("AUTH_SMTP_SENDER", ""),
	}
	c.Port = 587
	if e.flag("AUTH_SMTP_SECURE", false) {
		c.Port, c.TLS = 465, smtpmail.ImplicitTLS
	}
	c.Port = e.number("AUTH_SMTP_PORT", c.Port, 1, 65535)
	switch tls := e.text("AUTH_SMTP_TLS", ""); {
	case tls == "none" && c.TLS == smtpmail.StartTLS:
		c.TLS = smtpmail.NoTLS
	case tls != "":
		e.wrong("AUTH_SMTP_TLS", "must be none or not set, and not set with AUTH_SMTP_SECURE")
	}
	methods := map[string]smtpmail.AuthMethod{
		"": smtpmail.AuthAuto, "PLAIN": smtpmail.AuthPlain, "LOGIN": smtpmail.AuthLogin, "CRAM-MD5": smtpmail.AuthCRAMMD5,
		"SCRAM-SHA-1": smtpmail.AuthSCRAMSHA1, "SCRAM-SHA-256": smtpmail.AuthSCRAMSHA256,
	}
	method := strings.ToUpper(e.text("AUTH_SMTP_AUTH_METHOD", ""))
	if c.Auth = methods[method]; method != "" && c.Auth == smtpmail.AuthAuto {
		e.wrong("AUTH_SMTP_AUTH_METHOD", "%q is not one of PLAIN, LOGIN, CRAM-MD5, SCRAM-SHA-1 and SCRAM-SHA-256", method)
	}
	if e.flag("AUTH_SMTP_HEADERS", false) {
		c.Headers = smtpmail.DocumentedHeaders()
	}
	if x := e.text("AUTH_SMTP_X_SMTPAPI_HEADER", ""); x != "" {
		c.ExtraHeaders = map[string]string{"X-SMTPAPI": x}
	}
	sender, err := mail.Sender(nil), error(nil)
	switch logged := e.flag("AUTH_MAIL_LOG", false); {
	case host == "" && !logged:
		return nil
	case host != "" && logged:
		e.wrong("AUTH_MAIL_LOG", "is true, and AUTH_SMTP_HOST is set: letters are either logged or sent")
	case host == "postmark":
		sender, err = postmark.New(postmark.Config{Token: c.Password, From: c.From, Templates: true})
	case host != "":
		sender, err = smtpmail.New(c)
	}
	if err != nil {
		e.wrong("AUTH_SMTP_HOST", "%v", err)
	}
	if sender == nil || err != nil {
		sender = mail.NewLog(w) // with a mistake, only to hear what is wrong with the rest
	}
	return sender
}
