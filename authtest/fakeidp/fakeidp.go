// Package fakeidp is an identity provider that runs in the process: for the tests of a service, for examples and for development,
// and never for anything else.
package fakeidp

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// The paths of a [Provider]. [Provider.Alias] adds others.
const (
	Discovery         = "/.well-known/openid-configuration"
	Keys              = "/jwks"
	Authorization     = "/authorize"
	Token             = "/token"
	Userinfo          = "/userinfo"
	RequestToken      = "/oauth1/request_token"
	AuthorizationV1   = "/oauth1/authorize" // of OAuth 1.0a, as the two beside it
	AccessToken       = "/oauth1/access_token"
	VerifyCredentials = "/1.1/account/verify_credentials.json"
)

// Provider is an identity provider that runs in the process: accounts with which people sign in elsewhere. It speaks OAuth 2.0
// (RFC 6749, 6750, 7636, 9207), OpenID Connect with discovery, OAuth 1.0a (RFC 5849) and what Apple made of these.
//
//	idp := fakeidp.New(t)
//	client := idp.Client(fakeidp.Client{RedirectURIs: []string{redirectURI}})
//	ada := idp.Account(fakeidp.Account{Email: "ada@example.com", EmailVerified: true})
//	… // the code under test says where the browser is to go
//	callback := idp.Visit(t, authorizationURL, ada)
//
// It is as strict as the strictest of the real ones: what a specification lets a provider refuse, it refuses. [Provider.Lie]
// and [Provider.Break] have it do what no honest provider does, in id tokens and everywhere else.
//
// It protects nothing: anybody who can reach it may sign in to any of its accounts. Keep it to tests, examples and
// development, on one machine. It is safe for concurrent use. Make one with [New] or [Start].
type Provider struct {
	url    string
	host   string
	server *http.Server
	stop   context.CancelFunc
	served chan struct{}

	mu       sync.Mutex
	issuer   string
	now      func() time.Time
	clients  []Client
	accounts []Account
	signedIn string // the subject of whoever need not choose
	hosts    map[string]bool
	aliases  map[string]string
	profiles map[string]func(Account) any
	requests []Request

	keys []keyPair // the last one signs
	kids int       // how many there have been

	codes     map[string]*grant
	bearers   map[string]bearer
	refreshes map[string]*grant
	consents  map[[2]string]bool // client and subject
	v1        v1State

	faults     map[string][]Fault // by path
	faultsOnce map[string][]Fault
	lies       []func(*IDToken)
	liesOnce   []func(*IDToken)
}

// Account is somebody's account at a [Provider].
type Account struct {
	// Subject is the provider's id of the account. [Provider.Account] makes one up where it is empty.
	Subject string
	Email   string // empty: there is none
	// EmailVerified says nothing where there is no Email.
	EmailVerified bool
	Name          string // empty: there is none
	Picture       string // a URL; empty: there is none
	// Extra are claims that id tokens and userinfo have besides, or in place of, those of OpenID Connect Core §5.1, whatever the
	// scope. They are marshalled to JSON.
	Extra map[string]any
}

// Client is a registration at a [Provider].
type Client struct {
	// ID is the client's id, which OAuth 1.0a calls the consumer key. [Provider.Client] makes one up where it is empty.
	ID string
	// Secret is the client's secret, which goes with HTTP Basic or in the body (RFC 6749 §2.3.1). [Provider.Client] makes one up
	// where it is empty, unless the client is public or Apple's.
	Secret string
	// Public makes a client that has no secret and proves itself by PKCE alone (RFC 6749 §2.1).
	Public bool
	// AuthMethod is the one way in which the secret may come: "client_secret_basic" or "client_secret_post". Empty: either.
	AuthMethod string
	// RedirectURIs are where browsers may be sent back to, compared byte by byte (RFC 9700 §2.1). OAuth 1.0a compares without
	// the query, as there is no state in that.
	RedirectURIs []string
	// Scopes are the ones that the client may ask for. Nil: all.
	Scopes []string
	// RequirePKCE refuses a request without a code challenge. A challenge that comes is held against the verifier in any case.
	RequirePKCE bool
	// NoRefreshToken makes a client that gets none.
	NoRefreshToken bool
	// KeepRefreshToken makes refresh tokens that can be used again and again, and are not repeated in the answer. Otherwise
	// each is good once, and a second use ends all that came of the same sign-in (RFC 9700 §4.14.2).
	KeepRefreshToken bool
	// Apple makes a client as Apple has them.
	Apple *Apple
}

