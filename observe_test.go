package auth_test

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
)

type watch struct{ began, ended []string }

type observedKey struct{}

func (w *watch) Begin(ctx context.Context, method string) (context.Context, func(error)) {
	w.began = append(w.began, method)
	return context.WithValue(ctx, observedKey{}, method), func(err error) {
		code := "ok"
		var known *auth.Error
		if errors.As(err, &known) {
			code = string(known.Code)
		}
		w.ended = append(w.ended, method+" "+code)
	}
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
