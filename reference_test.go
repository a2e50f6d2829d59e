package auth_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/captcha"
	"github.com/ostiary/auth/limit"
	"github.com/ostiary/auth/mail"
	"github.com/ostiary/auth/sms"
	"github.com/ostiary/auth/store/memstore"
)

// completeConfig turns every section on, and leaves the rest to default.
func completeConfig() auth.Config {
	c := auth.Config{
		ServerURL: "https://auth.test/v1", ClientURL: "https://app.test", Secret: auth.Secret(hmacSecret),
		Mail:     struct{ mail.Sender }{},
		Password: &auth.PasswordConfig{}, WebAuthn: &auth.WebAuthnConfig{}, MagicLink: &auth.MagicLinkConfig{}, EmailOTP: &auth.EmailOTPConfig{},
		SMS: &auth.SMSConfig{Sender: struct{ sms.Sender }{}}, MFA: &auth.MFAConfig{}, PAT: &auth.PATConfig{}, Anonymous: &auth.AnonymousConfig{},
		Gravatar: &auth.GravatarConfig{}, Captcha: &auth.CaptchaConfig{Verifier: struct{ captcha.Verifier }{}}, Audit: &auth.AuditConfig{},
	}
	c.AccessTokens.Rotate = &auth.RotationConfig{}
	return c
}

// inWords are the defaults that are no plain values, and those that are more than the zero value without the reference saying so in
// its tables: what they say, and whether it is so.
var inWords = map[string]struct {
	says string
	is   func(c *auth.Config) bool
}{
	"WebAuthn.RPID":   {"the host of ClientURL", func(c *auth.Config) bool { return c.WebAuthn.RPID == "app.test" }},
	"MFA.Issuer":      {"the host of ClientURL", func(c *auth.Config) bool { return c.MFA.Issuer == "app.test" }},
	"WebAuthn.RPName": {"RPID", func(c *auth.Config) bool { return c.WebAuthn.RPName == "app.test" }},
	"WebAuthn.Origins": {"nil", func(c *auth.Config) bool { // besides the origin of ClientURL
		return slices.Equal(c.WebAuthn.Origins, []string{"https://app.test"})
	}},
	"WebAuthn.CreateExtensions": {"credProps alone", func(c *auth.Config) bool {
		return reflect.DeepEqual(c.WebAuthn.CreateExtensions, map[string]any{"credProps": true})
	}},
	"Elevation.Methods": {"ElevateByWebAuthn and ElevateByTOTP", func(c *auth.Config) bool {
		return slices.Equal(c.Elevation.Methods, []auth.ElevationMethod{auth.ElevateByWebAuthn, auth.ElevateByTOTP})
	}},
	"Elevation.FirstKeyWithin": {"as long as the session lives", func(c *auth.Config) bool { return c.Elevation.FirstKeyWithin == 0 }},
	"Roles.Allowed":            {`"me"`, func(c *auth.Config) bool { return slices.Equal(c.Roles.Allowed, []string{"me", "user"}) }},
	"Locales.Allowed":          {"nil", func(c *auth.Config) bool { return slices.Equal(c.Locales.Allowed, []string{"en"}) }},
	"Tickets.WebAuthn":         {"WebAuthn.Timeout if that is set", func(c *auth.Config) bool { return c.Tickets.WebAuthn == 5*time.Minute }},
	"Limits.FailOpen": {"requests, letters, sign-ups and challenges", func(c *auth.Config) bool {
		return slices.Equal(c.Limits.FailOpen, []auth.Budget{
			auth.BudgetRequestsPerClient, auth.BudgetEmailsPerClient, auth.BudgetEmailsPerAddress, auth.BudgetEmailsPerAddressLong,
			auth.BudgetSignUpsPerClient, auth.BudgetChallengesPerClient,
		})
	}},

	// Package passhash tests these two, and keys_test.go the third.
	"Password.MaxHashes":  {"GOMAXPROCS divided by Argon2.Threads", func(c *auth.Config) bool { return c.Password.MaxHashes == 0 }},
	"Password.MaxWaiting": {"64 times MaxHashes", func(c *auth.Config) bool { return c.Password.MaxWaiting == 0 }},
	"AccessTokens.Keys":   {"one Ed25519 key derived from Secret", func(c *auth.Config) bool { return reflect.ValueOf(c.AccessTokens.Keys).IsZero() }},

	// What their comments say in sentences of their own.
	"Now":    {"time.Now", func(c *auth.Config) bool { return c.Now != nil && time.Since(c.Now()).Abs() < time.Minute }},
	"Events": {"nil", func(c *auth.Config) bool { return c.Events != nil }},
	"Logger": {"nil", func(c *auth.Config) bool { return !c.Logger.Enabled(context.Background(), 100) }},
	"HTTPClient": {"nil", func(c *auth.Config) bool {
		return c.HTTPClient.Transport != nil && c.HTTPClient.Timeout == 10*time.Second
	}},
	"SMS.Sender":     {"nil", func(c *auth.Config) bool { return c.SMS.Sender != nil }}, // or a Verifier
	"SMS.ParsePhone": {"nil", func(c *auth.Config) bool { _, err := c.SMS.ParsePhone("+41791234567"); return err == nil }},
}

