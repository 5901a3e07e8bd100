package firewall

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// A Probe is the first UDP packet that another node sends to a tunnel of this one.
type Probe struct {
	Interface string // by which it comes
	Index     int    // of the interface
	Port      uint16 // to which it goes
	V6        bool   // whether it is an IPv6 packet
}

// A Refusal is a rule, or a chain's policy, that drops a packet.
type Refusal struct {
	Family, Table, Chain string
	Handle               uint64 // of the rule, as nft -a lists it; 0 for the policy
}

// String names the rule for people, as nft or iptables would list it.
func (r Refusal) String() string {
	chain := r.Family + " " + r.Table + " " + r.Chain
	if r.Handle == 0 {
		return "the policy of chain " + chain
	}
	return fmt.Sprintf("rule handle %d of chain %s", r.Handle, chain)
}

// Refuses returns what drops the packet on its way in, nil when nothing surely does: a rule of which it is not known whether it
// fits the packet is taken for one that lets it in.
func (t *Table) Refuses(p Probe) (*Refusal, error) {
	conn := t.conn()
	chains, err := conn.ListChains()
	if err != nil {
		return nil, fmt.Errorf("list chains: %w", err)
	}
	for _, c := range p.passed(chains) {
		w := walk{packet: packet{p, conn}}
		end, by, err := w.through(c, true)
		if err != nil {
			return nil, fmt.Errorf("read chain %s: %w", c.Name, err)
		}
		if end == dropped {
			return by, nil
		}
		if end == returned && !w.doubtful && c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop {
			return refusal(c, 0), nil
		}
	}
	return nil, nil
}

// passed are the chains that filter the packet, in the order in which it passes them.
func (p Probe) passed(chains []*nftables.Chain) []*nftables.Chain {
	own := nftables.TableFamilyIPv4
	if p.V6 {
		own = nftables.TableFamilyIPv6
	}
	chains = slices.DeleteFunc(chains, func(c *nftables.Chain) bool {
		seen := c.Table.Family == own || c.Table.Family == nftables.TableFamilyINet
		return !seen || c.Type != nftables.ChainTypeFilter || c.Hooknum == nil || c.Priority == nil ||
			*c.Hooknum != *nftables.ChainHookInput && *c.Hooknum != *nftables.ChainHookPrerouting
	})
	slices.SortStableFunc(chains, func(a, b *nftables.Chain) int {
		return cmp.Or(cmp.Compare(*a.Hooknum, *b.Hooknum), cmp.Compare(*a.Priority, *b.Priority))
	})
	return chains
}

func refusal(c *nftables.Chain, handle uint64) *Refusal {
	return &Refusal{families[c.Table.Family], c.Table.Name, c.Name, handle}
}

// An end is how a packet leaves a chain.
type end int

const (
	returned end = iota // to the chain before, or to the policy
	accepted
	dropped
)

// A walk is a packet's way through a base chain and those to which its rules jump.
type walk struct {
	packet   packet
	doubtful bool // whether a rule may have accepted the packet, so that no later one surely drops it
	depth    int
}

// deepest is how many jumps the kernel follows (NFT_JUMP_STACK_SIZE, linux/netfilter/nf_tables.h).
const deepest = 16

// through follows the packet through a chain, which it is sure or not sure to have come to.
func (w *walk) through(c *nftables.Chain, sure bool) (end, *Refusal, error) {
	if w.depth++; w.depth > deepest {
		w.doubtful = true
	}
	defer func() { w.depth-- }()
	rules, err := w.packet.conn.GetRules(c.Table, c)
	if err != nil || w.doubtful {
		return returned, nil, err
	}
	for _, rule := range rules {
		fit, verdict := w.packet.meets(rule)
		if fit == no || verdict == nil {
			continue
		}
		certain := sure && fit == yes
		switch verdict.Kind {
		case expr.VerdictDrop:
			if certain && !w.doubtful {
				return dropped, refusal(c, rule.Handle), nil
			}
		case expr.VerdictReturn:
			if certain {
				return returned, nil, nil
			}
			sure = false
		case expr.VerdictJump, expr.VerdictGoto:
			end, by, err := w.through(&nftables.Chain{Name: verdict.Chain, Table: c.Table}, certain)
			if err != nil || end != returned {
				return end, by, err
			}
			if verdict.Kind == expr.VerdictGoto {
				if certain {
					return returned, nil, nil
				}
				sure = false
			}
		case expr.VerdictContinue:
		default: // accepted, or given to a program
			if certain {
				return accepted, nil, nil
			}
			w.doubtful = true
		}
	}
	return returned, nil, nil
}

// A fit is whether a packet is what a rule speaks of.
type fit int

const (
	no fit = iota
	maybe
	yes
)

// A packet answers what rules ask of a probe.
type packet struct {
	Probe
	conn *nftables.Conn
}

