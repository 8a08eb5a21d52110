package codec

import "strconv"

// A shape is one row of the message table for the slow paths. The decoders contain theirs as code.
type shape struct {
	name     string
	code     Type
	payload  bool
	elements []element
}

// An element is one position after the type code.
type element struct {
	name string
	kind elementKind
}

type elementKind uint8

const (
	elementRequest elementKind = iota
	elementID
	elementPublication
	elementRequestType
	elementText
	elementRealm
	elementDict
	elementOptionalDict
)

// String returns the protocol's name of t, or its number if there is no such message.
func (t Type) String() string {
	if sh := shapeOf(t); sh != nil {
		return sh.name
	}
	return "type " + strconv.Itoa(int(t))
}

// elementName names the element at position e (0 is the type code) for a violation.
func elementName(t Type, e int) string {
	sh := shapeOf(t)
	switch {
	case sh == nil || e == 0:
		return "type code"
	case e <= len(sh.elements):
		return sh.name + "." + sh.elements[e-1].name
	case e == len(sh.elements)+1:
		return sh.name + ".Arguments"
	}
	return sh.name + ".ArgumentsKw"
}
