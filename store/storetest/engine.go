package storetest

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
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
		added, err := s.AddSigningKey(t.Context(), again, base.Add(time.Hour))
		if added {
			t.Error("a second key with the same id was added")
		}
		wants(t, err, store.ErrConflict{Field: store.FieldID})
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
	list, err := s.ClaimMessages(t.Context(), store.MessageClaim{Now: now, Until: until, Limit: limit})
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
	{"messages are counted by what can be done with them, and none is claimed by that", func(t *testing.T, s store.Store) {
		equal(t, "an empty outbox", outbox(t, s, base), store.OutboxState{})
		var messages []store.Message
		for i := range 6 {
			m := newMessage()
			m.CreatedAt = base.Add(-time.Duration(i) * time.Hour) // does not matter
			m.NextAt = base.Add(time.Duration(i) * time.Minute)
			messages = append(messages, m)
		}
		post(t, s, messages[3], messages[0], messages[5])
		post(t, s, messages[1], messages[4], messages[2])

		equal(t, "before any is due", outbox(t, s, base.Add(-tick)), store.OutboxState{Waiting: 6})
		for range 2 {
			equal(t, "when the first is", outbox(t, s, base), store.OutboxState{Due: 1, Waiting: 5, DueSince: base})
			equal(t, "when three are", outbox(t, s, messages[2].NextAt), store.OutboxState{Due: 3, Waiting: 3, DueSince: base})
			equal(t, "long after", outbox(t, s, base.AddDate(1, 0, 0)), store.OutboxState{Due: 6, DueSince: base})
		}

		settle(t, s, store.Settlement{ID: messages[0].ID, Dead: true, RetryAt: base})
		settle(t, s, store.Settlement{ID: messages[4].ID, Dead: true, RetryAt: base.Add(time.Hour)})
		now := messages[5].NextAt
		equal(t, "with two that were given up", outbox(t, s, now),
			store.OutboxState{Due: 4, Dead: 2, DueSince: messages[1].NextAt})
		settle(t, s, store.Settlement{ID: messages[1].ID, Delivered: true})
		settle(t, s, store.Settlement{ID: messages[2].ID, RetryAt: now.Add(tick)})
		equal(t, "with one delivered and one to be tried again", outbox(t, s, now),
			store.OutboxState{Due: 2, Waiting: 1, Dead: 2, DueSince: messages[3].NextAt})

		claim(t, s, now, now.Add(time.Minute), 10)
		equal(t, "when all are claimed", outbox(t, s, now), store.OutboxState{Waiting: 3, Dead: 2})
		equal(t, "when the claims have ended", outbox(t, s, now.Add(time.Minute)),
			store.OutboxState{Due: 3, Dead: 2, DueSince: now.Add(tick)})
	}},
}

// outbox counts the messages.
func outbox(t *testing.T, s store.Store, now time.Time) store.OutboxState {
	t.Helper()
	o, err := s.Outbox(t.Context(), now)
	if err != nil {
		t.Fatalf("Outbox: %v", err)
	}
	return o
}

// claimOf claims what is due at base in a channel.
func claimOf(t *testing.T, s store.Store, c store.MessageClaim) []store.Message {
	t.Helper()
	c.Now, c.Until = base, base.Add(time.Minute)
	list, err := s.ClaimMessages(t.Context(), c)
	if err != nil {
		t.Fatalf("ClaimMessages: %v", err)
	}
	return list
}

