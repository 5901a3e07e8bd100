// Command overlayd gives every machine of a cluster a subnet and connects the subnets into one overlay network, the way
// that the network's config says: by five shell commands, or by a built-in backend.
//
// Run "overlayd help" for its commands.
package main

import (
	"context"
	"os"
)

func main() {
	os.Exit(run(context.Background(), commandLine(os.Args), os.Stdout, os.Stderr))
}
