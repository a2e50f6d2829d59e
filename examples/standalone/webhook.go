package main

import "github.com/ostiary/auth"

// webhooks reads the one endpoint that this program tells of events.
func webhooks(e *environment) []auth.WebhookConfig {
	c := auth.WebhookConfig{Name: "default", URL: e.text("AUTH_WEBHOOK_URL", "")}
	for _, s := range e.list("AUTH_WEBHOOK_SECRETS") {
		c.Secrets = append(c.Secrets, auth.Secret(s))
	}
	for _, t := range e.list("AUTH_WEBHOOK_EVENTS") {
		c.Events = append(c.Events, auth.EventType(t))
	}
	if c.URL == "" {
		if c.Secrets != nil || c.Events != nil {
			e.wrong("AUTH_WEBHOOK_URL", "is not set, and there are AUTH_WEBHOOK_SECRETS or AUTH_WEBHOOK_EVENTS for it")
		}
		return nil
	}
	return []auth.WebhookConfig{c}
}
