// Command soak has two replicas of the engine serve people for a long time, and watches whether anything grows.
//
//	go run ./bench/cmd/soak -for 10m -store postgres
//
// Both engines are in this process, each with its routes on the loopback interface, its [auth.Engine.Run] and the limits that
// there are by default, over one store: postgres (of AUTH_TEST_POSTGRES), sqlite or memory. Time goes by in days. By day people
// come, at any replica: they sign up by password, link, code, passkey or as guests, sign in in every way, wrongly as well,
// refresh, at once and with tokens of before, ask for codes and tokens, change this and that, and delete their accounts. Some
// residents stay. A receiver of webhooks fails now and then. Then comes the night: everybody stops, the engines' clock leaps by
// fifty hours, and what has ended is to be gone: the loops remove it, a key follows another, the outbox and the audit trail
// are emptied.
//
// Each morning what there is is measured and printed: goroutines, the live heap after a collection, file descriptors,
// connections to the database, and rows. Status 1 says that
//
//   - an answer was not the one that is documented for the request, or said 5xx;
//   - something was logged at level Error, or panicked, apart from deliveries that the receiver had refused;
//   - the audit trail was not whole, or an event did not reach the receiver;
//   - in a morning there were more rows than the residents have, or anything that had ended;
//   - goroutines, heap, descriptors or connections were more in the second half than in the first, without the first quarter,
//     by more than the printed bound: the medians are compared.
//
// Nothing but the loopback interface is used. The time is that of the days and nights together, of which the last one is ended.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"slices"
	"time"

	"github.com/ostiary/auth"
)

// settings are what the flags say.
type settings struct {
	period  time.Duration // of the whole
	day     time.Duration
	store   string
	workers int
	seed    uint64
	argon2  auth.Argon2 // zero: what a service has by default
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("soak: ")
	var s settings
	flag.DurationVar(&s.period, "for", 10*time.Minute, "go on for `d`")
	flag.DurationVar(&s.day, "day", 20*time.Second, "have a day last `d`")
	flag.StringVar(&s.store, "store", "memory", "over this `store`: postgres, sqlite or memory")
	flag.IntVar(&s.workers, "people", 8, "have `n` people come at the same time, and as many residents")
	flag.Uint64Var(&s.seed, "seed", uint64(time.Now().UnixNano()), "choose what people do by `n`")
	flag.Parse()
	if s.period <= 0 || s.period > 24*time.Hour || s.day <= 0 || s.workers < 1 || s.workers > 1000 || flag.NArg() > 0 ||
		!slices.Contains(stores, s.store) {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := soak(ctx, s, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// soak goes on for the period and reports. An error is what should not be.
func soak(ctx context.Context, s settings, out io.Writer) (err error) {
	w, closeWorld, err := newWorld(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeWorld()) }()
	fmt.Fprintf(out, "store %s, %d people at a time, days of %v, for %v, seed %d\n\n", s.store, s.workers, s.day, s.period, s.seed)
	header(out)
	var mornings []morning
	for start := time.Now(); time.Since(start) < s.period || len(mornings) < minMornings; {
		if err := w.byDay(ctx, s.day); err != nil {
			return err
		}
		m, err := w.byNight(ctx)
		if err != nil {
			return err
		}
		m.at = time.Since(start)
		m.print(out)
		mornings = append(mornings, m)
	}
	w.summary(out)
	return errors.Join(verdict(out, mornings)...)
}
