package letters_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/httpadapter"
	"github.com/ostiary/auth/internal/fakesmtp"
	"github.com/ostiary/auth/mail"
	"github.com/ostiary/auth/mail/smtpmail"
)

// hostile are values that try to be more than values.
var hostile = map[string]string{
	"CR":                      "\r",
	"LF":                      "\n",
	"CRLF and a header":       "\r\nBcc: <b@evil.test>",
	"LF and a header":         "\nBcc: <b@evil.test>",
	"CRLF and a body":         "\r\n\r\n<h1>Send money</h1>",
	"the end of a letter":     "\r\n.\r\nMAIL FROM:<b@evil.test>\r\nRCPT TO:<b@evil.test>\r\nDATA\r\n",
	"a folded header":         "\r\n Bcc: <b@evil.test>",
	"NEL":                     "\u0085Bcc: b@evil.test",
	"a line separator":        "\u2028Bcc: b@evil.test",
	"a paragraph separator":   "\u2029Bcc: b@evil.test",
	"NUL":                     "\x00",
	"tab and vertical tab":    "\t\v\f",
	"bidi override":           "\u202egnp.exe\u202c",
	"bidi isolate":            "\u2066moc.live\u2069",
	"a blank of no width":     "\u200b\ufeff",
	"bytes that are no text":  "\xff\xfe\xc3",
	"an element":              `"><script>alert(1)</script>`,
	"an attribute":            `' onmouseover='alert(1)`,
	"an attribute, unquoted":  " onmouseover=alert(1) x=",
	"a comment":               "--><!--",
	"an element of symbols":   "<img src=x onerror=alert`1`>",
	"a replacement of one":    "$1",
	"a header of letters":     "Bcc, b",
	"half an entity":          "&lt",
	"half an entity, shown":   "&copy=1",
	"an entity":               "&lt;b&gt;&#34;",
	"a variable":              "${link}",
	"a secret variable":       "${ticket}",
	"half a variable":         "${",
	"a Go template":           "{{.}}",
	"a format":                "%s%d%n",
	"a replacement":           "$&$1",
	"a script URL":            "javascript:alert(1)",
	"a data URL":              "data:text/html,<script>alert(1)</script>",
	"another host":            "@evil.test/",
	"a path of another host":  "//evil.test",
	"backslashes":             `\\evil.test\`,
	"escapes of CRLF":         "%0d%0aBcc:%20b@evil.test",
	"10 000 characters":       strings.Repeat("x", 10_000),
	"10 000 words":            strings.Repeat("ab ", 3_333),
	"10 000 foreign letters":  strings.Repeat("ě", 10_000),
	"an encoded word":         "=?utf-8?q?x=0D=0ABcc:_b@evil.test?=",
	"an encoded word, base64": "=?utf-8?b?DQpCY2M6IGJAZXZpbC50ZXN0?=",
	"a parameter":             "<a@x> SIZE=1",
	"a recipient":             "a@x>\r\nRCPT TO:<b@evil.test>",
	"recipients in a list":    ",b@evil.test;c@evil.test",
	"a named recipient":       `"B" <b@evil.test>`,
	"a boundary":              "\r\n--boundary\r\nContent-Type: text/html\r\n\r\n",
	"a quoted string":         `"a b"\"`,
	"a comment in parens":     "(b@evil.test)",
}

// benign are the values that are there when they are not replaced, all of them such that they reach the letter.
var benign = map[string]string{
	"email":         "ada@example.com",
	"newEmail":      "ada@example.net",
	"displayName":   "Ada Lovelace",
	"locale":        "en",
	"metadata":      "mathematics",
	"redirectTo":    authtest.ClientURL + "/welcome?from=letter#top",
	"codeChallenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbkYFiw-cGSM",
	"nickname":      "Blue key",
	"ticket":        "passwordReset:2f1c9a4e-77b0-4c55-9f0e-0b7c8a3d1e11",
	"connection":    "sms",
	"host":          "auth.test",
	"agent":         "Mozilla/5.0",
}

