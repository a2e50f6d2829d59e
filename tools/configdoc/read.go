package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// pkg is what there is to know of a package, from its source alone.
type pkg struct {
	name   string
	dir    string
	fset   *token.FileSet
	files  []*ast.File
	types  map[string]*ast.TypeSpec
	docs   map[string]string // of types, by name
	funcs  map[string]*ast.FuncDecl
	values map[string]ast.Expr       // of constants
	enums  map[string][]*enumeration // constants, by the name of their type
}

type enumeration struct{ name, value, doc string }

// load reads the package in a directory, without its tests.
func load(root, dir string) (*pkg, error) {
	p := &pkg{
		dir: dir, fset: token.NewFileSet(), types: map[string]*ast.TypeSpec{}, docs: map[string]string{},
		funcs: map[string]*ast.FuncDecl{}, values: map[string]ast.Expr{}, enums: map[string][]*enumeration{},
	}
	names, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(dir), "*.go"))
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(p.fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		p.name, p.files = f.Name.Name, append(p.files, f)
		for _, d := range f.Decls {
			p.declare(d)
		}
	}
	if p.name == "" {
		return nil, fmt.Errorf("%s has no package", dir)
	}
	return p, nil
}

func (p *pkg) declare(d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			p.funcs[d.Name.Name] = d
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				p.types[s.Name.Name], p.docs[s.Name.Name] = s, text(s.Doc, d.Doc)
			case *ast.ValueSpec:
				if d.Tok == token.CONST {
					p.constants(s)
				}
			}
		}
	}
}

func (p *pkg) constants(s *ast.ValueSpec) {
	for i, name := range s.Names {
		if i >= len(s.Values) {
			return
		}
		p.values[name.Name] = s.Values[i]
		if of, ok := s.Type.(*ast.Ident); ok && name.IsExported() {
			p.enums[of.Name] = append(p.enums[of.Name], &enumeration{name.Name, p.source(s.Values[i]), text(s.Doc, s.Comment)})
		}
	}
}

func text(groups ...*ast.CommentGroup) string {
	for _, g := range groups {
		if g != nil {
			return g.Text()
		}
	}
	return ""
}

// source is an expression as it stands in the code.
func (p *pkg) source(e ast.Expr) string {
	var b bytes.Buffer
	if err := printer.Fprint(&b, p.fset, e); err != nil {
		return err.Error()
	}
	return b.String()
}

// field is one field, or one function that returns an option.
type field struct {
	owner *owner
	name  string
	path  string // what it is called in the document
	typ   string
	def   string // the default as it is shown
	words bool   // whether a comment says the default; it is the type's zero value otherwise
	doc   string // of the whole group; empty for all of it but the last
}

// owner is a struct, or the options of a package.
type owner struct {
	pkg    *pkg
	name   string // such as SessionsConfig; empty for functions
	title  string
	doc    string
	at     string // where it is to be found, such as Config.Sessions; empty if nowhere
	fields []*field
}

// structure reads a struct. Fields are called by the path at.
func (p *pkg) structure(name, title, at string) (*owner, error) {
	spec := p.types[name]
	if spec == nil {
		return nil, fmt.Errorf("%s has no type %s", p.dir, name)
	}
	st, ok := spec.Type.(*ast.StructType)
	if !ok {
		return nil, fmt.Errorf("%s in %s is no struct", name, p.dir)
	}
	o := &owner{pkg: p, name: name, title: title, doc: p.docs[name], at: at}
	required := sentenceOfRequired(o.doc)
	var group []*field
	var comment string
	end := func() error {
		if len(group) == 0 {
			return nil
		}
		if err := o.group(group, comment, required); err != nil {
			return err
		}
		group, comment = nil, ""
		return nil
	}
	last := 0
	for _, f := range st.Fields.List {
		begins := p.fset.Position(f.Pos()).Line
		if f.Doc != nil {
			begins = p.fset.Position(f.Doc.Pos()).Line
		}
		if f.Doc != nil || f.Comment != nil || comment == "" || begins > last+1 || p.explained(f) {
			if err := end(); err != nil {
				return nil, err
			}
			comment = text(f.Doc, f.Comment)
		}
		last = p.fset.Position(f.End()).Line
		names := f.Names
		if names == nil { // embedded
			names = []*ast.Ident{{Name: strings.TrimPrefix(p.source(f.Type), "*")}}
			comment = fmt.Sprintf("The fields of [%s] are fields of this as well.", p.name+"."+names[0].Name)
		}
		for _, n := range names {
			if !n.IsExported() {
				continue
			}
			path := n.Name
			if at != "" {
				path = at + "." + n.Name
			}
			group = append(group, &field{owner: o, name: n.Name, path: path, typ: p.source(f.Type)})
		}
		if p.explained(f) && comment == "" {
			if err := end(); err != nil {
				return nil, err
			}
		}
	}
	return o, end()
}

// explained reports whether the type of a field is of the same package and has a comment.
func (p *pkg) explained(f *ast.Field) bool {
	return p.docs[strings.TrimLeft(p.source(f.Type), "*[]")] != ""
}

