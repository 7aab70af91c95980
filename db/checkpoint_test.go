package db

import (
	"bytes"
	"os"
	"testing"
)

// While one write follows the other the log is copied often enough, and to its
// end, so that it begins anew instead of growing.
func TestLogStaysShort(t *testing.T) {
	d := open(t, Options{Dir: t.TempDir()})
	defer d.Close()
	const each, writes = 64 << 10, 900 // 56 MB in all
	filler := bytes.Repeat([]byte{1}, each)
	for range writes {
		if err := d.Write(func(tx *Tx) error {
			_, err := tx.Exec(`INSERT OR REPLACE INTO t (n, filler) VALUES (1, ?)`, filler)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(d.Path() + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	if limit := int64(each * writes / 2); info.Size() > limit {
		t.Errorf("the write-ahead log is %d MB long after %d MB were written", info.Size()>>20, each*writes>>20)
	}
}
