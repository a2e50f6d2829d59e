package auth_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/store"
)

// No text but that of a ticket opens anything: another spelling of it does not, either.
func FuzzVerifyTicket(f *testing.F) {
	e := authtest.New(f, func(c *auth.Config) { c.MagicLink = &auth.MagicLinkConfig{} })
	e.SignUp(f, "ada@example.com")
	if err := e.SendMagicLink(f.Context(), auth.SendMagicLinkParams{Email: "ada@example.com"}); err != nil {
		f.Fatal(err)
	}
	issued := e.Mailbox.Last(f, "ada@example.com").Ticket()
	_, secret, _ := strings.Cut(issued, ":")
	for _, ticket := range []string{
		"", ":", secret, strings.ToUpper(issued), issued + " ", " " + issued, "verifyEmail:" + secret, "passwordReset:" + secret,
		"passwordlessEmail:", "passwordlessEmail:" + secret[1:], "passwordlessEmail:\x00", "nobody:" + secret,
	} {
		f.Add(ticket)
	}
	f.Fuzz(func(t *testing.T, ticket string) {
		if ticket == issued {
			return // which is good
		}
		in, err := e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: ticket})
		if in != nil || !errors.Is(err, auth.ErrInvalidTicket) && !errors.Is(err, auth.ErrInvalidRequest) {
			t.Fatalf("%q: %v, %v", ticket, in, err)
		}
	})
}

// A personal access token has one spelling.
func FuzzSignInPAT(f *testing.F) {
	e := authtest.New(f)
	made, err := e.CreatePAT(f.Context(), e.Principal(f, e.SignUp(f, "ada@example.com")), auth.CreatePATParams{ExpiresAt: e.Clock.Now().Add(time.Hour)})
	if err != nil {
		f.Fatal(err)
	}
	for _, token := range []string{
		made.Token, strings.ToUpper(made.Token), "{" + made.Token + "}", "urn:uuid:" + made.Token, strings.ReplaceAll(made.Token, "-", ""),
		made.Token + "\n", made.ID.String(), uuid.Nil.String(), "",
	} {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		in, err := e.SignInPAT(t.Context(), auth.SignInPATParams{PersonalAccessToken: token})
		switch {
		case (err == nil) != (token == made.Token):
			t.Fatalf("%q: %v", token, err)
		case err == nil:
			if _, err := e.Store.EndSessions(t.Context(), uuid.Nil, in.Session.RefreshTokenID); err != nil {
				t.Fatal(err)
			}
		case !errors.Is(err, auth.ErrInvalidPAT):
			t.Fatalf("%q: %v", token, err)
		}
	})
}

// Of what is typed in place of a recovery code or a code of the app, only a code turns the second factor off: a recovery code
// in any case, with hyphens and blanks anywhere, because people type it from paper.
func FuzzSecondFactor(f *testing.F) {
	e := authtest.New(f)
	s := e.SignUp(f, "ada@example.com")
	secret := e.EnrolTOTP(f, s)
	e.Clock.Advance(30 * time.Second)
	p := e.Principal(f, s)
	codes, err := e.GenerateRecoveryCodes(f.Context(), p, auth.GenerateRecoveryCodesParams{Code: authtest.TOTPCode(f, secret, e.Clock.Now())})
	if err != nil {
		f.Fatal(err)
	}
	plain := strings.NewReplacer("-", "", " ", "")
	good := func(text string) bool {
		return slices.ContainsFunc(codes, func(code string) bool { return strings.EqualFold(plain.Replace(code), plain.Replace(text)) })
	}
	for _, text := range []string{"", "000000", " 123 456", "aaaa-aaaa-aaaa-aaaa", "١٢٣٤٥٦", "-1", "+12345", "1e5", codes[0][:18], codes[0] + "a"} {
		f.Add(text, text)
	}
	f.Fuzz(func(t *testing.T, code, recovery string) {
		if good(recovery) {
			return // found by chance or by a mutation of a seed, and right
		}
		switch err := e.SetMFA(t.Context(), p, auth.SetMFAParams{Code: code, RecoveryCode: recovery}); {
		case code != "" && recovery != "" && !errors.Is(err, auth.ErrInvalidRequest):
			t.Fatalf("both %q and %q: %v", code, recovery, err)
		case err == nil:
			t.Fatalf("%q, %q turn the second factor off", code, recovery)
		case !errors.Is(err, auth.ErrInvalidRequest) && !errors.Is(err, auth.ErrInvalidTOTP):
			t.Fatalf("%q, %q: %v", code, recovery, err)
		}
	})
}

