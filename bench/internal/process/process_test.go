package process_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/auth/bench/internal/process"
	"github.com/ostiary/auth/bench/internal/server"
)

// behaviour is the environment variable that makes a server of this test.
const behaviour = "PROCESS_TEST_BEHAVIOUR"

func TestMain(m *testing.M) {
	switch os.Getenv(behaviour) {
	case "":
		os.Exit(m.Run())
	case "mute": // reads, and never listens
		io.Copy(io.Discard, os.Stdin) //nolint:errcheck // however it ends
	case "stubborn": // listens, and never ends
		fmt.Println(server.Listening + "127.0.0.1:1")
		select {}
	case "fails at the end":
		fmt.Println(server.Listening + "127.0.0.1:1")
		io.Copy(io.Discard, os.Stdin) //nolint:errcheck // however it ends
		fmt.Fprintln(os.Stderr, "a reason at the end")
		os.Exit(3)
	default:
		server.Main(func(_ context.Context, s server.Settings, base string) (*http.Server, error) {
			if s.Variant == "fails at the start" {
				return nil, errors.New("a reason at the start")
			}
			return &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/settings":
					fmt.Fprintf(w, "%s %s %d", base, s.Schema, s.Pool)
				case "/work": // takes time and memory
					block := make([]byte, 64<<20)
					sum := 0
					for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); {
						for i := range block {
							block[i]++
							sum += int(block[i])
						}
					}
					fmt.Fprint(w, sum)
				case "/crash":
					os.Exit(4)
				}
			}), ReadHeaderTimeout: time.Second}, nil
		})
	}
}

func start(t *testing.T, how string, s server.Settings) (*process.Process, error) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var end time.Duration // the race detector lets a program wait for a second before it ends
	if how == "stubborn" {
		end = 100 * time.Millisecond
	}
	return process.Start(t.Context(), process.Command{Path: program, Env: []string{behaviour + "=" + how}, End: end}, s)
}

func get(t *testing.T, url string) (string, error) {
	t.Helper()
	r, err := http.Get(url) //nolint:gosec // of this test's server
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	return string(body), err
}

func TestAServerIsToldItsSettingsAndEnds(t *testing.T) {
	t.Parallel()
	p, err := start(t, "serves", server.Settings{Schema: "a_schema", Pool: 7})
	if err != nil {
		t.Fatal(err)
	}
	got, err := get(t, "http://"+p.Address+"/settings")
	if want := "http://" + p.Address + " a_schema 7"; err != nil || got != want {
		t.Errorf("%q (%v), want %q", got, err, want)
	}
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := get(t, "http://"+p.Address+"/settings"); err == nil {
		t.Error("it still answers")
	}
}

func TestUsageIsThatOfTheServer(t *testing.T) {
	t.Parallel()
	p, err := start(t, "serves", server.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	before, err := p.Usage()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := get(t, "http://"+p.Address+"/work"); err != nil {
		t.Fatal(err)
	}
	after, err := p.Usage()
	if err != nil {
		t.Fatal(err)
	}
	// A machine with much else to do gives a part of the 300 ms only.
	if used := after.CPU - before.CPU; used < 3*process.Tick || used > 2*time.Second {
		t.Errorf("%v of CPU time were used", used)
	}
	if grown := after.Memory - before.Memory; grown < 60<<20 || grown > 200<<20 {
		t.Errorf("memory grew by %d bytes, want about 64 MiB", grown)
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
}

func TestAServerThatDoesNotServeIsAnErrorThatSaysWhy(t *testing.T) {
	t.Parallel()
	_, err := start(t, "serves", server.Settings{Variant: "fails at the start"})
	if err == nil || !strings.Contains(err.Error(), "a reason at the start") {
		t.Errorf("error %v at the start", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(100*time.Millisecond, cancel)
	if _, err := process.Start(ctx, process.Command{Path: program, Env: []string{behaviour + "=mute"}}, server.Settings{}); err == nil {
		t.Error("no error of one that does not listen")
	}

	p, err := start(t, "fails at the end", server.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(); err == nil || !strings.Contains(err.Error(), "a reason at the end") {
		t.Errorf("error %v at the end", err)
	}

	p, err = start(t, "serves", server.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := get(t, "http://"+p.Address+"/crash"); err == nil {
		t.Error("it answers and crashes")
	}
	if err := p.Stop(); err == nil {
		t.Error("no error of one that has crashed")
	}
}

func TestAServerThatDoesNotEndIsEnded(t *testing.T) {
	t.Parallel()
	p, err := start(t, "stubborn", server.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(); err == nil {
		t.Error("no error")
	}
	if _, err := p.Usage(); err == nil {
		t.Error("it is still there")
	}
}
