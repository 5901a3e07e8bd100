package kernel

import (
	"iter"
	"maps"
	"slices"
)

// fewPlaces is how many places are found as fast one by one as in a map.
const fewPlaces = 8

// places is a set of places. Thousands of sets with a few each, one for every peer, take little memory and no hashing.
type places struct {
	few  []string
	many map[string]bool // all of them, once they are not few
}

func (p *places) has(place string) bool {
	if p.many != nil {
		return p.many[place]
	}
	return slices.Contains(p.few, place)
}

func (p *places) add(place string) {
	switch {
	case p.has(place):
	case p.many != nil:
		p.many[place] = true
	case len(p.few) < fewPlaces:
		p.few = append(p.few, place)
	default:
		p.many = map[string]bool{place: true}
		for _, f := range p.few {
			p.many[f] = true
		}
		p.few = nil
	}
}

func (p *places) all() iter.Seq[string] {
	if p.many != nil {
		return maps.Keys(p.many)
	}
	return slices.Values(p.few)
}
