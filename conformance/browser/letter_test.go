package browser_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/ostiary/auth"
)

const (
	sendLink = `#letter [value="link"]`
	sendCode = `#letter [value="code"]`
	codeTold = `#code .message`

	newPassword = "walnut-harbour-nine"
	newEmail    = "lovelace@example.com"

	usedUp    = "was used before"
	elsewhere = "This link was asked for in another browser"
)

// askForLink has a link sent that signs in, and returns it.
func (p *tab) askForLink() string {
	p.Helper()
	p.waitFor(signedOut)
	p.fill("#letter-email", email)
	p.press(sendLink)
	p.waitForText("#notice", "A link is on its way to "+email)
	p.waitForText(newestLetter+" .letter-subject", "Your link to sign in")
	return get(p, "read the link", chromedp.Evaluate[string](`document.querySelector('`+newestLetter+` a.button').href`))
}

// nothingStays checks that what a link has brought is not in the address bar, where the user and the history see it.
func (p *tab) nothingStays() {
	p.Helper()
	p.waitUntil("the address is bare", `location.search === ''`)
	if got := get(p, "read the verifiers", chromedp.Evaluate[string](`localStorage.getItem('quickstart.verifiers') ?? '[]'`)); got != "[]" {
		p.Errorf("the browser still keeps %s", got)
	}
}

// withoutCryptography takes from the page what browsers keep for secure contexts.
func (p *tab) withoutCryptography() {
	p.Helper()
	command(p, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: `delete Crypto.prototype.subtle`})
	p.do("reload", chromedp.Reload())
}

func TestALinkInALetterSignsIn(t *testing.T) {
	everywhere(t, func(p *tab, _ string) {
		link := p.askForLink()
		p.waitForText(".letter-count", "1")
		p.waitForText(newestLetter+" summary", "To "+email)
		p.waitForText(newestLetter+" .letter-text", link)
		p.see("a letter")
		p.follow("Your link to sign in")
		p.waitFor(signedIn)
		p.waitForText("#notice", "The link has signed you in.")
		p.nothingStays()
		if got := p.asked("POST /v1/token/exchange"); got != 1 {
			p.Errorf("the page has exchanged %d codes, want 1", got)
		}
		if got, want := p.claim("amr"), `["email"]`; got != want {
			p.Errorf("amr is %s, want %s", got, want)
		}

		// It is good once.
		p.signOut()
		p.follow("Your link to sign in")
		p.waitForText("#notice", usedUp)
		p.waitFor(signedOut)
		p.waitUntil("the address is bare", `location.search === ''`)
		p.see("a link that was used")
	})
}

func TestALinkIsFollowedInAnotherTab(t *testing.T) {
	browser(t)
	p := open(t, viewports[0], quickstart(t))
	other := p.another(p.askForLink())
	other.waitFor(signedIn)
	other.nothingStays()
	p.waitFor(signedIn)
	if got, want := other.text(sessionID), p.text(sessionID); got != want {
		p.Errorf("the sessions of two tabs are %s and %s", got, want)
	}
}

// Whoever sends somebody a link of their own would have them signed in as the sender, and see what they do there.
func TestAStrangersLinkSignsNobodyIn(t *testing.T) {
	browser(t)
	at := quickstart(t)
	stranger := open(t, viewports[0], at)
	link := stranger.askForLink()
	p := open(t, viewports[0], link)
	p.waitForText("#notice", elsewhere)
	p.waitFor(signedOut)
	p.nothingStays()
	p.see("a link of a stranger")

	stranger.follow("Your link to sign in")
	stranger.waitForText("#notice", usedUp)
	if got := stranger.asked("POST /v1/token/exchange"); got != 0 {
		p.Errorf("the link was followed twice")
	}

	// Nor does a refresh token in the address, whatever it claims to have been asked for.
	signUpElsewhere(t, at, "eve@example.com")
	token := signInElsewhere(t, at, "eve@example.com")
	for _, name := range []string{"", "constructor", "__proto__"} {
		p.do("open a link", chromedp.Navigate(at+"/?"+url.Values{"type": {"verifyEmail"}, "refreshToken": {token}, "link": {name}}.Encode()))
		p.waitForText("#notice", elsewhere)
		p.waitFor(signedOut)
		p.nothingStays()
	}
}

