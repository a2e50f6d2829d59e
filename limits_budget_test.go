package auth_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/limit"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/storetest"
)

// from is a call of the n-th client.
func from(n int) context.Context {
	return fromAddress(netip.AddrFrom4([4]byte{198, 18 + byte(n>>16), byte(n >> 8), byte(n)}))
}

func fromAddress(a netip.Addr) context.Context {
	return auth.WithClient(context.Background(), auth.Client{Address: a})
}

// costly is a call that takes from budgets: of the n-th client, for the n-th subject. It fails, if at all, because of what is
// asked for, unless a limit refuses it.
type costly struct {
	name string
	call func(e *authtest.Engine, client, subject int) error
}

var (
	aRequest = costly{"a request", func(e *authtest.Engine, client, _ int) error {
		_, err := e.Admit(from(client))
		return err
	}}
	aLetter = costly{"a letter", func(e *authtest.Engine, client, subject int) error {
		return e.SendMagicLink(from(client), auth.SendMagicLinkParams{Email: fmt.Sprintf("u%d@example.com", subject)})
	}}
	aText = costly{"a text message", func(e *authtest.Engine, client, subject int) error {
		return e.SendSMSOTP(from(client), auth.SendSMSOTPParams{PhoneNumber: fmt.Sprintf("+4179123%04d", subject)})
	}}
	aTextAnywhere = costly{"a text message somewhere in the world", func(e *authtest.Engine, client, subject int) error {
		countries := []int{1, 7, 20, 27, 30, 31, 32, 33, 34, 36, 39, 40, 41, 43, 44, 45, 46, 47, 48, 49, 351, 352, 353, 354, 355, 356, 357, 358, 359}
		country := countries[subject%len(countries)]
		return e.SendSMSOTP(from(client), auth.SendSMSOTPParams{PhoneNumber: fmt.Sprintf("+%d20123%04d", country, subject)})
	}}
	aPassword = costly{"a wrong password", func(e *authtest.Engine, client, subject int) error {
		return tryPassword(e, from(client), fmt.Sprintf("u%d@example.com", subject), "not-"+authtest.Password)
	}}
	aCode = costly{"a wrong code", func(e *authtest.Engine, client, subject int) error {
		_, err := e.VerifyEmailOTP(from(client), auth.VerifyEmailOTPParams{Email: fmt.Sprintf("u%d@example.com", subject), OTP: "000000"})
		return err
	}}
	aToken = costly{"a token that nobody has", func(e *authtest.Engine, client, _ int) error {
		_, err := e.SignInPAT(from(client), auth.SignInPATParams{PersonalAccessToken: uuid.NewString()})
		return err
	}}
	aSignUp = costly{"a sign-up", func(e *authtest.Engine, client, _ int) error {
		_, err := e.SignInAnonymous(from(client), auth.SignInAnonymousParams{})
		return err
	}}
	aBegin = costly{"the begin of a sign-in", func(e *authtest.Engine, client, _ int) error {
		_, err := e.SignInWebAuthn(from(client), auth.SignInWebAuthnParams{})
		return err
	}}
)

func tryPassword(e *authtest.Engine, ctx context.Context, email, password string) error {
	_, err := e.SignInPassword(ctx, auth.SignInPasswordParams{Email: email, Password: password})
	return err
}

// budgeted is a budget, and a call that takes from it.
type budgeted struct {
	budget auth.Budget
	field  func(*auth.LimitsConfig) *limit.Rate
	usual  limit.Rate // documented
	costly
	client, subject func(n int) int // whose the n-th call is: of the same one, or each of another
}

func same(int) int    { return 0 }
func other(n int) int { return n }

