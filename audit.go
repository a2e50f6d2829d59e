package auth

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"log/slog"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

// AuditConfig turns on the audit trail: every event becomes a row in the store, linked to the one before under a key that is
// derived from Config.Secret, so that [Engine.VerifyAuditTrail] finds any row that was changed, removed, moved or made up.
//
// An event is in the trail when the call that it belongs to returns. That costs the call one more round trip, or part of one:
// while one call writes, the events of others gather and are then written together. Where an event cannot be written within some
// seconds it is lost: the step stands all the same, the event goes to Config.Logger at level Error, and [EventAuditLost] says,
// to the other sinks and later in the trail, how many those were.
//
// The trail takes no part in a transaction of the service's own. Events of calls within one, and of calls that a hook makes with
// its context, are there even if it is rolled back; and they wait, in memory, until this process writes its next event outside
// of a transaction, runs its loop, or calls [Engine.FlushAuditTrail].
//
// An event has no personal data but the client's address, and the ids of users and sessions. It outlives its user.
type AuditConfig struct {
	// Omit are the types of events that are not written, to save round trips.
	Omit []EventType
	// Retention is how old events get: those that are older are removed by [Engine.Run], about once a day. It is at least a day.
	// The default, zero, keeps them for ever.
	Retention time.Duration
}

func (c *AuditConfig) withDefaults(m *mistakes) *AuditConfig {
	own := *c
	own.Omit = slices.Clone(c.Omit)
	if slices.Contains(own.Omit, "") {
		m.add("Audit.Omit", "has an empty entry")
	}
	if own.Retention != 0 {
		m.duration("Audit.Retention", own.Retention, 24*time.Hour, 100*366*24*time.Hour)
	}
	return &own
}

const (
	// auditPage is how many events are read or removed at a time, and the most that a list has.
	auditPage = 1000
	// auditList is how many events a list has unless it is told.
	auditList = 100
	// auditPurgeEvery is how long events may be overdue, so that one removal, which is an event itself, takes many.
	auditPurgeEvery = 24 * time.Hour
)

// AuditEvent is an event in the audit trail. Of its Client it has the address alone.
type AuditEvent struct {
	Seq int64 // its number: 1 for the first, and so on without a gap
	Event
}

// AuditQuery selects events of the audit trail. The zero value selects all.
type AuditQuery struct {
	UserID uuid.UUID
	Type   EventType
	From   time.Time // events of this instant or later
	Until  time.Time // events before this instant; zero: no bound
	Cursor string    // AuditPage.Next of the page before; empty for the first
	Limit  int       // at most this many, up to 1000; zero: 100
}

// AuditPage is a part of the audit trail.
type AuditPage struct {
	Events []AuditEvent
	Next   string // the cursor for the next page, opaque and safe in a URL; empty after the last
}

// AuditTrail lists events for the service, the latest first: the caller is trusted. It costs one round trip. The rows are as the
// store has them; whether they are as they were written is for [Engine.VerifyAuditTrail].
//
// Errors: [ErrDisabledEndpoint] without Config.Audit; [ErrInvalidRequest] for a cursor that is not from a page, or a limit out
// of bounds.
func (e *Engine) AuditTrail(ctx context.Context, q AuditQuery) (_ *AuditPage, err error) {
	defer e.begin(&ctx, "AuditTrail").end(&err)
	rows, next, err := e.events(ctx, q)
	if err != nil {
		return nil, err
	}
	page := &AuditPage{Events: make([]AuditEvent, len(rows)), Next: next}
	for i := range rows {
		page.Events[i] = auditEvent(&rows[i])
	}
	return page, nil
}

func auditEvent(row *store.Event) AuditEvent {
	address, _ := netip.ParseAddr(row.Address) // there may be none
	return AuditEvent{row.Seq, Event{
		ID: row.ID, Type: EventType(row.Type), At: row.At, UserID: row.UserID, SessionID: row.SessionID, Client: Client{Address: address},
		Method: row.Method, Code: Code(row.Code), Detail: row.Detail,
	}}
}

// Activity is an event of an account, as its owner may see it.
type Activity struct {
	ID        uuid.UUID `json:"id"`
	At        time.Time `json:"at"`
	Type      EventType `json:"type"`
	SessionID uuid.UUID `json:"sessionId"` // zero where there was none
	Current   bool      `json:"current"`   // it is of the session that asks
	Address   string    `json:"address"`   // of the client; empty if unknown
	Method    string    `json:"method"`
	Code      Code      `json:"code"` // the failure; empty on success
	Detail    string    `json:"detail"`
}

