package authtest

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

// The paths of an [IdP]. [IdP.Alias] adds others.
const (
	IdPDiscovery         = "/.well-known/openid-configuration"
	IdPKeys              = "/jwks"
	IdPAuthorization     = "/authorize"
	IdPToken             = "/token"
	IdPUserinfo          = "/userinfo"
	IdPRequestToken      = "/oauth1/request_token"
	IdPAuthorizationV1   = "/oauth1/authorize" // of OAuth 1.0a, as the two beside it
	IdPAccessToken       = "/oauth1/access_token"
	IdPVerifyCredentials = "/1.1/account/verify_credentials.json"
)

// IdP is an identity provider that runs in the process: accounts with which people sign in elsewhere. It speaks OAuth 2.0
// (RFC 6749, 6750, 7636, 9207), OpenID Connect with discovery, OAuth 1.0a (RFC 5849) and what Apple made of these.
//
//	idp := authtest.NewIdP(t)
//	client := idp.Client(authtest.IdPClient{RedirectURIs: []string{redirectURI}})
//	ada := idp.Account(authtest.IdPAccount{Email: "ada@example.com", EmailVerified: true})
//	… // the code under test says where the browser is to go
//	callback := idp.Visit(t, authorizationURL, ada)
//
// It is as strict as the strictest of the real ones: what a specification lets a provider refuse it refuses. What it should do
// that no honest provider does, a test says: see [IdP.Lie] for id tokens and [IdP.Break] for all else.
//
// Its secrets guard nothing: it is for tests, examples and development, on the machine where it runs. It is safe for
// concurrent use. Make one with [NewIdP] or [StartIdP].
type IdP struct {
	url    string
	host   string
	server *http.Server
	stop   context.CancelFunc
	served chan struct{}

	mu       sync.Mutex
	issuer   string
	now      func() time.Time
	clients  []IdPClient
	accounts []IdPAccount
	signedIn string // the subject of whoever needs not choose
	hosts    map[string]bool
	aliases  map[string]string
	profiles map[string]func(IdPAccount) any
	requests []IdPRequest

	keys []idpKey // the last one signs
	kids int      // how many there have been

	codes     map[string]*idpGrant
	bearers   map[string]idpBearer
	refreshes map[string]*idpGrant
	consents  map[[2]string]bool // client and subject
	v1        idpV1

	faults     map[string][]IdPFault // by path
	faultsOnce map[string][]IdPFault
	lies       []func(*IDToken)
	liesOnce   []func(*IDToken)
}

// IdPAccount is somebody's account at an [IdP].
type IdPAccount struct {
	// Subject is the provider's id of the account. [IdP.Account] makes one up where it is empty.
	Subject string
	Email   string // empty: there is none
	// EmailVerified is told of an address only.
	EmailVerified bool
	Name          string // empty: there is none
	Picture       string // a URL; empty: there is none
	// Extra are claims that id tokens and userinfo have besides, or in place of, those of OpenID Connect Core §5.1, whatever the
	// scope. They are marshalled to JSON.
	Extra map[string]any
}

// IdPClient is a registration at an [IdP].
type IdPClient struct {
	// ID is the client's id, which OAuth 1.0a calls the consumer key. [IdP.Client] makes one up where it is empty.
	ID string
	// Secret is the client's secret, which goes with HTTP Basic or in the body (RFC 6749 §2.3.1). [IdP.Client] makes one up
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
	Apple *IdPApple
}

// IdPRequest is a request that an [IdP] got.
type IdPRequest struct {
	Method string
	Host   string // as the client wrote it: see [IdP.Transport]
	Path   string // as the client wrote it: see [IdP.Alias]
	Header http.Header
	Query  url.Values
	Form   url.Values // of the body
}

// NewIdP returns a provider that listens on loopback until the test ends, without accounts and clients. One that cannot be
// started fails the test at once.
func NewIdP(t testing.TB) *IdP {
	t.Helper()
	p, err := StartIdP("")
	if err != nil {
		t.Fatalf("authtest: %v", err)
	}
	t.Cleanup(p.Close)
	return p
}

