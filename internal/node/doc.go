// Package node says what this machine is, and keeps what the daemon must know of it over restarts.
//
// Facts are the machine's interfaces, addresses and default routes. Which interface leads to the other nodes, and
// whether a network is fit for this machine, are questions to Facts and touch nothing.
//
// The state directory survives a reboot and is nobody else's business: the node's identity, the subnets it held, and
// what hooks put there. The run directory is void after a reboot. The subnet file is read by container engines and CNI
// plugins, and has flannel's format; options for dockerd and a CNI config are made of it.
//
// The package is for Linux, and knows neither etcd, nor hooks, nor the kernel layer: it only looks.
package node