// ActivityQuery selects events of one's own account.
type ActivityQuery struct {
	Cursor string // ActivityPage.Next of the page before; empty for the first
	Limit  int    // at most this many, up to 1000; zero: 100
}

// ActivityPage is a part of the events of one's own account.
type ActivityPage struct {
	Events []Activity `json:"events"`
	Next   string     `json:"next"` // the cursor for the next page; empty after the last
}

// ListActivity lists what has happened to the principal's account, the latest first, so that its owner sees what was not them.
// It costs two round trips.
//
// Errors: as at [Engine.AuditTrail]; [ErrElevationRequired] for a session of a personal access token; otherwise as at
// [Engine.User].
func (e *Engine) ListActivity(ctx context.Context, principal *Principal, q ActivityQuery) (_ *ActivityPage, err error) {
	defer e.begin(&ctx, "ListActivity").end(&err)
	defer e.refusal(ctx, principal, "ListActivity", &err)
	a, err := e.ownAccount(ctx, principal, 0)
	if err != nil {
		return nil, err
	}
	rows, next, err := e.events(ctx, AuditQuery{UserID: a.ID, Cursor: q.Cursor, Limit: q.Limit})
	if err != nil {
		return nil, err
	}
	page := &ActivityPage{Events: make([]Activity, len(rows)), Next: next}
	for i := range rows {
		row := &rows[i]
		page.Events[i] = Activity{
			ID: row.ID, At: row.At, Type: EventType(row.Type), SessionID: row.SessionID,
			Current: row.SessionID != uuid.Nil && row.SessionID == principal.SessionID,
			Address: row.Address, Method: row.Method, Code: Code(row.Code), Detail: row.Detail,
		}
	}
	return page, nil
}

// events reads a page, and returns the cursor of the next.
func (e *Engine) events(ctx context.Context, q AuditQuery) (_ []store.Event, next string, err error) {
	if e.audit == nil {
		return nil, "", ErrDisabledEndpoint
	}
	if q.Limit < 0 || q.Limit > auditPage {
		return nil, "", ErrInvalidRequest.saying("limit must be from 1 to " + strconv.Itoa(auditPage))
	}
	def(&q.Limit, auditList)
	sq := store.EventQuery{
		UserID: q.UserID, Type: string(q.Type), From: storable(q.From), Before: store.EventKey{At: storable(q.Until)}, Limit: q.Limit + 1,
	}
	if q.Cursor != "" {
		key, err := e.openCursor(q.Cursor)
		if err != nil {
			return nil, "", ErrInvalidRequest.saying("cursor is not from a page").because(err)
		}
		if q.Until.IsZero() || key.At.Before(q.Until) {
			sq.Before = key
		}
	}
	rows, err := e.store.Events(ctx, sq)
	if err != nil {
		return nil, "", err
	}
	if len(rows) > q.Limit {
		rows = rows[:q.Limit]
		last := &rows[q.Limit-1]
		next = e.sealCursor(store.EventKey{At: last.At, Seq: last.Seq})
	}
	return rows, next, nil
}

// storable is a time that every store can compare with.
func storable(t time.Time) time.Time {
	first, last := time.Time{}, time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
	switch {
	case t.Before(first):
		return first.Add(time.Microsecond) // not the zero time, which means no bound
	case t.After(last):
		return last
	}
	return t.UTC()
}

// A cursor is sealed: a user's would otherwise tell how many events there are of all.
const auditCursor = "audit cursor"

func (e *Engine) sealCursor(key store.EventKey) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(key.At.UnixMicro()))
	b = binary.BigEndian.AppendUint64(b, uint64(key.Seq))
	return base64.RawURLEncoding.EncodeToString(e.box.Seal(auditCursor, nil, b))
}

func (e *Engine) openCursor(s string) (store.EventKey, error) {
	if strings.ContainsAny(s, "\r\n") { // which the decoder skips: a cursor has one spelling
		return store.EventKey{}, errors.New("line ends")
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return store.EventKey{}, err
	}
	b, err := e.box.Open(auditCursor, nil, sealed)
	if err != nil {
		return store.EventKey{}, err
	}
	return store.EventKey{At: time.UnixMicro(int64(binary.BigEndian.Uint64(b))).UTC(), Seq: int64(binary.BigEndian.Uint64(b[8:]))}, nil
}

// VerifyAuditTrailParams says what to verify.
type VerifyAuditTrailParams struct {
	// Anchor is what an earlier call returned, kept where it cannot be reached from the database. The trail must still have its
	// event. The zero value, or one whose event has been removed since because it was too old, asks for nothing.
	Anchor AuditAnchor
	// Newer verifies only what came after the anchor, and believes the anchor for the rest.
	Newer bool
}

