package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ostiary/auth/bench/internal/database"
	"github.com/ostiary/auth/store/pgstore"
)

// statement is one as it goes to the server.
type statement struct {
	sql  string
	args []any
}

// recorder is a pgx tracer that notes what goes over the connections of a pool.
type recorder struct {
	mu   sync.Mutex
	list []statement
}

func (r *recorder) note(sql string, args []any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, statement{sql, args})
}

// take returns what has been noted since it was last called.
func (r *recorder) take() []statement {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.list
	r.list = nil
	return list
}

func (r *recorder) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	r.note(d.SQL, d.Args)
	return ctx
}

func (r *recorder) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (r *recorder) TraceBatchStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceBatchStartData) context.Context {
	for _, q := range d.Batch.QueuedQueries {
		r.note(q.SQL, q.Arguments)
	}
	return ctx
}

func (r *recorder) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (r *recorder) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

// node is a node of a plan, as EXPLAIN (ANALYZE, FORMAT JSON) prints it.
type node struct {
	Type      string `json:"Node Type"`
	Relation  string `json:"Relation Name"`
	Index     string `json:"Index Name"`
	IndexCond string `json:"Index Cond"`
	Plans     []node `json:"Plans"`

	// Each of the following is the mean of all loops.
	Loops    float64 `json:"Actual Loops"`
	Rows     float64 `json:"Actual Rows"`
	Filtered float64 `json:"Rows Removed by Filter"`
	Recheck  float64 `json:"Rows Removed by Index Recheck"`
}

// access is how a plan gets at rows of a table.
type access struct {
	table, path string
	whole       bool    // it is meant to read all of the table or of an index
	rows        float64 // that were looked at
}

// accesses lists how a plan gets at its rows. The index scan below a bitmap heap scan does not say of which table the
// index is; that is above it.
func (n *node) accesses(table string) []access {
	if n.Relation != "" {
		table = n.Relation
	}
	var list []access
	a := access{table: table, path: n.Index, rows: n.Loops * (n.Rows + n.Filtered + n.Recheck)}
	switch n.Type {
	case "Index Scan", "Index Only Scan", "Bitmap Index Scan":
		if a.whole = n.IndexCond == ""; a.whole {
			a.path = "all of " + n.Index
		}
		list = append(list, a)
	case "Seq Scan", "Sample Scan":
		a.path, a.whole = "all of "+n.Relation, true
		list = append(list, a)
	}
	for i := range n.Plans {
		list = append(list, n.Plans[i].accesses(table)...)
	}
	return list
}

// plan is how the server carries out an operation: how it gets at rows, in the order of the statements.
type plan struct {
	first   []string // as the first call is planned, for its arguments
	settled []string // as it is in the end
	bad     []string // of all plans, what reads too much
}

const (
	// large is how many rows a table has that no plan may mean to read as a whole. A smaller one may well be.
	large = 10_000
	// many is more rows than any operation has reason to look at in one place.
	many = 1000
)

// explains is how often a statement is explained. For the first five times the server plans it for its arguments; then
// it chooses between going on so and one plan for all (PostgreSQL documentation, PREPARE).
const explains = 7

// plans explains the very statements of operations, as the server plans them when they are prepared and executed again and
// again. What the operations do is taken back.
func plans(ctx context.Context, schema string, called *caller, list []operation) (map[string]plan, error) {
	var r recorder
	pool, err := database.Open(ctx, func(c *pgxpool.Config) {
		c.MaxConns = 1
		c.ConnConfig.Tracer = &r
	})
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	s, err := pgstore.New(pool, pgstore.Schema(schema))
	if err != nil {
		return nil, err
	}
	sizes, err := tableSizes(ctx, conn, schema)
	if err != nil {
		return nil, err
	}
	rows := map[string]int{}
	for _, t := range sizes {
		rows[t.name] = t.rows
	}

	found := map[string]plan{}
	for _, op := range list {
		c := *called
		c.store, c.generations = s, maps.Clone(called.generations)
		call, _ := op.ready(&c)
		var sent []statement
		err := undone(ctx, conn, func(tx pgx.Tx) error {
			r.take()
			err := call(pgstore.WithTx(ctx, tx))
			sent = slices.DeleteFunc(r.take(), func(st statement) bool { return strings.Contains(st.sql, "SAVEPOINT") })
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", op.name, err)
		}
		if len(sent) == 0 {
			return nil, fmt.Errorf("%s has sent nothing", op.name)
		}
		explained, err := explain(ctx, conn, sent)
		if err != nil {
			return nil, fmt.Errorf("explain %s: %w", op.name, err)
		}
		found[op.name] = newPlan(explained, rows)
	}
	return found, nil
}

// undone does something in a transaction, which it then rolls back.
func undone(ctx context.Context, conn *pgxpool.Conn, do func(pgx.Tx) error) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	return errors.Join(do(tx), tx.Rollback(ctx))
}

