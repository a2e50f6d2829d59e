package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth/bench/internal/database"
	"github.com/ostiary/auth/bench/internal/load"
	"github.com/ostiary/auth/bench/internal/pgcount"
	"github.com/ostiary/auth/bench/internal/product"
	"github.com/ostiary/auth/internal/need"
)

// smallest is a run that only shows that everything works.
func smallest(t *testing.T, products ...string) settings {
	t.Helper()
	pool, err := database.Open(t.Context())
	if err != nil {
		need.Missing(t, err)
	}
	pool.Close()
	s := everything()
	s.brief()
	s.measure, s.warmup, s.users, s.connections = 10*time.Millisecond, 0, 2, counts{2}
	s.products.chosen = products
	s.progress = t.Logf
	s.prefix = fmt.Sprintf("auth_compare_test_%08x_", rand.Uint32())
	t.Cleanup(func() { empty(t, s.prefix) })
	return s
}

// empty is an error of the test if a schema is left.
func empty(t *testing.T, prefix string) {
	ctx := context.WithoutCancel(t.Context())
	pool, err := database.Open(ctx)
	if err != nil {
		t.Error(err)
		return
	}
	defer pool.Close()
	var left int
	err = pool.QueryRow(ctx, "SELECT count(*) FROM pg_namespace WHERE starts_with(nspname::text, $1)", prefix).Scan(&left)
	if err != nil || left != 0 {
		t.Errorf("%d schemas are left (%v)", left, err)
	}
}

// check looks at what every run must have, and returns what each flow of each product asks of the database.
func check(t *testing.T, c *comparison) map[string]pgcount.Count {
	t.Helper()
	counted := map[string]pgcount.Count{}
	for _, v := range c.cells {
		name := fmt.Sprintf("%s %s %s %d", v.product.Name, v.hash, v.flow, v.connections)
		if v.Requests < int64(v.connections) || v.Rate <= 0 || v.Latency(50) <= 0 || v.Latency(99) < v.Latency(50) {
			t.Errorf("%s: %d requests, %v/s, %v, %v", name, v.Requests, v.Rate, v.Latency(50), v.Latency(99))
		}
		if v.usage.Memory < 1<<20 {
			t.Errorf("%s: %d bytes of memory", name, v.usage.Memory)
		}
		counted[fmt.Sprintf("%s %s %s", v.product.Name, v.hash, v.flow)] = v.count
	}
	var b bytes.Buffer
	c.print(&b)
	for _, r := range c.products {
		for flow, way := range r.Ways {
			for _, want := range []string{"| 2 | " + r.Name + " |", "- " + r.Name + ": `" + way.Request + "`."} {
				if !strings.Contains(b.String(), want) {
					t.Errorf("%s: %q is missing in\n%s", flow, want, &b)
				}
			}
		}
	}
	return counted
}

// suspicious shows to each check, besides each answer, some that are not right in its place.
func suspicious(t *testing.T, products []product.Product) []product.Product {
	t.Helper()
	for _, p := range products {
		for flow, way := range p.Ways {
			script := way.Script
			way.Script = func(ctx context.Context, c *load.Client, w product.World) (load.Script, error) {
				got, err := script(ctx, c, w)
				check := got.Check
				got.Check = func(a load.Answer) error {
					for what, wrong := range map[string]load.Answer{
						"another status":           {Status: 500, Header: a.Header, Body: a.Body},
						"an empty body":            {Status: a.Status, Header: a.Header},
						"an empty object":          {Status: a.Status, Header: a.Header, Body: []byte("{}")},
						"null":                     {Status: a.Status, Header: a.Header, Body: []byte("null")},
						"somebody else":            {Status: a.Status, Header: a.Header, Body: others(a.Body)},
						"neither user nor session": {Status: a.Status, Header: http.Header{}, Body: []byte(`{"status":"failure"}`)},
					} {
						if what == "somebody else" && bytes.Equal(wrong.Body, a.Body) {
							continue // it does not say who
						}
						if check(wrong) == nil {
							t.Errorf("%s, %s: %s is taken: %s", p.Name, flow, what, wrong.Body)
						}
					}
					if err := check(a); err != nil {
						return err
					}
					// What replaces a token does not do so twice.
					if rotates := flow == product.Refresh && (p.Module != "github.com/go-pkgz/auth/v2" && p.Package == ""); rotates && check(a) == nil {
						t.Errorf("%s, %s: the same answer is taken twice", p.Name, flow)
					}
					return nil
				}
				return got, err
			}
			p.Ways[flow] = way
		}
	}
	return products
}

// others is a body that says somebody else's address, or id.
func others(body []byte) []byte {
	body = bytes.ReplaceAll(body, []byte("@bench.example"), []byte("@other.example"))
	return bytes.ReplaceAll(body, []byte(`"id":"local_`), []byte(`"id":"local_0`))
}

