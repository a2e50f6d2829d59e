package oauth_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth/provider"
)

// answered is what a provider says of an account, and who that is.
type answered struct {
	provider string
	profile  string
	emails   string // where they are elsewhere
	want     provider.Profile
}

// W3, OA-20 to OA-24: the answers are those that the providers document, with what makes them different.
var profiles = map[string]answered{
	"bitbucket": {
		"bitbucket", `{"type": "user", "uuid": "{d301aafa-d676-4ee0-88be-962be7417567}", "account_id": "557058:ba8948b2",
			"display_name": "Ada Lovelace", "nickname": "ada", "created_on": "2015-01-01T00:00:00+00:00",
			"links": {"self": {"href": "https://api.bitbucket.org/2.0/users/x"}, "avatar": {"href": "https://secure.gravatar.com/avatar/1"}}}`,
		`{"pagelen": 10, "page": 1, "size": 3, "values": [
			{"type": "email", "email": "new@example.com", "is_primary": false, "is_confirmed": false},
			{"type": "email", "email": "old@example.com", "is_primary": false, "is_confirmed": true},
			{"type": "email", "email": "ada@example.com", "is_primary": true, "is_confirmed": true}]}`,
		provider.Profile{
			Subject: "{d301aafa-d676-4ee0-88be-962be7417567}", Email: "ada@example.com", EmailVerified: true,
			Name: "Ada Lovelace", Picture: "https://secure.gravatar.com/avatar/1",
		},
	},
	"bitbucket, the primary one unconfirmed": {
		"bitbucket", `{"uuid": "{1}"}`, `{"values": [{"email": "old@example.com", "is_primary": false, "is_confirmed": true},
			{"email": "ada@example.com", "is_primary": true, "is_confirmed": false}]}`,
		provider.Profile{Subject: "{1}"},
	},
	"bitbucket, flags of other types": {
		"bitbucket", `{"uuid": "{1}", "links": []}`, `{"values": [{"email": "a@example.com", "is_primary": true, "is_confirmed": "true"},
			{"email": "b@example.com", "is_primary": "true", "is_confirmed": true}, {"email": "c@example.com", "is_primary": 1, "is_confirmed": 1},
			"d@example.com", null, [], {"email": ["e@example.com"], "is_primary": true, "is_confirmed": true}]}`,
		provider.Profile{Subject: "{1}"},
	},
	"discord": {
		"discord", `{"id": "80351110224678912", "username": "nelly", "discriminator": "0", "global_name": "Nelly", "verified": true,
			"avatar": "8342729096ea3675442027381ff50dfe", "email": "nelly@discord.com", "flags": 64, "locale": "en-US"}`, "",
		provider.Profile{
			Subject: "80351110224678912", Email: "nelly@discord.com", EmailVerified: true, Name: "Nelly",
			Picture: "https://cdn.discordapp.com/avatars/80351110224678912/8342729096ea3675442027381ff50dfe.png",
		},
	},
	"discord, unverified and without avatar": {
		"discord", `{"id": "1", "username": "nelly", "discriminator": "0", "global_name": null, "verified": false, "avatar": null, "email": "nelly@discord.com"}`, "",
		provider.Profile{Subject: "1", Email: "nelly@discord.com", Name: "nelly"},
	},
	"discord, of old": {
		"discord", `{"id": "1", "username": "Nelly", "discriminator": "1337", "avatar": "../x?", "verified": true, "email": null}`, "",
		provider.Profile{Subject: "1", Name: "Nelly#1337", Picture: "https://cdn.discordapp.com/avatars/1/..%2Fx%3F.png"},
	},
	"discord, a flag that is text": {
		"discord", `{"id": "1", "verified": "true", "email": "a@example.com", "discriminator": 5}`, "",
		provider.Profile{Subject: "1", Email: "a@example.com"},
	},
	"facebook": {
		"facebook", `{"id": "10158234567890123", "name": "Ada Lovelace", "email": "ada@example.com", "verified": true,
			"picture": {"data": {"height": 50, "is_silhouette": false, "url": "https://platform-lookaside.fbsbx.com/platform/profilepic/?asid=1", "width": 50}}}`, "",
		provider.Profile{
			Subject: "10158234567890123", Email: "ada@example.com", Name: "Ada Lovelace",
			Picture: "https://platform-lookaside.fbsbx.com/platform/profilepic/?asid=1",
		},
	},
	"facebook, by telephone": {
		"facebook", `{"id": "1", "name": "Ada"}`, "", provider.Profile{Subject: "1", Name: "Ada"},
	},
	"github": {
		"github", `{"login": "octocat", "id": 583231, "node_id": "MDQ6VXNlcjU4MzIzMQ==", "avatar_url": "https://avatars.githubusercontent.com/u/583231?v=4",
			"type": "User", "site_admin": true, "name": "The Octocat", "email": "public@example.com"}`,
		`[{"email": "first@example.com", "primary": false, "verified": false, "visibility": null},
			{"email": "octocat@github.com", "primary": true, "verified": true, "visibility": "public"},
			{"email": "1+octocat@users.noreply.github.com", "primary": false, "verified": true, "visibility": null}]`,
		provider.Profile{
			Subject: "583231", Email: "octocat@github.com", EmailVerified: true, Name: "The Octocat",
			Picture: "https://avatars.githubusercontent.com/u/583231?v=4",
		},
	},
	"github, the primary one unverified": {
		"github", `{"id": 1, "name": null, "email": "public@example.com"}`,
		`[{"email": "other@example.com", "primary": false, "verified": true}, {"email": "a@example.com", "primary": true, "verified": false}]`,
		provider.Profile{Subject: "1"},
	},
	"github, none verified": {
		"github", `{"id": 1, "email": "public@example.com", "verified": true}`, `[{"email": "a@example.com", "primary": true, "verified": false}]`,
		provider.Profile{Subject: "1"},
	},
	"github, none": {"github", `{"id": 1, "email": "public@example.com"}`, `[]`, provider.Profile{Subject: "1"}},
	"github, flags of other types": {
		"github", `{"id": 1, "name": {"a": 1}, "avatar_url": 7}`, `[{"email": "a@example.com", "primary": true, "verified": "true"},
			{"email": "b@example.com", "primary": true, "verified": [true]}, {"email": "c@example.com", "primary": true, "verified": 1},
			{"email": "d@example.com", "primary": 1, "verified": true}, {"email": 5, "primary": true, "verified": true}, 3]`,
		provider.Profile{Subject: "1"},
	},
	"gitlab": {
		"gitlab", `{"id": 1, "username": "john_smith", "email": "john@example.com", "name": "John Smith", "state": "active",
			"avatar_url": "https://gitlab.com/uploads/-/system/user/avatar/1/index.png", "confirmed_at": "2012-05-23T09:05:22Z", "is_admin": true,
			"public_email": "public@example.com", "commit_email": "commit@example.com"}`, "",
		provider.Profile{
			Subject: "1", Email: "john@example.com", EmailVerified: true, Name: "John Smith",
			Picture: "https://gitlab.com/uploads/-/system/user/avatar/1/index.png",
		},
	},
	"gitlab, unconfirmed": {
		"gitlab", `{"id": 1, "email": "john@example.com", "name": "John", "avatar_url": null, "confirmed_at": null}`, "",
		provider.Profile{Subject: "1", Email: "john@example.com", Name: "John"},
	},
	"gitlab, another flag": {
		"gitlab", `{"id": 1, "email": "john@example.com", "confirmed_at": true, "confirmed": true, "verified": true, "email_verified": true}`, "",
		provider.Profile{Subject: "1", Email: "john@example.com"},
	},
	"gitlab, confirmed without an address": {
		"gitlab", `{"id": 1, "email": "", "confirmed_at": "2012-05-23T09:05:22Z"}`, "", provider.Profile{Subject: "1"},
	},
	"spotify": {
		"spotify", `{"id": "smedjan", "display_name": "Smedjan", "email": "a@example.com", "type": "user", "uri": "spotify:user:smedjan",
			"images": [{"url": "https://i.scdn.co/image/1", "height": 300, "width": 300}, {"url": "https://i.scdn.co/image/2"}]}`, "",
		provider.Profile{Subject: "smedjan", Email: "a@example.com", Name: "Smedjan", Picture: "https://i.scdn.co/image/1"},
	},
	"spotify, minimal": {
		"spotify", `{"id": "smedjan", "display_name": null, "images": [], "email_verified": true}`, "", provider.Profile{Subject: "smedjan"},
	},
	"spotify, images that are none": {
		"spotify", `{"id": "smedjan", "images": ["https://i.scdn.co/image/1"]}`, "", provider.Profile{Subject: "smedjan"},
	},
	"strava": {
		"strava", `{"id": 1234567890987654321, "username": "marianne_t", "firstname": "Marianne", "lastname": "Teutenberg", "email": "a@example.com",
			"profile_medium": "https://dgalywyr863hv.cloudfront.net/pictures/athletes/1/medium.jpg", "profile": "https://x.test/large.jpg"}`, "",
		provider.Profile{
			Subject: "1234567890987654321", Name: "Marianne Teutenberg",
			Picture: "https://dgalywyr863hv.cloudfront.net/pictures/athletes/1/medium.jpg",
		},
	},
	"strava, without a picture": {
		"strava", `{"id": 1, "firstname": " Marianne ", "lastname": "", "profile_medium": "avatar/athlete/medium.png"}`, "",
		provider.Profile{Subject: "1", Name: "Marianne"},
	},
	"twitch": {
		"twitch", `{"data": [{"id": "141981764", "login": "twitchdev", "display_name": "TwitchDev", "type": "", "broadcaster_type": "partner",
			"profile_image_url": "https://static-cdn.jtvnw.net/jtv_user_pictures/1.png", "email": "not-real@email.com", "created_at": "2016-12-14T20:32:28Z"}]}`, "",
		provider.Profile{
			Subject: "141981764", Email: "not-real@email.com", Name: "TwitchDev", Picture: "https://static-cdn.jtvnw.net/jtv_user_pictures/1.png",
		},
	},
	"twitch, minimal": {"twitch", `{"data": [{"id": "1", "email_verified": true}]}`, "", provider.Profile{Subject: "1"}},
	"windowslive": {
		"windowslive", `{"id": "8c8ce076ca27823f", "name": "Roberto Tamburello", "first_name": "Roberto", "last_name": "Tamburello",
			"emails": {"preferred": "roberto@contoso.com", "account": "account@contoso.com", "personal": null}, "locale": "en_US"}`, "",
		provider.Profile{Subject: "8c8ce076ca27823f", Email: "roberto@contoso.com", Name: "Roberto Tamburello"},
	},
	"windowslive, in parts": {
		"windowslive", `{"id": "1", "name": "Roberto", "last_name": "Tamburello", "emails": {"preferred": null, "account": "account@contoso.com"},
			"profile_image_url": "https://apis.live.net/1.png"}`, "",
		provider.Profile{Subject: "1", Email: "account@contoso.com", Name: "Roberto Tamburello", Picture: "https://apis.live.net/1.png"},
	},
	"windowslive, minimal": {"windowslive", `{"id": "1", "emails": "a@example.com"}`, "", provider.Profile{Subject: "1"}},
	"workos": {
		"workos", `{"object": "profile", "id": "prof_01DMC79VCBZ0NY2099737PSVF1", "connection_id": "conn_1", "connection_type": "OktaSAML",
			"organization_id": "org_1", "idp_id": "00u1", "email": "todd@example.com", "first_name": "Todd", "last_name": "Rundgren",
			"role": {"slug": "admin"}, "groups": ["Admins"], "raw_attributes": {"email_verified": true}}`, "",
		provider.Profile{Subject: "prof_01DMC79VCBZ0NY2099737PSVF1", Email: "todd@example.com", Name: "Todd Rundgren"},
	},
	"workos, minimal": {
		"workos", `{"id": "prof_1", "email": "todd@example.com", "email_verified": true, "first_name": null, "last_name": "Rundgren"}`, "",
		provider.Profile{Subject: "prof_1", Email: "todd@example.com", Name: "Rundgren"},
	},
	"x": {
		"x", `{"data": {"id": "2244994945", "name": "X Dev", "username": "TwitterDev", "confirmed_email": "dev@example.com",
			"profile_image_url": "https://pbs.twimg.com/profile_images/1/normal.jpg"}}`, "",
		provider.Profile{
			Subject: "2244994945", Email: "dev@example.com", EmailVerified: true, Name: "X Dev",
			Picture: "https://pbs.twimg.com/profile_images/1/normal.jpg",
		},
	},
	"x, without an address": {
		"x", `{"data": {"id": "1", "name": "X", "email": "dev@example.com", "verified": true, "confirmed_email": ["a@example.com"]}}`, "",
		provider.Profile{Subject: "1", Name: "X"},
	},
}

