// Package server is what the servers that are measured have in common: how they are told what to do, and how they listen.
//
// A server reads one line of JSON, its [Settings], from its standard input, listens on a free port of the loopback interface,
// and says where on its standard output, in a line that begins with [Listening]. It ends when its standard input does, and so
// never outlives who has started it.
package server

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/pprof"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Listening stands before the address, such as 127.0.0.1:8080, in the line that says that a server listens.
const Listening = "listening "

// Ways of hashing passwords.
const (
	HashDefault = "default" // what the product does unless told otherwise
	HashEqual   = "equal"   // Argon2id with 19 MiB, two passes and one lane, in all products
)

// Settings tell a server what to do.
type Settings struct {
	Postgres   string `json:"postgres"`   // URL of the database
	Schema     string `json:"schema"`     // the schema in which the tables are, or are made; it is there
	Pool       int    `json:"pool"`       // how many connections to the database there are at most
	Hash       string `json:"hash"`       // HashDefault or HashEqual
	Variant    string `json:"variant"`    // what else is different in this server, if anything
	Secret     string `json:"secret"`     // random, at least 32 bytes; the same for all servers on the same tables
	CPUProfile string `json:"cpuProfile"` // file to write a profile to, for servers in Go; "": none
}

// Connect connects to the database, with the schema as the only one that names without one are looked up in.
func (s Settings) Connect(ctx context.Context) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(s.Postgres)
	if err != nil {
		return nil, err
	}
	config.MaxConns = int32(s.Pool)
	config.ConnConfig.RuntimeParams["search_path"] = s.Schema
	return pgxpool.NewWithConfig(ctx, config)
}

// Make makes a server for a base URL. What it starts ends with the context.
type Make func(ctx context.Context, s Settings, base string) (*http.Server, error)

// Main is the whole of a server's program.
func Main(create Make) {
	if err := run(os.Stdin, os.Stdout, create); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer, create Make) error {
	r := bufio.NewReader(in)
	line, err := r.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read settings: %w", err)
	}
	var s Settings
	if err := json.Unmarshal(line, &s); err != nil {
		return fmt.Errorf("read settings: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer listener.Close()
	server, err := create(ctx, s, "http://"+listener.Addr().String())
	if err != nil {
		return err
	}
	if s.CPUProfile != "" {
		f, err := os.Create(s.CPUProfile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	go func() {
		io.Copy(io.Discard, r) //nolint:errcheck // however it ends, it ends
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		server.Shutdown(ctx) //nolint:errcheck // the program ends in any case
	}()
	if _, err := fmt.Fprintf(out, "%s%s\n", Listening, listener.Addr()); err != nil {
		return err
	}
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
