package auth_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-webauthn/webauthn/metadata"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/storetest"
)

// beginKeySignUp begins a sign-up with a passkey.
func beginKeySignUp(t *testing.T, e *authtest.Engine, email string) *auth.CreationOptions {
	t.Helper()
	options, err := e.SignUpWebAuthn(t.Context(), auth.SignUpWebAuthnParams{Email: email})
	if err != nil {
		t.Fatal(err)
	}
	return options
}

// endKeySignUp ends a sign-up with a passkey.
func endKeySignUp(t *testing.T, e *authtest.Engine, answer json.RawMessage) (*auth.SignInResult, error) {
	t.Helper()
	return e.VerifySignUpWebAuthn(t.Context(), auth.VerifySignUpWebAuthnParams{Credential: answer})
}

// withKey signs a user up with a password and gives them a security key.
func withKey(t *testing.T, e *authtest.Engine, email string, key *authtest.Authenticator) *auth.Session {
	t.Helper()
	s := e.SignUp(t, email)
	addKey(t, e, e.Principal(t, s), key)
	return s
}

func addKey(t *testing.T, e *authtest.Engine, p *auth.Principal, key *authtest.Authenticator) *auth.SecurityKey {
	t.Helper()
	options, err := e.AddSecurityKey(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	added, err := e.VerifyAddSecurityKey(t.Context(), p, auth.VerifyAddSecurityKeyParams{Credential: key.Create(t, options)})
	if err != nil {
		t.Fatal(err)
	}
	return added
}

// beginKeySignIn begins a sign-in, with an address unless it is empty.
func beginKeySignIn(t *testing.T, e *authtest.Engine, email string) *auth.RequestOptions {
	t.Helper()
	options, err := e.SignInWebAuthn(t.Context(), auth.SignInWebAuthnParams{Email: email})
	if err != nil {
		t.Fatal(err)
	}
	return options
}

func endKeySignIn(t *testing.T, e *authtest.Engine, answer json.RawMessage) (*auth.SignInResult, error) {
	t.Helper()
	return e.VerifySignInWebAuthn(t.Context(), auth.VerifySignInWebAuthnParams{Credential: answer})
}

// elevate steps a principal up and returns who they are then.
func elevate(t *testing.T, e *authtest.Engine, p *auth.Principal, key *authtest.Authenticator) (*auth.Session, *auth.Principal) {
	t.Helper()
	s, err := e.VerifyElevation(t.Context(), p, auth.VerifyElevationParams{Credential: key.Get(t, beginElevation(t, e, p))})
	if err != nil {
		t.Fatal(err)
	}
	return s, e.Principal(t, s)
}

func beginElevation(t *testing.T, e *authtest.Engine, p *auth.Principal) *auth.RequestOptions {
	t.Helper()
	up, err := e.Elevate(t.Context(), p, auth.ElevateParams{})
	if err != nil {
		t.Fatal(err)
	}
	return up.WebAuthn
}

// onlyPresence makes a touch enough for a step-up.
func onlyPresence(c *auth.Config) {
	c.Elevation.UserVerification = auth.UserVerificationPreferred
}

func TestSignUpWithAPasskey(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	key := &authtest.Authenticator{}
	options := beginKeySignUp(t, e, "Ada@Example.com")
	in, err := e.VerifySignUpWebAuthn(t.Context(), auth.VerifySignUpWebAuthnParams{Credential: key.Create(t, options), Nickname: "Phone"})
	if err != nil {
		t.Fatal(err)
	}
	if in.Session != nil { // WA-28
		t.Error("a session before the address is verified")
	}
	if _, err := endKeySignIn(t, e, key.Get(t, beginKeySignIn(t, e, ""))); !errors.Is(err, auth.ErrUnverifiedUser) {
		t.Errorf("sign-in before the address is verified: %v", err)
	}
	verified, err := e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: e.Mailbox.Last(t, "ada@example.com").Ticket()})
	if err != nil {
		t.Fatal(err)
	}
	user := verified.Session.User
	if raw, _ := base64.RawURLEncoding.DecodeString(options.User.ID); !bytes.Equal(raw, user.ID[:]) {
		t.Error("the user handle is not the 16 bytes of the user's id")
	}
	if user.Email != "Ada@Example.com" || user.DisplayName != "Ada@Example.com" || !user.EmailVerified {
		t.Errorf("user %+v", user)
	}
	in, err = endKeySignIn(t, e, key.Get(t, beginKeySignIn(t, e, "")))
	if err != nil {
		t.Fatal(err)
	}
	p := e.Principal(t, in.Session)
	if p.UserID != user.ID || p.Elevated || !cmp.Equal(p.AMR, []string{"pop", "user", "mfa"}) { // EL-08
		t.Errorf("principal %+v", p)
	}
	list, err := e.ListSecurityKeys(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	now := e.Clock.Now()
	want := []auth.SecurityKey{{
		ID: list.Keys[0].ID, Nickname: "Phone", CredentialID: base64.RawURLEncoding.EncodeToString(key.Credentials()[0].ID),
		CreatedAt: now, LastUsedAt: &now, Transports: []string{"hybrid", "internal"}, Attachment: "platform",
		UserVerified: true, BackupEligible: true, BackedUp: true,
	}}
	if diff := cmp.Diff(want, list.Keys); diff != "" {
		t.Error(diff)
	}
}

// WA-26.
func TestOptionsSayWhatIsDocumented(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	key := authtest.NewSecurityKey()
	key.NoUserVerification = false
	p := e.Principal(t, withKey(t, e, "ada@example.com", key))
	id := base64.RawURLEncoding.EncodeToString(key.Credentials()[0].ID)
	descriptors := []auth.CredentialDescriptor{{Type: "public-key", ID: id, Transports: []string{"nfc", "usb"}}}

	adding, err := e.AddSecurityKey(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	var algorithms []auth.CredentialParameter
	for _, a := range []int64{-7, -35, -36, -257, -258, -259, -37, -38, -39, -8} {
		algorithms = append(algorithms, auth.CredentialParameter{Type: "public-key", Alg: a})
	}
	wantAdding := &auth.CreationOptions{
		RP:        auth.RelyingParty{Name: "app.test", ID: "app.test"},
		User:      auth.UserEntity{Name: "ada@example.com", DisplayName: "ada@example.com", ID: base64.RawURLEncoding.EncodeToString(p.UserID[:])},
		Challenge: adding.Challenge, PubKeyCredParams: algorithms, Timeout: 60000, ExcludeCredentials: descriptors,
		AuthenticatorSelection: auth.AuthenticatorSelection{ResidentKey: "preferred", UserVerification: auth.UserVerificationPreferred},
		Attestation:            "none", Extensions: map[string]any{"credProps": true},
	}
	if diff := cmp.Diff(wantAdding, adding); diff != "" {
		t.Errorf("options of creation: %s", diff)
	}
	asking := beginKeySignIn(t, e, "ADA@example.com")
	wantAsking := &auth.RequestOptions{
		Challenge: asking.Challenge, Timeout: 60000, RPID: "app.test", AllowCredentials: descriptors, UserVerification: auth.UserVerificationPreferred,
	}
	if diff := cmp.Diff(wantAsking, asking); diff != "" {
		t.Errorf("options of a sign-in: %s", diff)
	}
	anybody := beginKeySignIn(t, e, "")
	if anybody.AllowCredentials != nil {
		t.Error("a sign-in without an address names keys")
	}
	rising := beginElevation(t, e, p)
	if diff := cmp.Diff(descriptors, rising.AllowCredentials); diff != "" || rising.UserVerification != auth.UserVerificationRequired {
		t.Errorf("options of a step-up: %s %s", rising.UserVerification, diff)
	}
	seen := map[string]bool{}
	for _, c := range []string{adding.Challenge, asking.Challenge, anybody.Challenge, rising.Challenge} {
		if raw, err := base64.RawURLEncoding.DecodeString(c); err != nil || len(raw) != 32 || seen[c] {
			t.Errorf("challenge %q", c)
		}
		seen[c] = true
	}
}

func TestWhatIsConfiguredIsInTheOptions(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, func(c *auth.Config) {
		c.ClientURL = "https://login.app.test"
		c.WebAuthn = &auth.WebAuthnConfig{
			RPID: "app.test", RPName: "Test", Timeout: 2 * time.Minute, UserVerification: "required", ResidentKey: "required",
			Attachment: "cross-platform", Attestation: "direct", Hints: []string{"security-key"},
			CreateExtensions: map[string]any{}, GetExtensions: map[string]any{"uvm": true},
		}
	})
	o := beginKeySignUp(t, e, "ada@example.com")
	want := auth.AuthenticatorSelection{
		AuthenticatorAttachment: "cross-platform", RequireResidentKey: true, ResidentKey: "required", UserVerification: "required",
	}
	if diff := cmp.Diff(want, o.AuthenticatorSelection); diff != "" {
		t.Error(diff)
	}
	if o.RP != (auth.RelyingParty{Name: "Test", ID: "app.test"}) || o.Timeout != 120000 || o.Attestation != "direct" || !cmp.Equal(o.Hints, []string{"security-key"}) || len(o.Extensions) != 0 {
		t.Errorf("options %s", asJSON(o))
	}
	r := beginKeySignIn(t, e, "")
	if r.RPID != "app.test" || r.UserVerification != "required" || !cmp.Equal(r.Extensions, map[string]any{"uvm": true}) {
		t.Errorf("options %s", asJSON(r))
	}
}

