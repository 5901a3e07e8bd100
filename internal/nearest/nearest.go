// Package nearest guesses which of some names a mistyped one stands for.
package nearest

import "strings"

// Of returns the name that is most like the wrong one, in any case of letters, "" when none is like it: two letters may be
// added, left out or changed, though not all that there are.
func Of(wrong string, names []string) string {
	best, distance := "", min(3, len(wrong))
	for _, name := range names {
		if d := edits(strings.ToLower(wrong), strings.ToLower(name)); d < distance {
			best, distance = name, d
		}
	}
	return best
}

// edits is how many letters to add, drop or change make one text of the other.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			changed := diagonal
			if a[i] != b[j] {
				changed++
			}
			diagonal = row[j+1]
			row[j+1] = min(changed, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
