// Package crashpoint names the moments at which a process may die, so that tests
// can have it die at each of them.
//
// In builds with the tag crashpoints a process kills itself with SIGKILL, at once
// and without a word, when it passes a point that is armed. In ordinary builds
// there is nothing: every function here is empty and leaves no trace in the
// binary.
//
// # Names
//
// A point is <method>/<step>/<when>, and when is before or after:
//
//	create_volume/accept/before                    the commit that accepts an operation
//	create_volume/progress/after                   the commit of its step, progress or reason to wait
//	create_volume/cancel/before                    the commit of a wish to cancel it
//	create_volume/create/before                    a step, by its name; undo is one as well
//	create_volume/create/after/rbd.create_image    a call within the step that changes the cluster
//	create_volume/finish/before                    the commit of its end
//	create_volume/reply/after                      the answer to the request, by the name that was asked for
//	service/claim/before                           what a process does when it takes a service over
//
// The list of all points is points.txt; volumed crash-points prints it.
//
// # Environment
//
//	VOLUMED_CRASH_AT=POINT[:N]   the process dies when it passes the point for the
//	                             N-th time, the first unless given. A child that the
//	                             supervisor starts in its place does not.
//	VOLUMED_CRASH_DIR=DIR        points can be armed while processes run: the file
//	                             DIR/POINT, with each "/" of the point written "%",
//	                             arms it, once: who dies there removes the file first.
//	                             If it says "parent", its parent is killed first; if
//	                             it says "hold", nobody dies: who comes there waits
//	                             until the file is gone.
//	VOLUMED_CRASH_RECORD=FILE    each process appends each point to FILE, one a line,
//	                             when it passes it for the first time.
package crashpoint
