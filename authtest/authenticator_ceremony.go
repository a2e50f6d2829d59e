package authtest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fxamacker/cbor/v2"
)

// Flags are the flags of authenticator data (WebAuthn L3 §6.1).
type Flags byte

// The flags.
const (
	FlagUP Flags = 1 << 0 // the user is present
	FlagUV Flags = 1 << 2 // the user is verified
	FlagBE Flags = 1 << 3 // the credential can be backed up
	FlagBS Flags = 1 << 4 // the credential is backed up
	FlagAT Flags = 1 << 6 // there is attested credential data
	FlagED Flags = 1 << 7 // there are extension data
)

// Ceremony is what an [Authenticator] is about to say and sign. A lie changes it:
//
//	answer := key.Get(t, options, func(c *authtest.Ceremony) { c.Origin = "https://evil.example" })
//
// What a lie leaves alone stays honest, and the signature is good for all that is said unless the lie is about the key.
// What comes after the signature is the matter of [AfterSigning]. A lie is told after the browser's checks: where these
// are in the way, see [Authenticator.Unchecked].
type Ceremony struct {
	// What the browser says in the client data (WebAuthn L3 §5.8.1).

	Type        string // "webauthn.create" or "webauthn.get"
	Challenge   string // base64url without padding
	Origin      string
	CrossOrigin bool
	TopOrigin   string // left out if empty
	Extra       string // more members, as JSON without the braces: `"tokenBinding":{"status":"supported"}`

	// ClientDataJSON is said in place of all of the above, unless it is nil.
	ClientDataJSON []byte

	// What the authenticator says in the authenticator data (WebAuthn L3 §6.1).

	RPID    string // told by its SHA-256
	Flags   Flags
	Counter uint32

	// AAGUID, CredentialID and PublicKey, a COSE_Key, are the attested credential data, which Create tells with or
	// without FlagAT and Get does not. CredentialID is the id of the answer too.
	AAGUID       [16]byte
	CredentialID []byte
	PublicKey    []byte

	// Extensions, a map in CBOR, comes last, with or without FlagED.
	Extensions []byte

	// AuthenticatorData is said in place of all of the above, unless it is nil.
	AuthenticatorData []byte

	// Format is that of the attestation of Create: "none", "packed" or any other.
	Format string

	// Statement has members that the attestation statement has besides, or in place of, those that belong to its format:
	// alg and a good sig for "packed" and none for all others.
	Statement map[string]any

	// PrivateKey signs: at Get always, at Create the "packed" attestation only.
	PrivateKey crypto.Signer

	// UserHandle is what Get tells, and nothing if it is nil. At Create it is that of the options, and told nobody.
	UserHandle []byte

	create                 bool
	attachment             string
	transports             []string
	clientExtensionResults map[string]any
	after                  []func(*Answer)
}

// Use makes the ceremony one of another credential: its id, its key, its counter, and its user handle if it is
// discoverable. The flags stay.
func (c *Ceremony) Use(credential Credential) {
	credential = credential.clone()
	c.CredentialID, c.PrivateKey, c.Counter = credential.ID, credential.PrivateKey, credential.SignCount
	c.UserHandle = nil
	if credential.Resident {
		c.UserHandle = credential.UserHandle
	}
}

// Answer is what is sent to the relying party: the members of RegistrationResponseJSON or AuthenticationResponseJSON
// (WebAuthn L3 §5.1.7), decoded. What has the zero value and is not always there is left out.
type Answer struct {
	ID                     string // RawID, encoded
	RawID                  []byte
	Type                   string // "public-key"
	Attachment             string
	ClientExtensionResults map[string]any

	ClientDataJSON    []byte
	AuthenticatorData []byte

	// These are of Create.

	AttestationObject  []byte
	PublicKey          []byte // SubjectPublicKeyInfo
	PublicKeyAlgorithm int
	Transports         []string

	// These are of Get.

	Signature  []byte
	UserHandle []byte
}

// AfterSigning returns a lie about what the authenticator has signed already, or what nobody signs.
//
//	answer := key.Get(t, options, authtest.AfterSigning(func(a *authtest.Answer) { a.Signature[9] ^= 1 }))
func AfterSigning(lie func(*Answer)) func(*Ceremony) {
	return func(c *Ceremony) { c.after = append(c.after, lie) }
}

