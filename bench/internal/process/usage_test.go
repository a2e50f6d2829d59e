package process

import (
	"testing"
	"time"
)

func TestUsageIsReadAsProc5Says(t *testing.T) {
	t.Parallel()
	// A program may be called anything.
	const stat = "4711 (a) S 9 (b) R 1 4711 4711 0 -1 4194304 1234 0 5 0 250 75 3 4 20 0 9 0 8817 1 2 3\n"
	if got, err := cpuTime(stat); err != nil || got != 3250*time.Millisecond {
		t.Errorf("%v (%v), want 3.25s", got, err)
	}
	const status = "Name:\tx\nVmPeak:\t  999999 kB\nVmHWM:\t   20480 kB\nVmRSS:\t   10240 kB\n"
	if got, err := peakMemory(status); err != nil || got != 20<<20 {
		t.Errorf("%d (%v), want 20 MiB", got, err)
	}
	for _, bad := range []string{"", "1 (x", "1 (x) R 1 2 3", "1 (x) R 1 2 3 4 5 6 7 8 9 10 a b"} {
		if got, err := cpuTime(bad); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
	for _, bad := range []string{"", "VmRSS:\t1 kB\n", "VmHWM:\t1 MB\n", "VmHWM:\tmuch kB\n"} {
		if got, err := peakMemory(bad); err == nil {
			t.Errorf("%q: %d", bad, got)
		}
	}
}
