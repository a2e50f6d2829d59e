package browser_test

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"github.com/ostiary/auth"
)

const (
	passkeySignIn = `#passkey [value="signin"]`
	passkeySignUp = `#passkey [value="signup"]`
	passkeyTold   = `#passkey .message`

	keyRow  = `[data-section="keys"] .list > li`
	keyTold = `[data-section="keys"] > .message`
	addKey  = `#add-key button`

	erase     = `[data-do="erase"]`
	eraseTold = `#note .message`

	userID = `[data-section="user"] .facts code`

	// What the page says when a browser, or the server, does without a passkey.
	nothingDone = "Nothing was done"
	notAccepted = "The server did not accept this passkey."
)

// signUpWithPasskey signs up with the authenticator.
func (a *authenticator) signUpWithPasskey() {
	a.Helper()
	a.waitFor(signedOut)
	a.fill("#passkey-email", email)
	a.touch(func() {
		a.press(passkeySignUp)
		a.confirm()
	})
}

// add adds a passkey to the account, which then has n.
func (a *authenticator) add(nickname string, n int) {
	a.Helper()
	a.fill(`#add-key input`, nickname)
	a.touch(func() {
		a.press(addKey)
		a.waitForText("#notice", "The passkey has been added.")
	})
	a.waitForKeys(n)
}

func (p *tab) waitForKeys(n int) {
	p.Helper()
	p.waitUntil(fmt.Sprintf("%d passkeys are listed", n), fmt.Sprintf(`document.querySelectorAll('%s').length === %d`, keyRow, n))
}

// signOut signs out, and waits until the browser suggests passkeys, where it can: it then asks nobody who comes later.
func (p *tab) signOut() {
	p.Helper()
	p.press(`[data-do="signout"]`)
	p.waitFor(signedOut)
	if get(p, "ask for suggestions", chromedp.Evaluate[bool](`globalThis.PublicKeyCredential?.isConditionalMediationAvailable?.() ?? false`,
		chromedp.EvalAwaitPromise)) {
		p.waitUntil("passkeys are suggested", `(() => {
			const log = [...document.querySelectorAll('.log > li')].map((e) => [...e.children].slice(0, 2).map((c) => c.textContent).join(' '));
			return log.indexOf('POST /v1/signin/webauthn') >= 0 && log.indexOf('POST /v1/signin/webauthn') < log.indexOf('POST /v1/signout');
		})()`)
	}
}

// claim returns a claim of the access token as the page shows it, and the empty string if there is none.
func (p *tab) claim(name string) string {
	p.Helper()
	return get(p, "read the claim "+name, chromedp.Evaluate[string](fmt.Sprintf(`[...document.querySelectorAll('.claims > div')]
		.find((e) => e.querySelector('dt').textContent === %q)?.querySelector('.value').textContent ?? ''`, name)))
}

// asked returns how often the page has sent a request, among the last twenty.
func (p *tab) asked(request string) int {
	p.Helper()
	return get(p, "read the log", chromedp.Evaluate[int](fmt.Sprintf(
		`[...document.querySelectorAll('.log > li')].filter((e) => [...e.children].slice(0, 2).map((c) => c.textContent).join(' ') === %q).length`, request)))
}

func TestAPasskeySignsUpAndIn(t *testing.T) {
	everywhere(t, func(p *tab, _ string) {
		a := p.plugIn(device)
		a.signUpWithPasskey()
		p.waitForText("#whoami", "Signed in as "+email)
		p.waitForKeys(1)
		p.see("signed up with a passkey")
		user := p.text(userID)
		made := a.credential()
		if handle := hex.EncodeToString(made.UserHandle); made.RpID != "localhost" || !made.IsResidentCredential || made.UserName != email ||
			handle != strings.ReplaceAll(user, "-", "") {
			p.Errorf("the passkey is for %s, of %s, with the handle %s, and resident: %v", made.RpID, made.UserName, handle, made.IsResidentCredential)
		}

		// The browser suggests passkeys all the while, and must be ready to do something else.
		p.signOut()
		a.touch(func() {
			p.press(passkeySignIn)
			p.waitFor(signedIn)
		})
		if got := p.text(userID); got != user {
			p.Errorf("the user is %s, and was %s at sign-up", got, user)
		}
		if got, want := p.claim("amr"), `["pop","user","mfa"]`; got != want {
			p.Errorf("amr is %s, want %s", got, want)
		}
		if got := p.claim("x-hasura-auth-elevated"); got != "" {
			p.Errorf("the session has stepped up, for %s, after a sign-in", got) // EL-08
		}
	})
}

