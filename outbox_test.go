package auth_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/mail"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/storetest"
)

type sendFunc func(context.Context, mail.Message) error

func (f sendFunc) Send(ctx context.Context, m mail.Message) error { return f(ctx, m) }

// realTime lets an engine tell the time by the clock of the test's bubble.
func realTime(c *auth.Config) { c.Now = time.Now }

// A letter that cannot be delivered is tried again, later each time, and given up in the end; the operator is told of each.
func TestUndeliverableLettersAreGivenUpInTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var times []time.Time
		e := authtest.New(t, realTime, func(c *auth.Config) {
			c.Mail = sendFunc(func(context.Context, mail.Message) error {
				times = append(times, time.Now())
				return errors.New("550 no")
			})
		})
		if _, err := signUp(t, e, "ada@example.com", authtest.Password, auth.SignUpOptions{}); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- e.Run(ctx) }()
		time.Sleep(7 * 24 * time.Hour)
		stop()
		wantErr(t, <-done, context.Canceled)

		if len(times) != 12 {
			t.Errorf("%d attempts", len(times))
		}
		for i := 2; i < len(times); i++ {
			if wait, before := times[i].Sub(times[i-1]), times[i-1].Sub(times[i-2]); before < 8*time.Hour && wait < before*5/4 {
				t.Errorf("attempt %d came %v after the one before, which came after %v", i+1, wait, before)
			}
		}
		if n := len(e.Events.Of(auth.EventMessageGivenUp)); n != 1 {
			t.Errorf("given up %d times", n)
		}
		due, err := e.Store.ClaimMessages(t.Context(), store.MessageClaim{Now: time.Now().AddDate(1, 0, 0), Until: time.Now().AddDate(2, 0, 0), Limit: 10})
		if err != nil || len(due) != 0 {
			t.Errorf("still due: %v, %v", due, err)
		}
	})
}

// Every attempt to send a letter says that it is the same letter, whoever makes it: the call that causes it, or a loop of
// another process, which has read it from the store. Another letter is another, though all else in it may be the same.
func TestALetterHasOneIDForAllAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New()
		var attempts []mail.Message
		down := func(c *auth.Config) {
			c.Mail = sendFunc(func(_ context.Context, m mail.Message) error {
				attempts = append(attempts, m)
				return errors.New("421 not now")
			})
		}
		e := authtest.NewWithStore(t, s, realTime, down)
		if _, err := signUp(t, e, "ada@example.com", authtest.Password, auth.SignUpOptions{}); err != nil {
			t.Fatal(err)
		}
		if len(attempts) != 1 || !mail.IsID(attempts[0].ID) {
			t.Fatalf("the call has made %d attempts: %v", len(attempts), attempts)
		}
		for range 2 {
			loop := authtest.NewWithStore(t, s, realTime, down)
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- loop.Run(ctx) }()
			time.Sleep(time.Hour)
			stop()
			<-done
		}
		if len(attempts) < 3 {
			t.Errorf("%d attempts", len(attempts))
		}
		for i, m := range attempts {
			if diff := cmp.Diff(attempts[0], m); diff != "" {
				t.Errorf("attempt %d: %s", i, diff)
			}
		}
		first := attempts[0].ID
		if err := e.SendPasswordReset(t.Context(), auth.SendPasswordResetParams{Email: "ada@example.com"}); err != nil {
			t.Fatal(err)
		}
		if last := attempts[len(attempts)-1]; last.ID == first || !mail.IsID(last.ID) || last.Template != "password-reset" {
			t.Errorf("letter %s has the ID %q, and the first was %q", last.Template, last.ID, first)
		}
	})
}

