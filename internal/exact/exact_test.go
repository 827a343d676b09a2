package exact

import "testing"

// By hand: a kernel [1 2] on [3 4 5].
func TestByHand(t *testing.T) {
	I, K := Matrix{1, 3, []int64{3, 4, 5}}, Matrix{1, 2, []int64{1, 2}}
	for j, want := range []int64{3 + 8, 4 + 10, 5} {
		if got := CrossCorrelation(I, K, 0, j); got != Integer(want) {
			t.Errorf("(I ⊗ K)[0,%d] is %v, want %d", j, got, want)
		}
	}
	for j, want := range []int64{3, 4 + 6, 5 + 8, 10} {
		if got := Convolution(I, K, 0, j); got != Integer(want) {
			t.Errorf("(I * K)[0,%d] is %v, want %d", j, got, want)
		}
	}
	if got := Rot180(I).String(); got != "[5 4 3]" {
		t.Errorf("turned: %s", got)
	}
	if got := Ratio(-6, -4).Minus(Ratio(1, 2)).Over(Ratio(2, 3)).String(); got != "3/2" {
		t.Errorf("(6/4 − 1/2)/(2/3) is %s", got)
	}
}

// Small goes through all sides, none larger before a smaller one.
func TestSmall(t *testing.T) {
	seen, last := map[[4]int]bool{}, 0
	Small(func(h, w, k1, k2 int) bool {
		if n := h*w + k1*k2; n < last || k1 > h || k2 > w {
			t.Errorf("%d×%d, kernel %d×%d comes after %d elements", h, w, k1, k2, last)
		} else {
			last = n
		}
		seen[[4]int{h, w, k1, k2}] = true
		return true
	})
	if len(seen) != 36 { // pairs k ≤ h ≤ 3, twice: 6·6
		t.Errorf("%d sides, want 36", len(seen))
	}
}
