// Command apicheck compares the exported API of each module of this repository with that of its last release, and fails where
// an importer's code could stop compiling without a warning.
//
// Usage:
//
//	apicheck [-root path/to/repository]
//
// The last release of a module is the highest of its tags that HEAD descends from: v1.2.3 of the root module, dir/v1.2.3 of the
// one in dir. A module without one is not released yet, and nothing is compared. Where HEAD is itself tagged, it is compared
// with the release before.
//
// Before v1.0.0 an incompatible change needs an entry below Changed or Removed in CHANGELOG.md, of Unreleased or of the release
// that HEAD is tagged as, which is then a minor one and not a patch. From v1.0.0 on, nothing allows one. What is
// incompatible is for golang.org/x/exp/apidiff to say. Packages called main, and those below a directory called internal, have
// no API.
//
// The code of a release comes from git, by a worktree; its dependencies are those of the module cache, or fetched as ever.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("apicheck: ")
	root := flag.String("root", ".", "`path` of the repository")
	flag.Parse()
	bad, err := check(*root, os.Stdout)
	if err != nil {
		log.Fatal(err)
	}
	if bad > 0 {
		fmt.Printf("%d modules have changes that their next version does not allow\n", bad)
		os.Exit(1)
	}
}