// Several loops share the work: every letter goes once.
func TestSeveralLoopsDeliverEachLetterOnce(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	var mu sync.Mutex
	sent := map[string]int{}
	count := func(c *auth.Config) {
		c.Mail = sendFunc(func(_ context.Context, m mail.Message) error {
			mu.Lock()
			defer mu.Unlock()
			sent[m.To]++
			return nil
		})
	}
	ctx, stop := context.WithCancel(t.Context())
	var loops sync.WaitGroup
	var engines []*authtest.Engine
	for range 3 {
		e := authtest.NewWithStore(t, s, count)
		engines = append(engines, e)
		loops.Go(func() { _ = e.Run(ctx) })
	}
	const n = 60
	atOnce(n, func(i int) {
		for {
			_, err := engines[i%3].SignUpPassword(context.Background(), auth.SignUpPasswordParams{
				Email: fmt.Sprintf("user%d@example.com", i), Password: authtest.Password,
			})
			if !errors.Is(err, auth.ErrTooManyRequests) {
				if err != nil {
					t.Error(err)
				}
				return
			}
		}
	})
	deadline := time.Now().Add(20 * time.Second)
	for {
		mu.Lock()
		done := len(sent) == n
		mu.Unlock()
		if done || time.Now().After(deadline) {
			break
		}
		time.Sleep(time.Millisecond) // the loops are told of new letters; this only watches
	}
	stop()
	loops.Wait()
	if len(sent) != n {
		t.Errorf("%d of %d letters have come", len(sent), n)
	}
	for to, times := range sent {
		if times != 1 {
			t.Errorf("%s got %d letters", to, times)
		}
	}
}

// While a call delivers its own letter, no loop tries the same.
func TestALetterThatIsBeingDeliveredIsNobodyElses(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	sends := 0
	e := authtest.NewWithStore(t, s, func(c *auth.Config) {
		c.Mail = sendFunc(func(ctx context.Context, _ mail.Message) error {
			sends++
			due, err := s.ClaimMessages(ctx, store.MessageClaim{Now: c.Now(), Until: c.Now().Add(time.Minute), Limit: 10})
			if err != nil || len(due) != 0 {
				t.Errorf("a loop gets %d letters, %v", len(due), err)
			}
			return nil
		})
	})
	if _, err := signUp(t, e, "ada@example.com", authtest.Password, auth.SignUpOptions{}); err != nil || sends != 1 {
		t.Errorf("%d letters, %v", sends, err)
	}
}

// A sender that hangs holds up neither the caller for ever nor the loop, and one that panics is one that failed.
func TestASenderThatHangsOrPanics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		e := authtest.New(t, realTime, func(c *auth.Config) {
			c.Mail = sendFunc(func(ctx context.Context, _ mail.Message) error {
				if calls.Add(1) == 1 {
					<-ctx.Done()
					return ctx.Err()
				}
				panic("sender")
			})
		})
		began := time.Now()
		if _, err := signUp(t, e, "ada@example.com", authtest.Password, auth.SignUpOptions{}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 30*time.Second {
			t.Errorf("the caller waited %v", took)
		}
		if _, err := signUp(t, e, "bob@example.com", authtest.Password, auth.SignUpOptions{}); err != nil {
			t.Fatal(err)
		}
		if n := len(e.Events.Of(auth.EventMessageFailed)); n != 2 {
			t.Errorf("%d failures", n)
		}
	})
}

// A loop leaves nobody waiting: with one running, a sign-up does not wait for its letter.
func TestARunningLoopTakesTheLetter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		e := authtest.New(t, realTime, func(c *auth.Config) {
			c.Mail = sendFunc(func(context.Context, mail.Message) error { <-release; return nil })
		})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- e.Run(ctx) }()
		synctest.Wait()
		began := time.Now()
		if _, err := signUp(t, e, "ada@example.com", authtest.Password, auth.SignUpOptions{}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("the caller waited %v", took)
		}
		close(release)
		synctest.Wait()
		due, err := e.Store.ClaimMessages(t.Context(), store.MessageClaim{Now: time.Now().AddDate(1, 0, 0), Until: time.Now().AddDate(2, 0, 0), Limit: 10})
		if err != nil || len(due) != 0 {
			t.Errorf("left in the outbox: %v, %v", due, err)
		}
		stop()
		<-done
	})
}

// joining is a store for which calls with a value in their context belong to a transaction of the service's.
type joining struct{ store.Store }

type transaction struct{}

func (joining) Joined(ctx context.Context) bool { return ctx.Value(transaction{}) != nil }