func TestWebAuthnConfigMistakes(t *testing.T) {
	t.Parallel()
	for field, amend := range map[string]func(*auth.Config){
		"WebAuthn.RPID":                   func(c *auth.Config) { c.WebAuthn.RPID = "https://app.test" },
		"WebAuthn.Origins[0]":             func(c *auth.Config) { c.WebAuthn.Origins = []string{"https://app.test/"} },
		"WebAuthn.Origins[1]":             func(c *auth.Config) { c.WebAuthn.Origins = []string{"https://a.test", "https://App.test"} },
		"WebAuthn.TopOrigins[0]":          func(c *auth.Config) { c.WebAuthn.TopOrigins = []string{"android:apk-key-hash:x"} },
		"WebAuthn.Timeout":                func(c *auth.Config) { c.WebAuthn.Timeout = time.Millisecond },
		"WebAuthn.UserVerification":       func(c *auth.Config) { c.WebAuthn.UserVerification = "always" },
		"WebAuthn.ResidentKey":            func(c *auth.Config) { c.WebAuthn.ResidentKey = "yes" },
		"WebAuthn.Attachment":             func(c *auth.Config) { c.WebAuthn.Attachment = "usb" },
		"WebAuthn.Metadata":               func(c *auth.Config) { c.WebAuthn.Metadata = models(nil) },
		"WebAuthn.Metadata (indirect)":    func(c *auth.Config) { c.WebAuthn.Metadata, c.WebAuthn.Attestation = models(nil), "indirect" },
		"ClientURL":                       func(c *auth.Config) { c.ClientURL = "app.test" },
		"WebAuthn.Attestation":            func(c *auth.Config) { c.WebAuthn.Attestation = "some" },
		"WebAuthn.CreateExtensions":       func(c *auth.Config) { c.WebAuthn.CreateExtensions = map[string]any{"x": func() {}} },
		"WebAuthn.MaxPerUser":             func(c *auth.Config) { c.WebAuthn.MaxPerUser = -1 },
		"Tickets.WebAuthn":                func(c *auth.Config) { c.Tickets.WebAuthn = 2 * time.Hour },
		"Elevation.Mode":                  func(c *auth.Config) { c.Elevation.Mode = "on" },
		"Elevation.UserVerification":      func(c *auth.Config) { c.Elevation.UserVerification = "on" },
		"Elevation.FirstKeyWithin":        func(c *auth.Config) { c.Elevation.FirstKeyWithin = -1 },
		"WebAuthn.TopOrigins[0] (port)":   func(c *auth.Config) { c.WebAuthn.TopOrigins = []string{"https://a.test:443"} },
		"WebAuthn.Origins[0] (no scheme)": func(c *auth.Config) { c.WebAuthn.Origins = []string{"app.test"} },
	} {
		c := validConfig()
		c.WebAuthn = &auth.WebAuthnConfig{}
		amend(&c)
		_, err := auth.New(memstore.New(), c)
		field, _, _ := strings.Cut(field, " ")
		var mistake *auth.ConfigError
		if !errors.As(err, &mistake) || mistake.Field != field || strings.Contains(err.Error(), "\nWebAuthn: ") { // which would say it twice
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestSignUpWithAPasskeyMergesOptions(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, unverified, func(c *auth.Config) {
		c.Roles.Allowed = []string{"me", "editor"}
		c.Locales.Allowed = []string{"cs", "fr"}
	})
	key := &authtest.Authenticator{}
	options, err := e.SignUpWebAuthn(t.Context(), auth.SignUpWebAuthnParams{Email: "ada@example.com", Options: auth.SignUpOptions{
		DisplayName: "Ada", Locale: "cs", Metadata: json.RawMessage(`{"a":1}`), AllowedRoles: []string{"user", "editor"}, DefaultRole: "editor",
	}})
	if err != nil {
		t.Fatal(err)
	}
	in, err := e.VerifySignUpWebAuthn(t.Context(), auth.VerifySignUpWebAuthnParams{
		Credential: key.Create(t, options), Options: auth.SignUpOptions{Locale: "fr", AllowedRoles: []string{"editor"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	u := in.Session.User
	if u.DisplayName != "Ada" || u.Locale != "fr" || string(u.Metadata) != `{"a":1}` || u.DefaultRole != "editor" || !cmp.Equal(u.Roles, []string{"editor"}) {
		t.Errorf("user %s", asJSON(u))
	}

	// What is not said again stays as it was said.
	options, err = e.SignUpWebAuthn(t.Context(), auth.SignUpWebAuthnParams{Email: "bob@example.com", Options: auth.SignUpOptions{
		Locale: "cs", AllowedRoles: []string{"user", "editor"}, DefaultRole: "editor",
	}})
	if err != nil {
		t.Fatal(err)
	}
	in, err = endKeySignUp(t, e, (&authtest.Authenticator{}).Create(t, options))
	if err != nil {
		t.Fatal(err)
	}
	if u := in.Session.User; u.Locale != "cs" || u.DefaultRole != "editor" || !cmp.Equal(u.Roles, []string{"editor", "user"}) && !cmp.Equal(u.Roles, []string{"user", "editor"}) {
		t.Errorf("user %s", asJSON(u))
	}
}

// The letter leads where the beginning of the sign-up asked, and the sign-up is recorded as one with a key.
func TestTheLetterOfASignUpWithAPasskeyLeadsWhereAsked(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	options, err := e.SignUpWebAuthn(t.Context(), auth.SignUpWebAuthnParams{
		Email: "ada@example.com", Options: auth.SignUpOptions{RedirectTo: authtest.ClientURL + "/welcome"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := endKeySignUp(t, e, (&authtest.Authenticator{}).Create(t, options)); err != nil {
		t.Fatal(err)
	}
	if got := e.Mailbox.Last(t, "ada@example.com").Variables["redirectTo"]; got != authtest.ClientURL+"/welcome" {
		t.Errorf("the letter leads to %q", got)
	}
	if events := e.Events.Of(auth.EventUserCreated); len(events) != 1 || events[0].Method != "webauthn" {
		t.Errorf("recorded: %+v", events)
	}
}

func TestSignInWithAKeyRefusesWhatIsNoAddress(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	key := &authtest.Authenticator{}
	withKey(t, e, "ada@example.com", key)
	const want = "invalid-request: email is not an address"
	if _, err := e.SignInWebAuthn(t.Context(), auth.SignInWebAuthnParams{Email: "ada"}); messageOf(err) != want {
		t.Errorf("begin: %v", err)
	}
	_, err := e.VerifySignInWebAuthn(t.Context(), auth.VerifySignInWebAuthnParams{Credential: key.Get(t, beginKeySignIn(t, e, "")), Email: "ada"})
	if messageOf(err) != want {
		t.Errorf("verify: %v", err)
	}
}

// Whose keys a sign-in with an address names: those of everybody, and where errors are concealed, of all but those whose own
// they may not be, because the address waits to be proven.
func TestWhoseKeysASignInNames(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		concealed, lax, verified, named bool
	}{
		"verified":                        {false, false, true, true},
		"verified, concealed":             {true, false, true, true},
		"pending":                         {false, false, false, true},
		"pending, concealed":              {true, false, false, false},
		"pending where that is no matter": {false, true, false, true},
		"pending where that is no matter, conceals": {true, true, false, true},
	} {
		e := authtest.New(t)
		key := &authtest.Authenticator{}
		if _, err := endKeySignUp(t, e, key.Create(t, beginKeySignUp(t, e, "ada@example.com"))); err != nil {
			t.Fatal(err)
		}
		if c.verified {
			followLink(t, e, "ada@example.com")
		}
		e = replica(t, e, func(x *auth.Config) { x.ConcealErrors, x.Email.AllowUnverified = c.concealed, c.lax })
		offered := beginKeySignIn(t, e, "ada@example.com").AllowCredentials
		named := len(offered) == 1 && offered[0].ID == base64.RawURLEncoding.EncodeToString(key.Credentials()[0].ID)
		if named != c.named {
			t.Errorf("%s: the key is named: %v", name, named)
		}
	}
}

// What an authenticator shows to tell accounts apart: the address, or else the number, or else the name.
func TestAnAuthenticatorShowsWhoseAKeyIs(t *testing.T) {
	t.Parallel()
	v := newVisitor(t)
	r, err := v.visit(t, "here", provider.Profile{Subject: "1", Name: "Ada of elsewhere"})
	if err != nil {
		t.Fatal(err)
	}
	named := func(s *auth.Session) *auth.Session {
		t.Helper()
		name := "Ada of here"
		u, err := v.UpdateUser(t.Context(), s.User.ID, auth.UserUpdate{DisplayName: &name})
		if err != nil {
			t.Fatal(err)
		}
		s.User = u
		return s
	}
	both := equip(t, v.Engine, "both", "+41791234568")
	for want, s := range map[string]*auth.Session{
		"Ada@example.com": named(v.SignUp(t, "Ada@example.com")), adaPhone: named(signUpByPhone(t, v.Engine, adaPhone)),
		"Ada of elsewhere": r.Session, both.email: both.session,
	} {
		options, err := v.AddSecurityKey(t.Context(), v.Principal(t, s))
		if err != nil {
			t.Fatal(err)
		}
		if options.User.Name != want || options.User.DisplayName != s.User.DisplayName {
			t.Errorf("%s: %+v", want, options.User)
		}
	}
}

// An id that is shorter than the mark of a decoy is none, and as good as any.
func TestTheShortestIDsOfCredentials(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 7, 8, 9} {
		e := authtest.New(t, unverified)
		id := bytes.Repeat([]byte{7}, n)
		answer := (&authtest.Authenticator{}).Create(t, beginKeySignUp(t, e, "ada@example.com"), func(c *authtest.Ceremony) { c.CredentialID = id })
		if in, err := endKeySignUp(t, e, answer); err != nil || in.Session == nil {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

// The letter about a new key is kept until it can be sent.
func TestTheLetterAboutANewKeyIsNotLost(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	p := e.Principal(t, e.SignUp(t, "ada@example.com"))
	e.Mailbox.Refuse(errors.New("the server said no"))
	addKey(t, e, p, &authtest.Authenticator{})
	e.Mailbox.Refuse(nil)
	e.Clock.Advance(time.Hour)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- e.Run(ctx) }()
	for e.Mailbox.Next(t, "ada@example.com").Template != "security-key-added" {
		continue
	}
	stop()
	<-done
}

// What a client may not wish for is refused at both ends, and the address is checked at both.
func TestSignUpWithAPasskeyRefusesWishes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		email   string
		options auth.SignUpOptions
		want    error
	}{
		"a role that is not allowed":       {"ada@example.com", auth.SignUpOptions{AllowedRoles: []string{"admin"}}, auth.ErrRoleNotAllowed},
		"a default role outside the roles": {"ada@example.com", auth.SignUpOptions{DefaultRole: "admin"}, auth.ErrDefaultRoleNotAllowed},
		"a redirect that is not allowed":   {"ada@example.com", auth.SignUpOptions{RedirectTo: "https://evil.test"}, auth.ErrRedirectNotAllowed},
		"metadata that is no object":       {"ada@example.com", auth.SignUpOptions{Metadata: json.RawMessage(`[]`)}, auth.ErrInvalidRequest},
		"a name with markup":               {"ada@example.com", auth.SignUpOptions{DisplayName: "<b>"}, nil},
		"a name with a line end":           {"ada@example.com", auth.SignUpOptions{DisplayName: "a\nb"}, auth.ErrInvalidRequest},
		"two addresses":                    {"a@example.com,b@example.com", auth.SignUpOptions{}, auth.ErrInvalidRequest},
		"a blocked domain":                 {"ada@Blocked.test", auth.SignUpOptions{}, auth.ErrInvalidEmailPassword},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := authtest.New(t, func(c *auth.Config) { c.Email.BlockedDomains = []string{"blocked.test"} })
			_, err := e.SignUpWebAuthn(t.Context(), auth.SignUpWebAuthnParams{Email: c.email, Options: c.options})
			if !errors.Is(err, c.want) {
				t.Errorf("begin: %v, not %v", err, c.want)
			}
			key := &authtest.Authenticator{}
			answer := key.Create(t, beginKeySignUp(t, e, "ada@example.com"))
			_, err = e.VerifySignUpWebAuthn(t.Context(), auth.VerifySignUpWebAuthnParams{Credential: answer, Options: c.options})
			if c.options.AllowedRoles == nil && c.options.DefaultRole == "" && c.options.RedirectTo == "" && c.options.Metadata == nil && c.options.DisplayName == "" {
				return
			}
			if !errors.Is(err, c.want) {
				t.Errorf("verify: %v, not %v", err, c.want)
			}
		})
	}
}

func TestPasskeysThatAreOff(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, func(c *auth.Config) { c.WebAuthn = nil })
	closed := authtest.New(t, func(c *auth.Config) { c.SignUp.Disabled = true })
	ctx := t.Context()
	p := e.Principal(t, e.SignUp(t, "ada@example.com"))
	for name, call := range map[string]func() error{
		"SignUpWebAuthn":       func() error { _, err := e.SignUpWebAuthn(ctx, auth.SignUpWebAuthnParams{}); return err },
		"VerifySignUpWebAuthn": func() error { _, err := e.VerifySignUpWebAuthn(ctx, auth.VerifySignUpWebAuthnParams{}); return err },
		"SignInWebAuthn":       func() error { _, err := e.SignInWebAuthn(ctx, auth.SignInWebAuthnParams{}); return err },
		"VerifySignInWebAuthn": func() error { _, err := e.VerifySignInWebAuthn(ctx, auth.VerifySignInWebAuthnParams{}); return err },
		"AddSecurityKey":       func() error { _, err := e.AddSecurityKey(ctx, p); return err },
		"VerifyAddSecurityKey": func() error {
			_, err := e.VerifyAddSecurityKey(ctx, p, auth.VerifyAddSecurityKeyParams{})
			return err
		},
		"ListSecurityKeys":  func() error { _, err := e.ListSecurityKeys(ctx, p); return err },
		"RenameSecurityKey": func() error { _, err := e.RenameSecurityKey(ctx, p, auth.RenameSecurityKeyParams{}); return err },
		"RemoveSecurityKey": func() error { _, err := e.RemoveSecurityKey(ctx, p, auth.RemoveSecurityKeyParams{}); return err },
		"Elevate":           func() error { _, err := e.Elevate(ctx, p, auth.ElevateParams{}); return err },
		"VerifyElevation":   func() error { _, err := e.VerifyElevation(ctx, p, auth.VerifyElevationParams{}); return err },
	} {
		if err := call(); !errors.Is(err, auth.ErrDisabledEndpoint) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := e.RelatedOrigins(); len(got) != 0 {
		t.Errorf("related origins %v", got)
	}
	if _, err := closed.SignUpWebAuthn(ctx, auth.SignUpWebAuthnParams{Email: "a@example.com"}); !errors.Is(err, auth.ErrSignUpDisabled) {
		t.Errorf("begin of a sign-up: %v", err)
	}
	if _, err := endKeySignUp(t, closed, nil); !errors.Is(err, auth.ErrSignUpDisabled) {
		t.Errorf("end of a sign-up: %v", err)
	}
}

func TestRelatedOrigins(t *testing.T) {
	t.Parallel()
	for client, origin := range map[string]string{
		"https://App.test:443/home": "https://app.test", "https://app.test:80": "https://app.test:80", "http://localhost:80/": "http://localhost",
		"http://localhost:3000/": "http://localhost:3000", "http://localhost:443": "http://localhost:443",
	} {
		e := authtest.New(t, func(c *auth.Config) {
			c.ClientURL = client
			c.WebAuthn.Origins = []string{"android:apk-key-hash:abc", "https://app.other.test"}
		})
		if diff := cmp.Diff([]string{"https://app.other.test", origin}, e.RelatedOrigins()); diff != "" {
			t.Errorf("%s: %s", client, diff)
		}
	}
}

// Pages of other origins may embed one's own if they are named.
func TestAPageThatMayEmbed(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, unverified, func(c *auth.Config) { c.WebAuthn.TopOrigins = []string{"https://shop.test", "http://localhost"} })
	key := &authtest.Authenticator{}
	withKey(t, e, "ada@example.com", key)
	for origin, may := range map[string]bool{"https://shop.test": true, "http://localhost": true, "https://evil.test": false} {
		_, err := endKeySignIn(t, e, key.Get(t, beginKeySignIn(t, e, ""), func(c *authtest.Ceremony) { c.CrossOrigin, c.TopOrigin = true, origin }))
		if may != (err == nil) {
			t.Errorf("%s: %v", origin, err)
		}
	}
}

// models is a metadata service that says what is wrong with a model, if anything.
type models func(model uuid.UUID) error

func (m models) GetEntry(_ context.Context, model uuid.UUID) (*metadata.Entry, error) {
	return nil, m(model)
}
func (models) GetValidateEntry(context.Context) bool                                { return false }
func (models) GetValidateEntryPermitZeroAAGUID(context.Context) bool                { return false }
func (models) GetValidateTrustAnchor(context.Context) bool                          { return true }
func (models) GetValidateStatus(context.Context) bool                               { return true }
func (models) GetValidateAttestationTypes(context.Context) bool                     { return true }
func (models) ValidateStatusReports(context.Context, []metadata.StatusReport) error { return nil }

// The metadata decide on a model when a key is added and whenever it signs in.
func TestMetadataDecideOnModels(t *testing.T) {
	t.Parallel()
	good, bad := uuid.MustParse("ee882879-721c-4913-9775-3dfcce97072a"), uuid.MustParse("d548826e-79b4-db40-a3d8-11116f7e8349")
	revoked := map[uuid.UUID]bool{bad: true}
	for _, attestation := range []string{"direct", "enterprise"} {
		delete(revoked, good)
		e := authtest.New(t, unverified, func(c *auth.Config) {
			c.WebAuthn.Attestation, c.WebAuthn.Metadata = attestation, models(func(model uuid.UUID) error {
				if revoked[model] {
					return errors.New("revoked")
				}
				return nil
			})
		})
		key := &authtest.Authenticator{AAGUID: good, Attestation: "packed"}
		withKey(t, e, "ada@example.com", key)
		if _, err := endKeySignIn(t, e, key.Get(t, beginKeySignIn(t, e, ""))); err != nil {
			t.Errorf("a good model: %v", err)
		}
		other := &authtest.Authenticator{AAGUID: bad, Attestation: "packed"}
		if _, err := endKeySignUp(t, e, other.Create(t, beginKeySignUp(t, e, "bob@example.com"))); !errors.Is(err, auth.ErrInvalidRequest) {
			t.Errorf("a bad model: %v", err)
		}
		revoked[good] = true
		if _, err := endKeySignIn(t, e, key.Get(t, beginKeySignIn(t, e, ""))); !errors.Is(err, auth.ErrInvalidRequest) {
			t.Errorf("a model that was found to be bad: %v", err)
		}
	}
}

// handles is a store whose keys were made with another handle, or with none that it knows of.
type handles struct {
	store.Store
	handle *[]byte
}

func (h handles) User(ctx context.Context, q store.UserQuery) (store.Account, error) {
	a, err := h.Store.User(ctx, q)
	a.SecurityKeys = slices.Clone(a.SecurityKeys)
	for i := range a.SecurityKeys {
		a.SecurityKeys[i].UserHandle = *h.handle
	}
	return a, err
}

// WA-12: the handle is the one that the key was made with, which is the user's id where nothing else is known, and nothing else.
func TestKeysWithAHandleOfTheirOwn(t *testing.T) {
	t.Parallel()
	var handle []byte
	e := authtest.NewWithStore(t, handles{memstore.New(), &handle}, unverified, func(c *auth.Config) { c.Elevation.Mode = auth.ElevationDisabled })
	key := &authtest.Authenticator{}
	p := e.Principal(t, withKey(t, e, "ada@example.com", key))
	key.Unchecked = true
	for _, c := range []struct {
		name         string
		made, answer []byte
		good         bool
	}{
		{"none is known, and the id", nil, p.UserID[:], true},
		{"none is known, and another", nil, []byte("y"), false},
		{"one byte, and the same", []byte("x"), []byte("x"), true},
		{"one byte, and another", []byte("x"), []byte("y"), false},
		{"one byte, and the id", []byte("x"), p.UserID[:], false},
		{"one byte, and the id of nobody", []byte("x"), []byte(uuid.Nil.String()), false},
	} {
		handle = c.made
		in, err := endKeySignIn(t, e, key.Get(t, beginKeySignIn(t, e, "ada@example.com"), func(x *authtest.Ceremony) { x.UserHandle = c.answer }))
		if c.good != (err == nil) || err == nil && in.Session.User.ID != p.UserID || err != nil && !errors.Is(err, auth.ErrInvalidRequest) {
			t.Errorf("%s: %v", c.name, err)
		}
		options, err := e.AddSecurityKey(t.Context(), p)
		want := c.made
		if want == nil {
			want = p.UserID[:]
		}
		if err != nil || options.User.ID != base64.RawURLEncoding.EncodeToString(want) {
			t.Errorf("%s: a new key is made with %s, %v", c.name, options.User.ID, err)
		}
	}
}

// What is wrong at the end of a ceremony, or may not be, is said as it is, and where it would tell of an account, not at all.
func TestTheEndOfACeremonyIsRefused(t *testing.T) {
	t.Parallel()
	t.Run("a taken address, where nobody verifies them", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t)
		pendingUser(t, e, "ada@example.com")
		lax := replica(t, e, unverified, func(c *auth.Config) { c.ConcealErrors = true })
		_, err := endKeySignUp(t, lax, (&authtest.Authenticator{}).Create(t, beginKeySignUp(t, lax, "ada@example.com")))
		if messageOf(err) != "invalid-request: The request payload is incorrect" {
			t.Error(err)
		}
		if _, err := signIn(t, lax, "ada@example.com", authtest.Password); err != nil {
			t.Errorf("who was there: %v", err)
		}
	})
	t.Run("an address that was taken, and is free again", func(t *testing.T) {
		t.Parallel()
		e := authtest.NewWithStore(t, storetest.Break(memstore.New(), storetest.Fault{Method: "CreateUser", Err: store.ErrConflict{Field: store.FieldEmail}}))
		in, err := endKeySignUp(t, e, (&authtest.Authenticator{}).Create(t, beginKeySignUp(t, e, "ada@example.com")))
		if !errors.Is(err, auth.ErrEmailAlreadyInUse) || in != nil {
			t.Errorf("%v, %v", in, err)
		}
	})
	t.Run("an address whose account was disabled a moment ago", func(t *testing.T) {
		t.Parallel()
		e := interruptible(t)
		pendingUser(t, e.Engine, "ada@example.com")
		answer, yes := (&authtest.Authenticator{}).Create(t, beginKeySignUp(t, e.Engine, "ada@example.com")), true
		e.arm(func() { update(t, e.Engine, "ada@example.com", auth.UserUpdate{Disabled: &yes}) })
		if in, err := endKeySignUp(t, e.Engine, answer); messageOf(err) != "email-already-in-use: Email already in use" || in != nil {
			t.Errorf("%v, %v", in, err)
		}
	})
	t.Run("by the service, which may say why", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t)
		key := &authtest.Authenticator{}
		addKey(t, e, e.Principal(t, e.SignUp(t, "ada@example.com")), key)
		e = replica(t, e, func(c *auth.Config) {
			c.ConcealErrors = true
			c.Hooks.BeforeSession = func(context.Context, *auth.User, []string) error {
				return &auth.Error{Code: auth.CodeTooManyRequests, Message: "Not on a Sunday"}
			}
		})
		_, err := endKeySignIn(t, e, key.Get(t, beginKeySignIn(t, e, "")))
		if messageOf(err) != "too-many-requests: Not on a Sunday" {
			t.Error(err)
		}
	})
	t.Run("by the service, before there is a user", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t, func(c *auth.Config) { c.Hooks.BeforeSignUp = refuse })
		in, err := endKeySignUp(t, e, (&authtest.Authenticator{}).Create(t, beginKeySignUp(t, e, "ada@example.com")))
		if !errors.Is(err, errForbidden) || in != nil || userCount(t, e.Store) != 0 {
			t.Errorf("%v, %v", in, err)
		}
	})
	t.Run("a name of a key that is too long", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t)
		p := e.Principal(t, e.SignUp(t, "ada@example.com"))
		options, err := e.AddSecurityKey(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		params := auth.VerifyAddSecurityKeyParams{Credential: (&authtest.Authenticator{}).Create(t, options), Nickname: strings.Repeat("n", 65)}
		if _, err := e.VerifyAddSecurityKey(t.Context(), p, params); !errors.Is(err, auth.ErrInvalidRequest) {
			t.Error(err)
		}
		params.Nickname = params.Nickname[1:]
		if _, err := e.VerifyAddSecurityKey(t.Context(), p, params); err != nil {
			t.Errorf("the challenge has been used up: %v", err)
		}
	})
}

