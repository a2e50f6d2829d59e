package auth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/authtest/fakeidp"
	"github.com/ostiary/auth/provider"
)

// hoard is every secret that has been seen, by what it is.
type hoard struct {
	mu      sync.Mutex
	secrets map[string]string
}

func (h *hoard) keep(what string, secrets ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range secrets {
		if len(s) >= 6 { // what is shorter is found everywhere
			h.secrets[s] = what
		}
	}
}

// forget is for what may stand where is looked next.
func (h *hoard) forget(what ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.DeleteFunc(h.secrets, func(_, kind string) bool { return slices.Contains(what, kind) })
}

// absent fails the test for every secret that is in a text, in whatever spelling. A code, which is six digits, is one only
// by itself: as a part of an id it says nothing.
func (h *hoard) absent(t *testing.T, where, text string) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	for s, what := range h.secrets {
		found := false
		if len(s) < 8 {
			found = regexp.MustCompile(`(^|[^0-9A-Za-z])` + regexp.QuoteMeta(s) + `($|[^0-9A-Za-z])`).MatchString(text)
		} else {
			found = authtest.Shows(text, s)
		}
		if found {
			t.Errorf("%s: there is the %s", where, what)
		}
	}
}

// watched is a provider that is seen at its work.
type watched struct {
	provider.Provider
	seen func(...any)
	keep func(what string, secrets ...string)
}

func (w watched) Authorize(ctx context.Context, env provider.Env, r provider.Request) (provider.Authorization, error) {
	w.keep("verifier", r.Verifier)
	w.keep("nonce", r.Nonce)
	a, err := w.Provider.Authorize(ctx, env, r)
	w.keep("provider's own secret", a.Secret)
	w.seen(r, a, err)
	return a, err
}

func (w watched) Exchange(ctx context.Context, env provider.Env, r provider.Return) (provider.Tokens, error) {
	tokens, err := w.Provider.Exchange(ctx, env, r)
	w.keep("access token", tokens.AccessToken)
	w.keep("refresh token", tokens.RefreshToken)
	w.keep("id token", tokens.IDToken)
	w.keep("token secret", tokens.Secret)
	w.seen(r, tokens, err)
	return tokens, err
}

func (w watched) Profile(ctx context.Context, env provider.Env, r provider.Return, tokens provider.Tokens) (provider.Profile, error) {
	p, err := w.Provider.Profile(ctx, env, r, tokens)
	w.seen(err)
	return p, err
}

func (w watched) Refresh(ctx context.Context, env provider.Env, token string) (provider.Tokens, error) {
	tokens, err := w.Provider.Refresh(ctx, env, token)
	w.keep("access token", tokens.AccessToken)
	w.keep("refresh token", tokens.RefreshToken)
	w.seen(tokens, err)
	return tokens, err
}

// echoes are the ways in which a provider repeats what it was sent.
func echoes(h *hoard) map[string]fakeidp.Fault {
	repeat := func(answer func(w http.ResponseWriter, said string)) fakeidp.Fault {
		return fakeidp.FaultHandler(func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				said := []string{r.Header.Get("Authorization"), r.URL.RawQuery}
				for _, field := range strings.FieldsFunc(r.Header.Get("Authorization"), func(r rune) bool { return strings.ContainsRune(` ",=`, r) }) {
					if !strings.HasPrefix(field, "oauth_") && !strings.HasPrefix(field, "client-of-") && field != "HMAC-SHA1" {
						h.keep("part of a header", field)
					}
				}
				for _, name := range slices.Sorted(maps.Keys(r.PostForm)) {
					if name != "redirect_uri" && name != "grant_type" && name != "client_id" {
						h.keep("parameter "+name, r.PostForm.Get(name))
					}
					said = append(said, r.PostForm.Get(name))
				}
				answer(w, strings.Join(said, " "))
			})
		})
	}
	body := func(status int, contentType, format string, quote func(string) string) fakeidp.Fault {
		return repeat(func(w http.ResponseWriter, said string) {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			_, _ = fmt.Fprintf(w, format, quote(said))
		})
	}
	same := func(s string) string { return s }
	quoted := func(s string) string { return asJSON(s) }
	location := func(format string) fakeidp.Fault {
		return repeat(func(w http.ResponseWriter, said string) {
			w.Header().Set("Location", fmt.Sprintf(format, strings.NewReplacer("\r", "", "\n", "").Replace(said)))
			w.WriteHeader(http.StatusFound)
		})
	}
	return map[string]fakeidp.Fault{
		"an error":                      body(400, "application/json", `{"error":"invalid_grant","error_description":%s}`, quoted),
		"an error that is what it got":  body(400, "application/json", `{"error":%s}`, quoted),
		"an error with 200":             body(200, "application/json", `{"error":%s}`, quoted),
		"a page":                        body(500, "text/html", "<html>%s", same),
		"a page with 200":               body(200, "text/html", "<html>%s", same),
		"text":                          body(200, "application/json", "%s", same),
		"a string":                      body(200, "application/json", "%s", quoted),
		"a life":                        body(200, "application/json", `{"access_token":"abcdefgh","expires_in":%s}`, quoted),
		"a form":                        body(200, "application/x-www-form-urlencoded", "error=%s", url.QueryEscape),
		"a redirect":                    location("https://evil.example/?%s"),
		"a redirect that is no URL":     location("https://evil.example/%%zz?%s"),
		"a redirect to a place of none": location("https://[%s"),
	}
}

