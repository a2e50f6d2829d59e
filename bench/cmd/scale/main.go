// Command scale shows what becomes of the store on PostgreSQL as users grow in number.
//
//	go run ./bench/cmd/scale -users 10000,1000000
//
// For each number of users it fills a schema of its own by COPY, with records that are made up. Then it calls each
// operation that requests wait for, on records picked at random from all that there are, taking turns between the
// numbers of users, so that a machine or a disk that gets slower does so for all of them. It prints, as Markdown:
//
//   - the latency of each operation at each number of users;
//   - how the server gets at the rows, from EXPLAIN of the very statements that the store sends;
//   - the size of the tables and their indexes;
//   - how fast the purge removes what has ended beside other calls, and how long those take meanwhile.
//
// It exits with status 1 if an operation's median at the greatest number of users is more than 1.2 times that at the
// smallest, unless -report is given, or if a plan reads all of a large table or looks at many rows.
//
// The database is the one of the environment variable AUTH_TEST_POSTGRES. The schemas are dropped in the end, unless
// -keep is given.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"maps"
	"math/rand/v2"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ostiary/auth/bench/internal/database"
	"github.com/ostiary/auth/store/pgstore"
)

// settings are what the flags say.
type settings struct {
	users           counts
	samples, warmup int
	ended           int
	patience        time.Duration
	keep, report    bool
}

// counts are numbers of users, in ascending order.
type counts []int

func (c *counts) String() string {
	list := make([]string, len(*c))
	for i, n := range *c {
		list[i] = strconv.Itoa(n)
	}
	return strings.Join(list, ",")
}

// Set implements [flag.Value].
func (c *counts) Set(s string) error {
	*c = nil
	for text := range strings.SplitSeq(s, ",") {
		n, err := strconv.Atoi(text)
		if err != nil {
			return err
		}
		if n < minimumPopulation {
			return fmt.Errorf("fewer than %d users", minimumPopulation)
		}
		if len(*c) > 0 && n <= (*c)[len(*c)-1] {
			return errors.New("not in ascending order")
		}
		*c = append(*c, n)
	}
	return nil
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("scale: ")
	s := settings{users: counts{10_000, 1_000_000}}
	flag.Var(&s.users, "users", "compare these `numbers` of users, in ascending order")
	flag.IntVar(&s.samples, "samples", 2000, "time each operation `n` times")
	flag.IntVar(&s.warmup, "warmup", 500, "call each operation `n` times before")
	flag.IntVar(&s.ended, "ended", 50_000, "purge `n` rows")
	flag.DurationVar(&s.patience, "patience", time.Minute, "end a purge after `d`, done or not")
	flag.BoolVar(&s.keep, "keep", false, "do not drop the schemas")
	flag.BoolVar(&s.report, "report", false, "do not fail if an operation becomes slower")
	flag.Parse()
	if s.samples < 1 || s.warmup < 0 || s.ended < 10 || s.patience <= 0 || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	r, err := measure(ctx, s)
	if err != nil {
		log.Fatal(err)
	}
	if err := r.print(os.Stdout); err != nil {
		log.Fatal(err)
	}
	faults := r.faults(!s.report)
	for _, fault := range faults {
		log.Print(fault)
	}
	if len(faults) > 0 {
		os.Exit(1)
	}
}

// realm is the store with one number of users, and what was measured of it.
type realm struct {
	schema string
	pool   *pgxpool.Pool
	caller *caller

	filled      time.Duration
	sizes       []table
	plans       map[string]plan
	quiet, busy latencies // without and with a purge at the same time
	purged      int
	purgeTook   time.Duration
}

// latencies are the times that each operation took.
type latencies map[string][]time.Duration

// connections are enough for the purge and the calls beside it.
const connections = 4

