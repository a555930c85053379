package driver

import "github.com/volumed/volumed/fault"

// Ability returns d, or the first driver below its decorators, that is a T, and is
// Unsupported, in the words of what it is needed for, if there is none. Decorators
// that pass an optional interface on find with it what they pass it to.
func Ability[T any](d Driver, what string) (T, error) {
	t, able := As[T](d)
	if !able {
		return t, fault.New(fault.Unsupported, "this backend cannot %s", what)
	}
	return t, nil
}
