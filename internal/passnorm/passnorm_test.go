package passnorm

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"
	"golang.org/x/text/unicode/norm"
)

// PW-11, PW-13, PW-17
func TestNormalizeKeepsOneFormOfEachPassword(t *testing.T) {
	t.Parallel()
	var ascii string
	for c := ' '; c <= '~'; c++ {
		ascii += string(c)
	}
	tests := []struct{ name, in, want string }{
		{"every printable ASCII character is kept", ascii, ascii},
		{"printable ASCII is kept", "The quick brown fox, 0-9!~", "The quick brown fox, 0-9!~"},
		{"blanks around and within are kept", "  a  b  ", "  a  b  "},
		{"a blank alone is kept", " ", " "},
		{"case is kept", "aAßẞſK", "aAßẞſK"},
		{"128 characters are kept", strings.Repeat("x", 128), strings.Repeat("x", 128)},
		{"a no-break space becomes a blank", "a\u00a0b", "a b"},
		{"an ideographic space becomes a blank", "密\u3000码", "密 码"},
		{"an em quad becomes a blank, not the space that it decomposes to", "é\u2001é", "é é"},
		{"blanks around other letters are kept", " \u2003é ", "  é "},
		{"a decomposed letter is composed", "e\u0301te\u0301", "été"},
		{"a composed letter is kept", "été", "été"},
		{"marks are put in order", "q\u0323\u0307q\u0307\u0323", "q\u0323\u0307q\u0323\u0307"},
		{"Hangul letters are composed", "\u1112\u1161\u11ab", "한"},
		{"the angstrom sign becomes the letter", "\u212b", "\u00c5"},
		{"the Kelvin sign becomes the letter", "\u212a", "K"},
		{"compatibility characters are kept", "ﬁ①Ａ", "ﬁ①Ａ"},
		{"other scripts are kept", "пароль παραδειγμα סיסמה كلمة 密码", "пароль παραδειγμα סיסמה كلمة 密码"},
		{"an emoji is kept", "🐎🔋📎", "🐎🔋📎"},
		{"an emoji with a variation selector is kept", "a❤️b", "a❤️b"},
		{"a text presentation is kept", "☎︎", "☎︎"},
		{"a family joined from four emoji is kept", "👨‍👩‍👧‍👦", "👨‍👩‍👧‍👦"},
		{"a skin tone and a joiner are kept", "👩🏽‍💻", "👩🏽‍💻"},
		{"a heart on fire is kept", "❤️‍🔥", "❤️‍🔥"},
		{"keycaps are kept", "0️⃣1️⃣9️⃣#️⃣*️⃣", "0️⃣1️⃣9️⃣#️⃣*️⃣"},
		{"punctuation that is an emoji is kept", "‼️⁉️〰️", "‼️⁉️〰️"},
		{"a country's flag is kept", "🇨🇿", "🇨🇿"},
		{"a flag of tags is kept", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"},
		{"the first tag and the last one are kept", "🏴\U000e0020\U000e007f", "🏴\U000e0020\U000e007f"},
		{"a letter beside an emoji is composed", "❤️e\u0301", "❤️é"},
		{"a space beside an emoji becomes a blank", "❤️\u00a0❤️", "❤️ ❤️"},
		{"a joiner after a virama is kept", "क्\u200dष", "क्\u200dष"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := Normalize(tt.in)
			if got != tt.want || err != nil {
				t.Errorf("Normalize(%+q) = %+q, %v; want %+q, nil", tt.in, got, err, tt.want)
			}
			if again, err := Normalize(got); again != got || err != nil {
				t.Errorf("a second time gives %+q, %v; want %+q, nil", again, err, got)
			}
		})
	}
}

