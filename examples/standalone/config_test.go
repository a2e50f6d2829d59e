package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/store/memstore"
)

const testSecret = "canary-Zm9yIHRlc3RzIG9ubHksIG5vdCBmb3IgdXNl"

// good is an environment with what is required, and what else a test wants in it. An empty value takes one out.
func good(more map[string]string) []string {
	env := map[string]string{
		"AUTH_STORE":      "memory",
		"AUTH_SECRET":     testSecret,
		"AUTH_SERVER_URL": "https://auth.example.com/v1",
		"AUTH_CLIENT_URL": "https://app.example.com",
		"AUTH_API_PREFIX": "/v1",
		"AUTH_MAIL_LOG":   "true",
	}
	maps.Copy(env, more)
	var lines []string
	for name, value := range env {
		lines = append(lines, name+"="+value)
	}
	return lines
}

func TestEveryMistakeHasAName(t *testing.T) { // ST-15
	t.Parallel()
	for name, tt := range map[string]struct {
		env  map[string]string
		want []string // name, colon, and a part of the reason
	}{
		"nothing is set": {
			map[string]string{"AUTH_STORE": "", "AUTH_SECRET": "", "AUTH_SERVER_URL": "", "AUTH_CLIENT_URL": "", "AUTH_API_PREFIX": "", "AUTH_MAIL_LOG": ""},
			[]string{"AUTH_SECRET: is required", "AUTH_SERVER_URL: is required", "AUTH_CLIENT_URL: is required", "AUTH_EMAIL_SIGNIN_EMAIL_VERIFIED_REQUIRED: "},
		},
		"a short secret":                            {map[string]string{"AUTH_SECRET": "canary-short"}, []string{"AUTH_SECRET: has 12 bytes"}},
		"a secret with a comma":                     {map[string]string{"AUTH_SECRET": testSecret + ",x"}, []string{"AUTH_SECRET: has a comma or a blank"}},
		"a secret with a line end":                  {map[string]string{"AUTH_SECRET": testSecret + "\n"}, []string{"AUTH_SECRET: has a comma or a blank"}},
		"a short previous secret":                   {map[string]string{"AUTH_PREVIOUS_SECRETS": strings.Repeat("a", 32) + ",canary-short"}, []string{"AUTH_PREVIOUS_SECRETS: "}},
		"a previous secret that is the present one": {map[string]string{"AUTH_PREVIOUS_SECRETS": testSecret}, []string{"AUTH_PREVIOUS_SECRETS: is the same as another secret"}},
		"a store that there is not yet":             {map[string]string{"AUTH_STORE": "oracle://user:canary@host"}, []string{"AUTH_STORE: is none of the stores that this program has: memory, sqlite:PATH, postgres://…"}},
		"a store that has no kind":                  {map[string]string{"AUTH_STORE": "host=db password=canary"}, []string{"AUTH_STORE: is none of the stores"}},
		"a place in memory":                         {map[string]string{"AUTH_STORE": "memory:canary"}, []string{"AUTH_STORE: memory takes no further words"}},
		"a file without a path":                     {map[string]string{"AUTH_STORE": "sqlite:"}, []string{"AUTH_STORE: has no plain path"}},
		"a file as a URL":                           {map[string]string{"AUTH_STORE": "sqlite://canary.db"}, []string{"AUTH_STORE: has no plain path"}},
		"a file as a URI":                           {map[string]string{"AUTH_STORE": "sqlite:file:canary.db"}, []string{"AUTH_STORE: has no plain path"}},
		"a file with parameters":                    {map[string]string{"AUTH_STORE": "sqlite:canary.db?mode=ro"}, []string{"AUTH_STORE: has no plain path"}},
		"a file in memory":                          {map[string]string{"AUTH_STORE": "sqlite::memory:"}, []string{"AUTH_STORE: is a database in memory"}},
		"a database with a port that is none":       {map[string]string{"AUTH_STORE": "postgres://user:canary@host:canary/db"}, []string{"AUTH_STORE: is no URL of a PostgreSQL database"}},
		"a password with a bare @":                  {map[string]string{"AUTH_STORE": "postgres://user:pass@canary@host/db"}, []string{"AUTH_STORE: has an @ in the name of its host"}},
		"a password with a bare @ and a slash":      {map[string]string{"AUTH_STORE": "postgres://user:pass@x/canary@host/db"}, []string{"AUTH_STORE: has an @ in the name of its host or database"}},
		"a password with a bare @ for a second host": {
			map[string]string{"AUTH_STORE": "postgres://user:pass@host,canary@host2/db"}, []string{"AUTH_STORE: has an @ in the name of its host"},
		},
		"a certificate that is not there":         {map[string]string{"AUTH_STORE": "postgres://user:canary@host/db?sslrootcert=/nowhere/canary"}, []string{"AUTH_STORE: is no URL of a PostgreSQL database"}},
		"a documented variable with a file":       {map[string]string{"AUTH_STORE": "", "POSTGRES_CONNECTION": "sqlite:canary.db"}, []string{"POSTGRES_CONNECTION: is no URL that begins with postgres://"}},
		"a documented variable with parameters":   {map[string]string{"AUTH_STORE": "", "HASURA_GRAPHQL_DATABASE_URL": "host=db password=canary"}, []string{"HASURA_GRAPHQL_DATABASE_URL: is no URL that begins with postgres://"}},
		"migrations somewhere else":               {map[string]string{"AUTH_STORE": "postgres://db/auth", "POSTGRES_MIGRATIONS_CONNECTION": "mysql://canary@db"}, []string{"POSTGRES_MIGRATIONS_CONNECTION: is no URL"}},
		"migrations that are neither on nor off":  {map[string]string{"AUTH_STORE_MIGRATE": "later"}, []string{"AUTH_STORE_MIGRATE: "}},
		"a schema that would have to be quoted":   {map[string]string{"AUTH_STORE": "postgres://db/auth", "AUTH_STORE_SCHEMA": "Auth; --"}, []string{"AUTH_STORE_SCHEMA: "}},
		"a listen address without a port":         {map[string]string{"AUTH_LISTEN": "localhost"}, []string{"AUTH_LISTEN: "}},
		"a listen address with a port too high":   {map[string]string{"AUTH_LISTEN": ":65536"}, []string{"AUTH_LISTEN: "}},
		"a port that is none":                     {map[string]string{"AUTH_PORT": "http"}, []string{"AUTH_PORT: "}},
		"a port below zero":                       {map[string]string{"AUTH_PORT": "-1"}, []string{"AUTH_PORT: "}},
		"a prefix without a slash":                {map[string]string{"AUTH_API_PREFIX": "v1"}, []string{"AUTH_API_PREFIX: "}},
		"a prefix with a wildcard":                {map[string]string{"AUTH_API_PREFIX": "/{v}"}, []string{"AUTH_API_PREFIX: "}},
		"a prefix with a dot segment":             {map[string]string{"AUTH_API_PREFIX": "/a/../b"}, []string{"AUTH_API_PREFIX: "}},
		"a relative server URL":                   {map[string]string{"AUTH_SERVER_URL": "/v1"}, []string{"AUTH_SERVER_URL: is not an absolute http or https URL"}},
		"a client URL that is none":               {map[string]string{"AUTH_CLIENT_URL": "app.example.com"}, []string{"AUTH_CLIENT_URL: "}},
		"a redirect to a whole domain":            {map[string]string{"AUTH_ACCESS_CONTROL_ALLOWED_REDIRECT_URLS": "https://*.com"}, []string{"AUTH_ACCESS_CONTROL_ALLOWED_REDIRECT_URLS: "}},
		"both, and no client URL":                 {map[string]string{"AUTH_CLIENT_URL": "", "AUTH_ACCESS_CONTROL_ALLOWED_REDIRECT_URLS": "https://*.com"}, []string{"AUTH_CLIENT_URL: is required", "AUTH_ACCESS_CONTROL_ALLOWED_REDIRECT_URLS: "}},
		"a switch that is neither on nor off":     {map[string]string{"AUTH_DISABLE_SIGNUP": "maybe"}, []string{`AUTH_DISABLE_SIGNUP: "maybe" is neither true nor false`}},
		"no way to verify addresses":              {map[string]string{"AUTH_MAIL_LOG": "false"}, []string{"AUTH_EMAIL_SIGNIN_EMAIL_VERIFIED_REQUIRED: is true, its default"}},
		"an allowed address that is none":         {map[string]string{"AUTH_ACCESS_CONTROL_ALLOWED_EMAILS": "ada"}, []string{"AUTH_ACCESS_CONTROL_ALLOWED_EMAILS: "}},
		"an allowed domain that is none":          {map[string]string{"AUTH_ACCESS_CONTROL_ALLOWED_EMAIL_DOMAINS": "a b"}, []string{"AUTH_ACCESS_CONTROL_ALLOWED_EMAIL_DOMAINS: "}},
		"a blocked address that is none":          {map[string]string{"AUTH_ACCESS_CONTROL_BLOCKED_EMAILS": "ada,eve"}, []string{"AUTH_ACCESS_CONTROL_BLOCKED_EMAILS: ", "AUTH_ACCESS_CONTROL_BLOCKED_EMAILS: "}},
		"a blocked domain that is none":           {map[string]string{"AUTH_ACCESS_CONTROL_BLOCKED_EMAIL_DOMAINS": "@evil.com"}, []string{"AUTH_ACCESS_CONTROL_BLOCKED_EMAIL_DOMAINS: "}},
		"an allow-list with nothing in it":        {map[string]string{"AUTH_ACCESS_CONTROL_ALLOWED_EMAILS": " , "}, []string{"AUTH_ACCESS_CONTROL_ALLOWED_EMAILS: has no entry"}},
		"a role with a blank":                     {map[string]string{"AUTH_USER_DEFAULT_ALLOWED_ROLES": "me,the boss"}, []string{"AUTH_USER_DEFAULT_ALLOWED_ROLES: "}},
		"a folder of letters that is not there":   {map[string]string{"AUTH_EMAIL_TEMPLATES_PATH": "/nowhere"}, []string{"AUTH_EMAIL_TEMPLATES_PATH: no such file or directory"}},
		"a folder without letters":                {map[string]string{"AUTH_EMAIL_TEMPLATES_PATH": t.TempDir()}, []string{"AUTH_EMAIL_TEMPLATES_PATH: there is no letter in it"}},
		"a locale in capitals":                    {map[string]string{"AUTH_LOCALE_ALLOWED_LOCALES": "EN"}, []string{"AUTH_LOCALE_ALLOWED_LOCALES: "}},
		"a picture that Gravatar has not":         {map[string]string{"AUTH_GRAVATAR_ENABLED": "true", "AUTH_GRAVATAR_DEFAULT": "cat"}, []string{"AUTH_GRAVATAR_DEFAULT: "}},
		"a rating that Gravatar has not":          {map[string]string{"AUTH_GRAVATAR_ENABLED": "true", "AUTH_GRAVATAR_RATING": "z"}, []string{"AUTH_GRAVATAR_RATING: "}},
		"passwords of no length":                  {map[string]string{"AUTH_PASSWORD_MIN_LENGTH": "0"}, []string{"AUTH_PASSWORD_MIN_LENGTH: "}},
		"access tokens that live no time":         {map[string]string{"AUTH_ACCESS_TOKEN_EXPIRES_IN": "0"}, []string{"AUTH_ACCESS_TOKEN_EXPIRES_IN: "}},
		"access tokens that live a negative one":  {map[string]string{"AUTH_ACCESS_TOKEN_EXPIRES_IN": "-900"}, []string{"AUTH_ACCESS_TOKEN_EXPIRES_IN: "}},
		"access tokens that live two days":        {map[string]string{"AUTH_ACCESS_TOKEN_EXPIRES_IN": "172800"}, []string{"AUTH_ACCESS_TOKEN_EXPIRES_IN: "}},
		"sessions that live no time":              {map[string]string{"AUTH_REFRESH_TOKEN_EXPIRES_IN": "0"}, []string{"AUTH_REFRESH_TOKEN_EXPIRES_IN: "}},
		"sessions in words":                       {map[string]string{"AUTH_REFRESH_TOKEN_EXPIRES_IN": "30d"}, []string{"AUTH_REFRESH_TOKEN_EXPIRES_IN: "}},
		"a JWT secret that is no JSON":            {map[string]string{"HASURA_GRAPHQL_JWT_SECRET": "canary"}, []string{"HASURA_GRAPHQL_JWT_SECRET: "}},
		"an empty JWT secret":                     {map[string]string{"HASURA_GRAPHQL_JWT_SECRET": `{"type":"HS256","key":""}`}, []string{"HASURA_GRAPHQL_JWT_SECRET: "}},
		"a short JWT secret":                      {map[string]string{"HASURA_GRAPHQL_JWT_SECRET": `{"type":"HS256","key":"canary"}`}, []string{"HASURA_GRAPHQL_JWT_SECRET: "}},
		"an algorithm that is none":               {map[string]string{"HASURA_GRAPHQL_JWT_SECRET": `{"type":"none","key":"canary"}`}, []string{"HASURA_GRAPHQL_JWT_SECRET: "}},
		"a namespace that is a claim":             {map[string]string{"HASURA_GRAPHQL_JWT_SECRET": `{"type":"HS256","key":"` + testSecret + `","claims_namespace":"sub"}`}, []string{"HASURA_GRAPHQL_JWT_SECRET: "}},
		"claims that are no JSON":                 {map[string]string{"AUTH_JWT_CUSTOM_CLAIMS": "plan=metadata.plan"}, []string{"AUTH_JWT_CUSTOM_CLAIMS: "}},
		"a claim that is built in":                {map[string]string{"AUTH_JWT_CUSTOM_CLAIMS": `{"user-id":"id"}`}, []string{"AUTH_JWT_CUSTOM_CLAIMS: "}},
		"two claims that are":                     {map[string]string{"AUTH_JWT_CUSTOM_CLAIMS": `{"user-id":"id","default-role":"id"}`}, []string{"AUTH_JWT_CUSTOM_CLAIMS: ", "AUTH_JWT_CUSTOM_CLAIMS: "}},
		"defaults that are no object":             {map[string]string{"AUTH_JWT_CUSTOM_CLAIMS_DEFAULTS": "[]"}, []string{"AUTH_JWT_CUSTOM_CLAIMS_DEFAULTS: "}},
		"no requests at all":                      {map[string]string{"AUTH_RATE_LIMIT_GLOBAL_BURST": "0"}, []string{`AUTH_RATE_LIMIT_GLOBAL_BURST: "0"`}},
		"a number of letters in words":            {map[string]string{"AUTH_RATE_LIMIT_EMAIL_BURST": "ten"}, []string{`AUTH_RATE_LIMIT_EMAIL_BURST: "ten"`}},
		"an interval without a unit":              {map[string]string{"AUTH_RATE_LIMIT_SMS_INTERVAL": "3600"}, []string{`AUTH_RATE_LIMIT_SMS_INTERVAL: "3600" is not a length of time`}},
		"an interval that is too short":           {map[string]string{"AUTH_RATE_LIMIT_BRUTE_FORCE_INTERVAL": "1ms"}, []string{"AUTH_RATE_LIMIT_BRUTE_FORCE_INTERVAL: "}},
		"an interval that is too long":            {map[string]string{"AUTH_RATE_LIMIT_SIGNUPS_INTERVAL": "800h"}, []string{"AUTH_RATE_LIMIT_SIGNUPS_INTERVAL: "}},
		"a limit that cannot be counted":          {map[string]string{"AUTH_RATE_LIMIT_SIGNUPS_BURST": "999999937", "AUTH_RATE_LIMIT_SIGNUPS_INTERVAL": "744h"}, []string{"AUTH_RATE_LIMIT_SIGNUPS_BURST: "}},
		"letters that are neither shared nor not": {map[string]string{"AUTH_RATE_LIMIT_EMAIL_IS_GLOBAL": "perhaps"}, []string{"AUTH_RATE_LIMIT_EMAIL_IS_GLOBAL: "}},
		"a Redis that is none":                    {map[string]string{"AUTH_RATE_LIMIT_REDIS_URL": "http://:canary@redis:6379"}, []string{"AUTH_RATE_LIMIT_REDIS_URL: is not a URL such as"}},
		"a Redis with a database that is none":    {map[string]string{"AUTH_RATE_LIMIT_REDIS_URL": "redis://:canary@redis:6379/canary"}, []string{"AUTH_RATE_LIMIT_REDIS_URL: is not a URL such as"}},
		"a Redis with a password in two parts":    {map[string]string{"AUTH_RATE_LIMIT_REDIS_URL": "redis://:can%zzcanary@redis"}, []string{"AUTH_RATE_LIMIT_REDIS_URL: is not a URL such as"}},
		"a prefix with braces":                    {map[string]string{"AUTH_RATE_LIMIT_REDIS_PREFIX": "{auth}"}, []string{"AUTH_RATE_LIMIT_REDIS_PREFIX: "}},
		"an outage that is neither":               {map[string]string{"AUTH_RATE_LIMIT_REDIS_OUTAGE": "open"}, []string{`AUTH_RATE_LIMIT_REDIS_OUTAGE: "open" is neither local nor refuse`}},
		"a proxy that is no network":              {map[string]string{"AUTH_TRUSTED_PROXIES": "10.0.0.0/8, proxy.internal"}, []string{`AUTH_TRUSTED_PROXIES: "proxy.internal"`}},
		"a proxy that is everybody":               {map[string]string{"AUTH_TRUSTED_PROXIES": "0.0.0.0/0"}, []string{"AUTH_TRUSTED_PROXIES: "}},
		"an origin with a path":                   {map[string]string{"AUTH_CORS_ALLOWED_ORIGINS": "https://app.example.com/"}, []string{"AUTH_CORS_ALLOWED_ORIGINS: "}},
		"an origin and no server URL":             {map[string]string{"AUTH_SERVER_URL": "", "AUTH_CORS_ALLOWED_ORIGINS": "app,web"}, []string{"AUTH_SERVER_URL: is required", "AUTH_CORS_ALLOWED_ORIGINS: ", "AUTH_CORS_ALLOWED_ORIGINS: "}},
		"passkeys of an IP address":               {map[string]string{"AUTH_WEBAUTHN_ENABLED": "true", "AUTH_CLIENT_URL": "http://127.0.0.1:3000"}, []string{"AUTH_WEBAUTHN_RP_ID: is not set, and the host of AUTH_CLIENT_URL is an IP address"}},
		"passkeys of an IPv6 address":             {map[string]string{"AUTH_WEBAUTHN_ENABLED": "true", "AUTH_CLIENT_URL": "http://[::1]:3000"}, []string{"AUTH_WEBAUTHN_RP_ID: is not set, and the host of AUTH_CLIENT_URL is an IP address"}},
		"a relying party that is an address":      {map[string]string{"AUTH_WEBAUTHN_ENABLED": "true", "AUTH_WEBAUTHN_RP_ID": "192.0.2.1"}, []string{`AUTH_WEBAUTHN_RP_ID: `}},
		"a relying party that is a URL":           {map[string]string{"AUTH_WEBAUTHN_ENABLED": "true", "AUTH_WEBAUTHN_RP_ID": "https://example.com"}, []string{"AUTH_WEBAUTHN_RP_ID: "}},
		"passkeys and no client URL":              {map[string]string{"AUTH_WEBAUTHN_ENABLED": "true", "AUTH_CLIENT_URL": ""}, []string{"AUTH_CLIENT_URL: is required"}},
		"an origin that browsers do not send":     {map[string]string{"AUTH_WEBAUTHN_ENABLED": "true", "AUTH_WEBAUTHN_RP_ORIGINS": "https://a.example.com, https://b.example.com/"}, []string{`AUTH_WEBAUTHN_RP_ORIGINS: "https://b.example.com/" is not in the form`}},
		"two origins that are none":               {map[string]string{"AUTH_WEBAUTHN_ENABLED": "true", "AUTH_WEBAUTHN_RP_ORIGINS": "a.example.com,b.example.com"}, []string{`AUTH_WEBAUTHN_RP_ORIGINS: "a.`, `AUTH_WEBAUTHN_RP_ORIGINS: "b.`}},
		"a list of origins with nothing in it":    {map[string]string{"AUTH_WEBAUTHN_RP_ORIGINS": ","}, []string{"AUTH_WEBAUTHN_RP_ORIGINS: has no entry"}},
		"a wait that is no number":                {map[string]string{"AUTH_WEBAUTHN_ATTESTATION_TIMEOUT": "1m"}, []string{"AUTH_WEBAUTHN_ATTESTATION_TIMEOUT: "}},
		"a wait in seconds":                       {map[string]string{"AUTH_WEBAUTHN_ATTESTATION_TIMEOUT": "60"}, []string{`AUTH_WEBAUTHN_ATTESTATION_TIMEOUT: "60" is not a whole number from 1000 to 3600000`}},
		"a wait of no time":                       {map[string]string{"AUTH_WEBAUTHN_ATTESTATION_TIMEOUT": "0"}, []string{"AUTH_WEBAUTHN_ATTESTATION_TIMEOUT: "}},
		"a mail server and no sender":             {map[string]string{"AUTH_MAIL_LOG": "", "AUTH_SMTP_HOST": "smtp.example.com"}, []string{"AUTH_SMTP_HOST: "}},
		"a mail server and a log":                 {map[string]string{"AUTH_MAIL_LOG": "true", "AUTH_SMTP_HOST": "smtp.example.com", "AUTH_SMTP_SENDER": "a@example.com"}, []string{"AUTH_MAIL_LOG: "}},
		"a way to sign in that there is not":      {map[string]string{"AUTH_SMTP_AUTH_METHOD": "NTLM"}, []string{"AUTH_SMTP_AUTH_METHOD: "}},
		"two ways of TLS":                         {map[string]string{"AUTH_SMTP_SECURE": "true", "AUTH_SMTP_TLS": "none"}, []string{"AUTH_SMTP_TLS: "}},
		"Postmark without a token":                {map[string]string{"AUTH_MAIL_LOG": "", "AUTH_SMTP_HOST": "postmark", "AUTH_SMTP_SENDER": "a@example.com"}, []string{"AUTH_SMTP_HOST: "}},
		"links without mail":                      {map[string]string{"AUTH_EMAIL_PASSWORDLESS_ENABLED": "true", "AUTH_MAIL_LOG": "false", "AUTH_EMAIL_SIGNIN_EMAIL_VERIFIED_REQUIRED": "false"}, []string{"AUTH_EMAIL_PASSWORDLESS_ENABLED: is true, and"}},
		"codes without mail":                      {map[string]string{"AUTH_OTP_EMAIL_ENABLED": "true", "AUTH_MAIL_LOG": "false", "AUTH_EMAIL_SIGNIN_EMAIL_VERIFIED_REQUIRED": "false"}, []string{"AUTH_OTP_EMAIL_ENABLED: is true, and"}},
		"text messages without an account":        {map[string]string{"AUTH_SMS_PASSWORDLESS_ENABLED": "true"}, []string{"AUTH_SMS_PROVIDER: twilio: AccountSID", "AUTH_SMS_PROVIDER: twilio: Token", "AUTH_SMS_PROVIDER: twilio: one of Service"}},
		"text messages by pigeon":                 {map[string]string{"AUTH_SMS_PASSWORDLESS_ENABLED": "true", "AUTH_SMS_PROVIDER": "pigeon"}, []string{`AUTH_SMS_PROVIDER: "pigeon" is not one of`}},
		"a gateway without a password":            {map[string]string{"AUTH_SMS_PASSWORDLESS_ENABLED": "true", "AUTH_SMS_PROVIDER": "Modica", "AUTH_SMS_MODICA_USERNAME": "u"}, []string{"AUTH_SMS_PROVIDER: modica: Password"}},
		"countries that are none":                 {map[string]string{"AUTH_SMS_PASSWORDLESS_ENABLED": "true", "AUTH_SMS_PROVIDER": "dev", "AUTH_SMS_COUNTRIES": "CH,Narnia"}, []string{"AUTH_SMS_COUNTRIES: "}},
		"passkeys that are neither on nor off":    {map[string]string{"AUTH_WEBAUTHN_ENABLED": "yes"}, []string{"AUTH_WEBAUTHN_ENABLED: "}},
		"a step-up of a kind that there is not":   {map[string]string{"AUTH_REQUIRE_ELEVATED_CLAIM": "true"}, []string{`AUTH_REQUIRE_ELEVATED_CLAIM: is "true"; it must be one of disabled, recommended, required`}},
		"a way to step up that there is not":      {map[string]string{"AUTH_ELEVATION_METHODS": "totp, pigeon"}, []string{`AUTH_ELEVATION_METHODS: there is no way to step up called "pigeon"`}},
		"keys that rotate back":                   {map[string]string{"AUTH_KEY_ROTATION_DAYS": "-1"}, []string{"AUTH_KEY_ROTATION_DAYS: "}},
		"keys that rotate in two years":           {map[string]string{"AUTH_KEY_ROTATION_DAYS": "730"}, []string{"AUTH_KEY_ROTATION_DAYS: "}},
		"several at once": {
			map[string]string{"AUTH_PORT": "x", "AUTH_SECRET": "canary", "AUTH_PASSWORD_MIN_LENGTH": "x", "AUTH_TRUSTED_PROXIES": "x"},
			[]string{"AUTH_PORT: ", "AUTH_SECRET: ", "AUTH_PASSWORD_MIN_LENGTH: ", "AUTH_TRUSTED_PROXIES: "},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parse(good(tt.env), io.Discard)
			if err == nil {
				t.Fatal("the environment was accepted")
			}
			got := strings.Split(err.Error(), "\n")
			for _, want := range tt.want {
				i := slices.IndexFunc(got, func(line string) bool { return strings.HasPrefix(line, want) })
				if i < 0 {
					t.Fatalf("no mistake begins with %q:\n%v", want, err)
				}
				got = slices.Delete(got, i, i+1)
			}
			if len(got) > 0 {
				t.Errorf("further mistakes were found:\n%s", strings.Join(got, "\n"))
			}
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("a secret is shown:\n%v", err)
			}
		})
	}
}

