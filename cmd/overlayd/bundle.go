package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/overlayd/overlayd/builtin"
	"github.com/overlayd/overlayd/internal/control"
)

const bundleHelp = `Gather what somebody needs who looks into a problem, in one archive: the daemon's status, events and metrics, the network
config and leases in etcd, this machine's links, addresses, routes, rules, neighbours, forwarding entries and WireGuard peers, kernel
settings, the subnet file, and the journal of the unit overlayd.

Private keys, preshared keys and passwords are not in it. Addresses are, and so are the texts of hooks: read it before you send
it. What could not be had says why in its place.`

// bundlePatience is how long each part of a bundle may take.
const bundlePatience = 10 * time.Second

// A bundle is what goes into the archive.
type bundle struct {
	settings
	tools   *builtin.Set
	unfound error // why it is not known where etcd is
}

// A part is one file of a bundle.
type part struct {
	name string
	make func(context.Context) ([]byte, error)
}

func newBundleCommand() *cobra.Command {
	var b bundle
	var output string
	c := &cobra.Command{
		Use: "bundle", Short: "Gather what a report of a problem needs, without secrets", Long: bundleHelp, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := fillFromEnvironment(c.Flags()); err != nil {
				return err
			}
			b.unfound = b.findEtcd(c.Context(), c.Flags())
			var err error
			if b.tools, err = builtin.Open(builtin.Options{}); err != nil {
				return err
			}
			defer b.tools.Close()
			return b.save(c, output)
		},
	}
	f := c.Flags()
	b.etcdFlags(f)
	pathVar(f, &b.stateDir, "state-dir", defaultStateDir, "`DIR` of the daemon's keys, which are kept out")
	pathVar(f, &b.subnetFile, "subnet-file", defaultSubnetFile, "`FILE` that tells container engines the node's subnet")
	f.StringVarP(&output, "output", "o", "", "`FILE` to write, - for standard output (default: overlayd-HOST-TIME.tar.gz)")
	return c
}

// save writes the archive, which only this user may read.
func (b *bundle) save(c *cobra.Command, output string) error {
	if output == "-" {
		return b.write(c.Context(), c.OutOrStdout())
	}
	if output == "" {
		host, err := os.Hostname()
		if err != nil {
			return err
		}
		output = fmt.Sprintf("overlayd-%s-%s.tar.gz", host, time.Now().UTC().Format("20060102T150405Z"))
	}
	file, err := os.OpenFile(output, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(b.write(c.Context(), file), file.Close()); err != nil {
		return errors.Join(err, os.Remove(output))
	}
	_, err = fmt.Fprintln(c.OutOrStdout(), output)
	return err
}

func (b *bundle) write(ctx context.Context, w io.Writer) error {
	secrets, err := b.secrets(ctx)
	if err != nil {
		return err
	}
	zip := gzip.NewWriter(w)
	archive := tar.NewWriter(zip)
	for _, p := range b.parts() {
		limited, cancel := context.WithTimeout(ctx, bundlePatience)
		text, err := p.make(limited)
		cancel()
		if err != nil {
			text = fmt.Appendf(text, "error: %v\n", err)
		}
		text = withoutSecrets(text, secrets)
		header := &tar.Header{Name: "overlayd/" + p.name, Mode: 0o600, Size: int64(len(text)), ModTime: time.Now()}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := archive.Write(text); err != nil {
			return err
		}
	}
	return errors.Join(archive.Close(), zip.Close())
}

func (b *bundle) parts() []part {
	parts := []part{
		{"version.txt", func(context.Context) ([]byte, error) { return fmt.Appendln(nil, "overlayd", version()), nil }},
		{"status.json", b.status},
		{"events.json", b.events},
		{"metrics.txt", func(ctx context.Context) ([]byte, error) {
			return control.FetchMetrics(ctx, control.SocketPath(b.runDir))
		}},
		{"config.json", b.networkConfig},
		{"leases.json", b.leases},
		{"machine.txt", machine},
		{"subnet.env", func(context.Context) ([]byte, error) { return os.ReadFile(b.subnetFile) }},
		{"journal.txt", journal},
	}
	for _, line := range []string{
		"ip -d link show", "ip address show", "ip -4 route show table all", "ip -6 route show table all", "ip -4 rule show", "ip -6 rule show",
		"ip neighbour show", "bridge fdb show", "wg show all",
	} {
		name := strings.ReplaceAll(line, " ", "-") + ".txt"
		parts = append(parts, part{name, func(ctx context.Context) ([]byte, error) { return b.tool(ctx, strings.Fields(line)...) }})
	}
	return parts
}

func (b *bundle) status(ctx context.Context) ([]byte, error) {
	status, err := control.Fetch(ctx, control.SocketPath(b.runDir))
	if err != nil {
		return nil, err
	}
	return json.MarshalIndent(status, "", "  ")
}

func (b *bundle) events(ctx context.Context) ([]byte, error) {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	err := control.Follow(ctx, control.SocketPath(b.runDir), false, func(e control.Event) error { return enc.Encode(e) })
	return text.Bytes(), err
}

// open reaches etcd as the flags say.
func (b *bundle) open(ctx context.Context) (*etcdCluster, error) {
	if b.unfound != nil {
		return nil, b.unfound
	}
	cluster, err := newEtcdCluster(b.etcd, b.etcdPrefix, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	if _, err := cluster.Check(ctx); err != nil {
		return nil, errors.Join(err, cluster.close())
	}
	return cluster, nil
}

func (b *bundle) networkConfig(ctx context.Context) ([]byte, error) {
	cluster, err := b.open(ctx)
	if err != nil {
		return nil, err
	}
	defer cluster.close()
	value, revision, err := cluster.Config(ctx)
	if err != nil {
		return nil, err
	}
	return configPart(cluster.ConfigKey(), revision, value), nil
}

// configPart is a network config as it is in the archive. Its own secrets need not be those that were found before: etcd may not
// have answered then, or had another.
func configPart(key string, revision int64, value []byte) []byte {
	bundled := struct {
		Key      string          `json:"key"`
		Revision int64           `json:"revision"`
		Config   json.RawMessage `json:"config,omitempty"`
		Text     string          `json:"text,omitempty"` // what is there instead of JSON
	}{Key: key, Revision: revision}
	if value = withoutSecrets(value, configSecrets(value)); json.Valid(value) {
		bundled.Config = value
	} else {
		bundled.Text = string(value)
	}
	text, _ := json.Marshal(bundled) // these kinds of fields cannot fail
	return indented(text)
}

func (b *bundle) leases(ctx context.Context) ([]byte, error) {
	cluster, err := b.open(ctx)
	if err != nil {
		return nil, err
	}
	defer cluster.close()
	list, err := listLeases(ctx, cluster.Store, false)
	if err != nil {
		return nil, err
	}
	return json.MarshalIndent(list, "", "  ")
}

// tool runs a command in-process.
func (b *bundle) tool(ctx context.Context, argv ...string) ([]byte, error) {
	var text bytes.Buffer
	terminal := builtin.Terminal{Env: os.Environ(), Stdin: strings.NewReader(""), Stdout: &text, Stderr: &text}
	status, err := b.tools.Command(ctx, terminal, argv...)
	if err == nil && status != 0 {
		err = fmt.Errorf("exit status %d", status)
	}
	return text.Bytes(), err
}

// machine is what of this machine matters to an overlay.
func machine(context.Context) ([]byte, error) {
	var text bytes.Buffer
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return nil, err
	}
	for _, field := range [][]byte{name.Sysname[:], name.Nodename[:], name.Release[:], name.Version[:], name.Machine[:]} {
		fmt.Fprintf(&text, "%s ", unix.ByteSliceToString(field))
	}
	fmt.Fprintf(&text, "\n%s\n", time.Now().Format(time.RFC3339))
	for _, pattern := range []string{
		"/etc/os-release", "/proc/self/status", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding",
		"/proc/sys/net/ipv4/conf/*/rp_filter", "/proc/sys/net/bridge/*", "/proc/sys/net/ipv4/neigh/default/gc_thresh*",
	} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			content, err := os.ReadFile(f)
			if err != nil {
				content = fmt.Append(nil, "error: ", err)
			}
			fmt.Fprintf(&text, "\n%s\n%s\n", f, bytes.TrimSpace(content))
		}
	}
	return text.Bytes(), nil
}

