package bench

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/crypto/argon2"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/httpadapter"
	"github.com/ostiary/auth/limit"
	"github.com/ostiary/auth/store/memstore"
)

const (
	issuer   = "https://bench.example"
	email    = "someone@bench.example"
	password = "a long and uncommon passphrase"
)

// realm is an engine over the memory store with one user, who is signed in.
type realm struct {
	engine  *auth.Engine
	handler http.Handler
	session *auth.Session
}

// algorithm is a way to sign access tokens, with the bare operations on the same key.
type algorithm struct {
	name    string
	key     auth.Key
	parser  *jwt.Parser
	keyFunc jwt.Keyfunc
	sign    func(input []byte)
	check   func(input, signature []byte) bool
}

func algorithms(tb testing.TB) []algorithm {
	tb.Helper()
	secret := make([]byte, 32)
	rand.Read(secret) //nolint:errcheck // never fails
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	mac := func(input []byte) []byte {
		h := hmac.New(sha256.New, secret)
		h.Write(input)
		return h.Sum(nil)
	}
	parser := func(name string) *jwt.Parser {
		return jwt.NewParser(jwt.WithValidMethods([]string{name}), jwt.WithIssuer(issuer), jwt.WithExpirationRequired(), jwt.WithIssuedAt())
	}
	takes := func(key any) jwt.Keyfunc { return func(*jwt.Token) (any, error) { return key, nil } }
	return []algorithm{
		{
			name: "HS256", key: auth.Key{Algorithm: "HS256", Secret: secret}, parser: parser("HS256"), keyFunc: takes(secret),
			sign:  func(input []byte) { mac(input) },
			check: func(input, signature []byte) bool { return hmac.Equal(mac(input), signature) },
		},
		{
			name: "EdDSA", key: auth.Key{Algorithm: "EdDSA", Private: private}, parser: parser("EdDSA"), keyFunc: takes(public),
			sign:  func(input []byte) { ed25519.Sign(private, input) },
			check: func(input, signature []byte) bool { return ed25519.Verify(public, input, signature) },
		},
		{
			name: "ES256", key: auth.Key{Algorithm: "ES256", Private: curve}, parser: parser("ES256"), keyFunc: takes(&curve.PublicKey),
			sign: func(input []byte) {
				digest := sha256.Sum256(input)
				if _, err := curve.Sign(rand.Reader, digest[:], nil); err != nil {
					tb.Fatal(err)
				}
			},
			check: func(input, signature []byte) bool {
				return jwt.SigningMethodES256.Verify(string(input), signature, &curve.PublicKey) == nil
			},
		},
	}
}

// plenty counts as always and refuses nothing: counting is a part of the cost.
var plenty = auth.LimitsConfig{
	RequestsPerClient: often, GuessesPerClient: often, SignUpsPerClient: often, ChallengesPerClient: often,
	PasswordsPerAccount: often, PasswordsPerAccountLong: often,
}

var often = limit.Rate{Burst: 1_000_000_000, Per: time.Hour}

func newRealm(tb testing.TB, key auth.Key) *realm {
	tb.Helper()
	secret := make([]byte, 32)
	rand.Read(secret) //nolint:errcheck // never fails
	engine, err := auth.New(memstore.New(), auth.Config{
		ServerURL:    "https://bench.example",
		ClientURL:    "https://bench.example",
		Secret:       secret,
		Password:     &auth.PasswordConfig{},
		WebAuthn:     &auth.WebAuthnConfig{},
		Email:        auth.EmailConfig{AllowUnverified: true},
		Limits:       plenty,
		AccessTokens: auth.AccessTokensConfig{Issuer: issuer, Keys: auth.Keys{Active: key}},
	})
	if err != nil {
		tb.Fatal(err)
	}
	in, err := engine.SignUpPassword(tb.Context(), auth.SignUpPasswordParams{Email: email, Password: password})
	if err != nil {
		tb.Fatal(err)
	}
	handler, err := httpadapter.New(engine, httpadapter.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	return &realm{engine: engine, handler: handler, session: in.Session}
}

// call sends a request to the adapter and returns the body of the answer, which must be the expected one.
func (r *realm) call(tb testing.TB, status int, method, path, bearer, body string) []byte {
	q := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		q.Header.Set("Content-Type", "application/json")
	}
	if bearer != "" {
		q.Header.Set("Authorization", "Bearer "+bearer)
	}
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(w, q)
	if w.Code != status {
		tb.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
	return w.Body.Bytes()
}

// claims are what a service needs of an access token, as it would declare them for golang-jwt.
type claims struct {
	jwt.RegisteredClaims
	SessionID string   `json:"sid"`
	AuthTime  int64    `json:"auth_time"`
	AMR       []string `json:"amr"`
	Hasura    struct {
		AllowedRoles []string `json:"x-hasura-allowed-roles"`
		DefaultRole  string   `json:"x-hasura-default-role"`
		UserID       string   `json:"x-hasura-user-id"`
		Anonymous    string   `json:"x-hasura-user-is-anonymous"`
	} `json:"https://hasura.io/jwt/claims"`
}

// BenchmarkVerifyToken compares the check of an access token with that of golang-jwt.
func BenchmarkVerifyToken(b *testing.B) {
	for _, a := range algorithms(b) {
		r := newRealm(b, a.key)
		token := r.session.AccessToken
		end := strings.LastIndexByte(token, '.')
		signature, err := base64.RawURLEncoding.DecodeString(token[end+1:])
		if err != nil {
			b.Fatal(err)
		}
		b.Run("alg="+a.name+"/of=engine", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.verifyToken(b)
			}
		})
		b.Run("alg="+a.name+"/of=adapter", func(b *testing.B) {
			b.ReportAllocs()
			body := `{"token":"` + token + `"}`
			for b.Loop() {
				r.call(b, http.StatusOK, http.MethodPost, "/token/verify", "", body)
			}
		})
		b.Run("alg="+a.name+"/of=jwt", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				a.parse(b, token)
			}
		})
		b.Run("alg="+a.name+"/of=signature", func(b *testing.B) {
			b.ReportAllocs()
			input := []byte(token[:end])
			for b.Loop() {
				if !a.check(input, signature) {
					b.Fatal("the signature is not good")
				}
			}
		})
	}
}

