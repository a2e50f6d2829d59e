package sqlitestore_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/sqlitestore"
)

// The test binary is a worker of its own tests if these say so.
const (
	workerVar = "SQLITESTORE_TEST_WORKER" // which worker
	pathVar   = "SQLITESTORE_TEST_PATH"   // of the database
)

var kills = flag.Int("kills", 40, "how often the process dies that works on a database; 5 with -short")

func TestMain(m *testing.M) {
	work := map[string]func(context.Context, *sqlitestore.Store) error{"load": load, "take": take}[os.Getenv(workerVar)]
	if work == nil {
		os.Exit(m.Run())
	}
	ctx := context.Background()
	s, err := sqlitestore.Open(ctx, os.Getenv(pathVar), sqlitestore.BusyTimeout(time.Minute))
	if err == nil {
		err = work(ctx, s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// worker starts a worker on the database at path.
func worker(t *testing.T, name, path string) (cmd *exec.Cmd, in io.Closer, lines *bufio.Scanner) {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.CommandContext(t.Context(), binary)
	cmd.Env = append(os.Environ(), workerVar+"="+name, pathVar+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err = cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, in, bufio.NewScanner(out)
}

// ticketOf is the ticket that a user of the load has.
func ticketOf(user uuid.UUID) store.Ticket {
	hash := sha256.Sum256(user[:])
	return store.Ticket{ID: user, Kind: "link", Slot: user.String(), Hash: hash[:], Tries: 1000, CreatedAt: start, ExpiresAt: start.Add(time.Hour)}
}

// load signs users up and changes them, in several goroutines, for as long as it lives. What has been acknowledged it
// prints: one line for each, in one write.
func load(ctx context.Context, s *sqlitestore.Store) error {
	failed := make(chan error)
	for range 4 {
		go func() {
			for {
				if err := life(ctx, s, rand.N(5)); err != nil {
					failed <- err
				}
			}
		}()
	}
	return <-failed
}

// life is what happens to one user: a sign-up, some refreshes, and one of five ends.
func life(ctx context.Context, s *sqlitestore.Store, end int) error {
	u, v := newUser(), newSession()
	id := u.ID
	v.ID = id
	ticket := ticketOf(id)
	_, err := s.CreateUser(ctx, store.NewUser{
		User: u, Session: &v, Ticket: &ticket,
		Identity: &store.Identity{Provider: "github", Subject: id.String(), CreatedAt: start},
		Messages: []store.Message{{ID: id, Channel: "mail", CreatedAt: start, NextAt: start}},
	})
	if err != nil {
		return err
	}
	fmt.Println("created", id)
	for generation := range uint32(3) {
		_, err := s.RotateSession(ctx, store.SessionRotation{
			Candidates: []store.SessionGeneration{{ID: id, Generation: generation}}, Now: start, Idle: time.Hour,
		})
		if err != nil {
			return err
		}
		fmt.Printf("rotated%d %s\n", generation+1, id)
	}
	switch end {
	case 0:
		if err := s.DeleteUser(ctx, store.UserDeletion{UserID: id, Now: start}); err != nil {
			return err
		}
		fmt.Println("deleted", id)
	case 1:
		if _, err := s.EndSessions(ctx, id, id); err != nil {
			return err
		}
		fmt.Println("ended", id)
	case 2:
		if _, err := s.ChangeUser(ctx, store.UserChange{
			UserID: id, Now: start, Redeem: id, Set: store.UserSet{EmailVerified: new(true)}, Drop: store.Drop{Sessions: true},
		}); err != nil {
			return err
		}
		fmt.Println("redeemed", id)
	case 3:
		if err := s.SettleMessage(ctx, store.Settlement{ID: id, Delivered: true}); err != nil {
			return err
		}
		fmt.Println("delivered", id)
	}
	return nil
}

// After each of many sudden deaths of a process that works on a database, what was acknowledged is there and nothing is
// there by half.
func TestWhatWasAcknowledgedSurvivesTheDeathOfTheProcess(t *testing.T) { // ST-01
	t.Parallel()
	kills := *kills
	if testing.Short() {
		kills = 5
	}
	path := filepath.Join(t.TempDir(), "auth.db")
	acknowledged := map[uuid.UUID]map[string]bool{}
	lines := 0
	for range kills {
		cmd, _, out := worker(t, "load", path)
		var timer *time.Timer
		for out.Scan() {
			if timer == nil {
				timer = time.AfterFunc(rand.N(100*time.Millisecond), func() { cmd.Process.Kill() })
			}
			what, id, ok := strings.Cut(out.Text(), " ")
			if !ok {
				t.Fatalf("the worker says %q", out.Text())
			}
			user := uuid.MustParse(id)
			if acknowledged[user] == nil {
				acknowledged[user] = map[string]bool{}
			}
			acknowledged[user][what] = true
			lines++
		}
		if timer == nil {
			t.Fatal("the worker said nothing")
		}
		if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != -1 {
			t.Fatalf("the worker ended by itself: %v", err)
		}
		checkFile(t, path)
	}
	t.Logf("%d operations were acknowledged for %d users", lines, len(acknowledged))

	s := open(t, path)
	messages := map[uuid.UUID]bool{}
	for {
		list, err := s.ClaimMessages(t.Context(), store.MessageClaim{Now: start, Until: start.Add(time.Hour), Limit: 1000})
		wants(t, err, nil)
		if len(list) == 0 {
			break
		}
		for _, m := range list {
			messages[m.ID] = true
		}
	}
	left := map[uuid.UUID]bool{}
	var last uuid.UUID
	for {
		page, err := s.Users(t.Context(), last, 1000)
		wants(t, err, nil)
		if len(page) == 0 {
			break
		}
		for _, u := range page {
			last = u.ID
			left[u.ID] = true
			checkUser(t, s, u, acknowledged[u.ID], messages[u.ID])
		}
	}
	for id, was := range acknowledged {
		// The deletion may have been done without being acknowledged, but only after the last rotation was.
		if was["created"] && !left[id] && !was["rotated3"] {
			t.Errorf("user %s is gone", id)
		}
		if was["deleted"] && left[id] {
			t.Errorf("user %s is back", id)
		}
		if (was["ended"] || was["redeemed"] || was["delivered"]) && !left[id] {
			t.Errorf("user %s is gone, who was not deleted", id)
		}
	}
}

// checkUser checks one user of the load against what was acknowledged. Of what came after that, the next step may have
// been done, but not by half.
func checkUser(t *testing.T, s *sqlitestore.Store, u store.User, was map[string]bool, message bool) {
	t.Helper()
	a, err := s.User(t.Context(), store.UserQuery{ID: u.ID, Now: start, With: store.WithIdentities | store.WithSessions})
	wants(t, err, nil)
	if len(a.Identities) != 1 {
		t.Errorf("user %s has no identity", u.ID)
	}
	if len(a.Sessions) == 0 && !was["rotated3"] {
		t.Errorf("the session of user %s is gone", u.ID)
	}
	for _, v := range a.Sessions {
		for generation := v.Generation + 1; generation <= 3; generation++ {
			if was[fmt.Sprintf("rotated%d", generation)] {
				t.Errorf("a session is at generation %d, but %d was acknowledged", v.Generation, generation)
			}
		}
	}
	if len(a.Sessions) > 0 && (was["ended"] || was["redeemed"]) {
		t.Errorf("the session of user %s is back", u.ID)
	}
	ticket := ticketOf(u.ID)
	_, _, err = s.CheckTicket(t.Context(), store.TicketQuery{Kind: ticket.Kind, Hashes: [][]byte{ticket.Hash}, Now: start})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
	// Three things that a redemption does in one.
	redeemed := err != nil
	if redeemed != u.EmailVerified || redeemed && len(a.Sessions) > 0 || redeemed != (u.Epoch == 2) {
		t.Errorf("the ticket of user %s is spent: %t, its effect: %t, %d sessions, epoch %d", u.ID, redeemed, u.EmailVerified, len(a.Sessions), u.Epoch)
	}
	if was["redeemed"] && !redeemed {
		t.Errorf("the ticket of user %s is back", u.ID)
	}
	if !message && !was["rotated3"] {
		t.Errorf("the message to user %s is lost", u.ID)
	}
	if message && was["delivered"] {
		t.Errorf("the message to user %s is back", u.ID)
	}
}

// checkFile fails the test unless the database at path is whole.
func checkFile(t *testing.T, path string) {
	t.Helper()
	s, err := sqlitestore.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var verdict string
	wants(t, s.DB().QueryRow("PRAGMA integrity_check").Scan(&verdict), nil)
	if verdict != "ok" {
		t.Fatalf("the database is damaged: %s", verdict)
	}
	var orphans int
	wants(t, s.DB().QueryRow("SELECT count(*) FROM pragma_foreign_key_check").Scan(&orphans), nil)
	if orphans != 0 {
		t.Fatalf("%d rows belong to nobody", orphans)
	}
}

const contested = 300

// contestedTicket is one of those that two processes want.
func contestedTicket(i int) store.Ticket {
	t := ticketOf(uuid.UUID{byte(i >> 8), byte(i), 1})
	t.Tries = -1
	return t
}

// take waits for the end of its input, takes as many of the contested tickets as it can get, and prints which.
func take(ctx context.Context, s *sqlitestore.Store) error {
	fmt.Println("ready")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	for i := range contested {
		ticket := contestedTicket(i)
		_, err := s.TakeTicket(ctx, store.TicketQuery{Kind: ticket.Kind, Hashes: [][]byte{ticket.Hash}, Now: start})
		switch {
		case err == nil:
			fmt.Println("took", ticket.ID)
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
	}
	return nil
}

func TestTwoProcessesShareAFile(t *testing.T) { // ST-03, W15
	t.Parallel()
	path := filepath.Join(t.TempDir(), "auth.db")
	s := open(t, path)
	for i := range contested {
		wants(t, s.PutTicket(t.Context(), contestedTicket(i)), nil)
	}
	const processes = 2
	var cmds [processes]*exec.Cmd
	var ins [processes]io.Closer
	var outs [processes]*bufio.Scanner
	for i := range cmds {
		cmds[i], ins[i], outs[i] = worker(t, "take", path)
		if !outs[i].Scan() || outs[i].Text() != "ready" {
			t.Fatalf("a worker says %q", outs[i].Text())
		}
	}
	for _, in := range ins {
		wants(t, in.Close(), nil)
	}
	var took [processes][]string
	var wg sync.WaitGroup
	for i, out := range outs {
		wg.Go(func() {
			for out.Scan() {
				took[i] = append(took[i], out.Text())
			}
		})
	}
	wg.Wait()
	for _, cmd := range cmds {
		wants(t, cmd.Wait(), nil)
	}
	times := map[string]int{}
	for _, lines := range took {
		for _, line := range lines {
			times[line]++
		}
	}
	for line, n := range times {
		if n != 1 {
			t.Errorf("%d processes %s", n, line)
		}
	}
	if len(times) != contested {
		t.Errorf("%d tickets were taken, want %d", len(times), contested)
	}
}
