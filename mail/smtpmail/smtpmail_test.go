package smtpmail_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/auth/internal/fakesmtp"
	"github.com/ostiary/auth/mail"
	"github.com/ostiary/auth/mail/smtpmail"
)

const (
	user     = "ostiary"
	password = "plum-tractor-eleven"
	ticket   = "verifyEmail:2f1c9a4e-77b0-4c55-9f0e-0b7c8a3d1e11"
)

// letter is a letter as the engine writes it.
func letter() mail.Message {
	link := "https://auth.example.com/verify?redirectTo=https%3A%2F%2Fapp.example.com&ticket=" + ticket + "&type=emailVerify"
	return mail.Message{
		To: "ada@example.com", Template: "email-verify", Locale: "en",
		Variables: map[string]string{
			"link": link, "ticket": ticket, "redirectTo": "https://app.example.com", "displayName": "Ada Lovelace",
			"email": "ada@example.com", "locale": "en", "serverUrl": "https://auth.example.com", "clientUrl": "https://app.example.com",
		},
		Subject: "Verify your e-mail address",
		Text:    "Follow this link:\n" + link + "\n",
		HTML:    `<p>Follow <a href="` + strings.ReplaceAll(link, "&", "&amp;") + `">this link</a>.</p>`,
	}
}

// config is a configuration that works with s.
func config(s *fakesmtp.Server) smtpmail.Config {
	return smtpmail.Config{
		Host: s.Host, Port: s.Port, TLSConfig: &tls.Config{RootCAs: s.Pool},
		Username: user, Password: password, From: "Ostiary <noreply@example.org>",
	}
}

func start(t *testing.T, o fakesmtp.Options) *fakesmtp.Server {
	t.Helper()
	o.User, o.Password = user, password
	return fakesmtp.Start(t, o)
}

// newSender makes a sender that is closed when the test ends.
func newSender(t *testing.T, c smtpmail.Config) *smtpmail.Sender {
	t.Helper()
	s, err := smtpmail.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestLettersAreDeliveredInEveryMode(t *testing.T) {
	t.Parallel()
	methods := []smtpmail.AuthMethod{
		smtpmail.AuthAuto, smtpmail.AuthPlain, smtpmail.AuthLogin, smtpmail.AuthCRAMMD5, smtpmail.AuthSCRAMSHA1, smtpmail.AuthSCRAMSHA256,
	}
	for _, mode := range []smtpmail.TLSMode{smtpmail.StartTLS, smtpmail.ImplicitTLS, smtpmail.NoTLS} {
		for _, method := range methods {
			t.Run(fmt.Sprintf("TLS mode %d, method %q", mode, method), func(t *testing.T) {
				t.Parallel()
				s := start(t, fakesmtp.Options{Implicit: mode == smtpmail.ImplicitTLS, AuthInClear: mode == smtpmail.NoTLS})
				c := config(s)
				c.TLS, c.Auth = mode, method
				sender := newSender(t, c)
				if err := sender.Send(t.Context(), letter()); err != nil {
					t.Fatal(err)
				}
				got := s.Letters()
				if len(got) != 1 {
					t.Fatalf("%d letters", len(got))
				}
				if got[0].User != user || got[0].TLS != (mode != smtpmail.NoTLS) {
					t.Errorf("letter of %q, TLS %v", got[0].User, got[0].TLS)
				}
				if got[0].From != "<noreply@example.org> BODY=8BITMIME" || got[0].To != "<ada@example.com>" {
					t.Errorf("envelope from %q to %q", got[0].From, got[0].To)
				}
				if mode != smtpmail.NoTLS && (strings.Contains(s.Clear(), "AUTH") || strings.Contains(s.Clear(), "MAIL")) {
					t.Errorf("in the clear: %q", s.Clear())
				}
			})
		}
	}
}

func TestAutoTakesTheBestMethodOffered(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		offered []string
		want    string
	}{
		"everything":           {nil, "AUTH SCRAM-SHA-256"},
		"SCRAM with SHA-1":     {[]string{"LOGIN", "PLAIN", "SCRAM-SHA-1"}, "AUTH SCRAM-SHA-1"},
		"PLAIN and LOGIN":      {[]string{"LOGIN", "PLAIN"}, "AUTH PLAIN"},
		"LOGIN alone":          {[]string{"LOGIN"}, "AUTH LOGIN"},
		"what nobody else has": {[]string{"XOAUTH2", "CRAM-MD5"}, "AUTH CRAM-MD5"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, fakesmtp.Options{Mechanisms: tt.offered})
			if err := newSender(t, config(s)).Send(t.Context(), letter()); err != nil {
				t.Fatal(err)
			}
			for _, line := range s.Said(1) {
				if strings.HasPrefix(line, "AUTH ") {
					if method := strings.Join(strings.Fields(line)[:2], " "); method != tt.want {
						t.Errorf("%s, want %s", method, tt.want)
					}
				}
			}
		})
	}
}

