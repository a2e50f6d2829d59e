package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

// addKey adds a signing key.
func addKey(t *testing.T, s store.Store, k store.SigningKey, since time.Time) bool {
	t.Helper()
	added, err := s.AddSigningKey(t.Context(), k, since)
	if err != nil {
		t.Fatalf("AddSigningKey: %v", err)
	}
	return added
}

var signingKeyTests = []test{
	{"signing keys are listed until they expire, the oldest first", func(t *testing.T, s store.Store) {
		var keys []store.SigningKey
		for i := range 4 {
			k := newSigningKey()
			k.CreatedAt = base.Add(time.Duration(i) * time.Minute)
			k.ActiveAt = base.Add(time.Duration(10-i) * time.Minute)
			k.ExpiresAt = base.Add(time.Duration(20-i) * time.Minute)
			keys = append(keys, k)
		}
		for _, i := range []int{2, 0, 3, 1} {
			if !addKey(t, s, keys[i], base.Add(time.Hour)) {
				t.Error("a key was not added")
			}
		}
		for now, want := range map[time.Time][]store.SigningKey{
			base:                         keys,
			keys[3].ExpiresAt.Add(-tick): keys,
			keys[3].ExpiresAt:            keys[:3],
			keys[1].ExpiresAt:            keys[:1],
			keys[0].ExpiresAt.Add(-tick): keys[:1],
			keys[0].ExpiresAt:            nil,
		} {
			got, err := s.SigningKeys(t.Context(), now)
			wants(t, err, nil)
			equal(t, "the signing keys", got, want)
		}
	}},
	{"a key created since keeps another out", func(t *testing.T, s store.Store) {
		first, second, third := newSigningKey(), newSigningKey(), newSigningKey()
		second.CreatedAt, third.CreatedAt = base.Add(time.Minute), base.Add(2*time.Minute)
		if !addKey(t, s, first, time.Time{}) {
			t.Error("the first key was not added")
		}
		if addKey(t, s, second, time.Time{}) || addKey(t, s, second, base.Add(-tick)) {
			t.Error("a key was added although there is a later one")
		}
		if !addKey(t, s, second, base) {
			t.Error("a key created at the instant since is not one created after it")
		}
		if addKey(t, s, third, base) {
			t.Error("a key was added although there is a later one")
		}
		got, err := s.SigningKeys(t.Context(), base)
		wants(t, err, nil)
		equal(t, "the signing keys", got, []store.SigningKey{first, second})
	}},
	{"the life of a key is made shorter and never longer", func(t *testing.T, s store.Store) {
		k, other := newSigningKey(), newSigningKey()
		addKey(t, s, k, base.Add(time.Hour))
		addKey(t, s, other, base.Add(time.Hour))
		ends := k.ExpiresAt
		for _, step := range []struct{ at, want time.Time }{
			{ends.Add(time.Hour), ends},
			{ends, ends},
			{ends.Add(-tick), ends.Add(-tick)},
			{ends, ends.Add(-tick)},
		} {
			wants(t, s.ExpireSigningKey(t.Context(), k.ID, step.at), nil)
			got, err := s.SigningKeys(t.Context(), base)
			wants(t, err, nil)
			i := slices.IndexFunc(got, func(g store.SigningKey) bool { return g.ID == k.ID })
			if len(got) != 2 || i < 0 || !got[i].ExpiresAt.Equal(step.want) || !got[1-i].ExpiresAt.Equal(other.ExpiresAt) {
				t.Errorf("the signing keys are %+v", got)
			}
		}
		wants(t, s.ExpireSigningKey(t.Context(), k.ID, base), nil)
		got, err := s.SigningKeys(t.Context(), base)
		wants(t, err, nil)
		equal(t, "the signing keys", got, []store.SigningKey{other})
	}},
	{"an unknown key cannot expire", func(t *testing.T, s store.Store) {
		wants(t, s.ExpireSigningKey(t.Context(), "unknown", base), store.ErrNotFound)
	}},
	{"a key id is unique", func(t *testing.T, s store.Store) {
		k := newSigningKey()
		addKey(t, s, k, base)
		again := k
		again.Private, again.CreatedAt = []byte("another"), base.Add(time.Minute)
		if added, err := s.AddSigningKey(t.Context(), again, base.Add(time.Hour)); added || err == nil {
			t.Errorf("a second key with the same id was added: %t, %v", added, err)
		}
		got, err := s.SigningKeys(t.Context(), base)
		wants(t, err, nil)
		equal(t, "the signing keys", got, []store.SigningKey{k})
	}},
}

