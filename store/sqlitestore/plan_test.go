package sqlitestore

import (
	"database/sql"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// plan returns how SQLite goes about a statement, a line for each step.
func plan(t *testing.T, db *sql.DB, text string) []string {
	t.Helper()
	// What the values are does not change a plan.
	args := make([]any, strings.Count(text, "?"))
	for i := range args {
		args[i] = 1
	}
	rows, err := db.Query("EXPLAIN QUERY PLAN "+text, args...)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	defer rows.Close()
	var steps []string
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, detail)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return steps
}

func planned(t *testing.T) *sql.DB {
	t.Helper()
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "auth.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s.DB()
}

func TestNoStatementReadsAWholeTable(t *testing.T) {
	t.Parallel()
	db := planned(t)
	allowed := map[statement][]string{
		ping:               {"SCAN auth_users"}, // until the first row
		lock:               {"SCAN auth_users"}, // no row
		signingKeys:        {"SCAN auth_signing_keys", "USE TEMP B-TREE FOR ORDER BY"},
		hasSigningKeySince: {"SCAN auth_signing_keys"}, // a handful
		purgeSigningKeys:   {"SCAN auth_signing_keys"},
		dueMessages:        {"SCAN json_each"}, // the channels that are left out, a handful
		dueMessagesOf:      {"SEARCH auth_messages USING INDEX auth_messages_due (channel=?)", "USE TEMP B-TREE FOR LAST TERM OF ORDER BY"},
		countMessages: { // what there is in the outbox, without its bodies
			"SCAN auth_messages USING COVERING INDEX auth_messages_due",
			"SCAN auth_messages USING COVERING INDEX auth_messages_dead",
			"SCAN live", // one row
		},
	}
	for st := range statements {
		text := st.text("auth_")
		if strings.HasPrefix(text, "INSERT") {
			continue
		}
		steps := plan(t, db, text)
		if len(steps) == 0 {
			t.Errorf("%s: there is no plan", text)
		}
		for _, step := range steps {
			// A scan of an index in its order that stops at the limit is not one of the table.
			inOrder := strings.Contains(step, "USING INDEX") && strings.Contains(text, "LIMIT")
			if strings.HasPrefix(step, "SCAN") && !inOrder && !slices.ContainsFunc(allowed[st], func(s string) bool { return strings.HasPrefix(step, s) }) {
				t.Errorf("%s:\n%s", text, strings.Join(steps, "\n"))
			}
		}
	}
}

