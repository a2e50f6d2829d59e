package authtest_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth/authtest"
)

const rpID = "app.test"

// jsonObject is an object in JSON, or a map in CBOR.
type jsonObject = map[string]any

// relyingParty is the bare library for one user.
type relyingParty struct {
	*webauthn.WebAuthn
	user keyHolder
}

type keyHolder struct{ credentials []webauthn.Credential }

func (keyHolder) WebAuthnID() []byte                           { return []byte("\x00ada\xff") }
func (keyHolder) WebAuthnName() string                         { return "ada@example.com" }
func (keyHolder) WebAuthnDisplayName() string                  { return "Ada" }
func (u keyHolder) WebAuthnCredentials() []webauthn.Credential { return u.credentials }

func newRelyingParty(t testing.TB) *relyingParty {
	t.Helper()
	w, err := webauthn.New(&webauthn.Config{
		RPID: rpID, RPDisplayName: "The Service", RPOrigins: []string{authtest.ClientURL},
		AttestationPreference: protocol.PreferDirectAttestation,
	})
	if err != nil {
		t.Fatal(err)
	}
	return &relyingParty{WebAuthn: w}
}

// register lets the authenticator make a credential and keeps it if the library accepts it.
func (r *relyingParty) register(t testing.TB, key *authtest.Authenticator, options []webauthn.RegistrationOption,
	lies ...func(*authtest.Ceremony),
) (json.RawMessage, error) {
	t.Helper()
	creation, session, err := r.BeginRegistration(r.user, options...)
	if err != nil {
		t.Fatal(err)
	}
	answer := key.Create(t, creation.Response, lies...)
	parsed, err := protocol.ParseCredentialCreationResponseBytes(answer)
	if err != nil {
		return answer, err
	}
	credential, err := r.CreateCredential(r.user, *session, parsed)
	if err != nil {
		return answer, err
	}
	r.user.credentials = append(r.user.credentials, *credential)
	return answer, nil
}

// registered is register that is accepted.
func (r *relyingParty) registered(
	t testing.TB, key *authtest.Authenticator, options ...webauthn.RegistrationOption,
) webauthn.Credential {
	t.Helper()
	if _, err := r.register(t, key, options); err != nil {
		t.Fatalf("register: %s", details(err))
	}
	return r.user.credentials[len(r.user.credentials)-1]
}

// login lets the authenticator sign for the user, whom the relying party knows.
func (r *relyingParty) login(t testing.TB, key *authtest.Authenticator, options []webauthn.LoginOption,
	lies ...func(*authtest.Ceremony),
) (json.RawMessage, *webauthn.Credential, error) {
	t.Helper()
	assertion, session, err := r.BeginLogin(r.user, options...)
	if err != nil {
		t.Fatal(err)
	}
	answer := key.Get(t, assertion.Response, lies...)
	parsed, err := protocol.ParseCredentialRequestResponseBytes(answer)
	if err != nil {
		return answer, nil, err
	}
	credential, err := r.ValidateLogin(r.user, *session, parsed)
	return answer, credential, err
}

// passkey lets the authenticator sign for whom it has a credential of.
func (r *relyingParty) passkey(t testing.TB, key *authtest.Authenticator, lies ...func(*authtest.Ceremony)) error {
	t.Helper()
	assertion, session, err := r.BeginDiscoverableLogin()
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(key.Get(t, assertion.Response, lies...))
	if err != nil {
		return err
	}
	_, _, err = r.ValidatePasskeyLogin(func(_, handle []byte) (webauthn.User, error) {
		if !bytes.Equal(handle, r.user.WebAuthnID()) {
			return nil, fmt.Errorf("the user handle is %q", handle)
		}
		return r.user, nil
	}, *session, parsed)
	return err
}

// details is what the library says of an error, and what it does not say in Error.
func details(err error) string {
	var e *protocol.Error
	if errors.As(err, &e) {
		return fmt.Sprintf("%s: %s: %s", e.Type, e.Details, e.DevInfo)
	}
	return fmt.Sprint(err)
}

// oneRSAKey saves the tests that are not about RSA the making of keys.
var oneRSAKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func TestTheLibraryAcceptsWhatIsHonest(t *testing.T) {
	t.Parallel()
	algorithms := map[string]int{"ES256": authtest.ES256, "EdDSA": authtest.EdDSA, "RS256": authtest.RS256}
	for name, algorithm := range algorithms {
		for i := range 1 << 3 {
			nonResident, noVerification, packed := i&1 != 0, i&2 != 0, i&4 != 0
			t.Run(fmt.Sprintf("%s, non-resident %t, unverified %t, packed %t", name, nonResident, noVerification, packed),
				func(t *testing.T) {
					t.Parallel()
					key := &authtest.Authenticator{
						Algorithm: algorithm, NonResident: nonResident, NoUserVerification: noVerification,
						AAGUID: [16]byte{1, 15: 16},
					}
					if algorithm == authtest.RS256 {
						key.GenerateKey = func(int) (crypto.Signer, error) { return oneRSAKey() }
					}
					format, kind := "none", "none"
					if packed {
						key.Attestation, format, kind = "packed", "packed", "basic_surrogate"
					}
					resident, verification := protocol.ResidentKeyRequirementRequired, protocol.VerificationRequired
					if nonResident {
						resident = protocol.ResidentKeyRequirementPreferred
					}
					if noVerification {
						verification = protocol.VerificationPreferred
					}

					r := newRelyingParty(t)
					credential := r.registered(t, key, webauthn.WithAuthenticatorSelection(protocol.AuthenticatorSelection{
						ResidentKey: resident, UserVerification: verification,
					}), webauthn.WithExtensions(webauthn.WithExtensionCredProps()))
					type facts struct {
						Format, Kind       string
						UP, UV, BE, BS     bool
						AAGUID, Transports string
						Attachment         protocol.AuthenticatorAttachment
						Counter            uint32
						RK                 bool
						Algorithm          int64
					}
					got := facts{
						credential.AttestationFormat, credential.AttestationType,
						credential.Flags.UserPresent, credential.Flags.UserVerified,
						credential.Flags.BackupEligible, credential.Flags.BackupState,
						hex.EncodeToString(credential.Authenticator.AAGUID), fmt.Sprint(credential.Transport),
						credential.Authenticator.Attachment, credential.Authenticator.SignCount,
						*credential.Extensions.RK, credential.Attestation.PublicKeyAlgorithm,
					}
					want := facts{
						format, kind, true, !noVerification, true, true,
						"01000000000000000000000000000010", "[hybrid internal]",
						protocol.Platform, 0, !nonResident, int64(algorithm),
					}
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("the credential (-want +got):\n%s", diff)
					}

					options := []webauthn.LoginOption{webauthn.WithUserVerification(verification)}
					if _, _, err := r.login(t, key, options); err != nil {
						t.Errorf("login: %s", details(err))
					}
					if !nonResident {
						if err := r.passkey(t, key); err != nil {
							t.Errorf("login without a name: %s", details(err))
						}
					}
				})
		}
	}
}

func TestSecurityKeysAreAccepted(t *testing.T) {
	t.Parallel()
	r, key := newRelyingParty(t), authtest.NewSecurityKey()
	credential := r.registered(t, key)
	if f := credential.Flags; !f.UserPresent || f.UserVerified || f.BackupEligible || f.BackupState {
		t.Errorf("flags = %+v, want presence alone", f)
	}
	if a := credential.Authenticator; a.Attachment != protocol.CrossPlatform || a.SignCount != 1 {
		t.Errorf("authenticator = %+v, want one that is cross-platform and counts from 1", a)
	}
	answer, used, err := r.login(t, key, nil)
	if err != nil {
		t.Fatalf("login: %s", details(err))
	}
	if used.Authenticator.SignCount != 2 || bytes.Contains(answer, []byte("userHandle")) {
		t.Errorf("counter = %d, want 2; answer without user handle: %s", used.Authenticator.SignCount, answer)
	}
}

// coseForms are the COSE_Keys of WebAuthn L3 §5.8.5, in hexadecimal and the canonical order.
var coseForms = map[int]*regexp.Regexp{
	authtest.ES256: regexp.MustCompile("^a5" + "0102" + "0326" + "2001" + "215820(..){32}" + "225820(..){32}$"),
	authtest.EdDSA: regexp.MustCompile("^a4" + "0101" + "0327" + "2006" + "215820(..){32}$"),
	authtest.RS256: regexp.MustCompile("^a4" + "0103" + "03390100" + "20590100(..){256}" + "2143010001$"),
}

