package browser_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

const (
	email    = "ada@example.com"
	password = "plum-tractor-eleven"
	name     = "Ada Lovelace"

	signedIn   = `body[data-state="signed-in"]`
	signedOut  = `body[data-state="signed-out"]`
	sessionID  = `[data-section="session"] .facts code`
	sessionRow = `[data-section="sessions"] .list > li`

	newestLetter = `.letters > li:first-child`
)

// everywhere runs a test at each size of window, on a server of its own.
func everywhere(t *testing.T, test func(p *tab, url string)) {
	t.Helper()
	browser(t)
	for _, v := range viewports {
		t.Run(v.name, func(t *testing.T) {
			url := quickstart(t)
			test(open(t, v, url), url)
		})
	}
}

func (p *tab) signUp() {
	p.Helper()
	p.waitFor(signedOut)
	p.fill("#signup-email", email)
	p.fill("#signup-password", password)
	p.fill("#signup-name", name)
	p.see("a filled form")
	p.press("#signup button.primary")
	p.confirm()
}

// confirm follows the link that verifies an address, where the server wants that.
func (p *tab) confirm() {
	p.Helper()
	p.waitUntil("the sign-up is done, or a letter sent", fmt.Sprintf(
		`document.querySelector('%s') || document.querySelector('#notice').textContent.includes('Nearly done')`, signedIn))
	if strings.Contains(p.text("#notice"), "Nearly done") {
		p.follow("Verify your e-mail address")
	}
	p.waitFor(signedIn)
}

// follow waits for a letter and follows its link.
func (p *tab) follow(subject string) {
	p.Helper()
	p.waitForText(newestLetter+" .letter-subject", subject)
	p.open(newestLetter)
}

// open opens a letter and follows its link.
func (p *tab) open(letter string) {
	p.Helper()
	p.do("open "+letter, chromedp.Evaluate[chromedp.Void](fmt.Sprintf("document.querySelector('%s details').open = true", letter)))
	p.load("follow the link", func() { p.press(letter + " a.button") })
}

// signIn chooses the other form and sends it.
func (p *tab) signIn(password string) {
	p.Helper()
	p.press("#tab-signin")
	p.fill("#signin-email", email)
	p.fill("#signin-password", password)
	p.press("#signin button.primary")
}

func TestSigningUpShowsTheSession(t *testing.T) {
	everywhere(t, func(p *tab, _ string) {
		p.waitFor(signedOut)
		p.see("signed out")
		p.signUp()
		p.waitForText("#whoami", "Signed in as "+email)
		p.waitForText(".person-name", name)
		p.waitUntil("the session is listed", `document.querySelectorAll('`+sessionRow+`').length === 1`)
		p.waitForText(sessionRow, "this browser")
		p.see("signed in")

		user, session := p.text(`[data-section="user"] .facts code`), p.text(sessionID)
		for claim, want := range map[string]string{"sub": user, "x-hasura-user-id": user, "sid": session, "amr": `["email"]`, "x-hasura-user-is-anonymous": "false"} {
			p.waitUntil("the claim "+claim+" is shown", `[...document.querySelectorAll('.claims > div')].some((e) =>
				e.querySelector('dt').textContent === '`+claim+`' && e.querySelector('.value').textContent === '`+want+`')`)
		}
	})
}

func TestRefreshingReplacesTheTokenAndKeepsTheSession(t *testing.T) {
	everywhere(t, func(p *tab, _ string) {
		p.signUp()
		session, token := p.text(sessionID), p.text("code.token")
		p.press(`[data-do="refresh"]`)
		p.waitForText("#notice", "new access token")
		if got := p.text(sessionID); got != session {
			p.Errorf("the session is %s after refreshing, and was %s", got, session)
		}
		if got := p.text("code.token"); got == token || got == "" {
			p.Errorf("the access token is %q after refreshing", got)
		}
	})
}

func TestReloadingKeepsTheSession(t *testing.T) {
	everywhere(t, func(p *tab, _ string) {
		p.signUp()
		session := p.text(sessionID)
		p.do("reload", chromedp.Reload())
		p.waitFor(signedIn)
		p.waitForText(sessionID, session)
		p.waitForText("#whoami", email)
	})
}

func TestAnotherSessionIsListedAndRevoked(t *testing.T) {
	everywhere(t, func(p *tab, url string) {
		p.signUp()
		other := signInElsewhere(p.T, url, email)
		p.press(`[data-section="sessions"] [data-do="reload"]`)
		p.waitUntil("both sessions are listed", `document.querySelectorAll('`+sessionRow+`').length === 2`)
		p.see("two sessions")
		p.press(sessionRow + ` button.danger`)
		p.waitUntil("one session is listed", `document.querySelectorAll('`+sessionRow+`').length === 1`)
		p.waitForText(sessionRow, "this browser")
		if status, body := call(p.T, url+"/v1/token", map[string]string{"refreshToken": other}); status != http.StatusUnauthorized {
			p.Errorf("the revoked session is refreshed with %d %s", status, body)
		}
		p.press(`[data-do="refresh"]`)
		p.waitForText("#notice", "new access token")
	})
}