func TestWithoutUsernameNobodyIsAuthenticated(t *testing.T) {
	t.Parallel()
	s := start(t, fakesmtp.Options{})
	c := config(s)
	c.Username, c.Password = "", ""
	if err := newSender(t, c).Send(t.Context(), letter()); err != nil {
		t.Fatal(err)
	}
	if got := s.Letters(); len(got) != 1 || got[0].User != "" {
		t.Errorf("letters %+v", got)
	}
}

func TestSenderIntroducesItself(t *testing.T) {
	t.Parallel()
	for helo, want := range map[string]string{"": "EHLO example.org", "relay.example.net": "EHLO relay.example.net", "[192.0.2.1]": "EHLO [192.0.2.1]"} {
		s := start(t, fakesmtp.Options{})
		c := config(s)
		c.HELO = helo
		if err := newSender(t, c).Send(t.Context(), letter()); err != nil {
			t.Fatal(err)
		}
		if said := s.Said(1); said[0] != want {
			t.Errorf("HELO %q: said %q", helo, said[0])
		}
	}
}

// failure runs one Send that fails and returns its error.
func failure(t *testing.T, sender *smtpmail.Sender) *smtpmail.Error {
	t.Helper()
	err := sender.Send(t.Context(), letter())
	var e *smtpmail.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v, want an *smtpmail.Error", err)
	}
	return e
}

// stages are the commands at which a server can fail, and where an attempt then ends.
var stages = []struct {
	verb  string
	stage string
}{
	{"CONNECT", "connect"},
	{"EHLO", "hello"},
	{"STARTTLS", "tls"},
	{"AUTH", "auth"},
	{"AUTH-RESPONSE", "auth"},
	{"MAIL", "sender"},
	{"RCPT", "recipient"},
	{"DATA", "content"},
	{"CONTENT", "content"},
}

// at makes a server fail at a command, as long as its first connection lasts.
func at(verb string, r fakesmtp.Reply) func(*fakesmtp.Conn, string, string) fakesmtp.Reply {
	return func(c *fakesmtp.Conn, v, _ string) fakesmtp.Reply {
		if c.Number == 1 && (v == verb || verb == "EHLO" && v == "HELO") {
			return r
		}
		return fakesmtp.Reply{}
	}
}

// A refusal at any stage is told with its code, is permanent only where the letter's recipient or content is at fault,
// and shows nothing that the server could have learnt from the letter or the authentication.
func TestRefusals(t *testing.T) {
	t.Parallel()
	leak := strings.Join([]string{
		password, base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password)), "<ada@example.com>", ticket,
	}, " ")
	for _, at1 := range stages {
		for _, tt := range []struct {
			reply     string
			code      int
			status    string
			permanent bool // at the stages of the recipient and the content
		}{
			{"421 4.3.2 closing", 421, "4.3.2", false},
			{"450 try later", 450, "", false},
			{"451 4.7.1 greylisted", 451, "4.7.1", false},
			{"500 5.5.2 pardon?", 500, "5.5.2", false},
			{"530 5.7.0 authenticate", 530, "5.7.0", false},
			{"550 5.1.1 no such user", 550, "5.1.1", true},
			{"550 no", 550, "", true},
			{"552 5.3.4 too big", 552, "5.3.4", true},
			{"554 5.7.1 relay access denied", 554, "5.7.1", false},
			{"554-5.6.0 this\r\n554 5.6.0 and that", 554, "5.6.0", true},
		} {
			t.Run(at1.verb+" "+tt.reply, func(t *testing.T) {
				t.Parallel()
				s := start(t, fakesmtp.Options{Answer: at(at1.verb, fakesmtp.Reply{Text: tt.reply + " " + leak})})
				sender := newSender(t, config(s))
				e := failure(t, sender)
				if e.Stage != at1.stage || e.Code != tt.code || e.Status != tt.status {
					t.Errorf("stage %q, code %d, status %q", e.Stage, e.Code, e.Status)
				}
				late := e.Stage == "recipient" || e.Stage == "content"
				if want := late && tt.permanent; e.Permanent() != want {
					t.Errorf("permanent %v, want %v", e.Permanent(), want)
				}
				if early := e.Stage != "auth" && e.Stage != "content"; (e.Reply != "") != early {
					t.Errorf("reply %q", e.Reply)
				}
				if !strings.Contains(e.Error(), fmt.Sprint(tt.code)) || strings.ContainsAny(e.Error(), "\r\n") {
					t.Errorf("error %q", e)
				}
				secrets := []string{"ada@example.com"}
				if e.Reply == "" {
					secrets = append(secrets, strings.Fields(leak)...)
				}
				for _, secret := range secrets {
					if shown := fmt.Sprintf("%v %+v", e, e); strings.Contains(shown, secret) {
						t.Errorf("the error shows %q: %s", secret, shown)
					}
				}
				if n := len(s.Letters()); n != 0 {
					t.Errorf("%d letters", n)
				}
				if early := at1.stage != "sender" && !late; early || tt.code == 421 {
					s.AwaitEnd(1) // the connection is not left open
				}
				if at1.verb == "MAIL" || at1.verb == "RCPT" || at1.verb == "CONTENT" {
					return // the connection is kept, and its server goes on refusing
				}
				if err := sender.Send(t.Context(), letter()); err != nil && at1.verb != "DATA" {
					t.Errorf("with a new connection: %v", err)
				}
			})
		}
	}
}