func TestKeysAreMadeAtRandom(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []int{authtest.ES256, authtest.EdDSA, authtest.RS256} {
		r, key := newRelyingParty(t), &authtest.Authenticator{Algorithm: algorithm, Unchecked: true, NonResident: true}
		one, two := r.registered(t, key), r.registered(t, key)
		for _, c := range []webauthn.Credential{one, two} {
			if form := coseForms[algorithm]; !form.MatchString(hex.EncodeToString(c.PublicKey)) {
				t.Errorf("algorithm %d: COSE_Key %x, want %s", algorithm, c.PublicKey, form)
			}
		}
		if bytes.Equal(one.ID, two.ID) || bytes.Equal(one.PublicKey, two.PublicKey) {
			t.Errorf("algorithm %d: two credentials have the same id or the same key", algorithm)
		}
	}
	key := &authtest.Authenticator{Algorithm: -36, Unchecked: true}
	if _, err := key.TryCreate(creationOptions(nil)); err == nil {
		t.Error("a key was made for an algorithm that there is not")
	}
}

func p256(t testing.TB, scalar uint64) *ecdsa.PrivateKey {
	t.Helper()
	raw := make([]byte, 32)
	binary.BigEndian.PutUint64(raw[24:], scalar)
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), raw)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestCoordinatesKeepTheirLeadingZeros(t *testing.T) {
	t.Parallel()
	for name, scalar := range map[string]uint64{"y": 43, "x": 379, "two of y": 2376, "two of x": 40393, "x and y": 49350} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key := &authtest.Authenticator{
				Attestation: "packed",
				GenerateKey: func(int) (crypto.Signer, error) { return p256(t, scalar), nil },
			}
			r := newRelyingParty(t)
			credential := r.registered(t, key)
			point, err := p256(t, scalar).PublicKey.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			if point[1] != 0 && point[33] != 0 {
				t.Fatalf("the point %x has no coordinate that begins with zero", point)
			}
			// {kty: EC2, alg: ES256, crv: P-256, x, y}
			want := fmt.Sprintf("a5010203262001"+"215820%x"+"225820%x", point[1:33], point[33:])
			if diff := cmp.Diff(want, hex.EncodeToString(credential.PublicKey)); diff != "" {
				t.Errorf("COSE_Key (-want +got):\n%s", diff)
			}
			if _, _, err := r.login(t, key, nil); err != nil {
				t.Errorf("login: %s", details(err))
			}
		})
	}
}

const (
	typeError         = authtest.TypeError
	encodingError     = authtest.EncodingError
	securityError     = authtest.SecurityError
	notSupportedError = authtest.NotSupportedError
	invalidStateError = authtest.InvalidStateError
	notAllowedError   = authtest.NotAllowedError

	granted authtest.BrowserError = ""
)

// creationOptions are good ones, some of whose members are changed. A nil value takes a member out.
func creationOptions(change jsonObject) jsonObject {
	return changed(jsonObject{
		"rp":               jsonObject{"id": rpID, "name": "The Service"},
		"user":             jsonObject{"id": "AGFkYf8", "name": "ada@example.com", "displayName": "Ada"},
		"challenge":        "AAECAwQFBgcICQoLDA0ODw",
		"pubKeyCredParams": []jsonObject{{"type": "public-key", "alg": authtest.ES256}},
	}, change)
}

// requestOptions are the same for Get.
func requestOptions(change jsonObject) jsonObject {
	return changed(jsonObject{"rpId": rpID, "challenge": "AAECAwQFBgcICQoLDA0ODw"}, change)
}

func changed(options, change jsonObject) jsonObject {
	maps.Copy(options, change)
	maps.DeleteFunc(options, func(_ string, v any) bool { return v == nil })
	return options
}

// descriptors names credentials as excludeCredentials and allowCredentials do.
func descriptors(ids ...[]byte) []jsonObject {
	var list []jsonObject
	for _, id := range ids {
		list = append(list, jsonObject{"type": "public-key", "id": base64.RawURLEncoding.EncodeToString(id)})
	}
	return list
}

// wire is an answer, taken apart without the help of the package.
type wire struct {
	ID       string `json:"id"`
	RawID    string `json:"rawId"`
	Type     string `json:"type"`
	Response struct {
		ClientDataJSON     string   `json:"clientDataJSON"`
		AuthenticatorData  string   `json:"authenticatorData"`
		AttestationObject  string   `json:"attestationObject"`
		PublicKey          string   `json:"publicKey"`
		PublicKeyAlgorithm int      `json:"publicKeyAlgorithm"`
		Transports         []string `json:"transports"`
		Signature          string   `json:"signature"`
		UserHandle         *string  `json:"userHandle"`
	} `json:"response"`
	Attachment string     `json:"authenticatorAttachment"`
	Extensions jsonObject `json:"clientExtensionResults"`

	clientData   string
	data         []byte // of the authenticator
	flags        byte
	counter      uint32
	aaguid       []byte
	credentialID []byte
	afterID      []byte // the public key and extensions of Create, the extensions of Get
	format       string
	statement    jsonObject
}