var channelTests = []test{
	{"messages of nobody are put all at once, or none is", func(t *testing.T, s store.Store) {
		wants(t, s.PutMessages(t.Context(), nil), nil)
		first, second, third := newMessage(), newMessage(), newMessage()
		wants(t, s.PutMessages(t.Context(), []store.Message{first, second}), nil)
		again := second
		again.Body = []byte("another")
		wants(t, s.PutMessages(t.Context(), []store.Message{third, again}), store.ErrConflict{Field: store.FieldID})
		wants(t, s.PutMessages(t.Context(), []store.Message{third, third}), store.ErrConflict{Field: store.FieldID})
		list := claim(t, s, base, base.Add(time.Minute), 10)
		for i := range list {
			list[i].Attempts, list[i].NextAt = 0, first.NextAt
		}
		byID := func(a, b store.Message) int { return compareIDs(a.ID, b.ID) }
		want := []store.Message{first, second}
		slices.SortFunc(want, byID)
		slices.SortFunc(list, byID)
		equal(t, "the outbox", list, want)
	}},
	{"messages are claimed by channel, and by all but some channels", func(t *testing.T, s store.Store) {
		var messages []store.Message
		for i, channel := range []string{"a", "b", "a", "c", "b", "a"} {
			m := newMessage()
			m.Channel, m.CreatedAt = channel, base.Add(time.Duration(i-10)*time.Second)
			messages = append(messages, m)
		}
		wants(t, s.PutMessages(t.Context(), messages), nil)
		for i := range messages {
			messages[i].Attempts, messages[i].NextAt = 1, base.Add(time.Minute)
		}
		equal(t, "of no channel there is", claimOf(t, s, store.MessageClaim{Limit: 10, Channel: "d"}), nil)
		equal(t, "of all but all", claimOf(t, s, store.MessageClaim{Limit: 10, Except: []string{"c", "a", "b"}}), nil)
		equal(t, "one of a", claimOf(t, s, store.MessageClaim{Limit: 1, Channel: "a"}), messages[:1])
		equal(t, "the channel goes before the exceptions", claimOf(t, s, store.MessageClaim{Limit: 1, Channel: "a", Except: []string{"a"}}), messages[2:3])
		equal(t, "all but a", claimOf(t, s, store.MessageClaim{Limit: 2, Except: []string{"a", "d"}}), []store.Message{messages[1], messages[3]})
		equal(t, "the rest", claimOf(t, s, store.MessageClaim{Limit: 10}), messages[4:])
	}},
}

