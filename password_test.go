package auth_test

import (
	"context"
	"crypto/sha1"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"golang.org/x/crypto/bcrypt"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/limit"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/storetest"
)

func signUp(t *testing.T, e *authtest.Engine, email, password string, o auth.SignUpOptions) (*auth.SignInResult, error) {
	t.Helper()
	return e.SignUpPassword(t.Context(), auth.SignUpPasswordParams{Email: email, Password: password, Options: o})
}

func signIn(t *testing.T, e *authtest.Engine, email, password string) (*auth.SignInResult, error) {
	t.Helper()
	return e.SignInPassword(t.Context(), auth.SignInPasswordParams{Email: email, Password: password})
}

func unverified(c *auth.Config) { c.Email.AllowUnverified = true }

func userCount(t *testing.T, s store.Store) int {
	t.Helper()
	users, err := s.Users(t.Context(), uuid.Nil, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return len(users)
}

func TestSignUpWithoutVerificationOpensASession(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, unverified, func(c *auth.Config) {
		c.Roles.Allowed = []string{"me", "editor"}
		c.Locales.Allowed = []string{"cs"}
		c.Gravatar = &auth.GravatarConfig{Default: "retro"}
	})
	in, err := signUp(t, e, "Test@Example.com", authtest.Password, auth.SignUpOptions{
		AllowedRoles: []string{"user", "editor", "user"}, DefaultRole: "editor", DisplayName: "Ada L.", Locale: "cs",
		Metadata: json.RawMessage(`{ "a": [1, "b"] }`),
	})
	if err != nil {
		t.Fatal(err)
	}
	got := *in.Session.User
	want := auth.User{
		ID: got.ID, CreatedAt: e.Clock.Now(), Email: "Test@Example.com", DisplayName: "Ada L.", Locale: "cs",
		DefaultRole: "editor", Roles: []string{"user", "editor"}, Metadata: json.RawMessage(`{"a":[1,"b"]}`),
		AvatarURL: "https://www.gravatar.com/avatar/55502f40dc8b7c769880b10874abc9d0?d=retro&r=g",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if signedIn := e.Events.Of(auth.EventSignedIn); len(signedIn) != 1 || signedIn[0].Method != "password" {
		t.Errorf("recorded: %+v", signedIn)
	}
	p := e.Principal(t, in.Session)
	if p.UserID != got.ID || p.SessionID != in.Session.RefreshTokenID || p.Anonymous || p.Elevated || !cmp.Equal(p.AMR, []string{"pwd"}) {
		t.Errorf("principal %+v", p)
	}
	stored, err := e.User(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, *stored); diff != "" {
		t.Errorf("read back: %s", diff)
	}
	if len(e.Mailbox.All()) != 0 {
		t.Error("a letter was sent")
	}
}

// SU-16: no session before the address is proven, and the state of the account only to who knows the password.
func TestSignUpWithVerificationWaitsForTheProof(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	in, err := signUp(t, e, "ada@example.com", authtest.Password, auth.SignUpOptions{RedirectTo: "https://app.test/welcome?a=1"})
	if err != nil || in.Session != nil {
		t.Fatalf("got %v, %v", in.Session, err)
	}
	_, err = signIn(t, e, "ada@example.com", authtest.Password)
	wantErr(t, err, auth.ErrUnverifiedUser)
	_, err = signIn(t, e, "ada@example.com", "not the password")
	wantErr(t, err, auth.ErrInvalidEmailPassword)

	letter := e.Mailbox.Last(t, "ada@example.com")
	link := "https://auth.test/v1/verify?redirectTo=https%3A%2F%2Fapp.test%2Fwelcome%3Fa%3D1&ticket=verifyEmail%3A"
	if !strings.HasPrefix(letter.Link(), link) || !strings.HasSuffix(letter.Link(), "&type=emailVerify") {
		t.Errorf("link %q", letter.Link())
	}
	if !strings.Contains(letter.Text, letter.Link()) {
		t.Error("the text does not have the link")
	}
	v, err := e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: letter.Ticket(), RedirectTo: "https://app.test/welcome"})
	if err != nil {
		t.Fatal(err)
	}
	if v.Kind != "verifyEmail" || v.RedirectTo != "https://app.test/welcome" || !v.Session.User.EmailVerified {
		t.Errorf("got %+v", v)
	}
	if _, err = signIn(t, e, "ada@example.com", authtest.Password); err != nil {
		t.Errorf("sign in after the proof: %v", err)
	}
}

