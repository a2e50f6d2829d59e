package main

import (
	"bytes"
	"fmt"
	"go/doc/comment"
	"regexp"
	"strings"
)

// chapter is a section with what was read for it.
type chapter struct {
	section
	pkg    *pkg
	owners []*owner
}

// generate returns the document.
func generate(root string) ([]byte, error) {
	chapters, err := readAll(root)
	if err != nil {
		return nil, err
	}
	w := &writer{anchors: map[string]string{}, paths: map[string]bool{}}
	for _, c := range chapters {
		for _, o := range c.owners {
			if o.name != "" {
				w.anchors[c.pkg.name+"."+o.name] = anchor(o.title)
			}
			for _, f := range o.fields {
				w.anchors[c.pkg.name+"."+o.name+"."+f.name] = anchor(f.path)
				w.paths[f.path] = true
			}
		}
	}
	variables, err := readVariables(root, w.paths)
	if err != nil {
		return nil, err
	}
	w.printf(`<!-- Made of the comments in the code by tools/configdoc. Change those, and run: go generate ./docs -->

# Configuration

Every field by which this project is configured. A default is what an empty field means; a field that is nil, empty, zero or
false by default stays so. Lengths of time are of the type ` + "`time.Duration`" + `. Tests compare this page with the comments that it is made
of, and the defaults in it with the code.

`)
	for _, c := range chapters {
		w.printf("- [%s](#%s)\n", c.title, anchor(c.title))
	}
	w.printf("- [%s](#%s)\n", variablesTitle, anchor(variablesTitle))
	for _, c := range chapters {
		w.printf("\n## %s\n\n%s\n", c.title, c.intro)
		for _, o := range c.owners {
			w.owner(o)
		}
	}
	w.variables(variables)
	return w.Bytes(), nil
}

// readAll reads what the contents list, and nothing may be missing from that.
func readAll(root string) ([]*chapter, error) {
	var chapters []*chapter
	for _, s := range contents {
		p, err := load(root, s.dir)
		if err != nil {
			return nil, err
		}
		c := &chapter{section: s, pkg: p}
		listed := map[string]bool{}
		paths := map[string]string{mainStruct: ""}
		for _, name := range s.structs {
			listed[name] = true
			title, at := p.name+"."+name, p.name+"."+name
			if s.dir == mainDir {
				path, ok := paths[name]
				if !ok && name != "WebhookConfig" {
					return nil, fmt.Errorf("%s is no field of what stands before it", name)
				}
				at = path
			}
			o, err := p.structure(name, title, at)
			if err != nil {
				return nil, err
			}
			for _, f := range o.fields {
				of := strings.TrimPrefix(f.typ, "*")
				list, isList := strings.CutPrefix(f.typ, "[]")
				switch {
				case isList && p.types[list] != nil:
					paths[list] = f.path + "[]"
				case p.types[of] != nil:
					paths[of] = f.path
				}
			}
			c.owners = append(c.owners, o)
		}
		if s.options != nil {
			o := &owner{pkg: p, title: p.name + ".Option", doc: p.docs["Option"]}
			for _, name := range s.options {
				if err := p.function(o, name); err != nil {
					return nil, err
				}
			}
			c.owners = append(c.owners, o)
		}
		for _, name := range p.configurations() {
			if !listed[name] {
				return nil, fmt.Errorf("%s.%s is not among the contents", p.name, name)
			}
		}
		chapters = append(chapters, c)
	}
	return chapters, nil
}

type writer struct {
	bytes.Buffer
	anchors map[string]string // of package.Struct and package.Struct.Field
	paths   map[string]bool   // of all fields
}

func (w *writer) printf(format string, args ...any) { fmt.Fprintf(w, format, args...) }

// owner writes a table of the fields, and then what each means.
func (w *writer) owner(o *owner) {
	w.printf("\n### `%s`\n\n", o.title)
	if o.at != "" && o.at != o.title {
		w.printf("At `%s`.\n\n", o.at)
	}
	w.printf("%s\n\n", w.prose(o.pkg, o.doc))
	first := "field"
	if o.name == "" {
		first = "option"
	}
	w.printf("| %s | type | default |\n|---|---|---|\n", first)
	for _, f := range o.fields {
		w.printf("| [`%s`](#%s) | %s | %s |\n", f.path, anchor(f.path), w.typ(f), cell(f.shown()))
	}
	for _, f := range o.fields {
		w.printf("\n#### `%s`\n", f.path)
		if f.doc != "" {
			w.printf("\n%s\n", w.prose(o.pkg, f.doc))
		}
		if f.doc != "" {
			w.values(o.pkg, f)
		}
	}
}

// typ is a type, with a link to where it is described.
func (w *writer) typ(f *field) string {
	code := "`" + f.typ + "`"
	if a, ok := w.anchors[f.owner.pkg.name+"."+strings.TrimLeft(f.typ, "*[]")]; ok {
		return "[" + code + "](#" + a + ")"
	}
	return code
}

// values lists the constants of the field's type.
func (w *writer) values(p *pkg, f *field) {
	of := strings.TrimLeft(f.typ, "*[]")
	list := p.enums[of]
	if len(list) == 0 || of == "EventType" || of == "Budget" {
		return
	}
	w.printf("\n")
	for _, e := range list {
		w.printf("- `%s`: `%s`", e.name, e.value)
		if e.doc != "" {
			w.printf(", %s", w.line(p, e.doc))
		}
		w.printf("\n")
	}
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// prose turns a comment into Markdown. What it names in brackets becomes a link where it is in this document, and code
// elsewhere.
func (w *writer) prose(p *pkg, text string) string {
	parser := comment.Parser{
		LookupPackage: func(name string) (string, bool) { return name, true },
		LookupSym:     func(_, _ string) bool { return true },
	}
	printer := comment.Printer{DocLinkURL: func(link *comment.DocLink) string {
		of := link.ImportPath
		if of == "" {
			of = p.name
		}
		name := of + "."
		if link.Recv != "" {
			name += link.Recv + "."
		}
		if a, ok := w.anchors[name+link.Name]; ok {
			return "#" + a
		}
		return elsewhere
	}}
	text = string(printer.Markdown(parser.Parse(text)))
	text = toElsewhere.ReplaceAllString(text, "`$1`")
	return strings.TrimRight(wrap(text), "\n")
}

const elsewhere = "code:"

var toElsewhere = regexp.MustCompile(`\[([^\]]+)\]\(code:\)`)

func (w *writer) line(p *pkg, text string) string {
	return strings.ReplaceAll(w.prose(p, text), "\n", " ")
}

// wrap breaks paragraphs, which the printer makes one line each.
func wrap(text string) string {
	const width = 128
	var b strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "\t") || strings.HasPrefix(line, "    ") {
			b.WriteString(line + "\n") // code
			continue
		}
		indent := ""
		if strings.HasPrefix(line, "  - ") {
			indent = "    "
		}
		for len(line) > width {
			i := strings.LastIndexByte(line[:width], ' ')
			if i <= len(indent)+2 {
				break
			}
			b.WriteString(line[:i] + "\n")
			line = indent + line[i+1:]
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

var notInAnchors = regexp.MustCompile(`[^a-z0-9 _-]`)

// anchor is what GitHub makes of a heading.
func anchor(heading string) string {
	return strings.ReplaceAll(notInAnchors.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
}
