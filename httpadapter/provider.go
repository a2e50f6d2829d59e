package httpadapter

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/internal/redirect"
	"github.com/ostiary/auth/internal/strictjson"
)

// documentedProviders are those that the documented API names: where one of them is not configured, the browser goes back
// to its page. Others are no routes.
var documentedProviders = []string{
	"apple", "azuread", "bitbucket", "discord", "entraid", "facebook", "github", "gitlab", "google", "linkedin", "spotify",
	"strava", "twitch", "twitter", "windowslive", "workos",
}

// startProvider sends a browser to an identity provider.
func (h *Handler) startProvider(w http.ResponseWriter, r *http.Request) error {
	name, err := h.providerName(r)
	if err != nil {
		return err
	}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return invalid("the parameters are malformed")
	}
	for parameter, values := range q {
		if len(values) > 1 {
			return invalid("parameter " + shown(parameter) + " is given more than once")
		}
	}
	p := auth.StartProviderParams{Provider: name, State: q.Get("state"), CodeChallenge: q.Get("codeChallenge")}
	if len(p.State) > maxState {
		return invalid("parameter state is too long") // to be repeated in a redirect
	}
	if p.Options, err = h.queryOptions(q); err != nil {
		return err
	}
	if p.Params, err = providerParams(q); err != nil {
		return err
	}
	start, err := h.start(r, q, p)
	if err != nil {
		return h.tellBrowser(w, r, http.StatusFound, &auth.ProviderResult{RedirectTo: p.Options.RedirectTo}, err, ownState(p.State))
	}
	h.bind(w, r, start)
	w.Header().Set("Location", start.URL)
	w.WriteHeader(http.StatusFound)
	return nil
}

// maxState is what the engine takes of a client's own state, in bytes.
const maxState = 1024

// start begins a sign-in or, with the documented parameter connect, links to the user of an access token. The token is looked
// at here and goes no further.
func (h *Handler) start(r *http.Request, q url.Values, p auth.StartProviderParams) (*auth.ProviderStart, error) {
	if !q.Has("connect") {
		return h.engine.StartProvider(r.Context(), p)
	}
	if h.refuseConnect {
		return nil, auth.ErrInvalidRequest // as for a bad token
	}
	principal, err := h.engine.Authenticate(r.Context(), q.Get("connect"))
	if err == nil {
		var start *auth.ProviderStart
		start, err = h.engine.LinkProvider(r.Context(), principal, auth.LinkProviderParams{
			Provider: p.Provider, RedirectTo: p.Options.RedirectTo, State: p.State, Params: p.Params,
		})
		if err == nil {
			return start, nil
		}
	}
	if errors.Is(err, auth.ErrUnauthenticated) {
		err = auth.ErrInvalidRequest // as documented
	}
	return nil, err
}

// linkProvider begins to link an account at a provider to the user's. The page that asks sends the browser to the URL, and
// must have let it keep the cookie: from another origin, by fetch with credentials "include". The browser keeps none that a
// page of another site asked for.
func (h *Handler) linkProvider(w http.ResponseWriter, r *http.Request) error {
	principal, name, err := h.visitor(w, r)
	if err != nil {
		return err
	}
	var body struct {
		RedirectTo             string         `json:"redirectTo"`
		State                  string         `json:"state"`
		ProviderSpecificParams map[string]any `json:"providerSpecificParams"`
	}
	if err := h.decodeOptional(w, r, &body); err != nil {
		return err
	}
	params, err := texts(body.ProviderSpecificParams)
	if err != nil {
		return err
	}
	start, err := h.engine.LinkProvider(r.Context(), principal, auth.LinkProviderParams{
		Provider: name, RedirectTo: body.RedirectTo, State: body.State, Params: params,
	})
	if err != nil {
		return err
	}
	h.bind(w, r, start)
	return reply(w, struct {
		URL string `json:"url"`
	}{start.URL})
}

// providerName returns the provider in the path: a configured one, or one that the documented API knows.
func (h *Handler) providerName(r *http.Request) (string, error) {
	name := r.PathValue("provider")
	if !slices.Contains(documentedProviders, name) && !slices.Contains(h.engine.Providers(), name) {
		return "", invalid("there is no such provider")
	}
	return name, nil
}

