package main

import (
	"context"
	"database/sql"
	"errors"

	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/sqlitestore"
)

// sqliteDatabase uses the connections of the engine's store for its own tables.
type sqliteDatabase struct{ store *sqlitestore.Store }

func openSQLite(ctx context.Context, path string) (database, error) {
	s, err := sqlitestore.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	// One database, so a profile can refer to its user, and go when the user does.
	_, err = s.DB().ExecContext(ctx, `
		CREATE TABLE IF NOT EXISTS profiles (
			user_id BLOB NOT NULL PRIMARY KEY REFERENCES auth_users (id) ON DELETE CASCADE,
			name    TEXT NOT NULL,
			plan    TEXT NOT NULL
		) STRICT;
		CREATE TABLE IF NOT EXISTS invitations (code TEXT NOT NULL PRIMARY KEY, plan TEXT NOT NULL) STRICT`)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return sqliteDatabase{s}, nil
}

func (db sqliteDatabase) users() store.Store { return db.store }

func (db sqliteDatabase) close() error { return db.store.Close() }

func (db sqliteDatabase) createProfile(ctx context.Context, u *auth.User) error {
	tx, ok := sqlitestore.TxFrom(ctx)
	if !ok {
		return errors.New("the context carries no transaction")
	}
	// An interrupted write would be the end of the whole transaction; this one takes microseconds.
	_, err := tx.ExecContext(context.WithoutCancel(ctx),
		`INSERT INTO profiles (user_id, name, plan) VALUES (?, ?, 'free')`, u.ID[:], u.DisplayName)
	return err
}

// join has the database to itself from its beginning to its end, password hashing included: SQLite has one writer at a
// time. A service with many users has PostgreSQL.
func (db sqliteDatabase) join(ctx context.Context, invitation string, signUp func(context.Context) (uuid.UUID, error)) error {
	tx, err := db.store.DB().BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // nothing, after the commit
	var plan string
	err = tx.QueryRowContext(ctx, `DELETE FROM invitations WHERE code = ? RETURNING plan`, invitation).Scan(&plan)
	if errors.Is(err, sql.ErrNoRows) {
		return errNoInvitation
	}
	if err != nil {
		return err
	}
	user, err := signUp(sqlitestore.WithTx(ctx, tx))
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `UPDATE profiles SET plan = ? WHERE user_id = ?`, plan, user[:]); err != nil {
		return err
	}
	return tx.Commit()
}

func (db sqliteDatabase) invite(ctx context.Context, invitation, plan string) error {
	_, err := db.store.DB().ExecContext(ctx, `INSERT INTO invitations (code, plan) VALUES (?, ?)`, invitation, plan)
	return err
}

func (db sqliteDatabase) profile(ctx context.Context, user uuid.UUID) (p profile, err error) {
	err = db.store.DB().QueryRowContext(ctx, `SELECT name, plan FROM profiles WHERE user_id = ?`, user[:]).Scan(&p.Name, &p.Plan)
	return p, err
}
