// Package openapi checks every exchange with a server against the OpenAPI document that describes it.
package openapi

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// Document is an OpenAPI document and what was seen of it. It is safe for concurrent use.
type Document struct {
	doc    *openapi3.T
	router routers.Router
	failed *openapi3.SchemaRef // the body of every failure

	mu   sync.Mutex
	seen map[Exchange]bool
}

// Exchange is a documented answer.
type Exchange struct {
	Method, Path string
	Status       int
}

// String is the exchange as it is written in the document: POST /token 200.
func (e Exchange) String() string { return fmt.Sprintf("%s %s %d", e.Method, e.Path, e.Status) }

// Load reads a document, which must be valid and describe the body of a failure as components.schemas.ErrorResponse. Its
// paths are expected below the prefix, whatever servers the document names.
func Load(text []byte, prefix string) (*Document, error) {
	doc, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		return nil, fmt.Errorf("validate: %w", err)
	}
	var failed *openapi3.SchemaRef
	if doc.Components != nil {
		failed = doc.Components.Schemas[errorSchema]
	}
	if failed == nil {
		return nil, errors.New("components.schemas." + errorSchema + " is missing")
	}
	doc.Servers = openapi3.Servers{{URL: cmp.Or(prefix, "/")}}
	for _, item := range doc.Paths.Map() {
		item.Servers = nil
	}
	knowPages()
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		return nil, fmt.Errorf("routes: %w", err)
	}
	return &Document{doc: doc, router: router, failed: failed, seen: map[Exchange]bool{}}, nil
}

// knowPages lets answers be pages, which kin-openapi does not know how to read.
var knowPages = sync.OnceFunc(func() { openapi3filter.RegisterBodyDecoder("text/html", openapi3filter.PlainBodyDecoder) })

const errorSchema = "ErrorResponse"

