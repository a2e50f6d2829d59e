package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ostiary/auth/internal/clientaddr"
	"github.com/ostiary/auth/internal/phone"
	"github.com/ostiary/auth/limit"
	"github.com/ostiary/auth/store"
)

// LimitsConfig says how often something may happen. Whoever exceeds a budget gets [ErrTooManyRequests], which says when to come
// back, whether or not there is an account. Budgets refill evenly, so that up to twice as much happens in the first Per.
//
// A client is an IPv4 address, or the /64 that an IPv6 address is in, and known where [WithClient] has named it, as the HTTP
// adapter does for every request; without one, what is counted per client is not. Many people may share an address.
//
// Nobody elsewhere who exhausts a budget keeps the owner of an account out of it: passwords, codes and passkeys have budgets
// of their own or none, a link in a letter that has arrived stays good, and what refills does so from the first moment on.
type LimitsConfig struct {
	// Off turns the limits off, for tests and for services that have their own. Guesses of codes are always counted
	// (GuessesPerAccount and GuessesPerAccountLong): a code of six digits is no secret without.
	Off bool
	// Limiter counts. The default counts in this process and forgets when it ends; replicas need one in common, such as
	// that of package redislimit. RequestsPerClient is counted in each process in any case: it is there to protect that.
	Limiter limit.Limiter
	// FailOpen are the budgets that hold nobody back while Limiter cannot count; what another one counts is then refused,
	// with [ErrInternal]. The default is requests, letters, sign-ups and challenges: codes and passwords cannot be guessed,
	// nor text messages be sent at somebody's expense. To go on with those, count meanwhile in each process, by
	// [limit.WithFallback].
	FailOpen []Budget

	// RequestsPerClient bounds the requests to the adapter's routes, whatever comes of them; see [Engine.Admit]. The default
	// is 100 per minute.
	RequestsPerClient limit.Rate

	// EmailsPerClient bounds the letters that one client can ask for. The default is 10 per hour. EmailsShared makes it one
	// budget for all clients.
	EmailsPerClient limit.Rate
	EmailsShared    bool
	// EmailsPerAddress and EmailsPerAddressLong bound the letters to one address that anybody can ask for, whatever is in
	// them. The defaults are 10 per hour and 30 per day.
	EmailsPerAddress, EmailsPerAddressLong limit.Rate

	// SMSPerClient bounds the text messages that one client can ask for. The default is 10 per hour.
	SMSPerClient limit.Rate
	// SMSPerNumber and SMSPerNumberLong bound the text messages to one number. The defaults are 5 per hour and 15 per day.
	SMSPerNumber, SMSPerNumberLong limit.Rate
	// SMSPerCountry bounds the text messages to the numbers of one country code (ITU-T E.164), and SMS those to all. The
	// defaults are 500 per hour and 1000 per hour; who has fewer users than that wants less, because text messages are money.
	SMSPerCountry, SMS limit.Rate
	// UnansweredSMS bounds the text messages to one country code whose codes nobody enters. One that is entered makes up for
	// four: where fewer are, what sends them is not people, and no more are sent. The default is 50 per hour.
	UnansweredSMS limit.Rate

	// GuessesPerClient bounds what one client presents and is wrong: passwords, codes, links, personal access tokens, id
	// tokens, passkeys and admin secrets, for whatever account. What is right does not count, nor what was not compared because
	// something failed. Refresh and access tokens, and the ticket that sets a new password, are too long to be guessed and
	// count as requests only. The default is 10 per 5 minutes.
	GuessesPerClient limit.Rate
	// GuessesPerAccount bounds the guesses of codes for one address or number, however many codes were sent there; of codes of
	// one user's authenticator app, at sign-in, at a step-up and at changes each; and of their password by whoever is signed in. A
	// right one ends the count. GuessesPerAccountLong bounds the wrong ones in the long run. The defaults are 10 per hour and 50
	// per 30 days: NIST SP 800-63B-4 §3.2.2 allows 100 in a row, and so many there are at most in the first 30 days; after that,
	// half as many in each. Whoever is out of guesses has to come in otherwise: by a link say, or in place of a code of the app by a
	// recovery code, which is never counted, and ends both counts.
	GuessesPerAccount, GuessesPerAccountLong limit.Rate
	// PasswordsPerAccount and PasswordsPerAccountLong bound the wrong passwords for one address at sign-in, from wherever they
	// come and whether or not it has an account. The right one ends both counts, and so does a new one. The defaults are 10
	// per hour and 50 per 30 days, as above. Whose account is under attack comes in by anything else meanwhile, a link to reset
	// the password included.
	PasswordsPerAccount, PasswordsPerAccountLong limit.Rate

	// SignUpsPerClient bounds the sign-ups of one client, those with an address that is taken included, and guests. The
	// default is 10 per 5 minutes. Sign-ups by letter or text message are bounded by those.
	SignUpsPerClient limit.Rate
	// ChallengesPerClient bounds the sign-ins with a passkey and with an identity provider that one client begins: each has to
	// be remembered for minutes. The default is 100 per 5 minutes.
	ChallengesPerClient limit.Rate
}

