// Package webhook is what a service needs to receive the events that an engine sends it: see Config.Webhooks of package
// auth. Requests are those of Standard Webhooks (https://www.standardwebhooks.com), so that any library of that name can read
// them as well.
//
//	secret, err := webhook.ParseSecret(os.Getenv("WEBHOOK_SECRET"))
//	…
//	func (s *Server) events(w http.ResponseWriter, r *http.Request) {
//		event, err := webhook.Read(r, time.Now(), s.secret)
//		if err != nil {
//			http.Error(w, "", http.StatusBadRequest)
//			return
//		}
//		…
//	}
//
// A request says what has happened, once it has. It comes at least once: after a lost answer it comes again, with the same
// [Message.ID], and whoever must not act twice keeps the ids that were seen. Neither do requests come in the order of what
// they tell.
package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers of a request.
const (
	HeaderID        = "Webhook-Id"
	HeaderTimestamp = "Webhook-Timestamp"
	HeaderSignature = "Webhook-Signature"
)

const (
	// Tolerance is how far the time of a request may be from that of its receiver, to either side.
	Tolerance = 5 * time.Minute
	// MaxBody is how many bytes the body of a request has at most.
	MaxBody = 64 << 10

	secretPrefix = "whsec_"
	version      = "v1,"
	// maxSignatures bounds the work that a stranger can make.
	maxSignatures = 16
	maxID         = 256
)

// Errors of [Verify] and [Read]. All of them mean that the request is to be refused, and none says more than this.
var (
	// ErrSignature says that none of the secrets has signed the request.
	ErrSignature = errors.New("webhook: the request is not signed with this secret")
	// ErrTime says that the request is well signed, and too old or from the future: somebody sends it again, or one of the
	// clocks is wrong.
	ErrTime = errors.New("webhook: the time of the request is too far away")
	// ErrMalformed says that the request is no webhook at all.
	ErrMalformed = errors.New("webhook: the request is not a webhook")
)

// Secret is the key that a sender and a receiver share. It prints as "[redacted]" whatever the verb.
type Secret struct{ key []byte }

// ParseSecret reads a secret: "whsec_" and the base64, with padding, of 24 to 64 random bytes. Its error does not repeat it.
func ParseSecret(text string) (Secret, error) {
	encoded, ok := strings.CutPrefix(text, secretPrefix)
	if !ok {
		return Secret{}, errors.New("does not begin with whsec_")
	}
	key, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil || strings.ContainsAny(encoded, "\r\n") {
		return Secret{}, errors.New("is not base64 after whsec_")
	}
	if len(key) < 24 || len(key) > 64 {
		return Secret{}, fmt.Errorf("has %d bytes; it must have from 24 to 64 random ones", len(key))
	}
	return Secret{key}, nil
}

const redacted = "[redacted]"

// Format keeps the secret out of logs.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue is [Secret.Format] for package slog.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// sum is the HMAC-SHA-256 of what is signed: the id, the time in seconds and the body, with full stops between them.
func (s Secret) sum(id, timestamp string, body []byte) []byte {
	h := hmac.New(sha256.New, s.key)
	_, _ = io.WriteString(h, id+"."+timestamp+".")
	_, _ = h.Write(body)
	return h.Sum(nil)
}

// Sign returns the headers of a request, with a signature by each of the secrets: while one takes the place of another,
// receivers know either.
func Sign(id string, at time.Time, body []byte, secrets ...Secret) http.Header {
	timestamp := strconv.FormatInt(at.Unix(), 10)
	signatures := make([]string, len(secrets))
	for i, s := range secrets {
		signatures[i] = version + base64.StdEncoding.EncodeToString(s.sum(id, timestamp, body))
	}
	return http.Header{
		HeaderID:        {id},
		HeaderTimestamp: {timestamp},
		HeaderSignature: {strings.Join(signatures, " ")},
	}
}

