package httpadapter_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/httpadapter"
)

// page is a page of the service's, in a browser with an authenticator: it sends the two requests of each ceremony.
type page struct {
	h      http.Handler
	prefix string
	key    *authtest.Authenticator
}

// below returns the routes below a prefix of somebody's mux.
func (f *fixture) below(prefix string) http.Handler {
	mux := http.NewServeMux()
	f.Mount(mux, prefix)
	return mux
}

func (f *fixture) page(key *authtest.Authenticator) *page { return &page{f, "", key} }

// send sends a request as the user of a session, or as nobody.
func (p *page) send(t testing.TB, method, path, body string, s *auth.Session) *httptest.ResponseRecorder {
	t.Helper()
	var headers []string
	if s != nil {
		headers = bearer(s)
	}
	return do(t, p.h, method, p.prefix+path, body, headers...)
}

// options begins a ceremony.
func (p *page) options(t testing.TB, path, body string, s *auth.Session) json.RawMessage {
	t.Helper()
	return want200[json.RawMessage](t, p.send(t, "POST", path, body, s))
}

// answer is the body that ends a ceremony: the credential, and further members as JSON without the braces.
func answer(credential json.RawMessage, more string) string {
	if more != "" {
		more = "," + more
	}
	return `{"credential":` + string(credential) + more + `}`
}

func (p *page) signUp(t testing.TB, email, more string) *httptest.ResponseRecorder {
	t.Helper()
	options := p.options(t, "/signup/webauthn", `{"email":`+text(email)+`}`, nil)
	return p.send(t, "POST", "/signup/webauthn/verify", answer(p.key.Create(t, options), more), nil)
}

func (p *page) signIn(t testing.TB, body, more string) *httptest.ResponseRecorder {
	t.Helper()
	options := p.options(t, "/signin/webauthn", body, nil)
	return p.send(t, "POST", "/signin/webauthn/verify", answer(p.key.Get(t, options), more), nil)
}

func (p *page) add(t testing.TB, s *auth.Session, more string) *httptest.ResponseRecorder {
	t.Helper()
	options := p.options(t, "/user/webauthn/add", "", s)
	return p.send(t, "POST", "/user/webauthn/verify", answer(p.key.Create(t, options), more), s)
}

func (p *page) elevate(t testing.TB, s *auth.Session, body, more string) *httptest.ResponseRecorder {
	t.Helper()
	options := p.options(t, "/elevate/webauthn", body, s)
	return p.send(t, "POST", "/elevate/webauthn/verify", answer(p.key.Get(t, options), more), s)
}

// elevated steps up and returns the session that comes of it.
func (p *page) elevated(t testing.TB, s *auth.Session) *auth.Session {
	t.Helper()
	return want200[auth.SignInResult](t, p.elevate(t, s, "", "")).Session
}

// added is the documented answer to a key that was added.
type added struct{ ID, Nickname string }

var id = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// take removes a member of an object, of which a pattern is all that is known.
func take(t testing.TB, o object, name, pattern string) string {
	t.Helper()
	s, _ := o[name].(string)
	if !regexp.MustCompile(pattern).MatchString(s) {
		t.Errorf("%s is %v, want %s", name, o[name], pattern)
	}
	delete(o, name)
	return s
}

// WA-12: an address that is named is that of the key's user.
func TestTheAddressOfASignIn(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open)
	phone := h.page(&authtest.Authenticator{})
	want200[auth.SignInResult](t, phone.signUp(t, "ada@example.com", ""))
	h.engine.SignUp(t, "eve@example.com")
	for _, c := range []struct {
		name, begin, end string
		ok               bool
	}{
		{"at no time", ``, ``, true},
		{"at the beginning", `{"email":"ada@example.com"}`, ``, true},
		{"at the end", ``, `"email":"Ada@Example.com"`, true},
		{"another's at the end", ``, `"email":"eve@example.com"`, false},
		{"nobody's at the end", `{"email":"ada@example.com"}`, `"email":"nobody@example.com"`, false},
		{"no address at the end", ``, `"email":"ada"`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := phone.signIn(t, c.begin, c.end)
			if c.ok {
				want200[auth.SignInResult](t, w)
				return
			}
			wantRefused(t, w, 400, auth.CodeInvalidRequest)
		})
	}
}

