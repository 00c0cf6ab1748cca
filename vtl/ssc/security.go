package ssc

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/core/wire"
	"github.com/targate/targate/vtl/medium"
)

const securityUsage = "\xff\xff\xff\x00\x00\xff\xff\xff\xff\x00\x00"

var securityTable = []row{
	in(0xa2, "SECURITY PROTOCOL IN", core.Bytes(6, 4), "\xa2"+securityUsage, core.Serial, quick, (*Drive).securityIn).only((*Drive).encrypts),
	out(0xb5, "SECURITY PROTOCOL OUT", core.Bytes(6, 4), "\xb5"+securityUsage, core.Serial, quick, (*Drive).securityOut).only((*Drive).encrypts),
}

func (d *Drive) encrypts() bool { return d.model.Encryption }

// Security protocols (SPC-6, table 300).
const (
	protocolInformation = 0x00
	protocolTape        = 0x20
)

// algorithmIndex names our only algorithm, AES-256-GCM, in parameter data.
const (
	algorithmIndex = 1
	algorithmGCM   = 0x00010014
)

// securityPage is a page of SECURITY PROTOCOL IN.
type securityPage struct {
	protocol uint8
	specific uint16
	// make gives the page without its header. nil: see Drive.securityIn.
	make func(d *Drive, c *core.Command) ([]byte, error)
}

var securityPages []securityPage

func init() { // the list is in itself
	securityPages = []securityPage{
		{protocolTape, 0x0000, (*Drive).inPages},
		{protocolTape, 0x0001, func(*Drive, *core.Command) ([]byte, error) { return []byte{0, pageSetEncryption}, nil }},
		{protocolTape, 0x0010, (*Drive).encryptionCapabilities},
		{protocolTape, 0x0011, func(*Drive, *core.Command) ([]byte, error) { return []byte{keyPlain}, nil }},
		{protocolTape, 0x0012, managementCapabilities},
		{protocolTape, 0x0020, (*Drive).encryptionStatus},
		{protocolTape, 0x0021, (*Drive).nextBlockStatus},
	}
}

// securityIn is SECURITY PROTOCOL IN (SPC-6, 6.47; SSC-5, 8.5.2).
func (d *Drive) securityIn(c *core.Command) error {
	protocol, specific := c.CDB[1], binary.BigEndian.Uint16(c.CDB[2:])
	switch {
	case protocol == protocolInformation && specific == 0x0000: // supported security protocols
		return c.Reply([]byte{0, 0, 0, 0, 0, 0, 0, 2, protocolInformation, protocolTape})
	case protocol == protocolInformation && specific == 0x0001: // certificate data: none
		return c.Reply([]byte{0, 0, 0, 0})
	case protocol != protocolInformation && protocol != protocolTape:
		return sense.FieldBit(1, 7)
	}
	i := slices.IndexFunc(securityPages, func(p securityPage) bool { return p.protocol == protocol && p.specific == specific })
	if i < 0 {
		return sense.FieldBit(2, 7)
	}
	d.keys.status(c) // registers the nexus (SSC-5, 4.2.24.6)
	body, err := securityPages[i].make(d, c)
	if err != nil {
		return err
	}
	b := binary.BigEndian.AppendUint16(nil, specific)
	b = binary.BigEndian.AppendUint16(b, uint16(len(body)))
	return c.Reply(append(b, body...))
}

// inPages is page 0000h.
func (d *Drive) inPages(*core.Command) (b []byte, err error) {
	for _, p := range securityPages {
		b = binary.BigEndian.AppendUint16(b, p.specific)
	}
	return b, nil
}

// encryptionCapabilities is page 0010h, with the descriptor of one algorithm.
func (d *Drive) encryptionCapabilities(*core.Command) ([]byte, error) {
	const (
		configurable = 0x01 // CFG_P: this page is not another one by configuration
		avfmv        = 0x80 // the algorithm can be used with the loaded volume
		sdkMacDed    = 0x30 // MAC_C, DED_C: blocks are authenticated; the drive tells encrypted ones
		both         = 0x0a // DECRYPT_C, ENCRYPT_C: by hardware
		nonce        = 0x10 // NONCE_C: the drive makes it
		kadFormat    = 0x08 // KADF_C
		vcelb        = 0x04 // VCELB_C
		dkad         = 0xc0 // DKAD_C: capable
		eemc         = 0x10 // EEMC_C: external encryption is not supported
		rdmc         = 0x02 // RDMC_C 1h: no encrypted block can be read raw
	)
	b := make([]byte, 16, 40)
	b[0] = configurable
	flags := byte(sdkMacDed | both)
	d.look(func(m *mount) {
		if m != nil {
			flags |= avfmv
		}
	})
	b = append(b, algorithmIndex, 0, 0, 0x14, flags, nonce|kadFormat|vcelb)
	b = binary.BigEndian.AppendUint16(b, ukadMax)
	b = binary.BigEndian.AppendUint16(b, akadMax)
	b = binary.BigEndian.AppendUint16(b, keyLen)
	b = append(b, dkad|eemc|rdmc, 0, 0, 0, 0, 0, 0, 0)
	return binary.BigEndian.AppendUint32(b, algorithmGCM), nil
}

