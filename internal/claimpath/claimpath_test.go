package claimpath_test

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ostiary/auth/internal/claimpath"
)

// decode decodes JSON as a caller that keeps the text of numbers does.
func decode(t testing.TB, text string) any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("test record: %v", err)
	}
	return v
}

// extract returns the one claim compiled from path.
func extract(t testing.TB, path string, record any) string {
	t.Helper()
	set, err := claimpath.Compile(map[string]string{"c": path}, nil)
	if err != nil {
		t.Fatalf("Compile(%q): %v", path, err)
	}
	return set.Extract(record)["x-hasura-c"]
}

const record = `{
	"name": "Jo", "empty": "", "yes": true, "none": null, "count": 123.456, "big": 12345678901234567890, "exp": 1e3,
	"nameless": {"": "x"}, "list": ["a", "b", "c"], "nothing": [], "mixed": [1, null, true, {"k": "v"}, ["x", "y"]],
	"object": {"k1": "v1"}, "markup": {"t": "<a href='x'>&</a>"}, "sep": {"t": "a\u2028b"},
	"teams": [
		{"id": 1, "name": "red", "role": "owner", "tags": ["t1", "t2"], "active": true},
		{"id": 2, "name": "blue", "role": "member", "tags": [], "active": false},
		{"id": 3, "name": "it's", "role": "owner", "tags": ["t3"], "lead": null},
		{"id": 4, "name": "none"}
	],
	"grid": [[{"id": 1}, {"id": 2}], [{"id": 3}]],
	"metadata": {"x": {"y": "deep"}, "a.b": "dotted", "it's": "quoted", "my-key": 7, "ключ": "utf8"},
	"numbers": [{"n": 9007199254740993}, {"n": 9007199254740992}, {"n": -0}, {"n": 1.50}, {"n": "1.5"}, {"n": 1e999}]
}`

