package strictjson_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth/internal/strictjson"
)

func TestMembersVisitsEveryMemberInOrder(t *testing.T) {
	t.Parallel()
	var got []string
	err := strictjson.Members([]byte(` {"a": 1, "\u0062":"x\"y" ,"c":{"d":[true,null]},"e":[]} `), func(name, value []byte) error {
		got = append(got, string(name)+"="+string(value))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a=1", `b="x\"y"`, `c={"d":[true,null]}`, "e=[]"}, got); diff != "" {
		t.Error(diff)
	}
}

// JW-18, UR-10
func TestMembersRefusesWhatCanBeReadTwice(t *testing.T) {
	t.Parallel()
	for name, doc := range map[string]string{
		"nothing":                      ``,
		"an array":                     `[]`,
		"a string":                     `"a"`,
		"a member given twice":         `{"sub":1,"sub":2}`,
		"a member spelt in two ways":   `{"sub":1,"s\u0075b":2}`,
		"a nested member given twice":  `{"a":{"b":1,"b":2}}`,
		"something after the object":   `{} {}`,
		"invalid UTF-8":                "{\"a\":\"\xff\"}",
		"a lone surrogate":             `{"a":"\ud800"}`,
		"U+0000":                       `{"a":"\u0000"}`,
		"an unfinished object":         `{"a":1`,
		"a missing comma":              `{"a":1 "b":2}`,
		"a trailing comma":             `{"a":1,}`,
		"a number that is none":        `{"a":01}`,
		"a number out of range":        `{"a":1e999}`,
		"too many levels":              `{"a":` + repeat("[", 40) + repeat("]", 40) + `}`,
		"more values than are allowed": `{"a":[` + repeat("1,", 2000) + `1]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var refused *strictjson.Error
			if err := strictjson.Members([]byte(doc), nil); !errors.As(err, &refused) {
				t.Errorf("%.40q: got %v, want an *Error", doc, err)
			}
		})
	}
}

func TestElementsVisitsAndRefuses(t *testing.T) {
	t.Parallel()
	var got []string
	visit := func(v []byte) error { got = append(got, string(v)); return nil }
	if err := strictjson.Elements([]byte(`["a", 1,{"b":[]}]`), visit); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{`"a"`, "1", `{"b":[]}`}, got); diff != "" {
		t.Error(diff)
	}
	for _, doc := range []string{``, `{}`, `[`, `[1,]`, `[1 2]`, `[1]2`, `[{"a":1,"a":1}]`} {
		if err := strictjson.Elements([]byte(doc), visit); err == nil {
			t.Errorf("%q is accepted", doc)
		}
	}
	stop := errors.New("stop")
	if err := strictjson.Elements([]byte(`[1]`), func([]byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the visitor's error is lost: %v", err)
	}
	if err := strictjson.Members([]byte(`{"a":1}`), func(_, _ []byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the visitor's error is lost: %v", err)
	}
}

func FuzzMembers(f *testing.F) {
	f.Add([]byte(`{"a":1,"b":{"c":"d"}}`))
	f.Add([]byte(`{"a":"\ud83d\ude00"}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		seen := map[string]json.RawMessage{}
		if strictjson.Members(doc, func(name, value []byte) error { seen[string(name)] = value; return nil }) != nil {
			return
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(doc, &want); err != nil {
			t.Fatalf("accepted what encoding/json refuses: %v", err)
		}
		if diff := cmp.Diff(want, seen); diff != "" {
			t.Fatal(diff)
		}
	})
}

func repeat(s string, n int) string {
	var b []byte
	for range n {
		b = append(b, s...)
	}
	return string(b)
}
