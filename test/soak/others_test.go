//go:build system

package soak

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/targate/targate/test/initiator"
)

// naa gives the NAA designator of a disk.
func (h *host) naa(ctx context.Context, lun uint16) ([]byte, end, error) {
	e, r, err := h.do(ctx, &initiator.Command{LUN: lun, CDB: []byte{0x12, 1, 0x83, 4, 0, 0}, In: 1024})
	if err != nil || e != good {
		return nil, e, err
	}
	for b := r.Data[4:]; len(b) >= 4 && len(b) >= 4+int(b[3]); b = b[4+int(b[3]):] {
		if b[1]&0x3f == 3 {
			return b[4 : 4+int(b[3])], good, nil
		}
	}
	return nil, good, fmt.Errorf("LUN %d has no NAA designator: %x", lun, r.Data)
}

// copy copies between two disks of the same block length, or within one.
func (h *host) copy(ctx context.Context) (end, error) {
	of512 := []int{0, 2, 3}
	src, dst := h.media[of512[h.rand.IntN(3)]], h.media[of512[h.rand.IntN(3)]]
	n := 1 + h.rand.IntN(32)
	from, to := h.rand.IntN(blocks/2-n+1), blocks/2+h.rand.IntN(blocks/2-n+1)
	if e, err := h.fetch(ctx, src, from, n); err != nil || e != good {
		return e, err
	}
	p := make([]byte, 16+2*32+28)
	p[1] = 3 << 3 // no list identifier
	binary.BigEndian.PutUint16(p[2:], 2*32)
	binary.BigEndian.PutUint32(p[8:], 28)
	for i, m := range []*medium{src, dst} {
		id, e, err := h.naa(ctx, m.lun)
		if err != nil || e != good {
			return e, err
		}
		d := p[16+32*i:]
		d[0], d[4], d[5], d[7] = 0xe4, 1, 3, byte(len(id))
		copy(d[8:28], id)
		binary.BigEndian.PutUint32(d[28:], uint32(m.size)) // 3 bytes, below a byte of flags
	}
	s := p[16+64:]
	s[0], s[3], s[7] = 2, 24, 1 // blocks to blocks, from CSCD 0 to 1
	binary.BigEndian.PutUint16(s[10:], uint16(n))
	binary.BigEndian.PutUint64(s[12:], uint64(src.first+from))
	binary.BigEndian.PutUint64(s[20:], uint64(dst.first+to))
	cdb := make([]byte, 16)
	cdb[0] = 0x83
	binary.BigEndian.PutUint32(cdb[10:], uint32(len(p)))
	const copyAborted = 0x0a // the other disk is reserved or was reset
	e, _, err := h.do(ctx, &initiator.Command{LUN: dst.lun, CDB: cdb, Out: p}, copyAborted)
	if e != refused {
		dst.wrote(to, src.sure(from, n), e == good)
	}
	return e, err
}

// inquiries asks what changes nothing.
func (h *host) inquiries(ctx context.Context) (end, error) {
	m, at, _ := h.place(1)
	capacity := make([]byte, 16)
	capacity[0], capacity[1], capacity[13] = 0x9e, 0x10, 32
	status := cdb16(0x9e, m, at, 512)
	status[1] = 0x12
	all := []*initiator.Command{
		{CDB: make([]byte, 6)},
		{CDB: []byte{0x12, 0, 0, 0, 96, 0}, In: 96},
		{CDB: []byte{0x12, 1, 0xb0, 0, 96, 0}, In: 96},
		{CDB: []byte{0x03, 0, 0, 0, 252, 0}, In: 252},
		{CDB: []byte{0x1a, 0, 0x3f, 0xff, 252, 0}, In: 252},
		{CDB: []byte{0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 252, 0}, In: 252},
		{CDB: []byte{0x4d, 0, 0x59, 0, 0, 0, 0, 4, 0, 0}, In: 1024},
		{CDB: []byte{0x5e, byte(h.rand.IntN(4)), 0, 0, 0, 0, 0, 16, 0, 0}, In: 4096},
		{CDB: []byte{0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0}, In: 4096},
		{CDB: []byte{0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0}, In: 4096},
		{CDB: []byte{0xa3, 0x0d, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0}, In: 4096},
		{CDB: []byte{0x84, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0}, In: 1024},
		{CDB: []byte{0x1d, 4, 0, 0, 0, 0}},
		{CDB: []byte{0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0}, In: 8},
		{CDB: capacity, In: 32},
	}
	if m.lun == thin {
		all = append(all, &initiator.Command{CDB: status, In: 512})
	}
	c := all[h.rand.IntN(len(all))]
	c.LUN = m.lun
	e, _, err := h.do(ctx, c)
	return e, err
}

