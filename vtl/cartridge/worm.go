package cartridge

import "path/filepath"

// SetWORM makes the cartridge in dir, which must be blank and not in use, one that can be
// written only once. It is durable when it returns.
func SetWORM(dir string, o Options) error {
	lock, err := o.files().Lock(filepath.Join(dir, lockName), false)
	if err != nil {
		return err
	}
	defer lock.Close() //nolint:errcheck // nothing was written to it
	i, err := readIdentity(o.files(), dir)
	if err != nil {
		return err
	}
	i.WORM = true
	return replaceFile(o.files(), dir, identityName, i.encode())
}