// The options are what browsers take, bare: with all the members that are documented and no others.
func TestOptionsAreTheDocumentedOnes(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open)
	key := authtest.NewSecurityKey()
	key.NoUserVerification = false
	plugged := h.page(key)
	ada := h.engine.SignUp(t, "ada@example.com")
	want200[added](t, plugged.add(t, ada, ""))
	credential := want200[auth.SecurityKeys](t, plugged.send(t, "GET", "/user/webauthn/keys", "", ada)).Keys[0].CredentialID
	offered := []any{object{"type": "public-key", "id": credential, "transports": []any{"nfc", "usb"}}}

	// WA-26.
	const challenge, handle = `^[A-Za-z0-9_-]{43}$`, `^[A-Za-z0-9_-]{22}$`
	creation := func(more object) object {
		var params []any
		for _, alg := range []float64{-7, -35, -36, -257, -258, -259, -37, -38, -39, -8} {
			params = append(params, object{"type": "public-key", "alg": alg})
		}
		o := object{
			"rp":                     object{"id": "app.test", "name": "app.test"},
			"pubKeyCredParams":       params,
			"timeout":                60000.0,
			"attestation":            "none",
			"authenticatorSelection": object{"residentKey": "preferred", "requireResidentKey": false, "userVerification": "preferred"},
			"extensions":             object{"credProps": true},
		}
		for name, value := range more {
			o[name] = value
		}
		return o
	}
	request := func(userVerification string, more object) object {
		o := object{"timeout": 60000.0, "rpId": "app.test", "userVerification": userVerification}
		for name, value := range more {
			o[name] = value
		}
		return o
	}
	seen := map[string]bool{}
	for _, c := range []struct {
		name, path, body string
		session          *auth.Session
		want             object
	}{
		{"to sign up", "/signup/webauthn", `{"email":"New@Example.com"}`, nil, creation(object{"user": object{"name": "New@Example.com", "displayName": "New@Example.com"}})},
		{"to sign up with a name", "/signup/webauthn", `{"email":"new@example.com","options":{"displayName":"Ada L."}}`, nil, creation(object{"user": object{"name": "new@example.com", "displayName": "Ada L."}})},
		{"to sign up with a taken address", "/signup/webauthn", `{"email":"ada@example.com"}`, nil, creation(object{"user": object{"name": "ada@example.com", "displayName": "ada@example.com"}})}, // WA-21
		{"to add a key", "/user/webauthn/add", "", ada, creation(object{"user": object{"name": "ada@example.com", "displayName": "ada@example.com"}, "excludeCredentials": offered})},
		{"to add a key, with an empty object", "/user/webauthn/add", "{}", ada, creation(object{"user": object{"name": "ada@example.com", "displayName": "ada@example.com"}, "excludeCredentials": offered})},
		{"to sign in", "/signin/webauthn", "", nil, request("preferred", nil)},
		{"to sign in, with an empty object", "/signin/webauthn", "{}", nil, request("preferred", nil)},
		{"to sign in with an address", "/signin/webauthn", `{"email":"ADA@example.com"}`, nil, request("preferred", object{"allowCredentials": offered})},
		{"to step up", "/elevate/webauthn", "", ada, request("required", object{"allowCredentials": offered})},
		{"to step up, with an empty object", "/elevate/webauthn", "{}", ada, request("required", object{"allowCredentials": offered})},
		{"to step up, in the older way", "/elevate/webauthn", `{"email":"Ada@Example.com"}`, ada, request("required", object{"allowCredentials": offered})},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got object
			if err := json.Unmarshal(h.page(nil).options(t, c.path, c.body, c.session), &got); err != nil {
				t.Fatal(err)
			}
			if text := take(t, got, "challenge", challenge); seen[text] {
				t.Errorf("the challenge %s comes a second time", text)
			} else {
				seen[text] = true
			}
			if user, ok := got["user"].(object); ok {
				take(t, user, "id", handle)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("options (-want +got):\n%s", diff)
			}
		})
	}
}

