package auth

import (
	"context"
	"io/fs"
	"net/http"
	"path"
	"runtime/debug"
	"testing/fstest"
	"time"

	"github.com/google/uuid"

	texts "github.com/ostiary/auth/internal/letter"
	"github.com/ostiary/auth/mail"
	"github.com/ostiary/auth/store"
)

// RefreshToken makes a refresh token that only a session of great age would have.
func RefreshToken(e *Engine, session uuid.UUID, generation uint32) (string, error) {
	return e.tokens.Encode(session, generation)
}

// Issue makes a ticket of any kind.
func Issue(e *Engine, kind string, userID uuid.UUID, data any) (*store.Ticket, string, error) {
	return e.issue(kind, userID, time.Hour, data)
}

// CodeAt is the code of a time step.
func CodeAt(secret []byte, step int64) (string, error) { return codeAt(secret, step) }

// PurgeAudit removes what is too old from the audit trail, as the loop does once in a while.
func PurgeAudit(ctx context.Context, e *Engine) { e.purgeAudit(ctx) }

// ForgeAuditHead is a head of the audit trail that only somebody with the secret can make.
func ForgeAuditHead(e *Engine, base, last AuditAnchor) []byte {
	return e.audit.chain.encode(auditHead{base, last})
}

// AuditLink is the link of an event of the audit trail that comes after another.
func AuditLink(e *Engine, after AuditAnchor, ev store.Event) [32]byte {
	return e.audit.chain.link(after, &ev).Link
}

// RetryAfter is the pause that a receiver of webhooks asks for.
func RetryAfter(h http.Header, now time.Time) time.Duration { return retryAfter(h, now) }

// SealKey seals what the row of a signing key holds.
func SealKey(e *Engine, id string, content []byte) []byte {
	return e.box.Seal(sealedKey, []byte(id), content)
}

// VersionIn is the version of this module in a program.
func VersionIn(info *debug.BuildInfo) string { return versionIn(info) }

// SealMessage seals what the row of a message holds.
func SealMessage(e *Engine, id uuid.UUID, content []byte) []byte {
	return e.box.Seal("message", id[:], content)
}

// Complete is a configuration with its defaults, as an engine uses it.
func Complete(c Config) (Config, error) {
	complete, _, err := c.withDefaults()
	return complete, err
}

// ForgetTexts takes the letter or text message of a name from an engine, which cannot write it from then on; all of them, if it has
// no name.
func ForgetTexts(e *Engine, name string) error {
	left := fstest.MapFS{}
	err := fs.WalkDir(mail.Templates(), ".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || name == "" || path.Base(path.Dir(file)) == name {
			return err
		}
		content, err := fs.ReadFile(mail.Templates(), file)
		left[file] = &fstest.MapFile{Data: content}
		return err
	})
	if err == nil {
		e.rules.texts, err = texts.Parse(left)
	}
	return err
}
