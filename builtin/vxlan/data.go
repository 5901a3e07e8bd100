package vxlan

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

// data is what a lease says of its node's link, as flannel writes it.
type data struct {
	VNI     *int // nil in leases that do not say it
	VtepMAC string
}

func (p Plan) encode(station kernel.MAC) (json.RawMessage, error) {
	return json.Marshal(data{VNI: &p.VNI, VtepMAC: string(station)})
}

// decode returns the link-layer address of a peer's link.
func (p Plan) decode(raw json.RawMessage) (kernel.MAC, error) {
	if len(raw) == 0 {
		return "", errors.New("its lease does not say the address of its VTEP")
	}
	if station, ok := p.plain(raw); ok {
		return station, nil
	}
	var d data
	if err := json.Unmarshal(raw, &d); err != nil {
		return "", fmt.Errorf("its data %.80q cannot be read: %v", raw, err)
	}
	if d.VNI != nil && *d.VNI != p.VNI {
		return "", fmt.Errorf("its VNI is %d, and this node's is %d", *d.VNI, p.VNI)
	}
	address, err := net.ParseMAC(d.VtepMAC)
	if err != nil || len(address) != 6 || address[0]&1 == 1 || address.String() == "00:00:00:00:00:00" {
		return "", fmt.Errorf("its VtepMAC %.40q is not the address of one station", d.VtepMAC)
	}
	return kernel.MAC(address.String()), nil
}

// plain is what decode returns for valid data in the very words that flannel and encode write, which is nearly all. Of ten thousand
// peers, a parser of JSON would take more time than their neighbours take the kernel. ok is false for any other.
func (p Plan) plain(raw json.RawMessage) (station kernel.MAC, ok bool) {
	rest, ok := bytes.CutPrefix(raw, []byte(`{"VNI":`))
	number, rest, found := bytes.Cut(rest, []byte(`,"VtepMAC":"`))
	if !ok || !found || len(number) > 8 || string(strconv.AppendInt(make([]byte, 0, 8), int64(p.VNI), 10)) != string(number) {
		return "", false
	}
	text, ok := bytes.CutSuffix(rest, []byte(`"}`))
	if !ok {
		return "", false
	}
	station = kernel.MAC(text)
	address, ok := station.Number()
	return station, ok && address != 0 && address>>40&1 == 0
}
