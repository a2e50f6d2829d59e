package fakeidp_test

import (
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/ostiary/auth/authtest/fakeidp"
)

// show gets a page and checks what every one of them keeps to.
func show(t testing.TB, at string) string {
	t.Helper()
	answer, err := http.Get(at)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	page := string(body)
	style := regexp.MustCompile(`(?s)<style>(.*?)</style>`).FindStringSubmatch(page)
	if style == nil {
		t.Fatalf("the page has no style: %s", page)
	}
	sum := sha256.Sum256([]byte(style[1]))
	for name, want := range map[string]string{
		"Content-Type": "text/html; charset=utf-8",
		"Content-Security-Policy": "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
			"'; base-uri 'none'; frame-ancestors 'none'",
		"Referrer-Policy": "strict-origin", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store",
	} {
		if got := answer.Header.Get(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if regexp.MustCompile(`(?i)<script|\son[a-z]+=|javascript:|\sstyle=`).MatchString(page) {
		t.Errorf("the page has a script or a style of its own: %s", page)
	}
	return page
}

func TestAPersonChoosesAnAccountOnAPage(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.Account(fakeidp.Account{Subject: `"><script>1`, Name: "<script>2", Email: "<script>@example.com"})
	a.Account(fakeidp.Account{Subject: "nameless", Email: "nameless@example.com"})
	a.Account(fakeidp.Account{Subject: "only a subject"})
	page := show(t, a.authorizationURL())
	for _, want := range []string{
		`<form method="post">`,
		`<button name="account" value="ada">Ada Lovelace<span>ada@example.com</span></button>`,
		`<button name="account" value="nameless">nameless@example.com<span>nameless@example.com (not verified)</span></button>`,
		`<button name="account" value="only a subject">only a subject</button>`,
		`<button class="cancel" name="cancel" value="1">Cancel</button>`,
		a.client.ID,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %s: %s", want, page)
		}
	}
	// Who presses a button posts to the page's own address.
	stay := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := stay.PostForm(a.authorizationURL(), url.Values{"account": {"ada"}})
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	h := answer.Header
	if answer.StatusCode != http.StatusSeeOther || !strings.HasPrefix(h.Get("Location"), redirectURI+"?") {
		t.Errorf("%s to %s", answer.Status, h.Get("Location"))
	}
	if h.Get("Cache-Control") != "no-store" || h.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("header = %v", h)
	}
	token, _ := a.requestToken(t)
	if page := show(t, a.authorizationV1(token)); !strings.Contains(page, "ada@example.com") {
		t.Errorf("the page of OAuth 1.0a: %s", page)
	}
	empty := fakeidp.New(t)
	client := empty.Client(fakeidp.Client{RedirectURIs: []string{redirectURI}})
	q := url.Values{"response_type": {"code"}, "client_id": {client.ID}, "redirect_uri": {redirectURI}}
	if page := show(t, empty.URL()+fakeidp.Authorization+"?"+q.Encode()); !strings.Contains(page, "There are no accounts.") {
		t.Errorf("the page without accounts: %s", page)
	}
}

func TestAPersonReturnsByAButton(t *testing.T) {
	t.Parallel()
	const there = "https://app.test/callback?a=b&c=%22"
	a := newApp(t, func(c *fakeidp.Client) { c.RedirectURIs = []string{there} })
	a.SignedIn(a.ada)
	at := a.authorizationURL("response_mode", "form_post", "redirect_uri", there, "state", `"><script>`)
	page := show(t, at)
	for _, want := range []string{
		`<form method="post" action="https://app.test/callback?a=b&amp;c=%22">`,
		`<input type="hidden" name="state" value="&#34;&gt;&lt;script&gt;">`,
		`<button>Continue</button>`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %s: %s", want, page)
		}
	}
	callback := a.Visit(t, at, a.ada)
	if callback.URL != there || callback.Form.Get("state") != `"><script>` {
		t.Errorf("callback = %+v", callback)
	}
}

func TestAnErrorIsShown(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	if page := show(t, a.authorizationURL("client_id", "<script>")); !strings.Contains(page, "client_id is not the id of a client") {
		t.Errorf("page = %s", page)
	}
}
