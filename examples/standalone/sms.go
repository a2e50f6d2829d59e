package main

import (
	"io"
	"strings"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/sms"
	"github.com/ostiary/auth/sms/modica"
	"github.com/ostiary/auth/sms/phone"
	"github.com/ostiary/auth/sms/twilio"
)

// textMessages is what the environment says of phone numbers: nil if they are off.
func textMessages(e *environment, w io.Writer) *auth.SMSConfig {
	const providerName, service = "AUTH_SMS_PROVIDER", "AUTH_SMS_TWILIO_MESSAGING_SERVICE_ID"
	on := e.flag("AUTH_SMS_PASSWORDLESS_ENABLED", false)
	provider := strings.ToLower(e.text(providerName, "twilio"))
	t := twilio.Config{
		AccountSID: e.text("AUTH_SMS_TWILIO_ACCOUNT_SID", ""), Token: e.text("AUTH_SMS_TWILIO_AUTH_TOKEN", ""), Service: e.text(service, ""),
	}
	m := modica.Config{Username: e.text("AUTH_SMS_MODICA_USERNAME", ""), Password: e.text("AUTH_SMS_MODICA_PASSWORD", "")}
	rules := phone.Rules{Region: strings.ToUpper(e.text("AUTH_SMS_DEFAULT_COUNTRY", ""))}
	for _, country := range e.list("AUTH_SMS_COUNTRIES") {
		rules.Countries = append(rules.Countries, strings.ToUpper(country))
	}
	if !on {
		return nil
	}
	c := &auth.SMSConfig{}
	var err error
	switch {
	case provider == "dev":
		c.Sender = sms.NewLog(w)
	case provider == "modica":
		c.Sender, err = modica.New(m)
	case provider != "twilio":
		e.wrong(providerName, "%q is not one of twilio, modica and dev", provider)
	case strings.HasPrefix(t.Service, "VA"): // a service that makes and checks the codes
		c.Verifier, err = twilio.NewVerifier(t)
	default:
		c.Sender, err = twilio.New(t)
	}
	if err != nil {
		for _, m := range lines(providerName, err) {
			e.wrong(m.name, "%s", m.reason)
		}
	}
	if provider != "dev" || rules.Region != "" || rules.Countries != nil {
		numbers, err := phone.New(rules)
		if err != nil {
			for _, m := range lines("AUTH_SMS_COUNTRIES", err) {
				e.wrong(m.name, "%s", m.reason)
			}
			return nil
		}
		c.ParsePhone = numbers.Parse
	}
	if err != nil || c.Sender == nil && c.Verifier == nil {
		return nil
	}
	return c
}
