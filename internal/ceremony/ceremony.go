package ceremony

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/go-webauthn/webauthn/metadata"
	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncbor"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/google/uuid"
)

// Config says who the relying party is and what it takes.
type Config struct {
	// ID is the RP ID, a domain in its ASCII form.
	ID string

	// Origins are the pages and apps that may hold a ceremony. An answer must carry one of them byte for byte, so they are
	// written as clients write them: scheme, host and port without the default port, in lower case and without a path
	// (https://example.org, http://localhost:3000), or the origin of an app (android:apk-key-hash:..., ios:bundle-id:...).
	Origins []string

	// TopOrigins are the pages that may embed a page of Origins in a frame of another origin. If there is none, every
	// answer from such a frame is refused. If there is one, an answer that names its embedding page (topOrigin) must name
	// one of these, byte for byte; an answer that says crossOrigin without naming the page is accepted, since not all
	// clients send topOrigin. Framing itself is then for the Content-Security-Policy of the embedded page to restrict.
	TopOrigins []string

	// Algorithms are the COSE identifiers of the signature algorithms offered at registration. Known are -7, -35, -36, -9,
	// -51, -52 (ECDSA), -8, -19 (Ed25519), -257, -258, -259 (RSASSA-PKCS1-v1_5) and -37, -38, -39 (RSASSA-PSS).
	// Credentials of an algorithm that is not offered any more can still be used.
	Algorithms []int64

	// Metadata assesses authenticator models, such as the FIDO Metadata Service; nil for none. What it asks for is checked
	// at registration. At an assertion the model is known by its AAGUID and the format of its attestation only, so what is
	// checked then is that there is an entry, if one is demanded, and its status; with an extended provider also that the
	// entry's AAGUIDs and formats fit. Not checked then are attestation type and trust path, and credentials without
	// attestation or with a zero AAGUID are not checked at all. An answer without attestation passes at registration
	// too: who wants none of them looks at [Credential].AttestationFormat.
	//
	// Metadata implies KeepAttestation.
	Metadata metadata.Provider

	// KeepAttestation says whether attestation statements count. If false, which is right for whoever asks clients for the
	// conveyance "none", a statement with certificates only has to have the size and form of its format, nothing is
	// concluded from it, and the attestation format is reported as "none". A self attestation, which says no more than that
	// the authenticator holds the key, is verified in either case.
	KeepAttestation bool
}

// algorithms are the ones that can be offered: those of WebAuthn L3 §5.8.5 and their relatives. Left out of what the library
// knows are RS1, which uses SHA-1, and ES256K, which authenticators of people do not use.
var algorithms = []int64{-7, -8, -9, -19, -35, -36, -37, -38, -39, -51, -52, -257, -258, -259}

// A RelyingParty verifies parsed answers. It is safe for concurrent use.
type RelyingParty struct {
	origins         []string
	topOrigins      []string
	algorithms      []int64
	parameters      []protocol.CredentialParameter
	metadata        metadata.Provider
	keepAttestation bool
	registrations   *webauthn.WebAuthn
	assertions      *webauthn.WebAuthn // without metadata, which Assert consults itself
	decoy           Credential
}