// budgets are all that there are.
var budgets = []budgeted{
	{auth.BudgetRequestsPerClient, func(c *auth.LimitsConfig) *limit.Rate { return &c.RequestsPerClient }, limit.Rate{Burst: 100, Per: time.Minute}, aRequest, same, other},
	{auth.BudgetEmailsPerClient, func(c *auth.LimitsConfig) *limit.Rate { return &c.EmailsPerClient }, limit.Rate{Burst: 10, Per: time.Hour}, aLetter, same, other},
	{auth.BudgetEmailsPerAddress, func(c *auth.LimitsConfig) *limit.Rate { return &c.EmailsPerAddress }, limit.Rate{Burst: 10, Per: time.Hour}, aLetter, other, same},
	{auth.BudgetEmailsPerAddressLong, func(c *auth.LimitsConfig) *limit.Rate { return &c.EmailsPerAddressLong }, limit.Rate{Burst: 30, Per: 24 * time.Hour}, aLetter, other, same},
	{auth.BudgetSMSPerClient, func(c *auth.LimitsConfig) *limit.Rate { return &c.SMSPerClient }, limit.Rate{Burst: 10, Per: time.Hour}, aTextAnywhere, same, other},
	{auth.BudgetSMSPerNumber, func(c *auth.LimitsConfig) *limit.Rate { return &c.SMSPerNumber }, limit.Rate{Burst: 5, Per: time.Hour}, aText, other, same},
	{auth.BudgetSMSPerNumberLong, func(c *auth.LimitsConfig) *limit.Rate { return &c.SMSPerNumberLong }, limit.Rate{Burst: 15, Per: 24 * time.Hour}, aText, other, same},
	{auth.BudgetSMSPerCountry, func(c *auth.LimitsConfig) *limit.Rate { return &c.SMSPerCountry }, limit.Rate{Burst: 500, Per: time.Hour}, aText, other, other},
	{auth.BudgetSMS, func(c *auth.LimitsConfig) *limit.Rate { return &c.SMS }, limit.Rate{Burst: 1000, Per: time.Hour}, aTextAnywhere, other, other},
	{auth.BudgetUnansweredSMS, func(c *auth.LimitsConfig) *limit.Rate { return &c.UnansweredSMS }, limit.Rate{Burst: 50, Per: time.Hour}, aText, other, other},
	{auth.BudgetGuessesPerClient, func(c *auth.LimitsConfig) *limit.Rate { return &c.GuessesPerClient }, limit.Rate{Burst: 10, Per: 5 * time.Minute}, aToken, same, other},
	{auth.BudgetGuessesPerAccount, func(c *auth.LimitsConfig) *limit.Rate { return &c.GuessesPerAccount }, limit.Rate{Burst: 10, Per: time.Hour}, aCode, other, same},
	{auth.BudgetGuessesPerAccountLong, func(c *auth.LimitsConfig) *limit.Rate { return &c.GuessesPerAccountLong }, limit.Rate{Burst: 50, Per: 30 * 24 * time.Hour}, aCode, other, same},
	{auth.BudgetPasswordsPerAccount, func(c *auth.LimitsConfig) *limit.Rate { return &c.PasswordsPerAccount }, limit.Rate{Burst: 10, Per: time.Hour}, aPassword, other, same},
	{auth.BudgetPasswordsPerAccountLong, func(c *auth.LimitsConfig) *limit.Rate { return &c.PasswordsPerAccountLong }, limit.Rate{Burst: 50, Per: 30 * 24 * time.Hour}, aPassword, other, same},
	{auth.BudgetSignUpsPerClient, func(c *auth.LimitsConfig) *limit.Rate { return &c.SignUpsPerClient }, limit.Rate{Burst: 10, Per: 5 * time.Minute}, aSignUp, same, other},
	{auth.BudgetChallengesPerClient, func(c *auth.LimitsConfig) *limit.Rate { return &c.ChallengesPerClient }, limit.Rate{Burst: 100, Per: 5 * time.Minute}, aBegin, same, other},
}

// take makes the n-th call that takes from the budget.
func (b budgeted) take(e *authtest.Engine, n int) error { return b.call(e, b.client(n), b.subject(n)) }

// onlyLimits gives the named budgets a rate, and all others one that no test reaches. Errors are concealed, so that codes count
// in the long run although nobody has been sent one.
func onlyLimits(r limit.Rate, named ...auth.Budget) func(*auth.Config) {
	return func(c *auth.Config) {
		c.ConcealErrors = true
		c.Limits = auth.LimitsConfig{}
		for _, b := range budgets {
			*b.field(&c.Limits) = limit.Rate{Burst: 1_000_000, Per: time.Hour}
			if slices.Contains(named, b.budget) {
				*b.field(&c.Limits) = r
			}
		}
	}
}

// exceeded is the budget that refuses a call; none if nothing does.
func exceeded(err error) auth.Budget {
	var known *auth.Error
	if !errors.Is(err, auth.ErrTooManyRequests) || !errors.As(err, &known) {
		return ""
	}
	return auth.Budget(cmp.Or(known.Limit.Bucket, "none of them"))
}

