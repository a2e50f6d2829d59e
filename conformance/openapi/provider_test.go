package openapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/httpadapter"
	"github.com/ostiary/auth/provider"
)

// somewhere is a provider that is asked nothing over the network: its codes, access tokens and id tokens are profiles as JSON.
type somewhere struct{ down bool }

func (s somewhere) Authorize(_ context.Context, _ provider.Env, r provider.Request) (provider.Authorization, error) {
	if s.down {
		return provider.Authorization{}, errors.New("down")
	}
	return provider.Authorization{URL: "https://idp.test/authorize?state=" + url.QueryEscape(r.State)}, nil
}

func (somewhere) Exchange(_ context.Context, env provider.Env, r provider.Return) (provider.Tokens, error) {
	code := r.Values.Get("code")
	if code == "" {
		return provider.Tokens{}, errors.New("invalid_grant")
	}
	return provider.Tokens{AccessToken: code, RefreshToken: "theirs", ExpiresAt: env.Now().Add(time.Hour)}, nil
}

func (somewhere) Profile(_ context.Context, _ provider.Env, _ provider.Return, t provider.Tokens) (p provider.Profile, err error) {
	return p, json.Unmarshal([]byte(t.AccessToken), &p)
}

func (s somewhere) Refresh(context.Context, provider.Env, string) (provider.Tokens, error) {
	if s.down {
		return provider.Tokens{}, errors.New("down")
	}
	return provider.Tokens{AccessToken: "new"}, nil
}

func (somewhere) VerifyIDToken(_ context.Context, _ provider.Env, idToken, _ string) (p provider.Profile, err error) {
	return p, json.Unmarshal([]byte(idToken), &p)
}

const adminSecret = "plum-tractor-eleven-harbour"

// withProvider is where there is a provider, here, and what differs from the default beside that.
func withProvider(s setup) setup { return with(somewhere{}, s) }

func with(here somewhere, s setup) setup {
	amend := s.config
	s.config = func(c *auth.Config) {
		c.Providers = map[string]provider.Provider{"here": here}
		c.IDTokens = map[string]provider.IDTokenVerifier{"here": here}
		c.AdminSecret = auth.Secret(adminSecret)
		if amend != nil {
			amend(c)
		}
	}
	return s
}

var visits = withProvider(setup{})

// person is an account at the provider, as a code or an id token.
func person(subject, email string, verified bool) string {
	text, err := json.Marshal(provider.Profile{Subject: subject, Email: email, EmailVerified: verified})
	if err != nil {
		panic(err)
	}
	return string(text)
}

var (
	ada    = person("1", email, true)
	nobody = person("2", "", false)
)

// withIDToken is a body with an id token, and more members.
func withIDToken(token, more string) string {
	text, err := json.Marshal(token)
	if err != nil {
		panic(err)
	}
	return `{"provider":"here","idToken":` + string(text) + more + `}`
}

// leave begins a visit and returns its state and its cookie.
func (r *realm) leave(t *testing.T, begin request) (state, cookie string) {
	t.Helper()
	got := r.send(t, begin)
	check(t, got, 302, "")
	return returned(t, got.header.Get("Location"), got.header)
}

// returned reads what a browser must bring back of a visit.
func returned(t *testing.T, location string, header http.Header) (state, cookie string) {
	t.Helper()
	to, err := url.Parse(location)
	if err != nil || to.Query().Get("state") == "" {
		t.Fatalf("the visit leads to %q: %v", location, err)
	}
	cookie, _, _ = strings.Cut(header.Get("Set-Cookie"), ";")
	return to.Query().Get("state"), cookie
}

// ends is the request that ends a visit, by get or by submit, which begins with a query.
func ends(by func(string) request, begin string, brought url.Values) func(*testing.T, *realm) request {
	return func(t *testing.T, r *realm) request {
		state, cookie := r.leave(t, get("/signin/provider/here"+begin))
		brought.Set("state", state)
		return by("/signin/provider/here/callback?"+brought.Encode()).with("Cookie", cookie)
	}
}

