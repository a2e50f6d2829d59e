package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// The kinds of mutants.
const (
	conditionTrue      = "condition/true"      // a condition holds, whatever it says
	conditionFalse     = "condition/false"     // a condition does not hold, whatever it says
	comparisonBoundary = "comparison/boundary" // < for <=, >= for >, and the other way round
	comparisonOffset   = "comparison/offset"   // the constant of an ordered comparison is off by one, to the other side
	callRemove         = "call/remove"         // a call whose results nobody uses
	deferRemove        = "defer/remove"        //
	goRemove           = "go/remove"           //
	assignmentRemove   = "assignment/remove"   // an assignment that declares nothing, and ++ and --
	controlRemove      = "control/remove"      // break, continue, and a return without results
	fieldRemove        = "field/remove"        // a field of a struct literal keeps its zero value
	errorNil           = "error/nil"           // return …, nil in place of an error
)

// A mutant is one change of one place.
type mutant struct {
	id   int    // counts from 1 within a package: the value of MUTANT that turns it on
	line int    // of the place
	hash string // of the function's source: what is known of a mutant holds until it changes
	key
}

// A key says what a mutant is, whatever line it stands at.
type key struct {
	File string // relative to the module, with slashes
	Func string // (*T).Method, Function, or the variable that a package-level value belongs to
	Kind string
	Text string // the source text that is changed, with single spaces; #2 for the second of the same, and so on
}

func (k key) String() string { return k.File + ": " + k.Func + ": " + k.Kind + ": " + k.Text }

//go:embed switch.go.txt
var switchSource string

// switchFile is the file that makes a mutated package able to turn mutants on: the others call what it declares.
func switchFile(pkg string, mutants int) []byte {
	return fmt.Appendf(nil, switchSource, pkg, mutants+1)
}

// edits are insertions into a source, and operators that become commas. What opens at an offset opens in the order in which
// it was asked for, and what closes there closes in the reverse order, so that whoever walks a tree from its root gets
// brackets that nest.
type edits struct {
	opens, closes map[int][]string
	commas        map[int]int // the offset of an operator, and its length
}

func (e *edits) around(from, to int, open, end string) {
	e.opens[from] = append(e.opens[from], open)
	e.closes[to] = append(e.closes[to], end)
}

func (e *edits) apply(source []byte) []byte {
	var out bytes.Buffer
	for i := 0; i <= len(source); i++ {
		for _, end := range slices.Backward(e.closes[i]) {
			out.WriteString(end)
		}
		for _, open := range e.opens[i] {
			out.WriteString(open)
		}
		if n := e.commas[i]; n > 0 {
			out.WriteString(",")
			i += n - 1
			continue
		}
		if i < len(source) {
			out.WriteByte(source[i])
		}
	}
	return out.Bytes()
}

// A rewriter puts every mutant of a file into it, each behind its number.
type rewriter struct {
	edits
	fset   *token.FileSet
	info   *types.Info
	source []byte
	name   string      // of the file, as in key.File
	next   func() int  // the next number
	seen   map[key]int // how often each text was met

	stack   []ast.Node
	roots   map[ast.Expr]bool // conditions that have had their turn
	fn      string            // where the walk is
	hash    string
	mutants []mutant
}

// rewrite returns the source of a file with all of its mutants in it, and what they are.
func (r *rewriter) rewrite(file *ast.File) ([]byte, []mutant) {
	r.edits = edits{map[int][]string{}, map[int][]string{}, map[int]int{}}
	r.seen, r.roots = map[key]int{}, map[ast.Expr]bool{}
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Body != nil {
				r.fn, r.hash = functionName(d), digest(r.text(d))
				r.walk(d)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				if v, ok := s.(*ast.ValueSpec); ok && d.Tok == token.VAR {
					r.fn, r.hash = v.Names[0].Name, digest(r.text(v))
					r.walk(v)
				}
			}
		}
	}
	return r.apply(r.source), r.mutants
}

func functionName(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return d.Name.Name
	}
	t, star := d.Recv.List[0].Type, false
	if p, ok := t.(*ast.StarExpr); ok {
		t, star = p.X, true
	}
	switch g := t.(type) {
	case *ast.IndexExpr:
		t = g.X
	case *ast.IndexListExpr:
		t = g.X
	}
	if star {
		return "(*" + types.ExprString(t) + ")." + d.Name.Name
	}
	return types.ExprString(t) + "." + d.Name.Name
}

