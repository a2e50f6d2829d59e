package postmark_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth/mail"
	"github.com/ostiary/auth/mail/postmark"
)

const (
	token    = "00000000-plum-tractor-eleven-000000000000"
	ticket   = "verifyEmail:2f1c9a4e-77b0-4c55-9f0e-0b7c8a3d1e11"
	accepted = `{"To": "ada@example.com", "SubmittedAt": "2026-01-01T00:00:00Z", "MessageID": "0a129aee-e1cd-480d-b08d-4f48548ff48d", "ErrorCode": 0, "Message": "OK"}`
)

func letter() mail.Message {
	return mail.Message{
		To: "ada@example.com", Template: "email-verify", Locale: "en",
		Variables: map[string]string{"link": "https://auth.example.com/verify?ticket=" + ticket, "ticket": ticket},
		Subject:   "Verify your e-mail address", Text: "Follow this link: " + ticket, HTML: "<p>" + ticket + "</p>",
	}
}

// fake is Postmark, as far as it is needed. The bodies of requests go to the channel, of which there may be a hundred.
func fake(t *testing.T, path string, answer http.HandlerFunc) (base string, bodies chan map[string]any) {
	t.Helper()
	bodies = make(chan map[string]any, 100)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if r.Method != "POST" || r.URL.String() != path || r.Header.Get("X-Postmark-Server-Token") != token ||
			r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Accept") != "application/json" {
			t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
		}
		var body map[string]any
		if err := json.Unmarshal(b, &body); err != nil {
			t.Error(err)
		}
		bodies <- body
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL, bodies
}

func says(status int, answer string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}
}

