package native

import (
	"fmt"
	"strings"
)

// longestName is the kernel's limit for a link's name, in bytes.
const longestName = 15

// CheckName refuses what cannot be a link's name.
func CheckName(name string) error {
	switch {
	case len(name) > longestName:
		return fmt.Errorf("link name %q is longer than %d bytes, the kernel's limit: choose a shorter one by the key Name", name, longestName)
	case name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/: \t\n\v\f\r\x00"):
		return fmt.Errorf("%q cannot be a link's name", name)
	}
	return nil
}
