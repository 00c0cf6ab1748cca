package main

import (
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/targate/targate/gateway/manage/config"
)

// demoConfig is what "demo" serves.
//
//go:embed demo.yaml
var demoConfig string

// defaultListen is the portal in demoConfig.
const defaultListen = "127.0.0.1:3260"

func demoCommand() *cobra.Command {
	var dir, listen string
	var l logFlags
	c := &cobra.Command{
		Use:   "demo",
		Short: "Serve disks and a tape library, and say what to type on an initiator",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			log, err := l.logger(c.ErrOrStderr())
			if err != nil {
				return err
			}
			if _, _, err := net.SplitHostPort(listen); err != nil {
				return failf(exitUsage, "--listen %q is not HOST:PORT", listen)
			}
			file, err := prepareDemo(dir, listen)
			if err != nil {
				return fail(exitFailure, err)
			}
			s := server{log: log, stderr: c.ErrOrStderr(),
				load: func() (*config.Model, error) {
					m, err := load(file)
					if err == nil && c.Flags().Changed("listen") {
						m.ISCSI.Portals = m.ISCSI.Portals[:1] // the reader wants one
						m.ISCSI.Portals[0].Listen = listen
					}
					return m, err
				},
				ready: func(m *config.Model) { printTour(c.OutOrStdout(), dir, m) },
			}
			return s.run()
		},
	}
	c.Flags().StringVar(&dir, "dir", "targate-demo", "where the demo keeps its configuration, disks and cartridges")
	c.Flags().StringVar(&listen, "listen", defaultListen, "the portal, `HOST:PORT`")
	l.add(c)
	return c
}

// prepareDemo writes the default configuration, unless one is there.
func prepareDemo(dir, listen string) (file string, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	file = filepath.Join(dir, "targate.yaml")
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return file, nil
	}
	if err != nil {
		return "", err
	}
	_, err = f.WriteString(strings.Replace(demoConfig, defaultListen, listen, 1))
	return file, errors.Join(err, f.Close())
}

// printTour says what to type on an initiator.
func printTour(w io.Writer, dir string, m *config.Model) {
	if len(m.Targets) == 0 {
		return
	}
	portal := m.ISCSI.Portals[0].Listen
	host, port, err := net.SplitHostPort(portal)
	if err != nil {
		host, port = portal, "3260"
	}
	disks, library := "", ""
	for i := range m.Targets {
		t := &m.Targets[i]
		if isLibrary(m, t) {
			library = cmp.Or(library, t.IQN)
		} else {
			disks = cmp.Or(disks, t.IQN)
		}
	}
	text := tourHead
	if disks != "" {
		text += tourDisks
	}
	here := ""
	if library != "" {
		text += tourTapes
		here = tourHere
	} else {
		text += strings.ReplaceAll(tourAdd, "LIBRARY", demoLibrary())
	}
	text += strings.ReplaceAll(tourEnd, "HERE\n", here)
	fmt.Fprint(w, strings.NewReplacer("PORTAL", portal, "HOST", host, "PORT", port, "DISKS", disks, "LIBRARY", library, "DIR", dir).Replace(text))
}

// isLibrary reports whether t shows the changer of a library.
func isLibrary(m *config.Model, t *config.Target) bool {
	return slices.ContainsFunc(t.LUNs, func(l config.LUN) bool {
		return slices.ContainsFunc(m.Entries, func(e config.Entry) bool { return len(e.Members) > 0 && e.Members[0] == l.Device })
	})
}

// demoLibrary is what a demo of before there were libraries lacks.
func demoLibrary() string {
	_, rest, _ := strings.Cut(demoConfig, "libraries:\n")
	library, targets, _ := strings.Cut(rest, "targets:\n")
	_, target, _ := strings.Cut(targets, "  - iqn: iqn.2026-11.org.targate:lib0\n")
	indent := func(s string) string {
		return "    " + strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n    ") + "\n"
	}
	return indent("libraries:\n"+library) + "  and to \"targets:\"\n" + indent("  - iqn: iqn.2026-11.org.targate:lib0\n"+target)
}

const tourHead = `
targate serves at PORTAL. Its disks, its cartridges and its configuration are in DIR.
`

const tourDisks = `
Disks: DISKS

  Any machine with libiscsi:
    iscsi-ls -s iscsi://PORTAL
    qemu-img info iscsi://PORTAL/DISKS/0

  Linux (open-iscsi, as root):
    iscsiadm -m discovery -t sendtargets -p PORTAL
    iscsiadm -m node -T DISKS -p PORTAL --login
    lsblk -S

  Windows (PowerShell, as administrator):
    Start-Service MSiSCSI
    New-IscsiTargetPortal -TargetPortalAddress HOST -TargetPortalPortNumber PORT
    Connect-IscsiTarget -NodeAddress DISKS

  VMware ESXi (VMHBA is the software iSCSI adapter of "esxcli iscsi adapter list"):
    esxcli iscsi software set --enabled=true
    esxcli iscsi adapter discovery sendtarget add -A VMHBA -a PORTAL
    esxcli storage core adapter rescan -A VMHBA
`

const tourTapes = `
A tape library with two drives: LIBRARY

  Linux (open-iscsi, lsscsi, mtx, mt-st, as root; lsscsi says which /dev/sg is the changer):
    iscsiadm -m discovery -t sendtargets -p PORTAL
    iscsiadm -m node -T LIBRARY -p PORTAL --login
    lsscsi -g
    mtx -f /dev/sg0 status
    mtx -f /dev/sg0 load 1 0
    tar -C /etc -cf /dev/nst0 .
    mt -f /dev/nst0 rewind
    tar -tf /dev/nst0
    mt -f /dev/nst0 offline
    mtx -f /dev/sg0 unload 1 0

  Windows: Connect-IscsiTarget -NodeAddress LIBRARY, then the backup program finds a library.
`

const tourAdd = `
This demo is older than tape libraries. To have one, add to DIR/targate.yaml
LIBRARY  and type: targate apply DIR/targate.yaml
`

const tourHere = `    targate tape list --socket DIR/state/targate.sock
    targate tape ls TG0001L8 --socket DIR/state/targate.sock
`

const tourEnd = `
  Here:
    targate status --socket DIR/state/targate.sock
HERE
Other machines reach it with --listen ADDRESS:3260. There is no password: see "chap" in
docs/configuration.md. Ctrl-C ends the demo; what was written to disk0 and to tapes stays.

`