// Budget names one of the budgets of [LimitsConfig]: events and RateLimit headers have these names.
type Budget string

// The budgets of an engine. What each is for stands at its field in [LimitsConfig].
const (
	BudgetRequestsPerClient       Budget = "requests-client"
	BudgetEmailsPerClient         Budget = "emails-client"
	BudgetEmailsPerAddress        Budget = "emails-address"
	BudgetEmailsPerAddressLong    Budget = "emails-address-long"
	BudgetSMSPerClient            Budget = "sms-client"
	BudgetSMSPerNumber            Budget = "sms-number"
	BudgetSMSPerNumberLong        Budget = "sms-number-long"
	BudgetSMSPerCountry           Budget = "sms-country"
	BudgetSMS                     Budget = "sms"
	BudgetUnansweredSMS           Budget = "sms-unanswered"
	BudgetGuessesPerClient        Budget = "guesses-client"
	BudgetGuessesPerAccount       Budget = "guesses-account"
	BudgetGuessesPerAccountLong   Budget = "guesses-account-long"
	BudgetPasswordsPerAccount     Budget = "passwords-account"
	BudgetPasswordsPerAccountLong Budget = "passwords-account-long"
	BudgetSignUpsPerClient        Budget = "signups-client"
	BudgetChallengesPerClient     Budget = "challenges-client"
)

// bucketIDTokens holds the id tokens that have been used: no budget, but kept by a limiter all the same.
const bucketIDTokens = "id-tokens"

// budgetField is a field of a [LimitsConfig].
type budgetField struct {
	budget Budget
	name   string
	rate   *limit.Rate
	usual  limit.Rate
}

// fields lists the budgets in families. Those of one family count together. Of two families none keeps the other from
// counting, whoever fills it with recipients, say.
func (c *LimitsConfig) fields() [][]budgetField {
	const day = 24 * time.Hour
	return [][]budgetField{
		{
			{BudgetRequestsPerClient, "RequestsPerClient", &c.RequestsPerClient, limit.Rate{Burst: 100, Per: time.Minute}},
		}, {
			{BudgetEmailsPerClient, "EmailsPerClient", &c.EmailsPerClient, limit.Rate{Burst: 10, Per: time.Hour}},
			{BudgetEmailsPerAddress, "EmailsPerAddress", &c.EmailsPerAddress, limit.Rate{Burst: 10, Per: time.Hour}},
			{BudgetEmailsPerAddressLong, "EmailsPerAddressLong", &c.EmailsPerAddressLong, limit.Rate{Burst: 30, Per: day}},
		}, {
			{BudgetSMSPerClient, "SMSPerClient", &c.SMSPerClient, limit.Rate{Burst: 10, Per: time.Hour}},
			{BudgetSMSPerNumber, "SMSPerNumber", &c.SMSPerNumber, limit.Rate{Burst: 5, Per: time.Hour}},
			{BudgetSMSPerNumberLong, "SMSPerNumberLong", &c.SMSPerNumberLong, limit.Rate{Burst: 15, Per: day}},
			{BudgetSMSPerCountry, "SMSPerCountry", &c.SMSPerCountry, limit.Rate{Burst: 500, Per: time.Hour}},
			{BudgetSMS, "SMS", &c.SMS, limit.Rate{Burst: 1000, Per: time.Hour}},
			{BudgetUnansweredSMS, "UnansweredSMS", &c.UnansweredSMS, limit.Rate{Burst: 50, Per: time.Hour}},
		}, {
			{BudgetGuessesPerClient, "GuessesPerClient", &c.GuessesPerClient, limit.Rate{Burst: 10, Per: 5 * time.Minute}},
			{BudgetGuessesPerAccount, "GuessesPerAccount", &c.GuessesPerAccount, limit.Rate{Burst: 10, Per: time.Hour}},
			{BudgetGuessesPerAccountLong, "GuessesPerAccountLong", &c.GuessesPerAccountLong, limit.Rate{Burst: 50, Per: 30 * day}},
			{BudgetPasswordsPerAccount, "PasswordsPerAccount", &c.PasswordsPerAccount, limit.Rate{Burst: 10, Per: time.Hour}},
			{BudgetPasswordsPerAccountLong, "PasswordsPerAccountLong", &c.PasswordsPerAccountLong, limit.Rate{Burst: 50, Per: 30 * day}},
		}, {
			{BudgetSignUpsPerClient, "SignUpsPerClient", &c.SignUpsPerClient, limit.Rate{Burst: 10, Per: 5 * time.Minute}},
			{BudgetChallengesPerClient, "ChallengesPerClient", &c.ChallengesPerClient, limit.Rate{Burst: 100, Per: 5 * time.Minute}},
		},
	}
}