// EncodeClientData returns the client data as they will be said: ClientDataJSON, or what browsers make of the members
// (WebAuthn L3 §5.8.1.1). It is for lies that start from there.
func (c *Ceremony) EncodeClientData() []byte {
	if c.ClientDataJSON != nil {
		return c.ClientDataJSON
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"type":%s,"challenge":%s,"origin":%s,"crossOrigin":%t`,
		quote(c.Type), quote(c.Challenge), quote(c.Origin), c.CrossOrigin)
	if c.TopOrigin != "" {
		fmt.Fprintf(&b, `,"topOrigin":%s`, quote(c.TopOrigin))
	}
	if c.Extra != "" {
		b.WriteString("," + c.Extra)
	}
	b.WriteByte('}')
	return b.Bytes()
}

// quote is CCDToString: all is itself but quotation marks, backslashes and control characters.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"', c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < 0x20:
			fmt.Fprintf(&b, `\u%04x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// EncodeAuthenticatorData returns the authenticator data as they will be said: AuthenticatorData, or what the members
// make. It is for lies that start from there.
func (c *Ceremony) EncodeAuthenticatorData() []byte {
	if c.AuthenticatorData != nil {
		return c.AuthenticatorData
	}
	hash := sha256.Sum256([]byte(c.RPID))
	b := append(hash[:], byte(c.Flags))
	b = binary.BigEndian.AppendUint32(b, c.Counter)
	if c.create {
		b = append(b, c.AAGUID[:]...)
		b = binary.BigEndian.AppendUint16(b, uint16(len(c.CredentialID)))
		b = append(b, c.CredentialID...)
		b = append(b, c.PublicKey...)
	}
	return append(b, c.Extensions...)
}

// perform tells the lies, says all, signs it and returns the answer.
func (c *Ceremony) perform(lies []func(*Ceremony)) (json.RawMessage, error) {
	for _, lie := range lies {
		lie(c)
	}
	if c.PrivateKey == nil {
		return nil, errors.New("there is no key to sign with")
	}
	a := &Answer{
		ID: encoding.EncodeToString(c.CredentialID), RawID: bytes.Clone(c.CredentialID), Type: "public-key",
		Attachment: c.attachment, ClientExtensionResults: c.clientExtensionResults,
		ClientDataJSON: c.EncodeClientData(), AuthenticatorData: c.EncodeAuthenticatorData(),
	}
	hash := sha256.Sum256(a.ClientDataJSON)
	signed := slices.Concat(a.AuthenticatorData, hash[:])
	var err error
	if c.create {
		err = c.attest(a, signed)
	} else {
		a.UserHandle = bytes.Clone(c.UserHandle)
		a.Signature, err = sign(c.PrivateKey, signed)
	}
	if err != nil {
		return nil, err
	}
	for _, lie := range c.after {
		lie(a)
	}
	return a.encode(c.create)
}

// attest adds what only an answer of Create has.
func (c *Ceremony) attest(a *Answer, signed []byte) (err error) {
	_, algorithm, err := coseKey(c.PrivateKey.Public())
	if err != nil {
		return err
	}
	statement := make(map[string]any)
	if c.Format == "packed" {
		signature, err := sign(c.PrivateKey, signed)
		if err != nil {
			return err
		}
		statement["alg"], statement["sig"] = algorithm, signature
	}
	maps.Copy(statement, c.Statement)
	a.AttestationObject, err = canonical.Marshal(map[string]any{
		"fmt": c.Format, "attStmt": statement, "authData": a.AuthenticatorData,
	})
	if err != nil {
		return fmt.Errorf("encode the attestation: %w", err)
	}
	a.PublicKey, err = x509.MarshalPKIXPublicKey(c.PrivateKey.Public())
	a.PublicKeyAlgorithm = algorithm
	a.Transports = c.transports
	return err
}

// encode returns the JSON of an answer. Members with omitzero are there if there are bytes, be it none.
func (a *Answer) encode(create bool) (json.RawMessage, error) {
	type attestation struct {
		ClientDataJSON     base64URL `json:"clientDataJSON"`
		AuthenticatorData  base64URL `json:"authenticatorData"`
		Transports         []string  `json:"transports"`
		PublicKey          base64URL `json:"publicKey,omitzero"`
		PublicKeyAlgorithm int       `json:"publicKeyAlgorithm"`
		AttestationObject  base64URL `json:"attestationObject"`
	}
	type assertion struct {
		ClientDataJSON    base64URL `json:"clientDataJSON"`
		AuthenticatorData base64URL `json:"authenticatorData"`
		Signature         base64URL `json:"signature"`
		UserHandle        base64URL `json:"userHandle,omitzero"`
	}
	response := any(assertion{a.ClientDataJSON, a.AuthenticatorData, a.Signature, a.UserHandle})
	if create {
		response = attestation{
			a.ClientDataJSON, a.AuthenticatorData, append([]string{}, a.Transports...),
			a.PublicKey, a.PublicKeyAlgorithm, a.AttestationObject,
		}
	}
	return json.Marshal(struct {
		ID                     string         `json:"id"`
		RawID                  base64URL      `json:"rawId"`
		Response               any            `json:"response"`
		Attachment             string         `json:"authenticatorAttachment,omitempty"`
		ClientExtensionResults map[string]any `json:"clientExtensionResults"`
		Type                   string         `json:"type"`
	}{a.ID, a.RawID, response, a.Attachment, a.ClientExtensionResults, a.Type})
}

// encoding is that of all byte strings in JSON. Browsers accept no other.
var encoding = base64.RawURLEncoding.Strict()

// base64URL is a byte string in JSON.
type base64URL []byte

func (b base64URL) MarshalText() ([]byte, error) { return encoding.AppendEncode(nil, b), nil }

func (b *base64URL) UnmarshalText(text []byte) error {
	decoded, err := encoding.DecodeString(string(text))
	if err != nil || bytes.ContainsAny(text, "\r\n") { // which the decoder skips
		return fmt.Errorf("%w: %q is not base64url without padding", EncodingError, text)
	}
	*b = decoded
	return nil
}

// canonical is the form of CBOR that authenticators speak (CTAP 2.1 §8).
var canonical = func() cbor.EncMode {
	mode, err := cbor.CTAP2EncOptions().EncMode()
	if err != nil {
		panic(err) // the options are constant
	}
	return mode
}()

func generateKey(algorithm int) (crypto.Signer, error) {
	switch algorithm {
	case ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case EdDSA:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	case RS256:
		return rsa.GenerateKey(rand.Reader, 2048)
	default:
		return nil, fmt.Errorf("the authenticator has no algorithm %d", algorithm)
	}
}

// coseKey returns a public key as a COSE_Key (RFC 9052 §7) and its algorithm.
func coseKey(public crypto.PublicKey) (key []byte, algorithm int, err error) {
	const kty, alg = 1, 3
	var parameters map[int]any
	switch public := public.(type) {
	case *ecdsa.PublicKey:
		point, err := public.Bytes()
		if err != nil || public.Curve != elliptic.P256() {
			return nil, 0, fmt.Errorf("the key is not one of %s", elliptic.P256().Params().Name)
		}
		// Coordinates have 32 bytes, whatever their value (RFC 9053 §7.1.1).
		parameters = map[int]any{kty: 2, alg: ES256, -1: 1, -2: point[1:33], -3: point[33:]}
	case ed25519.PublicKey:
		parameters = map[int]any{kty: 1, alg: EdDSA, -1: 6, -2: []byte(public)}
	case *rsa.PublicKey:
		e := binary.BigEndian.AppendUint64(nil, uint64(public.E))
		parameters = map[int]any{kty: 3, alg: RS256, -1: public.N.Bytes(), -2: bytes.TrimLeft(e, "\x00")}
	default:
		return nil, 0, fmt.Errorf("the authenticator has no algorithm for a %T", public)
	}
	key, err = canonical.Marshal(parameters)
	return key, parameters[alg].(int), err
}

// sign returns a signature as authenticators make it (WebAuthn L3 §6.5.5).
func sign(key crypto.Signer, message []byte) ([]byte, error) {
	if _, ok := key.Public().(ed25519.PublicKey); ok {
		return key.Sign(rand.Reader, message, crypto.Hash(0))
	}
	digest := sha256.Sum256(message)
	return key.Sign(rand.Reader, digest[:], crypto.SHA256)
}

func marshalKey(key crypto.Signer) ([]byte, error) { return x509.MarshalPKCS8PrivateKey(key) }

func parseKey(der []byte) (crypto.Signer, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("the private key is not PKCS #8: %w", err)
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a %T does not sign", parsed)
	}
	return key, nil
}
