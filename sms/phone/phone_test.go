package phone_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/nyaruka/phonenumbers"

	"github.com/ostiary/auth/sms"
	"github.com/ostiary/auth/sms/phone"
)

func parser(t testing.TB, r phone.Rules) *phone.Parser {
	t.Helper()
	p, err := phone.New(r)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// SM-03: one number is one number, however it is written.
func TestSpellingsOfOneNumber(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		rules     phone.Rules
		spellings []string
	}{
		"+41791234567": {phone.Rules{Region: "CH"}, []string{
			"+41791234567", "+41 79 123 45 67", "+41 (0)79 123 45 67", "0041 79 123 45 67", "079 123 45 67", "0791234567", "079/123.45.67", "(079) 123-45-67",
		}},
		"+447400123456":  {phone.Rules{Region: "GB"}, []string{"07400 123456", "+44 7400 123456", "+44 (0) 7400-123456", "00447400123456"}},
		"+12025550123":   {phone.Rules{Region: "US"}, []string{"(202) 555-0123", "202.555.0123", "1 202 555 0123", "+1-202-555-0123", "011 1 202 555 0123"}},
		"+5491123456789": {phone.Rules{Region: "AR"}, []string{"+54 9 11 2345 6789", "011 15 2345 6789", "+54 11 15 2345 6789"}},
		"+525512345678":  {phone.Rules{}, []string{"+52 55 1234 5678"}},
		"+61412345678":   {phone.Rules{Countries: []string{"AU"}}, []string{"+61 412 345 678", "+61 (0)412 345 678"}},
		"+390612345678":  {phone.Rules{Landlines: true}, []string{"+39 06 1234 5678"}}, // a 0 that is part of the number
	} {
		p := parser(t, tt.rules)
		for _, s := range tt.spellings {
			if got, err := p.Parse(s); err != nil || got != name {
				t.Errorf("%s: %q, %v, want %q", s, got, err, name)
			}
		}
	}
}

// SM-02: numbers that cost more than a message, or that no message reaches, are refused.
func TestRefusals(t *testing.T) {
	t.Parallel()
	swiss := phone.Rules{Region: "CH", Countries: []string{"CH", "DE"}}
	for name, tt := range map[string]struct {
		rules   phone.Rules
		want    error
		numbers []string
	}{
		"not a number": {swiss, phone.ErrNumber, []string{
			"", "+", "abc", "+41", "+4179123456", "+417912345678", "123", "+41 79 123 45 67 ext. 8", "+41791234567;ext=8", "+41791234567x8",
			"tel:+41791234567", "+1-800-FLOWERS", "++41791234567", "41+791234567", "+41791234567+41791234568", "+999123456789", "+41\u00a0791234567",
			"+４１７９１２３４５６７", "＋41791234567", "+٤١٧٩١٢٣٤٥٦٧", "+41791234567\n", "+41791234567\x00", "+4179123\u200b4567", strings.Repeat("0", 1000),
			"+41791234567 or so", "*100#", "117",
		}},
		"national without a region": {phone.Rules{}, phone.ErrNumber, []string{"079 123 45 67", "0041791234567", "41791234567", " +41791234567"}},
		"a spelling long abandoned": {phone.Rules{}, phone.ErrNumber, []string{"+52 1 55 1234 5678", "+55 11 9123 4567"}},
		"not a mobile":              {phone.Rules{}, phone.ErrKind, []string{"+41 44 668 18 00", "+39 06 1234 5678", "+442079460000"}},
		"at a special price": {phone.Rules{Landlines: true}, phone.ErrKind, []string{
			"+41 900 123 456", "+41 84 812 34 56", "+44 70 1234 5678", "+44 9012 345678", "+1 900 555 0123", "+1 800 555 0199",
		}},
		"without a country of their own": {phone.Rules{Landlines: true}, phone.ErrCountry, []string{"+881 612 345 678", "+870 773 111 632", "+883 510 012 345"}},
		"a country not served":           {swiss, phone.ErrCountry, []string{"+43 664 123456", "+1 202 555 0123", "+423 660 123 456"}},
		"another of a code":              {phone.Rules{Countries: []string{"US"}}, phone.ErrCountry, []string{"+1 876 555 0123", "+1 809 234 5678"}},
		"Kazakhstan for Russian":         {phone.Rules{Countries: []string{"RU"}}, phone.ErrCountry, []string{"+7 701 234 56 78"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := parser(t, tt.rules)
			for _, s := range tt.numbers {
				got, err := p.Parse(s)
				if got != "" || !errors.Is(err, tt.want) {
					t.Errorf("%q: %q, %v, want %v", s, got, err, tt.want)
				}
			}
		})
	}
}