func TestTextMessages(t *testing.T) {
	t.Parallel()
	sid := func(begins string) string { return begins + strings.Repeat("a", 32) }
	twilio := map[string]string{
		"AUTH_SMS_PASSWORDLESS_ENABLED": "true", "AUTH_SMS_TWILIO_ACCOUNT_SID": sid("AC"), "AUTH_SMS_TWILIO_AUTH_TOKEN": "canary",
		"AUTH_SMS_TWILIO_MESSAGING_SERVICE_ID": sid("MG"),
	}
	verify := maps.Clone(twilio)
	verify["AUTH_SMS_TWILIO_MESSAGING_SERVICE_ID"] = sid("VA")
	for name, tt := range map[string]struct {
		env              map[string]string
		sender, verifier bool
		takes, refuses   string
	}{
		"off":         {map[string]string{"AUTH_SMS_PROVIDER": "dev"}, false, false, "", ""},
		"logged":      {map[string]string{"AUTH_SMS_PASSWORDLESS_ENABLED": "true", "AUTH_SMS_PROVIDER": "DEV"}, true, false, "+15555550100", "0791234567"},
		"in a region": {map[string]string{"AUTH_SMS_PASSWORDLESS_ENABLED": "true", "AUTH_SMS_PROVIDER": "dev", "AUTH_SMS_DEFAULT_COUNTRY": "ch"}, true, false, "0791234567", "+15555550100"},
		"in few":      {map[string]string{"AUTH_SMS_PASSWORDLESS_ENABLED": "true", "AUTH_SMS_PROVIDER": "dev", "AUTH_SMS_COUNTRIES": "ch, de"}, true, false, "+41791234567", "+33612345678"},
		"twilio":      {twilio, true, false, "+33612345678", "+15555550100"},
		"verify":      {verify, false, true, "+33612345678", "+15555550100"},
		"modica": {map[string]string{
			"AUTH_SMS_PASSWORDLESS_ENABLED": "true", "AUTH_SMS_PROVIDER": "modica", "AUTH_SMS_MODICA_USERNAME": "u", "AUTH_SMS_MODICA_PASSWORD": "p",
		}, true, false, "+33612345678", "+15555550100"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := parse(good(tt.env), io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			c := s.auth.SMS
			if c == nil {
				c = &auth.SMSConfig{}
			}
			if (c.Sender != nil) != tt.sender || (c.Verifier != nil) != tt.verifier {
				t.Fatalf("sender %T, verifier %T", c.Sender, c.Verifier)
			}
			if tt.takes == "" {
				return
			}
			engine, err := auth.New(memstore.New(), s.auth)
			if err != nil {
				t.Fatal(err)
			}
			if name := "AUTH_SMS_PROVIDER is dev"; strings.Contains(strings.Join(s.warnings, "\n"), name) != (tt.env["AUTH_SMS_PROVIDER"] != "" && tt.env["AUTH_SMS_PROVIDER"] != "modica") {
				t.Errorf("warnings %q", s.warnings)
			}
			for number, want := range map[string]error{tt.refuses: auth.ErrInvalidRequest, tt.takes: auth.ErrInvalidRequest} {
				// A wrong code, or a wrong number: the message tells.
				_, err := engine.VerifySMSOTP(t.Context(), auth.VerifySMSOTPParams{PhoneNumber: number, OTP: "123456"})
				if !errors.Is(err, want) || strings.Contains(err.Error(), "phone number") != (number == tt.refuses) {
					t.Errorf("%s: %v", number, err)
				}
			}
		})
	}
}

