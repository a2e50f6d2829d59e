package oauth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"unicode"

	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/provider/internal/client"
)

// object is a JSON object. The names of its members are exact, which those of structs are not, and its numbers are text.
type object map[string]any

// parse returns nil, bool, string, json.Number, []any or map[string]any.
func parse(body []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, errors.New("the answer is not JSON")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("the answer is not one JSON value")
	}
	return v, nil
}

// text returns a member that is a string, or "".
func (o object) text(name string) string {
	s, _ := o[name].(string)
	return s
}

// flag reports whether a member is true, and not something like it.
func (o object) flag(name string) bool { return o[name] == true }

// object returns a member that is an object, or an empty one.
func (o object) object(name string) object {
	m, _ := o[name].(map[string]any)
	return m
}

// first returns the first element of a member that is an array of objects, or an empty object.
func (o object) first(name string) object {
	a, _ := o[name].([]any)
	if len(a) == 0 {
		return nil
	}
	m, _ := a[0].(map[string]any)
	return m
}

// words joins the members that are strings with blanks.
func (o object) words(names ...string) string {
	var words []string
	for _, name := range names {
		words = append(words, strings.Fields(o.text(name))...)
	}
	return strings.Join(words, " ")
}

// id returns an id that is documented as a string.
func (o object) id(name string) (string, error) {
	s, ok := o[name].(string)
	if !ok {
		return "", fmt.Errorf("%s is not a string", name)
	}
	return s, nil
}

// number returns an id that is documented as an integer, exactly, whatever its size. There is no 0: it is what a missing
// id becomes on the way.
func (o object) number(name string) (string, error) {
	n, _ := o[name].(json.Number)
	i, err := strconv.ParseUint(n.String(), 10, 64)
	if err != nil || i == 0 {
		return "", fmt.Errorf("%s is not a positive integer", name)
	}
	return strconv.FormatUint(i, 10), nil
}

// checked refuses a profile that is nobody's, and leaves out what is not what it should be.
func checked(p provider.Profile) (provider.Profile, error) {
	switch {
	case strings.TrimSpace(p.Subject) == "":
		return p, errors.New("the id is empty")
	case strings.ContainsRune(p.Subject, unicode.ReplacementChar): // what was not text has become this, and two ids one
		return p, errors.New("the id is not text")
	}
	if p.Email == "" {
		p.EmailVerified = false
	}
	p.Picture = client.Picture(p.Picture)
	return p, nil
}

// below returns the URL of what is below another.
func below(base, name string) (string, error) {
	u, err := url.Parse(base)
	if err != nil {
		return "", err
	}
	return u.JoinPath(name).String(), nil
}

// asking returns a URL with a parameter of its query set.
func asking(base, name, value string) (string, error) {
	u, err := url.Parse(base)
	if err != nil {
		return "", err
	}
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = q.Encode()
	return u.String(), nil
}
