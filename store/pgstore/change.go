package pgstore

import (
	"context"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/ostiary/auth/store"
)

// A change of a user is a small number of statements, sent in one round trip, that depend only on its shape: on which of
// its parts are there. For each shape that occurs the statements are put together once and kept; see [Store.plan]. The
// creation of a user and the deletion are changes, too, with an INSERT or a DELETE in the place of the UPDATE.
//
// The first of them that does anything is
//
//	WITH …, u AS (UPDATE users … WHERE id = … AND the conditions hold RETURNING …), part AS (… FROM u), … SELECT … FROM u
//
// All parts take their rows from u. If a condition does not hold, u is empty and nothing happens. That there is always an
// UPDATE of the user, though sometimes only of the number of the change, lets changes of one user wait for each other at
// every isolation level.
//
// # Snapshots
//
// At READ COMMITTED a statement sees what had been committed when it began. If its UPDATE then waits for another change
// of the user, it goes on with the user's row as that change left it, and checks the conditions on that row anew; but of
// all other tables it still sees the old state. That does no harm to what only adds rows. What must see all the rows
// that there are, as the dropping of all sessions, or a condition on other tables, must come in a later statement than
// the one that waited. So, where there is such a part, the change begins with
//
//	SELECT … FROM users WHERE id = … FOR NO KEY UPDATE
//
// which waits, and whose lock makes sure that the next statement does not. (A deletion takes the stronger lock that it
// needs in the end, FOR UPDATE: to wait for more while it has less could be a deadlock.) Inserting a session, ticket or
// message and noting the use of a token are not such parts; thus a sign-in needs no lock before its update. Nor are the
// rows that go with a user by the foreign keys, for which the server looks in a snapshot of its own.
//
// # Rows that change without their user's lock
//
// Sessions are rotated and ended, and tickets taken and replaced, by others. A condition on a session therefore locks the
// session against its removal, and a ticket is redeemed by deleting it. Both happen in CTEs of the first statement that
// each take their rows from the one before, the deletion last, and u from it: whatever fails, nothing has been deleted.
//
// # One table twice
//
// The order in which CTEs of one statement write is not defined, and CockroachDB does not let two of them write to one
// table. Where a change touches a table a second time, as when it drops all sessions and opens one, that part goes to a
// next statement, in which u is the user whose last change has the random number that the first statement left there.
// If that found a condition not to hold, there is no such user.

// shape is the set of the parts of a change.
type shape uint64

const (
	isCreation shape = 1 << iota // not a change of a user but a new one
	isDeletion                   // or the end of one

	allowsDisabled
	ifSession
	ifTicket
	ifEpoch
	ifAnonymous
	ifNoSecurityKeys
	ifSecurityKey
	ifNoTOTP
	ifTOTPStep
	ifRecoveryCode
	ifSignCount
	ifTokens
	ifPATs

	setsEmail
	setsEmailVerified
	setsPhone
	setsPhoneVerified
	setsDisabled
	setsAnonymous
	setsDisplayName
	setsAvatarURL
	setsLocale
	setsDefaultRole
	setsRoles
	setsMetadata
	setsPasswordHash
	setsTOTPSecret
	setsTOTPPending
	setsRecoveryCodes

	dropsSessions
	dropsPATs
	dropsSecurityKeys
	dropsIdentities
	dropsTickets
	dropsAllTickets

	addsPAT
	addsSession
	endsOthers
	addsTicket
	addsIdentity
	addsSecurityKey
	addsMessages

	usesPAT
	putsTokens
	renamesKey
	removesKey
	removesPAT
	removesIdentity
)

const (
	// readsOthers are the conditions on other tables than users.
	readsOthers = ifSession | ifTicket | ifNoSecurityKeys | ifSecurityKey | ifSignCount | ifTokens | ifPATs
	// takesAway are the parts that make the epoch grow, be there something to take away or not.
	takesAway = dropsSessions | dropsPATs | dropsSecurityKeys | dropsIdentities | dropsTickets | dropsAllTickets |
		removesKey | removesPAT | removesIdentity
)

// has says whether any of the parts is there.
func (sh shape) has(parts shape) bool { return sh&parts != 0 }

// subject is what a plan is carried out on.
type subject struct {
	change *store.UserChange
	user   *store.User // where it is a creation; then change says what comes with the user
	gone   bool        // where it is a deletion; then change says on what conditions, and what is written
	number int64       // of the change
}

