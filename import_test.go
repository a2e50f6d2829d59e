package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
)

// importedPassword is the password of the hashes that other systems have made: see internal/passhash.
const importedPassword = "correct horse"

const djangoHash = "pbkdf2_sha256$1000$seasaltseasalt$nFEtiBJrsFKs/zt16fe0xZYOaKEZwkghPKgXrtcV9Hc="

func TestAnImportedUserIsWhoTheyWere(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, func(c *auth.Config) {
		c.MFA, c.Roles.Allowed = &auth.MFAConfig{}, []string{"user"}
		c.Locales.Allowed = []string{"fr"}
	})
	const secret = "JBSWY3DPEHPK3PXP"
	born := time.Date(2019, 5, 4, 3, 2, 1, 123456789, time.UTC)
	p := auth.ImportUserParams{
		ID: uuid.MustParse("7a3f2f5c-7c4b-4c1d-9a58-0f1e2d3c4b5a"), CreatedAt: born,
		Email: "Ada@Example.com", EmailVerified: true, Phone: "+41 79 123 45 67", PhoneVerified: true,
		PasswordHash: djangoHash, TOTPSecret: "jbsw y3dp ehpk 3pxp",
		Identities: []auth.ImportIdentity{{Provider: "github", Subject: "1", Email: "ada@github.example"}, {Provider: "google", Subject: "2"}},
		Options: auth.SignUpOptions{
			AllowedRoles: []string{"user", "editor"}, DefaultRole: "editor", DisplayName: "Ada <King>, Countess of Lovelace & more",
			Locale: "fr", Metadata: json.RawMessage(`{"plan":"pro"}`),
		},
		AvatarURL: "https://example.com/ada.png",
	}
	got, err := e.ImportUser(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	mfa := "totp"
	want := &auth.User{
		ActiveMFAType: &mfa, AvatarURL: p.AvatarURL, CreatedAt: born.Truncate(time.Microsecond), DefaultRole: "editor",
		DisplayName: p.Options.DisplayName, Email: "Ada@Example.com", EmailVerified: true, ID: p.ID, Locale: "fr",
		Metadata: p.Options.Metadata, PhoneNumber: "+41791234567", PhoneNumberVerified: true, Roles: []string{"user", "editor"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the user (-want +got):\n%s", diff)
	}
	for _, i := range p.Identities {
		q := store.UserQuery{Identity: store.IdentityKey{Provider: i.Provider, Subject: i.Subject}, Now: e.Clock.Now(), With: store.WithIdentities}
		a, err := e.Store.User(t.Context(), q)
		if err != nil || a.ID != p.ID {
			t.Errorf("%s leads to %s: %v", i.Provider, a.ID, err)
		}
		want := store.Identity{
			Provider: i.Provider, Subject: i.Subject, UserID: p.ID, Email: i.Email,
			CreatedAt: born.Truncate(time.Microsecond), LastUsedAt: born.Truncate(time.Microsecond),
		}
		if !slices.ContainsFunc(a.Identities, func(got store.Identity) bool { return cmp.Equal(want, got) }) {
			t.Errorf("%+v is not among %+v", want, a.Identities)
		}
	}

	in, err := signIn(t, e, "ada@example.com", importedPassword)
	if err != nil {
		t.Fatal(err)
	}
	if in.MFA == nil {
		t.Fatal("no second factor is asked for")
	}
	verified, err := e.VerifyMFA(t.Context(), auth.VerifyMFAParams{Ticket: in.MFA.Ticket, OTP: authtest.TOTPCode(t, secret, e.Clock.Now())})
	if err != nil {
		t.Fatal(err)
	}
	if verified.Session.User.ID != p.ID {
		t.Errorf("signed in as %s", verified.Session.User.ID)
	}
	if letters := e.Mailbox.All(); len(letters) > 0 {
		t.Errorf("%d letters were sent", len(letters))
	}
}

func TestAnImportedUserNeedsNoAddress(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, func(c *auth.Config) { c.Gravatar = &auth.GravatarConfig{} })
	for _, p := range []auth.ImportUserParams{
		{Phone: "+41791234567", EmailVerified: true},
		{Identities: []auth.ImportIdentity{{Provider: "github", Subject: "1"}}, PhoneVerified: true},
	} {
		u, err := e.ImportUser(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		if u.EmailVerified || u.PhoneNumberVerified || u.AvatarURL != "" || !u.CreatedAt.Equal(e.Clock.Now()) {
			t.Errorf("%+v, of whom nothing is verified", u)
		}
		a, err := e.Store.User(t.Context(), store.UserQuery{ID: u.ID, Now: e.Clock.Now(), With: store.WithIdentities})
		if err != nil || len(a.Identities) != len(p.Identities) {
			t.Errorf("%d identities, %v", len(a.Identities), err)
		}
	}
	if u, err := e.ImportUser(t.Context(), auth.ImportUserParams{Email: "ada@example.com"}); err != nil || u.AvatarURL != adasPicture {
		t.Errorf("%s, %v", asJSON(u), err)
	}
}

// Whoever was kept out elsewhere is kept out here, and all that they had comes along.
func TestADisabledUserIsImportedWhole(t *testing.T) {
	t.Parallel()
	var e *authtest.Engine
	c := &complete{Store: memstore.New(), now: func() time.Time { return e.Clock.Now() }, missing: map[string]bool{}}
	e = authtest.NewWithStore(t, c)
	p := auth.ImportUserParams{Email: "ada@example.com", EmailVerified: true, Disabled: true, PasswordHash: djangoHash}
	for _, provider := range []string{"github", "gitlab", "google"} {
		p.Identities = append(p.Identities, auth.ImportIdentity{Provider: provider, Subject: "1"})
	}
	u, err := e.ImportUser(t.Context(), p)
	if err != nil || !u.Disabled {
		t.Fatalf("%s, %v", asJSON(u), err)
	}
	for what := range c.missing {
		t.Error(what)
	}
	a, err := e.Store.User(t.Context(), store.UserQuery{ID: u.ID, Now: e.Clock.Now(), With: store.WithIdentities})
	if err != nil || len(a.Identities) != len(p.Identities) {
		t.Errorf("%d identities, %v", len(a.Identities), err)
	}
	_, err = signIn(t, e, "ada@example.com", importedPassword)
	wantErr(t, err, auth.ErrDisabledUser)
}

// ST-24: the hook of sign-ups refuses imports as well.
func TestAHookDecidesOnImports(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, func(c *auth.Config) {
		c.Hooks.BeforeSignUp = func(_ context.Context, s *auth.SignUp) error {
			if s.Method != "import" || s.Email != "ada@example.com" || s.Phone != "+41791234567" {
				t.Errorf("the hook sees %+v", s)
			}
			return errForbidden
		}
	})
	u, err := e.ImportUser(t.Context(), auth.ImportUserParams{Email: "ada@example.com", Phone: "+41791234567"})
	wantErr(t, err, errForbidden)
	if n := userCount(t, e.Store); u != nil || n != 0 {
		t.Errorf("%s, and %d users", asJSON(u), n)
	}
}

func TestAnImportIsWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	full := errors.New("the disk is full")
	var fail error
	e := authtest.New(t, func(c *auth.Config) {
		c.Hooks.UserCreated = func(context.Context, *auth.User) error { return fail }
	})
	ada := auth.ImportUserParams{
		ID: uuid.New(), Email: "ada@example.com", Phone: "+41791234567",
		Identities: []auth.ImportIdentity{{Provider: "github", Subject: "1"}, {Provider: "google", Subject: "1"}},
	}
	if _, err := e.ImportUser(t.Context(), ada); err != nil {
		t.Fatal(err)
	}
	bob := auth.ImportUserParams{
		ID: uuid.New(), Email: "bob@example.com", Phone: "+41791234568",
		Identities: []auth.ImportIdentity{{Provider: "github", Subject: "2"}, {Provider: "google", Subject: "2"}},
	}
	for name, w := range map[string]struct {
		amend func(p *auth.ImportUserParams)
		hook  error
		err   error
	}{
		"a taken id":              {func(p *auth.ImportUserParams) { p.ID = ada.ID }, nil, auth.ErrInvalidRequest},
		"a taken address":         {func(p *auth.ImportUserParams) { p.Email = "ADA@example.com" }, nil, auth.ErrEmailAlreadyInUse},
		"a taken number":          {func(p *auth.ImportUserParams) { p.Phone = ada.Phone }, nil, auth.ErrInvalidRequest},
		"the first identity":      {func(p *auth.ImportUserParams) { p.Identities[0].Subject = "1" }, nil, auth.ErrProviderAccountLinked},
		"the second identity":     {func(p *auth.ImportUserParams) { p.Identities[1].Subject = "1" }, nil, auth.ErrProviderAccountLinked},
		"the hook, at the end":    {func(*auth.ImportUserParams) {}, full, auth.ErrInternal},
		"the hook of the service": {func(*auth.ImportUserParams) {}, auth.ErrSignUpDisabled, auth.ErrSignUpDisabled},
	} {
		p := bob
		p.Identities = append([]auth.ImportIdentity(nil), bob.Identities...)
		w.amend(&p)
		fail = w.hook
		if _, err := e.ImportUser(t.Context(), p); !errors.Is(err, w.err) {
			t.Errorf("%s: %v, want %v", name, err, w.err)
		}
		if users, err := e.ListUsers(t.Context(), uuid.Nil, 10); err != nil || len(users) != 1 {
			t.Errorf("%s: %d users, %v; want one", name, len(users), err)
		}
	}
	fail = nil
	if _, err := e.ImportUser(t.Context(), bob); err != nil {
		t.Errorf("nothing of Bob was left behind: %v", err)
	}
}

