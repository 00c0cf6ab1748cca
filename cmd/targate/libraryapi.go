package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/targate/targate/gateway/manage/api"
	"github.com/targate/targate/vtl/library"
)

// libraryStatus is a library, and where its cartridges are stored.
type libraryStatus struct {
	library.Status
	Path string `json:"path"`
}

// driveStatus, slotStatus and cartridgeStatus are those of one of several libraries.
type (
	driveStatus struct {
		Library string `json:"library"`
		library.DriveStatus
	}
	slotStatus struct {
		Library string `json:"library"`
		library.SlotStatus
	}
	cartridgeStatus struct {
		Library string `json:"library"`
		library.CartridgeStatus
		// Path is the directory of its contents, empty for a cleaning cartridge.
		Path string `json:"path,omitempty"`
	}
)

// Answers of the routes; a client asks for some of each.
type (
	libraryList struct {
		Libraries []libraryStatus `json:"libraries"`
	}
	driveList struct {
		Drives []driveStatus `json:"drives"`
	}
	slotList struct {
		Slots []slotStatus `json:"slots"`
	}
	cartridgeList struct {
		Cartridges []cartridgeStatus `json:"cartridges"`
	}
)

// libraryRequest is the question of all routes that change something; each says which members
// it wants. Library may be left out when there is but one, or the cartridge or drive is in one only.
type libraryRequest struct {
	Library   string        `json:"library,omitempty"`
	Cartridge string        `json:"cartridge,omitempty"` // its barcode, or ID
	Drive     string        `json:"drive,omitempty"`     // its number in the library, or device name
	From      library.Place `json:"from,omitzero"`
	To        library.Place `json:"to,omitzero"`
	Label     string        `json:"label,omitempty"`
	Capacity  int64         `json:"capacity,omitempty"` // of new cartridges, in bytes
	On        bool          `json:"on,omitempty"`       // the tab: create
	Off       bool          `json:"off,omitempty"`      // the tab: write-protect
	Force     bool          `json:"force,omitempty"`
}

// libraryAPI answers for all libraries that run.
type libraryAPI struct {
	libraries func() map[string]*tapeLibrary
}

// change is a route that changes something.
type change struct {
	path, doc string
	run       func(context.Context, *tapeLibrary, libraryRequest) (cartridgeList, error)
	// by: how the library is found when the request does not name it.
	by func(*tapeLibrary, libraryRequest) bool
}

var changes = []change{
	{"/v1/libraries/inventory", "have the robot read all barcodes", runInventory, nil},
	{"/v1/libraries/move", "carry a cartridge from one place of a library to another", runMove, nil},
	{"/v1/drives/load", "put a cartridge into a drive", runLoad, hasCartridge},
	{"/v1/drives/unload", "unload a drive, or that of a cartridge, and carry its cartridge away", runUnload, hasEither},
	{"/v1/drives/eject", "unload a drive as its button does; the cartridge stays in it", runEject, hasDrive},
	{"/v1/cartridges/create", "make blank cartridges, of a barcode or a range", runCreate, nil},
	{"/v1/cartridges/import", "put a cartridge of the vault into a mailslot or slot", runImport, hasCartridge},
	{"/v1/cartridges/export", "take a cartridge out of a library, into the vault", runExport, hasCartridge},
	{"/v1/cartridges/eject", "carry a cartridge to a free mailslot", runMailslot, hasCartridge},
	{"/v1/cartridges/label", "stick another label on a cartridge", runLabel, hasCartridge},
	{"/v1/cartridges/write-protect", "move the tab of a cartridge", runWriteProtect, hasCartridge},
	{"/v1/cartridges/set-worm", "make a blank cartridge one that is written once", runSetWORM, hasCartridge},
	{"/v1/cartridges/delete", "destroy a cartridge with all its generations", runDelete, hasCartridge},
}

// routes are those of libraries, drives, slots and cartridges.
func (a *libraryAPI) routes() []api.Route {
	list := []api.Route{
		{Method: "GET", Path: "/v1/libraries", Doc: "the tape libraries", Run: a.listLibraries},
		{Method: "GET", Path: "/v1/drives", Doc: "the drives of all libraries, or of ?library=", Run: a.listDrives},
		{Method: "GET", Path: "/v1/slots", Doc: "the slots and mailslots of all libraries, or of ?library=", Run: a.listSlots},
		{Method: "GET", Path: "/v1/cartridges", Doc: "the cartridges of all libraries, or of ?library=; one by ?cartridge=", Run: a.listCartridges},
	}
	list = append(list,
		api.Route{Method: "GET", Path: "/v1/libraries/faults", Doc: "the fault rules of ?library=, and what became of them", Run: a.listFaults},
		api.Route{Method: "POST", Path: "/v1/libraries/faults", Doc: "put other fault rules in place", Changes: true, Run: a.setFaults})
	for _, c := range changes {
		list = append(list, api.Route{Method: "POST", Path: c.path, Doc: c.doc, Changes: true,
			Run: func(r *http.Request) (any, error) { return a.change(r, c) }})
	}
	return list
}

// each calls f for the library that ?library= names, or all of them in order of name.
func (a *libraryAPI) each(r *http.Request, f func(*tapeLibrary)) error {
	all := a.libraries()
	if name := r.URL.Query().Get("library"); name != "" {
		l := all[name]
		if l == nil {
			return noLibrary(name, all)
		}
		f(l)
		return nil
	}
	for _, name := range sortedKeys(all) {
		f(all[name])
	}
	return nil
}