// New returns a relying party. It refuses a configuration that no answer could satisfy: an RP ID that is no domain, an
// origin that is not written as clients write it, an algorithm that is not known, or no origin or algorithm at all.
func New(c Config) (*RelyingParty, error) {
	if err := CheckID(c.ID); err != nil {
		return nil, fmt.Errorf("ceremony: RP ID %q: %w", c.ID, err)
	}
	if len(c.Origins) == 0 || len(c.Algorithms) == 0 {
		return nil, errors.New("ceremony: at least one origin and one algorithm are needed")
	}
	for _, origin := range slices.Concat(c.Origins, c.TopOrigins) {
		if err := CheckOrigin(origin); err != nil {
			return nil, fmt.Errorf("ceremony: origin %q: %w", origin, err)
		}
	}
	rp := &RelyingParty{
		origins:         slices.Clone(c.Origins),
		topOrigins:      slices.Clone(c.TopOrigins),
		algorithms:      slices.Clone(c.Algorithms),
		metadata:        c.Metadata,
		keepAttestation: c.KeepAttestation || c.Metadata != nil,
	}
	for _, alg := range c.Algorithms {
		if !slices.Contains(algorithms, alg) {
			return nil, fmt.Errorf("ceremony: algorithm %d is not supported", alg)
		}
		rp.parameters = append(rp.parameters, protocol.CredentialParameter{
			Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.COSEAlgorithmIdentifier(alg),
		})
	}
	library := func(provider metadata.Provider) (*webauthn.WebAuthn, error) {
		return webauthn.New(&webauthn.Config{
			RPID: c.ID, RPOrigins: rp.origins, RPTopOrigins: rp.topOrigins,
			RPTopOriginVerificationMode: protocol.TopOriginExplicitVerificationMode,
			RPAllowCrossOrigin:          len(rp.topOrigins) > 0,
			MDS:                         provider,
		})
	}
	var err error
	if rp.registrations, err = library(c.Metadata); err != nil {
		return nil, fmt.Errorf("ceremony: %w", err)
	}
	if rp.assertions, err = library(nil); err != nil {
		return nil, fmt.Errorf("ceremony: %w", err)
	}
	if rp.decoy, err = newDecoy(); err != nil {
		return nil, fmt.Errorf("ceremony: %w", err)
	}
	return rp, nil
}

// CheckID refuses an RP ID that no answer can be for: it must be a domain, in its ASCII form and in lower case.
func CheckID(id string) error {
	if id != strings.ToLower(id) {
		return errors.New("must be in lower case")
	}
	return protocol.ValidateRPID(id)
}

// CheckOrigin refuses an origin that clients do not send.
func CheckOrigin(origin string) error {
	scheme, _, found := strings.Cut(origin, ":")
	if !found || scheme == "" {
		return errors.New("must have a scheme")
	}
	if strings.ContainsFunc(origin, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("must be printable ASCII, an internationalised host in its ASCII form")
	}
	if !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
		return nil
	}
	u, err := url.Parse(origin)
	if err != nil {
		return err
	}
	port := u.Port()
	if u.Scheme == "http" && port == "80" || u.Scheme == "https" && port == "443" {
		port = ""
	}
	canonical := u.Scheme + "://" + strings.ToLower(strings.TrimSuffix(u.Host, ":"+u.Port()))
	if port != "" {
		canonical += ":" + port
	}
	if u.Hostname() == "" || origin != canonical {
		return fmt.Errorf("is not in the form of clients, which is %q", canonical)
	}
	return nil
}

// Expectation is what the caller asked the client for.
type Expectation struct {
	// UserVerification says that the authenticator must have verified the user (flag UV).
	UserVerification bool
	// UserHandle is the user handle of the ceremony's user. A user handle in an assertion must be equal to it; if this is
	// empty, an assertion must not have one.
	UserHandle []byte
}

// Credential is a verified public key credential, with what there is to remember of it (the credential record of WebAuthn L3
// §4).
type Credential struct {
	// ID is the credential id, 1 to 1023 bytes. It is chosen by the authenticator: whether it is still free is for the
	// caller to find out.
	ID []byte
	// PublicKey is the public key as a COSE_Key in canonical CBOR, at most about 1.1 KiB.
	PublicKey []byte
	// Algorithm is the COSE identifier of the key's signature algorithm, one of Config.Algorithms.
	Algorithm int64
	// SignCount is the signature counter; authenticators without one always send 0.
	SignCount uint32
	// BackupEligible says whether the credential can leave its authenticator (flag BE). It never changes.
	BackupEligible bool
	// BackupState says whether it currently is backed up (flag BS).
	BackupState bool
	// UserVerified says whether the user was verified in this ceremony (flag UV).
	UserVerified bool
	// Transports are the ways to reach the authenticator that the client named, at most 8, each of [a-z0-9-]{1,32}, in
	// their order without repetitions. The client is believed; they are hints for later requests.
	Transports []string
	// AAGUID is the model of the authenticator. It is a claim unless an attestation was verified.
	AAGUID uuid.UUID
	// AttestationFormat is the format of the attestation statement, "none" if there was none or it does not count.
	AttestationFormat string
	// Attachment is "platform" or "cross-platform", or empty if the client said neither.
	Attachment string
}