func TestProductsInGo(t *testing.T) {
	t.Parallel()
	s := smallest(t, "ours", "ours-HS256", "authboss", "go-pkgz/auth")
	s.profiles = filepath.Join(t.TempDir(), "profiles")
	c, err := measure(t.Context(), s, suspicious(t, product.All()))
	if err != nil {
		t.Fatal(err)
	}
	one := pgcount.Count{Statements: 1, Trips: 1}
	want := map[string]pgcount.Count{
		"ours default refresh": one, "ours default user": one, "ours default verify": {},
		"ours default sign-in": {Statements: 3, Trips: 2}, "ours default sign-up": one,
		"ours equal sign-in": {Statements: 3, Trips: 2}, "ours equal sign-up": one,
		"ours-HS256 default refresh": one, "ours-HS256 default user": one, "ours-HS256 default verify": {},
		"authboss default refresh": {Statements: 2, Trips: 2}, "authboss default user": one, "authboss default verify": {},
		"authboss default sign-in": one, "authboss default sign-up": one,
		"authboss equal sign-in": one, "authboss equal sign-up": one,
		"go-pkgz/auth default refresh": {}, "go-pkgz/auth default user": {}, "go-pkgz/auth default verify": {},
		"go-pkgz/auth default sign-in": one, "go-pkgz/auth equal sign-in": one,
	}
	if diff := cmp.Diff(want, check(t, c)); diff != "" {
		t.Errorf("what the flows ask of the database (-want +got):\n%s", diff)
	}
	profiles, err := filepath.Glob(filepath.Join(s.profiles, "*.prof"))
	if err != nil || len(profiles) != 8 { // of five flows and three
		t.Errorf("profiles %v (%v)", profiles, err)
	}
}

func TestBetterAuth(t *testing.T) {
	t.Parallel()
	c, err := measure(t.Context(), smallest(t, "ours", "better-auth"), suspicious(t, product.All()))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.absent) > 0 {
		need.Missing(t, c.absent)
	}
	counted := check(t, c)
	for flow, want := range map[product.Flow]int64{product.Verify: 0, product.User: 2, product.Refresh: 3, product.SignIn: 3, product.SignUp: 6} {
		if got := counted["better-auth default "+string(flow)].Statements; got != want {
			t.Errorf("%s: %d statements, want %d", flow, got, want)
		}
	}
}

func TestAWrongAnswerEndsTheRunAndLeavesNothing(t *testing.T) {
	t.Parallel()
	s := smallest(t, "ours")
	s.flows.chosen = []string{"user", "verify"}
	products := product.All()[:1]
	way := products[0].Ways[product.Verify]
	script := way.Script
	way.Script = func(ctx context.Context, c *load.Client, w product.World) (load.Script, error) {
		got, err := script(ctx, c, w)
		answers := 0
		got.Check = func(load.Answer) error {
			if answers++; answers > s.unprepared+s.counted {
				return errors.New("not what was wanted")
			}
			return nil
		}
		return got, err
	}
	products[0].Ways[product.Verify] = way
	c, err := measure(t.Context(), s, products)
	if err == nil {
		t.Fatalf("no error, and %d measurements", len(c.cells))
	}
	for _, want := range []string{"ours", "verify", "2 connections", "not what was wanted"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
}

func TestWhatAServerDoesBetweenRequestsIsNotCounted(t *testing.T) {
	t.Parallel()
	count := func(statements, trips int64) pgcount.Count {
		return pgcount.Count{Statements: statements, Trips: trips}
	}
	got := perRequest([]pgcount.Count{count(10, 7), count(13, 9), count(16, 11), count(20, 14), count(23, 16), count(26, 18)})
	if want := count(3, 2); got != want {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestTheResultReplacesWhatStandsBetweenTheMarks(t *testing.T) {
	t.Parallel()
	got, err := replace([]byte("before\n"+beginMark+"old\n"+endMark+"after\n"), []byte("new\n"))
	if want := "before\n" + beginMark + "\nnew\n\n" + endMark + "after\n"; err != nil || string(got) != want {
		t.Errorf("%q (%v), want %q", got, err, want)
	}
	again, err := replace(got, []byte("new\n"))
	if err != nil || !bytes.Equal(again, got) {
		t.Errorf("and again: %q (%v)", again, err)
	}
	for _, bad := range []string{"", beginMark, endMark, endMark + beginMark, beginMark + beginMark + endMark, beginMark + endMark + endMark} {
		if got, err := replace([]byte(bad), nil); err == nil {
			t.Errorf("%q becomes %q", bad, got)
		}
	}
}

func TestFlagsRefuseWhatThereIsNot(t *testing.T) {
	t.Parallel()
	s := everything()
	for value, bad := range map[string][]string{
		"-connections": {"", "0", "-1", "1001", "1,x"},
		"-products":    {"", "theirs", "ours,theirs"},
	} {
		for _, text := range bad {
			var flags flag.Value = &s.connections
			if value == "-products" {
				flags = &s.products
			}
			if err := flags.Set(text); err == nil {
				t.Errorf("%s %q is taken: %s", value, text, flags)
			}
		}
	}
}
