package smtpmail_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/ostiary/auth/mail"
	"github.com/ostiary/auth/mail/smtpmail"
)

// A submission service needs no more than this: STARTTLS on port 587 is the default, and required.
func ExampleNew() {
	sender, err := smtpmail.New(smtpmail.Config{
		Host:     "smtp.example.com",
		Username: "ostiary",
		Password: os.Getenv("SMTP_PASSWORD"),
		From:     "Example <noreply@example.com>",
	})
	if err != nil {
		fmt.Println(err) // every mistake in the configuration
		return
	}
	defer sender.Close()
	_ = sender // for auth.Config.Mail
	// Output:
	// smtpmail: Username and Password go together: set both or none
}

// In development, mail is caught by a program on the same host, which shows it and has its headers tested.
func ExampleConfig_development() {
	sender, err := smtpmail.New(smtpmail.Config{
		Host: "localhost", Port: 1025, TLS: smtpmail.NoTLS,
		From:    "noreply@example.com",
		Headers: smtpmail.DocumentedHeaders(),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer sender.Close()
	fmt.Println(smtpmail.DocumentedHeaders())
	// Output:
	// [X-Email-Template X-Link X-Redirect-To X-Ticket]
}

// An error says whether another attempt could succeed.
func ExampleError() {
	sender, err := smtpmail.New(smtpmail.Config{Host: "smtp.example.com", From: "noreply@example.com"})
	if err != nil {
		log.Fatal(err)
	}
	defer sender.Close()
	err = sender.Send(context.Background(), mail.Message{To: "ada@example.com, eve@example.com", Subject: "Hello", Text: "Hello"})
	var e *smtpmail.Error
	if errors.As(err, &e) {
		fmt.Println(e.Stage, e.Permanent())
	}
	// Output:
	// letter true
}