func shapeOf(s *subject) shape {
	var sh shape
	c := s.change
	set, drop := &c.Set, &c.Drop
	for _, part := range [...]struct {
		shape
		there bool
	}{
		{isCreation, s.user != nil},
		{isDeletion, s.gone},
		{allowsDisabled, c.If.Disabled},
		{ifSession, c.If.Session != uuid.Nil},
		{ifTicket, c.Redeem != uuid.Nil},
		{ifEpoch, c.If.Epoch != 0},
		{ifAnonymous, c.If.Anonymous},
		{ifNoSecurityKeys, c.If.NoSecurityKeys},
		{ifSecurityKey, c.If.SecurityKey != uuid.Nil},
		{ifNoTOTP, c.If.NoTOTP},
		{ifTOTPStep, c.TOTPStep != 0},
		{ifRecoveryCode, len(c.RecoveryCode) > 0},
		{ifSignCount, c.UseKey != nil},
		{ifTokens, c.TakeTokens != nil},
		{ifPATs, c.PAT != nil && c.MaxPATs > 0},
		{setsEmail, set.Email != nil},
		{setsEmailVerified, set.EmailVerified != nil},
		{setsPhone, set.Phone != nil},
		{setsPhoneVerified, set.PhoneVerified != nil},
		{setsDisabled, set.Disabled != nil},
		{setsAnonymous, set.Anonymous != nil},
		{setsDisplayName, set.DisplayName != nil},
		{setsAvatarURL, set.AvatarURL != nil},
		{setsLocale, set.Locale != nil},
		{setsDefaultRole, set.DefaultRole != nil},
		{setsRoles, set.Roles != nil},
		{setsMetadata, set.Metadata != nil},
		{setsPasswordHash, set.PasswordHash != nil},
		{setsTOTPSecret, set.TOTPSecret != nil},
		{setsTOTPPending, set.TOTPPending != nil},
		{setsRecoveryCodes, set.RecoveryCodes != nil},
		{dropsSessions, drop.Sessions},
		{dropsPATs, drop.PATs},
		{dropsSecurityKeys, drop.SecurityKeys},
		{dropsIdentities, drop.Identities},
		{dropsTickets, len(drop.Tickets) > 0},
		{dropsAllTickets, drop.AllTickets},
		{addsPAT, c.PAT != nil},
		{addsSession, c.Session != nil},
		{endsOthers, c.Session != nil && c.MaxSessions > 0},
		{addsTicket, c.Ticket != nil},
		{addsIdentity, c.Identity != nil},
		{addsSecurityKey, c.SecurityKey != nil},
		{addsMessages, len(c.Messages) > 0},
		{usesPAT, c.UsePAT != uuid.Nil},
		{putsTokens, c.PutTokens != nil},
		{renamesKey, c.RenameKey != nil},
		{removesKey, c.RemoveKey != uuid.Nil},
		{removesPAT, c.RemovePAT != uuid.Nil},
		{removesIdentity, c.RemoveIdentity != store.IdentityKey{}},
	} {
		if part.there {
			sh |= part.shape
		}
	}
	return sh
}

// conditions are the conditions of a change in the order of the contract. Each is checked where one of its parts is
// there, except for the first, which is checked unless it is.
var conditions = []struct {
	condition store.Condition
	shape     shape
	unless    bool
	sql       string // about u, a user
}{
	{store.ConditionEnabled, allowsDisabled, true, `NOT u.disabled`},
	{store.ConditionSession, ifSession, false, `EXISTS (
		SELECT 1 FROM {schema}.sessions AS s WHERE s.id = @if_session AND s.user_id = u.id AND s.expires_at > @now
	)`},
	{store.ConditionTicket, ifTicket, false, `EXISTS (
		SELECT 1 FROM {schema}.tickets AS t
		WHERE t.id = @redeem AND (t.user_id = u.id OR t.user_id IS NULL) AND t.expires_at > @now
	)`},
	{store.ConditionEpoch, ifEpoch, false, `u.epoch = @epoch`},
	{store.ConditionAnonymous, ifAnonymous, false, `u.anonymous`},
	{store.ConditionNoSecurityKeys, ifNoSecurityKeys, false, `NOT EXISTS (
		SELECT 1 FROM {schema}.security_keys AS k WHERE k.user_id = u.id
	)`},
	{store.ConditionSecurityKey, ifSecurityKey, false, `EXISTS (
		SELECT 1 FROM {schema}.security_keys AS k WHERE k.id = @if_security_key AND k.user_id = u.id
	)`},
	{store.ConditionNoTOTP, ifNoTOTP, false, `coalesce(length(u.totp_secret), 0) = 0`},
	{store.ConditionTOTPStep, ifTOTPStep, false, `u.totp_step < @totp_step`},
	{store.ConditionRecoveryCode, ifRecoveryCode, false, `@recovery_code = ANY (u.recovery_codes)`},
	{store.ConditionSignCount, ifSignCount, false, `EXISTS (
		SELECT 1 FROM {schema}.security_keys AS k
		WHERE k.id = @use_key AND k.user_id = u.id AND k.sign_count = @was_sign_count
	)`},
	{store.ConditionTokens, ifTokens, false, `EXISTS (
		SELECT 1 FROM {schema}.identities AS i WHERE i.provider = @take_provider AND i.subject = @take_subject
		AND i.user_id = u.id AND i.tokens = @take_tokens
	)`},
	{store.ConditionPATs, ifPATs, false, `(
		SELECT count(*) FROM {schema}.pats AS p WHERE p.user_id = u.id AND p.expires_at > @now
	) < @max_pats`},
}

