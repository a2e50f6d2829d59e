package authtest

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
)

// The algorithms of an [Authenticator], as COSE numbers them (RFC 9053, RFC 8812).
const (
	ES256 = -7   // ECDSA over P-256 with SHA-256
	EdDSA = -8   // Ed25519
	RS256 = -257 // RSASSA-PKCS1-v1_5 with SHA-256, of 2048 bits
)

// Authenticator is a software authenticator with a browser in front of it: it takes the options that the engine gave,
// as navigator.credentials.create and get do, and answers with the JSON of PublicKeyCredential.toJSON().
//
//	key := &authtest.Authenticator{}
//	options, err := e.SignUpWebAuthn(ctx, auth.SignUpWebAuthnParams{Email: "ada@example.com"})
//	…
//	answer := key.Create(t, options)
//	in, err := e.VerifySignUpWebAuthn(ctx, auth.VerifySignUpWebAuthnParams{Credential: answer})
//
// The zero value is ready, and is what most people have: a provider of passkeys that are discoverable and synchronised,
// signs with ES256, verifies its user, counts nothing and attests nothing, on a page of [ClientURL]. [NewSecurityKey]
// returns the plainest of the others.
//
// It does what is asked of it only if a browser would: see [BrowserError]. What it should do that no honest one does, a
// test says as a lie about one ceremony: see [Ceremony].
//
// It is safe for concurrent use, but its fields are not to be changed while it is used.
type Authenticator struct {
	// Origin is the page that asks: its origin, or its URL, which a browser reduces to one. The empty string stands for
	// [ClientURL]. Or it is an app: "android:apk-key-hash:…" or "ios:bundle-id:…", which is told as it stands.
	Origin string

	// RelatedRPIDs are relying parties at home elsewhere for which Origin may act too: their /.well-known/webauthn names
	// it (WebAuthn L3 §5.11). An app may act for these only.
	RelatedRPIDs []string

	// Unchecked takes the browser and its rules away: requests of any relying party are answered, with any algorithm,
	// whether or not a credential is excluded or allowed and what is required can be done. A Get for which nothing that
	// is held would do is answered with the most recent credential. What an attacker runs is no browser.
	Unchecked bool

	// Algorithm is what new credentials sign with: ES256, for which zero stands too, EdDSA or RS256.
	Algorithm int

	// GenerateKey makes the key pair of a new credential for an algorithm; nil makes a random one. The key is an
	// *ecdsa.PrivateKey over P-256, an ed25519.PrivateKey or an *rsa.PrivateKey.
	GenerateKey func(algorithm int) (crypto.Signer, error)

	// NonResident makes credentials that only whoever names them can use: they are not discoverable, and answers have no
	// user handle.
	NonResident bool

	// NoUserVerification is an authenticator that knows that somebody is there, but not who. All others verify their user
	// at each ceremony, even where that is discouraged, as providers of passkeys do.
	NoUserVerification bool

	// Counting makes the signature counter of a credential 1 at its creation and one more at each use. Without, it stays
	// at zero.
	Counting bool

	// DeviceBound makes credentials that cannot be backed up, now or ever: BE and BS are not set.
	DeviceBound bool

	// NotBackedUp leaves BS unset for credentials that can be backed up: it has not come to it yet.
	NotBackedUp bool

	// AAGUID tells the model of the authenticator.
	AAGUID [16]byte

	// Transports are told at creation; nil stands for hybrid and internal.
	Transports []string

	// Attachment is "platform", for which the empty string stands too, or "cross-platform".
	Attachment string

	// Attestation is "none", for which the empty string stands too, or "packed": self attestation. As browsers do where
	// the options do not ask for attestation, "packed" becomes "none" unless AAGUID is zero (WebAuthn L3 §5.1.3).
	Attestation string

	// Choose is the person who is offered several credentials, most recent first, and returns the index of the one to
	// use; an index that there is not cancels. Nil chooses the first.
	Choose func(offered []Credential) int

	mu          sync.Mutex
	credentials []Credential // oldest first
}

