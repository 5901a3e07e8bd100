package helper

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"
)

// A message is a length of four bytes, big endian, a kind, and strings, each behind its length as a varint. There is one job
// at a time, and the helper has one command at a time to be answered.
const (
	msgJob     = 'J' // to the helper: a job's fields; see Job.fields
	msgResult  = 'R' // to the daemon, at last: what became of it; see result.fields
	msgCommand = 'C' // to the daemon: a command's fields; see request.fields
	msgStdout  = 'o' // to the helper, in answer, as often as it takes: what the command prints
	msgStderr  = 'e' // to the helper: likewise
	msgProgram = 'p' // to the helper: argv of a program that is to run in the midst of the command
	msgStatus  = 's' // in answer to msgProgram its exit status, in answer to msgCommand the last command's, in decimal
	msgUnknown = 'u' // to the helper: how many commands were carried out before one that the daemon does not answer
	msgFailed  = 'f' // to the helper, or in answer to msgProgram: why the hook cannot go on
	msgInput   = 'i' // to the helper: how many commands were carried out before one that is to be sent again with what can be
	// read of a file, and the file's name, "" for stdin
)

// maxMessage bounds a message, in bytes. Nothing that is sent comes near.
const maxMessage = 8 << 20

// A wire is one end of the connection. It is used by one goroutine at a time.
type wire struct {
	file io.ReadWriteCloser
	in   *bufio.Reader
	out  []byte
}

func newWire(f *os.File) *wire { return &wire{file: f, in: bufio.NewReaderSize(f, 64<<10)} }

func (w *wire) send(kind byte, fields ...string) error {
	b := append(w.out[:0], 0, 0, 0, 0, kind)
	for _, f := range fields {
		b = binary.AppendUvarint(b, uint64(len(f)))
		b = append(b, f...)
	}
	w.out = b
	if len(b) > maxMessage {
		w.out = nil
		return fmt.Errorf("message of %d bytes is too long", len(b))
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	_, err := w.file.Write(b)
	return err
}

// receive returns io.EOF when the other end is closed.
func (w *wire) receive() (kind byte, fields []string, err error) {
	var head [4]byte
	if _, err := io.ReadFull(w.in, head[:]); err != nil {
		return 0, nil, err
	}
	length := binary.BigEndian.Uint32(head[:])
	if length == 0 || length > maxMessage {
		return 0, nil, fmt.Errorf("message of %d bytes", length)
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(w.in, body); err != nil {
		return 0, nil, fmt.Errorf("message %q: %w", body[0], err)
	}
	for rest := body[1:]; len(rest) > 0; {
		size, n := binary.Uvarint(rest)
		if n <= 0 || size > uint64(len(rest)-n) {
			return 0, nil, fmt.Errorf("message %q has no whole string as number %d", body[0], len(fields)+1)
		}
		rest = rest[n:]
		fields = append(fields, string(rest[:size]))
		rest = rest[size:]
	}
	return body[0], fields, nil
}
