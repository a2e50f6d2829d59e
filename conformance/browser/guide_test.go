package browser_test

import (
	_ "embed"
	"testing"

	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"github.com/ostiary/auth"
)

//go:embed passkey.js
var passkeyScript string

// TestThePasskeysOfTheGuide runs the script of docs/clients.md in a page, as its author would in theirs.
func TestThePasskeysOfTheGuide(t *testing.T) {
	browser(t)
	_, url := service(t, func(c *auth.Config) { c.WebAuthn = &auth.WebAuthnConfig{} })
	p := open(t, viewports[0], url+"/style.css") // a document without a script of its own
	command(p, webauthn.Enable, webauthn.EnableParams{})
	present := device
	present.AutomaticPresenceSimulation = true
	command(p, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &present})
	p.expectRefusal(400, 401, 403, 404) // the last is the icon's
	run := func(what, call string) map[string]any {
		t.Helper()
		return get(p, what, chromedp.Evaluate[map[string]any]("(async () => {"+passkeyScript+"\n"+call+"})()", chromedp.EvalAwaitPromise))
	}
	email := func(answer map[string]any) any {
		session, _ := answer["session"].(map[string]any)
		user, _ := session["user"].(map[string]any)
		return user["email"]
	}

	if got := email(run("sign up", `return signUp('ada@example.com')`)); got != "ada@example.com" {
		t.Errorf("signed up as %v", got)
	}
	if got := email(run("sign in", `return signIn()`)); got != "ada@example.com" {
		t.Errorf("signed in as %v", got)
	}
	got := run("erase", `
		const { session } = await signIn();
		const without = await fetch('/note', { method: 'DELETE', headers: { Authorization: 'Bearer ' + session.accessToken } });
		const { status } = await eraseNotes(session.accessToken);
		return { without: without.status, status };`)
	if got["without"] != 403.0 || got["status"] != 200.0 {
		t.Errorf("erasing is answered %v without a step-up, and then %v", got["without"], got["status"])
	}
	got = run("fail", `try { await post('/signin/webauthn/verify', { credential: {} }); return {}; } catch (e) { return { code: e.code, status: e.status }; }`)
	if got["code"] == nil || got["status"] == nil {
		t.Errorf("a failure says %v", got)
	}
}
