package storetest

import (
	"context"
	"errors"
	"sync"

	"github.com/ostiary/auth/store"
)

// ErrFault is what a [Fault] makes a call fail with unless it says otherwise. It is none of the errors that the contract
// names: the store has failed.
var ErrFault = errors.New("storetest: injected fault")

// Fault is something that goes wrong in a call of a store.
//
// To try a failure at each step of a flow, run it once with a [Counter], and then once for each trip with
//
//	storetest.Break(s, storetest.Fault{Call: i})
//	storetest.Break(s, storetest.Fault{Call: i, After: true})
type Fault struct {
	// Method is the name of the method that it happens to, such as "ChangeUser"; empty for any.
	Method string

	// Call is which call it happens to, of Method or of all: 1 is the first; 0 is each.
	Call int

	// After makes it happen when the call has been done: what the call changed stays changed, but with an error its
	// answer is lost. Otherwise it happens before, and with an error the call is not made.
	After bool

	// Do, unless nil, is called, with the context of the call. It may cancel that context, wait for a channel (and for
	// ctx.Done(), as a store would), or change something behind the caller's back.
	Do func(ctx context.Context)

	// Err is returned in place of the answer. If it is nil and there is no Do, that is [ErrFault]; if it is nil and
	// there is a Do, the call goes on, or its answer is returned.
	Err error
}

// Faulty is a store to which faults happen, to test what becomes of those who depend on it. It is safe for concurrent
// use.
type Faulty struct {
	wrapped
	faults []Fault
	mu     sync.Mutex
	total  int
	calls  map[string]int
	fired  int
}

// Break returns a store that is like s but for the faults. Where several befall one call, they do so in the order given,
// and the first error is the last.
func Break(s store.Store, faults ...Fault) *Faulty {
	f := &Faulty{faults: faults, calls: map[string]int{}}
	f.wrapped = wrapped{s, f.around}
	return f
}

// Fired returns how many faults have happened. A test that expects a flow to survive one should know that there was one.
func (f *Faulty) Fired() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fired
}

func (f *Faulty) around(ctx context.Context, method string, call func() error) error {
	f.mu.Lock()
	f.total++
	f.calls[method]++
	total, ofMethod := f.total, f.calls[method]
	f.mu.Unlock()

	befall := func(after bool) error {
		for _, fault := range f.faults {
			n := total
			if fault.Method != "" {
				n = ofMethod
			}
			if fault.After != after || fault.Method != "" && fault.Method != method || fault.Call != 0 && fault.Call != n {
				continue
			}
			f.mu.Lock()
			f.fired++
			f.mu.Unlock()
			if fault.Do != nil {
				fault.Do(ctx)
			}
			switch {
			case fault.Err != nil:
				return fault.Err
			case fault.Do == nil:
				return ErrFault
			}
		}
		return nil
	}
	if err := befall(false); err != nil {
		return err
	}
	err := call()
	if lost := befall(true); lost != nil {
		return lost
	}
	return err
}
