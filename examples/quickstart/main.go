// Quickstart is the smallest thing that shows the authentication engine at work: a server with one page on which to sign
// up, in and out, with a password, a passkey, a letter or an identity provider, and with a second factor, to change and to
// delete accounts, to make tokens for programs, and to see what sessions and tokens are made of. What it serves is one note
// for each user. From the root of the repository:
//
//	go run ./examples/quickstart
//
// Users and sessions are kept in quickstart.db, a SQLite database in the working directory, or where -db says; the secret
// that protects what is in it lies beside it. With -memory nothing is written and all ends with the program.
//
// No letter leaves the program: the page shows them, and the terminal where they lead. A real service sets Config.Mail to a
// sender that delivers.
//
// The identity provider with which the page signs people in is a toy of this process: anybody may use any of its accounts. It
// is reached from this machine alone, and where -addr is for other machines there is none. A real service sets
// Config.Providers to those at which it is registered.
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/httpadapter"
	"github.com/ostiary/auth/limit"
	"github.com/ostiary/auth/mail"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`address` to listen on; port 0 is one that is free")
	db := flag.String("db", "quickstart.db", "`file` with the users and sessions, made if it is not there")
	memory := flag.Bool("memory", false, "keep users and sessions in memory, and write no file")
	flag.Parse()
	if *memory {
		*db = ""
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *addr, *db, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends. It keeps users in the file db, or in memory if that is empty.
func run(ctx context.Context, addr, db string, out io.Writer) (err error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("%w; choose another address with -addr, such as -addr 127.0.0.1:0 for a port that is free", err)
	}
	defer listener.Close()
	kept, err := open(ctx, db)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, kept.close()) }()
	url := publicURL(listener.Addr())
	letters := &mailbox{}
	c := config(url, kept.secret, letters)
	idp, err := startProvider(&c)
	if err != nil {
		return err
	}
	if idp != nil {
		defer idp.Close()
	}
	engine, err := auth.New(kept.store, c)
	if err != nil {
		return err
	}
	handler, err := routes(engine, letters)
	if err != nil {
		return err
	}
	server := httpadapter.NewServer("", handler)

	loop, stopLoop := context.WithCancel(context.Background())
	looped := make(chan error, 1)
	go func() { looped <- engine.Run(loop) }()
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()

	fmt.Fprintf(out, "\n    Open %s\n\n%s Letters are not sent: the page shows them. Ctrl-C ends it.\n", url, kept.where)
	select {
	case err = <-served:
	case <-ctx.Done():
		inTime, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		err = server.Shutdown(inTime)
	}
	stopLoop()
	<-looped
	return err
}

var often = limit.Rate{Burst: 1000, Per: time.Minute}

// config is all that the engine needs to know.
func config(url string, secret auth.Secret, sender mail.Sender) auth.Config {
	c := auth.Config{
		ServerURL: url + "/v1",
		ClientURL: url,
		Secret:    secret,
		Password:  &auth.PasswordConfig{},
		MagicLink: &auth.MagicLinkConfig{},
		EmailOTP:  &auth.EmailOTPConfig{},
		Anonymous: &auth.AnonymousConfig{MaxIdle: 24 * time.Hour},
		MFA:       &auth.MFAConfig{Issuer: "Quickstart"},
		PAT:       &auth.PATConfig{},
		// Who has a passkey or an authenticator app confirms with it what the engine protects, such as removing a passkey. For
		// the service's own part see notes.
		Elevation: auth.ElevationConfig{Mode: auth.ElevationRecommended},
		// Whoever tries this out is one client, in all their roles.
		Limits: auth.LimitsConfig{
			RequestsPerClient: often, EmailsPerClient: often, GuessesPerClient: often, SignUpsPerClient: often, ChallengesPerClient: often,
		},
		Mail:   sender,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	// Passkeys belong to a name. Where the page has none, because -addr says a number that others reach, there are none.
	if named(url) {
		// Some people need longer than a minute for theirs.
		c.WebAuthn = &auth.WebAuthnConfig{RPName: "Quickstart", Timeout: 5 * time.Minute}
	}
	return c
}

// named reports whether the host of a page is a name and not a number: it is localhost, then.
func named(page string) bool {
	u, err := url.Parse(page)
	return err == nil && net.ParseIP(u.Hostname()) == nil
}

//go:embed page
var files embed.FS

// policy lets the page load its own files, talk to its own server, show its letters and the image of a secret, which comes in
// an answer, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; frame-src 'self'; " +
	"form-action 'none'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'"

// routes are the documented ones under /v1, the service's own, and the page with its letters.
func routes(engine *auth.Engine, letters *mailbox) (http.Handler, error) {
	adapter, err := httpadapter.New(engine, httpadapter.Options{Logger: slog.Default()})
	if err != nil {
		return nil, err
	}
	page, err := fs.Sub(files, "page")
	if err != nil {
		return nil, err
	}
	static := http.FileServerFS(page)

	mux := http.NewServeMux()
	adapter.Mount(mux, "/v1")
	newNotes().mount(mux, adapter)
	letters.mount(mux)
	mux.HandleFunc("GET /dev/providers", providers(engine))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-cache")
		if strings.HasSuffix(r.URL.Path, ".js") {
			h.Set("Content-Type", "text/javascript; charset=utf-8") // some systems are set up to say otherwise
		}
		static.ServeHTTP(w, r)
	})
	return mux, nil
}

// publicURL is where a browser on this machine finds the server. Its host is localhost and no number where it can be:
// passkeys belong to names.
func publicURL(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return "http://" + a.String()
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsLoopback() || ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}
