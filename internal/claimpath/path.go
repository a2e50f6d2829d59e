package claimpath

import (
	"encoding/json"
	"strconv"
	"strings"
)

// path is a compiled path.
type path struct {
	steps []step
	shape bool // members and [] only, ending in []: keeps the shape of the record
}

// step is one move through the record.
type step struct {
	kind  stepKind
	name  string    // of a member
	index int       // of an element, negative from the end
	where condition // of a filter
}

type stepKind int

const (
	stepMember stepKind = iota
	stepElement
	stepEvery
	stepFilter
	stepList // a [] that ends a path: every element of an array, or the value itself if it is no array
)

// condition compares the member found by following names from an element.
type condition struct {
	names  []string
	negate bool
	want   any // string, json.Number, bool or nil
}

// find returns the value at p in record, nil if there is none.
func (p path) find(record any) any {
	if p.shape {
		return p.findShape(record)
	}
	var found selection
	found.follow(record, p.steps)
	switch {
	case found.sawArray:
		return found.values
	case len(found.values) > 0:
		return plain(found.values[0])
	default:
		return nil
	}
}

// findShape is find for a path that keeps the shape of the record.
func (p path) findShape(record any) any {
	v := mapMembers(record, p.steps, maxNesting)
	switch v.(type) {
	case nil, []any:
		return v
	default:
		return []any{v}
	}
}

// selection collects the values that a path leads to.
type selection struct {
	values   []any
	sawArray bool // a [], [*] or filter had something to work on
}

// follow adds what steps lead to from v. It recurses once per step.
func (s *selection) follow(v any, steps []step) {
	if len(steps) == 0 {
		s.values = append(s.values, v)
		return
	}
	next, rest := steps[0], steps[1:]
	switch v := plain(v).(type) {
	case nil:
	default:
		switch next.kind {
		case stepMember:
			object, _ := v.(map[string]any)
			if child, ok := object[next.name]; ok {
				s.follow(child, rest)
			}
		case stepList:
			s.sawArray = true
			s.values = append(s.values, v)
		}
	case []any:
		switch next.kind {
		case stepElement:
			i := next.index
			if i < 0 {
				i += len(v)
			}
			if 0 <= i && i < len(v) {
				s.follow(v[i], rest)
			}
		case stepEvery, stepList:
			s.sawArray = true
			for _, element := range v {
				s.follow(element, rest)
			}
		case stepFilter:
			s.sawArray = true
			for _, element := range v {
				if next.where.holds(element) {
					s.follow(element, rest)
				}
			}
		}
	}
}

// maxNesting bounds how many arrays inside each other mapMembers goes through on top of the steps of the path. A
// decoded document can be nested 10,000 deep, and a record built in memory can contain itself.
const maxNesting = 64

// mapMembers follows the members in steps from v, through arrays by doing so in each element.
func mapMembers(v any, steps []step, nesting int) any {
	for len(steps) > 0 && steps[0].kind != stepMember {
		steps = steps[1:]
	}
	v = plain(v)
	if len(steps) == 0 {
		return v
	}
	switch v := v.(type) {
	case map[string]any:
		return mapMembers(v[steps[0].name], steps[1:], nesting)
	case []any:
		if nesting == 0 {
			return nil
		}
		mapped := make([]any, len(v))
		for i, element := range v {
			mapped[i] = mapMembers(element, steps, nesting-1)
		}
		return mapped
	default:
		return nil
	}
}

// holds reports whether element has the member and its value compares as wanted. An element without the member never
// matches, also not a negated condition: what is not known to differ is left out.
func (c condition) holds(element any) bool {
	v := plain(element)
	for _, name := range c.names {
		object, _ := v.(map[string]any)
		child, ok := object[name]
		if !ok {
			return false
		}
		v = plain(child)
	}
	return equal(v, c.want) != c.negate
}

// equal compares a plain value with a literal. Values of different JSON types are never equal.
func equal(v, want any) bool {
	switch want := want.(type) {
	case json.Number:
		return equalNumber(v, string(want))
	case string, bool, nil:
		switch v.(type) {
		case string, bool, nil:
			return v == want
		}
	}
	return false
}

func equalNumber(v any, want string) bool {
	var got string
	switch v := v.(type) {
	case json.Number:
		got = string(v)
	case float64:
		got = strconv.FormatFloat(v, 'f', -1, 64)
	default:
		return false
	}
	// Integers compare by their digits: as float64, neighbours above 2^53 are one number.
	if isInteger(got) && isInteger(want) {
		return got == want || isZero(got) && isZero(want)
	}
	x, errX := strconv.ParseFloat(got, 64)
	y, errY := strconv.ParseFloat(want, 64)
	return errX == nil && errY == nil && x == y
}

func isInteger(number string) bool { return !strings.ContainsAny(number, ".eE") }

func isZero(integer string) bool { return integer == "0" || integer == "-0" }
