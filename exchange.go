package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"

	"github.com/ostiary/auth/store"
)

// codeTicket is what a code is traded for, by whom.
type codeTicket struct {
	Challenge string   `json:"challenge"`
	Method    string   `json:"method"`
	AMR       []string `json:"amr"`
	Visit     *visit   `json:"visit,omitempty"`
}

// giveCode gives the client that began a code in place of a session. Whether a second factor is owed is asked when the code is
// exchanged.
func (e *Engine) giveCode(ctx context.Context, in entry) (*SignInResult, error) {
	ticket, code, err := e.issue(kindCode, in.user.ID, e.life(kindCode), codeTicket{in.challenge, in.method, in.amr, in.visit})
	if err != nil {
		return nil, err
	}
	ticket.Tries = 1
	if err := e.giveTicket(ctx, in, ticket); err != nil {
		return nil, err
	}
	return &SignInResult{Code: code}, nil
}

// ExchangeCodeParams is a code and the proof that it was meant for who presents it.
type ExchangeCodeParams struct {
	Code         string // VerifiedTicket.Code
	CodeVerifier string // what the code challenge was made of (RFC 7636 §4.1)
}

// Format keeps both out of logs, whatever the verb.
func (p ExchangeCodeParams) Format(f fmt.State, _ rune) { hide(f) }

// LogValue is [ExchangeCodeParams.Format] for package slog.
func (p ExchangeCodeParams) LogValue() slog.Value { return slog.StringValue(redacted) }

// ExchangeCode opens the session that a link would have opened, for the client that asked for the link with a code
// challenge (PKCE, RFC 7636, method S256): nothing that stands in a URL is of use to anybody else. A client makes a
// random verifier of 43 to 128 characters and sends the base64url of its SHA-256, without padding, as the challenge. It
// costs two round trips. A code has one try.
//
// Errors: [ErrInvalidRequest] for a code that is unknown, expired or used, and for a verifier that is not its own; the
// account's state, as at [Engine.Refresh]; [ErrProviderAccountLinked] if the account at a provider that the code came of has
// become another user's; [ErrTooManyRequests].
func (e *Engine) ExchangeCode(ctx context.Context, p ExchangeCodeParams) (_ *SignInResult, err error) {
	defer e.begin(&ctx, "ExchangeCode").end(&err)
	wrong := ErrInvalidRequest.saying("the code cannot be exchanged")
	if n := len(p.CodeVerifier); n < 43 || n > 128 {
		return nil, wrong.because(errors.New("not a code verifier"))
	}
	presented, err := e.mayPresent(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { presented(err) }()
	var data codeTicket
	t, u, err := e.check(ctx, kindCode, p.Code, &data)
	if errors.Is(err, ErrInvalidTicket) {
		e.refusedTicket(ctx, u.ID, kindCode, err)
		return nil, wrong.because(err)
	}
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(p.CodeVerifier))
	if subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(data.Challenge)) != 1 {
		e.emit(ctx, Event{Type: EventSignInFailed, UserID: u.ID, Method: data.Method, Code: CodeInvalidRequest})
		return nil, wrong.because(errors.New("another code verifier"))
	}
	in, err := e.enter(ctx, entry{user: u, method: data.Method, amr: data.AMR, change: &store.UserChange{Redeem: t.ID}, visit: data.Visit})
	if err = linkedMeanwhile(spent(overtaken(err))); errors.Is(err, ErrInvalidTicket) {
		e.refusedTicket(ctx, u.ID, kindCode, err)
		return nil, wrong.because(err)
	}
	return in, err
}

// checkChallenge accepts no code challenge, and one of method S256: the base64url of 32 bytes.
func checkChallenge(s string) error {
	if raw, err := strictBase64.DecodeString(s); s != "" && (err != nil || len(raw) != sha256.Size || len(s) != strictBase64.EncodedLen(sha256.Size)) {
		return ErrInvalidRequest.saying("codeChallenge must be the base64url of a SHA-256, 43 characters")
	}
	return nil
}