// ready lets so many calls at once wait for the CPU.
func ready(c *auth.Config) { c.Password.MaxWaiting = 1000 }

// RL-13: of calls at the same moment exactly as many pass as the budget has, whichever it is; it refills by the clock, evenly,
// and says when.
func TestOfManyCallsAtOnceAsManyPassAsTheBudgetHas(t *testing.T) {
	t.Parallel()
	const calls, burst = 50, 30
	for _, b := range budgets {
		t.Run(string(b.budget), func(t *testing.T) {
			t.Parallel()
			e := authtest.New(t, letters, ready, onlyLimits(limit.Rate{Burst: burst, Per: time.Hour}, b.budget))
			var n, refused atomic.Int64
			parallel(calls, func() {
				switch by := exceeded(b.take(e, int(n.Add(1)))); by {
				case "":
				case b.budget:
					refused.Add(1)
				default:
					t.Errorf("refused by %s", by)
				}
			})
			if got := refused.Load(); got != calls-burst {
				t.Errorf("%d of %d passed, want %d", calls-got, calls, burst)
			}
			for i := range 3 {
				err := b.take(e, 100+i)
				if exceeded(err) != b.budget || retryAfter(err) != time.Hour/burst {
					t.Errorf("at once: %v, after %v", err, retryAfter(err))
				}
				e.Clock.Advance(time.Hour/burst - time.Microsecond)
				if err := b.take(e, 200+i); exceeded(err) != b.budget {
					t.Errorf("a moment too early: %v", err)
				}
				e.Clock.Advance(time.Microsecond)
				if err := b.take(e, 300+i); exceeded(err) != "" {
					t.Errorf("when it said: %v", err)
				}
			}
			e.Clock.Advance(time.Hour)
			for i := range burst {
				if err := b.take(e, 400+i); exceeded(err) != "" {
					t.Fatalf("call %d after an hour: %v", i+1, err)
				}
			}
			if err := b.take(e, 500); exceeded(err) != b.budget {
				t.Errorf("the budget has grown: %v", err)
			}
		})
	}
}

// RL-01, W22: limits are on by default, and as documented.
func TestLimitsAreOnByDefault(t *testing.T) {
	t.Parallel()
	for _, b := range budgets {
		t.Run(string(b.budget), func(t *testing.T) {
			t.Parallel()
			e := authtest.New(t, letters, onlyLimits(limit.Rate{}, b.budget))
			for n := range b.usual.Burst {
				if err := b.take(e, n); exceeded(err) != "" {
					t.Fatalf("call %d: %v", n+1, err)
				}
			}
			var known *auth.Error
			if err := b.take(e, b.usual.Burst); exceeded(err) != b.budget || !errors.As(err, &known) || known.Limit.Rate != b.usual {
				t.Errorf("%v, want one refused by %+v", err, b.usual)
			}
		})
	}
	e := authtest.New(t, limited)
	for n := range 11 {
		if err := aToken.call(e, 0, n); exceeded(err) != "" != (n == 10) {
			t.Errorf("with the zero configuration, guess %d: %v", n+1, err)
		}
	}
}

// RL-05: what counts in one family of budgets does not in another: sign-ups use up no guesses, nor letters texts.
func TestFamiliesOfBudgetsAreIndependent(t *testing.T) {
	t.Parallel()
	calls := []costly{aRequest, aLetter, aText, aPassword, aSignUp, aBegin}
	for _, x := range calls {
		var all []auth.Budget
		for _, b := range budgets {
			all = append(all, b.budget)
		}
		e := authtest.New(t, letters, onlyLimits(limit.Rate{Burst: 5, Per: time.Hour}, all...))
		for range 20 {
			_ = x.call(e, 0, 0)
		}
		if err := x.call(e, 0, 0); exceeded(err) == "" {
			t.Fatalf("%s: %v", x.name, err)
		}
		for _, y := range calls {
			if y.name == x.name {
				continue
			}
			for n := range 5 {
				if err := y.call(e, 0, 0); exceeded(err) != "" {
					t.Errorf("%s, after %s: call %d: %v", y.name, x.name, n+1, err)
				}
			}
			if err := y.call(e, 0, 0); exceeded(err) == "" {
				t.Errorf("%s has no budget", y.name)
			}
		}
	}
}