// Where the page comes over plain HTTP from another machine, browsers have no SHA-256, and a link brings a refresh token.
func TestALinkSignsInWithoutCryptography(t *testing.T) {
	browser(t)
	at := quickstart(t)
	p := open(t, viewports[0], at)
	p.withoutCryptography()
	p.askForLink()
	p.follow("Your link to sign in")
	p.waitFor(signedIn)
	p.nothingStays()
	if got := p.asked("POST /v1/token/exchange"); got != 0 {
		p.Errorf("the page has exchanged %d codes", got)
	}
}

func TestWhatALinkReportsIsShownAsText(t *testing.T) {
	browser(t)
	at := quickstart(t)
	p := open(t, viewports[0], at+"/?"+url.Values{"error": {"constructor"}, "errorDescription": {"<b id=injected>no</b>"}}.Encode())
	p.waitForText("#notice", "The server says: <b id=injected>no</b>")
	p.waitUntil("the address is bare", `location.search === '' && !document.querySelector('#injected')`)
}

// The frame of a letter runs nothing, and its links lead on as those of a mail program do.
func TestALetterIsSeenAsHTML(t *testing.T) {
	everywhere(t, func(p *tab, _ string) {
		p.askForLink()
		summary := newestLetter + " .letter-html summary"
		p.press(summary)
		p.waitFor(newestLetter + " iframe")
		p.see("a letter as HTML")
		if got, want := get(p, "read the sandbox", chromedp.Evaluate[string](`document.querySelector('iframe').sandbox.value`)),
			"allow-top-navigation-by-user-activation"; got != want {
			p.Errorf("the sandbox of a letter is %q, want %q", got, want)
		}
		// The next thing that the keyboard reaches is the link in the frame.
		p.do("go to the link by the keyboard", chromedp.Focus(chromedp.CSS(summary)), chromedp.KeyEvent(kb.Tab))
		p.waitUntil("the frame has the focus", `document.activeElement.tagName === 'IFRAME'`)
		p.do("follow it", chromedp.KeyEvent(kb.Enter))
		p.waitFor(signedIn)
		p.nothingStays()
	})
}

func TestACodeSignsIn(t *testing.T) {
	everywhere(t, func(p *tab, _ string) {
		p.waitFor(signedOut)
		p.fill("#letter-email", email)
		p.press(sendCode)
		p.waitForText("#code-hint", email)
		p.waitFor(newestLetter + " .letter-code")
		code := p.text(newestLetter + " .letter-code code")
		p.see("a code")
		if len(code) != 6 {
			p.Fatalf("the code is %q, want six digits", code)
		}
		p.expectRefusal(http.StatusUnauthorized)
		p.fill("#code-otp", strings.Map(func(r rune) rune { return '0' + (r-'0'+1)%10 }, code))
		p.press("#code .primary")
		p.waitForText(codeTold, "This link or code is wrong")
		p.waitFor(`#code-otp[aria-invalid="true"]`)
		p.see("a wrong code")
		p.expectRefusal()
		p.fill("#code-otp", code[:3]+" "+code[3:]) // as people read them
		p.press("#code .primary")
		p.waitFor(signedIn)
		p.waitForText("#whoami", email)
	})
}

func TestAnAddressThatIsNotVerifiedGetsItsLetterAgain(t *testing.T) {
	browser(t)
	at := quickstart(t)
	p := open(t, viewports[0], at)
	p.waitFor(signedOut)
	if status, body := call(t, at+"/v1/signup/email-password", map[string]string{"email": email, "password": password}); status != http.StatusOK {
		t.Fatalf("sign up: %d %s", status, body)
	}
	p.expectRefusal(http.StatusUnauthorized)
	p.signIn(password)
	p.waitForText("#signin .message", "Please verify your address first")
	p.press(`#signin [value="again"]`)
	p.waitForText("#notice", "once more")
	p.waitForText(".letter-count", "2")
	p.follow("Verify your e-mail address")
	p.waitFor(signedIn)
	p.nothingStays()
}

