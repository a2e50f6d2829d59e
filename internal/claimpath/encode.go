package claimpath

import (
	"bytes"
	"encoding/json"
)

// null is the encoding of JSON null, and so of a value that is not there.
const null = "null"

// encode returns the text of v as a claim. It reports false if v, or something in it, has no JSON form.
func encode(v any) (string, bool) {
	v, ok := asDecoded(v)
	if !ok {
		return "", false
	}
	switch v := v.(type) {
	case string:
		return v, true
	case []any:
		if len(v) == 0 {
			return "{}", true
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "", false
	}
	text := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	if _, ok := v.([]any); ok {
		// In JSON as in a PostgreSQL array literal, a quoted element ends at the first quote without a backslash, and
		// the JSON encoder escapes every quote and backslash inside: the two readings agree on where elements end.
		text[0], text[len(text)-1] = '{', '}'
	}
	return string(text), true
}

// plain is asDecoded with nil for what has no JSON form.
func plain(v any) any {
	v, _ = asDecoded(v)
	return v
}

// asDecoded returns v if its type is one that encoding/json decodes into any, else what v becomes on a way through
// JSON. It reports false if v has no JSON form.
func asDecoded(v any) (any, bool) {
	switch v.(type) {
	case nil, string, bool, float64, json.Number, []any, map[string]any:
		return v, true
	}
	text, _ := json.Marshal(v) // nothing, which is no JSON, of what has no such form
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var decoded any
	if err := d.Decode(&decoded); err != nil {
		return nil, false
	}
	return decoded, true
}