// LG-10, OA-39, SS-03: whatever becomes of a visit, and whatever the provider repeats, no secret is in a log, an event, an error or a
// struct that is printed, and none is in the store in clear.
func TestSecretsOfVisitsAreNowhere(t *testing.T) {
	t.Parallel()
	const address, theirs, mine = "ada-the-secret@example.com", "m-the-secret@example.com", "the state of the client"
	everywhere(t, nil, func(t *testing.T, a *abroad) {
		h := &hoard{secrets: map[string]string{}}
		h.keep("client secret", a.client.Secret)
		var printed, dump bytes.Buffer
		var mu sync.Mutex
		seen := func(values ...any) {
			mu.Lock()
			defer mu.Unlock()
			for _, v := range values {
				if err, ok := v.(error); ok {
					_, _ = io.WriteString(&printed, err.Error())
				}
				for _, p := range prints(v) {
					_, _ = io.WriteString(&printed, p)
				}
			}
		}
		store := dumping{authtest.New(t).Store, &dump}
		v := &tourist{authtest.NewWithStore(t, store, letters, func(c *auth.Config) {
			c.Providers = map[string]provider.Provider{a.name: watched{a.provider, seen, h.keep}}
			c.HTTPClient = &http.Client{Transport: a.transport}
			events, log := c.Events, auth.LogEvents(c.Logger)
			c.Events = auth.EventFunc(func(ctx context.Context, e auth.Event) { events.Emit(ctx, e); log.Emit(ctx, e) })
		}), a}
		a.idp.SetNow(v.Clock.Now)
		// told is what an application does with an error: it logs it.
		told := func(err error) {
			if err != nil {
				slog.New(v.Logs.Logger().Handler()).Error("a visit failed", slog.Any("error", err))
				seen(err)
			}
		}
		visit := func(who fakeidp.Account, change func(url.Values)) *auth.ProviderResult {
			start, err := v.StartProvider(t.Context(), auth.StartProviderParams{Provider: a.name, State: mine})
			told(err)
			if err != nil {
				return nil
			}
			h.keep("state", start.State)
			h.keep("binding", start.Binding)
			h.keep("URL", start.URL)
			values := a.idp.Visit(t, start.URL, who).Values()
			for _, name := range []string{"code", "oauth_token", "oauth_verifier", "user", "id_token"} {
				h.keep("parameter "+name, values.Get(name))
			}
			if change != nil {
				change(values)
			}
			p := auth.FinishProviderParams{Provider: a.name, Binding: start.Binding, Values: values}
			r, err := v.FinishProvider(t.Context(), p)
			told(err)
			seen(start, *start, p, &p, r, *r)
			if r.Session != nil {
				h.keep("session", r.Session.RefreshToken, r.Session.AccessToken)
			}
			return r
		}
		ada, mallory := a.account(1, "", nil), a.account(2, theirs, a.flagged())
		r := visit(ada, nil)
		if r == nil || r.Session == nil {
			t.Fatal("nobody comes in")
		}
		p := v.Principal(t, r.Session)
		tokens, err := v.ProviderTokens(t.Context(), p, a.name)
		if err != nil {
			t.Fatal(err)
		}
		h.keep("access token", tokens.AccessToken)
		refreshing := auth.RefreshProviderTokensParams{Provider: a.name, RefreshToken: "a-refresh-token-of-nobody"}
		h.keep("refresh token", refreshing.RefreshToken)
		seen(tokens, *tokens, refreshing)
		if _, err := v.RefreshProviderTokens(t.Context(), p, refreshing); err == nil {
			t.Error("nobody's refresh token is good")
		} else {
			told(err)
		}
		visit(mallory, nil)
		v.SignUp(t, address)
		visit(a.account(3, address, false), nil) // whose address is in use
		for _, change := range []func(url.Values){
			func(v url.Values) { v.Set("error", "access_denied") },
			func(v url.Values) { v.Set("code", "another-code"); v.Set("oauth_token", "another-token") },
			func(v url.Values) { v.Add("code", "another-code"); v.Add("oauth_verifier", "another-one") },
			func(v url.Values) { v.Set("iss", v.Get("code")+v.Get("oauth_verifier")) },
			func(v url.Values) { v.Set("state", v.Get("state")+"x") },
		} {
			visit(ada, change)
		}
		for what, fault := range echoes(h) {
			for path := range a.endpoints() {
				if path == fakeidp.Discovery || path == fakeidp.Keys {
					continue // which are sent nothing
				}
				a.idp.Lie(fakeidp.Without("email")) // so that userinfo is asked
				a.idp.Break(path, fault)
				if r := visit(ada, nil); r != nil && r.Session != nil && path != fakeidp.Userinfo {
					t.Errorf("%s answers with %s, and somebody comes in", path, what)
				}
				if path == fakeidp.Token {
					_, err := v.RefreshProviderTokens(t.Context(), p, refreshing)
					told(err)
				}
				a.idp.Mend()
			}
		}
		if hasIDTokens(a.wellKnown) {
			for _, lie := range []func(*fakeidp.IDToken){
				fakeidp.LieWrongKey, fakeidp.LieExpired, fakeidp.LieWrongAudience, fakeidp.LieOtherIssuer, fakeidp.LieWrongNonce, fakeidp.LieAlgNone,
				fakeidp.LieNoSubject, fakeidp.LieWrongHash, fakeidp.LieUnknownKeyName, fakeidp.LieSignedWithPublicKey, fakeidp.LieWrongAZP,
			} {
				a.idp.LieOnce(lie)
				visit(mallory, nil)
			}
		}
		for _, r := range a.idp.Requests(fakeidp.Token) {
			for _, name := range []string{"code", "code_verifier", "client_secret", "refresh_token"} {
				h.keep("parameter "+name, r.Form.Get(name))
			}
		}
		if len(h.secrets) < 50 {
			t.Fatalf("only %d secrets have been seen", len(h.secrets))
		}
		// What is kept of somebody is their address, and what they show is not a secret from them.
		h.absent(t, "the store", dump.String())
		h.keep("address", address, theirs)
		h.keep("client's state", mine)
		events, err := json.Marshal(v.Events.All())
		if err != nil || len(v.Events.All()) < 10 {
			t.Fatalf("%d events, %v", len(v.Events.All()), err)
		}
		h.absent(t, "the events", string(events)+fmt.Sprintf("%+v", v.Events.All()))
		h.absent(t, "what is printed", printed.String())
		if !strings.Contains(v.Logs.String(), "a visit failed") {
			t.Error("nothing was logged")
		}
		v.Logs.AssertAbsent(t, slices.Sorted(maps.Keys(h.secrets))...)
	})
}