// after is a request that comes after something else.
func after(before func(*testing.T, *realm), by func(*testing.T, *realm) request) func(*testing.T, *realm) request {
	return func(t *testing.T, r *realm) request { before(t, r); return by(t, r) }
}

func agreed(who string) url.Values { return url.Values{"code": {who}} }

func adaIsDisabled(t *testing.T, r *realm) { t.Helper(); r.disabled(t) }

func adaIsEnrolled(t *testing.T, r *realm) { t.Helper(); r.enrolled(t) }

// linked is ada@example.com, signed in, with an account at the provider, whose tokens are kept.
func (r *realm) linked(t *testing.T) *auth.Session {
	t.Helper()
	s := r.signUp(t)
	check(t, r.send(t, ends(get, "", agreed(ada))(t, r)), 302, "")
	return s
}

// byLinked is a request of a user with an account at the provider.
func byLinked(q request) func(*testing.T, *realm) request {
	return func(t *testing.T, r *realm) request { return q.as(r.linked(t)) }
}

// byPAT is a request in a session of a personal access token.
func byPAT(q request) func(*testing.T, *realm) request {
	return func(t *testing.T, r *realm) request {
		in, err := r.SignInPAT(t.Context(), auth.SignInPATParams{PersonalAccessToken: r.pat(t, r.signUp(t)).Token})
		if err != nil {
			t.Fatal(err)
		}
		return q.as(in.Session)
	}
}

// byOld is a request of a user who signed in a while ago.
func byOld(q request) func(*testing.T, *realm) request {
	return func(t *testing.T, r *realm) request {
		s := r.signUp(t)
		r.Clock.Advance(11 * time.Minute)
		return q.as(s)
	}
}

// ofBackEnd is a request with the secret of the service's own back end.
func ofBackEnd(q request) request { return q.with("X-Hasura-Admin-Secret", adminSecret) }

// keptOf is the body that names a user's tokens.
func keptOf(user, name string) string { return `{"providerId":"` + name + `","userId":"` + user + `"}` }

const nobodysID = "2c35b6f3-c4b9-48e3-978a-d4d0f1d42e24"

