// Standalone is the authentication engine as a program: the documented API, configured by environment variables of the
// documented names.
//
//	AUTH_LISTEN=127.0.0.1:4000 AUTH_STORE=memory AUTH_SECRET="$(openssl rand -base64 32)" \
//	AUTH_SERVER_URL=http://127.0.0.1:4000 AUTH_CLIENT_URL=http://localhost:3000 \
//	AUTH_MAIL_LOG=true \
//	go run ./examples/standalone
//
// README.md beside this file lists the variables. A mistake in them ends the program at once, with status 2 and every
// mistake on standard error. SIGTERM or SIGINT ends it when the requests in flight have been answered; a second one, at
// once.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path"
	"syscall"
	"time"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/httpadapter"
)

func main() { os.Exit(run(os.Environ(), os.Stdout, os.Stderr)) }

// run is the program: it returns the status to exit with.
func run(environ []string, stdout, stderr io.Writer) int {
	s, err := parse(environ, stdout)
	if err != nil {
		fmt.Fprintf(stderr, "The environment cannot be used:\n%v\n", err)
		return 2
	}
	log := s.auth.Logger
	for _, w := range s.warnings {
		log.Warn(w)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop) // the second signal has its usual effect
	if err := serve(ctx, s); err != nil {
		log.Error("failed", slog.Any("error", err))
		return 1
	}
	return 0
}

// drain is how long requests in flight may take to finish when the program ends. It is more than the adapter gives a
// request.
const drain = 40 * time.Second

// serve runs the server and the engine's loop until ctx ends.
func serve(ctx context.Context, s settings) (err error) {
	log := s.auth.Logger
	db, closeStore, err := openStore(ctx, s.store)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeStore()) }()
	limiter, closeLimiter, err := s.counting.open(s.auth.Secret, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeLimiter()) }()
	s.auth.Limits.Limiter = limiter
	engine, err := auth.New(db, s.auth)
	if err != nil {
		return err
	}
	if sender, ok := s.auth.Mail.(io.Closer); ok {
		defer func() { err = errors.Join(err, sender.Close()) }()
	}
	handler, err := routes(engine, s)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", s.listen)
	if err != nil {
		return fmt.Errorf("%w: choose another address with AUTH_LISTEN", err)
	}

	loop, stopLoop := context.WithCancel(context.Background())
	looped := make(chan error, 1)
	go func() { looped <- engine.Run(loop) }()

	server := httpadapter.NewServer("", handler)
	server.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelWarn)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	log.Info("listening", slog.String("address", listener.Addr().String()),
		slog.String("prefix", s.prefix), slog.String("store", s.store.kind))

	select {
	case err = <-served:
	case <-ctx.Done():
		log.Info("ending: waiting for the requests in flight")
		inTime, cancel := context.WithTimeout(context.Background(), drain)
		defer cancel()
		err = server.Shutdown(inTime)
	}
	// The loop ends last, so that it can still deliver what those requests caused.
	stopLoop()
	if loopErr := <-looped; !errors.Is(loopErr, context.Canceled) {
		err = errors.Join(err, loopErr)
	}
	return err
}

// pingTime is how long the database may take to answer before the program counts as not healthy.
const pingTime = 5 * time.Second

// routes are the documented ones, under the prefix, and what has its place at the root.
func routes(engine *auth.Engine, s settings) (http.Handler, error) {
	adapter, err := httpadapter.New(engine, s.http)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	adapter.Mount(mux, s.prefix)
	if s.prefix != "" {
		mux.Handle("/.well-known/webauthn", adapter) // browsers look for it there and nowhere else
		// Whoever watches the program need not know the prefix; the body is the documented one of this route.
		mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Cache-Control", "no-store")
			status, body := http.StatusOK, `{"status":"ok"}`
			ctx, cancel := context.WithTimeout(r.Context(), pingTime)
			defer cancel()
			if err := engine.Health(ctx); err != nil {
				s.auth.Logger.Error("not healthy", slog.Any("error", err))
				status, body = http.StatusServiceUnavailable, `{"status":"unavailable"}`
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body+"\n")
		})
		mux.HandleFunc("/", adapter.NotFound)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path.Clean(r.URL.Path) != r.URL.Path {
			adapter.NotFound(w, r) // the mux would send the client, and the ticket in its URL, elsewhere
			return
		}
		mux.ServeHTTP(w, r)
	}), nil
}
