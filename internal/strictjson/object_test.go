package strictjson

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// settings are what the tests' objects may say.
type settings struct {
	Count int
	On    bool
	Maybe *bool
	Name  string
}

func (s *settings) read(text string) (ignored []string, err error) {
	o, err := Parse([]byte(text))
	if err != nil {
		return nil, err
	}
	ignored, err = o.Fill([]Key{
		{Name: "Count", Into: &s.Count}, {Name: "On", Into: &s.On}, {Name: "Maybe", Into: &s.Maybe}, {Name: "Name", Into: &s.Name},
		{Name: "Old"},
	})
	if err == nil {
		err = o.Within("Count", s.Count, 1, 9)
	}
	return ignored, err
}

func TestKeysMatchInAnyCaseAndNullLeavesADefault(t *testing.T) {
	got := settings{Count: 3, Name: "default"}
	ignored, err := got.read(`{"COUNT": 5, "on": true, "maybe": false, "name": null, "old": [1]}`)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(settings{5, true, new(bool), "default"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"Old"}, ignored); diff != "" {
		t.Errorf("ignored (-want +got):\n%s", diff)
	}
}

func TestErrorsNameThePlace(t *testing.T) {
	for text, want := range map[string]string{
		`[]`:                       "1:1: not an object: { expected",
		`{"Count": }`:              "1:11: invalid character '}' looking for beginning of value",
		"{\n \"Count\": \"5\"}":    `2:11: Count: "5" is not a whole number`,
		`{"Count": 1.5}`:           `1:11: Count: 1.5 is not a whole number`,
		`{"On": 1}`:                `1:8: On: 1 is not true or false`,
		`{"Maybe": "yes"}`:         `1:11: Maybe: "yes" is not true or false`,
		`{"Name": 1}`:              `1:10: Name: 1 is not a string`,
		`{"Count": 10}`:            `1:11: Count: 10 is not within 1 and 9`,
		`{}`:                       `Count: 0 is not within 1 and 9`,
		`{"Coutn": 1}`:             `1:2: unknown key "Coutn": did you mean "Count"?`,
		`{"Nonsense": 1}`:          `1:2: unknown key "Nonsense": known are Count, On, Maybe, Name, Old`,
		`{"Count": 1, "count": 2}`: `1:14: key "count" is there a second time`,
	} {
		if _, err := new(settings).read(text); err == nil || err.Error() != want {
			t.Errorf("%s\n got %v\nwant %s", text, err, want)
		}
	}
}
