package authtest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// IdPFault is a way in which an endpoint of an [IdP] goes wrong. The functions whose names begin with Fault return them.
type IdPFault struct {
	wrap  func(*IdP, http.Handler) http.Handler // changes an answer
	amend func(url.Values)                      // changes what the browser takes back
}

// Break makes the endpoint at a path go wrong from now on, in addition to what is wrong with it already:
//
//	idp.Break(authtest.IdPToken, authtest.FaultStatus(http.StatusInternalServerError))
//
// The path is one of the provider's or of [IdP.Profile]: an alias of it goes wrong with it. Of several faults the first is the
// nearest to the endpoint.
func (p *IdP) Break(path string, faults ...IdPFault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	path = p.route(path)
	p.faults[path] = append(p.faults[path], faults...)
}

// BreakOnce is [IdP.Break] for the next answer. For [FaultCallback] and [FaultDenied] that is the next one that sends a browser
// back, and not the page before.
func (p *IdP) BreakOnce(path string, faults ...IdPFault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	path = p.route(path)
	p.faultsOnce[path] = append(p.faultsOnce[path], faults...)
}

// Lie makes the provider tell lies in all id tokens from now on, in addition to those that it tells already.
func (p *IdP) Lie(lies ...func(*IDToken)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lies = append(p.lies, lies...)
}

// LieOnce is [IdP.Lie] for the next id token, be it one that [IdP.IDToken] returns.
func (p *IdP) LieOnce(lies ...func(*IDToken)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.liesOnce = append(p.liesOnce, lies...)
}

// Mend ends all that [IdP.Break], [IdP.BreakOnce], [IdP.Lie] and [IdP.LieOnce] have begun.
func (p *IdP) Mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.faults)
	clear(p.faultsOnce)
	p.lies, p.liesOnce = nil, nil
}

// faultsOf needs the lock. It returns what is wrong with an answer, and forgets what was for one answer alone.
func (p *IdP) faultsOf(path string) []IdPFault {
	faults := slices.Concat(p.faults[path], p.faultsOnce[path])
	p.faultsOnce[path] = slices.DeleteFunc(p.faultsOnce[path], func(f IdPFault) bool { return f.wrap != nil })
	return faults
}

// amendCallback lets faults change what a browser takes back.
func (p *IdP) amendCallback(path string, values url.Values) {
	p.mu.Lock()
	faults := slices.Concat(p.faults[path], p.faultsOnce[path])
	p.faultsOnce[path] = nil
	p.mu.Unlock()
	for _, fault := range faults {
		if fault.amend != nil {
			fault.amend(values)
		}
	}
}

// FaultHandler puts a handler of the test's own in front of an endpoint.
func FaultHandler(wrap func(next http.Handler) http.Handler) IdPFault {
	return IdPFault{wrap: func(_ *IdP, next http.Handler) http.Handler { return wrap(next) }}
}

// FaultBody answers with this, and the endpoint does nothing.
func FaultBody(status int, contentType, body string) IdPFault {
	return instead(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

// FaultStatus answers with a status such as 500 and a JSON error, and the endpoint does nothing.
func FaultStatus(status int) IdPFault {
	return FaultBody(status, "application/json", `{"error":"server_error","error_description":"the provider is in trouble"}`)
}

// FaultTokenError answers with an error of RFC 6749 §5.2 and, against it, the status 200, as some providers do.
func FaultTokenError(code, description string) IdPFault {
	return instead(func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusOK, code, description) })
}

// FaultHTML answers with a page and the status 200, as a proxy in between does.
func FaultHTML() IdPFault {
	return FaultBody(http.StatusOK, "text/html; charset=utf-8", "<!DOCTYPE html>\n<title>Maintenance</title>\n<p>We are back soon.</p>\n")
}

// FaultDown breaks the connection off, without an answer.
func FaultDown() IdPFault {
	return instead(func(w http.ResponseWriter, _ *http.Request) { breakOff(w) })
}

func breakOff(w http.ResponseWriter) {
	connection, _, err := http.NewResponseController(w).Hijack()
	if err != nil { // not a connection that can be broken
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	_ = connection.Close()
}

// FaultHang answers not until a channel is closed, and then as if nothing had happened. Nil is never closed: the request lasts
// until whoever has sent it gives up, or the provider is closed.
func FaultHang(until <-chan struct{}) IdPFault {
	return FaultHandler(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-until:
				next.ServeHTTP(w, r)
			case <-r.Context().Done():
				breakOff(w)
			}
		})
	})
}

