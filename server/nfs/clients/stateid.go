package clients

import (
	"encoding/binary"

	"github.com/fsva/fsva/server/nfs/nfs4"
)

// State is what a stateid stands for: an *Open or a *Locks.
type State interface {
	// StateID returns the state's current stateid.
	StateID() nfs4.StateID
	// Of returns the open that the state is or belongs to.
	Of() *Open
}

// Find returns the state that sid names among the client's (RFC 8881 §8.2.4).
// A seq of zero stands for the latest.
func (c *Client) Find(sid nfs4.StateID) (State, error) {
	if nfs4.ClientID(binary.BigEndian.Uint64(sid.Other[:8])) != c.ID {
		return nil, nfs4.ErrBadStateid
	}
	c.mu.Lock()
	st := c.states[binary.BigEndian.Uint32(sid.Other[8:])]
	c.mu.Unlock()
	if st == nil {
		return nil, nfs4.ErrBadStateid
	}
	now := st.StateID().Seq
	switch {
	case sid.Seq == 0 || sid.Seq == now:
		return st, nil
	case int32(sid.Seq-now) > 0:
		return nil, nfs4.ErrBadStateid
	}
	return nil, nfs4.ErrOldStateid
}

// FindOpen is Find for operations that take the stateid of an open.
func (c *Client) FindOpen(sid nfs4.StateID) (*Open, error) {
	st, err := c.Find(sid)
	if err != nil {
		return nil, err
	}
	o, ok := st.(*Open)
	if !ok {
		return nil, nfs4.ErrBadStateid
	}
	return o, nil
}

// FindLocks is Find for operations that take the stateid of locks.
func (c *Client) FindLocks(sid nfs4.StateID) (*Locks, error) {
	st, err := c.Find(sid)
	if err != nil {
		return nil, err
	}
	l, ok := st.(*Locks)
	if !ok {
		return nil, nfs4.ErrBadStateid
	}
	return l, nil
}

// addState gives a state its number. c.mu is held.
func (c *Client) addState(st State) (serial uint32, err error) {
	if c.dead {
		return 0, nfs4.ErrExpired
	}
	if len(c.states) >= maxStatesPerClient {
		return 0, nfs4.ErrNospc
	}
	for {
		c.serial++
		if c.serial == 0 || c.states[c.serial] != nil {
			continue
		}
		c.states[c.serial] = st
		return c.serial, nil
	}
}

// nextSeq counts a change of a state; zero is skipped, since it means "the
// latest" (RFC 8881 §8.2.2).
func nextSeq(seq uint32) uint32 {
	if seq++; seq == 0 {
		seq = 1
	}
	return seq
}
