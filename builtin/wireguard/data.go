package wireguard

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

// data is what a lease says of its node's link, as flannel writes it.
type data struct {
	PublicKey string
	Port      uint16 // 0 in leases that do not say it
}

func encode(key kernel.PublicKey, port int) (json.RawMessage, error) {
	return json.Marshal(data{key.String(), uint16(port)})
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
