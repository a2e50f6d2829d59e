package browser_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	permission "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
)

const (
	mfaSection = `[data-section="mfa"]`
	mfaOn      = mfaSection + ` [data-mfa="on"]`
	mfaOff     = mfaSection + ` [data-mfa="off"]`
	makeCodes  = mfaSection + ` [data-do="codes"]`
	replaceApp = mfaSection + ` [data-do="replace"]`
	turnOff    = mfaSection + ` [data-do="off"]`
	codeShown  = mfaSection + ` .codes li`

	asked        = `#second[open]`
	askedTold    = `#second-code .message`
	recoveryTold = `#second-recovery .message`
	useRecovery  = `#second [data-do="recovery"]`
	usePasskey   = `#second [data-do="passkey"]`

	wrongCode = "This code is wrong"
	givenUp   = "no code was given"
)

// app is an authenticator app with one secret.
type app struct {
	*tab
	secret string
	last   time.Time
}

// code returns a code that has not been used. A server takes each once, and is ahead of its clock by one: so there are two
// without waiting.
func (a *app) code() string {
	a.Helper()
	now := time.Now()
	if next := a.last.Add(30 * time.Second); next.After(now) {
		now = next
	}
	a.last = now
	return authtest.TOTPCode(a.T, a.secret, now)
}

// wrong returns a code of no time that is near.
func (a *app) wrong() string {
	a.Helper()
	near := []string{}
	for at := -2; at <= 4; at++ {
		near = append(near, authtest.TOTPCode(a.T, a.secret, time.Now().Add(time.Duration(at)*30*time.Second)))
	}
	code := "000000"
	for slices.Contains(near, code) {
		code = strings.Map(func(r rune) rune { return r + 1 }, code)
	}
	return code
}

// enrolment begins to set up an app.
func (p *tab) enrolment() *app {
	p.Helper()
	p.press(mfaSection + ` [data-do="begin"]`)
	p.waitFor("#enrol-code")
	return &app{tab: p, secret: p.text("#mfa-secret")}
}

// enrol sets up an app, which has one more code then.
func (p *tab) enrol() *app {
	p.Helper()
	a := p.enrolment()
	p.fill("#enrol-code", a.code())
	p.press("#enrol .primary")
	p.waitFor(mfaOn)
	return a
}

// give answers what the page asks.
func (a *app) give(code string) {
	a.Helper()
	a.waitFor(asked)
	a.fill("#second-otp", code)
	a.press("#second-code .primary")
}

// notAsked checks that nothing of what was asked stays.
func (p *tab) notAsked() {
	p.Helper()
	p.waitUntil("nothing is asked", `!document.querySelector('`+asked+`')`)
	if got := get(p, "read the fields", chromedp.Evaluate[string](`[...document.querySelectorAll('#second input, #enrol input')].map((e) => e.value).join('')`)); got != "" {
		p.Errorf("the page keeps the code %q", got)
	}
}

func TestASecondFactorIsSetUpAndAskedFor(t *testing.T) {
	everywhere(t, func(p *tab, _ string) {
		p.signUp()
		p.waitFor(mfaOff)
		a := p.enrolment()
		p.waitUntil("there is an image of the secret", `document.querySelector('.qr').naturalWidth === 200`)
		if got := get(p, "read the link", chromedp.Evaluate[string](`document.querySelector('[data-do="app"]').href`)); !strings.HasPrefix(got, "otpauth://totp/Quickstart:") ||
			!strings.Contains(got, "secret="+a.secret) {
			p.Errorf("the link to the app is %s", got)
		}
		p.expectRefusal(http.StatusUnauthorized)
		p.fill("#enrol-code", a.wrong())
		p.press("#enrol .primary")
		p.waitForText("#enrol .message", wrongCode)
		p.see("setting up an app")
		code := a.code()
		p.fill("#enrol-code", code[:3]+" "+code[3:]) // as apps show them
		p.press("#enrol .primary")
		p.waitForText("#notice", "The second factor is on.")
		p.waitForText(mfaOn, "No recovery codes are left.")
		p.see("a second factor")
		if got := p.text("#mfa-secret"); got != "" {
			p.Errorf("the page still shows the secret %s", got)
		}

		p.signOut()
		p.signIn(password)
		p.waitFor(asked)
		p.waitUntil("the code is asked for", `document.activeElement.id === 'second-otp' && document.activeElement.autocomplete === 'one-time-code'`)
		p.see("asked for a code")
		a.give(a.wrong())
		p.waitForText(askedTold, wrongCode)
		p.waitFor(`#second-otp[aria-invalid="true"]`)
		p.see("a wrong code of the app")
		a.give(code)
		p.waitUntil("it is refused as well", `[...document.querySelectorAll('.log > li')].filter((e) => e.textContent.startsWith('POST/v1/signin/mfa/totp401')).length === 2`)
		p.press(`#second-code [data-do="cancel"]`)
		p.waitForText("#signin .message", givenUp)
		p.waitFor(signedOut)
		p.notAsked()

		p.expectRefusal()
		p.signIn(password)
		a.give(a.code())
		p.waitFor(signedIn)
		p.notAsked()
		if got, want := p.claim("amr"), `["pwd","otp","mfa"]`; got != want {
			p.Errorf("amr is %s, want %s", got, want)
		}
		p.waitFor(mfaOn)
	})
}

