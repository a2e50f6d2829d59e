// Package storetest checks that a [store.Store] keeps its contract, and helps to test what is built on one: [Counter]
// counts round trips and [Faulty] makes chosen ones fail.
package storetest

import (
	"testing"

	"github.com/ostiary/auth/store"
)

// Run checks every sentence of the contract of package store, what happens at the same moment included. It should be
// run with the race detector, too.
//
// It calls open once for each of its subtests, with the subtest's t, for a store that is empty and used by nobody else;
// open registers with t.Cleanup what must be closed. The subtests run one after the other, so that open may empty one
// database again and again. If it can give each its own, it may call t.Parallel, and they run side by side.
//
// The times that Run passes are those of 2001, so that a store which looks at a clock of its own is found out.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	for _, group := range []struct {
		name  string
		tests []test
	}{
		{"CreateUser", createTests},
		{"User", findTests},
		{"ChangeUser conditions", conditionTests},
		{"ChangeUser conflicts", conflictTests},
		{"ChangeUser", changeTests},
		{"ChangeUser drop", dropTests},
		{"DeleteUser", deleteTests},
		{"Sessions", sessionTests},
		{"Tickets", ticketTests},
		{"SigningKeys", signingKeyTests},
		{"Outbox", outboxTests},
		{"Channels", channelTests},
		{"Events", eventTests},
		{"Purge", purgeTests},
		{"Records", recordTests},
		{"Contexts", contextTests},
		{"At once", raceTests},
		{"At random", randomTests},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, test := range group.tests {
				t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
			}
		})
	}
}

// test is one of the suite, to be run on an empty store.
type test struct {
	name string
	run  func(t *testing.T, s store.Store)
}
