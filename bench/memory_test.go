package bench

import (
	"runtime"
	"runtime/metrics"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/store/memstore"
)

// However many people sign in at once, the hashes of their passwords take the memory of two: three times that, with what the
// garbage collector has not taken back yet, and some room here.
func TestHashesOfManyTakeTheMemoryOfFew(t *testing.T) { // not parallel: the heap is that of the process
	const callers, atOnce, hash = 48, 2, 19 << 20
	engine, err := auth.New(memstore.New(), auth.Config{
		ServerURL: "https://bench.example", ClientURL: "https://bench.example", Secret: make(auth.Secret, 32),
		Password: &auth.PasswordConfig{MaxHashes: atOnce}, Email: auth.EmailConfig{AllowUnverified: true}, Limits: plenty,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := engine.SignUpPassword(t.Context(), auth.SignUpPasswordParams{Email: email, Password: password}); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	heap := func() uint64 { metrics.Read(sample); return sample[0].Value.Uint64() }
	before := heap()

	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			if _, err := engine.SignInPassword(t.Context(), auth.SignInPasswordParams{Email: email, Password: password}); err != nil {
				t.Error(err)
			}
		})
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		all.Wait()
	}()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for peak, busy := uint64(0), true; busy; {
		select {
		case <-over:
			busy = false
			t.Logf("%d MiB at most", peak>>20)
			if most := before + 5*atOnce*hash; peak > most {
				t.Errorf("%d MiB, and %d is the most", peak>>20, most>>20)
			}
			if peak < hash {
				t.Errorf("%d MiB is not even one hash", peak>>20)
			}
		case <-look.C:
			peak = max(peak, heap())
		}
	}
}
