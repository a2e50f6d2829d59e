package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/store/memstore"
)

func newServer(t *testing.T) *httptest.Server {
	t.Helper()
	_, s, _ := newEngine(t)
	return s
}

func newEngine(t *testing.T) (*authtest.Engine, *httptest.Server, *mailbox) {
	t.Helper()
	letters := &mailbox{}
	e := authtest.New(t, func(c *auth.Config) { c.Email.AllowUnverified = true })
	handler, err := routes(e.Engine, letters)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return e, s, letters
}

func get(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r, string(body)
}

func TestThePageKeepsItsOwnPolicy(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	r, page := get(t, s.URL+"/")
	csp := r.Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
		if !strings.Contains(csp+";", want+";") {
			t.Errorf("Content-Security-Policy %q does not have %q", csp, want)
		}
	}
	for what, pattern := range map[string]string{
		"a script in the page":  `<script[^>]*>[^<]`,
		"an event handler":      `\son[a-z]+\s*=`,
		"a style in the page":   `<style|\sstyle\s*=`,
		"a resource from afar":  `(src|href)="(https?:)?//`,
		"a javascript: address": `javascript:`,
	} {
		if found := regexp.MustCompile(pattern).FindString(page); found != "" {
			t.Errorf("the page has %s: %q", what, found)
		}
	}
}

