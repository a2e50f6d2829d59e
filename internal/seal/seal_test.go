package seal

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func secret(fill byte) []byte { return bytes.Repeat([]byte{fill}, MinSecret) }

func mustNew(t testing.TB, current []byte, previous ...[]byte) *Box {
	t.Helper()
	box, err := New(current, previous...)
	if err != nil {
		t.Fatal(err)
	}
	return box
}

func TestNewRefusesWeakSecrets(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		secrets [][]byte
		want    string
	}{
		{"no secret", [][]byte{nil}, "seal: secret has 0 bytes, need 32"},
		{"a short secret", [][]byte{secret(1)[:MinSecret-1]}, "seal: secret has 31 bytes, need 32"},
		{"a short previous secret", [][]byte{secret(1), secret(2), secret(3)[:MinSecret-1]}, "seal: previous secret 1 has 31 bytes, need 32"},
		{"an empty previous secret", [][]byte{secret(1), {}}, "seal: previous secret 0 has 0 bytes, need 32"},
		{"the current secret as previous one", [][]byte{secret(1), secret(2), secret(1)}, "seal: previous secret 1 repeats another secret"},
		{"a previous secret twice", [][]byte{secret(1), secret(2), secret(2)}, "seal: previous secret 1 repeats another secret"},
	} {
		if _, err := New(tt.secrets[0], tt.secrets[1:]...); err == nil || err.Error() != tt.want {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
}

func TestNewDoesNotRetainSecrets(t *testing.T) {
	t.Parallel()
	current, previous := secret(1), secret(2)
	box := mustNew(t, current, previous)
	before := [][]byte{box.Subkey("a", 32), box.Subkeys("a", 32)[1]}
	clear(current)
	clear(previous)
	if diff := cmp.Diff(before, box.Subkeys("a", 32)); diff != "" {
		t.Error(diff)
	}
}

func TestSealedValuesOpen(t *testing.T) {
	t.Parallel()
	box := mustNew(t, secret(1))
	for _, tt := range []struct {
		name           string
		aad, plaintext []byte
	}{
		{"an ordinary value", []byte("user-1"), []byte("JBSWY3DPEHPK3PXP")},
		{"an empty value", []byte("user-1"), []byte{}},
		{"no place", nil, []byte("x")},
		{"a long value", []byte("user-1"), bytes.Repeat([]byte("x"), 1<<20)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			sealed := box.Seal("totp", tt.aad, tt.plaintext)
			if got, want := len(sealed), len(tt.plaintext)+Overhead; got != want {
				t.Errorf("sealed value has %d bytes, want %d", got, want)
			}
			got, err := box.Open("totp", tt.aad, sealed)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, tt.plaintext) {
				t.Error("another value came out")
			}
		})
	}
}

func TestSealNeverRepeatsANonce(t *testing.T) {
	t.Parallel()
	box := mustNew(t, secret(1))
	seen := map[string]bool{}
	for range 1000 {
		nonce := string(box.Seal("totp", nil, []byte("same"))[1:25])
		if seen[nonce] {
			t.Fatal("repeated")
		}
		seen[nonce] = true
	}
}

