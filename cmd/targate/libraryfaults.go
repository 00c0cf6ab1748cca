package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/targate/targate/core"
	"github.com/targate/targate/gateway/manage/api"
	"github.com/targate/targate/gateway/manage/config"
	"github.com/targate/targate/vtl/fault"
	"github.com/targate/targate/vtl/library"
	"github.com/targate/targate/vtl/medium"
	"github.com/targate/targate/vtl/ssc"
)

// faultKeys are the keys of a library that make it slow or broken.
var faultKeys = []config.Key{
	{Name: "timing", Type: config.String, Default: "off", Check: func(v any) error { _, err := parseTiming(v.(string)); return err },
		Doc: "How long motion and data take: `off`, `real` for the times of the models, or a factor of these, as in `0.1`. See [faults and timing](tape/faults.md)."},
	{Name: "faults", Type: config.Path,
		Doc: "A file of rules that make drives fail, for trying what backup software does then: see [faults and timing](tape/faults.md)."},
}

// parseTiming is the factor of real times.
func parseTiming(s string) (float64, error) {
	switch s {
	case "off":
		return 0, nil
	case "real":
		return 1, nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !(f > 0 && f <= 100) {
		return 0, fmt.Errorf("%q is not off, real, or a factor up to 100", s)
	}
	return f, nil
}

// loadFaults is the scenario that e names, nil for none.
func loadFaults(e *config.Entry) (*fault.Scenario, error) {
	file, ok := e.Values["faults"].(string)
	if !ok {
		return nil, nil
	}
	return fault.Load(file)
}

// mechanics are what moves the drives and the robot of a library.
type mechanics struct {
	scale    float64
	injector *fault.Injector
}

// newMechanics makes those of e. drop ends the sessions that see a device.
func newMechanics(e *config.Entry, drop func(device string), log *slog.Logger) (*mechanics, error) {
	scale, err := parseTiming(e.Values["timing"].(string))
	if err != nil {
		return nil, err
	}
	s, err := loadFaults(e)
	if err != nil {
		return nil, err
	}
	m := &mechanics{scale, fault.NewInjector(fault.Options{Log: log, Drop: func(n int) { go drop(deviceName(e.Name, n)) }})}
	m.injector.Set(s)
	return m, nil
}

// deviceName is that of drive n of a library, or of its changer, 0.
func deviceName(library string, n int) string {
	if n == 0 {
		return library + "-changer"
	}
	return driveName(library, n)
}

// robot is a motion of the robot.
func (m *mechanics) robot(ctx context.Context, v library.Motion) error {
	op, drive := fault.OpMove, 0
	for _, p := range []library.Place{v.From, v.To} {
		if p.Kind == library.Drive {
			drive = p.N
		}
	}
	if v.Kind == library.MotionScan {
		op = fault.OpScan
	}
	if v.Kind != library.MotionPosition {
		if err := m.injector.Robot(ctx, op, drive, v.Barcode); err != nil {
			return err
		}
	}
	t := time.NewTimer(time.Duration(float64(v.Time) * m.scale))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// still is the motion of a drive that takes no time.
type still struct{}

func (still) Move(context.Context, ssc.Move, func(float64)) error { return nil }
func (still) Still() bool                                         { return true }

// newDrive makes a drive of s with these mechanics.
func (m *mechanics) newDrive(s library.DriveSpec) (library.DriveHandler, error) {
	var motion ssc.Motion = still{}
	x := &slowDrive{injector: m.injector, number: s.Number, identity: s.Identity}
	if m.scale > 0 {
		x.times = fault.NewTimes(s.Model.Timing, m.scale)
		motion = x.times
	}
	var err error
	x.Drive, err = ssc.New(ssc.Config{Model: s.Model, Identity: s.Identity, Motion: m.injector.Motion(s.Number, motion), Log: s.Log})
	if err != nil {
		return nil, err
	}
	m.injector.Bind(s.Number, x.Drive)
	return x, nil
}

// slowDrive is a drive whose cartridges are as slow, and fail, as its mechanics say.
type slowDrive struct {
	*ssc.Drive
	injector *fault.Injector
	number   int
	identity core.Identity
	times    *fault.Times // nil: as fast as it can be
}

// Insert is that of the drive.
func (d *slowDrive) Insert(c ssc.Cartridge) error { return d.Drive.Insert(slowCartridge{c, d}) }

type slowCartridge struct {
	ssc.Cartridge
	drive *slowDrive
}

func (c slowCartridge) Mount() (medium.Medium, error) {
	m, err := c.Cartridge.Mount()
	if err != nil || m == nil { // nil: a cleaning cartridge
		return nil, err
	}
	if t := c.drive.times; t != nil {
		m = t.Medium(m, c.drive.Model().Buffer)
	}
	return c.drive.injector.Medium(c.drive.number, m), nil
}

// faultList is what became of the rules of a library.
type faultList struct {
	Rules []fault.RuleStatus `json:"rules"`
}

// faultRequest puts a scenario in place of what a library has.
type faultRequest struct {
	Library string `json:"library,omitempty"`
	Rules   string `json:"rules"`
}

func (a *libraryAPI) listFaults(r *http.Request) (any, error) {
	l, err := a.find(libraryRequest{Library: r.URL.Query().Get("library")}, nil)
	if err != nil {
		return nil, err
	}
	return faultList{l.mechanics.injector.Rules()}, nil
}

func (a *libraryAPI) setFaults(r *http.Request) (any, error) {
	var q faultRequest
	if err := api.Body(r, &q); err != nil {
		return nil, err
	}
	l, err := a.find(libraryRequest{Library: q.Library}, nil)
	if err != nil {
		return nil, err
	}
	s, err := fault.Parse(q.Rules)
	if err != nil {
		return nil, api.NewProblem(http.StatusBadRequest, err.Error())
	}
	l.mechanics.injector.Set(s)
	list := faultList{l.mechanics.injector.Rules()}
	l.log.Info("administration", "did", "faults", "rules", len(list.Rules))
	return list, nil
}
