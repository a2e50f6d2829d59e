package strictjson

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
)

// kind says how a value is decoded.
type kind int

const (
	kindString kind = iota + 1
	kindBool
	kindInt
	kindUint
	kindStruct
	kindSlice
	kindPointer
	kindRaw         // json.RawMessage
	kindMap         // map[string]any
	kindUnmarshaler // json.Unmarshaler
	kindText        // encoding.TextUnmarshaler
)

// layout is what there is to know about a type before a body is seen.
type layout struct {
	kind kind
	elem *layout // of a slice or pointer

	// Of a struct.
	members  []member
	byName   map[string]int
	required uint64 // bit i for members[i]
}

type member struct {
	name   string
	index  []int // of the field, for reflect.Value.FieldByIndex
	layout *layout
}

// maxMembers is how many members a struct can have: each has a bit in a word.
const maxMembers = 64

var (
	rawType         = reflect.TypeFor[json.RawMessage]()
	mapType         = reflect.TypeFor[map[string]any]()
	unmarshalerType = reflect.TypeFor[json.Unmarshaler]()
	textType        = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// layouts caches the layout of each destination type. It grows with the types of the program, not with requests.
var layouts sync.Map // reflect.Type to *layout

func layoutOf(t reflect.Type) (*layout, error) {
	if l, ok := layouts.Load(t); ok {
		return l.(*layout), nil
	}
	l, err := newLayout(t, map[reflect.Type]*layout{})
	if err != nil {
		return nil, fmt.Errorf("strictjson: %w", err)
	}
	layouts.Store(t, l)
	return l, nil
}

// newLayout returns the layout of t. known holds the structs met on the way, finished or not, so that a type can
// contain itself.
func newLayout(t reflect.Type, known map[reflect.Type]*layout) (*layout, error) {
	switch {
	case t == rawType:
		return &layout{kind: kindRaw}, nil
	case t == mapType:
		return &layout{kind: kindMap}, nil
	case reflect.PointerTo(t).Implements(unmarshalerType):
		return &layout{kind: kindUnmarshaler}, nil
	case reflect.PointerTo(t).Implements(textType):
		return &layout{kind: kindText}, nil
	}
	switch t.Kind() {
	case reflect.String:
		return &layout{kind: kindString}, nil
	case reflect.Bool:
		return &layout{kind: kindBool}, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return &layout{kind: kindInt}, nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return &layout{kind: kindUint}, nil
	case reflect.Pointer:
		if t.Elem().Kind() == reflect.Pointer {
			break
		}
		return wrap(kindPointer, t, known)
	case reflect.Slice:
		// encoding/json reads []byte from base64. A field that wants base64 says so with a type of its own.
		if t.Elem().Kind() == reflect.Uint8 {
			break
		}
		return wrap(kindSlice, t, known)
	case reflect.Struct:
		if l, ok := known[t]; ok {
			return l, nil
		}
		l := &layout{kind: kindStruct, byName: map[string]int{}}
		known[t] = l
		return l, l.add(t, nil, known)
	}
	return nil, fmt.Errorf("type %s is not supported", t)
}

func wrap(k kind, t reflect.Type, known map[reflect.Type]*layout) (*layout, error) {
	elem, err := newLayout(t.Elem(), known)
	if err != nil {
		return nil, err
	}
	return &layout{kind: k, elem: elem}, nil
}

// add adds the members that the fields of t stand for. outer is the index of t in the destination.
func (l *layout) add(t reflect.Type, outer []int, known map[reflect.Type]*layout) error {
	for i := range t.NumField() {
		field := t.Field(i)
		index := append(outer[:len(outer):len(outer)], i)
		tag := field.Tag.Get("json")
		name, options, _ := strings.Cut(tag, ",")
		if field.Anonymous && name == "" && field.Type.Kind() == reflect.Struct {
			if err := l.add(field.Type, index, known); err != nil {
				return err
			}
			continue
		}
		if !field.IsExported() || tag == "-" {
			continue
		}
		if name == "" {
			name = field.Name
		}
		if err := l.addField(field, name, options, index, known); err != nil {
			return fmt.Errorf("%s.%s: %w", t, field.Name, err)
		}
	}
	return nil
}

func (l *layout) addField(f reflect.StructField, name, options string, index []int, known map[reflect.Type]*layout) error {
	if _, ok := l.byName[name]; ok {
		return fmt.Errorf("a second member %q", name)
	}
	if len(l.members) == maxMembers {
		return fmt.Errorf("more than %d members", maxMembers)
	}
	if strings.Contains(","+options+",", ",string,") {
		return errors.New("tag option string is not supported")
	}
	elem, err := newLayout(f.Type, known)
	if err != nil {
		return err
	}
	switch tag := f.Tag.Get("strict"); tag {
	case "":
	case "required":
		l.required |= 1 << len(l.members)
	default:
		return fmt.Errorf("strict tag %q is not known", tag)
	}
	l.byName[name] = len(l.members)
	l.members = append(l.members, member{name: name, index: index, layout: elem})
	return nil
}
