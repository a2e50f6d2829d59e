// Minimal is the service that docs/embedding.md begins with: users sign up and in, and one route of its own is for them. It
// keeps users in memory and prints letters. From the root of the repository:
//
//	AUTH_SECRET=$(openssl rand -hex 32) go run ./examples/minimal
package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/httpadapter"
	"github.com/ostiary/auth/mail"
	"github.com/ostiary/auth/store/memstore"
)

const addr = "localhost:8083"

func main() {
	secret, err := hex.DecodeString(os.Getenv("AUTH_SECRET")) // openssl rand -hex 32
	if err != nil {
		log.Fatal("AUTH_SECRET: ", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	engine, handler, err := service(secret, mail.NewLog(os.Stdout)) // whoever reads the terminal can sign in as anybody
	if err != nil {
		log.Fatal(err)
	}
	if err := serve(ctx, engine, httpadapter.NewServer(addr, handler)); err != nil {
		log.Fatal(err)
	}
}

// service is an engine with its routes beside the service's own.
func service(secret auth.Secret, letters mail.Sender) (*auth.Engine, http.Handler, error) {
	engine, err := auth.New(memstore.New(), auth.Config{
		ServerURL: "http://" + addr + "/v1", // where the routes are: links in letters lead there
		ClientURL: "http://" + addr,         // where the pages are: links lead on to them
		Secret:    secret,
		Password:  &auth.PasswordConfig{},
		Mail:      letters,
		Logger:    slog.Default(),
	})
	if err != nil {
		return nil, nil, err
	}
	routes, err := httpadapter.New(engine, httpadapter.Options{Logger: slog.Default()})
	if err != nil {
		return nil, nil, err
	}
	mux := http.NewServeMux()
	routes.Mount(mux, "/v1")
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "Here will be a page.")
	})
	mux.Handle("GET /hello", routes.RequireUser(http.HandlerFunc(hello)))
	return engine, mux, nil
}

// hello is a route of the service's own.
func hello(w http.ResponseWriter, r *http.Request) {
	user, _ := httpadapter.PrincipalFrom(r.Context()) // there is one behind RequireUser
	fmt.Fprintf(w, "hello %s, who may be %v\n", user.UserID, user.Roles)
}

// serve runs the server and the engine's loop until ctx ends: the server first, so that letters which its last requests
// have caused are still sent.
func serve(ctx context.Context, engine *auth.Engine, server *http.Server) error {
	loop, stopLoop := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLoop()
	looped := make(chan error, 1)
	go func() { looped <- engine.Run(loop) }()
	served := make(chan error, 1)
	go func() { served <- server.ListenAndServe() }()

	var err error
	select {
	case err = <-served: // the port is taken, say
	case <-ctx.Done():
		inTime, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = server.Shutdown(inTime)
	}
	stopLoop()
	if loopErr := <-looped; !errors.Is(loopErr, context.Canceled) {
		err = errors.Join(err, loopErr)
	}
	return err
}
