package ceremony

import (
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/go-webauthn/webauthn/protocol/webauthncbor"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
)

// Limits of RSA keys, in bits of the modulus. The upper one, which bounds the work that a stranger's key can ask for, is that
// of crypto/tls.
const (
	minModulus = 2048
	maxModulus = 8192
)

// checkKey refuses a credential public key that is not a well formed one of an algorithm that was offered, and returns its
// algorithm. A COSE_Key has the members that its key type needs and no others (WebAuthn L3 §6.5.1).
func (rp *RelyingParty) checkKey(cose []byte) (int64, error) {
	var head webauthncose.PublicKeyData
	var members map[int64]webauthncbor.RawMessage
	if err := errors.Join(webauthncbor.Unmarshal(cose, &head), webauthncbor.Unmarshal(cose, &members)); err != nil {
		return 0, fmt.Errorf("ceremony: public key: %w", err)
	}
	if !slices.Contains(rp.algorithms, head.Algorithm) {
		return 0, fmt.Errorf("ceremony: public key: algorithm %d was not offered", head.Algorithm)
	}
	// It checks key type against algorithm, algorithm against curve, and the length of coordinates.
	key, err := webauthncose.ParsePublicKey(cose)
	if err != nil {
		return 0, refusedBy(err)
	}
	switch key := key.(type) {
	case webauthncose.EC2PublicKeyData: // on the curve, says ParsePublicKey
		err = checkMembers(members, 5, -2, -3)
	case webauthncose.OKPPublicKeyData:
		if err = checkMembers(members, 4, -2); err == nil {
			err = checkEd25519(key.XCoord)
		}
	case webauthncose.RSAPublicKeyData:
		if err = checkMembers(members, 4, -1, -2); err == nil {
			err = checkRSA(&key)
		}
	default:
		err = errors.New("key type is not supported")
	}
	if err != nil {
		return 0, fmt.Errorf("ceremony: public key: %w", err)
	}
	return head.Algorithm, nil
}

// checkMembers refuses a key that has not exactly count members, or has another value than a byte string under one of
// labels. Since the members that are needed were found, there are no others then.
func checkMembers(members map[int64]webauthncbor.RawMessage, count int, labels ...int64) error {
	if len(members) != count {
		return fmt.Errorf("has %d members, not %d", len(members), count)
	}
	for _, label := range labels {
		if majorType(members[label]) != cborBytes {
			return fmt.Errorf("member %d is not a byte string", label)
		}
	}
	return nil
}

// checkRSA refuses keys of other algorithms, of sizes that are weak or costly, and those that crypto/rsa will not use.
func checkRSA(key *webauthncose.RSAPublicKeyData) error {
	switch webauthncose.COSEAlgorithmIdentifier(key.Algorithm) {
	case webauthncose.AlgRS256, webauthncose.AlgRS384, webauthncose.AlgRS512,
		webauthncose.AlgPS256, webauthncose.AlgPS384, webauthncose.AlgPS512:
	default:
		return fmt.Errorf("an RSA key cannot have algorithm %d", key.Algorithm)
	}
	n := new(big.Int).SetBytes(key.Modulus)
	if bits := n.BitLen(); bits < minModulus || bits > maxModulus || n.Bit(0) == 0 {
		return fmt.Errorf("modulus must be odd and have %d to %d bits", minModulus, maxModulus)
	}
	e := new(big.Int).SetBytes(key.Exponent)
	if bits := e.BitLen(); bits < 2 || bits > 31 || e.Bit(0) == 0 {
		return errors.New("exponent must be odd, at least 3 and less than 2^31")
	}
	return nil
}

// The field of Ed25519 and the constant d of its curve equation -x² + y² = 1 + dx²y² (RFC 8032 §5.1).
var (
	fieldPrime, _ = new(big.Int).SetString("7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed", 16)
	curveD, _     = new(big.Int).SetString("52036cee2b6ffe738cc740797779e89800700a4d4141d8ab75eb4dca135978a3", 16)
)

// checkEd25519 refuses an encoding that is not one of a point (RFC 8032 §5.1.3), and points of small order, for which
// signatures can be made without a private key.
func checkEd25519(encoded []byte) error {
	little := slices.Clone(encoded)
	little[len(little)-1] &= 0x7f // the sign of x
	slices.Reverse(little)
	y := new(big.Int).SetBytes(little)
	if y.Cmp(fieldPrime) >= 0 {
		return errors.New("coordinate is not reduced")
	}
	one := big.NewInt(1)
	yy := new(big.Int).Mul(y, y)
	dyy := new(big.Int).Mul(curveD, yy)
	// x² = (y² - 1) / (dy² + 1). A quotient is a square if the product is one.
	numerator := new(big.Int).Sub(yy, one)
	product := new(big.Int).Mul(numerator, new(big.Int).Add(dyy, one))
	if big.Jacobi(product.Mod(product, fieldPrime), fieldPrime) < 0 {
		return errors.New("coordinate is not one of a point on the curve")
	}
	// The orders are 1 and 2 where y² = 1, 4 where y = 0, and 8 where doubling gives y = 0, which is where
	// dy⁴ + 2y² = 1.
	eight := new(big.Int).Mul(dyy, yy)
	eight.Add(eight, yy).Add(eight, yy).Sub(eight, one)
	small := eight.Mul(eight, numerator)
	small.Mul(small, y)
	if small.Mod(small, fieldPrime).Sign() == 0 {
		return errors.New("point has a small order")
	}
	return nil
}
