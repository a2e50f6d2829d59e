// Package accesstoken reads access tokens: their form, and the claims in them once the signature has been verified. The
// engine that issues them and the services that verify them by its key set read them by these same rules.
//
// It knows no keys: signatures are the caller's to verify, before [Parse].
package accesstoken

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ostiary/auth/internal/strictjson"
)

const (
	// MaxLength is the largest token in bytes: what fits in a header line everywhere.
	MaxLength = 16 << 10
	// maxTime bounds the instants in a token: beyond the year 9999 arithmetic on them is nonsense.
	maxTime = 253402300799
)

// ClaimElevatedBy names the security key of a step-up, so that the step-up ends with the key.
const ClaimElevatedBy = "elevated_by"

// The claims inside the namespace that only the engine sets.
const (
	ClaimUserID       = "x-hasura-user-id"
	ClaimDefaultRole  = "x-hasura-default-role"
	ClaimAllowedRoles = "x-hasura-allowed-roles"
	ClaimIsAnonymous  = "x-hasura-user-is-anonymous"
	ClaimElevated     = "x-hasura-auth-elevated"
)

// Token is a token of the right form. Nothing in it is to be believed yet.
type Token struct {
	Header    string // as it stands in the token; see [ParseHeader]
	Input     string // what the signature is of
	Signature []byte
	Payload   string // as it stands in the token
}

// Split takes a JWS in compact form apart (RFC 7515 §7.1). It refuses what is too long, and every spelling of the signature
// but one.
func Split(token string) (t Token, ok bool) {
	// Go's base64 skips line ends, which would give one token many spellings.
	if len(token) > MaxLength || strings.ContainsAny(token, "\r\n") {
		return t, false
	}
	header, rest, _ := strings.Cut(token, ".")
	payload, signature, found := strings.Cut(rest, ".")
	if !found {
		return t, false
	}
	sig, err := strictBase64.DecodeString(signature) // in which there is no other dot
	return Token{header, token[:len(header)+1+len(payload)], sig, payload}, err == nil
}

// strictBase64 refuses the several spellings that a last character can have.
var strictBase64 = base64.RawURLEncoding.Strict()

var errHeader = errors.New("an unknown header parameter")

// ParseHeader accepts a JOSE header with "alg", "typ":"JWT" and perhaps "kid", and nothing else: what a token asks for
// beyond that (jku, jwk, x5u, x5c, crit, zip, b64 …) is never asked for by a token of an engine.
func ParseHeader(header string) (algorithm, id string, ok bool) {
	text, err := strictBase64.DecodeString(header)
	if err != nil {
		return "", "", false
	}
	var typ string
	err = strictjson.Members(text, func(name, value []byte) error {
		switch string(name) {
		case "alg":
			return textClaim(value, &algorithm)
		case "typ":
			return textClaim(value, &typ)
		case "kid":
			return textClaim(value, &id)
		}
		return errHeader
	})
	return algorithm, id, err == nil && typ == "JWT"
}

// Claims are what a token says. Ids are the sixteen bytes of a UUID, zero where there is none.
type Claims struct {
	UserID, SessionID, ElevatedBy [16]byte
	TokenID                       string
	Anonymous, Elevated           bool
	DefaultRole                   string
	Roles, Scopes, AMR, Audience  []string
	Custom                        map[string]string // by the full name
	AuthTime, IssuedAt, Expires   time.Time         // the first two are zero where the token does not say
}

// Rules say what a token must say to be good.
type Rules struct {
	Issuer    string
	Audience  []string // of which it must name one; any will do where there are none
	Namespace string   // the claim that has the role claims
	Now       time.Time
	Skew      time.Duration // how far ahead of Now a token may have been issued
}

