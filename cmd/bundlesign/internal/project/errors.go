package project

import (
	"strings"

	"github.com/bundlesign/bundlesign/config/strictyaml"
)

// Error is one fault of a bundlesign.yaml.
type Error = strictyaml.Error

// Errors is all that is wrong with a file, in the order of its lines. It is never empty when it is an error.
type Errors []*Error

// Error has one sentence for each fault.
func (e Errors) Error() string {
	texts := make([]string, len(e))
	for i, err := range e {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

// Unwrap gives errors.As the single faults.
func (e Errors) Unwrap() []error {
	errs := make([]error, len(e))
	for i, err := range e {
		errs[i] = err
	}
	return errs
}