// placings are the ways in which a hostile value stands in a field.
var placings = map[string][]func(string) string{
	"email":    {alone, func(v string) string { return v + "@example.com" }, func(v string) string { return "ada@example.com" + v }, func(v string) string { return "ada" + v + "@example.com" }},
	"newEmail": {alone, func(v string) string { return v + "@example.net" }, func(v string) string { return "ada@example.net" + v }},
	"redirectTo": {
		alone,
		after(authtest.ClientURL), after(authtest.ClientURL + "/"), after(authtest.ClientURL + "/welcome?q="), after(authtest.ClientURL + "/welcome?q=1#"),
		func(v string) string { return authtest.ClientURL + "/" + v + "?q=1" },
	},
	"displayName": {alone, func(v string) string { return "Ada " + v + " Lovelace" }},
	"nickname":    {alone, func(v string) string { return "Blue " + v + " key" }},
	"ticket":      {alone, after("passwordReset:")},
}

func alone(v string) string { return v }

func after(before string) func(string) string { return func(v string) string { return before + v } }

// realm is an engine whose letters go to a mail server, behind a real HTTP server.
type realm struct {
	*authtest.Engine
	address string
	post    *post
}

// post is where letters go: to the mailbox while a case is prepared, and then to the mail server.
type post struct{ mail.Sender }

// every is all headers that repeat a value.
var every = []string{
	"X-Client-Url", "X-Display-Name", "X-Email", "X-Email-Template", "X-Link", "X-Locale", "X-New-Email", "X-Redirect-To", "X-Server-Url",
	"X-Ticket",
}

// route is a request that causes letters.
type route struct {
	name    string
	fields  []string // that are replaced, besides host and agent
	config  func(*auth.Config)
	letters []string // to whom, in the control
	// prepare returns what is needed to send the request. It is not sent yet, so that what it takes causes no letter.
	prepare func(t *testing.T, r *realm, in map[string]string) (send func() *http.Response)
}

func options(in map[string]string) map[string]any {
	return map[string]any{
		"displayName": in["displayName"], "locale": in["locale"], "redirectTo": in["redirectTo"],
		"metadata": map[string]any{"subject": in["metadata"]},
	}
}

var signUpFields = []string{"email", "displayName", "locale", "metadata", "redirectTo", "codeChallenge"}

// signsUp is a route that takes the options of a sign-up, and sends a letter to the address.
func signsUp(name, path string, fields []string, more map[string]any) route {
	return route{
		name: name, fields: fields, letters: []string{benign["email"]},
		prepare: func(t *testing.T, r *realm, in map[string]string) func() *http.Response {
			body := map[string]any{"email": in["email"], "options": options(in)}
			if slices.Contains(fields, "codeChallenge") {
				body["codeChallenge"] = in["codeChallenge"]
			}
			maps.Copy(body, more)
			var s *auth.Session
			if path == "/user/deanonymize" {
				result, err := r.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{})
				if err != nil {
					t.Fatal(err)
				}
				s = result.Session
				body["connection"] = in["connection"]
			}
			return func() *http.Response { return r.send(t, "POST", path, in, body, s) }
		},
	}
}

// writes is a route that writes to a user who exists.
func writes(name, path string, verified bool) route {
	return route{
		name: name, fields: []string{"email", "redirectTo", "codeChallenge"}, letters: []string{benign["email"]},
		prepare: func(t *testing.T, r *realm, in map[string]string) func() *http.Response {
			if verified {
				r.SignUp(t, benign["email"])
			} else if _, err := r.SignUpPassword(t.Context(), auth.SignUpPasswordParams{Email: benign["email"], Password: authtest.Password}); err != nil {
				t.Fatal(err)
			}
			body := map[string]any{
				"email": in["email"], "options": map[string]any{"redirectTo": in["redirectTo"]}, "codeChallenge": in["codeChallenge"],
			}
			return func() *http.Response { return r.send(t, "POST", path, in, body, nil) }
		},
	}
}

// existing has the user of a route be there before, with the hostile display name that they have chosen.
func existing(rt route, name string) route {
	prepare := rt.prepare
	rt.name, rt.fields = name, []string{"displayName", "metadata"}
	rt.prepare = func(t *testing.T, r *realm, in map[string]string) func() *http.Response {
		r.SignUp(t, "bob@example.com") // to whom nothing of it goes
		res := r.send(t, "POST", "/signup/email-password", in, map[string]any{
			"email": benign["email"], "password": authtest.Password, "options": options(in),
		}, nil)
		if res.StatusCode != http.StatusOK {
			return func() *http.Response { return res } // there is no such user
		}
		in = maps.Clone(in)
		in["displayName"], in["metadata"] = benign["displayName"], benign["metadata"]
		return prepare(t, r, in)
	}
	return rt
}