// Request is a request that a [Provider] got.
type Request struct {
	Method string
	Host   string // as the client wrote it: see [Provider.Transport]
	Path   string // as the client wrote it: see [Provider.Alias]
	Header http.Header
	Query  url.Values
	Form   url.Values // of the body
}

// New returns a provider that listens on loopback until the test ends, without accounts and clients. One that cannot be
// started fails the test at once.
func New(t testing.TB) *Provider {
	t.Helper()
	p, err := Start("")
	if err != nil {
		t.Fatalf("fakeidp: %v", err)
	}
	t.Cleanup(p.Close)
	return p
}

// Start is [New] for examples and development. It listens at an address such as "localhost:9090", and where that is empty
// on loopback at a port that is free. The caller closes it.
//
// Anybody who can reach the address may sign in to any of its accounts.
func Start(addr string) (*Provider, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("identity provider: %w", err)
	}
	host := listener.Addr().String()
	if name, _, err := net.SplitHostPort(addr); err == nil && name != "" {
		_, port, _ := net.SplitHostPort(host)
		host = net.JoinHostPort(name, port)
	}
	ctx, stop := context.WithCancel(context.Background())
	p := &Provider{
		url: "http://" + host, host: host, issuer: "http://" + host,
		stop: stop, served: make(chan struct{}), now: time.Now,
		hosts: make(map[string]bool), aliases: make(map[string]string),
		codes: make(map[string]*grant), bearers: make(map[string]bearer), refreshes: make(map[string]*grant),
		consents: make(map[[2]string]bool), v1: newV1State(),
		faults: make(map[string][]Fault), faultsOnce: make(map[string][]Fault),
	}
	p.profiles = map[string]func(Account) any{VerifyCredentials: verifyCredentials}
	p.server = &http.Server{
		Handler: p, ReadHeaderTimeout: time.Minute,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	go func() {
		defer close(p.served)
		_ = p.server.Serve(listener) // until Close
	}()
	return p, nil
}

// Close ends the provider and every request that it has not answered. It may be called twice.
func (p *Provider) Close() {
	p.stop()
	_ = p.server.Close() // nothing is written that could get lost
	<-p.served
}

// URL is where the provider listens, without a slash at its end.
func (p *Provider) URL() string { return p.url }

// Issuer is the issuer of id tokens, and the base of the URLs in the discovery document. It is [Provider.URL] unless
// [Provider.SetIssuer] says otherwise.
func (p *Provider) Issuer() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.issuer
}

// SetIssuer makes the provider another one, such as https://accounts.google.com. It has no slash at its end, and may have a
// path, under which all other paths are found, too. Only [Provider.Transport] leads there.
func (p *Provider) SetIssuer(issuer string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.issuer = issuer
}

// SetNow gives the provider a clock, such as that of an authtest.Engine. The default is the machine's.
func (p *Provider) SetNow(now func() time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = now
}

// Account adds an account, or replaces the one with the same subject, and returns it with its subject.
func (p *Provider) Account(a Account) Account {
	if a.Subject == "" {
		a.Subject = rand.Text()
	}
	a.Extra = maps.Clone(a.Extra)
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.IndexFunc(p.accounts, func(b Account) bool { return a.Subject == b.Subject }); i >= 0 {
		p.accounts[i] = a
	} else {
		p.accounts = append(p.accounts, a)
	}
	return a
}

// SignedIn says with which account browsers are signed in at the provider: they are sent back without being asked. The zero
// account signs them out. So does a login_hint that is the subject or the address of an account, for that request. A request
// with a prompt other than "none" is asked in any case.
func (p *Provider) SignedIn(a Account) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.signedIn = a.Subject
}

