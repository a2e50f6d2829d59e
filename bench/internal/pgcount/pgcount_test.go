package pgcount_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/ostiary/auth/bench/internal/database"
	"github.com/ostiary/auth/bench/internal/pgcount"
	"github.com/ostiary/auth/internal/need"
)

// connect returns a connection to PostgreSQL that is counted.
func connect(t *testing.T, sslmode string) (*pgx.Conn, *pgcount.Proxy) {
	t.Helper()
	pool, err := database.Open(t.Context())
	if err != nil {
		need.Missing(t, err)
	}
	c := pool.Config().ConnConfig
	network, address := database.Address(pool)
	pool.Close()
	proxy, err := pgcount.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { proxy.Close() })
	config, err := pgx.ParseConfig(fmt.Sprintf("host=127.0.0.1 port=%d sslmode=%s", proxy.Addr().Port, sslmode))
	if err != nil {
		t.Fatal(err)
	}
	config.User, config.Password, config.Database = c.User, c.Password, c.Database
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.WithoutCancel(t.Context())) })
	return conn, proxy
}

func TestStatementsAndRoundTripsAreCounted(t *testing.T) {
	t.Parallel()
	conn, proxy := connect(t, "disable")
	if diff := cmp.Diff(pgcount.Count{}, proxy.Count()); diff != "" {
		t.Errorf("after connecting (-want +got):\n%s", diff)
	}
	exec := func(sql string, args ...any) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := conn.Exec(ctx, sql, args...)
			return err
		}
	}
	for _, step := range []struct {
		name string
		do   func(context.Context) error
		want pgcount.Count
	}{
		{"a simple query", exec("SELECT 1"), pgcount.Count{Statements: 1, Trips: 1}},
		{"several statements in one simple query", exec("SELECT 1; SELECT 2; SELECT 3"), pgcount.Count{Statements: 3, Trips: 1}},
		{"a statement that is prepared first", exec("SELECT $1::int", 1), pgcount.Count{Statements: 1, Trips: 2}},
		{"the same once it is prepared", exec("SELECT $1::int", 2), pgcount.Count{Statements: 1, Trips: 1}},
		{"a result that takes many reads", func(ctx context.Context) error {
			rows, err := conn.Query(ctx, "SELECT repeat('C', 1000) FROM generate_series(1, 500)", pgx.QueryExecModeSimpleProtocol)
			if err != nil {
				return err
			}
			rows.Close()
			return rows.Err()
		}, pgcount.Count{Statements: 1, Trips: 1}},
		{"a transaction", func(ctx context.Context) error {
			return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
				_, err := tx.Exec(ctx, "SELECT $1::int", 3)
				return err
			})
		}, pgcount.Count{Statements: 3, Trips: 3}},
		{"a batch", func(ctx context.Context) error {
			var b pgx.Batch
			for i := range 5 {
				b.Queue("SELECT $1::int", i)
			}
			return conn.SendBatch(ctx, &b).Close()
		}, pgcount.Count{Statements: 5, Trips: 1}},
		{"a statement that fails", func(ctx context.Context) error {
			if _, err := conn.Exec(ctx, "SELECT 1/0"); err == nil {
				return fmt.Errorf("no error")
			}
			return nil
		}, pgcount.Count{Trips: 1}},
	} {
		before := proxy.Count()
		if err := step.do(t.Context()); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if diff := cmp.Diff(step.want, proxy.Count().Sub(before)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
}

func TestAClientThatWouldRatherEncryptIsCounted(t *testing.T) {
	t.Parallel()
	conn, proxy := connect(t, "prefer")
	if _, err := conn.Exec(t.Context(), "SELECT 1"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(pgcount.Count{Statements: 1, Trips: 1}, proxy.Count()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCloseEndsConnections(t *testing.T) {
	t.Parallel()
	server, err := net.Listen("tcp", "127.0.0.1:0") // accepts and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	proxy, err := pgcount.Listen("tcp", server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	client, err := net.Dial("tcp", proxy.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := proxy.Close(); err != nil {
		t.Fatal(err)
	}
	if err := client.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := client.Read(make([]byte, 1)); n > 0 || err == nil || os.IsTimeout(err) {
		t.Errorf("the connection is still open: read %d, %v", n, err)
	}
}
