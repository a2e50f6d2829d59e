package auth_test

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/storetest"
)

type watch struct {
	mu           sync.Mutex
	began, ended []string
	waits        map[string]int // by outcome
}

type observedKey struct{}

func (w *watch) Begin(ctx context.Context, method string) (context.Context, func(error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.began = append(w.began, method)
	return context.WithValue(ctx, observedKey{}, method), func(err error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.ended = append(w.ended, method+" "+outcome(err))
	}
}

func (w *watch) HashWaited(_ context.Context, waited time.Duration, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waits == nil {
		w.waits = map[string]int{}
	}
	if waited < 0 {
		w.waits["negative"]++
	}
	w.waits[outcome(err)]++
}

func outcome(err error) string {
	known := (*auth.Error)(nil)
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, auth.ErrPanic):
		return "panic"
	case errors.As(err, &known):
		return string(known.Code)
	}
	return "no *auth.Error"
}

// Every exported method of the engine that can fail is seen by the observer under its own name, but for the loop, and for what
// each request begins with.
func TestEveryMethodIsObserved(t *testing.T) {
	t.Parallel()
	for _, file := range sources(t) {
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || !f.Name.IsExported() || f.Recv == nil || !isEngine(f.Recv.List[0].Type) || !takesContext(f) || slices.Contains([]string{"Run", "Admit"}, f.Name.Name) {
				continue
			}
			if got := observedAs(f); got != f.Name.Name {
				t.Errorf("%s is observed as %q", f.Name.Name, got)
			}
		}
	}
}

func sources(t *testing.T) []*ast.File {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), e.Name(), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

func isEngine(x ast.Expr) bool {
	star, ok := x.(*ast.StarExpr)
	if !ok {
		return false
	}
	id, ok := star.X.(*ast.Ident)
	return ok && id.Name == "Engine"
}

func takesContext(f *ast.FuncDecl) bool {
	p := f.Type.Params.List
	if len(p) == 0 {
		return false
	}
	sel, ok := p[0].Type.(*ast.SelectorExpr)
	return ok && sel.Sel.Name == "Context"
}

// observedAs returns the name in defer e.begin(&ctx, "Name").end(&err), if that is how f begins.
func observedAs(f *ast.FuncDecl) string {
	d, ok := f.Body.List[0].(*ast.DeferStmt)
	if !ok {
		return ""
	}
	end, ok := d.Call.Fun.(*ast.SelectorExpr)
	if !ok || end.Sel.Name != "end" {
		return ""
	}
	begin, ok := end.X.(*ast.CallExpr)
	if !ok || len(begin.Args) != 2 {
		return ""
	}
	name, ok := begin.Args[1].(*ast.BasicLit)
	if !ok {
		return ""
	}
	return strings.Trim(name.Value, `"`)
}

func TestTheObserverSeesContextAndOutcome(t *testing.T) {
	t.Parallel()
	w := &watch{}
	var inside any
	e := authtest.New(t, func(c *auth.Config) {
		c.Observer = w
		c.Hooks.BeforeSignUp = func(ctx context.Context, _ *auth.SignUp) error {
			inside = ctx.Value(observedKey{})
			return nil
		}
	})
	if _, err := e.SignUpPassword(t.Context(), auth.SignUpPasswordParams{Email: "ada@example.com", Password: authtest.Password}); err != nil {
		t.Fatal(err)
	}
	if inside != "SignUpPassword" {
		t.Errorf("in the call, the context has %v", inside)
	}
	if _, err := e.Refresh(t.Context(), auth.RefreshParams{RefreshToken: "x"}); err == nil {
		t.Fatal("refreshed")
	}
	if got, want := strings.Join(w.ended, ","), "SignUpPassword ok,Refresh invalid-refresh-token"; got != want {
		t.Errorf("ended %q, want %q", got, want)
	}
}

