package main

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"time"
)

// units are what lengths of time are made of, the longest first.
var units = []struct {
	name   string // in package time; empty: in comments alone
	word   string
	length time.Duration
}{
	{"", "day", 24 * time.Hour},
	{"Hour", "hour", time.Hour},
	{"Minute", "minute", time.Minute},
	{"Second", "second", time.Second},
	{"Millisecond", "millisecond", time.Millisecond},
}

// evaluate returns the value of a constant expression as comments write it: 10 minutes, 8, "auth".
func (p *pkg) evaluate(e ast.Expr) (string, error) {
	isTime := false
	v, err := p.constant(e, &isTime)
	if err != nil {
		return "", err
	}
	n, exact := constant.Int64Val(constant.ToInt(v))
	if v.Kind() == constant.Float && !exact {
		return v.String(), nil
	}
	if !isTime || !exact {
		return v.ExactString(), nil
	}
	for _, u := range units {
		if d := time.Duration(n); d >= u.length && d%u.length == 0 {
			word := u.word
			if d != u.length {
				word += "s"
			}
			return fmt.Sprintf("%d %s", d/u.length, word), nil
		}
	}
	return time.Duration(n).String(), nil
}

func (p *pkg) constant(e ast.Expr, isTime *bool) (constant.Value, error) {
	switch e := e.(type) {
	case *ast.BasicLit:
		return constant.MakeFromLiteral(e.Value, e.Kind, 0), nil
	case *ast.ParenExpr:
		return p.constant(e.X, isTime)
	case *ast.Ident:
		if of, ok := p.values[e.Name]; ok {
			return p.constant(of, isTime)
		}
	case *ast.SelectorExpr:
		for _, u := range units {
			if in, ok := e.X.(*ast.Ident); ok && in.Name == "time" && e.Sel.Name == u.name {
				*isTime = true
				return constant.MakeInt64(int64(u.length)), nil
			}
		}
	case *ast.BinaryExpr:
		x, err := p.constant(e.X, isTime)
		if err != nil {
			return nil, err
		}
		y, err := p.constant(e.Y, isTime)
		if err != nil {
			return nil, err
		}
		if e.Op == token.SHL {
			by, _ := constant.Uint64Val(y)
			return constant.Shift(x, e.Op, uint(by)), nil
		}
		if e.Op == token.MUL || e.Op == token.ADD || e.Op == token.SUB {
			return constant.BinaryOp(x, e.Op, y), nil
		}
	}
	return nil, fmt.Errorf("%s is no constant", p.source(e))
}