func TestExtract(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, path, want string }{
		// Encodings.
		{"a string is itself", "name", `Jo`},
		{"an empty string is empty", "empty", ``},
		{"a boolean is its JSON text", "yes", `true`},
		{"null is null", "none", `null`},
		{"a number keeps its text", "count", `123.456`},
		{"a large integer keeps its text", "big", `12345678901234567890`},
		{"an exponent keeps its text", "exp", `1e3`},
		{"an object is its JSON text", "object", `{"k1":"v1"}`},
		{"an array of strings gets braces", "list", `{"a","b","c"}`},
		{"an empty array is a pair of braces", "nothing", `{}`},
		{"an array of everything keeps JSON elements", "mixed", `{1,null,true,{"k":"v"},["x","y"]}`},
		{"HTML is not escaped", "markup", `{"t":"<a href='x'>&</a>"}`},
		{"a line separator is escaped", "sep", `{"t":"a\u2028b"}`},

		// Members.
		{"a nested member", "metadata.x.y", `deep`},
		{"a quoted member", "metadata['a.b']", `dotted`},
		{"a quoted member with an escaped quote", `metadata['it\'s']`, `quoted`},
		{"a quoted member in double quotes", `metadata["it's"]`, `quoted`},
		{"a quoted member first", `['metadata'].x.y`, `deep`},
		{"a member with a dash", "metadata.my-key", `7`},
		{"a member in another script", "metadata.ключ", `utf8`},
		{"a missing member", "nope", `null`},
		{"a missing nested member", "nope.nope", `null`},
		{"a member of a string", "name.x", `null`},
		{"a member of null", "none.x", `null`},
		{"a member of an array", "teams.name", `null`},
		{"member names are case-sensitive", "Name", `null`},

		// Elements.
		{"an element", "list[2]", `c`},
		{"an element from the end", "list[-1]", `c`},
		{"a member of an element", "teams[1].name", `blue`},
		{"an element of an element", "grid[0][1].id", `2`},
		{"an index past the end", "list[3]", `null`},
		{"an index before the start", "list[-4]", `null`},
		{"an index into an empty array", "nothing[0]", `null`},
		{"an index into an object", "object[0]", `null`},
		{"an index into a string", "name[0]", `null`},
		{"an index into an object with a member without a name", "nameless[0]", `null`},

		// Every element.
		{"all elements with a star", "list[*]", `{"a","b","c"}`},
		{"a member of all elements", "teams[].id", `{1,2,3,4}`},
		{"a member of all elements with a star", "teams[*].id", `{1,2,3,4}`},
		{"elements without the member are left out", "teams[*].role", `{"owner","member","owner"}`},
		{"elements whose member is null stay", "teams[*].lead", `{null}`},
		{"arrays in arrays are flattened by a star", "teams[*].tags[*]", `{"t1","t2","t3"}`},
		{"arrays in arrays without a step stay", "teams[*].tags", `{["t1","t2"],[],["t3"]}`},
		{"all elements of no element", "nothing[*]", `{}`},
		{"a member of no element", "nothing[*].id", `{}`},
		{"a member that no element has", "teams[*].nope", `{}`},
		{"all elements of a missing array", "nope[*]", `null`},
		{"all elements of null", "none[*]", `null`},
		{"a star on an object", "object[*]", `null`},
		{"a star on an object with a member without a name", "nameless[*]", `null`},
		{"a filter on an object with a member without a name", "nameless[?(@ == 'x')]", `null`},
		{"a star on a string", "name[*]", `null`},
		{"an element of each element", "grid[*][0].id", `{1,3}`},
		{"a star below an element", "grid[0][*].id", `{1,2}`},

		// Paths that keep the shape.
		{"all elements", "list[]", `{"a","b","c"}`},
		{"all elements of an empty array", "nothing[]", `{}`},
		{"a trailing [] maps over the arrays before it", "teams.id[]", `{1,2,3,4}`},
		{"a trailing [] keeps the place of a missing member", "teams.role[]", `{"owner","member","owner",null}`},
		{"a trailing [] keeps arrays nested", "grid.id[]", `{[1,2],[3]}`},
		{"two [] keep arrays nested", "teams[].tags[]", `{["t1","t2"],[],["t3"],null}`},
		{"a trailing [] wraps a string", "name[]", `{"Jo"}`},
		{"a trailing [] wraps an object", "object[]", `{{"k1":"v1"}}`},
		{"a trailing [] on a missing member", "nope.nope[]", `null`},
		{"a trailing [] on null", "none[]", `null`},
		{"a trailing [] after a quoted name that looks like a star", "metadata['[*]'][]", `null`},
		{"a trailing [] after an index flattens", "grid[0][].id[]", `{1,2}`},
		{"a trailing [] after an index wraps a string", "teams[0].name[]", `{"red"}`},
		{"a trailing [] after an index on nothing", "teams[9].name[]", `null`},
		{"a trailing [] after an index on null", "teams[2].lead[]", `null`},
		{"a trailing [] after a filter takes strings", "teams[?(@.role == 'owner')].name[]", `{"red","it's"}`},
		{"a [] within the path needs an array", "object[].k1", `null`},
		{"a trailing [] after a filter flattens", "teams[?(@.role == 'owner')].tags[]", `{"t1","t2","t3"}`},
		{"a trailing [] after a star flattens", "teams[*].tags[]", `{"t1","t2","t3"}`},

		// Filters.
		{"a filter by string", "teams[?(@.role == 'owner')].id", `{1,3}`},
		{"a filter in double quotes", `teams[?(@.role == "owner")].id`, `{1,3}`},
		{"a filter without blanks", `teams[?(@.role=='owner')].id`, `{1,3}`},
		{"a filter with blanks everywhere", "teams[? \t( @.role \t== 'owner' ) ].id", `{1,3}`},
		{"a filter with blanks and without parentheses", "teams[? @.role=='owner' ].id", `{1,3}`},
		{"a filter without parentheses", `teams[?@.role == 'owner'].id`, `{1,3}`},
		{"a filter with an escaped quote", `teams[?(@.name == 'it\'s')].id`, `{3}`},
		{"a filter by inequality needs the member", "teams[?(@.role != 'owner')].id", `{2}`},
		{"a filter by number", "teams[?(@.id == 2)].name", `{"blue"}`},
		{"a filter by number in another spelling", "teams[?(@.id == 2.0e0)].name", `{"blue"}`},
		{"a filter by boolean", "teams[?(@.active == true)].id", `{1}`},
		{"a filter by another boolean", "teams[?(@.active == false)].id", `{2}`},
		{"a filter by null", "teams[?(@.lead == null)].id", `{3}`},
		{"a filter by the element", "list[?(@ != 'b')]", `{"a","c"}`},
		{"a filter by a nested member", "grid[*][?(@.id == 3)].id", `{3}`},
		{"a filter without a match", "teams[?(@.role == 'x')].id", `{}`},
		{"a filter by a missing member", "teams[?(@.nope == 'x')]", `{}`},
		{"a filter on no array", "object[?(@.k1 == 'v1')]", `null`},
		{"a filter on a missing array", "nope[?(@.k1 == 'v1')]", `null`},
		{"a filter compares large integers exactly", "numbers[?(@.n == 9007199254740993)]", `{{"n":9007199254740993}}`},
		{"a filter by zero takes minus zero", "numbers[?(@.n == 0)].n", `{-0}`},
		{"a filter by number takes no string", "numbers[?(@.n == 1.5)].n", `{1.50}`},
		{"a filter by string takes no number", "numbers[?(@.n == '1.5')].n", `{"1.5"}`},
		{"numbers outside float64 are never equal", "numbers[?(@.n == 2e999)].n", `{}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := extract(t, tc.path, decode(t, record)); got != tc.want {
				t.Errorf("%s = %s, want %s", tc.path, got, tc.want)
			}
		})
	}
}

func TestExtractOtherGoValues(t *testing.T) {
	t.Parallel()
	type team struct {
		ID int `json:"id"`
	}
	cyclic := map[string]any{}
	cyclic["self"] = cyclic
	cyclicList := []any{nil}
	cyclicList[0] = cyclicList
	var deep any = "x"
	for range 5000 {
		deep = []any{deep}
	}

	for _, tc := range []struct {
		name, path string
		record     any
		want       string
	}{
		{"float64", "v", map[string]any{"v": 123.456}, `123.456`},
		{"float64 without a fraction", "v", map[string]any{"v": float64(1 << 53)}, `9007199254740992`},
		{"a filter by float64", "v[?(@.n == 2)].n", map[string]any{"v": []any{map[string]any{"n": 2.0}}}, `{2}`},
		{"a filter by an integer", "v[?(@.n == 1)].n", map[string]any{"v": []any{map[string]any{"n": json.Number("1.0")}}}, `{1.0}`},
		{"a filter by zero, of what is no number", "v[?(@.n == 0)].m", map[string]any{"v": []any{map[string]any{"n": json.Number("1.x"), "m": 1}}}, `{}`},
		{"a filter by what is beyond all numbers", "v[?(@.n == 2e999)].m", map[string]any{"v": []any{map[string]any{"n": math.Inf(1), "m": 1}}}, `{}`},
		{"slice of structs, mapped", "v.id[]", map[string]any{"v": []team{{1}, {2}}}, `{1,2}`},
		{"int", "v", map[string]any{"v": 7}, `7`},
		{"large int", "v", map[string]any{"v": int64(math.MaxInt64)}, `9223372036854775807`},
		{"slice of strings", "v[*]", map[string]any{"v": []string{"a", "b"}}, `{"a","b"}`},
		{"slice of strings as a whole", "v", map[string]any{"v": []string{"a", "b"}}, `{"a","b"}`},
		{"slice of structs", "v[].id", map[string]any{"v": []team{{1}, {2}}}, `{1,2}`},
		{"struct", "id", team{3}, `3`},
		{"raw JSON", "v.x", map[string]any{"v": json.RawMessage(`{"x":"<1e2>"}`)}, `<1e2>`},
		{"empty slice", "v", map[string]any{"v": []any(nil)}, `{}`},
		{"no JSON form", "v", map[string]any{"v": make(chan int)}, `null`},
		{"no JSON form inside", "v", map[string]any{"v": []any{math.NaN()}}, `null`},
		{"record that contains itself", "self.self", cyclic, `null`},
		{"record that contains itself, mapped", "v.x[]", map[string]any{"v": cyclicList}, ``},
		{"arrays nested deeper than paths go", "v.x[]", map[string]any{"v": deep}, ``},
		{"array as record", "[1].x", []any{nil, map[string]any{"x": "y"}}, `y`},
		{"string as record", "x", "y", `null`},
		{"no record", "x", nil, `null`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := extract(t, tc.path, tc.record)
			if tc.want == "" { // only that it ends, without exhausting the stack
				if len(got) > 1000 {
					t.Errorf("claim of %d bytes", len(got))
				}
				return
			}
			if got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	set, err := claimpath.Compile(
		map[string]string{
			"a": "missing", "b": "none", "c": "present", "X-Hasura-D": "missing", "e": "missing", "f": "missing", "g": "bad",
			"h": "empty[*]",
		},
		map[string]any{
			"A": "text", "b": []any{"x", `"`}, "c": "unused", "x-hasura-d": json.Number("1.50"), "e": nil,
			"f": map[string]any{"k": "<"}, "g": "instead", "h": "unused",
		},
	)
	if err != nil {
		t.Fatal(err)
	}
	got := set.Extract(map[string]any{"none": nil, "present": "here", "bad": make(chan int), "empty": []any{}})
	want := map[string]string{
		"x-hasura-a": "text", "x-hasura-b": `{"x","\""}`, "x-hasura-c": "here", "X-Hasura-D": "1.50",
		"x-hasura-e": "null", "x-hasura-f": `{"k":"<"}`, "x-hasura-g": "instead", "x-hasura-h": "{}",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ configured, want string }{
		{"plan", "x-hasura-plan"},
		{"OrgId", "x-hasura-orgid"},
		{"x-hasura-plan", "x-hasura-plan"},
		{"X-Hasura-Plan", "X-Hasura-Plan"},
		{"X-HASURA-OrgId", "X-HASURA-OrgId"},
		{"sub", "x-hasura-sub"},
		{"elevated", "x-hasura-elevated"},
		{"!~", "x-hasura-!~"},
		{"array[].ids", "x-hasura-array[].ids"},
	} {
		set, err := claimpath.Compile(map[string]string{tc.configured: "p"}, nil)
		if err != nil {
			t.Errorf("%q: %v", tc.configured, err)
			continue
		}
		if diff := cmp.Diff(map[string]string{tc.want: "v"}, set.Extract(map[string]any{"p": "v"})); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tc.configured, diff)
		}
	}
}