// NewSecurityKey returns a key to plug in that has a button and no more, as U2F made them: its credentials are neither
// discoverable nor backed up, and it counts. It cannot verify its user.
func NewSecurityKey() *Authenticator {
	return &Authenticator{
		NonResident: true, NoUserVerification: true, Counting: true, DeviceBound: true,
		Transports: []string{"nfc", "usb"}, Attachment: "cross-platform",
	}
}

// Create makes a credential, as navigator.credentials.create does. The options are anything that marshals to
// PublicKeyCredentialCreationOptionsJSON, or its JSON as a string or bytes. Lies are told in turn. A refusal fails the
// test at once.
func (a *Authenticator) Create(t testing.TB, options any, lies ...func(*Ceremony)) json.RawMessage {
	t.Helper()
	answer, err := a.TryCreate(options, lies...)
	if err != nil {
		t.Fatalf("authtest: create a credential: %v", err)
	}
	return answer
}

// Get signs with a credential, as navigator.credentials.get does. The options are anything that marshals to
// PublicKeyCredentialRequestOptionsJSON, or its JSON as a string or bytes. Lies are told in turn. A refusal fails the
// test at once.
func (a *Authenticator) Get(t testing.TB, options any, lies ...func(*Ceremony)) json.RawMessage {
	t.Helper()
	answer, err := a.TryGet(options, lies...)
	if err != nil {
		t.Fatalf("authtest: get a credential: %v", err)
	}
	return answer
}

// TryCreate is [Authenticator.Create] that returns an error where it is refused: a [BrowserError] where a browser
// refuses, and any other where the authenticator is made wrong.
//
// A discoverable credential takes the place of the one that the account had at the relying party before, if any. What
// is held in the end is what the lies made of it, so that it can be used: its id, its key, its counter, its user handle
// and whether it can be backed up.
func (a *Authenticator) TryCreate(options any, lies ...func(*Ceremony)) (json.RawMessage, error) {
	var o creationOptions
	if err := decodeOptions(options, &o); err != nil {
		return nil, err
	}
	origin, rpID, err := a.page(o.RP.ID)
	if err != nil {
		return nil, err
	}
	algorithm := a.Algorithm
	if algorithm == 0 {
		algorithm = ES256
	}
	if !a.Unchecked {
		if err := a.canCreate(&o, rpID, algorithm); err != nil {
			return nil, err
		}
	}
	generate := a.GenerateKey
	if generate == nil {
		generate = generateKey
	}
	key, err := generate(algorithm)
	if err != nil {
		return nil, fmt.Errorf("generate a key: %w", err)
	}
	publicKey, _, err := coseKey(key.Public())
	if err != nil {
		return nil, err
	}

	c := a.ceremony("webauthn.create", *o.Challenge, origin, rpID)
	c.create = true
	c.Flags |= FlagAT
	if !a.DeviceBound {
		c.Flags |= FlagBE
		if !a.NotBackedUp {
			c.Flags |= FlagBS
		}
	}
	if a.Counting {
		c.Counter = 1
	}
	c.AAGUID = a.AAGUID
	c.CredentialID = make([]byte, 16)
	rand.Read(c.CredentialID) //nolint:errcheck // never fails; a broken source ends the program
	c.PublicKey = publicKey
	c.PrivateKey = key
	c.UserHandle = *o.User.ID
	if c.Format, err = a.format(o.Attestation); err != nil {
		return nil, err
	}
	c.transports = []string{"hybrid", "internal"}
	if a.Transports != nil {
		c.transports = slices.Sorted(slices.Values(a.Transports))
	}
	if o.Extensions.CredProps {
		c.clientExtensionResults["credProps"] = map[string]any{"rk": !a.NonResident}
	}

	answer, err := c.perform(lies)
	if err != nil {
		return nil, err
	}
	a.keep(Credential{
		ID: c.CredentialID, RPID: rpID, UserHandle: c.UserHandle, UserName: *o.User.Name, PrivateKey: c.PrivateKey,
		SignCount: c.Counter, Resident: !a.NonResident, BackupEligible: c.Flags&FlagBE != 0,
	})
	return answer, nil
}