// A call that one budget refuses takes nothing from the others: neither can a client that has exhausted its own use up that of
// an address, nor do the attempts at an exhausted address count against whoever makes them.
func TestARefusedCallTakesFromNoBudget(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		costly
		client auth.Budget
	}{
		{aLetter, auth.BudgetEmailsPerClient},
		{aText, auth.BudgetSMSPerClient},
		{aPassword, auth.BudgetGuessesPerClient},
		{aCode, auth.BudgetGuessesPerClient},
	} {
		for _, b := range budgets {
			if b.name != x.name || b.budget == x.client {
				continue
			}
			t.Run(string(b.budget), func(t *testing.T) {
				t.Parallel()
				e := authtest.New(t, letters, onlyLimits(limit.Rate{Burst: 5, Per: time.Hour}, x.client, b.budget))
				for n := range 5 {
					if err := aNeighbour(x.costly).call(e, 0, n); exceeded(err) != "" {
						t.Fatal(err)
					}
				}
				for range 20 {
					if err := b.call(e, 0, 0); exceeded(err) != x.client {
						t.Fatalf("by the client: %v", err)
					}
				}
				for n := range 5 {
					if err := b.call(e, 1+n, b.subject(n)); exceeded(err) != "" {
						t.Fatalf("by others, call %d: %v", n+1, err)
					}
				}
				for range 20 {
					if err := b.call(e, 10, b.subject(9)); exceeded(err) != b.budget {
						t.Fatalf("when it is exhausted: %v", err)
					}
				}
				for n := range 5 {
					if err := aNeighbour(x.costly).call(e, 10, n); exceeded(err) != "" {
						t.Fatalf("the client's call %d elsewhere: %v", n+1, err)
					}
				}
			})
		}
	}
}

// aNeighbour is the same call for subjects that share no budget with those of the others.
func aNeighbour(c costly) costly {
	if c.name == aText.name {
		return costly{c.name, func(e *authtest.Engine, client, subject int) error {
			return e.SendSMSOTP(from(client), auth.SendSMSOTPParams{PhoneNumber: fmt.Sprintf("+%d30123%04d", 30+client, subject)})
		}}
	}
	return costly{c.name, func(e *authtest.Engine, client, subject int) error { return c.call(e, client, 1000+50*client+subject) }}
}

// RL-08, HD31, HD32: an IPv4 address is one client however it is written, and of IPv6 a /64 is.
func TestWhoIsAClient(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		first, second string
		one           bool
	}{
		"the same":                   {"198.51.100.1", "198.51.100.1", true},
		"a neighbour":                {"198.51.100.1", "198.51.100.2", false},
		"mapped":                     {"198.51.100.1", "::ffff:198.51.100.1", true},
		"mapped, in hexadecimal":     {"::ffff:198.51.100.1", "::ffff:c633:6401", true},
		"a mapped neighbour":         {"::ffff:198.51.100.1", "::ffff:198.51.100.2", false},
		"the same /64":               {"2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true},
		"the next /64":               {"2001:db8:1:2::1", "2001:db8:1:3::1", false},
		"another spelling":           {"2001:db8:1:2::1", "2001:0DB8:0001:0002:0:0:0:1", true},
		"a zone":                     {"fe80::1%eth0", "fe80::2%eth1", true},
		"an address and none":        {"2001:db8::1", "0.0.0.0", false},
		"not mapped, but translated": {"198.51.100.1", "64:ff9b::c633:6401", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := authtest.New(t, onlyLimits(limit.Rate{Burst: 1, Per: time.Hour}, auth.BudgetRequestsPerClient, auth.BudgetSignUpsPerClient))
			first, second := fromAddress(netip.MustParseAddr(x.first)), fromAddress(netip.MustParseAddr(x.second))
			if _, err := e.Admit(first); err != nil {
				t.Fatal(err)
			}
			if _, err := e.SignInAnonymous(first, auth.SignInAnonymousParams{}); err != nil {
				t.Fatal(err)
			}
			_, requests := e.Admit(second)
			_, signUps := e.SignInAnonymous(second, auth.SignInAnonymousParams{})
			if (exceeded(requests) != "") != x.one || (exceeded(signUps) != "") != x.one {
				t.Errorf("%v, %v, want refusals: %t", requests, signUps, x.one)
			}
		})
	}
}