// ST-18: a mail server that takes for ever keeps nothing else: keys rotate, events that wait for the end of a transaction are
// written, what is too old is removed, and endpoints are told.
func TestAMailServerThatHangsKeepsNothingElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := &receivers{}
		e := authtest.NewWithStore(t, joining{memstore.New()}, realTime, audited, rotating, hooked(r, hookTo("x", auth.EventSignInFailed)), func(c *auth.Config) {
			c.Audit.Retention = 24 * time.Hour
			c.Anonymous.MaxIdle = 24 * time.Hour
			c.Mail = sendFunc(func(context.Context, mail.Message) error { <-release; return nil })
		})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- e.Run(ctx) }()
		synctest.Wait()
		if _, err := signUp(t, e, "ada@example.com", authtest.Password, auth.SignUpOptions{}); err != nil {
			t.Fatal(err)
		}
		guestOf(t, e)
		synctest.Wait()
		keys, events := len(e.Events.Of(auth.EventSigningKeyAdded)), len(list(t, e, auth.AuditQuery{Limit: 100}))
		if err := guess(context.WithValue(t.Context(), transaction{}, true), e); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if n := len(list(t, e, auth.AuditQuery{Limit: 100})); n != events+1 {
			t.Errorf("%d events have been written, want 1", n-events)
		}
		if n := len(r.to("x")); n != 1 {
			t.Errorf("the endpoint has got %d calls", n)
		}
		time.Sleep(3 * 24 * time.Hour)
		if n := len(e.Events.Of(auth.EventSigningKeyAdded)); n <= keys {
			t.Error("no key has been added")
		}
		if n := len(list(t, e, auth.AuditQuery{Type: auth.EventAuditPurged, Limit: 100})); n == 0 {
			t.Error("no event has been removed")
		}
		if n := userCount(t, e.Store); n != 1 {
			t.Errorf("%d users are left", n)
		}
		close(release)
		stop()
		wantErr(t, <-done, context.Canceled)
	})
}

// AN-01: the loop removes what has expired, and anonymous users who stay away, if it is told to.
func TestTheLoopCleansUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := authtest.New(t, realTime, func(c *auth.Config) { c.Anonymous.MaxIdle = 24 * time.Hour })
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- e.Run(ctx) }()
		e.SignUp(t, "ada@example.com")
		for range 250 {
			if _, err := e.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(24*time.Hour + time.Minute + time.Second) // the next minute, however many there are
		if n := userCount(t, e.Store); n != 1 {
			t.Errorf("%d users are left", n)
		}
		time.Sleep(30 * 24 * time.Hour)
		stop()
		<-done
		n, err := e.Store.Purge(t.Context(), store.Purge{Now: time.Now(), Limit: 100})
		if err != nil || n != 0 {
			t.Errorf("%d rows were left, %v", n, err)
		}
	})
}

// The loop removes what has expired once a minute, and nobody who may stay.
func TestHowOftenTheLoopCleansUp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]*auth.AnonymousConfig{"guests stay": {}, "guests are off": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := memstore.New()
				guestOf(t, authtest.NewWithStore(t, s, realTime))
				counter := storetest.Count(s)
				looping(t, authtest.NewWithStore(t, counter, realTime, func(config *auth.Config) { config.Anonymous = c }), 10*time.Minute+time.Second)
				if n := counter.Calls()["Purge"]; n != 11 || userCount(t, s) != 1 {
					t.Errorf("%d times, %d users are left", n, userCount(t, s))
				}
			})
		})
	}
}

// ST-18: where the store fails, the loop says so and goes on when it can.
func TestALoopWhileTheStoreFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New()
		down := authtest.NewWithStore(t, s, realTime)
		down.Mailbox.Refuse(errors.New("421 not now"))
		if _, err := signUp(t, down, "ada@example.com", authtest.Password, auth.SignUpOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		e := authtest.NewWithStore(t, storetest.Break(s, storetest.Fault{Method: "ClaimMessages", Call: 1}, storetest.Fault{Method: "Purge", Call: 1},
			storetest.Fault{Method: "SettleMessage", Call: 1}), realTime)
		looping(t, e, 10*time.Minute)
		for _, said := range []string{`msg="claim messages"`, `msg=purge `, `msg="settle message"`} {
			if n := strings.Count(e.Logs.String(), said); n != 1 {
				t.Errorf("%s is said %d times:\n%s", said, n, e.Logs)
			}
		}
		if n := len(e.Mailbox.All()); n != 2 { // for nobody knew that the first had come
			t.Errorf("%d letters have come", n)
		}
	})
}

