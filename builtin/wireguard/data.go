package wireguard

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/builtin/internal/native"
)

// data is what a lease says of its node's link, as flannel writes it.
type data struct {
	PublicKey string
	Port      uint16 // 0 in leases that do not say it

	// Next is the node's next key and where it answers to that, while it gets another. flannel's nodes do not read it.
	Next *data `json:",omitempty"`
}

func (p Plan) encode(key kernel.PublicKey, f native.Family) (json.RawMessage, error) {
	d := data{PublicKey: key.String(), Port: uint16(p.device(f).port)}
	if p.Next != (kernel.PublicKey{}) {
		d.Next = &data{PublicKey: p.Next.String(), Port: uint16(p.beside(f).port)}
	}
	return json.Marshal(d)
}

// decode returns a peer's key and port. A peer that does not say its port has this node's.
func decode(raw json.RawMessage, ownPort int) (kernel.PublicKey, uint16, error) {
	if len(raw) == 0 {
		return kernel.PublicKey{}, 0, errors.New("its lease does not say its public key")
	}
	d := data{}
	if err := json.Unmarshal(raw, &d); err != nil {
		return kernel.PublicKey{}, 0, fmt.Errorf("its data %.80q cannot be read: %v", raw, err)
	}
	key, err := parseKey(d.PublicKey)
	if err != nil {
		return kernel.PublicKey{}, 0, fmt.Errorf("its PublicKey %.60q is %w", d.PublicKey, err)
	}
	if d.Port == 0 {
		d.Port = uint16(ownPort)
	}
	return key, d.Port, nil
}
