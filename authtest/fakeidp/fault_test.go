package fakeidp_test

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth/authtest/fakeidp"
)

// answer gets userinfo as it comes, with a client that follows nothing.
func (a *app) answer(t testing.TB, ctx context.Context, path string, token any) (*http.Response, string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, a.URL()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token.(string))
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	answer, err := client.Do(r)
	if err != nil {
		return nil, "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return answer, string(body), err
}

func TestFaultsChangeOneAnswer(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.Profile("/list", func(fakeidp.Account) any { return []any{1, 2} })
	a.Alias("/me", fakeidp.Userinfo)
	token := a.tokens(t)["access_token"]
	_, honest, err := a.answer(t, t.Context(), fakeidp.Userinfo, token)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		fault  fakeidp.Fault
		status int
		kind   string
		body   func(body string) bool
	}{
		"status": {fakeidp.FaultStatus(503), 503, "application/json", func(b string) bool { return strings.Contains(b, "server_error") }},
		"body":   {fakeidp.FaultBody(418, "text/plain", "tea"), 418, "text/plain", func(b string) bool { return b == "tea" }},
		"HTML":   {fakeidp.FaultHTML(), 200, "text/html; charset=utf-8", func(b string) bool { return strings.HasPrefix(b, "<!DOCTYPE html>") }},
		"token error": {fakeidp.FaultTokenError("invalid_grant", "no"), 200, "application/json", func(b string) bool {
			return b == `{"error":"invalid_grant","error_description":"no"}`
		}},
		"huge": {fakeidp.FaultHuge(), 200, "application/json", func(b string) bool {
			return len(b) == len(honest)+2<<20 && strings.TrimLeft(b, " ") == honest && json.Valid([]byte(b))
		}},
		"garbage":  {fakeidp.FaultGarbage(), 200, "application/json", func(b string) bool { return b == honest[:len(honest)/2] && !json.Valid([]byte(b)) }},
		"redirect": {fakeidp.FaultRedirect("https://example.com/x"), 307, "", func(b string) bool { return b == "" }},
		"another subject": {fakeidp.FaultOtherSubject(), 200, "application/json", func(b string) bool {
			return strings.Contains(b, `"sub":"another-subject"`) && strings.Contains(b, "ada@example.com")
		}},
		"an answer of the test's": {fakeidp.FaultAnswer(func(answer map[string]any) { delete(answer, "sub") }), 200, "application/json", func(b string) bool {
			return !strings.Contains(b, `"sub"`) && strings.Contains(b, "ada@example.com")
		}},
		"an answer without JSON": {fakeidp.FaultAnswer(func(answer map[string]any) { answer["x"] = func() {} }), 500, "application/json", func(b string) bool {
			return strings.Contains(b, "unsupported type")
		}},
		"a form where there is none":     {fakeidp.FaultForm(func(answer url.Values) { answer.Set("x", "y") }), 200, "application/json", func(b string) bool { return b == honest }},
		"a callback where there is none": {fakeidp.FaultDenied("access_denied", ""), 200, "application/json", func(b string) bool { return b == honest }},
		"a handler of the test's": {fakeidp.FaultHandler(func(http.Handler) http.Handler { return http.NotFoundHandler() }), 404, "text/plain; charset=utf-8", func(b string) bool {
			return b == "404 page not found\n"
		}},
	} {
		a.BreakOnce("/me", c.fault) // an alias is what it stands for
		answer, body, err := a.answer(t, t.Context(), fakeidp.Userinfo, token)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if answer.StatusCode != c.status || answer.Header.Get("Content-Type") != c.kind || !c.body(body) {
			t.Errorf("%s: %s %s %.200s", name, answer.Status, answer.Header.Get("Content-Type"), body)
		}
		if name == "redirect" && answer.Header.Get("Location") != "https://example.com/x" {
			t.Errorf("%s: to %s", name, answer.Header.Get("Location"))
		}
		if _, body, err := a.answer(t, t.Context(), fakeidp.Userinfo, token); err != nil || body != honest {
			t.Errorf("%s: the answer after it is %.200s, %v", name, body, err)
		}
	}
	a.BreakOnce("/list", fakeidp.FaultAnswer(func(map[string]any) { t.Error("a list is no object") }))
	if _, body, err := a.answer(t, t.Context(), "/list", token); err != nil || body != "[1,2]" {
		t.Errorf("the list is %s, %v", body, err)
	}
	a.BreakOnce(fakeidp.Userinfo, fakeidp.FaultDown())
	if answer, _, err := a.answer(t, t.Context(), fakeidp.Userinfo, token); err == nil {
		t.Errorf("down: %s", answer.Status)
	}
}