// group completes the fields of one comment.
func (o *owner) group(fields []*field, comment string, required map[string]bool) error {
	of := strings.TrimLeft(fields[0].typ, "*[]")
	defaults := defaultsIn(comment, len(fields))
	if comment == "" {
		comment = o.pkg.docs[of]
		if _, isStruct := o.pkg.types[of]; isStruct && strings.HasSuffix(of, "Config") {
			comment, _, _ = strings.Cut(comment, "\n\n")
			comment = firstSentence(comment)
		}
	}
	if strings.TrimSpace(comment) == "" {
		return fmt.Errorf("%s.%s.%s has no comment", o.pkg.name, o.name, fields[0].name)
	}
	for i, f := range fields {
		f.def = o.pkg.zero(f.typ)
		switch {
		case requiredWord.MatchString(comment), required[f.name]:
			f.def, f.words = "required", true
		case f.typ == "bool":
		case len(defaults) == len(fields):
			f.def, f.words = defaults[i], true
		case len(defaults) > 0 && i == 0:
			f.def, f.words = defaults[0], true
		}
	}
	fields[len(fields)-1].doc = comment
	o.fields = append(o.fields, fields...)
	return nil
}

var (
	requiredWord = regexp.MustCompile(`(?:^|[.;:] |\n)Required\b`)
	requiredList = regexp.MustCompile(`\.\s+([A-Z][A-Za-z, ]+?) (?:are|is) required[.:]|Required are ([A-Za-z, ]+?)\.`)
	word         = regexp.MustCompile(`\b[A-Z][A-Za-z]*\b`)
	// saysDefault is how a comment says what the default is. Its words end where a clause does.
	saysDefault = regexp.MustCompile(`(?:The defaults? (?:is|are) |; default )`)
	clauseEnd   = regexp.MustCompile(`[.;:](?:\s|$)| \(|, (?:the|at|with|or|which|as|and|also)\b`)
)

// shown is the default for a table: of a constant also its value.
func (f *field) shown() string {
	if e, ok := f.owner.pkg.values[f.def]; ok {
		if v, err := f.owner.pkg.evaluate(e); err == nil {
			return f.def + ": " + v
		}
	}
	return f.def
}

// sentenceOfRequired are the fields that the comment of a struct calls required.
func sentenceOfRequired(doc string) map[string]bool {
	found := map[string]bool{}
	for _, m := range requiredList.FindAllStringSubmatch(strings.ReplaceAll(doc, "\n", " "), -1) {
		for _, name := range word.FindAllString(m[1]+m[2], -1) {
			found[name] = true
		}
	}
	return found
}

// defaultsIn are the defaults that a comment says, of n fields.
func defaultsIn(comment string, n int) []string {
	comment = strings.ReplaceAll(comment, "\n", " ")
	var found []string
	for _, at := range saysDefault.FindAllStringIndex(comment, -1) {
		rest := comment[at[1]:]
		if end := clauseEnd.FindStringIndex(rest); end != nil {
			rest = rest[:end[0]]
		}
		said := []string{rest}
		if strings.HasPrefix(comment[at[0]:], "The defaults are ") {
			said = strings.Split(rest, " and ")
		}
		for _, s := range said {
			found = append(found, brackets.ReplaceAllString(strings.TrimSpace(s), "$1"))
		}
	}
	if len(found) > n {
		found = found[:n]
	}
	return found
}

var brackets = regexp.MustCompile(`\[([A-Za-z.]+)\]`)

func firstSentence(s string) string {
	s = strings.ReplaceAll(s, "\n", " ")
	if i := strings.Index(s, ". "); i >= 0 {
		s = s[:i+1]
	}
	return s
}

// zero is how the zero value of a type is shown.
func (p *pkg) zero(typ string) string {
	switch {
	case typ == "bool":
		return "false"
	case typ == "string" || typ == "Secret":
		return "empty"
	case typ == "int" || typ == "int64" || typ == "float64" || typ == "time.Duration":
		return "0"
	case strings.HasPrefix(typ, "*"), strings.HasPrefix(typ, "func"), strings.HasPrefix(typ, "map["), strings.HasPrefix(typ, "[]"):
		return "nil"
	}
	of := p.types[typ]
	switch {
	case of == nil: // of another package
		return "nil"
	case isA[*ast.InterfaceType](of.Type):
		return "nil"
	case isA[*ast.StructType](of.Type):
		return "" // its fields have defaults
	}
	return "empty"
}

func isA[T any](v any) bool { _, ok := v.(T); return ok }

// function reads a function that returns an option.
func (p *pkg) function(o *owner, name string) error {
	d := p.funcs[name]
	if d == nil {
		return fmt.Errorf("%s has no function %s", p.dir, name)
	}
	f := &field{owner: o, name: name, path: p.name + "." + name, typ: strings.TrimPrefix(p.source(d.Type), "func"), doc: d.Doc.Text()}
	f.def = "not used"
	if said := defaultsIn(f.doc, 1); len(said) > 0 {
		f.def, f.words = said[0], true
	}
	o.fields = append(o.fields, f)
	return nil
}

// configurations are the exported structs of a package that are called like configuration.
func (p *pkg) configurations() []string {
	return slices.Sorted(func(yield func(string) bool) {
		for _, name := range slices.Sorted(maps.Keys(p.types)) {
			_, isStruct := p.types[name].Type.(*ast.StructType)
			if isStruct && ast.IsExported(name) && configurationName.MatchString(name) && !notConfiguration[name] && !yield(name) {
				return
			}
		}
	})
}

var configurationName = regexp.MustCompile(`(?:Config|Options|Rules)$`)
