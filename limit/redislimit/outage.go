package redislimit

import (
	"sync"
	"sync/atomic"
	"time"
)

// calm is how long nothing must have failed before an outage can be over.
const calm = 10 * time.Second

// outage knows whether Redis works, and tells when that changes.
type outage struct {
	notify func(error)
	now    func() time.Time

	out  atomic.Bool // so that calls which succeed need no lock
	mu   sync.Mutex
	last time.Time // of the failures
}

func (o *outage) failed(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last = o.now()
	if !o.out.Swap(true) {
		o.tell(err)
	}
}

func (o *outage) worked() {
	if !o.out.Load() {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.now().Sub(o.last) >= calm && o.out.Swap(false) {
		o.tell(nil)
	}
}

func (o *outage) tell(err error) {
	if o.notify != nil {
		o.notify(err)
	}
}
