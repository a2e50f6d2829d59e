package auth_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/store/memstore"
)

// service is a key in a key management service, as somebody's package may offer it.
type service struct {
	crypto.Signer
	mu   sync.Mutex
	sign func() ([]byte, error) // in place of signing, unless nil
}

func (s *service) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	s.mu.Lock()
	sign := s.sign
	s.mu.Unlock()
	if sign != nil {
		return sign()
	}
	return s.Signer.Sign(r, digest, o)
}

func (s *service) becomes(sign func() ([]byte, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sign = sign
}

// withContext is one that can be told how long to wait.
type withContext struct {
	*service
	wait func(context.Context) error
}

func (s withContext) SignContext(ctx context.Context, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	if err := s.wait(ctx); err != nil {
		return nil, err
	}
	return s.Signer.Sign(rand.Reader, digest, o)
}

func keyed(algorithm string, signer crypto.Signer) func(*auth.Config) {
	return func(c *auth.Config) { c.AccessTokens.Keys.Active = auth.Key{Algorithm: algorithm, Private: signer} }
}

// RT-24, ST-08: whatever a signer elsewhere does, no token leaves that its key does not verify, and nobody loses a refresh
// token or a ticket over it.
func TestSignersThatMisbehave(t *testing.T) {
	t.Parallel()
	k := testKeys()
	otherEC, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, otherEd, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	digest := make([]byte, 32)
	pair := func(r, s *big.Int) []byte {
		der, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	denied, one, long := errors.New("access denied to key 42"), big.NewInt(1), new(big.Int).Lsh(big.NewInt(1), 256)
	huge := new(big.Int).Lsh(one, 400)
	for name, sign := range map[string]func() ([]byte, error){
		"fails":                    func() ([]byte, error) { return nil, denied },
		"returns nothing":          func() ([]byte, error) { return nil, nil },
		"returns garbage":          func() ([]byte, error) { return []byte("garbage"), nil },
		"returns zeros":            func() ([]byte, error) { return make([]byte, 64), nil },
		"returns a pair of zeros":  func() ([]byte, error) { return pair(new(big.Int), new(big.Int)), nil },
		"returns large numbers":    func() ([]byte, error) { return pair(huge, huge), nil },
		"returns negative numbers": func() ([]byte, error) { return pair(big.NewInt(-1), big.NewInt(-1)), nil },
		"returns a long r":         func() ([]byte, error) { return pair(long, one), nil },
		"returns a long s":         func() ([]byte, error) { return pair(one, long), nil },
		"returns a negative r":     func() ([]byte, error) { return pair(big.NewInt(-1), one), nil },
		"returns a negative s":     func() ([]byte, error) { return pair(one, big.NewInt(-1)), nil },
		"returns a megabyte":       func() ([]byte, error) { return make([]byte, 1<<20), nil },
		"panics":                   func() ([]byte, error) { panic("canary") },
		"has another key":          func() ([]byte, error) { return otherEC.Sign(rand.Reader, digest, crypto.SHA256) },
		"has another Ed25519 key":  func() ([]byte, error) { return otherEd.Sign(rand.Reader, digest, crypto.Hash(0)) },
	} {
		for algorithm, signer := range map[string]crypto.Signer{"RS256": k.rsa, "ES256": k.ec, "EdDSA": k.ed} {
			t.Run(name+" with "+algorithm, func(t *testing.T) {
				t.Parallel()
				kms := &service{Signer: signer}
				e := authtest.New(t, keyed(algorithm, kms))
				s := e.SignUp(t, "ada@example.com")
				kms.becomes(sign)
				_, err := refresh(t, e, s.RefreshToken)
				wantErr(t, err, auth.ErrInternal)
				if name == "fails" {
					wantErr(t, err, denied)
				}
				_, err = e.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{})
				wantErr(t, err, auth.ErrInternal)
				if n := userCount(t, e.Store); n != 1 {
					t.Errorf("%d users", n)
				}
				e.Principal(t, s)
				kms.becomes(nil)
				e.Clock.Advance(time.Hour) // longer than a token that was rotated stays good
				e.Principal(t, mustRefresh(t, e, s.RefreshToken))
			})
		}
	}
}

// What is no ECDSA signature is called that.
func TestWhatIsNoECDSASignature(t *testing.T) {
	t.Parallel()
	kms := &service{Signer: testKeys().ec}
	e := authtest.New(t, keyed("ES256", kms))
	for name, r := range map[string][]byte{
		"nothing":            {},
		"no sequence":        {2, 1, 1},
		"one number":         {0x30, 3, 2, 1, 1},
		"a negative r":       {0x30, 6, 2, 1, 0xff, 2, 1, 1},
		"a long r":           append(append([]byte{0x30, 38, 2, 33, 1}, make([]byte, 32)...), 2, 1, 1),
		"a long s":           append([]byte{0x30, 38, 2, 1, 1, 2, 33, 1}, make([]byte, 32)...),
		"a negative s":       {0x30, 6, 2, 1, 1, 2, 1, 0xff},
		"texts, not numbers": {0x30, 6, 4, 1, 1, 4, 1, 1},
	} {
		kms.becomes(func() ([]byte, error) { return r, nil })
		_, err := e.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{})
		if !errors.Is(err, auth.ErrInternal) || !strings.Contains(err.Error(), "no ECDSA signature") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// ST-18: a signer that hangs is given five seconds, and only so many calls of it are under way.
func TestASignerThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kms := &service{Signer: testKeys().ed}
		e := authtest.New(t, keyed("EdDSA", kms))
		s := e.SignUp(t, "ada@example.com")
		var calls atomic.Int64
		hang := make(chan struct{})
		kms.becomes(func() ([]byte, error) { calls.Add(1); <-hang; return nil, errors.New("too late") })
		begun := time.Now()
		var callers sync.WaitGroup
		for range 300 {
			callers.Go(func() {
				_, err := refresh(t, e, s.RefreshToken)
				wantErr(t, err, auth.ErrInternal)
				wantErr(t, err, context.DeadlineExceeded)
			})
		}
		callers.Wait()
		if took := time.Since(begun); took != 5*time.Second {
			t.Errorf("callers waited %v", took)
		}
		if n := calls.Load(); n != 256 {
			t.Errorf("%d calls are under way", n)
		}
		close(hang)
		synctest.Wait()
		kms.becomes(nil)
		mustRefresh(t, e, s.RefreshToken)
	})
}

