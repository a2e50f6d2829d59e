package process

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Usage is what a process has used since it was started.
type Usage struct {
	CPU    time.Duration // of all its threads, in user and system mode, in steps of Tick
	Memory int64         // the most that was resident at any time, in bytes
}

// Usage says what the server has used until now.
func (p *Process) Usage() (Usage, error) {
	dir := fmt.Sprintf("/proc/%d/", p.command.Process.Pid)
	stat, err := os.ReadFile(dir + "stat")
	if err != nil {
		return Usage{}, err
	}
	status, err := os.ReadFile(dir + "status")
	if err != nil {
		return Usage{}, err
	}
	var u Usage
	if u.CPU, err = cpuTime(string(stat)); err != nil {
		return Usage{}, err
	}
	u.Memory, err = peakMemory(string(status))
	return u, err
}

// Tick is the unit, and the step, in which CPU time is known: that of /proc/PID/stat, where USER_HZ is 100 on every platform on which Go runs. See proc(5).
const Tick = 10 * time.Millisecond

// cpuTime reads fields 14 and 15, utime and stime. The second field, the name of the program, is in parentheses and may have
// anything in it.
func cpuTime(stat string) (time.Duration, error) {
	_, rest, ok := cutLast(stat, ")")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 13 {
		return 0, errors.New("/proc/PID/stat is not what proc(5) says")
	}
	var sum time.Duration
	for _, field := range fields[11:13] {
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/PID/stat: %w", err)
		}
		sum += time.Duration(ticks) * Tick
	}
	return sum, nil
}

// peakMemory reads the line VmHWM, "high water mark", which is in KiB.
func peakMemory(status string) (int64, error) {
	for line := range strings.Lines(status) {
		value, ok := strings.CutPrefix(line, "VmHWM:")
		if !ok {
			continue
		}
		number, ok := strings.CutSuffix(strings.TrimSpace(value), " kB")
		if !ok {
			break
		}
		n, err := strconv.ParseInt(number, 10, 64)
		return n << 10, err
	}
	return 0, errors.New("/proc/PID/status is not what proc(5) says")
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
