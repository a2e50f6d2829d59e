package auth

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/internal/accesstoken"
	"github.com/ostiary/auth/internal/claimpath"
	"github.com/ostiary/auth/store"
)

// AccessTokensConfig says what is in an access token and who signs it.
type AccessTokensConfig struct {
	// Lifetime of a token, which never outlives its session. The default is 15 minutes, the maximum 24 hours.
	Lifetime time.Duration
	// Issuer is the claim "iss". The default is "hasura-auth".
	Issuer string
	// Audience is the claim "aud". If set, a token must name one of these to be accepted.
	Audience []string
	// ClaimsNamespace is the claim that holds the role claims. The default is "https://hasura.io/jwt/claims".
	ClaimsNamespace string
	// Keys sign and verify. The default is one Ed25519 key derived from Secret, with those of PreviousSecrets retired.
	// See also [ParseHasuraJWTSecret] and [Engine.SetKeys].
	Keys Keys
	// Rotate has the engine make its keys itself, one after the other. The default is off: Keys sign until they are changed.
	Rotate *RotationConfig
	// CustomClaims maps the names of claims to paths in the user's record, such as "metadata.plan" or "email"; see
	// [Engine.Refresh] for when they are read. A claim that decides on access must not come from metadata that the user
	// can write at sign-up.
	CustomClaims map[string]string
	// CustomClaimsDefaults are the values of claims whose path leads nowhere.
	CustomClaimsDefaults map[string]any
}

// withDefaults completes c and compiles its custom claims.
func (c *AccessTokensConfig) withDefaults(m *mistakes) *claimpath.Set {
	c.Audience, c.CustomClaims, c.CustomClaimsDefaults = slices.Clone(c.Audience), maps.Clone(c.CustomClaims), maps.Clone(c.CustomClaimsDefaults)
	c.Keys.Next, c.Keys.Retired, c.Keys.Active.Secret = slices.Clone(c.Keys.Next), slices.Clone(c.Keys.Retired), slices.Clone(c.Keys.Active.Secret)
	def(&c.Lifetime, 15*time.Minute)
	m.duration("AccessTokens.Lifetime", c.Lifetime, time.Second, 24*time.Hour)
	def(&c.Issuer, "hasura-auth")
	def(&c.ClaimsNamespace, "https://hasura.io/jwt/claims")
	if slices.Contains(c.Audience, "") {
		m.add("AccessTokens.Audience", "has an empty entry")
	}
	if slices.Contains(registeredClaims, c.ClaimsNamespace) {
		m.add("AccessTokens.ClaimsNamespace", "%q is a registered claim", c.ClaimsNamespace)
	}
	if c.Rotate != nil {
		rotate := *c.Rotate
		rotate.withDefaults(m)
		c.Rotate = &rotate
	}
	claims, err := compileClaims(c.CustomClaims, c.CustomClaimsDefaults)
	if err != nil {
		m.add("AccessTokens.CustomClaims", "%w", err)
	}
	return claims
}

// The claims of an access token outside the namespace.
var registeredClaims = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "sid", "auth_time", "amr", "acr", "scope", claimElevatedBy}

// claimElevatedBy names the security key of a step-up, so that the step-up ends with the key.
const claimElevatedBy = accesstoken.ClaimElevatedBy

// The claims inside the namespace that only the engine sets.
const (
	claimUserID       = accesstoken.ClaimUserID
	claimDefaultRole  = accesstoken.ClaimDefaultRole
	claimAllowedRoles = accesstoken.ClaimAllowedRoles
	claimIsAnonymous  = accesstoken.ClaimIsAnonymous
	claimElevated     = accesstoken.ClaimElevated
)

