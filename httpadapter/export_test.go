package httpadapter

import "github.com/ostiary/auth"

// Routes lists the routes as method and path.
func Routes() []string {
	list := make([]string, len(routes))
	for i, rt := range routes {
		list[i] = rt.method + " " + rt.path
	}
	return list
}

// Statuses are the codes with a status other than 400.
func Statuses() map[auth.Code]int { return statuses }

var WithParams = withParams
