// Gopkgz is go-pkgz/auth behind HTTP, as a program to be measured.
//
// It keeps no users: whoever uses it does, and checks passwords for its "direct" provider. Here that is one SELECT and one
// comparison. There is no sign-up, therefore, and POST /prepare, which is not measured, takes its place. Sessions are JSON Web
// Tokens in cookies, signed with HS256, and protected against requests from other sites as they are by default. Avatars are
// off.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/alexedwards/argon2id"
	"github.com/go-pkgz/auth/v2"
	"github.com/go-pkgz/auth/v2/avatar"
	"github.com/go-pkgz/auth/v2/provider"
	"github.com/go-pkgz/auth/v2/token"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/crypto/bcrypt"

	"github.com/ostiary/auth/bench/internal/server"
)

// expired is the variant in which tokens are as good as expired when they are made, so that each use renews one.
const expired = "expired"

func main() { server.Main(create) }

const table = `CREATE TABLE IF NOT EXISTS users (name text PRIMARY KEY, password_hash text NOT NULL)`

func create(ctx context.Context, s server.Settings, base string) (*http.Server, error) {
	pool, err := s.Connect(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := pool.Exec(ctx, table); err != nil {
		return nil, err
	}
	u := users{pool: pool, hasher: hasherOf(s.Hash)}
	options := auth.Opts{
		SecretReader: token.SecretFunc(func(string) (string, error) { return s.Secret, nil }),
		URL:          base,
		AvatarStore:  avatar.NewNoOp(),
	}
	if s.Variant == expired {
		options.TokenDuration = time.Nanosecond // expiry is in whole seconds
	}
	service := auth.NewService(options)
	service.AddDirectProvider("local", provider.CredCheckerFunc(u.check))
	routes, _ := service.Handlers()
	middleware := service.Middleware()
	mux := http.NewServeMux()
	mux.Handle("/auth/", routes)
	mux.Handle("GET /verify", middleware.Auth(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, err := token.GetUserInfo(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]string{"id": user.ID}) //nolint:errcheck // the client would see it
	})))
	mux.HandleFunc("POST /prepare", u.prepare)
	return &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}, nil
}

// hasher makes and checks hashes of passwords.
type hasher struct {
	make  func(password string) (string, error)
	check func(hash, password string) (bool, error)
}

func hasherOf(kind string) hasher {
	if kind == server.HashEqual {
		p := &argon2id.Params{Memory: 19 << 10, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}
		return hasher{
			func(password string) (string, error) { return argon2id.CreateHash(password, p) },
			func(hash, password string) (bool, error) { return argon2id.ComparePasswordAndHash(password, hash) },
		}
	}
	return hasher{
		func(password string) (string, error) {
			hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
			return string(hash), err
		},
		func(hash, password string) (bool, error) {
			err := bcrypt.CompareHashAndPassword([]byte(hash), []byte(password))
			if errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
				return false, nil
			}
			return err == nil, err
		},
	}
}

// users are the service's own.
type users struct {
	pool *pgxpool.Pool
	hasher
}

// check is a credentials checker, which is given no context.
func (u users) check(name, password string) (bool, error) {
	var hash string
	err := u.pool.QueryRow(context.Background(), "SELECT password_hash FROM users WHERE name = $1", name).Scan(&hash)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return false, nil
	case err != nil:
		return false, err
	}
	return u.hasher.check(hash, password)
}

// prepare makes a user.
func (u users) prepare(w http.ResponseWriter, r *http.Request) {
	err := func() error {
		var body struct{ User, Passwd string }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			return err
		}
		hash, err := u.make(body.Passwd)
		if err != nil {
			return err
		}
		_, err = u.pool.Exec(r.Context(), "INSERT INTO users (name, password_hash) VALUES ($1, $2)", body.User, hash)
		return err
	}()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