func readAnswer(t testing.TB, answer json.RawMessage) *wire {
	t.Helper()
	var w wire
	if err := json.Unmarshal(answer, &w); err != nil {
		t.Fatal(err)
	}
	decode := func(s string) []byte {
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	w.clientData, w.data = string(decode(w.Response.ClientDataJSON)), decode(w.Response.AuthenticatorData)
	if len(w.data) >= 37 {
		w.flags, w.counter, w.afterID = w.data[32], binary.BigEndian.Uint32(w.data[33:]), w.data[37:]
	}
	if w.Response.AttestationObject != "" && len(w.afterID) >= 18 {
		n := 18 + int(binary.BigEndian.Uint16(w.afterID[16:]))
		w.aaguid, w.credentialID, w.afterID = w.afterID[:16], w.afterID[18:n], w.afterID[n:]
		var object struct {
			Format    string     `cbor:"fmt"`
			Statement jsonObject `cbor:"attStmt"`
			Data      []byte     `cbor:"authData"`
		}
		if err := cbor.Unmarshal(decode(w.Response.AttestationObject), &object); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(object.Data, w.data) {
			t.Error("authenticatorData is not that of the attestation object")
		}
		w.format, w.statement = object.Format, object.Statement
	}
	return &w
}

func TestAnswersAreWhatToJSONMakes(t *testing.T) {
	t.Parallel()
	key := &authtest.Authenticator{Transports: []string{"usb", "nfc"}, Attachment: "cross-platform"}
	members := func(answer json.RawMessage) []string {
		var outer map[string]json.RawMessage
		var response map[string]json.RawMessage
		if err := json.Unmarshal(answer, &outer); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(outer["response"], &response); err != nil {
			t.Fatal(err)
		}
		return slices.Concat(slices.Sorted(maps.Keys(outer)), slices.Sorted(maps.Keys(response)))
	}
	outer := []string{"authenticatorAttachment", "clientExtensionResults", "id", "rawId", "response", "type"}

	created := key.Create(t, creationOptions(jsonObject{"extensions": jsonObject{"credProps": true}}))
	want := slices.Concat(outer, []string{
		"attestationObject", "authenticatorData", "clientDataJSON", "publicKey", "publicKeyAlgorithm", "transports",
	})
	if diff := cmp.Diff(want, members(created)); diff != "" {
		t.Errorf("members at creation (-want +got):\n%s", diff)
	}
	w := readAnswer(t, created)
	if w.ID != w.RawID || w.ID != base64.RawURLEncoding.EncodeToString(w.credentialID) || w.Type != "public-key" {
		t.Errorf("id %s, rawId %s, attested %x, type %s", w.ID, w.RawID, w.credentialID, w.Type)
	}
	if diff := cmp.Diff([]string{"nfc", "usb"}, w.Response.Transports); diff != "" || w.Attachment != "cross-platform" {
		t.Errorf("attachment %s, transports (-want +got):\n%s", w.Attachment, diff)
	}
	if diff := cmp.Diff(jsonObject{"credProps": jsonObject{"rk": true}}, w.Extensions); diff != "" {
		t.Errorf("extensions (-want +got):\n%s", diff)
	}
	const clientData = `{"type":"webauthn.%s","challenge":"AAECAwQFBgcICQoLDA0ODw",` +
		`"origin":"https://app.test","crossOrigin":false}`
	if want := fmt.Sprintf(clientData, "create"); w.clientData != want {
		t.Errorf("client data\n%s, want\n%s", w.clientData, want)
	}

	got := key.Get(t, requestOptions(nil))
	want = slices.Concat(outer, []string{"authenticatorData", "clientDataJSON", "signature", "userHandle"})
	if diff := cmp.Diff(want, members(got)); diff != "" {
		t.Errorf("members at use (-want +got):\n%s", diff)
	}
	w = readAnswer(t, got)
	if *w.Response.UserHandle != "AGFkYf8" || len(w.Extensions) > 0 {
		t.Errorf("user handle %s, extensions %v", *w.Response.UserHandle, w.Extensions)
	}
	if want := fmt.Sprintf(clientData, "get"); w.clientData != want {
		t.Errorf("client data\n%s, want\n%s", w.clientData, want)
	}

	none := &authtest.Authenticator{Transports: []string{}}
	answer := none.Create(t, creationOptions(nil))
	for _, empty := range []string{`"transports":[]`, `"clientExtensionResults":{}`} {
		if !bytes.Contains(answer, []byte(empty)) {
			t.Errorf("%s is not there: %s", empty, answer)
		}
	}
}

func TestOptionsMayComeInAnyForm(t *testing.T) {
	t.Parallel()
	options, err := json.Marshal(creationOptions(nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range []any{options, json.RawMessage(options), string(options), creationOptions(nil)} {
		key := &authtest.Authenticator{}
		if _, err := key.TryCreate(form); err != nil {
			t.Errorf("%T: %v", form, err)
		}
	}
	key := &authtest.Authenticator{}
	if _, err := key.TryCreate(make(chan int)); err == nil {
		t.Error("a channel was taken for options")
	}
}

func TestCreateRefusesWhatABrowserRefuses(t *testing.T) {
	t.Parallel()
	held := authtest.Credential{ID: []byte("held"), RPID: rpID, PrivateKey: p256(t, 1)}
	elsewhere := authtest.Credential{ID: []byte("elsewhere"), RPID: "elsewhere.test", PrivateKey: p256(t, 2)}
	selection := func(members ...any) jsonObject {
		s := jsonObject{}
		for i := 0; i < len(members); i += 2 {
			s[members[i].(string)] = members[i+1]
		}
		return jsonObject{"authenticatorSelection": s}
	}
	person := func(id any) jsonObject {
		return jsonObject{"user": jsonObject{"id": id, "name": "", "displayName": ""}}
	}
	algorithms := func(offered ...any) jsonObject {
		list := []any{}
		for i := 0; i < len(offered); i += 2 {
			list = append(list, jsonObject{"type": offered[i], "alg": offered[i+1]})
		}
		return jsonObject{"pubKeyCredParams": list}
	}
	excluded := func(ids ...[]byte) jsonObject { return jsonObject{"excludeCredentials": descriptors(ids...)} }
	rp := func(members jsonObject) jsonObject { return jsonObject{"rp": members} }
	passkey := func(*authtest.Authenticator) {}
	nonResident := func(a *authtest.Authenticator) { a.NonResident = true }
	unverified := func(a *authtest.Authenticator) { a.NoUserVerification = true }
	for name, test := range map[string]struct {
		of      func(*authtest.Authenticator)
		options jsonObject
		want    authtest.BrowserError
	}{
		"an excluded credential is held":                     {passkey, excluded([]byte("other"), held.ID), invalidStateError},
		"an excluded credential is not held":                 {passkey, excluded([]byte("other")), granted},
		"an excluded credential is of another relying party": {passkey, excluded(elsewhere.ID), granted},
		"what is excluded is no credential": {passkey, jsonObject{"excludeCredentials": []any{
			jsonObject{"type": "password", "id": base64.RawURLEncoding.EncodeToString(held.ID)},
		}}, granted},

		"another algorithm": {passkey, algorithms("public-key", authtest.RS256), notSupportedError},
		"one of two algorithms": {
			passkey, algorithms("public-key", authtest.RS256, "public-key", authtest.ES256), granted,
		},
		"an algorithm of something else":               {passkey, algorithms("password", authtest.ES256), notSupportedError},
		"the algorithms that an empty list stands for": {passkey, algorithms(), granted},
		"an algorithm that an empty list does not stand for": {
			func(a *authtest.Authenticator) { a.Algorithm = authtest.EdDSA }, algorithms(), notSupportedError,
		},

		"a resident key required, and made": {passkey, selection("residentKey", "required"), granted},
		"a resident key required":           {nonResident, selection("residentKey", "required"), notAllowedError},
		"a resident key required as of old": {nonResident, selection("requireResidentKey", true), notAllowedError},
		"one preferred, required as of old": {
			nonResident, selection("residentKey", "preferred", "requireResidentKey", true), granted,
		},
		"a resident key discouraged": {nonResident, selection("residentKey", "discouraged"), granted},
		"an unknown word, required as of old": {
			nonResident, selection("residentKey", "desired", "requireResidentKey", true), notAllowedError,
		},

		"verification required, and done": {passkey, selection("userVerification", "required"), granted},
		"verification required":           {unverified, selection("userVerification", "required"), notAllowedError},
		"verification preferred":          {unverified, selection("userVerification", "preferred"), granted},
		"a platform authenticator wanted": {passkey, selection("authenticatorAttachment", "platform"), granted},
		"a roaming authenticator wanted":  {passkey, selection("authenticatorAttachment", "cross-platform"), notAllowedError},
		"an unknown authenticator wanted": {passkey, selection("authenticatorAttachment", "flying"), granted},

		"another relying party":               {passkey, rp(jsonObject{"id": "evil.test", "name": ""}), securityError},
		"no relying party":                    {passkey, jsonObject{"rp": nil}, typeError},
		"a relying party without name":        {passkey, rp(jsonObject{"id": rpID}), typeError},
		"a relying party without id":          {passkey, rp(jsonObject{"name": ""}), granted},
		"no user":                             {passkey, jsonObject{"user": nil}, typeError},
		"a user without names":                {passkey, jsonObject{"user": jsonObject{"id": "AA"}}, typeError},
		"a user without a name to show":       {passkey, jsonObject{"user": jsonObject{"id": "AA", "name": ""}}, typeError},
		"a user handle of 64 bytes":           {passkey, person(strings.Repeat("AAAA", 21) + "AA"), granted},
		"a user handle of 65 bytes":           {passkey, person(strings.Repeat("AAAA", 21) + "AAA"), typeError},
		"an empty user handle":                {passkey, person(""), typeError},
		"a user handle that is a number":      {passkey, person(7), typeError},
		"a user handle with padding":          {passkey, person("AA=="), encodingError},
		"a user handle in the other alphabet": {passkey, person("++//"), encodingError},
		"a user handle with bits left over":   {passkey, person("AB"), encodingError},
		"a user handle with a newline":        {passkey, person("AAAA\n"), encodingError},
		"no challenge":                        {passkey, jsonObject{"challenge": nil}, typeError},
		"no algorithms":                       {passkey, jsonObject{"pubKeyCredParams": nil}, typeError},
		"options under publicKey": {passkey, jsonObject{
			"publicKey": creationOptions(nil), "rp": nil, "user": nil, "challenge": nil, "pubKeyCredParams": nil,
		}, typeError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key := &authtest.Authenticator{}
			test.of(key)
			if err := key.Add(held, elsewhere); err != nil {
				t.Fatal(err)
			}
			_, err := key.TryCreate(creationOptions(test.options))
			checkRefusal(t, test.want, err)
			if made := len(key.Credentials()) == 3; made != (test.want == granted) {
				t.Errorf("a credential was made: %t", made)
			}
		})
	}
}

// checkRefusal fails the test unless err is the exception, or nil if that is empty.
func checkRefusal(t *testing.T, want authtest.BrowserError, err error) {
	t.Helper()
	var got authtest.BrowserError
	if errors.As(err, &got); got != want || (err == nil) != (want == "") {
		t.Errorf("err = %v, want %q", err, want)
	}
}

func TestGetRefusesWhatABrowserRefuses(t *testing.T) {
	t.Parallel()
	ada := []byte("ada")
	all := []authtest.Credential{
		{ID: []byte("resident"), RPID: rpID, UserHandle: ada, PrivateKey: p256(t, 1), Resident: true},
		{ID: []byte("named"), RPID: rpID, UserHandle: ada, PrivateKey: p256(t, 2)},
		{ID: []byte("elsewhere"), RPID: "elsewhere.test", UserHandle: ada, PrivateKey: p256(t, 3), Resident: true},
	}
	allowed := func(ids ...string) jsonObject {
		var list [][]byte
		for _, id := range ids {
			list = append(list, []byte(id))
		}
		return jsonObject{"allowCredentials": descriptors(list...)}
	}
	passkey := func(*authtest.Authenticator) {}
	unverified := func(a *authtest.Authenticator) { a.NoUserVerification = true }
	for name, test := range map[string]struct {
		of      func(*authtest.Authenticator)
		held    []authtest.Credential
		options jsonObject
		want    authtest.BrowserError
		used    string
	}{
		"a discoverable credential":            {passkey, all, nil, granted, "resident"},
		"none that is discoverable":            {passkey, all[1:], nil, notAllowedError, ""},
		"an empty list":                        {passkey, all, jsonObject{"allowCredentials": []any{}}, granted, "resident"},
		"one allowed":                          {passkey, all, allowed("?", "named"), granted, "named"},
		"one allowed that is discoverable":     {passkey, all, allowed("resident"), granted, "resident"},
		"another allowed":                      {passkey, all, allowed("?"), notAllowedError, ""},
		"one of another relying party allowed": {passkey, all, allowed("elsewhere"), notAllowedError, ""},
		"one of another kind allowed": {passkey, all, jsonObject{"allowCredentials": []any{
			jsonObject{"type": "password", "id": base64.RawURLEncoding.EncodeToString([]byte("named"))},
		}}, notAllowedError, ""},
		"verification required, and done": {passkey, all, jsonObject{"userVerification": "required"}, granted, "resident"},
		"verification required":           {unverified, all, jsonObject{"userVerification": "required"}, notAllowedError, ""},
		"verification preferred":          {unverified, all, jsonObject{"userVerification": "preferred"}, granted, "resident"},
		"another relying party":           {passkey, all, jsonObject{"rpId": "elsewhere.test"}, securityError, ""},
		"no id of the relying party":      {passkey, all, jsonObject{"rpId": nil}, granted, "resident"},
		"no challenge":                    {passkey, all, jsonObject{"challenge": nil}, typeError, ""},
		"a challenge with padding":        {passkey, all, jsonObject{"challenge": "AA=="}, encodingError, ""},
		"cancelled": {
			func(a *authtest.Authenticator) { a.Choose = func([]authtest.Credential) int { return -1 } }, all,
			allowed("resident", "named"),
			notAllowedError, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key := &authtest.Authenticator{Counting: true}
			test.of(key)
			if err := key.Add(test.held...); err != nil {
				t.Fatal(err)
			}
			answer, err := key.TryGet(requestOptions(test.options))
			checkRefusal(t, test.want, err)
			var counted string
			for _, c := range key.Credentials() {
				if c.SignCount > 0 {
					counted += string(c.ID)
				}
			}
			if counted != test.used {
				t.Errorf("%q was used, want %q", counted, test.used)
			}
			if err != nil {
				return
			}
			w := readAnswer(t, answer)
			if want := base64.RawURLEncoding.EncodeToString([]byte(test.used)); w.ID != want || w.RawID != want {
				t.Errorf("id %s, rawId %s, want %s", w.ID, w.RawID, want)
			}
			if told := w.Response.UserHandle != nil; told != (test.used == "resident") {
				t.Errorf("a user handle was told: %t", told)
			}
		})
	}
}

func TestAPageActsForItsDomainAndItsParents(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		page, rpID string
		origin     string // empty: refused
	}{
		{"", "app.test", "https://app.test"},
		{"https://app.example", "app.example", "https://app.example"},
		{"https://login.app.example/signup?x=1#y", "app.example", "https://login.app.example"},
		{"https://a.b.app.example:8443", "b.app.example", "https://a.b.app.example:8443"},
		{"https://APP.example:443/", "app.example", "https://app.example"},
		{"https://user@app.example", "app.example", "https://app.example"},
		{"https://bücher.example", "xn--bcher-kva.example", "https://xn--bcher-kva.example"},
		{"https://my_app.example", "my_app.example", "https://my_app.example"},
		{"https://app.example", "login.app.example", ""},
		{"https://app.example", "evil.example", ""},
		{"https://evilapp.example", "app.example", ""},
		{"https://app.example", "example", ""},
		{"https://app.example", "", ""},
		{"https://app.example", "app.example.", ""},
		{"https://ada.github.io", "github.io", ""}, // a public suffix
		{"https://ada.github.io", "ada.github.io", "https://ada.github.io"},
		{"https://x.ada.github.io", "ada.github.io", "https://x.ada.github.io"},
		{"https://shop.co.uk", "co.uk", ""},
		{"https://app.shop.kawasaki.jp", "kawasaki.jp", ""}, // the parent of one
		{"http://app.example", "app.example", ""},           // not a secure context
		{"http://localhost:3000", "localhost", "http://localhost:3000"},
		{"http://localhost:80", "localhost", "http://localhost"},
		{"https://localhost", "localhost", "https://localhost"},
		{"http://app.localhost", "app.localhost", "http://app.localhost"},
		{"http://app.localhost", "localhost", ""},
		{"http://notlocalhost", "notlocalhost", ""},
		{"https://127.0.0.1:8443", "127.0.0.1", ""},
		{"https://10.0.0.1", "0.0.1", ""},
		{"https://[::1]:8443", "::1", ""},
	} {
		t.Run(test.page+" for "+test.rpID, func(t *testing.T) {
			t.Parallel()
			key := &authtest.Authenticator{Origin: test.page}
			options := creationOptions(jsonObject{"rp": jsonObject{"id": test.rpID, "name": ""}})
			want := securityError
			if test.origin != "" {
				want = ""
			}
			answer, err := key.TryCreate(options)
			checkRefusal(t, want, err)
			if err == nil {
				checkPage(t, answer, test.origin, test.rpID)
				answer := key.Get(t, requestOptions(jsonObject{"rpId": test.rpID}))
				checkPage(t, answer, test.origin, test.rpID)
			}

			// A related origin has to be secure and a domain all the same.
			key.RelatedRPIDs = []string{"other.test", test.rpID}
			related := want
			if strings.HasPrefix(test.page, "https:") || strings.Contains(test.page, ".localhost") {
				related = ""
			}
			if strings.Contains(test.page, "0.1") || strings.Contains(test.page, "[") {
				related = securityError
			}
			_, err = key.TryCreate(options)
			checkRefusal(t, related, err)
		})
	}
	for _, page := range []string{"app.example", "localhost:3000", "ftp://app.example", "https://", "https://a\x7f"} {
		key := &authtest.Authenticator{Origin: page}
		if _, err := key.TryCreate(creationOptions(nil)); err == nil || errors.As(err, new(authtest.BrowserError)) {
			t.Errorf("%q: err = %v, want one that is not a browser's", page, err)
		}
	}
}

