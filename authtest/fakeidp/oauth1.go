package fakeidp

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // what OAuth 1.0a signs with (RFC 5849 §3.4.2)
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// v1Skew is how far the clock of a client may be off.
const v1Skew = 5 * time.Minute

// v1State is what a [Provider] remembers of OAuth 1.0a.
type v1State struct {
	tokens map[string]*v1Token
	nonces map[string]bool
}

func newV1State() v1State {
	return v1State{tokens: make(map[string]*v1Token), nonces: make(map[string]bool)}
}

type v1Kind int

const (
	v1NoToken v1Kind = iota
	v1RequestToken
	v1AccessToken
)

type v1Token struct {
	kind     v1Kind
	clientID string
	secret   string
	callback string // of a request token
	subject  string // of a request token: empty until somebody consents
	verifier string
}

// v1Request is a request whose signature is good.
type v1Request struct {
	client Client
	id     string   // of the token
	token  *v1Token // nil for none
	params url.Values
}

// checkSignature needs the lock. It checks a request as RFC 5849 §3.2 does, and that its token is of a kind.
func (p *Provider) checkSignature(r *http.Request, kind v1Kind) (v1Request, error) {
	params, err := v1Params(r)
	if err != nil {
		return v1Request{}, err
	}
	for name, values := range params {
		if strings.HasPrefix(name, "oauth_") && len(values) > 1 {
			return v1Request{}, fmt.Errorf("the parameter %s comes more than once", name)
		}
	}
	client, ok := p.client(params.Get("oauth_consumer_key"))
	if !ok {
		return v1Request{}, errors.New("oauth_consumer_key is not the id of a client")
	}
	if version := params.Get("oauth_version"); version != "" && version != "1.0" {
		return v1Request{}, errors.New("oauth_version is not 1.0")
	}
	if params.Get("oauth_signature_method") != "HMAC-SHA1" {
		return v1Request{}, errors.New("oauth_signature_method is not HMAC-SHA1")
	}
	id := params.Get("oauth_token")
	token, tokenSecret := p.v1.tokens[id], ""
	switch {
	case kind == v1NoToken && id != "":
		return v1Request{}, errors.New("there is an oauth_token, where none belongs")
	case kind == v1NoToken:
	case token == nil || token.kind != kind || token.clientID != client.ID:
		return v1Request{}, errors.New("oauth_token is not a token of the client, or no longer")
	default:
		tokenSecret = token.secret
	}
	scheme := "https"
	if r.Host == p.host {
		scheme = "http"
	}
	base := v1BaseString(r.Method, scheme, r.Host, r.URL.EscapedPath(), params)
	given, err := base64.StdEncoding.DecodeString(params.Get("oauth_signature"))
	if err != nil || !hmac.Equal(given, v1Signature(base, client.Secret, tokenSecret)) {
		return v1Request{}, errors.New("oauth_signature is wrong")
	}
	if err := p.checkFresh(params); err != nil {
		return v1Request{}, err
	}
	return v1Request{client, id, token, params}, nil
}

// checkFresh needs the lock (RFC 5849 §3.3).
func (p *Provider) checkFresh(params url.Values) error {
	seconds, err := strconv.ParseInt(params.Get("oauth_timestamp"), 10, 64)
	if err != nil || seconds <= 0 {
		return errors.New("oauth_timestamp is not a number of seconds")
	}
	if skew := p.now().Sub(time.Unix(seconds, 0)); skew > v1Skew || skew < -v1Skew {
		return errors.New("oauth_timestamp is too far off")
	}
	if params.Get("oauth_nonce") == "" {
		return errors.New("oauth_nonce is missing")
	}
	once := strings.Join([]string{
		params.Get("oauth_timestamp"), params.Get("oauth_consumer_key"), params.Get("oauth_token"), params.Get("oauth_nonce"),
	}, "\n")
	if p.v1.nonces[once] {
		return errors.New("oauth_nonce was used before")
	}
	p.v1.nonces[once] = true
	return nil
}

// v1Params collects the parameters that are signed, and the signature, from the header, the query and the body
// (RFC 5849 §3.4.1.3.1).
func v1Params(r *http.Request) (url.Values, error) {
	params := r.URL.Query()
	for name, values := range r.PostForm {
		params[name] = append(params[name], values...)
	}
	scheme, fields, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "OAuth") {
		return nil, errors.New("there is no header Authorization of OAuth")
	}
	for field := range strings.SplitSeq(fields, ",") {
		name, quoted, _ := strings.Cut(strings.TrimSpace(field), "=")
		value, ok := strings.CutPrefix(quoted, `"`)
		value, closed := strings.CutSuffix(value, `"`)
		if !ok || !closed {
			return nil, errors.New("the header Authorization is not of RFC 5849")
		}
		decodedName, errName := url.PathUnescape(name)
		decoded, errValue := url.PathUnescape(value)
		if errName != nil || errValue != nil {
			return nil, errors.New("the header Authorization is not of RFC 5849")
		}
		if decodedName != "realm" {
			params.Add(decodedName, decoded)
		}
	}
	return params, nil
}

