package load

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// slow serves one connection and takes as long for the nth request as the nth duration says, the last for all further ones.
func slow(conn net.Conn, durations []time.Duration) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	for {
		if _, err := http.ReadRequest(r); err != nil {
			return
		}
		time.Sleep(durations[0]) // of the bubble's clock
		if len(durations) > 1 {
			durations = durations[1:]
		}
		if _, err := fmt.Fprint(conn, "HTTP/1.1 204 No Content\r\n\r\n"); err != nil {
			return
		}
	}
}

// piped is a load whose connections take as long as they are told, of a clock that only waiting moves.
func piped(connections ...[]time.Duration) *Load {
	get := Script{
		Next:  func() Request { return Request{Method: "GET", Path: "/"} },
		Check: func(Answer) error { return nil },
	}
	l := &Load{}
	for _, durations := range connections {
		l.scripts = append(l.scripts, get)
		l.clients = append(l.clients, &Client{address: "pipe", dial: func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			go slow(server, durations)
			return client, nil
		}})
	}
	return l
}

func repeated(n int, d time.Duration) []time.Duration {
	list := make([]time.Duration, n)
	for i := range list {
		list[i] = d
	}
	return list
}

// near allows for the three digits that a histogram keeps.
func near(got, want time.Duration) bool { return (got - want).Abs() <= want/1000 }

func TestLatenciesAreThoseOfAllConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		// Of 200 answers 100 take 2 ms, 97 take 7 ms, 3 take 900 ms.
		l := piped(
			repeated(100, 2*time.Millisecond),
			append(repeated(97, 7*time.Millisecond), repeated(3, 900*time.Millisecond)...),
		)
		defer l.Close()
		got, err := l.Repeat(t.Context(), 100)
		if err != nil {
			t.Fatal(err)
		}
		for percent, want := range map[float64]time.Duration{
			50: 2 * time.Millisecond, 51: 7 * time.Millisecond, 98.5: 7 * time.Millisecond,
			99: 900 * time.Millisecond, 100: 900 * time.Millisecond,
		} {
			if l := got.Latency(percent); !near(l, want) {
				t.Errorf("%v%% take %v, want %v", percent, l, want)
			}
		}
		// One connection is done after 0.2 s and the other after 3.379 s.
		if want := 100/0.2 + 100/3.379; got.Rate < 0.999*want || got.Rate > 1.001*want {
			t.Errorf("%v requests in a second, want %v", got.Rate, want)
		}
	})
}

func TestRunEndsWhenItsTimeIsOverAndCountsWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := piped([]time.Duration{30 * time.Millisecond}, []time.Duration{400 * time.Millisecond})
		defer l.Close()
		begin := time.Now()
		got, err := l.Run(t.Context(), time.Second)
		if err != nil {
			t.Fatal(err)
		}
		// 34 times 30 ms and three times 400 ms are the first to reach a second.
		if took := time.Since(begin); got.Requests != 37 || took != 1200*time.Millisecond {
			t.Errorf("%d requests in %v, want 37 in 1.2s", got.Requests, took)
		}
		if want := 1/0.03 + 1/0.4; got.Rate < 0.999*want || got.Rate > 1.001*want {
			t.Errorf("%v requests in a second, want %v", got.Rate, want)
		}
	})
}

func TestAnAnswerThatTakesTooLongEndsTheMeasurement(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := piped([]time.Duration{patience + time.Second})
		defer l.Close()
		if _, err := l.Repeat(t.Context(), 1); err == nil {
			t.Error("no error")
		}
		time.Sleep(time.Minute) // until the server has ended, too
	})
}
