package control

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/lease"
)

// hostile is what a peer might write into its lease.
const hostile = `<script>document.title = "owned"</script>`

// crowded is a state with a peer in each state, and one that is hostile.
func crowded() *State {
	s := NewState(Facts{
		Version: "v0.1.0", NodeID: "node-7", Etcd: EtcdAccess{Endpoints: []string{"http://192.0.2.254:2379"}},
		Effects: func(_ context.Context, scope string) ([]Effect, error) {
			if scope != "10.50.3.0/24" {
				return nil, errors.New("not asked for: " + scope)
			}
			return []Effect{{Command: "ip route add 10.50.3.0/24 via 192.0.2.3 dev eth0"}, {Command: "ip link add " + hostile, Missing: true}}, nil
		},
	})
	daemonUp(s)
	s.ObservePeer(hooks.PeerStatus{
		Lease: &lease.Lease{V4: path("10.50.9.0/24", "192.0.2.9"), NodeID: hostile}, State: hooks.PeerRetrying, Since: time.Now(), Err: errors.New(hostile),
	})
	return s
}

// get asks the handler.
func get(t *testing.T, s *State, resource string) (status int, body string) {
	t.Helper()
	w := httptest.NewRecorder()
	newMux(s).ServeHTTP(w, httptest.NewRequest(http.MethodGet, resource, nil))
	return w.Code, w.Body.String()
}

func wantIn(t *testing.T, text string, all ...string) {
	t.Helper()
	for _, want := range all {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}

func TestThePageShowsTheNodeAndItsPeers(t *testing.T) {
	s := crowded()
	status, text := get(t, s, "/")
	if status != http.StatusOK {
		t.Fatalf("status %d\n%s", status, text)
	}
	wantIn(t, text,
		"<title>overlayd on 10.50.7.0/24</title>", `<p class="starting">starting: 10.50.7.0/24, extension, 1 of 6 peers up`,
		`<a href="peer?subnet=10.50.3.0%2f24">10.50.3.0/24</a>`, "<td>192.0.2.3 <td>up<td>", "<td>SubnetAdd 1.2 ms", "<svg ", "Peers (6)",
		"exit status 2: RTNETLINK answers: File exists", "<b>peer</b> <span>10.50.9.0/24</span> retrying")
	if strings.Contains(text, "<script>doc") {
		t.Error("a peer's text has become a part of the page")
	}
	status, text = get(t, s, "/peer?subnet=10.50.3.0/24")
	if status != http.StatusOK {
		t.Fatalf("status %d\n%s", status, text)
	}
	wantIn(t, text, "<h2>Peer 10.50.3.0/24</h2>", "<code>ip route add 10.50.3.0/24 via 192.0.2.3 dev eth0</code>", "<b>missing:</b> <code>ip link add &lt;script&gt;")
	_, text = get(t, s, "/peer?subnet=10.50.4.0/24")
	wantIn(t, text, "<p>not asked for: 10.50.4.0/24</p>")
	for _, resource := range []string{"/peer?subnet=10.50.99.0/24", "/peer?subnet=nonsense", "/peer", "/page/page.html", "/index.html"} {
		if status, _ := get(t, s, resource); status != http.StatusNotFound {
			t.Errorf("%s: status %d, want 404", resource, status)
		}
	}
}

func TestTheGraphIsAPicture(t *testing.T) {
	g := Graph{crowded().Snapshot(), map[netip.Prefix]time.Duration{netip.MustParsePrefix("10.50.3.0/24"): 1234 * time.Microsecond}}
	var svg strings.Builder
	if err := g.SVG(&svg); err != nil {
		t.Fatal(err)
	}
	words := 0
	for dec := xml.NewDecoder(strings.NewReader(svg.String())); ; {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("not XML: %v\n%s", err, svg.String())
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "text" {
			words++
		}
	}
	if words != 2*6+1 {
		t.Errorf("%d texts, want two for each peer and one for the node", words)
	}
	wantIn(t, svg.String(), ">up 1.23 ms</text>", `<g class="left-over">`, "&lt;script&gt;")

	var dot strings.Builder
	if err := g.DOT(&dot); err != nil {
		t.Fatal(err)
	}
	wantIn(t, dot.String(), `self [label="10.50.7.0/24\nstarting", style=bold]`, `peer0 [label="10.50.3.0/24\nup"]`, `self -- peer0 [style=solid, label="1.23 ms"]`)

	var whole strings.Builder
	if err := g.HTML(&whole, time.Now()); err != nil {
		t.Fatal(err)
	}
	wantIn(t, whole.String(), "<style>", "prefers-color-scheme: dark")
	for _, bad := range []string{"script.js", "style.css", "<script>doc"} {
		if strings.Contains(whole.String(), bad) {
			t.Errorf("%s in a page that is to be complete in itself", bad)
		}
	}
}

func TestAThousandPeersHaveAPicture(t *testing.T) {
	var s Status
	for i := range 1000 {
		s.Peers = append(s.Peers, Peer{State: hooks.PeerUp, Paths: []Path{{Subnet: netip.MustParsePrefix(fmt.Sprintf("10.%d.%d.0/24", i/256, i%256))}}})
	}
	var svg strings.Builder
	if err := (Graph{Status: s}).SVG(&svg); err != nil || strings.Count(svg.String(), "<circle") != 1001 {
		t.Errorf("%d circles, %v", strings.Count(svg.String(), "<circle"), err)
	}
}

// browser is a program that runs pages as people's browsers do.
func browser(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if file, err := exec.LookPath(name); err == nil {
			return file
		}
	}
	t.Skip("chromium is not installed")
	return ""
}

