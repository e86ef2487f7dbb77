package devicegrant

import "errors"

var (
	// ErrNone says that there is no such attempt.
	ErrNone = errors.New("devicegrant: no such attempt")
	// ErrNoCode says that the provider gave no device code.
	ErrNoCode = errors.New("devicegrant: no device code")
	// ErrUnknownCode says that no attempt of ours has this user code. The
	// provider may know it all the same, because anyone can start a code at its
	// device endpoint in our name. Such a code must not be approved.
	ErrUnknownCode = errors.New("devicegrant: unknown user code")
	// ErrOtherPerson says that the attempt belongs to another person.
	ErrOtherPerson = errors.New("devicegrant: another person has this attempt")
	// ErrTooLate says that the code has expired for people who had not opened it
	// in time.
	ErrTooLate = errors.New("devicegrant: the code was not opened in time")
	// ErrChanged says that the person answered another question than the one
	// that this user code asks now.
	ErrChanged = errors.New("devicegrant: the question has changed")
	// ErrNoAnswer says that the provider did not answer the approval. It may
	// have heard, and approving again does no harm.
	ErrNoAnswer = errors.New("devicegrant: the provider did not answer the approval")
	// ErrProviderPage says that the provider's own page asks about this code.
	ErrProviderPage = errors.New("devicegrant: the provider's own page asks about the code")
	// ErrStrayPage says that the verification URI looks like our page, but at
	// another address.
	ErrStrayPage = errors.New("devicegrant: the verification URI is our page at another address")
	// ErrNotApproved says that there is nothing to claim.
	ErrNotApproved = errors.New("devicegrant: not approved")
	// ErrClaimed says that the session was claimed before, and is not handed out
	// again.
	ErrClaimed = errors.New("devicegrant: claimed already")
	// ErrWrongNumber says that the number is not the one on the phone, and that
	// the laptop may try again.
	ErrWrongNumber = errors.New("devicegrant: wrong number")
	// ErrNoNumber says that a number is always required, but the provider's own
	// page, which shows none, asks the person.
	ErrNoNumber = errors.New("devicegrant: the provider's own page shows no number")
)