// Five wrong codes end a sign-in, and the page begins another one.
func TestTooManyWrongCodesEndASignIn(t *testing.T) {
	browser(t)
	p := open(t, viewports[0], quickstart(t))
	p.signUp()
	a := p.enrol()
	p.signOut()
	p.expectRefusal(http.StatusUnauthorized)
	p.signIn(password)
	for range 5 {
		a.give(a.wrong())
		p.waitFor(`#second-otp[aria-invalid="true"], #signin .message:not(:empty)`)
		p.waitUntil("it is answered", `!document.querySelector('#second-code .primary').disabled`)
	}
	a.give(a.code())
	p.waitForText("#signin .message", "too many wrong codes")
	p.notAsked()
}

func TestEveryWayInAsksForTheSecondFactor(t *testing.T) {
	for _, c := range []struct {
		name, amr string
		signIn    func(p *tab)
	}{
		{"a link", `["email","otp","mfa"]`, func(p *tab) {
			p.askForLink()
			p.follow("Your link to sign in")
		}},
		{"a link without cryptography", `["email","otp","mfa"]`, func(p *tab) {
			p.withoutCryptography()
			p.askForLink()
			p.follow("Your link to sign in")
		}},
		{"a code by e-mail", `["email","otp","mfa"]`, func(p *tab) {
			p.fill("#letter-email", email)
			p.press(sendCode)
			p.waitForText(newestLetter+" .letter-subject", "code")
			p.fill("#code-otp", p.text(newestLetter+" .letter-code code"))
			p.press("#code .primary")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			browser(t)
			p := open(t, viewports[0], quickstart(t))
			p.signUp()
			a := p.enrol()
			p.signOut()
			c.signIn(p)
			p.waitFor(asked)
			p.waitFor(signedOut)
			a.give(a.code())
			p.waitFor(signedIn)
			p.notAsked()
			p.nothingStays()
			if got := p.claim("amr"); got != c.amr {
				p.Errorf("amr is %s, want %s", got, c.amr)
			}
		})
	}
}

func TestAPasskeyThatIsOnlyTouchedAsksForTheSecondFactor(t *testing.T) {
	_, url := service(t, func(*auth.Config) {})
	p := open(t, viewports[0], url)
	key := p.plugIn(device)
	key.signUpWithPasskey()
	p.expectRefusal(http.StatusForbidden)
	key.attend(true)
	a := p.enrol()
	key.attend(false)
	p.signOut()
	key.lie(webauthn.SetResponseOverrideBitsParams{IsBadUV: &yes})
	key.touch(func() {
		p.press(passkeySignIn)
		p.waitFor(asked)
	})
	p.waitFor(signedOut)
	a.give(a.code())
	p.waitFor(signedIn)
	if got, want := p.claim("amr"), `["pop","user","otp","mfa"]`; got != want {
		p.Errorf("amr is %s, want %s", got, want)
	}
}