// RL-06, SM-03: an address and a number have one budget each, however they are spelt.
func TestSpellingsShareABudget(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, letters, onlyLimits(limit.Rate{Burst: 5, Per: time.Hour},
		auth.BudgetEmailsPerAddress, auth.BudgetPasswordsPerAccount, auth.BudgetGuessesPerAccount, auth.BudgetSMSPerNumber))
	emails := []string{"Ada@bücher.example", "ADA@Bücher.Example", "ada@xn--bcher-kva.example", "aDa@XN--BCHER-KVA.example", "ada@bücher.example", "ADA@bücher.EXAMPLE"}
	numbers := []string{"+41791234567", "+41 79 123 45 67", "+41 (79) 123 45 67", "+41-79-123-45-67", "+41 791234567", "+41 79 1234567"}
	for i := range 6 {
		code := auth.VerifyEmailOTPParams{Email: emails[i], OTP: "000000"}
		_, guess := e.VerifyEmailOTP(from(i), code)
		for name, err := range map[string]error{
			"a letter":   e.SendMagicLink(from(i), auth.SendMagicLinkParams{Email: emails[i]}),
			"a password": tryPassword(e, from(i), emails[i], "wrong"),
			"a code":     guess,
			"a text":     e.SendSMSOTP(from(i), auth.SendSMSOTPParams{PhoneNumber: numbers[i]}),
		} {
			if (exceeded(err) != "") != (i == 5) || errors.Is(err, auth.ErrInternal) {
				t.Errorf("%s, spelling %d: %v", name, i, err)
			}
		}
	}
}

// Where nobody has said who calls, nothing is counted for a client, and what is counted for others is.
func TestWithoutAClientNothingIsCountedForOne(t *testing.T) {
	t.Parallel()
	for _, ctx := range []context.Context{background, fromAddress(netip.Addr{})} {
		e := authtest.New(t, letters, limited)
		for n := range 300 {
			email := fmt.Sprintf("u%d@example.com", n)
			d, admitted := e.Admit(ctx)
			if d.Bucket != "" || !d.Allowed {
				t.Fatalf("%+v", d)
			}
			_, signUp := e.SignInAnonymous(ctx, auth.SignInAnonymousParams{})
			_, begin := e.SignInWebAuthn(ctx, auth.SignInWebAuthnParams{})
			for _, err := range []error{admitted, signUp, begin, e.SendMagicLink(ctx, auth.SendMagicLinkParams{Email: email}), tryPassword(e, ctx, email, "wrong")} {
				if exceeded(err) != "" {
					t.Fatalf("round %d: %v", n+1, err)
				}
			}
		}
		for n := range 11 {
			if err := tryPassword(e, ctx, "u0@example.com", "wrong"); (exceeded(err) != "") != (n >= 9) {
				t.Errorf("password %d for one account: %v", n+2, err)
			}
		}
	}
}

// Off turns all budgets off but those without which a code of six digits is no secret.
func TestLimitsThatAreOff(t *testing.T) {
	t.Parallel()
	always := []auth.Budget{auth.BudgetGuessesPerAccount, auth.BudgetGuessesPerAccountLong}
	for _, b := range budgets {
		t.Run(string(b.budget), func(t *testing.T) {
			t.Parallel()
			e := authtest.New(t, letters, onlyLimits(limit.Rate{Burst: 5, Per: time.Hour}, b.budget), func(c *auth.Config) { c.Limits.Off = true })
			for n := range 20 {
				if by := exceeded(b.take(e, n)); (by != "") != (n >= 5 && slices.Contains(always, b.budget)) {
					t.Errorf("call %d: refused by %q", n+1, by)
				}
			}
		})
	}
}

// With EmailsShared all clients have one budget for letters, those that nobody has named included.
func TestLettersShared(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, letters, onlyLimits(limit.Rate{Burst: 10, Per: time.Hour}, auth.BudgetEmailsPerClient), func(c *auth.Config) { c.Limits.EmailsShared = true })
	for n := range 11 {
		ctx := from(n)
		if n%2 == 1 {
			ctx = background
		}
		err := e.SendMagicLink(ctx, auth.SendMagicLinkParams{Email: fmt.Sprintf("u%d@example.com", n)})
		if by := exceeded(err); (by == auth.BudgetEmailsPerClient) != (n == 10) {
			t.Errorf("letter %d: %v", n+1, err)
		}
	}
}