// WA-27: the answer does not tell whether there is such a user.
func TestOptionsOfAnUnknownAddressLookLikeOthers(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open)
	h.engine.SignUp(t, "ada@example.com") // without a key
	for _, email := range []string{"ada@example.com", "nobody@example.com"} {
		var got object
		if err := json.Unmarshal(h.page(nil).options(t, "/signin/webauthn", `{"email":`+text(email)+`}`, nil), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"allowCredentials", "challenge", "rpId", "timeout", "userVerification"}, members(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", email, diff)
		}
		list, _ := got["allowCredentials"].([]any)
		if len(list) == 0 {
			t.Fatalf("%s: no keys are offered", email)
		}
		descriptor := list[0].(object)
		delete(descriptor, "transports") // which some authenticators do not tell
		if diff := cmp.Diff([]string{"id", "type"}, members(descriptor)); diff != "" {
			t.Errorf("%s: descriptor (-want +got):\n%s", email, diff)
		}
	}
}

// Every ceremony from its beginning to its end, at the root and below a prefix.
func TestCeremonies(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{"", "/v1", "/a/b"} {
		t.Run("below "+prefix, func(t *testing.T) {
			t.Parallel()
			h := newFixture(t, httpadapter.Options{}, open)
			phone := &page{h.below(prefix), prefix, &authtest.Authenticator{}}

			// Sign up, and in again without saying who one is.
			in := want200[object](t, phone.signUp(t, "ada@example.com", `"nickname":"phone"`))
			if diff := cmp.Diff([]string{"session"}, members(in)); diff != "" {
				t.Fatalf("sign-up (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(sessionMembers, members(in["session"].(object))); diff != "" {
				t.Fatalf("session (-want +got):\n%s", diff)
			}
			ada := want200[auth.SignInResult](t, phone.signIn(t, "", "")).Session
			if ada.User.Email != "ada@example.com" {
				t.Fatalf("signed in as %s", ada.User.Email)
			}

			// Add a key that has to be asked for by name.
			key := &page{phone.h, prefix, authtest.NewSecurityKey()}
			h.engine.Clock.Advance(time.Second)
			w := key.add(t, ada, `"nickname":"key ring"`)
			got := want200[object](t, w)
			plugged := take(t, got, "id", id.String())
			if diff := cmp.Diff(object{"nickname": "key ring"}, got); diff != "" {
				t.Errorf("added (-want +got):\n%s", diff)
			}
			want200[auth.SignInResult](t, key.signIn(t, `{"email":"ada@example.com"}`, `"email":"Ada@Example.com"`))

			// Step up: the same session, with another access token.
			up := want200[auth.SignInResult](t, phone.elevate(t, ada, "", "")).Session
			if p := h.engine.Principal(t, up); !p.Elevated || up.RefreshTokenID != ada.RefreshTokenID || up.RefreshToken != ada.RefreshToken {
				t.Errorf("stepped up to %+v with session %v, refresh token %v", p, up.RefreshTokenID, up.RefreshToken)
			}
			next := want200[auth.Session](t, phone.send(t, "POST", "/token", `{"refreshToken":`+text(up.RefreshToken)+`}`, nil)) // EL-04
			if h.engine.Principal(t, &next).Elevated {
				t.Error("a refreshed token is that of a step-up")
			}

			// The list, with what the authenticators may be told.
			list := want200[auth.SecurityKeys](t, phone.send(t, "GET", "/user/webauthn/keys", "", ada))
			if len(list.Keys) != 2 || list.Keys[0].Nickname != "phone" || list.Keys[1].ID.String() != plugged || len(list.Signals.AllAcceptedCredentials.AllAcceptedCredentialIDs) != 2 {
				t.Errorf("keys %+v", list)
			}
			list = want200[auth.SecurityKeys](t, phone.send(t, "PATCH", "/user/webauthn/keys/"+plugged, `{"nickname":"drawer"}`, ada))
			if len(list.Keys) != 2 || list.Keys[1].Nickname != "drawer" {
				t.Errorf("keys after renaming %+v", list.Keys)
			}
			list = want200[auth.SecurityKeys](t, phone.send(t, "PATCH", "/user/webauthn/keys/"+plugged, `{"nickname":""}`, ada))
			if list.Keys[1].Nickname != "" {
				t.Errorf("keys after taking the name away %+v", list.Keys)
			}
			list = want200[auth.SecurityKeys](t, phone.send(t, "DELETE", "/user/webauthn/keys/"+plugged, "", ada))
			if len(list.Keys) != 1 || list.Signals.UnknownCredential == nil {
				t.Errorf("keys after removal %+v", list)
			}
			removed := key.key.Clone()
			removed.Unchecked = true
			wantRefused(t, (&page{phone.h, prefix, removed}).signIn(t, `{"email":"ada@example.com"}`, ""), 400, auth.CodeInvalidRequest)
		})
	}
}

// Where addresses are verified, a passkey opens no session before that.
func TestASignUpWithAPasskeyAwaitsItsProof(t *testing.T) { // WA-28
	t.Parallel()
	h := newFixture(t, httpadapter.Options{})
	phone := h.page(&authtest.Authenticator{})
	w := phone.signUp(t, "ada@example.com", "")
	want200[object](t, w)
	if w.Body.String() != "{}\n" {
		t.Errorf("body %q, want {}", w.Body)
	}
	wantRefused(t, phone.signIn(t, "", ""), 401, auth.CodeUnverifiedUser)
	link := h.engine.Mailbox.Last(t, "ada@example.com").Link()
	if w := do(t, h, "GET", strings.TrimPrefix(link, authtest.ServerURL), ""); w.Code != http.StatusFound {
		t.Fatalf("the link: %d %s", w.Code, w.Body)
	}
	if s := want200[auth.SignInResult](t, phone.signIn(t, "", "")).Session; !s.User.EmailVerified {
		t.Errorf("user %+v", s.User)
	}
}

// Older clients put the nickname among the options.
func TestTheNicknameOfASignUp(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, members, want string }{
		{"stands beside the options", `"nickname":"top","options":{"displayName":"Ada"}`, "top"},
		{"or among them", `"options":{"nickname":"inner"}`, "inner"},
		{"and if in both places, beside them", `"options":{"nickname":"inner"},"nickname":"top"`, "top"},
		{"where null is absent", `"nickname":null,"options":{"nickname":"inner","redirectTo":"https://app.test/in"}`, "inner"},
		{"and empty is no name", `"nickname":"","options":{"nickname":"inner"}`, "inner"},
		{"or it is null everywhere", `"nickname":null,"options":{"nickname":null}`, ""},
		{"or nowhere", ``, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			phone := newFixture(t, httpadapter.Options{}, open).page(&authtest.Authenticator{})
			s := want200[auth.SignInResult](t, phone.signUp(t, "ada@example.com", c.members)).Session
			list := want200[auth.SecurityKeys](t, phone.send(t, "GET", "/user/webauthn/keys", "", s))
			if list.Keys[0].Nickname != c.want {
				t.Errorf("nickname %q, want %q", list.Keys[0].Nickname, c.want)
			}
		})
	}
}