func TestAnAppActsForWhoNamesIt(t *testing.T) {
	t.Parallel()
	for _, app := range []string{"android:apk-key-hash:-_8", "ios:bundle-id:test.app"} {
		key := &authtest.Authenticator{Origin: app}
		_, err := key.TryCreate(creationOptions(nil))
		checkRefusal(t, securityError, err)
		key.RelatedRPIDs = []string{rpID}
		checkPage(t, key.Create(t, creationOptions(nil)), app, rpID)
		checkPage(t, key.Get(t, requestOptions(nil)), app, rpID)
		_, err = key.TryGet(requestOptions(jsonObject{"rpId": nil}))
		checkRefusal(t, securityError, err)
		attacker := &authtest.Authenticator{Origin: app, Unchecked: true}
		checkPage(t, attacker.Create(t, creationOptions(nil)), app, rpID)
	}
}

// checkPage fails the test unless an answer tells the origin and the relying party.
func checkPage(t *testing.T, answer json.RawMessage, origin, rpID string) {
	t.Helper()
	w := readAnswer(t, answer)
	if !strings.Contains(w.clientData, `"origin":"`+origin+`"`) {
		t.Errorf("client data are %s, want origin %s", w.clientData, origin)
	}
	if hash := sha256.Sum256([]byte(rpID)); !bytes.Equal(w.data[:32], hash[:]) {
		t.Errorf("the relying party is not %s", rpID)
	}
}

