package webhook_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth/webhook"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

const body = `{"type":"signed-in","timestamp":"2026-01-02T03:04:00Z","data":{"id":"1","userId":"u","method":"password","more":1}}`

// secret makes a secret of n bytes that are all b.
func secret(t testing.TB, b byte, n int) webhook.Secret {
	t.Helper()
	s, err := webhook.ParseSecret("whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, n)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The example of the specification, whose signature is known.
func TestSignAndVerifyTheKnownExample(t *testing.T) {
	t.Parallel()
	s, err := webhook.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	const id, payload = "msg_p5jXN8AQM9LWM0D4loKWxJek", `{"test": 2432232314}`
	at := time.Unix(1614265330, 0)
	want := http.Header{
		webhook.HeaderID: {id}, webhook.HeaderTimestamp: {"1614265330"},
		webhook.HeaderSignature: {"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
	}
	h := webhook.Sign(id, at, []byte(payload), s)
	if diff := cmp.Diff(want, h); diff != "" {
		t.Error(diff)
	}
	if got, err := webhook.Verify(h, []byte(payload), at, s); got != id || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// LG-20: nothing of a request can be changed, nor can it be kept for later.
func TestVerifyRefusesWhatItsSenderDidNotSend(t *testing.T) {
	t.Parallel()
	mine, other, previous := secret(t, 1, 32), secret(t, 2, 32), secret(t, 3, 32)
	set := func(name, value string) func(http.Header) { return func(h http.Header) { h.Set(name, value) } }
	for name, tt := range map[string]struct {
		change  func(http.Header)
		body    string
		after   time.Duration
		secrets []webhook.Secret
		want    error
	}{
		"as it was sent":                    {},
		"five minutes later":                {after: 5 * time.Minute},
		"five minutes earlier":              {after: -5 * time.Minute},
		"with a new secret besides":         {secrets: []webhook.Secret{other, mine}},
		"by one of two signatures":          {change: func(h http.Header) { h.Set(webhook.HeaderSignature, "v1,AAAA "+h.Get(webhook.HeaderSignature)) }},
		"with a signature of another kind":  {change: func(h http.Header) { h.Set(webhook.HeaderSignature, "v1a,AAAA "+h.Get(webhook.HeaderSignature)) }},
		"another body":                      {body: body + " ", want: webhook.ErrSignature},
		"no body":                           {body: "-", want: webhook.ErrSignature},
		"another id":                        {change: set(webhook.HeaderID, "other"), want: webhook.ErrSignature},
		"another time":                      {change: set(webhook.HeaderTimestamp, strconv.FormatInt(now.Unix()+1, 10)), want: webhook.ErrSignature},
		"the same time in another spelling": {change: set(webhook.HeaderTimestamp, "+"+strconv.FormatInt(now.Unix(), 10)), want: webhook.ErrMalformed},
		"another secret":                    {secrets: []webhook.Secret{other}, want: webhook.ErrSignature},
		"no secret":                         {secrets: []webhook.Secret{}, want: webhook.ErrSignature},
		"a secret that is none":             {secrets: []webhook.Secret{{}}, want: webhook.ErrSignature},
		"an old request":                    {after: 5*time.Minute + time.Second, want: webhook.ErrTime},
		"a request from the future":         {after: -5*time.Minute - time.Second, want: webhook.ErrTime},
		"no signature":                      {change: func(h http.Header) { h.Del(webhook.HeaderSignature) }, want: webhook.ErrMalformed},
		"no id":                             {change: func(h http.Header) { h.Del(webhook.HeaderID) }, want: webhook.ErrMalformed},
		"no time":                           {change: func(h http.Header) { h.Del(webhook.HeaderTimestamp) }, want: webhook.ErrMalformed},
		"two ids":                           {change: func(h http.Header) { h.Add(webhook.HeaderID, "other") }, want: webhook.ErrMalformed},
		"two headers with signatures":       {change: func(h http.Header) { h.Add(webhook.HeaderSignature, "v1,AAAA") }, want: webhook.ErrMalformed},
		"a time that is none":               {change: set(webhook.HeaderTimestamp, "now"), want: webhook.ErrMalformed},
		"a time beyond all times":           {change: set(webhook.HeaderTimestamp, strings.Repeat("9", 30)), want: webhook.ErrMalformed},
		"an endless id":                     {change: set(webhook.HeaderID, strings.Repeat("x", 257)), want: webhook.ErrMalformed},
		"a signature without its version":   {change: func(h http.Header) { h.Set(webhook.HeaderSignature, h.Get(webhook.HeaderSignature)[3:]) }, want: webhook.ErrSignature},
		"a signature of another version":    {change: func(h http.Header) { h.Set(webhook.HeaderSignature, "v2"+h.Get(webhook.HeaderSignature)[2:]) }, want: webhook.ErrSignature},
		"an empty signature":                {change: set(webhook.HeaderSignature, "v1,"), want: webhook.ErrSignature},
		"an empty id":                       {change: set(webhook.HeaderID, ""), want: webhook.ErrMalformed},
		"an empty list of signatures":       {change: set(webhook.HeaderSignature, ""), want: webhook.ErrMalformed},
		"a signature in another spelling": {change: func(h http.Header) {
			text := []byte(h.Get(webhook.HeaderSignature))
			text[len(text)-2]++ // the bits that say nothing
			h.Set(webhook.HeaderSignature, string(text))
		}, want: webhook.ErrSignature},
		"a signature and more": {change: func(h http.Header) { h.Set(webhook.HeaderSignature, h.Get(webhook.HeaderSignature)+"!") }, want: webhook.ErrSignature},
		"half of a signature":  {change: func(h http.Header) { h.Set(webhook.HeaderSignature, h.Get(webhook.HeaderSignature)[:20]) }, want: webhook.ErrSignature},
		"one good signature after very many": {change: func(h http.Header) {
			h.Set(webhook.HeaderSignature, strings.Repeat("v1,AAAA ", 16)+h.Get(webhook.HeaderSignature))
		}, want: webhook.ErrSignature},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := webhook.Sign("id", now, []byte(body), mine)
			if tt.change != nil {
				tt.change(h)
			}
			got := body
			switch tt.body {
			case "":
			case "-":
				got = ""
			default:
				got = tt.body
			}
			secrets := tt.secrets
			if secrets == nil {
				secrets = []webhook.Secret{mine}
			}
			id, err := webhook.Verify(h, []byte(got), now.Add(tt.after), secrets...)
			if !errors.Is(err, tt.want) || tt.want == nil && (err != nil || id != "id") || tt.want != nil && id != "" {
				t.Errorf("%q, %v; want %v", id, err, tt.want)
			}
		})
	}
	// What has not been parsed is a key that everybody has.
	if _, err := webhook.Verify(webhook.Sign("id", now, []byte(body), webhook.Secret{}), []byte(body), now, webhook.Secret{}); !errors.Is(err, webhook.ErrSignature) {
		t.Errorf("signed with no secret: %v", err)
	}
	// While secrets rotate, whoever knows one of the two is content.
	h := webhook.Sign("id", now, []byte(body), mine, previous)
	for _, s := range []webhook.Secret{mine, previous} {
		if _, err := webhook.Verify(h, []byte(body), now, s); err != nil {
			t.Error(err)
		}
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	s := secret(t, 1, 24)
	read := func(body string) (*webhook.Message, error) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header = webhook.Sign("id", now, []byte(body), s)
		return webhook.Read(r, now, s)
	}
	got, err := read(body)
	want := &webhook.Message{
		ID: "id", Type: "signed-in", Timestamp: now.Add(-5 * time.Second),
		Data: webhook.Event{ID: "1", UserID: "u", Method: "password"},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	// LG-20: what is not signed, or not now, is not read.
	for want, change := range map[error]func(http.Header){
		webhook.ErrSignature: func(h http.Header) { h.Set(webhook.HeaderID, "other") },
		webhook.ErrTime: func(h http.Header) {
			for name, values := range webhook.Sign("id", now.Add(-time.Hour), []byte(body), s) {
				h[name] = values
			}
		},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header = webhook.Sign("id", now, []byte(body), s)
		change(r.Header)
		if m, err := webhook.Read(r, now, s); m != nil || !errors.Is(err, want) {
			t.Errorf("%v, %v; want %v", m, err, want)
		}
	}
	// Of an endless body no more is read than one can have.
	endless := &counting{}
	r := httptest.NewRequest(http.MethodPost, "/", endless)
	if m, err := webhook.Read(r, now, s); m != nil || !errors.Is(err, webhook.ErrMalformed) || endless.read > webhook.MaxBody+1 {
		t.Errorf("%v, %v after %d bytes", m, err, endless.read)
	}
	for name, body := range map[string]string{
		"no JSON": "x", "nothing": "", "a list": "[]", "no type": "{}",
		"an endless one": `{"type":"x","data":{"detail":"` + strings.Repeat("x", webhook.MaxBody) + `"}}`,
	} {
		if m, err := read(body); m != nil || !errors.Is(err, webhook.ErrMalformed) {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
}

// counting is a body that goes on for a megabyte.
type counting struct{ read int }

func (c *counting) Read(p []byte) (int, error) {
	if c.read >= 1<<20 {
		return 0, io.EOF
	}
	c.read += len(p)
	return len(p), nil
}

func TestParseSecret(t *testing.T) {
	t.Parallel()
	encoded := func(n int) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("c"), n)) }
	for _, good := range []int{24, 32, 64} {
		if _, err := webhook.ParseSecret("whsec_" + encoded(good)); err != nil {
			t.Errorf("%d bytes: %v", good, err)
		}
	}
	for name, text := range map[string]string{
		"nothing": "", "no prefix": encoded(32), "no key": "whsec_", "a short one": "whsec_" + encoded(23), "a long one": "whsec_" + encoded(65),
		"no base64": "whsec_" + strings.Repeat("-", 44), "base64 with stray bits": "whsec_" + encoded(31)[:42] + "N=",
		"a line end": "whsec_" + encoded(32) + "\n", "a private key": "whsk_" + encoded(32),
	} {
		if s, err := webhook.ParseSecret(text); err == nil || text != "" && strings.Contains(err.Error(), encoded(20)[:8]) {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
}

// LG-10
func TestASecretDoesNotPrint(t *testing.T) {
	t.Parallel()
	s := secret(t, 'c', 32)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
		for _, v := range []any{s, &s, []webhook.Secret{s}, struct{ S webhook.Secret }{s}} {
			if text := fmt.Sprintf(verb, v); strings.Contains(text, "ccc") || strings.Contains(text, "6363") || strings.Contains(text, "99 99") {
				t.Errorf("%s: %s", verb, text)
			}
		}
	}
}

// What a stranger sends never panics, and is never taken for signed.
func FuzzVerify(f *testing.F) {
	s := secret(f, 1, 32)
	h := webhook.Sign("id", now, []byte(body), s)
	f.Add(h.Get(webhook.HeaderID), h.Get(webhook.HeaderTimestamp), h.Get(webhook.HeaderSignature), []byte("x"))
	f.Add("", "-1", "v1, v1,", []byte(nil))
	f.Fuzz(func(t *testing.T, id, timestamp, signature string, text []byte) {
		h := http.Header{}
		h.Set(webhook.HeaderID, id)
		h.Set(webhook.HeaderTimestamp, timestamp)
		h.Set(webhook.HeaderSignature, signature)
		if _, err := webhook.Verify(h, text, now, s); err == nil {
			t.Errorf("%q %q %q %q is taken for signed", id, timestamp, signature, text)
		}
	})
}

// A secret that is taken has one spelling, and a refusal repeats nothing of it.
func FuzzParseSecret(f *testing.F) {
	key := base64.StdEncoding.EncodeToString([]byte("plum-tractor-eleven-plum-tractor"))
	for _, text := range []string{"whsec_" + key, key, "whsec_" + key[:20], "whsec_" + key + "\n", "whsec_" + strings.TrimRight(key, "="), "WHSEC_" + key, "whsec_", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := webhook.ParseSecret(text)
		if err != nil {
			if len(text) > 16 && strings.Contains(err.Error(), text[6:]) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, "whsec_"))
		if err != nil || "whsec_"+base64.StdEncoding.EncodeToString(raw) != text || len(raw) < 24 || len(raw) > 64 {
			t.Fatalf("%q is taken: %v", text, err)
		}
		if _, err := webhook.Verify(webhook.Sign("id", now, []byte(body), s), []byte(body), now, s); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
	})
}

// What is signed is verified as it was signed, and read if it is a message; a bit more or less, and it is not.
func FuzzRead(f *testing.F) {
	s := secret(f, 1, 32)
	for _, text := range []string{body, `{}`, `{"type":""}`, `{"type":"x","timestamp":"yesterday"}`, `{"type":"x","data":{"id":7}}`, `[]`, "{\"type\":\"x\"}{}", "", "\xff"} {
		f.Add("id", []byte(text), uint16(3))
	}
	f.Fuzz(func(t *testing.T, id string, text []byte, at uint16) {
		if id == "" || len(id) > 255 || len(text) > webhook.MaxBody {
			return
		}
		header := webhook.Sign(id, now, text, s)
		if got, err := webhook.Verify(header, text, now, s); err != nil || got != id {
			t.Fatalf("%q %q: %q, %v", id, text, got, err)
		}
		m, err := webhook.Read(&http.Request{Header: header, Body: io.NopCloser(bytes.NewReader(text))}, now, s)
		switch {
		case err != nil && (m != nil || !errors.Is(err, webhook.ErrMalformed)):
			t.Fatalf("%q: %v, %v", text, m, err)
		case err == nil && (m.ID != id || m.Type == "" || !json.Valid(text)):
			t.Fatalf("%q is read as %+v", text, m)
		}
		if len(text) > 0 {
			text[int(at)%len(text)] ^= 1
		} else {
			text = []byte{0}
		}
		if _, err := webhook.Verify(header, text, now, s); !errors.Is(err, webhook.ErrSignature) {
			t.Fatalf("%q was not signed: %v", text, err)
		}
	})
}
