// Package manage makes what runs match what is configured. There is one declarative
// model (config.Model); the configuration file, the API and whatever comes later are
// views of it.
//
//	file --config.Parse--> Model --Manager.Apply--> devices   (core.Unit)
//	                                                targets   (target.Gateway)
//	                                                portals   (Door)
//
// Apply first finds out whether it can be done: everything is compared, new devices
// are opened and new portals listened at before anything that runs is touched. If that
// fails, what ran before goes on.
package manage
