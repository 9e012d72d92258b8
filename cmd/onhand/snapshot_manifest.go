package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"onhand/cache"
	"onhand/processor/availability"
	"onhand/schemas"
)

const (
	manifestName   = "manifest.json"
	manifestFormat = 1
	manifestMax    = 64 << 20 // bytes: a graph of 100,000 locations takes some 20 MB
)

// manifest says what a snapshot has. It is written last: a directory without it is no snapshot.
type manifest struct {
	Format        int                    `json:"format"`
	Checksum      string                 `json:"checksum"` // SHA-256 of this text with an empty checksum
	Namespace     string                 `json:"namespace"`
	Partitions    int32                  `json:"partitions"`
	CreatedAt     time.Time              `json:"createdAt"`
	OnhandVersion string                 `json:"onhandVersion"`
	GraphVersion  int64                  `json:"graphVersion"` // newest published; 0: none
	TopicIDs      map[string]string      `json:"topicIds"`
	Tasks         []manifestTask         `json:"tasks"`
	Graph         *schemas.LocationGraph `json:"graph"`
}

// manifestTask is one task of a snapshot. One that has never had any state has no file.
type manifestTask struct {
	Task         int32                              `json:"task"`
	File         string                             `json:"file"`
	Bytes        int64                              `json:"bytes"`
	SHA256       string                             `json:"sha256"`
	CreatedAt    time.Time                          `json:"createdAt"`
	SKUs         int64                              `json:"skus"`
	Cells        int64                              `json:"cells"`
	Reservations int64                              `json:"reservations"`
	IDs          int64                              `json:"ids"`
	Owed         int64                              `json:"owed"`
	Epoch        int64                              `json:"epoch"`
	CommitSeq    int64                              `json:"commitSequence"`
	GraphVersion int64                              `json:"graphVersion"`
	SweepCursor  int64                              `json:"sweepCursor"`
	Inputs       [availability.Inputs]manifestInput `json:"inputs"`

	futures bool // the index of what is due had futures; as the file says
}

// manifestInput is how far the state of a task reaches in one input, and how far the input did when the snapshot was over.
type manifestInput struct {
	Topic      string `json:"topic"`
	Checkpoint int64  `json:"checkpoint"`
	Committed  int64  `json:"committed"` // -1: nothing
	End        int64  `json:"end"`
	Unread     int64  `json:"unread"` // records that the state does not have
}

// drained says that the state of a task has all there was in its inputs, and all that was published of them.
func (t *manifestTask) drained() bool {
	for _, input := range t.Inputs {
		if input.Unread > 0 || input.Committed > input.Checkpoint {
			return false
		}
	}
	return true
}

// describe takes over what stands in a file.
func (t *manifestTask) describe(head *cache.SnapshotHead, counts cache.SnapshotCounts) {
	c := &head.Checkpoint
	t.futures = counts.Futures()
	t.Task, t.CreatedAt = head.Task, time.UnixMicro(int64(head.CreatedAt)).UTC()
	t.SKUs, t.Cells, t.Reservations, t.IDs, t.Owed = counts.SKUs, counts.Cells, counts.Reservations, counts.IDs, counts.Owed
	t.Epoch, t.CommitSeq, t.GraphVersion, t.SweepCursor = c.Epoch, c.CommitSeq, c.GraphVersion, c.SweepCursor
	for input := range t.Inputs {
		t.Inputs[input].Checkpoint = c.Offsets[input]
	}
}