// answeredFor is how many texts an answered one pays for: sending goes on while one in so many is answered.
const answeredFor = 4

// withDefaults completes c.
func (c *LimitsConfig) withDefaults(m *mistakes) {
	var known []Budget
	for _, f := range slices.Concat(c.fields()...) {
		known = append(known, f.budget)
		def(f.rate, f.usual)
		if err := f.rate.Check(); err != nil {
			m.add("Limits."+f.name, "%w", err)
		}
	}
	if c.UnansweredSMS.Burst < answeredFor {
		m.add("Limits.UnansweredSMS", "the burst is %d; it must be at least %d", c.UnansweredSMS.Burst, answeredFor)
	}
	if c.FailOpen == nil {
		c.FailOpen = []Budget{
			BudgetRequestsPerClient, BudgetEmailsPerClient, BudgetEmailsPerAddress, BudgetEmailsPerAddressLong,
			BudgetSignUpsPerClient, BudgetChallengesPerClient,
		}
	}
	c.FailOpen = slices.Clone(c.FailOpen)
	for i, b := range c.FailOpen {
		if !slices.Contains(known, b) {
			m.add(fmt.Sprintf("Limits.FailOpen[%d]", i), "there is no budget called %q", b)
		}
	}
}

// budget is one budget and what counts it.
type budget struct {
	limiter  limit.Limiter
	rate     limit.Rate
	failOpen bool
	off      bool
}

// limiters are what an engine counts with.
type limiters struct {
	budgets  map[Budget]*budget
	idTokens map[string]limit.Limiter // by provider
	told     limit.Limiter            // of whom it has been told that a budget is exhausted
}

func newLimiters(c *Config) limiters {
	own := func() limit.Limiter { return limit.NewMemory(limit.MemoryConfig{Now: c.Now}) }
	shared := func() limit.Limiter {
		if c.Limits.Limiter != nil {
			return c.Limits.Limiter
		}
		return own()
	}
	l := limiters{budgets: map[Budget]*budget{}, idTokens: map[string]limit.Limiter{}}
	for _, family := range c.Limits.fields() {
		by := shared()
		if family[0].budget == BudgetRequestsPerClient {
			by = own()
		}
		for _, f := range family {
			// A code of six digits is no secret without.
			always := f.budget == BudgetGuessesPerAccount || f.budget == BudgetGuessesPerAccountLong
			l.budgets[f.budget] = &budget{
				limiter: by, rate: *f.rate, failOpen: slices.Contains(c.Limits.FailOpen, f.budget), off: c.Limits.Off && !always,
			}
		}
	}
	for name := range c.IDTokens {
		l.idTokens[name] = shared()
	}
	l.told = limit.NewMemory(limit.MemoryConfig{Now: c.Now, MaxEntries: 10_000})
	return l
}

// take is a withdrawal of one, for whoever key is.
func (e *Engine) take(b Budget, key string) limit.Take {
	of := e.limiters.budgets[b]
	return limit.Take{Bucket: string(b), Key: key, Rate: of.rate, FailOpen: of.failOpen}
}

// takeForClient is a withdrawal of one for the client that calls, where it is known.
func (e *Engine) takeForClient(ctx context.Context, b Budget) limit.Take {
	network := clientaddr.Key(clientOf(ctx).Address)
	if !network.IsValid() {
		return limit.Take{}
	}
	key := network.Addr().As16()
	return e.take(b, string(key[:]))
}

