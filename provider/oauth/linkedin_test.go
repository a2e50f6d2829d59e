package oauth_test

import (
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/provider/oauth"
)

const (
	linkedInToken   = "https://www.linkedin.com/oauth/v2/accessToken"
	linkedInProfile = "https://api.linkedin.com/v2/userinfo"
)

func newLinkedIn(t testing.TB) *issuing {
	t.Helper()
	i := newIssuing(t, linkedInToken, "https://www.linkedin.com/oauth/openid/jwks", linkedInProfile, nil)
	i.token["id_token"] = "h.p.s"
	i.profile = `{"sub":"782bbtaQ","name":"A B","given_name":"A","family_name":"B","picture":"https://media.licdn.com/a",
		"locale":{"country":"US","language":"en"},"email":"a@example.com","email_verified":true}`
	return i
}

func linkedIn(t testing.TB) provider.Provider {
	t.Helper()
	p, err := oauth.LinkedIn(registered())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestLinkedIn(t *testing.T) {
	t.Parallel()
	p := linkedIn(t)
	wantAuthorization(t, p, "https://www.linkedin.com/oauth/v2/authorization", false, url.Values{
		"scope": {"openid profile email"}, "code_challenge": nil, "code_challenge_method": nil, "nonce": nil,
	})
	i := newLinkedIn(t)
	got, err := i.signIn(t, p)
	if diff := cmp.Diff(provider.Profile{
		Subject: "782bbtaQ", Email: "a@example.com", EmailVerified: true, Name: "A B", Picture: "https://media.licdn.com/a",
	}, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	// LinkedIn answers 401 invalid_client to a verifier.
	if form := i.sent(t, linkedInToken); form.Has("code_verifier") || form.Get("client_secret") != "client-secret" {
		t.Errorf("the form is %v", form)
	}
}
