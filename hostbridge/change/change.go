// Package change is a step between what a host has and what it should have. It
// is found first, shown or carried out afterwards.
package change

import "fmt"

// Verb is what becomes of a thing.
type Verb string

const (
	Make   Verb = "make"
	Alter  Verb = "change"
	Remove Verb = "remove"
)

// Change is one step. Carrying out all steps of a list in its order does what
// the list is for; if one fails, the rest can be found anew.
type Change struct {
	Verb   Verb   `json:"verb"`
	Thing  string `json:"thing"`            // such as "tap tap-web1"
	Detail string `json:"detail,omitempty"` // what it gets, or what of it differs

	Do func() error `json:"-"`
}

func (c *Change) String() string {
	text := string(c.Verb) + " " + c.Thing
	if c.Detail != "" {
		text += ": " + c.Detail
	}
	return text
}

// Apply carries a change out. The error names it.
func (c *Change) Apply() error {
	if err := c.Do(); err != nil {
		return fmt.Errorf("%s %s: %w", c.Verb, c.Thing, err)
	}
	return nil
}