// StartIdP is [NewIdP] for examples and development. It listens at an address such as "localhost:9090", and where that is empty
// on loopback at a port that is free. The caller closes it.
//
// Whoever reaches it comes into any of its accounts. It is not to be reached by others.
func StartIdP(addr string) (*IdP, error) {
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
	p := &IdP{
		url: "http://" + host, host: host, issuer: "http://" + host,
		stop: stop, served: make(chan struct{}), now: time.Now,
		hosts: make(map[string]bool), aliases: make(map[string]string),
		codes: make(map[string]*idpGrant), bearers: make(map[string]idpBearer), refreshes: make(map[string]*idpGrant),
		consents: make(map[[2]string]bool), v1: newIdPV1(),
		faults: make(map[string][]IdPFault), faultsOnce: make(map[string][]IdPFault),
	}
	p.profiles = map[string]func(IdPAccount) any{IdPVerifyCredentials: verifyCredentials}
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
func (p *IdP) Close() {
	p.stop()
	_ = p.server.Close() // nothing is written that could get lost
	<-p.served
}

// URL is where the provider listens, without a slash at its end.
func (p *IdP) URL() string { return p.url }

// Issuer is the issuer of id tokens, and the base of the URLs that discovery tells. It is [IdP.URL] unless [IdP.SetIssuer] says
// otherwise.
func (p *IdP) Issuer() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.issuer
}

// SetIssuer makes the provider another one, such as https://accounts.google.com. It has no slash at its end, and may have a
// path, under which all other paths are found, too. Only [IdP.Transport] leads there.
func (p *IdP) SetIssuer(issuer string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.issuer = issuer
}

// SetNow gives the provider a clock, such as that of an [Engine]. At first it goes with the machine's.
func (p *IdP) SetNow(now func() time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = now
}

// Account keeps an account, in place of one with the same subject, and returns it with its subject.
func (p *IdP) Account(a IdPAccount) IdPAccount {
	if a.Subject == "" {
		a.Subject = rand.Text()
	}
	a.Extra = maps.Clone(a.Extra)
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.IndexFunc(p.accounts, func(b IdPAccount) bool { return a.Subject == b.Subject }); i >= 0 {
		p.accounts[i] = a
	} else {
		p.accounts = append(p.accounts, a)
	}
	return a
}

// SignedIn says with which account browsers are signed in at the provider: they are sent back without being asked. The zero
// account signs them out. So does a login_hint that is the subject or the address of an account, for that request. A request
// with a prompt other than "none" is asked in any case.
func (p *IdP) SignedIn(a IdPAccount) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.signedIn = a.Subject
}

// Client registers a client, in place of one with the same id, and returns it with its id and secret.
func (p *IdP) Client(c IdPClient) IdPClient {
	if c.ID == "" {
		c.ID = "client-" + rand.Text()
	}
	if c.Secret == "" && !c.Public && c.Apple == nil {
		c.Secret = rand.Text()
	}
	c.RedirectURIs, c.Scopes = slices.Clone(c.RedirectURIs), slices.Clone(c.Scopes)
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.IndexFunc(p.clients, func(b IdPClient) bool { return c.ID == b.ID }); i >= 0 {
		p.clients[i] = c
	} else {
		p.clients = append(p.clients, c)
	}
	return c
}

// Profile says what GET of a path answers for the account of an access token: so the provider plays those that have no
// OpenID Connect, or, with [IdPUserinfo], one whose userinfo is unusual. The access token comes as a bearer (RFC 6750 §2.1) or
// with a signature of OAuth 1.0a. A []byte is sent as it is, and all else as JSON.
//
//	idp.Profile("/user/emails", func(a authtest.IdPAccount) any {
//		return []any{map[string]any{"email": a.Email, "primary": true, "verified": a.EmailVerified}}
//	})
func (p *IdP) Profile(path string, answer func(IdPAccount) any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.profiles[path] = answer
}

// Alias serves one of the provider's paths at another one, too:
//
//	idp.Alias("/login/oauth/access_token", authtest.IdPToken)
func (p *IdP) Alias(path, of string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.aliases[path] = of
}

