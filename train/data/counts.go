package data

// classed is a set that tells a sample's class without reading the sample.
type classed interface {
	classOf(i int) (class int, ok bool)
}

func classOf(s Set, i int) (int, bool) {
	if c, ok := s.(classed); ok {
		return c.classOf(i)
	}
	return 0, false
}

func (s *Images) classOf(i int) (int, bool)     { return s.labels[i], true }
func (s *folder) classOf(i int) (int, bool)     { return s.list[i].class, true }
func (s *subset) classOf(i int) (int, bool)     { return classOf(s.Set, s.indices[i]) }
func (s *normalised) classOf(i int) (int, bool) { return classOf(s.Set, i) }

// Counts returns the number of samples of each class. Samples whose targets are values count for
// none.
//
// It returns an error if the set does not hold together, or a sample cannot be read.
func Counts(s Set) ([]int, error) {
	if err := Check(s); err != nil {
		return nil, err
	}
	counts := make([]int, len(s.Classes()))
	var x []float32
	for i := range s.Len() {
		class, ok := classOf(s, i)
		if !ok {
			if x == nil {
				x = make([]float32, s.Shape().TotalSize())
			}
			t, err := s.Read(i, x)
			if err != nil {
				return nil, err
			}
			if class = t.Class; t.Values != nil {
				continue
			}
		}
		if class >= 0 && class < len(counts) {
			counts[class]++
		}
	}
	return counts, nil
}
