// Package baseurl checks the URLs under which providers are called, with credentials and what is meant for one person alone.
package baseurl

import (
	"net/netip"
	"net/url"
	"strings"
)

// Or returns the base of the provider's URLs without a slash at its end: given if it is set, and otherwise def. ok is
// false if given is not an absolute https URL without user, query and fragment. http is allowed to this host, for tests.
func Or(given, def string) (base string, ok bool) {
	if given == "" {
		return def, true
	}
	u, err := url.Parse(given)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", false
	}
	local := u.Hostname() == "localhost"
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil {
		local = ip.IsLoopback()
	}
	return strings.TrimSuffix(given, "/"), u.Scheme == "https" || u.Scheme == "http" && local
}
