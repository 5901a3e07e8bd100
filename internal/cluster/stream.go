package cluster

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/overlayd/overlayd/internal/ping"
)

const (
	streamInterval = 10 * time.Millisecond
	streamWait     = 3 * time.Second // for the next answer to the last pings
)

// A Stream is pings between pairs of nodes, one every 10 ms each, whatever becomes of those before.
type Stream struct {
	pairs   []*streamPair
	stop    context.CancelFunc
	sending sync.WaitGroup
	reading sync.WaitGroup
}

// A Loss is what a pair has lost of a Stream.
type Loss struct {
	Pair
	Sent, Lost int
	First      time.Time     // when the first of them was sent
	Gap        time.Duration // the longest time from one ping that was answered to the next
}

// String says how many pings were lost, and when.
func (l Loss) String() string {
	return fmt.Sprintf("%s: %d of %d pings lost, the first of %s, no answer to those of %v", l.Pair, l.Lost, l.Sent, l.First.Format("15:04:05.000"), l.Gap)
}

// A streamPair is one pair's part of a Stream.
type streamPair struct {
	Pair
	ping *ping.Pinger
	mu   sync.Mutex
	sent []sending // by sequence number
}

type sending struct {
	at       time.Time
	answered bool
}

// StartStream begins to ping. The pairs have answered before.
func StartStream(ctx context.Context, all []Pair) (*Stream, error) {
	sending, stop := context.WithCancel(ctx)
	s := &Stream{stop: stop}
	for _, p := range all {
		own, err := listen(ctx, p.From.ns, p.source)
		if err != nil {
			s.Stop()
			return nil, err
		}
		one := &streamPair{Pair: p, ping: own}
		s.pairs = append(s.pairs, one)
		s.reading.Go(one.read)
		s.sending.Go(func() { one.send(sending) })
	}
	return s, nil
}

// Stop ends the pings, waits for the last answers and returns what was lost, of pairs that lost something.
func (s *Stream) Stop() (losses []Loss) {
	s.stop()
	s.sending.Wait()
	missing := s.missing()
	for deadline := time.Now().Add(streamWait); time.Now().Before(deadline) && missing > 0; time.Sleep(streamInterval) {
		if now := s.missing(); now < missing { // a busy machine may have many to read
			missing, deadline = now, time.Now().Add(streamWait)
		}
	}
	for _, p := range s.pairs {
		p.ping.Close()
	}
	s.reading.Wait()
	for _, p := range s.pairs {
		if l := p.loss(); l.Lost > 0 {
			losses = append(losses, l)
		}
	}
	return losses
}

// missing is how many answers there are not.
func (s *Stream) missing() (n int) {
	for _, p := range s.pairs {
		n += p.loss().Lost
	}
	return n
}

func (p *streamPair) send(ctx context.Context) {
	tick := time.NewTicker(streamInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		p.mu.Lock()
		seq := len(p.sent)
		p.sent = append(p.sent, sending{at: time.Now()})
		p.mu.Unlock()
		_ = p.ping.Send(p.addr, seq%(1<<16)) // one that is not sent is not answered
	}
}

// read takes in answers until the socket is closed.
func (p *streamPair) read() {
	for {
		seq, err := p.ping.Receive(p.addr)
		if err != nil {
			return
		}
		p.mu.Lock()
		if seq < len(p.sent) {
			p.sent[seq].answered = true
		}
		p.mu.Unlock()
	}
}

func (p *streamPair) loss() Loss {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := Loss{Pair: p.Pair, Sent: len(p.sent)}
	var last time.Time
	for _, s := range p.sent {
		if !s.answered {
			if l.Lost++; l.Lost == 1 {
				l.First = s.at
			}
			continue
		}
		if !last.IsZero() {
			l.Gap = max(l.Gap, s.at.Sub(last))
		}
		last = s.at
	}
	return l
}
