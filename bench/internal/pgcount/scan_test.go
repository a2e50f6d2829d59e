package pgcount

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgproto3"
)

// session is what a server sends in a short session, and the types of the messages in it.
func session(t testing.TB) (stream []byte, kinds string) {
	t.Helper()
	for _, m := range []pgproto3.BackendMessage{
		&pgproto3.AuthenticationOk{},
		&pgproto3.ParameterStatus{Name: "server_version", Value: "15"},
		&pgproto3.ReadyForQuery{TxStatus: 'I'},
		&pgproto3.ParseComplete{},
		&pgproto3.BindComplete{},
		&pgproto3.DataRow{Values: [][]byte{[]byte("C\x00\x00\x00\x04Z\x00\x00\x00\x05I"), nil}}, // looks like messages
		&pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")},
		&pgproto3.ReadyForQuery{TxStatus: 'I'},
	} {
		before := len(stream)
		var err error
		if stream, err = m.Encode(stream); err != nil {
			t.Fatal(err)
		}
		kinds += string(stream[before])
	}
	return stream, kinds
}

func TestMessagesAreFoundHoweverTheyAreCut(t *testing.T) {
	t.Parallel()
	stream, want := session(t)
	for size := 1; size <= len(stream); size++ {
		var s scanner
		var got []byte
		for piece := range slices.Chunk(stream, size) {
			s.scan(piece, func(kind byte) { got = append(got, kind) })
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Fatalf("in pieces of %d bytes (-want +got):\n%s", size, diff)
		}
	}
}

func FuzzScan(f *testing.F) {
	stream, _ := session(f)
	f.Add(stream, 7)
	f.Add([]byte("C\x00\x00\x00\x00Z\xff\xff\xff\xff"), 3)
	f.Fuzz(func(t *testing.T, stream []byte, cut int) {
		kinds := func(pieces ...[]byte) string {
			var s scanner
			var got []byte
			for _, p := range pieces {
				s.scan(p, func(kind byte) { got = append(got, kind) })
			}
			return string(got)
		}
		cut = max(0, min(cut, len(stream)))
		if diff := cmp.Diff(kinds(stream), kinds(stream[:cut], stream[cut:])); diff != "" {
			t.Errorf("cut at %d (whole, cut):\n%s", cut, diff)
		}
	})
}
