package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/ostiary/auth/bench/internal/database"
	"github.com/ostiary/auth/bench/internal/load"
	"github.com/ostiary/auth/bench/internal/pgcount"
	"github.com/ostiary/auth/bench/internal/process"
	"github.com/ostiary/auth/bench/internal/product"
	"github.com/ostiary/auth/bench/internal/server"
)

// poolSize is how many connections to the database each server has at most.
const poolSize = 16

// comparison is a run: the machine, the products and what was measured of them.
type comparison struct {
	settings settings
	machine  []string
	products []*realm
	absent   []string
	cells    []cell
}

// cell is one measurement.
type cell struct {
	hash        string
	flow        product.Flow
	connections int
	product     *realm
	load.Result
	usage process.Usage // CPU within the measurement, memory since the start
	count pgcount.Count // of one request
}

// realm is a product with its users.
type realm struct {
	built
	schemas map[string]string // by way of hashing
	counted map[string]map[product.Flow]pgcount.Count
	secret  string
	fresh   atomic.Int64
}

// measure does all. Nothing is left behind.
func measure(ctx context.Context, s settings) (c *comparison, err error) {
	pool, err := database.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	dir, err := os.MkdirTemp("", "compare")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if s.profiles != "" {
		if s.profiles, err = filepath.Abs(s.profiles); err != nil {
			return nil, err
		}
		if err := os.MkdirAll(s.profiles, 0o755); err != nil {
			return nil, err
		}
	}
	m := &measurement{settings: s, pool: pool}
	c = &comparison{settings: s}
	// Schemas are dropped whatever happens.
	defer func() { err = errors.Join(err, m.drop(ctx)) }()
	withNode := false
	for _, p := range product.All() {
		if !s.products.has(p.Name) {
			continue
		}
		s.progress("building %s", p.Name)
		b, err := build(ctx, p, dir)
		var missing absentError
		switch {
		case errors.As(err, &missing) && os.Getenv("CI") != "true" && ctx.Err() == nil:
			reason, _, _ := strings.Cut(missing.Error(), "\n")
			s.progress("%s is left out: %v", p.Name, missing)
			c.absent = append(c.absent, fmt.Sprintf("%s is left out: %s", p.Name, reason))
			continue
		case err != nil:
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
		withNode = withNode || p.Package != ""
		c.products = append(c.products, &realm{
			built: b, secret: rand.Text() + rand.Text(),
			schemas: map[string]string{}, counted: map[string]map[product.Flow]pgcount.Count{},
		})
	}
	if c.machine, err = machine(ctx, withNode); err != nil {
		return nil, err
	}
	described, err := describe(ctx, pool)
	if err != nil {
		return nil, err
	}
	c.machine = append(c.machine, described)

	for _, hash := range []string{server.HashDefault, server.HashEqual} {
		flows := m.flows(hash)
		if len(flows) == 0 {
			continue
		}
		for _, r := range c.products {
			s.progress("%s, %s hashing: %d users, and counting statements", r.Name, hash, s.users)
			if err := m.prepare(ctx, r, hash, flows); err != nil {
				return nil, fmt.Errorf("%s: %w", r.Name, err)
			}
		}
		for _, flow := range flows {
			for _, connections := range s.connections {
				for _, r := range c.products {
					way, ok := r.Ways[flow]
					if !ok {
						continue
					}
					got, err := m.cell(ctx, r, hash, flow, way, connections)
					if err != nil {
						return nil, fmt.Errorf("%s, %s, %d connections: %w", r.Name, flow, connections, err)
					}
					s.progress("%s, %d connections, %s: %.0f/s", flow, connections, r.Name, got.Rate)
					c.cells = append(c.cells, got)
				}
			}
		}
	}
	return c, nil
}

// describe says what the database is.
func describe(ctx context.Context, pool *pgxpool.Pool) (string, error) {
	var version, fsync, commit string
	row := pool.QueryRow(ctx, "SELECT current_setting('server_version'), current_setting('fsync'), current_setting('synchronous_commit')")
	if err := row.Scan(&version, &fsync, &commit); err != nil {
		return "", err
	}
	return fmt.Sprintf("PostgreSQL %s, fsync %s, synchronous_commit %s; at most %d connections from each server", version, fsync, commit, poolSize), nil
}

// measurement is what all parts of a run share.
type measurement struct {
	settings
	pool    *pgxpool.Pool
	schemas []string
}

// flows are those that are measured with a way of hashing: where all hash alike, only those that hash.
func (m *measurement) flows(hash string) []product.Flow {
	return slices.DeleteFunc(slices.Clone(product.Flows), func(f product.Flow) bool {
		return !m.settings.flows.has(string(f)) || hash == server.HashEqual && !f.Hashes()
	})
}

// schema makes an empty one.
func (m *measurement) schema(ctx context.Context) (string, error) {
	name := "auth_compare_" + strings.ToLower(rand.Text())
	_, err := m.pool.Exec(ctx, "CREATE SCHEMA "+pgx.Identifier{name}.Sanitize())
	if err == nil {
		m.schemas = append(m.schemas, name)
	}
	return name, err
}

func (m *measurement) drop(ctx context.Context) error {
	var faults []error
	for _, name := range m.schemas {
		faults = append(faults, database.Drop(ctx, m.pool, name))
	}
	return errors.Join(faults...)
}

// url is that of the database, as a server behind address reaches it.
func (m *measurement) url(address string) string {
	c := m.pool.Config().ConnConfig
	u := url.URL{Scheme: "postgres", User: url.UserPassword(c.User, c.Password), Host: address, Path: "/" + c.Database, RawQuery: "sslmode=disable"}
	if c.Password == "" {
		u.User = url.User(c.User)
	}
	return u.String()
}

// start starts a product's server, whose statements a proxy counts if it is not nil.
func (m *measurement) start(ctx context.Context, r *realm, hash, variant, profile string, proxy *pgcount.Proxy) (*process.Process, error) {
	network, address := database.Address(m.pool)
	if network != "tcp" {
		return nil, fmt.Errorf("%s: the database must be reached by TCP", database.Variable)
	}
	if proxy != nil {
		address = proxy.Addr().String()
	}
	return process.Start(ctx, r.command, server.Settings{
		Postgres: m.url(address), Schema: r.schemas[hash], Pool: poolSize,
		Hash: hash, Variant: variant, Secret: r.secret, CPUProfile: profile,
	})
}

// world is that of one connection.
func (m *measurement) world(r *realm, connection int) product.World {
	w := product.World{Connection: connection, Fresh: func() product.Account {
		return account(fmt.Sprintf("new-%d", r.fresh.Add(1)))
	}}
	for i := range m.users {
		w.Accounts = append(w.Accounts, account(fmt.Sprintf("user-%d", i)))
	}
	return w
}

// account has a password that the rules of all products accept.
func account(name string) product.Account {
	return product.Account{Email: name + "@bench.example", Password: "Correct-7-Horses-Battery-Staple"}
}

// How many requests statements are counted for, after how many that are not.
const (
	counting  = 9
	uncounted = 3
)

// prepare signs users up, and counts the statements of each flow.
func (m *measurement) prepare(ctx context.Context, r *realm, hash string, flows []product.Flow) (err error) {
	if r.schemas[hash], err = m.schema(ctx); err != nil {
		return err
	}
	r.counted[hash] = map[product.Flow]pgcount.Count{}
	proxy, err := pgcount.Listen(database.Address(m.pool))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, proxy.Close()) }()
	byVariant := map[string][]product.Flow{"": nil}
	for _, f := range flows {
		if way, ok := r.Ways[f]; ok {
			byVariant[way.Variant] = append(byVariant[way.Variant], f)
		}
	}
	variants := []string{""} // the one that signs users up is first
	for v := range byVariant {
		if v != "" {
			variants = append(variants, v)
		}
	}
	for i, variant := range variants {
		if err := m.count(ctx, r, hash, variant, byVariant[variant], proxy, i == 0); err != nil {
			return err
		}
	}
	return nil
}

