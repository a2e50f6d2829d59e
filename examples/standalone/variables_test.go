package main

import (
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// samples are values of variables, with what else has to be set, or to be taken out, for one to have an effect.
var samples = map[string]map[string]string{
	"AUTH_SECRET":                               {"AUTH_SECRET": strings.Repeat("x", 40)},
	"AUTH_SERVER_URL":                           {"AUTH_SERVER_URL": "https://b.example.com/v1"},
	"AUTH_CLIENT_URL":                           {"AUTH_CLIENT_URL": "https://b.example.com"},
	"AUTH_TRUSTED_PROXIES":                      {"AUTH_TRUSTED_PROXIES": "10.0.0.0/8"},
	"AUTH_CORS_ALLOWED_ORIGINS":                 {"AUTH_CORS_ALLOWED_ORIGINS": "https://b.example.com"},
	"AUTH_DEBUG":                                {"AUTH_DEBUG": "true"},
	"AUTH_LOG_FORMAT_TEXT":                      {"AUTH_LOG_FORMAT_TEXT": "true"},
	"AUTH_EMAIL_TEMPLATES_PATH":                 {"AUTH_EMAIL_TEMPLATES_PATH": "../../mail/templates"},
	"AUTH_SMS_PASSWORDLESS_ENABLED":             {"AUTH_SMS_PASSWORDLESS_ENABLED": "true", "AUTH_SMS_PROVIDER": "dev"},
	"AUTH_SMS_PROVIDER":                         {"AUTH_SMS_PROVIDER": "dev", "AUTH_SMS_PASSWORDLESS_ENABLED": "true"},
	"AUTH_PROVIDER_<X>_ENABLED":                 {"AUTH_PROVIDER_GITHUB_ENABLED": "true", "AUTH_PROVIDER_GITHUB_CLIENT_ID": "a", "AUTH_PROVIDER_GITHUB_CLIENT_SECRET": "b"},
	"AUTH_PROVIDER_<X>_AUDIENCE":                {"AUTH_PROVIDER_GOOGLE_AUDIENCE": "a"},
	"AUTH_OIDC_PROVIDERS":                       {"AUTH_OIDC_PROVIDERS": `[{"name":"a","issuer":"https://a.example.com","clientId":"b"}]`},
	"AUTH_REFUSE_CONNECT":                       {"AUTH_REFUSE_CONNECT": "true"},
	"HASURA_GRAPHQL_ADMIN_SECRET":               {"HASURA_GRAPHQL_ADMIN_SECRET": "admin"},
	"AUTH_DISABLE_SIGNUP":                       {"AUTH_DISABLE_SIGNUP": "true"},
	"AUTH_DISABLE_NEW_USERS":                    {"AUTH_DISABLE_NEW_USERS": "true"},
	"AUTH_ANONYMOUS_USERS_ENABLED":              {"AUTH_ANONYMOUS_USERS_ENABLED": "true"},
	"AUTH_EMAIL_SIGNIN_EMAIL_VERIFIED_REQUIRED": {"AUTH_EMAIL_SIGNIN_EMAIL_VERIFIED_REQUIRED": "false"},
	"AUTH_EMAIL_PASSWORDLESS_ENABLED":           {"AUTH_EMAIL_PASSWORDLESS_ENABLED": "true"},
	"AUTH_OTP_EMAIL_ENABLED":                    {"AUTH_OTP_EMAIL_ENABLED": "true"},
	"AUTH_CONFIRM_LINKS":                        {"AUTH_CONFIRM_LINKS": "true"},
	"AUTH_MAIL_LOG":                             {"AUTH_MAIL_LOG": "", "AUTH_EMAIL_SIGNIN_EMAIL_VERIFIED_REQUIRED": "false"},
	"AUTH_ACCESS_CONTROL_ALLOWED_REDIRECT_URLS": {"AUTH_ACCESS_CONTROL_ALLOWED_REDIRECT_URLS": "https://b.example.com"},
	"AUTH_ACCESS_CONTROL_ALLOWED_EMAILS":        {"AUTH_ACCESS_CONTROL_ALLOWED_EMAILS": "a@example.com"},
	"AUTH_ACCESS_CONTROL_ALLOWED_EMAIL_DOMAINS": {"AUTH_ACCESS_CONTROL_ALLOWED_EMAIL_DOMAINS": "example.com"},
	"AUTH_ACCESS_CONTROL_BLOCKED_EMAILS":        {"AUTH_ACCESS_CONTROL_BLOCKED_EMAILS": "a@example.com"},
	"AUTH_ACCESS_CONTROL_BLOCKED_EMAIL_DOMAINS": {"AUTH_ACCESS_CONTROL_BLOCKED_EMAIL_DOMAINS": "example.com"},
	"AUTH_USER_DEFAULT_ROLE":                    {"AUTH_USER_DEFAULT_ROLE": "guest"},
	"AUTH_USER_DEFAULT_ALLOWED_ROLES":           {"AUTH_USER_DEFAULT_ALLOWED_ROLES": "guest"},
	"AUTH_LOCALE_DEFAULT":                       {"AUTH_LOCALE_DEFAULT": "fr"},
	"AUTH_LOCALE_ALLOWED_LOCALES":               {"AUTH_LOCALE_ALLOWED_LOCALES": "fr"},
	"AUTH_GRAVATAR_ENABLED":                     {"AUTH_GRAVATAR_ENABLED": "true"},
	"AUTH_GRAVATAR_DEFAULT":                     {"AUTH_GRAVATAR_ENABLED": "true", "AUTH_GRAVATAR_DEFAULT": "mp"},
	"AUTH_GRAVATAR_RATING":                      {"AUTH_GRAVATAR_ENABLED": "true", "AUTH_GRAVATAR_RATING": "pg"},
	"AUTH_PASSWORD_MIN_LENGTH":                  {"AUTH_PASSWORD_MIN_LENGTH": "12"},
	"AUTH_PASSWORD_HIBP_ENABLED":                {"AUTH_PASSWORD_HIBP_ENABLED": "true"},
	"AUTH_CONCEAL_ERRORS":                       {"AUTH_CONCEAL_ERRORS": "true"},
	"AUTH_WEBAUTHN_ENABLED":                     {"AUTH_WEBAUTHN_ENABLED": "true"},
	"AUTH_WEBAUTHN_RP_ID":                       {"AUTH_WEBAUTHN_ENABLED": "true", "AUTH_WEBAUTHN_RP_ID": "example.com"},
	"AUTH_WEBAUTHN_RP_NAME":                     {"AUTH_WEBAUTHN_ENABLED": "true", "AUTH_WEBAUTHN_RP_NAME": "Example"},
	"AUTH_WEBAUTHN_RP_ORIGINS":                  {"AUTH_WEBAUTHN_ENABLED": "true", "AUTH_WEBAUTHN_RP_ORIGINS": "https://b.example.com"},
	"AUTH_WEBAUTHN_ATTESTATION_TIMEOUT":         {"AUTH_WEBAUTHN_ENABLED": "true", "AUTH_WEBAUTHN_ATTESTATION_TIMEOUT": "30000"},
	"AUTH_REQUIRE_ELEVATED_CLAIM":               {"AUTH_REQUIRE_ELEVATED_CLAIM": "required"},
	"AUTH_ELEVATION_METHODS":                    {"AUTH_ELEVATION_METHODS": "password"},
	"AUTH_MFA_ENABLED":                          {"AUTH_MFA_ENABLED": "true"},
	"AUTH_MFA_TOTP_ISSUER":                      {"AUTH_MFA_ENABLED": "true", "AUTH_MFA_TOTP_ISSUER": "Example"},
	"AUTH_PREVIOUS_SECRETS":                     {"AUTH_PREVIOUS_SECRETS": strings.Repeat("y", 40)},
	"HASURA_GRAPHQL_JWT_SECRET":                 {"HASURA_GRAPHQL_JWT_SECRET": `{"type":"HS256","key":"` + strings.Repeat("z", 40) + `"}`},
	"AUTH_KEY_ROTATION_DAYS":                    {"AUTH_KEY_ROTATION_DAYS": "7"},
	"AUTH_ACCESS_TOKEN_EXPIRES_IN":              {"AUTH_ACCESS_TOKEN_EXPIRES_IN": "60"},
	"AUTH_REFRESH_TOKEN_EXPIRES_IN":             {"AUTH_REFRESH_TOKEN_EXPIRES_IN": "60"},
	"AUTH_JWT_CUSTOM_CLAIMS":                    {"AUTH_JWT_CUSTOM_CLAIMS": `{"plan":"metadata.plan"}`},
	"AUTH_JWT_CUSTOM_CLAIMS_DEFAULTS":           {"AUTH_JWT_CUSTOM_CLAIMS": `{"plan":"metadata.plan"}`, "AUTH_JWT_CUSTOM_CLAIMS_DEFAULTS": `{"plan":"free"}`},
	"AUTH_RATE_LIMIT_ENABLE":                    {"AUTH_RATE_LIMIT_ENABLE": "false"},
	"AUTH_RATE_LIMIT_GLOBAL_BURST":              {"AUTH_RATE_LIMIT_GLOBAL_BURST": "7"},
	"AUTH_RATE_LIMIT_GLOBAL_INTERVAL":           {"AUTH_RATE_LIMIT_GLOBAL_INTERVAL": "7m"},
	"AUTH_RATE_LIMIT_EMAIL_BURST":               {"AUTH_RATE_LIMIT_EMAIL_BURST": "7"},
	"AUTH_RATE_LIMIT_EMAIL_INTERVAL":            {"AUTH_RATE_LIMIT_EMAIL_INTERVAL": "7m"},
	"AUTH_RATE_LIMIT_EMAIL_IS_GLOBAL":           {"AUTH_RATE_LIMIT_EMAIL_IS_GLOBAL": "true"},
	"AUTH_RATE_LIMIT_SMS_BURST":                 {"AUTH_RATE_LIMIT_SMS_BURST": "7"},
	"AUTH_RATE_LIMIT_SMS_INTERVAL":              {"AUTH_RATE_LIMIT_SMS_INTERVAL": "7m"},
	"AUTH_RATE_LIMIT_BRUTE_FORCE_BURST":         {"AUTH_RATE_LIMIT_BRUTE_FORCE_BURST": "7"},
	"AUTH_RATE_LIMIT_BRUTE_FORCE_INTERVAL":      {"AUTH_RATE_LIMIT_BRUTE_FORCE_INTERVAL": "7m"},
	"AUTH_RATE_LIMIT_SIGNUPS_BURST":             {"AUTH_RATE_LIMIT_SIGNUPS_BURST": "7"},
	"AUTH_RATE_LIMIT_SIGNUPS_INTERVAL":          {"AUTH_RATE_LIMIT_SIGNUPS_INTERVAL": "7m"},
	"AUTH_CAPTCHA_SIGNIN":                       {"AUTH_TURNSTILE_SECRET": "a", "AUTH_CAPTCHA_SIGNIN": "true"},
	"AUTH_CAPTCHA_ANONYMOUS":                    {"AUTH_TURNSTILE_SECRET": "a", "AUTH_CAPTCHA_ANONYMOUS": "true"},
	"AUTH_CAPTCHA_MESSAGES":                     {"AUTH_TURNSTILE_SECRET": "a", "AUTH_CAPTCHA_MESSAGES": "true"},
	"AUTH_CAPTCHA_SEND_ADDRESS":                 {"AUTH_TURNSTILE_SECRET": "a", "AUTH_CAPTCHA_SEND_ADDRESS": "true"},
	"AUTH_AUDIT_ENABLE":                         {"AUTH_AUDIT_ENABLE": "true"},
	"AUTH_AUDIT_RETENTION":                      {"AUTH_AUDIT_ENABLE": "true", "AUTH_AUDIT_RETENTION": "864000"},
	"AUTH_WEBHOOK_URL":                          {"AUTH_WEBHOOK_URL": "https://hook.example.com", "AUTH_WEBHOOK_SECRETS": hookSecret},
	"AUTH_WEBHOOK_SECRETS":                      {"AUTH_WEBHOOK_URL": "https://hook.example.com", "AUTH_WEBHOOK_SECRETS": hookSecret},
	"AUTH_WEBHOOK_EVENTS":                       {"AUTH_WEBHOOK_URL": "https://hook.example.com", "AUTH_WEBHOOK_SECRETS": hookSecret, "AUTH_WEBHOOK_EVENTS": "user-created"},
}

const hookSecret = "whsec_MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDA="

// opened are the variables whose fields are set when the program starts, and not when it reads its environment.
var opened = []string{"AUTH_RATE_LIMIT_REDIS_URL", "AUTH_RATE_LIMIT_REDIS_OUTAGE"}

// The table that docs/configuration.md is made of says which field of the library a variable sets. With the variable the field is
// another than without.
func TestVariablesSetTheFieldsThatTheTableSays(t *testing.T) {
	t.Parallel()
	tested := 0
	for _, v := range variables {
		path, ofAdapter := strings.CutPrefix(v.sets, "httpadapter.Options.")
		root, _, _ := strings.Cut(path, ".")
		if v.sets == "" || slices.Contains(opened, v.name) || !ofAdapter && root != "" && strings.ToLower(root[:1]) == root[:1] {
			continue // the program's own, or of a sender or a provider, which show nothing of it
		}
		env, ok := samples[v.name]
		if !ok {
			t.Errorf("there is no sample of %s", v.name)
			continue
		}
		tested++
		without := maps.Clone(env)
		for name := range without {
			if name == v.name || strings.HasPrefix(name, "AUTH_PROVIDER_") {
				delete(without, name)
			}
		}
		if before, after := value(t, without, ofAdapter, path), value(t, env, ofAdapter, path); reflect.DeepEqual(before, after) {
			t.Errorf("%s does not set %s: it is %v", v.name, v.sets, after)
		}
	}
	if tested < 70 {
		t.Errorf("only %d variables were tested", tested)
	}
}

// value is what an environment makes of the field at a path; nil where its section is off.
func value(t *testing.T, env map[string]string, ofAdapter bool, path string) any {
	t.Helper()
	if _, ok := env["AUTH_WEBHOOK_URL"]; !ok && env["AUTH_WEBHOOK_SECRETS"] != "" {
		return nil
	}
	if env["AUTH_WEBHOOK_URL"] != "" && env["AUTH_WEBHOOK_SECRETS"] == "" {
		return nil // which is a mistake
	}
	s, err := parse(good(env), io.Discard)
	if err != nil {
		if env["AUTH_SMS_PASSWORDLESS_ENABLED"] != "" && env["AUTH_SMS_PROVIDER"] == "" {
			return nil // Twilio, the default, needs an account
		}
		t.Fatalf("%v: %v", env, err)
	}
	v := reflect.ValueOf(s.auth)
	if ofAdapter {
		v = reflect.ValueOf(s.http)
	}
	for name := range strings.SplitSeq(path, ".") {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return nil
			}
			v = v.Elem()
		}
		name, isList := strings.CutSuffix(name, "[]")
		if v = v.FieldByName(name); !v.IsValid() {
			t.Fatalf("there is no field %s", path)
		}
		if isList {
			if v.Len() == 0 {
				return nil
			}
			v = v.Index(0)
		}
	}
	if v.Kind() == reflect.Map {
		return v.Len()
	}
	return v.Interface()
}
