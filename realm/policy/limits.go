package policy

// The limits of this package. The first two bound what an operator may configure, the others what clients and
// authorizers can make the router keep or read.
const (
	// RolesMax is how many roles one snapshot may have; more: a Problem.
	RolesMax = 10_000
	// PermissionsMax is how many permissions one role may have; more: a Problem. A request with a pattern may look at
	// each permission of the role that does not allow it, 30 to 200 ns for each.
	PermissionsMax = 10_000

	// answerBytesMax is the longest list of arguments that is read as the answer of an authorizer, in octets. Longer:
	// ErrAnswer.
	answerBytesMax = 16 << 10
)
