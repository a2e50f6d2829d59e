// Package browser tests examples/quickstart as a person meets it: in a real browser.
//
// Screenshots of every step are kept with go test -artifacts ./conformance/browser; the tests log where.
package browser
