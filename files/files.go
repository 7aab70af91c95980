// Package files keeps what goes with messages beside their text: pictures, video and
// other files, on disk under ids that can't be guessed. A file is there whole or not at
// all, whatever fails in the middle; one that comes in pieces is there once the last has.
package files

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

// Dir is the directory of the files in data_dir.
const Dir = "files"

// The limits, where Options say nothing.
const (
	Largest  = 25 << 20 // of one file
	AllBytes = 4 << 30  // of all together
	AllFiles = 100_000
)

// The errors, for errors.Is.
var (
	ErrNotFound   = fmt.Errorf("there is no such file, or it was erased: %w", queue.ErrNotFound)
	ErrIncomplete = errors.New("the file is not here yet: not all of it has come; try again later")
	ErrTooLarge   = errors.New("the file is too large")
	ErrFull       = errors.New("there is no room for more files: old ones go with the messages that they came with")
	// ErrRefused: a piece that does not belong to the file, and never will.
	ErrRefused = errors.New("this is no piece of that file")
)

// Options are what Open needs. DB and Dir must be given.
type Options struct {
	DB  *db.DB
	Dir string // data_dir
	// Queue tells which files go with messages, and that some were erased; nil: nothing does.
	Queue *queue.Queue
	Now   func() time.Time
	// Trusted tells whether Now is the time of day; nil: it is.
	Trusted func() bool
	// KeepTexts is how long texts are kept, and what goes with them; nil or 0: for good.
	KeepTexts func() time.Duration
	Max       int64 // bytes of one file; 0: Largest
	Room      int64 // bytes of all; 0: AllBytes
	Count     int   // of files; 0: AllFiles
	Log       *slog.Logger
}

// Store keeps files. Its methods may be called by many at once.
type Store struct {
	o       Options
	dir     string
	holders []Holder
	doubt   chan struct{} // holds one: some files may be nobody's any more

	pieces sync.Mutex // one piece at a time is written
}

// Holder tells the ids of the files that somebody has.
type Holder func(r db.Querier, see func(id string)) error

