package schemas

import (
	"fmt"

	"github.com/linkedin/goavro/v2"
)

// elementsMax is the largest block of an array or map in a value that goavro reads. Arithmetic: an element takes a slot
// of 16 bytes and a number 8, and 12 MiB are free, so about half a million would fit; a graph of 1 MiB has some 40,000.
const elementsMax = 100_000

// goavro reads its limits without a lock, so they are set before anything can run. The defaults are 2^31: five bytes
// that announce a block of 100 million elements made it allocate 5 GiB.
func init() {
	goavro.MaxBlockCount = elementsMax
	goavro.MaxBlockSize = ValueBytesMax
}

// generic decodes what a schema of another shape than ours wrote.
type generic struct {
	root  *node
	codec *goavro.Codec // without logical types: project reads those from root
}

func newGeneric(root *node, structure string) (*generic, error) {
	codec, err := goavro.NewCodec(structure)
	if err != nil {
		return nil, fmt.Errorf("%w: building codec: %s", ErrDecode, shortened(err.Error()))
	}
	return &generic{root: root, codec: codec}, nil
}

// decode gives the fields of the record by name, in goavro's native types. They may alias body.
func (g *generic) decode(body []byte) (map[string]any, error) {
	if err := measure(g.root, body); err != nil {
		return nil, err
	}
	native, rest, err := g.codec.NativeFromBinary(body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDecode, err)
	}
	fields, ok := native.(map[string]any)
	if !ok || len(rest) > 0 {
		return nil, fmt.Errorf("%w: %T and %d bytes left over", ErrDecode, native, len(rest))
	}
	return fields, nil
}