// A loop that is told to end begins with nothing more, and says nothing of that.
func TestALoopThatEndsBeginsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New()
		down := authtest.NewWithStore(t, s, realTime)
		down.Mailbox.Refuse(errors.New("421 not now"))
		for i := range 3 {
			if _, err := signUp(t, down, fmt.Sprintf("user%d@example.com", i), authtest.Password, auth.SignUpOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		ctx, stop := context.WithCancel(t.Context())
		began, sent := time.Now(), 0
		e := authtest.NewWithStore(t, s, realTime, func(c *auth.Config) {
			c.Mail = sendFunc(func(context.Context, mail.Message) error {
				if sent++; sent == 2 {
					stop()
				}
				return nil
			})
		})
		wantErr(t, e.Run(ctx), context.Canceled)
		if took := time.Since(began); sent != 2 || took != 0 || e.Logs.String() != "" {
			t.Errorf("%d letters in %v:\n%s", sent, took, e.Logs)
		}
		// From now on calls send their letters themselves.
		if _, err := signUp(t, e, "bob@example.com", authtest.Password, auth.SignUpOptions{}); err != nil || sent != 3 {
			t.Errorf("%d letters, %v", sent, err)
		}
	})
}

// A loop of a process that has no sender loses nothing: another one delivers what it cannot.
func TestALoopWithoutASender(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New()
		e := authtest.NewWithStore(t, joining{s}, realTime)
		p := e.Principal(t, e.SignUp(t, "ada@example.com"))
		sent := len(e.Mailbox.All())
		ctx := context.WithValue(t.Context(), transaction{}, true)
		if err := e.SendPasswordReset(ctx, auth.SendPasswordResetParams{Email: "ada@example.com"}); err != nil {
			t.Fatal(err)
		}
		if err := e.ChangePhone(ctx, p, auth.ChangePhoneParams{NewPhoneNumber: adaPhone}); err != nil {
			t.Fatal(err)
		}
		without := authtest.NewWithStore(t, s, realTime, unverified, func(c *auth.Config) { c.Mail, c.SMS = nil, nil })
		looping(t, without, time.Second)
		if failed, said := without.Events.Of(auth.EventMessageFailed), strings.Count(without.Logs.String(), `error="no sender is configured"`); len(failed) != 2 || said != 2 {
			t.Errorf("%d events:\n%s", len(failed), without.Logs)
		}
		looping(t, e, time.Minute)
		if letters, texts := len(e.Mailbox.All())-sent, len(e.Phone.All()); letters != 1 || texts != 1 {
			t.Errorf("%d letters and %d texts have come", letters, texts)
		}
	})
}

// What nobody can read is given up, and nothing is made of it: what is sealed under another secret, and what is no message.
func TestMessagesThatNobodyCanRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &receivers{}
		e := authtest.New(t, realTime, hooked(r, hookTo("x", auth.EventSignedIn)))
		other := authtest.New(t, func(c *auth.Config) { c.Secret = auth.Secret(strings.Repeat("other", 8)) })
		var rows []store.Message
		for _, channel := range []string{"mail", "sms", "webhook:x"} {
			for i, by := range []*authtest.Engine{e, other} {
				if i == 0 && channel == "webhook:x" {
					continue // to which anything is a message
				}
				id := uuid.New()
				rows = append(rows, store.Message{
					ID: id, Channel: channel, Body: auth.SealMessage(by.Engine, id, []byte("no JSON")), CreatedAt: time.Now(), NextAt: time.Now(),
				})
			}
		}
		if err := e.Store.PutMessages(t.Context(), rows); err != nil {
			t.Fatal(err)
		}
		looping(t, e, time.Second)
		if lost := e.Events.Of(auth.EventMessageGivenUp); len(lost) != len(rows) || len(e.Events.All()) != len(rows) {
			t.Errorf("of %d there are %d given up: %+v", len(rows), len(lost), e.Events.All())
		}
		if n := strings.Count(e.Logs.String(), `msg="give up message"`); n != len(rows) || strings.Contains(e.Logs.String(), `msg="deliver message"`) {
			t.Errorf("the log says\n%s", e.Logs)
		}
		if len(e.Mailbox.All()) != 0 || len(e.Phone.All()) != 0 || len(r.calls) != 0 {
			t.Error("something was sent")
		}
	})
}

