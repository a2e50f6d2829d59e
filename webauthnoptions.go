package auth

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"slices"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

// CreationOptions are what a client hands to navigator.credentials.create to make a credential, in the form that
// PublicKeyCredential.parseCreationOptionsFromJSON takes (WebAuthn L3 §5.1.9). Binary values are base64url without
// padding.
type CreationOptions struct {
	RP                     RelyingParty           `json:"rp"`
	User                   UserEntity             `json:"user"`
	Challenge              string                 `json:"challenge"` // 32 random bytes
	PubKeyCredParams       []CredentialParameter  `json:"pubKeyCredParams"`
	Timeout                int64                  `json:"timeout"` // milliseconds
	ExcludeCredentials     []CredentialDescriptor `json:"excludeCredentials,omitempty"`
	AuthenticatorSelection AuthenticatorSelection `json:"authenticatorSelection"`
	Hints                  []string               `json:"hints,omitempty"`
	Attestation            string                 `json:"attestation"`
	Extensions             map[string]any         `json:"extensions,omitempty"`
}

// RequestOptions are what a client hands to navigator.credentials.get to use a credential, in the form that
// PublicKeyCredential.parseRequestOptionsFromJSON takes (WebAuthn L3 §5.1.10).
type RequestOptions struct {
	Challenge        string                 `json:"challenge"` // 32 random bytes
	Timeout          int64                  `json:"timeout"`   // milliseconds
	RPID             string                 `json:"rpId"`
	AllowCredentials []CredentialDescriptor `json:"allowCredentials,omitempty"`
	UserVerification UserVerification       `json:"userVerification"`
	Hints            []string               `json:"hints,omitempty"`
	Extensions       map[string]any         `json:"extensions,omitempty"`
}

// RelyingParty is who asks for a credential.
type RelyingParty struct {
	Name string `json:"name"`
	ID   string `json:"id"`
}

// UserEntity is for whom a credential is.
type UserEntity struct {
	Name        string `json:"name"` // the e-mail address, where there is one
	DisplayName string `json:"displayName"`
	ID          string `json:"id"` // the user handle: the 16 bytes of the user's id
}

// CredentialParameter is a kind of key that is accepted.
type CredentialParameter struct {
	Type string `json:"type"` // "public-key"
	Alg  int64  `json:"alg"`  // COSE
}

// CredentialDescriptor names a credential.
type CredentialDescriptor struct {
	Type       string   `json:"type"` // "public-key"
	ID         string   `json:"id"`
	Transports []string `json:"transports,omitempty"`
}

// AuthenticatorSelection says which authenticators will do.
type AuthenticatorSelection struct {
	AuthenticatorAttachment string           `json:"authenticatorAttachment,omitempty"`
	RequireResidentKey      bool             `json:"requireResidentKey"`
	ResidentKey             string           `json:"residentKey"`
	UserVerification        UserVerification `json:"userVerification"`
}

func (e *Engine) creationOptions(challenge string, u *store.User, exclude []store.SecurityKey) *CreationOptions {
	c := e.config.WebAuthn
	o := &CreationOptions{
		RP:                 RelyingParty{Name: c.RPName, ID: c.RPID},
		User:               userEntity(u, exclude),
		Challenge:          challenge,
		Timeout:            c.Timeout.Milliseconds(),
		ExcludeCredentials: descriptors(exclude),
		AuthenticatorSelection: AuthenticatorSelection{
			AuthenticatorAttachment: c.Attachment,
			RequireResidentKey:      c.ResidentKey == "required",
			ResidentKey:             c.ResidentKey,
			UserVerification:        c.UserVerification,
		},
		Hints:       slices.Clone(c.Hints),
		Attestation: c.Attestation,
		Extensions:  e.rules.createExtensions.inputs(),
	}
	for _, a := range algorithms {
		o.PubKeyCredParams = append(o.PubKeyCredParams, CredentialParameter{publicKeyType, a})
	}
	return o
}

