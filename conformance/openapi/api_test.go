package openapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/conformance/openapi"
	"github.com/ostiary/auth/httpadapter"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
)

const prefix = "/v1"

// realm is a server with the routes of an engine under a prefix, and a client whose every exchange is checked.
type realm struct {
	*authtest.Engine
	url    string
	client *http.Client
	store  *faultyStore
	seed   string // of the last second factor that was turned on
}

// setup is how a realm differs from the default.
type setup struct {
	config  func(*auth.Config)
	options httpadapter.Options
	tls     bool // and a cookie jar
}

func newRealm(t *testing.T, document func(http.RoundTripper) http.RoundTripper, s setup) *realm {
	t.Helper()
	r := &realm{store: &faultyStore{Store: memstore.New()}}
	if s.config == nil {
		s.config = func(*auth.Config) {}
	}
	r.Engine = authtest.NewWithStore(t, r.store, letters, s.config)
	handler, err := httpadapter.New(r.Engine.Engine, s.options)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	handler.Mount(mux, prefix)
	server := httptest.NewUnstartedServer(mux)
	if s.tls {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	r.url = server.URL + prefix
	r.client = &http.Client{
		Transport:     document(server.Client().Transport),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if s.tls {
		if r.client.Jar, err = cookiejar.New(nil); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// letters turns on what signs in by a letter.
func letters(c *auth.Config) {
	c.MagicLink, c.EmailOTP = &auth.MagicLinkConfig{}, &auth.EmailOTPConfig{}
}

// faultyStore fails every operation that a route needs from the moment that fail is called.
type faultyStore struct {
	store.Store
	fault atomic.Pointer[error]
}

func (s *faultyStore) fail(err error) { s.fault.Store(&err) }

func (s *faultyStore) err() error {
	if err := s.fault.Load(); err != nil {
		return *err
	}
	return nil
}

func (s *faultyStore) CreateUser(ctx context.Context, n store.NewUser) (store.User, error) {
	if err := s.err(); err != nil {
		return store.User{}, err
	}
	return s.Store.CreateUser(ctx, n)
}

func (s *faultyStore) User(ctx context.Context, q store.UserQuery) (store.Account, error) {
	if err := s.err(); err != nil {
		return store.Account{}, err
	}
	return s.Store.User(ctx, q)
}

func (s *faultyStore) SigningKeys(ctx context.Context, now time.Time) ([]store.SigningKey, error) {
	if err := s.err(); err != nil {
		return nil, err
	}
	return s.Store.SigningKeys(ctx, now)
}

func (s *faultyStore) RotateSession(ctx context.Context, r store.SessionRotation) (store.RotatedSession, error) {
	if err := s.err(); err != nil {
		return store.RotatedSession{}, err
	}
	return s.Store.RotateSession(ctx, r)
}

func (s *faultyStore) EndSessions(ctx context.Context, owner uuid.UUID, ids ...uuid.UUID) (int, error) {
	if err := s.err(); err != nil {
		return 0, err
	}
	return s.Store.EndSessions(ctx, owner, ids...)
}

func (s *faultyStore) CheckTicket(ctx context.Context, q store.TicketQuery) (store.Ticket, store.User, error) {
	if err := s.err(); err != nil {
		return store.Ticket{}, store.User{}, err
	}
	return s.Store.CheckTicket(ctx, q)
}

func (s *faultyStore) PutTicket(ctx context.Context, t store.Ticket) error {
	if err := s.err(); err != nil {
		return err
	}
	return s.Store.PutTicket(ctx, t)
}

func (s *faultyStore) Ping(ctx context.Context) error {
	if err := s.err(); err != nil {
		return err
	}
	return s.Store.Ping(ctx)
}

// request is what is sent; method and path are those of the document.
type request struct {
	method, path string
	body         string
	bearer       string
	header       map[string]string
}

func get(path string) request        { return request{method: http.MethodGet, path: path} }
func head(path string) request       { return request{method: http.MethodHead, path: path} }
func del(path string) request        { return request{method: http.MethodDelete, path: path} }
func post(path, body string) request { return request{method: http.MethodPost, path: path, body: body} }

// submit is what the form of a page sends, made of a URL with its fields in the query.
func submit(path string) request {
	path, form, _ := strings.Cut(path, "?")
	return post(path, form).with("Content-Type", "application/x-www-form-urlencoded")
}

func patch(path, body string) request {
	return request{method: http.MethodPatch, path: path, body: body}
}

func (q request) as(s *auth.Session) request { q.bearer = s.AccessToken; return q }

func (q request) with(name, value string) request {
	q.header = maps.Clone(q.header)
	if q.header == nil {
		q.header = map[string]string{}
	}
	q.header[name] = value
	return q
}

// answer is what comes back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (r *realm) send(t *testing.T, q request) answer {
	t.Helper()
	httpRequest, err := http.NewRequestWithContext(t.Context(), q.method, r.url+q.path, strings.NewReader(q.body))
	if err != nil {
		t.Fatal(err)
	}
	if q.body != "" {
		httpRequest.Header.Set("Content-Type", "application/json")
	}
	if q.bearer != "" {
		httpRequest.Header.Set("Authorization", "Bearer "+q.bearer)
	}
	for name, value := range q.header {
		httpRequest.Header.Set(name, value)
	}
	response, err := r.client.Do(httpRequest)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, body}
}

const (
	email    = "ada@example.com"
	stranger = "eve@example.com"

	another = "walnut-harbour-nine" // password
)

// to is the body that asks for a letter to an address.
func to(email string) string { return `{"email":"` + email + `"}` }

func credentialsOf(email, password string) string {
	return `{"email":"` + email + `","password":"` + password + `"}`
}

// Configurations that make a route refuse.
var (
	unverified      = setup{config: func(c *auth.Config) { c.Email.AllowUnverified = true }}
	concealed       = setup{config: func(c *auth.Config) { c.ConcealErrors = true }}
	noSignUps       = setup{config: func(c *auth.Config) { c.SignUp.Disabled = true }}
	disabledSignUps = setup{config: func(c *auth.Config) { c.SignUp.DisableNewUsers = true }}
	nothingOn       = setup{config: func(c *auth.Config) { c.Password, c.Anonymous, c.WebAuthn = nil, nil, nil }}
	noLetters       = setup{config: func(c *auth.Config) {
		c.MagicLink, c.EmailOTP, c.Mail, c.Email.AllowUnverified = nil, nil, nil, true
	}}
	notAdmitted    = setup{config: func(c *auth.Config) { c.Email.BlockedAddresses = []string{stranger} }}
	noPasskeys     = setup{config: func(c *auth.Config) { c.WebAuthn = nil }}
	stepUpRequired = setup{config: func(c *auth.Config) { c.Elevation.Mode = auth.ElevationRequired }}
	onlyPasskeys   = setup{config: func(c *auth.Config) { c.Password, c.Email.AllowUnverified = nil, true }}
	oneKeyEach     = setup{config: func(c *auth.Config) { c.WebAuthn.MaxPerUser = 1 }}
	openly         = setup{config: func(c *auth.Config) {
		c.Email.AllowUnverified = true
		c.WebAuthn.Attestation, c.WebAuthn.Attachment = "direct", "platform"
		c.WebAuthn.Hints, c.WebAuthn.GetExtensions = []string{"client-device"}, map[string]any{"uvm": true}
	}}
	checked    = setup{config: func(c *auth.Config) { c.Sessions.CheckOnVerify = true }}
	cookieMode = setup{
		config:  func(c *auth.Config) { c.Email.AllowUnverified = true },
		options: httpadapter.Options{Cookies: &httpadapter.CookieOptions{}}, tls: true,
	}
)

// signUp makes the user ada@example.com and returns their session.
func (r *realm) signUp(t *testing.T) *auth.Session { return r.SignUp(t, email) }

// disabled makes a user and disables them.
func (r *realm) disabled(t *testing.T) *auth.Session {
	t.Helper()
	s := r.signUp(t)
	r.disable(t, s)
	return s
}

// disable disables a user, whose session then ends.
func (r *realm) disable(t *testing.T, s *auth.Session) {
	t.Helper()
	yes := true
	if _, err := r.UpdateUser(t.Context(), s.User.ID, auth.UserUpdate{Disabled: &yes}); err != nil {
		t.Fatal(err)
	}
}

// link signs a user up whose address is not verified and returns the query of the link in their letter.
func (r *realm) link(t *testing.T) string {
	t.Helper()
	_, err := r.SignUpPassword(t.Context(), auth.SignUpPasswordParams{Email: email, Password: authtest.Password})
	if err != nil {
		t.Fatal(err)
	}
	link, err := url.Parse(r.Mailbox.Last(t, email).Link())
	if err != nil {
		t.Fatal(err)
	}
	return "/verify?" + link.RawQuery
}

// letter asks for a letter to an address and returns the query of its link, if it has one, and its ticket.
func (r *realm) letter(t *testing.T, to string, ask request) (link, ticket string) {
	t.Helper()
	check(t, r.send(t, ask), 200, "")
	letter := r.Mailbox.Last(t, to)
	u, err := url.Parse(letter.Link())
	if err != nil {
		t.Fatal(err)
	}
	return "/verify?" + u.RawQuery, letter.Ticket()
}

// The verifier and the challenge of RFC 7636, appendix B.
const (
	codeVerifier  = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	codeChallenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
)

// challenged has a link sent with a code challenge.
func (r *realm) challenged(t *testing.T) (link string) {
	t.Helper()
	link, _ = r.letter(t, email, post("/signin/passwordless/email", `{"email":"`+email+`","codeChallenge":"`+codeChallenge+`"}`))
	return link
}

// exchange follows such a link and returns the body that trades its code for a session.
func (r *realm) exchange(t *testing.T, verifier string) string {
	t.Helper()
	got := r.send(t, get(r.challenged(t)))
	check(t, got, 302, "")
	u, err := url.Parse(got.header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	if q := u.Query(); q.Get("code") == "" || q.Has("refreshToken") {
		t.Fatalf("redirect to %s", u)
	}
	return `{"code":"` + u.Query().Get("code") + `","codeVerifier":"` + verifier + `"}`
}

// guest signs in a user without a name.
func (r *realm) guest(t *testing.T) *auth.Session {
	t.Helper()
	in, err := r.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{})
	if err != nil {
		t.Fatal(err)
	}
	return in.Session
}

// ended is the body that ends a ceremony.
func ended(credential json.RawMessage, more string) string {
	return `{"credential":` + string(credential) + more + `}`
}

// made begins a registration and returns the body that ends it.
func (r *realm) made(t *testing.T, key *authtest.Authenticator, begin request, more string) string {
	t.Helper()
	options := r.send(t, begin)
	check(t, options, 200, "")
	return ended(key.Create(t, options.body), more)
}

// used begins an authentication and returns the body that ends it.
func (r *realm) used(t *testing.T, key *authtest.Authenticator, begin request, more string) string {
	t.Helper()
	options := r.send(t, begin)
	check(t, options, 200, "")
	return ended(key.Get(t, options.body), more)
}

// newKey gives a user a security key and returns it and the path of its record.
func (r *realm) newKey(t *testing.T, s *auth.Session) (*authtest.Authenticator, string) {
	t.Helper()
	key := &authtest.Authenticator{}
	got := r.send(t, post("/user/webauthn/verify", r.made(t, key, post("/user/webauthn/add", "").as(s), "")).as(s))
	check(t, got, 200, "")
	var record struct{ ID string }
	if err := json.Unmarshal(got.body, &record); err != nil {
		t.Fatal(err)
	}
	return key, "/user/webauthn/keys/" + record.ID
}

// user is ada@example.com, signed in, with a security key.
func (r *realm) user(t *testing.T) (*auth.Session, *authtest.Authenticator, string) {
	t.Helper()
	s := r.signUp(t)
	key, path := r.newKey(t, s)
	return s, key, path
}

// unknown are a registration and an authentication that answer no challenge of any server's.
func unknown(t *testing.T) (registration, assertion string) {
	t.Helper()
	const challenge = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	key := &authtest.Authenticator{}
	created := key.Create(t, `{"rp":{"id":"app.test","name":"a"},"user":{"id":"AAAA","name":"a","displayName":"a"},
		"challenge":"`+challenge+`","pubKeyCredParams":[{"type":"public-key","alg":-7}]}`)
	got := key.Get(t, `{"rpId":"app.test","challenge":"`+challenge+`"}`)
	return ended(created, ""), ended(got, "")
}

const nobodysKey = "/user/webauthn/keys/2c35b6f3-c4b9-48e3-978a-d4d0f1d42e24"

// A call is a request and what it is answered with.
type call struct {
	name    string
	setup   setup
	request func(*testing.T, *realm) request
	status  int
	code    auth.Code // of a failure; in a redirect, of what the query says
}

// of is a request that needs no preparation.
func of(q request) func(*testing.T, *realm) request {
	return func(*testing.T, *realm) request { return q }
}

var calls = []call{
	{"signing up sends a letter", setup{}, of(post("/signup/email-password", credentialsOf(email, authtest.Password))), 200, ""},
	{"signing up without verification opens a session", unverified, of(post("/signup/email-password", credentialsOf(email, authtest.Password))), 200, ""},
	{"signing up with all options opens a session", unverified, of(post("/signup/email-password", `{"email":"`+email+`","password":"`+authtest.Password+`","options":{
		"allowedRoles":["me"],"defaultRole":"me","displayName":"Ada","locale":"en","metadata":{"a":[1,null]},"redirectTo":"`+authtest.ClientURL+`/in"}}`)), 200, ""},
	{"null options are absent ones", unverified, of(post("/signup/email-password", `{"email":"`+email+`","password":"`+authtest.Password+`","options":{
		"allowedRoles":null,"defaultRole":null,"displayName":null,"locale":null,"metadata":null,"redirectTo":null}}`)), 200, ""},
	{"signing up needs a body", setup{}, of(post("/signup/email-password", "")), 400, auth.CodeInvalidRequest},
	{"signing up needs JSON", setup{}, of(post("/signup/email-password", "{")), 400, auth.CodeInvalidRequest},
	{"signing up knows no other member", setup{}, of(post("/signup/email-password", `{"email":"`+email+`","password":"`+authtest.Password+`","role":"admin"}`)), 400, auth.CodeInvalidRequest},
	{"signing up needs a password", setup{}, of(post("/signup/email-password", `{"email":"`+email+`"}`)), 400, auth.CodeInvalidRequest},
	{"signing up needs an address", setup{}, of(post("/signup/email-password", credentialsOf("ada", authtest.Password))), 400, auth.CodeInvalidRequest},
	{"a short password is refused", setup{}, of(post("/signup/email-password", credentialsOf(email, "short"))), 400, auth.CodePasswordTooShort},
	{"a common password is refused", setup{}, of(post("/signup/email-password", credentialsOf(email, "password123"))), 400, auth.CodePasswordBreached},
	{"another role is refused", setup{}, of(post("/signup/email-password", `{"email":"`+email+`","password":"`+authtest.Password+`","options":{"allowedRoles":["admin"]}}`)), 400, auth.CodeRoleNotAllowed},
	{"another default role is refused", setup{}, of(post("/signup/email-password", `{"email":"`+email+`","password":"`+authtest.Password+`","options":{"defaultRole":"admin"}}`)), 400, auth.CodeDefaultRoleNotAllowed},
	{"another place to go to is refused", setup{}, of(post("/signup/email-password", `{"email":"`+email+`","password":"`+authtest.Password+`","options":{"redirectTo":"https://evil.example"}}`)), 400, auth.CodeRedirectNotAllowed},
	{
		"an address that is not admitted is refused",
		setup{config: func(c *auth.Config) { c.Email.BlockedAddresses = []string{email} }},
		of(post("/signup/email-password", credentialsOf(email, authtest.Password))), 401, auth.CodeInvalidEmailPassword,
	},
	{"new users may be disabled", disabledSignUps, of(post("/signup/email-password", credentialsOf(email, authtest.Password))), 401, auth.CodeDisabledUser},
	{"signing up may be disabled", noSignUps, of(post("/signup/email-password", credentialsOf(email, authtest.Password))), 403, auth.CodeSignUpDisabled},
	{"a taken address is refused", setup{}, func(t *testing.T, r *realm) request {
		r.signUp(t)
		return post("/signup/email-password", credentialsOf(email, authtest.Password))
	}, 409, auth.CodeEmailAlreadyInUse},
	{"signing up needs passwords to be on", nothingOn, of(post("/signup/email-password", credentialsOf(email, authtest.Password))), 409, auth.CodeDisabledEndpoint},

	{"signing in opens a session", setup{}, func(t *testing.T, r *realm) request {
		r.signUp(t)
		return post("/signin/email-password", credentialsOf(email, authtest.Password))
	}, 200, ""},
	{"signing in needs a body", setup{}, of(post("/signin/email-password", "")), 400, auth.CodeInvalidRequest},
	{"a wrong password is refused", setup{}, func(t *testing.T, r *realm) request {
		r.signUp(t)
		return post("/signin/email-password", credentialsOf(email, "not the password"))
	}, 401, auth.CodeInvalidEmailPassword},
	{"an unknown address is refused", setup{}, of(post("/signin/email-password", credentialsOf(stranger, authtest.Password))), 401, auth.CodeInvalidEmailPassword},
	{"an unknown address is refused without a word where errors are concealed", concealed, of(post("/signin/email-password", credentialsOf(stranger, authtest.Password))), 400, auth.CodeInvalidRequest},
	{"an address that is not verified is refused", setup{}, func(t *testing.T, r *realm) request {
		r.link(t)
		return post("/signin/email-password", credentialsOf(email, authtest.Password))
	}, 401, auth.CodeUnverifiedUser},
	{"a disabled user is refused", setup{}, func(t *testing.T, r *realm) request {
		r.disabled(t)
		return post("/signin/email-password", credentialsOf(email, authtest.Password))
	}, 401, auth.CodeDisabledUser},
	{"signing in needs passwords to be on", nothingOn, of(post("/signin/email-password", credentialsOf(email, authtest.Password))), 409, auth.CodeDisabledEndpoint},

	{"a guest needs no body", setup{}, of(post("/signin/anonymous", "")), 200, ""},
	{"a guest may say who they are", setup{}, of(post("/signin/anonymous", `{"displayName":"Guest","locale":"en","metadata":{"a":1}}`)), 200, ""},
	{"a guest may say nothing at length", setup{}, of(post("/signin/anonymous", `{"displayName":null,"locale":null,"metadata":null}`)), 200, ""},
	{"a guest with a number for a name is refused", setup{}, of(post("/signin/anonymous", `{"displayName":7}`)), 400, auth.CodeInvalidRequest},
	{"guests may be created disabled", disabledSignUps, of(post("/signin/anonymous", "")), 401, auth.CodeDisabledUser},
	{"guests are new users", noSignUps, of(post("/signin/anonymous", "")), 403, auth.CodeSignUpDisabled},
	{"guests may be off", nothingOn, of(post("/signin/anonymous", "")), 409, auth.CodeDisabledEndpoint},

	{"a link to sign in is sent to a new user", setup{}, of(post("/signin/passwordless/email", to(email))), 200, ""},
	{"a link to sign in is sent with all options", setup{}, of(post("/signin/passwordless/email", `{"email":"`+email+`","options":{
		"allowedRoles":["me"],"defaultRole":"me","displayName":"Ada","locale":"en","metadata":{"a":[1,null]},"redirectTo":"`+authtest.ClientURL+`/in"}}`)), 200, ""},
	{"a link to sign in is sent to a user", setup{}, func(t *testing.T, r *realm) request {
		r.signUp(t)
		return post("/signin/passwordless/email", `{"email":"`+email+`","options":null}`)
	}, 200, ""},
	{"a link to sign in is not told to be for a disabled user", setup{}, func(t *testing.T, r *realm) request {
		r.disabled(t)
		return post("/signin/passwordless/email", to(email))
	}, 200, ""},
	{"a link to sign in needs an address", setup{}, of(post("/signin/passwordless/email", to("ada"))), 400, auth.CodeInvalidRequest},
	{"a link to sign in with another role is refused", setup{}, of(post("/signin/passwordless/email", `{"email":"`+email+`","options":{"allowedRoles":["admin"]}}`)), 400, auth.CodeRoleNotAllowed},
	{"a link to sign in elsewhere is refused", setup{}, of(post("/signin/passwordless/email", `{"email":"`+email+`","options":{"redirectTo":"https://evil.example"}}`)), 400, auth.CodeRedirectNotAllowed},
	{"a link to sign in to an address that is not admitted is refused", notAdmitted, of(post("/signin/passwordless/email", to(stranger))), 401, auth.CodeInvalidEmailPassword},
	{"a link to sign in to a new user may be refused", disabledSignUps, of(post("/signin/passwordless/email", to(email))), 401, auth.CodeDisabledUser},
	{"a link to sign in signs nobody up where that is disabled", noSignUps, of(post("/signin/passwordless/email", to(email))), 403, auth.CodeSignUpDisabled},
	{"links to sign in may be off", noLetters, of(post("/signin/passwordless/email", to(email))), 409, auth.CodeDisabledEndpoint},
	{
		"a link to sign in tells nothing where errors are concealed",
		setup{config: func(c *auth.Config) { c.ConcealErrors, c.SignUp.Disabled = true, true }},
		of(post("/signin/passwordless/email", to(stranger))), 200, "",
	},

	{"a code is sent to a new user", setup{}, of(post("/signin/otp/email", to(email))), 200, ""},
	{"a code is sent with all options", setup{}, of(post("/signin/otp/email", `{"email":"`+email+`","options":{
		"allowedRoles":null,"defaultRole":"me","displayName":"Ada","locale":"en","metadata":null,"redirectTo":null}}`)), 200, ""},
	{"a code needs an address", setup{}, of(post("/signin/otp/email", to("ada"))), 400, auth.CodeInvalidRequest},
	{"a code to an address that is not admitted is refused", notAdmitted, of(post("/signin/otp/email", to(stranger))), 401, auth.CodeInvalidEmailPassword},
	{"a code signs nobody up where that is disabled", noSignUps, of(post("/signin/otp/email", to(email))), 403, auth.CodeSignUpDisabled},
	{"codes may be off", noLetters, of(post("/signin/otp/email", to(email))), 409, auth.CodeDisabledEndpoint},

	{"a code signs in", setup{}, func(t *testing.T, r *realm) request {
		_, code := r.letter(t, email, post("/signin/otp/email", to(email)))
		return post("/signin/otp/email/verify", `{"email":"`+email+`","otp":"`+code+`"}`)
	}, 200, ""},
	{"a code is not a number", setup{}, of(post("/signin/otp/email/verify", `{"email":"`+email+`","otp":123456}`)), 400, auth.CodeInvalidRequest},
	{"a wrong code is refused", setup{}, func(t *testing.T, r *realm) request {
		r.letter(t, email, post("/signin/otp/email", to(email)))
		return post("/signin/otp/email/verify", `{"email":"`+email+`","otp":"x"}`)
	}, 401, auth.CodeInvalidTicket},
	{"a wrong code is refused without a word where errors are concealed", concealed, of(post("/signin/otp/email/verify", `{"email":"`+email+`","otp":"123456"}`)), 400, auth.CodeInvalidRequest},
	{"a link brings a code", setup{}, func(t *testing.T, r *realm) request {
		return get(r.challenged(t))
	}, 302, ""},
	{"a code of a link is traded for a session", setup{}, func(t *testing.T, r *realm) request {
		return post("/token/exchange", r.exchange(t, codeVerifier))
	}, 200, ""},
	{"a code of a link needs its verifier", setup{}, func(t *testing.T, r *realm) request {
		return post("/token/exchange", r.exchange(t, strings.Repeat("x", 43)))
	}, 400, auth.CodeInvalidRequest},
	{"a code challenge is a digest", setup{}, of(post("/signup/email-password", `{"email":"`+email+`","password":"`+authtest.Password+`","codeChallenge":"x"}`)), 400, auth.CodeInvalidRequest},
	{"a code of a link is of no use to a disabled user", setup{}, func(t *testing.T, r *realm) request {
		body, yes := r.exchange(t, codeVerifier), true
		u, err := r.FindUser(t.Context(), auth.UserBy{Email: email})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.UpdateUser(t.Context(), u.ID, auth.UserUpdate{Disabled: &yes}); err != nil {
			t.Fatal(err)
		}
		return post("/token/exchange", body)
	}, 401, auth.CodeDisabledUser},
	{"no code signs in where they are off", noLetters, of(post("/signin/otp/email/verify", `{"email":"`+email+`","otp":"123456"}`)), 409, auth.CodeDisabledEndpoint},

	{"a passkey is made to sign up", setup{}, of(post("/signup/webauthn", `{"email":"`+email+`"}`)), 200, ""},
	{"a passkey is made to sign up with all options", setup{}, of(post("/signup/webauthn", `{"email":"`+email+`","options":{
		"allowedRoles":["me"],"defaultRole":"me","displayName":"Ada","locale":"en","metadata":{"a":[1,null]},"redirectTo":"`+authtest.ClientURL+`/in"}}`)), 200, ""},
	{"a passkey is made as the service likes it", openly, of(post("/signup/webauthn", `{"email":"`+email+`","options":null}`)), 200, ""},
	{"a passkey needs an address to sign up", setup{}, of(post("/signup/webauthn", `{"email":"ada"}`)), 400, auth.CodeInvalidRequest},
	{"a passkey has no name before it is made", setup{}, of(post("/signup/webauthn", `{"email":"`+email+`","options":{"nickname":"x"}}`)), 400, auth.CodeInvalidRequest},
	{"a passkey for another role is refused", setup{}, of(post("/signup/webauthn", `{"email":"`+email+`","options":{"allowedRoles":["admin"]}}`)), 400, auth.CodeRoleNotAllowed},
	{
		"a passkey for an address that is not admitted is refused",
		setup{config: func(c *auth.Config) { c.Email.BlockedAddresses = []string{email} }},
		of(post("/signup/webauthn", `{"email":"`+email+`"}`)), 401, auth.CodeInvalidEmailPassword,
	},
	{"signing up with a passkey may be disabled", noSignUps, of(post("/signup/webauthn", `{"email":"`+email+`"}`)), 403, auth.CodeSignUpDisabled},
	{"signing up with a passkey needs passkeys to be on", noPasskeys, of(post("/signup/webauthn", `{"email":"`+email+`"}`)), 409, auth.CodeDisabledEndpoint},

	{"a passkey signs up", setup{}, func(t *testing.T, r *realm) request {
		return post("/signup/webauthn/verify", r.made(t, &authtest.Authenticator{}, post("/signup/webauthn", `{"email":"`+email+`"}`), ""))
	}, 200, ""},
	{"a passkey signs up and in", unverified, func(t *testing.T, r *realm) request {
		return post("/signup/webauthn/verify", r.made(t, &authtest.Authenticator{}, post("/signup/webauthn", `{"email":"`+email+`"}`),
			`,"nickname":"phone","options":{"displayName":"Ada","redirectTo":null}`))
	}, 200, ""},
	{"a passkey signs up as older clients do", unverified, func(t *testing.T, r *realm) request {
		return post("/signup/webauthn/verify", r.made(t, &authtest.Authenticator{}, post("/signup/webauthn", `{"email":"`+email+`"}`),
			`,"options":{"nickname":"phone","redirectTo":"`+authtest.ClientURL+`"},"nickname":null`))
	}, 200, ""},
	{"a passkey that nobody asked for does not sign up", setup{}, func(t *testing.T, _ *realm) request {
		registration, _ := unknown(t)
		return post("/signup/webauthn/verify", registration)
	}, 400, auth.CodeInvalidRequest},
	{"a passkey of another form does not sign up", setup{}, of(post("/signup/webauthn/verify", `{"credential":{}}`)), 400, auth.CodeInvalidRequest},
	{"a passkey of a new user may be disabled", disabledSignUps, func(t *testing.T, r *realm) request {
		return post("/signup/webauthn/verify", r.made(t, &authtest.Authenticator{}, post("/signup/webauthn", `{"email":"`+email+`"}`), ""))
	}, 401, auth.CodeDisabledUser},
	{"a passkey does not sign up where that is disabled", noSignUps, func(t *testing.T, _ *realm) request {
		registration, _ := unknown(t)
		return post("/signup/webauthn/verify", registration)
	}, 403, auth.CodeSignUpDisabled},
	{"a passkey for a taken address does not sign up", setup{}, func(t *testing.T, r *realm) request {
		r.signUp(t)
		return post("/signup/webauthn/verify", r.made(t, &authtest.Authenticator{}, post("/signup/webauthn", `{"email":"`+email+`"}`), ""))
	}, 409, auth.CodeEmailAlreadyInUse},

	{"a passkey is asked for to sign in", setup{}, of(post("/signin/webauthn", "")), 200, ""},
	{"a passkey is asked for as the service likes it", openly, of(post("/signin/webauthn", `{"email":null}`)), 200, ""},
	{"the keys of a user are asked for", setup{}, func(t *testing.T, r *realm) request {
		r.user(t)
		return post("/signin/webauthn", `{"email":"`+email+`"}`)
	}, 200, ""},
	{"the keys of nobody are asked for", setup{}, of(post("/signin/webauthn", `{"email":"`+stranger+`"}`)), 200, ""},
	{"the keys of what is no address are not", setup{}, of(post("/signin/webauthn", `{"email":"ada"}`)), 400, auth.CodeInvalidRequest},
	{"signing in with a passkey needs passkeys to be on", noPasskeys, of(post("/signin/webauthn", "")), 409, auth.CodeDisabledEndpoint},

	{"a passkey signs in", setup{}, func(t *testing.T, r *realm) request {
		_, key, _ := r.user(t)
		return post("/signin/webauthn/verify", r.used(t, key, post("/signin/webauthn", ""), `,"email":"`+email+`"`))
	}, 200, ""},
	{"a passkey that nobody asked for does not sign in", setup{}, func(t *testing.T, _ *realm) request {
		_, assertion := unknown(t)
		return post("/signin/webauthn/verify", assertion)
	}, 400, auth.CodeInvalidRequest},
	{"a passkey of a disabled user does not sign in", setup{}, func(t *testing.T, r *realm) request {
		s, key, _ := r.user(t)
		r.disable(t, s)
		return post("/signin/webauthn/verify", r.used(t, key, post("/signin/webauthn", ""), ""))
	}, 401, auth.CodeDisabledUser},
	{"a passkey of a user who is not verified does not sign in", setup{}, func(t *testing.T, r *realm) request {
		key := &authtest.Authenticator{}
		check(t, r.send(t, post("/signup/webauthn/verify", r.made(t, key, post("/signup/webauthn", `{"email":"`+email+`"}`), ""))), 200, "")
		return post("/signin/webauthn/verify", r.used(t, key, post("/signin/webauthn", ""), ""))
	}, 401, auth.CodeUnverifiedUser},
	{"a passkey does not sign in where they are off", noPasskeys, func(t *testing.T, _ *realm) request {
		_, assertion := unknown(t)
		return post("/signin/webauthn/verify", assertion)
	}, 409, auth.CodeDisabledEndpoint},
	{"a passkey does not sign up where they are off", noPasskeys, func(t *testing.T, _ *realm) request {
		registration, _ := unknown(t)
		return post("/signup/webauthn/verify", registration)
	}, 409, auth.CodeDisabledEndpoint},

	{"refreshing returns a session", setup{}, func(t *testing.T, r *realm) request {
		return post("/token", `{"refreshToken":"`+r.signUp(t).RefreshToken+`"}`)
	}, 200, ""},
	{"refreshing needs a token", setup{}, of(post("/token", `{}`)), 400, auth.CodeInvalidRequest},
	{"an unknown token is refused", setup{}, of(post("/token", `{"refreshToken":"2c35b6f3-c4b9-48e3-978a-d4d0f1d42e24"}`)), 401, auth.CodeInvalidRefreshToken},
	{"a disabled user cannot refresh", setup{}, func(t *testing.T, r *realm) request {
		return post("/token", `{"refreshToken":"`+r.disabled(t).RefreshToken+`"}`)
	}, 401, auth.CodeDisabledUser},

	{"a token in the body is verified", setup{}, func(t *testing.T, r *realm) request {
		return post("/token/verify", `{"token":"`+r.signUp(t).AccessToken+`"}`)
	}, 200, ""},
	{"a token in the header is verified", setup{}, func(t *testing.T, r *realm) request {
		return post("/token/verify", "").as(r.signUp(t))
	}, 200, ""},
	{"a bad token in the body is refused", setup{}, of(post("/token/verify", `{"token":"nonsense"}`)), 400, auth.CodeInvalidRequest},
	{"a bad token in the header is refused", setup{}, of(post("/token/verify", "").with("Authorization", "Bearer nonsense")), 401, auth.CodeUnauthenticated},

	{"signing out ends a session", setup{}, func(t *testing.T, r *realm) request {
		return post("/signout", `{"refreshToken":"`+r.signUp(t).RefreshToken+`","somethingElse":true}`)
	}, 200, ""},
	{"signing out everywhere ends all", setup{}, func(t *testing.T, r *realm) request {
		return post("/signout", `{"all":true}`).as(r.signUp(t))
	}, 200, ""},
	{"signing out needs a token", setup{}, of(post("/signout", `{}`)), 400, auth.CodeInvalidRequest},
	{"signing out everywhere needs a user", setup{}, of(post("/signout", `{"all":true}`)), 401, auth.CodeUnauthenticated},

	{"the user is returned", setup{}, func(t *testing.T, r *realm) request { return get("/user").as(r.signUp(t)) }, 200, ""},
	{"a guest is returned", setup{}, func(t *testing.T, r *realm) request {
		in, err := r.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{Metadata: json.RawMessage(`{"a":1}`)})
		if err != nil {
			t.Fatal(err)
		}
		return get("/user").as(in.Session)
	}, 200, ""},
	{"HEAD stands for GET without a body", setup{}, func(t *testing.T, r *realm) request { return head("/user").as(r.signUp(t)) }, 200, ""},
	{"the account is exported", setup{}, func(t *testing.T, r *realm) request { return get("/user/export").as(r.signUp(t)) }, 200, ""},
	{"nobody exports nothing", setup{}, of(get("/user/export")), 401, auth.CodeUnauthenticated},
	{"a disabled user exports nothing", concealed, func(t *testing.T, r *realm) request { return get("/user/export").as(r.disabled(t)) }, 400, auth.CodeInvalidRequest},
	{"the account is deleted", setup{}, func(t *testing.T, r *realm) request { return del("/user").as(r.signUp(t)) }, 200, ""},
	{"nobody deletes nobody", setup{}, of(del("/user")), 401, auth.CodeUnauthenticated},
	{"a disabled user deletes nobody", concealed, func(t *testing.T, r *realm) request { return del("/user").as(r.disabled(t)) }, 400, auth.CodeInvalidRequest},
	{"nobody has no user", setup{}, of(get("/user")), 401, auth.CodeUnauthenticated},
	{"a disabled user is told", setup{}, func(t *testing.T, r *realm) request { return get("/user").as(r.disabled(t)) }, 401, auth.CodeDisabledUser},
	{
		"a disabled user is told nothing where errors are concealed", concealed,
		func(t *testing.T, r *realm) request { return get("/user").as(r.disabled(t)) }, 400, auth.CodeInvalidRequest,
	},

	{"sessions are listed", setup{}, func(t *testing.T, r *realm) request { return get("/user/sessions").as(r.signUp(t)) }, 200, ""},
	{
		"a disabled user has no sessions where errors are concealed", concealed,
		func(t *testing.T, r *realm) request { return get("/user/sessions").as(r.disabled(t)) }, 400, auth.CodeInvalidRequest,
	},
	{
		"a disabled user revokes nothing where errors are concealed", concealed,
		func(t *testing.T, r *realm) request {
			s := r.disabled(t)
			return del("/user/sessions/" + s.RefreshTokenID.String()).as(s)
		}, 400, auth.CodeInvalidRequest,
	},
	{"nobody has no sessions", setup{}, of(get("/user/sessions")), 401, auth.CodeUnauthenticated},
	{"a session is revoked", setup{}, func(t *testing.T, r *realm) request {
		s, other := r.signUp(t), r.SignIn(t, email)
		return del("/user/sessions/" + other.RefreshTokenID.String()).as(s)
	}, 200, ""},
	{"nobody revokes nothing", setup{}, func(t *testing.T, r *realm) request {
		return del("/user/sessions/" + r.signUp(t).RefreshTokenID.String())
	}, 401, auth.CodeUnauthenticated},
	{"another's session is not found", setup{}, func(t *testing.T, r *realm) request {
		return del("/user/sessions/" + r.SignUp(t, stranger).RefreshTokenID.String()).as(r.signUp(t))
	}, 404, auth.CodeRouteNotFound},

	{"a guest becomes a user by a link", setup{}, func(t *testing.T, r *realm) request {
		return post("/user/deanonymize", `{"signInMethod":"passwordless","email":"`+email+`"}`).as(r.guest(t))
	}, 200, ""},
	{"a guest becomes a user by a password", setup{}, func(t *testing.T, r *realm) request {
		return post("/user/deanonymize", `{"signInMethod":"email-password","email":"`+email+`","password":"`+authtest.Password+`","connection":"x","options":{
			"allowedRoles":["me"],"defaultRole":"me","displayName":"Ada","locale":"en","metadata":{"a":1},"redirectTo":"`+authtest.ClientURL+`/in"}}`).as(r.guest(t))
	}, 200, ""},
	{"a guest becomes a user by saying nothing at length", setup{}, func(t *testing.T, r *realm) request {
		return post("/user/deanonymize", `{"signInMethod":"passwordless","email":"`+email+`","password":null,"connection":null,"options":null}`).as(r.guest(t))
	}, 200, ""},
	{"a guest becomes no user without a password", setup{}, func(t *testing.T, r *realm) request {
		return post("/user/deanonymize", `{"signInMethod":"email-password","email":"`+email+`"}`).as(r.guest(t))
	}, 400, auth.CodeInvalidRequest},
	{"a user is no guest", setup{}, func(t *testing.T, r *realm) request {
		return post("/user/deanonymize", `{"signInMethod":"passwordless","email":"`+stranger+`"}`).as(r.signUp(t))
	}, 400, auth.CodeUserNotAnonymous},
	{"nobody becomes a user", setup{}, of(post("/user/deanonymize", `{"signInMethod":"passwordless","email":"`+email+`"}`)), 401, auth.CodeUnauthenticated},
	{"a guest with an address that is not admitted becomes no user", notAdmitted, func(t *testing.T, r *realm) request {
		return post("/user/deanonymize", `{"signInMethod":"passwordless","email":"`+stranger+`"}`).as(r.guest(t))
	}, 401, auth.CodeInvalidEmailPassword},
	{"a guest with a taken address becomes no user", setup{}, func(t *testing.T, r *realm) request {
		r.signUp(t)
		return post("/user/deanonymize", `{"signInMethod":"passwordless","email":"`+email+`"}`).as(r.guest(t))
	}, 409, auth.CodeEmailAlreadyInUse},
	{"a guest becomes no user by what is off", noLetters, func(t *testing.T, r *realm) request {
		return post("/user/deanonymize", `{"signInMethod":"passwordless","email":"`+email+`"}`).as(r.guest(t))
	}, 409, auth.CodeDisabledEndpoint},

	{"an address is changed by a link", setup{}, func(t *testing.T, r *realm) request {
		return post("/user/email/change", `{"newEmail":"`+stranger+`","options":{"redirectTo":"`+authtest.ClientURL+`/me"}}`).as(r.signUp(t))
	}, 200, ""},
	{"an address is changed to another", setup{}, func(t *testing.T, r *realm) request {
		return post("/user/email/change", `{"newEmail":"`+email+`","options":{"redirectTo":null}}`).as(r.signUp(t))
	}, 400, auth.CodeInvalidRequest},
	{"an address is changed whatever the code challenge", setup{}, func(t *testing.T, r *realm) request {
		return post("/user/email/change", `{"newEmail":"`+stranger+`","options":null,"codeChallenge":"`+codeChallenge+`"}`).as(r.signUp(t))
	}, 200, ""},
	{"nobody changes an address", setup{}, of(post("/user/email/change", `{"newEmail":"`+stranger+`"}`)), 401, auth.CodeUnauthenticated},
	{"an address is not changed to one that is not admitted", notAdmitted, func(t *testing.T, r *realm) request {
		return post("/user/email/change", `{"newEmail":"`+stranger+`"}`).as(r.signUp(t))
	}, 401, auth.CodeInvalidEmailPassword},
	{"a guest changes no address", setup{}, func(t *testing.T, r *realm) request {
		return post("/user/email/change", `{"newEmail":"`+email+`"}`).as(r.guest(t))
	}, 403, auth.CodeForbiddenAnonymous},
	{"an address needs a step-up to be changed", stepUpRequired, func(t *testing.T, r *realm) request {
		return post("/user/email/change", `{"newEmail":"`+stranger+`"}`).as(r.signUp(t))
	}, 403, auth.CodeElevationRequired},
	{"an address is not changed to a taken one", setup{}, func(t *testing.T, r *realm) request {
		r.SignUp(t, stranger)
		return post("/user/email/change", `{"newEmail":"`+stranger+`"}`).as(r.signUp(t))
	}, 409, auth.CodeEmailAlreadyInUse},
	{"an address is not changed where no letter can be sent", noLetters, func(t *testing.T, r *realm) request {
		return post("/user/email/change", `{"newEmail":"`+stranger+`"}`).as(r.signUp(t))
	}, 409, auth.CodeDisabledEndpoint},

	{"the letter of a sign-up is sent again", setup{}, func(t *testing.T, r *realm) request {
		r.link(t)
		return post("/user/email/send-verification-email", `{"email":"`+email+`","options":{"redirectTo":"`+authtest.ClientURL+`/in"}}`)
	}, 200, ""},
	{"the letter of a sign-up is not sent to who needs none", setup{}, func(t *testing.T, r *realm) request {
		r.signUp(t)
		return post("/user/email/send-verification-email", to(email))
	}, 400, auth.CodeEmailAlreadyVerified},
	{"the letter of a sign-up is not sent to nobody", setup{}, of(post("/user/email/send-verification-email", to(stranger))), 401, auth.CodeInvalidEmailPassword},
	{"the letter of a sign-up is sent without a word where errors are concealed", concealed, of(post("/user/email/send-verification-email", to(stranger))), 200, ""},
	{"the letter of a sign-up is not sent where none can be", noLetters, of(post("/user/email/send-verification-email", to(email))), 409, auth.CodeDisabledEndpoint},

	{"a link to set a password is sent", setup{}, func(t *testing.T, r *realm) request {
		r.signUp(t)
		return post("/user/password/reset", `{"email":"`+email+`","options":{"redirectTo":"`+authtest.ClientURL+`/reset"}}`)
	}, 200, ""},
	{"a link to set a password is not told to be for nobody", setup{}, of(post("/user/password/reset", `{"email":"`+stranger+`","options":null}`)), 200, ""},
	{"a link to set a password needs an address", setup{}, of(post("/user/password/reset", to("ada"))), 400, auth.CodeInvalidRequest},
	{"a link to set a password elsewhere is refused", setup{}, of(post("/user/password/reset", `{"email":"`+email+`","options":{"redirectTo":"https://evil.example"}}`)), 400, auth.CodeRedirectNotAllowed},
	{"a link to set a password needs passwords to be on", nothingOn, of(post("/user/password/reset", to(email))), 409, auth.CodeDisabledEndpoint},

	{"a password is changed", setup{}, func(t *testing.T, r *realm) request {
		return post("/user/password", `{"newPassword":"`+another+`","currentPassword":"`+authtest.Password+`","ticket":null}`).as(r.signUp(t))
	}, 200, ""},
	{"a password is set by a ticket", setup{}, func(t *testing.T, r *realm) request {
		r.signUp(t)
		_, ticket := r.letter(t, email, post("/user/password/reset", to(email)))
		return post("/user/password", `{"newPassword":"`+another+`","ticket":"`+ticket+`","currentPassword":null}`)
	}, 200, ""},
	{"a password is set by a ticket whoever is signed in", setup{}, func(t *testing.T, r *realm) request {
		r.signUp(t)
		_, ticket := r.letter(t, email, post("/user/password/reset", to(email)))
		return post("/user/password", `{"newPassword":"`+another+`","ticket":"`+ticket+`"}`).with("Authorization", "Bearer nonsense")
	}, 200, ""},
	{"a new password that is common is refused", setup{}, func(t *testing.T, r *realm) request {
		return post("/user/password", `{"newPassword":"password123"}`).as(r.signUp(t))
	}, 400, auth.CodePasswordBreached},
	{"a ticket is not empty", setup{}, func(t *testing.T, r *realm) request {
		return post("/user/password", `{"newPassword":"`+another+`","ticket":""}`).as(r.signUp(t))
	}, 400, auth.CodeInvalidRequest},
	{"an unknown ticket sets no password", setup{}, of(post("/user/password", `{"newPassword":"`+another+`","ticket":"passwordReset:x"}`)), 401, auth.CodeInvalidTicket},
	{"nobody changes a password", setup{}, of(post("/user/password", `{"newPassword":"`+another+`"}`)), 401, auth.CodeUnauthenticated},
	{"a wrong password changes none", setup{}, func(t *testing.T, r *realm) request {
		return post("/user/password", `{"newPassword":"`+another+`","currentPassword":"wrong"}`).as(r.signUp(t))
	}, 401, auth.CodeInvalidEmailPassword},
	{"a guest changes no password", setup{}, func(t *testing.T, r *realm) request {
		return post("/user/password", `{"newPassword":"`+another+`"}`).as(r.guest(t))
	}, 403, auth.CodeForbiddenAnonymous},
	{"a password needs a step-up to be changed", stepUpRequired, func(t *testing.T, r *realm) request {
		return post("/user/password", `{"newPassword":"`+another+`","currentPassword":"`+authtest.Password+`"}`).as(r.signUp(t))
	}, 403, auth.CodeElevationRequired},
	{"a password is asked for after a while", setup{}, func(t *testing.T, r *realm) request {
		s := r.signUp(t)
		r.Clock.Advance(11 * time.Minute)
		return post("/user/password", `{"newPassword":"`+another+`"}`).as(s)
	}, 403, auth.CodeElevationRequired},
	{"no password is set where they are off", nothingOn, func(t *testing.T, r *realm) request {
		return post("/user/password", `{"newPassword":"`+another+`","ticket":"passwordReset:x"}`)
	}, 409, auth.CodeDisabledEndpoint},

	{"a key is made to be added", setup{}, func(t *testing.T, r *realm) request { return post("/user/webauthn/add", "").as(r.signUp(t)) }, 200, ""},
	{"another key is made to be added", setup{}, func(t *testing.T, r *realm) request {
		s, _, _ := r.user(t)
		return post("/user/webauthn/add", "{}").as(s)
	}, 200, ""},
	{"a key is made for nobody else", setup{}, func(t *testing.T, r *realm) request {
		return post("/user/webauthn/add", `{"email":"`+stranger+`"}`).as(r.signUp(t))
	}, 400, auth.CodeInvalidRequest},
	{"a key too many is not made", oneKeyEach, func(t *testing.T, r *realm) request {
		s, _, _ := r.user(t)
		return post("/user/webauthn/add", "").as(s)
	}, 400, auth.CodeInvalidRequest},
	{"a key is not made for nobody", setup{}, of(post("/user/webauthn/add", "")), 401, auth.CodeUnauthenticated},
	{"a key is not made for a guest", setup{}, func(t *testing.T, r *realm) request { return post("/user/webauthn/add", "").as(r.guest(t)) }, 403, auth.CodeForbiddenAnonymous},
	{"a second key needs a step-up to be made", stepUpRequired, func(t *testing.T, r *realm) request {
		s, _, _ := r.user(t)
		return post("/user/webauthn/add", "").as(s)
	}, 403, auth.CodeElevationRequired},
	{"a key is not made where they are off", noPasskeys, func(t *testing.T, r *realm) request { return post("/user/webauthn/add", "").as(r.signUp(t)) }, 409, auth.CodeDisabledEndpoint},

	{"a key is added", setup{}, func(t *testing.T, r *realm) request {
		s := r.signUp(t)
		return post("/user/webauthn/verify", r.made(t, authtest.NewSecurityKey(), post("/user/webauthn/add", "").as(s), "")).as(s)
	}, 200, ""},
	{"a key is added with a name", setup{}, func(t *testing.T, r *realm) request {
		s := r.signUp(t)
		return post("/user/webauthn/verify", r.made(t, authtest.NewSecurityKey(), post("/user/webauthn/add", "").as(s), `,"nickname":"key ring"`)).as(s)
	}, 200, ""},
	{"a key with a long name is not added", setup{}, func(t *testing.T, r *realm) request {
		s := r.signUp(t)
		more := `,"nickname":"` + strings.Repeat("x", 65) + `"`
		return post("/user/webauthn/verify", r.made(t, authtest.NewSecurityKey(), post("/user/webauthn/add", "").as(s), more)).as(s)
	}, 400, auth.CodeInvalidRequest},
	{"a key is not added for nobody", setup{}, func(t *testing.T, _ *realm) request {
		registration, _ := unknown(t)
		return post("/user/webauthn/verify", registration)
	}, 401, auth.CodeUnauthenticated},
	{"a second key needs a step-up to be added", stepUpRequired, func(t *testing.T, r *realm) request {
		s := r.signUp(t)
		end := r.made(t, authtest.NewSecurityKey(), post("/user/webauthn/add", "").as(s), "")
		r.newKey(t, r.SignIn(t, email))
		return post("/user/webauthn/verify", end).as(s)
	}, 403, auth.CodeElevationRequired},
	{"a key is not added where they are off", noPasskeys, func(t *testing.T, r *realm) request {
		registration, _ := unknown(t)
		return post("/user/webauthn/verify", registration).as(r.signUp(t))
	}, 409, auth.CodeDisabledEndpoint},

	{"keys are listed", setup{}, func(t *testing.T, r *realm) request {
		s, key, _ := r.user(t)
		check(t, r.send(t, post("/signin/webauthn/verify", r.used(t, key, post("/signin/webauthn", ""), ""))), 200, "")
		return get("/user/webauthn/keys").as(s)
	}, 200, ""},
	{"a guest has no keys", setup{}, func(t *testing.T, r *realm) request { return get("/user/webauthn/keys").as(r.guest(t)) }, 200, ""},
	{"nobody has no keys", setup{}, of(get("/user/webauthn/keys")), 401, auth.CodeUnauthenticated},
	{
		"a disabled user has no keys where errors are concealed", concealed,
		func(t *testing.T, r *realm) request { return get("/user/webauthn/keys").as(r.disabled(t)) }, 400, auth.CodeInvalidRequest,
	},
	{"keys are not listed where they are off", noPasskeys, func(t *testing.T, r *realm) request { return get("/user/webauthn/keys").as(r.signUp(t)) }, 409, auth.CodeDisabledEndpoint},

	{"a key is renamed", setup{}, func(t *testing.T, r *realm) request {
		s, _, path := r.user(t)
		return patch(path, `{"nickname":"phone"}`).as(s)
	}, 200, ""},
	{"a key's name is taken away", setup{}, func(t *testing.T, r *realm) request {
		s, _, path := r.user(t)
		return patch(path, `{"nickname":""}`).as(s)
	}, 200, ""},
	{"a key is renamed to something", setup{}, func(t *testing.T, r *realm) request {
		s, _, path := r.user(t)
		return patch(path, `{"nickname":null}`).as(s)
	}, 400, auth.CodeInvalidRequest},
	{"nobody renames nothing", setup{}, func(t *testing.T, r *realm) request {
		_, _, path := r.user(t)
		return patch(path, `{"nickname":"phone"}`)
	}, 401, auth.CodeUnauthenticated},
	{"another's key is not renamed", setup{}, func(t *testing.T, r *realm) request {
		_, _, path := r.user(t)
		return patch(path, `{"nickname":"phone"}`).as(r.SignUp(t, stranger))
	}, 404, auth.CodeRouteNotFound},
	{"a key is not renamed where they are off", noPasskeys, func(t *testing.T, r *realm) request {
		return patch(nobodysKey, `{"nickname":"phone"}`).as(r.signUp(t))
	}, 409, auth.CodeDisabledEndpoint},

	{"a key is removed", setup{}, func(t *testing.T, r *realm) request {
		s, _, path := r.user(t)
		return del(path).as(s)
	}, 200, ""},
	{"a key is removed and others signed out", setup{}, func(t *testing.T, r *realm) request {
		s, _, path := r.user(t)
		return del(path + "?signOutOthers=true").as(s)
	}, 200, ""},
	{"a key is removed with a clear word", setup{}, func(t *testing.T, r *realm) request {
		s, _, path := r.user(t)
		return del(path + "?signOutOthers=yes").as(s)
	}, 400, auth.CodeInvalidRequest},
	{"the last way to sign in is not removed", onlyPasskeys, func(t *testing.T, r *realm) request {
		got := r.send(t, post("/signup/webauthn/verify", r.made(t, &authtest.Authenticator{}, post("/signup/webauthn", `{"email":"`+email+`"}`), "")))
		var in auth.SignInResult
		if err := json.Unmarshal(got.body, &in); err != nil || in.Session == nil {
			t.Fatal(err, string(got.body))
		}
		keys, err := r.ListSecurityKeys(t.Context(), r.Principal(t, in.Session))
		if err != nil {
			t.Fatal(err)
		}
		return del("/user/webauthn/keys/" + keys.Keys[0].ID.String()).as(in.Session)
	}, 400, auth.CodeInvalidRequest},
	{"nobody removes nothing", setup{}, func(t *testing.T, r *realm) request {
		_, _, path := r.user(t)
		return del(path)
	}, 401, auth.CodeUnauthenticated},
	{"a key needs a step-up to be removed", stepUpRequired, func(t *testing.T, r *realm) request {
		s, _, path := r.user(t)
		return del(path).as(s)
	}, 403, auth.CodeElevationRequired},
	{"another's key is not removed", setup{}, func(t *testing.T, r *realm) request {
		_, _, path := r.user(t)
		return del(path).as(r.SignUp(t, stranger))
	}, 404, auth.CodeRouteNotFound},
	{"a key is not removed where they are off", noPasskeys, func(t *testing.T, r *realm) request {
		return del(nobodysKey).as(r.signUp(t))
	}, 409, auth.CodeDisabledEndpoint},

	{"a key is asked for to step up", setup{}, func(t *testing.T, r *realm) request {
		s, _, _ := r.user(t)
		return post("/elevate/webauthn", "").as(s)
	}, 200, ""},
	{"a key is asked for to step up as older clients do", setup{}, func(t *testing.T, r *realm) request {
		s, _, _ := r.user(t)
		return post("/elevate/webauthn", `{"email":"`+email+`"}`).as(s)
	}, 200, ""},
	{"another's key is not asked for", setup{}, func(t *testing.T, r *realm) request {
		s, _, _ := r.user(t)
		return post("/elevate/webauthn", `{"email":"`+stranger+`"}`).as(s)
	}, 400, auth.CodeInvalidRequest},
	{"nobody steps up", setup{}, of(post("/elevate/webauthn", "")), 401, auth.CodeUnauthenticated},
	{"a guest does not step up", setup{}, func(t *testing.T, r *realm) request { return post("/elevate/webauthn", "").as(r.guest(t)) }, 403, auth.CodeForbiddenAnonymous},
	{"stepping up needs passkeys to be on", noPasskeys, func(t *testing.T, r *realm) request { return post("/elevate/webauthn", "").as(r.signUp(t)) }, 409, auth.CodeDisabledEndpoint},

	{"a key steps up", setup{}, func(t *testing.T, r *realm) request {
		s, key, _ := r.user(t)
		return post("/elevate/webauthn/verify", r.used(t, key, post("/elevate/webauthn", "").as(s), "")).as(s)
	}, 200, ""},
	{"a key steps up as older clients do", setup{}, func(t *testing.T, r *realm) request {
		s, key, _ := r.user(t)
		return post("/elevate/webauthn/verify", r.used(t, key, post("/elevate/webauthn", "").as(s), `,"email":"`+email+`"`)).as(s)
	}, 200, ""},
	{"a key that nobody asked for does not step up", setup{}, func(t *testing.T, r *realm) request {
		s, _, _ := r.user(t)
		_, assertion := unknown(t)
		return post("/elevate/webauthn/verify", assertion).as(s)
	}, 400, auth.CodeInvalidRequest},
	{"nobody has stepped up", setup{}, func(t *testing.T, _ *realm) request {
		_, assertion := unknown(t)
		return post("/elevate/webauthn/verify", assertion)
	}, 401, auth.CodeUnauthenticated},
	{"a guest has not stepped up", setup{}, func(t *testing.T, r *realm) request {
		_, assertion := unknown(t)
		return post("/elevate/webauthn/verify", assertion).as(r.guest(t))
	}, 403, auth.CodeForbiddenAnonymous},
	{"nobody has stepped up where passkeys are off", noPasskeys, func(t *testing.T, r *realm) request {
		_, assertion := unknown(t)
		return post("/elevate/webauthn/verify", assertion).as(r.signUp(t))
	}, 409, auth.CodeDisabledEndpoint},

	{"a link signs in", setup{}, func(t *testing.T, r *realm) request { return get(r.link(t)) }, 302, ""},
	{"a link to sign in signs in", setup{}, func(t *testing.T, r *realm) request {
		link, _ := r.letter(t, email, post("/signin/passwordless/email", to(email)))
		return get(link)
	}, 302, ""},
	{"a link to set a password signs in", setup{}, func(t *testing.T, r *realm) request {
		r.signUp(t)
		link, _ := r.letter(t, email, post("/user/password/reset", to(email)))
		return get(link)
	}, 302, ""},
	{"a link to a new address leads there", setup{}, func(t *testing.T, r *realm) request {
		link, _ := r.letter(t, stranger, post("/user/email/change", `{"newEmail":"`+stranger+`"}`).as(r.signUp(t)))
		return get(link)
	}, 302, ""},
	{"a link to an address that was taken meanwhile says so where it leads", setup{}, func(t *testing.T, r *realm) request {
		link, _ := r.letter(t, stranger, post("/user/email/change", `{"newEmail":"`+stranger+`"}`).as(r.signUp(t)))
		r.SignUp(t, stranger)
		return get(link)
	}, 302, auth.CodeEmailAlreadyInUse},
	{"a used link says so where it leads", setup{}, func(t *testing.T, r *realm) request {
		link := r.link(t)
		r.send(t, get(link))
		return get(link)
	}, 302, auth.CodeInvalidTicket},
	{"a link that leads elsewhere leads home", setup{}, of(get("/verify?ticket=verifyEmail:x&redirectTo=https://evil.example")), 302, auth.CodeRedirectNotAllowed},
	{"a link without a ticket is broken", setup{}, of(get("/verify?redirectTo=" + authtest.ClientURL)), 400, auth.CodeInvalidRequest},
	{"a prefetch is refused", setup{}, func(t *testing.T, r *realm) request {
		return get(r.link(t)).with("Sec-Purpose", "prefetch")
	}, 400, auth.CodeInvalidRequest},
	{"a look at a link is free", setup{}, func(t *testing.T, r *realm) request { return head(r.link(t)) }, 200, ""},

	{"the key set is public", setup{}, of(get("/.well-known/jwks.json")), 200, ""},
	{"the key set need not be sent twice", setup{}, func(t *testing.T, r *realm) request {
		return get("/.well-known/jwks.json").with("If-None-Match", r.send(t, get("/.well-known/jwks.json")).header.Get("ETag"))
	}, 304, ""},
	{"related origins are public", setup{}, of(get("/.well-known/webauthn")), 200, ""},
	{"related origins need not be sent twice", setup{}, of(get("/.well-known/webauthn").with("If-None-Match", "*")), 304, ""},
	{"no origins are related where passkeys are off", noPasskeys, of(get("/.well-known/webauthn")), 409, auth.CodeDisabledEndpoint},
	{"the version is public", setup{}, of(get("/version")), 200, ""},
	{"the server is healthy", setup{}, of(get("/healthz")), 200, ""},
	{"the server is healthy in few words", setup{}, of(head("/healthz")), 200, ""},
	{"the document describes itself", setup{}, of(get("/openapi.yaml")), 200, ""},
	{"the document need not be sent twice", setup{}, of(get("/openapi.yaml").with("If-None-Match", "*")), 304, ""},

	{"an unknown path is not found", setup{}, of(get("/nowhere")), 404, auth.CodeRouteNotFound},
	{"a slash at the end is another path", setup{}, of(post("/token/", `{}`)), 404, auth.CodeRouteNotFound},
	{"the root is not found", setup{}, of(get("/")), 404, auth.CodeRouteNotFound},
	{"another method is not allowed", setup{}, of(get("/token")), 405, auth.CodeMethodNotAllowed},
	{"another method of an item is not allowed", setup{}, of(post("/user/sessions/2c35b6f3-c4b9-48e3-978a-d4d0f1d42e24", "{}")), 405, auth.CodeMethodNotAllowed},
}

// unsafeRoutes are all routes that take a body or change something, with a body that is good for each.
func unsafeRoutes(t *testing.T, s *auth.Session) []request {
	registration, assertion := unknown(t)
	return []request{
		post("/signup/email-password", credentialsOf(stranger, authtest.Password)),
		post("/signin/email-password", credentialsOf(email, authtest.Password)),
		post("/signin/anonymous", `{}`),
		post("/signin/passwordless/email", to(stranger)),
		post("/signin/otp/email", to(stranger)),
		post("/signin/otp/email/verify", `{"email":"`+email+`","otp":"123456"}`),
		post("/signin/passwordless/sms", texted("")),
		post("/signin/passwordless/sms/otp", textedCode("123456")),
		post("/user/deanonymize", `{"signInMethod":"passwordless","email":"`+stranger+`"}`).as(s),
		post("/user/deanonymize/sms", texted("")).as(s),
		post("/user/deanonymize/sms/verify", textedCode("123456")).as(s),
		post("/user/phone-number/change", changed("")).as(s),
		post("/user/phone-number/change/verify", changed(`,"otp":"123456"`)).as(s),
		post("/user/email/change", `{"newEmail":"`+stranger+`"}`).as(s),
		post("/user/email/send-verification-email", to(email)),
		post("/user/password", `{"newPassword":"`+another+`"}`).as(s),
		post("/user/password", `{"newPassword":"`+another+`","ticket":"passwordReset:x"}`),
		post("/user/password/reset", to(email)),
		post("/token", `{"refreshToken":"`+s.RefreshToken+`"}`),
		post("/token/verify", `{"token":"`+s.AccessToken+`"}`),
		post("/token/exchange", `{"code":"code:x","codeVerifier":"`+codeVerifier+`"}`),
		post("/signout", `{"refreshToken":"`+s.RefreshToken+`"}`),
		del("/user/sessions/" + s.RefreshTokenID.String()).as(s),
		post("/signup/webauthn", `{"email":"`+stranger+`"}`),
		post("/signup/webauthn/verify", registration),
		post("/signin/webauthn", `{}`),
		post("/signin/webauthn/verify", assertion),
		post("/user/webauthn/add", `{}`).as(s),
		post("/user/webauthn/verify", registration).as(s),
		patch(nobodysKey, `{"nickname":"phone"}`).as(s),
		del(nobodysKey).as(s),
		post("/elevate/webauthn", `{}`).as(s),
		post("/elevate/webauthn/verify", assertion).as(s),
		del("/user").as(s),
		submit("/verify?ticket=verifyEmail:x&redirectTo="),
	}
}

// TestEveryAnswerIsAsDocumented drives every route through success and every failure that the document names, and checks
// each exchange against it. An answer that is documented and that nothing here brings about fails the test.
func TestEveryAnswerIsAsDocumented(t *testing.T) {
	t.Parallel()
	document := served(t)
	t.Run("calls", func(t *testing.T) {
		newRealm := func(t *testing.T, s setup) *realm {
			return newRealm(t, func(next http.RoundTripper) http.RoundTripper { return document.Transport(t, next) }, s)
		}
		for _, c := range slices.Concat(calls, letterCalls, phoneCalls, limitCalls, factorCalls, providerCalls, captchaCalls()) {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				r := newRealm(t, c.setup)
				check(t, r.send(t, c.request(t, r)), c.status, c.code)
			})
		}
		t.Run("of second factors, tokens and step-ups", func(t *testing.T) { factorAnswers(t, newRealm) })
		t.Run("of identity providers", func(t *testing.T) { providerAnswers(t, newRealm) })
		t.Run("a body that is too large is refused", func(t *testing.T) {
			t.Parallel()
			r := newRealm(t, setup{})
			for _, q := range unsafeRoutes(t, r.signUp(t)) {
				if q.body != "" {
					q.body = `{"x":"` + strings.Repeat("x", 64<<10) + `"}`
					check(t, r.send(t, q), 413, auth.CodeInvalidRequest)
				}
			}
		})
		t.Run("a body of another type is refused", func(t *testing.T) {
			t.Parallel()
			r := newRealm(t, setup{})
			for _, q := range unsafeRoutes(t, r.signUp(t)) {
				if q.body != "" {
					check(t, r.send(t, q.with("Content-Type", "text/plain")), 415, auth.CodeInvalidRequest)
				}
			}
		})
		t.Run("with cookies the tokens are not in the body", func(t *testing.T) {
			t.Parallel()
			r := newRealm(t, cookieMode)
			for _, q := range []request{
				post("/signup/email-password", credentialsOf(email, authtest.Password)),
				post("/signin/email-password", credentialsOf(email, authtest.Password)),
				post("/token", ""), post("/token/verify", ""), get("/user"), get("/user/sessions"),
				post("/signout", ""), post("/signin/anonymous", ""), post("/signout", `{"all":true}`),
			} {
				got := r.send(t, q)
				check(t, got, 200, "")
				var body struct {
					auth.Session
					In *auth.Session `json:"session"`
				}
				// Some bodies are no objects: they have no tokens.
				if json.Unmarshal(got.body, &body) == nil && body.In != nil {
					body.Session = *body.In
				}
				if body.AccessToken != "" || body.RefreshToken != "" {
					t.Errorf("%s: %s", q.path, got.body)
				}
			}
			check(t, r.send(t, get("/user")), 401, auth.CodeUnauthenticated)
		})
		t.Run("with cookies no ceremony's tokens are in the body", func(t *testing.T) {
			t.Parallel()
			r := newRealm(t, cookieMode)
			key := &authtest.Authenticator{}
			for _, end := range []func() request{
				func() request {
					return post("/signup/webauthn/verify", r.made(t, key, post("/signup/webauthn", `{"email":"`+email+`"}`), ""))
				},
				func() request {
					return post("/elevate/webauthn/verify", r.used(t, key, post("/elevate/webauthn", ""), ""))
				},
				func() request {
					return post("/signin/webauthn/verify", r.used(t, key, post("/signin/webauthn", ""), ""))
				},
			} {
				got := r.send(t, end())
				check(t, got, 200, "")
				var body auth.SignInResult
				if err := json.Unmarshal(got.body, &body); err != nil || body.Session == nil || body.Session.AccessToken+body.Session.RefreshToken != "" {
					t.Errorf("%v %s", err, got.body)
				}
			}
			check(t, r.send(t, get("/user/webauthn/keys")), 200, "")
		})
		t.Run("with cookies no letter's tokens are in the body", func(t *testing.T) {
			t.Parallel()
			r := newRealm(t, cookieMode)
			check(t, r.send(t, post("/signin/anonymous", "")), 200, "")
			link, _ := r.letter(t, email, post("/user/deanonymize", `{"signInMethod":"passwordless","email":"`+email+`"}`))
			if got := r.send(t, get(link)); got.status != 302 || strings.Contains(got.header.Get("Location"), "refreshToken") {
				t.Error(got.status, got.header.Get("Location"))
			}
			_, code := r.letter(t, email, post("/signin/otp/email", to(email)))
			got := r.send(t, post("/signin/otp/email/verify", `{"email":"`+email+`","otp":"`+code+`"}`))
			check(t, got, 200, "")
			var body auth.SignInResult
			if err := json.Unmarshal(got.body, &body); err != nil || body.Session == nil || body.Session.AccessToken+body.Session.RefreshToken != "" {
				t.Errorf("%v %s", err, got.body)
			}
			check(t, r.send(t, post("/user/password", `{"newPassword":"`+another+`"}`)), 200, "")
			check(t, r.send(t, post("/user/email/change", `{"newEmail":"`+stranger+`"}`)), 200, "")
			check(t, r.send(t, get("/user")), 200, "")
		})
		t.Run("with cookies no text message's tokens are in the body", func(t *testing.T) {
			t.Parallel()
			r := newRealm(t, cookieMode)
			for _, routes := range [][2]string{
				{"/signin/passwordless/sms", "/signin/passwordless/sms/otp"},
				{"/user/deanonymize/sms", "/user/deanonymize/sms/verify"},
			} {
				body := texted("")
				if routes[0] != "/signin/passwordless/sms" {
					check(t, r.send(t, post("/signin/anonymous", "")), 200, "")
					body = `{"phoneNumber":"` + otherNumber + `"}`
				}
				check(t, r.send(t, post(routes[0], body)), 200, "")
				body = strings.TrimSuffix(body, "}") + `,"otp":"` + r.Phone.All()[len(r.Phone.All())-1].Code + `"}`
				got := r.send(t, post(routes[1], body))
				check(t, got, 200, "")
				var in auth.SignInResult
				if err := json.Unmarshal(got.body, &in); err != nil || in.Session == nil || in.Session.AccessToken+in.Session.RefreshToken != "" {
					t.Errorf("%v %s", err, got.body)
				}
			}
			code := r.text(t, post("/user/phone-number/change", `{"newPhoneNumber":"+41791234569"}`), "+41791234569")
			check(t, r.send(t, post("/user/phone-number/change/verify", `{"newPhoneNumber":"+41791234569","otp":"`+code+`"}`)), 200, "")
		})
		t.Run("with cookies a link has no token", func(t *testing.T) {
			t.Parallel()
			r := newRealm(t, setup{options: cookieMode.options, tls: true})
			got := r.send(t, get(r.link(t)))
			check(t, got, 302, "")
			if strings.Contains(got.header.Get("Location"), "refreshToken") {
				t.Error(got.header.Get("Location"))
			}
		})
		t.Run("with cookies another site is refused", func(t *testing.T) {
			t.Parallel()
			r := newRealm(t, cookieMode)
			for _, q := range unsafeRoutes(t, r.signUp(t)) {
				check(t, r.send(t, q.with("Origin", "https://evil.example")), 403, auth.CodeInvalidRequest)
			}
		})
		t.Run("too much is refused", func(t *testing.T) {
			t.Parallel()
			var enough atomic.Bool
			r := newRealm(t, setup{config: func(c *auth.Config) {
				// A service's own limit.
				c.Hooks.BeforeSession = func(context.Context, *auth.User, []string) error {
					if enough.Load() {
						return auth.ErrTooManyRequests
					}
					return nil
				}
				c.Hooks.BeforeSignUp = func(ctx context.Context, _ *auth.SignUp) error { return c.Hooks.BeforeSession(ctx, nil, nil) }
				c.Hooks.Claims = func(ctx context.Context, _ *auth.User) (map[string]any, error) {
					return nil, c.Hooks.BeforeSession(ctx, nil, nil)
				}
			}})
			session := r.SignUp(t, email)
			_, err := r.SignUpPassword(t.Context(), auth.SignUpPasswordParams{Email: stranger, Password: authtest.Password})
			if err != nil {
				t.Fatal(err)
			}
			ticket := url.QueryEscape(r.Mailbox.Last(t, stranger).Ticket())
			key, _ := r.newKey(t, session)
			_, code := r.letter(t, email, post("/signin/otp/email", to(email)))
			guest := r.guest(t)
			made := r.made(t, &authtest.Authenticator{}, post("/signup/webauthn", `{"email":"new@example.com"}`), "")
			used := r.used(t, key, post("/signin/webauthn", ""), "")
			steppedUp := r.used(t, key, post("/elevate/webauthn", "").as(session), "")
			exchange := r.exchange(t, codeVerifier)
			enough.Store(true)
			for _, q := range []request{
				post("/signup/email-password", credentialsOf("new@example.com", authtest.Password)),
				post("/signin/email-password", credentialsOf(email, authtest.Password)),
				post("/signin/anonymous", `{}`),
				post("/signin/passwordless/email", to("new@example.com")),
				post("/signin/otp/email", to("new@example.com")),
				post("/signin/otp/email/verify", `{"email":"`+email+`","otp":"`+code+`"}`),
				post("/user/deanonymize", `{"signInMethod":"passwordless","email":"new@example.com"}`).as(guest),
				post("/token", `{"refreshToken":"`+session.RefreshToken+`"}`),
				post("/token/exchange", exchange),
				get("/verify?redirectTo=&ticket=" + ticket),
				submit("/verify?redirectTo=&ticket=" + ticket),
				post("/signup/webauthn/verify", made),
				post("/signin/webauthn/verify", used),
				post("/elevate/webauthn/verify", steppedUp).as(session),
			} {
				check(t, r.send(t, q), 429, auth.CodeTooManyRequests)
			}
		})
		for status, fault := range map[int]error{500: errors.New("the disk is full"), 503: context.DeadlineExceeded} {
			t.Run("a fault of the store is answered with "+http.StatusText(status), func(t *testing.T) {
				t.Parallel()
				r := newRealm(t, checked)
				link, session := r.link(t), r.SignUp(t, stranger)
				r.store.fail(fault)
				for _, q := range append(unsafeRoutes(t, session), get(link), submit(link), get("/user").as(session), get("/user/export").as(session),
					get("/user/sessions").as(session), get("/user/webauthn/keys").as(session)) {
					check(t, r.send(t, q), status, auth.CodeInternal)
				}
				if status == 503 {
					check(t, r.send(t, get("/healthz")), status, auth.CodeInternal)
					check(t, r.send(t, head("/healthz")), status, "")
				}
				if log := r.Logs.String(); log != "" {
					t.Errorf("the engine logs what it returns: %s", log)
				}
				rotating := newRealm(t, setup{config: func(c *auth.Config) { c.AccessTokens.Rotate = &auth.RotationConfig{} }})
				rotating.store.fail(fault)
				check(t, rotating.send(t, get("/.well-known/jwks.json")), status, auth.CodeInternal)
				if log := rotating.Logs.String(); log != "" {
					t.Errorf("the engine logs what it returns: %s", log)
				}
			})
		}
	})
	t.Run("too many requests are refused, whatever they are", func(t *testing.T) {
		r := newRealm(t, func(next http.RoundTripper) http.RoundTripper { return document.Transport(t, next) },
			setup{config: func(c *auth.Config) { c.Limits = auth.LimitsConfig{RequestsPerClient: once} }})
		check(t, r.send(t, get("/version")), 200, "")
		params := strings.NewReplacer("{id}", uuid.NewString(), "{provider}", "github")
		for _, e := range document.Unseen() {
			code := auth.CodeTooManyRequests
			if e.Method == http.MethodHead {
				code = "" // there is no body
			}
			if e.Status == 429 {
				check(t, r.send(t, request{method: e.Method, path: params.Replace(e.Path)}), 429, code)
			}
		}
	})
	unseen := document.Unseen()
	for _, e := range unseen {
		t.Errorf("%s is documented, and no call has brought it about", e)
	}
}

