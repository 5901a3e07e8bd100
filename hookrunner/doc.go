// Package hookrunner is the hooks.Backend that is shell commands: type "extension" of the network config.
//
// What a command may rely on is in the documentation of package hooks. This package parses the commands when the config is
// read (package script), and has them run by processes beside this one (package helper), by mvdan.cc/sh, without a fork as
// long as a command uses nothing but the shell itself, text tools, a few core utilities, and what a Run answers. All other
// programs are started as usual. A command that only changes the kernel, and is straight (script.Straight), is carried out here
// and needs no process; it does the same there. With "Shell" in the config, the named program runs each command instead, in the same
// processes and under the same limits; it finds no in-process commands.
//
// # Limits
//
// When a hook's time is up, or its context ends, all its processes get SIGTERM, and SIGKILL after 2 s, or at once those that
// ignore SIGTERM: the time is for those that have something to do then. What it leaves running when it ends gets SIGKILL at
// once, whatever session or parent it has: a hook cannot leave a daemon behind. When this process dies, so do its hooks. What a
// hook may take of the machine is in the documentation of package helper; one that takes more fails, and its scope is as it was
// before.
//
// What hooks write is private by the umask 077, which they may change.
//
// /dev/stdin, /dev/stdout, /dev/stderr and what is below /dev/fd are the hook's streams.
//
// # Differences
//
// Commands are Bash. What the in-process shell cannot do, or would do otherwise without a word, is refused: when the config is
// read, as far as it can be seen in the text, and when a hook runs in what it gives to eval and source. What remains: $! is no
// process id, and good for wait alone; kill knows processes, but not the shell's jobs.
package hookrunner