// A number of each country is taken, in each form in which the library writes it, and its canonical form is its own.
func TestEveryCountry(t *testing.T) {
	t.Parallel()
	n := 0
	for region := range phonenumbers.GetSupportedRegions() {
		example := phonenumbers.GetExampleNumberForType(region, phonenumbers.MOBILE)
		if example == nil {
			continue
		}
		want := phonenumbers.Format(example, phonenumbers.E164)
		if sms.CheckNumber(want) != nil {
			continue // of a plan with too few digits for the engine
		}
		n++
		// Some examples are numbers of a neighbour with the same code, such as Guernsey's, which are the United Kingdom's.
		owner := phonenumbers.GetRegionCodeForNumber(example)
		p := parser(t, phone.Rules{Region: region, Countries: []string{owner}})
		for _, format := range []phonenumbers.PhoneNumberFormat{phonenumbers.E164, phonenumbers.INTERNATIONAL, phonenumbers.NATIONAL} {
			s := phonenumbers.Format(example, format)
			if region == "AR" && format == phonenumbers.NATIONAL {
				s = "011 15 2345 6789" // the library writes what nobody dials
			}
			if got, err := p.Parse(s); err != nil || got != want {
				t.Errorf("%s: %q, %v, want %q", s, got, err, want)
			}
		}
		if got, err := parser(t, phone.Rules{}).Parse(want); err != nil || got != want {
			t.Errorf("%s: %q, %v", want, got, err)
		}
	}
	if n < 200 {
		t.Errorf("%d countries", n)
	}
}

func TestMistakesInRules(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		rules phone.Rules
		want  int
	}{
		"a region that is none":                 {phone.Rules{Region: "Switzerland"}, 1},
		"in lower case":                         {phone.Rules{Region: "ch", Countries: []string{"de"}}, 2},
		"countries that are none":               {phone.Rules{Countries: []string{"CH", "XX", "001"}}, 2},
		"a list that would refuse every number": {phone.Rules{Countries: []string{}}, 1},
	} {
		_, err := phone.New(tt.rules)
		if err == nil || len(strings.Split(err.Error(), "\n")) != tt.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRulesAreCopied(t *testing.T) {
	t.Parallel()
	countries := []string{"CH"}
	p := parser(t, phone.Rules{Countries: countries})
	countries[0] = "US"
	if _, err := p.Parse("+41791234567"); err != nil {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"+41791234567", "079 123 45 67", "+1 (202) 555-0123", "00", "+(((", "1-", "+870 773 111 632", "//////"} {
		f.Add(s)
	}
	parsers := []*phone.Parser{parser(f, phone.Rules{}), parser(f, phone.Rules{Region: "US", Landlines: true}), parser(f, phone.Rules{Region: "AR"})}
	f.Fuzz(func(t *testing.T, s string) {
		for _, p := range parsers {
			got, err := p.Parse(s)
			if err != nil {
				if got != "" || !slices.Contains([]error{phone.ErrNumber, phone.ErrKind, phone.ErrCountry}, err) {
					t.Errorf("%q: %q, %v", s, got, err)
				}
				continue
			}
			if err := sms.CheckNumber(got); err != nil {
				t.Errorf("%q: %q", s, got)
			}
			if again, err := p.Parse(got); err != nil || again != got {
				t.Errorf("%q: %q, and again %q, %v", s, got, again, err)
			}
		}
	})
}