// TryGet is [Authenticator.Get] that returns an error where it is refused: a [BrowserError] where a browser refuses, and
// any other where the authenticator is made wrong. Lies do not change what is held.
func (a *Authenticator) TryGet(options any, lies ...func(*Ceremony)) (json.RawMessage, error) {
	var o requestOptions
	if err := decodeOptions(options, &o); err != nil {
		return nil, err
	}
	origin, rpID, err := a.page(o.RPID)
	if err != nil {
		return nil, err
	}
	if !a.Unchecked && o.UserVerification == "required" && a.NoUserVerification {
		return nil, fmt.Errorf("%w: user verification is required and the authenticator cannot", NotAllowedError)
	}
	offered := a.offer(&o, rpID)
	if len(offered) == 0 {
		return nil, fmt.Errorf("%w: no credential for %s is held that would do", NotAllowedError, rpID)
	}
	chosen := 0
	if a.Choose != nil && len(offered) > 1 {
		chosen = a.Choose(slices.Clone(offered))
	}
	if chosen < 0 || chosen >= len(offered) {
		return nil, fmt.Errorf("%w: cancelled", NotAllowedError)
	}
	used, ok := a.use(offered[chosen].ID)
	if !ok {
		return nil, fmt.Errorf("%w: the credential was deleted meanwhile", NotAllowedError)
	}

	c := a.ceremony("webauthn.get", *o.Challenge, origin, rpID)
	if used.BackupEligible {
		c.Flags |= FlagBE
		if !a.NotBackedUp {
			c.Flags |= FlagBS
		}
	}
	c.Use(used)
	return c.perform(lies)
}

// ceremony returns what is the same at the beginning of both ceremonies.
func (a *Authenticator) ceremony(kind string, challenge []byte, origin, rpID string) *Ceremony {
	c := &Ceremony{
		Type: kind, Challenge: encoding.EncodeToString(challenge), Origin: origin, RPID: rpID, Flags: FlagUP,
		attachment: a.Attachment, clientExtensionResults: map[string]any{},
	}
	if !a.NoUserVerification {
		c.Flags |= FlagUV
	}
	if c.attachment == "" {
		c.attachment = "platform"
	}
	return c
}

// format returns the format of the attestation that reaches a relying party with the preference given.
func (a *Authenticator) format(preference string) (string, error) {
	switch a.Attestation {
	case "", "none":
		return "none", nil
	case "packed":
		asked := preference == "indirect" || preference == "direct" || preference == "enterprise"
		if asked || a.AAGUID == [16]byte{} || a.Unchecked {
			return "packed", nil
		}
		return "none", nil
	default:
		return "", fmt.Errorf("the authenticator has no attestation %q", a.Attestation)
	}
}

// Credential is what an [Authenticator] holds. It marshals to JSON, private key and all, in the form of the Credential
// Parameters of the virtual authenticators of WebDriver (WebAuthn L3 §11).
type Credential struct {
	ID         []byte
	RPID       string
	UserHandle []byte        // the account's, as its creation gave it
	UserName   string        // by which a person tells accounts apart
	PrivateKey crypto.Signer // an *ecdsa.PrivateKey over P-256, an ed25519.PrivateKey or an *rsa.PrivateKey
	SignCount  uint32        // as it was last told; zero while the authenticator does not count

	Resident       bool // whether it can be found without its id
	BackupEligible bool
}

// Credentials returns what the authenticator holds, oldest first.
func (a *Authenticator) Credentials() []Credential {
	a.mu.Lock()
	defer a.mu.Unlock()
	credentials := slices.Clone(a.credentials)
	for i := range credentials {
		credentials[i] = credentials[i].clone()
	}
	return credentials
}