func routes() []route {
	password := map[string]any{"password": authtest.Password}
	magicLink := signsUp("magic link", "/signin/passwordless/email", signUpFields, nil)
	list := []route{
		signsUp("sign-up with a password", "/signup/email-password", signUpFields, password),
		magicLink,
		signsUp("code by e-mail", "/signin/otp/email", signUpFields[:len(signUpFields)-1], nil),
		signsUp("deanonymise with a password", "/user/deanonymize", append([]string{"connection"}, signUpFields...),
			map[string]any{"signInMethod": "email-password", "password": authtest.Password}),
		signsUp("deanonymise by a link", "/user/deanonymize", append([]string{"connection"}, signUpFields...),
			map[string]any{"signInMethod": "passwordless"}),
		writes("password reset", "/user/password/reset", true),
		writes("verification once more", "/user/email/send-verification-email", false),
		{
			// Nothing that the stranger says reaches the owner.
			name: "sign-up with an address that is taken", fields: signUpFields[1:], letters: []string{benign["email"]},
			config: func(c *auth.Config) { c.ConcealErrors = true },
			prepare: func(t *testing.T, r *realm, in map[string]string) func() *http.Response {
				r.SignUp(t, benign["email"])
				return func() *http.Response {
					return r.send(t, "POST", "/signup/email-password", in, map[string]any{
						"email": benign["email"], "password": authtest.Password, "options": options(in), "codeChallenge": in["codeChallenge"],
					}, nil)
				}
			},
		},
		{
			name: "e-mail change", fields: []string{"newEmail", "redirectTo"}, letters: []string{benign["newEmail"], benign["email"]},
			prepare: func(t *testing.T, r *realm, in map[string]string) func() *http.Response {
				s := r.SignUp(t, benign["email"])
				return func() *http.Response {
					return r.send(t, "POST", "/user/email/change", in, map[string]any{
						"newEmail": in["newEmail"], "options": map[string]any{"redirectTo": in["redirectTo"]},
					}, s)
				}
			},
		},
		{
			name: "sign-up with a passkey", fields: append([]string{"nickname"}, signUpFields...), letters: []string{benign["email"]},
			prepare: func(t *testing.T, r *realm, in map[string]string) func() *http.Response {
				return func() *http.Response {
					res := r.send(t, "POST", "/signup/webauthn", in, map[string]any{"email": in["email"], "options": options(in)}, nil)
					if res.StatusCode != http.StatusOK {
						return res
					}
					credential := new(authtest.Authenticator).Create(t, read(t, res))
					return r.send(t, "POST", "/signup/webauthn/verify", in, map[string]any{
						"credential": credential, "options": options(in), "nickname": in["nickname"], "codeChallenge": in["codeChallenge"],
					}, nil)
				}
			},
		},
		{
			name: "a key is added", fields: []string{"nickname"}, letters: []string{benign["email"]},
			prepare: func(t *testing.T, r *realm, in map[string]string) func() *http.Response {
				s := r.SignUp(t, benign["email"])
				return func() *http.Response {
					res := r.send(t, "POST", "/user/webauthn/add", in, nil, s)
					if res.StatusCode != http.StatusOK {
						return res
					}
					credential := new(authtest.Authenticator).Create(t, read(t, res))
					return r.send(t, "POST", "/user/webauthn/verify", in, map[string]any{"credential": credential, "nickname": in["nickname"]}, s)
				}
			},
		},
		{
			name: "the password is changed by a ticket", fields: []string{"ticket"}, letters: []string{benign["email"]},
			prepare: func(t *testing.T, r *realm, in map[string]string) func() *http.Response {
				r.SignUp(t, benign["email"])
				if err := r.SendPasswordReset(t.Context(), auth.SendPasswordResetParams{Email: benign["email"]}); err != nil {
					t.Fatal(err)
				}
				if in["ticket"] == benign["ticket"] {
					in = maps.Clone(in)
					in["ticket"] = r.Mailbox.Last(t, benign["email"]).Ticket()
				}
				return func() *http.Response {
					return r.send(t, "POST", "/user/password", in, map[string]any{"newPassword": "purple-wagon-twelve", "ticket": in["ticket"]}, nil)
				}
			},
		},
		{
			name: "the account is deleted", letters: []string{benign["email"]},
			prepare: func(t *testing.T, r *realm, in map[string]string) func() *http.Response {
				s := r.SignUp(t, benign["email"])
				return func() *http.Response { return r.send(t, "DELETE", "/user", in, nil, s) }
			},
		},
	}
	list = append(list, existing(magicLink, "magic link for somebody with a display name"))
	return list
}

