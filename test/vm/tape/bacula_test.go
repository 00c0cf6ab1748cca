//go:build vm

package tape

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/targate/targate/test/vm"
)

// storageConfig is Bacula's storage daemon with all defaults of a tape device.
func (l *library) storageConfig() string {
	return fmt.Sprintf(`Storage { Name = sd; WorkingDirectory = /var/lib/bacula; Pid Directory = /run/bacula; Plugin Directory = /usr/lib/bacula; SDAddress = 127.0.0.1 }
Director { Name = dir; Password = x }
Messages { Name = Standard; director = dir = all }
Autochanger { Name = A; Device = T0, T1; Changer Device = %s; Changer Command = "/etc/bacula/scripts/mtx-changer %%c %%o %%S %%a %%d" }
Device { Name = T0; Drive Index = 0; Media Type = LTO; Archive Device = %s; AutomaticMount = yes; AlwaysOpen = yes; RemovableMedia = yes; RandomAccess = no; AutoChanger = yes; Maximum File Size = 16MB; }
Device { Name = T1; Drive Index = 1; Media Type = LTO; Archive Device = %s; AutomaticMount = yes; AlwaysOpen = yes; RemovableMedia = yes; RandomAccess = no; AutoChanger = yes; Maximum File Size = 16MB; }
`, l.sg, l.tapes[0], l.tapes[1])
}

const (
	directorConfig = `Director { Name = dir; DIRport = 9101; QueryFile = "/etc/bacula/scripts/query.sql"; WorkingDirectory = /var/lib/bacula; PidDirectory = /run/bacula; Maximum Concurrent Jobs = 2; Password = x; Messages = M; DirAddress = 127.0.0.1 }
Catalog { Name = C; dbname = bacula; dbuser = "" }
Client { Name = fd; Address = 127.0.0.1; FDPort = 9102; Catalog = C; Password = x }
Autochanger { Name = A; Address = 127.0.0.1; SDPort = 9103; Password = x; Device = A; Media Type = LTO; Autochanger = A }
Pool { Name = P; Pool Type = Backup; Recycle = no; AutoPrune = no; Volume Retention = 1 year }
Pool { Name = Scratch; Pool Type = Scratch }
Messages { Name = M; append = "/tmp/bacula.log" = all; catalog = all }
FileSet { Name = F; Include { Options { signature = SHA1; sparse = yes }
  File = /usr/bin
  File = /usr/lib/x86_64-linux-gnu
  File = /tmp/tree
} }
Job { Name = backup; Type = Backup; Level = Full; Client = fd; FileSet = F; Storage = A; Pool = P; Messages = M }
Job { Name = verify; Type = Verify; Level = VolumeToCatalog; Client = fd; FileSet = F; Storage = A; Pool = P; Messages = M; Verify Job = backup }
Job { Name = restore; Type = Restore; Client = fd; FileSet = F; Storage = A; Pool = P; Messages = M; Where = /tmp/restore }
`
	fileConfig = `Director { Name = dir; Password = x }
FileDaemon { Name = fd; FDport = 9102; WorkingDirectory = /var/lib/bacula; Pid Directory = /run/bacula; FDAddress = 127.0.0.1 }
Messages { Name = M; director = dir = all }
`
	consoleConfig = "Director { Name = dir; DIRport = 9101; address = 127.0.0.1; Password = x }\n"
)

// guestFile writes a file in the guest.
func guestFile(t *testing.T, path, text string) {
	t.Helper()
	vm.Sh(t, "mkdir -p $(dirname "+path+") && cat >"+path+" <<'END-OF-FILE'\n"+text+"END-OF-FILE\n")
}

func (l *library) baculaFiles() {
	l.t.Helper()
	guestFile(l.t, "/etc/bacula/bacula-sd.conf", l.storageConfig())
	vm.Sh(l.t, "mkdir -p /var/lib/bacula /run/bacula /var/log/bacula")
}

// TestBtape is Bacula's own test of a drive: btape test with everything at its default.
func TestBtape(t *testing.T) {
	l := open(t, "")
	l.baculaFiles()
	l.blank(big, 0)
	out := long(t, `printf 'test\ny\nquit\n' | btape -c /etc/bacula/bacula-sd.conf T0 2>&1`)
	contains(t, out, "10000 blocks re-read correctly", "=== Test Succeeded. End Write, rewind, and re-read test ===",
		"Block 20000 re-read correctly", "We should be in file 3. I am at file 3. This is correct!", "Total files=4, blocks=7, bytes = 451,136",
		"Block re-read correct. Test succeeded!", "We should be in file 5. I am at file 5. This is correct!", "The test autochanger worked!!")
	noErrors(t, out)
}

