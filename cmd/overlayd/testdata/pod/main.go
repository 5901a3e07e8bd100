// Pod is all that is in a container of a test. "pod serve" tells who connects to port 80 from where. "pod ask ADDRESS" prints what it
// is told by such a server, after the MTU of the container's link.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if args[0] == "serve" {
		return serve()
	}
	link, err := net.InterfaceByName("eth0")
	if err != nil {
		return err
	}
	conn, err := net.DialTimeout("tcp", args[1], 20*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	fmt.Print(link.MTU, " ")
	_, err = io.Copy(os.Stdout, conn)
	return err
}

func serve() error {
	listener, err := net.Listen("tcp", ":80")
	if err != nil {
		return err
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		fmt.Fprint(conn, conn.RemoteAddr())
		conn.Close()
	}
}
