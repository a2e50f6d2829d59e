package baseurl_test

import (
	"testing"

	"github.com/ostiary/auth/internal/baseurl"
)

func TestOr(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"":                            "https://default.example",
		"https://proxy.example":       "https://proxy.example",
		"https://proxy.example/sms/":  "https://proxy.example/sms",
		"http://127.0.0.1:8080":       "http://127.0.0.1:8080",
		"http://localhost:8080/":      "http://localhost:8080",
		"http://[::1]:8080":           "http://[::1]:8080",
		"http://proxy.example":        "",
		"http://127.0.0.1.evil.test":  "",
		"http://localhost.evil.test":  "",
		"ftp://proxy.example":         "",
		"proxy.example":               "",
		"https://":                    "",
		"https://user@proxy.example":  "",
		"https://proxy.example?x=y":   "",
		"https://proxy.example/#x":    "",
		"https://proxy.example/\r\nx": "",
	} {
		got, ok := baseurl.Or(given, "https://default.example")
		if ok != (want != "") || ok && got != want {
			t.Errorf("%q: %q, %v", given, got, ok)
		}
	}
}