// count counts the statements of the flows of one variant, having signed users up if need be.
func (m *measurement) count(
	ctx context.Context, r *realm, hash, variant string, flows []product.Flow, proxy *pgcount.Proxy, signUp bool,
) (err error) {
	p, err := m.start(ctx, r, hash, variant, "", proxy)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	if signUp {
		if err := m.signUp(ctx, r, p.Address); err != nil {
			return fmt.Errorf("sign users up: %w", err)
		}
	}
	for _, f := range flows {
		c := load.NewClient(p.Address)
		defer c.Close()
		script, err := r.Ways[f].Script(ctx, c, m.world(r, 0))
		if err != nil {
			return fmt.Errorf("prepare %s: %w", f, err)
		}
		var counts []pgcount.Count // after each answer
		check := script.Check
		script.Check = func(a load.Answer) error {
			counts = append(counts, proxy.Count())
			return check(a)
		}
		l := load.New(p.Address, []load.Script{script})
		defer l.Close()
		if _, err := l.Repeat(ctx, uncounted+counting); err != nil {
			return fmt.Errorf("%s: %w", f, err)
		}
		r.counted[hash][f] = perRequest(counts[uncounted-1:])
	}
	return nil
}

// perRequest is the median of what each request took, of counts after each, so that what a server does on its own between
// requests does not count.
func perRequest(counts []pgcount.Count) pgcount.Count {
	var statements, trips []int64
	for i := range counts[1:] {
		c := counts[i+1].Sub(counts[i])
		statements, trips = append(statements, c.Statements), append(trips, c.Trips)
	}
	slices.Sort(statements)
	slices.Sort(trips)
	return pgcount.Count{Statements: statements[len(statements)/2], Trips: trips[len(trips)/2]}
}