// SU-01, SU-02, SU-08, SU-09, SU-13, SU-14, UR-06, PW-18: what a sign-up may not ask for. Nothing is left behind.
func TestSignUpRefuses(t *testing.T) {
	t.Parallel()
	type want struct {
		email, password string
		options         auth.SignUpOptions
		err             error
	}
	deep := strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100)
	for name, w := range map[string]want{
		"an address without a domain":       {email: "ada", err: auth.ErrInvalidRequest},
		"an address without a dot":          {email: "ada@example", err: auth.ErrInvalidRequest},
		"no address":                        {email: "", err: auth.ErrInvalidRequest},
		"two addresses":                     {email: "ada@example.com,bob@example.com", err: auth.ErrInvalidRequest},
		"two addresses with a blank":        {email: "ada@example.com bob@example.com", err: auth.ErrInvalidRequest},
		"two at signs":                      {email: "ada@evil.test@example.com", err: auth.ErrInvalidRequest},
		"a quoted local part":               {email: `"ada@evil.test"@example.com`, err: auth.ErrInvalidRequest},
		"a display name":                    {email: "Ada <ada@example.com>", err: auth.ErrInvalidRequest},
		"a full-width at sign":              {email: "ada＠example.com", err: auth.ErrInvalidRequest},
		"a soft hyphen in the domain":       {email: "ada@exam\u00adple.com", err: auth.ErrInvalidRequest},
		"an ideographic dot":                {email: "ada@example。com", err: auth.ErrInvalidRequest},
		"a letter that lower-cases to i":    {email: "admİn@example.com", err: auth.ErrInvalidRequest},
		"a line end in the address":         {email: "ada@example.com\r\nBcc: m@evil.test", err: auth.ErrInvalidRequest},
		"a very long address":               {email: strings.Repeat("a", 100_000) + "@example.com", err: auth.ErrInvalidRequest},
		"a short password":                  {password: "1234567", err: auth.ErrPasswordTooShort},
		"no password":                       {password: "\x00", err: auth.ErrInvalidRequest},
		"a password of few long characters": {password: "ěščřžýá", err: auth.ErrPasswordTooShort},
		"a very long password":              {password: strings.Repeat("a1", 65), err: auth.ErrInvalidRequest},
		"a huge password":                   {password: strings.Repeat("a1", 1<<16), err: auth.ErrInvalidRequest},
		"a common password":                 {password: "password1", err: auth.ErrPasswordBreached},
		"a common password in capitals":     {password: "PASSWORD1", err: auth.ErrPasswordBreached},
		"the address as a password":         {email: "adalovelace@example.com", password: "AdaLovelace@example.com", err: auth.ErrPasswordBreached},
		"the local part as a password":      {email: "adalovelace@example.com", password: "adalovelace", err: auth.ErrPasswordBreached},
		"the name of the site":              {password: "Contoso-App", err: auth.ErrPasswordBreached},
		"a password with invalid UTF-8":     {password: "plum-tractor\xff", err: auth.ErrInvalidRequest},
		"a password with a control":         {password: "plum\x07tractor", err: auth.ErrInvalidRequest},
		"a role that is not allowed":        {options: auth.SignUpOptions{AllowedRoles: []string{"admin"}}, err: auth.ErrRoleNotAllowed},
		"a role among allowed ones":         {options: auth.SignUpOptions{AllowedRoles: []string{"user", "admin"}}, err: auth.ErrRoleNotAllowed},
		"a role in other case":              {options: auth.SignUpOptions{AllowedRoles: []string{"User"}}, err: auth.ErrRoleNotAllowed},
		"a role with a blank":               {options: auth.SignUpOptions{AllowedRoles: []string{"user "}}, err: auth.ErrRoleNotAllowed},
		"an array in a role":                {options: auth.SignUpOptions{AllowedRoles: []string{`user","admin`}}, err: auth.ErrRoleNotAllowed},
		"no roles at all":                   {options: auth.SignUpOptions{AllowedRoles: []string{}}, err: auth.ErrDefaultRoleNotAllowed},
		"a default role not asked for":      {options: auth.SignUpOptions{AllowedRoles: []string{"me"}}, err: auth.ErrDefaultRoleNotAllowed},
		"a default role not allowed":        {options: auth.SignUpOptions{DefaultRole: "admin"}, err: auth.ErrDefaultRoleNotAllowed},
		"a long display name":               {options: auth.SignUpOptions{DisplayName: strings.Repeat("a", 33)}, err: auth.ErrInvalidRequest},
		"a line end in the display name":    {options: auth.SignUpOptions{DisplayName: "Ada\r\nBcc: m@evil.test"}, err: auth.ErrInvalidRequest},
		"a link in the display name":        {options: auth.SignUpOptions{DisplayName: "https://evil.test"}, err: auth.ErrInvalidRequest},
		"a bidi control in the name":        {options: auth.SignUpOptions{DisplayName: "Ada\u202e"}, err: auth.ErrInvalidRequest},
		"metadata that is an array":         {options: auth.SignUpOptions{Metadata: json.RawMessage(`[]`)}, err: auth.ErrInvalidRequest},
		"metadata that is not JSON":         {options: auth.SignUpOptions{Metadata: json.RawMessage(`{"a":`)}, err: auth.ErrInvalidRequest},
		"metadata with a NUL":               {options: auth.SignUpOptions{Metadata: json.RawMessage(`{"a":"\u0000"}`)}, err: auth.ErrInvalidRequest},
		"metadata with a member twice":      {options: auth.SignUpOptions{Metadata: json.RawMessage(`{"a":1,"a":2}`)}, err: auth.ErrInvalidRequest},
		"deep metadata":                     {options: auth.SignUpOptions{Metadata: json.RawMessage(deep)}, err: auth.ErrInvalidRequest},
		"large metadata":                    {options: auth.SignUpOptions{Metadata: json.RawMessage(`{"a":"` + strings.Repeat("a", 17<<10) + `"}`)}, err: auth.ErrInvalidRequest},
		"a foreign redirect":                {options: auth.SignUpOptions{RedirectTo: "https://evil.test"}, err: auth.ErrRedirectNotAllowed},
		"a line end in the redirect":        {options: auth.SignUpOptions{RedirectTo: "https://app.test/?a\r\nBcc: m@evil.test"}, err: auth.ErrRedirectNotAllowed},
		"a blocked address":                 {email: "Mallory@example.com", err: auth.ErrInvalidEmailPassword},
		"a blocked domain":                  {email: "ada@EVIL.example", err: auth.ErrInvalidEmailPassword},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := authtest.New(t, func(c *auth.Config) {
				c.Password.ContextWords = []string{"contoso-app"}
				c.Email.BlockedAddresses = []string{"mallory@example.com"}
				c.Email.BlockedDomains = []string{"evil.example"}
			})
			if w.email == "" && name != "no address" {
				w.email = "ada@example.com"
			}
			if w.password == "" {
				w.password = authtest.Password
			}
			_, err := signUp(t, e, w.email, w.password, w.options)
			wantErr(t, err, w.err)
			if n := userCount(t, e.Store); n != 0 {
				t.Errorf("%d users", n)
			}
			if n := len(e.Mailbox.All()); n != 0 {
				t.Errorf("%d letters", n)
			}
		})
	}
}

// PW-17, PW-13: long ones, blanks and any script are welcome; the two Unicode forms of one text are one password.
func TestSignUpWelcomesPasswordsOfEveryKind(t *testing.T) {
	t.Parallel()
	for name, pair := range map[string][2]string{
		"64 characters":       {strings.Repeat("ab3d", 16), strings.Repeat("ab3d", 16)},
		"128 characters":      {strings.Repeat("ab3d", 32), strings.Repeat("ab3d", 32)},
		"128 long characters": {strings.Repeat("ěščř", 32), strings.Repeat("ěščř", 32)},
		"blanks":              {"four words and blanks", "four words and blanks"},
		"emoji":               {"🦉🦉🦉🦉🦉🦉🦉🦉", "🦉🦉🦉🦉🦉🦉🦉🦉"},
		"two Unicode forms":   {"cafe\u0301-au-lait", "caf\u00e9-au-lait"},
		"syllables":           {strings.Repeat("한국", 64), strings.Repeat("\u1112\u1161\u11ab\u1100\u116e\u11a8", 64)},
		"their letters":       {strings.Repeat("\u1112\u1161\u11ab\u1100\u116e\u11a8", 64), strings.Repeat("한국", 64)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := authtest.New(t, unverified)
			if _, err := signUp(t, e, "ada@example.com", pair[0], auth.SignUpOptions{}); err != nil {
				t.Fatal(err)
			}
			if _, err := signIn(t, e, "ada@example.com", pair[1]); err != nil {
				t.Errorf("sign in: %v", err)
			}
			for _, wrong := range []string{pair[0] + " ", " " + pair[0], strings.ToUpper(pair[0]) + "x", pair[0][:len(pair[0])-4]} {
				_, err := signIn(t, e, "ada@example.com", wrong)
				wantErr(t, err, auth.ErrInvalidEmailPassword)
			}
		})
	}
}

// SU-04, SI-10, W33: one address in every spelling is one account.
func TestOneAddressIsOneAccount(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, unverified)
	if _, err := signUp(t, e, "Ada@Bücher.example", authtest.Password, auth.SignUpOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, spelling := range []string{"ada@bücher.example", "ADA@xn--bcher-kva.example", "ada@XN--BCHER-KVA.EXAMPLE"} {
		_, err := signUp(t, e, spelling, authtest.Password, auth.SignUpOptions{})
		wantErr(t, err, auth.ErrEmailAlreadyInUse)
		if _, err := signIn(t, e, spelling, authtest.Password); err != nil {
			t.Errorf("%s: %v", spelling, err)
		}
	}
}

