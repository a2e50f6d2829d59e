// Ours is this repository's engine behind its adapter, on PostgreSQL, as a program to be measured.
//
// Addresses are not verified, so that no letter is sent, and the limits are off; all else is as it is by default, unless a variant says otherwise.
package main

import (
	"context"
	"log"
	"net/http"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/bench/internal/server"
	"github.com/ostiary/auth/httpadapter"
	"github.com/ostiary/auth/store/pgstore"
)

// hs256 is the variant in which access tokens are signed with HS256 in place of Ed25519.
const hs256 = "HS256"

func main() { server.Main(create) }

// create ignores Settings.Hash: the default is the cost at which all are compared.
func create(ctx context.Context, s server.Settings, base string) (*http.Server, error) {
	pool, err := s.Connect(ctx)
	if err != nil {
		return nil, err
	}
	if err := pgstore.Migrate(ctx, pool, pgstore.Schema(s.Schema)); err != nil {
		return nil, err
	}
	store, err := pgstore.New(pool, pgstore.Schema(s.Schema))
	if err != nil {
		return nil, err
	}
	var tokens auth.AccessTokensConfig
	if s.Variant == hs256 {
		if tokens, err = auth.ParseHasuraJWTSecret(`{"type":"HS256","key":"` + s.Secret + `"}`); err != nil {
			return nil, err
		}
	}
	engine, err := auth.New(store, auth.Config{
		ServerURL:    base,
		ClientURL:    base,
		Secret:       auth.Secret(s.Secret),
		Password:     &auth.PasswordConfig{},
		Email:        auth.EmailConfig{AllowUnverified: true},
		Limits:       auth.LimitsConfig{Off: true},
		AccessTokens: tokens,
	})
	if err != nil {
		return nil, err
	}
	handler, err := httpadapter.New(engine, httpadapter.Options{})
	if err != nil {
		return nil, err
	}
	go func() {
		if err := engine.Run(ctx); ctx.Err() == nil {
			log.Fatal(err)
		}
	}()
	return httpadapter.NewServer("", handler), nil
}