// Register verifies the answer of a registration, for a challenge that the caller has found under r.Challenge() and used
// up. That the credential's id is not registered yet remains to be ensured.
func (rp *RelyingParty) Register(r *Registration, e Expectation) (Credential, error) {
	if err := rp.checkOrigin(r.clientData); err != nil {
		return Credential{}, err
	}
	data := r.object.AuthData
	algorithm, err := rp.checkKey(data.AttData.CredentialPublicKey)
	if err != nil {
		return Credential{}, err
	}
	answer := protocol.ParsedCredentialCreationData{
		Response: protocol.ParsedAttestationResponse{
			CollectedClientData: r.clientData.CollectedClientData,
			AttestationObject:   r.object,
		},
	}
	if !rp.keepAttestation && !r.selfAttested() {
		answer.Response.AttestationObject.Format = string(protocol.AttestationFormatNone)
		answer.Response.AttestationObject.AttStatement = nil
		answer.Response.AttestationObject.SubStatements = nil
	}
	answer.RawID = r.credentialID
	answer.Raw.AttestationResponse.ClientDataJSON = r.clientData.raw
	verified, err := rp.registrations.CreateCredential(user{handle: e.UserHandle}, rp.session(r.clientData, e), &answer)
	if err != nil {
		return Credential{}, refusedBy(err)
	}
	aaguid, err := uuid.FromBytes(data.AttData.AAGUID)
	if err != nil {
		return Credential{}, fmt.Errorf("ceremony: AAGUID: %w", err)
	}
	format := string(protocol.AttestationFormatNone)
	if rp.keepAttestation {
		format = r.object.Format
	}
	return Credential{
		ID:                bytes.Clone(verified.ID),
		PublicKey:         bytes.Clone(verified.PublicKey),
		Algorithm:         algorithm,
		SignCount:         data.Counter,
		BackupEligible:    data.Flags.HasBackupEligible(),
		BackupState:       data.Flags.HasBackupState(),
		UserVerified:      data.Flags.HasUserVerified(),
		Transports:        slices.Clone(r.transports),
		AAGUID:            aaguid,
		AttestationFormat: format,
		Attachment:        r.attachment,
	}, nil
}

// Use is what an assertion changes about a credential, and what it says about the user's act.
type Use struct {
	// SignCount is the counter to store. It is never less than the one before.
	SignCount uint32
	// BackupState says whether the credential is backed up now.
	BackupState bool
	// UserVerified says whether the user was verified in this ceremony.
	UserVerified bool
	// Rollback says that the counter did not grow although it or the stored one is not zero: there may be a second copy of
	// the private key (WebAuthn L3 §6.1.1). The assertion is valid otherwise; what follows is for the caller to decide.
	Rollback bool
}

// Assert verifies an assertion by c, the credential that the caller has found under a.CredentialID(), for a challenge that
// the caller has found under a.Challenge() and used up. Of c it needs the id, the public key, the counter, the backup flags and,
// for Config.Metadata, the model and the format of the attestation.
func (rp *RelyingParty) Assert(a *Assertion, c Credential, e Expectation) (Use, error) {
	if err := rp.checkOrigin(a.clientData); err != nil {
		return Use{}, err
	}
	answer := protocol.ParsedCredentialAssertionData{
		Response: protocol.ParsedAssertionResponse{
			CollectedClientData: a.clientData.CollectedClientData,
			AuthenticatorData:   a.data,
			Signature:           a.signature,
			UserHandle:          a.userHandle,
		},
	}
	answer.RawID = a.credentialID
	answer.Raw.AssertionResponse.ClientDataJSON = a.clientData.raw
	answer.Raw.AssertionResponse.AuthenticatorData = a.authenticatorData
	owner := user{handle: e.UserHandle, credentials: []webauthn.Credential{{
		ID:                c.ID,
		PublicKey:         c.PublicKey,
		AttestationFormat: c.AttestationFormat,
		Flags:             webauthn.CredentialFlags{BackupEligible: c.BackupEligible, BackupState: c.BackupState},
		Authenticator:     webauthn.Authenticator{SignCount: c.SignCount},
	}}}
	if _, err := rp.assertions.ValidateLogin(owner, rp.session(a.clientData, e), &answer); err != nil {
		return Use{}, refusedBy(err)
	}
	if err := rp.checkStatus(c); err != nil {
		return Use{}, err
	}
	received := a.data.Counter
	return Use{
		SignCount:    max(received, c.SignCount),
		BackupState:  a.data.Flags.HasBackupState(),
		UserVerified: a.data.Flags.HasUserVerified(),
		Rollback:     received <= c.SignCount && c.SignCount != 0,
	}, nil
}

