package main

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
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
		Short: "Serve a disk in a file and a disk in memory, and say what to type on an initiator",
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
	c.Flags().StringVar(&dir, "dir", "targate-demo", "where the demo keeps its configuration and its disks")
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
	portal, iqn := m.ISCSI.Portals[0].Listen, m.Targets[0].IQN
	host, port, err := net.SplitHostPort(portal)
	if err != nil {
		host, port = portal, "3260"
	}
	fmt.Fprint(w, strings.NewReplacer("PORTAL", portal, "HOST", host, "PORT", port, "IQN", iqn, "DIR", dir).Replace(tour))
}

const tour = `
targate serves IQN at PORTAL. Its disks and its configuration are in DIR.

  Any machine with libiscsi:
    iscsi-ls -s iscsi://PORTAL
    qemu-img info iscsi://PORTAL/IQN/0

  Linux (open-iscsi, as root):
    iscsiadm -m discovery -t sendtargets -p PORTAL
    iscsiadm -m node -T IQN -p PORTAL --login
    lsblk -S

  Windows (PowerShell, as administrator):
    Start-Service MSiSCSI
    New-IscsiTargetPortal -TargetPortalAddress HOST -TargetPortalPortNumber PORT
    Connect-IscsiTarget -NodeAddress IQN

  VMware ESXi (VMHBA is the software iSCSI adapter of "esxcli iscsi adapter list"):
    esxcli iscsi software set --enabled=true
    esxcli iscsi adapter discovery sendtarget add -A VMHBA -a PORTAL
    esxcli storage core adapter rescan -A VMHBA

  Here:
    targate status --socket DIR/state/targate.sock

Other machines reach it with --listen ADDRESS:3260. There is no password: see "chap" in
docs/configuration.md. Ctrl-C ends the demo; what was written to disk0 stays.

`