// spend takes from budgets of one family, of all or of none, or says when to come back. Whether there is such an account has
// no part in it. Those that are off are left out, and those for a client where it is not known.
func (e *Engine) spend(ctx context.Context, takes ...limit.Take) (limit.Decision, error) {
	takes = slices.DeleteFunc(takes, func(t limit.Take) bool {
		return t.Bucket == "" || e.limiters.budgets[Budget(t.Bucket)].off
	})
	if len(takes) == 0 {
		return limit.Decision{Allowed: true}, nil
	}
	d, err := e.limiters.budgets[Budget(takes[0].Bucket)].limiter.Take(ctx, takes...)
	if err != nil {
		return d, fmt.Errorf("limits: %w", err)
	}
	if !d.Allowed {
		e.tellLimited(ctx, d.Bucket, takes)
		return d, ErrTooManyRequests.limited(d)
	}
	return d, nil
}

// tellLimited tells that somebody has exhausted a budget: once a minute, because who is refused comes back at once.
func (e *Engine) tellLimited(ctx context.Context, bucket string, takes []limit.Take) {
	i := slices.IndexFunc(takes, func(t limit.Take) bool { return t.Bucket == bucket })
	if i < 0 {
		return // somebody's own limiter does not say which it was
	}
	d, _ := e.limiters.told.Take(ctx, limit.Take{Bucket: bucket, Key: takes[i].Key, Rate: limit.Rate{Burst: 1, Per: time.Minute}})
	if d.Allowed { // and not if nobody can say
		e.emit(ctx, Event{Type: EventLimited, Code: CodeTooManyRequests, Detail: bucket})
	}
}

// giveBack puts the cost of withdrawals back. If it fails, at worst there is less in the budgets than there might be.
func (e *Engine) giveBack(ctx context.Context, takes ...limit.Take) {
	for i := range takes {
		takes[i].Cost = -takes[i].Amount()
	}
	_, _ = e.spend(context.WithoutCancel(ctx), takes...)
}

// all is a withdrawal of all there is.
func all(t limit.Take) limit.Take {
	t.Cost = t.Rate.Burst
	return t
}

// Admit counts a request of the client that ctx carries (see [WithClient]) against Config.Limits.RequestsPerClient, and
// says what is left. The HTTP adapter asks it about each request to its routes, whatever comes of that. It costs no round
// trip: these are counted within the process. Without a client, or with Config.Limits.Off, nothing is counted, and the
// decision names no bucket.
//
// Errors: [ErrTooManyRequests].
func (e *Engine) Admit(ctx context.Context) (_ limit.Decision, err error) {
	defer e.settle(&err)
	return e.spend(ctx, e.takeForClient(ctx, BudgetRequestsPerClient))
}

// mayWrite takes a letter to an address from its budgets.
func (e *Engine) mayWrite(ctx context.Context, emailKey string) error {
	client := e.takeForClient(ctx, BudgetEmailsPerClient)
	if e.config.Limits.EmailsShared {
		client = e.take(BudgetEmailsPerClient, "")
	}
	_, err := e.spend(ctx, client, e.take(BudgetEmailsPerAddress, emailKey), e.take(BudgetEmailsPerAddressLong, emailKey))
	return err
}

// mayWriteOnSignUp is mayWrite for a sign-up, which sends a letter where addresses are verified.
func (e *Engine) mayWriteOnSignUp(ctx context.Context, emailKey string) error {
	if e.config.Email.AllowUnverified {
		return nil
	}
	return e.mayWrite(ctx, emailKey)
}

// mayText takes a text message to a number from its budgets.
func (e *Engine) mayText(ctx context.Context, number string) error {
	country := phone.CountryCode(number)
	_, err := e.spend(
		ctx, e.takeForClient(ctx, BudgetSMSPerClient), e.take(BudgetSMSPerNumber, number), e.take(BudgetSMSPerNumberLong, number),
		e.take(BudgetSMSPerCountry, country), e.take(BudgetSMS, ""), e.take(BudgetUnansweredSMS, country),
	)
	return err
}

// answered says that somebody at a number has read what was sent there. It is told when the code has been used up, so that one
// code answers for one text.
func (e *Engine) answered(ctx context.Context, number string) {
	t := e.take(BudgetUnansweredSMS, phone.CountryCode(number))
	t.Cost = answeredFor
	e.giveBack(ctx, t)
}

