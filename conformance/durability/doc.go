// Package durability tests that what was acknowledged stays, and that nothing is ever half done: with stores that fail,
// programs and databases that are killed, and replicas that compete.
//
// The program under test is this package's own test binary, started again as a server with the routes of httpadapter.
// Clients in the test call it, remember every answer, and insist where none came, as a browser or an app would. After each
// disturbance what they remember is compared with the tables and with what the restarted program says.
//
//	go test -race ./durability                               20 kills for each database
//	go test -race ./durability -run Kill -kills 200          as many as it takes to believe it
//	AUTH_TEST_KILLS=200 AUTH_TEST_SEED=7 go test ./durability
//
// # What it needs
//
// SQLite needs nothing. PostgreSQL is looked for at AUTH_TEST_POSTGRES, a connection string, which is a local server and its
// database "test" unless set; each test makes a schema of its own in it and drops it. Where there is none the tests are
// skipped, and fail if CI=true.
//
// The test of a failover starts two servers of its own from PostgreSQL's binaries, found in the directory
// AUTH_TEST_POSTGRES_BIN, by pg_config, or in /usr/lib/postgresql. As root it runs them as the user "postgres". Where the
// binaries are missing it is skipped; if CI=true it fails, unless AUTH_TEST_POSTGRES says that the database is elsewhere,
// because then nobody promised that they are here.
package durability
