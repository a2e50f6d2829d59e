package sms_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth/sms"
)

func message() sms.Message {
	return sms.Message{To: "+41791234567", Text: "Your code is 123456.", Code: "123456", Locale: "en"}
}

func TestCheckFindsWhatNoProviderTakes(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*sms.Message)
		want   error
	}{
		"a message":              {func(*sms.Message) {}, nil},
		"the longest text":       {func(m *sms.Message) { m.Text = strings.Repeat("x", sms.MaxText) }, nil},
		"too long a text":        {func(m *sms.Message) { m.Text = strings.Repeat("x", sms.MaxText+1) }, sms.ErrText},
		"no text":                {func(m *sms.Message) { m.Text = "" }, sms.ErrText},
		"no number":              {func(m *sms.Message) { m.To = "" }, sms.ErrNumber},
		"a number with blanks":   {func(m *sms.Message) { m.To = "+41 79 123 45 67" }, sms.ErrNumber},
		"a number without +":     {func(m *sms.Message) { m.To = "41791234567" }, sms.ErrNumber},
		"two numbers":            {func(m *sms.Message) { m.To = "+41791234567,+41791234568" }, sms.ErrNumber},
		"a number and a command": {func(m *sms.Message) { m.To = "+41791234567&Body=x" }, sms.ErrNumber},
		"a line end":             {func(m *sms.Message) { m.To = "+41791234567\n" }, sms.ErrNumber},
		"another channel":        {func(m *sms.Message) { m.To = "whatsapp:+41791234567" }, sms.ErrNumber},
	} {
		m := message()
		tt.change(&m)
		if err := m.Check(); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

func TestErrorSaysWhatIsKnown(t *testing.T) {
	t.Parallel()
	for want, e := range map[string]*sms.Error{
		"sms: twilio: status 400: code 21211":              {Provider: "twilio", Status: 400, Code: "21211", Final: true},
		"sms: modica: context deadline exceeded":           {Provider: "modica", Err: context.DeadlineExceeded},
		"sms: modica: status 503":                          {Provider: "modica", Status: 503},
		"sms: log: the number is not in the form of E.164": {Provider: "log", Final: true, Err: sms.ErrNumber},
	} {
		if e.Error() != want || e.Permanent() != e.Final || !errors.Is(e, e.Err) && e.Err != nil {
			t.Errorf("%q, permanent %v", e, e.Permanent())
		}
	}
}

func TestLogWritesOneLineForEachMessage(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	l := sms.NewLog(&b)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if err := l.Send(t.Context(), message()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	if len(lines) != 20 {
		t.Fatalf("%d lines", len(lines))
	}
	want := map[string]any{"level": "INFO", "msg": "text message", "to": "+41791234567", "code": "123456", "locale": "en", "text": "Your code is 123456."}
	for _, line := range lines {
		var got map[string]any
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatal(err)
		}
		delete(got, "time")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	}
}

func TestLogRefusesWhatAProviderWould(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	l, m := sms.NewLog(&b), message()
	m.To = "0791234567"
	var e *sms.Error
	if err := l.Send(t.Context(), m); !errors.As(err, &e) || !e.Permanent() {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Send(ctx, message()); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if b.Len() != 0 {
		t.Errorf("logged %q", b.String())
	}
}
