package realm

import (
	"math"

	"banyan/engine/port"
)

// quietLoop and quietConn take part in measurements of allocation: they do nothing that allocates.
type quietLoop struct {
	port.Executor
	grant int
}

func (l quietLoop) Grant(n int) int            { return min(n, l.grant) }
func (l quietLoop) Work(int)                   {}
func (l quietLoop) Charge(int) bool            { return true }
func (l quietLoop) ChargeMax() int64           { return math.MaxInt64 }
func (l quietLoop) AtBatchEnd(port.BatchTask)  {}
func (l quietLoop) Step(string)                {}
func (l quietLoop) Post(int, uint64, port.Job) {}

type quietConn struct{ port.Conn }

func (quietConn) AppendRun(port.Executor, []byte, int, uint64) {}
func (quietConn) SetBacklog(*port.Backlog)                     {}
func (quietConn) Lock()                                        {}
func (quietConn) Unlock()                                      {}
func (quietConn) Tail(port.Class) ([]byte, bool)               { return scratch[:0], true }
func (quietConn) Commit(port.Executor, []byte)                 {}
func (quietConn) Spend(int64)                                  {}
func (quietConn) Refund(port.Executor, int64)                  {}
func (quietConn) Finish(port.Executor, port.CloseCode, string) {}

var scratch = make([]byte, 1<<16)

// others returns the sessions after s in its loop's list.
func others(s *session) (list []*session) {
	for o := s.next; o != nil; o = o.next {
		list = append(list, o)
	}
	return list
}
