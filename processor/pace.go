package processor

import "time"

// pace is how many records of a task a session folds at once: as many as BatchRecords, and fewer where a transaction of that
// many does not end in time, because a broker is slow, or grants a client so many bytes a second. It would be aborted when
// its time is over, and tried again with the same records, for ever.
type pace struct {
	most    int           // BatchRecords
	timeout time.Duration // TransactionTimeout
	records int           // at least 1
}

func newPace(most int, timeout time.Duration) pace {
	return pace{most: most, timeout: timeout, records: most}
}

// took adapts to how long a transaction took of which no task had more than so many records: it halves when that was more
// than half of the time-out, down from what there was, and doubles when it was less than an eighth.
func (p *pace) took(d time.Duration, records int) {
	switch {
	case d > p.timeout/2:
		p.records = max(1, min(p.records, max(records, 1))/2)
	case d < p.timeout/8:
		p.records = min(p.most, 2*p.records)
	}
}