// A sealed value is worth nothing in another place, under another secret, or changed in one bit.
func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	box := mustNew(t, secret(1))
	sealed := box.Seal("totp", []byte("user-1"), []byte("value"))
	type attempt struct {
		name    string
		box     *Box
		purpose string
		aad     []byte
		sealed  []byte
	}
	attempts := []attempt{
		{"another row", box, "totp", []byte("user-2"), sealed},
		{"no row", box, "totp", nil, sealed},
		{"another purpose", box, "mail", []byte("user-1"), sealed},
		{"a boundary between purpose and row moved right", box, "totpu", []byte("ser-1"), sealed},
		{"a boundary between purpose and row moved left", box, "tot", []byte("puser-1"), sealed},
		{"another secret", mustNew(t, secret(2)), "totp", []byte("user-1"), sealed},
		{"other secrets", mustNew(t, secret(2), secret(3)), "totp", []byte("user-1"), sealed},
		{"nothing", box, "totp", []byte("user-1"), nil},
		{"a longer value", box, "totp", []byte("user-1"), append(bytes.Clone(sealed), 0)},
		{"the plain value", box, "totp", []byte("user-1"), []byte("value")},
	}
	for i := range sealed {
		attempts = append(attempts, attempt{fmt.Sprintf("cut after %d bytes", i), box, "totp", []byte("user-1"), sealed[:i]})
		for bit := range 8 {
			changed := bytes.Clone(sealed)
			changed[i] ^= 1 << bit
			attempts = append(attempts, attempt{fmt.Sprintf("bit %d of byte %d", bit, i), box, "totp", []byte("user-1"), changed})
		}
	}
	for _, a := range attempts {
		if got, err := a.box.Open(a.purpose, a.aad, a.sealed); !errors.Is(err, ErrOpen) || got != nil {
			t.Errorf("%s: Open = %q, %v, want ErrOpen", a.name, got, err)
		}
	}
}

// No two pairs share their associated data, such as one whose purpose looks like the length of the other's place. The version is
// in it as well: were there a second one, a value could not be passed off as it.
func TestContextTellsEverythingApart(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, purpose := range []string{"", "a", "ab", "b", "a\x00", "\x00\x00\x00\x00\x00\x00\x00\x08"} {
		for _, aad := range []string{"", "a", "b", "bb", "\x00", "\x00\x00\x00\x00\x00\x00\x00\x00", "\x00\x00\x00\x00\x00\x00\x00\x01a"} {
			name := fmt.Sprintf("%q, %q", purpose, aad)
			bound := string(context(purpose, []byte(aad)))
			if other, found := seen[bound]; found {
				t.Errorf("%s and %s are the same", name, other)
			}
			if bound[0] != version {
				t.Errorf("%s: version missing", name)
			}
			seen[bound] = name
		}
	}
}

func TestReplacedSecretsStillOpenAndRecognise(t *testing.T) {
	t.Parallel()
	oldest, old := mustNew(t, secret(1)), mustNew(t, secret(2), secret(1))
	current := mustNew(t, secret(3), secret(2), secret(1))
	for i, box := range []*Box{current, old, oldest} {
		sealed := box.Seal("totp", []byte("row"), []byte("value"))
		if got, err := current.Open("totp", []byte("row"), sealed); err != nil || string(got) != "value" {
			t.Errorf("secret %d: Open = %q, %v", i, got, err)
		}
		if got, stale, err := current.OpenStale("totp", []byte("row"), sealed); err != nil || string(got) != "value" || stale != (i > 0) {
			t.Errorf("secret %d: OpenStale = %q, %t, %v", i, got, stale, err)
		}
		if box != oldest {
			if _, err := oldest.Open("totp", []byte("row"), sealed); !errors.Is(err, ErrOpen) {
				t.Errorf("secret %d: a value was not sealed with the current secret: %v", i, err)
			}
		}
		if got, want := current.MACs("code", []byte("123456"))[i], box.MAC("code", []byte("123456")); got != want {
			t.Errorf("MACs[%d] = %x, want %x", i, got, want)
		}
		if got, want := current.Subkeys("jwt", 32)[i], box.Subkey("jwt", 32); !bytes.Equal(got, want) {
			t.Errorf("Subkeys[%d] = %x, want %x", i, got, want)
		}
	}
	if got, want := current.MACs("code", []byte("x"))[0], current.MAC("code", []byte("x")); got != want {
		t.Error("the current secret does not come first")
	}
	if len(current.MACs("code")) != 3 || len(current.Subkeys("jwt", 32)) != 3 {
		t.Error("a secret is missing")
	}
}

