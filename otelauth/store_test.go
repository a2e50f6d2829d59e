package otelauth_test

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"

	"github.com/ostiary/auth/otelauth"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/storetest"
)

func containsWord(s, word string) bool { return slices.Contains(strings.Fields(s), word) }

// What watches a store must not change it.
func TestAWatchedStoreKeepsTheContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) store.Store {
		t.Parallel()
		return newWatch(t, otelauth.Options{}).Store(memstore.New())
	})
}

// Every method of a store that is a call of a database is one span and one measurement.
func TestEveryMethodOfTheStoreIsASpan(t *testing.T) {
	t.Parallel()
	ctxType := reflect.TypeFor[context.Context]()
	for m := range reflect.TypeFor[store.Store]().Methods() {
		for _, way := range []string{"returns", "panics"} {
			w := newWatch(t, otelauth.Options{})
			inner := storetest.Break(memstore.New())
			if way == "panics" {
				inner = storetest.Break(memstore.New(), storetest.Fault{Do: func(context.Context) { panic("broken") }})
			}
			method := reflect.ValueOf(w.Store(inner)).MethodByName(m.Name)
			var args []reflect.Value
			for i := range m.Type.NumIn() {
				switch in := m.Type.In(i); {
				case in == ctxType:
					args = append(args, reflect.ValueOf(t.Context()))
				case m.Type.IsVariadic() && i == m.Type.NumIn()-1:
				default:
					args = append(args, reflect.Zero(in))
				}
			}
			func() {
				defer func() { _ = recover() }()
				method.Call(args)
			}()
			spans, points := w.take(), w.points(t, "auth.store.duration")
			if m.Name == "Joined" {
				if len(spans)+len(points) != 0 {
					t.Errorf("Joined, which asks no database, is the spans %q", lines(spans))
				}
				continue
			}
			if len(spans) != 1 || spans[0].Name != "auth.store."+m.Name || spans[0].SpanKind != trace.SpanKindClient || spans[0].EndTime.IsZero() {
				t.Errorf("%s, which %s, is the spans %q", m.Name, way, lines(spans))
			}
			if len(points) != 1 {
				t.Errorf("%s, which %s, has the points %v", m.Name, way, points)
			}
			for labels, n := range points {
				if !containsWord(labels, m.Name) || n != 1 || containsWord(labels, "panic") != (way == "panics") {
					t.Errorf("%s, which %s, is the point %s with %v", m.Name, way, labels, n)
				}
			}
		}
	}
}

// What a store says as its contract has it is an outcome; all else is an error.
func TestHowACallOfTheStoreEnds(t *testing.T) {
	t.Parallel()
	refusal := errors.New("the hook does not like ada@example.com")
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"not found":   {store.ErrNotFound, "auth.outcome=not-found"},
		"mismatch":    {store.ErrMismatch, "auth.outcome=mismatch"},
		"conflict":    {store.ErrConflict{Field: store.FieldEmail}, "auth.outcome=conflict"},
		"unmet":       {errors.Join(store.ErrUnmet{Condition: store.ConditionEpoch}), "auth.outcome=unmet"},
		"the hook's":  {refusal, "auth.outcome=refused"},
		"another one": {errors.New("the hook does not like ada@example.com"), "auth.outcome=error db.operation.name=CreateUser error.type=_OTHER Error"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWatch(t, otelauth.Options{})
			n := store.NewUser{User: store.User{ID: uuid.New()}}
			var s store.Store = storetest.Break(memstore.New(), storetest.Fault{Err: test.err})
			if name == "the hook's" {
				s = memstore.New()
				n.Within = func(context.Context, store.User) error { return refusal }
			}
			_, err := w.Store(s).CreateUser(t.Context(), n)
			wantErr(t, err, test.err)
			want := []string{"auth.store.CreateUser client " + test.want}
			if !strings.Contains(test.want, "db.operation") {
				want[0] += " db.operation.name=CreateUser"
			}
			if diff := cmp.Diff(want, lines(w.take())); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNoStoreIsNoStore(t *testing.T) {
	t.Parallel()
	if s := newWatch(t, otelauth.Options{}).Store(nil); s != nil {
		t.Errorf("got a %T", s)
	}
}

// What stands between an engine and its store would hide whatever else the store can do: nobody may ask it for that.
func TestNobodyAsksAStoreForMoreThanItsContract(t *testing.T) {
	t.Parallel()
	seen := 0
	for _, dir := range []string{"..", "../httpadapter", "../authtest"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			f, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.SelectorExpr:
					if n.Sel.Name == "store" || n.Sel.Name == "Store" {
						seen++
					}
				case *ast.TypeAssertExpr:
					if of, ok := n.X.(*ast.SelectorExpr); ok && strings.EqualFold(of.Sel.Name, "store") {
						t.Errorf("%s asserts what its store is", name)
					}
					if of, ok := n.X.(*ast.Ident); ok && strings.EqualFold(of.Name, "store") {
						t.Errorf("%s asserts what its store is", name)
					}
				}
				return true
			})
		}
	}
	if seen < 20 {
		t.Errorf("the test sees %d uses of stores", seen)
	}
}
