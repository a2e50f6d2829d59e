package phone

import (
	"errors"
	"regexp"
	"strings"
	"testing"
)

func TestParseAcceptsInternationalNumbers(t *testing.T) {
	t.Parallel()
	for name, spellings := range map[string][]string{
		"+41791234567":     {"+41791234567", "+41 79 123 45 67", "+41-79-123-45-67", "+41.79.123.45.67", "+41 (79) 123-45.67"},
		"+12025550123":     {"+12025550123", "+1 (202) 555-0123", "+1(202)5550123"},
		"+39061234567":     {"+39 (06) 1234567"}, // an area code with 0 that is part of the number
		"+29012345":        {"+29012345"},        // the fewest digits
		"+123456789012345": {"+123456789012345"}, // the most
		"+1234567890":      {"+1 2 3 4 5 6 7 8 9 0", "+1 2 3 4 5 6 7 8 9" + strings.Repeat(" ", maxLength-19) + "0"},
	} {
		for _, s := range spellings {
			got, err := Parse(s)
			if err != nil || got != name {
				t.Errorf("Parse(%q) = %q, %v, want %q", s, got, err, name)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for name, numbers := range map[string][]string{
		"nothing":                     {"", "+", "++", "+()", "+ -. "},
		"national numbers":            {"0791234567", "41791234567", "0041791234567", "(079) 123 45 67"},
		"a plus somewhere else":       {"4179+1234567", " +41791234567", "(+41) 791234567", "++41791234567", "+41+791234567"},
		"a country code with 0":       {"+041791234567", "+(0)41791234567", "+ 0041791234567"},
		"a trunk prefix":              {"+41 (0)79 123 45 67", "+44(0)2079460000"},
		"too few digits":              {"+1234567", "+1", "+1-2-3-4-5-6-7"},
		"too many digits":             {"+1234567890123456", "+" + strings.Repeat("1", 100_000)},
		"an end that is no digit":     {"+41791234567 ", "+41791234567-", "+41791234567)", "+41791234567.", "+41791234567\n", "+41791234567\x00"},
		"separators of no use":        {"+41/791234567", "+41,791234567", "+41;791234567", "+41_791234567", "+41\t791234567", "+41\r\n791234567", "+41\u00a0791234567", "+41\u2011791234567", "+41\u2013791234567"},
		"letters and extensions":      {"+1800FLOWERS1", "+41791234567x123456", "tel:+41791234567", "+41791234567;ext=1", "+41791234567,,1", "+41791234567 or +1", "+41791234567,+12025550123"},
		"digits of other scripts":     {"+４１７９１２３４５６７", "＋41791234567", "+٤١٧٩١٢٣٤٥٦٧", "+4179123456७", "+4179123456\u00b2"},
		"characters that nobody sees": {"+41791234\u200b567", "\ufeff+41791234567", "+41791234\u202e567", "+4179123456\xff7"},
		"a long way to write it":      {"+1 2 3 4 5 6 7 8 9" + strings.Repeat(" ", maxLength-18) + "0", "+" + strings.Repeat("(", 40) + "41791234567", "+" + strings.Repeat(" 1", 50_000)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, s := range numbers {
				if got, err := Parse(s); !errors.Is(err, ErrSyntax) || got != "" {
					t.Errorf("Parse(%q) = %q, %v, want ErrSyntax", s, got, err)
				}
			}
		})
	}
}

func TestParseErrorsDoNotRepeatTheNumber(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"0791234567", "+0791234567", "+7912345", "+7912345x", "+07912345678901234", "+791234567 "} {
		if _, err := Parse(s); err == nil || strings.Contains(err.Error(), "791") {
			t.Errorf("Parse(%q): %v", s, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"+41 79 123 45 67", "+1 (202) 555-0123", "0041791234567", "+４１７９１２３４５６７", "+041791234567", "+1234567", "+", "+1-2-3-4-5-6-7-8-9-0-1-2-3-4-5"} {
		f.Add(seed)
	}
	canonical := regexp.MustCompile(`\A\+[1-9][0-9]{7,14}\z`)
	f.Fuzz(func(t *testing.T, s string) {
		number, err := Parse(s)
		if err != nil {
			if number != "" {
				t.Fatalf("Parse(%q) = %q, %v", s, number, err)
			}
			return
		}
		if !canonical.MatchString(number) {
			t.Fatalf("Parse(%q) = %q", s, number)
		}
		if kept := strings.NewReplacer(" ", "", "-", "", ".", "", "(", "", ")", "").Replace(s); kept != number {
			t.Fatalf("Parse(%q) = %q: it changed more than separators", s, number)
		}
		if again, err := Parse(number); err != nil || again != number {
			t.Fatalf("Parse(%q) = %q, %v", number, again, err)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		_, _ = Parse("+41 79 123 45 67")
	}
}

// SM-02: numbers of one country have one code, which is never part of another's, and no number, however short, has more than
// it has digits.
func TestCountryCode(t *testing.T) {
	t.Parallel()
	for number, want := range map[string]string{
		"+12025550123": "+1", "+79161234567": "+7", "+201001234567": "+20", "+27711234567": "+27", "+447700900123": "+44",
		"+41791234567": "+41", "+989121234567": "+98", "+211912345678": "+211", "+351912345678": "+351", "+37491123456": "+374",
		"+423660123456": "+423", "+508551234": "+508", "+852512345678": "+852", "+998901234567": "+998", "+8811234567": "+881",
		"": "", "+": "", "+1": "+1", "+4": "+4", "+44": "+44", "+35": "+35", "+351": "+351",
	} {
		if got := CountryCode(number); got != want {
			t.Errorf("%q: %q, want %q", number, got, want)
		}
	}
}
