package sqlitestore

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"
)

// This file turns values into what the columns hold and back.

// micros is a time as a column holds it. What a column cannot hold, some 290,000 years from now, becomes the last
// moment that it can.
func micros(t time.Time) int64 {
	const second = int64(time.Second / time.Microsecond)
	switch s := t.Unix(); {
	case s >= math.MaxInt64/second:
		return math.MaxInt64
	case s <= math.MinInt64/second:
		return math.MinInt64
	}
	return t.UnixMicro()
}

// instant scans a time.
type instant time.Time

func (t *instant) Scan(src any) error {
	n, ok := src.(int64)
	if !ok {
		return fmt.Errorf("a time is a %T", src)
	}
	*t = instant(time.UnixMicro(n).UTC())
	return nil
}

// null is NULL for the empty string.
func null(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// text scans what null has made.
type text string

func (t *text) Scan(src any) error {
	switch src := src.(type) {
	case nil:
		*t = ""
	case string:
		*t = text(src)
	default:
		return fmt.Errorf("a text is a %T", src)
	}
	return nil
}

// document is a JSON document for a column that has text, or NULL where there is none.
func document(raw json.RawMessage) any { return null(string(raw)) }

// raw scans what document has made.
type raw json.RawMessage

func (r *raw) Scan(src any) error {
	switch src := src.(type) {
	case nil:
		*r = nil
	case string:
		*r = raw(src)
	default:
		return fmt.Errorf("a JSON document is a %T", src)
	}
	return nil
}

// array is a list as JSON. What is in the lists of the contract, strings and bytes, always can be JSON.
func array[T any](list []T) string {
	if len(list) == 0 {
		return "[]"
	}
	b, _ := json.Marshal(list)
	return string(b)
}

// list scans what array has made.
type list[T any] []T

func (l *list[T]) Scan(src any) error {
	s, ok := src.(string)
	if !ok {
		return fmt.Errorf("a list is a %T", src)
	}
	if s == "[]" {
		*l = nil
		return nil
	}
	return json.Unmarshal([]byte(s), (*[]T)(l))
}

// rawID scans an id of the audit trail, or NULL as the zero one. What is none, and so not what the store has written, becomes
// the highest UUID, which nobody has: whoever verifies the trail is to hear of it.
type rawID uuid.UUID

func (i *rawID) Scan(src any) error {
	b, ok := src.([]byte)
	switch {
	case src == nil:
		*i = rawID{}
	case ok && len(b) == len(i):
		*i = rawID(b)
	default:
		*i = rawID(uuid.Max)
	}
	return nil
}

// id is the zero UUID as NULL. Where a column is never NULL, it is sliced instead.
func id(u uuid.UUID) any {
	if u == uuid.Nil {
		return nil
	}
	return u[:]
}

// full is never NULL, unlike a nil slice.
func full(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
