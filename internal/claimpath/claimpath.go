// Package claimpath turns a record about a user into custom claims for an access token.
//
// A claim is configured as a name and a path into the record:
//
//	set, err := claimpath.Compile(map[string]string{
//		"organisation-ids": "profile.organisations[].id",
//		"plan":             "metadata.plan",
//	}, map[string]any{"plan": "free"})
//
// Paths are compiled once. Extract then walks the record without parsing anything again, visits every
// part of the record at most once per claim, and needs a stack no deeper than the path is long.
//
// # Paths
//
//	a.b.c            members, nothing is escaped: a name is any text without . [ ] ( ) { } ? * @ $ , : = !
//	                 quotes, backslashes, blanks and control characters
//	a['b.c']         a member of any other name, quoted with ' or ", a backslash before a quote or backslash
//	a[2]  a[-1]      one element of an array, counted from the start or the end
//	a[]  a[*]        every element of an array
//	a[?(@.b == 'x')] the elements of an array whose member b (or @.b.c, or the element @ itself) equals a string,
//	                 number, true, false or null; != selects those that have the member with another value
//
// This is the part of JSONPath (RFC 9535) that yields each node at most once and in a fixed order: there is no
// descent, no union, no slice and no wildcard over the members of an object.
//
// A path with [], [*] or a filter is array-like: its result is always an array, which is empty if the array
// was there and held nothing that fits. If no array was found on the way the value is missing.
//
// A [] at the end of a path also takes a value that is no array, and makes it an array of one. If everything before
// it is members and [], the result keeps the shape of the record: "a.b[]" over an array a is the array of the b of
// each element, null where an element has none, and arrays in arrays stay nested. Any other path gives a flat array.
//
// # Encoding
//
// A claim value is always a string. Null is the text null; a string is itself; an array is its JSON text with
// the outer brackets replaced by braces, {"a","b"}; everything else is its JSON text. Elements keep their JSON
// quotes and escapes, so no element can end early and pass for two.
//
// A value that the user can write, such as metadata, proves nothing: do not map it to a claim that grants
// something. This holds for strings above all, which are passed on as they are.
package claimpath

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Prefix begins the name of every claim.
const Prefix = "x-hasura-"

// reserved are the claims that the engine itself sets, lower-cased. A custom claim must never stand in for one of
// them, whatever its spelling, because readers of these claims compare names without regard to case.
var reserved = []string{
	Prefix + "allowed-roles",
	Prefix + "default-role",
	Prefix + "user-id",
	Prefix + "user-is-anonymous",
	Prefix + "auth-elevated",
}

// Error is one mistake in the configuration of claims. It repeats the configuration in quotes and is meant for the
// operator who wrote it.
type Error struct {
	Claim  string // as configured
	Path   string // as configured, empty if the mistake is not in the path
	Reason string
}

func (e *Error) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("claim %q: %s", e.Claim, e.Reason)
	}
	return fmt.Sprintf("claim %q: path %q: %s", e.Claim, e.Path, e.Reason)
}

// Set is a compiled set of claims. It is immutable and safe for concurrent use. A nil or zero Set has no claims.
type Set struct {
	claims []claim
}

type claim struct {
	name     string
	path     path
	fallback string // the encoded default
}

