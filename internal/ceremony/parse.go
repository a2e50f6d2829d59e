package ceremony

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/go-webauthn/webauthn/protocol"

	"github.com/ostiary/auth/internal/strictjson"
)

// Limits of an answer, in bytes, after base64url decoding where there is one. They are far above what authenticators send.
const (
	maxText              = 128 << 10
	maxClientData        = 4 << 10
	maxAttestationObject = 32 << 10
	maxAuthenticatorData = 4 << 10
	maxCredentialID      = 1023 // WebAuthn L3 §4, credential id
	maxUserHandle        = 64   // WebAuthn L3 §5.4.3
	maxSignature         = 1024 // RSA with 8192 bits
	challengeSize        = 32
	maxTransports        = 8
	maxTransport         = 32
)

// A Registration is the parsed answer of a registration. Nothing in it has been verified.
type Registration struct {
	answer
	object     protocol.AttestationObject
	transports []string
}

// An Assertion is the parsed answer of an authentication. Nothing in it has been verified.
type Assertion struct {
	answer
	authenticatorData []byte
	data              protocol.AuthenticatorData // authenticatorData, parsed
	signature         []byte
	userHandle        []byte
}

// answer is what the answers of both ceremonies have.
type answer struct {
	credentialID []byte
	attachment   string
	clientData   clientData
}

// Challenge returns the base64url text of the answer's challenge, which is 43 characters and the only spelling of its 32
// bytes. The caller looks it up among the challenges issued.
func (a *answer) Challenge() string { return a.clientData.Challenge }

// ParseRegistration parses a RegistrationResponseJSON, which is what PublicKeyCredential.toJSON gives after create(). The
// text has at most 128 KiB.
//
// The members id, rawId, type and response are required, clientExtensionResults and authenticatorAttachment can be absent
// or null, others are ignored. In response, clientDataJSON and attestationObject are required, transports can be absent or
// null, authenticatorData, publicKey and publicKeyAlgorithm are ignored whatever they say, because the attestation object
// has all of that, and others are refused.
func ParseRegistration(text []byte) (*Registration, error) {
	return parseRegistration(text, challengeSize)
}

// parseRegistration is ParseRegistration for challenges of any size.
func parseRegistration(text []byte, challengeSize int) (*Registration, error) {
	var r Registration
	var response struct {
		ClientDataJSON     binary   `json:"clientDataJSON" strict:"required"`
		AttestationObject  binary   `json:"attestationObject" strict:"required"`
		Transports         []string `json:"transports"`
		AuthenticatorData  ignored  `json:"authenticatorData"`
		PublicKey          ignored  `json:"publicKey"`
		PublicKeyAlgorithm ignored  `json:"publicKeyAlgorithm"`
	}
	if err := r.parse(text, &response); err != nil {
		return nil, err
	}
	var err error
	if r.clientData, err = parseClientData(response.ClientDataJSON, challengeSize); err != nil {
		return nil, err
	}
	if r.object, err = parseAttestationObject(response.AttestationObject); err != nil {
		return nil, err
	}
	if !bytes.Equal(r.object.AuthData.AttData.CredentialID, r.credentialID) {
		return nil, errors.New("ceremony: id is not the attested credential id")
	}
	r.transports = knownForm(response.Transports)
	return &r, nil
}

// ParseAssertion parses an AuthenticationResponseJSON, which is what PublicKeyCredential.toJSON gives after get(). The text
// has at most 128 KiB.
//
// It is read like that of a registration. In response, clientDataJSON, authenticatorData and signature are required,
// userHandle can be absent, null or empty, attestationObject is ignored, and others are refused.
func ParseAssertion(text []byte) (*Assertion, error) {
	return parseAssertion(text, challengeSize)
}

