package strictjson

// Members reads a document that is one object, under the rules of this package and its default limits except FreeForm,
// and calls visit for each member, in order, with its name, which is unescaped, and the text of its value,
// which is not. Both may be part of doc. It is for documents whose members are not known beforehand, such as the claims of
// a token; with a nil visit it only checks. visit may have been called before a later fault is found.
//
// It returns an [*Error] for a document that is refused, and whatever visit returns.
func Members(doc []byte, visit func(name, value []byte) error) error {
	p := parser{data: doc, depth: defaultDepth, values: defaultValues}
	if p.next() != '{' {
		return (&fault{reason: reasonNotObject}).export()
	}
	p.enter() // the default depth is more than one
	var names nameSet
	for first := true; ; first = false {
		name, more, f := p.memberName(first)
		if f != nil {
			return f.export()
		}
		if !more {
			break
		}
		if !names.add(name) {
			return (&fault{reason: reasonDuplicate}).in(string(name)).export()
		}
		start := p.pos
		if f := p.skip(); f != nil {
			return f.in(string(name)).export()
		}
		if visit == nil {
			continue
		}
		if err := visit(name, doc[start:p.pos]); err != nil {
			return err
		}
	}
	return p.end()
}

// Elements is [Members] for a document that is one array.
func Elements(doc []byte, visit func(value []byte) error) error {
	p := parser{data: doc, depth: defaultDepth, values: defaultValues}
	if p.next() != '[' {
		return (&fault{reason: reasonArray}).export()
	}
	p.enter() // the default depth is more than one
	for i := 0; ; i++ {
		more, f := p.element(i == 0)
		if f != nil {
			return f.export()
		}
		if !more {
			break
		}
		start := p.pos
		if f := p.skip(); f != nil {
			return f.at(i).export()
		}
		if err := visit(doc[start:p.pos]); err != nil {
			return err
		}
	}
	return p.end()
}

// end makes sure that nothing follows.
func (p *parser) end() error {
	if p.next(); p.pos < len(p.data) {
		return (&fault{reason: reasonTrailing}).export()
	}
	return nil
}
