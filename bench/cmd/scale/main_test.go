package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/ostiary/auth/bench/internal/database"
	"github.com/ostiary/auth/internal/need"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/pgstore"
)

func TestNumbersOfUsers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text string
		want counts
	}{
		"one":                      {"1000", counts{1000}},
		"several that grow":        {"10000,1000000", counts{10_000, 1_000_000}},
		"too few":                  {"999", nil},
		"several that do not grow": {"2000,2000", nil},
		"what is no number":        {"many", nil},
		"nothing":                  {"", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got counts
			err := got.Set(test.text)
			if (err == nil) != (test.want != nil) || err == nil && !slices.Equal(got, test.want) {
				t.Errorf("got %v (%v), want %v", got, err, test.want)
			}
			if err == nil && got.String() != test.text {
				t.Errorf("it prints as %s", &got)
			}
		})
	}
}

func TestQuantile(t *testing.T) {
	t.Parallel()
	times := make([]time.Duration, 200)
	for i := range times {
		times[i] = time.Duration(200 - i)
	}
	if got := quantile(times, 0.5); got != 101 {
		t.Errorf("the median of 1 to 200 is %d", got)
	}
	if got := quantile(times, 0.99); got != 199 {
		t.Errorf("the 99th percentile of 1 to 200 is %d", got)
	}
	if got := quantile(nil, 0.5); got != 0 {
		t.Errorf("the median of nothing is %d", got)
	}
}

func TestPlans(t *testing.T) {
	t.Parallel()
	rows := map[string]int{"users": large, "locks": 2}
	for _, test := range []struct {
		name, plan string
		shown      string
		bad        []string
	}{
		{
			"a row that is found by its key is no fault",
			`{"Node Type": "Index Scan", "Relation Name": "users", "Index Name": "users_pkey", "Index Cond": "(id = $1)",
			"Actual Rows": 1, "Actual Loops": 1}`,
			"users_pkey", nil,
		},
		{
			"a large table that is read as a whole is one, wherever that stands in the plan",
			`{"Node Type": "ModifyTable", "Relation Name": "locks", "Plans": [{"Node Type": "Nested Loop", "Plans": [
			{"Node Type": "Seq Scan", "Relation Name": "users", "Actual Rows": 0, "Actual Loops": 0}]}]}`,
			"**all of users**",
			[]string{"all of users"},
		},
		{
			"a small one is none",
			`{"Node Type": "Seq Scan", "Relation Name": "locks", "Actual Rows": 1, "Actual Loops": 1}`,
			"all of locks", nil,
		},
		{
			"an index that is read as a whole is one",
			`{"Node Type": "Index Only Scan", "Relation Name": "users", "Index Name": "users_pkey", "Actual Rows": 1, "Actual Loops": 1}`,
			"**all of users_pkey**",
			[]string{"all of users_pkey"},
		},
		{
			"an index below a bitmap belongs to the table above it",
			`{"Node Type": "Bitmap Heap Scan", "Relation Name": "users", "Plans": [
			{"Node Type": "Bitmap Index Scan", "Index Name": "users_pkey", "Actual Rows": 1, "Actual Loops": 1}]}`,
			"**all of users_pkey**",
			[]string{"all of users_pkey"},
		},
		{
			"rows that are looked at and left out count",
			`{"Node Type": "Index Scan", "Relation Name": "users", "Index Name": "users_idle_since_idx", "Index Cond": "(idle_since < $1)",
			"Actual Rows": 1, "Rows Removed by Filter": 999, "Actual Loops": 1}`,
			"**users_idle_since_idx**",
			[]string{"users_idle_since_idx"},
		},
		{
			"a few rows that are looked at again and again count each time",
			`{"Node Type": "Index Scan", "Relation Name": "users", "Index Name": "users_pkey", "Index Cond": "(id = s.user_id)",
			"Actual Rows": 1, "Actual Loops": 1000}`,
			"**users_pkey**",
			[]string{"users_pkey"},
		},
		{"what reads nothing has no way to do so", `{"Node Type": "ModifyTable", "Relation Name": "users"}`, "none", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			accesses, err := parsePlan(`[{"Plan": ` + test.plan + `}]`)
			if err != nil {
				t.Fatal(err)
			}
			p := newPlan([][]access{accesses}, rows)
			if p.String() != test.shown || !slices.Equal(p.bad, test.bad) {
				t.Errorf("it is shown as %s, and bad are %v", p, p.bad)
			}
		})
	}
	t.Run("a fault in a plan that was given up later is one", func(t *testing.T) {
		t.Parallel()
		p := newPlan([][]access{{{table: "users", path: "all of users", whole: true}}, {{table: "users", path: "users_pkey", rows: 1}}}, rows)
		if got, want := p.String(), "users_pkey (at first **all of users**)"; got != want || len(p.bad) != 1 {
			t.Errorf("it is shown as %s, and bad are %v", got, p.bad)
		}
	})
}

// measured is a result in which each operation takes 100 with few users and the given time with many.
func measured(many time.Duration) *result {
	r := &result{}
	for users, took := range map[int]time.Duration{1000: 100, 2000: many} {
		v := &realm{caller: newCaller(population{users: users}, nil), quiet: latencies{}, plans: map[string]plan{}}
		for _, op := range operations {
			v.quiet.add(&op, took)
		}
		r.realms = append(r.realms, v)
	}
	slices.SortFunc(r.realms, func(a, b *realm) int { return a.caller.users - b.caller.users })
	return r
}

