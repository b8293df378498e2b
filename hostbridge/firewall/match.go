package firewall

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// match is one condition of a rule: as nft(8) writes it, and as the kernel
// takes it. The two are made together, so that what is printed is what runs.
type match struct {
	text  string
	exprs []expr.Any
}

// field is what a condition can look at.
type field struct {
	text string
	meta expr.MetaKey // if size is 0
	base expr.PayloadBase
	at   uint32 // offset from base, in bytes
	size uint32 // in bytes
	kind nftables.SetDatatype
}

// The fields, by header. A frame's type is that at its twelfth byte: there, a
// VLAN tag shows even if the network card took it off.
var (
	iifname = field{text: "iifname", meta: expr.MetaKeyIIFNAME, kind: nftables.TypeIFName}
	oifname = field{text: "oifname", meta: expr.MetaKeyOIFNAME, kind: nftables.TypeIFName}

	etherTarget = link("ether daddr", 0, 6, nftables.TypeEtherAddr)
	etherSource = link("ether saddr", 6, 6, nftables.TypeEtherAddr)
	etherType   = link("ether type", 12, 2, nftables.TypeEtherType)

	arpFormat       = network("@nh,0,48", 0, 6, nftables.TypeInteger) // hardware, protocol, and their lengths
	arpOperation    = network("arp operation", 6, 2, nftables.TypeARPOp)
	arpSourceMAC    = network("arp saddr ether", 8, 6, nftables.TypeEtherAddr)
	arpSource       = network("arp saddr ip", 14, 4, nftables.TypeIPAddr)
	arpTarget       = network("arp daddr ip", 24, 4, nftables.TypeIPAddr)
	ipVersionLength = network("@nh,0,8", 0, 1, nftables.TypeInteger)
	ipFragment      = network("@nh,48,16", 6, 2, nftables.TypeInteger) // flags and offset
	ipProtocol      = network("ip protocol", 9, 1, nftables.TypeInetProto)
	ipSource        = network("ip saddr", 12, 4, nftables.TypeIPAddr)
	ipTarget        = network("ip daddr", 16, 4, nftables.TypeIPAddr)
	ip6Length       = network("ip6 length", 4, 2, nftables.TypeInteger) // of what follows the header
	ip6Next         = network("ip6 nexthdr", 6, 1, nftables.TypeInetProto)
	ip6HopLimit     = network("ip6 hoplimit", 7, 1, nftables.TypeInteger)
	ip6Source       = network("ip6 saddr", 8, 16, nftables.TypeIP6Addr)
	ip6Target       = network("ip6 daddr", 24, 16, nftables.TypeIP6Addr)

	sourcePort   = transport("th sport", 0, 2, nftables.TypeInetService)
	targetPort   = transport("th dport", 2, 2, nftables.TypeInetService)
	tcpFlags     = transport("tcp flags", 13, 1, nftables.TypeTCPFlag)
	icmp6Type    = transport("icmpv6 type", 0, 1, nftables.TypeICMP6Type)
	icmp6Code    = transport("icmpv6 code", 1, 1, nftables.TypeInteger)
	ndTarget     = transport("icmpv6 taddr", 8, 16, nftables.TypeIP6Addr)
	ndOption     = transport("@th,192,16", 24, 2, nftables.TypeInteger) // kind and length, behind a target
	ndOptionMAC  = transport("@th,208,48", 26, 6, nftables.TypeEtherAddr)
	rsOption     = transport("@th,64,16", 8, 2, nftables.TypeInteger) // the same in a router solicitation
	rsOptionMAC  = transport("@th,80,48", 10, 6, nftables.TypeEtherAddr)
	wholeReg     = uint32(unix.NFT_REG_1)
	registerSize = uint32(4)
)

func link(text string, at, size uint32, kind nftables.SetDatatype) field {
	return field{text: text, base: expr.PayloadBaseLLHeader, at: at, size: size, kind: kind}
}

func network(text string, at, size uint32, kind nftables.SetDatatype) field {
	return field{text: text, base: expr.PayloadBaseNetworkHeader, at: at, size: size, kind: kind}
}

func transport(text string, at, size uint32, kind nftables.SetDatatype) field {
	return field{text: text, base: expr.PayloadBaseTransportHeader, at: at, size: size, kind: kind}
}

// load puts a field into a register.
func (f field) load(register uint32) expr.Any {
	if f.size == 0 {
		return &expr.Meta{Key: f.meta, Register: register}
	}
	return &expr.Payload{OperationType: expr.PayloadLoad, DestRegister: register, Base: f.base, Offset: f.at, Len: f.size}
}

// is and isNot compare a field with a value, of which text is how nft writes it.
func (f field) is(text string, value []byte) match {
	return match{f.text + " " + text, []expr.Any{f.load(wholeReg), &expr.Cmp{Op: expr.CmpOpEq, Register: wholeReg, Data: value}}}
}

func (f field) isNot(text string, value []byte) match {
	return match{f.text + " != " + text, []expr.Any{f.load(wholeReg), &expr.Cmp{Op: expr.CmpOpNeq, Register: wholeReg, Data: value}}}
}

// has compares the bits of a field that mask selects.
func (f field) has(mask []byte, op expr.CmpOp, value []byte, text string) match {
	return match{text, []expr.Any{
		f.load(wholeReg),
		&expr.Bitwise{SourceRegister: wholeReg, DestRegister: wholeReg, Len: uint32(len(mask)), Mask: mask, Xor: make([]byte, len(mask))},
		&expr.Cmp{Op: op, Register: wholeReg, Data: value},
	}}
}

// number compares with a number in as many bytes as the field has.
func (f field) number(n uint64) match { return f.is(fmt.Sprint(n), bigEndian(n, f.size)) }

// address compares with an address.
func (f field) address(a netip.Addr) match { return f.is(a.String(), a.AsSlice()) }

// named compares with a number that nft has a name for.
func (f field) named(name string, n uint64) match { return f.is(name, bigEndian(n, f.size)) }

func bigEndian(n uint64, size uint32) []byte {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], n)
	return b[8-size:]
}

// device compares with the name of an interface, which the kernel pads.
func (f field) device(name string) match { return f.is(fmt.Sprintf("%q", name), deviceKey(name)) }

func (f field) notDevice(name string) match {
	return f.isNot(fmt.Sprintf("%q", name), deviceKey(name))
}

func deviceKey(name string) []byte {
	key := make([]byte, unix.IFNAMSIZ)
	copy(key, name)
	return key
}

// in says that the fields together are in a set, notIn that they are not.
func in(set string, fields ...field) match    { return lookup(set, false, fields) }
func notIn(set string, fields ...field) match { return lookup(set, true, fields) }

func lookup(set string, invert bool, fields []field) (m match) {
	names := make([]string, len(fields))
	n := uint32(0)
	for i, f := range fields {
		names[i] = f.text
		m.exprs = append(m.exprs, f.load(register(n)))
		n += (f.kind.Bytes + registerSize - 1) / registerSize
	}
	m.exprs = append(m.exprs, &expr.Lookup{SourceRegister: register(0), SetName: set, Invert: invert})
	m.text = strings.Join(names, " . ") + map[bool]string{false: " @", true: " != @"}[invert] + set
	return m
}

// register is the number of the register that begins with the n-th of 4 bytes.
// Where one of 16 bytes begins there as well, it is that one's, for so the kernel
// tells it, and what it tells is compared.
func register(n uint32) uint32 {
	if n%4 == 0 {
		return unix.NFT_REG_1 + n/4
	}
	return unix.NFT_REG32_00 + n
}
