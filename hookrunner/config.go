package hookrunner

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/overlayd/overlayd/hookrunner/script"
	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/strictjson"
)

// A Config is what the Backend object of the network config says. One that Parse returned has commands that can be run.
type Config struct {
	Timeout     time.Duration // longest run of one command
	MTU         int           // of the overlay in bytes, 0 when not given
	Shell       string        // absolute path of the program that runs the commands, "" for this process
	Concurrency int           // how many peers' commands may run at once

	commands map[hooks.Hook]*command // without those that are not given, or blank
}

// A command is the text of one hook.
type command struct {
	*script.Script
	straight *script.Straight // nil if it takes a shell
}

// Parse reads the Backend object of a config whose Type is extension, and all commands in it. Keys match in any case of
// letters. Unknown keys, values out of range, and commands that do not parse or that the in-process shell could not run
// are refused; the error begins with line:column in the object, or with the command's key and line:column in the command.
// Nothing is touched.
func Parse(raw json.RawMessage) (Config, error) {
	object, err := strictjson.Parse(raw)
	if err != nil {
		return Config{}, err
	}
	var given rawConfig
	if _, err := object.Fill(given.keys()); err != nil {
		return Config{}, err
	}
	c := Config{Timeout: 30 * time.Second, Concurrency: 1, commands: map[hooks.Hook]*command{}}
	for _, set := range [...]struct {
		key string
		by  func(*Config) error
	}{{"Timeout", given.setTimeout}, {"MTU", given.setMTU}, {"Shell", given.setShell}, {"Concurrency", given.setConcurrency}} {
		if err := set.by(&c); err != nil {
			return Config{}, object.ErrorAt(set.key, err)
		}
	}
	return c, given.setCommands(&c)
}

// A rawConfig is the object as written. nil is a key that was not given, or null.
type rawConfig struct {
	kind, shell      *string
	timeout          *json.RawMessage
	mtu, concurrency *int
	commands         [len(hookOrder)]*string
}

// hookOrder is the order of the hooks in a node's life.
var hookOrder = [...]hooks.Hook{hooks.PreStartup, hooks.PostStartup, hooks.SubnetAdd, hooks.SubnetRemove, hooks.Shutdown}

func commandKey(h hooks.Hook) string { return string(h) + "Command" }

func (r *rawConfig) keys() []strictjson.Key {
	list := []strictjson.Key{
		{Name: "Type", Into: &r.kind}, {Name: "Timeout", Into: &r.timeout}, {Name: "MTU", Into: &r.mtu},
		{Name: "Shell", Into: &r.shell}, {Name: "Concurrency", Into: &r.concurrency},
	}
	for i, h := range hookOrder {
		list = append(list, strictjson.Key{Name: commandKey(h), Into: &r.commands[i]})
	}
	return list
}

func (r *rawConfig) setTimeout(c *Config) (err error) {
	if r.timeout == nil {
		return nil
	}
	var text string
	if json.Unmarshal(*r.timeout, &text) != nil {
		return fmt.Errorf(`%s is not a string such as "30s"`, *r.timeout)
	}
	if c.Timeout, err = time.ParseDuration(text); err != nil || c.Timeout <= 0 {
		return fmt.Errorf(`%q is not a duration such as "30s" or "2m"`, text)
	}
	return nil
}

func (r *rawConfig) setMTU(c *Config) error { return setWithin(&c.MTU, r.mtu, 68, 65535) }

func (r *rawConfig) setConcurrency(c *Config) error {
	return setWithin(&c.Concurrency, r.concurrency, 1, 64)
}

func setWithin(n, given *int, low, high int) error {
	if given == nil {
		return nil
	}
	if *n = *given; *n < low || *n > high {
		return fmt.Errorf("%d is not within %d and %d", *n, low, high)
	}
	return nil
}

func (r *rawConfig) setShell(c *Config) error {
	if r.shell == nil || *r.shell == "builtin" {
		return nil
	}
	c.Shell = *r.shell
	if !filepath.IsAbs(c.Shell) {
		return fmt.Errorf(`%q is neither "builtin" nor an absolute path such as "/bin/sh"`, c.Shell)
	}
	info, err := os.Stat(c.Shell)
	if err == nil && (!info.Mode().IsRegular() || info.Mode()&0o111 == 0) {
		err = fmt.Errorf("%s is not a program", c.Shell)
	}
	return err
}

// setCommands parses all commands, whoever will run them: so that a mistake in the last one shows before the first one runs.
func (r *rawConfig) setCommands(c *Config) error {
	for i, h := range hookOrder {
		if r.commands[i] == nil {
			continue
		}
		text := *r.commands[i]
		parsed, err := script.Parse(commandKey(h), text)
		if err != nil {
			return err
		}
		given := &command{Script: parsed}
		if c.Shell == "" {
			if _, err := parsed.InProcess(); err != nil {
				return err
			}
			given.straight = parsed.Straight()
		}
		if len(parsed.File.Stmts) > 0 {
			c.commands[h] = given
		}
	}
	return nil
}
