package main

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/volatiletech/authboss/v3"
)

const tables = `
CREATE TABLE IF NOT EXISTS users (email text PRIMARY KEY, password text NOT NULL);
CREATE TABLE IF NOT EXISTS remember_tokens (
	token text PRIMARY KEY,
	email text NOT NULL REFERENCES users ON DELETE CASCADE
);
CREATE INDEX IF NOT EXISTS remember_tokens_email_idx ON remember_tokens (email)`

type user struct{ email, password string }

func (u *user) GetPID() string              { return u.email }
func (u *user) PutPID(pid string)           { u.email = pid }
func (u *user) GetPassword() string         { return u.password }
func (u *user) PutPassword(password string) { u.password = password }

// storer keeps users and the tokens to remember them by: each method is one statement.
type storer struct{ pool *pgxpool.Pool }

var (
	_ authboss.CreatingServerStorer    = storer{}
	_ authboss.RememberingServerStorer = storer{}
)

func (s storer) New(context.Context) authboss.User { return &user{} }

func (s storer) Load(ctx context.Context, key string) (authboss.User, error) {
	u := &user{email: key}
	err := s.pool.QueryRow(ctx, "SELECT password FROM users WHERE email = $1", key).Scan(&u.password)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, authboss.ErrUserNotFound
	}
	return u, err
}

func (s storer) Save(ctx context.Context, v authboss.User) error {
	u := v.(*user)
	return s.affect(ctx, authboss.ErrUserNotFound, "UPDATE users SET password = $2 WHERE email = $1", u.email, u.password)
}

func (s storer) Create(ctx context.Context, v authboss.User) error {
	u := v.(*user)
	_, err := s.pool.Exec(ctx, "INSERT INTO users (email, password) VALUES ($1, $2)", u.email, u.password)
	var fault *pgconn.PgError
	if errors.As(err, &fault) && fault.Code == "23505" { // unique_violation
		return authboss.ErrUserFound
	}
	return err
}

func (s storer) AddRememberToken(ctx context.Context, pid, token string) error {
	_, err := s.pool.Exec(ctx, "INSERT INTO remember_tokens (token, email) VALUES ($1, $2)", token, pid)
	return err
}

func (s storer) DelRememberTokens(ctx context.Context, pid string) error {
	_, err := s.pool.Exec(ctx, "DELETE FROM remember_tokens WHERE email = $1", pid)
	return err
}

func (s storer) UseRememberToken(ctx context.Context, pid, token string) error {
	return s.affect(ctx, authboss.ErrTokenNotFound, "DELETE FROM remember_tokens WHERE token = $1 AND email = $2", token, pid)
}

// affect runs a statement that must affect a row.
func (s storer) affect(ctx context.Context, otherwise error, sql string, args ...any) error {
	tag, err := s.pool.Exec(ctx, sql, args...)
	if err == nil && tag.RowsAffected() == 0 {
		return otherwise
	}
	return err
}
