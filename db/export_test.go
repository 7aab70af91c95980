package db

import (
	"path/filepath"
	"testing"
)

// For the tests of the fixtures, which use packages above this one.

// SchemaAt brings the database in dir to a version, or makes one of it.
func SchemaAt(t *testing.T, dir string, version int64) { schemaAt(t, dir, version) }

// Schemas lists the versions that there were, the newest last.
func Schemas(t *testing.T) []int64 {
	var all []int64
	for v := range newest(t) {
		all = append(all, v+1)
	}
	return all
}

// DSN is how a database in dir is opened.
func DSN(dir string) string { return dsn(filepath.Join(dir, FileName), "", false) }