// VerifyAuditTrail walks the audit trail from its beginning to its end, checks that it is as it was written, and returns its
// end as an anchor for the next time. Events may be written meanwhile.
//
// What it finds is the first fault, as an [*AuditFault] among the causes of its error: an event that was edited, removed,
// moved, made up or brought in from elsewhere, and a beginning or an end that was cut off. Only one thing needs an anchor to
// be found: that somebody has put back all of the trail, its head included, as it was at an earlier moment, or has removed
// all of it. So keep the anchor elsewhere, such as in a log that is shipped away, and give it to the next call. Any other
// error says nothing about the trail.
//
// Somebody who has Config.Secret, or one of PreviousSecrets, besides the database can write a trail of their own; it does not
// have the anchor's event either. Events that were written under a secret that is no longer configured cannot be verified:
// before a secret is removed, verify, keep the anchor, and from then on verify with it and Newer.
//
// It costs a round trip and a few milliseconds for each 1000 events, and the memory for these.
//
// Errors: [ErrDisabledEndpoint] without Config.Audit; [ErrInternal] for a fault, and where the store fails.
func (e *Engine) VerifyAuditTrail(ctx context.Context, p VerifyAuditTrailParams) (_ AuditAnchor, err error) {
	defer e.begin(&ctx, "VerifyAuditTrail").end(&err)
	if e.audit == nil {
		return AuditAnchor{}, ErrDisabledEndpoint
	}
	w := auditWalk{chain: e.audit.chain, anchor: p.Anchor}
	if p.Newer && p.Anchor.Seq > 0 {
		w.last, w.begun, w.newer = p.Anchor, true, true
	}
	for {
		head, events, err := e.store.Trail(ctx, w.from(), auditPage)
		if err != nil {
			return AuditAnchor{}, err
		}
		done, err := w.page(head, events, len(events) < auditPage)
		if done || err != nil {
			return w.last, err
		}
	}
}

// auditWalk is how far a verification has come.
type auditWalk struct {
	chain  auditChain
	anchor AuditAnchor
	base   AuditAnchor // where the trail began when the last page was read
	last   AuditAnchor // the event that was verified last
	begun  bool        // last is set; or else the beginning of the trail is to come
	newer  bool        // it began at the anchor
	purged int64       // what the last EventAuditPurged that was seen says
}

// from is the number from which to read on. The last event is read once more: had somebody given two events one number, the
// second would fall between the pages.
func (w *auditWalk) from() int64 {
	if !w.begun {
		return math.MinInt64
	}
	return w.last.Seq
}

// page verifies events that were read at one moment, with the head of that moment. The last page is the one to which the trail
// ends.
func (w *auditWalk) page(raw []byte, events []store.Event, last bool) (done bool, err error) {
	head, err := w.chain.decode(raw)
	if err != nil {
		return false, err
	}
	w.base = head.base
	if w.anchor.Seq > head.last.Seq || w.anchor.Seq == head.base.Seq && w.anchor != head.base {
		return false, &AuditFault{w.anchor.Seq, AuditAnchorMismatch}
	}
	switch {
	case len(raw) == 0 && len(events) > 0:
		return false, &AuditFault{Problem: AuditHeadInvalid}
	case !w.begun || w.last.Seq < head.base.Seq:
		// What comes before the base has been removed, perhaps since the page before.
		w.last, w.begun = head.base, true
	case w.last.Seq == head.base.Seq:
		if w.last != head.base {
			return false, &AuditFault{Problem: AuditHeadInvalid}
		}
	case len(events) == 0 || events[0].Seq != w.last.Seq:
		return false, &AuditFault{w.last.Seq, AuditEventMissing}
	case !bytes.Equal(events[0].Link, w.last.Link[:]):
		return false, &AuditFault{w.last.Seq, w.changed()}
	default:
		events = events[1:]
	}
	for i := range events {
		ev := &events[i]
		switch {
		case ev.Seq <= w.last.Seq || ev.Seq > head.last.Seq:
			return false, &AuditFault{ev.Seq, AuditEventUnexpected}
		case ev.Seq > w.last.Seq+1:
			return false, &AuditFault{w.last.Seq + 1, AuditEventMissing}
		case !w.chain.follows(w.last, ev):
			return false, &AuditFault{ev.Seq, AuditEventEdited}
		}
		w.last = anchorAt(ev)
		if w.last.Seq == w.anchor.Seq && w.last != w.anchor {
			return false, &AuditFault{ev.Seq, AuditAnchorMismatch}
		}
		if ev.Type == string(EventAuditPurged) {
			w.purged, _ = strconv.ParseInt(ev.Detail, 10, 64)
		}
	}
	switch {
	case !last:
		return false, nil
	case w.last.Seq < head.last.Seq:
		return false, &AuditFault{w.last.Seq + 1, AuditEventMissing}
	case w.last != head.last || (w.purged != 0 || !w.newer) && w.purged != head.base.Seq:
		return false, &AuditFault{Problem: AuditHeadInvalid}
	}
	return true, nil
}

// changed is the problem of an event that is not what it was when it was verified, or when the anchor was made.
func (w *auditWalk) changed() AuditProblem {
	if w.last == w.anchor {
		return AuditAnchorMismatch
	}
	return AuditEventEdited
}

// FlushAuditTrail writes the events that wait for the end of a transaction of the service's own; see [AuditConfig]. Call it
// after the commit, or before the process ends, where no loop runs. Its error says that events were lost, or, where ctx has
// ended, that they wait still.
//
// Errors: [ErrDisabledEndpoint] without Config.Audit; [ErrInternal].
func (e *Engine) FlushAuditTrail(ctx context.Context) (err error) {
	defer e.begin(&ctx, "FlushAuditTrail").end(&err)
	if e.audit == nil {
		return ErrDisabledEndpoint
	}
	return e.audit.flush(ctx)
}

// tendAudit writes events that wait, for the loop, and puts the head under the engine's present secret.
func (e *Engine) tendAudit(ctx context.Context) {
	if e.audit == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, auditPatience)
	defer cancel()
	_ = e.audit.flush(ctx) // what is lost has been told
	if err := e.audit.reseal(ctx); err != nil && ctx.Err() == nil {
		e.config.Logger.ErrorContext(ctx, "seal the audit trail's head", slog.Any("error", err))
	}
}

// reseal puts the head under the present secret, once in the life of a process, so that the previous one can go although
// nothing happens. Events are not linked anew.
func (s *auditSink) reseal(ctx context.Context) error {
	if err := s.take(ctx); err != nil {
		return err
	}
	defer func() { <-s.turn }()
	if s.resealed {
		return nil
	}
	own, cancel := auditContext()
	defer cancel()
	raw, _, err := s.engine.store.Trail(own, math.MaxInt64, 1)
	if err != nil {
		return err
	}
	head, err := s.chain.decode(raw)
	if err != nil {
		s.resealed = true // it cannot be, and each event says so
		return err
	}
	if wanted := s.chain.encode(head); len(raw) > 0 && !bytes.Equal(raw, wanted) {
		now, appended, err := s.engine.store.AppendEvents(own, store.Append{After: raw, Head: wanted})
		if err != nil {
			return err
		}
		if s.head = now; !appended {
			return nil // another event came first; look again
		}
	}
	s.resealed = true
	return nil
}

// purgeAudit removes what is too old, and says so in the trail.
func (e *Engine) purgeAudit(ctx context.Context) {
	if e.audit == nil || e.config.Audit.Retention == 0 {
		return
	}
	overdue := e.now().Add(-e.config.Audit.Retention)
	_, oldest, err := e.store.Trail(ctx, math.MinInt64, 1)
	if err == nil && (len(oldest) == 0 || !oldest[0].At.Before(overdue.Add(-auditPurgeEvery))) {
		return
	}
	for more := true; more && err == nil; {
		more, err = e.audit.purge(ctx, overdue)
	}
	if err != nil && ctx.Err() == nil {
		e.config.Logger.ErrorContext(ctx, "purge the audit trail", slog.Any("error", err))
	}
}

// purge removes one page of events from before an instant, up to the first that is not, and reports whether there may be more.
// Nothing is removed that is not as it was written: it is evidence.
func (s *auditSink) purge(ctx context.Context, before time.Time) (more bool, err error) {
	if err := s.take(ctx); err != nil {
		return false, err
	}
	defer func() { <-s.turn }()
	own, cancel := auditContext()
	defer cancel()
	raw, events, err := s.engine.store.Trail(own, math.MinInt64, auditPage)
	if err != nil {
		return false, err
	}
	n := slices.IndexFunc(events, func(ev store.Event) bool { return !ev.At.Before(before) })
	if n < 0 {
		n = len(events)
	}
	if n == 0 {
		return false, nil
	}
	w := auditWalk{chain: s.chain}
	if _, err := w.page(raw, events[:n], false); err != nil {
		return false, err
	}
	s.head = raw
	note := s.row(Event{ID: uuid.New(), Type: EventAuditPurged, At: s.engine.now(), Detail: strconv.FormatInt(w.last.Seq, 10)})
	return n == auditPage, s.append(own, []store.Event{note}, &auditCut{after: w.base, through: w.last})
}
