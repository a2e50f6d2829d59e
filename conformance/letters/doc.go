// Package letters tests what a stranger can do to a letter or a text message: every value of every request that causes one
// is replaced by hostile ones, sent over HTTP. The letters that arrive at a mail server are read by parsers that are not this
// project's, and the text messages are compared as the gateway has them.
//
//	go test ./letters
package letters
