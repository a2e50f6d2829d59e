// Package audit tests the audit trail of an engine over each of the three stores: what somebody does to its rows who can write to
// the database, replicas that write it at the same moment, and transactions of the service's own.
package audit
