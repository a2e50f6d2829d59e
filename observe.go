package auth

import "context"

// Observer watches an engine at work, for traces and metrics; package otelauth is one. What it does it does on the
// goroutine of the call, so it must be quick, and safe for concurrent use. What happened, and to whom, is for
// [EventSink].
type Observer interface {
	// Begin is called when a method of the engine begins, with the name of the method, such as "SignInPassword". The context
	// that it returns is that of the call, so that what is done during it, such as the calls of the store, can be seen as
	// parts of it; it must be ctx or derived from it. The function that it returns is called once, when the method ends, with
	// the error that its caller gets: nil or an [*Error].
	Begin(ctx context.Context, method string) (context.Context, func(error))
}

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
	c.engine.settle(err)
	if c.ended != nil {
		c.ended(*err)
	}
}