func measure(ctx context.Context, s settings) (_ *result, err error) {
	pool, err := database.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	var r result
	if err := pool.QueryRow(ctx, "SELECT version()").Scan(&r.server); err != nil {
		return nil, err
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	for _, users := range s.users {
		schema, createErr := database.Create(ctx, pool, "auth_scale")
		defer func() {
			if s.keep {
				log.Printf("%d users are in schema %s", users, schema)
				return
			}
			err = errors.Join(err, database.Drop(ctx, pool, schema))
		}()
		if createErr != nil {
			return nil, createErr
		}
		v, err := newRealm(ctx, schema, population{users: users, now: now})
		if err != nil {
			return nil, fmt.Errorf("%d users: %w", users, err)
		}
		defer v.pool.Close()
		r.realms = append(r.realms, v)
	}
	log.Print("calling operations")
	if err := quiet(ctx, r.realms, s.warmup, s.samples); err != nil {
		return nil, err
	}
	for _, v := range r.realms {
		log.Printf("%d users: purging", v.caller.users)
		if err := v.purge(ctx, s.ended, s.patience); err != nil {
			return nil, fmt.Errorf("%d users: %w", v.caller.users, err)
		}
	}
	return &r, nil
}

// newRealm fills the tables in a schema, measures them and explains the operations on them.
func newRealm(ctx context.Context, schema string, p population) (_ *realm, err error) {
	v := &realm{schema: schema}
	v.pool, err = database.Open(ctx, func(c *pgxpool.Config) { c.MaxConns = connections })
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			v.pool.Close()
		}
	}()
	s, err := pgstore.New(v.pool, pgstore.Schema(schema))
	if err != nil {
		return nil, err
	}
	v.caller = newCaller(p, s)
	log.Printf("%d users: filling the tables", p.users)
	start := time.Now()
	if err := v.add(ctx, p.living()); err != nil {
		return nil, err
	}
	v.filled = time.Since(start)
	err = v.pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
		v.sizes, err = tableSizes(ctx, conn, schema)
		return err
	})
	if err != nil {
		return nil, err
	}
	v.plans, err = plans(ctx, schema, v.caller, operations)
	return v, err
}

func (v *realm) add(ctx context.Context, loads []load) error {
	if err := fill(ctx, v.pool, v.schema, loads); err != nil {
		return err
	}
	tables := make([]string, len(loads))
	for i, l := range loads {
		tables[i] = l.table
	}
	return database.Settle(ctx, v.pool, v.schema, tables...)
}

// quiet times every operation on all realms in turns, with nothing else under way.
func quiet(ctx context.Context, realms []*realm, warmup, samples int) error {
	for _, v := range realms {
		v.quiet = latencies{}
	}
	for i := range warmup + samples {
		for _, o := range rand.Perm(len(operations)) {
			for _, j := range rand.Perm(len(realms)) {
				took, err := realms[j].caller.time(ctx, &operations[o])
				if err != nil {
					return fmt.Errorf("%d users: %w", realms[j].caller.users, err)
				}
				if i >= warmup {
					realms[j].quiet.add(&operations[o], took)
				}
			}
		}
	}
	return nil
}

func (l latencies) add(op *operation, took time.Duration) { l[op.name] = append(l[op.name], took) }

// purge adds rows that have ended and removes them, and times the operations as long as that goes on.
func (v *realm) purge(ctx context.Context, rows int, patience time.Duration) error {
	if err := v.add(ctx, v.caller.population.ended(rows)); err != nil {
		return err
	}
	found, err := plans(ctx, v.schema, v.caller, []operation{purging})
	if err != nil {
		return err
	}
	maps.Copy(v.plans, found)
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		start := time.Now()
		var err error
		v.purged, err = v.caller.purge(limited)
		v.purgeTook = time.Since(start)
		done <- err
	}()
	v.busy = latencies{}
	for {
		for _, o := range rand.Perm(len(operations)) {
			select {
			case err := <-done:
				return err
			default:
			}
			took, err := v.caller.time(ctx, &operations[o])
			if err != nil {
				cancel()
				<-done
				return err
			}
			v.busy.add(&operations[o], took)
		}
	}
}
