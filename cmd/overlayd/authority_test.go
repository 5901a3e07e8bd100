package main

import "testing"

func TestWhichEtcdIsReachedInPlainTextBeyondThisMachine(t *testing.T) {
	for endpoint, want := range map[string]bool{
		"http://192.0.2.1:2379": true, "http://etcd1:2379": true, "http://[2001:db8::1]:2379": true,
		"https://192.0.2.1:2379": false, "http://127.0.0.1:2379": false, "http://127.1.2.3:2379": false,
		"http://[::1]:2379": false, "http://localhost:2379": false,
	} {
		if got := isPlainBeyondLoopback(endpoint); got != want {
			t.Errorf("%s: got %v, want %v", endpoint, got, want)
		}
	}
}
