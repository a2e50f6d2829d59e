package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/sqlitestore"
)

// keep is where users and sessions are kept, with the secret that belongs to them.
type keep struct {
	store  store.Store
	secret auth.Secret
	where  string // for a person
	close  func() error
}

// open opens a database file and the secret beside it and makes what is missing, or a new memory if the path is empty.
func open(ctx context.Context, path string) (keep, error) {
	if path == "" || path == sqlitestore.Memory {
		return keep{
			store: memstore.New(), secret: newSecret(), close: func() error { return nil },
			where: "Users and sessions are kept in memory and end with this program.",
		}, nil
	}
	beside := path + ".secret"
	secret, err := loadSecret(beside)
	if err != nil {
		return keep{}, fmt.Errorf("the secret in %s: %w", beside, err)
	}
	s, err := sqlitestore.Open(ctx, path)
	if err != nil {
		return keep{}, err
	}
	return keep{
		store: s, secret: secret, close: s.Close,
		where: fmt.Sprintf("Users and sessions are kept in %s and the secret that belongs to them in %s.", path, beside),
	}, nil
}

// secretSize is in bytes.
const secretSize = 32

func newSecret() auth.Secret {
	secret := make(auth.Secret, secretSize)
	rand.Read(secret) //nolint:errcheck // never fails; a broken source ends the program
	return secret
}

// loadSecret reads the secret from its file, as one line of base64, or puts a new one there for the owner alone to read.
func loadSecret(path string) (auth.Secret, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		secret := newSecret()
		return secret, writeSecret(path, secret)
	}
	if err != nil {
		return nil, err
	}
	secret, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(secret) != secretSize {
		return nil, errors.New("is none; remove the file to get a new one, which ends all sessions")
	}
	return secret, nil
}

// writeSecret makes the file, and does not replace one that another program has made in the meantime.
func writeSecret(path string, secret auth.Secret) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(base64.StdEncoding.EncodeToString(secret) + "\n")
	return errors.Join(err, f.Sync(), f.Close())
}
