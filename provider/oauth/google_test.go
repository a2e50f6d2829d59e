package oauth_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/provider/oauth"
)

const (
	googleToken   = "https://oauth2.googleapis.com/token"
	googleKeys    = "https://www.googleapis.com/oauth2/v3/certs"
	googleProfile = "https://www.googleapis.com/oauth2/v2/userinfo"
	googleID      = "110169484474386276334" // beyond 2^53
)

func newGoogle(t testing.TB) *issuing {
	t.Helper()
	i := newIssuing(t, googleToken, googleKeys, googleProfile, map[string]any{
		"iss": "https://accounts.google.com", "azp": "client", "sub": googleID,
		"email": "a@gmail.com", "email_verified": true, "name": "A B", "picture": "https://lh3.googleusercontent.com/a",
	})
	i.profile = `{"id":"` + googleID + `","email":"a@gmail.com","verified_email":true,"name":"A B","given_name":"A",
		"family_name":"B","picture":"https://lh3.googleusercontent.com/a","hd":"example.com"}`
	return i
}

func google(t testing.TB) provider.Provider {
	t.Helper()
	p, err := oauth.Google(oauth.GoogleConfig{Config: registered()})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestGoogle(t *testing.T) {
	t.Parallel()
	p := google(t)
	wantAuthorization(t, p, "https://accounts.google.com/o/oauth2/auth", false, url.Values{"scope": {"openid email profile"}})
	want := provider.Profile{
		Subject: googleID, Email: "a@gmail.com", EmailVerified: true, Name: "A B", Picture: "https://lh3.googleusercontent.com/a",
	}
	for name, change := range map[string]func(*issuing){
		"as documented":       func(*issuing) {},
		"without an id token": func(i *issuing) { i.token["id_token"] = nil },
		"of the other issuer": func(i *issuing) { i.claims["iss"] = "accounts.google.com" }, // ID-04
		"in the form of OpenID": func(i *issuing) {
			i.profile = strings.NewReplacer(`"id"`, `"sub"`, `verified_email`, `email_verified`).Replace(i.profile)
		},
		"with a token of no type": func(i *issuing) { i.token["id_token"] = 1 },
	} {
		i := newGoogle(t)
		change(i)
		got, err := i.signIn(t, p)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got)\n%s", name, err, diff)
		}
		if form := i.sent(t, googleToken); form.Get("client_secret") != "client-secret" || form.Get("code_verifier") != openIDVerifier {
			t.Errorf("%s: the form is %v", name, form)
		}
	}
}

// OA-17
func TestGoogleIssuerOfTheAnswer(t *testing.T) {
	t.Parallel()
	for iss, ok := range map[string]bool{"https://accounts.google.com": true, "https://evil.example": false, "": false} {
		i := newGoogle(t)
		_, err := i.signIn(t, google(t), func(b *provider.Return) { b.Values.Set("iss", iss) })
		if (err == nil) != ok || !ok && len(i.web.Requests("")) > 0 {
			t.Errorf("%q: %v after %d requests", iss, err, len(i.web.Requests("")))
		}
	}
}

// OA-19, OA-22, OA-23, OA-27
func TestGoogleAndLinkedInProfiles(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, profile string
		want          provider.Profile // besides the subject "1"; nothing if refused
		refused       bool
	}{
		{"nothing but the id", `{"ID":"1"}`, provider.Profile{}, false},
		{"an address, verified", `{"ID":"1","email":"a@example.com","FLAG":true}`, provider.Profile{Email: "a@example.com", EmailVerified: true}, false},
		{"verified by another flag", `{"ID":"1","email":"a@example.com","verified":true}`, provider.Profile{Email: "a@example.com"}, false},
		{"verified in words", `{"ID":"1","email":"a@example.com","FLAG":"true"}`, provider.Profile{Email: "a@example.com"}, false},
		{"verified by number", `{"ID":"1","email":"a@example.com","FLAG":1}`, provider.Profile{Email: "a@example.com"}, false},
		{"verified in a list", `{"ID":"1","email":"a@example.com","FLAG":[true]}`, provider.Profile{Email: "a@example.com"}, false},
		{"verified by null", `{"ID":"1","email":"a@example.com","FLAG":null}`, provider.Profile{Email: "a@example.com"}, false},
		{"an empty address, verified", `{"ID":"1","email":"","FLAG":true}`, provider.Profile{}, false},
		{"a list of addresses", `{"ID":"1","email":["a@example.com"],"FLAG":true}`, provider.Profile{}, false},
		{"roles", `{"ID":"1","roles":["admin"],"name":{"x":1}}`, provider.Profile{}, false},
		{"no id", `{"email":"a@example.com","FLAG":true}`, provider.Profile{}, true},
		{"an empty id", `{"ID":""}`, provider.Profile{}, true},
		{"a number", `{"ID":1}`, provider.Profile{}, true},
		{"a large number", `{"ID":9007199254740993}`, provider.Profile{}, true},
		{"0", `{"ID":0}`, provider.Profile{}, true},
		{"null for an id", `{"ID":null}`, provider.Profile{}, true},
		{"a list for an id", `{"ID":["1"]}`, provider.Profile{}, true},
		{"a long id", `{"ID":"` + strings.Repeat("1", 1<<20) + `"}`, provider.Profile{}, true},
		{"a list", `[{"ID":"1"}]`, provider.Profile{}, true},
		{"null", `null`, provider.Profile{}, true},
		{"a page", `<!doctype html>`, provider.Profile{}, true},
		{"nothing", ``, provider.Profile{}, true},
	} {
		for which, x := range map[string]struct {
			issuing  *issuing
			p        provider.Provider
			id, flag string
		}{
			"google":           {newGoogle(t), google(t), "id", "verified_email"},
			"google by OpenID": {newGoogle(t), google(t), "sub", "email_verified"},
			"linkedin":         {newLinkedIn(t), linkedIn(t), "sub", "email_verified"},
		} {
			x.issuing.token["id_token"] = ""
			x.issuing.profile = strings.NewReplacer("ID", x.id, "FLAG", x.flag).Replace(tt.profile)
			got, err := x.issuing.signIn(t, x.p)
			if tt.refused {
				if err == nil {
					t.Errorf("%s: %s: %.300v", which, tt.name, got)
				}
				continue
			}
			tt.want.Subject = "1"
			if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
				t.Errorf("%s: %s: %v (-want +got)\n%s", which, tt.name, err, diff)
			}
		}
	}
}