func TestARecoveryCodeSignsInOnce(t *testing.T) {
	everywhere(t, func(p *tab, _ string) {
		p.signUp()
		a := p.enrol()
		p.expectRefusal(http.StatusForbidden)
		p.press(makeCodes)
		a.give(a.code()) // the first code signed nobody in: to have a recovery code takes a step-up
		p.waitUntil("there are ten", `document.querySelectorAll('`+codeShown+`').length === 10`)
		p.waitForText(mfaOn, "10 recovery codes are left.")
		p.see("recovery codes")
		codes := get(p, "read the codes", chromedp.Evaluate[string](`[...document.querySelectorAll('`+codeShown+`')].map((e) => e.textContent).join('\n')`))
		command(p, permission.SetPermission, permission.SetPermissionParams{
			Permission: &permission.PermissionDescriptor{Name: "clipboard-read"}, Setting: permission.PermissionSettingGranted,
		})
		p.press(mfaSection + ` .codes button`)
		p.waitForText("#notice", "The recovery codes have been copied.")
		if got := get(p, "read the clipboard", chromedp.Evaluate[string](`navigator.clipboard.readText()`, chromedp.EvalAwaitPromise)); got != codes {
			p.Errorf("the clipboard has %q, want %q", got, codes)
		}
		code, _, _ := strings.Cut(codes, "\n")

		p.signOut()
		p.waitUntil("none is shown any more", `!document.querySelector('`+codeShown+`')`)
		p.expectRefusal()
		p.signIn(password)
		p.press(useRecovery)
		p.see("asked for a recovery code")
		p.fill("#second-recovery-code", strings.ToUpper(code))
		p.press("#second-recovery .primary")
		p.waitFor(signedIn)
		p.notAsked()
		p.waitForText(mfaOn, "9 recovery codes are left.")

		p.signOut()
		p.expectRefusal(http.StatusUnauthorized)
		p.signIn(password)
		p.press(useRecovery)
		p.fill("#second-recovery-code", code)
		p.press("#second-recovery .primary")
		p.waitForText(recoveryTold, wrongCode)
		p.waitFor(signedOut)
	})
}

func TestASecondFactorIsTurnedOff(t *testing.T) {
	everywhere(t, func(p *tab, _ string) {
		p.signUp()
		a := p.enrol()
		p.expectRefusal(http.StatusUnauthorized)
		p.press(turnOff)
		a.give(a.wrong())
		p.waitForText(askedTold, wrongCode)
		p.see("not turned off")
		p.press(`#second-code [data-do="cancel"]`)
		p.waitForText(mfaSection+" .message", givenUp)
		p.waitFor(mfaOn)
		p.expectRefusal()
		p.press(turnOff)
		a.give(a.code())
		p.waitForText("#notice", "The second factor is off.")
		p.waitFor(mfaOff)
		p.notAsked()
		p.signOut()
		p.signIn(password)
		p.waitFor(signedIn)
		if got, want := p.claim("amr"), `["pwd"]`; got != want {
			p.Errorf("amr is %s, want %s", got, want)
		}
	})
}

// Whoever has lost their app turns it off with a recovery code.
func TestASecondFactorIsTurnedOffWithARecoveryCode(t *testing.T) {
	everywhere(t, func(p *tab, _ string) {
		p.signUp()
		a := p.enrol()
		p.expectRefusal(http.StatusForbidden)
		p.press(makeCodes)
		a.give(a.code())
		p.waitUntil("there are ten", `document.querySelectorAll('`+codeShown+`').length === 10`)
		code := p.text(codeShown)
		p.expectRefusal(http.StatusUnauthorized)
		p.press(turnOff)
		p.press(useRecovery)
		p.fill("#second-recovery-code", "aaaa-bbbb-cccc-dddd")
		p.press("#second-recovery .primary")
		p.waitForText(recoveryTold, wrongCode)
		p.see("not turned off with a recovery code")
		p.fill("#second-recovery-code", code)
		p.press("#second-recovery .primary")
		p.waitForText("#notice", "The second factor is off.")
		p.waitFor(mfaOff)
		p.notAsked()
		p.signOut()
		p.expectRefusal()
		p.signIn(password)
		p.waitFor(signedIn)
	})
}

