package pgstore

import (
	"encoding/json"
	"testing"
	"time"
	"unicode/utf8"
)

// A time in a list of JSON is what the database writes of one, and comes out as it went in; all else is an error.
func FuzzJSONTime(f *testing.F) {
	for _, text := range []string{`"2001-02-03T04:05:06"`, `"2001-02-03T04:05:06.789012"`, `null`, `"2001-02-03T04:05:06Z"`, `"10000-01-01T00:00:00"`, `"infinity"`, `"2001-02-30T00:00:00"`, `0`, `""`, `[]`} {
		f.Add([]byte(text), int64(981173106789012))
	}
	f.Fuzz(func(t *testing.T, text []byte, micros int64) {
		list, err := decode[jsonTime](append(append([]byte("["), text...), ']'))
		if err == nil && !json.Valid(text) && len(list) == 1 {
			t.Fatalf("%s became %v", text, list)
		}
		at := time.UnixMicro(micros).UTC()
		if at.Year() < 0 || at.Year() > 9999 {
			return
		}
		list, err = decode[jsonTime]([]byte(at.Format(`["2006-01-02T15:04:05.999999"]`)))
		if err != nil || len(list) != 1 || !list[0].Equal(at) {
			t.Fatalf("%v became %v, %v", at, list, err)
		}
	})
}

// A text is looked for only where the database can have it.
func FuzzStorable(f *testing.F) {
	for _, s := range []string{"", "a", "\x00", "a\x00b", "\xff", "\u0000", "é", "\xed\xa0\x80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		clean := utf8.ValidString(s)
		for _, r := range s {
			clean = clean && r != 0
		}
		switch got := storedText(s); {
		case clean && (got == nil || *got != s), !clean && got != nil:
			t.Fatalf("%q is looked for as %v", s, got)
		}
	})
}