// visitor is [Handler.providerName] and [Handler.principal]: who makes a request about which provider.
func (h *Handler) visitor(w http.ResponseWriter, r *http.Request) (*auth.Principal, string, error) {
	name, err := h.providerName(r)
	if err != nil {
		return nil, "", err
	}
	principal, err := h.principal(w, r)
	return principal, name, err
}

// queryOptions reads the options of a sign-up from a query.
func (h *Handler) queryOptions(q url.Values) (auth.SignUpOptions, error) {
	o := auth.SignUpOptions{
		DefaultRole: q.Get("defaultRole"), DisplayName: q.Get("displayName"), Locale: q.Get("locale"), RedirectTo: q.Get("redirectTo"),
	}
	if roles := q.Get("allowedRoles"); roles != "" {
		o.AllowedRoles = strings.Split(roles, ",")
	}
	if metadata := q.Get("metadata"); metadata != "" {
		if err := strictjson.Members([]byte(metadata), nil); err != nil {
			return o, invalid("parameter metadata must be an unmistakable JSON object")
		}
		o.Metadata = json.RawMessage(metadata)
	}
	if _, err := url.Parse(o.RedirectTo); err != nil {
		return o, invalid("parameter redirectTo is not a URL")
	}
	return o, nil
}

// providerParams reads what is meant for the provider: exploded, as documented and as the published client writes it, or as
// one JSON object.
func providerParams(q url.Values) (url.Values, error) {
	params := url.Values{}
	if object := q.Get("providerSpecificParams"); object != "" {
		var members map[string]any
		if strictjson.Members([]byte(object), nil) != nil || json.Unmarshal([]byte(object), &members) != nil {
			return nil, invalid("parameter providerSpecificParams must be a JSON object")
		}
		var err error
		if params, err = texts(members); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{"connection", "organization"} {
		if value := q.Get(name); value != "" {
			params.Set(name, value)
		}
	}
	return params, nil
}

// texts is an object whose members are text.
func texts(object map[string]any) (url.Values, error) {
	params := url.Values{}
	for name, value := range object {
		text, ok := value.(string)
		if !ok {
			return nil, invalid("providerSpecificParams must have texts alone")
		}
		params.Set(name, text)
	}
	return params, nil
}

// shown is a name that came from outside, as a message can repeat it.
func shown(name string) string {
	notPlain := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-'
	}
	if len(name) > 32 || strings.ContainsFunc(name, notPlain) {
		return "(unknown)"
	}
	return name
}

// finishProvider takes a browser back from a provider, with a query.
func (h *Handler) finishProvider(w http.ResponseWriter, r *http.Request) error {
	return h.comeBack(w, r, http.StatusFound, r.URL.RawQuery)
}

// finishPostedProvider takes a browser back that posts a form, from the provider's page. What it changes is bound to the
// browser by a cookie of its own, so another origin is no reason to refuse it.
func (h *Handler) finishPostedProvider(w http.ResponseWriter, r *http.Request) error {
	form, err := h.form(w, r)
	if err != nil {
		return err
	}
	return h.comeBack(w, r, http.StatusSeeOther, form)
}

func (h *Handler) comeBack(w http.ResponseWriter, r *http.Request, status int, encoded string) error {
	name, err := h.providerName(r)
	if err != nil {
		return err
	}
	values, err := url.ParseQuery(encoded)
	if err != nil {
		return invalid("the parameters are malformed")
	}
	if values.Get("state") == "" {
		return invalid("parameter state is required")
	}
	state := values.Get("state")
	result, err := h.engine.FinishProvider(r.Context(), auth.FinishProviderParams{
		Provider: name, Values: values, Binding: h.unbind(w, r, state),
	})
	if err != nil {
		params := ownState(result.State)
		if errors.Is(err, auth.ErrInvalidState) { // and the client's own is not known
			params.Set("provider_state", shortened(state))
		}
		return h.tellBrowser(w, r, status, result, err, params)
	}
	if result.Linked {
		// As documented, the page gets its URL back as it was.
		w.Header().Set("Location", redirect.With(result.RedirectTo, ownState(result.State)))
		w.WriteHeader(status)
		return nil
	}
	params := ownState(result.State)
	h.addSignIn(w, params, result.SignInResult)
	sendTo(w, status, result.RedirectTo, providerWords(params))
	return nil
}

// ownState is what the client gave to be handed back.
func ownState(state string) url.Values {
	if state == "" {
		return url.Values{}
	}
	return url.Values{"state": {state}}
}

