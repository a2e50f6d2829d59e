package bench

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/pgstore"
	"github.com/ostiary/auth/store/storetest"
)

// What an event costs the call that it belongs to: a sign-in that fails, with a token of nobody's, asks the store once and is one
// event. As many calls at once as it says share the writes.
func BenchmarkAuditedEvent(b *testing.B) {
	for name, open := range map[string]func(*testing.B) store.Store{
		"memory": func(*testing.B) store.Store { return memstore.New() },
		"postgres": func(b *testing.B) store.Store {
			d := newDurable(b)
			s, err := pgstore.New(d.pool, pgstore.Schema(d.schema))
			if err != nil {
				b.Fatal(err)
			}
			return s
		},
	} {
		for _, audit := range []*auth.AuditConfig{nil, {}} {
			for _, calls := range []int{1, 50} {
				b.Run(fmt.Sprintf("%s/audit=%t/calls=%d", name, audit != nil, calls), func(b *testing.B) {
					s := storetest.Count(open(b))
					e := newAudited(b, s, audit)
					guess := func() {
						if _, err := e.SignInPAT(b.Context(), auth.SignInPATParams{PersonalAccessToken: uuid.NewString()}); err == nil {
							b.Error("a token of nobody's was accepted")
						}
					}
					guess()
					s.Reset()
					b.ReportAllocs()
					b.ResetTimer()
					if calls == 1 {
						for range b.N {
							guess()
						}
					} else {
						b.SetParallelism((calls + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
						b.RunParallel(func(pb *testing.PB) {
							for pb.Next() {
								guess()
							}
						})
					}
					b.ReportMetric(float64(s.Calls()["AppendEvents"])/float64(b.N), "writes/op")
				})
			}
		}
	}
}

// What it costs to verify a trail, for each event.
func BenchmarkVerifyAuditTrail(b *testing.B) {
	e := newAudited(b, memstore.New(), &auth.AuditConfig{})
	for range b.N {
		_, _ = e.SignInPAT(b.Context(), auth.SignInPATParams{PersonalAccessToken: uuid.NewString()})
	}
	b.ReportAllocs()
	b.ResetTimer()
	if end, err := e.VerifyAuditTrail(b.Context(), auth.VerifyAuditTrailParams{}); err != nil || end.Seq != int64(b.N) {
		b.Fatal(end, err)
	}
}

func newAudited(b *testing.B, s store.Store, audit *auth.AuditConfig) *auth.Engine {
	b.Helper()
	e, err := auth.New(s, auth.Config{
		ServerURL: "https://bench.example",
		ClientURL: "https://bench.example",
		Secret:    make(auth.Secret, 32),
		Email:     auth.EmailConfig{AllowUnverified: true},
		PAT:       &auth.PATConfig{},
		Audit:     audit,
	})
	if err != nil {
		b.Fatal(err)
	}
	return e
}
