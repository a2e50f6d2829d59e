// Package docs has the guides, and tests that hold them to the code.
package docs

//go:generate go run -C ../tools ./configdoc