func noLibrary(name string, all map[string]*tapeLibrary) error {
	there := "there are none"
	if len(all) > 0 {
		there = "there are " + strings.Join(sortedKeys(all), ", ")
	}
	return api.NewProblem(http.StatusNotFound, fmt.Sprintf("there is no library %q; %s", name, there))
}

func (a *libraryAPI) listLibraries(r *http.Request) (any, error) {
	list := libraryList{Libraries: []libraryStatus{}}
	err := a.each(r, func(l *tapeLibrary) {
		list.Libraries = append(list.Libraries, libraryStatus{l.lib.Status(), l.path})
	})
	return list, err
}

func (a *libraryAPI) listDrives(r *http.Request) (any, error) {
	list := driveList{Drives: []driveStatus{}}
	err := a.each(r, func(l *tapeLibrary) {
		for _, d := range l.lib.Drives() {
			list.Drives = append(list.Drives, driveStatus{l.lib.Name(), d})
		}
	})
	return list, err
}

func (a *libraryAPI) listSlots(r *http.Request) (any, error) {
	list := slotList{Slots: []slotStatus{}}
	err := a.each(r, func(l *tapeLibrary) {
		for _, k := range []library.Kind{library.Mailslot, library.Slot} {
			for _, s := range l.lib.Slots(k) {
				list.Slots = append(list.Slots, slotStatus{l.lib.Name(), s})
			}
		}
	})
	return list, err
}

func (a *libraryAPI) listCartridges(r *http.Request) (any, error) {
	list := cartridgeList{Cartridges: []cartridgeStatus{}}
	one := r.URL.Query().Get("cartridge")
	err := a.each(r, func(l *tapeLibrary) {
		if one == "" {
			list.Cartridges = append(list.Cartridges, l.withLibrary(l.lib.Cartridges()...)...)
		} else if c, err := l.lib.Cartridge(one); err == nil {
			list.Cartridges = append(list.Cartridges, l.withLibrary(c)...)
		}
	})
	if err == nil && one != "" && len(list.Cartridges) == 0 {
		err = api.NewProblem(http.StatusNotFound, fmt.Sprintf("there is no cartridge %q", one))
	}
	return list, err
}

// change runs c in the library that the request means.
func (a *libraryAPI) change(r *http.Request, c change) (any, error) {
	var q libraryRequest
	if err := api.Body(r, &q); err != nil {
		return nil, err
	}
	l, err := a.find(q, c.by)
	if err != nil {
		return nil, err
	}
	v, err := c.run(r.Context(), l, q)
	if err != nil {
		return nil, libraryProblem(err)
	}
	if v.Cartridges == nil {
		v.Cartridges = []cartridgeStatus{}
	}
	what := ""
	for _, x := range v.Cartridges {
		what += fmt.Sprintf(" %s at %s", x.Barcode, x.Place)
	}
	l.log.Info("administration", "did", c.path[len("/v1/"):], "cartridges", len(v.Cartridges), "now", strings.TrimSpace(clip(what)))
	return v, nil
}

// clip bounds what a log line says.
func clip(s string) string {
	const most = 200
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}

// find is the library that q means.
func (a *libraryAPI) find(q libraryRequest, by func(*tapeLibrary, libraryRequest) bool) (*tapeLibrary, error) {
	all := a.libraries()
	if q.Library != "" {
		l := all[q.Library]
		if l == nil {
			return nil, noLibrary(q.Library, all)
		}
		return l, nil
	}
	if len(all) == 1 || len(all) == 0 {
		for _, l := range all {
			return l, nil
		}
		return nil, api.NewProblem(http.StatusNotFound, "there is no library")
	}
	var fit []string
	for _, name := range sortedKeys(all) {
		if by != nil && by(all[name], q) {
			fit = append(fit, name)
		}
	}
	switch {
	case len(fit) == 1:
		return all[fit[0]], nil
	case by != nil && len(fit) == 0:
		return nil, api.NewProblem(http.StatusNotFound, fmt.Sprintf("no library has %q", q.Cartridge+q.Drive))
	case len(fit) == 0:
		fit = sortedKeys(all)
	}
	return nil, api.NewProblem(http.StatusBadRequest, "name the library: "+strings.Join(fit, " or "))
}

func hasCartridge(l *tapeLibrary, q libraryRequest) bool {
	_, err := l.lib.Cartridge(q.Cartridge)
	return err == nil
}

func hasDrive(l *tapeLibrary, q libraryRequest) bool {
	return slices.ContainsFunc(l.lib.Drives(), func(d library.DriveStatus) bool { return d.Name == q.Drive })
}

func hasEither(l *tapeLibrary, q libraryRequest) bool {
	return q.Drive != "" && hasDrive(l, q) || q.Drive == "" && hasCartridge(l, q)
}

// libraryProblem gives an error of a library its status.
func libraryProblem(err error) error {
	var p *api.Problem
	switch {
	case errors.As(err, &p):
		return err
	case errors.Is(err, library.ErrNotFound):
		return api.NewProblem(http.StatusNotFound, err.Error())
	case errors.Is(err, library.ErrConflict):
		return api.NewConflict(err.Error())
	case errors.Is(err, library.ErrInvalid):
		return api.NewProblem(http.StatusBadRequest, err.Error())
	}
	return err
}