// No list of suggestions can be shown without a screen. A virtual authenticator whose user is there stands for the person
// who picks one from it.
func TestAPasskeySignsInFromTheSuggestions(t *testing.T) {
	everywhere(t, func(p *tab, _ string) {
		a := p.plugIn(device)
		a.signUpWithPasskey()
		user := p.text(userID)
		p.signOut()
		if got, want := get(p, "find the fields", chromedp.Evaluate[string](
			`[...document.querySelectorAll('input[autocomplete$=" webauthn"]')].map((e) => e.id).join()`)), "signin-email,passkey-email"; got != want {
			p.Errorf("passkeys are suggested in %s, want %s", got, want)
		}
		a.attend(true)
		p.do("reload", chromedp.Reload())
		p.waitFor(signedIn)
		if got := p.text(userID); got != user {
			p.Errorf("the user is %s, and was %s at sign-up", got, user)
		}
	})
}

func TestPasskeysAreSuggestedForAsLongAsThePageIsOpen(t *testing.T) {
	_, url := service(t, func(c *auth.Config) { c.WebAuthn.Timeout, c.Tickets.WebAuthn = 2*time.Second, time.Minute })
	p := open(t, viewports[0], url)
	a := p.plugIn(device)
	a.signUpWithPasskey()
	p.signOut()
	p.waitUntil("they are suggested three times", `[...document.querySelectorAll('.log > li')]
		.filter((e) => e.textContent.startsWith('POST/v1/signin/webauthn200')).length >= 3`)
	a.attend(true)
	p.waitFor(signedIn)
}

func TestWhatWaitsForTheUserEndsForTheNext(t *testing.T) {
	browser(t)
	p := open(t, viewports[0], quickstart(t))
	a := p.plugIn(device)
	p.waitFor(signedOut)
	p.press(passkeySignIn) // nobody is there
	p.waitUntil("the browser asks for a passkey", `document.querySelector('`+passkeySignIn+`').disabled`)
	if got, want := get(p, "suggest passkeys", chromedp.Evaluate[string](`import('/webauthn.js')
		.then(({ use }) => use('signin/webauthn', { background: true })).then(() => 'used', (error) => error.name)`,
		chromedp.EvalAwaitPromise)), "AbortError"; got != want {
		p.Errorf("suggestions while the user is being asked end with %s, want %s", got, want)
	}
	if got := p.text(passkeyTold); got != "" {
		p.Errorf("suggestions ended what the user was being asked: %s", got)
	}
	p.fill("#passkey-email", email)
	a.touch(func() {
		p.press(passkeySignUp)
		p.waitForText("#notice", "Nearly done")
	})
	p.waitForText(passkeyTold, "Something else was begun in the meantime.")
	if got := p.asked("POST /v1/signin/webauthn/verify"); got != 0 {
		p.Errorf("the first ceremony was sent on")
	}
}

