package browser_test

import (
	"bytes"
	"context"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
)

// authenticator is a virtual one that the browser's page has.
type authenticator struct {
	*tab
	id webauthn.AuthenticatorID
}

// The kinds of authenticators that there are. A browser has one device of its own at most, and any number of keys.
var (
	device = webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Ctap2version: webauthn.Ctap2versionCtap21,
		Transport: webauthn.AuthenticatorTransportInternal, HasResidentKey: true, HasUserVerification: true, IsUserVerified: true,
		DefaultBackupEligibility: true, DefaultBackupState: true,
	}
	securityKey = webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Ctap2version: webauthn.Ctap2versionCtap21,
		Transport: webauthn.AuthenticatorTransportUsb, HasResidentKey: true, HasUserVerification: true, IsUserVerified: true,
	}
	// touchOnly keeps no passkeys and knows nobody.
	touchOnly = webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportUsb,
	}
	u2f = webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolU2f, Transport: webauthn.AuthenticatorTransportUsb,
	}
)

// command sends the browser a command of the DevTools protocol.
func command[P, R any](p *tab, c cdp.Command[P, R], params P) R {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	result, err := chromedp.Call(ctx, c, params)
	if err != nil {
		p.Fatalf("%s: %v", c.Method, err)
	}
	return result
}

// plugIn gives the page an authenticator, whose user is away: whoever asks it waits. Then the page is loaded again, because
// it finds out at its beginning whether there is one.
func (p *tab) plugIn(o webauthn.VirtualAuthenticatorOptions) *authenticator {
	p.Helper()
	command(p, webauthn.Enable, webauthn.EnableParams{})
	o.AutomaticPresenceSimulation = false
	a := &authenticator{p, command(p, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &o}).AuthenticatorID}
	p.do("reload", chromedp.Reload())
	p.waitFor("body[data-state]")
	return a
}

// attend says whether the user is there and touches the authenticator whenever it asks for that. A user who comes does not
// touch it for what has been asked before.
func (a *authenticator) attend(there bool) {
	a.Helper()
	command(a.tab, webauthn.SetAutomaticPresenceSimulation, webauthn.SetAutomaticPresenceSimulationParams{AuthenticatorID: a.id, Enabled: there})
}

// touch has the user there for as long as f runs.
func (a *authenticator) touch(f func()) {
	a.Helper()
	a.attend(true)
	f()
	a.attend(false)
}

func (a *authenticator) credentials() []*webauthn.Credential {
	a.Helper()
	return command(a.tab, webauthn.GetCredentials, webauthn.GetCredentialsParams{AuthenticatorID: a.id}).Credentials
}

// credential is the only one.
func (a *authenticator) credential() *webauthn.Credential {
	a.Helper()
	all := a.credentials()
	if len(all) != 1 {
		a.Fatalf("the authenticator has %d credentials, want 1", len(all))
	}
	return all[0]
}

// setCounter sets the signature counter of the only credential.
func (a *authenticator) setCounter(n float64) {
	a.Helper()
	command(a.tab, webauthn.SetCredentialProperties, webauthn.SetCredentialPropertiesParams{
		AuthenticatorID: a.id, CredentialID: a.credential().CredentialID, SignCount: &n,
	})
}

// lie has the authenticator sign wrongly, or say what no honest one would, until it is told something else.
func (a *authenticator) lie(bits webauthn.SetResponseOverrideBitsParams) {
	a.Helper()
	bits.AuthenticatorID = a.id
	command(a.tab, webauthn.SetResponseOverrideBits, bits)
}

// forgets presses a button and waits until the authenticator has forgotten a credential because the page said so.
func (a *authenticator) forgets(credential []byte, button string) {
	a.Helper()
	a.waitFor(button)
	get(a.tab, "forget a credential", chromedp.WaitEvent(
		webauthn.CredentialDeleted,
		func(e webauthn.EventCredentialDeleted) bool {
			return e.AuthenticatorID == a.id && (credential == nil || bytes.Equal(e.CredentialID, credential))
		},
		chromedp.Click(chromedp.CSS(button)),
	))
}
