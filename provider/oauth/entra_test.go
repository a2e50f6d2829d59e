package oauth_test

import (
	"maps"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/provider/oauth"
)

const (
	tenantA   = "aaaaaaaa-0000-4000-8000-000000000001"
	tenantB   = "bbbbbbbb-0000-4000-8000-000000000002"
	consumers = "9188040d-6c67-4c5b-b112-36a304b66dad"
	objectID  = "00000000-0000-4000-8000-0000000000ff"

	entraProfile = "https://graph.microsoft.com/oidc/userinfo"
	azureProfile = "https://login.microsoftonline.com/common/openid/userinfo"
)

func newEntra(t testing.TB) *issuing { return newEntraAt(t, "common") }

// newEntraAt is version 2.0 for a tenant.

func newEntraAt(t testing.TB, tenant string) *issuing {
	t.Helper()
	base := "https://login.microsoftonline.com/" + tenant
	i := newIssuing(t, base+"/oauth2/v2.0/token", base+"/discovery/v2.0/keys", entraProfile, map[string]any{
		"iss": "https://login.microsoftonline.com/" + tenantA + "/v2.0", "tid": tenantA, "sub": "AAAAsub", "oid": objectID,
		"email": "a@example.com", "name": "A B", "preferred_username": "a@example.com", "ver": "2.0",
	})
	i.profile = `{"sub":"AAAAsub","email":"a@example.com","givenname":"A","familyname":"B","picture":"https://graph.microsoft.com/v1.0/me/photo/$value"}`
	return i
}

func newAzureAD(t testing.TB) *issuing {
	t.Helper()
	base := "https://login.microsoftonline.com/common"
	i := newIssuing(t, base+"/oauth2/token", base+"/discovery/keys", azureProfile, map[string]any{
		"iss": "https://sts.windows.net/" + tenantA + "/", "tid": tenantA, "sub": "AAAAsub", "oid": objectID,
		"upn": "a@corp.example", "unique_name": "a@corp.example", "name": "A B", "ver": "1.0",
	})
	i.profile = `{"oid":"` + objectID + `","tid":"` + tenantA + `","sub":"AAAAsub","upn":"a@corp.example","name":"A B"}`
	return i
}

