package powercut

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"unsafe"
)

// disk is where the data directory of a node is.
type disk interface {
	// command is how a program is run on it.
	command(binary string) (name string, args []string)
	path() string
	// cut ends what the machine does, with kill for its processes, and starts
	// it again.
	cut(t *testing.T, kill func())
}

// plainDisk is a directory: of the machine only the processes end.
type plainDisk struct{ dir string }

func (d *plainDisk) command(binary string) (string, []string) { return binary, nil }
func (d *plainDisk) path() string                             { return d.dir }
func (d *plainDisk) cut(_ *testing.T, kill func())            { kill() }

// imageDisk is an ext4 file system in a file.
type imageDisk struct {
	work  string
	cuts  int
	mount string // where the present image is mounted
}

func newImageDisk(t *testing.T, bytes int64) *imageDisk {
	t.Helper()
	d := &imageDisk{work: t.TempDir()}
	image := d.image()
	f, err := os.Create(image)
	if err == nil {
		err = f.Truncate(bytes)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	run(t, "mkfs.ext4", "-q", "-F", image)
	d.mountImage(t)
	return d
}

func (d *imageDisk) image() string { return filepath.Join(d.work, fmt.Sprint("image", d.cuts)) }
func (d *imageDisk) path() string  { return d.mount }

// command gives the program a boot id that changes with each cut, as that of a
// machine would.
func (d *imageDisk) command(binary string) (string, []string) {
	id := filepath.Join(d.work, "boot_id")
	script := fmt.Sprintf(`echo cut-%d > %s && mount --bind %s /proc/sys/kernel/random/boot_id && exec "$0" "$@"`, d.cuts, id, id)
	return "unshare", []string{"--mount", "sh", "-c", script, binary}
}

// mountImage mounts the present image until the next cut or the test's end.
func (d *imageDisk) mountImage(t *testing.T) {
	t.Helper()
	d.mount = filepath.Join(d.work, fmt.Sprint("mount", d.cuts))
	if err := os.Mkdir(d.mount, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-o", "loop", d.image(), d.mount).CombinedOutput(); err != nil {
		t.Fatalf("this test mounts ext4 images; it needs Linux, root and loop devices: mount: %v: %s", err, out)
	}
	mount := d.mount
	t.Cleanup(func() { exec.Command("umount", "--lazy", mount).Run() }) // unless it is done already
}

// cut stops the file system, so that the image is what the disk had got until
// this moment, and goes on with a copy of it.
func (d *imageDisk) cut(t *testing.T, kill func()) {
	t.Helper()
	if err := shutdown(d.mount); err != nil {
		t.Fatalf("stopping %s: %v", d.mount, err)
	}
	was := d.image()
	kill()
	d.cuts++
	run(t, "cp", "--sparse=always", was, d.image())
	run(t, "umount", d.mount)
	if err := os.Remove(was); err != nil {
		t.Fatal(err)
	}
	d.mountImage(t)
}

// shutdown is the ioctl FS_IOC_SHUTDOWN: the file system writes nothing more,
// not even its own log.
func shutdown(mount string) error {
	const fsIocShutdown, noLogFlush = 0x8004587d, uint32(2)
	dir, err := os.Open(mount)
	if err != nil {
		return err
	}
	defer dir.Close()
	how := noLogFlush
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, dir.Fd(), fsIocShutdown, uintptr(unsafe.Pointer(&how)))
	if errno != 0 {
		return errno
	}
	return nil
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("this test mounts ext4 images: %s %v: %v: %s", name, args, err, out)
	}
}
