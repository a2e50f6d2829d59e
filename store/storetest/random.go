package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

// randomTests lead two users through a life of random operations, always the same ones, next to a model of what should
// become of them.
var randomTests = func() []test {
	var tests []test
	for seed := range uint64(6) {
		tests = append(tests, test{fmt.Sprintf("life %d goes as it should", seed), func(t *testing.T, s store.Store) {
			l := &life{t: t, s: s, rand: rand.New(rand.NewPCG(seed, 0)), now: base}
			for range 2 {
				l.users = append(l.users, someone(t, s))
			}
			for i := 0; i < 350 && !t.Failed(); i++ {
				l.step()
			}
		}})
	}
	return tests
}()

// life is a store and what should be in it.
type life struct {
	t        *testing.T
	s        store.Store
	rand     *rand.Rand
	now      time.Time
	users    []store.User
	sessions []*store.Session // live ones
	tickets  []*store.Ticket  // live ones
	linked   []*store.Identity
	opened   []store.Session // all that ever were
	issued   []store.Ticket
	rotated  []store.RotatedSession // answers that may be taken back
}

func (l *life) step() {
	l.now = l.now.Add(pick(l.rand, tick, tick, time.Second, grace, grace+tick, 10*time.Minute, idle-time.Second))
	l.sessions = without(l.sessions, func(v *store.Session) bool { return !l.now.Before(v.ExpiresAt) })
	l.tickets = without(l.tickets, func(v *store.Ticket) bool { return !l.now.Before(v.ExpiresAt) })
	pick(l.rand,
		l.open, l.open, l.rotate, l.rotate, l.rotate, l.rotate, l.unrotate, l.end, l.drop, l.disable,
		l.put, l.put, l.put, l.check, l.check, l.take, l.redeem, l.purge,
		l.link, l.link, l.unlink, l.takeTokens, l.takeTokens, l.putTokens, l.resolve, l.resolve, l.secondFactor,
	)()
	for i := range l.users {
		got, err := l.s.User(l.t.Context(), store.UserQuery{
			ID: l.users[i].ID, With: store.WithSessions | store.WithIdentities, Now: l.now,
		})
		wants(l.t, err, nil)
		want := store.Account{User: l.users[i], Identities: l.identitiesOf(l.users[i].ID)}
		for _, v := range l.sessions {
			if v.UserID == want.ID {
				want.Sessions = append(want.Sessions, *v)
			}
		}
		equal(l.t, "the account", got, want)
	}
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

func (l *life) user() *store.User { return &l.users[l.rand.IntN(len(l.users))] }

// change makes a change that is expected to fail with want, and reports whether it is not.
func (l *life) change(c store.UserChange, want error) bool {
	c.Now = l.now
	_, err := l.s.ChangeUser(l.t.Context(), c)
	wants(l.t, err, want)
	return want == nil
}

// refusal is what a change meets that asks for an enabled user and an epoch.
func refusal(u *store.User, epoch int64) error {
	switch {
	case u.Disabled:
		return unmet(store.ConditionEnabled)
	case epoch != 0 && epoch != u.Epoch:
		return unmet(store.ConditionEpoch)
	}
	return nil
}

func (l *life) open() {
	u := l.user()
	v := store.Session{
		ID: uuid.New(), UserID: u.ID, CreatedAt: l.now, RotatedAt: l.now, AuthTime: l.now,
		ExpiresAt: l.now.Add(idle), EndsAt: l.now.Add(3 * idle),
	}
	epoch := pick(l.rand, 0, u.Epoch, u.Epoch, u.Epoch-1)
	most := l.rand.IntN(4)
	if !l.change(store.UserChange{
		UserID: u.ID, If: store.Conditions{Epoch: epoch}, Session: &v, MaxSessions: most,
	}, refusal(u, epoch)) {
		return
	}
	u.LastSeenAt = l.now
	l.sessions = append(l.sessions, &v)
	l.opened = append(l.opened, v)
	for most > 0 {
		var mine []*store.Session
		for _, other := range l.sessions {
			if other.UserID == u.ID {
				mine = append(mine, other)
			}
		}
		if len(mine) <= most {
			break
		}
		oldest := slices.MinFunc(mine, func(a, b *store.Session) int { return a.RotatedAt.Compare(b.RotatedAt) })
		l.sessions = without(l.sessions, func(v *store.Session) bool { return v == oldest })
	}
}

// session is one that is or was there, and where it is in the model.
func (l *life) session() (uuid.UUID, *store.Session) {
	if len(l.opened) == 0 {
		return uuid.New(), nil
	}
	id := pick(l.rand, l.opened[max(0, len(l.opened)-8):]...).ID
	for _, v := range l.sessions {
		if v.ID == id {
			return id, v
		}
	}
	return id, nil
}

func (l *life) rotate() {
	id, v := l.session()
	r := present(id, l.rand.Uint32N(3), l.now)
	if v == nil {
		refusesRotation(l.t, l.s, r)
		return
	}
	presented := uint32(max(0, int(v.Generation)+pick(l.rand, 0, 0, 0, 0, -1, -1, -2, 1)))
	r.Candidates[0].Generation = presented
	want := store.RotatedSession{Outcome: store.Reused, Session: *v}
	for _, u := range l.users {
		if u.ID == v.UserID {
			want.User = u
		}
	}
	switch {
	case want.User.Disabled:
		want.Outcome = store.UserDisabled
	case presented >= v.Generation:
		want.Before = stateOf(*v)
		v.Generation, v.RotatedAt, v.ExpiresAt = presented+1, l.now, l.now.Add(idle)
		if v.EndsAt.Before(v.ExpiresAt) {
			v.ExpiresAt = v.EndsAt
		}
		want.Outcome, want.Session = store.Rotated, *v
	case presented+1 == v.Generation && l.now.Sub(v.RotatedAt) <= grace:
		want.Outcome = store.Repeated
	default:
		l.sessions = without(l.sessions, func(other *store.Session) bool { return other == v })
	}
	got, err := l.s.RotateSession(l.t.Context(), r)
	wants(l.t, err, nil)
	equal(l.t, "the answer", got, want)
	if got.Outcome == store.Rotated {
		l.rotated = append(l.rotated, got)
	}
}

func (l *life) unrotate() {
	if len(l.rotated) == 0 {
		return
	}
	r := pick(l.rand, l.rotated[max(0, len(l.rotated)-3):]...)
	for _, v := range l.sessions {
		if v.ID == r.Session.ID && v.Generation == r.Session.Generation {
			v.Generation, v.RotatedAt, v.ExpiresAt = r.Before.Generation, r.Before.RotatedAt, r.Before.ExpiresAt
		}
	}
	wants(l.t, l.s.UnrotateSession(l.t.Context(), r), nil)
}

func (l *life) end() {
	id, v := l.session()
	owner := pick(l.rand, uuid.Nil, l.users[0].ID, l.users[1].ID)
	want := 0
	if v != nil && (owner == uuid.Nil || owner == v.UserID) {
		want = 1
		l.sessions = without(l.sessions, func(other *store.Session) bool { return other == v })
	}
	n, err := l.s.EndSessions(l.t.Context(), owner, id, uuid.New())
	wants(l.t, err, nil)
	// An expired one may be there still, and count.
	if v != nil && n != want {
		l.t.Errorf("%d sessions were ended, want %d", n, want)
	}
}

func (l *life) drop() {
	u := l.user()
	keep, _ := l.session()
	if !l.change(store.UserChange{UserID: u.ID, Drop: store.Drop{Sessions: true, KeepSession: keep}}, refusal(u, 0)) {
		return
	}
	u.Epoch++
	l.sessions = without(l.sessions, func(v *store.Session) bool { return v.UserID == u.ID && v.ID != keep })
	// By how much an epoch grows is the store's affair.
	l.readEpoch(u)
}

func (l *life) disable() {
	u := l.user()
	u.Disabled = !u.Disabled
	l.change(store.UserChange{UserID: u.ID, If: store.Conditions{Disabled: true}, Set: store.UserSet{Disabled: new(u.Disabled)}}, nil)
	u.UpdatedAt = l.now
	u.Epoch++
	l.readEpoch(u)
}

func (l *life) readEpoch(u *store.User) {
	got := find(l.t, l.s, u.ID).Epoch
	if got < u.Epoch {
		l.t.Errorf("the epoch is %d, want at least %d", got, u.Epoch)
	}
	u.Epoch = got
}

func (l *life) put() {
	v := store.Ticket{
		ID: uuid.New(), Kind: pick(l.rand, "link", "code"), Slot: pick(l.rand, "1", "2", "3"),
		UserID: pick(l.rand, uuid.Nil, l.users[0].ID, l.users[1].ID), Hash: newHash(), Data: []byte("sealed"),
		Tries: pick(l.rand, -1, 0, 1, 3), CreatedAt: l.now, ExpiresAt: l.now.Add(pick(l.rand, time.Second, 10*time.Minute, idle)),
	}
	wants(l.t, l.s.PutTicket(l.t.Context(), v), nil)
	l.tickets = without(l.tickets, func(other *store.Ticket) bool { return other.Kind == v.Kind && other.Slot == v.Slot })
	l.tickets = append(l.tickets, &v)
	l.issued = append(l.issued, v)
}

// look chooses a look-up and says which tickets it presents the secret to and which it opens.
func (l *life) look() (q store.TicketQuery, presented []*store.Ticket, opened *store.Ticket) {
	q = store.TicketQuery{Kind: pick(l.rand, "link", "code"), Hashes: [][]byte{newHash()}, Now: l.now}
	if len(l.issued) > 0 && l.rand.IntN(4) > 0 {
		v := pick(l.rand, l.issued[max(0, len(l.issued)-6):]...)
		q.Hashes = append(q.Hashes, v.Hash)
		q.Kind = pick(l.rand, v.Kind, v.Kind, v.Kind, q.Kind)
	}
	owner := uuid.Nil
	if u := l.user(); l.rand.IntN(2) == 0 {
		owner = u.ID
		switch l.rand.IntN(3) {
		case 0:
			q.UserID = u.ID
		case 1:
			q.EmailKey = u.EmailKey
		default:
			q.Phone = u.Phone
		}
	}
	for _, v := range l.tickets {
		opens := slices.ContainsFunc(q.Hashes, func(h []byte) bool { return slices.Equal(h, v.Hash) })
		if v.Kind != q.Kind || v.Tries == 0 || owner != uuid.Nil && v.UserID != owner || owner == uuid.Nil && !opens {
			continue
		}
		presented = append(presented, v)
		if opens {
			opened = v
		}
	}
	return q, presented, opened
}

func (l *life) check() {
	q, presented, opened := l.look()
	for _, v := range presented {
		if v.Tries > 0 {
			v.Tries--
		}
	}
	got, u, err := l.s.CheckTicket(l.t.Context(), q)
	switch {
	case len(presented) == 0:
		wants(l.t, err, store.ErrNotFound)
	case opened == nil:
		wants(l.t, err, store.ErrMismatch)
	default:
		wants(l.t, err, nil)
		equal(l.t, "the ticket checked", got, *opened)
		if u.ID != opened.UserID {
			l.t.Errorf("the ticket came with user %s, want %s", u.ID, opened.UserID)
		}
	}
}

func (l *life) take() {
	q, _, opened := l.look()
	got, err := l.s.TakeTicket(l.t.Context(), q)
	if opened == nil {
		wants(l.t, err, store.ErrNotFound)
		return
	}
	wants(l.t, err, nil)
	equal(l.t, "the ticket taken", got, *opened)
	l.tickets = without(l.tickets, func(v *store.Ticket) bool { return v == opened })
}

func (l *life) redeem() {
	if len(l.issued) == 0 {
		return
	}
	u := l.user()
	id := pick(l.rand, l.issued[max(0, len(l.issued)-6):]...).ID
	usable := slices.ContainsFunc(l.tickets, func(v *store.Ticket) bool {
		return v.ID == id && (v.UserID == u.ID || v.UserID == uuid.Nil)
	})
	want := refusal(u, 0)
	if want == nil && !usable {
		want = unmet(store.ConditionTicket)
	}
	if l.change(store.UserChange{UserID: u.ID, Redeem: id}, want) {
		l.tickets = without(l.tickets, func(v *store.Ticket) bool { return v.ID == id })
	}
}

// identitiesOf are those of a user, the oldest first.
func (l *life) identitiesOf(user uuid.UUID) []store.Identity {
	var list []store.Identity
	for _, i := range l.linked {
		if i.UserID == user {
			list = append(list, *i)
		}
	}
	return list
}

// identity is one of a few, and where it is in the model.
func (l *life) identity() (store.IdentityKey, *store.Identity) {
	key := store.IdentityKey{Provider: pick(l.rand, "github", "google"), Subject: pick(l.rand, "1", "2")}
	for _, i := range l.linked {
		if keyOf(*i) == key {
			return key, i
		}
	}
	return key, nil
}

func (l *life) link() {
	u := l.user()
	key, old := l.identity()
	i := store.Identity{
		Provider: key.Provider, Subject: key.Subject, UserID: u.ID, Email: l.now.String(), CreatedAt: l.now, LastUsedAt: l.now,
		Tokens: pick(l.rand, newTokens(), newTokens(), nil),
	}
	want := refusal(u, 0)
	if want == nil && old != nil && old.UserID != u.ID {
		want = conflict(store.FieldIdentity)
	}
	switch {
	case !l.change(store.UserChange{UserID: u.ID, Identity: &i}, want):
	case old != nil:
		old.Email, old.LastUsedAt, old.Tokens = i.Email, i.LastUsedAt, i.Tokens
	default:
		l.linked = append(l.linked, &i)
	}
}

func (l *life) unlink() {
	u := l.user()
	key, i := l.identity()
	epoch := pick(l.rand, 0, u.Epoch, u.Epoch-1)
	if !l.change(store.UserChange{UserID: u.ID, If: store.Conditions{Epoch: epoch}, RemoveIdentity: key}, refusal(u, epoch)) {
		return
	}
	u.Epoch++
	l.linked = without(l.linked, func(other *store.Identity) bool { return other == i && i.UserID == u.ID })
	l.readEpoch(u)
}

func (l *life) takeTokens() {
	u := l.user()
	key, i := l.identity()
	c := store.UserChange{UserID: u.ID, TakeTokens: &store.IdentityTokens{Key: key, Tokens: newTokens()}}
	if i != nil && l.rand.IntN(4) > 0 {
		c.TakeTokens.Tokens = i.Tokens
	}
	var put []byte
	if l.rand.IntN(2) == 0 {
		put = newTokens()
		c.PutTokens = &store.IdentityTokens{Key: key, Tokens: put}
	}
	want := refusal(u, 0)
	if want == nil && (i == nil || i.UserID != u.ID || i.Tokens == nil || !slices.Equal(i.Tokens, c.TakeTokens.Tokens)) {
		want = unmet(store.ConditionTokens)
	}
	if l.change(c, want) {
		i.Tokens = put
	}
}

func (l *life) putTokens() {
	u := l.user()
	key, i := l.identity()
	tokens := pick(l.rand, newTokens(), newTokens(), nil)
	c := store.UserChange{UserID: u.ID, PutTokens: &store.IdentityTokens{Key: key, Tokens: tokens}}
	if l.change(c, refusal(u, 0)) && i != nil && i.UserID == u.ID {
		i.Tokens = tokens
	}
}

// resolve looks for whoever has an identity or else an address.
func (l *life) resolve() {
	key, i := l.identity()
	q := store.UserQuery{Identity: key, EmailKey: "nobody@example.org", With: store.WithIdentities, Now: l.now}
	var want store.Account
	if l.rand.IntN(4) > 0 {
		want.User = *l.user()
		q.EmailKey = want.EmailKey
	}
	for _, u := range l.users {
		if i != nil && i.UserID == u.ID {
			want.User = u
		}
	}
	got, err := l.s.User(l.t.Context(), q)
	if want.ID == uuid.Nil {
		wants(l.t, err, store.ErrNotFound)
		return
	}
	wants(l.t, err, nil)
	want.Identities = l.identitiesOf(want.ID)
	equal(l.t, "the account found by identity or address", got, want)
}

// secondFactor turns a second factor on or off, perhaps only where there is none.
func (l *life) secondFactor() {
	u := l.user()
	secret := pick(l.rand, newTokens(), nil)
	c := store.UserChange{UserID: u.ID, Set: store.UserSet{TOTPSecret: &secret}}
	c.If.NoTOTP = l.rand.IntN(2) == 0
	want := refusal(u, 0)
	if want == nil && c.If.NoTOTP && u.TOTPSecret != nil {
		want = unmet(store.ConditionNoTOTP)
	}
	if l.change(c, want) {
		u.TOTPSecret, u.UpdatedAt = secret, l.now
	}
}

func (l *life) purge() {
	_, err := l.s.Purge(l.t.Context(), store.Purge{Now: l.now, Limit: 1 + l.rand.IntN(20)})
	wants(l.t, err, nil)
}
