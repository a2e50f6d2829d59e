package passhash

import (
	"context"
	"encoding/base64"
	"errors"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// quick keeps tests that are not about cost fast.
var quick = Params{MemoryKiB: 64, Time: 1, Threads: 1}

const password = "correct horse"

func newHasher(t testing.TB, o Options) *Hasher {
	t.Helper()
	h, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// PW-24
func TestDefaultCostsAreThoseOfOWASP(t *testing.T) {
	t.Parallel()
	encoded, err := newHasher(t, Options{}).Hash(t.Context(), password)
	if err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$`)
	if !want.MatchString(encoded) {
		t.Errorf("Hash returned %q, want a match of %v", encoded, want)
	}
}

func TestHashIsVerifiedAndCurrent(t *testing.T) {
	t.Parallel()
	// PW-11, PW-12, PW-17: every byte counts.
	passwords := []string{
		"", " ", password, password + " ", password + "\x00", "\x00", "Correct horse", "🐎🔋",
		strings.Repeat("x", 72), strings.Repeat("x", 73), strings.Repeat("x", 128), strings.Repeat("\xff", 4096),
	}
	h := newHasher(t, Options{Params: quick})
	for i, p := range passwords {
		encoded, err := h.Hash(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		if err := Validate(encoded); err != nil {
			t.Errorf("Validate refuses what Hash returned: %v", err)
		}
		for j, candidate := range passwords {
			ok, stale, err := h.Verify(t.Context(), encoded, candidate)
			if ok != (i == j) || stale || err != nil {
				t.Errorf("Verify(hash of %q, %q) = %v, %v, %v", p, candidate, ok, stale, err)
			}
		}
		// SI-06
		if ok, _, _ := h.Verify(t.Context(), encoded, encoded); ok {
			t.Errorf("the stored hash of %q is accepted as the password", p)
		}
	}
}

func TestHashesOfOnePasswordDiffer(t *testing.T) {
	t.Parallel()
	h := newHasher(t, Options{Params: quick})
	seen := map[string]bool{}
	for range 50 {
		encoded, err := h.Hash(t.Context(), password)
		if err != nil {
			t.Fatal(err)
		}
		seen[encoded] = true
	}
	if len(seen) != 50 {
		t.Errorf("50 hashes of one password gave %d different strings", len(seen))
	}
}

// Verifiers made by other implementations: libargon2, the Python bcrypt
// package, Passlib, Django, and hashlib.
const (
	argon2idDefault = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$k9ohroejZy1PN5E1SbHNPug6vB8eQAahb5SOAp6iGF4"
	argon2idStrong  = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRzb21lc2FsdA$7YbYS2w24dSTBgFeLZ/Pp5pFxLjWTXyOMrr1Ld8BcEI"
	argon2idWeak    = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$bIKRw3Ua1pluirFy81fnppmR01EnUxY3hLEBwbWxBG8"
	argon2idShort   = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$5hQi0CQNAzdeZpUUxS2GpA"
	argon2i         = "$argon2i$v=19$m=4096,t=3,p=1$c29tZXNhbHRzb21lc2FsdA$1/eIeJ0nUgcxg/1AfmzkamUE6zoxjEV04DP4mGuRShA"
	bcrypt2a        = "$2a$04$IoFh1GDjylxOq6v2PfWj/OIIP06GS/jXVf1CaQNgOX4Gpki61KwHy"
	bcrypt2b        = "$2b$04$3l16gQS7W54bdRbL4k88TuV0/ltMrp14YuMmC0XiWcIEKMALNwnrO"
	scryptPHC       = "$scrypt$ln=10,r=8,p=1$LiUEgPD+f++dE8JYqxWiFA$OLRHislk2WpeJ5agPnCWkiz8UNk1BpMYxwlGiejkOeo"
	passlibSHA1     = "$pbkdf2$1000$d.5d613r/V.r9b7XGkMIwQ$r5TUVSjuaA3F9zV4dsighCXhWdg"
	passlibSHA256   = "$pbkdf2-sha256$1000$.L835jzHeE.p1Rrj/N.7Nw$x4.UBvfBK684RxiUrTCYHEiBCunJ1gwTcomyR1TpqXg"
	passlibSHA512   = "$pbkdf2-sha512$1000$Nea8FwIAIOSck9Kak5KS8g$Ogv3x9FY/9orKw61aaQ3LP.pEK18bTGyaJeBJH3ddo/9ZpBZF9xgBxO0xCb5pp6k7LJjFyCt8uKxUxHtbCWC7g"
	djangoSHA256    = "pbkdf2_sha256$1000$seasaltseasalt$nFEtiBJrsFKs/zt16fe0xZYOaKEZwkghPKgXrtcV9Hc="
	djangoSHA1      = "pbkdf2_sha1$1000$seasaltseasalt$paSCM0joC8gG0D5M4AjwihU/LDo="
	phcSHA1         = "$pbkdf2-sha1$i=1000$c29tZXNhbHRzb21lc2FsdA$42+d12kt/KU+Ky2S7cI6iQS2OFc"
	phcSHA256       = "$pbkdf2-sha256$i=1000$c29tZXNhbHRzb21lc2FsdA$f2yJk+Dph1FxQ+yhQ5KLmg1c5wfFtFU14dLQONYBoAE"
	phcSHA512       = "$pbkdf2-sha512$i=1000$c29tZXNhbHRzb21lc2FsdA$RbkohYpABhrVf6dAjV1mgswjeaDcEw/Z9Lqqoc7ZO6eeqGc4EIBheeCgNOsc3H1ATsxkis9nQ04P4KAKB0FMcA"
	phcSHA512Half   = "$pbkdf2-sha512$i=1000,l=32$c29tZXNhbHRzb21lc2FsdA$RbkohYpABhrVf6dAjV1mgswjeaDcEw/Z9Lqqoc7ZO6c"
)

// SI-09
func TestVerifiersOfOtherImplementations(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		encoded string
		stale   bool
	}{
		{"Argon2id at the current cost is current", argon2idDefault, false},
		{"Argon2id above the current cost is current", argon2idStrong, false},
		{"Argon2id below the current cost is stale", argon2idWeak, true},
		{"Argon2id with a short salt and key is stale", argon2idShort, true},
		{"Argon2i is stale", argon2i, true},
		{"bcrypt $2a$ is stale", bcrypt2a, true},
		{"bcrypt $2b$ is stale", bcrypt2b, true},
		{"bcrypt $2y$ is stale", strings.Replace(bcrypt2b, "2b", "2y", 1), true},
		{"scrypt is stale", scryptPHC, true},
		{"PBKDF2-SHA1 of Passlib is stale", passlibSHA1, true},
		{"PBKDF2-SHA256 of Passlib is stale", passlibSHA256, true},
		{"PBKDF2-SHA512 of Passlib is stale", passlibSHA512, true},
		{"PBKDF2-SHA256 of Django is stale", djangoSHA256, true},
		{"PBKDF2-SHA1 of Django is stale", djangoSHA1, true},
		{"PBKDF2-SHA1 as PHC is stale", phcSHA1, true},
		{"PBKDF2-SHA256 as PHC is stale", phcSHA256, true},
		{"PBKDF2-SHA512 as PHC is stale", phcSHA512, true},
		{"PBKDF2-SHA512 as PHC with half the key is stale", phcSHA512Half, true},
	}
	h := newHasher(t, Options{})
	// Here Argon2i has more than the current cost, and is still the wrong scheme.
	if ok, stale, err := newHasher(t, Options{Params: quick}).Verify(t.Context(), argon2i, password); !ok || !stale || err != nil {
		t.Errorf("Argon2i above the current cost: ok %v, stale %v, error %v; want true, true, nil", ok, stale, err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if err := Validate(tt.encoded); err != nil {
				t.Fatal(err)
			}
			ok, stale, err := h.Verify(t.Context(), tt.encoded, password)
			if !ok || stale != tt.stale || err != nil {
				t.Errorf("the password: ok %v, stale %v, error %v; want true, %v, nil", ok, stale, err, tt.stale)
			}
			for _, wrong := range []string{"", "Correct horse", password + " ", password[:len(password)-1], tt.encoded} {
				ok, stale, err := h.Verify(t.Context(), tt.encoded, wrong)
				if ok || stale || err != nil {
					t.Errorf("%q: ok %v, stale %v, error %v; want false, false, nil", wrong, ok, stale, err)
				}
			}
		})
	}
}

func TestStaleMeansWeakerThanTheCurrentParameters(t *testing.T) {
	t.Parallel()
	current := Params{MemoryKiB: 128, Time: 2, Threads: 2}
	tests := []struct {
		name   string
		params Params
		want   bool
	}{
		{"the same", current, false},
		{"more memory", Params{256, 2, 2}, false},
		{"more passes", Params{128, 3, 2}, false},
		{"fewer threads", Params{128, 2, 1}, false},
		{"more threads", Params{128, 2, 4}, false},
		{"less memory", Params{127, 2, 2}, true},
		{"fewer passes", Params{128, 1, 2}, true},
		{"less memory and more passes", Params{64, 4, 2}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			encoded, err := newHasher(t, Options{Params: tt.params}).Hash(t.Context(), password)
			if err != nil {
				t.Fatal(err)
			}
			ok, stale, err := newHasher(t, Options{Params: current}).Verify(t.Context(), encoded, password)
			if !ok || stale != tt.want || err != nil {
				t.Errorf("ok %v, stale %v, error %v; want true, %v, nil", ok, stale, err, tt.want)
			}
		})
	}
}

// PW-15, SI-05
func TestUnsupportedVerifiers(t *testing.T) {
	t.Parallel()
	const (
		salt = "c29tZXNhbHRzb21lc2FsdA"
		key  = "k9ohroejZy1PN5E1SbHNPug6vB8eQAahb5SOAp6iGF4"
	)
	b64 := func(n int) string { return base64.RawStdEncoding.EncodeToString(make([]byte, n)) }
	tests := []struct{ name, encoded string }{
		{"nothing", ""},
		{"a dollar sign", "$"},
		{"three dollar signs", "$$$"},
		{"the password in clear", password},
		{"the word null", "null"},
		{"an asterisk", "*"},
		{"an exclamation mark", "!"},
		{"a NUL", "\x00"},
		{"an unknown scheme", "$argon3id$v=19$m=19456,t=2,p=1$" + salt + "$" + key},
		{"a scheme in capitals", strings.ToUpper(argon2idDefault[:9]) + argon2idDefault[9:]},
		{"a leading blank", " " + argon2idDefault},
		{"a line break at the end", argon2idDefault + "\n"},
		{"a line break in the salt", strings.Replace(argon2idDefault, salt, salt[:4]+"\n"+salt[4:], 1)},
		{"something appended", argon2idDefault + "$"},
		{"more than 512 bytes", argon2idDefault + strings.Repeat("A", 512)},

		{"Argon2d", "$argon2d$v=19$m=4096,t=3,p=1$c29tZXNhbHRzb21lc2FsdA$DODHJSHghsTI4OVQ92yLkTA0Bm6x/XMmY5gM56YO9Ko"},
		{"Argon2 of version 1.0", "$argon2i$v=16$m=4096,t=3,p=1$c29tZXNhbHRzb21lc2FsdA$j1uJFNAOZsQXHOSBXs1l9e8Dq7Fi732j6OBNXKOB0M4"},
		{"Argon2 without a version", "$argon2i$m=4096,t=3,p=1$" + salt + "$" + key},
		{"Argon2 with 4 GiB of memory", "$argon2id$v=19$m=4194304,t=1,p=1$" + salt + "$" + key},
		{"Argon2 with a little over 256 MiB of memory", "$argon2id$v=19$m=262145,t=1,p=1$" + salt + "$" + key},
		{"Argon2 with 2^31 passes", "$argon2id$v=19$m=19456,t=2147483648,p=1$" + salt + "$" + key},
		{"Argon2 with 65 passes", "$argon2id$v=19$m=64,t=65,p=1$" + salt + "$" + key},
		{"Argon2 with much memory and many passes", "$argon2id$v=19$m=262144,t=5,p=1$" + salt + "$" + key},
		{"Argon2 with 17 threads", "$argon2id$v=19$m=19456,t=2,p=17$" + salt + "$" + key},
		{"Argon2 with 257 threads", "$argon2id$v=19$m=19456,t=2,p=257$" + salt + "$" + key},
		{"Argon2 without threads", "$argon2id$v=19$m=19456,t=2,p=0$" + salt + "$" + key},
		{"Argon2 without passes", "$argon2id$v=19$m=19456,t=0,p=1$" + salt + "$" + key},
		{"Argon2 without memory", "$argon2id$v=19$m=0,t=2,p=1$" + salt + "$" + key},
		{"Argon2 with less memory than its threads need", "$argon2id$v=19$m=15,t=2,p=2$" + salt + "$" + key},
		{"Argon2 with a negative cost", "$argon2id$v=19$m=19456,t=-2,p=1$" + salt + "$" + key},
		{"Argon2 with a leading zero", "$argon2id$v=19$m=019456,t=2,p=1$" + salt + "$" + key},
		{"Argon2 with a cost that is no number", "$argon2id$v=19$m=0x80,t=2,p=1$" + salt + "$" + key},
		{"Argon2 with costs in another order", "$argon2id$v=19$t=2,m=19456,p=1$" + salt + "$" + key},
		{"Argon2 with a cost missing", "$argon2id$v=19$m=19456,t=2$" + salt + "$" + key},
		{"Argon2 with a cost too many", "$argon2id$v=19$m=19456,t=2,p=1,q=1$" + salt + "$" + key},
		{"Argon2 with associated data", "$argon2id$v=19$m=19456,t=2,p=1,data=AAAA$" + salt + "$" + key},
		{"Argon2 without a salt", "$argon2id$v=19$m=19456,t=2,p=1$$" + key},
		{"Argon2 with a salt of 7 bytes", "$argon2id$v=19$m=19456,t=2,p=1$" + b64(7) + "$" + key},
		{"Argon2 with a salt of 65 bytes", "$argon2id$v=19$m=19456,t=2,p=1$" + b64(65) + "$" + key},
		{"Argon2 without a key", "$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$"},
		{"Argon2 without a key field", "$argon2id$v=19$m=19456,t=2,p=1$" + salt},
		{"Argon2 with a key of 15 bytes", "$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$" + b64(15)},
		{"Argon2 with a key of 65 bytes", "$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$" + b64(65)},
		{"Argon2 with padding", argon2idDefault + "="},
		{"Argon2 with padding behind the salt", strings.Replace(argon2idDefault, salt, salt+"=", 1)},
		{"Argon2 with a salt whose last bits are not zero", strings.Replace(argon2idDefault, salt, salt[:21]+"B", 1)},
		{"Argon2 with a cost that is empty", "$argon2id$v=19$m=,t=2,p=1$" + salt + "$" + key},
		{"Argon2 with 1,048,577 KiB of memory times passes", "$argon2id$v=19$m=61681,t=17,p=1$" + salt + "$" + key},
		{"Argon2 with a key whose last bits are not zero", strings.TrimSuffix(argon2idDefault, "4") + "5"},
		{"Argon2 with a key in the URL alphabet", strings.Replace(argon2i, "/", "_", 1)},

		{"the bcrypt prefix alone", "$2a$10$"},
		{"bcrypt cut by one character", bcrypt2b[:len(bcrypt2b)-1]},
		{"bcrypt with one character too many", bcrypt2b + "."},
		{"bcrypt with another field", bcrypt2b + "$"},
		{"bcrypt without a cost", strings.Replace(bcrypt2b, "$04$", "$xx$", 1)},
		{"bcrypt of cost 0", strings.Replace(bcrypt2b, "$04$", "$00$", 1)},
		{"bcrypt of cost 3", strings.Replace(bcrypt2b, "$04$", "$03$", 1)},
		{"bcrypt of cost 16", strings.Replace(bcrypt2b, "$04$", "$16$", 1)},
		{"bcrypt of cost 31", strings.Replace(bcrypt2b, "$04$", "$31$", 1)},
		{"bcrypt with a cost of one digit", strings.Replace(bcrypt2b, "$04$", "$4$", 1)},
		{"bcrypt with a cost of three digits", strings.Replace(bcrypt2b, "$04$", "$010$", 1)},
		{"bcrypt with a signed cost", strings.Replace(bcrypt2b, "$04$", "$+4$", 1)},
		{"bcrypt with a character outside its alphabet", strings.Replace(bcrypt2b, "W54b", "W5+b", 1)},
		{"bcrypt $2$", strings.Replace(bcrypt2b, "2b", "2", 1)},
		{"bcrypt $2x$", strings.Replace(bcrypt2b, "2b", "2x", 1)},
		{"bcrypt $2c$", strings.Replace(bcrypt2b, "2b", "2c", 1)},

		{"scrypt with N = 2^31", strings.Replace(scryptPHC, "ln=10", "ln=31", 1)},
		{"scrypt with N = 1", strings.Replace(scryptPHC, "ln=10", "ln=0", 1)},
		{"scrypt with 512 MiB of memory", strings.Replace(scryptPHC, "ln=10", "ln=19", 1)},
		{"scrypt with N = 2^21", strings.Replace(scryptPHC, "ln=10,r=8", "ln=21,r=1", 1)},
		{"scrypt with padding behind the salt", strings.Replace(scryptPHC, "iFA$", "iFA=$", 1)},
		{"scrypt with r = 33", strings.Replace(scryptPHC, "r=8", "r=33", 1)},
		{"scrypt with r = 0", strings.Replace(scryptPHC, "r=8", "r=0", 1)},
		{"scrypt with p = 17", strings.Replace(scryptPHC, "p=1", "p=17", 1)},
		{"scrypt with p = 0", strings.Replace(scryptPHC, "p=1", "p=0", 1)},
		{"scrypt with much memory and a high p", strings.Replace(scryptPHC, "ln=10,r=8,p=1", "ln=18,r=8,p=8", 1)},
		{"scrypt with costs in another order", strings.Replace(scryptPHC, "ln=10,r=8,p=1", "r=8,ln=10,p=1", 1)},
		{"scrypt with a field missing", strings.TrimSuffix(scryptPHC, "$"+strings.Split(scryptPHC, "$")[4])},
		{"scrypt with a key cut to 30 bytes", scryptPHC[:len(scryptPHC)-3]},

		{"PBKDF2 without iterations", strings.Replace(phcSHA256, "i=1000", "i=0", 1)},
		{"PBKDF2 with 5,000,001 iterations", strings.Replace(phcSHA256, "i=1000", "i=5000001", 1)},
		{"PBKDF2 with 2^32 and 1 iterations", strings.Replace(phcSHA256, "i=1000", "i=4294967297", 1)},
		{"PBKDF2 with too much work for all blocks together", "$pbkdf2-sha1$i=1300000,l=64$" + salt + "$" + b64(64)},
		{"PBKDF2 with a key of no bytes", "$pbkdf2-sha256$i=1000,l=0$" + salt + "$"},
		{"PBKDF2 with a number that begins with zero", strings.Replace(phcSHA256, "i=1000", "i=01000", 1)},
		{"PBKDF2 with a signed number", strings.Replace(phcSHA256, "i=1000", "i=+1000", 1)},
		{"PBKDF2 with a key shorter than the digest", phcSHA512[:len(phcSHA512)-43]},
		{"PBKDF2 with a key shorter than it says", phcSHA512Half[:len(phcSHA512Half)-3]},
		{"PBKDF2 with a key longer than it says", strings.Replace(phcSHA512Half, "l=32", "l=31", 1)},
		{"PBKDF2 with a length and no iterations", strings.Replace(phcSHA512Half, "i=1000,l=32", "l=32", 1)},
		{"PBKDF2 with another parameter", strings.Replace(phcSHA512Half, "l=32", "k=32", 1)},
		{"PBKDF2 with an unknown digest", strings.Replace(phcSHA256, "sha256", "md5", 1)},
		{"PBKDF2 of Passlib with too many iterations", strings.Replace(passlibSHA256, "$1000$", "$99999999$", 1)},
		{"PBKDF2 of Passlib cut", passlibSHA256[:len(passlibSHA256)-3]},
		{"PBKDF2 of Passlib with a field missing", passlibSHA256[:strings.LastIndex(passlibSHA256, "$")]},
		{"PBKDF2 of Django with too many iterations", strings.Replace(djangoSHA256, "$1000$", "$99999999$", 1)},
		{"PBKDF2 of Django with a cost that is no number", strings.Replace(djangoSHA256, "$1000$", "$1e3$", 1)},
		{"PBKDF2 of Django without iterations", strings.Replace(djangoSHA256, "$1000$", "$0$", 1)},
		{"PBKDF2 of Django with another field", djangoSHA256 + "$"},
		{"PBKDF2 of Django with fields missing", "pbkdf2_sha256$1000"},
		{"PBKDF2 of Django with too much padding", djangoSHA256 + "="},
		{"PBKDF2 of Django with a salt of 7 bytes", strings.Replace(djangoSHA256, "seasaltseasalt", "seasalt", 1)},
		{"PBKDF2 of Django cut", djangoSHA256[:len(djangoSHA256)-4]},
		{"PBKDF2 of Django without padding", djangoSHA256[:len(djangoSHA256)-1]},
		{"PBKDF2 of Django without a salt", strings.Replace(djangoSHA256, "seasaltseasalt", "", 1)},
		{"PBKDF2 of Django with a salt of 65 bytes", strings.Replace(djangoSHA256, "seasaltseasalt", strings.Repeat("s", 65), 1)},
		{"PBKDF2 of Django with an unknown digest", strings.Replace(djangoSHA256, "sha256", "md5", 1)},
	}
	h := newHasher(t, Options{Params: quick})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			// Validate first: were the verifier accepted, then Verify might do
			// gigabytes of work.
			err := Validate(tt.encoded)
			if !errors.Is(err, ErrUnsupported) {
				t.Fatalf("Validate returned %v, want ErrUnsupported", err)
			}
			// PW-26
			for _, secret := range []string{salt, key, bcrypt2b[7:20], "seasalt", "LiUEgPD", password} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error shows a part of the verifier: %v", err)
				}
			}
			for _, p := range []string{password, "", "\x00", tt.encoded} {
				ok, stale, err := h.Verify(t.Context(), tt.encoded, p)
				if ok || stale || !errors.Is(err, ErrUnsupported) {
					t.Errorf("Verify with %q: ok %v, stale %v, error %v; want false, false, ErrUnsupported", p, ok, stale, err)
				}
			}
		})
	}
}

// What the limits must let pass: OWASP's parameters and the defaults of common
// libraries, each at the most expensive.
func TestCommonCostsAreSupported(t *testing.T) {
	t.Parallel()
	const salt, key = "c29tZXNhbHRzb21lc2FsdA", "k9ohroejZy1PN5E1SbHNPug6vB8eQAahb5SOAp6iGF4"
	tests := []struct{ name, encoded string }{
		{"Argon2id, second recommendation of RFC 9106", "$argon2id$v=19$m=65536,t=3,p=4$" + salt + "$" + key},
		{"Argon2id, libsodium moderate", "$argon2id$v=19$m=262144,t=3,p=1$" + salt + "$" + key},
		{"Argon2id, OWASP with one pass", "$argon2id$v=19$m=47104,t=1,p=1$" + salt + "$" + key},
		{"Argon2id, OWASP with five passes", "$argon2id$v=19$m=7168,t=5,p=1$" + salt + "$" + key},
		{"bcrypt of cost 15", strings.Replace(bcrypt2b, "$04$", "$15$", 1)},
		{"scrypt, OWASP with the most memory", "$scrypt$ln=17,r=8,p=1$" + salt + "$" + key},
		{"scrypt, OWASP with the highest p", "$scrypt$ln=13,r=8,p=10$" + salt + "$" + key},
		{"PBKDF2-SHA1, OWASP", strings.Replace(phcSHA1, "i=1000", "i=1300000", 1)},
		{"PBKDF2-SHA256, OWASP", strings.Replace(phcSHA256, "i=1000", "i=600000", 1)},
		{"PBKDF2-SHA512, OWASP", strings.Replace(phcSHA512, "i=1000", "i=210000", 1)},
		{"PBKDF2 of Django 6", strings.Replace(djangoSHA256, "$1000$", "$1200000$", 1)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if err := Validate(tt.encoded); err != nil {
				t.Error(err)
			}
		})
	}
}

// The most and the least that a verifier may ask for; TestUnsupportedVerifiers
// has one more and one less.
func TestVerifiersAtTheLimitsAreSupported(t *testing.T) {
	t.Parallel()
	b64 := func(n int) string { return base64.RawStdEncoding.EncodeToString(make([]byte, n)) }
	for _, encoded := range []string{
		"$argon2id$v=19$m=128,t=64,p=16$" + b64(8) + "$" + b64(16),
		"$argon2id$v=19$m=262144,t=4,p=1$" + b64(64) + "$" + b64(64),
		"$argon2i$v=19$m=8,t=1,p=1$" + b64(16) + "$" + b64(32),
		bcrypt2b,
		strings.Replace(bcrypt2b, "$04$", "$15$", 1),
		"$scrypt$ln=1,r=1,p=1$" + b64(8) + "$" + b64(32),
		"$scrypt$ln=20,r=1,p=1$" + b64(64) + "$" + b64(64),
		"$scrypt$ln=18,r=8,p=4$" + b64(16) + "$" + b64(64),
		"$scrypt$ln=13,r=32,p=16$" + b64(16) + "$" + b64(32),
		"$pbkdf2-sha256$i=1$" + b64(8) + "$" + b64(32),
		"$pbkdf2-sha256$1$" + b64(8) + "$" + b64(32),
		"$pbkdf2-sha256$i=5000000$" + b64(64) + "$" + b64(32),
		"$pbkdf2-sha256$i=2500000,l=64$" + b64(16) + "$" + b64(64),
		"$pbkdf2-sha256$i=1000,l=16$" + b64(16) + "$" + b64(16),
		"pbkdf2_sha256$1$" + strings.Repeat("s", 8) + "$" + b64(32) + "=",
		"pbkdf2_sha256$5000000$" + strings.Repeat("s", 64) + "$" + b64(32) + "=",
	} {
		if err := Validate(encoded); err != nil {
			t.Errorf("%s: %v", encoded, err)
		}
	}
}

func TestUnsupportedVerifiersSayWhy(t *testing.T) {
	t.Parallel()
	for encoded, want := range map[string]string{
		strings.Repeat("x", 512):                       "unknown scheme",
		strings.Repeat("x", 513):                       "longer than 512 bytes",
		strings.Replace(scryptPHC, "iFA$", "iFA=$", 1): "salt is not base64 of 8 to 64 bytes",
		scryptPHC[:len(scryptPHC)-3]:                   "scrypt key is not of 32 or 64 bytes",
	} {
		if err := Validate(encoded); err == nil || !strings.HasSuffix(err.Error(), ": "+want) {
			t.Errorf("%.100s: %v, want %s", encoded, err, want)
		}
	}
}

// bcrypt has a base64 of its own.
func TestBcryptTakesEveryCharacterOfItsAlphabet(t *testing.T) {
	t.Parallel()
	const alphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	for c := range 0x100 {
		s := string([]byte{byte(c)})
		if err := Validate(bcrypt2b[:30] + s + bcrypt2b[31:]); (err == nil) != strings.Contains(alphabet, s) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

// SI-09: what is made now has the lengths that are recommended now.
func TestAShorterSaltOrKeyIsStale(t *testing.T) {
	t.Parallel()
	h := newHasher(t, Options{Params: quick})
	for _, tt := range []struct {
		salt, key int
		want      bool
	}{{16, 32, false}, {15, 32, true}, {16, 31, true}, {64, 64, false}} {
		salt := make([]byte, tt.salt)
		key := argon2.IDKey([]byte(password), salt, quick.Time, quick.MemoryKiB, quick.Threads, uint32(tt.key))
		ok, stale, err := h.Verify(t.Context(), encodeArgon2id(quick, salt, key), password)
		if !ok || stale != tt.want || err != nil {
			t.Errorf("salt of %d, key of %d bytes: ok %v, stale %v, error %v", tt.salt, tt.key, ok, stale, err)
		}
	}
}

// What nobody's password matches is of no use to anybody who knows the code.
func TestTheVerifierOfNothingIsRandom(t *testing.T) {
	t.Parallel()
	one, other := newHasher(t, Options{Params: quick}), newHasher(t, Options{Params: quick})
	if one.nothing == other.nothing {
		t.Errorf("two hashers have %s", one.nothing)
	}
}

// Limits keep such verifiers away. Should one get past them, it matches nothing.
func TestAVerifierThatCannotBeComputedMatchesNothing(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]verifier{
		"bcrypt": bcryptHash("$2b$04$"),
		"scrypt": scryptHash{key: []byte{}},
		"PBKDF2": pbkdf2Hash{digest: sha256Digest, iterations: 1, key: []byte{}},
	} {
		if ok, err := v.match(password); ok || err == nil {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
	}
}

// PW-11, PW-12: the stored hash is the one that bcrypt gives both passwords.
func TestBcryptNeverMatchesAPasswordThatItCannotTellApart(t *testing.T) {
	t.Parallel()
	const (
		of72As   = "$2b$04$4anb4sP0pUIutA5GjWqnIOunBtzzbpGYPFfknbq/p5vJLxmqTun7i"
		ofSecret = "$2b$04$8/9HPfPZP75z5zVoguBdieo3igSY.OGQzyvs2/5ebJ96AcsXJHpQu"
	)
	ofNothing, err := bcrypt.GenerateFromPassword(nil, bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, encoded, password string
		want                    bool
	}{
		{"no password", string(ofNothing), "", true},
		{"a NUL for no password", string(ofNothing), "\x00", false},
		{"72 bytes", of72As, strings.Repeat("a", 72), true},
		{"71 bytes", of72As, strings.Repeat("a", 71), false},
		{"73 bytes of which the first 72 are right", of72As, strings.Repeat("a", 73), false},
		{"72 right bytes and a NUL", of72As, strings.Repeat("a", 72) + "\x00", false},
		{"the password", ofSecret, "secret", true},
		{"the password and a NUL", ofSecret, "secret\x00", false},
		{"the password twice with a NUL between", ofSecret, "secret\x00secret", false},
	}
	h := newHasher(t, Options{Params: quick})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ok, _, err := h.Verify(t.Context(), tt.encoded, tt.password)
			if ok != tt.want || err != nil {
				t.Errorf("Verify = %v, %v; want %v, nil", ok, err, tt.want)
			}
		})
	}
}

// W23, EN-02: where there is nothing to compare with, the work is done all the
// same. The memory that a hash fills stands for the work. Not parallel, since
// it counts the allocations of the process.
func TestWorkIsTheSameWhereNothingCanMatch(t *testing.T) {
	h := newHasher(t, Options{Params: Params{MemoryKiB: 8 << 10, Time: 1, Threads: 1}})
	current, err := h.Hash(t.Context(), password)
	if err != nil {
		t.Fatal(err)
	}
	allocated := func(f func()) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	verify := func(encoded, p string) func() {
		return func() { _, _, _ = h.Verify(t.Context(), encoded, p) }
	}
	tests := []struct {
		name      string
		like, got func()
	}{
		{"nobody", verify(current, "wrong"), func() { _ = h.VerifyNothing(t.Context(), "wrong") }},
		{"no hash", verify(current, "wrong"), verify("", "wrong")},
		{"a hash that asks for too much", verify(current, "wrong"), verify("$argon2id$v=19$m=4194304,t=1,p=1$c29tZXNhbHQ$c29tZXNhbHQ", "wrong")},
		{"bcrypt and 73 bytes", verify(bcrypt2b, "wrong"), verify(bcrypt2b, strings.Repeat("a", 73))},
		{"bcrypt and a NUL", verify(bcrypt2b, "wrong"), verify(bcrypt2b, "wrong\x00")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want, got := allocated(tt.like), allocated(tt.got)
			if got < want-want/8 || got > want+want/8 {
				t.Errorf("allocates %d bytes, a wrong password %d", got, want)
			}
		})
	}
}

// PW-15. Not parallel, since it counts the allocations of the process.
func TestAHugeVerifierIsRefusedUnread(t *testing.T) {
	huge := strings.Repeat("$", 1<<20)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := Validate(huge)
	runtime.ReadMemStats(&after)
	if !errors.Is(err, ErrUnsupported) {
		t.Errorf("Validate returned %v, want ErrUnsupported", err)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 64<<10 {
		t.Errorf("refusing a megabyte allocates %d bytes", n)
	}
}

func TestVerifyNothingSucceeds(t *testing.T) {
	t.Parallel()
	if err := newHasher(t, Options{Params: quick}).VerifyNothing(t.Context(), password); err != nil {
		t.Error(err)
	}
}

func TestOptionsOutOfRangeAreRefused(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		o    Options
		want string
	}{
		{"no threads", Options{Params: Params{19456, 2, 0}}, "Threads"},
		{"17 threads", Options{Params: Params{19456, 2, 17}}, "Threads"},
		{"no memory", Options{Params: Params{0, 2, 1}}, "MemoryKiB"},
		{"less than 8 KiB for each thread", Options{Params: Params{31, 2, 4}}, "MemoryKiB"},
		{"more than 256 MiB", Options{Params: Params{256<<10 + 1, 2, 1}}, "MemoryKiB"},
		{"no passes", Options{Params: Params{19456, 0, 1}}, "Time"},
		{"65 passes", Options{Params: Params{19456, 65, 1}}, "Time"},
		{"much memory and many passes", Options{Params: Params{256 << 10, 5, 1}}, "MemoryKiB times Time"},
		{"a negative bound", Options{MaxConcurrent: -1}, "MaxConcurrent"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h, err := New(tt.o)
			if h != nil || err == nil || !strings.Contains(err.Error(), tt.want+" is ") {
				t.Errorf("New = %v, %v; want an error about %s", h, err, tt.want)
			}
		})
	}
}

func TestTheBoundsThatNobodySets(t *testing.T) {
	t.Parallel()
	for threads, want := range map[uint8]int{1: runtime.GOMAXPROCS(0), 2: max(1, runtime.GOMAXPROCS(0)/2), 16: max(1, runtime.GOMAXPROCS(0)/16)} {
		h := newHasher(t, Options{Params: Params{MemoryKiB: 8 * 16, Time: 1, Threads: threads}})
		if h.slots != want || h.gate.free != want || h.gate.maxWaiting != 64*want {
			t.Errorf("with %d threads: %d at once, %d slots, %d waiting; want %d and 64 times that", threads, h.slots, h.gate.free, h.gate.maxWaiting, want)
		}
	}
}

// SI-14, W34
func TestMemoryDecidesHowManySlotsAVerifierTakes(t *testing.T) {
	t.Parallel()
	h := newHasher(t, Options{MaxConcurrent: 8})
	tests := map[uint32]int{0: 1, 1: 1, 19456: 1, 19457: 2, 65536: 4, 256 << 10: 8}
	got := map[uint32]int{}
	for memory := range tests {
		got[memory] = h.slotsFor(memory)
	}
	if diff := cmp.Diff(tests, got); diff != "" {
		t.Errorf("slots by KiB (-want +got):\n%s", diff)
	}
}

// SI-14, W34
func TestAVerifierWithMoreMemoryTakesMoreSlots(t *testing.T) {
	t.Parallel()
	small := newHasher(t, Options{Params: quick, MaxConcurrent: 4, MaxWaiting: -1})
	encoded, err := newHasher(t, Options{Params: Params{4 * quick.MemoryKiB, 1, 1}}).Hash(t.Context(), password)
	if err != nil {
		t.Fatal(err)
	}
	if ok, _, err := small.Verify(t.Context(), encoded, password); !ok || err != nil {
		t.Errorf("with all slots free: %v, %v; want true, nil", ok, err)
	}
	if err := small.gate.enter(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if _, _, err := small.Verify(t.Context(), encoded, password); !errors.Is(err, ErrBusy) {
		t.Errorf("with three of four slots free: %v, want ErrBusy", err)
	}
	if err := small.VerifyNothing(t.Context(), password); err != nil {
		t.Errorf("a hash of the usual size: %v", err)
	}
}

// SI-14, W34, RL-20
func TestTwoHundredSignInsAtOnceAreServedOrTurnedAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHasher(t, Options{Params: quick, MaxConcurrent: 2, MaxWaiting: 10})
		encoded, err := h.Hash(t.Context(), password)
		if err != nil {
			t.Fatal(err)
		}
		// Two hashes that do not end for now.
		if err := h.gate.enter(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		results := make(chan string, 200)
		for range 200 {
			go func() {
				ok, _, err := h.Verify(t.Context(), encoded, password)
				switch {
				case ok && err == nil:
					results <- "match"
				case !ok && errors.Is(err, ErrBusy):
					results <- "busy"
				default:
					results <- "neither"
				}
			}()
		}
		synctest.Wait()
		if len(results) != 190 {
			t.Errorf("%d of 200 have an answer while all slots are taken and 10 may wait, want 190", len(results))
		}
		h.gate.leave(2)
		got := map[string]int{}
		for range 200 {
			got[<-results]++
		}
		if diff := cmp.Diff(map[string]int{"match": 10, "busy": 190}, got); diff != "" {
			t.Errorf("answers (-want +got):\n%s", diff)
		}
	})
}

func TestEveryOperationIsBounded(t *testing.T) {
	t.Parallel()
	h := newHasher(t, Options{Params: quick, MaxConcurrent: 1, MaxWaiting: -1})
	encoded, err := h.Hash(t.Context(), password)
	if err != nil {
		t.Fatal(err)
	}
	operations := map[string]func(context.Context) error{
		"Hash":          func(ctx context.Context) error { _, err := h.Hash(ctx, password); return err },
		"VerifyNothing": func(ctx context.Context) error { return h.VerifyNothing(ctx, password) },
		"Verify":        func(ctx context.Context) error { _, _, err := h.Verify(ctx, encoded, password); return err },
		"Verify bcrypt": func(ctx context.Context) error { _, _, err := h.Verify(ctx, bcrypt2b, password); return err },
		"Verify of an unsupported hash": func(ctx context.Context) error {
			_, _, err := h.Verify(ctx, "", password)
			if errors.Is(err, ErrUnsupported) {
				return nil // as documented, and after the work
			}
			return err
		},
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for name, do := range operations {
		if err := do(over); !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a ctx that has ended returned %v", name, err)
		}
		if err := do(t.Context()); err != nil {
			t.Errorf("%s with a free slot returned %v", name, err)
		}
	}
	if err := h.gate.enter(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	for name, do := range operations {
		if err := do(t.Context()); !errors.Is(err, ErrBusy) {
			t.Errorf("%s without a free slot returned %v", name, err)
		}
	}
	h.gate.leave(1)
	for name, do := range operations {
		if err := do(t.Context()); err != nil {
			t.Errorf("%s after the slot was given back returned %v", name, err)
		}
	}
}

// cheap reports whether a verifier that a fuzzer came up with can be run
// thousands of times a second.
func cheap(v verifier) bool {
	switch v := v.(type) {
	case argon2Hash:
		return v.params.MemoryKiB <= 256 && v.params.Time <= 2
	case bcryptHash:
		return strings.HasPrefix(string(v[3:]), "$04$")
	case scryptHash:
		return v.memoryKiB() <= 256 && v.p <= 2
	case pbkdf2Hash:
		return v.iterations <= 2000
	}
	return false
}

func FuzzVerify(f *testing.F) {
	for _, encoded := range []string{
		argon2idWeak, argon2i, bcrypt2a, bcrypt2b, scryptPHC, passlibSHA1, passlibSHA256, passlibSHA512,
		djangoSHA256, djangoSHA1, phcSHA1, phcSHA256, phcSHA512, phcSHA512Half, "", "$$$$", "$2a$10$",
	} {
		f.Add(encoded, password)
		f.Add(encoded, encoded)
	}
	h := newHasher(f, Options{Params: Params{MemoryKiB: 8, Time: 1, Threads: 1}})
	f.Fuzz(func(t *testing.T, encoded, p string) {
		v, err := parse(encoded)
		if err != nil {
			if !errors.Is(err, ErrUnsupported) {
				t.Fatalf("parse returned %v, want ErrUnsupported", err)
			}
			if ok, stale, err := h.Verify(t.Context(), encoded, p); ok || stale || !errors.Is(err, ErrUnsupported) {
				t.Fatalf("Verify = %v, %v, %v; want false, false, ErrUnsupported", ok, stale, err)
			}
			return
		}
		if v.memoryKiB() > 256<<10 {
			t.Fatalf("accepted with %d KiB of memory", v.memoryKiB())
		}
		if !cheap(v) {
			return
		}
		ok, _, err := h.Verify(t.Context(), encoded, p)
		if err != nil {
			t.Fatal(err)
		}
		if other, _, err := h.Verify(t.Context(), encoded, p+"x"); ok && other || err != nil {
			t.Fatalf("%q matches, and so does it with a letter appended (error %v)", p, err)
		}
	})
}

func BenchmarkBareArgon2id(b *testing.B) {
	salt := make([]byte, saltLen)
	b.ReportAllocs()
	for b.Loop() {
		argon2.IDKey([]byte(password), salt, Default.Time, Default.MemoryKiB, Default.Threads, keyLen)
	}
}

func BenchmarkHash(b *testing.B) {
	h := newHasher(b, Options{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.Hash(b.Context(), password); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	h := newHasher(b, Options{})
	b.ReportAllocs()
	for b.Loop() {
		if ok, _, err := h.Verify(b.Context(), argon2idDefault, password); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if err := Validate(argon2idDefault); err != nil {
			b.Fatal(err)
		}
	}
}

// Everybody who comes to the queue is told of once, with how long they were in it.
func TestWaitedTellsHowLongEachWaited(t *testing.T) {
	t.Parallel()
	type wait struct {
		waited time.Duration
		err    error
	}
	synctest.Test(t, func(t *testing.T) {
		var waits []wait
		type key struct{}
		h := newHasher(t, Options{Params: quick, MaxConcurrent: 1, MaxWaiting: 1, Waited: func(ctx context.Context, d time.Duration, err error) {
			if ctx.Value(key{}) != "the caller's" {
				t.Error("another context")
			}
			waits = append(waits, wait{d, err})
		}})
		ctx := context.WithValue(t.Context(), key{}, "the caller's")
		if _, err := h.Hash(ctx, password); err != nil {
			t.Fatal(err)
		}
		if err := h.gate.enter(ctx, 1); err != nil { // a hash that does not end for now
			t.Fatal(err)
		}
		go func() { _ = h.VerifyNothing(ctx, password) }()
		synctest.Wait()
		if _, err := h.Hash(ctx, password); !errors.Is(err, ErrBusy) {
			t.Errorf("got %v", err)
		}
		time.Sleep(3 * time.Second)
		h.gate.leave(1)
		synctest.Wait()

		if err := h.gate.enter(ctx, 1); err != nil {
			t.Fatal(err)
		}
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err := h.Hash(short, password); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		h.gate.leave(1)

		want := []wait{{0, nil}, {0, ErrBusy}, {3 * time.Second, nil}, {time.Second, context.DeadlineExceeded}}
		if diff := cmp.Diff(want, waits, cmp.AllowUnexported(wait{}), cmp.Comparer(func(a, b error) bool {
			return errors.Is(a, b) || errors.Is(b, a)
		})); diff != "" {
			t.Error(diff)
		}
	})
}