func (r *rewriter) offset(p token.Pos) int       { return r.fset.Position(p).Offset }
func (r *rewriter) text(n ast.Node) []byte       { return r.source[r.offset(n.Pos()):r.offset(n.End())] }
func (r *rewriter) typeOf(e ast.Expr) types.Type { return r.info.Types[e].Type }

// longest is how much of a source text a key takes, in bytes.
const longest = 120

// mutant makes the next mutant: of the place of a node, called by the text of a node.
func (r *rewriter) mutant(kind string, at, called ast.Node) int {
	text := strings.Join(strings.Fields(string(r.text(called))), " ")
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "…"
	}
	k := key{r.name, r.fn, kind, text}
	r.seen[k]++
	if n := r.seen[k]; n > 1 {
		k.Text += fmt.Sprintf(" #%d", n)
	}
	id := r.next()
	r.mutants = append(r.mutants, mutant{id, r.fset.Position(at.Pos()).Line, r.hash, k})
	return id
}

func (r *rewriter) around(n ast.Node, open, end string) {
	r.edits.around(r.offset(n.Pos()), r.offset(n.End()), open, end)
}

func (r *rewriter) walk(root ast.Node) {
	ast.Inspect(root, func(n ast.Node) bool {
		if n == nil {
			r.stack = r.stack[:len(r.stack)-1]
			return true
		}
		switch d := n.(type) {
		case *ast.GenDecl:
			if d.Tok != token.VAR {
				return false // constants and types
			}
		case *ast.CallExpr:
			if r.says(d) {
				return false
			}
		}
		r.visit(n)
		r.stack = append(r.stack, n)
		return true
	})
}

// parent returns the node above the one that is being visited.
func (r *rewriter) parent() ast.Node {
	if len(r.stack) == 0 {
		return nil
	}
	return r.stack[len(r.stack)-1]
}

func (r *rewriter) visit(n ast.Node) {
	if s, ok := n.(ast.Stmt); ok && r.listed(s) {
		r.statement(s)
	}
	switch n := n.(type) {
	case *ast.IfStmt:
		r.condition(n.Cond, true, true)
	case *ast.ForStmt:
		if n.Cond != nil {
			r.condition(n.Cond, false, true) // a loop without an end tells nothing
		}
	case *ast.CaseClause:
		if len(r.stack) > 1 {
			if s, ok := r.stack[len(r.stack)-2].(*ast.SwitchStmt); ok && s.Tag == nil {
				for _, c := range n.List {
					r.condition(c, true, true)
				}
			}
		}
	case *ast.ReturnStmt:
		for _, result := range n.Results {
			r.condition(result, true, true)
		}
		r.returned(n)
	case *ast.BinaryExpr:
		r.condition(n, true, true)
		r.comparison(n)
	case *ast.CompositeLit:
		r.fields(n)
	}
}

// listed reports whether the statement that is being visited is one of a list.
func (r *rewriter) listed(s ast.Stmt) bool {
	switch p := r.parent().(type) {
	case *ast.BlockStmt, *ast.CaseClause:
		return true
	case *ast.CommClause:
		return p.Comm != s
	}
	return false
}

// condition adds the mutants of a condition. Of a && b they are: a holds, b holds, and the whole does not; of a || b the
// same the other way round. Those left out would be found by the same tests.
func (r *rewriter) condition(e ast.Expr, holds, fails bool) {
	for {
		p, ok := e.(*ast.ParenExpr)
		if !ok {
			break
		}
		r.roots[e] = true
		e = p.X
	}
	if r.roots[e] || !r.isBool(e) {
		return
	}
	r.roots[e] = true
	switch x := e.(type) {
	case *ast.UnaryExpr:
		if x.Op == token.NOT {
			r.condition(x.X, fails, holds)
			return
		}
	case *ast.BinaryExpr:
		switch x.Op {
		case token.LAND:
			r.force(e, false, fails)
			for _, operand := range r.operands(x) {
				r.condition(operand, true, false)
			}
			return
		case token.LOR:
			r.force(e, holds, false)
			for _, operand := range r.operands(x) {
				r.condition(operand, false, true)
			}
			return
		}
	}
	r.force(e, holds, fails)
}

// operands returns a, b and c of a && b && c.
func (r *rewriter) operands(x *ast.BinaryExpr) []ast.Expr {
	var all []ast.Expr
	for _, operand := range []ast.Expr{x.X, x.Y} {
		inner := ast.Unparen(operand)
		if y, ok := inner.(*ast.BinaryExpr); ok && y.Op == x.Op {
			r.roots[inner] = true
			all = append(all, r.operands(y)...)
		} else {
			all = append(all, operand)
		}
	}
	return all
}