// A key without a name is answered without one.
func TestTheAnswerToANewKey(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open)
	ada := h.engine.SignUp(t, "ada@example.com")
	for _, c := range []struct {
		members string
		want    []string
	}{
		{``, []string{"id"}},
		{`"nickname":null`, []string{"id"}},
		{`"nickname":""`, []string{"id"}},
		{`"nickname":"phone"`, []string{"id", "nickname"}},
	} {
		got := want200[object](t, h.page(&authtest.Authenticator{}).add(t, ada, c.members))
		if diff := cmp.Diff(c.want, members(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.members, diff)
		}
	}
}

// What the sign-up ends with is added to what it began with, and replaces it member by member.
func TestTheOptionsOfASignUpAreTakenTogether(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open)
	key := &authtest.Authenticator{}
	begun := h.page(key).options(t, "/signup/webauthn",
		`{"email":"ada@example.com","options":{"displayName":"Ada","metadata":{"a":1},"allowedRoles":["me"],"defaultRole":"me","locale":"en"}}`, nil)
	w := do(t, h, "POST", "/signup/webauthn/verify", answer(key.Create(t, begun), `"options":{"displayName":"Ada L.","metadata":null}`))
	u := want200[auth.SignInResult](t, w).Session.User
	if u.DisplayName != "Ada L." || string(u.Metadata) != `{"a":1}` || u.DefaultRole != "me" {
		t.Errorf("user %+v", u)
	}
}