// A text message is of no use when its code has expired, or is one that the service's provider would not know: no loop sends it,
// and the log says why.
func TestTextMessagesThatAreOfNoUse(t *testing.T) {
	t.Parallel()
	for why, tt := range map[string]struct {
		wait  time.Duration
		amend func(*auth.Config)
	}{
		"the code has expired":                         {time.Hour, func(*auth.Config) {}},
		"the code was made for another kind of sender": {0, func(c *auth.Config) { c.SMS = &auth.SMSConfig{Verifier: authtest.NewPhone()} }},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := memstore.New()
			e := authtest.NewWithStore(t, joining{s}, realTime)
			p := e.Principal(t, e.SignUp(t, "ada@example.com"))
			if err := e.ChangePhone(context.WithValue(t.Context(), transaction{}, true), p, auth.ChangePhoneParams{NewPhoneNumber: adaPhone}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(tt.wait)
			late := authtest.NewWithStore(t, s, realTime, tt.amend)
			looping(t, late, time.Second)
			if n := len(late.Events.Of(auth.EventMessageGivenUp)); n != 1 || len(late.Phone.All()) != 0 || !strings.Contains(late.Logs.String(), `error="sms: outbox: `+why+`"`) {
				t.Errorf("%d given up:\n%s", n, late.Logs)
			}
		})
	}
}

// No letter goes to an address that is none: the call fails, whatever the row of the user says.
func TestAnAddressThatIsNone(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	e := authtest.NewWithStore(t, s)
	ada := e.SignUp(t, "ada@example.com")
	broken := authtest.NewWithStore(t, amended{s, func(u *store.User) { u.Email = "ada" }}, func(c *auth.Config) { c.Now = e.Clock.Now })
	wantErr(t, broken.SendPasswordReset(t.Context(), auth.SendPasswordResetParams{Email: "ada@example.com"}), auth.ErrInternal)
	err := broken.ChangePassword(t.Context(), e.Principal(t, ada), auth.ChangePasswordParams{CurrentPassword: authtest.Password, NewPassword: newPassword})
	wantErr(t, err, auth.ErrInternal)
	if o, err := e.Outbox(t.Context()); err != nil || o != (auth.OutboxState{}) || len(broken.Mailbox.All()) != 0 {
		t.Errorf("%+v, %v, %d letters", o, err, len(broken.Mailbox.All()))
	}
	e.SignIn(t, "ada@example.com")
}

