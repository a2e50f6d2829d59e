// Command configdoc writes docs/configuration.md: every field by which this project is configured, with its type, its default
// and what its comment says, and the variables of examples/standalone with the fields that they set.
//
// Usage:
//
//	configdoc [-root path/to/repository]
//
// What a comment has to look like:
//
//   - A field that must be set says "Required." at the end of a sentence's own.
//   - A default that is not the zero value is said by "The default is …", or "The defaults are … and …" for two fields, or, in a
//     comment at the end of a line, "default …". What comes up to the next comma, colon, semicolon, bracket or full stop is shown
//     in the tables. Without such words the default is the zero value of the type.
//   - A field without a comment belongs to the one above it, unless a blank line is between them, or else is explained by the
//     comment of its type.
//
// Tests hold the defaults to the code: those of auth.Config in the root package, by what an engine makes of them, and the others
// in this one, by the expressions that set them.
package main

import (
	"flag"
	"log"
	"os"
	"path/filepath"
)

// document is the path of what is written, below the root.
const document = "docs/configuration.md"

func main() {
	log.SetFlags(0)
	log.SetPrefix("configdoc: ")
	root := flag.String("root", "..", "`path` of the repository")
	flag.Parse()
	text, err := generate(*root)
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*root, filepath.FromSlash(document)), text, 0o644); err != nil {
		log.Fatal(err)
	}
}