func (e *Engine) requestOptions(challenge string, offered []CredentialDescriptor, uv UserVerification) *RequestOptions {
	c := e.config.WebAuthn
	return &RequestOptions{
		Challenge: challenge, Timeout: c.Timeout.Milliseconds(), RPID: c.RPID,
		AllowCredentials: offered, UserVerification: uv, Hints: slices.Clone(c.Hints), Extensions: e.rules.getExtensions.inputs(),
	}
}

// extensions are client extension inputs, as JSON: every caller gets inputs of their own, to add to.
type extensions []byte

func (x extensions) inputs() map[string]any {
	var m map[string]any
	if err := json.Unmarshal(x, &m); err != nil || len(m) == 0 {
		return nil // it was marshalled from a map
	}
	return m
}

const publicKeyType = "public-key"

// handleOf is the user's one handle: that of their first key, by which authenticators know them, or else their id.
func handleOf(u *store.User, keys []store.SecurityKey) []byte {
	if len(keys) > 0 && len(keys[0].UserHandle) > 0 {
		return keys[0].UserHandle
	}
	return u.ID[:]
}

// userEntity is how an authenticator shows whose a credential is.
func userEntity(u *store.User, keys []store.SecurityKey) UserEntity {
	name := u.Email
	if name == "" {
		name = u.Phone
	}
	if name == "" {
		name = u.DisplayName
	}
	return UserEntity{Name: name, DisplayName: u.DisplayName, ID: base64.RawURLEncoding.EncodeToString(handleOf(u, keys))}
}

func descriptors(keys []store.SecurityKey) []CredentialDescriptor {
	list := make([]CredentialDescriptor, len(keys))
	for i, k := range keys {
		// In the order of the alphabet, as decoys have them.
		transports := slices.Sorted(slices.Values(k.Transports))
		list[i] = CredentialDescriptor{publicKeyType, base64.RawURLEncoding.EncodeToString(k.CredentialID), transports}
	}
	return list
}

func keyIDs(keys []store.SecurityKey) []uuid.UUID {
	ids := make([]uuid.UUID, len(keys))
	for i, k := range keys {
		ids[i] = k.ID
	}
	return ids
}

// decoys are the keys of an address that has none: like real ones, and always the same. They come from the oldest secret,
// so that a new one, which changes no real key, changes none of them.
func (e *Engine) decoys(emailKey string) []CredentialDescriptor {
	oldest := func(parts ...[]byte) []byte {
		all := e.box.MACs("webauthn decoy", parts...)
		return all[len(all)-1][:]
	}
	kinds := []struct {
		length     int
		transports []string
	}{
		{16, []string{"hybrid", "internal"}},
		{20, []string{"hybrid", "internal"}},
		{32, []string{"internal"}},
		{32, []string{"hybrid", "internal"}},
		{32, nil},
		{48, []string{"nfc", "usb"}},
		{64, []string{"usb"}},
	}
	shape := oldest([]byte(emailKey))
	n := 1
	if shape[0] < 64 {
		n = 2
	}
	list := make([]CredentialDescriptor, n)
	for i := range list {
		kind := kinds[int(shape[1+i])%len(kinds)]
		id := append(oldest([]byte(emailKey), []byte{byte(i), 0}), oldest([]byte(emailKey), []byte{byte(i), 1})...)[:kind.length]
		body := id[:kind.length-decoyMark]
		copy(id[len(body):], oldest([]byte("mark"), body))
		list[i] = CredentialDescriptor{publicKeyType, base64.RawURLEncoding.EncodeToString(id), kind.transports}
	}
	return list
}

// decoyMark is the length of the end of a decoy's id, by which it can be told from a real one by who has the secrets.
const decoyMark = 8

// isDecoy recognises the ids that decoys makes.
func (e *Engine) isDecoy(id []byte) bool {
	if len(id) <= decoyMark {
		return false
	}
	body, mark := id[:len(id)-decoyMark], id[len(id)-decoyMark:]
	for _, sum := range e.box.MACs("webauthn decoy", []byte("mark"), body) {
		if bytes.Equal(sum[:decoyMark], mark) {
			return true
		}
	}
	return false
}
