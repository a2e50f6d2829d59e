package need_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/ostiary/auth/internal/need"
)

// spy is a test that notes how it ended.
type spy struct {
	testing.TB
	ended string
}

func (s *spy) Helper() {}

func (s *spy) Fatalf(format string, args ...any) { s.end("failed: ", format, args...) }
func (s *spy) Skipf(format string, args ...any)  { s.end("skipped: ", format, args...) }

func (s *spy) end(how, format string, args ...any) {
	s.ended = how + fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func run(t *testing.T, f func(testing.TB)) string {
	s := &spy{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(s)
	}()
	<-done
	return s.ended
}

func TestProgram(t *testing.T) {
	absent := func(tb testing.TB) { need.Program(tb, "no-such-program-1", "no-such-program-2") }
	for _, c := range []struct {
		name, ci, want string
		f              func(testing.TB)
	}{
		{"a missing program skips the test", "", "skipped", absent},
		{"a missing program fails the test under CI", "true", "failed", absent},
		{"a program that is there lets the test go on", "true", "", func(tb testing.TB) { need.Program(tb, "no-such-program", "go") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("CI", c.ci)
			got := run(t, c.f)
			if how, reason, _ := strings.Cut(got, ": "); how != c.want {
				t.Errorf("the test ended with %q, want %q", got, c.want)
			} else if how != "" && !strings.Contains(reason, "no-such-program-2") {
				t.Errorf("the reason %q does not name what is missing", reason)
			}
		})
	}
}