func TestKeysOfDifferentUsesAreUnrelated(t *testing.T) {
	t.Parallel()
	box := mustNew(t, secret(1), secret(2))
	seen := map[string]string{}
	add := func(name string, key []byte) {
		t.Helper()
		// The first 16 bytes, so that one key being the beginning of another shows too.
		prefix := string(key[:16])
		if other, found := seen[prefix]; found {
			t.Errorf("%s begins like %s", name, other)
		}
		seen[prefix] = name
	}
	for _, label := range []string{"", "a", "b", "seal", "16\x00a", "a\x00"} {
		for _, n := range []int{16, 32, 64} {
			for i, key := range box.Subkeys(label, n) {
				if len(key) != n {
					t.Errorf("Subkeys(%q, %d) has %d bytes", label, n, len(key))
				}
				add(fmt.Sprintf("subkey %q/%d of secret %d", label, n, i), key)
			}
		}
		for i := range box.roots {
			add(fmt.Sprintf("MAC key %q of secret %d", label, i), box.roots[i].derive("mac", label, 32))
		}
	}
	for i := range box.roots {
		add(fmt.Sprintf("sealing key of secret %d", i), box.roots[i].derive("seal", "", 32))
	}
}

func TestSubkeyIsTheCallersOwn(t *testing.T) {
	t.Parallel()
	box := mustNew(t, secret(1))
	key := box.Subkey("a", 32)
	clear(key)
	if bytes.Equal(box.Subkey("a", 32), key) {
		t.Error("a change of the result changed the key")
	}
}

// The program asks for more than there is, or there is a key: never one that is empty.
func TestSubkeyHasALimit(t *testing.T) {
	t.Parallel()
	box := mustNew(t, secret(1))
	if n := len(box.Subkey("a", 8160)); n != 8160 {
		t.Errorf("the longest key has %d bytes", n)
	}
	defer func() {
		if recover() == nil {
			t.Error("there is a longer key")
		}
	}()
	box.Subkey("a", 8161)
}

// The keys of a label are derived once, and the states of their hashes are used again: every code and ticket is looked up by
// one. Some of what is kept gets lost when garbage is collected, hence what is allowed.
func TestMACAllocatesLittle(t *testing.T) {
	box := mustNew(t, secret(1), secret(2))
	part := []byte("123456")
	if got := testing.AllocsPerRun(1000, func() { box.MAC("code", part) }); got > 2 {
		t.Errorf("%v allocations", got)
	}
}

// Known values, computed with an independent implementation of HKDF and HMAC: sealed data and hashes outlive a release.
func TestDerivationDoesNotChange(t *testing.T) {
	t.Parallel()
	box := mustNew(t, []byte("0123456789abcdef0123456789abcdef"))
	sum := box.MAC("code", []byte("user-1"), []byte("123456"))
	got := map[string]string{
		"subkey":  hex.EncodeToString(box.Subkey("refresh-token", 32)),
		"MAC":     hex.EncodeToString(sum[:]),
		"sealing": hex.EncodeToString(box.roots[0].derive("seal", "", 32)),
	}
	want := map[string]string{
		"subkey":  "0ba622ab3da8bfcfc40c36f150dba5aabf81438aab219e463b42e8dc1a21bae0",
		"MAC":     "c3f36ffbac16aff7fa3cdfaca2792041ea42222acf524371466e58f08f1c95ce",
		"sealing": "da25bbafb6f2cc4953000aa45f5293a59b498d1951bf6963673cef1da5503cc0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Made by an independent implementation of XChaCha20-Poly1305, nonce 00 01 02 ... 17.
func TestSealedFormatDoesNotChange(t *testing.T) {
	t.Parallel()
	sealed, err := hex.DecodeString("01000102030405060708090a0b0c0d0e0f10111213141516176e0bc2abdf9ec9df846f5349cb853d0bd76fc2ba3ed6c5380c724942eb8df81f")
	if err != nil {
		t.Fatal(err)
	}
	got, err := mustNew(t, []byte("0123456789abcdef0123456789abcdef")).Open("totp", []byte("user-1"), sealed)
	if err != nil || string(got) != "JBSWY3DPEHPK3PXP" {
		t.Errorf("Open = %q, %v", got, err)
	}
}

func TestMACSeparatesPartsAndLabels(t *testing.T) {
	t.Parallel()
	box := mustNew(t, secret(1))
	seen := map[[sha256.Size]byte]string{}
	for _, label := range []string{"", "a", "b"} {
		for _, parts := range [][]string{{}, {""}, {"", ""}, {"abc"}, {"ab", "c"}, {"a", "bc"}, {"abc", ""}, {"", "abc"}, {"a", "b", "c"}} {
			var raw [][]byte
			for _, part := range parts {
				raw = append(raw, []byte(part))
			}
			name := fmt.Sprintf("%q of %q", label, parts)
			sum := box.MAC(label, raw...)
			if other, found := seen[sum]; found {
				t.Errorf("%s and %s are the same", name, other)
			}
			if again := box.MAC(label, raw...); again != sum {
				t.Errorf("%s changes from call to call", name)
			}
			seen[sum] = name
		}
	}
}

func TestBoxIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	box, alone := mustNew(t, secret(1), secret(2)), mustNew(t, secret(1), secret(2))
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 50 {
				label, part := fmt.Sprintf("label %d", j%5), []byte(fmt.Sprint(i, j))
				mac := hmac.New(sha256.New, alone.roots[0].derive("mac", label, sha256.Size))
				mac.Write([]byte{0, 0, 0, 0, 0, 0, 0, byte(len(part))})
				mac.Write(part)
				if got := box.MAC(label, part); !hmac.Equal(got[:], mac.Sum(nil)) {
					t.Errorf("MAC(%q, %q) = %x", label, part, got)
				}
				if got, err := box.Open("p", part, box.Seal("p", part, part)); err != nil || !bytes.Equal(got, part) {
					t.Errorf("Open = %q, %v", got, err)
				}
			}
		})
	}
	wg.Wait()
}