func TestAForgottenPasswordIsSetAnew(t *testing.T) {
	everywhere(t, func(p *tab, at string) {
		signUpElsewhere(p.T, at, email)
		p.waitFor(signedOut)
		p.press("#tab-signin")
		p.fill("#signin-email", email)
		p.press(`#signin [value="forgotten"]`)
		p.waitForText("#notice", "If there is an account of "+email)
		p.see("a forgotten password")
		p.follow("Set a new password")
		p.waitFor(signedIn)
		p.nothingStays()
		p.waitForText("#newpassword-title", "Choose a new password")
		p.waitUntil("the new password is asked for", `document.activeElement.id === 'newpassword-password'`)
		p.waitUntil("the old one is not", `document.querySelector('#newpassword-current').offsetParent === null`)
		p.see("a new password")

		p.expectRefusal(http.StatusBadRequest)
		p.fill("#newpassword-password", "password123")
		p.press("#newpassword .primary")
		p.waitForText("#newpassword .message", "Attackers try this password first.")
		p.expectRefusal()
		p.fill("#newpassword-password", newPassword)
		p.press("#newpassword .primary")
		p.waitForText("#notice", "You have a new password.")
		p.waitForText(newestLetter+" .letter-subject", "Your password has been changed")

		p.signOut()
		p.expectRefusal(http.StatusUnauthorized)
		p.signIn(password)
		p.waitForText("#signin .message", "The address or the password is wrong.")
		p.signIn(newPassword)
		p.waitFor(signedIn)
	})
}

func TestAPasswordIsChangedWithTheCurrentOne(t *testing.T) {
	_, at := service(t, func(c *auth.Config) { c.Password.ChangeWithin = time.Second })
	p := open(t, viewports[0], at)
	p.signUp()
	p.waitUntil("the sign-in is a while ago", fmt.Sprintf(`Date.now() / 1000 > %s + 2`, p.claim("auth_time")))

	p.expectRefusal(http.StatusForbidden, http.StatusBadRequest)
	p.fill("#newpassword-password", newPassword)
	p.press("#newpassword .primary")
	p.waitForText("#newpassword .message", "Please give your current password")
	p.expectRefusal(http.StatusUnauthorized)
	p.fill("#newpassword-current", "not the password")
	p.press("#newpassword .primary")
	p.waitForText("#newpassword .message", "The current password is wrong.")
	p.see("a wrong current password")
	p.expectRefusal()
	p.fill("#newpassword-current", password)
	p.press("#newpassword .primary")
	p.waitForText("#notice", "You have a new password.")
	p.signOut()
	p.signIn(newPassword)
	p.waitFor(signedIn)
}

func TestAPasswordIsSetAfterAStepUp(t *testing.T) {
	browser(t)
	p := open(t, viewports[0], quickstart(t))
	a := p.plugIn(device)
	a.signUpWithPasskey()
	p.expectRefusal(http.StatusForbidden)
	p.fill("#newpassword-password", newPassword)
	a.touch(func() {
		p.press("#newpassword .primary")
		p.waitForText("#notice", "You have a new password.")
	})
	if got := p.asked("POST /v1/elevate/webauthn/verify"); got != 1 {
		p.Errorf("the user has stepped up %d times, want once", got)
	}
	p.signOut()
	p.signIn(newPassword)
	p.waitFor(signedIn)
}

func TestAnAddressIsChangedAfterAStepUp(t *testing.T) {
	everywhere(t, func(p *tab, _ string) {
		a := p.plugIn(device)
		a.signUpWithPasskey()
		user := p.text(userID)
		p.expectRefusal(http.StatusForbidden)
		p.fill("#address-email", newEmail)
		a.touch(func() {
			p.press("#address .primary")
			p.waitForText("#notice", "Follow the link in the letter to "+newEmail)
		})
		if got := p.asked("POST /v1/elevate/webauthn/verify"); got != 1 {
			p.Errorf("the user has stepped up %d times, want once", got)
		}
		p.waitForText("#whoami", email)
		p.waitForText(".letters", "Your address is about to change") // to the old address
		p.see("an address to be changed")
		p.open(`.letters > li[data-to="` + newEmail + `"]`)
		p.waitForText("#notice", "Your address is "+newEmail+" now.")
		p.waitForText("#whoami", "Signed in as "+newEmail)
		if got := p.text(userID); got != user {
			p.Errorf("the user is %s, and was %s", got, user)
		}
		p.waitForText(newestLetter+" .letter-subject", "Your address has been changed")
	})
}

