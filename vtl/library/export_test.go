package library

// FailCommits has fail asked before and after each commit of l is done: its error is that of the commit.
func FailCommits(l *Library, fail func(done bool) error) { l.store = &failing{l.store, fail} }

type failing struct {
	keeper
	fail func(done bool) error
}

func (f *failing) commit(b batch) error {
	err := f.fail(false)
	if err == nil {
		err = f.keeper.commit(b)
	}
	if err == nil {
		err = f.fail(true)
	}
	return err
}
