package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/coreos/go-semver/semver"
	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
	"go.etcd.io/etcd/api/v3/version"
)

// inspect refuses the data of a member that runs, or that ran with an etcd newer than this one.
func inspect(dir string) error {
	name := filepath.Join(dir, "member", "snap", "db")
	if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	db, err := bbolt.Open(name, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return fmt.Errorf("data directory %s: in use by another process", dir)
	}
	if err != nil {
		return fmt.Errorf("data directory %s: %w", dir, err)
	}
	defer db.Close()
	return db.View(func(tx *bbolt.Tx) error {
		for _, place := range []struct{ bucket, key string }{{"cluster", "clusterVersion"}, {"meta", "storageVersion"}} {
			bucket := tx.Bucket([]byte(place.bucket))
			if bucket == nil {
				continue
			}
			written, err := semver.NewVersion(string(bucket.Get([]byte(place.key))))
			own := semver.New(version.Version)
			if err == nil && (written.Major > own.Major || written.Major == own.Major && written.Minor > own.Minor) {
				return fmt.Errorf("data directory %s: written by etcd %d.%d, newer than %s in this program", dir, written.Major, written.Minor, own)
			}
		}
		return nil
	})
}