// journal is the end of what systemd keeps of the daemon's log.
func journal(ctx context.Context) ([]byte, error) {
	return exec.CommandContext(ctx, "journalctl", "--unit", "overlayd", "--lines", "5000", "--no-pager", "--output", "short-iso-precise").Output()
}

// leastSecret is how many bytes a secret has at least. Shorter texts are no keys, and would black out half the archive.
const leastSecret = 8

// openFiles are those of the state directory that hold no secret.
var openFiles = []string{"node-id", "subnets"}

// secrets are all that this machine knows and the archive must not have: what is in files of the state directory that only their
// owner may read, the password for etcd, and a preshared key in the network config.
func (b *bundle) secrets(ctx context.Context) (secrets []string, err error) {
	files, err := filepath.Glob(filepath.Join(b.stateDir, "*"))
	if err != nil {
		return nil, err
	}
	if b.etcd.PasswordFile != "" {
		files = append(files, b.etcd.PasswordFile)
	}
	const largestKey = 64 << 10
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil || !info.Mode().IsRegular() || info.Size() > largestKey {
			continue
		}
		if info.Mode()&0o077 != 0 && f != b.etcd.PasswordFile || slices.Contains(openFiles, filepath.Base(f)) {
			continue
		}
		text, err := os.ReadFile(f)
		if errors.Is(err, fs.ErrPermission) {
			continue // what this user cannot read is not in the archive either
		}
		if err != nil {
			return nil, err
		}
		secrets = append(secrets, strings.Fields(string(text))...)
	}
	ctx, cancel := context.WithTimeout(ctx, bundlePatience)
	defer cancel()
	if cluster, err := b.open(ctx); err == nil {
		defer cluster.close()
		if value, _, err := cluster.Config(ctx); err == nil {
			secrets = append(secrets, configSecrets(value)...)
		}
	}
	return slices.DeleteFunc(secrets, func(s string) bool { return len(s) < leastSecret }), nil
}

// configSecrets are the values of secret keys in a network config.
func configSecrets(config []byte) (values []string) {
	flatten(config, "", func(key string, value json.RawMessage) {
		var text string
		if slices.Contains(secretKeys, strings.ToLower(key)) && json.Unmarshal(value, &text) == nil {
			values = append(values, text, strings.Trim(string(value), `"`)) // as it means, and as it is written
		}
	})
	return values
}

func withoutSecrets(text []byte, secrets []string) []byte {
	for _, s := range secrets {
		if s == "" {
			continue
		}
		text = bytes.ReplaceAll(text, []byte(s), []byte("***"))
		if inJSON, err := json.Marshal(s); err == nil { // where it is written otherwise
			text = bytes.ReplaceAll(text, inJSON[1:len(inJSON)-1], []byte("***"))
		}
	}
	return text
}