func (a answered) documents() map[string]string {
	k := all[a.provider]
	plain, _, _ := strings.Cut(k.profile, "?")
	return map[string]string{plain: a.profile, k.emails: a.emails}
}

func TestProfilesAreUnderstood(t *testing.T) {
	t.Parallel()
	for name, a := range profiles {
		f := answers(t, a.documents())
		got, err := made(t, all[a.provider]).Profile(t.Context(), f.env(), back(), tokens())
		if diff := cmp.Diff(a.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got)\n%s", name, err, diff)
		}
	}
}

// W3, OA-21: whatever somebody can put into a profile, an address of these counts for nothing.
func TestProvidersThatVerifyNothing(t *testing.T) {
	t.Parallel()
	const everything = `"email": "a@example.com", "verified": true, "email_verified": true, "verified_email": true, "is_confirmed": true,
		"confirmed_at": "2012-05-23T09:05:22Z", "confirmed_email": "a@example.com", "emails": {"preferred": "a@example.com", "verified": true}`
	for _, name := range []string{"facebook", "spotify", "strava", "twitch", "windowslive", "workos"} {
		k := all[name]
		got, err := made(t, k).Profile(t.Context(), answers(t, k.documents(name, k.idOf(1)+", "+everything)).env(), back(), tokens())
		if err != nil || got.EmailVerified || (got.Email == "") != (name == "strava") {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// OA-22: a flag is true or it is not set.
func TestFlagsOfOtherTypesAreNotSet(t *testing.T) {
	t.Parallel()
	for _, flag := range []string{`"true"`, `1`, `[true]`, `{"a": true}`, `null`, `false`, `"false"`, `"verified"`} {
		for name, a := range map[string]answered{
			"discord":   {profile: `{"id": "1", "email": "a@example.com", "verified": ` + flag + `}`},
			"github":    {profile: `{"id": 1}`, emails: `[{"email": "a@example.com", "primary": true, "verified": ` + flag + `}]`},
			"bitbucket": {profile: `{"uuid": "1"}`, emails: `{"values": [{"email": "a@example.com", "is_primary": true, "is_confirmed": ` + flag + `}]}`},
		} {
			a.provider = name
			got, err := made(t, all[name]).Profile(t.Context(), answers(t, a.documents()).env(), back(), tokens())
			if err != nil || got.EmailVerified {
				t.Errorf("%s: %s: %+v, %v", name, flag, got, err)
			}
		}
	}
	for _, when := range []string{`true`, `1`, `null`, `""`, `{}`, `["2012-05-23T09:05:22Z"]`} {
		a := answered{provider: "gitlab", profile: `{"id": 1, "email": "a@example.com", "confirmed_at": ` + when + `}`}
		got, err := made(t, all["gitlab"]).Profile(t.Context(), answers(t, a.documents()).env(), back(), tokens())
		if err != nil || got.EmailVerified {
			t.Errorf("gitlab: %s: %+v, %v", when, got, err)
		}
	}
}

// OA-23: what is not a text is no address.
func TestAddressOfAnotherTypeIsNone(t *testing.T) {
	t.Parallel()
	for _, email := range []string{`null`, `""`, `["a@example.com"]`, `{"a": "a@example.com"}`, `1`, `true`} {
		for name, member := range map[string]string{
			"discord": `"verified": true, "email"`, "facebook": `"email"`, "gitlab": `"confirmed_at": "2012-05-23T09:05:22Z", "email"`,
			"spotify": `"email"`, "twitch": `"email"`, "workos": `"email"`, "x": `"confirmed_email"`,
		} {
			k := all[name]
			f := answers(t, k.documents(name, k.idOf(1)+", "+member+": "+email))
			got, err := made(t, k).Profile(t.Context(), f.env(), back(), tokens())
			if err != nil || got.Email != "" || got.EmailVerified {
				t.Errorf("%s: %s: %+v, %v", name, email, got, err)
			}
		}
	}
}

// The answer must be about the one whose token it is.
func TestTwitchAnswersWithOneUser(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{"data": []}`, `{"data": {"id": "1"}}`, `{"data": null}`, `{"id": "1"}`, `{"data": ["1"]}`, `{"data": [{"id": "1"}, {"id": "2"}]}`,
	} {
		f := answers(t, map[string]string{all["twitch"].profile: body})
		if got, err := made(t, all["twitch"]).Profile(t.Context(), f.env(), back(), tokens()); err == nil {
			t.Errorf("%s: %+v", body, got)
		}
	}
}

// SS-07: an error that comes as an answer is not an account without addresses.
func TestAddressesAreList(t *testing.T) {
	t.Parallel()
	for name, bodies := range map[string][]string{
		"bitbucket": {`{}`, `{"values": null}`, `{"values": {"email": "a@example.com"}}`, `{"type": "error", "error": {"message": "no"}}`, `[]`},
		"github":    {`{}`, `{"message": "Not Found"}`, `null`, `"a@example.com"`},
	} {
		for _, body := range bodies {
			k := all[name]
			d := k.documents(name, k.idOf(1))
			d[k.emails] = body
			if got, err := made(t, k).Profile(t.Context(), answers(t, d).env(), back(), tokens()); err == nil {
				t.Errorf("%s: %s: %+v", name, body, got)
			}
		}
	}
}

// A picture is shown by pages that trust it to be one.
func TestPictureIsURL(t *testing.T) {
	t.Parallel()
	for picture, ok := range map[string]bool{
		"https://x.test/1.png": true, "http://x.test/1.png": true,
		"javascript:alert(1)": false, "data:image/png;base64,AA==": false, "/1.png": false, "//x.test/1.png": false, "https://": false,
		"https://x.test/\u0001": false, "x": false,
	} {
		f := answers(t, map[string]string{all["gitlab"].profile: `{"id": 1, "avatar_url": "` + strings.ReplaceAll(picture, "\u0001", `\u0001`) + `"}`})
		got, err := made(t, all["gitlab"]).Profile(t.Context(), f.env(), back(), tokens())
		if err != nil || (got.Picture == picture) != ok || !ok && got.Picture != "" {
			t.Errorf("%q: %q, %v", picture, got.Picture, err)
		}
	}
}
