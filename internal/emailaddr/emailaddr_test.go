package emailaddr

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseAcceptsAddressesAndNamesTheirCanonicalForm(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("d", 63) + "." + strings.Repeat("d", 63) + "." + strings.Repeat("d", 57) + ".test"
	local := strings.Repeat("a", MaxTotal-len("@")-len(long))
	for _, tt := range []struct {
		name, typed, canonical, domain, mailbox string
	}{
		{"a plain address", "user@example.com", "user@example.com", "example.com", ""},
		{"upper case", "User.Name+Tag@Example.COM", "user.name+tag@example.com", "example.com", "User.Name+Tag@example.com"},
		{"dots and tags are kept", "u.s.e.r+x@gmail.com", "u.s.e.r+x@gmail.com", "gmail.com", ""},
		{
			"every letter and digit", "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@a-z.A-Z.0-9.test",
			"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz0123456789@a-z.a-z.0-9.test", "a-z.a-z.0-9.test",
			"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@a-z.a-z.0-9.test",
		},
		{"every character of an atom", "!#$%&'*+-/=?^_`{|}~@example.com", "!#$%&'*+-/=?^_`{|}~@example.com", "example.com", ""},
		{"one letter each", "a@b.c", "a@b.c", "b.c", ""},
		{"the first letter of a top-level domain", "a@b.aero", "a@b.aero", "b.aero", ""},
		{"the last letter of a top-level domain", "a@b.zone", "a@b.zone", "b.zone", ""},
		{"a domain that starts with a digit", "a@1.2.c3", "a@1.2.c3", "1.2.c3", ""},
		{"an internationalised domain", "Jo@bücher.example", "jo@xn--bcher-kva.example", "xn--bcher-kva.example", "Jo@xn--bcher-kva.example"},
		{"the same domain in ASCII", "jo@XN--BCHER-kva.example", "jo@xn--bcher-kva.example", "xn--bcher-kva.example", "jo@xn--bcher-kva.example"},
		{"a sharp s is not two s", "a@straße.example", "a@xn--strae-oqa.example", "xn--strae-oqa.example", "a@xn--strae-oqa.example"},
		{"a top-level domain outside of ASCII", "a@почта.рф", "a@xn--80a1acny.xn--p1ai", "xn--80a1acny.xn--p1ai", "a@xn--80a1acny.xn--p1ai"},
		{"a right-to-left domain", "a@דוגמה.ישראל", "a@xn--6dbbec0c.xn--4dbrk0ce", "xn--6dbbec0c.xn--4dbrk0ce", "a@xn--6dbbec0c.xn--4dbrk0ce"},
		{"a Catalan name", "a@col·lecció.example", "a@xn--collecci-ioa91d.example", "xn--collecci-ioa91d.example", "a@xn--collecci-ioa91d.example"},
		{"a Chinese zero", "a@二〇.example", "a@xn--w6jt23g.example", "xn--w6jt23g.example", "a@xn--w6jt23g.example"},
		{"joiners in their context", "a@क्\u200dष.example", "a@xn--11b2ezcw70k.example", "xn--11b2ezcw70k.example", "a@xn--11b2ezcw70k.example"},
		{"a non-joiner in its context", "a@نامه\u200cای.example", "a@xn--mgba3gch31f060k.example", "xn--mgba3gch31f060k.example", "a@xn--mgba3gch31f060k.example"},
		{"the longest local part", strings.Repeat("a", 64) + "@example.com", strings.Repeat("a", 64) + "@example.com", "example.com", ""},
		{"the longest address", local + "@" + long, local + "@" + long, long, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := Parse(tt.typed)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(Address{Typed: tt.typed, Canonical: tt.canonical, Domain: tt.domain}, got); diff != "" {
				t.Error(diff)
			}
			mailbox := tt.mailbox
			if mailbox == "" {
				mailbox = tt.typed
			}
			if got.Mailbox() != mailbox {
				t.Errorf("Mailbox() = %q, want %q", got.Mailbox(), mailbox)
			}
		})
	}
}