// identityUpsert updates an identity that the user has already. Another user's would be left without an owner, which NOT
// NULL forbids: that error, unlike an update that is left out, undoes the whole change.
const identityUpsert = `INSERT INTO {schema}.identities AS i
	(user_id, created_at, last_used_at, provider, subject, email, tokens)
	SELECT u.id, @i_created_at, @i_last_used_at, @i_provider, @i_subject, @i_email, @i_tokens FROM u
	ON CONFLICT (provider, subject) DO UPDATE SET
	user_id = CASE WHEN i.user_id = excluded.user_id THEN i.user_id END,
	last_used_at = excluded.last_used_at, email = excluded.email, tokens = excluded.tokens`

// part is what a change does to a table other than users, in the order in which it is done. The SQL takes the user from
// u.
type part struct {
	shape shape // it is done where any of these is there
	table string
	// complete parts must see all the rows of the user that there are.
	complete bool
	sql      func(shape) string
}

func always(sql string) func(shape) string { return func(shape) string { return sql } }

var parts = []part{
	{ifSignCount, "security_keys", true, always(`UPDATE {schema}.security_keys AS k SET
		sign_count = @sign_count, backup_state = @backup_state, user_verified = k.user_verified OR @user_verified,
		last_used_at = @now FROM u WHERE k.id = @use_key AND k.user_id = u.id`)},
	{ifTokens, "identities", true, always(`UPDATE {schema}.identities AS i SET tokens = NULL FROM u
		WHERE i.provider = @take_provider AND i.subject = @take_subject AND i.user_id = u.id`)},

	{dropsSessions | dropsPATs, "sessions", true, func(sh shape) string {
		var which []string
		if sh.has(dropsSessions) {
			which = append(which, "s.id IS DISTINCT FROM @keep_session")
		}
		if sh.has(dropsPATs) {
			which = append(which, "s.pat_id IS NOT NULL")
		}
		return `DELETE FROM {schema}.sessions AS s USING u WHERE s.user_id = u.id AND (` + strings.Join(which, " OR ") + `)`
	}},
	{dropsPATs, "pats", true, always(`DELETE FROM {schema}.pats AS p USING u WHERE p.user_id = u.id`)},
	{dropsSecurityKeys, "security_keys", true, always(
		`DELETE FROM {schema}.security_keys AS k USING u WHERE k.user_id = u.id`)},
	{dropsIdentities, "identities", true, always(`DELETE FROM {schema}.identities AS i USING u WHERE i.user_id = u.id`)},
	{dropsTickets | dropsAllTickets, "tickets", true, func(sh shape) string {
		sql := `DELETE FROM {schema}.tickets AS t USING u WHERE t.user_id = u.id`
		if !sh.has(dropsAllTickets) {
			sql += ` AND t.kind = ANY (@drop_tickets)`
		}
		return sql
	}},

	{addsPAT, "pats", false, always(`INSERT INTO {schema}.pats
		(id, user_id, created_at, expires_at, last_used_at, hash, scopes, metadata)
		SELECT @p_id, u.id, @p_created_at, @p_expires_at, @p_last_used_at, @p_hash, @p_scopes, @p_metadata FROM u`)},
	{addsSession, "sessions", false, always(`INSERT INTO {schema}.sessions
		(id, user_id, pat_id, created_at, rotated_at, auth_time, expires_at, ends_at, purge_at, generation, amr, client, address,
		scopes)
		SELECT @s_id, u.id, @s_pat_id, @s_created_at, @s_rotated_at, @s_auth_time, @s_expires_at, @s_ends_at, @s_expires_at,
		@s_generation, @s_amr, @s_client, @s_address, @s_scopes FROM u`)},
	{endsOthers, "sessions", true, always(`DELETE FROM {schema}.sessions WHERE id IN (
		SELECT s.id FROM {schema}.sessions AS s JOIN u ON u.id = s.user_id WHERE s.id <> @s_id AND s.expires_at > @now
		AND s.pat_id IS NOT DISTINCT FROM @s_pat_id ORDER BY s.rotated_at DESC OFFSET @other_sessions)`)},
	{addsTicket, "tickets", false, always(`INSERT INTO {schema}.tickets
		(id, user_id, created_at, expires_at, tries, kind, slot, hash, data)
		SELECT @t_id, u.id, @t_created_at, @t_expires_at, @t_tries, @t_kind, @t_slot, @t_hash, @t_data FROM u
		` + onSlotTaken)},
	{addsIdentity, "identities", false, always(identityUpsert)},
	{addsSecurityKey, "security_keys", false, always(`INSERT INTO {schema}.security_keys
		(id, user_id, aaguid, created_at, last_used_at, sign_count, backup_eligible, backup_state, user_verified,
		credential_id, public_key, user_handle, transports, attestation_format, attachment, nickname)
		SELECT @k_id, u.id, @k_aaguid, @k_created_at, @k_last_used_at, @k_sign_count, @k_backup_eligible, @k_backup_state,
		@k_user_verified, @k_credential_id, @k_public_key, @k_user_handle, @k_transports, @k_attestation_format,
		@k_attachment, @k_nickname FROM u`)},
	{addsMessages, "messages", false, always(`INSERT INTO {schema}.messages
		(id, created_at, next_at, attempts, dead, channel, body)
		SELECT m.* FROM u CROSS JOIN unnest(@m_ids, @m_created_at, @m_next_at, @m_attempts, @m_dead, @m_channels, @m_bodies) AS m`)},

	{usesPAT, "pats", false, always(
		`UPDATE {schema}.pats AS p SET last_used_at = @now FROM u WHERE p.id = @use_pat AND p.user_id = u.id`)},
	{putsTokens, "identities", true, always(`UPDATE {schema}.identities AS i SET tokens = @put_tokens FROM u
		WHERE i.provider = @put_provider AND i.subject = @put_subject AND i.user_id = u.id`)},
	{renamesKey, "security_keys", true, always(
		`UPDATE {schema}.security_keys AS k SET nickname = @nickname FROM u WHERE k.id = @rename_key AND k.user_id = u.id`)},
	{removesKey, "security_keys", true, always(
		`DELETE FROM {schema}.security_keys AS k USING u WHERE k.id = @remove_key AND k.user_id = u.id`)},
	{removesPAT, "sessions", true, always(
		`DELETE FROM {schema}.sessions AS s USING u WHERE s.pat_id = @remove_pat AND s.user_id = u.id`)},
	{removesPAT, "pats", true, always(
		`DELETE FROM {schema}.pats AS p USING u WHERE p.id = @remove_pat AND p.user_id = u.id`)},
	{removesIdentity, "identities", true, always(`DELETE FROM {schema}.identities AS i USING u
		WHERE i.provider = @remove_provider AND i.subject = @remove_subject AND i.user_id = u.id`)},
}

