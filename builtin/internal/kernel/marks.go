package kernel

// What marks links and routes as made by a native backend, for people and for whoever cleans up after it. Neighbours and FDB
// entries have no room for a mark: they hang on a link that does.
const (
	// Alias is the alias of links.
	Alias = "overlayd"
	// Protocol is the protocol number of routes. No name of iproute2's rt_protos, and no routing daemon, has it.
	Protocol = 111
)

// Marked is the object with the mark that there is for its kind.
func Marked(o Object) Object {
	switch o := o.(type) {
	case Link:
		o.Alias = Alias
		return o
	case Route:
		o.Protocol = Protocol
		return o
	}
	return o
}