func TestNoClaims(t *testing.T) {
	t.Parallel()
	set, err := claimpath.Compile(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*claimpath.Set{set, nil, {}} {
		if got := s.Extract(map[string]any{}); got == nil || len(got) != 0 {
			t.Errorf("got %v, want an empty map", got)
		}
	}
}

// JW-21: no custom claim can stand in for a built-in one, and no two for each other.
func TestCompileRefusesNames(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		claims []string
		reason string
	}{
		{"the allowed roles", []string{"allowed-roles"}, "built-in"},
		{"the allowed roles with prefix", []string{"x-hasura-allowed-roles"}, "built-in"},
		{"the default role in another case", []string{"X-Hasura-Default-Role"}, "built-in"},
		{"the default role without prefix in another case", []string{"Default-Role"}, "built-in"},
		{"the user id", []string{"x-hasura-User-Id"}, "built-in"},
		{"the anonymous mark", []string{"user-is-anonymous"}, "built-in"},
		{"the elevation", []string{"X-HASURA-AUTH-ELEVATED"}, "built-in"},
		{"one name twice", []string{"plan", "x-hasura-plan"}, "same name"},
		{"one name in two cases", []string{"X-Hasura-Plan", "x-hasura-plan"}, "same name"},
		{"one name in two cases without prefix", []string{"Plan", "pLAN"}, "same name"},
		{"no name", []string{""}, "empty"},
		{"only the prefix", []string{"X-Hasura-"}, "prefix"},
		{"a letter that folds to k", []string{"to\u212Aen"}, "ASCII"},
		{"a letter that folds to s", []string{"x-ha\u017Fura-user-id"}, "ASCII"},
		{"a blank", []string{"user id"}, "ASCII"},
		{"the last control character", []string{"a\x7f"}, "ASCII"},
		{"a line break", []string{"a\r\nb"}, "ASCII"},
		{"invalid UTF-8", []string{"a\xff"}, "ASCII"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			claims := map[string]string{}
			for _, name := range tc.claims {
				claims[name] = "p"
			}
			set, err := claimpath.Compile(claims, nil)
			var mistake *claimpath.Error
			if set != nil || !errors.As(err, &mistake) || !strings.Contains(mistake.Reason, tc.reason) {
				t.Errorf("got %v, %v; want an error with %q", set, err, tc.reason)
			}
		})
	}
}