// Compile compiles claims, a map from claim name to path. defaults maps claim names to the value used when the path
// finds nothing or null; it holds what [encoding/json] decodes into any, and may be nil.
//
// A name that begins with x-hasura- in any case is kept as it is; any other is lower-cased and gets that prefix.
// Names are printable ASCII without blanks. Names that are equal without regard to case are refused, as are the
// names of the built-in claims x-hasura-allowed-roles, -default-role, -user-id, -user-is-anonymous and
// -auth-elevated, and defaults for claims that do not exist.
//
// The error joins one [*Error] for every mistake, in the order of the names.
func Compile(claims map[string]string, defaults map[string]any) (*Set, error) {
	var mistakes []error
	fail := func(claim, path, reason string) {
		mistakes = append(mistakes, &Error{Claim: claim, Path: path, Reason: reason})
	}

	fallbacks := make(map[string]string, len(defaults)) // by folded name
	unused := make(map[string]string, len(defaults))    // configured name, by folded name
	for _, configured := range slices.Sorted(maps.Keys(defaults)) {
		name, err := canonicalName(configured)
		if err != nil {
			fail(configured, "", "default: "+err.Error())
			continue
		}
		folded := strings.ToLower(name)
		if other, ok := unused[folded]; ok {
			fail(configured, "", fmt.Sprintf("default: same name as %q", other))
			continue
		}
		text, ok := encode(defaults[configured])
		if !ok {
			fail(configured, "", "default: has no JSON form")
			continue
		}
		fallbacks[folded], unused[folded] = text, configured
	}

	set := &Set{}
	taken := make(map[string]string, len(claims)) // configured name, by folded name
	for _, configured := range slices.Sorted(maps.Keys(claims)) {
		name, err := canonicalName(configured)
		if err != nil {
			fail(configured, "", err.Error())
			continue
		}
		folded := strings.ToLower(name)
		delete(unused, folded)
		if slices.Contains(reserved, folded) {
			fail(configured, "", name+" is a built-in claim")
		}
		if other, ok := taken[folded]; ok {
			fail(configured, "", fmt.Sprintf("same name as %q", other))
		}
		taken[folded] = configured
		p, err := parsePath(claims[configured])
		if err != nil {
			fail(configured, claims[configured], err.Error())
		}
		fallback, ok := fallbacks[folded]
		if !ok {
			fallback = null
		}
		set.claims = append(set.claims, claim{name: name, path: p, fallback: fallback})
	}
	for _, folded := range slices.Sorted(maps.Keys(unused)) {
		fail(unused[folded], "", "default for a claim that does not exist")
	}
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	return set, nil
}

// Extract returns every claim of the set with its value in record. Where the path finds nothing or null, the value is
// the encoded default, or null without one.
//
// record is what [encoding/json] decodes into any. With numbers as [json.Number] their text is kept; a float64 is
// printed as encoding/json prints it. Values of other Go types count as what they are in JSON, and as missing if they
// have no JSON form. record is not changed and nothing of it is kept.
func (s *Set) Extract(record any) map[string]string {
	if s == nil {
		return map[string]string{}
	}
	values := make(map[string]string, len(s.claims))
	for _, c := range s.claims {
		values[c.name] = c.fallback
		v := c.path.find(record)
		if v == nil {
			continue
		}
		if text, ok := encode(v); ok {
			values[c.name] = text
		}
	}
	return values
}

// Name returns the name of the claim that somebody calls name, by the rules of [Compile]. It is an error if it is none, or a
// built-in one.
func Name(name string) (string, error) {
	canonical, err := canonicalName(name)
	if err != nil {
		return "", &Error{Claim: name, Reason: err.Error()}
	}
	if slices.Contains(reserved, strings.ToLower(canonical)) {
		return "", &Error{Claim: name, Reason: canonical + " is a built-in claim"}
	}
	return canonical, nil
}

// Encode returns the text of a value as a claim, as [Set.Extract] would for a value found in a record. It is an error if the value
// has no JSON form.
func Encode(value any) (string, error) {
	text, ok := encode(value)
	if !ok {
		return "", errors.New("value has no JSON form")
	}
	return text, nil
}

// canonicalName returns the name of the claim configured as name.
func canonicalName(name string) (string, error) {
	if name == "" {
		return "", errors.New("name is empty")
	}
	// ASCII only, so that no letter exists that folds to one of a built-in name (U+212A to k, U+017F to s).
	for _, c := range []byte(name) {
		if c <= ' ' || c > '~' {
			return "", errors.New("name must be printable ASCII without blanks")
		}
	}
	if len(name) < len(Prefix) || !strings.EqualFold(name[:len(Prefix)], Prefix) {
		return strings.ToLower(Prefix + name), nil
	}
	if len(name) == len(Prefix) {
		return "", errors.New("name is only the prefix")
	}
	return name, nil
}
