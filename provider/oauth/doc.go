// Package oauth has the well-known identity providers, one constructor each. They speak OAuth 2.0 (RFC 6749), and Twitter
// speaks OAuth 1.0a (RFC 5849).
//
//	github, err := oauth.GitHub(oauth.Config{ClientID: "…", ClientSecret: "…"})
//
// All of OAuth 2.0 but LinkedIn, which refuses it, get a PKCE challenge of method S256 (RFC 7636): those that do not know it
// ignore it (RFC 6749 §3.1). How the client authenticates is fixed for each, so that no code is sent twice. A provider's answers are
// read up to 1 MiB, ids are taken exactly as they came, and an answer without one is an error. Apple, Google and Microsoft
// issue id tokens, which are checked as those of package oidc are, nonce included.
//
// # What proves an address
//
// An address counts as verified if the provider says so of this address, by the JSON value true or what the table names.
// Neither "true" nor 1 is true. That somebody has an address in a profile proves nothing: many providers take whatever is
// typed. Names of members are those of the profile.
//
//	provider     id                e-mail                            verified
//	apple        sub               email of the id token             email_verified, or the text "true"
//	azuread      oid, tid          email, or a name like one         xms_edov, of email
//	bitbucket    uuid              email of the primary entry        the entry's is_confirmed
//	discord      id                email                             verified
//	entraid      sub, tid          email                             xms_edov
//	facebook     id                email                             never
//	github       id, an integer    email of the primary entry        the entry's verified
//	gitlab       id, an integer    email                             confirmed_at, a string
//	google       id                email                             verified_email
//	linkedin     sub               email                             email_verified
//	spotify      id                email                             never
//	strava       id, an integer    none                              never
//	twitch       id                email                             never
//	twitter      id_str            email                             never
//	windowslive  id                emails.preferred, emails.account  never
//	workos       id                email                             never
//	x            id                confirmed_email                   always
//
// Bitbucket and GitHub know several addresses. The one that counts is the primary one, if it is verified, and otherwise the
// account has none here: another may be one that its owner has long given up.
package oauth