// SU-08, SU-09: one mailbox or none. An address whose canonical form would name another mailbox than its owner's eyes do is
// refused, never folded.
func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for name, addresses := range map[string][]string{
		"no address":           {"", "@", "a", "a@", "@b.test", "a.b.test", "null"},
		"several @":            {"a@b@corp.test", "a@@corp.test", "a@corp.test@", "@a@corp.test", "a@evil.test,b@corp.test"},
		"quoted local parts":   {`"a"@corp.test`, `"a@evil.test"@corp.test`, `"a b"@corp.test`, `"a\"b"@corp.test`, `a."b"@corp.test`, `""@corp.test`},
		"display names":        {"A <a@corp.test>", "<a@corp.test>", `"A" <a@corp.test>`, "a@corp.test (A)", "a@corp.test <b@evil.test>", "mailto:a@corp.test"},
		"comments":             {"a(comment)@corp.test", "(c)a@corp.test", "a@(c)corp.test", "a@corp.test(c)"},
		"lists":                {"a@corp.test,m@evil.test", "a@corp.test;m@evil.test", "a@corp.test m@evil.test", "a@corp.test\nm@evil.test", "a,m@evil.test", "group:a@corp.test;"},
		"blanks":               {" a@corp.test", "a@corp.test ", "a @corp.test", "a@ corp.test", "a@corp .test", "\ta@corp.test", "a@corp.test\r\n", "a@corp.test\x00", "a\u00a0@corp.test", "\ufeffa@corp.test", "a@corp.test\u200b"},
		"header injection":     {"a@corp.test\r\nBcc: m@evil.test", "a\r\nBcc:m@corp.test", "a@corp.test\nRCPT TO:<b@evil.test>", "a@x>\r\nRCPT TO:<b@y.test>", "<a@x.test> SIZE=1"},
		"encoded words":        {"=?utf-8?q?a=40evil.test=3e?=@corp.test", "=?x?b?YUBldmlsLnRlc3Q+?=@corp.test", "a=?utf-7?q?+AEA-?=b@corp.test", "=??=@corp.test"},
		"no atoms":             {"a[b@corp.test", "a]b@corp.test", "a:b@corp.test", `a\b@corp.test`, "a\x1fb@corp.test", "a\x7fb@corp.test"},
		"dots of a local part": {".a@corp.test", "a.@corp.test", "a..b@corp.test", ".@corp.test"},
		"local parts outside of ASCII": {
			"adm\u0130n@corp.test", "\u212aim@corp.test", "\u017fam@corp.test", "ünal@corp.test", "ａ@corp.test", "a\u00adb@corp.test", "a\u200db@corp.test", "а@corp.test", "a\xff@corp.test",
		},
		"an @ that is none":  {"a\uff20corp.test", "a\ufe6bcorp.test", "a\uff20evil.test@corp.test", "a@evil.test\uff20corp.test"},
		"a dot that is none": {"a@corp\u3002test", "a@corp\uff0etest", "a@corp\uff61test", "a@sub\u3002corp.test"},
		"characters that mapping drops or folds": {
			"a@co\u00adrp.test", "a@co\u200brp.test", "a@\u212aorp.test", "a@corp.te\u017ft", "a@ｃｏｒｐ.test", "a@corp.t\u0130st", "a@BÜCHER.test", "a@bu\u0308cher.test", "a@①.test", "a@ﬁ.test", "a@\u2100.test", "a@\ufe00corp.test",
		},
		"symbols that look like punctuation":           {"a@corp\u2044evil.test", "a@corp\u2215evil.test", "a@xn--corp-3g7a.test", "a@☃.test", "a@a\u00b7b.test", "a@l\u00b7.test", "a@a\u00b7l.test", "a@a\u30fbb.test", "a@corp\u2024evil.test", "a@corp\u05f4.test", "a@corp\u02d0\u0589.test"},
		"malformed punycode":                           {"a@xn--example-.test", "a@xn--.test", "a@xn--a.test", "a@xn--bcher-kva-.test", "a@xn--zzzzzzzzzzzzzz.test", "a@xn--kms-.test", "a@xn--ls8h-.test"},
		"punycode of what is no domain":                {"a@xn--bcher-nna.test\u00ad", "a@xn--BCHER-KVA\u200d.test", "a@xn--wgv71a\u3002.test", "a@xn--mgbah1a3hjkrd\u200c", "a@xn--corp-\u2024.test"},
		"both forms in one domain":                     {"a@bücher.xn--bcher-kva.test"},
		"address literals":                             {"a@[127.0.0.1]", "a@[IPv6:::1]", "a@127.0.0.1", "a@2130706433", "a@[corp.test]", "a@1.2.3.4.5"},
		"domains without a name":                       {"a@localhost", "a@test", "a@.test", "a@.", "a@..", "a@corp..test", "a@corp.test.", "a@.corp.test", "a@corp.1test", "a@corp.123", "a@corp.-"},
		"characters of no domain":                      {"a@corp_x.test", "a@corp!.test", "a@cor%70.test", "a@corp.test/x", "a@corp.test?x", "a@corp.test#x", "a@corp:25.test", "a@corp.test:25", "a@corp*.test", "a@*.test", "a@corp\\.test", "a@corp.test\"", "a@corp'.test"},
		"hyphens":                                      {"a@-corp.test", "a@corp-.test", "a@co--rp.test", "a@corp.-test"},
		"right to left and left to right in one label": {"a@aא.test", "a@אa.test"},
		"joiners out of context":                       {"a@a\u200db.test", "a@a\u200cb.test"},
		"a mark first":                                 {"a@\u0301a.test"},
		"too long":                                     {strings.Repeat("a", 65) + "@corp.test", "a@" + strings.Repeat("d", 64) + ".test", "a@" + strings.Repeat("d.", 125) + "test", "a@" + strings.Repeat("é", 60) + ".test"},
		"bytes that are no UTF-8":                      {"a@\xff.test", "a@corp.te\xc3", "a@corp\xed\xa0\x80.test", "a@corp\ufffd.test"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, typed := range addresses {
				got, err := Parse(typed)
				if !errors.Is(err, ErrSyntax) || got != (Address{}) {
					t.Errorf("Parse(%q) = %+v, %v, want ErrSyntax", typed, got, err)
				}
			}
		})
	}
}

