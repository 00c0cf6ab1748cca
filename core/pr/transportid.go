package pr

import (
	"encoding/binary"
	"errors"
	"strings"

	"github.com/targate/targate/core"
)

// iSCSI TransportIDs (SPC-6, 7.6.4.7).
const (
	protocolISCSI = 0x5
	formatDevice  = 0 << 6 // the name of the initiator device: all of its ports
	formatPort    = 1 << 6 // of one port
	formatMask    = 0xc0

	separator = ",i,0x" // between name and ISID
	isidLen   = 12      // hexadecimal digits

	idHeader   = 4
	minIDBody  = 20
	maxNameLen = 223 // RFC 7143, 4.2.7.1
	maxIDBody  = (maxNameLen + len(separator) + isidLen + 1 + 3) &^ 3
)

// errTransportID: the bytes are no TransportID that we know.
var errTransportID = errors.New("not an iSCSI TransportID")

// appendTransportID encodes ip: the format for a port, or for a device when ip has no
// session identifier. Names longer than iSCSI has are cut.
func appendTransportID(dst []byte, ip core.InitiatorPort) []byte {
	format := byte(formatPort)
	name := ip.Name[:min(len(ip.Name), maxNameLen)]
	if ip.Session == "" {
		format = formatDevice
	} else {
		name += separator + ip.Session[:min(len(ip.Session), isidLen)]
	}
	body := max((len(name)+1+3)&^3, minIDBody)
	dst = append(dst, format|protocolISCSI, 0)
	dst = binary.BigEndian.AppendUint16(dst, uint16(body))
	dst = append(dst, name...)
	return append(dst, make([]byte, body-len(name))...)
}

// parseTransportID takes a TransportID off the front of b; n is its length. A device's
// has no Session. Names come out in lower case, as the gateway has them, and the
// session identifier as 12 digits.
func parseTransportID(b []byte) (ip core.InitiatorPort, n int, err error) {
	if len(b) < idHeader || b[0]&^formatMask != protocolISCSI || b[1] != 0 {
		return ip, 0, errTransportID
	}
	body := int(binary.BigEndian.Uint16(b[2:]))
	n = idHeader + body
	if body < minIDBody || body > maxIDBody || body%4 != 0 || n > len(b) {
		return ip, 0, errTransportID
	}
	text, padding, ended := strings.Cut(string(b[idHeader:n]), "\x00")
	if !ended || strings.Trim(padding, "\x00") != "" {
		return ip, 0, errTransportID
	}
	text = strings.ToLower(text)
	switch b[0] & formatMask {
	case formatDevice:
		ip.Name = text
	case formatPort:
		at := strings.LastIndex(text, separator)
		if at < 0 {
			return ip, 0, errTransportID
		}
		ip.Name, ip.Session = text[:at], text[at+len(separator):]
		if len(ip.Session) == 0 || len(ip.Session) > isidLen || strings.Trim(ip.Session, "0123456789abcdef") != "" {
			return ip, 0, errTransportID
		}
		ip.Session = strings.Repeat("0", isidLen-len(ip.Session)) + ip.Session
	default:
		return ip, 0, errTransportID
	}
	if !validName(ip.Name) {
		return ip, 0, errTransportID
	}
	return ip, n, nil
}

// validName tells what can be an iSCSI name from what would only fill the table
// (RFC 7143, 4.2.7.1; a comma would end the name in a port's TransportID).
func validName(s string) bool {
	if len(s) == 0 || len(s) > maxNameLen {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f || s[i] == ',' {
			return false
		}
	}
	return true
}