// post writes messages.
func post(t *testing.T, s store.Store, messages ...store.Message) {
	t.Helper()
	change(t, s, store.UserChange{UserID: someone(t, s).ID, Messages: messages})
}

func claim(t *testing.T, s store.Store, now, until time.Time, limit int) []store.Message {
	t.Helper()
	list, err := s.ClaimMessages(t.Context(), now, until, limit)
	if err != nil {
		t.Fatalf("ClaimMessages: %v", err)
	}
	return list
}

func settle(t *testing.T, s store.Store, v store.Settlement) {
	t.Helper()
	if err := s.SettleMessage(t.Context(), v); err != nil {
		t.Fatalf("SettleMessage: %v", err)
	}
}

var outboxTests = []test{
	{"an empty outbox has nothing to claim", func(t *testing.T, s store.Store) {
		if list := claim(t, s, base, base.Add(time.Minute), 10); len(list) != 0 {
			t.Errorf("got %+v", list)
		}
	}},
	{"messages are claimed when they are due, the oldest first, up to the limit", func(t *testing.T, s store.Store) {
		var messages []store.Message
		for i := range 5 {
			m := newMessage()
			m.CreatedAt = base.Add(time.Duration(i) * time.Second)
			m.NextAt = m.CreatedAt
			messages = append(messages, m)
		}
		post(t, s, messages[3], messages[1])
		post(t, s, messages[4], messages[0], messages[2])
		until := base.Add(time.Minute)
		for i := range messages {
			messages[i].Attempts, messages[i].NextAt = 1, until
		}
		now := messages[3].CreatedAt // the last is due later
		equal(t, "the first claim", claim(t, s, now, until, 3), messages[:3])
		equal(t, "the second claim", claim(t, s, now, until, 3), messages[3:4])
		equal(t, "the third claim", claim(t, s, now, until, 3), nil)
		equal(t, "a claim just before the last is due", claim(t, s, messages[4].CreatedAt.Add(-tick), until, 3), nil)
		equal(t, "the last claim", claim(t, s, messages[4].CreatedAt, until, 3), messages[4:])
	}},
	{"a claimed message is hidden until the claim ends", func(t *testing.T, s store.Store) {
		m := newMessage()
		m.Attempts = 3
		post(t, s, m)
		until := base.Add(time.Minute)
		m.Attempts, m.NextAt = 4, until
		equal(t, "the claim", claim(t, s, base, until, 10), []store.Message{m})
		equal(t, "a second claim", claim(t, s, until.Add(-tick), until.Add(time.Minute), 10), nil)
		m.Attempts, m.NextAt = 5, until.Add(time.Minute)
		equal(t, "the claim of what was not settled", claim(t, s, until, until.Add(time.Minute), 10), []store.Message{m})
	}},
	{"a delivered message is gone, also for who settles it again", func(t *testing.T, s store.Store) {
		delivered, other := newMessage(), newMessage()
		post(t, s, delivered, other)
		claim(t, s, base, base.Add(time.Minute), 10)
		settle(t, s, store.Settlement{ID: delivered.ID, Delivered: true})
		for _, v := range []store.Settlement{
			{ID: delivered.ID, Delivered: true}, {ID: delivered.ID, Dead: true}, {ID: delivered.ID, RetryAt: base}, {ID: uuid.New(), RetryAt: base},
		} {
			settle(t, s, v)
		}
		list := claim(t, s, base.AddDate(1, 0, 0), base.AddDate(1, 0, 1), 10)
		if len(list) != 1 || list[0].ID != other.ID {
			t.Errorf("got %+v, want the other message alone", list)
		}
	}},
	{"a message given up is not claimed again", func(t *testing.T, s store.Store) {
		m := newMessage()
		post(t, s, m)
		claim(t, s, base, base.Add(time.Minute), 10)
		settle(t, s, store.Settlement{ID: m.ID, Dead: true})
		equal(t, "the claim", claim(t, s, base.AddDate(1, 0, 0), base.AddDate(1, 0, 1), 10), nil)
	}},
	{"a message that could not be delivered is claimed again when it says", func(t *testing.T, s store.Store) {
		m := newMessage()
		post(t, s, m)
		for i, retry := range []time.Duration{time.Second, time.Hour} { // before the claim would end, and after it
			now := base.Add(time.Duration(i) * 24 * time.Hour)
			claim(t, s, now, now.Add(time.Minute), 10)
			settle(t, s, store.Settlement{ID: m.ID, RetryAt: now.Add(retry)})
			equal(t, "a claim just before", claim(t, s, now.Add(retry-tick), now.Add(24*time.Hour), 10), nil)
			want := m
			want.Attempts, want.NextAt = 2*i+2, now.Add(24*time.Hour)
			equal(t, "the claim", claim(t, s, now.Add(retry), now.Add(24*time.Hour), 10), []store.Message{want})
		}
	}},
}

