package oauth_test

import (
	"errors"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/provider/oauth"
)

func TestWorkOSGoesWhereItIsTold(t *testing.T) {
	t.Parallel()
	type selectors = map[string]string
	for name, tt := range map[string]struct {
		config oauth.WorkOSConfig
		params url.Values
		want   selectors // nil if it is an error
	}{
		"nothing said":             {oauth.WorkOSConfig{}, nil, selectors{}},
		"the default organization": {oauth.WorkOSConfig{DefaultOrganization: "org_1"}, nil, selectors{"organization": "org_1"}},
		"the default connection":   {oauth.WorkOSConfig{DefaultConnection: "conn_1"}, nil, selectors{"connection": "conn_1"}},
		"the default domain":       {oauth.WorkOSConfig{DefaultDomain: "example.com"}, nil, selectors{"domain": "example.com"}},
		"another organization":     {oauth.WorkOSConfig{DefaultOrganization: "org_1"}, url.Values{"organization": {"org_2"}}, selectors{"organization": "org_2"}},
		"a connection in place of the organization": {
			oauth.WorkOSConfig{DefaultOrganization: "org_1"}, url.Values{"connection": {"conn_2"}}, selectors{"connection": "conn_2"},
		},
		"a provider":               {oauth.WorkOSConfig{DefaultDomain: "example.com"}, url.Values{"provider": {"GoogleOAuth"}}, selectors{"provider": "GoogleOAuth"}},
		"a domain":                 {oauth.WorkOSConfig{}, url.Values{"domain": {"a.test&provider=x"}}, selectors{"domain": "a.test&provider=x"}},
		"an empty organization":    {oauth.WorkOSConfig{DefaultOrganization: "org_1"}, url.Values{"organization": {""}}, selectors{"organization": "org_1"}},
		"two organizations":        {oauth.WorkOSConfig{}, url.Values{"organization": {"org_1", "org_2"}}, nil},
		"a parameter of OAuth":     {oauth.WorkOSConfig{}, url.Values{"redirect_uri": {"https://evil.test"}}, nil},
		"the client":               {oauth.WorkOSConfig{}, url.Values{"client_id": {"x"}}, nil},
		"a state":                  {oauth.WorkOSConfig{}, url.Values{"state": {"x"}}, nil},
		"another case":             {oauth.WorkOSConfig{}, url.Values{"Organization": {"org_1"}}, nil},
		"a parameter with nothing": {oauth.WorkOSConfig{}, url.Values{"prompt": {}}, nil},
	} {
		tt.config.Config = config()
		p, err := oauth.WorkOS(tt.config)
		if err != nil {
			t.Fatal(err)
		}
		q := request()
		q.Params = tt.params
		a, err := p.Authorize(t.Context(), provider.Env{}, q)
		if tt.want == nil {
			if !errors.Is(err, provider.ErrParams) {
				t.Errorf("%s: %v, %v", name, a, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := url.Values{
			"client_id": {"client"}, "response_type": {"code"}, "redirect_uri": {redirectURI}, "state": {"the-state"},
			"code_challenge": {challenge}, "code_challenge_method": {"S256"},
		}
		for key, value := range tt.want {
			want.Set(key, value)
		}
		to, err := url.Parse(a.URL)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, to.Query()); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
}

// What WorkOS says of somebody along with the token is not asked for by that token.
func TestWorkOSProfileIsThatOfTheToken(t *testing.T) {
	t.Parallel()
	k := all["workos"]
	f := answers(t, map[string]string{
		k.token:   `{"access_token": "a", "profile": {"id": "prof_other", "email": "other@example.com"}}`,
		k.profile: `{"id": "prof_1"}`,
	})
	p := made(t, k)
	got, err := p.Exchange(t.Context(), f.env(), back())
	if err != nil {
		t.Fatal(err)
	}
	who, err := p.Profile(t.Context(), f.env(), back(), got)
	if err != nil || (who != provider.Profile{Subject: "prof_1"}) {
		t.Errorf("%+v, %v", who, err)
	}
}
