package fakeidp

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
)

// style is the style sheet of the pages, and the only thing that their policy lets a browser use.
const style = `:root{color-scheme:light dark}
body{margin:0;min-height:100vh;display:grid;place-items:center;font:16px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;background:light-dark(#f4f4f5,#18181b);color:light-dark(#18181b,#f4f4f5)}
main{box-sizing:border-box;width:min(26rem,100% - 2rem);margin:1rem 0;padding:2rem;border-radius:12px;background:light-dark(#fff,#27272a);overflow-wrap:anywhere}
h1{margin:0 0 .5rem;font-size:1.25rem}
p{margin:0 0 1.5rem}
button{box-sizing:border-box;width:100%;margin:0 0 .75rem;padding:.75rem 1rem;font:inherit;text-align:start;border:1px solid light-dark(#71717a,#a1a1aa);border-radius:8px;background:none;color:inherit;cursor:pointer}
button:focus-visible{outline:3px solid #2563eb;outline-offset:2px}
button span{display:block;font-size:.875rem}
.cancel{margin:0;border-color:transparent;text-align:center}`

// pages are what people see. No form says where it goes: back to the URL of its page, with the query.
var pages = template.Must(template.New("pages").Parse(`
{{define "head"}}<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.}}</title>
<style>` + style + `</style>
</head>
<body>
<main>
<h1>{{.}}</h1>
{{end}}

{{define "accounts"}}{{template "head" "Choose an account"}}<p>Development provider: anybody may use any account. The application is {{.ClientID}}.</p>
<form method="post">
{{range .Accounts}}<button name="account" value="{{.Subject}}">{{or .Name .Email .Subject}}{{if .Email}}<span>{{.Email}}{{if not .EmailVerified}} (not verified){{end}}</span>{{end}}</button>
{{else}}<p>There are no accounts.</p>
{{end}}<button class="cancel" name="cancel" value="1">Cancel</button>
</form>
{{template "foot"}}{{end}}

{{define "form"}}{{template "head" "Almost done"}}<p>Press the button to return to the application.</p>
<form method="post" action="{{.Action}}">
{{range $name, $values := .Values}}{{range $values}}<input type="hidden" name="{{$name}}" value="{{.}}">
{{end}}{{end}}<button>Continue</button>
</form>
{{template "foot"}}{{end}}

{{define "error"}}{{template "head" "This does not work"}}<p>{{.}}</p>
{{template "foot"}}{{end}}

{{define "foot"}}</main>
</body>
</html>
{{end}}`))

// policy lets a page be shown, and nothing else. It does not say where forms may go: browsers hold the policy against all of
// the way, and it leads to the application.
var policy = func() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; frame-ancestors 'none'"
}()

// showAccounts asks a person for an account.
func (p *Provider) showAccounts(w http.ResponseWriter, clientID string, accounts []Account) {
	showPage(w, http.StatusOK, "accounts", struct {
		ClientID string
		Accounts []Account
	}{clientID, accounts})
}

// showForm sends the browser back by a POST (OAuth 2.0 Form Post Response Mode). Real providers have a script press the button.
func (p *Provider) showForm(w http.ResponseWriter, action string, values url.Values) {
	showPage(w, http.StatusOK, "form", struct {
		Action template.URL // which the client has registered
		Values url.Values
	}{template.URL(action), values})
}

// showError tells a person what cannot be told the application.
func (p *Provider) showError(w http.ResponseWriter, text string) {
	showPage(w, http.StatusBadRequest, "error", text)
}

func showPage(w http.ResponseWriter, status int, name string, data any) {
	var page bytes.Buffer
	if err := pages.ExecuteTemplate(&page, name, data); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "strict-origin") // with no-referrer browsers say that the form comes from nowhere
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(page.Bytes())
}
