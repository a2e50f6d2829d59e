module github.com/ostiary/auth/mail/smtpmail

go 1.26.0

require (
	github.com/ostiary/auth v0.0.0
	github.com/wneessen/go-mail v0.8.1
)

require (
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)

replace github.com/ostiary/auth => ../..