// finishes are the four ends of ceremonies, each for a challenge begun by somebody.
type finish struct {
	name   string
	begin  func(t *testing.T) any                                       // returns options
	answer func(t *testing.T, options any, lies ...lie) json.RawMessage // made as for this end
	end    func(answer json.RawMessage) error
}

type lie = func(*authtest.Ceremony)

func finishes(e *authtest.Engine, p *auth.Principal, key *authtest.Authenticator) []finish {
	var emails atomic.Int64
	return []finish{
		{
			"sign-up",
			func(t *testing.T) any {
				t.Helper()
				return beginKeySignUp(t, e, fmt.Sprintf("new%d@example.com", emails.Add(1)))
			},
			func(t *testing.T, o any, lies ...lie) json.RawMessage {
				return (&authtest.Authenticator{}).Create(t, o, lies...)
			},
			func(a json.RawMessage) error {
				_, err := e.VerifySignUpWebAuthn(background, auth.VerifySignUpWebAuthnParams{Credential: a})
				return err
			},
		},
		{
			"sign-in",
			func(t *testing.T) any { return beginKeySignIn(t, e, "") },
			func(t *testing.T, o any, lies ...lie) json.RawMessage { return key.Get(t, o, lies...) },
			func(a json.RawMessage) error {
				_, err := e.VerifySignInWebAuthn(background, auth.VerifySignInWebAuthnParams{Credential: a})
				return err
			},
		},
		{
			"addition",
			func(t *testing.T) any {
				o, err := e.AddSecurityKey(background, p)
				if err != nil {
					t.Fatal(err)
				}
				return o
			},
			func(t *testing.T, o any, lies ...lie) json.RawMessage {
				return (&authtest.Authenticator{}).Create(t, o, lies...)
			},
			func(a json.RawMessage) error {
				_, err := e.VerifyAddSecurityKey(background, p, auth.VerifyAddSecurityKeyParams{Credential: a})
				return err
			},
		},
		{
			"step-up",
			func(t *testing.T) any { return beginElevation(t, e, p) },
			func(t *testing.T, o any, lies ...lie) json.RawMessage { return key.Get(t, o, lies...) },
			func(a json.RawMessage) error {
				_, err := e.VerifyElevation(background, p, auth.VerifyElevationParams{Credential: a})
				return err
			},
		},
	}
}

