package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// environment reads variables and collects what is wrong with them, so that all of it can be said at once. A variable
// that is empty counts as unset. What cannot be used is read as its default.
type environment struct {
	values   map[string]string
	asked    map[string]bool
	mistakes mistakes
}

// newEnvironment takes lines of the form NAME=value, as [os.Environ] returns them.
func newEnvironment(lines []string) *environment {
	e := &environment{values: make(map[string]string), asked: make(map[string]bool)}
	for _, line := range lines {
		if name, value, ok := strings.Cut(line, "="); ok && value != "" {
			e.values[name] = value
		}
	}
	return e
}

// wrong notes a mistake. The reason must not quote a value that may be secret.
func (e *environment) wrong(name, format string, args ...any) {
	e.mistakes = append(e.mistakes, mistake{name, fmt.Sprintf(format, args...)})
}

// text returns a value as it is.
func (e *environment) text(name, fallback string) string {
	e.asked[name] = true
	if v, ok := e.values[name]; ok {
		return v
	}
	return fallback
}

// required returns a value that must be set, and what it is.
func (e *environment) required(name, what string) string {
	v := e.text(name, "")
	if v == "" {
		e.wrong(name, "is required: %s", what)
	}
	return v
}

// flag returns a switch.
func (e *environment) flag(name string, fallback bool) bool {
	text := e.text(name, strconv.FormatBool(fallback))
	v, err := strconv.ParseBool(strings.TrimSpace(text))
	if err != nil {
		e.wrong(name, "%q is neither true nor false", text)
		return fallback
	}
	return v
}

// number returns a whole number of at least low and at most high.
func (e *environment) number(name string, fallback, low, high int) int {
	text := e.text(name, strconv.Itoa(fallback))
	v, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || v < low || v > high {
		e.wrong(name, "%q is not a whole number from %d to %d", text, low, high)
		return fallback
	}
	return v
}

// seconds returns a length of time that is given in seconds.
func (e *environment) seconds(name string, fallback, most time.Duration) time.Duration {
	return time.Duration(e.number(name, int(fallback/time.Second), 1, int(most/time.Second))) * time.Second
}

// duration returns a length of time with its unit, such as 90s or 5m.
func (e *environment) duration(name string, fallback, least, most time.Duration) time.Duration {
	text := e.text(name, fallback.String())
	v, err := time.ParseDuration(strings.TrimSpace(text))
	if err != nil || v < least || v > most {
		e.wrong(name, "%q is not a length of time from %v to %v, such as 90s or 5m", text, least, most)
		return fallback
	}
	return v
}

// milliseconds returns a length of time that is given in milliseconds, and 0 if none is.
func (e *environment) milliseconds(name string, least, most time.Duration) time.Duration {
	if e.text(name, "") == "" {
		return 0
	}
	return time.Duration(e.number(name, 0, int(least/time.Millisecond), int(most/time.Millisecond))) * time.Millisecond
}

// list returns what stands between commas, without blanks around it and without empty entries. A list that is set and has
// nothing in it is a mistake: one that was meant to allow nobody would allow everybody.
func (e *environment) list(name string) []string {
	text := e.text(name, "")
	var list []string
	for v := range strings.SplitSeq(text, ",") {
		if v = strings.TrimSpace(v); v != "" {
			list = append(list, v)
		}
	}
	if text != "" && list == nil {
		e.wrong(name, "has no entry; unset it if that is meant")
	}
	return list
}

// object reads a JSON object into a map.
func (e *environment) object(name string, into any) {
	text := e.text(name, "")
	if text == "" {
		return
	}
	if err := json.Unmarshal([]byte(text), into); err != nil {
		e.wrong(name, "is not a JSON object of the right form: %v", err)
	}
}

// mistake is a variable that cannot be used, and why.
type mistake struct{ name, reason string }

// mistakes is an error with one line for each.
type mistakes []mistake

func (m mistakes) Error() string {
	lines := make([]string, len(m))
	for i, w := range m {
		lines[i] = w.name + ": " + w.reason
	}
	return strings.Join(lines, "\n")
}

func (m mistakes) name(variable string) bool {
	return slices.ContainsFunc(m, func(w mistake) bool { return w.name == variable })
}
