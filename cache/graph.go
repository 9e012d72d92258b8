package cache

import (
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/zstd"
)

// A packed graph: format and how it is compressed, a checksum of four bytes little-endian over the rest, the rest.
const (
	graphPlain = format << 4
	graphZstd  = format<<4 | 1
)

// graphPlainBytes is the size up to which a graph is not worth compressing; graphBytesMax what it may unpack to.
const (
	graphPlainBytes = 1 << 10
	graphBytesMax   = 64 << 20
)

func packGraph(graph []byte) []byte {
	kind, body := byte(graphPlain), graph
	if len(graph) > graphPlainBytes {
		kind, body = graphZstd, compress(graph)
	}
	b := binary.LittleEndian.AppendUint32([]byte{kind}, uint32(xxhash.Sum64(body)))
	return append(b, body...)
}

func compress(graph []byte) []byte {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderCRC(false))
	if err != nil {
		panic(fmt.Sprintf("zstd options: %v", err)) // the options are constants
	}
	return encoder.EncodeAll(graph, nil)
}

func unpackGraph(b []byte) ([]byte, error) {
	if len(b) < 5 {
		return nil, errLength
	}
	body := b[5:]
	if uint32(xxhash.Sum64(body)) != binary.LittleEndian.Uint32(b[1:]) {
		return nil, errChecksum
	}
	switch b[0] {
	case graphPlain:
		return body, nil
	case graphZstd:
	default:
		return nil, errFormat
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(graphBytesMax))
	if err != nil {
		return nil, fmt.Errorf("opening zstd: %w", err)
	}
	defer decoder.Close()
	graph, err := decoder.DecodeAll(body, nil)
	if err != nil {
		return nil, fmt.Errorf("decompressing: %w", err)
	}
	return graph, nil
}
