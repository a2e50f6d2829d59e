package browser_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/httpadapter"
)

// confirming serves an engine that puts a page before links, and an app at another origin to which links lead. The way to
// the app goes by a third origin, which sends everybody on: what a page's policy says of forms would hold there too.
func confirming(
	t *testing.T, o httpadapter.Options, amend ...func(*auth.Config),
) (e *authtest.Engine, at string, arrivals <-chan url.Values) {
	t.Helper()
	arrived := make(chan url.Values, 10)
	server := httptest.NewUnstartedServer(nil)
	home := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/home" && r.Header.Get("Sec-Fetch-Dest") == "document" {
			arrived <- r.URL.Query()
		}
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, `<!DOCTYPE html><html lang="en"><link rel="icon" href="data:,"><title>App</title><h1 id="welcome">Welcome</h1>`)
	}))
	t.Cleanup(home.Close)
	entrance := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, local(t, home.Listener)+"/home?"+r.URL.RawQuery, http.StatusFound)
	}))
	t.Cleanup(entrance.Close)
	at = local(t, server.Listener) + "/v1"
	e = authtest.New(t, append([]func(*auth.Config){func(c *auth.Config) {
		c.ServerURL, c.ClientURL = at, local(t, entrance.Listener)
		c.MagicLink = &auth.MagicLinkConfig{}
	}}, amend...)...)
	o.ConfirmLinks = true
	adapter, err := httpadapter.New(e.Engine, o)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	adapter.Mount(mux, "/v1")
	server.Config.Handler = mux
	server.Start()
	t.Cleanup(server.Close)
	return e, at, arrived
}

// local is where a listener is, by the name to which browsers entrust what they keep for secure contexts.
func local(t *testing.T, l net.Listener) string {
	t.Helper()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return "http://localhost:" + port
}

// arrive waits until the browser is at the app, and returns what came with the user.
func (p *tab) arrive(arrivals <-chan url.Values) url.Values {
	p.Helper()
	select {
	case q := <-arrivals:
		p.waitFor("#welcome") // or to go on would end the way there
		return q
	case <-time.After(patience):
		p.shoot("failed to arrive")
		p.Fatal("the browser does not come to the app")
		return nil
	}
}

const confirmButton = `main button[type="submit"]`

// TK-09, ML-03: programs may open a link as they like; the user sees a page, whose policy does not stand in the way of the
// button, and comes to the app with what signs them in.
func TestALinkIsConfirmed(t *testing.T) {
	browser(t)
	const verifier, challenge = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM" // RFC 7636, appendix B
	for _, v := range viewports {
		for _, c := range []struct {
			name      string
			scheme    string
			options   httpadapter.Options
			challenge string
			press     func(p *tab)
			brings    string // the parameter that signs in; with cookies there is none
		}{
			{"a session in the light", "light", httpadapter.Options{}, "", func(p *tab) { p.press(confirmButton) }, "refreshToken"},
			{"a code in the dark", "dark", httpadapter.Options{}, challenge, func(p *tab) {
				p.do("press by the keyboard", chromedp.KeyEvent(kb.Tab))
				p.waitUntil("the button has the focus", `document.activeElement.matches('button')`)
				p.see("a button with the focus")
				p.do("press by the keyboard", chromedp.KeyEvent(kb.Enter))
			}, "code"},
			{"cookies", "light", httpadapter.Options{Cookies: &httpadapter.CookieOptions{}}, "", func(p *tab) { p.press(confirmButton) }, ""},
		} {
			t.Run(v.name+", "+c.name, func(t *testing.T) {
				e, at, arrivals := confirming(t, c.options)
				if err := e.SendMagicLink(t.Context(), auth.SendMagicLinkParams{Email: email, CodeChallenge: c.challenge}); err != nil {
					t.Fatal(err)
				}
				link := e.Mailbox.Last(t, email).Link()
				for range 2 { // a scanner
					answer, err := http.Get(link)
					if err != nil {
						t.Fatal(err)
					}
					_ = answer.Body.Close()
				}
				p := open(t, v, "about:blank")
				command(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
					Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: c.scheme}},
				})
				p.do("open the link", chromedp.Navigate(link))
				p.waitFor(confirmButton)
				p.see("a link to be confirmed in the " + c.scheme)
				p.isReadable(c.scheme)
				c.press(p)
				q := p.arrive(arrivals)
				if q.Get("type") != "passwordlessEmail" || q.Has("error") {
					t.Errorf("the app is told %q", q)
				}
				for _, name := range []string{"refreshToken", "code"} {
					if q.Has(name) != (name == c.brings) {
						t.Errorf("the app is told %q, want a %s", q, c.brings)
					}
				}
				var err error
				switch c.brings {
				case "refreshToken":
					_, err = e.Refresh(t.Context(), auth.RefreshParams{RefreshToken: q.Get("refreshToken")})
				case "code":
					_, err = e.ExchangeCode(t.Context(), auth.ExchangeCodeParams{Code: q.Get("code"), CodeVerifier: verifier})
				default:
					p.expectRefusal(http.StatusNotFound) // the browser looks for an icon of what is no page
					p.do("open what is the user's", chromedp.Navigate(at+"/user"))
					if got := p.text("body"); !strings.Contains(got, `"email":"`+email+`"`) {
						t.Errorf("the user is %s", got)
					}
				}
				if err != nil {
					t.Error(err)
				}

				// It is good once.
				p.do("open the link again", chromedp.Navigate(link))
				p.press(confirmButton)
				if q := p.arrive(arrivals); q.Get("error") != string(auth.CodeInvalidTicket) || q.Has("refreshToken") || q.Has("code") {
					t.Errorf("the app is told %q", q)
				}
			})
		}
	}
}

// isReadable checks that the page is drawn as the user prefers it, and that all text has the contrast that WCAG 2.2 §1.4.3
// asks for.
func (p *tab) isReadable(scheme string) {
	p.Helper()
	got := get(p, "measure the colours", chromedp.Evaluate[struct {
		Dark     bool
		Contrast map[string]float64
	}](`(() => {
		const channels = (colour) => colour.match(/[0-9.]+/g).map(Number);
		const luminance = (colour) => {
			const [r, g, b] = channels(colour).map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
			return 0.2126 * r + 0.7152 * g + 0.0722 * b;
		};
		const background = (e) => {
			if (!e) return 'rgb(255, 255, 255)';
			const colour = getComputedStyle(e).backgroundColor;
			return channels(colour)[3] === 0 ? background(e.parentElement) : colour;
		};
		const contrast = (e) => {
			const [a, b] = [luminance(getComputedStyle(e).color), luminance(background(e))];
			return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		};
		return {
			Dark: luminance(background(document.body)) < 0.5,
			Contrast: Object.fromEntries(['h1', 'p', 'button'].map((name) => [name, contrast(document.querySelector(name))])),
		};
	})()`))
	if got.Dark != (scheme == "dark") {
		p.Errorf("the page is dark: %t, and the user prefers %s", got.Dark, scheme)
	}
	for name, contrast := range got.Contrast {
		if contrast < 4.5 {
			p.Errorf("the contrast of %s is %.1f, want 4.5", name, contrast)
		}
	}
}
