package firewall

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"

	"github.com/fsva/fsva/hostbridge/change"
)

// Plan finds what has to change in the kernel for tables to be as they should.
// A table with other rules is replaced, at one moment, so that there is none
// without rules; one whose sets differ gets and loses elements.
func Plan(tables Tables) (changes []change.Change, err error) {
	for i := range tables {
		t := &tables[i]
		now, err := observe(t.family, t.name)
		if err != nil {
			return nil, err
		}
		thing := "firewall table " + familyNames[t.family] + " " + t.name
		switch detail := now.differs(t); {
		case now == nil:
			changes = append(changes, change.Change{Verb: change.Make, Thing: thing, Detail: fmt.Sprintf("%d rules", t.count()), Do: t.replace})
		case detail != "":
			changes = append(changes, change.Change{Verb: change.Alter, Thing: thing, Detail: detail, Do: t.replace})
		default:
			changes = append(changes, now.planSets(t, thing)...)
		}
	}
	return changes, nil
}

// Remove finds what is there of a bridge's tables, and is to be removed.
func Remove(bridge string) (changes []change.Change, err error) {
	for _, family := range []nftables.TableFamily{nftables.TableFamilyBridge, nftables.TableFamilyINet} {
		t := &table{family: family, name: Name(bridge)}
		there, err := t.exists()
		if err != nil {
			return nil, err
		}
		if there {
			changes = append(changes, change.Change{Verb: change.Remove, Thing: "firewall table " + familyNames[family] + " " + t.name, Do: t.remove})
		}
	}
	return changes, nil
}

func (t *table) count() (n int) {
	for _, c := range t.chains {
		n += len(c.rules)
	}
	return n
}

func (t *table) exists() (bool, error) {
	c, err := dial()
	if err != nil {
		return false, err
	}
	list, err := c.ListTablesOfFamily(t.family)
	if err != nil {
		return false, fmt.Errorf("list firewall tables: %w", err)
	}
	for _, one := range list {
		if one.Name == t.name {
			return true, nil
		}
	}
	return false, nil
}

// batchBytes is room for a transaction and its acknowledgements, in bytes. A
// thousand guests need a tenth of it.
const batchBytes = 8 << 20

func dial() (*nftables.Conn, error) {
	c, err := nftables.New(nftables.WithSockOptions(func(c *netlink.Conn) error {
		// Best effort: a small transaction fits without.
		return errors.Join(c.SetReadBuffer(batchBytes), c.SetWriteBuffer(batchBytes))
	}))
	if err != nil {
		return nil, fmt.Errorf("nftables: %w", err)
	}
	return c, nil
}

// replace makes the table in the kernel what it should be, in one transaction.
func (t *table) replace() error {
	c, err := dial()
	if err != nil {
		return err
	}
	kernel := &nftables.Table{Family: t.family, Name: t.name}
	c.AddTable(kernel) // so that there is one to delete
	c.DelTable(kernel)
	c.AddTable(kernel)
	ids := make(map[string]uint32)
	for i := range t.sets {
		s, err := t.sets[i].make(c, kernel)
		if err != nil {
			return err
		}
		ids[s.Name] = s.ID
	}
	for i := range t.chains { // all before the first rule, which may go to any
		c.AddChain(t.chains[i].kernel(kernel))
	}
	for i := range t.chains {
		chain := &nftables.Chain{Table: kernel, Name: t.chains[i].name}
		for j := range t.chains[i].rules {
			r := &t.chains[i].rules[j]
			c.AddRule(&nftables.Rule{Table: kernel, Chain: chain, Exprs: withSets(r.exprs(), ids), UserData: r.comment()})
		}
	}
	return flush(c)
}

func (t *table) remove() error {
	c, err := dial()
	if err != nil {
		return err
	}
	c.DelTable(&nftables.Table{Family: t.family, Name: t.name})
	return flush(c)
}

// flush sends a transaction.
func flush(c *nftables.Conn) error {
	err := c.Flush()
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: this kernel lacks a part of nftables (NF_TABLES_BRIDGE, NFT_COUNTER)", err)
	}
	return err
}

func (c *chain) kernel(t *nftables.Table) *nftables.Chain {
	k := &nftables.Chain{Table: t, Name: c.name}
	if c.hook != nil {
		accept := nftables.ChainPolicyAccept
		k.Type, k.Hooknum, k.Priority, k.Policy = nftables.ChainTypeFilter, c.hook, nftables.ChainPriorityRef(priority), &accept
	}
	return k
}

// withSets tells lookups the number of their set, which has one in the
// transaction that makes it.
func withSets(exprs []expr.Any, ids map[string]uint32) []expr.Any {
	out := make([]expr.Any, len(exprs))
	for i, e := range exprs {
		if l, ok := e.(*expr.Lookup); ok {
			with := *l
			with.SetID, e = ids[l.SetName], &with
		}
		out[i] = e
	}
	return out
}

// kernel is the set as the kernel knows it.
func (s *set) kernel(t *nftables.Table) (*nftables.Set, error) {
	k := &nftables.Set{Table: t, Name: s.name, KeyType: s.fields[0]}
	if k.KeyType == nftables.TypeIFName {
		k.KeyByteOrder = binaryutil.NativeEndian // or nft(8) shows the names as empty
	}
	if len(s.fields) > 1 {
		kind, err := nftables.ConcatSetType(s.fields...)
		if err != nil {
			return nil, err
		}
		k.KeyType, k.Concatenation = kind, true
	}
	return k, nil
}

// chunk is how many elements go into a message, whose length has 16 bits.
const chunk = 200

