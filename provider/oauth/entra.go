package oauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"golang.org/x/oauth2"

	"github.com/ostiary/auth/internal/idtoken"
	"github.com/ostiary/auth/internal/outbound"
	"github.com/ostiary/auth/provider"
)

// EntraConfig is a registration at Microsoft Entra ID, once Azure Active Directory.
type EntraConfig struct {
	Config
	// Tenant says whose accounts may sign in: those of one organization, by its id, a GUID; by one of its domains; or of
	// several, by "organizations" (of all), "consumers" (personal accounts) or "common" (both). The default is "common".
	//
	// An id pins the tenant, and the ids of accounts are as Microsoft gives them. In every other case they are unique within a
	// tenant only, and anybody can have one: the Subject of a profile is the id of the tenant, a slash and the id of the
	// account. So those who change from one way to the other change who their users are.
	Tenant string

	// Issuer is that of id tokens, if not the one of the public cloud; "{tenantid}" stands for the id of the tenant.
	Issuer  string
	JWKSURL string // as the other URLs of Config
}

// Entra returns Microsoft Entra ID, version 2.0. Accounts are known by "sub", which Microsoft makes for each client and account.
//
// They come from the id token, which has all that the userinfo endpoint has; that one is asked if there is no id token, and
// then the tenant is not known. An address is what an administrator of a tenant typed: it is verified if the optional
// claim "xms_edov" is true, which says that the domain belongs to the tenant or that the address was used to sign
// in, and never otherwise. The scope "offline_access", for refresh tokens, is not asked for unless it is among Scopes.
// The error names every mistake in c.
//
// Source: https://learn.microsoft.com/en-us/entra/identity-platform/id-token-claims-reference and
// https://learn.microsoft.com/en-us/entra/identity-platform/optional-claims-reference
func Entra(c EntraConfig) (provider.Provider, error) {
	r, err := newMicrosoft("entraid", c, "sub", nil, EntraConfig{
		Config: Config{
			Scopes:           []string{"openid", "email", "profile"},
			AuthorizationURL: "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/authorize",
			TokenURL:         "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token",
			ProfileURL:       "https://graph.microsoft.com/oidc/userinfo",
		},
		Issuer:  "https://login.microsoftonline.com/{tenantid}/v2.0",
		JWKSURL: "https://login.microsoftonline.com/{tenant}/discovery/v2.0/keys",
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// newMicrosoft returns either version of Entra ID, whose accounts are known by the claim called id. Where there is no "email",
// it takes the first of other claims that looks like one.
func newMicrosoft(name string, c EntraConfig, id string, other []string, def EntraConfig) (*registration, error) {
	t, mistake := parseTenant(name, cmp.Or(c.Tenant, "common"))
	for _, u := range []*string{&def.AuthorizationURL, &def.TokenURL, &def.ProfileURL, &def.JWKSURL} {
		*u = strings.ReplaceAll(*u, "{tenant}", t.name)
	}
	t.issuer = cmp.Or(c.Issuer, def.Issuer)
	jwksURL := cmp.Or(c.JWKSURL, def.JWKSURL)
	if err := outbound.CheckURL(jwksURL); err != nil && mistake == nil {
		mistake = fmt.Errorf("oauth: %s: JWKSURL %w", name, err)
	}
	r, err := register(name, c.Config, def.Config, oauth2.AuthStyleInParams)
	if err := errors.Join(mistake, err); err != nil {
		return nil, err
	}
	v := &idtoken.Verifier{Keys: idtoken.NewKeys(jwksURL), Issuer: t.issued, Algorithms: rs256}
	r.nonce = true
	r.profile = func(ctx context.Context, l lookup) (provider.Profile, error) {
		var user object
		var err error
		if l.tokens.IDToken == "" {
			user, err = l.object(ctx, l.ProfileURL)
		} else {
			var claims idtoken.Claims
			claims, err = l.idToken(ctx, v)
			user = object(claims)
		}
		if err != nil {
			return provider.Profile{}, err
		}
		p := provider.Profile{
			Email:         user.text("email"),
			EmailVerified: user.flag("xms_edov") && user.text("email") != "",
			Name:          user.text("name"),
			Picture:       user.text("picture"),
		}
		for _, member := range other {
			if text := user.text(member); p.Email == "" && strings.Contains(text, "@") {
				p.Email, p.EmailVerified = text, false
			}
		}
		if p.Subject, err = t.subject(user, id); err != nil {
			return provider.Profile{}, err
		}
		if p.Name == "" {
			p.Name = cmp.Or(user.words("givenname", "familyname"), user.words("given_name", "family_name"))
		}
		return p, nil
	}
	return r, nil
}

var (
	guid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	// domain also matches the names that stand for several tenants.
	domain = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,252}$`)
)

// consumers is the tenant of personal accounts.
const consumers = "9188040d-6c67-4c5b-b112-36a304b66dad"

// tenant is whose accounts may sign in.
type tenant struct {
	name   string // as it stands in URLs
	issuer string // with {tenantid}
}

func parseTenant(name, given string) (tenant, error) {
	t := tenant{name: strings.ToLower(given)}
	if !domain.MatchString(t.name) {
		return t, fmt.Errorf("oauth: %s: Tenant is neither an id nor a domain", name)
	}
	return t, nil
}

func (t tenant) pinned() bool { return guid.MatchString(t.name) }

// admits reports whether accounts of the tenant with this id may sign in, as far as the name tells.
func (t tenant) admits(id string) bool {
	switch {
	case !guid.MatchString(id):
		return false
	case t.pinned():
		return id == t.name
	case t.name == "consumers":
		return id == consumers
	case t.name == "organizations":
		return id != consumers
	}
	return true
}

// issued reports whether a token is of a tenant that is admitted: the issuer has the tenant's id, which is that of the claim
// "tid".
func (t tenant) issued(c idtoken.Claims) bool {
	id := c.Text("tid")
	return t.admits(id) && c.Text("iss") == strings.ReplaceAll(t.issuer, "{tenantid}", id)
}

// subject is the id of an account, with that of its tenant unless there is but one.
func (t tenant) subject(user object, name string) (string, error) {
	id, err := user.id(name)
	if err != nil {
		return "", err
	}
	if strings.TrimSpace(id) == "" { // which it is not with the id of a tenant before it
		return "", fmt.Errorf("%s is empty", name)
	}
	of, has := user["tid"]
	if !has { // of a userinfo endpoint, which answers for the tenant that the token endpoint is of
		return id, nil
	}
	tid, _ := of.(string)
	switch {
	case !t.admits(tid):
		return "", errors.New("the account is of another tenant")
	case t.pinned():
		return id, nil
	}
	return tid + "/" + id, nil
}
