// Package webhooks tests what receivers of webhooks get, over HTTP and from each of the stores: that the library of Standard
// Webhooks takes it, that replicas deliver it once, and that it comes and goes with a transaction of the service's.
//
//	go test ./webhooks
package webhooks