// checkStatus refuses a credential whose authenticator model the metadata speaks against. The attestation type is not known
// any more, which the empty string says.
func (rp *RelyingParty) checkStatus(c Credential) error {
	if rp.metadata == nil || c.AAGUID == uuid.Nil {
		return nil
	}
	err := protocol.ValidateMetadata(context.Background(), rp.metadata, c.AAGUID, "", c.AttestationFormat, nil)
	if err != nil {
		return refusedBy(err)
	}
	return nil
}

// Decoy spends about the time that Assert spends on a wrong signature, by verifying a with a P-256 key that nobody holds. It
// is for assertions by unknown credentials, so that the time of the answer does not tell which credentials are known.
// (Signatures of other algorithms take other times, which an authenticator's owner knows and a stranger can only guess at.)
func (rp *RelyingParty) Decoy(a *Assertion, e Expectation) {
	_ = rp.assertDecoy(a, e)
}

// assertDecoy verifies a with the decoy's key. Whatever else of the credential and its user is compared before the signature
// agrees, so that only the assertion itself decides how far the verification goes.
func (rp *RelyingParty) assertDecoy(a *Assertion, e Expectation) error {
	c := rp.decoy
	c.ID = a.credentialID
	e.UserHandle = a.userHandle
	_, err := rp.Assert(a, c, e)
	return err
}

// newDecoy returns a credential with a new key, whose private part is forgotten.
func newDecoy() (Credential, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Credential{}, err
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		return Credential{}, err
	}
	half := len(point) / 2
	cose, err := webauthncbor.Marshal(map[int]any{1: 2, 3: -7, -1: 1, -2: point[1 : 1+half], -3: point[1+half:]})
	if err != nil {
		return Credential{}, err
	}
	return Credential{PublicKey: cose, Algorithm: -7}, nil
}

// session is the state of the ceremony as the library wants it. The challenge is the answer's own: that it was issued is
// what the caller's look-up has shown.
func (rp *RelyingParty) session(data clientData, e Expectation) webauthn.SessionData {
	s := webauthn.SessionData{
		Challenge:  data.Challenge,
		UserID:     e.UserHandle,
		CredParams: rp.parameters,
	}
	if e.UserVerification {
		s.UserVerification = protocol.VerificationRequired
	}
	return s
}

// checkOrigin refuses an answer from a page or app that is not one of the relying party's, or in a frame that is not
// expected.
func (rp *RelyingParty) checkOrigin(data clientData) error {
	switch {
	case !slices.Contains(rp.origins, data.Origin):
		return fmt.Errorf("ceremony: origin %q is not expected", printable(data.Origin))
	case data.CrossOrigin && len(rp.topOrigins) == 0:
		return errors.New("ceremony: a frame of another origin is not expected")
	case data.hasTopOrigin && !data.CrossOrigin:
		return errors.New("ceremony: topOrigin is given although crossOrigin is not true")
	case data.hasTopOrigin && !slices.Contains(rp.topOrigins, data.TopOrigin):
		return fmt.Errorf("ceremony: topOrigin %q is not expected", printable(data.TopOrigin))
	}
	return nil
}

// user is the ceremony's user as the library wants it.
type user struct {
	handle      []byte
	credentials []webauthn.Credential
}

func (u user) WebAuthnID() []byte                         { return u.handle }
func (u user) WebAuthnName() string                       { return "" }
func (u user) WebAuthnDisplayName() string                { return "" }
func (u user) WebAuthnCredentials() []webauthn.Credential { return u.credentials }
