package httpadapter_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/httpadapter"
)

// fixture is a handler over an engine of the test's own.
type fixture struct {
	*httpadapter.Handler
	engine *authtest.Engine
	totp   string // the secret of the one second factor that there is, or empty
}

// open lets users in without a letter, so that a sign-up is a sign-in.
func open(c *auth.Config) { c.Email.AllowUnverified = true }

func newFixture(t testing.TB, o httpadapter.Options, amend ...func(*auth.Config)) *fixture {
	t.Helper()
	engine := authtest.New(t, amend...)
	return &fixture{Handler: newHandler(t, engine.Engine, o), engine: engine}
}

func newHandler(t testing.TB, engine *auth.Engine, o httpadapter.Options) *httpadapter.Handler {
	t.Helper()
	h, err := httpadapter.New(engine, o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// do serves a request with a JSON body, if body is not empty. headers are names and values in turn.
func do(t testing.TB, h http.Handler, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, target, reader)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func bearer(s *auth.Session) []string { return []string{"Authorization", "Bearer " + s.AccessToken} }

// wantFailure checks that an answer is a failure in the documented form, with all that it has to say.
func wantFailure(t testing.TB, status int, header http.Header, body string, wantStatus int, wantCode auth.Code) {
	t.Helper()
	if status != wantStatus {
		t.Errorf("status %d, want %d; body %s", status, wantStatus, body)
	}
	var got struct {
		Status  *int       `json:"status"`
		Error   *auth.Code `json:"error"`
		Message *string    `json:"message"`
	}
	d := json.NewDecoder(strings.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&got); err != nil || got.Status == nil || got.Error == nil || got.Message == nil {
		t.Fatalf("body %q is not the error body: %v", body, err)
	}
	if *got.Status != status || *got.Error != wantCode || *got.Message == "" {
		t.Errorf("body %s, want status %d and error %s", body, status, wantCode)
	}
	if !strings.HasSuffix(body, "}\n") {
		t.Errorf("body %q has no line end", body)
	}
	wantHeaders(t, header,
		"Content-Type", "application/json",
		"Cache-Control", "no-store",
		"X-Content-Type-Options", "nosniff",
		"Referrer-Policy", "no-referrer",
	)
	if c := header.Get("WWW-Authenticate"); (status == http.StatusUnauthorized) != strings.HasPrefix(c, "Bearer") && status != http.StatusForbidden {
		t.Errorf("status %d with WWW-Authenticate %q", status, c)
	}
	if a := header.Get("Allow"); (status == http.StatusMethodNotAllowed) != (a != "") {
		t.Errorf("status %d with Allow %q", status, a)
	}
	if a := header.Get("Retry-After"); (status == http.StatusTooManyRequests) != (a != "") {
		t.Errorf("status %d with Retry-After %q", status, a)
	}
}

func wantRefused(t testing.TB, w *httptest.ResponseRecorder, wantStatus int, wantCode auth.Code) {
	t.Helper()
	wantFailure(t, w.Code, w.Header(), w.Body.String(), wantStatus, wantCode)
}

func wantHeaders(t testing.TB, header http.Header, want ...string) {
	t.Helper()
	for i := 0; i < len(want); i += 2 {
		if got := strings.Join(header.Values(want[i]), " | "); got != want[i+1] {
			t.Errorf("%s: %q, want %q", want[i], got, want[i+1])
		}
	}
}

// want200 checks that a request succeeded and decodes its body.
func want200[T any](t testing.TB, w *httptest.ResponseRecorder) (v T) {
	t.Helper()
	if w.Code != http.StatusOK {
		t.Fatalf("status %d, want 200; body %s", w.Code, w.Body)
	}
	wantHeaders(t, w.Header(), "Content-Type", "application/json", "Cache-Control", "no-store", "X-Content-Type-Options", "nosniff")
	d := json.NewDecoder(strings.NewReader(w.Body.String()))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("body %s: %v", w.Body, err)
	}
	return v
}

// text is a JSON text for a string.
func text(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func credentials(email string) string {
	return `{"email":` + text(email) + `,"password":` + text(authtest.Password) + `}`
}
