package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/mail"
)

// mailbox takes every letter, whomever it is for, and shows it on the page. It is for development: a real service has a
// sender that delivers, such as package smtpmail. It keeps the last letters, in memory. The terminal shows where they lead,
// for whoever has the page open on another machine: no letter is shown there.
type mailbox struct {
	mu      sync.Mutex
	letters []letter // newest first
}

// letter is what the page shows of a message.
type letter struct {
	ID      uuid.UUID `json:"id"`
	At      time.Time `json:"at"`
	To      string    `json:"to"`      // an address, or a number
	Subject string    `json:"subject"` // empty where there is none
	Text    string    `json:"text"`
	Link    string    `json:"link"` // what is to be followed, if anything
	Code    string    `json:"code"` // what is to be typed, if anything
	HasHTML bool      `json:"hasHtml"`
	html    string
}

// maxLetters bounds the mailbox.
const maxLetters = 20

// Send implements [mail.Sender].
func (m *mailbox) Send(_ context.Context, message mail.Message) error {
	l := letter{
		To: message.To, Subject: message.Subject, Text: message.Text, html: message.HTML,
		Link: message.Variables["link"],
	}
	if l.Link == "" {
		l.Code = message.Variables["ticket"]
	}
	m.keep(l)
	return nil
}

func (m *mailbox) keep(l letter) {
	l.ID, l.At, l.HasHTML = uuid.New(), time.Now(), l.html != ""
	slog.Info("a letter", "to", l.To, "subject", l.Subject, "link", l.Link, "code", l.Code)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.letters = slices.Insert(m.letters, 0, l)
	m.letters = m.letters[:min(len(m.letters), maxLetters)]
}

// kept returns a copy of the letters, newest first.
func (m *mailbox) kept() []letter {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]letter{}, m.letters...)
}

func (m *mailbox) mount(mux *http.ServeMux) {
	mux.HandleFunc("GET /dev/mailbox", onlyHere(m.list))
	mux.HandleFunc("GET /dev/mailbox/{id}", onlyHere(m.show))
}

func (m *mailbox) list(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string][]letter{"letters": m.kept()})
}

// letterPolicy lets a letter be looked at on the page and do nothing: links lead on only when somebody follows them.
const letterPolicy = "sandbox allow-top-navigation-by-user-activation; default-src 'none'; style-src 'unsafe-inline'; img-src data:; " +
	"form-action 'none'; frame-ancestors 'self'; base-uri 'none'"

// show answers with a letter as HTML, for a frame. Its links lead out of that.
func (m *mailbox) show(w http.ResponseWriter, r *http.Request) {
	letters := m.kept()
	i := slices.IndexFunc(letters, func(l letter) bool { return l.HasHTML && l.ID.String() == r.PathValue("id") })
	if i < 0 {
		answer(w, http.StatusNotFound, refusal{http.StatusNotFound, auth.CodeRouteNotFound, "there is no such letter, or no longer"})
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", letterPolicy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = io.WriteString(w, strings.Replace(letters[i].html, "<head>", `<head><base target="_top">`, 1))
}

// onlyHere keeps letters from everybody but the page in a browser on this machine.
func onlyHere(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
		if !here(r) {
			answer(w, http.StatusForbidden, refusal{http.StatusForbidden, auth.CodeInvalidRequest, "letters are shown only on the machine where they are"})
			return
		}
		next(w, r)
	}
}

// here reports whether a request was sent on this machine, and by nobody else's page. A page of another site can have a
// browser send requests here, and read the answer where its own name leads to this machine (DNS rebinding): that is why
// the name counts. What a proxy passes on comes from anywhere.
func here(r *http.Request) bool {
	client, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !client.Addr().IsLoopback() || r.Header.Get("Forwarded") != "" || r.Header.Get("X-Forwarded-For") != "" {
		return false
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if ip := net.ParseIP(strings.Trim(host, "[]")); host != "localhost" && !ip.IsLoopback() {
		return false
	}
	if origin := r.Header.Get("Origin"); origin != "" && origin != "http://"+r.Host {
		return false
	}
	site := r.Header.Get("Sec-Fetch-Site")
	return site == "" || site == "same-origin" || site == "none" // none is a person who typed the address
}