func TestUncheckedDoesWhatItIsTold(t *testing.T) {
	t.Parallel()
	key := &authtest.Authenticator{Unchecked: true, NonResident: true, NoUserVerification: true, Origin: "http://[::1]:80"}
	for range 2 {
		key.Create(t, creationOptions(jsonObject{
			"rp":               jsonObject{"id": "bank.example", "name": ""},
			"pubKeyCredParams": []jsonObject{{"type": "public-key", "alg": -35}},
			"authenticatorSelection": jsonObject{
				"residentKey": "required", "userVerification": "required", "authenticatorAttachment": "cross-platform",
			},
		}))
	}
	held := key.Credentials()
	key.Create(t, creationOptions(jsonObject{
		"excludeCredentials": descriptors(held[0].ID), "rp": jsonObject{"id": "bank.example", "name": ""},
	}))
	held = key.Credentials()
	if len(held) != 3 {
		t.Fatalf("%d credentials are held, want 3", len(held))
	}

	first := readAnswer(t, key.Get(t, requestOptions(jsonObject{
		"rpId": "bank.example", "allowCredentials": descriptors(held[0].ID),
	})))
	if want := base64.RawURLEncoding.EncodeToString(held[0].ID); first.ID != want {
		t.Errorf("answered with %s, want %s, which is allowed", first.ID, want)
	}
	last := readAnswer(t, key.Get(t, requestOptions(jsonObject{
		"userVerification": "required", "allowCredentials": descriptors([]byte("another")),
	})))
	if want := base64.RawURLEncoding.EncodeToString(held[2].ID); last.ID != want {
		t.Errorf("answered with %s, want %s, the most recent", last.ID, want)
	}
	if !strings.Contains(last.clientData, `"origin":"http://[::1]"`) {
		t.Errorf("client data are %s", last.clientData)
	}
	empty := &authtest.Authenticator{Unchecked: true}
	if _, err := empty.TryGet(requestOptions(nil)); !errors.Is(err, notAllowedError) {
		t.Errorf("err = %v, want %s", err, notAllowedError)
	}
}

