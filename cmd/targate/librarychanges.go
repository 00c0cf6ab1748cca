package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"github.com/targate/targate/gateway/manage/api"
	"github.com/targate/targate/vtl/library"
)

func sortedKeys[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }

// withLibrary are cartridges of l.
func (l *tapeLibrary) withLibrary(list ...library.CartridgeStatus) (all []cartridgeStatus) {
	for _, c := range list {
		x := cartridgeStatus{Library: l.lib.Name(), CartridgeStatus: c}
		if !c.Cleaning {
			x.Path = l.pool.Path(c.ID)
		}
		all = append(all, x)
	}
	return all
}

// after is how the cartridge of a barcode is now.
func (l *tapeLibrary) after(barcode string, err error) (cartridgeList, error) {
	if err != nil {
		return cartridgeList{}, err
	}
	c, err := l.lib.Cartridge(barcode)
	return cartridgeList{l.withLibrary(c)}, err
}

// needs refuses a request without a member.
func needs(name string, there bool) error {
	if !there {
		return api.NewProblem(http.StatusBadRequest, name+" is missing")
	}
	return nil
}

// drive is the number of the drive that q means.
func (l *tapeLibrary) driveNumber(q libraryRequest) (int, error) {
	if err := needs("drive", q.Drive != ""); err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(q.Drive)
	for _, d := range l.lib.Drives() {
		if err == nil && d.Number == n || d.Name == q.Drive {
			return d.Number, nil
		}
	}
	return 0, api.NewProblem(http.StatusNotFound, fmt.Sprintf("library %s has no drive %q", l.lib.Name(), q.Drive))
}

func runInventory(ctx context.Context, l *tapeLibrary, _ libraryRequest) (cartridgeList, error) {
	if err := l.lib.Scan(ctx); err != nil {
		return cartridgeList{}, err
	}
	return cartridgeList{l.withLibrary(l.lib.Cartridges()...)}, nil
}

func runMove(ctx context.Context, l *tapeLibrary, q libraryRequest) (cartridgeList, error) {
	if q.Cartridge != "" {
		c, err := l.lib.Cartridge(q.Cartridge)
		if err != nil {
			return cartridgeList{}, err
		}
		q.From = c.Place
	}
	if err := needs("from, or cartridge,", q.From != library.Place{}); err != nil {
		return cartridgeList{}, err
	}
	if err := needs("to", q.To != library.Place{}); err != nil {
		return cartridgeList{}, err
	}
	if q.From == library.InVault || q.To == library.InVault {
		return cartridgeList{}, api.NewProblem(http.StatusBadRequest, "the robot does not reach the vault: import or export the cartridge")
	}
	c, err := l.lib.At(q.From)
	if err != nil {
		return cartridgeList{}, err
	}
	return l.after(c.ID, l.lib.Move(ctx, q.From, q.To))
}

func runLoad(ctx context.Context, l *tapeLibrary, q libraryRequest) (cartridgeList, error) {
	if err := needs("cartridge", q.Cartridge != ""); err != nil {
		return cartridgeList{}, err
	}
	if c, err := l.lib.Cartridge(q.Cartridge); err != nil {
		return cartridgeList{}, err
	} else if c.Place.Kind == library.Drive {
		return cartridgeList{}, api.NewConflict(fmt.Sprintf("cartridge %s is at %s already", q.Cartridge, c.Place))
	}
	if q.Drive == "" {
		d, err := l.freeDrive(q.Cartridge)
		if err != nil {
			return cartridgeList{}, err
		}
		q.Drive = strconv.Itoa(d)
	}
	n, err := l.driveNumber(q)
	if err != nil {
		return cartridgeList{}, err
	}
	return l.after(q.Cartridge, l.lib.Load(ctx, q.Cartridge, n))
}

// freeDrive is the first empty drive that can load a cartridge.
func (l *tapeLibrary) freeDrive(barcode string) (int, error) {
	c, err := l.lib.Cartridge(barcode)
	if err != nil {
		return 0, err
	}
	for _, d := range l.lib.Drives() {
		if d.Removed || d.Barcode != "" {
			continue
		}
		model, ok := l.models.Drive(d.Model)
		if ok && (c.Cleaning || model.Support(c.Media) != nil) {
			return d.Number, nil
		}
	}
	return 0, api.NewConflict(fmt.Sprintf("no drive that can load %s is empty", barcode))
}

