package queue

import "context"

// SearchWithin is Search with another reach, for tests.
func (q *Queue) SearchWithin(ctx context.Context, f Filter, reach int64) (Found, error) {
	return q.search(ctx, f, reach)
}