// Client registers a client, or replaces the one with the same id, and returns it with its id and secret.
func (p *Provider) Client(c Client) Client {
	if c.ID == "" {
		c.ID = "client-" + rand.Text()
	}
	if c.Secret == "" && !c.Public && c.Apple == nil {
		c.Secret = rand.Text()
	}
	c.RedirectURIs, c.Scopes = slices.Clone(c.RedirectURIs), slices.Clone(c.Scopes)
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.IndexFunc(p.clients, func(b Client) bool { return c.ID == b.ID }); i >= 0 {
		p.clients[i] = c
	} else {
		p.clients = append(p.clients, c)
	}
	return c
}

// Profile says what GET of a path answers for the account of an access token: so the provider plays those that have no
// OpenID Connect, or, with [Userinfo], one whose userinfo is unusual. The access token comes as a bearer (RFC 6750 §2.1) or
// with a signature of OAuth 1.0a. A []byte is sent as it is, and all else as JSON.
//
//	idp.Profile("/user/emails", func(a fakeidp.Account) any {
//		return []any{map[string]any{"email": a.Email, "primary": true, "verified": a.EmailVerified}}
//	})
func (p *Provider) Profile(path string, answer func(Account) any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.profiles[path] = answer
}

// Alias serves one of the provider's paths at another one, too:
//
//	idp.Alias("/login/oauth/access_token", fakeidp.Token)
func (p *Provider) Alias(path, of string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.aliases[path] = of
}

// Transport leads to the provider whatever is sent to it or to the given hosts, in clear and without leaving the machine, and
// gives all else to next. Where that is nil, all else fails. It is how a client that knows the addresses of a real provider is
// tested:
//
//	idp.Alias("/login/oauth/access_token", fakeidp.Token)
//	idp.Profile("/user", …)
//	client := &http.Client{Transport: idp.Transport(nil, "github.com", "api.github.com")}
func (p *Provider) Transport(next http.RoundTripper, hosts ...string) http.RoundTripper {
	if next == nil {
		next = noNetwork{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, host := range hosts {
		p.hosts[host] = true
	}
	return transport{p, next, hosts}
}

type transport struct {
	p     *Provider
	next  http.RoundTripper
	hosts []string
}

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host != t.p.host && !slices.Contains(t.hosts, r.URL.Host) {
		return t.next.RoundTrip(r)
	}
	there := r.Clone(r.Context())
	if there.Host == "" {
		there.Host = r.URL.Host
	}
	there.URL.Scheme, there.URL.Host = "http", t.p.host
	answer, err := http.DefaultTransport.RoundTrip(there)
	if err != nil {
		return nil, err
	}
	answer.Request = r // where it seems to come from: a redirect is relative to that
	return answer, nil
}

// noNetwork keeps tests from depending on, or telling, anybody outside.
type noNetwork struct{}

func (noNetwork) RoundTrip(r *http.Request) (*http.Response, error) {
	return nil, errors.New("fakeidp: outbound request to " + r.URL.Host)
}

// Requests returns the requests to the given paths, or all, in the order of their arrival. A path with aliases stands for
// these, too.
func (p *Provider) Requests(paths ...string) []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(p.requests), func(r Request) bool {
		return len(paths) > 0 && !slices.Contains(paths, r.Path) && !slices.Contains(paths, p.route(r.Path))
	})
}

// route needs the lock. It returns the path that a path stands for.
func (p *Provider) route(path string) string {
	if of, ok := p.aliases[path]; ok {
		return of
	}
	if issuer, err := url.Parse(p.issuer); err == nil && issuer.Path != "" {
		if rest, ok := strings.CutPrefix(path, issuer.Path); ok && strings.HasPrefix(rest, "/") {
			return rest
		}
	}
	return path
}

// maxBody bounds what is read of a request.
const maxBody = 1 << 20

