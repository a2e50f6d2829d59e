package main

import (
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/ostiary/auth/bench/internal/process"
	"github.com/ostiary/auth/bench/internal/product"
	"github.com/ostiary/auth/bench/internal/servers/betterauth"
)

// built is a product that can be started.
type built struct {
	product.Product
	command process.Command
	version string
}

// absentError says why a product cannot be measured on this machine.
type absentError struct{ error }

func (e absentError) Unwrap() error { return e.error }

// build makes the program of a product in a directory. It returns an absentError where this machine lacks what the product
// needs.
func build(ctx context.Context, p product.Product, dir string) (built, error) {
	if p.Package != "" {
		return install(ctx, p, filepath.Join(dir, p.Program))
	}
	program := filepath.Join(dir, p.Program)
	err := command(ctx, "", "go", "build", "-o", program, "github.com/ostiary/auth/bench/internal/servers/"+p.Program)
	if err != nil {
		return built{}, err
	}
	b := built{Product: p, command: process.Command{Path: program}, version: "this repository"}
	if p.Module == "" {
		return b, nil
	}
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return built{}, err
	}
	for _, m := range info.Deps {
		if m.Path == p.Module {
			b.version = m.Version
			return b, nil
		}
	}
	return built{}, fmt.Errorf("%s is not made of %s", p.Program, p.Module)
}

// oldestNode is the oldest major version of Node that better-auth is measured on.
const oldestNode = 20

// install makes a directory with what npm has of the product.
func install(ctx context.Context, p product.Product, dir string) (built, error) {
	version, err := process.Version(ctx, "node", "--version")
	if err != nil {
		return built{}, absentError{err}
	}
	text, _, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	if major, err := strconv.Atoi(text); err != nil || major < oldestNode {
		return built{}, absentError{fmt.Errorf("node is %s, and must be %d or later", version, oldestNode)}
	}
	if err := os.CopyFS(dir, betterauth.Files); err != nil {
		return built{}, err
	}
	if err := command(ctx, dir, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"); err != nil {
		return built{}, absentError{err}
	}
	text2, err := os.ReadFile(filepath.Join(dir, "node_modules", p.Package, "package.json"))
	if err != nil {
		return built{}, err
	}
	var manifest struct {
		Version string `json:"version"`
	}
	if err := json.Unmarshal(text2, &manifest); err != nil {
		return built{}, err
	}
	return built{
		Product: p, version: manifest.Version,
		command: process.Command{Path: "node", Args: []string{"server.js"}, Dir: dir, Env: []string{"NODE_ENV=production"}},
	}, nil
}

// command runs a program to its end, and has what it said in the error.
func command(ctx context.Context, dir, name string, args ...string) error {
	c := exec.CommandContext(ctx, name, args...)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// machine says what was measured on, one line each.
func machine(ctx context.Context, withNode bool) ([]string, error) {
	cpu, err := firstLine("/proc/cpuinfo", "model name")
	if err != nil {
		return nil, err
	}
	loads, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return nil, err
	}
	load, _, _ := strings.Cut(string(loads), " ")
	lines := []string{
		fmt.Sprintf("%d CPUs (%s), shared by the server, the database and the load; load average at the start %s", runtime.NumCPU(), cpu, load),
		fmt.Sprintf("%s on %s/%s", runtime.Version(), runtime.GOOS, runtime.GOARCH),
	}
	if withNode {
		version, err := process.Version(ctx, "node", "--version")
		if err != nil {
			return nil, err
		}
		lines = append(lines, "Node "+version+", one process")
	}
	return lines, nil
}

// firstLine returns the value of the first line "name : value" of a file, "unknown" if it has none.
func firstLine(file, name string) (string, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%w: this needs Linux", err)
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(key) == name {
			return strings.TrimSpace(value), nil
		}
	}
	return "unknown", err
}
