// Package lease gives this node its part of the network and says what parts the others hold.
//
// A Network is the configuration that all nodes share. From its Pools each node takes one subnet per address family and
// holds it as a Lease in a Store. The Manager takes and holds this node's lease and reports, as whole sets, the
// leases of all others. A set shares with the one before it what has not changed, see Set, so that a large network costs no
// more than a small one. Names, keys and values are those of flannel's etcd format, so that both programs can share one etcd:
// see Lease.Key and EncodeValue.
//
// The package knows neither etcd, nor the kernel, nor hooks.
package lease
