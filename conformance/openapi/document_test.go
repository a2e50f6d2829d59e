package openapi_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth/conformance/openapi"
)

const small = `
openapi: 3.0.3
info: {title: small, version: "1"}
paths:
  /things:
    post:
      requestBody:
        required: true
        content:
          application/json:
            schema:
              type: object
              additionalProperties: false
              required: [name]
              properties:
                name: {type: string, maxLength: 5}
      responses:
        "200":
          description: made
          headers:
            Cache-Control: {required: true, schema: {type: string, enum: [no-store]}}
          content:
            application/json:
              schema:
                type: object
                additionalProperties: false
                required: [id]
                properties:
                  id: {type: integer}
        "204": {description: made before}
        "303": {description: made elsewhere}
        "400": {$ref: "#/components/responses/Failure"}
components:
  schemas:
    ErrorResponse:
      type: object
      additionalProperties: false
      required: [status, error, message]
      properties:
        status: {type: integer}
        error: {type: string}
        message: {type: string}
  responses:
    Failure:
      description: failed
      content:
        application/json: {schema: {$ref: "#/components/schemas/ErrorResponse"}}
`

func TestCheck(t *testing.T) {
	t.Parallel()
	const (
		post    = http.MethodPost
		good    = `{"name":"n"}`
		failure = `{"status":%d,"error":"e","message":"m"}`
	)
	header := func(kv ...string) http.Header {
		h := http.Header{"Content-Type": {"application/json"}, "Cache-Control": {"no-store"}}
		for i := 0; i < len(kv); i += 2 {
			h.Del(kv[i])
			if kv[i+1] != "" {
				h.Set(kv[i], kv[i+1])
			}
		}
		return h
	}
	for _, c := range []struct {
		name                  string
		method, path, request string
		status                int
		header                http.Header
		answer                string
		fault                 string // part of the error; empty for none
	}{
		{"the documented answer is no fault", post, "/v1/things", good, 200, header(), `{"id":1}`, ""},
		{"a documented failure is no fault", post, "/v1/things", `{"name":"too long"}`, 400, header(), fmt.Sprintf(failure, 400), ""},
		{"a refused request that succeeds is one", post, "/v1/things", `{"name":"too long"}`, 200, header(), `{"id":1}`, "the document refuses"},
		{"a refused request that leads to an error is none", post, "/v1/things", `{"name":"too long"}`, 303, header("Location", "https://app.test?error=e"), "", ""},
		{"a refused request that leads on is one", post, "/v1/things", `{"name":"too long"}`, 303, header("Location", "https://app.test"), "", "the document refuses"},
		{"an unknown key that is accepted is one", post, "/v1/things", `{"name":"n","x":1}`, 200, header(), `{"id":1}`, "the document refuses"},
		{"a missing body that is accepted is one", post, "/v1/things", ``, 200, header(), `{"id":1}`, "the document refuses"},
		{"a status that is not documented is one", post, "/v1/things", good, 409, header(), fmt.Sprintf(failure, 409), "status is not supported"},
		{"a body of another type is one", post, "/v1/things", good, 200, header("Content-Type", "text/plain"), `{"id":1}`, "Content-Type"},
		{"a missing header is one", post, "/v1/things", good, 200, header("Cache-Control", ""), `{"id":1}`, "Cache-Control"},
		{"another value of a header is one", post, "/v1/things", good, 200, header("Cache-Control", "public"), `{"id":1}`, "Cache-Control"},
		{"a missing member is one", post, "/v1/things", good, 200, header(), `{}`, "id"},
		{"a member too many is one", post, "/v1/things", good, 200, header(), `{"id":1,"secret":2}`, "secret"},
		{"an empty body is one", post, "/v1/things", good, 200, header(), ``, "body"},
		{"a body where there is none is one", post, "/v1/things", good, 204, header(), `{"id":1}`, "has a body"},
		{"an unknown path that is refused is no fault", "GET", "/v1/other", "", 404, header(), fmt.Sprintf(failure, 404), ""},
		{"a path without the prefix is unknown", post, "/things", good, 200, header(), `{"id":1}`, "want 404"},
		{"an unknown path that succeeds is one", "GET", "/v1/other", "", 200, header(), `{}`, "want 404"},
		{"an unknown path in plain text is one", "GET", "/v1/other", "", 404, header("Content-Type", "text/plain"), `404`, "content type"},
		{"a failure of another shape is one", "GET", "/v1/other", "", 404, header(), `{"error":"e"}`, "not as documented"},
		{"a failure that says another status is one", "GET", "/v1/other", "", 404, header(), fmt.Sprintf(failure, 400), "says status"},
		{"another method with Allow is no fault", "GET", "/v1/things", "", 405, header("Allow", "POST"), fmt.Sprintf(failure, 405), ""},
		{"another method without Allow is one", "GET", "/v1/things", "", 405, header(), fmt.Sprintf(failure, 405), "Allow"},
		{"another method that is not found is one", "GET", "/v1/things", "", 404, header(), fmt.Sprintf(failure, 404), "want 405"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := load(t, small)
			r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.request))
			r.Header.Set("Content-Type", "application/json")
			err := d.Check(r, c.status, c.header, []byte(c.answer))
			switch {
			case c.fault == "" && err != nil:
				t.Errorf("the exchange is faulty: %v", err)
			case c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)):
				t.Errorf("the error is %v, want one about %q", err, c.fault)
			}
		})
	}
}

func TestTransportChecksAndPassesOn(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if string(body) == `{"name":"old"}` {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		_, _ = io.WriteString(w, "plain")
	}))
	defer server.Close()
	faults := &counter{TB: t}
	d := load(t, small)
	client := &http.Client{Transport: d.Transport(faults, server.Client().Transport)}
	post := func(body string) string {
		r, err := client.Post(server.URL+"/v1/things", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		answer, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(answer)
	}
	if got := post(`{"name":"old"}`); got != "" || faults.n != 0 {
		t.Errorf("the documented answer arrives as %q with %d faults", got, faults.n)
	}
	if got := post(`{"name":"new"}`); got != "plain" || faults.n != 1 {
		t.Errorf("another answer arrives as %q with %d faults", got, faults.n)
	}
	want := []openapi.Exchange{{"POST", "/things", 200}, {"POST", "/things", 303}, {"POST", "/things", 400}}
	if diff := cmp.Diff(want, d.Unseen()); diff != "" {
		t.Errorf("unseen (-want +got):\n%s", diff)
	}
}

// counter is a test that counts its errors.
type counter struct {
	testing.TB
	n int
}

func (c *counter) Errorf(string, ...any) { c.n++ }

func TestLoadRefusesWhatItCannotCheck(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"text that is no document":               "{",
		"a document that is not valid":           "openapi: 3.0.3\npaths: {}\n",
		"a document without the body of failure": strings.ReplaceAll(small, "ErrorResponse", "Something"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := openapi.Load([]byte(text), ""); err == nil {
				t.Error("the document was loaded")
			}
		})
	}
}

func load(t *testing.T, text string) *openapi.Document {
	t.Helper()
	d, err := openapi.Load([]byte(text), "/v1")
	if err != nil {
		t.Fatal(err)
	}
	return d
}