// After a refusal the connection goes on, from the beginning.
func TestConnectionOutlivesARefusal(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"MAIL", "RCPT", "DATA", "CONTENT"} {
		var once sync.Once
		s := start(t, fakesmtp.Options{Answer: func(_ *fakesmtp.Conn, v, _ string) (r fakesmtp.Reply) {
			if v == verb {
				once.Do(func() { r.Text = "451 4.3.0 not now" })
			}
			return r
		}})
		sender := newSender(t, config(s))
		if e := failure(t, sender); e.Code != 451 {
			t.Errorf("%s: %v", verb, e)
		}
		if err := sender.Send(t.Context(), letter()); err != nil {
			t.Errorf("%s: %v", verb, err)
		}
		if s.Conns() != 1 || len(s.Letters()) != 1 {
			t.Errorf("%s: %d connections, %d letters", verb, s.Conns(), len(s.Letters()))
		}
	}
}

// RD-36: a server that hangs up, says nothing or never stops talking ends the attempt and nothing else.
func TestBrokenServers(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		reply fakesmtp.Reply
		cause error
	}{
		"hangs up":            {fakesmtp.Reply{Drop: true}, io.ErrUnexpectedEOF},
		"hangs up in a reply": {fakesmtp.Reply{Text: "250-and then", Drop: true}, io.ErrUnexpectedEOF},
		"never stops talking": {fakesmtp.Reply{Endless: true}, nil},
		"never ends a line":   {fakesmtp.Reply{Text: "250-" + strings.Repeat("and so on ", 100_000)}, nil},
		"talks nonsense":      {fakesmtp.Reply{Text: "HTTP/1.1 400 Bad Request"}, nil},
		"is two replies out":  {fakesmtp.Reply{Text: "250 2.0.0 ok\r\n250 2.0.0 ok"}, nil},
	} {
		for _, at1 := range stages {
			t.Run(at1.verb+" "+name, func(t *testing.T) {
				t.Parallel()
				s := start(t, fakesmtp.Options{Answer: at(at1.verb, tt.reply)})
				sender := newSender(t, config(s))
				err := sender.Send(t.Context(), letter())
				if err == nil {
					if at1.verb == "CONTENT" && name == "is two replies out" {
						return // the letter was accepted before
					}
					t.Fatal("no error")
				}
				var e *smtpmail.Error
				if !errors.As(err, &e) || e.Permanent() {
					t.Errorf("error %v is permanent", err)
				}
				if tt.cause != nil && !errors.Is(err, tt.cause) {
					t.Errorf("error %v, want %v", err, tt.cause)
				}
				if len(err.Error()) > 400 || strings.Contains(err.Error(), "HTTP") {
					t.Errorf("error %q", err)
				}
				if err := sender.Send(t.Context(), letter()); err != nil {
					t.Errorf("with a new connection: %v", err)
				}
				if s.Conns() != 2 {
					t.Errorf("%d connections", s.Conns())
				}
			})
		}
	}
}

// A context ends an attempt at every stage, and leaves nothing behind.
func TestContextEndsEveryStage(t *testing.T) {
	t.Parallel()
	for _, at1 := range stages {
		t.Run(at1.verb, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancelCause(t.Context())
			reason := errors.New("the service shuts down")
			s := start(t, fakesmtp.Options{Answer: func(c *fakesmtp.Conn, v, _ string) fakesmtp.Reply {
				if c.Number == 1 && v == at1.verb {
					cancel(reason)
					return fakesmtp.Reply{Silence: true}
				}
				return fakesmtp.Reply{}
			}})
			sender := newSender(t, config(s))
			err := sender.Send(ctx, letter())
			var e *smtpmail.Error
			if !errors.As(err, &e) || e.Stage != at1.stage || !errors.Is(err, reason) || e.Permanent() {
				t.Errorf("error %v", err)
			}
			if err := sender.Send(t.Context(), letter()); err != nil || s.Conns() != 2 {
				t.Errorf("with a new connection: %v, %d connections", err, s.Conns())
			}
		})
	}
}