// SU-05
func TestParallelSignUpsMakeOneUser(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	var won atomic.Int32
	atOnce(50, func(i int) {
		email := "ada@example.com"
		if i%2 == 0 {
			email = "ADA@Example.Com"
		}
		_, err := e.SignUpPassword(context.Background(), auth.SignUpPasswordParams{Email: email, Password: authtest.Password})
		switch {
		case err == nil:
			won.Add(1)
		case !errors.Is(err, auth.ErrEmailAlreadyInUse) && !errors.Is(err, auth.ErrTooManyRequests):
			t.Error(err)
		}
	})
	if n := len(e.Mailbox.All()); won.Load() != 1 || userCount(t, e.Store) != 1 || n != 1 {
		t.Errorf("%d sign-ups succeeded, %d users, %d letters", won.Load(), userCount(t, e.Store), n)
	}
}

// EN-01, W23, SU-04: where errors are concealed, a taken address answers like a free one, and its owner is told.
func TestConcealedSignUpDoesNotTellThatAnAddressIsTaken(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, func(c *auth.Config) { c.ConcealErrors = true })
	e.SignUp(t, "ada@example.com")
	free, errFree := signUp(t, e, "bob@example.com", authtest.Password, auth.SignUpOptions{})
	taken, errTaken := signUp(t, e, "ADA@example.com", "another-password-11", auth.SignUpOptions{})
	if errFree != nil || errTaken != nil {
		t.Fatal(errFree, errTaken)
	}
	if diff := cmp.Diff(free, taken); diff != "" {
		t.Error(diff)
	}
	if letter := e.Mailbox.Last(t, "ada@example.com"); letter.Template != "signup-attempt" || letter.Ticket() != "" {
		t.Errorf("the owner got %q", letter.Template)
	}
	_, err := signIn(t, e, "ada@example.com", "another-password-11")
	wantErr(t, err, auth.ErrInvalidRequest)
	if _, err := signIn(t, e, "ada@example.com", authtest.Password); err != nil {
		t.Errorf("the owner's password: %v", err)
	}
}

// EN-01: whoever signs up with a taken address learns nothing, whatever becomes of the letter to its owner, who gets it even if they
// are kept out.
func TestTheOwnerOfATakenAddressIsToldWhateverTheirState(t *testing.T) {
	t.Parallel()
	conceal := func(c *auth.Config) { c.ConcealErrors = true }
	const complaint = "tell the owner of an address"
	for _, disabled := range []bool{false, true} {
		e := authtest.New(t, conceal)
		id := e.SignUp(t, "ada@example.com").User.ID
		if _, err := e.UpdateUser(t.Context(), id, auth.UserUpdate{Disabled: &disabled}); err != nil {
			t.Fatal(err)
		}
		free, err := signUp(t, e, "bob@example.com", newPassword, auth.SignUpOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for what, fault := range map[string]storetest.Fault{"told": {Method: "nothing"}, "not told": {Method: "ChangeUser"}} {
			letters := len(e.Mailbox.To("ada@example.com"))
			other := authtest.NewWithStore(t, storetest.Break(e.Store, fault), conceal, func(c *auth.Config) { c.Now, c.Mail = e.Clock.Now, e.Mailbox })
			taken, err := signUp(t, other, "ada@example.com", newPassword, auth.SignUpOptions{})
			if diff := cmp.Diff(free, taken); diff != "" || err != nil {
				t.Errorf("disabled %t, %s: %v %s", disabled, what, err, diff)
			}
			told := e.Mailbox.To("ada@example.com")[letters:]
			if len(told) > 0 != (what == "told") || len(told) > 0 && told[0].Template != "signup-attempt" {
				t.Errorf("disabled %t, %s: %d letters", disabled, what, len(told))
			}
			if strings.Contains(other.Logs.String(), complaint) != (what == "not told") {
				t.Errorf("disabled %t, %s: logged %s", disabled, what, other.Logs)
			}
		}
	}
}

// EN-01: nor does it where there is no letter to answer with: where new users come in at once, a taken address is answered as whatever
// is wrong, and where they are disabled every address is. Nobody is written to.
func TestConcealedSignUpsWithoutALetter(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, func(c *auth.Config) { c.ConcealErrors = true })
	e.SignUp(t, "ada@example.com")
	pendingUser(t, e, "pending@example.com")
	sent := len(e.Mailbox.All())
	conceal := func(c *auth.Config) { c.ConcealErrors = true }
	for name, c := range map[string]struct {
		amend func(*auth.Config)
		free  error
	}{
		"new users come in":      {unverified, nil},
		"new users are disabled": {func(c *auth.Config) { c.SignUp.DisableNewUsers = true }, auth.ErrInvalidRequest},
	} {
		r := replica(t, e, conceal, c.amend)
		for _, email := range []string{"ada@example.com", "pending@example.com"} {
			if _, err := signUp(t, r, email, newPassword, auth.SignUpOptions{}); !errors.Is(err, auth.ErrInvalidRequest) {
				t.Errorf("%s, %s: %v", name, email, err)
			}
		}
		in, err := signUp(t, r, strings.ReplaceAll(name, " ", "-")+"@example.com", newPassword, auth.SignUpOptions{})
		if !errors.Is(err, c.free) || (c.free == nil) != (in != nil && in.Session != nil) {
			t.Errorf("%s, a free address: %v, %v", name, in, err)
		}
	}
	if n := len(e.Mailbox.All()) - sent; n != 0 {
		t.Errorf("%d letters", n)
	}
}

// PH-08, PH-10, W4: until an address is verified, whoever signs up with it last has the claim, with their own password and link.
func TestALaterSignUpReplacesAPendingOne(t *testing.T) {
	t.Parallel()
	for name, conceal := range map[string]bool{"open": false, "concealed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := authtest.New(t, func(c *auth.Config) { c.ConcealErrors = conceal })
			options := auth.SignUpOptions{DisplayName: "Mallory", Metadata: json.RawMessage(`{"by":"mallory"}`)}
			if _, err := signUp(t, e, "victim@example.com", "mallorys-own-password", options); err != nil {
				t.Fatal(err)
			}
			older := e.Mailbox.Last(t, "victim@example.com").Ticket()
			in, err := signUp(t, e, "Victim@example.com", authtest.Password, auth.SignUpOptions{})
			if err != nil || in.Session != nil {
				t.Fatalf("the owner's sign-up: %v, %v", in, err)
			}
			newest := e.Mailbox.Last(t, "victim@example.com").Ticket()
			_, err = e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: older})
			if err == nil {
				t.Error("the older link works")
			}
			v, err := e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: newest})
			if err != nil {
				t.Fatal(err)
			}
			if u := v.Session.User; u.Email != "Victim@example.com" || u.DisplayName != "Victim@example.com" || string(u.Metadata) != "{}" {
				t.Errorf("left of the first sign-up: %s", asJSON(u))
			}
			if _, err := signIn(t, e, "victim@example.com", "mallorys-own-password"); err == nil {
				t.Error("the first password works")
			}
			if _, err := signIn(t, e, "victim@example.com", authtest.Password); err != nil {
				t.Errorf("the owner's password: %v", err)
			}
			if n := userCount(t, e.Store); n != 1 {
				t.Errorf("%d users", n)
			}
			// Verified is verified: nobody takes the address over by signing up.
			letters := len(e.Mailbox.To("victim@example.com"))
			_, err = signUp(t, e, "victim@example.com", "mallorys-own-password", auth.SignUpOptions{})
			if conceal != (err == nil) {
				t.Errorf("sign-up with a verified address: %v", err)
			}
			if _, err := signIn(t, e, "victim@example.com", authtest.Password); err != nil {
				t.Errorf("the owner's password afterwards: %v", err)
			}
			if got := len(e.Mailbox.To("victim@example.com")) - letters; conceal != (got == 1) {
				t.Errorf("%d further letters", got)
			}
		})
	}
}

