package nfs41

import (
	"fmt"

	"github.com/fsva/fsva/server/xdr"
)

// An Op is one operation of a COMPOUND: its arguments and, after the call, its
// results. Operations without results are values (Lookup("name")), the others
// are pointers. A value that has been used may be used again.
type Op interface {
	// Num is the operation's number.
	Num() OpNum
	// Encode appends the arguments, without the number.
	Encode(e *xdr.Encoder)
	// Decode takes what follows the status st in the reply. Results must not
	// alias the decoder's bytes.
	Decode(d *xdr.Decoder, st Status)
}

// A Compound is one COMPOUND call (RFC 8881 section 16.2).
type Compound struct {
	Tag   string
	Minor uint32
	Ops   []Op

	// Status, ReplyTag and Done are the reply's: the overall status, the tag
	// that came back and how many of Ops have a result.
	Status   Status
	ReplyTag string
	Done     int
}

// An OpError tells which operation ended a COMPOUND and how. It wraps Status.
type OpError struct {
	Index  int // in Compound.Ops; in Session.Do the SEQUENCE is not counted and is -1
	Num    OpNum
	Status Status
}

func (e *OpError) Error() string {
	return fmt.Sprintf("nfs41: %v (operation %d): %v", e.Num, e.Index, e.Status)
}

func (e *OpError) Unwrap() error { return e.Status }

// Do sends m exactly as it is and decodes the reply into it.
func (c *Conn) Do(m *Compound) error {
	m.Status, m.Done = 0, 0
	x := exchanges.Get().(*exchange)
	defer exchanges.Put(x)
	x.begin(ProgramNFS, VersionNFS4, ProcCompound, c.Cred)
	m.encode(&x.call)
	if err := c.roundTrip(x); err != nil {
		return err
	}
	d := xdr.NewDecoder(x.reply)
	if err := decodeReply(&d); err != nil {
		return err
	}
	return m.decode(&d)
}

func (m *Compound) encode(e *xdr.Encoder) {
	e.String(m.Tag)
	e.Uint32(m.Minor)
	e.Uint32(uint32(len(m.Ops)))
	for _, op := range m.Ops {
		e.Uint32(uint32(op.Num()))
		op.Encode(e)
	}
}

// decode checks, besides the syntax, what RFC 8881 section 16.2.3 promises:
// results in order, none after the first error, the last one's status that of
// the whole.
func (m *Compound) decode(d *xdr.Decoder) error {
	m.Status = Status(d.Uint32())
	if tag := d.Opaque(maxName); string(tag) != m.ReplyTag {
		m.ReplyTag = string(tag)
	}
	n := d.Count(len(m.Ops), 8)
	for i := range n {
		op := m.Ops[i]
		num, st := OpNum(d.Uint32()), Status(d.Uint32())
		if d.Err() == nil && num != op.Num() && st != NFS4ERR_OP_ILLEGAL {
			return fmt.Errorf("nfs41: result %d is of %v, not %v", i, num, op.Num())
		}
		op.Decode(d, st)
		if err := d.Err(); err != nil {
			return fmt.Errorf("result %d, %v: %w", i, op.Num(), err)
		}
		m.Done++
		if st != NFS4_OK {
			if i+1 != n || m.Status != st {
				return fmt.Errorf("nfs41: %v ended with %v as %d of %d results, COMPOUND with %v", op.Num(), st, i+1, n, m.Status)
			}
			return &OpError{i, op.Num(), st}
		}
	}
	switch {
	case d.Err() != nil:
		return d.Err()
	case m.Status != NFS4_OK && n == 0:
		return m.Status
	case m.Status != NFS4_OK || n != len(m.Ops):
		return fmt.Errorf("nfs41: COMPOUND ended with %v after %d good results of %d", m.Status, n, len(m.Ops))
	case d.Remaining() != 0:
		return fmt.Errorf("nfs41: %d bytes after the last result", d.Remaining())
	}
	return nil
}

// A RawOp is an operation with any number and any argument bytes.
type RawOp struct {
	Op   OpNum
	Args []byte

	// Results is what followed the status: all the rest of the reply, so only
	// the last operation can be one with results.
	Results []byte
}

func (o *RawOp) Num() OpNum            { return o.Op }
func (o *RawOp) Encode(e *xdr.Encoder) { e.Buf = append(e.Buf, o.Args...) }
func (o *RawOp) Decode(d *xdr.Decoder, _ Status) {
	n := d.Remaining() // whole words, as all of XDR
	o.Results = append(o.Results[:0], d.Fixed(n)...)
}
