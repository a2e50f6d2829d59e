package verify_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/verify"
)

func hooked(context.Context, *auth.User) (map[string]any, error) {
	return map[string]any{"tenant": "7"}, nil
}

// endpoint is a key set's server that a test holds in its hand.
type endpoint struct {
	inner    http.Handler
	requests atomic.Int64
	mu       sync.Mutex
	instead  http.HandlerFunc // answers, unless nil
}

func (p *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.requests.Add(1)
	p.mu.Lock()
	h := p.instead
	p.mu.Unlock()
	if h == nil {
		h = p.inner.ServeHTTP
	}
	h(w, r)
}

func (p *endpoint) answer(h http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.instead = h
}

// service is an engine with keys that rotate and a service that verifies its tokens.
type service struct {
	*authtest.Engine
	*endpoint
	v *verify.Verifier
}

func newService(t *testing.T, amend ...func(*verify.Options)) *service {
	t.Helper()
	e := authtest.New(t, func(c *auth.Config) { c.AccessTokens.Lifetime = 24 * time.Hour })
	p := &endpoint{inner: routes(t, e)}
	return &service{e, p, newVerifier(t, p, e.Clock.Now, amend...)}
}

// token is a new one.
func (s *service) token(t *testing.T) string {
	t.Helper()
	in, err := s.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{})
	if err != nil {
		t.Fatal(err)
	}
	return in.Session.AccessToken
}