// A signer that can be told is told how long there is, and when nobody waits any longer.
func TestAContextSigner(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		waits := make(chan time.Duration, 1)
		slow := atomic.Bool{}
		kms := withContext{&service{Signer: testKeys().ec}, func(ctx context.Context) error {
			if end, ok := ctx.Deadline(); !ok || time.Until(end) > 5*time.Second {
				t.Error("the signer is not told how long there is")
			}
			if !slow.Load() {
				return nil
			}
			begun := time.Now()
			<-ctx.Done()
			waits <- time.Since(begun)
			return ctx.Err()
		}}
		kms.becomes(func() ([]byte, error) { return nil, errors.New("not to be called") })
		e := authtest.New(t, keyed("ES256", kms))
		s := e.SignUp(t, "ada@example.com")
		slow.Store(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := e.Refresh(ctx, auth.RefreshParams{RefreshToken: s.RefreshToken}); err == nil {
			t.Error("a session without a signature")
		}
		if w := <-waits; w != time.Second {
			t.Errorf("it waited %v", w)
		}
		slow.Store(false)
		e.Clock.Advance(time.Hour)
		mustRefresh(t, e, s.RefreshToken)
	})
}

// remoteKey stands for the client of a key management service: its answers come over a network.
type remoteKey struct{ private *ecdsa.PrivateKey }

func (k remoteKey) Public() crypto.PublicKey { return k.private.Public() }

// Sign is for callers that have no context.
func (k remoteKey) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.SignContext(context.Background(), digest, opts)
}

// SignContext would send the digest to the service with this context, and return the ASN.1 signature that comes back.
func (k remoteKey) SignContext(_ context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.private.Sign(rand.Reader, digest, opts)
}

// Access tokens can be signed by a key that nobody has in their hands. Such keys do not rotate by themselves: put the next one
// among Next, and later in place of Active, with [auth.Engine.SetKeys].
func ExampleContextSigner() {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		fmt.Println(err)
		return
	}
	var signer auth.ContextSigner = remoteKey{private}
	engine, err := auth.New(memstore.New(), auth.Config{
		ServerURL: "https://api.example.com/v1", ClientURL: "https://example.com", Secret: make([]byte, 32),
		Email: auth.EmailConfig{AllowUnverified: true}, Anonymous: &auth.AnonymousConfig{},
		AccessTokens: auth.AccessTokensConfig{Keys: auth.Keys{Active: auth.Key{Algorithm: "ES256", Private: signer}}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	in, err := engine.SignInAnonymous(context.Background(), auth.SignInAnonymousParams{})
	if err != nil {
		fmt.Println(err)
		return
	}
	guest, err := engine.Authenticate(context.Background(), in.Session.AccessToken)
	fmt.Println(guest.Anonymous, err)
	// Output: true <nil>
}