// sign makes an access token for a user's session, elevated if there was a step-up.
func (e *Engine) sign(ctx context.Context, u *store.User, s *store.Session, up *stepUp, now, expires time.Time) (string, error) {
	custom, err := e.customClaims(ctx, u)
	if err != nil {
		return "", err
	}
	if up != nil {
		row := up.apply(*s)
		s = &row
	}
	c := &e.config.AccessTokens
	id := u.ID.String()
	var jti [16]byte
	rand.Read(jti[:]) //nolint:errcheck // never fails; a broken source ends the program

	b := make([]byte, 0, 768)
	b = append(b, `{"sub":"`...)
	b = append(b, id...)
	b = append(b, `","iss":`...)
	b = appendJSON(b, c.Issuer)
	switch len(c.Audience) {
	case 0:
	case 1:
		b = append(b, `,"aud":`...)
		b = appendJSON(b, c.Audience[0])
	default:
		b = append(b, `,"aud":`...)
		b = appendList(b, c.Audience)
	}
	b = append(b, `,"iat":`...)
	b = strconv.AppendInt(b, now.Unix(), 10)
	b = append(b, `,"exp":`...)
	b = strconv.AppendInt(b, expires.Unix(), 10)
	b = append(b, `,"jti":"`...)
	b = base64.RawURLEncoding.AppendEncode(b, jti[:])
	b = append(b, `","sid":"`...)
	b = append(b, s.ID.String()...)
	b = append(b, `","auth_time":`...)
	b = strconv.AppendInt(b, s.AuthTime.Unix(), 10)
	if len(s.AMR) > 0 {
		b = append(b, `,"amr":`...)
		b = appendList(b, s.AMR)
	}
	b = append(b, `,"acr":"`+acrOf(s.AMR)+`"`...)
	if len(s.Scopes) > 0 {
		b = append(b, `,"scope":`...)
		b = appendJSON(b, strings.Join(s.Scopes, " "))
	}
	if up != nil && up.by != uuid.Nil {
		b = append(b, `,"`+claimElevatedBy+`":"`...)
		b = append(b, up.by.String()...)
		b = append(b, '"')
	}
	b = append(b, ',')
	b = appendJSON(b, c.ClaimsNamespace)
	b = append(b, `:{"`+claimAllowedRoles+`":`...)
	b = appendList(b, u.Roles)
	b = append(b, `,"`+claimDefaultRole+`":`...)
	b = appendJSON(b, u.DefaultRole)
	b = append(b, `,"`+claimUserID+`":"`...)
	b = append(b, id...)
	b = append(b, `","`+claimIsAnonymous+`":"`...)
	b = strconv.AppendBool(b, u.Anonymous)
	b = append(b, '"')
	if up != nil {
		b = append(b, `,"`+claimElevated+`":"`...)
		b = append(b, id...)
		b = append(b, '"')
	}
	for _, name := range slices.Sorted(maps.Keys(custom)) {
		b = append(b, ',')
		b = appendJSON(b, name)
		b = append(b, ':')
		b = appendJSON(b, custom[name])
	}
	b = append(b, "}}"...)
	k, err := e.signingKey(ctx, now)
	if err != nil {
		return "", err
	}
	token, err := k.sign(ctx, b)
	if err != nil {
		return "", fmt.Errorf("sign access token: %w", err)
	}
	if len(token) > maxToken {
		return "", ErrInvalidRequest.saying("the user's custom claims are too large for an access token")
	}
	return token, nil
}

// acrOf is the claim "acr": how sure the sign-in was, as the assurance levels of NIST SP 800-63B-4 count factors.
func acrOf(amr []string) string {
	if slices.Contains(amr, amrMFA) {
		return "aal2"
	}
	return "aal1"
}

// maxToken is the largest access token in bytes, issued or verified.
const maxToken = accesstoken.MaxLength

var errToken = errors.New("not an access token of this engine")

// verify checks an access token and everything in it: the form, the key and its algorithm, the signature before
// anything is believed, and then issuer, audience, time and the role claims (RFC 8725 §3).
func (e *Engine) verify(ctx context.Context, token string) (*Principal, error) {
	t, ok := accesstoken.Split(token)
	if !ok {
		return nil, ErrUnauthenticated.because(errToken)
	}
	now := e.now()
	switch ok, err := e.signed(ctx, &t, now); {
	case err != nil:
		return nil, err
	case !ok:
		return nil, ErrUnauthenticated.because(errToken)
	}
	c := &e.config.AccessTokens
	claims, err := accesstoken.Parse(t.Payload, accesstoken.Rules{
		Issuer: c.Issuer, Audience: c.Audience, Namespace: c.ClaimsNamespace, Now: now, Skew: clockSkew,
	})
	if err != nil {
		return nil, ErrUnauthenticated.because(fmt.Errorf("%w: %w", errToken, err))
	}
	return &Principal{
		UserID: claims.UserID, SessionID: claims.SessionID, TokenID: claims.TokenID,
		Anonymous: claims.Anonymous, DefaultRole: claims.DefaultRole, Roles: claims.Roles,
		Elevated: claims.Elevated, ElevatedBy: claims.ElevatedBy, Scopes: claims.Scopes, Claims: claims.Custom,
		AMR: claims.AMR, AuthTime: claims.AuthTime, Expires: claims.Expires,
	}, nil
}

// strictBase64 refuses the several spellings that a last character can have.
var strictBase64 = base64.RawURLEncoding.Strict()

// appendJSON appends s as a JSON string.
func appendJSON(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			text, err := json.Marshal(s)
			if err != nil {
				panic(err) // a string
			}
			return append(b, text...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

func appendList(b []byte, list []string) []byte {
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendJSON(b, s)
	}
	return append(b, ']')
}
