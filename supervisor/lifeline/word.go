package lifeline

// Word is a byte that a parent writes to the lifeline of a child.
type Word byte

// The words.
const (
	// Begin gives the backend to the child: nobody serves it any more.
	Begin Word = iota + 1
	// HandOver says, before TERM does, that a replacement takes the backend over at
	// once when the child has ended.
	HandOver
	// HandBack takes HandOver back: the backend is stopped.
	HandBack
)