func TestPasskeysAreAddedNamedAndRemoved(t *testing.T) {
	everywhere(t, func(p *tab, _ string) {
		own := p.plugIn(device)
		own.signUpWithPasskey()
		p.waitForKeys(1)
		p.press(keyRow + ` [aria-label^="Rename"]`)
		p.fill(keyRow+` input`, "The laptop")
		p.see("renaming")
		p.press(keyRow + ` .primary`)
		p.waitForText(keyRow+` .list-title`, "The laptop")

		// Whoever has one passkey confirms with it that another may come.
		other := p.plugIn(securityKey)
		p.waitForKeys(1)
		p.expectRefusal(http.StatusForbidden)
		own.touch(func() {
			p.press(erase)
			p.waitForText("#notice", "The note has been erased.")
		})
		p.expectRefusal()
		other.add("Blue key", 2)
		p.waitForText(keyRow+`:nth-child(2) .list-title`, "Blue key")
		p.waitForText(keyRow+`:nth-child(2) .hint`, "Security key · Added just now · not used yet")
		if made := other.credential(); !made.IsResidentCredential || made.UserName != email {
			p.Errorf("the second passkey is of %s and resident: %v", made.UserName, made.IsResidentCredential)
		}
		p.see("two passkeys")

		// One device has one passkey of an account.
		p.fill(`#add-key input`, "The laptop again")
		own.touch(func() {
			p.press(addKey)
			p.waitForText(keyTold, "This device or key has a passkey for this account already.")
		})
		if n := len(own.credentials()); n != 1 {
			p.Errorf("the device has %d passkeys", n)
		}

		// The step-up has ended with the token. It is the other passkey that confirms the removal of the first.
		p.press(`[data-do="refresh"]`)
		p.waitForText("#notice", "new access token")
		p.expectRefusal(http.StatusForbidden)
		own.attend(false)
		other.attend(true)
		own.forgets(own.credential().CredentialID, keyRow+` [aria-label="Remove The laptop"]`)
		p.waitForKeys(1)
		p.waitForText(keyRow, "Blue key")
		if n := len(other.credentials()); n != 1 {
			p.Errorf("the key has %d passkeys after the removal of another one", n)
		}

		other.attend(false)

		p.signOut()
		other.touch(func() {
			p.press(passkeySignIn)
			p.waitFor(signedIn)
		})
	})
}

// WA-34
func TestTheOnlyWayInIsNotRemoved(t *testing.T) {
	_, url := service(t, func(*auth.Config) {}) // which knows no address to which a letter could go
	p := open(t, viewports[0], url)
	a := p.plugIn(device)
	a.signUpWithPasskey()
	p.waitForKeys(1)
	p.expectRefusal(http.StatusForbidden, http.StatusBadRequest)
	a.touch(func() {
		p.press(keyRow + ` .danger`)
		p.waitForText(keyTold, "this is the only way to sign in that is left")
	})
	p.see("the last passkey")
	p.waitForKeys(1)
}

func TestWhatIsProtectedWaitsForAStepUp(t *testing.T) {
	everywhere(t, func(p *tab, _ string) {
		a := p.plugIn(device)
		a.signUpWithPasskey()
		session, address := p.text(sessionID), p.text(userID)
		p.fill("#note-text", "The key is under the mat.")
		p.press("#note .primary")
		p.waitForText("#notice", "The note has been saved.")

		// Nobody is there to confirm. What is refreshed meanwhile does not end the wait.
		p.expectRefusal(http.StatusForbidden)
		p.press(erase)
		p.waitForText("#notice", "Please confirm with your passkey")
		p.press(`[data-do="refresh"]`)
		p.waitForText("#notice", "new access token")
		p.waitUntil("the page goes on", `import('/session.js').then(({ authorized }) => authorized('GET', 'user')).then(() => true)`)
		if waits := get(p, "look at the button", chromedp.Evaluate[bool](`document.querySelector('`+erase+`').disabled`)); !waits {
			p.Errorf("a refresh has ended what waits for the user: %s", p.text(eraseTold))
		}
		p.do("reload", chromedp.Reload())
		p.waitFor(signedIn)

		// Somebody is, and is not the user.
		a.touch(func() {
			command(p, webauthn.SetUserVerified, webauthn.SetUserVerifiedParams{AuthenticatorID: a.id, IsUserVerified: false})
			p.press(erase)
			p.waitForText(eraseTold, nothingDone)
			command(p, webauthn.SetUserVerified, webauthn.SetUserVerifiedParams{AuthenticatorID: a.id, IsUserVerified: true})
		})
		p.see("not confirmed")
		p.do("reload", chromedp.Reload())
		p.waitUntil("the note is still there", `document.querySelector('#note-text').value === 'The key is under the mat.'`)

		a.touch(func() {
			p.press(erase)
			p.waitForText("#notice", "The note has been erased.")
		})
		p.waitUntil("the note is gone", `document.querySelector('#note-text').value === ''`)
		if got := p.claim("x-hasura-auth-elevated"); got != address {
			p.Errorf("the session has stepped up for %q, want %s", got, address)
		}
		if got := p.text(sessionID); got != session {
			p.Errorf("the session is %s after the step-up, and was %s", got, session) // EL-16
		}
		p.waitUntil("there is one session", `document.querySelectorAll('`+sessionRow+`').length === 1`)

		// It holds for a while, and no longer than its token. EL-04
		p.expectRefusal()
		p.press(erase)
		p.waitForText("#notice", "The note has been erased.")
		p.press(`[data-do="refresh"]`)
		p.waitForText("#notice", "new access token")
		if got := p.claim("x-hasura-auth-elevated"); got != "" {
			p.Errorf("the session has stepped up, for %s, after a refresh", got)
		}
	})
}