// Metadata that is taken is a JSON object which says the same to everybody, within the limit, and is kept as it came but for
// blanks.
func FuzzMetadata(f *testing.F) {
	const most = 256
	e := authtest.New(f, func(c *auth.Config) { c.SignUp.MaxMetadata = most })
	for _, text := range []string{
		`{}`, `{"a":[1,null,{"b":"\u00e9"}]}`, ` { "a" : 1e400 } `, `{"a":1,"a":2}`, `{"a":1,"A":2}`, `{"a":"\ud800"}`, `null`, `[]`, `"x"`, `{"":{}}`, "{\"a\":\"\xff\"}",
		`{"a":1}{}`, strings.Repeat(`{"a":`, 60) + "1" + strings.Repeat("}", 60),
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		in, err := e.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{Metadata: text})
		if err != nil {
			if !errors.Is(err, auth.ErrInvalidRequest) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		if err := e.Store.DeleteUser(t.Context(), store.UserDeletion{UserID: in.Session.User.ID, Now: e.Clock.Now()}); err != nil {
			t.Fatal(err)
		}
		got := in.Session.User.Metadata
		if len(text) == 0 || string(text) == "null" {
			if len(got) > 0 && string(got) != "null" && string(got) != "{}" {
				t.Fatalf("nothing became %q", got)
			}
			return
		}
		var compact bytes.Buffer
		var object map[string]json.RawMessage
		switch {
		case len(text) > most:
			t.Fatalf("%d bytes are taken", len(text))
		case json.Unmarshal(text, &object) != nil || object == nil || !utf8.Valid(text):
			t.Fatalf("%q is taken for an object", text)
		case json.Compact(&compact, text) != nil || !bytes.Equal(compact.Bytes(), got):
			t.Fatalf("%q became %q", text, got)
		}
	})
}

// Whatever a program calls itself, its user sees valid text of at most 256 bytes on one line.
func FuzzClientLabel(f *testing.F) {
	e := authtest.New(f)
	p := e.Principal(f, e.SignUp(f, "ada@example.com"))
	for _, agent := range []string{"", "Mozilla/5.0 (X11)", "a\r\nb", "\xff\xfe", strings.Repeat("é", 200), "\x7f\x00", "\ufffd", "\u202e"} {
		f.Add(agent)
	}
	f.Fuzz(func(t *testing.T, agent string) {
		ctx := auth.WithClient(t.Context(), auth.Client{UserAgent: agent})
		in, err := e.SignInPassword(ctx, auth.SignInPasswordParams{Email: "ada@example.com", Password: authtest.Password})
		if err != nil {
			t.Fatal(err)
		}
		list, err := e.ListSessions(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Store.EndSessions(t.Context(), p.UserID, in.Session.RefreshTokenID); err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(list, func(s auth.SessionDetails) bool { return s.ID == in.Session.RefreshTokenID })
		if i < 0 {
			t.Fatal("the session is not listed")
		}
		got := list[i].UserAgent
		if len(got) > 256 || !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Fatalf("%q is shown as %q", agent, got)
		}
		printable := len(agent) <= 256 && utf8.ValidString(agent) && !strings.ContainsFunc(agent, func(r rune) bool { return r < ' ' || r == 0x7f || r == utf8.RuneError })
		if printable && got != agent {
			t.Fatalf("%q is shown as %q", agent, got)
		}
	})
}

// A cursor is one that was given out, and nothing else.
func FuzzAuditCursor(f *testing.F) {
	e := authtest.New(f, audited)
	e.SignUp(f, "ada@example.com")
	page, err := e.AuditTrail(f.Context(), auth.AuditQuery{Limit: 1})
	if err != nil || page.Next == "" {
		f.Fatal(page, err)
	}
	for _, cursor := range []string{"", page.Next, page.Next + "=", page.Next[1:], strings.ToUpper(page.Next), page.Next + "\n", "AAAA", "%"} {
		f.Add(cursor)
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		_, err := e.AuditTrail(t.Context(), auth.AuditQuery{Cursor: cursor})
		if good := cursor == "" || cursor == page.Next; good != (err == nil) || !good && !errors.Is(err, auth.ErrInvalidRequest) {
			t.Fatalf("%q: %v", cursor, err)
		}
	})
}

// What is read as an anchor is written again as one that is read as the same.
func FuzzAuditAnchor(f *testing.F) {
	link := strings.Repeat("8f", 32)
	for _, text := range []string{"1042:" + link, "0:" + link, "-1:" + link, "+1:" + link, "01:" + strings.ToUpper(link), "1:" + link[2:], "9223372036854775808:" + link, ":", ""} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		before := auth.AuditAnchor{Seq: 7}
		read := before
		if err := read.UnmarshalText(text); err != nil {
			if read != before {
				t.Fatalf("%q is refused, and changes the anchor", text)
			}
			return
		}
		var again auth.AuditAnchor
		if err := again.UnmarshalText([]byte(read.String())); err != nil || again != read || read.Seq < 0 {
			t.Fatalf("%q becomes %v, and then %v (%v)", text, read, again, err)
		}
		if _, hex, _ := strings.Cut(string(text), ":"); !strings.EqualFold(hex, read.String()[strings.Index(read.String(), ":")+1:]) {
			t.Fatalf("%q becomes %v", text, read)
		}
	})
}

