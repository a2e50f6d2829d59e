package httpadapter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/textproto"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/internal/clientaddr"
	"github.com/ostiary/auth/internal/strictjson"
)

// Options say how a [Handler] behaves. The zero value serves same-origin and non-browser clients that hold their tokens
// themselves.
type Options struct {
	// AllowedOrigins are the origins whose pages may call the routes from a browser (CORS), each exactly as a browser
	// sends it: scheme://host[:port] in lower case, without a default port or a trailing slash. "*" allows every origin
	// and cannot be combined with Cookies. The default is none: no CORS header is ever sent (OWASP ASVS 5.0 3.4.2).
	AllowedOrigins []string

	// TrustedProxies are the addresses of the proxies in front of the service. The client's address, which limits,
	// events and session lists use, is that of the peer unless the peer is one of these.
	TrustedProxies []netip.Prefix
	// ProxyHeader is the header to which the trusted proxies add: "X-Forwarded-For" or "Forwarded" (RFC 7239). The other one is
	// never read. The default is "X-Forwarded-For".
	ProxyHeader string

	// MaxBody bounds request bodies, in bytes: from 1 KiB to 16 MiB. The default is 64 KiB.
	MaxBody int64
	// Timeout bounds the work for one request; what takes longer is answered with 503. The default is 30 seconds, the
	// maximum 10 minutes. It does not bound handlers behind [Handler.RequireUser].
	Timeout time.Duration

	// ConfirmLinks puts a page between the links in letters and what they do: GET /verify answers with a button, which posts
	// the ticket to POST /verify. The default follows a link at once, as documented, and so do the programs that open
	// links to look for malice before the mail's reader can: a link that one of them has opened is used up.
	ConfirmLinks bool

	// RefuseConnect turns the documented parameter connect of GET /signin/provider/{provider} off. It has an access token in a
	// URL, and a link with somebody's own token in it has whoever follows it link their account at the provider to that user.
	// POST /link/provider/{provider} does what it is for without either.
	RefuseConnect bool

	// Cookies turns on cookie mode, for server-rendered sites. The default is off: cookies are neither read nor set.
	Cookies *CookieOptions

	// Logger receives one line for each response with a 5xx status, and for each redirect that tells a browser of such a
	// fault: method, route, status and cause, never the query, a header or a body. The default discards.
	Logger *slog.Logger
}

// Handler serves the routes of one engine. It is an [http.Handler] whose routes begin at the root, and safe for
// concurrent use.
type Handler struct {
	engine  *auth.Engine
	limits  strictjson.Limits
	maxBody int64
	timeout time.Duration
	clients *clientaddr.Resolver
	cors    cors
	cookies *cookies // nil where cookie mode is off
	log     *slog.Logger
	root    http.Handler
	proxied sync.Once // the operator has been told of a proxy that is not configured

	confirmLinks  bool
	refuseConnect bool
	binding       string // what the cookies of visits to identity providers begin with
}

// OptionError is one mistake in [Options]. The error of [New] joins one for each; [errors.As] finds the first.
type OptionError struct {
	Field string // such as "AllowedOrigins" or "Cookies.Name", or "engine"
	Err   error  // what is wrong
}

func (e *OptionError) Error() string { return e.Field + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *OptionError) Unwrap() error { return e.Err }

