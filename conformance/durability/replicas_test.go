package durability_test

import (
	"context"
	"sync"
	"testing"
	"time"
)

// ST-02, ST-03, ST-04, ST-12: two programs share one database, clients turn to either, and one of the two is killed and
// restarted again and again. Nothing acknowledged is lost, and what may happen once happens once.
func TestReplicasBehaveAsOne(t *testing.T) {
	t.Parallel()
	for name, newPlace := range map[string]func(*testing.T) place{"SQLite": sqlitePlace, "PostgreSQL": postgresPlace} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, newPlace(t), 6)
			// They start at the same moment, and find no tables.
			orders := [2]order{w.order(), w.order()}
			var programs [2]*program
			var both sync.WaitGroup
			for i := range programs {
				both.Go(func() { programs[i] = start(t, orders[i]) })
			}
			both.Wait()
			if t.Failed() {
				return
			}
			for i, p := range programs {
				w.fleet.set(i, p.url)
			}
			began := time.Now()
			const rounds = 6
			for range rounds {
				w.round(t, func(ctx context.Context) {
					i := w.random.IntN(2)
					w.moment(ctx, 20, 80)
					programs[i].kill(t)
					w.fleet.set(i, "")
					w.moment(ctx, 20, 80) // the other one carries on
					programs[i] = start(t, w.order())
					w.fleet.set(i, programs[i].url)
					w.moment(ctx, 20, 80)
				})
				w.audit(t, false)
			}
			w.audit(t, true)
			w.tell(t, began)
		})
	}
}
