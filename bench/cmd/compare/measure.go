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
	"github.com/ostiary/auth/internal/need"
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
	secret  string
	fresh   atomic.Int64
}

// own reports whether it is this repository's, and not a peer, which comes from elsewhere.
func (r *realm) own() bool { return r.Module == "" && r.Package == "" }

// measure does all, of those of the products that the settings name. Nothing is left behind.
func measure(ctx context.Context, s settings, products []product.Product) (c *comparison, err error) {
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
	for _, p := range products {
		if !s.products.has(p.Name) {
			continue
		}
		s.progress("building %s", p.Name)
		b, err := build(ctx, p, dir)
		var missing absentError
		switch {
		case errors.As(err, &missing) && !need.CI() && ctx.Err() == nil:
			reason, _, _ := strings.Cut(missing.Error(), "\n")
			s.progress("%s is left out: %v", p.Name, missing)
			c.absent = append(c.absent, fmt.Sprintf("%s is left out: %s", p.Name, reason))
			continue
		case err != nil:
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
		withNode = withNode || p.Package != ""
		c.products = append(c.products, &realm{
			built: b, secret: rand.Text() + rand.Text(), schemas: map[string]string{},
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
			if !slices.ContainsFunc(flows, func(f product.Flow) bool { _, ok := r.Ways[f]; return ok }) {
				continue
			}
			s.progress("%s: %d users, %s hashing", r.Name, s.users, hash)
			if err := m.populate(ctx, r, hash); err != nil {
				return nil, fmt.Errorf("%s: sign users up: %w", r.Name, err)
			}
		}
		for _, flow := range flows {
			cells, err := m.flow(ctx, c.products, hash, flow)
			if err != nil {
				return nil, err
			}
			c.cells = append(c.cells, cells...)
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
	name := m.prefix + strings.ToLower(rand.Text())
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
		return nil, fmt.Errorf("%s: the database must be reached by TCP", "AUTH_TEST_POSTGRES")
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

// flow measures one flow of all products, which take turns.
func (m *measurement) flow(ctx context.Context, realms []*realm, hash string, flow product.Flow) ([]cell, error) {
	type prepared struct {
		*realm
		scripts []load.Script
		count   pgcount.Count
	}
	var list []prepared
	for _, r := range realms {
		way, ok := r.Ways[flow]
		if !ok {
			continue
		}
		scripts, count, err := m.prepare(ctx, r, hash, way)
		if err != nil {
			return nil, fmt.Errorf("%s, prepare %s: %w", r.Name, flow, err)
		}
		list = append(list, prepared{r, scripts, count})
	}
	var cells []cell
	for _, connections := range m.connections {
		for _, p := range list {
			got := cell{hash: hash, flow: flow, connections: connections, product: p.realm, count: p.count}
			if err := m.cell(ctx, &got, p.scripts[:connections]); err != nil {
				return nil, fmt.Errorf("%s, %s, %s: %w", p.Name, flow, plural(connections, "connection"), err)
			}
			m.progress("%s, %s, %s: %s/s", flow, plural(connections, "connection"), p.Name, rate(got.Rate))
			cells = append(cells, got)
		}
	}
	return cells, nil
}

// prepare returns what each connection does in a flow, and what the flow asks of the database. It has a process of its own
// for that, so that no sign-in that comes before is among what is measured.
func (m *measurement) prepare(
	ctx context.Context, r *realm, hash string, way product.Way,
) (scripts []load.Script, count pgcount.Count, err error) {
	proxy, err := pgcount.Listen(database.Address(m.pool))
	if err != nil {
		return nil, count, err
	}
	defer func() { err = errors.Join(err, proxy.Close()) }()
	p, err := m.start(ctx, r, hash, way.Variant, "", proxy)
	if err != nil {
		return nil, count, err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	if scripts, err = m.scripts(ctx, r, way, p.Address); err != nil {
		return nil, count, err
	}
	var counts []pgcount.Count // after each answer
	watched := scripts[0]
	watched.Check = func(a load.Answer) error {
		counts = append(counts, proxy.Count())
		return scripts[0].Check(a)
	}
	l := load.New(p.Address, []load.Script{watched})
	defer l.Close()
	if _, err := l.Repeat(ctx, m.unprepared+m.counted); err != nil {
		return nil, count, err
	}
	return scripts, perRequest(counts[m.unprepared-1:]), nil
}

// scripts prepares as many connections as there are at most, all at the same time.
func (m *measurement) scripts(ctx context.Context, r *realm, way product.Way, address string) ([]load.Script, error) {
	scripts := make([]load.Script, slices.Max(m.connections))
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

// populate makes a schema with the accounts, four of them at a time.
func (m *measurement) populate(ctx context.Context, r *realm, hash string) (err error) {
	if r.schemas[hash], err = m.schema(ctx); err != nil {
		return err
	}
	p, err := m.start(ctx, r, hash, "", "", nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
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
			c := load.NewClient(p.Address)
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

// cell measures in a process of its own, which has done nothing before.
func (m *measurement) cell(ctx context.Context, v *cell, scripts []load.Script) (err error) {
	profile := ""
	if m.profiles != "" && v.product.own() && v.hash == server.HashDefault {
		profile = filepath.Join(m.profiles, fmt.Sprintf("%s-%s-%d.prof", v.product.Name, v.flow, v.connections))
	}
	p, err := m.start(ctx, v.product, v.hash, v.product.Ways[v.flow].Variant, profile, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	l := load.New(p.Address, scripts)
	defer l.Close()
	if _, err := l.Run(ctx, m.warmup); err != nil {
		return fmt.Errorf("warm up: %w", err)
	}
	before, err := p.Usage()
	if err != nil {
		return err
	}
	if v.Result, err = l.Run(ctx, m.measure); err != nil {
		return err
	}
	if v.usage, err = p.Usage(); err != nil {
		return err
	}
	v.usage.CPU -= before.CPU
	if logged := p.Logged(); logged != "" {
		return fmt.Errorf("the server complains:\n%s", logged)
	}
	return nil
}