// challengeOf reads the challenge of options of either kind.
func challengeOf(t *testing.T, options any) string {
	t.Helper()
	switch o := options.(type) {
	case *auth.CreationOptions:
		return o.Challenge
	case *auth.RequestOptions:
		return o.Challenge
	}
	t.Fatalf("options %T", options)
	return ""
}

// WA-02..WA-05, EL-07: a challenge serves one ceremony of its own kind, once, whether or not it succeeds, and in time.
func TestChallengesServeOneCeremonyOnce(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	key := &authtest.Authenticator{}
	p := e.Principal(t, withKey(t, e, "ada@example.com", key))
	all := finishes(e, p, key)
	for i, f := range all {
		t.Run(f.name, func(t *testing.T) {
			answer := f.answer(t, f.begin(t))
			if err := f.end(answer); err != nil {
				t.Fatal(err)
			}
			if err := f.end(answer); !errors.Is(err, auth.ErrInvalidRequest) {
				t.Errorf("the same answer again: %v", err)
			}

			options := f.begin(t)
			broken := f.answer(t, options, func(c *authtest.Ceremony) { c.Origin = "https://evil.test" })
			if err := f.end(broken); !errors.Is(err, auth.ErrInvalidRequest) {
				t.Errorf("a wrong answer: %v", err)
			}
			if err := f.end(f.answer(t, options)); !errors.Is(err, auth.ErrInvalidRequest) {
				t.Errorf("a right answer after a wrong one: %v", err)
			}

			for j, other := range all {
				if i == j {
					continue
				}
				foreign := other.begin(t)
				lied := f.answer(t, f.begin(t), func(c *authtest.Ceremony) { c.Challenge = challengeOf(t, foreign) })
				if err := f.end(lied); !errors.Is(err, auth.ErrInvalidRequest) {
					t.Errorf("with the challenge of a %s: %v", other.name, err)
				}
				if err := other.end(other.answer(t, foreign)); err != nil { // TK-01: it is not used up by that
					t.Errorf("the %s after that: %v", other.name, err)
				}
			}

			made := f.answer(t, f.begin(t), func(c *authtest.Ceremony) { c.Challenge = strings.Repeat("A", 43) })
			if err := f.end(made); !errors.Is(err, auth.ErrInvalidRequest) {
				t.Errorf("with a challenge of its own: %v", err)
			}
			for _, bad := range []string{"", "null", "{}", "[]", `"x"`, `{"id":`, strings.Repeat("[", 100000)} {
				if err := f.end(json.RawMessage(bad)); !errors.Is(err, auth.ErrInvalidRequest) {
					t.Errorf("%.20q: %v", bad, err)
				}
			}

			options = f.begin(t)
			e.Clock.Advance(5*time.Minute - time.Microsecond)
			if err := f.end(f.answer(t, options)); err != nil {
				t.Errorf("at the last moment: %v", err)
			}
			options = f.begin(t)
			e.Clock.Advance(5 * time.Minute)
			if err := f.end(f.answer(t, options)); !errors.Is(err, auth.ErrInvalidRequest) {
				t.Errorf("too late: %v", err)
			}
		})
	}
}

// WA-05: a timeout that is configured is the one emitted and the one enforced.
func TestAConfiguredTimeoutIsEnforced(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, func(c *auth.Config) { c.WebAuthn.Timeout = 30 * time.Second })
	key := &authtest.Authenticator{}
	options := beginKeySignUp(t, e, "ada@example.com")
	if options.Timeout != 30000 {
		t.Errorf("timeout %d", options.Timeout)
	}
	e.Clock.Advance(30 * time.Second)
	if _, err := endKeySignUp(t, e, key.Create(t, options)); !errors.Is(err, auth.ErrInvalidRequest) {
		t.Errorf("too late: %v", err)
	}
}

// Of any number of finishes of one ceremony one succeeds, over every store; see also storetest.
func TestParallelFinishesOfOneCeremony(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	key := &authtest.Authenticator{}
	p := e.Principal(t, withKey(t, e, "ada@example.com", key))
	for _, f := range finishes(e, p, key) {
		answer := f.answer(t, f.begin(t))
		var ok atomic.Int64
		parallel(50, func() {
			switch err := f.end(answer); {
			case err == nil:
				ok.Add(1)
			case !errors.Is(err, auth.ErrInvalidRequest):
				t.Errorf("%s: %v", f.name, err)
			}
		})
		if ok.Load() != 1 {
			t.Errorf("%s: %d succeeded", f.name, ok.Load())
		}
	}
}

// WA-30: a ceremony begun on one engine finishes on another over the same store, once.
func TestCeremoniesMoveBetweenReplicas(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	a := authtest.NewWithStore(t, s)
	b := authtest.NewWithStore(t, s, func(c *auth.Config) { c.Now = a.Clock.Now })
	key := &authtest.Authenticator{}
	p := a.Principal(t, withKey(t, a, "ada@example.com", key))
	ends := finishes(b, p, key)
	for i, f := range finishes(a, p, key) {
		answer := f.answer(t, f.begin(t))
		if err := ends[i].end(answer); err != nil {
			t.Errorf("%s on the other engine: %v", f.name, err)
		}
		if err := f.end(answer); !errors.Is(err, auth.ErrInvalidRequest) {
			t.Errorf("%s once more: %v", f.name, err)
		}
	}
}

// WA-33, EL-02: challenges of signed-in users belong to their user and session.
func TestChallengesBelongToASession(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	keyA, keyB := &authtest.Authenticator{}, &authtest.Authenticator{}
	sessionA := withKey(t, e, "ada@example.com", keyA)
	a, b := e.Principal(t, sessionA), e.Principal(t, withKey(t, e, "bob@example.com", keyB))
	elsewhere := e.Principal(t, e.SignIn(t, "ada@example.com"))
	ctx := t.Context()

	for name, begun := range map[string]*auth.Principal{"another user": b, "another session of the user": elsewhere} {
		options, err := e.AddSecurityKey(ctx, begun)
		if err != nil {
			t.Fatal(err)
		}
		_, err = e.VerifyAddSecurityKey(ctx, a, auth.VerifyAddSecurityKeyParams{Credential: (&authtest.Authenticator{}).Create(t, options)})
		if !errors.Is(err, auth.ErrInvalidRequest) {
			t.Errorf("an addition begun by %s: %v", name, err)
		}
		for _, key := range []*authtest.Authenticator{keyA, keyB} {
			forced := key.Clone()
			forced.Unchecked = true
			_, err = e.VerifyElevation(ctx, a, auth.VerifyElevationParams{Credential: forced.Get(t, beginElevation(t, e, begun))})
			if !errors.Is(err, auth.ErrInvalidRequest) {
				t.Errorf("a step-up begun by %s: %v", name, err)
			}
		}
	}
	for name, options := range map[string]*auth.RequestOptions{
		"a sign-in of the other": beginKeySignIn(t, e, "bob@example.com"),
		"a sign-in of whoever":   beginKeySignIn(t, e, ""),
		"a sign-in of one's own": beginKeySignIn(t, e, "ada@example.com"),
		"a step-up of one's own": beginElevation(t, e, a),
	} {
		thief := keyB.Clone()
		thief.Unchecked = true
		_, err := e.VerifyElevation(ctx, a, auth.VerifyElevationParams{Credential: thief.Get(t, options)})
		if !errors.Is(err, auth.ErrInvalidRequest) { // W2
			t.Errorf("a step-up with somebody else's key and the challenge of %s: %v", name, err)
		}
	}
	if list, err := e.ListSecurityKeys(ctx, a); err != nil || len(list.Keys) != 1 {
		t.Errorf("keys %v, %v", list, err)
	}
}