func TestCompileRefusesPaths(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ path, why string }{
		{"", "is empty"},
		{".", "at byte 0: expected a member name"},
		{".a", "at byte 0: expected a member name"},
		{"a.", "at byte 2: expected a member name"},
		{"a..b", "at byte 2: expected a member name"},
		{"a.[0]", "at byte 2: expected a member name"},
		{"a b", "at byte 1: expected . or ["},
		{" a", "at byte 0: expected a member name"},
		{"a ", "at byte 1: expected . or ["},
		{"a\nb", "at byte 1: expected . or ["},
		{"a\x7fb", "at byte 1: expected . or ["},
		{"$.a", "at byte 0: expected a member name"},
		{"a.*", "at byte 2: expected a member name"},
		{"a.@", "at byte 2: expected a member name"},
		{"{ .a }", "at byte 0: expected a member name"},
		{"a,b", "at byte 1: expected . or ["},
		{"a:b", "at byte 1: expected . or ["},
		{`a\b`, "at byte 1: expected . or ["},
		{"a'", "at byte 1: expected . or ["},
		{"a]", "at byte 1: expected . or ["},
		{"a[", "at byte 2: expected ], *, ?, an index or a quoted name"},
		{"a[0", "at byte 3: expected ]"},
		{"a[0]b", "at byte 4: expected . or ["},
		{"a[ ]", "at byte 2: expected ], *, ?, an index or a quoted name"},
		{"a[x]", "at byte 2: expected ], *, ?, an index or a quoted name"},
		{"a[/1]", "at byte 2: expected ], *, ?, an index or a quoted name"},
		{"a[:1]", "at byte 2: expected ], *, ?, an index or a quoted name"},
		{"a[1:2]", "at byte 3: expected ]"},
		{"a[0,1]", "at byte 3: expected ]"},
		{"a[1.5]", "at byte 3: expected ]"},
		{"a[--1]", "at byte 5: expected an index"},
		{"a[-]", "at byte 3: expected an index"},
		{"a[99999999999]", "at byte 13: expected an index"},
		{"a[+1]", "at byte 2: expected ], *, ?, an index or a quoted name"},
		{"a[**]", "at byte 3: expected ]"},
		{"a[*", "at byte 3: expected ]"},
		{"a['b]", "at byte 2: string has no end"},
		{"a['b'", "at byte 5: expected ]"},
		{`a['\b']`, "at byte 2: only quotes and backslashes can follow a backslash"},
		{`a['\`, "at byte 2: only quotes and backslashes can follow a backslash"},
		{`a["b']`, "at byte 2: string has no end"},
		{"a[?]", "at byte 3: expected @"},
		{"a[?()]", "at byte 4: expected @"},
		{"a[?(@)]", "at byte 5: expected == or !="},
		{"a[?(@.b)]", "at byte 7: expected == or !="},
		{"a[?(@.b == )]", "at byte 11: expected a quoted string, a number, true, false or null"},
		{"a[?(@.b = 'x')]", "at byte 8: expected == or !="},
		{"a[?(@.b == 'x']", "at byte 14: expected )"},
		{"a[?(@.b == 'x')", "at byte 15: expected ]"},
		{"a[?(b == 'x')]", "at byte 4: expected @"},
		{"a[?(@.b == x)]", "at byte 11: expected a quoted string, a number, true, false or null"},
		{"a[?(@.b == 01)]", "at byte 13: expected a quoted string, a number, true, false or null"},
		{"a[?(@.b == +1)]", "at byte 13: expected a quoted string, a number, true, false or null"},
		{"a[?(@.b == 'x' && @.c == 'y')]", "at byte 15: expected )"},
		{"a[?(@.b > 1)]", "at byte 8: expected == or !="},
		{"a[?(@.b == truex)]", "at byte 15: expected )"},
		{"a[?('x' == @.b)]", "at byte 4: expected @"},
		{"a[?(@b == 'x')]", "at byte 5: expected == or !="},
		{"a[?(@..b == 'x')]", "at byte 6: expected a member name"},
		{"a[?@.b == 'x')]", "at byte 13: expected ]"},
		{"a[?(@.b == 'x)]", "at byte 11: string has no end"},
		{`a[?(@.b == '\x')]`, "at byte 11: only quotes and backslashes can follow a backslash"},
		{"a\xff", "is not valid UTF-8"},
		{"a['\xff']", "is not valid UTF-8"},
		{strings.Repeat("a", 1025), "is longer than 1024 bytes"},
		{strings.Repeat("a.", 64) + "a", "at byte 127: more than 64 steps"},
		{strings.Repeat("[]", 65), "at byte 128: more than 64 steps"},
		{"a[?(@" + strings.Repeat(".b", 65) + " == 1)]", "at byte 134: more than 64 steps"},
	} {
		set, err := claimpath.Compile(map[string]string{"c": tc.path}, nil)
		var mistake *claimpath.Error
		if set != nil || !errors.As(err, &mistake) || mistake.Path != tc.path || mistake.Reason != tc.why {
			t.Errorf("Compile(%q) = %v, %v; want %q", tc.path, set, err, tc.why)
		}
	}
}

// The limits of paths are those that are said.
func TestLongestPaths(t *testing.T) {
	t.Parallel()
	for _, path := range []string{
		strings.Repeat("a", 1024), strings.Repeat("a.", 63) + "a", strings.Repeat("[]", 64), "a[?(@" + strings.Repeat(".b", 64) + " == 1)]",
	} {
		if _, err := claimpath.Compile(map[string]string{"c": path}, nil); err != nil {
			t.Error(err)
		}
	}
}

func TestCompileReportsEveryMistake(t *testing.T) {
	t.Parallel()
	_, err := claimpath.Compile(
		map[string]string{"ok": "a.b", "one": "a..b", "two": "a[", "user-id": "id", "both": "", "x-hasura-BOTH": "p", "a b": "a["},
		map[string]any{"nobody": 1, "ok": make(chan int), "": 1, "one": make(chan int), "ONE": "y", "someone": make(chan int)},
	)
	want := []string{
		`claim "": default: name is empty`,
		`claim "ok": default: has no JSON form`,
		`claim "one": default: same name as "ONE"`,
		`claim "someone": default: has no JSON form`,
		`claim "a b": name must be printable ASCII without blanks`,
		`claim "both": is empty`,
		`claim "one": path "a..b": at byte 2: expected a member name`,
		`claim "two": path "a[": at byte 2: expected ], *, ?, an index or a quoted name`,
		`claim "user-id": x-hasura-user-id is a built-in claim`,
		`claim "x-hasura-BOTH": same name as "both"`,
		`claim "nobody": default for a claim that does not exist`,
	}
	if err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" {
		t.Errorf("mistakes (-want +got):\n%s", diff)
	}
}

