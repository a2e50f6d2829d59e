package ceremony_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"maps"
	"math/big"
	"testing"
)

// WA-13: keys are checked at registration, also without attestation.
func TestKeysAreChecked(t *testing.T) {
	t.Parallel()
	modulus := func(bits int) []byte {
		n := make([]byte, (bits+7)/8)
		if _, err := rand.Read(n); err != nil {
			t.Fatal(err)
		}
		n[0] &= byte(1<<((bits-1)%8+1) - 1)
		n[0] |= byte(1 << ((bits - 1) % 8))
		n[len(n)-1] |= 1
		return n
	}
	little := func(y *big.Int) []byte {
		b := y.FillBytes(make([]byte, 32))
		for i := range 16 {
			b[i], b[31-i] = b[31-i], b[i]
		}
		return b
	}
	prime := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	above := func(n int64) []byte { return little(new(big.Int).Add(prime, big.NewInt(n))) }
	type cose = map[int64]any
	tests := []struct {
		name   string
		alg    int64
		change func(cose)
		why    string // empty: accepted
	}{
		{"a P-256 key", -7, func(cose) {}, ""},
		{"a P-384 key", -35, func(cose) {}, ""},
		{"a P-521 key", -36, func(cose) {}, ""},
		{"an Ed25519 key", -8, func(cose) {}, ""},
		{"an RSA key", -257, func(cose) {}, ""},

		{"an algorithm that was not offered", -7, func(k cose) { k[3] = -9 }, "was not offered"},
		{"an algorithm that nobody knows", -7, func(k cose) { k[3] = -47000 }, "was not offered"},
		{"secp256k1", -7, func(k cose) { k[3], k[-1] = -47, 8 }, "was not offered"},
		{"RS1", -257, func(k cose) { k[3] = -65535 }, "was not offered"},
		{"algorithm zero", -7, func(k cose) { k[3] = 0 }, "was not offered"},
		{"no algorithm", -7, func(k cose) { delete(k, 3) }, "was not offered"},
		{"an algorithm that is text", -7, func(k cose) { k[3] = "ES256" }, "public key"},
		{"an algorithm that is a fraction", -7, func(k cose) { k[3] = -7.5 }, "public key"},
		{"no key type", -7, func(k cose) { delete(k, 1) }, "Unsupported Public Key Type"},
		{"an unknown key type", -7, func(k cose) { k[1] = 9 }, "Unsupported Public Key Type"},
		{"a symmetric key", -7, func(k cose) { k[1], k[-1] = 4, []byte("secret") }, "Unsupported Public Key Type"},
		{"a P-256 key as Ed25519", -7, func(k cose) { k[3] = -8 }, "EC2 algorithm"},
		{"a P-256 key as RSA", -7, func(k cose) { k[3] = -257 }, "EC2 algorithm"},
		{"a P-256 key as ES384", -7, func(k cose) { k[3] = -35 }, "must specify curve"},
		{"an RSA key as ES256", -257, func(k cose) { k[3] = -7 }, "cannot have algorithm -7"},
		{"an RSA key as Ed25519", -257, func(k cose) { k[3] = -8 }, "cannot have algorithm -8"},
		{"an Ed25519 key as ES256", -8, func(k cose) { k[3] = -7 }, "unsupported algorithm"},
		{"an Ed25519 key of type EC2", -8, func(k cose) { k[1] = 2 }, "EC2 algorithm"},

		{"a curve that is not the algorithm's", -7, func(k cose) { k[-1] = 2 }, "must specify curve"},
		{"no curve", -7, func(k cose) { delete(k, -1) }, "must specify curve"},
		{"a point not on the curve", -7, func(k cose) { k[-3] = bytesOf(32, 1) }, "not on curve"},
		{"the point of zeros", -7, func(k cose) { k[-2], k[-3] = make([]byte, 32), make([]byte, 32) }, "not on curve"},
		{"a coordinate of 31 bytes", -7, func(k cose) { k[-2] = k[-2].([]byte)[1:] }, "invalid length"},
		{"a coordinate of 33 bytes", -7, func(k cose) { k[-2] = append([]byte{0}, k[-2].([]byte)...) }, "invalid length"},
		{"a coordinate that is not reduced", -7, func(k cose) { k[-2] = bytesOf(32, 0xff) }, "not on curve"},
		{"no y", -7, func(k cose) { delete(k, -3) }, "invalid length"},
		{"a compressed point", -7, func(k cose) { k[-3] = true }, "cbor"},
		{"a coordinate as an array of numbers", -7, func(k cose) {
			var list []int
			for _, b := range k[-2].([]byte) {
				list = append(list, int(b))
			}
			k[-2] = list
		}, "member -2 is not a byte string"},
		{"a private key", -7, func(k cose) { k[-4] = bytesOf(32, 1) }, "has 6 members"},
		{"a key id", -7, func(k cose) { k[2] = []byte("kid") }, "has 6 members"},
		{"a member that nobody knows", -8, func(k cose) { k[-70000] = 1 }, "has 5 members"},

		{"Ed448", -8, func(k cose) { k[-1], k[-2] = 7, bytesOf(57, 1) }, "must specify curve"},
		{"X25519", -8, func(k cose) { k[-1] = 4 }, "must specify curve"},
		{"an Ed25519 key of 31 bytes", -8, func(k cose) { k[-2] = bytesOf(31, 1) }, "invalid length"},
		{"an Ed25519 key of 33 bytes", -8, func(k cose) { k[-2] = bytesOf(33, 1) }, "invalid length"},
		{"an Ed25519 key that is not reduced", -8, func(k cose) { k[-2] = above(3) }, "not reduced"},
		{"an Ed25519 key that is not on the curve", -8, func(k cose) { k[-2] = little(offCurve(prime)) }, "not one of a point"},
		{"the Ed25519 point of order 4, not reduced", -8, func(k cose) { k[-2] = above(0) }, "not reduced"},
		{"the Ed25519 point of order 1, not reduced", -8, func(k cose) { k[-2] = above(1) }, "not reduced"},

		{"an RSA modulus of 2047 bits", -257, func(k cose) { k[-1] = modulus(2047) }, "modulus"},
		{"an RSA modulus of 1024 bits", -257, func(k cose) { k[-1] = modulus(1024) }, "modulus"},
		{"an RSA modulus of 2048 bits", -257, func(k cose) { k[-1] = modulus(2048) }, ""},
		{"an RSA modulus of 8192 bits", -257, func(k cose) { k[-1] = modulus(8192) }, ""},
		{"an RSA modulus of 8193 bits", -257, func(k cose) { k[-1] = modulus(8193) }, "modulus"},
		{"an RSA modulus of 1024 bits, filled up", -257, func(k cose) { k[-1] = append(make([]byte, 128), modulus(1024)...) }, "modulus"},
		{"an even RSA modulus", -257, func(k cose) { n := modulus(2048); n[255] &^= 1; k[-1] = n }, "modulus"},
		{"no RSA modulus", -257, func(k cose) { k[-1] = []byte{} }, "modulus"},
		{"RSA exponent 1", -257, func(k cose) { k[-2] = []byte{1} }, "exponent"},
		{"RSA exponent 2", -257, func(k cose) { k[-2] = []byte{2} }, "exponent"},
		{"RSA exponent 3", -257, func(k cose) { k[-2] = []byte{3} }, ""},
		{"an even RSA exponent", -257, func(k cose) { k[-2] = []byte{1, 0, 0} }, "exponent"},
		{"RSA exponent 2^31-1", -257, func(k cose) { k[-2] = []byte{0x7f, 0xff, 0xff, 0xff} }, ""},
		{"RSA exponent 2^31+1", -257, func(k cose) { k[-2] = []byte{0x80, 0, 0, 1} }, "exponent"},
		{"an RSA exponent of 16 bytes", -257, func(k cose) { k[-2] = bytesOf(16, 1) }, "exponent"},
		{"no RSA exponent", -257, func(k cose) { k[-2] = []byte{} }, "exponent"},
		{"an RSA key with its private exponent", -257, func(k cose) { k[-3] = []byte{1} }, "has 5 members"},
	}
	rp := relyingParty(t)
	devices := map[int64]*device{}
	for _, alg := range offered {
		devices[alg] = newDevice(t, alg)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			key := maps.Clone(devices[tt.alg].cose)
			tt.change(key)
			r := newRegistration(t, devices[tt.alg])
			r.data.key = encode(t, key)
			c, err := register(rp, r.text(), expected())
			if tt.why == "" {
				if err != nil || !bytes.Equal(c.PublicKey, r.data.key) {
					t.Fatalf("%v, key %x", err, c.PublicKey)
				}
				return
			}
			wantError(t, err, tt.why)
		})
	}
	named := map[any]any{"kty": 2}
	for label, value := range devices[-7].cose {
		named[label] = value
	}
	for name, key := range map[string][]byte{
		"a good key with a name beside it": encode(t, named),
		"a key that is an array":           {0x80}, "a key that is null": {0xf6}, "a key that is empty": {0xa0},
		"a key with a member given twice": {0xa2, 1, 2, 1, 2}, "a key with names": encode(t, map[string]int{"kty": 2}),
		"a key with a huge label": {0xa1, 0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRegistration(t, devices[-7])
			r.data.key = key
			_, err := register(rp, r.text(), expected())
			wantError(t, err, "ceremony: ")
		})
	}
}

