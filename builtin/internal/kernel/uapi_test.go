package kernel

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
)

// wg removes a socket that refuses it, so that none must be there before somebody listens.
func TestASocketForOthersIsNeverThereWithoutAListener(t *testing.T) {
	const name = "uapi-test"
	stop := make(chan struct{})
	var closing sync.RWMutex
	var dialling sync.WaitGroup
	dialling.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			closing.RLock()
			c, err := net.Dial("unix", socketPath(name))
			closing.RUnlock()
			if errors.Is(err, syscall.ECONNREFUSED) {
				t.Error("somebody is refused: ", err)
				return
			}
			if err == nil {
				c.Close()
			}
		}
	})
	defer dialling.Wait()
	defer close(stop)
	for range 2000 {
		s, err := listenUAPI(name, func(c net.Conn) { c.Close() })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(socketPath(name)); err != nil {
			t.Fatal(err)
		}
		closing.Lock()
		s.close()
		closing.Unlock()
	}
}
