package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
)

// feedLineBytesMax is the longest line of a feed that is read.
const feedLineBytesMax = 1 << 20

// feedLines reads a text line by line, unpacking it if it is gzip, and never holds more than feedLineBytesMax of it.
type feedLines struct {
	buffered *bufio.Reader
	line     []byte
	number   int // of the line that next returned, from 1
}

// errLineTooLong says that a line is longer than feedLineBytesMax. The rest of it was passed over.
var errLineTooLong = errors.New("the line is longer than 1 MiB; split its futures or leave out what is not needed")

// gzipMagic are the first bytes of every gzip file.
var gzipMagic = []byte{0x1f, 0x8b}

// byteOrderMark may stand before UTF-8 text, and means nothing.
var byteOrderMark = []byte{0xef, 0xbb, 0xbf}

func newFeedLines(r io.Reader) (*feedLines, error) {
	l := &feedLines{buffered: bufio.NewReaderSize(r, 64<<10)}
	head, err := l.buffered.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading: %w", err)
	}
	if bytes.Equal(head, gzipMagic) {
		unpacked, err := gzip.NewReader(l.buffered)
		if err != nil {
			return nil, fmt.Errorf("unpacking gzip: %w", err)
		}
		l.buffered = bufio.NewReaderSize(unpacked, 64<<10)
	}
	// What is wrong with reading is told by the first line.
	if head, _ := l.buffered.Peek(1); len(head) > 0 {
		// No more than is there: a pipe may be slow.
		if head, _ = l.buffered.Peek(min(kindHeadBytes, l.buffered.Buffered())); wrongKind(head, kindFeed) != nil {
			return nil, wrongKind(head, kindFeed)
		}
	}
	// A text shorter than the mark has none.
	if head, _ := l.buffered.Peek(len(byteOrderMark)); bytes.Equal(head, byteOrderMark) {
		if _, err := l.buffered.Discard(len(byteOrderMark)); err != nil {
			return nil, fmt.Errorf("reading: %w", err)
		}
	}
	return l, nil
}

// next returns the next line that is not blank, without its end, valid until the next call. At the end it is io.EOF. With
// errLineTooLong it returns the line's beginning.
func (l *feedLines) next() ([]byte, error) {
	for {
		line, err := l.read()
		if err != nil {
			return line, err
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			return line, nil
		}
	}
}

func (l *feedLines) read() ([]byte, error) {
	l.line = l.line[:0]
	long := false
	for {
		part, err := l.buffered.ReadSlice('\n')
		if len(l.line)+len(part) > feedLineBytesMax {
			long = true
			part = part[:feedLineBytesMax-len(l.line)]
		}
		l.line = append(l.line, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(l.line) == 0:
			return nil, io.EOF
		case err != nil && !errors.Is(err, io.EOF):
			return nil, fmt.Errorf("reading line %d: %w", l.number+1, err)
		}
		l.number++
		if long {
			return l.line, errLineTooLong
		}
		return l.line, nil
	}
}
