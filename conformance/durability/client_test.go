package durability_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth"
)

const password = "plum-tractor-eleven"

// client makes calls for some people, one after the other or several of the same at once, and remembers what it was told.
type client struct {
	*world
	name   string
	random *rand.Rand
	people []*person
	signed int // how many addresses it has used
}

// person is a user as their client knows them: only what a program has acknowledged, or what the client found out by
// insisting.
type person struct {
	email    string // empty: anonymous
	userID   uuid.UUID
	verified bool
	spent    string // the link that verified the address
	sessions []*session
	ended    []*session
	touched  bool // since the last audit
}

func (p *person) String() string {
	if p.email == "" {
		return "anonymous user " + p.userID.String()
	}
	return p.email
}

type session struct {
	id              uuid.UUID
	refresh, access string
	rotations       int
}

// refusal is an answer that says no, by the documented code.
type refusal string

func (r refusal) Error() string { return "refused: " + string(r) }

const (
	inUse        = refusal(auth.CodeEmailAlreadyInUse)
	badTicket    = refusal(auth.CodeInvalidTicket)
	badToken     = refusal(auth.CodeInvalidRefreshToken)
	unverified   = refusal(auth.CodeUnverifiedUser)
	unauthorized = refusal(auth.CodeUnauthenticated)
)

// errLost says that no answer has come, or one that says nothing: the call may have happened.
var errLost = errors.New("no answer")

// caller sends every request once, on a connection of its own: the transport would repeat some by itself.
var caller = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Timeout:       patience / 2,
}