func TestWithoutAPasskeyNobodyStepsUp(t *testing.T) {
	browser(t)
	p := open(t, viewports[0], quickstart(t))
	p.signUp()
	p.expectRefusal(http.StatusForbidden, http.StatusBadRequest)
	p.press(erase)
	p.waitForText(eraseTold, "you have none yet")
}

// Keys that keep nothing and know nobody: the server has to say which of them would do, and they are no step-up.
func TestATouchOnlyKeySignsInWithTheAddress(t *testing.T) {
	browser(t)
	for name, kind := range map[string]webauthn.VirtualAuthenticatorOptions{"U2F": u2f, "CTAP2 without passkeys": touchOnly} {
		t.Run(name, func(t *testing.T) {
			p := open(t, viewports[0], quickstart(t))
			p.signUp()
			user := p.text(userID)
			a := p.plugIn(kind)
			a.add("Old key", 1) // the first one needs no step-up
			if a.credential().IsResidentCredential {
				p.Errorf("the key keeps a passkey")
			}
			p.signOut()
			a.touch(func() {
				p.press(passkeySignIn)
				p.waitForText(passkeyTold, nothingDone)
				p.fill("#passkey-email", email)
				p.press(passkeySignIn)
				p.waitFor(signedIn)
			})
			if got := p.text(userID); got != user {
				p.Errorf("the user is %s, and was %s at sign-up", got, user)
			}
			if got, want := p.claim("amr"), `["pop","user"]`; got != want {
				p.Errorf("amr is %s, want %s", got, want)
			}
			p.waitForText(keyRow, "Old key")
			p.waitForText(keyRow, "used just now")
			// A touch does not tell who touches: there is nothing to step up with.
			p.expectRefusal(http.StatusForbidden, http.StatusBadRequest)
			p.press(erase)
			p.waitForText(eraseTold, "add one first")
		})
	}
}

var yes = true

// WA-09, EL-12: who only touches a passkey is signed in, and does not step up unless the service says that it will do.
func TestWithoutVerificationOfTheUser(t *testing.T) {
	for _, c := range []struct {
		name      string
		elevation auth.UserVerification
		told      string // what the page says to the attempt to erase the note
	}{
		{"there is no step-up", "", notAccepted},
		{"there is one if a touch will do", auth.UserVerificationPreferred, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, url := service(t, func(config *auth.Config) { config.Elevation.UserVerification = c.elevation })
			p := open(t, viewports[0], url)
			a := p.plugIn(device)
			a.signUpWithPasskey()
			p.signOut()
			// A browser does not let a page have less than it requires; what is sent then is for the server to refuse.
			a.lie(webauthn.SetResponseOverrideBitsParams{IsBadUV: &yes})
			a.attend(true)
			p.press(passkeySignIn)
			p.waitFor(signedIn)
			if got, want := p.claim("amr"), `["pop","user"]`; got != want {
				p.Errorf("amr is %s, want %s", got, want)
			}
			p.expectRefusal(http.StatusForbidden, http.StatusBadRequest)
			p.press(erase)
			if c.told == "" {
				p.waitForText("#notice", "The note has been erased.")
				return
			}
			p.waitForText(eraseTold, c.told)
			if got := p.claim("x-hasura-auth-elevated"); got != "" {
				p.Errorf("the session has stepped up for %s", got)
			}
		})
	}
}

func TestAPasskeyThatSignsWronglyIsRefused(t *testing.T) {
	for name, lie := range map[string]webauthn.SetResponseOverrideBitsParams{
		"the signature":    {IsBogusSignature: &yes},
		"nobody was there": {IsBadUP: &yes}, // WA-08
	} {
		t.Run(name, func(t *testing.T) {
			_, url := service(t, func(*auth.Config) {})
			p := open(t, viewports[0], url)
			a := p.plugIn(device)
			a.signUpWithPasskey()
			p.signOut()
			a.lie(lie)
			p.expectRefusal(http.StatusBadRequest)
			a.attend(true)
			p.press(passkeySignIn)
			p.waitForText(passkeyTold, notAccepted)
			// After that, passkeys are suggested again.
			a.lie(webauthn.SetResponseOverrideBitsParams{})
			p.waitFor(signedIn)
		})
	}
}

