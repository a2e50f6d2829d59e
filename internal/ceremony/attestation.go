package ceremony

import (
	"errors"
	"fmt"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncbor"
)

// Limits of attestation statements. Certificates are counted over all statements of an answer.
const (
	maxCertificates     = 8
	maxCertificateBytes = 16 << 10
	maxStatements       = 4 // of a compound one
)

// statementForms has the members that the statements of each format must have (WebAuthn L3 §8).
var statementForms = map[protocol.AttestationFormat][]string{
	protocol.AttestationFormatNone:                      {},
	protocol.AttestationFormatPacked:                    {"alg", "sig"},
	protocol.AttestationFormatTPM:                       {"ver", "alg", "x5c", "sig", "certInfo", "pubArea"},
	protocol.AttestationFormatAndroidKey:                {"alg", "sig", "x5c"},
	protocol.AttestationFormatAndroidSafetyNet:          {"ver", "response"},
	protocol.AttestationFormatFIDOUniversalSecondFactor: {"x5c", "sig"},
	protocol.AttestationFormatApple:                     {"x5c"},
}

// CBOR major types (RFC 8949 §3.1).
const (
	cborBytes = 2
	cborText  = 3
	cborArray = 4
	cborMap   = 5
)

// majorType returns the major type of the item that text begins with, or a number that is none.
func majorType(text []byte) int {
	if len(text) == 0 {
		return -1
	}
	return int(text[0] >> 5)
}

// parseAttestationObject parses an attestation object (WebAuthn L3 §6.5.4), its authenticator data, which must have attested
// credential data, and its statement, which must have the form of its format and be within the limits. The statement is not
// verified.
//
// The decoder matches names without regard to case and takes arrays of numbers for byte strings. Here neither is accepted.
func parseAttestationObject(raw []byte) (protocol.AttestationObject, error) {
	var object protocol.AttestationObject
	if err := checkSize("attestationObject", raw, 1, maxAttestationObject); err != nil {
		return object, err
	}
	var members map[string]webauthncbor.RawMessage
	if err := webauthncbor.Unmarshal(raw, &members); err != nil {
		return object, fmt.Errorf("ceremony: attestation object: %w", err)
	}
	format, data, statement := members["fmt"], members["authData"], members["attStmt"]
	if len(members) != 3 || majorType(format) != cborText || majorType(data) != cborBytes {
		return object, errors.New("ceremony: attestation object: must have fmt, authData and attStmt")
	}
	err := errors.Join(webauthncbor.Unmarshal(format, &object.Format), webauthncbor.Unmarshal(data, &object.RawAuthData))
	if err != nil {
		return object, fmt.Errorf("ceremony: attestation object: %w", err)
	}
	if object.AuthData, err = parseAuthenticatorData(object.RawAuthData); err != nil {
		return object, err
	}
	if !object.AuthData.Flags.HasAttestedCredentialData() {
		return object, errors.New("ceremony: authenticator data has no attested credential data")
	}
	if err := parseStatement(&object, statement); err != nil {
		return object, fmt.Errorf("ceremony: attestation statement: %w", err)
	}
	return object, nil
}

// parseStatement parses the attestation statement of object.
func parseStatement(object *protocol.AttestationObject, raw []byte) error {
	var certificates certificates
	if object.Format != string(protocol.AttestationFormatCompound) {
		if majorType(raw) != cborMap {
			return errors.New("must be a map")
		}
		if err := webauthncbor.Unmarshal(raw, &object.AttStatement); err != nil {
			return err
		}
		return checkStatement(object.Format, object.AttStatement, &certificates)
	}
	if majorType(raw) != cborArray {
		return errors.New("must be an array")
	}
	if err := webauthncbor.Unmarshal(raw, &object.SubStatements); err != nil {
		return err
	}
	if n := len(object.SubStatements); n < 2 || n > maxStatements {
		return fmt.Errorf("must have 2 to %d statements", maxStatements)
	}
	for _, s := range object.SubStatements {
		if s.Format == string(protocol.AttestationFormatNone) {
			return errors.New("format none in a compound statement")
		}
		if err := checkStatement(s.Format, s.AttStatement, &certificates); err != nil {
			return err
		}
	}
	return nil
}

// certificates counts the certificates of an answer.
type certificates struct{ number, bytes int }

// checkStatement refuses a statement that is not of the form of its format.
func checkStatement(format string, statement map[string]any, c *certificates) error {
	required, known := statementForms[protocol.AttestationFormat(format)]
	if !known {
		return fmt.Errorf("format %q is not known", printable(format))
	}
	if format == string(protocol.AttestationFormatNone) && len(statement) > 0 {
		return errors.New("format none with a statement")
	}
	for _, name := range required {
		if _, ok := statement[name]; !ok {
			return fmt.Errorf("%s is required", name)
		}
	}
	for name, value := range statement {
		ok := true
		switch name {
		case "alg":
			_, ok = value.(int64) // all that are known are negative
		case "ver":
			_, ok = value.(string)
		case "sig", "certInfo", "pubArea":
			_, ok = value.([]byte)
		case "response":
			// The JWS of a SafetyNet response has its certificates inside.
			var response []byte
			if response, ok = value.([]byte); len(response) > maxCertificateBytes {
				return fmt.Errorf("response has more than %d bytes", maxCertificateBytes)
			}
		case "x5c":
			if err := c.add(value); err != nil {
				return err
			}
		}
		if !ok {
			return fmt.Errorf("%s has the wrong type", name)
		}
	}
	return nil
}

// add counts the certificates of an x5c.
func (c *certificates) add(x5c any) error {
	chain, _ := x5c.([]any)
	if len(chain) == 0 {
		return errors.New("x5c must be an array of certificates")
	}
	for _, value := range chain {
		certificate, ok := value.([]byte)
		if !ok {
			return errors.New("x5c must be an array of certificates")
		}
		c.number++
		c.bytes += len(certificate)
	}
	if c.number > maxCertificates || c.bytes > maxCertificateBytes {
		return fmt.Errorf("more than %d certificates or %d bytes of them", maxCertificates, maxCertificateBytes)
	}
	return nil
}

// selfAttested reports whether the credential's own key signed the attestation statement (WebAuthn L3 §8.2), so that there
// is no trust to assess.
func (r *Registration) selfAttested() bool {
	_, certified := r.object.AttStatement["x5c"]
	return r.object.Format == string(protocol.AttestationFormatPacked) && !certified
}