func runUnload(ctx context.Context, l *tapeLibrary, q libraryRequest) (cartridgeList, error) {
	if q.Drive == "" && q.Cartridge != "" {
		c, err := l.lib.Cartridge(q.Cartridge)
		if err != nil {
			return cartridgeList{}, err
		}
		if c.Place.Kind != library.Drive {
			return cartridgeList{}, api.NewConflict(fmt.Sprintf("cartridge %s is not in a drive: it is at %s", q.Cartridge, c.Place))
		}
		q.Drive = strconv.Itoa(c.Place.N)
	}
	n, err := l.driveNumber(q)
	if err != nil {
		return cartridgeList{}, err
	}
	c, err := l.lib.At(library.Place{Kind: library.Drive, N: n})
	if err != nil {
		return cartridgeList{}, err
	}
	_, err = l.lib.Unload(ctx, n, q.To)
	return l.after(c.ID, err)
}

func runEject(ctx context.Context, l *tapeLibrary, q libraryRequest) (cartridgeList, error) {
	n, err := l.driveNumber(q)
	if err != nil {
		return cartridgeList{}, err
	}
	c, err := l.lib.At(library.Place{Kind: library.Drive, N: n})
	if err != nil {
		return cartridgeList{}, err
	}
	return l.after(c.ID, l.lib.Eject(ctx, n))
}

func runCreate(ctx context.Context, l *tapeLibrary, q libraryRequest) (cartridgeList, error) {
	if err := needs("cartridge", q.Cartridge != ""); err != nil {
		return cartridgeList{}, err
	}
	list, err := l.lib.Create(ctx, q.Cartridge, library.CreateOptions{To: q.To, WriteProtected: q.On, Capacity: q.Capacity})
	return cartridgeList{l.withLibrary(list...)}, err
}

func runImport(ctx context.Context, l *tapeLibrary, q libraryRequest) (cartridgeList, error) {
	_, err := l.lib.Import(ctx, q.Cartridge, q.To)
	return l.after(q.Cartridge, err)
}

func runExport(ctx context.Context, l *tapeLibrary, q libraryRequest) (cartridgeList, error) {
	return l.after(q.Cartridge, l.lib.Export(ctx, q.Cartridge))
}

func runMailslot(ctx context.Context, l *tapeLibrary, q libraryRequest) (cartridgeList, error) {
	c, err := l.lib.Cartridge(q.Cartridge)
	if err != nil {
		return cartridgeList{}, err
	}
	for _, s := range l.lib.Slots(library.Mailslot) {
		if s.Barcode == "" {
			return l.after(c.ID, l.lib.Move(ctx, c.Place, s.Place))
		}
	}
	return cartridgeList{}, api.NewConflict(fmt.Sprintf("library %s has no free mailslot", l.lib.Name()))
}

func runLabel(ctx context.Context, l *tapeLibrary, q libraryRequest) (cartridgeList, error) {
	if err := needs("label", q.Label != ""); err != nil {
		return cartridgeList{}, err
	}
	return l.after(q.Label, l.lib.Label(ctx, q.Cartridge, q.Label))
}

func runWriteProtect(ctx context.Context, l *tapeLibrary, q libraryRequest) (cartridgeList, error) {
	return l.after(q.Cartridge, l.lib.SetWriteProtected(ctx, q.Cartridge, !q.Off))
}

func runSetWORM(ctx context.Context, l *tapeLibrary, q libraryRequest) (cartridgeList, error) {
	c, err := l.lib.Cartridge(q.Cartridge)
	if err != nil {
		return cartridgeList{}, err
	}
	return l.after(c.ID, l.lib.SetWORM(ctx, c.ID, q.Label))
}

func runDelete(ctx context.Context, l *tapeLibrary, q libraryRequest) (cartridgeList, error) {
	c, err := l.lib.Cartridge(q.Cartridge)
	if err != nil {
		return cartridgeList{}, err
	}
	gone := cartridgeList{l.withLibrary(c)}
	gone.Cartridges[0].Place, gone.Cartridges[0].Path = library.Place{}, ""
	return gone, l.lib.Delete(ctx, c.ID, q.Force)
}