// plan is how changes of one shape are carried out.
type plan struct {
	steps  []step
	result int  // which of the steps returns the user as it is afterwards, if the conditions hold
	why    step // returns the first condition that does not hold
}

// step is a statement and what its parameters are.
type step struct {
	sql    string
	values []func(*subject) any
}

func (st *step) statement(s *subject) statement {
	args := make([]any, len(st.values))
	for i, value := range st.values {
		args[i] = value(s)
	}
	return statement{sql: st.sql, args: args}
}

// statements returns those that carry out the plan on s, which gets a number. The result is scanned by scan.
func (p *plan) statements(s *subject, scan func(pgx.Rows) error) []statement {
	s.number = rand.Int64()
	list := make([]statement, len(p.steps))
	for i := range p.steps {
		list[i] = p.steps[i].statement(s)
	}
	list[p.result].scan = scan
	return list
}

// plan returns the plan for a shape. There are as many as the engine has ways to change a user.
func (s *Store) plan(sh shape) *plan {
	if p, ok := s.plans.Load(sh); ok {
		return p.(*plan)
	}
	p := newPlan(sh, s.tables)
	s.plans.Store(sh, p)
	return p
}

func newPlan(sh shape, tables *strings.Replacer) *plan {
	// Which statement each part belongs to: the first that does not write to its table yet.
	writes := map[string]int{} // how often each table has been written to
	if sh.has(ifTicket) {
		writes["tickets"] = 1
	}
	lock := sh.has(readsOthers) && !sh.has(isCreation)
	var ctes [][]string
	for _, p := range parts {
		if !sh.has(p.shape) {
			continue
		}
		n := writes[p.table]
		writes[p.table]++
		lock = lock || n == 0 && p.complete
		for len(ctes) <= n {
			ctes = append(ctes, nil)
		}
		ctes[n] = append(ctes[n], p.sql(sh))
	}
	if len(ctes) == 0 {
		ctes = [][]string{nil}
	}

	var p plan
	add := func(sql string) { p.steps = append(p.steps, compile(tables.Replace(sql))) }
	if lock {
		strength := "NO KEY UPDATE"
		if sh.has(isDeletion) {
			strength = "UPDATE"
		}
		add(`SELECT u.id FROM {schema}.users AS u WHERE u.id = @user FOR ` + strength)
	}
	p.result = len(p.steps)
	for i, list := range ctes {
		var sql strings.Builder
		switch {
		case i > 0:
			sql.WriteString(`WITH u AS (SELECT u.id FROM {schema}.users AS u WHERE u.id = @user AND u.change = @number)`)
		case sh.has(isCreation):
			sql.WriteString(creation(sh))
		default:
			sql.WriteString(update(sh, len(ctes) > 1))
		}
		for j, cte := range list {
			sql.WriteString(", part" + strconv.Itoa(j) + " AS (" + cte + ")")
		}
		if i > 0 {
			sql.WriteString(" SELECT count(*) FROM u")
		} else {
			sql.WriteString(" SELECT " + userColumns + " FROM u")
		}
		add(sql.String())
	}
	p.why = compile(tables.Replace(explanation(sh)))
	return &p
}

