package browser_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest/fakeidp"
	"github.com/ostiary/auth/httpadapter"
	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/provider/oidc"
)

const (
	providerSignIn = `[data-section="provider"] .buttons button`
	linkAccount    = `[data-section="identities"] .buttons button`
	identityRow    = `[data-section="identities"] .list > li`
	unlinkAccount  = identityRow + ` button.danger`
	identitiesTold = `[data-section="identities"] > .message`

	// What the provider's pages have.
	cancelVisit = `button[name="cancel"]`
	postForm    = `form[action] button`

	begunElsewhere = "This sign-in was begun elsewhere"
)

// account is the button of an account on the provider's page, by the provider's id of it.
func account(subject string) string {
	return fmt.Sprintf(`button[name="account"][value="%s"]`, subject)
}

// visit goes to the provider by a button, presses one there, and comes back.
func (p *tab) visit(button, there string) {
	p.Helper()
	p.load("visit the provider", func() {
		p.press(button)
		p.press(there)
	})
}

func (p *tab) waitForIdentities(n int) {
	p.Helper()
	p.waitUntil(fmt.Sprintf("%d accounts are linked", n), fmt.Sprintf(`document.querySelectorAll('%s').length === %d`, identityRow, n))
}

// atNoVisit checks that what was remembered of a visit is gone.
func (p *tab) atNoVisit() {
	p.Helper()
	p.nothingStays()
	if got := get(p, "read the visit", chromedp.Evaluate[string](`sessionStorage.getItem('quickstart.visit') ?? ''`)); got != "" {
		p.Errorf("the tab still keeps the visit %s", got)
	}
	if got := p.binding(get(p, "read the origin", chromedp.Evaluate[string](`location.origin`))); got != nil {
		p.Errorf("the browser still keeps the cookie %+v", got)
	}
}

// binding is the cookie that binds a visit to the browser, as it would be sent to a URL.
func (p *tab) binding(to string) *network.Cookie {
	p.Helper()
	var found *network.Cookie
	for _, c := range command(p, network.GetCookies, network.GetCookiesParams{URLs: []string{to + "/v1/signin/provider/dev/callback"}}).Cookies {
		if strings.Contains(c.Name, "auth-provider-") {
			if found != nil {
				p.Errorf("there are two cookies of visits, %s and %s", found.Name, c.Name)
			}
			found = c
		}
	}
	return found
}

func TestAProviderSignsUpAndIn(t *testing.T) {
	everywhere(t, func(p *tab, _ string) {
		p.waitFor(signedOut)
		p.waitFor(providerSignIn)
		p.see("signed out, with a provider")
		p.press(providerSignIn)
		p.waitFor(account("ada"))
		p.see("the provider")
		p.load("come back", func() { p.press(account("ada")) })
		p.waitFor(signedIn)
		p.waitForText("#notice", "The provider has signed you in.")
		p.waitForText("#whoami", "Signed in as "+email)
		p.waitForText(".person-email", "verified")
		p.atNoVisit()
		if got := p.asked("POST /v1/token/exchange"); got != 1 {
			p.Errorf("the page has exchanged %d codes, want 1", got)
		}
		if got, want := p.claim("amr"), `["oauth"]`; got != want {
			p.Errorf("amr is %s, want %s", got, want)
		}
		p.waitForText(sessionRow, "by identity provider")
		p.waitForIdentities(1)
		p.waitForText(identityRow, email)
		p.see("signed in by a provider")
		user := p.text(userID)

		p.signOut()
		p.visit(providerSignIn, account("ada"))
		p.waitFor(signedIn)
		if got := p.text(userID); got != user {
			p.Errorf("the user is %s, and was %s at the sign-up", got, user)
		}
	})
}

func TestASignUpByAProviderThatDoesNotVouchAwaitsALetter(t *testing.T) {
	browser(t)
	p := open(t, viewports[0], quickstart(t))
	p.visit(providerSignIn, account("grace"))
	p.waitForText("#notice", "Nearly done: follow the link in the letter")
	p.waitFor(signedOut)
	p.waitUntil("the address is bare", `location.search === ''`)
	p.see("nearly done")
	p.follow("Verify your e-mail address")
	p.waitFor(signedIn)
	p.waitForText("#whoami", "grace@example.com")
	p.atNoVisit()
}