// No two events have the same link: what is at the end of one field and at the beginning of the next is not the same.
func FuzzAuditLink(f *testing.F) {
	e := authtest.New(f, audited)
	f.Add("signed-in", "192.0.2.1", "password", "", "", "signed-in", "192.0.2.1", "pass", "word", "")
	f.Add("a", "b", "", "", "c", "a", "", "b", "", "c")
	f.Add("", "", "", "\x00", "", "", "", "\x00", "", "")
	f.Fuzz(func(t *testing.T, type1, address1, method1, code1, detail1, type2, address2, method2, code2, detail2 string) {
		a := store.Event{Seq: 1, Type: type1, Address: address1, Method: method1, Code: code1, Detail: detail1}
		b := store.Event{Seq: 1, Type: type2, Address: address2, Method: method2, Code: code2, Detail: detail2}
		same := cmp.Equal(a, b)
		if (auth.AuditLink(e.Engine, auth.AuditAnchor{}, a) == auth.AuditLink(e.Engine, auth.AuditAnchor{}, b)) != same {
			t.Fatalf("%+v and %+v", a, b)
		}
	})
}

// A configuration of keys that is taken makes an engine whose tokens are good, and a refusal repeats nothing of the key.
func FuzzParseHasuraJWTSecret(f *testing.F) {
	const key = "plum-tractor-eleven-plum-tractor-eleven-plum-tractor-eleven-plum"
	for _, text := range []string{
		`{"type":"HS256","key":"` + key + `"}`, `{"type":"HS512","key":"` + key + `","kid":"k","issuer":"i","claims_namespace":"n","x":[]}`,
		`{"type":"HS256","key":"` + key[:8] + `"}`, `{"type":"RS256","key":"-----BEGIN PUBLIC KEY-----\n` + key + `\n-----END PUBLIC KEY-----"}`,
		`{"type":"Ed25519","signing_key":"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIHL8kQTLLzCn2rZFkLq8NrB/M2nM9TS+8X3sjzN9mLjS\n-----END PRIVATE KEY-----\n"}`,
		`{"type":"none","key":"` + key + `"}`, `{"type":"hs256","key":"` + key + `"}`, `{"key":7,"` + key + `":1}`, `{"type":"HS256","claims_namespace":"sub","key":"` + key + `"}`, `[]`, ``,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := auth.ParseHasuraJWTSecret(text)
		if err != nil {
			var said struct {
				Key     string `json:"key"`
				Signing string `json:"signing_key"`
			}
			_ = json.Unmarshal([]byte(text), &said) // as far as it goes
			for _, secret := range []string{said.Key, said.Signing} {
				if len(secret) > 7 && strings.Contains(err.Error(), secret) {
					t.Fatalf("%q: %v", text, err)
				}
			}
			return
		}
		engine, err := auth.New(authtest.New(t).Store, auth.Config{
			ServerURL: authtest.ServerURL, ClientURL: authtest.ClientURL, Secret: bytes.Repeat([]byte{1}, 32),
			Email: auth.EmailConfig{AllowUnverified: true}, Anonymous: &auth.AnonymousConfig{}, AccessTokens: c, Limits: auth.LimitsConfig{Off: true},
		})
		if err != nil {
			if mistake := (*auth.ConfigError)(nil); !errors.As(err, &mistake) || mistake.Field != "AccessTokens.ClaimsNamespace" {
				t.Fatalf("%q is taken, and refused by New: %v", text, err)
			}
			return
		}
		in, err := engine.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{})
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if _, err := engine.Authenticate(t.Context(), in.Session.AccessToken); err != nil && len(in.Session.AccessToken) <= 16<<10 {
			t.Fatalf("%q: %v", text, err)
		}
	})
}

// A receiver of webhooks can ask for a pause, of up to an hour, and for nothing else.
func FuzzRetryAfter(f *testing.F) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, text := range []string{"", "120", "-1", "+5", "0x10", "99999999999999999999", "1e3", "Fri, 02 Jan 2026 03:05:05 GMT", "Fri, 02 Jan 1026 03:05:05 GMT", " 7 "} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := auth.RetryAfter(http.Header{"Retry-After": {text}}, at)
		if got < 0 || got > time.Hour {
			t.Fatalf("%q: %v", text, got)
		}
		if n, err := strconv.Atoi(text); err == nil && n >= 0 && n <= 3600 && text[0] != '+' && got != time.Duration(n)*time.Second {
			t.Fatalf("%q: %v", text, got)
		}
	})
}