// JW-21: whatever a role is called, a reader of the list sees exactly the roles that are in it, as JSON and as a
// PostgreSQL array literal.
func TestOneElementNeverBecomesTwo(t *testing.T) {
	t.Parallel()
	for _, role := range []string{
		`a`, ``, `a"b`, `a","b`, `","`, `"`, `""`, `\`, `\"`, `a\","b`, `\\","b`, `{a,b}`, `{"a","b"}`, `}`, `{`, `,`, `a,b`,
		`null`, `NULL`, ` `, "a\nb", "a\x00b", "a\x7fb", "\u2028", "<&>", `["a"]`, `é`, `😀`, "a\tb", `/`, `'`,
	} {
		roles := []any{"first", role, "last"}
		for _, path := range []string{"r", "r[]", "r[*]", "r[?(@ != 1)]"} {
			got := extract(t, path, map[string]any{"r": roles})
			var elements []any
			if err := json.Unmarshal([]byte("["+got[1:len(got)-1]+"]"), &elements); err != nil {
				t.Errorf("%q under %s: %s: %v", role, path, got, err)
			}
			if diff := cmp.Diff(roles, elements); diff != "" {
				t.Errorf("%q under %s (-want +got):\n%s", role, path, diff)
			}
			if n := countPostgresElements(t, got); n != 3 {
				t.Errorf("%q under %s: %s has %d elements", role, path, got, n)
			}
		}
		// A string where an array is asked for is one element.
		if got := extract(t, "r[]", map[string]any{"r": role}); countPostgresElements(t, got) != 1 {
			t.Errorf("%q alone: %s", role, got)
		}
	}
}