// WA-17
func TestACounterThatGoesBackIsRefusedUntilItIsAhead(t *testing.T) {
	e, url := service(t, func(*auth.Config) {})
	p := open(t, viewports[0], url)
	a := p.plugIn(device)
	a.signUpWithPasskey()
	p.signOut()
	a.setCounter(100)
	a.touch(func() {
		p.press(passkeySignIn)
		p.waitFor(signedIn)
	})
	p.signOut()
	a.setCounter(10)
	p.expectRefusal(http.StatusBadRequest)
	a.attend(true)
	p.press(passkeySignIn)
	p.waitForText(passkeyTold, notAccepted)
	if len(e.Events.Of(auth.EventSignCountRollback)) == 0 {
		p.Errorf("there is no event of type %s", auth.EventSignCountRollback)
	}
	p.waitFor(signedOut)
	a.setCounter(1000)
	p.waitFor(signedIn) // from the suggestions, which do not end with a failure
}

// WA-24: without what newer browsers can do, and therefore with a passkey that outlives its removal from the account.
func TestABrowserThatDoesNotKnowTheJSONForms(t *testing.T) {
	browser(t)
	p := open(t, viewports[0], quickstart(t))
	command(p, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: `
		for (const name of ['parseCreationOptionsFromJSON', 'parseRequestOptionsFromJSON', 'isConditionalMediationAvailable',
			'signalAllAcceptedCredentials', 'signalUnknownCredential', 'signalCurrentUserDetails']) delete PublicKeyCredential[name];
		delete PublicKeyCredential.prototype.toJSON;`})
	a := p.plugIn(device)
	p.signUp()
	a.add("Laptop", 1)
	p.signOut()
	a.attend(true)
	p.press(passkeySignIn)
	p.waitFor(signedIn)
	p.expectRefusal(http.StatusForbidden)
	p.press(keyRow + ` .danger`)
	p.waitForKeys(0)
	a.credential()
	p.signOut()
	p.expectRefusal(http.StatusBadRequest)
	p.press(passkeySignIn)
	p.waitForText(passkeyTold, notAccepted)
	if n := p.asked("POST /v1/signin/webauthn"); n != 2 {
		p.Errorf("the page has asked for %d challenges where two buttons were pressed", n)
	}
}

// WA-21: what was made for nothing does not stay.
func TestATakenAddressLeavesNoPasskeyBehind(t *testing.T) {
	browser(t)
	url := quickstart(t)
	signUpElsewhere(t, url, email)
	p := open(t, viewports[0], url)
	a := p.plugIn(device)
	p.press(passkeySignUp)
	p.waitForText(passkeyTold, "Which address is the account for?")
	p.fill("#passkey-email", email)
	p.expectRefusal(http.StatusConflict)
	a.attend(true)
	a.forgets(nil, passkeySignUp)
	p.waitForText(passkeyTold, "There is an account with this address already.")
	if all := a.credentials(); len(all) != 0 {
		p.Errorf("the device keeps %d passkeys", len(all))
	}
}

// Another port is another origin, and the same relying party: what one server made is unknown to the other, and does not
// open anything there.
func TestAPasskeyOfAnotherServerIsRefused(t *testing.T) {
	browser(t)
	p := open(t, viewports[0], quickstart(t))
	a := p.plugIn(device)
	a.signUpWithPasskey()
	p.do("go to the other server", chromedp.Navigate(quickstart(t)))
	p.waitFor(signedOut)
	p.expectRefusal(http.StatusBadRequest)
	a.attend(true)
	p.press(passkeySignIn)
	p.waitForText(passkeyTold, notAccepted)
	a.credential() // it is of use where it was made
}

func TestPasskeysDoNotWorkAtANumber(t *testing.T) {
	browser(t)
	p := open(t, viewports[0], strings.Replace(quickstart(t), "localhost", "127.0.0.1", 1))
	p.waitFor(signedOut)
	p.press(passkeySignIn)
	p.waitForText(passkeyTold, "Please open the page at the one that the server printed")
}
