package processor

// Guards are the switches that tests take guards out with.
type Guards = guards

// JoinedMax is how many versions are told of beside an offset.
const JoinedMax = joinedMax

// Without takes guards out until the function it returns is called. No processor may run meanwhile that does not mean it.
func Without(set func(*Guards)) (restore func()) {
	set(&without)
	return func() { without = guards{} }
}
