package auth

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a value that must not be seen: it prints as "[redacted]" whatever the verb, and so do structs that hold it.
type Secret []byte

// Format implements [fmt.Formatter].
func (Secret) Format(f fmt.State, _ rune) { hide(f) }

// LogValue implements [slog.LogValuer].
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps the secret out of JSON and its like.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

const redacted = "[redacted]"

// What holds a secret prints as "[redacted]" whatever the verb, so that it can stand in a log by mistake. Where a type is
// declared beside what it is for, its methods are there; those of the others are here.

// hide prints what stands for a secret.
func hide(f fmt.State) { _, _ = io.WriteString(f, redacted) }

// Format keeps the tokens out of logs.
func (SignInResult) Format(f fmt.State, _ rune) { hide(f) }

// LogValue is [SignInResult.Format] for package slog.
func (SignInResult) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format keeps the ticket out of logs.
func (VerifyTicketParams) Format(f fmt.State, _ rune) { hide(f) }

// LogValue is [VerifyTicketParams.Format] for package slog.
func (VerifyTicketParams) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format keeps the code out of logs.
func (VerifiedTicket) Format(f fmt.State, _ rune) { hide(f) }

// LogValue is [VerifiedTicket.Format] for package slog.
func (VerifiedTicket) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format keeps the code out of logs.
func (VerifyEmailOTPParams) Format(f fmt.State, _ rune) { hide(f) }

// LogValue is [VerifyEmailOTPParams.Format] for package slog.
func (VerifyEmailOTPParams) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format keeps the code out of logs.
func (VerifySMSOTPParams) Format(f fmt.State, _ rune) { hide(f) }

// LogValue is [VerifySMSOTPParams.Format] for package slog.
func (VerifySMSOTPParams) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format keeps the code out of logs.
func (VerifyChangePhoneParams) Format(f fmt.State, _ rune) { hide(f) }

// LogValue is [VerifyChangePhoneParams.Format] for package slog.
func (VerifyChangePhoneParams) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format keeps the code out of logs.
func (VerifyDeanonymizeParams) Format(f fmt.State, _ rune) { hide(f) }

// LogValue is [VerifyDeanonymizeParams.Format] for package slog.
func (VerifyDeanonymizeParams) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format keeps the token out of logs.
func (RefreshParams) Format(f fmt.State, _ rune) { hide(f) }

// LogValue is [RefreshParams.Format] for package slog.
func (RefreshParams) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format keeps the token out of logs.
func (SignOutParams) Format(f fmt.State, _ rune) { hide(f) }

// LogValue is [SignOutParams.Format] for package slog.
func (SignOutParams) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format keeps the challenge out of logs.
func (RequestOptions) Format(f fmt.State, _ rune) { hide(f) }

// LogValue is [RequestOptions.Format] for package slog.
func (RequestOptions) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format keeps the challenge out of logs.
func (CreationOptions) Format(f fmt.State, _ rune) { hide(f) }

// LogValue is [CreationOptions.Format] for package slog.
func (CreationOptions) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format keeps the challenge out of logs.
func (Elevation) Format(f fmt.State, _ rune) { hide(f) }

// LogValue is [Elevation.Format] for package slog.
func (Elevation) LogValue() slog.Value { return slog.StringValue(redacted) }
