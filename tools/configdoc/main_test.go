package main

import (
	"bytes"
	"go/ast"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// Whoever changes a comment runs go generate ./docs.
func TestTheDocumentIsGenerated(t *testing.T) {
	t.Parallel()
	want, err := generate(root)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(root, document))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(want, got) {
		return
	}
	is, says := strings.Split(string(want), "\n"), strings.Split(string(got), "\n")
	for i, line := range is {
		if i >= len(says) || line != says[i] {
			t.Fatalf("%s is not what is generated, from line %d on: run go generate ./docs", document, i+1)
		}
	}
	t.Fatalf("%s has more lines than are generated: run go generate ./docs", document)
}

// inWords are the defaults outside of the root package that no constant of the code stands for.
var inWords = map[string]string{
	"httpadapter.Options.AllowedOrigins":  "none",
	"httpadapter.Options.ProxyHeader":     `"X-Forwarded-For"`,
	"httpadapter.Options.Cookies":         "off",
	"httpadapter.CookieOptions.Persist":   "0",
	"httpadapter.CookieOptions.SignedOut": "the error body with status 401",
	"sqlitestore.Readers":                 "the number of CPUs",
	"limit.MemoryConfig.Now":              "time.Now",
	"smtpmail.Config.Port":                "587",
	"smtpmail.Config.TLS":                 "StartTLS",
	"smtpmail.Config.HELO":                "the domain of From",
	"postmark.Config.HTTPClient":          "one with http.DefaultTransport",
	"twilio.Config.HTTPClient":            "one with http.DefaultTransport",
	"modica.Config.HTTPClient":            "one with http.DefaultTransport",
	"captcha.TurnstileConfig.Endpoint":    "Cloudflare's own",
	"captcha.HCaptchaConfig.Endpoint":     "hCaptcha's own",
	"captcha.ReCAPTCHAConfig.Endpoint":    "Google's own",
	"oidc.Config.RequestParams":           "none",
	"verify.Options.Now":                  "time.Now",
	"otelauth.Options.TracerProvider":     "the global one",
	"otelauth.Options.MeterProvider":      "the global one",
	"otelauth.Options.Realm":              "none",
	"otelauth.Options.DBSystem":           "none",
}

// inCode are the names that fields have where they get their defaults.
var inCode = map[string]string{
	"sqlitestore.BusyTimeout":        "busy",
	"verify.Options.ClaimsNamespace": "namespace",
}

// The defaults of auth.Config are tested in the root package, by what an engine makes of them. Of the others the code has to
// give a field of that name the value that its comment says.
func TestTheDefaultsAreThoseOfTheCode(t *testing.T) {
	t.Parallel()
	chapters, err := readAll(root)
	if err != nil {
		t.Fatal(err)
	}
	words, checked := maps.Clone(inWords), 0
	for _, c := range chapters {
		if c.dir == mainDir {
			continue
		}
		given := c.pkg.given()
		for _, o := range c.owners {
			for _, f := range o.fields {
				if !f.words || f.def == "required" {
					continue
				}
				if said, ok := words[f.path]; ok {
					if said != f.def {
						t.Errorf("%s: the default is %q, and not %q", f.path, f.def, said)
					}
					delete(words, f.path)
					continue
				}
				name, ok := inCode[f.path]
				if !ok {
					name = f.name
				}
				_, value, isConstant := strings.Cut(f.shown(), ": ")
				if !isConstant || strings.HasPrefix(f.shown(), `"`) {
					value = plain(f.def)
				}
				if got := given[strings.ToLower(name)]; !slices.Contains(got, value) {
					t.Errorf("%s: the comment says %s, the code gives it %q", f.path, value, got)
				}
				checked++
			}
		}
	}
	for path := range words {
		t.Errorf("%s has no default in words", path)
	}
	if checked < 20 {
		t.Errorf("only %d defaults were checked", checked)
	}
}

// plain is a default without the words that comments have for numbers.
func plain(said string) string {
	for _, size := range []struct{ word, number string }{{"64 KiB", "65536"}, {"an hour", "1 hour"}} {
		if said == size.word {
			return size.number
		}
	}
	return said
}

// given are the constants that the package gives to what is called so, in lower case: x.name = …, a literal with name: …,
// name = …, cmp.Or(x.name, …), or a row {"name", &x.name, …} of a table.
func (p *pkg) given() map[string][]string {
	found := map[string][]string{}
	note := func(to, e ast.Expr) {
		var name string
		switch to := to.(type) {
		case *ast.SelectorExpr:
			name = strings.ToLower(to.Sel.Name)
		case *ast.Ident:
			name = strings.ToLower(to.Name)
		}
		value, err := p.evaluate(e)
		if err == nil && value != `""` && value != "0" && !slices.Contains(found[name], value) {
			found[name] = append(found[name], value)
		}
	}
	for _, f := range p.files {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				if len(n.Lhs) == 1 && len(n.Rhs) == 1 {
					note(n.Lhs[0], n.Rhs[0])
				}
			case *ast.KeyValueExpr:
				note(n.Key, n.Value)
			case *ast.CompositeLit:
				if len(n.Elts) != 3 {
					break
				}
				if at, ok := n.Elts[1].(*ast.UnaryExpr); ok {
					note(at.X, n.Elts[2])
				}
			case *ast.CallExpr:
				if p.source(n.Fun) == "cmp.Or" && len(n.Args) == 2 {
					note(n.Args[0], n.Args[1])
				}
			}
			return true
		})
	}
	return found
}

func TestWhatCommentsSayOfDefaults(t *testing.T) {
	t.Parallel()
	for comment, want := range map[string][]string{
		"A is how long. The default is 30 days.":                            {"30 days"},
		"A is how long. The default is 5, the maximum 10.":                  {"5"},
		"A is how long. The default is an hour, or Every if it is shorter.": {"an hour"},
		"A is a claim. The default is \"https://a.example/b\".":             {`"https://a.example/b"`},
		"A is how long; default [DefaultTimeout]. It is copied.":            {"DefaultTimeout"},
		"A is who. The default is requests, letters and sign-ups: no codes": {"requests, letters and sign-ups"},
		"A are bounds. The defaults are 8 and\n128; and more.":              {"8", "128"},
		"A is nothing. The default discards.":                               nil,
	} {
		if got := defaultsIn(comment, 2); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", comment, got, want)
		}
	}
}