// providerCalls are the answers about identity providers and id tokens: each code that the engine documents of each route.
var providerCalls = []call{
	{"a visit begins", visits, of(get("/signin/provider/here")), 302, ""},
	{"a visit begins with all options", visits, of(get("/signin/provider/here?" + url.Values{
		"redirectTo": {authtest.ClientURL + "/in"}, "allowedRoles": {"me,user"}, "defaultRole": {"me"}, "displayName": {"Ada"}, "locale": {"en"},
		"metadata": {`{"a":1}`}, "state": {"x"}, "codeChallenge": {codeChallenge}, "providerSpecificParams": {`{"a":"b"}`}, "organization": {"o"}, "connection": {"c"},
	}.Encode())), 302, ""},
	{"a visit to link begins", visits, func(t *testing.T, r *realm) request {
		return get("/signin/provider/here?connect=" + r.signUp(t).AccessToken)
	}, 302, ""},
	{"a visit to link needs a token that is good", visits, of(get("/signin/provider/here?connect=x")), 302, auth.CodeInvalidRequest},
	{"a guest visits nobody to link", visits, func(t *testing.T, r *realm) request {
		return get("/signin/provider/here?connect=" + r.guest(t).AccessToken)
	}, 302, auth.CodeForbiddenAnonymous},
	{"a visit to nowhere is refused", visits, of(get("/signin/provider/nowhere")), 400, auth.CodeInvalidRequest},
	{"a visit that leads elsewhere is refused", visits, of(get("/signin/provider/here?redirectTo=https://evil.example")), 400, auth.CodeRedirectNotAllowed},
	{"a visit with two states is refused", visits, of(get("/signin/provider/here?state=a&state=b")), 400, auth.CodeInvalidRequest},
	{"a visit to what is not configured leads back", visits, of(get("/signin/provider/github")), 302, auth.CodeDisabledEndpoint},
	{"a visit for another role leads back", visits, of(get("/signin/provider/here?allowedRoles=admin")), 302, auth.CodeRoleNotAllowed},
	{"a visit with a challenge that is none leads back", visits, of(get("/signin/provider/here?codeChallenge=x")), 302, auth.CodeInvalidRequest},
	{"a visit to a provider that is down leads back", with(somewhere{down: true}, setup{}), of(get("/signin/provider/here")), 302, auth.CodeInternal},
	{"a look at a visit begins none", visits, of(head("/signin/provider/here")), 200, ""},

	{"a visit signs up", visits, ends(get, "", agreed(ada)), 302, ""},
	{"a visit brings a code", visits, ends(get, "?codeChallenge="+codeChallenge, agreed(ada)), 302, ""},
	{"a visit brings a ticket", visits, after(adaIsEnrolled, ends(get, "", agreed(ada))), 302, ""},
	{"a visit brings nothing yet", visits, ends(get, "", agreed(person("1", stranger, false))), 302, ""},
	{"a visit links", visits, func(t *testing.T, r *realm) request {
		return ends(get, "?connect="+r.signUp(t).AccessToken, agreed(nobody))(t, r)
	}, 302, ""},
	{"a visit ends in the browser in which it began", visits, func(t *testing.T, r *realm) request {
		state, _ := r.leave(t, get("/signin/provider/here"))
		return get("/signin/provider/here/callback?code=x&state=" + state)
	}, 302, auth.CodeInvalidState},
	{"a visit may be refused at the provider", visits, ends(get, "?state=x", url.Values{"error": {"access_denied"}, "error_description": {"no"}}), 302, auth.CodeOAuthProviderError},
	{"a visit needs a code", visits, ends(get, "", url.Values{}), 302, auth.CodeOAuthTokenExchangeFailed},
	{"a visit needs a profile", visits, ends(get, "", agreed("x")), 302, auth.CodeOAuthProfileFetchFailed},
	{"a visit of a disabled user leads back", visits, after(adaIsDisabled, ends(get, "", agreed(ada))), 302, auth.CodeDisabledUser},
	{
		"a visit of a disabled user leads back without a word where errors are concealed", withProvider(concealed),
		after(adaIsDisabled, ends(get, "", agreed(ada))), 302, auth.CodeInvalidRequest,
	},
	{"a visit signs nobody up where that is disabled", withProvider(noSignUps), ends(get, "", agreed(ada)), 302, auth.CodeSignUpDisabled},
	{"a visit links what nobody else has", visits, func(t *testing.T, r *realm) request {
		r.linked(t)
		return ends(get, "?connect="+r.SignUp(t, stranger).AccessToken, agreed(ada))(t, r)
	}, 302, auth.CodeProviderAccountLinked},
	{"a visit comes back with a state", visits, of(get("/signin/provider/here/callback?code=x")), 400, auth.CodeInvalidRequest},
	{"a look at the end of a visit ends none", visits, of(head("/signin/provider/here/callback?code=x&state=x")), 200, ""},

	{"a visit signs up by a form", visits, ends(submit, "", agreed(ada)), 303, ""},
	{"a visit may be refused by a form", visits, ends(submit, "", url.Values{"error": {"access_denied"}}), 303, auth.CodeOAuthProviderError},
	{"a visit by a form ends in the browser in which it began", visits, of(submit("/signin/provider/here/callback?code=x&state=x")), 303, auth.CodeInvalidState},
	{"a form comes back with a state", visits, of(submit("/signin/provider/here/callback?code=x")), 400, auth.CodeInvalidRequest},
	{"a form that is too large is refused", visits, of(submit("/signin/provider/here/callback?state=" + strings.Repeat("x", 64<<10))), 413, auth.CodeInvalidRequest},
	{"a form is no JSON", visits, of(post("/signin/provider/here/callback", `{"state":"x"}`)), 415, auth.CodeInvalidRequest},

	{"tokens of a provider are handed out", visits, byLinked(get("/signin/provider/here/callback/tokens")), 200, ""},
	{"tokens of a provider are handed out once", visits, again(200, byLinked(get("/signin/provider/here/callback/tokens"))), 400, auth.CodeInvalidRequest},
	{"nobody has tokens of a provider", visits, of(get("/signin/provider/here/callback/tokens")), 401, auth.CodeUnauthenticated},
	{"a guest has no tokens of a provider", visits, byGuest(get("/signin/provider/here/callback/tokens")), 403, auth.CodeForbiddenAnonymous},
	{"a token gets no tokens of a provider", visits, byPAT(get("/signin/provider/here/callback/tokens")), 403, auth.CodeElevationRequired},
	{"tokens of a provider may be forgotten", withProvider(setup{config: func(c *auth.Config) { c.ForgetProviderTokens = true }}), byLinked(get("/signin/provider/here/callback/tokens")), 409, auth.CodeDisabledEndpoint},
	{"a look at tokens of a provider hands out none", visits, of(head("/signin/provider/here/callback/tokens")), 200, ""},

	{"tokens of a provider are refreshed", visits, byUser(post("/token/provider/here", `{"refreshToken":"theirs"}`)), 200, ""},
	{"tokens of a provider are refreshed with one", visits, byUser(post("/token/provider/here", `{}`)), 400, auth.CodeInvalidRequest},
	{"tokens of a provider that is down are not refreshed", with(somewhere{down: true}, setup{}), byUser(post("/token/provider/here", `{"refreshToken":"theirs"}`)), 400, auth.CodeOAuthProviderError},
	{"nobody refreshes tokens of a provider", visits, of(post("/token/provider/here", `{"refreshToken":"theirs"}`)), 401, auth.CodeUnauthenticated},
	{"a guest refreshes no tokens of a provider", visits, byGuest(post("/token/provider/here", `{"refreshToken":"theirs"}`)), 403, auth.CodeForbiddenAnonymous},
	{"tokens of what is not configured are not refreshed", visits, byUser(post("/token/provider/github", `{"refreshToken":"theirs"}`)), 409, auth.CodeDisabledEndpoint},

	{"an id token signs up", visits, of(post("/signin/idtoken", withIDToken(ada, ""))), 200, ""},
	{"an id token signs up with all options", visits, of(post("/signin/idtoken", withIDToken(ada, `,"nonce":"x"`+allOptions))), 200, ""},
	{"an id token signs up with nothing at length", visits, of(post("/signin/idtoken", withIDToken(ada, `,"nonce":null`+nullOptions))), 200, ""},
	{"an id token is asked for a second factor", visits, after(adaIsEnrolled, of(post("/signin/idtoken", withIDToken(ada, "")))), 200, ""},
	{"an id token that is none is refused", visits, of(post("/signin/idtoken", withIDToken("x", ""))), 400, auth.CodeInvalidRequest},
	{"an id token for another role is refused", visits, of(post("/signin/idtoken", withIDToken(ada, `,"options":{"allowedRoles":["admin"]}`))), 400, auth.CodeRoleNotAllowed},
	{"an id token of nowhere is refused", visits, of(post("/signin/idtoken", `{"provider":"nowhere","idToken":"x"}`)), 400, auth.CodeInvalidRequest},
	{"an id token of a disabled user is refused", visits, after(adaIsDisabled, of(post("/signin/idtoken", withIDToken(ada, "")))), 401, auth.CodeDisabledUser},
	{"an id token with an address that is not admitted is refused", withProvider(notAdmitted), of(post("/signin/idtoken", withIDToken(person("1", stranger, true), ""))), 401, auth.CodeInvalidEmailPassword},
	{"an id token signs nobody up where that is disabled", withProvider(noSignUps), of(post("/signin/idtoken", withIDToken(ada, ""))), 403, auth.CodeSignUpDisabled},
	{"an id token of what is not configured is refused", visits, of(post("/signin/idtoken", `{"provider":"apple","idToken":"x"}`)), 409, auth.CodeDisabledEndpoint},
	{"an id token takes no address from its user", visits, func(t *testing.T, r *realm) request {
		r.signUp(t)
		return post("/signin/idtoken", withIDToken(person("1", email, false), ""))
	}, 409, auth.CodeEmailAlreadyInUse},
	{"an id token sends no more letters than the budget", withProvider(oneLetter), func(t *testing.T, r *realm) request {
		q := post("/signin/idtoken", withIDToken(person("1", stranger, false), ""))
		r.letter(t, stranger, q)
		u, err := r.FindUser(t.Context(), auth.UserBy{Email: stranger})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.DeleteUser(t.Context(), u.ID); err != nil {
			t.Fatal(err)
		}
		return q
	}, 429, auth.CodeTooManyRequests},

	{"an id token links", visits, byUser(post("/link/idtoken", withIDToken(nobody, ""))), 200, ""},
	{"an id token links with nothing at length", visits, byUser(post("/link/idtoken", withIDToken(nobody, `,"nonce":null`))), 200, ""},
	{"an id token links what is not linked", visits, byLinked(post("/link/idtoken", withIDToken(ada, ""))), 400, auth.CodeProviderAccountLinked},
	{"an id token that is none links nothing", visits, byUser(post("/link/idtoken", withIDToken("x", ""))), 400, auth.CodeInvalidRequest},
	{"an id token links nothing of nobody", visits, of(post("/link/idtoken", withIDToken(ada, ""))), 401, auth.CodeUnauthenticated},
	{"an id token links nothing of a guest", visits, byGuest(post("/link/idtoken", withIDToken(ada, ""))), 403, auth.CodeForbiddenAnonymous},
	{"an id token links nothing without a step-up", withProvider(stepUpRequired), byUser(post("/link/idtoken", withIDToken(ada, ""))), 403, auth.CodeElevationRequired},
	{"an id token links nothing long after the sign-in", visits, byOld(post("/link/idtoken", withIDToken(nobody, ""))), 403, auth.CodeElevationRequired},
	{"an id token of what is not configured links nothing", visits, byUser(post("/link/idtoken", `{"provider":"google","idToken":"x"}`)), 409, auth.CodeDisabledEndpoint},

	{"a link begins", visits, byUser(post("/link/provider/here", "")), 200, ""},
	{"a link begins with all that it can have", visits, byUser(post("/link/provider/here", `{"redirectTo":"`+authtest.ClientURL+`","state":"x","providerSpecificParams":{"a":"b"}}`)), 200, ""},
	{"a link begins with nothing at length", visits, byUser(post("/link/provider/here", `{"redirectTo":null,"state":null,"providerSpecificParams":null}`)), 200, ""},
	{"a link ends", visits, func(t *testing.T, r *realm) request {
		got := r.send(t, post("/link/provider/here", "").as(r.signUp(t)))
		check(t, got, 200, "")
		var body struct{ URL string }
		if err := json.Unmarshal(got.body, &body); err != nil {
			t.Fatal(err)
		}
		state, cookie := returned(t, body.URL, got.header)
		return get("/signin/provider/here/callback?"+url.Values{"state": {state}, "code": {nobody}}.Encode()).with("Cookie", cookie)
	}, 302, ""},
	{"a link that leads elsewhere is refused", visits, byUser(post("/link/provider/here", `{"redirectTo":"https://evil.example"}`)), 400, auth.CodeRedirectNotAllowed},
	{"a link with a number for a parameter is refused", visits, byUser(post("/link/provider/here", `{"providerSpecificParams":{"a":1}}`)), 400, auth.CodeInvalidRequest},
	{"nobody begins a link", visits, of(post("/link/provider/here", "")), 401, auth.CodeUnauthenticated},
	{"a guest begins no link", visits, byGuest(post("/link/provider/here", "")), 403, auth.CodeForbiddenAnonymous},
	{"a link needs a sign-in of late", visits, byOld(post("/link/provider/here", "")), 403, auth.CodeElevationRequired},
	{"a link to what is not configured is refused", visits, byUser(post("/link/provider/google", "")), 409, auth.CodeDisabledEndpoint},

	{"identities are listed", visits, byLinked(get("/user/identities")), 200, ""},
	{"a guest has no identities", visits, byGuest(get("/user/identities")), 200, ""},
	{"identities are exported", visits, byLinked(get("/user/export")), 200, ""},
	{"nobody has identities", visits, of(get("/user/identities")), 401, auth.CodeUnauthenticated},
	{"a disabled user has no identities, without a word where errors are concealed", concealed, byDisabled(get("/user/identities")), 400, auth.CodeInvalidRequest},

	{"an identity is unlinked", visits, byLinked(del("/user/identities/here?subject=1")), 200, ""},
	{"an identity is unlinked by its subject", visits, byLinked(del("/user/identities/here")), 400, auth.CodeInvalidRequest},
	{"the last way in is not unlinked", withProvider(setup{config: func(c *auth.Config) {
		c.Password, c.MagicLink, c.EmailOTP, c.SMS, c.Email.AllowUnverified = nil, nil, nil, nil, true
	}}), func(t *testing.T, r *realm) request {
		in, err := r.SignInIDToken(t.Context(), auth.SignInIDTokenParams{Provider: "here", IDToken: ada})
		if err != nil {
			t.Fatal(err)
		}
		return del("/user/identities/here?subject=1").as(in.Session)
	}, 400, auth.CodeInvalidRequest},
	{"nobody unlinks nothing", visits, of(del("/user/identities/here?subject=1")), 401, auth.CodeUnauthenticated},
	{"a guest unlinks nothing", visits, byGuest(del("/user/identities/here?subject=1")), 403, auth.CodeForbiddenAnonymous},
	{"nothing is unlinked long after the sign-in", visits, byOld(del("/user/identities/here?subject=1")), 403, auth.CodeElevationRequired},
	{"another's identity is not unlinked", visits, byUser(del("/user/identities/here?subject=1")), 404, auth.CodeRouteNotFound},

	{"tokens that are kept are refreshed", visits, func(t *testing.T, r *realm) request {
		return ofBackEnd(post("/user/provider/tokens", keptOf(r.linked(t).User.ID.String(), "here")))
	}, 200, ""},
	{"tokens that are not kept are not refreshed", visits, func(t *testing.T, r *realm) request {
		return ofBackEnd(post("/user/provider/tokens", keptOf(r.signUp(t).User.ID.String(), "here")))
	}, 400, auth.CodeInvalidRequest},
	{"tokens of somebody are refreshed", visits, of(ofBackEnd(post("/user/provider/tokens", `{"providerId":"here"}`))), 400, auth.CodeInvalidRequest},
	{"tokens that are kept are refreshed for the back end", visits, of(post("/user/provider/tokens", keptOf(nobodysID, "here"))), 401, "invalid-admin-secret"},
	{"tokens that are kept are refreshed with the secret", visits, of(post("/user/provider/tokens", keptOf(nobodysID, "here")).with("X-Hasura-Admin-Secret", "x")), 401, "invalid-admin-secret"},
	{"tokens of nobody are not refreshed", visits, of(ofBackEnd(post("/user/provider/tokens", keptOf(nobodysID, "here")))), 404, auth.CodeRouteNotFound},
	{"tokens of what is not configured are not kept", visits, of(ofBackEnd(post("/user/provider/tokens", keptOf(nobodysID, "github")))), 409, auth.CodeDisabledEndpoint},
	{"a service without a secret refreshes no tokens", setup{}, of(ofBackEnd(post("/user/provider/tokens", keptOf(nobodysID, "here")))), 409, auth.CodeDisabledEndpoint},
}