// BenchmarkAuthenticate is what a service's own request costs that carries an access token; its bare cost is that of
// BenchmarkVerifyToken.
func BenchmarkAuthenticate(b *testing.B) {
	for _, a := range algorithms(b) {
		r := newRealm(b, a.key)
		b.Run("alg="+a.name+"/of=engine", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.engine.Authenticate(b.Context(), r.session.AccessToken); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkUser reads the signed-in user: the bare cost is the check of the access token.
func BenchmarkUser(b *testing.B) {
	for _, a := range algorithms(b) {
		r := newRealm(b, a.key)
		b.Run("alg="+a.name+"/of=engine", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p, err := r.engine.Authenticate(b.Context(), r.session.AccessToken)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := r.engine.User(b.Context(), p); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("alg="+a.name+"/of=adapter", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.call(b, http.StatusOK, http.MethodGet, "/user", r.session.AccessToken, "")
			}
		})
	}
}

// BenchmarkRefresh rotates one session again and again; its bare cost is the signature of the access token.
func BenchmarkRefresh(b *testing.B) {
	for _, a := range algorithms(b) {
		b.Run("alg="+a.name+"/of=engine", func(b *testing.B) {
			b.ReportAllocs()
			r := newRealm(b, a.key)
			for b.Loop() {
				r.refresh(b)
			}
		})
		b.Run("alg="+a.name+"/of=adapter", func(b *testing.B) {
			b.ReportAllocs()
			r := newRealm(b, a.key)
			token := r.session.RefreshToken
			member := []byte(`"refreshToken":"`)
			for b.Loop() {
				body := r.call(b, http.StatusOK, http.MethodPost, "/token", "", `{"refreshToken":"`+token+`"}`)
				_, rest, ok := bytes.Cut(body, member)
				if !ok {
					b.Fatalf("no refresh token in %s", body)
				}
				token = string(rest[:len(token)])
			}
		})
		b.Run("alg="+a.name+"/of=signature", func(b *testing.B) {
			b.ReportAllocs()
			r := newRealm(b, a.key)
			input := []byte(r.session.AccessToken[:strings.LastIndexByte(r.session.AccessToken, '.')])
			for b.Loop() {
				a.sign(input)
			}
		})
	}
}

// BenchmarkSignInPassword compares a sign-in with the one hash in it.
func BenchmarkSignInPassword(b *testing.B) {
	r := newRealm(b, algorithms(b)[1].key)
	b.Run("of=engine", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r.signIn(b, email, password, nil)
		}
	})
	b.Run("of=adapter", func(b *testing.B) {
		b.ReportAllocs()
		body := `{"email":"` + email + `","password":"` + password + `"}`
		for b.Loop() {
			r.call(b, http.StatusOK, http.MethodPost, "/signin/email-password", "", body)
		}
	})
	b.Run("of=argon2", func(b *testing.B) {
		b.ReportAllocs()
		salt := make([]byte, 16)
		for b.Loop() {
			hash(salt)
		}
	})
}

