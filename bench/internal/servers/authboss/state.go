package main

import (
	"crypto/sha256"
	"net/http"
	"slices"
	"strings"

	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"
	"github.com/volatiletech/authboss/v3"
)

// key makes the key of one use from the secret.
func key(secret, use string) []byte {
	sum := sha256.Sum256([]byte(use + secret))
	return sum[:]
}

// sessionState keeps sessions in a signed cookie.
type sessionState struct{ store *sessions.CookieStore }

func newSessions(secret string) sessionState {
	store := sessions.NewCookieStore(key(secret, "session"))
	store.Options.HttpOnly, store.Options.SameSite = true, http.SameSiteLaxMode
	return sessionState{store}
}

const sessionName = "session"

type session struct{ *sessions.Session }

func (s session) Get(key string) (string, bool) {
	v, ok := s.Values[key].(string)
	return v, ok
}

func (s sessionState) ReadState(r *http.Request) (authboss.ClientState, error) {
	got, err := s.store.Get(r, sessionName)
	if got == nil {
		return nil, err
	}
	return session{got}, nil // one that cannot be read is a new one
}

func (s sessionState) WriteState(w http.ResponseWriter, state authboss.ClientState, events []authboss.ClientStateEvent) error {
	v := state.(session)
	for _, e := range events {
		switch e.Kind {
		case authboss.ClientStateEventPut:
			v.Values[e.Key] = e.Value
		case authboss.ClientStateEventDel:
			delete(v.Values, e.Key)
		case authboss.ClientStateEventDelAll:
			kept := strings.Split(e.Key, ",")
			for name := range v.Values {
				if s, ok := name.(string); !ok || !slices.Contains(kept, s) {
					delete(v.Values, name)
				}
			}
		}
	}
	return s.store.Save(nil, w, v.Session)
}

// cookieState keeps single values in signed cookies: the token to remember someone by.
type cookieState struct{ *securecookie.SecureCookie }

func newCookies(secret string) cookieState {
	return cookieState{securecookie.New(key(secret, "cookie"), nil)}
}

var cookieNames = []string{authboss.CookieRemember}

type cookies map[string]string

func (c cookies) Get(key string) (string, bool) {
	v, ok := c[key]
	return v, ok
}

func (c cookieState) ReadState(r *http.Request) (authboss.ClientState, error) {
	state := cookies{}
	for _, cookie := range r.Cookies() {
		var value string
		if slices.Contains(cookieNames, cookie.Name) && c.Decode(cookie.Name, cookie.Value, &value) == nil {
			state[cookie.Name] = value
		}
	}
	return state, nil
}

func (c cookieState) WriteState(w http.ResponseWriter, _ authboss.ClientState, events []authboss.ClientStateEvent) error {
	for _, e := range events {
		cookie := &http.Cookie{Name: e.Key, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: -1}
		if e.Kind == authboss.ClientStateEventPut {
			value, err := c.Encode(e.Key, e.Value)
			if err != nil {
				return err
			}
			cookie.Value, cookie.MaxAge = value, 30*24*60*60
		}
		http.SetCookie(w, cookie)
	}
	return nil
}
