package protocol

import (
	"time"

	"qmq/message"
)

// Kind names a command.
type Kind uint8

const (
	Identify Kind = iota + 1
	Auth
	Sub
	Pub
	Mpub
	Dpub
	Hpub
	Hmpub
	Rdy
	Fin
	Req
	Touch
	Cls
	Nop
)

var kindNames = [...]string{
	Identify: "IDENTIFY", Auth: "AUTH", Sub: "SUB", Pub: "PUB", Mpub: "MPUB", Dpub: "DPUB", Hpub: "HPUB", Hmpub: "HMPUB",
	Rdy: "RDY", Fin: "FIN", Req: "REQ", Touch: "TOUCH", Cls: "CLS", Nop: "NOP",
}

// String is the command's name on the wire.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return ""
}

// kindOf finds the command that a line begins with; 0 if there is none.
func kindOf(name []byte) Kind {
	switch string(name) {
	case "PUB":
		return Pub
	case "FIN":
		return Fin
	case "MPUB":
		return Mpub
	case "RDY":
		return Rdy
	case "REQ":
		return Req
	case "TOUCH":
		return Touch
	case "DPUB":
		return Dpub
	case "HPUB":
		return Hpub
	case "HMPUB":
		return Hmpub
	case "NOP":
		return Nop
	case "SUB":
		return Sub
	case "CLS":
		return Cls
	case "IDENTIFY":
		return Identify
	case "AUTH":
		return Auth
	}
	return 0
}

// allowedIn tells whether the command may come in state s.
func (k Kind) allowedIn(s State) bool {
	switch k {
	case Pub, Mpub, Dpub, Hpub, Hmpub, Nop:
		return true
	case Identify, Auth, Sub:
		return s == StateInit
	case Rdy, Fin, Req, Touch:
		return s == StateSubscribed || s == StateClosing
	case Cls:
		return s == StateSubscribed
	}
	return false
}

// Command is one parsed command. Its slices alias the buffer it was parsed
// from. Fields that the command does not have are zero.
type Command struct {
	Kind     Kind
	Topic    []byte        // Sub, Pub, Mpub, Dpub, Hpub, Hmpub: a valid name
	Channel  []byte        // Sub: a valid name
	ID       message.ID    // Fin, Req, Touch: any 16 bytes
	Body     []byte        // Identify, Auth, Pub, Dpub, Hpub: not empty
	Headers  []byte        // Hpub: encoded, see message.AttrHeaders; they are not checked
	Count    int64         // Rdy: the new count; Mpub, Hmpub: the number of messages
	Delay    time.Duration // Dpub, Hpub, Req: 0 to Limits.MaxReqTimeout
	Messages Messages      // Mpub, Hmpub: the bodies
}
