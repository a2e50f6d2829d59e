// Command lettergen writes the built-in templates: every letter in every language, from one list of texts for each
// language and one frame for all. Run it with go generate in the folder of package mail.
//
// A list begins with how a reader is greeted. A letter begins with == and its name; the next line is its subject. Of its
// paragraphs, [label](${variable}) is a button, # sets off a code, and > is in small print. A name that ends in -sms is a
// text message, which has no subject.
package main

import (
	"embed"
	"fmt"
	"html"
	"io/fs"
	"log"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

//go:embed letters
var lists embed.FS

//go:embed frame.html
var frame string

func main() {
	files, err := generate()
	if err != nil {
		log.Fatal(err)
	}
	const dir = "templates"
	if err := os.RemoveAll(dir); err != nil {
		log.Fatal(err)
	}
	for name, text := range files {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			log.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			log.Fatal(err)
		}
	}
}

// generate returns the files of all templates by their paths.
func generate() (map[string]string, error) {
	all, err := fs.Glob(lists, "letters/*.txt")
	if err != nil {
		return nil, err
	}
	files := make(map[string]string)
	for _, list := range all {
		text, err := fs.ReadFile(lists, list)
		if err != nil {
			return nil, err
		}
		locale := strings.TrimSuffix(path.Base(list), ".txt")
		greeting, letters, _ := strings.Cut(string(text), "\n== ")
		for l := range strings.SplitSeq(letters, "\n== ") {
			name, body, _ := strings.Cut(l, "\n")
			at := path.Join(locale, name) + "/"
			if strings.HasSuffix(name, "-sms") {
				files[at+"body.txt"] = textMessage(body)
				continue
			}
			subject, body, _ := strings.Cut(body, "\n")
			paragraphs := append([]string{strings.TrimSpace(greeting)}, strings.Split(strings.TrimSpace(body), "\n\n")...)
			if subject == "" || len(paragraphs) < 3 {
				return nil, fmt.Errorf("%s: %s is no letter", list, name)
			}
			files[at+"subject.txt"] = subject + "\n"
			files[at+"body.txt"] = plain(paragraphs)
			files[at+"body.html"] = page(locale, subject, paragraphs)
		}
	}
	return files, nil
}

// textMessage ends in the line by which a browser tells the one site that may have the code
// (https://wicg.github.io/sms-one-time-codes/).
func textMessage(text string) string {
	return strings.TrimSpace(text) + "\n\n@${clientHost} #${code}\n"
}

var button = regexp.MustCompile(`^\[(.+)\]\((.+)\)$`)

// plain is a letter as plain text.
func plain(paragraphs []string) string {
	var b strings.Builder
	for _, p := range paragraphs {
		if m := button.FindStringSubmatch(p); m != nil {
			p = m[1] + "\n" + m[2]
		}
		b.WriteString(strings.TrimPrefix(strings.TrimPrefix(p, "# "), "> ") + "\n\n")
	}
	b.WriteString("${clientHost}\n")
	return b.String()
}

// page is a letter as HTML. Its style is in the elements, for many mail programs drop every other; what is in the head is
// only for the dark. An address that is too long for its line is broken, and a button is a cell, which Outlook needs.
func page(locale, subject string, paragraphs []string) string {
	var b strings.Builder
	for _, p := range paragraphs {
		class, style, text := "text", "margin:0 0 16px;font-size:16px;line-height:1.5", html.EscapeString(p)
		switch m := button.FindStringSubmatch(p); {
		case m != nil:
			fmt.Fprintf(&b, `<table role="presentation" cellpadding="0" cellspacing="0" border="0" style="margin:24px 0"><tr>`+
				`<td class="button" bgcolor="#18181b" style="border-radius:8px;background:#18181b">`+
				`<a class="button" href="%s" style="display:inline-block;padding:12px 20px;border-radius:8px;background:#18181b;color:#ffffff;`+
				`font-size:16px;font-weight:600;line-height:1.25;text-decoration:none">%s</a></td></tr></table>`+"\n",
				m[2], html.EscapeString(m[1]))
			continue
		case strings.HasPrefix(p, "# "):
			class, style = "text", "margin:24px 0;font-family:ui-monospace,Menlo,Consolas,monospace;font-size:32px;font-weight:600;letter-spacing:4px;line-height:1.25"
			text = html.EscapeString(p[2:])
		case strings.HasPrefix(p, "> "):
			class, style = "small", "margin:24px 0 0;font-size:14px;line-height:1.5;color:#52525b"
			text = html.EscapeString(p[2:])
		}
		fmt.Fprintf(&b, `<p class="%s" style="%s">%s</p>`+"\n", class, style, text)
	}
	return strings.NewReplacer("@LOCALE@", locale, "@TITLE@", html.EscapeString(subject), "@BODY@", strings.TrimSpace(b.String())).Replace(frame)
}
