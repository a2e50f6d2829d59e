package auth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
)

// LG-13: every way in is recorded, by whom it was and into which session, and so is whoever tries and fails.
func TestEverySignInIsRecorded(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, everything)
	u := equip(t, e, "ada", adaPhone)
	methods := map[string]string{
		"a password": "password", "a new password": "password", "a text message": "sms",
		"a key that was touched": "webauthn", "a key that knows its user": "webauthn", "a personal access token": "pat",
	}
	for _, f := range firstFactors() {
		before := len(e.Events.Of(auth.EventSignedIn))
		s, _, err := f.enter(t, e, u)
		if err != nil {
			t.Fatalf("%s: %v", f.name, err)
		}
		method := methods[f.name]
		if method == "" {
			method = "email"
		}
		events := e.Events.Of(auth.EventSignedIn)[before:]
		if len(events) != 1 || events[0].UserID != u.session.User.ID || events[0].SessionID != s.RefreshTokenID || events[0].Method != method ||
			!events[0].At.Equal(e.Clock.Now()) || events[0].Code != "" {
			t.Errorf("%s: %+v", f.name, events)
		}
	}

	address := netip.MustParseAddr("192.0.2.7")
	ctx := auth.WithClient(t.Context(), auth.Client{Address: address})
	unknown := &authtest.Authenticator{}
	withKey(t, e, "bob@example.com", unknown)
	for name, c := range map[string]struct {
		method string
		known  bool // whose account it is
		try    func(t *testing.T) error
	}{
		"a password": {"password", true, func(*testing.T) error {
			_, err := e.SignInPassword(ctx, auth.SignInPasswordParams{Email: u.email, Password: "wrong-" + newPassword})
			return err
		}},
		"a password of nobody": {"password", false, func(*testing.T) error {
			_, err := e.SignInPassword(ctx, auth.SignInPasswordParams{Email: "nobody@example.com", Password: newPassword})
			return err
		}},
		"an e-mail code": {"email", false, func(t *testing.T) error {
			if err := mailings[1].send(e, u.email, ""); err != nil {
				t.Fatal(err)
			}
			_, err := e.VerifyEmailOTP(ctx, auth.VerifyEmailOTPParams{Email: u.email, OTP: otherCode(e.Mailbox.Last(t, u.email).Ticket())})
			return err
		}},
		"a texted code": {"sms", false, func(t *testing.T) error {
			code := textings()[0].code(t, e, nil, u.phone)
			_, err := e.VerifySMSOTP(ctx, auth.VerifySMSOTPParams{PhoneNumber: u.phone, OTP: otherCode(code)})
			return err
		}},
		"a key": {"webauthn", true, func(t *testing.T) error {
			answer := u.pin.Get(t, beginKeySignIn(t, e, ""), authtest.AfterSigning(func(a *authtest.Answer) { a.Signature[8] ^= 1 }))
			_, err := e.VerifySignInWebAuthn(ctx, auth.VerifySignInWebAuthnParams{Credential: answer})
			return err
		}},
		"a personal access token": {"pat", false, func(*testing.T) error {
			_, err := e.SignInPAT(ctx, auth.SignInPATParams{PersonalAccessToken: uuid.NewString()})
			return err
		}},
		"a code of a redirect": {"email", true, func(t *testing.T) error {
			if err := e.SendMagicLink(t.Context(), auth.SendMagicLinkParams{Email: u.email, CodeChallenge: challengeFor(verifier)}); err != nil {
				t.Fatal(err)
			}
			_, err := e.ExchangeCode(ctx, auth.ExchangeCodeParams{Code: followLink(t, e, u.email).Code, CodeVerifier: "x" + verifier[1:]})
			return err
		}},
	} {
		before := len(e.Events.Of(auth.EventSignInFailed))
		if err := c.try(t); err == nil {
			t.Errorf("%s: in", name)
		}
		events := e.Events.Of(auth.EventSignInFailed)[before:]
		if len(events) != 1 || c.known && events[0].UserID != u.session.User.ID || events[0].Method != c.method ||
			events[0].Client.Address != address || events[0].Code == "" {
			t.Errorf("%s: %+v", name, events)
		}
	}
}

// An event's line says what there is to say and no more, at the level that it deserves.
func TestWhatALogSaysOfAnEvent(t *testing.T) {
	t.Parallel()
	id := uuid.MustParse("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
	for want, ev := range map[string]auth.Event{
		"level=INFO msg=signed-in": {Type: auth.EventSignedIn},
		"level=INFO msg=signed-in method=pat detail=x user=" + id.String():   {Type: auth.EventSignedIn, Method: "pat", Detail: "x", UserID: id},
		"level=INFO msg=signed-out address=192.0.2.1 session=" + id.String(): {Type: auth.EventSignedOut, SessionID: id, Client: auth.Client{Address: netip.MustParseAddr("192.0.2.1")}},
		"level=WARN msg=sign-in-failed code=invalid-pat":                     {Type: auth.EventSignInFailed, Code: auth.CodeInvalidPAT},
		"level=WARN msg=audit-lost detail=1":                                 {Type: auth.EventAuditLost, Detail: "1"},
		"level=WARN msg=message-given-up":                                    {Type: auth.EventMessageGivenUp},
	} {
		var b bytes.Buffer
		auth.LogEvents(slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))).Emit(t.Context(), ev)
		if got := strings.TrimSpace(b.String()); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// LG-12, LG-13: an event is one line of a log whatever is in it, and what goes wrong stands out.
func TestAnEventIsOneLine(t *testing.T) {
	t.Parallel()
	const forged = "x\nlevel=INFO msg=signed-in user=\"root\"\r\x1b[31m\x00"
	event := auth.Event{
		Type: auth.EventSignInFailed, At: time.Now(), UserID: uuid.New(), SessionID: uuid.New(), Method: forged, Code: forged, Detail: forged,
		Client: auth.Client{Address: netip.MustParseAddr("2001:db8::1%" + "eth0"), UserAgent: forged},
	}
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		"JSON": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		var b bytes.Buffer
		auth.LogEvents(slog.New(handler(&b))).Emit(context.Background(), event)
		line := b.String()
		if strings.Count(line, "\n") != 1 || !strings.HasSuffix(line, "\n") || strings.ContainsAny(line, "\r\x1b\x00") {
			t.Errorf("%s: %q", name, line)
		}
		for _, want := range []string{"WARN", "sign-in-failed", event.UserID.String(), event.SessionID.String(), "2001:db8::1"} {
			if !strings.Contains(line, want) {
				t.Errorf("%s: no %s in %s", name, want, line)
			}
		}
		if name == "JSON" && !json.Valid(b.Bytes()) {
			t.Errorf("not JSON: %s", line)
		}
	}
}