// New returns a handler for the engine's routes. It reports every mistake in the options at once, each an [*OptionError]
// that names the field.
func New(engine *auth.Engine, o Options) (*Handler, error) {
	var mistakes []error
	mistake := func(field string, err error) {
		if err != nil {
			mistakes = append(mistakes, &OptionError{field, err})
		}
	}
	if engine == nil {
		mistake("engine", errors.New("is nil"))
	}
	if o.MaxBody == 0 {
		o.MaxBody = 64 << 10
	}
	if o.MaxBody < 1<<10 || o.MaxBody > 16<<20 {
		mistake("MaxBody", fmt.Errorf("is %d; it must be from %d to %d", o.MaxBody, 1<<10, 16<<20))
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Timeout < 0 || o.Timeout > 10*time.Minute {
		mistake("Timeout", fmt.Errorf("is %v; it must be positive and at most 10m", o.Timeout))
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	header, err := proxyHeader(o)
	mistake("ProxyHeader", err)
	clients, err := clientaddr.New(o.TrustedProxies, header)
	mistake("TrustedProxies", err)
	cors, err := newCORS(o.AllowedOrigins, o.Cookies != nil)
	mistake("AllowedOrigins", err)
	cookies := newCookies(o.Cookies, o.AllowedOrigins, mistake)
	if len(mistakes) > 0 {
		return nil, fmt.Errorf("httpadapter: options: %w", errors.Join(mistakes...))
	}
	h := &Handler{
		engine:  engine,
		limits:  strictjson.Limits{FreeForm: int(o.MaxBody)}, // how much metadata is too much is the engine's rule
		maxBody: o.MaxBody,
		timeout: o.Timeout,
		clients: clients,
		cors:    cors,
		cookies: cookies,
		log:     o.Logger,

		confirmLinks:  o.ConfirmLinks,
		refuseConnect: o.RefuseConnect,
		binding:       bindingPrefix(engine.ProviderRedirectURI("")),
	}
	h.root = h.router("")
	return h, nil
}

func proxyHeader(o Options) (clientaddr.Header, error) {
	switch name := textproto.CanonicalMIMEHeaderKey(o.ProxyHeader); {
	case name != "" && len(o.TrustedProxies) == 0:
		return clientaddr.None, errors.New("is not read without TrustedProxies")
	case len(o.TrustedProxies) == 0:
		return clientaddr.None, nil
	case name == "", name == "X-Forwarded-For":
		return clientaddr.XForwardedFor, nil
	case name == "Forwarded":
		return clientaddr.Forwarded, nil
	}
	return clientaddr.None, fmt.Errorf("%q is neither X-Forwarded-For nor Forwarded", o.ProxyHeader)
}

// ServeHTTP serves the routes at the root.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.root.ServeHTTP(w, r) }

// Mount serves the routes on mux under a prefix: "", "/v1" or "/a/b". Everything below the prefix is then the handler's,
// unless mux has a more specific pattern. A request whose path is not clean (//, /./, /../) does not come this far: mux
// itself redirects it to the clean path.
//
// What browsers look for at the root of a host, whatever the prefix, is served there by h itself:
// mux.Handle("/.well-known/webauthn", h).
//
// Mount panics where [http.ServeMux.Handle] does, which is a mistake in the program: if the prefix is not a clean path,
// or if mux has a pattern that conflicts, such as "GET /" beside a prefix (use "GET /{$}" or "/").
func (h *Handler) Mount(mux *http.ServeMux, prefix string) {
	prefix = strings.TrimRight(prefix, "/")
	routes := h.router(prefix)
	mux.Handle(prefix+"/", routes)
	if prefix != "" {
		mux.Handle(prefix, routes) // or mux would redirect it
	}
}

// NotFound answers any request as an unknown route is answered: for the rest of a mux on which nothing else is.
func (h *Handler) NotFound(w http.ResponseWriter, r *http.Request) {
	setHeaders(w.Header())
	h.fail(w, r, errRouteNotFound)
}

// withClient returns the context of a request, in which the engine finds who calls, and what they have answered to a captcha.
func (h *Handler) withClient(r *http.Request) context.Context {
	address := h.clients.From(r.RemoteAddr, r.Header)
	if (len(r.Header["X-Forwarded-For"]) > 0 || len(r.Header["Forwarded"]) > 0) && (address.IsPrivate() || address.IsLoopback()) {
		h.proxied.Do(func() {
			h.log.WarnContext(r.Context(), "requests come through a proxy that TrustedProxies does not have, or that does not say for whom:"+
				" all its clients count as one in limits", slog.String("address", address.String()))
		})
	}
	return auth.WithClient(withCaptcha(r.Context(), r), auth.Client{Address: address, UserAgent: r.UserAgent()})
}

// attempt calls f and answers its failure, if it fails. A panic is a failure like others; only its type and stack are
// logged, because its value may hold anything.
func (h *Handler) attempt(w http.ResponseWriter, r *http.Request, f func() error) (ok bool) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if v == http.ErrAbortHandler {
			panic(v)
		}
		what := fmt.Sprintf("panic of type %T", v)
		if fault, isRuntime := v.(runtime.Error); isRuntime {
			what = "panic: " + fault.Error()
		}
		h.fail(w, r, fmt.Errorf("%s\n%s", what, debug.Stack()))
	}()
	if err := f(); err != nil {
		h.fail(w, r, err)
		return false
	}
	return true
}