// shortened bounds what is only repeated.
func shortened(s string) string {
	const most = 256
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "")
	}
	return s
}

// tellBrowser tells of a failure at the place that the visit was to lead to, with further parameters. There is nobody but a
// browser to be told: faults of ours go there as well, and are logged.
func (h *Handler) tellBrowser(w http.ResponseWriter, r *http.Request, status int, result *auth.ProviderResult, err error, params url.Values) error {
	f := failureOf(err)
	if f.status >= http.StatusInternalServerError {
		h.logFailure(r, f)
	}
	target, err := h.engine.RedirectTo(result.RedirectTo)
	if err != nil {
		return err // where it would be told is where it must not go
	}
	params.Set("error", string(f.code))
	params.Set("errorDescription", f.message)
	if refusal := result.Refusal; refusal != nil {
		params.Set("provider_error", refusal.Error)
		params.Set("provider_error_description", refusal.Description)
		params.Set("provider_error_url", refusal.URI)
	}
	sendTo(w, status, target, providerWords(params))
	return nil
}

// providerWords adds the parameters that only we say in a redirect from a provider, so that they go if they came with
// redirectTo.
func providerWords(params url.Values) url.Values {
	for _, name := range []string{"provider_error", "provider_error_description", "provider_error_url", "provider_state"} {
		if !params.Has(name) {
			params[name] = nil
		}
	}
	return params
}

// The cookies that bind visits to a browser. Over https they have the prefix __Host-: no other host, and nobody on the way,
// can plant one (RFC 6265bis §4.1.3). Over http, which is for a developer's own machine, no browser would take that.
const (
	bindingCookie    = "auth-provider-"
	hostPrefix       = "__Host-"
	maxVisits        = 16 // unfinished ones of one browser, before it starts afresh
	bindingStateSize = 8  // characters of the state that tell one cookie from another
)

// bindingPrefix is what the names of the cookies begin with, where browsers come back to a redirect URI.
func bindingPrefix(redirectURI string) string {
	if u, err := url.Parse(redirectURI); err == nil && u.Scheme == "https" {
		return hostPrefix + bindingCookie
	}
	return bindingCookie
}

func (h *Handler) bindingName(state string) string {
	return h.binding + state[:min(len(state), bindingStateSize)]
}

// bind gives the browser the cookie without which its visit cannot end.
func (h *Handler) bind(w http.ResponseWriter, r *http.Request, start *auth.ProviderStart) {
	var old []*http.Cookie
	for _, c := range r.Cookies() {
		if strings.HasPrefix(c.Name, h.binding) {
			old = append(old, c)
		}
	}
	if len(old) >= maxVisits {
		for _, c := range old {
			dropBinding(w, c.Name)
		}
	}
	sameSite := http.SameSiteLaxMode
	if start.FormPost && isSecure(h.binding) { // another site's page posts the form; None is for Secure alone
		sameSite = http.SameSiteNoneMode
	}
	setBinding(w, h.bindingName(start.State), start.Binding, int(start.Life/time.Second), sameSite)
}

// unbind returns the binding of the browser for a state, empty if there is none, and takes it back.
func (h *Handler) unbind(w http.ResponseWriter, r *http.Request, state string) string {
	name := h.bindingName(state)
	binding := get(r, name)
	if binding != "" {
		dropBinding(w, name)
	}
	return binding
}

func setBinding(w http.ResponseWriter, name, value string, maxAge int, sameSite http.SameSite) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: maxAge, HttpOnly: true, Secure: isSecure(name), SameSite: sameSite,
	})
}

func dropBinding(w http.ResponseWriter, name string) {
	setBinding(w, name, "", -1, http.SameSiteLaxMode)
}

func isSecure(cookie string) bool { return strings.HasPrefix(cookie, hostPrefix) }

func (h *Handler) signInIDToken(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Provider string        `json:"provider" strict:"required"`
		IDToken  string        `json:"idToken" strict:"required"`
		Nonce    string        `json:"nonce"`
		Options  signUpOptions `json:"options"`
	}
	if err := h.decode(w, r, &body); err != nil {
		return err
	}
	if err := h.isIDTokenProvider(body.Provider); err != nil {
		return err
	}
	result, err := h.engine.SignInIDToken(r.Context(), auth.SignInIDTokenParams{
		Provider: body.Provider, IDToken: body.IDToken, Nonce: body.Nonce, Options: auth.SignUpOptions(body.Options),
	})
	if err != nil {
		return err
	}
	return h.replySignIn(w, result)
}

