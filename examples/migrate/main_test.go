package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/pgstore"
)

// nhost is what matters of the schema of hasura-auth, with the users that one may have.
const nhost = `
	CREATE TABLE users (
		id uuid PRIMARY KEY DEFAULT gen_random_uuid(), created_at timestamptz NOT NULL DEFAULT now(), disabled bool NOT NULL DEFAULT false,
		display_name text NOT NULL DEFAULT '', avatar_url text NOT NULL DEFAULT '', locale varchar(2) NOT NULL,
		email text UNIQUE, phone_number text UNIQUE, password_hash text, email_verified bool NOT NULL DEFAULT false,
		phone_number_verified bool NOT NULL DEFAULT false, default_role text NOT NULL DEFAULT 'user',
		is_anonymous bool NOT NULL DEFAULT false, totp_secret text, active_mfa_type text, metadata jsonb);
	CREATE TABLE user_roles (user_id uuid NOT NULL REFERENCES users, role text NOT NULL);
	CREATE TABLE user_providers (
		id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES users,
		provider_id text NOT NULL, provider_user_id text NOT NULL);
	INSERT INTO users
		(id, created_at, disabled, display_name, locale, email, password_hash, email_verified, default_role, totp_secret, active_mfa_type, metadata)
	VALUES
		('00000000-0000-4000-8000-000000000001', '2020-02-02T02:02:02Z', false, 'Ada', 'fr', 'Ada@example.com',
			'$2b$04$3l16gQS7W54bdRbL4k88TuV0/ltMrp14YuMmC0XiWcIEKMALNwnrO', true, 'editor', 'JBSWY3DPEHPK3PXP', 'totp', '{"plan": "pro"}'),
		('00000000-0000-4000-8000-000000000002', now(), true, '', 'en', 'bob@example.com', NULL, false, 'user', 'JBSWY3DPEHPK3PXP', NULL, NULL),
		('00000000-0000-4000-8000-000000000003', now(), false, '', 'en', 'broken@example.com', 'not a hash', true, 'user', NULL, NULL, NULL);
	INSERT INTO users (is_anonymous, locale, default_role) VALUES (true, 'en', 'anonymous');
	INSERT INTO user_roles SELECT id, r FROM users, unnest(array['user', 'editor']) r;
	INSERT INTO user_providers (user_id, provider_id, provider_user_id) VALUES
		('00000000-0000-4000-8000-000000000001', 'github', '1'), ('00000000-0000-4000-8000-000000000001', 'google', '2');`

// connect opens a pool with the name of a schema that is dropped after the test. It skips the test where there is no server, except
// in CI, where that is a failure.
func connect(t *testing.T) (pool *pgxpool.Pool, dsn, schema string) {
	t.Helper()
	dsn = os.Getenv("AUTH_TEST_POSTGRES")
	if dsn == "" {
		dsn = "postgres://postgres@127.0.0.1:5432/test"
	}
	pool, err := pgxpool.New(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := pool.Ping(ctx); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no PostgreSQL: %v", err)
		}
		t.Skipf("no PostgreSQL, set AUTH_TEST_POSTGRES: %v", err)
	}
	schema = fmt.Sprintf("auth_migrate_%016x", rand.Uint64())
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		for _, name := range []string{schema, schema + "_old"} {
			if _, err := pool.Exec(ctx, "DROP SCHEMA IF EXISTS "+name+" CASCADE"); err != nil {
				t.Errorf("drop the schema: %v", err)
			}
		}
	})
	return pool, dsn, schema
}

func TestUsersOfNhostAreWhoTheyWere(t *testing.T) {
	t.Parallel()
	pool, dsn, schema := connect(t)
	old := schema + "_old"
	if _, err := pool.Exec(t.Context(), "CREATE SCHEMA "+old+"; SET LOCAL search_path = "+old+";"+nhost); err != nil {
		t.Fatal(err)
	}

	secret := make(auth.Secret, 32)
	err := run(t.Context(), dsn, old, dsn, schema, []string{"en", "fr"}, secret)
	if err == nil || !strings.Contains(err.Error(), "000000000003: invalid-request: the password hash cannot be used") ||
		strings.Count(err.Error(), "user ") != 1 {
		t.Errorf("who cannot be imported: %v", err)
	}
	s, err := pgstore.New(pool, pgstore.Schema(schema))
	if err != nil {
		t.Fatal(err)
	}
	e := authtest.NewWithStore(t, s, func(c *auth.Config) { c.Secret, c.MFA = secret, &auth.MFAConfig{} })
	users, err := e.ListUsers(t.Context(), uuid.Nil, 10)
	if err != nil || len(users) != 2 {
		t.Fatalf("%d users, %v; want Ada and Bob", len(users), err)
	}
	if bob := users[1]; !bob.Disabled || bob.ActiveMFAType != nil || bob.EmailVerified {
		t.Errorf("Bob is %+v", bob)
	}
	ada, err := s.User(t.Context(), store.UserQuery{Identity: store.IdentityKey{Provider: "google", Subject: "2"}, With: store.WithIdentities})
	if err != nil || len(ada.Identities) != 2 || ada.Locale != "fr" || ada.DefaultRole != "editor" || ada.CreatedAt.Year() != 2020 {
		t.Errorf("Ada is %+v, %v", ada, err)
	}

	in, err := e.SignInPassword(t.Context(), auth.SignInPasswordParams{Email: "ada@example.com", Password: "correct horse"})
	if err != nil || in.MFA == nil {
		t.Fatalf("sign in: %v, second factor %v", err, in)
	}
	in, err = e.VerifyMFA(t.Context(), auth.VerifyMFAParams{Ticket: in.MFA.Ticket, OTP: authtest.TOTPCode(t, "JBSWY3DPEHPK3PXP", e.Clock.Now())})
	if err != nil || in.Session.User.ID != ada.ID {
		t.Errorf("sign in: %v", err)
	}

	// A second run finds them, and leaves them alone.
	if err := run(t.Context(), dsn, old, dsn, schema, []string{"en"}, secret); err == nil || strings.Count(err.Error(), "user ") != 1 {
		t.Errorf("run again: %v", err)
	}
	if again, err := e.FindUser(t.Context(), auth.UserBy{ID: ada.ID}); err != nil || again.Locale != "fr" {
		t.Errorf("Ada is %+v, %v", again, err)
	}
}
