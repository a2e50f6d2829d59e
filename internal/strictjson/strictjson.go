// Package strictjson decodes JSON objects that strangers send into structs.
//
// [encoding/json] is made for friends: member names match without regard to case, the last of two equal members wins,
// data after the value is ignored by a Decoder, broken text is silently replaced. A body that two programs on its way
// read differently is an attack waiting for its second reader. This package takes a body in one pass, which decides
// what is in it and fills the destination at once, and refuses what is not unmistakable:
//
//   - The body is one JSON object, with nothing but white space around it (RFC 8259; no byte order mark).
//   - Member names match exactly. A name that the destination does not have is refused, and so is a name given twice,
//     both at every depth (I-JSON, RFC 7493 §2.3).
//   - All text is valid UTF-8 without lone surrogates (RFC 7493 §2.1) and without U+0000, which databases refuse.
//   - Values have the type of their destination. Integers are written as integers and are in range.
//   - Depth, number of values, length of numbers and size of free-form members are bounded; see [Limits].
//
// What Decode accepts, encoding/json accepts with the same result, apart from the rule for null.
//
// # Null
//
// A member that is null counts as absent: its destination is left alone, and it does not satisfy a required member.
// Elements of an array cannot be null. Null inside free-form members is kept.
//
// # Destinations
//
// The destination is a struct whose exported fields have the type string, bool, any integer type, json.RawMessage,
// map[string]any, a type that implements json.Unmarshaler or encoding.TextUnmarshaler, a struct of these, or a pointer
// to or a slice of one of them. The json tag gives the name of a member, "-" leaves a field out; options are ignored
// except "string", which is not supported. Embedded structs without a name are part of their outer struct. The tag
// strict:"required" demands that the member is there and not null.
//
// json.RawMessage and map[string]any are free-form members: they take any object. Its content obeys the rules above,
// and its numbers are within the range of float64.
package strictjson

import (
	"errors"
	"fmt"
	"reflect"
)

// Limits bounds the work and memory that a body can ask for. The zero value of a field selects its default. The size of
// the whole body is for the reader of the request to bound; the time taken is linear in it.
type Limits struct {
	// Depth is how deep objects and arrays may be nested, the body itself being the first level. Default 32.
	Depth int
	// Values is how many members and elements there may be in the whole body. Default 1024.
	Values int
	// FreeForm is how many bytes one free-form member may have as sent. Default 16384.
	FreeForm int
}

// Defaults of Limits.
const (
	defaultDepth    = 32
	defaultValues   = 1024
	defaultFreeForm = 16 << 10
)

// maxNumber bounds the length of a number. It leaves room for every float64 and every 128-bit integer, and none for
// the arbitrary precision that would have to be stored and calculated with.
const maxNumber = 64

// Decode decodes body into dst with the default limits. See [Limits.Decode].
func Decode(body []byte, dst any) error {
	return Limits{}.Decode(body, dst)
}

// Decode decodes body into dst, a non-nil pointer to a struct as described for the package. Members that are absent or
// null leave their field as it was. Nothing in dst refers to body afterwards.
//
// A body that is refused gives an [*Error], and *dst is set to its zero value, so that a caller who forgets to look at
// the error has nothing to act on. Any other error means that dst cannot be a destination and has nothing to do with
// the body.
func (l Limits) Decode(body []byte, dst any) error {
	v := reflect.ValueOf(dst)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct { // where a nil pointer leads to has no kind
		return errors.New("strictjson: destination is not a non-nil pointer to a struct")
	}
	v = v.Elem()
	layout, err := layoutOf(v.Type())
	if err != nil {
		return err
	}
	if layout.kind != kindStruct {
		return fmt.Errorf("strictjson: destination %s decodes itself", v.Type())
	}
	p := parser{
		data:     body,
		depth:    orDefault(l.Depth, defaultDepth),
		values:   orDefault(l.Values, defaultValues),
		freeForm: orDefault(l.FreeForm, defaultFreeForm),
	}
	if f := p.body(layout, v); f != nil {
		v.SetZero()
		return f.export()
	}
	return nil
}

func orDefault(limit, standard int) int {
	if limit == 0 {
		return standard
	}
	return limit
}
