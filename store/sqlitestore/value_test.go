package sqlitestore

import (
	"math"
	"testing"
	"time"
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