// managementCapabilities is page 0012h.
func managementCapabilities(*Drive, *core.Command) ([]byte, error) {
	const (
		lock   = 0x01
		ckod   = 0x04
		scopes = 0x07 // AITN_C, LOCAL_C, PUBLIC_C
	)
	return []byte{lock, ckod, 0, scopes, 0, 0, 0, 0, 0, 0, 0, 0}, nil
}

// encryptionStatus is page 0020h: the parameters that the nexus uses.
func (d *Drive) encryptionStatus(c *core.Command) ([]byte, error) {
	const (
		vcelb = 0x08
		rdmd  = 0x01
	)
	scope, k := d.keys.status(c)
	b := []byte{scope<<5 | k.scope, k.encrypt, k.decrypt, 0}
	if k.key != nil {
		b[3] = algorithmIndex
	}
	b = binary.BigEndian.AppendUint32(b, k.counter)
	b = append(b, 0, k.kadFormat, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	d.look(func(m *mount) {
		for p := 0; m != nil && p < m.medium.Partitions(); p++ {
			if _, ok := m.medium.Attribute(p, attrEncrypted); ok {
				b[8] |= vcelb
			}
		}
	})
	if k.key != nil {
		if k.key.RawDecryptionDisabled {
			b[8] |= rdmd
		}
		b = appendKAD(b, k.key.UKAD, k.key.AKAD, kadNone)
	}
	return b, nil
}

// The AUTHENTICATED field of a key-associated data descriptor.
const (
	kadNone      = 0 // in the status of parameters it has no meaning
	kadUnchecked = 2 // no attempt was made
	kadGood      = 3
	kadBad       = 4
)

// appendKAD adds key-associated data descriptors (SSC-5, 8.5.4.2). authenticated is that of the authenticated
// data.
func appendKAD(b, ukad, akad []byte, authenticated byte) []byte {
	const unauthenticated = 1
	if len(ukad) > 0 {
		flags := byte(unauthenticated)
		if authenticated == kadNone {
			flags = 0
		}
		b = append(b, kadUKAD, flags)
		b = binary.BigEndian.AppendUint16(b, uint16(len(ukad)))
		b = append(b, ukad...)
	}
	if len(akad) > 0 {
		b = append(b, kadAKAD, authenticated)
		b = binary.BigEndian.AppendUint16(b, uint16(len(akad)))
		b = append(b, akad...)
	}
	return b
}

// nextBlockStatus is page 0021h: whether the object behind the position is encrypted, and whether the nexus
// has its key.
func (d *Drive) nextBlockStatus(c *core.Command) (b []byte, err error) {
	return b, onMedium(func(d *Drive, c *core.Command) error {
		b, err = d.nextBlock(c)
		return err
	})(d, c)
}

func (d *Drive) nextBlock(c *core.Command) ([]byte, error) {
	const (
		notBlock     = 0x22 // COMPRESSION STATUS and ENCRYPTION STATUS
		notEncrypted = 0x03 // whether it is compressed is not known
		encrypted    = 0x05
		noKey        = 0x06
		rdmds        = 0x01
	)
	m := d.mount
	b := binary.BigEndian.AppendUint64(nil, m.object)
	o, err := m.medium.Read(m.partition, m.object, nil, nil)
	switch {
	case err != nil:
		return nil, d.failed(err, false)
	case o.Kind != medium.Block:
		return append(b, notBlock, 0, 0, 0), nil
	case o.Encryption == nil:
		return append(b, notEncrypted, 0, 0, 0), nil
	}
	_, k := d.keys.status(c)
	state, authenticated := byte(noKey), byte(kadUnchecked)
	if key := k.forRead(); key != nil {
		_, err := m.medium.Read(m.partition, m.object, make([]byte, 1), key)
		switch {
		case err == nil:
			state, authenticated = encrypted, kadGood
		case errors.Is(err, medium.ErrKeyWrong):
			authenticated = kadBad
		default:
			return nil, d.failed(err, false)
		}
	}
	b = append(b, state, algorithmIndex, 0, 0)
	if o.Encryption.RawDecryptionDisabled {
		b[10] |= rdmds
	}
	return appendKAD(b, o.Encryption.UKAD, o.Encryption.AKAD, authenticated), nil
}

// Fields of SECURITY PROTOCOL OUT with the Set Data Encryption page (SSC-5, 8.5.3.2).
const (
	pageSetEncryption = 0x10

	keyPlain = 0x00

	kadUKAD = 0x00
	kadAKAD = 0x01
)

// securityOut is SECURITY PROTOCOL OUT (SPC-6, 6.48).
func (d *Drive) securityOut(c *core.Command) error {
	switch {
	case c.CDB[1] != protocolTape:
		return sense.FieldBit(1, 7)
	case binary.BigEndian.Uint16(c.CDB[2:]) != pageSetEncryption:
		return sense.FieldBit(2, 7)
	case c.OutLen == 0:
		return nil
	}
	p, err := parseSetEncryption(c.Out)
	if err != nil {
		return err
	}
	if p.keys.clearOnDemount {
		loaded := false
		d.look(func(m *mount) { loaded = m != nil })
		if !loaded {
			return sense.ParamBit(5, 2)
		}
	}
	d.keys.set(c, p.scope, p.lock, &p.keys)
	return nil
}

// setEncryption is a Set Data Encryption page.
type setEncryption struct {
	scope uint8
	lock  bool
	keys  keySet
}

// parseSetEncryption reads a Set Data Encryption page.
func parseSetEncryption(b []byte) (p setEncryption, err error) {
	const fixed = 20
	if len(b) < 4 {
		return p, sense.ErrParamLength
	}
	if binary.BigEndian.Uint16(b) != pageSetEncryption {
		return p, sense.ParamBit(0, 7)
	}
	n := 4 + int(binary.BigEndian.Uint16(b[2:]))
	if n > len(b) {
		return p, sense.ErrParamLength
	}
	if n < fixed {
		return p, sense.ParamBit(2, 7)
	}
	b = b[:n]
	p.scope, p.lock = b[4]>>5, b[4]&1 != 0
	switch {
	case p.scope > scopeAll:
		return p, sense.ParamBit(4, 7)
	case p.scope == scopePublic: // the other fields are ignored
		return p, nil
	}
	if err := p.flags(b); err != nil {
		return p, err
	}
	k := &p.keys
	k.encrypt, k.decrypt, k.kadFormat = b[6], b[7], b[10]
	needed := k.encrypt == encryptEncrypt || k.decrypt == decryptDecrypt || k.decrypt == decryptMixed
	switch {
	case k.encrypt != encryptDisable && k.encrypt != encryptEncrypt: // EXTERNAL is not supported
		return p, sense.ParamBit(6, 7)
	case k.decrypt > decryptMixed:
		return p, sense.ParamBit(7, 7)
	case !needed:
		return p, nil
	case b[8] != algorithmIndex:
		return p, sense.ParamBit(8, 7)
	case b[9] != keyPlain:
		return p, sense.ParamBit(9, 7)
	case k.kadFormat > 2:
		return p, sense.ParamBit(10, 7)
	}
	size := int(binary.BigEndian.Uint16(b[18:]))
	if size != keyLen {
		return p, sense.ParamBit(18, 7)
	}
	if len(b) < fixed+size {
		return p, sense.ErrParamLength
	}
	k.key = &medium.Key{AES: [keyLen]byte(b[fixed:]), RawDecryptionDisabled: true}
	return p, parseKAD(k.key, b, fixed+size)
}

// flags reads byte 5: CEEM, RDMC, SDK, CKOD, CKORP and CKORL.
func (p *setEncryption) flags(b []byte) error {
	const (
		sdk   = 0x08
		ckod  = 0x04
		ckorp = 0x02
		ckorl = 0x01
	)
	f := b[5]
	switch {
	case f>>4&3 == 1, f>>4&3 == 2: // RDMC: reserved, and raw reading enabled
		return sense.ParamBit(5, 5)
	case f&sdk != 0: // no supplemental decryption keys (MSDK COUNT)
		return sense.ParamBit(5, 3)
	case f&ckorp != 0: // see page 0012h
		return sense.ParamBit(5, 1)
	case f&ckorl != 0:
		return sense.ParamBit(5, 0)
	}
	p.keys.ceem, p.keys.clearOnDemount = f>>6, f&ckod != 0
	return nil
}

// parseKAD reads the key-associated data descriptors from byte at of b on: in ascending order of type, each
// once.
func parseKAD(key *medium.Key, b []byte, at int) error {
	last := -1
	for r := wire.NewReader(b[at:]); r.Len() > 0; {
		start := at + r.Off()
		kind := r.U8()
		r.Skip(1) // AUTHENTICATED
		size := int(r.U16())
		value := r.Bytes(size)
		if !r.OK() {
			return sense.ErrParamLength
		}
		if int(kind) <= last {
			return sense.ParamBit(start, 7)
		}
		last = int(kind)
		switch {
		case kind == kadUKAD && size <= ukadMax:
			key.UKAD = slices.Clone(value)
		case kind == kadAKAD && size <= akadMax:
			key.AKAD = slices.Clone(value)
		case kind == kadUKAD || kind == kadAKAD:
			return sense.ParamBit(start+2, 7)
		default:
			return sense.ParamBit(start, 7)
		}
	}
	return nil
}
