package storetest_test

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/storetest"
)

// flow is code under test: it makes two trips.
func flow(ctx context.Context, s store.Store) error {
	u, err := s.CreateUser(ctx, store.NewUser{User: store.User{ID: uuid.New(), CreatedAt: time.Now().UTC()}})
	if err != nil {
		return fmt.Errorf("create user: %w", err)
	}
	if err := s.DeleteUser(ctx, store.UserDeletion{UserID: u.ID}); err != nil {
		return fmt.Errorf("delete user: %w", err)
	}
	return nil
}

func ExampleCounter() {
	counter := storetest.Count(memstore.New())
	if err := flow(context.Background(), counter); err != nil {
		fmt.Println(err)
	}
	fmt.Println(counter.Trips(), counter.Calls())
	// Output: 2 map[CreateUser:1 DeleteUser:1]
}

// A failure at each step: before the store did its part, and after it.
func ExampleBreak() {
	for call := 1; call <= 2; call++ {
		for _, after := range []bool{false, true} {
			s := memstore.New()
			err := flow(context.Background(), storetest.Break(s, storetest.Fault{Call: call, After: after}))
			left, _ := s.Users(context.Background(), uuid.Nil, 10)
			fmt.Printf("%v; %d users left\n", err, len(left))
		}
	}
	// Output:
	// create user: storetest: injected fault; 0 users left
	// create user: storetest: injected fault; 1 users left
	// delete user: storetest: injected fault; 1 users left
	// delete user: storetest: injected fault; 0 users left
}
