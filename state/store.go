// Package state keeps what the appliance must still know after a restart: who
// it is, how often it started, its keys, the numbers of its exports, which
// clients may reclaim what they held (RFC 8881 §8.4.2), and small tables of
// adapters. It is little and seldom written; files themselves never pass
// through here.
//
// All of it is in one bbolt database, DIR/state.db. A method that changes
// something returns when the change is on stable storage, or with an error and
// no change. Callers that come at the same time share one fsync (see update).
//
// With no directory a Store is volatile: the same database in memory that no
// name leads to. A restart is then a new server to every client.
package state

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync"

	bolt "go.etcd.io/bbolt"
)

// format is the version of what is in the file. A program reads its own and
// all earlier ones.
const format = 1

// Top-level buckets and the keys of bucketMeta.
var (
	bucketMeta    = []byte("meta")
	bucketSecrets = []byte("secrets") // name → random bytes
	bucketExports = []byte("exports") // name → id, 4 bytes big endian; the sequence is the last id given
	bucketClients = []byte("clients") // see client.go
	bucketTables  = []byte("tables")  // a bucket for each Bucket

	keyFormat   = []byte("format")    // 8 bytes big endian
	keyBoot     = []byte("boot")      // 8 bytes big endian
	keyServerID = []byte("server-id") // 16 bytes
)

// Store is an open state directory. Its methods may be called from many
// goroutines at once.
type Store struct {
	db     *bolt.DB
	path   string // of the file, for messages
	server [16]byte
	boot   uint64

	// writing is held while a group of changes is committed. It comes
	// before mu, which guards the group that gathers meanwhile.
	writing sync.Mutex
	mu      sync.Mutex
	next    *group
}

// Open opens the state in dir, which it makes if need be, or a volatile one if
// dir is "". It counts as a start: BootCount is one more than at the last Open.
//
// Only one process can have a directory open. A file that is damaged, or was
// written by a newer version, is refused and left as it is; every error says
// which file it is about and what can be done.
func Open(dir string) (*Store, error) {
	s, err := openFile(dir)
	if err != nil {
		return nil, err
	}
	if err := s.start(); err != nil {
		s.db.Close()
		return nil, err
	}
	return s, nil
}

// Close gives the directory back. No call is under way and none follows.
func (s *Store) Close() error { return s.db.Close() }

// start makes what a new file lacks, counts the start, and reads what does not
// change until the next.
func (s *Store) start() error {
	if err := s.view(readable); err != nil {
		return err
	}
	return s.update(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{bucketMeta, bucketSecrets, bucketExports, bucketClients, bucketTables} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		meta := tx.Bucket(bucketMeta)
		if meta.Get(keyFormat) == nil {
			id := make([]byte, len(s.server))
			rand.Read(id)
			if err := errors.Join(putUint64(meta, keyFormat, format), meta.Put(keyServerID, id)); err != nil {
				return err
			}
		}
		if copy(s.server[:], meta.Get(keyServerID)) != len(s.server) {
			return damage{errors.New("the id of the server is missing")}
		}
		s.boot = getUint64(meta, keyBoot) + 1
		return putUint64(meta, keyBoot, s.boot)
	})
}

// ServerID is random and stays the same for the life of the state directory.
func (s *Store) ServerID() [16]byte { return s.server }

// BootCount is how often the state was opened, this time included: 1 or more,
// and never the same twice.
func (s *Store) BootCount() uint64 { return s.boot }

// Secret returns n random bytes that belong to name: made by the first call,
// the same ever after. name is not empty and n is always the same for a name.
func (s *Store) Secret(name string, n int) ([]byte, error) {
	if n <= 0 {
		return nil, fmt.Errorf("secret %q of %d bytes", name, n)
	}
	secret, err := s.madeOnce(bucketSecrets, name, func(*bolt.Bucket) ([]byte, error) {
		b := make([]byte, n)
		rand.Read(b)
		return b, nil
	})
	if err == nil && len(secret) != n {
		return nil, fmt.Errorf("state file %s: secret %q has %d bytes, not %d", s.path, name, len(secret), n)
	}
	return secret, err
}

// ExportID returns the number of the export called name: 1 or more, given with
// the first call, the same ever after and never given to another name, so that
// a filehandle cannot come to mean a file of another export.
func (s *Store) ExportID(name string) (uint32, error) {
	b, err := s.madeOnce(bucketExports, name, func(exports *bolt.Bucket) ([]byte, error) {
		id, err := exports.NextSequence()
		if err == nil && id > math.MaxUint32 {
			err = errors.New("all export numbers are used up")
		}
		return binary.BigEndian.AppendUint32(nil, uint32(id)), err
	})
	if err != nil {
		return 0, err
	}
	if len(b) != 4 {
		return 0, s.explain(damage{fmt.Errorf("the number of export %q has %d bytes", name, len(b))})
	}
	return binary.BigEndian.Uint32(b), nil
}

// madeOnce returns what the bucket has under name, and has it made if that is
// nothing.
func (s *Store) madeOnce(bucket []byte, name string, make func(*bolt.Bucket) ([]byte, error)) (value []byte, err error) {
	read := func(tx *bolt.Tx) error {
		value = clone(tx.Bucket(bucket).Get([]byte(name)))
		return nil
	}
	if err := s.view(read); err != nil || value != nil {
		return value, err
	}
	err = s.update(func(tx *bolt.Tx) error {
		if read(tx); value != nil { // another was faster
			return nil
		}
		b := tx.Bucket(bucket)
		if value, err = make(b); err != nil {
			return err
		}
		return b.Put([]byte(name), value)
	})
	if err != nil {
		return nil, err
	}
	return value, nil
}

// clone copies what belongs to a transaction; nil stays nil.
func clone(b []byte) []byte {
	if b == nil {
		return nil
	}
	return append([]byte{}, b...)
}

func putUint64(b *bolt.Bucket, key []byte, v uint64) error {
	return b.Put(key, binary.BigEndian.AppendUint64(nil, v))
}

// getUint64 returns 0 for a key that is not there.
func getUint64(b *bolt.Bucket, key []byte) uint64 {
	v := b.Get(key)
	if len(v) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(v)
}
