package pgstore

import (
	"context"
	"crypto/subtle"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/ostiary/auth/store"
)

// ticketColumns are the columns of t, a ticket, in the order of ticketRow.
const ticketColumns = `t.id, t.kind, t.slot, t.user_id, t.hash, t.data, t.tries, t.created_at, t.expires_at`

// ticketRow returns where to scan ticketColumns. After it, finishTicket must be called.
func ticketRow(t *store.Ticket) []any {
	return []any{
		id(&t.ID), &t.Kind, &t.Slot, (*optionalID)(&t.UserID), &t.Hash, &t.Data, &t.Tries, &t.CreatedAt, &t.ExpiresAt,
	}
}

func finishTicket(t *store.Ticket) { inUTC(&t.CreatedAt, &t.ExpiresAt) }

// onSlotTaken makes an INSERT of a ticket take the place of the one that lies where it belongs.
const onSlotTaken = `ON CONFLICT (kind, slot) DO UPDATE SET
	id = excluded.id, user_id = excluded.user_id, hash = excluded.hash, data = excluded.data, tries = excluded.tries,
	created_at = excluded.created_at, expires_at = excluded.expires_at`

// PutTicket implements [store.Store].
func (s *Store) PutTicket(ctx context.Context, t store.Ticket) error {
	var n int64
	put := statement{
		s.fixed.putTicket,
		[]any{ref(t.ID), t.Kind, t.Slot, ref(t.UserID), full(t.Hash), t.Data, int64(t.Tries), t.CreatedAt, t.ExpiresAt},
		scanAffected(&n),
	}
	taken := error(store.ErrConflict{Field: store.FieldID})
	err := wrap("put ticket", s.run(ctx, write, put))
	if errors.Is(err, taken) {
		// ON CONFLICT is about the slot. Where the very same ticket is put by two at the same moment, the second may run
		// into the id of the first before it comes to the slot, and finds it in its place now.
		err = wrap("put ticket", s.run(ctx, write, put))
	}
	if err != nil {
		return err
	}
	if n == 0 {
		return store.ErrNotFound
	}
	return nil
}

// The look-ups of tickets come in these forms, by what the ticket is known by. $1 is the kind, $2 is now, and $3 the hash,
// the hashes or the owner. One hash, which is what an engine with one secret asks for, is a form of its own: of a list the
// planner does not know how long it is, and may think it better to look through all that have not expired.
const (
	bySecretAlone = iota
	bySecretsAlone
	byOwnerID
	byOwnerEmail
	byOwnerPhone
	ticketForms
)

var ticketKnownBy = [ticketForms]string{
	bySecretAlone:  "t.hash = $3::bytea",
	bySecretsAlone: "t.hash = ANY ($3::bytea[])",
	byOwnerID:      "t.user_id = $3::uuid",
	byOwnerEmail:   "t.user_id = (SELECT o.id FROM {schema}.users o WHERE o.email_key = $3::text)",
	byOwnerPhone:   "t.user_id = (SELECT o.id FROM {schema}.users o WHERE o.phone = $3::text)",
}

// withoutOwner says whether a form knows the ticket by its secret alone.
func withoutOwner(form int) bool { return form == bySecretAlone || form == bySecretsAlone }

// presentable is what a ticket must be to be presented.
const presentable = `t.kind = $1::text AND t.tries <> 0 AND t.expires_at > $2::timestamptz`

// sqlTake returns the statement for TakeTicket. It deletes the ticket and so takes it once: whoever comes second waits
// for the first and finds it gone, or finds it changed and asks anew what must hold.
func sqlTake(form int) string {
	which := ticketKnownBy[form] + " AND " + presentable
	if !withoutOwner(form) {
		which += " AND t.hash = ANY ($4::bytea[])"
	}
	return `WITH picked AS (SELECT t.id FROM {schema}.tickets AS t WHERE ` + which + ` LIMIT 1)
DELETE FROM {schema}.tickets AS t USING picked WHERE t.id = picked.id AND ` + which + `
RETURNING ` + ticketColumns
}

