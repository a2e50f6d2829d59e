package commonpw

import (
	"slices"
	"strings"
	"testing"
)

// ASVS 6.2.4 asks for the top 3000 of those that the length rule lets pass.
func TestTheListIsFitForTheSearch(t *testing.T) {
	t.Parallel()
	if !strings.HasSuffix(list, "\n") {
		t.Error("the last line does not end")
	}
	lines := strings.Split(strings.TrimSuffix(list, "\n"), "\n")
	if len(lines) < 3000 {
		t.Errorf("the list has %d lines, want at least 3000", len(lines))
	}
	if !slices.IsSorted(lines) {
		t.Error("the list is not in byte order")
	}
	if n := len(slices.Compact(slices.Clone(lines))); n != len(lines) {
		t.Errorf("%d lines are repeated", len(lines)-n)
	}
	for _, line := range lines {
		if len(line) < 8 || len(line) > longest || line != strings.ToLower(line) || strings.ContainsFunc(line, notPrintable) {
			t.Fatalf("bad line %q", line)
		}
		if !Contains(line) {
			t.Fatalf("Contains(%q) = false, it is in the list", line)
		}
		if !Contains(strings.ToUpper(line)) {
			t.Fatalf("Contains(%q) = false, it is in the list in lower case", strings.ToUpper(line))
		}
	}
}

func notPrintable(r rune) bool { return r <= ' ' || r > '~' }

// PW-18
func TestContains(t *testing.T) {
	t.Parallel()
	tests := []struct {
		password string
		want     bool
	}{
		{"password", true},
		{"PassWord", true},
		{"password1", true},
		{"12345678", true},
		{"iloveyou", true},
		{"trustno1", true},
		{"p@ssw0rd", true},
		{"", false},
		{"\n", false},
		{"passwor", false},
		{"password ", false},
		{" password", false},
		{"password\n", false},
		{"\npassword", false},
		{"password\npassword1", false},
		{"password\x00", false},
		{"correct horse battery staple", false},
		{"!", false},
		{"~~~~~~~~", false},
		{strings.Repeat("a", longest), false},
		{strings.Repeat("a", longest+1), false},
		{strings.Repeat("password", 1000), false},
		{"pa\u017f\u017fword", false}, // long s
		{"passworд", false},
		{"\xff\xff\xff\xff\xff\xff\xff\xff", false},
	}
	for _, tt := range tests {
		if got := Contains(tt.password); got != tt.want {
			t.Errorf("Contains(%q) = %v, want %v", tt.password, got, tt.want)
		}
	}
}

// PW-18
func TestMatchesContext(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, password string
		words          []string
		want           bool
	}{
		{"the e-mail address", "Victim@Example.com", []string{"victim@example.com", "victim"}, true},
		{"its local part", "VICTIM", []string{"victim@example.com", "victim"}, true},
		{"the name of the site in another script", "ПОЧТАМТ", []string{"почтамт"}, true},
		{"the word with something behind", "victim1", []string{"victim"}, false},
		{"the beginning of the word", "vict", []string{"victim"}, false},
		{"no words", "victim", nil, false},
		{"an empty word and an empty password", "", []string{""}, false},
		{"an empty word", "victim", []string{""}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := MatchesContext(tt.password, tt.words...); got != tt.want {
				t.Errorf("MatchesContext(%q, %q) = %v, want %v", tt.password, tt.words, got, tt.want)
			}
		})
	}
}

func FuzzContains(f *testing.F) {
	for _, s := range []string{"", "password", "PASSWORD", "zzzzzzzz", "\n", "password\n12345678", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ascii := strings.Map(func(r rune) rune {
			if 'A' <= r && r <= 'Z' {
				r += 'a' - 'A'
			}
			return r
		}, strings.ToValidUTF8(s, "\n"))
		want := !strings.Contains(ascii, "\n") && strings.Contains("\n"+list, "\n"+ascii+"\n") && s != ""
		if got := Contains(s); got != want {
			t.Fatalf("Contains(%q) = %v, want %v", s, got, want)
		}
	})
}

func BenchmarkContains(b *testing.B) {
	for name, password := range map[string]string{"found": "Password1", "not found": "correct horse 0-9"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Contains(password)
			}
		})
	}
}