// PH-03, ST-06: nothing that hung on the first sign-up comes over to the second, and the second does not overtake a proof.
func TestWhatAPendingSignUpIsReplacedBy(t *testing.T) {
	t.Parallel()
	pending := func(t *testing.T, e *authtest.Engine) uuid.UUID {
		if _, err := signUp(t, e, "victim@example.com", "mallorys-own-password", auth.SignUpOptions{}); err != nil {
			t.Fatal(err)
		}
		u, err := e.FindUser(t.Context(), auth.UserBy{Email: "victim@example.com"})
		if err != nil {
			t.Fatal(err)
		}
		return u.ID
	}
	t.Run("without its credentials", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t)
		id, now := pending(t, e), e.Clock.Now()
		for _, c := range []store.UserChange{
			{Identity: &store.Identity{Provider: "github", Subject: "1", CreatedAt: now}},
			{SecurityKey: &store.SecurityKey{ID: uuid.New(), CredentialID: []byte("key"), PublicKey: []byte("key"), CreatedAt: now}},
			{PAT: &store.PAT{ID: uuid.New(), Hash: make([]byte, 32), CreatedAt: now, ExpiresAt: now.Add(time.Hour)}},
		} {
			c.UserID, c.Now = id, now
			if _, err := e.Store.ChangeUser(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := signUp(t, e, "victim@example.com", authtest.Password, auth.SignUpOptions{}); err != nil {
			t.Fatal(err)
		}
		a, err := e.Store.User(t.Context(), store.UserQuery{ID: id, Now: now, With: store.WithIdentities | store.WithSecurityKeys | store.WithPATs})
		if err != nil || len(a.Identities)+len(a.SecurityKeys)+len(a.PATs) != 0 {
			t.Errorf("left: %v %v %v, %v", a.Identities, a.SecurityKeys, a.PATs, err)
		}
	})
	t.Run("not where it is disabled", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t)
		yes := true
		if _, err := e.UpdateUser(t.Context(), pending(t, e), auth.UserUpdate{Disabled: &yes}); err != nil {
			t.Fatal(err)
		}
		_, err := signUp(t, e, "victim@example.com", authtest.Password, auth.SignUpOptions{})
		wantErr(t, err, auth.ErrEmailAlreadyInUse)
	})
	t.Run("not where it is verified meanwhile", func(t *testing.T) {
		t.Parallel()
		s := memstore.New()
		owner := authtest.NewWithStore(t, s)
		if _, err := signUp(t, owner, "victim@example.com", authtest.Password, auth.SignUpOptions{}); err != nil {
			t.Fatal(err)
		}
		ticket := owner.Mailbox.Last(t, "victim@example.com").Ticket()
		mallory := authtest.NewWithStore(t, storetest.Break(s, storetest.Fault{Method: "User", After: true, Do: func(ctx context.Context) {
			if _, err := owner.VerifyTicket(ctx, auth.VerifyTicketParams{Ticket: ticket}); err != nil {
				t.Error(err)
			}
		}}))
		_, err := signUp(t, mallory, "victim@example.com", "mallorys-own-password", auth.SignUpOptions{})
		wantErr(t, err, auth.ErrEmailAlreadyInUse)
		owner.SignIn(t, "victim@example.com")
	})
	t.Run("without a word of it where errors are concealed", func(t *testing.T) {
		t.Parallel()
		s := memstore.New()
		id := pending(t, authtest.NewWithStore(t, s))
		mallory := authtest.NewWithStore(t, storetest.Break(s, storetest.Fault{Method: "User", After: true, Do: func(ctx context.Context) {
			_, err := s.ChangeUser(ctx, store.UserChange{UserID: id, Now: time.Now(), Drop: store.Drop{Sessions: true}})
			if err != nil {
				t.Error(err)
			}
		}}), func(c *auth.Config) { c.ConcealErrors = true })
		if _, err := signUp(t, mallory, "victim@example.com", authtest.Password, auth.SignUpOptions{}); err != nil {
			t.Error(err)
		}
	})
}

// EN-02, PW-24: a cheap hash from elsewhere does not tell by its speed that there is an account: a wrong password costs a hash of
// today's cost besides, which shows in the memory that it takes.
func TestAnImportedHashIsNotTheFasterAnswer(t *testing.T) {
	const cost = 32 << 20
	e := authtest.New(t, func(c *auth.Config) { c.Password.Argon2 = auth.Argon2{MemoryKiB: cost >> 10, Time: 1} })
	old, err := bcrypt.GenerateFromPassword([]byte(authtest.Password), 4)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.ImportUser(t.Context(), auth.ImportUserParams{Email: "ada@example.com", EmailVerified: true, PasswordHash: string(old)}); err != nil {
		t.Fatal(err)
	}
	e.SignUp(t, "bob@example.com") // with a hash of today's cost: another one besides would tell of it
	for _, email := range []string{"ada@example.com", "bob@example.com", "nobody@example.com", "right"} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if email == "right" { // which makes the new hash, and costs no other
			if _, err := signIn(t, e, "ada@example.com", authtest.Password); err != nil {
				t.Error(err)
			}
		} else {
			_, err := signIn(t, e, email, "not the password")
			wantErr(t, err, auth.ErrInvalidEmailPassword)
		}
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got < cost || got >= 2*cost {
			t.Errorf("%s: the answer took %d bytes", email, got)
		}
	}
}

// The same password again is the same person, who has their link already and keeps it.
func TestSigningUpAgainWithTheSamePasswordSendsNoSecondLink(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]error{"open": auth.ErrEmailAlreadyInUse, "concealed": nil} {
		e := authtest.New(t, func(c *auth.Config) { c.ConcealErrors = want == nil })
		for i := range 3 {
			_, err := signUp(t, e, "ada@example.com", authtest.Password, auth.SignUpOptions{})
			if i > 0 && !errors.Is(err, want) || i == 0 && err != nil {
				t.Errorf("%s, time %d: %v", name, i+1, err)
			}
		}
		links := 0
		for _, l := range e.Mailbox.All() {
			if l.Ticket() == "" {
				continue
			}
			links++
			if _, err := e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: l.Ticket()}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if links != 1 {
			t.Errorf("%s: %d links", name, links)
		}
	}
}