func TestTimeoutEndsASilentServer(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // it never accepts, and the kernel does
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, mode := range []smtpmail.TLSMode{smtpmail.StartTLS, smtpmail.ImplicitTLS, smtpmail.NoTLS} {
		sender := newSender(t, smtpmail.Config{
			Host: "127.0.0.1", Port: silent.Addr().(*net.TCPAddr).Port, TLS: mode, From: "noreply@example.org", Timeout: 20 * time.Millisecond,
		})
		if err := sender.Send(t.Context(), letter()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("TLS mode %d: %v", mode, err)
		}
	}
}

// A letter that waits for one of the connections waits no longer than it may.
func TestWaitingForATurnEnds(t *testing.T) {
	t.Parallel()
	taken, free := make(chan struct{}), make(chan struct{})
	s := start(t, fakesmtp.Options{Answer: func(_ *fakesmtp.Conn, verb, _ string) fakesmtp.Reply {
		if verb == "DATA" {
			close(taken)
			<-free
		}
		return fakesmtp.Reply{}
	}})
	c := config(s)
	c.MaxConns = 1
	sender := newSender(t, c)
	first := make(chan error, 1)
	go func() { first <- sender.Send(t.Context(), letter()) }()
	<-taken
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := sender.Send(ctx, letter()); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	close(free)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if s.Conns() != 1 {
		t.Errorf("%d connections", s.Conns())
	}
}

// RD-36: without TLS there is no letter and no password, whatever the server claims.
func TestTLSIsRequired(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]fakesmtp.Options{
		"no STARTTLS, and AUTH in the clear": {NoStartTLS: true, AuthInClear: true},
		"no EHLO":                            {NoEHLO: true, AuthInClear: true},
		"STARTTLS is refused":                {AuthInClear: true, Answer: at("STARTTLS", fakesmtp.Reply{Text: "454 4.7.0 not available"})},
		"replies are put before TLS": {AuthInClear: true, Answer: at("STARTTLS", fakesmtp.Reply{
			Text: "220 2.0.0 go ahead\r\n250-fake.example.test\r\n250 AUTH PLAIN", Obey: true,
		})},
		"replies are put before TLS, in one piece with it": {AuthInClear: true, Answer: at("STARTTLS", fakesmtp.Reply{
			Text: "220 2.0.0 go ahead\r\n250 AUTH PLAIN\r\n235 2.7.0 welcome\r\n250 ok\r\n250 ok",
		})},
		"the permission is put before the question": {AuthInClear: true, Answer: at("EHLO", fakesmtp.Reply{
			Text: "250-fake.example.test\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n220 2.0.0 go ahead\r\n250 AUTH PLAIN\r\n235 2.7.0 welcome",
		})},
		"STARTTLS is taken out of the offer": {AuthInClear: true, Answer: at("EHLO", fakesmtp.Reply{
			Text: "250-fake.example.test\r\n250-XXXXXXXA\r\n250 AUTH PLAIN",
		})},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, o)
			e := failure(t, newSender(t, config(s)))
			if e.Stage != "tls" || e.Permanent() {
				t.Errorf("error %v", e)
			}
			if said := strings.Join(s.Said(1), "\n"); strings.Contains(said, "AUTH") || strings.Contains(said, "MAIL") {
				t.Errorf("the client went on: %q", said)
			}
		})
	}
}

// RD-36: what the server has said in the clear, anybody may have said: it is forgotten once there is TLS (RFC 3207 §4.2).
func TestOffersInTheClearAreForgotten(t *testing.T) {
	t.Parallel()
	greetings := 0
	s := start(t, fakesmtp.Options{AuthInClear: true, Answer: func(_ *fakesmtp.Conn, verb, _ string) fakesmtp.Reply {
		if verb == "EHLO" {
			if greetings++; greetings == 2 {
				return fakesmtp.Reply{Text: "250-fake.example.test\r\n250 SIZE 1000000"}
			}
		}
		return fakesmtp.Reply{}
	}})
	if e := failure(t, newSender(t, config(s))); e.Stage != "auth" || e.Permanent() {
		t.Errorf("error %v", e)
	}
	if said := strings.Join(s.Said(1), "\n"); strings.Contains(said, "AUTH") || strings.Count(said, "EHLO") != 2 {
		t.Errorf("said %q", said)
	}
}

func TestCertificateIsVerified(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*smtpmail.Config){
		"unknown authority": func(c *smtpmail.Config) { c.TLSConfig = nil },
		"another name":      func(c *smtpmail.Config) { c.TLSConfig.ServerName = "mail.example.com" },
		"the host's name":   func(c *smtpmail.Config) { c.Host = "localhost" },
	} {
		for _, implicit := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, implicit %v", name, implicit), func(t *testing.T) {
				t.Parallel()
				s := start(t, fakesmtp.Options{Implicit: implicit})
				c := config(s)
				if implicit {
					c.TLS = smtpmail.ImplicitTLS
				}
				change(&c)
				e := failure(t, newSender(t, c))
				var certificate *tls.CertificateVerificationError
				if e.Stage != "tls" || !errors.As(e, &certificate) {
					t.Errorf("error %v", e)
				}
				if len(s.Letters()) != 0 {
					t.Error("a letter was sent")
				}
			})
		}
	}
}

