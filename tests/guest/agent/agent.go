// Package agent is what the harness and the program inside a guest say to each
// other. A command is one TCP connection: the harness sends a Request, the
// guest answers with Events, the last of which has Done set. Closing the
// connection kills the command and everything it started.
package agent

// Port is where the guest listens. It is the harness's own network, so that
// any port does.
const Port = 1023

// Ready is what the guest prints on its console when it listens.
const Ready = "guest is ready"

// Request starts a shell script in the guest.
type Request struct {
	Script string
	UID    uint32 // user and group that the script runs as
}

// Event is something that a script did: printed Output, on either stream, or
// ended.
type Event struct {
	Output []byte
	Done   bool
	Code   int    // exit code, or -1 if the script could not be run or died by a signal
	Error  string // why Code is -1
}
