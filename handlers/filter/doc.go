// Package filter wraps a disk store with rules that change how its calls run: wait,
// fail, or write down what happens. It is for trying what initiators and file systems do
// when storage is slow, stuck or broken.
//
// Rules are text, separated by semicolons, each a verb and key=value pairs:
//
//	hold  while=FILE                        wait for as long as FILE exists
//	delay time=5ms                          wait that long
//	fail  class=medium                      do nothing and fail
//	trace to=FILE                           append a line at the begin and the end
//
// Every rule takes these keys too:
//
//	op=read|write|flush|zero|unmap|extent   which calls, several with commas; all if absent
//	lba=100..200                            which blocks, both ends included; all if absent
//	while=FILE                              in effect only while FILE exists
//
// Classes of failure are medium, no-space, corrupt, read-only and gone, as package block
// has them. The rules that apply to a call act in the order in which they stand, each
// around those after it: a trace before a hold tells that a call is held.
//
// A filtered store never lends its memory and never promises not to block, so a disk over
// it is slower than without, also where no rule applies.
package filter