// With concealment, what would tell about an account says invalid-request, and cannot be matched underneath.
func TestConcealedErrors(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, func(c *auth.Config) { c.ConcealErrors = true })
	_, err := signIn(t, e, "nobody@example.com", authtest.Password)
	wantErr(t, err, auth.ErrInvalidRequest)
	var known *auth.Error
	if !errors.As(err, &known) || known.Message != "The request payload is incorrect" {
		t.Errorf("got %#v", err)
	}
	if errors.Is(err, auth.ErrInvalidEmailPassword) {
		t.Error("the concealed error can be matched")
	}
	_, err = refresh(t, e, uuid.NewString())
	wantErr(t, err, auth.ErrInvalidRequest)
	_, err = signUp(t, e, "ada@example.com", "short", auth.SignUpOptions{})
	wantErr(t, err, auth.ErrPasswordTooShort)
}

// With concealment, the right password of an account that may not come in counts like a wrong one: otherwise the limit would tell.
func TestTheLimitOfGuessesDoesNotTellOfAConcealedAccount(t *testing.T) {
	t.Parallel()
	for _, concealed := range []bool{false, true} {
		e := authtest.New(t, onlyLimits(limit.Rate{Burst: 3, Per: time.Hour}, auth.BudgetPasswordsPerAccount), func(c *auth.Config) {
			c.ConcealErrors = concealed
		})
		pendingUser(t, e, "pending@example.com")
		disabled, yes := e.SignUp(t, "disabled@example.com"), true
		if _, err := e.UpdateUser(t.Context(), disabled.User.ID, auth.UserUpdate{Disabled: &yes}); err != nil {
			t.Fatal(err)
		}
		for _, email := range []string{"pending@example.com", "disabled@example.com"} {
			for range 3 {
				if _, err := signIn(t, e, email, authtest.Password); err == nil || errors.Is(err, auth.ErrTooManyRequests) {
					t.Errorf("%s: %v", email, err)
				}
			}
			if _, err := signIn(t, e, email, authtest.Password); errors.Is(err, auth.ErrTooManyRequests) != concealed {
				t.Errorf("%s: concealed %v: %v", email, concealed, err)
			}
		}
	}
}

// rangeAPI answers as the range API does, for passwords of which it knows one.
type rangeAPI struct {
	known  string
	status int
}

func (a rangeAPI) RoundTrip(r *http.Request) (*http.Response, error) {
	sum := fmt.Sprintf("%X", sha1.Sum([]byte(a.known)))
	body := strings.Repeat("0", 35) + ":3\r\n"
	if strings.HasSuffix(r.URL.Path, "/"+sum[:5]) {
		body += sum[5:] + ":1\r\n"
	}
	return &http.Response{StatusCode: a.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// PW-04: what the range API knows is breached, once is enough; what it does not say is not known.
func TestHIBP(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		password string
		status   int
		want, ok bool
	}{
		{"canary-plum-tractor", http.StatusOK, true, true},
		{"another-plum-tractor", http.StatusOK, false, true},
		{"canary-plum-tractor", http.StatusInternalServerError, false, false},
	} {
		checker := auth.HIBP(&http.Client{Transport: rangeAPI{"canary-plum-tractor", c.status}})
		got, err := checker.Breached(t.Context(), c.password)
		if got != c.want || c.ok != (err == nil) {
			t.Errorf("%s, %d: %v, %v", c.password, c.status, got, err)
		}
	}
}

func TestSignUpSwitches(t *testing.T) {
	t.Parallel()
	t.Run("sign-up disabled", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t, func(c *auth.Config) { c.SignUp.Disabled = true })
		_, err := signUp(t, e, "ada@example.com", authtest.Password, auth.SignUpOptions{})
		wantErr(t, err, auth.ErrSignUpDisabled)
		_, err = e.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{})
		wantErr(t, err, auth.ErrSignUpDisabled)
	})
	t.Run("new users disabled", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t, func(c *auth.Config) { c.SignUp.DisableNewUsers = true })
		_, err := signUp(t, e, "ada@example.com", authtest.Password, auth.SignUpOptions{})
		wantErr(t, err, auth.ErrDisabledUser)
		_, err = signIn(t, e, "ada@example.com", authtest.Password)
		wantErr(t, err, auth.ErrDisabledUser)
		_, err = e.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{})
		wantErr(t, err, auth.ErrDisabledUser)
		if userCount(t, e.Store) != 2 || len(e.Mailbox.All()) != 0 {
			t.Errorf("%d users, %d letters", userCount(t, e.Store), len(e.Mailbox.All()))
		}
		_, err = signUp(t, e, "ada@example.com", authtest.Password, auth.SignUpOptions{})
		wantErr(t, err, auth.ErrEmailAlreadyInUse)
		failing := replica(t, e, func(c *auth.Config) {
			c.SignUp.DisableNewUsers = true
			c.Hooks.UserCreated = func(context.Context, *auth.User) error { return errForbidden }
		})
		_, err = signUp(t, failing, "bob@example.com", authtest.Password, auth.SignUpOptions{})
		wantErr(t, err, errForbidden)
		_, err = failing.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{})
		wantErr(t, err, errForbidden)
		// A guest whom nobody has enabled yet has been seen when they came.
		now := e.Clock.Now()
		for want, before := range []time.Time{now, now.Add(time.Second)} {
			n, err := e.Store.Purge(t.Context(), store.Purge{Now: now, Limit: 10, AnonymousBefore: before})
			if err != nil || n != want {
				t.Errorf("%d guests are gone who were last seen before %v, %v", n, before, err)
			}
		}
	})
	t.Run("passwords off", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t, func(c *auth.Config) { c.Password = nil })
		_, err := signUp(t, e, "ada@example.com", authtest.Password, auth.SignUpOptions{})
		wantErr(t, err, auth.ErrDisabledEndpoint)
		_, err = signIn(t, e, "ada@example.com", authtest.Password)
		wantErr(t, err, auth.ErrDisabledEndpoint)
	})
	t.Run("common passwords allowed", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t, func(c *auth.Config) { c.Password.AllowCommon = true })
		if _, err := signUp(t, e, "ada@example.com", "password1", auth.SignUpOptions{}); err != nil {
			t.Error(err)
		}
	})
	t.Run("allowed domains", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t, unverified, func(c *auth.Config) { c.Email.AllowedDomains = []string{"example.com"} })
		_, err := signUp(t, e, "ada@example.org", authtest.Password, auth.SignUpOptions{})
		wantErr(t, err, auth.ErrInvalidEmailPassword)
		if _, err := signUp(t, e, "ada@EXAMPLE.com", authtest.Password, auth.SignUpOptions{}); err != nil {
			t.Error(err)
		}
	})
}

// SU-06, SU-20: a mail server in trouble does not undo a sign-up, and the letter comes later.
func TestAFailedLetterDoesNotUndoTheSignUp(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	e.Mailbox.Refuse(errors.New("421 try again"))
	if _, err := signUp(t, e, "ada@example.com", authtest.Password, auth.SignUpOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := e.Events.Of(auth.EventMessageFailed); len(got) != 1 {
		t.Errorf("events: %v", got)
	}
	e.Mailbox.Refuse(nil)
	e.Clock.Advance(time.Minute)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- e.Run(ctx) }()
	ticket := e.Mailbox.Next(t, "ada@example.com").Ticket()
	stop()
	wantErr(t, <-done, context.Canceled)
	if _, err := e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: ticket}); err != nil {
		t.Error(err)
	}
}

