// Package hookrunner is the hooks.Backend that is shell commands: type "extension" of the network config.
//
// What a command may rely on is in the documentation of package hooks. This package parses the commands when the config
// is read, and runs them in this process, by mvdan.cc/sh, without a fork as long as a command uses nothing but the shell
// itself and what Commands and a few core utilities answer. All other programs are started as usual. With "Shell" in
// the config, the named program runs each command instead, under the same limits; it finds no in-process commands.
//
// # Limits
//
// Each program that a hook starts leads a process group of its own. When the hook's time is up, or its context ends, all
// groups get SIGTERM, and SIGKILL after 2 s. A program that a hook leaves running when it ends gets SIGKILL at once: a
// hook that wants to leave a daemon behind starts it with setsid, and does without its output.
// When this process itself is killed, so are the programs that hooks started, though not what these started in turn.
//
// Files that a command's own redirections make are open to the owner alone. For those that programs make, in this process
// or not, the process's umask counts: whoever uses this package sets it to 077, since it cannot be set for a part of a
// process. A command may say "umask 077", and nothing else of umask.
//
// /dev/stdin, /dev/stdout, /dev/stderr and what is below /dev/fd are the hook's, never this process's. A command line that
// gives one of these to an in-process command goes to the real program instead.
//
// A command whose functions call each other without end is stopped. Otherwise neither its use of memory is bounded, nor
// are the processes that it forks. Code in this process cannot be killed: where it hangs in the kernel in spite of the
// above, the hook ends all the same, and the goroutine stays until it gets through; nothing else runs in it then.
//
// # Differences
//
// Commands are Bash. What the in-process shell cannot do, or would do otherwise without a word, is refused when the config
// is read, as far as it can be seen in the text. What remains: a job in the background reads the hook's stdin, not
// /dev/null; the last part of a pipe runs in the shell itself, so that variables which "read" sets there survive; $! is no
// process id; eval is not looked into.
package hookrunner
