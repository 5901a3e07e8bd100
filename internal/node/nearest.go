package node

// nearest is the name of the interface that a mistyped name most likely means, "" when none is like it.
func (f Facts) nearest(wrong string) string {
	best, distance := "", 3
	for _, i := range f.Interfaces {
		if d := edits(wrong, i.Name); d < min(distance, len(wrong)) {
			best, distance = i.Name, d
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
