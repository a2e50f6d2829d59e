package httpadapter

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/ostiary/auth"
)

// CookieOptions turn on cookie mode, in which the browser keeps the tokens in two cookies that no script can read and no
// other site can make it send with a form: __Host- prefixed, Secure, HttpOnly, SameSite=Lax, for the whole host
// (RFC 6265bis §4.1.3; OWASP ASVS 5.0 3.3.1 to 3.3.4).
//
// Routes that open or refresh a session or step up in it set the cookies, and leave accessToken and refreshToken empty in
// their bodies; GET /verify redirects without a refresh token. POST /token and POST /signout take the refresh token from
// its cookie, need no body, and know no member refreshToken. Signing out removes the cookies.
//
// A request without an Authorization header is that of its access cookie's user. Where that cookie is missing or has
// expired and the refresh token is good, the session is refreshed on the way and the new cookies are set; parallel
// requests may all do so at once (see [auth.SessionsConfig.Grace]).
//
// Requests that are not GET, HEAD or OPTIONS and come from another origin, as [http.CrossOriginProtection] finds it, get
// 403, on the routes and behind [Handler.RequireUser], unless the origin is one of [Options.AllowedOrigins]. A service's
// handler must therefore not change anything on GET. The one exception is the form with which the page of an identity
// provider sends a browser back: a cookie of the visit's own stands for that browser.
//
// Browsers drop cookies of more than 4096 bytes. An access token that custom claims make so long is never sent back, and
// every request then costs a refresh.
type CookieOptions struct {
	// Name tells the cookies of one realm from those of another on the same host: they are __Host-NAME-access and
	// __Host-NAME-refresh. The default is "auth". It does not begin with "auth-provider", as the cookies of visits to
	// identity providers do.
	Name string
	// Persist is how long the browser keeps the refresh token after its last use. The default is 0: until the browser
	// is closed. The session ends with [auth.SessionsConfig.Idle] in any case.
	Persist time.Duration
	// SignedOut answers requests behind [Handler.RequireUser], [Handler.RequireRole] and [Handler.RequireElevation] that
	// nobody is signed in for: with a redirect to the sign-in page, say. The default is the error body with status 401.
	SignedOut http.Handler
}

// cookies is cookie mode. Nil is off.
type cookies struct {
	access, refresh string // names
	persist         time.Duration
	signedOut       http.Handler
	protection      *http.CrossOriginProtection
}

func newCookies(o *CookieOptions, trusted []string, mistake func(field string, err error)) *cookies {
	if o == nil {
		return nil
	}
	name := o.Name
	if name == "" {
		name = "auth"
	}
	c := &cookies{
		access:     "__Host-" + name + "-access",
		refresh:    "__Host-" + name + "-refresh",
		persist:    o.Persist,
		signedOut:  o.SignedOut,
		protection: http.NewCrossOriginProtection(),
	}
	if err := (&http.Cookie{Name: c.access}).Valid(); err != nil || len(name) > 64 {
		mistake("Cookies.Name", fmt.Errorf("%q is not at most 64 letters, digits, hyphens or underscores", name))
	}
	if strings.HasPrefix(c.access, hostPrefix+bindingCookie) {
		mistake("Cookies.Name", fmt.Errorf("%q is for visits to identity providers", name))
	}
	if o.Persist < 0 || o.Persist > 0 && o.Persist < time.Second {
		mistake("Cookies.Persist", fmt.Errorf("is %v; it must be 0 or at least a second", o.Persist))
	}
	for _, origin := range trusted {
		if checkOrigin(origin) == nil { // others are reported where they are configured
			mistake("AllowedOrigins", c.protection.AddTrustedOrigin(origin))
		}
	}
	return c
}

// check refuses an unsafe request from another origin: the browser would send the user's cookies with it.
func (c *cookies) check(r *http.Request) error {
	if c == nil || c.protection.Check(r) == nil {
		return nil
	}
	return errCrossOrigin
}

