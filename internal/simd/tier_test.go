package simd

import "testing"

func TestEnvironment(t *testing.T) {
	have := []Tier{Generic, AVX2}
	for _, c := range []struct {
		name string
		want Tier
		bad  bool
	}{{"", AVX2, false}, {"generic", Generic, false}, {"avx2", AVX2, false}, {"avx512", AVX2, true}, {"neon", AVX2, true}, {"AVX2", AVX2, true}} {
		if got, err := chooseTier(c.name, have); got != c.want || (err != nil) != c.bad {
			t.Errorf("chooseTier(%q) = %v, %v", c.name, got, err)
		}
	}
	if Tier(9).String() != "unknown" {
		t.Error(Tier(9))
	}
	if err := SetTier(Tier(9)); err == nil {
		t.Error("SetTier took a tier that does not exist")
	}
}