// RD-30, RD-32 to RD-35, W7: whatever stands in whatever field, a request is refused and causes no letter, or it causes the
// letters that it causes with harmless values: to the same people, each to one, with the same headers, bodies and elements,
// and with links to the configured server. Where the field is the address, the letter is to that one.
func TestNoRequestMakesMoreOfALetter(t *testing.T) {
	t.Parallel()
	for _, rt := range routes() {
		t.Run(rt.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			control := d.run(t, rt, benign)
			if control.status/100 != 2 || len(control.letters) != len(rt.letters) {
				t.Fatalf("the control has status %d, %s, and %d letters", control.status, control.body, len(control.letters))
			}
			for i, to := range rt.letters {
				if control.letters[i].to != to {
					t.Fatalf("letter %d is to %s, want %s", i, control.letters[i].to, to)
				}
			}
			accepted := 0
			for _, field := range append([]string{"host", "agent"}, rt.fields...) {
				places := placings[field]
				if places == nil {
					places = []func(string) string{alone}
				}
				for name, value := range hostile {
					for i, place := range places {
						in := maps.Clone(benign)
						in[field] = place(value)
						got := d.run(t, rt, in)
						before := t.Failed()
						accepted += got.check(t, control, field, in[field])
						if t.Failed() && !before {
							t.Fatalf("%s in %s (%d): %.200q", name, field, i, in[field])
						}
					}
				}
			}
			if accepted == 0 {
				t.Error("every hostile value was refused, so nothing was seen")
			}
		})
	}
}

// RD-31, RD-32: what a link's query holds cannot add a header to the answer, and leads nowhere but to the client.
func TestNoLinkMakesMoreOfARedirect(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for _, method := range []string{"GET", "HEAD"} {
		for name, value := range hostile {
			for _, field := range []string{"ticket", "redirectTo", "type", "host", "agent"} {
				places := placings[field]
				if places == nil {
					places = []func(string) string{alone}
				}
				for i, place := range places {
					r := d.realm(t, nil)
					in := maps.Clone(benign)
					in["type"] = "emailVerify"
					in[field] = place(value)
					query := url.Values{"ticket": {in["ticket"]}, "redirectTo": {in["redirectTo"]}, "type": {in["type"]}}
					res := r.send(t, method, "/verify?"+query.Encode(), in, nil, nil)
					before := t.Failed()
					if res.StatusCode/100 != 4 && !(method == "HEAD" && res.StatusCode == http.StatusOK) {
						if res.StatusCode != http.StatusFound {
							t.Errorf("status %d", res.StatusCode)
						}
						checkLocation(t, res)
					}
					if t.Failed() && !before {
						t.Fatalf("%s %s in %s (%d): %q", method, name, field, i, res.Header)
					}
				}
			}
		}
	}
}

// checkLocation checks that a redirect leads to the client.
func checkLocation(t *testing.T, res *http.Response) {
	t.Helper()
	locations := res.Header.Values("Location")
	if len(locations) != 1 {
		t.Errorf("locations %q", locations)
		return
	}
	location := locations[0]
	if strings.ContainsFunc(location, func(c rune) bool { return c <= ' ' || c > '~' }) {
		t.Errorf("location %q", location)
	}
	u, err := url.Parse(location)
	if err != nil || u.Scheme+"://"+u.Host != authtest.ClientURL || u.User != nil {
		t.Errorf("location %q", location)
	}
	for name := range res.Header {
		if strings.EqualFold(name, "Bcc") || strings.EqualFold(name, "Set-Cookie") {
			t.Errorf("a header %s", name)
		}
	}
}

