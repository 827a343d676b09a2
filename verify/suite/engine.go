package suite

import (
	"math"
	"math/rand/v2"
	"strings"

	"gorgonia.org/tensor"

	"github.com/convgrad/convgrad/verify"
)

// What the checker of package verify adds to this package's own oracles, and the lines of the table that its rows go into.
const (
	engineWays    = "SymDiff, DoDiff, UsePreallocDo"
	engineMemory  = "slices, transposes, column-major"
	engineRepeats = "inputs kept, twice the same bits"
	engineBatch   = "batch against its samples"
	engineSecond  = "second derivatives"
	engineOthers  = "checker's differences and twins"

	engineJacobian = "the full Jacobian"
)

var engineOracles = map[verify.Oracle]string{
	verify.ByRunning: oracleRuns, verify.ByDoDiff: engineWays, verify.ByPrealloc: engineWays, verify.ByTape: engineWays, verify.ByLisp: engineWays,
	verify.BySlices: engineMemory, verify.ByTransposes: engineMemory, verify.ByColumnMajor: engineMemory,
	verify.ByUnmodified: engineRepeats, verify.ByTwice: engineRepeats, verify.ByInterleaving: engineRepeats, verify.ByInPlace: engineRepeats,
	verify.ByBatch: engineBatch, verify.BySecond: engineSecond,
	verify.ByDifferences: engineOthers, verify.ByStepOne: engineOthers, verify.ByAdjoint: engineOthers, verify.ByTwin: engineOthers,
	verify.ByJacobian: engineJacobian,
}

// every is how seldom a subject goes through the checker, which runs an op hundreds of times.
const every = 5

// engineCase is the subject as a case of package verify.
func (s *subject) engineCase(seed uint64) verify.Case {
	c := verify.Case{Name: s.op, Build: verify.Build(s.build), Seed: seed, Fixed: true, Skip: []verify.Oracle{verify.ByZero, verify.ByAccumulation, verify.ByLispAccumul}}
	names := arguments(s.op)
	for i, shape := range s.shapes {
		in := verify.Normal(names[i], shape...)
		switch {
		case s.distinct:
			in = verify.Permutation(names[i], shape...)
		case s.away:
			in.Draw = func(r *rand.Rand, v []float64) {
				for k := range v {
					v[k] = r.NormFloat64()
					v[k] += math.Copysign(0.5, v[k])
				}
			}
		}
		in.Linear = s.affine != nil && s.affine[i]
		in.Batch = i == 0 && s.independent()
		c.Inputs = append(c.Inputs, in)
	}
	if s.beyond != nil { // differences and twins know nothing of the rounding of an algorithm of its own
		c.Skip = append(c.Skip, verify.ByDifferences, verify.ByJacobian, verify.ByTwin, verify.BySecond)
	}
	return c
}

// independent reports whether the op treats the items along its first axis each by itself, with nothing of the batch size in its parameters.
func (s *subject) independent() bool {
	return (strings.HasPrefix(s.op, "Conv2D") && !strings.Contains(s.op, "Backward") || strings.HasSuffix(s.op, "Pool2D") ||
		s.op == "ReLU" || s.op == "Linear" || s.op == "Flatten" || s.op == "Softmax") && len(s.y) > 0
}

// throughChecker adds the rows of package verify's checker.
func (j *judge) throughChecker(seed uint64) {
	if j.s.affine == nil && j.s.beyond == nil { // it could not be drawn
		return
	}
	report, err := j.s.engineCase(seed).Check()
	if err != nil {
		j.fail("y", oracleRuns, "%v", err)
		return
	}
	for _, row := range report.Rows {
		if row.Verdict == verify.Skipped || row.Verdict == verify.NotJudged {
			continue
		}
		c := comparison{quantity: row.Quantity, oracle: engineOracles[row.Oracle], worst: float64(row.Worst)}
		if c.oracle == "" {
			c.oracle = string(row.Oracle)
		}
		if row.Verdict == verify.Fails {
			c.failure = row.String()
			if j.of = tensor.Float64; c.worst == 0 {
				c.worst = math.Inf(1)
			}
		}
		for range max(row.Compared, 1) {
			j.rows = append(j.rows, c)
		}
	}
}