// check compares an answer with what was expected of it. The body has been checked against the document.
func check(t *testing.T, got answer, status int, code auth.Code) {
	t.Helper()
	if got.status != status {
		t.Errorf("the status is %d, want %d: %s", got.status, status, got.body)
		return
	}
	if code == "" {
		return
	}
	if status == http.StatusFound || status == http.StatusSeeOther {
		location, err := url.Parse(got.header.Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		if in := location.Query().Get("error"); in != string(code) {
			t.Errorf("the redirect to %s has the error %q, want %q", location, in, code)
		}
		return
	}
	var failure struct{ Error auth.Code }
	if err := json.Unmarshal(got.body, &failure); err != nil {
		t.Fatal(err)
	}
	if failure.Error != code {
		t.Errorf("the error is %q, want %q: %s", failure.Error, code, got.body)
	}
	if challenge := got.header.Get("WWW-Authenticate"); status == http.StatusForbidden && (challenge != "") != (code == auth.CodeElevationRequired) {
		t.Errorf("the answer %s has the challenge %q", got.body, challenge)
	}
}

// served is the document that a server serves of itself.
func served(t *testing.T) *openapi.Document {
	t.Helper()
	r := newRealm(t, func(next http.RoundTripper) http.RoundTripper { return next }, setup{})
	text := r.send(t, get("/openapi.yaml"))
	document, err := openapi.Load(text.body, prefix)
	if err != nil {
		t.Fatalf("%v\n%s", err, text.body)
	}
	return document
}