// FaultRedirect sends the client elsewhere, with the status 307, by which it is to send all that it has sent once more.
func FaultRedirect(to string) IdPFault {
	return instead(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
}

// hugeSize is how much [FaultHuge] adds.
const hugeSize = 2 << 20

// FaultHuge makes an answer longer by 2 MiB, at its beginning. It means the same: only its length can be wrong with it.
func FaultHuge() IdPFault {
	return amended(func(_ *IdP, a *recordedAnswer) {
		padding := strings.Repeat(" ", hugeSize)
		if strings.HasPrefix(a.header.Get("Content-Type"), "application/x-www-form-urlencoded") {
			padding = "padding=" + strings.Repeat("a", hugeSize) + "&"
		}
		a.body.Reset()
		a.body.WriteString(padding)
		a.body.Write(a.honest)
	})
}

// FaultGarbage cuts an answer in half.
func FaultGarbage() IdPFault {
	return amended(func(_ *IdP, a *recordedAnswer) { a.body.Truncate(a.body.Len() / 2) })
}

// FaultAnswer changes an answer that is a JSON object: that of the token endpoint, userinfo, discovery or a profile. Numbers are
// [json.Number]. Any other answer stays.
func FaultAnswer(amend func(answer map[string]any)) IdPFault {
	return amended(func(_ *IdP, a *recordedAnswer) {
		var object map[string]any
		d := json.NewDecoder(bytes.NewReader(a.honest))
		d.UseNumber()
		if d.Decode(&object) != nil || object == nil {
			return
		}
		amend(object)
		a.body.Reset()
		if err := json.NewEncoder(&a.body).Encode(object); err != nil {
			a.status = http.StatusInternalServerError
			fmt.Fprintf(&a.body, "%q", err)
		}
	})
}

// FaultForm changes an answer that is a form: those of OAuth 1.0a.
func FaultForm(amend func(answer url.Values)) IdPFault {
	return amended(func(_ *IdP, a *recordedAnswer) {
		values, err := url.ParseQuery(string(a.honest))
		if err != nil || !strings.HasPrefix(a.header.Get("Content-Type"), "application/x-www-form-urlencoded") {
			return
		}
		amend(values)
		a.body.Reset()
		a.body.WriteString(values.Encode())
	})
}

// FaultOtherSubject makes userinfo that of somebody else.
func FaultOtherSubject() IdPFault {
	return FaultAnswer(func(answer map[string]any) { answer["sub"] = otherSubject })
}

// FaultPrivateKeys makes the key set one with the private parts of the keys.
func FaultPrivateKeys() IdPFault {
	return amended(func(p *IdP, a *recordedAnswer) {
		if set, err := p.keySet(true); err == nil {
			a.body.Reset()
			_ = json.NewEncoder(&a.body).Encode(set) // strings only
		}
	})
}

// FaultDuplicateKeys makes the key set one with two keys of each name, of which the first is another one.
func FaultDuplicateKeys() IdPFault {
	return amended(func(p *IdP, a *recordedAnswer) {
		p.mu.Lock()
		keys := slices.Clone(p.keys)
		p.mu.Unlock()
		set, err := p.keySet(false)
		if err != nil {
			return
		}
		for i, key := range keys {
			other, err := otherKey(key.private)
			if err != nil {
				return
			}
			jwk, err := idpKey{key.kid, other}.jwk(false)
			if err != nil {
				return
			}
			set.Keys = slices.Insert(set.Keys, 2*i, jwk)
		}
		a.body.Reset()
		_ = json.NewEncoder(&a.body).Encode(set) // strings only
	})
}

// FaultCallback changes the parameters with which a browser is sent back, of [IdPAuthorization] or [IdPAuthorizationV1]. What
// they are good for stays as it was.
//
//	idp.BreakOnce(authtest.IdPAuthorization, authtest.FaultCallback(func(v url.Values) { v.Set("state", "another") }))
func FaultCallback(amend func(url.Values)) IdPFault { return IdPFault{amend: amend} }

// FaultDenied sends browsers back with an error of RFC 6749 §4.1.2.1, such as "access_denied", whatever the person does. An empty
// description is left out.
func FaultDenied(code, description string) IdPFault {
	return FaultCallback(func(values url.Values) {
		maps.DeleteFunc(values, func(name string, _ []string) bool { return name != "state" && name != "iss" })
		values.Set("error", code)
		if description != "" {
			values.Set("error_description", description)
		}
	})
}

// instead answers in place of an endpoint.
func instead(answer http.HandlerFunc) IdPFault {
	return FaultHandler(func(http.Handler) http.Handler { return answer })
}

// amended changes an answer that an endpoint gives.
func amended(amend func(*IdP, *recordedAnswer)) IdPFault {
	return IdPFault{wrap: func(p *IdP, next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			a := &recordedAnswer{header: make(http.Header), status: http.StatusOK}
			next.ServeHTTP(a, r)
			a.honest = bytes.Clone(a.body.Bytes())
			amend(p, a)
			maps.Copy(w.Header(), a.header)
			w.WriteHeader(a.status)
			_, _ = w.Write(a.body.Bytes())
		})
	}}
}

