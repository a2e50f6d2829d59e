package clientaddr

import (
	"net/netip"
	"strings"
)

// list takes elements from the right end of a comma-separated list that may be spread over lines. It looks at no byte
// left of the element that it returns, so that what a client has put there costs nothing and spoils nothing.
type list struct {
	lines []string // not begun
	line  string   // what is left of the line that is being read
	open  bool     // line has another element, which may be empty
}

// last removes the last element and returns it without surrounding blanks. It returns an empty one, which is no address, if
// there is none or if its left end cannot be told.
func (l *list) last() string {
	if !l.open {
		if len(l.lines) == 0 {
			return ""
		}
		l.line, l.open = l.lines[len(l.lines)-1], true
		l.lines = l.lines[:len(l.lines)-1]
	}
	quoted := false
	for i := len(l.line) - 1; ; i-- {
		switch {
		case i < 0 || l.line[i] == ',' && !quoted:
			element := strings.Trim(l.line[i+1:], " \t")
			l.line, l.open = l.line[:max(i, 0)], i >= 0
			return element
		case len(l.line)-i > maxElement:
			return ""
		case l.line[i] == '"':
			quoted = !quoted
		case l.line[i] == '\\':
			// Read from the right, an escaped quote (RFC 9110 §5.6.4) looks like the end of the string. No address needs
			// one.
			return ""
		}
	}
}

// parseXForwardedFor reads an element of X-Forwarded-For: an address with or without port.
func parseXForwardedFor(element string) (netip.Addr, bool) {
	return parseAddr(element, false)
}

// parseForwarded reads an element of Forwarded (RFC 7239 §4) and returns its one parameter "for". Values that need
// quotes are also taken without, as long as they are addresses.
func parseForwarded(element string) (addr netip.Addr, ok bool) {
	for {
		element = strings.TrimLeft(element, "; \t")
		if element == "" {
			return addr, ok
		}
		name, rest, found := strings.Cut(element, "=")
		if !found || !isToken(name) {
			return netip.Addr{}, false
		}
		var value string
		if quoted, found := strings.CutPrefix(rest, `"`); found {
			if value, rest, found = strings.Cut(quoted, `"`); !found {
				return netip.Addr{}, false
			}
		} else if end := strings.IndexByte(rest, ';'); end >= 0 {
			value, rest = strings.TrimRight(rest[:end], " \t"), rest[end:]
		} else {
			value, rest = rest, ""
		}
		if rest = strings.TrimLeft(rest, " \t"); rest != "" && rest[0] != ';' {
			return netip.Addr{}, false
		}
		element = rest
		if !strings.EqualFold(name, "for") {
			continue
		}
		if ok { // a second "for"
			return netip.Addr{}, false
		}
		if addr, ok = parseAddr(value, true); !ok {
			return netip.Addr{}, false
		}
	}
}

// parseAddr reads an IP address with or without port, an IPv6 address with a port being in brackets. A node of Forwarded
// (RFC 7239 §6) has IPv6 addresses in brackets always, and its port can be obfuscated.
func parseAddr(s string, node bool) (netip.Addr, bool) {
	host, port, hasPort := s, "", false
	inner, bracketed := strings.CutPrefix(s, "[")
	if bracketed {
		var closed bool
		if host, port, closed = strings.Cut(inner, "]"); !closed {
			return netip.Addr{}, false
		}
		if port != "" {
			if port, hasPort = strings.CutPrefix(port, ":"); !hasPort {
				return netip.Addr{}, false
			}
		}
	} else if strings.Count(s, ":") == 1 {
		host, port, hasPort = strings.Cut(s, ":")
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || hasPort && !isPort(port, node) {
		return netip.Addr{}, false
	}
	if bracketed && addr.Is4() || node && !bracketed && addr.Is6() {
		return netip.Addr{}, false
	}
	return addr.WithZone("").Unmap(), true
}

// isPort reports whether port is up to five digits or, where allowed, an obfuscated port (RFC 7239 §6.3).
func isPort(port string, obfuscated bool) bool {
	if name, ok := strings.CutPrefix(port, "_"); ok && obfuscated {
		return isToken(name)
	}
	return port != "" && len(port) <= 5 && strings.Trim(port, "0123456789") == ""
}

// isToken reports whether s is a token (RFC 9110 §5.6.2).
func isToken(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}
