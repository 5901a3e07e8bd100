package kernel

import "strconv"

// RouteTypeNumber is the number of a type of routes, or the word itself when there is none.
func RouteTypeNumber(word string) string {
	n, err := routeTypes.number(word)
	if err != nil {
		return word
	}
	return strconv.Itoa(n)
}
