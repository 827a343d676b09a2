// Package report judges a run and looks into its network: how often it is right and how sure it is,
// what its layers make of a picture, and a page of HTML that shows all of it.
package report