func TestEverythingThatThePageRefersToIsThere(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	types := map[string]string{".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".yaml": "application/yaml"}
	reference := regexp.MustCompile(`(?:src|href)="([^"#]+)"|from '([^']+)'`)
	seen := map[string]bool{}
	var follow func(file string)
	follow = func(file string) {
		if seen[file] {
			return
		}
		seen[file] = true
		r, text := get(t, s.URL+file)
		if want := types[path.Ext(file)]; r.StatusCode != http.StatusOK || want != "" && r.Header.Get("Content-Type") != want {
			t.Errorf("%s: %s, %s", file, r.Status, r.Header.Get("Content-Type"))
		}
		for _, m := range reference.FindAllStringSubmatch(text, -1) {
			follow(path.Join(path.Dir(file), m[1]+m[2]))
		}
	}
	follow("/")
	err := fs.WalkDir(files, "page", func(name string, d fs.DirEntry, err error) error {
		file := strings.TrimPrefix(name, "page")
		if err == nil && !d.IsDir() && file != "/index.html" && !seen[file] {
			t.Errorf("nothing refers to %s", file)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestEverySectionHasItsScript(t *testing.T) {
	t.Parallel()
	page, err := files.ReadFile("page/index.html")
	if err != nil {
		t.Fatal(err)
	}
	app, err := files.ReadFile("page/app.js")
	if err != nil {
		t.Fatal(err)
	}
	sections := regexp.MustCompile(`data-section="([a-z]+)"`).FindAllSubmatch(page, -1)
	if len(sections) == 0 {
		t.Fatal("the page has no section")
	}
	for _, m := range sections {
		if !bytes.Contains(app, []byte("import * as "+string(m[1])+" from")) {
			t.Errorf("app.js does not import the script of section %s", m[1])
		}
	}
}

func TestThePageHasWordsForEveryCode(t *testing.T) {
	t.Parallel()
	text, err := files.ReadFile("page/errors.js")
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range []auth.Code{
		auth.CodeCannotSendSMS, auth.CodeDefaultRoleNotAllowed, auth.CodeDisabledEndpoint, auth.CodeDisabledMFATOTP,
		auth.CodeDisabledUser, auth.CodeEmailAlreadyInUse, auth.CodeEmailAlreadyVerified, auth.CodeForbiddenAnonymous,
		auth.CodeInternal, auth.CodeInvalidEmailPassword, auth.CodeInvalidOTP, auth.CodeInvalidPAT,
		auth.CodeInvalidRefreshToken, auth.CodeInvalidRequest, auth.CodeInvalidState, auth.CodeInvalidTicket,
		auth.CodeInvalidTOTP, auth.CodeLocaleNotAllowed, auth.CodeMFATypeNotFound, auth.CodeNoTOTPSecret,
		auth.CodeOAuthProfileFetchFailed, auth.CodeOAuthProviderError, auth.CodeOAuthTokenExchangeFailed,
		auth.CodePasswordBreached, auth.CodePasswordTooShort, auth.CodeProviderAccountLinked, auth.CodeRedirectNotAllowed,
		auth.CodeRoleNotAllowed, auth.CodeSignUpDisabled, auth.CodeTOTPAlreadyActive, auth.CodeUnverifiedUser,
		auth.CodeUserNotAnonymous, auth.CodeCaptchaFailed, auth.CodeElevationRequired, auth.CodeMethodNotAllowed,
		auth.CodeRouteNotFound, auth.CodeTooManyRequests, auth.CodeUnauthenticated,
	} {
		if !bytes.Contains(text, []byte("'"+string(code)+"'")) {
			t.Errorf("errors.js has no text for %s", code)
		}
	}
}

func TestPasskeysAreThereWhereThePageHasAName(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		address, page, rpID string
	}{
		{"127.0.0.1:8080", "http://localhost:8080", "localhost"},
		{"[::1]:8080", "http://localhost:8080", "localhost"},
		{"0.0.0.0:8080", "http://localhost:8080", "localhost"},
		{"192.0.2.2:8080", "http://192.0.2.2:8080", ""},
		{"[2001:db8::2]:8080", "http://[2001:db8::2]:8080", ""},
	} {
		t.Run(c.address, func(t *testing.T) {
			t.Parallel()
			address := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(c.address))
			page := publicURL(address)
			if page != c.page {
				t.Errorf("the page is at %s, want %s", page, c.page)
			}
			engine, err := auth.New(memstore.New(), config(page, newSecret(), &mailbox{}))
			if err != nil {
				t.Fatal(err)
			}
			options, err := engine.SignInWebAuthn(t.Context(), auth.SignInWebAuthnParams{})
			switch {
			case c.rpID == "" && !errors.Is(err, auth.ErrDisabledEndpoint):
				t.Errorf("a sign-in begins with %v, want %v", err, auth.ErrDisabledEndpoint)
			case c.rpID != "" && (err != nil || options.RPID != c.rpID):
				t.Errorf("a sign-in begins with %+v, %v, want those of %s", options, err, c.rpID)
			}
		})
	}
}

// do sends a request of the owner of an access token and returns the text of the note, or the code of the refusal.
func do(t *testing.T, s *httptest.Server, method, accessToken, body string) (status int, said string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL+"/note", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if accessToken != "" {
		r.Header.Set("Authorization", "Bearer "+accessToken)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct{ Text, Error string }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, answer.Text + answer.Error
}

func TestANoteIsItsOwnersAndErasedByThemAlone(t *testing.T) {
	t.Parallel()
	e, s, _ := newEngine(t)
	ada, eve := e.SignUp(t, "ada@example.com"), e.SignUp(t, "eve@example.com")
	key, principal := &authtest.Authenticator{}, e.Principal(t, ada)
	made, err := e.AddSecurityKey(t.Context(), principal)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.VerifyAddSecurityKey(t.Context(), principal, auth.VerifyAddSecurityKeyParams{Credential: key.Create(t, made)}); err != nil {
		t.Fatal(err)
	}
	elevation, err := e.Elevate(t.Context(), principal, auth.ElevateParams{})
	if err != nil {
		t.Fatal(err)
	}
	elevated, err := e.VerifyElevation(t.Context(), principal, auth.VerifyElevationParams{Credential: key.Get(t, elevation.WebAuthn)})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name, method, token, body string
		later                     time.Duration
		status                    int
		said                      string
	}{
		{name: "nobody reads", method: "GET", status: 401, said: "unauthenticated-user"},
		{name: "nobody writes", method: "PUT", body: `{"text":"x"}`, status: 401, said: "unauthenticated-user"},
		{name: "the owner writes", method: "PUT", token: ada.AccessToken, body: `{"text":"remember"}`, status: 200, said: "remember"},
		{name: "the owner reads", method: "GET", token: ada.AccessToken, status: 200, said: "remember"},
		{name: "another user has a note of their own", method: "GET", token: eve.AccessToken, status: 200},
		{name: "a note has its limit", method: "PUT", token: ada.AccessToken, body: `{"text":"` + strings.Repeat("x", maxNote) + `"}`, status: 400, said: "invalid-request"},
		{name: "the owner does not erase it just so", method: "DELETE", token: ada.AccessToken, status: 403, said: "elevated-claim-required"},
		{name: "nor who cannot step up", method: "DELETE", token: eve.AccessToken, status: 403, said: "elevated-claim-required"},
		{name: "it is still there", method: "GET", token: ada.AccessToken, status: 200, said: "remember"},
		{name: "the owner erases it after a step-up", method: "DELETE", token: elevated.AccessToken, status: 200},
		{name: "it is gone", method: "GET", token: ada.AccessToken, status: 200},
		{name: "five minutes later a step-up is too old", method: "DELETE", token: elevated.AccessToken, later: 5*time.Minute + time.Second, status: 403, said: "elevated-claim-required"},
	} {
		e.Clock.Advance(step.later)
		if status, said := do(t, s, step.method, step.token, step.body); status != step.status || said != step.said {
			t.Errorf("%s: %d %q, want %d %q", step.name, status, said, step.status, step.said)
		}
	}
}

// program is the program on a free port.
type program struct {
	url   string
	said  string // at start
	stop  context.CancelFunc
	ended chan error
}

func start(t *testing.T, db string) program {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	out, words := io.Pipe()
	p := program{stop: stop, ended: make(chan error, 1)}
	go func() {
		err := run(ctx, "127.0.0.1:0", db, words)
		words.CloseWithError(err)
		p.ended <- err
	}()
	said := make([]byte, 1024)
	n, err := out.Read(said)
	if err != nil {
		t.Fatal(err)
	}
	p.said = string(said[:n])
	url := regexp.MustCompile(`http://localhost:\d+`).FindString(p.said)
	if url == "" {
		t.Fatalf("the program said %q, which has no URL", p.said)
	}
	p.url = strings.Replace(url, "localhost", "127.0.0.1", 1)
	return p
}

func (p program) end(t *testing.T) {
	t.Helper()
	p.stop()
	if err := <-p.ended; err != nil {
		t.Errorf("the program ended with %v", err)
	}
}

// post sends a request and reads the answer into v.
func (p program) post(t *testing.T, path, body string, v any) (status int) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Post(p.url+path, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(v); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode
}

// signUp signs up and follows the link in the letter.
func (p program) signUp(t *testing.T) {
	t.Helper()
	var in auth.SignInResult
	if status := p.post(t, "/v1/signup/email-password", ada, &in); status != http.StatusOK || in.Session != nil {
		t.Fatalf("sign up: %d, %+v, want no session before the address is verified", status, in)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for t.Context().Err() == nil { // the letter is delivered after the answer
		var box struct{ Letters []letter }
		response, err := client.Get(p.url + "/dev/mailbox")
		if err != nil {
			t.Fatal(err)
		}
		err = json.NewDecoder(response.Body).Decode(&box)
		response.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if len(box.Letters) == 0 {
			continue
		}
		l := box.Letters[0]
		if l.To != "ada@example.com" || l.Subject == "" || l.Text == "" || !l.HasHTML || l.Code != "" {
			t.Errorf("the letter is %+v", l)
		}
		if response, err = client.Get(l.Link); err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK || response.Request.URL.Query().Get("type") != "verifyEmail" {
			t.Errorf("the link leads to %s, %s", response.Request.URL, response.Status)
		}
		return
	}
}

const ada = `{"email":"ada@example.com","password":"` + authtest.Password + `"}`

func TestUsersAndSessionsSurviveARestart(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "quickstart.db")
	p := start(t, db)
	p.signUp(t)
	var in auth.SignInResult
	if status := p.post(t, "/v1/signin/email-password", ada, &in); in.Session == nil {
		t.Fatalf("sign in: %d, no session", status)
	}
	p.end(t)

	p = start(t, db)
	defer p.end(t)
	if !strings.Contains(p.said, db+" ") || !strings.Contains(p.said, db+".secret") {
		t.Errorf("the program said %q, want the files in it", p.said)
	}
	var next auth.Session
	if status := p.post(t, "/v1/token", `{"refreshToken":"`+in.Session.RefreshToken+`"}`, &next); status != http.StatusOK {
		t.Errorf("refresh: %d", status)
	}
	// Only the same secret makes a key that signs with the same identity.
	if before, after := header(t, in.Session.AccessToken), header(t, next.AccessToken); before != after {
		t.Errorf("the header of an access token was %s, and is %s", before, after)
	}
	if status := p.post(t, "/v1/signin/email-password", ada, &in); status != http.StatusOK {
		t.Errorf("sign in: %d", status)
	}
}

// header is that of a JWT.
func header(t *testing.T, token string) string {
	t.Helper()
	encoded, _, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestMemoryIsForgottenAndWritesNoFile(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	p := start(t, "")
	p.signUp(t)
	p.end(t)
	p = start(t, "")
	if _, body := get(t, p.url+"/dev/mailbox"); strings.Contains(body, "ada@") {
		t.Errorf("letters are left after a restart: %s", body)
	}
	var refused auth.Error
	if status := p.post(t, "/v1/signin/email-password", ada, &refused); status != http.StatusUnauthorized {
		t.Errorf("sign in after a restart: %d, want 401", status)
	}
	p.end(t)
	if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
		t.Errorf("files were written: %v, %v", files, err)
	}
}

func TestTheSecretIsItsOwnersAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret")
	first, err := loadSecret(path)
	if err != nil || len(first) < 32 {
		t.Fatalf("%d bytes, %v, want 32", len(first), err)
	}
	if stat, err := os.Stat(path); err != nil || stat.Mode().Perm() != 0o600 {
		t.Errorf("permissions %v, %v, want 0600", stat.Mode(), err)
	}
	if again, err := loadSecret(path); err != nil || !bytes.Equal(again, first) {
		t.Errorf("the secret that is read is not the one that was written: %v", err)
	}
	if other, err := loadSecret(path + "2"); err != nil || bytes.Equal(other, first) {
		t.Errorf("two files have the same secret: %v", err)
	}
	if err := writeSecret(path, newSecret()); !errors.Is(err, fs.ErrExist) {
		t.Errorf("write over a secret: %v, want %v", err, fs.ErrExist)
	}
}

func TestASecretThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"an empty file": "",
		"a short one":   base64.StdEncoding.EncodeToString([]byte("canary")) + "\n",
		"no base64":     "canary",
	} {
		db := filepath.Join(t.TempDir(), "quickstart.db")
		if err := os.WriteFile(db+".secret", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := run(t.Context(), "127.0.0.1:0", db, io.Discard)
		if err == nil || !strings.Contains(err.Error(), db+".secret") || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v, want an error that names the file and not what is in it", name, err)
		}
		if _, err := os.Stat(db); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: there is a database: %v", name, err)
		}
	}
}

func TestATakenPortIsExplained(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	err = run(t.Context(), l.Addr().String(), "", io.Discard)
	if err == nil || !strings.Contains(err.Error(), l.Addr().String()) || !strings.Contains(err.Error(), "-addr 127.0.0.1:0") {
		t.Errorf("err = %v, want the address and the way to choose another", err)
	}
}

func TestPublicURL(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"127.0.0.1:8080":   "http://localhost:8080",
		"[::1]:8080":       "http://localhost:8080",
		"[::]:8080":        "http://localhost:8080",
		"192.0.2.1:8080":   "http://192.0.2.1:8080",
		"[2001:db8::1]:80": "http://[2001:db8::1]:80",
	} {
		a, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if got := publicURL(a); got != want {
			t.Errorf("publicURL(%s) = %s, want %s", addr, got, want)
		}
	}
}