// RL-11: while nothing can be counted, each budget has its own way; RequestsPerClient is counted in the process in any case.
func TestWhatFailsOpenAndWhatDoesNot(t *testing.T) {
	t.Parallel()
	every := func(ok func(auth.Budget) bool) []auth.Budget {
		list := []auth.Budget{}
		for _, b := range budgets {
			if ok(b.budget) {
				list = append(list, b.budget)
			}
		}
		return list
	}
	takesFrom := map[string][]auth.Budget{}
	for _, b := range budgets {
		name := strings.TrimSuffix(b.name, " somewhere in the world")
		takesFrom[name] = append(takesFrom[name], b.budget)
	}
	for _, name := range []string{aPassword.name, aCode.name} {
		takesFrom[name] = append(takesFrom[name], auth.BudgetGuessesPerClient)
	}
	byDefault := []auth.Budget{
		auth.BudgetRequestsPerClient, auth.BudgetEmailsPerClient, auth.BudgetEmailsPerAddress, auth.BudgetEmailsPerAddressLong,
		auth.BudgetSignUpsPerClient, auth.BudgetChallengesPerClient,
	}
	lists := map[string][2][]auth.Budget{ // what is configured, and what it means
		"the default":    {nil, byDefault},
		"none":           {{}, {}},
		"all":            {every(func(auth.Budget) bool { return true }), every(func(auth.Budget) bool { return true })},
		"only passwords": {{auth.BudgetPasswordsPerAccount, auth.BudgetPasswordsPerAccountLong}, {}},
	}
	for _, b := range budgets {
		but := every(func(other auth.Budget) bool { return other != b.budget })
		lists["all but "+string(b.budget)] = [2][]auth.Budget{but, but}
	}
	for name, list := range lists {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := authtest.New(t, letters, onlyLimits(limit.Rate{Burst: 5, Per: time.Hour}, auth.BudgetRequestsPerClient), func(c *auth.Config) {
				c.Limits.Limiter, c.Limits.FailOpen = brokenLimiter{}, list[0]
			})
			for _, x := range []costly{aLetter, aText, aPassword, aCode, aToken, aSignUp, aBegin} {
				open := !slices.ContainsFunc(takesFrom[x.name], func(b auth.Budget) bool { return !slices.Contains(list[1], b) })
				for n := range 20 {
					err := x.call(e, 0, n)
					if errors.Is(err, auth.ErrInternal) == open || errors.Is(err, auth.ErrTooManyRequests) {
						t.Fatalf("%s: %v, want it to fail open: %t", x.name, err, open)
					}
				}
			}
			for n := range 6 {
				if err := aRequest.call(e, 0, 0); exceeded(err) != "" != (n == 5) {
					t.Errorf("request %d: %v", n+1, err)
				}
			}
		})
	}
}

// A budget that there is not is a mistake, and so is one that four answers would not fit into.
func TestMistakesInLimits(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		limits auth.LimitsConfig
		want   []string
	}{
		"unknown budgets":     {auth.LimitsConfig{FailOpen: []auth.Budget{"emails-client", "letters", ""}}, []string{"Limits.FailOpen[1]", `"letters"`, "Limits.FailOpen[2]", `""`}},
		"no room for answers": {auth.LimitsConfig{UnansweredSMS: limit.Rate{Burst: 3, Per: time.Hour}}, []string{"Limits.UnansweredSMS", "at least 4"}},
		"too fine to count":   {auth.LimitsConfig{RequestsPerClient: limit.Rate{Burst: 999_983, Per: 31 * 24 * time.Hour}}, []string{"Limits.RequestsPerClient"}},
	} {
		c := validConfig()
		c.Limits = x.limits
		_, err := auth.New(memstore.New(), c)
		for _, part := range x.want {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v lacks %s", name, err, part)
			}
		}
		if err != nil && strings.Contains(err.Error(), "FailOpen[0]") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// mute is a limiter that refuses, and does not say what for.
type mute struct{}

func (mute) Take(context.Context, ...limit.Take) (limit.Decision, error) {
	return limit.Decision{}, nil
}

// A limiter of the service's own that leaves its decision empty refuses, and takes nothing down.
func TestALimiterThatSaysLittle(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, letters, func(c *auth.Config) { c.Limits = auth.LimitsConfig{Limiter: mute{}} })
	for _, x := range []costly{aLetter, aText, aPassword, aCode, aToken, aSignUp, aBegin} {
		if err := x.call(e, 0, 0); !errors.Is(err, auth.ErrTooManyRequests) {
			t.Errorf("%s: %v", x.name, err)
		}
	}
}

