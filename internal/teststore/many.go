package teststore

import "sync"

// Many does something n times, with as many at once as one commit takes.
func Many(n int, do func(i int)) {
	var wg sync.WaitGroup
	places := make(chan struct{}, 256)
	for i := range n {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			do(i)
		})
	}
	wg.Wait()
}
