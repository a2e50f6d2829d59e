package product

import (
	"context"
	"errors"
	"net/http"

	"github.com/ostiary/auth/bench/internal/load"
)

func authboss() Product {
	const (
		signUpPath, signInPath        = "/auth/register", "/auth/login"
		sessionCookie, rememberCookie = "session", "rm"
	)
	signUpRequest := func(a Account) load.Request {
		return post(signUpPath, nil, map[string]string{"email": a.Email, "password": a.Password, "confirm_password": a.Password})
	}
	signInRequest := func(a Account, remember bool) load.Request {
		body := map[string]string{"email": a.Email, "password": a.Password}
		if remember {
			body["rm"] = "true"
		}
		return post(signInPath, nil, body)
	}
	// A refusal has status 200, too.
	entered := func(answer load.Answer) error {
		o, err := ok(answer, http.StatusOK)
		if err != nil {
			return err
		}
		return errors.Join(same("status", at(o, "status"), "success"), present("session", answer.Cookie(sessionCookie)))
	}
	signIn := func(ctx context.Context, c *load.Client, a Account, cookie string) (string, error) {
		answer, err := c.Do(ctx, signInRequest(a, cookie == rememberCookie))
		if err != nil {
			return "", err
		}
		value := answer.Cookie(cookie)
		return value, errors.Join(entered(answer), present("cookie "+cookie, value))
	}
	reading := func(path string) func(context.Context, *load.Client, World) (load.Script, error) {
		return func(ctx context.Context, c *load.Client, w World) (load.Script, error) {
			value, err := signIn(ctx, c, w.own(), sessionCookie)
			header := cookies(sessionCookie, value)
			return load.Script{
				Next: func() load.Request { return get(path, header) },
				Check: func(answer load.Answer) error {
					o, err := ok(answer, http.StatusOK)
					if err != nil {
						return err
					}
					return same("the address", at(o, "email"), w.own().Email)
				},
			}, err
		}
	}
	return Product{
		Name: "authboss", Program: "authboss", Module: "github.com/volatiletech/authboss/v3", Hash: "bcrypt, cost 10",
		SignUp: func(ctx context.Context, c *load.Client, a Account) error {
			answer, err := c.Do(ctx, signUpRequest(a))
			if err != nil {
				return err
			}
			return entered(answer)
		},
		Ways: map[Flow]Way{
			Refresh: {
				Request: "GET /remember",
				Note:    "Its module `remember`: a token that brings a new session is replaced by another one at each use.",
				Script: func(ctx context.Context, c *load.Client, w World) (load.Script, error) {
					value, err := signIn(ctx, c, w.own(), rememberCookie)
					return load.Script{
						Next: func() load.Request { return get("/remember", cookies(rememberCookie, value)) },
						Check: func(answer load.Answer) error {
							o, err := ok(answer, http.StatusOK)
							if err != nil {
								return err
							}
							next := answer.Cookie(rememberCookie)
							if next == value {
								return errors.New("the token is not replaced")
							}
							err = errors.Join(
								same("the address", at(o, "email"), w.own().Email),
								present("session", answer.Cookie(sessionCookie)), present("token", next),
							)
							if err == nil {
								value = next
							}
							return err
						},
					}, err
				},
			},
			User: {
				Request: "GET /user", Script: reading("/user"),
				Note: "Behind its middleware, which loads the user. The session is a cookie, with an HMAC, and is kept nowhere.",
			},
			Verify: {
				Request: "GET /verify", Script: reading("/verify"),
				Note: "`CurrentUserID`: what the session, a cookie with an HMAC, says.",
			},
			SignIn: {
				Request: "POST " + signInPath, Note: "No session is kept in the database.",
				Script: func(_ context.Context, _ *load.Client, w World) (load.Script, error) {
					next := w.inTurn()
					return load.Script{Next: func() load.Request { return signInRequest(next(), false) }, Check: entered}, nil
				},
			},
			SignUp: {
				Request: "POST " + signUpPath, Note: "No session is kept in the database.",
				Script: func(_ context.Context, _ *load.Client, w World) (load.Script, error) {
					return load.Script{Next: func() load.Request { return signUpRequest(w.Fresh()) }, Check: entered}, nil
				},
			},
		},
	}
}