func TestSigningOutEndsTheSession(t *testing.T) {
	everywhere(t, func(p *tab, _ string) {
		p.signUp()
		p.press(`[data-do="signout"]`)
		p.waitFor(signedOut)
		p.waitForText("#whoami", "Not signed in")
		for _, selector := range []string{"code.token", `[data-section="sessions"] .list`} {
			if got := p.text(selector); got != "" {
				p.Errorf("%s still shows %q", selector, got)
			}
		}
		p.do("reload", chromedp.Reload())
		p.waitFor(signedOut)
	})
}

func TestSigningOutEverywhereEndsTheOthers(t *testing.T) {
	everywhere(t, func(p *tab, url string) {
		p.signUp()
		other := signInElsewhere(p.T, url, email)
		p.press(`[data-do="signout-all"]`)
		p.waitFor(signedOut)
		if status, body := call(p.T, url+"/v1/token", map[string]string{"refreshToken": other}); status != http.StatusUnauthorized {
			p.Errorf("the other session is refreshed with %d %s", status, body)
		}
	})
}

func TestAWrongPasswordIsToldAndTheRightOneSignsIn(t *testing.T) {
	everywhere(t, func(p *tab, _ string) {
		p.signUp()
		p.press(`[data-do="signout"]`)
		p.waitFor(signedOut)
		p.expectRefusal(http.StatusUnauthorized)
		p.signIn("not the password")
		p.waitForText("#signin .message", "The address or the password is wrong.")
		p.see("wrong password")
		p.signIn(password)
		p.waitFor(signedIn)
		p.waitForText("#whoami", email)
	})
}

func TestATakenAddressAndACommonPasswordAreTold(t *testing.T) {
	everywhere(t, func(p *tab, url string) {
		p.waitFor(signedOut)
		signUpElsewhere(p.T, url, email)
		p.expectRefusal(http.StatusConflict)
		p.fill("#signup-email", email)
		p.fill("#signup-password", password)
		p.press("#signup button.primary")
		p.waitForText("#signup .message", "There is an account with this address already.")
		p.expectRefusal(http.StatusBadRequest)
		p.fill("#signup-email", "eve@example.com")
		p.fill("#signup-password", "password123")
		p.press("#signup button.primary")
		p.waitForText("#signup .message", "Attackers try this password first.")
		p.see("refused sign-up")
	})
}

func TestAGuestIsSomebody(t *testing.T) {
	everywhere(t, func(p *tab, _ string) {
		p.waitFor(signedOut)
		p.press(`[data-section="guest"] button`)
		p.waitFor(signedIn)
		p.waitForText(".person-email", "guest")
		p.see("guest")
		p.press(`[data-do="refresh"]`)
		p.waitForText("#notice", "new access token")
		p.press(`[data-do="signout"]`)
		p.waitFor(signedOut)
	})
}

func TestTabsShareTheSession(t *testing.T) {
	everywhere(t, func(p *tab, url string) {
		p.signUp()
		session := p.text(sessionID)
		other := p.another(url)
		other.waitFor(signedIn)
		other.waitForText(sessionID, session)
		other.press(`[data-do="signout"]`)
		other.waitFor(signedOut)
		p.waitFor(signedOut)
	})
}

// signUpElsewhere makes an account with a verified address, as another client would.
func signUpElsewhere(t *testing.T, url, email string) {
	t.Helper()
	if status, body := call(t, url+"/v1/signup/email-password", map[string]string{"email": email, "password": password}); status != http.StatusOK {
		t.Fatalf("sign up: %d %s", status, body)
	}
	link := ""
	for deadline := time.Now().Add(patience); link == "" && time.Now().Before(deadline); {
		response, err := http.Get(url + "/dev/mailbox")
		if err != nil {
			t.Fatal(err)
		}
		var box struct{ Letters []struct{ To, Link string } }
		err = json.NewDecoder(response.Body).Decode(&box)
		response.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		for _, letter := range box.Letters {
			if letter.To == email {
				link = letter.Link
			}
		}
	}
	response, err := http.Get(link) // and the page that it leads to
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if got := response.Request.URL.Query(); got.Get("type") != "verifyEmail" || got.Has("error") {
		t.Fatalf("the link in the letter leads to %s", response.Request.URL)
	}
}

// signInElsewhere opens a session that is not the browser's and returns its refresh token.
func signInElsewhere(t *testing.T, url, email string) string {
	t.Helper()
	status, body := call(t, url+"/v1/signin/email-password", map[string]string{"email": email, "password": password})
	var in struct{ Session struct{ RefreshToken string } }
	if err := json.Unmarshal(body, &in); err != nil || status != http.StatusOK {
		t.Fatalf("sign in: %d %s", status, body)
	}
	return in.Session.RefreshToken
}

// call posts to the server, as another client would.
func call(t *testing.T, url string, message map[string]string) (status int, answer []byte) {
	t.Helper()
	text, err := json.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.Post(url, "application/json", bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(response.Body); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, body.Bytes()
}
