// Package baseurl checks the URLs under which providers are called, with credentials and what is meant for one person alone.
package baseurl

import (
	"strings"

	"github.com/ostiary/auth/internal/outbound"
)

// Or returns the base of the provider's URLs without a slash at its end: given if it is set, and otherwise def. ok is
// false if given is not a URL that [outbound.CheckURL] accepts, without a query: absolute and https, or http to this host,
// for tests.
func Or(given, def string) (base string, ok bool) {
	if given == "" {
		return def, true
	}
	return strings.TrimSuffix(given, "/"), outbound.CheckURL(given) == nil && !strings.Contains(given, "?")
}
