// Package deptest holds the rules about which package of this module may import what, and the test that keeps them.
package deptest