// An internationalised domain can be longer in ASCII than as typed; the limit is one of the transport, so it holds for both.
func TestParseLimitsTheCanonicalForm(t *testing.T) {
	t.Parallel()
	domain := strings.Repeat("é.", 30) + "test" // 94 bytes typed, 244 in ASCII
	for local, fits := range map[string]bool{strings.Repeat("a", 9): true, strings.Repeat("a", 10): false} {
		address, err := Parse(local + "@" + domain)
		if fits != (err == nil) {
			t.Errorf("local part of %d bytes: %v", len(local), err)
		}
		if fits && len(address.Canonical) != MaxTotal {
			t.Errorf("canonical form of %d bytes, want %d", len(address.Canonical), MaxTotal)
		}
	}
}

// A domain can also be longer as typed.
func TestParseLimitsTheTypedForm(t *testing.T) {
	t.Parallel()
	domain := strings.Repeat("二", 40) + "." + strings.Repeat("二", 40) + ".example" // 249 bytes typed, less in ASCII
	for local, fits := range map[string]bool{"abcd": true, "abcde": false} {
		if address, err := Parse(local + "@" + domain); fits != (err == nil) {
			t.Errorf("local part of %d bytes: %+v, %v", len(local), address, err)
		}
	}
}

func TestSame(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"Ada@Example.com", "ada@example.COM", true},
		{"ada@bücher.example", "ada@xn--bcher-kva.example", true},
		{"ada@example.com", "ada@example.org", false},
		{"ada@example.com", "nobody", false},
		{"nobody", "ada@example.com", false},
		{"nobody", "nobody", true},
		{"nobody", "Nobody", false},
		{"nobody", "somebody", false},
	} {
		if got := Same(tt.a, tt.b); got != tt.want {
			t.Errorf("Same(%q, %q) = %v", tt.a, tt.b, got)
		}
	}
}