// modeSelect turns the write cache of a file on or off.
func (h *host) modeSelect(ctx context.Context) (end, error) {
	m := h.media[thin+h.rand.IntN(2)]
	e, r, err := h.do(ctx, &initiator.Command{LUN: m.lun, CDB: []byte{0x5a, 8, 8, 0, 0, 0, 0, 0, 252, 0}, In: 252})
	if err != nil || e != good {
		return e, err
	}
	if len(r.Data) < 28 {
		return e, fmt.Errorf("Caching mode page: %x", r.Data)
	}
	p := append([]byte(nil), r.Data[:28]...)
	clear(p[:8])
	p[8] &^= 0x80 // PS
	p[10] ^= 0x04 // WCE
	e, _, err = h.do(ctx, &initiator.Command{LUN: m.lun, CDB: []byte{0x55, 0x10, 0, 0, 0, 0, 0, 0, byte(len(p)), 0}, Out: p})
	return e, err
}

// reserve has a reservation for a while. Others are refused meanwhile, so it is ended
// whatever happens.
func (h *host) reserve(ctx context.Context) (end, error) {
	m, at, n := h.place(8)
	key := uint64(h.n + 1)
	out := func(action, kind uint8, key, param uint64) (end, error) {
		p := make([]byte, 24)
		binary.BigEndian.PutUint64(p, key)
		binary.BigEndian.PutUint64(p[8:], param)
		e, _, err := h.do(ctx, &initiator.Command{LUN: m.lun, CDB: []byte{0x5f, action, kind, 0, 0, 0, 0, 0, 24, 0}, Out: p})
		return e, err
	}
	const register, reserve, release = 6, 1, 2
	kind := uint8(1 + 4*h.rand.IntN(2)) // Write Exclusive, for the holder or for registrants
	work := func() (e end, err error) {
		if e, err = out(register, 0, 0, key); err != nil || e != good {
			return e, err
		}
		if e, err = out(reserve, kind, key, 0); err != nil || e != good {
			return e, err
		}
		data := h.data(m, n)
		if e, err = h.store(ctx, h.writeCommand(0x2a, m, at, data), m, at, data); err != nil || e != good {
			return e, err
		}
		return out(release, kind, key, 0)
	}
	result, err := work()
	if err != nil {
		return result, err
	}
	for {
		e, err := out(register, 0, 0, 0)
		switch {
		case err != nil || e == good:
			return result, err
		case e == refused: // by a RESERVE(6) that will end
			<-time.After(pause)
		case e == lost:
			if err := h.back(ctx); err != nil {
				return e, err
			}
		}
	}
}

// changingLUN reads from the LUN that comes and goes.
func (h *host) changingLUN(ctx context.Context) (end, error) {
	const illegalRequest = 5
	e, r, err := h.do(ctx, &initiator.Command{LUN: changing, CDB: initiator.Read10(0, 8), In: 8 * 512}, illegalRequest)
	if err == nil && r != nil && r.Key() == illegalRequest && r.Code() != 0x2500 {
		err = fmt.Errorf("LUN %d: %w", changing, r.Err())
	}
	return e, err
}