// RD-36: the password itself is not sent in the clear to another host, neither by configuration nor because a server
// offers nothing better.
func TestPasswordIsNotSentInTheClear(t *testing.T) {
	t.Parallel()
	for _, method := range []smtpmail.AuthMethod{smtpmail.AuthPlain, smtpmail.AuthLogin} {
		_, err := smtpmail.New(smtpmail.Config{
			Host: "192.0.2.1", TLS: smtpmail.NoTLS, Username: user, Password: password, Auth: method, From: "noreply@example.org",
		})
		if err == nil || !strings.Contains(err.Error(), "in the clear") {
			t.Errorf("%s: %v", method, err)
		}
	}
	for name, tt := range map[string]struct {
		host    string
		offered []string
		want    string // the method; empty for none
	}{
		"another host":                       {"127.0.0.2", []string{"PLAIN", "LOGIN"}, ""},
		"another host with something better": {"127.0.0.2", []string{"PLAIN", "LOGIN", "CRAM-MD5"}, "CRAM-MD5"},
		"this host":                          {"127.0.0.1", []string{"PLAIN", "LOGIN"}, "PLAIN"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, fakesmtp.Options{AuthInClear: true, Mechanisms: tt.offered})
			c := config(s)
			c.Host, c.Port, c.TLS = tt.host, forward(t, tt.host, s.Port), smtpmail.NoTLS
			err := newSender(t, c).Send(t.Context(), letter())
			_, used, _ := strings.Cut(s.Clear(), "AUTH ")
			if (err == nil) != (tt.want != "") || !strings.HasPrefix(used, tt.want) || tt.want == "" && used != "" {
				t.Errorf("error %v, in the clear %q", err, s.Clear())
			}
		})
	}
}

// forward passes connections to another address of this host on, and returns its port.
func forward(t *testing.T, host string, port int) int {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				_ = in.Close()
				return
			}
			pass := func(to, from net.Conn) {
				_, _ = io.Copy(to, from)
				_ = to.Close()
				_ = from.Close()
			}
			go pass(in, out)
			go pass(out, in)
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// A method that is configured is the method that is used, or none is.
func TestMethodIsNotDowngraded(t *testing.T) {
	t.Parallel()
	s := start(t, fakesmtp.Options{Mechanisms: []string{"PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256-PLUS"}})
	c := config(s)
	c.Auth = smtpmail.AuthSCRAMSHA256
	if e := failure(t, newSender(t, c)); e.Stage != "auth" {
		t.Errorf("error %v", e)
	}
	if said := strings.Join(s.Said(1), "\n"); strings.Contains(said, "AUTH") {
		t.Errorf("said %q", said)
	}
}

// With SCRAM the server must prove itself, and may not make the exchange cheap for an eavesdropper or dear for us.
func TestSCRAMServerMustProveItself(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]fakesmtp.Options{
		"a wrong proof":          {Forge: true},
		"no proof":               {SkipProof: true},
		"too few iterations":     {Iterations: 1000},
		"too many iterations":    {Iterations: 2_000_000_000, Forge: true},
		"a proof at first":       {Answer: at("AUTH-RESPONSE", fakesmtp.Reply{Text: "334 dj14"})},
		"another man's nonce":    {Answer: at("AUTH-RESPONSE", fakesmtp.Reply{Text: "334 " + base64.StdEncoding.EncodeToString([]byte("r=x,s=eA==,i=4096"))})},
		"success at once":        {Answer: at("AUTH", fakesmtp.Reply{Text: "235 2.7.0 welcome"})},
		"a second empty message": {Answer: at("AUTH-RESPONSE", fakesmtp.Reply{Text: "334 "})},
		"something else":         {Answer: at("AUTH-RESPONSE", fakesmtp.Reply{Text: "334 " + base64.StdEncoding.EncodeToString([]byte(password))})},
	} {
		for _, method := range []smtpmail.AuthMethod{smtpmail.AuthSCRAMSHA1, smtpmail.AuthSCRAMSHA256} {
			t.Run(fmt.Sprintf("%s, %s", name, method), func(t *testing.T) {
				t.Parallel()
				s := start(t, o)
				c := config(s)
				c.Auth = method
				e := failure(t, newSender(t, c))
				if e.Stage != "auth" || strings.Contains(e.Error(), password) {
					t.Errorf("error %v", e)
				}
				if name == "no proof" && !strings.Contains(e.Error(), "did not prove") {
					t.Errorf("error %v", e)
				}
				if len(s.Letters()) != 0 {
					t.Error("a letter was sent")
				}
			})
		}
	}
}

