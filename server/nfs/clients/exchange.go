package clients

import (
	"slices"

	"github.com/fsva/fsva/server/nfs/nfs4"
)

// ExchangeResult is the server's part of EXCHANGE_ID.
type ExchangeResult struct {
	ID        nfs4.ClientID
	Sequence  uint32 // for the first CREATE_SESSION
	Confirmed bool
}

// Exchange is EXCHANGE_ID (RFC 8881 §18.35.4). The numbers in the code are
// those of the RFC's list of cases; update says that the client asked to
// update a confirmed record.
func (r *Registry) Exchange(id Identity, update bool) (ExchangeResult, error) {
	r.mu.Lock()
	replaced, res, err := r.exchange(id, update)
	r.mu.Unlock()
	for _, c := range replaced {
		c.release()
	}
	return res, err
}

func (r *Registry) exchange(id Identity, update bool) (replaced []*Client, res ExchangeResult, err error) {
	rec := r.byOwner[id.Owner]
	var conf, unconf *Client
	if rec != nil {
		conf, unconf = rec.confirmed, rec.unconfirmed
	}
	if update {
		res, err = r.update(conf, id)
		return nil, res, err
	}
	if conf != nil && conf.Principal != id.Principal { // 3: client collision
		if conf.holdsState() && !conf.Courtesy() {
			return nil, res, nfs4.ErrClidInuse
		}
		r.unlink(conf)
		replaced = append(replaced, conf)
		conf = nil
	}
	if conf != nil && conf.Verifier == id.Verifier { // 2: non-update on existing
		conf.touch(r.cfg.Clock())
		return replaced, conf.exchangeResult(true), nil
	}
	// 1: new owner, 4: replacement of an unconfirmed record, 5: client
	// restart. The confirmed record of a restarted client stays until the
	// new one is confirmed.
	if unconf != nil {
		r.unlink(unconf)
		replaced = append(replaced, unconf)
	}
	evicted, err := r.makeRoom(id.Addr, conf != nil)
	if evicted != nil {
		replaced = append(replaced, evicted)
	}
	if err != nil {
		return replaced, res, err
	}
	c := r.newClient(id)
	rec = r.byOwner[id.Owner]
	if rec == nil {
		rec = new(records)
		r.byOwner[id.Owner] = rec
	}
	rec.unconfirmed = c
	return replaced, c.exchangeResult(false), nil
}

func (r *Registry) update(conf *Client, id Identity) (ExchangeResult, error) {
	switch {
	case conf == nil: // 7
		return ExchangeResult{}, nfs4.ErrNoent
	case conf.Verifier != id.Verifier: // 8
		return ExchangeResult{}, nfs4.ErrNotSame
	case conf.Principal != id.Principal: // 9
		return ExchangeResult{}, nfs4.ErrPerm
	}
	conf.touch(r.cfg.Clock()) // 6
	return conf.exchangeResult(true), nil
}

func (c *Client) exchangeResult(confirmed bool) ExchangeResult {
	return ExchangeResult{ID: c.ID, Sequence: c.create.seq + 1, Confirmed: confirmed}
}

// createSlot gives CREATE_SESSION its exactly-once reply, as a slot of its own
// (RFC 8881 §2.10.6.1.3).
type createSlot struct {
	seq    uint32
	result SessionResult
	done   bool // there is a result to replay
}

// CreateArgs is what CREATE_SESSION asks for.
type CreateArgs struct {
	ClientID  nfs4.ClientID
	Sequence  uint32
	Flags     uint32
	Fore      Channel
	Back      Channel
	Callback  Callback
	Principal Principal
}

// SessionResult is what CREATE_SESSION answers.
type SessionResult struct {
	Session  *Session
	ID       nfs4.SessionID
	Sequence uint32
	Flags    uint32
	Fore     Channel
	Back     Channel
}

