package files

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"gatewayd/db"
	"gatewayd/sms"
)

// Append stores the piece of a file that begins at offset; pieces come in order, as the
// source has them. A repetition changes nothing, and what a crash left half written is
// written again by it. ErrRefused, ErrTooLarge and ErrFull say that the piece is of no
// use, now or later; any other error that it is to be told again.
func (s *Store) Append(source string, f sms.File, offset int64, data []byte) error {
	switch {
	case !validID(f.ID), f.Size < 0, offset < 0, int64(len(data)) > f.Size-offset:
		return ErrRefused
	case f.Size > s.o.Max:
		return fmt.Errorf("%w: %d bytes at most", ErrTooLarge, s.o.Max)
	}
	s.pieces.Lock()
	defer s.pieces.Unlock()
	var row stored
	err := s.o.DB.Write(func(tx *db.Tx) (err error) {
		if row, err = s.row(tx, f.ID); !errors.Is(err, ErrNotFound) {
			return err
		}
		if offset > 0 { // it was erased, or never begun
			return ErrRefused
		}
		if err := s.roomFor(tx, source, f.Size); err != nil {
			return err
		}
		row = stored{File: f, Source: source}
		row.Name, row.Type = CleanName(f.Name), "application/octet-stream"
		_, err = tx.Exec(`INSERT INTO stored_files (id, source, name, type, size, received, created_at) VALUES (?, ?, ?, ?, ?, -1, ?)`,
			f.ID, source, row.Name, row.Type, row.Size, s.o.Now().UnixMilli())
		row.Received = -1
		return err
	})
	if err != nil {
		return err
	}
	// An empty file has no byte whose coming could make it whole: -1 is one that has not begun.
	had := max(row.Received, 0)
	switch {
	case row.Source != source, row.Size != f.Size, offset > had:
		return ErrRefused
	case row.Received >= row.Size || offset+int64(len(data)) <= row.Received:
		return nil
	}
	if there, err := os.Stat(s.path(f.ID)); err == nil && there.Size() == row.Size {
		// A crash came between its last piece and the row.
		if row.Type, err = s.look(row.File, f.Type); err != nil {
			return err
		}
		row.Received = row.Size
	} else {
		if err := s.write(f.ID, offset, data, had > 0); err != nil {
			return err
		}
		row.Received = offset + int64(len(data))
		if row.Received == row.Size {
			if row.Type, err = s.finish(row.File, f.Type); err != nil {
				return err
			}
		}
	}
	return s.o.DB.Write(func(tx *db.Tx) error {
		_, err := tx.Exec(`UPDATE stored_files SET received = ?, type = ? WHERE id = ?`, row.Received, row.Type, f.ID)
		return err
	})
}

// write writes a piece and waits until it is on disk.
func (s *Store) write(id string, offset int64, data []byte, begun bool) (err error) {
	flags := os.O_WRONLY | os.O_CREATE
	if begun {
		flags = os.O_WRONLY
	}
	file, err := os.OpenFile(s.part(id), flags, 0o600)
	if begun && errors.Is(err, os.ErrNotExist) { // the disk is another than the database knows
		return ErrRefused
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := file.WriteAt(data, offset); err != nil {
		return err
	}
	return file.Sync()
}

// finish gives a file that is whole its name, and tells what it looks like.
func (s *Store) finish(f sms.File, stated string) (kind string, err error) {
	file, err := os.OpenFile(s.part(f.ID), os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	kind, err = typeOf(file, f.Name, stated)
	// A crash may have left more behind its end.
	if err = errors.Join(err, file.Truncate(f.Size), file.Sync(), file.Close()); err != nil {
		return "", err
	}
	if err := os.Rename(s.part(f.ID), s.path(f.ID)); err != nil {
		return "", err
	}
	return kind, s.flush()
}

// look tells what a whole file looks like.
func (s *Store) look(f sms.File, stated string) (kind string, err error) {
	file, err := os.Open(s.path(f.ID))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return typeOf(file, f.Name, stated)
}

func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }
