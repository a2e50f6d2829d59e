package mail_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth/mail"
)

// In development, links and codes are read in the log of the program.
func ExampleNewLog() {
	var log bytes.Buffer
	sender := mail.NewLog(&log) // os.Stdout, say
	err := sender.Send(context.Background(), mail.Message{To: "ada@example.com", Subject: "Sign in", Variables: map[string]string{"ticket": "123456"}})
	fmt.Println(strings.Contains(log.String(), `"ticket":"123456"`), err)
	// Output: true <nil>
}

func TestALoggedLetterIsALineWithItsSecret(t *testing.T) {
	t.Parallel()
	var w bytes.Buffer
	l := mail.NewLog(&w)
	letter := mail.Message{
		To: "ada@example.com", Template: "email-verify", Locale: "en", Subject: "Two\nlines", Text: "…",
		Variables: map[string]string{"link": "https://example.com/verify?a=1&b=2", "ticket": "verifyEmail:x"},
	}
	if err := l.Send(t.Context(), letter); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(w.String(), "\n"); n != 1 {
		t.Errorf("%d lines", n)
	}
	var got map[string]string
	if err := json.Unmarshal(w.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	delete(got, "time")
	want := map[string]string{
		"level": "INFO", "msg": "letter", "to": "ada@example.com", "template": "email-verify", "locale": "en", "subject": "Two\nlines",
		"link": "https://example.com/verify?a=1&b=2", "ticket": "verifyEmail:x",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(w.String(), "a=1&b=2") {
		t.Error("the link cannot be copied")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Send(ended, letter); !errors.Is(err, context.Canceled) {
		t.Errorf("after its context has ended: %v", err)
	}
}
