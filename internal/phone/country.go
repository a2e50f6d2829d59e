package phone

import "strings"

// CountryCode returns the country code of a number in canonical form, with its "+": one digit for world zones 1 and 7, two
// for those that ITU-T E.164 (Annex to Operational Bulletin No. 930) lists as such, and three otherwise. Countries that share
// a code, as those of North America do, are not told apart.
func CountryCode(number string) string {
	digits := strings.TrimPrefix(number, "+")
	n := 3
	switch {
	case digits == "":
		return ""
	case digits[0] == '1', digits[0] == '7':
		n = 1
	case strings.Contains(twoDigits, digits[:min(2, len(digits))]):
		n = 2
	}
	return "+" + digits[:min(n, len(digits))]
}

const twoDigits = "20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 " +
	"81 82 84 86 90 91 92 93 94 95 98"