// ServeHTTP implements [http.Handler].
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := r.ParseForm(); err != nil {
		refuse(w, http.StatusBadRequest, "invalid_request", "the parameters cannot be read")
		return
	}
	p.mu.Lock()
	path := p.route(r.URL.Path)
	p.requests = append(p.requests, Request{
		Method: r.Method, Host: r.Host, Path: r.URL.Path, Header: r.Header.Clone(),
		Query: r.URL.Query(), Form: cloneValues(r.PostForm),
	})
	profile := p.profiles[path]
	faults := p.faultsOf(path)
	p.mu.Unlock()

	var handler http.HandlerFunc
	methods := []string{http.MethodGet}
	switch {
	case profile != nil:
		handler = func(w http.ResponseWriter, r *http.Request) { p.serveProfile(w, r, profile) }
	case path == Discovery:
		handler = p.serveDiscovery
	case path == Keys:
		handler = p.serveKeys
	case path == Userinfo:
		handler, methods = p.serveUserinfo, []string{http.MethodGet, http.MethodPost}
	case path == Authorization:
		handler, methods = p.serveAuthorization, []string{http.MethodGet, http.MethodPost}
	case path == Token:
		handler, methods = p.serveToken, []string{http.MethodPost}
	case path == RequestToken:
		handler, methods = p.serveRequestToken, []string{http.MethodPost}
	case path == AuthorizationV1:
		handler, methods = p.serveAuthorizationV1, []string{http.MethodGet, http.MethodPost}
	case path == AccessToken:
		handler, methods = p.serveAccessToken, []string{http.MethodPost}
	default:
		handler, methods = http.NotFound, nil
	}
	var answer http.Handler = handler
	if methods != nil && !slices.Contains(methods, r.Method) {
		answer = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Allow", strings.Join(methods, ", "))
			refuse(w, http.StatusMethodNotAllowed, "invalid_request", "the method is not one of this endpoint")
		})
	}
	for _, fault := range faults {
		if fault.wrap != nil {
			answer = fault.wrap(p, answer)
		}
	}
	answer.ServeHTTP(w, r)
}

// account needs the lock.
func (p *Provider) account(subject string) (Account, bool) {
	i := slices.IndexFunc(p.accounts, func(a Account) bool { return a.Subject == subject })
	if i < 0 || subject == "" {
		return Account{}, false
	}
	return p.accounts[i], true
}

// client needs the lock.
func (p *Provider) client(id string) (Client, bool) {
	i := slices.IndexFunc(p.clients, func(c Client) bool { return c.ID == id })
	if i < 0 || id == "" {
		return Client{}, false
	}
	return p.clients[i], true
}

// serveProfile answers with what a test says about the account of an access token.
func (p *Provider) serveProfile(w http.ResponseWriter, r *http.Request, profile func(Account) any) {
	account, _, err := p.authenticate(r)
	if err != nil {
		p.challenge(w, err)
		return
	}
	answerJSON(w, http.StatusOK, profile(account))
}

// authenticate says whose access token a request has, and with which scope.
func (p *Provider) authenticate(r *http.Request) (Account, []string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	var subject string
	var scope []string
	switch {
	case len(r.Header.Values("Authorization")) > 1:
		return Account{}, nil, errors.New("there are several credentials")
	case strings.EqualFold(scheme, "OAuth"):
		signed, err := p.checkSignature(r, v1AccessToken)
		if err != nil {
			return Account{}, nil, err
		}
		subject = signed.token.subject
	case strings.EqualFold(scheme, "Bearer"):
		b, ok := p.bearers[token]
		if !ok || b.grant.revoked {
			return Account{}, nil, errors.New("there is no such access token, or no longer")
		}
		if !p.now().Before(b.expires) {
			return Account{}, nil, errors.New("the access token has expired")
		}
		subject, scope = b.grant.subject, b.grant.scope
	default:
		return Account{}, nil, errors.New("there is no access token in the header Authorization")
	}
	account, ok := p.account(subject)
	if !ok {
		return Account{}, nil, errors.New("there is no such account")
	}
	return account, scope, nil
}

// challenge refuses an access token (RFC 6750 §3).
func (p *Provider) challenge(w http.ResponseWriter, err error) {
	w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
	refuse(w, http.StatusUnauthorized, "invalid_token", err.Error())
}

// refuse answers with an error in the form of RFC 6749 §5.2.
func refuse(w http.ResponseWriter, status int, code, description string) {
	answerJSON(w, status, map[string]string{"error": code, "error_description": description})
}

func answerJSON(w http.ResponseWriter, status int, v any) {
	body, ok := v.([]byte)
	if !ok {
		var err error
		if body, err = json.Marshal(v); err != nil {
			status = http.StatusInternalServerError
			body, _ = json.Marshal(map[string]string{"error": "server_error", "error_description": err.Error()})
		}
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store") // RFC 6749 §5.1
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func cloneValues(v url.Values) url.Values { return url.Values(http.Header(v).Clone()) }