func (h *Handler) linkIDToken(w http.ResponseWriter, r *http.Request) error {
	principal, err := h.principal(w, r)
	if err != nil {
		return err
	}
	var body struct {
		Provider string `json:"provider" strict:"required"`
		IDToken  string `json:"idToken" strict:"required"`
		Nonce    string `json:"nonce"`
	}
	if err := h.decode(w, r, &body); err != nil {
		return err
	}
	if err := h.isIDTokenProvider(body.Provider); err != nil {
		return err
	}
	if err := h.engine.LinkIDToken(r.Context(), principal, auth.LinkIDTokenParams(body)); err != nil {
		return err
	}
	return reply(w, okBody)
}

// isIDTokenProvider refuses names that are neither configured nor documented for id tokens.
func (h *Handler) isIDTokenProvider(name string) error {
	if name != "apple" && name != "google" && !slices.Contains(h.engine.IDTokenProviders(), name) {
		return invalid("there is no such provider")
	}
	return nil
}

func (h *Handler) listIdentities(w http.ResponseWriter, r *http.Request) error {
	principal, err := h.principal(w, r)
	if err != nil {
		return err
	}
	identities, err := h.engine.ListIdentities(r.Context(), principal)
	if err != nil {
		return err
	}
	return reply(w, struct {
		Identities []auth.Identity `json:"identities"`
	}{identities})
}

// unlink takes the provider's id of the account from the query: it can be any text.
func (h *Handler) unlink(w http.ResponseWriter, r *http.Request) error {
	principal, err := h.principal(w, r)
	if err != nil {
		return err
	}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return invalid("the parameters are malformed")
	}
	subject, err := one(q, "subject")
	if err != nil {
		return err
	}
	err = h.engine.Unlink(r.Context(), principal, auth.UnlinkParams{Provider: r.PathValue("provider"), Subject: subject})
	if err != nil {
		return err
	}
	return reply(w, okBody)
}

// providerTokens is documented as a GET, and forgets what it hands out: with the user's cookies no other site brings it about.
func (h *Handler) providerTokens(w http.ResponseWriter, r *http.Request) error {
	if err := h.cookies.checkAsPost(r); err != nil {
		return err
	}
	principal, name, err := h.visitor(w, r)
	if err != nil {
		return err
	}
	tokens, err := h.engine.ProviderTokens(r.Context(), principal, name)
	if err != nil {
		return err
	}
	return reply(w, tokens)
}

func (h *Handler) refreshProviderTokens(w http.ResponseWriter, r *http.Request) error {
	principal, name, err := h.visitor(w, r)
	if err != nil {
		return err
	}
	var body struct {
		RefreshToken string `json:"refreshToken" strict:"required"`
	}
	if err := h.decode(w, r, &body); err != nil {
		return err
	}
	tokens, err := h.engine.RefreshProviderTokens(r.Context(), principal, auth.RefreshProviderTokensParams{
		Provider: name, RefreshToken: body.RefreshToken,
	})
	if err != nil {
		return err
	}
	return reply(w, tokens)
}

var errInvalidAdminSecret = &failure{http.StatusUnauthorized, "invalid-admin-secret", "Invalid admin secret", nil}

// refreshKeptProviderTokens is for the service's own back end, which has [auth.Config.AdminSecret].
func (h *Handler) refreshKeptProviderTokens(w http.ResponseWriter, r *http.Request) error {
	presented := strings.Join(r.Header["X-Hasura-Admin-Secret"], ",")
	err := h.engine.AuthenticateAdmin(r.Context(), presented)
	if errors.Is(err, auth.ErrUnauthenticated) {
		return errInvalidAdminSecret
	}
	if err != nil {
		return err
	}
	var body struct {
		ProviderID string    `json:"providerId" strict:"required"`
		UserID     uuid.UUID `json:"userId" strict:"required"`
	}
	if err := h.decode(w, r, &body); err != nil {
		return err
	}
	if err := h.engine.RefreshKeptProviderTokens(r.Context(), body.UserID, body.ProviderID); err != nil {
		return err
	}
	return reply(w, okBody)
}
