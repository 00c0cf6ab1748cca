package medium

// Prompter is an optional interface of a Medium that knows what it can do at once: without
// waiting for storage or for another goroutine. A drive calls what cannot be done at once on a
// goroutine of its own. The answers are guesses, and cost next to nothing. A Medium without it
// is taken to wait always.
type Prompter interface {
	PromptRead(p int, object uint64) bool
	PromptWrite(p int, at uint64, n int) bool // a block of n bytes as object at
}