// mayJoin takes an attempt to sign up from the budget of the client.
func (e *Engine) mayJoin(ctx context.Context) error {
	_, err := e.spend(ctx, e.takeForClient(ctx, BudgetSignUpsPerClient))
	return err
}

// mayBegin takes the begin of a sign-in that has to be remembered from the budget of the client.
func (e *Engine) mayBegin(ctx context.Context) error {
	_, err := e.spend(ctx, e.takeForClient(ctx, BudgetChallengesPerClient))
	return err
}

// mayPresent takes a secret that the client presents from its budget, before it is looked at, and returns what is to be told of
// the outcome. Only those count that were wrong, or whatever else the client should not have sent: a busy office is no attack.
func (e *Engine) mayPresent(ctx context.Context) (presented func(error), err error) {
	client := e.takeForClient(ctx, BudgetGuessesPerClient)
	if _, err := e.spend(ctx, client); err != nil {
		return nil, err
	}
	return func(err error) {
		if known := (*Error)(nil); !errors.As(err, &known) || known.Code == CodeInternal {
			e.giveBack(ctx, client)
		}
	}, nil
}

// mayGuess takes a guess of a code from the budgets of the client and of whom the code went to, before it is looked at, and
// returns what is to be told of it afterwards. The budget belongs to the recipient and not to the code: another code brings
// no further guesses. What was not compared, because something failed, is no guess.
//
// In the long run only those count that were made while there was a code to be guessed: nobody is kept out for weeks by
// guesses of what there is not. They are taken first all the same: of many at the same moment no more are looked at than
// there are. Where errors are concealed all of them count, because the difference would tell who has an account.
func (e *Engine) mayGuess(ctx context.Context, to string) (guessed func(error), err error) {
	client, short, long := e.takeForClient(ctx, BudgetGuessesPerClient), e.take(BudgetGuessesPerAccount, to), e.take(BudgetGuessesPerAccountLong, to)
	if _, err := e.spend(ctx, client, short, long); err != nil {
		return nil, err
	}
	return func(err error) {
		switch {
		case err == nil:
			e.giveBack(ctx, client, all(short), long)
		case !isWrong(err):
			e.giveBack(ctx, client, short, long)
		case errors.Is(err, store.ErrNotFound) && !e.config.ConcealErrors:
			e.giveBack(ctx, long)
		}
	}, nil
}

// isWrong reports whether an error says that a code or a password was compared, or would have been had there been one, and is
// not the right one.
func isWrong(err error) bool {
	return errors.Is(err, ErrInvalidTicket) || errors.Is(err, ErrInvalidTOTP) || errors.Is(err, ErrInvalidEmailPassword)
}

// forgive ends the count of guesses of codes, in the long run as well.
func (e *Engine) forgive(ctx context.Context, to string) {
	e.giveBack(ctx, all(e.take(BudgetGuessesPerAccount, to)), all(e.take(BudgetGuessesPerAccountLong, to)))
}

// mayTryPassword is mayGuess for the password of whoever has an address, if anybody does: for one without an account it counts
// the same.
func (e *Engine) mayTryPassword(ctx context.Context, emailKey string) (tried func(error), err error) {
	client, short, long := e.takeForClient(ctx, BudgetGuessesPerClient), e.take(BudgetPasswordsPerAccount, emailKey), e.take(BudgetPasswordsPerAccountLong, emailKey)
	if _, err := e.spend(ctx, client, short, long); err != nil {
		return nil, err
	}
	return func(err error) {
		switch {
		case err == nil:
			e.giveBack(ctx, client, all(short), all(long))
		case !isWrong(err):
			e.giveBack(ctx, client, short, long)
		}
	}, nil
}

// forgivePasswords ends the counts of wrong passwords of a user: there is a new one, which nobody has guessed at.
func (e *Engine) forgivePasswords(ctx context.Context, u *store.User) {
	own := ownPassword(u)
	e.giveBack(
		ctx, all(e.take(BudgetGuessesPerAccount, own)), all(e.take(BudgetGuessesPerAccountLong, own)),
		all(e.take(BudgetPasswordsPerAccount, u.EmailKey)), all(e.take(BudgetPasswordsPerAccountLong, u.EmailKey)),
	)
}

// ownPassword is what guesses of a password count for by who is signed in.
func ownPassword(u *store.User) string { return "password " + u.ID.String() }