// LG-10: the same of id tokens that apps hand in.
func TestIDTokensAreNowhere(t *testing.T) {
	t.Parallel()
	fromEveryIssuer(t, func(t *testing.T, i *issuer) {
		const address = "ada-the-secret@example.com"
		h := &hoard{secrets: map[string]string{}}
		h.keep("address", address)
		var printed strings.Builder
		who := fakeidp.Account{Subject: "id-1", Email: address, EmailVerified: true}
		s := i.SignUp(t, "m@example.com")
		p := i.Principal(t, s)
		for n, lie := range []func(*fakeidp.IDToken){
			fakeidp.LieWrongKey, fakeidp.LieExpired, fakeidp.LieWrongAudience, fakeidp.LieOtherIssuer, fakeidp.LieAlgNone, fakeidp.LieNoSubject,
			fakeidp.LieWrongAZP, fakeidp.Claim("sub", address+"\n"), fakeidp.Claim("aud", []string{address}), fakeidp.Claim("iss", address),
			fakeidp.Claim("exp", address), func(token *fakeidp.IDToken) { token.Header["kid"] = address }, func(token *fakeidp.IDToken) { token.Header["typ"] = address },
			func(*fakeidp.IDToken) {},
		} {
			nonce := fmt.Sprintf("nonce-of-the-app-%d", n)
			token := i.token(t, who, lie, fakeidp.Claim("nonce", nonce))
			h.keep("nonce", nonce)
			h.keep("id token", token)
			h.keep("part of an id token", strings.Split(token, ".")[1:]...)
			for _, with := range []string{nonce, "another-nonce"} {
				in := auth.SignInIDTokenParams{Provider: i.name, IDToken: token, Nonce: with}
				link := auth.LinkIDTokenParams{Provider: i.name, IDToken: token, Nonce: with}
				_, err := i.SignInIDToken(t.Context(), in)
				errLink := i.LinkIDToken(t.Context(), p, link)
				for _, v := range []any{in, &in, link, &link, err, errLink} {
					if err, ok := v.(error); ok {
						i.Logs.Logger().Error("refused", slog.Any("error", err))
					}
					printed.WriteString(strings.Join(prints(v), "\n"))
				}
			}
		}
		events, err := json.Marshal(i.Events.All())
		if err != nil || len(i.Events.Of(auth.EventSignInFailed)) < 10 {
			t.Fatalf("%d events, %v", len(i.Events.All()), err)
		}
		h.absent(t, "the events", string(events))
		h.absent(t, "what is printed", printed.String())
		i.Logs.AssertAbsent(t, slices.Sorted(maps.Keys(h.secrets))...)
	})
}
