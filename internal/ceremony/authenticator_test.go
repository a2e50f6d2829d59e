package ceremony_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"strings"
	"sync"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/ostiary/auth/internal/ceremony"
)

// A software authenticator and its client, whose answers the tests change before and after they are signed.

const (
	rpID   = "example.org"
	origin = "https://example.org"
)

// What answers can have at most.
const (
	maxText              = 128 << 10
	maxClientData        = 4 << 10
	maxAttestationObject = 32 << 10
	maxAuthenticatorData = 4 << 10
	maxSignature         = 1024
	maxCertificates      = 8
	maxCertificateBytes  = 16 << 10
)

// Flags of authenticator data.
const (
	flagUP = 0x01
	flagUV = 0x04
	flagBE = 0x08
	flagBS = 0x10
	flagAT = 0x40
	flagED = 0x80
)

var (
	// offered are the algorithms that the tests offer.
	offered   = []int64{-7, -35, -36, -257, -258, -259, -37, -38, -39, -8}
	challenge = b64(bytesOf(32, 'c'))
	handle    = []byte("b6b4d9a6-3d4c-4f6f-8a0e-0f6f7f4b9a11")
)

func config() ceremony.Config {
	return ceremony.Config{ID: rpID, Origins: []string{origin}, Algorithms: offered}
}

func relyingParty(t testing.TB, change ...func(*ceremony.Config)) *ceremony.RelyingParty {
	t.Helper()
	c := config()
	for _, f := range change {
		f(&c)
	}
	rp, err := ceremony.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return rp
}

func expected() ceremony.Expectation { return ceremony.Expectation{UserHandle: handle} }

// device is an authenticator with one key.
type device struct {
	key  crypto.Signer
	alg  int64
	hash crypto.Hash
	cose map[int64]any
}

var hashes = map[int64]crypto.Hash{
	-7: crypto.SHA256, -9: crypto.SHA256, -35: crypto.SHA384, -51: crypto.SHA384, -36: crypto.SHA512, -52: crypto.SHA512,
	-257: crypto.SHA256, -258: crypto.SHA384, -259: crypto.SHA512, -37: crypto.SHA256, -38: crypto.SHA384, -39: crypto.SHA512,
}

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func newDevice(t testing.TB, alg int64) *device {
	t.Helper()
	d := &device{alg: alg, hash: hashes[alg]}
	curves := map[int64]elliptic.Curve{
		-7: elliptic.P256(), -9: elliptic.P256(), -35: elliptic.P384(), -51: elliptic.P384(), -36: elliptic.P521(), -52: elliptic.P521(),
	}
	switch {
	case alg == -8 || alg == -19:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		d.key = key
		d.cose = map[int64]any{1: 1, 3: alg, -1: 6, -2: []byte(key.Public().(ed25519.PublicKey))}
	case curves[alg] != nil:
		curve := curves[alg]
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		point, err := key.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		half := len(point) / 2
		crv := map[elliptic.Curve]int{elliptic.P256(): 1, elliptic.P384(): 2, elliptic.P521(): 3}[curve]
		d.key = key
		d.cose = map[int64]any{1: 2, 3: alg, -1: crv, -2: point[1 : 1+half], -3: point[1+half:]}
	default:
		key := rsaKey()
		d.key = key
		d.cose = map[int64]any{1: 3, 3: alg, -1: key.N.Bytes(), -2: big.NewInt(int64(key.E)).Bytes()}
	}
	return d
}

// sign signs data and the hash of clientData.
func (d *device) sign(t testing.TB, data []byte, clientData string) []byte {
	t.Helper()
	hash := sha256.Sum256([]byte(clientData))
	message := append(data[:len(data):len(data)], hash[:]...)
	var options crypto.SignerOpts = d.hash
	if d.alg <= -37 && d.alg >= -39 {
		options = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: d.hash}
	}
	if d.hash != 0 {
		h := d.hash.New()
		h.Write(message)
		message = h.Sum(nil)
	}
	signature, err := d.key.Sign(rand.Reader, message, options)
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

// authData is authenticator data in its parts.
type authData struct {
	rpID       string
	flags      byte
	counter    uint32
	aaguid     []byte
	id         []byte
	idLength   int // as written; negative for that of id
	key        []byte
	extensions []byte // and whatever else is at the end
}

func (a authData) bytes() []byte {
	hash := sha256.Sum256([]byte(a.rpID))
	out := append(hash[:], a.flags)
	out = binary.BigEndian.AppendUint32(out, a.counter)
	if a.flags&flagAT != 0 {
		length := a.idLength
		if length < 0 {
			length = len(a.id)
		}
		out = append(out, a.aaguid...)
		out = binary.BigEndian.AppendUint16(out, uint16(length))
		out = append(out, a.id...)
		out = append(out, a.key...)
	}
	return append(out, a.extensions...)
}

