package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/ostiary/auth/bench/internal/process"
	"github.com/ostiary/auth/bench/internal/product"
	"github.com/ostiary/auth/bench/internal/server"
)

// print writes the result as Markdown.
func (c *comparison) print(w io.Writer) {
	fmt.Fprintln(w, "### Measured on")
	fmt.Fprintln(w)
	for _, line := range c.machine {
		fmt.Fprintf(w, "- %s\n", line)
	}
	fmt.Fprintf(w, "- each figure from %v, after %v to warm up, with %d users signed up before\n", c.settings.measure, c.settings.warmup, c.settings.users)
	for _, line := range c.absent {
		fmt.Fprintf(w, "- %s\n", line)
	}
	fmt.Fprintln(w)
	fmt.Fprintln(w, "| product | version | passwords are hashed with |")
	fmt.Fprintln(w, "|---|---|---|")
	for _, r := range c.products {
		fmt.Fprintf(w, "| %s | %s | %s |\n", r.Name, r.version, r.Hash)
	}
	for _, flow := range product.Flows {
		c.printFlow(w, string(flow), c.of(server.HashDefault, flow), true)
	}
	for _, flow := range product.Flows {
		c.printFlow(w, string(flow)+", all with Argon2id, 19 MiB, 2 passes, 1 lane", c.of(server.HashEqual, flow), false)
	}
	c.printLosses(w)
}

// of returns the cells of a flow.
func (c *comparison) of(hash string, flow product.Flow) []cell {
	return slices.DeleteFunc(slices.Clone(c.cells), func(v cell) bool { return v.hash != hash || v.flow != flow })
}

func (c *comparison) printFlow(w io.Writer, title string, cells []cell, notes bool) {
	if len(cells) == 0 {
		return
	}
	fmt.Fprintf(w, "\n### %s\n\n", strings.ToUpper(title[:1])+title[1:])
	fmt.Fprintln(w, "| connections | product | requests/s | p50 | p99 | CPU/request | peak memory | statements | round trips |")
	fmt.Fprintln(w, "|---:|---|---:|---:|---:|---:|---:|---:|---:|")
	flow := cells[0].flow
	for _, connections := range c.settings.connections {
		group := slices.DeleteFunc(slices.Clone(cells), func(v cell) bool { return v.connections != connections })
		for _, r := range c.products {
			i := slices.IndexFunc(group, func(v cell) bool { return v.product == r })
			if i < 0 && r.Missing[flow] == "" {
				continue // it stands here under another name
			}
			if i < 0 {
				fmt.Fprintf(w, "| %d | %s | – | – | – | – | – | – | – |\n", connections, r.Name)
				continue
			}
			v := group[i]
			fmt.Fprintf(w, "| %d | %s", connections, r.Name)
			for _, column := range columns {
				text := column.show(v)
				// The best is in bold.
				if len(group) > 1 && text != "–" && column.value != nil && !slices.ContainsFunc(group, func(o cell) bool { return column.value(o) < column.value(v) }) {
					text = "**" + text + "**"
				}
				fmt.Fprintf(w, " | %s", text)
			}
			fmt.Fprintln(w, " |")
		}
	}
	if !notes {
		return
	}
	fmt.Fprintln(w)
	for _, r := range c.products {
		switch way, ok := r.Ways[flow]; {
		case !ok && r.Missing[flow] == "":
		case !ok:
			fmt.Fprintf(w, "- %s: %s\n", r.Name, r.Missing[flow])
		case way.Note == "":
			fmt.Fprintf(w, "- %s: `%s`.\n", r.Name, way.Request)
		default:
			fmt.Fprintf(w, "- %s: `%s`. %s\n", r.Name, way.Request, way.Note)
		}
	}
}

// column is a figure of a cell. Less is better.
type column struct {
	value func(cell) float64 // nil where there is nothing to be best at
	show  func(cell) string
}

var columns = []column{
	{func(v cell) float64 { return -v.Rate }, func(v cell) string { return rate(v.Rate) }},
	{func(v cell) float64 { return float64(v.Latency(50)) }, func(v cell) string { return short(v.Latency(50)) }},
	{func(v cell) float64 { return float64(v.Latency(99)) }, func(v cell) string { return short(v.Latency(99)) }},
	{cpu, showCPU},
	{memory, func(v cell) string { return fmt.Sprintf("%.0f MiB", memory(v)) }},
	{nil, func(v cell) string { return fmt.Sprint(v.count.Statements) }},
	{nil, func(v cell) string { return fmt.Sprint(v.count.Trips) }},
}

// cpu is infinite where it was measured for too short a time for the steps in which it is known.
func cpu(v cell) float64 {
	if v.usage.CPU < 10*process.Tick {
		return math.Inf(1)
	}
	return float64(v.usage.CPU) / float64(v.Requests)
}

func showCPU(v cell) string {
	t := cpu(v)
	if math.IsInf(t, 1) {
		return "–"
	}
	return short(time.Duration(t))
}

func memory(v cell) float64 { return float64(v.usage.Memory) / (1 << 20) }

// rate has three digits, or all that are before the point.
func rate(r float64) string {
	switch {
	case r < 10:
		return fmt.Sprintf("%.2f", r)
	case r < 100:
		return fmt.Sprintf("%.1f", r)
	}
	return fmt.Sprintf("%.0f", r)
}

// short has three digits.
func short(d time.Duration) string {
	unit, name := time.Microsecond, "µs"
	if d >= time.Second {
		unit, name = time.Second, "s"
	} else if d >= time.Millisecond {
		unit, name = time.Millisecond, "ms"
	}
	return strings.TrimSuffix(rate(float64(d)/float64(unit)), ".00") + " " + name
}

// printLosses lists where our product answers fewer requests than a peer.
func (c *comparison) printLosses(w io.Writer) {
	fmt.Fprint(w, "\n### Where ours answers fewer requests than another\n\n")
	found := false
	for _, hash := range []string{server.HashDefault, server.HashEqual} {
		for _, flow := range product.Flows {
			for _, connections := range c.settings.connections {
				group := slices.DeleteFunc(c.of(hash, flow), func(v cell) bool { return v.connections != connections })
				i := slices.IndexFunc(group, func(v cell) bool { return v.product.own() }) // the default one is first
				if i < 0 {
					continue
				}
				for _, v := range group {
					if v.product.own() || v.Rate <= group[i].Rate {
						continue
					}
					found = true
					fmt.Fprintf(w, "- %s at %s", flow, plural(connections, "connection"))
					if hash == server.HashEqual {
						fmt.Fprint(w, ", all with the same hash")
					}
					fmt.Fprintf(w, ": %s answers %.2f times as many\n", v.product.Name, v.Rate/group[i].Rate)
				}
			}
		}
	}
	if !found {
		fmt.Fprintln(w, "Nowhere.")
	}
}

func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
