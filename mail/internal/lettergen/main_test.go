package main

import (
	"io/fs"
	"testing"

	"github.com/ostiary/auth/mail"
)

// Whoever changes a text changes it here and runs go generate.
func TestTheTemplatesAreGenerated(t *testing.T) {
	t.Parallel()
	want, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	err = fs.WalkDir(mail.Templates(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		got, err := fs.ReadFile(mail.Templates(), name)
		if text, ok := want[name]; !ok || text != string(got) {
			t.Errorf("%s is not what is generated", name)
		}
		delete(want, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range want {
		t.Errorf("%s is missing", name)
	}
}
