// Package telemetry tests that package otelauth shows what an engine does without changing it, over the databases that a
// service may have: their transactions, their contexts, and many callers at once. PostgreSQL is looked for at
// AUTH_TEST_POSTGRES, as in package durability.
package telemetry