// parseAssertion is ParseAssertion for challenges of any size.
func parseAssertion(text []byte, challengeSize int) (*Assertion, error) {
	var a Assertion
	var response struct {
		ClientDataJSON    binary  `json:"clientDataJSON" strict:"required"`
		AuthenticatorData binary  `json:"authenticatorData" strict:"required"`
		Signature         binary  `json:"signature" strict:"required"`
		UserHandle        binary  `json:"userHandle"`
		AttestationObject ignored `json:"attestationObject"`
	}
	if err := a.parse(text, &response); err != nil {
		return nil, err
	}
	var err error
	if a.clientData, err = parseClientData(response.ClientDataJSON, challengeSize); err != nil {
		return nil, err
	}
	a.authenticatorData = response.AuthenticatorData
	if a.data, err = parseAuthenticatorData(response.AuthenticatorData); err != nil {
		return nil, err
	}
	if err := checkSize("signature", response.Signature, 1, maxSignature); err != nil {
		return nil, err
	}
	a.signature = response.Signature
	if err := checkSize("userHandle", response.UserHandle, 0, maxUserHandle); err != nil {
		return nil, err
	}
	if len(response.UserHandle) > 0 {
		a.userHandle = response.UserHandle
	}
	return &a, nil
}

// CredentialID returns the credential id, 1 to 1023 bytes. The caller looks it up among the credentials known.
func (a *Assertion) CredentialID() []byte { return bytes.Clone(a.credentialID) }

// UserHandle returns the user handle, at most 64 bytes, or nil if there is none.
func (a *Assertion) UserHandle() []byte { return bytes.Clone(a.userHandle) }

