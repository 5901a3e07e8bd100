package control

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"testing"
	"time"
)

func TestConnectionsOverTCPAreBounded(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- ServeTCP(ctx, listener, NewState(Facts{})) }()
	ask := func(resource string) net.Conn {
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: overlayd\r\n\r\n", resource)
		return conn
	}
	answer := func(conn net.Conn, patience time.Duration) error {
		conn.SetReadDeadline(time.Now().Add(patience))
		_, err := bufio.NewReader(conn).ReadString('\n')
		return err
	}
	var followers []net.Conn
	for range maxConnections {
		followers = append(followers, ask("/v1/events?follow"))
	}
	for i, conn := range followers {
		if err := answer(conn, 30*time.Second); err != nil {
			t.Fatalf("follower %d: %v", i+1, err)
		}
	}
	late := ask("/healthz")
	if err := answer(late, 50*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("one more than %d: %v", maxConnections, err)
	}
	followers[0].Close()
	if err := answer(late, 30*time.Second); err != nil {
		t.Errorf("after one has gone: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