// maskedLUN reads what the host wrote by another LUN, when a group gives it this one.
func (h *host) maskedLUN(ctx context.Context) (end, error) {
	const illegalRequest, dataProtect = 5, 7
	_, at, n := h.place(8)
	m := h.media[3]
	c := &initiator.Command{LUN: masked, CDB: cdb16(0x88, m, at, n), In: n * m.size}
	write := h.rand.IntN(4) == 0
	if write {
		data := h.data(m, n)
		c = h.writeCommand(0x8a, m, at, data)
		c.LUN = masked
	}
	e, r, err := h.do(ctx, c, illegalRequest, dataProtect)
	switch {
	case err != nil || r == nil || e == refused:
	case r.Key() == illegalRequest && r.Code() == 0x2500:
	case h.n%2 == 0 && (e == good || r.Key() == dataProtect):
		err = fmt.Errorf("LUN %d is there, and no group gives it to this initiator", masked)
	case write && e == good:
		err = fmt.Errorf("LUN %d is write protected, and was written", masked)
	case !write && e == good:
		err = m.read(at, r.Data)
	case r.Key() == illegalRequest || r.Key() == dataProtect && !write:
		err = fmt.Errorf("LUN %d: %w", masked, r.Err())
	}
	return e, err
}

// grownDisk wants the capacity that the last change gave the disk, and uses blocks that
// came with one of them.
func (h *host) grownDisk(ctx context.Context) (end, error) {
	least := h.applied.Load() + 1
	c := &initiator.Command{LUN: grown, CDB: make([]byte, 16), In: 32}
	c.CDB[0], c.CDB[1], c.CDB[13] = 0x9e, 0x10, 32
	e, r, err := h.do(ctx, c)
	if err != nil || e != good {
		return e, err
	}
	most := h.asked.Load() + 1
	size := int64(binary.BigEndian.Uint64(r.Data)) + 1
	if size < least*step || size > most*step {
		return e, fmt.Errorf("LUN %d has %d blocks, and should have between %d and %d", grown, size, least*step, most*step)
	}
	for n := len(h.steps); int64(n) < least; n++ {
		h.steps = append(h.steps, newMedium(grown, 512, n*step+h.n*step/sessions, step/sessions))
	}
	m := h.steps[max(0, len(h.steps)-1-h.rand.IntN(8))] // one of the latest
	if e, err = h.fetch(ctx, m, 0, len(m.may)); err != nil || e != good {
		return e, err
	}
	data := h.data(m, len(m.may))
	return h.store(ctx, h.writeCommand(0x8a, m, 0, data), m, 0, data)
}

// reportLUNs wants the LUNs that are always there.
func (h *host) reportLUNs(ctx context.Context) (end, error) {
	c := &initiator.Command{CDB: []byte{0xa0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0}, In: 512}
	e, r, err := h.do(ctx, c)
	if err != nil || e != good {
		return e, err
	}
	found := map[byte]bool{}
	for b := r.Data[8:]; len(b) >= 8; b = b[8:] {
		found[b[1]] = true
	}
	for _, lun := range []byte{0, 1, 2, 3, grown} {
		if !found[lun] {
			return e, fmt.Errorf("REPORT LUNS without LUN %d: %x", lun, r.Data)
		}
	}
	if found[masked] && h.n%2 == 0 {
		return e, fmt.Errorf("REPORT LUNS shows a masked LUN: %x", r.Data)
	}
	return e, nil
}

func (h *host) nop(ctx context.Context) (end, error) {
	limited, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	err := h.s.Ping(limited, []byte("anybody there?"))
	if errors.Is(err, initiator.ErrClosed) {
		return lost, h.ended(err)
	}
	return good, err
}

// flight is a write on its way.
type flight struct {
	*tracked
	m    *medium
	at   int
	data []byte
}

// launch starts up to most writes on one disk that do not overlap.
func (h *host) launch(most int) (list []flight, e end, err error) {
	m, _, n := h.place(blocks / most)
	for i := range 1 + h.rand.IntN(most) {
		f := flight{m: m, at: i * (blocks / most), data: h.data(m, n)}
		if f.tracked, err = h.start(h.writeCommand(0x2a, m, f.at, f.data)); err != nil {
			m.wrote(f.at, f.data, false) // it may have got there
			return list, lost, h.ended(err)
		}
		list = append(list, f)
	}
	return list, good, nil
}

