package fakeidp

import (
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Apple makes a [Client] one of Sign in with Apple. Its secret is a token that it signs itself. It must ask for
// response_mode=form_post if it asks for a scope, and gets an id token whatever it asks for. Its first callback for an account
// has a parameter user: JSON with the name and the address, as far as the scope covers them, which nobody has signed. There is
// no parameter iss. What id tokens say in email_verified, which at Apple can be text, is a matter of [Account.Extra].
type Apple struct {
	TeamID    string           // iss of the secret
	KeyID     string           // kid of the secret
	PublicKey *ecdsa.PublicKey // over P-256
}

// maxAppleSecretLife is the longest that a client secret may live, in seconds as Apple gives it.
const maxAppleSecretLife = 15777000 * time.Second

// check checks a client secret: a token of ES256 for one client and its issuer.
func (a *Apple) check(secret, clientID, audience string, now time.Time) error {
	if a.PublicKey == nil {
		return errors.New("client secret: the client has no key registered")
	}
	var claims jwt.RegisteredClaims
	token, err := jwt.ParseWithClaims(secret, &claims,
		func(token *jwt.Token) (any, error) {
			if token.Header["kid"] != a.KeyID {
				return nil, errors.New("the kid is another one")
			}
			return a.PublicKey, nil
		},
		jwt.WithValidMethods([]string{"ES256"}), jwt.WithIssuer(a.TeamID), jwt.WithSubject(clientID),
		jwt.WithAudience(audience), jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
		jwt.WithTimeFunc(func() time.Time { return now }))
	switch {
	case err != nil:
		return fmt.Errorf("client secret: %w", err)
	case !token.Valid || claims.IssuedAt == nil:
		return errors.New("client secret: there is no iat")
	case claims.ExpiresAt.Sub(claims.IssuedAt.Time) > maxAppleSecretLife:
		return errors.New("client secret: it lives for longer than six months")
	}
	return nil
}

// appleUser is the parameter user of a first callback.
func appleUser(a Account, scope []string) string {
	type name struct {
		First string `json:"firstName"`
		Last  string `json:"lastName"`
	}
	var user struct {
		Name  *name  `json:"name,omitempty"`
		Email string `json:"email,omitempty"`
	}
	if slices.Contains(scope, "name") && a.Name != "" {
		first, last, _ := strings.Cut(a.Name, " ")
		user.Name = &name{first, last}
	}
	if slices.Contains(scope, "email") {
		user.Email = a.Email
	}
	if user.Name == nil && user.Email == "" {
		return ""
	}
	text, _ := json.Marshal(user) // strings only
	return string(text)
}
