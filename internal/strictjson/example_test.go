package strictjson_test

import (
	"fmt"

	"github.com/ostiary/auth/internal/strictjson"
)

func Example() {
	var params struct {
		Email   string `json:"email" strict:"required"`
		Options *struct {
			Locale string `json:"locale"`
		} `json:"options"`
	}
	for _, body := range []string{
		`{"email": "someone@example.test", "options": {"locale": "en"}}`,
		`{"email": "someone@example.test", "options": null}`,
		`{"email": "someone@example.test", "options": {"locale": 1}}`,
		`{"email": "someone@example.test", "Email": "other@example.test"}`,
		`{"options": {}}`,
	} {
		fmt.Println(strictjson.Decode([]byte(body), &params))
	}
	// Output:
	// <nil>
	// <nil>
	// options.locale must be a string
	// Email is not a known member
	// email is required
}
