package state

import (
	"encoding/json"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// Client is the record of a client that may reclaim its state after a restart.
// Owner is what identifies it; the rest tells an operator who it is.
type Client struct {
	Owner     []byte  `json:"-"` // co_ownerid (RFC 8881 §2.4), any bytes
	Verifier  [8]byte `json:"verifier"`
	Principal string  `json:"principal"`
	Addr      string  `json:"addr"`
	Boot      uint64  `json:"boot"` // BootCount when it was recorded
}

// clientKey prefixes the owner, since a key cannot be empty and an owner can.
func clientKey(owner []byte) []byte { return append([]byte{'o'}, owner...) }

// Clients returns all records, sorted by owner.
func (s *Store) Clients() ([]Client, error) {
	var clients []Client
	err := s.view(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketClients).ForEach(func(k, v []byte) error {
			var c Client
			if err := json.Unmarshal(v, &c); err != nil {
				return damage{fmt.Errorf("record of client %q: %w", k[1:], err)}
			}
			c.Owner = clone(k[1:])
			clients = append(clients, c)
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return clients, nil
}

// PutClient records a client, in the place of an earlier record of its owner.
func (s *Store) PutClient(c Client) error {
	record, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return s.update(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketClients).Put(clientKey(c.Owner), record)
	})
}

// DeleteClient takes away the records of owners, in one commit. Where there is
// none, nothing is written.
func (s *Store) DeleteClient(owners ...[]byte) error {
	var recorded [][]byte
	err := s.view(func(tx *bolt.Tx) error {
		for _, owner := range owners {
			if key := clientKey(owner); tx.Bucket(bucketClients).Get(key) != nil {
				recorded = append(recorded, key)
			}
		}
		return nil
	})
	if err != nil || len(recorded) == 0 {
		return err
	}
	return s.update(func(tx *bolt.Tx) error {
		for _, key := range recorded {
			if err := tx.Bucket(bucketClients).Delete(key); err != nil {
				return err
			}
		}
		return nil
	})
}
