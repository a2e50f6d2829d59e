package fakecaptcha_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/ostiary/auth/authtest/fakecaptcha"
)

// siteverify sends a body and returns the answer as "true", or as its codes.
func siteverify(t *testing.T, service *fakecaptcha.Service, contentType, body string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, service.URL(), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var verdict struct {
		Success bool     `json:"success"`
		Codes   []string `json:"error-codes"`
	}
	text, err := io.ReadAll(answer.Body)
	if err != nil || json.Unmarshal(text, &verdict) != nil {
		t.Fatalf("%v %s", err, text)
	}
	if verdict.Success {
		return "true"
	}
	return strings.Join(verdict.Codes, ", ")
}

// The service speaks the protocol, and is as lenient as the most lenient that does: a test that nobody slips anything into
// a request would be worth nothing with a strict one.
func TestCaptcha(t *testing.T) {
	t.Parallel()
	const form, jsonType = "application/x-www-form-urlencoded", "application/json"
	service := fakecaptcha.New(t)
	secret := "secret=" + service.Secret()
	solve := func() string { return service.Solve(fakecaptcha.Solution{SiteKey: "site"}) }
	used := solve()
	for _, c := range []struct {
		name, contentType, body, want string
	}{
		{"a form", form, secret + "&response=" + used, "true"},
		{"the same again", form, secret + "&response=" + used, "timeout-or-duplicate"},
		{"a form with its site", form, secret + "&sitekey=site&response=" + solve(), "true"},
		{"a form with another site", form, secret + "&sitekey=other&response=" + solve(), "sitekey-secret-mismatch"},
		{"JSON", jsonType, `{"secret":"` + service.Secret() + `","response":"` + solve() + `"}`, "true"},
		{"an expired one", form, secret + "&response=" + service.Solve(fakecaptcha.Solution{Expired: true}), "timeout-or-duplicate"},
		{"one that nobody has given", form, secret + "&response=x", "invalid-input-response"},
		{"none", form, secret, "missing-input-response"},
		{"no secret", form, "response=" + solve(), "missing-input-secret"},
		{"another secret", form, "secret=x&response=" + solve(), "invalid-input-secret"},
		{"the secret for tests", form, "response=x&secret=" + fakecaptcha.TestSecret, "true"},
		{"the secret for tests as the second one", form, secret + "&response=x&secret=" + fakecaptcha.TestSecret, "true"},
		{"the secret for tests as the second one in JSON", jsonType, `{"secret":"x","response":"x","secret":"` + fakecaptcha.TestSecret + `"}`, "true"},
		{"no form", form, "%zz", "bad-request"},
		{"no JSON", jsonType, "{", "bad-request"},
		{"something else", "text/plain", secret + "&response=" + solve(), "bad-request"},
	} {
		if got := siteverify(t, service, c.contentType, c.body); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	service.Break(fakecaptcha.FaultCodes("internal-error"))
	token := solve()
	if got := siteverify(t, service, form, secret+"&response="+token); got != "internal-error" {
		t.Error(got)
	}
	service.Break()
	if got := siteverify(t, service, form, secret+"&response="+token); got != "true" {
		t.Error(got)
	}
	all := service.Requests()
	if got := all[len(all)-1].Get("response"); got != token {
		t.Errorf("the last request has the answer %s", got)
	}
}
