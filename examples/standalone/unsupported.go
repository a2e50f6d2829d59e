package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// notYet are the documented variables, or what they begin with, that this program does not read yet.
var notYet = []string{
	"HASURA_GRAPHQL_GRAPHQL_URL",
}

// never are documented variables that this program will not read, and why.
var never = map[string]string{
	"AUTH_ENABLE_CHANGE_ENV":          "this program has no route that changes its environment",
	"AUTH_RATE_LIMIT_MEMCACHE_SERVER": "memcached cannot count several budgets in one step; see AUTH_RATE_LIMIT_REDIS_URL",
	"AUTH_RATE_LIMIT_MEMCACHE_PREFIX": "see AUTH_RATE_LIMIT_REDIS_PREFIX",
}

// unsupported says which variables were set and have no effect. A protection among them is a mistake.
func unsupported(e *environment) []string {
	var warnings []string
	for _, name := range slices.Sorted(maps.Keys(e.values)) {
		documented := slices.ContainsFunc(notYet, func(begins string) bool { return strings.HasPrefix(name, begins) })
		switch value := strings.ToLower(strings.TrimSpace(e.values[name])); {
		case e.asked[name], !documented && !strings.HasPrefix(name, "AUTH_"):
		case value == "false" || value == "0" || value == "disabled":
			// It asks for nothing.
		case documented:
			warnings = append(warnings, name+" is not supported yet and has no effect")
		case never[name] != "":
			warnings = append(warnings, fmt.Sprintf("%s has no effect: %s", name, never[name]))
		default:
			warnings = append(warnings, name+" is no variable of this program and has no effect")
		}
	}
	return warnings
}
