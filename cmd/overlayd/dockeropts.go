package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/overlayd/overlayd/internal/node"
)

const dockerOptsHelp = `Turn the subnet file into options of dockerd, as flannel's mk-docker-opts.sh does, with the same flags. Without -i and -c
both forms are written. What the variable of -k holds in the environment comes before the options.

It fails while there is no subnet file, and when a route leads to this node's subnet through another node.`

// A dockerOpts is the command docker-opts.
type dockerOpts struct {
	from, to             string
	individual, combined bool
	key                  string
	noIPMasq             bool
}

func newDockerOptsCommand() *cobra.Command {
	var o dockerOpts
	c := &cobra.Command{
		Use:   "docker-opts",
		Short: "Write dockerd's options for this node's subnet",
		Long:  dockerOptsHelp,
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return o.run(c.OutOrStdout()) },
	}
	f := c.Flags()
	f.StringVarP(&o.from, "subnet-file", "f", defaultSubnetFile, "`FILE` that the daemon writes")
	f.StringVarP(&o.to, "docker-file", "d", "/run/docker_opts.env", "`FILE` to write, - to print")
	f.BoolVarP(&o.individual, "individual", "i", false, "a variable for each option, as DOCKER_OPT_MTU")
	f.BoolVarP(&o.combined, "combined", "c", false, "one variable with all options")
	f.StringVarP(&o.key, "key", "k", "DOCKER_OPTS", "`NAME` of that variable")
	f.BoolVarP(&o.noIPMasq, "no-ip-masq", "m", false, "leave --ip-masq out")
	return c
}

func (o *dockerOpts) run(stdout io.Writer) error {
	before := os.Getenv(o.key)
	switch {
	case !regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`).MatchString(o.key):
		return refuse(exitUsage, fmt.Errorf("key %q: no name of a variable", o.key))
	case strings.ContainsAny(before, "\"\\\n$`"):
		return refuse(exitUsage, fmt.Errorf("environment variable %s holds characters that have a meaning in a file of variables", o.key))
	}
	file, err := node.ReadSubnetFile(o.from)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return refuse(exitConfig, err)
	}
	if err != nil {
		return refuse(exitFailed, err, "it is there once overlayd run is up, see overlayd status")
	}
	if err := checkRoutes(file); err != nil {
		return err
	}
	form := node.DockerOptions{Individual: o.individual || !o.combined, Before: before, NoIPMasq: o.noIPMasq}
	if o.combined || !o.individual {
		form.Combined = o.key
	}
	text := file.DockerOptions(form)
	if o.to == "-" {
		_, err := stdout.Write(text)
		return err
	}
	return node.File{What: "docker options", Path: o.to, Text: text}.Write()
}

// checkRoutes refuses subnets that Docker could not serve.
func checkRoutes(file node.SubnetFile) error {
	if len(file.Subnets) == 0 {
		return refuse(exitConfig, errors.New("the subnet file names no subnet"))
	}
	for _, subnet := range file.Subnets {
		if !subnet.Addr().Is4() {
			continue
		}
		via, err := node.StaleRoute(subnet)
		if err != nil {
			return err
		}
		if via.IsValid() {
			return refuse(exitFailed, fmt.Errorf("a route leads to %s, which is this node's, by %s", subnet, via),
				fmt.Sprintf("remove it: ip route del %s via %s", subnet, via))
		}
	}
	return nil
}
