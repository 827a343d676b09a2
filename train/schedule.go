package train

import "math"

// A Point is where in a run a step is made.
type Point struct {
	Step  int     // steps made before this one
	Steps int     // of the whole run
	Epoch int     // from 1
	Batch int     // steps made in this epoch before this one
	Of    int     // steps of an epoch
	Past  []Epoch // those that are finished, for schedules that look at them; not to be changed
}

// Progress is the share of the run that has passed: 0 at the first step, and 1 after the last.
func (p Point) Progress() float64 { return share(float64(p.Step), float64(p.Steps)) }

// share is a/b, at most 1; a run without steps has passed.
func share(a, b float64) float64 {
	if !(b > 0) {
		return 1
	}
	return min(a/b, 1)
}

// A Schedule is the learning rate at each point of a run. It is a function of the point alone, so a
// run that goes on from a checkpoint has the rates that it would have had.
type Schedule func(Point) float64

// Constant is the same rate at each step.
func Constant(rate float64) Schedule { return func(Point) float64 { return rate } }

// StepDecay multiplies the rate by factor after every so many epochs. It stays as it is where every
// is less than 1.
func StepDecay(rate, factor float64, every int) Schedule {
	return func(p Point) float64 {
		if every < 1 {
			return rate
		}
		return rate * math.Pow(factor, float64((p.Epoch-1)/every))
	}
}

// Cosine falls from rate to 0 along a half cosine over the run (Loshchilov and Hutter, 2017):
// rate·(1 + cos(π·step/steps))/2.
func Cosine(rate float64) Schedule {
	return func(p Point) float64 { return rate * (1 + math.Cos(math.Pi*p.Progress())) / 2 }
}

// OneCycle rises from most/25 to most along a half cosine over the first 30 % of the run, and then
// falls to most/250,000 (Smith and Topin, 2018; PyTorch's OneCycleLR has these numbers). Step
// 0.3·steps − 1 has the rate most, and the last step the lowest.
func OneCycle(most float64) Schedule {
	const begin, rise, end = 25, 0.3, 1e4
	return func(p Point) float64 {
		top := rise*float64(p.Steps) - 1
		last := float64(p.Steps - 1)
		at := float64(p.Step)
		if at <= top {
			return between(most/begin, most, share(at, top))
		}
		return between(most, most/begin/end, share(at-top, last-top))
	}
}

// between goes from a at 0 to b at 1 along a half cosine.
func between(a, b, at float64) float64 { return b + (a-b)*(1+math.Cos(math.Pi*at))/2 }

// Plateau multiplies the rate by factor each time that patience epochs in a row have not lowered
// the loss below 0.9999 times its least: the test loss, or that of training where nothing is
// tested. These are the rules of PyTorch's ReduceLROnPlateau.
func Plateau(rate, factor float64, patience int) Schedule {
	return func(p Point) float64 {
		now, least, bad := rate, math.Inf(1), 0
		for _, e := range p.Past {
			if loss := e.watched(); loss < least*(1-1e-4) {
				least, bad = loss, 0
			} else if bad++; bad > patience {
				now, bad = now*factor, 0
			}
		}
		return now
	}
}

// WarmUp rises evenly to the first rates of s over so many epochs: s(p)·(step+1)/steps of the
// warm-up.
func WarmUp(epochs float64, s Schedule) Schedule {
	return func(p Point) float64 {
		return s(p) * share(float64(p.Step+1), epochs*float64(p.Of))
	}
}

// Floor keeps the rate of s at or above least.
func Floor(least float64, s Schedule) Schedule {
	return func(p Point) float64 { return max(least, s(p)) }
}