// SU-04: the spellings of one address share a canonical form.
func TestSpellingsOfOneAddressAreTheSame(t *testing.T) {
	t.Parallel()
	for _, spellings := range [][]string{
		{"user@example.com", "USER@EXAMPLE.COM", "User@Example.com", "uSER@eXAMPLE.cOM"},
		{"a@bücher.example", "A@bücher.EXAMPLE", "a@xn--bcher-kva.example", "a@XN--BCHER-KVA.example"},
	} {
		first, err := Parse(spellings[0])
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range spellings[1:] {
			address, err := Parse(s)
			if err != nil || address.Canonical != first.Canonical || address.Domain != first.Domain || address.Typed != s {
				t.Errorf("Parse(%q) = %+v, %v, want the canonical form of %q", s, address, err, spellings[0])
			}
		}
	}
}

// SU-10: size is looked at before anything else.
func TestParseOfHugeInputCostsNothing(t *testing.T) {
	for name, s := range map[string]string{
		"100 KB local part":  strings.Repeat("a", 100_000) + "@corp.test",
		"50,000 parentheses": strings.Repeat("(", 50_000) + "a@corp.test",
		"50,000 dots":        "a@" + strings.Repeat(".", 50_000),
		"50,000 @":           strings.Repeat("@", 50_000),
		"a label of 1 MB":    "a@" + strings.Repeat("é", 500_000) + ".test",
	} {
		var err error
		if allocs := testing.AllocsPerRun(5, func() { _, err = Parse(s) }); allocs > 5 {
			t.Errorf("%s: %v allocations", name, allocs)
		}
		if !errors.Is(err, ErrSyntax) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseErrorsDoNotRepeatTheAddress(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"secret", "secret@", "secret @corp.test", "a@secret", "a@secret_.test", "a@ｓecret.test", "secret" + strings.Repeat("a", 300)} {
		if _, err := Parse(s); err == nil || strings.Contains(err.Error(), "ecret") {
			t.Errorf("Parse(%q): %v", s, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"user@example.com", "User+Tag@EXAMPLE.com", "a@bücher.example", "a@xn--bcher-kva.example", "a@xn--example-.test", `"a@evil.test"@corp.test`, "adm\u0130n@corp.test", "a@\u212a.test",
		"a\uff20b.test", "a@b\u3002test", "a@co\u00adrp.test", "A <a@b.test>", "a@[127.0.0.1]", "a@b.test\r\n", "a@straße.de", "a@דוגמה.ישראל", strings.Repeat("(", 300), strings.Repeat("a", 64) + "@b.test",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := Parse(s)
		if err != nil {
			if a != (Address{}) || !errors.Is(err, ErrSyntax) {
				t.Fatalf("Parse(%q) = %+v, %v", s, a, err)
			}
			return
		}
		if a.Typed != s {
			t.Fatalf("Parse(%q).Typed = %q", s, a.Typed)
		}
		if len(a.Typed) > MaxTotal || len(a.Canonical) > MaxTotal {
			t.Fatalf("%q is too long", s)
		}
		for _, form := range []string{a.Typed, a.Canonical, a.Mailbox()} {
			if strings.Count(form, "@") != 1 || strings.ContainsAny(form, " \t\r\n\x00\"(),:;<>[]\\") {
				t.Fatalf("%q has the form %q", s, form)
			}
		}
		for i := range len(a.Canonical) {
			if c := a.Canonical[i]; c <= ' ' || c > '~' || 'A' <= c && c <= 'Z' {
				t.Fatalf("%q has the canonical form %q", s, a.Canonical)
			}
		}
		if !strings.HasSuffix(a.Canonical, "@"+a.Domain) || !strings.Contains(a.Domain, ".") {
			t.Fatalf("Parse(%q) = %+v", s, a)
		}
		for _, form := range []string{a.Canonical, a.Mailbox()} {
			again, err := Parse(form)
			if err != nil || again.Canonical != a.Canonical {
				t.Fatalf("%q becomes %q, which is %+v, %v", s, form, again, err)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for name, s := range map[string]string{"ascii": "first.last@example.com", "mixed-case": "First.Last@Example.com", "idn": "jo@bücher.example", "huge": strings.Repeat("(", 100_000)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = Parse(s)
			}
		})
	}
}
