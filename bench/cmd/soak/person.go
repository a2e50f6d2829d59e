package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/pquerna/otp/totp"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
)

// person is somebody with an account, and what they know of it.
type person struct {
	*world
	random   *rand.Rand
	from     netip.Addr
	email    string
	id       uuid.UUID
	password string // empty: has none
	session  *auth.Session
	key      *authtest.Authenticator // nil: has none
	secret   string                  // of the authenticator app; empty: has none
	done     []string
}

// object is a body.
type object map[string]any

// call makes a request at any replica. The answer must have the status, and the code if it is a refusal.
func (p *person) call(ctx context.Context, method, path string, body any, status int, code auth.Code, into any) error {
	bearer := ""
	if p.session != nil {
		bearer = p.session.AccessToken
	}
	return p.callAs(ctx, bearer, method, path, body, status, code, into)
}

func (p *person) callAs(ctx context.Context, bearer, method, path string, body any, status int, code auth.Code, into any) error {
	a, err := p.ask(ctx, p.random.IntN(len(p.bases)), p.from, method, path, bearer, body)
	if err != nil {
		return err
	}
	if a.status != status || a.code != string(code) {
		return fmt.Errorf("%s %s is answered with %d %s, want %d %s", method, path, a.status, a.body, status, code)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(a.body, into)
}

// post is a request by who is not signed in.
func (p *person) post(ctx context.Context, path string, body any, status int, code auth.Code, into any) error {
	return p.callAs(ctx, "", http.MethodPost, path, body, status, code, into)
}

// enters takes a session that a way in has opened.
func (p *person) enters(s *auth.Session) error {
	switch {
	case s == nil || s.User == nil || s.AccessToken == "" || s.RefreshToken == "":
		return errors.New("a way in without a session")
	case p.id == uuid.Nil:
		p.id = s.User.ID
	case p.id != s.User.ID:
		return fmt.Errorf("user %s gets a session of %s", p.id, s.User.ID)
	}
	p.session = s
	return nil
}

// refresh trades a refresh token.
func (p *person) refresh(ctx context.Context, token string, status int, code auth.Code) (*auth.Session, error) {
	var s *auth.Session
	if status == http.StatusOK {
		s = new(auth.Session)
		return s, p.post(ctx, "/token", object{"refreshToken": token}, status, code, s)
	}
	return nil, p.post(ctx, "/token", object{"refreshToken": token}, status, code, nil)
}

// letter waits for one.
func (p *person) letter(ctx context.Context, template string) (link, ticket string, err error) {
	m, err := p.world.post.read(ctx, p.email, template)
	if err != nil {
		return "", "", err
	}
	link, ours := strings.CutPrefix(m.Variables["link"], serverURL)
	if m.Variables["link"] != "" && !ours {
		return "", "", fmt.Errorf("the link of a letter is %s", m.Variables["link"])
	}
	return link, m.Variables["ticket"], nil
}

// follow opens a link and returns where it has led.
func (p *person) follow(ctx context.Context, link string) (url.Values, error) {
	a, err := p.ask(ctx, p.random.IntN(len(p.bases)), p.from, http.MethodGet, link, "", nil)
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusFound || a.code != "" {
		return nil, fmt.Errorf("a link is answered with %d %s %s", a.status, a.code, a.body)
	}
	return a.location.Query(), nil
}

// entersBy follows the link of a letter, which signs in.
func (p *person) entersBy(ctx context.Context, template string) error {
	link, _, err := p.letter(ctx, template)
	if err != nil {
		return err
	}
	query, err := p.follow(ctx, link)
	if err != nil {
		return err
	}
	s, err := p.refresh(ctx, query.Get("refreshToken"), http.StatusOK, "")
	if err != nil {
		return err
	}
	return p.enters(s)
}

// in is a way in that answers with a session.
func (p *person) in(ctx context.Context, path string, body any) error {
	var in auth.SignInResult
	if err := p.post(ctx, path, body, http.StatusOK, "", &in); err != nil {
		return err
	}
	return p.enters(in.Session)
}

// lives comes, does some things in any order, and goes.
func (p *person) lives(ctx context.Context) error {
	p.email = fmt.Sprintf("p%d@example.com", p.random.Uint64())
	p.world.post.open(p.email)
	defer func() { p.world.post.shut(p.email) }() // which may be another by then
	if err := p.does(ctx, arrivals[p.random.IntN(len(arrivals))]); err != nil {
		return err
	}
	for range 3 + p.random.IntN(6) {
		if err := p.does(ctx, deeds[p.random.IntN(len(deeds))]); err != nil {
			return err
		}
	}
	return p.does(ctx, deed{"leaves", (*person).leaves})
}

func (p *person) does(ctx context.Context, d deed) error {
	p.done = append(p.done, d.name)
	if err := d.do(p, ctx); err != nil {
		return err
	}
	p.did(d.name)
	return nil
}

// deed is something that people do.
type deed struct {
	name string
	do   func(*person, context.Context) error
}

// arrivals end with a session.
var arrivals = []deed{
	{"signs up by password", (*person).signsUpByPassword},
	{"signs up by link", (*person).signsUpByLink},
	{"signs up by code", (*person).signsUpByCode},
	{"signs up by passkey", (*person).signsUpByPasskey},
	{"becomes of a guest", (*person).becomesOfGuest},
}

// deeds begin and end with a session.
var deeds = []deed{
	{"asks who they are", (*person).asks},
	{"has a token verified", (*person).verifies},
	{"refreshes", (*person).refreshes},
	{"refreshes", (*person).refreshes},
	{"refreshes at once", (*person).refreshesAtOnce},
	{"presents an old token", (*person).presentsOldToken},
	{"mistakes the password", (*person).mistakesPassword},
	{"signs out and in", (*person).signsOutAndIn},
	{"signs out everywhere", (*person).signsOutEverywhere},
	{"comes by link", (*person).comesByLink},
	{"comes by code", (*person).comesByCode},
	{"adds a passkey", (*person).addsPasskey},
	{"has a second factor for a while", (*person).hasSecondFactor},
	{"uses a personal access token", (*person).usesPAT},
	{"resets the password", (*person).resetsPassword},
	{"changes the password", (*person).changesPassword},
	{"changes the address", (*person).changesAddress},
	{"guesses tokens", (*person).guesses},
	{"leaves things behind", (*person).leavesThings},
}

func (p *person) newPassword() string { return fmt.Sprintf("plum-tractor-%x", p.random.Uint64()) }

func (p *person) signsUpByPassword(ctx context.Context) error {
	p.password = p.newPassword()
	credentials := object{"email": p.email, "password": p.password}
	if err := p.post(ctx, "/signup/email-password", credentials, http.StatusOK, "", nil); err != nil {
		return err
	}
	if p.random.IntN(3) == 0 {
		if err := p.post(ctx, "/signin/email-password", credentials, http.StatusUnauthorized, auth.CodeUnverifiedUser, nil); err != nil {
			return err
		}
	}
	return p.entersBy(ctx, "email-verify")
}

func (p *person) signsUpByLink(ctx context.Context) error { return p.comesByLink(ctx) }

func (p *person) signsUpByCode(ctx context.Context) error { return p.comesByCode(ctx) }

func (p *person) signsUpByPasskey(ctx context.Context) error {
	p.key = &authtest.Authenticator{Origin: clientURL}
	var options json.RawMessage
	if err := p.post(ctx, "/signup/webauthn", object{"email": p.email}, http.StatusOK, "", &options); err != nil {
		return err
	}
	made, err := p.key.TryCreate(options)
	if err != nil {
		return err
	}
	if err := p.post(ctx, "/signup/webauthn/verify", object{"credential": made}, http.StatusOK, "", nil); err != nil {
		return err
	}
	return p.entersBy(ctx, "email-verify")
}

func (p *person) becomesOfGuest(ctx context.Context) error {
	if err := p.in(ctx, "/signin/anonymous", nil); err != nil {
		return err
	}
	if err := p.refreshes(ctx); err != nil {
		return err
	}
	guest, body, template := p.session, object{"signInMethod": "passwordless", "email": p.email}, "signin-passwordless"
	if p.random.IntN(2) == 0 {
		p.password = p.newPassword()
		body, template = object{"signInMethod": "email-password", "email": p.email, "password": p.password}, "email-verify"
	}
	if err := p.call(ctx, http.MethodPost, "/user/deanonymize", body, http.StatusOK, "", nil); err != nil {
		return err
	}
	if _, err := p.refresh(ctx, guest.RefreshToken, http.StatusUnauthorized, auth.CodeInvalidRefreshToken); err != nil {
		return err
	}
	return p.entersBy(ctx, template)
}

func (p *person) asks(ctx context.Context) error {
	var u auth.User
	if err := p.call(ctx, http.MethodGet, "/user", nil, http.StatusOK, "", &u); err != nil {
		return err
	}
	if u.ID != p.id || u.Email != p.email {
		return fmt.Errorf("%s is taken for %s", p.email, u.Email)
	}
	return nil
}

// verifies asks a replica, and services that verify tokens by the key set of each.
func (p *person) verifies(ctx context.Context) error {
	if err := p.call(ctx, http.MethodPost, "/token/verify", nil, http.StatusOK, "", nil); err != nil {
		return err
	}
	token := p.session.AccessToken
	for _, v := range p.verifiers {
		c, err := v.Verify(ctx, token)
		if err != nil {
			return fmt.Errorf("a service verifies a token: %w", err)
		}
		if c.UserID != p.id.String() {
			return fmt.Errorf("a service takes %s for %s", p.id, c.UserID)
		}
	}
	p.mu.Lock()
	header, _, _ := strings.Cut(token, ".")
	p.keys[header] = true
	p.mu.Unlock()
	forged := token[:len(token)-10] + "AAAAAAAAAA"
	return p.callAs(ctx, forged, http.MethodGet, "/user", nil, http.StatusUnauthorized, auth.CodeUnauthenticated, nil)
}

func (p *person) refreshes(ctx context.Context) error {
	before := p.session.RefreshToken
	s, err := p.refresh(ctx, before, http.StatusOK, "")
	if err != nil {
		return err
	}
	if s.RefreshToken == before {
		return errors.New("a refresh token is not rotated")
	}
	return p.enters(s)
}

// refreshesAtOnce: within the grace period all get the same.
func (p *person) refreshesAtOnce(ctx context.Context) error {
	const times = 4
	var answers [times]reply
	var errs [times]error
	var all sync.WaitGroup
	for i := range times {
		all.Go(func() {
			answers[i], errs[i] = p.ask(ctx, i%len(p.bases), p.from, http.MethodPost, "/token", "", object{"refreshToken": p.session.RefreshToken})
		})
	}
	all.Wait()
	var next *auth.Session
	for i, a := range answers {
		var s auth.Session
		switch {
		case errs[i] != nil:
			return errs[i]
		case a.status != http.StatusOK:
			return fmt.Errorf("one of %d refreshes at once is answered with %d %s", times, a.status, a.body)
		}
		if err := json.Unmarshal(a.body, &s); err != nil {
			return err
		}
		if next != nil && s.RefreshToken != next.RefreshToken {
			return errors.New("refreshes at once do not agree")
		}
		next = &s
	}
	return p.enters(next)
}

// presentsOldToken: the session ends, for the thief and the owner.
func (p *person) presentsOldToken(ctx context.Context) error {
	old := p.session.RefreshToken
	for range 2 {
		if err := p.refreshes(ctx); err != nil {
			return err
		}
	}
	for _, token := range []string{old, p.session.RefreshToken} {
		if _, err := p.refresh(ctx, token, http.StatusUnauthorized, auth.CodeInvalidRefreshToken); err != nil {
			return err
		}
	}
	return p.comesBack(ctx)
}

// comesBack signs in by a way that the person has.
func (p *person) comesBack(ctx context.Context) error {
	switch {
	case p.key != nil:
		return p.comesByPasskey(ctx)
	case p.password != "":
		return p.in(ctx, "/signin/email-password", object{"email": p.email, "password": p.password})
	}
	return p.comesByCode(ctx)
}

func (p *person) comesByPasskey(ctx context.Context) error {
	var options json.RawMessage
	if err := p.post(ctx, "/signin/webauthn", nil, http.StatusOK, "", &options); err != nil {
		return err
	}
	used, err := p.key.TryGet(options)
	if err != nil {
		return err
	}
	return p.in(ctx, "/signin/webauthn/verify", object{"credential": used})
}

func (p *person) comesByLink(ctx context.Context) error {
	if err := p.post(ctx, "/signin/passwordless/email", object{"email": p.email}, http.StatusOK, "", nil); err != nil {
		return err
	}
	return p.entersBy(ctx, "signin-passwordless")
}

func (p *person) comesByCode(ctx context.Context) error {
	if err := p.post(ctx, "/signin/otp/email", object{"email": p.email}, http.StatusOK, "", nil); err != nil {
		return err
	}
	_, code, err := p.letter(ctx, "signin-otp")
	if err != nil {
		return err
	}
	if p.random.IntN(3) == 0 {
		wrong := object{"email": p.email, "otp": fmt.Sprintf("%06d", (number(code)+1)%1_000_000)}
		if err := p.post(ctx, "/signin/otp/email/verify", wrong, http.StatusUnauthorized, auth.CodeInvalidTicket, nil); err != nil {
			return err
		}
	}
	return p.in(ctx, "/signin/otp/email/verify", object{"email": p.email, "otp": code})
}

func number(code string) (n int) {
	for _, r := range code {
		n = 10*n + int(r-'0')
	}
	return n
}

func (p *person) mistakesPassword(ctx context.Context) error {
	if p.password == "" {
		return p.asks(ctx)
	}
	wrong := object{"email": p.email, "password": p.newPassword()}
	if err := p.post(ctx, "/signin/email-password", wrong, http.StatusUnauthorized, auth.CodeInvalidEmailPassword, nil); err != nil {
		return err
	}
	return p.in(ctx, "/signin/email-password", object{"email": p.email, "password": p.password})
}

func (p *person) signsOutAndIn(ctx context.Context) error {
	gone := p.session.RefreshToken
	if err := p.post(ctx, "/signout", object{"refreshToken": gone}, http.StatusOK, "", nil); err != nil {
		return err
	}
	if _, err := p.refresh(ctx, gone, http.StatusUnauthorized, auth.CodeInvalidRefreshToken); err != nil {
		return err
	}
	return p.comesBack(ctx)
}

func (p *person) signsOutEverywhere(ctx context.Context) error {
	gone := p.session.RefreshToken
	if err := p.call(ctx, http.MethodPost, "/signout", object{"all": true}, http.StatusOK, "", nil); err != nil {
		return err
	}
	if _, err := p.refresh(ctx, gone, http.StatusUnauthorized, auth.CodeInvalidRefreshToken); err != nil {
		return err
	}
	return p.comesBack(ctx)
}

func (p *person) addsPasskey(ctx context.Context) error {
	key := &authtest.Authenticator{Origin: clientURL, Counting: true, DeviceBound: true}
	var options json.RawMessage
	if err := p.call(ctx, http.MethodPost, "/user/webauthn/add", nil, http.StatusOK, "", &options); err != nil {
		return err
	}
	made, err := key.TryCreate(options)
	if errors.Is(err, authtest.InvalidStateError) {
		return err
	}
	if err != nil {
		return err
	}
	if err := p.call(ctx, http.MethodPost, "/user/webauthn/verify", object{"credential": made, "nickname": "soak"}, http.StatusOK, "", nil); err != nil {
		return err
	}
	p.key = key
	return p.comesByPasskey(ctx)
}

// hasSecondFactor: an authenticator app, a sign-in with it, recovery codes, a sign-in with one, and no more of it.
func (p *person) hasSecondFactor(ctx context.Context) error {
	if p.password == "" || p.secret != "" {
		return p.asks(ctx)
	}
	var enrolment auth.TOTPEnrolment
	if err := p.call(ctx, http.MethodGet, "/mfa/totp/generate", nil, http.StatusOK, "", &enrolment); err != nil {
		return err
	}
	p.secret = enrolment.Secret
	at := p.clock.now()
	code, err := totp.GenerateCode(p.secret, at)
	if err != nil {
		return err
	}
	if err := p.call(ctx, http.MethodPost, "/user/mfa", object{"activeMfaType": "totp", "code": code}, http.StatusOK, "", nil); err != nil {
		return err
	}
	next, err := totp.GenerateCode(p.secret, at.Add(30*time.Second)) // a code is good once; clocks may be so far apart
	if err != nil {
		return err
	}
	if err := p.second(ctx, "/signin/mfa/totp", object{"otp": next}); err != nil {
		return err
	}
	var made struct{ RecoveryCodes []string }
	if err := p.call(ctx, http.MethodPost, "/mfa/recovery-codes", nil, http.StatusOK, "", &made); err != nil {
		return err
	}
	if len(made.RecoveryCodes) < 2 {
		return errors.New("there are no recovery codes")
	}
	if err := p.second(ctx, "/signin/mfa/recovery", object{"recoveryCode": made.RecoveryCodes[0]}); err != nil {
		return err
	}
	return p.call(ctx, http.MethodPost, "/user/mfa", object{"activeMfaType": "", "recoveryCode": made.RecoveryCodes[1]}, http.StatusOK, "", nil)
}

// second signs in with the password and then with a second factor.
func (p *person) second(ctx context.Context, path string, proof object) error {
	var in auth.SignInResult
	if err := p.post(ctx, "/signin/email-password", object{"email": p.email, "password": p.password}, http.StatusOK, "", &in); err != nil {
		return err
	}
	if in.MFA == nil || in.Session != nil {
		return errors.New("no second factor is asked for")
	}
	proof["ticket"] = in.MFA.Ticket
	return p.in(ctx, path, proof)
}

func (p *person) usesPAT(ctx context.Context) error {
	var made auth.PAT
	until := object{"expiresAt": p.clock.now().Add(time.Hour).UTC().Format(time.RFC3339)}
	if err := p.call(ctx, http.MethodPost, "/pat", until, http.StatusOK, "", &made); err != nil {
		return err
	}
	var in auth.SignInResult
	if err := p.post(ctx, "/signin/pat", object{"personalAccessToken": made.Token}, http.StatusOK, "", &in); err != nil {
		return err
	}
	if in.Session == nil {
		return errors.New("a token opens no session")
	}
	if err := p.callAs(ctx, in.Session.AccessToken, http.MethodGet, "/user", nil, http.StatusOK, "", nil); err != nil {
		return err
	}
	if p.random.IntN(2) == 0 {
		return nil // it expires
	}
	if err := p.call(ctx, http.MethodDelete, "/pat/"+made.ID.String(), nil, http.StatusOK, "", nil); err != nil {
		return err
	}
	_, err := p.refresh(ctx, in.Session.RefreshToken, http.StatusUnauthorized, auth.CodeInvalidRefreshToken)
	return err
}

func (p *person) resetsPassword(ctx context.Context) error {
	if err := p.post(ctx, "/user/password/reset", object{"email": p.email}, http.StatusOK, "", nil); err != nil {
		return err
	}
	_, ticket, err := p.letter(ctx, "password-reset")
	if err != nil {
		return err
	}
	gone, password := p.session.RefreshToken, p.newPassword()
	if err := p.post(ctx, "/user/password", object{"newPassword": password, "ticket": ticket}, http.StatusOK, "", nil); err != nil {
		return err
	}
	p.password = password
	if _, err := p.refresh(ctx, gone, http.StatusUnauthorized, auth.CodeInvalidRefreshToken); err != nil {
		return err
	}
	return p.in(ctx, "/signin/email-password", object{"email": p.email, "password": p.password})
}

func (p *person) changesPassword(ctx context.Context) error {
	if p.password == "" {
		return p.refreshes(ctx)
	}
	next := p.newPassword()
	change := object{"newPassword": next, "currentPassword": p.password}
	if err := p.call(ctx, http.MethodPost, "/user/password", change, http.StatusOK, "", nil); err != nil {
		return err
	}
	p.password = next
	return p.refreshes(ctx)
}

func (p *person) changesAddress(ctx context.Context) error {
	next := fmt.Sprintf("q%d@example.com", p.random.Uint64())
	p.world.post.open(next)
	if err := p.call(ctx, http.MethodPost, "/user/email/change", object{"newEmail": next}, http.StatusOK, "", nil); err != nil {
		return err
	}
	p.world.post.shut(p.email)
	p.email = next
	link, _, err := p.letter(ctx, "email-confirm-change")
	if err != nil {
		return err
	}
	if _, err := p.follow(ctx, link); err != nil {
		return err
	}
	return p.comesBack(ctx)
}

// guesses exhausts the budget of a client, which refills a little meanwhile.
func (p *person) guesses(ctx context.Context) error {
	from := p.newAddress()
	for n := range 20 {
		guess := object{"personalAccessToken": uuid.NewString()}
		a, err := p.ask(ctx, p.random.IntN(len(p.bases)), from, http.MethodPost, "/signin/pat", "", guess)
		switch {
		case err != nil:
			return err
		case a.status == http.StatusTooManyRequests && n >= 10:
			return nil
		case a.status != http.StatusUnauthorized || a.code != string(auth.CodeInvalidPAT):
			return fmt.Errorf("guess %d of a token is answered with %d %s", n+1, a.status, a.body)
		}
	}
	return errors.New("a client can guess tokens for ever")
}

// leavesThings begins what is never ended: a guest, a challenge, a link.
func (p *person) leavesThings(ctx context.Context) error {
	if err := p.post(ctx, "/signin/anonymous", nil, http.StatusOK, "", nil); err != nil {
		return err
	}
	if err := p.post(ctx, "/signin/webauthn", nil, http.StatusOK, "", nil); err != nil {
		return err
	}
	if err := p.post(ctx, "/signin/passwordless/email", object{"email": p.email}, http.StatusOK, "", nil); err != nil {
		return err
	}
	_, _, err := p.letter(ctx, "signin-passwordless") // read, and not followed
	return err
}

// leaves deletes the account.
func (p *person) leaves(ctx context.Context) error {
	if err := p.call(ctx, http.MethodDelete, "/user", nil, http.StatusOK, "", nil); err != nil {
		return err
	}
	if err := p.call(ctx, http.MethodGet, "/user", nil, http.StatusUnauthorized, auth.CodeUnauthenticated, nil); err != nil {
		return err
	}
	_, err := p.refresh(ctx, p.session.RefreshToken, http.StatusUnauthorized, auth.CodeInvalidRefreshToken)
	return err
}

// movesIn is the first day of a resident.
func (p *person) movesIn(ctx context.Context) error {
	p.email = fmt.Sprintf("r%d@example.com", p.random.Uint64())
	p.world.post.open(p.email)
	defer p.world.post.shut(p.email)
	if err := p.signsUpByPasskey(ctx); err != nil {
		return err
	}
	return p.signsOutAndIn(ctx)
}

// dwells is a day of a resident. The session of each second one is left to expire.
func (p *person) dwells(ctx context.Context) error {
	for _, do := range []func(*person, context.Context) error{
		(*person).comesByPasskey, (*person).asks, (*person).refreshes, (*person).verifies, (*person).refreshesAtOnce,
	} {
		if err := do(p, ctx); err != nil {
			return err
		}
	}
	if p.random.IntN(2) == 0 {
		return nil
	}
	return p.post(ctx, "/signout", object{"refreshToken": p.session.RefreshToken}, http.StatusOK, "", nil)
}
