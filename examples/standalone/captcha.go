package main

import (
	"strconv"
	"strings"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/captcha"
)

// captchas is what the environment says of captchas: nil if nobody is asked for one.
func captchas(e *environment) *auth.CaptchaConfig {
	const turnstile, hCaptcha, reCAPTCHA = "AUTH_TURNSTILE_SECRET", "AUTH_HCAPTCHA_SECRET", "AUTH_RECAPTCHA_SECRET"
	const siteKey, minScore = "AUTH_HCAPTCHA_SITE_KEY", "AUTH_RECAPTCHA_MIN_SCORE"
	const hostnames, action, endpoint = "AUTH_CAPTCHA_HOSTNAMES", "AUTH_CAPTCHA_ACTION", "AUTH_CAPTCHA_URL"
	var with string // the variable of the service that is used
	for _, name := range []string{turnstile, hCaptcha, reCAPTCHA} {
		switch set := e.text(name, "") != ""; {
		case set && with != "":
			e.wrong(name, "is set, and so is %s: there can be one captcha", with)
		case set:
			with = name
		}
	}
	for _, only := range []struct{ name, of string }{{siteKey, hCaptcha}, {minScore, reCAPTCHA}} {
		if e.text(only.name, "") != "" && with != only.of {
			e.wrong(only.name, "is set, and %s is not", only.of)
		}
	}
	for _, name := range []string{hostnames, action, endpoint} {
		if e.text(name, "") != "" && with == "" {
			e.wrong(name, "is set, and none of %s, %s and %s is", turnstile, hCaptcha, reCAPTCHA)
		}
	}
	if e.text(action, "") != "" && with == hCaptcha {
		e.wrong(action, "is set, and hCaptcha has no actions")
	}
	c := &auth.CaptchaConfig{SendAddress: e.flag("AUTH_CAPTCHA_SEND_ADDRESS", false)}
	for _, one := range []struct {
		name string
		asks *bool
	}{
		{"AUTH_CAPTCHA_SIGNIN", &c.SignIn}, {"AUTH_CAPTCHA_ANONYMOUS", &c.Anonymous}, {"AUTH_CAPTCHA_MESSAGES", &c.Messages},
	} {
		if *one.asks = e.flag(one.name, false); *one.asks && with == "" {
			e.wrong(one.name, "is true, and none of %s, %s and %s is set", turnstile, hCaptcha, reCAPTCHA)
		}
	}
	if with == "" {
		return nil
	}
	secret, hosts, url := e.text(with, ""), e.list(hostnames), e.text(endpoint, "")
	var service *captcha.Service
	var err error
	switch with {
	case turnstile:
		service, err = captcha.NewTurnstile(captcha.TurnstileConfig{Secret: secret, Hostnames: hosts, Action: e.text(action, ""), Endpoint: url})
	case hCaptcha:
		service, err = captcha.NewHCaptcha(captcha.HCaptchaConfig{Secret: secret, Hostnames: hosts, SiteKey: e.text(siteKey, ""), Endpoint: url})
	case reCAPTCHA:
		service, err = captcha.NewReCAPTCHA(captcha.ReCAPTCHAConfig{
			Secret: secret, Hostnames: hosts, Action: e.text(action, ""), MinScore: score(e, minScore), Endpoint: url,
		})
	}
	if err != nil {
		for _, m := range lines(with, err) {
			e.wrong(m.name, "%s", m.reason)
		}
		return nil
	}
	c.Verifier = service
	return c
}

// score returns a number above 0 and up to 1, and 0 if none is given.
func score(e *environment, name string) float64 {
	text := e.text(name, "")
	if text == "" {
		return 0
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || !(v > 0 && v <= 1) {
		e.wrong(name, "%q is not a number above 0 and up to 1", text)
		return 0
	}
	return v
}
