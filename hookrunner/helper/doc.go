// Package helper is the process that a hook runs in, so that nothing of it can hurt the daemon.
//
// A script that is straight and only changes the kernel can hurt nobody. Direct carries out its commands without a helper.
//
// The daemon keeps a Pool of helpers. Each is the daemon's own program started again with nothing but a socket, and runs one
// hook at a time: what becomes of a hook becomes of no other. Main is its side. In it the hook's command is run by
// mvdan.cc/sh, or by the program that "Shell" in the config names. What concerns the kernel, such as ip and wg, the helper
// asks of the daemon, which keeps the kernel's state, the scopes and the WireGuard devices to itself: it sends the words of
// the command and reads back what it printed and its exit status (wire.go). Text tools and programs run in the helper.
//
// # What a hook can take
//
// A helper has no descriptors, no environment and no terminal of the daemon's, a session of its own and the umask 077. A
// process of a hook has no more than 512 MiB of memory of its own, 4,096 open files, and 1 GiB in a file (setrlimit). All
// processes of a hook together have no more than 512 MiB and are no more than 2,000, which the daemon looks at ten times a
// second. A helper that a hook has made big is not used again. When the machine itself runs out of memory, the kernel ends
// hooks first.
//
// The processes of a hook are known by a mark that nothing they do with sessions, parents or environments takes away: a
// value of RLIMIT_LOCKS, which Linux has without a use, and which children inherit. At a hook's end all that carry its mark
// are killed. When the daemon dies, its helpers see the socket close, kill what they run, and end.
//
// no_new_privs is not set: it would break sudo and ping, which hooks may use.
package helper