// sqlCheck returns the statement for CheckTicket. It takes a try from each ticket that is meant, if it has a budget, and
// returns it with its owner. An update that had to wait asks anew whether a try is left. Tickets without a budget are
// only read. A secret alone means one ticket; an owner means all of theirs, and it is for the caller to see which of them
// the secret opens.
func sqlCheck(form int) string {
	which := ticketKnownBy[form] + " AND " + presentable
	picked, from, join := "", "", ""
	if withoutOwner(form) {
		picked = `picked AS (SELECT t.id FROM {schema}.tickets AS t WHERE ` + which + ` LIMIT 1), `
		from, join = "FROM picked", "JOIN picked ON picked.id = t.id"
		which += " AND t.id = picked.id"
	}
	return `WITH ` + picked + `tried AS (
	UPDATE {schema}.tickets AS t SET tries = t.tries - 1 ` + from + `
	WHERE t.tries > 0 AND ` + which + `
	RETURNING ` + ticketColumns + `
), t AS (
	SELECT ` + ticketColumns + ` FROM tried AS t
	UNION ALL
	SELECT ` + ticketColumns + ` FROM {schema}.tickets AS t ` + join + `
	WHERE t.tries < 0 AND ` + which + `
)
SELECT ` + ticketColumns + `, ` + userColumns + `
FROM t LEFT JOIN {schema}.users AS u ON u.id = t.user_id`
}

// ticketQuery returns the form of a look-up, its arguments up to $3 and whether it can find anything.
func ticketQuery(q *store.TicketQuery) (form int, args []any, possible bool) {
	args = []any{q.Kind, q.Now}
	switch {
	case q.UserID != uuid.Nil:
		return byOwnerID, append(args, ref(q.UserID)), storable(q.Kind)
	case q.EmailKey != "":
		return byOwnerEmail, append(args, q.EmailKey), storable(q.Kind) && storable(q.EmailKey)
	case q.Phone != "":
		return byOwnerPhone, append(args, q.Phone), storable(q.Kind) && storable(q.Phone)
	}
	if len(q.Hashes) == 1 {
		return bySecretAlone, append(args, full(q.Hashes[0])), storable(q.Kind)
	}
	return bySecretsAlone, append(args, q.Hashes), storable(q.Kind)
}

// TakeTicket implements [store.Store].
func (s *Store) TakeTicket(ctx context.Context, q store.TicketQuery) (store.Ticket, error) {
	form, args, possible := ticketQuery(&q)
	if !possible {
		return store.Ticket{}, absent(ctx)
	}
	if !withoutOwner(form) {
		args = append(args, q.Hashes)
	}
	var t store.Ticket
	found := false
	err := s.run(ctx, write, statement{s.fixed.take[form], args, func(rows pgx.Rows) error {
		t = store.Ticket{}
		if found = rows.Next(); !found {
			return nil
		}
		err := rows.Scan(ticketRow(&t)...)
		finishTicket(&t)
		return err
	}})
	if err != nil {
		return store.Ticket{}, wrap("take ticket", err)
	}
	if !found {
		return store.Ticket{}, store.ErrNotFound
	}
	return t, nil
}

// CheckTicket implements [store.Store].
func (s *Store) CheckTicket(ctx context.Context, q store.TicketQuery) (store.Ticket, store.User, error) {
	form, args, possible := ticketQuery(&q)
	if !possible {
		return store.Ticket{}, store.User{}, absent(ctx)
	}
	var ticket store.Ticket
	var user store.User
	presented, opened := false, false
	err := s.run(ctx, write, statement{s.fixed.check[form], args, func(rows pgx.Rows) error {
		ticket, user, presented, opened = store.Ticket{}, store.User{}, false, false
		for rows.Next() {
			presented = true
			var t store.Ticket
			if err := rows.Scan(append(ticketRow(&t), skipUser...)...); err != nil {
				return err
			}
			if opened || !opens(&t, q.Hashes) {
				continue
			}
			opened, ticket = true, t
			finishTicket(&ticket)
			if ticket.UserID == uuid.Nil {
				continue
			}
			if err := rows.Scan(append(skipTicket[:len(skipTicket):len(skipTicket)], userRow(&user)...)...); err != nil {
				return err
			}
			finishUser(&user)
		}
		return nil
	}})
	switch {
	case err != nil:
		return store.Ticket{}, store.User{}, wrap("check ticket", err)
	case !presented:
		return store.Ticket{}, store.User{}, store.ErrNotFound
	case !opened:
		return store.Ticket{}, store.User{}, store.ErrMismatch
	}
	return ticket, user, nil
}

// Destinations that leave out the columns of a user or a ticket.
var (
	skipUser   = make([]any, len(userRow(&store.User{})))
	skipTicket = make([]any, len(ticketRow(&store.Ticket{})))
)

// opens says whether the ticket's secret is among those with the hashes.
func opens(t *store.Ticket, hashes [][]byte) bool {
	for _, hash := range hashes {
		if subtle.ConstantTimeCompare(t.Hash, hash) == 1 {
			return true
		}
	}
	return false
}

// absent is the answer where nothing can be found.
func absent(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return store.ErrNotFound
}
