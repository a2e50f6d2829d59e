package docs_test

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/crypto/scrypt"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
)

// fromDjango is a value of the column auth_user.password in the form that ImportUser takes.
func fromDjango(encoded string) string {
	switch scheme, rest, _ := strings.Cut(encoded, "$"); scheme {
	case "argon2":
		return "$" + rest
	case "bcrypt":
		return rest
	}
	return encoded // pbkdf2_sha256, pbkdf2_sha1
}

// scryptPHC is a hash of a system that keeps its parts apart. logN is the binary logarithm of N: 14 for 16384.
func scryptPHC(logN, r, p int, salt, key []byte) string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$scrypt$ln=%d,r=%d,p=%d$%s$%s", logN, r, p, b64(salt), b64(key))
}

// pbkdf2PHC is the same for PBKDF2 with HMAC-SHA-256.
func pbkdf2PHC(iterations int, salt, key []byte) string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$pbkdf2-sha256$i=%d,l=%d$%s$%s", iterations, len(key), b64(salt), b64(key))
}

// gotrue is what a row of auth.users of Supabase says, and one of auth.identities for each provider but email and phone.
type gotrue struct {
	ID                       uuid.UUID
	CreatedAt                time.Time
	Email, EncryptedPassword string
	EmailConfirmedAt         *time.Time
	BannedUntil              *time.Time
	UserMetadata             json.RawMessage
	Identities               []struct{ Provider, ProviderID string }
}

func fromGoTrue(row gotrue, now time.Time) auth.ImportUserParams {
	p := auth.ImportUserParams{
		ID:            row.ID,
		CreatedAt:     row.CreatedAt,
		Email:         row.Email,
		EmailVerified: row.EmailConfirmedAt != nil,
		PasswordHash:  row.EncryptedPassword,
		Disabled:      row.BannedUntil != nil && row.BannedUntil.After(now),
		Options:       auth.SignUpOptions{Metadata: row.UserMetadata},
	}
	for _, i := range row.Identities {
		p.Identities = append(p.Identities, auth.ImportIdentity{Provider: i.Provider, Subject: i.ProviderID})
	}
	return p
}

// TestHashesFromElsewhereSignIn has hashes of the password "correct horse", as other systems have made them.
func TestHashesFromElsewhereSignIn(t *testing.T) {
	t.Parallel()
	const password = "correct horse"
	salt := []byte("a salt of theirs")
	ofScrypt, err := scrypt.Key([]byte(password), salt, 1<<10, 8, 1, 64)
	if err != nil {
		t.Fatal(err)
	}
	ofPBKDF2, err := pbkdf2.Key(sha256.New, password, salt, 1000, 64)
	if err != nil {
		t.Fatal(err)
	}
	for name, hash := range map[string]string{
		"Django's PBKDF2": fromDjango("pbkdf2_sha256$1000$seasaltseasalt$nFEtiBJrsFKs/zt16fe0xZYOaKEZwkghPKgXrtcV9Hc="),
		"Django's Argon2": fromDjango("argon2$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRzb21lc2FsdA$7YbYS2w24dSTBgFeLZ/Pp5pFxLjWTXyOMrr1Ld8BcEI"),
		"Django's bcrypt": fromDjango("bcrypt$$2b$04$3l16gQS7W54bdRbL4k88TuV0/ltMrp14YuMmC0XiWcIEKMALNwnrO"),
		"bcrypt":          "$2a$04$IoFh1GDjylxOq6v2PfWj/OIIP06GS/jXVf1CaQNgOX4Gpki61KwHy",
		"scrypt":          scryptPHC(10, 8, 1, salt, ofScrypt),
		"PBKDF2":          pbkdf2PHC(1000, salt, ofPBKDF2),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := authtest.New(t)
			p := auth.ImportUserParams{Email: "ada@example.com", EmailVerified: true, PasswordHash: hash}
			if _, err := e.ImportUser(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			if _, err := e.SignInPassword(t.Context(), auth.SignInPasswordParams{Email: "ada@example.com", Password: password}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAUserOfGoTrueIsWhoTheyWere(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	confirmed := e.Clock.Now().Add(-time.Hour)
	row := gotrue{
		ID: uuid.New(), CreatedAt: confirmed, Email: "ada@example.com", EmailConfirmedAt: &confirmed, UserMetadata: json.RawMessage(`{"name":"Ada"}`),
		EncryptedPassword: "$2a$04$IoFh1GDjylxOq6v2PfWj/OIIP06GS/jXVf1CaQNgOX4Gpki61KwHy", BannedUntil: &confirmed,
		Identities: []struct{ Provider, ProviderID string }{{"github", "1"}},
	}
	if _, err := e.ImportUser(t.Context(), fromGoTrue(row, e.Clock.Now())); err != nil {
		t.Fatal(err)
	}
	in, err := e.SignInPassword(t.Context(), auth.SignInPasswordParams{Email: "ada@example.com", Password: "correct horse"})
	if err != nil {
		t.Fatal(err)
	}
	if u := in.Session.User; u.ID != row.ID || !u.EmailVerified || string(u.Metadata) != `{"name":"Ada"}` {
		t.Errorf("Ada is %+v", u)
	}
}