// UR-13.
func TestNullCountsAsAbsentInCeremonies(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open)
	phone := h.page(&authtest.Authenticator{})
	noOptions := `"options":{"allowedRoles":null,"defaultRole":null,"displayName":null,"locale":null,"metadata":null,"redirectTo":null,"nickname":null}`
	phone.options(t, "/signup/webauthn", `{"email":"ada@example.com","options":null}`, nil)
	s := want200[auth.SignInResult](t, phone.signUp(t, "ada@example.com", noOptions+`,"nickname":null`)).Session
	want200[auth.SignInResult](t, phone.signIn(t, `{"email":null}`, `"email":null`))
	want200[auth.SignInResult](t, phone.elevate(t, s, `{"email":null}`, `"email":null`))
	w := phone.send(t, "POST", "/signup/webauthn/verify", answer(phone.key.Create(t,
		phone.options(t, "/signup/webauthn", `{"email":"eve@example.com"}`, nil)), `"options":null`), nil)
	want200[auth.SignInResult](t, w)
}

// The credential is an object of the client's: what it has besides what is signed is no error, unless it is ambiguous.
func TestCredentialsComeAsBrowsersMakeThem(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open)
	phone := h.page(&authtest.Authenticator{})
	want200[auth.SignInResult](t, phone.signUp(t, "ada@example.com", ""))
	for _, c := range []struct {
		name   string
		change func(credential string) string
		names  string // what the refusal must name; empty if it is none
	}{
		{"unchanged", func(s string) string { return s }, ""},
		{"with white space", func(s string) string { return " {\n\t" + s[1:] + "\r\n" }, ""},
		{"with extension results of all kinds", results(`{"credProps":{"rk":true},"appid":false,"x":[1,null,{"y":[]}]}`), ""},
		{"with members that are not known", func(s string) string { return `{"somethingNew":{"a":[1]},` + s[1:] }, ""},
		{"with extension results given twice", func(s string) string { return `{"clientExtensionResults":{},` + s[1:] }, "credential.clientExtensionResults is given twice"}, // UR-10
		{"with an extension given twice", results(`{"x":{"a":1,"a":2}}`), "credential.clientExtensionResults.x.a is given twice"},
		{"with half a surrogate pair", results(`{"x":"\ud800"}`), "credential.clientExtensionResults.x"},
		{"with nesting without end", results(strings.Repeat(`{"a":`, 100) + `1` + strings.Repeat(`}`, 100)), "nested too deeply"},
		{"as text", func(s string) string { return text(s) }, "credential must be an object"},
		{"as a list", func(s string) string { return "[" + s + "]" }, "credential must be an object"},
		{"as null", func(string) string { return "null" }, "credential is required"},
		{"as an empty object", func(string) string { return "{}" }, "could not be verified"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			credential := string(phone.key.Get(t, phone.options(t, "/signin/webauthn", "", nil)))
			w := phone.send(t, "POST", "/signin/webauthn/verify", `{"credential":`+c.change(credential)+`}`, nil)
			if c.names == "" {
				want200[auth.SignInResult](t, w)
				return
			}
			wantRefused(t, w, 400, auth.CodeInvalidRequest)
			if !strings.Contains(w.Body.String(), c.names) {
				t.Errorf("body %s does not say %q", w.Body, c.names)
			}
		})
	}
}

// results puts other extension results into a credential.
func results(value string) func(string) string {
	return func(s string) string {
		return strings.Replace(s, `"clientExtensionResults":{}`, `"clientExtensionResults":`+value, 1)
	}
}

// WA-03, WA-04: a challenge is good for one answer, of its own kind.
func TestAChallengeIsGoodOnce(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open)
	phone := h.page(&authtest.Authenticator{})
	s := want200[auth.SignInResult](t, phone.signUp(t, "ada@example.com", "")).Session

	used := answer(phone.key.Get(t, phone.options(t, "/signin/webauthn", "", nil)), "")
	want200[auth.SignInResult](t, phone.send(t, "POST", "/signin/webauthn/verify", used, nil))
	wantRefused(t, phone.send(t, "POST", "/signin/webauthn/verify", used, nil), 400, auth.CodeInvalidRequest)

	toSignIn := answer(phone.key.Get(t, phone.options(t, "/signin/webauthn", "", nil)), "")
	wantRefused(t, phone.send(t, "POST", "/elevate/webauthn/verify", toSignIn, s), 400, auth.CodeInvalidRequest) // EL-02
	toStepUp := answer(phone.key.Get(t, phone.options(t, "/elevate/webauthn", "", s)), "")
	wantRefused(t, phone.send(t, "POST", "/signin/webauthn/verify", toStepUp, nil), 400, auth.CodeInvalidRequest)
	toSignUp := answer((&authtest.Authenticator{}).Create(t, phone.options(t, "/signup/webauthn", `{"email":"eve@example.com"}`, nil)), "")
	wantRefused(t, phone.send(t, "POST", "/user/webauthn/verify", toSignUp, s), 400, auth.CodeInvalidRequest) // WA-33
}

