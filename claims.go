package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ostiary/auth/internal/claimpath"
	"github.com/ostiary/auth/store"
)

// compileClaims compiles Config.AccessTokens.CustomClaims. Without any it returns nil, which costs nothing to read.
func compileClaims(paths map[string]string, defaults map[string]any) (*claimpath.Set, error) {
	if len(paths) == 0 && len(defaults) == 0 {
		return nil, nil
	}
	return claimpath.Compile(paths, defaults)
}

// customClaims returns the claims that the configuration and the service's hook add to an access token, by their full
// name. The hook has the last word where both name one.
func (e *Engine) customClaims(ctx context.Context, u *store.User) (map[string]string, error) {
	var claims map[string]string
	if set := e.rules.claims; set != nil {
		record, err := claimsRecord(u)
		if err != nil {
			return nil, err
		}
		claims = set.Extract(record)
	}
	h := e.config.Hooks.Claims
	if h == nil {
		return claims, nil
	}
	var more map[string]any
	err := hook("Claims", func() (err error) { more, err = h(ctx, publicUser(u)); return err })
	if err != nil {
		return nil, err
	}
	for _, given := range slices.Sorted(maps.Keys(more)) {
		name, err := claimpath.Name(given)
		if err != nil {
			return nil, fmt.Errorf("hook Claims: %w", err)
		}
		text, err := claimpath.Encode(more[given])
		if err != nil {
			return nil, fmt.Errorf("hook Claims: %s: %w", name, err)
		}
		if claims == nil {
			claims = make(map[string]string, len(more))
		}
		// Readers compare names without regard to case: there must be one of each.
		maps.DeleteFunc(claims, func(other, _ string) bool { return strings.EqualFold(other, name) })
		claims[name] = text
	}
	return claims, nil
}

// claimsRecord is the user as paths of custom claims see them: the members of the documented user object.
func claimsRecord(u *store.User) (map[string]any, error) {
	record := map[string]any{
		"id": u.ID.String(), "createdAt": u.CreatedAt.Format(time.RFC3339Nano),
		"displayName": u.DisplayName, "avatarUrl": u.AvatarURL, "locale": u.Locale,
		"email": nil, "emailVerified": u.EmailVerified,
		"phoneNumber": nil, "phoneNumberVerified": u.PhoneVerified,
		"defaultRole": u.DefaultRole, "isAnonymous": u.Anonymous,
	}
	if u.Email != "" {
		record["email"] = u.Email
	}
	if u.Phone != "" {
		record["phoneNumber"] = u.Phone
	}
	roles := make([]any, len(u.Roles))
	for i, r := range u.Roles {
		roles[i] = map[string]any{"role": r}
	}
	record["roles"] = roles
	if len(u.Metadata) > 0 {
		var metadata any
		d := json.NewDecoder(bytes.NewReader(u.Metadata))
		d.UseNumber() // a claim has the digits that were sent
		if err := d.Decode(&metadata); err != nil {
			return nil, fmt.Errorf("metadata of user %s: %w", u.ID, err)
		}
		record["metadata"] = metadata
	}
	return record, nil
}