// script answers AUTH, and every line after it, with the next of some lines.
func script(lines ...string) func(*fakesmtp.Conn, string, string) fakesmtp.Reply {
	next := -1
	return func(_ *fakesmtp.Conn, verb, _ string) fakesmtp.Reply {
		if verb == "AUTH" {
			next = 0
		}
		if next < 0 || next >= len(lines) {
			return fakesmtp.Reply{}
		}
		next++
		return fakesmtp.Reply{Text: lines[next-1]}
	}
}

// Without a password there is no salt to mix into a proof, and a proof that comes before the salt is one that anybody
// can make.
func TestSCRAMProofBeforeTheSalt(t *testing.T) {
	t.Parallel()
	sum := func(key []byte, message string) []byte {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(message))
		return mac.Sum(nil)
	}
	proof := "v=" + base64.StdEncoding.EncodeToString(sum(sum(nil, "Server Key"), ""))
	proof = "334 " + base64.StdEncoding.EncodeToString([]byte(proof))
	for name, lines := range map[string][]string{
		"at once":           {proof, "235 2.7.0 welcome"},
		"once":              {"334 ", proof, "235 2.7.0 welcome"},
		"twice":             {"334 ", proof, proof, "235 2.7.0 welcome"},
		"the empty message": {"334 ", "334 ", proof, "235 2.7.0 welcome"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, fakesmtp.Options{Answer: script(lines...)})
			c := config(s)
			c.Auth = smtpmail.AuthSCRAMSHA256
			if e := failure(t, newSender(t, c)); e.Stage != "auth" {
				t.Errorf("error %v", e)
			}
		})
	}
}

// What a server says in an authentication is not shown, however it says it.
func TestChallengesAreNotShown(t *testing.T) {
	t.Parallel()
	leak := base64.StdEncoding.EncodeToString([]byte(password))
	for _, method := range []smtpmail.AuthMethod{
		smtpmail.AuthPlain, smtpmail.AuthLogin, smtpmail.AuthCRAMMD5, smtpmail.AuthSCRAMSHA1, smtpmail.AuthSCRAMSHA256,
	} {
		for _, line := range []string{"334 " + leak, "334 " + password, password, "999 " + leak, "500 " + leak} {
			t.Run(fmt.Sprint(method, " ", line), func(t *testing.T) {
				t.Parallel()
				s := start(t, fakesmtp.Options{Answer: script(line, line, line, line, line)})
				c := config(s)
				c.Auth = method
				err := newSender(t, c).Send(t.Context(), letter())
				var e *smtpmail.Error
				if !errors.As(err, &e) || e.Stage != "auth" || strings.Contains(err.Error(), leak) || strings.Contains(err.Error(), password) {
					t.Errorf("error %v", err)
				}
			})
		}
	}
}

func TestWrongPassword(t *testing.T) {
	t.Parallel()
	for _, method := range []smtpmail.AuthMethod{
		smtpmail.AuthPlain, smtpmail.AuthLogin, smtpmail.AuthCRAMMD5, smtpmail.AuthSCRAMSHA1, smtpmail.AuthSCRAMSHA256,
	} {
		s := start(t, fakesmtp.Options{})
		c := config(s)
		c.Auth, c.Password = method, "wrong-"+password
		e := failure(t, newSender(t, c))
		if e.Stage != "auth" || e.Code != 535 || e.Status != "5.7.8" || e.Permanent() || strings.Contains(e.Error(), password) {
			t.Errorf("%s: %v", method, e)
		}
	}
}

func TestConnectionsAreReused(t *testing.T) {
	t.Parallel()
	s := start(t, fakesmtp.Options{})
	sender := newSender(t, config(s))
	for range 5 {
		if err := sender.Send(t.Context(), letter()); err != nil {
			t.Fatal(err)
		}
	}
	if s.Conns() != 1 || len(s.Letters()) != 5 {
		t.Errorf("%d connections, %d letters", s.Conns(), len(s.Letters()))
	}
	// A server wants to see only so many letters on one.
	for range 100 {
		if err := sender.Send(t.Context(), letter()); err != nil {
			t.Fatal(err)
		}
	}
	if s.Conns() != 2 || len(s.Letters()) != 105 {
		t.Errorf("%d connections, %d letters", s.Conns(), len(s.Letters()))
	}
}

