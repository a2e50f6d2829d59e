package product

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/golang-jwt/jwt/v5"

	"github.com/ostiary/auth/bench/internal/load"
)

func gopkgz() Product {
	const (
		signInPath             = "/auth/local/login"
		tokenCookie, xsrfToken = "JWT", "XSRF-TOKEN"
	)
	body := func(a Account) any { return map[string]string{"user": a.Email, "passwd": a.Password} }
	signInRequest := func(a Account) load.Request { return post(signInPath, nil, body(a)) }
	entered := func(answer load.Answer, a Account) error {
		o, err := ok(answer, http.StatusOK)
		if err != nil {
			return err
		}
		return errors.Join(
			same("the name", at(o, "name"), a.Email), present("token", answer.Cookie(tokenCookie)),
			present("token against requests from other sites", answer.Cookie(xsrfToken)),
		)
	}
	// signIn returns the header of a client that is signed in, and the user's id.
	signIn := func(ctx context.Context, c *load.Client, a Account) (http.Header, string, error) {
		answer, err := c.Do(ctx, signInRequest(a))
		if err != nil {
			return nil, "", err
		}
		if err := entered(answer, a); err != nil {
			return nil, "", err
		}
		o, err := ok(answer, http.StatusOK)
		header := cookies(tokenCookie, answer.Cookie(tokenCookie), xsrfToken, answer.Cookie(xsrfToken))
		header.Set("X-XSRF-TOKEN", answer.Cookie(xsrfToken))
		return header, at(o, "id"), err
	}
	// reading wants the user's id, and a new token or none.
	reading := func(path string, renewed bool) func(context.Context, *load.Client, World) (load.Script, error) {
		return func(ctx context.Context, c *load.Client, w World) (load.Script, error) {
			header, id, err := signIn(ctx, c, w.own())
			return load.Script{
				Next: func() load.Request { return get(path, header) },
				Check: func(answer load.Answer) error {
					o, err := ok(answer, http.StatusOK)
					if err != nil {
						return err
					}
					next := answer.Cookie(tokenCookie)
					if !renewed && next != "" {
						return errors.New("the token is renewed")
					}
					if renewed {
						if _, _, err := jwt.NewParser().ParseUnverified(next, jwt.MapClaims{}); err != nil {
							return fmt.Errorf("the new token: %w", err)
						}
					}
					return same("the id", at(o, "id"), id)
				},
			}, err
		}
	}
	return Product{
		Name: "go-pkgz/auth", Program: "gopkgz", Module: "github.com/go-pkgz/auth/v2", Hash: "none of its own; here bcrypt, cost 10",
		SignUp: func(ctx context.Context, c *load.Client, a Account) error {
			answer, err := c.Do(ctx, post("/prepare", nil, body(a)))
			if err != nil {
				return err
			}
			if answer.Status != http.StatusNoContent {
				return fmt.Errorf("POST /prepare answers %d: %.300s", answer.Status, answer.Body)
			}
			return nil
		},
		Missing: map[Flow]string{SignUp: "It has no users: whoever uses it keeps them."},
		Ways: map[Flow]Way{
			Refresh: {
				Request: "GET /verify", Script: reading("/verify", true), Variant: "expired",
				Note: "Its middleware renews a token in a cookie that has expired. No session is kept, and nothing is looked up.",
			},
			User: {
				Request: "GET /auth/user", Script: reading("/auth/user", false),
				Note: "It has no users: the answer is what stands in the token.",
			},
			Verify: {
				Request: "GET /verify", Script: reading("/verify", false),
				Note: "Behind its middleware: a token in a cookie, signed with HS256.",
			},
			SignIn: {
				Request: "POST " + signInPath, Note: "Its provider `direct` with one SELECT of ours. No session is kept.",
				Script: func(_ context.Context, _ *load.Client, w World) (load.Script, error) {
					var a Account
					next := w.inTurn()
					return load.Script{
						Next:  func() load.Request { a = next(); return signInRequest(a) },
						Check: func(answer load.Answer) error { return entered(answer, a) },
					}, nil
				},
			},
		},
	}
}