var eventTests = []test{
	{"events are listed by their time, the latest first", func(t *testing.T, s store.Store) {
		u, other := uuid.New(), uuid.New()
		var want []store.Event
		for i := range 18 {
			e := newEvent([]uuid.UUID{u, other, uuid.Nil}[i%3], fmt.Sprint("kind ", i%2))
			// Not the order of their numbers; and several are of one instant.
			e.At = base.Add(time.Duration(i*7%5) * time.Hour)
			want = append(want, record(t, s, e)...)
		}
		slices.SortFunc(want, func(a, b store.Event) int { return cmp.Or(b.At.Compare(a.At), cmp.Compare(b.Seq, a.Seq)) })

		for name, q := range map[string]store.EventQuery{
			"of everyone and thing":   {},
			"of a user":               {UserID: u},
			"of a type":               {Type: "kind 1"},
			"of a user and type":      {UserID: other, Type: "kind 1"},
			"from a time on":          {From: base.Add(2 * time.Hour)},
			"of a user from a time":   {UserID: u, From: base.Add(2 * time.Hour)},
			"of a type from a time":   {Type: "kind 0", From: base.Add(2 * time.Hour)},
			"after another":           {Before: store.EventKey{At: want[4].At, Seq: want[4].Seq}},
			"before a time":           {Before: store.EventKey{At: base.Add(3 * time.Hour)}},
			"of a type between times": {Type: "kind 1", From: base.Add(time.Hour), Before: store.EventKey{At: base.Add(3 * time.Hour)}},
			"of both after another":   {UserID: u, Type: "kind 1", Before: store.EventKey{At: want[4].At, Seq: want[4].Seq}},
			"after the earliest":      {Before: store.EventKey{At: want[17].At, Seq: want[17].Seq}},
			"of the far future":       {From: base.AddDate(1000, 0, 0)},
			"of nobody there is":      {UserID: uuid.New()},
			"of no type there is":     {Type: "kind"},
		} {
			var matching []store.Event
			for _, e := range want {
				if (q.UserID == uuid.Nil || e.UserID == q.UserID) && (q.Type == "" || e.Type == q.Type) && !e.At.Before(q.From) &&
					(q.Before.At.IsZero() || e.At.Before(q.Before.At) || e.At.Equal(q.Before.At) && e.Seq < q.Before.Seq) {
					matching = append(matching, e)
				}
			}
			for _, limit := range []int{1, 2, 100} {
				q.Limit = limit
				got, err := s.Events(t.Context(), q)
				wants(t, err, nil)
				equal(t, "the events "+name, got, matching[:min(limit, len(matching))])
			}
		}
	}},
	{"events are listed page by page", func(t *testing.T, s store.Store) {
		for range 7 {
			record(t, s, newEvent(uuid.Nil, "kind"))
		}
		var sizes []int
		q := store.EventQuery{Limit: 3}
		for len(sizes) < 9 {
			page, err := s.Events(t.Context(), q)
			wants(t, err, nil)
			sizes = append(sizes, len(page))
			if len(page) == 0 {
				break
			}
			last := page[len(page)-1]
			q.Before = store.EventKey{At: last.At, Seq: last.Seq}
		}
		equal(t, "sizes of the pages", sizes, []int{3, 3, 1, 0})
	}},
	{"the audit trail is read from any number on", func(t *testing.T, s store.Store) {
		head, events := trail(t, s)
		equal(t, "the head of an empty trail", head, nil)
		equal(t, "the events of an empty trail", events, nil)
		want := record(t, s, newEvent(uuid.Nil, "1"), newEvent(uuid.Nil, "2"))
		want = append(want, record(t, s, newEvent(uuid.Nil, "3"))...)
		head, _ = trail(t, s)
		for _, r := range []struct {
			from  int64
			limit int
			want  []store.Event
		}{
			{math.MinInt64, 10, want},
			{0, 2, want[:2]},
			{1, 1, want[:1]},
			{2, 10, want[1:]},
			{3, 10, want[2:]},
			{4, 10, nil},
			{math.MaxInt64, 10, nil},
		} {
			h, events, err := s.Trail(t.Context(), r.from, r.limit)
			wants(t, err, nil)
			equal(t, "the head", h, head)
			equal(t, fmt.Sprintf("%d events from %d", r.limit, r.from), events, r.want)
		}
	}},
	{"a trail with another head is left as it is", func(t *testing.T, s store.Store) {
		record(t, s, newEvent(uuid.Nil, "1"))
		late := next(t, s, newEvent(uuid.Nil, "late"))
		late.Through = 1
		record(t, s, newEvent(uuid.Nil, "2"))
		before := look(t, s)
		for _, after := range [][]byte{late.After, nil, newHash(), append(bytes.Clone(before.Head), 0)} {
			late.After = after
			head, appended, err := s.AppendEvents(t.Context(), late)
			wants(t, err, nil)
			if appended {
				t.Errorf("after %x: it says that it did", after)
			}
			equal(t, "the head that it tells", head, before.Head)
			unchanged(t, s, before)
		}
	}},
	{"a number is not given twice", func(t *testing.T, s store.Store) {
		record(t, s, newEvent(uuid.Nil, "1"), newEvent(uuid.Nil, "2"))
		a := next(t, s, newEvent(uuid.Nil, "3"), newEvent(uuid.Nil, "4"))
		before := look(t, s)
		for _, seqs := range [][2]int64{{2, 3}, {3, 3}} {
			a.Events[0].Seq, a.Events[1].Seq = seqs[0], seqs[1]
			_, _, err := s.AppendEvents(t.Context(), a)
			wants(t, err, conflict(store.FieldID))
			unchanged(t, s, before)
		}
	}},
	{"a trail is shortened at its beginning, in the same step", func(t *testing.T, s store.Store) {
		want := record(t, s, newEvent(uuid.Nil, "1"), newEvent(uuid.Nil, "2"), newEvent(uuid.Nil, "3"))
		for _, through := range []int64{-5, 2, 2} {
			a := next(t, s, newEvent(uuid.Nil, "more"))
			a.Through = through
			_, appended, err := s.AppendEvents(t.Context(), a)
			wants(t, err, nil)
			if !appended {
				t.Error("it says that it did not")
			}
			want = append(want, a.Events...)
			if through > 0 {
				want = slices.DeleteFunc(want, func(e store.Event) bool { return e.Seq <= through })
			}
			_, events := trail(t, s)
			equal(t, "the trail", events, want)
		}
	}},
	{"a head moves without events, too", func(t *testing.T, s store.Store) {
		record(t, s, newEvent(uuid.Nil, "1"))
		record(t, s)
		if _, events := trail(t, s); len(events) != 1 {
			t.Errorf("%d events", len(events))
		}
	}},
}
