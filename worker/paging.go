package worker

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/rpc"
	"github.com/volumed/volumed/volume"
)

// place is where something stands in a list of what is on the backend.
type place struct {
	size     int64 // bytes; 0 in a list by name
	name     string
	snapshot string // on the image of that name; empty for the image itself
	ref      volume.Ref
}

// paging is a page of such a list.
type paging struct {
	limit     int
	bySize    bool
	direction int    // 1, or -1 for the other way round
	after     *place // the end of the page before, nil for the first
}

// newPaging checks what the request asks for.
func newPaging(page rpc.Page, key, dir string) (p paging, err error) {
	p = paging{limit: cmp.Or(page.Limit, rpc.DefaultPage), bySize: key == rpc.SortBySize, direction: 1}
	if dir == rpc.Descending {
		p.direction = -1
	}
	if err := checkSort(key, dir); err != nil {
		return p, err
	}
	if p.limit < 0 || p.limit > rpc.MaxPage {
		return p, fault.New(fault.Invalid, "limit is %d; it must be 1 to %d", p.limit, rpc.MaxPage).WithField("limit")
	}
	if page.Marker != "" {
		p.after, err = parseMarker(page.Marker)
	}
	return p, err
}

// parseMarker is the reverse of marker.
func parseMarker(marker string) (*place, error) {
	text, err := base64.RawURLEncoding.DecodeString(marker)
	parts := strings.Split(string(text), "\x00")
	size, sizeErr := strconv.ParseInt(parts[0], 10, 64)
	if err != nil || sizeErr != nil || len(parts) != 3 {
		return nil, fault.New(fault.Invalid, "the marker is not one that a list returned").WithField("marker")
	}
	return &place{size: size, name: parts[1], snapshot: parts[2]}, nil
}

// marker names the place to go on after. A NUL is in no name, which C would end there;
// anything else may be.
func (at place) marker() string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d\x00%s\x00%s", at.size, at.name, at.snapshot))
}

// compare orders places as the list does.
func (p paging) compare(a, b place) int {
	bySize := 0
	if p.bySize {
		bySize = cmp.Compare(a.size, b.size)
	}
	return p.direction * cmp.Or(bySize, strings.Compare(a.name, b.name), strings.Compare(a.snapshot, b.snapshot))
}

// follows reports whether a place comes after the page before.
func (p paging) follows(at place) bool { return p.after == nil || p.compare(at, *p.after) > 0 }

// cut returns the places of the page, in order, and the marker of the next page; that is
// empty for the last.
func (p paging) cut(places []place) (page []place, next string) {
	page = slices.DeleteFunc(places, func(at place) bool { return !p.follows(at) })
	slices.SortFunc(page, p.compare)
	if len(page) > p.limit {
		page = page[:p.limit]
		next = page[p.limit-1].marker()
	}
	return page, next
}

// checkSort refuses an order that no list has.
func checkSort(key, dir string) error {
	if !slices.Contains([]string{"", rpc.SortByReference, rpc.SortBySize}, key) {
		return fault.New(fault.Invalid, "sort_key %q is neither %s nor %s", key, rpc.SortByReference, rpc.SortBySize).WithField("sort_key")
	}
	if !slices.Contains([]string{"", rpc.Ascending, rpc.Descending}, dir) {
		return fault.New(fault.Invalid, "sort_dir %q is neither %s nor %s", dir, rpc.Ascending, rpc.Descending).WithField("sort_dir")
	}
	return nil
}
