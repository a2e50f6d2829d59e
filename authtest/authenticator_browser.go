package authtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// BrowserError is the name of the exception with which a browser refuses, as scripts see it. The errors of an
// [Authenticator] wrap it: errors.Is(err, authtest.NotAllowedError).
type BrowserError string

// The exceptions.
const (
	// TypeError: the options are not what they have to be.
	TypeError BrowserError = "TypeError"
	// EncodingError: a byte string among the options is not base64url without padding.
	EncodingError BrowserError = "EncodingError"
	// SecurityError: the page may not act for the relying party. Its origin is not secure or not a domain, or rp.id is
	// neither its domain nor a registrable suffix of that.
	SecurityError BrowserError = "SecurityError"
	// NotSupportedError: the authenticator has none of the algorithms of pubKeyCredParams.
	NotSupportedError BrowserError = "NotSupportedError"
	// InvalidStateError: excludeCredentials names a credential that the authenticator holds.
	InvalidStateError BrowserError = "InvalidStateError"
	// NotAllowedError: no authenticator can do what is required or none holds a credential that would do, or the person
	// has cancelled. A browser does not say which.
	NotAllowedError BrowserError = "NotAllowedError"
)

// Error returns the name.
func (e BrowserError) Error() string { return string(e) }

// creationOptions is what counts of PublicKeyCredentialCreationOptionsJSON (WebAuthn L3 §5.1.9, §5.4). Pointers are
// required members, unless it says otherwise.
type creationOptions struct {
	RP *struct {
		ID   *string `json:"id"` // optional
		Name *string `json:"name"`
	} `json:"rp"`
	User *struct {
		ID          *base64URL `json:"id"`
		Name        *string    `json:"name"`
		DisplayName *string    `json:"displayName"`
	} `json:"user"`
	Challenge  *base64URL `json:"challenge"`
	Parameters *[]struct {
		Type string `json:"type"`
		Alg  int    `json:"alg"`
	} `json:"pubKeyCredParams"`
	Exclude   []descriptor `json:"excludeCredentials"`
	Selection struct {
		Attachment         string `json:"authenticatorAttachment"`
		ResidentKey        string `json:"residentKey"`
		RequireResidentKey bool   `json:"requireResidentKey"`
		UserVerification   string `json:"userVerification"`
	} `json:"authenticatorSelection"`
	Attestation string `json:"attestation"`
	Extensions  struct {
		CredProps bool `json:"credProps"`
	} `json:"extensions"`
}

// requestOptions is what counts of PublicKeyCredentialRequestOptionsJSON (WebAuthn L3 §5.1.10, §5.5).
type requestOptions struct {
	Challenge        *base64URL   `json:"challenge"`
	RPID             *string      `json:"rpId"` // optional
	Allow            []descriptor `json:"allowCredentials"`
	UserVerification string       `json:"userVerification"`
}

type descriptor struct {
	Type string    `json:"type"`
	ID   base64URL `json:"id"`
}

func (o *creationOptions) check() error {
	switch {
	case o.RP == nil || o.RP.Name == nil:
		return fmt.Errorf("%w: rp.name is required", TypeError)
	case o.User == nil || o.User.ID == nil || o.User.Name == nil || o.User.DisplayName == nil:
		return fmt.Errorf("%w: user.id, user.name and user.displayName are required", TypeError)
	case len(*o.User.ID) < 1 || len(*o.User.ID) > 64:
		return fmt.Errorf("%w: user.id has %d bytes, want 1 to 64", TypeError, len(*o.User.ID))
	case o.Challenge == nil:
		return fmt.Errorf("%w: challenge is required", TypeError)
	case o.Parameters == nil:
		return fmt.Errorf("%w: pubKeyCredParams is required", TypeError)
	}
	return nil
}

func (o *requestOptions) check() error {
	if o.Challenge == nil {
		return fmt.Errorf("%w: challenge is required", TypeError)
	}
	return nil
}

// decodeOptions is parseCreationOptionsFromJSON or parseRequestOptionsFromJSON, of options in any of the forms that
// [Authenticator.Create] takes.
func decodeOptions(options any, to interface{ check() error }) error {
	var data []byte
	switch o := options.(type) {
	case string:
		data = []byte(o)
	case []byte:
		data = o
	default: // a json.RawMessage comes out as it is
		var err error
		if data, err = json.Marshal(options); err != nil {
			return fmt.Errorf("the options have no JSON: %w", err)
		}
	}
	if err := json.Unmarshal(data, to); errors.Is(err, EncodingError) {
		return err
	} else if err != nil {
		return fmt.Errorf("%w: %w", TypeError, err)
	}
	return to.check()
}