func newSender(t *testing.T, c postmark.Config) *postmark.Sender {
	t.Helper()
	if c.Token == "" {
		c.Token = token
	}
	if c.From == "" {
		c.From = "Ostiary <noreply@example.org>"
	}
	s, err := postmark.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLetterIsSentAsItIs(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		config postmark.Config
		change func(*mail.Message)
		path   string
		want   map[string]any
	}{
		"text and HTML": {
			postmark.Config{},
			func(*mail.Message) {}, "/email",
			map[string]any{
				"From": `"Ostiary" <noreply@example.org>`, "To": "ada@example.com", "MessageStream": "outbound", "TrackOpens": false, "TrackLinks": "None",
				"Subject": "Verify your e-mail address", "TextBody": letter().Text, "HtmlBody": letter().HTML,
			},
		},
		"text alone, in a stream": {
			postmark.Config{Stream: "auth-mail", From: "noreply@example.org"},
			func(m *mail.Message) { m.HTML = ""; m.To = "ada@bücher.example" }, "/email",
			map[string]any{
				"From": "noreply@example.org", "To": "ada@xn--bcher-kva.example", "MessageStream": "auth-mail", "TrackOpens": false, "TrackLinks": "None",
				"Subject": "Verify your e-mail address", "TextBody": letter().Text,
			},
		},
		"a template": {
			postmark.Config{Templates: true},
			func(*mail.Message) {}, "/email/withTemplate",
			map[string]any{
				"From": `"Ostiary" <noreply@example.org>`, "To": "ada@example.com", "MessageStream": "outbound", "TrackOpens": false, "TrackLinks": "None",
				"TemplateAlias": "en.email-verify", "TemplateModel": map[string]any{"link": letter().Variables["link"], "ticket": ticket},
			},
		},
		"a letter with an ID": {
			postmark.Config{From: "noreply@bücher.example"},
			func(m *mail.Message) { m.ID = "2f1c9a4e-77b0"; m.HTML = "" }, "/email",
			map[string]any{
				"From": "noreply@xn--bcher-kva.example", "To": "ada@example.com", "MessageStream": "outbound", "TrackOpens": false, "TrackLinks": "None",
				"Subject": "Verify your e-mail address", "TextBody": letter().Text,
				"Headers": []any{
					map[string]any{"Name": "Message-ID", "Value": "<2f1c9a4e-77b0@xn--bcher-kva.example>"},
					map[string]any{"Name": "X-PM-KeepID", "Value": "true"},
				},
			},
		},
		"a template with an ID": {
			postmark.Config{Templates: true, From: "noreply@example.org"},
			func(m *mail.Message) { m.ID, m.Variables = "a", nil }, "/email/withTemplate",
			map[string]any{
				"From": "noreply@example.org", "To": "ada@example.com", "MessageStream": "outbound", "TrackOpens": false, "TrackLinks": "None",
				"TemplateAlias": "en.email-verify", "TemplateModel": map[string]any{},
				"Headers": []any{
					map[string]any{"Name": "Message-ID", "Value": "<a@example.org>"}, map[string]any{"Name": "X-PM-KeepID", "Value": "true"},
				},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base, bodies := fake(t, tt.path, says(200, accepted))
			tt.config.BaseURL = base
			m := letter()
			tt.change(&m)
			if err := newSender(t, tt.config).Send(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, <-bodies); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// RD-32: values are JSON strings, subjects are one line, and a recipient is one address.
func TestNoValueAddsToALetter(t *testing.T) {
	t.Parallel()
	base, bodies := fake(t, "/email", says(200, accepted))
	s := newSender(t, postmark.Config{BaseURL: base})
	for _, value := range []string{"x\r\nBcc: eve@evil.test", "x\u0085y", "x\u2028y\u2029", "x\x00y", `x", "Bcc": "eve@evil.test`, "x\xffy"} {
		m := letter()
		m.Subject, m.Text = "Hello "+value, value
		if err := s.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		body := <-bodies
		if subject := body["Subject"].(string); strings.ContainsAny(subject, "\r\n\x00\u0085\u2028\u2029") || len(body) != 8 {
			t.Errorf("%q: %v", value, body)
		}
	}
	for _, to := range []string{"", "ada", "Ada <ada@example.com>", "ada@example.com,eve@evil.test", "ada@example.com\r\n", "дмитрий@example.com"} {
		m := letter()
		m.To = to
		var e *postmark.Error
		if err := s.Send(t.Context(), m); !errors.As(err, &e) || !e.Permanent() || len(to) > 3 && strings.Contains(err.Error(), to) {
			t.Errorf("%q: %v", to, err)
		}
	}
	for _, id := range []string{"a>\r\nBcc: <eve@evil.test", "a@b", "a\n", " "} {
		m := letter()
		m.ID = id
		var e *postmark.Error
		if err := s.Send(t.Context(), m); !errors.As(err, &e) || !e.Permanent() {
			t.Errorf("ID %q: %v", id, err)
		}
	}
	if err := s.Send(t.Context(), mail.Message{To: "ada@example.com"}); err == nil {
		t.Error("an empty letter was sent")
	}
	if len(bodies) != 0 {
		t.Errorf("sent %v", <-bodies)
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status    int
		answer    string
		code      int
		permanent bool
	}{
		"an inactive recipient": {422, `{"ErrorCode": 406, "Message": "inactive: ada@example.com"}`, 406, true},
		"an invalid letter":     {422, `{"ErrorCode": 300, "Message": "Invalid 'To' address: 'ada@example.com'."}`, 300, true},
		"too large a letter":    {413, "", 0, true},
		"an unknown sender":     {422, `{"ErrorCode": 400, "Message": "x"}`, 400, false},
		"an account on hold":    {422, `{"ErrorCode": 412, "Message": "x"}`, 412, false},
		"an unknown template":   {422, `{"ErrorCode": 1101, "Message": "x"}`, 1101, false},
		"a wrong token":         {401, `{"ErrorCode": 10, "Message": "` + token + `"}`, 10, false},
		"too many requests":     {429, `{"ErrorCode": 429, "Message": "x"}`, 429, false},
		"a fault of Postmark's": {500, `{"ErrorCode": 300, "Message": "x"}`, 300, false},
		"maintenance":           {503, "<html>" + ticket + "</html>", 0, false},
		"HTML that looks well":  {200, "<html>" + ticket + "</html>", 0, false},
		"another's JSON":        {200, `{"ok": true}`, 0, false},
		"an error that is 200":  {200, `{"ErrorCode": 406, "Message": "x", "MessageID": "x"}`, 406, false},
		"nothing":               {200, "", 0, false},
		"a redirect":            {302, accepted, 0, false},
		"another success":       {202, accepted, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base, _ := fake(t, "/email", says(tt.status, tt.answer))
			err := newSender(t, postmark.Config{BaseURL: base}).Send(t.Context(), letter())
			var e *postmark.Error
			if !errors.As(err, &e) || e.Status != tt.status || e.Code != tt.code || e.Permanent() != tt.permanent {
				t.Fatalf("%#v", err)
			}
			for _, secret := range []string{token, ticket, "ada@example.com", "html"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error shows %q: %v", secret, err)
				}
			}
		})
	}
}

// W35: an answer that does not come or does not end is an error, in bounded time and memory.
func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer  http.HandlerFunc
		timeout time.Duration
		want    error
	}{
		"no answer": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 20 * time.Millisecond, context.DeadlineExceeded},
		"half an answer": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "{")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, 20 * time.Millisecond, context.DeadlineExceeded},
		"an answer without end": {func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(bytes.Repeat([]byte(" "), 1<<10)); err != nil {
					return
				}
			}
		}, time.Minute, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base, _ := fake(t, "/email", tt.answer)
			err := newSender(t, postmark.Config{BaseURL: base, Timeout: tt.timeout}).Send(t.Context(), letter())
			var e *postmark.Error
			if !errors.As(err, &e) || e.Permanent() || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestContextEndsARequest(t *testing.T) {
	t.Parallel()
	reason := errors.New("the service shuts down")
	ctx, cancel := context.WithCancelCause(t.Context())
	base, _ := fake(t, "/email", func(_ http.ResponseWriter, r *http.Request) {
		cancel(reason)
		<-r.Context().Done()
	})
	if err := newSender(t, postmark.Config{BaseURL: base}).Send(ctx, letter()); !errors.Is(err, reason) {
		t.Errorf("error %v", err)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s %s", r.Method, r.URL) }))
	defer elsewhere.Close()
	base, _ := fake(t, "/email", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	})
	for _, client := range []*http.Client{nil, {}} {
		if err := newSender(t, postmark.Config{BaseURL: base, HTTPClient: client}).Send(t.Context(), letter()); err == nil {
			t.Error("no error")
		}
	}
}

