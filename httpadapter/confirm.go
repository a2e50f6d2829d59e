package httpadapter

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"

	"golang.org/x/text/language"

	"github.com/ostiary/auth"
)

// confirmStyle is the style sheet of the page, and the only thing that its policy lets a browser use.
const confirmStyle = `:root{color-scheme:light dark}
body{margin:0;min-height:100vh;display:grid;place-items:center;font:16px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;background:light-dark(#f4f4f5,#18181b);color:light-dark(#18181b,#f4f4f5)}
main{box-sizing:border-box;width:min(26rem,100% - 2rem);padding:2rem;border-radius:12px;background:light-dark(#fff,#27272a);text-align:center}
h1{margin:0 0 .5rem;font-size:1.25rem}
p{margin:0 0 1.5rem}
button{font:inherit;font-weight:600;padding:.75rem 1.5rem;border:0;border-radius:8px;background:light-dark(#18181b,#f4f4f5);color:light-dark(#fff,#18181b);cursor:pointer}
button:focus-visible{outline:3px solid #2563eb;outline-offset:2px}`

// confirmPage asks whoever has opened a link to go on. Its form posts to the path of the page, wherever that is mounted.
var confirmPage = template.Must(template.New("confirm").Parse(`<!DOCTYPE html>
<html lang="{{.Lang}}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title>
<style>` + confirmStyle + `</style>
</head>
<body>
<main>
<h1>{{.Title}}</h1>
<p>{{.Text}}</p>
<form method="post" action="?">
<input type="hidden" name="ticket" value="{{.Ticket}}">
<input type="hidden" name="redirectTo" value="{{.RedirectTo}}">
{{with .CodeChallenge}}<input type="hidden" name="codeChallenge" value="{{.}}">
{{end}}<button type="submit">{{.Button}}</button>
</form>
</main>
</body>
</html>
`))

// confirmPolicy lets the page be shown, and nothing else. It does not say where the form may go: what redirectTo names may
// itself redirect, and browsers hold the policy against all of the way.
var confirmPolicy = func() string {
	sum := sha256.Sum256([]byte(confirmStyle))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; frame-ancestors 'none'"
}()

// confirmTexts are what the page says, in the languages of the built-in letters.
type confirmTexts struct{ Lang, Title, Text, Button string }

var (
	confirmLanguages = []confirmTexts{
		{"en", "Almost done", "Press the button to go on. The link works once.", "Continue"},
		{"bg", "Почти готово", "Натиснете бутона, за да продължите. Връзката работи само веднъж.", "Продължете"},
		{"cs", "Už jen krok", "Pokračujte stisknutím tlačítka. Odkaz funguje jen jednou.", "Pokračovat"},
		{"es", "Casi listo", "Pulse el botón para continuar. El enlace funciona una sola vez.", "Continuar"},
		{"fr", "Plus qu’une étape", "Appuyez sur le bouton pour continuer. Le lien ne fonctionne qu’une fois.", "Continuer"},
	}
	confirmMatcher = func() language.Matcher {
		tags := make([]language.Tag, len(confirmLanguages))
		for i, l := range confirmLanguages {
			tags[i] = language.MustParse(l.Lang)
		}
		return language.NewMatcher(tags)
	}()
)

// confirmTicket answers a link with a page whose button follows it. It does not say whether the ticket is good, and does
// not ask.
func (h *Handler) confirmTicket(w http.ResponseWriter, r *http.Request, p auth.VerifyTicketParams) error {
	if _, err := h.engine.RedirectTo(p.RedirectTo); err != nil {
		return h.redirectFailure(w, http.StatusFound, p.RedirectTo, err)
	}
	_, best := language.MatchStrings(confirmMatcher, r.Header.Get("Accept-Language"))
	var page bytes.Buffer
	err := confirmPage.Execute(&page, struct {
		confirmTexts
		auth.VerifyTicketParams
	}{confirmLanguages[best], p})
	if err != nil {
		return fmt.Errorf("confirmation page: %w", err)
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", confirmPolicy)
	header.Set("Referrer-Policy", "same-origin") // without one, older browsers would not say that the form is the page's
	header.Set("Content-Language", confirmLanguages[best].Lang)
	header.Add("Vary", "Accept-Language")
	_, _ = w.Write(page.Bytes())
	return nil
}