func entra(t testing.TB, tenant string) provider.Provider {
	t.Helper()
	p, err := oauth.Entra(oauth.EntraConfig{Config: registered(), Tenant: tenant})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func azureAD(t testing.TB, tenant string) provider.Provider {
	t.Helper()
	p, err := oauth.AzureAD(oauth.EntraConfig{Config: registered(), Tenant: tenant})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestEntra(t *testing.T) {
	t.Parallel()
	p := entra(t, "")
	wantAuthorization(t, p, "https://login.microsoftonline.com/common/oauth2/v2.0/authorize", false,
		url.Values{"scope": {"openid email profile"}})
	i := newEntra(t)
	got, err := i.signIn(t, p)
	if diff := cmp.Diff(provider.Profile{Subject: tenantA + "/AAAAsub", Email: "a@example.com", Name: "A B"}, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	if len(i.web.Requests(entraProfile)) > 0 {
		t.Error("the userinfo endpoint was asked for what the id token says")
	}
	if form := i.sent(t, "https://login.microsoftonline.com/common/oauth2/v2.0/token"); form.Get("client_secret") != "client-secret" {
		t.Errorf("the form is %v", form)
	}
	i = newEntra(t)
	i.token["id_token"] = ""
	got, err = i.signIn(t, p)
	if diff := cmp.Diff(provider.Profile{
		Subject: "AAAAsub", Email: "a@example.com", Name: "A B", Picture: "https://graph.microsoft.com/v1.0/me/photo/$value",
	}, got); err != nil || diff != "" {
		t.Errorf("without an id token: %v (-want +got)\n%s", err, diff)
	}
}

func TestAzureAD(t *testing.T) {
	t.Parallel()
	p := azureAD(t, "")
	wantAuthorization(t, p, "https://login.microsoftonline.com/common/oauth2/authorize", false,
		url.Values{"scope": {"openid email profile"}, "prompt": {"select_account"}})
	want := provider.Profile{Subject: tenantA + "/" + objectID, Email: "a@corp.example", Name: "A B"}
	for _, without := range []bool{false, true} {
		i := newAzureAD(t)
		if without {
			i.token["id_token"] = ""
		}
		got, err := i.signIn(t, p)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("without an id token: %v: %v (-want +got)\n%s", without, err, diff)
		}
	}
}

// OA-24, W3: names for signing in prove no mailbox, and what administrators type proves nothing unless Microsoft says so.
func TestMicrosoftEmails(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name         string
		change       map[string]any
		entra, azure string
		verified     bool
	}{
		{"as it is", nil, "a@example.com", "a@example.com", false},
		{"verified in the sense of others", map[string]any{"email_verified": true, "verified": true}, "a@example.com", "a@example.com", false},
		{"a domain of the tenant's", map[string]any{"xms_edov": true}, "a@example.com", "a@example.com", true},
		{"in words", map[string]any{"xms_edov": "true"}, "a@example.com", "a@example.com", false},
		{"by a text", map[string]any{"xms_edov": "1"}, "a@example.com", "a@example.com", false},
		{"by number", map[string]any{"xms_edov": 1}, "a@example.com", "a@example.com", false},
		{"not so", map[string]any{"xms_edov": false}, "a@example.com", "a@example.com", false},
		{
			"a name of a domain of the tenant's",
			map[string]any{"email": nil, "xms_edov": true, "preferred_username": "ceo@example.com"},
			"", "ceo@example.com", false,
		},
		{
			"another name",
			map[string]any{"email": nil, "xms_edov": true, "preferred_username": nil, "upn": "cfo@example.com"},
			"", "cfo@example.com", false,
		},
		{
			"a name that is no address",
			map[string]any{"email": nil, "preferred_username": "+41791234567", "upn": "cfo@example.com"},
			"", "cfo@example.com", false,
		},
		{"a list", map[string]any{"email": []string{"a@example.com"}, "xms_edov": true, "preferred_username": 1}, "", "", false},
	} {
		for which, x := range map[string]struct {
			issuing *issuing
			p       provider.Provider
			want    string
		}{"entraid": {newEntra(t), entra(t, ""), tt.entra}, "azuread": {newAzureAD(t), azureAD(t, ""), tt.azure}} {
			x.issuing.claims["email"] = "a@example.com"
			delete(x.issuing.claims, "upn")
			maps.Copy(x.issuing.claims, tt.change)
			maps.DeleteFunc(x.issuing.claims, func(_ string, v any) bool { return v == nil })
			got, err := x.issuing.signIn(t, x.p)
			if err != nil || got.Email != x.want || got.EmailVerified != (tt.verified && x.want != "") {
				t.Errorf("%s: %s: %+v, %v", which, tt.name, got, err)
			}
		}
	}
}

// OA-24: an account of a tenant is no account of another, whatever its id.
func TestMicrosoftTenants(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ configured, of, want string }{
		{"common", tenantA, tenantA + "/AAAAsub"},
		{"common", tenantB, tenantB + "/AAAAsub"},
		{"common", consumers, consumers + "/AAAAsub"},
		{"organizations", tenantA, tenantA + "/AAAAsub"},
		{"organizations", consumers, ""},
		{"consumers", consumers, consumers + "/AAAAsub"},
		{"consumers", tenantA, ""},
		{"corp.example", tenantA, tenantA + "/AAAAsub"},
		{tenantA, tenantA, "AAAAsub"},
		{strings.ToUpper(tenantA), tenantA, "AAAAsub"},
		{tenantA, tenantB, ""},
		{tenantA, consumers, ""},
	} {
		i := newEntraAt(t, strings.ToLower(tt.configured))
		i.claims["tid"], i.claims["iss"] = tt.of, "https://login.microsoftonline.com/"+tt.of+"/v2.0"
		got, err := i.signIn(t, entra(t, tt.configured))
		if got.Subject != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s, an account of %s: %q, %v", tt.configured, tt.of, got.Subject, err)
		}
	}
	for name, change := range map[string]map[string]any{
		"the issuer of one tenant and the id of another": {"tid": tenantB},
		"no tenant":                       {"tid": nil},
		"no tenant, nor in the issuer":    {"tid": nil, "iss": "https://login.microsoftonline.com//v2.0"},
		"a tenant that is none":           {"tid": "common", "iss": "https://login.microsoftonline.com/common/v2.0"},
		"a tenant in the path":            {"tid": tenantA + "/v2.0/../" + tenantB, "iss": "https://login.microsoftonline.com/" + tenantA + "/v2.0/../" + tenantB + "/v2.0"},
		"the issuer as it is in metadata": {"iss": "https://login.microsoftonline.com/{tenantid}/v2.0"},
		"the issuer of version 1":         {"iss": "https://sts.windows.net/" + tenantA + "/"},
		"a tenant that is a list":         {"tid": []string{tenantA}},
	} {
		i := newEntra(t)
		maps.Copy(i.claims, change)
		maps.DeleteFunc(i.claims, func(_ string, v any) bool { return v == nil })
		if got, err := i.signIn(t, entra(t, "")); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	// The userinfo endpoint of version 1 names the tenant, too.
	i := newAzureAD(t)
	i.token["id_token"] = ""
	i.profile = strings.Replace(i.profile, tenantA, "common", 1)
	if got, err := i.signIn(t, azureAD(t, "")); err == nil {
		t.Errorf("a tenant that is none: %+v", got)
	}
	for _, oid := range []string{"", `"oid":"",`, `"oid":"  ",`} {
		i = newAzureAD(t)
		i.token["id_token"] = ""
		i.profile = strings.Replace(i.profile, `"oid":"`+objectID+`",`, oid, 1)
		if got, err := i.signIn(t, azureAD(t, "")); err == nil {
			t.Errorf("nobody in particular: %+v", got)
		}
	}
}

func TestEntraConfigIsChecked(t *testing.T) {
	t.Parallel()
	for field, change := range map[string]func(*oauth.EntraConfig){
		"ClientID":     func(c *oauth.EntraConfig) { c.ClientID = "" },
		"ClientSecret": func(c *oauth.EntraConfig) { c.ClientSecret = "" },
		"Tenant":       func(c *oauth.EntraConfig) { c.Tenant = "a/../b" },
		"JWKSURL":      func(c *oauth.EntraConfig) { c.JWKSURL = "http://example.com" },
		"TokenURL":     func(c *oauth.EntraConfig) { c.TokenURL = "http://example.com" },
		"ProfileURL":   func(c *oauth.EntraConfig) { c.ProfileURL = "ftp://example.com" },
	} {
		c := oauth.EntraConfig{Config: registered()}
		change(&c)
		for name, make := range map[string]func(oauth.EntraConfig) (provider.Provider, error){
			"entraid": oauth.Entra, "azuread": oauth.AzureAD,
		} {
			if p, err := make(c); err == nil || p != nil || !strings.Contains(err.Error(), field) {
				t.Errorf("%s: %s: %v", name, field, err)
			}
		}
	}
}