func FuzzOpen(f *testing.F) {
	box := mustNew(f, secret(1), secret(2))
	f.Add("totp", []byte("row"), []byte{})
	f.Add("totp", []byte("row"), []byte{version})
	f.Add("totp", []byte("row"), bytes.Repeat([]byte{version}, Overhead))
	f.Add("totp", []byte("row"), box.Seal("totp", []byte("row"), []byte("value")))
	f.Add("", []byte{}, mustNew(f, secret(2)).Seal("", nil, nil))
	f.Fuzz(func(t *testing.T, purpose string, aad, raw []byte) {
		// Whoever has no key makes nothing that opens, the two seeds above aside.
		if got, err := box.Open("never sealed for this", aad, raw); !errors.Is(err, ErrOpen) || got != nil {
			t.Fatalf("opened %x", raw)
		}
		if _, err := box.Open(purpose, aad, raw); err != nil && !errors.Is(err, ErrOpen) {
			t.Fatal(err)
		}
		sealed := box.Seal(purpose, aad, raw)
		if got, err := box.Open(purpose, aad, sealed); err != nil || !bytes.Equal(got, raw) {
			t.Fatalf("Open = %x, %v, want %x", got, err, raw)
		}
		if len(raw) > 0 {
			sealed[int(raw[0])%len(sealed)] ^= raw[0] | 1
			if _, err := box.Open(purpose, aad, sealed); !errors.Is(err, ErrOpen) {
				t.Fatalf("opened a changed value %x", sealed)
			}
		}
	})
}

func BenchmarkMAC(b *testing.B) {
	box := mustNew(b, secret(1), secret(2))
	id, code := make([]byte, 16), []byte("123456")
	b.ReportAllocs()
	for b.Loop() {
		box.MAC("code", id, code)
	}
}

func BenchmarkSeal(b *testing.B) {
	box := mustNew(b, secret(1))
	b.ReportAllocs()
	for b.Loop() {
		box.Seal("totp", []byte("0123456789abcdef"), []byte("JBSWY3DPEHPK3PXP"))
	}
}

func BenchmarkOpen(b *testing.B) {
	box := mustNew(b, secret(1), secret(2))
	sealed := mustNew(b, secret(2)).Seal("totp", []byte("0123456789abcdef"), []byte("JBSWY3DPEHPK3PXP"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := box.Open("totp", []byte("0123456789abcdef"), sealed); err != nil {
			b.Fatal(err)
		}
	}
}
