package sqlitestore

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

func TestTimesSurviveTheDatabase(t *testing.T) { // ST-23
	t.Parallel()
	for name, test := range map[string]struct{ in, want time.Time }{
		"zero":                  {time.Time{}, time.Time{}},
		"before 1970":           {time.Date(1969, 12, 31, 23, 59, 59, 999999000, time.UTC), time.Date(1969, 12, 31, 23, 59, 59, 999999000, time.UTC)},
		"the last of year 9999": {time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC)},
		"another zone":          {time.Date(2001, 2, 3, 4, 5, 6, 0, time.FixedZone("", 3600)), time.Date(2001, 2, 3, 3, 5, 6, 0, time.UTC)},
		"too late":              {time.Unix(math.MaxInt64/1_000_000+1, 0), time.UnixMicro(math.MaxInt64)},
		"much too late":         {time.Unix(1<<62, 0), time.UnixMicro(math.MaxInt64)},
		"much too early":        {time.Unix(-1<<62, 0), time.UnixMicro(math.MinInt64)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got time.Time
			if err := (*instant)(&got).Scan(micros(test.in)); err != nil {
				t.Fatal(err)
			}
			if !got.Equal(test.want) || got.Location() != time.UTC {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestWhatCannotBeInAColumnIsAnError(t *testing.T) {
	t.Parallel()
	var at time.Time
	var s string
	var r []byte
	var l []string
	for name, scan := range map[string]func(any) error{
		"instant": (*instant)(&at).Scan, "text": (*text)(&s).Scan, "raw": (*raw)(&r).Scan, "list": (*list[string])(&l).Scan,
	} {
		if err := scan(1.5); err == nil {
			t.Errorf("%s scans a number with a fraction", name)
		}
	}
	if err := (*list[string])(&l).Scan(`{"a":1}`); err == nil {
		t.Error("list scans an object")
	}
}

// A list survives a column, and what else stands in one is a list or an error.
func FuzzList(f *testing.F) {
	for _, s := range []string{"[]", `["a","b"]`, `["a",null]`, `[""]`, "null", "{}", `["\u2028<>&"]`, `["a"]x`, ""} {
		f.Add(s, []byte(s))
	}
	f.Fuzz(func(t *testing.T, s string, b []byte) {
		var texts []string
		if utf8.ValidString(s) {
			if err := (*list[string])(&texts).Scan(array([]string{s, "", s})); err != nil || !slices.Equal(texts, []string{s, "", s}) {
				t.Fatalf("%q became %q, %v", s, texts, err)
			}
		}
		var sums [][]byte
		if err := (*list[[]byte])(&sums).Scan(array([][]byte{b, {}})); err != nil || len(sums) != 2 || !bytes.Equal(sums[0], b) || len(sums[1]) > 0 {
			t.Fatalf("%x became %x, %v", b, sums, err)
		}
		texts = nil
		if err := (*list[string])(&texts).Scan(s); err == nil && !json.Valid([]byte(s)) {
			t.Fatalf("%q is taken for the list %q", s, texts)
		}
		var id rawID
		if err := id.Scan(b); err != nil || len(b) != 16 && b != nil && uuid.UUID(id) != uuid.Max || len(b) == 16 && !bytes.Equal(id[:], b) {
			t.Fatalf("%x became the id %v, %v", b, id, err)
		}
	})
}

// A time comes out of a column as it went in, to the microsecond, whatever a row says.
func FuzzTime(f *testing.F) {
	for _, n := range []int64{0, -1, math.MinInt64, math.MaxInt64, 253402300799999999} {
		f.Add(n)
	}
	f.Fuzz(func(t *testing.T, n int64) {
		var at time.Time
		if err := (*instant)(&at).Scan(n); err != nil || at.Location() != time.UTC {
			t.Fatal(err)
		}
		// What the clock has no room for becomes the nearest that it has.
		if got := micros(at); got != n && n/1_000_000 > math.MinInt64/1_000_000 && n/1_000_000 < math.MaxInt64/1_000_000 {
			t.Fatalf("%d became %v and %d", n, at, got)
		}
	})
}