// ceremonies are the routes of passkeys that answer with JSON, each with a body that is well-formed, and whether it is for
// signed-in users.
var ceremonies = []struct {
	method, path, body string
	user               bool
}{
	{"POST", "/signup/webauthn", `{"email":"new@example.com"}`, false},
	{"POST", "/signup/webauthn/verify", `{"credential":{}}`, false},
	{"POST", "/signin/webauthn", "", false},
	{"POST", "/signin/webauthn/verify", `{"credential":{}}`, false},
	{"POST", "/user/webauthn/add", "", true},
	{"POST", "/user/webauthn/verify", `{"credential":{}}`, true},
	{"GET", "/user/webauthn/keys", "", true},
	{"PATCH", "/user/webauthn/keys/2c35b6f3-c4b9-48e3-978a-d4d0f1d42e24", `{"nickname":"x"}`, true},
	{"DELETE", "/user/webauthn/keys/2c35b6f3-c4b9-48e3-978a-d4d0f1d42e24", "", true},
	{"POST", "/elevate/webauthn", "", true},
	{"POST", "/elevate/webauthn/verify", `{"credential":{}}`, true},
}

func TestPasskeysMayBeOff(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open, func(c *auth.Config) { c.WebAuthn = nil })
	ada := h.engine.SignUp(t, "ada@example.com")
	for _, rt := range ceremonies {
		wantRefused(t, h.page(nil).send(t, rt.method, rt.path, rt.body, ada), 409, auth.CodeDisabledEndpoint)
	}
	wantRefused(t, do(t, h, "GET", "/.well-known/webauthn", ""), 409, auth.CodeDisabledEndpoint)
}

func TestNobodyHasNoKeys(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open)
	for _, rt := range ceremonies {
		if !rt.user {
			continue
		}
		w := do(t, h, rt.method, rt.path, rt.body)
		wantRefused(t, w, 401, auth.CodeUnauthenticated)
		wantHeaders(t, w.Header(), "WWW-Authenticate", "Bearer")
		// A bad bearer goes before a bad body.
		w = do(t, h, rt.method, rt.path, "[", "Authorization", "Bearer x")
		wantRefused(t, w, 401, auth.CodeUnauthenticated)
		wantHeaders(t, w.Header(), "WWW-Authenticate", `Bearer error="invalid_token"`)
	}
}

func TestGuestsNeitherAddKeysNorStepUp(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open)
	in, err := h.engine.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{})
	if err != nil {
		t.Fatal(err)
	}
	for _, rt := range ceremonies {
		if !rt.user || rt.method == "GET" || rt.method == "PATCH" { // these find no key
			continue
		}
		body := rt.body
		if body != "" {
			key := authtest.Authenticator{Unchecked: true}
			body = answer(key.Create(t, h.page(nil).options(t, "/signup/webauthn", `{"email":"a@example.com"}`, nil)), "")
			if rt.path == "/elevate/webauthn/verify" {
				body = answer(key.Get(t, h.page(nil).options(t, "/signin/webauthn", "", nil)), "")
			}
		}
		w := h.page(nil).send(t, rt.method, rt.path, body, in.Session)
		wantRefused(t, w, 403, auth.CodeForbiddenAnonymous)
		wantHeaders(t, w.Header(), "WWW-Authenticate", "")
	}
}