// Transport leads to the provider whatever is sent to it or to the given hosts, in clear and without leaving the machine, and
// gives all else to next. Where that is nil, all else fails. It is how a client that knows the addresses of a real provider is
// tested:
//
//	idp.Alias("/login/oauth/access_token", authtest.IdPToken)
//	idp.Profile("/user", …)
//	client := &http.Client{Transport: idp.Transport(nil, "github.com", "api.github.com")}
func (p *IdP) Transport(next http.RoundTripper, hosts ...string) http.RoundTripper {
	if next == nil {
		next = noNetwork{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, host := range hosts {
		p.hosts[host] = true
	}
	return idpTransport{p, next, hosts}
}

type idpTransport struct {
	p     *IdP
	next  http.RoundTripper
	hosts []string
}

func (t idpTransport) RoundTrip(r *http.Request) (*http.Response, error) {
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

// Requests returns the requests to the given paths, or all, in the order of their arrival. A path with aliases stands for
// these, too.
func (p *IdP) Requests(paths ...string) []IdPRequest {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(p.requests), func(r IdPRequest) bool {
		return len(paths) > 0 && !slices.Contains(paths, r.Path) && !slices.Contains(paths, p.route(r.Path))
	})
}

// route needs the lock. It returns the path that a path stands for.
func (p *IdP) route(path string) string {
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

// maxIdPBody bounds what is read of a request.
const maxIdPBody = 1 << 20

// ServeHTTP implements [http.Handler].
func (p *IdP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxIdPBody)
	if err := r.ParseForm(); err != nil {
		refuse(w, http.StatusBadRequest, "invalid_request", "the parameters cannot be read")
		return
	}
	p.mu.Lock()
	path := p.route(r.URL.Path)
	p.requests = append(p.requests, IdPRequest{
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
	case path == IdPDiscovery:
		handler = p.serveDiscovery
	case path == IdPKeys:
		handler = p.serveKeys
	case path == IdPUserinfo:
		handler, methods = p.serveUserinfo, []string{http.MethodGet, http.MethodPost}
	case path == IdPAuthorization:
		handler, methods = p.serveAuthorization, []string{http.MethodGet, http.MethodPost}
	case path == IdPToken:
		handler, methods = p.serveToken, []string{http.MethodPost}
	case path == IdPRequestToken:
		handler, methods = p.serveRequestToken, []string{http.MethodPost}
	case path == IdPAuthorizationV1:
		handler, methods = p.serveAuthorizationV1, []string{http.MethodGet, http.MethodPost}
	case path == IdPAccessToken:
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
func (p *IdP) account(subject string) (IdPAccount, bool) {
	i := slices.IndexFunc(p.accounts, func(a IdPAccount) bool { return a.Subject == subject })
	if i < 0 || subject == "" {
		return IdPAccount{}, false
	}
	return p.accounts[i], true
}

// client needs the lock.
func (p *IdP) client(id string) (IdPClient, bool) {
	i := slices.IndexFunc(p.clients, func(c IdPClient) bool { return c.ID == id })
	if i < 0 || id == "" {
		return IdPClient{}, false
	}
	return p.clients[i], true
}

// serveProfile answers with what a test says about the account of an access token.
func (p *IdP) serveProfile(w http.ResponseWriter, r *http.Request, profile func(IdPAccount) any) {
	account, _, err := p.authenticate(r)
	if err != nil {
		p.challenge(w, err)
		return
	}
	answerJSON(w, http.StatusOK, profile(account))
}

// authenticate says whose access token a request has, and with which scope.
func (p *IdP) authenticate(r *http.Request) (IdPAccount, []string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	var subject string
	var scope []string
	switch {
	case len(r.Header.Values("Authorization")) > 1:
		return IdPAccount{}, nil, errors.New("there are several credentials")
	case strings.EqualFold(scheme, "OAuth"):
		signed, err := p.checkSignature(r, v1AccessToken)
		if err != nil {
			return IdPAccount{}, nil, err
		}
		subject = signed.token.subject
	case strings.EqualFold(scheme, "Bearer"):
		b, ok := p.bearers[token]
		if !ok || b.grant.revoked {
			return IdPAccount{}, nil, errors.New("there is no such access token, or no longer")
		}
		if !p.now().Before(b.expires) {
			return IdPAccount{}, nil, errors.New("the access token has expired")
		}
		subject, scope = b.grant.subject, b.grant.scope
	default:
		return IdPAccount{}, nil, errors.New("there is no access token in the header Authorization")
	}
	account, ok := p.account(subject)
	if !ok {
		return IdPAccount{}, nil, errors.New("there is no such account")
	}
	return account, scope, nil
}

// challenge refuses an access token (RFC 6750 §3).
func (p *IdP) challenge(w http.ResponseWriter, err error) {
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