// checkAsPost is check for a GET that changes something all the same.
func (c *cookies) checkAsPost(r *http.Request) error {
	asPost := *r
	asPost.Method = http.MethodPost
	return c.check(&asPost)
}

// get returns the value of a cookie. Of two with one name, one was planted: neither is taken.
func get(r *http.Request, name string) string {
	if found := r.CookiesNamed(name); len(found) == 1 {
		return found[0].Value
	}
	return ""
}

// keep gives the browser the tokens of a session.
func (c *cookies) keep(w http.ResponseWriter, s *auth.Session) {
	c.set(w, c.access, s.AccessToken, time.Duration(s.AccessTokenExpiresIn)*time.Second)
	c.set(w, c.refresh, s.RefreshToken, c.persist)
}

// forget takes them back.
func (c *cookies) forget(w http.ResponseWriter) {
	c.set(w, c.access, "", -1)
	c.set(w, c.refresh, "", -1)
}

// set sets a cookie for a time, until the browser is closed if that is 0, and removes it if negative.
func (c *cookies) set(w http.ResponseWriter, name, value string, life time.Duration) {
	cookie := http.Cookie{
		Name: name, Value: value, Path: "/",
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		MaxAge: int(life / time.Second),
	}
	if life < 0 {
		cookie.MaxAge = -1
	}
	// A session that was refreshed on the way may end in the same request: the last word is the only one (RFC 6265 §4.1.1).
	header := w.Header()
	earlier := header["Set-Cookie"]
	header.Del("Set-Cookie")
	for _, line := range earlier {
		if !strings.HasPrefix(line, name+"=") {
			header.Add("Set-Cookie", line)
		}
	}
	header.Add("Set-Cookie", cookie.String())
}

// cookiePrincipal says whose cookies a request has, and refreshes their session if need be.
func (h *Handler) cookiePrincipal(w http.ResponseWriter, r *http.Request) (*auth.Principal, error) {
	if access := get(r, h.cookies.access); access != "" {
		p, err := h.engine.Authenticate(r.Context(), access)
		if !errors.Is(err, auth.ErrUnauthenticated) {
			return p, err
		}
	}
	session, err := h.refreshCookies(w, r)
	switch {
	case errors.Is(err, auth.ErrInvalidRefreshToken), errors.Is(err, auth.ErrInvalidRequest): // concealed
		return nil, auth.ErrUnauthenticated
	case err != nil:
		return nil, err
	}
	return h.engine.Authenticate(r.Context(), session.AccessToken)
}

// refreshCookies refreshes the session of a request's cookies. Cookies of a session that has ended are removed; those of
// a user who is kept out for another reason may be good again later.
func (h *Handler) refreshCookies(w http.ResponseWriter, r *http.Request) (*auth.Session, error) {
	token := get(r, h.cookies.refresh)
	if token == "" {
		return nil, auth.ErrInvalidRefreshToken
	}
	session, err := h.engine.Refresh(r.Context(), auth.RefreshParams{RefreshToken: token})
	switch {
	case err == nil:
		h.cookies.keep(w, session)
	case errors.Is(err, auth.ErrInvalidRefreshToken), errors.Is(err, auth.ErrInvalidRequest): // concealed
		h.cookies.forget(w)
	}
	return session, err
}

// withoutTokens returns the session as a body shows it: as it is, or in cookie mode without its tokens, which are put
// into cookies.
func (h *Handler) withoutTokens(w http.ResponseWriter, s *auth.Session) *auth.Session {
	if h.cookies == nil || s == nil {
		return s
	}
	h.cookies.keep(w, s)
	bare := *s
	bare.AccessToken, bare.RefreshToken = "", ""
	return &bare
}

// replySignIn answers with what a first factor earned.
func (h *Handler) replySignIn(w http.ResponseWriter, result *auth.SignInResult) error {
	shown := *result
	shown.Session = h.withoutTokens(w, result.Session)
	return reply(w, &shown)
}