// SI-01, SI-02, SI-05, SI-06, SI-08
func TestSignInRefuses(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	e.SignUp(t, "ada@example.com")
	disabled := e.SignUp(t, "disabled@example.com")
	yes := true
	if _, err := e.UpdateUser(t.Context(), disabled.User.ID, auth.UserUpdate{Disabled: &yes}); err != nil {
		t.Fatal(err)
	}
	if _, err := signUp(t, e, "unverified@example.com", authtest.Password, auth.SignUpOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.ImportUser(t.Context(), auth.ImportUserParams{Email: "none@example.com", EmailVerified: true}); err != nil {
		t.Fatal(err)
	}
	a, err := e.Store.User(t.Context(), store.UserQuery{EmailKey: "ada@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	for name, w := range map[string]struct {
		email, password string
		err             error
	}{
		"a wrong password":                       {"ada@example.com", "plum-tractor-twelve", auth.ErrInvalidEmailPassword},
		"an unknown address":                     {"eve@example.com", authtest.Password, auth.ErrInvalidEmailPassword},
		"a disabled user and a wrong password":   {"disabled@example.com", "plum-tractor-twelve", auth.ErrInvalidEmailPassword},
		"a disabled user and the right one":      {"disabled@example.com", authtest.Password, auth.ErrDisabledUser},
		"an unverified user and a wrong one":     {"unverified@example.com", "plum-tractor-twelve", auth.ErrInvalidEmailPassword},
		"an unverified user and the right one":   {"unverified@example.com", authtest.Password, auth.ErrUnverifiedUser},
		"the stored hash":                        {"ada@example.com", a.PasswordHash, auth.ErrInvalidEmailPassword},
		"the empty password":                     {"ada@example.com", "", auth.ErrInvalidEmailPassword},
		"a huge password":                        {"ada@example.com", strings.Repeat("a", 1<<20), auth.ErrInvalidEmailPassword},
		"a password with invalid UTF-8":          {"ada@example.com", "\xff\xfe", auth.ErrInvalidEmailPassword},
		"no password where there is none":        {"none@example.com", "", auth.ErrInvalidEmailPassword},
		"null where there is none":               {"none@example.com", "null", auth.ErrInvalidEmailPassword},
		"an asterisk where there is none":        {"none@example.com", "*", auth.ErrInvalidEmailPassword},
		"a NUL where there is none":              {"none@example.com", "\x00", auth.ErrInvalidEmailPassword},
		"the start of a hash where there's none": {"none@example.com", "$2a$10$", auth.ErrInvalidEmailPassword},
		"something that is no address":           {"ada", authtest.Password, auth.ErrInvalidRequest},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := signIn(t, e, w.email, w.password)
			wantErr(t, err, w.err)
		})
	}
}

// PW-11, PW-12, PW-15, SI-09, W34: hashes from elsewhere let their users in once and are then replaced.
func TestImportedHashesAreReplacedAtSignIn(t *testing.T) {
	t.Parallel()
	old, err := bcrypt.GenerateFromPassword([]byte(authtest.Password), 4)
	if err != nil {
		t.Fatal(err)
	}
	e := authtest.New(t)
	_, err = e.ImportUser(t.Context(), auth.ImportUserParams{Email: "ada@example.com", EmailVerified: true, PasswordHash: string(old)})
	if err != nil {
		t.Fatal(err)
	}
	hash := func() string {
		a, err := e.Store.User(t.Context(), store.UserQuery{EmailKey: "ada@example.com"})
		if err != nil {
			t.Fatal(err)
		}
		return a.PasswordHash
	}
	_, err = signIn(t, e, "ada@example.com", "not the password")
	wantErr(t, err, auth.ErrInvalidEmailPassword)
	if hash() != string(old) {
		t.Error("a wrong password has replaced the hash")
	}
	e.SignIn(t, "ada@example.com")
	replaced := hash()
	if !strings.HasPrefix(replaced, "$argon2id$") {
		t.Errorf("the hash is %.12s…", replaced)
	}
	e.SignIn(t, "ada@example.com")
	if hash() != replaced {
		t.Error("a current hash was replaced")
	}
	for _, hash := range []string{
		"plain", "$2a$31$" + string(old[7:]), string(old[:40]), "$9$x", "$argon2id$v=19$m=4194304,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
	} {
		_, err := e.ImportUser(t.Context(), auth.ImportUserParams{Email: "bob@example.com", PasswordHash: hash})
		wantErr(t, err, auth.ErrInvalidRequest)
	}
}

// What no user can have chosen is nobody's password, whatever an imported hash is of; and a hash that cannot be used is the operator's
// to know of, whereas that there is none is no fault.
func TestHashesThatNoPasswordHas(t *testing.T) {
	t.Parallel()
	of := func(password string) string {
		h, err := bcrypt.GenerateFromPassword([]byte(password), 4)
		if err != nil {
			t.Fatal(err)
		}
		return string(h)
	}
	e := authtest.New(t)
	for email, hash := range map[string]string{"empty@example.com": of(""), "bytes@example.com": of("\xff\xfe"), "none@example.com": ""} {
		if _, err := e.ImportUser(t.Context(), auth.ImportUserParams{Email: email, EmailVerified: true, PasswordHash: hash}); err != nil {
			t.Fatal(err)
		}
		for _, password := range []string{"", "\xff\xfe", strings.Repeat("x", 1<<20), authtest.Password} {
			_, err := signIn(t, e, email, password)
			wantErr(t, err, auth.ErrInvalidEmailPassword)
		}
	}
	if said := e.Logs.String(); strings.Contains(said, "hash") {
		t.Errorf("the log says %s", said)
	}
	id, broken := e.SignUp(t, "ada@example.com").User.ID, "$9$what-no-version-makes"
	if _, err := e.Store.ChangeUser(t.Context(), store.UserChange{UserID: id, Now: e.Clock.Now(), Set: store.UserSet{PasswordHash: &broken}}); err != nil {
		t.Fatal(err)
	}
	_, err := signIn(t, e, "ada@example.com", authtest.Password)
	wantErr(t, err, auth.ErrInvalidEmailPassword)
	if said := e.Logs.String(); !strings.Contains(said, "a stored password hash cannot be used") || strings.Contains(said, broken) {
		t.Errorf("the log says %q", said)
	}
}

// leaver is an observer of calls whose callers leave right before the how many-th password of theirs is hashed.
type leaver struct {
	before int
	hashes int
	leave  context.CancelFunc
}

func (l *leaver) Begin(ctx context.Context, _ string) (context.Context, func(error)) {
	ctx, l.leave = context.WithCancel(ctx)
	l.hashes = 0
	if l.before == 1 {
		l.leave()
	}
	return ctx, func(error) { l.leave() }
}

func (l *leaver) HashWaited(context.Context, time.Duration, error) {
	if l.hashes++; l.hashes+1 == l.before {
		l.leave()
	}
}

