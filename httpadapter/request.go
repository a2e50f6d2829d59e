package httpadapter

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/internal/strictjson"
)

// decode reads the body of a request, which must have one, into dst. See package strictjson for what dst can be.
func (h *Handler) decode(w http.ResponseWriter, r *http.Request, dst any) error {
	body, err := h.body(w, r)
	if err != nil {
		return err
	}
	if len(body) == 0 {
		return errNoBody
	}
	return refused(h.limits.Decode(body, dst))
}

// decodeOptional is decode for a route that does without a body: dst is then left alone.
func (h *Handler) decodeOptional(w http.ResponseWriter, r *http.Request, dst any) error {
	body, err := h.body(w, r)
	if err != nil || len(body) == 0 {
		return err
	}
	return refused(h.limits.Decode(body, dst))
}

// refused turns the reason for which a body was refused into a failure that names it.
func refused(err error) error {
	var reason *strictjson.Error
	if errors.As(err, &reason) {
		return invalid(reason.Error())
	}
	return err
}

// body reads the body of a request, empty if there is none. Nothing but plain JSON is let through: a form or a text,
// which any page can post across origins without a preflight, is not (RFC 9110 §15.5.16).
//
// A content type without a body is looked at all the same: a page's form can be empty.
func (h *Handler) body(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	types := r.Header["Content-Type"]
	if len(types) > 1 || len(types) == 1 && !isJSON(types[0]) {
		return nil, errNotJSON
	}
	body, err := h.content(w, r)
	if err == nil && len(body) > 0 && len(types) == 0 {
		err = errNotJSON
	}
	return body, err
}

// form reads the body of a request that a page's form makes.
func (h *Handler) form(w http.ResponseWriter, r *http.Request) (string, error) {
	types := r.Header["Content-Type"]
	if len(types) != 1 || !isType(types[0], "application/x-www-form-urlencoded") {
		return "", errNotForm
	}
	body, err := h.content(w, r)
	return string(body), err
}

// content reads the body of a request, whatever its type.
func (h *Handler) content(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength == 0 || r.Body == nil {
		return nil, nil
	}
	if r.ContentLength > h.maxBody {
		return nil, errTooLarge
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, errTooLarge
	case err != nil:
		return nil, invalid("the body could not be read")
	case len(body) == 0:
		return nil, nil
	}
	if encodings := r.Header["Content-Encoding"]; len(encodings) > 0 {
		w.Header().Set("Accept-Encoding", "identity")
		return nil, errEncoded
	}
	return body, nil
}

// isJSON accepts application/json, in UTF-8 if it says so.
func isJSON(contentType string) bool { return isType(contentType, "application/json") }

// isType accepts a media type, in UTF-8 if it says so.
func isType(contentType, want string) bool {
	if contentType == want {
		return true
	}
	mediaType, params, err := mime.ParseMediaType(contentType)
	if err != nil || mediaType != want {
		return false
	}
	for name, value := range params {
		if name != "charset" || !strings.EqualFold(value, "utf-8") {
			return false
		}
	}
	return true
}

// pathID returns the id in the path of a request, in its one spelling. Anything else is not found, as any id is that is
// not one of the user's.
func pathID(r *http.Request) (uuid.UUID, error) {
	text := r.PathValue("id")
	id, err := uuid.Parse(text)
	if err != nil || id.String() != text {
		return uuid.Nil, auth.ErrNotFound
	}
	return id, nil
}

// bearer returns the token of the Authorization header (RFC 6750 §2.1), the empty string if there is no such header.
// Anything but one header with the scheme, one space and a token is an error.
func bearer(r *http.Request) (string, error) {
	values := r.Header["Authorization"]
	if len(values) == 0 {
		return "", nil
	}
	scheme, token, found := strings.Cut(values[0], " ")
	if len(values) > 1 || !found || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", auth.ErrUnauthenticated
	}
	return token, nil
}

// owner is [Handler.principal] and [pathID]: who makes a request about one of their things, and which that is.
func (h *Handler) owner(w http.ResponseWriter, r *http.Request) (*auth.Principal, uuid.UUID, error) {
	principal, err := h.principal(w, r)
	if err != nil {
		return nil, uuid.Nil, err
	}
	id, err := pathID(r)
	return principal, id, err
}

// principal says who makes a request: the user of its bearer token, or, in cookie mode and without an Authorization
// header, of its cookies. The error is [auth.ErrUnauthenticated] if that is nobody.
func (h *Handler) principal(w http.ResponseWriter, r *http.Request) (*auth.Principal, error) {
	token, err := bearer(r)
	switch {
	case err != nil:
		return nil, err
	case token != "":
		return h.engine.Authenticate(r.Context(), token)
	case h.cookies != nil:
		return h.cookiePrincipal(w, r)
	}
	return nil, auth.ErrUnauthenticated
}
