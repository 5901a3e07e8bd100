// Package examples is three network configs that run as they are: an overlay by vxlan, by plain routes and by WireGuard, each
// in a few shell commands.
package examples

import _ "embed" // for the file below

// VXLAN is the text of vxlan.json.
//
//go:embed vxlan.json
var VXLAN []byte
