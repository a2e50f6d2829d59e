package letter_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/ostiary/auth/internal/letter"
	"github.com/ostiary/auth/mail"
)

// tree makes a tree of files.
func tree(files map[string]string) fstest.MapFS {
	t := fstest.MapFS{}
	for name, text := range files {
		t[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return t
}

// builtIn has two letters and a text message in English and one letter in Portuguese.
func builtIn(t testing.TB) *letter.Set {
	t.Helper()
	s, err := letter.Parse(tree(map[string]string{
		"en/welcome/subject.txt": "Welcome\n", "en/welcome/body.txt": "Hello ${email}", "en/welcome/body.html": "<p>Hello ${email}",
		"en/goodbye/subject.txt": "Goodbye", "en/goodbye/body.txt": "Goodbye ${email}", "en/goodbye/body.html": "<p>Goodbye ${email}",
		"en/code-sms/body.txt":   "${code} is your code\n\n@${clientHost} #${code}\n",
		"pt/welcome/subject.txt": "Bem-vindo", "pt/welcome/body.txt": "Olá ${email}", "pt/welcome/body.html": "<p>Olá ${email}",
	}))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// page returns a set whose letter "page" has the given HTML.
func page(html string) (*letter.Set, error) {
	return letter.Parse(tree(map[string]string{"en/page/subject.txt": "s", "en/page/body.txt": "t", "en/page/body.html": html}))
}

// RD-38: a letter that there is not in a language is the same letter in another.
func TestALetterFallsBackToItselfInAnotherLanguage(t *testing.T) {
	t.Parallel()
	own := tree(map[string]string{
		"de/welcome/subject.txt": "Willkommen", "de/welcome/body.txt": "Hallo ${email}", "de/welcome/body.html": "<p>Hallo ${email}",
		"pt-BR/goodbye/subject.txt": "Tchau", "pt-BR/goodbye/body.txt": "Tchau ${email}", "pt-BR/goodbye/body.html": "<p>Tchau ${email}",
		"EN/goodbye/body.txt": "Farewell ${email}",
	})
	s, err := builtIn(t).With("DE", own)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []struct{ why, name, locale, subject, text string }{
		{"there is one", "welcome", "pt", "Bem-vindo", "Olá ada"},
		{"in capitals", "welcome", "PT", "Bem-vindo", "Olá ada"},
		{"of a region", "goodbye", "pt-br", "Tchau", "Tchau ada"},
		{"with an underscore", "goodbye", "pt_BR", "Tchau", "Tchau ada"},
		{"of a region that has none", "welcome", "pt-BR", "Bem-vindo", "Olá ada"},
		{"of a script and a region", "welcome", "pt-Latn-BR", "Bem-vindo", "Olá ada"},
		{"the default", "welcome", "xx", "Willkommen", "Hallo ada"},
		{"English, for the default has none", "goodbye", "pt", "Goodbye", "Farewell ada"},
		{"own text under a built-in subject", "goodbye", "en", "Goodbye", "Farewell ada"},
		{"no locale", "welcome", "", "Willkommen", "Hallo ada"},
		{"a path", "welcome", "../en", "Willkommen", "Hallo ada"},
		{"a path from one", "welcome", "pt/../en", "Willkommen", "Hallo ada"},
		{"a hyphen", "welcome", "-", "Willkommen", "Hallo ada"},
		{"an end", "welcome", "\x00", "Willkommen", "Hallo ada"},
	} {
		t.Run(w.why, func(t *testing.T) {
			t.Parallel()
			m, err := s.Mail(w.name, w.locale, map[string]string{"email": "ada"})
			if err != nil || m.Subject != w.subject || m.Text != w.text || m.Template != w.name || m.Locale != w.locale || m.Variables["email"] != "ada" {
				t.Errorf("%+v, %v", m, err)
			}
		})
	}
	for _, name := range []string{"", "none", "..", "../en/welcome", "welcome/..", "code-sms"} {
		if m, err := s.Mail(name, "en", nil); err == nil {
			t.Errorf("letter %q: %q", name, m.Subject)
		}
	}
	if text, err := s.Text("code-sms", "fr", map[string]string{"code": "123456", "clientHost": "app.test"}); err != nil || text != "123456 is your code\n\n@app.test #123456" {
		t.Errorf("text message %q, %v", text, err)
	}
	if text, err := s.Text("none", "en", nil); err == nil {
		t.Errorf("a text message that there is not: %q", text)
	}
	if text, err := s.Text("welcome", "en", nil); err == nil {
		t.Errorf("a letter as a text message: %q", text)
	}
}

func TestWithoutATreeTheDefaultLocaleChooses(t *testing.T) {
	t.Parallel()
	for locale, want := range map[string]string{"pt": "Bem-vindo", "PT_br": "Bem-vindo", "en": "Welcome", "de": "Welcome"} {
		s, err := builtIn(t).With(locale, nil)
		if err != nil {
			t.Fatal(err)
		}
		if m, err := s.Mail("welcome", "xx", nil); err != nil || m.Subject != want {
			t.Errorf("%s: %q, %v", locale, m.Subject, err)
		}
	}
	if m, err := builtIn(t).Mail("welcome", "xx", nil); err != nil || m.Subject != "Welcome" {
		t.Errorf("%q, %v", m.Subject, err)
	}
}

func TestFilesAreTakenUpToTheirLimits(t *testing.T) {
	t.Parallel()
	subject, body := strings.Repeat("ä", 200), strings.Repeat("x", 256<<10)
	s, err := builtIn(t).With("en", tree(map[string]string{"en/welcome/subject.txt": subject, "en/welcome/body.txt": body}))
	if err != nil {
		t.Fatal(err)
	}
	if m, err := s.Mail("welcome", "en", nil); err != nil || m.Subject != subject || m.Text != body {
		t.Errorf("%d and %d bytes, %v", len(m.Subject), len(m.Text), err)
	}
}

// A file that cannot be read is a mistake like others, and is not left open.
func TestWhatCannotBeReadIsAMistake(t *testing.T) {
	t.Parallel()
	broken := errors.New("the disk is broken")
	for want, own := range map[string]*disk{
		"en/welcome/body.txt: the disk is broken": {open: map[string]error{"en/welcome/body.txt": &fs.PathError{Op: "open", Path: "en/welcome/body.txt", Err: broken}}},
		"en/welcome/body.txt: it breaks":          {read: map[string]error{"en/welcome/body.txt": errors.New("it breaks")}},
		"en/welcome/body.txt: it went":            {stat: map[string]error{"en/welcome/body.txt": errors.New("it went")}},
		"en/welcome: it went":                     {stat: map[string]error{"en/welcome": errors.New("it went")}},
		"en: it went":                             {stat: map[string]error{"en": errors.New("it went")}},
		"":                                        {},
	} {
		own.MapFS = tree(map[string]string{"en/welcome/body.txt": "s", "pt/welcome/body.txt": "s"})
		_, err := builtIn(t).With("en", own)
		if err == nil && want != "" || err != nil && err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		if own.opened != 0 {
			t.Errorf("%s: %d files are open", want, own.opened)
		}
	}
}

// disk is a tree in which something is broken.
type disk struct {
	fstest.MapFS
	stat, open, read map[string]error
	opened           int
}

func (d *disk) Stat(name string) (fs.FileInfo, error) {
	if err := d.stat[name]; err != nil {
		return nil, err
	}
	return d.MapFS.Stat(name)
}

func (d *disk) Open(name string) (fs.File, error) {
	if err := d.open[name]; err != nil {
		return nil, err
	}
	f, err := d.MapFS.Open(name)
	if err == nil {
		d.opened++
	}
	return &diskFile{f, d, d.read[name]}, err
}

type diskFile struct {
	fs.File
	disk *disk
	read error
}

func (f *diskFile) Read(p []byte) (int, error) {
	if f.read != nil {
		return 0, f.read
	}
	return f.File.Read(p)
}

func (f *diskFile) Close() error {
	f.disk.opened--
	return f.File.Close()
}

// What one service writes is not seen by another of the same process.
func TestOwnLettersDoNotChangeTheBuiltInOnes(t *testing.T) {
	t.Parallel()
	before := builtIn(t)
	if _, err := before.With("en", tree(map[string]string{"en/welcome/subject.txt": "Own", "pt/goodbye/subject.txt": "A", "pt/goodbye/body.txt": "B", "pt/goodbye/body.html": "C"})); err != nil {
		t.Fatal(err)
	}
	for name, subject := range map[string]string{"welcome": "Bem-vindo", "goodbye": "Goodbye"} {
		if m, err := before.Mail(name, "pt", nil); err != nil || m.Subject != subject {
			t.Errorf("%s: %q, %v", name, m.Subject, err)
		}
	}
	if m, err := before.Mail("welcome", "en", nil); err != nil || m.Subject != "Welcome" {
		t.Errorf("%q, %v", m.Subject, err)
	}
}

func TestEveryMistakeInATreeIsReportedWithItsFile(t *testing.T) {
	t.Parallel()
	for name, w := range map[string]struct {
		files map[string]string
		want  []string // each of the lines
	}{
		"a locale without a text":   {map[string]string{"de/welcome/subject.txt": "s", "de/welcome/body.html": "h"}, []string{"de/welcome/body.txt: is missing"}},
		"a locale with a text only": {map[string]string{"de/welcome/body.txt": "s"}, []string{"de/welcome/body.html: is missing", "de/welcome/subject.txt: is missing"}},
		"a file that is missing and others": {map[string]string{"de/welcome/body.txt": "${email", "de/welcome/body.html": "<a href='>"}, []string{
			"de/welcome/subject.txt: is missing", "de/welcome/body.txt: has a ${ without a }", "de/welcome/body.html: ends in a non-text context",
		}},
		"an unknown file in a new locale":    {map[string]string{"de/welcome/body.htm": "s", "en/goodbye/body.txt": "s"}, []string{"de/welcome/body.htm: is none of subject.txt, body.txt and body.html", "de/welcome: has no file of a letter"}},
		"unknown letters":                    {map[string]string{"en/welcom/body.txt": "s", "pt/adieu/body.txt": "s"}, []string{"en/welcom: there is no letter of this name", "pt/adieu: there is no letter of this name", "the letters are called code-sms, goodbye, welcome"}},
		"an unknown file":                    {map[string]string{"en/welcome/body.htm": "s", "en/goodbye/body.txt": "s"}, []string{"en/welcome/body.htm: is none of subject.txt, body.txt and body.html", "en/welcome: has no file of a letter"}},
		"a file in the place of a locale":    {map[string]string{"body.html": "s", "en/welcome/body.txt": "s"}, []string{"body.html: is not the folder of a locale"}},
		"a file in the place of a letter":    {map[string]string{"en/body.html": "s", "en/welcome/body.txt": "s"}, []string{"en/body.html: is not the folder of a letter"}},
		"a locale that is none":              {map[string]string{"templates/welcome/body.txt": "s", "en/welcome/body.txt": "s"}, []string{"templates: is not the name of a locale such as en or pt-BR"}},
		"a locale in two spellings":          {map[string]string{"pt-BR/welcome/body.txt": "s", "pt-br/welcome/body.txt": "s", "en/welcome/body.txt": "s"}, []string{"pt-br: is the same locale as pt-BR", "pt-BR/welcome/body.html: is missing", "pt-BR/welcome/subject.txt: is missing"}},
		"a text message with a subject":      {map[string]string{"en/code-sms/subject.txt": "s"}, []string{"en/code-sms/subject.txt: a text message has no such file, but only body.txt"}},
		"nothing":                            {nil, []string{"there is no letter in it: is it the right folder? It must hold one for each locale, such as en, and these one for each letter, such as code-sms"}},
		"a root that is too high":            {map[string]string{"mail/en/welcome": "x", "other/x": ""}, []string{"other/x: is not the folder of a letter", "mail/en/welcome: is none of subject.txt, body.txt and body.html", "mail/en: has no file of a letter", "there is no letter in it"}},
		"a file that is too large":           {map[string]string{"en/welcome/body.html": strings.Repeat("x", 256<<10+1)}, []string{"en/welcome/body.html: is larger than 256 KiB"}},
		"a large file in a new locale":       {map[string]string{"de/code-sms/body.txt": strings.Repeat("x", 256<<10+1)}, []string{"de/code-sms/body.txt: is larger than 256 KiB"}},
		"a file in another encoding":         {map[string]string{"en/welcome/body.txt": "Gr\xfc\xdfe"}, []string{"en/welcome/body.txt: is not UTF-8"}},
		"an empty file":                      {map[string]string{"en/welcome/body.txt": " \n"}, []string{"en/welcome/body.txt: is empty"}},
		"a control character":                {map[string]string{"en/welcome/body.html": "a\x01{index . 0}\x01b"}, []string{"en/welcome/body.html: has a control character"}},
		"a subject of two lines":             {map[string]string{"en/welcome/subject.txt": "a\nBcc: b"}, []string{"en/welcome/subject.txt: is more than a line of text"}},
		"a subject of two lines, by Unicode": {map[string]string{"en/welcome/subject.txt": "a\u2028b"}, []string{"en/welcome/subject.txt: is more than a line of text"}},
		"a subject without an end":           {map[string]string{"en/welcome/subject.txt": strings.Repeat("ä", 201)}, []string{"en/welcome/subject.txt: is too long for a subject"}},
		"variables that are not closed": {map[string]string{"en/welcome/subject.txt": "${email", "en/welcome/body.txt": "${email", "en/welcome/body.html": "${email"}, []string{
			"en/welcome/subject.txt: has a ${ without a }", "en/welcome/body.txt: has a ${ without a }", "en/welcome/body.html: has a ${ without a }",
		}},
		"markup that has no context":                          {map[string]string{"en/welcome/body.html": "<p>\n<a href='${link}>x</a>"}, []string{"en/welcome/body.html: ends in a non-text context"}},
		"markup that has no context, around a value":          {map[string]string{"en/welcome/body.html": "<a href='x?${email}>x</a>"}, []string{"en/welcome/body.html: ends in a non-text context"}},
		"a value in the name of an element":                   {map[string]string{"en/welcome/body.html": "<p>\n<${email}>"}, []string{"en/welcome/body.html: has a < that begins no tag"}},
		"a value in the name of an attribute":                 {map[string]string{"en/welcome/body.html": "<p ${email}=1>"}, []string{"en/welcome/body.html: has ${email} where no value is safe"}},
		"a URL in the name of an attribute":                   {map[string]string{"en/welcome/body.html": "<p ${link}>"}, []string{"en/welcome/body.html: has ${link} where no value is safe"}},
		"a URL as a color":                                    {map[string]string{"en/welcome/body.html": "<p style='color:${link}'>"}, []string{"en/welcome/body.html: has ${link} where no value is safe"}},
		"a value before the end of a tag":                     {map[string]string{"en/welcome/body.html": "<!--[if mso]><p title=${email}${link}><![endif]-->"}, []string{"en/welcome/body.html: has ${link} right before a > in a conditional comment"}},
		"a value before an arrow":                             {map[string]string{"en/welcome/body.html": "<!--[if mso]>-${email}-><![endif]-->"}, []string{"en/welcome/body.html: has ${email} right before a >"}},
		"another end of a comment":                            {map[string]string{"en/welcome/body.html": "<!--[if mso]>--!><![endif]-->"}, []string{"en/welcome/body.html: has a comment within a conditional comment"}},
		"a < that begins no tag":                              {map[string]string{"en/welcome/body.html": "1 < 2"}, []string{"en/welcome/body.html: has a < that begins no tag: write &lt;"}},
		"a conditional comment without an end":                {map[string]string{"en/welcome/body.html": "<!--[if mso]>x"}, []string{"en/welcome/body.html: has a conditional comment without an end"}},
		"an end without a conditional comment":                {map[string]string{"en/welcome/body.html": "x<![endif]-->"}, []string{"en/welcome/body.html: has <![endif]-->, which does not belong to what comes before it"}},
		"another end of a conditional comment":                {map[string]string{"en/welcome/body.html": "<!--[if mso]>x<!--<![endif]-->"}, []string{"en/welcome/body.html: has <!--<![endif]-->, which does not belong"}},
		"conditional comments within each other":              {map[string]string{"en/welcome/body.html": "<!--[if mso]>a<!--[if gte mso 9]>x<![endif]--><![endif]-->"}, []string{"en/welcome/body.html: has <!--[if gte mso 9]>, which does not belong"}},
		"the beginning of a comment within a conditional one": {map[string]string{"en/welcome/body.html": "<!--[if mso]>a<!-- b<![endif]-->"}, []string{"en/welcome/body.html: has a comment within a conditional comment"}},
		"the end of a comment within a conditional one":       {map[string]string{"en/welcome/body.html": "<!--[if mso]>a-->b<![endif]-->"}, []string{"en/welcome/body.html: has a comment within a conditional comment"}},
		"a comment within a conditional one":                  {map[string]string{"en/welcome/body.html": "<!--[if mso]>a<!-- b -->c<![endif]-->"}, []string{"en/welcome/body.html: has a comment within a conditional comment"}},
		"a conditional comment in a title":                    {map[string]string{"en/welcome/body.html": "<title><!--[if mso]>a<![endif]--></title>"}, []string{"en/welcome/body.html: has <!--[if mso]> where there can be no comment"}},
		"a conditional comment in an attribute":               {map[string]string{"en/welcome/body.html": "<p title='<!--[if mso]>a<![endif]-->'>"}, []string{"en/welcome/body.html: has <!--[if mso]> where there can be no comment"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := builtIn(t).With("en", tree(w.files))
			if err == nil {
				t.Fatal("no error")
			}
			got := strings.Split(err.Error(), "\n")
			for _, want := range w.want {
				if !contains(got, want) {
					t.Errorf("%q is missing in:\n%v", want, err)
				}
			}
			if name != "a root that is too high" && len(got) != len(w.want) {
				t.Errorf("%d mistakes:\n%v", len(got), err)
			}
		})
	}
	t.Run("a folder that is not there", func(t *testing.T) {
		t.Parallel()
		if _, err := builtIn(t).With("en", os.DirFS(filepath.Join(t.TempDir(), "none"))); err == nil || strings.ContainsAny(err.Error(), "\n:") || !errors.Is(err, fs.ErrNotExist) {
			t.Error(err) // whoever gave it knows its path
		}
	})
	t.Run("a built-in tree that is not complete", func(t *testing.T) {
		t.Parallel()
		_, err := letter.Parse(tree(map[string]string{"en/welcome/subject.txt": "s", "en/welcome/body.txt": "t", "fr/other/body.txt": "t"}))
		if err == nil || !strings.Contains(err.Error(), "en/welcome/body.html: is missing") || !strings.Contains(err.Error(), "fr/other: there is no letter") {
			t.Error(err)
		}
	})
}

func contains(lines []string, begins string) bool {
	for _, l := range lines {
		if strings.HasPrefix(l, begins) {
			return true
		}
	}
	return false
}

// What an orchestrator mounts are links, beside folders with names that begin with dots; what editors leave has such names,
// too, or a mark at its beginning.
func TestATreeOnDiskIsReadAsItIsMounted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{"..data/en/welcome/body.txt": "\ufeffMounted", "..data/en/welcome/.body.txt.swp": "\xff", ".git/config": ""} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join("..data", "en"), filepath.Join(dir, "en")); err != nil {
		t.Skip(err)
	}
	s, err := builtIn(t).With("en", os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	if m, err := s.Mail("welcome", "en", nil); err != nil || m.Text != "Mounted" {
		t.Errorf("%q, %v", m.Text, err)
	}
	if err := os.Mkdir(filepath.Join(dir, "..data", "en", "welcome", "body.html"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := builtIn(t).With("en", os.DirFS(dir)); err == nil || !strings.Contains(err.Error(), "en/welcome/body.html: is not a file") {
		t.Error(err)
	}
}

// RD-32, RD-35: a value is put in once, as what it is, and never becomes a second line.
func TestAValueIsAValue(t *testing.T) {
	t.Parallel()
	s, err := letter.Parse(tree(map[string]string{
		"en/a/subject.txt": "About ${v}, {{.}} %s $& $v", "en/a/body.txt": "a ${v} b${none} {{.}} %s $& $v }\nc", "en/a/body.html": "<p>${v}${none} {{.}} %s $& $v }",
	}))
	if err != nil {
		t.Fatal(err)
	}
	for name, w := range map[string]struct{ value, text, html string }{
		"a variable":      {"${ticket}", "${ticket}", "${ticket}"},
		"half of one":     {"${", "${", "${"},
		"a Go template":   {"{{.}}", "{{.}}", "{{.}}"},
		"own delimiters":  {"\x01{index . 0}\x01", " {index . 0} ", " {index . 0} "},
		"a format":        {"%s%n", "%s%n", "%s%n"},
		"a replacement":   {"$& $1", "$& $1", "$&amp; $1"},
		"markup":          {`"><script>alert('x')</script>`, `"><script>alert('x')</script>`, "&#34;&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"},
		"line ends":       {"a\r\nBcc: m@evil.test", "a  Bcc: m@evil.test", "a  Bcc: m@evil.test"},
		"a paragraph":     {"a\n\nPay here: b", "a  Pay here: b", "a  Pay here: b"},
		"other line ends": {"a\u2028b\u2029c\u0085d\ve\ff", "a b c d e f", "a b c d e f"},
		"controls":        {"a\x00b\x1bc\x7fd\te", "a b c d e", "a b c d e"},
		"turned text":     {"a\u202eb\u2066c\u200fd", "a b c d", "a b c d"},
		"broken text":     {"a\xffb", "a\ufffdb", "a\ufffdb"},
		"other letters":   {"žluťoučký 木", "žluťoučký 木", "žluťoučký 木"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, err := s.Mail("a", "en", map[string]string{"v": w.value, "ticket": "SECRET", "": "SECRET"})
			if err != nil {
				t.Fatal(err)
			}
			if want := "About " + w.text + ", {{.}} %s $& $v"; m.Subject != want {
				t.Errorf("subject %q, want %q", m.Subject, want)
			}
			if want := "a " + w.text + " b {{.}} %s $& $v }\nc"; m.Text != want {
				t.Errorf("text %q, want %q", m.Text, want)
			}
			if want := "<p>" + w.html + " {{.}} %s $& $v }"; m.HTML != want {
				t.Errorf("HTML %q, want %q", m.HTML, want)
			}
		})
	}
}

// RD-34, ML-12, RD-20: in HTML a value is escaped for the place where it stands.
func TestAValueInHTMLIsEscapedForItsPlace(t *testing.T) {
	t.Parallel()
	const evil = `a b"'<>&=;/*)x`
	values := map[string]string{
		"v": evil, "script": "javascript:alert(1)", "word": "plain",
		"link": `https://auth.test/v1/verify?a=1&b="2"`, "redirectTo": "myapp://home?x=1&y=2", "clientUrl": "myapp://home", "serverUrl": "https://auth.test/v1",
	}
	for name, w := range map[string]struct{ html, want string }{
		"text":                              {"<p>${v}", "<p>a b&#34;&#39;&lt;&gt;&amp;=;/*)x"},
		"a title":                           {"<title>${v}</title>", "<title>a b&#34;&#39;&lt;&gt;&amp;=;/*)x</title>"},
		"an attribute in double quotes":     {`<p title="${v}">`, `<p title="a b&#34;&#39;&lt;&gt;&amp;=;/*)x">`},
		"an attribute in single quotes":     {`<p title='${v}'>`, `<p title='a b&#34;&#39;&lt;&gt;&amp;=;/*)x'>`},
		"an attribute without quotes":       {`<p title=${v}>`, `<p title=a&#32;b&#34;&#39;&lt;&gt;&amp;&#61;;/*)x>`},
		"a URL":                             {`<a href="${link}">`, `<a href="https://auth.test/v1/verify?a=1&amp;b=%222%22">`},
		"a URL without quotes":              {`<a href=${link}>`, `<a href=https://auth.test/v1/verify?a&#61;1&amp;b&#61;%222%22>`},
		"a URL of an app":                   {`<a href="${redirectTo}">`, `<a href="myapp://home?x=1&amp;y=2">`},
		"a URL that goes on":                {`<a href="${clientUrl}/account?of=${v}">`, `<a href="myapp://home/account?of=a%20b%22%27%3c%3e%26%3d%3b%2f%2a%29x">`},
		"a URL in a query":                  {`<a href="https://x.test/?next=${redirectTo}&amp;a=b">`, `<a href="https://x.test/?next=myapp%3a%2f%2fhome%3fx%3d1%26y%3d2&amp;a=b">`},
		"a URL in the query of a URL":       {`<a href="${serverUrl}?next=${redirectTo}">`, `<a href="https://auth.test/v1?next=myapp%3a%2f%2fhome%3fx%3d1%26y%3d2">`},
		"a URL as text":                     {`<p>${link}`, `<p>https://auth.test/v1/verify?a=1&amp;b=&#34;2&#34;`},
		"a URL as the text of a link":       {`<a href="${link}">${link}</a>`, `<a href="https://auth.test/v1/verify?a=1&amp;b=%222%22">https://auth.test/v1/verify?a=1&amp;b=&#34;2&#34;</a>`},
		"an address":                        {`<a href="mailto:${v}">`, `<a href="mailto:a%20b%22%27%3c%3e&amp;=;/*%29x">`},
		"a value that is no URL":            {`<a href="${script}">`, `<a href="#ZgotmplZ">`},
		"a source":                          {`<img src="${clientUrl}/logo.png" alt="">`, `<img src="myapp://home/logo.png" alt="">`},
		"a property":                        {`<p style="color:${word}">`, `<p style="color:plain">`},
		"a property that says too much":     {`<p style="color:${v}">`, `<p style="color:ZgotmplZ">`},
		"a picture in a style":              {`<p style="background:url('${clientUrl}/x.png')">`, `<p style="background:url('myapp://home/x.png')">`},
		"a style":                           {`<style>p{color:${v}}</style>`, `<style>p{color:ZgotmplZ}</style>`},
		"a script":                          {`<script>f(${v})</script>`, `<script>f("a b\"'\u003c\u003e\u0026=;/*)x")</script>`},
		"a comment":                         {`a<!-- ${v} -->b`, `ab`},
		"for Outlook":                       {`<!--[if mso]><v:roundrect href="${link}" title="${v}"><![endif]-->x`, `<!--[if mso]><v:roundrect href="https://auth.test/v1/verify?a=1&amp;b=%222%22" title="a b&#34;&#39;&lt;&gt;&amp;=;/*)x"><![endif]-->x`},
		"for some Outlooks":                 {`<!--[if (gte mso 9)|(IE)]><td width="1"><![endif]-->${v}`, `<!--[if (gte mso 9)|(IE)]><td width="1"><![endif]-->a b&#34;&#39;&lt;&gt;&amp;=;/*)x`},
		"for others":                        {`<!--[if !mso]><!--><a href="${link}">${v}</a><!--<![endif]-->x`, `<!--[if !mso]><!--><a href="https://auth.test/v1/verify?a=1&amp;b=%222%22">a b&#34;&#39;&lt;&gt;&amp;=;/*)x</a><!--<![endif]-->x`},
		"for others, in another spelling":   {`<!--[if !mso]><!-- -->${word}<!-- <![endif]-->`, `<!--[if !mso]><!-- -->plain<!-- <![endif]-->`},
		"for others, in a third":            {`<!--[if !mso]>-->${word}<!--<![endif]-->`, `<!--[if !mso]>-->plain<!--<![endif]-->`},
		"for others, with a comment within": {`<!--[if !mso]><!-->a<!-- x -->${word}<!--<![endif]-->`, `<!--[if !mso]><!-->aplain<!--<![endif]-->`},
		"for Outlook, behind a comment":     {`<!-- x --><!--[if mso]>${word}<![endif]-->`, `<!--[if mso]>plain<![endif]-->`},
		"for others, without a comment":     {`<![if !mso]>${word}<![endif]>`, `<![if !mso]>plain<![endif]>`},
		"for Outlook, with settings":        {"<!--[if gte mso 9]><xml><o:PixelsPerInch>96</o:PixelsPerInch></xml><![endif]-->", "<!--[if gte mso 9]><xml><o:PixelsPerInch>96</o:PixelsPerInch></xml><![endif]-->"},
		"for Outlook, twice":                {`<!--[if mso]>${word}<![endif]--><!--[if !mso]><!-->${word}<!--<![endif]-->`, `<!--[if mso]>plain<![endif]--><!--[if !mso]><!-->plain<!--<![endif]-->`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := page(w.html)
			if err != nil {
				t.Fatal(err)
			}
			m, err := s.Mail("page", "en", values)
			if err != nil || m.HTML != w.want {
				t.Errorf("got  %s\nwant %s\n%v", m.HTML, w.want, err)
			}
		})
	}
}

// A value cannot end the comment that it is in.
func TestNoValueLeavesAConditionalComment(t *testing.T) {
	t.Parallel()
	for _, html := range []string{
		`<!--[if mso]><a href="%">x</a><![endif]-->`, `<!--[if mso]><a title=% x>x</a><![endif]-->`, `<!--[if mso]>%<![endif]-->`,
		`<!--[if mso]><style>p{x:"%"}</style><![endif]-->`, `<!--[if mso]><p style="x:url(%)"><![endif]-->`, `<!--[if mso]><script>f(%)</script><![endif]-->`,
		`<!--[if mso]><a href="x?%">x</a><![endif]-->`,
	} {
		s, err := page(strings.Replace(html, "%", "${link}", 1))
		if err != nil {
			t.Fatalf("%s: %v", html, err)
		}
		for _, value := range []string{"-->", "--!>", "--", "<![endif]-->", "->", ">"} {
			m, err := s.Mail("page", "en", map[string]string{"link": value})
			if err != nil || strings.Count(m.HTML, "-->") != 1 || strings.Contains(m.HTML, "--!>") {
				t.Errorf("%q becomes %s, %v", value, m.HTML, err)
			}
		}
	}
}

func TestASetIsUsedConcurrently(t *testing.T) {
	t.Parallel()
	s, err := letter.Parse(mail.Templates())
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			link := "https://auth.test/" + strings.Repeat("x", i)
			for range 50 {
				m, err := s.Mail("email-verify", "fr", map[string]string{"link": link})
				if err != nil || !strings.Contains(m.HTML, `href="`+link+`"`) {
					t.Errorf("%v: %s", err, m.HTML)
					return
				}
			}
		})
	}
	all.Wait()
}

func BenchmarkMail(b *testing.B) {
	s, err := letter.Parse(mail.Templates())
	if err != nil {
		b.Fatal(err)
	}
	values := map[string]string{"link": "https://auth.test/v1/verify?ticket=x&type=emailVerify", "email": "ada@example.com", "clientHost": "app.test"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Mail("email-verify", "en", values); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for b.Loop() {
		if _, err := letter.Parse(mail.Templates()); err != nil {
			b.Fatal(err)
		}
	}
}