func TestAGuestKeepsTheirAccount(t *testing.T) {
	for _, c := range []struct{ name, password, subject string }{
		{"with a password", password, "Verify your e-mail address"},
		{"with a link", "", "Your link to sign in"},
	} {
		t.Run(c.name, func(t *testing.T) {
			everywhere(t, func(p *tab, _ string) {
				p.waitFor(signedOut)
				p.press(`[data-section="guest"] button`)
				p.waitFor(signedIn)
				user := p.text(userID)
				p.fill("#note-text", "The key is under the mat.")
				p.press("#note .primary")
				p.waitForText("#notice", "The note has been saved.")
				p.fill("#keep-email", email)
				if c.password != "" {
					p.fill("#keep-password", c.password)
				}
				p.see("a guest who stays")
				p.press("#keep .primary")
				p.waitForText("#notice", "Nearly done")
				p.waitFor(signedOut)
				p.follow(c.subject)
				p.waitFor(signedIn)
				p.nothingStays()
				if got := p.text(userID); got != user {
					p.Errorf("the user is %s, and was %s as a guest", got, user)
				}
				p.waitForText("#whoami", email)
				p.waitUntil("the note is still there", `document.querySelector('#note-text').value === 'The key is under the mat.'`)
				p.waitUntil("they are no guest", `document.querySelector('[data-section="keep"]').hidden`)
				if c.password != "" {
					p.signOut()
					p.signIn(c.password)
					p.waitFor(signedIn)
				}
			})
		})
	}
}

func TestAnAccountIsExportedAndDeleted(t *testing.T) {
	everywhere(t, func(p *tab, _ string) {
		p.signUp()
		p.press(`[data-do="export"]`)
		p.waitForText(".export", `"email": "`+email+`"`)
		p.waitForText(".export", `"hasPassword": true`)
		p.press(`[data-do="delete"]`)
		p.waitFor("dialog")
		p.see("asked whether to delete")
		p.press(`[data-do="keep"]`)
		p.waitUntil("nothing is asked", `!document.querySelector('dialog').open`)
		if got := p.asked("DELETE /v1/user"); got != 0 {
			p.Error("the account is deleted without a yes")
		}
		p.press(`[data-do="delete"]`)
		p.press(`[data-do="delete-for-good"]`)
		p.waitForText("#notice", "Your account has been deleted")
		p.waitFor(signedOut)
		p.waitForText(newestLetter+" .letter-subject", "Your account has been deleted")
		if got := p.text(".export"); got != "" {
			p.Errorf("the page still shows %s", got)
		}
		p.expectRefusal(http.StatusUnauthorized)
		p.signIn(password)
		p.waitForText("#signin .message", "The address or the password is wrong.")
	})
}

func TestAnAccountWithAPasskeyIsDeletedAfterAStepUp(t *testing.T) {
	browser(t)
	p := open(t, viewports[0], quickstart(t))
	a := p.plugIn(device)
	a.signUpWithPasskey()
	p.expectRefusal(http.StatusForbidden)
	p.press(`[data-do="delete"]`)
	p.press(`[data-do="delete-for-good"]`) // and nobody is there
	p.waitForText("#notice", "Please confirm with your passkey")
	p.do("reload", chromedp.Reload())
	p.waitFor(signedIn)
	p.press(`[data-do="delete"]`)
	a.attend(true)
	a.forgets(nil, `[data-do="delete-for-good"]`) // nobody will ever take it
	p.waitForText("#notice", "Your account has been deleted")
	p.waitFor(signedOut)
}
