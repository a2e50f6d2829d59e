// Embedtx is a small service that keeps its own rows and the engine's in one database, SQLite or PostgreSQL, so that they
// come and go together. There are two ways for them to do so, and it uses both:
//
//   - The engine calls the service in its transaction. Whoever signs up gets a profile, from a hook that finds the
//     transaction of the sign-up in its context: TxFrom.
//   - The service calls the engine in its transaction. Whoever joins with an invitation spends it, and the engine's
//     sign-up is part of the service's transaction because its context says so: WithTx.
//
// From the root of the repository:
//
//	go run ./examples/embedtx
//	go run ./examples/embedtx -db postgres://postgres@127.0.0.1:5432/test
//
// The routes are in service.go; sqlite.go and postgres.go each have all there is to do for their database.
package main

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"os"
	"strings"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/httpadapter"
	"github.com/ostiary/auth/store/pgstore"
	"github.com/ostiary/auth/store/sqlitestore"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8082", "address to listen on")
	name := flag.String("db", sqlitestore.Memory, "`database`: a file of SQLite, which is in memory unless set, or the URL of one of PostgreSQL")
	flag.Parse()
	ctx := context.Background()

	db, err := open(ctx, *name)
	if err != nil {
		log.Fatal(err)
	}
	invitation := rand.Text()
	if err := db.invite(ctx, invitation, "pro"); err != nil {
		log.Fatal(err)
	}
	// A service that is to remember its sessions keeps this beside its other secrets.
	secret := make(auth.Secret, 32)
	rand.Read(secret) //nolint:errcheck // never fails
	engine, err := auth.New(db.users(), configure(db, auth.Config{
		ServerURL: "http://" + *addr + "/auth",
		ClientURL: "http://" + *addr,
		Secret:    secret,
		Password:  &auth.PasswordConfig{},
		Logger:    slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}))
	if err != nil {
		log.Fatal(err)
	}
	handler, err := newService(db, engine)
	if err != nil {
		log.Fatal(err)
	}
	// A service whose users get letters needs the loop: a letter that is caused in the service's transaction leaves after
	// the commit, and only the loop knows of that.
	go func() { log.Fatal(engine.Run(ctx)) }()
	fmt.Printf(`listening on http://%[1]s; to spend an invitation:
curl -i http://%[1]s/join -H 'Content-Type: application/json' \
  -d '{"invitation":%[2]q,"email":"ada@example.com","password":"plum-tractor-eleven"}'
`, *addr, invitation)
	log.Fatal(httpadapter.NewServer(*addr, handler).ListenAndServe())
}

// open opens a database of either kind and makes the tables that are missing, the engine's and the service's.
func open(ctx context.Context, name string) (database, error) {
	if strings.HasPrefix(name, "postgres://") || strings.HasPrefix(name, "postgresql://") {
		return openPostgres(ctx, name, pgstore.DefaultSchema)
	}
	return openSQLite(ctx, name)
}

// configure adds to a configuration what this service wants of it.
func configure(db database, c auth.Config) auth.Config {
	// Without mail, anybody can sign up in anybody's name.
	c.Email.AllowUnverified = true
	c.Hooks.UserCreated = db.createProfile
	return c
}

// newService puts the engine's routes beside the service's own.
func newService(db database, engine *auth.Engine) (http.Handler, error) {
	adapter, err := httpadapter.New(engine, httpadapter.Options{})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	adapter.Mount(mux, "/auth")
	mux.Handle("GET /profile", adapter.RequireUser(showProfile(db)))
	mux.Handle("POST /join", join(db, engine))
	return mux, nil
}
