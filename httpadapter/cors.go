package httpadapter

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// cors lets pages of other origins call the routes (Fetch §3.2). The zero value lets none and says nothing.
type cors struct {
	origins     []string
	any         bool
	credentials bool
	methods     string
}

func newCORS(origins []string, credentials bool) (cors, error) {
	var mistakes []error
	for _, o := range origins {
		if o == "*" {
			if credentials {
				mistakes = append(mistakes, errors.New(`"*" would let every site act as a user who is signed in with cookies`))
			}
			continue
		}
		if err := checkOrigin(o); err != nil {
			mistakes = append(mistakes, fmt.Errorf("%q: %w", o, err))
		}
	}
	var methods []string
	for _, rt := range routes {
		methods = append(methods, rt.method)
	}
	slices.Sort(methods)
	return cors{
		origins:     slices.Clone(origins),
		any:         slices.Contains(origins, "*"),
		credentials: credentials,
		methods:     strings.Join(slices.Compact(methods), ", "),
	}, errors.Join(mistakes...)
}

var defaultPorts = map[string]string{"http": "80", "https": "443"}

// checkOrigin refuses what no browser would send, so that an entry that can never match is noticed.
func checkOrigin(o string) error {
	u, err := url.Parse(o)
	switch {
	case err != nil || u.Scheme == "" || u.Host == "" || o != u.Scheme+"://"+u.Host:
		return errors.New("is not scheme://host[:port]")
	case strings.ContainsFunc(o, func(r rune) bool { return r <= ' ' || r > '~' || 'A' <= r && r <= 'Z' }):
		return errors.New("is not in lower-case ASCII, as browsers send it")
	case strings.Contains(o, "*"):
		return errors.New("has a wildcard; origins are compared as a whole")
	case u.Port() != "" && u.Port() == defaultPorts[u.Scheme]:
		return errors.New("names the default port, which browsers leave out")
	}
	return nil
}

// preflight sets the CORS headers of a response and reports whether it has answered the request, which was then a
// preflight from an allowed origin. Pages of other origins get no header and are stopped by their browser; what is
// refused to them is the answer, so no rule may depend on this. A route that binds gives the browser a cookie outside
// cookie mode as well, to pages of listed origins.
func (c *cors) preflight(w http.ResponseWriter, r *http.Request, binds bool) (answered bool) {
	if len(c.origins) == 0 {
		return false
	}
	header := w.Header()
	if !c.any {
		header.Add("Vary", "Origin") // whatever the answer, it is this origin's
	}
	origins := r.Header["Origin"]
	if len(origins) != 1 || !c.any && !slices.Contains(c.origins, origins[0]) {
		return false
	}
	allow := "*"
	if !c.any {
		allow = origins[0]
	}
	header.Set("Access-Control-Allow-Origin", allow)
	if c.credentials || binds && !c.any {
		header.Set("Access-Control-Allow-Credentials", "true")
	}
	wanted := r.Header["Access-Control-Request-Method"]
	if r.Method != http.MethodOptions || len(wanted) == 0 {
		header.Set("Access-Control-Expose-Headers", "RateLimit, RateLimit-Policy, Retry-After, WWW-Authenticate")
		return false
	}
	header.Set("Access-Control-Allow-Methods", c.methods)
	if headers := r.Header["Access-Control-Request-Headers"]; len(headers) > 0 {
		header.Set("Access-Control-Allow-Headers", strings.Join(headers, ", "))
	}
	header.Set("Access-Control-Max-Age", "86400")
	w.WriteHeader(http.StatusNoContent)
	return true
}
