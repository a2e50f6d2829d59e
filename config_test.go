package auth_test

import (
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/store/memstore"
)

func validConfig() auth.Config {
	return auth.Config{
		ServerURL: "https://auth.test/v1", ClientURL: "https://app.test", Secret: auth.Secret(hmacSecret),
		Email: auth.EmailConfig{AllowUnverified: true}, Password: &auth.PasswordConfig{}, Anonymous: &auth.AnonymousConfig{},
	}
}

// ST-15, RD-25, W41: nothing that would be unsafe starts, and every mistake is named by its field.
func TestNewNamesEveryMistake(t *testing.T) {
	t.Parallel()
	for name, w := range map[string]struct {
		change func(*auth.Config)
		field  string
	}{
		"no server URL":                    {func(c *auth.Config) { c.ServerURL = "" }, "ServerURL"},
		"a relative server URL":            {func(c *auth.Config) { c.ServerURL = "/v1" }, "ServerURL"},
		"a server URL of another scheme":   {func(c *auth.Config) { c.ServerURL = "ftp://auth.test" }, "ServerURL"},
		"a server URL with a user":         {func(c *auth.Config) { c.ServerURL = "https://me@auth.test" }, "ServerURL"},
		"a server URL with a query":        {func(c *auth.Config) { c.ServerURL = "https://auth.test/v1?" }, "ServerURL"},
		"a server URL with a fragment":     {func(c *auth.Config) { c.ServerURL = "https://auth.test/#" }, "ServerURL"},
		"a server URL with a strange port": {func(c *auth.Config) { c.ServerURL = "https://auth.test:99999" }, "ServerURL"},
		"a server URL with dot segments":   {func(c *auth.Config) { c.ServerURL = "https://auth.test/v1/../.." }, "ServerURL"},
		"a server URL that is a pattern":   {func(c *auth.Config) { c.ServerURL = "https://*" }, "ServerURL"},
		"a server URL with a blank":        {func(c *auth.Config) { c.ServerURL = "https://auth.test/ " }, "ServerURL"},
		"no client URL":                    {func(c *auth.Config) { c.ClientURL = "" }, "ClientURL"},
		"a relative client URL":            {func(c *auth.Config) { c.ClientURL = "//app.test" }, "ClientURL"},
		"a client URL that is a star":      {func(c *auth.Config) { c.ClientURL = "*" }, "ClientURL"},
		"a client URL that is a script":    {func(c *auth.Config) { c.ClientURL = "javascript:alert(1)" }, "ClientURL"},
		"a redirect to anywhere":           {func(c *auth.Config) { c.AllowedRedirectURLs = []string{"*"} }, "AllowedRedirectURLs"},
		"a redirect to any host":           {func(c *auth.Config) { c.AllowedRedirectURLs = []string{"https://*"} }, "AllowedRedirectURLs"},
		"no secret":                        {func(c *auth.Config) { c.Secret = nil }, "Secret"},
		"a short secret":                   {func(c *auth.Config) { c.Secret = c.Secret[:31] }, "Secret"},
		"a server URL without a host":      {func(c *auth.Config) { c.ServerURL = "https:///v1" }, "ServerURL"},
		"a server URL that is none":        {func(c *auth.Config) { c.ServerURL = "https://[::1" }, "ServerURL"},
		"a redirect that is none besides":  {func(c *auth.Config) { c.AllowedRedirectURLs = []string{"https://ok.test", "x"} }, "AllowedRedirectURLs"},
		"a short previous secret": {func(c *auth.Config) {
			c.PreviousSecrets = []auth.Secret{auth.Secret(strings.Repeat("p", 32)), c.Secret[:31]}
		}, "PreviousSecrets[1]"},
		"two previous secrets that are the same": {func(c *auth.Config) {
			c.PreviousSecrets = []auth.Secret{auth.Secret(strings.Repeat("p", 32)), auth.Secret(strings.Repeat("p", 32))}
		}, "PreviousSecrets[1]"},
		"a challenge that ends before the client's time": {func(c *auth.Config) {
			c.WebAuthn, c.Tickets.WebAuthn = &auth.WebAuthnConfig{Timeout: time.Minute + 1}, time.Minute
		}, "Tickets.WebAuthn"},
		"a provider that is nil":             {func(c *auth.Config) { c.Providers = map[string]provider.Provider{"x": nil} }, `Providers["x"]`},
		"id tokens of nobody":                {func(c *auth.Config) { c.IDTokens = map[string]provider.IDTokenVerifier{"x": nil} }, `IDTokens["x"]`},
		"id tokens without a name":           {func(c *auth.Config) { c.IDTokens = map[string]provider.IDTokenVerifier{"": nil} }, "IDTokens"},
		"links without mail":                 {func(c *auth.Config) { c.MagicLink = &auth.MagicLinkConfig{} }, "Mail"},
		"codes without mail":                 {func(c *auth.Config) { c.EmailOTP = &auth.EmailOTPConfig{} }, "Mail"},
		"links and unproven, without mail":   {func(c *auth.Config) { c.MagicLink, c.Email.AllowUnverified = &auth.MagicLinkConfig{}, false }, "Mail"},
		"negative metadata":                  {func(c *auth.Config) { c.SignUp.MaxMetadata = -1 }, "SignUp.MaxMetadata"},
		"metadata of more than a MiB":        {func(c *auth.Config) { c.SignUp.MaxMetadata = 1<<20 + 1 }, "SignUp.MaxMetadata"},
		"a default for no claim":             {func(c *auth.Config) { c.AccessTokens.CustomClaimsDefaults = map[string]any{"a": 1} }, "AccessTokens.CustomClaims"},
		"a life of a day and more":           {func(c *auth.Config) { c.AccessTokens.Lifetime = 24*time.Hour + 1 }, "AccessTokens.Lifetime"},
		"a life of less than a second":       {func(c *auth.Config) { c.AccessTokens.Lifetime = time.Second - 1 }, "AccessTokens.Lifetime"},
		"a previous secret that is the same": {func(c *auth.Config) { c.PreviousSecrets = []auth.Secret{c.Secret} }, "PreviousSecrets[0]"},
		"no mail where addresses are proven": {func(c *auth.Config) { c.Email.AllowUnverified = false }, "Mail"},
		"a maximum below 64":                 {func(c *auth.Config) { c.Password.MaxLength = 50 }, "Password.MaxLength"},
		"a minimum above the maximum":        {func(c *auth.Config) { c.Password.MinLength = 200 }, "Password.MinLength"},
		"a negative minimum":                 {func(c *auth.Config) { c.Password.MinLength = -1 }, "Password.MinLength"},
		"too little memory for Argon2":       {func(c *auth.Config) { c.Password.Argon2.MemoryKiB = 1 }, "Password.Argon2"},
		"a negative number of hashes":        {func(c *auth.Config) { c.Password.MaxHashes = -1 }, "Password.MaxHashes"},
		"a negative number of waiting ones":  {func(c *auth.Config) { c.Password.MaxWaiting = -1 }, "Password.MaxWaiting"},
		"a right to change it for days":      {func(c *auth.Config) { c.Password.ChangeWithin = 25 * time.Hour }, "Password.ChangeWithin"},
		"a code that may be guessed at":      {func(c *auth.Config) { c.EmailOTP, c.Mail = &auth.EmailOTPConfig{Tries: 11}, authtest.NewMailbox() }, "EmailOTP.Tries"},
		"a blocked address that is none":     {func(c *auth.Config) { c.Email.BlockedAddresses = []string{"evil"} }, "Email.BlockedAddresses"},
		"an allowed address that is none":    {func(c *auth.Config) { c.Email.AllowedAddresses = []string{"evil"} }, "Email.AllowedAddresses"},
		"a blocked domain that is none":      {func(c *auth.Config) { c.Email.BlockedDomains = []string{"a b"} }, "Email.BlockedDomains"},
		"an allowed domain that is none":     {func(c *auth.Config) { c.Email.AllowedDomains = []string{"a b"} }, "Email.AllowedDomains"},
		"an empty role":                      {func(c *auth.Config) { c.Roles.Allowed = []string{""} }, "Roles.Allowed[0]"},
		"a role with a blank":                {func(c *auth.Config) { c.Roles.Default = "a b" }, "Roles.Default"},
		"a locale that is a path":            {func(c *auth.Config) { c.Locales.Default = ".." }, "Locales.Default"},
		"an unknown rating of gravatars":     {func(c *auth.Config) { c.Gravatar = &auth.GravatarConfig{Rating: "a"} }, "Gravatar.Rating"},
		"an unknown gravatar":                {func(c *auth.Config) { c.Gravatar = &auth.GravatarConfig{Default: "x&y"} }, "Gravatar.Default"},
		"a negative life":                    {func(c *auth.Config) { c.AccessTokens.Lifetime = -time.Second }, "AccessTokens.Lifetime"},
		"a life of days":                     {func(c *auth.Config) { c.AccessTokens.Lifetime = 48 * time.Hour }, "AccessTokens.Lifetime"},
		"a negative idle life":               {func(c *auth.Config) { c.Sessions.Idle = -1 }, "Sessions.Idle"},
		"an absolute life below the idle":    {func(c *auth.Config) { c.Sessions.Absolute = time.Hour }, "Sessions.Absolute"},
		"a long grace":                       {func(c *auth.Config) { c.Sessions.Grace = time.Hour }, "Sessions.Grace"},
		"an empty audience":                  {func(c *auth.Config) { c.AccessTokens.Audience = []string{""} }, "AccessTokens.Audience"},
		"a namespace that is a claim":        {func(c *auth.Config) { c.AccessTokens.ClaimsNamespace = "sub" }, "AccessTokens.ClaimsNamespace"},
		"a path that is none":                {func(c *auth.Config) { c.AccessTokens.CustomClaims = map[string]string{"a": "b["} }, "AccessTokens.CustomClaims"},
		"a short key":                        {func(c *auth.Config) { c.AccessTokens.Keys.Active = auth.Key{Algorithm: "HS256"} }, "AccessTokens.Keys.Active"},
		"a ticket that lives for ever":       {func(c *auth.Config) { c.Tickets.VerifyEmail = 1 << 62 }, "Tickets.VerifyEmail"},
		"an audit trail of an hour":          {func(c *auth.Config) { c.Audit = &auth.AuditConfig{Retention: time.Hour} }, "Audit.Retention"},
		"an event of no type left out":       {func(c *auth.Config) { c.Audit = &auth.AuditConfig{Omit: []auth.EventType{""}} }, "Audit.Omit"},
		"no sessions at all":                 {func(c *auth.Config) { c.Sessions.MaxPerUser = -1 }, "Sessions.MaxPerUser"},
		"tokens that last for a second":      {func(c *auth.Config) { c.PAT = &auth.PATConfig{MaxLifetime: time.Second} }, "PAT.MaxLifetime"},
		"tokens without number":              {func(c *auth.Config) { c.PAT = &auth.PATConfig{MaxPerUser: 1001} }, "PAT.MaxPerUser"},
		"no policy for second factors":       {func(c *auth.Config) { c.MFA = &auth.MFAConfig{Policy: "never"} }, "MFA.Policy"},
		"anonymous users gone in a second":   {func(c *auth.Config) { c.Anonymous.MaxIdle = time.Second }, "Anonymous.MaxIdle"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := validConfig()
			w.change(&c)
			_, err := auth.New(memstore.New(), c)
			var mistake *auth.ConfigError
			if !errors.As(err, &mistake) || mistake.Field != w.field {
				t.Fatalf("got %v, want a mistake in %s", err, w.field)
			}
			if errors.Unwrap(mistake) != mistake.Err || strings.Count(err.Error(), "\n") != 0 || strings.Contains(err.Error(), "%!") {
				t.Errorf("got %q, want one mistake", err)
			}
			if missing := strings.HasPrefix(name, "no "); strings.HasSuffix(w.field, "URL") && strings.HasSuffix(err.Error(), "is required") != missing {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("all at once", func(t *testing.T) {
		t.Parallel()
		_, err := auth.New(nil, auth.Config{Roles: auth.RolesConfig{Default: " "}})
		for _, field := range []string{"store", "ServerURL", "ClientURL", "Secret", "Mail", "Roles"} {
			if err == nil || !strings.Contains(err.Error(), field) {
				t.Errorf("%s is missing in: %v", field, err)
			}
		}
	})
	if _, err := auth.New(memstore.New(), validConfig()); err != nil {
		t.Errorf("the configuration that the others start from: %v", err)
	}
}

// What is at a limit is within it.
func TestNewTakesWhatIsJustAllowed(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*auth.Config){
		"a server nearby":        func(c *auth.Config) { c.ServerURL = "HTTP://localhost:3000/v1" },
		"a secret of 32 bytes":   func(c *auth.Config) { c.Secret = c.Secret[:32] },
		"a previous one as well": func(c *auth.Config) { c.PreviousSecrets = []auth.Secret{auth.Secret(strings.Repeat("p", 32))} },
		"a byte of metadata":     func(c *auth.Config) { c.SignUp.MaxMetadata = 1 },
		"a MiB of metadata":      func(c *auth.Config) { c.SignUp.MaxMetadata = 1 << 20 },
		"a life of a second":     func(c *auth.Config) { c.AccessTokens.Lifetime = time.Second },
		"a life of a day":        func(c *auth.Config) { c.AccessTokens.Lifetime = 24 * time.Hour },
		"no captcha, keys of a minute": func(c *auth.Config) {
			c.WebAuthn, c.Tickets.WebAuthn = &auth.WebAuthnConfig{Timeout: time.Minute}, time.Minute
		},
		"challenges of a minute, and no key": func(c *auth.Config) { c.Tickets.WebAuthn = time.Minute },
		"links, with mail":                   func(c *auth.Config) { c.MagicLink, c.Mail = &auth.MagicLinkConfig{}, authtest.NewMailbox() },
		"sixteen endpoints": func(c *auth.Config) {
			for i := range 16 {
				c.Webhooks = append(c.Webhooks, hookTo(fmt.Sprint("x", i)))
			}
		},
		"an endpoint with four secrets": func(c *auth.Config) {
			c.Webhooks = []auth.WebhookConfig{hookTo("x")}
			c.Webhooks[0].Secrets = []auth.Secret{hookSecret('a'), hookSecret('b'), hookSecret('c'), hookSecret('d')}
		},
	} {
		c := validConfig()
		change(&c)
		if _, err := auth.New(memstore.New(), c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What can be written in several ways is one thing to the engine.
func TestAConfigIsPutInOrder(t *testing.T) {
	t.Parallel()
	c := validConfig()
	c.ServerURL += "/"
	c.Roles.Allowed = []string{"user", "me"}
	complete, err := auth.Complete(c)
	if err != nil || complete.ServerURL != "https://auth.test/v1" {
		t.Errorf("server %s, %v", complete.ServerURL, err)
	}
	if diff := cmp.Diff(c.Roles.Allowed, complete.Roles.Allowed); diff != "" {
		t.Error(diff)
	}
}

// The version of a program is that of the module in it.
func TestVersionIn(t *testing.T) {
	t.Parallel()
	const path = "github.com/ostiary/auth"
	other := &debug.Module{Path: "example.com/other", Version: "v9.9.9"}
	for name, tt := range map[string]struct {
		info *debug.BuildInfo
		want string
	}{
		"nothing is known":      {nil, ""},
		"as a dependency":       {&debug.BuildInfo{Main: *other, Deps: []*debug.Module{other, {Path: path, Version: "v1.2.3"}}}, "v1.2.3"},
		"as the program itself": {&debug.BuildInfo{Main: debug.Module{Path: path, Version: "v1.2.3"}, Deps: []*debug.Module{other}}, "v1.2.3"},
		"from a working copy":   {&debug.BuildInfo{Main: debug.Module{Path: path, Version: "(devel)"}, Deps: []*debug.Module{other}}, ""},
		"not at all":            {&debug.BuildInfo{Main: *other}, ""},
	} {
		if got := auth.VersionIn(tt.info); got != tt.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// LG-10
func TestAConfigDoesNotPrintItsSecrets(t *testing.T) {
	t.Parallel()
	c := validConfig()
	c.PreviousSecrets = []auth.Secret{c.Secret}
	c.AccessTokens.Keys.Active = auth.Key{Algorithm: "HS256", Secret: c.Secret}
	engine := newEngine(func(own *auth.Config) { own.Secret = c.Secret })
	for _, v := range []any{engine, struct{ e *auth.Engine }{engine}, c, &c, c.Secret, c.AccessTokens.Keys, auth.SignInPasswordParams{Password: hmacSecret}, auth.SignUpPasswordParams{Password: hmacSecret}} {
		for _, text := range prints(v) {
			if strings.Contains(text, hmacSecret[:16]) || strings.Contains(text, "30 31 32 33") || strings.Contains(text, "48 49 50") || strings.Contains(text, "MDEyMzQ1") || strings.Contains(text, "30313233") {
				t.Errorf("%T prints a secret: %.300s", v, text)
			}
		}
	}
	if got := fmt.Sprintf("%v %+v %v", engine, c.Secret, hookTo("x")); got != "auth.Engine [redacted] {webhook x to x.test [redacted]}" {
		t.Errorf("got %s", got)
	}
	if got := fmt.Sprint(auth.WebhookConfig{Name: "x", URL: "https://canary\x7f"}); got != "{webhook x to [redacted] [redacted]}" {
		t.Errorf("got %s", got)
	}
}

// A caller who goes on using what it passed to New does not change the engine.
func TestNewCopiesItsConfig(t *testing.T) {
	t.Parallel()
	c := validConfig()
	c.Roles.Allowed = []string{"me", "editor"}
	e, err := auth.New(memstore.New(), c)
	if err != nil {
		t.Fatal(err)
	}
	c.Roles.Allowed[1] = "admin"
	c.Password.MinLength = 100
	in, err := e.SignUpPassword(t.Context(), auth.SignUpPasswordParams{Email: "ada@example.com", Password: "plum-tractor-eleven"})
	if err != nil {
		t.Fatal(err)
	}
	if got := in.Session.User.Roles; got[1] != "editor" {
		t.Errorf("roles %v", got)
	}
}

// The same for every list and map there is.
func TestNewCopiesEveryList(t *testing.T) {
	t.Parallel()
	given := auth.Config{
		Password: &auth.PasswordConfig{}, WebAuthn: &auth.WebAuthnConfig{}, AccessTokens: auth.AccessTokensConfig{Rotate: &auth.RotationConfig{}},
		Captcha: &auth.CaptchaConfig{}, Audit: &auth.AuditConfig{},
	}
	lists := map[string]uintptr{}
	var walk func(path string, v reflect.Value, visit func(path string, v reflect.Value))
	walk = func(path string, v reflect.Value, visit func(path string, v reflect.Value)) {
		v = reflect.Indirect(v)
		for i, f := range reflect.VisibleFields(v.Type()) {
			switch field := v.Field(i); {
			case f.Type.Kind() == reflect.Slice, f.Type.Kind() == reflect.Map:
				visit(path+f.Name, field)
			case reflect.Indirect(field).Kind() == reflect.Struct && f.Type.PkgPath() == v.Type().PkgPath(), f.Type.Kind() == reflect.Pointer && !field.IsNil():
				walk(path+f.Name+".", field, visit)
			}
		}
	}
	walk("", reflect.ValueOf(&given), func(path string, v reflect.Value) {
		if v.Kind() == reflect.Slice {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		} else {
			v.Set(reflect.MakeMap(v.Type()))
		}
		lists[path] = v.Pointer()
	})
	complete, _ := auth.Complete(given) // most of it is wrong
	walk("", reflect.ValueOf(&complete), func(path string, v reflect.Value) {
		if v.Pointer() == lists[path] && lists[path] != 0 {
			t.Errorf("%s is the caller's", path)
		}
	})
	if len(lists) < 20 {
		t.Errorf("only %d lists were found", len(lists))
	}
}
