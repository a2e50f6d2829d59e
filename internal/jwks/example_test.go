package jwks_test

import (
	"encoding/json"
	"fmt"

	"github.com/ostiary/auth/internal/jwks"
)

func Example() {
	// As in an environment variable. The key is that of RFC 8037 A.2.
	const text = `-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n`
	public, err := jwks.ParsePublicPEM([]byte(text))
	if err != nil {
		fmt.Println(err)
		return
	}
	key, err := jwks.PublicJWK(public, "", "EdDSA")
	if err != nil {
		fmt.Println(err)
		return
	}
	document, err := json.Marshal(jwks.Set{key})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(document))
	// Output: {"keys":[{"alg":"EdDSA","crv":"Ed25519","kid":"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k","kty":"OKP","use":"sig","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}
}
