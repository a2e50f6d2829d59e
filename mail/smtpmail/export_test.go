package smtpmail

import "github.com/ostiary/auth/mail"

// Compose returns what Send would put into the envelope and send.
func (s *Sender) Compose(m mail.Message) (recipient string, content []byte, err error) {
	return s.compose(m)
}