// parse parses a PublicKeyCredential into a, and its member response into the struct that response points to.
func (a *answer) parse(text []byte, response any) error {
	if len(text) > maxText {
		return fmt.Errorf("ceremony: the credential has more than %d bytes", maxText)
	}
	var id, rawID, kind, attachment, inner []byte
	err := strictjson.Members(text, func(name, value []byte) error {
		var err error
		switch string(name) {
		case "id":
			id, err = stringOf(value)
		case "rawId":
			rawID, err = stringOf(value)
		case "type":
			kind, err = stringOf(value)
		case "authenticatorAttachment":
			if !isNull(value) {
				attachment, err = stringOf(value)
			}
		case "response":
			inner = value
		case "clientExtensionResults":
			switch {
			case isNull(value):
			case value[0] != '{':
				err = errors.New("must be an object")
			default:
				// An unsigned word of the client's, of which nothing is made.
			}
		}
		if err != nil {
			return fmt.Errorf("%s %w", name, err)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("ceremony: credential: %w", err)
	}
	if string(kind) != string(protocol.PublicKeyCredentialType) {
		return errors.New("ceremony: credential: type is not public-key")
	}
	if a.credentialID, err = decodeBase64(id); err != nil {
		return fmt.Errorf("ceremony: credential: id %w", err)
	}
	if !bytes.Equal(id, rawID) {
		return errors.New("ceremony: credential: id and rawId differ")
	}
	if err := checkSize("id", a.credentialID, 1, maxCredentialID); err != nil {
		return err
	}
	switch attachment := protocol.AuthenticatorAttachment(attachment); attachment {
	case protocol.Platform, protocol.CrossPlatform:
		a.attachment = string(attachment)
	}
	if inner == nil {
		return errors.New("ceremony: credential: response is required")
	}
	if err := strictjson.Decode(inner, response); err != nil {
		return fmt.Errorf("ceremony: response: %w", err)
	}
	return nil
}

// clientData is the client data of an answer (WebAuthn L3 §5.8.1).
type clientData struct {
	protocol.CollectedClientData
	hasTopOrigin bool
	raw          []byte // as received: this is what was hashed
}

// parseClientData parses client data. Members that are not known are ignored: clients add some, now and then on purpose.
func parseClientData(raw []byte, challengeSize int) (clientData, error) {
	if err := checkSize("clientDataJSON", raw, 1, maxClientData); err != nil {
		return clientData{}, err
	}
	data := clientData{raw: raw}
	err := strictjson.Members(raw, func(name, value []byte) error {
		var text []byte
		var err error
		switch string(name) {
		case "type":
			text, err = stringOf(value)
			data.Type = protocol.CeremonyType(text)
		case "challenge":
			text, err = stringOf(value)
			data.Challenge = string(text)
		case "origin":
			text, err = stringOf(value)
			data.Origin = string(text)
		case "topOrigin":
			text, err = stringOf(value)
			data.TopOrigin, data.hasTopOrigin = string(text), true
		case "crossOrigin":
			data.CrossOrigin = string(value) == "true"
			if !data.CrossOrigin && string(value) != "false" {
				err = errors.New("must be true or false")
			}
		}
		if err != nil {
			return fmt.Errorf("%s %w", name, err)
		}
		return nil
	})
	if err != nil {
		return clientData{}, fmt.Errorf("ceremony: clientDataJSON: %w", err)
	}
	challenge, err := decodeBase64([]byte(data.Challenge))
	if err != nil {
		return clientData{}, fmt.Errorf("ceremony: clientDataJSON: challenge %w", err)
	}
	if len(challenge) != challengeSize {
		return clientData{}, fmt.Errorf("ceremony: clientDataJSON: challenge does not have %d bytes", challengeSize)
	}
	return data, nil
}

// parseAuthenticatorData parses authenticator data (WebAuthn L3 §6.1). Reserved flags are ignored.
func parseAuthenticatorData(raw []byte) (protocol.AuthenticatorData, error) {
	var data protocol.AuthenticatorData
	if len(raw) > maxAuthenticatorData {
		return data, fmt.Errorf("ceremony: authenticator data has more than %d bytes", maxAuthenticatorData)
	}
	if err := data.Unmarshal(raw); err != nil {
		return data, refusedBy(err)
	}
	// The library takes CBOR null for a map.
	if data.Flags.HasExtensions() && majorType(data.ExtData) != cborMap {
		return data, errors.New("ceremony: authenticator extension outputs are not a map")
	}
	return data, nil
}

// knownForm returns the transports that have the form of one, without repetitions and at most 8.
func knownForm(transports []string) []string {
	var known []string
	for _, t := range transports {
		if len(known) == maxTransports {
			break
		}
		if isTransport(t) && !slices.Contains(known, t) {
			known = append(known, t)
		}
	}
	return known
}

func isTransport(t string) bool {
	for _, c := range []byte(t) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return t != "" && len(t) <= maxTransport
}

// binary is a member that holds bytes in base64url.
type binary []byte

// UnmarshalText implements [encoding.TextUnmarshaler].
func (b *binary) UnmarshalText(text []byte) (err error) {
	*b, err = decodeBase64(text)
	return err
}

// ignored is a member of any type whose value does not matter.
type ignored struct{}

// UnmarshalJSON implements [encoding/json.Unmarshaler].
func (*ignored) UnmarshalJSON([]byte) error { return nil }

// decodeBase64 decodes base64url without padding. Each byte string has one spelling only: the bits of the last character
// that mean nothing are zero, and there are no line breaks, which the standard library skips.
func decodeBase64(text []byte) ([]byte, error) {
	if bytes.ContainsAny(text, "\r\n") {
		return nil, errors.New("is not base64url")
	}
	decoded, err := base64.RawURLEncoding.Strict().AppendDecode(nil, text)
	if err != nil {
		return nil, errors.New("is not base64url")
	}
	return decoded, nil
}

// stringOf returns what the text of a JSON value that strictjson has accepted says, if it is a string.
func stringOf(value []byte) ([]byte, error) {
	if value[0] != '"' {
		return nil, errors.New("must be a string")
	}
	if !bytes.ContainsRune(value, '\\') {
		return value[1 : len(value)-1], nil
	}
	var text string
	if err := json.Unmarshal(value, &text); err != nil {
		return nil, errors.New("must be a string")
	}
	return []byte(text), nil
}

func isNull(value []byte) bool { return string(value) == "null" }

func checkSize(name string, value []byte, least, most int) error {
	if len(value) < least || len(value) > most {
		return fmt.Errorf("ceremony: %s has %d bytes, not %d to %d", name, len(value), least, most)
	}
	return nil
}
