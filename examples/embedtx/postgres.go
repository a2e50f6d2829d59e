package main

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/pgstore"
)

// postgresDatabase shares its pool with the engine's store.
type postgresDatabase struct {
	pool  *pgxpool.Pool
	store *pgstore.Store
}

// openPostgres opens a database in which the engine's tables are in a schema of their own, and the service's where the
// search path leads.
func openPostgres(ctx context.Context, url, schema string) (_ database, err error) {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			pool.Close()
		}
	}()
	if err := pgstore.Migrate(ctx, pool, pgstore.Schema(schema)); err != nil {
		return nil, err
	}
	s, err := pgstore.New(pool, pgstore.Schema(schema))
	if err != nil {
		return nil, err
	}
	// One database, so a profile can refer to its user, and go when the user does.
	_, err = pool.Exec(ctx, `
		CREATE TABLE IF NOT EXISTS profiles (
			user_id uuid PRIMARY KEY REFERENCES `+pgx.Identifier{schema, "users"}.Sanitize()+` (id) ON DELETE CASCADE,
			name    text NOT NULL,
			plan    text NOT NULL
		);
		CREATE TABLE IF NOT EXISTS invitations (code text PRIMARY KEY, plan text NOT NULL)`)
	if err != nil {
		return nil, err
	}
	return postgresDatabase{pool, s}, nil
}

func (db postgresDatabase) users() store.Store { return db.store }

func (db postgresDatabase) close() error {
	db.pool.Close()
	return nil
}

func (db postgresDatabase) createProfile(ctx context.Context, u *auth.User) error {
	tx, ok := pgstore.TxFrom(ctx)
	if !ok {
		return errors.New("the context carries no transaction")
	}
	_, err := tx.Exec(ctx, `INSERT INTO profiles (user_id, name, plan) VALUES ($1, $2, 'free')`, u.ID, u.DisplayName)
	return err
}

func (db postgresDatabase) join(ctx context.Context, invitation string, signUp func(context.Context) (uuid.UUID, error)) error {
	return pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error {
		var plan string
		err := tx.QueryRow(ctx, `DELETE FROM invitations WHERE code = $1 RETURNING plan`, invitation).Scan(&plan)
		if errors.Is(err, pgx.ErrNoRows) {
			return errNoInvitation
		}
		if err != nil {
			return err
		}
		user, err := signUp(pgstore.WithTx(ctx, tx))
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE profiles SET plan = $1 WHERE user_id = $2`, plan, user)
		return err
	})
}

func (db postgresDatabase) invite(ctx context.Context, invitation, plan string) error {
	_, err := db.pool.Exec(ctx, `INSERT INTO invitations (code, plan) VALUES ($1, $2)`, invitation, plan)
	return err
}

func (db postgresDatabase) profile(ctx context.Context, user uuid.UUID) (p profile, err error) {
	err = db.pool.QueryRow(ctx, `SELECT name, plan FROM profiles WHERE user_id = $1`, user).Scan(&p.Name, &p.Plan)
	return p, err
}
