package store

import bolt "go.etcd.io/bbolt"

// reservePages is how many free pages the file keeps for when the disk is full.
// To change or delete a record takes up to ten, two at once up to twenty, and
// each frees as many.
const reservePages = 32

// reserve keeps free pages in the file, so that on a full disk people can still
// log out: bbolt writes a changed page to a free one, and even a deletion needs
// some. It is called in each transaction that adds a record. When few pages are
// free, it makes the file grow, and with it the transaction fails if the disk is
// full. Records are changed and deleted without it, and so from the reserve.
//
// A value as long as the reserve is written over itself: the pages of the old
// one become free. The first time there is no old one, so the next transaction
// does it again.
func (f *File) reserve(tx *bolt.Tx) error {
	if stats := f.db.Stats(); stats.FreePageN+stats.PendingPageN >= reservePages {
		return nil
	}
	bucket, err := tx.CreateBucketIfNotExists(bucketPing)
	if err != nil {
		return err
	}
	return bucket.Put(bucketPing, make([]byte, reservePages*f.db.Info().PageSize))
}

// rescue commits those of a failed batch that add nothing, one by one, so that
// each needs only a few pages. The others keep the error. What Ping says stays
// as it was: records cannot be added.
func (f *File) rescue(batch []swap, failed error) []swapped {
	results := make([]swapped, len(batch))
	for i, s := range batch {
		results[i].err = failed
		if !s.adds() {
			results[i] = f.try([]swap{s})[0]
		}
	}
	f.fault = failed
	return results
}
