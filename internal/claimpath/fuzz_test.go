package claimpath_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/ostiary/auth/internal/claimpath"
)

func FuzzCompile(f *testing.F) {
	for _, path := range []string{
		"a", "a.b[2].c[]", "a[*].b", "a[?(@.b == 'x')].c", `a[?@.b.c != "y"]`, "a['b.c']", "a[-1]", "a[?(@ == 1.5e3)]", "[", "a[?(@",
	} {
		f.Add("claim", path)
	}
	f.Add("X-Hasura-User-Id", "id")
	f.Fuzz(func(t *testing.T, name, path string) {
		set, err := claimpath.Compile(map[string]string{name: path}, nil)
		if err != nil {
			var mistake *claimpath.Error
			if set != nil || !errors.As(err, &mistake) {
				t.Fatalf("got %v and %v", set, err)
			}
			return
		}
		claims := set.Extract(nil)
		if len(claims) != 1 {
			t.Fatalf("%d claims", len(claims))
		}
		for got := range claims {
			if !strings.HasPrefix(strings.ToLower(got), claimpath.Prefix) || strings.EqualFold(got, "x-hasura-user-id") {
				t.Fatalf("name %q", got)
			}
		}
	})
}

func FuzzExtract(f *testing.F) {
	for _, path := range []string{"list[]", "teams[*].id", "teams[?(@.role != 'owner')].tags[]", "metadata.x", "grid.id[]", "mixed[3]"} {
		f.Add(path, record)
	}
	f.Add("a[]", `{"a":"{\"x\",\"y\"}"}`)
	f.Fuzz(func(t *testing.T, path, text string) {
		set, err := claimpath.Compile(map[string]string{"c": path}, nil)
		if err != nil {
			return
		}
		var records [2]any
		for i := range records {
			d := json.NewDecoder(bytes.NewReader([]byte(text)))
			d.UseNumber()
			if d.Decode(&records[i]) != nil {
				return
			}
		}
		got := set.Extract(records[0])["x-hasura-c"]
		if again := set.Extract(records[0])["x-hasura-c"]; again != got {
			t.Fatalf("%q, then %q", got, again)
		}
		if !reflect.DeepEqual(records[0], records[1]) {
			t.Fatal("record was changed")
		}
		// Every node is visited at most once, and encoding adds at most an escape per byte.
		if len(got) > 6*len(text)+16 {
			t.Fatalf("claim of %d bytes from a record of %d", len(got), len(text))
		}
		arrayLike := strings.HasSuffix(path, "[]") || strings.HasSuffix(path, "[*]")
		if arrayLike && got != "null" && !json.Valid([]byte("["+strings.TrimSuffix(strings.TrimPrefix(got, "{"), "}")+"]")) {
			t.Fatalf("%s gives %q, no array", path, got)
		}
	})
}