// creation is the CTE u of a new user, and before it the deletion of the ticket that it needs.
func creation(sh shape) string {
	with, from := "WITH ", ""
	if sh.has(ifTicket) {
		with += `redeemed AS (
			DELETE FROM {schema}.tickets AS t WHERE t.id = @redeem AND t.user_id IS NULL AND t.expires_at > @now RETURNING t.id
		), `
		from = ` FROM redeemed`
	}
	return with + `u AS (
		INSERT INTO {schema}.users AS u (id, created_at, updated_at, last_seen_at, idle_since, epoch, totp_step, change,
		disabled, anonymous, email_verified, phone_verified, email, email_key, phone, display_name, avatar_url, locale,
		default_role, roles, metadata, password_hash, totp_secret, totp_pending, recovery_codes)
		SELECT @user, @u_created_at, @u_updated_at, @u_last_seen_at, @u_last_seen_at, 1, @u_totp_step, @number,
		@u_disabled, @u_anonymous, @u_email_verified, @u_phone_verified, @u_email, @u_email_key, @u_phone, @u_display_name,
		@u_avatar_url, @u_locale, @u_default_role, @u_roles, @u_metadata, @u_password_hash, @u_totp_secret, @u_totp_pending,
		@u_recovery_codes` + from + `
		RETURNING ` + userReturning + `
	)`
}

// update is the CTE u of a change or a deletion, and before it the CTEs for conditions on other tables.
func update(sh shape, numbered bool) string {
	where := []string{"u.id = @user"}
	for _, c := range conditions {
		// The session and the ticket need more than a look; see below.
		if sh.has(c.shape) != c.unless && c.shape != ifSession && c.shape != ifTicket {
			where = append(where, c.sql)
		}
	}
	change, from := `DELETE FROM {schema}.users AS u`, ` USING `
	if !sh.has(isDeletion) {
		set := assignments(sh)
		if numbered || len(set) == 0 {
			set = append(set, "change = @number")
		}
		change, from = `UPDATE {schema}.users AS u SET `+strings.Join(set, ", "), ` FROM `
	}
	if !sh.has(readsOthers) {
		return `WITH u AS (` + change + ` WHERE ` + strings.Join(where, " AND ") + ` RETURNING ` + userReturning + `)`
	}

	sql := `WITH met AS (SELECT u.id FROM {schema}.users AS u WHERE ` + strings.Join(where, " AND ") + `), `
	last := "met"
	if sh.has(ifSession) {
		sql += `held AS (
			SELECT s.id FROM {schema}.sessions AS s, ` + last + `
			WHERE s.id = @if_session AND s.user_id = @user AND s.expires_at > @now FOR KEY SHARE OF s
		), `
		last = "held"
	}
	if sh.has(ifTicket) {
		sql += `redeemed AS (
			DELETE FROM {schema}.tickets AS t USING ` + last + `
			WHERE t.id = @redeem AND (t.user_id = @user OR t.user_id IS NULL) AND t.expires_at > @now RETURNING t.id
		), `
		last = "redeemed"
	}
	return sql + `u AS (` + change + from + last + ` WHERE u.id = @user RETURNING ` + userReturning + `)`
}

// assignments are what a change sets of the user's own fields.
func assignments(sh shape) []string {
	var set []string
	for _, field := range []struct {
		shape shape
		sql   string
	}{
		{setsEmail, "email = @email, email_key = @email_key"},
		{setsEmailVerified, "email_verified = @email_verified"},
		{setsPhone, "phone = @phone"},
		{setsPhoneVerified, "phone_verified = @phone_verified"},
		{setsDisabled, "disabled = @disabled"},
		{setsAnonymous, "anonymous = @anonymous"},
		{setsDisplayName, "display_name = @display_name"},
		{setsAvatarURL, "avatar_url = @avatar_url"},
		{setsLocale, "locale = @locale"},
		{setsDefaultRole, "default_role = @default_role"},
		{setsRoles, "roles = @roles"},
		{setsMetadata, "metadata = @metadata"},
		{setsPasswordHash, "password_hash = @password_hash"},
		{setsTOTPSecret, "totp_secret = @totp_secret"},
		{setsTOTPPending, "totp_pending = @totp_pending"},
		{setsRecoveryCodes, "recovery_codes = @recovery_codes"},
	} {
		if sh.has(field.shape) {
			set = append(set, field.sql)
		}
	}
	if len(set) > 0 {
		set = append(set, "updated_at = @now")
	}
	if sh.has(ifTOTPStep) {
		set = append(set, "totp_step = @totp_step")
	}
	if sh.has(ifRecoveryCode) && !sh.has(setsRecoveryCodes) {
		set = append(set, "recovery_codes = array_remove(u.recovery_codes, @recovery_code)")
	}
	if sh.has(addsSession) {
		set = append(set, "last_seen_at = @now, idle_since = least(u.idle_since, @now)")
	}
	if sh.has(takesAway | setsDisabled) {
		set = append(set, "epoch = u.epoch + 1")
	}
	return set
}

// explanation is the query for the first condition that does not hold, which is empty where all do. It returns no row
// where there is no such user.
func explanation(sh shape) string {
	var sql strings.Builder
	sql.WriteString("SELECT CASE")
	for _, c := range conditions {
		if sh.has(c.shape) != c.unless {
			sql.WriteString(" WHEN NOT (" + c.sql + ") THEN '" + string(c.condition) + "'")
		}
	}
	sql.WriteString(" WHEN true THEN '' END FROM {schema}.users AS u WHERE u.id = @user")
	return sql.String()
}

var parameterName = regexp.MustCompile(`@[a-z_]+`)

