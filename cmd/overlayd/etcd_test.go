package main

import (
	"os/exec"
	"testing"
)

func TestAQuotedTextIsOneWordOfAShell(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("this machine has no sh: ", err)
	}
	for _, text := range []string{"plain.yaml", "http://[::1]:2379,http://b:1", "two words", "it's", "$HOME `id` \\ \"", "*", "a\nb"} {
		got, err := exec.Command(sh, "-c", "printf %s "+quote(text)).Output()
		if err != nil || string(got) != text {
			t.Errorf("%s: the shell reads %q, %v, not %q", quote(text), got, err, text)
		}
	}
}