func TestTheTokenEndpointGoesWrong(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	code := a.code(t)
	a.BreakOnce(fakeidp.Token, fakeidp.FaultTokenError("invalid_grant", "no"))
	if status, answer := a.redeem(t, code); status != http.StatusOK || answer["error"] != "invalid_grant" || answer["access_token"] != nil {
		t.Errorf("%d %v", status, answer)
	}
	a.BreakOnce(fakeidp.Token, fakeidp.FaultAnswer(func(answer map[string]any) {
		delete(answer, "expires_in")
		answer["token_type"] = "mac"
	}))
	if status, answer := a.redeem(t, code); status != http.StatusOK || answer["token_type"] != "mac" || answer["expires_in"] != nil || answer["access_token"] == nil {
		t.Errorf("%d %v, want the tokens: what answers in place of the endpoint does not spend the code", status, answer)
	}
}

func TestAnEndpointHangs(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	token := a.tokens(t)["access_token"]

	hang := func(until <-chan struct{}) (arrived chan struct{}) {
		arrived = make(chan struct{})
		a.BreakOnce(fakeidp.Userinfo, fakeidp.FaultHandler(func(next http.Handler) http.Handler { // the first is nearest to the endpoint
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				select {
				case <-until:
				default:
					t.Error("what hangs was answered")
				}
				next.ServeHTTP(w, r)
			})
		}), fakeidp.FaultHang(until), fakeidp.FaultHandler(func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				close(arrived)
				next.ServeHTTP(w, r)
			})
		}))
		return arrived
	}
	ended := make(chan error)

	arrived := hang(nil)
	ctx, giveUp := context.WithCancel(t.Context())
	go func() {
		_, _, err := a.answer(t, ctx, fakeidp.Userinfo, token)
		ended <- err
	}()
	<-arrived
	giveUp()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}

	until := make(chan struct{})
	arrived = hang(until)
	go func() {
		answer, _, err := a.answer(t, t.Context(), fakeidp.Userinfo, token)
		if err == nil && answer.StatusCode != http.StatusOK {
			err = errors.New(answer.Status)
		}
		ended <- err
	}()
	<-arrived
	close(until)
	if err := <-ended; err != nil {
		t.Errorf("after the channel is closed: %v", err)
	}
}

// ID-14
func TestTheKeySetGoesWrong(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	for _, algorithm := range []string{"ES256", "EdDSA"} {
		if err := a.RotateKey(algorithm); err != nil {
			t.Fatal(err)
		}
	}
	keys := func() (keys []jsonObject) {
		t.Helper()
		_, set := a.get(t, fakeidp.Keys, nil)
		for _, key := range set["keys"].([]any) {
			keys = append(keys, key.(jsonObject))
		}
		return keys
	}
	honest := keys()
	if len(honest) != 3 || slices.ContainsFunc(honest, func(key jsonObject) bool { return key["d"] != nil }) {
		t.Fatalf("keys = %v", honest)
	}

	a.BreakOnce(fakeidp.Keys, fakeidp.FaultPrivateKeys())
	for i, key := range keys() {
		if len(unbase64(t, key["d"])) < 31 {
			t.Errorf("key %d has the private part %v", i, key["d"])
		}
		delete(key, "d")
		if diff := cmp.Diff(honest[i], key); diff != "" {
			t.Errorf("key %d (-want +got)\n%s", i, diff)
		}
	}

	a.BreakOnce(fakeidp.Keys, fakeidp.FaultDuplicateKeys())
	twice := keys()
	if len(twice) != 6 {
		t.Fatalf("%d keys, want 6", len(twice))
	}
	for i, key := range honest {
		other := twice[2*i]
		if diff := cmp.Diff(key, twice[2*i+1]); diff != "" {
			t.Errorf("the second of two keys (-want +got)\n%s", diff)
		}
		if other["kid"] != key["kid"] || other["alg"] != key["alg"] || cmp.Equal(other, key) {
			t.Errorf("the first of two keys is %v, the second %v", other, key)
		}
		publicKey(t, other)
	}

	if err := a.RotateToWeakKey(); err != nil {
		t.Fatal(err)
	}
	all := keys()
	weak := publicKey(t, all[len(all)-1]).(*rsa.PublicKey)
	if weak.N.BitLen() != 1024 || headerOf(t, a.IDToken(t, a.ada))["kid"] != all[len(all)-1]["kid"] {
		t.Errorf("a key of %d bits signs %v", weak.N.BitLen(), headerOf(t, a.IDToken(t, a.ada)))
	}
	if _, err := a.verify(t, a.IDToken(t, a.ada, fakeidp.Claim("nonce", nonce))); err != nil {
		t.Errorf("the signature of the weak key: %v", err)
	}
}

