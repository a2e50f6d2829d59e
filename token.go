package auth

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/internal/strictjson"
	"github.com/ostiary/auth/store"
)

// The claims of an access token outside the namespace.
var registeredClaims = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "sid", "auth_time", "amr", "acr", "scope", claimElevatedBy}

// claimElevatedBy names the security key of a step-up, so that the step-up ends with the key.
const claimElevatedBy = "elevated_by"

// The claims inside the namespace that only the engine sets.
const (
	claimUserID       = "x-hasura-user-id"
	claimDefaultRole  = "x-hasura-default-role"
	claimAllowedRoles = "x-hasura-allowed-roles"
	claimIsAnonymous  = "x-hasura-user-is-anonymous"
	claimElevated     = "x-hasura-auth-elevated"
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
	for _, name := range sortedKeys(custom) {
		b = append(b, ',')
		b = appendJSON(b, name)
		b = append(b, ':')
		b = appendJSON(b, custom[name])
	}
	b = append(b, "}}"...)
	token, err := e.keys.Load().active.sign(b)
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

const (
	// maxToken is the largest access token in bytes, issued or verified: what fits in a header line everywhere.
	maxToken = 16 << 10
	// maxClaim bounds the instants in a token: beyond the year 9999 arithmetic on them is nonsense.
	maxClaim = 253402300799
)

var errToken = errors.New("not an access token of this engine")

// verify checks an access token and everything in it: the form, the key and its algorithm, the signature before
// anything is believed, and then issuer, audience, time and the role claims (RFC 8725 §3).
func (e *Engine) verify(token string) (*Principal, error) {
	// Go's base64 skips line ends, which would give one token many spellings.
	if len(token) > maxToken || strings.ContainsAny(token, "\r\n") {
		return nil, errToken
	}
	header, rest, ok1 := strings.Cut(token, ".")
	payload, signature, ok2 := strings.Cut(rest, ".")
	if !ok1 || !ok2 || strings.IndexByte(signature, '.') >= 0 {
		return nil, errToken
	}
	now := e.now()
	sig, err := strictBase64.DecodeString(signature)
	if err != nil {
		return nil, errToken
	}
	if !e.keys.Load().verify(header, token[:len(header)+1+len(payload)], sig, now) {
		return nil, errToken
	}
	claims, err := strictBase64.DecodeString(payload)
	if err != nil {
		return nil, errToken
	}
	p, err := e.parseClaims(claims, now)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errToken, err)
	}
	return p, nil
}

// strictBase64 refuses the several spellings that a last character can have.
var strictBase64 = base64.RawURLEncoding.Strict()

// parseHeader accepts a JOSE header with "alg", "typ":"JWT" and perhaps "kid", and nothing else: what a token asks for
// beyond that (jku, jwk, x5u, x5c, crit, zip, b64 …) is never asked for by a token of this engine.
func parseHeader(header string) (algorithm, id string, ok bool) {
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
		return errToken
	})
	return algorithm, id, err == nil && typ == "JWT"
}

