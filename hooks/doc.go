// Package hooks is the five hooks of a node's life, and the loop that calls them.
//
// A Backend makes the subnets of other nodes reachable. It does so in five methods, the hooks, and Run calls them. Who
// implements them makes no difference: type "extension" gives each hook to a shell command (package hookrunner), the native
// backends give it to Go code. What follows is what the author of a hook, of either kind, may rely on.
//
// # When a hook runs, and what its failure means
//
//	PreStartup    Before the lease is taken, at every start of the backend, to repair what it made, and when this node's
//	              public address, external interface or its MTU changed.
//	              Failing: the start fails, and with it the daemon. While a running daemon changes over to another
//	              config or lease, repairs, or follows a change, it is tried again, after 1 s, then 2 s, doubling up to
//	              1 min.
//	PostStartup   Once the lease is held, and after each PreStartup since.
//	              Failing: as PreStartup, and Shutdown runs, though not where the lease was held before.
//	SubnetAdd     For each other node: at the start, when it joins, when its address or its data changes.
//	              Failing: tried again after 1 s, then 2 s, doubling up to 1 min, for as long as the node is there.
//	SubnetRemove  When a node leaves, and before SubnetAdd when it changed, unless the backend is a Syncer, which replaces it.
//	              Failing: tried again 5 times in the same rhythm, then the node is reported as left over. A changed
//	              node then gets its SubnetAdd all the same. One that is gone is forgotten at the next start.
//	Shutdown      When the backend ends: for another config, another lease, or a stop (see "Stopping").
//	              Failing: logged. The stop goes on.
//
// The times are upper bounds: a random part of up to a fifth is taken off, lest all nodes try in step. A peer's failure
// is its own. Neither the daemon nor any other peer waits for it.
//
// # What a shell command reads and what becomes of its output
//
//	              stdin                               stdout
//	PreStartup    a newline                           trimmed, this node's data: what its lease tells the others
//	PostStartup   a newline                           logged
//	SubnetAdd     the peer's data and a newline       logged
//	SubnetRemove  the data that the peer was          logged
//	              added with, and a newline
//	Shutdown      a newline                           logged
//
// A peer's data is what its own PreStartup printed. Standard error is logged and never published. A command's
// status is that of the last program in it.
//
// Its environment holds these variables. Those of an address family that the network does not use are unset, but for the public
// address of a node that has none of a family which it does, or tells both by flag: then PUBLIC_IPV6 may be set where PUBLIC_IP is not.
//
//	NETWORK, IPV6NETWORK                  the whole network
//	SUBNET, IPV6SUBNET                    SubnetAdd, SubnetRemove: the peer's; PostStartup, Shutdown: this node's;
//	                                      PreStartup: unset
//	PUBLIC_IP, PUBLIC_IPV6                SubnetAdd: the peer's; SubnetRemove: the peer's as it was added;
//	                                      otherwise this node's
//	NODE_SUBNET, NODE_IPV6SUBNET          this node's; PreStartup: unset
//	NODE_PUBLIC_IP, NODE_PUBLIC_IPV6      this node's
//	IFACE, IFACE_MTU                      the external interface, and its MTU in bytes
//	EVENT                                 the hook's name
//	REASON                                why it runs: a Reason
//	PATH, HOME, TMPDIR, LANG=C            and nothing else of the daemon's own environment
//
// The reasons of each hook are
//
//	PreStartup, PostStartup   start, config, repair, change
//	SubnetAdd                 start, join, change, retry, repair
//	SubnetRemove              leave, change
//	Shutdown                  stop, config
//
// Commands run in the state directory, which is the same for all hooks and open to its owner alone, with umask 077: what
// one hook writes, the next one finds, and nobody else reads it.
//
// # What may be relied on
//
// Code and data never mix. The text of a command comes from the network config alone. What a peer wrote reaches a hook
// as stdin, or as a variable that has been parsed into an address first. A lease that does not parse is set aside and
// harms no other.
//
// State, not events. Run compares the set of peers that is wanted with what was last applied. A peer that did not change
// runs nothing, whatever happened to the connection meanwhile. A peer that comes, goes and comes back while a hook is
// busy gets what its last state needs. There is never a hook for this node's own subnet, and none for any peer before
// the first complete list of peers is known. Peers are compared by value and told apart by their subnets: a node that
// takes over the subnet of another is a change.
//
// Order. PreStartup, PostStartup and Shutdown are barriers: no other hook runs beside them. One peer never has two hooks
// at once. With Concurrency 1, the default, no two hooks overlap at all. Among the peers that a new list concerns, all
// removals come before all additions, each in the order of their subnets, so that an addition finds free what a peer
// gave up. Retries wait behind them, in the order in which they fall due. A backend that is a Syncer, as the native ones
// are, is given all peers at once whose SubnetAdd is due for one reason; each still succeeds or fails by itself. It replaces a
// peer that changed, and takes one that keeps a subnet, as all do when the network gets another address family, for the same.
//
// Time. A hook that runs longer than its Timeout (30 s unless the config says otherwise) is ended and has failed. All
// its processes get SIGTERM, and SIGKILL 2 s later, or at once if they ignore SIGTERM. Since retries queue by the time they fall due, a peer whose
// hooks always hang does not starve the others.
//
// When a peer changes while its hook keeps failing, its retries are forgotten and the new state is tried at once. After
// a SubnetRemove that failed, a peer that returns as it was is added anew, since part of it may be gone. A peer whose
// SubnetAdd never succeeded has no SubnetRemove: its hooks are to undo their own failures, and in-process commands do.
//
// When the node itself is reached elsewhere, its lease says so at once, and its subnet stays. Then PreStartup and PostStartup
// run again, and SubnetAdd for all peers, with the reason Change and the new addresses. What PreStartup then prints is
// published. No Shutdown or SubnetRemove comes before: what is in place is what the hooks find. The other nodes see a peer
// that changed.
//
// Size. Of each output 64 KiB are kept. The data of a lease is at most 16 KiB.
//
// # In-process commands and their effects
//
// ip, bridge, arp, wg and the small text tools that hooks use (cat, cut, tee and others) are answered inside the daemon,
// with the arguments, the messages and the exit statuses of the real tools. A command line with any word that they do not
// know goes whole to the real program, or fails with that word where the program is not installed.
//
// Each run of a hook has a scope: one per peer, and one for the hooks of this node's own life. What in-process
// commands create in the kernel belongs to its scope, and a hook is a transaction as far as it uses them:
//
//   - A hook that fails leaves its scope as it was before.
//   - Adding again what the scope owns already succeeds. What somebody else made still answers "File exists".
//   - After a SubnetAdd that succeeded, what the scope owned and the run did not touch is deleted. After SubnetRemove, and
//     in place of it where the config has no such command, all that the scope owns is. To delete what the scope owned and
//     is gone already succeeds.
//   - What belongs to which scope, and which peers were added with which data, survives the end of the process, however
//     that comes, though neither a reboot nor another backend in the config. Once the first complete list of peers is known,
//     a peer that left meanwhile gets SubnetRemove with the data it was added with, a peer that changed gets SubnetRemove and
//     then SubnetAdd, and any other SubnetAdd, which finds its own effects in place. What belongs to a peer that is
//     neither wanted nor remembered is deleted.
//   - When somebody deletes or changes what a scope owns, it is put back, thousands of objects in one batch, but for links and
//     private keys. Then SubnetAdd runs again for that peer. For what PreStartup and PostStartup made these two run again,
//     and then SubnetAdd for all peers; what PreStartup then prints is published. The reason is Repair. It begins some
//     10 ms after the change where the kernel tells of it, later where thousands of objects have to be looked at, and
//     within about a second where the kernel does not tell, as of its WireGuard and of most sysctls. Who takes the same
//     away again and again finds the repairs slow down to one a minute.
//
// What a hook would do can be seen beforehand: "overlayd hook plan" runs it against a copy of the present state, and "overlayd
// hook run" in a scratch namespace. "overlayd hook check" looks for mistakes in its text.
//
// Owned are links, with what the same scope has set of them, addresses, routes, rules, neighbours, FDB entries, VLANs of bridges and
// their ports, the settings and the peers of WireGuard devices, and sysctls, which get back the value that they had before.
//
// What other programs do is outside of this: the daemon does not see it.
//
// # Stopping
//
// A stop does as Options.OnStop says: Keep touches nothing, so that a restart loses no packet; ShutdownOnly runs
// Shutdown; Teardown first runs SubnetRemove for each peer, once, and then Shutdown. A change of the config, and the loss of
// the lease to another node, end the backend by Teardown in any case, but for one: from one native backend to the next nothing
// is taken back, and the next removes what it does not need when its own way to the peers works. Hooks that run when the end
// comes are interrupted and count as failed. The hooks of the end have a deadline of their own. The lease is kept in each case.
package hooks
