package main

import (
	"encoding/base64"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth"
)

func TestTheWebhookOfTheEnvironment(t *testing.T) {
	t.Parallel()
	key := "whsec_" + base64.StdEncoding.EncodeToString([]byte("canary-0123456789-0123456789"))
	other := "whsec_" + base64.StdEncoding.EncodeToString([]byte("canary-9876543210-9876543210"))
	for name, tt := range map[string]struct {
		env   map[string]string
		want  []auth.WebhookConfig
		wrong string
	}{
		"none": {env: map[string]string{}},
		"one": {
			env: map[string]string{"AUTH_WEBHOOK_URL": "https://hooks.test/x", "AUTH_WEBHOOK_SECRETS": key + ", " + other, "AUTH_WEBHOOK_EVENTS": "signed-in,signed-out"},
			want: []auth.WebhookConfig{{
				Name: "default", URL: "https://hooks.test/x", Secrets: []auth.Secret{auth.Secret(key), auth.Secret(other)},
				Events: []auth.EventType{auth.EventSignedIn, auth.EventSignedOut},
			}},
		},
		"in clear":          {env: map[string]string{"AUTH_WEBHOOK_URL": "http://hooks.test/canary", "AUTH_WEBHOOK_SECRETS": key}, wrong: "AUTH_WEBHOOK_URL: "},
		"without a secret":  {env: map[string]string{"AUTH_WEBHOOK_URL": "https://hooks.test/"}, wrong: "AUTH_WEBHOOK_SECRETS: "},
		"a secret of none":  {env: map[string]string{"AUTH_WEBHOOK_SECRETS": key}, wrong: "AUTH_WEBHOOK_URL: "},
		"a secret like all": {env: map[string]string{"AUTH_WEBHOOK_URL": "https://hooks.test/", "AUTH_WEBHOOK_SECRETS": "canary"}, wrong: "AUTH_WEBHOOK_SECRETS: "},
		"an unknown event":  {env: map[string]string{"AUTH_WEBHOOK_URL": "https://hooks.test/", "AUTH_WEBHOOK_SECRETS": key, "AUTH_WEBHOOK_EVENTS": "x"}, wrong: "AUTH_WEBHOOK_EVENTS: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := parse(good(tt.env), io.Discard)
			if tt.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wrong) || strings.Contains(err.Error(), "canary") {
					t.Errorf("%v", err)
				}
				return
			}
			if diff := cmp.Diff(tt.want, s.auth.Webhooks); diff != "" || err != nil {
				t.Error(diff, err)
			}
		})
	}
}