// Who is refused comes back at once: of an exhausted budget it is told once a minute, with its name, and of each by itself.
func TestAnExhaustedBudgetIsToldOnceAMinute(t *testing.T) {
	t.Parallel()
	for _, b := range budgets {
		t.Run(string(b.budget), func(t *testing.T) {
			t.Parallel()
			e := authtest.New(t, letters, onlyLimits(limit.Rate{Burst: 4, Per: 100 * time.Hour}, b.budget))
			told := func() int {
				limits := e.Events.Of(auth.EventLimited)
				for _, ev := range limits {
					if ev.Detail != string(b.budget) || ev.Code != auth.CodeTooManyRequests {
						t.Errorf("%+v", ev)
					}
				}
				return len(limits)
			}
			for n := range 4 {
				_ = b.take(e, n)
			}
			if n := told(); n != 0 {
				t.Errorf("told %d times before it was exhausted", n)
			}
			for minute := range 3 {
				parallel(50, func() { _ = b.take(e, 7) })
				if n := told(); n != minute+1 {
					t.Errorf("told %d times in minute %d", n, minute+1)
				}
				e.Clock.Advance(time.Minute)
			}
			if b.budget == auth.BudgetSMS {
				return // there is but one
			}
			_ = b.take(e, 7)
			for range 8 { // somebody else's, in the same minute
				_ = aNeighbour(b.costly).call(e, 77, 0)
				if b.budget == auth.BudgetSMSPerClient {
					_ = b.call(e, 77, 8)
				}
			}
			if n := told(); n != 5 {
				t.Errorf("told %d times, of two that are exhausted", n)
			}
		})
	}
}

// A client that exhausts several budgets in one minute is told of for each of them.
func TestEachExhaustedBudgetOfAClientIsTold(t *testing.T) {
	t.Parallel()
	want := []string{string(auth.BudgetRequestsPerClient), string(auth.BudgetGuessesPerClient), string(auth.BudgetSignUpsPerClient)}
	e := authtest.New(t, onlyLimits(limit.Rate{Burst: 1, Per: time.Hour}, auth.BudgetRequestsPerClient, auth.BudgetGuessesPerClient, auth.BudgetSignUpsPerClient))
	for _, x := range []costly{aRequest, aToken, aSignUp} {
		for range 3 {
			_ = x.call(e, 0, 0)
		}
	}
	var told []string
	for _, ev := range e.Events.Of(auth.EventLimited) {
		told = append(told, ev.Detail)
	}
	if !slices.Equal(want, told) {
		t.Errorf("told of %q, want %q", told, want)
	}
}

// hasty is a limiter that heeds the context, of whoever leaves as soon as something has been taken for them.
type hasty struct {
	limit.Limiter
	leave func()
}

func (h *hasty) Take(ctx context.Context, takes ...limit.Take) (limit.Decision, error) {
	if err := ctx.Err(); err != nil {
		return limit.Decision{}, err
	}
	d, err := h.Limiter.Take(ctx, takes...)
	h.leave()
	return d, err
}

// Whoever hangs up in the middle of a sign-in gets back what was taken for it: nobody runs out of guesses on a bad line.
func TestWhoLeavesGetsBackWhatWasTaken(t *testing.T) {
	t.Parallel()
	clock := authtest.NewClock()
	h := &hasty{Limiter: limit.NewMemory(limit.MemoryConfig{Now: clock.Now}), leave: func() {}}
	e := authtest.New(t, onlyLimits(limit.Rate{Burst: 3, Per: time.Hour}, auth.BudgetGuessesPerClient, auth.BudgetPasswordsPerAccount), func(c *auth.Config) {
		c.Limits.Limiter, c.Now = h, clock.Now
	})
	e.SignUp(t, "ada@example.com")
	for n := range 10 {
		ctx, cancel := context.WithCancel(from(0))
		h.leave = cancel
		if err := tryPassword(e, ctx, "ada@example.com", authtest.Password); exceeded(err) != "" {
			t.Fatalf("call %d: %v", n+1, err)
		}
		if ctx.Err() == nil {
			t.Fatal("nothing was taken")
		}
		cancel()
	}
	h.leave = func() {}
	if err := tryPassword(e, from(0), "ada@example.com", authtest.Password); err != nil {
		t.Error(err)
	}
}

