package pgstore

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ostiary/auth/store"
)

// fields says which of the contract's unique fields a constraint is about. The hash of a token is not among them: two
// that are equal mean that something is broken.
var fields = map[string]store.Field{
	"users_pkey":                      store.FieldID,
	"users_email_key_key":             store.FieldEmail,
	"users_phone_key":                 store.FieldPhone,
	"identities_pkey":                 store.FieldIdentity,
	"security_keys_pkey":              store.FieldID,
	"security_keys_credential_id_key": store.FieldCredential,
	"pats_pkey":                       store.FieldID,
	"sessions_pkey":                   store.FieldID,
	"tickets_pkey":                    store.FieldID,
	"messages_pkey":                   store.FieldID,
	"signing_keys_pkey":               store.FieldID,
	"events_pkey":                     store.FieldID,
}

// wrap turns an error of the database into the contract's, where there is one, and says what was being done otherwise.
func wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		switch pgErr.Code {
		case "23505": // unique_violation
			if field, ok := fields[pgErr.ConstraintName]; ok {
				return store.ErrConflict{Field: field}
			}
		case "23502": // not_null_violation; see identityUpsert
			if pgErr.TableName == "identities" && pgErr.ColumnName == "user_id" {
				return store.ErrConflict{Field: store.FieldIdentity}
			}
		}
	}
	return fmt.Errorf("pgstore: %s: %w", doing, err)
}
