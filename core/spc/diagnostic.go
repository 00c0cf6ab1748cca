package spc

import (
	"errors"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
)

func (d *Device) hasSelfTest() bool { return d.cfg.SelfTest != nil }

// sendDiagnostic is SEND DIAGNOSTIC (SPC-6, 6.45) with the default self-test. It
// changes nothing, so DEVOFFL and UNITOFFL permit what is not needed. Without
// SELFTEST the command asks for nothing.
func (d *Device) sendDiagnostic(c *core.Command) error {
	const selfTest = 0x04
	if c.CDB[1]&selfTest == 0 {
		return nil
	}
	err := d.cfg.SelfTest(c)
	var status sense.Status
	if err == nil || errors.As(err, &status) {
		return err
	}
	return sense.New(sense.HardwareError, sense.FailedSelfTest).WithCause(err)
}
