package ssc

import (
	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/core/spc"
)

// activity is DT DEVICE ACTIVITY (ADC-4, 6.1.2.2): what a drive is doing with the tape.
type activity = uint32

const (
	actNone     activity = 0x0
	actCleaning activity = 0x1
	actLoading  activity = 0x2
	actUnload   activity = 0x3
	actOther    activity = 0x4
	actReading  activity = 0x5
	actWriting  activity = 0x6
	actLocating activity = 0x7
	actRewind   activity = 0x8
	actErasing  activity = 0x9
	actFormat   activity = 0xa
)

// activities are what the commands to the medium do, by opcode.
var activities = [256]activity{
	0x01: actRewind, 0x04: actFormat, 0x08: actReading, 0x88: actReading, 0x0f: actReading, 0x81: actReading, 0x13: actReading, 0x8f: actReading,
	0x0a: actWriting, 0x8a: actWriting, 0x10: actWriting, 0x80: actWriting, 0x0b: actFormat, 0x11: actLocating, 0x91: actLocating,
	0x19: actErasing, 0x93: actErasing, 0x2b: actLocating, 0x92: actLocating,
}

// statusLog is the DT Device Status log page (ADC-4, 6.1.2): the very high frequency data.
func (d *Drive) statusLog(*core.Command) []spc.LogParam {
	const (
		pamr  = 0x80 // byte 0: no initiator prevents removal
		macc  = 0x20 // the memory of the medium can be accessed
		cmpr  = 0x10 // compression is on
		wrtp  = 0x08 // the medium is write protected
		crqst = 0x04 // cleaning is requested
		dinit = 0x01 // the device can be asked

		inxtn   = 0x80 // byte 1: in transition
		raa     = 0x20 // the robot may take the cartridge, or put one in
		mprsnt  = 0x10
		mstd    = 0x04 // seated
		mthrd   = 0x02 // threaded
		mounted = 0x01
	)
	v := []byte{dinit, 0, byte(d.doing.Load()), 0}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.prevent) == 0 {
		v[0] |= pamr
	}
	if d.settings.compress.Load() {
		v[0] |= cmpr
	}
	if d.cleaning.Load() {
		v[0] |= crqst
	}
	if d.mount != nil {
		v[0] |= macc
		if d.mount.readOnly {
			v[0] |= wrtp
		}
		v[1] |= mstd | mthrd | mounted
	}
	if d.cart != nil {
		v[1] |= mprsnt
	}
	if d.op != nil {
		if d.op.exclusive {
			v[1] |= inxtn
		}
		v[2] = byte(d.op.activity())
	}
	if d.load == unloaded || d.load == empty {
		v[1] |= raa
	}
	return []spc.LogParam{{Code: 0, Format: spc.BinaryList, Value: v}}
}

// activity is what an operation in the background does.
func (o *operation) activity() activity {
	switch {
	case o.not == cleaningInstalled:
		return actCleaning
	case o.exclusive && o.not == sense.NotReadyBecomingReady:
		return actLoading
	case o.exclusive && o.not == sense.MediumNotPresent:
		return actUnload
	}
	switch o.code {
	case rewindInProgress:
		return actRewind
	case locateInProgress:
		return actLocating
	case eraseInProgress:
		return actErasing
	}
	return actOther
}
