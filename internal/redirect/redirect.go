// Package redirect decides where a browser may be sent.
//
// Rules are compiled once from a client URL and a list of allowed entries. Check takes a redirect target that a stranger
// sent and returns a [Target], or refuses it. A Target can only come out of Check or Default, and it is the parsed URL
// written down again: what was compared with the rules is what ends up in a Location header or in a mail, never the text
// that was received.
//
// # Entries
//
// An entry is scheme://host[:port][/path], with these wildcards:
//
//	{a,b}  alternatives
//	[a-z]  one character of a set, [!a-z] one outside of it, never '.' and '/'
//	?      one character other than '.' and '/'
//	*      any run of characters, the empty one too, without '.' and '/'
//	**     any run of characters (in the path only)
//
// A path allows itself and everything below it: an entry that ends in "/", "/*" or "/**" means the same as one that ends
// in none of them. https://acme.test/app allows /app, /app/ and /app/x, and not /application. A port that is left out is the
// scheme's default port. Query and fragment are not part of the comparison and survive it.
//
// Scheme, host, port and path are compared one by one, each in its parsed form, so that no wildcard reaches from one into
// the next: a wildcard in a host stays inside one label, no wildcard stands for a scheme or a port. Entries that would open
// a whole top-level domain ("https://*", "https://*.com", "https://*acme.com") are refused when the rules are compiled.
//
// # Targets
//
// Browsers read URLs by other rules than servers (the WHATWG URL standard against RFC 3986), and a target on which the two
// disagree is the classical open redirect (RFC 9700 §4.11, OWASP ASVS 5.0 10.4.1). Check therefore takes only what has one
// reading: an absolute URL with "://", no user information, no backslash, no blank, control or invisible character, no
// percent-encoded host, no empty host label, no dot segment, no empty path segment, no encoded slash, and a single layer of
// percent-encoding in the path.
//
// Scheme and host of http and https are compared and written in lower case, internationalised hosts in their ASCII form.
// The host of any other scheme is a name that the application chose for itself, so it keeps its case and is compared with
// it (the operating system's dispatch of such links is case-sensitive).
package redirect