// wants verifies a token. want is the error, or nil.
func (s *service) wants(t *testing.T, what, token string, want error) {
	t.Helper()
	if _, err := s.v.Verify(t.Context(), token); !errors.Is(err, want) || (err == nil) != (want == nil) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// asks waits until there have been so many requests since the last time.
func (s *service) asks(t *testing.T, what string, want int64) {
	t.Helper()
	if got := s.requests.Swap(0); got != want {
		t.Errorf("%s: %d requests, want %d", what, got, want)
	}
}

// swap gives the engine another key, and keeps the former one or not.
func (s *service) swap(t *testing.T, keys ...auth.Key) auth.Key {
	t.Helper()
	k := auth.Key{Algorithm: "EdDSA", Private: ed25519Key(t)}
	if err := s.SetKeys(auth.Keys{Active: k, Retired: keys}); err != nil {
		t.Fatal(err)
	}
	return k
}

// The key set is fetched once for all who need it, and kept for as long as it may be.
func TestTheKeySetIsKept(t *testing.T) {
	t.Parallel()
	s := newService(t)
	token := s.token(t)
	parallel(50, func() { s.wants(t, "first", token, nil) })
	s.asks(t, "at first", 1)
	s.Clock.Advance(5*time.Minute - time.Second)
	s.wants(t, "kept", token, nil)
	s.asks(t, "kept", 0)
	s.Clock.Advance(2 * time.Minute) // too old to be used while it is fetched
	parallel(50, func() { s.wants(t, "later", token, nil) })
	s.asks(t, "later", 1)
}

// How long that is, within bounds.
func TestHowLongTheKeySetIsKept(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		header http.Header
		want   time.Duration
	}{
		"as told":                  {http.Header{"Cache-Control": {"public, max-age=120"}}, 2 * time.Minute},
		"in capitals and quotes":   {http.Header{"Cache-Control": {`Public`, `Max-Age="120"`}}, 2 * time.Minute},
		"by nothing":               {http.Header{}, 5 * time.Minute},
		"by what is no number":     {http.Header{"Cache-Control": {"max-age=-1"}}, 5 * time.Minute},
		"too short":                {http.Header{"Cache-Control": {"max-age=0"}}, time.Minute},
		"not at all":               {http.Header{"Cache-Control": {"no-store"}}, time.Minute},
		"too long":                 {http.Header{"Cache-Control": {"max-age=31536000, immutable"}}, time.Hour},
		"what a cache has left":    {http.Header{"Cache-Control": {"max-age=600"}, "Age": {"300"}}, 5 * time.Minute},
		"what a cache should have": {http.Header{"Cache-Control": {"max-age=600"}, "Age": {"6000"}}, time.Minute},
	} {
		s := newService(t, func(o *verify.Options) { o.MaxStale = -1 })
		set, err := s.KeySet(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s.answer(func(w http.ResponseWriter, _ *http.Request) {
			for n, v := range c.header {
				w.Header()[n] = v
			}
			_, _ = w.Write(set)
		})
		token := s.token(t)
		s.wants(t, name, token, nil)
		s.Clock.Advance(c.want - time.Second)
		s.wants(t, name, token, nil)
		s.asks(t, name+": within", 1)
		s.Clock.Advance(time.Second)
		s.wants(t, name, token, nil)
		s.asks(t, name+": after", 1)
	}
}

// JW-04, JW-20: a new key is found at once, and unknown ones cost a request in ten seconds, however many tokens name them.
func TestUnknownKeysCostOneRequest(t *testing.T) {
	t.Parallel()
	s := newService(t)
	token := s.token(t)
	s.wants(t, "first", token, nil)
	s.Clock.Advance(10 * time.Second)
	k := s.swap(t)
	second := s.token(t)
	s.asks(t, "first", 1)
	parallel(50, func() { s.wants(t, "a new key", second, nil) })
	s.asks(t, "a new key", 1)
	s.wants(t, "a key that has gone", token, verify.ErrInvalidToken)

	s.swap(t, k)
	foreign := s.token(t)
	s.swap(t, k)
	s.wants(t, "a key that is too new", s.token(t), verify.ErrInvalidToken)
	parallel(50, func() { s.wants(t, "an unknown key", foreign, verify.ErrInvalidToken) })
	s.asks(t, "too early", 0)
	s.Clock.Advance(10 * time.Second)
	parallel(50, func() { s.wants(t, "an unknown key", foreign, verify.ErrInvalidToken) })
	s.asks(t, "after ten seconds", 1)
	s.wants(t, "the known one", second, nil)
}

// A key that was taken out of the set is accepted for as long as the set is kept, and no longer.
func TestAWithdrawnKeyIsRefusedInTime(t *testing.T) {
	t.Parallel()
	s := newService(t)
	token := s.token(t)
	s.wants(t, "first", token, nil)
	s.swap(t)
	s.Clock.Advance(5*time.Minute - time.Second)
	s.wants(t, "while the set is kept", token, nil)
	s.Clock.Advance(time.Hour) // nobody has asked meanwhile
	s.wants(t, "after that", token, verify.ErrInvalidToken)
}

// Whoever comes a little late does not wait: the next set is fetched meanwhile.
func TestTheKeySetIsFetchedInTheBackground(t *testing.T) {
	t.Parallel()
	s := newService(t)
	token := s.token(t)
	s.wants(t, "first", token, nil)
	s.asks(t, "first", 1)
	answering, fetched := make(chan struct{}), make(chan struct{})
	s.answer(func(w http.ResponseWriter, r *http.Request) {
		<-answering
		s.inner.ServeHTTP(w, r)
		close(fetched)
	})
	s.swap(t)
	s.Clock.Advance(5 * time.Minute)
	parallel(50, func() { s.wants(t, "while it is fetched", token, nil) })
	close(answering)
	<-fetched
	s.asks(t, "in the background", 1)
	for { // the answer is on its way
		if _, err := s.v.Verify(t.Context(), token); err != nil {
			break
		}
	}
	s.asks(t, "after that", 0)
}

// While the server is down the keys stay, without anybody waiting, for the time that is documented.
func TestKeysWhileTheServerIsDown(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		maxStale time.Duration
		kept     time.Duration
	}{"by default": {0, time.Hour}, "for longer": {5 * time.Hour, 5 * time.Hour}, "not at all": {-1, 0}, "not at all, said in hours": {-5 * time.Hour, 0}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, func(o *verify.Options) { o.MaxStale = c.maxStale })
			token := s.token(t)
			s.wants(t, "first", token, nil)
			s.asks(t, "first", 1)
			s.answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
			begun, fresh := s.Clock.Now(), token
			s.Clock.Set(begun.Add(5*time.Minute - time.Second))
			s.wants(t, "while the set is kept", token, nil)
			if c.kept > 0 {
				s.Clock.Set(begun.Add(5*time.Minute + c.kept - 20*time.Second))
				s.wants(t, "to the end", token, nil)
				s.wants(t, "to the end, once more", token, nil)
				s.asks(t, "to the end", 1)
				s.swap(t)
				fresh = s.token(t)
				s.wants(t, "a key that may be new", fresh, verify.ErrNoKeys)
			}
			s.Clock.Set(begun.Add(5*time.Minute + c.kept))
			s.requests.Store(0)
			parallel(50, func() { s.wants(t, "after that", token, verify.ErrNoKeys) })
			s.asks(t, "after that", 1)
			s.answer(nil)
			s.Clock.Advance(10 * time.Second)
			s.wants(t, "in the end", fresh, nil)
		})
	}
}

// Answers that are no key set change nothing, and a first one leaves no keys: which is not the token's fault.
func TestAnswersThatAreNoKeySet(t *testing.T) {
	t.Parallel()
	elsewhere := authtest.New(t)
	other := routes(t, elsewhere)
	for name, h := range map[string]http.HandlerFunc{
		"an error":    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"a page":      func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
		"nothing":     func(http.ResponseWriter, *http.Request) {},
		"too much":    func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(bytes.Repeat([]byte(" "), 2<<20)) },
		"a panic":     func(http.ResponseWriter, *http.Request) { panic("the transport") },
		"not changed": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) },
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v1/elsewhere" {
				r.URL.Path = "/v1/.well-known/jwks.json"
				other.ServeHTTP(w, r)
				return
			}
			http.Redirect(w, r, "/v1/elsewhere", http.StatusFound)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newService(t)
			token := s.token(t)
			s.answer(h)
			s.wants(t, "at first", token, verify.ErrNoKeys)
			s.wants(t, "at once again", token, verify.ErrNoKeys)
			s.asks(t, "at first", 1)
			s.answer(nil)
			s.Clock.Advance(10 * time.Second)
			s.wants(t, "once it is right", token, nil)
			s.answer(h)
			s.Clock.Advance(10 * time.Minute)
			s.wants(t, "and wrong again", token, nil)
		})
	}
}