// Transport returns next with every exchange checked, as it is on the wire. Each fault is an error of the test.
func (d *Document) Transport(t testing.TB, next http.RoundTripper) http.RoundTripper {
	return transport(func(r *http.Request) (*http.Response, error) {
		sent, err := drain(r.Body)
		if err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.Body = sent.reader()
		response, err := next.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		got, err := drain(response.Body)
		if err != nil {
			return nil, err
		}
		response.Body = got.reader()
		r.Body = sent.reader()
		if err := d.Check(r, response.StatusCode, response.Header, got); err != nil {
			t.Errorf("%s %s %s\nis answered with %d %v %s\n%v", r.Method, r.URL, sent, response.StatusCode, response.Header, got, err)
		}
		return response, nil
	})
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// text is a body that can be read more than once.
type text []byte

func (b text) reader() io.ReadCloser { return io.NopCloser(bytes.NewReader(b)) }

func drain(body io.ReadCloser) (text, error) {
	if body == nil {
		return nil, nil
	}
	defer body.Close()
	return io.ReadAll(body)
}

// Check compares one exchange with the document. It returns an error
//   - if a request that the document refuses was not refused, nor led to where the query tells of an error;
//   - if the status, the media type, a header or the body of the answer is not the documented one;
//   - if the path or the method is not documented and the answer is not the documented failure.
func (d *Document) Check(r *http.Request, status int, header http.Header, body []byte) error {
	route, parameters, err := d.router.FindRoute(r)
	if errors.Is(err, routers.ErrMethodNotAllowed) && r.Method == http.MethodHead {
		// What has GET has HEAD (RFC 9110 §9.3.2); a document need not say so.
		get := r.Clone(r.Context())
		get.Method = http.MethodGet
		route, parameters, err = d.router.FindRoute(get)
	}
	switch {
	case errors.Is(err, routers.ErrPathNotFound):
		return d.checkUnknown(http.StatusNotFound, r.Method, status, header, body)
	case errors.Is(err, routers.ErrMethodNotAllowed):
		if header.Get("Allow") == "" && status == http.StatusMethodNotAllowed {
			return errors.New("the method is refused without the header Allow (RFC 9110 §15.5.6)")
		}
		return d.checkUnknown(http.StatusMethodNotAllowed, r.Method, status, header, body)
	case err != nil:
		return err
	}
	request := &openapi3filter.RequestValidationInput{
		Request: r, PathParams: parameters, Route: route,
		Options: &openapi3filter.Options{
			AuthenticationFunc:                credentials,
			RejectWhenRequestBodyNotSpecified: true,
			SkipSettingDefaults:               true,
		},
	}
	refused := openapi3filter.ValidateRequest(r.Context(), request)
	if refused != nil && status < http.StatusBadRequest && !redirectsWithError(header) {
		return fmt.Errorf("the document refuses the request, and it succeeded: %w", refused)
	}
	response := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: request, Status: status, Header: header,
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}
	response.SetBodyBytes(body)
	if err := openapi3filter.ValidateResponse(r.Context(), response); err != nil {
		return err
	}
	documented := route.Operation.Responses.Status(status)
	if documented == nil {
		return fmt.Errorf("status %d is not documented", status)
	}
	if len(body) > 0 && (len(documented.Value.Content) == 0 || r.Method == http.MethodHead) {
		return errors.New("the answer has a body, and the document has none")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen[Exchange{r.Method, route.Path, status}] = true
	return nil
}

// redirectsWithError reports whether an answer tells of a failure where it leads.
func redirectsWithError(header http.Header) bool {
	location, err := url.Parse(header.Get("Location"))
	return err == nil && location.Query().Has("error")
}

// credentials is satisfied by any bearer token and any cookie or header of the right name: whether they are good is for the
// server to say.
func credentials(_ context.Context, in *openapi3filter.AuthenticationInput) error {
	r := in.RequestValidationInput.Request
	switch s := in.SecurityScheme; {
	case s.Type == "http" && s.Scheme == "bearer":
		if scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " "); !strings.EqualFold(scheme, s.Scheme) || token == "" {
			return errors.New("no bearer token")
		}
		return nil
	case s.Type == "apiKey" && s.In == "cookie":
		_, err := r.Cookie(s.Name)
		return err
	case s.Type == "apiKey" && s.In == "header":
		if r.Header.Get(s.Name) == "" {
			return errors.New("no header " + s.Name)
		}
		return nil
	default:
		return fmt.Errorf("security scheme %s is of another kind", in.SecuritySchemeName)
	}
}

// checkUnknown checks the answer to a request for what is not there.
func (d *Document) checkUnknown(want int, method string, status int, header http.Header, body []byte) error {
	if status != want {
		return fmt.Errorf("what is not documented is answered with status %d, want %d", status, want)
	}
	if method == http.MethodHead {
		return nil
	}
	if got := header.Get("Content-Type"); got != "application/json" {
		return fmt.Errorf("the failure has the content type %q, want application/json", got)
	}
	var value map[string]any
	if err := json.Unmarshal(body, &value); err != nil {
		return fmt.Errorf("the failure is not a JSON object: %w", err)
	}
	var options []openapi3.SchemaValidationOption
	if d.doc.IsOpenAPI31OrLater() {
		options = append(options, openapi3.EnableJSONSchema2020())
	}
	if err := d.failed.Value.VisitJSON(value, options...); err != nil {
		return fmt.Errorf("the failure is not as documented: %w", err)
	}
	if value["status"] != float64(status) {
		return fmt.Errorf("the failure says status %v and has %d", value["status"], status)
	}
	return nil
}

// Unseen lists the documented answers that no exchange has had, in order.
func (d *Document) Unseen() []Exchange {
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []Exchange
	for path, item := range d.doc.Paths.Map() {
		for method, operation := range item.Operations() {
			for status := range operation.Responses.Map() {
				code, err := strconv.Atoi(status)
				if e := (Exchange{method, path, code}); err == nil && !d.seen[e] {
					list = append(list, e)
				}
			}
		}
	}
	slices.SortFunc(list, func(a, b Exchange) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method), cmp.Compare(a.Status, b.Status))
	})
	return list
}