import (
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// MaxLength is the number of bytes that a redirect target may have, as received and as normalised ("?" and "#" always
// counted). It is far above any real one and still fits, percent-encoded, in the links of a mail and in the header limits of
// common proxies.
const MaxLength = 2048

// ErrNotAllowed is wrapped by every error of [Rules.Check]. The error text says why the target was refused and never repeats
// the target.
var ErrNotAllowed = errors.New("redirect: not allowed")

// Why a URL was refused, as a target or as an entry.
var (
	errEmpty     = errors.New("empty")
	errLong      = fmt.Errorf("longer than %d bytes", MaxLength)
	errCharacter = errors.New("backslash, blank, control or invisible character")
	errRelative  = errors.New("not an absolute URL with scheme and host")
	errSyntax    = errors.New("malformed URL")
	errUserinfo  = errors.New("user information")
	errHost      = errors.New("malformed host")
	errPort      = errors.New("malformed port")
	errPath      = errors.New("dot segment, empty segment or ambiguous escape in the path")
	errNoRule    = errors.New("no rule matches")
)

// Rules is a compiled list of allowed targets. It is immutable and safe for concurrent use.
type Rules struct {
	client  Target
	entries []entry
}

// Compile builds the rules from the client URL, which is itself an entry and the place to go when there is no better one,
// and the list of allowed entries.
//
// The client URL is a URL without wildcards, with the same demands as a target. Every mistake in it and in the entries is
// reported in one error, which names the entry by its index.
func Compile(clientURL string, allowed []string) (*Rules, error) {
	var (
		rules Rules
		errs  []error
	)
	client, at, err := parseClient(clientURL)
	if err != nil {
		errs = append(errs, fmt.Errorf("redirect: client URL %s: %w", quote(clientURL), err))
	} else {
		rules.client = client
		rules.entries = append(rules.entries, literalEntry(at))
	}
	for i, text := range allowed {
		entries, err := compileEntry(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("redirect: allowed[%d] %s: %w", i, quote(text), err))
		}
		rules.entries = append(rules.entries, entries...)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return &rules, nil
}

// parseClient splits a URL that can be a client URL.
func parseClient(text string) (Target, location, error) {
	client, at, err := parse(text)
	if err == nil {
		err = checkScheme(at.scheme)
	}
	if err == nil && strings.ContainsAny(at.path, "*?[]{}") {
		err = errors.New("wildcards do not belong in a client URL")
	}
	return client, at, err
}

// CheckURL says what keeps a configured URL from being a client URL, without repeating it.
func CheckURL(text string) error {
	_, _, err := parseClient(text)
	return err
}

// quote prints a configured value for an error message, except where it may hold a password.
func quote(text string) string {
	if strings.Contains(text, "@") {
		return "(value with an @ not shown)"
	}
	if len(text) > 100 {
		text = text[:100] + "..."
	}
	return strconv.Quote(text)
}

// Default returns the client URL.
func (r *Rules) Default() Target { return r.client }

// Check returns the target that raw stands for if a rule allows it. Use the result and forget raw. The error wraps
// [ErrNotAllowed].
//
// A target that was checked and stored must be checked again before it is used: the rules may have changed in between.
func (r *Rules) Check(raw string) (Target, error) {
	target, at, err := parse(raw)
	if err != nil {
		return Target{}, fmt.Errorf("%w: %w", ErrNotAllowed, err)
	}
	for i := range r.entries {
		if r.entries[i].match(at) {
			return target, nil
		}
	}
	return Target{}, fmt.Errorf("%w: %w", ErrNotAllowed, errNoRule)
}

// Target is a URL that the rules allow. It is a value: nothing that is done with a Target changes another one. The zero
// Target is no URL.
type Target struct {
	base     string // scheme, authority and path
	query    string // without "?"
	fragment string // without "#"
}

// String returns the URL in printable ASCII, without blanks, backslashes, quotation marks and angle brackets, so that it is one
// word in a header line and stays inside an HTML attribute. It is not longer than [MaxLength], and checking it gives the same
// Target again.
func (t Target) String() string { return t.join(t.query) }

// With returns an accepted URL, in the form that [Target.String] gave it, with the parameters set in its query, where they
// replace all parameters of the same name; one without values is only removed. The other parameters, the path and the
// fragment stay. Parameters are sorted by name. Nothing is put between an empty path and the query: http://localhost:3000
// becomes http://localhost:3000?error=x.
func With(accepted string, params url.Values) string {
	var t Target
	t.base, t.fragment, _ = strings.Cut(accepted, "#")
	t.base, t.query, _ = strings.Cut(t.base, "?")
	query := parseQuery(t.query)
	maps.Copy(query, params)
	return t.join(query.Encode())
}

func (t Target) join(query string) string {
	text := t.base
	if query != "" {
		text += "?" + query
	}
	if t.fragment != "" {
		text += "#" + t.fragment
	}
	return text
}

// parseQuery reads a query as browsers do (WHATWG URL §5.1): "&" is the only separator and a stray "%" stands for itself.
// url.ParseQuery would drop such parameters.
func parseQuery(query string) url.Values {
	values := url.Values{}
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, value = unescapeQuery(name), unescapeQuery(value)
		values[name] = append(values[name], value)
	}
	return values
}

func unescapeQuery(s string) string {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '+':
			c = ' '
		case c == '%' && i+2 < len(s):
			if b, err := hex.DecodeString(s[i+1 : i+3]); err == nil {
				c = b[0]
				i += 2
			}
		}
		out = append(out, c)
	}
	return string(out)
}

// escape encodes what RFC 3986 does not let stand in a URL, and the apostrophe. It leaves "%" alone, and square brackets,
// because form libraries send them plain in queries.
func escape(part string) string {
	out := make([]byte, 0, len(part))
	for i := range len(part) {
		if c := part[i]; c >= 0x7f || strings.IndexByte("\"'<>^`{|}", c) >= 0 {
			out = fmt.Appendf(out, "%%%02X", c)
		} else {
			out = append(out, c)
		}
	}
	return string(out)
}

// location is the part of a URL that rules are about.
type location struct {
	scheme string // lower case
	host   string // as hostOf returns it
	port   string // decimal; the default port of the scheme where none is given, empty where there is none
	path   string // decoded; holds no encoded delimiter, so decoding lost nothing
}

// parse splits a URL that has one reading and refuses all others.
func parse(raw string) (Target, location, error) {
	if raw == "" {
		return Target{}, location{}, errEmpty
	}
	if len(raw) > MaxLength {
		return Target{}, location{}, errLong
	}
	if !visible(raw) {
		return Target{}, location{}, errCharacter
	}
	// The authority is cut out by hand because net/url takes opaque, relative and rootless forms too, which browsers
	// turn into something with a host.
	scheme, authority, _, err := splitAuthority(raw, "/?#")
	if err != nil {
		return Target{}, location{}, err
	}
	at := location{scheme: strings.ToLower(scheme)}
	if at.host, at.port, err = splitPort(authority); err != nil {
		return Target{}, location{}, err
	}
	if at.host, err = hostOf(at.scheme, at.host); err != nil {
		return Target{}, location{}, err
	}
	u, err := url.Parse(raw)
	if err != nil {
		return Target{}, location{}, errSyntax // the cause would repeat the input
	}
	if !plainPath(u.Path, u.RawPath) {
		return Target{}, location{}, errPath
	}
	at.path = u.Path

	base := at.scheme + "://" + at.host
	if at.port == "" {
		at.port = defaultPort(at.scheme)
	} else {
		base += ":" + at.port
	}
	target := Target{
		base:     base + escape(u.EscapedPath()),
		query:    escape(u.RawQuery),
		fragment: escape(u.EscapedFragment()),
	}
	if len(target.base)+len(target.query)+len(target.fragment)+len("?#") > MaxLength {
		return Target{}, location{}, errLong
	}
	return target, at, nil
}