// A connection that the server has ended between two letters is replaced: the second letter arrives, once.
func TestDroppedConnectionIsReplaced(t *testing.T) {
	t.Parallel()
	second := func(verb string, r fakesmtp.Reply) func(*fakesmtp.Conn, string, string) fakesmtp.Reply {
		return func(c *fakesmtp.Conn, v, _ string) fakesmtp.Reply {
			if c.Number == 1 && c.Letters == 1 && v == verb {
				return r
			}
			return fakesmtp.Reply{}
		}
	}
	for name, tt := range map[string]struct {
		answer func(*fakesmtp.Conn, string, string) fakesmtp.Reply
		drop   bool
	}{
		"closed while idle":                {nil, true},
		"announced when asked":             {second("RSET", fakesmtp.Reply{Text: "421 4.4.2 idle for too long", Drop: true}), false},
		"closed when asked":                {second("RSET", fakesmtp.Reply{Drop: true}), false},
		"closed after it was asked":        {second("MAIL", fakesmtp.Reply{Drop: true}), false},
		"announced after it was asked":     {second("MAIL", fakesmtp.Reply{Text: "421 4.7.0 too many letters", Drop: true}), false},
		"closed before the letter":         {second("RCPT", fakesmtp.Reply{Drop: true}), false},
		"announced without being asked":    {at("CONTENT", fakesmtp.Reply{Text: "250 2.0.0 accepted\r\n421 4.3.2 bye", Drop: true}), false},
		"a word too many without our help": {at("CONTENT", fakesmtp.Reply{Text: "250 2.0.0 accepted\r\n250 2.0.0 really"}), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, fakesmtp.Options{Answer: tt.answer})
			sender := newSender(t, config(s))
			if err := sender.Send(t.Context(), letter()); err != nil {
				t.Fatal(err)
			}
			before := len(s.Letters())
			if tt.drop {
				s.DropAll()
			}
			if err := sender.Send(t.Context(), letter()); err != nil {
				t.Fatal(err)
			}
			if s.Conns() != 2 || len(s.Letters()) != before+1 {
				t.Errorf("%d connections, %d letters", s.Conns(), len(s.Letters()))
			}
		})
	}
}

// If nobody knows whether a letter was accepted, sending it again is for the caller to decide.
func TestLetterIsNotRepeatedAfterItsLastByte(t *testing.T) {
	t.Parallel()
	s := start(t, fakesmtp.Options{Answer: func(c *fakesmtp.Conn, verb, _ string) fakesmtp.Reply {
		return fakesmtp.Reply{Drop: verb == "CONTENT" && c.Letters == 1}
	}})
	sender := newSender(t, config(s))
	if err := sender.Send(t.Context(), letter()); err != nil {
		t.Fatal(err)
	}
	if e := failure(t, sender); e.Stage != "content" || e.Permanent() {
		t.Errorf("error %v", e)
	}
	if s.Conns() != 1 {
		t.Errorf("%d connections", s.Conns())
	}
}

// An idle connection is ended with a farewell when its time is over, and by Close.
func TestIdleConnectionsEnd(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		idle  time.Duration
		close bool
	}{
		"after their time": {time.Millisecond, false},
		"at once":          {-1, false},
		"by Close":         {time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			quit := make(chan struct{}, 100)
			s := start(t, fakesmtp.Options{Answer: func(_ *fakesmtp.Conn, verb, _ string) fakesmtp.Reply {
				if verb == "QUIT" {
					quit <- struct{}{}
				}
				return fakesmtp.Reply{}
			}})
			c := config(s)
			c.IdleTimeout = tt.idle
			sender := newSender(t, c)
			if err := sender.Send(t.Context(), letter()); err != nil {
				t.Fatal(err)
			}
			if tt.close {
				_ = sender.Close()
			}
			<-quit
			if tt.close {
				if e := failure(t, sender); e.Permanent() || s.Conns() != 1 {
					t.Errorf("after Close: %v, %d connections", e, s.Conns())
				}
				return
			}
			more := 1
			if tt.idle < 0 {
				more = 20
			}
			for range more {
				if err := sender.Send(t.Context(), letter()); err != nil {
					t.Error(err)
				}
			}
			if s.Conns() != 1+more {
				t.Errorf("%d connections", s.Conns())
			}
		})
	}
}

func TestManyLettersAtATime(t *testing.T) {
	t.Parallel()
	var (
		mu         sync.Mutex
		open, most int
	)
	s := start(t, fakesmtp.Options{Answer: func(_ *fakesmtp.Conn, verb, _ string) fakesmtp.Reply {
		mu.Lock()
		defer mu.Unlock()
		switch verb {
		case "MAIL":
			open++
			most = max(most, open)
		case "CONTENT":
			open--
		}
		return fakesmtp.Reply{}
	}})
	c := config(s)
	c.MaxConns = 3
	sender := newSender(t, c)
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			m := letter()
			m.To = fmt.Sprintf("user%d@example.com", i)
			m.Text = fmt.Sprintf("This is for number %d.", i)
			if err := sender.Send(t.Context(), m); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	seen := map[string]bool{}
	for _, l := range s.Letters() {
		number := strings.TrimSuffix(strings.TrimPrefix(l.To, "<user"), "@example.com>")
		if seen[number] || !strings.Contains(l.Content, "This is for number "+number+".") {
			t.Errorf("letter to %s: %s", l.To, l.Content)
		}
		seen[number] = true
	}
	if len(seen) != 50 || most > 3 || s.Conns() > 3 {
		t.Errorf("%d letters, %d at a time, %d connections", len(seen), most, s.Conns())
	}
}