func TestMistakesAreToldAtOnce(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		config postmark.Config
		want   []string
	}{
		"nothing":            {postmark.Config{}, []string{"Token", "From"}},
		"a token of 2 lines": {postmark.Config{Token: token + "\r\nX: y", From: "a@example.org"}, []string{"Token"}},
		"a sender of two":    {postmark.Config{Token: token, From: "a@example.org, b@example.org"}, []string{"From"}},
		"a name of 2 lines":  {postmark.Config{Token: token, From: "=?utf-8?q?a=0D=0Ab?= <a@example.org>"}, []string{"From"}},
		"the rest": {
			postmark.Config{Token: token, From: "a@example.org", Stream: "Out Bound", BaseURL: "http://evil.test", Timeout: -1},
			[]string{"Stream", "BaseURL", "Timeout"},
		},
		"a URL with a user": {postmark.Config{Token: token, From: "a@example.org", BaseURL: "https://u@evil.test"}, []string{"BaseURL"}},
	} {
		_, err := postmark.New(tt.config)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		lines := strings.Split(err.Error(), "\n")
		if len(lines) != len(tt.want) {
			t.Errorf("%s: %q", name, lines)
			continue
		}
		for i, want := range tt.want {
			if !strings.HasPrefix(lines[i], "postmark: "+want) || strings.Contains(lines[i], token) {
				t.Errorf("%s: %q is not about %s", name, lines[i], want)
			}
		}
	}
}

