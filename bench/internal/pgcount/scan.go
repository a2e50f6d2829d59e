package pgcount

import "encoding/binary"

// Messages of the server that are counted. PostgreSQL, Frontend/Backend Protocol, Message Formats.
const (
	commandComplete = 'C'
	readyForQuery   = 'Z'
)

// scanner finds the messages in what a server sends, however that is cut into pieces.
type scanner struct {
	head [5]byte // the type and the length of the message that begins
	n    int     // how much of head is there
	skip int64   // how much of the body is still to come
}

// scan calls found with the type of each message whose head ends in p.
func (s *scanner) scan(p []byte, found func(kind byte)) {
	for len(p) > 0 {
		if s.skip > 0 {
			k := min(s.skip, int64(len(p)))
			s.skip -= k
			p = p[k:]
			continue
		}
		k := copy(s.head[s.n:], p)
		s.n += k
		p = p[k:]
		if s.n < len(s.head) {
			return
		}
		// The length counts itself.
		s.skip = int64(binary.BigEndian.Uint32(s.head[1:])) - 4
		s.n = 0
		found(s.head[0])
	}
}