// patient is a store that answers also who has left.
type patient struct{ store.Store }

func (p patient) User(ctx context.Context, q store.UserQuery) (store.Account, error) {
	return p.Store.User(context.WithoutCancel(ctx), q)
}

func (p patient) CreateUser(ctx context.Context, n store.NewUser) (store.User, error) {
	return p.Store.CreateUser(context.WithoutCancel(ctx), n)
}

func (p patient) ChangeUser(ctx context.Context, c store.UserChange) (store.User, error) {
	return p.Store.ChangeUser(context.WithoutCancel(ctx), c)
}

func (p patient) CheckTicket(ctx context.Context, q store.TicketQuery) (store.Ticket, store.User, error) {
	return p.Store.CheckTicket(context.WithoutCancel(ctx), q)
}

// SI-14, ST-09: nothing comes of a password that is not hashed, be it to keep it or to compare it: whoever called is told of a failure
// of the service, which is no wrong password, and nothing has changed.
func TestNothingComesOfAPasswordThatIsNotHashed(t *testing.T) {
	t.Parallel()
	leaving := authtest.NewWithStore(t, patient{memstore.New()}, func(c *auth.Config) { c.Observer = &leaver{before: 1} })
	_, err := signIn(t, leaving, "nobody@example.com", authtest.Password)
	wantErr(t, err, auth.ErrInternal)
	for name, prepare := range calls() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for hash, hashes := 0, 1; hash <= hashes; hash++ { // none, to count them, and then each
				v := newVisitor(t, everyWay)
				c := prepare(t, v)
				l := &leaver{before: hash}
				counter := storetest.Count(v.Store)
				e := v.replica(t, patient{counter}, everyWay, func(c *auth.Config) { c.Observer = l })
				err := c(t.Context(), e)
				if hash == 0 {
					if hashes = l.hashes; err != nil {
						t.Fatal(err)
					}
					continue
				}
				if changes := counter.Calls()["ChangeUser"]; !errors.Is(err, auth.ErrInternal) || changes != 0 {
					t.Errorf("hash %d of %d: %v, after %v", hash, hashes, err, counter.Calls())
				}
				if events := e.Events.All(); slices.ContainsFunc(events, func(ev auth.Event) bool { return ev.Code == auth.CodeInvalidEmailPassword }) {
					t.Errorf("hash %d of %d: %+v", hash, hashes, events)
				}
			}
		})
	}
}

// SI-09: an old hash that cannot be replaced now lets its user in all the same, and stays.
func TestAnOldHashThatIsNotReplacedStays(t *testing.T) {
	t.Parallel()
	old, err := bcrypt.GenerateFromPassword([]byte(authtest.Password), 4)
	if err != nil {
		t.Fatal(err)
	}
	e := authtest.New(t)
	u, err := e.ImportUser(t.Context(), auth.ImportUserParams{Email: "ada@example.com", EmailVerified: true, PasswordHash: string(old)})
	if err != nil {
		t.Fatal(err)
	}
	leaving := authtest.NewWithStore(t, patient{e.Store}, func(c *auth.Config) { c.Now, c.Observer = e.Clock.Now, &leaver{before: 2} })
	if _, err := signIn(t, leaving, "ada@example.com", authtest.Password); err != nil {
		t.Error(err)
	}
	a, err := e.Store.User(t.Context(), store.UserQuery{ID: u.ID, Now: e.Clock.Now()})
	if err != nil || a.PasswordHash != string(old) {
		t.Errorf("the hash is %.12s…, %v", a.PasswordHash, err)
	}
	// The work of a wrong one can fail as well.
	_, err = signIn(t, leaving, "ada@example.com", newPassword)
	wantErr(t, err, auth.ErrInternal)
}

// SI-12, ST-06: what is revoked while a password is being checked stays revoked.
func TestAnAccountThatChangesDuringSignIn(t *testing.T) {
	t.Parallel()
	set := func(t *testing.T, s store.Store, id uuid.UUID, c store.UserChange) {
		c.UserID, c.Now, c.If.Disabled = id, time.Now(), true
		if _, err := s.ChangeUser(t.Context(), c); err != nil {
			t.Error(err)
		}
	}
	yes, other := true, "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA"
	for name, w := range map[string]struct {
		change store.UserChange
		err    error
	}{
		"disabled":            {store.UserChange{Set: store.UserSet{Disabled: &yes}}, auth.ErrDisabledUser},
		"password changed":    {store.UserChange{Set: store.UserSet{PasswordHash: &other}, Drop: store.Drop{Sessions: true}}, auth.ErrInvalidEmailPassword},
		"only signed out":     {store.UserChange{Drop: store.Drop{Sessions: true}}, nil},
		"nothing that counts": {store.UserChange{Set: store.UserSet{DisplayName: new(string)}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := memstore.New()
			id := authtest.NewWithStore(t, s).SignUp(t, "ada@example.com").User.ID
			e := authtest.NewWithStore(t, storetest.Break(s, storetest.Fault{
				Method: "User", Call: 1, After: true, Do: func(context.Context) { set(t, s, id, w.change) },
			}))
			_, err := signIn(t, e, "ada@example.com", authtest.Password)
			if !errors.Is(err, w.err) {
				t.Errorf("got %v, want %v", err, w.err)
			}
		})
	}
	t.Run("deleted", func(t *testing.T) {
		t.Parallel()
		s := memstore.New()
		id := authtest.NewWithStore(t, s).SignUp(t, "ada@example.com").User.ID
		e := authtest.NewWithStore(t, storetest.Break(s, storetest.Fault{
			Method: "User", Call: 1, After: true,
			Do: func(ctx context.Context) {
				if err := s.DeleteUser(ctx, store.UserDeletion{UserID: id}); err != nil {
					t.Error(err)
				}
			},
		}))
		_, err := signIn(t, e, "ada@example.com", authtest.Password)
		wantErr(t, err, auth.ErrInvalidEmailPassword)
	})
}

// SI-14, W34: memory and time for hashing are bounded; who comes when the queue is full is told to come again.
func TestHashingIsBounded(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, func(c *auth.Config) {
		c.Password.Argon2 = auth.Argon2{MemoryKiB: 8 << 10, Time: 4}
		c.Password.MaxHashes, c.Password.MaxWaiting = 1, 4
	})
	e.SignUp(t, "ada@example.com")
	var right, busy atomic.Int32
	atOnce(50, func(i int) {
		// Whoever is told to come again is not let in, whether there is a password to compare or not.
		in, err := e.SignInPassword(context.Background(), auth.SignInPasswordParams{
			Email: []string{"ada@example.com", "nobody@example.com"}[i%2], Password: newPassword,
		})
		switch {
		case in != nil:
			t.Error("let in")
		case errors.Is(err, auth.ErrInvalidEmailPassword):
			right.Add(1)
		case errors.Is(err, auth.ErrTooManyRequests):
			busy.Add(1)
		default:
			t.Error(err)
		}
	})
	if right.Load() < 5 || busy.Load() == 0 {
		t.Errorf("%d answered, %d told to come again", right.Load(), busy.Load())
	}
}