// TestFill is btape fill: it writes over two cartridges and compares the blocks at the end of the
// first.
func TestFill(t *testing.T) {
	l := open(t, "")
	l.baculaFiles()
	for i := range 2 { // the changer loads slots 1 and 2
		d := l.blank(fills+i, 0)
		d.uncompressed()
		d.unload(fills + i)
	}
	l.load(fills, 0)
	out := long(t, `printf 'fill\nm\n\n\n\nquit\n' | btape -c /etc/bacula/bacula-sd.conf T0 2>&1`)
	contains(t, out, "The last block of the first tape matches", "The first block on the second tape matches",
		"The last block on the second tape matches. Test succeeded.")
	noErrors(t, out)
}

// noErrors fails the test for each line in which btape or Bacula is not content.
func noErrors(t *testing.T, out string) {
	t.Helper()
	for line := range strings.Lines(out) {
		for _, bad := range []string{"ERR", "Error:", "failed", "FAILED", "differ"} {
			if strings.Contains(line, bad) {
				t.Errorf("Bacula: %s", line)
				break
			}
		}
	}
}

// TestBacula backs a tree up over several cartridges, verifies, restores, and compares every file.
func TestBacula(t *testing.T) {
	l := open(t, "")
	l.baculaFiles()
	guestFile(t, "/etc/bacula/bacula-dir.conf", directorConfig)
	guestFile(t, "/etc/bacula/bacula-fd.conf", fileConfig)
	guestFile(t, "/etc/bacula/bconsole.conf", consoleConfig)
	for i := range 3 {
		d := l.blank(small+i, 0)
		d.uncompressed()
		d.mt("weof 1")
		d.unload(small + i)
	}
	vm.Sh(t, `set -e
sed s/XXX_DBNAME_XXX/bacula/ /usr/share/bacula-director/make_sqlite3_tables | sh >/dev/null
mkdir -p /tmp/tree/deep/er && cd /tmp/tree
head -c 1500000 /dev/urandom | split -a 3 -b 4999 - deep/f
head -c 30000000 /dev/urandom >big
ln big deep/hard; ln -s ../big deep/soft; ln -s /nowhere dangling; mkfifo pipe
truncate -s 20M sparse; printf end >>sparse; touch "name with spaces" $'name\nwith newline' "$(printf 'n%.0s' $(seq 250))"
chmod 4755 deep/faaa; chown 1000:1000 deep/faab; touch -d 2001-01-01 deep/faac`)
	vm.Sh(t, `set -e
for d in sd fd dir; do bacula-$d -t -c /etc/bacula/bacula-$d.conf; done 2>&1
for d in sd fd dir; do bacula-$d -c /etc/bacula/bacula-$d.conf; done
until echo version | timeout 5 bconsole -c /etc/bacula/bconsole.conf 2>&1; do sleep .1; done`)
	t.Cleanup(func() {
		out, _ := vm.Try(t, "pkill -x bacula-dir; pkill -x bacula-fd; pkill -x bacula-sd; while pgrep '^bacula' >/dev/null; do sleep .05; done; cat /tmp/bacula.log; rm -rf /tmp/restore /tmp/tree /tmp/bacula.log /var/lib/bacula")
		if t.Failed() {
			t.Log(out)
		}
	})
	console := func(lines ...string) string {
		t.Helper()
		return long(t, "bconsole -n -c /etc/bacula/bconsole.conf <<'END'\n"+strings.Join(lines, "\n")+"\nwait\nmessages\nquit\nEND\n")
	}
	out := console(fmt.Sprintf("label storage=A pool=P slots=%d-%d drive=0 barcodes", small, small+2), "yes")
	if n := strings.Count(out, "successfully created"); n != 3 {
		t.Fatalf("%d volumes labelled, want 3:\n%s", n, out)
	}
	ended := func(job string) {
		t.Helper()
		out := console("list jobs jobname=" + job)
		if !regexp.MustCompile(`\| +T +\|\s`).MatchString(out) {
			t.Errorf("job %s has not ended well:\n%s", job, out)
		}
	}
	console("run job=backup yes")
	ended("backup")
	volumes := console("list volumes pool=P")
	if n := strings.Count(volumes, "Full"); n < 1 {
		t.Errorf("the backup has not gone over cartridges:\n%s", volumes)
	}
	console("run job=verify yes")
	ended("verify")
	console("restore client=fd where=/tmp/restore select all done yes current")
	ended("restore")
	vm.Sh(t, `cd / && for d in usr/bin usr/lib/x86_64-linux-gnu tmp/tree; do
	diff -r -x pipe --no-dereference "/$d" "/tmp/restore/$d" || exit 1
	list() { find . -type d -printf '%P %m %U %G\n' -o -printf '%P %y %m %U %G %s %T@ %l\n' | sed 's/\.[0-9]\{10\}//' | sort; }
	(cd "/$d" && list) >/tmp/a; (cd "/tmp/restore/$d" && list) >/tmp/b
	cmp /tmp/a /tmp/b || { diff /tmp/a /tmp/b | head -n 20; exit 1; }
	done`)
	noErrors(t, vm.Sh(t, "cat /tmp/bacula.log"))
}
