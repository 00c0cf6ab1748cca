package main

import (
	"fmt"
	"math/bits"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/block"
	"github.com/targate/targate/core/sbc"
	"github.com/targate/targate/gateway/manage"
	"github.com/targate/targate/gateway/manage/config"
	"github.com/targate/targate/handlers"
	"github.com/targate/targate/handlers/filter"
)

// diskKeys are the keys of every disk, whatever store is below it.
var diskKeys = []config.Key{
	{Name: "block_size", Type: config.Enum, Values: []string{"512", "1024", "2048", "4096"}, Default: int64(512),
		Doc: "Bytes in a logical block. It cannot change once there is data."},
	{Name: "physical_block_size", Type: config.Enum, Values: []string{"512", "1024", "2048", "4096", "8192", "16384", "32768", "65536"},
		Doc: "Bytes in a physical block, told to initiators so that they align. Without it: what the store says, at least `block_size`."},
	{Name: "filter", Type: config.String, Check: checkFilter,
		Doc: "Rules that make the store slow, stuck or broken, for trying what initiators do then: see [filter](#filter)."},
}

// checkFilter says what is wrong with the rules of a filter.
func checkFilter(v any) error {
	_, err := filter.Parse(v.(string))
	return err
}

// deviceKinds are all kinds of device that a configuration can name.
func deviceKinds() []config.Kind {
	var kinds []config.Kind
	for _, k := range handlers.Kinds() {
		kind := config.Kind{Name: k.Name, Doc: k.Doc}
		for _, key := range k.Keys {
			kind.Keys = append(kind.Keys, config.Key{Name: key.Name, Type: config.Type(key.Type), Values: key.Values,
				Required: key.Required, Default: key.Default, Doc: key.Doc})
		}
		kind.Keys = append(kind.Keys, diskKeys...)
		kinds = append(kinds, kind)
	}
	return kinds
}

// configOptions are all that a configuration can name. dir is what relative paths are
// relative to; empty: the directory of the file.
func configOptions(dir string) config.Options {
	return config.Options{Kinds: deviceKinds(), Collections: collections(), Dir: dir}
}

// openDevice makes a disk of a store.
func openDevice(c manage.DeviceConfig) (core.Handler, error) {
	kind, ok := handlers.Find(c.Kind)
	if !ok {
		return nil, fmt.Errorf("there is no handler %q", c.Kind)
	}
	values := map[string]any{}
	for _, key := range kind.Keys {
		if v, ok := c.Values[key.Name]; ok {
			values[key.Name] = v
		}
	}
	store, err := kind.Open(c.Name, values, c.Dir)
	if err != nil {
		return nil, err
	}
	blockSize := c.Values["block_size"].(int64)
	physical, ok := c.Values["physical_block_size"].(int64)
	if !ok {
		physical = max(store.Info().PhysicalBlock, blockSize)
	}
	if physical < blockSize {
		_ = store.Close() // nothing was written
		return nil, fmt.Errorf("physical_block_size %d is below block_size %d", physical, blockSize)
	}
	if text, ok := c.Values["filter"].(string); ok {
		filtered, err := withFilter(store, blockSize, text)
		if err != nil {
			_ = store.Close() // nothing was written
			return nil, fmt.Errorf("filter: %w", err)
		}
		store = filtered
	}
	id := c.Identity
	id.Product, id.Revision = "Virtual Disk", "0001"
	dif, protectionType, err := kind.OpenProtection(c.Name, values, sbc.ProtectionSize(store.Info().Size, uint32(blockSize)))
	if err != nil {
		_ = store.Close() // nothing was written
		return nil, err
	}
	var protection *sbc.Protection
	if dif != nil {
		protection = &sbc.Protection{Store: dif, Type: protectionType}
	}
	disk, err := sbc.New(store, sbc.Config{
		Identity:         id,
		BlockSize:        uint32(blockSize),
		PhysicalExponent: uint8(bits.TrailingZeros64(uint64(physical / blockSize))),
		Protection:       protection,
		Log:              c.Log,
	})
	if err != nil {
		_ = store.Close() // nothing was written
		if dif != nil {
			_ = dif.Close() // nothing was written
		}
		return nil, err
	}
	return disk, nil
}

// withFilter puts the rules of text around store.
func withFilter(store block.Store, blockSize int64, text string) (block.Store, error) {
	rules, err := filter.Parse(text)
	if err != nil {
		return nil, err
	}
	return filter.Wrap(store, blockSize, rules)
}