// isBool reports whether an expression is of type bool, and not a constant.
func (r *rewriter) isBool(e ast.Expr) bool {
	v, ok := r.info.Types[e]
	if !ok || v.Value != nil || v.Type == nil {
		return false
	}
	b, ok := types.Unalias(v.Type).(*types.Basic)
	return ok && b.Info()&types.IsBoolean != 0
}

// force makes a condition hold, or fail. The condition is evaluated in either case, and the mutant is reached only
// where that makes a difference.
func (r *rewriter) force(e ast.Expr, holds, fails bool) {
	open, end := "(", ")"
	if holds {
		end += fmt.Sprintf(" || mutant__(%d))", r.mutant(conditionTrue, e, e))
		open += "("
	}
	if fails {
		end += fmt.Sprintf(" && !mutant__(%d))", r.mutant(conditionFalse, e, e))
		open += "("
	}
	r.around(e, open, end)
}

// comparison adds the mutants of an ordered comparison.
func (r *rewriter) comparison(x *ast.BinaryExpr) {
	name := map[token.Token]string{token.LSS: "less", token.LEQ: "atMost", token.GTR: "more", token.GEQ: "atLeast"}[x.Op]
	left, right := r.info.Types[x.X], r.info.Types[x.Y]
	if name == "" || !r.isBool(x) || left.Value != nil && right.Value != nil {
		return
	}
	if b, ok := left.Type.Underlying().(*types.Basic); !ok || b.Info()&types.IsOrdered == 0 || b.Info()&types.IsUntyped != 0 {
		return
	} else if (left.Value != nil || right.Value != nil) && b.Info()&types.IsInteger != 0 {
		boundary, offset := r.mutant(comparisonBoundary, x, x), r.mutant(comparisonOffset, x, x)
		r.around(x, fmt.Sprintf("%sInt__(%d, %d, ", name, boundary, offset), ")")
	} else {
		r.around(x, fmt.Sprintf("%s__(%d, ", name, r.mutant(comparisonBoundary, x, x)), ")")
	}
	r.commas[r.offset(x.OpPos)] = len(x.Op.String())
}

// statement adds the mutant that leaves a statement out.
func (r *rewriter) statement(s ast.Stmt) {
	var kind string
	switch s := s.(type) {
	case *ast.ExprStmt:
		call, ok := ast.Unparen(s.X).(*ast.CallExpr)
		if !ok || r.says(call) || r.locks(call) || r.panics(call) {
			return
		}
		kind = callRemove
	case *ast.DeferStmt:
		if r.says(s.Call) || r.locks(s.Call) {
			return
		}
		kind = deferRemove
	case *ast.GoStmt:
		kind = goRemove
	case *ast.IncDecStmt:
		kind = assignmentRemove
	case *ast.AssignStmt:
		if s.Tok == token.DEFINE {
			return
		}
		kind = assignmentRemove
		if !slices.ContainsFunc(s.Lhs, func(e ast.Expr) bool { id, ok := e.(*ast.Ident); return !ok || id.Name != "_" }) {
			if _, ok := s.Rhs[0].(*ast.CallExpr); !ok {
				return
			}
			kind = callRemove
		}
	case *ast.BranchStmt:
		if s.Tok != token.BREAK && s.Tok != token.CONTINUE {
			return
		}
		kind = controlRemove
	case *ast.ReturnStmt:
		if sig := r.signature(); len(s.Results) > 0 || sig == nil || sig.Results().Len() > 0 {
			return
		}
		kind = controlRemove
	default:
		return
	}
	r.around(s, fmt.Sprintf("if !mutant__(%d) { ", r.mutant(kind, s, s)), " }")
}

// callee returns the function or method that is called, or nil.
func (r *rewriter) callee(call *ast.CallExpr) types.Object { return r.object(call.Fun) }

// object returns what a name stands for, or nil for an expression that is none.
func (r *rewriter) object(e ast.Expr) types.Object {
	switch f := ast.Unparen(e).(type) {
	case *ast.Ident:
		return r.info.Uses[f]
	case *ast.SelectorExpr:
		return r.info.Uses[f.Sel]
	}
	return nil
}