// WA-12, WA-18: the account is the one that the credential belongs to, and everything else must agree.
func TestEverythingMustNameTheSameUser(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	keyA, keyB, plug := &authtest.Authenticator{}, &authtest.Authenticator{}, authtest.NewSecurityKey()
	a := e.Principal(t, withKey(t, e, "ada@example.com", keyA))
	b := e.Principal(t, withKey(t, e, "bob@example.com", keyB))
	carol := e.Principal(t, withKey(t, e, "carol@example.com", plug))

	text := a.UserID.String()
	decoded, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		key   *authtest.Authenticator
		begin string // address
		email string // at the end
		lie   lie
		user  uuid.UUID // who comes in; nobody if zero
	}{
		"nothing but the key":                   {keyA, "", "", nil, a.UserID},
		"the address at both ends":              {keyA, "ada@example.com", "ADA@example.com", nil, a.UserID},
		"no handle, with an address":            {plug, "carol@example.com", "", nil, carol.UserID},
		"a handle in text":                      {keyA, "", "", func(c *authtest.Ceremony) { c.UserHandle = []byte(text) }, a.UserID},
		"a handle that a client took for text":  {keyA, "", "", func(c *authtest.Ceremony) { c.UserHandle = []byte(base64.RawURLEncoding.EncodeToString(a.UserID[:])) }, a.UserID},
		"a handle in text that was decoded":     {keyA, "", "", func(c *authtest.Ceremony) { c.UserHandle = decoded }, a.UserID},
		"no handle, without an address":         {keyA, "", "", func(c *authtest.Ceremony) { c.UserHandle = nil }, uuid.Nil},
		"another user's handle":                 {keyA, "", "", func(c *authtest.Ceremony) { c.UserHandle = b.UserID[:] }, uuid.Nil},
		"another user's handle, and an address": {keyA, "ada@example.com", "", func(c *authtest.Ceremony) { c.UserHandle = b.UserID[:] }, uuid.Nil},
		"another user's handle in text":         {keyA, "", "", func(c *authtest.Ceremony) { c.UserHandle = []byte(b.UserID.String()) }, uuid.Nil},
		"another user's address at the end":     {keyA, "ada@example.com", "bob@example.com", nil, uuid.Nil},
		"another user's address at the begin":   {keyB, "ada@example.com", "", nil, uuid.Nil},
		"an unknown address at the begin":       {keyA, "nobody@example.com", "", nil, uuid.Nil},
		"an unknown credential":                 {keyA, "", "", func(c *authtest.Ceremony) { c.CredentialID = []byte("unknown credential") }, uuid.Nil},
		"another user's credential":             {keyA, "", "", func(c *authtest.Ceremony) { c.CredentialID = keyB.Credentials()[0].ID }, uuid.Nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key := c.key.Clone()
			key.Unchecked = true
			var lies []lie
			if c.lie != nil {
				lies = append(lies, c.lie)
			}
			in, err := e.VerifySignInWebAuthn(t.Context(), auth.VerifySignInWebAuthnParams{
				Credential: key.Get(t, beginKeySignIn(t, e, c.begin), lies...), Email: c.email,
			})
			switch {
			case c.user == uuid.Nil:
				var known *auth.Error
				if !errors.As(err, &known) || known.Code != auth.CodeInvalidRequest || known.Message != "the credential could not be verified" {
					t.Errorf("%v", err)
				}
			case err != nil:
				t.Error(err)
			case in.Session.User.ID != c.user:
				t.Error("another user came in")
			}
		})
	}
}

// A key that was added since the ceremony began was not asked for (WebAuthn L3 §7.2 step 5).
func TestOnlyKeysThatWereOfferedWillDo(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	first, second := &authtest.Authenticator{}, &authtest.Authenticator{}
	p := e.Principal(t, withKey(t, e, "ada@example.com", first))
	signingIn, rising := beginKeySignIn(t, e, "ada@example.com"), beginElevation(t, e, p)
	addKey(t, e, p, second)
	second.Unchecked = true
	if _, err := endKeySignIn(t, e, second.Get(t, signingIn)); !errors.Is(err, auth.ErrInvalidRequest) {
		t.Errorf("sign-in: %v", err)
	}
	_, err := e.VerifyElevation(t.Context(), p, auth.VerifyElevationParams{Credential: second.Get(t, rising)})
	if !errors.Is(err, auth.ErrInvalidRequest) {
		t.Errorf("step-up: %v", err)
	}
}

// WA-01, WA-06, WA-08..WA-11, WA-17, WA-22 at the engine; each in all its forms in internal/ceremony.
func TestWhatAuthenticatorsMustNotAnswer(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, onlyPresence)
	key := &authtest.Authenticator{Unchecked: true}
	p := e.Principal(t, withKey(t, e, "ada@example.com", key))
	for _, f := range finishes(e, p, key) {
		for name, l := range map[string]lie{
			"the other type": func(c *authtest.Ceremony) {
				c.Type = map[string]string{"webauthn.create": "webauthn.get", "webauthn.get": "webauthn.create"}[c.Type]
			},
			"another origin":                    func(c *authtest.Ceremony) { c.Origin = "https://app.test.evil.test" },
			"a sub-domain":                      func(c *authtest.Ceremony) { c.Origin = "https://x.app.test" },
			"another port":                      func(c *authtest.Ceremony) { c.Origin = "https://app.test:8443" },
			"the origin with a user":            func(c *authtest.Ceremony) { c.Origin = "https://x@app.test" },
			"the origin with a slash":           func(c *authtest.Ceremony) { c.Origin = "https://app.test/" },
			"the origin in upper case":          func(c *authtest.Ceremony) { c.Origin = "https://APP.test" },
			"the origin over http":              func(c *authtest.Ceremony) { c.Origin = "http://app.test" },
			"another relying party":             func(c *authtest.Ceremony) { c.RPID = "evil.test" },
			"out of a frame":                    func(c *authtest.Ceremony) { c.CrossOrigin = true },
			"out of a frame of a page":          func(c *authtest.Ceremony) { c.CrossOrigin = true; c.TopOrigin = "https://app.test" },
			"nobody present":                    func(c *authtest.Ceremony) { c.Flags &^= authtest.FlagUP },
			"backed up and not eligible":        func(c *authtest.Ceremony) { c.Flags = c.Flags&^authtest.FlagBE | authtest.FlagBS },
			"a member twice in the client data": func(c *authtest.Ceremony) { c.Extra = `"origin":"https://app.test"` },
		} {
			if err := f.end(f.answer(t, f.begin(t), l)); !errors.Is(err, auth.ErrInvalidRequest) {
				t.Errorf("%s, %s: %v", f.name, name, err)
			}
		}
		if err := f.end(f.answer(t, f.begin(t), func(c *authtest.Ceremony) { c.Flags &^= authtest.FlagUV })); err != nil {
			t.Errorf("%s without user verification: %v", f.name, err)
		}
	}
	// What only an assertion can get wrong.
	for name, l := range map[string]lie{
		"backup eligibility changed": func(c *authtest.Ceremony) { c.Flags &^= authtest.FlagBE | authtest.FlagBS },
		"the signature of other bytes": authtest.AfterSigning(func(a *authtest.Answer) {
			a.ClientDataJSON = bytes.Replace(a.ClientDataJSON, []byte("{"), []byte("{ "), 1)
		}),
		"another key's signature": func(c *authtest.Ceremony) {
			other := &authtest.Authenticator{}
			other.Create(t, beginKeySignUp(t, e, "x@example.com"))
			c.PrivateKey = other.Credentials()[0].PrivateKey
		},
	} {
		if _, err := endKeySignIn(t, e, key.Get(t, beginKeySignIn(t, e, ""), l)); !errors.Is(err, auth.ErrInvalidRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// WA-09.
func TestUserVerificationIsDemandedWhereConfigured(t *testing.T) {
	t.Parallel()
	without := func(c *authtest.Ceremony) { c.Flags &^= authtest.FlagUV }
	e := authtest.New(t, func(c *auth.Config) { c.WebAuthn.UserVerification = auth.UserVerificationRequired })
	key := &authtest.Authenticator{}
	p := e.Principal(t, withKey(t, e, "ada@example.com", key))
	for _, f := range finishes(e, p, key) {
		if err := f.end(f.answer(t, f.begin(t), without)); !errors.Is(err, auth.ErrInvalidRequest) {
			t.Errorf("%s: %v", f.name, err)
		}
	}

	lax := authtest.New(t)
	touch := authtest.NewSecurityKey()
	s := withKey(t, lax, "ada@example.com", touch)
	in, err := endKeySignIn(t, lax, touch.Get(t, beginKeySignIn(t, lax, "ada@example.com")))
	if err != nil {
		t.Fatal(err)
	}
	if p := lax.Principal(t, in.Session); !cmp.Equal(p.AMR, []string{"pop", "user"}) {
		t.Errorf("amr %v", p.AMR)
	}
	list, err := lax.ListSecurityKeys(t.Context(), lax.Principal(t, s))
	if err != nil || list.Keys[0].UserVerified {
		t.Errorf("%v, %v", list, err)
	}
}

// WA-17: a counter that does not grow may mean a copy of the key.
func TestCountersThatDoNotGrow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		allow         bool
		stored, shown uint32
		refused       bool
		left          uint32 // stored afterwards
	}{
		"grown":               {false, 5, 6, false, 6},
		"grown by much":       {false, 5, 500, false, 500},
		"the same":            {false, 5, 5, true, 5},
		"less":                {false, 5, 4, true, 5},
		"none where one was":  {false, 5, 0, true, 5},
		"none at all":         {false, 0, 0, false, 0},
		"one where none was":  {false, 0, 1, false, 1},
		"the same, allowed":   {true, 5, 5, false, 5},
		"less, allowed":       {true, 5, 4, false, 5},
		"the greatest":        {false, 5, 1<<32 - 1, false, 1<<32 - 1},
		"around the greatest": {false, 1<<32 - 1, 0, true, 1<<32 - 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := authtest.New(t, func(x *auth.Config) { x.WebAuthn.AllowRollback = c.allow })
			key := &authtest.Authenticator{}
			p := e.Principal(t, e.SignUp(t, "ada@example.com"))
			options, err := e.AddSecurityKey(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			_, err = e.VerifyAddSecurityKey(t.Context(), p, auth.VerifyAddSecurityKeyParams{
				Credential: key.Create(t, options, func(a *authtest.Ceremony) { a.Counter = c.stored }),
			})
			if err != nil {
				t.Fatal(err)
			}
			_, err = endKeySignIn(t, e, key.Get(t, beginKeySignIn(t, e, ""), func(a *authtest.Ceremony) { a.Counter = c.shown }))
			if c.refused != errors.Is(err, auth.ErrInvalidRequest) || !c.refused && err != nil {
				t.Errorf("%v", err)
			}
			rolledBack := c.shown <= c.stored && (c.shown != 0 || c.stored != 0)
			if n := len(e.Events.Of(auth.EventSignCountRollback)); n != 1 && rolledBack || n != 0 && !rolledBack {
				t.Errorf("%d events", n)
			}
			a, err := e.Store.User(t.Context(), store.UserQuery{ID: p.UserID, With: store.WithSecurityKeys, Now: e.Clock.Now()})
			if err != nil || a.SecurityKeys[0].SignCount != c.left {
				t.Errorf("stored %d, %v", a.SecurityKeys[0].SignCount, err)
			}
		})
	}
}