// registration is the answer of a registration in its parts. Parts that are not nil replace what would be calculated from
// the others.
type registration struct {
	t          testing.TB
	device     *device
	clientData string
	data       authData
	rawData    []byte
	format     any
	statement  any
	object     []byte
	response   map[string]any // members that are added or, with a value of drop, left out
	top        map[string]any
}

type dropped struct{}

var drop = dropped{}

func newRegistration(t testing.TB, d *device) *registration {
	t.Helper()
	return &registration{
		t: t, device: d, clientData: clientData("webauthn.create"), format: "none", statement: map[string]any{},
		data: authData{
			rpID: rpID, flags: flagUP | flagUV | flagAT, aaguid: bytesOf(16, 0), id: []byte("credential"), idLength: -1,
			key: encode(t, d.cose),
		},
		response: map[string]any{}, top: map[string]any{},
	}
}

func clientData(kind string) string {
	return fmt.Sprintf(`{"type":"%s","challenge":"%s","origin":"%s","crossOrigin":false}`, kind, challenge, origin)
}

func (r *registration) authenticatorData() []byte {
	if r.rawData != nil {
		return r.rawData
	}
	return r.data.bytes()
}

func (r *registration) text() []byte {
	r.t.Helper()
	object := r.object
	if object == nil {
		object = encode(r.t, map[string]any{"fmt": r.format, "attStmt": r.statement, "authData": r.authenticatorData()})
	}
	response := map[string]any{"clientDataJSON": b64([]byte(r.clientData)), "attestationObject": b64(object)}
	return assemble(r.t, r.data.id, response, r.response, r.top)
}

// assertion is the answer of an authentication in its parts.
type assertion struct {
	t          testing.TB
	device     *device
	id         []byte
	clientData string
	data       authData
	signature  []byte
	sent       func(*assertion, map[string]any) // changes the response after signing
	response   map[string]any
	top        map[string]any
}

func newAssertion(t testing.TB, d *device) *assertion {
	t.Helper()
	return &assertion{
		t: t, device: d, id: []byte("credential"), clientData: clientData("webauthn.get"),
		data:     authData{rpID: rpID, flags: flagUP | flagUV, aaguid: bytesOf(16, 0), idLength: -1},
		response: map[string]any{}, top: map[string]any{},
	}
}

func (a *assertion) text() []byte {
	a.t.Helper()
	data := a.data.bytes()
	signature := a.signature
	if signature == nil {
		signature = a.device.sign(a.t, data, a.clientData)
	}
	response := map[string]any{
		"clientDataJSON": b64([]byte(a.clientData)), "authenticatorData": b64(data), "signature": b64(signature),
		"userHandle": b64(handle),
	}
	if a.sent != nil {
		a.sent(a, response)
	}
	return assemble(a.t, a.id, response, a.response, a.top)
}

// assemble returns the JSON text of an answer. In a value of type json.RawMessage there can be anything.
func assemble(t testing.TB, id []byte, response, changes, top map[string]any) []byte {
	t.Helper()
	merge := func(into, from map[string]any) {
		maps.Copy(into, from)
		maps.DeleteFunc(into, func(_ string, v any) bool { return v == drop })
	}
	merge(response, changes)
	all := map[string]any{
		"id": b64(id), "rawId": b64(id), "type": "public-key", "response": response, "clientExtensionResults": map[string]any{},
	}
	merge(all, top)
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// register parses and verifies.
func register(rp *ceremony.RelyingParty, text []byte, e ceremony.Expectation) (ceremony.Credential, error) {
	r, err := ceremony.ParseRegistration(text)
	if err != nil {
		return ceremony.Credential{}, err
	}
	return rp.Register(r, e)
}

// assert parses and verifies.
func assert(rp *ceremony.RelyingParty, text []byte, c ceremony.Credential, e ceremony.Expectation) (ceremony.Use, error) {
	a, err := ceremony.ParseAssertion(text)
	if err != nil {
		return ceremony.Use{}, err
	}
	return rp.Assert(a, c, e)
}

// credential registers d.
func credential(t testing.TB, d *device, change ...func(*registration)) ceremony.Credential {
	t.Helper()
	r := newRegistration(t, d)
	for _, f := range change {
		f(r)
	}
	rp := relyingParty(t, func(c *ceremony.Config) { c.Algorithms = append([]int64{d.alg}, c.Algorithms...) })
	c, err := register(rp, r.text(), expected())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// wantError fails unless err says why.
func wantError(t *testing.T, err error, why string) {
	t.Helper()
	switch {
	case err == nil:
		t.Fatalf("accepted; want an error with %q", why)
	case !strings.Contains(err.Error(), why):
		t.Fatalf("error %q; want one with %q", err, why)
	}
}

var encoder = func() cbor.EncMode {
	mode, err := cbor.CTAP2EncOptions().EncMode()
	if err != nil {
		panic(err)
	}
	return mode
}()

func encode(t testing.TB, v any) []byte {
	t.Helper()
	out, err := encoder.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func unb64(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func bytesOf(n int, b byte) []byte { return bytes.Repeat([]byte{b}, n) }