// PW-12, PW-13, UR-10, PW-26
func TestNormalizeRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in string
		want     error
	}{
		{"nothing", "", ErrEmpty},
		{"a NUL", "secret\x00secret", ErrCharacters},
		{"a tab", "secret\tsecret", ErrCharacters},
		{"a line break", "secret\nsecret", ErrCharacters},
		{"a delete", "secret\x7f", ErrCharacters},
		{"a C1 control character", "secret\u0085", ErrCharacters},
		{"a line separator", "secret\u2028", ErrCharacters},
		{"a byte that is not UTF-8", "secret\xff", ErrCharacters},
		{"a cut sequence", "secret\xc3", ErrCharacters},
		{"an overlong sequence", "secret\xc0\xaf", ErrCharacters},
		{"a surrogate", "secret\xed\xa0\x80", ErrCharacters},
		{"a replacement character", "secret\ufffd", ErrCharacters},
		{"an unassigned code point", "secret\u0378", ErrCharacters},
		{"a noncharacter", "secret\ufdd0", ErrCharacters},
		{"a private code point", "secret\ue000", ErrCharacters},
		{"a soft hyphen", "sec\u00adret", ErrCharacters},
		{"a zero width space", "sec\u200bret", ErrCharacters},
		{"a byte order mark", "\ufeffsecret", ErrCharacters},
		{"a direction override", "sec\u202eret", ErrCharacters},
		{"a joiner between letters", "sec\u200dret", ErrCharacters},
		{"a joiner at the start", "\u200dsecret", ErrCharacters},
		{"a variation selector after a letter", "sec\ufe0fret", ErrCharacters},
		{"a variation selector after an exclamation mark", "sec!\ufe0fret", ErrCharacters},
		{"a variation selector after what stands before the digits", "sec/\ufe0fret", ErrCharacters},
		{"a variation selector after what stands behind the digits", "sec:\ufe0fret", ErrCharacters},
		{"what stands before the tags after an emoji", "🏴\U000e001f", ErrCharacters},
		{"what stands behind the tags after an emoji", "🏴\U000e0080", ErrCharacters},
		{"another variation selector after an emoji", "🏴\U000e0100", ErrCharacters},
		{"a tag after a letter", "sec\U000e0061ret", ErrCharacters},
		{"a joiner after a digit", "secret1\u200d2", ErrCharacters},
		{"a zero width space after a joiner", "🐎\u200d\u200bsecret", ErrCharacters},
		{"a language tag after an emoji", "🐎\U000e0001", ErrCharacters},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := Normalize(tt.in)
			if got != "" || !errors.Is(err, tt.want) {
				t.Fatalf("Normalize(%+q) = %+q, %v; want %v", tt.in, got, err, tt.want)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
}

func FuzzNormalize(f *testing.F) {
	for _, s := range []string{
		"", "secret", " a ", "e\u0301", "a\u00a0b", "\xff", "\ufffd", "é\xffb", "a\x00", "❤️", "👨‍👩‍👧", "1️⃣",
		"\u1112\u1161\u11ab", "क्\u200dष", "a·b", "l·l", "\u0378", strings.Repeat("\u0301", 40), "Å",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, err := Normalize(in)
		bare, bareErr := precis.OpaqueString.String(in)
		if err != nil {
			if got != "" || !errors.Is(err, ErrEmpty) && !errors.Is(err, ErrCharacters) {
				t.Fatalf("Normalize(%+q) = %+q, %v", in, got, err)
			}
			if bareErr == nil && utf8.ValidString(in) && !strings.ContainsRune(in, utf8.RuneError) {
				t.Fatalf("Normalize(%+q) returned %v, the profile accepts it", in, err)
			}
			return
		}
		if bareErr == nil && bare != got {
			t.Fatalf("Normalize(%+q) = %+q, the profile says %+q", in, got, bare)
		}
		if bareErr != nil && !strings.ContainsFunc(in, func(r rune) bool { return isPresentation(r) || isJoinerOrTag(r) }) {
			t.Fatalf("Normalize(%+q) = %+q, the profile refuses it: %v", in, got, bareErr)
		}
		if !utf8.ValidString(got) || !norm.NFC.IsNormalString(got) {
			t.Fatalf("Normalize(%+q) = %+q, which is not UTF-8 in NFC", in, got)
		}
		if again, err := Normalize(got); again != got || err != nil {
			t.Fatalf("Normalize(%+q) = %+q, and a second time %+q, %v", in, got, again, err)
		}
	})
}

func BenchmarkNormalize(b *testing.B) {
	for name, password := range map[string]string{"ASCII": "correct horse battery staple", "other": "správný kůň baterie ❤️"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Normalize(password); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