// WA-10: the backup state follows the key; eligibility never does.
func TestTheBackupStateFollowsTheKey(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	key := &authtest.Authenticator{NotBackedUp: true}
	p := e.Principal(t, withKey(t, e, "ada@example.com", key))
	for _, backedUp := range []bool{true, false} {
		key.NotBackedUp = !backedUp
		if _, err := endKeySignIn(t, e, key.Get(t, beginKeySignIn(t, e, ""))); err != nil {
			t.Fatal(err)
		}
		list, err := e.ListSecurityKeys(t.Context(), p)
		if err != nil || list.Keys[0].BackedUp != backedUp || !list.Keys[0].BackupEligible {
			t.Errorf("%s, %v", asJSON(list), err)
		}
	}
	for _, backedUp := range []bool{true, false} {
		if added := addKey(t, e, p, &authtest.Authenticator{NotBackedUp: !backedUp}); added.BackedUp != backedUp {
			t.Errorf("a new key: %s", asJSON(added))
		}
	}
}

// WA-20: a credential belongs to whoever registered it first.
func TestACredentialIsRegisteredOnce(t *testing.T) {
	t.Parallel()
	for _, concealed := range []bool{false, true} {
		e := authtest.New(t, func(c *auth.Config) { c.ConcealErrors = concealed })
		key := &authtest.Authenticator{}
		a := e.Principal(t, withKey(t, e, "ada@example.com", key))
		b := e.Principal(t, e.SignUp(t, "bob@example.com"))
		same := func(c *authtest.Ceremony) { c.CredentialID = key.Credentials()[0].ID }
		other := &authtest.Authenticator{Unchecked: true}
		var said []string
		for _, p := range []*auth.Principal{a, b} {
			options, err := e.AddSecurityKey(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			_, err = e.VerifyAddSecurityKey(t.Context(), p, auth.VerifyAddSecurityKeyParams{Credential: other.Create(t, options, same)})
			said = append(said, messageOf(err))
		}
		// Whoever holds a registered key learns nothing about addresses with it.
		for _, email := range []string{"free@example.com", "ada@example.com", "bob@example.com"} {
			_, err := endKeySignUp(t, e, other.Create(t, beginKeySignUp(t, e, email), same))
			said = append(said, messageOf(err))
		}
		for _, s := range said {
			if s != "invalid-request: this security key is registered already" {
				t.Errorf("%q", said)
				break
			}
		}
		if in, err := endKeySignIn(t, e, key.Get(t, beginKeySignIn(t, e, ""))); err != nil || in.Session.User.ID != a.UserID {
			t.Errorf("the first owner: %v", err)
		}
		if n := userCount(t, e.Store); n != 2 {
			t.Errorf("%d users", n)
		}
	}
}

func messageOf(err error) string {
	var known *auth.Error
	if !errors.As(err, &known) {
		return fmt.Sprint(err)
	}
	return string(known.Code) + ": " + known.Message
}

// WA-21: the beginning of a sign-up says nothing about the address; the end only what a password's would.
func TestSignUpWithAPasskeyAndATakenAddress(t *testing.T) {
	t.Parallel()
	for _, concealed := range []bool{false, true} {
		e := authtest.New(t, func(c *auth.Config) { c.ConcealErrors = concealed })
		e.SignUp(t, "ada@example.com")
		free, taken := beginKeySignUp(t, e, "free@example.com"), beginKeySignUp(t, e, "ada@example.com")
		taken.Challenge, taken.User = free.Challenge, free.User
		if diff := cmp.Diff(free, taken); diff != "" {
			t.Error(diff)
		}
		for _, email := range []string{"Ada@Example.com", "late@example.com"} {
			options := beginKeySignUp(t, e, email)
			if email == "late@example.com" { // taken in between
				e.SignUp(t, email)
			}
			letters := len(e.Mailbox.All())
			in, err := endKeySignUp(t, e, (&authtest.Authenticator{}).Create(t, options))
			switch {
			case !concealed:
				if !errors.Is(err, auth.ErrEmailAlreadyInUse) {
					t.Errorf("%s: %v", email, err)
				}
			case err != nil || in.Session != nil:
				t.Errorf("%s: %v, %v", email, in, err)
			case len(e.Mailbox.All()) != letters+1 || e.Mailbox.Last(t, email).Template != "signup-attempt":
				t.Errorf("%s: the owner was not told", email)
			}
		}
	}
}

// PH-08, PH-10, PH-11: whoever signs up first with an address has no claim to it until it is verified.
func TestALaterSignUpWithAPasskeyReplacesAPendingOne(t *testing.T) {
	t.Parallel()
	for name, squat := range map[string]func(t *testing.T, e *authtest.Engine, key *authtest.Authenticator){
		"with a password": func(t *testing.T, e *authtest.Engine, _ *authtest.Authenticator) {
			if _, err := signUp(t, e, "ada@example.com", "the squatter's own", auth.SignUpOptions{DisplayName: "Mallory"}); err != nil {
				t.Fatal(err)
			}
		},
		"with a passkey": func(t *testing.T, e *authtest.Engine, key *authtest.Authenticator) {
			if _, err := endKeySignUp(t, e, key.Create(t, beginKeySignUp(t, e, "ada@example.com"))); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := authtest.New(t)
			squatter, owner := &authtest.Authenticator{}, &authtest.Authenticator{}
			squat(t, e, squatter)
			old := e.Mailbox.Last(t, "ada@example.com").Ticket()
			if _, err := endKeySignUp(t, e, owner.Create(t, beginKeySignUp(t, e, "ada@example.com"))); err != nil {
				t.Fatal(err)
			}
			if _, err := e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: old}); !errors.Is(err, auth.ErrInvalidTicket) {
				t.Errorf("the squatter's link: %v", err)
			}
			v, err := e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: e.Mailbox.Last(t, "ada@example.com").Ticket()})
			if err != nil {
				t.Fatal(err)
			}
			if v.Session.User.DisplayName != "ada@example.com" {
				t.Error("the squatter's name stands")
			}
			if _, err := signIn(t, e, "ada@example.com", "the squatter's own"); !errors.Is(err, auth.ErrInvalidEmailPassword) {
				t.Errorf("the squatter's password: %v", err)
			}
			if len(squatter.Credentials()) > 0 {
				if _, err := endKeySignIn(t, e, squatter.Get(t, beginKeySignIn(t, e, ""))); !errors.Is(err, auth.ErrInvalidRequest) {
					t.Errorf("the squatter's key: %v", err)
				}
			}
			in, err := endKeySignIn(t, e, owner.Get(t, beginKeySignIn(t, e, "")))
			if err != nil || in.Session.User.ID != v.Session.User.ID {
				t.Errorf("the owner's key: %v", err)
			}
			if n := userCount(t, e.Store); n != 1 {
				t.Errorf("%d users", n)
			}
		})
	}
}

// And the other way round.
func TestAPasswordReplacesAPendingPasskey(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	squatter := &authtest.Authenticator{}
	if _, err := endKeySignUp(t, e, squatter.Create(t, beginKeySignUp(t, e, "ada@example.com"))); err != nil {
		t.Fatal(err)
	}
	e.SignUp(t, "ada@example.com")
	if _, err := endKeySignIn(t, e, squatter.Get(t, beginKeySignIn(t, e, ""))); !errors.Is(err, auth.ErrInvalidRequest) {
		t.Errorf("the squatter's key: %v", err)
	}
}

func TestSignUpWithAPasskeyOfDisabledNewUsers(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, func(c *auth.Config) { c.SignUp.DisableNewUsers = true })
	key := &authtest.Authenticator{}
	if _, err := endKeySignUp(t, e, key.Create(t, beginKeySignUp(t, e, "ada@example.com"))); !errors.Is(err, auth.ErrDisabledUser) {
		t.Fatal(err)
	}
	if _, err := endKeySignIn(t, e, key.Get(t, beginKeySignIn(t, e, ""))); !errors.Is(err, auth.ErrDisabledUser) {
		t.Errorf("sign-in: %v", err)
	}
}

// WA-24: what happens to the account between the two halves counts. Its state is told to who has proven the key, and to
// nobody else.
func TestTheAccountChangesDuringASignIn(t *testing.T) {
	t.Parallel()
	yes := true
	for name, c := range map[string]struct {
		change func(t *testing.T, e *authtest.Engine, p *auth.Principal)
		want   error
	}{
		"disabled": {func(t *testing.T, e *authtest.Engine, p *auth.Principal) {
			if _, err := e.UpdateUser(t.Context(), p.UserID, auth.UserUpdate{Disabled: &yes}); err != nil {
				t.Fatal(err)
			}
		}, auth.ErrDisabledUser},
		"no longer verified": {func(t *testing.T, e *authtest.Engine, p *auth.Principal) {
			no := false
			if _, err := e.UpdateUser(t.Context(), p.UserID, auth.UserUpdate{EmailVerified: &no}); err != nil {
				t.Fatal(err)
			}
		}, auth.ErrUnverifiedUser},
		"without the key": {func(t *testing.T, e *authtest.Engine, p *auth.Principal) {
			list, err := e.ListSecurityKeys(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := e.RemoveSecurityKey(t.Context(), p, auth.RemoveSecurityKeyParams{ID: list.Keys[0].ID}); err != nil {
				t.Fatal(err)
			}
		}, auth.ErrInvalidRequest},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := authtest.New(t)
			key := &authtest.Authenticator{}
			p := e.Principal(t, withKey(t, e, "ada@example.com", key))
			named, anybody := beginKeySignIn(t, e, "ada@example.com"), beginKeySignIn(t, e, "")
			c.change(t, e, p)
			for _, options := range []*auth.RequestOptions{named, anybody} {
				if _, err := endKeySignIn(t, e, key.Get(t, options)); !errors.Is(err, c.want) {
					t.Errorf("%v, not %v", err, c.want)
				}
			}
			broken := key.Get(t, beginKeySignIn(t, e, ""), func(c *authtest.Ceremony) { c.Origin = "https://evil.test" })
			if _, err := endKeySignIn(t, e, broken); !errors.Is(err, auth.ErrInvalidRequest) {
				t.Errorf("a wrong answer: %v", err)
			}
			beginKeySignIn(t, e, "ada@example.com") // begins as ever
		})
	}
}