// desk is a mail server with a sender, and an HTTP server whose handler changes from case to case.
type desk struct {
	server *fakesmtp.Server
	sender mail.Sender
	web    *httptest.Server
	routes http.Handler
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{server: fakesmtp.Start(t, fakesmtp.Options{})}
	s, err := smtpmail.New(smtpmail.Config{
		Host: d.server.Host, Port: d.server.Port, TLS: smtpmail.NoTLS, From: "Ostiary <noreply@example.org>", Headers: every,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	d.sender = s
	d.web = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { d.routes.ServeHTTP(w, r) }))
	t.Cleanup(d.web.Close)
	return d
}

// realm makes an engine with every way in. It takes the place of the one before.
func (d *desk) realm(t *testing.T, config func(*auth.Config)) *realm {
	t.Helper()
	r := &realm{address: d.web.Listener.Addr().String(), post: &post{}}
	r.Engine = authtest.New(t, func(c *auth.Config) {
		r.post.Sender = c.Mail
		c.Mail = r.post
		c.MagicLink, c.EmailOTP = &auth.MagicLinkConfig{}, &auth.EmailOTPConfig{}
		if config != nil {
			config(c)
		}
	})
	// Whoever calls is a trusted proxy, so that what the headers of one say is read.
	h, err := httpadapter.New(r.Engine.Engine, httpadapter.Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	h.Mount(mux, "/v1")
	d.routes = mux
	return r
}

// outcome is what came of a request.
type outcome struct {
	status  int
	body    string
	letters []letter
	realm   *realm
}

// run sends the request of a route with some values.
func (d *desk) run(t *testing.T, rt route, in map[string]string) outcome {
	t.Helper()
	r := d.realm(t, rt.config)
	send := rt.prepare(t, r, in)
	before := len(d.server.Letters())
	r.post.Sender = d.sender
	res := send()
	o := outcome{status: res.StatusCode, body: string(read(t, res)), realm: r}
	for _, l := range d.server.Letters()[before:] {
		o.letters = append(o.letters, parse(t, l))
	}
	return o
}

// send writes a request byte by byte as it is told, and returns the answer.
func (r *realm) send(t *testing.T, method, target string, in map[string]string, body map[string]any, s *auth.Session) *http.Response {
	t.Helper()
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s /v1%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", method, target, in["host"])
	var text []byte
	if body != nil {
		text = encode(t, body)
		fmt.Fprintf(&b, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(text))
	}
	if s != nil {
		fmt.Fprintf(&b, "Authorization: Bearer %s\r\n", s.AccessToken)
	}
	for _, name := range []string{
		"User-Agent", "X-Forwarded-Host", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Prefix", "X-Original-Host", "X-Original-URL",
		"X-Rewrite-URL", "Forwarded", "Referer", "Accept-Language",
	} {
		fmt.Fprintf(&b, "%s: %s\r\n", name, in["agent"])
	}
	b.WriteString("\r\n")
	b.Write(text)
	if _, err := conn.Write(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	// A server that cannot read a head says so and hangs up with the rest unread, by which its answer may get lost.
	unread := in["host"] != benign["host"] || in["agent"] != benign["agent"]
	if unread && errors.Is(err, syscall.ECONNRESET) {
		return &http.Response{StatusCode: http.StatusBadRequest, Header: http.Header{}, Body: http.NoBody}
	}
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	content, err := io.ReadAll(res.Body)
	if err != nil && !(unread && errors.Is(err, syscall.ECONNRESET)) {
		t.Fatal(err)
	}
	res.Body = io.NopCloser(bytes.NewReader(content))
	return res
}

func read(t *testing.T, res *http.Response) []byte {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// encode is JSON with strings as they are, bytes that are no text included: nothing is escaped that need not be.
func encode(t *testing.T, v any) []byte {
	t.Helper()
	switch v := v.(type) {
	case map[string]any:
		var members [][]byte
		for name, value := range v {
			members = append(members, slices.Concat(encode(t, name), []byte(":"), encode(t, value)))
		}
		return slices.Concat([]byte("{"), bytes.Join(members, []byte(",")), []byte("}"))
	case string:
		b := []byte{'"'}
		for _, c := range []byte(v) {
			switch {
			case c == '"' || c == '\\':
				b = append(b, '\\', c)
			case c < ' ':
				b = fmt.Appendf(b, "\\u%04x", c)
			default:
				b = append(b, c)
			}
		}
		return append(b, '"')
	case json.RawMessage:
		return v
	default:
		t.Fatalf("a value of type %T", v)
		return nil
	}
}