func TestConfigMistakesAreToldAtOnce(t *testing.T) {
	t.Parallel()
	good := smtpmail.Config{Host: "smtp.example.com", Username: user, Password: password, From: "noreply@example.org"}
	if _, err := smtpmail.New(good); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change func(*smtpmail.Config)
		want   []string
	}{
		"nothing set":                  {func(c *smtpmail.Config) { *c = smtpmail.Config{} }, []string{"Host", "From"}},
		"a host with a port":           {func(c *smtpmail.Config) { c.Host = "smtp.example.com:25" }, []string{"Host"}},
		"a host with line ends":        {func(c *smtpmail.Config) { c.Host = "a\r\nb" }, []string{"Host"}},
		"a unix socket":                {func(c *smtpmail.Config) { c.Host = "unix:///run/smtp" }, []string{"Host"}},
		"a port out of range":          {func(c *smtpmail.Config) { c.Port = 65536 }, []string{"Port"}},
		"a TLS mode that is none":      {func(c *smtpmail.Config) { c.TLS = 7 }, []string{"TLS"}},
		"a method that is none":        {func(c *smtpmail.Config) { c.Auth = "plain" }, []string{"Auth"}},
		"a user without a password":    {func(c *smtpmail.Config) { c.Password = "" }, []string{"Username and Password"}},
		"a method without a user":      {func(c *smtpmail.Config) { c.Username, c.Password, c.Auth = "", "", smtpmail.AuthPlain }, []string{"Auth"}},
		"a sender that is none":        {func(c *smtpmail.Config) { c.From = "Ada" }, []string{"From"}},
		"two senders":                  {func(c *smtpmail.Config) { c.From = "a@example.org, b@example.org" }, []string{"From"}},
		"a name with an encoded CR":    {func(c *smtpmail.Config) { c.From = "=?utf-8?q?a=0D=0Ab?= <a@example.org>" }, []string{"From"}},
		"a local part outside ASCII":   {func(c *smtpmail.Config) { c.From = "дмитрий@example.org" }, []string{"From"}},
		"a HELO with a command":        {func(c *smtpmail.Config) { c.HELO = "a\r\nRSET" }, []string{"HELO"}},
		"a HELO with a wrong literal":  {func(c *smtpmail.Config) { c.HELO = "[::1]" }, []string{"HELO"}},
		"negative limits":              {func(c *smtpmail.Config) { c.Timeout, c.MaxConns = -1, -1 }, []string{"Timeout", "MaxConns"}},
		"a header that is unknown":     {func(c *smtpmail.Config) { c.Headers = []string{"X-Password"} }, []string{"Headers"}},
		"an extra header of our own":   {func(c *smtpmail.Config) { c.ExtraHeaders = map[string]string{"bcc": "a@example.org", "X-Link": "x"} }, []string{"ExtraHeaders", "ExtraHeaders"}},
		"an extra header of two lines": {func(c *smtpmail.Config) { c.ExtraHeaders = map[string]string{"X-A": "a\r\nBcc: b"} }, []string{"ExtraHeaders"}},
		"an extra name of two lines":   {func(c *smtpmail.Config) { c.ExtraHeaders = map[string]string{"X-A: a\r\nBcc": "b"} }, []string{"ExtraHeaders"}},
		"an extra header outside ASCII": {
			func(c *smtpmail.Config) { c.ExtraHeaders = map[string]string{"X-A": "é", "Content-Type": "text/html"} },
			[]string{"ExtraHeaders", "ExtraHeaders"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := good
			tt.change(&c)
			_, err := smtpmail.New(c)
			if err == nil {
				t.Fatal("no error")
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(tt.want) {
				t.Fatalf("errors %q", lines)
			}
			for i, want := range tt.want {
				if !strings.HasPrefix(lines[i], "smtpmail: "+want) {
					t.Errorf("error %q is not about %s", lines[i], want)
				}
			}
			if strings.Contains(err.Error(), password) {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
}

func TestPasswordIsNotPrinted(t *testing.T) {
	t.Parallel()
	c := smtpmail.Config{Host: "smtp.example.com", Username: user, Password: password, From: "noreply@example.org"}
	sender := newSender(t, c)
	type service struct {
		Mail   *smtpmail.Sender
		Config smtpmail.Config
		inner  *smtpmail.Sender
	}
	var b strings.Builder
	for _, v := range []any{c, &c, sender, service{sender, c, sender}, &service{sender, c, sender}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&b, verb+"\n", v)
		}
		encoded, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(encoded)
		slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "v", v)
		slog.New(slog.NewTextHandler(&b, nil)).Info("x", "v", v)
	}
	for _, shown := range []string{password, fmt.Sprintf("%x", password), base64.StdEncoding.EncodeToString([]byte(password)), fmt.Sprint([]byte(password))} {
		if strings.Contains(b.String(), strings.Trim(shown, "[]")) {
			t.Errorf("shows %s", shown)
		}
	}
}