// In a real browser the page follows what happens, and what a peer wrote runs nowhere.
func TestThePageLivesInABrowser(t *testing.T) {
	s := crowded()
	server := httptest.NewServer(newMux(s))
	defer server.Close()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(browser(t)), chromedp.NoSandbox, chromedp.WindowSize(1100, 1400), chromedp.UserDataDir(t.TempDir()))
	allocated, done := chromedp.NewExecAllocator(t.Context(), options...)
	defer done()
	tab, closeTab := chromedp.NewContext(allocated)
	defer closeTab()
	must(t, chromedp.Do(tab)) // starts the browser, whose life is this context's
	ctx, cancel := context.WithTimeout(tab, time.Minute)
	defer cancel()
	appears := func(path string) {
		t.Helper()
		if err := chromedp.Do(ctx, chromedp.WaitVisible(path)); err != nil {
			t.Fatalf("%s does not appear: %v", path, err)
		}
	}
	must(t, chromedp.Do(ctx, chromedp.Navigate(server.URL+"/")))
	appears(`//*[name()="svg"]`)
	appears(`//td/a[.="10.50.3.0/24"]`)
	observePeer(s, "10.50.77.0/24", hooks.PeerUp)
	appears(`//ol[@id="events"]/li[contains(., "10.50.77.0/24 up")]`)
	appears(`//td/a[.="10.50.77.0/24"]`)
	appears(`//*[name()="text"][.="10.50.77.0/24"]`)
	look(t, ctx, "node")
	title, err := chromedp.Run(ctx, chromedp.Title())
	must(t, err)
	if title != "overlayd on 10.50.7.0/24" {
		t.Errorf("the title is %q", title)
	}
	must(t, chromedp.Do(ctx, chromedp.Click(`//td/a[.="10.50.3.0/24"]`)))
	appears(`//h2[.="Peer 10.50.3.0/24"]`)
	appears(`//li/code[contains(., "ip route add 10.50.3.0/24")]`)
	look(t, ctx, "peer")
}

// look looks at the page in light and in dark, and takes pictures where OVERLAYD_SCREENSHOTS names a directory for them.
func look(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	for scheme, want := range map[string]string{"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 28)"} {
		media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
		must(t, chromedp.Do(ctx, chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
			_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, media)
			return err
		})))
		for ground := ""; ground != want; time.Sleep(20 * time.Millisecond) { // the style sheet may come after the page
			var err error
			if ground, err = chromedp.Run(ctx, chromedp.Evaluate[string](`getComputedStyle(document.body).backgroundColor`)); err != nil {
				t.Fatalf("the page's ground does not become %s in %s: %v", want, scheme, err)
			}
		}
		picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
		must(t, err)
		if dir := os.Getenv("OVERLAYD_SCREENSHOTS"); dir != "" {
			must(t, os.WriteFile(filepath.Join(dir, name+"-"+scheme+".png"), picture, 0o644))
		}
	}
}

// must stops the test at an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