func TestAnAccountIsLinkedAndUnlinked(t *testing.T) {
	everywhere(t, func(p *tab, _ string) {
		p.signUp()
		user := p.text(userID)
		p.waitForText(`[data-section="identities"] .none`, "There is none yet.")
		p.visit(linkAccount, account("mary"))
		p.waitForText("#notice", "The account is linked.")
		p.atNoVisit()
		p.waitForIdentities(1)
		p.waitForText(identityRow, "mary")
		p.waitForText(".letters", "A way to sign in was added")
		p.see("a linked account")
		if got := p.text(userID); got != user {
			p.Errorf("the user is %s, and was %s", got, user)
		}

		p.signOut()
		p.visit(providerSignIn, account("mary"))
		p.waitFor(signedIn)
		if got := p.text(userID); got != user {
			p.Errorf("the linked account leads to %s, want %s", got, user)
		}

		p.press(unlinkAccount)
		p.waitForText("#notice", "mary has been unlinked.")
		p.waitForIdentities(0)
		p.waitUntil("the focus is where things go on", `document.activeElement.id === 'identities-title'`)
		p.waitForText(".letters", "A way to sign in was removed")
		p.see("an account unlinked")

		p.signOut()
		p.visit(providerSignIn, account("mary"))
		p.waitFor(signedIn)
		if got := p.text(userID); got == user {
			p.Error("an account that was unlinked still signs in")
		}
	})
}

// OA-31
func TestASecondFactorIsAskedForAfterAVisit(t *testing.T) {
	browser(t)
	p := open(t, viewports[0], quickstart(t))
	p.signUp()
	a := p.enrol()
	p.signOut()
	p.visit(providerSignIn, account("ada"))
	a.give(a.code())
	p.waitFor(signedIn)
	p.waitForText("#notice", "The provider has signed you in.")
	p.waitForText("#whoami", email)
	p.atNoVisit()
	p.notAsked()
}

// Whoever has another way of showing that they are there shows it, before somebody else's account becomes a way in.
func TestLinkingAndUnlinkingNeedAStepUp(t *testing.T) {
	browser(t)
	p := open(t, viewports[0], quickstart(t))
	a := p.plugIn(device)
	a.signUpWithPasskey()
	p.expectRefusal(http.StatusForbidden)
	p.press(linkAccount) // and nobody is there
	p.waitForText("#notice", "Please confirm with your passkey")
	p.do("reload", chromedp.Reload())
	p.waitFor(signedIn)
	p.waitForIdentities(0)
	a.touch(func() { p.visit(linkAccount, account("mary")) })
	p.waitForText("#notice", "The account is linked.")
	p.waitForIdentities(1)
	a.touch(func() {
		p.press(unlinkAccount)
		p.waitForText("#notice", "mary has been unlinked.")
	})
}

func TestTheLastWayInIsNotUnlinked(t *testing.T) {
	browser(t)
	p := open(t, viewports[0], quickstart(t))
	p.visit(providerSignIn, account("mary"))
	p.waitFor(signedIn)
	p.waitForText("#whoami", "Signed in as Mary Somerville")
	p.expectRefusal(http.StatusBadRequest)
	p.press(unlinkAccount)
	p.waitForText(identitiesTold, "This is the only way into your account.")
	p.waitForIdentities(1)
	p.see("the last way in")
}

func TestAnAccountOfAnotherUserIsNotLinked(t *testing.T) {
	browser(t)
	p := open(t, viewports[0], quickstart(t))
	p.visit(providerSignIn, account("mary"))
	p.waitFor(signedIn)
	p.signOut()
	p.signUp()
	p.visit(linkAccount, account("mary"))
	p.waitForText("#notice", "linked already")
	p.waitFor(signedIn)
	p.waitForIdentities(0)
	p.atNoVisit()
}

func TestAVisitIsCancelled(t *testing.T) {
	everywhere(t, func(p *tab, _ string) {
		p.visit(providerSignIn, cancelVisit)
		p.waitForText("#notice", "it was cancelled at the provider")
		p.waitFor(signedOut)
		p.atNoVisit()
		p.see("cancelled at the provider")
		p.signUp()
		p.visit(linkAccount, cancelVisit)
		p.waitForText("#notice", "it was cancelled at the provider")
		p.waitFor(signedIn)
		p.waitForIdentities(0)
		p.atNoVisit()
	})
}

