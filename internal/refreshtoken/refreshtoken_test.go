package refreshtoken

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

func key(fill byte) []byte { return bytes.Repeat([]byte{fill}, 32) }

func mustNew(t testing.TB, keys ...[]byte) *Codec {
	t.Helper()
	codec, err := New(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return codec
}

func mustEncode(t testing.TB, codec *Codec, session uuid.UUID, generation uint32) string {
	t.Helper()
	token, err := codec.Encode(session, generation)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func names(claims []Claim, session uuid.UUID, generation uint32) bool {
	for _, claim := range claims {
		if claim.Session == session && claim.Generation == generation {
			return true
		}
	}
	return false
}

func TestNewRefusesKeys(t *testing.T) {
	t.Parallel()
	for name, keys := range map[string][][]byte{
		"none":           {},
		"a nil key":      {nil},
		"24 bytes":       {make([]byte, 24)},
		"31 bytes":       {make([]byte, 31)},
		"a short second": {key(1), make([]byte, 8)},
		"one key twice":  {key(1), key(2), key(1)},
	} {
		if _, err := New(keys...); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	mustNew(t, make([]byte, 16))
	mustNew(t, make([]byte, 32), make([]byte, 16))
}

// LG-16: 96 random bits, no time and no counter in them.
func TestSessionIDsAreRandomUUIDsOfVersion8(t *testing.T) {
	t.Parallel()
	const n = 4096
	seen := map[uuid.UUID]bool{}
	var ones [128]int
	for range n {
		id := NewSessionID()
		if id.Version() != 8 || id.Variant() != uuid.RFC4122 {
			t.Fatalf("%s: version %d, variant %s", id, id.Version(), id.Variant())
		}
		if seen[id] {
			t.Fatalf("%s twice", id)
		}
		seen[id] = true
		for i := range ones {
			ones[i] += int(id[i/8] >> (7 - i%8) & 1)
		}
	}
	random := 0
	for i, count := range ones {
		switch {
		case i >= 48 && i < 80:
			if count != 0 && count != n {
				t.Errorf("bit %d of the fixed part varies", i)
			}
		case count < n/2-n/8 || count > n/2+n/8: // 16 standard deviations
			t.Errorf("bit %d is set in %d of %d ids", i, count, n)
		default:
			random++
		}
	}
	if random != 96 {
		t.Errorf("%d random bits, want 96", random)
	}
}

// Known values, computed with OpenSSL (enc -aes-256-ecb -nopad): tokens outlive a release.
func TestEncodingDoesNotChange(t *testing.T) {
	t.Parallel()
	session := uuid.MustParse("00112233-4455-8000-8000-66778899aabb")
	k256, _ := hex.DecodeString("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
	for _, tt := range []struct {
		key        []byte
		generation uint32
		want       string
	}{
		{k256[:16], 0, "76cce21b-f483-347e-afde-0eb56b0a4faa"},
		{k256, 0, "9eb325bb-9c87-b9ed-5d19-5e11f5ceee2c"},
		{k256, 1, "af8a386d-1f72-13da-fc34-2ba9606b5297"},
		{k256, MaxGeneration, "f65e6607-aa9e-6c57-3e43-2bbcf5f51e70"},
	} {
		codec := mustNew(t, tt.key)
		got := mustEncode(t, codec, session, tt.generation)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("generation %d: %s", tt.generation, diff)
		}
		if diff := cmp.Diff([]Claim{{Session: session, Generation: tt.generation}}, codec.Decode(tt.want)); diff != "" {
			t.Errorf("generation %d: %s", tt.generation, diff)
		}
	}
}

func TestEncodeRefusesWhatDecodeWouldNotReturn(t *testing.T) {
	t.Parallel()
	codec := mustNew(t, key(1))
	for name, id := range map[string]uuid.UUID{
		"the zero id":     {},
		"version 4":       uuid.MustParse("7d444840-9dc0-4d1a-8245-5ffdce74fad2"),
		"version 1":       uuid.MustParse("7d444840-9dc0-1000-8000-5ffdce74fad2"),
		"a bit in byte 6": uuid.MustParse("7d444840-9dc0-8100-8000-5ffdce74fad2"),
		"a bit in byte 7": uuid.MustParse("7d444840-9dc0-8001-8000-5ffdce74fad2"),
		"a bit in byte 8": uuid.MustParse("7d444840-9dc0-8000-a000-5ffdce74fad2"),
		"a bit in byte 9": uuid.MustParse("7d444840-9dc0-8000-8001-5ffdce74fad2"),
	} {
		if token, err := codec.Encode(id, 0); !errors.Is(err, ErrSession) || token != "" {
			t.Errorf("%s: Encode = %q, %v, want ErrSession", name, token, err)
		}
	}
	for _, generation := range []uint32{MaxGeneration + 1, 1 << 31, 1<<32 - 1} {
		if token, err := codec.Encode(NewSessionID(), generation); !errors.Is(err, ErrGeneration) || token != "" {
			t.Errorf("generation %d: Encode = %q, %v, want ErrGeneration", generation, token, err)
		}
	}
}

// RFC 9700 §4.14.2: every token that a session ever had still tells its session.
func TestTokensOfAllGenerationsDecode(t *testing.T) {
	t.Parallel()
	codec := mustNew(t, key(1))
	shape := regexp.MustCompile(`\A[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\z`)
	seen := map[string]bool{}
	for range 20 {
		session := NewSessionID()
		for _, generation := range []uint32{0, 1, 2, 3, 255, 256, 65535, 65536, MaxGeneration - 1, MaxGeneration} {
			token := mustEncode(t, codec, session, generation)
			if !shape.MatchString(token) {
				t.Fatalf("token %q", token)
			}
			if seen[token] {
				t.Fatalf("token %s twice", token)
			}
			seen[token] = true
			if diff := cmp.Diff([]Claim{{Session: session, Generation: generation}}, codec.Decode(token)); diff != "" {
				t.Fatal(diff)
			}
			if again := mustEncode(t, codec, session, generation); again != token {
				t.Fatalf("generation %d has the tokens %s and %s", generation, token, again)
			}
		}
	}
}

// LG-16: no part of a token is fixed, counts or follows from the tokens before it.
func TestTokensHaveNoPattern(t *testing.T) {
	t.Parallel()
	codec := mustNew(t, key(1))
	const n = 4096
	session := NewSessionID()
	var ones [128]int
	var last [16]byte
	flipped := 0
	for generation := range uint32(n) {
		var block [16]byte
		if !parse(mustEncode(t, codec, session, generation), &block) {
			t.Fatal("cannot read the token")
		}
		for i := range ones {
			ones[i] += int(block[i/8] >> (7 - i%8) & 1)
		}
		for i := range block {
			flipped += bits.OnesCount8(block[i] ^ last[i])
		}
		last = block
	}
	for i, count := range ones {
		if count < n/2-n/8 || count > n/2+n/8 { // 16 standard deviations
			t.Errorf("bit %d is set in %d of %d tokens", i, count, n)
		}
	}
	if mean := flipped / n; mean < 60 || mean > 68 {
		t.Errorf("successive tokens differ in %d bits on average, want about 64", mean)
	}
}

// RT-10: a token has one spelling.
func TestDecodeReadsOneSpelling(t *testing.T) {
	t.Parallel()
	codec := mustNew(t, key(1))
	session := NewSessionID()
	token := ""
	for generation := uint32(0); !strings.ContainsAny(token[:min(len(token), 8)], "abcdef"); generation++ {
		token = mustEncode(t, codec, session, generation)
	}
	if len(codec.Decode(token)) != 1 {
		t.Fatal("the token itself is refused")
	}
	for name, spelling := range map[string]string{
		"nothing":                        "",
		"upper case":                     strings.ToUpper(token),
		"a part in upper case":           strings.ToUpper(token[:8]) + token[8:],
		"urn:uuid:":                      "urn:uuid:" + token,
		"braces":                         "{" + token + "}",
		"other brackets":                 "(" + token + ")",
		"quotes":                         `"` + token + `"`,
		"no hyphens":                     strings.ReplaceAll(token, "-", ""),
		"no hyphens, padded":             strings.ReplaceAll(token, "-", "") + "    ",
		"hyphens somewhere else":         token[:7] + "-" + token[7:8] + token[9:],
		"a hyphen for a digit":           "-" + token[1:],
		"hyphens for two digits":         token[:30] + "-" + token[31:35] + "-",
		"a hyphen at every place":        strings.Repeat("-", 36),
		"underscores":                    strings.ReplaceAll(token, "-", "_"),
		"another dash":                   strings.ReplaceAll(token, "-", "\u2010"),
		"a blank before":                 " " + token,
		"a blank after":                  token + " ",
		"a blank for the last character": token[:35] + " ",
		"a line end":                     token + "\n",
		"a NUL":                          token + "\x00",
		"a NUL inside":                   token[:10] + "\x00" + token[11:],
		"cut":                            token[:35],
		"the first eight":                token[:8],
		"extended":                       token + "0",
		"twice":                          token + token,
		"a digit that is none":           token[:35] + "g",
		"a digit of another script":      token[:33] + "０",
		"a sign":                         "+" + token[1:],
		"0x":                             "0x" + token[2:],
		"100 KB":                         strings.Repeat(token, 3000),
	} {
		if got := codec.Decode(spelling); got != nil {
			t.Errorf("%s: Decode(%q) = %v", name, spelling, got)
		}
	}
}

// RT-10: nor does anything that is no digit stand for one.
func TestDecodeReadsDigitsOnly(t *testing.T) {
	t.Parallel()
	codec := mustNew(t, key(1))
	session := NewSessionID()
	for generation := range uint32(50) {
		token := mustEncode(t, codec, session, generation)
		for i := range token {
			for c := range 256 {
				if c < 0x80 && strings.ContainsRune("0123456789abcdef-", rune(c)) {
					continue
				}
				if got := codec.Decode(token[:i] + string([]byte{byte(c)}) + token[i+1:]); got != nil {
					t.Fatalf("%s with %#x at %d is %v", token, c, i, got)
				}
			}
		}
	}
}

// A generation that no session has is none, also if it is next to one that is.
func TestDecodeRefusesGenerationsOutOfRange(t *testing.T) {
	t.Parallel()
	codec := mustNew(t, key(1))
	for _, generation := range []uint32{MaxGeneration + 1, MaxGeneration + 2, 1 << 31, 1<<32 - 1} {
		block := binary.BigEndian.AppendUint32([]byte("0123456789ab"), generation)
		codec.keys[0].Encrypt(block, block)
		if got := codec.Decode(uuid.UUID(block).String()); got != nil {
			t.Errorf("generation %d: %v", generation, got)
		}
	}
}

// RT-09: nothing that is near a token is a token of the same session.
func TestChangedTokensNameNoKnownSession(t *testing.T) {
	t.Parallel()
	codec := mustNew(t, key(1), key(2))
	session := NewSessionID()
	token := mustEncode(t, codec, session, 7)
	for i := range token {
		for _, c := range "0123456789abcdef" {
			changed := token[:i] + string(c) + token[i+1:]
			if changed == token {
				continue
			}
			for _, claim := range codec.Decode(changed) {
				if claim.Session == session {
					t.Errorf("%s with %q at %d is generation %d of the same session", token, c, i, claim.Generation)
				}
			}
		}
	}
	for _, other := range []string{token[:8] + mustEncode(t, codec, NewSessionID(), 7)[8:], mustEncode(t, codec, session, 8)[:18] + token[18:]} {
		for _, claim := range codec.Decode(other) {
			if claim.Session == session {
				t.Errorf("%s names the session of %s", other, token)
			}
		}
	}
}

// Most guesses do not cost a look-up.
func TestDecodeRejectsMostRandomValues(t *testing.T) {
	t.Parallel()
	codec := mustNew(t, key(1))
	const n = 1 << 16
	plausible := 0
	for range n {
		plausible += len(codec.Decode(uuid.NewString()))
	}
	// n/256 = 256 expected, standard deviation 16.
	if plausible < 128 || plausible > 384 {
		t.Errorf("%d of %d random values are plausible, want about %d", plausible, n, n/256)
	}
}

func TestReplacedKeysStillRead(t *testing.T) {
	t.Parallel()
	old, current := mustNew(t, key(1)), mustNew(t, key(3), key(2), key(1))
	session := NewSessionID()
	for generation := range uint32(1000) {
		oldToken, newToken := mustEncode(t, old, session, generation), mustEncode(t, current, session, generation)
		if oldToken == newToken {
			t.Fatal("Encode does not use the current key")
		}
		claims := current.Decode(oldToken)
		if !names(claims, session, generation) {
			t.Fatalf("generation %d: a token of the oldest key reads %v", generation, claims)
		}
		for _, claim := range claims {
			if right := claim.Session == session; right != (claim.Key == 2) {
				t.Fatalf("generation %d: %+v", generation, claim)
			}
		}
		claims = current.Decode(newToken)
		if !names(claims, session, generation) || claims[0].Key != 0 {
			t.Fatalf("generation %d: a token of the current key reads %v", generation, claims)
		}
		if names(old.Decode(newToken), session, generation) {
			t.Fatal("a token is read without its key")
		}
	}
}

func TestCodecIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	codec := mustNew(t, key(1), key(2))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			session := NewSessionID()
			for generation := range uint32(500) {
				token, err := codec.Encode(session, generation)
				if err != nil || !names(codec.Decode(token), session, generation) {
					t.Errorf("generation %d: %q, %v", generation, token, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestCodecAllocatesLittle(t *testing.T) {
	codec := mustNew(t, key(1), key(2))
	session := NewSessionID()
	token := mustEncode(t, codec, session, 7)
	for name, tt := range map[string]struct {
		limit float64
		run   func()
	}{
		"Encode":                   {1, func() { _, _ = codec.Encode(session, 7) }},
		"Decode of a token":        {1, func() { codec.Decode(token) }},
		"Decode of something else": {0, func() { codec.Decode("not a token") }},
	} {
		// A garbage collection during the run empties the pool, hence the average.
		if got := testing.AllocsPerRun(1000, tt.run); got > tt.limit {
			t.Errorf("%s: %v allocations, want %v", name, got, tt.limit)
		}
	}
}

func FuzzRoundTrip(f *testing.F) {
	codec := mustNew(f, key(1), key(2))
	f.Add([]byte("0123456789ab"), uint32(0), uint(0))
	f.Add(make([]byte, 12), uint32(MaxGeneration), uint(127))
	f.Add(bytes.Repeat([]byte{255}, 12), uint32(MaxGeneration+1), uint(64))
	f.Fuzz(func(t *testing.T, random []byte, generation uint32, bit uint) {
		if len(random) < 12 {
			return
		}
		session := sessionID(random[:12])
		token, err := codec.Encode(session, generation)
		if generation > MaxGeneration {
			if !errors.Is(err, ErrGeneration) {
				t.Fatal(err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if !names(codec.Decode(token), session, generation) {
			t.Fatalf("%s is read as %v", token, codec.Decode(token))
		}
		raw, err := hex.DecodeString(strings.ReplaceAll(token, "-", ""))
		if err != nil {
			t.Fatal(err)
		}
		raw[bit%128/8] ^= 1 << (bit % 8)
		changed := uuid.UUID(raw).String()
		if names(codec.Decode(changed), session, generation) {
			t.Fatalf("%s and %s are the same token", token, changed)
		}
	})
}

func FuzzDecode(f *testing.F) {
	codec := mustNew(f, key(1), key(2))
	token := mustEncode(f, codec, sessionID([]byte("0123456789ab")), 7)
	for _, seed := range []string{token, "", strings.ToUpper(token), "{" + token + "}", "urn:uuid:" + token, token[:35], token + "0", token[:30] + "-" + token[31:], strings.Repeat("-", 36), strings.Repeat("\xff", 36)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		claims := codec.Decode(token)
		if len(claims) > 2 {
			t.Fatalf("Decode(%q) = %v", token, claims)
		}
		for _, claim := range claims {
			if claim.Generation > MaxGeneration || claim.Session.Version() != 8 {
				t.Fatalf("Decode(%q) = %v", token, claims)
			}
			// What is read with the current key is written again in the very same way.
			if again := mustEncode(t, codec, claim.Session, claim.Generation); (again == token) != (claim.Key == 0) {
				t.Fatalf("Decode(%q) = %v, which is written %q", token, claims, again)
			}
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	codec, session := mustNew(b, key(1)), NewSessionID()
	b.ReportAllocs()
	for b.Loop() {
		_, _ = codec.Encode(session, 7)
	}
}

func BenchmarkDecode(b *testing.B) {
	session := NewSessionID()
	for n := 1; n <= 3; n++ {
		keys := [][]byte{key(3), key(2), key(1)}[3-n:]
		codec := mustNew(b, keys...)
		token := mustEncode(b, mustNew(b, key(1)), session, 7)
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				codec.Decode(token)
			}
		})
	}
	b.Run("random value", func(b *testing.B) {
		codec := mustNew(b, key(1))
		b.ReportAllocs()
		for b.Loop() {
			codec.Decode("7d444840-9dc0-4d1a-8245-5ffdce74fad2")
		}
	})
}
