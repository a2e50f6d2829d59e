// Package breach asks the range interface of Have I Been Pwned, or a mirror of
// it, how often a password occurs in leaked data
// (https://haveibeenpwned.com/API/v3#PwnedPasswords; OWASP ASVS 5.0 6.2.12).
//
// Only the first five hexadecimal digits of the password's SHA-1 leave the
// process. The service answers with everything that it has under that prefix,
// padded to hide how much that is, and the comparison takes place here.
package breach

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ostiary/auth/internal/outbound"
)

// Defaults of [Options].
const (
	DefaultEndpoint      = "https://api.pwnedpasswords.com/range/"
	DefaultTimeout       = time.Second
	DefaultMaxConcurrent = 16
	DefaultCacheSize     = 64
	DefaultCacheTTL      = time.Hour
)

// maxAnswer bounds what is read of an answer. A padded range has some two
// thousand lines of about 40 bytes.
const maxAnswer = 512 << 10

// SHA-1 has 40 hexadecimal digits.
const (
	prefixLen = 5
	suffixLen = sha1.Size*2 - prefixLen
)

// ErrUnavailable is wrapped by every error of [Client.Pwned]: there is no
// answer, or none that makes sense. Whether a password is then accepted is for
// the caller to decide. No error text contains the password or any digit of
// its hash.
var ErrUnavailable = errors.New("breach: no answer from the breached-password service")

// Options configure a [Client]. The zero value is ready to use.
type Options struct {
	// HTTPClient sends the requests; nil means one with the default transport.
	// It is copied; its redirect policy and cookie jar are not used.
	HTTPClient *http.Client

	// Endpoint is the absolute http or https URL to which the prefix is
	// appended, with or without a slash at its end; "" means
	// [DefaultEndpoint]. Without TLS, anyone on the way can read the prefix and
	// choose the verdict: leave it out for a mirror on a trusted network only.
	Endpoint string

	// Timeout bounds one call of Pwned as a whole, with waiting for a turn,
	// connecting, and reading the answer; 0 means [DefaultTimeout].
	Timeout time.Duration

	// MaxConcurrent is how many requests may be under way at the same time;
	// 0 means [DefaultMaxConcurrent].
	MaxConcurrent int

	// CacheSize is how many ranges are kept, of some 50 KB each, never more
	// than 400 KB; 0 means [DefaultCacheSize], a negative number none.
	CacheSize int

	// CacheTTL is how long a range is kept; 0 means [DefaultCacheTTL].
	CacheTTL time.Duration

	// Now tells the time for the cache; nil means [time.Now].
	Now func() time.Time
}

// A Client looks passwords up. It is safe for concurrent use.
type Client struct {
	http     *http.Client
	endpoint string
	timeout  time.Duration
	turns    chan struct{}
	cache    *cache
}

// New returns a Client, or an error that names the option that is out of range.
func New(o Options) (*Client, error) {
	if o.Timeout < 0 {
		return nil, fmt.Errorf("breach: Timeout is %v, must not be negative", o.Timeout)
	}
	if o.MaxConcurrent < 0 {
		return nil, fmt.Errorf("breach: MaxConcurrent is %d, must not be negative", o.MaxConcurrent)
	}
	if o.CacheTTL < 0 {
		return nil, fmt.Errorf("breach: CacheTTL is %v, must not be negative", o.CacheTTL)
	}
	if o.Endpoint == "" {
		o.Endpoint = DefaultEndpoint
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.MaxConcurrent == 0 {
		o.MaxConcurrent = DefaultMaxConcurrent
	}
	if o.CacheSize == 0 {
		o.CacheSize = DefaultCacheSize
	}
	if o.CacheTTL == 0 {
		o.CacheTTL = DefaultCacheTTL
	}
	if o.Now == nil {
		o.Now = time.Now
	}

	u, err := url.Parse(o.Endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("breach: Endpoint must be an absolute http or https URL without query and fragment")
	}
	return &Client{
		http:     outbound.Once(o.HTTPClient),
		endpoint: strings.TrimSuffix(o.Endpoint, "/") + "/",
		timeout:  o.Timeout,
		turns:    make(chan struct{}, o.MaxConcurrent),
		cache:    newCache(max(0, o.CacheSize), o.CacheTTL, o.Now),
	}, nil
}

// Pwned returns how often password occurs in the leaked data, 0 if it does not.
// The password counts byte for byte.
//
// It sends at most one request, never a second in the place of one that failed,
// and returns within Options.Timeout or when ctx ends, whichever is first. The
// error wraps [ErrUnavailable], and that of a ctx or a deadline that ended.
func (c *Client) Pwned(ctx context.Context, password string) (count int, err error) {
	sum := sha1.Sum([]byte(password))
	digits := fmt.Appendf(nil, "%X", sum)
	prefix, rest := string(digits[:prefixLen]), digits[prefixLen:]

	if r, ok := c.cache.get(prefix); ok {
		return r.count(rest), nil
	}
	r, err := c.fetch(ctx, prefix)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	count = r.count(rest)
	// A range is kept only if it has refused a password. Otherwise an answer
	// that comes quickly would tell whoever tries a password that somebody else
	// has lately been allowed to choose it.
	if count > 0 {
		c.cache.put(prefix, r)
	}
	return count, nil
}

func (c *Client) fetch(ctx context.Context, prefix string) (leaked, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()

	select {
	case c.turns <- struct{}{}:
		defer func() { <-c.turns }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.endpoint+prefix, nil)
	if err != nil {
		return nil, errors.New("make the request") // without the URL, which ends with the prefix
	}
	req.Header.Set("Add-Padding", "true")
	status, body, err := outbound.Ask(c.http, req, maxAnswer)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("status %d", status)
	}
	return parse(body)
}

// leaked is what was found under one prefix, in the order of the suffixes.
type leaked []entry

type entry struct {
	suffix suffix
	times  uint32
}

// suffix is the hash without its prefix: an odd number of digits, with a zero
// in front.
type suffix [(suffixLen + 1) / 2]byte

// parse reads lines of the form SUFFIX:COUNT. Lines of another form are passed
// over, and so is padding, which has a count of 0; but an answer without a
// single line of that form is not from the service.
func parse(body []byte) (leaked, error) {
	const shortest = suffixLen + len(":0\n")
	found := make(leaked, 0, len(body)/shortest+1)
	valid := false
	for line := range bytes.Lines(body) {
		digits, count, _ := bytes.Cut(bytes.TrimSpace(line), []byte(":"))
		key, ok := pack(digits)
		times, err := strconv.ParseUint(string(count), 10, 64)
		if !ok || err != nil {
			continue
		}
		valid = true
		if times > 0 {
			found = append(found, entry{key, uint32(min(times, math.MaxInt32))})
		}
	}
	if !valid {
		return nil, errors.New("answer is not a range of hashes")
	}
	slices.SortFunc(found, func(a, b entry) int { return bytes.Compare(a.suffix[:], b.suffix[:]) })
	return found, nil
}

// count returns how often the hash that ends with these digits was found.
func (l leaked) count(digits []byte) int {
	key, _ := pack(digits)
	i, found := slices.BinarySearchFunc(l, key, func(e entry, key suffix) int {
		return bytes.Compare(e.suffix[:], key[:])
	})
	if !found {
		return 0
	}
	return int(l[i].times)
}

func pack(digits []byte) (key suffix, ok bool) {
	if len(digits) != suffixLen {
		return key, false
	}
	even := [1 + suffixLen]byte{'0'}
	copy(even[1:], digits)
	_, err := hex.Decode(key[:], even[:])
	return key, err == nil
}