// meets reports whether the rule speaks of the packet, and what it then says, nil when it only counts or logs.
func (p packet) meets(rule *nftables.Rule) (fit, *expr.Verdict) {
	registers := map[uint32][]byte{} // nil what is not known
	// The library leaves out what it does not know, which may load a register. So none is taken twice, but for the ends of a range.
	take := func(register uint32) []byte {
		defer delete(registers, register)
		return registers[register]
	}
	whole := yes
	for i, e := range rule.Exprs {
		met := yes
		switch e := e.(type) {
		case *expr.Meta:
			registers[e.Register] = p.meta(e)
		case *expr.Payload:
			registers[e.DestRegister] = p.payload(e)
		case *expr.Ct:
			registers[e.Register] = conntrack(e)
		case *expr.Bitwise:
			registers[e.DestRegister] = masked(registers[e.SourceRegister], e.Mask, e.Xor)
		case *expr.Cmp:
			value := take(e.Register)
			if met = compared(value, e); beginsRange(rule.Exprs[i:]) {
				registers[e.Register] = value
			}
		case *expr.Range:
			met = inRange(take(e.Register), e)
		case *expr.Lookup:
			var verdict *expr.Verdict
			met, verdict = p.lookup(rule.Table, e, take(e.SourceRegister))
			if verdict != nil && met != no {
				return min(whole, met), verdict
			}
		case *expr.Match:
			met = p.match(e)
		case *expr.Counter, *expr.Log, *expr.Objref, *expr.Notrack:
		case *expr.Reject:
			return whole, &expr.Verdict{Kind: expr.VerdictDrop}
		case *expr.Target:
			if e.Name == "REJECT" || e.Name == "DROP" {
				return whole, &expr.Verdict{Kind: expr.VerdictDrop}
			}
			met = maybe
		case *expr.Verdict:
			return whole, e
		default: // which may load what is compared next
			clear(registers)
			met = maybe
		}
		if whole = min(whole, met); whole == no {
			return no, nil
		}
	}
	return whole, nil
}

// beginsRange reports whether the first two expressions compare one value with both ends of a range.
func beginsRange(exprs []expr.Any) bool {
	if len(exprs) < 2 {
		return false
	}
	from, isFrom := exprs[0].(*expr.Cmp)
	to, isTo := exprs[1].(*expr.Cmp)
	return isFrom && isTo && from.Register == to.Register && from.Op == expr.CmpOpGte && to.Op == expr.CmpOpLte
}

func (p packet) meta(e *expr.Meta) []byte {
	if e.SourceRegister {
		return nil
	}
	protocol, ether := byte(unix.NFPROTO_IPV4), []byte{0x08, 0x00}
	if p.V6 {
		protocol, ether = unix.NFPROTO_IPV6, []byte{0x86, 0xdd}
	}
	switch e.Key {
	case expr.MetaKeyNFPROTO:
		return []byte{protocol}
	case expr.MetaKeyPROTOCOL:
		return ether
	case expr.MetaKeyL4PROTO:
		return []byte{unix.IPPROTO_UDP}
	case expr.MetaKeyIIF:
		return binary.NativeEndian.AppendUint32(nil, uint32(p.Index))
	case expr.MetaKeyIIFNAME:
		return append([]byte(p.Interface), make([]byte, unix.IFNAMSIZ-len(p.Interface))...)
	}
	return nil
}

// payload knows the protocol and the port to which the packet goes. It comes from anywhere.
func (p packet) payload(e *expr.Payload) []byte {
	protocolAt := uint32(9) // RFC 791
	if p.V6 {
		protocolAt = 6 // RFC 8200
	}
	switch {
	case e.OperationType != expr.PayloadLoad:
	case e.Base == expr.PayloadBaseTransportHeader && e.Offset == 2 && e.Len == 2: // RFC 768
		return []byte{byte(p.Port >> 8), byte(p.Port)}
	case e.Base == expr.PayloadBaseNetworkHeader && e.Offset == protocolAt && e.Len == 1:
		return []byte{unix.IPPROTO_UDP}
	}
	return nil
}

func masked(value, mask, xor []byte) []byte {
	if len(value) == 0 || len(value) != len(mask) || len(mask) != len(xor) {
		return nil
	}
	result := make([]byte, len(value))
	for i := range value {
		result[i] = value[i]&mask[i] ^ xor[i]
	}
	return result
}

func compared(value []byte, e *expr.Cmp) fit {
	if value == nil || len(value) < len(e.Data) {
		return maybe
	}
	c := bytes.Compare(value[:len(e.Data)], e.Data)
	return fitIf(map[expr.CmpOp]bool{
		expr.CmpOpEq: c == 0, expr.CmpOpNeq: c != 0, expr.CmpOpLt: c < 0, expr.CmpOpLte: c <= 0, expr.CmpOpGt: c > 0, expr.CmpOpGte: c >= 0,
	}[e.Op])
}

func inRange(value []byte, e *expr.Range) fit {
	if value == nil || len(value) != len(e.FromData) {
		return maybe
	}
	inside := bytes.Compare(value, e.FromData) >= 0 && bytes.Compare(value, e.ToData) <= 0
	return fitIf(inside == (e.Op == expr.CmpOpEq))
}

func fitIf(holds bool) fit {
	if holds {
		return yes
	}
	return no
}