// countPostgresElements counts the elements of a one-dimensional array literal whose elements are all quoted, by the
// rules of the PostgreSQL manual, section 8.15.6.
func countPostgresElements(t *testing.T, literal string) int {
	t.Helper()
	inner, ok := strings.CutPrefix(literal, "{")
	if !ok || !strings.HasSuffix(inner, "}") {
		t.Fatalf("not an array literal: %s", literal)
	}
	inner = inner[:len(inner)-1]
	count := 0
	for inner != "" {
		if inner[0] != '"' {
			t.Fatalf("element without quotes at %s in %s", inner, literal)
		}
		end := 1
		for end < len(inner) && inner[end] != '"' {
			if inner[end] == '\\' {
				end++
			}
			end++
		}
		if end >= len(inner) {
			t.Fatalf("element without end in %s", literal)
		}
		count++
		inner = inner[end+1:]
		if inner != "" {
			if inner[0] != ',' || len(inner) == 1 {
				t.Fatalf("text after an element: %s in %s", inner, literal)
			}
			inner = inner[1:]
		}
	}
	return count
}

func TestExtractLeavesTheRecordAlone(t *testing.T) {
	t.Parallel()
	before, after := decode(t, record), decode(t, record)
	for _, path := range []string{"list", "list[]", "teams.tags[]", "teams[*].tags", "metadata", "teams[?(@.id == 1)]"} {
		extract(t, path, after)
	}
	if !reflect.DeepEqual(before, after) {
		t.Error("record was changed")
	}
}

// The same walk as in a token: a handful of claims over a user record.
func BenchmarkExtract(b *testing.B) {
	set, err := claimpath.Compile(map[string]string{
		"a": "name", "b": "metadata.x.y", "c": "teams[].id", "d": "teams[?(@.role == 'owner')].id", "e": "list[]",
	}, nil)
	if err != nil {
		b.Fatal(err)
	}
	v := decode(b, record)
	b.ReportAllocs()
	for b.Loop() {
		set.Extract(v)
	}
}