// parseClaims reads a payload whose signature has been verified.
func (e *Engine) parseClaims(text []byte, now time.Time) (*Principal, error) {
	c := &e.config.AccessTokens
	p := &Principal{}
	var sub, iss, sid, elevatedBy, scope string
	var exp, nbf, iat, authTime int64
	var audience []string
	var namespace []byte
	err := strictjson.Members(text, func(name, value []byte) error {
		switch string(name) {
		case "sub":
			return textClaim(value, &sub)
		case "iss":
			return textClaim(value, &iss)
		case "aud":
			return listClaim(value, &audience, true)
		case "exp":
			return timeClaim(value, &exp)
		case "nbf":
			return timeClaim(value, &nbf)
		case "iat":
			return timeClaim(value, &iat)
		case "jti":
			return textClaim(value, &p.TokenID)
		case "sid":
			return textClaim(value, &sid)
		case claimElevatedBy:
			return textClaim(value, &elevatedBy)
		case "auth_time":
			return timeClaim(value, &authTime)
		case "amr":
			return listClaim(value, &p.AMR, false)
		case "scope":
			return textClaim(value, &scope)
		case c.ClaimsNamespace:
			namespace = value
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	// Replicas may disagree on the time by a little, which matters for tokens that have just been issued; an expired
	// one has had its time.
	skewed := now.Add(clockSkew).Unix()
	switch {
	case iss != c.Issuer:
		return nil, errors.New("another issuer")
	case exp == 0 || now.Unix() >= exp:
		return nil, errors.New("expired")
	case iat > skewed || nbf > skewed:
		return nil, errors.New("not yet valid")
	case len(c.Audience) > 0 && !slices.ContainsFunc(audience, func(a string) bool { return slices.Contains(c.Audience, a) }):
		return nil, errors.New("another audience")
	}
	if p.UserID, err = parseID(sub); err != nil {
		return nil, fmt.Errorf("sub: %w", err)
	}
	if sid != "" {
		if p.SessionID, err = parseID(sid); err != nil {
			return nil, fmt.Errorf("sid: %w", err)
		}
	}
	if elevatedBy != "" {
		if p.ElevatedBy, err = parseID(elevatedBy); err != nil {
			return nil, fmt.Errorf("%s: %w", claimElevatedBy, err)
		}
	}
	if scope != "" {
		p.Scopes = strings.Split(scope, " ")
	}
	p.Expires = time.Unix(exp, 0).UTC()
	if authTime > 0 {
		p.AuthTime = time.Unix(authTime, 0).UTC()
	}
	return p, p.parseRoles(namespace, sub)
}

// parseRoles reads the claims in the namespace.
func (p *Principal) parseRoles(text []byte, sub string) error {
	var userID, elevated, anonymous string
	err := strictjson.Members(text, func(name, value []byte) error {
		switch string(name) {
		case claimUserID:
			return textClaim(value, &userID)
		case claimDefaultRole:
			return textClaim(value, &p.DefaultRole)
		case claimAllowedRoles:
			return listClaim(value, &p.Roles, false)
		case claimIsAnonymous:
			return textClaim(value, &anonymous)
		case claimElevated:
			// Only the documented form says something: the user's own id, as a string.
			if textClaim(value, &elevated) != nil {
				elevated = ""
			}
			return nil
		}
		var custom string
		if textClaim(value, &custom) == nil {
			if p.Claims == nil {
				p.Claims = make(map[string]string)
			}
			p.Claims[string(name)] = custom
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case userID != sub:
		return errors.New("sub and " + claimUserID + " differ")
	case p.DefaultRole == "":
		return errors.New("no " + claimDefaultRole)
	}
	p.Anonymous, p.Elevated = anonymous == "true", elevated == sub
	return nil
}

// parseID accepts a UUID in its one canonical form.
func parseID(s string) (uuid.UUID, error) {
	id, err := uuid.Parse(s)
	if err != nil {
		return id, err
	}
	if text, err := id.MarshalText(); err != nil || string(text) != s {
		return id, errors.New("not in canonical form")
	}
	return id, nil
}

// textClaim reads a JSON string.
func textClaim(value []byte, into *string) error {
	if len(value) < 2 || value[0] != '"' {
		return errors.New("not a string")
	}
	for _, c := range value {
		if c == '\\' {
			return json.Unmarshal(value, into)
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
	if len(value) == 0 || value[0] != '[' {
		return errors.New("not a list")
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
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil {
		f, err := strconv.ParseFloat(string(value), 64)
		if err != nil || math.IsNaN(f) || math.Abs(f) > maxClaim {
			return errors.New("not a time")
		}
		n = int64(f)
	}
	if n < 0 || n > maxClaim {
		return errors.New("not a time")
	}
	*into = n
	return nil
}

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

func sortedKeys(m map[string]string) []string {
	if len(m) == 0 {
		return nil
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
