// Package bench measures what the engine costs beyond the work that it cannot avoid.
//
// Every benchmark stands beside the bare cost of its one unavoidable step, under the same name: of=engine and of=adapter
// are this library without and with HTTP; of=jwt parses and verifies the same token with golang-jwt; of=signature makes
// or checks the one signature; of=argon2 is the one hash, with the same parameters. The ratio can so be read from one
// table:
//
//	go test -run '^$' -bench . -count 10 ./bench | tee new.txt
//	go tool benchstat -col /of new.txt
//
// Command ratios compares with the budgets what BenchmarkInTurns measures, in which a machine that gets slower or faster
// does so for both sides:
//
//	go run ./bench/cmd/ratios
//
// BenchmarkPostgres does so for the store on PostgreSQL, beside the least that could be done on the same pool, and command
// scale shows how that store fares with more and more users:
//
//	go run ./bench/cmd/scale
//
// Command soak has two replicas serve people for a long time and watches whether anything grows:
//
//	go run ./bench/cmd/soak -for 10m -store postgres
//
// Command compare measures whole flows over HTTP, beside other products that do them. It is what this module has their modules
// for, and makes the tables of docs/performance.md:
//
//	go run ./bench/cmd/compare -out docs/performance.md
package bench
