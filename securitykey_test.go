package auth_test

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/storetest"
)

func TestSecurityKeysAreListedRenamedAndRemoved(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	phone, plug := &authtest.Authenticator{}, authtest.NewSecurityKey()
	p := e.Principal(t, withKey(t, e, "ada@example.com", phone))
	added := addKey(t, e, p, plug)
	list, err := e.RenameSecurityKey(t.Context(), p, auth.RenameSecurityKeyParams{ID: added.ID, Nickname: "Blue 👩‍💻"})
	if err != nil {
		t.Fatal(err)
	}
	again, err := e.ListSecurityKeys(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(list, again); diff != "" {
		t.Errorf("the answer to a renaming is not the list: %s", diff)
	}
	phoneID := base64.RawURLEncoding.EncodeToString(phone.Credentials()[0].ID)
	plugID := base64.RawURLEncoding.EncodeToString(plug.Credentials()[0].ID)
	handle := base64.RawURLEncoding.EncodeToString(p.UserID[:])
	signals := auth.Signals{
		AllAcceptedCredentials: auth.AllAcceptedCredentials{RPID: "app.test", UserID: handle, AllAcceptedCredentialIDs: []string{phoneID, plugID}},
		CurrentUserDetails:     auth.CurrentUserDetails{RPID: "app.test", UserID: handle, Name: "ada@example.com", DisplayName: "ada@example.com"},
	}
	ids := func(s auth.Signals) auth.Signals { // two keys of one instant come in any order
		if l := s.AllAcceptedCredentials.AllAcceptedCredentialIDs; len(l) == 2 && l[0] == plugID {
			l[0], l[1] = l[1], l[0]
		}
		return s
	}
	if diff := cmp.Diff(signals, ids(list.Signals)); diff != "" {
		t.Error(diff)
	}
	for _, k := range list.Keys {
		if k.ID == added.ID && (k.Nickname != "Blue 👩‍💻" || k.LastUsedAt != nil || k.Attachment != "cross-platform" || k.UserVerified || k.BackupEligible) {
			t.Errorf("key %s", asJSON(k))
		}
	}

	left, err := e.RemoveSecurityKey(t.Context(), p, auth.RemoveSecurityKeyParams{ID: added.ID})
	if err != nil {
		t.Fatal(err)
	}
	signals.AllAcceptedCredentials.AllAcceptedCredentialIDs = []string{phoneID}
	signals.UnknownCredential = &auth.UnknownCredential{RPID: "app.test", CredentialID: plugID}
	if diff := cmp.Diff(signals, left.Signals); diff != "" || len(left.Keys) != 1 {
		t.Error(diff)
	}
	plug.Unchecked = true
	if _, err := endKeySignIn(t, e, plug.Get(t, beginKeySignIn(t, e, "ada@example.com"))); !errors.Is(err, auth.ErrInvalidRequest) {
		t.Errorf("the removed key: %v", err)
	}
	if _, err := endKeySignIn(t, e, phone.Get(t, beginKeySignIn(t, e, ""))); err != nil {
		t.Errorf("the other key: %v", err)
	}
	var types []auth.EventType
	for _, event := range e.Events.Of(auth.EventSecurityKeyAdded, auth.EventSecurityKeyRenamed, auth.EventSecurityKeyRemoved) {
		types = append(types, event.Type)
	}
	want := []auth.EventType{auth.EventSecurityKeyAdded, auth.EventSecurityKeyAdded, auth.EventSecurityKeyRenamed, auth.EventSecurityKeyRemoved}
	if diff := cmp.Diff(want, types); diff != "" {
		t.Error(diff)
	}
}

// UR-09: other people's keys do not exist.
func TestOtherPeoplesKeysDoNotExist(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	key := &authtest.Authenticator{}
	a := e.Principal(t, withKey(t, e, "ada@example.com", key))
	b := e.Principal(t, withKey(t, e, "bob@example.com", &authtest.Authenticator{}))
	list, err := e.ListSecurityKeys(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []uuid.UUID{list.Keys[0].ID, uuid.New(), uuid.Nil} {
		if _, err := e.RenameSecurityKey(t.Context(), b, auth.RenameSecurityKeyParams{ID: id, Nickname: "mine"}); !errors.Is(err, auth.ErrNotFound) {
			t.Errorf("rename: %v", err)
		}
		if _, err := e.RemoveSecurityKey(t.Context(), b, auth.RemoveSecurityKeyParams{ID: id}); !errors.Is(err, auth.ErrNotFound) {
			t.Errorf("remove: %v", err)
		}
	}
	after, err := e.ListSecurityKeys(t.Context(), a)
	if diff := cmp.Diff(list, after); diff != "" || err != nil {
		t.Errorf("%s, %v", diff, err)
	}
}

// WA-34: nobody locks themselves out, not even by two removals at once.
func TestTheLastWayInStays(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, unverified)
	first, second := &authtest.Authenticator{}, &authtest.Authenticator{}
	in, err := endKeySignUp(t, e, first.Create(t, beginKeySignUp(t, e, "ada@example.com")))
	if err != nil {
		t.Fatal(err)
	}
	p := e.Principal(t, in.Session)
	list, err := e.ListSecurityKeys(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	only := auth.RemoveSecurityKeyParams{ID: list.Keys[0].ID}
	if _, err := e.RemoveSecurityKey(t.Context(), p, only); !errors.Is(err, auth.ErrInvalidRequest) {
		t.Errorf("the only key: %v", err)
	}
	spare := addKey(t, e, p, second)
	var next, ok atomic.Int64
	both := []auth.RemoveSecurityKeyParams{only, {ID: spare.ID}}
	parallel(50, func() {
		switch _, err := e.RemoveSecurityKey(background, p, both[next.Add(1)%2]); {
		case err == nil:
			ok.Add(1)
		case !errors.Is(err, auth.ErrInvalidRequest) && !errors.Is(err, auth.ErrNotFound):
			t.Error(err)
		}
	})
	if ok.Load() != 1 {
		t.Errorf("%d removals", ok.Load())
	}

	// Whoever looked before the other removal looks again.
	inner := memstore.New()
	var between func()
	var armed atomic.Bool
	late := authtest.NewWithStore(t, storetest.Break(inner, storetest.Fault{Method: "ChangeUser", Do: func(context.Context) {
		if armed.CompareAndSwap(true, false) {
			between()
		}
	}}), unverified)
	in, err = endKeySignUp(t, late, (&authtest.Authenticator{}).Create(t, beginKeySignUp(t, late, "ada@example.com")))
	if err != nil {
		t.Fatal(err)
	}
	p = late.Principal(t, in.Session)
	spare = addKey(t, late, p, &authtest.Authenticator{})
	list, err = late.ListSecurityKeys(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	between = func() {
		if _, err := late.RemoveSecurityKey(background, p, auth.RemoveSecurityKeyParams{ID: spare.ID}); err != nil {
			t.Error(err)
		}
	}
	other := list.Keys[0].ID
	if other == spare.ID {
		other = list.Keys[1].ID
	}
	armed.Store(true)
	if _, err := late.RemoveSecurityKey(t.Context(), p, auth.RemoveSecurityKeyParams{ID: other}); !errors.Is(err, auth.ErrInvalidRequest) {
		t.Errorf("the other key, removed a moment later: %v", err)
	}

	// A password is another way in, where passwords are on.
	withPassword := e.Principal(t, withKey(t, e, "bob@example.com", &authtest.Authenticator{}))
	list, err = e.ListSecurityKeys(t.Context(), withPassword)
	if err != nil {
		t.Fatal(err)
	}
	off := replica(t, e, unverified, func(c *auth.Config) { c.Password = nil })
	if _, err := off.RemoveSecurityKey(t.Context(), withPassword, auth.RemoveSecurityKeyParams{ID: list.Keys[0].ID}); !errors.Is(err, auth.ErrInvalidRequest) {
		t.Errorf("the only key where passwords are off: %v", err)
	}
	left, err := e.RemoveSecurityKey(t.Context(), withPassword, auth.RemoveSecurityKeyParams{ID: list.Keys[0].ID})
	if err != nil {
		t.Fatalf("a key beside a password: %v", err)
	}
	// The function of browsers that takes it demands a list.
	if text := asJSON(left); !strings.Contains(text, `"keys":[],`) || !strings.Contains(text, `"allAcceptedCredentialIds":[]`) {
		t.Errorf("without a key: %s", text)
	}
}

// A key that is removed while it is given a name does not exist.
func TestAKeyIsRemovedBetweenTheLookAndItsName(t *testing.T) {
	t.Parallel()
	e := interruptible(t)
	p := e.Principal(t, e.SignUp(t, "ada@example.com"))
	key := addKey(t, e.Engine, p, &authtest.Authenticator{})
	e.arm(func() {
		if _, err := e.RemoveSecurityKey(background, p, auth.RemoveSecurityKeyParams{ID: key.ID}); err != nil {
			t.Error(err)
		}
	})
	list, err := e.RenameSecurityKey(t.Context(), p, auth.RenameSecurityKeyParams{ID: key.ID, Nickname: "Phone"})
	if list != nil || !errors.Is(err, auth.ErrNotFound) {
		t.Errorf("%v, %v", list, err)
	}
}

// A key that can never sign in is no way in.
func TestAKeyThatCannotSignInIsNoWayIn(t *testing.T) {
	t.Parallel()
	lax := authtest.New(t, unverified)
	in, err := endKeySignUp(t, lax, (&authtest.Authenticator{}).Create(t, beginKeySignUp(t, lax, "ada@example.com")))
	if err != nil {
		t.Fatal(err)
	}
	p := lax.Principal(t, in.Session)
	addKey(t, lax, p, authtest.NewSecurityKey())
	list, err := lax.ListSecurityKeys(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	strict := replica(t, lax, unverified, func(c *auth.Config) { c.WebAuthn.UserVerification = auth.UserVerificationRequired })
	for _, k := range list.Keys {
		if k.UserVerified {
			if _, err := strict.RemoveSecurityKey(t.Context(), p, auth.RemoveSecurityKeyParams{ID: k.ID}); !errors.Is(err, auth.ErrInvalidRequest) {
				t.Errorf("%v", err)
			}
		}
	}
}

// A key is a way in if it is as good as sign-ins demand: it need not verify its user where that is not demanded.
func TestAKeyThatIsGoodEnoughIsAWayIn(t *testing.T) {
	t.Parallel()
	for demand, spare := range map[auth.UserVerification]*authtest.Authenticator{
		auth.UserVerificationRequired:    {},
		auth.UserVerificationDiscouraged: {NoUserVerification: true},
	} {
		e := authtest.New(t, unverified, func(c *auth.Config) { c.WebAuthn.UserVerification = demand })
		in, err := endKeySignUp(t, e, (&authtest.Authenticator{}).Create(t, beginKeySignUp(t, e, "ada@example.com")))
		if err != nil {
			t.Fatal(err)
		}
		p := e.Principal(t, in.Session)
		list, err := e.ListSecurityKeys(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		addKey(t, e, p, spare)
		if _, err := e.RemoveSecurityKey(t.Context(), p, auth.RemoveSecurityKeyParams{ID: list.Keys[0].ID}); err != nil {
			t.Errorf("where user verification is %s: %v", demand, err)
		}
	}
}

// A proven address is a way in where letters sign in.
func TestALetterIsAWayIn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		amend func(*auth.Config)
		ok    bool
	}{
		"by a link":                    {func(c *auth.Config) { c.Password, c.MagicLink = nil, &auth.MagicLinkConfig{} }, true},
		"by a code":                    {func(c *auth.Config) { c.Password, c.EmailOTP = nil, &auth.EmailOTPConfig{} }, true},
		"by a reset":                   {func(*auth.Config) {}, true},
		"by a reset that nobody sends": {func(c *auth.Config) { c.Mail, c.Email.AllowUnverified = nil, true }, false},
		"by no letters":                {func(c *auth.Config) { c.Password = nil }, false},
	} {
		e := authtest.New(t)
		if _, err := endKeySignUp(t, e, (&authtest.Authenticator{}).Create(t, beginKeySignUp(t, e, "ada@example.com"))); err != nil {
			t.Fatal(err)
		}
		p := e.Principal(t, followLink(t, e, "ada@example.com").Session)
		list, err := e.ListSecurityKeys(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		_, err = replica(t, e, c.amend).RemoveSecurityKey(t.Context(), p, auth.RemoveSecurityKeyParams{ID: list.Keys[0].ID})
		if c.ok && err != nil || !c.ok && !errors.Is(err, auth.ErrInvalidRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRemovingAKeyCanSignOutTheOthers(t *testing.T) {
	t.Parallel()
	for _, others := range []bool{false, true} {
		e := authtest.New(t)
		s := withKey(t, e, "ada@example.com", &authtest.Authenticator{})
		other := e.SignIn(t, "ada@example.com")
		p := e.Principal(t, s)
		list, err := e.ListSecurityKeys(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.RemoveSecurityKey(t.Context(), p, auth.RemoveSecurityKeyParams{ID: list.Keys[0].ID, SignOutOthers: others}); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Refresh(t.Context(), auth.RefreshParams{RefreshToken: s.RefreshToken}); err != nil {
			t.Errorf("the session that removed it: %v", err)
		}
		_, err = e.Refresh(t.Context(), auth.RefreshParams{RefreshToken: other.RefreshToken})
		if others != errors.Is(err, auth.ErrInvalidRefreshToken) || !others && err != nil {
			t.Errorf("the other session: %v", err)
		}
	}
}

// A key that comes or goes is told to the owner of a proven address, with nothing in the letter that a thief could choose.
func TestTheOwnerIsToldOfKeys(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	p := e.Principal(t, e.SignUp(t, "ada@example.com"))
	options, err := e.AddSecurityKey(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	const nickname = "Call 555 or open evil.test"
	added, err := e.VerifyAddSecurityKey(t.Context(), p, auth.VerifyAddSecurityKeyParams{
		Credential: (&authtest.Authenticator{}).Create(t, options), Nickname: nickname,
	})
	if err != nil {
		t.Fatal(err)
	}
	letters := []authtest.Letter{e.Mailbox.Last(t, "ada@example.com")}
	if _, err := e.RemoveSecurityKey(t.Context(), p, auth.RemoveSecurityKeyParams{ID: added.ID}); err != nil {
		t.Fatal(err)
	}
	letters = append(letters, e.Mailbox.Last(t, "ada@example.com"))
	for i, template := range []string{"security-key-added", "security-key-removed"} {
		if l := letters[i]; l.Template != template || strings.Contains(l.Text+l.HTML+l.Subject, "evil") {
			t.Errorf("letter %+v", l)
		}
	}

	open := authtest.New(t, unverified)
	withKey(t, open, "bob@example.com", &authtest.Authenticator{})
	if n := len(open.Mailbox.All()); n != 0 {
		t.Errorf("%d letters to an address that nobody has proven", n)
	}
}

// WA-32.
func TestNicknamesAndNumbersOfKeysAreBounded(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, func(c *auth.Config) { c.WebAuthn.MaxPerUser = 3 })
	p := e.Principal(t, e.SignUp(t, "ada@example.com"))
	var key *auth.SecurityKey
	for range 3 {
		key = addKey(t, e, p, &authtest.Authenticator{})
	}
	if _, err := e.AddSecurityKey(t.Context(), p); !errors.Is(err, auth.ErrInvalidRequest) {
		t.Errorf("a fourth key: %v", err)
	}
	for nickname, ok := range map[string]bool{
		"": true, "My <b>key</b>": true, strings.Repeat("ž", 64): true, "👨‍👩‍👧": true, "کلید\u200cها": true, "鍵\u3000一": true, "🏴󠁧󠁢󠁥󠁮󠁧󠁿": true,
		"\U000E0020": true, "\U000E007F": true, "\U000E001F": false, "\U000E0080": false, // tags, of which flags are made
		strings.Repeat("a", 65): false, strings.Repeat("a", 1<<20): false, "a\r\nb": false, "a\x00": false, "\u202Egnp": false, "\xff": false,
	} {
		if _, err := e.RenameSecurityKey(t.Context(), p, auth.RenameSecurityKeyParams{ID: key.ID, Nickname: nickname}); ok != (err == nil) || !ok && !errors.Is(err, auth.ErrInvalidRequest) {
			t.Errorf("rename to %.20q: %v", nickname, err)
		}
		_, err := e.VerifySignUpWebAuthn(t.Context(), auth.VerifySignUpWebAuthnParams{
			Credential: (&authtest.Authenticator{}).Create(t, beginKeySignUp(t, e, uuid.NewString()+"@example.com")), Nickname: nickname,
		})
		if ok != (err == nil) {
			t.Errorf("sign up with %.20q: %v", nickname, err)
		}
	}
}