// signUp makes the accounts, four at a time.
func (m *measurement) signUp(ctx context.Context, r *realm, address string) error {
	group, ctx := errgroup.WithContext(ctx)
	accounts := make(chan product.Account)
	group.Go(func() error {
		defer close(accounts)
		for _, a := range m.world(r, 0).Accounts {
			select {
			case accounts <- a:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	for range 4 {
		group.Go(func() error {
			c := load.NewClient(address)
			defer c.Close()
			for a := range accounts {
				if err := r.SignUp(ctx, c, a); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// cell measures one flow of one product, in a process of its own.
func (m *measurement) cell(
	ctx context.Context, r *realm, hash string, flow product.Flow, way product.Way, connections int,
) (got cell, err error) {
	got = cell{hash: hash, flow: flow, connections: connections, product: r, count: r.counted[hash][flow]}
	profile := ""
	if m.profiles != "" && r.Module == "" && r.Package == "" && hash == server.HashDefault {
		profile = filepath.Join(m.profiles, fmt.Sprintf("%s-%d.prof", flow, connections))
	}
	p, err := m.start(ctx, r, hash, way.Variant, profile, nil)
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	scripts, err := m.scripts(ctx, r, way, p.Address, connections)
	if err != nil {
		return got, fmt.Errorf("prepare: %w", err)
	}
	l := load.New(p.Address, scripts)
	defer l.Close()
	if _, err := l.Run(ctx, m.warmup); err != nil {
		return got, fmt.Errorf("warm up: %w", err)
	}
	before, err := p.Usage()
	if err != nil {
		return got, err
	}
	if got.Result, err = l.Run(ctx, m.measure); err != nil {
		return got, err
	}
	if got.usage, err = p.Usage(); err != nil {
		return got, err
	}
	got.usage.CPU -= before.CPU
	if logged := p.Logged(); logged != "" {
		return got, fmt.Errorf("the server complains:\n%s", logged)
	}
	return got, nil
}

// scripts prepares as many connections, all at the same time.
func (m *measurement) scripts(ctx context.Context, r *realm, way product.Way, address string, connections int) ([]load.Script, error) {
	scripts := make([]load.Script, connections)
	group, ctx := errgroup.WithContext(ctx)
	for i := range scripts {
		group.Go(func() (err error) {
			c := load.NewClient(address)
			defer c.Close()
			scripts[i], err = way.Script(ctx, c, m.world(r, i))
			return err
		})
	}
	return scripts, group.Wait()
}
