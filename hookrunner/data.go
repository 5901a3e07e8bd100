package hookrunner

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/overlayd/overlayd/lease"
)

// maxData bounds what a lease may carry from node to node, in bytes.
const maxData = 16 << 10

// publishable is a command's output as the data of this node's lease: a JSON string.
func publishable(out string) (json.RawMessage, error) {
	out = strings.TrimSpace(out)
	switch {
	case len(out) > maxData:
		return nil, fmt.Errorf("more than %d bytes on stdout, too many for a lease: print only what the other nodes need", maxData)
	case !utf8.ValidString(out):
		return nil, errors.New("stdout is not UTF-8, which a lease needs: print it in base64, say")
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(out); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(text.Bytes()), nil
}

// peerData is what a hook reads of a peer's data: the text of a JSON string, or any other JSON in its compact form.
//
// A NUL byte is refused. No shell can hold one in a variable, and the in-process one cannot even trace it.
func peerData(peer lease.Lease) (string, error) {
	var raw json.RawMessage
	for p := range peer.Paths() {
		if raw == nil {
			raw = p.Data
		}
	}
	if len(raw) == 0 || string(raw) == "null" {
		return "", nil
	}
	var data string
	if json.Unmarshal(raw, &data) != nil {
		var compact bytes.Buffer
		if err := json.Compact(&compact, raw); err != nil {
			return "", fmt.Errorf("read the peer's data: %w", err)
		}
		data = compact.String()
	}
	switch at := strings.IndexByte(data, 0); {
	case len(data) > maxData:
		return "", fmt.Errorf("the peer's data has %d bytes, more than %d", len(data), maxData)
	case at >= 0:
		return "", fmt.Errorf("the peer's data has a NUL as byte %d", at+1)
	}
	return data, nil
}