func TestFaults(t *testing.T) {
	t.Parallel()
	if got := measured(120).faults(true); len(got) != 0 {
		t.Errorf("operations that take as long as they may are faults: %q", got)
	}
	if got := measured(121).faults(true); len(got) != len(operations) {
		t.Errorf("operations that take longer than they may are the faults %q", got)
	}
	if got := measured(121).faults(false); len(got) != 0 {
		t.Errorf("and are reported although that was not asked for: %q", got)
	}
	none := measured(100)
	clear(none.realms[0].quiet)
	clear(none.realms[1].quiet)
	if got := none.faults(true); len(got) != len(operations) {
		t.Errorf("operations that were not timed are the faults %q", got)
	}
	bad := measured(100)
	bad.realms[1].plans[purging.name] = plan{bad: []string{"all of users"}}
	if got, want := bad.faults(false), []string{"2000 users: Purge reads all of users"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// reach skips a test where there is no server, except in CI, where that is a failure.
func reach(t *testing.T) {
	t.Helper()
	pool, err := database.Open(t.Context())
	if err != nil {
		need.Missing(t, err)
	}
	pool.Close()
}

// What is copied into the tables is what the store would have put there.
func TestRecordsAreReadBackAsTheyAreMeant(t *testing.T) {
	t.Parallel()
	reach(t)
	ctx := t.Context()
	pool, err := database.Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	schema, err := database.Create(ctx, pool, "auth_scale_test")
	t.Cleanup(func() {
		if err := database.Drop(ctx, pool, schema); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := pgstore.New(pool, pgstore.Schema(schema))
	if err != nil {
		t.Fatal(err)
	}
	p := population{users: minimumPopulation, now: time.Now().UTC().Truncate(time.Microsecond)}
	if err := fill(ctx, pool, schema, slices.Concat(p.living(), p.ended(100))); err != nil {
		t.Fatal(err)
	}

	// This user has one of everything.
	const i = usersPerKey * usersPerTicket
	want := store.Account{
		User:         p.user(i),
		Identities:   []store.Identity{p.identity(i / usersPerIdentity)},
		SecurityKeys: []store.SecurityKey{p.key(i / usersPerKey)},
		PATs:         []store.PAT{p.pat(i / usersPerPAT)},
	}
	for j := range sessionsPerUser {
		want.Sessions = append(want.Sessions, p.session(i*sessionsPerUser+j))
	}
	got, err := s.User(ctx, store.UserQuery{ID: want.ID, With: allLists, Now: p.now})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.SortSlices(func(a, b store.Session) bool {
		return bytes.Compare(a.ID[:], b.ID[:]) < 0
	})); diff != "" {
		t.Errorf("the user is another (-want +got):\n%s", diff)
	}
	ticket := p.ticket(i / usersPerTicket)
	gotTicket, err := s.TakeTicket(ctx, store.TicketQuery{Kind: ticketKind, Hashes: [][]byte{ticket.Hash}, Now: p.now})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ticket, gotTicket); diff != "" {
		t.Errorf("the ticket is another (-want +got):\n%s", diff)
	}
	c := newCaller(p, s)
	removed, err := c.purge(ctx)
	if err != nil || removed != 100 {
		t.Errorf("%d rows have ended (%v), want 100", removed, err)
	}
	if _, err := s.User(ctx, store.UserQuery{ID: want.ID, Now: p.now}); err != nil {
		t.Errorf("and the living with them: %v", err)
	}
}

func TestMeasure(t *testing.T) {
	t.Parallel()
	reach(t)
	r, err := measure(t.Context(), settings{
		users: counts{minimumPopulation, 2 * minimumPopulation}, samples: 3, warmup: 1, ended: 500, patience: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range r.realms {
		for _, op := range operations {
			if len(v.quiet[op.name]) != 3 {
				t.Errorf("%d users: %s was timed %d times", v.caller.users, op.name, len(v.quiet[op.name]))
			}
		}
		if v.purged != 500 {
			t.Errorf("%d users: %d rows were purged", v.caller.users, v.purged)
		}
		if got := v.plans["User by id"].String(); got != "users_pkey" {
			t.Errorf("%d users: a user is found by way of %s", v.caller.users, got)
		}
		if got := v.plans[purging.name].String(); !strings.Contains(got, "sessions_purge_at_idx") {
			t.Errorf("%d users: the purge finds rows by way of %s", v.caller.users, got)
		}
	}
	var out strings.Builder
	if err := r.print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| RotateSession | ", "| 2000 | sessions | 4000 | ", "| 1000 | 500 | "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, &out)
		}
	}
	// Nothing is left behind.
	pool, err := database.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	for _, v := range r.realms {
		var there bool
		err := pool.QueryRow(t.Context(), "SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)", v.schema).Scan(&there)
		if err != nil || there {
			t.Errorf("schema %s is there: %t (%v)", v.schema, there, err)
		}
	}
}

func TestIdsAreOfTheirKindAlone(t *testing.T) {
	t.Parallel()
	seen := map[uuid.UUID]bool{}
	for _, kind := range []string{"user", "session"} {
		for i := range 1000 {
			seen[id(kind, i)] = true
		}
	}
	if len(seen) != 2000 {
		t.Errorf("%d ids, want 2000", len(seen))
	}
}
