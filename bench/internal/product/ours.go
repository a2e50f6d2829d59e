package product

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/ostiary/auth/bench/internal/load"
)

// Ours is the name of this repository's engine, as it is by default.
const Ours = "ours"

// tokens are what a client of ours has.
type tokens struct{ access, refresh string }

func ours() Product {
	const signUpPath, signInPath = "/signup/email-password", "/signin/email-password"
	enter := func(path string, a Account) load.Request {
		return post(path, nil, map[string]string{"email": a.Email, "password": a.Password})
	}
	// session reads the object session of an answer, or the object itself.
	session := func(o object, a Account) (t tokens, err error) {
		t = tokens{at(o, "accessToken"), at(o, "refreshToken")}
		user, _ := o["user"].(object)
		return t, errors.Join(
			present("access token", t.access), present("refresh token", t.refresh),
			same("the address", at(object{"user": user}, "user", "email"), a.Email),
		)
	}
	entered := func(answer load.Answer, a Account) (tokens, error) {
		o, err := ok(answer, http.StatusOK)
		if err != nil {
			return tokens{}, err
		}
		inner, _ := o["session"].(object)
		return session(inner, a)
	}
	signIn := func(ctx context.Context, c *load.Client, a Account) (tokens, error) {
		answer, err := c.Do(ctx, enter(signInPath, a))
		if err != nil {
			return tokens{}, err
		}
		return entered(answer, a)
	}
	bearer := func(t tokens) http.Header { return http.Header{"Authorization": {"Bearer " + t.access}} }

	// entering sends one account after the other.
	entering := func(path string, next func() Account) load.Script {
		var a Account
		return load.Script{
			Next: func() load.Request { a = next(); return enter(path, a) },
			Check: func(answer load.Answer) error {
				_, err := entered(answer, a)
				return err
			},
		}
	}
	p := Product{
		Name: Ours, Program: "ours", Hash: "Argon2id, 19 MiB, 2 passes, 1 lane",
		SignUp: func(ctx context.Context, c *load.Client, a Account) error {
			answer, err := c.Do(ctx, enter(signUpPath, a))
			if err != nil {
				return err
			}
			_, err = entered(answer, a)
			return err
		},
		Ways: map[Flow]Way{
			Refresh: {
				Request: "POST /token",
				Note:    "The refresh token is rotated; the answer has a new access token and the user as they are now.",
				Script: func(ctx context.Context, c *load.Client, w World) (load.Script, error) {
					t, err := signIn(ctx, c, w.own())
					return load.Script{
						Next: func() load.Request { return post("/token", nil, map[string]string{"refreshToken": t.refresh}) },
						Check: func(answer load.Answer) error {
							o, err := ok(answer, http.StatusOK)
							if err != nil {
								return err
							}
							next, err := session(o, w.own())
							switch {
							case err != nil:
								return err
							case next.refresh == t.refresh:
								return errors.New("the refresh token is not rotated")
							}
							t = next
							return nil
						},
					}, err
				},
			},
			User: {
				Request: "GET /user", Note: "With an access token, signed with Ed25519.",
				Script: func(ctx context.Context, c *load.Client, w World) (load.Script, error) {
					t, err := signIn(ctx, c, w.own())
					return load.Script{
						Next: func() load.Request { return get("/user", bearer(t)) },
						Check: func(answer load.Answer) error {
							o, err := ok(answer, http.StatusOK)
							if err != nil {
								return err
							}
							return same("the address", at(o, "email"), w.own().Email)
						},
					}, err
				},
			},
			Verify: {
				Request: "POST /token/verify", Note: "An access token, signed with Ed25519.",
				Script: func(ctx context.Context, c *load.Client, w World) (load.Script, error) {
					t, err := signIn(ctx, c, w.own())
					return load.Script{
						Next: func() load.Request {
							return load.Request{Method: http.MethodPost, Path: "/token/verify", Header: bearer(t)}
						},
						Check: func(answer load.Answer) error {
							if answer.Status != http.StatusOK {
								return errors.New("the token is refused")
							}
							return same("the body", strings.TrimSpace(string(answer.Body)), `"OK"`)
						},
					}, err
				},
			},
			SignIn: {
				Request: "POST " + signInPath, Note: "A session with a refresh token is kept.",
				Script: func(_ context.Context, _ *load.Client, w World) (load.Script, error) {
					return entering(signInPath, w.inTurn()), nil
				},
			},
			SignUp: {
				Request: "POST " + signUpPath, Note: "A session with a refresh token is kept.",
				Script: func(_ context.Context, _ *load.Client, w World) (load.Script, error) {
					return entering(signUpPath, w.Fresh), nil
				},
			},
		},
	}
	return p
}

// oursHS256 is the same with another signature, for the flows that make or check one.
func oursHS256() Product {
	p := ours()
	p.Name = "ours-HS256"
	ways := map[Flow]Way{}
	for _, f := range []Flow{Refresh, User, Verify} {
		w := p.Ways[f]
		w.Variant = "HS256"
		w.Note = "As above, with access tokens that are signed with HS256."
		ways[f] = w
	}
	p.Ways = ways
	return p
}