func TestAPersonChoosesAmongAccounts(t *testing.T) {
	t.Parallel()
	key := &authtest.Authenticator{}
	for _, name := range []string{"ada", "bob", "eve"} {
		key.Create(t, creationOptions(jsonObject{"user": jsonObject{
			"id": base64.RawURLEncoding.EncodeToString([]byte(name)), "name": name, "displayName": "",
		}}))
	}
	handle := func() string {
		b, err := base64.RawURLEncoding.DecodeString(*readAnswer(t, key.Get(t, requestOptions(nil))).Response.UserHandle)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if got := handle(); got != "eve" {
		t.Errorf("%s was chosen, want eve, who came last", got)
	}
	var offered []string
	key.Choose = func(list []authtest.Credential) int {
		for _, c := range list {
			offered = append(offered, c.UserName)
		}
		return slices.IndexFunc(list, func(c authtest.Credential) bool { return c.UserName == "ada" })
	}
	if got := handle(); got != "ada" {
		t.Errorf("%s was chosen, want ada", got)
	}
	if diff := cmp.Diff([]string{"eve", "bob", "ada"}, offered); diff != "" {
		t.Errorf("offered (-want +got):\n%s", diff)
	}
	key.Choose = func([]authtest.Credential) int { return 3 }
	if _, err := key.TryGet(requestOptions(nil)); !errors.Is(err, notAllowedError) {
		t.Errorf("err = %v, want %s", err, notAllowedError)
	}
	key.Choose = func(list []authtest.Credential) int {
		key.Delete(list[0].ID)
		return 0
	}
	if _, err := key.TryGet(requestOptions(nil)); !errors.Is(err, notAllowedError) {
		t.Errorf("of one deleted meanwhile: err = %v, want %s", err, notAllowedError)
	}
}

func TestAnAccountHasOneDiscoverableCredential(t *testing.T) {
	t.Parallel()
	passkeys, keys := &authtest.Authenticator{}, &authtest.Authenticator{NonResident: true}
	for range 2 {
		passkeys.Create(t, creationOptions(nil))
		keys.Create(t, creationOptions(nil))
	}
	passkeys.Create(t, creationOptions(jsonObject{"user": jsonObject{"id": "AA", "name": "", "displayName": ""}}))
	passkeys.RelatedRPIDs = []string{"other.test"}
	passkeys.Create(t, creationOptions(jsonObject{"rp": jsonObject{"id": "other.test", "name": ""}}))
	if n := len(passkeys.Credentials()); n != 3 {
		t.Errorf("%d passkeys are held, want one for each account of each relying party", n)
	}
	if n := len(keys.Credentials()); n != 2 {
		t.Errorf("%d keys are held that are not discoverable, want 2", n)
	}
	keys.NonResident = false
	keys.Create(t, creationOptions(nil))
	keys.NonResident = true
	keys.Create(t, creationOptions(nil))
	if n := len(keys.Credentials()); n != 4 {
		t.Errorf("%d are held of both kinds, want 4", n)
	}
	for range 2 {
		keys.Create(t, creationOptions(nil), func(c *authtest.Ceremony) { c.CredentialID = []byte("same") })
	}
	if n := len(keys.Credentials()); n != 5 {
		t.Errorf("%d are held, want one of an id", n)
	}
}

func TestBackupFlags(t *testing.T) { // WA-10
	t.Parallel()
	key := &authtest.Authenticator{NotBackedUp: true}
	at := func(answer json.RawMessage) authtest.Flags {
		return authtest.Flags(readAnswer(t, answer).flags) & (authtest.FlagBE | authtest.FlagBS)
	}
	if got := at(key.Create(t, creationOptions(nil))); got != authtest.FlagBE {
		t.Errorf("before it is backed up the flags are %#x", got)
	}
	if got := at(key.Get(t, requestOptions(nil))); got != authtest.FlagBE {
		t.Errorf("before it is backed up the flags at use are %#x", got)
	}
	key.NotBackedUp, key.DeviceBound = false, true
	if got := at(key.Get(t, requestOptions(nil))); got != authtest.FlagBE|authtest.FlagBS {
		t.Errorf("once it is backed up the flags are %#x", got)
	}
	if got := at(key.Create(t, creationOptions(nil))); got != 0 {
		t.Errorf("of a bound credential the flags are %#x", got)
	}
	key.DeviceBound = false
	if got := at(key.Get(t, requestOptions(nil))); got != 0 {
		t.Errorf("of a bound credential the flags at use are %#x", got)
	}
}

func TestABrowserTakesAttestationAwayThatNobodyAskedFor(t *testing.T) {
	t.Parallel()
	model := [16]byte{1}
	for _, test := range []struct {
		key        *authtest.Authenticator
		preference any
		want       string
	}{
		{&authtest.Authenticator{AAGUID: model}, "direct", "none"},
		{&authtest.Authenticator{AAGUID: model, Attestation: "none"}, "direct", "none"},
		{&authtest.Authenticator{AAGUID: model, Attestation: "packed"}, "direct", "packed"},
		{&authtest.Authenticator{AAGUID: model, Attestation: "packed"}, "indirect", "packed"},
		{&authtest.Authenticator{AAGUID: model, Attestation: "packed"}, "enterprise", "packed"},
		{&authtest.Authenticator{AAGUID: model, Attestation: "packed"}, "none", "none"},
		{&authtest.Authenticator{AAGUID: model, Attestation: "packed"}, nil, "none"},
		{&authtest.Authenticator{AAGUID: model, Attestation: "packed", Unchecked: true}, nil, "packed"},
		{&authtest.Authenticator{Attestation: "packed"}, nil, "packed"},
	} {
		w := readAnswer(t, test.key.Create(t, creationOptions(jsonObject{"attestation": test.preference})))
		if w.format != test.want || (len(w.statement) > 0) != (test.want == "packed") {
			t.Errorf("%q asked for of %+v: %q with %d members", test.preference, test.key, w.format, len(w.statement))
		}
		if !bytes.Equal(w.aaguid, test.key.AAGUID[:]) {
			t.Errorf("AAGUID %x, want %x", w.aaguid, test.key.AAGUID)
		}
	}
	key := &authtest.Authenticator{Attestation: "tpm"}
	if _, err := key.TryCreate(creationOptions(nil)); err == nil {
		t.Error("an attestation was made that there is not")
	}
}

type (
	ceremony = authtest.Ceremony
	signed   = authtest.Answer
)

// lie is one of the lies that can be told at both ceremonies.
type lie struct {
	name string
	tell func(*ceremony)

	// accepted is whether the library takes it at creation and at use: what it leaves to others to judge.
	accepted [2]bool
	// shows returns what the lie is about, as it is on the wire at creation and at use, and what it should be.
	shows func(w *wire) (got, want any)
}

var (
	nowhere    = [2]bool{}
	atCreate   = [2]bool{true, false}
	atUse      = [2]bool{false, true}
	everywhere = [2]bool{true, true}
)

func lies(t testing.TB) []lie {
	client := func(part string) func(*wire) (any, any) {
		return func(w *wire) (any, any) { return strings.Contains(w.clientData, part), true }
	}
	flags := func(want authtest.Flags, on bool) func(*wire) (any, any) {
		return func(w *wire) (any, any) { return authtest.Flags(w.flags)&want == want, on }
	}
	stranger := p256(t, 77)
	after := authtest.AfterSigning
	return []lie{
		{"type", func(c *ceremony) { c.Type = "webauthn.sell" }, nowhere, client(`{"type":"webauthn.sell",`)},
		{"challenge", func(c *ceremony) { c.Challenge = "AAAA" }, nowhere, client(`"challenge":"AAAA"`)},
		{"origin", func(c *ceremony) { c.Origin = "https://evil.test" }, nowhere, client(`"origin":"https://evil.test"`)},
		{"cross-origin", func(c *ceremony) { c.CrossOrigin = true }, nowhere, client(`"crossOrigin":true}`)},
		{"top origin", func(c *ceremony) {
			c.TopOrigin = "https://evil.test"
		}, nowhere, client(`"topOrigin":"https://evil.test"}`)},
		{"more client data", func(c *ceremony) {
			c.Extra = `"x":[1],"y":"<"`
		}, everywhere, client(`false,"x":[1],"y":"<"}`)},
		{"client data with escapes", func(c *ceremony) {
			c.Origin = "https://a\"\\\n</é"
		}, nowhere, client(`"origin":"https://a\"\\\u000a</é"`)},
		{"other client data", func(c *ceremony) { c.ClientDataJSON = []byte("[]") }, nowhere, func(w *wire) (any, any) {
			return w.clientData, "[]"
		}},
		{"client data with white space", func(c *ceremony) {
			c.ClientDataJSON = append(c.EncodeClientData(), " \n"...)
		}, everywhere, func(w *wire) (any, any) { return strings.HasSuffix(w.clientData, "} \n"), true }},
		{"client data changed twice", func(c *ceremony) {
			c.ClientDataJSON = append(c.EncodeClientData(), ' ')
			c.ClientDataJSON = append(c.EncodeClientData(), '\t')
		}, everywhere, func(w *wire) (any, any) { return strings.HasSuffix(w.clientData, "} \t"), true }},

		{"relying party", func(c *ceremony) { c.RPID = "evil.test" }, nowhere, func(w *wire) (any, any) {
			hash := sha256.Sum256([]byte("evil.test"))
			return w.data[:32], hash[:]
		}},
		{"no presence", func(c *ceremony) { c.Flags &^= authtest.FlagUP }, nowhere, flags(authtest.FlagUP, false)},
		{"no verification", func(c *ceremony) { c.Flags &^= authtest.FlagUV }, nowhere, flags(authtest.FlagUV, false)},
		{"backed up but not eligible", func(c *ceremony) {
			c.Flags &^= authtest.FlagBE
		}, nowhere, flags(authtest.FlagBE, false)},
		{"not eligible for backup", func(c *ceremony) {
			c.Flags &^= authtest.FlagBE | authtest.FlagBS
		}, atCreate, flags(authtest.FlagBE, false)},
		{"not backed up", func(c *ceremony) { c.Flags &^= authtest.FlagBS }, everywhere, flags(authtest.FlagBS, false)},
		{"attested data or not", func(c *ceremony) { c.Flags ^= authtest.FlagAT }, nowhere, func(w *wire) (any, any) {
			return authtest.Flags(w.flags)&authtest.FlagAT != 0, w.Response.AttestationObject == ""
		}},
		{"extensions that are not there", func(c *ceremony) {
			c.Flags |= authtest.FlagED
		}, nowhere, flags(authtest.FlagED, true)},
		{"extensions without a flag", func(c *ceremony) { c.Extensions = []byte{0xa0} }, nowhere, func(w *wire) (any, any) {
			return w.data[len(w.data)-1], byte(0xa0)
		}},
		{"extensions", func(c *ceremony) {
			c.Flags |= authtest.FlagED
			c.Extensions = []byte{0xa1, 0x61, 'x', 0xf5}
		}, everywhere, func(w *wire) (any, any) { return w.data[len(w.data)-4:], []byte{0xa1, 0x61, 'x', 0xf5} }},
		{"counter", func(c *ceremony) { c.Counter = 1 << 31 }, everywhere, func(w *wire) (any, any) {
			return w.counter, uint32(1 << 31)
		}},
		{"other authenticator data", func(c *ceremony) {
			c.AuthenticatorData = []byte("short")
		}, nowhere, func(w *wire) (any, any) {
			return string(w.data), "short"
		}},
		{"more authenticator data", func(c *ceremony) {
			c.AuthenticatorData = append(c.EncodeAuthenticatorData(), 0)
			c.AuthenticatorData = append(c.EncodeAuthenticatorData(), 1)
		}, nowhere, func(w *wire) (any, any) { return w.data[len(w.data)-2:], []byte{0, 1} }},

		{"another id", func(c *ceremony) { c.CredentialID = []byte("another") }, atCreate, func(w *wire) (any, any) {
			if w.credentialID != nil && string(w.credentialID) != "another" {
				return string(w.credentialID), "another"
			}
			return []string{w.ID, w.RawID}, []string{"YW5vdGhlcg", "YW5vdGhlcg"}
		}},
		{"no id", func(c *ceremony) { c.CredentialID = nil }, nowhere, func(w *wire) (any, any) {
			return w.ID + w.RawID, ""
		}},
		{"id and rawId differ", after(func(a *signed) { a.ID = "YW5vdGhlcg" }), nowhere, func(w *wire) (any, any) {
			return w.ID == "YW5vdGhlcg" && w.RawID != w.ID, true
		}},
		{"another id than the signed one", after(func(a *signed) {
			a.ID, a.RawID = "YW5vdGhlcg", []byte("another")
		}), nowhere, func(w *wire) (any, any) {
			return []string{w.ID, w.RawID}, []string{"YW5vdGhlcg", "YW5vdGhlcg"}
		}},
		{"another key", func(c *ceremony) { c.PrivateKey = stranger }, nowhere, nil},
		{"another type of credential", after(func(a *signed) { a.Type = "password" }), nowhere, func(w *wire) (any, any) {
			return w.Type, "password"
		}},
		{"client data changed after signing", after(func(a *signed) {
			a.ClientDataJSON = append(a.ClientDataJSON, ' ')
		}), nowhere, func(w *wire) (any, any) { return strings.HasSuffix(w.clientData, "} "), true }},
		{"no attachment", after(func(a *signed) { a.Attachment = "" }), everywhere, func(w *wire) (any, any) {
			return w.Attachment, ""
		}},
		{"another attachment", after(func(a *signed) { a.Attachment = "flying" }), everywhere, func(w *wire) (any, any) {
			return w.Attachment, "flying"
		}},
		{"results of extensions", after(func(a *signed) {
			a.ClientExtensionResults["x"] = "y"
		}), nowhere, func(w *wire) (any, any) {
			return w.Extensions, jsonObject{"x": "y"}
		}},
	}
}

// onlyAtCreate are lies about what only an answer of Create has.
func onlyAtCreate() []lie {
	after := authtest.AfterSigning
	return []lie{
		{"AAGUID", func(c *ceremony) { c.AAGUID = [16]byte{7} }, atCreate, func(w *wire) (any, any) {
			return w.aaguid[0], byte(7)
		}},
		{"an id of 1023 bytes", func(c *ceremony) {
			c.CredentialID = make([]byte, 1023)
		}, atCreate, func(w *wire) (any, any) {
			return len(w.credentialID), 1023
		}},
		{"an id of 1024 bytes", func(c *ceremony) {
			c.CredentialID = make([]byte, 1024)
		}, nowhere, func(w *wire) (any, any) {
			return len(w.credentialID), 1024
		}},
		{"a public key", func(c *ceremony) { c.PublicKey = []byte{0xa1, 1, 2} }, nowhere, func(w *wire) (any, any) {
			return w.afterID, []byte{0xa1, 1, 2}
		}},
		{"an unknown format", func(c *ceremony) { c.Format = "rumour" }, nowhere, func(w *wire) (any, any) {
			return w.format, "rumour"
		}},
		{"none with a statement", func(c *ceremony) {
			c.Format, c.Statement = "none", jsonObject{"x5c": []any{}}
		}, nowhere, func(w *wire) (any, any) { return w.statement, jsonObject{"x5c": []any{}} }},
		{"packed with another algorithm", func(c *ceremony) {
			c.Statement = jsonObject{"alg": authtest.EdDSA}
		}, nowhere, func(w *wire) (any, any) {
			return w.statement["alg"], int64(authtest.EdDSA)
		}},
		{"packed with another signature", func(c *ceremony) {
			c.Statement = jsonObject{"sig": []byte("?")}
		}, nowhere, func(w *wire) (any, any) {
			return w.statement["sig"], []byte("?")
		}},
		{"none where it is packed", func(c *ceremony) { c.Format = "none" }, atCreate, func(w *wire) (any, any) {
			return len(w.statement), 0
		}},
		{"attestation object", after(func(a *signed) { a.AttestationObject = nil }), nowhere, func(w *wire) (any, any) {
			return w.Response.AttestationObject, ""
		}},
		{"transports", after(func(a *signed) { a.Transports = []string{"pigeon"} }), atCreate, func(w *wire) (any, any) {
			return w.Response.Transports, []string{"pigeon"}
		}},
		{"public key for scripts", after(func(a *signed) {
			a.PublicKey, a.PublicKeyAlgorithm = nil, -1
		}), atCreate, func(w *wire) (any, any) {
			return w.Response.PublicKey + fmt.Sprint(w.Response.PublicKeyAlgorithm), "-1"
		}},
	}
}

// onlyAtUse are lies about what only an answer of Get has.
func onlyAtUse(t testing.TB) []lie {
	other := authtest.Credential{
		ID: []byte("other"), UserHandle: []byte("bob"), PrivateKey: p256(t, 5), SignCount: 9, Resident: true,
	}
	bound := other
	bound.Resident = false
	after := authtest.AfterSigning
	handle := func(want *string) func(*wire) (any, any) {
		return func(w *wire) (any, any) { return w.Response.UserHandle, want }
	}
	bob, empty := "Ym9i", ""
	return []lie{
		{"the handle of another user", func(c *ceremony) { c.UserHandle = []byte("bob") }, nowhere, handle(&bob)},
		{"no handle", func(c *ceremony) { c.UserHandle = nil }, atUse, handle(nil)},
		{"an empty handle", after(func(a *signed) { a.UserHandle = []byte{} }), atUse, handle(&empty)},
		{"another credential", func(c *ceremony) { c.Use(other) }, nowhere, func(w *wire) (any, any) {
			return fmt.Sprint(w.ID, w.counter, *w.Response.UserHandle), "b3RoZXI9Ym9i" // other, 9, bob
		}},
		{"another credential that is not discoverable", func(c *ceremony) { c.Use(bound) }, nowhere, handle(nil)},
		{"signature", after(func(a *signed) { a.Signature[len(a.Signature)-1] ^= 1 }), nowhere, nil},
		{"no signature", after(func(a *signed) { a.Signature = nil }), nowhere, func(w *wire) (any, any) {
			return w.Response.Signature, ""
		}},
		{"authenticator data changed after signing", after(func(a *signed) {
			a.AuthenticatorData[36] = 9
		}), nowhere, func(w *wire) (any, any) {
			return w.counter, uint32(9)
		}},
	}
}

func TestLiesAreToldAndRefused(t *testing.T) { // WA-01, WA-02, WA-06, WA-08 to WA-19, WA-22
	t.Parallel()
	verify := webauthn.WithAuthenticatorSelection(protocol.AuthenticatorSelection{
		UserVerification: protocol.VerificationRequired,
	})
	check := func(t *testing.T, l lie, answer json.RawMessage, err error, accepted bool) {
		t.Helper()
		if (err == nil) != accepted {
			t.Errorf("accepted: %t (%s), want %t", err == nil, details(err), accepted)
		}
		if l.shows == nil {
			return
		}
		got, want := l.shows(readAnswer(t, answer))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("on the wire (-want +got):\n%s", diff)
		}
	}
	for _, l := range slices.Concat(lies(t), onlyAtCreate()) {
		t.Run(l.name+" at creation", func(t *testing.T) {
			t.Parallel()
			r, key := newRelyingParty(t), &authtest.Authenticator{Attestation: "packed"}
			answer, err := r.register(t, key, []webauthn.RegistrationOption{verify}, l.tell)
			check(t, l, answer, err, l.accepted[0])
		})
	}
	for _, l := range slices.Concat(lies(t), onlyAtUse(t)) {
		t.Run(l.name+" at use", func(t *testing.T) {
			t.Parallel()
			r, key := newRelyingParty(t), &authtest.Authenticator{}
			r.registered(t, key, verify)
			required := []webauthn.LoginOption{webauthn.WithUserVerification(protocol.VerificationRequired)}
			answer, _, err := r.login(t, key, required, l.tell)
			check(t, l, answer, err, l.accepted[1])
			if _, _, err := r.login(t, key, required); err != nil {
				t.Errorf("after the lie, the truth: %s", details(err))
			}
		})
	}
}