// SI-12: a user who is disabled, or loses the key, while the assertion is being checked does not come in.
func TestTheAccountChangesAtTheLastMoment(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		drop store.UserChange
		want error
	}{
		"disabled":        {store.UserChange{Set: store.UserSet{Disabled: &[]bool{true}[0]}}, auth.ErrDisabledUser},
		"keys dropped":    {store.UserChange{Drop: store.Drop{SecurityKeys: true}}, auth.ErrInvalidRequest},
		"signed out":      {store.UserChange{Drop: store.Drop{Sessions: true}}, auth.ErrInvalidRequest},
		"tickets dropped": {store.UserChange{Drop: store.Drop{AllTickets: true}}, auth.ErrInvalidRequest},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inner := memstore.New()
			var who uuid.UUID
			var armed atomic.Bool
			s := storetest.Break(inner, storetest.Fault{Method: "ChangeUser", Do: func(ctx context.Context) {
				if armed.CompareAndSwap(true, false) {
					change := c.drop
					change.UserID, change.Now = who, authtest.NewClock().Now()
					if _, err := inner.ChangeUser(ctx, change); err != nil {
						t.Error(err)
					}
				}
			}})
			e := authtest.NewWithStore(t, s)
			key := &authtest.Authenticator{}
			p := e.Principal(t, withKey(t, e, "ada@example.com", key))
			who = p.UserID
			answer := key.Get(t, beginKeySignIn(t, e, ""))
			armed.Store(true)
			if _, err := endKeySignIn(t, e, answer); !errors.Is(err, c.want) {
				t.Errorf("%v, not %v", err, c.want)
			}
		})
	}
}

// WA-27: who is asked for cannot be told from the answer.
func TestSignInWithAnAddressTellsNothing(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	key := &authtest.Authenticator{}
	withKey(t, e, "ada@example.com", key)
	e.SignUp(t, "bob@example.com")
	lengths, numbers := map[int]bool{}, map[int]int{}
	for i := range 50 {
		for _, email := range []string{"bob@example.com", fmt.Sprintf("nobody%d@example.com", i)} {
			first, second := beginKeySignIn(t, e, email), beginKeySignIn(t, e, strings.ToUpper(email))
			if diff := cmp.Diff(first.AllowCredentials, second.AllowCredentials); diff != "" {
				t.Errorf("%s: %s", email, diff)
			}
			if first.Challenge == second.Challenge || len(first.AllowCredentials) == 0 {
				t.Errorf("%s: %s", email, asJSON(first))
			}
			if email != "bob@example.com" {
				numbers[len(first.AllowCredentials)]++
			}
			for _, c := range first.AllowCredentials {
				raw, err := base64.RawURLEncoding.DecodeString(c.ID)
				if err != nil || len(raw) < 16 || c.Type != "public-key" {
					t.Errorf("%s: %s", email, asJSON(c))
				}
				lengths[len(raw)] = true
			}
		}
	}
	if len(lengths) < 3 {
		t.Errorf("decoys of %d lengths", len(lengths))
	}
	if numbers[1] <= numbers[2] || numbers[2] == 0 || len(numbers) != 2 { // a quarter has two
		t.Errorf("so many addresses by the number of their decoys: %v", numbers)
	}
	if cmp.Equal(beginKeySignIn(t, e, "x@example.com").AllowCredentials, beginKeySignIn(t, e, "y@example.com").AllowCredentials) {
		t.Error("two addresses have the same decoys")
	}
	// Nor from the end: for a decoy and for a real key that signs wrongly.
	decoy := beginKeySignIn(t, e, "nobody@example.com")
	id, _ := base64.RawURLEncoding.DecodeString(decoy.AllowCredentials[0].ID)
	forger := key.Clone()
	forger.Unchecked = true
	_, errDecoy := endKeySignIn(t, e, forger.Get(t, decoy, func(c *authtest.Ceremony) { c.CredentialID = id }))
	_, errReal := endKeySignIn(t, e, forger.Get(t, beginKeySignIn(t, e, "ada@example.com"), authtest.AfterSigning(func(a *authtest.Answer) { a.Signature[9] ^= 1 })))
	if messageOf(errDecoy) != messageOf(errReal) {
		t.Errorf("%v, %v", errDecoy, errReal)
	}
}

// WA-25: beginnings do not stand in one another's way, and somebody else's do not void one's own.
func TestManyBeginnings(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	key := &authtest.Authenticator{}
	withKey(t, e, "ada@example.com", key)
	mine := beginKeySignIn(t, e, "ada@example.com")
	parallel(500, func() {
		if _, err := e.SignInWebAuthn(background, auth.SignInWebAuthnParams{Email: "ada@example.com"}); err != nil {
			t.Error(err)
		}
	})
	if _, err := endKeySignIn(t, e, key.Get(t, mine)); err != nil {
		t.Error(err)
	}
}

