package sqlitestore

import (
	"bytes"
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"testing/fstest"
	"time"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var embedded embed.FS

// Migration is a step from one version of the tables to the next.
type Migration struct {
	Version   int64
	Name      string    // of the file, see [SQL]
	AppliedAt time.Time // to the second; zero while it is pending
}

// SQL returns the migrations as files of plain SQL, with the prefix in them, for those who run migrations with tools of
// their own (see [NoMigrate]): in the order of the files' names, each once and in one transaction. The annotations in
// them are comments, and those of goose. There is only a way forward. [Prefix] is the option that counts. It returns an
// error where an option is invalid.
func SQL(opts ...Option) (fs.FS, error) {
	c, err := configure(opts)
	if err != nil {
		return nil, err
	}
	return render(c.prefix)
}

func render(prefix string) (fs.FS, error) {
	entries, err := embedded.ReadDir("migrations")
	if err != nil {
		return nil, fmt.Errorf("sqlitestore: %w", err)
	}
	// For all its name it is just a file system in memory.
	files := fstest.MapFS{}
	for _, entry := range entries {
		text, err := embedded.ReadFile("migrations/" + entry.Name())
		if err != nil {
			return nil, fmt.Errorf("sqlitestore: %w", err)
		}
		files[entry.Name()] = &fstest.MapFile{Data: bytes.ReplaceAll(text, []byte("{prefix}"), []byte(prefix)), Mode: 0o444}
	}
	return files, nil
}

// Migrate brings the tables of a realm up to date, each step in a transaction of its own. It does nothing where they
// are, and may be called by many processes at the same moment. It waits for other writers no longer than [BusyTimeout],
// and then returns [ErrBusy]; a step itself may take as long as it needs. Which steps were made is kept in the table "migrations",
// with the prefix, in the way of github.com/pressly/goose. [Prefix] and [BusyTimeout] are the options that count.
func Migrate(ctx context.Context, db *sql.DB, opts ...Option) error {
	c, err := configure(opts)
	if err != nil {
		return err
	}
	patience := time.Now().Add(c.busy)
	for {
		p, err := provider(db, c.prefix)
		if err != nil {
			return err
		}
		before, err := p.GetDBVersion(ctx)
		if err == nil {
			_, err = p.Up(ctx)
		}
		if err == nil {
			return nil
		}
		// SQLite has no lock that outlasts a transaction. Who wants to make a step that somebody else has just made
		// fails, finds it made, and goes on from there.
		after, again := p.GetDBVersion(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case again == nil && after > before:
		case !isBusy(err):
			return fmt.Errorf("sqlitestore: migrating: %w", err)
		case time.Now().After(patience):
			return fmt.Errorf("sqlitestore: migrating: %w: %w", ErrBusy, err)
		}
	}
}

// Status lists the migrations in their order and says which were applied. It changes nothing. [Prefix] is the option
// that counts.
func Status(ctx context.Context, db *sql.DB, opts ...Option) ([]Migration, error) {
	c, err := configure(opts)
	if err != nil {
		return nil, err
	}
	p, err := provider(db, c.prefix)
	if err != nil {
		return nil, err
	}
	var list []Migration
	for _, source := range p.ListSources() {
		list = append(list, Migration{Version: source.Version, Name: path.Base(source.Path)})
	}
	// goose would create the table that keeps track.
	var tables int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?",
		c.prefix+"migrations").Scan(&tables); err != nil {
		return nil, fmt.Errorf("sqlitestore: reading the state of the migrations: %w", err)
	}
	if tables == 0 {
		return list, nil
	}
	steps, err := p.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("sqlitestore: reading the state of the migrations: %w", err)
	}
	for i, step := range steps {
		list[i].AppliedAt = step.AppliedAt
	}
	return list, nil
}

func provider(db *sql.DB, prefix string) (*goose.Provider, error) {
	files, err := render(prefix)
	if err != nil {
		return nil, err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithTableName(prefix+"migrations"),
		goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return nil, fmt.Errorf("sqlitestore: %w", err)
	}
	return p, nil
}
