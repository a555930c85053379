package store

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/volumed/volumed/fault"
	"github.com/volumed/volumed/volume"
)

// Limits of a page.
const (
	defaultPage = 100
	maxPage     = 1000
)

// selection is a SELECT of a page under construction.
type selection struct {
	conditions []string
	args       []any
	limit      int
}

// where adds a condition in which every ? stands for the argument.
func (q *selection) where(condition string, arg any) {
	q.args = append(q.args, arg)
	q.conditions = append(q.conditions, strings.ReplaceAll(condition, "?", "$"+strconv.Itoa(len(q.args))))
}

// equal adds "column = value" unless the value is empty.
func (q *selection) equal(column, value string) {
	if value != "" {
		q.where(column+" = ?", value)
	}
}

// always adds a condition without an argument.
func (q *selection) always(condition string) { q.conditions = append(q.conditions, condition) }

// onHost restricts to the rows of a service's host, with or without a pool. '$'
// follows '#', so the second part is everything that begins with "host#".
func (q *selection) onHost(host string) {
	if host != "" {
		q.where("(host = ? OR (host >= CAST(? AS TEXT) || '#' AND host < CAST(? AS TEXT) || '$'))", host)
	}
}

// page checks p and goes on after its marker, in a list ordered by created_at and
// id, newest first.
func (q *selection) page(p volume.Page) error {
	if err := q.take(p); err != nil || p.Marker == "" {
		return err
	}
	text, err := base64.RawURLEncoding.DecodeString(p.Marker)
	at, id, ok := strings.Cut(string(text), " ")
	micros, nerr := strconv.ParseInt(at, 10, 64)
	if err != nil || nerr != nil || !ok {
		return badMarker()
	}
	q.args = append(q.args, micros, id)
	n := len(q.args)
	q.always(fmt.Sprintf("(created_at, id) < ($%d, $%d)", n-1, n))
	return nil
}

// pageByID does the same for a list ordered by a growing id.
func (q *selection) pageByID(p volume.Page) error { return q.pageBy("id", p) }

// pageBy does the same for a list ordered by a growing number in some column.
func (q *selection) pageBy(column string, p volume.Page) error {
	if err := q.take(p); err != nil || p.Marker == "" {
		return err
	}
	id, err := strconv.ParseInt(p.Marker, 10, 64)
	if err != nil {
		return badMarker()
	}
	q.where(column+" > ?", id)
	return nil
}

func (q *selection) take(p volume.Page) error {
	switch {
	case p.Limit < 0 || p.Limit > maxPage:
		return fault.New(fault.Invalid, "limit is %d; it must be 1 to %d", p.Limit, maxPage).WithField("limit")
	case p.Limit == 0:
		q.limit = defaultPage
	default:
		q.limit = p.Limit
	}
	return nil
}

func badMarker() error {
	return fault.New(fault.Invalid, "the marker is not one that a list returned").WithField("marker")
}

// sql returns the statement; it asks for one row more than the page has, which
// tells whether there is a next page.
func (q *selection) sql(selectFrom, order string) string {
	where := ""
	if len(q.conditions) > 0 {
		where = " WHERE " + strings.Join(q.conditions, " AND ")
	}
	return selectFrom + where + " ORDER BY " + order + " LIMIT " + strconv.Itoa(q.limit+1)
}

const (
	newestFirst = "created_at DESC, id DESC"
	byID        = "id"
)

// cut returns the page and the marker of the next one, if there is one.
func cut[T any](q *selection, rows []T, marker func(last *T) string) ([]T, string) {
	if len(rows) <= q.limit {
		return rows, ""
	}
	rows = rows[:q.limit]
	return rows, marker(&rows[q.limit-1])
}

func markerAt(created time.Time, id string) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d %s", created.UnixMicro(), id))
}
