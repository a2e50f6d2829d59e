package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/mail"
)

// send puts a letter into a mailbox.
func send(t *testing.T, m *mailbox, message mail.Message) {
	t.Helper()
	if err := m.Send(t.Context(), message); err != nil {
		t.Fatal(err)
	}
}

func TestTheMailboxKeepsTheLastLetters(t *testing.T) {
	t.Parallel()
	_, s, letters := newEngine(t)
	if _, body := get(t, s.URL+"/dev/mailbox"); strings.TrimSpace(body) != `{"letters":[]}` {
		t.Errorf("an empty mailbox is %s", body)
	}
	for i := range maxLetters + 2 {
		send(t, letters, mail.Message{To: "ada@example.com", Subject: fmt.Sprint("letter ", i), Text: "text"})
	}
	r, body := get(t, s.URL+"/dev/mailbox")
	var box struct{ Letters []letter }
	if err := json.Unmarshal([]byte(body), &box); err != nil {
		t.Fatal(err)
	}
	if len(box.Letters) != maxLetters || box.Letters[0].Subject != fmt.Sprint("letter ", maxLetters+1) || box.Letters[maxLetters-1].Subject != "letter 2" {
		t.Errorf("of %d letters there are %d, from %q to %q", maxLetters+2, len(box.Letters), box.Letters[0].Subject, box.Letters[len(box.Letters)-1].Subject)
	}
	if got := r.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control is %q", got)
	}
}

func TestALetterSaysWhatToDoWithIt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		variables  map[string]string
		link, code string
	}{
		{"a link", map[string]string{"link": "http://localhost/v1/verify", "ticket": "passwordlessEmail:x"}, "http://localhost/v1/verify", ""},
		{"a code", map[string]string{"ticket": "012345"}, "", "012345"},
		{"nothing", nil, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := &mailbox{}
			send(t, m, mail.Message{To: "ada@example.com", Variables: c.variables})
			if l := m.kept()[0]; l.Link != c.link || l.Code != c.code {
				t.Errorf("the link is %q and the code %q, want %q and %q", l.Link, l.Code, c.link, c.code)
			}
		})
	}
}

// What a frame shows must not be able to do more than be looked at, wherever it is opened.
func TestALetterAsHTMLIsConfined(t *testing.T) {
	t.Parallel()
	_, s, letters := newEngine(t)
	send(t, letters, mail.Message{To: "ada@example.com", Text: "text"})
	send(t, letters, mail.Message{To: "ada@example.com", HTML: `<!DOCTYPE html><html><head></head><body><a href="http://localhost">x</a></body></html>`})
	kept := letters.kept()
	r, body := get(t, s.URL+"/dev/mailbox/"+kept[0].ID.String())
	if r.StatusCode != http.StatusOK || !strings.HasPrefix(body, `<!DOCTYPE html><html><head><base target="_top">`) {
		t.Errorf("%s, %s: want the letter, with links that lead out of the frame", r.Status, body)
	}
	csp := "; " + r.Header.Get("Content-Security-Policy") + ";"
	for _, want := range []string{"sandbox allow-top-navigation-by-user-activation", "default-src 'none'", "form-action 'none'", "frame-ancestors 'self'", "base-uri 'none'"} {
		if !strings.Contains(csp, "; "+want+";") {
			t.Errorf("Content-Security-Policy %q does not have %q", csp, want)
		}
	}
	for header, want := range map[string]string{
		"Content-Type": "text/html; charset=utf-8", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
	} {
		if got := r.Header.Get(header); got != want {
			t.Errorf("%s is %q, want %q", header, got, want)
		}
	}
	for name, id := range map[string]string{"a letter without HTML": kept[1].ID.String(), "no letter": "x"} {
		if r, _ := get(t, s.URL+"/dev/mailbox/"+id); r.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s, want 404", name, r.Status)
		}
	}
}

func TestLettersAreForThisMachineAlone(t *testing.T) {
	t.Parallel()
	letters := &mailbox{}
	send(t, letters, mail.Message{To: "ada@example.com", Text: "canary", HTML: "canary"})
	handler, err := routes(authtest.New(t).Engine, letters)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, from, host string
		header           [2]string
		status           int
	}{
		{"the page", "127.0.0.1:5000", "localhost:8080", [2]string{"Sec-Fetch-Site", "same-origin"}, 200},
		{"a program on this machine", "127.0.0.1:5000", "127.0.0.1:8080", [2]string{}, 200},
		{"over IPv6", "[::1]:5000", "[::1]:8080", [2]string{}, 200},
		{"IPv4 in IPv6", "[::ffff:127.0.0.1]:5000", "localhost", [2]string{}, 200},
		{"a person who types the address", "127.0.0.1:5000", "localhost:8080", [2]string{"Sec-Fetch-Site", "none"}, 200},
		{"the page, with an origin", "127.0.0.1:5000", "localhost:8080", [2]string{"Origin", "http://localhost:8080"}, 200},

		{"another machine", "192.0.2.1:5000", "localhost:8080", [2]string{}, 403},
		{"this machine under a name of the network", "127.0.0.1:5000", "192.0.2.1:8080", [2]string{}, 403},
		{"a name that leads here", "127.0.0.1:5000", "evil.example:8080", [2]string{"Sec-Fetch-Site", "same-origin"}, 403},
		{"a name that looks like it", "127.0.0.1:5000", "localhost.evil.example:8080", [2]string{}, 403},
		{"a name that is longer", "127.0.0.1:5000", "127.0.0.1.evil.example", [2]string{}, 403},
		{"no name", "127.0.0.1:5000", "", [2]string{}, 403},
		{"another site's page", "127.0.0.1:5000", "localhost:8080", [2]string{"Origin", "https://evil.example"}, 403},
		{"another server's page on this machine", "127.0.0.1:5000", "localhost:8080", [2]string{"Origin", "http://localhost:9090"}, 403},
		{"a page without an origin", "127.0.0.1:5000", "localhost:8080", [2]string{"Origin", "null"}, 403},
		{"a script of another site's page", "127.0.0.1:5000", "localhost:8080", [2]string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"one of another server's on this machine", "127.0.0.1:5000", "localhost:8080", [2]string{"Sec-Fetch-Site", "same-site"}, 403},
		{"who comes through a proxy", "127.0.0.1:5000", "localhost:8080", [2]string{"X-Forwarded-For", "192.0.2.1"}, 403},
		{"who comes through another proxy", "127.0.0.1:5000", "localhost:8080", [2]string{"Forwarded", "for=192.0.2.1"}, 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, path := range []string{"/dev/mailbox", "/dev/mailbox/" + letters.kept()[0].ID.String()} {
				r := httptest.NewRequest(http.MethodGet, path, nil)
				r.RemoteAddr, r.Host = c.from, c.host
				if c.header[0] != "" {
					r.Header.Set(c.header[0], c.header[1])
				}
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, r)
				if w.Code != c.status || strings.Contains(w.Body.String(), "canary") != (c.status == http.StatusOK) {
					t.Errorf("GET %s: %d %s, want %d", path, w.Code, w.Body, c.status)
				}
				for header := range w.Header() {
					if strings.HasPrefix(header, "Access-Control-") {
						t.Errorf("GET %s: the header %s lets others in", path, header)
					}
				}
				if got := w.Header().Get("Cross-Origin-Resource-Policy"); got != "same-origin" {
					t.Errorf("GET %s: Cross-Origin-Resource-Policy is %q", path, got)
				}
			}
		})
	}
}