// offCurve returns the least y of which there is no point on the curve of Ed25519, by taking square roots.
func offCurve(prime *big.Int) *big.Int {
	one := big.NewInt(1)
	d := new(big.Int).ModInverse(big.NewInt(121666), prime)
	d.Mul(d, big.NewInt(-121665)).Mod(d, prime)
	for y := big.NewInt(2); ; y.Add(y, one) {
		yy := new(big.Int).Mul(y, y)
		v := new(big.Int).Mul(d, yy)
		v.Add(v, one).Mod(v, prime)
		x := new(big.Int).Sub(yy, one)
		x.Mul(x, v.ModInverse(v, prime)).Mod(x, prime)
		if new(big.Int).ModSqrt(x, prime) == nil {
			return y
		}
	}
}

// Whoever registers a point of small order needs no private key: there is a signature that is valid for one message in
// eight or more. The test makes one, to show that the points are what they are said to be, and that they are refused.
func TestEd25519PointsOfSmallOrderAreRefused(t *testing.T) {
	t.Parallel()
	rp := relyingParty(t)
	d := newDevice(t, -8)
	for order, point := range map[string]string{
		"1":           "0100000000000000000000000000000000000000000000000000000000000000",
		"2":           "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"4":           "0000000000000000000000000000000000000000000000000000000000000000",
		"4, negative": "0000000000000000000000000000000000000000000000000000000000000080",
		"8":           "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"8, second":   "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
		"8, third":    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"8, fourth":   "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
	} {
		t.Run("order "+order, func(t *testing.T) {
			t.Parallel()
			key, err := hex.DecodeString(point)
			if err != nil {
				t.Fatal(err)
			}
			signature := append([]byte{1}, make([]byte, 63)...) // the neutral point and zero
			forged := false
			for i := range 1000 {
				forged = forged || ed25519.Verify(key, []byte{byte(i), byte(i >> 8)}, signature)
			}
			if !forged {
				t.Error("the point does not have a small order")
			}
			r := newRegistration(t, d)
			r.data.key = encode(t, map[int64]any{1: 1, 3: -8, -1: 6, -2: key})
			_, err = register(rp, r.text(), expected())
			wantError(t, err, "small order")
		})
	}
}

// The arithmetic on Ed25519 keys refuses no good one.
func TestEd25519KeysAreAccepted(t *testing.T) {
	t.Parallel()
	rp := relyingParty(t)
	for range 100 {
		if _, err := register(rp, newRegistration(t, newDevice(t, -8)).text(), expected()); err != nil {
			t.Fatal(err)
		}
	}
}
