package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	netmail "net/mail"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/internal/fakesmtp"
)

// A test binary that finds this variable is the program itself.
const beTheProgram = "STANDALONE_TEST_BE_THE_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(beTheProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// program is the program as a process.
type program struct {
	cmd     *exec.Cmd
	address string
	stderr  bytes.Buffer

	mu    sync.Mutex
	lines []map[string]any // of its log
	more  chan struct{}    // closed when a line comes, and replaced
}

// start starts the program and waits until it listens.
func start(t *testing.T, env map[string]string) *program {
	t.Helper()
	environ := good(map[string]string{"AUTH_LISTEN": "127.0.0.1:0"})
	for name, value := range env {
		environ = append(environ, name+"="+value)
	}
	p := &program{cmd: exec.Command(os.Args[0]), more: make(chan struct{})}
	p.cmd.Env = append(environ, beTheProgram+"=1")
	p.cmd.Dir = t.TempDir()
	p.cmd.Stderr = &p.stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Process.Kill() }) // it has ended, unless the test has failed
	go p.follow(out)
	p.address = p.await(t, "listening")["address"].(string)
	return p
}

func (p *program) follow(out io.Reader) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var line map[string]any
		if json.Unmarshal(lines.Bytes(), &line) != nil {
			line = map[string]any{"msg": "not JSON: " + lines.Text()}
		}
		p.mu.Lock()
		p.lines = append(p.lines, line)
		close(p.more)
		p.more = make(chan struct{})
		p.mu.Unlock()
	}
}

// await returns the first line of the log with a message.
func (p *program) await(t *testing.T, msg string) map[string]any {
	t.Helper()
	tooLong := time.After(20 * time.Second)
	for {
		p.mu.Lock()
		lines, more := p.lines, p.more
		p.mu.Unlock()
		for _, line := range lines {
			if line["msg"] == msg {
				return line
			}
		}
		select {
		case <-more:
		case <-tooLong:
			t.Fatalf("the program has not said %q; it said %v and %s", msg, lines, p.stderr.String())
		}
	}
}

// stop sends SIGTERM and checks that the program ends as it should.
func (p *program) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.ended(t)
}

func (p *program) ended(t *testing.T) {
	t.Helper()
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("the program ended with %v\n%s", err, p.stderr.String())
	}
}

// call sends a request and reads the answer into v unless that is nil.
func (p *program) call(t *testing.T, method, path, bearer, body string, v any) (status int) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+p.address+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if v != nil {
		if err := json.NewDecoder(response.Body).Decode(v); err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
	}
	return response.StatusCode
}

const ada = `{"email":"ada@example.com","password":"plum-tractor-eleven"}`

