// Package phone reads phone numbers by the numbering plans of the world, for services that want to know more of a number
// than that it is one: that it is assigned to a country they serve, and to telephones that take messages.
//
//	numbers, err := phone.New(phone.Rules{Region: "CH", Countries: []string{"CH", "DE", "AT"}})
//	…
//	to, err := numbers.Parse("079 123 45 67") // "+41791234567"
//
// The plans are those of libphonenumber, some two megabytes of memory, which is why only those who import this package
// have them. They are as old as the version of github.com/nyaruka/phonenumbers in the build: a number from a range that was
// opened yesterday is refused until that is updated.
package phone

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nyaruka/phonenumbers"

	"github.com/ostiary/auth/sms"
)

// Errors of [Parser.Parse]. Their texts do not repeat the number.
var (
	ErrNumber  = errors.New("phone: not a valid phone number")
	ErrKind    = errors.New("phone: not a number that takes text messages")
	ErrCountry = errors.New("phone: not a number of a country that is served")
)

// Rules say which numbers are taken. With the zero value these are the mobile numbers of all countries, in international
// form.
type Rules struct {
	// Region is the country of numbers that are written without one, as an ISO 3166-1 code such as "CH"; without it they
	// are refused.
	Region string

	// Countries are the countries that are served, as ISO 3166-1 codes; nil is all. A short list is the best protection
	// from those who earn by having messages sent to expensive numbers.
	Countries []string

	// Landlines takes fixed lines and numbers of Internet telephony as well, of which some can receive messages. Numbers
	// at the sender's or a special expense, satellite telephones and others without a country are never taken.
	Landlines bool
}

// Parser reads numbers by rules. It is safe for concurrent use. Make one with [New].
type Parser struct{ rules Rules }

// New returns a Parser, or every mistake in r.
func New(r Rules) (*Parser, error) {
	known := phonenumbers.GetSupportedRegions()
	var mistakes []error
	if r.Region != "" && !known[r.Region] {
		mistakes = append(mistakes, fmt.Errorf("phone: Region %q is not a country", r.Region))
	}
	if r.Countries != nil && len(r.Countries) == 0 {
		mistakes = append(mistakes, errors.New("phone: Countries has no entry, which would refuse every number"))
	}
	for _, c := range r.Countries {
		if !known[c] {
			mistakes = append(mistakes, fmt.Errorf("phone: Countries has %q, which is not a country", c))
		}
	}
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	r.Countries = slices.Clone(r.Countries)
	return &Parser{r}, nil
}

// maxLength bounds the written form: 15 digits, and a separator after each.
const maxLength = 32

// Parse returns a number in E.164, "+" and digits, which is the one spelling of it that is stored, compared and dialled. It
// takes digits with spaces, hyphens, dots, slashes and parentheses between them, trunk prefixes and, with a Region, the
// prefixes by which that country dials abroad; and nothing else: letters, digits of other scripts and extensions are not
// parts of a number that receives messages. The error is [ErrNumber], [ErrKind] or [ErrCountry].
func (p *Parser) Parse(s string) (string, error) {
	if len(s) > maxLength || strings.Trim(s, "0123456789 -./()+") != "" || strings.LastIndexByte(s, '+') > 0 ||
		p.rules.Region == "" && !strings.HasPrefix(s, "+") {
		return "", ErrNumber
	}
	region := p.rules.Region
	if region == "" {
		region = phonenumbers.UNKNOWN_REGION
	}
	n, err := phonenumbers.Parse(s, region)
	if err != nil || n.GetExtension() != "" || !phonenumbers.IsValidNumber(n) {
		return "", ErrNumber
	}
	number := phonenumbers.Format(n, phonenumbers.E164)
	if sms.CheckNumber(number) != nil {
		return "", ErrNumber
	}
	switch phonenumbers.GetNumberType(n) {
	case phonenumbers.MOBILE, phonenumbers.FIXED_LINE_OR_MOBILE:
	case phonenumbers.FIXED_LINE, phonenumbers.VOIP:
		if !p.rules.Landlines {
			return "", ErrKind
		}
	default:
		return "", ErrKind
	}
	country := phonenumbers.GetRegionCodeForNumber(n)
	served := p.rules.Countries == nil || slices.Contains(p.rules.Countries, country)
	if country == phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY || !served {
		return "", ErrCountry
	}
	return number, nil
}
