package oauth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// oauth1 is what requests are signed with (RFC 5849 §3.4.2, HMAC-SHA1).
type oauth1 struct {
	consumer, consumerSecret string
	token, tokenSecret       string // empty if there is none yet
}

// sign adds the Authorization header to a request without a body; more are further protocol parameters, such as
// "oauth_verifier". The nonce is fresh.
func (o oauth1) sign(req *http.Request, now time.Time, more map[string]string) {
	o.signWith(req, now, rand.Text(), more)
}

func (o oauth1) signWith(req *http.Request, now time.Time, nonce string, more map[string]string) {
	params := map[string]string{
		"oauth_consumer_key":     o.consumer,
		"oauth_nonce":            nonce,
		"oauth_signature_method": "HMAC-SHA1",
		"oauth_timestamp":        strconv.FormatInt(now.Unix(), 10),
		"oauth_version":          "1.0",
	}
	if o.token != "" {
		params["oauth_token"] = o.token
	}
	for name, value := range more {
		params[name] = value
	}
	mac := hmac.New(sha1.New, []byte(escape(o.consumerSecret)+"&"+escape(o.tokenSecret)))
	mac.Write([]byte(baseString(req, params)))
	params["oauth_signature"] = base64.StdEncoding.EncodeToString(mac.Sum(nil))
	var header []string
	for name, value := range params {
		header = append(header, escape(name)+`="`+escape(value)+`"`)
	}
	slices.Sort(header)
	req.Header.Set("Authorization", "OAuth "+strings.Join(header, ", "))
}

// baseString is RFC 5849 §3.4.1.
func baseString(req *http.Request, params map[string]string) string {
	var pairs [][2]string
	for name, values := range req.URL.Query() {
		for _, value := range values {
			pairs = append(pairs, [2]string{escape(name), escape(value)})
		}
	}
	for name, value := range params {
		pairs = append(pairs, [2]string{escape(name), escape(value)})
	}
	slices.SortFunc(pairs, func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	var query []string
	for _, pair := range pairs {
		query = append(query, pair[0]+"="+pair[1])
	}
	scheme, host := strings.ToLower(req.URL.Scheme), strings.ToLower(req.URL.Host)
	if port := map[string]string{"https": ":443", "http": ":80"}[scheme]; port != "" {
		host = strings.TrimSuffix(host, port)
	}
	path := req.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	base := url.URL{Scheme: scheme, Host: host}
	return req.Method + "&" + escape(base.String()+path) + "&" + escape(strings.Join(query, "&"))
}

// escape is RFC 5849 §3.6, of which RFC 3986 has the letters that stay as they are.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