// Open opens the store in the data directory.
func Open(o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Max, o.Room, o.Count = cmp.Or(o.Max, Largest), cmp.Or(o.Room, AllBytes), cmp.Or(o.Count, AllFiles)
	s := &Store{o: o, dir: filepath.Join(o.Dir, Dir), doubt: make(chan struct{}, 1)}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("the directory of the files: %w", err)
	}
	if o.Queue != nil {
		s.Holds(o.Queue.FilesOf)
		o.Queue.OnErase(func(tx *db.Tx, e queue.Erasure) error {
			for _, m := range e.Messages {
				if err := s.ReleaseTx(tx, m.Files); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return s, nil
}

// Holds has the store ask f which files are still wanted. It is to be called before the
// store is used.
func (s *Store) Holds(f Holder) { s.holders = append(s.holders, f) }

// Max is the size of the largest file that is taken, in bytes.
func (s *Store) Max() int64 { return s.o.Max }

// Put stores a file that comes whole. The media type is what it looks like; the one that
// is stated counts where it looks like nothing.
func (s *Store) Put(ctx context.Context, name, mediaType string, r io.Reader) (sms.File, error) {
	return s.PutFrom(ctx, "", name, mediaType, r)
}

// PutFrom is Put of a file that somebody else than this machine's people gave.
func (s *Store) PutFrom(ctx context.Context, source, name, mediaType string, r io.Reader) (f sms.File, err error) {
	if err := s.room(ctx, source, 1); err != nil {
		return f, err
	}
	temp, err := os.OpenFile(filepath.Join(s.dir, strings.ToLower(rand.Text())+".new"), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return f, onDisk(err)
	}
	defer func() {
		_ = temp.Close()
		if err != nil {
			_ = os.Remove(temp.Name())
		}
	}()
	f = sms.File{ID: strings.ToLower(rand.Text()), Name: CleanName(name)}
	if f.Size, err = io.Copy(temp, io.LimitReader(r, s.o.Max+1)); err != nil {
		return f, onDisk(err)
	}
	if f.Size > s.o.Max {
		return f, fmt.Errorf("%w: %d bytes at most", ErrTooLarge, s.o.Max)
	}
	if err := s.room(ctx, source, f.Size); err != nil {
		return f, err
	}
	if f.Type, err = typeOf(temp, f.Name, mediaType); err != nil {
		return f, err
	}
	if err := temp.Sync(); err != nil {
		return f, onDisk(err)
	}
	if err := ctx.Err(); err != nil {
		return f, err
	}
	if err := os.Rename(temp.Name(), s.path(f.ID)); err != nil {
		return f, onDisk(err)
	}
	if err := s.flush(); err != nil {
		return f, errors.Join(err, os.Remove(s.path(f.ID)))
	}
	// The row comes last: what it names is on disk. Without one the file is swept away.
	err = s.o.DB.Write(func(tx *db.Tx) error {
		_, err := tx.Exec(`INSERT INTO stored_files (id, source, name, type, size, received, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			f.ID, source, f.Name, f.Type, f.Size, f.Size, s.o.Now().UnixMilli())
		return err
	})
	if err != nil {
		_ = os.Remove(s.path(f.ID))
	}
	return f, err
}

// share is which part of the room one gateway may have, or one person: the rest is left to
// the others.
const share = 4

// room tells whether a source may store so many bytes more.
func (s *Store) room(ctx context.Context, source string, more int64) error {
	return s.o.DB.Read(ctx, func(r db.Querier) error { return s.roomFor(r, source, more) })
}

func (s *Store) roomFor(r db.Querier, source string, more int64) error {
	var n int
	var bytes int64
	if err := r.QueryRow(`SELECT count(*), coalesce(sum(size), 0) FROM stored_files`).Scan(&n, &bytes); err != nil {
		return err
	}
	if n >= s.o.Count || bytes+more > s.o.Room {
		return ErrFull
	}
	if source == "" { // this machine's own people
		return nil
	}
	if err := r.QueryRow(`SELECT count(*), coalesce(sum(size), 0) FROM stored_files WHERE source = ?`, source).Scan(&n, &bytes); err != nil {
		return err
	}
	if n >= max(1, s.o.Count/share) || bytes+more > s.o.Room/share {
		return ErrFull
	}
	return nil
}

// stored is a row.
type stored struct {
	sms.File
	Source   string
	Received int64
}

func (s *Store) row(r db.Querier, id string) (f stored, err error) {
	err = r.QueryRow(`SELECT id, source, name, type, size, received FROM stored_files WHERE id = ?`, id).
		Scan(&f.ID, &f.Source, &f.Name, &f.Type, &f.Size, &f.Received)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	return f, err
}

// Stat tells what a file is and who gave it. The error is ErrNotFound, or ErrIncomplete
// while some of it is missing.
func (s *Store) Stat(ctx context.Context, id string) (f sms.File, source string, err error) {
	err = s.o.DB.Read(ctx, func(r db.Querier) error {
		row, err := s.row(r, id)
		f, source = row.File, row.Source
		if err == nil && row.Received < row.Size {
			err = ErrIncomplete
		}
		return err
	})
	return f, source, err
}

// Get opens a file. The errors are those of Stat.
func (s *Store) Get(ctx context.Context, id string) (f sms.File, content io.ReadSeekCloser, err error) {
	if f, _, err = s.Stat(ctx, id); err != nil {
		return f, nil, err
	}
	file, err := os.Open(s.path(id))
	if errors.Is(err, os.ErrNotExist) { // a restored backup has the row, and the disk is another
		err = ErrNotFound
	}
	if err != nil {
		return f, nil, err
	}
	return f, file, nil
}

// Complete tells whether the whole of a file is here.
func (s *Store) Complete(id string) bool {
	_, _, err := s.Stat(context.Background(), id)
	return err == nil
}

// Remove erases a file. One that is not there is no error.
func (s *Store) Remove(id string) error {
	if !validID(id) {
		return nil
	}
	s.pieces.Lock()
	defer s.pieces.Unlock()
	err := s.o.DB.Write(func(tx *db.Tx) error {
		_, err := tx.Exec(`DELETE FROM stored_files WHERE id = ?`, id)
		return err
	})
	if err != nil {
		return err
	}
	return s.unlink(id)
}

// unlink removes what is on disk of a file that has no row any more.
func (s *Store) unlink(id string) (err error) {
	for _, path := range []string{s.path(id), s.part(id)} {
		if gone := os.Remove(path); gone != nil && !errors.Is(gone, os.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}
	return err
}

func (s *Store) path(id string) string { return filepath.Join(s.dir, id) }
func (s *Store) part(id string) string { return filepath.Join(s.dir, id+".part") }

// flush makes the names in the directory last.
func (s *Store) flush() error {
	d, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

var idForm = regexp.MustCompile(`^[a-z2-7]{26}$`)

// validID tells whether an id is one of ours: it becomes a name on disk.
func validID(id string) bool { return idForm.MatchString(id) }

// onDisk tells a full disk by its own error.
func onDisk(err error) error {
	if isFull(err) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}