// unsafeProviderRoutes are those of unsafeRoutes that are about identity providers and id tokens.
func unsafeProviderRoutes(s *auth.Session) []request {
	return []request{
		post("/signin/idtoken", withIDToken(ada, "")),
		post("/link/idtoken", withIDToken(nobody, "")).as(s),
		post("/link/provider/here", `{}`).as(s),
		post("/token/provider/here", `{"refreshToken":"theirs"}`).as(s),
		del("/user/identities/here?subject=1").as(s),
		ofBackEnd(post("/user/provider/tokens", keptOf(nobodysID, "here"))),
	}
}

// providerAnswers are the answers that more than one route gives, from those that are about identity providers.
func providerAnswers(t *testing.T, newRealm func(*testing.T, setup) *realm) {
	t.Run("a body that is too large or of another type is refused", func(t *testing.T) {
		t.Parallel()
		r := newRealm(t, visits)
		r.refusesBodies(t, unsafeProviderRoutes(r.signUp(t)))
	})
	t.Run("with cookies another site is refused, but for the form of a visit", func(t *testing.T) {
		t.Parallel()
		r := newRealm(t, withProvider(cookieMode))
		s := r.signUp(t)
		for _, q := range append(unsafeProviderRoutes(s), get("/signin/provider/here/callback/tokens").as(s)) {
			check(t, r.send(t, q.with("Origin", "https://evil.example")), 403, auth.CodeInvalidRequest)
		}
		check(t, r.send(t, submit("/signin/provider/here/callback?state=x").with("Origin", "https://idp.test")), 303, auth.CodeInvalidState)
	})
	t.Run("with cookies no tokens are in a redirect or a body", func(t *testing.T) {
		t.Parallel()
		r := newRealm(t, withProvider(setup{options: httpadapter.Options{Cookies: &httpadapter.CookieOptions{}}, tls: true}))
		for _, by := range []func(string) request{get, submit} {
			state, _ := r.leave(t, get("/signin/provider/here"))
			got := r.send(t, by("/signin/provider/here/callback?"+url.Values{"state": {state}, "code": {ada}}.Encode()))
			if location := got.header.Get("Location"); location != authtest.ClientURL {
				t.Errorf("%d to %s", got.status, location)
			}
			check(t, r.send(t, get("/user/identities")), 200, "")
		}
		got := r.send(t, post("/signin/idtoken", withIDToken(ada, "")))
		check(t, got, 200, "")
		var in auth.SignInResult
		if err := json.Unmarshal(got.body, &in); err != nil || in.Session == nil || in.Session.AccessToken+in.Session.RefreshToken != "" {
			t.Errorf("%v %s", err, got.body)
		}
		check(t, r.send(t, post("/link/provider/here", "")), 200, "")
	})
	for status, fault := range map[int]error{500: errors.New("the disk is full"), 503: context.DeadlineExceeded} {
		t.Run("a fault of the store is answered with "+http.StatusText(status), func(t *testing.T) {
			t.Parallel()
			r := newRealm(t, visits)
			s := r.linked(t)
			r.store.fail(fault)
			for _, q := range append(unsafeProviderRoutes(s), get("/user/identities").as(s), get("/signin/provider/here/callback/tokens").as(s)) {
				check(t, r.send(t, q), status, auth.CodeInternal)
			}
			// There is nobody but a browser to be told.
			check(t, r.send(t, get("/signin/provider/here")), 302, auth.CodeInternal)
			if log := r.Logs.String(); log != "" {
				t.Errorf("the engine logs what it returns: %s", log)
			}
		})
	}
}