// UR-09: another user's key is no key.
func TestKeysAreTheirOwnersAlone(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open)
	phone := h.page(&authtest.Authenticator{})
	ada := h.engine.SignUp(t, "ada@example.com")
	key := want200[added](t, phone.add(t, ada, "")).ID
	eve := h.engine.SignUp(t, "eve@example.com")
	for _, c := range []struct {
		by *auth.Session
		id string
	}{
		{eve, key},
		{ada, strings.ToUpper(key)},
		{ada, "2c35b6f3-c4b9-48e3-978a-d4d0f1d42e24"},
		{ada, "x"},
	} {
		wantRefused(t, phone.send(t, "PATCH", "/user/webauthn/keys/"+c.id, `{"nickname":"mine"}`, c.by), 404, auth.CodeRouteNotFound)
		wantRefused(t, phone.send(t, "DELETE", "/user/webauthn/keys/"+c.id, "", c.by), 404, auth.CodeRouteNotFound)
	}
	list := want200[auth.SecurityKeys](t, phone.send(t, "GET", "/user/webauthn/keys", "", ada))
	if len(list.Keys) != 1 || list.Keys[0].Nickname != "" {
		t.Errorf("keys %+v", list.Keys)
	}
	if list := want200[auth.SecurityKeys](t, phone.send(t, "GET", "/user/webauthn/keys", "", eve)); len(list.Keys) != 0 {
		t.Errorf("another's keys %+v", list.Keys)
	}
}

func TestRemovingAKeyMaySignOthersOut(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		query  string
		status int
		ends   bool
	}{
		{"", 200, false},
		{"?x=1", 200, false},
		{"?signOutOthers=false", 200, false},
		{"?signOutOthers=true", 200, true},
		{"?signOutOthers=1", 400, false},
		{"?signOutOthers=True", 400, false},
		{"?signOutOthers", 400, false},
		{"?signOutOthers=true&signOutOthers=false", 400, false},
		{"?signOutOthers=%zz", 400, false},
	} {
		t.Run(c.query, func(t *testing.T) {
			t.Parallel()
			h := newFixture(t, httpadapter.Options{}, open)
			phone := h.page(&authtest.Authenticator{})
			other := h.engine.SignUp(t, "ada@example.com")
			ada := h.engine.SignIn(t, "ada@example.com")
			key := want200[added](t, phone.add(t, ada, ""))
			w := phone.send(t, "DELETE", "/user/webauthn/keys/"+key.ID+c.query, "", ada)
			left := 1
			if c.status == http.StatusOK {
				want200[auth.SecurityKeys](t, w)
				left = 0
			} else {
				wantRefused(t, w, c.status, auth.CodeInvalidRequest)
			}
			if list := want200[auth.SecurityKeys](t, phone.send(t, "GET", "/user/webauthn/keys", "", ada)); len(list.Keys) != left {
				t.Errorf("%d keys, want %d", len(list.Keys), left)
			}
			w = phone.send(t, "POST", "/token", `{"refreshToken":`+text(other.RefreshToken)+`}`, nil)
			if (w.Code != http.StatusOK) != c.ends {
				t.Errorf("the other session: %d, want its end: %t", w.Code, c.ends)
			}
		})
	}
}

// The document that browsers look for at the root of the host, whatever the prefix of the routes.
func TestRelatedOrigins(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, func(c *auth.Config) {
		c.WebAuthn.Origins = []string{"https://example.org", "android:apk-key-hash:x"}
	})
	mux := http.NewServeMux()
	h.Mount(mux, "/v1")
	mux.Handle("/.well-known/webauthn", h)
	for _, path := range []string{"/.well-known/webauthn", "/v1/.well-known/webauthn"} {
		w := do(t, mux, "GET", path, "")
		if want := `{"origins":["https://example.org","https://app.test"]}` + "\n"; w.Code != http.StatusOK || w.Body.String() != want {
			t.Errorf("%s: %d %s, want %s", path, w.Code, w.Body, want)
		}
		wantHeaders(t, w.Header(), "Content-Type", "application/json", "Cache-Control", "public, max-age=300", "X-Content-Type-Options", "nosniff")
		w = do(t, mux, "GET", path, "", "If-None-Match", w.Header().Get("ETag"))
		if w.Code != http.StatusNotModified {
			t.Errorf("%s again: %d", path, w.Code)
		}
		wantRefused(t, do(t, mux, "POST", path, ""), 405, auth.CodeMethodNotAllowed)
	}
	if got := do(t, mux, "GET", "/.well-known/webauthn/", "").Code; got != http.StatusNotFound {
		t.Errorf("below it: %d", got)
	}
}
