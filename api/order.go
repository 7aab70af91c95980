package api

import (
	_ "embed"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
)

//go:generate go test -run TestOrderOfMembers -update .

// orderText is the members of each object of the document in its order, a line an
// object. A parsed schema keeps them in a map, and to parse the document with the
// places of everything in it would cost each gateway 6 MB for good.
//
//go:embed order.txt
var orderText string

// memberOrder is the same by what an object's members are.
var memberOrder = sync.OnceValue(func() map[string][]string {
	all := map[string][]string{}
	for line := range strings.Lines(orderText) {
		names := strings.Fields(line)
		all[sortedNames(names)] = names
	}
	return all
})

func sortedNames(names []string) string {
	return strings.Join(slices.Sorted(slices.Values(names)), " ")
}

// place is where the document lists a member, for the order in which mistakes
// are told; what it does not list comes last.
func place(s *openapi3.SchemaRef, name string) int {
	if s == nil || s.Value == nil || s.Value.Properties[name] == nil {
		return math.MaxInt
	}
	return slices.Index(memberOrder()[sortedNames(slices.Collect(maps.Keys(s.Value.Properties)))], name)
}