// Who cannot be told is not: where nothing sends letters, and where there is no address.
func TestNoticesToNobody(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		params auth.ImportUserParams
		amend  func(*auth.Config)
	}{
		"without a sender":   {auth.ImportUserParams{Email: "ada@example.com", EmailVerified: true}, func(c *auth.Config) { unverified(c); c.Mail = nil }},
		"without an address": {auth.ImportUserParams{Phone: adaPhone, PhoneVerified: true}, func(*auth.Config) {}},
	} {
		e := authtest.New(t, tt.amend)
		u, err := e.ImportUser(t.Context(), tt.params)
		if err != nil {
			t.Fatal(err)
		}
		yes := true // whatever there is to be verified
		if _, err := e.UpdateUser(t.Context(), u.ID, auth.UserUpdate{EmailVerified: &yes}); err != nil {
			t.Fatal(err)
		}
		if _, err := e.CreatePAT(t.Context(), &auth.Principal{UserID: u.ID}, auth.CreatePATParams{ExpiresAt: e.Clock.Now().Add(time.Hour)}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := e.DeleteAccount(t.Context(), &auth.Principal{UserID: u.ID, AuthTime: e.Clock.Now()}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if o, err := e.Outbox(t.Context()); err != nil || o != (auth.OutboxState{}) || len(e.Events.Of(auth.EventMessageFailed)) != 0 {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
	}
}

// ST-12: many users at once, doing everything, get what is theirs.
func TestManyUsersAtOnceDoNotMeet(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, unverified, func(c *auth.Config) { c.Locales.Allowed = []string{"cs", "fr"} })
	locales := []string{"en", "cs", "fr"}
	atOnce(200, func(i int) {
		ctx := context.Background()
		email, locale := fmt.Sprintf("user%d@example.com", i), locales[i%3]
		var s *auth.Session
		for s == nil {
			in, err := e.SignUpPassword(ctx, auth.SignUpPasswordParams{Email: email, Password: authtest.Password, Options: auth.SignUpOptions{
				Locale: locale, DisplayName: fmt.Sprint("User ", i), RedirectTo: fmt.Sprintf("https://app.test/%d", i),
			}})
			if errors.Is(err, auth.ErrTooManyRequests) {
				continue
			}
			if err != nil {
				t.Error(err)
				return
			}
			s = in.Session
		}
		for range 3 {
			next, err := e.Refresh(ctx, auth.RefreshParams{RefreshToken: s.RefreshToken})
			if err != nil {
				t.Error(err)
				return
			}
			p, err := e.Authenticate(ctx, next.AccessToken)
			if err != nil || p.UserID != s.User.ID || next.User.Email != email || next.User.Locale != locale || !strings.HasSuffix(next.User.DisplayName, fmt.Sprint(" ", i)) {
				t.Errorf("user %d got %s, %v", i, asJSON(next.User), err)
			}
			s = next
		}
	})
}

// lost is the error of a sender that knows that no later attempt will do.
type lost struct{ error }

func (lost) Permanent() bool { return true }

// A letter that no server will ever take is given up at once.
func TestALetterThatWillNeverBeTaken(t *testing.T) {
	t.Parallel()
	for permanent, want := range map[bool]auth.EventType{true: auth.EventMessageGivenUp, false: auth.EventMessageFailed} {
		e := authtest.New(t)
		err := errors.New("no such mailbox")
		if permanent {
			err = fmt.Errorf("deliver: %w", lost{err})
		}
		e.Mailbox.Refuse(err)
		if _, err := signUp(t, e, "ada@example.com", authtest.Password, auth.SignUpOptions{}); err != nil {
			t.Fatal(err)
		}
		if got := e.Events.Of(auth.EventMessageGivenUp, auth.EventMessageFailed); len(got) != 1 || got[0].Type != want {
			t.Errorf("permanent %t: %v", permanent, got)
		}
		e.Mailbox.Refuse(nil)
		e.Clock.Advance(24 * time.Hour)
		due, err := e.Store.ClaimMessages(t.Context(), store.MessageClaim{Now: e.Clock.Now(), Until: e.Clock.Now().Add(time.Minute), Limit: 1})
		if err != nil || len(due) == 0 != permanent {
			t.Errorf("permanent %t: %d letters due, %v", permanent, len(due), err)
		}
	}
}

// The state of the outbox tells an operator whether a loop keeps up, and whether letters were given up.
func TestTheStateOfTheOutbox(t *testing.T) {
	t.Parallel()
	refused := false
	e := authtest.New(t, func(c *auth.Config) {
		c.Mail = sendFunc(func(context.Context, mail.Message) error {
			if refused {
				return lost{errors.New("550 no such mailbox")}
			}
			return errors.New("421 not now")
		})
	})
	state := func(want auth.OutboxState) {
		t.Helper()
		got, err := e.Outbox(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	state(auth.OutboxState{})
	if _, err := signUp(t, e, "ada@example.com", authtest.Password, auth.SignUpOptions{}); err != nil {
		t.Fatal(err)
	}
	state(auth.OutboxState{Waiting: 1})
	e.Clock.Advance(15 * time.Second) // the first delay is from 10 to 15 seconds
	due, err := e.Outbox(t.Context())
	if err != nil || due.Due != 1 || due.Waiting != 0 || due.Delay > 5*time.Second {
		t.Errorf("got %+v, %v", due, err)
	}
	e.Clock.Advance(time.Hour)
	state(auth.OutboxState{Due: 1, Delay: due.Delay + time.Hour})

	refused = true
	if _, err := signUp(t, e, "bob@example.com", authtest.Password, auth.SignUpOptions{}); err != nil {
		t.Fatal(err)
	}
	state(auth.OutboxState{Due: 1, Dead: 1, Delay: due.Delay + time.Hour})

	broken := authtest.NewWithStore(t, storetest.Break(memstore.New(), storetest.Fault{}))
	_, err = broken.Outbox(t.Context())
	wantErr(t, err, auth.ErrInternal)
}

// outgoing counts the messages that a store has been given to keep.
type outgoing struct {
	store.Store
	letters, texts atomic.Int64
}

func (w *outgoing) count(err error, messages ...store.Message) {
	for _, m := range messages {
		switch {
		case err != nil:
		case m.Channel == "mail":
			w.letters.Add(1)
		case m.Channel == "sms":
			w.texts.Add(1)
		}
	}
}

func (w *outgoing) CreateUser(ctx context.Context, n store.NewUser) (store.User, error) {
	u, err := w.Store.CreateUser(ctx, n)
	w.count(err, n.Messages...)
	return u, err
}

func (w *outgoing) ChangeUser(ctx context.Context, c store.UserChange) (store.User, error) {
	u, err := w.Store.ChangeUser(ctx, c)
	w.count(err, c.Messages...)
	return u, err
}

func (w *outgoing) DeleteUser(ctx context.Context, d store.UserDeletion) error {
	err := w.Store.DeleteUser(ctx, d)
	w.count(err, d.Messages...)
	return err
}

// ST-06: no letter and no text message leaves that has not been written with the step that it belongs to: a crash between the two
// would lose it.
func TestEveryMessageIsWrittenWithItsStep(t *testing.T) {
	t.Parallel()
	for _, f := range eventFlows {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			w := &outgoing{}
			s := newScene(t, f.over(func(inner store.Store) store.Store {
				w.Store = inner
				return w
			}))
			f.run(s)
			if letters, texts := len(s.Mailbox.All()), len(s.Phone.All()); w.letters.Load() < int64(letters) || w.texts.Load() < int64(texts) {
				t.Errorf("%d letters and %d texts were sent, %d and %d written", letters, texts, w.letters.Load(), w.texts.Load())
			}
		})
	}
}

// ST-06: nothing is done of which somebody is to be told, or which they need a letter or a text message for, if that cannot be
// written; and whoever called is told of a failure of the service.
func TestNothingIsDoneWhoseMessageCannotBeWritten(t *testing.T) {
	t.Parallel()
	for config, amend := range openAndConcealing {
		for name, prepare := range calls() {
			t.Run(config+", "+name, func(t *testing.T) {
				t.Parallel()
				w := &outgoing{Store: memstore.New()}
				v := newVisitorWithStore(t, w, amend...)
				c := prepare(t, v)
				letters, written := len(v.Mailbox.All()), w.letters.Load()+w.texts.Load()
				if err := c(t.Context(), v.Engine); err != nil {
					t.Fatal(err)
				}
				lost := []string{""} // all of them
				for _, l := range v.Mailbox.All()[letters:] {
					lost = append(lost, l.Template)
				}
				writes := w.letters.Load()+w.texts.Load() > written && name != "CreatePAT" // whose letter comes when all is done

				for _, which := range lost {
					v := newVisitor(t, amend...)
					c := prepare(t, v)
					counter := storetest.Count(v.Store)
					mute := v.replica(t, counter, amend...)
					if err := auth.ForgetTexts(mute.Engine, which); err != nil {
						t.Fatal(err)
					}
					err := c(t.Context(), mute)
					calls := counter.Calls()
					changes := calls["CreateUser"] + calls["ChangeUser"] + calls["DeleteUser"]
					if writes && (!errors.Is(err, auth.ErrInternal) || changes != 0) || !writes && err != nil {
						t.Errorf("without the letter %q: %v, after %v", which, err, calls)
					}
				}
			})
		}
	}
}

// The same of a sign-up that takes the place of another one: both letters wait for the mail server.
func TestTheLetterOfAReplacedSignUpWaits(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	e.Mailbox.Refuse(errors.New("the mail server is down"))
	for _, password := range []string{authtest.Password, newPassword} {
		if _, err := signUp(t, e, "ada@example.com", password, auth.SignUpOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if o, err := e.Outbox(t.Context()); err != nil || o.Due+o.Waiting != 2 {
		t.Errorf("%+v, %v", o, err)
	}
}
