package rbd

import (
	"testing"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// A rename that died is ended by the next one, or undone by the way back; of another
// image's name nothing is taken away.
func TestRenameEndsWhatADeathLeft(t *testing.T) {
	_, d := fresh(t)
	write := func(object, id string) {
		t.Helper()
		if err := d.control.io.WriteFull("rbd_id."+object, appendString(nil, id)); err != nil {
			t.Fatal(err)
		}
	}
	for name, leave := range map[string]func(v volume.Ref, to string){
		"new name taken": func(v volume.Ref, to string) { write(to, v.ImageID) },
		"old name kept": func(v volume.Ref, to string) {
			wantKind(t, "", d.RenameVolume(t.Context(), v, to))
			write(v.Name, v.ImageID)
		},
	} {
		for way, back := range map[string]bool{"on": false, "back": true} {
			t.Run(name+", "+way, func(t *testing.T) {
				v := create(t, d, "from "+name+way)
				to := "to " + name + way
				leave(v, to)
				from, want := v, to
				if back {
					from, want = volume.Ref{Name: to, ImageID: v.ImageID}, v.Name
				}
				wantKind(t, "", d.RenameVolume(t.Context(), from, want))
				for _, object := range []string{v.Name, to} {
					id, err := d.control.imageID(object)
					listed, dirErr := d.control.directoryID(object)
					wantKind(t, "", err)
					wantKind(t, "", dirErr)
					if has := object == want; (id == v.ImageID) != has || (listed == v.ImageID) != has {
						t.Errorf("%s: id %q, listed %q, want it there: %v", object, id, listed, has)
					}
				}
				wantKind(t, "", remove(t, d, volume.Ref{Name: want, ImageID: v.ImageID}))
			})
		}
	}
	v, other := create(t, d, "volume-1"), create(t, d, "volume-2")
	wantKind(t, fault.Exists, d.RenameVolume(t.Context(), v, other.Name))
	if id, err := d.control.imageID(other.Name); err != nil || id != other.ImageID {
		t.Errorf("the other image has the id %q, %v", id, err)
	}
}