func TestLiesAreToldInTurn(t *testing.T) {
	t.Parallel()
	key := &authtest.Authenticator{}
	var told []string
	note := func(s string) func(*authtest.Ceremony) {
		return func(c *authtest.Ceremony) { told = append(told, s); c.Origin += s }
	}
	noteAfter := func(s string) func(*authtest.Ceremony) {
		return authtest.AfterSigning(func(*authtest.Answer) { told = append(told, s) })
	}
	w := readAnswer(t, key.Create(t, creationOptions(nil), noteAfter("3"), note("1"), noteAfter("4"), note("2")))
	if diff := cmp.Diff([]string{"1", "2", "3", "4"}, told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	if !strings.Contains(w.clientData, `"https://app.test12"`) {
		t.Errorf("client data are %s, want both lies in them", w.clientData)
	}
}

func TestALieAtCreationIsHeld(t *testing.T) {
	t.Parallel()
	key := &authtest.Authenticator{Counting: true}
	stranger := p256(t, 99)
	key.Create(t, creationOptions(nil), func(c *authtest.Ceremony) {
		c.CredentialID, c.PrivateKey, c.Counter = []byte("claimed"), stranger, 41
		c.UserHandle, c.Flags = []byte("bob"), c.Flags&^(authtest.FlagBE|authtest.FlagBS)
	})
	want := []authtest.Credential{{
		ID: []byte("claimed"), RPID: rpID, UserHandle: []byte("bob"), UserName: "ada@example.com", PrivateKey: stranger,
		SignCount: 41, Resident: true,
	}}
	if diff := cmp.Diff(want, key.Credentials()); diff != "" {
		t.Errorf("held (-want +got):\n%s", diff)
	}
	w := readAnswer(t, key.Get(t, requestOptions(jsonObject{"allowCredentials": descriptors([]byte("claimed"))})))
	if w.counter != 42 || authtest.Flags(w.flags)&authtest.FlagBE != 0 {
		t.Errorf("counter %d, flags %#x", w.counter, w.flags)
	}

	key.Get(t, requestOptions(nil), func(c *authtest.Ceremony) {
		c.CredentialID[0], c.UserHandle[0], c.Counter = 'x', 'x', 1
	})
	want[0].SignCount = 43
	if diff := cmp.Diff(want, key.Credentials()); diff != "" {
		t.Errorf("held after a lie at use (-want +got):\n%s", diff)
	}

	lent := authtest.Credential{ID: []byte("lent"), PrivateKey: stranger}
	key.Get(t, requestOptions(nil), func(c *authtest.Ceremony) {
		c.Use(lent)
		c.CredentialID[0] = 'x'
	})
	if string(lent.ID) != "lent" {
		t.Errorf("a lie changed a credential that was only used to %s", lent.ID)
	}

	noKey := func(c *authtest.Ceremony) { c.PrivateKey = nil }
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, lie := range map[string]func(*authtest.Ceremony){
		"no key":                       noKey,
		"a key of another curve":       func(c *authtest.Ceremony) { c.PrivateKey = p384 },
		"a statement that has no CBOR": func(c *authtest.Ceremony) { c.Statement = jsonObject{"x": make(chan int)} },
	} {
		if _, err := key.TryCreate(creationOptions(nil), lie); err == nil {
			t.Errorf("%s: a credential was made", name)
		}
	}
	if _, err := key.TryGet(requestOptions(nil), noKey); err == nil {
		t.Error("signed without a key")
	}
	if diff := cmp.Diff(want[0].ID, key.Credentials()[0].ID); diff != "" {
		t.Errorf("held after lies that failed (-want +got):\n%s", diff)
	}
}

func TestAReplacedKeyIsToldByItsCounter(t *testing.T) { // WA-17
	t.Parallel()
	r, key := newRelyingParty(t), &authtest.Authenticator{Counting: true}
	r.registered(t, key)
	clone := key.Clone()
	count := func(a *authtest.Authenticator) (uint32, bool) {
		answer, credential, err := r.login(t, a, nil)
		if err != nil {
			t.Fatalf("login: %s", details(err))
		}
		r.user.credentials[0] = *credential
		return readAnswer(t, answer).counter, credential.Authenticator.CloneWarning
	}
	for want := uint32(2); want < 5; want++ {
		if got, cloned := count(key); got != want || cloned {
			t.Errorf("counter = %d, want %d; taken for a clone: %t", got, want, cloned)
		}
	}
	if got, cloned := count(clone); got != 2 || !cloned {
		t.Errorf("counter of the clone = %d, want 2; taken for a clone: %t", got, cloned)
	}

	still := &authtest.Authenticator{}
	still.Create(t, creationOptions(nil))
	for range 2 {
		if n := readAnswer(t, still.Get(t, requestOptions(nil))).counter; n != 0 {
			t.Errorf("counter = %d of an authenticator that does not count", n)
		}
	}
}

func TestCloneHasAllFields(t *testing.T) {
	t.Parallel()
	key := &authtest.Authenticator{}
	v := reflect.ValueOf(key).Elem()
	for i := range v.NumField() {
		f := v.Field(i)
		if !v.Type().Field(i).IsExported() {
			continue
		}
		switch f.Kind() {
		case reflect.Bool:
			f.SetBool(true)
		case reflect.String:
			f.SetString("x")
		case reflect.Int:
			f.SetInt(7)
		case reflect.Slice:
			f.Set(reflect.ValueOf([]string{"x"}))
		case reflect.Array:
			f.Index(0).SetUint(7)
		case reflect.Func:
			f.Set(reflect.MakeFunc(f.Type(), nil))
		default:
			t.Fatalf("no value for a %s", f.Type())
		}
	}
	if err := key.Add(authtest.Credential{ID: []byte{1}, RPID: rpID, PrivateKey: p256(t, 1)}); err != nil {
		t.Fatal(err)
	}
	clone := key.Clone()
	c := reflect.ValueOf(clone).Elem()
	for i := range v.NumField() {
		if field := v.Type().Field(i); field.IsExported() && c.Field(i).IsZero() {
			t.Errorf("%s was not cloned", field.Name)
		}
	}
	if diff := cmp.Diff(key.Credentials(), clone.Credentials()); diff != "" {
		t.Errorf("credentials (-original +clone):\n%s", diff)
	}
	clone.RelatedRPIDs[0], clone.Transports[0] = "y", "y"
	clone.Delete([]byte{1})
	if key.RelatedRPIDs[0] != "x" || key.Transports[0] != "x" || len(key.Credentials()) != 1 {
		t.Error("what happens to the clone happens to the original")
	}
}

func TestCredentialsMoveBetweenAuthenticators(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []int{authtest.ES256, authtest.EdDSA, authtest.RS256} {
		r := newRelyingParty(t)
		old := &authtest.Authenticator{Algorithm: algorithm, Counting: true}
		r.registered(t, old)
		exported, err := json.Marshal(old.Credentials())
		if err != nil {
			t.Fatal(err)
		}
		var credentials []authtest.Credential
		if err := json.Unmarshal(exported, &credentials); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(old.Credentials(), credentials); diff != "" {
			t.Errorf("algorithm %d (-exported +imported):\n%s", algorithm, diff)
		}
		other := &authtest.Authenticator{Counting: true}
		if err := other.Add(credentials...); err != nil {
			t.Fatal(err)
		}
		if err := r.passkey(t, other); err != nil {
			t.Errorf("algorithm %d: %s", algorithm, details(err))
		}
		if n := other.Credentials()[0].SignCount; n != 2 {
			t.Errorf("algorithm %d: counter = %d, want 2", algorithm, n)
		}
	}
}

func TestCredentialsAreWrittenAsWebDriverDoes(t *testing.T) {
	t.Parallel()
	credential := authtest.Credential{
		ID: []byte{0xfb, 0xff}, RPID: rpID, UserHandle: []byte{0}, UserName: "ada", PrivateKey: p256(t, 1), SignCount: 3,
		Resident: true, BackupEligible: true,
	}
	data, err := json.Marshal(credential)
	if err != nil {
		t.Fatal(err)
	}
	var got jsonObject
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	want := jsonObject{
		"credentialId": "-_8", "isResidentCredential": true, "rpId": rpID, "userHandle": "AA", "signCount": 3.0,
		"userName": "ada", "backupEligibility": true, "privateKey": got["privateKey"],
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
	if _, err := json.Marshal(authtest.Credential{}); err == nil {
		t.Error("a credential without key was written")
	}
	for _, bad := range []string{`{}`, `{"privateKey":"AAAA"}`, `{"privateKey":7}`, `[]`} {
		if err := json.Unmarshal([]byte(bad), new(authtest.Credential)); err == nil {
			t.Errorf("%s was read", bad)
		}
	}
}

func TestAddTakesCredentialsThatCanBeUsed(t *testing.T) {
	t.Parallel()
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := authtest.Credential{ID: []byte{1}, RPID: rpID, PrivateKey: p256(t, 1)}
	key := &authtest.Authenticator{}
	for name, spoil := range map[string]func(*authtest.Credential){
		"no id":                 func(c *authtest.Credential) { c.ID = nil },
		"no relying party":      func(c *authtest.Credential) { c.RPID = "" },
		"no key":                func(c *authtest.Credential) { c.PrivateKey = nil },
		"a key of no algorithm": func(c *authtest.Credential) { c.PrivateKey = p384 },
	} {
		bad := good
		spoil(&bad)
		if err := key.Add(good, bad); err == nil || len(key.Credentials()) > 0 {
			t.Errorf("%s: err = %v, %d were added", name, err, len(key.Credentials()))
		}
	}
	second, again := good, good
	second.ID, again.SignCount = []byte{2}, 8
	if err := key.Add(good, second, again); err != nil {
		t.Fatal(err)
	}
	again.ID[0] = 1
	if diff := cmp.Diff([]authtest.Credential{second, again}, key.Credentials()); diff != "" {
		t.Errorf("held (-want +got):\n%s", diff)
	}
	key.Credentials()[0].ID[0] = 9
	if !key.Delete([]byte{2}) || key.Delete([]byte{2}) || len(key.Credentials()) != 1 {
		t.Error("Delete does not say what was held")
	}
}

func TestARefusalFailsTheTest(t *testing.T) {
	t.Parallel()
	key := &authtest.Authenticator{Origin: "https://evil.test"}
	for _, ceremony := range []func(testing.TB){
		func(tb testing.TB) { key.Create(tb, creationOptions(nil)) },
		func(tb testing.TB) { key.Get(tb, requestOptions(nil)) },
	} {
		failed := run(t, ceremony)
		if !strings.Contains(failed, "SecurityError") || !strings.Contains(failed, "https://evil.test") {
			t.Errorf("failure %q does not say who may not", failed)
		}
	}
}

func TestManyUseOneAuthenticator(t *testing.T) {
	t.Parallel()
	const n = 50
	r := newRelyingParty(t)
	key := &authtest.Authenticator{Counting: true, Unchecked: true}
	r.registered(t, key)
	assertion, session, err := r.BeginLogin(r.user)
	if err != nil {
		t.Fatal(err)
	}
	counters := make([]uint32, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			answer, err := key.TryGet(assertion.Response)
			if err != nil {
				t.Error(err)
				return
			}
			parsed, err := protocol.ParseCredentialRequestResponseBytes(answer)
			if err != nil {
				t.Error(err)
				return
			}
			credential, err := r.ValidateLogin(r.user, *session, parsed)
			if err != nil {
				t.Errorf("login: %s", details(err))
				return
			}
			counters[i] = credential.Authenticator.SignCount

			handle := base64.RawURLEncoding.EncodeToString([]byte{byte(i), 1})
			person := jsonObject{"id": handle, "name": "", "displayName": ""}
			if _, err := key.TryCreate(creationOptions(jsonObject{"user": person})); err != nil {
				t.Error(err)
			}
			key.Clone().Delete(key.Credentials()[0].ID)
		})
	}
	group.Wait()
	slices.Sort(counters)
	for i, c := range counters {
		if c != uint32(i)+2 {
			t.Fatalf("counters are %d, want each from 2 on once", counters)
		}
	}
	if held := len(key.Credentials()); held != n+1 {
		t.Errorf("%d credentials are held, want %d", held, n+1)
	}
}
