package strictjson

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Error says why a body was refused. Path and Reason are printable ASCII without angle brackets, ampersands and
// backslashes other than those of escapes, and at most 200 bytes each: they are safe to send back and to log, whatever
// the body was.
type Error struct {
	// Path is the member concerned, such as options.allowedRoles[1], empty if it is the body as a whole. Names that
	// are not plain words are quoted, escaped and cut: options["\u000a"].
	Path string
	// Reason completes a sentence that begins with the path, such as "must be a string".
	Reason string
}

// Error returns the path, or "the body", and the reason.
func (e *Error) Error() string {
	if e.Path == "" {
		return "the body " + e.Reason
	}
	return e.Path + " " + e.Reason
}

// Reasons to refuse.
const (
	reasonSyntax     = "is not valid JSON"
	reasonNotObject  = "must be a JSON object"
	reasonTrailing   = "has data after its JSON object"
	reasonUnknown    = "is not a known member"
	reasonDuplicate  = "is given twice"
	reasonRequired   = "is required"
	reasonString     = "must be a string"
	reasonBool       = "must be true or false"
	reasonInteger    = "must be an integer"
	reasonObject     = "must be an object"
	reasonArray      = "must be an array"
	reasonNull       = "must not be null"
	reasonRange      = "is out of range"
	reasonNumberSize = "has too many digits"
	reasonDepth      = "is nested too deeply"
	reasonValues     = "has too many values"
	reasonFreeForm   = "is too large"
	reasonUTF8       = "has text that is not valid UTF-8"
	reasonSurrogate  = "has text with half a surrogate pair"
	reasonNUL        = "has text with the character U+0000"
	reasonContent    = "is not valid"
)

// Limits of a path.
const (
	maxPath = 200
	maxName = 40 // characters
)

// fault is an Error in the making: on the way up every level adds where it stood.
type fault struct {
	reason string
	pos    int      // byte offset of a syntax error
	path   []string // innermost first; indices with brackets, names with a dot or quoted in brackets
}

// in adds the member that the fault is in.
func (f *fault) in(name string) *fault {
	f.path = append(f.path, segment(name))
	return f
}

// at adds the element that the fault is in.
func (f *fault) at(index int) *fault {
	f.path = append(f.path, "["+strconv.Itoa(index)+"]")
	return f
}

func (f *fault) export() *Error {
	switch f.reason { // is it the body as a whole, wherever that was found?
	case reasonSyntax:
		return &Error{Reason: f.reason + " at byte " + strconv.Itoa(f.pos)}
	case reasonValues:
		return &Error{Reason: f.reason}
	}
	var b strings.Builder
	for _, s := range slices.Backward(f.path) {
		b.WriteString(s)
	}
	path := strings.TrimPrefix(b.String(), ".")
	if len(path) > maxPath {
		path = path[:maxPath-len("...")] + "..."
	}
	return &Error{Path: path, Reason: f.reason}
}

// segment returns name as a part of a path.
func segment(name string) string {
	if isWord(name) {
		return "." + name
	}
	var b strings.Builder
	b.WriteString(`["`)
	for i, r := range name {
		if utf8.RuneCountInString(name[:i]) == maxName {
			b.WriteString("...")
			break
		}
		switch {
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		case r < ' ' || r > '~' || strings.ContainsRune("\"'`\\<>&", r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteString(`"]`)
	return b.String()
}

// isWord reports whether name can stand in a message as it is.
func isWord(name string) bool {
	if name == "" || len(name) > maxName {
		return false
	}
	for _, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}