// Verify returns the id of a request if one of the secrets has signed it and its time is within [Tolerance] of now.
// Signatures are compared in constant time. The body is that which came, to the byte. Within the tolerance a request can be
// sent again by whoever has seen it: the same id is the same message.
//
// Errors: [ErrMalformed], [ErrSignature], [ErrTime].
func Verify(h http.Header, body []byte, now time.Time, secrets ...Secret) (id string, err error) {
	id, okID := one(h, HeaderID)
	timestamp, okTime := one(h, HeaderTimestamp)
	signatures, okSignature := one(h, HeaderSignature)
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if !okID || !okTime || !okSignature || len(id) > maxID || err != nil || strconv.FormatInt(seconds, 10) != timestamp {
		return "", ErrMalformed
	}
	if !signedBy(signatures, id, timestamp, body, secrets) {
		return "", ErrSignature
	}
	// After the signature: what a stranger says of the time is not looked at.
	if at := time.Unix(seconds, 0); at.Before(now.Add(-Tolerance)) || at.After(now.Add(Tolerance)) {
		return "", ErrTime
	}
	return id, nil
}

// one returns the value of a header that is there once.
func one(h http.Header, name string) (string, bool) {
	values := h.Values(name)
	if len(values) != 1 || values[0] == "" {
		return "", false
	}
	return values[0], true
}

// signedBy reports whether one of the signatures is by one of the secrets. Those of other versions are not looked at.
func signedBy(signatures, id, timestamp string, body []byte, secrets []Secret) bool {
	list := strings.SplitN(signatures, " ", maxSignatures+1)
	list = list[:min(len(list), maxSignatures)]
	good := false
	for _, s := range secrets {
		if len(s.key) == 0 {
			continue // what has not been parsed is nobody's secret
		}
		want := s.sum(id, timestamp, body)
		for _, signature := range list {
			encoded, ok := strings.CutPrefix(signature, version)
			got, err := base64.StdEncoding.Strict().DecodeString(encoded)
			good = ok && err == nil && hmac.Equal(got, want) || good
		}
	}
	return good
}

// Message is what a request tells.
type Message struct {
	// ID is the same however often the message comes, and another at each endpoint: see Event.ID for that of what has
	// happened. It is in a header and not in the body.
	ID string `json:"-"`

	Type      string    `json:"type"`      // an EventType of package auth, such as "signed-in"
	Timestamp time.Time `json:"timestamp"` // when it happened, and not when this was sent
	Data      Event     `json:"data"`
}

// Event is what has happened. Fields that say nothing are left out. New ones may come: a receiver must let pass what it does
// not know.
type Event struct {
	ID        string `json:"id"`                  // a UUID, the same at every endpoint and in the service's own sinks
	UserID    string `json:"userId,omitempty"`    // a UUID
	SessionID string `json:"sessionId,omitempty"` // a UUID
	Address   string `json:"address,omitempty"`   // the client's IP address
	Method    string `json:"method,omitempty"`    // such as "password"
	Code      string `json:"code,omitempty"`      // of the failure; left out where there was none
	Detail    string `json:"detail,omitempty"`    // depends on the type
}

// Read reads the body of a request, at most [MaxBody] bytes, verifies it as [Verify] does, and returns what it tells.
//
// Errors: [ErrMalformed], also for a body that is too long or is no message; [ErrSignature]; [ErrTime]; that of reading.
func Read(r *http.Request, now time.Time, secrets ...Secret) (*Message, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxBody+1))
	if err != nil {
		return nil, fmt.Errorf("webhook: read the body: %w", err)
	}
	if len(body) > MaxBody {
		return nil, ErrMalformed
	}
	id, err := Verify(r.Header, body, now, secrets...)
	if err != nil {
		return nil, err
	}
	m := Message{ID: id}
	if err := json.Unmarshal(body, &m); err != nil || m.Type == "" {
		return nil, ErrMalformed
	}
	return &m, nil
}
