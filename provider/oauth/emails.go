package oauth

import "errors"

var errNoAddresses = errors.New("the addresses are not a JSON array")

// primary returns the address of the entry that is both the account's first choice and verified, by flags of these names,
// or "". It does not settle for another: that may be one that the account's owner has given up.
func primary(list []any, address, first, verified string) string {
	for _, entry := range list {
		m, _ := entry.(map[string]any)
		if o := object(m); o.flag(first) && o.flag(verified) {
			return o.text(address)
		}
	}
	return ""
}