// text is the manifest as it stands in its file. It sets the checksum.
func (m *manifest) text() ([]byte, error) {
	m.Checksum = ""
	bare, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the manifest: %w", err)
	}
	m.Checksum = hexSum(bare)
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the manifest: %w", err)
	}
	return append(text, '\n'), nil
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// readManifest reads the manifest of a directory, and checks it.
func readManifest(dir string) (*manifest, error) {
	file, err := os.Open(filepath.Join(dir, manifestName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, hinted(fmt.Errorf("%s has no snapshot: it has no %s", dir, manifestName), "name the directory of a snapshot; one that was interrupted goes on with `onhand snapshot` into the same directory")
	}
	if err != nil {
		return nil, hinted(fmt.Errorf("reading the manifest of %s: %w", dir, pathReason(err)), "name the directory of a snapshot")
	}
	defer closeRead(file)
	text, err := io.ReadAll(io.LimitReader(file, manifestMax))
	if err != nil {
		return nil, fmt.Errorf("reading the manifest: %w", err)
	}
	m := new(manifest)
	if err := json.Unmarshal(text, m); err != nil {
		return nil, damaged(fmt.Errorf("%s is damaged: %w", file.Name(), err))
	}
	if m.Format != manifestFormat {
		return nil, hinted(fmt.Errorf("%s has format %d, and this onhand knows %d", file.Name(), m.Format, manifestFormat), "use the version that wrote it: "+m.OnhandVersion)
	}
	again, err := m.text()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(text, again) {
		return nil, damaged(fmt.Errorf("%s is damaged or was edited: its checksum does not match", file.Name()))
	}
	for _, t := range m.Tasks {
		if t.File != "" && t.File != snapshotFile(t.Task) || t.Task < 0 || t.Task >= m.Partitions {
			return nil, damaged(fmt.Errorf("%s names a file %q of task %d", file.Name(), t.File, t.Task))
		}
	}
	return m, nil
}

func damaged(err error) error { return hinted(err, "take it from another copy of the snapshot") }

// snapshotFile is the name of the file of a task.
func snapshotFile(task int32) string { return fmt.Sprintf("task-%05d.onhand", task) }

// replaceFile writes a file in one step: it is there as a whole, and on the disk, or not at all.
func replaceFile(dir, name string, write func(*os.File) error) error {
	file, err := os.CreateTemp(dir, "."+name+".*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	err = write(file)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", name, err), os.Remove(file.Name()))
	}
	return syncDir(dir)
}

// syncDir puts names of files on the disk, where the system can.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("writing to %s: %w", dir, err)
	}
	defer closeRead(d)
	_ = d.Sync() // Windows cannot, and keeps names without
	return nil
}

// readTaskFile reads and checks a whole file, and gives what it has to the visitor. It returns the SHA-256 and the length.
func readTaskFile(path string, v *cache.SnapshotVisitor) (t manifestTask, head cache.SnapshotHead, err error) {
	file, err := os.Open(path)
	if err != nil {
		return t, head, fmt.Errorf("opening a snapshot: %w", err)
	}
	defer closeRead(file)
	sum := sha256.New()
	head, counts, err := cache.ReadSnapshot(io.TeeReader(file, sum), v)
	if err != nil {
		return t, head, fmt.Errorf("%s: %w", path, err)
	}
	info, err := file.Stat()
	if err != nil {
		return t, head, fmt.Errorf("looking at a snapshot: %w", err)
	}
	t.describe(&head, counts)
	t.File, t.Bytes, t.SHA256 = filepath.Base(path), info.Size(), hex.EncodeToString(sum.Sum(nil))
	return t, head, nil
}

// sums adds up what the files have.
func (m *manifest) sums() (t manifestTask, files int, unread int64) {
	for i := range m.Tasks {
		of := &m.Tasks[i]
		t.SKUs, t.Cells, t.Reservations, t.IDs, t.Bytes = t.SKUs+of.SKUs, t.Cells+of.Cells, t.Reservations+of.Reservations, t.IDs+of.IDs, t.Bytes+of.Bytes
		for _, input := range of.Inputs {
			unread += input.Unread
		}
		if of.File != "" {
			files++
		}
	}
	return t, files, unread
}

func (m *manifest) print(out io.Writer, dir string) {
	sum, files, unread := m.sums()
	fmt.Fprintf(out, "%s: %s of %s in namespace %s, %s\n", dir, plural(files, "file"), plural(len(m.Tasks), "task"), m.Namespace, formatBytes(sum.Bytes))
	fmt.Fprintf(out, "%d SKUs, %d balances, %d reservations, %d ids\n", sum.SKUs, sum.Cells, sum.Reservations, sum.IDs)
	if unread > 0 {
		fmt.Fprintf(out, "the inputs went on meanwhile: %d records are in the topics alone, from where the tasks replay them\n", unread)
	}
}
