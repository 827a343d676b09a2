package reported

import "testing"

// With nothing declared, at least 95 of 100 mistakes that varying can show are caught, no right
// rule is refused, and each hint is true of the mistake.
func TestMistakes(t *testing.T) {
	const seed = 1
	all, err := Check(seed)
	if err != nil {
		t.Fatal(err)
	}
	caught, visible, refused, untrue := 0, 0, 0, 0
	for _, f := range all {
		if f.Seen == Never {
			if f.Caught || f.Why == "" {
				t.Errorf("%s: %s: caught %v, and it says why it cannot be: %q", f.Report, f.What, f.Caught, f.Why)
			}
		} else if visible++; f.Caught {
			caught++
		} else {
			t.Logf("not caught: %s: %s\n%s", f.Report, f.What, f.Judged)
		}
		if f.Caught && f.Varied != (f.Seen == ByVarying) {
			t.Errorf("%s: %s: it says it is seen %s, and found by varying: %v: %s", f.Report, f.What, f.Seen, f.Varied, f.Says)
		}
		if f.Refused {
			refused++
			t.Logf("right, and refused: %s: %s: %s", f.Report, f.What, f.OfRight)
		}
		for _, h := range f.False(f.Judged) {
			untrue++
			t.Logf("%s: %s: it is not true that %q", f.Report, f.What, h)
		}
	}
	t.Logf("seed %d: %d of %d that can be seen are caught, of %d; %d right rules refused; %d hints not true", seed, caught, visible, len(all), refused, untrue)
	if len(all) < 65 || caught*100 < 95*visible || refused > mostRefused || untrue > mostUntrue {
		t.Errorf("want 65 mistakes or more, 95 of 100 caught, %d refused and %d hints not true", mostRefused, mostUntrue)
	}
}

const (
	mostRefused = 0
	mostUntrue  = 0
)
