package crashset

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"qmq/test/process"
)

// network is a network of each member's own, joined by this process's, which passes on
// packets between them, or does not.
type network struct {
	t       *testing.T
	holders []*exec.Cmd // whose only use is to have a network
	cuts    map[[2]int]bool
}

// newNetwork makes three networks.
func newNetwork(t *testing.T) *network {
	n := &network{t: t, cuts: make(map[[2]int]bool)}
	n.run("ip", "link", "set", "lo", "up")
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		holder := exec.Command("sleep", "infinity")
		holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
		if err := holder.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = holder.Process.Kill()
			_ = holder.Wait()
		})
		n.holders = append(n.holders, holder)
		pid, link := strconv.Itoa(holder.Process.Pid), fmt.Sprintf("member%d", i)
		n.run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", pid)
		n.run("ip", "addr", "add", n.gate(i)+"/24", "dev", link)
		n.run("ip", "link", "set", link, "up")
		for _, args := range []string{"ip link set lo up", "ip addr add " + n.host(i) + "/24 dev eth0", "ip link set eth0 up", "ip route add default via " + n.gate(i)} {
			n.run("nsenter", append([]string{"-t", pid, "-n"}, strings.Fields(args)...)...)
		}
	}
	return n
}

func (n *network) host(i int) string { return fmt.Sprintf("10.77.%d.2", i) }
func (n *network) gate(i int) string { return fmt.Sprintf("10.77.%d.1", i) }

// within has a command run in a member's network.
func (n *network) within(i int, c *process.Command) {
	c.Args = append([]string{"-t", strconv.Itoa(n.holders[i].Process.Pid), "-n", c.Binary}, c.Args...)
	c.Binary = "nsenter"
}

func (n *network) run(name string, args ...string) {
	n.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		n.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// cut drops all packets from one member to another, without a word to either.
func (n *network) cut(from, to int) {
	if n.cuts[[2]int{from, to}] {
		return
	}
	n.cuts[[2]int{from, to}] = true
	n.run("ip", "rule", "add", "from", n.host(from), "to", n.host(to), "blackhole")
}

// heal passes on all packets again.
func (n *network) heal() {
	for cut := range n.cuts {
		n.run("ip", "rule", "del", "from", n.host(cut[0]), "to", n.host(cut[1]), "blackhole")
	}
	clear(n.cuts)
}

// smallBytes is what a member's disk has room for.
const smallBytes = 5 << 28

// mountSmall gives a directory a disk of its own, in memory.
func mountSmall(t *testing.T, dir string) {
	t.Helper()
	if err := syscall.Mount("none", dir, "tmpfs", 0, fmt.Sprintf("size=%d", smallBytes)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
}

// fill fills the disk that a directory is on, but for some bytes; the function that it
// returns makes room.
func fill(t *testing.T, dir string, leave int64) (undo func()) {
	t.Helper()
	name := dir + "/filler"
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 1<<20)
	free := int64(disk.Bavail)*disk.Bsize - leave
	for size := len(block); size >= 512 && (leave == 0 || free > 0); free -= int64(size) {
		if n, err := f.Write(block[:size]); err != nil || n < size {
			size /= 2
		}
	}
	return func() { _ = os.Remove(name) }
}