// v1BaseString is what is signed (RFC 5849 §3.4.1).
func v1BaseString(method, scheme, host, path string, params url.Values) string {
	host = strings.ToLower(host)
	if name, port, err := net.SplitHostPort(host); err == nil && port == map[string]string{"http": "80", "https": "443"}[scheme] {
		host = name
	}
	if path == "" {
		path = "/"
	}
	var pairs [][2]string
	for name, values := range params {
		for _, value := range values {
			if name != "oauth_signature" {
				pairs = append(pairs, [2]string{v1Escape(name), v1Escape(value)})
			}
		}
	}
	slices.SortFunc(pairs, func(a, b [2]string) int {
		if by := strings.Compare(a[0], b[0]); by != 0 {
			return by
		}
		return strings.Compare(a[1], b[1])
	})
	joined := make([]string, len(pairs))
	for i, pair := range pairs {
		joined[i] = pair[0] + "=" + pair[1]
	}
	return strings.ToUpper(method) + "&" + v1Escape(scheme+"://"+host+path) + "&" + v1Escape(strings.Join(joined, "&"))
}

// v1Escape is the percent-encoding of RFC 5849 §3.6.
func v1Escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if isUnreserved(rune(s[i])) {
			b.WriteByte(s[i])
		} else {
			fmt.Fprintf(&b, "%%%02X", s[i])
		}
	}
	return b.String()
}

// v1Signature is HMAC-SHA1 with both secrets (RFC 5849 §3.4.2).
func v1Signature(base, clientSecret, tokenSecret string) []byte {
	mac := hmac.New(sha1.New, []byte(v1Escape(clientSecret)+"&"+v1Escape(tokenSecret)))
	_, _ = io.WriteString(mac, base)
	return mac.Sum(nil)
}

// serveRequestToken gives a client temporary credentials (RFC 5849 §2.1).
func (p *Provider) serveRequestToken(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	signed, err := p.checkSignature(r, v1NoToken)
	if err != nil {
		refuse(w, http.StatusUnauthorized, "unauthorized", err.Error())
		return
	}
	callback := signed.params.Get("oauth_callback")
	registered, _, _ := strings.Cut(callback, "?")
	if !slices.Contains(signed.client.RedirectURIs, registered) {
		refuse(w, http.StatusForbidden, "forbidden", "oauth_callback is not one that the client has registered")
		return
	}
	id, secret := rand.Text(), rand.Text()
	p.v1.tokens[id] = &v1Token{kind: v1RequestToken, clientID: signed.client.ID, secret: secret, callback: callback}
	answerForm(w, url.Values{"oauth_token": {id}, "oauth_token_secret": {secret}, "oauth_callback_confirmed": {"true"}})
}

// serveAuthorizationV1 asks a person for an account, and sends the browser back (RFC 5849 §2.2). A POST is the answer of the
// page. Who cancels comes back with a parameter denied, as from Twitter.
func (p *Provider) serveAuthorizationV1(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("oauth_token")
	account, accounts, chosen := p.choose(r)
	cancelled := r.Method == http.MethodPost && r.PostForm.Has("cancel")

	p.mu.Lock()
	token := p.v1.tokens[id]
	known := token != nil && token.kind == v1RequestToken && token.subject == ""
	var clientID, callback string
	values := url.Values{}
	if known {
		clientID, callback = token.clientID, token.callback
		switch {
		case cancelled:
			delete(p.v1.tokens, id)
			values.Set("denied", id)
		case chosen:
			token.subject, token.verifier = account.Subject, rand.Text()
			values.Set("oauth_token", id)
			values.Set("oauth_verifier", token.verifier)
		}
	}
	p.mu.Unlock()
	switch {
	case !known:
		p.showError(w, "The parameter oauth_token is not a request token, or no longer.")
	case !chosen && !cancelled:
		p.showAccounts(w, clientID, accounts)
	default:
		p.amendCallback(AuthorizationV1, values)
		redirectWith(w, callback, values)
	}
}

// serveAccessToken trades a request token that somebody has consented to for an access token (RFC 5849 §2.3). It is spent by
// the first request, right or wrong.
func (p *Provider) serveAccessToken(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	signed, err := p.checkSignature(r, v1RequestToken)
	if err != nil {
		refuse(w, http.StatusUnauthorized, "unauthorized", err.Error())
		return
	}
	delete(p.v1.tokens, signed.id)
	if signed.token.verifier == "" || signed.params.Get("oauth_verifier") != signed.token.verifier {
		refuse(w, http.StatusUnauthorized, "unauthorized", "oauth_verifier is wrong")
		return
	}
	account, ok := p.account(signed.token.subject)
	if !ok {
		refuse(w, http.StatusUnauthorized, "unauthorized", "there is no such account")
		return
	}
	id, secret := account.Subject+"-"+rand.Text(), rand.Text()
	p.v1.tokens[id] = &v1Token{kind: v1AccessToken, clientID: signed.client.ID, secret: secret, subject: account.Subject}
	answerForm(w, url.Values{
		"oauth_token": {id}, "oauth_token_secret": {secret}, "user_id": {account.Subject}, "screen_name": {account.Name},
	})
}

// verifyCredentials is the profile of [VerifyCredentials] unless [Provider.Profile] says otherwise.
func verifyCredentials(a Account) any {
	profile := map[string]any{"id_str": a.Subject, "name": a.Name, "screen_name": a.Name}
	if a.Email != "" && a.EmailVerified { // Twitter tells no others
		profile["email"] = a.Email
	}
	if a.Picture != "" {
		profile["profile_image_url_https"] = a.Picture
	}
	return profile
}

func answerForm(w http.ResponseWriter, values url.Values) {
	h := w.Header()
	h.Set("Content-Type", "application/x-www-form-urlencoded")
	h.Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, values.Encode())
}
