package clientaddr_test

import (
	"fmt"
	"net/http"
	"net/netip"

	"github.com/ostiary/auth/internal/clientaddr"
)

func Example() {
	resolver, err := clientaddr.New([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, clientaddr.XForwardedFor)
	if err != nil {
		fmt.Println(err)
		return
	}
	// The client wrote the first address, the proxy at 10.0.0.1 added the second.
	header := http.Header{"X-Forwarded-For": {"192.0.2.66, 2001:db8:1:2::3"}}
	client := resolver.From("10.0.0.1:4711", header)
	fmt.Println(client)
	fmt.Println(clientaddr.Key(client))
	// Output:
	// 2001:db8:1:2::3
	// 2001:db8:1:2::/64
}
