package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTheListIsSortedAndLosesShortAndRepeatedWords(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.js"), filepath.Join(dir, "out.txt")
	source := `var frequency_lists;
frequency_lists = {
  surnames: "wolfeschlegelstein,williamson".split(","),
  passwords: "password,123456,Trustno1,12345678,nobody\'s,\"quoted\\\",trustno1,1234567".split(","),
  male_names: "maximilian".split(",")
};`
	if err := os.WriteFile(in, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(in, out, 8); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if want := "\"quoted\\\"\n12345678\nnobody's\npassword\ntrustno1\n"; string(got) != want {
		t.Errorf("wrote %q, want %q", got, want)
	}
}

func TestASourceOfAnotherShapeIsRefused(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"no list":                  `frequency_lists = {surnames: "smith".split(",")}`,
		"a list without its split": `  passwords: "password,12345678"`,
		"a control character":      "  passwords: \"pass\nword\".split(\",\")",
		"an escape by number":      `  passwords: "password\x41".split(",")`,
		"a blank":                  `  passwords: "pass word".split(",")`,
		"a letter outside ASCII":   `  passwords: "pássword".split(",")`,
	}
	for name, source := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if list, err := passwords([]byte(source), 8); err == nil {
				t.Errorf("returned %q and no error", list)
			}
		})
	}
}