func TestModelsOfAuthenticators(t *testing.T) {
	t.Parallel()
	good, bad := uuid.MustParse("ee882879-721c-4913-9775-3dfcce97072a"), uuid.MustParse("d548826e-79b4-db40-a3d8-11116f7e8349")
	for name, c := range map[string]struct {
		allowed, denied []uuid.UUID
		model           uuid.UUID
		ok              bool
	}{
		"no rule":                 {nil, nil, bad, true},
		"allowed":                 {[]uuid.UUID{good}, nil, good, true},
		"not allowed":             {[]uuid.UUID{good}, nil, bad, false},
		"none, and not allowed":   {[]uuid.UUID{good}, nil, uuid.Nil, false},
		"none, and allowed":       {[]uuid.UUID{uuid.Nil}, nil, uuid.Nil, true},
		"denied":                  {nil, []uuid.UUID{bad}, bad, false},
		"another than the denied": {nil, []uuid.UUID{bad}, good, true},
	} {
		e := authtest.New(t, func(x *auth.Config) { x.WebAuthn.AllowedAAGUIDs, x.WebAuthn.DeniedAAGUIDs = c.allowed, c.denied })
		key := &authtest.Authenticator{AAGUID: c.model, Unchecked: true}
		_, err := endKeySignUp(t, e, key.Create(t, beginKeySignUp(t, e, "ada@example.com")))
		if c.ok != (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil {
			continue
		}
		list, err := e.ListSecurityKeys(t.Context(), e.Principal(t, followLink(t, e, "ada@example.com").Session))
		if err != nil || len(list.Keys) != 1 || list.Keys[0].AAGUID != c.model {
			t.Errorf("%s: %s, %v", name, asJSON(list), err)
		}
	}
}

// Every algorithm that is offered works from end to end, here those that the software authenticator has.
func TestAlgorithms(t *testing.T) {
	t.Parallel()
	for name, algorithm := range map[string]int{"ES256": authtest.ES256, "EdDSA": authtest.EdDSA, "RS256": authtest.RS256} {
		e := authtest.New(t, unverified)
		key := &authtest.Authenticator{Algorithm: algorithm, Attestation: "packed", Unchecked: true}
		if _, err := endKeySignUp(t, e, key.Create(t, beginKeySignUp(t, e, "ada@example.com"))); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := endKeySignIn(t, e, key.Get(t, beginKeySignIn(t, e, ""))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHooksSeePasskeys(t *testing.T) {
	t.Parallel()
	var methods []string
	var amr [][]string
	refuse := errors.New("no")
	e := authtest.New(t, unverified, func(c *auth.Config) {
		c.Hooks.BeforeSignUp = func(_ context.Context, s *auth.SignUp) error {
			methods = append(methods, s.Method)
			if s.Email == "no@example.com" {
				return refuse
			}
			return nil
		}
		c.Hooks.BeforeSession = func(_ context.Context, _ *auth.User, m []string) error { amr = append(amr, m); return nil }
	})
	if _, err := endKeySignUp(t, e, (&authtest.Authenticator{}).Create(t, beginKeySignUp(t, e, "ada@example.com"))); err != nil {
		t.Fatal(err)
	}
	if _, err := endKeySignUp(t, e, (&authtest.Authenticator{}).Create(t, beginKeySignUp(t, e, "no@example.com"))); !errors.Is(err, refuse) {
		t.Errorf("%v", err)
	}
	if diff := cmp.Diff([]string{"webauthn", "webauthn"}, methods); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([][]string{{"pop", "user", "mfa"}}, amr); diff != "" {
		t.Error(diff)
	}
	if n := userCount(t, e.Store); n != 1 {
		t.Errorf("%d users", n)
	}
}

// The rules for addresses hold at both ends of a ceremony: they, or the account, may change in between.
func TestTheEndOfACeremonyChecksTheAddress(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	blocking := replica(t, e, func(c *auth.Config) { c.Email.BlockedDomains = []string{"example.com"} })
	answer := (&authtest.Authenticator{}).Create(t, beginKeySignUp(t, e, "new@example.com"))
	if _, err := endKeySignUp(t, blocking, answer); !errors.Is(err, auth.ErrInvalidEmailPassword) {
		t.Errorf("sign-up: %v", err)
	}
	p := e.Principal(t, e.SignUp(t, "ada@example.com"))
	options, err := e.AddSecurityKey(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	_, err = blocking.VerifyAddSecurityKey(t.Context(), p, auth.VerifyAddSecurityKeyParams{Credential: (&authtest.Authenticator{}).Create(t, options)})
	if !errors.Is(err, auth.ErrInvalidEmailPassword) {
		t.Errorf("addition: %v", err)
	}
	if n := userCount(t, e.Store); n != 1 {
		t.Errorf("%d users", n)
	}
}

// Whoever signs up with somebody's address learns nothing from their own key: not that the address was free, nor that it
// waits to be proven, nor that new users are disabled.
func TestOnesOwnKeyTellsNothingOfAnAddress(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ disableNew, lax bool }{{false, false}, {true, false}, {true, true}} {
		disableNew := c.disableNew
		e := authtest.New(t, func(c *auth.Config) { c.ConcealErrors = true })
		e.SignUp(t, "taken@example.com")
		e = replica(t, e, func(x *auth.Config) {
			x.ConcealErrors, x.SignUp.DisableNewUsers, x.Email.AllowUnverified = true, disableNew, c.lax
		})
		pendingKey := &authtest.Authenticator{}
		if _, err := endKeySignUp(t, e, pendingKey.Create(t, beginKeySignUp(t, e, "pending@example.com"))); err != nil && !disableNew {
			t.Fatal(err)
		}
		for _, email := range []string{"free@example.com", "pending@example.com", "taken@example.com"} {
			key := &authtest.Authenticator{}
			in, err := endKeySignUp(t, e, key.Create(t, beginKeySignUp(t, e, email)))
			if disableNew != (err != nil) || err != nil && messageOf(err) != "invalid-request: The request payload is incorrect" || in != nil && in.Session != nil {
				t.Errorf("%s: sign-up: %v, %v", email, in, err)
			}
			id := base64.RawURLEncoding.EncodeToString(key.Credentials()[0].ID)
			for _, c := range beginKeySignIn(t, e, email).AllowCredentials {
				if c.ID == id {
					t.Errorf("%s: the key is named", email)
				}
			}
			forced := key.Clone()
			forced.Unchecked = true
			for _, named := range []string{"", email} {
				if _, err := endKeySignIn(t, e, forced.Get(t, beginKeySignIn(t, e, named))); messageOf(err) != "invalid-request: the credential could not be verified" {
					t.Errorf("%s: sign-in as %q: %v", email, named, err)
				}
			}
		}
	}
}

// The same round trips, whatever an address and a key collide with.
func TestTheEndOfAConcealedSignUpTakesTheSameTrips(t *testing.T) {
	t.Parallel()
	s := storetest.Count(memstore.New())
	e := authtest.NewWithStore(t, s, func(c *auth.Config) { c.ConcealErrors = true })
	e.SignUp(t, "taken@example.com")
	pendingUser(t, e, "pending@example.com")
	ends := func(e *authtest.Engine, email string, want int) {
		t.Helper()
		answer := (&authtest.Authenticator{}).Create(t, beginKeySignUp(t, e, email))
		s.Reset()
		if _, err := endKeySignUp(t, e, answer); err != nil {
			t.Fatal(err)
		}
		if got := s.Trips(); got != want {
			t.Errorf("%s: %d trips %v", email, got, s.Calls())
		}
	}
	for _, email := range []string{"free@example.com", "pending@example.com", "taken@example.com"} {
		ends(e, email, 5)
	}
	ends(replica(t, e), "open@example.com", 3) // where nothing is concealed
}

// Whoever begins a sign-up with a challenge of their own gets a code when they follow the link.
func TestTheLetterOfASignUpWithAPasskeyBringsACode(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	begun, err := e.SignUpWebAuthn(t.Context(), auth.SignUpWebAuthnParams{Email: "ada@example.com", Options: auth.SignUpOptions{DisplayName: "Ada"}})
	if err != nil || begun.User.Name != "ada@example.com" || begun.User.DisplayName != "Ada" {
		t.Fatalf("%+v, %v", begun, err)
	}
	params := auth.VerifySignUpWebAuthnParams{Credential: (&authtest.Authenticator{}).Create(t, begun), CodeChallenge: challengeFor(verifier)}
	if _, err := e.VerifySignUpWebAuthn(t.Context(), params); err != nil {
		t.Fatal(err)
	}
	in, err := e.ExchangeCode(t.Context(), auth.ExchangeCodeParams{Code: followLink(t, e, "ada@example.com").Code, CodeVerifier: verifier})
	if err != nil || in.Session.User.Email != "ada@example.com" {
		t.Errorf("%v, %v", in, err)
	}
}

// The format of an attestation is kept where one was asked for.
func TestWhichAttestationsAreKept(t *testing.T) {
	t.Parallel()
	for attestation, want := range map[string]string{"none": "none", "direct": "packed"} {
		e := authtest.New(t, unverified, func(c *auth.Config) { c.WebAuthn.Attestation = attestation })
		s := withKey(t, e, "ada@example.com", &authtest.Authenticator{Attestation: "packed"})
		a, err := e.Store.User(t.Context(), store.UserQuery{ID: s.User.ID, With: store.WithSecurityKeys, Now: e.Clock.Now()})
		if err != nil || len(a.SecurityKeys) != 1 || a.SecurityKeys[0].AttestationFormat != want {
			t.Errorf("%s: %+v, %v", attestation, a.SecurityKeys, err)
		}
	}
}

// pendingUser signs somebody up with a password whose address stays unproven.
func pendingUser(t *testing.T, e *authtest.Engine, email string) {
	t.Helper()
	if _, err := signUp(t, e, email, authtest.Password, auth.SignUpOptions{}); err != nil {
		t.Fatal(err)
	}
}

// A decoy cannot be told from a real key by trying to register it, nor by its transports, nor by a new secret.
func TestDecoysAreLikeKeys(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	p := e.Principal(t, e.SignUp(t, "ada@example.com"))
	adding, err := e.AddSecurityKey(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	unsorted := authtest.AfterSigning(func(a *authtest.Answer) { a.Transports = []string{"internal", "hybrid"} })
	_, err = e.VerifyAddSecurityKey(t.Context(), p, auth.VerifyAddSecurityKeyParams{Credential: (&authtest.Authenticator{}).Create(t, adding, unsorted)})
	if err != nil {
		t.Fatal(err)
	}
	real := beginKeySignIn(t, e, "ada@example.com").AllowCredentials
	if !cmp.Equal(real[0].Transports, []string{"hybrid", "internal"}) {
		t.Errorf("transports %v", real[0].Transports)
	}
	other := &authtest.Authenticator{Unchecked: true}
	for i := range 20 {
		for _, c := range append(beginKeySignIn(t, e, fmt.Sprintf("nobody%d@example.com", i)).AllowCredentials, real...) {
			if !slices.IsSorted(c.Transports) {
				t.Errorf("transports %v", c.Transports)
			}
			id, err := base64.RawURLEncoding.DecodeString(c.ID)
			if err != nil {
				t.Fatal(err)
			}
			same := func(c *authtest.Ceremony) { c.CredentialID = id }
			_, err = endKeySignUp(t, e, other.Create(t, beginKeySignUp(t, e, "free@example.com"), same))
			if messageOf(err) != "invalid-request: this security key is registered already" {
				t.Errorf("sign-up: %v", err)
			}
			options, err := e.AddSecurityKey(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			_, err = e.VerifyAddSecurityKey(t.Context(), p, auth.VerifyAddSecurityKeyParams{Credential: other.Create(t, options, same)})
			if messageOf(err) != "invalid-request: this security key is registered already" {
				t.Errorf("addition: %v", err)
			}
		}
	}
	var first auth.Secret
	before := authtest.New(t, func(c *auth.Config) { first = c.Secret })
	after := authtest.New(t, func(c *auth.Config) {
		c.PreviousSecrets, c.Secret = []auth.Secret{first}, auth.Secret(strings.Repeat("n", 32))
	})
	if diff := cmp.Diff(beginKeySignIn(t, before, "x@example.com").AllowCredentials, beginKeySignIn(t, after, "x@example.com").AllowCredentials); diff != "" {
		t.Errorf("another secret changes the decoys: %s", diff)
	}
}

// What a caller does to the options that they got is nobody else's.
func TestOptionsAreTheCallersOwn(t *testing.T) {
	t.Parallel()
	inputs, hints := map[string]any{"prf": map[string]any{"eval": map[string]any{}}}, []string{"security-key"}
	e := authtest.New(t, func(c *auth.Config) {
		c.WebAuthn.CreateExtensions, c.WebAuthn.GetExtensions, c.WebAuthn.Hints = inputs, inputs, hints
	})
	parallel(20, func() {
		create, err := e.SignUpWebAuthn(background, auth.SignUpWebAuthnParams{Email: "ada@example.com"})
		if err != nil {
			t.Error(err)
			return
		}
		get, err := e.SignInWebAuthn(background, auth.SignInWebAuthnParams{})
		if err != nil {
			t.Error(err)
			return
		}
		for _, m := range []map[string]any{create.Extensions, get.Extensions} {
			m["prf"].(map[string]any)["eval"].(map[string]any)["first"] = "mine"
			m["mine"] = true
		}
		create.Hints[0], get.Hints[0] = "mine", "mine"
	})
	hints[0], inputs["theirs"] = "theirs", true
	o := beginKeySignUp(t, e, "bob@example.com")
	if text := asJSON(o); strings.Contains(text, "mine") || strings.Contains(text, "theirs") {
		t.Error(text)
	}
}

// Metadata come back as they were, as long as they were, whatever is in them.
func TestMetadataSurviveASignUpWithAPasskey(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, unverified)
	for _, metadata := range []string{`{"a":"` + strings.Repeat("<", 16000) + `"}`, `{"a":"&>\u2028"}`, "", "null", "{}"} {
		key := &authtest.Authenticator{}
		options, err := e.SignUpWebAuthn(t.Context(), auth.SignUpWebAuthnParams{
			Email: uuid.NewString() + "@example.com", Options: auth.SignUpOptions{Metadata: json.RawMessage(metadata)},
		})
		if err != nil {
			t.Errorf("%.20s: begin: %v", metadata, err)
			continue
		}
		in, err := endKeySignUp(t, e, key.Create(t, options))
		if err != nil {
			t.Errorf("%.20s: %v", metadata, err)
			continue
		}
		want := metadata
		if want == "null" {
			want = ""
		}
		if got := string(in.Session.User.Metadata); got != want {
			t.Errorf("%.40s, not %.40s", got, want)
		}
	}
}

// One user has one handle, also where a sign-up took the place of another.
func TestAUserHasOneHandle(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	pendingUser(t, e, "ada@example.com")
	first, second := &authtest.Authenticator{}, &authtest.Authenticator{}
	options := beginKeySignUp(t, e, "ada@example.com")
	if _, err := endKeySignUp(t, e, first.Create(t, options)); err != nil {
		t.Fatal(err)
	}
	v, err := e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: e.Mailbox.Last(t, "ada@example.com").Ticket()})
	if err != nil {
		t.Fatal(err)
	}
	p := e.Principal(t, v.Session)
	adding, err := e.AddSecurityKey(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	list, err := e.ListSecurityKeys(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range []string{adding.User.ID, list.Signals.AllAcceptedCredentials.UserID, list.Signals.CurrentUserDetails.UserID} {
		if got != options.User.ID {
			t.Errorf("handle %s, not %s", got, options.User.ID)
		}
	}
	addKey(t, e, p, second)
	for _, key := range []*authtest.Authenticator{first, second} {
		if in, err := endKeySignIn(t, e, key.Get(t, beginKeySignIn(t, e, ""))); err != nil || in.Session.User.ID != p.UserID {
			t.Errorf("sign-in: %v", err)
		}
	}
}

// Who has nothing to step up with adds a key by a sign-in of a moment ago, which that of a program is not.
func TestATokenAddsNoKeyForWhoCannotStepUp(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, func(c *auth.Config) {
		c.WebAuthn.UserVerification = auth.UserVerificationDiscouraged
		c.Elevation.UserVerification, c.Elevation.Methods = auth.UserVerificationRequired, []auth.ElevationMethod{auth.ElevateByWebAuthn}
	})
	p := e.Principal(t, e.SignUp(t, "ada@example.com"))
	pat := createPAT(t, e, p, time.Hour)
	addKey(t, e, p, &authtest.Authenticator{NoUserVerification: true})
	if _, err := e.AddSecurityKey(t.Context(), p); err != nil {
		t.Errorf("themselves: %v", err)
	}
	s, err := signInPAT(t, e, pat.Token)
	if err != nil {
		t.Fatal(err)
	}
	if options, err := e.AddSecurityKey(t.Context(), e.Principal(t, s)); !errors.Is(err, auth.ErrElevationRequired) || options != nil {
		t.Errorf("by a token: %v, %v", options, err)
	}
}
