// Package devicegrant is the QR login: one [Attempt] from the code on the
// laptop's screen to the laptop's session. It implements the client's part of
// the Device Authorization Grant (RFC 8628) and what that leaves open: our own
// page asks the person (RFC 10027, section 6.1), so only a person who approved
// there logs the laptop in, and only as that person.
//
// # One login
//
//	laptop             Manager                       provider       phone
//	  | Start ---------> record, user code index <---- codes
//	  | (QR code)                                                     |
//	  |   opened <------------------------------------------ Open ----|
//	  |   (number) yes <------------------------------------ Yes -----|
//	  |                  approve ---------------------> ok
//	  |                  poll, verify <--------------- tokens
//	  |   approved       pending session
//	  | Claim ---------> session goes live: claimed
//
// # States
//
// An attempt goes waiting, opened, yes, approved, claimed, with number between
// opened and yes when the laptop must type what the phone shows. It ends
// claimed, denied, expired, cancelled or failed. It never goes back. The table
// next in attempt.go has every transition. Where the provider insists on a
// verification page of its own ([Attempt.ProviderPage]), opened, number and yes
// never come: the provider is polled from the start, and waiting leads to
// approved.
//
// # Identifiers, and who knows each
//
//	Attempt.ID     the laptop's cookie: its holder may watch, confirm and claim
//	Attempt.Ref    everybody: pages, forms and logs name the attempt by it
//	user code      the laptop's screen, the phone, the provider
//	device code    the provider and the record, nobody else
//	Fingerprint    the phone's form: which question was answered
//	Number         the phone's screen, until it is typed on the laptop
//	voucher        the record: which session approved
//	session ID     the record, from the redemption on; the laptop's cookie after
//	               the claim
//
// # The record
//
// All of it lives in one sealed record, changed by compare-and-set only, so
// any process can take the next step and none needs a lock. Polling is slow
// work: its [store.Lease] names one poller at a time and fences answers that
// come back after it has run out. Due is the earliest time of the next poll.
//
// # Invariants
//
//   - The person and the new state are written before the provider is asked to
//     approve. Tokens count only if they are that person's.
//   - Nobody polls before the approval on our page, and nobody polls faster than
//     the provider's interval allows.
//   - A device code is redeemed once. Tokens are saved before they are verified:
//     verifying can be repeated, redeeming cannot.
//   - At the number, before the redemption, at the approval and at the claim the
//     session that approved must still be logged in ([Sessions].Vouched).
//   - Whatever ends an unclaimed attempt revokes its tokens and ends its pending
//     session.
//   - After the approval, a laptop on another network, or with another
//     User-Agent, ends the attempt.
package devicegrant