// A panic that is not the engine's to deal with reaches the caller as it was, and the observer hears of the end.
func TestTheObserverIsToldOfAPanic(t *testing.T) {
	t.Parallel()
	broken := storetest.Break(memstore.New(), storetest.Fault{Method: "Ping", Do: func(context.Context) { panic("the store is broken") }})
	for name, o := range map[string]auth.Observer{"without an observer": nil, "with one": &watch{}} {
		e := authtest.NewWithStore(t, broken, func(c *auth.Config) { c.Observer = o })
		func() {
			defer func() {
				if r := recover(); r != "the store is broken" {
					t.Errorf("%s: the caller recovers %v", name, r)
				}
			}()
			_ = e.Health(t.Context())
			t.Errorf("%s: there was no panic", name)
		}()
		if w, ok := o.(*watch); ok {
			if diff := cmp.Diff([]string{"Health panic"}, w.ended); diff != "" {
				t.Error(diff)
			}
		}
	}
}

func TestTheObserverIsToldOfWaitingPasswords(t *testing.T) {
	t.Parallel()
	w := &watch{}
	e := authtest.New(t, func(c *auth.Config) {
		c.Observer = w
		c.Password.Argon2 = auth.Argon2{MemoryKiB: 8 << 10, Time: 4}
		c.Password.MaxHashes, c.Password.MaxWaiting = 1, 4
	})
	left, leave := context.WithCancel(t.Context())
	leave()
	if _, err := e.SignInPassword(left, auth.SignInPasswordParams{Email: "ada@example.com", Password: authtest.Password}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err) // at the store, before the password
	}
	if len(w.waits) != 0 {
		t.Errorf("waits %v", w.waits)
	}
	want := map[string]int{}
	var mu sync.Mutex
	atOnce(50, func(int) {
		_, err := e.SignInPassword(context.Background(), auth.SignInPasswordParams{Email: "ada@example.com", Password: authtest.Password})
		mu.Lock()
		defer mu.Unlock()
		if errors.Is(err, auth.ErrInvalidEmailPassword) {
			want["ok"]++
		} else {
			want[outcome(err)]++
		}
	})
	if want["ok"] == 0 || want[string(auth.CodeTooManyRequests)] == 0 {
		t.Fatalf("the test needs both: %v", want)
	}
	if diff := cmp.Diff(want, w.waits); diff != "" {
		t.Error(diff)
	}
}

// holding is an observer that holds up whoever is about to hash a password.
type holding struct {
	watch
	release chan struct{}
}

func (h *holding) HashWaited(ctx context.Context, waited time.Duration, err error) {
	h.watch.HashWaited(ctx, waited, err)
	if err == nil {
		<-h.release
	}
}

// So many passwords are hashed at once as the service says, and so many wait. Whoever leaves meanwhile is a failed call.
func TestSoManyPasswordsAreHashedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &holding{release: make(chan struct{})}
		most := runtime.GOMAXPROCS(0) + 1 // which is no default
		e := authtest.New(t, func(c *auth.Config) {
			c.Observer, c.Password.MaxHashes, c.Password.MaxWaiting = h, most, 2
		})
		begin := func(ctx context.Context, want error) {
			go func() {
				_, err := e.SignInPassword(ctx, auth.SignInPasswordParams{Email: "ada@example.com", Password: authtest.Password})
				wantErr(t, err, want)
			}()
			synctest.Wait()
		}
		for range most {
			begin(t.Context(), auth.ErrInvalidEmailPassword)
		}
		left, leave := context.WithCancel(t.Context())
		begin(left, auth.ErrInternal)
		begin(t.Context(), auth.ErrInvalidEmailPassword)
		begin(t.Context(), auth.ErrTooManyRequests)
		leave()
		synctest.Wait()
		if diff := cmp.Diff(map[string]int{"ok": most, string(auth.CodeTooManyRequests): 1, string(auth.CodeInternal): 1}, h.waits); diff != "" {
			t.Error(diff)
		}
		close(h.release)
		synctest.Wait()
		if n := h.waits["ok"]; n != most+1 {
			t.Errorf("%d passwords were hashed", n)
		}
	})
}

// Who does not watch does not pay.
func TestNoObserverCostsNothing(t *testing.T) {
	ctx := t.Context()
	allocations := func(o auth.Observer) float64 {
		e := authtest.New(t, func(c *auth.Config) { c.Observer = o })
		return testing.AllocsPerRun(100, func() {
			if err := e.Health(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	if n := allocations(nil); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if n := allocations(&watch{}); n == 0 {
		t.Error("with an observer there are none, either: nothing was measured")
	}
}