// Parse reads a payload whose signature has been verified.
func Parse(payload string, r Rules) (*Claims, error) {
	text, err := strictBase64.DecodeString(payload)
	if err != nil {
		return nil, errors.New("not base64url")
	}
	c := &Claims{}
	var sub, iss, sid, elevatedBy, scope string
	var exp, nbf, iat, authTime int64
	var namespace []byte
	err = strictjson.Members(text, func(name, value []byte) error {
		switch string(name) {
		case "sub":
			return textClaim(value, &sub)
		case "iss":
			return textClaim(value, &iss)
		case "aud":
			return listClaim(value, &c.Audience, true)
		case "exp":
			return timeClaim(value, &exp)
		case "nbf":
			return timeClaim(value, &nbf)
		case "iat":
			return timeClaim(value, &iat)
		case "jti":
			return textClaim(value, &c.TokenID)
		case "sid":
			return textClaim(value, &sid)
		case ClaimElevatedBy:
			return textClaim(value, &elevatedBy)
		case "auth_time":
			return timeClaim(value, &authTime)
		case "amr":
			return listClaim(value, &c.AMR, false)
		case "scope":
			return textClaim(value, &scope)
		case r.Namespace:
			namespace = value
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	// Clocks may disagree by a little, which matters for tokens that have just been issued; an expired one has had its
	// time.
	skewed := r.Now.Add(r.Skew).Unix()
	switch {
	case iss != r.Issuer:
		return nil, errors.New("another issuer")
	case exp == 0 || r.Now.Unix() >= exp:
		return nil, errors.New("expired")
	case iat > skewed || nbf > skewed:
		return nil, errors.New("not yet valid")
	case len(r.Audience) > 0 && !slices.ContainsFunc(c.Audience, func(a string) bool { return slices.Contains(r.Audience, a) }):
		return nil, errors.New("another audience")
	}
	if c.UserID, err = parseID(sub); err != nil {
		return nil, fmt.Errorf("sub: %w", err)
	}
	if c.UserID == ([16]byte{}) {
		return nil, errors.New("sub: nobody")
	}
	if sid != "" {
		if c.SessionID, err = parseID(sid); err != nil {
			return nil, fmt.Errorf("sid: %w", err)
		}
	}
	if elevatedBy != "" {
		if c.ElevatedBy, err = parseID(elevatedBy); err != nil {
			return nil, fmt.Errorf("%s: %w", ClaimElevatedBy, err)
		}
	}
	if scope != "" {
		c.Scopes = strings.Split(scope, " ")
	}
	c.Expires = time.Unix(exp, 0).UTC()
	if iat > 0 {
		c.IssuedAt = time.Unix(iat, 0).UTC()
	}
	if authTime > 0 {
		c.AuthTime = time.Unix(authTime, 0).UTC()
	}
	return c, c.parseRoles(namespace, sub)
}

// parseRoles reads the claims in the namespace.
func (c *Claims) parseRoles(text []byte, sub string) error {
	var userID, elevated, anonymous string
	err := strictjson.Members(text, func(name, value []byte) error {
		switch string(name) {
		case ClaimUserID:
			return textClaim(value, &userID)
		case ClaimDefaultRole:
			return textClaim(value, &c.DefaultRole)
		case ClaimAllowedRoles:
			return listClaim(value, &c.Roles, false)
		case ClaimIsAnonymous:
			return textClaim(value, &anonymous)
		case ClaimElevated:
			// Only the documented form says something: the user's own id, as a string.
			if textClaim(value, &elevated) != nil {
				elevated = ""
			}
			return nil
		}
		var custom string
		if textClaim(value, &custom) == nil {
			if c.Custom == nil {
				c.Custom = make(map[string]string)
			}
			c.Custom[string(name)] = custom
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case userID != sub:
		return errors.New("sub and " + ClaimUserID + " differ")
	case c.DefaultRole == "":
		return errors.New("no " + ClaimDefaultRole)
	}
	c.Anonymous, c.Elevated = anonymous == "true", elevated == sub
	return nil
}

// parseID accepts a UUID in its one canonical form, in lower case (RFC 9562 §4).
func parseID(s string) (id [16]byte, err error) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' || strings.ContainsAny(s, "ABCDEF") {
		return id, errors.New("not a UUID in canonical form")
	}
	var digits [32]byte
	n := copy(digits[:], s[:8])
	for _, group := range []string{s[9:13], s[14:18], s[19:23], s[24:]} {
		n += copy(digits[n:], group)
	}
	_, err = hex.Decode(id[:], digits[:])
	return id, err
}

// FormatID is the canonical form of an id; the empty string for one that is zero.
func FormatID(id [16]byte) string {
	if id == ([16]byte{}) {
		return ""
	}
	h := hex.EncodeToString(id[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// textClaim reads a JSON string.
func textClaim(value []byte, into *string) error {
	if len(value) < 2 || value[0] != '"' {
		return errors.New("not a string")
	}
	for _, b := range value {
		if b == '\\' {
			// Not into itself, which would have to live on the heap for what is hardly ever there.
			var unescaped string
			err := json.Unmarshal(value, &unescaped)
			*into = unescaped
			return err
		}
	}
	*into = string(value[1 : len(value)-1])
	return nil
}

// listClaim reads a JSON array of strings, or where lone is set a single string.
func listClaim(value []byte, into *[]string, lone bool) error {
	if lone && len(value) > 0 && value[0] == '"' {
		*into = make([]string, 1)
		return textClaim(value, &(*into)[0])
	}
	return strictjson.Elements(value, func(element []byte) error {
		var s string
		if err := textClaim(element, &s); err != nil {
			return err
		}
		*into = append(*into, s)
		return nil
	})
}

// timeClaim reads a NumericDate (RFC 7519 §2). A fraction of a second is cut off.
func timeClaim(value []byte, into *int64) error {
	seconds, err := strconv.ParseFloat(string(value), 64)
	if err != nil || seconds < 0 || seconds > maxTime {
		return errors.New("not a time")
	}
	*into = int64(seconds)
	return nil
}
