package captcha

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/ostiary/auth/internal/outbound"
	"github.com/ostiary/auth/internal/strictjson"
)

// Service is a [Verifier] that asks a service by the protocol that all of them call siteverify. Make one with
// [NewTurnstile], [NewHCaptcha] or [NewReCAPTCHA].
//
// It asks once: there is neither a second try nor a key by which the service would call the same answer good again. A request
// ends in 10 seconds, takes at most 1 MiB, follows no redirect and has no cookies. Whatever comes of it but a well-formed
// answer that says so is not success.
type Service struct {
	name     string
	endpoint string
	client   *http.Client
	secret   *string // a pointer, which fmt does not follow
	max      int     // of an answer, in bytes

	siteKey   string
	hostnames []string // lower case
	action    string
	scored    bool    // an answer must have a score
	minScore  float64 // 0 but of reCAPTCHA: scores of others mean something else
}

var _ Verifier = (*Service)(nil)

// Format keeps the secret out of logs.
func (s *Service) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "captcha.Service") }

// Verify implements [Verifier]. An answer that is empty, too long, or has other characters than printable ASCII is refused
// without a request. The error of one that is not good is a [*Refusal].
func (s *Service) Verify(ctx context.Context, r Response) error {
	switch {
	case r.Token == "":
		return s.refusal(ReasonMissing)
	case len(r.Token) > s.max || !isVisible(r.Token):
		return s.refusal(ReasonInvalid)
	}
	form := url.Values{"secret": {string(*s.secret)}, "response": {r.Token}}
	if s.siteKey != "" {
		form.Set("sitekey", s.siteKey)
	}
	if r.Address.IsValid() {
		form.Set("remoteip", r.Address.Unmap().WithZone("").String())
	}
	v, err := s.ask(ctx, form)
	if err != nil {
		return fmt.Errorf("captcha: %s: %w", s.name, err)
	}
	return s.judge(v)
}

// ask makes the request.
func (s *Service) ask(ctx context.Context, form url.Values) (verdict, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return verdict{}, errors.New("make the request")
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Accept", "application/json")
	body, _, err := outbound.Do(s.client, request)
	if err != nil {
		return verdict{}, fmt.Errorf("ask the service: %w", err)
	}
	return parse(body)
}

// judge turns what the service says into the error of [Service.Verify].
func (s *Service) judge(v verdict) error {
	if !v.success {
		if faults := slices.DeleteFunc(slices.Clone(v.codes), func(code string) bool { return slices.Contains(refusals, code) }); len(faults) > 0 {
			return fmt.Errorf("captcha: %s cannot say: [%s]", s.name, strings.Join(faults, ", "))
		}
		return s.refusal(v.codes...)
	}
	if len(s.hostnames) > 0 && !slices.Contains(s.hostnames, strings.ToLower(v.hostname)) {
		return s.refusal(ReasonHostname)
	}
	if s.action != "" && v.action != s.action {
		return s.refusal(ReasonAction)
	}
	switch {
	case v.score == nil && s.scored:
		return fmt.Errorf("captcha: %s: the answer has no score, and MinScore is set: the key is not one of v3", s.name)
	case v.score != nil && !(*v.score >= s.minScore):
		return s.refusal(ReasonScore)
	}
	return nil
}

func (s *Service) refusal(reasons ...string) error {
	return &Refusal{Service: s.name, Reasons: reasons}
}

// refusals are the codes that are about the answer, which is the client's. Any other is about the request, which is ours, or
// the service: whoever reads the log is to hear of it.
//
// Two of hCaptcha look like mistakes of an operator, and whoever hands in an answer from another site, or the one that its
// documentation gives for tests, brings them about.
var refusals = []string{
	ReasonMissing,
	ReasonInvalid,
	"timeout-or-duplicate",
	"expired-input-response",
	"already-seen-response",
	"invalid-or-already-seen-response",
	"browser-error",
	"sitekey-secret-mismatch",
	"not-using-dummy-passcode",
}

// verdict is what a service says of an answer.
type verdict struct {
	success  bool
	codes    []string
	hostname string
	action   string
	score    *float64
}

// code is what codes look like. One that does not is not repeated.
var code = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)

// parse reads the answer of a service. The names of its members are exact, none comes twice, and there may be others.
func parse(body []byte) (verdict, error) {
	var v verdict
	var success *bool
	members := map[string]any{
		"success": &success, "error-codes": &v.codes, "hostname": &v.hostname, "action": &v.action, "score": &v.score,
	}
	err := strictjson.Members(body, func(name, value []byte) error {
		into, known := members[string(name)]
		if known && json.Unmarshal(value, into) != nil {
			return fmt.Errorf("the member %s is of another type", name)
		}
		return nil
	})
	switch {
	case err != nil:
		return verdict{}, fmt.Errorf("read the answer: %w", err)
	case success == nil:
		return verdict{}, errors.New("read the answer: it does not say whether it is a success")
	}
	v.success = *success
	for i, c := range v.codes {
		if !code.MatchString(c) {
			v.codes[i] = "unknown"
		}
	}
	return v, nil
}