func TestTheEnvironmentBecomesTheConfiguration(t *testing.T) {
	t.Parallel()
	s, err := parse(good(map[string]string{
		"AUTH_LISTEN":           "127.0.0.1:4001",
		"AUTH_PREVIOUS_SECRETS": strings.Repeat("a", 32) + ", " + strings.Repeat("b", 32),
		"AUTH_ACCESS_CONTROL_ALLOWED_REDIRECT_URLS": "https://*.example.org, myapp://callback",
		"AUTH_ACCESS_CONTROL_ALLOWED_EMAILS":        "ada@example.com",
		"AUTH_ACCESS_CONTROL_ALLOWED_EMAIL_DOMAINS": "example.com",
		"AUTH_ACCESS_CONTROL_BLOCKED_EMAILS":        "eve@example.com",
		"AUTH_ACCESS_CONTROL_BLOCKED_EMAIL_DOMAINS": "evil.com",
		"AUTH_DISABLE_SIGNUP":                       "true",
		"AUTH_DISABLE_NEW_USERS":                    "1",
		"AUTH_ANONYMOUS_USERS_ENABLED":              "true",
		"AUTH_EMAIL_PASSWORDLESS_ENABLED":           "true",
		"AUTH_OTP_EMAIL_ENABLED":                    "true",
		"AUTH_EMAIL_SIGNIN_EMAIL_VERIFIED_REQUIRED": "false",
		"AUTH_USER_DEFAULT_ROLE":                    "member",
		"AUTH_USER_DEFAULT_ALLOWED_ROLES":           "me,member,editor",
		"AUTH_LOCALE_DEFAULT":                       "de",
		"AUTH_LOCALE_ALLOWED_LOCALES":               "en,fr",
		"AUTH_GRAVATAR_ENABLED":                     "true",
		"AUTH_GRAVATAR_DEFAULT":                     "retro",
		"AUTH_GRAVATAR_RATING":                      "pg",
		"AUTH_PASSWORD_MIN_LENGTH":                  "12",
		"AUTH_PASSWORD_HIBP_ENABLED":                "true",
		"AUTH_WEBAUTHN_ENABLED":                     "true",
		"AUTH_WEBAUTHN_RP_ID":                       "example.com",
		"AUTH_WEBAUTHN_RP_NAME":                     "Example",
		"AUTH_WEBAUTHN_RP_ORIGINS":                  "https://admin.example.com, android:apk-key-hash:pNiP5iKyQ8JwgGOaKA1zGPUPJIS-0H1xKCQcfIoGLck",
		"AUTH_WEBAUTHN_ATTESTATION_TIMEOUT":         "90000",
		"AUTH_REQUIRE_ELEVATED_CLAIM":               "recommended",
		"AUTH_AUDIT_ENABLE":                         "true", "AUTH_AUDIT_RETENTION": "7776000",
		"AUTH_MFA_ENABLED":                "true",
		"AUTH_MFA_TOTP_ISSUER":            "Example",
		"AUTH_CONCEAL_ERRORS":             "true",
		"AUTH_ACCESS_TOKEN_EXPIRES_IN":    "60",
		"AUTH_REFRESH_TOKEN_EXPIRES_IN":   "31536000",
		"AUTH_JWT_CUSTOM_CLAIMS":          `{"plan":"metadata.plan"}`,
		"AUTH_JWT_CUSTOM_CLAIMS_DEFAULTS": `{"plan":"free"}`,
		"HASURA_GRAPHQL_JWT_SECRET":       `{"type":"HS256","key":"` + testSecret + `","kid":"one","issuer":"me"}`,
		"AUTH_TRUSTED_PROXIES":            "10.0.0.0/8,192.0.2.1,2001:db8::/32",
		"AUTH_CORS_ALLOWED_ORIGINS":       "https://app.example.com,https://admin.example.com",
		"AUTH_DEBUG":                      "true",
		"AUTH_LOG_FORMAT_TEXT":            "true",
		"UNRELATED":                       "x",
	}), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	type picked struct {
		Listen, Prefix, Store                  string
		ServerURL, ClientURL                   string
		Secret                                 string
		Previous                               []string
		Redirects                              []string
		SignUp                                 auth.SignUpConfig
		Email                                  auth.EmailConfig
		Roles                                  auth.RolesConfig
		Locales                                auth.LocalesConfig
		Gravatar                               *auth.GravatarConfig
		MinLength                              int
		HIBP, Anonymous, Conceal, Links, Codes bool
		WebAuthn                               *auth.WebAuthnConfig
		MFA                                    *auth.MFAConfig
		Audit                                  *auth.AuditConfig
		Elevation                              auth.ElevationMode
		Access, Idle, Absolute                 time.Duration
		Algorithm, KeyID, Issuer               string
		Claims                                 map[string]string
		Defaults                               map[string]any
		Proxies                                []netip.Prefix
		Origins                                []string
	}
	c := s.auth
	got := picked{
		Listen: s.listen, Prefix: s.prefix, Store: s.store.kind,
		ServerURL: c.ServerURL, ClientURL: c.ClientURL, Secret: string(c.Secret), Redirects: c.AllowedRedirectURLs,
		SignUp: c.SignUp, Email: c.Email, Roles: c.Roles, Locales: c.Locales, Gravatar: c.Gravatar,
		MinLength: c.Password.MinLength, HIBP: c.Password.Breached != nil, Anonymous: c.Anonymous != nil, Conceal: c.ConcealErrors,
		Links: c.MagicLink != nil, Codes: c.EmailOTP != nil,
		WebAuthn: c.WebAuthn, MFA: c.MFA, Audit: c.Audit, Elevation: c.Elevation.Mode,
		Access: c.AccessTokens.Lifetime, Idle: c.Sessions.Idle, Absolute: c.Sessions.Absolute,
		Algorithm: c.AccessTokens.Keys.Active.Algorithm, KeyID: c.AccessTokens.Keys.Active.ID, Issuer: c.AccessTokens.Issuer,
		Claims: c.AccessTokens.CustomClaims, Defaults: c.AccessTokens.CustomClaimsDefaults,
		Proxies: s.http.TrustedProxies, Origins: s.http.AllowedOrigins,
	}
	for _, p := range c.PreviousSecrets {
		got.Previous = append(got.Previous, string(p))
	}
	want := picked{
		Listen: "127.0.0.1:4001", Prefix: "/v1", Store: "memory",
		ServerURL: "https://auth.example.com/v1", ClientURL: "https://app.example.com", Secret: testSecret,
		Previous:  []string{strings.Repeat("a", 32), strings.Repeat("b", 32)},
		Redirects: []string{"https://*.example.org", "myapp://callback"},
		SignUp:    auth.SignUpConfig{Disabled: true, DisableNewUsers: true},
		Email: auth.EmailConfig{
			AllowUnverified:  true,
			AllowedAddresses: []string{"ada@example.com"}, AllowedDomains: []string{"example.com"},
			BlockedAddresses: []string{"eve@example.com"}, BlockedDomains: []string{"evil.com"},
		},
		Roles:     auth.RolesConfig{Default: "member", Allowed: []string{"me", "member", "editor"}},
		Locales:   auth.LocalesConfig{Default: "de", Allowed: []string{"en", "fr"}},
		Gravatar:  &auth.GravatarConfig{Default: "retro", Rating: "pg"},
		MinLength: 12, HIBP: true, Anonymous: true, Conceal: true, Links: true, Codes: true,
		WebAuthn: &auth.WebAuthnConfig{
			RPID: "example.com", RPName: "Example", Timeout: 90 * time.Second,
			Origins: []string{"https://admin.example.com", "android:apk-key-hash:pNiP5iKyQ8JwgGOaKA1zGPUPJIS-0H1xKCQcfIoGLck"},
		},
		MFA:       &auth.MFAConfig{Issuer: "Example"},
		Audit:     &auth.AuditConfig{Retention: 90 * 24 * time.Hour},
		Elevation: auth.ElevationRecommended,
		Access:    time.Minute, Idle: 365 * 24 * time.Hour,
		Algorithm: "HS256", KeyID: "one", Issuer: "me",
		Claims: map[string]string{"plan": "metadata.plan"}, Defaults: map[string]any{"plan": "free"},
		Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::/32")},
		Origins: []string{"https://app.example.com", "https://admin.example.com"},
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	if !c.Logger.Enabled(t.Context(), slog.LevelDebug) {
		t.Error("AUTH_DEBUG has no effect")
	}
	if _, isText := c.Logger.Handler().(*slog.TextHandler); !isText {
		t.Error("AUTH_LOG_FORMAT_TEXT has no effect")
	}
}

func TestDefaultsAreTheSafeOnes(t *testing.T) {
	t.Parallel()
	s, err := parse(good(nil), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	c := s.auth
	if s.listen != ":4000" || c.Email.AllowUnverified || c.Anonymous != nil || c.Gravatar != nil || c.ConcealErrors ||
		c.WebAuthn != nil || c.Audit != nil || c.Elevation.Mode != auth.ElevationDisabled ||
		c.Password.MinLength != 8 || c.AccessTokens.Lifetime != 15*time.Minute || c.Sessions.Idle != 30*24*time.Hour {
		t.Errorf("defaults: listen %s, %+v", s.listen, c)
	}
	if diff := cmp.Diff([]string{"https://app.example.com"}, s.http.AllowedOrigins); diff != "" {
		t.Errorf("origins (-want +got):\n%s", diff)
	}
	if c.Logger.Enabled(t.Context(), slog.LevelDebug) {
		t.Error("debug messages are logged")
	}
}

func TestTheStoreIsWhereTheEnvironmentSays(t *testing.T) {
	t.Parallel()
	const url, other = "postgres://app:canary@one.test/auth", "postgresql://app:canary@two.test:5433/auth"
	type picked struct {
		Kind, File, Host, Owner, Schema string
		Migrate                         bool
	}
	for name, tt := range map[string]struct {
		env  map[string]string
		want picked
	}{
		"memory":               {map[string]string{"AUTH_STORE": "memory"}, picked{Kind: "memory", Schema: "auth", Migrate: true}},
		"a relative path":      {map[string]string{"AUTH_STORE": "sqlite:a/b.db"}, picked{Kind: "sqlite", File: "a/b.db", Schema: "auth", Migrate: true}},
		"an absolute path":     {map[string]string{"AUTH_STORE": "sqlite:/a/b.db"}, picked{Kind: "sqlite", File: "/a/b.db", Schema: "auth", Migrate: true}},
		"nothing":              {nil, picked{Kind: "sqlite", File: "auth.db", Schema: "auth", Migrate: true}},
		"a URL":                {map[string]string{"AUTH_STORE": url}, picked{Kind: "postgres", Host: "one.test", Schema: "auth", Migrate: true}},
		"the other scheme":     {map[string]string{"AUTH_STORE": other}, picked{Kind: "postgres", Host: "two.test", Schema: "auth", Migrate: true}},
		"the first name":       {map[string]string{"POSTGRES_CONNECTION": url, "HASURA_GRAPHQL_DATABASE_URL": other}, picked{Kind: "postgres", Host: "one.test", Schema: "auth", Migrate: true}},
		"the second name":      {map[string]string{"HASURA_GRAPHQL_DATABASE_URL": other}, picked{Kind: "postgres", Host: "two.test", Schema: "auth", Migrate: true}},
		"a name of our own":    {map[string]string{"AUTH_STORE": "memory", "POSTGRES_CONNECTION": url}, picked{Kind: "memory", Schema: "auth", Migrate: true}},
		"an owner of another":  {map[string]string{"AUTH_STORE": url, "POSTGRES_MIGRATIONS_CONNECTION": other, "AUTH_STORE_SCHEMA": "users"}, picked{Kind: "postgres", Host: "one.test", Owner: "two.test", Schema: "users", Migrate: true}},
		"migrations elsewhere": {map[string]string{"AUTH_STORE": url, "AUTH_STORE_MIGRATE": "false"}, picked{Kind: "postgres", Host: "one.test", Schema: "auth"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := map[string]string{"AUTH_STORE": ""}
			maps.Copy(env, tt.env)
			s, err := parse(good(env), io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			got := picked{Kind: s.store.kind, File: s.store.file, Schema: s.store.schema, Migrate: s.store.migrate}
			if s.store.database != nil {
				got.Host = s.store.database.ConnConfig.Host
			}
			if s.store.owner != nil {
				got.Owner = s.store.owner.ConnConfig.Host
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if text := fmt.Sprintf("%v %+v %#v", s.store, s.store, s.store); strings.Contains(text, "canary") {
				t.Errorf("a password is shown: %s", text) // LG-10
			}
		})
	}
}

func TestThePortIsForThoseWithoutAnAddress(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		env  map[string]string
		want string
	}{
		"port alone":       {map[string]string{"AUTH_PORT": "5000"}, ":5000"},
		"port and address": {map[string]string{"AUTH_PORT": "5000", "AUTH_LISTEN": "127.0.0.1:0"}, "127.0.0.1:0"},
	} {
		if s, err := parse(good(tt.env), io.Discard); err != nil || s.listen != tt.want {
			t.Errorf("%s: %q, %v, want %q", name, s.listen, err, tt.want)
		}
	}
}

func TestFactorsAndTokensByDefault(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		env map[string]string
		mfa *auth.MFAConfig
	}{
		"nothing":           {nil, nil},
		"an issuer alone":   {map[string]string{"AUTH_MFA_TOTP_ISSUER": "Example"}, nil},
		"without an issuer": {map[string]string{"AUTH_MFA_ENABLED": "true"}, &auth.MFAConfig{Issuer: "auth"}},
	} {
		s, err := parse(good(tt.env), io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.mfa, s.auth.MFA); diff != "" || s.auth.PAT == nil {
			t.Errorf("%s: tokens %v; second factors (-want +got):\n%s", name, s.auth.PAT, diff)
		}
	}
}

func TestTheClientsOriginMayCall(t *testing.T) {
	t.Parallel()
	for client, want := range map[string][]string{
		"https://App.Example.com:443/a/b": {"https://app.example.com"},
		"http://localhost:3000":           {"http://localhost:3000"},
		"myapp://home":                    nil,
	} {
		s, err := parse(good(map[string]string{"AUTH_CLIENT_URL": client}), io.Discard)
		if diff := cmp.Diff(want, s.http.AllowedOrigins); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", client, err, diff)
		}
	}
}

func TestWhatHasNoEffectIsSaid(t *testing.T) {
	t.Parallel()
	const inMemory, inPostgres = "AUTH_STORE is memory", "postgres://u:canary@h/db"
	for name, tt := range map[string]struct {
		env  map[string]string
		want []string
	}{
		"nothing else":                      {nil, []string{inMemory}},
		"a capability that is not yet":      {map[string]string{"HASURA_GRAPHQL_GRAPHQL_URL": "canary"}, []string{inMemory, "HASURA_GRAPHQL_GRAPHQL_URL is not supported yet"}},
		"captchas":                          {map[string]string{"AUTH_TURNSTILE_SECRET": "canary", "AUTH_CAPTCHA_MESSAGES": "true"}, []string{inMemory}},
		"the same, switched off":            {map[string]string{"AUTH_PROVIDER_GITHUB_ENABLED": "false", "AUTH_RATE_LIMIT_ENABLE": "false"}, []string{inMemory}},
		"second factors":                    {map[string]string{"AUTH_MFA_ENABLED": "true", "AUTH_MFA_TOTP_ISSUER": "Example"}, []string{inMemory}},
		"second factors, switched off":      {map[string]string{"AUTH_MFA_ENABLED": "false", "AUTH_MFA_TOTP_ISSUER": "Example"}, []string{inMemory}},
		"a second factor for a step-up":     {map[string]string{"AUTH_MFA_ENABLED": "true", "AUTH_REQUIRE_ELEVATED_CLAIM": "required"}, []string{inMemory}},
		"passkeys and step-up":              {map[string]string{"AUTH_WEBAUTHN_ENABLED": "true", "AUTH_REQUIRE_ELEVATED_CLAIM": "required"}, []string{inMemory}},
		"a step-up that nobody can do":      {map[string]string{"AUTH_REQUIRE_ELEVATED_CLAIM": "required"}, []string{inMemory, "AUTH_REQUIRE_ELEVATED_CLAIM demands step-ups, and nobody can step up"}},
		"neither passkeys nor step-up":      {map[string]string{"AUTH_WEBAUTHN_ENABLED": "false", "AUTH_REQUIRE_ELEVATED_CLAIM": "disabled"}, []string{inMemory}},
		"a name with a mistake":             {map[string]string{"AUTH_DISABLE_SIGNUPS": "true"}, []string{inMemory, "AUTH_DISABLE_SIGNUPS is no variable of this program"}},
		"a variable with a missing letter":  {map[string]string{"AUTH_WEBAUTHN_RP_ORIGIN": "https://a.example.com"}, []string{inMemory, "AUTH_WEBAUTHN_RP_ORIGIN is no variable of this program"}},
		"a route that will not come":        {map[string]string{"AUTH_ENABLE_CHANGE_ENV": "true"}, []string{inMemory, "AUTH_ENABLE_CHANGE_ENV has no effect: this program has no route"}}, // LG-14
		"a server URL without the prefix":   {map[string]string{"AUTH_SERVER_URL": "https://auth.example.com"}, []string{inMemory, "AUTH_SERVER_URL does not end with AUTH_API_PREFIX"}},
		"a Redis":                           {map[string]string{"AUTH_RATE_LIMIT_REDIS_URL": "rediss://u:canary@h", "AUTH_RATE_LIMIT_REDIS_PREFIX": "a", "AUTH_RATE_LIMIT_REDIS_OUTAGE": "refuse"}, []string{inMemory}},
		"no Redis":                          {map[string]string{"AUTH_RATE_LIMIT_REDIS_PREFIX": "a", "AUTH_RATE_LIMIT_REDIS_OUTAGE": "refuse"}, []string{inMemory, "AUTH_RATE_LIMIT_REDIS_PREFIX has no effect: AUTH_RATE_LIMIT_REDIS_URL is not set", "AUTH_RATE_LIMIT_REDIS_OUTAGE has no effect"}},
		"a memcached":                       {map[string]string{"AUTH_RATE_LIMIT_MEMCACHE_SERVER": "canary:11211", "AUTH_RATE_LIMIT_MEMCACHE_PREFIX": "canary"}, []string{inMemory, "AUTH_RATE_LIMIT_MEMCACHE_SERVER has no effect: memcached", "AUTH_RATE_LIMIT_MEMCACHE_PREFIX has no effect"}},
		"no store":                          {map[string]string{"AUTH_STORE": ""}, []string{"AUTH_STORE is not set: users are kept in the file auth.db"}},
		"a file":                            {map[string]string{"AUTH_STORE": "sqlite:canary.db"}, nil},
		"a database":                        {map[string]string{"AUTH_STORE": inPostgres, "POSTGRES_MIGRATIONS_CONNECTION": inPostgres, "AUTH_STORE_SCHEMA": "users"}, nil},
		"a database of the documented kind": {map[string]string{"AUTH_STORE": "", "POSTGRES_CONNECTION": inPostgres}, nil},
		"three stores":                      {map[string]string{"AUTH_STORE": inPostgres, "POSTGRES_CONNECTION": inPostgres, "HASURA_GRAPHQL_DATABASE_URL": inPostgres}, []string{"POSTGRES_CONNECTION has no effect: AUTH_STORE is set", "HASURA_GRAPHQL_DATABASE_URL has no effect: AUTH_STORE is set"}},
		"two stores of the documented kind": {map[string]string{"AUTH_STORE": "", "POSTGRES_CONNECTION": inPostgres, "HASURA_GRAPHQL_DATABASE_URL": inPostgres}, []string{"HASURA_GRAPHQL_DATABASE_URL has no effect: POSTGRES_CONNECTION is set"}},
		"an owner and no database":          {map[string]string{"AUTH_STORE": "sqlite:auth.db", "POSTGRES_MIGRATIONS_CONNECTION": inPostgres}, []string{"POSTGRES_MIGRATIONS_CONNECTION has no effect: users are not kept in PostgreSQL"}},
		"an owner and no migrations":        {map[string]string{"AUTH_STORE": inPostgres, "POSTGRES_MIGRATIONS_CONNECTION": inPostgres, "AUTH_STORE_MIGRATE": "false"}, []string{"POSTGRES_MIGRATIONS_CONNECTION has no effect: AUTH_STORE_MIGRATE is false"}},
		"a schema and no database":          {map[string]string{"AUTH_STORE_SCHEMA": "users"}, []string{inMemory, "AUTH_STORE_SCHEMA has no effect: users are not kept in PostgreSQL"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := parse(good(tt.env), io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			want := append([]string{"AUTH_MAIL_LOG is on"}, tt.want...)
			if len(s.warnings) != len(want) {
				t.Fatalf("warnings = %q, want %q", s.warnings, want)
			}
			for _, w := range s.warnings {
				if !slices.ContainsFunc(want, func(begins string) bool { return strings.HasPrefix(w, begins) }) || strings.Contains(w, "canary") {
					t.Errorf("warning %q, want one of %q", w, want)
				}
			}
		})
	}
}

func TestSettingsDoNotShowSecrets(t *testing.T) { // LG-10
	t.Parallel()
	s, err := parse(good(map[string]string{
		"AUTH_PREVIOUS_SECRETS":     strings.Repeat(testSecret, 2),
		"HASURA_GRAPHQL_JWT_SECRET": `{"type":"HS256","key":"` + testSecret + `"}`,
		"AUTH_RATE_LIMIT_REDIS_URL": "redis://user:canary@redis:6379/0",
	}), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(verb, s); strings.Contains(text, "canary") {
			t.Errorf("%s shows a secret: %s", verb, text)
		}
	}
}

func TestKeysRotateIfToldTo(t *testing.T) {
	t.Parallel()
	for days, want := range map[string]*auth.RotationConfig{"": nil, "0": nil, "7": {Every: 7 * 24 * time.Hour}} {
		s, err := parse(good(map[string]string{"AUTH_KEY_ROTATION_DAYS": days}), io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, s.auth.AccessTokens.Rotate); diff != "" {
			t.Errorf("%q: %s", days, diff)
		}
	}
}

// The table in the README and the program know the same variables.
func TestTheReadmeListsEveryVariable(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := make(map[string]bool)
	for _, m := range regexp.MustCompile("(?m)^\\| `([A-Z_]+(?:<X>_[A-Z_]+)?)`").FindAllStringSubmatch(string(readme), -1) {
		listed[m[1]] = true
	}
	e := newEnvironment(good(nil))
	if _, err := read(e, io.Discard); err != nil {
		t.Fatal(err)
	}
	// <X> stands for a provider, which the text before the table names.
	provider := regexp.MustCompile(`^AUTH_PROVIDER_(WINDOWS_LIVE|[A-Z]+)_`)
	found := make(map[string]bool)
	for name := range e.asked {
		if m := provider.FindStringSubmatch(name); m != nil && !listed[name] {
			if !strings.Contains(string(readme), "`"+m[1]+"`") {
				t.Errorf("README.md does not name the provider %s", m[1])
			}
			name = strings.Replace(name, m[1], "<X>", 1)
		}
		if !listed[name] {
			t.Errorf("README.md does not list %s", name)
		}
		found[name] = true
	}
	// Some names with <X> stand in the table one by one.
	for _, v := range variables {
		if !listed[v.name] {
			t.Errorf("README.md does not list %s, which the table of fields has", v.name)
		}
		found[v.name] = found[v.name] || listed[v.name] && strings.Contains(v.name, "<X>")
	}
	for name := range found {
		if !slices.ContainsFunc(variables, func(v struct{ name, sets string }) bool { return v.name == name }) {
			t.Errorf("the table of fields does not have %s", name)
		}
	}
	maps.DeleteFunc(listed, func(name string, _ bool) bool { return found[name] })
	for name := range listed {
		t.Errorf("README.md lists %s, which the program does not read", name)
	}
}

// FuzzParse reads any environment: what is wrong with it is said by the name of a variable, once for all, and never with a
// secret in it; what is right makes settings that hold.
func FuzzParse(f *testing.F) {
	for _, line := range []string{
		"AUTH_PORT=70000", "AUTH_LISTEN=:http", "AUTH_ACCESS_CONTROL_ALLOWED_REDIRECT_URLS=https://*.example.com, x", "AUTH_JWT_CUSTOM_CLAIMS={\"a\":\"b[\"}", "AUTH_API_PREFIX=/v1/../x",
		"AUTH_ACCESS_TOKEN_EXPIRES_IN=-1", "AUTH_DISABLE_SIGNUP=maybe", "AUTH_PREVIOUS_SECRETS=,", "AUTH_STORE=sqlite:", "AUTH_TRUSTED_PROXIES=10.0.0.0/33", "AUTH_WEBHOOKS=[{}]",
		"HASURA_GRAPHQL_JWT_SECRET={\"type\":\"HS256\",\"key\":\"" + testSecret + "\"}", "AUTH_SMTP_HOST=mail.example.com", "AUTH_WEBAUTHN_RP_ORIGINS=https://a,b", "AUTH_LOCALE_DEFAULT=xx", "=", "AUTH_SECRET",
		"AUTH_PROVIDER_GITHUB_ENABLED=true", "AUTH_CLIENT_URL=javascript:alert(1)", "AUTH_SERVER_URL=https://auth.example.com/v1?x", "AUTH_RATE_LIMIT_ENABLE=1", "AUTH_EMAIL_TEMPLATES_PATH=/nonexistent",
	} {
		f.Add(line, "")
		f.Add(line, "AUTH_CONCEAL_ERRORS=true")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, line := range []string{a, b} {
			name, value, _ := strings.Cut(line, "=")
			if strings.Contains(name, "PATH") && value != "/nonexistent" || strings.Contains(value, "canary-") && !strings.Contains(name, "SECRET") {
				return // it would read files, or a name would be what is looked for
			}
		}
		s, err := parse(append(good(nil), a, b), io.Discard)
		if err == nil {
			if again, err := parse(append(good(nil), a, b), io.Discard); err != nil || again.listen != s.listen || again.prefix != s.prefix || len(again.warnings) != len(s.warnings) {
				t.Fatalf("%q, %q: another time %v", a, b, err)
			}
			if !pathPrefix.MatchString(s.prefix) || s.auth.ServerURL == "" || s.auth.ClientURL == "" || len(s.auth.Secret) < 32 {
				t.Fatalf("%q, %q: %q", a, b, s.prefix)
			}
			return
		}
		var wrong mistakes
		if !errors.As(err, &wrong) || len(wrong) == 0 {
			t.Fatalf("%q, %q: %v", a, b, err)
		}
		for _, m := range wrong {
			if m.name == "" || m.reason == "" || strings.Contains(m.reason, testSecret) {
				t.Fatalf("%q, %q: %q", a, b, m)
			}
		}
	})
}