// Where addresses are not verified a sign-up sends no letter, and takes none from anybody's budget.
func TestASignUpWithoutALetterTakesNone(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, onlyLimits(limit.Rate{Burst: 1, Per: time.Hour}, auth.BudgetEmailsPerClient), func(c *auth.Config) { c.Email.AllowUnverified = true })
	for n := range 3 {
		if _, err := e.SignUpPassword(from(0), auth.SignUpPasswordParams{Email: fmt.Sprintf("u%d@example.com", n), Password: authtest.Password}); err != nil {
			t.Errorf("sign-up %d: %v", n+1, err)
		}
	}
}

// What was not compared is no guess: where the store fails or hangs, more passwords come at once than are hashed, or whoever
// asks gives up.
func TestWhatFailsIsNoGuess(t *testing.T) {
	t.Parallel()
	aLink := costly{"a link", func(e *authtest.Engine, client, _ int) error {
		_, err := e.VerifyTicket(from(client), auth.VerifyTicketParams{Ticket: "passwordlessEmail:" + uuid.NewString()})
		return err
	}}
	disk := errors.New("the disk is full")
	for name, fault := range map[string]storetest.Fault{
		"fails":                      {Err: disk},
		"fails when it has done so":  {Err: disk, After: true},
		"is left by whoever asked":   {Err: context.Canceled},
		"takes longer than there is": {Err: context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sound := memstore.New()
			clock := authtest.NewClock()
			shared := limit.NewMemory(limit.MemoryConfig{Now: clock.Now})
			small := onlyLimits(limit.Rate{Burst: 5, Per: time.Hour}, auth.BudgetGuessesPerClient, auth.BudgetGuessesPerAccount,
				auth.BudgetGuessesPerAccountLong, auth.BudgetPasswordsPerAccount, auth.BudgetPasswordsPerAccountLong)
			both := func(c *auth.Config) { c.Limits.Limiter, c.Now = shared, clock.Now }
			e := authtest.NewWithStore(t, sound, letters, small, both)
			broken := authtest.NewWithStore(t, storetest.Break(sound, fault), letters, small, both)
			e.SignUp(t, "u0@example.com")
			for _, x := range []costly{aPassword, aCode, aToken, aLink} {
				for range 20 {
					if err := x.call(broken, 0, 0); !errors.Is(err, auth.ErrInternal) {
						t.Fatalf("%s, with a store that %s: %v", x.name, name, err)
					}
				}
				for n := range 5 {
					if err := x.call(e, 0, 0); exceeded(err) != "" {
						t.Errorf("%s: call %d: %v", x.name, n+1, err)
					}
				}
				if err := x.call(e, 0, 0); exceeded(err) == "" {
					t.Errorf("%s is not counted", x.name)
				}
				clock.Advance(time.Hour)
			}
		})
	}
}

// SI-03, PW-20: a password that finds no room to be hashed in was not compared, and does not count.
func TestAPasswordThatIsNotHashedIsNoGuess(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, onlyLimits(limit.Rate{Burst: 60, Per: time.Hour}, auth.BudgetGuessesPerClient, auth.BudgetPasswordsPerAccount, auth.BudgetPasswordsPerAccountLong), func(c *auth.Config) {
		c.ConcealErrors = false
		c.Password.MaxHashes, c.Password.MaxWaiting = 1, 1
		c.Password.Argon2 = auth.Argon2{MemoryKiB: 4 << 10, Time: 1, Threads: 1}
	})
	var compared, full atomic.Int64
	parallel(50, func() {
		switch err := aPassword.call(e, 0, 0); {
		case errors.Is(err, auth.ErrInvalidEmailPassword):
			compared.Add(1)
		case exceeded(err) == "none of them":
			full.Add(1)
		default:
			t.Error(err)
		}
	})
	if full.Load() == 0 {
		t.Fatal("there was room for all")
	}
	for n := compared.Load(); n < 60; n++ {
		if err := aPassword.call(e, 0, 0); exceeded(err) != "" {
			t.Fatalf("after %d that were compared: %v", n, err)
		}
	}
	if err := aPassword.call(e, 0, 0); exceeded(err) == "" {
		t.Error("what was compared is not counted")
	}
}
