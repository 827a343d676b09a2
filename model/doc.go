// Package model composes networks from the ops of package ops: layers with named weights, losses
// and penalties, and weights on disk.
//
// A Layer is one method that builds a part of a graph. New applies it once, to a batch of one
// sample, and reads off that trace what the network has: the names and shapes of its weights, its
// output and its Summary. A layer is anything from one op to a whole network: there is no
// difference.
//
// A Network is a layer and its weights. Build makes a graph of it for one batch size, to train with
// a loss or to evaluate. All graphs of a network share its weights, so a network trained at one
// batch size evaluates and predicts at any other.
//
// Weights are of two kinds. A parameter is trained: a graph for training has its gradient. A
// buffer, as a running mean, is saved with the parameters but not trained: a layer changes it by
// Builder.Update.
//
// # Goroutines
//
// Any number of goroutines may call Predict, Build, Save and Load of one network, and run graphs of
// their own. What changes a weight's elements from outside, as an optimizer does, must not run at
// the same time as any of them.
package model
