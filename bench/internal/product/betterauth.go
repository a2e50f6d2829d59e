package product

import (
	"context"
	"errors"
	"net/http"

	"github.com/ostiary/auth/bench/internal/load"
)

func betterAuth() Product {
	const (
		signUpPath, signInPath  = "/api/auth/sign-up/email", "/api/auth/sign-in/email"
		sessionPath             = "/api/auth/get-session"
		tokenCookie, dataCookie = "better-auth.session_token", "better-auth.session_data"
	)
	enter := func(path string, a Account) load.Request {
		return post(path, nil, map[string]string{"name": "Someone", "email": a.Email, "password": a.Password})
	}
	signInRequest := func(a Account) load.Request {
		return post(signInPath, nil, map[string]string{"email": a.Email, "password": a.Password})
	}
	entered := func(answer load.Answer, a Account) error {
		o, err := ok(answer, http.StatusOK)
		if err != nil {
			return err
		}
		return errors.Join(
			present("token", at(o, "token")), present("cookie", cookie(answer, tokenCookie)),
			same("the address", at(o, "user", "email"), a.Email),
		)
	}
	// reading asks for the session, with the cookies of a sign-in, and the answer must renew its cookie as it says.
	reading := func(names []string, renewed bool) func(context.Context, *load.Client, World) (load.Script, error) {
		return func(ctx context.Context, c *load.Client, w World) (load.Script, error) {
			answer, err := c.Do(ctx, signInRequest(w.own()))
			if err != nil {
				return load.Script{}, err
			}
			if err := entered(answer, w.own()); err != nil {
				return load.Script{}, err
			}
			var pairs []string
			for _, name := range names {
				value := cookie(answer, name)
				if err := present("cookie "+name, value); err != nil {
					return load.Script{}, err
				}
				pairs = append(pairs, name, value)
			}
			header := cookies(pairs...)
			return load.Script{
				Next: func() load.Request { return get(sessionPath, header) },
				Check: func(answer load.Answer) error {
					o, err := ok(answer, http.StatusOK)
					if err != nil {
						return err
					}
					if got := cookie(answer, tokenCookie) != ""; got != renewed {
						return errors.New("the session is extended, or not, against expectation")
					}
					if cookie(answer, dataCookie) != "" {
						return errors.New("the session is put into the second cookie anew")
					}
					return errors.Join(
						present("session", at(o, "session", "id")),
						same("the address", at(o, "user", "email"), w.own().Email),
					)
				},
			}, nil
		}
	}
	return Product{
		Name: "better-auth", Program: "betterauth", Package: "better-auth", Hash: "scrypt, N=16384, r=16, p=1",
		SignUp: func(ctx context.Context, c *load.Client, a Account) error {
			answer, err := c.Do(ctx, enter(signUpPath, a))
			if err != nil {
				return err
			}
			return entered(answer, a)
		},
		Ways: map[Flow]Way{
			Refresh: {
				Request: "GET " + sessionPath, Variant: "always extended",
				Note:   "It has no refresh tokens. The session is read and, as `updateAge: 0` says, extended at each use (by default once a day); nothing is rotated.",
				Script: reading([]string{tokenCookie}, true),
			},
			User: {
				Request: "GET " + sessionPath, Note: "With the cookie of a session, which is looked up.",
				Script: reading([]string{tokenCookie}, false),
			},
			Verify: {
				Request: "GET " + sessionPath, Variant: "cookie cache",
				Note:   "With `cookieCache`: the session and the user are in a second cookie, with an HMAC, and are not looked up.",
				Script: reading([]string{tokenCookie, dataCookie}, false),
			},
			SignIn: {
				Request: "POST " + signInPath, Note: "A session is kept.",
				Script: func(_ context.Context, _ *load.Client, w World) (load.Script, error) {
					var a Account
					next := w.inTurn()
					return load.Script{
						Next:  func() load.Request { a = next(); return signInRequest(a) },
						Check: func(answer load.Answer) error { return entered(answer, a) },
					}, nil
				},
			},
			SignUp: {
				Request: "POST " + signUpPath, Note: "A session is kept.",
				Script: func(_ context.Context, _ *load.Client, w World) (load.Script, error) {
					var a Account
					return load.Script{
						Next:  func() load.Request { a = w.Fresh(); return enter(signUpPath, a) },
						Check: func(answer load.Answer) error { return entered(answer, a) },
					}, nil
				},
			},
		},
	}
}

// cookie returns a cookie of better-auth's, which has another name where it knows of TLS.
func cookie(answer load.Answer, name string) string {
	if v := answer.Cookie(name); v != "" {
		return v
	}
	return answer.Cookie("__Secure-" + name)
}
