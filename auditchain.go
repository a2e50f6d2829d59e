package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/ostiary/auth/internal/seal"
	"github.com/ostiary/auth/store"
)

// This file is what makes the audit trail a chain. Events have the numbers 1, 2, 3 and so on. Each has a link, which
// authenticates all of the event, its number, and the link before. The head of the trail says with which event it begins and
// with which it ends, and is authenticated, too. A plain hash would do neither: whoever can write to the database could
// compute it anew.

// AuditAnchor is a place in the audit trail: an event, by its number and its link. One that is kept where nobody can reach who
// can write to the database holds all that was there before it in place; see [Engine.VerifyAuditTrail]. It is no secret. Its
// text, as of [AuditAnchor.String], is one line. The zero value is before the first event.
type AuditAnchor struct {
	Seq  int64
	Link [32]byte
}

// String returns the anchor as text, such as "1042:8f0c…", with the link in hexadecimal digits.
func (a AuditAnchor) String() string {
	return strconv.FormatInt(a.Seq, 10) + ":" + hex.EncodeToString(a.Link[:])
}

// MarshalText implements [encoding.TextMarshaler] with [AuditAnchor.String].
func (a AuditAnchor) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads what MarshalText has written.
func (a *AuditAnchor) UnmarshalText(text []byte) error {
	number, link, _ := strings.Cut(string(text), ":")
	seq, err := strconv.ParseInt(number, 10, 64)
	raw, hexErr := hex.DecodeString(link)
	read := AuditAnchor{Seq: seq}
	if err != nil || hexErr != nil || len(raw) != len(read.Link) || seq < 0 {
		return errors.New("auth: not an anchor of an audit trail")
	}
	copy(read.Link[:], raw)
	*a = read
	return nil
}

// auditHead is where a trail begins and ends: base is the last event that was removed from its beginning, last the newest one.
type auditHead struct{ base, last AuditAnchor }

// auditChain makes and checks links and heads.
type auditChain struct{ box *seal.Box }

const (
	auditHeadVersion = 1
	auditHeadBytes   = 1 + 2*(8+sha256.Size)

	auditLinkLabel = "audit link"
	auditHeadLabel = "audit head"
)

// encode returns a head as the store keeps it. The trail that has none yet has the empty one.
func (c auditChain) encode(h auditHead) []byte {
	b := make([]byte, 0, auditHeadBytes+sha256.Size)
	b = append(b, auditHeadVersion)
	for _, a := range []AuditAnchor{h.base, h.last} {
		b = binary.BigEndian.AppendUint64(b, uint64(a.Seq))
		b = append(b, a.Link[:]...)
	}
	mac := c.box.MAC(auditHeadLabel, b)
	return append(b, mac[:]...)
}

// decode returns a head that an engine with one of the secrets has made.
func (c auditChain) decode(b []byte) (auditHead, error) {
	var h auditHead
	if len(b) == 0 {
		return h, nil
	}
	if len(b) != auditHeadBytes+sha256.Size || b[0] != auditHeadVersion || !matches(c.box.MACs(auditHeadLabel, b[:auditHeadBytes]), b[auditHeadBytes:]) {
		return h, &AuditFault{Problem: AuditHeadInvalid}
	}
	rest := b[1:]
	for _, a := range []*AuditAnchor{&h.base, &h.last} {
		a.Seq = int64(binary.BigEndian.Uint64(rest))
		copy(a.Link[:], rest[8:])
		rest = rest[8+sha256.Size:]
	}
	return h, nil
}

// link returns the place of an event that has its number, given the place of the one before.
func (c auditChain) link(before AuditAnchor, e *store.Event) AuditAnchor {
	return AuditAnchor{e.Seq, c.box.MAC(auditLinkLabel, linked(before, e)...)}
}

// follows reports whether an event is the one that was written after the place before.
func (c auditChain) follows(before AuditAnchor, e *store.Event) bool {
	return matches(c.box.MACs(auditLinkLabel, linked(before, e)...), e.Link)
}

// linked is what a link authenticates. Its key precedes each part by its length, so that no two events have the same parts.
func linked(before AuditAnchor, e *store.Event) [][]byte {
	var numbers [2][8]byte
	binary.BigEndian.PutUint64(numbers[0][:], uint64(e.Seq))
	binary.BigEndian.PutUint64(numbers[1][:], uint64(e.At.UnixMicro()))
	return [][]byte{
		numbers[0][:], before.Link[:], e.ID[:], numbers[1][:], []byte(e.Type), e.UserID[:], e.SessionID[:], []byte(e.Address),
		[]byte(e.Method), []byte(e.Code), []byte(e.Detail),
	}
}

func matches(sums [][sha256.Size]byte, mac []byte) bool {
	for i := range sums {
		if hmac.Equal(sums[i][:], mac) {
			return true
		}
	}
	return false
}

// anchorAt is the place of an event whose link has been found right.
func anchorAt(e *store.Event) AuditAnchor {
	a := AuditAnchor{Seq: e.Seq}
	copy(a.Link[:], e.Link)
	return a
}

// AuditProblem says what is wrong with the audit trail.
type AuditProblem string

// What [Engine.VerifyAuditTrail] finds.
const (
	AuditEventEdited     AuditProblem = "edited"     // the event is not the one that was written there: it was changed, moved or made up
	AuditEventMissing    AuditProblem = "missing"    // there is no event with the number
	AuditEventUnexpected AuditProblem = "unexpected" // there must be no event with the number: it was made up, or the trail was set back
	AuditHeadInvalid     AuditProblem = "head"       // the trail's record of its own beginning and end was changed or is gone
	AuditAnchorMismatch  AuditProblem = "anchor"     // the trail does not have the event of the anchor: it was replaced by an older or another one
)

// AuditFault is the first fault of an audit trail. Match with [errors.As].
type AuditFault struct {
	Seq     int64 // the number of the event; zero where the fault is the head's
	Problem AuditProblem
}

func (f *AuditFault) Error() string {
	if f.Problem == AuditHeadInvalid {
		return "the audit trail's head is not one that was written"
	}
	return fmt.Sprintf("event %d of the audit trail: %s", f.Seq, f.Problem)
}
