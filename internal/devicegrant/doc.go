// Package devicegrant is the QR login: one [Attempt] from the code on the
// laptop's screen to the laptop's session. It implements the client's part of
// the Device Authorization Grant (RFC 8628) and what that leaves open: our own
// page asks the person (RFC 10027, section 6.1), so only a person who approved
// there logs the laptop in, and only as that person.
//
// # One login
//
//	laptop           Manager                 provider or Sessions    phone
//	  | Start -------> record <--------------- codes
//	  | shows the QR code                                              |
//	  |   opened <--------------------------------------------- Open --|
//	  |   number or yes <--------------------------------------- Yes --|
//	  |                approve ----------------> ok
//	  | Confirm -----> yes
//	  |                poll <------------------- tokens: saved, unless verified at once
//	  |                verify: the approver's?
//	  |                CreatePending ----------> pending session
//	  |   approved
//	  | Claim -------> Activate ---------------> live session
//	  |   claimed
//
// The laptop's page follows with [Manager.Watch] and [Manager.Refresh], and
// [Manager.CheckLaptop] checks each request that has the laptop's cookie. From
// yes until the attempt ends a goroutine works on it, its poller (poller.go): in
// the process that took the approval or the number, and in each one that the
// laptop's page asks. The lease lets one of them poll. After approved, a poller
// only waits for the claim, or for the time to run out.
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
//	Attempt.ID     the laptop's cookie: its holder may watch, confirm and claim.
//	               It is the user code and a secret
//	Attempt.Ref    everyone: pages, forms and logs name the attempt by it
//	user code      the laptop's screen, the phone, the provider; the record is
//	               stored under it
//	device code    the provider, and the record until approved
//	Fingerprint    the phone's form: which question was answered
//	number         the record and the phone's screen, until it is typed on the
//	               laptop
//	voucher        the record: which of the person's sessions approved
//	session ID     the record, from the poll that brought the tokens on; the
//	               laptop's cookie after the claim
//
// # The record
//
// All of it lives in one sealed record, changed by compare-and-set only, so
// any process can take the next step and none needs a lock. Polling is slow, so
// a [store.Lease] names the one poller that may do it. Once another poller has
// taken the lease, a late result is dropped. Due is the earliest time of the
// next poll of another holder. The first poll's lease is taken by the write that
// allows the poll: the one with the approval, or with the right number. At the
// provider's own page most polls find nothing, so a poller keeps its lease for
// several of them, and those write nothing.
//
// The people wait for each write. TestWritesOfALogin lists them.
//
// # Invariants
//
//   - The person and the new state are written before the provider is asked to
//     approve. Tokens count only if they are that person's.
//   - Nobody polls before the approval on our page, and nobody polls faster than
//     the provider's interval allows.
//   - A device code is redeemed once. Tokens are saved before a verification that
//     takes long: verifying can be repeated, redeeming cannot.
//   - The session that approved must still be logged in ([Sessions].Vouched) when
//     the number is typed, before each poll, when the pending session is made,
//     and at the claim.
//   - An attempt has one session, and it goes live only in a claim. If the
//     attempt ends unclaimed, its tokens are revoked and its session is ended:
//     by the caller that ends it, and by a claim or a poller that finds it ended.
//   - After the approval, a laptop on another network, or with another
//     User-Agent, ends the attempt.
package devicegrant