func TestAUsersWholeLife(t *testing.T) {
	t.Parallel()
	p := start(t, nil)

	var health map[string]string
	if status := p.call(t, "GET", "/healthz", "", "", &health); status != http.StatusOK || health["status"] != "ok" {
		t.Errorf("GET /healthz: %d %v", status, health)
	}
	var ok string
	if status := p.call(t, "GET", "/v1/healthz", "", "", &ok); status != http.StatusOK || ok != "OK" {
		t.Errorf("GET /v1/healthz: %d %q", status, ok)
	}

	var in auth.SignInResult
	if status := p.call(t, "POST", "/v1/signup/email-password", "", ada, &in); status != http.StatusOK || in.Session != nil {
		t.Fatalf("sign up: %d, %v, want 200 and no session before the address is verified", status, in.Session)
	}
	if status := p.call(t, "POST", "/v1/signin/email-password", "", ada, nil); status != http.StatusUnauthorized {
		t.Errorf("sign in before verification: %d, want 401", status)
	}
	link := p.await(t, "letter")["link"].(string)
	path, found := strings.CutPrefix(link, "https://auth.example.com")
	if !found {
		t.Fatalf("the link is %q", link)
	}
	if status := p.call(t, "GET", path, "", "", nil); status != http.StatusFound {
		t.Errorf("follow the link: %d, want 302", status)
	}
	if status := p.call(t, "POST", "/v1/signin/email-password", "", ada, &in); status != http.StatusOK || in.Session == nil {
		t.Fatalf("sign in: %d, %v", status, in.Session)
	}
	var next auth.Session
	refresh := `{"refreshToken":"` + in.Session.RefreshToken + `"}`
	if status := p.call(t, "POST", "/v1/token", "", refresh, &next); status != http.StatusOK || next.RefreshToken == in.Session.RefreshToken {
		t.Errorf("refresh: %d, and the refresh token is another one: %t", status, next.RefreshToken != in.Session.RefreshToken)
	}
	var user auth.User
	if status := p.call(t, "GET", "/v1/user", next.AccessToken, "", &user); status != http.StatusOK || user.Email != "ada@example.com" {
		t.Errorf("user: %d, %+v", status, user)
	}
	refresh = `{"refreshToken":"` + next.RefreshToken + `"}`
	if status := p.call(t, "POST", "/v1/signout", "", refresh, nil); status != http.StatusOK {
		t.Errorf("sign out: %d", status)
	}
	if status := p.call(t, "POST", "/v1/token", "", refresh, nil); status != http.StatusUnauthorized {
		t.Errorf("refresh after signing out: %d, want 401", status)
	}
	p.stop(t)

	// LG-10
	p.mu.Lock()
	defer p.mu.Unlock()
	log := fmt.Sprint(p.lines) + p.stderr.String()
	for _, secret := range []string{
		testSecret, "plum-tractor-eleven", in.Session.AccessToken, in.Session.RefreshToken, next.AccessToken, next.RefreshToken,
	} {
		if strings.Contains(log, secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
}

func TestPasskeysAreAsTheEnvironmentSays(t *testing.T) {
	t.Parallel()
	p := start(t, map[string]string{
		"AUTH_WEBAUTHN_ENABLED":             "true",
		"AUTH_WEBAUTHN_RP_ID":               "example.com",
		"AUTH_WEBAUTHN_RP_NAME":             "Example",
		"AUTH_WEBAUTHN_RP_ORIGINS":          "https://example.net,ios:bundle-id:com.example.app",
		"AUTH_WEBAUTHN_ATTESTATION_TIMEOUT": "90000",
	})
	// Where browsers look for it, and where the other routes are.
	for _, path := range []string{"/.well-known/webauthn", "/v1/.well-known/webauthn"} {
		var related struct{ Origins []string }
		status := p.call(t, "GET", path, "", "", &related)
		want := []string{"https://example.net", "https://app.example.com"}
		if diff := cmp.Diff(want, related.Origins); status != http.StatusOK || diff != "" {
			t.Errorf("GET %s: %d (-want +got):\n%s", path, status, diff)
		}
	}
	if status := p.call(t, "GET", "/.well-known/jwks.json", "", "", nil); status != http.StatusNotFound {
		t.Errorf("a route without its prefix: %d, want 404", status)
	}

	var create auth.CreationOptions
	status := p.call(t, "POST", "/v1/signup/webauthn", "", `{"email":"ada@example.com"}`, &create)
	if want := (auth.RelyingParty{Name: "Example", ID: "example.com"}); status != http.StatusOK || create.RP != want || create.Timeout != 90_000 {
		t.Errorf("sign up: %d, relying party %+v, timeout %d", status, create.RP, create.Timeout)
	}
	var in auth.SignInResult
	answer := `{"credential":` + string((&authtest.Authenticator{Origin: "https://app.example.com"}).Create(t, create)) + `}`
	if status := p.call(t, "POST", "/v1/signup/webauthn/verify", "", answer, &in); status != http.StatusOK {
		t.Errorf("the answer to the challenge: %d, want 200", status)
	}
	p.stop(t)
}

func TestWithoutPasskeysThereAreNone(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	for _, path := range []string{"/.well-known/webauthn", "/v1/.well-known/webauthn"} {
		if status := p.call(t, "GET", path, "", "", nil); status != http.StatusConflict {
			t.Errorf("GET %s: %d, want 409", path, status)
		}
	}
	p.stop(t)
}

func TestARequestInFlightIsAnsweredAfterSIGTERM(t *testing.T) {
	t.Parallel()
	p := start(t, map[string]string{"AUTH_EMAIL_SIGNIN_EMAIL_VERIFIED_REQUIRED": "false"})
	conn, err := net.Dial("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /v1/signup/email-password HTTP/1.1\r\nHost: auth\r\nContent-Type: application/json\r\n"+
		"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n", len(ada))
	answer := bufio.NewReader(conn)
	if line, err := answer.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
		t.Fatalf("the program said %q, %v", line, err)
	}
	// Now the program is reading the body.
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.await(t, "ending: waiting for the requests in flight")
	if _, err := answer.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, ada); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(answer, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var in auth.SignInResult
	if err := json.NewDecoder(response.Body).Decode(&in); err != nil || in.Session == nil {
		t.Errorf("sign up: %s, %v, %v", response.Status, in.Session, err)
	}
	p.ended(t)
	if _, err := net.Dial("tcp", p.address); err == nil {
		t.Error("the program has ended and still listens")
	}
}

func TestMistakesEndTheProgramAtOnce(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	status := run(good(map[string]string{"AUTH_PORT": "x", "AUTH_SECRET": "canary"}), &stdout, &stderr)
	if status != 2 {
		t.Errorf("status %d, want 2", status)
	}
	for _, want := range []string{"AUTH_PORT: ", "AUTH_SECRET: "} {
		if !strings.Contains(stderr.String(), "\n"+want) {
			t.Errorf("standard error does not name %s:\n%s", want, stderr.String())
		}
	}
	if strings.Contains(stderr.String()+stdout.String(), "canary") {
		t.Errorf("a secret is shown:\n%s%s", stderr.String(), stdout.String())
	}
}

func TestATakenPortEndsTheProgram(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var stdout bytes.Buffer
	status := run(good(map[string]string{"AUTH_LISTEN": l.Addr().String()}), &stdout, io.Discard)
	if status != 1 || !strings.Contains(stdout.String(), "AUTH_LISTEN") {
		t.Errorf("status %d, want 1 and a word about AUTH_LISTEN:\n%s", status, stdout.String())
	}
}

func TestLettersAreOnlyLoggedWhereThatIsAskedFor(t *testing.T) { // LG-10
	t.Parallel()
	p := start(t, map[string]string{"AUTH_EMAIL_SIGNIN_EMAIL_VERIFIED_REQUIRED": "false", "AUTH_MAIL_LOG": "false"})
	p.call(t, "POST", "/v1/signup/email-password", "", ada, nil)
	p.stop(t)
	p.mu.Lock()
	defer p.mu.Unlock()
	if log := fmt.Sprint(p.lines); strings.Contains(log, "ada@example.com") || strings.Contains(log, "AUTH_MAIL_LOG") {
		t.Errorf("the log has an address or a warning about letters: %s", log)
	}
}

// The documented headers are in letters where the environment asks for them, and nowhere else: X-Link and X-Ticket are as
// good as a password.
func TestHeadersThatRepeatALetterAreOnlyThereWhereThatIsAskedFor(t *testing.T) {
	t.Parallel()
	for value, want := range map[string][]string{
		"":      {"X-Smtpapi"},
		"false": {"X-Smtpapi"},
		"true":  {"X-Email-Template", "X-Link", "X-Redirect-To", "X-Smtpapi", "X-Ticket"},
	} {
		t.Run(fmt.Sprintf("%q", value), func(t *testing.T) {
			t.Parallel()
			server := fakesmtp.Start(t, fakesmtp.Options{})
			p := start(t, map[string]string{
				"AUTH_MAIL_LOG": "", "AUTH_SMTP_HOST": server.Host, "AUTH_SMTP_PORT": fmt.Sprint(server.Port), "AUTH_SMTP_TLS": "none",
				"AUTH_SMTP_SENDER": "Example <noreply@example.com>", "AUTH_SMTP_HEADERS": value, "AUTH_SMTP_X_SMTPAPI_HEADER": `{"category":"auth"}`,
			})
			if status := p.call(t, "POST", "/v1/signup/email-password", "", ada, nil); status != http.StatusOK {
				t.Fatalf("sign up: %d", status)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			letters := server.Await(ctx, 1)
			p.stop(t)
			if len(letters) != 1 {
				t.Fatalf("%d letters", len(letters))
			}
			m, err := netmail.ReadMessage(strings.NewReader(letters[0].Content))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for name := range m.Header {
				if strings.HasPrefix(name, "X-") {
					got = append(got, name)
				}
			}
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("headers: %s", diff)
			}
			if x := m.Header.Get("X-SMTPAPI"); x != `{"category":"auth"}` {
				t.Errorf("X-SMTPAPI: %s", x)
			}
			if value != "true" {
				return
			}
			ticket, redirectTo := m.Header.Get("X-Ticket"), m.Header.Get("X-Redirect-To")
			link, err := url.Parse(m.Header.Get("X-Link"))
			if err != nil || !strings.HasPrefix(link.String(), "https://auth.example.com/v1/verify?") {
				t.Fatalf("X-Link: %s, %v", link, err)
			}
			if !strings.HasPrefix(ticket, "verifyEmail:") || link.Query().Get("ticket") != ticket {
				t.Errorf("X-Ticket: %q, and the link is %s", ticket, link)
			}
			if redirectTo != "https://app.example.com" || link.Query().Get("redirectTo") != redirectTo {
				t.Errorf("X-Redirect-To: %q, and the link is %s", redirectTo, link)
			}
			if template := m.Header.Get("X-Email-Template"); template != "email-verify" {
				t.Errorf("X-Email-Template: %q", template)
			}
		})
	}
}

func TestLettersAreThoseOfTheFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	letter := filepath.Join(dir, "en", "email-verify")
	if err := os.MkdirAll(letter, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(letter, "subject.txt"), []byte("Welcome to ${clientHost}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := start(t, map[string]string{"AUTH_EMAIL_TEMPLATES_PATH": dir})
	p.call(t, "POST", "/v1/signup/email-password", "", ada, nil)
	if l := p.await(t, "letter"); l["subject"] != "Welcome to app.example.com" {
		t.Errorf("letter %v", l)
	}
}
