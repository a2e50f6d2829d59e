package main

import (
	"errors"
	"fmt"
	"go/ast"
	"strconv"
	"strings"
)

const (
	variablesTitle = "The environment of examples/standalone"
	standalone     = "examples/standalone"
	variablesTable = "variables" // the name of the table there
)

// variable is one of the environment, and what it sets.
type variable struct{ name, sets string }

// readVariables reads the table of variables. What they set must be known, or in what is known.
func readVariables(root string, known map[string]bool) ([]variable, error) {
	p, err := load(root, standalone)
	if err != nil {
		return nil, err
	}
	table := p.literal(variablesTable)
	if table == nil {
		return nil, fmt.Errorf("%s has no table called %s", standalone, variablesTable)
	}
	var found []variable
	for _, e := range table.Elts {
		row, ok := e.(*ast.CompositeLit)
		if !ok || len(row.Elts) != 2 {
			return nil, errors.New(p.source(e) + " is no variable with the field that it sets")
		}
		var v [2]string
		for i, cell := range row.Elts {
			lit, ok := cell.(*ast.BasicLit)
			if !ok {
				return nil, errors.New(p.source(cell) + " is no string")
			}
			if v[i], err = strconv.Unquote(lit.Value); err != nil {
				return nil, err
			}
		}
		if name := fieldOf(v[1], known); v[1] != "" && name == "" {
			return nil, fmt.Errorf("%s: there is no field %s", v[0], v[1])
		}
		found = append(found, variable{v[0], v[1]})
	}
	return found, nil
}

// fieldOf is the field of this document that a path leads to or into: Limits.SMSPerClient.Burst is in
// Limits.SMSPerClient.
func fieldOf(path string, known map[string]bool) string {
	for path != "" && !known[path] {
		path = path[:max(strings.LastIndexByte(path, '.'), 0)]
	}
	return path
}

// literal is the value of a variable of the package that is a composite literal.
func (p *pkg) literal(name string) *ast.CompositeLit {
	for _, f := range p.files {
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, s := range g.Specs {
				v, ok := s.(*ast.ValueSpec)
				if !ok || len(v.Names) != 1 || v.Names[0].Name != name || len(v.Values) != 1 {
					continue
				}
				if lit, ok := v.Values[0].(*ast.CompositeLit); ok {
					return lit
				}
			}
		}
	}
	return nil
}

func (w *writer) variables(list []variable) {
	w.printf("\n## %s\n\n%s\n\n| variable | sets |\n|---|---|\n", variablesTitle,
		"What the variables of [examples/standalone](../examples/standalone/README.md) set, which has `<X>` for the name of a provider. What\n"+
			"each means, and its default, where that is another than that of the field, stands there.")
	for _, v := range list {
		if v.sets == "" {
			w.printf("| `%s` | the program itself |\n", v.name)
			continue
		}
		w.printf("| `%s` | [`%s`](#%s) |\n", v.name, v.sets, anchor(fieldOf(v.sets, w.paths)))
	}
}