// Add makes the authenticator hold credentials from elsewhere, as the most recent ones. One with the id of another takes
// its place. Nothing is added if the id, the relying party or the key of one is missing, or the key is of a kind that it
// has no algorithm for.
func (a *Authenticator) Add(credentials ...Credential) error {
	for i, c := range credentials {
		if len(c.ID) == 0 || c.RPID == "" || c.PrivateKey == nil {
			return fmt.Errorf("credential %d has no id, no relying party or no key", i)
		}
		if _, _, err := coseKey(c.PrivateKey.Public()); err != nil {
			return fmt.Errorf("credential %d: %w", i, err)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range credentials {
		a.remove(c.ID)
		a.credentials = append(a.credentials, c.clone())
	}
	return nil
}

// Delete makes the authenticator forget a credential, and reports whether it held it. The relying party learns nothing.
func (a *Authenticator) Delete(id []byte) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.remove(id)
}

// Clone returns an authenticator with the same fields that holds the same credentials. From then on each counts for
// itself, by which a relying party can tell (WebAuthn L3 §6.1.1).
func (a *Authenticator) Clone() *Authenticator {
	return &Authenticator{
		Origin:             a.Origin,
		RelatedRPIDs:       slices.Clone(a.RelatedRPIDs),
		Unchecked:          a.Unchecked,
		Algorithm:          a.Algorithm,
		GenerateKey:        a.GenerateKey,
		NonResident:        a.NonResident,
		NoUserVerification: a.NoUserVerification,
		Counting:           a.Counting,
		DeviceBound:        a.DeviceBound,
		NotBackedUp:        a.NotBackedUp,
		AAGUID:             a.AAGUID,
		Transports:         slices.Clone(a.Transports),
		Attachment:         a.Attachment,
		Attestation:        a.Attestation,
		Choose:             a.Choose,
		credentials:        a.Credentials(),
	}
}

// keep holds a new credential, which takes the place of a discoverable one of the same account (WebAuthn L3 §6.3.2).
func (a *Authenticator) keep(c Credential) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.credentials = slices.DeleteFunc(a.credentials, func(old Credential) bool {
		return bytes.Equal(old.ID, c.ID) ||
			c.Resident && old.Resident && old.RPID == c.RPID && bytes.Equal(old.UserHandle, c.UserHandle)
	})
	a.credentials = append(a.credentials, c.clone())
}

// use returns a credential with its counter as this use of it leaves it.
func (a *Authenticator) use(id []byte) (Credential, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.IndexFunc(a.credentials, func(c Credential) bool { return bytes.Equal(c.ID, id) })
	if i < 0 {
		return Credential{}, false
	}
	if a.Counting {
		a.credentials[i].SignCount++
	}
	return a.credentials[i].clone(), true
}

// remove needs the lock.
func (a *Authenticator) remove(id []byte) bool {
	held := len(a.credentials)
	a.credentials = slices.DeleteFunc(a.credentials, func(c Credential) bool { return bytes.Equal(c.ID, id) })
	return len(a.credentials) < held
}

func (c Credential) clone() Credential {
	c.ID = bytes.Clone(c.ID)
	c.UserHandle = bytes.Clone(c.UserHandle)
	return c
}

// credentialParameters is the wire form of a Credential.
type credentialParameters struct {
	ID             base64URL `json:"credentialId"`
	Resident       bool      `json:"isResidentCredential"`
	RPID           string    `json:"rpId"`
	PrivateKey     base64URL `json:"privateKey"` // PKCS #8
	UserHandle     base64URL `json:"userHandle,omitzero"`
	SignCount      uint32    `json:"signCount"`
	UserName       string    `json:"userName,omitempty"`
	BackupEligible bool      `json:"backupEligibility"`
}

// MarshalJSON implements [json.Marshaler]. Byte strings are base64url without padding, the private key is PKCS #8.
func (c Credential) MarshalJSON() ([]byte, error) {
	if c.PrivateKey == nil {
		return nil, errors.New("the credential has no key")
	}
	der, err := marshalKey(c.PrivateKey)
	if err != nil {
		return nil, err
	}
	return json.Marshal(credentialParameters{
		ID: c.ID, Resident: c.Resident, RPID: c.RPID, PrivateKey: der, UserHandle: c.UserHandle,
		SignCount: c.SignCount, UserName: c.UserName, BackupEligible: c.BackupEligible,
	})
}

// UnmarshalJSON implements [json.Unmarshaler].
func (c *Credential) UnmarshalJSON(data []byte) error {
	var p credentialParameters
	if err := json.Unmarshal(data, &p); err != nil {
		return err
	}
	key, err := parseKey(p.PrivateKey)
	if err != nil {
		return err
	}
	*c = Credential{
		ID: p.ID, RPID: p.RPID, UserHandle: p.UserHandle, UserName: p.UserName, PrivateKey: key,
		SignCount: p.SignCount, Resident: p.Resident, BackupEligible: p.BackupEligible,
	}
	return nil
}
