package etcd

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestACauseIsTheSameEachTime(t *testing.T) {
	const want = "error reading from server: read tcp 192.0.2.2:2379: read: connection reset by peer"
	for _, own := range []string{"192.0.2.1:40001", "192.0.2.1:40002", "[2001:db8::1]:40001"} {
		err := status.Error(codes.Unavailable, "error reading from server: read tcp "+own+"->192.0.2.2:2379: read: connection reset by peer")
		if cause, dialed := transport(err); cause != want || !dialed {
			t.Errorf("%q, dialed %v; want %q", cause, dialed, want)
		}
	}
}
