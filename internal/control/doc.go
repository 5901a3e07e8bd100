// Package control is the running daemon seen from outside.
//
// A State gathers what the daemon does: it is the hooks.Observer, and the daemon tells it what hooks does not know. Serve
// answers for it on a unix socket in the run directory, Fetch asks there, and Status is what goes between them: JSON
// for programs, Text for people. Lock makes sure that a run directory has one daemon, and Hold that several daemons of a machine
// share nothing.
//
// The protocol is HTTP, and nothing can be changed by it: GET /v1/status returns a Status, GET /v1/events Events, one a line,
// GET /v1/effects what was made for a peer, GET /v1/hooks HookEntries, GET /v1/etcd an EtcdAccess, and /metrics, /healthz and /readyz
// are what monitoring asks for. ServeTCP has the same for those who cannot reach the socket, but for what hooks printed and the names
// of files, and Notify tells systemd.
//
// What other nodes wrote, or what hooks printed about them, may hold anything. JSON escapes it, and Text prints what is
// not printable quoted, so that nobody writes to an administrator's terminal through a lease.
package control
