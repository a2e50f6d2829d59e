package oauth

import (
	"net/http"
	"time"
)

// Sign signs a request as OAuth 1.0a does, with a nonce that is given.
func Sign(req *http.Request, consumer, consumerSecret, token, tokenSecret string, now time.Time, nonce string, more map[string]string) {
	oauth1{consumer, consumerSecret, token, tokenSecret}.signWith(req, now, nonce, more)
}

// BaseString is RFC 5849 §3.4.1.
var BaseString = baseString