// The reference is made of the comments of the code (tools/configdoc). What its tables call the default of a field is what an engine
// makes of a configuration without it.
func TestTheDefaultsOfTheReferenceAreTrue(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile("docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	text, _, _ := strings.Cut(string(document), "\n## The HTTP adapter")
	complete, err := auth.Complete(completeConfig())
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| \\[`([A-Za-z0-9.\\[\\]]+)`\\]\\(#[a-z0-9]+\\) \\| .* \\| (.*) \\|$").FindAllStringSubmatch(text, -1) {
		path, says := row[1], row[2]
		seen[path] = true
		words, ok := inWords[path]
		switch {
		case strings.HasPrefix(path, "Webhooks[]."):
			checkWebhook(t, path, says)
		case says == "required":
			checkRequired(t, path)
		case ok && (says != words.says || !words.is(&complete)):
			t.Errorf("%s: the reference says %q; tested is %q, and that it is so: %v", path, says, words.says, words.is(&complete))
		case !ok:
			if err := isDefault(fieldAt(t, complete, path), says); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
	for path := range inWords {
		if !seen[path] {
			t.Errorf("%s is not in the reference", path)
		}
	}
	for _, path := range paths(reflect.TypeFor[auth.Config](), "") {
		if !seen[path] {
			t.Errorf("the reference does not have %s", path)
		}
	}
}

// fieldAt is the field of c that path names.
func fieldAt(t *testing.T, c auth.Config, path string) reflect.Value {
	t.Helper()
	v := reflect.ValueOf(c)
	for name := range strings.SplitSeq(path, ".") {
		v = reflect.Indirect(v).FieldByName(name)
		if !v.IsValid() {
			t.Fatalf("there is no field %s", path)
		}
	}
	return v
}

// paths are the fields of a configuration, those of its sections included.
func paths(of reflect.Type, prefix string) []string {
	var all []string
	for f := range of.Fields() {
		all = append(all, prefix+f.Name)
		section := f.Type
		if section.Kind() == reflect.Pointer {
			section = section.Elem()
		}
		if section.Kind() == reflect.Struct && section.PkgPath() == of.PkgPath() && section != reflect.TypeFor[auth.Keys]() {
			all = append(all, paths(section, prefix+f.Name+".")...)
		}
	}
	return all
}

// checkRequired sees to it that nothing starts without the field.
func checkRequired(t *testing.T, path string) {
	t.Helper()
	c := completeConfig()
	at := reflect.ValueOf(&c)
	for name := range strings.SplitSeq(path, ".") {
		at = reflect.Indirect(at).FieldByName(name)
	}
	at.SetZero()
	_, err := auth.New(memstore.New(), c)
	var mistake *auth.ConfigError
	if !errors.As(err, &mistake) || mistake.Field != path {
		t.Errorf("%s is required, and without it there is the error %v", path, err)
	}
}

// checkWebhook does the same for a webhook.
func checkWebhook(t *testing.T, path, says string) {
	t.Helper()
	c := completeConfig()
	c.Webhooks = []auth.WebhookConfig{{
		Name: "a", URL: "https://hook.test", Secrets: []auth.Secret{auth.Secret("whsec_" + strings.Repeat("MDAw", 11))},
	}}
	reflect.ValueOf(&c.Webhooks[0]).Elem().FieldByName(strings.TrimPrefix(path, "Webhooks[].")).SetZero()
	_, err := auth.Complete(c)
	if required := says == "required"; required != (err != nil) {
		t.Errorf("%s: the reference says %q, without it: %v", path, says, err)
	}
}

var (
	lengths = map[string]time.Duration{"second": time.Second, "minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}
	numbers = strings.NewReplacer("one ", "1 ", "an ", "1 ", "a ", "1 ")
	length  = regexp.MustCompile(`^(?:(\d+) )?(second|minute|hour|day)s?$`)
	size    = regexp.MustCompile(`^(\d+)( KiB| MiB)?$`)
)

func duration(says string) (time.Duration, error) {
	m := length.FindStringSubmatch(numbers.Replace(says))
	if m == nil {
		return 0, fmt.Errorf("%q is no length of time", says)
	}
	n := 1
	if m[1] != "" {
		n, _ = strconv.Atoi(m[1])
	}
	return time.Duration(n) * lengths[m[2]], nil
}

// isDefault compares a value with the words for it.
func isDefault(v reflect.Value, says string) error {
	if v.Kind() == reflect.Struct && says == "" {
		return nil // a section, whose fields have rows of their own
	}
	if v.Kind() == reflect.Pointer && v.Type().Elem().PkgPath() == reflect.TypeFor[auth.Config]().PkgPath() && (says == "nil" || says == "off") {
		return nil // a section that is off, and has been turned on to see its fields
	}
	var want any
	var err error
	switch {
	case slices.Contains([]string{"nil", "none", "empty", "false", "0", "off"}, says):
		if !v.IsZero() && (v.Kind() != reflect.Slice && v.Kind() != reflect.Map || v.Len() > 0) {
			return fmt.Errorf("is %v, the reference says %s", v, says)
		}
		return nil
	case v.Type() == reflect.TypeFor[limit.Rate]():
		burst, per, _ := strings.Cut(says, " per ")
		var r limit.Rate
		r.Burst, _ = strconv.Atoi(burst)
		r.Per, err = duration(per)
		want = r
	case v.Type() == reflect.TypeFor[time.Duration]():
		want, err = duration(says)
	case v.Kind() == reflect.String:
		if _, value, ok := strings.Cut(says, ": "); ok { // a constant and its value
			says = value
		}
		want, err = strconv.Unquote(says)
		v = reflect.ValueOf(v.String())
	case v.CanInt() || v.CanUint():
		m := size.FindStringSubmatch(says)
		if m == nil {
			return fmt.Errorf("%q is no number", says)
		}
		n, _ := strconv.ParseInt(m[1], 10, 64)
		want = n * map[string]int64{"": 1, " KiB": 1 << 10, " MiB": 1 << 20}[m[2]]
		v = v.Convert(reflect.TypeFor[int64]())
	default:
		return fmt.Errorf("%q is not understood", says)
	}
	if err == nil && v.Interface() != want {
		err = fmt.Errorf("is %v, the reference says %s", v, says)
	}
	return err
}