var eventTests = []test{
	{"events are numbered as they come and read from the newest", func(t *testing.T, s store.Store) {
		u, other := uuid.New(), uuid.New()
		var want []store.Event
		for i := range 6 {
			batch := []store.Event{newEvent(u, fmt.Sprint("kind ", i%2)), newEvent(other, fmt.Sprint("kind ", i%3)), newEvent(uuid.Nil, "kind 9")}
			for j := range batch {
				batch[j].Seq = 7                                      // not for the caller to say
				batch[j].At = base.Add(-time.Duration(i) * time.Hour) // nor is it the order
			}
			wants(t, s.AppendEvents(t.Context(), batch[:i%3+1]), nil)
			want = append(want, batch[:i%3+1]...)
		}
		wants(t, s.AppendEvents(t.Context(), nil), nil)
		slices.Reverse(want)

		all, err := s.Events(t.Context(), store.EventQuery{Limit: 100})
		wants(t, err, nil)
		if len(all) != len(want) {
			t.Fatalf("got %d events, want %d", len(all), len(want))
		}
		for i := range all {
			if all[i].Seq <= 0 || i > 0 && all[i].Seq >= all[i-1].Seq {
				t.Errorf("event %d has number %d", i, all[i].Seq)
			}
			want[i].Seq = all[i].Seq
		}
		equal(t, "the events", all, want)

		for name, q := range map[string]store.EventQuery{
			"of a user":             {UserID: u},
			"of a type":             {Type: "kind 1"},
			"of a user and type":    {UserID: other, Type: "kind 1"},
			"before another":        {Before: all[4].Seq},
			"before the newest":     {Before: all[0].Seq + 1},
			"before the oldest":     {Before: all[len(all)-1].Seq},
			"before all of a type":  {Type: "kind 0", Before: all[3].Seq},
			"of nobody there is":    {UserID: uuid.New()},
			"of no type there is":   {Type: "kind"},
			"of everyone and thing": {},
		} {
			var want []store.Event
			for _, e := range all {
				if (q.UserID == uuid.Nil || e.UserID == q.UserID) && (q.Type == "" || e.Type == q.Type) && (q.Before == 0 || e.Seq < q.Before) {
					want = append(want, e)
				}
			}
			for _, limit := range []int{1, 2, 100} {
				q.Limit = limit
				got, err := s.Events(t.Context(), q)
				wants(t, err, nil)
				equal(t, "the events "+name, got, want[:min(limit, len(want))])
			}
		}
	}},
	{"events are read page by page", func(t *testing.T, s store.Store) {
		for range 7 {
			wants(t, s.AppendEvents(t.Context(), []store.Event{newEvent(uuid.Nil, "kind")}), nil)
		}
		var sizes []int
		var before int64
		for len(sizes) < 9 {
			page, err := s.Events(t.Context(), store.EventQuery{Before: before, Limit: 3})
			wants(t, err, nil)
			sizes = append(sizes, len(page))
			if len(page) == 0 {
				break
			}
			if before != 0 && page[0].Seq >= before {
				t.Errorf("event %d is in the page before %d", page[0].Seq, before)
			}
			before = page[len(page)-1].Seq
		}
		equal(t, "sizes of the pages", sizes, []int{3, 3, 1, 0})
	}},
}