// make adds the set with its elements to a transaction.
func (s *set) make(c *nftables.Conn, t *nftables.Table) (*nftables.Set, error) {
	k, err := s.kernel(t)
	if err != nil {
		return nil, err
	}
	if err := c.AddSet(k, nil); err != nil {
		return nil, err
	}
	return k, inChunks(k, s.elements, c.SetAddElements)
}

func inChunks(k *nftables.Set, elements []element, do func(*nftables.Set, []nftables.SetElement) error) error {
	for len(elements) > 0 {
		n := min(chunk, len(elements))
		list := make([]nftables.SetElement, n)
		for i, e := range elements[:n] {
			list[i].Key = e.key
		}
		if err := do(k, list); err != nil {
			return err
		}
		elements = elements[n:]
	}
	return nil
}

// observed is a table as it is.
type observed struct {
	chains map[string]*nftables.Chain
	rules  map[string][]*nftables.Rule
	sets   map[string][]element
}

// observe reads a table; nil if there is none.
func observe(family nftables.TableFamily, name string) (*observed, error) {
	t := &table{family: family, name: name}
	if there, err := t.exists(); err != nil || !there {
		return nil, err
	}
	c, err := dial()
	if err != nil {
		return nil, err
	}
	o := &observed{make(map[string]*nftables.Chain), make(map[string][]*nftables.Rule), make(map[string][]element)}
	kernel := &nftables.Table{Family: family, Name: name}
	chains, err := c.ListChainsOfTableFamily(family)
	if err != nil {
		return nil, fmt.Errorf("list firewall chains: %w", err)
	}
	for _, chain := range chains {
		if chain.Table.Name != name {
			continue
		}
		o.chains[chain.Name] = chain
		if o.rules[chain.Name], err = c.GetRules(kernel, chain); err != nil {
			return nil, fmt.Errorf("list the rules of chain %s: %w", chain.Name, err)
		}
	}
	sets, err := c.GetSets(kernel)
	if err != nil {
		return nil, fmt.Errorf("list firewall sets: %w", err)
	}
	for _, s := range sets {
		elements, err := c.GetSetElements(s)
		if err != nil {
			return nil, fmt.Errorf("list the elements of set %s: %w", s.Name, err)
		}
		o.sets[s.Name] = []element{}
		for _, e := range elements {
			o.sets[s.Name] = append(o.sets[s.Name], element{key: e.Key})
		}
	}
	return o, nil
}

// differs says which chains or sets are not the ones of t, elements aside.
func (o *observed) differs(t *table) string {
	if o == nil {
		return ""
	}
	var wrong []string
	for i := range t.chains {
		if c := &t.chains[i]; !o.same(c) {
			wrong = append(wrong, "rules of chain "+c.name)
		}
	}
	if len(o.chains) != len(t.chains) {
		wrong = append(wrong, "number of chains")
	}
	for _, s := range t.sets {
		if _, ok := o.sets[s.name]; !ok {
			wrong = append(wrong, "set "+s.name)
		}
	}
	if len(o.sets) != len(t.sets) {
		wrong = append(wrong, "number of sets")
	}
	return strings.Join(wrong, ", ")
}

// same says that a chain is as it should be, but for what its rules counted.
func (o *observed) same(c *chain) bool {
	is, rules := o.chains[c.name], o.rules[c.name]
	if is == nil || len(rules) != len(c.rules) {
		return false
	}
	if c.hook != nil && (is.Hooknum == nil || *is.Hooknum != *c.hook || is.Priority == nil || *is.Priority != priority) {
		return false
	}
	for i := range c.rules {
		if !bytes.Equal(rules[i].UserData, c.rules[i].comment()) || !reflect.DeepEqual(uncounted(rules[i].Exprs), uncounted(c.rules[i].exprs())) {
			return false
		}
	}
	return true
}

func uncounted(exprs []expr.Any) []expr.Any {
	out := make([]expr.Any, len(exprs))
	for i, e := range exprs {
		switch x := e.(type) {
		case *expr.Counter:
			e = &expr.Counter{}
		case *expr.Lookup:
			plain := *x
			plain.SetID, e = 0, &plain
		}
		out[i] = e
	}
	return out
}

// planSets finds elements that are missing or too many.
func (o *observed) planSets(t *table, thing string) (changes []change.Change) {
	for i := range t.sets {
		s := &t.sets[i]
		missing, surplus := difference(s.elements, o.sets[s.name]), difference(o.sets[s.name], s.elements)
		if len(missing)+len(surplus) == 0 {
			continue
		}
		changes = append(changes, change.Change{
			Verb: change.Alter, Thing: thing, Detail: fmt.Sprintf("set %s: add %d, remove %d", s.name, len(missing), len(surplus)),
			Do: func() error { return t.alter(s, missing, surplus) },
		})
	}
	return changes
}

func (t *table) alter(s *set, missing, surplus []element) error {
	c, err := dial()
	if err != nil {
		return err
	}
	k, err := s.kernel(&nftables.Table{Family: t.family, Name: t.name})
	if err != nil {
		return err
	}
	if err := inChunks(k, missing, c.SetAddElements); err != nil {
		return err
	}
	if err := inChunks(k, surplus, c.SetDeleteElements); err != nil {
		return err
	}
	return flush(c)
}

// difference is what a has and b has not.
func difference(a, b []element) (only []element) {
	have := make(map[string]bool, len(b))
	for _, e := range b {
		have[string(e.key)] = true
	}
	for _, e := range a {
		if !have[string(e.key)] {
			only = append(only, e)
		}
	}
	return only
}
