package sqlitestore_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/sqlitestore"
)

// A service's row is committed or rolled back together with the user that it belongs to.
func ExampleWithTx() {
	ctx := context.Background()
	s, err := sqlitestore.Open(ctx, sqlitestore.Memory) // or a file
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	if _, err := s.DB().ExecContext(ctx, "CREATE TABLE profiles (user_id BLOB PRIMARY KEY, colour TEXT NOT NULL)"); err != nil {
		log.Fatal(err)
	}

	signUp := func(colour any) error {
		tx, err := s.DB().BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		u, err := s.CreateUser(sqlitestore.WithTx(ctx, tx), store.NewUser{User: store.User{ID: uuid.New(), CreatedAt: time.Now()}})
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO profiles VALUES (?, ?)", u.ID[:], colour); err != nil {
			return errors.New("no profile")
		}
		return tx.Commit()
	}
	fmt.Println(signUp("green"))
	fmt.Println(signUp(nil))

	users, err := s.Users(ctx, uuid.Nil, 10)
	fmt.Println(len(users), err)
	// Output:
	// <nil>
	// no profile
	// 1 <nil>
}

// The hook of a sign-up takes part in its transaction.
func ExampleTxFrom() {
	ctx := context.Background()
	s, err := sqlitestore.Open(ctx, sqlitestore.Memory)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()

	_, err = s.CreateUser(ctx, store.NewUser{
		User: store.User{ID: uuid.New(), CreatedAt: time.Now()},
		Within: func(ctx context.Context, u store.User) error {
			tx, _ := sqlitestore.TxFrom(ctx)
			var n int
			if err := tx.QueryRow("SELECT count(*) FROM auth_users").Scan(&n); err != nil {
				return err
			}
			fmt.Println("users, this one included:", n)
			return errors.New("closed for today")
		},
	})
	fmt.Println(err)

	users, err := s.Users(ctx, uuid.Nil, 10)
	fmt.Println(len(users), err)
	// Output:
	// users, this one included: 1
	// closed for today
	// 0 <nil>
}
