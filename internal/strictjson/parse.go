package strictjson

import (
	"bytes"
	"encoding"
	"encoding/json"
	"math/bits"
	"reflect"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// parser reads a body from left to right. Methods that read something expect pos at its first byte, behind white space,
// and leave pos behind it; what comes next may be white space.
type parser struct {
	data []byte
	pos  int

	// What is left of the limits.
	depth    int
	values   int
	freeForm int
}

// body reads the whole body into v.
func (p *parser) body(l *layout, v reflect.Value) *fault {
	if p.next() != '{' {
		return &fault{reason: reasonNotObject}
	}
	if f := p.object(l, v); f != nil {
		return f
	}
	if p.next(); p.pos < len(p.data) {
		return &fault{reason: reasonTrailing}
	}
	return nil
}

// value reads a value that is not null into v.
func (p *parser) value(l *layout, v reflect.Value) *fault {
	switch l.kind {
	case kindString:
		text, f := p.wantString()
		if f != nil {
			return f
		}
		v.SetString(string(text))
	case kindBool:
		switch {
		case p.word("true"):
			v.SetBool(true)
		case p.word("false"):
			v.SetBool(false)
		default:
			return p.mismatch(reasonBool)
		}
	case kindInt:
		digits, f := p.integer()
		if f != nil {
			return f
		}
		n, err := strconv.ParseInt(string(digits), 10, v.Type().Bits())
		if err != nil {
			return &fault{reason: reasonRange}
		}
		v.SetInt(n)
	case kindUint:
		digits, f := p.integer()
		if f != nil {
			return f
		}
		n, err := strconv.ParseUint(string(digits), 10, v.Type().Bits())
		if err != nil {
			return &fault{reason: reasonRange}
		}
		v.SetUint(n)
	case kindStruct:
		if p.data[p.pos] != '{' {
			return p.mismatch(reasonObject)
		}
		return p.object(l, v)
	case kindSlice:
		return p.array(l, v)
	case kindPointer:
		target := reflect.New(v.Type().Elem())
		if f := p.value(l.elem, target.Elem()); f != nil {
			return f
		}
		v.Set(target)
	case kindRaw:
		text, f := p.freeFormObject()
		if f != nil {
			return f
		}
		v.SetBytes(bytes.Clone(text))
	case kindMap:
		text, f := p.freeFormObject()
		if f != nil {
			return f
		}
		if err := json.Unmarshal(text, v.Addr().Interface()); err != nil {
			return &fault{reason: reasonContent}
		}
	case kindUnmarshaler:
		start := p.pos
		if f := p.skip(); f != nil {
			return f
		}
		if err := v.Addr().Interface().(json.Unmarshaler).UnmarshalJSON(p.data[start:p.pos]); err != nil {
			return &fault{reason: reasonContent}
		}
	case kindText:
		text, f := p.wantString()
		if f != nil {
			return f
		}
		if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText(text); err != nil {
			return &fault{reason: reasonContent}
		}
	}
	return nil
}

// object reads an object into the struct v.
func (p *parser) object(l *layout, v reflect.Value) *fault {
	if f := p.enter(); f != nil {
		return f
	}
	var seen, present uint64
	for first := true; ; first = false {
		name, more, f := p.memberName(first)
		if f != nil {
			return f
		}
		if !more {
			break
		}
		i, ok := l.byName[string(name)]
		if !ok {
			return (&fault{reason: reasonUnknown}).in(string(name))
		}
		m, bit := &l.members[i], uint64(1)<<i
		if seen&bit != 0 {
			return (&fault{reason: reasonDuplicate}).in(m.name)
		}
		seen |= bit
		if p.word("null") {
			continue
		}
		present |= bit
		if f := p.value(m.layout, v.FieldByIndex(m.index)); f != nil {
			return f.in(m.name)
		}
	}
	if missing := l.required &^ present; missing != 0 {
		return (&fault{reason: reasonRequired}).in(l.members[bits.TrailingZeros64(missing)].name)
	}
	p.leave()
	return nil
}

// array reads an array into the slice v.
func (p *parser) array(l *layout, v reflect.Value) *fault {
	if p.data[p.pos] != '[' {
		return p.mismatch(reasonArray)
	}
	if f := p.enter(); f != nil {
		return f
	}
	v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	for i := 0; ; i++ {
		more, f := p.element(i == 0)
		if f != nil {
			return f
		}
		if !more {
			break
		}
		if p.word("null") {
			return (&fault{reason: reasonNull}).at(i)
		}
		v.Grow(1)
		v.SetLen(i + 1)
		if f := p.value(l.elem, v.Index(i)); f != nil {
			return f.at(i)
		}
	}
	p.leave()
	return nil
}

// freeFormObject reads an object of any content and returns its text, which is part of the body.
func (p *parser) freeFormObject() ([]byte, *fault) {
	if p.data[p.pos] != '{' {
		return nil, p.mismatch(reasonObject)
	}
	start := p.pos
	if f := p.skip(); f != nil {
		return nil, f
	}
	if p.pos-start > p.freeForm {
		return nil, &fault{reason: reasonFreeForm}
	}
	return p.data[start:p.pos], nil
}

// skip reads a value of any type and keeps nothing of it.
func (p *parser) skip() *fault {
	switch c := p.data[p.pos]; {
	case c == '{':
		return p.skipObject()
	case c == '[':
		return p.skipArray()
	case c == '"':
		_, f := p.text()
		return f
	case c == '-' || isDigit(c):
		number, f := p.number()
		if f != nil {
			return f
		}
		if !inFloatRange(number) {
			return &fault{reason: reasonRange}
		}
		return nil
	case p.word("true"), p.word("false"), p.word("null"):
		return nil
	}
	return p.syntax()
}

func (p *parser) skipObject() *fault {
	if f := p.enter(); f != nil {
		return f
	}
	var names nameSet
	for first := true; ; first = false {
		name, more, f := p.memberName(first)
		if f != nil {
			return f
		}
		if !more {
			break
		}
		if !names.add(name) {
			return (&fault{reason: reasonDuplicate}).in(string(name))
		}
		if f := p.skip(); f != nil {
			return f.in(string(name))
		}
	}
	p.leave()
	return nil
}

func (p *parser) skipArray() *fault {
	if f := p.enter(); f != nil {
		return f
	}
	for i := 0; ; i++ {
		more, f := p.element(i == 0)
		if f != nil {
			return f
		}
		if !more {
			break
		}
		if f := p.skip(); f != nil {
			return f.at(i)
		}
	}
	p.leave()
	return nil
}

// enter reads an opening bracket.
func (p *parser) enter() *fault {
	if p.depth <= 0 {
		return &fault{reason: reasonDepth}
	}
	p.depth--
	p.pos++
	return nil
}

// leave is the counterpart of enter, after the closing bracket.
func (p *parser) leave() { p.depth++ }

// memberName reads what stands before the value of a member: a comma unless it is the first, the name and the colon.
// more is false if the object ended instead.
func (p *parser) memberName(first bool) (name []byte, more bool, f *fault) {
	if more, f = p.separator(first, '}'); !more {
		return nil, false, f
	}
	if p.next() != '"' {
		return nil, false, p.syntax()
	}
	if name, f = p.text(); f != nil {
		return nil, false, f
	}
	if p.next() != ':' {
		return nil, false, p.syntax()
	}
	p.pos++
	return name, true, p.startValue()
}

// element reads what stands before an element: a comma unless it is the first. more is false if the array ended
// instead.
func (p *parser) element(first bool) (more bool, f *fault) {
	if more, f = p.separator(first, ']'); !more {
		return false, f
	}
	return true, p.startValue()
}

// separator reads a comma, unless first, or the closing bracket end.
func (p *parser) separator(first bool, end byte) (more bool, f *fault) {
	switch c := p.next(); {
	case c == end:
		p.pos++
		return false, nil
	case first:
		return true, nil
	case c == ',':
		p.pos++
		return true, nil
	}
	return false, p.syntax()
}

// startValue counts a value and reads the white space before it. There is at least one byte of it.
func (p *parser) startValue() *fault {
	if p.values <= 0 {
		return &fault{reason: reasonValues}
	}
	p.values--
	if p.next(); p.pos == len(p.data) {
		return p.syntax()
	}
	return nil
}

// next reads white space and returns the byte behind it, 0 at the end of the body.
func (p *parser) next() byte {
	for ; p.pos < len(p.data); p.pos++ {
		switch c := p.data[p.pos]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// word reads a literal name if it is next.
func (p *parser) word(w string) bool {
	if end := p.pos + len(w); end <= len(p.data) && string(p.data[p.pos:end]) == w {
		p.pos = end
		return true
	}
	return false
}

// syntax is the fault of a body that is not JSON at pos.
func (p *parser) syntax() *fault {
	return &fault{reason: reasonSyntax, pos: p.pos}
}

// mismatch is the fault of a value that has another type than reason asks for, or is no value. It is not null.
func (p *parser) mismatch(reason string) *fault {
	switch c := p.data[p.pos]; {
	case c == '{', c == '[', c == '"', c == '-', isDigit(c), p.word("true"), p.word("false"):
		return &fault{reason: reason}
	}
	return p.syntax()
}

func (p *parser) wantString() ([]byte, *fault) {
	if p.data[p.pos] != '"' {
		return nil, p.mismatch(reasonString)
	}
	return p.text()
}

// text reads a string and returns what it says. The result may be part of the body.
func (p *parser) text() ([]byte, *fault) {
	start := p.pos + 1
	for i := start; i < len(p.data); i++ {
		switch c := p.data[i]; {
		case c == '"':
			text := p.data[start:i]
			if !utf8.Valid(text) {
				return nil, &fault{reason: reasonUTF8}
			}
			p.pos = i + 1
			return text, nil
		case c == '\\':
			return p.escapedText(start, i)
		case c < ' ':
			p.pos = i
			return nil, p.syntax()
		}
	}
	p.pos = len(p.data)
	return nil, p.syntax()
}

// escapedText is text for a string that begins at start and has its first backslash at i.
func (p *parser) escapedText(start, i int) ([]byte, *fault) {
	text := append(make([]byte, 0, 2*(i-start)+16), p.data[start:i]...)
	for p.pos = i; p.pos < len(p.data); {
		switch c := p.data[p.pos]; {
		case c == '"':
			// An escape adds whole characters only, so this judges the bytes between escapes as they were sent.
			if !utf8.Valid(text) {
				return nil, &fault{reason: reasonUTF8}
			}
			p.pos++
			return text, nil
		case c == '\\':
			r, f := p.escape()
			if f != nil {
				return nil, f
			}
			text = utf8.AppendRune(text, r)
		case c < ' ':
			return nil, p.syntax()
		default:
			text = append(text, c)
			p.pos++
		}
	}
	return nil, p.syntax()
}

// escape reads an escape, with its second half if it is half a surrogate pair.
func (p *parser) escape() (rune, *fault) {
	if p.pos+1 == len(p.data) {
		return 0, p.syntax()
	}
	switch c := p.data[p.pos+1]; c {
	case '"', '\\', '/':
		p.pos += 2
		return rune(c), nil
	case 'b':
		p.pos += 2
		return '\b', nil
	case 'f':
		p.pos += 2
		return '\f', nil
	case 'n':
		p.pos += 2
		return '\n', nil
	case 'r':
		p.pos += 2
		return '\r', nil
	case 't':
		p.pos += 2
		return '\t', nil
	}
	r, ok := p.codeUnit()
	if !ok {
		return 0, p.syntax()
	}
	switch {
	case r == 0:
		return 0, &fault{reason: reasonNUL}
	case !utf16.IsSurrogate(r):
		return r, nil
	}
	low, _ := p.codeUnit() // what is none is no half either
	if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
		return 0, &fault{reason: reasonSurrogate}
	}
	return r, nil
}

// codeUnit reads \u and four hexadecimal digits.
func (p *parser) codeUnit() (rune, bool) {
	if len(p.data)-p.pos < 6 || p.data[p.pos] != '\\' || p.data[p.pos+1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range p.data[p.pos+2 : p.pos+6] {
		switch {
		case isDigit(c):
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	p.pos += 6
	return r, true
}

// integer reads a number without fraction and exponent.
func (p *parser) integer() ([]byte, *fault) {
	if c := p.data[p.pos]; c != '-' && !isDigit(c) {
		return nil, p.mismatch(reasonInteger)
	}
	number, f := p.number()
	if f != nil {
		return nil, f
	}
	if bytes.ContainsAny(number, ".eE") {
		return nil, &fault{reason: reasonInteger}
	}
	return number, nil
}

// number reads a number: an optional minus, digits without a leading zero, fraction and exponent.
func (p *parser) number() ([]byte, *fault) {
	start := p.pos
	if p.data[p.pos] == '-' {
		p.pos++
	}
	leadingZero := p.pos < len(p.data) && p.data[p.pos] == '0'
	if n := p.digits(); n == 0 || leadingZero && n > 1 {
		return nil, p.syntax()
	}
	if p.pos < len(p.data) && p.data[p.pos] == '.' {
		p.pos++
		if p.digits() == 0 {
			return nil, p.syntax()
		}
	}
	if p.pos < len(p.data) && (p.data[p.pos] == 'e' || p.data[p.pos] == 'E') {
		p.pos++
		if p.pos < len(p.data) && (p.data[p.pos] == '+' || p.data[p.pos] == '-') {
			p.pos++
		}
		if p.digits() == 0 {
			return nil, p.syntax()
		}
	}
	if p.pos-start > maxNumber {
		return nil, &fault{reason: reasonNumberSize}
	}
	return p.data[start:p.pos], nil
}

// digits reads digits and returns how many there were.
func (p *parser) digits() int {
	start := p.pos
	for p.pos < len(p.data) && isDigit(p.data[p.pos]) {
		p.pos++
	}
	return p.pos - start
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// inFloatRange reports whether number is neither too large for a float64 nor so small that it would become zero.
func inFloatRange(number []byte) bool {
	f, err := strconv.ParseFloat(string(number), 64)
	if err != nil {
		return false
	}
	if f != 0 {
		return true
	}
	mantissa, _, _ := bytes.Cut(bytes.ToLower(number), []byte("e"))
	return !bytes.ContainsAny(mantissa, "123456789")
}

// nameSet holds the member names of one object. The first ones are compared one by one, so that few need no map.
type nameSet struct {
	first [16][]byte
	n     int
	more  map[string]struct{}
}

// add reports whether name was not in the set, and adds it.
func (s *nameSet) add(name []byte) bool {
	for _, known := range s.first[:s.n] {
		if bytes.Equal(known, name) {
			return false
		}
	}
	if s.n < len(s.first) {
		s.first[s.n] = name
		s.n++
		return true
	}
	if _, ok := s.more[string(name)]; ok {
		return false
	}
	if s.more == nil {
		s.more = make(map[string]struct{})
	}
	s.more[string(name)] = struct{}{}
	return true
}