// page returns the origin of the page or app and the relying party for which it acts, unless it may not. Without an
// rp.id that is the domain of the page.
func (a *Authenticator) page(rpID *string) (origin, id string, err error) {
	page := a.Origin
	if page == "" {
		page = ClientURL
	}
	if strings.HasPrefix(page, "android:apk-key-hash:") || strings.HasPrefix(page, "ios:bundle-id:") {
		if rpID == nil || !a.Unchecked && !slices.Contains(a.RelatedRPIDs, *rpID) {
			return "", "", fmt.Errorf("%w: the app %s may not act for the relying party", SecurityError, page)
		}
		return page, *rpID, nil
	}
	u, err := url.Parse(page)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Hostname() == "" {
		return "", "", fmt.Errorf("%q is neither a page nor an app", page)
	}
	host, err := idna.Lookup.ToASCII(u.Hostname())
	if err != nil { // an IPv6 address; all else is kept as it is too
		host = strings.ToLower(u.Hostname())
	}
	origin = u.Scheme + "://" + host
	if strings.Contains(host, ":") {
		origin = u.Scheme + "://[" + host + "]"
	}
	if port := u.Port(); port != "" && port != map[string]string{"https": "443", "http": "80"}[u.Scheme] {
		origin += ":" + port
	}

	id = host
	if rpID != nil {
		id = *rpID
	}
	if a.Unchecked {
		return origin, id, nil
	}
	if u.Scheme == "http" && host != "localhost" && !strings.HasSuffix(host, ".localhost") {
		return "", "", fmt.Errorf("%w: %s is not a secure context", SecurityError, origin)
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return "", "", fmt.Errorf("%w: %s is an address and no domain", SecurityError, host)
	}
	if !isOrCovers(id, host) && !slices.Contains(a.RelatedRPIDs, id) {
		return "", "", fmt.Errorf("%w: %s may not act for the relying party %q", SecurityError, origin, id)
	}
	return origin, id, nil
}

// isOrCovers reports whether a domain is host or a registrable suffix of it.
//
// Source: HTML, "is a registrable domain suffix of or is equal to".
func isOrCovers(domain, host string) bool {
	if domain == host {
		return true
	}
	if !strings.HasSuffix(host, "."+domain) {
		return false
	}
	of, _ := publicsuffix.PublicSuffix(domain)
	ofHost, _ := publicsuffix.PublicSuffix(host)
	return of != domain && !strings.HasSuffix(ofHost, "."+domain)
}

// canCreate returns the exception with which a browser refuses to create a credential, or nil (WebAuthn L3 §5.1.3,
// §6.3.2).
func (a *Authenticator) canCreate(o *creationOptions, rpID string, algorithm int) error {
	offered := []int{ES256, RS256} // what an empty list stands for
	if len(*o.Parameters) > 0 {
		offered = nil
	}
	for _, p := range *o.Parameters {
		if p.Type == "public-key" {
			offered = append(offered, p.Alg)
		}
	}
	if !slices.Contains(offered, algorithm) {
		return fmt.Errorf("%w: the authenticator has the algorithm %d, the relying party wants one of %d",
			NotSupportedError, algorithm, offered)
	}
	attachment := a.Attachment
	if attachment == "" {
		attachment = "platform"
	}
	if wanted := o.Selection.Attachment; (wanted == "platform" || wanted == "cross-platform") && wanted != attachment {
		return fmt.Errorf("%w: the relying party wants an authenticator that is %s", NotAllowedError, wanted)
	}
	required := o.Selection.RequireResidentKey // counts where residentKey says nothing that is known
	switch o.Selection.ResidentKey {
	case "required":
		required = true
	case "preferred", "discouraged":
		required = false
	}
	if required && a.NonResident {
		return fmt.Errorf("%w: the credential is required to be discoverable", NotAllowedError)
	}
	if o.Selection.UserVerification == "required" && a.NoUserVerification {
		return fmt.Errorf("%w: user verification is required and the authenticator cannot", NotAllowedError)
	}
	for _, c := range a.Credentials() {
		if c.RPID == rpID && names(o.Exclude, c.ID) {
			return fmt.Errorf("%w: the authenticator holds an excluded credential", InvalidStateError)
		}
	}
	return nil
}

// offer returns the credentials that would do, most recent first.
func (a *Authenticator) offer(o *requestOptions, rpID string) []Credential {
	held := a.Credentials()
	slices.Reverse(held)
	wouldDo := func(c Credential) bool {
		return c.RPID == rpID && (len(o.Allow) == 0 && c.Resident || names(o.Allow, c.ID))
	}
	if a.Unchecked && !slices.ContainsFunc(held, wouldDo) {
		return held[:min(len(held), 1)]
	}
	return slices.DeleteFunc(held, func(c Credential) bool { return !wouldDo(c) })
}

func names(list []descriptor, id []byte) bool {
	return slices.ContainsFunc(list, func(d descriptor) bool {
		return d.Type == "public-key" && bytes.Equal(d.ID, id)
	})
}
