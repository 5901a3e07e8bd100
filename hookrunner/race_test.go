//go:build race

package hookrunner

const race = true
