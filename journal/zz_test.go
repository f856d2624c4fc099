package journal
import ("testing";"time";"math/rand/v2")
func TestZ(t *testing.T){
	for name, gen := range map[string]func(i int) byte{"random": func(int) byte {return byte(rand.Uint32())}, "lowbits": func(i int) byte { return byte(rand.Uint32())&3 }, "0x90s": func(i int) byte { if i%2==0 {return 0x91}; return 1}} {
	b := appendHeader(nil, 7)
	for i:=0;i<64<<20;i++{ b=append(b,gen(i)) }
	s:=time.Now()
	scan(b,7,func(int,[]byte){})
	t.Log(name, time.Since(s))
	}
}
