package suite

// A BuiltIn is what the checker found out about one use of one of Gorgonia's own ops.
type BuiltIn struct {
	Name    string `json:"name"`             // the op
	Use     string `json:"use"`              // how it is used
	Known   string `json:"known,omitempty"`  // the defect that the finding is expected to be
	Defect  bool   `json:"defect"`           // whether the checker found one
	Finding string `json:"finding"`          // the smallest reproduction, or how much passed
	Failed  string `json:"failed,omitempty"` // why the check itself could not be made
}

// Title is op and use.
func (b BuiltIn) Title() string { return b.Name + ", " + b.Use }

// Verdict is what the table says.
func (b BuiltIn) Verdict() string {
	switch {
	case b.Failed != "":
		return "not checked"
	case b.Defect:
		return "defect"
	}
	return "passes"
}

// Child is for a command's main: it reports whether this process is a child that BuiltIns started, and if so has done its work.
func Child() bool { return false }

// BuiltIns puts Gorgonia's own ops before the checker.
func BuiltIns(seed uint64) []BuiltIn { return nil }