// visible reports whether s is text without blanks, controls, backslashes and characters that nobody sees: byte order
// mark, zero-width and bidirectional marks. Browsers strip some of these before they read a URL and take "\" for "/".
func visible(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r == ' ' || r == '\\' || r == utf8.RuneError || !unicode.IsPrint(r)
	})
}

// splitAuthority splits an absolute URL into scheme, authority and the rest, which begins with one of the characters of
// end.
func splitAuthority(raw, end string) (scheme, authority, rest string, err error) {
	scheme, authority, found := strings.Cut(raw, "://")
	if !found || !isScheme(scheme) {
		return "", "", "", errRelative
	}
	if i := strings.IndexAny(authority, end); i >= 0 {
		authority, rest = authority[:i], authority[i:]
	}
	if strings.Contains(authority, "@") {
		return "", "", "", errUserinfo
	}
	return scheme, authority, rest, nil
}

// isScheme implements the grammar of RFC 3986 §3.1.
func isScheme(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		switch {
		case 'a' <= c && c <= 'z':
		case i > 0 && ('0' <= s[i] && s[i] <= '9' || s[i] == '+' || s[i] == '-' || s[i] == '.'):
		default:
			return false
		}
	}
	return s != ""
}

// splitPort cuts the port off an authority without user information. A port is a decimal number from 1 to 65535 without
// leading zeros; "host:" is no authority.
func splitPort(authority string) (host, port string, err error) {
	i := strings.LastIndexByte(authority, ':')
	if i < 0 || strings.HasSuffix(authority, "]") {
		return authority, "", nil
	}
	host, port = authority[:i], authority[i+1:]
	if _, err := strconv.ParseUint(port, 10, 16); err != nil || port[0] == '0' {
		return "", "", errPort
	}
	return host, port, nil
}

func defaultPort(scheme string) string {
	switch scheme {
	case "http":
		return "80"
	case "https":
		return "443"
	}
	return ""
}

// toASCII is the look-up side of IDNA2008 with UTS #46 mapping, every check on.
var toASCII = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.VerifyDNSLength(true))

// hostOf returns the form of a host that is compared and written: letters, digits, hyphens and underscores in labels that are
// not empty; lower case for web schemes. An internationalised host is taken only if its mapping changes nothing, so that no
// second spelling reaches the same place.
func hostOf(scheme, host string) (string, error) {
	if strings.HasPrefix(host, "[") {
		addr, _ := netip.ParseAddr(strings.TrimSuffix(host[1:], "]")) // what is no address is not of version 6 either
		if !addr.Is6() || addr.Zone() != "" || !strings.HasSuffix(host, "]") {
			return "", errHost
		}
		return strings.ToLower(host), nil
	}
	if defaultPort(scheme) != "" {
		host = lowerASCII(host)
	}
	if !isASCII(host) {
		ascii, err := toASCII.ToASCII(host)
		if back, _ := toASCII.ToUnicode(ascii); err != nil || back != host {
			return "", errHost
		}
		host = ascii
	}
	if len(host) > 253 {
		return "", errHost
	}
	for label := range strings.SplitSeq(host, ".") {
		if !isLabel(label) {
			return "", errHost
		}
	}
	return host, nil
}

func isLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

// plainPath reports whether a path means the same to everyone who resolves, decodes or re-encodes it. path is decoded, raw
// is the path as it was written, or empty where that is the usual encoding of path.
func plainPath(path, raw string) bool {
	for i := range len(path) {
		switch c := path[i]; {
		case c < ' ', c == 0x7f, c == '\\':
			return false
		case c == '%' && i+2 < len(path) && isHex(path[i+1]) && isHex(path[i+2]):
			return false // decodes a second time
		}
	}
	if strings.Contains(path, "//") || strings.Contains(strings.ToUpper(raw), "%2F") {
		return false
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return false
		}
	}
	return true
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// lowerASCII maps A-Z and nothing else; strings.ToLower would fold the Kelvin sign into a "k".
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}