func TestImportsThatAreRefused(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, func(c *auth.Config) { c.Roles.Allowed = []string{"user"} })
	tomorrow := e.Clock.Now().Add(24 * time.Hour)
	identity := func(provider, subject string) auth.ImportUserParams {
		return auth.ImportUserParams{Identities: []auth.ImportIdentity{{Provider: provider, Subject: subject}}}
	}
	totp := func(secret string) auth.ImportUserParams {
		return auth.ImportUserParams{Email: "ada@example.com", TOTPSecret: secret}
	}
	options := func(o auth.SignUpOptions) auth.ImportUserParams {
		return auth.ImportUserParams{Email: "ada@example.com", Options: o}
	}
	twice := identity("github", "1")
	twice.Identities = append(twice.Identities, twice.Identities...)
	for name, w := range map[string]struct {
		p   auth.ImportUserParams
		err error
	}{
		"nobody":                       {auth.ImportUserParams{}, auth.ErrInvalidRequest},
		"no address":                   {auth.ImportUserParams{Email: "ada"}, auth.ErrInvalidRequest},
		"no number":                    {auth.ImportUserParams{Phone: "079"}, auth.ErrInvalidRequest},
		"somebody from the future":     {auth.ImportUserParams{Email: "ada@example.com", CreatedAt: tomorrow}, auth.ErrInvalidRequest},
		"a secret that is not base32":  {totp("0189018901890189"), auth.ErrInvalidRequest},
		"a secret that ends otherwise": {totp("JBSWY3DPEHPK3PXPJBSWY3DP1"), auth.ErrInvalidRequest},
		"a secret of 9 bytes":          {totp("JBSWY3DPEHPK3PX"), auth.ErrInvalidRequest},
		"a secret of 65 bytes":         {totp(strings.Repeat("A", 8*13)), auth.ErrInvalidRequest},
		"a provider without a name":    {identity("", "1"), auth.ErrInvalidRequest},
		"a provider of another form":   {identity("GitHub", "1"), auth.ErrInvalidRequest},
		"an identity of nobody":        {identity("github", ""), auth.ErrInvalidRequest},
		"an identity of a long id":     {identity("github", strings.Repeat("1", 256)), auth.ErrInvalidRequest},
		"an identity of two lines":     {identity("github", "1\n2"), auth.ErrInvalidRequest},
		"an identity twice":            {twice, auth.ErrInvalidRequest},
		"a role with a blank":          {options(auth.SignUpOptions{AllowedRoles: []string{"user", "a b"}}), auth.ErrInvalidRequest},
		"a default role of nobody":     {options(auth.SignUpOptions{DefaultRole: "admin"}), auth.ErrDefaultRoleNotAllowed},
		"metadata that is no object":   {options(auth.SignUpOptions{Metadata: json.RawMessage(`1`)}), auth.ErrInvalidRequest},
	} {
		if _, err := e.ImportUser(t.Context(), w.p); !errors.Is(err, w.err) {
			t.Errorf("%s: %v, want %v", name, err, w.err)
		} else if w.p.TOTPSecret != "" && strings.Contains(err.Error(), w.p.TOTPSecret) {
			t.Errorf("%s: the error repeats the secret: %v", name, err)
		}
	}
	for bytes, secret := range map[int]string{10: strings.Repeat("A", 16), 64: strings.Repeat("A", 103)} {
		p := totp(secret)
		p.Email = fmt.Sprintf("user%d@example.com", bytes)
		if _, err := e.ImportUser(t.Context(), p); err != nil {
			t.Errorf("a secret of %d bytes: %v", bytes, err)
		}
	}
	p := auth.ImportUserParams{PasswordHash: djangoHash, TOTPSecret: "JBSWY3DPEHPK3PXP"}
	if text := fmt.Sprintf("%v %+v %#v %s", p, p, &p, p.LogValue()); strings.Contains(text, "nFEti") || strings.Contains(text, "JBSWY") {
		t.Errorf("they print as %s", text)
	}
}

// What nobody has shown to be theirs is not so because it was imported.
func TestAnUnverifiedAddressStaysSo(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	if _, err := e.ImportUser(t.Context(), auth.ImportUserParams{Email: "ada@example.com", PasswordHash: djangoHash}); err != nil {
		t.Fatal(err)
	}
	_, err := signIn(t, e, "ada@example.com", importedPassword)
	wantErr(t, err, auth.ErrUnverifiedUser)
}