// recordedAnswer is an answer that is not sent yet.
type recordedAnswer struct {
	header http.Header
	status int
	body   bytes.Buffer
	honest []byte // the body as it came
}

func (a *recordedAnswer) Header() http.Header         { return a.header }
func (a *recordedAnswer) WriteHeader(status int)      { a.status = status }
func (a *recordedAnswer) Write(b []byte) (int, error) { return a.body.Write(b) }

// What lies speak of.
const (
	otherAudience = "another-client"
	otherIssuer   = "https://another-issuer.example"
	otherSubject  = "another-subject"
)

// LieWrongNonce gives an id token a nonce that is not the request's.
func LieWrongNonce(token *IDToken) { token.Claims["nonce"] = "another-nonce" }

// LieNoNonce leaves the nonce out.
func LieNoNonce(token *IDToken) { delete(token.Claims, "nonce") }

// LieWrongAudience makes an id token one for another client.
func LieWrongAudience(token *IDToken) { token.Claims["aud"] = otherAudience }

// LieExtraAudience makes an id token one for another client as well, without saying which of them has asked.
func LieExtraAudience(token *IDToken) {
	delete(token.Claims, "azp")
	token.Claims["aud"] = []any{token.Claims["aud"], otherAudience}
}

// LieWrongAZP says that another client has asked for an id token.
func LieWrongAZP(token *IDToken) { token.Claims["azp"] = otherAudience }

// LieExpired makes an id token one that has expired an hour ago.
func LieExpired(token *IDToken) { shift(token, -time.Hour-idTokenLife) }

// LieNotYetIssued makes an id token one that is issued in an hour.
func LieNotYetIssued(token *IDToken) { shift(token, time.Hour) }

// shift moves an id token in time.
func shift(token *IDToken, by time.Duration) {
	for _, name := range []string{"iat", "exp", "auth_time"} {
		if seconds, ok := token.Claims[name].(int64); ok {
			token.Claims[name] = seconds + int64(by.Seconds())
		}
	}
}

// LieAlgNone takes the signature away and says so (RFC 8725 §2.1).
func LieAlgNone(token *IDToken) {
	token.Header["alg"] = "none"
	token.Key = nil
}

// LieSignedWithPublicKey signs with HS256 and the public key, in PEM, for a secret (RFC 8725 §2.1).
func LieSignedWithPublicKey(token *IDToken) {
	key, ok := token.Key.(crypto.Signer)
	if !ok {
		return
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		token.Key = err // with which it cannot be signed
		return
	}
	token.Header["alg"] = "HS256"
	token.Key = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// LieUnknownKeyName names a key that is not in the key set. It is signed with the one that is.
func LieUnknownKeyName(token *IDToken) { token.Header["kid"] = "unknown" }

// LieWrongKey signs with a key that is not in the key set, by the name of one that is.
func LieWrongKey(token *IDToken) {
	key, ok := token.Key.(crypto.Signer)
	if !ok {
		return
	}
	other, err := otherKey(key)
	if err != nil {
		token.Key = err // with which it cannot be signed
		return
	}
	token.Key = other
}

// otherKey makes a key of the same kind.
func otherKey(key crypto.Signer) (crypto.Signer, error) {
	switch key.(type) {
	case *ecdsa.PrivateKey:
		return generateKey(ES256)
	case ed25519.PrivateKey:
		return generateKey(EdDSA)
	default:
		return generateKey(RS256)
	}
}

// LieOtherIssuer makes an id token one of another issuer.
func LieOtherIssuer(token *IDToken) { token.Claims["iss"] = otherIssuer }

// LieNoSubject leaves the subject out.
func LieNoSubject(token *IDToken) { delete(token.Claims, "sub") }

// LieNumericSubject makes the subject a number: that which it is the text of, or else 12345.
func LieNumericSubject(token *IDToken) {
	number := int64(12345)
	if subject, ok := token.Claims["sub"].(string); ok {
		if n, err := strconv.ParseInt(subject, 10, 64); err == nil {
			number = n
		}
	}
	token.Claims["sub"] = number
}

// LieOtherSubject makes an id token one of another account.
func LieOtherSubject(token *IDToken) { token.Claims["sub"] = otherSubject }

// LieEmailVerifiedIsText makes the claim email_verified the text "true".
func LieEmailVerifiedIsText(token *IDToken) { token.Claims["email_verified"] = "true" }

// LieWrongHash makes an id token one that came with another code and another access token.
func LieWrongHash(token *IDToken) {
	for _, name := range []string{"at_hash", "c_hash"} {
		if _, ok := token.Claims[name]; ok {
			token.Claims[name] = "AAAAAAAAAAAAAAAAAAAAAA"
		}
	}
}