// says reports whether a call makes a text that people read, which tests do not look at.
func (r *rewriter) says(call *ast.CallExpr) bool {
	f := r.callee(call)
	if f == nil || f.Pkg() == nil {
		return false
	}
	switch f.Pkg().Path() {
	case "log", "log/slog", "errors":
		return f.Name() != "Is" && f.Name() != "As" && f.Name() != "Join" && f.Name() != "AsType"
	case "fmt":
		return f.Name() == "Errorf"
	}
	return false
}

// locks reports whether a call is one of those that only the race detector misses.
func (r *rewriter) locks(call *ast.CallExpr) bool {
	f := r.callee(call)
	return f != nil && f.Pkg() != nil && f.Pkg().Path() == "sync" && strings.HasSuffix(strings.ToLower(f.Name()), "lock")
}

// panics reports whether a call is one without which the compiler may miss a return.
func (r *rewriter) panics(call *ast.CallExpr) bool {
	f, ok := r.callee(call).(*types.Builtin)
	return ok && f.Name() == "panic"
}

// signature returns that of the function around the node that is being visited, or nil.
func (r *rewriter) signature() *types.Signature {
	for _, n := range slices.Backward(r.stack) {
		switch f := n.(type) {
		case *ast.FuncLit:
			return r.typeOf(f).(*types.Signature)
		case *ast.FuncDecl:
			return r.info.Defs[f.Name].Type().(*types.Signature)
		}
	}
	return nil
}

// returned adds the mutant that returns no error.
func (r *rewriter) returned(s *ast.ReturnStmt) {
	sig := r.signature()
	if sig == nil || len(s.Results) == 0 || len(s.Results) != sig.Results().Len() {
		return
	}
	last := s.Results[len(s.Results)-1]
	if !types.Identical(sig.Results().At(len(s.Results)-1).Type(), types.Universe.Lookup("error").Type()) || r.info.Types[last].IsNil() {
		return
	}
	r.around(last, fmt.Sprintf("noError__(%d, ", r.mutant(errorNil, s, s)), ")")
}

// fields adds the mutants that leave a field of a struct literal out.
func (r *rewriter) fields(lit *ast.CompositeLit) {
	t := r.typeOf(lit)
	if t == nil {
		return
	}
	if p, ok := t.Underlying().(*types.Pointer); ok { // &T elided in a literal of pointers
		t = p.Elem()
	}
	if _, ok := t.Underlying().(*types.Struct); !ok {
		return
	}
	for _, element := range lit.Elts {
		kv, ok := element.(*ast.KeyValueExpr)
		if !ok || !r.generic(kv) {
			continue
		}
		n := r.mutant(fieldRemove, kv, kv)
		r.around(kv.Value, fmt.Sprintf("zero__(%d, ", n), ")")
	}
}

// generic reports whether the value of a field keeps its type when it becomes an argument of a generic function, and is
// more than a text for people.
func (r *rewriter) generic(kv *ast.KeyValueExpr) bool {
	v := r.info.Types[kv.Value]
	field, ok := kv.Key.(*ast.Ident)
	if !ok || v.Type == nil || v.IsNil() || !types.Identical(v.Type, r.info.Uses[field].Type()) {
		return false
	}
	if call, ok := kv.Value.(*ast.CallExpr); ok && r.says(call) {
		return false
	}
	if _, tuple := v.Type.(*types.Tuple); tuple {
		return false
	}
	if v.Value == nil {
		_, isCond := kv.Value.(*ast.BinaryExpr)
		return !isCond || !r.isBool(kv.Value) // which has mutants as a condition
	}
	if c, ok := r.object(kv.Value).(*types.Const); ok && types.Identical(c.Type(), v.Type) {
		return true
	}
	// An untyped constant would become one of its default type.
	if b, ok := types.Unalias(v.Type).(*types.Basic); !ok || types.Default(types.Typ[untypedOf(b)]) != types.Type(b) {
		return false
	}
	return !slices.ContainsFunc([]constant.Value{constant.MakeBool(false), constant.MakeInt64(0), constant.MakeString("")},
		func(zero constant.Value) bool {
			return zero.Kind() == v.Value.Kind() && constant.Compare(zero, token.EQL, v.Value)
		})
}

// untypedOf returns the kind of the untyped constants that may become a constant of a type.
func untypedOf(b *types.Basic) types.BasicKind {
	switch {
	case b.Info()&types.IsBoolean != 0:
		return types.UntypedBool
	case b.Info()&types.IsString != 0:
		return types.UntypedString
	case b.Info()&types.IsFloat != 0:
		return types.UntypedFloat
	default:
		return types.UntypedInt
	}
}