// call makes one call at one of the programs. It returns nil, a refusal, or an error that is errLost.
func (w *world) call(ctx context.Context, any int, method, path, bearer string, body, into any) error {
	base, err := w.fleet.pick(ctx, any)
	if err != nil {
		return fmt.Errorf("%w: %w", errLost, err)
	}
	var text io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		text = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, base+path, text)
	if err != nil {
		return err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	answer, err := caller.Do(r)
	if err != nil {
		return fmt.Errorf("%w: %w", errLost, err)
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	if err != nil {
		return fmt.Errorf("%w: %w", errLost, err)
	}
	switch {
	case answer.StatusCode >= 500:
		if !w.trouble {
			w.fault("%s %s: %s %s", method, r.URL.Path, answer.Status, said)
		}
		return fmt.Errorf("%w: %s", errLost, answer.Status)
	case answer.StatusCode == http.StatusFound:
		target, err := answer.Location()
		if err != nil {
			return err
		}
		w.tally.add()
		if code := target.Query().Get("error"); code != "" {
			return refusal(code)
		}
		*into.(*string) = target.Query().Get("refreshToken")
		return nil
	case answer.StatusCode != http.StatusOK:
		var no struct{ Error string }
		if err := json.Unmarshal(said, &no); err != nil {
			return fmt.Errorf("%s: %w", answer.Status, err)
		}
		w.tally.add()
		return refusal(no.Error)
	}
	if into != nil {
		if err := json.Unmarshal(said, into); err != nil {
			return fmt.Errorf("%s %q: %w", path, said, err)
		}
	}
	w.tally.add()
	return nil
}

// insist makes a call again and again until it is answered. lost says that an answer was lost before.
func (c *client) insist(ctx context.Context, call func(any int) error) (lost bool, err error) {
	for {
		if err = call(c.random.Int()); !errors.Is(err, errLost) || ctx.Err() != nil {
			return lost, err
		}
		lost = true
		select { // as clients of a service in trouble should
		case <-time.After(time.Duration(c.random.IntN(20000)) * time.Microsecond):
		case <-ctx.Done():
		}
	}
}

// atOnce makes a call several times at once, at any of the programs.
func (c *client) atOnce(call func(i, any int) error) []error {
	errs := make([]error, 3)
	var all sync.WaitGroup
	for i := range errs {
		any := c.random.Int()
		all.Go(func() { errs[i] = call(i, any) })
	}
	all.Wait()
	return errs
}

// The calls. Each may be made again.

func (w *world) signUp(ctx context.Context, any int, email string) error {
	return w.call(ctx, any, http.MethodPost, "/signup/email-password", "", map[string]string{"email": email, "password": password}, nil)
}

func (w *world) signIn(ctx context.Context, any int, email string) (*auth.Session, error) {
	var in auth.SignInResult
	err := w.call(ctx, any, http.MethodPost, "/signin/email-password", "", map[string]string{"email": email, "password": password}, &in)
	if err == nil && in.Session == nil {
		err = errors.New("a sign-in without a session")
	}
	return in.Session, err
}

func (w *world) signInAnonymous(ctx context.Context, any int) (*auth.Session, error) {
	var in auth.SignInResult
	err := w.call(ctx, any, http.MethodPost, "/signin/anonymous", "", struct{}{}, &in)
	if err == nil && in.Session == nil {
		err = errors.New("a sign-in without a session")
	}
	return in.Session, err
}

func (w *world) follow(ctx context.Context, any int, link string) (refreshToken string, err error) {
	err = w.call(ctx, any, http.MethodGet, link, "", nil, &refreshToken)
	return refreshToken, err
}

func (w *world) refresh(ctx context.Context, any int, token string) (*auth.Session, error) {
	var s auth.Session
	err := w.call(ctx, any, http.MethodPost, "/token", "", map[string]string{"refreshToken": token}, &s)
	return &s, err
}

func (w *world) signOut(ctx context.Context, any int, token string) error {
	return w.call(ctx, any, http.MethodPost, "/signout", "", map[string]string{"refreshToken": token}, nil)
}

func (w *world) signOutAll(ctx context.Context, any int, access string) error {
	return w.call(ctx, any, http.MethodPost, "/signout", access, map[string]bool{"all": true}, nil)
}

// opened remembers a session that was opened.
func (c *client) opened(p *person, s *auth.Session) {
	p.sessions = append(p.sessions, &session{id: s.RefreshTokenID})
	c.refreshed(p, p.sessions[len(p.sessions)-1], s)
}

// refreshed remembers the latest tokens of a session.
func (c *client) refreshed(p *person, s *session, next *auth.Session) {
	switch {
	case next.User == nil || next.User.Email != p.email || next.User.IsAnonymous != (p.email == ""):
		c.fault("%s got a session of somebody else", p)
	case p.userID == uuid.Nil:
		p.userID = next.User.ID
	case next.User.ID != p.userID:
		c.fault("%s was user %s and now is %s", p, p.userID, next.User.ID)
	}
	if s.id != next.RefreshTokenID {
		c.fault("%s: session %s has become %s", p, s.id, next.RefreshTokenID)
	}
	s.refresh, s.access = next.RefreshToken, next.AccessToken
}

func (p *person) end(s *session) {
	p.sessions = slices.DeleteFunc(p.sessions, func(other *session) bool { return other == s })
	p.ended = append(p.ended, s)
}

// unless notes an error as a fault unless it is nil or one of those that are expected.
func (c *client) unless(p *person, doing string, err error, expected ...error) {
	for _, e := range append(expected, nil) {
		if err == e { //nolint:errorlint // a refusal is never wrapped
			return
		}
	}
	c.fault("%s: %s: %v", p, doing, err)
}

// only returns the error where the answer to the first try was lost, and nothing otherwise: what a second try may meet.
func only(lost bool, err error) error {
	if lost {
		return err
	}
	return nil
}

// deeds are what a client does, with how often it does so. Each reports whether it found somebody to do it with.
var deeds = []struct {
	often int
	do    func(*client, context.Context) bool
}{
	{10, (*client).signsUp},
	{4, (*client).signsUpAtOnce},
	{12, (*client).followsLink},
	{5, (*client).followsLinkAtOnce},
	{14, (*client).signsIn},
	{5, (*client).signsInUnverified},
	{5, (*client).comesAnonymously},
	{25, (*client).refreshes},
	{8, (*client).refreshesAtOnce},
	{8, (*client).signsOut},
	{4, (*client).signsOutEverywhere},
}

// step does something.
func (c *client) step(ctx context.Context) {
	total := 0
	for _, d := range deeds {
		total += d.often
	}
	for {
		n := c.random.IntN(total)
		for _, d := range deeds {
			if n -= d.often; n < 0 {
				if d.do(c, ctx) {
					return
				}
				break
			}
		}
	}
}

// someone chooses one of the people of the last time whom it can be done with.
func (c *client) someone(can func(*person) bool) *person {
	var list []*person
	for _, p := range c.people[max(0, len(c.people)-30):] {
		if can(p) {
			list = append(list, p)
		}
	}
	if len(list) == 0 {
		return nil
	}
	p := list[c.random.IntN(len(list))]
	p.touched = true
	return p
}

func (c *client) newAddress() string {
	c.signed++
	return fmt.Sprintf("%s-%d@example.com", c.name, c.signed)
}

func (c *client) signsUp(ctx context.Context) bool {
	p := &person{email: c.newAddress(), touched: true}
	lost, err := c.insist(ctx, func(any int) error { return c.signUp(ctx, any, p.email) })
	c.unless(p, "sign up", err, only(lost, inUse))
	c.people = append(c.people, p)
	return true
}

// signsUpAtOnce: one sign-up for an address succeeds (ST-04, SU-20).
func (c *client) signsUpAtOnce(ctx context.Context) bool {
	p := &person{email: c.newAddress(), touched: true}
	errs := c.atOnce(func(_, any int) error { return c.signUp(ctx, any, p.email) })
	c.exactlyOne(p, "sign-up", errs, inUse)
	if !slices.Contains(errs, nil) {
		_, err := c.insist(ctx, func(any int) error { return c.signUp(ctx, any, p.email) })
		c.unless(p, "sign up", err, inUse)
	}
	c.people = append(c.people, p)
	return true
}

// exactlyOne checks that one of the calls was successful, unless it was one whose answer was lost, and that the others
// were refused.
func (c *client) exactlyOne(p *person, what string, errs []error, otherwise refusal) {
	done, lost := 0, 0
	for _, err := range errs {
		switch {
		case err == nil:
			done++
		case errors.Is(err, errLost):
			lost++
		default:
			c.unless(p, what, err, otherwise)
		}
	}
	if done > 1 || done+lost == 0 {
		c.fault("%s: of %d simultaneous calls for one %s %d succeeded (%d answers were lost)", p, len(errs), what, done, lost)
	}
}

func (c *client) awaitsVerification(p *person) bool {
	return p.email != "" && !p.verified && c.post.link(p.email) != ""
}

func (c *client) followsLink(ctx context.Context) bool {
	p := c.someone(c.awaitsVerification)
	if p != nil {
		c.insistsOnLink(ctx, p, false)
	}
	return p != nil
}

// insistsOnLink follows a link. tried says that the ticket may have been spent already.
func (c *client) insistsOnLink(ctx context.Context, p *person, tried bool) {
	link := c.post.link(p.email)
	var token string
	lost, err := c.insist(ctx, func(any int) (err error) {
		token, err = c.follow(ctx, any, link)
		return err
	})
	c.unless(p, "follow the link", err, only(lost || tried, badTicket))
	p.verified, p.spent = true, link
	if err == nil {
		c.arrives(ctx, p, token)
	}
}

// followsLinkAtOnce: one redemption succeeds (ST-03).
func (c *client) followsLinkAtOnce(ctx context.Context) bool {
	p := c.someone(c.awaitsVerification)
	if p == nil {
		return false
	}
	link := c.post.link(p.email)
	tokens := make([]string, 3)
	errs := c.atOnce(func(i, any int) (err error) {
		tokens[i], err = c.follow(ctx, any, link)
		return err
	})
	c.exactlyOne(p, "link", errs, badTicket)
	if i := slices.Index(errs, nil); i >= 0 {
		p.verified, p.spent = true, link
		c.arrives(ctx, p, tokens[i])
	} else {
		c.insistsOnLink(ctx, p, true)
	}
	return true
}

// arrives is what the page does to which a link leads: it trades the refresh token for a session.
func (c *client) arrives(ctx context.Context, p *person, token string) {
	var first *auth.Session
	_, err := c.insist(ctx, func(any int) (err error) {
		first, err = c.refresh(ctx, any, token)
		return err
	})
	c.unless(p, "refresh after the link", err)
	if err == nil {
		c.opened(p, first)
		p.sessions[len(p.sessions)-1].rotations = 1
	}
}

// most is how many sessions a client keeps for one user.
const most = 4

func (c *client) signsIn(ctx context.Context) bool {
	p := c.someone(func(p *person) bool { return p.verified && len(p.sessions) < most })
	if p != nil {
		c.insistsOnSignIn(ctx, p)
	}
	return p != nil
}

func (c *client) insistsOnSignIn(ctx context.Context, p *person) {
	var s *auth.Session
	_, err := c.insist(ctx, func(any int) (err error) {
		s, err = c.signIn(ctx, any, p.email)
		return err
	})
	c.unless(p, "sign in", err)
	if err == nil {
		c.opened(p, s)
	}
}

func (c *client) signsInUnverified(ctx context.Context) bool {
	p := c.someone(func(p *person) bool { return p.email != "" && !p.verified })
	if p != nil {
		c.mayNotSignIn(ctx, p)
	}
	return p != nil
}

func (c *client) mayNotSignIn(ctx context.Context, p *person) {
	_, err := c.insist(ctx, func(any int) error {
		_, err := c.signIn(ctx, any, p.email)
		return err
	})
	if err != unverified { //nolint:errorlint // never wrapped
		c.fault("%s: sign in before the address is verified: %v", p, err)
	}
}

func (c *client) comesAnonymously(ctx context.Context) bool {
	p := &person{touched: true}
	var s *auth.Session
	_, err := c.insist(ctx, func(any int) (err error) {
		s, err = c.signInAnonymous(ctx, any)
		return err
	})
	c.unless(p, "sign in", err)
	if err == nil {
		c.opened(p, s)
		c.people = append(c.people, p)
	}
	return true
}

func hasSession(p *person) bool { return len(p.sessions) > 0 }

func (c *client) refreshes(ctx context.Context) bool {
	p := c.someone(hasSession)
	if p != nil {
		c.insistsOnRefresh(ctx, p, p.sessions[c.random.IntN(len(p.sessions))])
	}
	return p != nil
}

// insistsOnRefresh: also after a lost answer a token has one successor (RT-23).
func (c *client) insistsOnRefresh(ctx context.Context, p *person, s *session) {
	var next *auth.Session
	_, err := c.insist(ctx, func(any int) (err error) {
		next, err = c.refresh(ctx, any, s.refresh)
		return err
	})
	c.unless(p, "refresh", err)
	if err == nil {
		s.rotations++
		c.refreshed(p, s, next)
	}
}

// refreshesAtOnce: all refreshes of one token agree (RT-02).
func (c *client) refreshesAtOnce(ctx context.Context) bool {
	p := c.someone(hasSession)
	if p == nil {
		return false
	}
	s := p.sessions[c.random.IntN(len(p.sessions))]
	results := make([]*auth.Session, 3)
	errs := c.atOnce(func(i, any int) (err error) {
		results[i], err = c.refresh(ctx, any, s.refresh)
		return err
	})
	var next *auth.Session
	for i, err := range errs {
		switch {
		case errors.Is(err, errLost):
		case err != nil:
			c.unless(p, "refresh", err)
			return true
		case next == nil:
			next = results[i]
		case next.RefreshToken != results[i].RefreshToken:
			c.fault("%s: simultaneous refreshes of one token gave different ones", p)
		}
	}
	if next == nil {
		c.insistsOnRefresh(ctx, p, s)
		return true
	}
	s.rotations++
	c.refreshed(p, s, next)
	return true
}

func (c *client) signsOut(ctx context.Context) bool {
	p := c.someone(func(p *person) bool { return p.email != "" && len(p.sessions) > 0 })
	if p != nil {
		c.insistsOnSignOut(ctx, p, p.sessions[c.random.IntN(len(p.sessions))])
	}
	return p != nil
}

func (c *client) insistsOnSignOut(ctx context.Context, p *person, s *session) {
	_, err := c.insist(ctx, func(any int) error { return c.signOut(ctx, any, s.refresh) })
	c.unless(p, "sign out", err)
	p.end(s)
}

func (c *client) signsOutEverywhere(ctx context.Context) bool {
	p := c.someone(func(p *person) bool { return p.email != "" && len(p.sessions) > 1 })
	if p == nil {
		return false
	}
	lost, err := c.insist(ctx, func(any int) error { return c.signOutAll(ctx, any, p.sessions[0].access) })
	c.unless(p, "sign out everywhere", err, only(lost, unauthorized))
	for len(p.sessions) > 0 {
		p.end(p.sessions[0])
	}
	return true
}

// visit finds out whether a program agrees with what is remembered of a person.
func (c *client) visit(ctx context.Context, p *person) {
	for _, s := range slices.Clone(p.sessions) {
		c.insistsOnRefresh(ctx, p, s)
	}
	switch {
	case p.verified:
		c.insistsOnSignIn(ctx, p)
		if n := len(p.sessions); n > 0 {
			c.insistsOnSignOut(ctx, p, p.sessions[n-1])
		}
		c.isRefused(p, "a link that was used", badTicket, func(any int) error {
			_, err := c.follow(ctx, any, p.spent)
			return err
		}, ctx)
	case p.email != "":
		c.mayNotSignIn(ctx, p)
	}
	if p.email != "" {
		c.isRefused(p, "another sign-up", inUse, func(any int) error { return c.signUp(ctx, any, p.email) }, ctx)
	}
	for _, s := range p.ended {
		c.isRefused(p, "a token of a session that was signed out", badToken, func(any int) error {
			_, err := c.refresh(ctx, any, s.refresh)
			return err
		}, ctx)
	}
}

func (c *client) isRefused(p *person, what string, want refusal, call func(any int) error, ctx context.Context) {
	if _, err := c.insist(ctx, call); err != want { //nolint:errorlint // never wrapped
		c.fault("%s: %s: %v, want %v", p, what, err, want)
	}
}
