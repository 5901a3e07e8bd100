package kernel

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
)

// A ledger remembers which scope owns which objects, in memory and in a file of one JSON record a line. The file is only
// appended to while the program runs, which costs microseconds, and written anew when it is opened or mostly out of date.
// It needs no fsync: it is to survive the end of this process, not of the machine, whose objects would be gone as well.
type ledger struct {
	path string // "" keeps everything in memory
	life life
	log  *slog.Logger

	mu      sync.Mutex
	file    *os.File
	lines   int // records in the file
	next    int
	entries map[string]entry            // by place
	scopes  map[string]map[string]entry // the same by scope and place
}

// An entry is an object and the scope that owns it.
type entry struct {
	scope, place string
	object       Object
	since        int // orders entries by age
}

// A life names the stretch of time for which the kernel keeps what is in the ledger.
type life struct {
	Boot      string `json:"boot"`
	Namespace string `json:"netns"`
}

// place is where an object goes that the verb makes: its Key, unless the verb puts it beside what has this key.
func place(verb Verb, o Object) string {
	if verb == Append {
		return Op{Append, o}.String()
	}
	return o.Key()
}

func openLedger(path string, now life, log *slog.Logger) (*ledger, error) {
	l := &ledger{path: path, life: now, log: log, entries: map[string]entry{}, scopes: map[string]map[string]entry{}}
	if path == "" {
		return l, nil
	}
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read ledger: %w", err)
	}
	if damaged := l.read(text); damaged != nil {
		aside := path + ".damaged"
		log.Warn("ledger has damaged lines, which are set aside", "file", path, "lines", bytes.Count(damaged, []byte("\n")), "aside", aside)
		if err := os.WriteFile(aside, damaged, 0o600); err != nil {
			return nil, fmt.Errorf("set damaged lines of ledger aside: %w", err)
		}
	}
	if err := l.rewrite(); err != nil {
		return nil, err
	}
	return l, nil
}

// read takes in the text of a file of this life, and returns the lines that make no sense.
func (l *ledger) read(text []byte) (damaged []byte) {
	header, rest, _ := bytes.Cut(text, []byte("\n"))
	var then life
	if err := json.Unmarshal(header, &then); len(text) > 0 && err != nil {
		return append(text, '\n')
	}
	if then != l.life {
		if len(text) > 0 {
			l.log.Info("ledger is of an earlier boot or namespace, and void", "file", l.path)
		}
		return nil
	}
	for line := range bytes.Lines(rest) {
		var r record
		if err := json.Unmarshal(line, &r); err != nil || r.Place == "" {
			damaged = append(append(damaged, bytes.TrimSuffix(line, []byte("\n"))...), '\n')
			continue
		}
		if o := r.object(); o != nil {
			l.set(entry{scope: r.Scope, place: r.Place, object: o})
		} else {
			l.unset(r.Place)
		}
	}
	return damaged
}

// rewrite replaces the file by one that says only what holds now.
func (l *ledger) rewrite() error {
	file, err := os.OpenFile(l.path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("write ledger: %w", err)
	}
	w := bufio.NewWriter(file)
	lines := json.NewEncoder(w)
	err = lines.Encode(l.life)
	for _, e := range byAge(l.entries) {
		err = errors.Join(err, lines.Encode(e.record()))
	}
	if err = errors.Join(err, w.Flush()); err == nil {
		err = os.Rename(l.path+".new", l.path)
	}
	if err != nil {
		file.Close()
		return fmt.Errorf("write ledger: %w", err)
	}
	if l.file != nil {
		l.file.Close()
	}
	l.file, l.lines = file, len(l.entries)
	return nil
}

func byAge(entries map[string]entry) []entry {
	return slices.SortedFunc(maps.Values(entries), func(a, b entry) int { return cmp.Compare(a.since, b.since) })
}

// own makes the scope the owner of the object at the place, whoever it was before.
func (l *ledger) own(scope, place string, o Object) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := entry{scope: scope, place: place, object: o}
	if err := l.append(e.record()); err != nil {
		return err
	}
	l.set(e)
	return nil
}

// free makes nobody the owner of the place. That the file could not be told is logged: the worst that comes of it is
// that an object which is gone is deleted once more.
func (l *ledger) free(place string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.entries[place]; !ok {
		return
	}
	if err := l.append(record{Place: place}); err != nil {
		l.log.Warn("ledger keeps what is gone", "place", place, "err", err)
	}
	l.unset(place)
}

func (l *ledger) append(r record) error {
	if l.file == nil {
		return nil
	}
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("write ledger: %w", err)
	}
	if _, err := l.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write ledger: %w", err)
	}
	const slack = 1000
	if l.lines++; l.lines > slack+4*len(l.entries) {
		// The record is in the old file, but not yet among the entries.
		if err := l.rewrite(); err != nil {
			return err
		}
		_, err = l.file.Write(append(line, '\n'))
	}
	return err
}

func (l *ledger) set(e entry) {
	l.unset(e.place)
	l.next++
	e.since = l.next
	l.entries[e.place] = e
	if l.scopes[e.scope] == nil {
		l.scopes[e.scope] = map[string]entry{}
	}
	l.scopes[e.scope][e.place] = e
}

func (l *ledger) unset(place string) {
	e, ok := l.entries[place]
	if !ok {
		return
	}
	delete(l.entries, place)
	delete(l.scopes[e.scope], place)
	if len(l.scopes[e.scope]) == 0 {
		delete(l.scopes, e.scope)
	}
}

func (l *ledger) at(place string) (entry, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.entries[place]
	return e, ok
}

// of is what the scope owns, oldest first.
func (l *ledger) of(scope string) []entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return byAge(l.scopes[scope])
}

// hanging is what goes away with the link, in all scopes.
func (l *ledger) hanging(link string) (list []entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries {
		if hangsOn(e.object, link) {
			list = append(list, e)
		}
	}
	return list
}

func (l *ledger) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	file := l.file
	l.file = nil
	return file.Close()
}

// thisLife is the running boot, and the network namespace that the calling thread is in.
func thisLife() (life, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return life{}, fmt.Errorf("identify boot: %w", err)
	}
	namespace, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		return life{}, fmt.Errorf("identify network namespace: %w", err)
	}
	return life{strings.TrimSpace(string(boot)), namespace}, nil
}