// CreateSession is CREATE_SESSION (RFC 8881 §18.36.4). A replay gets the first
// answer again, with Session nil. The principal counts until the client is
// confirmed, and not after that: over AUTH_SYS it proves nothing, as both
// guests have a root. What protects a client is that its id cannot be guessed.
func (r *Registry) CreateSession(args CreateArgs) (SessionResult, error) {
	r.mu.Lock()
	res, replaced, err := r.createSession(&args)
	r.mu.Unlock()
	if replaced != nil {
		replaced.release()
	}
	return res, err
}

func (r *Registry) createSession(args *CreateArgs) (res SessionResult, replaced *Client, err error) {
	c := r.byID[args.ClientID]
	if c == nil {
		return res, nil, nfs4.ErrStaleClientid
	}
	slot := &c.create
	switch {
	case args.Sequence == slot.seq && slot.done:
		res = slot.result
		res.Session = nil
		return res, nil, nil
	case args.Sequence != slot.seq+1:
		return res, nil, nfs4.ErrSeqMisordered
	case !c.confirmed && c.Principal != args.Principal:
		return res, nil, nfs4.ErrClidInuse
	}
	if len(c.sessions) >= maxSessions {
		return res, nil, nfs4.ErrNospc
	}
	// A failure leaves the sequence id unused.
	s, err := newSession(c, args)
	if err != nil {
		return res, nil, err
	}
	c.sessions = append(c.sessions, s)
	r.sessions[s.ID] = s
	replaced = r.confirm(c)
	c.touch(r.cfg.Clock())
	res = SessionResult{Session: s, ID: s.ID, Sequence: args.Sequence, Flags: s.flags, Fore: s.Fore, Back: s.Back}
	slot.seq, slot.done, slot.result = args.Sequence, true, res
	slot.result.Session = nil
	return res, replaced, nil
}

// confirm makes c the owner's confirmed record and returns the one it
// replaces: the client has restarted, and what the earlier incarnation held is
// released (RFC 8881 §18.36.4, phase 3).
func (r *Registry) confirm(c *Client) (replaced *Client) {
	if c.confirmed {
		return nil
	}
	rec := r.byOwner[c.Owner]
	old := rec.confirmed
	rec.unconfirmed = nil
	c.confirmed = true
	r.promote(c)
	if old != nil {
		r.unlink(old)
		if r.byOwner[c.Owner] == nil {
			r.byOwner[c.Owner] = rec
		}
	}
	rec.confirmed = c
	return old
}

// DestroySession is DESTROY_SESSION (RFC 8881 §18.37). own is how many of the
// session's requests under way are the caller's.
func (r *Registry) DestroySession(s *Session, own int) error {
	if !s.drain(own) {
		return nfs4.ErrDelay
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sessions[s.ID] != s {
		return nfs4.ErrBadsession
	}
	delete(r.sessions, s.ID)
	s.Client.sessions = slices.DeleteFunc(s.Client.sessions, func(o *Session) bool { return o == s })
	s.kill()
	return nil
}

// DestroyClient is DESTROY_CLIENTID (RFC 8881 §18.50).
func (r *Registry) DestroyClient(id nfs4.ClientID) error {
	c := r.Client(id)
	if c == nil {
		return nfs4.ErrStaleClientid
	}
	recording := r.recording.of(c.Owner)
	recording.Lock()
	err := r.destroy(c)
	recording.Unlock()
	if !r.knows(c) {
		c.release()
	}
	return err
}

// destroy unlinks a client that is not in use and takes it off the record. The
// owner's recording is held.
func (r *Registry) destroy(c *Client) error {
	r.mu.Lock()
	confirmed := c.confirmed
	switch {
	case r.byID[c.ID] != c: // unlinked meanwhile
		r.mu.Unlock()
		return nfs4.ErrStaleClientid
	case len(c.sessions) > 0 || !c.endUnused():
		r.mu.Unlock()
		return nfs4.ErrClientidBusy
	}
	r.unlink(c)
	r.mu.Unlock()
	if !confirmed {
		return nil
	}
	r.grace.settle(r, c.Owner)
	return r.forget(c)
}