// newPlan puts together the plans of an operation, the first one first and the settled one last.
func newPlan(explained [][]access, rows map[string]int) plan {
	var p plan
	note := func(list *[]string, path string) {
		if !slices.Contains(*list, path) {
			*list = append(*list, path)
		}
	}
	for i, accesses := range explained {
		for _, a := range accesses {
			if i == 0 {
				note(&p.first, a.path)
			}
			if i == len(explained)-1 {
				note(&p.settled, a.path)
			}
			if a.whole && rows[a.table] >= large || a.rows >= many {
				note(&p.bad, a.path)
			}
		}
	}
	return p
}

// explain executes the statements of an operation again and again, and returns each time the ways to rows.
func explain(ctx context.Context, conn *pgxpool.Conn, sent []statement) ([][]access, error) {
	name := func(i int) string { return fmt.Sprintf("scale_explained_%d", i) }
	for i, st := range sent {
		if _, err := conn.Exec(ctx, "PREPARE "+name(i)+" AS "+st.sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			return nil, err
		}
	}
	var explained [][]access
	for range explains {
		var all []access
		err := undone(ctx, conn, func(tx pgx.Tx) error {
			for i, st := range sent {
				sql := "EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE " + name(i) + parameters(len(st.args))
				// EXECUTE has no parameters; by the simple protocol pgx puts the arguments into the text.
				args := append([]any{pgx.QueryExecModeSimpleProtocol}, st.args...)
				var text string
				if err := tx.QueryRow(ctx, sql, args...).Scan(&text); err != nil {
					return err
				}
				list, err := parsePlan(text)
				if err != nil {
					return err
				}
				all = append(all, list...)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		explained = append(explained, all)
	}
	for i := range sent {
		if _, err := conn.Exec(ctx, "DEALLOCATE "+name(i), pgx.QueryExecModeSimpleProtocol); err != nil {
			return nil, err
		}
	}
	return explained, nil
}

// parameters is a list of so many parameters, in parentheses unless it is empty.
func parameters(n int) string {
	if n == 0 {
		return ""
	}
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("$%d", i+1)
	}
	return " (" + strings.Join(list, ", ") + ")"
}

func parsePlan(text string) ([]access, error) {
	var explained []struct{ Plan node }
	if err := json.Unmarshal([]byte(text), &explained); err != nil {
		return nil, err
	}
	var list []access
	for i := range explained {
		list = append(list, explained[i].Plan.accesses("")...)
	}
	return list, nil
}

// String names the ways to rows. Those that read too much stand out, and what only adds rows has none.
func (p plan) String() string {
	show := func(paths []string) string {
		list := slices.Clone(paths)
		for i, path := range list {
			if slices.Contains(p.bad, path) {
				list[i] = "**" + path + "**"
			}
		}
		return cmp.Or(strings.Join(list, ", "), "none")
	}
	if slices.Equal(p.first, p.settled) {
		return show(p.settled)
	}
	return show(p.settled) + " (at first " + show(p.first) + ")"
}

// table is one with its size.
type table struct {
	name               string
	rows               int
	ofTable, ofIndexes int64 // bytes
}

// tableSizes measures the tables of a schema, as they were when their statistics were last taken.
func tableSizes(ctx context.Context, conn *pgxpool.Conn, schema string) ([]table, error) {
	rows, err := conn.Query(ctx, `SELECT relname::text, greatest(reltuples, 0)::bigint, pg_table_size(oid), pg_indexes_size(oid)
		FROM pg_class WHERE relnamespace = $1::text::regnamespace AND relkind = 'r' ORDER BY relname`, schema)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (table, error) {
		var t table
		err := row.Scan(&t.name, &t.rows, &t.ofTable, &t.ofIndexes)
		return t, err
	})
}