// compile replaces the names of parameters in SQL by their numbers.
func compile(sql string) step {
	var st step
	numbers := map[string]string{}
	st.sql = parameterName.ReplaceAllStringFunc(sql, func(at string) string {
		name := at[1:]
		number, ok := numbers[name]
		if !ok {
			p := parameters[name]
			st.values = append(st.values, p.value)
			number = "$" + strconv.Itoa(len(st.values)) + "::" + p.kind
			numbers[name] = number
		}
		return number
	})
	return st
}

// ChangeUser implements [store.Store].
func (s *Store) ChangeUser(ctx context.Context, c store.UserChange) (store.User, error) {
	return s.carryOut(ctx, "change user", &subject{change: &c})
}

// DeleteUser implements [store.Store].
func (s *Store) DeleteUser(ctx context.Context, d store.UserDeletion) error {
	c := store.UserChange{UserID: d.UserID, Now: d.Now, If: d.If, Messages: d.Messages}
	_, err := s.carryOut(ctx, "delete user", &subject{change: &c, gone: true})
	return err
}

// carryOut carries out a change or a deletion, or finds out which condition it does not meet. It returns the user as the
// change left them, or as they were.
func (s *Store) carryOut(ctx context.Context, doing string, sub *subject) (store.User, error) {
	p := s.plan(shapeOf(sub))
	for range attempts {
		var u store.User
		done := false
		if err := s.run(ctx, write, p.statements(sub, scanUser(&u, &done))...); err != nil {
			return store.User{}, wrap(doing, err)
		}
		if done {
			return u, nil
		}

		found := false
		var unmet store.Condition
		why := p.why.statement(sub)
		why.scan = func(rows pgx.Rows) error {
			if found = rows.Next(); !found {
				return nil
			}
			return rows.Scan((*string)(&unmet))
		}
		if err := s.run(ctx, read, why); err != nil {
			return store.User{}, wrap(doing, err)
		}
		switch {
		case !found:
			return store.User{}, store.ErrNotFound
		case unmet != "":
			return store.User{}, store.ErrUnmet{Condition: unmet}
		}
		// What did not hold then does so now.
	}
	return store.User{}, wrap(doing, errUnsettled)
}

// parameter is a named parameter of a plan: its type in the database and what it is of a subject.
type parameter struct {
	kind  string
	value func(*subject) any
}

var parameters = map[string]parameter{
	"user":   {"uuid", func(s *subject) any { return ref(s.change.UserID) }},
	"now":    {"timestamptz", func(s *subject) any { return s.change.Now }},
	"number": {"bigint", func(s *subject) any { return s.number }},

	"if_session":      {"uuid", func(s *subject) any { return ref(s.change.If.Session) }},
	"if_security_key": {"uuid", func(s *subject) any { return ref(s.change.If.SecurityKey) }},
	"redeem":          {"uuid", func(s *subject) any { return ref(s.change.Redeem) }},
	"epoch":           {"bigint", func(s *subject) any { return s.change.If.Epoch }},
	"totp_step":       {"bigint", func(s *subject) any { return s.change.TOTPStep }},
	"recovery_code":   {"bytea", func(s *subject) any { return s.change.RecoveryCode }},
	"use_key":         {"uuid", func(s *subject) any { return ref(s.change.UseKey.ID) }},
	"was_sign_count":  {"bigint", func(s *subject) any { return int64(s.change.UseKey.WasSignCount) }},
	"sign_count":      {"bigint", func(s *subject) any { return int64(s.change.UseKey.SignCount) }},
	"backup_state":    {"boolean", func(s *subject) any { return s.change.UseKey.BackupState }},
	"user_verified":   {"boolean", func(s *subject) any { return s.change.UseKey.UserVerified }},
	"take_provider":   {"text", func(s *subject) any { return storedText(s.change.TakeTokens.Key.Provider) }},
	"take_subject":    {"text", func(s *subject) any { return storedText(s.change.TakeTokens.Key.Subject) }},
	"take_tokens":     {"bytea", func(s *subject) any { return array(s.change.TakeTokens.Tokens) }},
	"max_pats":        {"bigint", func(s *subject) any { return s.change.MaxPATs }},

	"email":          {"text", func(s *subject) any { return s.change.Set.Email.Typed }},
	"email_key":      {"text", func(s *subject) any { return text(s.change.Set.Email.Key) }},
	"email_verified": {"boolean", func(s *subject) any { return *s.change.Set.EmailVerified }},
	"phone":          {"text", func(s *subject) any { return text(*s.change.Set.Phone) }},
	"phone_verified": {"boolean", func(s *subject) any { return *s.change.Set.PhoneVerified }},
	"disabled":       {"boolean", func(s *subject) any { return *s.change.Set.Disabled }},
	"anonymous":      {"boolean", func(s *subject) any { return *s.change.Set.Anonymous }},
	"display_name":   {"text", func(s *subject) any { return *s.change.Set.DisplayName }},
	"avatar_url":     {"text", func(s *subject) any { return *s.change.Set.AvatarURL }},
	"locale":         {"text", func(s *subject) any { return *s.change.Set.Locale }},
	"default_role":   {"text", func(s *subject) any { return *s.change.Set.DefaultRole }},
	"roles":          {"text[]", func(s *subject) any { return full(s.change.Set.Roles) }},
	"metadata":       {"jsonb", func(s *subject) any { return document(s.change.Set.Metadata) }},
	"password_hash":  {"text", func(s *subject) any { return *s.change.Set.PasswordHash }},
	"totp_secret":    {"bytea", func(s *subject) any { return *s.change.Set.TOTPSecret }},
	"totp_pending":   {"bytea", func(s *subject) any { return *s.change.Set.TOTPPending }},
	"recovery_codes": {"bytea[]", func(s *subject) any { return fullAll(*s.change.Set.RecoveryCodes) }},

	"keep_session":    {"uuid", func(s *subject) any { return ref(s.change.Drop.KeepSession) }},
	"drop_tickets":    {"text[]", func(s *subject) any { return s.change.Drop.Tickets }},
	"other_sessions":  {"bigint", func(s *subject) any { return s.change.MaxSessions - 1 }},
	"use_pat":         {"uuid", func(s *subject) any { return ref(s.change.UsePAT) }},
	"put_provider":    {"text", func(s *subject) any { return storedText(s.change.PutTokens.Key.Provider) }},
	"put_subject":     {"text", func(s *subject) any { return storedText(s.change.PutTokens.Key.Subject) }},
	"put_tokens":      {"bytea", func(s *subject) any { return s.change.PutTokens.Tokens }},
	"rename_key":      {"uuid", func(s *subject) any { return ref(s.change.RenameKey.ID) }},
	"nickname":        {"text", func(s *subject) any { return s.change.RenameKey.Nickname }},
	"remove_key":      {"uuid", func(s *subject) any { return ref(s.change.RemoveKey) }},
	"remove_pat":      {"uuid", func(s *subject) any { return ref(s.change.RemovePAT) }},
	"remove_provider": {"text", func(s *subject) any { return storedText(s.change.RemoveIdentity.Provider) }},
	"remove_subject":  {"text", func(s *subject) any { return storedText(s.change.RemoveIdentity.Subject) }},

	"u_created_at":     {"timestamptz", func(s *subject) any { return s.user.CreatedAt }},
	"u_updated_at":     {"timestamptz", func(s *subject) any { return s.user.UpdatedAt }},
	"u_last_seen_at":   {"timestamptz", func(s *subject) any { return s.user.LastSeenAt }},
	"u_totp_step":      {"bigint", func(s *subject) any { return s.user.TOTPStep }},
	"u_disabled":       {"boolean", func(s *subject) any { return s.user.Disabled }},
	"u_anonymous":      {"boolean", func(s *subject) any { return s.user.Anonymous }},
	"u_email_verified": {"boolean", func(s *subject) any { return s.user.EmailVerified }},
	"u_phone_verified": {"boolean", func(s *subject) any { return s.user.PhoneVerified }},
	"u_email":          {"text", func(s *subject) any { return s.user.Email }},
	"u_email_key":      {"text", func(s *subject) any { return text(s.user.EmailKey) }},
	"u_phone":          {"text", func(s *subject) any { return text(s.user.Phone) }},
	"u_display_name":   {"text", func(s *subject) any { return s.user.DisplayName }},
	"u_avatar_url":     {"text", func(s *subject) any { return s.user.AvatarURL }},
	"u_locale":         {"text", func(s *subject) any { return s.user.Locale }},
	"u_default_role":   {"text", func(s *subject) any { return s.user.DefaultRole }},
	"u_roles":          {"text[]", func(s *subject) any { return full(s.user.Roles) }},
	"u_metadata":       {"jsonb", func(s *subject) any { return document(s.user.Metadata) }},
	"u_password_hash":  {"text", func(s *subject) any { return s.user.PasswordHash }},
	"u_totp_secret":    {"bytea", func(s *subject) any { return s.user.TOTPSecret }},
	"u_totp_pending":   {"bytea", func(s *subject) any { return s.user.TOTPPending }},
	"u_recovery_codes": {"bytea[]", func(s *subject) any { return fullAll(s.user.RecoveryCodes) }},

	"p_id":           {"uuid", func(s *subject) any { return ref(s.change.PAT.ID) }},
	"p_created_at":   {"timestamptz", func(s *subject) any { return s.change.PAT.CreatedAt }},
	"p_expires_at":   {"timestamptz", func(s *subject) any { return s.change.PAT.ExpiresAt }},
	"p_last_used_at": {"timestamptz", func(s *subject) any { return instant(s.change.PAT.LastUsedAt) }},
	"p_hash":         {"bytea", func(s *subject) any { return full(s.change.PAT.Hash) }},
	"p_scopes":       {"text[]", func(s *subject) any { return full(s.change.PAT.Scopes) }},
	"p_metadata":     {"jsonb", func(s *subject) any { return document(s.change.PAT.Metadata) }},

	"s_id":         {"uuid", func(s *subject) any { return ref(s.change.Session.ID) }},
	"s_pat_id":     {"uuid", func(s *subject) any { return ref(s.change.Session.PATID) }},
	"s_created_at": {"timestamptz", func(s *subject) any { return s.change.Session.CreatedAt }},
	"s_rotated_at": {"timestamptz", func(s *subject) any { return s.change.Session.RotatedAt }},
	"s_auth_time":  {"timestamptz", func(s *subject) any { return s.change.Session.AuthTime }},
	"s_expires_at": {"timestamptz", func(s *subject) any { return s.change.Session.ExpiresAt }},
	"s_ends_at":    {"timestamptz", func(s *subject) any { return s.change.Session.EndsAt }},
	"s_generation": {"bigint", func(s *subject) any { return int64(s.change.Session.Generation) }},
	"s_amr":        {"text[]", func(s *subject) any { return full(s.change.Session.AMR) }},
	"s_client":     {"text", func(s *subject) any { return s.change.Session.Client }},
	"s_address":    {"text", func(s *subject) any { return s.change.Session.Address }},
	"s_scopes":     {"text[]", func(s *subject) any { return array(s.change.Session.Scopes) }},

	"t_id":         {"uuid", func(s *subject) any { return ref(s.change.Ticket.ID) }},
	"t_created_at": {"timestamptz", func(s *subject) any { return s.change.Ticket.CreatedAt }},
	"t_expires_at": {"timestamptz", func(s *subject) any { return s.change.Ticket.ExpiresAt }},
	"t_tries":      {"bigint", func(s *subject) any { return int64(s.change.Ticket.Tries) }},
	"t_kind":       {"text", func(s *subject) any { return s.change.Ticket.Kind }},
	"t_slot":       {"text", func(s *subject) any { return s.change.Ticket.Slot }},
	"t_hash":       {"bytea", func(s *subject) any { return full(s.change.Ticket.Hash) }},
	"t_data":       {"bytea", func(s *subject) any { return s.change.Ticket.Data }},

	"i_created_at":   {"timestamptz", func(s *subject) any { return s.change.Identity.CreatedAt }},
	"i_last_used_at": {"timestamptz", func(s *subject) any { return instant(s.change.Identity.LastUsedAt) }},
	"i_provider":     {"text", func(s *subject) any { return s.change.Identity.Provider }},
	"i_subject":      {"text", func(s *subject) any { return s.change.Identity.Subject }},
	"i_email":        {"text", func(s *subject) any { return s.change.Identity.Email }},
	"i_tokens":       {"bytea", func(s *subject) any { return s.change.Identity.Tokens }},

	"k_id":                 {"uuid", func(s *subject) any { return ref(s.change.SecurityKey.ID) }},
	"k_aaguid":             {"uuid", func(s *subject) any { return ref(s.change.SecurityKey.AAGUID) }},
	"k_created_at":         {"timestamptz", func(s *subject) any { return s.change.SecurityKey.CreatedAt }},
	"k_last_used_at":       {"timestamptz", func(s *subject) any { return instant(s.change.SecurityKey.LastUsedAt) }},
	"k_sign_count":         {"bigint", func(s *subject) any { return int64(s.change.SecurityKey.SignCount) }},
	"k_backup_eligible":    {"boolean", func(s *subject) any { return s.change.SecurityKey.BackupEligible }},
	"k_backup_state":       {"boolean", func(s *subject) any { return s.change.SecurityKey.BackupState }},
	"k_user_verified":      {"boolean", func(s *subject) any { return s.change.SecurityKey.UserVerified }},
	"k_credential_id":      {"bytea", func(s *subject) any { return full(s.change.SecurityKey.CredentialID) }},
	"k_public_key":         {"bytea", func(s *subject) any { return full(s.change.SecurityKey.PublicKey) }},
	"k_user_handle":        {"bytea", func(s *subject) any { return full(s.change.SecurityKey.UserHandle) }},
	"k_transports":         {"text[]", func(s *subject) any { return full(s.change.SecurityKey.Transports) }},
	"k_attestation_format": {"text", func(s *subject) any { return s.change.SecurityKey.AttestationFormat }},
	"k_attachment":         {"text", func(s *subject) any { return s.change.SecurityKey.Attachment }},
	"k_nickname":           {"text", func(s *subject) any { return s.change.SecurityKey.Nickname }},

	"m_ids":        {"uuid[]", messages(func(m *store.Message) pgtype.UUID { return ref(m.ID) })},
	"m_created_at": {"timestamptz[]", messages(func(m *store.Message) time.Time { return m.CreatedAt })},
	"m_next_at":    {"timestamptz[]", messages(func(m *store.Message) time.Time { return m.NextAt })},
	"m_attempts":   {"bigint[]", messages(func(m *store.Message) int64 { return int64(m.Attempts) })},
	"m_dead":       {"boolean[]", messages(func(m *store.Message) bool { return m.Dead })},
	"m_channels":   {"text[]", messages(func(m *store.Message) string { return m.Channel })},
	"m_bodies":     {"bytea[]", messages(func(m *store.Message) []byte { return full(m.Body) })},
}

// messages returns the value of a parameter that has one field of all messages.
func messages[T any](field func(*store.Message) T) func(*subject) any {
	return func(s *subject) any { return column(s.change.Messages, field) }
}
