package fakeidp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Fault is a way in which an endpoint of a [Provider] goes wrong. The functions whose names begin with Fault return them.
type Fault struct {
	wrap  func(*Provider, http.Handler) http.Handler // changes an answer; the provider is nil for [Fault.Wrap]
	amend func(url.Values)                           // changes what the browser takes back
}

// Wrap puts the fault in front of a handler that is not a [Provider]'s, such as a test's own. Faults that are about keys or
// callbacks leave it as it is.
func (f Fault) Wrap(next http.Handler) http.Handler {
	if f.wrap == nil {
		return next
	}
	return f.wrap(nil, next)
}

// Break makes the endpoint at a path go wrong from now on, in addition to what is wrong with it already:
//
//	idp.Break(fakeidp.Token, fakeidp.FaultStatus(http.StatusInternalServerError))
//
// The path is one of the provider's or of [Provider.Profile]: an alias of it goes wrong with it. Of several faults the first is the
// nearest to the endpoint.
func (p *Provider) Break(path string, faults ...Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	path = p.route(path)
	p.faults[path] = append(p.faults[path], faults...)
}

// BreakOnce is [Provider.Break] for the next answer. For [FaultCallback] and [FaultDenied] that is the next one that sends a browser
// back, and not the page before.
func (p *Provider) BreakOnce(path string, faults ...Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	path = p.route(path)
	p.faultsOnce[path] = append(p.faultsOnce[path], faults...)
}

// Mend ends all that [Provider.Break], [Provider.BreakOnce], [Provider.Lie] and [Provider.LieOnce] have begun.
func (p *Provider) Mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.faults)
	clear(p.faultsOnce)
	p.lies, p.liesOnce = nil, nil
}

// faultsOf needs the lock. It returns what is wrong with an answer, and forgets what was for one answer alone.
func (p *Provider) faultsOf(path string) []Fault {
	faults := slices.Concat(p.faults[path], p.faultsOnce[path])
	p.faultsOnce[path] = slices.DeleteFunc(p.faultsOnce[path], func(f Fault) bool { return f.wrap != nil })
	return faults
}

// amendCallback lets faults change what a browser takes back.
func (p *Provider) amendCallback(path string, values url.Values) {
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
func FaultHandler(wrap func(next http.Handler) http.Handler) Fault {
	return Fault{wrap: func(_ *Provider, next http.Handler) http.Handler { return wrap(next) }}
}

// FaultBody answers with this, and the endpoint does nothing.
func FaultBody(status int, contentType, body string) Fault {
	return instead(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

// FaultStatus answers with a status such as 500 and a JSON error, and the endpoint does nothing.
func FaultStatus(status int) Fault {
	return FaultBody(status, "application/json", `{"error":"server_error","error_description":"the provider is in trouble"}`)
}

// FaultTokenError answers with an error of RFC 6749 §5.2 and, against it, the status 200, as some providers do.
func FaultTokenError(code, description string) Fault {
	return instead(func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusOK, code, description) })
}

// FaultHTML answers with a page and the status 200, as a proxy in between does.
func FaultHTML() Fault {
	return FaultBody(http.StatusOK, "text/html; charset=utf-8", "<!DOCTYPE html>\n<title>Maintenance</title>\n<p>We are back soon.</p>\n")
}

// FaultDown breaks the connection off, without an answer.
func FaultDown() Fault {
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

// FaultHang does not answer until a channel is closed, and then answers as if nothing had happened. With nil, the request lasts
// until its sender gives up or the provider is closed.
func FaultHang(until <-chan struct{}) Fault {
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
func FaultRedirect(to string) Fault {
	return instead(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
}

// hugeSize is how much [FaultHuge] adds.
const hugeSize = 2 << 20

// FaultHuge makes an answer longer by 2 MiB, at its beginning. It means the same: only its length can be wrong with it.
func FaultHuge() Fault {
	return amended(func(_ *Provider, a *recordedAnswer) {
		padding := strings.Repeat(" ", hugeSize)
		if strings.HasPrefix(a.header.Get("Content-Type"), "application/x-www-form-urlencoded") {
			padding = "padding=" + strings.Repeat("a", hugeSize) + "&"
		}
		a.body.Reset()
		a.body.WriteString(padding)
		a.body.Write(a.honest)
	})
}

// FaultEndless gives an answer that does not end until the client hangs up.
func FaultEndless() Fault {
	return instead(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		blanks := make([]byte, 64<<10)
		for i := range blanks {
			blanks[i] = ' '
		}
		for {
			if _, err := w.Write(blanks); err != nil {
				return
			}
		}
	})
}

// FaultGarbage cuts an answer in half.
func FaultGarbage() Fault {
	return amended(func(_ *Provider, a *recordedAnswer) { a.body.Truncate(a.body.Len() / 2) })
}

// FaultAnswer changes an answer that is a JSON object: that of the token endpoint, userinfo, discovery or a profile. Numbers are
// [json.Number]. Any other answer stays.
func FaultAnswer(amend func(answer map[string]any)) Fault {
	return amended(func(_ *Provider, a *recordedAnswer) {
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
func FaultForm(amend func(answer url.Values)) Fault {
	return amended(func(_ *Provider, a *recordedAnswer) {
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
func FaultOtherSubject() Fault {
	return FaultAnswer(func(answer map[string]any) { answer["sub"] = otherSubject })
}

// FaultPrivateKeys makes the key set one with the private parts of the keys.
func FaultPrivateKeys() Fault {
	return amended(func(p *Provider, a *recordedAnswer) {
		if p == nil {
			return
		}
		if set, err := p.keySet(true); err == nil {
			a.body.Reset()
			_ = json.NewEncoder(&a.body).Encode(set) // strings only
		}
	})
}

// FaultDuplicateKeys makes the key set one with two keys of each name, of which the first is another one.
func FaultDuplicateKeys() Fault {
	return amended(func(p *Provider, a *recordedAnswer) {
		if p == nil {
			return
		}
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
			jwk, err := keyPair{key.kid, other}.jwk(false)
			if err != nil {
				return
			}
			set.Keys = slices.Insert(set.Keys, 2*i, jwk)
		}
		a.body.Reset()
		_ = json.NewEncoder(&a.body).Encode(set) // strings only
	})
}

// FaultCallback changes the parameters with which a browser is sent back, of [Authorization] or [AuthorizationV1]. What
// they are good for stays as it was.
//
//	idp.BreakOnce(fakeidp.Authorization, fakeidp.FaultCallback(func(v url.Values) { v.Set("state", "another") }))
func FaultCallback(amend func(url.Values)) Fault { return Fault{amend: amend} }

// FaultDenied sends browsers back with an error of RFC 6749 §4.1.2.1, such as "access_denied", whatever the person does. An empty
// description is left out.
func FaultDenied(code, description string) Fault {
	return FaultCallback(func(values url.Values) {
		maps.DeleteFunc(values, func(name string, _ []string) bool { return name != "state" && name != "iss" })
		values.Set("error", code)
		if description != "" {
			values.Set("error_description", description)
		}
	})
}

// instead answers in place of an endpoint.
func instead(answer http.HandlerFunc) Fault {
	return FaultHandler(func(http.Handler) http.Handler { return answer })
}

// amended changes an answer that an endpoint gives.
func amended(amend func(*Provider, *recordedAnswer)) Fault {
	return Fault{wrap: func(p *Provider, next http.Handler) http.Handler {
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