// A server that does not answer holds nobody up for longer than they wait, and the next one finds what came in the end.
func TestAServerThatIsSlow(t *testing.T) {
	t.Parallel()
	s := newService(t)
	token := s.token(t)
	answering, asked := make(chan struct{}), make(chan struct{})
	s.answer(func(w http.ResponseWriter, r *http.Request) {
		if deadline, bounded := r.Context().Deadline(); !bounded || time.Until(deadline) > 5*time.Second {
			t.Errorf("the request may last until %v", deadline)
		}
		close(asked)
		<-answering
		if err := r.Context().Err(); err != nil {
			t.Errorf("the request ends with whoever began it: %v", err)
		}
		s.inner.ServeHTTP(w, r)
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	if _, err := s.v.Verify(ctx, token); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	var waiting sync.WaitGroup
	for range 50 {
		waiting.Go(func() { s.wants(t, "who waits", token, nil) })
	}
	close(answering)
	waiting.Wait()
	s.asks(t, "all", 1)
}

// Nobody waits for a server that hangs after it has failed: the keys stay.
func TestAServerThatFailsAndThenHangs(t *testing.T) {
	t.Parallel()
	s := newService(t)
	token := s.token(t)
	s.wants(t, "first", token, nil)
	s.answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	s.Clock.Advance(10 * time.Minute)
	s.wants(t, "while it fails", token, nil)
	answering, asked := make(chan struct{}), make(chan struct{})
	s.answer(func(http.ResponseWriter, *http.Request) {
		close(asked)
		<-answering
	})
	s.Clock.Advance(time.Minute)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }() // who has waited until then gets an error
	for range 2 {
		if _, err := s.v.Verify(ctx, token); err != nil {
			t.Errorf("while it hangs: %v", err)
		}
	}
	<-asked
	close(answering)
}

// Tokens that name no key, or an algorithm without public keys, cost no request.
func TestWhatNoKeyHasSignedCostsNoRequest(t *testing.T) {
	t.Parallel()
	s := newService(t)
	parts := strings.Split(s.token(t), ".")
	for _, header := range []string{
		`{"alg":"EdDSA","typ":"JWT"}`, `{"alg":"EdDSA","typ":"JWT","kid":""}`, `{"alg":"HS256","typ":"JWT","kid":"k"}`,
		`{"alg":"none","typ":"JWT","kid":"k"}`, `{"alg":"PS256","typ":"JWT","kid":"k"}`, `{"typ":"JWT","kid":"k"}`,
	} {
		token := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + parts[1] + "." + parts[2]
		s.wants(t, header, token, verify.ErrInvalidToken)
		s.asks(t, header, 0)
	}
}

// A clock that is set back makes a kept set no younger.
func TestAClockThatIsSetBack(t *testing.T) {
	t.Parallel()
	s := newService(t)
	token := s.token(t)
	s.Clock.Advance(time.Hour)
	s.wants(t, "first", token, nil)
	s.Clock.Advance(-50 * time.Minute)
	s.wants(t, "set back", token, nil)
	s.asks(t, "both", 2)
}

func BenchmarkVerify(b *testing.B) {
	e := authtest.New(b)
	v := newVerifier(b, routes(b, e), e.Clock.Now)
	token := e.SignUp(b, "ada@example.com").AccessToken
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(b.Context(), token); err != nil {
			b.Fatal(err)
		}
	}
}

// Whatever a server gives for a key set, a token is good only if its key is there.
func FuzzKeySet(f *testing.F) {
	e := authtest.New(f)
	token := e.SignUp(f, "ada@example.com").AccessToken
	w := httptest.NewRecorder()
	routes(f, e).ServeHTTP(w, httptest.NewRequest("GET", keySetURL, nil))
	set := w.Body.String()
	match := regexp.MustCompile(`"x":"([^"]+)"`).FindStringSubmatch(set)
	if match == nil {
		f.Fatal(set)
	}
	f.Add(set, "max-age=300", "")
	f.Add(strings.Replace(set, match[1], "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 1), "no-store", "7")
	f.Add(`{"keys":[`+strings.Repeat("[", 100), `max-age="9999999999999999"`, "-1")
	f.Add(`{"keys":[{"kty":"oct","k":"AAAA"}]}`, "public, max-age=1", "99999999999999999999")
	f.Add(strings.Replace(set, "EdDSA", "none", 1), "", "")
	f.Fuzz(func(t *testing.T, set, cacheControl, age string) {
		v := newVerifier(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Cache-Control"], w.Header()["Age"] = []string{cacheControl}, []string{age}
			_, _ = w.Write([]byte(set))
		}), e.Clock.Now)
		if _, err := v.Verify(t.Context(), token); err == nil && !strings.Contains(set, match[1]) {
			t.Fatalf("the token is good by %q", set)
		}
	})
}
