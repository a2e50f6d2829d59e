package httpadapter

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/internal/redirect"
)

// linkTypes are the documented values of the query parameter type, which is checked and has no other effect: what a
// ticket does stands in the ticket.
var linkTypes = []string{"emailVerify", "emailConfirmChange", "signinPasswordless", "passwordReset"}

// verifyTicket answers a link that somebody has followed.
func (h *Handler) verifyTicket(w http.ResponseWriter, r *http.Request) error {
	if isPrefetch(r) {
		// The browser asks again when the user does follow the link, but only if it got no answer to keep.
		return invalid("a prefetch does not redeem a ticket")
	}
	p, err := ticketParams(r.URL.RawQuery)
	if err != nil {
		return err
	}
	if h.confirmLinks {
		return h.confirmTicket(w, r, p)
	}
	return h.followLink(w, r, http.StatusFound, p)
}

var crossOrigin = http.NewCrossOriginProtection()

// verifyPostedTicket answers the form of the page that [Options.ConfirmLinks] puts before a link.
func (h *Handler) verifyPostedTicket(w http.ResponseWriter, r *http.Request) error {
	if crossOrigin.Check(r) != nil {
		return errCrossOrigin // the page is ours
	}
	form, err := h.form(w, r)
	if err != nil {
		return err
	}
	p, err := ticketParams(form)
	if err != nil {
		return err
	}
	return h.followLink(w, r, http.StatusSeeOther, p)
}

// followLink redeems a ticket. What the browser can be told is told at the place that it is redirected to; a broken link and
// a fault of ours get the error body.
func (h *Handler) followLink(w http.ResponseWriter, r *http.Request, status int, p auth.VerifyTicketParams) error {
	verified, err := h.engine.VerifyTicket(r.Context(), p)
	if err != nil {
		return h.redirectFailure(w, status, p.RedirectTo, err)
	}
	params := url.Values{"type": {verified.Kind}}
	h.addSignIn(w, params, auth.SignInResult{Session: verified.Session, MFA: verified.MFA, Code: verified.Code})
	sendTo(w, status, verified.RedirectTo, params)
	return nil
}

// addSignIn adds what a first factor earned to the parameters of a redirect; in cookie mode a session goes into cookies.
func (h *Handler) addSignIn(w http.ResponseWriter, params url.Values, in auth.SignInResult) {
	if s := h.withoutTokens(w, in.Session); s != nil && s.RefreshToken != "" {
		params.Set("refreshToken", s.RefreshToken)
	}
	if in.MFA != nil {
		params.Set("mfaTicket", in.MFA.Ticket)
	}
	if in.Code != "" {
		params.Set("code", in.Code)
	}
}

// exchangeCode takes the code of a redirect from the client that asked for the link.
func (h *Handler) exchangeCode(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Code         string `json:"code" strict:"required"`
		CodeVerifier string `json:"codeVerifier" strict:"required"`
	}
	if err := h.decode(w, r, &body); err != nil {
		return err
	}
	result, err := h.engine.ExchangeCode(r.Context(), auth.ExchangeCodeParams{Code: body.Code, CodeVerifier: body.CodeVerifier})
	if err != nil {
		return err
	}
	return h.replySignIn(w, result)
}

// previewTicket answers HEAD /verify, with which programs look at links: a ticket is for whoever follows it.
func (h *Handler) previewTicket(http.ResponseWriter, *http.Request) error { return nil }

func ticketParams(encoded string) (p auth.VerifyTicketParams, err error) {
	q, err := url.ParseQuery(encoded)
	if err != nil {
		return p, invalid("the parameters are malformed")
	}
	if p.Ticket, err = one(q, "ticket"); err != nil {
		return p, err
	}
	if p.RedirectTo, err = one(q, "redirectTo"); err != nil {
		return p, err
	}
	if _, err := url.Parse(p.RedirectTo); err != nil {
		return p, invalid("parameter redirectTo is not a URL")
	}
	if q.Has("codeChallenge") {
		if p.CodeChallenge, err = one(q, "codeChallenge"); err != nil {
			return p, err
		}
	}
	for _, t := range q["type"] {
		if !slices.Contains(linkTypes, t) {
			return p, invalid("parameter type must be one of " + strings.Join(linkTypes, ", "))
		}
	}
	return p, nil
}

// one returns the value of a parameter that must be given exactly once, because two readers of the same URL may
// each take another.
func one(q url.Values, name string) (string, error) {
	switch values := q[name]; len(values) {
	case 1:
		return values[0], nil
	case 0:
		return "", invalid("parameter " + name + " is required")
	default:
		return "", invalid("parameter " + name + " is given more than once")
	}
}

// redirectFailure tells of a failure at the place that the client named, or at the client URL where it must not be sent
// there.
func (h *Handler) redirectFailure(w http.ResponseWriter, status int, redirectTo string, err error) error {
	f := failureOf(err)
	if f.status >= http.StatusInternalServerError || f.status == http.StatusTooManyRequests {
		return err
	}
	target, refused := h.engine.RedirectTo(redirectTo)
	if refused != nil {
		if target, err = h.engine.RedirectTo(""); err != nil {
			return err
		}
	}
	sendTo(w, status, target, url.Values{"error": {string(f.code)}, "errorDescription": {f.message}})
	return nil
}

// sendTo sends the browser to an accepted URL. Unlike [http.Redirect] it writes no page.
func sendTo(w http.ResponseWriter, status int, target string, params url.Values) {
	w.Header().Set("Location", withParams(target, params))
	w.WriteHeader(status)
}

// withParams returns an accepted URL with the parameters set in its query. Those that are ours to set and are not set go: with
// one that came in redirectTo, whoever wrote the link would speak in our name.
func withParams(target string, params url.Values) string {
	all := url.Values{"code": nil, "error": nil, "errorDescription": nil, "mfaTicket": nil, "refreshToken": nil, "type": nil}
	maps.Copy(all, params)
	return redirect.With(target, all)
}

// isPrefetch reports whether the browser loads a link that nobody has followed yet, or not to go there: as an image of
// some page, say.
func isPrefetch(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Dest") {
	case "", "document", "empty": // a program's fetch has no destination
	default:
		return true
	}
	for _, name := range []string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		for _, value := range r.Header[name] {
			value = strings.ToLower(value)
			if strings.Contains(value, "prefetch") || strings.Contains(value, "prerender") || strings.Contains(value, "preview") {
				return true
			}
		}
	}
	return false
}