// land awaits all of list.
func (h *host) land(ctx context.Context, list []flight) (all end, err error) {
	for _, f := range list {
		e, r, err := h.await(ctx, f.tracked)
		executed := true
		if err == nil && e == good {
			var again bool
			e, again, err = h.judge(f.tracked, r)
			executed = !again && e != refused
		}
		if executed {
			f.m.wrote(f.at, f.data, e == good)
		}
		if err != nil {
			return e, err
		}
		if e == lost || all == good && !executed {
			all = e
		}
	}
	return all, nil
}

func (h *host) burst(ctx context.Context) (end, error) {
	list, e, err := h.launch(8)
	landed, err2 := h.land(ctx, list)
	return max(e, landed), errors.Join(err, err2)
}

// abortTask aborts one of several writes.
func (h *host) abortTask(ctx context.Context) (end, error) {
	list, e, err := h.launch(4)
	if err == nil && e == good {
		h.mine++
		f := list[h.rand.IntN(len(list))]
		var answer uint8
		answer, err = h.tmf(ctx, initiator.AbortTask, f.m.lun, f.t)
		switch {
		case errors.Is(err, initiator.ErrClosed):
			e, err = lost, h.ended(err)
		case err == nil && answer != initiator.FunctionComplete && answer != initiator.TaskDoesNotExist:
			err = fmt.Errorf("answer %d", answer)
		}
	}
	landed, err2 := h.land(ctx, list)
	return max(e, landed), errors.Join(err, err2)
}

// reset ends the tasks of several writes by a function for the task set or more.
func (h *host) reset(ctx context.Context, function uint8) (end, error) {
	list, e, err := h.launch(8)
	if err == nil && e == good {
		h.resets.Add(1)
		h.resetting.Add(1)
		var answer uint8
		answer, err = h.tmf(ctx, function, list[0].m.lun, nil)
		h.resetting.Add(-1)
		switch {
		case errors.Is(err, initiator.ErrClosed):
			e, err = lost, h.ended(err)
		case err == nil && answer != initiator.FunctionComplete:
			err = fmt.Errorf("answer %d", answer)
		}
	}
	landed, err2 := h.land(ctx, list)
	if landed == unsure { // the writes were to be aborted
		landed = good
	}
	return max(e, landed), errors.Join(err, err2)
}

// targetResets is how many target resets are passed over for one that is done.
const targetResets = 8

func (h *host) warm(ctx context.Context) (end, error) {
	if h.rand.IntN(targetResets) > 0 {
		return unsure, nil
	}
	return h.reset(ctx, initiator.TargetWarmReset)
}

func (h *host) cold(ctx context.Context) (end, error) {
	if h.rand.IntN(targetResets) > 0 {
		return unsure, nil
	}
	h.soak.colds.Add(1)
	h.cooling.Add(1)
	h.colds-- // this session may end too
	defer h.cooling.Add(-1)
	e, err := h.reset(ctx, initiator.TargetColdReset)
	if err == nil && e == lost {
		h.count("TARGET COLD RESET")
	}
	return e, err
}

func (h *host) logout(ctx context.Context) (end, error) {
	if err := h.s.Logout(ctx); err != nil {
		return lost, h.ended(err)
	}
	h.count("logout")
	return lost, nil
}

// drop closes the connection under writes.
func (h *host) drop(ctx context.Context) (end, error) {
	list, _, err := h.launch(8)
	h.s.Close()
	h.colds-- // that end has a reason
	_, err2 := h.land(ctx, list)
	if err = errors.Join(err, err2); err == nil {
		h.count("drop")
	}
	return lost, err
}

// reinstate logs in again, with the same name and ISID, under writes.
func (h *host) reinstate(ctx context.Context) (end, error) {
	list, e, err := h.launch(8)
	if err != nil || e != good {
		_, err2 := h.land(ctx, list)
		return e, errors.Join(err, err2)
	}
	old := h.s
	if err := h.back(ctx); err != nil {
		return lost, err
	}
	<-old.Done()
	for _, f := range list {
		// The old session has ended, with or without an answer.
		if _, err := f.t.Wait(ctx); err == nil && f.t.Result().Err() == nil {
			f.m.wrote(f.at, f.data, true)
		} else {
			f.m.wrote(f.at, f.data, false)
		}
	}
	return good, nil
}
