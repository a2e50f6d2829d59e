// Migrate brings the users of an nhost / hasura-auth database into the tables of the engine, as docs/migrating.md explains. From
// the root of the repository, with the secret of the service:
//
//	AUTH_SECRET=… go run ./examples/migrate -from postgres://…/old -to postgres://…/new
//
// It writes nothing where it reads. Whoever is there already, by their id, is left as they are: run it again for those who have
// come since.
package main

import (
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/store/pgstore"
)

func main() {
	from := flag.String("from", "", "`URL` of the database with nhost's tables")
	fromSchema := flag.String("from-schema", "auth", "`schema` of nhost's tables")
	to := flag.String("to", "", "`URL` of the service's database")
	schema := flag.String("schema", pgstore.DefaultSchema, "`schema` of the engine's tables; not auth where both are in one database")
	locales := flag.String("locales", "en", "the `languages` of Locales.Allowed, with commas between; the first one is the default")
	flag.Parse()
	secret, err := hex.DecodeString(os.Getenv("AUTH_SECRET"))
	if err != nil {
		log.Fatal("AUTH_SECRET: ", err)
	}
	if err := run(context.Background(), *from, *fromSchema, *to, *schema, strings.Split(*locales, ","), secret); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, from, fromSchema, to, schema string, locales []string, secret auth.Secret) error {
	config, err := pgxpool.ParseConfig(from)
	if err != nil {
		return err
	}
	config.ConnConfig.RuntimeParams["search_path"] = fromSchema
	source, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := pgxpool.New(ctx, to)
	if err != nil {
		return err
	}
	defer target.Close()
	if err := pgstore.Migrate(ctx, target, pgstore.Schema(schema)); err != nil {
		return err
	}
	store, err := pgstore.New(target, pgstore.Schema(schema))
	if err != nil {
		return err
	}
	engine, err := auth.New(store, auth.Config{
		ServerURL: "https://service.invalid", // no letter is sent
		ClientURL: "https://service.invalid",
		Secret:    secret, // of the service: it opens what is sealed here
		Email:     auth.EmailConfig{AllowUnverified: true},
		Locales:   auth.LocalesConfig{Default: locales[0], Allowed: locales},
	})
	if err != nil {
		return err
	}
	brought, there, err := migrate(ctx, source, engine)
	fmt.Printf("%d users brought over, %d were there\n", brought, there)
	return err
}

// everybody is read as it stands. An active second factor other than an app, and guests, stay behind.
const everybody = `
	SELECT u.id, u.created_at, u.disabled,
		coalesce(u.email::text, ''), u.email_verified, coalesce(u.phone_number, ''), u.phone_number_verified,
		coalesce(u.password_hash, ''), CASE WHEN u.active_mfa_type = 'totp' THEN coalesce(u.totp_secret, '') ELSE '' END,
		u.display_name, u.avatar_url, u.locale, u.metadata, u.default_role,
		array(SELECT r.role FROM user_roles r WHERE r.user_id = u.id ORDER BY r.role),
		array(SELECT p.provider_id FROM user_providers p WHERE p.user_id = u.id ORDER BY p.id),
		array(SELECT p.provider_user_id FROM user_providers p WHERE p.user_id = u.id ORDER BY p.id)
	FROM users u WHERE NOT u.is_anonymous ORDER BY u.created_at`

// migrate imports everybody who is not there yet. Who cannot be imported is named in the error, and keeps nobody else.
func migrate(ctx context.Context, source *pgxpool.Pool, engine *auth.Engine) (brought, there int, err error) {
	rows, err := source.Query(ctx, everybody)
	if err != nil {
		return 0, 0, err
	}
	defer rows.Close()
	var failures []error
	for rows.Next() {
		var p auth.ImportUserParams
		var providers, subjects []string
		err := rows.Scan(
			&p.ID, &p.CreatedAt, &p.Disabled,
			&p.Email, &p.EmailVerified, &p.Phone, &p.PhoneVerified,
			&p.PasswordHash, &p.TOTPSecret,
			&p.Options.DisplayName, &p.AvatarURL, &p.Options.Locale, (*[]byte)(&p.Options.Metadata), &p.Options.DefaultRole,
			&p.Options.AllowedRoles,
			&providers, &subjects,
		)
		if err != nil {
			return brought, there, err
		}
		for i := range providers {
			p.Identities = append(p.Identities, auth.ImportIdentity{Provider: providers[i], Subject: subjects[i]})
		}
		switch _, err := engine.FindUser(ctx, auth.UserBy{ID: p.ID}); {
		case err == nil:
			there++
			continue
		case !errors.Is(err, auth.ErrNotFound):
			return brought, there, err
		}
		if _, err := engine.ImportUser(ctx, p); err != nil {
			failures = append(failures, fmt.Errorf("user %s: %w", p.ID, err))
			continue
		}
		brought++
	}
	return brought, there, errors.Join(append(failures, rows.Err())...)
}