func TestTokenIsNotPrinted(t *testing.T) {
	t.Parallel()
	c := postmark.Config{Token: token, From: "a@example.org"}
	s := newSender(t, c)
	var b strings.Builder
	for _, x := range []any{c, &c, s, struct{ S *postmark.Sender }{s}, struct{ s *postmark.Sender }{s}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&b, verb+"\n", x)
		}
		slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "v", x)
		slog.New(slog.NewTextHandler(&b, nil)).Info("x", "v", x)
	}
	for _, shown := range []string{token, fmt.Sprintf("%x", token), strings.Trim(fmt.Sprint([]byte(token)), "[]")} {
		if strings.Contains(b.String(), shown) {
			t.Errorf("shows %s", shown)
		}
	}
}

func Example() {
	sender, err := postmark.New(postmark.Config{
		Token: "00000000-0000-0000-0000-000000000000", // os.Getenv("POSTMARK_SERVER_TOKEN")
		From:  "Example <noreply@example.com>",
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(sender) // for auth.Config.Mail
	// Output: postmark.Sender
}

// roundTrip is a transport.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A letter was accepted only if Postmark says so, by its code and the id of the message; no error repeats what it says.
func FuzzAnswer(f *testing.F) {
	for _, answer := range []string{
		accepted, `{"ErrorCode":406,"Message":"inactive"}`, `{"ErrorCode":"0","MessageID":"x"}`, `{"ErrorCode":0}`, `{"MessageID":"x"}`, `{"ErrorCode":null,"MessageID":"x"}`, `[]`, `null`, ``,
		`{"ErrorCode":1e3}`, `{"ErrorCode":0,"MessageID":"x"`, `{"ErrorCode":300,"ErrorCode":0,"MessageID":"x"}`,
	} {
		f.Add(200, answer)
		f.Add(422, answer)
	}
	f.Fuzz(func(t *testing.T, status int, answer string) {
		s, err := postmark.New(postmark.Config{Token: token, From: "noreply@example.org", HTTPClient: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(answer)), Request: r}, nil
		})}})
		if err != nil {
			t.Fatal(err)
		}
		if err = s.Send(t.Context(), letter()); err != nil {
			var e *postmark.Error
			if !errors.As(err, &e) || len(err.Error()) > 200 || strings.Contains(err.Error(), token) {
				t.Fatalf("%d %q: %v", status, answer, err)
			}
			return
		}
		var said struct {
			ErrorCode *json.Number
			MessageID string
		}
		if status != 200 || json.Unmarshal([]byte(answer), &said) != nil || said.ErrorCode == nil || said.MessageID == "" || *said.ErrorCode != "0" && *said.ErrorCode != "-0" {
			t.Fatalf("%d %q is taken for accepted", status, answer)
		}
	})
}

// Whatever is in a letter, Postmark is told the same: one recipient, a subject on one line, and bodies as they are.
func FuzzLetter(f *testing.F) {
	for _, value := range []string{"plain", "a\r\nBcc: eve@evil.test", "\u2028", "\xff", "<script>", "\x00", "é\"\\"} {
		f.Add(value, value)
	}
	f.Fuzz(func(t *testing.T, value, to string) {
		var told map[string]any
		s, err := postmark.New(postmark.Config{Token: token, From: "noreply@example.org", HTTPClient: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			if err := json.NewDecoder(r.Body).Decode(&told); err != nil {
				t.Error(err)
			}
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(accepted)), Request: r}, nil
		})}})
		if err != nil {
			t.Fatal(err)
		}
		m := letter()
		m.Subject, m.Text, m.HTML, m.To = value, "T"+value, "H"+value, to
		if err := s.Send(t.Context(), m); err != nil && told != nil {
			t.Fatalf("%q: told %v, and %v", value, told, err)
		}
		m.To = "ada@example.com"
		if err := s.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		subject, _ := told["Subject"].(string)
		recipient, _ := told["To"].(string)
		valid := strings.ToValidUTF8(value, "\ufffd")
		if strings.ContainsAny(subject, "\r\n\u2028\u2029\x00") || strings.ContainsAny(recipient, ",;\r\n ") {
			t.Fatalf("to %q, subject %q", recipient, subject)
		}
		text, _ := told["TextBody"].(string)
		html, _ := told["HtmlBody"].(string)
		if utf8.ValidString(value) && (text != "T"+valid || html != "H"+valid) {
			t.Fatalf("%q became %q and %q", value, text, html)
		}
	})
}
