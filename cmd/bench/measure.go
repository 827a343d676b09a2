package main

import (
	"runtime"
	"slices"
	"time"

	"github.com/convgrad/convgrad/internal/kernel"
)

// A Budget says how long one figure may take to measure.
type Budget struct {
	Time   time.Duration // at least this long in all
	Reps   int           // and at least this many repetitions
	Rounds int           // of measurements by turns, each of which gets a part of the time
}

// part is what each round gets.
func (b Budget) part() Budget { return Budget{b.Time / time.Duration(b.Rounds), 3, 1} }

// batch is how many calls of f take about a millisecond or more, so that clocks resolve them.
func batch(f func()) int {
	f() // plans, page faults, the first allocation
	for calls := 1; ; calls *= 2 {
		begin := time.Now()
		for range calls {
			f()
		}
		if time.Since(begin) > time.Millisecond || calls > 1<<20 {
			return calls
		}
	}
}

// times runs f in repetitions of a millisecond or more. It returns the time of one call in each
// repetition by the given clock, the least first.
func times(b Budget, clock func() time.Duration, f func()) []time.Duration {
	calls := batch(f)
	var all []time.Duration
	for begin := time.Now(); len(all) < b.Reps || time.Since(begin) < b.Time; {
		start := clock()
		for range calls {
			f()
		}
		all = append(all, (clock()-start)/time.Duration(calls))
	}
	slices.Sort(all)
	return all
}

// CPU is the median processor time of one call. It does not count time in which the machine runs
// something else.
func CPU(b Budget, f func()) time.Duration {
	t := times(b, cpuTime, f)
	return max(t[len(t)/2], 1)
}

// besidePeak is the median processor time of one call on one thread, and the median share of the
// peak that its operations reach. A burst at the peak follows each repetition, so that both run at
// the same frequency of the processor and under the same disturbances.
func besidePeak(b Budget, flops float64, single bool, f func()) (time.Duration, float64) {
	defer kernel.SetThreads(kernel.SetThreads(1))
	calls := batch(f)
	var all []time.Duration
	var shares []float64
	for begin := time.Now(); len(all) < b.Reps || time.Since(begin) < b.Time; {
		start := cpuTime()
		for range calls {
			f()
		}
		took := (cpuTime() - start) / time.Duration(calls)
		start = cpuTime()
		ops := kernel.PeakBurst(single)
		burst := cpuTime() - start
		all = append(all, max(took, 1))
		shares = append(shares, flops/max(took, 1).Seconds()*burst.Seconds()/float64(ops))
	}
	slices.Sort(all)
	slices.Sort(shares)
	return all[len(all)/2], shares[len(shares)/2]
}

var epoch = time.Now()

// Wall is the tenth percentile of the elapsed time of one call: the time of an undisturbed call.
func Wall(b Budget, f func()) time.Duration {
	t := times(b, func() time.Duration { return time.Since(epoch) }, f)
	return max(t[len(t)/10], 1)
}

// turns runs measurements in turns, so that whatever slows the machine down slows all of them. It
// returns the time of each measurement in each round.
func turns(rounds int, fs ...func() (time.Duration, error)) ([][]time.Duration, error) {
	all := make([][]time.Duration, len(fs))
	for range rounds {
		for i, f := range fs {
			t, err := f()
			if err != nil {
				return nil, err
			}
			all[i] = append(all[i], t)
		}
	}
	return all, nil
}

// median of times.
func median(t []time.Duration) time.Duration {
	t = slices.Clone(t)
	slices.Sort(t)
	return t[len(t)/2]
}

// over is the median of the ratios of two times, round by round.
func over(a, b []time.Duration) float64 {
	r := make([]float64, len(a))
	for i := range a {
		r[i] = float64(a[i]) / float64(b[i])
	}
	slices.Sort(r)
	return r[len(r)/2]
}

// race is the least elapsed time of one call of each of fs. They take turns, so that whatever slows
// the machine down slows all of them.
func race(b Budget, fs ...func()) []time.Duration {
	calls, best := make([]int, len(fs)), make([]time.Duration, len(fs))
	for i, f := range fs {
		calls[i], best[i] = batch(f), time.Hour
	}
	begin := time.Now()
	for n := 0; n < b.Reps || time.Since(begin) < b.Time*time.Duration(len(fs)); n++ {
		for i, f := range fs {
			start := time.Now()
			for range calls[i] {
				f()
			}
			best[i] = max(1, min(best[i], time.Since(start)/time.Duration(calls[i])))
		}
	}
	return best
}

// Memory is what one call allocates in a steady state, in bytes and in objects. It collects garbage
// first, so that no collection empties pools meanwhile.
func Memory(calls int, f func()) (bytes, objects float64) {
	runtime.GC()
	runtime.GC()
	for range calls { // each thread gets what it needs of the pools
		f()
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range calls {
		f()
	}
	runtime.ReadMemStats(&after)
	n := float64(calls)
	return float64(after.TotalAlloc-before.TotalAlloc) / n, float64(after.Mallocs-before.Mallocs) / n
}
