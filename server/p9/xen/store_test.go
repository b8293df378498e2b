package xen

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Requests that the back end does not make.
const opMkdir = 12

// daemon is xenstored: the tree, and connections of domains to it.
type daemon struct {
	mu      sync.Mutex // guards what follows
	values  map[string]string
	changes int // so far
	watches []*daemonWatch
	fixed   string // what domains may not remove
}

type daemonWatch struct {
	conn        *daemonConn
	path, token string
}

// daemonConn is the connection of a domain.
type daemonConn struct {
	*daemon
	home         string // what relative paths are below
	conn         net.Conn
	transactions map[uint32]*daemonTransaction
	serial       uint32

	events  []storeMessage // guarded by daemon.mu
	pending chan struct{}
	writing sync.Mutex
}

// daemonTransaction sees the tree as it was, and what it wrote itself.
type daemonTransaction struct {
	values  map[string]string
	changes int
	wrote   []string
}

func newDaemon() *daemon { return &daemon{values: make(map[string]string)} }

// connect returns the domain's end of a connection.
func (d *daemon) connect(t testing.TB, domain int) net.Conn {
	ours, theirs := net.Pipe()
	c := &daemonConn{
		daemon: d, home: fmt.Sprintf("/local/domain/%d/", domain), conn: ours,
		transactions: make(map[uint32]*daemonTransaction), pending: make(chan struct{}, 1),
	}
	done := make(chan struct{})
	var serving sync.WaitGroup
	serving.Go(func() { defer close(done); c.serve() })
	serving.Go(func() { c.deliver(done) })
	t.Cleanup(func() {
		ours.Close()
		theirs.Close()
		serving.Wait()
	})
	return theirs
}

func (c *daemonConn) serve() {
	for {
		m, err := readStoreMessage(c.conn)
		if err != nil {
			return
		}
		if !c.send(c.answer(m)) {
			return
		}
	}
}

func (c *daemonConn) send(m storeMessage) bool {
	c.writing.Lock()
	defer c.writing.Unlock()
	_, err := c.conn.Write(m.encode())
	return err == nil
}

func (c *daemonConn) deliver(done chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-c.pending:
		}
		c.mu.Lock()
		events := c.events
		c.events = nil
		c.mu.Unlock()
		for _, e := range events {
			if !c.send(e) {
				return
			}
		}
	}
}

func (c *daemonConn) absolute(path string) string {
	if strings.HasPrefix(path, "/") {
		return path
	}
	return c.home + path
}

func fail(errno string) storeMessage {
	return storeMessage{kind: opError, payload: []byte(errno + "\x00")}
}

func (c *daemonConn) answer(m storeMessage) storeMessage {
	c.mu.Lock()
	defer c.mu.Unlock()
	path, rest, _ := strings.Cut(string(m.payload), "\x00")
	at := c.absolute(path)
	values := c.values
	tx := c.transactions[m.tx]
	if m.tx != 0 && tx == nil {
		return fail("EINVAL")
	} else if tx != nil {
		values = tx.values
	}
	ok := func(payload string) storeMessage { return storeMessage{kind: m.kind, payload: []byte(payload)} }
	switch m.kind {
	case opRead:
		v, there := values[at]
		if !there {
			return fail("ENOENT")
		}
		return ok(v)
	case opDirectory:
		if _, there := values[at]; !there {
			return fail("ENOENT")
		}
		return ok(strings.Join(append(children(values, at), ""), "\x00"))
	case opWrite, opMkdir:
		put(values, at, rest)
		c.wrote(tx, at)
		return ok("OK\x00")
	case opRemove:
		if at == c.fixed {
			return fail("EACCES")
		}
		// What is not there is removed, if it could be there.
		if _, there := values[at[:strings.LastIndexByte(at, '/')]]; !there {
			return fail("ENOENT")
		}
		cut(values, at)
		c.wrote(tx, at)
		return ok("OK\x00")
	case opWatch:
		w := &daemonWatch{c, path, strings.TrimSuffix(rest, "\x00")}
		c.watches = append(c.watches, w)
		w.fire(path)
		return ok("OK\x00")
	case opUnwatch:
		n := len(c.watches)
		c.watches = slices.DeleteFunc(c.watches, func(w *daemonWatch) bool {
			return w.conn == c && w.path == path && w.token == strings.TrimSuffix(rest, "\x00")
		})
		if len(c.watches) == n {
			return fail("ENOENT")
		}
		return ok("OK\x00")
	case opTransactionStart:
		c.serial++
		copied := make(map[string]string)
		for k, v := range c.values {
			copied[k] = v
		}
		c.transactions[c.serial] = &daemonTransaction{values: copied, changes: c.changes}
		return ok(fmt.Sprintf("%d\x00", c.serial))
	case opTransactionEnd:
		delete(c.transactions, m.tx)
		switch {
		case path == "F":
		case tx.changes != c.changes:
			return fail("EAGAIN")
		default:
			c.values = tx.values
			for _, at := range tx.wrote {
				c.changed(at)
			}
		}
		return ok("OK\x00")
	}
	return fail("ENOSYS")
}

// wrote counts a change at once, or at the end of the transaction.
func (c *daemonConn) wrote(tx *daemonTransaction, at string) {
	if tx != nil {
		tx.wrote = append(tx.wrote, at)
	} else {
		c.changed(at)
	}
}

// put sets a value, and makes the path to it.
func put(values map[string]string, at, value string) {
	values[at] = value
	for i := strings.LastIndexByte(at, '/'); i > 0; i = strings.LastIndexByte(at[:i], '/') {
		if _, there := values[at[:i]]; !there {
			values[at[:i]] = ""
		}
	}
}

// cut removes a tree, and tells whether it was there.
func cut(values map[string]string, at string) bool {
	_, there := values[at]
	for path := range values {
		if path == at || strings.HasPrefix(path, at+"/") {
			delete(values, path)
		}
	}
	return there
}

func children(values map[string]string, at string) (names []string) {
	for path := range values {
		below, ok := strings.CutPrefix(path, at+"/")
		name, _, _ := strings.Cut(below, "/")
		if ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// changed tells who watches. d.mu is held.
func (d *daemon) changed(at string) {
	d.changes++
	for _, w := range d.watches {
		watched := w.conn.absolute(w.path)
		switch {
		case at == watched || strings.HasPrefix(at, watched+"/"):
			// What was watched by a relative path is told by one.
			w.fire(w.path + at[len(watched):])
		case strings.HasPrefix(watched, at+"/"): // at was removed
			w.fire(w.path)
		}
	}
}

func (w *daemonWatch) fire(path string) {
	w.conn.events = append(w.conn.events, storeMessage{kind: opWatchEvent, payload: []byte(path + "\x00" + w.token + "\x00")})
	kick(w.conn.pending)
}

// set writes values as the toolstack does, of which each is a key and a value.
func (d *daemon) set(dir string, pairs ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := 0; i < len(pairs); i += 2 {
		put(d.values, dir+"/"+pairs[i], pairs[i+1])
		d.changed(dir + "/" + pairs[i])
	}
}

func (d *daemon) get(path string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.values[path]
}

// gone tells whether there is nothing at path.
func (d *daemon) gone(path string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, there := d.values[path]
	return !there
}

// remove removes a tree.
func (d *daemon) remove(dir string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if cut(d.values, dir) {
		d.changed(dir)
	}
}
