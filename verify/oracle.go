package verify

import (
	"cmp"
	"slices"
)

// An Oracle is one way of telling whether an op is right, by the name that its rows have. The
// constants By… name all of them.
type Oracle string

// An oracle is what a constant By… stands for. Each lives in a file of its own, oracle_*.go, and
// nothing else has to know of it: a new one calls register.
type oracle struct {
	name Oracle
	rank int // its place among the rows
	// gradient says that the oracle is asked only where there is a gradient.
	gradient bool
	// independent says that it knows the derivative by other means than the rule.
	independent bool
	// once says that the oracle is asked at the given shapes and values alone, not at varied ones.
	once bool
	// long says that it is also asked at an axis longer than a thousand, where runs are few.
	long bool
	// judge adds rows to the trial.
	judge func(t *trial)
	// says is the sentence for a mismatch, after the quantity and its index. The default is
	// "is GOT, and by ORACLE WANT".
	says func(quantity, got, want string) string
}

var oracles []oracle

// register adds an oracle. Its result is there for a package variable to call it.
func register(o oracle) struct{} {
	oracles = append(oracles, o)
	slices.SortStableFunc(oracles, func(a, b oracle) int { return cmp.Compare(a.rank, b.rank) })
	return struct{}{}
}

// oracleOf finds an oracle by its name.
func oracleOf(name Oracle) *oracle {
	for i := range oracles {
		if oracles[i].name == name {
			return &oracles[i]
		}
	}
	return nil
}

// Oracles lists the names of all oracles, in the order of the rows.
func Oracles() []Oracle {
	var all []Oracle
	for _, o := range oracles {
		all = append(all, o.name)
	}
	return all
}

// another is the sentence of oracles that run the op in one more way.
func another(name Oracle) func(quantity, got, want string) string {
	return func(_, got, want string) string { return " is " + got + " with " + string(name) + ", want " + want }
}