func TestTheHotStatementsUseTheirIndexes(t *testing.T) {
	t.Parallel()
	db := planned(t)
	for st, want := range map[statement][]string{
		userByID:         {"SEARCH auth_users USING INDEX sqlite_autoindex_auth_users_1 (id=?)"},
		userByEmail:      {"SEARCH auth_users USING INDEX auth_users_email_key (email_key=?)"},
		userByPhone:      {"SEARCH auth_users USING INDEX auth_users_phone (phone=?)"},
		userBySession:    {"SEARCH r USING PRIMARY KEY (id=?)", "SEARCH u USING INDEX sqlite_autoindex_auth_users_1 (id=?)"},
		sessionAndUser:   {"SEARCH r USING PRIMARY KEY (id=?)", "SEARCH u USING INDEX sqlite_autoindex_auth_users_1 (id=?)"},
		userByPAT:        {"SEARCH r USING INDEX sqlite_autoindex_auth_pats_2 (hash=?)", "SEARCH u USING INDEX sqlite_autoindex_auth_users_1 (id=?)"},
		userByIdentity:   {"SEARCH r USING INDEX sqlite_autoindex_auth_identities_1 (provider=? AND subject=?)", "SEARCH u USING INDEX sqlite_autoindex_auth_users_1 (id=?)"},
		setTokens:        {"SEARCH auth_identities USING INDEX sqlite_autoindex_auth_identities_1 (provider=? AND subject=?)"},
		hasTokens:        {"SEARCH auth_identities USING INDEX sqlite_autoindex_auth_identities_1 (provider=? AND subject=?)"},
		userByCredential: {"SEARCH r USING INDEX sqlite_autoindex_auth_security_keys_2 (credential_id=?)", "SEARCH u USING INDEX sqlite_autoindex_auth_users_1 (id=?)"},
		rotateSession:    {"SEARCH auth_sessions USING PRIMARY KEY (id=?)"},
		sessionsOf:       {"SEARCH auth_sessions USING INDEX auth_sessions_user_id (user_id=?)", "USE TEMP B-TREE FOR ORDER BY"},
		ticketBySecret:   {"SEARCH auth_tickets USING INDEX auth_tickets_hash (kind=? AND hash=?)"},
		ticketsOf:        {"SEARCH auth_tickets USING INDEX auth_tickets_user_id (user_id=? AND kind=?)"},
		clearSlot:        {"SEARCH auth_tickets USING INDEX sqlite_autoindex_auth_tickets_2 (kind=? AND slot=?)"},
		dueMessagesOf:    {"SEARCH auth_messages USING INDEX auth_messages_due (channel=?)", "USE TEMP B-TREE FOR LAST TERM OF ORDER BY"},
		eventsOfUser:     {"SEARCH auth_events USING INDEX auth_events_user_id (user_id=? AND at>? AND at<?)"},
		eventsOfType:     {"SEARCH auth_events USING INDEX auth_events_type (type=? AND at>? AND at<?)"},
		events:           {"SEARCH auth_events USING INDEX auth_events_at (at>? AND at<?)"},
		trailFrom:        {"SEARCH auth_events USING INTEGER PRIMARY KEY (rowid>?)"},
		moveHead:         {"SEARCH auth_trail USING INTEGER PRIMARY KEY (rowid=?)"},
		usersAfter:       {"SEARCH auth_users USING INDEX sqlite_autoindex_auth_users_1 (id>?)"},
		purgeSessions:    {"SEARCH auth_sessions USING PRIMARY KEY (id=?)", "LIST SUBQUERY 1", "SEARCH auth_sessions USING COVERING INDEX auth_sessions_expires_at (expires_at<?)"},
		purgeAnonymous:   {"SEARCH auth_users USING INTEGER PRIMARY KEY (rowid=?)", "LIST SUBQUERY 1", "SEARCH auth_users USING COVERING INDEX auth_users_anonymous (last_seen_at<?)"},
		userByIdentityOrEmail: {
			"SEARCH auth_users USING INDEX sqlite_autoindex_auth_users_1 (id=?)",
			"SCALAR SUBQUERY 1", "SEARCH auth_identities USING INDEX sqlite_autoindex_auth_identities_1 (provider=? AND subject=?)",
			"SCALAR SUBQUERY 2", "SEARCH auth_users USING INDEX auth_users_email_key (email_key=?)",
		},
	} {
		got := plan(t, db, st.text("auth_"))
		// What follows is what goes along with a row.
		if len(got) < len(want) || !slices.Equal(got[:len(want)], want) {
			t.Errorf("%s:\ngot  %q\nwant %q", st.text("auth_"), got, want)
		}
	}
}

// Without one, the deletion of a row reads the whole table that refers to it.
func TestEveryForeignKeyIsIndexed(t *testing.T) {
	t.Parallel()
	db := planned(t)
	rows, err := db.Query(`SELECT m.name, f."from" FROM sqlite_schema m, pragma_foreign_key_list(m.name) f WHERE m.type = 'table'`)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]string{"auth_sessions": "pat_id"} // the trigger's
	for rows.Next() {
		var table, column string
		if err := rows.Scan(&table, &column); err != nil {
			t.Fatal(err)
		}
		if column != "user_id" {
			t.Errorf("%s.%s is a foreign key unknown to the test", table, column)
		}
		keys[table+" "] = column
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if len(keys) != 6 {
		t.Errorf("there are %d foreign keys, want 6", len(keys))
	}
	for table, column := range keys {
		steps := plan(t, db, "DELETE FROM "+table+" WHERE "+column+" = ?")
		if len(steps) != 1 || !strings.Contains(steps[0], "INDEX "+strings.TrimSpace(table)+"_"+column+" ") {
			t.Errorf("%s.%s has no index: %q", table, column, steps)
		}
	}
}

var placeholder = regexp.MustCompile(`[{}]`)

func TestStatementsAreComplete(t *testing.T) {
	t.Parallel()
	for st := range statements {
		if st.String() == "" || st.text("auth_") == "" || placeholder.MatchString(st.text("auth_")) {
			t.Errorf("statement %d is %q: %q", st, st, st.text("auth_"))
		}
	}
}
