package auth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
)

// background is for calls that outlive the test function that makes them, or have none.
var background = context.Background()

// parallel calls f n times at once and waits for all.
func parallel(n int, f func()) {
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	for range n {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-start
			f()
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
}

// prints returns every way in which a value may end up in a log.
func prints(v any) []string {
	var b bytes.Buffer
	slog.New(slog.NewTextHandler(&b, nil)).Info("", slog.Any("v", v))
	slog.New(slog.NewJSONHandler(&b, nil)).Info("", slog.Any("v", v))
	out := []string{b.String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		out = append(out, fmt.Sprintf(verb, v))
	}
	return out
}

// asJSON is for messages of failed tests.
func asJSON(v any) string {
	text, _ := json.Marshal(v)
	return string(text)
}
