package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
)

func newServer(t *testing.T) *httptest.Server {
	t.Helper()
	e := authtest.New(t, func(c *auth.Config) { c.Email.AllowUnverified = true })
	handler, err := routes(e.Engine)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s
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

func TestTheProgramServesFromStartToEnd(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	out, words := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, "127.0.0.1:0", words) }()
	said := make([]byte, 256)
	n, err := out.Read(said)
	if err != nil {
		t.Fatal(err)
	}
	url := regexp.MustCompile(`http://localhost:\d+`).FindString(string(said[:n]))
	if url == "" {
		t.Fatalf("the program said %q, which has no URL", said[:n])
	}
	url = strings.Replace(url, "localhost", "127.0.0.1", 1)

	response, err := http.Post(url+"/v1/signup/email-password", "application/json",
		strings.NewReader(`{"email":"ada@example.com","password":"`+authtest.Password+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var in auth.SignInResult
	if err := json.NewDecoder(response.Body).Decode(&in); err != nil || in.Session == nil {
		t.Errorf("sign up: %s, %v, %v", response.Status, in.Session, err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("the program ended with %v", err)
	}
}

func TestATakenPortIsExplained(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	err = run(t.Context(), l.Addr().String(), io.Discard)
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
