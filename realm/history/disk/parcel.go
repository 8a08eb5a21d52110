package disk

import (
	"encoding/binary"
	"hash/crc32"
	"math"

	"banyan/realm/history"
)

// A parcel is the value of one key of the database: consecutive records of one log that were committed together. The
// key is the number of the first, big endian.
//
//	version                 1 octet
//	number of records       uint32, little endian as all that follow
//	each record             uint32 length, uint32 checksum
//	checksum of the above   uint32
//	the records
//
// The checksums are CRC-32C over the number of the record, the first one's for the head, and the octets: so what was
// written to another place is found too.
const (
	parcelVersion  = 1
	parcelHead     = 1 + 4
	parcelEntry    = 4 + 4
	parcelChecksum = 4

	// A parcel is full at these: one database page of overhead is then little, and reading a record costs little.
	parcelRecordsMax = 256
	parcelBytesMax   = 64 << 10 // or one record
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(seq uint64, b []byte) uint32 {
	var number [8]byte
	binary.LittleEndian.PutUint64(number[:], seq)
	return crc32.Update(crc32.Update(0, castagnoli, number[:]), castagnoli, b)
}

// makeParcel returns the parcel of records that begin with the number seq.
func makeParcel(seq uint64, records [][]byte) []byte {
	n := parcelHead + len(records)*parcelEntry + parcelChecksum
	for _, rec := range records {
		n += len(rec)
	}
	b := append(make([]byte, 0, n), parcelVersion)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(records)))
	for i, rec := range records {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(rec)))
		b = binary.LittleEndian.AppendUint32(b, checksum(seq+uint64(i), rec))
	}
	b = binary.LittleEndian.AppendUint32(b, checksum(seq, b))
	for _, rec := range records {
		b = append(b, rec...)
	}
	return b
}

// An opened parcel is one whose head is sound.
type opened struct {
	seq     uint64
	n       int
	entries []byte
	records []byte
	at      int // octets of records before record number i
	i       int
}

// openParcel checks the head of b, the parcel that begins with the number seq.
func openParcel(seq uint64, b []byte) (p opened, ok bool) {
	if len(b) < parcelHead+parcelChecksum || b[0] != parcelVersion {
		return opened{}, false
	}
	n := binary.LittleEndian.Uint32(b[1:])
	if n == 0 || uint64(n) > uint64(len(b))/parcelEntry || seq > math.MaxUint64-uint64(n) {
		return opened{}, false
	}
	head := parcelHead + int(n)*parcelEntry
	if len(b) < head+parcelChecksum || binary.LittleEndian.Uint32(b[head:]) != checksum(seq, b[:head]) {
		return opened{}, false
	}
	return opened{seq: seq, n: int(n), entries: b[parcelHead:head], records: b[head+parcelChecksum:]}, true
}

// next returns the next record; rec is nil if it is damaged. length is what the record counts in bounds all the same.
func (p *opened) next() (seq uint64, rec []byte, length int, more bool) {
	if p.i >= p.n {
		return 0, nil, 0, false
	}
	e := p.entries[p.i*parcelEntry:]
	size := binary.LittleEndian.Uint32(e)
	seq = p.seq + uint64(p.i)
	p.i++
	length = int(size)
	if uint64(size) > uint64(len(p.records)-p.at) {
		p.at = len(p.records)
		return seq, nil, length, true
	}
	rec = p.records[p.at : p.at+length : p.at+length]
	p.at += length
	if binary.LittleEndian.Uint32(e[4:]) != checksum(seq, rec) || !history.IsRecord(rec) {
		rec = nil
	}
	return seq, rec, length, true
}
