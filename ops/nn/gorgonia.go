package nnops

import G "gorgonia.org/gorgonia"

// The types around a network's ops, which are Gorgonia's.
type (
	ExprGraph = G.ExprGraph
	Node      = G.Node
	Nodes     = G.Nodes
	Value     = G.Value
)

// The functions around a network's ops, which are Gorgonia's.
var (
	NewGraph      = G.NewGraph
	NewTensor     = G.NewTensor
	NewMatrix     = G.NewMatrix
	WithShape     = G.WithShape
	WithName      = G.WithName
	WithInit      = G.WithInit
	WithValue     = G.WithValue
	GlorotN       = G.GlorotN
	Must          = G.Must
	Let           = G.Let
	S             = G.S
	Read          = G.Read
	Grad          = G.Grad
	Compile       = G.Compile
	EvalMode      = G.EvalMode
	WithBatchSize = G.WithBatchSize
	WithLearnRate = G.WithLearnRate

	NewTapeMachine    = G.NewTapeMachine
	WithPrecompiled   = G.WithPrecompiled
	BindDualValues    = G.BindDualValues
	NewRMSPropSolver  = G.NewRMSPropSolver
	NewAdamSolver     = G.NewAdamSolver
	NodesToValueGrads = G.NodesToValueGrads
)
