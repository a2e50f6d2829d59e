package pgstore

import (
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// The following turn values of the contract into arguments. They use types that pgx knows in every one of its modes.

// ref is an id, or NULL for the zero one.
func ref(id uuid.UUID) pgtype.UUID { return pgtype.UUID{Bytes: id, Valid: id != uuid.Nil} }

func refs(ids []uuid.UUID) []pgtype.UUID {
	list := make([]pgtype.UUID, len(ids))
	for i, id := range ids {
		list[i] = ref(id)
	}
	return list
}

// text is a string, or NULL for the empty one.
func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// document is JSON, or NULL where there is none.
func document(raw json.RawMessage) *string {
	if len(raw) == 0 {
		return nil
	}
	s := string(raw)
	return &s
}

// instant is a time, or NULL for the zero one.
func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// array is a list, or bytes, or NULL for an empty one.
func array[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}

// full is list for a column that must not be NULL, which pgx makes of a nil slice.
func full[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// fullAll is list for an array none of whose elements may be NULL.
func fullAll(list [][]byte) [][]byte {
	c := make([][]byte, len(list))
	for i, b := range list {
		c[i] = full(b)
	}
	return c
}

// column makes an array of one field of many records.
func column[R, T any](records []R, field func(*R) T) []T {
	list := make([]T, len(records))
	for i := range records {
		list[i] = field(&records[i])
	}
	return list
}

// storable says whether a text can be in the database at all. PostgreSQL refuses a statement with one that cannot be, and
// where it is looked for, the answer is that it is not there.
func storable(s string) bool { return !strings.ContainsRune(s, 0) && utf8.ValidString(s) }

// storedText is a text to be compared with those in the database, or NULL, which is equal to none, where it cannot be one.
func storedText(s string) *string {
	if !storable(s) {
		return nil
	}
	return &s
}

// The following are what columns are scanned into. A pointer to an array of bytes spares the way by way of text that
// uuid.UUID's own Scan would take.

func id(u *uuid.UUID) *[16]byte { return (*[16]byte)(u) }

// optionalID is an id that is zero where the column is NULL.
type optionalID uuid.UUID

func (o *optionalID) ScanUUID(v pgtype.UUID) error {
	*o = optionalID(v.Bytes)
	return nil
}

// optionalTime is a time that is zero where the column is NULL.
type optionalTime time.Time

func (o *optionalTime) ScanTimestamptz(v pgtype.Timestamptz) error {
	*o = optionalTime(v.Time)
	return nil
}

// inUTC changes times as pgx returns them, in the local zone, to UTC.
func inUTC(times ...*time.Time) {
	for _, t := range times {
		*t = t.UTC()
	}
}

// jsonTime is a timestamp in a list of JSON: without a zone, because it was made UTC, and null for none.
type jsonTime struct{ time.Time }

func (t *jsonTime) UnmarshalJSON(raw []byte) error {
	if string(raw) == "null" {
		return nil
	}
	var err error
	t.Time, err = time.Parse(`"2006-01-02T15:04:05"`, string(raw))
	return err
}

func decode[T any](raw []byte) ([]T, error) {
	var list []T
	err := json.Unmarshal(raw, &list)
	return list, err
}

// scanCount returns a function that scans the one number that a statement returns.
func scanCount(n *int64) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		*n = 0
		if !rows.Next() {
			return nil
		}
		return rows.Scan(n)
	}
}

// scanAffected returns a function that notes how many rows a statement has written.
func scanAffected(n *int64) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		rows.Close()
		*n = rows.CommandTag().RowsAffected()
		return nil
	}
}
