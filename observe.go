package auth

import (
	"context"
	"errors"
	"time"
)

// Observer watches an engine at work, for traces and metrics; package otelauth is one. What it does it does on the
// goroutine of the call, so it must be quick, and safe for concurrent use. What happened, and to whom, is for
// [EventSink].
type Observer interface {
	// Begin is called when a method of the engine begins, with the name of the method, such as "SignInPassword". The context
	// that it returns is that of the call, so that what is done during it, such as the calls of the store, can be seen as
	// parts of it; it must be ctx or derived from it. The function that it returns is called once, when the method ends, with
	// the error that its caller gets: nil or an [*Error]. Where the method ends by a panic, of the store for example, that is
	// an [ErrInternal] which wraps [ErrPanic], and the panic goes on.
	Begin(ctx context.Context, method string) (context.Context, func(error))

	// HashWaited is called each time that a password is about to be hashed, be it to keep it or to check it, with how long it
	// has waited until fewer than Config.Password.MaxHashes were. The error is nil; or it is what the method returns because
	// the password is not hashed at all: [ErrTooManyRequests] where Config.Password.MaxWaiting were waiting already, and
	// [ErrInternal] where the context of the call ended.
	HashWaited(ctx context.Context, waited time.Duration, err error)
}

// ErrPanic is wrapped by the error that an [Observer] gets where a method panics. No caller ever gets it.
var ErrPanic = errors.New("auth: the method panicked")

// call is one call of one of the engine's methods.
type call struct {
	engine *Engine
	ended  func(error) // nil without an observer
}

// begin is what every exported method that can fail begins with, and end what it defers:
//
//	defer e.begin(&ctx, "Refresh").end(&err)
func (e *Engine) begin(ctx *context.Context, method string) call {
	if e.config.Observer == nil {
		return call{engine: e}
	}
	watched, ended := e.config.Observer.Begin(*ctx, method)
	*ctx = watched
	return call{e, ended}
}

// end settles the error of a call and tells the observer of it.
func (c call) end(err *error) {
	if c.ended == nil {
		c.engine.settle(err)
		return
	}
	// A panic is not the engine's to deal with, but a call that never ends would be lost to whoever watches.
	if r := recover(); r != nil {
		c.ended(ErrInternal.because(ErrPanic))
		panic(r)
	}
	c.engine.settle(err)
	c.ended(*err)
}

// hashWaited is what tells the observer of passwords that wait to be hashed; nil without one.
func (e *Engine) hashWaited() func(context.Context, time.Duration, error) {
	o := e.config.Observer
	if o == nil {
		return nil
	}
	return func(ctx context.Context, waited time.Duration, err error) {
		err = busy(err)
		e.settle(&err)
		o.HashWaited(ctx, waited, err)
	}
}
