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
	for name, tt := range map[string]struct{ doc, want string }{
		"nothing":                      {``, `the body must be a JSON object`},
		"an array":                     {`[]`, `the body must be a JSON object`},
		"an array of members":          {`["a":1}`, `the body must be a JSON object`},
		"a string":                     {`"a"`, `the body must be a JSON object`},
		"a member given twice":         {`{"sub":1,"sub":2}`, `sub is given twice`},
		"a member spelt in two ways":   {`{"sub":1,"s\u0075b":2}`, `sub is given twice`},
		"a nested member given twice":  {`{"a":{"b":1,"b":2}}`, `a.b is given twice`},
		"something after the object":   {`{} {}`, `the body has data after its JSON object`},
		"invalid UTF-8":                {"{\"a\":\"\xff\"}", `a has text that is not valid UTF-8`},
		"a lone surrogate":             {`{"a":"\ud800"}`, `a has text with half a surrogate pair`},
		"U+0000":                       {`{"a":"\u0000"}`, `a has text with the character U+0000`},
		"an unfinished object":         {`{"a":1`, `the body is not valid JSON at byte 6`},
		"a missing comma":              {`{"a":1 "b":2}`, `the body is not valid JSON at byte 7`},
		"a trailing comma":             {`{"a":1,}`, `the body is not valid JSON at byte 7`},
		"a number that is none":        {`{"a":01}`, `the body is not valid JSON at byte 7`},
		"a number out of range":        {`{"a":1e999}`, `a is out of range`},
		"too many levels":              {`{"a":` + repeat("[", 32), `a` + repeat("[0]", 31) + ` is nested too deeply`},
		"more values than are allowed": {`{"a":[` + repeat("1,", 2000) + `1]}`, `the body has too many values`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var refused *strictjson.Error
			if err := strictjson.Members([]byte(tt.doc), nil); !errors.As(err, &refused) || err.Error() != tt.want {
				t.Errorf("%.40q: got %v, want %s", tt.doc, err, tt.want)
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
	for doc, want := range map[string]string{
		``:                        `the body must be an array`,
		`{}`:                      `the body must be an array`,
		`{1]`:                     `the body must be an array`,
		`[`:                       `the body is not valid JSON at byte 1`,
		`[1,]`:                    `the body is not valid JSON at byte 3`,
		`[1 2]`:                   `the body is not valid JSON at byte 3`,
		`[1]2`:                    `the body has data after its JSON object`,
		`[0,{"a":1,"a":1}]`:       `[1].a is given twice`,
		repeat("[", 33):           repeat("[0]", 32) + ` is nested too deeply`,
		`[` + repeat("1,", 2000):  `the body has too many values`,
		`[[` + repeat("1,", 2000): `the body has too many values`,
	} {
		if err := strictjson.Elements([]byte(doc), visit); err == nil || err.Error() != want {
			t.Errorf("%.40q: got %v, want %s", doc, err, want)
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
