package durability_test

import (
	"context"
	"testing"
	"time"
)

// ST-01: the program is killed at random moments and restarted. Every answer that it gave before stands.
func TestWhatWasAcknowledgedSurvivesKill9(t *testing.T) {
	t.Parallel()
	for name, newPlace := range map[string]func(*testing.T) place{"SQLite": sqlitePlace, "PostgreSQL": postgresPlace} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, newPlace(t), 6)
			p := start(t, w.order())
			w.fleet.set(0, p.url)
			began := time.Now()
			for n := range *kills {
				w.round(t, func(ctx context.Context) {
					w.moment(ctx, 1, 80)
					t.Logf("kill %d after %d answers", n+1, w.tally.total())
					p.kill(t)
					w.fleet.set(0, "")
					p = start(t, w.order())
					w.fleet.set(0, p.url)
				})
				w.audit(t, false)
			}
			w.audit(t, true)
			w.tell(t, began)
		})
	}
}

// tell logs what was done.
func (w *world) tell(t *testing.T, began time.Time) {
	t.Helper()
	people, sessions, ended := 0, 0, 0
	for _, c := range w.clients {
		people += len(c.people)
		for _, p := range c.people {
			sessions += len(p.sessions)
			ended += len(p.ended)
		}
	}
	t.Logf("%d answers, %d users, %d letters, %d live sessions, %d ended ones, in %v",
		w.tally.total(), people, w.post.amount, sessions, ended, time.Since(began).Round(time.Second))
}