// BenchmarkInTurns measures operations that are to be compared, taking turns between them, because the next second of a
// machine that does other things as well is no fair comparison. The median of each is reported.
func BenchmarkInTurns(b *testing.B) {
	for _, a := range algorithms(b) {
		b.Run("VerifyToken/alg="+a.name, func(b *testing.B) {
			r := newRealm(b, a.key)
			inTurns(b, []turn{
				{"engine-ns", func() { r.verifyToken(b) }},
				{"jwt-ns", func() { a.parse(b, r.session.AccessToken) }},
			})
		})
		b.Run("Refresh/alg="+a.name, func(b *testing.B) {
			r := newRealm(b, a.key)
			input := []byte(r.session.AccessToken[:strings.LastIndexByte(r.session.AccessToken, '.')])
			inTurns(b, []turn{
				{"engine-ns", func() { r.refresh(b) }},
				{"signature-ns", func() { a.sign(input) }},
			})
		})
	}
	// A sign-in against its hash, and a wrong password against an unknown address, which must not tell one from the
	// other by its time.
	b.Run("SignIn", func(b *testing.B) {
		r := newRealm(b, algorithms(b)[1].key)
		salt := make([]byte, 16)
		inTurns(b, []turn{
			{"argon2-ns", func() { hash(salt) }},
			{"right-ns", func() { r.signIn(b, email, password, nil) }},
			{"wrong-ns", func() { r.signIn(b, email, "not the right passphrase", auth.ErrInvalidEmailPassword) }},
			{"unknown-ns", func() {
				r.signIn(b, "nobody@bench.example", "not the right passphrase", auth.ErrInvalidEmailPassword)
			}},
		})
	})
}

// turn is an operation and the name of its time.
type turn struct {
	unit string
	do   func()
}

func inTurns(b *testing.B, turns []turn) {
	times := make([][]time.Duration, len(turns))
	for b.Loop() {
		for _, i := range mathrand.Perm(len(turns)) { // what comes before may leave traces, such as garbage
			start := time.Now()
			turns[i].do()
			times[i] = append(times[i], time.Since(start))
		}
	}
	for i, turn := range turns {
		slices.Sort(times[i])
		b.ReportMetric(float64(times[i][len(times[i])/2]), turn.unit)
	}
}

func (r *realm) verifyToken(tb testing.TB) {
	if err := r.engine.VerifyToken(tb.Context(), auth.VerifyTokenParams{Token: r.session.AccessToken}); err != nil {
		tb.Fatal(err)
	}
}

func (r *realm) refresh(tb testing.TB) {
	s, err := r.engine.Refresh(tb.Context(), auth.RefreshParams{RefreshToken: r.session.RefreshToken})
	if err != nil {
		tb.Fatal(err)
	}
	r.session = s
}

func (r *realm) signIn(tb testing.TB, email, password string, want error) {
	_, err := r.engine.SignInPassword(tb.Context(), auth.SignInPasswordParams{Email: email, Password: password})
	if !errors.Is(err, want) {
		tb.Fatalf("%v, want %v", err, want)
	}
}

// parse is how a careful service checks a token with golang-jwt: one algorithm, issuer, expiry.
func (a *algorithm) parse(tb testing.TB, token string) *claims {
	var c claims
	if _, err := a.parser.ParseWithClaims(token, &c, a.keyFunc); err != nil {
		tb.Fatal(err)
	}
	return &c
}

// hash is the one hash in a sign-in, with the defaults of auth.Argon2.
func hash(salt []byte) { argon2.IDKey([]byte(password), salt, 2, 19*1024, 1, 32) }

// TestBareCostsAreOfTheSameToken guards the comparison: what golang-jwt and the bare check accept is a token that the
// engine issued, and neither accepts it with a bit changed.
func TestBareCostsAreOfTheSameToken(t *testing.T) {
	t.Parallel()
	for _, a := range algorithms(t) {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			r := newRealm(t, a.key)
			token := r.session.AccessToken
			end := strings.LastIndexByte(token, '.')
			signature, err := base64.RawURLEncoding.DecodeString(token[end+1:])
			if err != nil {
				t.Fatal(err)
			}
			if !a.check([]byte(token[:end]), signature) {
				t.Error("the bare check refuses the engine's token")
			}
			c := a.parse(t, token)
			if got, want := c.Hasura.UserID, r.session.User.ID.String(); got != want {
				t.Errorf("golang-jwt reads the user id %q, want %q", got, want)
			}
			signature[0] ^= 1
			if a.check([]byte(token[:end]), signature) {
				t.Error("the bare check accepts another signature")
			}
			if got := r.call(t, http.StatusOK, http.MethodPost, "/token/verify", "", `{"token":"`+token+`"}`); string(got) != "\"OK\"\n" {
				t.Errorf("the adapter answers %s", got)
			}
		})
	}
}
