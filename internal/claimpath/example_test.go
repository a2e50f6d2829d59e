package claimpath_test

import (
	"fmt"

	"github.com/ostiary/auth/internal/claimpath"
)

func Example() {
	set, err := claimpath.Compile(map[string]string{
		"organisation-ids": "profile.organisations[].id",
		"owner-of":         "profile.organisations[?(@.role == 'owner')].id",
		"plan":             "metadata.plan",
	}, map[string]any{"plan": "free"})
	if err != nil {
		fmt.Println(err)
		return
	}
	claims := set.Extract(map[string]any{
		"profile": map[string]any{
			"organisations": []any{
				map[string]any{"id": "o1", "role": "owner"},
				map[string]any{"id": "o2", "role": "guest"},
			},
		},
	})
	fmt.Println(claims["x-hasura-organisation-ids"])
	fmt.Println(claims["x-hasura-owner-of"])
	fmt.Println(claims["x-hasura-plan"])
	// Output:
	// {"o1","o2"}
	// {"o1"}
	// free
}
