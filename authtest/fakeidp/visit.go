package fakeidp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// Callback is the request with which a browser comes back from a [Provider].
type Callback struct {
	Method string     // GET, or POST for form_post
	URL    string     // the redirect URI, for GET with the parameters as its query
	Form   url.Values // the parameters of POST
	origin string
}

// Values returns the parameters of the callback, wherever they stand.
func (c Callback) Values() url.Values {
	if c.Method == http.MethodPost {
		return c.Form
	}
	u, err := url.Parse(c.URL)
	if err != nil { // not one that the provider makes
		return nil
	}
	return u.Query()
}

// Request returns the callback as a browser sends it: for POST with a form, and as coming from another site. The browser's
// cookies are to be added, unless it is a POST and they have SameSite=Lax. It may be sent, or given to a handler. Its only error
// is a URL that cannot be parsed.
func (c Callback) Request(ctx context.Context) (*http.Request, error) {
	var body io.Reader
	if c.Method == http.MethodPost {
		body = strings.NewReader(c.Form.Encode())
	}
	r, err := http.NewRequestWithContext(ctx, c.Method, c.URL, body)
	if err != nil {
		return nil, fmt.Errorf("callback: %w", err)
	}
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	if c.Method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", c.origin)
	}
	return r, nil
}

// Visit does what a person with a browser does at the provider: it goes to where the application has sent them, chooses the
// account, if asked, and returns the request with which the browser goes back. It does not send that. Where the provider does not
// send the browser back the test fails at once, with what the page says.
func (p *Provider) Visit(t testing.TB, authorizationURL string, account Account) Callback {
	t.Helper()
	callback, err := p.visit(t.Context(), authorizationURL, url.Values{"account": {account.Subject}})
	if err != nil {
		t.Fatalf("fakeidp: visit %s: %v", p.url, err)
	}
	return callback
}

// Cancel is [Provider.Visit] by a person who does not choose an account.
func (p *Provider) Cancel(t testing.TB, authorizationURL string) Callback {
	t.Helper()
	callback, err := p.visit(t.Context(), authorizationURL, url.Values{"cancel": {"1"}})
	if err != nil {
		t.Fatalf("fakeidp: visit %s: %v", p.url, err)
	}
	return callback
}

func (p *Provider) visit(ctx context.Context, authorizationURL string, press url.Values) (Callback, error) {
	u, err := url.Parse(authorizationURL)
	if err != nil {
		return Callback{}, err
	}
	issuer, err := url.Parse(p.Issuer())
	if err != nil {
		return Callback{}, err
	}
	p.mu.Lock()
	ours := u.Host == p.host || u.Host == issuer.Host || p.hosts[u.Host]
	p.mu.Unlock()
	if !ours {
		return Callback{}, fmt.Errorf("%s is another provider", u.Host)
	}
	c := Callback{origin: u.Scheme + "://" + u.Host}
	u.Scheme, u.Host = "http", p.host

	answer, page, err := browse(ctx, http.MethodGet, u.String(), nil)
	if err == nil && answer.StatusCode == http.StatusOK && actionOf(page) == "" {
		answer, page, err = browse(ctx, http.MethodPost, u.String(), press)
	}
	if err != nil {
		return Callback{}, err
	}
	switch action := actionOf(page); {
	case answer.StatusCode == http.StatusSeeOther:
		c.Method, c.URL = http.MethodGet, answer.Header.Get("Location")
	case answer.StatusCode == http.StatusOK && action != "":
		c.Method, c.URL, c.Form = http.MethodPost, action, hiddenValues(page)
	default:
		return Callback{}, fmt.Errorf("%s: %s", answer.Status, textOf(page))
	}
	return c, nil
}

// browse makes one request of a browser and returns the answer, of which the body is read, as a page.
func browse(ctx context.Context, method, to string, form url.Values) (*http.Response, *html.Node, error) {
	r, err := http.NewRequestWithContext(ctx, method, to, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, nil, err
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	stay := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := stay.Do(r)
	if err != nil {
		return nil, nil, err
	}
	body, err := io.ReadAll(answer.Body)
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return nil, nil, err
	}
	page, err := html.Parse(bytes.NewReader(body))
	return answer, page, err
}

// actionOf returns where the form of a page goes, or the empty string where that is the page.
func actionOf(page *html.Node) string {
	for n := range page.Descendants() {
		if n.Type == html.ElementNode && n.Data == "form" {
			return attribute(n, "action")
		}
	}
	return ""
}

// hiddenValues returns what the form of a page sends.
func hiddenValues(page *html.Node) url.Values {
	values := url.Values{}
	for n := range page.Descendants() {
		if n.Type == html.ElementNode && n.Data == "input" {
			values.Add(attribute(n, "name"), attribute(n, "value"))
		}
	}
	return values
}

// textOf returns what a page says, in one line.
func textOf(page *html.Node) string {
	var words []string
	for n := range page.Descendants() {
		if n.Type == html.TextNode && n.Parent.Data != "style" && n.Parent.Data != "title" {
			words = append(words, strings.Fields(n.Data)...)
		}
	}
	return strings.Join(words, " ")
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