// choose does at the provider what a press of an account's button does, without the browser, and returns where that leads.
func (p *tab) choose(subject string) string {
	p.Helper()
	p.waitFor(account(subject))
	stay := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := stay.PostForm(get(p, "read the address", chromedp.Evaluate[string](`location.href`)), url.Values{"account": {subject}})
	if err != nil {
		p.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusSeeOther {
		p.Fatalf("the provider answers %s", answer.Status)
	}
	return answer.Header.Get("Location")
}

// OA-01: who has a victim open the end of a visit of their own would have them signed in as somebody else.
func TestAStrangersVisitSignsNobodyIn(t *testing.T) {
	browser(t)
	at := quickstart(t)
	stranger := open(t, viewports[0], at)
	stranger.press(providerSignIn)
	callback := stranger.choose("mary")
	p := open(t, viewports[0], callback)
	p.waitForText("#notice", begunElsewhere)
	p.waitFor(signedOut)
	p.atNoVisit()
	p.see("a visit of a stranger")

	// One that is at a visit itself has a cookie and a state, but others.
	p.press(providerSignIn)
	own := p.choose("ada")
	for _, bait := range []string{callback, at + "/?state=x"} {
		p.do("open the stranger's", chromedp.Navigate(bait))
		p.waitForText("#notice", begunElsewhere)
		p.waitFor(signedOut)
	}
	p.do("open their own", chromedp.Navigate(own))
	p.waitFor(signedIn)
	p.waitForText("#whoami", email)

	stranger.load("go on", func() { stranger.do("go on", chromedp.Navigate(callback)) })
	stranger.waitFor(signedIn)
	stranger.waitForText("#whoami", "Mary Somerville")
	stranger.atNoVisit()

	// A visit ends once.
	stranger.signOut()
	stranger.do("go on again", chromedp.Navigate(callback))
	stranger.waitForText("#notice", begunElsewhere)
	stranger.waitFor(signedOut)
}

// Nor does the page take up what no visit of its tab has brought, whatever its state.
func TestWhatNoVisitHasBroughtIsNotTakenUp(t *testing.T) {
	browser(t)
	at := quickstart(t)
	signUpElsewhere(t, at, "eve@example.com")
	token := signInElsewhere(t, at, "eve@example.com")
	p := open(t, viewports[0], at)
	p.waitFor(signedOut)
	for _, brought := range []url.Values{
		{"state": {"constructor"}},
		{"state": {"undefined"}, "refreshToken": {token}, "link": {"x"}},
		{"state": {"x"}, "code": {"x"}, "link": {"x"}},
	} {
		p.do("open a link", chromedp.Navigate(at+"/?"+brought.Encode()))
		p.waitForText("#notice", begunElsewhere)
		p.waitFor(signedOut)
		p.atNoVisit()
		if got := p.asked("POST /v1/token/exchange") + p.asked("POST /v1/token"); got != 0 {
			t.Errorf("with %v the page has asked for a session", brought)
		}
	}
}

func TestThereIsNothingOfProvidersWhereThereAreNone(t *testing.T) {
	_, at := service(t, func(*auth.Config) {})
	p := open(t, viewports[0], at)
	p.waitFor(signedOut)
	shown := func() {
		t.Helper()
		p.waitUntil("the page knows", `[...document.querySelectorAll('.log > li')].some((e) => e.textContent.includes('/dev/providers'))`)
		if got := get(p, "look for providers", chromedp.Evaluate[string](`[...document.querySelectorAll('[data-needs="providers"]')]
			.filter((e) => e.checkVisibility()).map((e) => e.dataset.section).join()`)); got != "" {
			t.Errorf("the page shows %s", got)
		}
	}
	shown()
	p.signUp()
	shown()
	if got := p.asked("GET /v1/user/identities"); got != 0 {
		t.Error("the page asks for linked accounts")
	}
}

// register makes a provider the one that the routes call dev.
func register(t *testing.T, c *auth.Config, idp *fakeidp.Provider, formPost bool) {
	t.Helper()
	client := idp.Client(fakeidp.Client{RedirectURIs: []string{c.ServerURL + "/signin/provider/dev/callback"}})
	dev, err := oidc.New(oidc.Config{Issuer: idp.Issuer(), ClientID: client.ID, ClientSecret: client.Secret, FormPost: formPost})
	if err != nil {
		t.Fatal(err)
	}
	c.Providers = map[string]provider.Provider{"dev": dev}
	c.HTTPClient = &http.Client{Transport: idp.Transport(nil)}
}

// OA-33: where sessions are cookies, the address says nothing of them.
func TestAVisitEndsInASessionOfCookies(t *testing.T) {
	browser(t)
	idp := fakeidp.New(t)
	ada := idp.Account(fakeidp.Account{Subject: "ada", Email: email, EmailVerified: true})
	_, at, arrivals := confirming(t, httpadapter.Options{Cookies: &httpadapter.CookieOptions{}}, func(c *auth.Config) { register(t, c, idp, false) })
	p := open(t, viewports[0], at+"/signin/provider/dev")
	p.press(account(ada.Subject))
	if q := p.arrive(arrivals); len(q) > 0 {
		t.Errorf("the app is told %q", q)
	}
	p.expectRefusal(http.StatusNotFound) // the browser looks for an icon of what is no page
	p.do("open what is the user's", chromedp.Navigate(at+"/user"))
	if got := p.text("body"); !strings.Contains(got, `"email":"`+email+`"`) {
		t.Errorf("the user is %s", got)
	}
}

// RFC 6265bis §5.4, §5.6: what the browser makes of the cookie, and when it sends it.
func TestAVisitIsBoundToTheBrowser(t *testing.T) {
	browser(t)
	for _, c := range []struct {
		name     string
		scheme   string
		idp      string // where the provider is: 127.0.0.1 is another site than localhost, which the page is at
		formPost bool

		prefix   string
		sameSite network.CookieSameSite
		refused  bool
	}{
		{name: "by http, with a query", scheme: "http", idp: "127.0.0.1:0", sameSite: network.CookieSameSiteLax},
		{name: "by http, with a form of the same site", scheme: "http", idp: "localhost:0", formPost: true, sameSite: network.CookieSameSiteLax},
		// Over http there is no cookie that a form of another site would bring: real providers want https anyway.
		{name: "by http, with a form of another site", scheme: "http", idp: "127.0.0.1:0", formPost: true, sameSite: network.CookieSameSiteLax, refused: true},
		{name: "by https, with a query", scheme: "https", idp: "127.0.0.1:0", prefix: "__Host-", sameSite: network.CookieSameSiteLax},
		{name: "by https, with a form", scheme: "https", idp: "127.0.0.1:0", formPost: true, prefix: "__Host-", sameSite: network.CookieSameSiteNone},
	} {
		t.Run(c.name, func(t *testing.T) {
			idp, err := fakeidp.Start(c.idp)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(idp.Close)
			ada := idp.Account(fakeidp.Account{Subject: "ada", Email: email, EmailVerified: true})
			_, at := serve(t, c.scheme, func(config *auth.Config) { register(t, config, idp, c.formPost) })
			p := open(t, viewports[0], at, chromedp.Flag("ignore-certificate-errors", true))
			p.press(providerSignIn)
			p.waitFor(account(ada.Subject))

			cookie := p.binding(at)
			if cookie == nil {
				t.Fatal("the browser has no cookie")
			}
			if err := errors.Join(
				is("prefix", strings.TrimSuffix(cookie.Name, cookie.Name[strings.Index(cookie.Name, "auth-provider-"):]), c.prefix),
				is("domain", cookie.Domain, "localhost"), is("path", cookie.Path, "/"), is("HttpOnly", cookie.HTTPOnly, true),
				is("Secure", cookie.Secure, c.scheme == "https"), is("SameSite", cookie.SameSite, c.sameSite), is("ends with the browser", cookie.Session, false),
			); err != nil {
				t.Error(err)
			}
			if life := time.Until(time.UnixMilli(int64(cookie.Expires * 1000))); life < time.Minute || life > 10*time.Minute {
				t.Errorf("the cookie is good for %s, want at most ten minutes", life)
			}
			if other := p.binding("http://127.0.0.1"); other != nil {
				t.Errorf("another host gets the cookie %+v", other)
			}
			if got := get(p, "read the cookies", chromedp.Evaluate[string](`document.cookie`)); got != "" {
				t.Errorf("scripts of the provider's page see %q", got)
			}

			p.load("come back", func() {
				p.press(account(ada.Subject))
				if c.formPost {
					p.waitFor(postForm)
					p.see("the provider's form")
					p.press(postForm)
				}
			})
			if c.refused {
				p.waitForText("#notice", begunElsewhere)
				p.waitFor(signedOut)
				return
			}
			p.waitFor(signedIn)
			p.waitForText("#whoami", email)
			p.atNoVisit()
		})
	}
}

// is reports a difference between what there is and what should be.
func is[T comparable](what string, got, want T) error {
	if got != want {
		return fmt.Errorf("%s: %v, want %v", what, got, want)
	}
	return nil
}