func TestTheCallbackGoesWrong(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	visit := func() url.Values {
		t.Helper()
		return a.Visit(t, a.authorizationURL(), a.ada).Values()
	}
	a.BreakOnce(fakeidp.Authorization, fakeidp.FaultDenied("access_denied", "not today"))
	want := url.Values{"error": {"access_denied"}, "error_description": {"not today"}, "state": {"the state"}, "iss": {a.Issuer()}}
	if diff := cmp.Diff(want, visit()); diff != "" {
		t.Errorf("denied (-want +got)\n%s", diff)
	}
	a.BreakOnce(fakeidp.Authorization, fakeidp.FaultDenied("temporarily_unavailable", ""))
	want = url.Values{"error": {"temporarily_unavailable"}, "state": {"the state"}, "iss": {a.Issuer()}}
	if diff := cmp.Diff(want, visit()); diff != "" {
		t.Errorf("denied without a description (-want +got)\n%s", diff)
	}
	a.BreakOnce(fakeidp.Authorization, fakeidp.FaultCallback(func(values url.Values) {
		values.Set("state", "another")
		values.Add("code", "another")
		values.Del("iss")
	}))
	if got := visit(); got.Get("state") != "another" || len(got["code"]) != 2 || got.Has("iss") {
		t.Errorf("the browser comes back with %v", got)
	}
	if got := visit(); got.Get("state") != "the state" || len(got["code"]) != 1 {
		t.Errorf("the next browser comes back with %v", got)
	}
	a.Break(fakeidp.Authorization, fakeidp.FaultDenied("access_denied", ""))
	for range 2 {
		if got := visit(); got.Get("error") != "access_denied" {
			t.Errorf("the browser comes back with %v", got)
		}
	}
	a.Mend()
	a.Break(fakeidp.Authorization, fakeidp.FaultStatus(http.StatusInternalServerError))
	if said := failure(t, func(t testing.TB) { a.Visit(t, a.authorizationURL(), a.ada) }); !strings.Contains(said, "500") {
		t.Errorf("the test fails with %q", said)
	}
}

func TestOAuth1GoesWrong(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	requestToken := func() url.Values {
		t.Helper()
		_, answer := a.call(http.MethodPost, fakeidp.RequestToken, "", "oauth_callback", v1Callback).send(t)
		return answer
	}
	// OA-41
	a.BreakOnce(fakeidp.RequestToken, fakeidp.FaultForm(func(answer url.Values) { answer.Del("oauth_callback_confirmed") }))
	if answer := requestToken(); answer.Has("oauth_callback_confirmed") || answer.Get("oauth_token") == "" {
		t.Errorf("answer = %v", answer)
	}
	a.BreakOnce(fakeidp.RequestToken, fakeidp.FaultHuge())
	if answer := requestToken(); len(answer.Get("padding")) != 2<<20 || answer.Get("oauth_token") == "" {
		t.Errorf("%d bytes of padding", len(answer.Get("padding")))
	}
	token, _ := a.requestToken(t)
	a.BreakOnce(fakeidp.AuthorizationV1, fakeidp.FaultCallback(func(values url.Values) { values.Set("oauth_token", "another") }))
	if values := a.Visit(t, a.authorizationV1(token), a.ada).Values(); values.Get("oauth_token") != "another" || values.Get("oauth_verifier") == "" {
		t.Errorf("the browser comes back with %v", values)
	}
}

func TestAFaultGoesInFrontOfAnyHandler(t *testing.T) {
	t.Parallel()
	honest := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") })
	for name, tt := range map[string]struct {
		fault fakeidp.Fault
		want  int
	}{
		"a status":       {fakeidp.FaultStatus(http.StatusTeapot), http.StatusTeapot},
		"private keys":   {fakeidp.FaultPrivateKeys(), http.StatusOK},
		"duplicate keys": {fakeidp.FaultDuplicateKeys(), http.StatusOK},
		"a callback":     {fakeidp.FaultDenied("access_denied", ""), http.StatusOK},
	} {
		w := httptest.NewRecorder()
		tt.fault.Wrap(honest).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		if w.Code != tt.want || tt.want == http.StatusOK && w.Body.String() != "{}" {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}
