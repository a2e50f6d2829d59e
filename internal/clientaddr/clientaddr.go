// Package clientaddr finds the network address of the client behind an HTTP request.
//
// Anyone can write X-Forwarded-For. A forwarding header is worth something only where a proxy that is known and
// trusted has added to it, and then only what that proxy has added. So a [Resolver] starts at the address of the peer,
// which the network vouches for, and follows the header from right to left for as long as the address it stands at is a
// trusted proxy. The first address that is not one is the client; whatever stands left of it is the client's own claim
// and is never read.
//
// By default no proxy is trusted and the peer is the client.
//
// The address is for limits, logs and session lists. It is not proof of identity.
package clientaddr

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
)

// Header is the header in which the trusted proxies report whom they forward for. There is one: proxies that add to
// one header pass others on as the client sent them.
type Header int

const (
	// None: no header is read, the peer is the client.
	None Header = iota
	// XForwardedFor is X-Forwarded-For: a list of addresses.
	XForwardedFor
	// Forwarded is the header of RFC 7239: a list of elements with a parameter "for".
	Forwarded
)

// Bounds on what is read of a header.
const (
	// maxHops is how many proxies in a row are followed.
	maxHops = 16
	// maxElement is the longest element of a list, in bytes.
	maxElement = 256
)

// Resolver finds client addresses. It is immutable and safe for concurrent use. A nil or zero Resolver trusts nobody.
type Resolver struct {
	trusted []netip.Prefix
	header  Header
}

// New returns a Resolver that takes header from proxies whose address is in one of the trusted prefixes. IPv4 prefixes
// mapped into IPv6 (::ffff:10.0.0.0/104) count as IPv4.
//
// It is an error if a prefix is not valid or takes in all IPv4 or all IPv6 addresses, which would let everyone choose an
// address for themselves, and if header is not one of the constants. The error names every such prefix.
func New(trusted []netip.Prefix, header Header) (*Resolver, error) {
	var mistakes []error
	if header < None || header > Forwarded {
		mistakes = append(mistakes, fmt.Errorf("clientaddr: unknown header %d", header))
	}
	r := &Resolver{header: header}
	for _, configured := range trusted {
		prefix := configured
		if prefix.Addr().Is4In6() && prefix.Bits() >= 96 {
			prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
		}
		switch {
		case !prefix.IsValid():
			mistakes = append(mistakes, errors.New("clientaddr: trusted prefix is not valid"))
		case prefix.Bits() == 0:
			mistakes = append(mistakes, fmt.Errorf("clientaddr: trusted prefix %s takes in every address", configured))
		default:
			r.trusted = append(r.trusted, prefix.Masked())
		}
	}
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	return r, nil
}

// From returns the address of the client that sent a request with header h over a connection from remoteAddr, which has
// the form of [http.Request.RemoteAddr]. Addresses are unmapped (an IPv4 address is one, however it was written) and
// without zone.
//
// If the header ends, is malformed, hides the address (RFC 7239 §6.2, §6.3) or names more proxies in a row than are
// followed, the answer is the last address that was vouched for: that of the farthest trusted proxy. Such requests
// share an address rather than have one of their choice.
//
// Lines of one header are one list, in order (RFC 9110 §5.3). If remoteAddr is not an IP address, as for a Unix domain
// socket, the answer is the zero Addr, whose IsValid is false.
func (r *Resolver) From(remoteAddr string, h http.Header) netip.Addr {
	client, _ := parseAddr(remoteAddr, false) // or the zero Addr, which is no proxy
	if r == nil || r.header == None {
		return client
	}
	name, parse := "X-Forwarded-For", parseXForwardedFor
	if r.header == Forwarded {
		name, parse = "Forwarded", parseForwarded
	}
	elements := list{lines: h[name]}
	for range maxHops {
		if !r.trusts(client) {
			return client
		}
		sender, ok := parse(elements.last())
		if !ok {
			return client
		}
		client = sender
	}
	return client
}

func (r *Resolver) trusts(addr netip.Addr) bool {
	for _, prefix := range r.trusted {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// Key returns the network that stands for one client in limits and lists: the address itself for IPv4, mapped or not,
// and its /64 for IPv6, of which a single customer can use every address. It is the zero Prefix for the zero Addr.
func Key(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	// The only error is that of the zero Addr, and comes with the zero Prefix.
	key, _ := addr.Prefix(bits)
	return key
}
