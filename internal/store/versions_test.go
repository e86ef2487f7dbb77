package store

import "testing"

// newerNote is a note of the next version of the program, which has added a
// field.
type newerNote struct {
	note
	Pinned bool
}

// During a roll-out, two versions of the program share the records. Each opens
// what the other wrote. The older one does not know an added field and drops it
// when it writes, so the field's zero value must mean what the older one does.
func TestRecordsOfTwoVersions(t *testing.T) {
	store := mustNew(t, openFile(t, newPath(t)), newKey).Namespace(bank)
	older, newer := NewTable[note](store, "notes"), NewTable[newerNote](store, "notes")
	wantPinned := func(when, id string, want bool) {
		t.Helper()
		if got, err := newer.Get(t.Context(), id); err != nil || got.Pinned != want {
			t.Errorf("%s the newer version reads %+v, %v; want Pinned %t", when, got, err, want)
		}
	}

	id, err := newer.Create(t.Context(), newerNote{note{Text: "of the newer", Until: later()}, true})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := older.Get(t.Context(), id); err != nil || got.Text != "of the newer" {
		t.Errorf("the older version reads %+v, %v", got, err)
	}
	wantPinned("after the older one has read it,", id, true)
	mustUpdate(t, older, id, func(n *note) { n.Count++ })
	wantPinned("after the older one has written it,", id, false)

	wantPinned("of a record of the older one", mustCreate(t, older, "of the older"), false)
}
