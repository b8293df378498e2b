package state

import (
	"bytes"

	bolt "go.etcd.io/bbolt"
)

// Bucket is a durable table from keys to values for one adapter: what it has to
// remember of a file system that cannot hold it itself. Keys have 1 to
// MaxKey bytes.
type Bucket struct {
	store *Store
	name  []byte
}

// MaxKey is the longest key of a Bucket, in bytes.
const MaxKey = bolt.MaxKeySize

// Bucket returns the table called name, which must not be empty. It exists from
// its first Put.
func (s *Store) Bucket(name string) *Bucket { return &Bucket{s, []byte(name)} }

// Change is one step of Apply.
type Change struct {
	Key   []byte
	Value []byte // nil takes the key away
}

// Apply makes all changes or, with an error, none, in one commit. They are not
// kept.
func (b *Bucket) Apply(changes []Change) error {
	return b.store.update(func(tx *bolt.Tx) error {
		table, err := tx.Bucket(bucketTables).CreateBucketIfNotExists(b.name)
		if err != nil {
			return err
		}
		for _, c := range changes {
			if c.Value == nil {
				err = table.Delete(c.Key)
			} else {
				err = table.Put(c.Key, c.Value)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Put sets the value of a key.
func (b *Bucket) Put(key, value []byte) error {
	if value == nil {
		value = []byte{}
	}
	return b.Apply([]Change{{key, value}})
}

// Delete takes a key away; it may be missing.
func (b *Bucket) Delete(key []byte) error { return b.Apply([]Change{{Key: key}}) }

// Get returns the value of a key, nil if there is none. It is the caller's.
func (b *Bucket) Get(key []byte) (value []byte, err error) {
	err = b.view(func(table *bolt.Bucket) error {
		value = clone(table.Get(key))
		return nil
	})
	return value, err
}

// ForEach calls f for the keys that begin with prefix, in their order, as they
// were at one moment. key and value are valid until f returns and must not be
// modified; f must not call the Store. An error of f ends the walk and is in
// the chain of what ForEach returns.
func (b *Bucket) ForEach(prefix []byte, f func(key, value []byte) error) error {
	return b.view(func(table *bolt.Bucket) error {
		c := table.Cursor()
		for k, v := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
			if err := f(k, v); err != nil {
				return err
			}
		}
		return nil
	})
}

// view reads the table if it exists.
func (b *Bucket) view(read func(*bolt.Bucket) error) error {
	return b.store.view(func(tx *bolt.Tx) error {
		if table := tx.Bucket(bucketTables).Bucket(b.name); table != nil {
			return read(table)
		}
		return nil
	})
}