type breachFunc func(string) (bool, error)

func (f breachFunc) Breached(_ context.Context, p string) (bool, error) { return f(p) }

// PW-16, W35
func TestBreachCheck(t *testing.T) {
	t.Parallel()
	var asked []string
	e := authtest.New(t, unverified, func(c *auth.Config) {
		c.Password.Breached = breachFunc(func(p string) (bool, error) {
			asked = append(asked, p)
			switch p {
			case "known-to-the-world":
				return true, nil
			case "service-is-down":
				return false, errors.New("timeout")
			case "service-panics":
				panic("oh")
			}
			return false, nil
		})
	})
	_, err := signUp(t, e, "a@example.com", "known-to-the-world", auth.SignUpOptions{})
	wantErr(t, err, auth.ErrPasswordBreached)
	for i, p := range []string{"service-is-down", "service-panics"} {
		if _, err := signUp(t, e, fmt.Sprintf("b%d@example.com", i), p, auth.SignUpOptions{}); err != nil {
			t.Errorf("%s: %v", p, err)
		}
	}
	if n := len(e.Events.Of(auth.EventBreachCheckFailed)); n != 2 {
		t.Errorf("%d events", n)
	}
	before := len(asked)
	in, err := signIn(t, e, "b0@example.com", "service-is-down")
	if err != nil || len(asked) != before {
		t.Fatalf("sign-in: %v, asked %d times", err, len(asked)-before)
	}
	err = e.ChangePassword(t.Context(), e.Principal(t, in.Session), auth.ChangePasswordParams{NewPassword: "known-to-the-world"})
	wantErr(t, err, auth.ErrPasswordBreached)
}

// TK-02, TK-03, TK-04, TK-08, TK-10, TK-11, TK-16
func TestVerificationLinks(t *testing.T) {
	t.Parallel()
	pending := func(t *testing.T, e *authtest.Engine) string {
		if _, err := signUp(t, e, "ada@example.com", authtest.Password, auth.SignUpOptions{}); err != nil {
			t.Fatal(err)
		}
		return e.Mailbox.Last(t, "ada@example.com").Ticket()
	}
	verify := func(e *authtest.Engine, ticket, redirectTo string) error {
		_, err := e.VerifyTicket(context.Background(), auth.VerifyTicketParams{Ticket: ticket, RedirectTo: redirectTo})
		return err
	}
	t.Run("work once, however many try", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t)
		ticket := pending(t, e)
		var won atomic.Int32
		atOnce(50, func(int) {
			if err := verify(e, ticket, ""); err == nil {
				won.Add(1)
			} else if !errors.Is(err, auth.ErrInvalidTicket) {
				t.Error(err)
			}
		})
		if won.Load() != 1 {
			t.Errorf("%d succeeded", won.Load())
		}
	})
	t.Run("expire", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t)
		ticket := pending(t, e)
		e.Clock.Advance(7 * 24 * time.Hour)
		wantErr(t, verify(e, ticket, ""), auth.ErrInvalidTicket)
		e.Clock.Advance(-time.Second)
		if err := verify(e, ticket, ""); err != nil {
			t.Error(err)
		}
	})
	t.Run("survive a redirect that is refused", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t)
		ticket := pending(t, e)
		wantErr(t, verify(e, ticket, "https://evil.test"), auth.ErrRedirectNotAllowed)
		if err := verify(e, ticket, ""); err != nil {
			t.Error(err)
		}
	})
	t.Run("survive a store that fails", func(t *testing.T) {
		t.Parallel()
		s := memstore.New()
		e := authtest.NewWithStore(t, s)
		ticket := pending(t, e)
		broken := authtest.NewWithStore(t, storetest.Break(s, storetest.Fault{Method: "ChangeUser"}))
		wantErr(t, verify(broken, ticket, ""), auth.ErrInternal)
		if err := verify(e, ticket, ""); err != nil {
			t.Error(err)
		}
	})
	t.Run("are worth nothing altered, cut or as stored", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t)
		ticket := pending(t, e)
		for _, other := range []string{
			"", "verifyEmail", "verifyEmail:", ticket[len("verifyEmail:"):], "passwordReset:" + ticket[len("verifyEmail:"):],
			ticket + "0", strings.ToUpper(ticket), ticket[:len(ticket)-1], "mfaTotp:" + ticket, strings.Repeat("verifyEmail:", 1<<16),
		} {
			wantErr(t, verify(e, other, ""), auth.ErrInvalidTicket)
		}
	})
	t.Run("are not what a ticket of another kind is", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t)
		s := e.SignUp(t, "ada@example.com")
		ticket, secret, err := auth.Issue(e.Engine, "mfaTotp", s.User.ID, map[string]string{"email": "ada@example.com"})
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Store.PutTicket(t.Context(), *ticket); err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{secret, "verifyEmail" + strings.TrimPrefix(secret, "mfaTotp")} {
			wantErr(t, verify(e, secret, ""), auth.ErrInvalidTicket)
		}
	})
	t.Run("do nothing for a disabled user", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t)
		ticket := pending(t, e)
		u, err := e.FindUser(t.Context(), auth.UserBy{Email: "ADA@example.com"})
		if err != nil {
			t.Fatal(err)
		}
		yes := true
		if _, err := e.UpdateUser(t.Context(), u.ID, auth.UserUpdate{Disabled: &yes}); err != nil {
			t.Fatal(err)
		}
		wantErr(t, verify(e, ticket, ""), auth.ErrDisabledUser)
		if u, err = e.FindUser(t.Context(), auth.UserBy{ID: u.ID}); err != nil || u.EmailVerified {
			t.Errorf("verified: %v, %v", u.EmailVerified, err)
		}
	})
	t.Run("prove only the address that they were sent to", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t)
		ticket := pending(t, e)
		a, err := e.Store.User(t.Context(), store.UserQuery{EmailKey: "ada@example.com"})
		if err != nil {
			t.Fatal(err)
		}
		_, err = e.Store.ChangeUser(t.Context(), store.UserChange{
			UserID: a.ID, Now: e.Clock.Now(), Set: store.UserSet{Email: &store.Email{Typed: "eve@example.com", Key: "eve@example.com"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		wantErr(t, verify(e, ticket, ""), auth.ErrInvalidTicket)
	})
}

// LG-13: that somebody has signed up again in place of whoever has not proven the address is recorded with the account.
func TestASignUpInPlaceOfAnotherIsRecorded(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	if _, err := signUp(t, e, "ada@example.com", authtest.Password, auth.SignUpOptions{}); err != nil {
		t.Fatal(err)
	}
	u, err := e.FindUser(t.Context(), auth.UserBy{Email: "ada@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	e.Clock.Advance(8 * 24 * time.Hour)
	if _, err := signUp(t, e, "ada@example.com", newPassword, auth.SignUpOptions{}); err != nil {
		t.Fatal(err)
	}
	if events := e.Events.Of(auth.EventUserUpdated); len(events) != 1 || events[0].UserID != u.ID || events[0].Detail != "a pending sign-up was replaced" {
		t.Errorf("%+v", events)
	}
}