// Until the other app has shown that it works, the one before counts.
func TestAnAppIsReplacedByAnother(t *testing.T) {
	var ahead atomic.Int64 // of the server's clock: codes of two apps are good in one time step each
	_, url := service(t, func(c *auth.Config) {
		c.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	p := open(t, viewports[0], url)
	p.signUp()
	a := p.enrol()
	secret := a.secret
	p.expectRefusal(http.StatusForbidden)
	p.press(replaceApp)
	a.give(a.code())
	p.waitFor("#enrol-code")
	p.waitUntil("there is another secret", `document.getElementById('mfa-secret').textContent !== '`+secret+`'`)
	p.see("another app")
	p.press("#enrol [data-do=stop]")
	p.waitFor(mfaOn)

	p.press(replaceApp) // the step-up still holds
	p.waitFor("#enrol-code")
	other := &app{tab: p, secret: p.text("#mfa-secret"), last: a.last}
	if other.secret == secret {
		t.Fatal("the secret is the one before")
	}
	ahead.Add(int64(30 * time.Second))
	p.fill("#enrol-code", other.code())
	p.press("#enrol .primary")
	p.waitForText("#notice", "The other app is the one that counts now.")
	p.waitForText(mfaOn, "No recovery codes are left.")

	p.signOut()
	p.expectRefusal(http.StatusUnauthorized)
	ahead.Add(int64(30 * time.Second))
	p.signIn(password)
	code := other.code()
	a.last = a.last.Add(30 * time.Second)
	a.give(a.code())
	p.waitForText(askedTold, wrongCode)
	a.give(code)
	p.waitFor(signedIn)
}

// Who has a passkey and an app chooses.
func TestACodeOfTheAppConfirms(t *testing.T) {
	everywhere(t, func(p *tab, _ string) {
		key := p.plugIn(device)
		key.signUpWithPasskey()
		p.expectRefusal(http.StatusForbidden)
		key.attend(true)
		a := p.enrol()
		key.attend(false)
		again := func() {
			p.press(`[data-do="refresh"]`)
			p.waitForText("#notice", "new access token")
			p.press(erase)
			p.waitFor(asked)
		}
		again()
		p.see("asked to confirm")
		p.do("press Escape", chromedp.KeyEvent("\u001b"))
		p.waitForText(eraseTold, givenUp)
		p.notAsked()

		again()
		p.press(usePasskey) // and nobody is there
		a.give(a.code())
		p.waitForText("#notice", "The note has been erased.")
		if got := p.claim("x-hasura-auth-elevated"); got != p.text(userID) {
			p.Errorf("the session has stepped up for %q", got)
		}

		again()
		key.touch(func() {
			p.press(usePasskey)
			p.waitForText("#notice", "The note has been erased.")
		})
		p.notAsked()
	})
}

const (
	tokenRow  = `[data-section="tokens"] .list > li`
	tokenMade = `[data-section="tokens"] .made`
)

func TestATokenIsMadeUsedAndRevoked(t *testing.T) {
	everywhere(t, func(p *tab, url string) {
		p.signUp()
		p.fill(`#add-token input`, "<b>Backup</b>")
		p.press(`#add-token button`)
		p.waitForText("#notice", "The token has been made.")
		p.waitFor(tokenMade)
		p.waitForText(tokenRow, "<b>Backup</b>")
		p.waitForText(tokenRow, "not used yet")
		p.see("a token")
		token := p.text(tokenMade + " code")
		signIn := func() (int, []byte) {
			return call(p.T, url+"/v1/signin/pat", map[string]string{"personalAccessToken": token})
		}
		status, body := signIn()
		var in struct {
			Session struct {
				RefreshToken string
				User         struct{ ID string }
			}
		}
		if err := json.Unmarshal(body, &in); err != nil || status != http.StatusOK || in.Session.User.ID != p.text(userID) {
			p.Fatalf("the token signs in with %d %s", status, body)
		}
		p.do("reload", chromedp.Reload())
		p.waitForText(tokenRow, "used just now")
		if got := p.text(tokenMade); strings.Contains(got, token) {
			p.Errorf("the page still shows the token")
		}
		p.waitForText(`[data-section="sessions"] .list`, "by access token")
		p.press(tokenRow + ` .danger`)
		p.waitForText("#notice", "has been revoked")
		p.waitUntil("it is not listed", `!document.querySelector('`+tokenRow+`')`)
		if status, body := signIn(); status != http.StatusUnauthorized {
			p.Errorf("the revoked token signs in with %d %s", status, body)
		}
		p.fill(`#add-token input`, "Another")
		p.press(`#add-token button`)
		p.waitFor(tokenMade)
		p.press(tokenRow + ` .danger`)
		p.waitUntil("it is shown no more", `document.querySelector('`+tokenMade+`').hidden`)
		if status, body := call(p.T, url+"/v1/token", map[string]string{"refreshToken": in.Session.RefreshToken}); status != http.StatusUnauthorized {
			p.Errorf("the session of the revoked token is refreshed with %d %s", status, body)
		}
	})
}
