package redislimit

import (
	"time"

	"github.com/ostiary/auth/limit"
)

// UseClock has the limiter count by now in place of Redis' clock, and keeps keys while that stands still.
func (l *Limiter) UseClock(now func() time.Time) {
	l.now = now
	l.slop = 10 * time.Minute
}

// UseOutageClock has outages end by now.
func (l *Limiter) UseOutageClock(now func() time.Time) { l.outage.now = now }

// Key returns the name of a bucket in Redis.
func (l *Limiter) Key(t *limit.Take) string { return l.key(t) }

// Calm is how long nothing must have failed before an outage is over.
const Calm = calm
