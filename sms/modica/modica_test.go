package modica_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth/sms"
	"github.com/ostiary/auth/sms/modica"
)

const (
	user     = "ostiary"
	password = "plum-tractor-eleven"
	number   = "+6421123456"
)

func message() sms.Message {
	return sms.Message{To: number, Text: "Your code is 123456, <so> & \"that\".", Code: "123456", Locale: "en"}
}

// send sends a message to a gateway that answers with status.
func send(t *testing.T, m sms.Message, status int) (body map[string]any, err error) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, p, _ := r.BasicAuth()
		if r.Method != "POST" || r.URL.String() != "/rest/sms/v2/messages" || u != user || p != password ||
			r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"message": "`+number+` 123456"}`)
	}))
	defer s.Close()
	sender, err := modica.New(modica.Config{Username: user, Password: password, BaseURL: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	return body, sender.Send(t.Context(), m)
}

func TestSendAsksForAMessage(t *testing.T) {
	t.Parallel()
	body, err := send(t, message(), http.StatusAccepted)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"destination": number, "content": message().Text}, body); diff != "" {
		t.Error(diff)
	}
}

// SM-05
func TestEveryOtherStatusIsAFailure(t *testing.T) {
	t.Parallel()
	for status, final := range map[int]bool{
		200: false, 201: false, 204: false, 302: false, 400: true, 401: false, 403: false, 404: false, 429: false, 500: false, 503: false,
	} {
		_, err := send(t, message(), status)
		var e *sms.Error
		if !errors.As(err, &e) || e.Status != status || e.Provider != "modica" || e.Permanent() != final {
			t.Errorf("%d: %v", status, err)
			continue
		}
		for _, secret := range []string{number, "123456", password} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error shows %q: %v", secret, err)
			}
		}
	}
}

func TestNumberIsInternational(t *testing.T) {
	t.Parallel()
	for _, to := range []string{"021123456", "6421123456", "+64 21 123 456", ""} {
		m := message()
		m.To = to
		body, err := send(t, m, http.StatusAccepted)
		var e *sms.Error
		if !errors.As(err, &e) || !e.Permanent() || body != nil {
			t.Errorf("%q: %v, sent %v", to, err, body)
		}
	}
}

func TestMistakesAreToldAtOnce(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		config modica.Config
		want   int
	}{
		"nothing":               {modica.Config{}, 2},
		"a user with a colon":   {modica.Config{Username: "a:b", Password: password}, 1},
		"a wrong place":         {modica.Config{Username: user, Password: password, BaseURL: "http://evil.test"}, 1},
		"a timeout in the past": {modica.Config{Username: user, Password: password, Timeout: -1}, 1},
	} {
		_, err := modica.New(tt.config)
		if err == nil || len(strings.Split(err.Error(), "\n")) != tt.want || strings.Contains(err.Error(), password) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPasswordIsNotPrinted(t *testing.T) {
	t.Parallel()
	c := modica.Config{Username: user, Password: password}
	s, err := modica.New(c)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, x := range []any{c, &c, s, struct{ S *modica.Sender }{s}, struct{ s *modica.Sender }{s}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&b, verb+"\n", x)
		}
		slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "v", x)
		slog.New(slog.NewTextHandler(&b, nil)).Info("x", "v", x)
	}
	for _, shown := range []string{password, fmt.Sprintf("%x", password), strings.Trim(fmt.Sprint([]byte(password)), "[]")} {
		if strings.Contains(b.String(), shown) {
			t.Errorf("shows %s", shown)
		}
	}
}
