// Package betterauth has the program with which better-auth is measured. It runs on Node, where npm ci has installed what the
// lock file names.
package betterauth

import "embed"

// Files are what a directory needs in which npm ci is run and then node server.js.
//
//go:embed .npmrc package.json package-lock.json server.js
var Files embed.FS
